//! Does `explain` find in a capture what the simulator did, with the stack's own words and without, from either end?

mod accuracy;
mod findings;
mod judged;
mod many;
mod odd_files;
mod opening;
mod rates;
mod reading;
mod talk;
mod truth;
mod written;

use crate::judge::{self, Memory};
use crate::sim::soak;
use accuracy::Accuracy;
pub use reading::pcap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use tcpglass::explain::{Confidence, Finding, Options, Part, Progress, Summary, What, causes, explain};
use tcpglass::lab;
use tcpglass::service::{HttpServer, Site};
use tcpglass::sim::{HostId, Socket, World, host_config};
use tcpglass::stack::Owner;
use tcpglass::tcp::{Config, IdleRestart, Nagle, WindowScale};
use tcpglass::time::Duration;
use tcpglass::trace::{Format, TraceOptions, Tracer, to_writer};
use tcpglass::{http, tcp};

const MS: Duration = Duration::from_millis(1);
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

/// A client that the test speaks for, and our HTTP server; both ends are captured.
struct Scene {
    world: World,
    hosts: [HostId; 2],
    files: [Memory; 2],
}

impl Scene {
    fn new(link: &str, client: &Config, server: &Config) -> Scene {
        Scene::seeded(1, link, client, server)
    }

    fn seeded(seed: u64, link: &str, client: &Config, server: &Config) -> Scene {
        let mut world = World::new(seed, link.parse().unwrap());
        world.check_invariants(true);
        let files = [Memory::default(), Memory::default()];
        let mut host = |name, addr, cfg: &Config, file: &Memory| {
            let tracer = Tracer::new(vec![to_writer(file.clone(), Format::Pcapng, &TraceOptions::default())]);
            world.add_host(name, host_config(addr, cfg.clone()), tracer)
        };
        let hosts = [host("client", CLIENT, client, &files[0]), host("server", SERVER, server, &files[1])];
        let addr = vec![SocketAddr::new(SERVER, 80)];
        let site = HttpServer::new(Owner(1), addr, Site::default(), http::Config::default());
        world.add_service(hosts[1], Box::new(site));
        Scene { world, hosts, files }
    }

    fn connect(&mut self) -> Socket {
        self.world.connect(self.hosts[0], SocketAddr::new(SERVER, 80)).unwrap()
    }

    /// Writes, and lets the stack see the write before the next one.
    fn write(&mut self, socket: Socket, text: &str) {
        self.world.write_all(socket, text.as_bytes()).unwrap();
        self.world.run_for(Duration::ZERO);
    }

    /// Reads a response with a body of `len` bytes.
    fn read(&mut self, socket: Socket, len: usize) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.world.read_exact(socket, &mut byte).unwrap();
            head.push(byte[0]);
        }
        self.world.read_exact(socket, &mut vec![0; len]).unwrap();
    }

    fn get(&mut self, socket: Socket, page: &str, len: usize) {
        self.write(socket, &format!("GET {page} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.read(socket, len);
    }

    /// What is found: from the client with its words and without, from the server with its words and without.
    fn end(mut self) -> [Summary; 4] {
        self.world.run_for(2000 * MS);
        self.world.finish().unwrap();
        let [client, server] = self.files.map(|file| file.take());
        [(&client, false), (&client, true), (&server, false), (&server, true)].map(|(file, infer)| {
            let summary = explain(file.as_slice(), Options { infer, ..Options::default() }).unwrap();
            for c in &summary.connections {
                for e in &c.exchanges {
                    assert_eq!(e.parts.total(), e.end - e.start, "every moment is charged once: {e:#?}");
                    let mut course = tcpglass::explain::Parts::default();
                    e.course.iter().for_each(|(part, time)| course.add(*part, *time));
                    assert_eq!(course, e.parts, "the same in their order");
                    let micros: u64 = e.parts.micros().map(|(_, us)| us).sum();
                    assert_eq!(micros, (e.end - e.start).as_micros() as u64);
                }
            }
            summary
        })
    }
}

/// With the textbooks' delayed ACK, whose cost can be computed beforehand.
fn linux() -> Config {
    Config { ack_adaptive: false, ..Config::linux() }
}

/// The word and the cost in milliseconds of each finding.
fn found(summary: &Summary) -> Vec<(&'static str, u64)> {
    summary.findings.iter().map(|f| (f.what.word(), (f.cost.as_micros() as u64 + 500) / 1000)).collect()
}

fn finding(summary: &Summary, what: What) -> &Finding {
    let found = summary.findings.iter().find(|f| f.what == what);
    found.unwrap_or_else(|| panic!("no {} in {:#?}", what.word(), summary.findings))
}

fn part(summary: &Summary, exchange: usize, part: Part) -> u64 {
    summary.connections[0].exchanges[exchange].parts.of(part).as_micros() as u64 / 1000
}

/// The four views of one run, each with its name.
fn views(scene: Scene) -> impl Iterator<Item = (&'static str, Summary)> {
    ["client, stated", "client, inferred", "server, stated", "server, inferred"].into_iter().zip(scene.end())
}

#[test]
fn header_and_body_in_two_writes_meet_nagle_and_the_delayed_ack() {
    let slow = Config { quickack: 0, ..linux() };
    let mut scene = Scene::new("rtt=10ms", &linux(), &slow);
    let socket = scene.connect();
    for _ in 0..3 {
        scene.write(socket, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n");
        scene.write(socket, &"b".repeat(100));
        scene.write(socket, &"b".repeat(200));
        scene.read(socket, 300);
        scene.world.run_for(1000 * MS);
    }
    for (view, summary) in views(scene) {
        let first = &summary.findings[0];
        assert_eq!((first.what, first.times), (What::NagleDelayedAck, 3), "{view}: {:#?}", summary.findings);
        assert_eq!(first.cost.as_millis(), 150, "{view}: 40 ms and a round trip each");
        let sure = if view == "client, stated" { Confidence::Stated } else { Confidence::Inferred };
        assert_eq!(first.confidence, sure, "{view}");
        let whose = if view.starts_with("client") { Part::PeerAckDelay } else { Part::OwnAckDelay };
        assert_eq!((part(&summary, 1, whose), part(&summary, 1, Part::Nagle)), (40, 10), "{view}");
    }
}

#[test]
fn the_example_of_the_captures_is_explained_by_its_own_words() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/nagle_delayed_ack.pcapng");
    for infer in [false, true] {
        let file = std::fs::File::open(&file).unwrap();
        let summary = explain(file, Options { infer, ..Options::default() }).unwrap();
        assert_eq!(found(&summary), [("nagle-delayed-ack", 220)], "infer: {infer}");
    }
}

#[test]
fn without_nagle_nothing_is_found_in_the_same_exchange() {
    let cfg = Config { nagle: Nagle::Off, ..linux() };
    let mut scene = Scene::new("rtt=10ms", &cfg, &cfg);
    let socket = scene.connect();
    scene.get(socket, "/bytes/10", 10);
    for _ in 0..3 {
        scene.write(socket, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n");
        scene.write(socket, &"b".repeat(300));
        scene.read(socket, 300);
        scene.world.run_for(1000 * MS);
    }
    for (view, summary) in views(scene) {
        assert_eq!(found(&summary), [("handshake", 10)], "{view}");
    }
}

#[test]
fn a_first_transfer_waits_for_slow_start_and_a_second_does_not() {
    let cfg = Config { slow_start_after_idle: IdleRestart::Off, ..linux() };
    let mut scene = Scene::new("rtt=100ms", &cfg, &cfg);
    let socket = scene.connect();
    scene.get(socket, "/bytes/100000", 100_000);
    scene.world.run_for(1000 * MS);
    scene.get(socket, "/bytes/50000", 50_000);
    for (view, summary) in views(scene) {
        // 100,000 bytes are 70 segments: 10, 20, 40 leave three round trips, two of them waiting.
        assert_eq!(finding(&summary, What::SlowStart).cost.as_millis(), 200, "{view}");
        assert_eq!(part(&summary, 0, Part::Cwnd), 200, "{view}");
        assert_eq!(part(&summary, 0, Part::Handshake), 100, "{view}");
        assert_eq!(part(&summary, 1, Part::Cwnd), 0, "{view}");
        assert_eq!(summary.connections[0].round_trip.unwrap().as_millis(), 100, "{view}");
    }
}

#[test]
fn a_small_receive_window_is_what_limits() {
    let small = Config { recv_buffer: 16 << 10, ..linux() };
    let mut scene = Scene::new("rtt=50ms", &small, &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/200000", 200_000);
    for (view, summary) in views(scene) {
        let first = &summary.findings[0];
        assert_eq!(first.what, What::ReceiveWindow, "{view}: {:#?}", found(&summary));
        let e = &summary.connections[0].exchanges[0];
        // All but the handshake and the request's way, where that is seen: the window is smaller than the initial
        // congestion window.
        let others = if view.starts_with("client") { 100 } else { 50 };
        let waited = [Part::Rwnd, Part::OwnAckDelay, Part::PeerAckDelay].map(|part| e.parts.of(part));
        assert_eq!((e.end - e.start) - waited.iter().sum::<Duration>(), others * MS, "{view}: {:?}", e.parts);
    }
}

#[test]
fn a_lost_syn_costs_its_timer() {
    let mut scene = Scene::new("rtt=20ms", &linux(), &linux());
    let [client, server] = scene.hosts;
    scene.world.set_link(client, server, &"rtt=20ms,loss=100%".parse().unwrap());
    let socket = scene.world.start_connect(client, SocketAddr::new(SERVER, 80)).unwrap();
    scene.world.run_for(500 * MS);
    scene.world.set_link(client, server, &"rtt=20ms".parse().unwrap());
    scene.get(socket, "/bytes/10", 10);
    for (view, summary) in views(scene) {
        if view.starts_with("client") {
            assert_eq!(finding(&summary, What::SynLoss).cost.as_millis(), 1000, "{view}");
            assert_eq!(part(&summary, 0, Part::Recovery), 1000, "{view}");
        } else {
            // What never came is not in its capture.
            assert_eq!(found(&summary), [("handshake", 20)], "{view}");
        }
    }
}

#[test]
fn a_slow_server_is_told_from_a_long_way() {
    let mut scene = Scene::new("rtt=40ms", &linux(), &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/10", 10);
    scene.get(socket, "/delay/300", 0);
    for (view, summary) in views(scene) {
        assert_eq!(finding(&summary, What::SlowServer).cost.as_millis(), 300, "{view}");
        let link = if view.starts_with("client") { 40 } else { 0 };
        assert_eq!((part(&summary, 1, Part::Server), part(&summary, 1, Part::Link)), (300, link), "{view}");
        assert_eq!(part(&summary, 0, Part::Server), 0, "{view}");
    }
}

#[test]
fn a_lost_last_segment_waits_for_a_timer() {
    for (probe, what) in [(true, What::TailLoss), (false, What::Rto)] {
        let cfg = Config { tail_loss_probe: probe, ..linux() };
        // Segments of the server's: the response to the first request, then ten of which the last is lost.
        let mut scene = Scene::new("rtt=40ms,drop_nth=11", &cfg, &cfg);
        let socket = scene.connect();
        scene.get(socket, "/bytes/10", 10);
        scene.get(socket, "/bytes/14000", 14_000);
        // Who only gets what was sent again cannot know that it was sent before.
        for (view, summary) in views(scene).filter(|(view, _)| view.starts_with("server")) {
            // A time-out without a probe before it looks the same as a probe that comes late.
            if what == What::Rto && view.ends_with("inferred") {
                continue;
            }
            let seen = finding(&summary, what);
            assert_eq!(seen.times, 1, "{view}: {:#?}", summary.findings);
            assert!(part(&summary, 1, Part::Recovery) >= 80, "{view}");
        }
    }
}

#[test]
fn a_loss_in_the_middle_is_repaired_by_acknowledgments() {
    let mut scene = Scene::new("rtt=40ms,drop_nth=4", &linux(), &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/10", 10);
    scene.get(socket, "/bytes/12000", 12_000);
    for (view, summary) in views(scene) {
        assert_eq!(finding(&summary, What::FastRetransmit).times, 1, "{view}: {:#?}", summary.findings);
        assert_eq!(part(&summary, 1, Part::Recovery), 40, "{view}");
    }
}

#[test]
fn pipelined_responses_wait_for_the_slow_one_before_them() {
    let mut scene = Scene::new("rtt=10ms", &linux(), &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/10", 10);
    scene.write(
        socket,
        "GET /delay/200 HTTP/1.1\r\nHost: x\r\n\r\nGET /bytes/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /bytes/2 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    for len in [0, 1, 2] {
        scene.read(socket, len);
    }
    for (view, summary) in views(scene) {
        let line = finding(&summary, What::HeadOfLine);
        assert_eq!(line.times, 2, "{view}: {:#?}", summary.findings);
        let exchanges = &summary.connections[0].exchanges;
        assert!(exchanges.iter().all(|e| e.progress == Progress::Complete), "{view}");
        let targets: Vec<&str> = exchanges.iter().map(|e| e.target.as_str()).collect();
        assert_eq!(targets, ["/bytes/10", "/delay/200", "/bytes/1", "/bytes/2"], "{view}");
        assert!(part(&summary, 2, Part::Queue) >= 200, "{view}");
    }
}

#[test]
fn a_response_that_a_reset_destroys_is_named() {
    let mut scene = Scene::new("rtt=10ms", &linux(), &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/10", 10);
    scene.write(socket, "GET /reset-after/5000 HTTP/1.1\r\nHost: x\r\n\r\n");
    scene.world.run_for(500 * MS);
    for (view, summary) in views(scene) {
        assert_eq!(finding(&summary, What::ResetResponse).times, 1, "{view}");
        let last = summary.connections[0].exchanges.last().unwrap();
        assert_eq!(last.progress, Progress::Answering, "{view}");
    }
}

#[test]
fn a_refused_connection_is_named() {
    let mut scene = Scene::new("rtt=10ms", &linux(), &linux());
    assert!(scene.world.connect(scene.hosts[0], SocketAddr::new(SERVER, 81)).is_err());
    for (view, summary) in views(scene) {
        assert_eq!(finding(&summary, What::Refused).times, 1, "{view}");
    }
}

#[test]
fn a_pause_costs_the_congestion_window_that_had_grown() {
    let cfg = Config { slow_start_after_idle: IdleRestart::Initial, ..linux() };
    let mut scene = Scene::new("rtt=100ms", &cfg, &cfg);
    let socket = scene.connect();
    scene.get(socket, "/bytes/400000", 400_000);
    scene.world.run_for(20_000 * MS);
    scene.get(socket, "/bytes/100000", 100_000);
    for (view, summary) in views(scene) {
        assert_eq!(
            finding(&summary, What::SlowStartAfterIdle).cost.as_millis(),
            200,
            "{view}: {:?}",
            found(&summary)
        );
    }
}

#[test]
fn a_time_out_without_a_loss_is_called_spurious() {
    let cfg = Config { tail_loss_probe: false, ..linux() };
    let mut scene = Scene::new("rtt=20ms", &cfg, &cfg);
    let [client, server] = scene.hosts;
    let socket = scene.connect();
    scene.get(socket, "/bytes/10000", 10_000);
    let slow = "rtt=700ms".parse().unwrap();
    scene.world.set_link(server, client, &slow);
    scene.get(socket, "/bytes/1000", 1000);
    for (view, summary) in views(scene) {
        let wrong = finding(&summary, What::SpuriousRto);
        assert_eq!(wrong.confidence, Confidence::Certain, "{view}");
        assert!(wrong.cost.as_millis() >= 220, "{view}: {:#?}", summary.findings);
    }
}

#[test]
fn a_small_initial_window_is_told_from_slow_start() {
    let small = Config { init_cwnd: 2, ..linux() };
    let mut scene = Scene::new("rtt=100ms", &linux(), &small);
    let socket = scene.connect();
    scene.get(socket, "/bytes/20000", 20_000);
    for (view, summary) in views(scene) {
        // 14 segments: 2, 4, 8.
        assert_eq!(
            finding(&summary, What::InitialWindow).cost.as_millis(),
            100,
            "{view}: {:#?}",
            summary.findings
        );
        assert_eq!(finding(&summary, What::SlowStart).cost.as_millis(), 100, "{view}");
    }
}

#[test]
fn a_window_that_cannot_be_scaled_is_named() {
    let old = Config { window_scale: WindowScale::Off, ..linux() };
    let mut scene = Scene::new("rtt=100ms", &old, &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/1000000", 1_000_000);
    for (view, summary) in views(scene) {
        let scaling = finding(&summary, What::WindowScaling);
        assert!(scaling.cost.as_millis() >= 900, "{view}: {:#?}", summary.findings);
    }
}

#[test]
fn a_second_connection_to_the_same_server_is_named() {
    let mut scene = Scene::new("rtt=30ms", &linux(), &linux());
    for _ in 0..3 {
        let socket = scene.connect();
        scene.get(socket, "/bytes/10", 10);
        scene.world.close(socket);
        scene.world.run_for(100 * MS);
    }
    for (view, summary) in views(scene) {
        let seen = finding(&summary, What::NotReused);
        assert_eq!((seen.times, seen.cost.as_millis()), (2, 60), "{view}: {:#?}", summary.findings);
    }
}

#[test]
fn what_is_said_of_losses_agrees_with_tshark() {
    const TEST: &str = "what_is_said_of_losses_agrees_with_tshark";
    if !judge::have("tshark", TEST) {
        return;
    }
    const AGAIN: [&str; 6] = [
        "frame.number",
        "tcp.analysis.duplicate_ack",
        "tcp.analysis.retransmission",
        "tcp.analysis.fast_retransmission",
        "tcp.analysis.spurious_retransmission",
        "tcp.analysis.out_of_order",
    ];
    let file = std::env::temp_dir().join(format!("tcpglass-agree-{}.pcapng", std::process::id()));
    let mut said = 0;
    for seed in 0..8 {
        for capture in accuracy::capture(seed) {
            std::fs::write(&file, &capture).unwrap();
            let rows = judge::fields(&file, "tcp", &AGAIN);
            let frames = |with: &dyn Fn(&[&str]) -> bool| -> BTreeSet<u64> {
                let rows = rows.iter().map(|row| row.split('|').collect::<Vec<_>>());
                rows.filter(|row| with(&row[1..])).map(|row| row[0].parse().unwrap()).collect()
            };
            let duplicate = frames(&|row| !row[0].is_empty());
            let again = frames(&|row| row[1..].iter().any(|field| !field.is_empty()));
            let options = Options { infer: true, ..Options::default() };
            causes(capture.as_slice(), options, &mut |c| match c.inferred {
                "rto" | "fast-retransmit" | "sack-retransmit" => {
                    said += 1;
                    assert!(again.contains(&c.frame), "seed {seed}, frame {}: {}", c.frame, c.inferred);
                }
                word if duplicate.contains(&c.frame) => {
                    let never = ["ack-every", "ack-delayed", "ack-now(quick)", "ack-now(gap-filled)"];
                    assert!(!never.contains(&word), "seed {seed}, frame {}: {word}", c.frame);
                }
                _ => {}
            })
            .unwrap();
        }
    }
    std::fs::remove_file(&file).unwrap();
    assert!(said > 5, "{said}");
}

/// 60 lots, or those of `TCPGLASS_SEEDS=FIRST..LAST`: `make accuracy`.
#[test]
fn what_is_inferred_is_what_the_stack_says() {
    let all = Accuracy::of(soak::seeds(60));
    println!("{}", all.print());
    let [own, far] = all.packets();
    assert!(own >= 99.0 && far >= 95.0, "{own} % and {far} % of the packets");
    assert!(all.time() >= 95.0, "{} % of the time", all.time());
    for word in
        ["data", "ack-every", "ack-delayed", "ack-now(out-of-order)", "ack-now(quick)", "repair", "rto"]
    {
        let (precision, recall) = all.own(word);
        assert!(precision >= 95.0 && recall >= 95.0, "{word}: {precision} %, {recall} %");
    }
    for what in [
        What::NagleDelayedAck,
        What::SlowStart,
        What::ReceiveWindow,
        What::Rto,
        What::FastRetransmit,
        What::PathRate,
        What::Handshake,
        What::SlowServer,
        What::NotReused,
        What::InitialWindow,
        What::SlowStartAfterIdle,
        What::LostBefore,
        What::LateAcks,
        What::SynLoss,
    ] {
        let (precision, recall) = all.finding(what);
        assert!(precision >= 95.0 && recall >= 95.0, "{}: {precision} %, {recall} %", what.word());
    }
}

/// Four experiments, or all with `TCPGLASS_SEEDS`: `make accuracy`. Their captures are those of the client.
#[test]
fn what_is_inferred_of_the_lab_is_what_its_stack_says() {
    let directory = std::env::temp_dir().join(format!("tcpglass-accuracy-{}", std::process::id()));
    let setup = lab::Setup { seed: 1, captures: Some(directory.clone()), ..lab::Setup::default() };
    let all = std::env::var_os("TCPGLASS_SEEDS").is_some();
    let mut accuracy = Accuracy::default();
    for experiment in lab::EXPERIMENTS {
        if !all && !["nagle-delayed-ack", "delayed-ack", "handshake", "reordering"].contains(&experiment.name)
        {
            continue;
        }
        experiment.run(&setup).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(directory.join(experiment.name))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "pcapng"))
            .collect();
        files.sort();
        for file in files {
            accuracy.add_alone(&std::fs::read(&file).unwrap(), &file.display().to_string());
        }
    }
    let _ = std::fs::remove_dir_all(&directory);
    println!("{}", accuracy.print());
    let [own, _] = accuracy.packets();
    assert!(
        own >= 97.0 && accuracy.time() >= 95.0,
        "{own} % of the packets, {} % of the time",
        accuracy.time()
    );
}

/// No round trip that tshark sees is shorter than the least one.
#[test]
fn no_round_trip_that_tshark_sees_is_shorter_than_the_least() {
    const TEST: &str = "no_round_trip_that_tshark_sees_is_shorter_than_the_least";
    if !judge::have("tshark", TEST) {
        return;
    }
    let file = std::env::temp_dir().join(format!("tcpglass-rtt-{}.pcapng", std::process::id()));
    let mut said = 0;
    for seed in 0..6 {
        for capture in accuracy::capture(seed) {
            std::fs::write(&file, &capture).unwrap();
            let options = Options { infer: true, ..Options::default() };
            let summary = explain(capture.as_slice(), options).unwrap();
            // By connection and by the port of who acknowledges.
            let mut seen: BTreeMap<(usize, u16), Vec<f64>> = BTreeMap::new();
            let fields = ["tcp.stream", "tcp.srcport", "tcp.analysis.ack_rtt"];
            for row in judge::fields(&file, "tcp.analysis.ack_rtt", &fields) {
                let row: Vec<&str> = row.split('|').collect();
                let (stream, port) = (row[0].parse().unwrap(), row[1].parse().unwrap());
                seen.entry((stream, port)).or_default().push(row[2].parse().unwrap());
            }
            for ((stream, port), times) in seen {
                let c = &summary.connections[stream];
                let end = &c.ends[usize::from(port == c.server.port())];
                let least = times.iter().copied().fold(f64::MAX, f64::min);
                let ours = end.path.map_or(f64::MAX, |path| path.as_secs_f64());
                let place = format!("seed {seed}, connection {stream}, port {port}: {ours} against {least}");
                // What was sent twice tshark may take all the same.
                assert!(ours <= least + 1e-6 || times.len() < 3, "{place}");
                said += 1;
            }
        }
    }
    assert!(said > 10, "{said}");
    std::fs::remove_file(&file).unwrap();
}

/// Whatever the settings and the network, the parts add up, and what explains never panics.
#[test]
fn the_parts_of_any_exchange_add_up() {
    for seed in 0..60 {
        let profile = [Config::linux(), Config::rfc(), Config::classic()][seed % 3].clone();
        let link = ["rtt=5ms,loss=5%", "rtt=80ms,loss=1%,reorder=5%", "rtt=1ms,duplicate=5%,bandwidth=5mbit"]
            [seed / 3 % 3];
        let mut scene = Scene::new(link, &profile, &tcp::Config { nagle: Nagle::Off, ..profile.clone() });
        let Ok(socket) = scene.world.connect(scene.hosts[0], SocketAddr::new(SERVER, 80)) else { continue };
        scene.get(socket, &format!("/bytes/{}", 1000 * seed), 1000 * seed);
        scene.world.run_for(Duration::from_millis(seed as u64 * 10));
        scene.get(socket, "/bytes/20000", 20_000);
        for (view, summary) in views(scene) {
            let whole =
                summary.connections[0].exchanges.iter().filter(|e| e.progress == Progress::Complete).count();
            assert_eq!(whole, 2, "{view}, seed {seed}");
        }
    }
}

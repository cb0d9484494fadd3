//! Does each connection and each exchange account for every microsecond, and for the right one?

use crate::judge::Memory;
use std::net::{IpAddr, SocketAddr};
use tcpglass::explain::{Options, explain};
use tcpglass::http;
use tcpglass::ledger::{Part, Parts};
use tcpglass::service::{ClientOptions, Fetched, HttpClient, HttpServer, RequestPlan, Site};
use tcpglass::sim::{Action, HostId, Passing, Rng, World, host_config};
use tcpglass::stack::Owner;
use tcpglass::tcp::{Config, Nagle};
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::{Format, TraceOptions, Tracer, to_writer};

const MS: Duration = Duration::from_millis(1);
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

/// The textbooks' delayed ACK, whose cost can be computed beforehand.
fn textbook() -> Config {
    Config { ack_adaptive: false, ..Config::linux() }
}

struct Scene {
    world: World,
    hosts: [HostId; 2],
    capture: Memory,
}

fn scene(seed: u64, link: &str, client: &Config, server: &Config) -> Scene {
    let mut world = World::new(seed, link.parse().unwrap());
    world.check_invariants(true);
    let capture = Memory::default();
    let tracer = Tracer::new(vec![to_writer(capture.clone(), Format::Pcapng, &TraceOptions::default())]);
    let hosts = [
        world.add_host("client", host_config(CLIENT, client.clone()), tracer),
        world.add_host("server", host_config(SERVER, server.clone()), Tracer::default()),
    ];
    let site = HttpServer::new(
        Owner(1),
        vec![SocketAddr::new(SERVER, 80)],
        Site::default(),
        http::Config::default(),
    );
    world.add_service(hosts[1], Box::new(site));
    Scene { world, hosts, capture }
}

impl Scene {
    fn fetch(&mut self, urls: &[String], http: http::Config) -> Vec<Fetched> {
        let plans = urls.iter().map(|url| RequestPlan::get(url).unwrap()).collect();
        let options = ClientOptions { http, max_time: Some(60_000 * MS), ..ClientOptions::default() };
        let client = HttpClient::new(Owner(2), plans, options);
        let results = client.results();
        self.world.add_service(self.hosts[0], Box::new(client));
        let mut all = Vec::new();
        for _ in 0..1200 {
            self.world.run_for(100 * MS);
            all.extend(results.try_iter());
            if all.len() == urls.len() {
                break;
            }
        }
        all
    }
}

/// The parts that took any time, in milliseconds.
fn ms(parts: &Parts) -> Vec<(&'static str, u64)> {
    parts.iter().map(|(part, time)| (part.word(), (time.as_micros() as u64 + 500) / 1000)).collect()
}

fn check_sum(fetched: &Fetched) {
    let (start, end) = (fetched.timings.start.unwrap(), fetched.timings.last_byte.unwrap());
    assert_eq!(
        fetched.ledger.total().as_micros() as u64,
        end.as_micros() - start.as_micros(),
        "{fetched:#?}"
    );
}

#[test]
fn a_held_second_write_is_charged_to_nagle_and_to_the_delayed_ack_of_the_peer() {
    for (nagle, expected) in [(true, 10), (false, 0)] {
        let cfg = if nagle { textbook() } else { Config { nagle: Nagle::Off, ..textbook() } };
        let slow = Config { quickack: 0, ..textbook() };
        let mut scene = scene(1, "rtt=10ms", &cfg, &slow);
        let socket = scene.world.connect(scene.hosts[0], SocketAddr::new(SERVER, 80)).unwrap();
        for text in ["POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", "abc"] {
            scene.world.write_all(socket, text.as_bytes()).unwrap();
            scene.world.run_for(Duration::ZERO);
        }
        scene.world.read_exact(socket, &mut [0]).unwrap();
        let ledger = scene.world.ledger(socket).unwrap();
        assert_eq!(ledger.nagle, expected * MS, "{ledger:?}");
        assert_eq!(ledger.peer_ack_delay, 4 * expected * MS, "{ledger:?}");
        assert_eq!((ledger.handshake, ledger.link), (10 * MS, 10 * MS), "{ledger:?}");
        assert_eq!(ledger.total(), scene.world.now().since(Instant::ZERO), "{ledger:?}");
    }
}

#[test]
fn what_holds_a_transfer_is_known_at_the_end_that_sends_it() {
    let small = Config { recv_buffer: 16 << 10, ..textbook() };
    for (client, server, link, expected) in [
        (textbook(), textbook(), "rtt=100ms", vec![("handshake", 100), ("cwnd", 200)]),
        (small, textbook(), "rtt=100ms", vec![("handshake", 100), ("rwnd", 1100)]),
    ] {
        let mut scene = scene(1, link, &client, &server);
        let (a, b) = scene.world.pair(scene.hosts[0], scene.hosts[1], (SERVER, 81)).unwrap();
        let received = scene.world.transfer(b, a, &vec![7; 100_000]).unwrap();
        assert_eq!(received.len(), 100_000);
        let ledger = scene.world.ledger(b).unwrap();
        for (word, at_least) in expected {
            let part = Part::ALL.into_iter().find(|p| p.word() == word).unwrap();
            let time = ledger.of(part).as_millis() as u64;
            assert!((at_least * 9 / 10..=at_least * 11 / 10).contains(&time), "{word}: {:?}", ms(&ledger));
        }
    }
}

#[test]
fn a_fetch_is_charged_to_the_handshake_the_link_the_server_and_the_window() {
    let mut scene = scene(1, "rtt=100ms", &textbook(), &textbook());
    let urls = ["/bytes/100000", "/delay/30", "/bytes/10"].map(|page| format!("http://{SERVER}{page}"));
    let all = scene.fetch(&urls, http::Config { parallel: 1, ..http::Config::default() });
    all.iter().for_each(check_sum);
    let parts: Vec<_> = all.iter().map(|f| ms(&f.ledger)).collect();
    assert_eq!(parts[0], [("handshake", 100), ("cwnd", 200), ("link", 100)]);
    assert_eq!(parts[1], [("server", 30), ("link", 100)]);
    assert_eq!(parts[2], [("link", 100)]);
}

/// 256 kbit/s: 47 ms for each packet, and eight connections that share the way. The server's own time is what its page says.
#[test]
fn what_waits_in_the_queue_of_a_link_is_charged_to_the_link_and_not_to_the_other_end() {
    for link in ["rtt=100ms,bandwidth=256kbit", "rtt=100ms,bandwidth=256kbit,loss=2%"] {
        let mut scene = scene(3, link, &textbook(), &textbook());
        let urls: Vec<_> = (0..16).map(|n| format!("http://{SERVER}/bytes/{}", 5000 + n)).collect();
        let mut all = scene.fetch(&urls, http::Config { parallel: 8, ..http::Config::default() });
        all.extend(scene.fetch(&[format!("http://{SERVER}/delay/300")], http::Config::default()));
        assert_eq!(all.len(), 17);
        all.iter().for_each(check_sum);
        let sum = |part| all.iter().map(|f| f.ledger.of(part)).sum::<Duration>().as_millis();
        assert_eq!(
            sum(Part::Server),
            300,
            "{link}: {:?}",
            all.iter().map(|f| ms(&f.ledger)).collect::<Vec<_>>()
        );
        assert!(sum(Part::Link) > 8000 && sum(Part::Transfer) > 16 * 100, "{link}");
        assert_eq!(sum(Part::Recovery) > 0, link.contains("loss"), "{link}: {}", sum(Part::Recovery));
    }
}

/// What a rule does to a packet is the network's doing, too.
#[test]
fn a_response_that_is_delayed_or_lost_on_the_way_is_not_the_servers_time() {
    for (rule, expected) in [
        (Action::Delay(25 * MS), vec![("handshake", 20), ("link", 45)]),
        // The server sends it again after 220 ms, and so does the client its request, counted from when that left.
        (Action::Drop, vec![("handshake", 20), ("recovery", 230), ("link", 10)]),
    ] {
        let mut scene = scene(1, "rtt=20ms", &textbook(), &textbook());
        let mut done = false;
        let [client, server] = scene.hosts;
        scene.world.add_rule(server, client, move |packet: &Passing<'_>| {
            let first = !packet.payload.is_empty() && !std::mem::replace(&mut done, true);
            if first { rule } else { Action::Pass }
        });
        let all = scene.fetch(&[format!("http://{SERVER}/bytes/100")], http::Config::default());
        check_sum(&all[0]);
        assert_eq!(ms(&all[0].ledger), expected, "{rule:?}");
    }
}

#[test]
fn pipelined_requests_wait_in_a_queue_and_nobody_pays_twice() {
    let mut scene = scene(1, "rtt=50ms", &textbook(), &textbook());
    let urls =
        ["/bytes/1", "/delay/200", "/bytes/2", "/bytes/3"].map(|page| format!("http://{SERVER}{page}"));
    let all = scene.fetch(&urls, http::Config { parallel: 1, pipeline: 4, ..http::Config::default() });
    all.iter().for_each(check_sum);
    assert!(all.iter().filter(|f| f.pipelined && f.ledger.queue >= 200 * MS).count() >= 2, "{all:#?}");
    let slow = all.iter().find(|f| f.url.ends_with("200")).unwrap();
    assert_eq!(slow.ledger.server, 200 * MS, "{:?}", ms(&slow.ledger));
}

#[test]
fn a_lost_syn_is_recovery_and_a_refused_attempt_is_accounted_for() {
    let mut scene = scene(1, "rtt=20ms", &textbook(), &textbook());
    let [client, server] = scene.hosts;
    scene.world.set_link(client, server, &"rtt=20ms,loss=100%".parse().unwrap());
    let socket = scene.world.start_connect(client, SocketAddr::new(SERVER, 80)).unwrap();
    scene.world.run_for(500 * MS);
    scene.world.set_link(client, server, &"rtt=20ms".parse().unwrap());
    scene.world.run_for(1500 * MS);
    let ledger = scene.world.ledger(socket).unwrap();
    assert_eq!((ledger.recovery, ledger.handshake), (1000 * MS, 20 * MS), "{ledger:?}");
    let refused = scene.fetch(&[format!("http://{SERVER}:81/")], http::Config::default()).pop().unwrap();
    assert!(refused.error.is_some());
    assert_eq!(ms(&refused.ledger), [("handshake", 20)]);
}

#[test]
fn the_ledger_agrees_with_what_a_capture_of_the_same_run_says() {
    let (mut alike, mut whole) = (Duration::ZERO, Duration::ZERO);
    let mut apart = String::new();
    for seed in 0..60 {
        let mut rng = Rng::new(seed, 77);
        let mut pick = |list: &[&str]| list[rng.below(list.len() as u64) as usize].to_owned();
        let link = format!(
            "rtt={},bandwidth={},loss={}",
            pick(&["2ms", "20ms", "100ms"]),
            // Nothing waits in a queue for long: of that a capture knows less than the simulator says.
            pick(&["unlimited", "1gbit", "100mbit"]),
            pick(&["0", "0", "1%"])
        );
        let urls: Vec<String> = (0..4)
            .map(|_| {
                pick(&[
                    "/bytes/10",
                    "/bytes/30000",
                    "/bytes/200000",
                    "/delay/40",
                    "/drip?chunks=3&size=100&gap=30ms",
                ])
            })
            .map(|page| format!("http://{SERVER}{page}"))
            .collect();
        let mut scene = scene(seed, &link, &Config::linux(), &Config::linux());
        let all = scene.fetch(&urls, http::Config { parallel: 1, ..http::Config::default() });
        assert_eq!(all.len(), 4, "seed {seed}");
        scene.world.run_for(2000 * MS);
        scene.world.finish().unwrap();
        let summary = explain(scene.capture.take().as_slice(), Options::default()).unwrap();
        let told: Vec<_> = summary.connections.iter().flat_map(|c| &c.exchanges).collect();
        for (online, told) in all.iter().zip(told) {
            check_sum(online);
            whole += online.ledger.total();
            let same: Duration =
                Part::ALL.iter().map(|part| online.ledger.of(*part).min(told.parts.of(*part))).sum();
            alike += same;
            if same * 10 < online.ledger.total() * 9 {
                apart += &format!(
                    "seed {seed} {link} {}: online {:?}, told {:?}\n",
                    online.url,
                    ms(&online.ledger),
                    ms(&told.parts)
                );
            }
        }
    }
    let share = 100.0 * alike.as_secs_f64() / whole.as_secs_f64();
    println!("{share:.1} % alike\n{apart}");
    // What a sender does near the edge of a window is told apart less well, and one whose buffer is full pushes a short segment,
    // behind which nobody else can tell what it waits for.
    assert!(share > 93.0, "{share:.1} % alike\n{apart}");
}

//! Does the simulated network do what its settings say, and TCP on it what it promises?

mod authors;
mod congestion;
mod differential;
mod ledger;
mod mtu;
mod names;
pub mod soak;
mod tasks;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tcpglass::service::{
    ClientOptions, EchoService, Fetched, HttpClient, HttpServer, RequestPlan, Site, Talk, pattern,
};
use tcpglass::sim::{HostId, Reference, Rng, SimError, Socket, World, host_config};
use tcpglass::stack::Owner;
use tcpglass::stream::{ByteStream, StreamError};
use tcpglass::tcp::{Config, Shutdown, State};
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::{
    Direction, EventKind, EventRecord, Format, Record, Sink, TraceOptions, Tracer, to_writer,
};

const MS: Duration = Duration::from_millis(1);
/// More than any transfer here may take.
const LONG: Duration = Duration::from_secs(600);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A world with two hosts, at .1 and .2.
fn two_with(seed: u64, link: &str, cfg: Config) -> (World, HostId, HostId) {
    let mut world = World::new(seed, link.parse().unwrap());
    world.check_invariants(true);
    let [a, b] = ["10.0.0.1", "10.0.0.2"]
        .map(|ip| world.add_host(ip, host_config(ip.parse().unwrap(), cfg.clone()), Tracer::default()));
    (world, a, b)
}

fn two(seed: u64, link: &str) -> (World, HostId, HostId) {
    two_with(seed, link, Config::linux())
}

fn connected(seed: u64, link: &str) -> (World, Socket, Socket) {
    let (mut world, a, b) = two(seed, link);
    let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
    (world, here, there)
}

/// What a reference host sends and expects.
fn bytes(n: usize) -> Vec<u8> {
    let mut all = vec![0; n];
    pattern(0, &mut all);
    all
}

#[test]
fn a_handshake_takes_one_rtt() {
    let (mut world, a, b) = two(1, "rtt=100ms");
    let listener = world.listen(b, addr("10.0.0.2:80")).unwrap();
    world.connect(a, addr("10.0.0.2:80")).unwrap();
    assert_eq!(world.now(), Instant::from_millis(100));
    world.accept(listener).unwrap();
    assert_eq!(world.now(), Instant::from_millis(150), "the third segment");
}

#[test]
fn data_and_its_acknowledgment_take_one_rtt() {
    let (mut world, here, there) = connected(1, "rtt=100ms");
    let start = world.now();
    world.write_all(here, b"ping").unwrap();
    let mut buf = [0; 4];
    world.read_exact(there, &mut buf).unwrap();
    assert_eq!((world.now().since(start), &buf), (50 * MS, b"ping"));
    assert!(world.run_until(LONG, |w| w.stack(here.host).conn(here.id).unwrap().unacked() == 0));
    assert_eq!(world.now().since(start), 100 * MS);
}

#[test]
fn a_segment_takes_as_long_as_its_bits() {
    // 20 + 20 + 12 bytes of headers and 1448 of data at 12 Mbit/s: 1 ms.
    let (mut world, here, there) = connected(1, "bandwidth=12mbit,rtt=20ms");
    world.run_for(LONG);
    let start = world.now();
    world.transfer(here, there, &bytes(5 * 1448)).unwrap();
    assert_eq!(world.now().since(start), 15 * MS);
}

#[test]
fn a_link_without_faults_is_filled() {
    let (mut world, here, there) = connected(1, "bandwidth=50mbit,rtt=20ms");
    let start = world.now();
    world.transfer(here, there, &bytes(4 << 20)).unwrap();
    let carried = world.link_totals(here.host, there.host);
    // What the bytes take, and the round trips of slow start: from 10 segments to the 86 that fill the path.
    let (sending, rtt) = (Duration::from_nanos(carried.bytes * 8 * 20), 20 * MS);
    let took = world.now().since(start);
    assert!(took >= sending && took <= sending + 5 * rtt, "{took:?}, {sending:?}");
    assert_eq!(carried.lost + carried.queue_full, 0);
}

#[test]
fn one_seed_gives_one_hash_and_another_seed_another() {
    let run = |seed| {
        let (mut world, here, there) = connected(seed, "rtt=30ms,bandwidth=20mbit,loss=2%,reorder=2%");
        world.transfer(here, there, &bytes(200_000)).unwrap();
        (world.hash(), world.now(), world.packets())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn a_megabyte_survives_every_impairment_in_both_directions() {
    let link = "rtt=20ms,bandwidth=50mbit,loss=2%,reorder=2%,duplicate=2%,corrupt=1%";
    let data = bytes(1 << 20);
    for seed in 0..5 {
        let (mut world, here, there) = connected(seed, link);
        assert!(world.transfer(here, there, &data).unwrap() == data, "seed {seed}, client to server");
        assert!(world.transfer(there, here, &data).unwrap() == data, "seed {seed}, server to client");
        let totals = world.link_totals(here.host, there.host);
        assert!(totals.lost > 0 && totals.corrupted > 0 && totals.duplicated > 0 && totals.reordered > 0);
    }
}

#[test]
fn both_directions_at_once_survive_every_impairment() {
    let link = "rtt=20ms,bandwidth=50mbit,loss=2%,reorder=2%,duplicate=2%,corrupt=1%";
    let data = bytes(300_000);
    for seed in 0..5 {
        let (mut world, here, there) = connected(seed, link);
        let mut ends = [(here, 0, Vec::new()), (there, 0, Vec::new())];
        let done = world.run_until(LONG, |world| {
            let now = world.now();
            for (socket, written, read) in &mut ends {
                let mut stream = world.stack(socket.host).stream(now, socket.id);
                *written += stream.write(&data[*written..]).unwrap_or(0);
                let mut buf = [0; 8192];
                while let Ok(n @ 1..) = stream.read(&mut buf) {
                    read.extend_from_slice(&buf[..n]);
                }
            }
            ends.iter().all(|(_, _, read)| read.len() >= data.len())
        });
        assert!(done, "seed {seed}");
        assert!(ends.iter().all(|(_, _, read)| *read == data), "seed {seed}");
    }
}

#[test]
fn ipv6_survives_every_impairment() {
    let mut world = World::new(3, "rtt=20ms,loss=2%,reorder=2%,duplicate=2%,corrupt=2%".parse().unwrap());
    let [a, b] = ["fd00::1", "fd00::2"]
        .map(|ip| world.add_host(ip, host_config(ip.parse().unwrap(), Config::linux()), Tracer::default()));
    let (here, there) = world.pair(a, b, addr("[fd00::2]:80")).unwrap();
    let data = bytes(300_000);
    assert!(world.transfer(here, there, &data).unwrap() == data);
}

#[test]
fn closing_both_sides_leaves_nothing_but_a_time_wait() {
    let (mut world, here, there) = connected(1, "rtt=10ms");
    world.write_all(here, b"question").unwrap();
    world.shutdown(here, Shutdown::Write);
    assert_eq!(world.read_to_end(there).unwrap(), b"question");
    world.write_all(there, b"answer").unwrap();
    world.close(there);
    assert_eq!(world.read_to_end(here).unwrap(), b"answer");
    world.close(here);
    world.run_for(100 * MS);
    assert_eq!((world.state(here), world.state(there)), (State::Closed, State::Closed));
    assert_eq!(world.stack(here.host).time_waits(), 1, "the side that closed first");
    assert_eq!(world.stack(there.host).time_waits(), 0);
    assert!(world.run_to_end(LONG), "and that ends");
    assert_eq!(world.stack(here.host).time_waits(), 0);
}

#[test]
fn a_port_without_a_listener_refuses() {
    let (mut world, a, _) = two(1, "rtt=10ms");
    let refused = world.connect(a, addr("10.0.0.2:81"));
    assert_eq!(refused, Err(SimError::Stream(StreamError::ConnectionRefused)));
    assert_eq!(world.now(), Instant::from_millis(10));
}

#[test]
fn an_address_without_a_host_times_out_and_is_counted() {
    let (mut world, a, _) = two(1, "rtt=10ms");
    let nobody = world.connect(a, addr("10.0.0.3:80"));
    assert_eq!(nobody, Err(SimError::Stream(StreamError::TimedOut)));
    assert_eq!(world.unroutable(), 11, "a SYN and ten repetitions");
}

#[test]
fn a_packet_goes_to_the_host_that_has_its_address() {
    let (mut world, a, b) = two(1, "rtt=10ms");
    let c = world.add_host("c", host_config("10.0.0.3".parse().unwrap(), Config::linux()), Tracer::default());
    world.set_link(a, c, &"rtt=50ms".parse().unwrap());
    let (to_b, at_b) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
    let (to_c, at_c) = world.pair(a, c, addr("10.0.0.3:80")).unwrap();
    for (here, there, time) in [(to_b, at_b, 5), (to_c, at_c, 25)] {
        let start = world.now();
        assert_eq!(world.transfer(here, there, b"hello").unwrap(), b"hello");
        assert_eq!(world.now().since(start), time * MS);
    }
    assert_eq!(world.link_totals(b, c).packets, 0);
}

#[test]
fn a_link_that_is_cut_can_be_joined_again() {
    let (mut world, here, there) = connected(1, "rtt=10ms");
    world.set_link(here.host, there.host, &"loss=100%".parse().unwrap());
    world.write_all(here, b"through").unwrap();
    world.run_for(Duration::from_secs(5));
    world.set_link(here.host, there.host, &"rtt=10ms".parse().unwrap());
    let mut buf = [0; 7];
    world.read_exact(there, &mut buf).unwrap();
    assert_eq!(&buf, b"through");
}

#[test]
fn segmentation_offload_sends_the_same_packets_at_the_same_times() {
    let run = |offload, link| {
        let (mut world, a, b) = two(5, link);
        world.set_offload(a, offload);
        let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
        let data = bytes(400_000);
        assert!(world.transfer(here, there, &data).unwrap() == data);
        (world.packets(), world.now(), world.hash())
    };
    for link in ["rtt=20ms,bandwidth=100mbit", "rtt=20ms,bandwidth=100mbit,loss=1%,reorder=1%"] {
        assert_eq!(run(true, link), run(false, link), "{link}");
    }
}

#[test]
fn receive_offload_joins_what_comes_together_and_loses_none_of_it() {
    let run = |offload, link: &str| {
        let (mut world, a, b) = two(5, link);
        for host in [a, b] {
            world.set_offload(host, offload);
        }
        let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
        let data = bytes(400_000);
        assert!(world.transfer(here, there, &data).unwrap() == data);
        let sent = world.counts(a).of("data", Direction::Out);
        (sent, world.counts(b).of("in-order", Direction::In), world.link_totals(b, a).packets)
    };
    let (joined, alone) = (run(true, "rtt=20ms"), run(false, "rtt=20ms"));
    assert!(joined.1 >= joined.0, "each packet of the wire counts: {joined:?}");
    assert!(joined.2 * 4 < alone.2, "acknowledgments of many packets at once: {joined:?}, {alone:?}");
    // Where packets come one after the other there is nothing to be joined.
    let link = "rtt=20ms,bandwidth=100mbit";
    assert_eq!(run(true, link), run(false, link));
    // What is damaged is not joined, and not taken.
    run(true, "rtt=20ms,corrupt=3%,loss=1%,reorder=3%,duplicate=3%");
}

/// In units of 16 KiB no window of 700 bytes can be named: rounded down it would never open again once it has closed.
#[test]
fn a_window_scale_larger_than_the_buffer_does_not_keep_the_window_closed() {
    let cfg = Config {
        recv_buffer: 700,
        send_buffer_initial: 1 << 20,
        window_scale: tcpglass::tcp::WindowScale::Shift(14),
        ..Config::linux()
    };
    let (mut world, a, b) = two_with(1, "rtt=10ms", cfg);
    let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
    let data = bytes(100_000);
    world.write_all(here, &data).unwrap();
    world.shutdown(here, Shutdown::Write);
    world.run_for(Duration::from_secs(5));
    assert!(world.read_to_end(there).unwrap() == data);
}

fn with_reference(seed: u64, link: &str, buffer: usize) -> (World, HostId, tcpglass::sim::ReferenceId) {
    let mut world = World::new(seed, link.parse().unwrap());
    world.check_invariants(true);
    let ours =
        world.add_host("ours", host_config("10.0.0.1".parse().unwrap(), Config::linux()), Tracer::default());
    let theirs = world.add_reference(Reference::new("10.0.0.2".parse().unwrap(), 1500, buffer, seed));
    (world, ours, theirs)
}

const DIFFERENTIAL: [&str; 4] = [
    "ideal",
    "rtt=20ms",
    "rtt=20ms,bandwidth=20mbit,queue=20",
    "rtt=10ms,loss=1%,reorder=1%,duplicate=1%,corrupt=1%",
];

#[test]
fn smoltcp_reads_what_we_send() {
    for link in DIFFERENTIAL {
        let (mut world, ours, theirs) = with_reference(1, link, 32 << 10);
        world.reference(theirs).listen(80);
        let socket = world.connect(ours, addr("10.0.0.2:80")).unwrap();
        let data = bytes(500_000);
        world.write_all(socket, &data).unwrap();
        world.shutdown(socket, Shutdown::Write);
        assert!(world.run_until(LONG, |w| w.reference(theirs).received() == 500_000), "{link}");
        assert_eq!(world.reference(theirs).mismatch(), None, "{link}");
    }
}

#[test]
fn we_read_what_smoltcp_sends() {
    for link in DIFFERENTIAL {
        let (mut world, ours, theirs) = with_reference(2, link, 32 << 10);
        let listener = world.listen(ours, addr("10.0.0.1:80")).unwrap();
        let reference = world.reference(theirs);
        reference.connect(4000, addr("10.0.0.1:80"));
        reference.send(500_000);
        reference.close();
        let socket = world.accept(listener).unwrap();
        assert!(world.read_to_end(socket).unwrap() == bytes(500_000), "{link}");
    }
}

#[test]
fn smoltcp_that_does_not_read_closes_its_window_and_opens_it_again() {
    let (mut world, ours, theirs) = with_reference(3, "rtt=10ms", 8 << 10);
    world.reference(theirs).listen(80);
    world.reference(theirs).set_reading(false);
    let socket = world.connect(ours, addr("10.0.0.2:80")).unwrap();
    world.write_all(socket, &bytes(30_000)).unwrap();
    world.run_for(Duration::from_secs(300));
    assert_eq!(world.reference(theirs).received(), 0);
    assert_eq!(world.state(socket), State::Established, "probes keep it alive: RFC 9293 §3.8.6.1 (MUST-37)");
    world.reference(theirs).set_reading(true);
    assert!(world.run_until(LONG, |w| w.reference(theirs).received() == 30_000));
    assert_eq!(world.reference(theirs).mismatch(), None);
}

#[test]
fn a_service_runs_on_a_host_and_can_be_drained() {
    let (mut world, a, b) = two(1, "rtt=10ms,loss=1%");
    world.add_service(b, Box::new(EchoService::new(Owner(1), addr("10.0.0.2:7"), Talk::Echo)));
    let socket = world.connect(a, addr("10.0.0.2:7")).unwrap();
    let data = bytes(100_000);
    assert!(world.transfer(socket, socket, &data).unwrap() == data);
    assert!(!world.drain(Duration::from_secs(1)), "a connection is open");
    world.shutdown(socket, Shutdown::Write);
    assert!(world.drain(LONG));
    assert_eq!(world.read_to_end(socket).unwrap(), b"");
    assert!(world.connect(a, addr("10.0.0.2:7")).is_err(), "nobody listens any more");
}

/// A file in memory that several can look at.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Six requests on parallel connections over a bad network: the client's capture, the results, the world's hash.
fn http_run(seed: u64) -> (Vec<u8>, Vec<Fetched>, u64) {
    let mut world = World::new(seed, "rtt=30ms,bandwidth=20mbit,loss=2%,reorder=1%".parse().unwrap());
    world.check_invariants(true);
    let capture = Shared::default();
    let sink = to_writer(capture.clone(), Format::Pcapng, &TraceOptions::default());
    let client =
        world.add_host("client", host_config([10, 0, 0, 1].into(), Config::linux()), Tracer::new(vec![sink]));
    let server = world.add([10, 0, 0, 2]);
    let http = tcpglass::http::Config::default();
    let site = HttpServer::new(Owner(1), vec![addr("10.0.0.2:80")], Site::default(), http);
    world.add_service(server, Box::new(site));
    let plans = ["bytes/50000", "status/404", "headers", "bytes/1", "chunked/100000", "delay/300"]
        .map(|page| RequestPlan::get(&format!("http://10.0.0.2/{page}")).unwrap());
    let mut options = ClientOptions::default();
    options.http.parallel = 3;
    let requests = HttpClient::new(Owner(1), plans.into(), options);
    let results = requests.results();
    world.add_service(client, Box::new(requests));
    let mut fetched = Vec::new();
    assert!(world.run_until(LONG, |_| {
        fetched.extend(results.try_iter());
        fetched.len() == 6
    }));
    let hash = world.hash();
    world.finish().unwrap();
    let bytes = capture.0.lock().unwrap().clone();
    (bytes, fetched, hash)
}

#[test]
fn one_seed_gives_one_capture_byte_for_byte() {
    let (capture, fetched, hash) = http_run(7);
    assert!(capture.len() > 150_000, "{}", capture.len());
    for result in &fetched {
        assert_eq!(result.error, None, "{}", result.url);
    }
    assert!(http_run(7) == (capture, fetched, hash));
    assert!(http_run(8).2 != hash);
}

/// Keeps the rows about links and the words of packets.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<String>>>);

impl Sink for Rows {
    fn record(&mut self, record: &Record<'_>) {
        if let Record::Event(EventRecord { at, local, kind: EventKind::Link { action, text }, .. }) = record {
            let local = local.map_or("nobody".into(), |a| a.to_string());
            self.0.lock().unwrap().push(format!("{at} {local} {action}: {text}"));
        }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn both_hosts_traces_tell_what_the_link_did() {
    let mut world = World::new(1, "rtt=20ms,drop_nth=2".parse().unwrap());
    let [ours, theirs] = [Rows::default(), Rows::default()];
    let [a, b] = [("10.0.0.1", &ours), ("10.0.0.2", &theirs)].map(|(ip, rows)| {
        let tracer = Tracer::new(vec![Box::new(rows.clone())]);
        world.add_host(ip, host_config(ip.parse().unwrap(), Config::linux()), tracer)
    });
    let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
    let local = world.stack(a).addrs_of(here.id).unwrap().0;
    world.transfer(here, there, &bytes(3 * 1448)).unwrap();
    let first = world.stack(a).conn(here.id).unwrap().snapshot().iss.0.wrapping_add(1 + 1448);
    let lost = format!(
        "lost-nth: 1448 bytes {first}..{} from {local} to 10.0.0.2:80: segment 2 with data in this direction",
        first.wrapping_add(1448)
    );
    // It was sent with the handshake's last segment, after one round trip.
    assert_eq!(*ours.0.lock().unwrap(), [format!("0.030000 {local} {lost}")]);
    assert_eq!(*theirs.0.lock().unwrap(), [format!("0.030000 10.0.0.2:80 {lost}")]);
}

#[test]
fn a_packet_for_nobody_is_told() {
    let mut world = World::new(1, "rtt=20ms".parse().unwrap());
    let rows = Rows::default();
    let tracer = Tracer::new(vec![Box::new(rows.clone())]);
    let a = world.add_host("a", host_config([10, 0, 0, 1].into(), Config::linux()), tracer);
    world.start_connect(a, addr("10.0.0.9:80")).unwrap();
    world.run_for(MS);
    let text = "unroutable: no host has the packet's destination address";
    assert_eq!(*rows.0.lock().unwrap(), [format!("0.000000 nobody {text}")]);
}

#[test]
fn forged_and_broken_packets_harm_nobody() {
    let (mut world, here, there) = connected(1, "rtt=10ms");
    let mut rng = Rng::new(1, 99);
    let data = bytes(20_000);
    // A packet of the connection but for its checksum, which no forger without sight of it would hit.
    let (local, remote) = world.stack(here.host).addrs_of(here.id).unwrap();
    let mut real = vec![0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0x66, 0xba, 10, 0, 0, 1, 10, 0, 0, 2];
    real.extend(local.port().to_be_bytes().into_iter().chain(remote.port().to_be_bytes()));
    real.resize(60, 0x50);
    for round in 0..2000 {
        let mut frame = real.clone();
        match round % 3 {
            0 => frame = (0..rng.below(100)).map(|_| rng.next_u64() as u8).collect(),
            1 => frame.truncate(rng.below(60) as usize),
            _ => frame[rng.below(60) as usize] = rng.next_u64() as u8,
        }
        world.inject(there.host, &frame);
    }
    assert!(world.transfer(here, there, &data).unwrap() == data);
    assert!(world.transfer(there, here, &data).unwrap() == data);
}

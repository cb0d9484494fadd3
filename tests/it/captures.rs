//! Are the captures in `captures/` what the simulator makes of their scenarios, to the byte?

use crate::judge::{self, Memory};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use tcpglass::http;
use tcpglass::service::{ClientOptions, HttpClient, HttpServer, RequestPlan, Site};
use tcpglass::sim::{HostId, Socket, World, host_config};
use tcpglass::stack::Owner;
use tcpglass::tcp::{Config, Congestion, Nagle, Shutdown};
use tcpglass::time::Duration;
use tcpglass::trace::{Format, TraceOptions, Tracer, to_writer};

/// Larger than this a capture is no example any more.
const MOST: usize = 60 << 10;
const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

/// Whose view is captured.
#[derive(PartialEq)]
enum View {
    Client,
    Server,
}

/// A client and a server, one of them captured.
struct Scene {
    world: World,
    client: HostId,
    server: HostId,
    file: Memory,
}

impl Scene {
    fn new(view: View, about: &str, link: &str, cfg: &Config) -> Scene {
        let file = Memory::default();
        let options = TraceOptions {
            names: vec![(CLIENT, "client".into()), (SERVER, "server".into())],
            description: about.into(),
            portable: true,
            ..TraceOptions::default()
        };
        let mut world = World::new(1, link.parse().unwrap());
        world.check_invariants(true);
        let mut host = |name, addr, captured: bool| {
            let sink = || to_writer(file.clone(), Format::Pcapng, &options);
            let tracer = if captured { Tracer::new(vec![sink()]) } else { Tracer::default() };
            world.add_host(name, host_config(addr, cfg.clone()), tracer)
        };
        let client = host("client", CLIENT, view == View::Client);
        let server = host("server", SERVER, view == View::Server);
        Scene { world, client, server, file }
    }

    /// A connection whose bytes belong to no protocol that Wireshark would look for.
    fn pair(&mut self) -> (Socket, Socket) {
        self.world.pair(self.client, self.server, SocketAddr::new(SERVER, 4242)).unwrap()
    }

    /// Writes, and lets the stack see the write before the next one.
    fn write(&mut self, socket: Socket, len: usize) {
        self.world.write_all(socket, &vec![b'x'; len]).unwrap();
        self.world.run_for(Duration::ZERO);
    }

    fn read(&mut self, socket: Socket, len: usize) {
        self.world.read_exact(socket, &mut vec![0; len]).unwrap();
    }

    fn close(&mut self, first: Socket, second: Socket) {
        self.world.shutdown(first, Shutdown::Write);
        assert_eq!(self.world.read_to_end(second).unwrap(), b"");
        self.world.close(second);
        assert_eq!(self.world.read_to_end(first).unwrap(), b"");
        self.world.close(first);
    }

    /// Lets the last acknowledgments pass and completes the capture.
    fn end(mut self) -> Vec<u8> {
        self.world.run_for(1000 * MS);
        self.world.finish().unwrap();
        self.file.take()
    }
}

fn http_get() -> Vec<u8> {
    let about = "GET of a page of 20,000 bytes over 20 ms, seen by the server: handshake, slow start, close";
    let mut scene = Scene::new(View::Server, about, "rtt=20ms,bandwidth=100mbit", &Config::linux());
    let config = http::Config { keepalive: false, ..http::Config::default() };
    let site = HttpServer::new(Owner(1), vec![SocketAddr::new(SERVER, 80)], Site::default(), config.clone());
    scene.world.add_service(scene.server, Box::new(site));
    let plan = RequestPlan::get("http://10.0.0.2/bytes/20000").unwrap();
    let options = ClientOptions { http: config, ..ClientOptions::default() };
    let client = HttpClient::new(Owner(1), vec![plan], options);
    let results = client.results();
    scene.world.add_service(scene.client, Box::new(client));
    let mut fetched = Vec::new();
    assert!(scene.world.run_until(LONG, |_| {
        fetched.extend(results.try_iter());
        !fetched.is_empty()
    }));
    assert_eq!(fetched[0].error, None);
    scene.end()
}

fn nagle_delayed_ack() -> Vec<u8> {
    let about = "write, write, read over 20 ms, seen by the client: Nagle's algorithm waits for a delayed ACK of 200 ms; \
                 then the same with TCP_NODELAY";
    // As the RFCs recommend; a time-out of at least a second, which no delayed acknowledgment reaches, is part of that.
    let mut scene = Scene::new(View::Client, about, "rtt=20ms", &Config::rfc());
    let (client, server) = scene.pair();
    // What a kept connection has behind it: the window that a SYN cannot express has been announced.
    scene.write(client, 1);
    scene.read(server, 1);
    scene.write(server, 1);
    scene.read(client, 1);
    scene.world.run_for(500 * MS);
    for nodelay in [false, true] {
        if nodelay {
            let (host, now) = (client.host, scene.world.now());
            scene.world.stack(host).set_opts(now, client.id, |opts| opts.nagle = Nagle::Off);
        }
        let start = scene.world.now();
        scene.write(client, 200);
        scene.write(client, 300);
        scene.read(server, 500);
        scene.write(server, 100);
        scene.read(client, 100);
        let took = scene.world.now().since(start);
        assert_eq!(took, if nodelay { 20 * MS } else { 240 * MS });
        scene.world.run_for(500 * MS);
    }
    scene.close(client, server);
    scene.end()
}

fn loss_recovery() -> Vec<u8> {
    let about = "14 segments and then 5 over 50 ms, seen by the sender: two are lost and repaired through SACK, the last \
                 one is lost and repaired after a retransmission time-out";
    let cfg = Config { tail_loss_probe: false, congestion: Congestion::NewReno, ..Config::linux() };
    // The 6th and the 9th segment; with their two repetitions the very last one is number 21.
    let mut scene = Scene::new(View::Client, about, "rtt=50ms,drop_nth=6+9+21", &cfg);
    let (client, server) = scene.pair();
    for segments in [14, 5] {
        let data = vec![b'x'; segments * 1448];
        assert!(scene.world.transfer(client, server, &data).unwrap() == data);
        // Shorter than a time-out, lest the window fall back for being idle.
        scene.world.run_for(100 * MS);
    }
    let totals = scene.world.link_totals(scene.client, scene.server);
    assert_eq!(totals.lost_nth, 3);
    scene.close(client, server);
    scene.end()
}

type Scenario = fn() -> Vec<u8>;

const ALL: [(&str, Scenario); 3] =
    [("http_get", http_get), ("nagle_delayed_ack", nagle_delayed_ack), ("loss_recovery", loss_recovery)];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(format!("{name}.pcapng"))
}

/// With `TCPGLASS_BLESS` set, what is made becomes what is wanted.
#[test]
fn the_captures_are_what_their_scenarios_make() {
    for (name, scenario) in ALL {
        let made = scenario();
        assert!(made == scenario(), "{name}: a second time it is another");
        assert!(made.len() < MOST, "{name}: {} bytes", made.len());
        if std::env::var_os("TCPGLASS_BLESS").is_some() {
            std::fs::write(path(name), &made).unwrap();
            println!("written: {}", path(name).display());
        }
        let kept = std::fs::read(path(name)).unwrap();
        let differ = kept.iter().zip(&made).position(|(a, b)| a != b).unwrap_or(kept.len().min(made.len()));
        assert!(
            kept == made,
            "{name}.pcapng: {} bytes are kept, {} are made, from byte {differ} on they differ; if that is meant: make captures",
            kept.len(),
            made.len()
        );
    }
}

#[test]
fn tshark_finds_in_the_captures_what_their_page_says() {
    if !judge::have("tshark", "tshark_finds_in_the_captures_what_their_page_says") {
        return;
    }
    const NO: &str = "tcp.analysis.flags && !tcp.analysis.window_update";
    for (name, filter, packets) in [
        ("http_get", "frame.comment contains \"why=syn-ack\"", 1..=1),
        ("http_get", "http.request.uri == \"/bytes/20000\"", 1..=1),
        ("http_get", "http.response.code == 200", 1..=1),
        ("http_get", "frame.comment contains \"limit=cwnd\"", 1..=9),
        ("http_get", "tcp.flags.fin == 1", 2..=2),
        ("http_get", NO, 0..=0),
        ("nagle_delayed_ack", "frame.comment contains \"limit=nagle\"", 1..=2),
        ("nagle_delayed_ack", "frame.comment contains \"why=nagle-release\" && tcp.len == 300", 1..=1),
        ("nagle_delayed_ack", "tcp.analysis.ack_rtt > 0.2", 1..=3),
        ("nagle_delayed_ack", NO, 0..=0),
        ("loss_recovery", "tcp.options.sack_le", 4..=20),
        ("loss_recovery", "frame.comment contains \"why=sack-retransmit\"", 2..=2),
        ("loss_recovery", "frame.comment contains \"why=rto\"", 1..=1),
        ("loss_recovery", judge::RETRANSMISSION, 3..=3),
    ] {
        let found = judge::fields(&path(name), filter, &["frame.number"]).len();
        assert!(packets.contains(&found), "{name}: {filter}: {found} packets");
    }
    for (name, _) in ALL {
        assert!(judge::sound(&path(name)) > 10, "{name}");
    }
}

//! What do persistent connections save, and when do they fail?

use super::arm::{Arm, WEB};
use super::dumb_proxy::head;
use super::kernel::{EARLY, Peer, Stream, pause};
use super::notebook::Notebook;
use super::web::{fetch, serve};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::Net;
use crate::time::{Duration, Instant, Spoken};
use std::io::{self, ErrorKind, Read, Write};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "persistent",
    question: "How long do twenty requests take on new and on kept connections, and what if the server closes one?",
    claims: &[
        Claim {
            name: "delays-add-up",
            says: "with a connection for each request, one after the other, the delays of all add up",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "saves-handshakes",
            says: "a kept connection saves a round trip for each request but the first",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "asks-to-be-kept",
            says: "an HTTP/1.0 client has to ask for a kept connection, and the server to agree",
            source: "the chapter on connections in the HTTP literature, RFC 2068 §19.7.1",
        },
        Claim {
            name: "needs-a-length",
            says: "a connection can be kept only if the response's length is known",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §9.3",
        },
        Claim {
            name: "max-and-timeout",
            says: "with Keep-Alive: max=5, timeout=120 a connection carries five requests, and rests 120 s at most",
            source: "the chapter on connections in the HTTP literature, RFC 2068 §19.7.1",
        },
        Claim {
            name: "close-race",
            says: "a server may close at any time, and a request that is under way then is lost",
            source: "RFC 9112 §9.3.1, the chapter on connections in the HTTP literature",
        },
    ],
    axes: &[Axis { name: "rtt", values: "20ms,100ms" }],
    tun: &[Axis { name: "rtt", values: "200ms" }],
    turns: &[
        "http.keepalive",
        "http.keepalive_max",
        "http.keepalive_timeout",
        "http.parallel",
        "http.pipeline",
        "http.idle_timeout",
        "http.farewell",
        "tcp.init_cwnd",
        "tcp.nagle",
        "tcp.ports",
        "link.rtt",
    ],
    plot: Plot::bars("time"),
    run,
};

const REQUESTS: u32 = 20;
/// In real time, where twenty take long.
const FEWER: u32 = 10;
const MAX: u32 = 5;

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut saves, mut limits, mut races) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sums, mut asked, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    let requests = if lab.is_real() { FEWER } else { REQUESTS };
    // When the server gives up an idle connection, and rests that are well shorter and well longer.
    let (close, shorter, longer) =
        if lab.is_real() { (1000, 500, 2000) } else { (120_000, 119_000, 121_000) };
    let [close, shorter, longer] = [close, shorter, longer].map(Duration::from_millis);
    let (rtts, peers) = (lab.durations("rtt")?, lab.peers());
    for (&peer, (rtt, text)) in rtts.iter().flat_map(|rtt| peers.iter().map(move |peer| (peer, rtt))) {
        let rtt = *rtt;
        // Two round trips on a new connection, one on a kept one.
        for (way, connections) in [("new", requests), ("kept", 1), ("max=5", requests.div_ceil(MAX))] {
            let mut arm = arm(lab, peer, way, text)?;
            serve(&mut arm)?;
            let time = fetch(&mut arm, &vec!["GET /bytes/1000".to_owned(); requests as usize])?.time;
            let syns = arm.ways().0.syns;
            let expected = rtt * (requests + connections);
            // What each round trip may be late adds up.
            let late = arm.late() * (requests + connections) / 4;
            match way {
                "new" => {
                    sums.push(arm.agrees(time, expected) || (expected..=expected + late).contains(&time))
                }
                "kept" => {
                    saves.push((expected..=expected + late).contains(&time) || arm.agrees(time, expected))
                }
                "max=5" => limits.push(syns == u64::from(connections)),
                _ => {}
            }
            finish(lab, arm, (time, expected, late), (syns, connections), ("answered", "answered"))?;
        }
        // HTTP/1.0: a round trip for the connection, one for each request that it carries.
        let old: &[_] = match peer {
            Peer::Ours => &[
                ("1.0 asks", "/bytes/1000", true, (3, "answered")),
                ("1.0 is silent", "/bytes/1000", false, (2, "known")),
                ("1.0 no length", "/chunked/1000", true, (2, "known")),
            ],
            _ => &[],
        };
        for &(way, path, asks, (trips, outcome)) in old {
            let mut arm = arm(lab, peer, way, text)?;
            serve(&mut arm)?;
            let client = arm.client;
            let task = arm.world.spawn(client, move |net| ask_as_of_old(net, path, asks));
            let (time, found) = arm.world.join(task)??;
            match way {
                "1.0 no length" => lengths.push(found == outcome),
                _ => asked.push(found == outcome),
            }
            finish(lab, arm, (time, rtt * trips, Duration::ZERO), (1, 1), (found, outcome))?;
        }
        for (rest, known) in [(shorter, false), (longer, true)] {
            let way = format!("idle {}", Spoken(rest));
            let mut arm = arm(lab, peer, &way, text)?;
            let (time, outcome) = idle_for(&mut arm, close, rest)?;
            let expected =
                (if known { Duration::ZERO } else { rtt }, if known { "known" } else { "answered" });
            limits.push(outcome == expected.1);
            let late = arm.late();
            finish(lab, arm, (time, expected.0, late), (1, 1), (outcome, expected.1))?;
        }
        // Sent so long before or after the server closes. What is sent less than half a round trip before arrives too
        // late; what is sent less than half a round trip after cannot know. Both learn it from the FIN.
        for (way, offset, time, outcome) in [
            ("1 RTT before", close - rtt, rtt, "answered"),
            ("1/4 RTT before", close - rtt / 4, rtt / 2 + rtt / 4, "lost"),
            ("1/4 RTT after", close + rtt / 4, rtt / 4, "lost"),
            ("1 RTT after", close + rtt, Duration::ZERO, "known"),
        ] {
            let mut arm = arm(lab, peer, way, text)?;
            // The server begins to count half a round trip before its response is there.
            let found = idle_for(&mut arm, close, offset - rtt / 2)?;
            races.push(found.1 == outcome);
            let late = arm.late();
            finish(lab, arm, (found.0, time, late), (1, 1), (found.1, outcome))?;
        }
    }
    let numbers = format!("{requests} requests take {} round trips, two each", 2 * requests);
    lab.judge("delays-add-up", sums, numbers);
    let numbers =
        format!("{requests} requests take {} round trips instead of {}", requests + 1, 2 * requests);
    lab.judge("saves-handshakes", saves, numbers);
    let numbers =
        "kept with Connection: keep-alive in request and response, else closed after the response".to_owned();
    lab.judge("asks-to-be-kept", asked, numbers);
    let numbers =
        "closed behind a response whose length HTTP/1.0 cannot say, although the client had asked".to_owned();
    lab.judge("needs-a-length", lengths, numbers);
    let numbers = format!(
        "{} connections for {requests} requests; with a limit of {} open after {}, closed after {}",
        requests / MAX,
        Spoken(close),
        Spoken(shorter),
        Spoken(longer)
    );
    lab.judge("max-and-timeout", limits, numbers);
    let numbers = "lost when sent within half a round trip before or after the close: a window of exactly one round trip; \
                   earlier it is answered, later the client knows";
    lab.judge("close-race", races, numbers.to_owned());
    Ok(())
}

fn arm(lab: &Notebook, peer: Peer, way: &str, rtt: &str) -> Result<Arm, LabError> {
    let knobs = [
        ("http.keepalive", if way == "new" { "off" } else { "on" }),
        ("http.keepalive_max", if way == "max=5" { "5" } else { "0" }),
        ("http.keepalive_timeout", "120s"),
        ("http.parallel", "1"),
        ("http.pipeline", "1"),
        ("http.idle_timeout", "600s"),
        ("http.farewell", "close"),
        ("tcp.init_cwnd", "10"),
        ("tcp.nagle", "off"),
        ("tcp.ports", "5000-60000"),
        ("link.rtt", rtt),
    ];
    lab.arm_with(peer, &[("connection", way), ("rtt", rtt)], &knobs)
}

fn finish(
    lab: &mut Notebook,
    mut arm: Arm,
    (time, expected, late): (Duration, Duration, Duration),
    connections: (u64, u32),
    outcome: (&'static str, &'static str),
) -> Result<(), LabError> {
    if lab.is_real() {
        // A program that is late itself hears of the close sooner.
        let early = if outcome.1 == "lost" { EARLY + late } else { EARLY };
        let (low, high) = (expected.saturating_sub(early), expected + late);
        arm.between("time", Quantity::Time(time), Quantity::Time(low), Quantity::Time(high));
    } else {
        arm.time("time", time, expected);
    }
    arm.count("connections", connections.0, connections.1.into());
    arm.exactly("last request", Quantity::Word(outcome.0), Quantity::Word(outcome.1));
    lab.record(arm)
}

/// A request, a rest of `idle`, another one, on a connection that the server closes after `limit` without a request: how
/// long the second one took to be answered or given up, and which.
fn idle_for(arm: &mut Arm, limit: Duration, idle: Duration) -> Result<(Duration, &'static str), LabError> {
    if arm.real.is_some() {
        let (near, far) = arm.ends(WEB.port())?;
        let Some(real) = &mut arm.real else { return Err(LabError("no kernel".into())) };
        let clock = real.clock;
        let [Some(near), Some(far)] = [near, far].map(|end| real.take_end(end)) else {
            return Err(LabError("an end is closed".into()));
        };
        return std::thread::scope(|scope| {
            let server = scope.spawn(move || answer(far, limit));
            let found = ask_twice(near, idle, || clock.now(), pause)?;
            server.join().map_err(|_| LabError("a server has panicked".into()))??;
            Ok(found)
        });
    }
    let (server, client) = (arm.server, arm.client);
    arm.world.spawn(server, move |net| answer(net.listen(WEB.port())?.accept()?.0, limit));
    let task = arm
        .world
        .spawn(client, move |net| ask_twice(net.connect(WEB)?, idle, || net.now(), |time| net.sleep(time)));
    Ok(arm.world.join(task)??)
}

/// An HTTP/1.0 client with two requests: until the second was answered, or until it knew that there is no connection for
/// it.
fn ask_as_of_old(net: &Net, path: &str, asks: bool) -> io::Result<(Duration, &'static str)> {
    let field = if asks { "Connection: keep-alive\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.0\r\nHost: lab\r\n{field}\r\n");
    let start = net.now();
    let mut stream = net.connect(WEB)?;
    stream.write_all(request.as_bytes())?;
    if !head(&mut stream)?.to_ascii_lowercase().contains("connection: keep-alive") {
        stream.read_to_end(&mut Vec::new())?;
        return Ok((net.now().since(start), "known"));
    }
    stream.read_exact(&mut [0; 1000])?;
    stream.write_all(request.as_bytes())?;
    let answered = head(&mut stream).is_ok_and(|head| head.starts_with("HTTP/1."));
    Ok((net.now().since(start), if answered { "answered" } else { "lost" }))
}

/// A stream in blocking style, of whatever kind.
trait Wire: Read + Write {
    /// How long a read may wait; zero is as short as can be.
    fn limit(&self, time: Duration);
}

impl Wire for crate::sim::TcpStream {
    fn limit(&self, time: Duration) {
        self.set_read_timeout(Some(time));
    }
}

impl Wire for Stream {
    fn limit(&self, time: Duration) {
        // A stream that is gone tells that when it is read.
        let _ = Stream::limit(self, Some(time.max(Duration::from_millis(1))));
    }
}

/// The server: answers, until nothing comes for so long.
fn answer(mut stream: impl Wire, limit: Duration) -> io::Result<()> {
    stream.limit(limit);
    let mut request = [0; 100];
    while stream.read_exact(&mut request).is_ok() {
        stream.write_all(&[b'x'; 1000])?;
    }
    Ok(())
}

/// The client: how long the second request took, and what became of it.
fn ask_twice(
    mut stream: impl Wire,
    idle: Duration,
    now: impl Fn() -> Instant,
    sleep: impl Fn(Duration),
) -> io::Result<(Duration, &'static str)> {
    let mut response = [0; 1000];
    stream.write_all(&[b'x'; 100])?;
    stream.read_exact(&mut response)?;
    sleep(idle);
    let start = now();
    stream.limit(Duration::ZERO);
    if !stream.read(&mut response).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
        return Ok((now().since(start), "known"));
    }
    stream.limit(Duration::from_secs(30));
    stream.write_all(&[b'x'; 100])?;
    let outcome = if stream.read_exact(&mut response).is_ok() { "answered" } else { "lost" };
    Ok((now().since(start), outcome))
}

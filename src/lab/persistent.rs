//! What do persistent connections save, and when do they fail?

use super::addrs::HTTP;
use super::arm::Arm;
use super::case::many;
use super::dumb_proxy::head;
use super::kernel::{EARLY, Peer, Stream, pause};
use super::notebook::Notebook;
use super::web::{attempt, fetch, serve};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::ledger::Parts;
use crate::service::Fetched;
use crate::sim::{Net, TcpStream};
use crate::tcp::Shutdown;
use crate::time::{Duration, Instant, Spoken};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

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
            name: "only-idempotent-again",
            says: "a client repeats a request that was lost with its connection only if it is idempotent: nobody can tell \
                   whether the server has seen it",
            source: "RFC 9110 §9.2.2, the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "close-race",
            says: "a server may close at any time, and a request that is under way then is lost",
            source: "RFC 9112 §9.3.1, the chapter on connections in the HTTP literature",
        },
    ],
    axes: &[Axis { name: "rtt", values: "20ms,100ms" }],
    tun: &[Axis { name: "rtt", values: "200ms" }],
    turns: &[&[
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
    ]],
    holds: &[],
    plot: Plot::bars("time"),
    run,
};

const REQUESTS: u32 = 20;
/// In real time, where twenty take long.
const FEWER: u32 = 10;
const MAX: u32 = 5;

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut saves, mut limits, mut races) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sums, mut asked, mut lengths, mut again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let requests = if lab.is_real() { FEWER } else { REQUESTS };
    // When the server gives up an idle connection, and rests that are well shorter and well longer.
    let (close, shorter, longer) =
        if lab.is_real() { (1000, 500, 2000) } else { (120_000, 119_000, 121_000) };
    let [close, shorter, longer] = [close, shorter, longer].map(Duration::from_millis);
    let (rtts, peers) = (lab.round_trips("rtt", Duration::ZERO)?, lab.peers());
    for (&peer, (rtt, text)) in rtts.iter().flat_map(|rtt| peers.iter().map(move |peer| (peer, rtt))) {
        let (rtt, at) = (*rtt, text.as_str());
        // Two round trips on a new connection, one on a kept one.
        for (way, connections) in [("new", requests), ("kept", 1), ("max=5", requests.div_ceil(MAX))] {
            let mut arm = arm(lab, peer, way, text)?;
            serve(&mut arm)?;
            let time = fetch(&mut arm, &vec!["GET /bytes/1000".to_owned(); requests as usize])?.time;
            let syns = arm.ways().0.syns;
            let expected = rtt * (requests + connections);
            // What each round trip may be late adds up.
            let late = arm.late() * (requests + connections) / 4;
            let held = arm.agrees(time, expected) || (expected..=expected + late).contains(&time);
            finish(&mut arm, (time, expected, late), (syns, connections), ("answered", "answered"));
            let trips = format!("{:.1} round trips", time.as_secs_f64() / rtt.as_secs_f64());
            match way {
                "new" => sums.push(arm.case(held, trips, at)),
                "kept" => saves.push(arm.case(held, trips, at)),
                _ => limits.push(arm.case(syns == u64::from(connections), many(syns, "connection"), way)),
            }
            lab.record(arm)?;
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
            let (client, web) = (arm.client, arm.addrs.web());
            let task = arm.world.spawn(client, move |net| ask_as_of_old(net, web, path, asks));
            let (time, found) = arm.world.join(task)??.told(&mut arm);
            finish(&mut arm, (time, rtt * trips, Duration::ZERO), (1, 1), (found, outcome));
            let kept = if found == "answered" { "kept" } else { "closed" };
            match way {
                "1.0 no length" => lengths.push(arm.case(found == outcome, kept.to_owned(), at)),
                _ => asked.push(arm.case(found == outcome, kept.to_owned(), way)),
            }
            lab.record(arm)?;
        }
        // The second request is under way when the server closes, which the client learns a quarter of a round trip after
        // it was sent. Again, it takes two round trips on a connection of its own.
        let methods: &[&str] = if peer == Peer::Ours { &["GET", "POST"] } else { &[] };
        for &method in methods {
            let mut arm = arm(lab, peer, &format!("lost {method}"), text)?;
            let start = arm.now();
            let fetched = lose_the_second(&mut arm, method)?;
            let last =
                fetched.iter().find(|f| f.plan == 1).ok_or_else(|| LabError::new("no second request"))?;
            let answered = last.status().is_some();
            let (syns, ended) = (arm.ways().0.syns, arm.now().since(start));
            let (outcome, trips, connections) =
                if method == "GET" { ("answered", 4, 2) } else { ("lost", 2, 1) };
            let found = if answered { "answered" } else { "lost" };
            let expected = rtt * trips + rtt / 4;
            finish(&mut arm, (ended, expected, Duration::ZERO), (syns, connections), (found, outcome));
            let held = found == outcome && syns == u64::from(connections);
            again.push(arm.case(held, format!("{found} over {}", many(syns, "connection")), method));
            lab.record(arm)?;
        }
        for (rest, known) in [(shorter, false), (longer, true)] {
            let way = format!("idle {}", Spoken(rest));
            let mut arm = arm(lab, peer, &way, text)?;
            let (time, outcome) = idle_for(&mut arm, close, rest)?;
            let expected =
                (if known { Duration::ZERO } else { rtt }, if known { "known" } else { "answered" });
            let late = arm.late();
            finish(&mut arm, (time, expected.0, late), (1, 1), (outcome, expected.1));
            let found = if outcome == "answered" { "still open" } else { "closed" };
            limits.push(arm.case(outcome == expected.1, found.to_owned(), way));
            lab.record(arm)?;
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
            let late = arm.late();
            finish(&mut arm, (found.0, time, late), (1, 1), (found.1, outcome));
            races.push(arm.case(found.1 == outcome, Quantity::Word(found.1), way));
            lab.record(arm)?;
        }
    }
    let measure = format!("time for {requests} requests");
    lab.judge("delays-add-up", &measure, &sums);
    lab.judge("saves-handshakes", &measure, &saves);
    lab.judge("asks-to-be-kept", "connection after the first response", &asked);
    lab.judge("needs-a-length", "connection after a response without a length", &lengths);
    let limit = Spoken(close);
    lab.judge(
        "max-and-timeout",
        &format!("for {requests} requests, and after a rest with a limit of {limit}"),
        &limits,
    );
    lab.judge("only-idempotent-again", "the lost request", &again);
    lab.judge("close-race", "a request sent before or after the close", &races);
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
    arm: &mut Arm,
    (time, expected, late): (Duration, Duration, Duration),
    connections: (u64, u32),
    outcome: (&'static str, &'static str),
) {
    if arm.real.is_some() {
        // A program that is late itself hears of the close sooner.
        let early = if outcome.1 == "lost" { EARLY + late } else { EARLY };
        let (low, high) = (expected.saturating_sub(early), expected + late);
        arm.between("time", Quantity::Time(time), Quantity::Time(low), Quantity::Time(high));
    } else {
        arm.time("time", time, expected);
    }
    arm.count("connections", connections.0, connections.1.into());
    arm.exactly("last request", Quantity::Word(outcome.0), Quantity::Word(outcome.1));
}

/// A request, a rest of `idle`, another one, on a connection that the server closes after `limit` without a request: how
/// long the second one took to be answered or given up, and which.
fn idle_for(arm: &mut Arm, limit: Duration, idle: Duration) -> Result<(Duration, &'static str), LabError> {
    if arm.real.is_some() {
        let (near, far) = arm.ends(HTTP)?;
        let Some(real) = &mut arm.real else { return Err(LabError::new("no kernel")) };
        let clock = real.clock;
        let [Some(near), Some(far)] = [near, far].map(|end| real.take_end(end)) else {
            return Err(LabError::new("an end is closed"));
        };
        let asked = std::thread::scope(|scope| {
            let server = scope.spawn(move || answer(far, limit));
            let asked = ask_twice(near, idle, || clock.now(), pause)?;
            server.join().map_err(|_| LabError::new("a server has panicked"))??;
            Ok::<_, LabError>(asked)
        })?;
        return Ok(asked.told(arm));
    }
    let (server, client, web) = (arm.server, arm.client, arm.addrs.web());
    arm.world.spawn(server, move |net| answer(net.listen(HTTP)?.accept()?.0, limit));
    let task = arm
        .world
        .spawn(client, move |net| ask_twice(net.connect(web)?, idle, || net.now(), |time| net.sleep(time)));
    Ok(arm.world.join(task)??.told(arm))
}

/// An HTTP/1.0 client with two requests: until the second was answered, or until it knew that there is no connection for
/// it.
fn ask_as_of_old(net: &Net, web: SocketAddr, path: &str, asks: bool) -> io::Result<Asked> {
    let field = if asks { "Connection: keep-alive\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.0\r\nHost: lab\r\n{field}\r\n");
    let start = net.now();
    let mut stream = net.connect(web)?;
    stream.write_all(request.as_bytes())?;
    if !head(&mut stream)?.to_ascii_lowercase().contains("connection: keep-alive") {
        stream.read_to_end(&mut Vec::new())?;
        return Ok(Asked { time: net.now().since(start), outcome: "known", ledger: stream.ledger() });
    }
    stream.read_exact(&mut [0; 1000])?;
    stream.write_all(request.as_bytes())?;
    let answered = head(&mut stream).is_ok_and(|head| head.starts_with("HTTP/1."));
    let outcome = if answered { "answered" } else { "lost" };
    Ok(Asked { time: net.now().since(start), outcome, ledger: stream.ledger() })
}

/// Two requests to a server that closes, unannounced, a quarter of a round trip after its first response, when the second
/// request is under way.
fn lose_the_second(arm: &mut Arm, method: &str) -> Result<Vec<Fetched>, LabError> {
    let (server, soon) = (arm.server, arm.settings.link.rtt / 4);
    arm.world.spawn(server, move |net| -> io::Result<()> {
        let listener = net.listen(HTTP)?;
        for first in [true, false] {
            let mut stream = listener.accept()?.0;
            head(&mut stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            if first {
                net.sleep(soon);
                stream.shutdown(Shutdown::Write)?;
            }
            // What the client has sent ahead must not turn into a RST.
            io::copy(&mut stream, &mut io::sink())?;
        }
        Ok(())
    });
    arm.world.run_for(Duration::ZERO);
    attempt(arm, &["GET /".to_owned(), format!("{method} /")])
}

/// A stream in blocking style, of whatever kind.
trait Wire: Read + Write {
    /// How long a read may wait; zero is as short as can be.
    fn limit(&self, time: Duration);
    /// What its time went to so far, if its end keeps records of that.
    fn ledger(&self) -> Parts;
}

impl Wire for TcpStream {
    fn limit(&self, time: Duration) {
        // What may be wrong with a time is only that it is zero.
        let _ = self.set_read_timeout(Some(time.max(Duration::from_nanos(1))));
    }

    fn ledger(&self) -> Parts {
        TcpStream::ledger(self)
    }
}

impl Wire for Stream {
    fn limit(&self, time: Duration) {
        // A stream that is gone tells that when it is read.
        let _ = Stream::limit(self, Some(time.max(Duration::from_millis(1))));
    }

    fn ledger(&self) -> Parts {
        Stream::ledger(self).unwrap_or_default()
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

/// What became of two requests on one connection.
struct Asked {
    time: Duration,
    outcome: &'static str,
    /// Of the connection.
    ledger: Parts,
}

impl Asked {
    /// How long it took and what became of it; the ledger is the arm's.
    fn told(self, arm: &mut Arm) -> (Duration, &'static str) {
        arm.spent(self.ledger);
        (self.time, self.outcome)
    }
}

/// The client: how long the second request took, and what became of it.
fn ask_twice(
    mut stream: impl Wire,
    idle: Duration,
    now: impl Fn() -> Instant,
    sleep: impl Fn(Duration),
) -> io::Result<Asked> {
    let mut response = [0; 1000];
    stream.write_all(&[b'x'; 100])?;
    stream.read_exact(&mut response)?;
    sleep(idle);
    let start = now();
    stream.limit(Duration::ZERO);
    if !stream.read(&mut response).is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
        return Ok(Asked { time: now().since(start), outcome: "known", ledger: stream.ledger() });
    }
    stream.limit(Duration::from_secs(30));
    stream.write_all(&[b'x'; 100])?;
    let outcome = if stream.read_exact(&mut response).is_ok() { "answered" } else { "lost" };
    Ok(Asked { time: now().since(start), outcome, ledger: stream.ledger() })
}

//! What do persistent connections save, and when do they fail?

use super::arm::{Arm, WEB};
use super::notebook::Notebook;
use super::web::{fetch, serve};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::time::{Duration, Instant};
use std::io::{Read, Write};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "persistent",
    question: "How long do twenty requests take on new and on kept connections, and what if the server closes one?",
    claims: &[
        Claim {
            name: "saves-handshakes",
            says: "a kept connection saves a round trip for each request but the first",
            source: "the chapter on connections in the HTTP literature",
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
const MAX: u32 = 5;

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut saves, mut limits, mut races) = (Vec::new(), Vec::new(), Vec::new());
    for (rtt, text) in lab.durations("rtt")? {
        // Two round trips on a new connection, one on a kept one.
        for (way, connections) in [("new", REQUESTS), ("kept", 1), ("max=5", REQUESTS.div_ceil(MAX))] {
            let mut arm = arm(lab, way, &text)?;
            serve(&mut arm);
            let (_, time) = fetch(&mut arm, &vec!["/bytes/1000".to_owned(); REQUESTS as usize])?;
            let syns = arm.ways().0.syns;
            let expected = rtt * (REQUESTS + connections);
            finish(lab, arm, (time, expected), (syns, connections), ("answered", "answered"))?;
            match way {
                "kept" => saves.push(time == expected),
                "max=5" => limits.push(syns == u64::from(connections)),
                _ => {}
            }
        }
        for (way, idle, known) in [("idle 119 s", 119, false), ("idle 121 s", 121, true)] {
            let mut arm = arm(lab, way, &text)?;
            let (time, outcome) = idle_for(&mut arm, Duration::from_secs(120), Duration::from_secs(idle))?;
            let expected =
                (if known { Duration::ZERO } else { rtt }, if known { "known" } else { "answered" });
            limits.push(outcome == expected.1);
            finish(lab, arm, (time, expected.0), (1, 1), (outcome, expected.1))?;
        }
        // Sent so long before or after the server closes. What is sent less than half a round trip before arrives too
        // late; what is sent less than half a round trip after cannot know. Both learn it from the FIN.
        let close = Duration::from_secs(120);
        for (way, offset, time, outcome) in [
            ("1 RTT before", close - rtt, rtt, "answered"),
            ("1/4 RTT before", close - rtt / 4, rtt / 2 + rtt / 4, "lost"),
            ("1/4 RTT after", close + rtt / 4, rtt / 4, "lost"),
            ("1 RTT after", close + rtt, Duration::ZERO, "known"),
        ] {
            let mut arm = arm(lab, way, &text)?;
            // The server begins to count half a round trip before its response is there.
            let found = idle_for(&mut arm, close, offset - rtt / 2)?;
            races.push((found.1 == "lost", found.1 == outcome));
            finish(lab, arm, (found.0, time), (1, 1), (found.1, outcome))?;
        }
    }
    let numbers =
        format!("{REQUESTS} requests take {} round trips instead of {}", REQUESTS + 1, 2 * REQUESTS);
    lab.judge("saves-handshakes", saves, numbers);
    let numbers = format!(
        "{} connections for {REQUESTS} requests; open after 119 s, closed after 121 s",
        REQUESTS / MAX
    );
    lab.judge("max-and-timeout", limits, numbers);
    let numbers = "lost when sent within half a round trip before or after the close: a window of exactly one round trip; \
                   earlier it is answered, later the client knows";
    lab.judge("close-race", races.iter().map(|r| r.1), numbers.to_owned());
    Ok(())
}

fn arm(lab: &Notebook, way: &str, rtt: &str) -> Result<Arm, LabError> {
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
    lab.arm(&[("connection", way), ("rtt", rtt)], &knobs)
}

fn finish(
    lab: &mut Notebook,
    mut arm: Arm,
    time: (Duration, Duration),
    connections: (u64, u32),
    outcome: (&'static str, &'static str),
) -> Result<(), LabError> {
    arm.time("time", time.0, time.1);
    arm.count("connections", connections.0, connections.1.into());
    arm.exactly("last request", Quantity::Word(outcome.0), Quantity::Word(outcome.1));
    lab.record(arm)
}

/// A request, a rest of `idle`, another one, on a connection that the server closes after `limit` without a request: how
/// long the second one took to be answered or given up, and which.
fn idle_for(arm: &mut Arm, limit: Duration, idle: Duration) -> Result<(Duration, &'static str), LabError> {
    let server = arm.server;
    arm.world.spawn(server, move |net| -> std::io::Result<()> {
        let (mut stream, _) = net.listen(WEB.port())?.accept()?;
        stream.set_read_timeout(Some(limit));
        let mut request = [0; 100];
        while stream.read_exact(&mut request).is_ok() {
            stream.write_all(&[b'x'; 1000])?;
        }
        Ok(())
    });
    let client = arm.client;
    let task = arm.world.spawn(client, move |net| -> std::io::Result<(Duration, &'static str)> {
        let (mut stream, mut response) = (net.connect(WEB)?, [0; 1000]);
        stream.write_all(&[b'x'; 100])?;
        stream.read_exact(&mut response)?;
        net.sleep(idle);
        let start: Instant = net.now();
        stream.set_read_timeout(Some(Duration::ZERO));
        if !stream.read(&mut response).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock) {
            return Ok((net.now().since(start), "known"));
        }
        stream.set_read_timeout(None);
        stream.write_all(&[b'x'; 100])?;
        let outcome = if stream.read_exact(&mut response).is_ok() { "answered" } else { "lost" };
        Ok((net.now().since(start), outcome))
    });
    Ok(arm.world.join(task)??)
}

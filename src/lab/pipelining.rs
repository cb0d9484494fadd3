//! What does it bring to send requests ahead of their responses, and what does it risk?

use super::case::many;
use super::kernel::Peer;
use super::notebook::Notebook;
use super::web::{fetch, serve, serve_silently};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::time::{Duration, Spoken};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "pipelining",
    question: "How long do seventeen requests take when some are sent before the responses to others are there?",
    claims: &[
        Claim {
            name: "saves-round-trips",
            says: "requests that are sent ahead save the round trips between them",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "kept-first",
            says: "nothing is sent ahead before the connection is known to be kept",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §9.3.2",
        },
        Claim {
            name: "head-of-line",
            says: "responses come in the order of the requests: a slow one holds up all behind it",
            source: "RFC 9112 §9.3.2",
        },
        Claim {
            name: "close-in-the-middle",
            says: "a client has to be ready for a close in the middle and send again what was not answered",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §9.3.2",
        },
        Claim {
            name: "post-is-not-pipelined",
            says: "a request that must not be repeated is not sent ahead",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §9.3.2",
        },
    ],
    axes: &[Axis { name: "depth", values: "1,2,4,8,16" }],
    tun: &[Axis { name: "depth", values: "1,4,16" }],
    turns: &[&[
        "http.keepalive",
        "http.keepalive_max",
        "http.pipeline",
        "http.parallel",
        "tcp.init_cwnd",
        "tcp.nagle",
        "link.rtt",
    ]],
    holds: &[("http.keepalive_timeout", "120s")],
    plot: Plot::over("depth", "time", (false, false)),
    run,
};

const RTT: Duration = Duration::from_millis(100);
/// The first shows that the server keeps the connection; sixteen follow.
const REQUESTS: u32 = 17;
const SLOW: Duration = Duration::from_millis(500);
const MAX: u32 = 5;

/// A round trip for the connection, one for the first request, which goes alone; then one for each `depth` requests. The
/// slow one is the second: nothing behind it is answered before it is. A server that ends a connection after five
/// requests answers the first alone and four of those sent ahead; what is left goes to a new connection, and again begins
/// alone. If it did not say so, what was sent ahead in vain has to be sent again.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let mut alone = Vec::new();
    let (mut saves, mut blocked, mut resent, mut posts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (depths, peers) = (lab.numbers("depth", 1_u32, 16)?, lab.peers());
    for (&peer, (depth, text)) in depths.iter().flat_map(|depth| peers.iter().map(move |p| (p, depth))) {
        // What a client does with a POST, and after a close, is asked of ours; the kernel's is a plain program.
        let cases: &[&str] = if peer == Peer::LinuxClient {
            &["plain", "slow second"]
        } else {
            &["plain", "slow second", "announced close", "sudden close", "POST"]
        };
        for &case in cases {
            let depth = *depth;
            let closes = case == "announced close" || case == "sudden close";
            let knobs = [
                ("http.keepalive", "on"),
                ("http.keepalive_max", if closes { "5" } else { "0" }),
                ("http.pipeline", text),
                ("http.parallel", "1"),
                ("tcp.init_cwnd", "100"),
                ("tcp.nagle", "off"),
                ("link.rtt", "100ms"),
            ];
            let mut arm = lab.arm_with(peer, &[("case", case), ("depth", text)], &knobs)?;
            if case == "sudden close" {
                serve_silently(&mut arm)?
            } else {
                serve(&mut arm)?
            }
            let mut requests = vec!["GET /bytes/100".to_owned(); REQUESTS as usize];
            match case {
                "slow second" => requests[1] = format!("GET /delay/{}", SLOW.as_millis()),
                "POST" => requests.fill("POST /echo".to_owned()),
                _ => {}
            }
            let start = arm.now();
            let visit = fetch(&mut arm, &requests)?;
            let time = visit.time;
            let at = || format!("depth {depth}");
            let batches = (REQUESTS - 1).div_ceil(depth);
            let plain = RTT * (2 + batches);
            let connections = match case {
                "announced close" => REQUESTS.div_ceil(MAX),
                "sudden close" => 2,
                _ => 1,
            };
            let expected = match case {
                "plain" => plain,
                "slow second" => plain + SLOW,
                "POST" => RTT * (1 + REQUESTS),
                // What was sent in vain goes to the new connection, as do those that were not sent: the first one alone,
                // the others in batches behind it.
                "sudden close" => {
                    RTT * (2 + (MAX - 1).div_ceil(depth) + 2 + (REQUESTS - MAX - 1).div_ceil(depth))
                }
                // On each connection the handshake, one request alone, and the rest in batches.
                _ => (0..connections)
                    .map(|n| MAX.min(REQUESTS - n * MAX))
                    .map(|carried| RTT * (2 + (carried - 1).div_ceil(depth)))
                    .sum(),
            };
            arm.time("time", time, expected);
            let answered = visit.answered.len() as u32;
            arm.count("answered", answered.into(), REQUESTS.into());
            arm.count("connections", arm.ways().0.syns, connections.into());
            if case == "plain" {
                // Its answer comes with nobody's else.
                let second =
                    visit.answered.iter().find(|a| a.0 == 1).map_or(Duration::ZERO, |a| a.1.since(start));
                alone.push(arm.case(arm.agrees(second, RTT * 3), Quantity::Time(second), at()));
            }
            // The quick one behind the slow one.
            let third = visit.answered.iter().find(|a| a.0 == 2).map_or(Duration::ZERO, |a| a.1.since(start));
            // Alone, or in a batch with the second.
            let alone = if case == "POST" || depth == 1 { 4 } else { 3 };
            let third_due = RTT * alone + if case == "slow second" { SLOW } else { Duration::ZERO };
            arm.time("third after", third, third_due);
            match case {
                "plain" if depth > 1 => {
                    let saved = arm.agrees(time, plain) && time < RTT * (1 + REQUESTS);
                    saves.push(arm.case(saved, Quantity::Time(time), at()));
                }
                "plain" => {}
                "slow second" => {
                    let waits = third >= SLOW + 2 * RTT;
                    blocked.push(arm.case(waits, Quantity::Time(third), at()));
                }
                "sudden close" => {
                    let syns = arm.ways().0.syns;
                    let found = format!("{answered} answered over {}", many(syns, "connection"));
                    resent.push(arm.case(answered == REQUESTS, found, at()));
                }
                "POST" => {
                    let alone = arm.agrees(time, RTT * (1 + REQUESTS));
                    posts.push(arm.case(alone, Quantity::Time(time), at()));
                }
                _ => {}
            }
            lab.record(arm)?;
        }
    }
    let serial = Spoken(RTT * (1 + REQUESTS));
    lab.judge("saves-round-trips", &format!("time for {REQUESTS} requests, {serial} one by one"), &saves);
    lab.judge("kept-first", "until the first request that may go ahead is answered", &alone);
    let quick = Spoken(RTT * 3);
    lab.judge(
        "head-of-line",
        &format!("until the request behind the slow one is answered, else {quick}"),
        &blocked,
    );
    lab.judge("close-in-the-middle", &format!("of {REQUESTS} requests"), &resent);
    lab.judge("post-is-not-pipelined", &format!("time for {REQUESTS} POSTs, {serial} one by one"), &posts);
    Ok(())
}

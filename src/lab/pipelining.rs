//! What does it bring to send requests ahead of their responses, and what does it risk?

use super::notebook::Notebook;
use super::web::{fetch, serve};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::time::Duration;

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
    turns: &[
        "http.keepalive",
        "http.keepalive_max",
        "http.pipeline",
        "http.parallel",
        "tcp.init_cwnd",
        "tcp.nagle",
        "link.rtt",
    ],
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
/// alone.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut saves, mut blocked, mut resent, mut posts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (depth, text) in lab.numbers("depth", 1_u32, 16)? {
        for case in ["plain", "slow second", "close after 5", "POST"] {
            let closes = case == "close after 5";
            let knobs = [
                ("http.keepalive", "on"),
                ("http.keepalive_max", if closes { "5" } else { "0" }),
                ("http.pipeline", &text),
                ("http.parallel", "1"),
                ("tcp.init_cwnd", "100"),
                ("tcp.nagle", "off"),
                ("link.rtt", "100ms"),
            ];
            let mut arm = lab.arm(&[("case", case), ("depth", &text)], &knobs)?;
            serve(&mut arm);
            let mut requests = vec!["GET /bytes/100".to_owned(); REQUESTS as usize];
            match case {
                "slow second" => requests[1] = format!("GET /delay/{}", SLOW.as_millis()),
                "POST" => requests.fill("POST /echo".to_owned()),
                _ => {}
            }
            let (fetched, time) = fetch(&mut arm, &requests)?;
            let batches = (REQUESTS - 1).div_ceil(depth);
            let plain = RTT * (2 + batches);
            let connections = if closes { REQUESTS.div_ceil(MAX) } else { 1 };
            let expected = match case {
                "plain" => plain,
                "slow second" => plain + SLOW,
                "POST" => RTT * (1 + REQUESTS),
                // On each connection the handshake, one request alone, and the rest in batches.
                _ => (0..connections)
                    .map(|n| MAX.min(REQUESTS - n * MAX))
                    .map(|carried| RTT * (2 + (carried - 1).div_ceil(depth)))
                    .sum(),
            };
            arm.time("time", time, expected);
            arm.count(
                "answered",
                fetched.iter().filter(|f| f.status().is_some()).count() as u64,
                REQUESTS.into(),
            );
            arm.count("connections", arm.ways().0.syns, connections.into());
            // The quick one behind the slow one.
            let third = fetched.iter().find(|f| f.plan == 2).and_then(|f| f.timings.last_byte);
            let third = third.map_or(Duration::ZERO, |at| at.since(crate::time::Instant::ZERO));
            arm.note("third after", Quantity::Time(third));
            match case {
                "plain" if depth > 1 => saves.push(time == plain && time < RTT * (1 + REQUESTS)),
                "slow second" => blocked.push(third >= SLOW + 2 * RTT),
                "close after 5" => resent.push(fetched.len() as u32 == REQUESTS),
                "POST" => posts.push(time == RTT * (1 + REQUESTS)),
                _ => {}
            }
            lab.record(arm)?;
        }
    }
    lab.judge(
        "saves-round-trips",
        saves,
        "sixteen at once take one round trip instead of sixteen".to_owned(),
    );
    let numbers =
        format!("the quick request behind the slow one waits {} ms more, at any depth", SLOW.as_millis());
    lab.judge("head-of-line", blocked, numbers);
    let held = resent.iter().filter(|r| **r).count();
    let numbers =
        format!("all {REQUESTS} answered, over four connections of five requests at most, in {held} cases");
    lab.judge("close-in-the-middle", resent, numbers);
    lab.judge("post-is-not-pipelined", posts, "a round trip for each POST, at any depth".to_owned());
    Ok(())
}

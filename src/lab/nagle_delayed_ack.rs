//! What do Nagle's algorithm and delayed acknowledgments cost together? The stall after write-write-read.

use super::arm::Arm;
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot};
use crate::sim::Socket;
use crate::tcp::Nagle;
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "nagle-delayed-ack",
    question: "How long does a request take that is written in two small pieces, and what helps?",
    claims: &[
        Claim {
            name: "stall",
            says: "with Nagle's algorithm the second piece waits for the peer's delayed acknowledgment",
            source: "the chapter on connections in the HTTP literature, RFC 1122 §4.2.3.4",
        },
        Claim {
            name: "remedies",
            says: "TCP_NODELAY, one write instead of two, a cork or quick acknowledgments make up for it",
            source: "the chapter on connections in the HTTP literature, socket manuals",
        },
    ],
    axes: &[Axis { name: "ack_delay", values: "0,40ms,200ms" }],
    turns: &[
        "tcp.nagle",
        "tcp.ack_delay",
        "tcp.ack_every",
        "tcp.quickack",
        "tcp.tail_loss_probe",
        "tcp.cork",
        "link.rtt",
    ],
    plot: Plot::bars("time"),
    run,
};

const RTT: Duration = Duration::from_millis(20);
/// Without a remedy, with each of them.
const REMEDIES: [&str; 5] = ["none", "nodelay", "one write", "cork", "quick ack"];

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut stalls, mut cured) = (Vec::new(), Vec::new());
    for (delay, text) in lab.durations("ack_delay")? {
        for nagle in ["off", "on", "minshall"] {
            for remedy in REMEDIES {
                // The remedies are for the case that needs one.
                if remedy != "none" && nagle != "on" {
                    continue;
                }
                let time = one(lab, nagle, (delay, &text), remedy)?;
                match remedy {
                    "none" if nagle != "off" => stalls.push(time == 2 * RTT + delay),
                    "none" => {}
                    _ => cured.push((remedy, time == RTT)),
                }
            }
        }
    }
    let held = stalls.iter().filter(|s| **s).count();
    let numbers = format!(
        "two round trips and the whole delay instead of one round trip, in {held} of {} pairs",
        stalls.len()
    );
    lab.judge("stall", stalls, numbers);
    let helped: Vec<&str> = REMEDIES.into_iter().filter(|r| cured.contains(&(r, true))).collect();
    let numbers = format!(
        "back to one round trip with {}; quick acknowledgments save the delay, the second round trip stays",
        helped.join(", ")
    );
    lab.judge("remedies", cured.iter().map(|c| c.1), numbers);
    Ok(())
}

/// One round trip if both pieces leave together. Else the second waits until the first is acknowledged, which takes
/// a round trip and the delay; then it takes half a round trip and so does the answer.
fn one(lab: &mut Notebook, nagle: &str, delay: (Duration, &str), remedy: &str) -> Result<Duration, LabError> {
    let knobs = [
        ("tcp.nagle", nagle),
        ("tcp.ack_delay", delay.1),
        ("tcp.ack_every", "2"),
        ("tcp.quickack", "0"),
        // A probe would set the second piece free before the acknowledgment does.
        ("tcp.tail_loss_probe", "off"),
        ("tcp.cork", "off"),
        ("link.rtt", "20ms"),
    ];
    let varied = [("nagle", nagle), ("ack_delay", delay.1), ("remedy", remedy)];
    let mut arm = lab.arm(&varied, &knobs)?;
    let (near, far) = arm.warm_pair()?;
    let (before, start) = (words(&mut arm), arm.now());
    request(&mut arm, near, far, remedy)?;
    arm.read(far, 500)?;
    arm.write(far, 100)?;
    arm.read(near, 100)?;
    let time = arm.now().since(start);
    let after = words(&mut arm);
    let (waits, delays) = match (nagle, remedy) {
        ("off", _) | (_, "nodelay" | "one write" | "cork") => (false, false),
        (_, "quick ack") => (true, false),
        _ => (true, true),
    };
    let delay = if delays { delay.0 } else { Duration::ZERO };
    arm.time("time", time, if waits { 2 * RTT + delay } else { RTT });
    // A corked piece was held, too.
    arm.count("nagle-release", after.0 - before.0, u64::from(waits || remedy == "cork"));
    arm.count("ack-delayed", after.1 - before.1, u64::from(!delay.is_zero()));
    lab.record(arm)?;
    Ok(time)
}

fn words(arm: &mut Arm) -> (u64, u64) {
    (arm.sent(arm.client, "nagle-release"), arm.sent(arm.server, "ack-delayed"))
}

fn request(arm: &mut Arm, near: Socket, far: Socket, remedy: &str) -> Result<(), LabError> {
    let now = arm.now();
    let client = arm.world.stack(near.host);
    match remedy {
        "nodelay" => client.set_opts(now, near.id, |opts| opts.nagle = Nagle::Off),
        "cork" => client.set_opts(now, near.id, |opts| opts.cork = true),
        "quick ack" => arm.world.stack(far.host).set_quickack(now, far.id, true),
        _ => {}
    }
    if remedy == "one write" {
        return arm.write(near, 500);
    }
    arm.write(near, 200)?;
    arm.write(near, 300)?;
    if remedy == "cork" {
        arm.world.stack(near.host).set_opts(now, near.id, |opts| opts.cork = false);
        arm.pass(Duration::ZERO);
    }
    Ok(())
}

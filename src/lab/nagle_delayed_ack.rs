//! What do Nagle's algorithm and delayed acknowledgments cost together? The stall after write-write-read.

use super::arm::{Arm, End};
use super::case::Case;
use super::kernel::{Peer, Stream};
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::tcp::Nagle;
use crate::time::{Duration, Spoken};

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
    tun: &[Axis { name: "ack_delay", values: "0,40ms,100ms" }],
    turns: &[&[
        "tcp.nagle",
        "tcp.ack_delay",
        "tcp.ack_every",
        "tcp.quickack",
        "tcp.tail_loss_probe",
        "tcp.cork",
        "tcp.init_cwnd",
        "link.rtt",
    ]],
    holds: &[("tcp.rto_min", "200ms"), ("tcp.rto_floor", "variation")],
    plot: Plot::bars("time"),
    run,
};

const RTT: Duration = Duration::from_millis(20);
/// In real time, in which a round trip has to be longer than what a busy machine may be late.
const LONG_RTT: Duration = Duration::from_millis(100);
/// How long Linux delays an acknowledgment at the least, which is what it begins with.
const LINUX: &str = "40ms";
/// Without a remedy, with each of them.
const REMEDIES: [&str; 5] = ["none", "nodelay", "one write", "cork", "quick ack"];

/// Timers count whole milliseconds; and a piece that is not acknowledged for longer is sent again.
const LEAST: Duration = Duration::from_millis(2);
const MOST: Duration = Duration::from_millis(220);

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut stalls, mut cured) = (Vec::new(), Vec::new());
    let rtt = if lab.is_real() { LONG_RTT } else { RTT };
    for (delay, text) in lab.delays("ack_delay", LEAST, MOST)? {
        for &peer in lab.peers() {
            for nagle in ["off", "on", "minshall"] {
                for remedy in REMEDIES {
                    // The remedies are for the case that needs one.
                    if remedy != "none" && nagle != "on" || !possible(peer, nagle, &text) {
                        continue;
                    }
                    let (stalled, cure) = one(lab, peer, nagle, (delay, &text), remedy, rtt)?;
                    match remedy {
                        "none" if nagle != "off" => stalls.push(stalled),
                        "none" => {}
                        _ => cured.push(cure),
                    }
                }
            }
        }
    }
    let measure = format!("time from write to answer over a round trip of {}", Spoken(rtt));
    lab.judge("stall", &measure, &stalls);
    lab.judge("remedies", &measure, &cured);
    Ok(())
}

/// Linux acknowledges when it is asked to, or after its own delay; its variant of Nagle's algorithm is Minshall's, and it
/// is called on.
fn possible(peer: Peer, nagle: &str, delay: &str) -> bool {
    match peer {
        Peer::Ours => true,
        Peer::LinuxServer => delay == "0" || delay == LINUX,
        Peer::LinuxClient => nagle != "minshall",
    }
}

/// Whether it took two round trips and the delay, and whether one. One round trip if both pieces leave together. Else the second waits until the first is acknowledged, which takes
/// a round trip and the delay; then it takes half a round trip and so does the answer.
fn one(
    lab: &mut Notebook,
    peer: Peer,
    nagle: &str,
    delay: (Duration, &str),
    remedy: &str,
    rtt: Duration,
) -> Result<(Case, Case), LabError> {
    let link = format!("{}ms", rtt.as_millis());
    let knobs = [
        ("tcp.nagle", nagle),
        ("tcp.ack_delay", delay.1),
        ("tcp.ack_every", "2"),
        ("tcp.quickack", "0"),
        // A probe would set the second piece free before the acknowledgment does.
        ("tcp.tail_loss_probe", "off"),
        ("tcp.cork", "off"),
        // A window of one segment would hold the second piece back, too.
        ("tcp.init_cwnd", "10"),
        ("link.rtt", link.as_str()),
    ];
    let varied = [("nagle", nagle), ("ack_delay", delay.1), ("remedy", remedy)];
    let mut arm = lab.arm_with(peer, &varied, &knobs)?;
    let (near, far) = arm.warm_ends()?;
    let (before, start) = (words(&mut arm), arm.begin(near));
    request(&mut arm, near, far, remedy)?;
    arm.read(far, 500)?;
    arm.write(far, 100)?;
    arm.read(near, 100)?;
    let time = arm.over(near, start);
    let after = words(&mut arm);
    let (waits, delays) = match (nagle, remedy) {
        ("off", _) | (_, "nodelay" | "one write" | "cork") => (false, false),
        (_, "quick ack") => (true, false),
        _ => (true, true),
    };
    let (stalled, at_once) = (arm.agrees(time, 2 * rtt + delay.0), arm.agrees(time, rtt));
    let text = delay.1;
    let delay = if delays { delay.0 } else { Duration::ZERO };
    arm.time("time", time, if waits { 2 * rtt + delay } else { rtt });
    let new = |n: usize| Some(after[n]? - before[n]?);
    // A corked piece was held, too; in real time it may leave the cork before it is looked at.
    match (new(0), remedy, peer) {
        (Some(n), "cork", Peer::LinuxServer) => {
            arm.between("nagle-release", Quantity::Count(n), Quantity::Count(0), Quantity::Count(1));
        }
        (n, ..) => arm.count_if_known("nagle-release", n, u64::from(waits || remedy == "cork")),
    }
    arm.count_if_known("ack-delayed", new(1), u64::from(!delay.is_zero()));
    let found = Quantity::Time(time);
    let cases = (
        arm.case(stalled, found, format!("{nagle}, delay {text}")),
        arm.case(at_once, found, format!("{remedy}, delay {text}")),
    );
    lab.record(arm)?;
    Ok(cases)
}

fn words(arm: &mut Arm) -> [Option<u64>; 2] {
    [arm.sent_by(true, "nagle-release"), arm.sent_by(false, "ack-delayed")]
}

fn request(arm: &mut Arm, near: End, far: End, remedy: &str) -> Result<(), LabError> {
    match remedy {
        "nodelay" => set_nodelay(arm, near)?,
        "cork" => set_cork(arm, near, true)?,
        "quick ack" => acknowledge_quickly(arm, far)?,
        _ => {}
    }
    if remedy == "one write" {
        return arm.write(near, 500);
    }
    arm.write(near, 200)?;
    arm.write(near, 300)?;
    if remedy == "cork" {
        set_cork(arm, near, false)?;
    }
    Ok(())
}

fn set_nodelay(arm: &mut Arm, end: End) -> Result<(), LabError> {
    match (&arm.real, end) {
        (_, End::Simulated(socket)) => {
            let now = arm.now();
            arm.world.stack(socket.host).set_opts(now, socket.id, |opts| opts.nagle = Nagle::Off);
        }
        (Some(real), End::Real(n)) => real.stream(n)?.set_nodelay()?,
        _ => {}
    }
    Ok(())
}

fn set_cork(arm: &mut Arm, end: End, on: bool) -> Result<(), LabError> {
    match (&arm.real, end) {
        (_, End::Simulated(socket)) => {
            let now = arm.now();
            arm.world.stack(socket.host).set_opts(now, socket.id, |opts| opts.cork = on);
            arm.pass(Duration::ZERO);
        }
        (Some(real), End::Real(n)) => real.stream(n)?.set_cork(on)?,
        _ => {}
    }
    Ok(())
}

fn acknowledge_quickly(arm: &mut Arm, end: End) -> Result<(), LabError> {
    if let End::Simulated(socket) = end {
        let now = arm.now();
        arm.world.stack(socket.host).set_quickack(now, socket.id, true);
    } else if let (Some(real), End::Real(n)) = (&mut arm.real, end) {
        real.quick = true;
        if let Stream::Ours(stream) = real.stream(n)? {
            stream.set_options(|opts| opts.ack_delay = Duration::ZERO)?;
        }
    }
    Ok(())
}

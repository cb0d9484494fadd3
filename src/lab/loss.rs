//! What does a loss cost, and what finds it?

use super::arm::Arm;
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::rule::{Action, Passing};
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "loss",
    question: "How much later is a response complete when some of its segments are lost or damaged?",
    claims: &[
        Claim {
            name: "fast-retransmit",
            says: "a single loss is found by what arrives after it and costs one round trip, without a time-out",
            source: "RFC 5681 §3.2",
        },
        Claim {
            name: "sack-burst",
            says: "with selective acknowledgments several losses of one flight cost no more than one; without, one round \
                   trip each",
            source: "RFC 6675, RFC 6582",
        },
        Claim {
            name: "tail-waits",
            says: "a lost tail is found by the retransmission timer alone",
            source: "RFC 6298, RFC 8985 §1",
        },
        Claim {
            name: "checksum",
            says: "the checksum finds damaged segments, which then are losses",
            source: "RFC 9293 §3.1, RFC 1071",
        },
    ],
    axes: &[Axis { name: "recovery", values: "newreno,sack,rack-tlp" }],
    tun: &[],
    turns: &[
        "tcp.sack",
        "tcp.rack",
        "tcp.tail_loss_probe",
        "tcp.dsack",
        "tcp.congestion",
        "tcp.init_cwnd",
        "tcp.mss",
        "tcp.timestamps",
        "tcp.ack_delay",
        "tcp.compressed_acks",
        "tcp.ack_every",
        "tcp.rto_min",
        "tcp.rto_floor",
        "tcp.prr",
        "link.rtt",
    ],
    plot: Plot::bars("time"),
    run,
};

const RTT: Duration = Duration::from_millis(100);
const MSS: usize = 1000;
const SEGMENTS: u64 = 40;

/// Which segments of the flight are lost, counted from 1.
const PATTERNS: [(&str, &[u64]); 5] = [
    ("none", &[]),
    ("one", &[10]),
    ("five", &[10, 12, 14, 16, 18]),
    ("last three", &[38, 39, 40]),
    ("one damaged", &[10]),
];

/// The flight is on its way at once, so everything of it arrives after half a round trip, the acknowledgments after a
/// whole one, and what is repeated then after one and a half. Without SACK each acknowledgment tells of one loss only.
/// A lost tail has no acknowledgments: the timer (a round trip and 200 ms) starts again with the last one that came; the
/// probe is sent two round trips after the flight's end, and what its acknowledgment tells takes one more.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut fast, mut burst, mut tail, mut caught) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for recovery in lab.values("recovery") {
        let (sack, rack) = match recovery.as_str() {
            "newreno" => ("off", "off"),
            "sack" => ("on", "off"),
            "rack-tlp" => ("on", "on"),
            other => return Err(LabError(format!("recovery {other:?} is none of newreno, sack, rack-tlp"))),
        };
        for (pattern, lost) in PATTERNS {
            let knobs = [
                ("tcp.sack", sack),
                ("tcp.dsack", sack),
                ("tcp.rack", rack),
                ("tcp.tail_loss_probe", rack),
                ("tcp.congestion", "newreno"),
                ("tcp.init_cwnd", "1000"),
                ("tcp.mss", "1000"),
                ("tcp.timestamps", "off"),
                ("tcp.ack_delay", "0"),
                ("tcp.compressed_acks", "0"),
                ("tcp.ack_every", "1"),
                ("tcp.rto_min", "200ms"),
                ("tcp.rto_floor", "variation"),
                ("tcp.prr", "off"),
                ("link.rtt", "100ms"),
            ];
            let mut arm = lab.arm(&[("recovery", &recovery), ("lost", pattern)], &knobs)?;
            let (time, repeated, timeouts) = response(&mut arm, lost, pattern == "one damaged")?;
            let one = RTT / 2 + RTT;
            let (low, high) = match (pattern, recovery.as_str()) {
                ("none", _) => (RTT / 2, RTT / 2),
                ("one" | "one damaged", _) => (one, one),
                ("five", "newreno") => (one + 4 * RTT, one + 4 * RTT),
                ("five", _) => (one, one),
                // Two round trips from the last segment, and at most what a coarse clock adds; an acknowledgment tells
                // of the probe, and the others follow.
                (_, "rack-tlp") => (RTT * 3 + RTT / 2, RTT * 5),
                // The first by the timer, the others a round trip later when the window is one segment.
                _ => (RTT * 4 + RTT / 2, RTT * 5 + RTT / 2 + TIMER_SLACK),
            };
            if low == high {
                arm.time("time", time, low);
            } else {
                arm.between("time", Quantity::Time(time), Quantity::Time(low), Quantity::Time(high));
            }
            arm.note("repeated", Quantity::Count(repeated));
            let expects = pattern == "last three" && rack == "off";
            arm.count("time-outs", timeouts, u64::from(expects));
            let bad = arm.received(arm.client, "drop-checksum");
            arm.count("bad checksums", bad, u64::from(pattern == "one damaged"));
            match pattern {
                "one" => fast.push(time == one && timeouts == 0),
                "five" => burst.push((time, sack == "on")),
                "last three" => tail.push((recovery.clone(), time, timeouts > 0)),
                "one damaged" => caught.push(bad == 1),
                _ => {}
            }
            lab.record(arm)?;
        }
    }
    let held = fast.iter().filter(|f| **f).count();
    lab.judge("fast-retransmit", fast, format!("one round trip in {held} ways of recovery"));
    let told: Vec<_> = burst.iter().map(|(time, _)| format!("{} ms", time.as_millis())).collect();
    let numbers = format!("five losses in one flight: {}", told.join(", "));
    let one = RTT / 2 + RTT;
    lab.judge("sack-burst", burst.iter().map(|&(t, sack)| (t == one) == sack), numbers);
    let told: Vec<_> = tail.iter().map(|(how, t, _)| format!("{how} {} ms", t.as_millis())).collect();
    let numbers = format!("{}: a probe needs no time-out", told.join(", "));
    lab.judge("tail-waits", tail.iter().map(|t| t.2), numbers);
    let numbers =
        "no damaged byte reached an application, and a damaged segment costs what a lost one does".to_owned();
    lab.judge("checksum", caught, numbers);
    Ok(())
}

/// What clock granularity and the variation's remainder may add to a time-out.
const TIMER_SLACK: Duration = Duration::from_millis(50);

/// Time until everything is there, segments sent again, time-outs.
fn response(arm: &mut Arm, lost: &'static [u64], damaged: bool) -> Result<(Duration, u64, u64), LabError> {
    let (near, far) = arm.warm_pair()?;
    let mut seen = 0;
    arm.world.add_rule(arm.server, arm.client, move |packet: &Passing<'_>| {
        seen += u64::from(!packet.payload.is_empty());
        match (packet.payload.is_empty() || !lost.contains(&seen), damaged) {
            (true, _) => Action::Pass,
            (false, true) => Action::Corrupt,
            (false, false) => Action::Drop,
        }
    });
    let before = arm.world.link_totals(arm.server, arm.client).packets;
    let start = arm.now();
    arm.write(far, SEGMENTS as usize * MSS)?;
    arm.read(near, SEGMENTS as usize * MSS)?;
    let time = arm.now().since(start);
    arm.quiet();
    let sent = arm.world.link_totals(arm.server, arm.client).packets - before;
    Ok((time, sent - SEGMENTS, u64::from(arm.sent(arm.server, "rto") > 0)))
}

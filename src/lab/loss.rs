//! What does a loss cost, and what finds it?

use super::arm::Arm;
use super::case::many;
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::rule::{Action, Passing};
use crate::time::{Duration, Spoken};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "loss",
    question: "How much later is a response complete when some of its segments are lost or damaged?",
    claims: &[
        Claim {
            name: "timer-alone",
            says: "without fast retransmit each loss waits for the retransmission timer, much longer than a round trip",
            source: "RFC 5681 §3.2, RFC 6298",
        },
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
    axes: &[Axis { name: "recovery", values: WAYS }],
    tun: &[],
    turns: &[&[
        "tcp.fast_retransmit",
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
    ]],
    holds: &[],
    plot: Plot::bars("time"),
    run,
};

const RTT: Duration = Duration::from_millis(100);
const MSS: usize = 1000;
const SEGMENTS: u64 = 40;

/// Which segments of the flight are lost, counted from 1.
/// What made the sender repeat something, and the words for it in the captures.
const CAUSES: [(&str, &[&str]); 3] = [
    ("by timer", &["rto"]),
    ("by ACKs", &["fast-retransmit", "sack-retransmit", "rack"]),
    ("probes", &["tail-loss-probe"]),
];
/// What finds a loss.
const WAYS: &str = "timer,newreno,sack,rack-tlp";
/// The shortest time-out: the round trip and the floor of its variation.
const TIME_OUT: Duration = Duration::from_millis(300);
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
    let mut slow = Vec::new();
    let one = RTT / 2 + RTT;
    lab.whole_packets();
    for recovery in lab.words("recovery", WAYS)? {
        let (sack, rack) = match recovery.as_str() {
            "timer" | "newreno" => ("off", "off"),
            "sack" => ("on", "off"),
            _ => ("on", "on"),
        };
        let timer = recovery == "timer";
        for (pattern, lost) in PATTERNS {
            let knobs = [
                ("tcp.fast_retransmit", if timer { "off" } else { "on" }),
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
            let (low, high) = match (pattern, recovery.as_str()) {
                ("none", _) => (RTT / 2, RTT / 2),
                // The timer runs from the last acknowledgment that came before the gap, a round trip after the beginning,
                // and once it has expired one loss is repeated in each round trip.
                (_, "timer") => {
                    let more = RTT * (lost.len().max(1) as u32 - 1);
                    let least = RTT + TIME_OUT + RTT / 2;
                    (least, least + more + RTT + TIMER_SLACK)
                }
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
            let (server, mut known) = (arm.server, 0);
            for (name, words) in CAUSES {
                let n = words.iter().map(|word| arm.sent(server, word)).sum();
                known += n;
                arm.note(name, Quantity::Count(n));
            }
            arm.count("unexplained", repeated.saturating_sub(known), 0);
            let expects = (timer && pattern != "none") || (pattern == "last three" && rack == "off");
            arm.count("time-outs", timeouts, u64::from(expects));
            // Where the TCP header seems to be longer than its packet nobody reckons the sum any more.
            let bad =
                ["drop-checksum", "drop-malformed"].map(|why| arm.received(arm.client, why)).iter().sum();
            arm.count("bad checksums", bad, u64::from(pattern == "one damaged"));
            let (took, at) = (Quantity::Time(time), recovery.as_str());
            let expired = || format!("{took}, {}", many(timeouts, "time-out"));
            match pattern {
                "none" => {}
                _ if timer => {
                    let held = timeouts > 0 && time >= RTT + TIME_OUT;
                    slow.push(arm.case(held, expired(), pattern));
                }
                "one" => fast.push(arm.case(time == one && timeouts == 0, expired(), at)),
                "five" => burst.push(arm.case((time == one) == (sack == "on"), took, at)),
                "last three" => tail.push(arm.case(timeouts > 0, expired(), at)),
                _ => {}
            }
            if pattern == "one damaged" {
                caught.push(arm.case(bad == 1, Quantity::Count(bad), at));
            }
            lab.record(arm)?;
        }
    }
    let measure = format!("time, {} without a loss", Spoken(RTT / 2));
    lab.judge("timer-alone", &measure, &slow);
    lab.judge("fast-retransmit", &measure, &fast);
    lab.judge("sack-burst", &format!("time with five losses, {} with one", Spoken(one)), &burst);
    lab.judge("tail-waits", &measure, &tail);
    lab.judge("checksum", "damaged segments found of the one sent", &caught);
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
    let start = arm.begin(far);
    arm.write(far, SEGMENTS as usize * MSS)?;
    arm.read(near, SEGMENTS as usize * MSS)?;
    let time = arm.over(far, start);
    arm.quiet();
    let sent = arm.world.link_totals(arm.server, arm.client).packets - before;
    Ok((time, sent - SEGMENTS, u64::from(arm.sent(arm.server, "rto") > 0)))
}

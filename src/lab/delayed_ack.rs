//! What does it save to acknowledge later, and what does it cost?

use super::arm::Arm;
use super::notebook::Notebook;
use super::tally::Way;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "delayed-ack",
    question: "How many acknowledgments ride along with data when they wait for it, and what does waiting cost?",
    claims: &[
        Claim {
            name: "piggyback",
            says: "an acknowledgment that waits finds data to ride along with",
            source: "the chapter on connections in the HTTP literature, RFC 9293 §3.8.6.3",
        },
        Claim {
            name: "request-response-rarely",
            says: "between request and response there is rarely data in the other direction in time",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "bulk-halves",
            says: "in a bulk transfer delayed acknowledgments halve the number of pure ones",
            source: "RFC 9293 §3.8.6.3 (SHLD-19), RFC 5681 §4.2",
        },
        Claim {
            name: "half-a-second",
            says: "an acknowledgment may be delayed, but by less than half a second",
            source: "RFC 9293 §3.8.6.3 (MUST-58)",
        },
        Claim {
            name: "significant-delay",
            says: "delayed acknowledgments frequently cause significant delays",
            source: "the chapter on connections in the HTTP literature",
        },
    ],
    axes: &[Axis { name: "ack_delay", values: "0,40ms,100ms,200ms,499ms" }],
    turns: &[
        "tcp.ack_delay",
        "tcp.ack_every",
        "tcp.quickack",
        "tcp.nagle",
        "tcp.congestion",
        "tcp.init_cwnd",
        "tcp.mss",
        "tcp.timestamps",
        "tcp.tail_loss_probe",
        "tcp.slow_start_after_idle",
        "tcp.rto_min",
        "tcp.rto_floor",
        "link.rtt",
    ],
    plot: Plot::over("ack_delay", "pure ACKs", (false, false)),
    run,
};

const RTT: Duration = Duration::from_millis(20);
/// How long the server thinks.
const THINKS: Duration = Duration::from_millis(50);
/// How long the user reads; longer than any delay.
const READS: Duration = Duration::from_millis(1000);
/// No acknowledgment waits as long.
const HALF_A_SECOND: Duration = Duration::from_millis(500);
const EXCHANGES: u32 = 10;
const MSS: usize = 1000;
/// An even number: the last segment of a transfer does not wait.
const SEGMENTS: usize = 100;
/// Both sides of a conversation speak each 30 ms, and the other one 5 ms after it heard something.
const SPEAKS: Duration = Duration::from_millis(30);

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut rides, mut rarely, mut halves, mut slower) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (delay, text) in lab.durations("ack_delay")? {
        let later = !delay.is_zero();
        // The server's answer carries the request's acknowledgment if that waits long enough; the response's
        // acknowledgment waits in vain, since the user reads longer.
        let answer_rides = delay > THINKS;
        let n = u64::from(EXCHANGES);
        let (pure, share, added) = one(lab, "request-response", &text, requests)?;
        let expected = (if answer_rides { n } else { 2 * n }, if answer_rides { 0.5 } else { 0.0 });
        rarely.push(share < 0.5);
        finish(lab, pure, share, added, (expected.0, expected.1, Duration::ZERO))?;

        // Each side hears the other 5 ms before it speaks itself; only the last word finds no answer.
        let (pure, share, added) = one(lab, "both ways", &text, conversation)?;
        let expected = if later { (1, (2 * n - 1) as f64 / (2 * n) as f64) } else { (2 * n, 0.0) };
        if later {
            rides.push(share > 0.9);
        }
        finish(lab, pure, share, added, (expected.0, expected.1, Duration::ZERO))?;

        let (pure, share, added) = one(lab, "bulk", &text, bulk)?;
        let segments = SEGMENTS as u64;
        if later {
            halves.push(pure.1 == segments / 2);
        }
        let expected = if later { segments / 2 } else { segments };
        finish(lab, pure, share, added, (expected, 0.0, Duration::ZERO))?;

        // A window of one segment: the receiver acknowledges neither the first nor the second before its time.
        let (pure, share, added) = one(lab, "window of one", &text, window_of_one)?;
        slower.push((text.clone(), added, later));
        finish(lab, pure, share, added, (3, 0.0, 2 * delay))?;
    }
    let numbers = "all but the last when both sides speak each 30 ms".to_owned();
    lab.judge("piggyback", rides, numbers);
    let numbers = format!(
        "none while the delay is shorter than the server's {} ms; above that each response carries one, which is half of them",
        THINKS.as_millis()
    );
    lab.judge("request-response-rarely", rarely, numbers);
    let numbers =
        format!("{} instead of {SEGMENTS} for {SEGMENTS} segments, whatever the delay", SEGMENTS / 2);
    lab.judge("bulk-halves", halves, numbers);
    // Two of the three segments wait, each for the whole delay.
    let longest = slower.iter().map(|s| s.1 / 2).max().unwrap_or_default();
    let numbers = format!(
        "{} ms at the most; tcp.ack_delay ends at 499 ms, so that the textbooks' 500 ms have no arm",
        longest.as_millis()
    );
    lab.judge("half-a-second", slower.iter().map(|s| s.1 / 2 < HALF_A_SECOND).collect::<Vec<_>>(), numbers);
    let worst = slower.iter().map(|s| s.1).max().unwrap_or_default();
    let numbers = format!(
        "none in request and response, conversation and bulk; the whole delay for each segment but the last, up to {} ms in all, \
         where the sender's window is a single one",
        worst.as_millis()
    );
    // Four patterns each.
    let cases = slower.iter().filter(|s| s.2).flat_map(|s| [false, false, false, s.1 > RTT]);
    lab.judge("significant-delay", cases.collect::<Vec<_>>(), numbers);
    Ok(())
}

/// One pattern of traffic: pure ACKs of both sides, the share of acknowledgments that rode along, the delay added.
fn one(
    lab: &Notebook,
    pattern: &str,
    delay: &str,
    traffic: impl FnOnce(&mut Arm) -> Result<(Way, Way, Duration), LabError>,
) -> Result<((Arm, u64), f64, Duration), LabError> {
    let knobs = [
        ("tcp.ack_delay", delay),
        ("tcp.ack_every", "2"),
        ("tcp.quickack", "0"),
        ("tcp.nagle", "off"),
        ("tcp.congestion", if pattern == "window of one" { "fixed:1" } else { "newreno" }),
        ("tcp.init_cwnd", "1000"),
        ("tcp.mss", "1000"),
        ("tcp.timestamps", "off"),
        ("tcp.tail_loss_probe", "off"),
        ("tcp.slow_start_after_idle", "off"),
        // No time-out before the longest delay.
        ("tcp.rto_min", "1s"),
        ("tcp.rto_floor", "variation"),
        ("link.rtt", "20ms"),
    ];
    let mut arm = lab.arm(&[("traffic", pattern), ("ack_delay", delay)], &knobs)?;
    let (out, inn, added) = traffic(&mut arm)?;
    let (pure, data) = (out.pure_acks + inn.pure_acks, out.data + inn.data);
    // Every segment of these patterns without a pure acknowledgment of its own was acknowledged by data, but for bulk,
    // where one stands for two.
    let rode = if pattern == "bulk" || pattern == "window of one" { 0 } else { data.saturating_sub(pure) };
    Ok(((arm, pure), rode as f64 / data as f64, added))
}

fn finish(
    lab: &mut Notebook,
    (mut arm, pure): (Arm, u64),
    share: f64,
    added: Duration,
    expected: (u64, f64, Duration),
) -> Result<(), LabError> {
    arm.count("pure ACKs", pure, expected.0);
    arm.exactly("piggybacked", Quantity::Share(share), Quantity::Share(expected.1));
    arm.time("added", added, expected.2);
    lab.record(arm)
}

fn since(arm: &Arm, before: (Way, Way)) -> (Way, Way) {
    let after = arm.ways();
    (after.0.since(before.0), after.1.since(before.1))
}

/// Requests, each answered after a while; the next one comes when the user has read.
fn requests(arm: &mut Arm) -> Result<(Way, Way, Duration), LabError> {
    let (near, far) = arm.warm_pair()?;
    let before = arm.ways();
    let mut added = Duration::ZERO;
    for _ in 0..EXCHANGES {
        let start = arm.now();
        arm.write(near, 200)?;
        arm.read(far, 200)?;
        arm.pass(THINKS);
        arm.write(far, 400)?;
        arm.read(near, 400)?;
        added += arm.now().since(start).saturating_sub(RTT + THINKS);
        arm.pass(READS);
    }
    let (out, inn) = since(arm, before);
    Ok((out, inn, added))
}

/// Both sides speak each 30 ms, half a period apart.
fn conversation(arm: &mut Arm) -> Result<(Way, Way, Duration), LabError> {
    let (near, far) = arm.warm_pair()?;
    let before = arm.ways();
    for _ in 0..EXCHANGES {
        arm.write(near, 100)?;
        arm.pass(SPEAKS / 2);
        arm.write(far, 100)?;
        arm.pass(SPEAKS / 2);
    }
    arm.quiet();
    let (out, inn) = since(arm, before);
    Ok((out, inn, Duration::ZERO))
}

/// Full segments in one direction; all are on their way at once.
fn bulk(arm: &mut Arm) -> Result<(Way, Way, Duration), LabError> {
    let (near, far) = arm.warm_pair()?;
    let (before, start) = (arm.ways(), arm.now());
    arm.write(near, SEGMENTS * MSS)?;
    arm.read(far, SEGMENTS * MSS)?;
    let added = arm.now().since(start).saturating_sub(RTT / 2);
    arm.quiet();
    let (out, inn) = since(arm, before);
    Ok((out, inn, added))
}

/// Three segments, each when the one before is acknowledged.
fn window_of_one(arm: &mut Arm) -> Result<(Way, Way, Duration), LabError> {
    let (near, far) = arm.warm_pair()?;
    let (before, start) = (arm.ways(), arm.now());
    arm.write(near, 3 * MSS)?;
    arm.read(far, 3 * MSS)?;
    let added = arm.now().since(start).saturating_sub(2 * RTT + RTT / 2);
    arm.quiet();
    let (out, inn) = since(arm, before);
    Ok((out, inn, added))
}

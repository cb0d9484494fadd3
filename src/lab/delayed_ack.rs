//! What does it save to acknowledge later, and what does it cost?

use super::arm::{Arm, End};
use super::case::Case;
use super::kernel::Peer;
use super::notebook::Notebook;
use super::tally::Way;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::knob;
use crate::settings::{Profile, Settings};
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
            name: "waits-100-to-200-ms",
            says: "an acknowledgment waits 100 to 200 ms for data to ride along with",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "half-a-second",
            says: "an acknowledgment is delayed by less than half a second",
            source: "RFC 9293 §3.8.6.3 (MUST-58)",
        },
        Claim {
            name: "significant-delay",
            says: "delayed acknowledgments frequently cause significant delays",
            source: "the chapter on connections in the HTTP literature",
        },
    ],
    axes: &[Axis { name: "ack_delay", values: "0,40ms,100ms,200ms,500ms" }],
    tun: &[Axis { name: "ack_delay", values: "0,40ms,100ms" }],
    turns: &[&[
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
    ]],
    holds: &[],
    plot: Plot::over("ack_delay", "pure ACKs", (false, false)),
    run,
};

const RTT: Duration = Duration::from_millis(20);
/// How long the server thinks.
const THINKS: Duration = Duration::from_millis(50);
/// How long the user reads; longer than any delay. In real time those are shorter.
const READS: Duration = Duration::from_millis(1000);
const READS_FAST: Duration = Duration::from_millis(250);
/// How long Linux delays an acknowledgment at the least, which is what it begins with.
const LINUX: Duration = Duration::from_millis(40);
/// Linux' timers count in ticks, of which some systems have a hundred a second.
const TICK: Duration = Duration::from_millis(10);
/// The initial window of Linux.
const WINDOW: usize = 10;
/// No acknowledgment may wait as long; the knob goes so far, to show it.
const HALF_A_SECOND: Duration = Duration::from_millis(500);
const EXCHANGES: u32 = 10;
const MSS: usize = 1000;
/// An even number: the last segment of a transfer does not wait. All fit into the first window, which has 16 bits.
const SEGMENTS: usize = 60;
/// Both sides of a conversation speak each 30 ms, and the other one 5 ms after it heard something.
const SPEAKS: Duration = Duration::from_millis(30);

/// With less an acknowledgment would not wait for what it could ride on; with more it would come after RFC 1122
/// §4.2.3.2 wants it.
const LEAST: Duration = Duration::from_millis(6);
const MOST: Duration = Duration::from_millis(500);

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut rides, mut rarely, mut halves) = (Vec::new(), Vec::new(), Vec::new());
    let (mut waits, mut slower) = (Vec::new(), Vec::new());
    let cases = lab.delays("ack_delay", LEAST, MOST)?;
    for (&peer, (delay, text)) in lab.peers().iter().flat_map(|peer| cases.iter().map(move |c| (peer, c))) {
        // Linux acknowledges when it is asked to, or after its own delay.
        if peer == Peer::LinuxServer && ![Duration::ZERO, LINUX].contains(delay) {
            continue;
        }
        for pattern in PATTERNS {
            // The kernel's window cannot be held at one segment.
            if peer == Peer::LinuxClient && pattern == "window of one" {
                continue;
            }
            let found = one(lab, peer, pattern, *delay, text)?;
            let (share, pure) = (Quantity::Share(found.share), Quantity::Count(found.pure));
            match pattern {
                "request-response" => rarely.push(found.case(found.share < 0.5, share, text)),
                "both ways" if !delay.is_zero() => rides.push(found.case(found.share > 0.8, share, text)),
                "bulk" if !delay.is_zero() => {
                    halves.push(found.case(found.pure <= SEGMENTS as u64 * 11 / 20, pure, text));
                }
                "window of one" => {
                    // Ours delays two of the three segments, each for the whole delay, Linux one.
                    let each = found.added / if peer == Peer::Ours { 2 } else { 1 };
                    waits.push(found.case(each < HALF_A_SECOND, Quantity::Time(each), text));
                }
                _ => {}
            }
            if !delay.is_zero() {
                let at = format!("{pattern} {text}");
                slower.push(found.case(found.added > RTT, Quantity::Time(found.added), &at));
            }
        }
    }
    lab.judge("piggyback", "acknowledgments that ride along in a conversation", &rides);
    lab.judge("request-response-rarely", "acknowledgments that ride along", &rarely);
    lab.judge("bulk-halves", &format!("pure acknowledgments of {SEGMENTS} segments"), &halves);
    let mut alone = Vec::new();
    for profile in [Profile::Classic, Profile::Rfc, Profile::Linux] {
        let delay = knob::show_duration(Settings::new(profile).tcp.ack_delay);
        let waits = lone_segment(lab, &delay)?;
        let usual = (Duration::from_millis(100)..=Duration::from_millis(200)).contains(&waits);
        alone.push(Case::new(usual, Quantity::Time(waits), format!("profile {}", profile.name())));
    }
    lab.judge("waits-100-to-200-ms", "the acknowledgment of a single segment waits", &alone);
    lab.judge("half-a-second", "an acknowledgment waits", &waits);
    lab.judge("significant-delay", "time added", &slower);
    Ok(())
}

const PATTERNS: [&str; 4] = ["request-response", "both ways", "bulk", "window of one"];

/// What one pattern of traffic led to.
struct Found {
    pure: u64,
    share: f64,
    added: Duration,
    late: bool,
    overslept: bool,
}

impl Found {
    fn case(&self, held: bool, found: Quantity, at: &str) -> Case {
        Case::new(held, found, at).unless(self.late).unless_held(self.overslept)
    }
}

/// What has to come out: from how many pure acknowledgments to how many, and the delay added.
struct Plan {
    pure: (u64, u64),
    added: (Duration, Duration),
}

/// In request and response the answer carries the request's acknowledgment if that waits long enough; the response's
/// acknowledgment waits in vain, since the user reads longer. In a conversation each side hears the other 5 ms before it
/// speaks itself; only the last word finds no answer. In bulk each second segment is acknowledged. With a window of one
/// segment the receiver acknowledges neither the first nor the second before its time.
///
/// Linux delays by 40 ms while round trips are shorter, whatever our side does. It acknowledges the first segments of a
/// connection at once, until it has answered one itself. Its window begins with ten segments. In bulk either side takes
/// what has come together as one.
fn plan(arm: &Arm, pattern: &str, delay: Duration) -> Plan {
    let (n, segments, later, late) = (u64::from(EXCHANGES), SEGMENTS as u64, !delay.is_zero(), arm.late());
    // The server's delay, for the request; it is Linux' own where Linux is the server.
    let rides = delay > THINKS;
    let exactly = |pure: u64, added: Duration| Plan {
        pure: (pure, pure),
        added: (added, added + late * 2 * EXCHANGES),
    };
    match (pattern, arm.peer()) {
        ("request-response", _) => exactly(if rides { n } else { 2 * n }, Duration::ZERO),
        ("both ways", Peer::Ours) => exactly(if later { 1 } else { 2 * n }, Duration::ZERO),
        ("both ways", _) if later => Plan { pure: (1, 4), added: (Duration::ZERO, Duration::ZERO) },
        ("both ways", _) => Plan { pure: (2 * n - 2, 2 * n), added: (Duration::ZERO, Duration::ZERO) },
        ("bulk", Peer::Ours) => exactly(if later { segments / 2 } else { segments }, Duration::ZERO),
        // Linux' first window of 64 KiB may have to be opened on the way.
        ("bulk", Peer::LinuxServer) => Plan { pure: (1, segments), added: (Duration::ZERO, RTT * 2 + late) },
        ("bulk", Peer::LinuxClient) => {
            let trips = RTT * (super::slow_start::flights(SEGMENTS, WINDOW) - 1);
            // The kernel may find its window doubled only when a late acknowledgment has come.
            Plan {
                pure: (1, if later { segments / 2 } else { segments }),
                added: (trips, (trips + late) * 3),
            }
        }
        (_, Peer::Ours) => exactly(3, 2 * delay),
        // When Linux has delayed once in vain, it acknowledges at once.
        _ => Plan { pure: (3, 3), added: (delay.saturating_sub(TICK), delay + TICK + 2 * late) },
    }
}

/// One pattern of traffic: pure ACKs of both sides, the share of acknowledgments that rode along, the delay added.
fn one(
    lab: &mut Notebook,
    peer: Peer,
    pattern: &str,
    delay: Duration,
    text: &str,
) -> Result<Found, LabError> {
    let knobs = knobs(text, if pattern == "window of one" { "fixed:1" } else { "newreno" });
    let mut arm = lab.arm_with(peer, &[("traffic", pattern), ("ack_delay", text)], &knobs)?;
    let (out, inn, added) = match pattern {
        "request-response" => requests(&mut arm)?,
        "both ways" => conversation(&mut arm)?,
        "bulk" => bulk(&mut arm)?,
        _ => window_of_one(&mut arm)?,
    };
    let (pure, data) = (out.pure_acks + inn.pure_acks, out.data + inn.data);
    // Every segment of these patterns without a pure acknowledgment of its own was acknowledged by data, but for bulk,
    // where one stands for two.
    let both = pattern == "request-response" || pattern == "both ways";
    let rode = |pure: u64| if both { data.saturating_sub(pure) as f64 / data as f64 } else { 0.0 };
    let plan = plan(&arm, pattern, delay);
    let count = |n| Quantity::Count(n);
    arm.between("pure ACKs", count(pure), count(plan.pure.0), count(plan.pure.1));
    let share = |pure| Quantity::Share(rode(pure));
    arm.between("piggybacked", share(pure), share(plan.pure.1), share(plan.pure.0));
    let (low, high) = (Quantity::Time(plan.added.0), Quantity::Time(plan.added.1));
    arm.between("added", Quantity::Time(added), low, high);
    let (late, overslept) = (arm.is_late(), arm.overslept());
    lab.record(arm)?;
    Ok(Found { pure, share: rode(pure), added, late, overslept })
}

fn knobs<'a>(delay: &'a str, congestion: &'a str) -> [(&'static str, &'a str); 13] {
    [
        ("tcp.ack_delay", delay),
        ("tcp.ack_every", "2"),
        ("tcp.quickack", "0"),
        ("tcp.nagle", "off"),
        ("tcp.congestion", congestion),
        ("tcp.init_cwnd", "1000"),
        ("tcp.mss", "1000"),
        ("tcp.timestamps", "off"),
        ("tcp.tail_loss_probe", "off"),
        ("tcp.slow_start_after_idle", "off"),
        // No time-out before the longest delay.
        ("tcp.rto_min", "1s"),
        ("tcp.rto_floor", "variation"),
        ("link.rtt", "20ms"),
    ]
}

fn since(arm: &Arm, before: (Way, Way)) -> (Way, Way) {
    let after = arm.ways();
    (after.0.since(before.0), after.1.since(before.1))
}

/// Requests, each answered after a while; the next one comes when the user has read.
fn requests(arm: &mut Arm) -> Result<(Way, Way, Duration), LabError> {
    let (near, far) = arm.warm_ends()?;
    let before = arm.ways();
    let mut added = Duration::ZERO;
    for _ in 0..EXCHANGES {
        let start = arm.begin(near);
        arm.write(near, 200)?;
        arm.read(far, 200)?;
        arm.pass(THINKS);
        arm.write(far, 400)?;
        arm.read(near, 400)?;
        added += arm.over(near, start).saturating_sub(RTT + THINKS);
        arm.pass(if arm.real.is_some() { READS_FAST } else { READS });
    }
    let (out, inn) = since(arm, before);
    Ok((out, inn, added))
}

/// How long the acknowledgment of a single small segment waits that nobody answers.
fn lone_segment(lab: &Notebook, delay: &str) -> Result<Duration, LabError> {
    let mut arm = lab.beside(&knobs(delay, "newreno"))?;
    let (near, _) = arm.warm_pair()?;
    let start = arm.now();
    arm.write(near, 100)?;
    arm.world.run_until(HALF_A_SECOND * 2, |world| {
        world.stack(near.host).conn(near.id).is_some_and(|conn| conn.snapshot().flight == 0)
    });
    Ok(arm.now().since(start).saturating_sub(RTT))
}

/// Linux is asked for acknowledgments when a program reads; our own stack is not disturbed by one.
fn hear(arm: &mut Arm, end: End) -> Result<(), LabError> {
    if arm.real.is_some() { arm.read(end, 100) } else { Ok(()) }
}

/// Both sides speak each 30 ms, half a period apart.
fn conversation(arm: &mut Arm) -> Result<(Way, Way, Duration), LabError> {
    let (near, far) = arm.warm_ends()?;
    let (before, start) = (arm.ways(), arm.begin(near));
    for _ in 0..EXCHANGES {
        arm.write(near, 100)?;
        arm.pass(SPEAKS / 2);
        hear(arm, far)?;
        arm.write(far, 100)?;
        arm.pass(SPEAKS / 2);
        hear(arm, near)?;
    }
    arm.over(near, start);
    arm.quiet();
    let (out, inn) = since(arm, before);
    Ok((out, inn, Duration::ZERO))
}

/// Full segments in one direction; all are on their way at once.
fn bulk(arm: &mut Arm) -> Result<(Way, Way, Duration), LabError> {
    let (near, far) = arm.warm_ends()?;
    let (before, start) = (arm.ways(), arm.begin(near));
    arm.transfer(near, far, SEGMENTS * MSS)?;
    let added = arm.over(near, start).saturating_sub(RTT / 2);
    arm.quiet();
    let (out, inn) = since(arm, before);
    Ok((out, inn, added))
}

/// Three segments, each when the one before is acknowledged.
fn window_of_one(arm: &mut Arm) -> Result<(Way, Way, Duration), LabError> {
    let (near, far) = arm.warm_ends()?;
    let (before, start) = (arm.ways(), arm.begin(near));
    arm.transfer(near, far, 3 * MSS)?;
    let added = arm.over(near, start).saturating_sub(2 * RTT + RTT / 2);
    arm.quiet();
    let (out, inn) = since(arm, before);
    Ok((out, inn, added))
}

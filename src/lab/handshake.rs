//! What does a connection of its own cost a request?

use super::addrs::HTTP;
use super::arm::Arm;
use super::kernel::EARLY;
use super::notebook::Notebook;
use super::slow_start::{EVERY_ACK, MSS, flights};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "handshake",
    question: "Which share of a request's time is the set-up of its connection?",
    claims: &[
        Claim {
            name: "half-and-more",
            says: "in a small transaction half of the time and more goes into setting up the connection",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "one-round-trip",
            says: "a new connection costs one round trip more than a kept one, whatever the distance",
            source: "RFC 9293 §3.5",
        },
    ],
    axes: &[
        Axis { name: "rtt", values: "1ms,20ms,100ms,600ms" },
        Axis { name: "size", values: "1KiB,10KiB,100KiB,1MiB" },
    ],
    tun: &[Axis { name: "rtt", values: "100ms" }, Axis { name: "size", values: "1KiB,10KiB,25KiB" }],
    turns: &[EVERY_ACK],
    holds: &[],
    plot: Plot::over("size", "share", (true, false)),
    run,
};

/// The simulator counts in nanoseconds, a kernel in ticks.
const SHORTEST: Duration = Duration::from_micros(1);

/// The connection takes a round trip, the request and the first flight of the response another one, each further flight
/// of slow start one more; so the share is 1 in (1 + flights), and the distance cancels out.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut shares, mut differences) = (Vec::new(), Vec::new());
    let cases = lab
        .round_trips("rtt", SHORTEST)?
        .into_iter()
        .flat_map(|rtt| lab.peers().iter().map(move |&peer| (peer, rtt.clone())));
    for (peer, (rtt, rtt_text)) in cases.collect::<Vec<_>>() {
        for (size, size_text) in lab.sizes("size", 100 << 20)? {
            let knobs = [&knobs()[..], &[("link.rtt", rtt_text.as_str())]].concat();
            let mut arm = lab.arm_with(peer, &[("rtt", &rtt_text), ("size", &size_text)], &knobs)?;
            let (connected, fresh) = request(&mut arm, size)?;
            let syns = arm.ways().0.syns;
            let flights = flights(size.div_ceil(MSS), 10);
            arm.time("new", fresh, rtt * (flights + 1));
            let kept = repeat(&mut arm, size)?;
            arm.time("kept", kept, rtt * flights);
            let share = connected.as_secs_f64() / fresh.as_secs_f64();
            // Where time is real, the connection may be late and the rest not, or the other way round.
            let (late, rest) = (arm.late(), rtt * flights);
            let part =
                |set_up: Duration, rest: Duration| set_up.as_secs_f64() / (set_up + rest).as_secs_f64();
            let (low, high) = (part(rtt, rest + late), part(rtt + late, rest));
            arm.between("share", Quantity::Share(share), Quantity::Share(low), Quantity::Share(high));
            arm.count("SYNs", syns, 1);
            // As much as the other round trip, up to what a nanosecond makes of it.
            let half = share >= 0.5 - 1e-6;
            let case = arm.case(half, Quantity::Share(share), &*size_text);
            // Where what a machine may be late decides about it, nobody can tell.
            shares.push(case.unless_held(low < high && (low..=high).contains(&0.5)));
            let more = fresh.saturating_sub(kept);
            // In real time either may be late.
            let early = if lab.is_real() { EARLY } else { super::TOLERANCE };
            let exact = more.abs_diff(rtt) <= arm.late() + early;
            differences.push(arm.case(exact, Quantity::Time(more), format!("RTT {rtt_text}")));
            lab.record(arm)?;
        }
    }
    lab.judge("half-and-more", "share of the set-up", &shares);
    lab.judge("one-round-trip", "a new connection takes longer by", &differences);
    Ok(())
}

/// Connects, asks and reads the answer: how long the connection took, and all of it.
fn request(arm: &mut Arm, size: usize) -> Result<(Duration, Duration), LabError> {
    let start = arm.begin_anew();
    let door = arm.listen(HTTP)?;
    let near = arm.connect(HTTP)?;
    let connected = arm.now().since(start.at);
    arm.write(near, 100)?;
    let far = arm.accept(door)?;
    arm.read(far, 100)?;
    arm.transfer(far, near, size)?;
    Ok((connected, arm.over(near, start)))
}

/// The same on a connection that has been idle long enough to start slowly again.
fn repeat(arm: &mut Arm, size: usize) -> Result<Duration, LabError> {
    let (near, far) = arm.more_ends(81)?;
    let start = arm.begin(near);
    arm.write(near, 100)?;
    arm.read(far, 100)?;
    arm.transfer(far, near, size)?;
    Ok(arm.over(near, start))
}

fn knobs() -> [(&'static str, &'static str); 12] {
    super::slow_start::clean("10")
}

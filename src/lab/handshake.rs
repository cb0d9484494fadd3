//! What does a connection of its own cost a request?

use super::arm::{Arm, WEB};
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
    turns: EVERY_ACK,
    plot: Plot::over("size", "share", (true, false)),
    run,
};

/// The connection takes a round trip, the request and the first flight of the response another one, each further flight
/// of slow start one more; so the share is 1 in (1 + flights), and the distance cancels out.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut shares, mut differences) = (Vec::new(), Vec::new());
    for (rtt, rtt_text) in lab.durations("rtt")? {
        for (size, size_text) in lab.sizes("size")? {
            let knobs = [&knobs()[..], &[("link.rtt", rtt_text.as_str())]].concat();
            let mut arm = lab.arm(&[("rtt", &rtt_text), ("size", &size_text)], &knobs)?;
            let (connected, fresh) = request(&mut arm, size)?;
            let syns = arm.ways().0.syns;
            let flights = flights(size.div_ceil(MSS), 10);
            arm.time("new", fresh, rtt * (flights + 1));
            let kept = repeat(&mut arm, size)?;
            arm.time("kept", kept, rtt * flights);
            let share = connected.as_secs_f64() / fresh.as_secs_f64();
            let expected = Quantity::Share(1.0 / f64::from(flights + 1));
            arm.exactly("share", Quantity::Share(share), expected);
            arm.count("SYNs", syns, 1);
            shares.push((size_text.clone(), share));
            differences.push(fresh.saturating_sub(kept).abs_diff(rtt) <= super::TOLERANCE);
            lab.record(arm)?;
        }
    }
    let small: Vec<&str> = shares.iter().filter(|s| s.1 >= 0.5 - 1e-9).map(|s| s.0.as_str()).collect();
    let least = shares.iter().map(|s| s.1).fold(1.0, f64::min);
    let mut sizes = small.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let numbers = format!(
        "50 % for {} and never more, as long as the response fits into the initial window of 10 segments; down to \
         {:.0} % for the largest. The round trip time makes no difference",
        if sizes.is_empty() { "no size".into() } else { sizes.join(", ") },
        100.0 * least
    );
    lab.judge("half-and-more", shares.iter().map(|s| s.1 >= 0.5 - 1e-9), numbers);
    let exact = differences.iter().filter(|d| **d).count();
    let numbers = format!("exactly one round trip in {exact} of {} cases", differences.len());
    lab.judge("one-round-trip", differences, numbers);
    Ok(())
}

/// Connects, asks and reads the answer: how long the connection took, and all of it.
fn request(arm: &mut Arm, size: usize) -> Result<(Duration, Duration), LabError> {
    let start = arm.now();
    let listener = arm.world.listen(arm.server, WEB)?;
    let near = arm.world.connect(arm.client, WEB)?;
    let connected = arm.now().since(start);
    arm.write(near, 100)?;
    let far = arm.world.accept(listener)?;
    arm.read(far, 100)?;
    arm.write(far, size)?;
    arm.read(near, size)?;
    Ok((connected, arm.now().since(start)))
}

/// The same on a connection that has been idle long enough to start slowly again.
fn repeat(arm: &mut Arm, size: usize) -> Result<Duration, LabError> {
    let other = std::net::SocketAddr::new(WEB.ip(), 81);
    let (near, far) = arm.world.pair(arm.client, arm.server, other)?;
    arm.quiet();
    let start = arm.now();
    arm.write(near, 100)?;
    arm.read(far, 100)?;
    arm.write(far, size)?;
    arm.read(near, size)?;
    Ok(arm.now().since(start))
}

fn knobs() -> [(&'static str, &'static str); 12] {
    super::slow_start::clean("10")
}

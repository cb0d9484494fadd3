//! What does the initial window cost? Slow start counted in round trips.

use super::bench::{Bench, turned};
use super::{Experiment, LabError, Run};
use crate::settings::Settings;
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "initial-window",
    question: "How long does a response take that is larger than the initial window?",
    claim: "Half a round trip for the last flight and a whole one for each before it, where every flight is twice the \
            one before: N segments take as many flights as it takes for IW × (2^flights − 1) to reach N.",
    turns: &[
        "tcp.init_cwnd",
        "tcp.mss",
        "tcp.timestamps",
        "tcp.recv_buffer_initial",
        "tcp.send_buffer_initial",
        "tcp.ack_every",
        "tcp.ack_delay",
        "link.rtt",
    ],
    run,
};

const RTT: Duration = Duration::from_millis(100);
const MSS: usize = 1000;

fn run(settings: &Settings, seed: u64) -> Result<Vec<Run>, LabError> {
    let mut runs = Vec::new();
    for segments in [1, 10, 11, 100] {
        for window in [1, 3, 10, 64] {
            runs.push(one(settings, seed, segments, window)?);
        }
    }
    Ok(runs)
}

fn one(settings: &Settings, seed: u64, segments: usize, window: usize) -> Result<Run, LabError> {
    // Every segment is acknowledged at once, so that each flight doubles exactly.
    let settings = turned(
        settings,
        &[
            ("tcp.init_cwnd", &window.to_string()),
            ("tcp.mss", &MSS.to_string()),
            ("tcp.timestamps", "off"),
            ("tcp.recv_buffer_initial", "1MiB"),
            ("tcp.send_buffer_initial", "1MiB"),
            ("tcp.ack_every", "1"),
            ("tcp.ack_delay", "0"),
            ("link.rtt", "100ms"),
        ],
    )?;
    let mut bench = Bench::new(&settings, seed);
    let (client, server) = bench.pair()?;
    let start = bench.now();
    bench.write(server, segments * MSS)?;
    bench.read(client, segments * MSS)?;
    let flights = flights(segments, window);
    Ok(Run {
        varied: vec![("segments", segments.to_string()), ("tcp.init_cwnd", window.to_string())],
        expected: RTT / 2 + RTT * (flights - 1),
        measured: bench.now().since(start),
        counts: vec![("flights", u64::from(flights))],
    })
}

fn flights(segments: usize, window: usize) -> u32 {
    (1..).find(|&n| window * ((1 << n) - 1) >= segments).unwrap_or(u32::MAX)
}

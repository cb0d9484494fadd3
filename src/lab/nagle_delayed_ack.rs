//! What do Nagle's algorithm and delayed acknowledgments cost together? The stall after write-write-read.

use super::bench::{Bench, turned};
use super::{Experiment, LabError, Run};
use crate::knob::duration;
use crate::settings::Settings;
use crate::sim::Socket;
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "nagle-delayed-ack",
    question: "How long does a request take that is written in two small pieces?",
    claim: "One round trip with Nagle's algorithm off; with it on, the second piece waits for the acknowledgment of the \
            first: two round trips and the peer's whole delayed-ACK time.",
    turns: &["tcp.nagle", "tcp.ack_delay", "tcp.ack_every", "tcp.quickack", "tcp.cork", "link.rtt"],
    run,
};

const RTT: Duration = Duration::from_millis(20);

fn run(settings: &Settings, seed: u64) -> Result<Vec<Run>, LabError> {
    let mut runs = Vec::new();
    for nagle in ["off", "on", "minshall"] {
        for delay in ["0", "40ms", "200ms"] {
            runs.push(one(settings, seed, nagle, delay)?);
        }
    }
    Ok(runs)
}

fn one(settings: &Settings, seed: u64, nagle: &str, delay: &str) -> Result<Run, LabError> {
    let settings = turned(
        settings,
        &[
            ("tcp.nagle", nagle),
            ("tcp.ack_delay", delay),
            ("tcp.ack_every", "2"),
            ("tcp.quickack", "0"),
            // A probe would set the second piece free before the acknowledgment does.
            ("tcp.tail_loss_probe", "off"),
            ("tcp.cork", "off"),
            ("link.rtt", "20ms"),
        ],
    )?;
    let mut bench = Bench::new(&settings, seed);
    let (client, server) = bench.pair()?;
    exchange(&mut bench, client, server)?;
    bench.quiet();
    let words = |bench: &mut Bench| {
        (bench.sent(bench.client, "nagle-release"), bench.sent(bench.server, "ack-delayed"))
    };
    let (before, start) = (words(&mut bench), bench.now());
    bench.write(client, 200)?;
    bench.write(client, 300)?;
    bench.read(server, 500)?;
    bench.write(server, 100)?;
    bench.read(client, 100)?;
    let measured = bench.now().since(start);
    let after = words(&mut bench);
    let waits = nagle != "off";
    let delay_time = duration(delay).unwrap_or_default();
    Ok(Run {
        varied: vec![("tcp.nagle", nagle.to_owned()), ("tcp.ack_delay", delay.to_owned())],
        expected: if waits { 2 * RTT + delay_time } else { RTT },
        measured,
        counts: vec![("nagle-release", after.0 - before.0), ("ack-delayed", after.1 - before.1)],
    })
}

/// A first exchange, as on a kept connection: the window that a SYN cannot express has been announced after it, which
/// would otherwise acknowledge the first piece at once.
fn exchange(bench: &mut Bench, client: Socket, server: Socket) -> Result<(), LabError> {
    bench.write(client, 1)?;
    bench.read(server, 1)?;
    bench.write(server, 1)?;
    bench.read(client, 1)
}

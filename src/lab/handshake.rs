//! What does a connection of its own cost a request?

use super::bench::{Bench, turned};
use super::{Experiment, LabError, Run};
use crate::settings::Settings;
use crate::time::Duration;
use std::net::SocketAddr;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "handshake",
    question: "How much longer does a request take on a new connection than on a kept one?",
    claim: "One round trip: two round trips on a new connection, one on a kept one, whatever the distance.",
    turns: &["link.rtt"],
    run,
};

fn run(settings: &Settings, seed: u64) -> Result<Vec<Run>, LabError> {
    let mut runs = Vec::new();
    for rtt in [1, 20, 100, 600] {
        let settings = turned(settings, &[("link.rtt", &format!("{rtt}ms"))])?;
        let trip = Duration::from_millis(rtt);
        for (connection, trips) in [("new", 2), ("kept", 1)] {
            let mut bench = Bench::new(&settings, seed);
            let measured = if connection == "new" { fresh(&mut bench)? } else { kept(&mut bench)? };
            runs.push(Run {
                varied: vec![("link.rtt", format!("{rtt}ms")), ("connection", connection.to_owned())],
                expected: trips * trip,
                measured,
                counts: vec![("syn", bench.sent(bench.client, "syn"))],
            });
        }
    }
    Ok(runs)
}

fn fresh(bench: &mut Bench) -> Result<Duration, LabError> {
    let (client, server, start) = (bench.client, bench.server, bench.now());
    let address = SocketAddr::new(super::bench::SERVER, 80);
    let listener = bench.world.listen(server, address)?;
    let near = bench.world.connect(client, address)?;
    bench.write(near, 100)?;
    let far = bench.world.accept(listener)?;
    bench.read(far, 100)?;
    bench.write(far, 1000)?;
    bench.read(near, 1000)?;
    Ok(bench.now().since(start))
}

fn kept(bench: &mut Bench) -> Result<Duration, LabError> {
    let (near, far) = bench.pair()?;
    let start = bench.now();
    bench.write(near, 100)?;
    bench.read(far, 100)?;
    bench.write(far, 1000)?;
    bench.read(near, 1000)?;
    Ok(bench.now().since(start))
}

//! How many connections a second can one client make to one server?

use super::arm::{Arm, WEB};
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::SimError;
use crate::stack::StackError;
use crate::time::{Duration, Instant};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "time-wait",
    question: "How many connections a second are possible when each leaves its port in TIME-WAIT?",
    claims: &[
        Claim {
            name: "ceiling",
            says: "60,000 ports and 2 MSL of 120 s make 500 connections a second to one server, and no more",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "first-closer-pays",
            says: "the side that closes first keeps the port: a server that does spares its clients",
            source: "RFC 9293 §3.6",
        },
        Claim {
            name: "persistent-spares",
            says: "persistent connections need no ports",
            source: "the chapter on connections in the HTTP literature",
        },
    ],
    axes: &[Axis { name: "ports", values: "100,1000,60000" }, Axis { name: "time_wait", values: "30s,120s" }],
    turns: &["tcp.ports", "tcp.time_wait", "tcp.backlog", "link.rtt"],
    plot: Plot::bars("rate"),
    run,
};

const RTT: Duration = Duration::from_millis(1);
/// So many more requests than there are ports are tried.
const MORE: u64 = 20;

/// A port is free again 2 MSL after the connection that had it entered TIME-WAIT, which is when the client has the
/// server's FIN: three round trips after it began. So ports / (2 MSL + three round trips) connections a second can go on
/// for ever, as long as that is slower than one after the other.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut ceilings, mut servers, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for (ports, ports_text) in lab.numbers("ports", 1_u64, 60_000)? {
        for (wait, wait_text) in lab.durations("time_wait")? {
            for way in ["client closes", "server closes", "persistent"] {
                // The others need no more ports than one.
                let range = format!("5000-{}", 5000 + ports - 1);
                let knobs = [
                    ("tcp.ports", range.as_str()),
                    ("tcp.time_wait", wait_text.as_str()),
                    ("tcp.backlog", "1000"),
                    ("link.rtt", "1ms"),
                ];
                let varied = [("way", way), ("ports", ports_text.as_str()), ("time_wait", &wait_text)];
                let mut arm = lab.arm(&varied, &knobs)?;
                let found = match way {
                    "persistent" => persistent(&mut arm, ports)?,
                    _ => separate(&mut arm, ports, way == "server closes")?,
                };
                let limited = way == "client closes";
                let trips = 3 * RTT;
                let period = (wait + trips).max(trips * ports as u32);
                let expected = if limited { ports as f64 / period.as_secs_f64() } else { 0.0 };
                let at_once = if limited { ports } else { ports + MORE };
                arm.count("without waiting", found.at_once, at_once);
                let waited =
                    if limited { period.saturating_sub(trips * ports as u32) } else { Duration::ZERO };
                arm.time("then waits", found.waited, waited);
                let rate = if limited { ports as f64 / found.period.as_secs_f64() } else { 0.0 };
                arm.exactly("rate", Quantity::PerSecond(rate), Quantity::PerSecond(expected));
                arm.count("TIME-WAIT", found.time_waits, if limited { ports } else { 0 });
                match way {
                    "client closes" => ceilings.push((ports, wait, rate)),
                    "server closes" => servers.push(found.at_once > ports),
                    _ => kept.push(found.at_once > ports),
                }
                lab.record(arm)?;
            }
        }
    }
    let told: Vec<_> =
        (ceilings.iter()).map(|(p, w, rate)| format!("{p} ports / {} s: {rate:.1}", w.as_secs())).collect();
    let cases = ceilings.iter().map(|(p, w, rate)| *rate <= *p as f64 / w.as_secs_f64());
    lab.judge("ceiling", cases, format!("connections a second: {}", told.join(", ")));
    let held = servers.iter().filter(|s| **s).count();
    let numbers =
        format!("no limit for the client in {held} of {} cases: the server has the entries", servers.len());
    lab.judge("first-closer-pays", servers, numbers);
    let held = kept.iter().filter(|k| **k).count();
    lab.judge("persistent-spares", kept, format!("one port for all requests in {held} cases"));
    Ok(())
}

struct Found {
    /// Requests that found a port at once.
    at_once: u64,
    /// How long the next one waited.
    waited: Duration,
    /// From the first use of a port to its second.
    period: Duration,
    /// The most entries of the client in TIME-WAIT.
    time_waits: u64,
}

/// A connection for each request, one after the other.
fn separate(arm: &mut Arm, ports: u64, server_first: bool) -> Result<Found, LabError> {
    let listener = arm.world.listen(arm.server, WEB)?;
    let mut found = Found { at_once: 0, waited: Duration::ZERO, period: Duration::ZERO, time_waits: 0 };
    let start = arm.now();
    while found.at_once < ports + MORE {
        let near = match arm.world.connect(arm.client, WEB) {
            Ok(near) => near,
            Err(SimError::Address(StackError::AddrNotAvailable { .. })) => break,
            Err(error) => return Err(error.into()),
        };
        arm.write(near, 100)?;
        let far = arm.world.accept(listener)?;
        let (first, second) = if server_first { (far, near) } else { (near, far) };
        arm.read(far, 100)?;
        arm.write(far, 100)?;
        arm.read(near, 100)?;
        arm.world.close(first);
        arm.world.run_for(RTT / 2);
        arm.world.close(second);
        arm.world.run_for(RTT / 2);
        found.at_once += 1;
        found.time_waits = found.time_waits.max(arm.world.stack(arm.client).time_waits() as u64);
    }
    let exhausted = arm.now();
    if found.at_once < ports + MORE {
        let limit = arm.settings.tcp.time_wait * 2;
        while !free(arm) && arm.now().since(exhausted) < limit {
            if !arm.world.step() {
                break;
            }
        }
        found.waited = arm.now().since(exhausted);
        found.period = arm.now().since(start);
    }
    Ok(found)
}

/// Whether a connection can be begun.
fn free(arm: &mut Arm) -> bool {
    arm.world.start_connect(arm.client, WEB).is_ok()
}

/// All requests on one connection.
fn persistent(arm: &mut Arm, ports: u64) -> Result<Found, LabError> {
    let (near, far) = arm.pair()?;
    let begun: Instant = arm.now();
    for _ in 0..ports + MORE {
        arm.write(near, 100)?;
        arm.read(far, 100)?;
        arm.write(far, 100)?;
        arm.read(near, 100)?;
    }
    let period = arm.now().since(begun);
    Ok(Found { at_once: ports + MORE, waited: Duration::ZERO, period, time_waits: 0 })
}

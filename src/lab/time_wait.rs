//! How many connections a second can one client make to one server?

use super::arm::{Arm, CLIENT, CLIENT_TOO, WEB};
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::{SimError, Socket};
use crate::stack::StackError;
use crate::time::{Duration, Instant};
use std::net::IpAddr;

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
            name: "more-combinations",
            says: "more client addresses, or a larger range of ports, raise the ceiling",
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

/// Short enough for twice 60,000 connections one after the other within the shortest time here.
const RTT: Duration = Duration::from_micros(50);
/// What can be done, or not.
const WAYS: [&str; 4] = ["client closes", "two addresses", "server closes", "persistent"];
/// So many more requests than there are ports are tried.
const MORE: u64 = 20;

/// A port is free again 2 MSL after the connection that had it entered TIME-WAIT, which is when the client has the
/// server's FIN: three round trips after it began. So ports / (2 MSL + three round trips) connections a second can go on
/// for ever, as long as that is slower than one after the other. With two addresses each port can be used twice.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut ceilings, mut doubled, mut servers, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (ports, ports_text) in lab.numbers("ports", 1_u64, 60_000)? {
        for (wait, wait_text) in lab.durations("time_wait")? {
            for way in WAYS {
                // The others need no more ports than one.
                let range = format!("5000-{}", 5000 + ports - 1);
                let knobs = [
                    ("tcp.ports", range.as_str()),
                    ("tcp.time_wait", wait_text.as_str()),
                    ("tcp.backlog", "1000"),
                    ("link.rtt", "50us"),
                ];
                let varied = [("way", way), ("ports", ports_text.as_str()), ("time_wait", &wait_text)];
                let mut arm = lab.arm(&varied, &knobs)?;
                let addresses: &[IpAddr] =
                    if way == "two addresses" { &[CLIENT, CLIENT_TOO] } else { &[CLIENT] };
                let places = ports * addresses.len() as u64;
                let found = match way {
                    "persistent" => persistent(&mut arm, places)?,
                    _ => separate(&mut arm, places, addresses, way == "server closes")?,
                };
                let limited = matches!(way, "client closes" | "two addresses");
                let (trips, wait) = (3 * RTT * places as u32, wait + 3 * RTT);
                let expected = if limited { places as f64 / wait.max(trips).as_secs_f64() } else { 0.0 };
                arm.count("without waiting", found.at_once, if limited { places } else { places + MORE });
                let waited = if limited { wait.saturating_sub(trips) } else { Duration::ZERO };
                arm.time("then waits", found.waited, waited);
                let rate = if limited { places as f64 / found.period.as_secs_f64() } else { 0.0 };
                arm.exactly("rate", Quantity::PerSecond(rate), Quantity::PerSecond(expected));
                arm.count("TIME-WAIT", found.time_waits, if limited { places } else { 0 });
                match way {
                    "client closes" => ceilings.push((ports, wait - 3 * RTT, rate)),
                    "two addresses" => doubled.push(rate / ceilings.last().map_or(rate, |c| c.2)),
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
    // Beyond it the range was raised to the next one, with the same wait.
    let larger = |&(ports, wait, rate): &(u64, Duration, f64)| {
        let fewer = ceilings.iter().filter(|c| c.1 == wait && c.0 < ports);
        fewer.map(|c| c.2 < rate).collect::<Vec<_>>()
    };
    let cases: Vec<bool> = doubled.iter().map(|d| *d > 1.9).chain(ceilings.iter().flat_map(larger)).collect();
    let least = doubled.iter().copied().fold(f64::MAX, f64::min);
    let numbers = format!("{least:.2} times as many with a second address; in proportion to the range");
    lab.judge("more-combinations", cases, numbers);
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

/// A connection for each request, one after the other, from one address until it has no port left, then from the next.
fn separate(arm: &mut Arm, places: u64, addresses: &[IpAddr], server_first: bool) -> Result<Found, LabError> {
    let listener = arm.world.listen(arm.server, WEB)?;
    let mut found = Found { at_once: 0, waited: Duration::ZERO, period: Duration::ZERO, time_waits: 0 };
    let start = arm.now();
    while found.at_once < places + MORE {
        let Some(near) = connect(arm, addresses)? else { break };
        arm.pass(RTT);
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
    if found.at_once < places + MORE {
        let limit = arm.settings.tcp.time_wait * 2;
        while connect(arm, addresses)?.is_none() && arm.now().since(exhausted) < limit {
            if !arm.world.step() {
                break;
            }
        }
        found.waited = arm.now().since(exhausted);
        found.period = arm.now().since(start);
    }
    Ok(found)
}

/// Begins a connection, if any of the addresses has a port for it.
fn connect(arm: &mut Arm, addresses: &[IpAddr]) -> Result<Option<Socket>, LabError> {
    for &address in addresses {
        match arm.world.start_connect_from(arm.client, address, WEB) {
            Ok(socket) => return Ok(Some(socket)),
            Err(SimError::Address(StackError::AddrNotAvailable { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// All requests on one connection.
fn persistent(arm: &mut Arm, requests: u64) -> Result<Found, LabError> {
    let (near, far) = arm.pair()?;
    let begun: Instant = arm.now();
    for _ in 0..requests + MORE {
        arm.write(near, 100)?;
        arm.read(far, 100)?;
        arm.write(far, 100)?;
        arm.read(near, 100)?;
    }
    let period = arm.now().since(begun);
    Ok(Found { at_once: requests + MORE, waited: Duration::ZERO, period, time_waits: 0 })
}

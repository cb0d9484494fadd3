//! How many connections a second can one client make to one server?

use super::addrs::HTTP;
use super::arm::{Arm, Door, End, Start};
use super::case::{Case, Found as Told};
use super::kernel::{EARLY, Peer};
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::SimError;
use crate::stack::StackError;
use crate::tcp::TimeWaitReuse;
use crate::time::{Duration, Spoken};
use std::io::ErrorKind;
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
            name: "exhausted-waits",
            says: "who has used up the ports makes no further connection before one is free again",
            source: "the chapter on connections in the HTTP literature, RFC 9293 §3.6.1",
        },
        Claim {
            name: "more-combinations",
            says: "more client addresses, or a larger range of ports, raise the ceiling",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "time-stamps-help",
            says: "time stamps let a port be used again after a second instead of 2 MSL",
            source: "RFC 6191 §2, RFC 7323 appendix B.2",
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
        Claim {
            name: "entries-take-memory",
            says: "many connections, open or only remembered, take memory, even where ports do not run out",
            source: "the chapter on connections in the HTTP literature",
        },
    ],
    axes: &[Axis { name: "ports", values: "100,1000,60000" }, Axis { name: "time_wait", values: "30s,120s" }],
    tun: &[Axis { name: "ports", values: "20" }, Axis { name: "time_wait", values: "3s" }],
    turns: &[&[
        "tcp.ports",
        "tcp.time_wait",
        "tcp.time_wait_reuse",
        "tcp.timestamps",
        "tcp.backlog",
        "tcp.init_cwnd",
        "link.rtt",
    ]],
    holds: &[("tcp.time_wait_limit", "262144")],
    plot: Plot::over("ports", "rate", (true, true)),
    run,
};

/// Short enough for twice 60,000 connections one after the other within the shortest time here.
const RTT: Duration = Duration::from_micros(50);
/// In real time a round trip has to be longer than what the machine takes for it.
const REAL_RTT: Duration = Duration::from_millis(5);
/// What can be done, or not.
const WAYS: [&str; 5] = ["client closes", "two addresses", "reuse", "server closes", "persistent"];
/// So many more requests than there are ports are tried.
const MORE: u64 = 20;
/// After so long the clock of the time stamps has certainly moved on (RFC 6191 §2, RFC 7323 appendix B.2).
const REUSE_AFTER: Duration = Duration::from_secs(1);
/// What no entry can do without: two addresses and ports, two sequence numbers, a deadline.
const LEAST_ENTRY: u64 = 2 * (4 + 2) + 2 * 4 + 8;
/// What one may take at the most.
const MOST_ENTRY: u64 = 128;
/// What a connection may take that is open, and what tables begin with.
const MOST_OPEN: u64 = 64 << 10;
/// How often it is tried whether a port may be used again.
const LOOKS: Duration = Duration::from_millis(1);
/// So long the stack remembers that it found none.
const REMEMBERS: Duration = Duration::from_millis(100);
/// How late a port may be found free in real time: the machine is busy, and Linux counts whole seconds.
const LATE: Duration = Duration::from_millis(1500);

/// A port is free again 2 MSL after the connection that had it entered TIME-WAIT, which is when the client has the
/// server's FIN: three round trips after it began. So ports / (2 MSL + three round trips) connections a second can go on
/// for ever, as long as that is slower than one after the other. With two addresses each port can be used twice. With
/// time stamps a port may be used again after a second instead of 2 MSL: if all ports take longer than that, they never
/// run out.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let mut cases = Vec::new();
    for (ports, ports_text) in lab.numbers("ports", 2_u64, 60_000)? {
        for (wait, wait_text) in lab.durations_from("time_wait", Duration::from_secs(1))? {
            for &peer in lab.peers() {
                for way in WAYS {
                    // Linux' own wait is a minute, and it has one address here.
                    if way == "two addresses" && lab.is_real() {
                        continue;
                    }
                    let (found, late) = one(lab, peer, way, (ports, &ports_text), (wait, &wait_text))?;
                    cases.push(Arrangement { way, ports, wait, found, late });
                }
            }
        }
    }
    judge(lab, &cases);
    Ok(())
}

/// One arm, and what came of it.
struct Arrangement {
    way: &'static str,
    ports: u64,
    wait: Duration,
    found: Found,
    late: bool,
}

impl Arrangement {
    fn tells(&self, held: bool, found: impl Into<Told>) -> Case {
        let at = format!("{} ports, {}", self.ports, Spoken(self.wait));
        Case::new(held, found, at).unless(self.late)
    }

    /// Connections a second that can go on for ever; `None` if nothing limits them.
    fn rate(&self) -> Option<f64> {
        self.found
            .places
            .filter(|_| !self.found.period.is_zero())
            .map(|n| n as f64 / self.found.period.as_secs_f64())
    }
}

fn judge(lab: &mut Notebook, cases: &[Arrangement]) {
    let of = |way: &'static str| cases.iter().filter(move |case| case.way == way);
    let rated = |case: &Arrangement| Some((case.ports, case.wait, case.rate()?));
    let ceilings: Vec<_> = of("client closes").filter_map(rated).collect();
    let ceiling = of("client closes").filter_map(|case| {
        let (ports, wait, rate) = rated(case)?;
        let most = ports as f64 / wait.as_secs_f64();
        // A second round has shown it.
        let held = case.found.used_again > 0 && (most * 0.6..=most).contains(&rate);
        Some(case.tells(held, Quantity::PerSecond(rate)))
    });
    lab.judge("ceiling", "connections a second", &ceiling.collect::<Vec<_>>());
    let waits = of("client closes").map(|case| {
        let (at_once, waited) = (case.found.at_once, Spoken(case.found.waited));
        let then = if case.found.known { format!("a wait of {waited}") } else { "a wait".into() };
        case.tells(at_once == case.ports, format!("{at_once}, then {then}"))
    });
    lab.judge("exhausted-waits", "connections at once", &waits.collect::<Vec<_>>());
    let doubled = of("two addresses").filter_map(|case| {
        let (ports, wait, rate) = rated(case)?;
        let one = ceilings.iter().find(|c| (c.0, c.1) == (ports, wait))?;
        let factor = Quantity::Factor(rate / one.2);
        Some(Case::new(rate > 1.9 * one.2, factor, "two addresses").unless(case.late))
    });
    // Beyond it the range was raised to the next one, with the same wait.
    let larger = of("client closes").filter_map(|case| {
        let (ports, wait, rate) = rated(case)?;
        let fewer = ceilings.iter().filter(|c| c.1 == wait && c.0 < ports).max_by_key(|c| c.0)?;
        let factor = Quantity::Factor(rate / fewer.2);
        let at = format!("{} times the range", ports / fewer.0);
        Some(Case::new(rate > fewer.2, factor, at).unless(case.late))
    });
    lab.judge("more-combinations", "the ceiling rises", &doubled.chain(larger).collect::<Vec<_>>());
    let shorter = of("reuse").filter(|case| case.found.known).map(|case| {
        let held = case.found.waited <= REUSE_AFTER + LATE;
        match case.rate() {
            Some(rate) => case.tells(held, Quantity::PerSecond(rate)),
            None => case.tells(held, "no limit".to_owned()),
        }
    });
    lab.judge("time-stamps-help", "connections a second", &shorter.collect::<Vec<_>>());
    let unlimited = |case: &Arrangement| {
        let at_once = case.found.at_once;
        case.tells(at_once > case.ports, format!("{at_once} with {} ports", case.ports))
    };
    let measure = "without waiting";
    lab.judge("first-closer-pays", measure, &of("server closes").map(unlimited).collect::<Vec<_>>());
    lab.judge("persistent-spares", measure, &of("persistent").map(unlimited).collect::<Vec<_>>());
    // The more of them, the less the tables' beginnings matter.
    let largest = cases.iter().map(|case| case.ports).max().unwrap_or(0);
    let memory = of("client closes").filter(|case| case.ports == largest).filter_map(|case| {
        let (bytes, n) = (case.found.memory?, case.found.time_waits?);
        let each = bytes.checked_div(n)?;
        Some(case.tells(each >= LEAST_ENTRY, format!("{each} bytes each, {} KiB in all", bytes >> 10)))
    });
    lab.judge("entries-take-memory", "entries take", &memory.collect::<Vec<_>>());
}

fn one(
    lab: &mut Notebook,
    peer: Peer,
    way: &'static str,
    (ports, ports_text): (u64, &str),
    (wait, wait_text): (Duration, &str),
) -> Result<(Found, bool), LabError> {
    let rtt = if lab.is_real() { REAL_RTT } else { RTT };
    let (range, link) = (format!("5000-{}", 5000 + ports - 1), format!("{}us", rtt.as_micros()));
    let knobs = [
        ("tcp.ports", range.as_str()),
        ("tcp.time_wait", wait_text),
        ("tcp.time_wait_reuse", if way == "reuse" { "on" } else { "off" }),
        ("tcp.timestamps", "on"),
        ("tcp.backlog", "1000"),
        // With a window of one segment the FIN waits until the answer is acknowledged, and the client closes first.
        ("tcp.init_cwnd", "10"),
        ("link.rtt", link.as_str()),
    ];
    let varied = [("way", way), ("ports", ports_text), ("time_wait", wait_text)];
    let mut arm = lab.arm_with(peer, &varied, &knobs)?;
    let both = [arm.addrs.client, arm.addrs.client_too];
    let addresses: &[IpAddr] = if way == "two addresses" { &both } else { &both[..1] };
    let places = ports * addresses.len() as u64;
    // A minute is longer than anybody waits for a table.
    let patient = peer != Peer::LinuxClient || way == "reuse";
    let found = match way {
        "persistent" => persistent(&mut arm, places)?,
        _ => separate(&mut arm, places, addresses, way == "server closes", patient)?,
    };
    let trips = 3 * rtt * places as u32;
    let wait = if way == "reuse" { REUSE_AFTER } else { wait } + 3 * rtt;
    let pays = matches!(way, "client closes" | "two addresses" | "reuse");
    let limited = pays && trips < wait;
    arm.count("without waiting", found.at_once, if limited { places } else { places + MORE });
    if !found.known {
        for name in ["then waits", "rate"] {
            arm.note(name, Quantity::Word("a minute"));
        }
    } else {
        let waited = if limited { wait.saturating_sub(trips) } else { Duration::ZERO };
        let period = if limited { wait.max(trips) } else { Duration::ZERO };
        let rate = |period: Duration| match places as f64 / period.as_secs_f64() {
            rate if limited && !period.is_zero() => Quantity::PerSecond(rate),
            _ => Quantity::Word("no limit"),
        };
        if arm.real.is_some() && limited {
            // What the connections took the machine is missing from the wait.
            let (low, high) = (waited.saturating_sub(LATE), waited + LATE);
            arm.between(
                "then waits",
                Quantity::Time(found.waited),
                Quantity::Time(low),
                Quantity::Time(high),
            );
            // Linux looks at whole seconds, so that a wait may end one of them early.
            let early = if peer == Peer::LinuxClient { REUSE_AFTER / 2 } else { EARLY };
            arm.between("rate", rate(found.period), rate(period + LATE), rate(period - early));
        } else {
            let late = if way == "reuse" && limited { REMEMBERS + LOOKS } else { Duration::ZERO };
            let (low, high) = (Quantity::Time(waited), Quantity::Time(waited + late));
            arm.between("then waits", Quantity::Time(found.waited), low, high);
            arm.between("rate", rate(found.period), rate(period + late), rate(period));
        }
    }
    let entries = if limited { places } else { 0 };
    match found.time_waits {
        // A flow that is used again leaves and comes back.
        Some(n) if way == "reuse" || (pays && !limited) => {
            arm.between("TIME-WAIT", Quantity::Count(n), Quantity::Count(entries), Quantity::Count(places));
        }
        n => arm.count_if_known("TIME-WAIT", n, entries),
    }
    // A server that closes first has one for each of the client's ports, and takes a younger SYN for it (RFC 6191 §2).
    match found.at_server {
        Some(n) if way == "server closes" && 3 * rtt * (places + MORE) as u32 >= wait => {
            arm.between("server's", Quantity::Count(n), Quantity::Count(1), Quantity::Count(places));
        }
        // Linux gives `connect` a free port of one parity before it looks at the others, so that half of them may do.
        Some(n) if way == "server closes" && peer == Peer::LinuxClient => {
            arm.between("server's", Quantity::Count(n), Quantity::Count(places / 2), Quantity::Count(places));
        }
        n => arm.count_if_known("server's", n, if way == "server closes" { places } else { 0 }),
    }
    match found.memory {
        Some(bytes) => {
            let n = found.time_waits.unwrap_or(0);
            let (low, high) = (n * LEAST_ENTRY, n * MOST_ENTRY + MOST_OPEN);
            arm.between("memory", Quantity::Bytes(bytes), Quantity::Bytes(low), Quantity::Bytes(high));
        }
        None => arm.note("memory", Quantity::Word("unknown")),
    }
    let late = arm.is_late();
    lab.record(arm)?;
    Ok((Found { places: limited.then_some(places), ..found }, late))
}

struct Found {
    /// How many ports there are, if they ran out.
    places: Option<u64>,
    /// Requests that found a port at once.
    at_once: u64,
    /// How long the next one waited.
    waited: Duration,
    /// Whether that was waited for.
    known: bool,
    /// From the first use of a port to its second, on the average.
    period: Duration,
    /// Connections that were made on such ports.
    used_again: u64,
    /// The most entries of the client in TIME-WAIT, unless it is a kernel.
    time_waits: Option<u64>,
    /// Those of the server.
    at_server: Option<u64>,
    /// The most that the client's connections took, beside their buffers.
    memory: Option<u64>,
}

/// A connection for each request, one after the other, from one address until it has no port left, then from the next.
fn separate(
    arm: &mut Arm,
    places: u64,
    addresses: &[IpAddr],
    server_first: bool,
    patient: bool,
) -> Result<Found, LabError> {
    let door = arm.listen(HTTP)?;
    let mut found = Found {
        places: None,
        at_once: 0,
        waited: Duration::ZERO,
        known: true,
        period: Duration::ZERO,
        used_again: 0,
        time_waits: None,
        at_server: None,
        memory: None,
    };
    let mut first_uses = Vec::new();
    while found.at_once < places + MORE {
        let start = arm.begin_anew();
        let Some(near) = connect(arm, addresses)? else { break };
        if first_uses.len() < MORE as usize {
            first_uses.push(start.at);
        }
        exchange(arm, door, near, start, server_first)?;
        found.at_once += 1;
        if let Some((entries, bytes)) = arm.tables(true)? {
            found.time_waits = found.time_waits.max(Some(entries));
            found.memory = found.memory.max(Some(bytes));
        }
        found.at_server = found.at_server.max(arm.tables(false)?.map(|t| t.0));
    }
    if found.at_once >= places + MORE {
        return Ok(found);
    }
    if !patient {
        found.known = false;
        return Ok(found);
    }
    // The first places again, each for a connection of its own: one round shows what all that follow take.
    let again = if arm.real.is_some() { 1 } else { first_uses.len() };
    for (n, first_use) in first_uses.into_iter().take(again).enumerate() {
        let Some((near, start, waited)) = awaited(arm, addresses)? else { break };
        if n == 0 {
            found.waited = waited;
        }
        found.period += start.at.since(first_use) / again as u32;
        exchange(arm, door, near, start, server_first)?;
        found.used_again += 1;
    }
    Ok(found)
}

/// The next connection, as soon as there is a port for it, and how long that was waited for.
fn awaited(arm: &mut Arm, addresses: &[IpAddr]) -> Result<Option<(End, Start, Duration)>, LabError> {
    let exhausted = arm.now();
    let limit = arm.settings.tcp.time_wait * 2;
    loop {
        let start = arm.begin_anew();
        if let Some(near) = connect(arm, addresses)? {
            let waited = start.at.since(exhausted);
            arm.port_was_awaited(waited);
            return Ok(Some((near, start, waited)));
        }
        if arm.now().since(exhausted) >= limit {
            return Ok(None);
        }
        if arm.real.is_some() || arm.settings.tcp.time_wait_reuse == TimeWaitReuse::On {
            // That a second has passed is no event.
            arm.pass(LOOKS);
        } else if !arm.world.step() {
            return Ok(None);
        }
    }
}

/// One request and its answer, and the end of the connection.
fn exchange(arm: &mut Arm, door: Door, near: End, start: Start, server_first: bool) -> Result<(), LabError> {
    let rtt = arm.settings.link.rtt;
    if arm.real.is_none() {
        arm.pass(rtt);
    }
    arm.write(near, 100)?;
    let far = arm.accept(door)?;
    let (first, second) = if server_first { (far, near) } else { (near, far) };
    arm.read(far, 100)?;
    arm.write(far, 100)?;
    arm.read(near, 100)?;
    arm.over(near, start);
    arm.close(first);
    // In real time the FIN has to be there before the other side closes.
    arm.pass(if arm.real.is_some() { 2 * rtt } else { rtt / 2 });
    arm.close(second);
    arm.pass(if arm.real.is_some() { 2 * rtt } else { rtt / 2 });
    Ok(())
}

/// Begins a connection, if any of the addresses has a port for it.
fn connect(arm: &mut Arm, addresses: &[IpAddr]) -> Result<Option<End>, LabError> {
    if let Some(real) = &mut arm.real {
        return match real.connect(HTTP) {
            Ok(end) => Ok(Some(End::Real(end))),
            Err(e) if e.kind() == ErrorKind::AddrNotAvailable => Ok(None),
            Err(e) => Err(e.into()),
        };
    }
    for &address in addresses {
        match arm.world.start_connect_from(arm.client, address, arm.addrs.web()) {
            Ok(socket) => return Ok(Some(socket.into())),
            Err(SimError::Address(StackError::AddrNotAvailable { .. })) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// All requests on one connection.
fn persistent(arm: &mut Arm, requests: u64) -> Result<Found, LabError> {
    let (near, far) = arm.ends(HTTP)?;
    for _ in 0..requests + MORE {
        let exchange = arm.begin(near);
        arm.write(near, 100)?;
        arm.read(far, 100)?;
        arm.write(far, 100)?;
        arm.read(near, 100)?;
        arm.over(near, exchange);
    }
    let tables = arm.tables(true)?;
    Ok(Found {
        places: None,
        at_once: requests + MORE,
        waited: Duration::ZERO,
        known: true,
        period: Duration::ZERO,
        used_again: 0,
        time_waits: tables.map(|t| t.0),
        at_server: arm.tables(false)?.map(|t| t.0),
        memory: tables.map(|t| t.1),
    })
}

//! When are several connections faster than one?

use super::case::{Case, Found};
use super::notebook::Notebook;
use super::web::{fetch, serve};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::knob::show_rate;
use crate::time::{Duration, Spoken};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "parallel",
    question: "How long does a page of sixteen objects take over 1 to 16 connections at a time?",
    claims: &[
        Claim {
            name: "faster",
            says: "parallel connections make pages load faster, since their delays overlap",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "not-always-faster",
            says: "on a slow link they bring little: they compete for the same bandwidth",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "can-be-slower",
            says: "too many connections make a page slower than few",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "feels-faster",
            says: "all objects begin to appear earlier, even where the page is not complete sooner",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "four-are-enough",
            says: "browsers do with few connections to a server, often four",
            source: "the chapter on connections in the HTTP literature, RFC 2616 §8.1.4",
        },
        Claim {
            name: "kept-and-parallel",
            says: "few connections that are both parallel and persistent are faster than either alone",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "use-memory",
            says: "many connections take memory, of the server above all",
            source: "the chapter on connections in the HTTP literature",
        },
    ],
    axes: &[
        Axis { name: "connections", values: "1,2,4,6,8,16" },
        Axis { name: "bandwidth", values: "256kbit,1gbit" },
    ],
    tun: &[],
    turns: &[&[
        "http.keepalive",
        "http.keepalive_max",
        "http.pipeline",
        "http.parallel",
        "tcp.init_cwnd",
        "tcp.ack_adaptive",
        "tcp.nagle",
        "tcp.congestion",
        "tcp.slow_start_after_idle",
        "link.rtt",
        "link.bandwidth",
        "link.queue",
    ]],
    holds: &[
        ("tcp.mss", "auto"),
        ("http.keepalive_timeout", "120s"),
        // What waits for longer than anybody is patient is sent again once, and that is found out.
        ("tcp.sack", "on"),
        ("tcp.dsack", "on"),
        ("tcp.rack", "on"),
        ("tcp.timestamps", "on"),
        ("tcp.tail_loss_probe", "on"),
    ],
    plot: Plot::over("connections", "time", (false, true)),
    run,
};

const OBJECTS: u32 = 16;
/// As many as browsers open.
const FEW: u32 = 4;
const SIZE: u64 = 10_000;
/// Segments of an object, its head included.
const SEGMENTS: u64 = 8;
const RTT: Duration = Duration::from_millis(100);
/// With less, SYNs and requests wait for longer than anybody is patient.
const SLOWEST: u64 = 64_000;
/// How soon a segment can be repeated whose acknowledgment waits: as a tail-loss probe, after two round trips as they
/// were before anything waited (RFC 8985 §7.2); a time-out comes later.
const PATIENCE: Duration = Duration::from_millis(200);

/// A connection's record at the most, and what is held of requests.
const RECORD: u64 = 4 << 10;
/// What tables begin with, and entries of connections that are gone.
const TABLES: u64 = 32 << 10;

/// Each object fits into the initial window. What cannot be undercut is the handshake and a round trip for each turn of
/// the connections, and the bits over the bandwidth; both together, one after the other, are the most (a tenth more for
/// headers, acknowledgments and requests), with the bits of what was sent in vain: on a link where the first object of each
/// connection takes longer than a probe waits, since nobody has measured that yet, each of its segments can go out once more.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let mut loads: Vec<Load> = Vec::new();
    for (rate, rate_text) in lab.rates("bandwidth")? {
        if rate < SLOWEST {
            let least = show_rate(Some(SLOWEST));
            return Err(LabError::usage(format!("bandwidth {rate_text} is too slow here: at least {least}")));
        }
        let all = lab.numbers("connections", 1_u32, 64)?;
        // A connection for each request, one by one and four at a time, is for the comparison.
        let new = all.iter().filter(|c| c.0 == 1 || c.0 == FEW).map(|c| (c, "new"));
        for ((connections, text), use_) in all.iter().map(|c| (c, "kept")).chain(new) {
            let (connections, kept) = (*connections, use_ == "kept");
            let knobs = [
                ("http.keepalive", if kept { "on" } else { "off" }),
                ("http.keepalive_max", "0"),
                ("http.pipeline", "1"),
                ("http.parallel", text),
                ("tcp.init_cwnd", "10"),
                ("tcp.ack_adaptive", "off"),
                ("tcp.nagle", "off"),
                ("tcp.congestion", "newreno"),
                ("tcp.slow_start_after_idle", "off"),
                ("link.rtt", "100ms"),
                ("link.bandwidth", &rate_text),
                ("link.queue", "1000"),
            ];
            let varied = [("bandwidth", rate_text.as_str()), ("used", use_), ("connections", text)];
            let mut arm = lab.arm(&varied, &knobs)?;
            serve(&mut arm)?;
            let paths = vec![format!("GET /bytes/{SIZE}"); OBJECTS as usize];
            let visit = fetch(&mut arm, &paths)?;
            let time = visit.time;
            let used = connections.min(OBJECTS);
            let turns = OBJECTS.div_ceil(used);
            let trips = RTT * if kept { 1 + turns } else { 2 * turns };
            let bits = Duration::from_secs_f64(8.0 * (u64::from(OBJECTS) * SIZE) as f64 / rate as f64);
            let object = bits / OBJECTS;
            // With headers and the acknowledgments of requests.
            let slow = RTT + object * used * 11 / 10 > PATIENCE;
            let again = arm.received(arm.client, "duplicate") + arm.received(arm.client, "old");
            let sent = bits + object * again as u32 / SEGMENTS as u32;
            let (low, high) = (trips.max(bits + RTT * 2), (trips + sent) * 11 / 10);
            arm.between("time", Quantity::Time(time), Quantity::Time(low), Quantity::Time(high));
            let opened = u64::from(if kept { used } else { OBJECTS });
            let most = if slow { opened * SEGMENTS } else { 0 };
            arm.between("in vain", Quantity::Count(again), Quantity::Count(0), Quantity::Count(most));
            // A SYN's answer waits in the same queue, and longer than for a time-out perhaps.
            let waits = (object * used).as_secs_f64().ceil() as u64;
            let most = if kept || !slow { opened } else { opened * (1 + waits) };
            let syns = Quantity::Count(arm.ways().0.syns);
            arm.between("SYNs", syns, Quantity::Count(opened), Quantity::Count(most));
            // The last object begins in the last turn, and all of it but its first segment follows.
            let rest = object * (SEGMENTS as u32 - 1) / SEGMENTS as u32 * 9 / 10;
            let (low, high) = (Quantity::Time(trips), Quantity::Time(time.saturating_sub(rest)));
            arm.between("all begun", Quantity::Time(visit.begun), low, high);
            // Each connection has the whole object until it is acknowledged, in a buffer that grows by doubling.
            let (least, most) = (u64::from(used) * SIZE, u64::from(used) * (2 * SIZE + RECORD) + TABLES);
            let memory = Quantity::Bytes(visit.memory);
            arm.between("server memory", memory, Quantity::Bytes(least), Quantity::Bytes(most));
            loads.push(Load { rate, connections, kept, time, begun: visit.begun, memory: visit.memory });
            lab.record(arm)?;
        }
    }
    judge(lab, &loads);
    Ok(())
}

/// One page, loaded in one way.
struct Load {
    rate: u64,
    connections: u32,
    kept: bool,
    time: Duration,
    begun: Duration,
    memory: u64,
}

impl Load {
    /// How many times as fast as another one.
    fn faster_than(&self, other: &Load) -> f64 {
        other.time.as_secs_f64() / self.time.as_secs_f64()
    }

    fn case(&self, held: bool, found: impl Into<Found>) -> Case {
        Case::new(held, found, format!("{} at {}", self.connections, show_rate(Some(self.rate))))
    }
}

fn judge(lab: &mut Notebook, loads: &[Load]) {
    let kept = || loads.iter().filter(|load| load.kept);
    let mut rates: Vec<u64> = loads.iter().map(|load| load.rate).collect();
    rates.sort_unstable();
    rates.dedup();
    let (slowest, fastest) = (rates.first().copied(), rates.last().copied());
    let single = |load: &Load| kept().find(|one| one.rate == load.rate && one.connections == 1);
    // On that link, against one connection.
    let gains = |rate: Option<u64>, held: fn(f64) -> bool| -> Vec<Case> {
        let several = kept().filter(|load| Some(load.rate) == rate && load.connections > 1);
        let case = |load: &Load| {
            let gain = load.faster_than(single(load)?);
            Some(load.case(held(gain), Quantity::Factor(gain)))
        };
        several.filter_map(case).collect()
    };
    let measure = "times as fast as one connection";
    lab.judge("faster", measure, &gains(fastest, |gain| gain > 1.2));
    lab.judge("not-always-faster", measure, &gains(slowest, |gain| gain < 1.5));
    // On each link, whether some number of connections is slower than the fastest smaller one, by more than rounding.
    let slower = rates.iter().filter_map(|&rate| {
        let pairs = kept().filter(|load| load.rate == rate).filter_map(|load| {
            let fewer = kept().filter(|few| few.rate == rate && few.connections < load.connections);
            let best = fewer.min_by_key(|few| few.time)?;
            Some((load, best, best.faster_than(load)))
        });
        let (load, best, factor) = pairs.max_by(|a, b| a.2.total_cmp(&b.2))?;
        let found = format!("{} where {} took {}", Spoken(load.time), best.connections, Spoken(best.time));
        Some(load.case(factor > 1.02, found))
    });
    lab.judge("can-be-slower", "time for the page at the worst", &slower.collect::<Vec<_>>());
    let sooner = kept().filter(|load| load.connections > 1).filter_map(|load| {
        let factor = single(load)?.begun.as_secs_f64() / load.begun.as_secs_f64();
        Some(load.case(factor > 1.1, Quantity::Factor(factor)))
    });
    lab.judge(
        "feels-faster",
        "the last object begins so many times as early as on one connection",
        &sooner.collect::<Vec<_>>(),
    );
    let enough = kept().filter(|load| load.connections == FEW).filter_map(|load| {
        let best = kept().filter(|other| other.rate == load.rate).min_by_key(|other| other.time)?;
        let part = load.faster_than(best);
        Some(load.case(part > 0.9, Quantity::Share(part)))
    });
    lab.judge("four-are-enough", "speed of the best", &enough.collect::<Vec<_>>());
    let both = kept().filter(|load| load.connections == FEW).filter_map(|load| {
        let other = |connections, kept| {
            let mut same = loads.iter().filter(|other| other.rate == load.rate);
            same.find(|other| (other.connections, other.kept) == (connections, kept))
        };
        let (serial, parallel, persistent) = (other(1, false)?, other(FEW, false)?, other(1, true)?);
        let [both, neither, one, two] =
            [load, serial, parallel, persistent].map(|load| Spoken(load.time).to_string());
        let held = load.time < parallel.time.min(persistent.time) * 98 / 100;
        let found = format!("{both} with both, {one} with parallel, {two} with kept, {neither} with neither");
        Some(load.case(held, found))
    });
    lab.judge("kept-and-parallel", "time for the page", &both.collect::<Vec<_>>());
    let pairs = kept().zip(kept().skip(1)).filter(|(few, many)| few.rate == many.rate);
    let memory = pairs.map(|(one, other)| {
        let (few, many) = if one.connections <= other.connections { (one, other) } else { (other, one) };
        let found = format!("{} KiB where {} took {}", many.memory >> 10, few.connections, few.memory >> 10);
        let more = u64::from(many.connections.min(OBJECTS) - few.connections.min(OBJECTS));
        many.case(many.memory >= few.memory + more * SIZE, found)
    });
    lab.judge("use-memory", "of the server's memory", &memory.collect::<Vec<_>>());
}

//! When are several connections faster than one?

use super::arm::Arm;
use super::notebook::Notebook;
use super::web::{fetch, serve};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::knob::show_rate;
use crate::sim::Socket;
use crate::time::{Duration, Spoken};
use std::collections::BTreeMap;

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
            name: "use-memory",
            says: "many connections take memory, of the server above all",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "unfair",
            says: "several connections take the share of several users",
            source: "RFC 2616 §8.1.4, RFC 2914 §3",
        },
    ],
    axes: &[
        Axis { name: "connections", values: "1,2,4,6,8,16" },
        Axis { name: "bandwidth", values: "256kbit,1gbit" },
    ],
    tun: &[],
    turns: &[
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
    ],
    plot: Plot::over("connections", "time", (false, true)),
    run,
};

const OBJECTS: u32 = 16;
const SIZE: u64 = 10_000;
/// Segments of an object, its head included.
const SEGMENTS: u64 = 8;
const RTT: Duration = Duration::from_millis(100);
/// The shortest retransmission time-out after one sample of the round trip: the sample and the floor of its variation.
const TIME_OUT: Duration = Duration::from_millis(300);

/// What a connection cannot do without: two addresses and ports, the numbers of both directions, a window, a timer.
const LEAST_MEMORY: u64 = 100;
/// Its record at the most, and what is held of requests.
const MOST_RECORD: u64 = 16 << 10;
/// What tables begin with.
const TABLES: u64 = 64 << 10;

/// Each object fits into the initial window. What cannot be undercut is the handshake and a round trip for each turn of
/// the connections, and the bits over the bandwidth; both together, one after the other, are the most (a tenth more for
/// headers, acknowledgments and requests), as long as nothing is sent in vain. On a link where the first object of each
/// connection alone takes longer than a time-out, which nobody has measured yet, each segment can go out once more.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut times, mut begins, mut memories) = (Vec::new(), Vec::new(), Vec::new());
    let mut shares: BTreeMap<u32, f64> = BTreeMap::new();
    for (rate, rate_text) in lab.rates("bandwidth")? {
        for (connections, text) in lab.numbers("connections", 1_u32, 64)? {
            let knobs = [
                ("http.keepalive", "on"),
                ("http.keepalive_max", "0"),
                ("http.pipeline", "1"),
                ("http.parallel", &text),
                ("tcp.init_cwnd", "10"),
                ("tcp.ack_adaptive", "off"),
                ("tcp.nagle", "off"),
                ("tcp.congestion", "newreno"),
                ("tcp.slow_start_after_idle", "off"),
                ("link.rtt", "100ms"),
                ("link.bandwidth", &rate_text),
                ("link.queue", "1000"),
            ];
            let varied = [("bandwidth", rate_text.as_str()), ("connections", &text)];
            let mut arm = lab.arm(&varied, &knobs)?;
            serve(&mut arm)?;
            let paths = vec![format!("GET /bytes/{SIZE}"); OBJECTS as usize];
            let visit = fetch(&mut arm, &paths)?;
            let time = visit.time;
            let used = connections.min(OBJECTS);
            let trips = RTT * (1 + OBJECTS.div_ceil(used));
            let bits = Duration::from_secs_f64(8.0 * (u64::from(OBJECTS) * SIZE) as f64 / rate as f64);
            let object = bits / OBJECTS;
            let slow = object * used > TIME_OUT;
            let sent = if slow { bits * 2 } else { bits };
            let (low, high) = (trips.max(bits + RTT * 2), (trips + sent) * 11 / 10);
            arm.between("time", Quantity::Time(time), Quantity::Time(low), Quantity::Time(high));
            let again = arm.received(arm.client, "duplicate") + arm.received(arm.client, "old");
            let most = if slow { u64::from(OBJECTS) * SEGMENTS } else { 0 };
            arm.between("in vain", Quantity::Count(again), Quantity::Count(0), Quantity::Count(most));
            arm.count("opened", arm.ways().0.syns, used.into());
            // Nothing begins before the handshake and a round trip, nor after all is there.
            let begun = Quantity::Time(visit.begun);
            arm.between("all begun", begun, Quantity::Time(RTT * 2), Quantity::Time(time));
            // Each connection has its numbers, and at the most the whole object and as much again, for heads and requests.
            let (least, most) =
                (u64::from(used) * LEAST_MEMORY, u64::from(used) * (2 * SIZE + MOST_RECORD) + TABLES);
            let memory = Quantity::Bytes(visit.memory);
            arm.between("server memory", memory, Quantity::Bytes(least), Quantity::Bytes(most));
            times.push((rate, connections, time));
            begins.push((rate, connections, visit.begun));
            memories.push((rate, connections, visit.memory));
            let share = match shares.get(&connections) {
                Some(share) => *share,
                None => share(&mut lab.beside(&knobs)?, connections)?,
            };
            shares.insert(connections, share);
            let fair = f64::from(connections) / f64::from(connections + 1);
            let share = Quantity::Share(share);
            // Flows of one kind on one path get equal parts in the long run; within half a minute, half to double.
            let odds = fair / (1.0 - fair);
            let (low, high) = (odds / 2.0 / (1.0 + odds / 2.0), odds * 2.0 / (1.0 + odds * 2.0));
            arm.between("share against one", share, Quantity::Share(low), Quantity::Share(high));
            lab.record(arm)?;
        }
    }
    let gains = |fast: bool| {
        let rates: Vec<u64> = times.iter().map(|t| t.0).collect();
        let bound = if fast { rates.iter().max() } else { rates.iter().min() }.copied().unwrap_or(0);
        let of = times.iter().filter(|t| t.0 == bound).collect::<Vec<_>>();
        let one = of.first().map_or(1.0, |t| t.2.as_secs_f64());
        of.iter().skip(1).map(|t| one / t.2.as_secs_f64()).collect::<Vec<f64>>()
    };
    let told = |gains: &[f64]| gains.iter().map(|g| format!("{g:.1}")).collect::<Vec<_>>().join(", ");
    let fast = gains(true);
    lab.judge(
        "faster",
        fast.iter().map(|g| *g > 1.2),
        format!("on the fast link {} times as fast", told(&fast)),
    );
    let slow = gains(false);
    let numbers = format!("on the slow link {} times as fast", told(&slow));
    lab.judge("not-always-faster", slow.iter().map(|g| *g < 1.5), numbers);
    // On each link: whether some number of connections was slower than a smaller one, by more than rounding.
    let rates = || {
        let mut rates: Vec<u64> = times.iter().map(|t| t.0).collect();
        rates.dedup();
        rates.into_iter()
    };
    let of = |rate: u64| times.iter().filter(move |t| t.0 == rate).map(|t| (t.1, t.2));
    let worse = |rate: u64| {
        let pairs =
            of(rate).flat_map(|few| of(rate).filter(move |many| many.0 > few.0).map(move |many| (few, many)));
        pairs.filter(|(few, many)| many.1 > few.1 * 102 / 100).max_by_key(|(few, many)| many.1 - few.1)
    };
    let told: Vec<String> = rates()
        .map(|rate| match worse(rate) {
            Some((few, many)) => format!(
                "{}: {} take {}, {} took {}: the first windows of all wait in one queue for longer than a time-out, and are \
                 sent again in vain",
                show_rate(Some(rate)), many.0, Spoken(many.1), few.0, Spoken(few.1)
            ),
            None => format!("{}: never", show_rate(Some(rate))),
        })
        .collect();
    let several = times.iter().any(|t| t.1 != times[0].1);
    let cases: Vec<bool> = rates().filter(|_| several).map(|rate| worse(rate).is_some()).collect();
    lab.judge("can-be-slower", cases, told.join("; "));
    let single =
        |all: &[(u64, u32, Duration)], rate: u64| all.iter().find(|b| b.0 == rate && b.1 == 1).map(|b| b.2);
    let sooner: Vec<(u64, f64)> = begins
        .iter()
        .filter(|b| b.1 > 1)
        .filter_map(|b| Some((b.0, single(&begins, b.0)?.as_secs_f64() / b.2.as_secs_f64())))
        .collect();
    let told = sooner.iter().map(|s| format!("{:.1}", s.1)).collect::<Vec<_>>().join(", ");
    let numbers = format!("the last object begins {told} times as early as on one connection");
    lab.judge("feels-faster", sooner.iter().map(|s| s.1 > 1.1).collect::<Vec<_>>(), numbers);
    let enough: Vec<(u64, f64)> = rates()
        .filter_map(|rate| {
            let four = of(rate).find(|t| t.0 == 4)?.1;
            let best = of(rate).map(|t| t.1).min()?;
            Some((rate, best.as_secs_f64() / four.as_secs_f64()))
        })
        .collect();
    let told: Vec<_> = enough
        .iter()
        .map(|(rate, part)| format!("{} {:.0} %", show_rate(Some(*rate)), 100.0 * part))
        .collect();
    let numbers = format!("four connections reach of the best speed: {}", told.join(", "));
    lab.judge("four-are-enough", enough.iter().map(|e| e.1 > 0.9).collect::<Vec<_>>(), numbers);
    let first = memories.iter().map(|m| m.2).next().unwrap_or(0);
    let more: Vec<bool> = memories.windows(2).filter(|m| m[0].0 == m[1].0).map(|m| m[1].2 > m[0].2).collect();
    let most = memories.iter().max_by_key(|m| m.2).map_or((0, 0), |m| (m.1, m.2));
    let numbers = format!("{} KiB for {} connections, {} KiB for one", most.1 >> 10, most.0, first >> 10);
    lab.judge("use-memory", more, numbers);
    let numbers: Vec<_> = shares.iter().map(|(n, s)| format!("{n}: {:.0} %", 100.0 * s)).collect();
    // Nearer to what as many users would get than to the half of one.
    let unfair = |n: u32| (0.5 + f64::from(n) / f64::from(n + 1)) / 2.0;
    let cases: Vec<bool> = shares.iter().filter(|s| *s.0 > 1).map(|s| *s.1 > unfair(*s.0)).collect();
    lab.judge(
        "unfair",
        cases,
        format!("of the bandwidth beside one other connection: {}", numbers.join(", ")),
    );
    Ok(())
}

/// Which part of a shared link so many transfers get beside a single one, in half a minute.
fn share(arm: &mut Arm, connections: u32) -> Result<f64, LabError> {
    let link = crate::sim::LinkConfig {
        rtt: Duration::from_millis(20),
        bandwidth: Some(10_000_000),
        queue: 40,
        ..Default::default()
    };
    arm.world.set_link(arm.client, arm.server, &link);
    let mut pairs: Vec<(Socket, Socket)> = Vec::new();
    for n in 0..=connections {
        let address = std::net::SocketAddr::new(super::arm::SERVER, 8000 + n as u16);
        pairs.push(arm.world.pair(arm.client, arm.server, address)?);
    }
    let (mut got, mut buf, data) = (vec![0_u64; pairs.len()], vec![0; 64 << 10], vec![b'x'; 64 << 10]);
    for _ in 0..1000 {
        arm.pass(Duration::from_millis(30));
        let now = arm.now();
        for (n, (near, far)) in pairs.iter().enumerate() {
            use crate::stream::ByteStream;
            while let Ok(1..) = arm.world.stack(far.host).stream(now, far.id).write(&data) {}
            while let Ok(read @ 1..) = arm.world.stack(near.host).stream(now, near.id).read(&mut buf) {
                got[n] += read as u64;
            }
        }
    }
    let all: u64 = got.iter().sum();
    Ok(1.0 - got[0] as f64 / all.max(1) as f64)
}

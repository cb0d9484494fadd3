//! How fast does a connection get up to speed? Slow start counted in round trips.

use super::arm::Arm;
use super::case::Case;
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::settings::{Profile, Settings};
use crate::time::{Duration, Spoken};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "slow-start",
    question: "How long does a response take that is larger than the initial window?",
    claims: &[
        Claim {
            name: "begins-with-one",
            says: "a new connection may send one segment, and waits for its acknowledgment",
            source: "the chapter on connections in the HTTP literature, RFC 2001",
        },
        Claim {
            name: "doubling",
            says: "the window doubles with each round trip",
            source: "RFC 5681 §3.1, and the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "tuned-is-faster",
            says: "a connection that has transferred data is faster than a new one",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "idle-forgets",
            says: "after an idle time the connection starts slowly again",
            source: "RFC 5681 §4.1",
        },
    ],
    axes: &[Axis { name: "iw", values: "1,2,4,10" }, Axis { name: "size", values: "1KiB,10KiB,100KiB,1MiB" }],
    tun: &[],
    turns: &[EVERY_ACK],
    holds: &[("tcp.rto_min", "200ms"), ("tcp.rto_floor", "variation")],
    plot: Plot::over("size", "time", (true, false)).only("state", "cold"),
    run,
};

/// The payload of a segment here.
pub(super) const MSS: usize = 1024;
const RTT: Duration = Duration::from_millis(100);
/// More segments than that do not fit into the receiver's first window, which has 16 bits: then the window counts.
const WIDEST: usize = 65_535 / MSS;

/// The knobs of [`clean`].
pub(super) const EVERY_ACK: &[&str] = &[
    "tcp.init_cwnd",
    "tcp.mss",
    "tcp.timestamps",
    "tcp.ack_every",
    "tcp.ack_delay",
    "tcp.congestion",
    "tcp.hystart",
    "tcp.slow_start_limit",
    "tcp.slow_start_after_idle",
    "tcp.recv_buffer",
    "tcp.send_buffer",
    "tcp.window_scale",
    "link.rtt",
];

/// Every segment is acknowledged at once and nothing but the congestion window limits, so that each flight doubles
/// exactly.
pub(super) fn clean(window: &str) -> [(&str, &str); 12] {
    [
        ("tcp.init_cwnd", window),
        ("tcp.mss", "1024"),
        ("tcp.timestamps", "off"),
        ("tcp.ack_every", "1"),
        ("tcp.ack_delay", "0"),
        ("tcp.congestion", "newreno"),
        ("tcp.hystart", "off"),
        ("tcp.slow_start_limit", "off"),
        ("tcp.slow_start_after_idle", "on"),
        ("tcp.recv_buffer", "1GiB"),
        ("tcp.send_buffer", "1GiB"),
        ("tcp.window_scale", "auto"),
    ]
}

/// Flights until `segments` are sent, each twice the one before: the least n with window × (2^n − 1) ≥ segments.
pub(super) fn flights(segments: usize, window: usize) -> u32 {
    (1..).find(|&n| window.saturating_mul((1 << n) - 1) >= segments).unwrap_or(u32::MAX)
}

/// The last flight takes half a round trip, each before it a whole one. A warm connection's window covers everything:
/// one flight.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut doubles, mut faster, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
    for (window, window_text) in lab.numbers("iw", 1, WIDEST)? {
        for (size, size_text) in lab.sizes("size", 100 << 20)? {
            let segments = size.div_ceil(MSS);
            let cold = RTT / 2 + RTT * (flights(segments, window) - 1);
            let mut times = Vec::new();
            for state in ["cold", "warm", "idle"] {
                let varied = [("iw", window_text.as_str()), ("state", state), ("size", &size_text)];
                let mut arm =
                    lab.arm(&varied, &[&clean(&window_text)[..], &[("link.rtt", "100ms")]].concat())?;
                let (client, server) = arm.pair()?;
                if state != "cold" {
                    // So much that the last full flight alone makes the window large enough.
                    let much = 4 * segments.max(window) * MSS;
                    arm.write(server, much)?;
                    arm.read(client, much)?;
                    arm.pass(if state == "warm" { RTT } else { Duration::from_secs(600) });
                }
                let time = transfer(&mut arm, client, server, size)?;
                arm.time("time", time, if state == "warm" { RTT / 2 } else { cold });
                arm.note("flights", Quantity::Count(((time.as_nanos() / RTT.as_nanos()) + 1) as u64));
                times.push(time);
                lab.record(arm)?;
            }
            let at = format!("{size_text} from {window_text}");
            let trips = |time: Duration| format!("{:.1}", time.as_secs_f64() / RTT.as_secs_f64());
            let found = format!("{} of {}", trips(times[0]), trips(cold));
            doubles.push(Case::new(times[0].abs_diff(cold) <= super::TOLERANCE, found, &*at));
            if segments > window {
                let factor = times[0].as_secs_f64() / times[1].as_secs_f64();
                faster.push(Case::new(times[1] < times[0], Quantity::Factor(factor), &*at));
                let found = format!("{} instead of {}", Spoken(times[2]), Spoken(times[1]));
                forgotten.push(Case::new(times[2] == times[0], found, at));
            }
        }
    }
    let mut first = Vec::new();
    for profile in [Profile::Classic, Profile::Rfc, Profile::Linux] {
        let window = Settings::new(profile).tcp.init_cwnd.to_string();
        let mut arm = lab.beside(&[&clean(&window)[..], &[("link.rtt", "100ms")]].concat())?;
        let (client, server) = arm.pair()?;
        let before = arm.ways().1.data;
        arm.write(server, 100 * MSS)?;
        // The first flight is there, and the second one cannot be.
        arm.pass(RTT);
        arm.read(client, 1)?;
        let sent = arm.ways().1.data - before;
        first.push(Case::new(sent == 1, Quantity::Count(sent), format!("profile {}", profile.name())));
    }
    lab.judge("begins-with-one", "segments before the first acknowledgment", &first);
    lab.judge("doubling", "round trips of those that doubling takes", &doubles);
    lab.judge("tuned-is-faster", "a warm connection is faster", &faster);
    lab.judge("idle-forgets", "time after ten minutes and on a warm connection", &forgotten);
    Ok(())
}

fn transfer(
    arm: &mut Arm,
    client: crate::sim::Socket,
    server: crate::sim::Socket,
    size: usize,
) -> Result<Duration, LabError> {
    let start = arm.begin(server);
    arm.write(server, size)?;
    arm.read(client, size)?;
    Ok(arm.over(server, start))
}

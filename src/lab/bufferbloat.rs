//! What does a long queue do to the round trips?

use super::case::Case;
use super::figure::{Figure, Kind};
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::time::{Duration, Spoken};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "bufferbloat",
    question: "How long do packets wait in the queue of a slow link while one transfer fills it?",
    claims: &[
        Claim {
            name: "queue-becomes-delay",
            says: "a sender that listens to losses fills any queue: the round trip grows by all that fits into it",
            source: "Gettys and Nichols, Bufferbloat: dark buffers in the Internet",
        },
        Claim {
            name: "long-queue-no-faster",
            says: "a queue of many times the bandwidth-delay product brings no throughput over one of once that",
            source: "Villamizar and Song, High performance TCP in ANSNET",
        },
        Claim { name: "cubic-like-reno", says: "CUBIC fills the queue as Reno does", source: "RFC 9438 §5" },
    ],
    axes: &[Axis { name: "queue", values: "5,20,100,500" }, Axis { name: "lasts", values: "30s" }],
    tun: &[],
    turns: &[&[
        "tcp.congestion",
        "tcp.hystart",
        "tcp.recv_buffer",
        "tcp.send_buffer",
        "tcp.window_scale",
        "link.rtt",
        "link.bandwidth",
        "link.queue",
    ]],
    holds: &[
        ("tcp.mss", "auto"),
        ("tcp.sack", "on"),
        ("tcp.rack", "on"),
        ("tcp.fast_retransmit", "on"),
        ("tcp.timestamps", "on"),
        ("tcp.init_cwnd", "10"),
        ("tcp.ack_delay", "40ms"),
    ],
    plot: Plot::over("queue", "longest RTT", (true, true)).of("packets"),
    run,
};

const RTT: Duration = Duration::from_millis(20);
/// What is held of `tcp.ack_delay`.
const DELAY: Duration = Duration::from_millis(40);
const RATE: u64 = 10_000_000;
const PACKET: u64 = 1500;
/// Time stamps in each segment, as it is in profile `linux`.
const STAMPS: u64 = 12;
/// Round trips behind a full queue after which slow start's excess no longer matters.
const ROUNDS: u32 = 20;
/// How often the round trip is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A full queue delays by its length over the rate; the path itself holds 17 packets (25 kB). Multiplicative decrease
/// leaves at least half of path and queue in flight, which with a queue as long as the path is the path: the link never
/// idles after slow start. With a queue of 5 packets the window swings between half of 22 packets and 22, three quarters
/// of what fills the link on average or more.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut fills, mut rates, mut longest) = (Vec::new(), Vec::new(), Vec::new());
    let mut curves = Vec::new();
    let (lasts, lasts_text) = lab.one_duration("lasts", Duration::from_secs(1), Duration::from_secs(600))?;
    for congestion in ["newreno", "cubic"] {
        for (queue, text) in lab.numbers("queue", 2_u64, 5000)? {
            let knobs = [
                ("tcp.congestion", congestion),
                ("tcp.hystart", "off"),
                ("tcp.recv_buffer", "64MiB"),
                ("tcp.send_buffer", "64MiB"),
                ("tcp.window_scale", "auto"),
                ("link.rtt", "20ms"),
                ("link.bandwidth", "10mbit"),
                ("link.queue", &text),
            ];
            let full = Duration::from_nanos(queue * PACKET * 8 * 1_000_000_000 / RATE);
            if lasts < (RTT + full) * ROUNDS {
                let least = Spoken((RTT + full) * ROUNDS);
                return Err(LabError::usage(format!(
                    "lasts {lasts_text} is too short for a queue of {queue}: at least {least}"
                )));
            }
            let mut arm =
                lab.arm(&[("congestion", congestion), ("lasts", &lasts_text), ("queue", &text)], &knobs)?;
            let (near, far) = arm.pair()?;
            let data = vec![b'x'; 256 << 10];
            let (exchange, mut curve, mut max) = (arm.begin(far), Vec::new(), Duration::ZERO);
            let (start, mut got) = (exchange.at, 0);
            let mut at = start;
            while at < start + lasts {
                at += LOOK;
                let mut left = &data[..];
                let now = arm.now();
                // As much as finds room: the sender never runs dry.
                while let Ok(n) =
                    crate::stream::ByteStream::write(&mut arm.world.stack(far.host).stream(now, far.id), left)
                {
                    left = &left[n..];
                    if left.is_empty() {
                        break;
                    }
                }
                got += arm.read_log(near.into(), at)?.last().map_or(0, |l| l.1);
                let srtt = arm.world.stack(far.host).conn(far.id).and_then(|conn| conn.snapshot().srtt);
                if let Some(srtt) = srtt {
                    max = max.max(srtt);
                    curve.push((arm.now().since(start).as_secs_f64(), srtt.as_secs_f64() * 1e3));
                }
            }
            arm.over(far, exchange);
            let rate = 8.0 * got as f64 / lasts.as_secs_f64();
            let packet = Duration::from_nanos(PACKET * 8 * 1_000_000_000 / RATE);
            // The smoothed round trip lags behind; what is on the wire and an acknowledgment come in addition, and an
            // eighth of an acknowledgment's delay (RFC 6298 §2), where a window is so small that one waits for its second.
            let late = DELAY / 8;
            let (low, high) = (RTT + full * 7 / 10, RTT + full + packet * 3 + late);
            arm.between("longest RTT", Quantity::Time(max), Quantity::Time(low), Quantity::Time(high));
            let data_share = (PACKET - u64::from(arm.addrs.headers) - STAMPS) as f64 / PACKET as f64;
            let least = if queue < 17 { 0.70 } else { 0.90 } * data_share * RATE as f64;
            let band = (Quantity::Rate(least), Quantity::Rate(RATE as f64 * 1460.0 / PACKET as f64));
            arm.between("throughput", Quantity::Rate(rate), band.0, band.1);
            let lost = arm.world.link_totals(arm.server, arm.client).queue_full;
            arm.note("dropped", Quantity::Count(lost));
            let at = format!("{congestion}, {queue} packets");
            fills.push(arm.case(max >= low, Quantity::Time(max), &*at));
            rates.push((queue, rate, at));
            longest.push((congestion, queue, max));
            curves.push((format!("{congestion} {queue}"), curve));
            lab.record(arm)?;
        }
    }
    lab.judge("queue-becomes-delay", &format!("longest round trip, {} without a queue", Spoken(RTT)), &fills);
    // What is compared is what a longer queue brings over the shortest one of at least the product.
    let enough = rates.iter().filter(|r| r.0 >= 17).min_by_key(|r| r.0).map_or(1.0, |r| r.1);
    let least = rates.iter().filter(|r| r.0 >= 17).map(|r| r.0).min().unwrap_or(0);
    let gains = rates.iter().filter(|r| r.0 > least && least > 0);
    let gains = gains.map(|r| Case::new(r.1 < 1.1 * enough, Quantity::Factor(r.1 / enough), &*r.2));
    lab.judge(
        "long-queue-no-faster",
        &format!("throughput over that with a queue of {least} packets"),
        &gains.collect::<Vec<_>>(),
    );
    let pairs = longest.iter().filter(|l| l.0 == "newreno").filter_map(|l| {
        let other = longest.iter().find(|o| o.0 == "cubic" && o.1 == l.1)?;
        let factor = other.2.as_secs_f64() / l.2.as_secs_f64();
        let held = (0.7..1.4).contains(&factor);
        Some(Case::new(held, Quantity::Factor(factor), format!("{} packets", l.1)))
    });
    lab.judge("cubic-like-reno", "longest round trip, CUBIC over Reno", &pairs.collect::<Vec<_>>());
    lab.draw(Figure {
        by: "congestion, queue in packets".into(),
        kind: Kind::Lines,
        x: "time, s".into(),
        y: "smoothed round trip, ms".into(),
        log: (false, true),
        series: curves,
    });
    Ok(())
}

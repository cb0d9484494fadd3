//! What do small writes cost, and what does Nagle's algorithm do about it?

use super::arm::{Arm, End};
use super::case::Case;
use super::kernel::{EARLY, Peer};
use super::notebook::Notebook;
use super::{Axis, Claim, Expected, Experiment, LabError, Plot, Quantity};
use crate::time::{Duration, Instant, Spoken};
use std::collections::VecDeque;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "nagle",
    question: "What do many small writes cost, on the wire and in time?",
    claims: &[
        Claim {
            name: "forty-for-one",
            says: "a segment carries 40 bytes of header (60 with IPv6), even for one byte of data",
            source: "the chapter on connections in the HTTP literature, RFC 896",
        },
        Claim {
            name: "bundles",
            says: "Nagle's algorithm bundles small writes into fewer segments",
            source: "RFC 896, RFC 9293 §3.7.4",
        },
        Claim {
            name: "full-or-acknowledged",
            says: "it sends only full segments as long as something is unacknowledged",
            source: "the chapter on connections in the HTTP literature, RFC 896",
        },
        Claim {
            name: "off-wants-large-writes",
            says: "who switches it off has to write large pieces, or sends many small segments",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "delays",
            says: "it delays small messages, which wait for an acknowledgment",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "minshall-like-rfc896",
            says: "Minshall's variant sends small writes as RFC 896 does",
            source: "draft-minshall-nagle-01",
        },
    ],
    axes: &[Axis { name: "write", values: "1,10,100,1000" }],
    tun: &[Axis { name: "write", values: "1,100,1000" }],
    turns: &[&[
        "tcp.nagle",
        "tcp.cork",
        "tcp.ack_delay",
        "tcp.ack_every",
        "tcp.timestamps",
        "tcp.tail_loss_probe",
        "tcp.init_cwnd",
        "tcp.mss",
        "link.rtt",
    ]],
    holds: &[("tcp.congestion", "newreno")],
    plot: Plot::over("write", "efficiency", (true, false)).of("bytes"),
    run,
};

/// A write each 10 ms. The round trip is no multiple of it, so that no write and no acknowledgment fall together.
const GAP: Duration = Duration::from_millis(10);
const WRITES: usize = 50;
const RTT: Duration = Duration::from_millis(97);

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut headers, mut bundled, mut delayed, mut same) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut planned, mut small) = (Vec::new(), Vec::new());
    let header = u64::from(lab.addrs().headers);
    // The path's packets hold no more.
    let mss = usize::from(1500 - lab.addrs().headers);
    let mss_text = mss.to_string();
    let (writes, peers) = (lab.numbers("write", 1, mss)?, lab.peers());
    for (&peer, (write, text)) in writes.iter().flat_map(|write| peers.iter().map(move |p| (p, write))) {
        let (mut seen, write) = (Vec::new(), *write);
        // What Linux calls Nagle's algorithm is Minshall's variant.
        let variants: &[&str] =
            if peer == Peer::LinuxClient { &["off", "minshall"] } else { &["off", "on", "minshall"] };
        for &nagle in variants {
            let knobs = [
                ("tcp.nagle", nagle),
                ("tcp.cork", "off"),
                ("tcp.ack_delay", "0"),
                ("tcp.ack_every", "1"),
                ("tcp.timestamps", "off"),
                ("tcp.tail_loss_probe", "off"),
                ("tcp.init_cwnd", "1000"),
                ("tcp.mss", &mss_text),
                ("link.rtt", "97ms"),
            ];
            let mut arm = lab.arm_with(peer, &[("nagle", nagle), ("write", text)], &knobs)?;
            let (near, far) = arm.warm_ends()?;
            let before = arm.ways().0;
            let latency = write_all(&mut arm, near, far, write)?;
            let sent = arm.ways().0.since(before);
            // In real time acknowledgments may be late.
            let (on_time, late) = (plan(nagle, write, mss, RTT), plan(nagle, write, mss, RTT + arm.late()));
            let least = on_time.segments.min(late.segments);
            let most = on_time.segments.max(late.segments);
            let data = (write * WRITES) as u64;
            arm.between(
                "segments",
                Quantity::Count(sent.data),
                Quantity::Count(least),
                Quantity::Count(most),
            );
            let (low, high) = (Quantity::Bytes(least * header), Quantity::Bytes(most * header));
            arm.between("header bytes", Quantity::Bytes(sent.bytes - sent.payload), low, high);
            let efficiency = sent.payload as f64 / sent.bytes as f64;
            let expected = |segments: u64| Quantity::Share(data as f64 / (data + segments * header) as f64);
            arm.between("efficiency", Quantity::Share(efficiency), expected(most), expected(least));
            let early = if lab.is_real() { EARLY } else { Duration::ZERO };
            let low = on_time.latency.min(late.latency).saturating_sub(early);
            let high = on_time.latency.max(late.latency) + arm.late();
            arm.between("mean latency", Quantity::Time(latency), Quantity::Time(low), Quantity::Time(high));
            let share = Quantity::Share(efficiency);
            if nagle != "off" {
                let found = format!("{} where {} were computed", sent.data, Expected::band(least, most));
                let at = format!("{nagle}, writes of {write}");
                planned.push(arm.case((least..=most).contains(&sent.data), found, at));
            } else {
                let found = format!("{} with {share} data", sent.data);
                let held = sent.data == WRITES as u64 && write < mss;
                small.push(arm.case(held, found, format!("writes of {write}")));
            }
            let each = (sent.bytes - sent.payload) as f64 / sent.data.max(1) as f64;
            headers.push(arm.case(
                sent.bytes - sent.payload == header * sent.data,
                format!("{each:.0}"),
                format!("{nagle}, writes of {write}"),
            ));
            seen.push((sent.data, latency, arm.is_late() || arm.overslept()));
            lab.record(arm)?;
        }
        let (off, with, at) = (seen[0], seen[1], format!("writes of {text}"));
        let late = off.2 || with.2;
        let found = format!("{} instead of {}", with.0, off.0);
        bundled.push(Case::new(with.0 < off.0, found, &*at).unless_held(late));
        let found = format!("{} instead of {}", Spoken(with.1), Spoken(off.1));
        delayed.push(Case::new(with.1 > off.1, found, &*at).unless_held(late));
        if let [_, on, minshall] = seen[..] {
            let close = if lab.is_real() { RTT / 10 } else { Duration::ZERO };
            let held = on.0 == minshall.0 && on.1.abs_diff(minshall.1) <= close;
            let told = |one: (u64, Duration, bool)| format!("{} after {}", one.0, Spoken(one.1));
            let found = format!("{} and {}", told(minshall), told(on));
            same.push(Case::new(held, found, at).unless_held(on.2 || minshall.2));
        }
    }
    lab.judge("forty-for-one", "bytes of header for each segment", &headers);
    lab.judge("bundles", &format!("segments for {WRITES} writes"), &bundled);
    lab.judge("full-or-acknowledged", &format!("segments for {WRITES} writes"), &planned);
    lab.judge("off-wants-large-writes", &format!("segments for {WRITES} writes"), &small);
    lab.judge("delays", "mean time until a write has arrived", &delayed);
    lab.judge("minshall-like-rfc896", "segments, Minshall's and RFC 896's", &same);
    Ok(())
}

/// Writes and returns how long a write took to arrive whole, on average.
fn write_all(arm: &mut Arm, near: End, far: End, write: usize) -> Result<Duration, LabError> {
    let exchange = arm.begin(near);
    let start = exchange.at;
    let mut log = Vec::new();
    let mut total = 0;
    for n in 1..=WRITES {
        arm.write(near, write)?;
        let end = if n < WRITES {
            start + GAP * n as u32
        } else {
            start + GAP * n as u32 + RTT * if arm.real.is_some() { 6 } else { 20 }
        };
        for (at, read) in arm.read_log(far, end)? {
            log.push((at, total + read));
        }
        total = log.last().map_or(0, |l: &(Instant, u64)| l.1);
    }
    arm.over(near, exchange);
    let mut sum = Duration::ZERO;
    for n in 0..WRITES {
        let whole = ((n + 1) * write) as u64;
        let Some((at, _)) = log.iter().find(|(_, read)| *read >= whole) else {
            return Err(LabError::new(format!("only {total} bytes arrived")));
        };
        sum += at.since(start + GAP * n as u32);
    }
    Ok(sum / WRITES as u32)
}

/// What has to happen.
struct Plan {
    segments: u64,
    latency: Duration,
}

/// The rules on paper. A full segment leaves at once; a small one leaves if Nagle's algorithm is off, if nothing is
/// unacknowledged (RFC 896), or if no small one is (Minshall). An acknowledgment comes one round trip after its segment.
fn plan(nagle: &str, write: usize, mss: usize, rtt: Duration) -> Plan {
    let mut unacked: VecDeque<(Duration, bool)> = VecDeque::new();
    let (mut waiting, mut left, mut written) = (0, 0, 0);
    let mut arrived: Vec<(Duration, usize)> = Vec::new();
    let mut segments = 0;
    while written < WRITES || waiting > 0 {
        let next_write = (written < WRITES).then(|| GAP * written as u32);
        let next_ack = unacked.front().map(|u| u.0);
        let now = match (next_write, next_ack) {
            (Some(write), Some(ack)) => write.min(ack),
            (write, ack) => write.or(ack).unwrap_or_default(),
        };
        if next_ack == Some(now) {
            unacked.pop_front();
        } else {
            waiting += write;
            written += 1;
        }
        loop {
            let held = match nagle {
                "off" => false,
                "on" => !unacked.is_empty(),
                _ => unacked.iter().any(|u| u.1),
            };
            let size = waiting.min(mss);
            if size == 0 || (size < mss && held) {
                break;
            }
            waiting -= size;
            left += size;
            segments += 1;
            unacked.push_back((now + rtt, size < mss));
            arrived.push((now + rtt / 2, left));
        }
    }
    let latency = (0..WRITES).map(|n| {
        let whole = (n + 1) * write;
        let at = arrived.iter().find(|a| a.1 >= whole).map_or(Duration::ZERO, |a| a.0);
        at.saturating_sub(GAP * n as u32)
    });
    Plan { segments, latency: latency.sum::<Duration>() / WRITES as u32 }
}

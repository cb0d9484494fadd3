//! What do small writes cost, and what does Nagle's algorithm do about it?

use super::arm::{Arm, End};
use super::kernel::{EARLY, Peer};
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "nagle",
    question: "What do many small writes cost, on the wire and in time?",
    claims: &[
        Claim {
            name: "forty-for-one",
            says: "a segment carries 40 bytes of header, even for one byte of data",
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
    turns: &[
        "tcp.nagle",
        "tcp.cork",
        "tcp.ack_delay",
        "tcp.ack_every",
        "tcp.timestamps",
        "tcp.tail_loss_probe",
        "tcp.init_cwnd",
        "tcp.mss",
        "link.rtt",
    ],
    plot: Plot::over("write", "efficiency", (true, false)),
    run,
};

/// A write each 10 ms. The round trip is no multiple of it, so that no write and no acknowledgment fall together.
const GAP: Duration = Duration::from_millis(10);
const WRITES: usize = 50;
const RTT: Duration = Duration::from_millis(97);
const MSS: usize = 1460;
/// IPv4 and TCP, without options.
const HEADER: u64 = 40;

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut headers, mut bundled, mut delayed, mut same) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut planned, mut small) = (Vec::new(), Vec::new());
    let mut worst = 1.0_f64;
    let (writes, peers) = (lab.numbers("write", 1, 1460)?, lab.peers());
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
                ("tcp.mss", "1460"),
                ("link.rtt", "97ms"),
            ];
            let mut arm = lab.arm_with(peer, &[("nagle", nagle), ("write", text)], &knobs)?;
            let (near, far) = arm.warm_ends()?;
            let before = arm.ways().0;
            let latency = write_all(&mut arm, near, far, write)?;
            let sent = arm.ways().0.since(before);
            // In real time acknowledgments may be late.
            let (on_time, late) = (plan(nagle, write, RTT), plan(nagle, write, RTT + arm.late()));
            let least = on_time.segments.min(late.segments);
            let most = on_time.segments.max(late.segments);
            let data = (write * WRITES) as u64;
            arm.between(
                "segments",
                Quantity::Count(sent.data),
                Quantity::Count(least),
                Quantity::Count(most),
            );
            let (low, high) = (Quantity::Bytes(least * HEADER), Quantity::Bytes(most * HEADER));
            arm.between("header bytes", Quantity::Bytes(sent.bytes - sent.payload), low, high);
            let efficiency = sent.payload as f64 / sent.bytes as f64;
            let expected = |segments: u64| Quantity::Share(data as f64 / (data + segments * HEADER) as f64);
            arm.between("efficiency", Quantity::Share(efficiency), expected(most), expected(least));
            let early = if lab.is_real() { EARLY } else { Duration::ZERO };
            let low = on_time.latency.min(late.latency).saturating_sub(early);
            let high = on_time.latency.max(late.latency) + arm.late();
            arm.between("mean latency", Quantity::Time(latency), Quantity::Time(low), Quantity::Time(high));
            if nagle != "off" {
                planned.push((least..=most).contains(&sent.data));
            } else {
                small.push((write, sent.data == WRITES as u64, efficiency));
            }
            worst = worst.min(efficiency);
            headers.push(sent.bytes - sent.payload == HEADER * sent.data);
            seen.push((sent.data, latency));
            lab.record(arm)?;
        }
        bundled.push((text.clone(), seen[0].0, seen[1].0));
        delayed.push(seen[1].1 > seen[0].1);
        if let [_, on, minshall] = seen[..] {
            same.push(
                on.0 == minshall.0
                    && on.1.abs_diff(minshall.1) <= if lab.is_real() { RTT / 10 } else { Duration::ZERO },
            );
        }
    }
    let numbers = format!("at the least {:.1} % of the bytes sent are data", 100.0 * worst);
    lab.judge("forty-for-one", headers, numbers);
    let told: Vec<_> = bundled.iter().map(|(w, off, on)| format!("{off} → {on} of {w} bytes")).collect();
    let numbers = format!("segments: {}", told.join(", "));
    lab.judge("bundles", bundled.iter().map(|(_, off, on)| on < off), numbers);
    let held = planned.iter().filter(|p| **p).count();
    let numbers =
        format!("by that rule alone the segments of {held} of {} transfers were computed", planned.len());
    lab.judge("full-or-acknowledged", planned, numbers);
    let told: Vec<_> = small.iter().map(|s| format!("{} bytes: {:.1} %", s.0, 100.0 * s.2)).collect();
    let numbers = format!("a segment for each write; data among the bytes sent: {}", told.join(", "));
    lab.judge("off-wants-large-writes", small.iter().map(|s| s.1), numbers);
    let numbers =
        "a write waits for the acknowledgment of the one before, or until a segment is full".to_owned();
    lab.judge("delays", delayed, numbers);
    let held = same.iter().filter(|s| **s).count();
    let numbers = format!(
        "same segments at the same times in {held} of {} sizes; full segments hold back no small one",
        same.len()
    );
    lab.judge("minshall-like-rfc896", same, numbers);
    Ok(())
}

/// Writes and returns how long a write took to arrive whole, on average.
fn write_all(arm: &mut Arm, near: End, far: End, write: usize) -> Result<Duration, LabError> {
    let start = arm.now();
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
    let mut sum = Duration::ZERO;
    for n in 0..WRITES {
        let whole = ((n + 1) * write) as u64;
        let Some((at, _)) = log.iter().find(|(_, read)| *read >= whole) else {
            return Err(LabError(format!("only {total} bytes arrived")));
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
fn plan(nagle: &str, write: usize, rtt: Duration) -> Plan {
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
            let size = waiting.min(MSS);
            if size == 0 || (size < MSS && held) {
                break;
            }
            waiting -= size;
            left += size;
            segments += 1;
            unacked.push_back((now + rtt, size < MSS));
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

//! What do small writes cost, and what does Nagle's algorithm do about it?

use super::arm::Arm;
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::Socket;
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
    let mut least = 1.0_f64;
    for (write, text) in lab.numbers("write", 1, 1460)? {
        let mut seen = Vec::new();
        for nagle in ["off", "on", "minshall"] {
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
            let mut arm = lab.arm(&[("nagle", nagle), ("write", &text)], &knobs)?;
            let (near, far) = arm.warm_pair()?;
            let before = arm.ways().0;
            let latency = writes(&mut arm, near, far, write)?;
            let sent = arm.ways().0.since(before);
            let plan = plan(nagle, write);
            let data = (write * WRITES) as u64;
            arm.count("segments", sent.data, plan.segments);
            let expected = Quantity::Bytes(plan.segments * HEADER);
            arm.exactly("header bytes", Quantity::Bytes(sent.bytes - sent.payload), expected);
            let efficiency = sent.payload as f64 / sent.bytes as f64;
            let expected = data as f64 / (data + plan.segments * HEADER) as f64;
            arm.exactly("efficiency", Quantity::Share(efficiency), Quantity::Share(expected));
            arm.time("mean latency", latency, plan.latency);
            least = least.min(efficiency);
            headers.push(sent.bytes - sent.payload == HEADER * sent.data);
            seen.push((sent.data, latency));
            lab.record(arm)?;
        }
        bundled.push((text, seen[0].0, seen[1].0));
        delayed.push(seen[1].1 > seen[0].1);
        same.push(seen[1] == seen[2]);
    }
    let numbers = format!("at the least {:.1} % of the bytes sent are data", 100.0 * least);
    lab.judge("forty-for-one", headers, numbers);
    let told: Vec<_> = bundled.iter().map(|(w, off, on)| format!("{off} → {on} of {w} bytes")).collect();
    let numbers = format!("segments: {}", told.join(", "));
    lab.judge("bundles", bundled.iter().map(|(_, off, on)| on < off), numbers);
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
fn writes(arm: &mut Arm, near: Socket, far: Socket, write: usize) -> Result<Duration, LabError> {
    let start = arm.now();
    let mut log = Vec::new();
    let mut total = 0;
    for n in 1..=WRITES {
        arm.write(near, write)?;
        let end = if n < WRITES { start + GAP * n as u32 } else { start + GAP * n as u32 + RTT * 20 };
        for (at, read) in arm.read_log(far, end) {
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
fn plan(nagle: &str, write: usize) -> Plan {
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
            unacked.push_back((now + RTT, size < MSS));
            arrived.push((now + RTT / 2, left));
        }
    }
    let latency = (0..WRITES).map(|n| {
        let whole = (n + 1) * write;
        let at = arrived.iter().find(|a| a.1 >= whole).map_or(Duration::ZERO, |a| a.0);
        at.saturating_sub(GAP * n as u32)
    });
    Plan { segments, latency: latency.sum::<Duration>() / WRITES as u32 }
}

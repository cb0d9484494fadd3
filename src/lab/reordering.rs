//! What does it cost when packets overtake one another?

use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::rule::{Action, Passing};
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "reordering",
    question: "When is a segment taken for lost that is only late?",
    claims: &[
        Claim {
            name: "three-duplicates",
            says: "a segment that three later ones overtake is taken for lost and sent again in vain",
            source: "RFC 5681 §3.2",
        },
        Claim {
            name: "rack-learns",
            says: "recovery by time learns how late packets may be, and then waits",
            source: "RFC 8985 §3",
        },
        Claim {
            name: "stream-intact",
            says: "the application notices nothing but time: every byte arrives once and in order",
            source: "RFC 9293 §1",
        },
    ],
    axes: &[Axis { name: "overtaken_by", values: "1,2,3,4,8" }],
    tun: &[],
    turns: &[&[
        "tcp.sack",
        "tcp.rack",
        "tcp.dsack",
        "tcp.tail_loss_probe",
        "tcp.congestion",
        "tcp.init_cwnd",
        "tcp.mss",
        "tcp.timestamps",
        "tcp.ack_delay",
        "tcp.compressed_acks",
        "tcp.ack_every",
        "link.rtt",
        "link.bandwidth",
    ]],
    holds: &[("tcp.undo", "on")],
    plot: Plot::over("overtaken_by", "sent in vain", (false, false)).of("segments"),
    run,
};

/// Bytes of a packet.
const PACKET: u16 = 1000;
/// Time stamps in each segment.
const STAMPS: u16 = 12;
/// The wire takes exactly this long for a packet of 1000 bytes at 8 Mbit/s.
const SPACING: Duration = Duration::from_millis(1);
/// Every so many segments one is late; all have arrived before the next one is.
const EVERY: u64 = 100;
const EVENTS: u64 = 6;
/// Spacings by which RACK allows more each time that it was wrong: a quarter of the round trip.
const ALLOWANCE: u32 = 5;

/// Segments leave one millisecond apart, so one that is n + ½ ms late is overtaken by n. Three segments beyond a gap
/// make it a loss; by time, only until it is known that packets overtake one another: then a quarter of the round trip
/// (5 ms) is allowed.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut three, mut learns, mut intact) = (Vec::new(), Vec::new(), Vec::new());
    let mss = PACKET - lab.addrs().headers;
    let mss_text = mss.to_string();
    for recovery in ["sack", "rack"] {
        let rack = if recovery == "rack" { "on" } else { "off" };
        for (late, text) in lab.numbers("overtaken_by", 1_u32, 15)? {
            let knobs = [
                ("tcp.sack", "on"),
                ("tcp.dsack", "on"),
                ("tcp.rack", rack),
                ("tcp.tail_loss_probe", "off"),
                // As much as the first window holds, which has 16 bits.
                ("tcp.congestion", "fixed:60"),
                ("tcp.init_cwnd", "60"),
                ("tcp.mss", &*mss_text),
                // They tell that the late one came and not its repetition, without which nothing would be learned.
                ("tcp.timestamps", "on"),
                ("tcp.ack_delay", "0"),
                ("tcp.compressed_acks", "0"),
                ("tcp.ack_every", "1"),
                ("link.rtt", "20ms"),
                ("link.bandwidth", "8mbit"),
            ];
            let mut arm = lab.arm(&[("recovery", recovery), ("overtaken_by", &text)], &knobs)?;
            let (near, far) = arm.warm_pair()?;
            let mut seen = 0;
            arm.world.add_rule(arm.server, arm.client, move |packet: &Passing<'_>| {
                seen += u64::from(!packet.payload.is_empty());
                match seen % EVERY == EVERY / 2 && !packet.payload.is_empty() {
                    true => Action::Delay(SPACING * late + SPACING / 2),
                    false => Action::Pass,
                }
            });
            let size = (EVERY * EVENTS) as usize * usize::from(mss - STAMPS);
            let before = arm.ways().1;
            let data: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let start = arm.begin(far);
            let got = arm.world.transfer(far, near, &data)?;
            arm.over(far, start);
            arm.quiet();
            let received = arm.ways().1.since(before);
            let learned = 1 + u64::from((2 * late + 1).div_ceil(2 * ALLOWANCE));
            let vain = received.data.saturating_sub(EVERY * EVENTS);
            let expected = match (recovery, late) {
                (_, ..3) => (0, 0),
                // Where a late one is seen to be just that, more segments than it was overtaken by make the next loss.
                ("sack", 3) => (1, EVENTS + 1),
                // Each time; a repetition shifts the count of what follows by one.
                ("sack", _) => (EVENTS - 1, EVENTS + 1),
                // The first time, and as long as the allowance grows to what is needed.
                _ => (1, learned),
            };
            let (low, high) = (Quantity::Count(expected.0), Quantity::Count(expected.1));
            arm.between("sent in vain", Quantity::Count(vain), low, high);
            arm.exactly("bytes", Quantity::Bytes(got.len() as u64), Quantity::Bytes(size as u64));
            let at = format!("overtaken by {text}");
            intact.push(arm.case(got == data, Quantity::Bytes(got.len() as u64), &*at));
            if late >= 3 {
                let count = Quantity::Count(vain);
                match recovery {
                    "sack" => three.push(arm.case(vain > 0, count, at)),
                    _ => learns.push(arm.case(vain <= learned, count, at)),
                }
            }
            lab.record(arm)?;
        }
    }
    let measure = format!("of {EVENTS} late segments sent again");
    lab.judge("three-duplicates", &measure, &three);
    lab.judge("rack-learns", &measure, &learns);
    lab.judge("stream-intact", "bytes, as they were sent", &intact);
    Ok(())
}

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
    axes: &[Axis { name: "overtaken_by", values: "1,2,4,8" }],
    tun: &[],
    turns: &[
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
    ],
    plot: Plot::over("overtaken_by", "sent in vain", (false, false)),
    run,
};

/// With 52 bytes of headers a packet of 1000.
const MSS: usize = 948;
/// The wire takes exactly this long for a packet of 1000 bytes at 8 Mbit/s.
const SPACING: Duration = Duration::from_millis(1);
/// Every so many segments one is late; all have arrived before the next one is.
const EVERY: u64 = 100;
const EVENTS: u64 = 6;

/// Segments leave one millisecond apart, so one that is n + ½ ms late is overtaken by n. Three segments beyond a gap
/// make it a loss; by time, only until it is known that packets overtake one another: then a quarter of the round trip
/// (5 ms) is allowed.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut three, mut learns, mut intact) = (Vec::new(), Vec::new(), Vec::new());
    for recovery in ["sack", "rack"] {
        let rack = if recovery == "rack" { "on" } else { "off" };
        for (late, text) in lab.numbers("overtaken_by", 1_u32, 15)? {
            let knobs = [
                ("tcp.sack", "on"),
                ("tcp.dsack", "on"),
                ("tcp.rack", rack),
                ("tcp.tail_loss_probe", "off"),
                ("tcp.congestion", "fixed:100"),
                ("tcp.init_cwnd", "100"),
                ("tcp.mss", "960"),
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
            let size = (EVERY * EVENTS) as usize * MSS;
            let before = arm.ways().1;
            let data: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let got = arm.world.transfer(far, near, &data)?;
            arm.quiet();
            let received = arm.ways().1.since(before);
            let vain = received.data - EVERY * EVENTS;
            let expected = match (recovery, late) {
                (_, ..3) => (0, 0),
                // Each time; a repetition shifts the count of what follows by one.
                ("sack", _) => (EVENTS - 1, EVENTS + 1),
                // The first time, and as long as the allowance grows to what is needed.
                _ => (1, EVENTS / 2),
            };
            let (low, high) = (Quantity::Count(expected.0), Quantity::Count(expected.1));
            arm.between("sent in vain", Quantity::Count(vain), low, high);
            arm.exactly("bytes", Quantity::Bytes(got.len() as u64), Quantity::Bytes(size as u64));
            intact.push(got == data);
            if recovery == "sack" {
                three.push((late, vain));
            } else if late >= 3 {
                learns.push(vain <= EVENTS / 2);
            }
            lab.record(arm)?;
        }
    }
    let told: Vec<_> = three.iter().map(|(late, vain)| format!("{vain} when overtaken by {late}")).collect();
    let numbers = format!("of {EVENTS} late segments sent again: {}", told.join(", "));
    lab.judge("three-duplicates", three.iter().filter(|t| t.0 >= 3).map(|t| t.1 > 0), numbers);
    let numbers = format!("at most {} of {EVENTS} late segments were sent again", EVENTS / 2);
    lab.judge("rack-learns", learns, numbers);
    let held = intact.iter().filter(|i| **i).count();
    lab.judge("stream-intact", intact, format!("{held} streams arrived as they were sent"));
    Ok(())
}

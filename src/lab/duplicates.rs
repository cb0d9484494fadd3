//! What happens when packets arrive twice?

use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::rule::{Action, Passing};
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "duplicates",
    question: "What does a path cost that delivers packets twice?",
    claims: &[
        Claim { name: "once-only", says: "the application gets each byte once", source: "RFC 9293 §3.4" },
        Claim {
            name: "no-false-loss",
            says: "acknowledgments of duplicates are not taken for losses",
            source: "RFC 2883, RFC 6675",
        },
        Claim { name: "no-delay", says: "duplicates cost no time", source: "RFC 9293 §3.10.7.4" },
    ],
    axes: &[Axis { name: "every", values: "1,2,10" }],
    tun: &[],
    turns: &[
        "tcp.init_cwnd",
        "tcp.mss",
        "tcp.timestamps",
        "tcp.congestion",
        "link.rtt",
        "tcp.sack",
        "tcp.dsack",
    ],
    plot: Plot::bars("duplicates"),
    run,
};

const RTT: Duration = Duration::from_millis(20);
const MSS: usize = 1000;
const SEGMENTS: u64 = 100;

/// Every n-th segment comes twice: the receiver drops and acknowledges the second one, and the sender, to whom that
/// acknowledgment says that something came twice, sends nothing again.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut once, mut quiet, mut quick) = (Vec::new(), Vec::new(), Vec::new());
    for sack in ["on", "off"] {
        for (every, text) in lab.numbers("every", 1_u64, 100)? {
            let knobs = [
                ("tcp.init_cwnd", "1000"),
                ("tcp.mss", "1000"),
                ("tcp.timestamps", "off"),
                ("tcp.congestion", "newreno"),
                ("tcp.sack", sack),
                ("tcp.dsack", sack),
                ("link.rtt", "20ms"),
            ];
            let mut arm = lab.arm(&[("sack", sack), ("every", &text)], &knobs)?;
            let (near, far) = arm.warm_pair()?;
            let mut seen = 0;
            arm.world.add_rule(arm.server, arm.client, move |packet: &Passing<'_>| {
                seen += u64::from(!packet.payload.is_empty());
                match seen % every == 0 && !packet.payload.is_empty() {
                    true => Action::Duplicate,
                    false => Action::Pass,
                }
            });
            let data: Vec<u8> = (0..SEGMENTS as usize * MSS).map(|n| (n % 251) as u8).collect();
            let (before, start) = (arm.ways().1, arm.now());
            let got = arm.world.transfer(far, near, &data)?;
            let time = arm.now().since(start);
            arm.quiet();
            let received = arm.ways().1.since(before);
            let duplicates = received.data - SEGMENTS;
            arm.count("duplicates", duplicates, SEGMENTS / every);
            let sent_again = arm.world.link_totals(arm.server, arm.client).duplicated + SEGMENTS;
            arm.count("sent in vain", received.data - sent_again, 0);
            arm.exactly("bytes", Quantity::Bytes(got.len() as u64), Quantity::Bytes(data.len() as u64));
            arm.time("time", time, RTT / 2);
            once.push(got == data);
            quiet.push(received.data == sent_again);
            quick.push(time == RTT / 2);
            lab.record(arm)?;
        }
    }
    let held = once.iter().filter(|o| **o).count();
    lab.judge("once-only", once, format!("{held} streams arrived as they were sent"));
    let held = quiet.iter().filter(|q| **q).count();
    lab.judge("no-false-loss", quiet, format!("nothing was sent again in {held} transfers"));
    lab.judge("no-delay", quick, "half a round trip, as without duplicates".to_owned());
    Ok(())
}

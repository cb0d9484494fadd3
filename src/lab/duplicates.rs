//! What happens when packets arrive twice?

use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::rule::{Action, Passing};
use crate::time::{Duration, Spoken};

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
    turns: &[&[
        "tcp.init_cwnd",
        "tcp.mss",
        "tcp.timestamps",
        "tcp.congestion",
        "link.rtt",
        "tcp.sack",
        "tcp.dsack",
    ]],
    holds: &[],
    plot: Plot::bars("duplicates"),
    run,
};

const RTT: Duration = Duration::from_millis(20);
const MSS: usize = 1000;
/// All fit into the first window, which has 16 bits.
const SEGMENTS: u64 = 60;

/// Every n-th segment comes twice: the receiver drops and acknowledges the second one, and the sender, to whom that
/// acknowledgment says that something came twice, sends nothing again.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut once, mut quiet, mut quick) = (Vec::new(), Vec::new(), Vec::new());
    for sack in ["on", "off"] {
        for (every, text) in lab.numbers("every", 1_u64, SEGMENTS)? {
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
            let (before, start) = (arm.ways().1, arm.begin(far));
            let got = arm.world.transfer(far, near, &data)?;
            let time = arm.over(far, start);
            arm.quiet();
            let received = arm.ways().1.since(before);
            let duplicates = received.data.saturating_sub(SEGMENTS);
            arm.count("duplicates", duplicates, SEGMENTS / every);
            let sent_again = arm.world.link_totals(arm.server, arm.client).duplicated + SEGMENTS;
            arm.count("sent in vain", received.data.saturating_sub(sent_again), 0);
            arm.exactly("bytes", Quantity::Bytes(got.len() as u64), Quantity::Bytes(data.len() as u64));
            arm.time("time", time, RTT / 2);
            let at = format!("every {text}");
            let vain = received.data.saturating_sub(sent_again);
            once.push(arm.case(got == data, Quantity::Bytes(got.len() as u64), &*at));
            quiet.push(arm.case(vain == 0, Quantity::Count(vain), &*at));
            quick.push(arm.case(time == RTT / 2, Quantity::Time(time), at));
            lab.record(arm)?;
        }
    }
    lab.judge("once-only", &format!("bytes read of {} sent", SEGMENTS as usize * MSS), &once);
    lab.judge("no-false-loss", "segments sent again for no reason", &quiet);
    lab.judge("no-delay", &format!("time for {SEGMENTS} segments on a path of {}", Spoken(RTT / 2)), &quick);
    Ok(())
}

//! How fast can a connection be whose segments are lost by chance?

use super::case::Case;
use super::notebook::Notebook;
use super::slow_start::{EVERY_ACK, MSS, clean};
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::knob;
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "random-loss",
    question: "How fast is a transfer when each segment may be lost, and what does that cost?",
    claims: &[
        Claim {
            name: "square-root",
            says: "the throughput of AIMD is one segment in a round trip times the square root of 3/2 over the share lost",
            source: "Mathis, Semke, Mahdavi and Ott 1997; RFC 8312 §5.1",
        },
        Claim {
            name: "four-times-the-loss",
            says: "the throughput falls with the square root of the loss: half of it at four times the loss",
            source: "Mathis, Semke, Mahdavi and Ott 1997",
        },
        Claim {
            name: "repeats-what-is-lost",
            says: "with selective acknowledgments as much is repeated as was lost, and all arrives",
            source: "RFC 2018, RFC 6675",
        },
    ],
    axes: &[Axis { name: "loss", values: "0.25%,1%" }, Axis { name: "draw", values: "1,2,3" }],
    tun: &[],
    turns: &[EVERY_ACK, &["link.loss"]],
    holds: &[
        ("tcp.sack", "on"),
        ("tcp.dsack", "on"),
        ("tcp.rack", "on"),
        ("tcp.tail_loss_probe", "on"),
        ("tcp.fast_retransmit", "on"),
        ("tcp.prr", "on"),
        ("tcp.rto_min", "200ms"),
        ("tcp.rto_floor", "variation"),
        ("tcp.compressed_acks", "0"),
    ],
    plot: Plot::over("loss", "throughput", (true, true)),
    run,
};

const RTT: Duration = Duration::from_millis(100);
/// So many losses are waited for: one standard deviation of their number is a tenth of it.
const LOSSES: f64 = 100.0;
/// Standard deviations within which a number of losses, or a mean of throughputs, is as good as certain: one in 15,000 draws is outside.
const SIGMAS: f64 = 4.0;

/// From a window of W segments each loss takes half, and each round trip gives one back: between two losses 3/8 W²
/// segments, 1/p on the average, so W is √(8/3p) and three quarters of it leave in a round trip: √(3/2p). That holds for
/// losses at even distances; where they fall by chance the mean is a few per cent higher, since long distances give more
/// than short ones take. Its deviation goes with the root of the number of losses: half a window each.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut root, mut repeats, mut speeds) = (Vec::new(), Vec::new(), Vec::new());
    for loss in lab.values("loss") {
        let share = f64::from(knob::share(&loss).map_err(|e| LabError::usage(format!("loss: {e}")))?) / 1e9;
        if !(0.001..=0.02).contains(&share) {
            return Err(LabError::usage(format!("loss {loss} is out of range: 0.1% to 2%")));
        }
        let mut rates = Vec::new();
        for (draw, text) in lab.numbers("draw", 1_u64, 1000)? {
            let mut knobs = clean("10").to_vec();
            knobs.extend([("link.rtt", "100ms"), ("link.loss", loss.as_str())]);
            lab.throw(draw);
            let mut arm = lab.arm(&[("loss", &loss), ("draw", &text)], &knobs)?;
            let (near, far) = arm.pair()?;
            let segments = (LOSSES / share).round();
            let before = arm.world.link_totals(arm.server, arm.client);
            let start = arm.begin(far);
            let bytes = arm.world.transfer(far, near, &vec![b'x'; segments as usize * MSS])?.len();
            let took = arm.over(far, start).as_secs_f64();
            let after = arm.world.link_totals(arm.server, arm.client);
            let (sent, lost) = (after.packets - before.packets, after.lost - before.lost);
            let (server, mut repeated) = (arm.server, 0);
            for word in ["rto", "fast-retransmit", "sack-retransmit", "rack", "tail-loss-probe"] {
                repeated += arm.sent(server, word);
            }
            let (rate, law) = (
                segments * 8.0 * MSS as f64 / took,
                8.0 * MSS as f64 / RTT.as_secs_f64() * (1.5 / share).sqrt(),
            );
            arm.between(
                "throughput",
                Quantity::Rate(rate),
                Quantity::Rate(LOW * law),
                Quantity::Rate(HIGH * law),
            );
            arm.note("of the law", Quantity::Factor(rate / law));
            let (mean, spread) = (sent as f64 * share, SIGMAS * (sent as f64 * share * (1.0 - share)).sqrt());
            arm.between(
                "lost",
                Quantity::Count(lost),
                Quantity::Count((mean - spread) as u64),
                Quantity::Count((mean + spread).ceil() as u64),
            );
            arm.between(
                "repeated",
                Quantity::Count(repeated),
                Quantity::Count(lost),
                Quantity::Count(lost + lost / 10),
            );
            rates.push(rate);
            let at = format!("{loss}, draw {draw}");
            root.push(arm.case((LOW..=HIGH).contains(&(rate / law)), Quantity::Factor(rate / law), &*at));
            let whole = bytes == segments as usize * MSS && (lost..=lost + lost / 10).contains(&repeated);
            repeats.push(arm.case(whole, format!("{repeated} of {lost}"), at));
            lab.record(arm)?;
        }
        let mean = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
        speeds.push((share, mean, rates.len() as f64, loss));
    }
    lab.judge("square-root", "throughput of the law's", &root);
    let falls = speeds.iter().zip(speeds.iter().skip(1)).map(|(few, many)| {
        let (by, law) = (few.1 / many.1, (many.0 / few.0).sqrt());
        // What the deviation of each throughput leaves of that of their means, and of the quotient of those.
        let margin = 1.0 + SIGMAS * SPREAD * (1.0 / few.2 + 1.0 / many.2).sqrt();
        let held = (law / margin..=law * margin).contains(&by);
        Case::new(held, Quantity::Factor(by), format!("{} over {}, {law:.2}× by the law", few.3, many.3))
    });
    lab.judge("four-times-the-loss", "throughput at less loss over that at more", &falls.collect::<Vec<_>>());
    lab.judge("repeats-what-is-lost", "repeated of lost", &repeats);
    Ok(())
}

/// The deviation of a throughput, of two parts that have nothing to do with each other: the number of losses varies by a
/// tenth, and the throughput with its root, 5 %; each of 100 losses finds a window anywhere around the mean, half of it away
/// at the most, another 5 %.
const SPREAD: f64 = 0.07;
/// What the throughput may be of the law's.
const LOW: f64 = 0.7;
const HIGH: f64 = 1.4;

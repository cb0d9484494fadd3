//! How fast can a connection be whose window is small?

use super::notebook::Notebook;
use super::slow_start::clean;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "buffers",
    question: "How fast is a transfer when the receiver's buffer is smaller than what the path could hold?",
    claims: &[
        Claim {
            name: "window-over-rtt",
            says: "the throughput is the window divided by the round trip time, however fast the link is",
            source: "RFC 7323 §1, RFC 1323",
        },
        Claim {
            name: "sixty-four-kilobytes",
            says: "without window scaling a long path cannot be filled",
            source: "RFC 7323 §2",
        },
    ],
    axes: &[
        Axis { name: "buffer", values: "16KiB,64KiB,512KiB" },
        Axis { name: "rtt", values: "10ms,50ms,200ms" },
    ],
    tun: &[],
    turns: &[super::slow_start::EVERY_ACK],
    holds: &[],
    plot: Plot::over("rtt", "throughput", (true, true)),
    run,
};

/// Of windows below a segment no sender makes use at once (RFC 9293 §3.8.6.2.1).
const SMALLEST: usize = 2 << 10;
/// Windows in a transfer: slow start, which takes a few round trips, is a small part of it.
const WINDOWS: usize = 100;

/// What counts is the window that is offered, which is a part of the buffer's size: the rest is for bookkeeping, as in
/// Linux. In each round trip one window arrives. Slow start from 10 segments, and the growth of the window with the
/// segments that come, take a few of a hundred round trips, and the window moves in whole segments: at least 85 % of
/// window / RTT remain.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut limited, mut unscaled) = (Vec::new(), Vec::new());
    for (window, window_text) in lab.sizes("buffer", 8 << 20)? {
        if window < SMALLEST {
            let least = crate::knob::show_size(SMALLEST as u64);
            return Err(LabError::usage(format!("buffer {window_text} is too small here: at least {least}")));
        }
        for (rtt, rtt_text) in lab.durations("rtt")? {
            let mut scaled = (0.0, 0);
            for scaling in ["auto", "off"] {
                let mut knobs = clean("10").to_vec();
                knobs.retain(|k| k.0 != "tcp.recv_buffer" && k.0 != "tcp.window_scale");
                knobs.extend([
                    ("tcp.recv_buffer", window_text.as_str()),
                    ("tcp.window_scale", scaling),
                    ("link.rtt", &rtt_text),
                ]);
                let varied = [("buffer", window_text.as_str()), ("scaling", scaling), ("rtt", &rtt_text)];
                let mut arm = lab.arm(&varied, &knobs)?;
                let (near, far) = arm.pair()?;
                let size = window * WINDOWS / 2;
                let start = arm.begin(far);
                arm.world.transfer(far, near, &vec![b'x'; size])?;
                let rate = 8.0 * size as f64 / arm.over(far, start).as_secs_f64();
                let offered = arm.world.stack(far.host).conn(far.id).map_or(0, |conn| conn.snapshot().rwnd);
                let bound = 8.0 * f64::from(offered) / rtt.as_secs_f64();
                let band = (Quantity::Rate(0.85 * bound), Quantity::Rate(1.01 * bound));
                arm.between("throughput", Quantity::Rate(rate), band.0, band.1);
                arm.note("window", Quantity::Bytes(offered.into()));
                arm.note("window / RTT", Quantity::Rate(bound));
                arm.note("of that", Quantity::Share(rate / bound));
                let of_it = rate / bound;
                let at = format!("{window_text}, {rtt_text}");
                limited.push(arm.case((0.85..=1.01).contains(&of_it), Quantity::Share(of_it), &*at));
                match scaling {
                    "off" if scaled.1 > 65_535 => {
                        let part = rate / scaled.0;
                        unscaled.push(arm.case(part < 0.75, Quantity::Share(part), at));
                    }
                    "off" => {}
                    _ => scaled = (rate, offered),
                }
                lab.record(arm)?;
            }
        }
    }
    lab.judge("window-over-rtt", "throughput of window / RTT", &limited);
    lab.judge("sixty-four-kilobytes", "throughput without scaling of that with it", &unscaled);
    Ok(())
}

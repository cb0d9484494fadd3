//! How much may be in the network? The contract of congestion control, and its algorithms.

mod fixed;
mod newreno;

use super::{Config, Congestion};
use crate::time::{Duration, Instant};

/// An acknowledgment as congestion control sees it.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// When it came.
    pub now: Instant,
    /// Bytes acknowledged for the first time.
    pub acked: u32,
    /// Bytes in flight before it.
    pub prior_flight: u32,
    /// The round-trip time it measured, if any.
    pub rtt: Option<Duration>,
    /// Bytes per full segment.
    pub mss: u32,
}

/// What calls for a smaller window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CongestionEvent {
    /// Loss was found by duplicate or selective acknowledgments.
    Loss,
    /// The retransmission timer expired.
    Rto,
    /// The peer echoed a congestion mark (RFC 3168).
    Ecn,
}

/// Chooses the congestion window. All amounts are bytes.
///
/// It says how much may be in the network; what is lost and what is sent when is decided elsewhere.
pub trait CongestionControl: Send {
    /// `bytes` of new data left.
    fn on_sent(&mut self, now: Instant, bytes: u32) {
        let _ = (now, bytes);
    }

    /// New data was acknowledged outside fast recovery.
    fn on_ack(&mut self, sample: &AckSample);

    /// Congestion, with `flight` bytes outstanding. Called once per window of data.
    fn on_congestion(&mut self, now: Instant, event: CongestionEvent, flight: u32, mss: u32);

    /// The last event was a mistake: nothing had been lost.
    fn on_spurious(&mut self);

    /// Fast recovery is over.
    fn on_recovered(&mut self, now: Instant) {
        let _ = now;
    }

    /// The connection was idle for longer than an RTO: restart from `window` (RFC 5681 §4.1).
    fn on_idle(&mut self, window: u32);

    /// The congestion window.
    fn cwnd(&self) -> u32;

    /// The slow start threshold; `u32::MAX` at first.
    fn ssthresh(&self) -> u32;

    /// Bytes per second to space segments by, if the algorithm wants that.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }
}

/// The algorithm that `cfg` asks for, with the initial window of `segments` segments of `mss` bytes.
pub(super) fn new(cfg: &Config, segments: u32, mss: u32) -> Box<dyn CongestionControl> {
    match cfg.congestion {
        Congestion::NewReno => {
            Box::new(newreno::NewReno::new(segments.saturating_mul(mss), cfg.slow_start_limit))
        }
        Congestion::Fixed(n) => Box::new(fixed::Fixed::new(n.saturating_mul(mss))),
    }
}

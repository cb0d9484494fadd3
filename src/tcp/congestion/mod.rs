//! How much may be in the network? The contract of congestion control, and its algorithms.
//!
//! To bring one of your own, implement [`CongestionControl`] and name its constructor in
//! [`Congestion::Custom`].

mod cubic;
mod fixed;
mod newreno;
mod slow_start;
mod train;
pub(super) mod usage;

use super::config::{CubicUnits, SlowStartExit};
use super::{Config, Congestion};
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use std::fmt;

/// No window is larger than the largest window that RFC 7323 can express.
const MAX_CWND: u32 = 1 << 30;

/// What an algorithm starts with. All amounts are bytes.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The initial window; the window so far, if the connection changes its algorithm.
    pub cwnd: u32,
    /// The slow start threshold; `u32::MAX` unless the connection changes its algorithm.
    pub ssthresh: u32,
    /// Bytes per full segment.
    pub mss: u32,
    /// The settings of the stack.
    pub config: &'a Config,
}

/// An acknowledgment as congestion control sees it.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// When it came.
    pub now: Instant,
    /// Bytes acknowledged for the first time.
    pub acked: u32,
    /// What reached the peer, reported or acknowledged, each segment counted as a full one: by that the window may grow.
    pub delivered: u32,
    /// Bytes in flight before it.
    pub prior_flight: u32,
    /// The round-trip time it measured, if any.
    pub rtt: Option<Duration>,
    /// The smoothed round-trip time with it, if there is one.
    pub srtt: Option<Duration>,
    /// Bytes per full segment.
    pub mss: u32,
    /// The window was filled, so it may grow. False while the application or the peer's window is what limits.
    pub may_grow: bool,
}

/// A round trip that an acknowledgment measured.
#[derive(Clone, Copy, Debug)]
pub struct RttSample {
    /// When it came.
    pub now: Instant,
    /// The round trip of what was sent last among all that it acknowledges or reports.
    pub rtt: Duration,
    /// SND.UNA with it.
    pub una: Seq,
    /// SND.NXT.
    pub nxt: Seq,
    /// What is sent is spread over the round trip.
    pub paced: bool,
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
    /// It expired in the recovery of a window of data whose loss was told already: only `cwnd` shrinks.
    RtoAgain,
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

    /// New data leaves while nothing is in flight; the last left `idle` ago.
    fn on_start(&mut self, now: Instant, idle: Duration) {
        let _ = (now, idle);
    }

    /// A round trip was measured; in a recovery, too, and before [`on_ack`](CongestionControl::on_ack).
    fn on_rtt(&mut self, sample: &RttSample) {
        let _ = sample;
    }

    /// Data was delivered while the window is not being reduced.
    fn on_ack(&mut self, sample: &AckSample);

    /// Congestion, with `flight` bytes outstanding. Called once per window of data,
    /// [`CongestionEvent::RtoAgain`] apart.
    fn on_congestion(&mut self, now: Instant, event: CongestionEvent, flight: u32, mss: u32);

    /// The window is `cwnd` from now on: what a recovery has room for (RFC 6937), what is in flight after a time-out and a segment
    /// more, or what is used of it (RFC 7661). An algorithm that ignores this decides about these moments itself.
    fn set_cwnd(&mut self, cwnd: u32) {
        let _ = cwnd;
    }

    /// Full segments are of `to` bytes from now on, and were of `from`: whoever counts in segments, as Linux does, has as many as
    /// before.
    fn on_mss(&mut self, from: u32, to: u32) {
        let _ = (from, to);
    }

    /// The last event was a mistake: nothing had been lost.
    fn on_spurious(&mut self);

    /// Fast recovery is over.
    fn on_recovered(&mut self, now: Instant) {
        let _ = now;
    }

    /// The connection was idle for longer than an RTO, or used less than its window: restart from `window`, if that is less
    /// (RFC 5681 §4.1), with segments of `mss` bytes.
    fn on_idle(&mut self, window: u32, mss: u32);

    /// The congestion window.
    fn cwnd(&self) -> u32;

    /// The slow start threshold; `u32::MAX` at first.
    fn ssthresh(&self) -> u32;

    /// Bytes per second to space segments by, if the algorithm wants that.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }
}

/// An algorithm from outside. Two are the same if their names are.
#[derive(Clone, Copy)]
pub struct Custom {
    /// What `tcp.congestion` shows.
    pub name: &'static str,
    /// Makes the algorithm for one connection.
    pub new: fn(&Start) -> Box<dyn CongestionControl>,
}

impl PartialEq for Custom {
    fn eq(&self, other: &Custom) -> bool {
        self.name == other.name
    }
}

impl Eq for Custom {}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// As many segments of `to` bytes as `bytes` are of `from`.
pub(super) fn resized(bytes: u32, from: u32, to: u32) -> u32 {
    let sized = u64::from(bytes) * u64::from(to) / u64::from(from.max(1));
    if bytes == u32::MAX { bytes } else { sized.min(MAX_CWND.into()) as u32 }
}

/// The slow start threshold after a window of `cwnd` bytes was given up without a loss: most of the way back is slow start (RFC
/// 2861 §3.2).
fn way_back(cwnd: u32, ssthresh: u32, mss: u32) -> u32 {
    let segments = cwnd / mss;
    ssthresh.max((segments / 2 + segments / 4) * mss)
}

/// Lets `cwnd` grow by a segment of `mss` bytes for each `each` bytes of those that were `delivered`; `counted` is what is left over.
fn add(cwnd: &mut u32, counted: &mut u32, each: u32, delivered: u32, mss: u32) {
    let each = each.max(1);
    // What was counted for a larger window is good for one segment.
    if *counted >= each {
        *counted = 0;
        *cwnd = cwnd.saturating_add(mss);
    }
    *counted = counted.saturating_add(delivered);
    *cwnd = cwnd.saturating_add((*counted / each).saturating_mul(mss)).min(MAX_CWND);
    *counted %= each;
}

/// An instance of `algorithm`.
pub(super) fn new(algorithm: Congestion, start: &Start) -> Box<dyn CongestionControl> {
    let start = &Start { cwnd: start.cwnd.min(MAX_CWND), ..*start };
    match algorithm {
        Congestion::Cubic => match start.config.cubic {
            CubicUnits::Segments => Box::new(cubic::linux::Cubic::new(start)),
            CubicUnits::Bytes => Box::new(cubic::Cubic::new(start)),
        },
        Congestion::NewReno => Box::new(newreno::NewReno::new(start)),
        Congestion::Fixed(n) => Box::new(fixed::Fixed::new(n.saturating_mul(start.mss))),
        Congestion::Custom(custom) => (custom.new)(start),
    }
}

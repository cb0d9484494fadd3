//! Is it the congestion window that holds the sender back? A window that is not filled must not grow.

use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// How full the window was in the last flight.
///
/// RFC 5681 lets the window grow although the application or the peer's window keeps the sender from filling it; such
/// a window says nothing about the path (RFC 7661 §3). The rule here is Linux' and not the pipeACK of RFC 7661:
/// it needs three numbers and no timer. Once the window was full it may grow until all that was sent by then is
/// acknowledged, and slow start may double what was in flight at the most.
#[derive(Clone, Copy, Debug)]
pub(in crate::tcp) struct Usage {
    /// SND.NXT when this was noted: it holds until that is acknowledged.
    until: Seq,
    /// There was no room left for a full segment.
    full: bool,
    /// The most that was in flight, each segment counted as a full one.
    most: u32,
    /// Something left since this was noted.
    sent: bool,
    /// So much of it was used at the most, since it was last full or made smaller for want of use.
    used: u32,
    /// When something last confirmed the window.
    since: Instant,
    /// The window has paid for the present idle period.
    rested: bool,
}

impl Usage {
    pub(in crate::tcp) fn new(iss: Seq) -> Usage {
        Usage { until: iss, full: false, most: 0, sent: false, used: 0, since: Instant::ZERO, rested: false }
    }

    /// See [`CongestionControl::on_mss`](super::CongestionControl::on_mss).
    pub(in crate::tcp) fn on_mss(&mut self, from: u32, to: u32) {
        (self.most, self.used) = (super::resized(self.most, from, to), super::resized(self.used, from, to));
    }

    /// New data leaves.
    pub(in crate::tcp) fn on_sent(&mut self) {
        (self.sent, self.rested) = (true, false);
    }

    /// Whether new data has left since this was noted.
    pub(in crate::tcp) fn has_sent(&self) -> bool {
        self.sent
    }

    /// All that may be sent now has been sent, and `flight` bytes are out; `full` says that the window has no room for a full
    /// segment. True if anything was sent for it to matter.
    pub(in crate::tcp) fn note(&mut self, una: Seq, nxt: Seq, flight: u32, full: bool) -> bool {
        if !std::mem::take(&mut self.sent) && !full {
            return false;
        }
        if full || una.ge(self.until) || (!self.full && flight > self.most) {
            *self = Usage { until: nxt, full, most: flight, ..*self };
        }
        true
    }

    /// How much of a window of `cwnd` bytes was used, if that was less than all of it for a time-out (RFC 7661 §4, as Linux has
    /// it).
    pub(in crate::tcp) fn unused(&mut self, now: Instant, rto: Duration, may_grow: bool) -> Option<u32> {
        if may_grow {
            (self.used, self.since) = (0, now);
            return None;
        }
        self.used = self.used.max(self.most);
        if now.since(self.since) < rto {
            return None;
        }
        self.since = now;
        Some(std::mem::take(&mut self.used))
    }

    /// The window had its chance to grow: what it says is fresh.
    pub(in crate::tcp) fn confirm(&mut self, now: Instant) {
        self.since = now;
    }

    /// The window was set for another reason.
    pub(in crate::tcp) fn restart(&mut self, now: Instant) {
        (self.used, self.since) = (0, now);
    }

    /// The window was made smaller after an idle period.
    pub(in crate::tcp) fn rest(&mut self, now: Instant) {
        self.restart(now);
        self.rested = true;
    }

    /// Whether it was since data last left: once is enough.
    pub(in crate::tcp) fn has_rested(&self) -> bool {
        self.rested
    }

    /// Whether a window of `cwnd` bytes may grow; in slow start below `ssthresh`.
    pub(in crate::tcp) fn may_grow(&self, cwnd: u32, ssthresh: u32) -> bool {
        self.full || (cwnd < ssthresh && cwnd < self.most.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_may_grow_until_its_flight_is_acknowledged() {
        let mut usage = Usage::new(Seq(0));
        usage.on_sent();
        usage.note(Seq(0), Seq(1000), 1000, true);
        usage.on_sent();
        usage.note(Seq(500), Seq(1100), 600, false);
        assert!(usage.may_grow(1000, 100), "half of the flight is still out");
        usage.note(Seq(1000), Seq(1100), 100, false);
        assert!(usage.may_grow(1000, 100), "nothing was sent since");
        usage.on_sent();
        usage.note(Seq(1000), Seq(1100), 100, false);
        assert!(!usage.may_grow(1000, 100));
    }

    #[test]
    fn slow_start_doubles_what_was_in_flight_and_no_more() {
        let mut usage = Usage::new(Seq(0));
        for nxt in [600, 500] {
            usage.on_sent();
            usage.note(Seq(0), Seq(nxt), nxt, false);
        }
        assert!(usage.may_grow(1000, u32::MAX));
        assert!(!usage.may_grow(1200, u32::MAX));
        assert!(!usage.may_grow(1000, 1000), "congestion avoidance wants a full window");
    }
}

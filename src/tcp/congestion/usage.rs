//! Is it the congestion window that holds the sender back? A window that is not filled must not grow.

use crate::seq::Seq;

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
    /// The most bytes in flight.
    most: u32,
}

impl Usage {
    pub(in crate::tcp) fn new(iss: Seq) -> Usage {
        Usage { until: iss, full: false, most: 0 }
    }

    /// All that may be sent now has been sent; `full` says that the window has no room for a full segment.
    pub(in crate::tcp) fn note(&mut self, una: Seq, nxt: Seq, full: bool) {
        let flight = nxt.since(una);
        if full || una.ge(self.until) || (!self.full && flight > self.most) {
            *self = Usage { until: nxt, full, most: flight };
        }
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
        usage.note(Seq(0), Seq(1000), true);
        usage.note(Seq(500), Seq(1100), false);
        assert!(usage.may_grow(1000, 100), "half of the flight is still out");
        usage.note(Seq(1000), Seq(1100), false);
        assert!(!usage.may_grow(1000, 100));
    }

    #[test]
    fn slow_start_doubles_what_was_in_flight_and_no_more() {
        let mut usage = Usage::new(Seq(0));
        for nxt in [600, 500] {
            usage.note(Seq(0), Seq(nxt), false);
        }
        assert!(usage.may_grow(1000, u32::MAX));
        assert!(!usage.may_grow(1200, u32::MAX));
        assert!(!usage.may_grow(1000, 1000), "congestion avoidance wants a full window");
    }
}

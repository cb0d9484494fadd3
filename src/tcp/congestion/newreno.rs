//! Slow start and congestion avoidance as RFC 5681 has them.

use super::{AckSample, CongestionControl, CongestionEvent};
use crate::time::Instant;

/// No window is larger than the largest window that RFC 7323 can express.
const MAX: u32 = 1 << 30;

/// RFC 5681 §3.1, with byte counting in congestion avoidance (RFC 3465 §2.1).
pub(super) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes acknowledged in congestion avoidance since the window last grew.
    counted: u32,
    /// The most segments that one ACK may open the window by in slow start.
    limit: Option<u32>,
    /// `(cwnd, ssthresh)` before the last event.
    before: Option<(u32, u32)>,
}

impl NewReno {
    pub(super) fn new(cwnd: u32, limit: Option<u32>) -> NewReno {
        NewReno { cwnd: cwnd.min(MAX), ssthresh: u32::MAX, counted: 0, limit, before: None }
    }
}

impl CongestionControl for NewReno {
    fn on_ack(&mut self, sample: &AckSample) {
        let AckSample { acked, prior_flight, mss, .. } = *sample;
        if self.cwnd < self.ssthresh {
            // A window that the application does not fill says nothing about the path (RFC 7661 §4.2):
            // it may reach twice of what was in flight, no more.
            if self.cwnd < prior_flight.saturating_mul(2) {
                let allowed = self.limit.map_or(acked, |n| acked.min(n * mss));
                self.cwnd = (self.cwnd + allowed).min(self.ssthresh.max(self.cwnd + 1)).min(MAX);
            }
        } else if prior_flight + mss > self.cwnd {
            self.counted += acked;
            if self.counted >= self.cwnd {
                self.counted -= self.cwnd;
                self.cwnd = (self.cwnd + mss).min(MAX);
            }
        }
    }

    fn on_congestion(&mut self, _: Instant, event: CongestionEvent, flight: u32, mss: u32) {
        self.before = Some((self.cwnd, self.ssthresh));
        // RFC 5681 §3.1 equation (4).
        self.ssthresh = (flight / 2).max(2 * mss);
        self.cwnd = match event {
            CongestionEvent::Rto => mss,
            CongestionEvent::Loss | CongestionEvent::Ecn => self.ssthresh,
        };
        self.counted = 0;
    }

    fn on_spurious(&mut self) {
        if let Some((cwnd, ssthresh)) = self.before.take() {
            self.cwnd = self.cwnd.max(cwnd);
            self.ssthresh = ssthresh;
        }
    }

    fn on_idle(&mut self, window: u32) {
        self.cwnd = self.cwnd.min(window);
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(cc: &mut NewReno, acked: u32, prior_flight: u32) {
        cc.on_ack(&AckSample { now: Instant::ZERO, acked, prior_flight, rtt: None, mss: 100 });
    }

    #[test]
    fn slow_start_doubles_per_round_trip_and_one_segment_per_ack_when_limited() {
        let mut cc = NewReno::new(1000, None);
        (0..5).for_each(|_| ack(&mut cc, 200, 1000));
        assert_eq!(cc.cwnd(), 2000);
        let mut cc = NewReno::new(1000, Some(1));
        (0..5).for_each(|_| ack(&mut cc, 200, 1000));
        assert_eq!(cc.cwnd(), 1500);
    }

    #[test]
    fn congestion_avoidance_adds_a_segment_per_round_trip() {
        let mut cc = NewReno::new(2000, None);
        cc.on_congestion(Instant::ZERO, CongestionEvent::Loss, 2000, 100);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (1000, 1000));
        (0..10).for_each(|_| ack(&mut cc, 100, 1000));
        assert_eq!(cc.cwnd(), 1100);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut cc = NewReno::new(10_000, None);
        (0..50).for_each(|_| ack(&mut cc, 100, 100));
        assert_eq!(cc.cwnd(), 10_000);
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_a_mistake_is_undone() {
        let mut cc = NewReno::new(10_000, None);
        cc.on_congestion(Instant::ZERO, CongestionEvent::Rto, 10_000, 100);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (100, 5000));
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (10_000, u32::MAX));
    }
}

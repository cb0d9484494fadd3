//! Slow start and congestion avoidance as RFC 5681 has them.

use super::slow_start::SlowStart;
use super::{AckSample, CongestionControl, CongestionEvent, MAX_CWND, Start};
use crate::time::Instant;

/// RFC 5681 §3.1 (RFC 9293 §3.8.2, MUST-19), with byte counting in congestion avoidance (RFC 3465 §2.1).
pub(super) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes acknowledged in congestion avoidance since the window last grew.
    counted: u32,
    /// A mark takes less than a loss (RFC 8511).
    abe: bool,
    slow_start: SlowStart,
    /// `cwnd`, `ssthresh` and slow start before the last event.
    before: Option<(u32, u32, SlowStart)>,
}

impl NewReno {
    pub(super) fn new(start: &Start) -> NewReno {
        let slow_start = SlowStart::new(start);
        let abe = start.config.abe;
        NewReno { cwnd: start.cwnd, ssthresh: start.ssthresh, counted: 0, abe, slow_start, before: None }
    }
}

impl CongestionControl for NewReno {
    fn on_ack(&mut self, sample: &AckSample) {
        if self.cwnd < self.ssthresh {
            self.slow_start.on_ack(sample, &mut self.cwnd, &mut self.ssthresh);
        } else if sample.may_grow {
            // No more than a segment per window: one ACK may cover far more than that after a time-out.
            self.counted += sample.acked.min(self.cwnd);
            if self.counted >= self.cwnd {
                self.counted -= self.cwnd;
                self.cwnd = (self.cwnd + sample.mss).min(MAX_CWND);
            }
        }
    }

    fn on_congestion(&mut self, _: Instant, event: CongestionEvent, flight: u32, mss: u32) {
        if event == CongestionEvent::RtoAgain {
            (self.cwnd, self.counted) = (mss, 0);
            return;
        }
        self.before = Some((self.cwnd, self.ssthresh, self.slow_start));
        // RFC 5681 §3.1 equation (4), without what limited transmit has added (§3.2 step 2).
        let flight = flight.min(self.cwnd);
        let left = match event {
            // RFC 8511 §3.
            CongestionEvent::Ecn if self.abe => flight / 5 * 4,
            _ => flight / 2,
        };
        self.ssthresh = left.max(2 * mss);
        self.cwnd = match event {
            CongestionEvent::Rto => mss,
            _ => self.ssthresh,
        };
        self.counted = 0;
        self.slow_start.leave();
    }

    fn on_spurious(&mut self) {
        if let Some((cwnd, ssthresh, slow_start)) = self.before.take() {
            self.cwnd = self.cwnd.max(cwnd);
            (self.ssthresh, self.slow_start) = (ssthresh, slow_start);
        }
    }

    fn on_idle(&mut self, window: u32) {
        if window < self.cwnd {
            // Most of the way back is slow start (RFC 2861 §3.2).
            self.ssthresh = self.ssthresh.max((u64::from(self.cwnd) * 3 / 4) as u32);
            self.cwnd = window;
        }
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
    use crate::tcp::Config;

    fn reno(cwnd: u32, limit: Option<u32>) -> NewReno {
        let config = Config { slow_start_limit: limit, ..Config::rfc() };
        NewReno::new(&Start { cwnd, ssthresh: u32::MAX, mss: 100, config: &config })
    }

    fn ack(cc: &mut NewReno, acked: u32, may_grow: bool) {
        let (now, prior_flight) = (Instant::ZERO, cc.cwnd());
        cc.on_ack(&AckSample { now, acked, prior_flight, rtt: None, srtt: None, mss: 100, may_grow });
    }

    #[test]
    fn slow_start_doubles_per_round_trip_and_one_segment_per_ack_when_limited() {
        let mut cc = reno(1000, None);
        (0..5).for_each(|_| ack(&mut cc, 200, true));
        assert_eq!(cc.cwnd(), 2000);
        let mut cc = reno(1000, Some(1));
        (0..5).for_each(|_| ack(&mut cc, 200, true));
        assert_eq!(cc.cwnd(), 1500);
    }

    #[test]
    fn congestion_avoidance_adds_a_segment_per_round_trip() {
        let mut cc = reno(2000, None);
        cc.on_congestion(Instant::ZERO, CongestionEvent::Loss, 2000, 100);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (1000, 1000));
        (0..10).for_each(|_| ack(&mut cc, 100, true));
        assert_eq!(cc.cwnd(), 1100);
    }

    #[test]
    fn one_acknowledgment_of_many_windows_counts_as_one() {
        let mut cc = reno(2000, None);
        cc.on_congestion(Instant::ZERO, CongestionEvent::Loss, 2000, 100);
        ack(&mut cc, 1_000_000, true);
        assert_eq!(cc.cwnd(), 1100);
        ack(&mut cc, 100, true);
        assert_eq!(cc.cwnd(), 1100);
    }

    #[test]
    fn a_mark_takes_a_fifth_with_abe_and_half_without() {
        for (abe, left) in [(true, 1600), (false, 1000)] {
            let config = Config { abe, ..Config::rfc() };
            let mut cc = NewReno::new(&Start { cwnd: 2000, ssthresh: u32::MAX, mss: 100, config: &config });
            cc.on_congestion(Instant::ZERO, CongestionEvent::Ecn, 2000, 100);
            assert_eq!((cc.cwnd(), cc.ssthresh()), (left, left));
            cc.on_congestion(Instant::ZERO, CongestionEvent::Loss, left, 100);
            assert_eq!(cc.cwnd(), left / 2, "a loss is a loss");
        }
    }

    #[test]
    fn what_limited_transmit_sent_does_not_count_as_flight() {
        let mut cc = reno(2000, None);
        cc.on_congestion(Instant::ZERO, CongestionEvent::Loss, 2300, 100);
        assert_eq!(cc.cwnd(), 1000);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut cc = reno(10_000, None);
        (0..50).for_each(|_| ack(&mut cc, 100, false));
        assert_eq!(cc.cwnd(), 10_000);
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_a_mistake_is_undone() {
        let mut cc = reno(10_000, None);
        cc.on_congestion(Instant::ZERO, CongestionEvent::Rto, 10_000, 100);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (100, 5000));
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (10_000, u32::MAX));
    }
}

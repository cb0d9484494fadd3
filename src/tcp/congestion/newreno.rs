//! Slow start and congestion avoidance as RFC 5681 has them.

use super::slow_start::SlowStart;
use super::{AckSample, Config, CongestionControl, CongestionEvent, MAX_CWND, Start, add, resized, way_back};
use crate::time::Instant;

/// RFC 5681 §3.1 (RFC 9293 §3.8.2, MUST-19), with byte counting in congestion avoidance (RFC 3465 §2.1).
pub(super) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes acknowledged in congestion avoidance since the window last grew.
    counted: u32,
    /// A mark takes less than a loss (RFC 8511).
    abe: bool,
    /// What is in flight is halved, and not the window.
    halve_flight: bool,
    slow_start: SlowStart,
    /// `cwnd` and slow start before the last event, and the threshold that suits them.
    before: Option<(u32, u32, SlowStart)>,
}

impl NewReno {
    pub(super) fn new(start: &Start) -> NewReno {
        let slow_start = SlowStart::new(start);
        let Config { abe, halve_flight, .. } = *start.config;
        let Start { cwnd, ssthresh, .. } = *start;
        NewReno { cwnd, ssthresh, counted: 0, abe, halve_flight, slow_start, before: None }
    }
}

impl CongestionControl for NewReno {
    fn on_ack(&mut self, sample: &AckSample) {
        let mut left = sample.delivered;
        if self.cwnd < self.ssthresh {
            left = self.slow_start.on_ack(sample, &mut self.cwnd, &mut self.ssthresh);
        }
        if left == 0 || !sample.may_grow {
            return;
        }
        let window = self.cwnd;
        add(&mut self.cwnd, &mut self.counted, window, left, sample.mss);
    }

    fn on_congestion(&mut self, _: Instant, event: CongestionEvent, flight: u32, mss: u32) {
        if event == CongestionEvent::RtoAgain {
            (self.cwnd, self.counted) = (mss, 0);
            return;
        }
        let back = way_back(self.cwnd, self.ssthresh, mss);
        self.before = Some((self.cwnd, back, self.slow_start.clone()));
        // RFC 5681 §3.1 equation (4), or the window itself: it grows only while it is filled.
        let used = if self.halve_flight { flight.min(self.cwnd) } else { self.cwnd };
        let left = match event {
            // RFC 8511 §3.
            CongestionEvent::Ecn if self.abe => used / 5 * 4,
            _ => used / 2,
        };
        self.ssthresh = (left / mss).max(2) * mss;
        self.cwnd = match event {
            CongestionEvent::Rto => mss,
            _ => self.ssthresh,
        };
        self.counted = 0;
        self.slow_start.leave();
    }

    fn set_cwnd(&mut self, cwnd: u32) {
        self.cwnd = cwnd.min(MAX_CWND);
    }

    fn on_mss(&mut self, from: u32, to: u32) {
        for bytes in [&mut self.cwnd, &mut self.ssthresh, &mut self.counted] {
            *bytes = resized(*bytes, from, to);
        }
    }

    fn on_spurious(&mut self) {
        if let Some((cwnd, ssthresh, slow_start)) = self.before.take() {
            self.cwnd = self.cwnd.max(cwnd);
            (self.ssthresh, self.slow_start) = (self.ssthresh.max(ssthresh), slow_start);
        }
    }

    fn on_idle(&mut self, window: u32, mss: u32) {
        self.ssthresh = way_back(self.cwnd, self.ssthresh, mss);
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
    use crate::tcp::Config;

    fn reno(cwnd: u32, limit: Option<u32>) -> NewReno {
        let config = Config { slow_start_limit: limit, ..Config::rfc() };
        NewReno::new(&Start { cwnd, ssthresh: u32::MAX, mss: 100, config: &config })
    }

    fn ack(cc: &mut NewReno, acked: u32, may_grow: bool) {
        let (now, prior_flight) = (Instant::ZERO, cc.cwnd());
        let delivered = acked;
        cc.on_ack(&AckSample {
            now,
            acked,
            delivered,
            prior_flight,
            rtt: None,
            srtt: None,
            mss: 100,
            may_grow,
        });
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
    fn one_acknowledgment_of_many_windows_counts_as_so_many() {
        let mut cc = reno(2000, None);
        cc.on_congestion(Instant::ZERO, CongestionEvent::Loss, 2000, 100);
        ack(&mut cc, 3_500, true);
        assert_eq!(cc.cwnd(), 1300);
        ack(&mut cc, 800, true);
        assert_eq!(cc.cwnd(), 1400);
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

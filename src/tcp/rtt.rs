//! How long is the round trip, and how long to wait before sending again? RFC 6298.

use super::Config;
use super::config::RtoFloor;
use crate::time::Duration;

/// The clock granularity G of RFC 6298 §2, §4.
const GRANULARITY: Duration = Duration::from_millis(1);

/// Smoothed round-trip time, its variation, and the time-out made of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtt {
    srtt: Option<Duration>,
    rttvar: Duration,
    base: Duration,
    max: Duration,
    /// How often the time-out was doubled since the last valid sample.
    backoff: u8,
}

impl Rtt {
    pub(super) fn new(cfg: &Config) -> Rtt {
        Rtt { srtt: None, rttvar: Duration::ZERO, base: cfg.rto_initial, max: cfg.rto_max, backoff: 0 }
    }

    pub(super) fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    /// A measurement that is surely of one transmission (Karn: RFC 6298 §3; RFC 9293 §3.8.1, MUST-18).
    pub(super) fn sample(&mut self, cfg: &Config, r: Duration) {
        // RFC 6298 §2.2, §2.3, §2.4.
        match self.srtt {
            None => {
                self.srtt = Some(r);
                self.rttvar = r / 2;
            }
            Some(srtt) => {
                self.rttvar = self.rttvar * 3 / 4 + srtt.abs_diff(r) / 4;
                self.srtt = Some(srtt * 7 / 8 + r / 8);
            }
        }
        let srtt = self.srtt.unwrap_or(r);
        let variation = (self.rttvar * 4).max(GRANULARITY);
        self.base = match cfg.rto_floor {
            RtoFloor::Total => (srtt + variation).max(cfg.rto_min),
            RtoFloor::Variation => srtt + variation.max(cfg.rto_min),
        };
        self.backoff = 0;
    }

    /// The retransmission time-out as it stands, never above the limit (RFC 6298 §2.5).
    pub(super) fn rto(&self) -> Duration {
        self.base.saturating_mul(1 << self.backoff.min(20)).min(self.max)
    }

    /// The timer expired (RFC 6298 §5.5; RFC 9293 §3.8.2, MUST-19).
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The SYN had to be repeated, so nothing was measured: RFC 6298 §5.7.
    pub(super) fn fall_back(&mut self) {
        if self.srtt.is_none() {
            self.base = self.base.max(Duration::from_secs(3));
            self.backoff = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_sample_sets_both_and_later_ones_are_smoothed() {
        let cfg = Config { rto_min: MS, ..Config::rfc() };
        let mut rtt = Rtt::new(&cfg);
        assert_eq!(rtt.rto(), Duration::from_secs(1));
        rtt.sample(&cfg, 100 * MS);
        assert_eq!((rtt.srtt, rtt.rto()), (Some(100 * MS), 300 * MS));
        rtt.sample(&cfg, 200 * MS);
        assert_eq!(rtt.srtt, Some(Duration::from_micros(112_500)));
        assert_eq!(rtt.rttvar, Duration::from_micros(62_500));
    }

    #[test]
    fn the_floor_is_under_the_sum_or_under_the_variation() {
        for (cfg, rto) in [(Config::rfc(), 1000), (Config::linux(), 210)] {
            let mut rtt = Rtt::new(&cfg);
            (0..50).for_each(|_| rtt.sample(&cfg, 10 * MS));
            assert_eq!(rtt.rto(), rto * MS);
        }
    }

    #[test]
    fn back_off_doubles_up_to_the_limit_and_a_sample_ends_it() {
        let cfg = Config::linux();
        let mut rtt = Rtt::new(&cfg);
        rtt.sample(&cfg, 100 * MS);
        let seen: Vec<_> = (0..12)
            .map(|_| {
                rtt.back_off();
                rtt.rto().as_millis()
            })
            .collect();
        assert_eq!(seen[..4], [600, 1200, 2400, 4800]);
        assert_eq!(seen[11], 120_000);
        rtt.sample(&cfg, 100 * MS);
        assert!(rtt.rto() < 400 * MS);
    }
}

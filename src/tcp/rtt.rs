//! How long is the round trip, and how long to wait before sending again? RFC 6298.

use super::Config;
use super::config::RtoFloor;
use crate::seq::Seq;
use crate::time::Duration;

/// The clock granularity G of RFC 6298 §2, §4, µs.
const GRANULARITY: u32 = 1000;

/// What is waited after a SYN that was lost, µs (RFC 6298 §5.7).
const FALL_BACK: u32 = 3_000_000;

/// Smoothed round-trip time, its variation, and the time-out made of them.
///
/// In microseconds, and times as many as RFC 6298 divides by, so that nothing is lost by rounding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtt {
    /// Eight times SRTT; 0 before the first sample.
    srtt8: u32,
    /// Four times RTTVAR.
    var4: u32,
    /// The largest `var4` of this round trip, and of the last ones, which the time-out allows for: a single round trip
    /// with many samples would make RTTVAR forget what the one before was like. As on Linux.
    top: u32,
    allowed: u32,
    /// SND.NXT when this round trip began.
    round: Seq,
    base: u32,
    max: u32,
    /// How often the time-out was doubled since the last valid sample.
    backoff: u8,
}

fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}

impl Rtt {
    pub(super) fn new(cfg: &Config) -> Rtt {
        let base = micros(cfg.rto_initial);
        Rtt {
            srtt8: 0,
            var4: base,
            top: base,
            allowed: base,
            round: Seq(0),
            base,
            max: micros(cfg.rto_max),
            backoff: 0,
        }
    }

    pub(super) fn srtt(&self) -> Option<Duration> {
        (self.srtt8 > 0).then(|| Duration::from_nanos(u64::from(self.srtt8) * 125))
    }

    /// RTTVAR; a quarter of the initial time-out before the first sample, as on Linux.
    pub(super) fn rttvar(&self) -> Duration {
        Duration::from_nanos(u64::from(self.var4) * 250)
    }

    /// How often the time-out was doubled since the last valid sample.
    pub(super) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// A measurement that is surely of one transmission (Karn: RFC 6298 §3; RFC 9293 §3.8.1, MUST-18); `una` and `nxt` are
    /// SND.UNA and SND.NXT with it.
    pub(super) fn sample(&mut self, cfg: &Config, r: Duration, una: Seq, nxt: Seq) {
        let total = cfg.rto_floor == RtoFloor::Total;
        let least = micros(cfg.rto_min).min(u32::MAX / 4);
        // Eight times it has to fit.
        let r = micros(r).clamp(1, u32::MAX / 16);
        // RFC 6298 §2.2, §2.3.
        if self.srtt8 == 0 {
            (self.srtt8, self.var4) = (r * 8, r * 2);
            self.allowed = self.var4.max(least);
            (self.top, self.round) = (self.allowed, nxt);
        } else {
            let srtt = self.srtt8 / 8;
            let (deviation, mean) = (srtt.abs_diff(r), self.var4 / 4);
            self.srtt8 = self.srtt8 - srtt + r;
            self.var4 = if deviation > mean {
                // A round trip that becomes shorter all at once must not make the time-out longer. As on Linux.
                let gain = if r < srtt && !total { 8 } else { 1 };
                self.var4 + (deviation - mean) / gain
            } else {
                self.var4 - (mean - deviation)
            };
            self.top = self.top.max(self.var4);
            self.allowed = self.allowed.max(self.top);
            if una.gt(self.round) {
                self.allowed -= self.allowed.saturating_sub(self.top) / 4;
                (self.top, self.round) = (least, nxt);
            }
        }
        // RFC 6298 §2.4.
        let srtt = self.srtt8 / 8;
        self.base = match cfg.rto_floor {
            RtoFloor::Total => (srtt + self.var4.max(GRANULARITY)).max(least),
            RtoFloor::Variation => (srtt + self.allowed).next_multiple_of(GRANULARITY),
        };
        self.backoff = 0;
    }

    /// The retransmission time-out as it stands, never above the limit (RFC 6298 §2.5).
    pub(super) fn rto(&self) -> Duration {
        let doubled = u64::from(self.base) << self.backoff.min(20);
        Duration::from_micros(doubled.min(u64::from(self.max)))
    }

    /// The timer expired (RFC 6298 §5.5; RFC 9293 §3.8.2, MUST-19).
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// The next time-out is not doubled.
    pub(super) fn calm(&mut self) {
        self.backoff = 0;
    }

    /// The last doubling was a mistake; false if there was none.
    pub(super) fn take_back(&mut self) -> bool {
        let doubled = self.backoff > 0;
        self.backoff = self.backoff.saturating_sub(1);
        doubled
    }

    /// The limit has changed.
    pub(super) fn limit(&mut self, cfg: &Config) {
        self.max = micros(cfg.rto_max);
    }

    /// The SYN had to be repeated, so nothing was measured: RFC 6298 §5.7.
    pub(super) fn fall_back(&mut self) {
        if self.srtt8 == 0 {
            // The doublings stand until something is measured, though they do not count any more.
            self.base = self.base.max(FALL_BACK) >> self.backoff.min(6);
            (self.var4, self.top, self.allowed) = (FALL_BACK, FALL_BACK, FALL_BACK);
            self.backoff = self.backoff.min(6);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Samples of so many milliseconds, one a round trip.
    fn rounds(cfg: &Config, samples: &[u32]) -> Rtt {
        let mut rtt = Rtt::new(cfg);
        for (n, &ms) in samples.iter().enumerate() {
            rtt.sample(cfg, ms * MS, Seq(n as u32 + 1), Seq(n as u32 + 1));
        }
        rtt
    }

    #[test]
    fn the_first_sample_sets_both_and_later_ones_are_smoothed() {
        let cfg = Config { rto_min: MS, ..Config::rfc() };
        assert_eq!(Rtt::new(&cfg).rto(), Duration::from_secs(1));
        let rtt = rounds(&cfg, &[100]);
        assert_eq!((rtt.srtt(), rtt.rto()), (Some(100 * MS), 300 * MS));
        let rtt = rounds(&cfg, &[100, 200]);
        assert_eq!(rtt.srtt(), Some(Duration::from_micros(112_500)));
        assert_eq!(rtt.rttvar(), Duration::from_micros(62_500));
    }

    #[test]
    fn the_floor_is_under_the_sum_or_under_the_variation() {
        for (cfg, rto) in [(Config::rfc(), 1000), (Config::linux(), 210)] {
            assert_eq!(rounds(&cfg, &[10; 50]).rto(), rto * MS);
        }
    }

    #[test]
    fn the_time_out_allows_for_the_worst_of_recent_round_trips() {
        let cfg = Config::linux();
        let mut rtt = rounds(&cfg, &[100, 700]);
        let variation = rtt.rttvar() * 4;
        assert_eq!(variation, 750 * MS);
        // Many samples of one round trip: the variation shrinks, the time-out only with the mean.
        (0..20).for_each(|_| rtt.sample(&cfg, 100 * MS, Seq(2), Seq(9)));
        assert!(rtt.rttvar() * 4 < variation / 4);
        assert!(rtt.rto() >= variation + 100 * MS);
        // A round trip that gets shorter by much counts for an eighth.
        let shorter = rounds(&cfg, &[800, 100]).rttvar();
        assert_eq!(shorter, rounds(&Config::rfc(), &[800, 100]).rttvar() - Duration::from_micros(65_625));
    }

    #[test]
    fn back_off_doubles_up_to_the_limit_and_a_sample_ends_it() {
        let cfg = Config::linux();
        let mut rtt = rounds(&cfg, &[100]);
        let seen: Vec<_> = (0..12)
            .map(|_| {
                rtt.back_off();
                rtt.rto().as_millis()
            })
            .collect();
        assert_eq!(seen[..4], [600, 1200, 2400, 4800]);
        assert_eq!(seen[11], 120_000);
        rtt.sample(&cfg, 100 * MS, Seq(2), Seq(2));
        assert!(rtt.rto() < 400 * MS);
    }

    #[test]
    fn no_sample_is_too_short_or_too_long() {
        for cfg in [Config::linux(), Config::rfc()] {
            let mut rtt = Rtt::new(&cfg);
            for d in [Duration::ZERO, Duration::MAX, Duration::ZERO, Duration::MAX, Duration::MAX] {
                rtt.sample(&cfg, d, Seq(0), Seq(0));
                assert!(rtt.srtt().is_some() && rtt.rto() >= cfg.rto_min && rtt.rto() <= cfg.rto_max);
            }
        }
    }
}

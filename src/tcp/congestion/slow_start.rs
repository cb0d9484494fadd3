//! How fast does the window open at first, and when is that enough? RFC 5681 §3.1, and HyStart++ (RFC 9406).

use super::train::Train;
use super::{AckSample, MAX_CWND, RttSample, SlowStartExit, Start};
use crate::time::{Duration, Span};

// RFC 9406 §4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

/// Slow start, the same for all algorithms.
#[derive(Clone, Debug)]
pub(super) struct SlowStart {
    /// The most segments that one ACK may open the window by (L in RFC 9406, RFC 3465 §2.2); 0 if there is no such limit.
    limit: u32,
    watch: Watch,
}

/// What would end it before a loss does.
#[derive(Clone, Debug)]
enum Watch {
    None,
    /// Only the first slow start is watched (RFC 9406 §4.3).
    PlusPlus(Box<HyStart>),
    /// From the first measurement on.
    Linux(Option<Train>),
}

/// The round trips of slow start: when the shortest of one round is clearly longer than that of the round before, a
/// queue is building up.
#[derive(Clone, Copy, Debug)]
struct HyStart {
    /// Bytes to be acknowledged until the round is over; 0 before the first.
    round: u32,
    /// [`Span::MAX`] stands for none, here and below.
    last_min: Span,
    current_min: Span,
    samples: u8,
    /// In conservative slow start: the shortest round trip when it began, and the rounds since.
    baseline: Span,
    rounds: u8,
}

impl SlowStart {
    pub(super) fn new(start: &Start) -> SlowStart {
        let watched = start.config.hystart == SlowStartExit::PlusPlus && start.ssthresh == u32::MAX;
        let hystart = HyStart {
            round: 0,
            last_min: Span::MAX,
            current_min: Span::MAX,
            samples: 0,
            baseline: Span::MAX,
            rounds: 0,
        };
        let watch = if watched { Watch::PlusPlus(Box::new(hystart)) } else { Watch::None };
        SlowStart { limit: start.config.slow_start_limit.unwrap_or(0), watch }
    }

    /// The same for CUBIC, which has HyStart on Linux.
    pub(super) fn of_cubic(start: &Start) -> SlowStart {
        match start.config.hystart {
            SlowStartExit::Linux => SlowStart { watch: Watch::Linux(None), ..SlowStart::new(start) },
            _ => SlowStart::new(start),
        }
    }

    /// The first slow start is over.
    pub(super) fn leave(&mut self) {
        if matches!(self.watch, Watch::PlusPlus(_)) {
            self.watch = Watch::None;
        }
    }

    /// A time-out: there is another slow start.
    pub(super) fn begin_anew(&mut self) {
        if let Watch::Linux(train) = &mut self.watch {
            *train = None;
        }
    }

    /// A round trip was measured while `cwnd` is below `ssthresh`, which comes down to it if this was enough for HyStart. `least` is
    /// the shortest round trip ever.
    pub(super) fn on_rtt(&mut self, sample: &RttSample, least: Duration, cwnd: u32, ssthresh: &mut u32) {
        if let Watch::Linux(train) = &mut self.watch
            && train.get_or_insert_with(|| Train::new(sample)).is_enough(sample, least, cwnd)
        {
            *ssthresh = cwnd;
        }
    }

    /// Opens `cwnd`, which is below `ssthresh`, and lowers `ssthresh` to it if this was enough. Returns what is left of the delivered
    /// bytes for congestion avoidance.
    pub(super) fn on_ack(&mut self, sample: &AckSample, cwnd: &mut u32, ssthresh: &mut u32) -> u32 {
        let divisor = match &self.watch {
            Watch::PlusPlus(watch) if watch.baseline < Span::MAX => CSS_GROWTH_DIVISOR,
            _ => 1,
        };
        let mut left = 0;
        if sample.may_grow {
            let most = if self.limit == 0 { u32::MAX } else { self.limit.saturating_mul(sample.mss) };
            let allowed = sample.delivered.min(most) / divisor;
            let from = std::mem::replace(cwnd, cwnd.saturating_add(allowed).min(*ssthresh).min(MAX_CWND));
            left = allowed - (*cwnd - from);
        }
        if let Watch::PlusPlus(watch) = &mut self.watch
            && watch.on_ack(sample)
        {
            self.leave();
            *ssthresh = *cwnd;
        }
        left
    }
}

impl HyStart {
    /// RFC 9406 §4.2; true when slow start is to end.
    fn on_ack(&mut self, sample: &AckSample) -> bool {
        if self.round == 0 {
            self.round = sample.prior_flight;
        }
        if let Some(rtt) = sample.rtt {
            self.current_min = self.current_min.min(rtt.into());
            self.samples = self.samples.saturating_add(1);
        }
        if self.samples >= N_RTT_SAMPLE {
            let conservative = self.baseline < Span::MAX;
            if conservative && self.current_min < self.baseline {
                // The queue was a passing one: slow start goes on.
                self.baseline = Span::MAX;
            } else if !conservative && self.last_min < Span::MAX {
                let last = Duration::from(self.last_min);
                if Duration::from(self.current_min) >= last + threshold(last) {
                    (self.baseline, self.rounds) = (self.current_min, 0);
                }
            }
        }
        self.round = self.round.saturating_sub(sample.acked);
        if self.round > 0 {
            return false;
        }
        // The next round ends with the acknowledgment of what is in flight now.
        self.round = sample.prior_flight.saturating_sub(sample.acked);
        self.last_min = std::mem::replace(&mut self.current_min, Span::MAX);
        self.samples = 0;
        if self.baseline == Span::MAX {
            return false;
        }
        self.rounds += 1;
        self.rounds >= CSS_ROUNDS
    }
}

/// How much longer than `last` a round trip must be to tell of a queue.
fn threshold(last: Duration) -> Duration {
    (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::Config;
    use crate::time::Instant;

    const MSS: u32 = 100;

    /// Slow start over rounds of 10 segments with an ACK for each.
    struct Path {
        slow_start: SlowStart,
        cwnd: u32,
        ssthresh: u32,
    }

    impl Path {
        fn new(hystart: bool, limit: Option<u32>) -> Path {
            let hystart = if hystart { SlowStartExit::PlusPlus } else { SlowStartExit::Loss };
            let config = Config { hystart, slow_start_limit: limit, ..Config::linux() };
            let start = Start { cwnd: 1000, ssthresh: u32::MAX, mss: MSS, config: &config };
            Path { slow_start: SlowStart::new(&start), cwnd: 1000, ssthresh: u32::MAX }
        }

        /// One round of ten segments, whose round trips last `rtt` ms; true if it was the last.
        fn round(&mut self, rtt: u64) -> bool {
            (1..=10).fold(false, |over, nth| over | self.ack(rtt, MSS, nth == 10))
        }

        /// Ten segments are in flight behind the last ACK of a round.
        fn ack(&mut self, rtt: u64, acked: u32, last: bool) -> bool {
            let sample = AckSample {
                now: Instant::ZERO,
                acked,
                delivered: acked,
                prior_flight: 10 * MSS + if last { acked } else { 0 },
                rtt: Some(Duration::from_millis(rtt)),
                srtt: None,
                mss: MSS,
                may_grow: true,
            };
            let before = self.ssthresh;
            self.slow_start.on_ack(&sample, &mut self.cwnd, &mut self.ssthresh);
            self.ssthresh != before
        }
    }

    #[test]
    fn an_ack_opens_the_window_by_what_it_acknowledges_or_by_the_limit() {
        for (acked, limit, cwnd) in [(300, None, 1300), (300, Some(2), 1200), (100, Some(2), 1100)] {
            let mut path = Path::new(false, limit);
            path.ack(80, acked, false);
            assert_eq!(path.cwnd, cwnd);
        }
    }

    #[test]
    fn the_threshold_is_an_eighth_of_the_round_trip_within_4_to_16_ms() {
        for (rtt, more) in [(1, 4), (32, 4), (80, 10), (128, 16), (500, 16)] {
            assert_eq!(threshold(Duration::from_millis(rtt)), Duration::from_millis(more));
        }
    }

    #[test]
    fn five_rounds_after_the_round_trips_have_grown_slow_start_is_over() {
        let mut path = Path::new(true, None);
        assert!(!path.round(80) && !path.round(80));
        let before = path.cwnd;
        assert!(!path.round(89), "9 ms more are not enough for 80");
        assert_eq!(path.cwnd, before + 1000);
        assert!(!path.round(101), "12 ms more are enough for 89, and this is the first of five rounds");
        let entered = path.cwnd;
        assert_eq!((2..10).find(|_| path.round(101)), Some(5));
        assert_eq!(path.cwnd, entered + 4 * 1000 / 4, "a quarter of the growth");
        assert_eq!(path.ssthresh, path.cwnd);
    }

    #[test]
    fn shorter_round_trips_resume_slow_start() {
        let mut path = Path::new(true, None);
        for rtt in [80, 80, 95, 95] {
            assert!(!path.round(rtt));
        }
        let slow = path.cwnd;
        assert!(!path.round(80));
        assert_eq!(path.cwnd, slow + 8 * MSS / 4 + 2 * MSS, "the eighth sample decides");
        assert!((0..20).all(|_| !path.round(80)), "no queue any more");
        assert_eq!(path.cwnd, slow + 400 + 20 * 1000);
        assert_eq!(path.ssthresh, u32::MAX);
    }

    #[test]
    fn fewer_than_eight_samples_say_nothing() {
        let mut path = Path::new(true, None);
        assert!(!path.round(80));
        for _ in 0..20 {
            // Five ACKs for two segments each.
            assert!((1..=5).all(|nth| !path.ack(300, 2 * MSS, nth == 5)));
        }
        assert_eq!(path.cwnd, 2000 + 20 * 1000);
    }

    #[test]
    fn switched_off_or_after_a_loss_nothing_is_watched() {
        let mut off = Path::new(false, None);
        let mut left = Path::new(true, None);
        left.slow_start.leave();
        for path in [&mut off, &mut left] {
            assert!((0..50).all(|n| !path.round(50 + 20 * n)));
            assert_eq!(path.cwnd, 1000 + 50 * 1000);
        }
    }
}

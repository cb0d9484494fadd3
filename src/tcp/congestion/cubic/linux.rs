//! How does CUBIC reckon in Linux? RFC 9438 in whole segments and milliseconds, which shows in small windows.

use super::super::slow_start::SlowStart;
use super::super::{
    AckSample, CongestionControl, CongestionEvent, MAX_CWND, RttSample, Start, add, resized, way_back,
};
use super::cube_root;
use crate::time::{Duration, Instant};

/// β and C of RFC 9438 §4.6 and §5, in 1024ths.
const BETA: u64 = 717;
const C: u64 = 410;
const ONE: u64 = 1024;

/// After a mark with RFC 8511 §3.
const BETA_ECN: u64 = 870;

/// A segment for so many eighths of the window that are delivered: Reno's growth after losing as little, 3 (1-β) / (1+β) a round trip
/// (RFC 9438 §4.3).
const RENO_EIGHTHS: u64 = 15;

/// The time of the cubic function has 1024 units a second.
const UNITS: u64 = 1024;

/// Round trips so soon after a stage began say nothing of the path alone.
const SETTLING: u32 = 1000;

/// What was found out for a window is good for so many milliseconds while the window stays.
const STEP: u32 = 31;

/// While no loss has told how much there is room for, the window grows by a twentieth a round trip at the least.
const UNKNOWN: u64 = 20;

/// What a segment more takes where the function has no need of one: a hundred windows.
const RARELY: u64 = 100;

/// CUBIC.
pub(in crate::tcp::congestion) struct Cubic {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes delivered since the window last grew.
    counted: u32,
    /// The shortest round trip, µs; 0 before the first.
    shortest: u32,
    slow_start: SlowStart,
    fast_convergence: bool,
    /// A mark takes less than a loss (RFC 8511).
    abe: bool,
    /// Many connections never have any.
    curve: Option<Box<Curve>>,
}

/// Where on the cubic function the window is. Segments and milliseconds, which wrap.
#[derive(Clone, Copy, Default, Debug)]
struct Curve {
    /// W_max; 0 if that is not known.
    w_max: u64,
    /// When the stage began.
    epoch: Option<u32>,
    /// Where the function levels off, and after how many units of its time (K).
    origin: u64,
    k: u64,
    /// So many segments have to be delivered for the window to grow by one.
    each: u64,
    /// Of which window that was found out, and when.
    of: u64,
    at: u32,
    /// Segments delivered since Reno's window last grew, and that window (W_est).
    acked: u64,
    reno: u64,
    /// The window in bytes before the last event, and the threshold that suits it.
    before: Option<(u32, u32)>,
}

fn millis(now: Instant) -> u32 {
    now.as_millis() as u32
}

impl Curve {
    /// `acked` segments were delivered with a window of `cwnd` segments; `shortest` is the shortest round trip, ms.
    fn on_ack(&mut self, now: u32, cwnd: u64, acked: u64, shortest: u64) {
        self.acked = self.acked.saturating_add(acked);
        let ago = now.wrapping_sub(self.at);
        if self.of == cwnd && ago <= STEP {
            return;
        }
        if self.epoch.is_none() || ago > 0 {
            (self.of, self.at) = (cwnd, now);
            let since = *self.epoch.get_or_insert_with(|| {
                (self.acked, self.reno) = (acked, cwnd);
                self.origin = self.w_max.max(cwnd);
                self.k = cube_root(u128::from(self.origin - cwnd) * u128::from((1 << 40) / C));
                now
            });
            self.aim(cwnd, u64::from(now.wrapping_sub(since)) + shortest);
        }
        self.keep_up_with_reno(cwnd);
        // No faster than by half of the window a round trip.
        self.each = self.each.max(2);
    }

    /// RFC 9438 §4.2: where the function is in `ahead` ms from the beginning of the stage.
    fn aim(&mut self, cwnd: u64, ahead: u64) {
        let t = ahead.saturating_mul(UNITS) / 1000;
        let away = u128::from(t.abs_diff(self.k).min(1 << 32));
        let segments = ((u128::from(C) * away.pow(3)) >> 40).min(u128::from(MAX_CWND)) as u64;
        let target = if t < self.k { self.origin.saturating_sub(segments) } else { self.origin + segments };
        self.each = match target.checked_sub(cwnd) {
            None | Some(0) => RARELY * cwnd,
            Some(missing) => cwnd / missing,
        };
        if self.w_max == 0 {
            self.each = self.each.min(UNKNOWN);
        }
    }

    /// RFC 9438 §4.3.
    fn keep_up_with_reno(&mut self, cwnd: u64) {
        let each = (cwnd * RENO_EIGHTHS / 8).max(1);
        if self.acked > each {
            let steps = (self.acked - 1) / each;
            self.acked -= steps * each;
            self.reno += steps;
        }
        if self.reno > cwnd {
            self.each = self.each.min(cwnd / (self.reno - cwnd));
        }
    }
}

impl Cubic {
    pub(in crate::tcp::congestion) fn new(start: &Start) -> Cubic {
        Cubic {
            cwnd: start.cwnd,
            ssthresh: start.ssthresh,
            counted: 0,
            shortest: 0,
            slow_start: SlowStart::of_cubic(start),
            fast_convergence: start.config.fast_convergence,
            abe: start.config.abe,
            curve: None,
        }
    }

    /// A time-out: nothing that was learned holds any more.
    fn forget(&mut self) {
        (self.counted, self.shortest) = (0, 0);
        if let Some(curve) = &mut self.curve {
            **curve = Curve { before: curve.before, ..Curve::default() };
        }
        self.slow_start.begin_anew();
    }
}

impl CongestionControl for Cubic {
    fn on_start(&mut self, now: Instant, idle: Duration) {
        // Idle time does not count (RFC 9438 §4.2).
        if let Some(Curve { epoch: Some(since), .. }) = self.curve.as_deref_mut() {
            let later = since.wrapping_add(idle.as_millis() as u32);
            let ahead = later.wrapping_sub(millis(now)) as i32 > 0;
            *since = if ahead { millis(now) } else { later };
        }
    }

    fn on_rtt(&mut self, sample: &RttSample) {
        let epoch = self.curve.as_ref().and_then(|curve| curve.epoch);
        if epoch.is_some_and(|since| millis(sample.now).wrapping_sub(since) < SETTLING) {
            return;
        }
        let micros = u32::try_from(sample.rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        if self.shortest == 0 || micros < self.shortest {
            self.shortest = micros;
        }
        if self.cwnd < self.ssthresh {
            let shortest = Duration::from_micros(self.shortest.into());
            self.slow_start.on_rtt(sample, shortest, self.cwnd, &mut self.ssthresh);
        }
    }

    fn on_ack(&mut self, sample: &AckSample) {
        let mut left = sample.delivered;
        if self.cwnd < self.ssthresh {
            left = self.slow_start.on_ack(sample, &mut self.cwnd, &mut self.ssthresh);
            if left == 0 {
                return;
            }
        }
        if !sample.may_grow {
            return;
        }
        let (mss, shortest) = (sample.mss, u64::from(self.shortest.div_ceil(1000)));
        let curve = self.curve.get_or_insert_default();
        curve.on_ack(millis(sample.now), (self.cwnd / mss).into(), (left / mss).into(), shortest);
        let each = u32::try_from(curve.each).unwrap_or(u32::MAX).saturating_mul(mss);
        add(&mut self.cwnd, &mut self.counted, each, left, mss);
    }

    /// RFC 9438 §4.6 to §4.8.
    fn on_congestion(&mut self, _: Instant, event: CongestionEvent, _: u32, mss: u32) {
        if event == CongestionEvent::RtoAgain {
            self.cwnd = mss;
            return self.forget();
        }
        let curve = self.curve.get_or_insert_default();
        curve.before = Some((self.cwnd, way_back(self.cwnd, self.ssthresh, mss)));
        let segments = u64::from(self.cwnd / mss);
        let beta = if self.abe && event == CongestionEvent::Ecn { BETA_ECN } else { BETA };
        self.ssthresh = ((segments * beta / ONE) as u32).max(2) * mss;
        self.slow_start.leave();
        if event == CongestionEvent::Rto {
            self.cwnd = mss;
            return self.forget();
        }
        curve.epoch = None;
        // Fast convergence (RFC 9438 §4.7): a path that carries less than last time has a new flow on it.
        curve.w_max = match self.fast_convergence && segments < curve.w_max {
            true => segments * (ONE + BETA) / (2 * ONE),
            false => segments,
        };
        (self.cwnd, self.counted) = (self.ssthresh, 0);
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
        // As in Linux the function stays where the event has left it.
        if let Some((cwnd, ssthresh)) = self.curve.as_mut().and_then(|curve| curve.before.take()) {
            (self.cwnd, self.ssthresh) = (self.cwnd.max(cwnd), self.ssthresh.max(ssthresh));
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
    use crate::seq::Seq;
    use crate::tcp::Config;

    const MSS: u32 = 1000;

    fn cubic(segments: u32) -> Cubic {
        Cubic::new(&Start { cwnd: segments * MSS, ssthresh: u32::MAX, mss: MSS, config: &Config::linux() })
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(1_000_000 + ms)
    }

    /// `segments` are delivered after a round trip of 50 ms.
    fn deliver(cc: &mut Cubic, ms: u64, segments: u32) {
        let rtt = Duration::from_millis(50);
        cc.on_rtt(&RttSample { now: at(ms), rtt, una: Seq(1), nxt: Seq(2), paced: false, mss: MSS });
        cc.on_ack(&AckSample {
            now: at(ms),
            acked: segments * MSS,
            delivered: segments * MSS,
            prior_flight: cc.cwnd,
            rtt: Some(rtt),
            srtt: Some(rtt),
            mss: MSS,
            may_grow: true,
        });
    }

    fn lose(cc: &mut Cubic, event: CongestionEvent) {
        cc.on_congestion(at(0), event, 0, MSS);
    }

    #[test]
    fn a_loss_leaves_seven_tenths_in_whole_segments_and_two_at_the_least() {
        for (before, after) in [(20, 14), (15, 10), (10, 7), (3, 2), (2, 2), (1, 2)] {
            let mut cc = cubic(before);
            lose(&mut cc, CongestionEvent::Loss);
            assert_eq!((cc.cwnd(), cc.ssthresh()), (after * MSS, after * MSS));
        }
    }

    #[test]
    fn a_segment_that_is_missing_takes_a_window_and_more_of_them_take_less() {
        let mut cc = cubic(20);
        lose(&mut cc, CongestionEvent::Loss);
        deliver(&mut cc, 0, 13);
        assert_eq!(cc.cwnd(), 14_000);
        deliver(&mut cc, 10, 1);
        assert_eq!(cc.cwnd(), 15_000);
        // By 4.5 s the function is 3 segments above its plateau, and the window 8 below it: one for each second that is delivered.
        deliver(&mut cc, 4450, 6);
        assert_eq!(cc.cwnd(), 18_000);
    }

    #[test]
    fn the_function_is_looked_at_once_a_millisecond_or_when_the_window_has_grown() {
        let mut cc = cubic(20);
        lose(&mut cc, CongestionEvent::Loss);
        deliver(&mut cc, 0, 1);
        let each = cc.curve.as_ref().unwrap().each;
        deliver(&mut cc, 31, 1);
        assert_eq!((cc.curve.as_ref().unwrap().at, each), (millis(at(0)), 14));
        deliver(&mut cc, 32, 1);
        assert_eq!(cc.curve.as_ref().unwrap().at, millis(at(32)));
    }

    #[test]
    fn reno_is_kept_up_with() {
        let mut cc = cubic(20);
        lose(&mut cc, CongestionEvent::Loss);
        deliver(&mut cc, 0, 1);
        // K is 2.5 s; until then Reno is faster: a segment for 15/8 windows.
        let mut grown = 0;
        for ms in (50..1000).step_by(50) {
            let segments = cc.cwnd() / MSS;
            (0..segments).for_each(|_| deliver(&mut cc, ms, 1));
            grown += segments;
        }
        let curve = cc.curve.as_ref().unwrap();
        assert!(curve.reno >= 20 && curve.reno < 26, "{} after {grown} segments", curve.reno);
        assert!(u64::from(cc.cwnd() / MSS) + 1 >= curve.reno);
    }

    #[test]
    fn the_window_grows_by_half_of_itself_a_round_trip_at_the_most() {
        let mut cc = cubic(100);
        lose(&mut cc, CongestionEvent::Loss);
        deliver(&mut cc, 0, 1);
        deliver(&mut cc, 600_000, 70);
        assert_eq!(cc.cwnd(), 105_000);
    }

    #[test]
    fn a_time_out_makes_it_forget_and_a_twentieth_a_round_trip_is_the_least_then() {
        let mut cc = cubic(60);
        lose(&mut cc, CongestionEvent::Rto);
        assert_eq!((cc.cwnd(), cc.ssthresh(), cc.shortest), (1000, 42_000, 0));
        deliver(&mut cc, 100, 41);
        assert_eq!(cc.cwnd(), 42_000);
        deliver(&mut cc, 101, 20);
        assert_eq!(cc.cwnd(), 43_000);
        lose(&mut cc, CongestionEvent::RtoAgain);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (1000, 42_000));
    }

    #[test]
    fn fast_convergence_takes_a_smaller_peak_for_a_crowded_path() {
        let mut cc = cubic(100);
        lose(&mut cc, CongestionEvent::Loss);
        lose(&mut cc, CongestionEvent::Loss);
        assert_eq!((cc.curve.as_ref().unwrap().w_max, cc.cwnd()), (59, 49_000));
    }

    #[test]
    fn a_mistake_gives_the_window_back_and_most_of_the_threshold_once() {
        let mut cc = cubic(11);
        lose(&mut cc, CongestionEvent::Rto);
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (11_000, u32::MAX));
        lose(&mut cc, CongestionEvent::Loss);
        cc.set_cwnd(3000);
        cc.on_spurious();
        cc.set_cwnd(2000);
        cc.on_spurious();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (2000, u32::MAX));
    }

    #[test]
    fn idle_time_does_not_count() {
        let (mut busy, mut idle) = (cubic(20), cubic(20));
        for cc in [&mut busy, &mut idle] {
            lose(cc, CongestionEvent::Loss);
            deliver(cc, 0, 1);
        }
        idle.on_start(at(60_000), Duration::from_secs(60));
        deliver(&mut busy, 50, 14);
        deliver(&mut idle, 60_050, 14);
        assert_eq!(busy.cwnd(), idle.cwnd());
    }

    #[test]
    fn nothing_of_this_runs_over() {
        let mut cc = cubic(1_000_000);
        lose(&mut cc, CongestionEvent::Loss);
        for ms in 0..2000 {
            let segments = cc.cwnd() / MSS;
            deliver(&mut cc, ms * 1_000_000, segments);
        }
        assert!(cc.cwnd() > MAX_CWND - MSS && cc.cwnd() <= MAX_CWND);
    }
}

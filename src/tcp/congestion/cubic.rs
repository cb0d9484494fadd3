//! How does the window grow where the path is long and fast? CUBIC (RFC 9438), which RFC 9293 §3.8.2 (MAY-18) allows.
//!
//! Bytes and microseconds in integers: the same on every machine.

pub(super) mod linux;
#[cfg(test)]
mod tests;

use super::slow_start::SlowStart;
use super::{AckSample, CongestionControl, CongestionEvent, MAX_CWND, RttSample, Start, resized, way_back};
use crate::time::{Duration, Instant, Span};

/// 1 / C = 5/2 s³ per segment (RFC 9438 §5: C is 0.4), in µs³: `C = C_NUM / C_DEN`.
const C_NUM: u128 = 2;
const C_DEN: u128 = 5_000_000_000_000_000_000;
/// Farther than this from K, 18 minutes, the cubic function has left every window behind.
const FAR: u128 = 1 << 30;

/// β of RFC 9438 §4.6: what is left of a window after a congestion event, in percent; after a mark with RFC 8511 §3.
const BETA: u64 = 70;
const BETA_ECN: u64 = 85;

/// α of RFC 9438 §4.3: the segments per round trip with which the Reno-friendly window catches up with Reno's, which
/// loses more at each event: 3 (1-β) / (1+β).
const ALPHA: (u64, u64) = (9, 17);

/// What a congestion event changes, and what is restored if it was a mistake (RFC 9438 §4.9).
#[derive(Clone, Debug)]
struct State {
    cwnd: u32,
    ssthresh: u32,
    /// W_max: where the function levels off; 0 if that is not known.
    w_max: u32,
    /// cwnd_prior: the window at the last event or at the end of the first slow start.
    prior: u32,
    slow_start: SlowStart,
    /// The shortest round trip.
    shortest: Span,
    /// From `prior` on the Reno-friendly window grows as fast as Reno's: α is 1 then (§4.3).
    catch_up: bool,
    // Nothing of these two is restored; they take no room here.
    fast_convergence: bool,
    /// A mark takes less than a loss (RFC 8511).
    abe: bool,
    /// The present stage of congestion avoidance; many connections never get there.
    epoch: Option<Box<Epoch>>,
}

/// A stage of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// When it began; later by all the time in which the window was not filled.
    start: Instant,
    /// Microseconds until the function is at `w_max`.
    k: u64,
    /// W_est: what Reno would have, bytes.
    w_est: u32,
    /// The parts of a byte by which the two windows have grown, in units of their last divisors.
    cwnd_rest: u64,
    w_est_rest: u64,
    /// The last acknowledgment.
    last: Instant,
}

/// CUBIC.
pub(super) struct Cubic {
    state: State,
    /// Boxed: it is there after a congestion event only.
    before: Option<Box<State>>,
}

impl Cubic {
    pub(super) fn new(start: &Start) -> Cubic {
        let state = State {
            cwnd: start.cwnd,
            ssthresh: start.ssthresh,
            w_max: 0,
            prior: 0,
            slow_start: SlowStart::of_cubic(start),
            shortest: Span::MAX,
            catch_up: start.config.reno_catch_up,
            fast_convergence: start.config.fast_convergence,
            abe: start.config.abe,
            epoch: None,
        };
        Cubic { state, before: None }
    }
}

impl State {
    /// RFC 9438 §4.2, Reno-friendly (RFC 9438 §4.3), concave (RFC 9438 §4.4) or convex (RFC 9438 §4.5).
    fn avoid(&mut self, sample: &AckSample, delivered: u32) {
        let AckSample { now, mss, .. } = *sample;
        let (acked, cwnd) = (u64::from(delivered), u64::from(self.cwnd));
        let mut epoch = match self.epoch.take() {
            Some(epoch) => epoch,
            None => {
                // After a time-out and after HyStart++ the function starts where it levels off (RFC 9438 §4.8,
                // RFC 9438 §4.10).
                self.w_max = self.w_max.max(self.cwnd);
                Box::new(Epoch {
                    start: now,
                    k: plateau(self.w_max - self.cwnd, mss),
                    w_est: self.cwnd,
                    cwnd_rest: 0,
                    w_est_rest: 0,
                    last: now,
                })
            }
        };
        if sample.may_grow {
            let t = now.since(epoch.start);
            let caught_up = self.catch_up && epoch.w_est >= self.prior;
            let (num, den) = if caught_up { (1, 1) } else { ALPHA };
            let step = carry(&mut epoch.w_est_rest, num * u64::from(mss) * acked, den * cwnd);
            epoch.w_est = epoch.w_est.saturating_add(step).min(MAX_CWND);
            if w_cubic(self.w_max, epoch.k, t, mss) < epoch.w_est {
                self.cwnd = self.cwnd.max(epoch.w_est);
            } else {
                let ahead = w_cubic(self.w_max, epoch.k, t + sample.srtt.unwrap_or_default(), mss);
                let target = u64::from(ahead).clamp(cwnd, cwnd * 3 / 2);
                let step = carry(&mut epoch.cwnd_rest, (target - cwnd) * acked, cwnd);
                self.cwnd = (cwnd + u64::from(step)).min(target).min(u64::from(MAX_CWND)) as u32;
            }
        } else {
            epoch.pause_until(now);
        }
        epoch.last = now;
        self.epoch = Some(epoch);
    }
}

impl Epoch {
    /// The time since the last acknowledgment does not count: the window was not used (RFC 9438 §4.2, §5.8).
    fn pause_until(&mut self, now: Instant) {
        self.start += now.since(self.last);
        self.last = now;
    }
}

impl CongestionControl for Cubic {
    fn on_start(&mut self, now: Instant, _: Duration) {
        if let Some(epoch) = &mut self.state.epoch {
            epoch.pause_until(now);
        }
    }

    fn on_rtt(&mut self, sample: &RttSample) {
        let s = &mut self.state;
        s.shortest = s.shortest.min(sample.rtt.into());
        if s.cwnd < s.ssthresh {
            let ssthresh = s.ssthresh;
            s.slow_start.on_rtt(sample, s.shortest.into(), s.cwnd, &mut s.ssthresh);
            if s.ssthresh != ssthresh {
                s.prior = s.cwnd;
            }
        }
    }

    fn on_ack(&mut self, sample: &AckSample) {
        let s = &mut self.state;
        let mut left = sample.delivered;
        if s.cwnd < s.ssthresh {
            let ssthresh = s.ssthresh;
            left = s.slow_start.on_ack(sample, &mut s.cwnd, &mut s.ssthresh);
            if s.ssthresh != ssthresh {
                s.prior = s.cwnd;
            }
        }
        if left > 0 || (s.cwnd >= s.ssthresh && !sample.may_grow) {
            s.avoid(sample, left);
        }
    }

    /// RFC 9438 §4.6 to RFC 9438 §4.8.
    fn on_congestion(&mut self, _: Instant, event: CongestionEvent, _: u32, mss: u32) {
        if event == CongestionEvent::RtoAgain {
            (self.state.cwnd, self.state.epoch) = (mss, None);
            return;
        }
        let ssthresh = way_back(self.state.cwnd, self.state.ssthresh, mss);
        self.before = Some(Box::new(State { ssthresh, ..self.state.clone() }));
        let s = &mut self.state;
        // The window itself and not what is in flight: it grows only while it is filled (§4.6 wants one or the other).
        let percent = if s.abe && event == CongestionEvent::Ecn { BETA_ECN } else { BETA };
        let (cwnd, left) = (s.cwnd, (u64::from(s.cwnd) * percent / 100) as u32);
        s.w_max = match event {
            CongestionEvent::Rto => 0,
            // Fast convergence (RFC 9438 §4.7): a path that carries less than last time has a new flow on it.
            _ if s.fast_convergence && cwnd < s.w_max => (u64::from(cwnd) * 17 / 20) as u32,
            _ => cwnd,
        };
        s.prior = cwnd;
        s.ssthresh = left.max(2 * mss);
        s.cwnd = match event {
            CongestionEvent::Rto => mss,
            _ => s.ssthresh,
        };
        s.epoch = None;
        s.slow_start.leave();
        if event == CongestionEvent::Rto {
            s.slow_start.begin_anew();
        }
    }

    fn set_cwnd(&mut self, cwnd: u32) {
        self.state.cwnd = cwnd.min(MAX_CWND);
    }

    fn on_mss(&mut self, from: u32, to: u32) {
        let s = &mut self.state;
        for bytes in [&mut s.cwnd, &mut s.ssthresh, &mut s.w_max, &mut s.prior] {
            *bytes = resized(*bytes, from, to);
        }
        if let Some(epoch) = &mut s.epoch {
            epoch.w_est = resized(epoch.w_est, from, to);
        }
    }

    fn on_spurious(&mut self) {
        // A window that has overtaken the old one since stays.
        if let Some(before) = self.before.take() {
            let ssthresh = self.state.ssthresh.max(before.ssthresh);
            if self.state.cwnd < before.cwnd {
                self.state = *before;
            }
            self.state.ssthresh = ssthresh;
        }
    }

    fn on_idle(&mut self, window: u32, mss: u32) {
        let s = &mut self.state;
        s.ssthresh = way_back(s.cwnd, s.ssthresh, mss);
        if window < s.cwnd {
            // A new stage begins (RFC 7661 §4.4.1).
            s.cwnd = window;
            s.epoch = None;
        }
    }

    fn cwnd(&self) -> u32 {
        self.state.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.state.ssthresh
    }
}

/// W_cubic(t) = C (t-K)³ + W_max, bytes (RFC 9438 §4.2).
fn w_cubic(w_max: u32, k: u64, t: Duration, mss: u32) -> u32 {
    let (t, k) = (t.as_micros(), u128::from(k));
    let away = t.abs_diff(k).min(FAR);
    let bytes = (C_NUM * u128::from(mss) * away * away * away / C_DEN).min(u128::from(MAX_CWND)) as u32;
    if t < k { w_max.saturating_sub(bytes) } else { w_max.saturating_add(bytes).min(MAX_CWND) }
}

/// K: the microseconds in which the function grows by `bytes` to its plateau, the cube root of bytes / C.
fn plateau(bytes: u32, mss: u32) -> u64 {
    cube_root(u128::from(bytes) * C_DEN / (C_NUM * u128::from(mss.max(1))))
}

/// The largest number whose cube is no more than `cube`, up to 2³².
fn cube_root(cube: u128) -> u64 {
    (0..32).rev().fold(0u128, |root, bit| {
        let higher = root | 1 << bit;
        if higher.pow(3) <= cube { higher } else { root }
    }) as u64
}

/// `num / den` and what was left over last time; keeps what is left over now.
fn carry(rest: &mut u64, num: u64, den: u64) -> u32 {
    let (num, den) = (num.saturating_add(*rest), den.max(1));
    *rest = num % den;
    (num / den).min(u64::from(MAX_CWND)) as u32
}

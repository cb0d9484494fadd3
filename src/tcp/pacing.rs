//! When may the next segment leave, if what the window allows is to be spread over the round trip?

use super::conn::{Conn, Cx};
use crate::time::{Duration, Instant};

/// As much as the rate sends in a millisecond leaves at once, so that timers and super-segments are worth their cost; so many
/// segments at the least. As on Linux.
const QUANTA_PER_SECOND: u64 = 1000;
const LEAST_SEGMENTS: u32 = 2;

/// The first segments of a connection are not spread: there is no queue yet that they could fill. As on Linux.
const FREE: u32 = 10;

/// What has left already, as a clock that runs at the rate.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Pacer {
    /// What has left would take until then.
    next: Instant,
    /// Bytes of the present quantum that may still leave at once, where no piece says what leaves together.
    left: u32,
}

/// What Linux takes: twice the window per round trip in slow start, lest pacing hold it back, a fifth more than it after.
pub(super) fn rate(cwnd: u32, ssthresh: u32, srtt: Duration) -> u64 {
    let percent = if cwnd < ssthresh / 2 { 200 } else { 120 };
    let bytes = u128::from(cwnd) * percent / 100 * 1_000_000_000;
    (bytes / srtt.as_nanos().max(1)).min(u64::MAX.into()) as u64
}

impl Pacer {
    /// `len` bytes leave at `rate`. Who was late may make up for it, by half of the time that they take.
    fn on_sent(&mut self, now: Instant, rate: u64, len: u32) {
        let nanos = u128::from(len) * 1_000_000_000 / u128::from(rate.max(1));
        let time = Duration::from_nanos(nanos.min(u64::MAX.into()) as u64);
        let late = now.since(self.next);
        self.next = self.next.max(now) + (time - late.min(time / 2));
    }
}

fn quantum(rate: u64, mss: u32) -> u32 {
    let bytes = (rate / QUANTA_PER_SECOND).min(u64::from(u32::MAX)) as u32;
    (bytes / mss.max(1)).max(LEAST_SEGMENTS).saturating_mul(mss)
}

impl Conn {
    /// Bytes per second, if what is sent is to be spread: what the algorithm says, or what follows from the window.
    pub(super) fn pacing_rate(&self, cx: &Cx) -> Option<u64> {
        let own = || self.rtt.srtt().map(|srtt| rate(self.cc.cwnd(), self.cc.ssthresh(), srtt));
        let most = self.opts.max_pacing_rate;
        let spread = cx.cfg.pacing || most.is_some();
        let wanted = self.cc.pacing_rate().or_else(|| if spread { own() } else { None });
        match (wanted, most) {
            (Some(wanted), Some(most)) => Some(wanted.min(most)),
            (wanted, most) => wanted.or(most),
        }
    }

    /// How many bytes may leave now; else when.
    pub(super) fn paced(&self, cx: &Cx) -> Result<u32, Instant> {
        let Some(rate) = self.pacing_rate(cx) else { return Ok(u32::MAX) };
        // Pieces say what leaves together (`burst.rs`).
        let most = if self.snd.is_pieced() { u32::MAX } else { quantum(rate, self.mss()) };
        match &self.pacer {
            Some(pacer) if pacer.left > 0 => Ok(pacer.left),
            Some(pacer) if pacer.next > cx.now => Err(pacer.next),
            _ => Ok(most),
        }
    }

    /// `len` bytes leave, the first of `together`, or what follows on those if that is 0.
    pub(super) fn pace(&mut self, cx: &Cx, len: u32, together: u32) {
        let Some(rate) = self.pacing_rate(cx) else { return };
        let (now, mss, pieced) = (cx.now, self.mss(), self.snd.is_pieced());
        let len = if pieced { together } else { len };
        let segments = self.counters.data_segs_out.wrapping_add(len.div_ceil(mss));
        let last = self.counters.data_sent_at;
        let pacer = self.pacer.get_or_insert_with(|| Box::new(Pacer { next: last, left: 0 }));
        if segments < FREE {
            pacer.next = pacer.next.max(now);
        } else if len > 0 {
            if !pieced && pacer.left == 0 {
                pacer.left = quantum(rate, mss);
            }
            pacer.left = pacer.left.saturating_sub(len);
            pacer.on_sent(now, rate, len);
        }
    }

    /// A segment without data leaves: it waits for nothing, but whoever is late is so from here on.
    pub(super) fn pass_pacer(&mut self, now: Instant) {
        if let Some(pacer) = &mut self.pacer {
            pacer.next = pacer.next.max(now);
        }
    }

    /// What timers wait longer, because what has left takes so long: whole milliseconds, as on Linux.
    pub(super) fn pacing_delay(&self, cx: &Cx) -> Duration {
        let Some(pacer) = self.pacer.as_ref().filter(|_| self.pacing_rate(cx).is_some()) else {
            return Duration::ZERO;
        };
        Duration::from_millis(pacer.next.since(cx.now).as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_start_is_paced_at_twice_the_window_and_avoidance_at_a_fifth_more() {
        let srtt = Duration::from_millis(100);
        assert_eq!(rate(100_000, u32::MAX, srtt), 2_000_000);
        assert_eq!(rate(100_000, 100_000, srtt), 1_200_000);
    }

    #[test]
    fn the_rate_is_kept_and_who_was_late_makes_up_for_half_of_it() {
        let (rate, mut now) = (1_000_000, Instant::from_millis(100));
        let mut pacer = Pacer { next: now, left: 0 };
        for _ in 0..100 {
            pacer.on_sent(now, rate, 1000);
            assert_eq!(pacer.next, now + Duration::from_millis(1));
            now = pacer.next;
        }
        let wait = |late| {
            let mut pacer = pacer;
            let now = pacer.next + Duration::from_micros(late);
            pacer.on_sent(now, rate, 1000);
            pacer.next.since(now)
        };
        assert_eq!([0, 200, 700, 5000].map(wait), [1000, 800, 500, 500].map(Duration::from_micros));
    }
}

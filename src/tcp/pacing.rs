//! When may the next segment leave, if what the window allows is to be spread over the round trip?

use super::conn::{Conn, Cx};
use crate::time::{Duration, Instant};

/// As much as the rate sends in a millisecond leaves at once, so that timers and super-segments are worth their cost; so many
/// segments at the least. As on Linux.
const QUANTA_PER_SECOND: u64 = 1000;
const LEAST_SEGMENTS: u32 = 2;

/// The first segments of a connection are not spread: there is no queue yet that they could fill. As on Linux.
const FREE: u64 = 10;

/// What has left already, as a clock that runs at the rate.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Pacer {
    /// What has left would take until then.
    next: Instant,
    /// Bytes of the present quantum that may still leave at once.
    left: u32,
    /// Bytes that ever left.
    sent: u64,
}

/// What Linux takes: twice the window per round trip in slow start, lest pacing hold it back, a fifth more than it after.
pub(super) fn rate(cwnd: u32, ssthresh: u32, srtt: Duration) -> u64 {
    let percent = if cwnd < ssthresh / 2 { 200 } else { 120 };
    let bytes = u128::from(cwnd) * percent / 100 * 1_000_000_000;
    (bytes / srtt.as_nanos().max(1)).min(u64::MAX.into()) as u64
}

impl Pacer {
    /// How many bytes may leave now; else when.
    pub(super) fn allows(&self, now: Instant, rate: u64, mss: u32) -> Result<u32, Instant> {
        if self.sent < FREE * u64::from(mss) {
            Ok(u32::MAX)
        } else if self.left > 0 {
            Ok(self.left)
        } else if self.next <= now {
            Ok(quantum(rate, mss))
        } else {
            Err(self.next)
        }
    }

    /// `len` bytes leave.
    pub(super) fn on_sent(&mut self, now: Instant, rate: u64, mss: u32, len: u32) {
        let free = self.sent < FREE * u64::from(mss);
        self.sent = self.sent.saturating_add(len.into());
        if free {
            return;
        }
        if self.left == 0 {
            self.left = quantum(rate, mss);
        }
        self.left = self.left.saturating_sub(len);
        let nanos = u128::from(len) * 1_000_000_000 / u128::from(rate.max(1));
        self.next = self.next.max(now) + Duration::from_nanos(nanos.min(u64::MAX.into()) as u64);
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
        match (self.pacing_rate(cx), &self.pacer) {
            (Some(rate), Some(pacer)) => pacer.allows(cx.now, rate, self.mss()),
            _ => Ok(u32::MAX),
        }
    }

    /// `len` bytes leave.
    pub(super) fn pace(&mut self, cx: &Cx, len: u32) {
        if let Some(rate) = self.pacing_rate(cx) {
            let mss = self.mss();
            self.pacer.get_or_insert_default().on_sent(cx.now, rate, mss, len);
        }
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
    fn after_the_first_segments_two_leave_at_a_time_and_the_rate_is_kept() {
        let (mut pacer, mut now, rate, mss) = (Pacer::default(), Instant::ZERO, 1_000_000, 1000);
        (0..10).for_each(|_| pacer.on_sent(now, rate, mss, mss));
        let mut sent = 0;
        while now < Instant::from_millis(100) {
            match pacer.allows(now, rate, mss) {
                Ok(most) => {
                    assert!(most >= mss);
                    pacer.on_sent(now, rate, mss, mss);
                    sent += mss;
                }
                Err(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        // 1 MB/s for 100 ms.
        assert_eq!(sent, 100_000);
    }
}

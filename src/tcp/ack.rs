//! Must this be acknowledged now, or may the acknowledgment wait for company? RFC 9293 §3.8.6.3.

use super::cause::{AckNowWhy, Piggyback};
use super::config::Config;
use crate::time::{Duration, Instant};

/// Before the first data nothing is known of the peer's segment size: what Linux assumes.
const FIRST_GUESS: u32 = 536;

/// What the policy says of a segment with data that came in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Acknowledge at once, for this reason.
    Now(AckNowWhy),
    /// So many segments have come: acknowledge them together.
    Every,
    /// Wait at most so long.
    Wait(Duration),
}

/// The state of the acknowledgment policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    /// Bytes received in order since the last acknowledgment left.
    pub(super) bytes: u32,
    /// Segments received since then.
    pub(super) segments: u16,
    /// When the first of them came.
    since: Option<Instant>,
    /// The largest segment seen: what counts as full-sized.
    full: u32,
    /// So many segments are still acknowledged at once.
    quick: u8,
    /// Data is flowing both ways: an acknowledgment is likely to find company.
    interactive: bool,
    /// Why an acknowledgment must leave at once.
    pub(super) now: Option<AckNowWhy>,
    /// So many full segments came.
    pub(super) every: bool,
    /// The timer expired.
    pub(super) delayed: bool,
}

impl Ack {
    pub(super) fn new(cfg: &Config) -> Ack {
        Ack {
            bytes: 0,
            segments: 0,
            since: None,
            full: FIRST_GUESS,
            quick: cfg.quickack,
            interactive: false,
            now: None,
            every: false,
            delayed: false,
        }
    }

    /// Whether received data is unacknowledged.
    pub(super) fn pending(&self) -> bool {
        self.since.is_some()
    }

    /// Whether an acknowledgment has to leave.
    pub(super) fn due(&self) -> bool {
        self.now.is_some() || self.every || self.delayed
    }

    /// A reason to acknowledge at once; the first one stays, being what the peer waits for. All that is due becomes one
    /// acknowledgment: RFC 9293 §3.10.7.4 (MUST-58).
    pub(super) fn at_once(&mut self, why: AckNowWhy) {
        self.now.get_or_insert(why);
    }

    /// `bytes` came in order, in `segments` segments of the wire. RFC 9293 §3.8.6.3 (SHLD-18, SHLD-19), RFC 5681 §4.2.
    pub(super) fn on_data(
        &mut self,
        cfg: &Config,
        delay: Duration,
        now: Instant,
        bytes: u32,
        segments: u16,
    ) -> Verdict {
        self.since.get_or_insert(now);
        self.bytes += bytes;
        self.segments = self.segments.saturating_add(segments);
        self.full = self.full.max(bytes / u32::from(segments.max(1)));
        if delay.is_zero() {
            return Verdict::Now(AckNowWhy::NoDelay);
        }
        if self.quick > 0 && !self.interactive {
            self.quick -= 1;
            return Verdict::Now(AckNowWhy::Quick);
        }
        // More than n - 1 full segments: the n-th one may be a little shorter (RFC 5681 §4.2 speaks of 2·RMSS,
        // but a peer that sends a short last segment should not wait).
        if self.bytes > (u32::from(cfg.ack_every) - 1) * self.full {
            return Verdict::Every;
        }
        Verdict::Wait(delay)
    }

    /// The timer expired: nothing rode along, so the traffic is not interactive.
    pub(super) fn on_timer(&mut self) {
        if self.pending() {
            self.delayed = true;
            self.interactive = false;
        }
    }

    /// A segment with an acknowledgment leaves, which is all that it answers (RFC 5681 §4.2); `data` if it carries data.
    pub(super) fn on_sent(&mut self, data: bool) {
        if data && self.pending() {
            self.interactive = true;
        }
        *self = Ack { bytes: 0, segments: 0, since: None, now: None, every: false, delayed: false, ..*self };
    }

    /// The window is closing: no hurry to be told so.
    pub(super) fn leave_quick(&mut self) {
        self.quick = 0;
    }

    /// The next `segments` are acknowledged at once, at least.
    pub(super) fn hurry(&mut self, segments: u8) {
        self.quick = self.quick.max(segments);
        self.interactive = false;
    }

    /// `TCP_QUICKACK`.
    pub(super) fn set_quick(&mut self, on: bool) {
        self.quick = if on { u8::MAX } else { 0 };
        self.interactive = false;
        if on && self.pending() {
            self.at_once(AckNowWhy::Quick);
        }
    }

    /// How long the oldest unacknowledged byte has waited.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |at| now.since(at))
    }

    /// What would ride along on a segment that leaves now.
    pub(super) fn piggyback(&self, now: Instant) -> Option<Piggyback> {
        self.since.map(|at| Piggyback { bytes: self.bytes, waited: now.since(at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(40);

    fn fed(cfg: &Config, sizes: &[(u32, u16)]) -> Vec<Verdict> {
        let mut ack = Ack::new(cfg);
        sizes.iter().map(|&(bytes, n)| ack.on_data(cfg, DELAY, Instant::ZERO, bytes, n)).collect()
    }

    #[test]
    fn every_second_full_segment_is_acknowledged_and_small_ones_wait() {
        let cfg = Config { quickack: 0, ..Config::linux() };
        let wait = Verdict::Wait(DELAY);
        assert_eq!(fed(&cfg, &[(1460, 1), (1460, 1)]), [wait, Verdict::Every]);
        assert_eq!(fed(&cfg, &[(1460, 1), (1, 1)]), [wait, Verdict::Every]);
        assert_eq!(fed(&cfg, &[(100, 1), (100, 1), (100, 1)]), [wait; 3]);
        let cfg = Config { ack_every: 4, ..cfg };
        assert_eq!(fed(&cfg, &[(1000, 1); 4]), [wait, wait, wait, Verdict::Every]);
    }

    #[test]
    fn a_merged_segment_counts_as_what_it_was_on_the_wire() {
        let cfg = Config { quickack: 0, ..Config::linux() };
        assert_eq!(fed(&cfg, &[(14_600, 10)]), [Verdict::Every]);
    }

    #[test]
    fn the_first_segments_are_acknowledged_quickly_until_data_flows_back() {
        let cfg = Config { quickack: 3, ..Config::linux() };
        let mut ack = Ack::new(&cfg);
        let quick = Verdict::Now(AckNowWhy::Quick);
        assert_eq!(ack.on_data(&cfg, DELAY, Instant::ZERO, 100, 1), quick);
        ack.on_sent(true);
        assert_eq!(ack.on_data(&cfg, DELAY, Instant::ZERO, 100, 1), Verdict::Wait(DELAY));
        ack.on_timer();
        ack.on_sent(false);
        assert_eq!(ack.on_data(&cfg, DELAY, Instant::ZERO, 100, 1), quick);
    }
}

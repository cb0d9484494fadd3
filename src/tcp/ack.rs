//! Must this be acknowledged now, or may the acknowledgment wait for company? RFC 9293 §3.8.6.3.

use super::cause::{AckNowWhy, Piggyback};
use super::config::Config;
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// Before the first data nothing is known of the peer's segment size: what Linux assumes.
const FIRST_GUESS: u32 = 536;

/// Smaller segments say nothing about the peer's segment size, as in Linux.
const LEAST_FULL: u32 = 88;

/// So many duplicates tell the peer of a loss (RFC 5681 §3.2).
const DUP_THRESH: u8 = 3;

/// No acknowledgment is put off longer than this by the adaptive timer, as in Linux.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

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

/// A segment with data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    /// Its bytes.
    pub(super) bytes: u32,
    /// In how many segments of the wire.
    pub(super) segments: u16,
    /// The bytes of its options, and of those that all segments have.
    pub(super) options: u32,
    pub(super) usual_options: u32,
    /// With the PSH flag, or the FIN.
    pub(super) pushed: bool,
    /// No segment of the peer's is believed to be larger: several may have come as one.
    pub(super) most: u32,
}

/// What the connection knows that bears on how long an acknowledgment may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// Now.
    pub(super) now: Instant,
    /// The least delay.
    pub(super) delay: Duration,
    /// The smoothed round trip.
    pub(super) srtt: Option<Duration>,
    /// The retransmission time-out, which stands for the peer's.
    pub(super) rto: Duration,
    /// The receive window in bytes.
    pub(super) window: u32,
    /// An acknowledgment now would offer as much window as the last one did: the application keeps up.
    pub(super) keeps_up: bool,
    /// More than half of the buffer is taken: no hurry to say so.
    pub(super) tight: bool,
}

/// The state of the acknowledgment policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    /// `tcp.ack_adaptive`, `tcp.ack_every` and `tcp.quickack`.
    adaptive: bool,
    most: u8,
    most_quick: u8,
    /// Bytes received in order since the last acknowledgment left.
    pub(super) bytes: u32,
    /// Segments received since then.
    pub(super) segments: u16,
    /// When the first of them came.
    since: Option<Instant>,
    /// What counts as a full-sized segment of the peer's (Linux' `rcv_mss`).
    full: u32,
    /// The size of the last segment that was smaller: two alike are the peer's full size.
    smaller: u32,
    /// So many segments are still acknowledged at once.
    quick: u8,
    /// How often what was sent answered what had come, lately; after so many times data is flowing both ways, and an
    /// acknowledgment is likely to find company.
    answers: u8,
    most_answers: u8,
    /// How long one may wait by what was seen so far (Linux' `ato`), microseconds; zero before the first data.
    patience: u32,
    /// When the last data came.
    last_data: Instant,
    /// Ends of writes among what is not acknowledged, up to 2: who sent them may be waiting.
    ends: u8,
    /// Where the gap begins that acknowledgments speak of, how many did at once, and how many were gathered since.
    gap: Option<Seq>,
    told: u8,
    gathered: u8,
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
            adaptive: cfg.ack_adaptive,
            most: cfg.ack_every,
            most_quick: cfg.quickack,
            bytes: 0,
            segments: 0,
            since: None,
            full: FIRST_GUESS,
            smaller: 0,
            quick: if cfg.ack_adaptive { 0 } else { cfg.quickack },
            answers: 0,
            most_answers: cfg.interactive_after.max(1),
            patience: 0,
            last_data: Instant::ZERO,
            ends: 0,
            gap: None,
            told: 0,
            gathered: 0,
            now: None,
            every: false,
            delayed: false,
        }
    }

    /// How long an acknowledgment may wait as things are; zero before the first data.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_micros(u64::from(self.patience))
    }

    fn set_patience(&mut self, time: Duration) {
        self.patience = time.as_micros().min(u128::from(u32::MAX)) as u32;
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

    /// The handshake is over; `mss` and `window` bound what the peer's segments can be.
    pub(super) fn start(&mut self, now: Instant, mss: u32, window: u32) {
        self.last_data = now;
        self.full = FIRST_GUESS.min(mss).min(window / 2).max(LEAST_FULL);
    }

    /// What counts as a full-sized segment of the peer's, bytes.
    pub(super) fn full(&self) -> u32 {
        self.full
    }

    /// What came in order: how large the peer's segments are and how fast they follow each other.
    /// `new` bytes of it were not here yet.
    pub(super) fn on_data(&mut self, around: &Around, new: u32, came: Came) {
        let now = around.now;
        self.since.get_or_insert(now);
        self.bytes += new;
        self.segments = self.segments.saturating_add(came.segments);
        self.on_size(came);
        if !self.adaptive {
            self.set_patience(around.delay);
            self.last_data = now;
            return;
        }
        let patience = self.patience();
        if patience.is_zero() {
            self.hurry_within(around.window);
            self.set_patience(around.delay);
        } else {
            let gap = now.since(self.last_data);
            if gap <= around.delay / 2 {
                self.set_patience(patience / 2 + around.delay / 2);
            } else if gap < patience {
                self.set_patience((patience / 2 + gap).min(around.rto));
            } else if gap > around.rto {
                // The peer has paused; if it begins anew with a small window, it needs each acknowledgment.
                self.hurry_within(around.window);
            }
        }
        self.last_data = now;
    }

    /// How large the peer's segments are, and whether this one ends a write.
    pub(super) fn on_size(&mut self, came: Came) {
        let Came { bytes, segments, options, usual_options, pushed, most } = came;
        let size = bytes / u32::from(segments.max(1));
        if !self.adaptive {
            self.full = self.full.max(size);
            return;
        }
        let last = std::mem::take(&mut self.smaller);
        if size >= self.full {
            self.full = size.min(most);
            if pushed {
                self.ends = self.ends.max(1);
            }
            return;
        }
        // SACK blocks come and go, and take the place of data.
        let whole = size + options;
        if whole >= FIRST_GUESS || (whole >= LEAST_FULL && !pushed) {
            self.smaller = whole.saturating_sub(usual_options);
            if self.smaller == last {
                self.full = last;
                return;
            }
        }
        self.ends = (self.ends + 1).min(2);
    }

    /// The next segments are acknowledged at once: as many as half the window holds, within limits.
    fn hurry_within(&mut self, window: u32) {
        let quick = match window / (2 * self.full.max(1)) {
            0 => 2,
            n => n.min(u32::from(u8::MAX)) as u8,
        };
        self.quick = self.quick.max(quick.min(self.most_quick));
    }

    /// The window grows: the peer should hear of it.
    pub(super) fn on_growth(&mut self) {
        if self.adaptive && self.most_quick > 0 {
            self.quick |= 1;
        }
    }

    /// What came was here already, or out of reach: the peer seems to miss our acknowledgments.
    pub(super) fn on_repetition(&mut self, around: &Around) {
        if self.adaptive {
            self.hurry_within(around.window);
            self.answers = 0;
            self.set_patience(around.delay);
        }
    }

    /// The peer's FIN came and its acknowledgment may wait for our own FIN, or for data.
    pub(super) fn on_fin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.bytes += 1;
        self.answers = self.most_answers;
    }

    /// Whether acknowledgments wait for data to ride on.
    pub(super) fn is_interactive(&self) -> bool {
        self.answers >= self.most_answers
    }

    /// Whether what is not acknowledged may stay so. RFC 9293 §3.8.6.3 (SHLD-18, SHLD-19), RFC 5681 §4.2.
    pub(super) fn verdict(&mut self, around: &Around) -> Verdict {
        if around.delay.is_zero() {
            return Verdict::Now(AckNowWhy::NoDelay);
        }
        if self.adaptive && around.tight && self.bytes > self.full {
            self.leave_quick();
        }
        if self.quick > 0 && !self.is_interactive() {
            if !self.adaptive {
                self.quick -= 1;
            }
            return Verdict::Now(AckNowWhy::Quick);
        }
        // More than n - 1 full segments: the n-th one may be a little shorter (RFC 5681 §4.2 speaks of 2·RMSS,
        // but a peer that sends a short last segment should not wait).
        if self.bytes > u32::from(self.most - 1) * self.full && (around.keeps_up || !self.adaptive) {
            return Verdict::Every;
        }
        Verdict::Wait(if self.adaptive { self.wait(around) } else { around.delay })
    }

    /// How long to wait for company (RFC 9293 §3.8.6.3, MUST-40).
    fn wait(&self, around: &Around) -> Duration {
        let mut wait = self.patience();
        if wait > around.delay
            && let Some(srtt) = around.srtt
        {
            wait = wait.min(srtt.max(around.delay));
        }
        wait.min(LONGEST_WAIT.max(around.delay))
    }

    /// The application has read; `drained` says that nothing is left. True if that is worth an acknowledgment: more than
    /// one segment has come, or the peer ended a write, for which it may be waiting.
    pub(super) fn is_due_after_read(&self, drained: bool) -> bool {
        let many = self.bytes > u32::from(self.most - 1) * self.full;
        let ended = drained && (self.ends > 1 || (self.ends == 1 && !self.is_interactive()));
        self.adaptive && self.pending() && (many || ended)
    }

    /// Data came beyond the gap at `nxt`. True if its acknowledgment leaves at once: the first three let the peer find the
    /// loss, the others may wait for each other.
    pub(super) fn on_beyond(&mut self, nxt: Seq, most: u8) -> bool {
        if self.adaptive && self.quick > 0 && !self.is_interactive() {
            return true;
        }
        if self.gap != Some(nxt) {
            (self.gap, self.told) = (Some(nxt), 0);
        }
        if self.told < DUP_THRESH {
            self.told += 1;
            return true;
        }
        self.gathered = self.gathered.saturating_add(1);
        self.gathered > most
    }

    /// The timer would expire soon anyway.
    pub(super) fn on_hurry(&mut self) {
        self.delayed = self.pending();
    }

    /// The timer expired: nothing rode along, so the traffic is not interactive, or comes more slowly than believed.
    pub(super) fn on_timer(&mut self, delay: Duration, rto: Duration) {
        if self.pending() {
            self.delayed = true;
            self.set_patience(if self.is_interactive() { delay } else { (self.patience() * 2).min(rto) });
            self.answers = 0;
        }
    }

    /// A segment with an acknowledgment leaves, which is all that it answers (RFC 5681 §4.2); `data` if it carries data.
    pub(super) fn on_sent(&mut self, now: Instant, delay: Duration, data: bool) {
        if data {
            // An answer within the time that an acknowledgment may wait.
            let answers = match self.adaptive {
                true => now.since(self.last_data) < self.patience(),
                false => self.pending(),
            };
            self.answers = self.answers.saturating_add(answers.into());
        }
        if self.adaptive && self.quick > 0 && (self.pending() || self.due()) {
            self.quick -= 1;
            if self.quick == 0 {
                self.set_patience(delay);
            }
        }
        *self = Ack {
            bytes: 0,
            segments: 0,
            since: None,
            ends: 0,
            gathered: 0,
            now: None,
            every: false,
            delayed: false,
            ..*self
        };
    }

    /// The window is closing: no hurry to be told so.
    pub(super) fn leave_quick(&mut self) {
        self.quick = 0;
    }

    /// The next `segments` are acknowledged at once, at least.
    pub(super) fn hurry(&mut self, segments: u8) {
        self.quick = self.quick.max(segments);
        self.answers = 0;
    }

    /// `TCP_QUICKACK`; `drained` says that all that came was read.
    pub(super) fn set_quick(&mut self, on: bool, drained: bool) {
        if self.adaptive {
            self.answers = if on { 0 } else { self.most_answers };
            if on && self.pending() {
                self.ends = self.ends.max(1);
                if self.is_due_after_read(drained) {
                    self.at_once(AckNowWhy::Quick);
                }
            }
            return;
        }
        self.quick = if on { u8::MAX } else { 0 };
        self.answers = 0;
        if on && self.pending() {
            self.at_once(AckNowWhy::Quick);
        }
    }

    /// When the last data came in order, or the handshake was done.
    pub(super) fn last_data(&self) -> Instant {
        self.last_data
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
    /// A small write of the peer's.
    const SMALL: Came =
        Came { bytes: 50, segments: 1, options: 0, usual_options: 0, pushed: true, most: 1460 };

    fn around(ms: u64) -> Around {
        let rto = Duration::from_millis(300);
        Around {
            now: Instant::from_millis(ms),
            delay: DELAY,
            srtt: Some(Duration::from_millis(100)),
            rto,
            window: 65_535,
            keeps_up: true,
            tight: false,
        }
    }

    /// What the policy says of segments that come at these milliseconds, so large, in so many segments; each
    /// acknowledgment leaves at once.
    fn fed(cfg: &Config, came: &[(u64, u32, u16)]) -> Vec<Verdict> {
        let mut ack = Ack::new(cfg);
        let mut one = |&(at, bytes, segments): &(u64, u32, u16)| {
            ack.on_data(
                &around(at),
                bytes,
                Came { bytes, segments, options: 0, usual_options: 0, pushed: false, most: 1460 },
            );
            let verdict = ack.verdict(&around(at));
            if !matches!(verdict, Verdict::Wait(_)) {
                ack.on_sent(Instant::from_millis(at), DELAY, false);
            }
            verdict
        };
        came.iter().map(&mut one).collect()
    }

    #[test]
    fn every_second_full_segment_is_acknowledged_and_small_ones_wait() {
        let cfg = Config { quickack: 0, ..Config::linux() };
        let wait = Verdict::Wait(DELAY);
        assert_eq!(fed(&cfg, &[(0, 1460, 1), (0, 1460, 1)]), [wait, Verdict::Every]);
        assert_eq!(fed(&cfg, &[(0, 1460, 1), (0, 1, 1)]), [wait, Verdict::Every]);
        assert_eq!(fed(&cfg, &[(0, 50, 1), (0, 50, 1), (0, 50, 1)]), [wait; 3]);
        let cfg = Config { ack_every: 4, ..cfg };
        assert_eq!(fed(&cfg, &[(0, 1000, 1); 4]), [wait, wait, wait, Verdict::Every]);
    }

    #[test]
    fn a_merged_segment_counts_as_what_it_was_on_the_wire() {
        let cfg = Config { quickack: 0, ..Config::linux() };
        assert_eq!(fed(&cfg, &[(0, 14_600, 10)]), [Verdict::Every]);
    }

    #[test]
    fn the_first_segments_are_acknowledged_quickly_until_data_flows_back() {
        for ack_adaptive in [false, true] {
            let cfg = Config { quickack: 3, ack_adaptive, ..Config::linux() };
            let mut ack = Ack::new(&cfg);
            let came = |ack: &mut Ack, at| {
                ack.on_data(&around(at), 50, SMALL);
                ack.verdict(&around(at))
            };
            assert_eq!(came(&mut ack, 0), Verdict::Now(AckNowWhy::Quick));
            ack.on_sent(Instant::ZERO, DELAY, true);
            assert_eq!(came(&mut ack, 0), Verdict::Wait(DELAY));
            ack.on_timer(DELAY, 10 * DELAY);
            ack.on_sent(Instant::ZERO, DELAY, false);
            assert_eq!(came(&mut ack, 0), Verdict::Now(AckNowWhy::Quick));
        }
    }

    #[test]
    fn the_wait_follows_the_gaps_between_segments_up_to_a_round_trip() {
        let cfg = Config { quickack: 1, ..Config::linux() };
        let mut ack = Ack::new(&cfg);
        let came = |ack: &mut Ack, at| {
            ack.on_data(&around(at), 50, SMALL);
            ack.verdict(&around(at))
        };
        assert_eq!(came(&mut ack, 0), Verdict::Now(AckNowWhy::Quick));
        ack.on_sent(Instant::ZERO, DELAY, false);
        assert_eq!(came(&mut ack, 100), Verdict::Wait(DELAY));
        // Nothing rode along: the next one waits twice as long.
        ack.on_timer(DELAY, 10 * DELAY);
        ack.on_sent(Instant::from_millis(140), DELAY, false);
        assert_eq!(came(&mut ack, 200), Verdict::Wait(2 * DELAY));
        ack.on_timer(DELAY, 10 * DELAY);
        ack.on_sent(Instant::from_millis(280), DELAY, false);
        assert_eq!(came(&mut ack, 400), Verdict::Wait(Duration::from_millis(100)));
    }

    #[test]
    fn a_read_that_leaves_nothing_is_acknowledged_if_the_peer_ended_a_write() {
        let cfg = Config { quickack: 0, ..Config::linux() };
        let mut ack = Ack::new(&cfg);
        ack.on_data(&around(0), 50, SMALL);
        assert!(!ack.is_due_after_read(false));
        assert!(ack.is_due_after_read(true));
        ack.answers = ack.most_answers;
        assert!(!ack.is_due_after_read(true));
        ack.on_data(&around(0), 50, SMALL);
        assert!(ack.is_due_after_read(true));
    }
}

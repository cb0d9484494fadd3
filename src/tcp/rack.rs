//! Was it lost or only late? Loss detection by time: RACK (RFC 8985 §6).

use super::scoreboard::Record;
use crate::seq::Seq;
use crate::time::{Duration, Instant, Span};

/// As many reports beyond a gap mean a loss (RFC 5681 §3.2), unless the path was seen to change the order by more.
const DUP_THRESH: u16 = 3;

/// Recoveries without a duplicate report after which the window is as small as at first (RFC 8985 §6.2 step 4).
const PERSIST: u8 = 16;

/// The smallest round trip counts for twice this: what is older was perhaps another path (RFC 8985 §6.2 step 1). In all
/// it is Linux' `tcp_min_rtt_wlen`.
const RECENT: Duration = Duration::from_secs(150);

/// When an acknowledgment came, and the time that it echoes (RFC 7323 §3.2), if that can be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) now: Instant,
    pub(super) echoed: Option<Instant>,
}

impl From<Instant> for Seen {
    fn from(now: Instant) -> Seen {
        Seen { now, echoed: None }
    }
}

/// The smallest of recent time, in microseconds; `u32::MAX` stands for none.
#[derive(Clone, Copy, Debug)]
struct Shortest {
    since: Instant,
    now: u32,
    before: u32,
}

impl Shortest {
    fn note(&mut self, at: Instant, rtt: Duration) {
        let age = at.since(self.since);
        if age >= RECENT {
            let before = if age >= RECENT * 2 { u32::MAX } else { self.now };
            *self = Shortest { since: at, now: u32::MAX, before };
        }
        self.now = self.now.min(rtt.as_micros().min(u128::from(u32::MAX - 1)) as u32);
    }

    fn get(&self) -> Duration {
        match self.now.min(self.before) {
            u32::MAX => Duration::MAX,
            micros => Duration::from_micros(micros.into()),
        }
    }
}

/// What the delivered segments say about those that are still missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rack {
    /// Which transmission was the last one of all that were delivered, and where in it the delivered part ends. RFC 8985
    /// compares times instead; a retransmission that left behind new data in the same instant would seem lost then.
    /// The first one has the number 1.
    newest: u64,
    newest_end: Seq,
    /// The round-trip time of the last one that was delivered.
    rtt: Span,
    min_rtt: Shortest,
    /// Something was delivered since losses were last looked for.
    pub(super) advanced: bool,
    /// How often something arrived late although it was sent once only, and by how many segments at the most ever.
    late: u16,
    distance: u16,
    quarters: u8,
    persist: u8,
    /// The peer reported data that it had twice, for which RACK may be to blame.
    twice: bool,
    /// So many segments had been delivered when the window last grew.
    grown_at: u32,
}

impl Rack {
    pub(super) fn new() -> Rack {
        Rack {
            newest: 0,
            newest_end: Seq(0),
            rtt: Span::ZERO,
            min_rtt: Shortest { since: Instant::ZERO, now: u32::MAX, before: u32::MAX },
            advanced: false,
            late: 0,
            distance: DUP_THRESH,
            quarters: 1,
            persist: 0,
            twice: false,
            grown_at: 0,
        }
    }

    /// The same for a path that may change the order by so many segments, as far as anybody knows.
    pub(super) fn expecting(segments: u16) -> Rack {
        Rack { distance: segments, ..Rack::new() }
    }

    fn newest(&self) -> (u64, Seq) {
        (self.newest, self.newest_end)
    }

    /// `record` was delivered, acknowledged or SACKed, for the first time (RFC 8985 §6.2 steps 1 and 2).
    pub(super) fn on_delivered(&mut self, record: &Record, seen: Seen) {
        let rtt = seen.now.since(record.last_sent);
        if record.times > 1 {
            // Which transmission was it? Not the last one, if the answer echoes an earlier time or came faster than
            // light. Time stamps tick once a millisecond.
            let older = |echoed: Instant| echoed.as_millis() < record.last_sent.as_millis();
            if seen.echoed.is_some_and(older) || rtt < self.min_rtt.get() {
                return;
            }
        }
        self.advanced = true;
        self.rtt = rtt.into();
        if sent_after((record.order, record.end), self.newest()) {
            (self.newest, self.newest_end) = (record.order, record.end);
        }
    }

    /// What was sent only once arrived `bytes` below the highest number that is known to have arrived: that much the path may
    /// change the order (RFC 8985 §6.2 step 3). By more than `most` segments it is believed to do by none.
    pub(super) fn on_late(&mut self, bytes: u32, mss: u32, most: u16) {
        let segments = bytes.div_ceil(mss.max(1));
        if segments > self.distance.into() {
            self.distance = segments.min(most.into()) as u16;
        }
        self.late = self.late.saturating_add(1);
    }

    /// All that came without a SACK option came late, as far as anybody can tell: by so many segments at the most.
    pub(super) fn on_many_duplicates(&mut self, segments: u32, most: u16) {
        self.distance = segments.min(most.into()) as u16;
        self.late = self.late.saturating_add(1);
    }

    /// The timer expired although so many were reported: order was never changed by more than is `usual`.
    pub(super) fn on_timeout(&mut self, sacked: u32, usual: u16) {
        if sacked >= usual.into() {
            self.distance = self.distance.min(usual);
        }
    }

    /// Whether this transmission left before one that was delivered.
    pub(super) fn passed(&self, order: u64, end: Seq) -> bool {
        sent_after(self.newest(), (order, end))
    }

    /// When `record` is lost unless it is delivered; `None` while nothing sent later was delivered.
    pub(super) fn lost_at(&self, record: &Record, window: Duration) -> Option<Instant> {
        self.passed(record.order, record.end).then(|| record.last_sent + self.rtt() + window)
    }

    /// How long a segment may be late (RFC 8985 §6.2 step 4), with `sacked` segments reported; `repairs` says that a recovery is
    /// under way.
    pub(super) fn window(&self, srtt: Option<Duration>, sacked: u32, repairs: bool) -> Duration {
        let urgent = self.late == 0 && (repairs || sacked >= self.distance.into());
        if urgent || self.min_rtt.get() == Duration::MAX {
            return Duration::ZERO;
        }
        let quarters = self.min_rtt.get() / 4 * u32::from(self.quarters);
        quarters.min(srtt.unwrap_or(Duration::MAX))
    }

    /// Nothing is in flight, and transmissions will be counted anew.
    pub(super) fn rest(&mut self) {
        (self.newest, self.newest_end) = (0, Seq(0));
    }

    /// A round trip took `rtt`.
    pub(super) fn note_rtt(&mut self, now: Instant, rtt: Duration) {
        self.min_rtt.note(now, rtt);
    }

    /// So many segments the path was seen to change the order by, at the most; 3 at first.
    pub(super) fn distance(&self) -> u32 {
        self.distance.into()
    }

    /// How often something came late.
    pub(super) fn late(&self) -> u32 {
        self.late.into()
    }

    /// The smallest round trip; [`Duration::MAX`] before the first.
    pub(super) fn min_rtt(&self) -> Duration {
        self.min_rtt.get()
    }

    /// The round trip of the last sent of all delivered segments; zero before the first.
    pub(super) fn rtt(&self) -> Duration {
        self.rtt.into()
    }

    /// The peer reported data that it had twice, and no probe is the reason. Where nothing was ever late, it is not RACK's
    /// patience that was too short.
    pub(super) fn on_dsack(&mut self) {
        self.twice |= self.late > 0;
    }

    /// `delivered` segments have been delivered by now, and `known` of them when what was acknowledged last had left: the window
    /// grows once per round trip.
    pub(super) fn adapt(&mut self, delivered: u32, known: Option<u32>) {
        let Some(known) = known else { return };
        if (known.wrapping_sub(self.grown_at) as i32) < 0 {
            self.twice = false;
        }
        if std::mem::take(&mut self.twice) {
            self.quarters = self.quarters.saturating_add(1);
            self.grown_at = delivered;
            self.persist = PERSIST;
        } else if self.persist == 0 {
            self.quarters = 1;
        }
    }

    /// A recovery is over; `mistaken` says that it was none of need.
    pub(super) fn on_recovered(&mut self, mistaken: bool) {
        self.persist = match mistaken {
            true => (self.persist + 1).min(PERSIST),
            false => self.persist.saturating_sub(1),
        };
    }
}

/// In the order of sending; of what one transmission took along, the later number is the later one.
fn sent_after(a: (u64, Seq), b: (u64, Seq)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && a.1.gt(b.1))
}

#[cfg(test)]
mod tests {
    use super::super::rate::Departure;
    use super::super::tally::Marks;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn record(start: u32, sent: u64, times: u8) -> Record {
        Record {
            start: Seq(start),
            end: Seq(start + 100),
            last_sent: Instant::from_millis(sent),
            order: sent,
            unit: 100,
            times,
            push: false,
            departure: Departure::default(),
            run: Seq(start + 100),
            fin: false,
            joined: false,
            marks: Marks::default(),
        }
    }

    #[test]
    fn what_was_sent_before_a_delivered_segment_is_lost_a_round_trip_and_a_window_later() {
        let mut rack = Rack::new();
        assert_eq!(rack.lost_at(&record(0, 0, 1), MS), None);
        rack.on_delivered(&record(300, 10, 1), Instant::from_millis(50).into());
        assert_eq!(rack.lost_at(&record(0, 9, 1), 5 * MS), Some(Instant::from_millis(54)));
        // A retransmission that left in the same instant, but behind it.
        let again = Record { order: 11, ..record(0, 10, 2) };
        assert_eq!(rack.lost_at(&again, 5 * MS), None);
    }

    #[test]
    fn the_window_is_a_quarter_of_the_smallest_round_trip_and_zero_while_nothing_was_ever_late() {
        let mut rack = Rack::new();
        rack.note_rtt(Instant::ZERO, 40 * MS);
        assert_eq!(rack.window(None, 2, false), 10 * MS);
        assert_eq!(rack.window(None, 3, false), Duration::ZERO);
        assert_eq!(rack.window(None, 0, true), Duration::ZERO);
        rack.on_late(500, 100, 300);
        assert_eq!((rack.distance(), rack.late()), (5, 1));
        assert_eq!(rack.window(None, 9, true), 10 * MS);
        rack.on_timeout(2, 3);
        assert_eq!(rack.distance(), 5);
        rack.on_timeout(3, 3);
        assert_eq!(rack.distance(), 3);
    }

    #[test]
    fn duplicate_reports_widen_the_window_once_per_round_trip_up_to_the_smoothed_one() {
        let mut rack = Rack::new();
        rack.note_rtt(Instant::ZERO, 40 * MS);
        rack.on_dsack();
        rack.adapt(10, Some(5));
        assert_eq!(rack.window(None, 0, false), 10 * MS, "nothing was ever late");
        rack.on_late(100, 100, 300);
        for (delivered, known, quarters) in [(10, 5, 2), (15, 9, 2), (20, 10, 3)] {
            rack.on_dsack();
            rack.adapt(delivered, Some(known));
            assert_eq!(rack.window(None, 0, false), quarters * 10 * MS, "{delivered}");
        }
        assert_eq!(rack.window(Some(25 * MS), 0, false), 25 * MS);
        (0..PERSIST).for_each(|_| rack.on_recovered(false));
        rack.adapt(30, Some(25));
        assert_eq!(rack.window(None, 0, false), 10 * MS);
    }

    #[test]
    fn a_retransmission_that_is_answered_too_fast_says_nothing() {
        let mut rack = Rack::new();
        rack.note_rtt(Instant::ZERO, 40 * MS);
        rack.on_delivered(&record(300, 0, 1), Instant::from_millis(40).into());
        rack.on_delivered(&record(100, 45, 2), Instant::from_millis(50).into());
        assert_eq!(rack.newest(), (0, Seq(400)));
    }

    #[test]
    fn an_answer_that_echoes_an_earlier_time_is_not_to_the_last_transmission() {
        let mut rack = Rack::new();
        rack.note_rtt(Instant::ZERO, 10 * MS);
        rack.on_delivered(&record(300, 0, 1), Instant::from_millis(10).into());
        let answer =
            |echoed| Seen { now: Instant::from_millis(80), echoed: Some(Instant::from_millis(echoed)) };
        rack.on_delivered(&record(100, 45, 2), answer(44));
        assert_eq!(rack.newest(), (0, Seq(400)));
        rack.on_delivered(&record(100, 45, 2), answer(45));
        assert_eq!(rack.newest(), (45, Seq(200)));
    }

    #[test]
    fn the_smallest_round_trip_is_that_of_the_last_five_minutes() {
        let mut rack = Rack::new();
        for (sent, rtt, window) in [(0, 40, 10), (100_000, 80, 10), (200_000, 80, 10), (360_000, 80, 20)] {
            rack.note_rtt(Instant::from_millis(sent + rtt), rtt as u32 * MS);
            assert_eq!(rack.window(None, 0, false), window * MS, "after {sent} ms");
        }
    }
}

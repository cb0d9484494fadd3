//! Was it lost or only late? Loss detection by time: RACK (RFC 8985 §6).

use super::scoreboard::Record;
use crate::seq::Seq;
use crate::time::{Duration, Instant, Span};

/// The reordering window grows by quarters of the smallest round trip, up to this many.
const MOST_QUARTERS: u8 = 16;

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
    /// Its round-trip time.
    rtt: Span,
    min_rtt: Shortest,
    /// The highest number delivered.
    fack: Seq,
    /// Something arrived late although it was sent once only.
    pub(super) reordering: bool,
    /// Something did since this was last asked for, and by how many bytes at the most ever.
    pub(super) late: bool,
    distance: u32,
    quarters: u8,
    persist: u8,
    /// The window grows once per round trip: not before this is acknowledged.
    round: Option<Seq>,
}

impl Rack {
    pub(super) fn new(iss: Seq) -> Rack {
        Rack {
            newest: 0,
            newest_end: Seq(0),
            rtt: Span::ZERO,
            min_rtt: Shortest { since: Instant::ZERO, now: u32::MAX, before: u32::MAX },
            fack: iss,
            reordering: false,
            late: false,
            distance: 0,
            quarters: 1,
            persist: PERSIST,
            round: None,
        }
    }

    fn newest(&self) -> (u64, Seq) {
        (self.newest, self.newest_end)
    }

    /// `record` was delivered, acknowledged or SACKed, for the first time (RFC 8985 §6.2 steps 1 to 3).
    pub(super) fn on_delivered(&mut self, record: &Record, seen: Seen) {
        let rtt = seen.now.since(record.last_sent);
        if record.times > 1 {
            // Which transmission was it? Not the last one, if the answer echoes an earlier time or came faster than
            // light. Time stamps tick once a millisecond.
            let older = |echoed: Instant| echoed.as_millis() < record.last_sent.as_millis();
            if seen.echoed.is_some_and(older) || rtt < self.min_rtt.get() {
                return;
            }
        } else {
            self.min_rtt.note(seen.now, rtt);
            if record.end.lt(self.fack) {
                (self.reordering, self.late) = (true, true);
                self.distance = self.distance.max(self.fack.since(record.start));
            }
        }
        self.fack = self.fack.max(record.end);
        if sent_after((record.order, record.end), self.newest()) {
            (self.newest, self.newest_end) = (record.order, record.end);
            self.rtt = rtt.into();
        }
    }

    /// When `record` is lost unless it is delivered; `None` while nothing sent later was delivered.
    pub(super) fn lost_at(&self, record: &Record, window: Duration) -> Option<Instant> {
        sent_after(self.newest(), (record.order, record.end)).then(|| record.last_sent + self.rtt() + window)
    }

    /// How long a segment may be late (RFC 8985 §6.2 step 4). `urgent` says that a loss is as good as certain: enough
    /// segments were SACKed, or a recovery is under way.
    pub(super) fn window(&self, srtt: Option<Duration>, urgent: bool) -> Duration {
        if !self.reordering && urgent || self.min_rtt.get() == Duration::MAX {
            return Duration::ZERO;
        }
        let quarters = self.min_rtt.get() / 4 * u32::from(self.quarters);
        quarters.min(srtt.unwrap_or(Duration::MAX))
    }

    /// Nothing is in flight, and transmissions will be counted anew.
    pub(super) fn rest(&mut self) {
        (self.newest, self.newest_end) = (0, Seq(0));
    }

    /// The handshake took `rtt`.
    pub(super) fn note_rtt(&mut self, now: Instant, rtt: Duration) {
        self.min_rtt.note(now, rtt);
    }

    /// By how many bytes the path was seen to change the order.
    pub(super) fn distance(&self) -> u32 {
        self.distance
    }

    /// The smallest round trip; [`Duration::MAX`] before the first.
    pub(super) fn min_rtt(&self) -> Duration {
        self.min_rtt.get()
    }

    /// The round trip of the last sent of all delivered segments; zero before the first.
    pub(super) fn rtt(&self) -> Duration {
        self.rtt.into()
    }

    /// The peer reported data that it had twice: we took late for lost, so allow for more lateness.
    pub(super) fn on_dsack(&mut self, una: Seq, nxt: Seq) {
        if self.round.is_none_or(|round| una.ge(round)) {
            self.quarters = (self.quarters + 1).min(MOST_QUARTERS);
            self.persist = PERSIST;
            self.round = Some(nxt);
        }
    }

    /// A recovery is over.
    pub(super) fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            (self.quarters, self.persist) = (1, PERSIST);
        }
    }
}

/// In the order of sending; of what one transmission took along, the later number is the later one.
fn sent_after(a: (u64, Seq), b: (u64, Seq)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && a.1.gt(b.1))
}

#[cfg(test)]
mod tests {
    use super::super::rate::Departure;
    use super::super::scoreboard::Fate;
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
            fate: Fate::Flying,
        }
    }

    #[test]
    fn what_was_sent_before_a_delivered_segment_is_lost_a_round_trip_and_a_window_later() {
        let mut rack = Rack::new(Seq(0));
        assert_eq!(rack.lost_at(&record(0, 0, 1), MS), None);
        rack.on_delivered(&record(300, 10, 1), Instant::from_millis(50).into());
        assert_eq!(rack.lost_at(&record(0, 9, 1), 5 * MS), Some(Instant::from_millis(54)));
        // A retransmission that left in the same instant, but behind it.
        let again = Record { order: 11, ..record(0, 10, 2) };
        assert_eq!(rack.lost_at(&again, 5 * MS), None);
    }

    #[test]
    fn the_window_is_a_quarter_of_the_smallest_round_trip_and_zero_while_nothing_was_ever_late() {
        let mut rack = Rack::new(Seq(0));
        rack.on_delivered(&record(300, 0, 1), Instant::from_millis(40).into());
        assert_eq!(rack.window(None, false), 10 * MS);
        assert_eq!(rack.window(None, true), Duration::ZERO);
        rack.on_delivered(&record(100, 0, 1), Instant::from_millis(44).into());
        assert!(rack.reordering);
        assert_eq!(rack.window(None, true), 10 * MS);
    }

    #[test]
    fn duplicate_reports_widen_the_window_once_per_round_trip_up_to_the_smoothed_one() {
        let mut rack = Rack::new(Seq(0));
        rack.on_delivered(&record(300, 0, 1), Instant::from_millis(40).into());
        rack.on_dsack(Seq(100), Seq(1000));
        rack.on_dsack(Seq(500), Seq(2000));
        assert_eq!(rack.window(None, false), 20 * MS);
        rack.on_dsack(Seq(1000), Seq(2000));
        assert_eq!(rack.window(None, false), 30 * MS);
        assert_eq!(rack.window(Some(25 * MS), false), 25 * MS);
        (0..PERSIST).for_each(|_| rack.on_recovered());
        assert_eq!(rack.window(None, false), 10 * MS);
    }

    #[test]
    fn a_retransmission_that_is_answered_too_fast_says_nothing() {
        let mut rack = Rack::new(Seq(0));
        rack.on_delivered(&record(300, 0, 1), Instant::from_millis(40).into());
        rack.on_delivered(&record(100, 45, 2), Instant::from_millis(50).into());
        assert_eq!(rack.newest(), (0, Seq(400)));
    }

    #[test]
    fn an_answer_that_echoes_an_earlier_time_is_not_to_the_last_transmission() {
        let mut rack = Rack::new(Seq(0));
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
        let mut rack = Rack::new(Seq(0));
        for (sent, rtt, window) in [(0, 40, 10), (100_000, 80, 10), (200_000, 80, 10), (360_000, 80, 20)] {
            rack.on_delivered(&record(300, sent, 1), Instant::from_millis(sent + rtt).into());
            assert_eq!(rack.window(None, false), window * MS, "after {sent} ms");
        }
    }
}

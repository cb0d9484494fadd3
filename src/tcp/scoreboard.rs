//! What became of each transmission? One record per transmission, cut where acknowledgments and reports end (RFC 6675 §2).

mod again;

use super::rack::{Rack, Seen};
use super::rate::Departure;
use super::spare::Untouched;
use super::tally::{Marks, Tally};
use crate::segment::SackBlocks;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// A range of sequence numbers that was sent at once; it may span several segments of the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) start: Seq,
    /// Exclusive; a FIN is counted.
    pub(super) end: Seq,
    /// When its last transmission left (RFC 8985 §4, §5.2).
    pub(super) last_sent: Instant,
    /// The number of its last transmission among all of the connection.
    pub(super) order: u64,
    /// Payload bytes per segment of the wire.
    pub(super) unit: u16,
    /// How often it was sent.
    pub(super) times: u8,
    /// Its last byte was pushed.
    pub(super) push: bool,
    /// It ends with our FIN.
    pub(super) fin: bool,
    /// It left together with the record before it.
    pub(super) joined: bool,
    /// If it is sacked: up to here all are.
    pub(super) run: Seq,
    /// What was known of the rate when it left.
    pub(super) departure: Departure,
    pub(super) marks: Marks,
}

impl Record {
    /// Segments of the wire: a FIN rides on the last one.
    pub(super) fn segments(&self) -> u32 {
        let data = self.end.since(self.start) - u32::from(self.fin);
        data.div_ceil(u32::from(self.unit.max(1))).max(1)
    }
}

/// A transmission that has not been judged by its time yet: what is still in the network of `start..end`, if its record
/// has that number.
#[derive(Clone, Copy, Debug)]
struct Sent {
    start: Seq,
    end: Seq,
    order: u64,
}

/// What an acknowledgment or its SACK blocks said for the first time.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct News {
    /// Segments that nobody knew to have arrived.
    pub(super) delivered: u32,
    /// The bytes of those that were reported.
    pub(super) reported: u32,
    /// Segments that are off the scoreboard: they are acknowledged.
    pub(super) gone: u32,
    /// When the first and the last of it left that was sent only once, and was not reported before.
    pub(super) first: Option<Instant>,
    pub(super) last: Option<Instant>,
    /// Some of it had been sent more than once.
    pub(super) resent: bool,
    /// Some of it was sent only once, and up to the mark that was asked for.
    pub(super) original: bool,
    /// Where the lowest of it starts that was sent only once and nobody knew to have arrived; of reports only what lies below
    /// the highest one.
    pub(super) late: Option<Seq>,
    /// What was sent last of it.
    pub(super) latest: Option<Record>,
}

impl News {
    fn note(&mut self, record: &Record, below: Seq) {
        self.latest = later(self.latest, *record);
        if record.times == 1 {
            self.first.get_or_insert(record.last_sent);
            self.last = Some(record.last_sent);
            self.original |= record.end.le(below);
        }
    }

    fn note_late(&mut self, start: Seq) {
        self.late = Some(self.late.map_or(start, |late| late.min(start)));
    }
}

/// All that was sent and not acknowledged, in order.
pub(super) struct Scoreboard {
    records: VecDeque<Record>,
    /// Transmissions in their order; some that are over may still be in it.
    by_time: VecDeque<Sent>,
    /// How many transmissions there were, when the last one left, and how many there were before that moment.
    transmissions: u64,
    left_at: Instant,
    before: u64,
    tally: Tally,
    /// How many bursts are in it, each of which is one buffer on Linux.
    bursts: u32,
    /// How many segments were ever taken for lost.
    losses: u32,
    /// How many records are to be sent again.
    waiting: u32,
    highest_sacked: Option<Seq>,
    /// Below this, each record has been judged by the SACKs above it.
    judged: Option<Seq>,
    /// Where the first record starts that is to be sent again.
    first_lost: Option<Seq>,
    /// Records looked at one after the other, for the tests of what an acknowledgment costs.
    #[cfg(test)]
    pub(super) steps: u64,
}

impl Untouched for Scoreboard {
    const UNTOUCHED: &'static Scoreboard = &Scoreboard::new();

    fn untouched() -> Scoreboard {
        Scoreboard::new()
    }
}

impl Scoreboard {
    const fn new() -> Scoreboard {
        Scoreboard {
            records: VecDeque::new(),
            by_time: VecDeque::new(),
            transmissions: 0,
            left_at: Instant::ZERO,
            before: 0,
            tally: Tally { out: 0, sacked: 0, lost: 0, resent: 0 },
            bursts: 0,
            losses: 0,
            waiting: 0,
            highest_sacked: None,
            judged: None,
            first_lost: None,
            #[cfg(test)]
            steps: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// How many segments were ever taken for lost; it wraps.
    pub(super) fn losses(&self) -> u32 {
        self.losses
    }

    /// The first record.
    pub(super) fn head(&self) -> Option<&Record> {
        self.records.front()
    }

    /// Behind the highest number that the peer has reported.
    pub(super) fn highest_sacked(&self) -> Option<Seq> {
        self.highest_sacked
    }

    /// Something of what is not acknowledged was sent again, as far as that matters: it is still on its way, or it is the
    /// first.
    pub(super) fn repeats(&self) -> bool {
        self.tally.resent > 0 || self.head().is_some_and(|head| head.times > 1)
    }

    /// New data left. Its time is noted, here and in [`resent`](Scoreboard::resent) (RFC 8985 §6.1).
    pub(super) fn push(&mut self, sent: &Departed, now: Instant, departure: Departure) {
        if self.extend(sent, now) {
            return;
        }
        let &Departed { start, end, unit, push, fin, joined } = sent;
        let joined = joined && !self.records.is_empty();
        self.bursts += u32::from(!joined);
        let (order, marks) = (self.count(now), Marks::default());
        let last_sent = now;
        let record = Record {
            start,
            end,
            last_sent,
            order,
            unit,
            push,
            fin,
            joined,
            times: 1,
            run: end,
            departure,
            marks,
        };
        self.tally.add(record.segments(), marks);
        self.records.push_back(record);
        self.note_sent(Sent { start, end, order });
    }

    /// What leaves together is one record, like one packet that a device cuts: true if the last one has taken it in.
    fn extend(&mut self, sent: &Departed, now: Instant) -> bool {
        let (Some(last), Some(noted)) = (self.records.back_mut(), self.by_time.back_mut()) else {
            return false;
        };
        let whole = last.end.since(last.start).is_multiple_of(u32::from(last.unit.max(1)));
        let fresh = last.times == 1 && last.marks == Marks::default() && last.order == noted.order;
        if !sent.joined || !whole || !fresh || last.last_sent != now || last.unit != sent.unit {
            return false;
        }
        let before = last.segments();
        (last.end, last.run, last.push, last.fin) = (sent.end, sent.end, sent.push, sent.fin);
        noted.end = sent.end;
        self.tally.out += last.segments() - before;
        true
    }

    /// The number of a transmission that leaves now.
    fn count(&mut self, now: Instant) -> u64 {
        if now != self.left_at {
            (self.left_at, self.before) = (now, self.transmissions);
        }
        self.transmissions += 1;
        self.transmissions
    }

    fn note_sent(&mut self, sent: Sent) {
        // What is over is dropped now and then, so that the list is not longer than what is in flight by much.
        if self.by_time.len() > 2 * self.records.len() + 16 {
            let records = &self.records;
            self.by_time.retain(|sent| live(records, sent).is_some());
        }
        self.by_time.push_back(sent);
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "the tests count"))]
    fn step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }

    fn mark(&mut self, i: usize, marks: Marks) {
        let record = &mut self.records[i];
        let (old, segments, start) = (record.marks, record.segments(), record.start);
        record.marks = marks;
        self.tally.remove(segments, old);
        self.tally.add(segments, marks);
        self.waiting = self.waiting + u32::from(marks.waits()) - u32::from(old.waits());
        if marks.waits() {
            self.first_lost = Some(self.first_lost.map_or(start, |first| first.min(start)));
        } else if self.first_lost == Some(start) {
            self.find_lost_from(i + 1);
        }
    }

    /// Takes the record for lost; one that was sent again is lost again.
    fn lose(&mut self, i: usize) {
        let Record { marks, .. } = self.records[i];
        if !marks.sacked && !marks.waits() {
            self.losses = self.losses.wrapping_add(self.records[i].segments());
            // What is on its way again although it was not lost is believed to arrive; as on Linux.
            self.mark(i, Marks { lost: true, resent: marks.resent && !marks.lost, ..marks });
        }
    }

    fn find_lost_from(&mut self, i: usize) {
        self.first_lost = None;
        if self.waiting == 0 {
            return;
        }
        for k in i..self.records.len() {
            self.step();
            if self.records[k].marks.waits() {
                self.first_lost = Some(self.records[k].start);
                return;
            }
        }
    }

    /// The peer has everything below `una`; `rack` learns what was delivered. What was sent twice measures nothing
    /// (RFC 6298 §3; RFC 9293 §3.8.1, MUST-18).
    pub(super) fn release(&mut self, una: Seq, rack: &mut Rack, seen: impl Into<Seen>, below: Seq) -> News {
        let seen = seen.into();
        let mut news = News::default();
        while let Some(&record) = self.records.front() {
            if record.start.ge(una) {
                break;
            }
            self.step();
            let part = Record { end: record.end.min(una), fin: record.fin && record.end.le(una), ..record };
            let rest = Record { start: una, ..record };
            let segments = match part.end == record.end {
                true => record.segments(),
                false => record.segments() - rest.segments(),
            };
            // A piece of a segment says nothing.
            news.resent |= record.times > 1 && segments > 0;
            if !record.marks.sacked && segments > 0 {
                news.delivered += segments;
                rack.on_delivered(&part, seen);
                news.note(&part, below);
                if record.times == 1 {
                    news.note_late(record.start);
                }
            }
            news.gone += segments;
            self.tally.remove(segments, record.marks);
            if part.end == record.end {
                self.waiting -= u32::from(record.marks.waits());
                self.records.pop_front();
                // What is left of a burst stands for it.
                match self.records.front_mut() {
                    Some(next) if next.joined => next.joined = false,
                    _ => self.bursts -= 1,
                }
            } else {
                self.records[0].start = una;
                break;
            }
        }
        if self.first_lost.is_some_and(|first| first.lt(una)) {
            self.find_lost_from(0);
        }
        if self.highest_sacked.is_some_and(|h| h.le(una)) {
            self.highest_sacked = None;
        }
        // Numbers below UNA mean nothing, and 2 GiB later they would seem to lie ahead.
        if self.judged.is_some_and(|j| j.le(una)) {
            self.judged = None;
        }
        news
    }

    /// Makes `at` a boundary between records.
    fn split(&mut self, at: Seq) {
        let i = self.records.partition_point(|r| r.end.le(at));
        if let Some(record) = self.records.get_mut(i)
            && record.start.lt(at)
        {
            let (whole, marks) = (record.segments(), record.marks);
            let tail = Record { start: at, joined: true, ..*record };
            (record.end, record.push, record.fin) = (at, false, false);
            let halves = record.segments() + tail.segments();
            self.tally.remove(whole, marks);
            self.tally.add(halves, marks);
            self.waiting += u32::from(marks.waits());
            self.records.insert(i + 1, tail);
        }
    }

    /// The boundary between segments at `at`, or the next one above or below.
    fn boundary(&self, at: Seq, up: bool) -> Seq {
        match self.records.get(self.records.partition_point(|r| r.end.le(at))) {
            Some(record) if record.start.lt(at) => {
                let (into, unit) = (at.since(record.start), u32::from(record.unit.max(1)));
                let whole = if up { into.div_ceil(unit) * unit } else { into / unit * unit };
                // A FIN alone is no segment.
                let data = record.end.since(record.start) - u32::from(record.fin);
                if whole >= data && up { record.end } else { record.start + whole.min(data) }
            }
            _ => at,
        }
    }

    /// The peer reported `blocks` (RFC 2018; RFC 6675 §3). Blocks outside `una..nxt` are not believed, and a piece of a
    /// segment counts for nothing, as on Linux: who reported single bytes would have us keep a record of each, and
    /// repeat them in segments of a byte. So there never are more records than segments in flight.
    pub(super) fn sack(
        &mut self,
        blocks: &SackBlocks,
        (una, nxt): (Seq, Seq),
        rack: &mut Rack,
        now: Instant,
        below: Seq,
    ) -> News {
        let mut news = News::default();
        // Upwards: within one acknowledgment nothing was late.
        let mut ascending = *blocks;
        ascending.sort();
        for &(start, end) in ascending.as_slice() {
            if !(start.lt(end) && start.gt(una) && end.le(nxt)) {
                continue;
            }
            let (start, end) = (self.boundary(start, true), self.boundary(end, false));
            if !start.lt(end) {
                continue;
            }
            self.split(start);
            self.split(end);
            let first = self.records.partition_point(|r| r.start.lt(start));
            let mut i = first;
            while let Some(&record) = self.records.get(i)
                && record.end.le(end)
            {
                self.step();
                if record.marks.sacked {
                    i = self.behind_run(i);
                    continue;
                }
                news.delivered += record.segments();
                news.reported += record.end.since(record.start);
                rack.on_delivered(&record, now.into());
                news.note(&record, below);
                if record.times == 1 && self.highest_sacked.is_some_and(|high| record.start.lt(high)) {
                    news.note_late(record.start);
                }
                // A repetition that was not needed is still on its way.
                let resent = record.marks.resent && !record.marks.lost;
                self.mark(i, Marks { sacked: true, lost: false, resent, ..record.marks });
                self.records[i].run = record.end;
                i += 1;
            }
            // Peers repeat their blocks with each acknowledgment: the next time it is one step from here to the end.
            let mut k = first;
            while k < i {
                let next = self.behind_run(k);
                self.records[k].run = self.records[k].run.max(end);
                k = next;
            }
            self.highest_sacked = Some(self.highest_sacked.map_or(end, |h| h.max(end)));
        }
        news
    }

    /// The peer had `start..end` twice: what was sent again of it has arrived (RFC 2883). Returns where the lowest of it starts
    /// that was reported before, which had been on its way all along, and how many segments of it were sent again.
    pub(super) fn came_twice(&mut self, start: Seq, end: Seq) -> (Option<Seq>, u32) {
        let (mut late, mut repeated) = (None, 0);
        let first = self.records.partition_point(|r| r.start.lt(start));
        for i in first..self.records.len() {
            let record = self.records[i];
            if !record.end.le(end) {
                break;
            }
            self.step();
            let marks = record.marks;
            if record.times > 1 {
                repeated += record.segments();
                if marks.sacked && late.is_none() {
                    late = Some(record.start);
                }
            }
            if marks.resent && marks.sacked {
                self.mark(i, Marks { resent: false, ..marks });
            }
        }
        (late, repeated)
    }

    /// The first record behind those that are known to be sacked from `i` on.
    fn behind_run(&self, i: usize) -> usize {
        let run = self.records[i].run;
        match self.records.get(i + 1) {
            Some(next) if next.start.lt(run) => self.records.partition_point(|r| r.end.le(run)).max(i + 1),
            _ => i + 1,
        }
    }

    /// Declares lost what has more than two segments' worth of SACKed bytes, or three SACKed records, above
    /// it (RFC 5681 §4.3; RFC 6675 §4, `IsLost`).
    pub(super) fn judge(&mut self, mss: u32) {
        let Some(top) = self.highest_sacked else { return };
        if self.tally.sacked < 3 {
            return;
        }
        let (mut bytes, mut count) = (0, 0);
        let mut i = self.records.partition_point(|r| r.start.lt(top));
        while i > 0 && bytes <= 2 * mss && count < 3 {
            i -= 1;
            if self.records[i].marks.sacked {
                bytes += self.records[i].end.since(self.records[i].start);
                count += 1;
            }
        }
        if bytes <= 2 * mss && count < 3 {
            return;
        }
        let boundary = self.records[i].start;
        let from = self.judged.map_or(0, |j| self.records.partition_point(|r| r.start.lt(j)));
        for k in from..i {
            if self.records[k].marks.flies() && !self.records[k].marks.resent {
                self.lose(k);
            }
        }
        self.judged = Some(self.judged.map_or(boundary, |j| j.max(boundary)));
    }

    /// Declares lost what RACK gives up (RFC 8985 §6.2 step 5), each with the same `window` for lateness. Returns when the
    /// last of those that may only be late will be lost, unless it is delivered.
    ///
    /// Goes through the transmissions in their order and ends at the first that is not lost yet: what follows left later
    /// still. What is over is met once.
    pub(super) fn judge_by_time(&mut self, rack: &Rack, window: Duration, now: Instant) -> Option<Instant> {
        while let Some(&sent) = self.by_time.front() {
            self.step();
            let Some(i) = live(&self.records, &sent) else {
                self.by_time.pop_front();
                continue;
            };
            let record = self.records[i];
            if rack.lost_at(&record, window)? > now {
                self.by_time[0].start = record.start;
                break;
            }
            self.lose(i);
            self.records[i].marks.overdue = true;
            self.by_time[0].start = record.end;
        }
        let mut k = self.by_time.partition_point(|sent| rack.passed(sent.order, sent.start));
        while k > 0 {
            k -= 1;
            self.step();
            let late = live(&self.records, &self.by_time[k]);
            if let Some(at) = late.and_then(|i| rack.lost_at(&self.records[i], window)) {
                return Some(at);
            }
        }
        None
    }

    /// The timer expired: what is not reported is taken for lost (RFC 6675 §5.1), but for what left less than `age` ago
    /// (RFC 8985 §6.3); the first record in any case.
    pub(super) fn lose_older(&mut self, now: Instant, age: Duration) {
        for i in 0..self.records.len() {
            if i == 0 || now.since(self.records[i].last_sent) >= age {
                self.lose(i);
            }
            if i == 0 {
                // It is sent again in any case.
                self.mark(0, Marks { resent: false, ..self.records[0].marks });
            }
        }
    }

    /// The peer threw away what it had reported (RFC 2018 §8): no report is believed, and all is lost.
    pub(super) fn lose_all(&mut self) {
        for i in 0..self.records.len() {
            let marks = self.records[i].marks;
            self.mark(i, Marks { sacked: false, overdue: marks.overdue || marks.sacked, ..marks });
            self.lose(i);
        }
        (self.highest_sacked, self.judged) = (None, None);
    }

    /// Nothing was lost after all: what waits to be sent again is on its way (RFC 4015 §3.2).
    pub(super) fn lose_nothing(&mut self) {
        if self.tally.lost == 0 {
            return;
        }
        for i in 0..self.records.len() {
            self.mark(i, Marks { lost: false, ..self.records[i].marks });
        }
        // What the timer had judged is to be judged by its time.
        self.by_time.clear();
        let flying = self.records.iter().filter(|r| r.marks.flies() && !r.marks.overdue);
        self.by_time.extend(flying.map(|r| Sent { start: r.start, end: r.end, order: r.order }));
        let base = self.records.front().map_or(Seq(0), |r| r.start);
        self.by_time.make_contiguous().sort_unstable_by_key(|sent| (sent.order, sent.start.since(base)));
    }

    /// When the first record was last sent.
    pub(super) fn head_sent(&self) -> Option<Instant> {
        self.records.front().map(|record| record.last_sent)
    }

    /// Whether the peer has thrown away what it had reported (RFC 2018 §8).
    pub(super) fn head_is_sacked(&self) -> bool {
        self.records.front().is_some_and(|r| r.marks.sacked)
    }

    /// How many bursts there are.
    pub(super) fn bursts(&self) -> u32 {
        self.bursts
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut tally = Tally::default();
        self.records.iter().for_each(|r| tally.add(r.segments(), r.marks));
        assert_eq!(self.tally, tally);
        assert_eq!(self.bursts as usize, self.records.iter().filter(|r| !r.joined).count());
        let waiting = self.records.iter().filter(|r| r.marks.waits());
        assert_eq!(self.waiting as usize, waiting.clone().count());
        assert!(self.records.iter().zip(self.records.iter().skip(1)).all(|(a, b)| a.end == b.start));
        let runs = self.records.iter().filter(|r| r.marks.sacked).all(|r| {
            let mut run = self.records.iter().filter(|o| o.start.ge(r.start) && o.start.lt(r.run));
            run.all(|o| o.marks.sacked)
        });
        assert!(runs, "a run has a hole");
        let judged = self.records.iter().filter(|r| r.marks.flies() && !r.marks.overdue).all(|r| {
            let of = |s: &&Sent| s.order == r.order && s.start.le(r.start) && s.end.ge(r.end);
            self.by_time.iter().any(|s| of(&s))
        });
        assert!(judged, "nobody judges it by time");
        assert_eq!(self.first_lost().map(|r| r.start), waiting.map(|r| r.start).next());
    }
}

/// A transmission of new data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departed {
    pub(super) start: Seq,
    /// Behind the last byte, or the FIN.
    pub(super) end: Seq,
    /// Payload bytes per segment of the wire.
    pub(super) unit: u16,
    /// The last one has PSH.
    pub(super) push: bool,
    pub(super) fin: bool,
    /// It belongs to what left right before it.
    pub(super) joined: bool,
}

/// Which of two was sent last.
pub(super) fn later(a: Option<Record>, b: Record) -> Option<Record> {
    Some(a.filter(|a| a.order > b.order).unwrap_or(b))
}

/// The first record that is still in the network of what was sent then.
fn live(records: &VecDeque<Record>, sent: &Sent) -> Option<usize> {
    // Below the first record all is acknowledged, and 2 GiB below it the numbers seem to lie ahead.
    let first = records.front()?.start;
    let from = if sent.start.lt(first) { 0 } else { records.partition_point(|r| r.end.le(sent.start)) };
    let of = |r: &&Record| r.order == sent.order && r.marks.flies();
    let pieces = records.range(from..).take_while(|r| r.start.lt(sent.end));
    pieces.enumerate().find(|(_, r)| of(r)).map(|(n, _)| from + n)
}

#[cfg(test)]
#[path = "scoreboard_tests.rs"]
mod tests;

//! What is in the network? One record per transmission, and what is known of each (RFC 6675 §2).

use super::rack::{Rack, Seen};
use super::rate::Departure;
use super::spare::Untouched;
use crate::segment::SackBlocks;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;

/// What is known of a transmission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// On its way.
    Flying,
    /// The peer said that it has it.
    Sacked,
    /// Taken for lost and not sent again yet.
    Lost,
    /// Sent again, on its way.
    Resent,
}

impl Fate {
    fn in_pipe(self) -> bool {
        matches!(self, Fate::Flying | Fate::Resent)
    }
}

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
    /// If it is Sacked: up to here all are.
    pub(super) run: Seq,
    /// What was known of the rate when it left.
    pub(super) departure: Departure,
    pub(super) fate: Fate,
}

impl Record {
    fn len(&self) -> u32 {
        self.end.since(self.start)
    }

    /// Segments of the wire.
    fn segments(&self) -> u32 {
        self.len().div_ceil(u32::from(self.unit.max(1)))
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

/// What a cumulative acknowledgment released.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Released {
    /// When the oldest released record was sent, if nothing released was ever sent twice (Karn).
    pub(super) sample: Option<Instant>,
    /// Something released had been sent more than once.
    pub(super) resent: bool,
    /// Bytes of it that no SACK had reported before, and their segments.
    pub(super) delivered: u32,
    pub(super) segments: u32,
    /// Among them some that were sent once only, and up to where the last recovery began.
    pub(super) original: bool,
    /// What was sent last of it.
    pub(super) latest: Option<Record>,
}

/// What SACK blocks reported for the first time.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sacked {
    pub(super) bytes: u32,
    pub(super) segments: u32,
    /// Some of it was sent once only, and up to where the last recovery began.
    pub(super) original: bool,
    /// When the first of it that was sent once only left.
    pub(super) sample: Option<Instant>,
    /// What was sent last of it.
    pub(super) latest: Option<Record>,
}

/// How many segments are where.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Census {
    /// Sent and not acknowledged.
    pub(super) out: u32,
    pub(super) sacked: u32,
    /// Taken for lost, whether sent again or not.
    pub(super) lost: u32,
    /// Sent again and on their way.
    pub(super) resent: u32,
}

/// All that was sent and not acknowledged, in order.
pub(super) struct Scoreboard {
    records: VecDeque<Record>,
    /// Transmissions in their order; some that are over may still be in it.
    by_time: VecDeque<Sent>,
    /// How many transmissions there were.
    transmissions: u64,
    /// Bytes in records that are Flying or Resent: `pipe` of RFC 6675 §4.
    pipe: u32,
    /// Bytes in records that are Sacked, and their segments.
    sacked: u32,
    sacked_segments: u32,
    /// How many records are Lost.
    lost: u32,
    highest_sacked: Option<Seq>,
    /// Below this, each record has been judged by the SACKs above it.
    judged: Option<Seq>,
    /// Where the first Lost record starts.
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
            pipe: 0,
            sacked: 0,
            sacked_segments: 0,
            lost: 0,
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

    pub(super) fn pipe(&self) -> u32 {
        self.pipe
    }

    pub(super) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// New data `start..end` left, in segments of `unit` bytes, the last one with PSH if `push`. Its time is
    /// noted, here and in [`resent`](Scoreboard::resent) (RFC 8985 §6.1).
    pub(super) fn push(
        &mut self,
        start: Seq,
        end: Seq,
        now: Instant,
        unit: u16,
        push: bool,
        departure: Departure,
    ) {
        self.pipe += end.since(start);
        self.transmissions += 1;
        let order = self.transmissions;
        let fate = Fate::Flying;
        let record =
            Record { start, end, last_sent: now, order, unit, push, times: 1, run: end, departure, fate };
        self.records.push_back(record);
        self.note_sent(Sent { start, end, order });
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

    fn set_fate(&mut self, i: usize, fate: Fate) {
        let record = &mut self.records[i];
        let (old, len, segments) = (record.fate, record.len(), record.segments());
        record.fate = fate;
        match (old.in_pipe(), fate.in_pipe()) {
            (true, false) => self.pipe -= len,
            (false, true) => self.pipe += len,
            _ => {}
        }
        match (old == Fate::Sacked, fate == Fate::Sacked) {
            (true, false) => {
                (self.sacked, self.sacked_segments) = (self.sacked - len, self.sacked_segments - segments)
            }
            (false, true) => {
                (self.sacked, self.sacked_segments) = (self.sacked + len, self.sacked_segments + segments)
            }
            _ => {}
        }
        self.lost = self.lost + u32::from(fate == Fate::Lost) - u32::from(old == Fate::Lost);
        let start = self.records[i].start;
        if fate == Fate::Lost {
            self.first_lost = Some(self.first_lost.map_or(start, |first| first.min(start)));
        } else if self.first_lost == Some(start) {
            self.find_lost_from(i + 1);
        }
    }

    fn find_lost_from(&mut self, i: usize) {
        self.first_lost = None;
        if self.lost == 0 {
            return;
        }
        for k in i..self.records.len() {
            self.step();
            if self.records[k].fate == Fate::Lost {
                self.first_lost = Some(self.records[k].start);
                return;
            }
        }
    }

    /// The peer has everything below `una`; `rack` learns what was delivered. What was sent twice measures nothing
    /// (RFC 6298 §3; RFC 9293 §3.8.1, MUST-18).
    pub(super) fn release(
        &mut self,
        una: Seq,
        rack: &mut Rack,
        seen: impl Into<Seen>,
        recover: Seq,
    ) -> Released {
        let seen = seen.into();
        let mut released = Released::default();
        while let Some(&record) = self.records.front() {
            if record.start.ge(una) {
                break;
            }
            released.resent |= record.times > 1;
            if released.sample.is_none() && record.fate != Fate::Sacked {
                released.sample = Some(record.last_sent);
            }
            // Take what is acknowledged out of the sums by cutting the record there.
            let gone = record.end.min(una).since(record.start);
            if record.fate != Fate::Sacked {
                released.delivered += gone;
                let rest = Record { start: record.end.min(una), ..record };
                released.latest = later(released.latest, record);
                released.segments += record.segments() - rest.segments();
                rack.on_delivered(&Record { end: record.end.min(una), ..record }, seen);
                released.original |= record.times == 1 && record.end.min(una).le(recover);
            }
            if record.fate.in_pipe() {
                self.pipe -= gone;
            } else if record.fate == Fate::Sacked {
                self.sacked -= gone;
                let rest = Record { start: record.end.min(una), ..record };
                self.sacked_segments -= record.segments() - rest.segments();
            }
            self.step();
            if record.end.le(una) {
                self.lost -= u32::from(record.fate == Fate::Lost);
                self.records.pop_front();
            } else {
                self.records[0].start = una;
                break;
            }
        }
        if self.first_lost.is_some_and(|first| first.lt(una)) {
            self.find_lost_from(0);
        }
        if released.resent {
            released.sample = None;
        }
        if self.highest_sacked.is_some_and(|h| h.le(una)) {
            self.highest_sacked = None;
        }
        // Numbers below UNA mean nothing, and 2 GiB later they would seem to lie ahead.
        if self.judged.is_some_and(|j| j.le(una)) {
            self.judged = None;
        }
        released
    }

    /// Makes `at` a boundary between records.
    fn split(&mut self, at: Seq) {
        let i = self.records.partition_point(|r| r.end.le(at));
        if let Some(record) = self.records.get_mut(i)
            && record.start.lt(at)
        {
            let tail = Record { start: at, ..*record };
            let whole = record.segments();
            (record.end, record.push) = (at, false);
            let halves = record.segments() + tail.segments();
            match record.fate {
                Fate::Sacked => self.sacked_segments += halves - whole,
                Fate::Lost => self.lost += 1,
                _ => {}
            }
            self.records.insert(i + 1, tail);
        }
    }

    /// The boundary between segments at `at`, or the next one above or below.
    fn boundary(&self, at: Seq, up: bool) -> Seq {
        match self.records.get(self.records.partition_point(|r| r.end.le(at))) {
            Some(record) if record.start.lt(at) => {
                let (into, unit) = (at.since(record.start), u32::from(record.unit.max(1)));
                let whole = if up { into.div_ceil(unit) * unit } else { into / unit * unit };
                record.start + whole.min(record.len())
            }
            _ => at,
        }
    }

    /// The peer reported `blocks` (RFC 2018; RFC 6675 §3); says what of them was news, up to `recover` in part. Blocks outside
    /// `una..nxt` are not believed, and a piece of a segment counts for nothing, as on Linux: who reported single
    /// bytes would have us keep a record of each, and repeat them in segments of a byte.
    pub(super) fn sack(
        &mut self,
        blocks: &SackBlocks,
        una: Seq,
        nxt: Seq,
        rack: &mut Rack,
        now: Instant,
        recover: Seq,
    ) -> Sacked {
        let mut news = Sacked::default();
        // Upwards: within one acknowledgment nothing was late.
        let mut ascending = *blocks;
        ascending.sort();
        for &(start, end) in ascending.as_slice() {
            if !(start.lt(end) && start.ge(una) && end.le(nxt)) {
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
                if record.fate == Fate::Sacked {
                    i = self.behind_run(i);
                    continue;
                }
                news.latest = later(news.latest, record);
                news.bytes += record.len();
                news.segments += record.segments();
                rack.on_delivered(&record, now.into());
                if record.times == 1 {
                    news.original |= record.end.le(recover);
                    news.sample.get_or_insert(record.last_sent);
                }
                self.set_fate(i, Fate::Sacked);
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

    /// The first record behind those that are known to be Sacked from `i` on.
    fn behind_run(&self, i: usize) -> usize {
        let run = self.records[i].run;
        match self.records.get(i + 1) {
            Some(next) if next.start.lt(run) => self.records.partition_point(|r| r.end.le(run)).max(i + 1),
            _ => i + 1,
        }
    }

    /// Declares lost what has more than two segments' worth of SACKed bytes, or three SACKed records, above
    /// it (RFC 5681 §4.3; RFC 6675 §4, `IsLost`); true if anything was.
    pub(super) fn judge(&mut self, mss: u32) -> bool {
        let Some(top) = self.highest_sacked else { return false };
        if self.sacked <= 2 * mss && self.sacked_segments < 3 {
            return false;
        }
        let (mut bytes, mut count) = (0, 0);
        let mut i = self.records.partition_point(|r| r.start.lt(top));
        while i > 0 && bytes <= 2 * mss && count < 3 {
            i -= 1;
            if self.records[i].fate == Fate::Sacked {
                bytes += self.records[i].len();
                count += 1;
            }
        }
        if bytes <= 2 * mss && count < 3 {
            return false;
        }
        let boundary = self.records[i].start;
        let from = self.judged.map_or(0, |j| self.records.partition_point(|r| r.start.lt(j)));
        let mut any = false;
        for k in from..i {
            if self.records[k].fate == Fate::Flying {
                any = true;
                self.set_fate(k, Fate::Lost);
            }
        }
        self.judged = Some(self.judged.map_or(boundary, |j| j.max(boundary)));
        any
    }

    /// Declares lost what RACK gives up (RFC 8985 §6.2 step 5), each with the same `window` for lateness. Returns
    /// whether anything was, and when the next record will be unless it is delivered.
    ///
    /// Goes through the transmissions in their order and ends at the first that is not lost yet: what follows left later
    /// still. What is over is met once.
    pub(super) fn judge_by_time(
        &mut self,
        rack: &Rack,
        window: Duration,
        now: Instant,
    ) -> (bool, Option<Instant>) {
        let mut any = false;
        while let Some(&sent) = self.by_time.front() {
            self.step();
            let Some(i) = live(&self.records, &sent) else {
                self.by_time.pop_front();
                continue;
            };
            let record = self.records[i];
            match rack.lost_at(&record, window) {
                Some(at) if at <= now => {
                    any = true;
                    self.set_fate(i, Fate::Lost);
                    self.by_time[0].start = record.end;
                }
                next => {
                    self.by_time[0].start = record.start;
                    return (any, next);
                }
            }
        }
        (any, None)
    }

    /// What was sent `age` ago or earlier is taken for lost (RFC 8985 §6.3).
    pub(super) fn lose_older(&mut self, now: Instant, age: Duration) {
        for i in 0..self.records.len() {
            let record = &self.records[i];
            if record.fate.in_pipe() && now.since(record.last_sent) >= age {
                self.set_fate(i, Fate::Lost);
            }
        }
    }

    /// Nothing was lost after all: what waits to be sent again is on its way (RFC 4015 §3.2).
    pub(super) fn lose_nothing(&mut self) {
        if self.lost == 0 {
            return;
        }
        for i in 0..self.records.len() {
            if self.records[i].fate == Fate::Lost {
                self.set_fate(i, Fate::Flying);
            }
        }
        // They had been judged; now they are to be judged again.
        self.by_time.clear();
        let flying = self.records.iter().filter(|r| r.fate.in_pipe());
        self.by_time.extend(flying.map(|r| Sent { start: r.start, end: r.end, order: r.order }));
        let base = self.records.front().map_or(Seq(0), |r| r.start);
        self.by_time.make_contiguous().sort_unstable_by_key(|sent| (sent.order, sent.start.since(base)));
    }

    /// The last record, if the peer has not reported it.
    pub(super) fn tail(&self) -> Option<&Record> {
        self.records.back().filter(|r| r.fate != Fate::Sacked)
    }

    /// Whether something is lost, and nothing outside of `start..end`.
    pub(super) fn lost_only_within(&self, start: Seq, end: Seq) -> bool {
        let mut lost = self.records.iter().filter(|r| r.fate == Fate::Lost).peekable();
        lost.peek().is_some() && lost.all(|r| r.start.ge(start) && r.end.le(end))
    }

    /// Takes the last segment for lost, to be sent again as a probe (RFC 8985 §7.3); a FIN at `data_end` goes with it.
    pub(super) fn lose_tail(&mut self, data_end: Seq) {
        if let Some(tail) = self.records.back() {
            let unit = u32::from(tail.unit.max(1));
            let data = tail.end.min(data_end).since(tail.start);
            self.split(tail.start + data.saturating_sub(1) / unit * unit);
            self.set_fate(self.records.len() - 1, Fate::Lost);
        }
    }

    /// How many segments the peer has reported.
    pub(super) fn sacked_segments(&self) -> u32 {
        self.sacked_segments
    }

    /// The first record is taken for lost, whatever was thought of it; at most `len` bytes of it.
    pub(super) fn lose_head(&mut self, len: u32) {
        if let Some(head) = self.records.front() {
            let at = head.end.min(head.start + len);
            self.split(at);
            self.set_fate(0, Fate::Lost);
        }
    }

    /// The timer expired: all that is not SACKed is taken for lost (RFC 6675 §5.1).
    pub(super) fn lose_all(&mut self) {
        // A SACKed head means that the peer threw away what it had reported (RFC 2018 §8): believe no SACK.
        let reneged = self.head_is_sacked();
        for i in 0..self.records.len() {
            if reneged || self.records[i].fate != Fate::Sacked {
                self.set_fate(i, Fate::Lost);
            }
        }
        if reneged {
            self.highest_sacked = None;
        }
        self.judged = None;
    }

    /// When the first record was last sent.
    pub(super) fn head_sent(&self) -> Option<Instant> {
        self.records.front().map(|record| record.last_sent)
    }

    /// Whether the peer has thrown away what it had reported (RFC 2018 §8).
    pub(super) fn head_is_sacked(&self) -> bool {
        self.records.front().is_some_and(|r| r.fate == Fate::Sacked)
    }

    /// Records longer than `mss` do not fit through the path any more.
    pub(super) fn lose_longer_than(&mut self, mss: u32) {
        for i in 0..self.records.len() {
            if self.records[i].fate.in_pipe() && self.records[i].len() > mss {
                self.set_fate(i, Fate::Lost);
            }
        }
    }

    /// The first record that is lost and not yet sent again.
    pub(super) fn first_lost(&self) -> Option<&Record> {
        let first = self.first_lost?;
        self.records.get(self.records.partition_point(|r| r.start.lt(first)))
    }

    /// The end of what one segment with `full` bytes of data can repeat from the first lost record on: a part of it, or
    /// all of it and of those lost behind it (RFC 9293 §3.8 calls it repacketization). `data_end` is where a FIN stands;
    /// nothing joins across `until`.
    pub(super) fn repeatable(&self, full: u32, data_end: Seq, until: Option<Seq>) -> Option<Seq> {
        let start = self.first_lost?;
        let i = self.records.partition_point(|r| r.start.lt(start));
        let most = start + full;
        let fits = |end: Seq| end.min(data_end).le(most) && until.is_none_or(|until| end.le(until));
        // Like Linux: nothing joins a segment that is full, not even a FIN.
        let joins = |r: &Record| r.start == start || self.records[i].end.min(data_end).lt(most);
        let run = self.records.range(i..).take_while(|r| r.fate == Fate::Lost && fits(r.end) && joins(r));
        Some(run.last().map_or(most, |r| r.end))
    }

    /// The lost records from `start` on, or as much of them as ends at `end`, left again; true if PSH belongs there.
    pub(super) fn resent(&mut self, start: Seq, end: Seq, now: Instant, departure: Departure) -> bool {
        self.split(end);
        self.transmissions += 1;
        let mut push = false;
        let mut i = self.records.partition_point(|r| r.start.lt(start));
        while let Some(record) = self.records.get_mut(i)
            && record.end.le(end)
        {
            (record.last_sent, record.departure) = (now, departure);
            record.order = self.transmissions;
            record.times = record.times.saturating_add(1);
            push |= record.push;
            self.set_fate(i, Fate::Resent);
            i += 1;
        }
        self.note_sent(Sent { start, end, order: self.transmissions });
        push
    }

    /// Counts what is in flight; looks at each record.
    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        for record in &self.records {
            let segments = record.segments();
            census.out += segments;
            match record.fate {
                Fate::Flying => {}
                Fate::Sacked => census.sacked += segments,
                Fate::Lost => census.lost += segments,
                Fate::Resent => {
                    census.lost += segments;
                    census.resent += segments;
                }
            }
        }
        census
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let sum =
            |f: fn(Fate) -> bool| self.records.iter().filter(|r| f(r.fate)).map(Record::len).sum::<u32>();
        assert_eq!(self.pipe, sum(Fate::in_pipe));
        assert_eq!(self.sacked, sum(|f| f == Fate::Sacked));
        let of = |fate: Fate| self.records.iter().filter(move |r| r.fate == fate);
        assert_eq!(self.sacked_segments, of(Fate::Sacked).map(Record::segments).sum::<u32>());
        assert_eq!(self.lost as usize, of(Fate::Lost).count());
        assert!(self.records.iter().zip(self.records.iter().skip(1)).all(|(a, b)| a.end == b.start));
        let runs = of(Fate::Sacked).all(|r| {
            let run = self.records.iter().filter(|o| o.start.ge(r.start) && o.start.lt(r.run));
            run.clone().all(|o| o.fate == Fate::Sacked)
        });
        assert!(runs, "a run has a hole");
        let judged = self.records.iter().filter(|r| r.fate.in_pipe()).all(|r| {
            let of = |s: &&Sent| s.order == r.order && s.start.le(r.start) && s.end.ge(r.end);
            self.by_time.iter().any(|s| of(&s))
        });
        assert!(judged, "nobody judges it by time");
        let first = self.records.iter().find(|r| r.fate == Fate::Lost).map(|r| r.start);
        assert_eq!(self.first_lost().map(|r| r.start), first);
    }
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
    let of = |r: &&Record| r.order == sent.order && r.fate.in_pipe();
    let pieces = records.range(from..).take_while(|r| r.start.lt(sent.end));
    pieces.enumerate().find(|(_, r)| of(r)).map(|(n, _)| from + n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn board(segments: u32) -> Scoreboard {
        let mut b = Scoreboard::new();
        for n in 0..segments {
            b.push(
                Seq(n * 100),
                Seq(n * 100 + 100),
                Instant::from_millis(u64::from(n)),
                100,
                true,
                Departure::default(),
            );
        }
        b
    }

    fn sack(b: &mut Scoreboard, start: u32, end: u32) -> u32 {
        let mut blocks = SackBlocks::NONE;
        blocks.push(Seq(start), Seq(end));
        b.sack(&blocks, Seq(0), Seq(100_000), &mut Rack::new(Seq(0)), Instant::ZERO, Seq(0)).bytes
    }

    #[test]
    fn three_segments_above_a_hole_make_it_lost() {
        let mut b = board(6);
        assert_eq!(sack(&mut b, 100, 300), 200);
        assert!(!b.judge(100));
        assert_eq!(sack(&mut b, 100, 400), 100);
        assert!(b.judge(100));
        assert_eq!(b.first_lost().map(|r| (r.start, r.end)), Some((Seq(0), Seq(100))));
        assert_eq!(b.pipe(), 200);
        b.check();
    }

    #[test]
    fn one_record_for_many_segments_is_cut_by_what_the_peer_reports() {
        let mut b = Scoreboard::new();
        b.push(Seq(0), Seq(1000), Instant::ZERO, 100, true, Departure::default());
        assert_eq!(sack(&mut b, 300, 600), 300);
        assert!(b.judge(100), "one record is not three, but its bytes are more than two segments");
        assert_eq!(b.first_lost().map(|r| (r.start, r.end)), Some((Seq(0), Seq(300))));
        b.check();
    }

    #[test]
    fn a_sacked_head_at_a_timeout_means_that_no_sack_can_be_believed() {
        let mut b = board(4);
        sack(&mut b, 100, 400);
        b.release(Seq(100), &mut Rack::new(Seq(0)), Instant::ZERO, Seq(0));
        b.lose_all();
        assert_eq!((b.sacked(), b.pipe()), (0, 0));
        assert_eq!(b.first_lost().map(|r| r.start), Some(Seq(100)));
        b.check();
    }

    #[test]
    fn data_that_was_sent_twice_gives_no_sample() {
        let mut b = board(3);
        assert_eq!(
            b.release(Seq(150), &mut Rack::new(Seq(0)), Instant::ZERO, Seq(0)).sample,
            Some(Instant::ZERO)
        );
        b.lose_head(100);
        b.resent(Seq(150), Seq(200), Instant::from_millis(50), Departure::default());
        let r = b.release(Seq(300), &mut Rack::new(Seq(0)), Instant::ZERO, Seq(0));
        assert!(r.resent && r.sample.is_none());
    }

    const MANY: u32 = 10_000;

    /// What `acks` acknowledgments cost, each of which reports what `block` says, from a window of 10,000 segments; what
    /// is found lost is sent again at once.
    fn steps(acks: u32, block: impl Fn(u32) -> (u32, u32)) -> u64 {
        let mut b = board(MANY);
        let (mut rack, now) = (Rack::new(Seq(0)), Instant::from_millis(100_000));
        let before = b.steps;
        for n in 0..acks {
            let mut blocks = SackBlocks::NONE;
            let (start, end) = block(n);
            blocks.push(Seq(start * 100), Seq(end * 100));
            b.sack(&blocks, Seq(0), Seq(MANY * 100), &mut rack, now, Seq(0));
            b.judge_by_time(&rack, Duration::ZERO, now);
            while let Some(start) = b.first_lost().map(|r| r.start) {
                b.resent(start, start + 100, now, Departure::default());
            }
            let _ = b.sacked_segments();
        }
        b.steps - before
    }

    #[test]
    fn an_acknowledgment_costs_what_it_changes_and_not_what_is_in_flight() {
        // One hole and a block that grows by a segment each time.
        let growing = steps(MANY - 1, |n| (1, n + 2));
        assert!(growing < 8 * u64::from(MANY), "{growing} steps");
        // Every second segment is lost.
        let combed = steps(MANY / 2, |n| (2 * n + 1, 2 * n + 2));
        assert!(combed < 8 * u64::from(MANY), "{combed} steps");
        // The same large block for ever, and blocks that begin anywhere in it.
        let same = steps(MANY, |_| (1, MANY));
        assert!(same < 8 * u64::from(MANY), "{same} steps");
        let inside = steps(2 * MANY, |n| (1 + n * 7919 % (MANY - 1), MANY));
        assert!(inside < 16 * u64::from(MANY), "{inside} steps");
    }

    proptest! {
        #[test]
        fn the_sums_always_hold(ops in prop::collection::vec((0u8..6, 0u32..3000, 1u32..500), 1..80)) {
            let mut b = Scoreboard::new();
            let (mut una, mut nxt) = (0u32, 0u32);
            for (op, at, len) in ops {
                match op {
                    0 => { b.push(Seq(nxt), Seq(nxt + len), Instant::from_millis(u64::from(at)), 100, true, Departure::default()); nxt += len; }
                    1 if nxt > una => { una += at % (nxt - una + 1); b.release(Seq(una), &mut Rack::new(Seq(0)), Instant::ZERO, Seq(0)); }
                    2 if nxt > una => {
                        let start = una + at % (nxt - una);
                        let mut blocks = SackBlocks::NONE;
                        blocks.push(Seq(start), Seq((start + len).min(nxt)));
                        b.sack(&blocks, Seq(una), Seq(nxt), &mut Rack::new(Seq(0)), Instant::ZERO, Seq(0));
                        b.judge(100);
                    }
                    3 => b.lose_all(),
                    4 => b.lose_head(len),
                    _ => {
                        if let Some(start) = b.first_lost().map(|r| r.start) {
                            let end = b.repeatable(len, Seq(nxt), None).unwrap();
                            assert!(end.gt(start) && end.le(start + len));
                            b.resent(start, end, Instant::from_millis(u64::from(at)), Departure::default());
                        }
                    }
                }
                b.check();
            }
        }
    }
}

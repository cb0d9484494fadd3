//! What is in the network? One record per transmission, and what is known of each (RFC 6675 §2).

use super::rack::{Rack, Seen};
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
    pub(super) fate: Fate,
}

impl Record {
    fn len(&self) -> u32 {
        self.end.since(self.start)
    }
}

/// What a cumulative acknowledgment released.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Released {
    /// When the oldest released record was sent, if nothing released was ever sent twice (Karn).
    pub(super) sample: Option<Instant>,
    /// Something released had been sent more than once.
    pub(super) resent: bool,
    /// Bytes of it that no SACK had reported before.
    pub(super) delivered: u32,
    /// Among them some that were sent once only, and up to where the last recovery began.
    pub(super) original: bool,
}

/// All that was sent and not acknowledged, in order.
#[derive(Default)]
pub(super) struct Scoreboard {
    records: VecDeque<Record>,
    /// How many transmissions there were.
    transmissions: u64,
    /// Bytes in records that are Flying or Resent: `pipe` of RFC 6675 §4.
    pipe: u32,
    /// Bytes in records that are Sacked.
    sacked: u32,
    highest_sacked: Option<Seq>,
    /// Below this, each record has been judged by the SACKs above it.
    judged: Option<Seq>,
    /// Where the first Lost record starts.
    first_lost: Option<Seq>,
}

impl Scoreboard {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Gives memory back that holds nothing.
    pub(super) fn rest(&mut self) {
        if self.records.is_empty() {
            self.records.shrink_to(0);
        }
    }

    pub(super) fn pipe(&self) -> u32 {
        self.pipe
    }

    pub(super) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// New data `start..end` left, in segments of `unit` bytes, the last one with PSH if `push`. Its time is
    /// noted, here and in [`resent`](Scoreboard::resent) (RFC 8985 §6.1).
    pub(super) fn push(&mut self, start: Seq, end: Seq, now: Instant, unit: u16, push: bool) {
        self.pipe += end.since(start);
        self.transmissions += 1;
        let order = self.transmissions;
        let record = Record { start, end, last_sent: now, order, unit, push, times: 1, fate: Fate::Flying };
        self.records.push_back(record);
    }

    fn set_fate(&mut self, i: usize, fate: Fate) {
        let record = &mut self.records[i];
        let (old, len) = (record.fate, record.len());
        record.fate = fate;
        match (old.in_pipe(), fate.in_pipe()) {
            (true, false) => self.pipe -= len,
            (false, true) => self.pipe += len,
            _ => {}
        }
        match (old == Fate::Sacked, fate == Fate::Sacked) {
            (true, false) => self.sacked -= len,
            (false, true) => self.sacked += len,
            _ => {}
        }
        let start = self.records[i].start;
        if fate == Fate::Lost {
            self.first_lost = Some(self.first_lost.map_or(start, |first| first.min(start)));
        } else if self.first_lost == Some(start) {
            self.find_lost_from(i + 1);
        }
    }

    fn find_lost_from(&mut self, i: usize) {
        self.first_lost = self.records.range(i..).find(|r| r.fate == Fate::Lost).map(|r| r.start);
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
                rack.on_delivered(&Record { end: record.end.min(una), ..record }, seen);
                released.original |= record.times == 1 && record.end.min(una).le(recover);
            }
            if record.fate.in_pipe() {
                self.pipe -= gone;
            } else if record.fate == Fate::Sacked {
                self.sacked -= gone;
            }
            if record.end.le(una) {
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
            (record.end, record.push) = (at, false);
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

    /// The peer reported `blocks` (RFC 2018; RFC 6675 §3); returns how many bytes were news, and whether some of them,
    /// below `recover`, were sent once only. Blocks outside
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
    ) -> (u32, bool) {
        let (mut news, mut original) = (0, false);
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
            let mut i = self.records.partition_point(|r| r.start.lt(start));
            while let Some(record) = self.records.get(i)
                && record.end.le(end)
            {
                if record.fate != Fate::Sacked {
                    news += record.len();
                    rack.on_delivered(record, now.into());
                    original |= record.times == 1 && record.end.le(recover);
                    self.set_fate(i, Fate::Sacked);
                }
                i += 1;
            }
            self.highest_sacked = Some(self.highest_sacked.map_or(end, |h| h.max(end)));
        }
        (news, original)
    }

    /// Declares lost what has more than two segments' worth of SACKed bytes, or three SACKed records, above
    /// it (RFC 5681 §4.3; RFC 6675 §4, `IsLost`); true if anything was.
    pub(super) fn judge(&mut self, mss: u32) -> bool {
        let Some(top) = self.highest_sacked else { return false };
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
    /// Ends at the first record that left later than the last delivered one and was sent once: what follows left
    /// later still.
    pub(super) fn judge_by_time(
        &mut self,
        rack: &Rack,
        window: Duration,
        now: Instant,
    ) -> (bool, Option<Instant>) {
        let (mut any, mut next) = (false, None);
        for i in 0..self.records.len() {
            let record = self.records[i];
            if !record.fate.in_pipe() {
                continue;
            }
            match rack.lost_at(&record, window) {
                None if record.times == 1 => break,
                None => {}
                Some(at) if at <= now => {
                    any = true;
                    self.set_fate(i, Fate::Lost);
                }
                Some(at) => next = Some(next.map_or(at, |n: Instant| n.min(at))),
            }
        }
        (any, next)
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
        for i in 0..self.records.len() {
            if self.records[i].fate == Fate::Lost {
                self.set_fate(i, Fate::Flying);
            }
        }
    }

    /// The last record, if the peer has not reported it.
    pub(super) fn tail(&self) -> Option<&Record> {
        self.records.back().filter(|r| r.fate != Fate::Sacked)
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

    /// How many records the peer has reported, at the most `limit`.
    pub(super) fn sacked_segments(&self, limit: usize) -> usize {
        if self.sacked == 0 {
            return 0;
        }
        let segments = |r: &Record| r.len().div_ceil(u32::from(r.unit.max(1))) as usize;
        let mut count = 0;
        for record in self.records.iter().rev() {
            if record.fate == Fate::Sacked {
                count += segments(record);
            }
            if count >= limit {
                return limit;
            }
        }
        count
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
    /// all of it and of those lost behind it (RFC 9293 §3.8 calls it repacketization). `data_end` is where a FIN stands.
    pub(super) fn repeatable(&self, full: u32, data_end: Seq) -> Option<Seq> {
        let start = self.first_lost?;
        let i = self.records.partition_point(|r| r.start.lt(start));
        let most = start + full;
        let fits = |end: Seq| end.min(data_end).le(most);
        // Like Linux: nothing joins a segment that is full, not even a FIN.
        let joins = |r: &Record| r.start == start || self.records[i].end.min(data_end).lt(most);
        let run = self.records.range(i..).take_while(|r| r.fate == Fate::Lost && fits(r.end) && joins(r));
        Some(run.last().map_or(most, |r| r.end))
    }

    /// The lost records from `start` on, or as much of them as ends at `end`, left again; true if PSH belongs there.
    pub(super) fn resent(&mut self, start: Seq, end: Seq, now: Instant) -> bool {
        self.split(end);
        self.transmissions += 1;
        let mut push = false;
        let mut i = self.records.partition_point(|r| r.start.lt(start));
        while let Some(record) = self.records.get_mut(i)
            && record.end.le(end)
        {
            record.last_sent = now;
            record.order = self.transmissions;
            record.times = record.times.saturating_add(1);
            push |= record.push;
            self.set_fate(i, Fate::Resent);
            i += 1;
        }
        push
    }

    pub(super) fn clear(&mut self) {
        *self = Scoreboard::default();
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
        assert!(self.records.iter().zip(self.records.iter().skip(1)).all(|(a, b)| a.end == b.start));
        let first = self.records.iter().find(|r| r.fate == Fate::Lost).map(|r| r.start);
        assert_eq!(self.first_lost().map(|r| r.start), first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn board(segments: u32) -> Scoreboard {
        let mut b = Scoreboard::default();
        for n in 0..segments {
            b.push(Seq(n * 100), Seq(n * 100 + 100), Instant::from_millis(u64::from(n)), 100, true);
        }
        b
    }

    fn sack(b: &mut Scoreboard, start: u32, end: u32) -> u32 {
        let mut blocks = SackBlocks::NONE;
        blocks.push(Seq(start), Seq(end));
        b.sack(&blocks, Seq(0), Seq(100_000), &mut Rack::new(Seq(0)), Instant::ZERO, Seq(0)).0
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
        let mut b = Scoreboard::default();
        b.push(Seq(0), Seq(1000), Instant::ZERO, 100, true);
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
        b.resent(Seq(150), Seq(200), Instant::from_millis(50));
        let r = b.release(Seq(300), &mut Rack::new(Seq(0)), Instant::ZERO, Seq(0));
        assert!(r.resent && r.sample.is_none());
    }

    proptest! {
        #[test]
        fn the_sums_always_hold(ops in prop::collection::vec((0u8..6, 0u32..3000, 1u32..500), 1..80)) {
            let mut b = Scoreboard::default();
            let (mut una, mut nxt) = (0u32, 0u32);
            for (op, at, len) in ops {
                match op {
                    0 => { b.push(Seq(nxt), Seq(nxt + len), Instant::from_millis(u64::from(at)), 100, true); nxt += len; }
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
                            let end = b.repeatable(len, Seq(nxt)).unwrap();
                            assert!(end.gt(start) && end.le(start + len));
                            b.resent(start, end, Instant::from_millis(u64::from(at)));
                        }
                    }
                }
                b.check();
            }
        }
    }
}

//! What is in the network? One record per transmission, and what is known of each (RFC 6675 §2).

use crate::segment::SackBlocks;
use crate::seq::Seq;
use crate::time::Instant;
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
    pub(super) last_sent: Instant,
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
}

/// All that was sent and not acknowledged, in order.
#[derive(Default)]
pub(super) struct Scoreboard {
    records: VecDeque<Record>,
    /// Bytes in records that are Flying or Resent: `pipe` of RFC 6675.
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

    pub(super) fn pipe(&self) -> u32 {
        self.pipe
    }

    pub(super) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// New data `start..end` left; `push` if its last byte was pushed.
    pub(super) fn push(&mut self, start: Seq, end: Seq, push: bool, now: Instant) {
        self.pipe += end.since(start);
        let record = Record { start, end, last_sent: now, times: 1, push, fate: Fate::Flying };
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

    /// The peer has everything below `una`.
    pub(super) fn release(&mut self, una: Seq) -> Released {
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
        released
    }

    /// Makes `at` a boundary between records.
    fn split(&mut self, at: Seq) {
        let i = self.records.partition_point(|r| r.end.le(at));
        if let Some(record) = self.records.get_mut(i)
            && record.start.lt(at)
        {
            let tail = Record { start: at, ..*record };
            record.end = at;
            record.push = false;
            self.records.insert(i + 1, tail);
        }
    }

    /// The peer reported `blocks` (RFC 2018); returns how many bytes were news. Blocks outside
    /// `una..nxt` are not believed.
    pub(super) fn sack(&mut self, blocks: &SackBlocks, una: Seq, nxt: Seq) -> u32 {
        let mut news = 0;
        for &(start, end) in blocks.as_slice() {
            if !(start.lt(end) && start.ge(una) && end.le(nxt)) {
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
                    self.set_fate(i, Fate::Sacked);
                }
                i += 1;
            }
            self.highest_sacked = Some(self.highest_sacked.map_or(end, |h| h.max(end)));
        }
        news
    }

    /// Declares lost what has more than two segments' worth of SACKed bytes, or three SACKed records, above
    /// it (RFC 6675 §4, `IsLost`); true if anything was.
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

    /// The first record is taken for lost, whatever was thought of it; at most `len` bytes of it.
    pub(super) fn lose_head(&mut self, len: u32) {
        if let Some(head) = self.records.front() {
            let at = head.start + len;
            self.split(at);
            self.set_fate(0, Fate::Lost);
        }
    }

    /// The timer expired: all that is not SACKed is taken for lost (RFC 6675 §5.1).
    pub(super) fn lose_all(&mut self) {
        // A SACKed head means that the peer threw away what it had reported (RFC 2018 §8): believe no SACK.
        let reneged = self.records.front().is_some_and(|r| r.fate == Fate::Sacked);
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

    /// The first lost record, or as much of it as ends at `end`, left again.
    pub(super) fn resent(&mut self, start: Seq, end: Seq, now: Instant) {
        self.split(end);
        let i = self.records.partition_point(|r| r.start.lt(start));
        if let Some(record) = self.records.get_mut(i)
            && record.start == start
        {
            record.last_sent = now;
            record.times = record.times.saturating_add(1);
            self.set_fate(i, Fate::Resent);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Scoreboard::default();
    }

    #[cfg(test)]
    fn check(&self) {
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
            b.push(Seq(n * 100), Seq(n * 100 + 100), false, Instant::from_millis(u64::from(n)));
        }
        b
    }

    fn sack(b: &mut Scoreboard, start: u32, end: u32) -> u32 {
        let mut blocks = SackBlocks::NONE;
        blocks.push(Seq(start), Seq(end));
        b.sack(&blocks, Seq(0), Seq(100_000))
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
        b.push(Seq(0), Seq(1000), false, Instant::ZERO);
        assert_eq!(sack(&mut b, 300, 600), 300);
        assert!(b.judge(100), "one record is not three, but its bytes are more than two segments");
        assert_eq!(b.first_lost().map(|r| (r.start, r.end)), Some((Seq(0), Seq(300))));
        b.check();
    }

    #[test]
    fn a_sacked_head_at_a_timeout_means_that_no_sack_can_be_believed() {
        let mut b = board(4);
        sack(&mut b, 100, 400);
        b.release(Seq(100));
        b.lose_all();
        assert_eq!((b.sacked(), b.pipe()), (0, 0));
        assert_eq!(b.first_lost().map(|r| r.start), Some(Seq(100)));
        b.check();
    }

    #[test]
    fn data_that_was_sent_twice_gives_no_sample() {
        let mut b = board(3);
        assert_eq!(b.release(Seq(150)).sample, Some(Instant::ZERO));
        b.lose_head(100);
        b.resent(Seq(150), Seq(200), Instant::from_millis(50));
        let r = b.release(Seq(300));
        assert!(r.resent && r.sample.is_none());
    }

    proptest! {
        #[test]
        fn the_sums_always_hold(ops in prop::collection::vec((0u8..6, 0u32..3000, 1u32..500), 1..80)) {
            let mut b = Scoreboard::default();
            let (mut una, mut nxt) = (0u32, 0u32);
            for (op, at, len) in ops {
                match op {
                    0 => { b.push(Seq(nxt), Seq(nxt + len), false, Instant::from_millis(u64::from(at))); nxt += len; }
                    1 if nxt > una => { una += at % (nxt - una + 1); b.release(Seq(una)); }
                    2 if nxt > una => {
                        let start = una + at % (nxt - una);
                        let mut blocks = SackBlocks::NONE;
                        blocks.push(Seq(start), Seq((start + len).min(nxt)));
                        b.sack(&blocks, Seq(una), Seq(nxt));
                        b.judge(100);
                    }
                    3 => b.lose_all(),
                    4 => b.lose_head(len),
                    _ => {
                        if let Some(r) = b.first_lost().copied() {
                            b.resent(r.start, r.end.min(r.start + len), Instant::from_millis(u64::from(at)));
                        }
                    }
                }
                b.check();
            }
        }
    }
}

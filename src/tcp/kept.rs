//! What memory does that take which came and was not read? Segment by segment, as in Linux, whose windows follow from it.

use crate::seq::Seq;
use std::collections::VecDeque;

/// What a segment of `len` bytes occupies in Linux: its buffer, and 256 bytes beside it. Only the proportion matters here, and
/// that peers see the same windows.
pub(super) fn footprint(len: u32) -> u32 {
    room_for(len) + 256
}

/// Whether a segment is too long for one page: the rest has pages of its own.
fn is_paged(len: u32) -> bool {
    len + 40 > PAGE - 64 - BOOKKEEPING
}

/// The buffer: of one size for small segments, else a power of two.
fn room_for(len: u32) -> u32 {
    if is_paged(len) {
        return PAGE + (len + 40 - (PAGE - 64 - BOOKKEEPING)).next_multiple_of(PAGE);
    }
    let needed = (HEADERS + len).next_multiple_of(64) + BOOKKEEPING;
    if needed <= SMALL { SMALL } else { needed.next_power_of_two() }
}

/// What stands before the data in its buffer, and behind it, and how large the small ones are.
const HEADERS: u32 = 64 + 40;
const BOOKKEEPING: u32 = 320;
const SMALL: u32 = 576;
const PAGE: u32 = 4096;

/// A buffer with data.
#[derive(Clone, Copy, Debug)]
struct Kept {
    start: Seq,
    end: Seq,
    /// What it occupies.
    size: u32,
    /// What it has room for still: data that follows on it may find its place there.
    room: u32,
}

impl Kept {
    fn new(start: Seq, len: u32, segments: u16) -> Kept {
        let count = u32::from(segments.max(1));
        let each = len / count;
        let size = count.saturating_mul(footprint(each));
        let room = if is_paged(each) { 0 } else { room_for(each) - HEADERS - BOOKKEEPING - each };
        Kept { start, end: start + len, size, room }
    }

    /// Takes what `next` holds, if that follows and fits.
    fn takes(&mut self, next: &Kept) -> bool {
        let len = next.end.since(next.start);
        let takes = next.start == self.end && len <= self.room;
        if takes {
            (self.end, self.room) = (next.end, self.room - len);
        }
        takes
    }
}

/// All of a connection.
#[derive(Default, Debug)]
pub(super) struct Buffers {
    /// In order, and waiting to be read.
    queue: VecDeque<Kept>,
    /// Beyond a gap, by where they start.
    beyond: VecDeque<Kept>,
}

impl Buffers {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.beyond.is_empty()
    }

    pub(super) fn first_end(&self) -> Option<Seq> {
        self.queue.front().map(|kept| kept.end)
    }

    /// Data came in order; `alone` says that nothing is put beside what came before. Returns what it occupies.
    pub(super) fn queue(&mut self, start: Seq, len: u32, segments: u16, alone: bool) -> u32 {
        self.append(Kept::new(start, len, segments), alone)
    }

    fn append(&mut self, kept: Kept, alone: bool) -> u32 {
        if !alone && self.queue.back_mut().is_some_and(|tail| tail.takes(&kept)) {
            return 0;
        }
        self.queue.push_back(kept);
        kept.size
    }

    /// Data came beyond a gap. Returns what it occupies, and what that made room for which it covers.
    pub(super) fn keep(&mut self, start: Seq, len: u32, segments: u16, alone: bool) -> (u32, u32) {
        let kept = Kept::new(start, len, segments);
        let mut at = self.beyond.partition_point(|other| other.start.le(start));
        let mut freed = 0;
        if let Some(before) = at.checked_sub(1).map(|i| &mut self.beyond[i]) {
            if kept.end.le(before.end) || !alone && before.takes(&kept) {
                return (0, 0);
            }
            if before.start == start {
                at -= 1;
            }
        }
        while self.beyond.get(at).is_some_and(|other| other.end.le(kept.end)) {
            freed += self.beyond.remove(at).map_or(0, |other| other.size);
        }
        self.beyond.insert(at, kept);
        (kept.size, freed)
    }

    /// RCV.NXT is `nxt`: what lay beyond a gap and does no more joins the others. Returns what is free for it.
    pub(super) fn join(&mut self, nxt: Seq) -> u32 {
        let mut freed = 0;
        let mut reached = self.queue.back().map_or(nxt, |tail| tail.end);
        while let Some(kept) = self.beyond.pop_front_if(|kept| kept.end.le(nxt)) {
            // Nothing of it was new when it came to its turn, or it finds its place in the last one.
            if kept.end.le(reached) || self.append(kept, false) == 0 {
                freed += kept.size;
            }
            reached = reached.max(kept.end);
        }
        freed
    }

    /// All below `read` was read. Returns what is free for it.
    pub(super) fn read(&mut self, read: Seq) -> u32 {
        let mut freed = 0;
        while let Some(kept) = self.queue.pop_front_if(|kept| kept.end.le(read)) {
            freed += kept.size;
        }
        freed
    }

    /// From the first buffer on that makes less of its memory than most, `ratio` in 256ths, or of which something below `read` was read, what waits to be read is copied to buffers of
    /// a page. Returns what is free for it.
    pub(super) fn collapse(&mut self, read: Seq, ratio: u8) -> u32 {
        let bloated = |kept: &Kept| {
            (u64::from(kept.size) * u64::from(ratio)) >> 8 > u64::from(kept.end.since(kept.start))
        };
        let waste = |kept: &Kept| bloated(kept) || kept.start.lt(read);
        let Some(first) = self.queue.iter().position(waste) else { return 0 };
        let before: u32 = self.queue.range(first..).map(|kept| kept.size).sum();
        let (start, end) =
            (self.queue[first].start.max(read), self.queue.back().map_or(Seq(0), |kept| kept.end));
        self.queue.truncate(first);
        let (mut at, mut after) = (start, 0);
        while at.lt(end) {
            let len = end.since(at).min(PAGE - BOOKKEEPING);
            let size = (len.next_multiple_of(64) + BOOKKEEPING).next_power_of_two() + 256;
            self.queue.push_back(Kept { start: at, end: at + len, size, room: 0 });
            (at, after) = (at + len, after + size);
        }
        before.saturating_sub(after)
    }

    /// Nothing is kept beyond a gap any more. Returns what is free for it.
    pub(super) fn forget_beyond(&mut self) -> u32 {
        self.beyond.drain(..).map(|kept| kept.size).sum()
    }
}

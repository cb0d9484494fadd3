//! How is what was written and has not left cut up? In pieces, as in Linux' send buffer: which segments are pushed, when a buffer
//! is full and how much leaves together depend on where they end.

use crate::seq::Seq;
use std::collections::VecDeque;

/// What each piece, sent or not, occupies beside its bytes.
pub(super) const OVERHEAD: u32 = 832;

/// Bytes that wait together.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Behind its last byte.
    end: Seq,
    /// Its last byte is pushed (RFC 9293 §3.9.1.2).
    push: bool,
    /// It was full before more was written: it leaves as if nothing were behind it.
    stops: bool,
}

/// What bounds a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// A piece is filled up to so many bytes before the next one begins.
    pub(super) goal: u32,
    /// Half of the largest window of the peer: after so many bytes without a push one is due.
    pub(super) half: u32,
    /// The size of the buffer, and what of it is taken.
    pub(super) buffer: u32,
    pub(super) taken: u32,
    /// No piece begins behind so many bytes that have not left (`TCP_NOTSENT_LOWAT`).
    pub(super) unsent: u32,
    /// More belongs to it: its end is not pushed (`MSG_MORE`).
    pub(super) more: bool,
    /// What was written before is a record of its own.
    pub(super) fresh: bool,
    /// What is left of the peer's window, and what may leave together: pieces that cannot leave yet join up to that.
    pub(super) usable: u32,
    pub(super) quota: u32,
    /// So much may leave now, in whole segments, `quota` of it together: a first piece that is full sends that much at once, which
    /// makes room for more behind it.
    pub(super) window: u32,
}

/// All of a connection, in order.
#[derive(Default, Debug)]
pub(super) struct Pieces {
    list: VecDeque<Piece>,
    /// Behind the byte that was pushed last.
    pushed: Option<Seq>,
}

/// What may leave first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// Its bytes.
    pub(super) len: u32,
    /// Nothing lies behind it.
    pub(super) last: bool,
    /// Its end is pushed.
    pub(super) push: bool,
}

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn count(&self) -> u32 {
        self.list.len() as u32
    }

    /// `len` bytes are written from `at` on, and what has not left begins at `nxt`. Returns how many find room.
    pub(super) fn write(&mut self, nxt: Seq, at: Seq, len: u32, bounds: &Bounds) -> u32 {
        let (mut at, mut left, mut fresh, mut joined) = (at, len, bounds.fresh, false);
        let (mut taken, mut sent, mut window) = (bounds.taken, nxt, bounds.window);
        while left > 0 {
            let before = match self.list.len().checked_sub(2) {
                Some(i) => self.list[i].end,
                None => sent,
            };
            let held = self.list.back().map_or(0, |tail| tail.end.since(before));
            let mut room = if fresh || self.list.is_empty() { 0 } else { bounds.goal.saturating_sub(held) };
            // What is sent of the last piece makes room in it, but not for ever.
            if room > 0 && taken >= bounds.buffer.saturating_add(bounds.goal) {
                break;
            }
            if room == 0 {
                if taken >= bounds.buffer || at.since(sent) >= bounds.unsent {
                    break;
                }
                taken += OVERHEAD;
                self.list.push_back(Piece { end: at, push: false, stops: false });
                (room, fresh) = (bounds.goal, false);
            }
            let n = room.min(left);
            let first = left == len;
            at += n;
            left -= n;
            taken = taken.saturating_add(n);
            let alone = self.list.len() == 1;
            let mut pushes = false;
            if let Some(tail) = self.list.back_mut() {
                let full = n == room && left > 0;
                let due = full && due(self.pushed, nxt, at, bounds.half);
                tail.end = at;
                tail.push = due || tail.push && !first;
                if due {
                    (self.pushed, pushes) = (Some(at), true);
                }
                let leaves = if due { window } else { window.min(bounds.quota) };
                let grows = full && alone && leaves > 0 && leaves < at.since(sent);
                if grows {
                    (sent, window) = (sent + leaves, window - leaves);
                    taken = taken.saturating_add(OVERHEAD * leaves.div_ceil(bounds.quota));
                }
                tail.stops = full && !grows && (due || alone);
            }
            if pushes && !joined && self.join_beyond(nxt, bounds) {
                (taken, joined) = (taken.saturating_sub(OVERHEAD), true);
            }
        }
        if left < len && (!bounds.more || left > 0 || due(self.pushed, nxt, at, bounds.half)) {
            self.push_last();
        }
        len - left
    }

    /// The first piece that lies beyond the window joins the next one, if both may leave together; true if so.
    fn join_beyond(&mut self, nxt: Seq, bounds: &Bounds) -> bool {
        let i = self.list.partition_point(|piece| piece.end.le(nxt + bounds.usable));
        let start = if i == 0 { nxt } else { self.list[i - 1].end };
        let joins = self.list.get(i + 1).is_some_and(|next| next.end.since(start) <= bounds.quota);
        if joins {
            self.list.remove(i);
        }
        joins
    }

    /// The end of what was written is pushed.
    pub(super) fn push_last(&mut self) {
        if let Some(tail) = self.list.back_mut() {
            tail.push = true;
            self.pushed = Some(tail.end);
        }
    }

    /// The first piece, from `nxt` on; if it is shorter than `most` bytes it takes from the next one, unless a record ends at
    /// `fence` between them.
    pub(super) fn head(&self, nxt: Seq, most: u32, fence: Seq) -> Option<Head> {
        let first = self.list.front()?;
        let head = Head { len: first.end.since(nxt), last: self.list.len() == 1, push: first.push };
        let next = self.list.get(1).filter(|_| head.len < most && first.end != fence && !first.stops);
        Some(match next.map(|next| (next.end.since(nxt), next.push)) {
            None => head,
            Some((end, push)) if end <= most => {
                Head { len: end, last: self.list.len() == 2, push: head.push | push }
            }
            Some(_) => Head { len: most, ..head },
        })
    }

    /// What was written has had its chance to leave.
    pub(super) fn settle(&mut self) {
        self.list.iter_mut().for_each(|piece| piece.stops = false);
    }

    /// What lies below `nxt` has left; `head` was the first one then, and `at` where it began.
    pub(super) fn leave(&mut self, at: Seq, head: Head, nxt: Seq) {
        let reach = at + head.len;
        while self.list.front().is_some_and(|piece| piece.end.le(reach)) {
            self.list.pop_front();
        }
        if reach.gt(nxt) {
            self.list.push_front(Piece { end: reach, push: head.push, stops: false });
        }
    }

    /// A probe has taken along what lies below `nxt`: it counts as pushed up to the end of its piece.
    pub(super) fn forced(&mut self) {
        if let Some(first) = self.list.front() {
            self.pushed = Some(self.pushed.map_or(first.end, |pushed| pushed.max(first.end)));
        }
    }
}

/// Whether so much was written since the last push that the peer should not wait for more. Before the first, `nxt` stands for it.
fn due(pushed: Option<Seq>, nxt: Seq, at: Seq, half: u32) -> bool {
    at.gt(pushed.unwrap_or(nxt) + half)
}

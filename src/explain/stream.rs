//! Which bytes does the receiver get to read, and when? Segments put in order, with what was not captured as holes.

use crate::seq::Seq;
use std::collections::BTreeMap;

/// Bytes beyond a gap that are kept; more, and the gap is given up.
const PENDING_LIMIT: usize = 1 << 20;
/// Pieces beyond a gap that are kept: a hostile file may come in single bytes.
const PIECES_LIMIT: usize = 4096;

/// What comes next in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece<'a> {
    Bytes(&'a [u8]),
    /// So many bytes that were not captured.
    Hole(u64),
}

/// One direction of a connection.
#[derive(Default, Debug)]
pub(super) struct Stream {
    /// The next number to be read; `None` before the first segment.
    next: Option<Seq>,
    /// Segments beyond a gap by their distance from the stream's first number, so that they sort.
    pending: BTreeMap<u64, (u32, Vec<u8>)>,
    pending_bytes: usize,
    /// The distance of `next`.
    at: u64,
}

impl Stream {
    /// The stream's next byte has this number.
    pub(super) fn start(&mut self, seq: Seq) {
        self.next.get_or_insert(seq);
    }

    /// Whether all that comes before this number was handed out.
    pub(super) fn has_come_to(&self, seq: Seq) -> bool {
        self.next.is_none_or(|next| next.ge(seq))
    }

    /// Whether something came beyond a gap.
    pub(super) fn has_gap(&self) -> bool {
        !self.pending.is_empty()
    }

    /// A segment of `len` bytes of which `captured` are known; each piece that is in order now goes to `take`.
    pub(super) fn add(&mut self, seq: Seq, len: u32, captured: &[u8], take: &mut dyn FnMut(Piece<'_>)) {
        let captured = &captured[..captured.len().min(len as usize)];
        let next = *self.next.get_or_insert(seq);
        if len == 0 {
            return;
        }
        if seq.gt(next) {
            self.keep(self.at + u64::from(seq.since(next)), len, captured);
            if self.pending_bytes > PENDING_LIMIT || self.pending.len() > PIECES_LIMIT {
                self.skip_gap(take);
            }
            return;
        }
        let known = next.since(seq);
        if known < len {
            self.advance(len - known, captured.get(known as usize..).unwrap_or_default(), take);
            self.drain(take);
        }
    }

    /// The receiver acknowledged up to `ack`: what is missing below was delivered, only not captured.
    pub(super) fn acknowledged(&mut self, ack: Seq, take: &mut dyn FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        // Whoever acknowledges a gigabyte in one go is not believed.
        if !ack.gt(next) || ack.since(next) > 1 << 30 {
            return;
        }
        let target = self.at + u64::from(ack.since(next));
        while self.at < target {
            let first = self.pending.first_key_value().map_or(target, |(at, _)| (*at).min(target));
            if first > self.at {
                self.advance((first - self.at) as u32, &[], take);
            }
            self.drain(take);
        }
    }

    fn keep(&mut self, at: u64, len: u32, captured: &[u8]) {
        let longer = self.pending.get(&at).is_none_or(|(before, _)| *before < len);
        if longer {
            self.pending_bytes += captured.len() + 64;
            if let Some((_, before)) = self.pending.insert(at, (len, captured.to_vec())) {
                self.pending_bytes -= before.len() + 64;
            }
        }
    }

    /// What is kept beyond gaps takes so many bytes.
    pub(super) fn burden(&self) -> usize {
        self.pending_bytes
    }

    /// Waits for nothing any more that is missing: it is a hole.
    pub(super) fn give_up(&mut self, take: &mut dyn FnMut(Piece<'_>)) {
        while self.has_gap() {
            self.skip_gap(take);
        }
    }

    fn skip_gap(&mut self, take: &mut dyn FnMut(Piece<'_>)) {
        if let Some((&first, _)) = self.pending.first_key_value()
            && first > self.at
        {
            self.advance((first - self.at) as u32, &[], take);
        }
        self.drain(take);
    }

    /// `len` bytes come next, of which the first are `captured`.
    fn advance(&mut self, len: u32, captured: &[u8], take: &mut dyn FnMut(Piece<'_>)) {
        if !captured.is_empty() {
            take(Piece::Bytes(captured));
        }
        let hole = u64::from(len) - captured.len() as u64;
        if hole > 0 {
            take(Piece::Hole(hole));
        }
        self.at += u64::from(len);
        self.next = self.next.map(|next| next + len);
    }

    /// Hands out what is no longer beyond a gap.
    fn drain(&mut self, take: &mut dyn FnMut(Piece<'_>)) {
        while let Some(entry) = self.pending.first_entry() {
            if *entry.key() > self.at {
                break;
            }
            let (start, (len, bytes)) = entry.remove_entry();
            self.pending_bytes -= bytes.len() + 64;
            let known = self.at - start;
            if known < u64::from(len) {
                let rest = bytes.get(known as usize..).unwrap_or_default();
                self.advance(len - known as u32, rest, take);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(stream: &mut Stream, seq: u32, len: u32, bytes: &str) -> String {
        let mut out = String::new();
        stream.add(Seq(seq), len, bytes.as_bytes(), &mut |piece| match piece {
            Piece::Bytes(b) => out += std::str::from_utf8(b).unwrap(),
            Piece::Hole(n) => out += &format!("<{n}>"),
        });
        out
    }

    #[test]
    fn bytes_come_in_order_and_once() {
        let mut s = Stream::default();
        assert_eq!(text(&mut s, u32::MAX - 1, 3, "abc"), "abc");
        assert_eq!(text(&mut s, 4, 2, "fg"), "");
        assert!(s.has_gap());
        assert_eq!(text(&mut s, u32::MAX - 1, 3, "abc"), "");
        assert_eq!(text(&mut s, 0, 3, "cde"), "de");
        assert_eq!(text(&mut s, 3, 1, "."), ".fg");
        assert_eq!(s.next, Some(Seq(6)));
    }

    #[test]
    fn what_was_cut_off_or_not_captured_is_a_hole() {
        let mut s = Stream::default();
        assert_eq!(text(&mut s, 0, 10, "abc"), "abc<7>");
        assert_eq!(text(&mut s, 20, 2, "xy"), "");
        let mut seen = Vec::new();
        s.acknowledged(Seq(22), &mut |p| {
            seen.push(match p {
                Piece::Bytes(b) => b.len() as i64,
                Piece::Hole(n) => -(n as i64),
            })
        });
        assert_eq!(seen, [-10, 2]);
    }

    #[test]
    fn a_gap_that_is_never_filled_is_given_up_before_memory_is() {
        let mut s = Stream::default();
        text(&mut s, 0, 1, "a");
        let mut out = String::new();
        for n in 0..=PIECES_LIMIT as u32 {
            out += &text(&mut s, 10 + 2 * n, 1, "x");
        }
        assert!(out.starts_with("<9>x"), "{out}");
        assert!(s.pending.len() <= PIECES_LIMIT);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_bytes(mut cuts in proptest::collection::vec(0..300_u32, 1..20), start in any::<u32>(), seed in any::<u64>()) {
            let whole: Vec<u8> = (0..300).map(|n| n as u8).collect();
            cuts.extend([0, 300]);
            cuts.sort_unstable();
            let mut pieces: Vec<(u32, u32)> = cuts.windows(2).map(|w| (w[0], w[1])).collect();
            let n = pieces.len();
            for i in 0..n {
                pieces.swap(i, (seed.rotate_left(i as u32) % n as u64) as usize);
            }
            let (mut stream, mut got) = (Stream::default(), Vec::new());
            stream.start(Seq(start));
            for (from, to) in pieces {
                stream.add(Seq(start) + from, to - from, &whole[from as usize..to as usize], &mut |p| {
                    let Piece::Bytes(bytes) = p else { panic!("a hole") };
                    got.extend_from_slice(bytes);
                });
            }
            prop_assert_eq!(got, whole);
        }
    }
}

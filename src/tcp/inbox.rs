//! How is what arrived kept until it is read? Large packets in the memory they came in, what comes behind them in a ring.

use super::ring::Ring;
use crate::parcel::Parcel;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes from which on a packet is kept as it is: it takes memory for the largest one.
const LEAST: usize = 16 << 10;

/// Bytes at offsets from the next one to read. As in a [`Ring`], which holds what is not kept as it came, offsets beyond
/// [`Inbox::len`] may hold data ahead of its turn.
#[derive(Default)]
pub(super) struct Inbox(Ring<Kept>);

/// What comes before the ring.
#[derive(Default)]
struct Kept {
    parcels: VecDeque<Parcel>,
    /// Bytes of data in them, those that are owed included.
    bytes: usize,
    /// Bytes of memory that they hold.
    memory: usize,
    /// The bytes of the last packet's payload that are counted already, and come with its memory.
    owed: Option<Range<usize>>,
}

impl Inbox {
    /// Data that can be read.
    pub(super) fn len(&self) -> usize {
        self.kept_len() + self.0.len()
    }

    fn kept_len(&self) -> usize {
        self.0.beside().map_or(0, |kept| kept.bytes)
    }

    /// Takes note of `data`, which begins at `at` in its packet's payload and is what comes next, without copying it: true if
    /// its memory is [wanted](Self::wanted) then.
    pub(super) fn keep(&mut self, at: usize, data: &[u8]) -> bool {
        let keeps = data.len() >= LEAST && self.0.len() == 0;
        if keeps {
            let kept = self.0.use_beside();
            kept.bytes += data.len();
            kept.owed = Some(at..at + data.len());
        }
        keeps
    }

    /// The bytes of the last packet's payload that must be supplied before anything else is done.
    pub(super) fn wanted(&self) -> Option<Range<usize>> {
        self.0.beside()?.owed.clone()
    }

    /// The memory that was wanted.
    pub(super) fn supply(&mut self, parcel: Parcel) {
        if let Some(kept) = self.0.beside_mut().filter(|kept| kept.owed.is_some()) {
            debug_assert_eq!(kept.owed.as_ref().map(Range::len), Some(parcel.bytes().len()));
            kept.owed = None;
            kept.memory += parcel.memory();
            kept.parcels.push_back(parcel);
        }
    }

    /// Puts `data` at `offset`, leaving `len` as it is.
    pub(super) fn place(&mut self, offset: usize, data: &[u8]) {
        self.0.place(offset - self.kept_len(), data);
    }

    /// Declares `n` more bytes behind the end to be data; they must have been placed.
    pub(super) fn extend(&mut self, n: usize) {
        self.0.extend(n);
    }

    /// Copies from offset `from` on without taking; returns how many bytes.
    pub(super) fn peek(&self, from: usize, into: &mut [u8]) -> usize {
        let (mut skip, mut done) = (from, 0);
        for parcel in self.0.beside().into_iter().flat_map(|kept| &kept.parcels) {
            let bytes = parcel.bytes();
            let bytes = &bytes[skip.min(bytes.len())..];
            skip = skip.saturating_sub(parcel.bytes().len());
            let n = bytes.len().min(into.len() - done);
            into[done..done + n].copy_from_slice(&bytes[..n]);
            done += n;
            if done == into.len() {
                return done;
            }
        }
        done + self.0.peek(skip, &mut into[done..])
    }

    /// Drops `n` bytes from the start.
    pub(super) fn consume(&mut self, mut n: usize) {
        if let Some(kept) = self.0.beside_mut() {
            while n > 0
                && let Some(first) = kept.parcels.front_mut()
            {
                let part = n.min(first.bytes().len());
                first.skip(part);
                kept.bytes -= part;
                n -= part;
                if first.bytes().is_empty() {
                    kept.memory -= first.memory();
                    kept.parcels.pop_front();
                }
            }
        }
        self.0.consume(n);
    }

    /// Gives the memory back if it holds nothing; true if so.
    pub(super) fn rest(&mut self) -> bool {
        self.kept_len() == 0 && self.0.rest()
    }

    /// Gives all memory back.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        self.0.beside().map_or(0, |kept| kept.memory) + self.0.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parcel::Intake;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_comes_in_parcels_and_in_the_ring_reads_as_one(
            steps in prop::collection::vec((1usize..40_000, 0usize..3, 0usize..60_000, 0usize..500), 1..60)
        ) {
            let (mut inbox, mut intake) = (Inbox::default(), Intake::new(10, 65_535));
            let (mut written, mut read) = (0, 0);
            let byte = |n: usize| (n * 7 + n / 251) as u8;
            for (len, way, take, at) in steps {
                let data: Vec<u8> = (written..written + len).map(byte).collect();
                intake.bytes_mut()[10 + at..10 + at + len].copy_from_slice(&data);
                if way > 0 && inbox.keep(at, &data) {
                    prop_assert_eq!(inbox.wanted(), Some(at..at + len));
                    inbox.supply(intake.cede(at..at + len));
                } else {
                    inbox.place(inbox.len(), &data);
                    inbox.extend(len);
                }
                prop_assert_eq!(inbox.wanted(), None);
                written += len;
                prop_assert_eq!(inbox.len(), written - read);
                prop_assert!(inbox.capacity() >= inbox.len());
                let mut out = vec![0; take];
                let skip = take / 3;
                let n = inbox.peek(skip, &mut out);
                prop_assert_eq!(n, take.min((written - read).saturating_sub(skip)));
                prop_assert!(out[..n].iter().enumerate().all(|(i, b)| *b == byte(read + skip + i)));
                let gone = take.min(inbox.len());
                inbox.consume(gone);
                read += gone;
            }
            inbox.consume(inbox.len());
            prop_assert!(inbox.rest());
            prop_assert_eq!(inbox.capacity(), 0);
        }
    }

    #[test]
    fn only_large_packets_are_kept_as_they_came_and_only_with_nothing_in_the_ring() {
        let (mut inbox, mut intake) = (Inbox::default(), Intake::new(0, 65_535));
        assert!(!inbox.keep(0, &[0; LEAST - 1]));
        assert!(inbox.keep(5, &[0; LEAST]));
        inbox.supply(intake.cede(5..5 + LEAST));
        inbox.place(LEAST, b"behind");
        inbox.extend(6);
        assert!(!inbox.keep(0, &[0; LEAST]), "the order would be lost");
        assert!(!inbox.rest());
        inbox.consume(LEAST + 6);
        assert!(inbox.rest());
    }
}

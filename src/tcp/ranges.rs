//! Which bytes beyond the gap are here? The out-of-order ranges, and their SACK blocks.

use super::spare::Untouched;
use crate::segment::SackBlocks;
use crate::seq::Seq;

/// More holes than this are not kept: a peer that sends every other byte must not make us search long lists.
pub(super) const MOST: usize = 1024;

/// Disjoint, non-touching ranges in ascending order, all above RCV.NXT.
#[derive(Default)]
pub(super) struct Ranges {
    sorted: Vec<(Seq, Seq)>,
    /// What is known of the ranges that changed last, newest first (RFC 2018 §4): all of one, as long as it has not fallen off.
    recent: [Option<(Seq, Seq)>; 4],
}

/// What an insertion found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Inserted {
    /// Some of it was new.
    New,
    /// All of it was here.
    Known,
    /// There are too many holes.
    Full,
}

impl Untouched for Ranges {
    const UNTOUCHED: &'static Ranges = &Ranges { sorted: Vec::new(), recent: [None; 4] };

    fn untouched() -> Ranges {
        Ranges::default()
    }
}

impl Ranges {
    /// Bytes of memory held.
    pub(super) fn memory(&self) -> usize {
        self.sorted.capacity() * size_of::<(Seq, Seq)>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Where the last range ends.
    pub(super) fn end(&self) -> Option<Seq> {
        self.sorted.last().map(|&(_, end)| end)
    }

    /// Adds `start..end` (not empty).
    pub(super) fn insert(&mut self, start: Seq, end: Seq) -> Inserted {
        // Ranges `first..last` touch the new one.
        let first = self.sorted.partition_point(|&(_, e)| e.lt(start));
        let last = first + self.sorted[first..].partition_point(|&(s, _)| s.le(end));
        let touched = &self.sorted[first..last];
        if let [(s, e)] = touched
            && s.le(start)
            && e.ge(end)
        {
            self.remember(start, end);
            return Inserted::Known;
        }
        if touched.is_empty() && self.sorted.len() >= MOST {
            return Inserted::Full;
        }
        let merged = touched.iter().fold((start, end), |(s, e), &(a, b)| (s.min(a), e.max(b)));
        self.sorted.splice(first..last, [merged]);
        self.remember(start, end);
        Inserted::New
    }

    /// Whether all of `start..end` is here.
    pub(super) fn has(&self, start: Seq, end: Seq) -> bool {
        self.block_of(start).is_some_and(|(_, e)| end.le(e))
    }

    /// What of `start..end` is here, range by range, and where each of those ranges begins.
    pub(super) fn common(&self, start: Seq, end: Seq) -> impl Iterator<Item = (Seq, Seq, Seq)> {
        let first = self.sorted.partition_point(|&(_, e)| e.le(start));
        let overlap = self.sorted[first..].iter().take_while(move |&&(s, _)| s.lt(end));
        overlap.map(move |&(s, e)| (s.max(start), e.min(end), s))
    }

    /// `start..end` came: what it touches of those that came lately grows and stands first.
    fn remember(&mut self, start: Seq, end: Seq) {
        let mut grown = (start, end);
        let mut others = [None; 4];
        let mut kept = 0;
        // What it joins may touch others in turn.
        for (s, e) in self.recent.into_iter().flatten() {
            if s.le(grown.1) && grown.0.le(e) {
                grown = (grown.0.min(s), grown.1.max(e));
            } else {
                others[kept] = Some((s, e));
                kept += 1;
            }
        }
        self.recent = [Some(grown), others[0], others[1], others[2]];
    }

    fn block_of(&self, at: Seq) -> Option<(Seq, Seq)> {
        let i = self.sorted.partition_point(|&(_, e)| e.le(at));
        self.sorted.get(i).copied().filter(|&(s, _)| s.le(at))
    }

    /// RCV.NXT moved to `nxt`: drops what is below it and returns the end of the range that it now touches.
    pub(super) fn join(&mut self, nxt: Seq) -> Option<Seq> {
        let mut end = None;
        let n = self.sorted.partition_point(|&(s, _)| s.le(nxt));
        for (_, e) in self.sorted.drain(..n) {
            if e.gt(end.unwrap_or(nxt)) {
                end = Some(e);
            }
        }
        let reached = end.unwrap_or(nxt);
        for known in &mut self.recent {
            *known = known.filter(|&(s, _)| s.gt(reached));
        }
        end
    }

    /// Up to `most` blocks, the one that changed last first (RFC 2018 §4). Of one that fell off the list and came back only what
    /// came since is known, unless `whole`.
    pub(super) fn sack_blocks(&self, most: usize, whole: bool) -> SackBlocks {
        let mut blocks = SackBlocks::NONE;
        let push = |(s, e): (Seq, Seq), blocks: &mut SackBlocks| {
            if blocks.len() < most && !blocks.as_slice().contains(&(s, e)) {
                blocks.push(s, e);
            }
        };
        for &(start, end) in self.recent.iter().flatten() {
            let known = if whole { self.block_of(start) } else { Some((start, end)) };
            if let Some(block) = known {
                push(block, &mut blocks);
            }
        }
        if whole {
            // After merges fewer than four may be remembered: fill up from below, where the sender repairs first.
            for &block in self.sorted.iter().take(4) {
                push(block, &mut blocks);
            }
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_set_of_the_bytes_that_were_inserted(
            base in any::<u32>(),
            parts in prop::collection::vec((1u32..400, 1u32..60), 1..40),
        ) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (start, len) in parts {
                let known = (start..start + len).all(|b| model.contains(&b));
                model.extend(start..start + len);
                let got = ranges.insert(Seq(base) + start, Seq(base) + (start + len));
                prop_assert_eq!(got, if known { Inserted::Known } else { Inserted::New });
            }
            let mut flat = BTreeSet::new();
            let mut last: Option<Seq> = None;
            for &(s, e) in &ranges.sorted {
                prop_assert!(s.lt(e) && last.is_none_or(|l| l.lt(s)));
                last = Some(e);
                flat.extend(s.since(Seq(base))..e.since(Seq(base)));
            }
            prop_assert_eq!(&flat, &model);
            let first = *model.first().unwrap();
            let mut end = first;
            while model.contains(&end) { end += 1; }
            prop_assert_eq!(ranges.join(Seq(base) + first), Some(Seq(base) + end));
        }
    }

    #[test]
    fn the_block_that_changed_last_comes_first() {
        let mut r = Ranges::default();
        for n in [10, 30, 50, 70, 90] {
            r.insert(Seq(n), Seq(n + 5));
        }
        r.insert(Seq(35), Seq(36));
        let blocks = r.sack_blocks(3, true);
        assert_eq!(blocks.as_slice(), [(Seq(30), Seq(36)), (Seq(90), Seq(95)), (Seq(70), Seq(75))]);
        assert_eq!(r.sack_blocks(4, true).len(), 4);
    }

    #[test]
    fn of_a_block_that_fell_off_the_list_only_what_came_since_is_known() {
        let mut r = Ranges::default();
        for n in [10, 30, 50, 70, 90] {
            r.insert(Seq(n), Seq(n + 5));
        }
        r.insert(Seq(15), Seq(20));
        assert_eq!(r.sack_blocks(1, false).as_slice(), [(Seq(15), Seq(20))]);
        assert_eq!(r.sack_blocks(1, true).as_slice(), [(Seq(10), Seq(20))]);
        // 30 fell off then, too; what joins two that are known is one.
        r.insert(Seq(75), Seq(90));
        assert_eq!(
            r.sack_blocks(4, false).as_slice(),
            [(Seq(70), Seq(95)), (Seq(15), Seq(20)), (Seq(50), Seq(55))]
        );
    }

    #[test]
    fn too_many_holes_are_refused_but_known_ones_still_grow() {
        let mut r = Ranges::default();
        for n in 0..MOST as u32 {
            assert_eq!(r.insert(Seq(n * 2), Seq(n * 2 + 1)), Inserted::New);
        }
        assert_eq!(r.insert(Seq(900_000), Seq(900_001)), Inserted::Full);
        assert_eq!(r.insert(Seq(1), Seq(2)), Inserted::New);
    }
}

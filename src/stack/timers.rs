//! Whose timer is due next?

use super::paged::Paged;
use crate::time::Instant;

const NOWHERE: u32 = u32::MAX;

/// When which key is due. Packed: there are many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C, packed(4))]
struct Due {
    at: Instant,
    key: u32,
}

/// One deadline per key, in a binary heap that knows where each key sits: O(log n), and never more than
/// one entry per key.
///
/// A deadline that is put off or cancelled stays where it is: a retransmission timer is put off with every
/// acknowledgment and hardly ever fires. Whoever takes a due key asks its owner whether it really is.
#[derive(Default)]
pub(crate) struct Timers {
    heap: Paged<Due>,
    /// By key: its place in the heap.
    places: Paged<u32>,
}

impl Timers {
    /// `key` is due at `at` at the latest.
    pub fn set(&mut self, key: u32, at: Option<Instant>) {
        let Some(at) = at else { return };
        self.places.extend_to(key as usize + 1, NOWHERE);
        let place = match self.places[key as usize] {
            NOWHERE => {
                self.heap.push(Due { at, key });
                self.places[key as usize] = self.heap.len() as u32 - 1;
                self.heap.len() - 1
            }
            place if at < { self.heap[place as usize].at } => {
                self.heap[place as usize].at = at;
                place as usize
            }
            _ => return,
        };
        self.up(place);
    }

    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        self.heap.memory() + self.places.memory()
    }

    /// The earliest deadline; that of a key whose owner has put it off since may come too early.
    pub fn first(&self) -> Option<Instant> {
        self.heap.get(0).map(|due| due.at)
    }

    /// Takes the first key that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let Due { at, key } = *self.heap.get(0)?;
        if at > now {
            return None;
        }
        self.remove(key);
        Some(key)
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: u32) {
        let Some(&at) = self.places.get(key as usize).filter(|&&place| place != NOWHERE) else { return };
        self.places[key as usize] = NOWHERE;
        let Some(last) = self.heap.pop() else { return };
        if (at as usize) < self.heap.len() {
            self.heap[at as usize] = last;
            self.places[last.key as usize] = at;
            self.up(at as usize);
            self.down(self.places[last.key as usize] as usize);
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (one, other) = (self.heap[a], self.heap[b]);
        (self.heap[a], self.heap[b]) = (other, one);
        self.places[one.key as usize] = b as u32;
        self.places[other.key as usize] = a as u32;
    }

    fn up(&mut self, mut place: usize) {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let child = |n: usize| self.heap.get(2 * place + n).map(|entry| (entry, 2 * place + n));
            let Some((least, at)) = child(1).into_iter().chain(child(2)).min() else { return };
            if *least >= self.heap[place] {
                return;
            }
            self.swap(place, at);
            place = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_key_is_due_at_the_earliest_of_its_deadlines(
            steps in prop::collection::vec((0u32..20, prop::option::of(0u64..1000), 0u8..8), 0..200)
        ) {
            let mut timers = Timers::default();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (key, at, action) in steps {
                match action {
                    0 => {
                        timers.remove(key);
                        model.remove(&key);
                    }
                    1 => {
                        let now = at.unwrap_or(0);
                        let due = timers.pop_due(Instant::from_nanos(now));
                        let expected = model.iter().map(|(&k, &t)| (t, k)).min().filter(|&(t, _)| t <= now);
                        prop_assert_eq!(due, expected.map(|(_, k)| k));
                        if let Some(k) = due { model.remove(&k); }
                    }
                    _ => {
                        timers.set(key, at.map(Instant::from_nanos));
                        if let Some(at) = at {
                            model.entry(key).and_modify(|t| *t = at.min(*t)).or_insert(at);
                        }
                    }
                }
                prop_assert_eq!(timers.heap.len(), model.len());
                prop_assert_eq!(timers.first(), model.values().min().map(|&t| Instant::from_nanos(t)));
            }
        }
    }
}

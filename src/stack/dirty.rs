//! Who may have something to send? Each in its turn.

use super::paged::Paged;

/// The queue's end.
const END: u32 = u32::MAX;
/// Not in the queue.
const OUT: u32 = u32::MAX - 1;

/// Connections that something happened to since they last had nothing to send. Whoever sends one packet goes to
/// the back of the queue, so that a bulk transfer delays an interactive connection by one packet per competitor.
pub(super) struct Dirty {
    first: u32,
    last: u32,
    /// By index: who comes after it.
    next: Paged<u32>,
}

impl Default for Dirty {
    fn default() -> Dirty {
        Dirty { first: END, last: END, next: Paged::default() }
    }
}

impl Dirty {
    /// Puts `index` at the back, if it is not in the queue.
    pub fn mark(&mut self, index: u32) {
        self.next.extend_to(index as usize + 1, OUT);
        if self.next[index as usize] != OUT {
            return;
        }
        self.next[index as usize] = END;
        match std::mem::replace(&mut self.last, index) {
            END => self.first = index,
            before => self.next[before as usize] = index,
        }
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<u32> {
        let index = self.first;
        if index == END {
            return None;
        }
        self.first = std::mem::replace(&mut self.next[index as usize], OUT);
        if self.first == END {
            self.last = END;
        }
        Some(index)
    }

    /// Puts `index`, which was just taken, back to the front: it could not be served.
    pub fn put_back(&mut self, index: u32) {
        if self.next[index as usize] == OUT {
            self.next[index as usize] = std::mem::replace(&mut self.first, index);
            if self.last == END {
                self.last = index;
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first == END
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn each_is_in_the_queue_once_and_the_served_one_goes_to_the_back() {
        let mut dirty = Dirty::default();
        for index in [3, 1, 3, 2, 1] {
            dirty.mark(index);
        }
        let first = dirty.pop().unwrap();
        dirty.mark(first);
        assert_eq!(std::iter::from_fn(|| dirty.pop()).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(dirty.is_empty());
    }

    proptest! {
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec((0u32..9, 0u8..3), 0..200)) {
            let (mut dirty, mut model) = (Dirty::default(), VecDeque::new());
            for (index, action) in steps {
                match action {
                    0 => prop_assert_eq!(dirty.pop(), model.pop_front()),
                    1 => if let Some(index) = dirty.pop() {
                        dirty.put_back(index);
                    },
                    _ => {
                        dirty.mark(index);
                        if !model.contains(&index) {
                            model.push_back(index);
                        }
                    }
                }
                prop_assert_eq!(dirty.is_empty(), model.is_empty());
            }
        }
    }
}

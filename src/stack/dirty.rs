//! Who may have something to send? Each in its turn.

use std::collections::VecDeque;

/// Connections that something happened to since they last had nothing to send. Whoever sends one packet goes to
/// the back of the queue, so that a bulk transfer delays an interactive connection by one packet per competitor.
#[derive(Default)]
pub(super) struct Dirty {
    queue: VecDeque<u32>,
    /// By index: whether it is in the queue.
    waiting: Vec<bool>,
}

impl Dirty {
    /// Puts `index` at the back, if it is not in the queue.
    pub fn mark(&mut self, index: u32) {
        if self.waiting.len() <= index as usize {
            self.waiting.resize(index as usize + 1, false);
        }
        if !std::mem::replace(&mut self.waiting[index as usize], true) {
            self.queue.push_back(index);
        }
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<u32> {
        let index = self.queue.pop_front()?;
        self.waiting[index as usize] = false;
        Some(index)
    }

    /// Puts `index` back to the front: it could not be served.
    pub fn put_back(&mut self, index: u32) {
        if !std::mem::replace(&mut self.waiting[index as usize], true) {
            self.queue.push_front(index);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

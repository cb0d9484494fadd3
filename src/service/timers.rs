//! Which connection's deadline is next? A queue with at most one entry for each connection.

use crate::time::Instant;
use std::collections::BTreeSet;

/// Deadlines by slot. An entry is moved forward at once but back only when it comes up: most deadlines are put off
/// again and again, which then costs nothing.
#[derive(Default, Debug)]
pub(super) struct Timers {
    queue: BTreeSet<(Instant, usize)>,
}

impl Timers {
    /// Makes sure that the slot comes up at `deadline` at the latest; `armed` is when it does already.
    pub fn arm(&mut self, slot: usize, deadline: Option<Instant>, armed: &mut Option<Instant>) {
        let Some(at) = deadline else { return };
        match *armed {
            Some(before) if before <= at => return,
            Some(before) => self.queue.remove(&(before, slot)),
            None => false,
        };
        *armed = Some(at);
        self.queue.insert((at, slot));
    }

    /// The slot is gone.
    pub fn cancel(&mut self, slot: usize, armed: &mut Option<Instant>) {
        if let Some(at) = armed.take() {
            self.queue.remove(&(at, slot));
        }
    }

    /// The next slot that has come up; it has no entry any more.
    pub fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let &(at, slot) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        Some(slot)
    }

    /// When `pop_due` has something next; possibly early, never late.
    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_entry_which_moves_forward_only() {
        let mut timers = Timers::default();
        let mut armed = None;
        let at = Instant::from_millis;
        for (deadline, next) in [(50, 50), (80, 50), (20, 20), (30, 20)] {
            timers.arm(3, Some(at(deadline)), &mut armed);
            assert_eq!((timers.next(), timers.queue.len()), (Some(at(next)), 1));
        }
        timers.arm(3, None, &mut armed);
        assert_eq!(timers.pop_due(at(19)), None);
        assert_eq!(timers.pop_due(at(20)), Some(3));
        assert_eq!(timers.next(), None);
        armed = None;
        timers.arm(3, Some(at(99)), &mut armed);
        timers.cancel(3, &mut armed);
        assert_eq!((timers.next(), armed), (None, None));
    }
}

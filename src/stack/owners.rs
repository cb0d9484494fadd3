//! What has each owner to look at?

use super::{Owner, Ready};
use std::collections::{BTreeMap, VecDeque};

#[derive(Default)]
struct Queue {
    ready: VecDeque<Ready>,
    /// Entries about sockets that are gone.
    stale: usize,
}

/// One queue per owner.
///
/// Whoever pushes remembers with the socket what is queued about it and pushes nothing twice, so that a queue holds
/// a few entries per socket at most. What is queued about a socket that goes away is skipped later, or swept out
/// when it is half of the queue.
#[derive(Default)]
pub(super) struct Owners {
    queues: BTreeMap<u16, Queue>,
}

impl Owners {
    pub fn push(&mut self, owner: Owner, ready: Ready) {
        self.queues.entry(owner.0).or_default().ready.push_back(ready);
    }

    /// Takes the oldest entry; the caller skips it if its socket is gone.
    pub fn pop(&mut self, owner: Owner) -> Option<Ready> {
        self.queues.get_mut(&owner.0)?.ready.pop_front()
    }

    /// The oldest entry, which stays.
    pub fn first(&self, owner: Owner) -> Option<&Ready> {
        self.queues.get(&owner.0)?.ready.front()
    }

    /// Whether any queue has an entry, of a live socket or not.
    pub fn has_ready(&self) -> bool {
        self.queues.values().any(|queue| !queue.ready.is_empty())
    }

    /// The entry just taken was about a socket that is gone.
    pub fn skipped(&mut self, owner: Owner) {
        if let Some(queue) = self.queues.get_mut(&owner.0) {
            queue.stale = queue.stale.saturating_sub(1);
        }
    }

    /// `count` entries of the queue are about a socket that has just gone; `is_live` tells for each entry.
    pub fn gone(&mut self, owner: Owner, count: usize, is_live: impl Fn(&Ready) -> bool) {
        let Some(queue) = self.queues.get_mut(&owner.0) else { return };
        queue.stale += count;
        if queue.stale > 32 + queue.ready.len() / 2 {
            queue.ready.retain(is_live);
            queue.stale = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::QueryId;

    #[test]
    fn an_owner_that_never_looks_does_not_make_the_queue_grow() {
        let mut owners = Owners::default();
        for n in 0..10_000 {
            owners.push(Owner(1), Ready::Resolved(QueryId(n)));
            owners.gone(Owner(1), 1, |_| false);
        }
        assert!(owners.queues[&1].ready.len() < 100);
    }
}

//! Which connections does a server have, and which of them take memory? Those that carry a request; the others wait.

use super::super::crowd::{Crowd, Mark, Why};
use super::{Page, Recording};
use crate::http::{Config, Resting, ServerConn};
use crate::stack::paged::{Paged, Places};
use crate::stack::{ConnId, Stack};
use crate::time::Instant;
use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Slots that wait for the next request of whatever connection.
const SPARE: usize = 64;

/// Nobody's place.
const NOBODY: u32 = u32::MAX;

/// One connection, while it carries a request or has something to send.
pub(super) struct Slot {
    pub id: ConnId,
    pub http: ServerConn,
    pub page: Option<Page>,
    /// When the page wants to go on.
    pub wake: Option<Instant>,
    pub reset_when_acked: bool,
    pub eof_seen: bool,
    pub served: u64,
    /// Bytes given to the stream, and taken from it, since the connection was last woken.
    pub sent: u64,
    pub received: u64,
    /// Since when the exchange goes on, if that takes time.
    pub mark: Option<Mark>,
    /// The current exchange, if records are wanted.
    pub current: Option<Recording>,
    /// Complete ones that are not yet sent or acknowledged, oldest first.
    pub waiting: VecDeque<Recording>,
}

/// One that waits for its next request.
struct Waiter {
    id: ConnId,
    http: Resting,
}

const _: () = assert!(size_of::<Place>() <= 24);

enum Place {
    Busy(Box<Slot>),
    Idle(Waiter),
}

/// All connections of a server. `slots[key]` is one that was [woken](Slots::wake).
pub(super) struct Slots {
    config: Arc<Config>,
    places: Places<Place>,
    /// By the connection's index in the stack: its key.
    keys: Paged<u32>,
    // The same boxes that stand in the places: moving a slot there costs nothing.
    #[expect(clippy::vec_box)]
    spare: Vec<Box<Slot>>,
}

impl Slots {
    pub fn new(config: Arc<Config>) -> Slots {
        Slots { config, places: Places::default(), keys: Paged::default(), spare: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// One above the highest key there ever was.
    pub fn end(&self) -> u32 {
        self.places.end()
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<u32> {
        self.places.iter().map(|(key, _)| key).collect()
    }

    pub fn contains(&self, key: u32) -> bool {
        self.places.get(key).is_some()
    }

    /// The key of a connection.
    pub fn find(&self, id: ConnId) -> Option<u32> {
        let key = *self.keys.get(id.index() as usize)?;
        let found = match self.places.get(key)? {
            Place::Busy(slot) => slot.id,
            Place::Idle(waiter) => waiter.id,
        };
        (found == id).then_some(key)
    }

    /// Adds a connection that was just accepted.
    pub fn insert(&mut self, now: Instant, id: ConnId) -> u32 {
        let http = Resting::new(now, &self.config);
        let key = self.places.insert(Place::Idle(Waiter { id, http }));
        self.keys.extend_to(id.index() as usize + 1, NOBODY);
        self.keys[id.index() as usize] = key;
        key
    }

    /// Makes sure that the connection can be worked on.
    pub fn wake(&mut self, key: u32) {
        let Place::Idle(Waiter { id, http }) = self.places[key] else { return };
        let mut slot = self.spare.pop().unwrap_or_else(|| {
            Box::new(Slot {
                id,
                http: ServerConn::new(Arc::clone(&self.config), Instant::ZERO),
                page: None,
                wake: None,
                reset_when_acked: false,
                eof_seen: false,
                served: 0,
                sent: 0,
                received: 0,
                mark: None,
                current: None,
                waiting: VecDeque::new(),
            })
        });
        slot.http.resume(http);
        (slot.id, slot.served, slot.sent, slot.received) = (id, http.answered().into(), 0, 0);
        self.places[key] = Place::Busy(slot);
    }

    /// Takes back the slot of a connection that was removed or rests.
    pub fn give_back(&mut self, mut slot: Box<Slot>) {
        if self.spare.len() < SPARE {
            (slot.page, slot.wake, slot.current, slot.mark) = (None, None, None, None);
            (slot.reset_when_acked, slot.eof_seen) = (false, false);
            slot.waiting.clear();
            self.spare.push(slot);
        }
    }

    /// Keeps no more of the connection than must be remembered, if nothing is under way on it.
    pub fn rest(&mut self, key: u32) {
        let Place::Busy(slot) = &self.places[key] else { return };
        let nothing_is_under_way = slot.page.is_none()
            && !slot.reset_when_acked
            && !slot.eof_seen
            && slot.current.is_none()
            && slot.waiting.is_empty();
        let Some(http) = slot.http.resting().filter(|_| nothing_is_under_way) else { return };
        let place = Place::Idle(Waiter { id: slot.id, http });
        if let Place::Busy(slot) = std::mem::replace(&mut self.places[key], place) {
            self.give_back(slot);
        }
    }

    /// Takes a connection away; its slot may be [given back](Self::give_back).
    pub fn remove(&mut self, key: u32) -> Option<Box<Slot>> {
        self.wake(key);
        match self.places.remove(key) {
            Place::Busy(slot) => Some(slot),
            Place::Idle(_) => None,
        }
    }

    /// Whether a connection gives way to others, why, and how soon it would have ended or since when that is so.
    pub fn spare(
        &mut self,
        now: Instant,
        stack: &mut Stack,
        crowd: &Crowd,
        key: u32,
    ) -> Option<(Why, Instant)> {
        if !self.contains(key) {
            return None;
        }
        match &mut self.places[key] {
            Place::Busy(slot) => {
                let patience = crowd.patience(stack, slot.id);
                if let Some(until) = slot.http.spare_until(now, patience) {
                    return Some((Why::Idle, until));
                }
                let moved = slot.moved(now, stack);
                let mark = slot.mark.as_mut()?;
                let why = crowd.why(now, mark, moved, patience)?;
                Some((why, now - mark.waited(now, why)))
            }
            Place::Idle(waiter) => {
                let patience = crowd.patience(stack, waiter.id);
                waiter.http.spare_until(now, patience, &self.config).map(|until| (Why::Idle, until))
            }
        }
    }
}

impl Index<u32> for Slots {
    type Output = Slot;
    fn index(&self, key: u32) -> &Slot {
        match &self.places[key] {
            Place::Busy(slot) => slot,
            Place::Idle(_) => panic!("{key} was not woken"),
        }
    }
}

impl IndexMut<u32> for Slots {
    fn index_mut(&mut self, key: u32) -> &mut Slot {
        match &mut self.places[key] {
            Place::Busy(slot) => slot,
            Place::Idle(_) => panic!("{key} was not woken"),
        }
    }
}

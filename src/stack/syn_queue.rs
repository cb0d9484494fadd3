//! Which handshakes have begun, and which is due for what?

use super::ListenerId;
use super::addrs::Flow;
use super::demux::{Belongs, FlowMap, Next};
use super::dirty::Dirty;
use super::isn::TableHasher;
use super::timers::Timers;
use crate::tcp::{self, Cx, HalfOpen, Log, Snapshot};
use crate::time::Instant;
use std::sync::Arc;

/// A half-open connection of a listener's and its place in the stack: there may be a backlog's worth for each listener,
/// all of them forged.
pub(super) struct Opening {
    pub half: HalfOpen,
    /// The settings as they were when its SYN came.
    pub cfg: Arc<tcp::Config>,
    pub flow: Flow,
    /// The connection's number in the trace.
    pub number: u32,
    pub listener: ListenerId,
    /// Differentiated services of what is sent.
    pub dscp: u8,
    /// The headers of its SYN, if they are asked for.
    pub syn: Option<Box<[u8]>>,
    pub next: Next,
}

const _: () = assert!(size_of::<Opening>() <= 176);

impl Belongs for Opening {
    fn flow(&self) -> Flow {
        self.flow
    }

    fn next(&self) -> Next {
        self.next
    }

    fn set_next(&mut self, next: Next) {
        self.next = next;
    }
}

impl Opening {
    /// Calls into it.
    pub fn with<R>(&mut self, now: Instant, log: &mut Log, f: impl FnOnce(&mut HalfOpen, &mut Cx) -> R) -> R {
        f(&mut self.half, &mut Cx { now, cfg: &self.cfg, log })
    }

    pub fn snapshot(&self, now: Instant, log: &mut Log) -> Snapshot {
        self.half.snapshot(&Cx { now, cfg: &self.cfg, log })
    }

    /// The same for somebody who looks on.
    pub fn standing(&self, now: Instant) -> Snapshot {
        self.snapshot(now, &mut Log::new(false))
    }
}

/// All of them, their timers and who waits to send its SYN-ACK.
pub(super) struct SynQueue {
    openings: FlowMap<Opening>,
    timers: Timers,
    dirty: Dirty,
}

impl SynQueue {
    pub fn new(hasher: TableHasher) -> SynQueue {
        SynQueue { openings: FlowMap::new(hasher), timers: Timers::default(), dirty: Dirty::default() }
    }

    pub fn insert(&mut self, opening: Opening) -> u32 {
        self.openings.insert(opening)
    }

    /// The one of a flow, whose hash is `hash`.
    pub fn find(&self, hash: u64, flow: &Flow) -> Option<u32> {
        self.openings.find(hash, flow)
    }

    pub fn get(&self, index: u32) -> &Opening {
        &self.openings[index]
    }

    pub fn get_mut(&mut self, index: u32) -> &mut Opening {
        &mut self.openings[index]
    }

    /// What follows every call into one: its timer, and its turn to send.
    pub fn settle(&mut self, now: Instant, index: u32, log: &mut Log) {
        let opening = &self.openings[index];
        let at = opening.half.next_deadline(&Cx { now, cfg: &opening.cfg, log });
        self.timers.set(index, at);
        if opening.half.wants_syn_ack() {
            self.dirty.mark(index);
        }
    }

    pub fn remove(&mut self, index: u32) -> Opening {
        self.timers.remove(index);
        self.openings.remove(index)
    }

    /// Takes the first whose timer may be due.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        self.timers.pop_due(now)
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first()
    }

    pub fn has_output(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes the next that has a SYN-ACK to send; what ended meanwhile has none.
    pub fn pop_sender(&mut self) -> Option<u32> {
        while let Some(index) = self.dirty.pop() {
            if self.openings.get(index).is_some_and(|opening| opening.half.wants_syn_ack()) {
                return Some(index);
            }
        }
        None
    }

    /// It could not send now.
    pub fn put_back(&mut self, index: u32) {
        self.dirty.put_back(index);
    }

    pub fn len(&self) -> usize {
        self.openings.len()
    }

    /// One above the highest index there ever was.
    pub fn end(&self) -> u32 {
        self.openings.end()
    }

    /// The one at an index where there may be none.
    pub fn at(&self, index: u32) -> Option<&Opening> {
        self.openings.get(index)
    }

    /// Every one: a rare call.
    pub fn all(&self) -> Vec<u32> {
        self.openings.iter().map(|(index, _)| index).collect()
    }

    /// Those of a listener that ends: a rare call that looks at all.
    pub fn of(&self, id: ListenerId) -> Vec<u32> {
        let theirs = self.openings.iter().filter(|(_, opening)| opening.listener == id);
        theirs.map(|(index, _)| index).collect()
    }
}

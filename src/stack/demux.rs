//! To which connection does a segment belong?

use super::addrs::Flow;
use super::isn::TableHasher;
use std::collections::HashMap;

/// What a flow leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// A connection, by its index.
    Conn(u32),
    /// What is left of one in TIME-WAIT, by its index.
    TimeWait(u32),
}

/// Every flow that is in use. Nothing walks through it, so its order is nobody's business.
pub(super) struct FlowTable {
    slots: HashMap<Flow, Slot, TableHasher>,
    changes: u64,
}

impl FlowTable {
    pub fn new(hasher: TableHasher) -> FlowTable {
        FlowTable { slots: HashMap::with_hasher(hasher), changes: 0 }
    }

    pub fn find(&self, flow: &Flow) -> Option<Slot> {
        self.slots.get(flow).copied()
    }

    pub fn insert(&mut self, flow: Flow, slot: Slot) {
        if self.slots.insert(flow, slot).is_some() {
            self.changes += 1;
        }
    }

    pub fn remove(&mut self, flow: &Flow) {
        self.slots.remove(flow);
        self.changes += 1;
    }

    /// How often a flow has ended or come to wait: while it stays the same, no port becomes free, and those in use
    /// are in use for the same reasons.
    pub fn changes(&self) -> u64 {
        self.changes
    }
}

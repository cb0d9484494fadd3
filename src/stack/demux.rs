//! To which connection does a segment belong?

use super::addrs::Flow;
use super::isn::TableHasher;
use std::collections::HashMap;

/// What a flow leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// A connection, by its index.
    Conn(u32),
    /// One in SYN-RECEIVED, by its index in the SYN queue.
    HalfOpen(u32),
    /// What is left of one in TIME-WAIT, by its index.
    TimeWait(u32),
}

/// Every flow that is in use. Nothing walks through it, so its order is nobody's business.
pub(super) struct FlowTable {
    /// Apart, because most are: an IPv4 flow takes 20 bytes of a table instead of 48.
    v4: HashMap<[u8; 12], Slot, TableHasher>,
    v6: HashMap<Flow, Slot, TableHasher>,
    changes: u64,
}

impl FlowTable {
    pub fn new(hasher: TableHasher) -> FlowTable {
        FlowTable { v4: HashMap::with_hasher(hasher), v6: HashMap::with_hasher(hasher), changes: 0 }
    }

    pub fn find(&self, flow: &Flow) -> Option<Slot> {
        match flow.short() {
            Some(short) => self.v4.get(&short).copied(),
            None => self.v6.get(flow).copied(),
        }
    }

    pub fn insert(&mut self, flow: Flow, slot: Slot) {
        let old = match flow.short() {
            Some(short) => self.v4.insert(short, slot),
            None => self.v6.insert(flow, slot),
        };
        if old.is_some() {
            self.changes += 1;
        }
    }

    pub fn remove(&mut self, flow: &Flow) {
        match flow.short() {
            Some(short) => self.v4.remove(&short),
            None => self.v6.remove(flow),
        };
        self.changes += 1;
    }

    /// How often a flow has ended or come to wait: while it stays the same, no port becomes free, and those in use
    /// are in use for the same reasons.
    pub fn changes(&self) -> u64 {
        self.changes
    }
}

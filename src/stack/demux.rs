//! To which connection does a segment belong?

use super::addrs::Flow;
use super::isn::TableHasher;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

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
    changes: [u64; LANES],
}

impl FlowTable {
    pub fn new(hasher: TableHasher) -> FlowTable {
        FlowTable { v4: HashMap::with_hasher(hasher), v6: HashMap::with_hasher(hasher), changes: [0; LANES] }
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
            self.changes[lane(flow.local().ip(), flow.remote())] += 1;
        }
    }

    pub fn remove(&mut self, flow: &Flow) {
        match flow.short() {
            Some(short) => self.v4.remove(&short),
            None => self.v6.remove(flow),
        };
        self.changes[lane(flow.local().ip(), flow.remote())] += 1;
    }

    /// How often a flow between these addresses (or others that share their count) has ended or come to wait: while it stays the same, no port becomes free, and those in use
    /// are in use for the same reasons.
    pub fn changes(&self, local: IpAddr, remote: SocketAddr) -> u64 {
        self.changes[lane(local, remote)]
    }
}

/// Pairs of addresses count apart, so that what goes on between one does not make another search again for what it did
/// not find.
const LANES: usize = 64;

fn lane(local: IpAddr, remote: SocketAddr) -> usize {
    let last = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    };
    usize::from(last(local).wrapping_mul(7) ^ last(remote.ip()).rotate_left(3) ^ remote.port() as u8) % LANES
}

//! To which connection does a segment belong?

use super::addrs::Flow;
use super::conns::Entry;
use super::isn::TableHasher;
use super::paged::{Paged, Places};
use super::syn_queue::SynQueue;
use super::time_wait::TimeWaits;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Index, IndexMut};

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

/// What belongs to one flow, and has room for the number of what follows it in a chain.
pub(super) trait Belongs {
    fn flow(&self) -> Flow;
    fn next(&self) -> Next;
    fn set_next(&mut self, next: Next);
}

/// The next with the same bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Next(u32);

impl Default for Next {
    fn default() -> Next {
        OFF
    }
}

/// The end of a chain.
const END: u32 = u32::MAX;
/// The flow does not lead here.
const OFF: Next = Next(u32::MAX - 1);

/// Things of which each belongs to a flow: found by it, or by the number of their place.
///
/// A hash table of chains through the things themselves, of numbers only. It grows by one bucket for each thing (linear hashing:
/// bucket `n` takes its share of a bucket of the first half), so nothing is ever moved all at once and no memory waits for later:
/// eight bytes each, whatever their number. Nothing walks through the buckets, so their order is nobody's business.
pub(super) struct FlowMap<T> {
    hasher: TableHasher,
    heads: Paged<u32>,
    things: Places<T>,
    /// How many a flow leads to.
    linked: usize,
}

impl<T: Belongs> FlowMap<T> {
    pub fn new(hasher: TableHasher) -> FlowMap<T> {
        FlowMap { hasher, heads: Paged::default(), things: Places::default(), linked: 0 }
    }

    /// Bytes that they take, and the table that leads to them.
    pub fn memory(&self) -> usize {
        self.heads.memory() + self.things.memory()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// The place of the one that belongs to `flow`, whose hash is `hash`.
    pub fn find(&self, hash: u64, flow: &Flow) -> Option<u32> {
        let mut at = *self.heads.get(bucket(hash, self.heads.len()))?;
        while at != END {
            let thing = &self.things[at];
            if thing.flow() == *flow {
                return Some(at);
            }
            at = thing.next().0;
        }
        None
    }

    /// Adds one whose flow leads to no other one.
    pub fn insert(&mut self, value: T) -> u32 {
        let hash = self.hasher.hash(&value.flow());
        let at = self.things.insert(value);
        self.linked += 1;
        if self.linked > self.heads.len() {
            self.split();
        }
        self.push(hash, at);
        at
    }

    /// The flow leads to it no more, but it stays.
    pub fn unlink(&mut self, at: u32) {
        let thing = &mut self.things[at];
        let next = thing.next();
        if next == OFF {
            return;
        }
        thing.set_next(OFF);
        let hash = self.hasher.hash(&thing.flow());
        let bucket = bucket(hash, self.heads.len());
        let mut before = self.heads[bucket];
        if before == at {
            self.heads[bucket] = next.0;
        } else {
            while self.things[before].next().0 != at {
                before = self.things[before].next().0;
            }
            self.things[before].set_next(next);
        }
        self.linked -= 1;
        while self.linked * 4 < self.heads.len() {
            self.merge();
        }
    }

    /// Takes it away.
    pub fn remove(&mut self, at: u32) -> T {
        self.unlink(at);
        self.things.remove(at)
    }

    pub fn get(&self, at: u32) -> Option<&T> {
        self.things.get(at)
    }

    /// One above the highest place there ever was.
    pub fn end(&self) -> u32 {
        self.things.end()
    }

    /// All, by place.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.things.iter()
    }

    fn push(&mut self, hash: u64, at: u32) {
        let bucket = bucket(hash, self.heads.len());
        let next = std::mem::replace(&mut self.heads[bucket], at);
        self.things[at].set_next(Next(next));
    }

    /// One bucket more: what belongs there comes from the one that stood for it.
    fn split(&mut self) {
        let new = self.heads.len();
        self.heads.push(END);
        if new > 0 {
            let from = bucket(new as u64, new);
            self.spread(from);
        }
    }

    /// One bucket less: its chain goes where it came from.
    fn merge(&mut self) {
        let Some(chain) = self.heads.pop() else { return };
        self.spread_chain(chain);
    }

    fn spread(&mut self, from: usize) {
        let chain = std::mem::replace(&mut self.heads[from], END);
        self.spread_chain(chain);
    }

    fn spread_chain(&mut self, mut at: u32) {
        while at != END {
            let thing = &self.things[at];
            let (next, hash) = (thing.next().0, self.hasher.hash(&thing.flow()));
            self.push(hash, at);
            at = next;
        }
    }
}

/// Which of `count` buckets: as many bits of the hash as they need, or one less for those that are not there yet.
fn bucket(hash: u64, count: usize) -> usize {
    let mask = count.next_power_of_two() - 1;
    let bucket = hash as usize & mask;
    if bucket < count { bucket } else { bucket & (mask >> 1) }
}

impl<T: Belongs> Index<u32> for FlowMap<T> {
    type Output = T;
    fn index(&self, at: u32) -> &T {
        &self.things[at]
    }
}

impl<T: Belongs> IndexMut<u32> for FlowMap<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.things[at]
    }
}

/// What a flow leads to, whose hash is `hash`; to one of them at most.
pub(super) fn find(
    hash: u64,
    flow: &Flow,
    conns: &FlowMap<Entry>,
    syn_queue: &SynQueue,
    time_waits: &TimeWaits,
) -> Option<Slot> {
    let conn = conns.find(hash, flow).map(Slot::Conn);
    let half_open = || syn_queue.find(hash, flow).map(Slot::HalfOpen);
    conn.or_else(half_open).or_else(|| time_waits.find(hash, flow).map(Slot::TimeWait))
}

/// Pairs of addresses count apart, so that what goes on between one does not make another search again for what it did
/// not find.
const LANES: usize = 64;

/// How often a flow between two addresses (or others that share their count) has ended or come to wait: while it stays the
/// same, no port becomes free, and those in use are in use for the same reasons.
pub(super) struct Changes([u64; LANES]);

impl Default for Changes {
    fn default() -> Changes {
        Changes([0; LANES])
    }
}

impl Changes {
    pub fn note(&mut self, flow: &Flow) {
        self.0[lane(flow.local().ip(), flow.remote())] += 1;
    }

    pub fn count(&self, local: IpAddr, remote: SocketAddr) -> u64 {
        self.0[lane(local, remote)]
    }
}

fn lane(local: IpAddr, remote: SocketAddr) -> usize {
    let last = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    };
    usize::from(last(local).wrapping_mul(7) ^ last(remote.ip()).rotate_left(3) ^ remote.port() as u8) % LANES
}

#[cfg(test)]
mod tests {
    use super::super::isn::Secrets;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    struct Thing((u16, bool), Next);

    impl Belongs for Thing {
        fn flow(&self) -> Flow {
            flow(self.0)
        }
        fn next(&self) -> Next {
            self.1
        }
        fn set_next(&mut self, next: Next) {
            self.1 = next;
        }
    }

    fn thing(key: (u16, bool)) -> Thing {
        Thing(key, Next::default())
    }

    fn flow((port, six): (u16, bool)) -> Flow {
        let ip = |n| {
            if six { IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]) } else { IpAddr::from([10, 0, 0, n as u8]) }
        };
        Flow::new((ip(2), 80).into(), (ip(1), port).into())
    }

    proptest! {
        #[test]
        fn each_flow_leads_to_what_belongs_to_it(
            steps in prop::collection::vec((0u16..200, any::<bool>(), 0u8..8), 0..2000)
        ) {
            let hasher = Secrets::new(7).table();
            let mut map = FlowMap::new(hasher);
            let (mut model, mut off) = (BTreeMap::new(), Vec::new());
            let find = |map: &FlowMap<_>, key| map.find(hasher.hash(&flow(key)), &flow(key));
            for (port, six, action) in steps {
                let key = (port, six);
                match (action, model.get(&key).copied()) {
                    (0..6, None) => drop(model.insert(key, map.insert(thing(key)))),
                    (0 | 1, Some(at)) => {
                        model.remove(&key);
                        prop_assert_eq!(map.remove(at).0, key);
                    }
                    (2, Some(at)) => {
                        model.remove(&key);
                        map.unlink(at);
                        off.push((at, key));
                    }
                    (3, _) if !off.is_empty() => {
                        let (at, key) = off.swap_remove(0);
                        prop_assert_eq!(map.remove(at).0, key);
                    }
                    _ => {}
                }
                prop_assert_eq!(find(&map, key), model.get(&key).copied());
                prop_assert_eq!((map.len(), map.linked), (model.len() + off.len(), model.len()));
                prop_assert!(map.heads.len() <= 4 * map.linked + 4);
            }
            for (key, at) in model {
                prop_assert_eq!(find(&map, key), Some(at));
                map.remove(at);
            }
        }
    }

    #[test]
    fn chains_stay_short_at_every_size_on_the_way_up() {
        let hasher = Secrets::new(7).table();
        let mut map = FlowMap::new(hasher);
        for port in 0..60_000 {
            map.insert(thing((port, port % 2 == 0)));
            if port % 5000 == 4999 {
                let length = |bucket: usize| {
                    let taken = |at: u32| (at != END).then_some(at);
                    std::iter::successors(taken(map.heads[bucket]), |&at| taken(map.things[at].next().0))
                        .count()
                };
                let lengths: Vec<usize> = (0..map.heads.len()).map(length).collect();
                assert_eq!(lengths.iter().sum::<usize>(), map.len());
                assert!(lengths.iter().all(|&n| n < 16), "{:?}", lengths.iter().max());
            }
        }
    }
}

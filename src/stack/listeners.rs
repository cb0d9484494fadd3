//! Who listens there, and has it room for one more?

use super::{ListenerId, Owner};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) struct Listener {
    pub local: SocketAddr,
    pub owner: Owner,
    /// Connections that may wait, half-open ones included.
    backlog: u32,
    /// The SYN queue: how many of the stack's connections are in SYN-RECEIVED for this listener.
    half_open: u32,
    /// The accept queue: indexes of established connections, oldest first.
    waiting: VecDeque<u32>,
    /// Whether `Ready::Accept` is in the owner's queue.
    pub told: bool,
}

impl Listener {
    pub fn is_full(&self) -> bool {
        u64::from(self.half_open) + self.waiting.len() as u64 >= u64::from(self.backlog)
    }

    /// A SYN was taken.
    pub fn opened(&mut self) {
        self.half_open += 1;
    }

    /// A handshake failed.
    pub fn failed(&mut self) {
        self.half_open -= 1;
    }

    /// A handshake is complete: connection `index` waits to be accepted.
    pub fn established(&mut self, index: u32) {
        self.half_open -= 1;
        self.waiting.push_back(index);
    }

    pub fn accept(&mut self) -> Option<u32> {
        self.waiting.pop_front()
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// All listeners, by number and by address.
///
/// The most specific one gets the connection: its exact address, else `0.0.0.0` for IPv4, else `[::]`, which takes
/// both families as it does with std::net on Linux.
#[derive(Default)]
pub(super) struct Listeners {
    by_id: BTreeMap<u32, Listener>,
    by_addr: BTreeMap<(IpAddr, u16), u32>,
    next: u32,
}

const ANY4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl Listeners {
    /// None if something listens on exactly this address already.
    pub fn add(&mut self, local: SocketAddr, backlog: u32, owner: Owner) -> Option<ListenerId> {
        if self.by_addr.contains_key(&(local.ip(), local.port())) {
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.by_addr.insert((local.ip(), local.port()), id);
        let listener =
            Listener { local, owner, backlog, half_open: 0, waiting: VecDeque::new(), told: false };
        self.by_id.insert(id, listener);
        Some(ListenerId(id))
    }

    pub fn remove(&mut self, id: ListenerId) -> Option<Listener> {
        let listener = self.by_id.remove(&id.0)?;
        self.by_addr.remove(&(listener.local.ip(), listener.local.port()));
        Some(listener)
    }

    /// The listener for a SYN to `local`.
    pub fn find(&self, local: SocketAddr) -> Option<ListenerId> {
        let port = local.port();
        let at = |ip| self.by_addr.get(&(ip, port)).copied().map(ListenerId);
        at(local.ip()).or_else(|| if local.is_ipv4() { at(ANY4) } else { None }).or_else(|| at(ANY6))
    }

    /// Whether a port cannot be given to a socket bound to `ip`, because a listener could be meant.
    pub fn has_port(&self, ip: IpAddr, port: u16) -> bool {
        if ip.is_unspecified() {
            // A wildcard meets every address; ports are picked for one rarely, listeners are few.
            return self.by_addr.keys().any(|&(_, taken)| taken == port);
        }
        self.find(SocketAddr::new(ip, port)).is_some()
    }

    pub fn get(&self, id: ListenerId) -> Option<&Listener> {
        self.by_id.get(&id.0)
    }

    pub fn get_mut(&mut self, id: ListenerId) -> Option<&mut Listener> {
        self.by_id.get_mut(&id.0)
    }

    /// The oldest listener.
    pub fn first(&self) -> Option<ListenerId> {
        self.by_id.keys().next().copied().map(ListenerId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_listener_gets_the_connection() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut listeners = Listeners::default();
        let mut add = |text| listeners.add(addr(text), 8, Owner(0)).unwrap();
        let (six, four, own) = (add("[::]:80"), add("0.0.0.0:80"), add("10.0.0.2:80"));
        let dual = add("[::]:81");
        let only4 = add("0.0.0.0:82");
        for (local, expected) in [
            ("10.0.0.2:80", Some(own)),
            ("10.0.0.3:80", Some(four)),
            ("[fd77::2]:80", Some(six)),
            ("10.0.0.2:81", Some(dual)),
            ("[fd77::2]:81", Some(dual)),
            ("10.0.0.2:82", Some(only4)),
            ("[fd77::2]:82", None),
            ("10.0.0.2:83", None),
        ] {
            assert_eq!(listeners.find(addr(local)), expected, "{local}");
        }
        assert_eq!(listeners.add(addr("[::]:80"), 8, Owner(1)), None);
        assert!(listeners.remove(own).is_some() && listeners.remove(own).is_none());
        assert_eq!(listeners.find(addr("10.0.0.2:80")), Some(four));
    }

    #[test]
    fn half_open_and_waiting_connections_share_the_backlog() {
        let mut listeners = Listeners::default();
        let id = listeners.add(([10, 0, 0, 2], 80).into(), 2, Owner(0)).unwrap();
        let listener = listeners.get_mut(id).unwrap();
        listener.opened();
        listener.opened();
        assert!(listener.is_full());
        listener.established(7);
        assert!(listener.is_full());
        assert_eq!(listener.accept(), Some(7));
        assert!(!listener.is_full());
        listener.failed();
        assert!(!listener.is_waiting());
    }
}

//! Whose key is it? What signs the segments of each peer (RFC 2385), as Linux' `TCP_MD5SIG_EXT` has it.

use super::addrs::Flow;
use super::demux::Slot;
use super::{ConnId, ListenerId, Stack};
use crate::segment::Key;
use crate::tcp::{self, DropReason};
use crate::time::Instant;
use crate::wire::{self, Packet};
use std::net::IpAddr;
use std::sync::Arc;

/// Keys by the addresses of peers: of those that fit the one for the smallest network counts.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Keyring {
    /// Network, length of its prefix, key.
    keys: Vec<(IpAddr, u8, Arc<Key>)>,
}

impl Keyring {
    /// One without keys.
    pub fn new() -> Keyring {
        Keyring::default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key for the peers whose first `prefix` bits are those of `network`; it takes the place of one for the same. A prefix
    /// that is longer than the address is the whole address.
    pub fn insert(&mut self, network: IpAddr, prefix: u8, key: Key) {
        let (network, prefix) = normal(network, prefix);
        self.remove(network, prefix);
        self.keys.push((network, prefix, Arc::new(key)));
    }

    /// Takes the key of exactly this network away; false if there is none.
    pub fn remove(&mut self, network: IpAddr, prefix: u8) -> bool {
        let (network, prefix) = normal(network, prefix);
        let before = self.keys.len();
        self.keys.retain(|(other, len, _)| (*other, *len) != (network, prefix));
        self.keys.len() < before
    }

    /// The key of a peer.
    pub fn find(&self, peer: IpAddr) -> Option<&Key> {
        self.shared(peer).map(|key| &**key)
    }

    fn shared(&self, peer: IpAddr) -> Option<&Arc<Key>> {
        let peer = peer.to_canonical();
        let fits = |(network, prefix, _): &&(IpAddr, u8, Arc<Key>)| normal(peer, *prefix).0 == *network;
        self.keys.iter().filter(fits).max_by_key(|(_, prefix, _)| *prefix).map(|(.., key)| key)
    }
}

/// The first `prefix` bits of an address; an IPv4 address in IPv6's form is an IPv4 address.
fn normal(ip: IpAddr, prefix: u8) -> (IpAddr, u8) {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let prefix = if ip.is_ipv6() { prefix.saturating_sub(96) } else { prefix }.min(32);
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            (IpAddr::V4((u32::from(v4) & mask).into()), prefix)
        }
        IpAddr::V6(v6) => {
            let prefix = prefix.min(128);
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            (IpAddr::V6((u128::from(v6) & mask).into()), prefix)
        }
    }
}

impl Stack {
    /// The keys of the peers of a listener's connections to come, whose own keys they become (`TCP_MD5SIG` on a listening
    /// socket). A peer with a key is heard only if it signs, one without only if it does not; the `tcp.md5_key` setting is
    /// the key of those that are not in the ring.
    pub fn set_listener_keys(&mut self, id: ListenerId, keys: Keyring) {
        self.signs |= !keys.is_empty();
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.keys = keys;
        }
    }

    /// Signs and verifies every segment of a connection from now on (`TCP_MD5SIG`), the SYN too if it has not left yet; `None`
    /// ends that.
    pub fn set_key(&mut self, now: Instant, id: ConnId, key: Option<Key>) {
        let Some(index) = self.index_of(id) else { return };
        self.sign_with(now, index, key.map(Arc::new));
    }

    /// The key of a connection.
    pub fn key(&self, id: ConnId) -> Option<&Key> {
        self.conns[self.index_of(id)?].key.as_deref()
    }

    pub(super) fn sign_with(&mut self, now: Instant, index: u32, key: Option<Arc<Key>>) {
        let signed = key.is_some();
        self.signs |= signed;
        self.conns[index].key = key;
        self.with_conn(now, index, |conn, _| conn.set_signed(signed));
    }

    /// The key of a peer that a listener hears, or that nobody knows yet.
    pub(super) fn key_by_listener(&self, id: Option<ListenerId>, peer: IpAddr) -> Option<Arc<Key>> {
        let listener = id.and_then(|id| self.listeners.get(id));
        let own = listener.and_then(|listener| listener.keys.shared(peer).cloned());
        own.or_else(|| default_key(listener.map_or(&self.tcp, |listener| listener.cfg(&self.tcp))))
    }

    /// The key of what a flow leads to.
    pub(super) fn key_of(&self, flow: &Flow, slot: Option<Slot>) -> Option<Arc<Key>> {
        if !self.signs {
            return None;
        }
        match slot {
            Some(Slot::Conn(index)) => self.conns[index].key.clone(),
            Some(Slot::TimeWait(index)) => self.time_waits.key(index).cloned(),
            Some(Slot::HalfOpen(index)) => {
                self.key_by_listener(Some(self.syn_queue.get(index).listener), flow.remote().ip())
            }
            None => self.key_by_listener(self.listeners.find(flow.local()), flow.remote().ip()),
        }
    }

    /// Why a segment must not be heard: who has a key signs with it, who has none does not sign.
    pub(super) fn judge_signature(
        &self,
        packet: &Packet,
        flow: &Flow,
        slot: Option<Slot>,
    ) -> Option<DropReason> {
        let signed = packet.seg.options.signed;
        match self.key_of(flow, slot) {
            None => (signed && self.config.tcp.drop_signed).then_some(DropReason::Signed),
            Some(_) if !signed => Some(DropReason::Unsigned),
            Some(key) => (!wire::is_signed_by(packet, &key)).then_some(DropReason::Signature),
        }
    }
}

/// The key of all peers that have none of their own.
pub(super) fn default_key(cfg: &tcp::Config) -> Option<Arc<Key>> {
    cfg.md5_key.map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_smallest_network_counts() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let key = |text: &str| Key::new(text.as_bytes()).unwrap();
        let mut ring = Keyring::new();
        ring.insert(ip("10.1.0.0"), 16, key("site"));
        ring.insert(ip("10.1.2.3"), 32, key("host"));
        ring.insert(ip("10.99.99.99"), 8, key("all"));
        ring.insert(ip("fd77::"), 64, key("six"));
        for (peer, expected) in [
            ("10.1.2.3", Some("host")),
            ("::ffff:10.1.2.3", Some("host")),
            ("10.1.2.4", Some("site")),
            ("10.2.0.1", Some("all")),
            ("11.0.0.1", None),
            ("fd77::9", Some("six")),
            ("fd78::9", None),
        ] {
            let found = ring.find(ip(peer)).map(|key| std::str::from_utf8(key.bytes()).unwrap());
            assert_eq!(found, expected, "{peer}");
        }
        ring.insert(ip("::ffff:10.1.2.3"), 128, key("other"));
        assert_eq!(ring.find(ip("10.1.2.3")), Some(&key("other")));
        assert!(ring.remove(ip("10.1.2.3"), 32) && !ring.remove(ip("10.1.2.3"), 32));
        assert_eq!(ring.find(ip("10.1.2.3")), Some(&key("site")));
        ring.insert(ip("0.0.0.0"), 0, key("any"));
        assert_eq!(ring.find(ip("11.0.0.1")), Some(&key("any")));
    }

    #[test]
    fn a_key_has_one_to_eighty_bytes() {
        assert!(Key::new(&[]).is_none() && Key::new(&[7; 81]).is_none());
        assert_eq!(Key::new(&[7; 80]).unwrap().bytes(), [7; 80]);
        assert_eq!(format!("{:?}", Key::new(b"secret").unwrap()), "a key of 6 bytes");
    }
}

//! Who listens there, and has it room for one more?

use super::fast_open::Queue;
use super::keys::Keyring;
use super::{ListenerId, Owner, cookies};
use crate::tcp::{Config, Opts};
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub(super) struct Listener {
    pub local: SocketAddr,
    pub owner: Owner,
    /// Connections that may wait to be accepted.
    backlog: u32,
    /// The SYN queue: how many handshakes have begun, and how many of them have not had to repeat their SYN-ACK.
    half_open: u32,
    young: u32,
    /// The accept queue: indexes of established connections, oldest first.
    waiting: VecDeque<u32>,
    /// Acknowledgments may bring SYN cookies back until then.
    cookies_until: Instant,
    pub fast_open: Queue,
    /// Whether `Ready::Accept` is in the owner's queue.
    pub told: bool,
    /// Whether the headers of SYNs are kept.
    pub saves_syn: bool,
    /// The keys of its peers.
    pub keys: Keyring,
    /// What its connections begin with, if that is not what the stack has.
    pub own: Option<(Arc<Config>, Arc<Opts>)>,
}

impl Listener {
    /// The settings of its connections, those of the stack being `cfg`.
    pub fn cfg<'a>(&'a self, cfg: &'a Arc<Config>) -> &'a Arc<Config> {
        self.own.as_ref().map_or(cfg, |(own, _)| own)
    }

    /// Whether nobody more can wait to be accepted.
    pub fn is_full(&self) -> bool {
        self.waiting.len() as u64 >= u64::from(self.backlog)
    }

    /// Whether no other handshake can be remembered.
    pub fn is_flooded(&self) -> bool {
        self.half_open >= self.backlog.saturating_sub(1).max(1)
    }

    /// A SYN was taken.
    pub fn opened(&mut self) {
        self.half_open += 1;
        self.young += 1;
    }

    /// A handshake had to repeat its SYN-ACK for the first time.
    pub fn aged(&mut self) {
        self.young -= 1;
    }

    /// A handshake is over, well or not; `old` says that it had aged.
    pub fn ended(&mut self, old: bool) {
        self.half_open -= 1;
        self.young -= u32::from(!old);
    }

    /// How often a SYN-ACK is repeated, `retries` times while there is room. Like Linux: when more than half of the SYN queue is taken,
    /// old handshakes make room for young ones by giving up earlier.
    pub fn patience(&self, retries: u8) -> u8 {
        let mut patience = retries;
        if u64::from(self.half_open) * 2 > u64::from(self.backlog.max(8)) {
            let mut young = u64::from(self.young) * 2;
            while patience > 2 && u64::from(self.half_open) >= young {
                patience -= 1;
                young *= 2;
                if young == 0 {
                    return 2;
                }
            }
        }
        patience
    }

    /// A cookie was sent.
    pub fn sent_cookie(&mut self, now: Instant) {
        self.cookies_until = now + 2 * cookies::VALID;
    }

    /// Whether an acknowledgment can be that of a cookie: looking costs two hashes.
    pub fn expects_cookie(&self, now: Instant) -> bool {
        now < self.cookies_until
    }

    /// Connection `index` waits to be accepted.
    pub fn established(&mut self, index: u32) {
        self.waiting.push_back(index);
    }

    pub fn accept(&mut self) -> Option<u32> {
        self.waiting.pop_front()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
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
        let listener = Listener {
            local,
            owner,
            backlog,
            half_open: 0,
            young: 0,
            waiting: VecDeque::new(),
            cookies_until: Instant::ZERO,
            fast_open: Queue::default(),
            told: false,
            saves_syn: false,
            keys: Keyring::new(),
            own: None,
        };
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

    /// One above the highest number there ever was.
    pub fn end(&self) -> u32 {
        self.next
    }

    /// Where number `at` listens, and how many wait to be accepted, how many may, and how many handshakes have begun.
    pub fn standing(&self, at: u32) -> Option<(SocketAddr, [u32; 3])> {
        let listener = self.by_id.get(&at)?;
        Some((listener.local, [listener.waiting.len() as u32, listener.backlog, listener.half_open]))
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
    fn the_queues_of_a_listener_have_limits_of_their_own() {
        let mut listeners = Listeners::default();
        let id = listeners.add(([10, 0, 0, 2], 80).into(), 3, Owner(0)).unwrap();
        let listener = listeners.get_mut(id).unwrap();
        listener.opened();
        assert!(!listener.is_flooded());
        listener.opened();
        assert!(listener.is_flooded() && !listener.is_full());
        for index in [7, 8, 9] {
            listener.established(index);
        }
        listener.ended(false);
        assert!(!listener.is_flooded() && listener.is_full());
        assert_eq!(listener.accept(), Some(7));
        assert!(!listener.is_full());
    }

    #[test]
    fn old_handshakes_make_room_for_young_ones() {
        let mut listeners = Listeners::default();
        let id = listeners.add(([10, 0, 0, 2], 80).into(), 100, Owner(0)).unwrap();
        let listener = listeners.get_mut(id).unwrap();
        (0..50).for_each(|_| listener.opened());
        assert_eq!(listener.patience(5), 5, "there is room");
        listener.opened();
        assert_eq!(listener.patience(5), 5, "all are young");
        (0..40).for_each(|_| listener.aged());
        // 51 of which 11 are young: 22 and 44 are less, 88 is not.
        assert_eq!(listener.patience(5), 3);
        (0..11).for_each(|_| listener.aged());
        assert_eq!(listener.patience(5), 2, "none is young");
        assert_eq!(listener.patience(1), 1);
    }
}

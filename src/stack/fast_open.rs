//! Who may send data with a SYN, and which cookies proves it? TCP Fast Open (RFC 7413) for all connections together.

use super::addrs::Flow;
use super::isn::Secrets;
use crate::segment::{Cookie, Segment};
use crate::tcp::fast_open::{self, Answer, Keys, Lesson, Offer};
use crate::tcp::{self};
use crate::time::{Duration, Instant};
use siphasher::sip::SipHasher24;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// So many peers are remembered, the oldest are forgotten.
const LIMIT: usize = 1024;

/// A RST makes a Fast Open connection count for so much longer: who forges addresses does not get more of them (RFC 7413
/// §5.1).
const AFTER_RESET: Duration = Duration::from_secs(60);

/// A pause is made twice as long so many times at the most.
const LONGEST_PAUSE: u32 = 6;

/// The cookie for the peer at `from`, which proves that its address is its own: SipHash-2-4 of both addresses, as on Linux.
pub(crate) fn cookie(key: &[u8; 16], from: IpAddr, to: IpAddr) -> [u8; 8] {
    let half = |n: usize| u64::from_le_bytes(std::array::from_fn(|i| key[n + i]));
    let hasher = SipHasher24::new_with_keys(half(0), half(8));
    let hash = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&from.octets());
            bytes[4..].copy_from_slice(&to.octets());
            hasher.hash(&bytes)
        }
        (from, to) => {
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&super::addrs::octets(from));
            bytes[16..].copy_from_slice(&super::addrs::octets(to));
            hasher.hash(&bytes)
        }
    };
    hash.to_le_bytes()
}

fn of_flow(key: &[u8; 16], flow: &Flow) -> [u8; 8] {
    cookie(key, flow.remote().ip(), flow.local().ip())
}

/// What a listener makes of a SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    /// A connection is made at once, and what came with the SYN is taken.
    pub take: bool,
    /// What goes back with the SYN-ACK.
    pub cookie: Option<Cookie>,
}

const PLAIN: Verdict = Verdict { take: false, cookie: None };

/// A listener's part in it (`TCP_FASTOPEN`, `TCP_FASTOPEN_KEY`, `TCP_FASTOPEN_NO_COOKIE`).
#[derive(Clone, Default, Debug)]
pub(super) struct Queue {
    /// How many connections may be in use before their handshake is done; 0 switches Fast Open off.
    most: u32,
    keys: Option<Keys>,
    without_cookie: bool,
    /// How many are.
    early: u32,
    /// When those that were reset count no more, oldest first: no more than `most`.
    reset: VecDeque<Instant>,
}

impl Queue {
    pub fn set(&mut self, most: u32, keys: Option<Keys>, without_cookie: bool) {
        (self.most, self.keys, self.without_cookie) = (most, keys, without_cookie);
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let taken = self.early as usize + self.reset.len();
        taken < self.most as usize || self.most > 0 && self.reset.pop_front_if(|at| *at <= now).is_some()
    }

    /// Judges a SYN of `flow`; `secrets` make the cookies of a stack that has no key.
    pub fn judge(
        &mut self,
        now: Instant,
        cfg: &tcp::Config,
        secrets: &Secrets,
        flow: &Flow,
        syn: &Segment,
    ) -> Verdict {
        let shown = syn.options.fast_open;
        let asks = syn.len > 0 || shown.is_some();
        if cfg.fast_open & fast_open::SERVER == 0 || !asks || !self.has_room(now) {
            return PLAIN;
        }
        if self.without_cookie || cfg.fast_open & fast_open::SERVER_WITHOUT_COOKIE != 0 {
            return Verdict { take: true, cookie: None };
        }
        let Some(shown) = shown else { return PLAIN };
        let fresh = self.cookie(cfg, secrets, flow, shown.experimental);
        match self.keys(cfg, secrets).iter().position(|key| shown.bytes() == of_flow(key, flow)) {
            Some(0) => Verdict { take: true, cookie: None },
            Some(_) => Verdict { take: true, cookie: fresh },
            None => Verdict { take: false, cookie: fresh },
        }
    }

    fn keys(&self, cfg: &tcp::Config, secrets: &Secrets) -> Keys {
        self.keys.or(cfg.fast_open_keys).unwrap_or_else(|| secrets.fast_open_keys())
    }

    /// The cookie that the peer of `flow` gets.
    pub fn cookie(
        &self,
        cfg: &tcp::Config,
        secrets: &Secrets,
        flow: &Flow,
        experimental: bool,
    ) -> Option<Cookie> {
        Cookie::new(&of_flow(&self.keys(cfg, secrets).primary, flow), experimental)
    }

    /// A connection is in use before its handshake is done.
    pub fn opened(&mut self) {
        self.early += 1;
    }

    /// Its handshake is done, or it has ended; `reset` says that a RST did it after it was accepted.
    pub fn ended(&mut self, now: Instant, reset: bool) {
        self.early = self.early.saturating_sub(1);
        if reset {
            self.reset.push_back(now + AFTER_RESET);
        }
    }
}

/// What earlier connections have learned of a peer.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    cookie: Option<Cookie>,
    mss: Option<u16>,
    /// The experimental option is to be tried (1), or was in vain (2).
    tried: u8,
    learned: Instant,
}

/// What `connect` knows: cookies, and whether the way carries them.
#[derive(Default)]
pub(super) struct Peers {
    /// By our address and theirs.
    known: BTreeMap<(IpAddr, IpAddr), Known>,
    /// When each was learned, oldest first.
    order: VecDeque<(Instant, (IpAddr, IpAddr))>,
    /// How often in a row Fast Open was given up for a while, and since when.
    pauses: u32,
    paused_at: Instant,
}

impl Peers {
    /// What a SYN of `flow` may have beyond a plain one; `without_cookie` is the socket's wish.
    pub fn offer(
        &self,
        now: Instant,
        cfg: &tcp::Config,
        flow: (IpAddr, IpAddr),
        without_cookie: bool,
    ) -> Offer {
        let known = self.known.get(&flow).copied().unwrap_or_default();
        let experimental = known.cookie.is_none() && known.tried == 1;
        let mut request = Cookie::REQUEST;
        request.experimental = experimental;
        if self.is_paused(now, cfg) {
            return Offer { cookie: None, data: false, mss: known.mss };
        }
        if without_cookie || cfg.fast_open & fast_open::CLIENT_WITHOUT_COOKIE != 0 {
            return Offer { cookie: None, data: true, mss: known.mss };
        }
        Offer { cookie: Some(known.cookie.unwrap_or(request)), data: known.cookie.is_some(), mss: known.mss }
    }

    fn is_paused(&self, now: Instant, cfg: &tcp::Config) -> bool {
        let length =
            cfg.fast_open_pause.saturating_mul(1 << self.pauses.saturating_sub(1).min(LONGEST_PAUSE));
        self.pauses > 0 && now < self.paused_at + length
    }

    /// A connection of `flow` has found something out.
    pub fn learn(&mut self, now: Instant, cfg: &tcp::Config, flow: (IpAddr, IpAddr), lesson: &Lesson) {
        if lesson.swallowed && !cfg.fast_open_pause.is_zero() {
            (self.pauses, self.paused_at) = (self.pauses.saturating_add(1), now);
        }
        let Some(Answer { cookie, mss, unheard }) = lesson.answer else { return };
        let mut known = self.known.get(&flow).copied().unwrap_or_default();
        known.mss = mss.or(known.mss);
        match unheard.map_or(0, |experimental| 1 + u8::from(experimental)) {
            _ if cookie.is_some() => known.cookie = cookie,
            try_next if known.cookie.is_none() => known.tried = known.tried.max(try_next),
            _ => {}
        }
        while let Some(&(at, oldest)) = self.order.front()
            && self.order.len() >= LIMIT
        {
            self.order.pop_front();
            // What was learned anew stands further back.
            if self.known.get(&oldest).is_some_and(|known| known.learned == at) {
                self.known.remove(&oldest);
            }
        }
        known.learned = now;
        self.known.insert(flow, known);
        self.order.push_back((now, flow));
    }

    /// Data came back from a peer that was asked for Fast Open: the way is good.
    pub fn passed(&mut self, now: Instant, cfg: &tcp::Config) {
        if self.pauses > 0 && !self.is_paused(now, cfg) {
            self.pauses = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Flags, Options};

    fn flow(remote: &str, local: &str) -> Flow {
        Flow::new(local.parse().unwrap(), remote.parse().unwrap())
    }

    fn keys() -> Keys {
        Keys::parse("a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4").unwrap()
    }

    #[test]
    fn a_cookie_is_what_linux_makes_of_the_addresses_and_the_key() {
        let of = |from: &str, to: &str| cookie(&keys().primary, from.parse().unwrap(), to.parse().unwrap());
        assert_eq!(of("192.0.2.1", "192.168.0.1"), 0x3021_b9d8_8901_7eeb_u64.to_be_bytes());
        assert_eq!(of("fd3d:fa7b:d17d::1", "fd3d:0a0b:17d6::1"), 0xc1d1_e974_2a47_a9bc_u64.to_be_bytes());
    }

    fn syn(len: u32, cookie: Option<&[u8]>) -> Segment {
        let fast_open = cookie.and_then(|bytes| Cookie::new(bytes, false));
        Segment {
            flags: Flags::SYN,
            len,
            options: Options { fast_open, ..Options::default() },
            ..Segment::default()
        }
    }

    #[test]
    fn a_queue_has_room_for_so_many_and_counts_those_that_were_reset_for_a_minute() {
        let (secrets, flow) = (Secrets::new(1), flow("192.0.2.1:1", "192.168.0.1:2"));
        let cfg = tcp::Config { fast_open: fast_open::SERVER, ..tcp::Config::linux() };
        let mut queue = Queue::default();
        let good = of_flow(&keys().primary, &flow);
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let takes =
            |queue: &mut Queue, now| queue.judge(now, &cfg, &secrets, &flow, &syn(9, Some(&good))).take;
        assert!(!takes(&mut queue, at(0)), "without a queue there is no Fast Open");
        queue.set(2, Some(keys()), false);
        for _ in 0..2 {
            assert!(takes(&mut queue, at(0)));
            queue.opened();
        }
        assert!(!takes(&mut queue, at(0)));
        queue.ended(at(0), true);
        assert!(!takes(&mut queue, at(59)));
        assert!(takes(&mut queue, at(60)));
        queue.opened();
        assert!(!takes(&mut queue, at(60)));
        queue.ended(at(60), false);
        assert!(takes(&mut queue, at(60)));
    }

    #[test]
    fn of_many_peers_the_oldest_are_forgotten() {
        let (mut peers, cfg) = (Peers::default(), tcp::Config::linux());
        let pair = |n: u32| (IpAddr::V4(1.into()), IpAddr::V4(n.into()));
        let cookie = Cookie::new(&[1; 8], false);
        let answer = Some(Answer { cookie, mss: Some(1000), unheard: None });
        let lesson = Lesson { answer, swallowed: false };
        for n in 0..3000 {
            peers.learn(Instant::from_millis(u64::from(n)), &cfg, pair(n), &lesson);
        }
        assert!(peers.known.len() <= LIMIT && peers.order.len() <= LIMIT);
        let now = Instant::from_millis(3000);
        assert_eq!(peers.offer(now, &cfg, pair(2999), false), Offer { cookie, data: true, mss: Some(1000) });
        let request = Offer { cookie: Some(Cookie::REQUEST), data: false, mss: None };
        assert_eq!(peers.offer(now, &cfg, pair(0), false), request);
    }

    #[test]
    fn a_pause_is_longer_each_time_until_data_comes_back() {
        let pair = (IpAddr::V4(1.into()), IpAddr::V4(2.into()));
        let cfg = tcp::Config { fast_open_pause: Duration::from_secs(10), ..tcp::Config::linux() };
        let mut peers = Peers::default();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let swallowed = Lesson { answer: None, swallowed: true };
        let paused = |peers: &Peers, now| {
            peers.offer(now, &cfg, pair, true).cookie.is_none() && !peers.offer(now, &cfg, pair, true).data
        };
        assert!(!paused(&peers, at(0)));
        peers.learn(at(0), &cfg, pair, &swallowed);
        assert!(paused(&peers, at(9)) && !paused(&peers, at(10)));
        peers.learn(at(10), &cfg, pair, &swallowed);
        assert!(paused(&peers, at(29)) && !paused(&peers, at(30)));
        peers.passed(at(30), &cfg);
        peers.learn(at(30), &cfg, pair, &swallowed);
        assert!(paused(&peers, at(39)) && !paused(&peers, at(40)));
    }
}

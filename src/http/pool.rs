//! Which connection does a request go on? A client's connections by origin, without a network.

use super::{ClientConn, Config, Method};
use crate::time::{Duration, Instant};
use slab::Slab;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use url::Host;

/// Whom a connection leads to (RFC 9110 §4.3.1; the scheme is always `http`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// Name or address.
    pub host: Host,
    /// Port.
    pub port: u16,
}

impl Origin {
    /// How Host names it: without the port that `http` has anyway (RFC 9110 §4.2.3).
    pub fn authority(&self) -> String {
        match self.port {
            80 => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }
}

/// An origin that a [`Pool`] knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OriginId(usize);

impl OriginId {
    /// Origins are numbered from 0 in the order in which the pool came to know them.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Where a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On this idle connection. What the server has sent meanwhile, such as its FIN, is to be read before.
    On(usize),
    /// On a new connection.
    Open,
    /// On a new connection, after this idle one was closed: it may not be used, but counts.
    Replace(usize),
    /// Nowhere yet: the origin has as many connections as `http.parallel` allows, and all are busy.
    Wait,
}

/// What becomes of a connection that carries no request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// It waits for the next one, until then at the latest: before the server's `Keep-Alive: timeout` is over
    /// (RFC 9112 §9.5), and not longer than `http.idle_timeout`.
    Until(Instant),
    /// It is of no further use and to be closed.
    Spent,
}

/// A connection, in whatever state, with what its user keeps about it.
#[derive(Debug)]
pub struct Member<T> {
    /// HTTP's side of it.
    pub http: ClientConn,
    /// The time that its handshake took, or another measure of the round trip; zero while unknown.
    pub rtt: Duration,
    /// The user's.
    pub extra: T,
    origin: OriginId,
    born: u64,
    idle_since: Option<Instant>,
}

impl<T> Member<T> {
    /// Whom it leads to.
    pub fn origin(&self) -> OriginId {
        self.origin
    }

    /// The connection's place in the order of all that were opened.
    pub fn born(&self) -> u64 {
        self.born
    }
}

#[derive(Debug)]
struct Slot {
    origin: Origin,
    open: usize,
    /// The most recently used last.
    idle: VecDeque<usize>,
}

/// The connections of one client. It decides; opening, closing, reading and writing is its user's.
#[derive(Debug)]
pub struct Pool<T> {
    config: Arc<Config>,
    origins: Vec<Slot>,
    ids: HashMap<Origin, OriginId>,
    members: Slab<Member<T>>,
    /// Idle connections by the time since when they are.
    idle: BTreeSet<(Instant, usize)>,
    births: u64,
}

impl<T> Pool<T> {
    /// A pool without connections.
    pub fn new(config: Arc<Config>) -> Pool<T> {
        Pool {
            config,
            origins: Vec::new(),
            ids: HashMap::new(),
            members: Slab::new(),
            idle: BTreeSet::new(),
            births: 0,
        }
    }

    /// The origin's number, a new one if it was not known.
    pub fn origin(&mut self, origin: Origin) -> OriginId {
        if let Some(id) = self.ids.get(&origin) {
            return *id;
        }
        let id = OriginId(self.origins.len());
        self.ids.insert(origin.clone(), id);
        self.origins.push(Slot { origin, open: 0, idle: VecDeque::new() });
        id
    }

    /// Whom a number stands for.
    pub fn name(&self, id: OriginId) -> &Origin {
        &self.origins[id.0].origin
    }

    /// How many origins are known.
    pub fn origins(&self) -> usize {
        self.origins.len()
    }

    /// Connections to an origin, those that are being opened included.
    pub fn open(&self, id: OriginId) -> usize {
        self.origins[id.0].open
    }

    /// The number that the next connection is born with.
    pub fn births(&self) -> u64 {
        self.births
    }

    /// Adds a connection that is to be opened, for a request that goes first on it.
    pub fn insert(&mut self, now: Instant, origin: OriginId, extra: T) -> usize {
        self.origins[origin.0].open += 1;
        self.births += 1;
        self.members.insert(Member {
            http: ClientConn::new(Arc::clone(&self.config), now),
            rtt: Duration::ZERO,
            extra,
            origin,
            born: self.births - 1,
            idle_since: None,
        })
    }

    /// Takes a connection out: it is, or will be, closed.
    pub fn remove(&mut self, key: usize) -> Option<Member<T>> {
        self.busy(key);
        let member = self.members.try_remove(key)?;
        self.origins[member.origin.0].open -= 1;
        Some(member)
    }

    /// The connection, if it is still there.
    pub fn get(&self, key: usize) -> Option<&Member<T>> {
        self.members.get(key)
    }

    /// The connection, if it is still there.
    pub fn get_mut(&mut self, key: usize) -> Option<&mut Member<T>> {
        self.members.get_mut(key)
    }

    /// All connections, by key.
    pub fn keys(&self) -> Vec<usize> {
        self.members.iter().map(|(key, _)| key).collect()
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where a request goes; to one origin lead as many as `http.parallel` allows (RFC 9112 §9.4). One that is sent a second time names `not_before`, the [`births`](Self::births) when the
    /// first time failed: what broke one connection may have broken those of the same age.
    pub fn place(&self, id: OriginId, not_before: Option<u64>) -> Place {
        let slot = &self.origins[id.0];
        match slot.idle.back() {
            Some(&key) if not_before.is_none_or(|born| self.members[key].born >= born) => Place::On(key),
            _ if slot.open < usize::from(self.config.parallel) => Place::Open,
            Some(_) => slot.idle.front().map_or(Place::Wait, |&key| Place::Replace(key)),
            None => Place::Wait,
        }
    }

    /// Whether a further request with `method` may follow those that connection `key` still owes answers to
    /// (RFC 9112 §9.3.2). `left` is how many requests to this origin have no connection yet: they are spread over
    /// those that there are.
    pub fn may_pipeline(&self, key: usize, method: &Method, left: usize) -> bool {
        let member = &self.members[key];
        let unanswered = member.http.unanswered();
        let share = left.saturating_add(unanswered).div_ceil(self.open(member.origin).max(1));
        self.config.pipeline > 1
            && unanswered > 0
            && unanswered < share
            && member.http.may_send(method).is_ok()
    }

    /// The connection has a request to carry.
    pub fn busy(&mut self, key: usize) {
        let Some(member) = self.members.get_mut(key) else { return };
        if let Some(since) = member.idle_since.take() {
            self.idle.remove(&(since, key));
            let list = &mut self.origins[member.origin.0].idle;
            // Taken from one end most times: used again from the back, expired from the front.
            match list.back() {
                Some(&last) if last == key => list.truncate(list.len() - 1),
                _ => list.retain(|&idle| idle != key),
            }
        }
    }

    /// The connection carries no request any more.
    pub fn rest(&mut self, now: Instant, key: usize) -> Rest {
        let member = &mut self.members[key];
        let until = match member.http.reusable_until(member.rtt) {
            Some(until) => until.min(member.idle_since.unwrap_or(now) + self.config.idle_timeout),
            None => return Rest::Spent,
        };
        if until <= now {
            return Rest::Spent;
        }
        if member.idle_since.is_none() {
            member.idle_since = Some(now);
            self.idle.insert((now, key));
            self.origins[member.origin.0].idle.push_back(key);
        }
        Rest::Until(until)
    }

    /// The connection that has been idle longest, if more are than `http.idle_connections`: it is to be closed.
    pub fn surplus(&self) -> Option<usize> {
        let many = self.idle.len() > self.config.idle_connections as usize;
        self.idle.first().filter(|_| many).map(|&(_, key)| key)
    }
}

impl<T> Index<usize> for Pool<T> {
    type Output = Member<T>;

    fn index(&self, key: usize) -> &Member<T> {
        &self.members[key]
    }
}

impl<T> IndexMut<usize> for Pool<T> {
    fn index_mut(&mut self, key: usize) -> &mut Member<T> {
        &mut self.members[key]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Endpoint, Fields, OutBody, OutRequest, Version};
    use super::*;

    const T0: Instant = Instant::from_millis(1_000);
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    fn pool(change: impl FnOnce(&mut Config)) -> (Pool<()>, OriginId) {
        let mut config = Config::linux();
        change(&mut config);
        let mut pool = Pool::new(Arc::new(config));
        let id = pool.origin(Origin { host: Host::Domain("a".into()), port: 80 });
        (pool, id)
    }

    fn ask(pool: &mut Pool<()>, key: usize) {
        pool.busy(key);
        let (method, fields) = (Method::GET, Fields::new());
        let request = OutRequest {
            method: &method,
            target: "/",
            authority: "a",
            version: Version::Http11,
            fields: &fields,
            body: OutBody::None,
            expect_continue: false,
            close: false,
        };
        pool[key].http.send(T0, &request).unwrap();
    }

    fn hear(pool: &mut Pool<()>, key: usize, now: Instant, answer: &[u8]) -> Rest {
        let http = &mut pool[key].http;
        http.on_bytes(now, answer);
        while http.poll_event(now).is_some() {}
        pool.rest(now, key)
    }

    #[test]
    fn an_idle_connection_goes_before_a_new_one_and_a_new_one_before_waiting() {
        let (mut pool, id) = pool(|c| c.parallel = 2);
        assert_eq!(pool.place(id, None), Place::Open);
        let one = pool.insert(T0, id, ());
        ask(&mut pool, one);
        assert_eq!(pool.place(id, None), Place::Open);
        let two = pool.insert(T0, id, ());
        ask(&mut pool, two);
        assert_eq!(pool.place(id, None), Place::Wait);
        let other = pool.origin(Origin { host: Host::Domain("b".into()), port: 80 });
        assert_eq!(pool.place(other, None), Place::Open, "the limit is for one origin");
        assert_ne!(hear(&mut pool, one, T0, OK), Rest::Spent);
        assert_ne!(hear(&mut pool, two, T0, OK), Rest::Spent);
        assert_eq!(pool.place(id, None), Place::On(two), "the one used last is the least likely to be gone");
        pool.remove(two);
        assert_eq!(pool.place(id, None), Place::On(one));
        pool.remove(one);
        assert_eq!((pool.place(id, None), pool.open(id), pool.idle.len()), (Place::Open, 0, 0));
    }

    #[test]
    fn a_second_attempt_goes_on_a_connection_younger_than_the_first_ones_failure() {
        let (mut pool, id) = pool(|c| c.parallel = 2);
        let old = pool.insert(T0, id, ());
        ask(&mut pool, old);
        hear(&mut pool, old, T0, OK);
        let failed_at = pool.births();
        assert_eq!(pool.place(id, Some(failed_at)), Place::Open);
        let young = pool.insert(T0, id, ());
        ask(&mut pool, young);
        assert_eq!(pool.place(id, Some(failed_at)), Place::Replace(old), "the limit holds");
        hear(&mut pool, young, T0, OK);
        assert_eq!(pool.place(id, Some(failed_at)), Place::On(young));
    }

    #[test]
    fn idle_connections_expire_before_the_servers_timeout_or_ours_and_are_not_too_many() {
        let (mut pool, id) = pool(|c| {
            c.idle_timeout = Duration::from_secs(90);
            c.idle_connections = 1;
        });
        let one = pool.insert(T0, id, ());
        pool[one].rtt = Duration::from_millis(40);
        ask(&mut pool, one);
        let promise = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n";
        let until = T0 + Duration::from_millis(5_000 - 40 - 100);
        assert_eq!(hear(&mut pool, one, T0, promise), Rest::Until(until));
        assert_eq!(pool.rest(until, one), Rest::Spent);
        let two = pool.insert(T0, id, ());
        ask(&mut pool, two);
        let later = T0 + Duration::from_secs(1);
        assert_eq!(hear(&mut pool, two, later, OK), Rest::Until(later + Duration::from_secs(90)));
        assert_eq!(pool.surplus(), Some(one), "the one that has been idle longest");
        pool.remove(one);
        assert_eq!(pool.surplus(), None);
    }

    #[test]
    fn pipelined_requests_are_spread_over_the_connections_that_there_are() {
        let (mut pool, id) = pool(|c| (c.parallel, c.pipeline) = (2, 8));
        let keys = [pool.insert(T0, id, ()), pool.insert(T0, id, ())];
        for key in keys {
            ask(&mut pool, key);
            assert!(!pool.may_pipeline(key, &Method::GET, 100), "not known to persist");
            hear(&mut pool, key, T0, OK);
            ask(&mut pool, key);
        }
        let [one, _] = keys;
        assert!(!pool.may_pipeline(one, &Method::POST, 100), "not idempotent");
        assert!(pool.may_pipeline(one, &Method::GET, 2));
        assert!(!pool.may_pipeline(one, &Method::GET, 1), "the other one is as free");
        for _ in 0..7 {
            assert!(pool.may_pipeline(one, &Method::GET, 100));
            ask(&mut pool, one);
        }
        assert!(!pool.may_pipeline(one, &Method::GET, 100), "eight are enough");
    }
}

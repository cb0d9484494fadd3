//! What stands between a client and a server? An HTTP proxy: one that knows what it relays, and one that does not.

mod dumb;
mod smart;
mod tunnel;
mod upstream;
mod way;

use super::crowd::{self, CANDIDATES, Crowd, LOOK_AGAIN, Mark, Why};
use super::pump::Scratch;
use super::server::Listening;
use super::{Service, set_options};
use crate::http::{Config, Origin};
use crate::stack::timers::Timers;
use crate::stack::{ConnId, ListenerId, Owner, QueryId, Ready, Stack};
use crate::stream::ByteStream;
use crate::tcp;
use crate::time::{Duration, Instant};
use crossbeam_channel::{Receiver, Sender, bounded};
use dumb::Dumb;
use slab::Slab;
use smart::Smart;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use tunnel::Tunnel;
use upstream::Upstream;

/// What a proxy knows of what it relays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyKind {
    /// An HTTP/1.0-era one (RFC 9112 App. C.2.2): it sends one request on with all its fields as they are, and relays
    /// bytes until the server closes. Where the client asked for `keep-alive` the server believes that the proxy
    /// did and keeps the connection, the proxy waits for its end, and the client's next request is never looked at.
    Dumb,
    /// One that keeps both connections apart: fields for one hop end here (RFC 9110 §7.6.1), messages are framed anew
    /// for the next, and what goes wrong behind it is answered 502 or 504.
    Smart,
}

/// How a proxy works.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// What it knows.
    pub kind: ProxyKind,
    /// Where all requests go; `None` goes where each request's absolute-form target says (RFC 9112 §3.2.2).
    pub upstream: Option<Origin>,
    /// Whether that is another proxy, which is asked with absolute URLs as this one is.
    pub parent: bool,
    /// Names whose addresses are known, looked at before the name servers.
    pub hosts: Vec<(String, IpAddr)>,
    /// Ports that a CONNECT to a smart proxy may lead to; none where it stands in front of one server. RFC 9110 §9.3.6
    /// wants them few: through a tunnel anything can be said to anyone.
    pub tunnels: Vec<RangeInclusive<u16>>,
    /// Protocols that clients of a smart proxy may switch to (RFC 9110 §7.8); for others, and where it is empty, `Upgrade`
    /// ends here. After a switch the proxy sees bytes only, as in a tunnel. `*` stands for all.
    pub upgrades: Vec<String>,
    /// How long name and connection may take.
    pub connect_timeout: Duration,
    /// Limits and timeouts of both sides.
    pub http: Config,
}

impl ProxyOptions {
    /// A forward proxy, with tunnels to port 443.
    pub fn new(kind: ProxyKind) -> ProxyOptions {
        ProxyOptions {
            kind,
            upstream: None,
            parent: false,
            hosts: Vec::new(),
            tunnels: vec![443..=443],
            upgrades: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            http: Config::default(),
        }
    }
}

/// What a proxy has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ProxyTotals {
    /// Connections of clients.
    pub clients: u64,
    /// Requests that were sent on.
    pub requests: u64,
    /// Connections to servers.
    pub upstreams: u64,
    /// Requests that the proxy answered itself: malformed, or the server could not be reached.
    pub refused: u64,
    /// Connections that went on unread: after CONNECT, or in another protocol.
    pub tunnels: u64,
    /// Clients that gave way to others at `http.max_connections`: they asked nothing, or too little moved.
    pub gave_way: u64,
    /// Clients that found no place there and were answered 503.
    pub turned_away: u64,
}

/// A proxy on its own addresses.
pub struct Proxy {
    owner: Owner,
    options: Arc<ProxyOptions>,
    http: Arc<Config>,
    /// Addresses to listen on at the first poll.
    addresses: Vec<SocketAddr>,
    listeners: Vec<ListenerId>,
    listening: (Sender<Listening>, Receiver<Listening>),
    started: bool,
    draining: bool,
    /// More may be accepted then, if there is room.
    accept_later: Option<Instant>,
    /// Since when nobody has given way to those who wait.
    full_since: Option<Instant>,
    /// Where the search for a client that can be spared goes on.
    hand: usize,
    relays: Slab<Relay>,
    by_id: HashMap<ConnId, usize>,
    by_query: HashMap<QueryId, usize>,
    timers: Timers,
    scratch: Scratch,
    body: Scratch,
    totals: ProxyTotals,
}

/// A client's connection and what belongs to it.
struct Relay {
    client: Side,
    upstream: Upstream,
    /// Those of the upstream's handles that the tables lead from.
    known: (Option<ConnId>, Option<QueryId>),
    work: Work,
    /// Since when something is under way.
    mark: Option<Mark>,
}

enum Work {
    Dumb(Dumb),
    Smart(Box<Smart>),
    Tunnel(Tunnel),
}

/// The client's end.
struct Side {
    id: ConnId,
    eof: bool,
    /// Bytes that came from it, and that were given to its stream.
    moved: u64,
}

impl Side {
    /// Bytes that came from the client, and that it has acknowledged.
    fn moved(&self, now: Instant, stack: &mut Stack) -> u64 {
        self.moved.saturating_sub(stack.stream(now, self.id).unacked() as u64)
    }
}

/// What a relay works with, for the time of one turn.
struct Cx<'a> {
    now: Instant,
    stack: &'a mut Stack,
    owner: Owner,
    options: &'a ProxyOptions,
    http: &'a Arc<Config>,
    scratch: &'a mut Scratch,
    body: &'a mut Scratch,
    totals: &'a mut ProxyTotals,
}

/// What a turn has led to.
enum Turn {
    /// It goes on, with something to do at that time at the latest.
    On(Option<Instant>),
    /// HTTP has ended, and its two connections go on as one.
    Becomes(Tunnel),
    /// The client's connection is let go; with a RST if what it got must not be taken for complete.
    Over { abort: bool },
}

impl Proxy {
    /// A proxy that listens on `addresses` from its first poll on.
    pub fn new(owner: Owner, addresses: Vec<SocketAddr>, options: ProxyOptions) -> Proxy {
        Proxy {
            owner,
            http: Arc::new(options.http.clone()),
            options: Arc::new(options),
            listening: bounded(addresses.len()),
            addresses,
            listeners: Vec::new(),
            started: false,
            draining: false,
            accept_later: None,
            full_since: None,
            hand: 0,
            relays: Slab::new(),
            by_id: HashMap::new(),
            by_query: HashMap::new(),
            timers: Timers::default(),
            scratch: Scratch::new(),
            body: Scratch::new(),
            totals: ProxyTotals::default(),
        }
    }

    /// What became of the addresses, one answer for each.
    pub fn listening(&self) -> Receiver<Listening> {
        self.listening.1.clone()
    }

    /// What was done so far.
    pub fn totals(&self) -> ProxyTotals {
        self.totals
    }

    fn start(&mut self, stack: &mut Stack) {
        self.started = true;
        for address in std::mem::take(&mut self.addresses) {
            let became = match stack.listen(address, None, self.owner) {
                Ok(id) => {
                    set_options(stack, id, &self.http);
                    self.listeners.push(id);
                    Listening::At(stack.listener_addr(id).unwrap_or(address))
                }
                Err(e) => Listening::Failed(address, e),
            };
            // The channel has room for all of them.
            let _ = self.listening.0.try_send(became);
        }
        self.accept_later = Some(Instant::ZERO);
    }

    fn accept(&mut self, now: Instant, stack: &mut Stack, listener: ListenerId) {
        while !self.draining {
            let waiting = stack.waiting(listener);
            if waiting == 0 {
                return;
            }
            let full = self.relays.len() >= self.http.max_connections as usize;
            if full && !self.make_room(now, stack, waiting) {
                let since = *self.full_since.get_or_insert(now);
                if now.since(since) >= self.http.busy_after {
                    return self.turn_away(now, stack, listener);
                }
                self.accept_later = Some(now + LOOK_AGAIN);
                return;
            }
            self.full_since = None;
            let Some(accepted) = stack.accept(listener, self.owner) else { return };
            self.totals.clients += 1;
            let work = match self.options.kind {
                ProxyKind::Dumb => Work::Dumb(Dumb::new(now, &self.http)),
                ProxyKind::Smart => Work::Smart(Box::new(Smart::new(now, &self.http, accepted.local))),
            };
            let key = self.relays.insert(Relay {
                client: Side { id: accepted.id, eof: false, moved: 0 },
                upstream: Upstream::default(),
                known: (None, None),
                work,
                mark: None,
            });
            self.by_id.insert(accepted.id, key);
            self.turn(now, stack, key);
        }
    }

    /// Closes the connection of a client that asks for nothing or, if there is none, one on which too little moves; of those
    /// at hand the one that would end first anyway, or that has lasted the longest.
    fn make_room(&mut self, now: Instant, stack: &mut Stack, waiting: usize) -> bool {
        let crowd = Crowd::new(&self.http, waiting);
        let end = self.relays.capacity().max(1);
        let mut spare: Option<((Why, Instant), usize)> = None;
        for _ in 0..end.min(CANDIDATES as usize) {
            self.hand = (self.hand + 1) % end;
            let one = self.relays.get_mut(self.hand).and_then(|relay| relay.spare(now, stack, &crowd));
            spare = spare.into_iter().chain(one.map(|one| (one, self.hand))).min();
        }
        let Some(((why, _), key)) = spare else { return false };
        self.totals.gave_way += 1;
        stack.note_app(now, Some(self.relays[key].client.id), "gave-way", why.text());
        let abort = self.with(now, stack, key, |relay, cx| match &mut relay.work {
            Work::Smart(smart) => smart.give_way(cx, &mut relay.client),
            Work::Dumb(_) | Work::Tunnel(_) => why != Why::Idle,
        });
        self.remove(now, stack, key, abort);
        true
    }

    /// Answers all who wait with 503: nobody has given way for long.
    fn turn_away(&mut self, now: Instant, stack: &mut Stack, listener: ListenerId) {
        self.full_since = None;
        while let Some(accepted) = stack.accept(listener, self.owner) {
            self.totals.turned_away += 1;
            crowd::turn_away(now, stack, accepted.id, &self.http, &mut self.scratch);
        }
    }

    fn ready(&mut self, now: Instant, stack: &mut Stack, ready: Ready) {
        match ready {
            Ready::Accept(listener) => self.accept(now, stack, listener),
            Ready::Resolved(query) => {
                let Some(key) = self.by_query.remove(&query) else { return };
                let Some(answer) = stack.resolved(query) else { return };
                self.with(now, stack, key, |relay, cx| relay.upstream.resolved(cx, answer));
                self.turn(now, stack, key);
            }
            Ready::Conn(id, event) => {
                let Some(&key) = self.by_id.get(&id) else { return };
                let own = self.relays[key].client.id == id;
                if !own {
                    self.with(now, stack, key, |relay, cx| relay.upstream.event(cx, event));
                }
                self.turn(now, stack, key);
                if own && matches!(event, tcp::Event::Closed(_)) && self.by_id.contains_key(&id) {
                    self.remove(now, stack, key, false);
                }
            }
        }
    }

    fn with<R>(
        &mut self,
        now: Instant,
        stack: &mut Stack,
        key: usize,
        f: impl FnOnce(&mut Relay, &mut Cx) -> R,
    ) -> R {
        let mut cx = Cx {
            now,
            stack,
            owner: self.owner,
            options: &self.options,
            http: &self.http,
            scratch: &mut self.scratch,
            body: &mut self.body,
            totals: &mut self.totals,
        };
        f(&mut self.relays[key], &mut cx)
    }

    /// Lets a relay run as far as it goes.
    fn turn(&mut self, now: Instant, stack: &mut Stack, key: usize) {
        let turn = self.with(now, stack, key, |relay, cx| match &mut relay.work {
            Work::Dumb(dumb) => dumb.turn(cx, &mut relay.client, &mut relay.upstream),
            Work::Smart(smart) => smart.turn(cx, &mut relay.client, &mut relay.upstream),
            Work::Tunnel(tunnel) => tunnel.turn(cx, &mut relay.client, &mut relay.upstream),
        });
        let relay = &mut self.relays[key];
        if relay.is_under_way() {
            let awaits_client = relay.awaits_client();
            let mark = relay.mark.unwrap_or_else(|| Mark::new(now, relay.client.moved(now, stack)));
            relay.mark.insert(mark).goes_on(now, awaits_client);
        } else {
            relay.mark = None;
        }
        let before = std::mem::replace(&mut relay.known, relay.upstream.handles());
        if before.0 != relay.known.0 {
            before.0.map(|id| self.by_id.remove(&id));
            relay.known.0.map(|id| self.by_id.insert(id, key));
        }
        if before.1 != relay.known.1 {
            before.1.map(|query| self.by_query.remove(&query));
            relay.known.1.map(|query| self.by_query.insert(query, key));
        }
        match turn.unwrap_or(Turn::Over { abort: false }) {
            Turn::On(deadline) => {
                let deadline = deadline.into_iter().chain(relay.upstream.deadline()).min();
                self.timers.set(key as u32, deadline);
            }
            Turn::Becomes(tunnel) => {
                relay.work = Work::Tunnel(tunnel);
                self.totals.tunnels += 1;
                self.turn(now, stack, key);
            }
            Turn::Over { abort } => self.remove(now, stack, key, abort),
        }
    }

    fn remove(&mut self, now: Instant, stack: &mut Stack, key: usize, abort: bool) {
        self.with(now, stack, key, |relay, cx| relay.upstream.close(cx));
        let relay = self.relays.remove(key);
        self.timers.remove(key as u32);
        self.by_id.remove(&relay.client.id);
        relay.known.0.map(|id| self.by_id.remove(&id));
        relay.known.1.map(|query| self.by_query.remove(&query));
        if abort {
            stack.stream(now, relay.client.id).abort();
        }
        stack.release(now, relay.client.id);
    }

    fn due(&mut self, now: Instant, stack: &mut Stack) {
        while let Some(key) = self.timers.pop_due(now) {
            let key = key as usize;
            if self.relays.contains(key) {
                self.with(now, stack, key, |relay, cx| relay.upstream.give_up(cx));
                let relay = &mut self.relays[key];
                match &mut relay.work {
                    Work::Dumb(dumb) => dumb.on_timeout(now),
                    Work::Smart(smart) => smart.on_timeout(now),
                    Work::Tunnel(tunnel) => tunnel.on_timeout(now),
                }
                self.turn(now, stack, key);
            }
        }
    }
}

impl Relay {
    /// Whether something is to move, and not only a request to come.
    fn is_under_way(&self) -> bool {
        match &self.work {
            Work::Smart(smart) => smart.is_under_way(),
            Work::Dumb(dumb) => dumb.is_under_way(),
            Work::Tunnel(_) => true,
        }
    }

    /// Whether it is the client that is waited for, as far as that can be told.
    fn awaits_client(&self) -> bool {
        matches!(&self.work, Work::Smart(smart) if smart.awaits_client())
    }

    /// Whether the client gives way to others, why, and how soon it would have ended or since when something is under way.
    fn spare(&mut self, now: Instant, stack: &mut Stack, crowd: &Crowd) -> Option<(Why, Instant)> {
        let patience = crowd.patience(stack, self.client.id);
        let idle_until = match &self.work {
            Work::Smart(smart) => smart.spare_until(now, patience),
            Work::Dumb(dumb) => dumb.spare_until(now, patience),
            Work::Tunnel(_) => None,
        };
        if let Some(until) = idle_until {
            return Some((Why::Idle, until));
        }
        let moved = self.client.moved(now, stack);
        let mark = self.mark.as_mut()?;
        let why = crowd.why(now, mark, moved, patience)?;
        Some((why, now - mark.waited(now, why)))
    }
}

impl Service for Proxy {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        if !self.started {
            self.start(stack);
        }
        while let Some(ready) = stack.ready(self.owner) {
            self.ready(now, stack, ready);
        }
        self.due(now, stack);
        let room = self.relays.len() < self.http.max_connections as usize;
        if self.accept_later.is_some_and(|at| room || at <= now) {
            self.accept_later = None;
            for n in 0..self.listeners.len() {
                self.accept(now, stack, self.listeners[n]);
            }
            if self.accept_later.is_none() {
                self.full_since = None;
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match self.started {
            true => self.timers.first().into_iter().chain(self.accept_later).min(),
            false => Some(Instant::ZERO),
        }
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        if !self.draining {
            self.draining = true;
            self.addresses.clear();
            for listener in self.listeners.drain(..) {
                stack.close_listener(now, listener);
            }
            let open: Vec<usize> = self.relays.iter().map(|(key, _)| key).collect();
            for key in open {
                if let Work::Smart(smart) = &mut self.relays[key].work {
                    smart.drain();
                    self.turn(now, stack, key);
                }
            }
        }
        self.poll(now, stack);
        self.relays.is_empty()
    }
}

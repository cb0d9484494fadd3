//! What can an application do with the stack? Nothing here blocks.

use super::addrs::{Addrs, Flow};
use super::conns::{Entry, Home};
use super::demux::{self, FlowMap, Slot};
use super::isn::TableHasher;
use super::keys::default_key;
use super::listeners::Listeners;
use super::ports::{Taken, Tried};
use super::syn_queue::SynQueue;
use super::time_wait::TimeWaits;
use super::{Accepted, ConnId, ListenerId, Owner, QueryId, Ready, ResolveError, Stack, StackError, Stream};
use crate::ledger::Parts;
use crate::stream::StreamError;
use crate::tcp::fast_open::{self, Keys};
use crate::tcp::{self, Conn, Info, Oob, Opts, Shutdown, TimeWaitReuse};
use crate::time::Instant;
use crate::trace::{EventKind, EventRecord, Record};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// [`Occupied`] with the fields of a stack, whose `ports` stay free to be borrowed.
macro_rules! occupied {
    ($stack:ident, $now:ident) => {
        Occupied {
            now: $now,
            tcp: &$stack.config.tcp,
            own: &$stack.own,
            listeners: &$stack.listeners,
            hasher: $stack.hasher,
            conns: &$stack.conns,
            syn_queue: &$stack.syn_queue,
            time_waits: &$stack.time_waits,
        }
    };
}

/// What is to go with a SYN.
#[derive(Clone, Copy, Default, Debug)]
pub struct WithSyn<'a> {
    /// The first bytes of the stream.
    pub data: &'a [u8],
    /// They may go although the peer has given no cookie (`TCP_FASTOPEN_NO_COOKIE`).
    pub without_cookie: bool,
}

impl Stack {
    /// Listens on `local`. `0.0.0.0` takes IPv4 on all addresses, `[::]` both families; a specific address beats a
    /// wildcard. Port 0 picks an ephemeral port: [`listener_addr`](Self::listener_addr) tells which. Connections
    /// with that local port, TIME-WAIT included, are no hindrance (SO_REUSEADDR is always on) and not touched: RFC 9293
    /// §3.9.1.1 (MUST-41, MUST-42).
    ///
    /// `backlog` is how many connections may wait to be accepted: at least one, at most the `tcp.backlog` setting, which
    /// is also the default. Half-open ones wait in a queue of their own, which has one place fewer, but at least one;
    /// what happens when it is full is the `tcp.syn_cookies` setting.
    ///
    /// # Errors
    /// [`StackError::AddrInUse`] if something listens on exactly this address, [`StackError::AddrNotAvailable`] if
    /// it is not one of this stack's or no ephemeral port is free.
    pub fn listen(
        &mut self,
        local: SocketAddr,
        backlog: Option<u32>,
        owner: Owner,
    ) -> Result<ListenerId, StackError> {
        let mut local = SocketAddr::new(local.ip().to_canonical(), local.port());
        if !local.ip().is_unspecified() && !self.own.contains(local.ip()) {
            return Err(NOT_OURS);
        }
        if local.port() == 0 {
            let listeners = &self.listeners;
            let range = (self.tcp.ports_first, self.tcp.ports_last);
            let anybody = SocketAddr::new(local.ip(), 0);
            let pick = self.ports.pick(range, local.ip(), anybody, None, |port| {
                listeners.has_port(local.ip(), port).then_some(Taken::Listener)
            });
            local.set_port(pick.map_err(|_| NOT_OURS)?.port);
        }
        let limit = self.tcp.backlog.max(1);
        let backlog = backlog.unwrap_or(limit).clamp(1, limit);
        let id = self.listeners.add(local, backlog, owner).ok_or(StackError::AddrInUse)?;
        let all = fast_open::SERVER | fast_open::ALL_LISTENERS;
        if self.tcp.fast_open & all == all {
            self.set_fast_open(id, backlog, None, false);
        }
        Ok(id)
    }

    /// Where a listener listens; None after it was closed.
    pub fn listener_addr(&self, id: ListenerId) -> Option<SocketAddr> {
        self.listeners.get(id).map(|listener| listener.local)
    }

    /// Ends a listener. Connections not yet accepted are reset, half-open ones forgotten.
    pub fn close_listener(&mut self, now: Instant, id: ListenerId) {
        let Some(listener) = self.listeners.remove(id) else { return };
        self.ports.forget();
        if listener.told {
            self.sweep(listener.owner, 1);
        }
        // A rare call: looking at every connection here saves keeping lists elsewhere.
        for index in self.syn_queue.of(id) {
            let opening = self.syn_queue.remove(index);
            self.changes.note(&opening.flow);
        }
        let orphans: Vec<u32> = self
            .conns
            .iter()
            .filter(|(_, entry)| entry.home == Home::Waiting(id))
            .map(|(index, _)| index)
            .collect();
        for index in orphans {
            self.conns[index].home = Home::Released;
            self.with_conn(now, index, |conn, cx| conn.abort(cx));
        }
    }

    /// How many connections wait to be accepted.
    pub fn waiting(&mut self, id: ListenerId) -> usize {
        self.listeners.get_mut(id).map_or(0, |listener| listener.waiting())
    }

    /// Takes the oldest connection that waits, which may have ended again already; it is `owner`'s from now on.
    pub fn accept(&mut self, id: ListenerId, owner: Owner) -> Option<Accepted> {
        let listener = self.listeners.get_mut(id)?;
        let index = listener.accept()?;
        // Whoever takes one at a time is told again of the rest.
        if listener.waiting() > 0 && !std::mem::replace(&mut listener.told, true) {
            self.owners.push(listener.owner, Ready::Accept(id));
        }
        let entry = &mut self.conns[index];
        entry.home = Home::Owned(owner);
        for event in entry.missed() {
            if entry.enqueue(event) {
                self.owners.push(owner, Ready::Conn(entry.id(index), event));
            }
        }
        Some(Accepted { id: entry.id(index), local: entry.flow.local(), remote: entry.flow.remote() })
    }

    /// Connects to `remote`; it ends in `Ready::Conn(id, Established)` or `Ready::Conn(id, Closed(..))`.
    ///
    /// `local` is the address to come from (RFC 9293 §3.9.1.1, MUST-43); an unspecified one and port 0 are chosen. The port is free for this
    /// destination, but may be in use for another (the four of addresses and ports are what must differ).
    /// An address of this stack can be connected to: the packets come back without seeing the device.
    ///
    /// # Errors
    /// [`StackError::InvalidDestination`] if nobody can be there, [`StackError::AddrNotAvailable`] if `local` is
    /// not an address of this stack or every ephemeral port is taken, [`StackError::AddrInUse`] if the chosen port is.
    pub fn connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        opts: Option<Opts>,
        owner: Owner,
    ) -> Result<ConnId, StackError> {
        self.connect_with(now, remote, local, opts, owner, None).map(|(id, _)| id)
    }

    /// Connects like [`connect`](Self::connect) and has `data` go with the SYN as far as that is possible (TCP Fast Open,
    /// RFC 7413). Says how many bytes were taken; the others can be written once the
    /// connection is there. Without a cookie the SYN asks for one. The setting `tcp.fastopen` must allow it.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub fn connect_fast(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        opts: Option<Opts>,
        owner: Owner,
        with: WithSyn<'_>,
    ) -> Result<(ConnId, usize), StackError> {
        let allowed = self.tcp.fast_open & fast_open::CLIENT != 0;
        self.connect_with(now, remote, local, opts, owner, allowed.then_some(with))
    }

    /// Whether data could go with a SYN from `local` to `remote` now: a cookie is known, or none is needed.
    pub fn may_connect_fast(
        &self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        without_cookie: bool,
    ) -> bool {
        let local = local.map(|local| local.ip()).filter(|ip| !ip.is_unspecified());
        let Some(local) = local.or_else(|| self.own.source_for(remote.ip())) else { return false };
        let flow = (local.to_canonical(), remote.ip().to_canonical());
        self.tcp.fast_open & fast_open::CLIENT != 0
            && self.peers.offer(now, &self.tcp, flow, without_cookie).data
    }

    /// Lets `most` connections of a listener be used before their handshake is done (`TCP_FASTOPEN`), 0 none. `keys` are for its
    /// cookies, if not those of the stack; `without_cookie` asks for none. The setting `tcp.fastopen` must allow it.
    pub fn set_fast_open(&mut self, id: ListenerId, most: u32, keys: Option<Keys>, without_cookie: bool) {
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.fast_open.set(most, keys, without_cookie);
        }
    }

    /// Keeps the headers of the SYNs that open a listener's connections to come (`TCP_SAVE_SYN`), or does not.
    pub fn save_syn(&mut self, id: ListenerId, on: bool) {
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.saves_syn = on;
        }
    }

    /// The IP and TCP headers of the SYN that opened a connection (`TCP_SAVED_SYN`), if they were kept; those of a SYN that a cookie
    /// answered were not.
    pub fn saved_syn(&self, id: ConnId) -> Option<&[u8]> {
        self.conns[self.index_of(id)?].syn.as_deref()
    }

    /// Forgets them.
    pub fn forget_syn(&mut self, id: ConnId) {
        if let Some(index) = self.index_of(id) {
            self.conns[index].syn = None;
        }
    }

    /// Gives a listener's connections to come settings of their own, or those of the stack.
    pub fn set_listener_config(&mut self, id: ListenerId, cfg: Option<tcp::Config>) {
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.own = cfg.map(|cfg| (Arc::new(cfg.clone()), Arc::new(Opts::new(&cfg))));
        }
    }

    fn connect_with(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        opts: Option<Opts>,
        owner: Owner,
        fast: Option<WithSyn<'_>>,
    ) -> Result<(ConnId, usize), StackError> {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let source = self.own.source_for(remote.ip()).ok_or(StackError::InvalidDestination)?;
        // RFC 9293 §3.9.1.1 (MUST-46).
        let reachable = !remote.ip().is_loopback() && self.own.is_host(remote.ip());
        if remote.port() == 0 || !reachable {
            return Err(StackError::InvalidDestination);
        }
        let wanted = local.map_or(source, |local| local.ip().to_canonical());
        let ip = if wanted.is_unspecified() { source } else { wanted };
        if !self.own.contains(ip) || ip.is_ipv4() != remote.is_ipv4() {
            return Err(NOT_OURS);
        }
        let port = match local.map_or(0, |local| local.port()) {
            0 => self.pick_port(now, ip, remote)?,
            port => match occupied!(self, now).taken(SocketAddr::new(ip, port), remote) {
                None => port,
                Some(_) => return Err(StackError::AddrInUse),
            },
        };
        let flow = Flow::new(SocketAddr::new(ip, port), remote);
        let (mut iss, ts_offset) = (self.secrets.isn(now, &flow), self.secrets.timestamp_offset(&flow));
        if let Some(index) = self.time_waits.find(self.hasher.hash(&flow), &flow) {
            iss = iss.max(self.time_waits.remove(index).1.floor());
            self.changes.note(&flow);
        }
        let opts = opts.map_or_else(|| self.opts.clone(), Arc::new);
        let mtu = self.path_mtus.towards(now, remote.ip(), self.config.mtu);
        let home = (Home::Owned(owner), self.take_number());
        let index = self.add_conn(now, flow, home, self.tcp.clone(), |cx| {
            Conn::connect(cx, iss, ts_offset, flow.ip_header(), mtu, opts)
        });
        if let Some(key) = default_key(&self.tcp) {
            self.sign_with(now, index, Some(key));
        }
        let conn = &mut self.conns[index].conn;
        let taken = fast.map_or(0, |WithSyn { data, without_cookie }| {
            let offer = self.peers.offer(now, &self.tcp, (ip, remote.ip()), without_cookie);
            conn.offer_fast_open(&offer, data)
        });
        self.settle(now, index);
        Ok((self.conns[index].id(index), taken))
    }

    fn pick_port(&mut self, now: Instant, ip: IpAddr, remote: SocketAddr) -> Result<u16, StackError> {
        let range = (self.tcp.ports_first, self.tcp.ports_last);
        // A flow in TIME-WAIT may become ours by its age alone: that is looked for ten times a second.
        let ages = self.tcp.time_wait_reuse != TimeWaitReuse::Off;
        let tick = if ages { now.as_millis() / 100 } else { 0 };
        let changes = self.changes.count(ip, remote) ^ tick << 40;
        let occupied = occupied!(self, now);
        let pick = self
            .ports
            .pick(range, ip, remote, Some(changes), |port| occupied.taken(SocketAddr::new(ip, port), remote));
        let wants = self.tracer.wants_events();
        let in_the_way = |tried: Tried| {
            format!(
                "{} connections, {} in TIME-WAIT, {} listeners",
                tried.connections, tried.time_wait, tried.listeners
            )
        };
        match pick {
            Ok(pick) => {
                if wants && pick.tried.total() > 0 {
                    let text = format!(
                        "port {} is the first free one for {remote}; taken: {}",
                        pick.port,
                        in_the_way(pick.tried)
                    );
                    self.note_port(now, SocketAddr::new(ip, pick.port), remote, &text);
                }
                Ok(pick.port)
            }
            Err(tried) => {
                if wants {
                    let text = format!(
                        "no port of {}-{} is free for {remote}: {}",
                        range.0,
                        range.1,
                        in_the_way(tried)
                    );
                    self.note_port(now, SocketAddr::new(ip, 0), remote, &text);
                }
                let Tried { connections, time_wait, .. } = tried;
                Err(StackError::AddrNotAvailable { connections, time_wait })
            }
        }
    }

    fn note_port(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, text: &str) {
        self.tracer.record(&Record::Event(EventRecord {
            at: now,
            conn: None,
            local: Some(local),
            remote: Some(remote),
            kind: EventKind::Port { text },
        }));
    }

    /// A stream on the connection; on an id that is gone every call is NotConnected.
    pub fn stream(&mut self, now: Instant, id: ConnId) -> Stream<'_> {
        Stream { stack: self, id, now }
    }

    /// Read-only access; None after it is gone.
    pub fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.index_of(id).map(|index| &self.conns[index].conn)
    }

    /// What a router said last of a connection that goes on all the same (`SO_ERROR`): see [`Conn::take_soft_error`].
    pub fn take_soft_error(&mut self, id: ConnId) -> Option<StreamError> {
        let index = self.index_of(id)?;
        self.conns[index].conn.take_soft_error()
    }

    /// How a connection is doing (`TCP_INFO`); None after it is gone.
    pub fn info(&self, now: Instant, id: ConnId) -> Option<Info> {
        self.conn(id).map(|conn| conn.info(now))
    }

    /// What the time of a connection went to so far ([`Conn::ledger`]); None after it is gone.
    pub fn ledger(&self, now: Instant, id: ConnId) -> Option<Parts> {
        self.conn(id).map(|conn| conn.ledger(now))
    }

    /// The same, where something begins or ends for its owner ([`Conn::cut_ledger`]); all zero after it is gone.
    pub fn cut_ledger(&mut self, now: Instant, id: ConnId) -> Parts {
        let Some(index) = self.index_of(id) else { return Parts::default() };
        self.conns[index].conn.cut_ledger(now)
    }

    /// See [`Conn::expect`].
    pub fn expect(&mut self, now: Instant, id: ConnId, expects: bool) {
        if let Some(index) = self.index_of(id) {
            self.conns[index].conn.expect(now, expects);
        }
    }

    /// The local and the remote address; None after the connection is gone.
    pub fn addrs_of(&self, id: ConnId) -> Option<(SocketAddr, SocketAddr)> {
        let flow = self.conns[self.index_of(id)?].flow;
        Some((flow.local(), flow.remote()))
    }

    /// The connection's number in the trace, from 1; None after it is gone.
    pub fn number_of(&self, id: ConnId) -> Option<u32> {
        self.index_of(id).map(|index| self.conns[index].number)
    }

    /// Changes socket options of one connection.
    pub fn set_opts(&mut self, now: Instant, id: ConnId, change: impl FnOnce(&mut Opts)) {
        let Some(index) = self.index_of(id) else { return };
        self.with_conn(now, index, |conn, cx| {
            let mut opts = *conn.opts();
            change(&mut opts);
            conn.set_opts(cx, opts);
        });
    }

    /// Gives one connection settings of its own, where [`Opts`] has none.
    pub fn set_config(&mut self, now: Instant, id: ConnId, change: impl FnOnce(&mut tcp::Config)) {
        let Some(index) = self.index_of(id) else { return };
        change(Arc::make_mut(&mut self.conns[index].cfg));
        self.with_conn(now, index, |conn, cx| conn.on_config(cx.cfg));
    }

    /// The same for all connections, those that begin included.
    pub fn set_config_of_all(&mut self, now: Instant, change: impl Fn(&mut tcp::Config)) {
        let all: Vec<u32> = self.conns.iter().map(|(index, _)| index).collect();
        for index in all {
            change(Arc::make_mut(&mut self.conns[index].cfg));
            self.with_conn(now, index, |conn, cx| conn.on_config(cx.cfg));
        }
        for index in self.syn_queue.all() {
            change(Arc::make_mut(&mut self.syn_queue.get_mut(index).cfg));
        }
    }

    /// Changes socket options of all connections.
    pub fn set_opts_of_all(&mut self, now: Instant, change: impl Fn(&mut Opts)) {
        let all: Vec<u32> = self.conns.iter().map(|(index, _)| index).collect();
        for index in all {
            self.with_conn(now, index, |conn, cx| {
                let mut opts = *conn.opts();
                change(&mut opts);
                if opts != *conn.opts() {
                    conn.follow_opts(cx, opts);
                }
            });
        }
    }

    /// `MSG_EOR`: see [`Conn::end_record`].
    pub fn end_record(&mut self, now: Instant, id: ConnId) {
        let Some(index) = self.index_of(id) else { return };
        self.with_conn(now, index, |conn, _| conn.end_record());
    }

    /// What was written last is urgent: see [`Conn::mark_urgent`].
    pub fn mark_urgent(&mut self, now: Instant, id: ConnId) {
        let Some(index) = self.index_of(id) else { return };
        self.with_conn(now, index, |conn, _| conn.mark_urgent());
    }

    /// The urgent byte, apart from the stream: see [`Conn::urgent`].
    pub fn urgent(&mut self, now: Instant, id: ConnId, peek: bool) -> Oob {
        self.index_of(id).map_or(Oob::None, |index| self.with_conn(now, index, |conn, _| conn.urgent(peek)))
    }

    /// `TCP_QUICKACK`: see [`Conn::set_quickack`].
    pub fn set_quickack(&mut self, now: Instant, id: ConnId, on: bool) {
        let Some(index) = self.index_of(id) else { return };
        self.with_conn(now, index, |conn, _| conn.set_quickack(on));
    }

    /// See [`Conn::push_held`].
    pub fn push_held(&mut self, now: Instant, id: ConnId, corked: bool) {
        let Some(index) = self.index_of(id) else { return };
        self.with_conn(now, index, |conn, _| conn.push_held(corked));
    }

    /// Whether a sniffer holds the last packet that came (see [`tcp::Surroundings::watched`]).
    pub fn set_watched(&mut self, on: bool) {
        self.limits.watched = on;
    }

    /// `shutdown(2)`.
    pub fn shutdown(&mut self, now: Instant, id: ConnId, how: Shutdown) {
        let Some(index) = self.index_of(id) else { return };
        self.with_conn(now, index, |conn, cx| conn.shutdown(cx, how));
    }

    /// Lets go of the handle: graceful close in the background (see [`Conn::release`]). The id is invalid afterwards.
    pub fn release(&mut self, now: Instant, id: ConnId) {
        let Some(index) = self.index_of(id) else { return };
        let entry = &mut self.conns[index];
        let queued = entry.queued();
        if let Home::Owned(owner) = std::mem::replace(&mut entry.home, Home::Released) {
            self.sweep(owner, queued);
        }
        self.with_conn(now, index, |conn, cx| conn.release(cx));
    }

    /// `count` entries in an owner's queue are about something that is gone.
    fn sweep(&mut self, owner: Owner, count: usize) {
        let (conns, listeners) = (&self.conns, &self.listeners);
        self.owners.gone(owner, count, |ready| match *ready {
            Ready::Conn(id, _) => conns
                .get(id.index)
                .is_some_and(|entry| entry.number == id.generation && entry.home == Home::Owned(owner)),
            Ready::Accept(id) => listeners.get(id).is_some(),
            Ready::Resolved(_) => true,
        });
    }

    /// The next thing `owner` has to look at, oldest first. Each says that something may be done, and is not said
    /// again until something new has happened.
    pub fn ready(&mut self, owner: Owner) -> Option<Ready> {
        loop {
            let ready = self.owners.pop(owner)?;
            match ready {
                Ready::Conn(id, event) => {
                    if let Some(index) = self.index_of(id) {
                        self.conns[index].dequeue(event);
                        return Some(ready);
                    }
                    self.owners.skipped(owner);
                }
                Ready::Accept(id) => match self.listeners.get_mut(id) {
                    Some(listener) => {
                        listener.told = false;
                        if listener.waiting() > 0 {
                            return Some(ready);
                        }
                    }
                    None => self.owners.skipped(owner),
                },
                Ready::Resolved(_) => return Some(ready),
            }
        }
    }

    /// The same, if what is next is about this connection, too: what one segment brought stands in a row.
    pub fn more_of(&mut self, owner: Owner, conn: ConnId) -> Option<tcp::Event> {
        let Some(&Ready::Conn(id, event)) = self.owners.first(owner) else { return None };
        let index = self.index_of(id).filter(|_| id == conn)?;
        self.owners.pop(owner);
        self.conns[index].dequeue(event);
        Some(event)
    }

    /// Starts a DNS query (A and AAAA); it ends in `Ready::Resolved`. A literal address is its own answer.
    ///
    /// # Errors
    /// [`ResolveError::InvalidName`], or [`ResolveError::NoServer`] if none is configured.
    pub fn resolve(&mut self, now: Instant, name: &str, owner: Owner) -> Result<QueryId, ResolveError> {
        let query = self.host.resolve(now, name, owner)?;
        self.tell_resolved();
        Ok(query)
    }

    /// Asks `server`, too, if it was made without name servers; for those that are added later.
    pub(crate) fn learn_name_server(&mut self, server: IpAddr) {
        if self.config.dns.is_empty() {
            self.host.add_server(server);
        }
    }

    /// The answer of a query, once; None while it is under way.
    pub fn resolved(&mut self, query: QueryId) -> Option<Result<Vec<IpAddr>, ResolveError>> {
        self.host.resolved(query)
    }

    /// Tells the owners of queries that have ended.
    pub(super) fn tell_resolved(&mut self) {
        while let Some((query, owner)) = self.host.finished() {
            self.owners.push(owner, Ready::Resolved(query));
        }
    }

    /// A row of the application layer in the trace, about a connection or none.
    pub fn note_app(&mut self, now: Instant, id: Option<ConnId>, word: &'static str, text: &str) {
        let addrs = id.and_then(|id| self.addrs_of(id));
        self.tracer.record(&Record::Event(EventRecord {
            at: now,
            conn: id.and_then(|id| self.number_of(id)),
            local: addrs.map(|(local, _)| local),
            remote: addrs.map(|(_, remote)| remote),
            kind: EventKind::App { word, text },
        }));
    }

    /// Resets every connection and closes the listeners, e.g. when the grace period of a server is over. The resets
    /// leave with the next [`transmit`](Self::transmit); owners are told and still release what is theirs.
    pub fn abort_all(&mut self, now: Instant) {
        while let Some(id) = self.listeners.first() {
            self.close_listener(now, id);
        }
        let open = self.conns.iter().filter(|(_, entry)| entry.is_open());
        let all: Vec<u32> = open.map(|(index, _)| index).collect();
        for index in all {
            self.with_conn(now, index, |conn, cx| conn.abort(cx));
        }
    }
}

const NOT_OURS: StackError = StackError::AddrNotAvailable { connections: 0, time_wait: 0 };

/// Where connections and listeners are in each other's way.
struct Occupied<'a> {
    now: Instant,
    tcp: &'a tcp::Config,
    own: &'a Addrs,
    listeners: &'a Listeners,
    hasher: TableHasher,
    conns: &'a FlowMap<Entry>,
    syn_queue: &'a SynQueue,
    time_waits: &'a TimeWaits,
}

impl Occupied<'_> {
    /// What keeps a connection from `local` to `remote` from being made.
    fn taken(&self, local: SocketAddr, remote: SocketAddr) -> Option<Taken> {
        if self.listeners.has_port(local.ip(), local.port()) {
            return Some(Taken::Listener);
        }
        let may_reuse = match self.tcp.time_wait_reuse {
            TimeWaitReuse::Off => false,
            TimeWaitReuse::Loopback => self.own.contains(remote.ip()),
            TimeWaitReuse::On => true,
        };
        let flow = Flow::new(local, remote);
        let hash = self.hasher.hash(&flow);
        match demux::find(hash, &flow, self.conns, self.syn_queue, self.time_waits) {
            Some(Slot::Conn(_) | Slot::HalfOpen(_)) => Some(Taken::Connection),
            Some(Slot::TimeWait(index)) => {
                let reusable = may_reuse && self.time_waits.get(index).is_reusable(self.now, self.tcp);
                (!reusable).then_some(Taken::TimeWait)
            }
            // Talking to itself would be a simultaneous open of one connection.
            None if local == remote => Some(Taken::Connection),
            None => None,
        }
    }
}

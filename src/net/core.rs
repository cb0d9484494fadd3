//! What does the runtime do for its handles? It moves bytes between their queues and TCP, and passes events on.

use super::listener::Door;
use super::socket::{Gate, Phase, Socket, State};
use crate::segment::Key;
use crate::stack::{ConnId, ListenerId, Owner, QueryId, Ready, ResolveError, Stack, StackError};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{CloseReason, Event, Opts, Shutdown};
use crate::time::Instant;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, MutexGuard};

/// Owns the sockets of all handles; services must use other numbers.
pub const OWNER: Owner = Owner(u16::MAX);

type Addresses = io::Result<Vec<IpAddr>>;

/// The stack and what its handles share with it.
pub(super) struct Core {
    pub(super) stack: Stack,
    pub(super) sockets: Sockets,
    /// Connections whose queues may have something to move, oldest first.
    dirty: VecDeque<ConnId>,
}

/// The runtime's side of every handle. When it goes away, by a panic or otherwise, nobody is left waiting.
#[derive(Default)]
pub(super) struct Sockets {
    streams: HashMap<ConnId, Arc<Socket>>,
    listeners: HashMap<ListenerId, Arc<Door>>,
    queries: HashMap<QueryId, Sender<Addresses>>,
    /// No new connections.
    closing: bool,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for socket in self.streams.values() {
            let mut state = socket.lock();
            state.kill();
            socket.open_all(&state);
        }
        for door in self.listeners.values() {
            door.close();
        }
    }
}

impl Core {
    pub(super) fn new(stack: Stack) -> Core {
        Core { stack, sockets: Sockets::default(), dirty: VecDeque::new() }
    }

    pub(super) fn listen(&mut self, local: SocketAddr, backlog: Option<u32>) -> io::Result<Arc<Door>> {
        self.refuse_when_closing()?;
        let id = self.stack.listen(local, backlog, OWNER).map_err(|e| stack_error(e, local))?;
        let door = Arc::new(Door::new(id, self.stack.listener_addr(id).unwrap_or(local)));
        self.sockets.listeners.insert(id, door.clone());
        Ok(door)
    }

    pub(super) fn close_listener(&mut self, now: Instant, id: ListenerId) {
        if let Some(door) = self.sockets.listeners.remove(&id) {
            self.stack.close_listener(now, id);
            door.close();
        }
    }

    pub(super) fn accept(&mut self, id: ListenerId) -> Option<Arc<Socket>> {
        let accepted = self.stack.accept(id, OWNER)?;
        let addrs = (accepted.local, accepted.remote);
        Some(self.adopt(accepted.id, addrs, Phase::Open))
    }

    pub(super) fn connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        key: Option<Key>,
    ) -> io::Result<Arc<Socket>> {
        self.refuse_when_closing()?;
        let id = self.stack.connect(now, remote, None, None, OWNER).map_err(|e| stack_error(e, remote))?;
        if key.is_some() {
            self.stack.set_key(now, id, key);
        }
        let addrs = self.stack.addrs_of(id).unwrap_or((remote, remote));
        Ok(self.adopt(id, addrs, Phase::Connecting))
    }

    fn refuse_when_closing(&self) -> io::Result<()> {
        if self.sockets.closing { Err(super::handle::gone()) } else { Ok(()) }
    }

    fn adopt(&mut self, id: ConnId, addrs: (SocketAddr, SocketAddr), phase: Phase) -> Arc<Socket> {
        let opts = match self.stack.conn(id) {
            Some(conn) => *conn.opts(),
            None => Opts::new(&self.stack.config().tcp),
        };
        let socket = Arc::new(Socket::new(id, addrs, phase, &opts));
        self.sockets.streams.insert(id, socket.clone());
        // What arrived before there was a handle.
        self.dirty.push_back(id);
        socket
    }

    pub(super) fn resolve(&mut self, now: Instant, name: &str) -> io::Result<Receiver<Addresses>> {
        let query = self.stack.resolve(now, name, OWNER).map_err(|e| resolve_error(e, name))?;
        let (answer, result) = bounded(1);
        self.sockets.queries.insert(query, answer);
        Ok(result)
    }

    /// A handle has changed a socket's queues.
    pub(super) fn kicked(&mut self, id: ConnId) {
        self.dirty.push_back(id);
    }

    /// Whether bytes are left to move.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes what the stack has to say about the handles' sockets. True if there was anything.
    pub(super) fn take_events(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(ready) = self.stack.ready(OWNER) {
            any = true;
            match ready {
                Ready::Accept(id) => {
                    if let Some(door) = self.sockets.listeners.get(&id) {
                        door.knock();
                    }
                }
                Ready::Conn(id, event) => self.on_event(now, id, event),
                Ready::Resolved(query) => {
                    let result = self.stack.resolved(query);
                    if let (Some(answer), Some(result)) = (self.sockets.queries.remove(&query), result) {
                        // Nobody may be waiting any more.
                        let _ = answer.send(result.map_err(|e| resolve_error(e, "the name")));
                    }
                }
            }
        }
        any
    }

    fn on_event(&mut self, now: Instant, id: ConnId, event: Event) {
        let Some(socket) = self.sockets.streams.get(&id) else { return };
        match event {
            Event::Established => {
                let mut state = socket.lock();
                if state.phase == Phase::Connecting {
                    (state.phase, state.established) = (Phase::Open, true);
                }
                socket.open(&state, Gate::Progress);
            }
            // Bytes that the program has written since are not meant, nor is a FIN that TCP does not know of.
            Event::AllAcked => {
                let mut state = socket.lock();
                state.acked |= state.unsent == 0 && state.closed == state.fin;
                socket.open(&state, Gate::Progress);
            }
            Event::Closed(reason) => self.on_closed(now, id, reason),
            Event::Readable | Event::Writable => {}
        }
        self.dirty.push_back(id);
    }

    fn on_closed(&mut self, now: Instant, id: ConnId, reason: CloseReason) {
        let Some(socket) = self.sockets.streams.get(&id) else { return };
        let mut state = socket.lock();
        // What was received before the end comes first.
        receive(&mut self.stack, now, &mut state, id);
        let error = self.stack.conn(id).and_then(|conn| conn.error());
        state.end_as(reason, error);
        socket.open_all(&state);
    }

    /// Moves bytes for each connection that has any: what was received, and at most one write of the program, so that
    /// the driver can let it be sent before the next. False if there was nothing to do.
    pub(super) fn pump_each(&mut self, now: Instant) -> bool {
        let round = self.dirty.len();
        for _ in 0..round {
            if let Some(id) = self.dirty.pop_front() {
                self.pump(now, id);
            }
        }
        round > 0
    }

    fn pump(&mut self, now: Instant, id: ConnId) {
        let Some(socket) = self.sockets.streams.get(&id).cloned() else { return };
        let mut state = socket.lock();
        state.kicked = false;
        let again;
        (state, again) = send(&mut self.stack, now, &socket, state);
        if state.released {
            return self.let_go(now, &socket, state, again.more);
        }
        // That nothing more is behind what was read is news as well: an error may be next.
        let before = (state.received.len(), state.end, state.more);
        receive(&mut self.stack, now, &mut state, id);
        if (state.received.len(), state.end, state.more) != before {
            socket.open(&state, Gate::Readable);
        }
        if again.moved && state.is_roomy() {
            socket.open(&state, Gate::Writable);
        }
        if again.more && state.kick() {
            self.dirty.push_back(id);
        }
    }

    /// No handle is left: what was written is still sent, then the stack may close the connection in its own way.
    fn let_go(&mut self, now: Instant, socket: &Socket, mut state: MutexGuard<'_, State>, more: bool) {
        let id = socket.id;
        if state.unread() > 0 && state.phase == Phase::Open {
            // The stack has seen these bytes being read, so it cannot know that the program left them.
            let unread = state.unread();
            let text = format!("closed with {unread} bytes received and not read: reset (RFC 2525 §2.17)");
            self.stack.note_app(now, Some(id), "net", &text);
            self.stack.stream(now, id).abort();
        } else if state.unsent > 0 && state.phase == Phase::Open {
            if more && state.kick() {
                self.dirty.push_back(id);
            }
            return;
        }
        self.stack.release(now, id);
        self.sockets.streams.remove(&id);
    }

    /// RST, and every call fails from now on.
    pub(super) fn abort(&mut self, now: Instant, id: ConnId) {
        let Some(socket) = self.sockets.streams.get(&id) else { return };
        let mut state = socket.lock();
        if !matches!(state.phase, Phase::Closed(_)) {
            self.stack.stream(now, id).abort();
            state.kill();
            socket.open_all(&state);
        }
    }

    /// `shutdown(Read)`: what has been received can still be read, then it is the end.
    pub(super) fn close_read(&mut self, now: Instant, id: ConnId) {
        let Some(socket) = self.sockets.streams.get(&id) else { return };
        let mut state = socket.lock();
        receive(&mut self.stack, now, &mut state, id);
        (state.end, state.more) = (true, false);
        self.stack.shutdown(now, id, Shutdown::Read);
        socket.open(&state, Gate::Readable);
    }

    /// Changes the options of a connection, behind what was written before.
    pub(super) fn set_opts(&mut self, now: Instant, id: ConnId, change: impl FnOnce(&mut Opts)) {
        while let Some(socket) = self.sockets.streams.get(&id) {
            if !send(&mut self.stack, now, socket, socket.lock()).1.more {
                break;
            }
        }
        self.stack.set_opts(now, id, change);
    }

    /// Shutting down: nothing new, and a FIN behind what was written.
    pub(super) fn close_all(&mut self, now: Instant) {
        self.sockets.closing = true;
        let mut doors: Vec<_> = self.sockets.listeners.values().map(|door| (door.local, door.id)).collect();
        doors.sort_by_key(|&(local, _)| local);
        for (_, id) in doors {
            self.close_listener(now, id);
        }
        let mut sockets: Vec<_> = self.sockets.streams.values().cloned().collect();
        sockets.sort_by_key(|socket| self.stack.number_of(socket.id));
        for socket in sockets {
            let mut state = socket.lock();
            state.close();
            if state.phase == Phase::Connecting {
                state.kill();
                self.stack.stream(now, socket.id).abort();
            }
            socket.open_all(&state);
            self.dirty.push_back(socket.id);
        }
    }

    /// Whether the bytes of all programs have been handed to TCP.
    pub(super) fn all_sent(&self) -> bool {
        self.sockets.streams.values().all(|socket| socket.lock().unsent == 0)
    }
}

/// What became of a program's writes.
struct Sent {
    moved: bool,
    /// There is another write, and TCP may have room for it.
    more: bool,
}

/// Hands the oldest write to TCP, and the FIN when there is none left. Others may have the lock meanwhile.
fn send<'a>(
    stack: &mut Stack,
    now: Instant,
    socket: &'a Socket,
    mut state: MutexGuard<'a, State>,
) -> (MutexGuard<'a, State>, Sent) {
    let mut sent = Sent { moved: false, more: false };
    if state.phase == Phase::Connecting {
        return (state, sent);
    }
    while let Some(mut piece) = state.writes.pop_front() {
        drop(state);
        let left = &piece.bytes[piece.taken..];
        let result = stack.stream(now, socket.id).write(left);
        let all = matches!(result, Ok(n) if n == left.len());
        state = socket.lock();
        match result {
            Ok(0) | Err(StreamError::WouldBlock) => {
                state.writes.push_front(piece);
                return (state, sent);
            }
            Ok(n) => {
                sent.moved = true;
                state.unsent -= n;
                if all {
                    state.reuse(piece.bytes);
                    break;
                }
                piece.taken += n;
                state.writes.push_front(piece);
            }
            Err(_) => {
                // How it ended comes as an event.
                sent.moved = true;
                state.writes.push_front(piece);
                state.forget_unsent();
            }
        }
    }
    sent.more = !state.writes.is_empty();
    // A piece that is being copied comes before the end.
    if state.closed && !state.fin && state.unsent == 0 {
        state.fin = true;
        stack.shutdown(now, socket.id, Shutdown::Write);
    }
    (state, sent)
}

/// Takes what TCP has received, as far as there is room.
fn receive(stack: &mut Stack, now: Instant, state: &mut State, id: ConnId) {
    state.more = false;
    if state.end || matches!(state.phase, Phase::Connecting | Phase::Dead) {
        return;
    }
    let mut stream = stack.stream(now, id);
    loop {
        let space = state.received.space();
        if space.is_empty() {
            state.more = true;
            return;
        }
        match stream.read(space) {
            Ok(0) => {
                state.end = true;
                return;
            }
            Ok(n) => state.received.filled(n),
            Err(_) => return,
        }
    }
}

fn stack_error(e: StackError, addr: SocketAddr) -> io::Error {
    match e {
        StackError::AddrInUse => {
            io::Error::new(io::ErrorKind::AddrInUse, format!("{addr}: address already in use"))
        }
        StackError::AddrNotAvailable { connections: 0, time_wait: 0 } => {
            io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{addr}: not an address of this stack"))
        }
        StackError::AddrNotAvailable { connections, time_wait } => io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!(
                "{addr}: no port is free ({connections} connections, {time_wait} in TIME-WAIT); see tcp.ports and tcp.time_wait"
            ),
        ),
        StackError::InvalidDestination => io::Error::new(
            io::ErrorKind::NetworkUnreachable,
            format!("{addr}: not an address that this stack can connect to"),
        ),
    }
}

fn resolve_error(e: ResolveError, name: &str) -> io::Error {
    let (kind, text) = match e {
        ResolveError::InvalidName => (io::ErrorKind::InvalidInput, "not a host name"),
        ResolveError::NotFound => (io::ErrorKind::NotFound, "no such host"),
        ResolveError::TimedOut => (io::ErrorKind::TimedOut, "the name server did not answer"),
        ResolveError::Refused => {
            (io::ErrorKind::ConnectionRefused, "nobody listens at the name server's address")
        }
        ResolveError::NoServer => (io::ErrorKind::NetworkUnreachable, "the stack has no name server"),
    };
    io::Error::new(kind, format!("looking up {name}: {text}"))
}

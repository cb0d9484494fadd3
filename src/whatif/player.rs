//! Who does what the applications did? A service that reads at once what comes, and acts when it has seen enough.

use super::scenario::{Act, Deed};
use crate::service::Service;
use crate::stack::{ConnId, ListenerId, Owner, Ready, Stack};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{self, Nagle};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One end of a talk.
pub(super) struct Role {
    /// Its address, and the other's.
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Of a client: when it connects.
    pub connects: Option<Connects>,
    pub acts: Vec<Act>,
    pub bytes: Vec<u8>,
}

/// When a client connects: after a time, or so long after having read so much in another role of the same host.
#[derive(Clone, Copy)]
pub(super) struct Connects {
    pub after: Option<(usize, u64)>,
    pub think: Duration,
}

/// All roles of a host.
pub(super) struct Player {
    owner: Owner,
    roles: Vec<State>,
    /// By connection. Looked up, never walked through.
    by_id: HashMap<ConnId, usize>,
    /// Roles of servers that nobody has connected to yet.
    waiting: BTreeMap<(SocketAddr, SocketAddr), usize>,
    listen: BTreeSet<SocketAddr>,
    listeners: Vec<ListenerId>,
    due: BTreeSet<(Instant, usize)>,
    /// Clients that wait for what another role reads.
    dependent: Vec<usize>,
    buffer: Vec<u8>,
    begun: bool,
    /// How often it was asked what is to be done.
    polls: u64,
    /// Acts that nobody has done yet, of all hosts.
    left: Arc<AtomicUsize>,
}

struct State {
    role: Role,
    id: Option<ConnId>,
    read: u64,
    ended: bool,
    next: usize,
    written: u64,
    /// Since when nothing stands in the way of the next act but thinking.
    ready: Option<Instant>,
    /// When it was asked last time to any effect: what was written leaves before the next thing is done.
    acted: u64,
}

impl Player {
    pub fn new(owner: Owner, roles: Vec<Role>, left: Arc<AtomicUsize>) -> Player {
        left.fetch_add(roles.iter().map(|r| r.acts.len()).sum(), Ordering::Relaxed);
        let state = |role| State {
            role,
            id: None,
            read: 0,
            ended: false,
            next: 0,
            written: 0,
            ready: None,
            acted: 0,
        };
        let roles: Vec<State> = roles.into_iter().map(state).collect();
        let servers = || roles.iter().enumerate().filter(|(_, s)| s.role.connects.is_none());
        Player {
            owner,
            by_id: HashMap::new(),
            waiting: servers().map(|(n, s)| ((s.role.local, s.role.remote), n)).collect(),
            listen: servers().map(|(_, s)| s.role.local).collect(),
            listeners: Vec::new(),
            due: BTreeSet::new(),
            dependent: Vec::new(),
            buffer: vec![0; 64 << 10],
            begun: false,
            polls: 0,
            left,
            roles,
        }
    }

    fn begin(&mut self, now: Instant, stack: &mut Stack) {
        for address in std::mem::take(&mut self.listen) {
            self.listeners.extend(stack.listen(address, None, self.owner));
        }
        for n in 0..self.roles.len() {
            match self.roles[n].role.connects {
                Some(Connects { after: Some(_), .. }) => self.dependent.push(n),
                Some(Connects { think, .. }) => {
                    self.due.insert((now + think, n));
                }
                None => {}
            }
        }
    }

    fn connect(&mut self, now: Instant, stack: &mut Stack, n: usize) {
        let role = &self.roles[n].role;
        let from = (Some(role.local), Some(SocketAddr::new(role.local.ip(), 0)));
        // Its own port may still be in TIME-WAIT.
        let id = (stack.connect(now, role.remote, from.0, None, self.owner))
            .or_else(|_| stack.connect(now, role.remote, from.1, None, self.owner));
        if let Ok(id) = id {
            self.roles[n].id = Some(id);
            self.by_id.insert(id, n);
        }
    }

    fn accept(&mut self, now: Instant, stack: &mut Stack, listener: ListenerId) {
        while let Some(accepted) = stack.accept(listener, self.owner) {
            match self.waiting.remove(&(accepted.local, accepted.remote)) {
                Some(n) => {
                    self.roles[n].id = Some(accepted.id);
                    self.by_id.insert(accepted.id, n);
                    self.go_on(now, stack, n);
                }
                None => stack.release(now, accepted.id),
            }
        }
    }

    /// Reads all there is and does what is to be done now.
    fn go_on(&mut self, now: Instant, stack: &mut Stack, n: usize) {
        let Some(id) = self.roles[n].id else { return };
        self.read(now, stack, n, id);
        let established = stack
            .conn(id)
            .is_some_and(|conn| !matches!(conn.state(), tcp::State::SynSent | tcp::State::SynReceived));
        let state = &mut self.roles[n];
        if state.acted == self.polls {
            self.due.insert((now, n));
            return;
        }
        while let Some(act) = state.role.acts.get(state.next).copied().filter(|_| established) {
            if state.read + u64::from(state.ended) < act.saw {
                return;
            }
            let due = *state.ready.get_or_insert(now) + act.think;
            if due > now {
                self.due.insert((due, n));
                return;
            }
            let mut stream = stack.stream(now, id);
            match act.deed {
                Deed::NoDelay => stack.set_opts(now, id, |opts| opts.nagle = Nagle::Off),
                Deed::Write(until) => {
                    if !write(&mut stream, &state.role.bytes, &mut state.written, until) {
                        return;
                    }
                }
                Deed::Close => stream.close_write(),
                Deed::Reset => stream.abort(),
            }
            state.next += 1;
            state.ready = None;
            state.acted = self.polls;
            self.left.fetch_sub(1, Ordering::Relaxed);
            let together = state.role.acts.get(state.next).is_some_and(|next| next.at_once);
            if !together {
                self.due.insert((now, n));
                return;
            }
        }
    }

    fn read(&mut self, now: Instant, stack: &mut Stack, n: usize, id: ConnId) {
        let before = self.roles[n].read;
        loop {
            match stack.stream(now, id).read(&mut self.buffer) {
                Ok(0) => {
                    self.roles[n].ended = true;
                    break;
                }
                Ok(bytes) => self.roles[n].read += bytes as u64,
                Err(_) => break,
            }
        }
        if self.roles[n].read == before || self.dependent.is_empty() {
            return;
        }
        let read = self.roles[n].read;
        let (roles, due) = (&self.roles, &mut self.due);
        self.dependent.retain(|&waits| match roles[waits].role.connects {
            Some(Connects { after: Some((on, bytes)), think }) if on == n && read >= bytes => {
                due.insert((now + think, waits));
                false
            }
            _ => true,
        });
    }
}

/// Writes up to the byte `until`; false if the stream does not take it all now.
fn write(stream: &mut impl ByteStream, bytes: &[u8], written: &mut u64, until: u64) -> bool {
    const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    while *written < until {
        let left = until - *written;
        let known = usize::try_from(*written).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
        let piece = if known.is_empty() { &ZEROS[..] } else { known };
        let piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        match stream.write(piece) {
            Ok(0) | Err(StreamError::WouldBlock) => return false,
            Ok(n) => *written += n as u64,
            // It is over: what would have been written goes nowhere.
            Err(_) => *written = until,
        }
    }
    true
}

impl Service for Player {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        self.polls += 1;
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(now, stack);
        }
        while let Some(ready) = stack.ready(self.owner) {
            match ready {
                Ready::Accept(listener) => self.accept(now, stack, listener),
                Ready::Conn(id, event) => {
                    let Some(&n) = self.by_id.get(&id) else { continue };
                    self.go_on(now, stack, n);
                    if matches!(event, tcp::Event::Closed(_)) {
                        let skipped = self.roles[n].role.acts.len() - self.roles[n].next;
                        self.roles[n].next += skipped;
                        self.left.fetch_sub(skipped, Ordering::Relaxed);
                        self.by_id.remove(&id);
                        self.roles[n].id = None;
                        stack.release(now, id);
                    }
                }
                Ready::Resolved(_) => {}
            }
        }
        let later = self.due.split_off(&(now + Duration::from_nanos(1), 0));
        for (_, n) in std::mem::replace(&mut self.due, later) {
            let begins = self.roles[n].id.is_none() && self.roles[n].next == 0;
            if begins && self.roles[n].role.connects.is_some() {
                self.connect(now, stack, n);
            }
            self.go_on(now, stack, n);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if !self.begun {
            return Some(Instant::ZERO);
        }
        self.due.first().map(|(at, _)| *at)
    }

    fn drain(&mut self, _now: Instant, _stack: &mut Stack) -> bool {
        true
    }
}

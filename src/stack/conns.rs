//! What is known of a connection beside its TCP state, and what follows when that changes?

use super::addrs::Flow;
use super::demux::{Belongs, Next};
use super::{ConnId, ListenerId, Owner, Ready, Stack};
use crate::parcel::Intake;
use crate::segment::{Key, Segment};
use crate::stream::StreamError;
use crate::tcp::{self, CloseReason, Conn, Cx, Event, Log, State};
use crate::time::{Duration, Instant};
use crate::trace::{Direction, EventKind, EventRecord, PacketRecord, Record, Tracer, Why};
use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::Arc;

/// A connection and its place in the stack.
pub(super) struct Entry {
    pub conn: Conn,
    /// The settings as they were when it was made.
    pub cfg: Arc<tcp::Config>,
    pub flow: Flow,
    /// Its number in the trace, from 1; never used again, so it tells a stale [`ConnId`] from a new one.
    pub number: u32,
    pub home: Home,
    /// Whether the flow table leads to it: until it is CLOSED or in TIME-WAIT.
    linked: bool,
    /// Events that are in the owner's queue, a bit for each kind.
    queued: u8,
    /// The last round of the device's queue in which it received data ([`super::limits::Standing`]).
    pub round: u8,
    /// Bytes of buffers that it held when last looked at.
    memory: u32,
    /// Why it ended, if it did so before it was accepted.
    closed: Option<CloseReason>,
    /// The headers of the SYN that opened it, if they are asked for.
    pub syn: Option<Box<[u8]>>,
    /// What signs its segments.
    pub key: Option<Arc<Key>>,
    /// It is in use before its handshake is done, and counts in this listener's queue for that.
    pub early: Option<ListenerId>,
    next: Next,
}

/// Who looks after a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Home {
    Owned(Owner),
    /// In the listener's accept queue.
    Waiting(ListenerId),
    /// Nobody: it goes away when it has nothing more to send.
    Released,
}

impl Belongs for Entry {
    fn flow(&self) -> Flow {
        self.flow
    }

    fn next(&self) -> Next {
        self.next
    }

    fn set_next(&mut self, next: Next) {
        self.next = next;
    }
}

impl Entry {
    pub fn new(conn: Conn, cfg: Arc<tcp::Config>, flow: Flow, number: u32, home: Home) -> Entry {
        let next = Next::default();
        let (linked, closed, early) = (true, None, None);
        let (queued, round, memory, key, syn) = (0, 0, 0, None, None);
        Entry { conn, cfg, flow, number, home, linked, queued, round, memory, closed, syn, key, early, next }
    }

    pub fn id(&self, index: u32) -> ConnId {
        ConnId { index, generation: self.number }
    }

    /// Whether it can be forgotten, provided that it has nothing to send.
    pub fn is_over(&self) -> bool {
        self.home == Home::Released && !self.linked
    }

    fn is_alive(&self) -> bool {
        !self.conn.state().is_over()
    }

    /// Whether it is neither CLOSED nor in TIME-WAIT.
    pub fn is_open(&self) -> bool {
        self.linked
    }

    /// How many entries of the owner's queue are about it.
    pub fn queued(&self) -> usize {
        self.queued.count_ones() as usize
    }

    /// Notes that an event has entered the owner's queue; false if one of its kind is there.
    pub fn enqueue(&mut self, event: Event) -> bool {
        let fresh = self.queued & bit(event) == 0;
        self.queued |= bit(event);
        fresh
    }

    /// Notes that an event has left the owner's queue.
    pub fn dequeue(&mut self, event: Event) {
        self.queued &= !bit(event);
    }

    /// What the owner of a connection that it has just accepted would have been told.
    pub fn missed(&self) -> impl Iterator<Item = Event> + use<> {
        let readable = self.conn.readable() > 0 || self.conn.read_done();
        readable.then_some(Event::Readable).into_iter().chain(self.closed.map(Event::Closed))
    }
}

fn bit(event: Event) -> u8 {
    match event {
        Event::Established => 1,
        Event::Readable => 2,
        Event::Writable => 4,
        Event::AllAcked => 8,
        Event::Closed(_) => 16,
    }
}

impl Stack {
    /// The index behind a handle, while the handle is valid.
    pub(super) fn index_of(&self, id: ConnId) -> Option<u32> {
        let entry = self.conns.get(id.index)?;
        (entry.number == id.generation && entry.home != Home::Released).then_some(id.index)
    }

    /// A number for a new connection.
    pub(super) fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    /// Adds a connection that `make` creates under the settings `cfg`.
    pub(super) fn add_conn(
        &mut self,
        now: Instant,
        flow: Flow,
        (home, number): (Home, u32),
        cfg: Arc<tcp::Config>,
        make: impl FnOnce(&mut Cx) -> Conn,
    ) -> u32 {
        let conn = make(&mut Cx { now, cfg: &cfg, log: &mut self.log });
        let entry = Entry::new(conn, cfg, flow, number, home);
        self.open += 1;
        self.conns.insert(entry)
    }

    /// Calls into a connection and does what follows.
    pub(super) fn with_conn<R>(
        &mut self,
        now: Instant,
        index: u32,
        f: impl FnOnce(&mut Conn, &mut Cx) -> R,
    ) -> R {
        let result = self.touch_conn(now, index, f);
        self.follow(now, index);
        result
    }

    /// The same for a call that only moves bytes into or out of a buffer: no state, event or deadline comes of that, and
    /// the rest follows when the connection is asked what it has to send.
    pub(super) fn touch_conn<R>(
        &mut self,
        now: Instant,
        index: u32,
        f: impl FnOnce(&mut Conn, &mut Cx) -> R,
    ) -> R {
        let surroundings = self.surroundings(now);
        let entry = &mut self.conns[index];
        entry.conn.set_surroundings(surroundings);
        let result = f(&mut entry.conn, &mut Cx { now, cfg: &entry.cfg, log: &mut self.log });
        write_notes(&mut self.log, &mut self.tracer, now, entry.number, &entry.flow);
        self.limits.account(&mut entry.memory, &entry.conn, self.config.tcp.memory);
        self.dirty.mark(index);
        result
    }

    /// A connection takes the memory of the packet that it has just looked at.
    pub(super) fn supply(&mut self, owed: Owed, intake: &mut Intake) {
        let entry = &mut self.conns[owed.index];
        entry.conn.supply(intake.cede(owed.part));
        self.limits.account(&mut entry.memory, &entry.conn, self.config.tcp.memory);
    }

    /// What a connection has to know of the others.
    pub(super) fn surroundings(&mut self, now: Instant) -> tcp::Surroundings {
        self.limits.surroundings(now, &self.config.tcp, &self.secrets)
    }

    /// What follows every call into a connection; it may have something to send now.
    pub(super) fn settle(&mut self, now: Instant, index: u32) {
        self.follow(now, index);
        self.dirty.mark(index);
    }

    /// Notes to the trace, events to the owner, the state to the tables, the deadline to the timers.
    pub(super) fn follow(&mut self, now: Instant, index: u32) {
        let entry = &mut self.conns[index];
        write_notes(&mut self.log, &mut self.tracer, now, entry.number, &entry.flow);
        while let Some(event) = entry.conn.poll_event() {
            match entry.home {
                Home::Owned(owner) => {
                    if entry.enqueue(event) {
                        self.owners.push(owner, Ready::Conn(entry.id(index), event));
                    }
                }
                Home::Waiting(_) => {
                    if let Event::Closed(reason) = event {
                        entry.closed = Some(reason);
                    }
                }
                Home::Released => {}
            }
        }
        let state = entry.conn.state();
        if let Some(lesson) = entry.conn.take_lesson() {
            let flow = (entry.flow.local().ip(), entry.flow.remote().ip());
            self.peers.learn(now, &self.tcp, flow, &lesson);
        }
        if let Some(id) = entry.early
            && (!entry.conn.is_early() || !entry.is_alive())
        {
            entry.early = None;
            let reset = entry.conn.error() == Some(StreamError::ConnectionReset);
            let accepted = !matches!(entry.home, Home::Waiting(_));
            if let Some(listener) = self.listeners.get_mut(id) {
                listener.fast_open.ended(now, reset && accepted);
            }
        }
        self.limits.account(&mut entry.memory, &entry.conn, self.config.tcp.memory);
        // A deadline that has passed already must not hold the timers' loop up.
        let soonest = now + Duration::from_nanos(1);
        self.timers.set(index, entry.conn.next_deadline().map(|at| at.max(soonest)));
        if entry.linked && matches!(state, State::Closed | State::TimeWait) {
            entry.linked = false;
            self.open -= 1;
            self.unlink(now, index);
        }
    }

    /// The flow of a connection that has ended is free, or waits.
    fn unlink(&mut self, now: Instant, index: u32) {
        self.conns.unlink(index);
        let entry = &self.conns[index];
        if entry.conn.heard_after_asking() {
            self.peers.passed(now, &self.tcp);
        }
        if let Some(wait) = entry.conn.time_wait() {
            let key = entry.key.clone();
            self.time_waits.add(now, &entry.flow, (entry.number, key), wait, &self.config.tcp);
        }
        self.changes.note(&entry.flow);
    }

    /// Forgets a connection that nobody looks after, that has ended and that has nothing to send.
    pub(super) fn reap(&mut self, index: u32) {
        if self.conns[index].is_over() {
            self.timers.remove(index);
            let entry = self.conns.remove(index);
            self.limits.account_bytes(entry.memory, 0, self.config.tcp.memory);
        }
    }

    /// Adds a packet that arrived to the trace.
    pub(super) fn trace_in(&mut self, now: Instant, frame: &Frame, about: About, why: Why) {
        self.tracer.record(&Record::Packet(PacketRecord {
            at: now,
            direction: Direction::In,
            frame: frame.bytes,
            gso_size: frame.gso_size.map(NonZeroU16::get),
            why,
            conn: about.conn,
            seg: about.seg,
            state: about.state,
        }));
    }
}

/// Takes what a connection has noted to the trace.
pub(super) fn write_notes(log: &mut Log, tracer: &mut Tracer, now: Instant, number: u32, flow: &Flow) {
    if log.is_empty() {
        return;
    }
    for note in log.drain() {
        tracer.record(&Record::Event(EventRecord {
            at: now,
            conn: Some(number),
            local: Some(flow.local()),
            remote: Some(flow.remote()),
            kind: EventKind::Conn(note),
        }));
    }
}

/// A packet that arrived.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub bytes: &'a [u8],
    /// Payload bytes per wire segment, if it stands for several.
    pub gso_size: Option<NonZeroU16>,
    /// Whether somebody vouches for the TCP checksum.
    pub verified: bool,
    /// Whether it comes from this stack.
    pub looped: bool,
    /// Whether the device hands over the memory that it lies in.
    pub offered: bool,
}

impl Frame<'_> {
    /// Where `part` lies in it, if the memory can be had and it does: what was put together from fragments does not.
    pub fn place_of(&self, part: &[u8]) -> Option<usize> {
        let (all, part) = (self.bytes.as_ptr_range(), part.as_ptr_range());
        let within = self.offered && all.start <= part.start && part.end <= all.end;
        within.then(|| part.start as usize - all.start as usize)
    }
}

/// Memory of the packet that was just looked at, which a connection wants: its bytes `part`.
pub(super) struct Owed {
    pub index: u32,
    pub part: Range<usize>,
}

/// Whom a packet in the trace is about.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub conn: Option<u32>,
    pub seg: Option<&'a Segment>,
    pub state: Option<tcp::Snapshot>,
}

#[cfg(test)]
mod tests {
    use super::super::queue_device::QueueDevice;
    use super::super::{Config, Owner, Stack};
    use crate::stream::ByteStream;
    use crate::tcp::{self, Shutdown};
    use crate::time::Instant;
    use crate::trace::Tracer;

    /// Carries packets from `devices[n]` to `stacks[1 - n]` until there are none.
    fn settle(now: Instant, stacks: &mut [Stack; 2], devices: &mut [QueueDevice; 2]) {
        let mut frame = Vec::new();
        loop {
            stacks[0].poll(|| now, &mut devices[0], 64);
            stacks[1].poll(|| now, &mut devices[1], 64);
            let [a, b] = &mut *devices;
            let mut busy = false;
            for _ in 0..64 {
                let there = a.pop(&mut frame).is_some() && b.push(&frame);
                let back = b.pop(&mut frame).is_some() && a.push(&frame);
                busy |= there || back;
            }
            if !busy {
                return;
            }
        }
    }

    #[test]
    fn nothing_is_kept_of_connections_that_are_over_and_let_go() {
        fn is_send<T: Send>(_: &T) {}
        let mut stacks = [1, 2].map(|n| {
            let addrs = vec![([10, 0, 0, n].into(), 24)];
            let (tcp, seed) = (tcp::Config::linux(), n.into());
            let config = Config { tcp, addrs, gateways: vec![], mtu: 1500, seed, dns: vec![] };
            Stack::new(config, Tracer::default())
        });
        let mut devices = [(); 2].map(|()| QueueDevice::new(1500, 64));
        is_send(&stacks[0]);
        let mut now = Instant::from_millis(1);
        let (owner, remote) = (Owner(0), ([10, 0, 0, 2], 80).into());
        let listener = stacks[1].listen(remote, None, owner).unwrap();
        for how in 0..5 {
            let client = stacks[0].connect(now, remote, None, None, owner).unwrap();
            settle(now, &mut stacks, &mut devices);
            let server = stacks[1].accept(listener, owner).unwrap().id;
            stacks[0].stream(now, client).write(b"x").unwrap();
            settle(now, &mut stacks, &mut devices);
            match how {
                0 => stacks[0].stream(now, client).abort(),
                1 => stacks[1].stream(now, server).abort(),
                2 => stacks[0].shutdown(now, client, Shutdown::Both),
                // Unread data: the server resets.
                3 => stacks[1].release(now, server),
                _ => drop(stacks[1].stream(now, server).read(&mut [0; 8])),
            }
            settle(now, &mut stacks, &mut devices);
            stacks[0].release(now, client);
            settle(now, &mut stacks, &mut devices);
            stacks[1].release(now, server);
            settle(now, &mut stacks, &mut devices);
        }
        while let Some(at) = stacks.iter().filter_map(Stack::next_deadline).min() {
            now = now.max(at);
            settle(now, &mut stacks, &mut devices);
        }
        for stack in &mut stacks {
            assert!(stack.conns.len() == 0 && stack.dirty.is_empty());
            assert_eq!((stack.open_connections(), stack.time_waits()), (0, 0));
            assert!(std::iter::from_fn(|| stack.ready(owner)).all(|r| matches!(r, super::Ready::Accept(_))));
        }
    }
}

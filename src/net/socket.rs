//! What do a program's handle and the runtime share of one connection?

use super::clock::Deadline;
use super::queue::Queue;
use crate::stack::ConnId;
use crate::stream::StreamError;
use crate::tcp::{CloseReason, Opts};
use crate::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Writes that wait for the runtime. Each is offered to TCP on its own, so that Nagle's algorithm sees the writes that
/// the program made, as it does with a kernel.
const WRITES_MAX: usize = 256;

/// How many bytes may wait in a socket's queue beside TCP's own buffer of `limit` bytes: little enough that the buffer's
/// size is what counts, much enough that threads need not alternate for every segment.
fn queue_limit(limit: u32) -> usize {
    (limit as usize / 8).clamp(2 << 10, 64 << 10)
}

/// One connection. The runtime moves bytes between its queues and TCP; handles wait at its gates.
pub(super) struct Socket {
    pub(super) id: ConnId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    state: Mutex<State>,
    gates: [Condvar; 3],
}

/// What a handle waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    /// Bytes, the end of them, or an error.
    Readable,
    /// Room, or an error.
    Writable,
    /// The handshake, the last acknowledgment, the end.
    Progress,
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// The handshake was completed, whatever came then.
    pub(super) established: bool,
    /// Received and not yet read by the program.
    pub(super) received: Queue,
    /// TCP may hold more, but `received` had no room for it.
    pub(super) more: bool,
    /// Nothing will be received any more: the peer's FIN, or this side's `shutdown(Read)`.
    pub(super) end: bool,
    /// Written by the program and not yet taken by TCP, and where each write ends.
    pub(super) unsent: Queue,
    pub(super) writes: VecDeque<usize>,
    /// The program has closed its side; TCP has been told.
    pub(super) closed: bool,
    pub(super) fin: bool,
    /// All that was written, and the FIN, is acknowledged.
    pub(super) acked: bool,
    /// What the next call reports, once (`SO_ERROR`).
    pub(super) error: Option<StreamError>,
    /// No handle is left.
    pub(super) released: bool,
    /// The runtime knows that it has to look here.
    pub(super) kicked: bool,
    pub(super) nonblocking: bool,
    pub(super) read_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) linger: Option<Duration>,
    waiting: [usize; 3],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Connecting,
    Open,
    Closed(CloseReason),
    /// This side aborted it, or the runtime has ended: every call fails from now on.
    Dead,
}

impl Socket {
    pub(super) fn new(
        id: ConnId,
        (local, remote): (SocketAddr, SocketAddr),
        phase: Phase,
        opts: &Opts,
    ) -> Socket {
        let state = State {
            phase,
            established: phase == Phase::Open,
            received: Queue::new(queue_limit(opts.recv_buffer)),
            more: false,
            end: false,
            unsent: Queue::new(queue_limit(opts.send_buffer)),
            writes: VecDeque::new(),
            closed: false,
            fin: false,
            acked: true,
            error: None,
            released: false,
            kicked: false,
            nonblocking: false,
            read_timeout: None,
            write_timeout: None,
            linger: opts.linger,
            waiting: [0; 3],
        };
        Socket { id, local, remote, state: Mutex::new(state), gates: Default::default() }
    }

    /// A panic elsewhere leaves the state as good as it was: each change is complete before anything can fail.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those go on who wait at `gate`. Costs nothing if nobody does.
    pub(super) fn open(&self, state: &State, gate: Gate) {
        if state.waiting[gate as usize] > 0 {
            self.gates[gate as usize].notify_all();
        }
    }

    pub(super) fn open_all(&self, state: &State) {
        for gate in [Gate::Readable, Gate::Writable, Gate::Progress] {
            self.open(state, gate);
        }
    }

    /// Waits until somebody opens the gate, or perhaps without a reason. False when the time is over.
    pub(super) fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        gate: Gate,
        deadline: Deadline,
    ) -> (MutexGuard<'a, State>, bool) {
        let condvar = &self.gates[gate as usize];
        let left = deadline.left();
        if left == Some(Duration::ZERO) {
            return (state, false);
        }
        state.waiting[gate as usize] += 1;
        let mut state = match left {
            None => condvar.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(left) => condvar.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.waiting[gate as usize] -= 1;
        (state, true)
    }
}

/// What a call can do right now.
pub(super) enum Attempt {
    Done(usize),
    /// The caller has to wait, if it may block.
    Wait,
}

impl State {
    /// Notes that the runtime has to look here. True if it does not know yet.
    pub(super) fn kick(&mut self) -> bool {
        !std::mem::replace(&mut self.kicked, true)
    }

    fn dead() -> io::Error {
        StreamError::ConnectionAborted.into()
    }

    /// Reads as `recv` of Linux does: what is there first, then the end, then an error once, then the end again.
    pub(super) fn read(&mut self, buf: &mut [u8], peek: bool) -> io::Result<Attempt> {
        if buf.is_empty() {
            return Ok(Attempt::Done(0));
        }
        if !self.received.is_empty() {
            let n = if peek { self.received.peek(buf) } else { self.received.pop(buf) };
            return Ok(Attempt::Done(n));
        }
        if self.end && !self.more {
            return Ok(Attempt::Done(0));
        }
        match self.phase {
            Phase::Dead => Err(State::dead()),
            _ if self.more => Ok(Attempt::Wait),
            Phase::Closed(_) => self.error.take().map_or(Ok(Attempt::Done(0)), |e| Err(e.into())),
            Phase::Connecting | Phase::Open => Ok(Attempt::Wait),
        }
    }

    /// Writes as `send` of Linux does: an error once, then a broken pipe.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<Attempt> {
        if self.phase == Phase::Dead {
            return Err(State::dead());
        }
        if let Some(e) = self.error.take() {
            return Err(e.into());
        }
        if self.closed || matches!(self.phase, Phase::Closed(_)) {
            return Err(StreamError::BrokenPipe.into());
        }
        if bytes.is_empty() {
            return Ok(Attempt::Done(0));
        }
        if self.writes.len() >= WRITES_MAX || self.unsent.room() == 0 {
            return Ok(Attempt::Wait);
        }
        let n = self.unsent.push(bytes);
        self.writes.push_back(n);
        self.acked = false;
        Ok(Attempt::Done(n))
    }

    /// The runtime has taken `n` bytes of the oldest write.
    pub(super) fn taken(&mut self, n: usize) {
        self.unsent.consume(n);
        if let Some(first) = self.writes.front_mut() {
            *first -= n;
            if *first == 0 {
                self.writes.pop_front();
            }
        }
    }

    /// Nothing more can be sent.
    pub(super) fn forget_unsent(&mut self) {
        self.unsent.clear();
        self.writes.clear();
    }

    /// The program has closed its side: a FIN follows what was written.
    pub(super) fn close(&mut self) {
        self.acked &= self.closed;
        self.closed = true;
    }

    /// Whether a write could do something but fail.
    pub(super) fn is_writable(&self) -> bool {
        !self.closed && self.error.is_none() && matches!(self.phase, Phase::Open | Phase::Connecting)
    }

    /// The connection is over.
    pub(super) fn end_as(&mut self, reason: CloseReason, error: Option<StreamError>) {
        if self.phase == Phase::Dead {
            return;
        }
        if reason == CloseReason::Normal {
            self.acked |= self.unsent.is_empty() && self.fin;
        } else {
            // As with Linux, a reset after the peer's FIN is a broken pipe: there was nothing more to be received.
            let after_fin = self.end && reason == CloseReason::Reset;
            self.error = if after_fin { Some(StreamError::BrokenPipe) } else { error };
        }
        self.forget_unsent();
        self.phase = Phase::Closed(reason);
    }

    /// No call succeeds any more, but for reading what is there.
    pub(super) fn kill(&mut self) {
        self.phase = Phase::Dead;
        self.more = false;
        self.forget_unsent();
    }

    /// Whether there is a peer: the kernel's ENOTCONN.
    pub(super) fn connected(&self) -> io::Result<()> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Dead => Err(State::dead()),
            Phase::Connecting | Phase::Closed(_) => Err(StreamError::NotConnected.into()),
        }
    }
}

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
    (limit as usize / 8).clamp(2 << 10, 1 << 20)
}

/// A write longer than this goes in several pieces, so that the first one leaves while the next one is copied.
const PIECE: usize = 128 << 10;

/// From so many bytes on a piece is copied while others may have the lock.
const LARGE: usize = 8 << 10;

/// So many buffers of pieces are used again.
const SPARES: usize = 4;

/// One connection. The runtime moves bytes between its queues and TCP; handles wait at its gates.
///
/// Bytes are copied while nobody else waits for it: a reader takes the whole queue over and empties it at its leisure, a
/// writer fills a piece before it hands it in, and the runtime takes a piece out before it gives it to TCP.
pub(super) struct Socket {
    pub(super) id: ConnId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// What a reader has taken over and not yet copied. Locked before `state`, and never while waiting.
    reading: Mutex<Queue>,
    state: Mutex<State>,
    gates: [Condvar; 3],
}

/// A part of a write, or all of it: its bytes, and how many of them TCP has taken.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) taken: usize,
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
    /// Received, taken over by a reader that is gone, and never read.
    pub(super) left: usize,
    /// How many bytes of the program's writes TCP has not taken yet, those that are being copied included.
    pub(super) unsent: usize,
    /// How many they may be.
    unsent_limit: usize,
    /// The writes, but for the one that the runtime is giving to TCP.
    pub(super) writes: VecDeque<Piece>,
    spares: Vec<Vec<u8>>,
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
            left: 0,
            unsent: 0,
            unsent_limit: queue_limit(opts.send_buffer),
            writes: VecDeque::new(),
            spares: Vec::new(),
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
        let reading = Mutex::new(Queue::new(queue_limit(opts.recv_buffer)));
        Socket { id, local, remote, reading, state: Mutex::new(state), gates: Default::default() }
    }

    /// What a reader has taken over; half a read is none.
    pub(super) fn reading(&self) -> MutexGuard<'_, Queue> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Reads as `recv` of Linux does when nothing is there any more: the end, then an error once, then the end again.
    pub(super) fn read_nothing(&mut self) -> io::Result<Attempt> {
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

    /// How many of `len` bytes can be written now, as `send` of Linux has it: an error once, then a broken pipe.
    pub(super) fn may_write(&mut self, len: usize) -> io::Result<Attempt> {
        if self.phase == Phase::Dead {
            return Err(State::dead());
        }
        if let Some(e) = self.error.take() {
            return Err(e.into());
        }
        if self.closed || matches!(self.phase, Phase::Closed(_)) {
            return Err(StreamError::BrokenPipe.into());
        }
        let room = self.unsent_limit.saturating_sub(self.unsent);
        if len > 0 && (self.writes.len() >= WRITES_MAX || room == 0) {
            return Ok(Attempt::Wait);
        }
        Ok(Attempt::Done(len.min(room).min(PIECE)))
    }

    /// A writer will hand in a piece of `n` bytes; what its bytes may be put into, if they are many.
    pub(super) fn begin_write(&mut self, n: usize) -> Option<Vec<u8>> {
        self.unsent += n;
        self.acked = false;
        (n >= LARGE).then(|| self.spares.pop().unwrap_or_default())
    }

    /// The piece that was announced; thrown away if the connection has ended meanwhile.
    pub(super) fn end_write(&mut self, bytes: Vec<u8>) {
        if matches!(self.phase, Phase::Closed(_) | Phase::Dead) {
            self.unsent -= bytes.len();
        } else {
            self.writes.push_back(Piece { bytes, taken: 0 });
        }
    }

    /// TCP has taken all of a piece of `bytes`.
    pub(super) fn reuse(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() >= LARGE && self.spares.len() < SPARES && self.phase == Phase::Open {
            bytes.clear();
            self.spares.push(bytes);
        }
    }

    /// Bytes that were received and that nobody has read.
    pub(super) fn unread(&self) -> usize {
        self.received.len() + self.left
    }

    /// Whether so much is free that it is worth waking a writer up.
    pub(super) fn is_roomy(&self) -> bool {
        self.unsent <= self.unsent_limit / 2 && self.writes.len() <= WRITES_MAX / 2
    }

    /// Nothing more can be sent.
    pub(super) fn forget_unsent(&mut self) {
        self.unsent -= self.writes.iter().map(|piece| piece.bytes.len() - piece.taken).sum::<usize>();
        self.writes.clear();
        self.spares.clear();
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
            self.acked |= self.unsent == 0 && self.fin;
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

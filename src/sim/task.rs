//! How does code in blocking style run in virtual time? Each task has a thread, and only one of all threads runs.
//!
//! A task's call is handed to the world, and the task waits; the world goes on until the call can be answered, hands the
//! answer back and waits itself until the task makes its next call or ends. Nothing ever runs beside something else, so
//! the same seed gives the same run. Streams are bound to their task's thread, which the compiler verifies.

use crate::ledger::Parts;
use crate::service::Service;
use crate::stack::{ConnId, ListenerId, Owner, Stack};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{Opts, Shutdown, State};
use crate::time::{Duration, Instant};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// The most that one call reads or writes.
const PIECE: usize = 64 << 10;

/// What a task asks of the world.
enum Call {
    Listen(SocketAddr),
    Accept(ListenerId),
    Connect(SocketAddr),
    Connecting(ConnId),
    Read(ConnId, usize, Option<Duration>),
    Write(ConnId, Vec<u8>),
    Shutdown(ConnId, Shutdown),
    Abort(ConnId),
    Release(ConnId),
    CloseListener(ListenerId),
    Opts(ConnId, Box<dyn FnOnce(&mut Opts) + Send>),
    Ledger(ConnId),
    Sleep(Duration),
    Now,
}

enum Answer {
    Ledger(Box<Parts>),
    /// The first turn.
    Go,
    Done,
    Listener(ListenerId, SocketAddr),
    Conn(ConnId, SocketAddr, SocketAddr),
    Data(Vec<u8>),
    Count(usize),
    Time(Instant),
}

type Outcome<T> = Arc<Mutex<Option<thread::Result<T>>>>;

/// Something that runs on a host, and its result ([`World::join`](super::World::join)).
pub struct Task<T> {
    outcome: Outcome<T>,
}

impl<T> Task<T> {
    /// The result, once.
    ///
    /// # Panics
    /// As the task did.
    pub(super) fn take(&self) -> Option<T> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(outcome.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Whether it has ended.
    pub(super) fn is_done(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// The payload with which a task's thread unwinds when its world is gone.
struct WorldEnded;

struct Line {
    calls: Sender<Call>,
    answers: Receiver<io::Result<Answer>>,
    local: IpAddr,
}

impl Line {
    fn call(&self, call: Call) -> io::Result<Answer> {
        match self.calls.send(call).ok().and_then(|()| self.answers.recv().ok()) {
            Some(answer) => answer,
            // Nobody can wait for time that does not go on. The hook that prints panics is not called by this.
            None => resume_unwind(Box::new(WorldEnded)),
        }
    }

    /// A call in a destructor, which may run while the thread unwinds.
    fn last_call(&self, call: Call) {
        if self.calls.send(call).is_ok() {
            let _ = self.answers.recv();
        }
    }
}

/// The network as a task sees it.
pub struct Net {
    line: Rc<Line>,
}

impl Net {
    /// Listens on a port of this host; 0 lets the stack choose.
    ///
    /// # Errors
    /// The port is in use.
    pub fn listen(&self, port: u16) -> io::Result<TcpListener> {
        match self.line.call(Call::Listen(SocketAddr::new(self.line.local, port)))? {
            Answer::Listener(id, local) => Ok(TcpListener { line: self.line.clone(), id, local }),
            _ => Err(unexpected()),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// No free port, refused, timed out: with the kinds of `std::net`.
    pub fn connect(&self, remote: impl Into<SocketAddr>) -> io::Result<TcpStream> {
        let Answer::Conn(id, ..) = self.line.call(Call::Connect(remote.into()))? else {
            return Err(unexpected());
        };
        match self.line.call(Call::Connecting(id)) {
            Ok(Answer::Conn(id, local, remote)) => Ok(TcpStream::new(&self.line, id, local, remote)),
            Ok(_) => Err(unexpected()),
            Err(error) => {
                self.line.call(Call::Release(id))?;
                Err(error)
            }
        }
    }

    /// Lets virtual time pass.
    pub fn sleep(&self, time: Duration) {
        // There is nothing that can fail.
        let _ = self.line.call(Call::Sleep(time));
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        match self.line.call(Call::Now) {
            Ok(Answer::Time(now)) => now,
            _ => Instant::ZERO,
        }
    }
}

fn unexpected() -> io::Error {
    io::Error::other("the world answered something else")
}

/// A listening socket of a task. Dropping it closes it.
pub struct TcpListener {
    line: Rc<Line>,
    id: ListenerId,
    local: SocketAddr,
}

impl TcpListener {
    /// Waits for a connection.
    ///
    /// # Errors
    /// None at present; the shape is that of `std::net`.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self.line.call(Call::Accept(self.id))? {
            Answer::Conn(id, local, remote) => Ok((TcpStream::new(&self.line, id, local, remote), remote)),
            _ => Err(unexpected()),
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.line.last_call(Call::CloseListener(self.id));
    }
}

/// A connection of a task, to be read and written like one of `std::net`. Dropping it closes it.
pub struct TcpStream {
    line: Rc<Line>,
    id: ConnId,
    addrs: (SocketAddr, SocketAddr),
    read_timeout: Cell<Option<Duration>>,
}

impl TcpStream {
    fn new(line: &Rc<Line>, id: ConnId, local: SocketAddr, remote: SocketAddr) -> TcpStream {
        TcpStream { line: line.clone(), id, addrs: (local, remote), read_timeout: Cell::new(None) }
    }

    /// This end.
    pub fn local_addr(&self) -> SocketAddr {
        self.addrs.0
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.addrs.1
    }

    /// How long reading waits; then it fails with `WouldBlock`, as on Unix.
    pub fn set_read_timeout(&self, time: Option<Duration>) {
        self.read_timeout.set(time);
    }

    /// Changes socket options: Nagle's algorithm, cork, lingering.
    ///
    /// # Errors
    /// None at present.
    pub fn set_opts(&self, change: impl FnOnce(&mut Opts) + Send + 'static) -> io::Result<()> {
        self.line.call(Call::Opts(self.id, Box::new(change))).map(drop)
    }

    /// What the time of the connection went to so far: see [`World::ledger`](super::World::ledger).
    pub fn ledger(&self) -> Parts {
        match self.line.call(Call::Ledger(self.id)) {
            Ok(Answer::Ledger(parts)) => *parts,
            _ => Parts::default(),
        }
    }

    /// Closes one side or both.
    ///
    /// # Errors
    /// None at present.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.line.call(Call::Shutdown(self.id, how)).map(drop)
    }

    /// Ends the connection with a RST.
    pub fn abort(self) {
        self.line.last_call(Call::Abort(self.id));
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(PIECE);
        if most == 0 {
            return Ok(0);
        }
        match self.line.call(Call::Read(self.id, most, self.read_timeout.get()))? {
            Answer::Data(data) => {
                buf[..data.len()].copy_from_slice(&data);
                Ok(data.len())
            }
            _ => Err(unexpected()),
        }
    }
}

impl Write for &TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.line.call(Call::Write(self.id, data[..data.len().min(PIECE)].to_vec()))? {
            Answer::Count(n) => Ok(n),
            _ => Err(unexpected()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.line.last_call(Call::Release(self.id));
    }
}

/// The world's side of a task.
pub(super) struct Runner {
    owner: Owner,
    /// `None` when the task has ended.
    ends: Option<(Receiver<Call>, Sender<io::Result<Answer>>)>,
    begun: bool,
    /// The call that cannot be answered yet, and until when it waits.
    pending: Option<(Call, Option<Instant>)>,
    /// Something was written: the host sends before the task goes on, as if the call had entered a kernel.
    sends_first: bool,
    /// It wants another turn now.
    again: bool,
    thread: Option<JoinHandle<()>>,
}

/// Makes a task and what runs it; nothing happens before the first poll.
///
/// # Panics
/// No thread can be had.
pub(super) fn spawn<T: Send + 'static>(
    owner: Owner,
    local: IpAddr,
    body: impl FnOnce(&Net) -> T + Send + 'static,
) -> (Task<T>, Runner) {
    let outcome: Outcome<T> = Arc::default();
    let (calls, calls_in) = bounded(1);
    let (answers_out, answers) = bounded(1);
    let result = outcome.clone();
    let thread = thread::spawn(move || {
        let line = Rc::new(Line { calls, answers, local });
        if !matches!(line.answers.recv(), Ok(Ok(Answer::Go))) {
            return;
        }
        let ended = catch_unwind(AssertUnwindSafe(|| body(&Net { line: line.clone() })));
        if !matches!(&ended, Err(panic) if panic.is::<WorldEnded>()) {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        }
        // Only now the world goes on: it finds the result.
        drop(line);
    });
    let runner = Runner {
        owner,
        ends: Some((calls_in, answers_out)),
        begun: false,
        pending: None,
        sends_first: false,
        again: false,
        thread: Some(thread),
    };
    (Task { outcome }, runner)
}

impl Runner {
    /// Answers the call, or says that it cannot be answered yet.
    fn answer(
        owner: Owner,
        now: Instant,
        stack: &mut Stack,
        call: &mut Call,
        until: Option<Instant>,
    ) -> Option<io::Result<Answer>> {
        Some(Ok(match call {
            Call::Listen(local) => match stack.listen(*local, None, owner) {
                Ok(id) => Answer::Listener(id, stack.listener_addr(id).unwrap_or(*local)),
                Err(error) => return Some(Err(refused(error))),
            },
            Call::Accept(listener) => {
                let accepted = stack.accept(*listener, owner)?;
                Answer::Conn(accepted.id, accepted.local, accepted.remote)
            }
            Call::Connect(remote) => match stack.connect(now, *remote, None, None, owner) {
                Ok(id) => Answer::Conn(id, *remote, *remote),
                Err(error) => return Some(Err(refused(error))),
            },
            Call::Connecting(id) => {
                let Some(conn) = stack.conn(*id) else { return Some(Err(StreamError::NotConnected.into())) };
                if let Some(error) = conn.error() {
                    return Some(Err(error.into()));
                }
                if matches!(conn.state(), State::SynSent | State::SynReceived) {
                    return None;
                }
                let (local, remote) = stack.addrs_of(*id)?;
                Answer::Conn(*id, local, remote)
            }
            Call::Read(id, most, _) => {
                let mut data = vec![0; *most];
                match stack.stream(now, *id).read(&mut data) {
                    Ok(n) => data.truncate(n),
                    Err(StreamError::WouldBlock) if until.is_some_and(|until| until <= now) => {
                        return Some(Err(io::ErrorKind::WouldBlock.into()));
                    }
                    Err(StreamError::WouldBlock) => return None,
                    Err(error) => return Some(Err(error.into())),
                }
                Answer::Data(data)
            }
            Call::Write(id, data) => match stack.stream(now, *id).write(data) {
                Ok(n) => Answer::Count(n),
                Err(StreamError::WouldBlock) if !data.is_empty() => return None,
                Err(StreamError::WouldBlock) => Answer::Count(0),
                Err(error) => return Some(Err(error.into())),
            },
            Call::Shutdown(id, how) => {
                stack.shutdown(now, *id, *how);
                Answer::Done
            }
            Call::Abort(id) => {
                stack.stream(now, *id).abort();
                Answer::Done
            }
            Call::Release(id) => {
                stack.release(now, *id);
                Answer::Done
            }
            Call::CloseListener(id) => {
                stack.close_listener(now, *id);
                Answer::Done
            }
            Call::Ledger(id) => Answer::Ledger(Box::new(stack.ledger(now, *id).unwrap_or_default())),
            Call::Opts(id, change) => {
                let change = std::mem::replace(change, Box::new(|_| {}));
                stack.set_opts(now, *id, change);
                Answer::Done
            }
            Call::Sleep(_) if until.is_some_and(|until| until > now) => return None,
            Call::Sleep(_) => Answer::Done,
            Call::Now => Answer::Time(now),
        }))
    }

    fn end(&mut self) {
        self.ends = None;
        self.pending = None;
        if let Some(thread) = self.thread.take() {
            // It has caught its own panic.
            let _ = thread.join();
        }
    }
}

fn refused(error: crate::stack::StackError) -> io::Error {
    use crate::stack::StackError::{AddrInUse, AddrNotAvailable, InvalidDestination};
    let kind = match error {
        AddrInUse => io::ErrorKind::AddrInUse,
        AddrNotAvailable { .. } => io::ErrorKind::AddrNotAvailable,
        InvalidDestination => io::ErrorKind::InvalidInput,
    };
    io::Error::new(kind, error)
}

impl Service for Runner {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        while stack.ready(self.owner).is_some() {}
        self.again = false;
        loop {
            let Some((calls, answers)) = &self.ends else { return };
            if !std::mem::replace(&mut self.begun, true) {
                let _ = answers.send(Ok(Answer::Go));
            }
            let next = self.pending.take().or_else(|| {
                let call = calls.recv().ok()?;
                let time = match &call {
                    Call::Sleep(time) => Some(*time),
                    Call::Read(.., timeout) => *timeout,
                    _ => None,
                };
                Some((call, time.map(|time| now + time)))
            });
            let Some((mut call, until)) = next else { return self.end() };
            if std::mem::take(&mut self.sends_first) {
                self.pending = Some((call, until));
                self.again = true;
                return;
            }
            let sends =
                matches!(call, Call::Write(..) | Call::Shutdown(..) | Call::Release(_) | Call::Abort(_));
            match Runner::answer(self.owner, now, stack, &mut call, until) {
                Some(answer) => {
                    self.sends_first = sends;
                    drop(answers.send(answer));
                }
                None => {
                    self.pending = Some((call, until));
                    return;
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match (&self.ends, self.begun) {
            (None, _) => None,
            (Some(_), false) => Some(Instant::ZERO),
            (Some(_), true) if self.again => Some(Instant::ZERO),
            (Some(_), true) => self.pending.as_ref().and_then(|(_, until)| *until),
        }
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        self.poll(now, stack);
        self.ends.is_none()
    }
}

/// The thread wakes up, finds that there is no world, and ends.
impl Drop for Runner {
    fn drop(&mut self) {
        self.end();
    }
}

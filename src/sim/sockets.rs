//! How does a program use a simulated network without events? Calls that let the world go on until they are done.

use super::host::Host;
use super::node::HostId;
use super::task::{self, Net, Task, Waiting};
use super::world::World;
use crate::ledger::Parts;
use crate::stack::{ConnId, ListenerId, Owner, StackError};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{Info, Shutdown, State};
use crate::time::{Duration, Instant};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::Location;

/// Whose sockets the calls here make.
const OWNER: Owner = Owner(u16::MAX);
/// Virtual time after which a call that waits gives up.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A connection of a simulated host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Socket {
    /// Whose it is.
    pub host: HostId,
    /// Which of the host's stack.
    pub id: ConnId,
}

/// A listener of a simulated host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Listener {
    /// Whose it is.
    pub host: HostId,
    /// Which of the host's stack.
    pub id: ListenerId,
}

/// Why a call on a simulated socket failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SimError {
    /// The stack refused the address.
    Address(StackError),
    /// The connection ended.
    Stream(StreamError),
    /// The peer closed its side before everything was read.
    UnexpectedEnd,
    /// The world stands still, or an hour has passed: what the call waits for does not come.
    Stalled {
        /// What the call was.
        call: &'static str,
        /// When it gave up.
        at: Instant,
        /// The tasks, and what each of them waits for.
        waiting: Vec<Waiting>,
    },
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SimError::Address(error) => error.fmt(f),
            SimError::Stream(error) => error.fmt(f),
            SimError::UnexpectedEnd => f.write_str("the peer closed before everything was there"),
            SimError::Stalled { call, at, waiting } => {
                write!(f, "{call} waited in vain until {at}")?;
                waiting.iter().try_for_each(|task| write!(f, "; {task}"))
            }
        }
    }
}

impl std::error::Error for SimError {}

impl From<StackError> for SimError {
    fn from(error: StackError) -> SimError {
        SimError::Address(error)
    }
}

impl From<StreamError> for SimError {
    fn from(error: StreamError) -> SimError {
        SimError::Stream(error)
    }
}

impl World {
    /// Listens on an address of `host`.
    ///
    /// # Errors
    /// [`SimError::Address`].
    pub fn listen(&mut self, host: HostId, local: impl Into<SocketAddr>) -> Result<Listener, SimError> {
        let id = self.stack(host).listen(local.into(), None, OWNER)?;
        Ok(Listener { host, id })
    }

    /// Connects and waits until the handshake is done.
    ///
    /// # Errors
    /// [`SimError::Address`] when there is no way to try, [`SimError::Stream`] when the peer refuses or does not answer.
    pub fn connect(&mut self, host: HostId, remote: impl Into<SocketAddr>) -> Result<Socket, SimError> {
        let socket = self.start_connect(host, remote)?;
        self.wait("connect", |world| match world.established(socket) {
            Ok(true) => Some(Ok(socket)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Sends a SYN and does not wait for the answer.
    ///
    /// # Errors
    /// [`SimError::Address`].
    pub fn start_connect(&mut self, host: HostId, remote: impl Into<SocketAddr>) -> Result<Socket, SimError> {
        let now = self.now();
        let id = self.stack(host).connect(now, remote.into(), None, None, OWNER)?;
        Ok(Socket { host, id })
    }

    /// Sends a SYN from one of the host's addresses, which need not be its first.
    ///
    /// # Errors
    /// [`SimError::Address`], also when `local` is not an address of the host.
    pub fn start_connect_from(
        &mut self,
        host: HostId,
        local: IpAddr,
        remote: impl Into<SocketAddr>,
    ) -> Result<Socket, SimError> {
        let (now, local) = (self.now(), Some(SocketAddr::new(local, 0)));
        let id = self.stack(host).connect(now, remote.into(), local, None, OWNER)?;
        Ok(Socket { host, id })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// [`SimError::Stalled`] when none comes.
    pub fn accept(&mut self, listener: Listener) -> Result<Socket, SimError> {
        self.wait("accept", |world| {
            let accepted = world.stack(listener.host).accept(listener.id, OWNER)?;
            Some(Ok(Socket { host: listener.host, id: accepted.id }))
        })
    }

    /// Connects `client` to an address on which `server` listens from now on and returns both ends.
    ///
    /// # Errors
    /// Those of [`World::listen`], [`World::connect`] and [`World::accept`].
    pub fn pair(
        &mut self,
        client: HostId,
        server: HostId,
        addr: impl Into<SocketAddr>,
    ) -> Result<(Socket, Socket), SimError> {
        let addr = addr.into();
        let listener = self.listen(server, addr)?;
        Ok((self.connect(client, addr)?, self.accept(listener)?))
    }

    /// Writes all of `data` into the connection, waiting for room; what is written last may not have been sent yet.
    ///
    /// # Errors
    /// [`SimError::Stream`] when the connection ends, [`SimError::Stalled`] when the peer does not read.
    pub fn write_all(&mut self, socket: Socket, data: &[u8]) -> Result<(), SimError> {
        let mut left = data;
        self.wait("write_all", |world| match world.write_some(socket, &mut left) {
            Ok(()) => left.is_empty().then_some(Ok(())),
            Err(error) => Some(Err(error)),
        })
    }

    /// Fills `buf`.
    ///
    /// # Errors
    /// [`SimError::UnexpectedEnd`] at the peer's FIN, [`SimError::Stream`] when the connection ends.
    pub fn read_exact(&mut self, socket: Socket, buf: &mut [u8]) -> Result<(), SimError> {
        let mut filled = 0;
        self.wait("read_exact", |world| {
            while filled < buf.len() {
                match world.read_some(socket, &mut buf[filled..]) {
                    Ok(0) => return Some(Err(SimError::UnexpectedEnd)),
                    Ok(n) => filled += n,
                    Err(StreamError::WouldBlock) => return None,
                    Err(error) => return Some(Err(error.into())),
                }
            }
            Some(Ok(()))
        })
    }

    /// Reads until the peer's FIN.
    ///
    /// # Errors
    /// [`SimError::Stream`] when the connection ends otherwise.
    pub fn read_to_end(&mut self, socket: Socket) -> Result<Vec<u8>, SimError> {
        let mut all = Vec::new();
        self.wait("read_to_end", |world| match world.read_all(socket, &mut all) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })?;
        Ok(all)
    }

    /// Writes all of `data` into `from` while `to` reads, and returns what it has read when it is as much.
    ///
    /// # Errors
    /// Those of writing and reading.
    pub fn transfer(&mut self, from: Socket, to: Socket, data: &[u8]) -> Result<Vec<u8>, SimError> {
        let (mut left, mut all) = (data, Vec::with_capacity(data.len()));
        self.wait("transfer", |world| {
            let step = world.write_some(from, &mut left).and_then(|()| world.read_all(to, &mut all));
            match step {
                Err(error) => Some(Err(error)),
                Ok(_) if all.len() >= data.len() => Some(Ok(())),
                Ok(true) => Some(Err(SimError::UnexpectedEnd)),
                Ok(false) => None,
            }
        })?;
        Ok(all)
    }

    /// Closes one side or both and does not wait.
    pub fn shutdown(&mut self, socket: Socket, how: Shutdown) {
        let now = self.now();
        self.stack(socket.host).shutdown(now, socket.id, how);
    }

    /// Lets go of the connection, which closes in the background.
    pub fn close(&mut self, socket: Socket) {
        let now = self.now();
        self.stack(socket.host).release(now, socket.id);
    }

    /// Ends the connection with a RST.
    pub fn abort(&mut self, socket: Socket) {
        let now = self.now();
        self.stack(socket.host).stream(now, socket.id).abort();
    }

    /// Bytes that wait to be read.
    pub fn readable(&mut self, socket: Socket) -> usize {
        self.stack(socket.host).conn(socket.id).map_or(0, |conn| conn.readable())
    }

    /// How a connection is doing (`TCP_INFO`); None after it is gone.
    pub fn info(&mut self, socket: Socket) -> Option<Info> {
        let now = self.now();
        self.stack(socket.host).info(now, socket.id)
    }

    /// What the time of a connection went to so far: `world.ledger(socket)?.nagle < Duration::from_millis(1)`. The parts
    /// sum up to its life in whole microseconds. None after it is gone.
    pub fn ledger(&mut self, socket: Socket) -> Option<Parts> {
        let now = self.now();
        self.stack(socket.host).ledger(now, socket.id)
    }

    /// The state of the connection; CLOSED when the stack has forgotten it.
    pub fn state(&mut self, socket: Socket) -> State {
        self.stack(socket.host).conn(socket.id).map_or(State::Closed, |conn| conn.state())
    }

    fn established(&mut self, socket: Socket) -> Result<bool, SimError> {
        let Some(conn) = self.stack(socket.host).conn(socket.id) else {
            return Err(StreamError::NotConnected.into());
        };
        match (conn.error(), conn.state()) {
            (Some(error), _) => Err(error.into()),
            (None, State::SynSent | State::SynReceived) => Ok(false),
            (None, _) => Ok(true),
        }
    }

    /// Writes what finds room.
    fn write_some(&mut self, socket: Socket, left: &mut &[u8]) -> Result<(), SimError> {
        let now = self.now();
        while !left.is_empty() {
            match self.stack(socket.host).stream(now, socket.id).write(left) {
                Ok(n) => *left = &left[n..],
                Err(StreamError::WouldBlock) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_some(&mut self, socket: Socket, buf: &mut [u8]) -> Result<usize, StreamError> {
        let now = self.now();
        let addrs = self.stack(socket.host).addrs_of(socket.id);
        let n = self.stack(socket.host).stream(now, socket.id).read(buf)?;
        if let Some((local, remote)) = addrs {
            self.check_read(local, remote, &buf[..n]);
        }
        Ok(n)
    }

    /// Reads what is there; true at the peer's FIN.
    fn read_all(&mut self, socket: Socket, all: &mut Vec<u8>) -> Result<bool, SimError> {
        let mut buf = [0; 16 << 10];
        loop {
            match self.read_some(socket, &mut buf) {
                Ok(0) => return Ok(true),
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(StreamError::WouldBlock) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Runs code in blocking style on a host, in a task of its own, which may begin others ([`Net::spawn`]). It begins
    /// when the world goes on.
    ///
    /// # Panics
    /// No thread can be had.
    #[track_caller]
    pub fn spawn<T: Send + 'static>(
        &mut self,
        host: HostId,
        body: impl FnOnce(&Net) -> T + Send + 'static,
    ) -> Task<T> {
        task::spawn(self.host(host).tasks(), Location::caller(), body)
    }

    /// Lets the world go on until a task has ended, and returns its result.
    ///
    /// # Errors
    /// [`SimError::Stalled`] when the world stands still or an hour has passed; it says what each task waits for.
    ///
    /// # Panics
    /// As the task did.
    pub fn join<T>(&mut self, task: Task<T>) -> Result<T, SimError> {
        self.run_until(PATIENCE, |_| task.is_finished());
        task.take().ok_or_else(|| self.stalled("join"))
    }

    /// The tasks that have not ended and what each waits for, and those that ended in a panic.
    pub fn waiting(&self) -> Vec<Waiting> {
        self.hosts().flat_map(Host::waiting).collect()
    }

    fn stalled(&self, call: &'static str) -> SimError {
        SimError::Stalled { call, at: self.now(), waiting: self.waiting() }
    }

    /// Lets the world go on until `ready` has an answer.
    fn wait<T>(
        &mut self,
        call: &'static str,
        mut ready: impl FnMut(&mut World) -> Option<Result<T, SimError>>,
    ) -> Result<T, SimError> {
        let mut answer = None;
        self.run_until(PATIENCE, |world| {
            world.forget_events(OWNER);
            answer = ready(world);
            answer.is_some()
        });
        answer.unwrap_or_else(|| Err(self.stalled(call)))
    }
}

//! How does a program read and write a connection? Like `std::net::TcpStream`.

use super::clock::Deadline;
use super::core::Core;
use super::handle::{Command, Handle};
use super::queue::Queue;
use super::socket::{Attempt, Gate, Phase, Socket, State};
use crate::ledger::Parts;
use crate::segment::Key;
use crate::stream::StreamError;
use crate::tcp::{CloseReason, Info, Nagle, Opts, Snapshot};
use crate::time::{Duration, Instant};
use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, MutexGuard};

/// A TCP connection of the stack.
///
/// Calls behave as those of `std::net::TcpStream` on Linux, to the [`io::ErrorKind`]. Beside TCP's own buffers a stream
/// has queues in each direction of together at most a quarter of the buffer's size and 2 MiB. Dropping the last clone closes
/// the connection: what was written is still sent; unread data makes it a reset.
pub struct TcpStream {
    inner: Arc<Inner>,
}

struct Inner {
    socket: Arc<Socket>,
    handle: Handle,
}

impl Inner {
    /// Tells the runtime to look at the socket, unless it knows.
    fn kick(&self, mut state: MutexGuard<'_, State>) {
        let fresh = state.kick();
        drop(state);
        if fresh {
            // If the runtime is gone, the socket says so.
            let _ = self.handle.send(Command::Kick(self.socket.id));
        }
    }

    fn read(&self, buf: &mut [u8], peek: bool) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut deadline = None;
        loop {
            let mut reading = self.socket.reading();
            let n = self.take(&mut reading, buf, peek);
            if n > 0 {
                return Ok(n);
            }
            let mut state = self.socket.lock();
            if !state.received.is_empty() {
                continue;
            }
            match state.read_nothing()? {
                Attempt::Done(n) => return Ok(n),
                Attempt::Wait if state.nonblocking => return Err(io::ErrorKind::WouldBlock.into()),
                Attempt::Wait => {
                    drop(reading);
                    let deadline = *deadline.get_or_insert_with(|| Deadline::after(state.read_timeout));
                    let (state, woken) = self.socket.wait(state, Gate::Readable, deadline);
                    drop(state);
                    if !woken {
                        // As recv(2) with SO_RCVTIMEO.
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                }
            }
        }
    }

    /// Copies what is there, taking over what the runtime has brought; returns how many bytes that were.
    fn take(&self, reading: &mut Queue, buf: &mut [u8], peek: bool) -> usize {
        let mut n = 0;
        loop {
            n += if peek { reading.peek(&mut buf[n..]) } else { reading.pop(&mut buf[n..]) };
            if n == buf.len() {
                return n;
            }
            let mut state = self.socket.lock();
            if state.received.is_empty() {
                return n;
            }
            if peek && n > 0 {
                return n + state.received.peek(&mut buf[n..]);
            }
            mem::swap(reading, &mut state.received);
            if state.more {
                self.kick(state);
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.socket.lock();
        let deadline = Deadline::after(state.write_timeout);
        let mut written = 0;
        loop {
            if written > 0 && !state.is_writable() {
                // A part is on its way; the next call hears of the error.
                return Ok(written);
            }
            let left = &bytes[written..];
            let wait = match state.may_write(left.len())? {
                Attempt::Done(0) => false,
                Attempt::Done(n) => {
                    if let Some(mut piece) = state.begin_write(n) {
                        drop(state);
                        piece.extend_from_slice(&left[..n]);
                        state = self.socket.lock();
                        state.end_write(piece);
                    } else {
                        state.end_write(left[..n].to_vec());
                    }
                    written += n;
                    if written < bytes.len() {
                        // The runtime may begin with it.
                        self.kick(state);
                        state = self.socket.lock();
                        continue;
                    }
                    false
                }
                Attempt::Wait => true,
            };
            if !wait || state.nonblocking {
                let blocked = wait && written == 0;
                self.kick(state);
                return if blocked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) };
            }
            if state.kick() {
                // The runtime may make room before this thread waits for it: look again.
                drop(state);
                let _ = self.handle.send(Command::Kick(self.socket.id));
                state = self.socket.lock();
                continue;
            }
            let (after, woken) = self.socket.wait(state, Gate::Writable, deadline);
            state = after;
            if !woken {
                // As send(2) with SO_SNDTIMEO.
                return if written > 0 { Ok(written) } else { Err(io::ErrorKind::WouldBlock.into()) };
            }
        }
    }

    fn wait_acked(&self, deadline: Deadline) -> io::Result<()> {
        let mut state = self.socket.lock();
        loop {
            if state.acked {
                return Ok(());
            }
            match state.phase {
                Phase::Dead => return Err(StreamError::ConnectionAborted.into()),
                Phase::Closed(_) => return Err(state.error.unwrap_or(StreamError::NotConnected).into()),
                Phase::Connecting | Phase::Open => {}
            }
            let (after, woken) = self.socket.wait(state, Gate::Progress, deadline);
            state = after;
            if !woken {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let left = self.socket.reading().len();
        let mut state = self.socket.lock();
        state.left = left;
        let lingers = state.linger.filter(|time| !time.is_zero());
        if let (Some(time), Phase::Open, true, false) =
            (lingers, state.phase, state.unread() == 0, state.nonblocking)
        {
            state.close();
            self.kick(state);
            // Whatever comes of it, the connection is let go now.
            let _ = self.wait_acked(Deadline::after(Some(time)));
            state = self.socket.lock();
        }
        state.released = true;
        self.kick(state);
    }
}

impl TcpStream {
    pub(super) fn new(handle: Handle, socket: Arc<Socket>) -> TcpStream {
        TcpStream { inner: Arc::new(Inner { socket, handle }) }
    }

    /// Opens a connection. As in std, names are looked up by the host (see [`Handle::resolve`] for the stack's own name
    /// servers), and the first address that works is taken.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable`, `AddrNotAvailable` if no port is free,
    /// `NotConnected` or `ConnectionAborted` if the stack has shut down.
    pub fn connect(handle: &Handle, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        each_address(addr, |addr| TcpStream::open(handle, addr, None, Deadline::after(None)))
    }

    /// Opens a connection whose segments are signed with `key`, from the first to the last (RFC 2385); what comes without its
    /// signature is dropped.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect); a peer that has another key, or none, never answers.
    pub fn connect_signed(handle: &Handle, addr: impl ToSocketAddrs, key: Key) -> io::Result<TcpStream> {
        each_address(addr, |addr| TcpStream::open(handle, addr, Some(key), Deadline::after(None)))
    }

    /// Opens a connection within `timeout`.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect); `TimedOut`; `InvalidInput` for a time of zero.
    pub fn connect_timeout(handle: &Handle, addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        TcpStream::open(handle, *addr, None, Deadline::after(Some(not_zero(timeout)?)))
    }

    fn open(
        handle: &Handle,
        addr: SocketAddr,
        key: Option<Key>,
        deadline: Deadline,
    ) -> io::Result<TcpStream> {
        let socket = handle.run(move |core, now| core.connect(now, addr, key))??;
        let stream = TcpStream::new(handle.clone(), socket);
        let socket = &stream.inner.socket;
        let mut state = socket.lock();
        loop {
            match state.phase {
                // Also when it was closed again meanwhile: that is for the first read to tell.
                _ if state.established => break,
                Phase::Closed(reason) => return Err(state.error.unwrap_or(error_of(reason)).into()),
                Phase::Dead => return Err(StreamError::ConnectionAborted.into()),
                Phase::Connecting | Phase::Open => {}
            }
            let (after, woken) = socket.wait(state, Gate::Progress, deadline);
            state = after;
            if !woken {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
            }
        }
        drop(state);
        Ok(stream)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected` after the connection has ended.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.lock().connected().map(|()| self.inner.socket.remote)
    }

    /// This side's address.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.inner.socket.local)
    }

    /// Closes one side or both: a FIN follows what was written; what has been received can still be read.
    ///
    /// # Errors
    /// `NotConnected` after the connection has ended.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let mut state = self.lock();
        state.connected()?;
        if how != Shutdown::Read {
            state.close();
            self.inner.socket.open(&state, Gate::Writable);
            self.inner.kick(state);
        } else {
            drop(state);
        }
        if how != Shutdown::Write {
            let id = self.inner.socket.id;
            self.inner.handle.run(move |core, now| core.close_read(now, id))?;
        }
        Ok(())
    }

    /// Another handle to the same connection.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream { inner: self.inner.clone() })
    }

    /// How long a read waits for bytes; `None` for ever. Then it fails with `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.lock().read_timeout = timeout.map(not_zero).transpose()?;
        Ok(())
    }

    /// How long a write waits for room; `None` for ever. Then it fails with `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.lock().write_timeout = timeout.map(not_zero).transpose()?;
        Ok(())
    }

    /// See [`set_read_timeout`](Self::set_read_timeout).
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.lock().read_timeout)
    }

    /// See [`set_write_timeout`](Self::set_write_timeout).
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.lock().write_timeout)
    }

    /// Copies received bytes and leaves them there.
    ///
    /// # Errors
    /// Those of reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf, true)
    }

    /// Whether calls return `WouldBlock` instead of waiting, for all clones.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.lock().nonblocking = on;
        Ok(())
    }

    /// What dropping the stream does (`SO_LINGER`): `None` sends what was written in the background, zero resets, any
    /// other time waits so long until all is acknowledged.
    ///
    /// # Errors
    /// `NotConnected` when the stack has shut down.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set_options(move |opts| opts.linger = linger)?;
        self.lock().linger = linger;
        Ok(())
    }

    /// See [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(self.lock().linger)
    }

    /// Switches Nagle's algorithm off (`true`), or on as the knob `tcp.nagle` says.
    ///
    /// # Errors
    /// `NotConnected` when the stack has shut down.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        let id = self.inner.socket.id;
        self.inner.handle.run(move |core, now| {
            let usual = match core.stack.config().tcp.nagle {
                Nagle::Off => Nagle::Minshall,
                usual => usual,
            };
            core.set_opts(now, id, |opts| opts.nagle = if on { Nagle::Off } else { usual });
        })
    }

    /// Whether Nagle's algorithm is off.
    ///
    /// # Errors
    /// `NotConnected` when the stack has shut down.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.options()?.nagle == Nagle::Off)
    }

    /// The error that the next call would report, which is then forgotten (`SO_ERROR`).
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.lock().error.take().map(io::Error::from))
    }

    /// All options of the connection: those of std and those that only this stack has.
    ///
    /// # Errors
    /// `NotConnected` when the connection or the stack is gone.
    pub fn options(&self) -> io::Result<Opts> {
        self.ask(|core, _, id| core.stack.conn(id).map(|conn| *conn.opts()))
    }

    /// Changes options. Bytes that were written before are offered to TCP under the old ones.
    ///
    /// # Errors
    /// `NotConnected` when the stack has shut down.
    pub fn set_options(&self, change: impl FnOnce(&mut Opts) + Send + 'static) -> io::Result<()> {
        let id = self.inner.socket.id;
        self.inner.handle.run(move |core, now| core.set_opts(now, id, change))
    }

    /// Signs and verifies every segment from now on with `key` (RFC 2385); `None` ends that.
    ///
    /// # Errors
    /// `NotConnected` when the stack has shut down.
    pub fn set_key(&self, key: Option<Key>) -> io::Result<()> {
        let id = self.inner.socket.id;
        self.inner.handle.run(move |core, now| core.stack.set_key(now, id, key))
    }

    /// How the connection is doing (`TCP_INFO`).
    ///
    /// # Errors
    /// `NotConnected` when the connection or the stack is gone.
    pub fn info(&self) -> io::Result<Info> {
        self.ask(|core, now, id| core.stack.info(now, id))
    }

    /// What the connection's time went to so far ([`crate::tcp::Conn::ledger`]).
    ///
    /// # Errors
    /// `NotConnected` when the connection or the stack is gone.
    pub fn ledger(&self) -> io::Result<Parts> {
        self.ask(|core, now, id| core.stack.ledger(now, id))
    }

    /// The same, where something begins or ends for its owner ([`crate::tcp::Conn::cut_ledger`]).
    pub(crate) fn cut_ledger(&self) -> io::Result<Parts> {
        self.ask(|core, now, id| Some(core.stack.cut_ledger(now, id)))
    }

    /// What the trace tells with each packet: state, windows, round-trip time, what limits it.
    ///
    /// # Errors
    /// `NotConnected` when the connection or the stack is gone.
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        self.ask(|core, _, id| core.stack.conn(id).map(|conn| conn.snapshot()))
    }

    /// The connection's number in the trace, from 1.
    ///
    /// # Errors
    /// `NotConnected` when the connection or the stack is gone.
    pub fn number(&self) -> io::Result<u32> {
        self.ask(|core, _, id| core.stack.number_of(id))
    }

    fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Core, Instant, crate::stack::ConnId) -> Option<R> + Send + 'static,
    ) -> io::Result<R> {
        let id = self.inner.socket.id;
        let answer = self.inner.handle.run(move |core, now| question(core, now, id))?;
        answer.ok_or_else(|| StreamError::NotConnected.into())
    }

    /// Ends the connection with a RST. Bytes that the peer has not got are lost; every call on any clone fails with
    /// `ConnectionAborted` from now on.
    ///
    /// # Errors
    /// `NotConnected` when the stack has shut down.
    pub fn abort(&self) -> io::Result<()> {
        let id = self.inner.socket.id;
        self.inner.handle.run(move |core, now| core.abort(now, id))
    }

    /// Waits until the peer has acknowledged all that was written and, after `shutdown(Write)`, the FIN.
    ///
    /// # Errors
    /// What ended the connection before that, `TimedOut` when `timeout` is over.
    pub fn wait_acked(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.wait_acked(Deadline::after(timeout))
    }

    /// Waits until the connection is over, TIME-WAIT not counted.
    ///
    /// # Errors
    /// What ended it, if both sides did not close in order; `TimedOut` when `timeout` is over.
    pub fn wait_closed(&self, timeout: Option<Duration>) -> io::Result<()> {
        let deadline = Deadline::after(timeout);
        let socket = &self.inner.socket;
        let mut state = socket.lock();
        loop {
            match state.phase {
                Phase::Closed(CloseReason::Normal) => return Ok(()),
                Phase::Closed(reason) => return Err(error_of(reason).into()),
                Phase::Dead => return Err(StreamError::ConnectionAborted.into()),
                Phase::Connecting | Phase::Open => {}
            }
            let (after, woken) = socket.wait(state, Gate::Progress, deadline);
            state = after;
            if !woken {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Why the connection is over, or `None` while it is not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        match self.lock().phase {
            Phase::Closed(reason) => Some(reason),
            Phase::Dead => Some(CloseReason::Aborted),
            Phase::Connecting | Phase::Open => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.socket.lock()
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf, false)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    /// Does nothing, as with std: nothing is held back here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf, false)
    }
}

impl Write for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    /// Does nothing, as with std: nothing is held back here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Socket { local, remote, .. } = &*self.inner.socket;
        f.debug_struct("TcpStream").field("addr", local).field("peer", remote).finish()
    }
}

fn error_of(reason: CloseReason) -> StreamError {
    match reason {
        CloseReason::Normal => StreamError::NotConnected,
        CloseReason::Refused => StreamError::ConnectionRefused,
        CloseReason::Reset => StreamError::ConnectionReset,
        CloseReason::Aborted => StreamError::ConnectionAborted,
        CloseReason::TimedOut => StreamError::TimedOut,
        CloseReason::Unreachable => StreamError::HostUnreachable,
    }
}

fn not_zero(timeout: Duration) -> io::Result<Duration> {
    if timeout.is_zero() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
    }
    Ok(timeout)
}

/// Tries one address after the other, as std does.
pub(super) fn each_address<T>(
    addr: impl ToSocketAddrs,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match f(addr) {
            Ok(done) => return Ok(done),
            Err(e) => last = Some(e),
        }
    }
    Err(last
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")))
}

//! How does a task use a connection? Like one of `std::net`.

use super::line::{Cx, Doing, OWNER, Place};
use crate::ledger::Parts;
use crate::stack::{ConnId, ListenerId, StackError};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{Info, Nagle, Opts, Shutdown, State};
use crate::time::Duration;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The most that one call writes.
const PIECE: usize = 64 << 10;

/// A listening socket of a task. Dropping the last clone closes it.
pub struct TcpListener {
    inner: Arc<Listening>,
}

struct Listening {
    place: Arc<Place>,
    id: ListenerId,
    local: SocketAddr,
    limit: Mutex<Option<Duration>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let id = self.id;
        self.place.chore(false, move |now, stack| stack.close_listener(now, id));
    }
}

impl TcpListener {
    pub(super) fn bind(place: &Arc<Place>, local: SocketAddr) -> io::Result<TcpListener> {
        let (id, local) = place.call(Doing::Asks, None, false, move |cx: &mut Cx<'_>| {
            let listening = cx.stack.listen(local, None, OWNER).map_err(refused);
            Some(listening.map(|id| (id, cx.stack.listener_addr(id).unwrap_or(local))))
        })?;
        let limit = Mutex::new(None);
        Ok(TcpListener { inner: Arc::new(Listening { place: place.clone(), id, local, limit }) })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// `WouldBlock` if none is there and the listener is not to wait.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Listening { place, id, local, limit } = &*self.inner;
        let (id, limit) = (*id, *locked(limit));
        let (conn, local, remote) =
            place.call(Doing::Accepts(*local), limit, false, move |cx: &mut Cx<'_>| {
                match cx.stack.accept(id, OWNER) {
                    Some(accepted) => Some(Ok((accepted.id, accepted.local, accepted.remote))),
                    None => cx.over.then(|| Err(io::ErrorKind::WouldBlock.into())),
                }
            })?;
        Ok((TcpStream::new(place, conn, local, remote), remote))
    }

    /// The connections that come, one after the other, for ever.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.inner.local)
    }

    /// Another handle to the same listener.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener { inner: self.inner.clone() })
    }

    /// Whether [`accept`](Self::accept) fails with `WouldBlock` where it would wait.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        *locked(&self.inner.limit) = on.then_some(Duration::ZERO);
        Ok(())
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("addr", &self.inner.local).finish()
    }
}

/// See [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a>(&'a TcpListener);

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}

/// A connection of tasks of one host, to be read and written like one of `std::net`. Dropping the last clone closes it.
pub struct TcpStream {
    inner: Arc<Connected>,
}

struct Connected {
    place: Arc<Place>,
    id: ConnId,
    local: SocketAddr,
    remote: SocketAddr,
    settings: Mutex<Settings>,
}

/// Those of the socket, which clones share.
#[derive(Clone, Copy, Default)]
struct Settings {
    read: Option<Duration>,
    write: Option<Duration>,
    at_once: bool,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.place.release(self.id);
    }
}

impl TcpStream {
    fn new(place: &Arc<Place>, id: ConnId, local: SocketAddr, remote: SocketAddr) -> TcpStream {
        let settings = Mutex::default();
        TcpStream { inner: Arc::new(Connected { place: place.clone(), id, local, remote, settings }) }
    }

    pub(super) fn connect(
        place: &Arc<Place>,
        remote: SocketAddr,
        limit: Option<Duration>,
    ) -> io::Result<TcpStream> {
        let mut attempt = None;
        let (id, local, remote) =
            place.call(Doing::Connects(remote), limit, true, move |cx: &mut Cx<'_>| {
                let id = match attempt {
                    Some(id) => id,
                    None => match cx.stack.connect(cx.now, remote, None, None, OWNER) {
                        Ok(id) => *attempt.insert(id),
                        Err(error) => return Some(Err(refused(error))),
                    },
                };
                let ended = match cx.stack.conn(id).map(|conn| (conn.error(), conn.state())) {
                    None => StreamError::NotConnected,
                    Some((Some(error), _)) => error,
                    Some((None, State::SynSent | State::SynReceived)) if cx.over => StreamError::TimedOut,
                    Some((None, State::SynSent | State::SynReceived)) => return None,
                    Some((None, _)) => {
                        let (local, remote) = cx.stack.addrs_of(id)?;
                        return Some(Ok((id, local, remote)));
                    }
                };
                cx.stack.release(cx.now, id);
                Some(Err(ended.into()))
            })?;
        Ok(TcpStream::new(place, id, local, remote))
    }

    /// This end.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.inner.local)
    }

    /// The other end.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.inner.remote)
    }

    /// Another handle to the same connection: one task reads, another one writes.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream { inner: self.inner.clone() })
    }

    /// How long a read waits for bytes; `None` for ever. Then it fails with `WouldBlock`, as on Unix.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.settings().read = limit.map(not_zero).transpose()?;
        Ok(())
    }

    /// How long a write waits for room; `None` for ever. Then it fails with `WouldBlock`, as on Unix.
    ///
    /// # Errors
    /// `InvalidInput` for a time of zero.
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.settings().write = limit.map(not_zero).transpose()?;
        Ok(())
    }

    /// See [`set_read_timeout`](Self::set_read_timeout).
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.settings().read)
    }

    /// See [`set_write_timeout`](Self::set_write_timeout).
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.settings().write)
    }

    /// Whether reads and writes fail with `WouldBlock` where they would wait.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.settings().at_once = on;
        Ok(())
    }

    fn settings(&self) -> std::sync::MutexGuard<'_, Settings> {
        locked(&self.inner.settings)
    }

    /// Reads and leaves it there.
    ///
    /// # Errors
    /// As reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.get(buf, true)
    }

    fn get(&self, buf: &mut [u8], peek: bool) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let Connected { place, id, local, remote, .. } = &*self.inner;
        let (id, most, settings) = (*id, buf.len(), *self.settings());
        let limit = if settings.at_once { Some(Duration::ZERO) } else { settings.read };
        let data = place.call(Doing::Reads(*local, *remote), limit, false, move |cx: &mut Cx<'_>| {
            let most = most.min(cx.scratch.len());
            let mut stream = cx.stack.stream(cx.now, id);
            let into = &mut cx.scratch[..most];
            match if peek { stream.peek(into) } else { stream.read(into) } {
                Ok(n) => Some(Ok(into[..n].to_vec())),
                Err(StreamError::WouldBlock) if !cx.over => None,
                Err(error) => Some(Err(error.into())),
            }
        })?;
        buf[..data.len()].copy_from_slice(&data);
        Ok(data.len())
    }

    fn put(&self, data: &[u8]) -> io::Result<usize> {
        let Connected { place, id, local, remote, .. } = &*self.inner;
        let (id, settings) = (*id, *self.settings());
        let limit = if settings.at_once { Some(Duration::ZERO) } else { settings.write };
        let data = data[..data.len().min(PIECE)].to_vec();
        place.call(Doing::Writes(*local, *remote), limit, true, move |cx: &mut Cx<'_>| {
            match cx.stack.stream(cx.now, id).write(&data) {
                Ok(n) => Some(Ok(n)),
                Err(StreamError::WouldBlock) if data.is_empty() => Some(Ok(0)),
                Err(StreamError::WouldBlock) if !cx.over => None,
                Err(error) => Some(Err(error.into())),
            }
        })
    }

    /// Switches Nagle's algorithm off (`true`), or on as the knob `tcp.nagle` says.
    ///
    /// # Errors
    /// The caller is no task of this host.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        let id = self.inner.id;
        self.inner.place.ask(move |now, stack| {
            let usual = match stack.config().tcp.nagle {
                Nagle::Off => Nagle::Minshall,
                usual => usual,
            };
            stack.set_opts(now, id, |opts| opts.nagle = if on { Nagle::Off } else { usual });
        })
    }

    /// Whether Nagle's algorithm is off.
    ///
    /// # Errors
    /// The caller is no task of this host.
    pub fn nodelay(&self) -> io::Result<bool> {
        let id = self.inner.id;
        self.inner
            .place
            .ask(move |_, stack| stack.conn(id).is_some_and(|conn| conn.opts().nagle == Nagle::Off))
    }

    /// What dropping the last handle does (`SO_LINGER`): `None` sends what was written in the background, zero resets.
    ///
    /// # Errors
    /// The caller is no task of this host.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set_opts(move |opts| opts.linger = linger)
    }

    /// Changes socket options: Nagle's algorithm, cork, lingering.
    ///
    /// # Errors
    /// The caller is no task of this host.
    pub fn set_opts(&self, change: impl FnOnce(&mut Opts) + Send + 'static) -> io::Result<()> {
        let id = self.inner.id;
        self.inner.place.ask(move |now, stack| stack.set_opts(now, id, change))
    }

    /// What the time of the connection went to so far: see [`World::ledger`](super::super::World::ledger). Nothing when
    /// the caller is no task of this host.
    pub fn ledger(&self) -> Parts {
        let id = self.inner.id;
        let parts = self.inner.place.ask(move |now, stack| stack.ledger(now, id));
        parts.ok().flatten().unwrap_or_default()
    }

    /// How the connection is doing (`TCP_INFO`).
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone; the caller is no task of this host.
    pub fn info(&self) -> io::Result<Info> {
        let id = self.inner.id;
        let info = self.inner.place.ask(move |now, stack| stack.info(now, id))?;
        info.ok_or_else(|| StreamError::NotConnected.into())
    }

    /// Closes one side or both; takes std's [`Shutdown`](std::net::Shutdown), too.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone; the caller is no task of this host.
    pub fn shutdown(&self, how: impl Into<Shutdown>) -> io::Result<()> {
        let (id, how) = (self.inner.id, how.into());
        self.inner.place.call(Doing::Asks, None, true, move |cx: &mut Cx<'_>| {
            if cx.stack.conn(id).is_none() {
                return Some(Err(StreamError::NotConnected.into()));
            }
            cx.stack.shutdown(cx.now, id, how);
            Some(Ok(()))
        })
    }

    /// Ends the connection with a RST.
    pub fn abort(&self) {
        let id = self.inner.id;
        self.inner.place.chore(true, move |now, stack| stack.stream(now, id).abort());
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connected { local, remote, .. } = &*self.inner;
        f.debug_struct("TcpStream").field("addr", local).field("peer", remote).finish()
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.get(buf, false)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.put(data)
    }

    /// Does nothing, as with std: nothing is held back here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.get(buf, false)
    }
}

impl Write for TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.put(data)
    }

    /// Does nothing, as with std: nothing is held back here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn locked<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn not_zero(limit: Duration) -> io::Result<Duration> {
    if limit.is_zero() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
    }
    Ok(limit)
}

fn refused(error: StackError) -> io::Error {
    let kind = match error {
        StackError::AddrInUse => io::ErrorKind::AddrInUse,
        StackError::AddrNotAvailable { .. } => io::ErrorKind::AddrNotAvailable,
        StackError::InvalidDestination => io::ErrorKind::InvalidInput,
    };
    io::Error::new(kind, error)
}

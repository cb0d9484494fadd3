//! How does a program accept connections? Like `std::net::TcpListener`.

use super::handle::{Handle, gone};
use super::stream::{TcpStream, each_address};
use crate::stack::{Keyring, ListenerId};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a listener's handles and the runtime share: whether it is worth asking for a connection.
pub(super) struct Door {
    pub(super) id: ListenerId,
    pub(super) local: SocketAddr,
    nonblocking: AtomicBool,
    state: Mutex<DoorState>,
    changed: Condvar,
}

#[derive(Default)]
struct DoorState {
    /// How often somebody has knocked.
    knocks: u64,
    closed: bool,
}

impl Door {
    pub(super) fn new(id: ListenerId, local: SocketAddr) -> Door {
        Door {
            id,
            local,
            nonblocking: AtomicBool::new(false),
            state: Mutex::new(DoorState::default()),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, DoorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection waits.
    pub(super) fn knock(&self) {
        self.lock().knocks += 1;
        self.changed.notify_all();
    }

    /// None will come any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// A listening socket of the stack. Dropping the last clone closes it; connections that nobody accepted are reset.
pub struct TcpListener {
    inner: Arc<Inner>,
}

struct Inner {
    door: Arc<Door>,
    handle: Handle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let id = self.door.id;
        // Without a runtime there is nothing to close.
        let _ = self.handle.run_later(move |core, now| core.close_listener(now, id));
    }
}

impl TcpListener {
    /// Listens on an address of the stack; `0.0.0.0` and `[::]` are all of them, port 0 is a free one. As in std, the
    /// first address that works is taken.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable` if it is no address of this stack.
    pub fn bind(handle: &Handle, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::bind_with_backlog(handle, addr, None)
    }

    /// [`bind`](Self::bind) with room for `backlog` connections that wait to be accepted;
    /// `None` takes the knob `tcp.backlog`.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind).
    pub fn bind_with_backlog(
        handle: &Handle,
        addr: impl ToSocketAddrs,
        backlog: Option<u32>,
    ) -> io::Result<TcpListener> {
        each_address(addr, |addr| {
            let door = handle.run(move |core, _| core.listen(addr, backlog))??;
            Ok(TcpListener { inner: Arc::new(Inner { door, handle: handle.clone() }) })
        })
    }

    /// The keys that sign the segments of the peers in the ring (RFC 2385), from the SYN on; those of the others are not
    /// signed.
    ///
    /// # Errors
    /// `NotConnected` when the stack has shut down.
    pub fn set_keys(&self, keys: Keyring) -> io::Result<()> {
        let id = self.inner.door.id;
        self.inner.handle.run(move |core, _| core.stack.set_listener_keys(id, keys))
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// `WouldBlock` if the listener is non-blocking and none is there, `NotConnected` when the stack has shut down.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Inner { door, handle } = &*self.inner;
        let id = door.id;
        loop {
            let seen = {
                let state = door.lock();
                if state.closed {
                    return Err(gone());
                }
                state.knocks
            };
            if let Some(socket) = handle.run(move |core, _| core.accept(id))? {
                let remote = socket.remote;
                return Ok((TcpStream::new(handle.clone(), socket), remote));
            }
            if door.nonblocking.load(Relaxed) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let mut state = door.lock();
            while state.knocks == seen && !state.closed {
                state = door.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// The connections, one after the other; it ends never, as in std.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.inner.door.local)
    }

    /// Another handle to the same listener.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener { inner: self.inner.clone() })
    }

    /// Whether `accept` returns `WouldBlock` instead of waiting, for all clones.
    ///
    /// # Errors
    /// None; the signature is that of std.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.inner.door.nonblocking.store(on, Relaxed);
        Ok(())
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("addr", &self.inner.door.local).finish()
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

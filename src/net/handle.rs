//! How does a thread talk to the runtime's thread?

use super::core::Core;
use crate::stack::{ConnId, Stack};
use crate::time::Instant;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rustix::event::{EventfdFlags, eventfd};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

type Job = Box<dyn FnOnce(&mut Core, Instant) + Send>;

/// What the runtime is asked to do.
///
/// The channel needs no bound: a thread waits for the answer to its call, and a connection has one kick under way at
/// most.
pub(super) enum Command {
    /// A connection's queues have changed.
    Kick(ConnId),
    /// A call into the stack.
    Run(Job),
    /// Shut down within this time.
    Stop(Duration),
}

/// The way to a running stack; clones lead to the same one.
#[derive(Clone)]
pub struct Handle(Arc<Line>);

struct Line {
    commands: Sender<Command>,
    bell: Arc<Bell>,
}

/// Wakes the runtime up, with a system call only if it sleeps.
pub(super) struct Bell {
    asleep: AtomicBool,
    fd: OwnedFd,
    /// The runtime's own thread, which must never wait for itself.
    thread: OnceLock<ThreadId>,
}

impl Bell {
    fn ring(&self) {
        // Pairs with the fence in `fall_asleep`: either the sleeper sees the command, or we see that it sleeps.
        fence(SeqCst);
        if self.asleep.swap(false, SeqCst) {
            // A full counter means that it is awake anyway.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// The runtime is about to sleep unless `idle` says that there is something to do after all.
    pub(super) fn fall_asleep(&self, idle: impl FnOnce() -> bool) -> bool {
        self.asleep.store(true, SeqCst);
        fence(SeqCst);
        let sleeps = idle();
        if !sleeps {
            self.asleep.store(false, SeqCst);
        }
        sleeps
    }

    /// The runtime is awake; `rung` tells whether its descriptor was readable.
    pub(super) fn wake_up(&self, rung: bool) {
        self.asleep.store(false, SeqCst);
        if rung {
            let _ = rustix::io::read(&self.fd, &mut [0; 8]);
        }
    }

    /// The runtime runs in the calling thread.
    pub(super) fn adopt_thread(&self) {
        let _ = self.thread.set(thread::current().id());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    pub(super) fn new() -> io::Result<(Handle, Receiver<Command>, Arc<Bell>)> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell = Arc::new(Bell { asleep: AtomicBool::new(false), fd, thread: OnceLock::new() });
        let (commands, receiver) = unbounded();
        Ok((Handle(Arc::new(Line { commands, bell: bell.clone() })), receiver, bell))
    }

    /// Runs `f` on the stack, in its thread, and returns what it returns: totals, state, settings, sockets for services.
    ///
    /// The stack stands still meanwhile, so `f` must be quick and must not block. If it panics, the runtime ends.
    ///
    /// # Errors
    /// `NotConnected` when the runtime has ended, `Deadlock` when called from the runtime's own thread.
    pub fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Stack, Instant) -> R + Send + 'static,
    ) -> io::Result<R> {
        self.run(|core, now| f(&mut core.stack, now))
    }

    /// Looks a host name up with the stack's name servers; a literal address is returned as it is.
    ///
    /// # Errors
    /// `NotFound`, `TimedOut`, `InvalidInput` for an impossible name, `NetworkUnreachable` without a name server.
    pub fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(addr) = name.parse() {
            return Ok(vec![addr]);
        }
        let name = name.to_owned();
        let answer = self.run(move |core, now| core.resolve(now, &name))??;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Runs `f` in the runtime's thread and waits for its result.
    pub(super) fn run<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Core, Instant) -> R + Send + 'static,
    ) -> io::Result<R> {
        if self.0.bell.thread.get() == Some(&thread::current().id()) {
            return Err(io::Error::new(
                io::ErrorKind::Deadlock,
                "a handle was used in the stack's own thread: use the stack that the service was given",
            ));
        }
        let (answer, result) = bounded(1);
        self.send(Command::Run(Box::new(move |core, now| {
            let _ = answer.send(f(core, now));
        })))?;
        // If the runtime ends first, the closure is dropped and its sender with it.
        result.recv().map_err(|_| gone())
    }

    /// Runs `f` in the runtime's thread some time.
    pub(super) fn run_later(&self, f: impl FnOnce(&mut Core, Instant) + Send + 'static) -> io::Result<()> {
        self.send(Command::Run(Box::new(f)))
    }

    /// Asks for something without waiting for it.
    pub(super) fn send(&self, command: Command) -> io::Result<()> {
        self.0.commands.send(command).map_err(|_| gone())?;
        self.0.bell.ring();
        Ok(())
    }
}

/// The runtime has ended.
pub(super) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the network stack has been shut down")
}

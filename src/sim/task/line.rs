//! What passes between a task and its world? Calls, one at a time, and their answers.

use super::runner::Runner;
use crate::stack::{ConnId, Owner, Stack};
use crate::time::{Duration, Instant};
use crossbeam_channel::{Receiver, Sender};
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Whose sockets those of tasks are.
pub(super) const OWNER: Owner = Owner(u16::MAX - 1);

/// What a task waits for, in words for who looks for a deadlock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Doing {
    Accepts(SocketAddr),
    Connects(SocketAddr),
    Reads(SocketAddr, SocketAddr),
    Writes(SocketAddr, SocketAddr),
    LooksUp(Arc<str>),
    Sleeps,
    Joins(u32),
    /// What is answered at once.
    Asks,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doing::Accepts(local) => write!(f, "waits for a connection to {local}"),
            Doing::Connects(remote) => write!(f, "connects to {remote}"),
            Doing::Reads(local, remote) => write!(f, "reads at {local} what {remote} sends"),
            Doing::Writes(local, remote) => write!(f, "writes at {local}, and {remote} takes no more"),
            Doing::LooksUp(name) => write!(f, "looks up {name}"),
            Doing::Sleeps => f.write_str("sleeps"),
            Doing::Joins(task) => write!(f, "joins task {task}"),
            Doing::Asks => f.write_str("runs"),
        }
    }
}

/// What a call works on while it is tried.
pub(super) struct Cx<'a> {
    pub now: Instant,
    pub stack: &'a mut Stack,
    /// The time that the call may take is over.
    pub over: bool,
    /// Room for what is read.
    pub scratch: &'a mut [u8],
    /// Tasks that the call begins.
    pub begun: &'a mut Vec<Runner>,
}

pub(super) type Answer = Box<dyn Any + Send>;
type Attempt = Box<dyn FnMut(&mut Cx<'_>) -> Option<Answer> + Send>;

/// Something that a task asks of its world: tried until it has an answer.
pub(super) struct Call {
    pub doing: Doing,
    /// How long it is tried; `None` for ever.
    pub limit: Option<Duration>,
    /// It may have made something to send: that leaves before the task goes on, as if it had entered a kernel.
    pub sends: bool,
    pub attempt: Attempt,
}

/// What all tasks of a world share.
#[derive(Default)]
pub(in crate::sim) struct Common {
    /// The hosts' own names.
    pub hosts: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    /// Tasks begun so far.
    pub tasks: AtomicU32,
    /// Tasks that wait for something which is not of this world.
    pub outside: AtomicU32,
    /// Something has happened that may concern tasks although no packet came: they are to be looked at.
    pub look: AtomicBool,
}

/// What the tasks and sockets of one host share.
pub(in crate::sim) struct Place {
    pub name: String,
    /// The host's first address.
    pub local: IpAddr,
    pub common: Arc<Common>,
    /// What is to be done for sockets that were dropped where nobody can wait for it.
    pub chores: Mutex<Vec<Chore>>,
}

pub(in crate::sim) type Chore = Box<dyn FnOnce(Instant, &mut Stack) + Send>;

impl Place {
    /// Has something done that nobody waits for: at once by a task of this host, else when the host has its next turn.
    pub fn chore(self: &Arc<Place>, sends: bool, work: impl FnOnce(Instant, &mut Stack) + Send + 'static) {
        let mut work = Some(Box::new(work) as Chore);
        if let Some(line) = Line::current().filter(|line| Arc::ptr_eq(&line.place, self)) {
            let mut work = work.take();
            let attempt = move |cx: &mut Cx<'_>| {
                if let Some(work) = work.take() {
                    work(cx.now, cx.stack);
                }
                Some(Box::new(()) as Answer)
            };
            line.last_call(Call { doing: Doing::Asks, limit: None, sends, attempt: Box::new(attempt) });
            return;
        }
        self.chores.lock().unwrap_or_else(PoisonError::into_inner).extend(work);
        self.common.look.store(true, Ordering::Relaxed);
    }

    /// Lets go of a connection.
    pub fn release(self: &Arc<Place>, id: ConnId) {
        self.chore(true, move |now, stack| stack.release(now, id));
    }

    /// Hands a call to the world and waits for its answer.
    ///
    /// # Errors
    /// The call's own, or the caller is no task of this host.
    pub(super) fn call<R: Send + 'static>(
        self: &Arc<Place>,
        doing: Doing,
        limit: Option<Duration>,
        sends: bool,
        mut attempt: impl FnMut(&mut Cx<'_>) -> Option<io::Result<R>> + Send + 'static,
    ) -> io::Result<R> {
        let line = Line::current().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "this thread is no task of a simulated world, whose sockets wait in virtual time: begin it with \
                 `Net::spawn` or `World::spawn`",
            )
        })?;
        if !Arc::ptr_eq(&line.place, self) {
            let text = format!("a socket of {} is used by a task on {}", self.name, line.place.name);
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let attempt = Box::new(move |cx: &mut Cx<'_>| attempt(cx).map(|answer| Box::new(answer) as Answer));
        let answer = line.call(Call { doing, limit, sends, attempt });
        *answer.downcast::<io::Result<R>>().expect("the answer is what this call's attempt returned")
    }

    /// A call that is answered at once.
    ///
    /// # Errors
    /// As [`Place::call`].
    pub fn ask<R: Send + 'static>(
        self: &Arc<Place>,
        ask: impl FnOnce(Instant, &mut Stack) -> R + Send + 'static,
    ) -> io::Result<R> {
        let mut ask = Some(ask);
        self.call(Doing::Asks, None, false, move |cx| ask.take().map(|ask| Ok(ask(cx.now, cx.stack))))
    }
}

/// The payload with which a task's thread unwinds when its world is gone.
pub(super) struct WorldEnded;

/// A task's end of the way to its world; each task's thread has one.
pub(super) struct Line {
    pub calls: Sender<Call>,
    pub answers: Receiver<Answer>,
    pub place: Arc<Place>,
}

thread_local! {
    static LINE: RefCell<Option<Rc<Line>>> = const { RefCell::new(None) };
}

impl Line {
    /// That of this thread; none if the thread is no task.
    pub fn current() -> Option<Rc<Line>> {
        LINE.try_with(|line| line.borrow().clone()).ok().flatten()
    }

    /// Makes `line` that of this thread, or none again.
    pub fn set_current(line: Option<Rc<Line>>) {
        let before = LINE.replace(line);
        // Outside of the cell: its end may be what the world waits for.
        drop(before);
    }

    fn call(&self, call: Call) -> Answer {
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

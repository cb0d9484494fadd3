//! How does a host run its tasks? Each has a thread, and the host goes on when that thread waits for it.

use super::line::{Answer, Call, Cx, Line, OWNER, Place, WorldEnded};
use super::outside::{Stand, Wait};
use super::{Net, Outcome, Task};
use crate::stack::Stack;
use crate::time::{Duration, Instant};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};

/// The most that one call reads.
const PIECE: usize = 64 << 10;
/// A silent thread is looked at this often, and waits for another one if it stands at one place so many times in a row:
/// longer than anybody holds a lock of the allocator or of standard output, on a busy machine, too.
const GLANCE: Duration = Duration::from_micros(500);
const GLANCES: u32 = 40;
/// Panics that are remembered of a host.
const FALLEN_MAX: usize = 100;
/// Before the world says that nothing will ever happen any more it looks at them so much longer.
const LAST_GLANCES: u32 = 60;

/// A task that has not ended, or has ended in a panic, and what it waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// The task's number in its world, from 1.
    pub task: u32,
    /// The name of its host.
    pub host: String,
    /// Where in the source it was begun.
    pub begun_at: String,
    /// What it does: `waits for a connection to 10.0.0.2:80`.
    pub doing: String,
    /// Since when.
    pub since: Instant,
}

/// `task 2 on server (tests/proxy.rs:31) waits for a connection to 10.0.0.2:80 since 0.120 s`
impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Waiting { task, host, begun_at, doing, since } = self;
        write!(f, "task {task} on {host} ({begun_at}) {doing} since {since}")
    }
}

enum Phase {
    /// It has not begun.
    Fresh,
    /// It computes, or waits for what is not of this world.
    Runs(Option<Wait>),
    /// It waits for the answer to a call, perhaps only until then.
    Calls(Call, Option<Instant>),
    Ended,
}

/// A task, seen from its world.
pub(super) struct Runner {
    number: u32,
    begun_at: &'static Location<'static>,
    phase: Phase,
    since: Instant,
    /// What it did may have made something to send: the host sends before it goes on.
    sends_first: bool,
    stand: Receiver<Stand>,
    stands: Option<Stand>,
    calls: Receiver<Call>,
    answers: Option<Sender<Answer>>,
    thread: Option<JoinHandle<()>>,
    /// What it said when it panicked.
    fell: Arc<std::sync::Mutex<Option<String>>>,
}

/// Makes a task and what runs it; nothing happens before its first turn.
///
/// # Panics
/// No thread can be had.
pub(super) fn new<T: Send + 'static>(
    place: &Arc<Place>,
    begun_at: &'static Location<'static>,
    body: impl FnOnce(&Net) -> T + Send + 'static,
) -> (Task<T>, Runner) {
    let number = place.common.tasks.fetch_add(1, Ordering::Relaxed) + 1;
    let outcome: Outcome<T> = Outcome::new();
    let (calls_out, calls) = bounded(1);
    let (answers, answers_in) = bounded::<Answer>(1);
    let (stand_out, stand) = bounded(1);
    let (result, here) = (outcome.clone(), place.clone());
    let fell = Arc::new(std::sync::Mutex::new(None));
    let last_words = fell.clone();
    let thread = thread::Builder::new().name(format!("task {number} on {}", place.name));
    let thread = thread.spawn(move || {
        let _ = stand_out.send(Stand::here());
        let line = Line { calls: calls_out, answers: answers_in, place: here.clone() };
        if line.answers.recv().is_err() {
            return;
        }
        Line::set_current(Some(Rc::new(line)));
        let ended = catch_unwind(AssertUnwindSafe(|| body(&Net { place: here })));
        match &ended {
            Err(panic) if panic.is::<WorldEnded>() => {}
            Err(panic) => {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
                *last_words.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.to_owned());
                result.put(ended);
            }
            Ok(_) => result.put(ended),
        }
        // Only now the world goes on: it finds the result.
        Line::set_current(None);
    });
    let thread = thread.unwrap_or_else(|error| panic!("no thread for task {number}: {error}"));
    let runner = Runner {
        number,
        begun_at,
        phase: Phase::Fresh,
        since: Instant::ZERO,
        sends_first: false,
        stand,
        stands: None,
        calls,
        answers: Some(answers),
        thread: Some(thread),
        fell,
    };
    (Task { outcome, number }, runner)
}

/// What comes of waiting for a task's next call.
enum Heard {
    Call(Call),
    Ended,
    /// None comes before another task does something.
    Outside(Wait),
}

impl Runner {
    /// Waits until the thread makes its next call, ends, or waits for another thread; `known` is where it stood
    /// when it was looked at last.
    fn hear(&mut self, known: Option<Wait>) -> Heard {
        let (mut last, mut same) = (None, 0);
        // One that has not moved is left alone at once.
        let mut pause = if known.is_some() { Duration::ZERO } else { GLANCE };
        loop {
            match self.calls.recv_timeout(pause) {
                Ok(call) => return Heard::Call(call),
                Err(RecvTimeoutError::Disconnected) => return Heard::Ended,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let wait = self.look();
            same = if wait.is_some() && wait == last { same + 1 } else { 0 };
            if let Some(wait) = &wait
                && (same >= GLANCES || known.as_ref() == Some(wait))
            {
                // A call that it made before it was seen waiting for the answer is there now.
                return match self.calls.try_recv() {
                    Ok(call) => Heard::Call(call),
                    Err(TryRecvError::Disconnected) => Heard::Ended,
                    Err(TryRecvError::Empty) => Heard::Outside(wait.clone()),
                };
            }
            (last, pause) = (wait, GLANCE);
        }
    }

    fn look(&mut self) -> Option<Wait> {
        if self.stands.is_none() {
            self.stands = self.stand.try_recv().ok();
        }
        self.stands.as_ref().and_then(Stand::wait)
    }

    /// Works until it waits; true if the thread has run.
    fn turn(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut ran = false;
        loop {
            match std::mem::replace(&mut self.phase, Phase::Runs(None)) {
                Phase::Ended => {
                    self.end();
                    return ran;
                }
                Phase::Fresh => {
                    self.since = cx.now;
                    self.answer(Box::new(()));
                }
                Phase::Runs(known) => {
                    let was_outside = known.is_some();
                    let heard = self.hear(known);
                    ran |= !(was_outside && matches!(heard, Heard::Outside(_)));
                    match heard {
                        Heard::Ended => self.phase = Phase::Ended,
                        Heard::Call(call) => self.called(cx.now, call),
                        Heard::Outside(wait) => {
                            if !was_outside {
                                self.since = cx.now;
                            }
                            self.phase = Phase::Runs(Some(wait));
                            return ran;
                        }
                    }
                    if self.sends_first && !matches!(self.phase, Phase::Ended) {
                        return ran;
                    }
                }
                Phase::Calls(mut call, until) => {
                    self.sends_first = false;
                    cx.over = until.is_some_and(|until| until <= cx.now);
                    match (call.attempt)(cx) {
                        Some(answer) => {
                            self.sends_first = call.sends;
                            self.answer(answer);
                        }
                        None => {
                            self.phase = Phase::Calls(call, until);
                            return ran;
                        }
                    }
                }
            }
        }
    }

    fn called(&mut self, now: Instant, call: Call) {
        self.since = now;
        let until = call.limit.map(|limit| now + limit);
        self.phase = Phase::Calls(call, until);
    }

    fn answer(&mut self, answer: Answer) {
        if let Some(answers) = &self.answers {
            let _ = answers.send(answer);
        }
    }

    fn is_outside(&self) -> bool {
        matches!(self.phase, Phase::Runs(Some(_)))
    }

    /// Nothing happens any more unless a task that waits outside comes back: waits for it a little, and for as long as
    /// it has a time-out of its own. True if it came back.
    fn comes_back(&mut self, now: Instant) -> bool {
        let mut glances = 0;
        while self.is_outside() && glances < LAST_GLANCES {
            match self.calls.recv_timeout(GLANCE) {
                Ok(call) => self.called(now, call),
                Err(RecvTimeoutError::Disconnected) => self.phase = Phase::Ended,
                Err(RecvTimeoutError::Timeout) => match self.look() {
                    Some(wait) if !wait.has_limit() => glances += 1,
                    _ => glances = 0,
                },
            }
        }
        !self.is_outside()
    }

    /// The thread finds that there is no world any more, unless it has ended itself.
    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.answers = None;
        // Destructors may have something to say yet. One that waits for another thread ends when that does.
        loop {
            match self.hear(None) {
                Heard::Call(_) => {}
                Heard::Outside(_) => return drop(self.thread.take()),
                Heard::Ended => break,
            }
        }
        if let Some(thread) = self.thread.take() {
            // It has caught its own panic.
            let _ = thread.join();
        }
    }

    fn waiting(&self, host: &str) -> Option<Waiting> {
        let fell = self.fell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let doing = match (&self.phase, fell) {
            (_, Some(words)) => format!("has panicked ({words})"),
            (Phase::Ended, None) => return None,
            (Phase::Fresh, None) => "has not begun".into(),
            (Phase::Runs(_), None) => "waits for a lock or a channel, that is for another task".into(),
            (Phase::Calls(call, _), None) => call.doing.to_string(),
        };
        let begun_at = format!("{}:{}", self.begun_at.file(), self.begun_at.line());
        Some(Waiting { task: self.number, host: host.into(), begun_at, doing, since: self.since })
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

/// The tasks of a host.
pub(in crate::sim) struct Tasks {
    place: Arc<Place>,
    runners: Vec<Runner>,
    /// Those that ended in a panic.
    fallen: Vec<Waiting>,
    /// How many of them the world believes to wait outside.
    outside: u32,
    scratch: Vec<u8>,
}

impl Tasks {
    pub fn new(place: Arc<Place>) -> Tasks {
        Tasks { place, runners: Vec::new(), fallen: Vec::new(), outside: 0, scratch: Vec::new() }
    }

    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    pub(super) fn add(&mut self, runner: Runner) {
        self.runners.push(runner);
    }

    /// All work until they wait.
    pub fn turn(&mut self, now: Instant, stack: &mut Stack) {
        let chores = std::mem::take(&mut *self.place.chores.lock().unwrap_or_else(PoisonError::into_inner));
        chores.into_iter().for_each(|chore| chore(now, stack));
        if self.runners.is_empty() {
            return;
        }
        self.scratch.resize(PIECE, 0);
        while stack.ready(OWNER).is_some() {}
        let (mut ran, mut begun, mut next) = (false, Vec::new(), 0);
        while let Some(runner) = self.runners.get_mut(next) {
            let scratch = &mut self.scratch;
            ran |= runner.turn(&mut Cx { now, stack, over: false, scratch, begun: &mut begun });
            self.runners.append(&mut begun);
            next += 1;
        }
        let ended = |runner: &mut Runner| matches!(runner.phase, Phase::Ended);
        for runner in self.runners.extract_if(.., ended) {
            // Somebody may wait for its end.
            self.place.common.look.store(true, Ordering::Relaxed);
            if self.fallen.len() < FALLEN_MAX {
                self.fallen.extend(runner.waiting(&self.place.name));
            }
        }
        let outside = self.runners.iter().filter(|runner| runner.is_outside()).count() as u32;
        let common = &self.place.common;
        common.outside.fetch_add(outside.wrapping_sub(self.outside), Ordering::Relaxed);
        self.outside = outside;
        // What one has done may be what another one waits for, here or on another host.
        if ran && common.outside.load(Ordering::Relaxed) > 0 {
            common.look.store(true, Ordering::Relaxed);
        }
    }

    /// See [`Runner::comes_back`].
    pub fn come_back(&mut self, now: Instant) -> bool {
        self.runners.iter_mut().any(|runner| runner.is_outside() && runner.comes_back(now))
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.runners
            .iter()
            .filter_map(|runner| match &runner.phase {
                Phase::Fresh => Some(Instant::ZERO),
                Phase::Calls(..) if runner.sends_first => Some(Instant::ZERO),
                Phase::Calls(_, until) => *until,
                Phase::Runs(_) | Phase::Ended => None,
            })
            .min()
    }

    pub fn have_ended(&self) -> bool {
        self.runners.is_empty()
    }

    /// Those that have not ended, or in a panic.
    pub fn waiting(&self) -> impl Iterator<Item = Waiting> {
        let running = self.runners.iter().filter_map(|runner| runner.waiting(&self.place.name));
        self.fallen.iter().cloned().chain(running)
    }
}

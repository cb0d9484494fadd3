//! Who is let in, and who answers? A thread that accepts, and one for each visitor; there are only so many.

use super::ask::{Ask, Best, Sorted};
use super::place::Claim;
use super::select::Select;
use super::{live, told};
use crate::net::Handle;
use crate::stack::Cursor;
use crate::time::{Duration, Instant};
use crate::trace::TraceOptions;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Visitors at a time; the next one is told so.
pub const VISITORS: usize = 32;
/// Those of them that may make captures: each may hold 16 MiB that wait for its reader.
pub const CAPTURES: usize = 8;
/// Sockets that the stack is asked for at a time; it has a turn of its own after each of these questions.
const CHUNK: u32 = 64;
/// The longest question, bytes.
const LONGEST: u64 = 4096;
/// How long a visitor may be silent, or not read an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are collected before they are written.
const BATCH: usize = 64 << 10;

/// What a visitor is told first.
#[derive(Clone, Debug)]
pub struct About {
    /// The command that runs the stack: `serve`.
    pub command: String,
    /// The network interface.
    pub device: String,
    /// The stack's addresses.
    pub addresses: Vec<IpAddr>,
}

/// A stack's socket. When it is dropped, it is gone, and so are its visitors.
#[derive(Debug)]
pub struct Door {
    claim: Claim,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What all visitors' threads know.
#[derive(Debug)]
pub(super) struct Shared {
    handles: Vec<Handle>,
    about: About,
    since: Instant,
    options: TraceOptions,
    captures: AtomicUsize,
    guests: Mutex<Guests>,
}

#[derive(Default, Debug)]
struct Guests {
    streams: BTreeMap<u64, UnixStream>,
    next: u64,
    closed: bool,
}

impl Door {
    /// Answers at `claim` for the stacks that `handles` lead to, one for each queue of their device; captures of a stack
    /// that is alone are made as `options` say.
    ///
    /// # Errors
    /// A stack has ended, or there is none; no thread can be started.
    pub fn open(claim: Claim, handles: Vec<Handle>, about: About, options: TraceOptions) -> io::Result<Door> {
        let first = handles.first().ok_or(io::ErrorKind::InvalidInput)?;
        let since = first.call(|_, now| now)?;
        let (captures, guests) = (AtomicUsize::new(0), Mutex::default());
        let shared = Arc::new(Shared { handles, about, since, options, captures, guests });
        let (listener, theirs) = (claim.listener().try_clone()?, shared.clone());
        let accept = move || {
            while !theirs.guests().closed {
                match listener.accept() {
                    Ok((stream, _)) => welcome(&theirs, stream),
                    // No descriptor is left, perhaps: others may give theirs back.
                    Err(_) => thread::park_timeout(Duration::from_millis(100)),
                }
            }
        };
        let thread = thread::Builder::new().name("door".into()).spawn(accept)?;
        Ok(Door { claim, shared, thread: Some(thread) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let mut guests = self.shared.guests();
        guests.closed = true;
        for stream in guests.streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(guests);
        // Whoever waits in `accept` is told that nobody comes any more.
        let _ = rustix::net::shutdown(self.claim.listener(), rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Gives the visitor a thread, if there is room for one more.
fn welcome(shared: &Arc<Shared>, stream: UnixStream) {
    let mut guests = shared.guests();
    if guests.closed {
        return;
    }
    let kept = stream.set_write_timeout(Some(PATIENCE)).and_then(|()| stream.try_clone());
    let (Ok(kept), true) = (kept, guests.streams.len() < VISITORS) else {
        drop(guests);
        let _ = shared.refuse(&stream, "too many visitors are here already");
        return;
    };
    let id = guests.next;
    guests.next += 1;
    guests.streams.insert(id, kept);
    drop(guests);
    let theirs = shared.clone();
    let spawned = thread::Builder::new().name("visitor".into()).spawn(move || {
        let _leaves = Leaves(&theirs, id);
        // That a visitor leaves in the middle is its own affair.
        let _ = converse(&theirs, &stream);
    });
    if spawned.is_err() {
        shared.guests().streams.remove(&id);
    }
}

/// Takes a visitor off the list, whatever it ends with.
struct Leaves<'a>(&'a Shared, u64);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.guests().streams.remove(&self.1);
    }
}

/// One of few permits.
pub(super) struct Permit<'a>(&'a AtomicUsize);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to the stack, if there is but one.
    pub(super) fn only(&self) -> Option<&Handle> {
        match self.handles.as_slice() {
            [handle] => Some(handle),
            _ => None,
        }
    }

    pub(super) fn options(&self) -> &TraceOptions {
        &self.options
    }

    /// Leave to make a capture, until it is dropped.
    pub(super) fn capture_permit(&self) -> Option<Permit<'_>> {
        let permit = Permit(&self.captures);
        (self.captures.fetch_add(1, Ordering::SeqCst) < CAPTURES).then_some(permit)
    }

    /// Says why not.
    pub(super) fn refuse(&self, stream: &UnixStream, why: &str) -> io::Result<()> {
        let line = json!({ "schema": "tcpglass.refusal/1", "error": why });
        let mut out = stream;
        out.write_all(format!("{line}\n").as_bytes())
    }

    fn greeting(&self) -> Value {
        let About { command, device, addresses } = &self.about;
        json!({
            "schema": "tcpglass.stack/1",
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "command": command,
            "device": device,
            "addresses": addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "since_us": self.since.as_micros(),
        })
    }
}

/// A line in, lines out; the first one that is wrong is the last.
fn converse(shared: &Shared, stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut out = stream;
    out.write_all(format!("{}\n", shared.greeting()).as_bytes())?;
    let mut input = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        input.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return shared.refuse(stream, "a question is one line of at most 4096 bytes");
        }
        match std::str::from_utf8(&line).map_err(|e| e.to_string()).and_then(Ask::read) {
            Ok(Ask::Sockets { select, sorted, tcp_info }) => {
                list(shared, stream, &select, sorted, tcp_info)?;
            }
            Ok(Ask::Capture { snaplen }) => return live::capture(shared, stream, snaplen),
            Err(why) => return shared.refuse(stream, &why),
        }
    }
}

/// The sockets, a few at a time, and a line on all.
fn list(
    shared: &Shared,
    mut stream: &UnixStream,
    select: &Select,
    sorted: Option<Sorted>,
    tcp_info: bool,
) -> io::Result<()> {
    let (mut matched, mut lines, mut best) = (0_u64, Vec::new(), sorted.map(Best::new));
    let write = |lines: &mut Vec<u8>, it| writeln!(lines, "{}", told::socket(&it, tcp_info));
    for handle in &shared.handles {
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            let (found, next) = handle.call(move |stack, now| stack.standings(now, at, CHUNK))?;
            for it in found.into_iter().filter(|it| select.holds(it)) {
                matched += 1;
                match &mut best {
                    Some(best) => best.add(it),
                    None => write(&mut lines, it)?,
                }
            }
            if lines.len() >= BATCH {
                stream.write_all(&lines)?;
                lines.clear();
            }
            cursor = next;
        }
    }
    for it in best.into_iter().flat_map(Best::take) {
        write(&mut lines, it)?;
    }
    let (mut at, mut sums) = (shared.since, [0; 4]);
    for handle in &shared.handles {
        let (now, parts) = handle.call(|stack, now| {
            let half_open = stack.half_open();
            let counts = [stack.open_connections() - half_open, half_open, stack.time_waits()];
            (now, [counts[0] as u64, counts[1] as u64, counts[2] as u64, stack.memory()])
        })?;
        at = at.max(now);
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
    }
    let [open, half_open, time_wait, memory] = sums;
    let totals = json!({
        "schema": "tcpglass.sockets/1",
        "at_us": at.as_micros(),
        "matched": matched,
        "open": open,
        "half_open": half_open,
        "time_wait": time_wait,
        "memory": memory,
    });
    writeln!(lines, "{totals}")?;
    stream.write_all(&lines)
}

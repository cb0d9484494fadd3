//! When does what happen? The stack behind one lock, its clock, and calls that wait.
//!
//! Nobody here has a thread: whoever calls moves time. In virtual time a call may wait only for what other calls or
//! timers bring about; when the thread that drives the script says nothing for a while, it waits for the call in turn,
//! and the waiting call itself moves time to the next timer.

use super::asserts;
use super::flags::Flags;
use super::host::{
    AF_INET, AF_INET6, Attempt, Host, LOCAL_V4, LOCAL_V6, Waiting, number, refused, unsupported,
};
use crate::script::errnos;
use crate::script::errqueue::Notice;
use crate::script::info;
use crate::script::kernel::Progress;
use crate::script::sockets::{Made, Step};
use crate::script::sockopts::Value;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

/// The number of an errno.
pub type Errno = i32;

/// How long nobody may have said anything before a waiting call moves virtual time itself.
const SILENCE: Duration = Duration::from_millis(30);
/// How long a thread that was let go may take to return.
const RETURN: Duration = Duration::from_secs(2);
/// How long, in real time, a wait for something that cannot come may last before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);
const EINVAL: Errno = 22;

/// A call that may wait.
#[derive(Clone, Debug)]
pub enum Request {
    Accept { fd: i64, nonblock: bool },
    Connect { fd: i64, addr: SocketAddr },
    Receive { fd: i64, len: usize, flags: i64 },
    Send { fd: i64, data: Vec<u8>, flags: i64, to: Option<SocketAddr>, record: Option<i64> },
    Splice { ends: (i64, i64), len: usize, flags: i64 },
    Close { fd: i64 },
    Poll { entries: Vec<(i64, i64)>, timeout: i64 },
    EpollWait { fd: i64, most: i64, timeout: i64 },
}

/// What a call returns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Value(i64),
    /// The bytes of a read; with TCP_INQ how many more there are.
    Bytes(Vec<u8>, Option<i64>),
    Ready(Vec<i64>),
    Events(Vec<(i64, u64)>),
}

/// The stack and all that packetdrill has of it.
pub struct Machine {
    inner: Mutex<Host>,
    /// Something has happened that others may wait for.
    changed: Condvar,
}

impl Machine {
    /// A stack under these conditions.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub fn new(flags: &Flags) -> Result<Machine, String> {
        Ok(Machine { inner: Mutex::new(Host::new(flags)?), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Host> {
        // A panic was answered with an errno already; what it left is as good as before.
        let mut inner = self.inner.lock().unwrap_or_else(|e| e.into_inner());
        inner.calls += 1;
        inner
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Host>, limit: Duration) -> MutexGuard<'a, Host> {
        self.changed.wait_timeout(inner, limit).unwrap_or_else(|e| e.into_inner()).0
    }

    /// Ends everything and finishes the trace.
    pub fn finish(self) {
        let inner = self.inner.into_inner().unwrap_or_else(|e| e.into_inner());
        if let Err(error) = inner.stack.into_tracer().finish() {
            eprintln!("tcpglass: {error}");
        }
    }

    // --- calls

    /// Makes a call that may wait.
    pub fn call(&self, request: Request) -> Result<Answer, Errno> {
        let mut inner = self.lock();
        self.catch_up(&mut inner);
        inner.take_over();
        if let Request::Connect { addr, .. } | Request::Send { to: Some(addr), .. } = &request {
            inner.adopt(if addr.is_ipv4() { LOCAL_V4.into() } else { LOCAL_V6.into() });
        }
        let mut progress = Progress::default();
        let wake = match inner.attempt(&request, &mut progress) {
            Attempt::Over(answer) => {
                inner.settle();
                self.changed.notify_all();
                return answer;
            }
            Attempt::Wait(wake) => wake,
        };
        inner.settle();
        let number = inner.next_call;
        inner.next_call += 1;
        inner.waiting.push(Waiting { number, request, progress, wake, answer: None });
        let (mut calls, mut silent) = (inner.calls, Duration::ZERO);
        loop {
            self.catch_up(&mut inner);
            let at = inner.waiting.iter().position(|w| w.number == number);
            if let Some(at) = at.filter(|&at| inner.waiting[at].answer.is_some()) {
                let answer = inner.waiting.remove(at).answer;
                inner.returning = inner.real.is_none().then(|| thread::current().id());
                self.changed.notify_all();
                return answer.unwrap_or(Err(EINVAL));
            }
            let pause = match (inner.real.is_some(), inner.next_event()) {
                (true, Some(next)) => next.since(inner.now).clamp(Duration::from_micros(50), PATIENCE),
                _ => SILENCE,
            };
            inner = self.wait(inner, pause);
            if inner.real.is_some() || inner.calls != calls {
                (calls, silent) = (inner.calls, Duration::ZERO);
                continue;
            }
            // Nobody else is going to move time.
            silent += SILENCE;
            if !inner.step(None) && silent > PATIENCE {
                inner.waiting.retain(|w| w.number != number);
                return Err(errnos::number("ETIMEDOUT").unwrap_or(0) as Errno);
            }
        }
    }

    /// Makes a call that returns at once.
    fn now<R>(&self, call: impl FnOnce(&mut Host) -> R) -> R {
        let mut inner = self.lock();
        self.catch_up(&mut inner);
        inner.take_over();
        let result = call(&mut inner);
        inner.settle();
        self.changed.notify_all();
        result
    }

    /// Makes a socket.
    pub fn socket(&self, family: u16, kind: i64, protocol: i64) -> Result<Answer, Errno> {
        self.now(|inner| {
            if !matches!(family, AF_INET | AF_INET6) || kind & 0xf != 1 || !matches!(protocol, 0 | 6) {
                return unsupported(format_args!("socket({family}, {kind}, {protocol})"));
            }
            let changes = inner.sysctls.changes();
            let changed =
                changes.and_then(|changes| inner.sockets.change(&mut inner.stack, inner.now, &changes));
            if let Err(what) = changed {
                return unsupported(format_args!("{what}"));
            }
            let step = Step::Made(Made::Socket { nonblock: kind & 0o4000 != 0, datagrams: false });
            let answer = inner.answer(Ok(step))?;
            if let Answer::Value(fd) = answer {
                inner.families.insert(fd, family);
            }
            Ok(answer)
        })
    }

    /// Makes a pipe: the end to read from, the end to write to.
    pub fn pipe(&self) -> Result<[i64; 2], Errno> {
        self.now(|inner| {
            let mut ends = [0; 2];
            for (end, made) in ends.iter_mut().zip(inner.kernel().pipe()) {
                if let Answer::Value(fd) = inner.answer(Ok(Step::Made(made)))? {
                    *end = fd;
                }
            }
            Ok(ends)
        })
    }

    /// Makes an epoll instance.
    pub fn epoll_create(&self) -> Result<Answer, Errno> {
        self.now(|inner| inner.answer(Ok(Step::Made(Made::Epoll))))
    }

    pub fn bind(&self, fd: i64, addr: SocketAddr) -> Result<Answer, Errno> {
        self.now(|inner| {
            inner.adopt(addr.ip());
            inner.with_kernel(|kernel| kernel.bind(fd, addr))
        })
    }

    pub fn listen(&self, fd: i64, backlog: i64) -> Result<Answer, Errno> {
        self.now(|inner| inner.with_kernel(|kernel| kernel.listen(fd, backlog)))
    }

    pub fn shutdown(&self, fd: i64, how: i64) -> Result<Answer, Errno> {
        self.now(|inner| inner.with_kernel(|kernel| Ok(kernel.shutdown(fd, how))))
    }

    pub fn fcntl(&self, fd: i64, command: i64, value: i64) -> Result<Answer, Errno> {
        self.now(|inner| inner.with_kernel(|kernel| refused(kernel.fcntl(fd, command, value))))
    }

    /// The number that a request asks for, or none if it sets one.
    pub fn ioctl(&self, fd: i64, request: i64, value: i64) -> Result<Option<i64>, Errno> {
        self.now(|inner| match inner.kernel().ioctl(fd, request, value) {
            Ok(answer) => answer.map_err(number),
            Err(what) => unsupported(format_args!("{what}")),
        })
    }

    pub fn setsockopt(&self, fd: i64, option: (i64, i64), value: &Value) -> Result<Answer, Errno> {
        self.now(|inner| {
            let now = inner.now;
            inner.with_kernel(|k| refused(k.sockets.set_option(k.stack, now, fd, option, value)))
        })
    }

    pub fn getsockopt(&self, fd: i64, option: (i64, i64), len: usize) -> Result<Value, Errno> {
        self.now(|inner| {
            inner.sockets.domain = inner.families.get(&fd).copied().unwrap_or(AF_INET).into();
            match inner.sockets.option(&mut inner.stack, fd, option, len) {
                Ok(answer) => answer.map_err(number),
                Err(what) => unsupported(format_args!("{what}")),
            }
        })
    }

    /// `struct tcp_info` of a connection of ours.
    pub fn tcp_info(&self, fd: i64) -> Option<[u8; asserts::SIZE]> {
        self.now(|inner| {
            inner.sockets.table.get(&fd)?;
            let lookup = |name: &str| info::tcp_info(&inner.stack, &inner.sockets, inner.now, fd, name);
            Some(asserts::tcp_info(lookup))
        })
    }

    /// `connect` to AF_UNSPEC.
    pub fn disconnect(&self, fd: i64) -> Result<Answer, Errno> {
        self.now(|inner| inner.with_kernel(|kernel| kernel.disconnect(fd)))
    }

    /// Whether the descriptor is one of ours.
    pub fn knows(&self, fd: i64) -> bool {
        self.lock().sockets.table.contains_key(&fd)
    }

    /// Whether there are bytes to read.
    pub fn has_something(&self, fd: i64) -> bool {
        let inner = self.lock();
        let live = inner.sockets.conn(fd).and_then(|conn| inner.stack.conn(conn.id));
        live.is_some_and(|live| live.readable() > 0)
    }

    /// What SO_MEMINFO says about a socket of ours: of nine numbers the limits of its two buffers, and what is queued.
    pub fn memory(&self, fd: i64) -> Option<Vec<u8>> {
        let number = |name| match self.getsockopt(fd, (1, name), 4) {
            Ok(Value::Int(value)) => value as u32,
            _ => 0,
        };
        self.now(|inner| inner.sockets.table.get(&fd).map(|_| ()))?;
        let (received, send) = (number(8), number(7));
        Some([0, received, 0, send, 0, 0, 0, 0, 0].iter().flat_map(|n: &u32| n.to_ne_bytes()).collect())
    }

    /// The next message of a socket's error queue.
    pub fn notice(&self, fd: i64) -> Result<Notice, Errno> {
        self.now(|inner| inner.kernel().notice(fd).map_err(number))
    }

    /// Whether a socket is one of IPv6, whatever it speaks to.
    pub fn is_v6(&self, fd: i64) -> bool {
        self.lock().families.get(&fd) == Some(&AF_INET6)
    }

    pub fn epoll_ctl(&self, epoll: i64, op: i64, fd: i64, event: (i64, u64)) -> Result<Answer, Errno> {
        self.now(|inner| inner.with_kernel(|kernel| Ok(kernel.epoll_ctl(epoll, op, fd, event))))
    }

    /// The other end of a connection in its socket's family, as accept() reports it.
    pub fn peer(&self, fd: i64) -> Option<SocketAddr> {
        let inner = self.lock();
        let remote = inner.sockets.conn(fd)?.remote;
        let mapped = inner.families.get(&fd) == Some(&AF_INET6);
        Some(match remote.ip() {
            IpAddr::V4(v4) if mapped => SocketAddr::new(v4.to_ipv6_mapped().into(), remote.port()),
            _ => remote,
        })
    }

    // --- packets and time

    /// Hands a packet to the stack.
    pub fn inject(&self, packet: &[u8]) {
        self.now(|inner| {
            match packet.first().map(|b| b >> 4) {
                Some(4) => {
                    if let Some(dst) = packet.get(16..20).and_then(|b| <[u8; 4]>::try_from(b).ok()) {
                        inner.adopt(dst.into());
                    }
                }
                _ => {
                    if let Some(dst) = packet.get(24..40).and_then(|b| <[u8; 16]>::try_from(b).ok()) {
                        inner.adopt(dst.into());
                    }
                }
            }
            let now = inner.now;
            inner.stack.on_frame(now, packet);
            inner.stack.set_watched(true);
        });
        drop(self.let_go(self.lock()));
    }

    /// The next packet that the stack sends, and when it did; nothing if none is ever going to come.
    pub fn sniff(&self) -> Option<(Vec<u8>, Instant)> {
        let mut inner = self.lock();
        let mut waited = Duration::ZERO;
        loop {
            self.catch_up(&mut inner);
            inner = self.let_go(inner);
            if let Some(packet) = inner.sent.pop_front() {
                inner.stack.set_watched(false);
                return Some(packet);
            }
            if inner.real.is_some() {
                let next = inner.next_event().map_or(PATIENCE, |next| next.since(inner.now));
                if inner.next_event().is_none() && waited >= PATIENCE {
                    return None;
                }
                waited = if inner.next_event().is_none() { waited + PATIENCE } else { Duration::ZERO };
                inner = self.wait(inner, next.clamp(Duration::from_micros(50), PATIENCE));
            } else if !inner.step(None) {
                return None;
            }
        }
    }

    /// Lets time pass.
    pub fn sleep(&self, time: Duration) {
        let mut inner = self.lock();
        self.catch_up(&mut inner);
        let until = inner.now + time;
        loop {
            inner = self.let_go(inner);
            if inner.real.is_some() {
                self.catch_up(&mut inner);
                if inner.now >= until {
                    return;
                }
                let next = inner.next_event().map_or(until, |next| next.min(until));
                let pause = next.since(inner.now).max(Duration::from_micros(20));
                inner = self.wait(inner, pause);
            } else if !inner.step(Some(until)) {
                inner.now = inner.now.max(until);
                return;
            }
        }
    }

    /// What time it is. A virtual clock moves on by a microsecond, so that whoever waits by looking at it is done some
    /// time.
    pub fn time(&self) -> Instant {
        let mut inner = self.lock();
        let returned = inner.returning == Some(thread::current().id());
        if returned {
            inner.returning = None;
            self.changed.notify_all();
        } else {
            inner = self.let_go(inner);
        }
        self.catch_up(&mut inner);
        if inner.real.is_none() && !returned {
            let next = inner.now + Duration::from_micros(1);
            while inner.step(Some(next)) {}
            inner.now = next;
        }
        inner.now
    }

    /// Brings the real clock and the timers up to date.
    fn catch_up(&self, inner: &mut Host) {
        if let Some(clock) = inner.real {
            let now = clock.now();
            while inner.step(Some(now)) {}
            inner.now = inner.now.max(now);
            self.changed.notify_all();
        }
    }

    /// Before virtual time moves on, calls that are over have returned and their threads have read the clock.
    fn let_go<'a>(&self, mut inner: MutexGuard<'a, Host>) -> MutexGuard<'a, Host> {
        let mut waited = Duration::ZERO;
        let own = Some(thread::current().id());
        while inner.real.is_none()
            && waited < RETURN
            && (inner.waiting.iter().any(|w| w.answer.is_some())
                || inner.returning.is_some() && inner.returning != own)
        {
            self.changed.notify_all();
            inner = self.wait(inner, SILENCE);
            waited += SILENCE;
        }
        inner
    }
}

//! When does what happen? The stack behind one lock, its clock, and calls that wait.
//!
//! Nobody here has a thread: whoever calls moves time. In virtual time a call may wait only for what other calls or
//! timers bring about; when the thread that drives the script says nothing for a while, it waits for the call in turn,
//! and the waiting call itself moves time to the next timer.

use super::asserts;
use super::flags::{Flags, script, told};
use super::sysctls::{self, Sysctls};
use crate::net::clock::Clock;
use crate::script::commands;
use crate::script::errqueue::Notice;
use crate::script::info;
use crate::script::kernel::{Kernel, Progress};
use crate::script::settings::{self, Options, Settings};
use crate::script::sockets::{Data, Made, OWNER, SocketKind, Sockets, Step};
use crate::script::sockopts::Value;
use crate::script::{IpVersion, Trouble, errnos};
use crate::stack::queue_device::QueueDevice;
use crate::stack::{self, Stack};
use crate::time::{Duration, Instant};
use crate::trace::{self, TraceOptions, Tracer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

/// The number of an errno.
pub type Errno = i32;

/// How long nobody may have said anything before a waiting call moves virtual time itself.
const SILENCE: Duration = Duration::from_millis(30);
/// How long a thread that was let go may take to return.
const RETURN: Duration = Duration::from_secs(2);
/// How long, in real time, a wait for something that cannot come may last before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many events may happen at one instant before it is called a loop.
const MAX_STEPS: u32 = 100_000;
const ENOPROTOOPT: Errno = 92;
const EMFILE: Errno = 24;
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
    inner: Mutex<Inner>,
    /// Something has happened that others may wait for.
    changed: Condvar,
}

struct Inner {
    stack: Stack,
    sockets: Sockets,
    settings: Settings,
    device: QueueDevice,
    /// Sent and not yet asked for.
    sent: VecDeque<(Vec<u8>, Instant)>,
    now: Instant,
    real: Option<Clock>,
    /// AF_INET or AF_INET6, by descriptor.
    families: BTreeMap<i64, u16>,
    waiting: Vec<Waiting>,
    next_call: u64,
    /// The thread whose call is over and that has not read the clock since.
    returning: Option<ThreadId>,
    /// How often anybody has called.
    calls: u64,
    /// Whether the address may still be taken from what comes.
    adoptable: bool,
    mtu: Option<u16>,
    sysctls: Sysctls,
}

/// A call that waits.
struct Waiting {
    number: u64,
    request: Request,
    progress: Progress,
    wake: Option<Instant>,
    answer: Option<Result<Answer, Errno>>,
}

enum Attempt {
    Over(Result<Answer, Errno>),
    Wait(Option<Instant>),
}

impl Machine {
    /// A stack under these conditions.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub fn new(flags: &Flags) -> Result<Machine, String> {
        let ip_version = flags.local.filter(IpAddr::is_ipv6).map(|_| IpVersion::Ipv6);
        let mtu = flags.mtu.or_else(|| told("mtu")?.0.parse().ok().filter(|mtu| *mtu >= 576));
        let options =
            Options { tcp: flags.tcp.clone(), mtu, local_ip: flags.local, ip_version, ..Options::default() };
        let settings =
            settings::settle(&options, &[]).map_err(|trouble| format!("--so_flags: {}", trouble.what()))?;
        let mut sinks = Vec::new();
        if let Some(path) = &flags.trace {
            sinks.push(trace::open(path, &TraceOptions::default()).map_err(|e| e.to_string())?);
        }
        let real = flags.real.then(Clock::start);
        let inner = Inner {
            stack: stack(&settings, Tracer::new(sinks)),
            sockets: Sockets::new(settings.tcp.clone(), false),
            settings,
            device: QueueDevice::new(u16::MAX, 4096),
            sent: VecDeque::new(),
            now: real.as_ref().map_or(Instant::from_micros(1_000_000_000_000_000), Clock::now),
            real,
            families: BTreeMap::new(),
            waiting: Vec::new(),
            next_call: 0,
            returning: None,
            calls: 0,
            adoptable: flags.local.is_none(),
            mtu,
            sysctls: Sysctls::now(&settings_named()),
        };
        let mut inner = inner;
        inner.init_scripts();
        Ok(Machine { inner: Mutex::new(inner), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic was answered with an errno already; what it left is as good as before.
        let mut inner = self.inner.lock().unwrap_or_else(|e| e.into_inner());
        inner.calls += 1;
        inner
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>, limit: Duration) -> MutexGuard<'a, Inner> {
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
    fn now<R>(&self, call: impl FnOnce(&mut Inner) -> R) -> R {
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
            let changed = changes.and_then(|changes| inner.sockets.change(&mut inner.stack, &changes));
            if let Err(what) = changed {
                return unsupported(format_args!("{what}"));
            }
            let step = Step::Made(Made::Socket { nonblock: kind & 0o4000 != 0 });
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
        self.now(|inner| inner.with_kernel(|kernel| kernel.listen(fd, backlog, 0)))
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

    pub fn getsockopt(&self, fd: i64, option: (i64, i64)) -> Result<Value, Errno> {
        self.now(|inner| {
            inner.sockets.domain = inner.families.get(&fd).copied().unwrap_or(AF_INET).into();
            match inner.sockets.option(&mut inner.stack, fd, option) {
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
        self.now(|inner| inner.with_kernel(|kernel| kernel.disconnect(fd, 0)))
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
        let number = |name| match self.getsockopt(fd, (1, name)) {
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
    fn catch_up(&self, inner: &mut Inner) {
        if let Some(clock) = inner.real {
            let now = clock.now();
            while inner.step(Some(now)) {}
            inner.now = inner.now.max(now);
            self.changed.notify_all();
        }
    }

    /// Before virtual time moves on, calls that are over have returned and their threads have read the clock.
    fn let_go<'a>(&self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
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

/// The settings that the script and the files it names speak of.
fn settings_named() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some((text, path)) = script() {
        sysctls::named_in(&text, path.parent().unwrap_or(Path::new("")), 0, &mut found);
    }
    found
}

/// The addresses of a stack that nobody has given one.
const LOCAL_V4: Ipv4Addr = Ipv4Addr::new(192, 168, 44, 1);
const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1);

/// AF_INET.
pub const AF_INET: u16 = 2;
/// AF_INET6.
pub const AF_INET6: u16 = 10;

fn stack(settings: &Settings, tracer: Tracer) -> Stack {
    let local = settings.local.ip();
    let other: IpAddr = match local {
        IpAddr::V4(_) => LOCAL_V6.into(),
        IpAddr::V6(_) => LOCAL_V4.into(),
    };
    let bits = |ip: IpAddr| if ip.is_ipv4() { 16 } else { 64 };
    let config = stack::Config {
        tcp: settings.tcp.clone(),
        addrs: vec![(local, bits(local)), (other, bits(other))],
        gateways: vec![
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        ],
        mtu: settings.mtu,
        seed: settings.seed,
        dns: Vec::new(),
    };
    Stack::new(config, tracer)
}

/// The number of an errno's name.
pub fn number(name: &'static str) -> Errno {
    errnos::number(name).unwrap_or(0) as Errno
}

/// Names what is not there; packetdrill shows it with the line that fails.
fn unsupported<R>(what: std::fmt::Arguments<'_>) -> Result<R, Errno> {
    eprintln!("UNSUPPORTED by tcpglass: {what}");
    Err(ENOPROTOOPT)
}

fn refused(result: Result<Step, String>) -> Result<Step, Trouble> {
    result.map_err(|what| Trouble::unsupported(0, what))
}

impl Inner {
    /// Takes over what packetdrill's init scripts have changed: they ran before anybody here could look.
    fn init_scripts(&mut self) {
        let Some((files, directory)) = told("init_scripts") else { return };
        for file in files.split([',', ' ']).filter(|f| !f.is_empty()) {
            // It executes them where it was started itself.
            let place = if Path::new(file).exists() { Path::new(".") } else { directory.as_path() };
            let changes = commands::parse(file, 1, Some(place)).map_err(|trouble| trouble.what().to_string());
            if let Err(what) = changes.and_then(|changes| self.sockets.change(&mut self.stack, &changes)) {
                eprintln!("UNSUPPORTED by tcpglass: in {file}: {what}");
            }
        }
    }

    /// Takes over what the script's own commands have changed meanwhile.
    fn take_over(&mut self) {
        let changes = self.sysctls.named_changes();
        if let Err(what) = self.sockets.change(&mut self.stack, &changes) {
            eprintln!("UNSUPPORTED by tcpglass: {what}");
        }
    }

    fn kernel(&mut self) -> Kernel<'_> {
        Kernel { sockets: &mut self.sockets, stack: &mut self.stack, settings: &self.settings, now: self.now }
    }

    fn with_kernel(
        &mut self,
        call: impl FnOnce(&mut Kernel<'_>) -> Result<Step, Trouble>,
    ) -> Result<Answer, Errno> {
        let step = call(&mut self.kernel());
        self.answer(step)
    }

    /// What a step of the socket layer is to a program.
    fn answer(&mut self, step: Result<Step, Trouble>) -> Result<Answer, Errno> {
        match step {
            Ok(Step::Done(value)) => Ok(Answer::Value(value)),
            Ok(Step::Errno(name)) => Err(number(name)),
            Ok(Step::Block(_)) => Err(number("EAGAIN")),
            Ok(Step::Made(made)) => {
                // The number must be one that the kernel gives to nobody else; packetdrill closes it itself.
                let fd = File::open("/dev/null").map_err(|_| EMFILE)?.into_raw_fd();
                self.sockets.insert(fd.into(), made);
                Ok(Answer::Value(fd.into()))
            }
            Err(trouble) => unsupported(format_args!("{}", trouble.what())),
        }
    }

    fn attempt(&mut self, request: &Request, progress: &mut Progress) -> Attempt {
        let step = match request {
            Request::Accept { fd, nonblock } => self.kernel().accept(*fd, *nonblock),
            Request::Connect { fd, addr } => self.kernel().connect(*fd, *addr, progress),
            Request::Receive { fd, len, flags } => match self.kernel().read_other(*fd, *len) {
                Some(step) => Ok(step),
                None => self.kernel().receive(*fd, *len, *flags, progress, 0),
            },
            Request::Send { fd, data, flags, to, record } => {
                progress.record = *record;
                match self.kernel().write_other(*fd, data.len()) {
                    Some(step) => Ok(step),
                    None => self.kernel().send(*fd, Data::These(data), (*flags, *to), progress),
                }
            }
            Request::Splice { ends, len, flags } => self.kernel().splice(*ends, *len, *flags, progress, 0),
            Request::Close { fd } => self.kernel().close(*fd, 0, progress),
            Request::Poll { entries, timeout } => {
                return match self.kernel().poll(entries, *timeout, progress) {
                    Ok(seen) => Attempt::Over(Ok(Answer::Ready(seen))),
                    Err(Step::Block(wake)) => Attempt::Wait(wake),
                    Err(step) => Attempt::Over(self.answer(Ok(step))),
                };
            }
            Request::EpollWait { fd, most, timeout } => {
                return match self.kernel().epoll_wait(*fd, *most, *timeout, progress) {
                    Ok(seen) => Attempt::Over(Ok(Answer::Events(seen))),
                    Err(Step::Block(wake)) => Attempt::Wait(wake),
                    Err(step) => Attempt::Over(self.answer(Ok(step))),
                };
            }
        };
        if let Ok(Step::Block(wake)) = step {
            return Attempt::Wait(wake);
        }
        let answer = self.answer(step);
        Attempt::Over(match (request, answer) {
            (Request::Receive { fd, .. }, Ok(Answer::Value(count))) => {
                // What comes out of a pipe is nothing but zeros.
                progress.received.resize(count as usize, 0);
                Ok(Answer::Bytes(std::mem::take(&mut progress.received), self.sockets.inq(&self.stack, *fd)))
            }
            (Request::Accept { fd, .. }, Ok(Answer::Value(new))) => {
                let family = self.families.get(fd).copied().unwrap_or(AF_INET);
                self.families.insert(new, family);
                Ok(Answer::Value(new))
            }
            (_, answer) => answer,
        })
    }

    /// Takes over the address under which the stack is spoken to first, while nothing has happened on another one.
    fn adopt(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let idle = self.sockets.table.values().all(|s| matches!(s.kind, SocketKind::Fresh { bound: None }));
        if !self.adoptable || ip.is_unspecified() || !idle {
            return;
        }
        self.adoptable = false;
        self.settings.local.set_ip(ip);
        self.settings.ip_version = if ip.is_ipv4() { IpVersion::Ipv4 } else { IpVersion::Ipv6 };
        let nobody = Stack::new(self.stack.config().clone(), Tracer::new(Vec::new()));
        let tracer = std::mem::replace(&mut self.stack, nobody).into_tracer();
        self.settings.mtu = self.mtu.unwrap_or(if ip.is_ipv4() { 1500 } else { 1520 });
        self.settings.tcp = self.sockets.base.clone();
        self.stack = stack(&self.settings, tracer);
    }

    /// Takes what the stack has to send and lets waiting calls try again. True if anything happened.
    fn settle(&mut self) -> bool {
        let mut busy = false;
        let mut frame = Vec::new();
        while self.stack.transmit(self.now, &mut self.device, 1024) > 0 {
            busy = true;
            while self.device.pop(&mut frame).is_some() {
                self.sent.push_back((std::mem::take(&mut frame), self.now));
            }
        }
        while self.stack.ready(OWNER).is_some() {}
        self.sockets.progress(&self.stack, self.now);
        let mut waiting = std::mem::take(&mut self.waiting);
        for call in waiting.iter_mut().filter(|call| call.answer.is_none()) {
            match self.attempt(&call.request, &mut call.progress) {
                Attempt::Over(answer) => {
                    call.answer = Some(answer);
                    busy = true;
                }
                Attempt::Wait(wake) => call.wake = wake,
            }
        }
        self.waiting = waiting;
        busy
    }

    /// When something is going to happen by itself.
    fn next_event(&self) -> Option<Instant> {
        let wakes = self.waiting.iter().filter(|w| w.answer.is_none()).filter_map(|w| w.wake);
        self.stack.next_deadline().into_iter().chain(wakes).min()
    }

    /// Does the next thing that happens by itself, if it does by `limit`. False if nothing did.
    fn step(&mut self, limit: Option<Instant>) -> bool {
        if self.settle() {
            return true;
        }
        let Some(next) = self.next_event().filter(|next| limit.is_none_or(|limit| *next <= limit)) else {
            return false;
        };
        self.now = self.now.max(next);
        for _ in 0..MAX_STEPS {
            if self.stack.next_deadline().is_none_or(|at| at > self.now) {
                break;
            }
            self.stack.on_timeout(self.now);
            self.settle();
        }
        self.settle();
        true
    }
}

//! What do the calls do to the stack, and what happens by itself? The stack with its sockets, and the calls that wait.

use super::flags::{Flags, script, told};
use super::machine::{Answer, Errno, Request};
use super::sysctls::{self, Sysctls};
use crate::net::clock::Clock;
use crate::script::commands;
use crate::script::kernel::{Kernel, Progress};
use crate::script::settings::{self, Options, Settings};
use crate::script::sockets::{Data, OWNER, SocketKind, Sockets, Step};
use crate::script::{IpVersion, Trouble, errnos};
use crate::stack::queue_device::QueueDevice;
use crate::stack::{self, Stack};
use crate::time::Instant;
use crate::trace::{self, TraceOptions, Tracer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::thread::ThreadId;

/// How many events may happen at one instant before it is called a loop.
const MAX_STEPS: u32 = 100_000;
const ENOPROTOOPT: Errno = 92;
const EMFILE: Errno = 24;

/// The stack, its sockets, and who waits for what.
pub struct Host {
    pub stack: Stack,
    pub sockets: Sockets,
    pub settings: Settings,
    pub device: QueueDevice,
    /// Sent and not yet asked for.
    pub sent: VecDeque<(Vec<u8>, Instant)>,
    pub now: Instant,
    pub real: Option<Clock>,
    /// AF_INET or AF_INET6, by descriptor.
    pub families: BTreeMap<i64, u16>,
    pub waiting: Vec<Waiting>,
    pub next_call: u64,
    /// The thread whose call is over and that has not read the clock since.
    pub returning: Option<ThreadId>,
    /// How often anybody has called.
    pub calls: u64,
    /// Whether the address may still be taken from what comes.
    pub adoptable: bool,
    pub mtu: Option<u16>,
    pub sysctls: Sysctls,
}

/// A call that waits.
pub struct Waiting {
    pub number: u64,
    pub request: Request,
    pub progress: Progress,
    pub wake: Option<Instant>,
    pub answer: Option<Result<Answer, Errno>>,
}

/// What became of a call that was tried.
pub enum Attempt {
    Over(Result<Answer, Errno>),
    Wait(Option<Instant>),
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
pub const LOCAL_V4: Ipv4Addr = Ipv4Addr::new(192, 168, 44, 1);
pub const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1);

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
pub fn unsupported<R>(what: std::fmt::Arguments<'_>) -> Result<R, Errno> {
    eprintln!("UNSUPPORTED by tcpglass: {what}");
    Err(ENOPROTOOPT)
}

pub fn refused(result: Result<Step, String>) -> Result<Step, Trouble> {
    result.map_err(|what| Trouble::unsupported(0, what))
}

impl Host {
    /// A stack under these conditions.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub fn new(flags: &Flags) -> Result<Host, String> {
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
        let mut host = Host {
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
        host.init_scripts();
        Ok(host)
    }

    /// Takes over what packetdrill's init scripts have changed: they ran before anybody here could look.
    fn init_scripts(&mut self) {
        let Some((files, directory)) = told("init_scripts") else { return };
        for file in files.split([',', ' ']).filter(|f| !f.is_empty()) {
            // It executes them where it was started itself.
            let place = if Path::new(file).exists() { Path::new(".") } else { directory.as_path() };
            let changes = commands::parse(file, 1, Some(place)).map_err(|trouble| trouble.what().to_string());
            if let Err(what) =
                changes.and_then(|changes| self.sockets.change(&mut self.stack, self.now, &changes))
            {
                eprintln!("UNSUPPORTED by tcpglass: in {file}: {what}");
            }
        }
    }

    /// Takes over what the script's own commands have changed meanwhile.
    pub fn take_over(&mut self) {
        let changes = self.sysctls.named_changes();
        if let Err(what) = self.sockets.change(&mut self.stack, self.now, &changes) {
            eprintln!("UNSUPPORTED by tcpglass: {what}");
        }
    }

    pub fn kernel(&mut self) -> Kernel<'_> {
        Kernel { sockets: &mut self.sockets, stack: &mut self.stack, settings: &self.settings, now: self.now }
    }

    pub fn with_kernel(
        &mut self,
        call: impl FnOnce(&mut Kernel<'_>) -> Result<Step, Trouble>,
    ) -> Result<Answer, Errno> {
        let step = call(&mut self.kernel());
        self.answer(step)
    }

    /// What a step of the socket layer is to a program.
    pub fn answer(&mut self, step: Result<Step, Trouble>) -> Result<Answer, Errno> {
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

    pub fn attempt(&mut self, request: &Request, progress: &mut Progress) -> Attempt {
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
            Request::Close { fd } => self.kernel().close(*fd, progress),
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
    pub fn adopt(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let idle = self.sockets.table.values().all(|s| matches!(s.kind, SocketKind::Fresh { bound: None }));
        if !self.adoptable || ip.is_unspecified() || !idle {
            return;
        }
        self.adoptable = false;
        self.settings.local.set_ip(ip);
        self.sockets.wire_v6 = ip.is_ipv6();
        self.settings.ip_version = if ip.is_ipv4() { IpVersion::Ipv4 } else { IpVersion::Ipv6 };
        let nobody = Stack::new(self.stack.config().clone(), Tracer::new(Vec::new()));
        let tracer = std::mem::replace(&mut self.stack, nobody).into_tracer();
        self.settings.mtu = self.mtu.unwrap_or(if ip.is_ipv4() { 1500 } else { 1520 });
        self.settings.tcp = self.sockets.base.clone();
        self.stack = stack(&self.settings, tracer);
    }

    /// Takes what the stack has to send and lets waiting calls try again. True if anything happened.
    pub fn settle(&mut self) -> bool {
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
    pub fn next_event(&self) -> Option<Instant> {
        let wakes = self.waiting.iter().filter(|w| w.answer.is_none()).filter_map(|w| w.wake);
        self.stack.next_deadline().into_iter().chain(wakes).min()
    }

    /// Does the next thing that happens by itself, if it does by `limit`. False if nothing did.
    pub fn step(&mut self, limit: Option<Instant>) -> bool {
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

//! When does what happen? The script's events in virtual time, between them the stack's own.

use super::ast::{self, Action, Body, Direction, Event, Expr, Script, Time};
use super::call_args::{Args, number, text};
use super::calls;
use super::code;
use super::commands::{self, Change};
use super::compare::{Stamps, compare};
use super::errnos;
use super::info;
use super::kernel::{Kernel, Progress};
use super::packets::{self, Wire};
use super::render;
use super::settings::{self, IpVersion, Options, Settings};
use super::sockets::{Made, OWNER, Sockets, Step};
use super::{Kind, Trouble, parser};
use crate::stack::{self, Stack};
use crate::time::{Duration, Instant};
use crate::trace::{PacketRecord, Record, Sink, Tracer, Why};
use std::collections::BTreeSet;
use std::io;

/// How many events of the stack may happen at one instant before it is called a loop.
const MAX_STEPS: u32 = 100_000;
/// How many packets may wait for a line that expects them.
const MAX_QUEUE: usize = 1 << 20;
/// How far beyond its time a packet is looked for, only to say when it came instead.
const LOOK_AHEAD: Duration = Duration::from_secs(3600);
/// The same for a line with the time `*`: longer than the keep-alive's two hours.
const ANY_TIME: Duration = Duration::from_secs(86_400);

/// Runs a script to its end. The second value is what the sinks say.
pub fn run(
    source: &str,
    options: &Options,
    sinks: Vec<Box<dyn Sink>>,
) -> (Result<(), Trouble>, io::Result<()>) {
    match read(source, options) {
        Err(trouble) => (Err(trouble), Tracer::new(sinks).finish()),
        Ok((settings, steps)) => {
            let mut runner = Runner::new(settings, sinks);
            let result = if runner.settings.dry_run { Ok(()) } else { runner.play(&steps) };
            runner.reset_all();
            (result, runner.stack.into_tracer().finish())
        }
    }
}

/// Reads a script without running it.
pub fn check(source: &str, options: &Options) -> Result<(), Trouble> {
    read(source, options).map(|_| ())
}

fn read(source: &str, options: &Options) -> Result<(Settings, Vec<Prepared>), Trouble> {
    let script = parser::parse(source, &settings::defines(source, options))?;
    let settings = settings::settle(options, &script.options)?;
    let mut steps = Vec::new();
    for file in &settings.init {
        let changes = commands::parse(file, 1, settings.directory.as_deref())?;
        steps.push(Prepared { line: 1, time: Time::Relative(0), what: What::Changes(changes) });
    }
    steps.extend(prepare(script, &settings)?);
    Ok((settings, steps))
}

/// An event with everything read that can be read before the run: what is unsupported is found at once.
struct Prepared {
    line: u32,
    time: Time,
    what: What,
}

enum What {
    Packet(ast::Packet),
    Call(ast::Call),
    Changes(Vec<Change>),
    Code(code::Block),
}

fn prepare(mut script: Script, settings: &Settings) -> Result<Vec<Prepared>, Trouble> {
    // What cleans up behind the last event undoes what nobody keeps: every run begins with the settings it was given.
    let last = script.events.iter().rposition(|e| !matches!(e.action, Action::Setup(_)));
    if let Some(last) = last {
        script.events.truncate(last + 1);
    }
    let mut known = BTreeSet::new();
    let prepare = |Event { line, time, action }| {
        let what = match action {
            Action::Packet(packet) => What::Packet(packet),
            Action::Call(call) if !calls::NAMES.contains(&call.name.as_str()) => {
                return Err(Trouble::unsupported(line, format!("the system call {}", call.name)));
            }
            Action::Call(call) => What::Call(call),
            Action::Command(text) => {
                What::Changes(commands::parse(&text, line, settings.directory.as_deref())?)
            }
            // It is over before time begins.
            Action::Setup(text) => {
                let mut changes = commands::parse(&text, line, settings.directory.as_deref())?;
                changes.retain(|change| !matches!(change, Change::Pause(_)));
                What::Changes(changes)
            }
            Action::Code(text) => What::Code(code::parse(&text, line, &mut known)?),
        };
        Ok(Prepared { line, time, what })
    };
    script.events.into_iter().map(prepare).collect()
}

/// A call that has not returned yet.
struct Pending {
    call: ast::Call,
    line: u32,
    start: Instant,
    /// When it is to return; none if the script says nothing about it and waits.
    end: Option<Instant>,
    progress: Progress,
    wake: Option<Instant>,
}

struct Runner {
    settings: Settings,
    stack: Stack,
    sockets: Sockets,
    wire: Wire,
    now: Instant,
    pending: Option<Pending>,
    /// Steps since time last moved.
    steps: u32,
    /// The line that is being played.
    line: u32,
}

impl Runner {
    fn new(settings: Settings, mut sinks: Vec<Box<dyn Sink>>) -> Runner {
        let wire = Wire::new(settings.mtu, &mut sinks);
        let bits = if settings.local.is_ipv4() { 16 } else { 64 };
        let config = stack::Config {
            tcp: settings.tcp.clone(),
            addrs: vec![(settings.local.ip(), bits)],
            gateways: vec![settings.remote.ip()],
            mtu: settings.mtu,
            seed: settings.seed,
            dns: Vec::new(),
        };
        let mut sockets = Sockets::new(settings.tcp.clone(), true);
        sockets.wire_v6 = settings.local.is_ipv6();
        sockets.domain = if settings.ip_version == IpVersion::Ipv4 { 2 } else { 10 };
        Runner {
            stack: Stack::new(config, Tracer::new(sinks)),
            sockets,
            wire,
            settings,
            now: Instant::ZERO,
            pending: None,
            steps: 0,
            line: 1,
        }
    }

    fn play(&mut self, steps: &[Prepared]) -> Result<(), Trouble> {
        // What a relative time counts from: when the event before really was. What is injected, or called, is in time.
        let mut base = Instant::ZERO;
        // When the event before should have been: what a share of tolerance is counted from.
        let mut last = Instant::ZERO;
        // When the packet before was to be injected, if that was the event before: a train of them keeps its distances.
        let mut train = None;
        let mut interpreter = code::Interpreter::default();
        for step in steps {
            self.line = step.line;
            let inbound = matches!(&step.what, What::Packet(p) if p.direction == Direction::Inbound);
            let start = train.take().filter(|_| inbound).unwrap_or(base);
            let after = |usecs: u64| start + Duration::from_micros(usecs);
            let (from, to) = match step.time {
                Time::Absolute(t) => (Instant::from_micros(t), Instant::from_micros(t)),
                Time::Relative(t) => (after(t), after(t)),
                Time::AbsoluteRange(a, b) => (Instant::from_micros(a), Instant::from_micros(b)),
                Time::RelativeRange(a, b) => (after(a), after(b)),
                Time::Any => (self.now, self.now + ANY_TIME),
            };
            let tolerance = self.tolerance(from.since(last));
            match &step.what {
                What::Packet(packet) if packet.direction == Direction::Outbound => {
                    match self.expect_packet(step, packet, (from, to), tolerance) {
                        // Another packet than expected is one all the same; none at all is not.
                        Err(Trouble { kind: Kind::Failed { seen, .. }, .. })
                            if self.settings.non_fatal && !seen.starts_with("nothing") => {}
                        result => result?,
                    }
                    base = self.now;
                    last = from;
                    continue;
                }
                What::Packet(packet) => {
                    self.go_to(from, step.line, tolerance)?;
                    self.inject(packet, step.line)?;
                    train = Some(from);
                }
                What::Call(call) => {
                    self.join()?;
                    self.go_to(from, step.line, tolerance)?;
                    let end = call.end.map(|t| match step.time {
                        Time::Relative(_) => after(t),
                        _ => Instant::from_micros(t),
                    });
                    self.start(call, step.line, end)?;
                }
                What::Changes(changes) => {
                    self.go_to(from, step.line, tolerance)?;
                    for change in changes {
                        match change {
                            Change::Pause(time) => self.pass(*time)?,
                            change => self
                                .sockets
                                .change(&mut self.stack, self.now, std::slice::from_ref(change))
                                .map_err(|what| Trouble::unsupported(step.line, what))?,
                        }
                    }
                }
                What::Code(block) => {
                    self.go_to(from, step.line, tolerance)?;
                    let lookup = |name: &str| self.tcp_info(name);
                    block.run(&mut interpreter, &lookup)?;
                }
            }
            base = self.now;
            last = from;
        }
        self.join()?;
        self.leftovers(steps.last().map_or(1, |s| s.line))
    }

    fn tolerance(&self, since: Duration) -> Duration {
        let share = since.as_secs_f64() * self.settings.tolerance_percent / 100.0;
        Duration::from_micros(self.settings.tolerance).max(Duration::from_secs_f64(share))
    }

    // --- time

    /// Lets the stack run for a while.
    fn pass(&mut self, time: Duration) -> Result<(), Trouble> {
        let until = self.now + time;
        while self.step(until)? {}
        self.now = until;
        Ok(())
    }

    /// Lets the stack run until `to`; complains if that is past. A timer that is due right then comes later: a real one is late.
    fn go_to(&mut self, to: Instant, line: u32, tolerance: Duration) -> Result<(), Trouble> {
        if self.now > to + tolerance {
            let (expected, seen) = (render::at(to), render::at(self.now));
            return Err(Trouble::failed(line, "it is too late for this line", expected, seen));
        }
        while self.step(to - Duration::from_nanos(1))? {}
        self.now = self.now.max(to);
        Ok(())
    }

    /// Does the next thing that happens by itself, if it happens by `limit`: sends what is ready, or moves time to
    /// the next timer. False if nothing does.
    fn step(&mut self, limit: Instant) -> Result<bool, Trouble> {
        if self.flush()? {
            return Ok(true);
        }
        let timer = self.stack.next_deadline();
        let wake = self.pending.as_ref().and_then(|p| p.wake);
        let Some(next) = timer.into_iter().chain(wake).min().filter(|next| *next <= limit) else {
            return Ok(false);
        };
        if next > self.now {
            self.now = next;
            self.steps = 0;
        }
        self.steps += 1;
        if self.steps > MAX_STEPS {
            let line = self.line;
            let what = format!("the stack's timer at {} fires without end", render::at(self.now));
            return Err(Trouble::syntax(line, what));
        }
        self.stack.on_timeout(self.now);
        self.flush()?;
        Ok(true)
    }

    /// Takes everything that the stack has to send, and lets a blocked call try again. True if anything happened.
    fn flush(&mut self) -> Result<bool, Trouble> {
        let mut busy = false;
        while self.wire.transmit(&mut self.stack, self.now) {
            busy = true;
            if self.wire.queue.len() > MAX_QUEUE {
                let what = format!("the stack has sent {MAX_QUEUE} packets that no line expects");
                return Err(Trouble::syntax(self.line, what));
            }
        }
        for out in std::mem::take(&mut self.sockets.outbox) {
            busy = true;
            let frame = self.wire.datagram(&out, self.now);
            self.trace_datagram(crate::trace::Direction::Out, &frame);
        }
        while self.stack.ready(OWNER).is_some() {}
        self.sockets.progress(&self.stack, self.now);
        Ok(self.retry()? || busy)
    }

    // --- packets

    fn expect_packet(
        &mut self,
        step: &Prepared,
        line: &ast::Packet,
        (from, to): (Instant, Instant),
        tolerance: Duration,
    ) -> Result<(), Trouble> {
        if line.label && self.settings.local.is_ipv6() {
            return Err(Trouble::unsupported(step.line, "flow labels of the stack other than 0"));
        }
        let any = step.time == Time::Any;
        let limit = if any { to } else { to + tolerance.max(LOOK_AHEAD) };
        self.flush()?;
        let drift = self.tolerance(self.now.max(from).since(Instant::ZERO));
        let len = match &line.body {
            Body::Tcp(tcp) if !self.settings.whole_segments => tcp.len,
            _ => 0,
        };
        loop {
            // Other connections are nobody's concern here, unless every packet is to be accounted for.
            match self.settings.strict {
                true => self.wire.pass_over_protocols(line),
                false => self.wire.pass_over_others(line, &self.sockets),
            }
            if self.wire.is_whole(len, self.settings.strict) || !self.step(limit)? {
                break;
            }
        }
        let when = match step.time {
            Time::Any => "at any time".to_string(),
            _ if from == to => format!("at {}", render::at(from)),
            _ => format!("from {} to {}", render::at(from), render::at(to)),
        };
        let expected = format!("{when}  {}", render::expected(line));
        let Some((sent, at)) = self.wire.take(len, self.settings.strict) else {
            let seen = format!("nothing until {}", render::at(limit));
            return Err(Trouble::failed(step.line, "the packet was not sent", expected, seen));
        };
        // Whoever looks for it has seen all that came before.
        self.stack.set_watched(false);
        let flow = &mut self.wire.flows[at];
        // Clocks drift: their tolerance is a share of the whole time.
        let stamps = Stamps {
            tick: self.settings.ts_tick,
            tolerance: drift.as_micros() as u64,
            echoes: self.settings.strict,
        };
        let same = compare(line, &sent, flow, &stamps);
        let seen = format!("at {}  {}", render::at(sent.at), render::seen(&sent, flow, line));
        let wrong_socket = line.sock.is_some_and(|fd| {
            self.sockets.conn(fd).is_none_or(|c| (c.local, c.remote) != (sent.src, sent.dst))
        });
        let early = sent.at + tolerance < from;
        let late = sent.at > to + tolerance;
        // A packet of another kind at another time is another packet: its fields say more than its time.
        let what = match same {
            Err(what) => what,
            Ok(()) if wrong_socket => "the packet belongs to another socket".to_string(),
            Ok(()) if early && !any => "the packet was sent too early".to_string(),
            Ok(()) if late && !any => "the packet was sent too late".to_string(),
            Ok(()) => return Ok(()),
        };
        Err(Trouble::failed(step.line, what, expected, seen))
    }

    fn inject(&mut self, packet: &ast::Packet, line: u32) -> Result<(), Trouble> {
        let frame = packets::inbound(&mut self.wire, packet, &self.settings, &self.sockets)
            .map_err(|what| Trouble::syntax(line, what))?;
        if packet.ttl.is_some_and(|ttl| i64::from(ttl) < self.sockets.least_ttl()) {
            return Err(Trouble::unsupported(
                line,
                "a packet below what IP_MINTTL or IPV6_MINHOPCOUNT allows",
            ));
        }
        if self.is_for_a_datagram_socket(packet) {
            self.trace_datagram(crate::trace::Direction::In, &frame);
        } else {
            self.stack.on_frame(self.now, &frame);
            self.stack.set_watched(true);
        }
        self.flush()?;
        Ok(())
    }

    /// Hands a datagram, or what is said of one, to its socket; false if there is none.
    fn is_for_a_datagram_socket(&mut self, packet: &ast::Packet) -> bool {
        let error = match &packet.body {
            Body::Udp(_) => None,
            Body::Icmp(error) if error.other.is_some_and(|(udp, _)| udp) => Some(error),
            _ => return false,
        };
        let flow = self.wire.datagram_flow(packet, &self.settings, &self.sockets);
        let (local, remote) = (self.wire.flows[flow].local, self.wire.flows[flow].remote);
        match (error, &packet.body) {
            (Some(error), _) => self.sockets.refuse(local, remote, error),
            (None, Body::Udp(len)) => self.sockets.deliver(local, remote, usize::from(*len)),
            _ => false,
        }
    }

    fn trace_datagram(&mut self, direction: crate::trace::Direction, frame: &[u8]) {
        self.stack.tracer().record(&Record::Packet(PacketRecord {
            at: self.now,
            direction,
            frame,
            gso_size: None,
            why: Why::Host { word: "udp", text: "a datagram of a script's socket" },
            conn: None,
            seg: None,
            state: None,
        }));
    }

    /// Complains about packets that no line expected, if that is asked for.
    fn leftovers(&mut self, line: u32) -> Result<(), Trouble> {
        self.flush()?;
        while self.wire.queue.pop_front_if(|(sent, _)| sent.other.is_some()).is_some() {}
        match self.wire.queue.pop_front() {
            Some((sent, at)) if self.settings.strict => {
                let open = ast::Packet {
                    direction: Direction::Outbound,
                    tos: ast::Tos::Any,
                    ttl: None,
                    label: false,
                    sock: None,
                    ports: None,
                    body: Body::Tcp(sent.tcp.clone()),
                };
                let seen = render::seen(&sent, &self.wire.flows[at], &open);
                let seen = format!("at {}  {seen}", render::at(sent.at));
                Err(Trouble::failed(line, "a packet was sent that no line expects", "", seen))
            }
            _ => Ok(()),
        }
    }

    /// Ends what is still open, so that a capture of the run ends as a network would.
    fn reset_all(&mut self) {
        for frame in self.wire.resets() {
            self.stack.on_frame(self.now, &frame);
        }
        // Bounded, because whatever goes wrong now is nobody's concern any more.
        for _ in 0..100 {
            self.wire.transmit(&mut self.stack, self.now);
        }
    }

    // --- calls

    fn start(&mut self, call: &ast::Call, line: u32, end: Option<Instant>) -> Result<(), Trouble> {
        let mut progress = Progress::default();
        let step = self.attempt(call, line, &mut progress)?;
        match step {
            Step::Block(wake) => {
                let (call, start) = (call.clone(), self.now);
                self.pending = Some(Pending { call, line, start, end, progress, wake });
                if end.is_none() {
                    self.wait_for_it(line)?;
                }
            }
            step => self.returned(call, line, step, self.now, end.map(|end| (self.now, end)))?,
        }
        self.flush()?;
        Ok(())
    }

    fn attempt(&mut self, call: &ast::Call, line: u32, progress: &mut Progress) -> Result<Step, Trouble> {
        let mut kernel = Kernel {
            sockets: &mut self.sockets,
            stack: &mut self.stack,
            settings: &self.settings,
            now: self.now,
        };
        kernel.attempt(&Args { call, line }, progress)
    }

    /// Lets a blocked call try again. True if it returned.
    fn retry(&mut self) -> Result<bool, Trouble> {
        let Some(mut pending) = self.pending.take() else { return Ok(false) };
        match self.attempt(&pending.call, pending.line, &mut pending.progress)? {
            Step::Block(wake) => {
                pending.wake = wake;
                self.pending = Some(pending);
                Ok(false)
            }
            step => {
                let times = pending.end.map(|end| (pending.start, end));
                self.returned(&pending.call, pending.line, step, self.now, times)?;
                Ok(true)
            }
        }
    }

    /// Lets time pass until a call without an end returns: only a timer can bring that about.
    fn wait_for_it(&mut self, line: u32) -> Result<(), Trouble> {
        let limit = self.now + ANY_TIME;
        while self.pending.is_some() && self.step(limit)? {}
        match self.pending.take() {
            None => Ok(()),
            Some(p) => Err(Trouble::failed(
                line,
                "the call blocks",
                format!("that {} returns {} at once", p.call.name, text(&p.call.result)),
                "nothing to return yet; a call that may block is written with its end: `+0...0.2 name(…)`",
            )),
        }
    }

    /// Waits for the call that blocks: there is only one at a time.
    fn join(&mut self) -> Result<(), Trouble> {
        let Some(end) = self.pending.as_ref().and_then(|p| p.end) else { return Ok(()) };
        let limit = end + self.tolerance(Duration::ZERO);
        while self.pending.is_some() && self.step(limit)? {}
        match self.pending.take() {
            None => Ok(()),
            Some(p) => Err(Trouble::failed(
                p.line,
                "the call still blocks",
                format!("that {} returns {} at {}", p.call.name, text(&p.call.result), render::at(end)),
                format!("at {} it has not returned", render::at(limit)),
            )),
        }
    }

    /// Compares what a call returned with what the script says. `times` are its start and its end if it may block.
    fn returned(
        &mut self,
        call: &ast::Call,
        line: u32,
        step: Step,
        at: Instant,
        times: Option<(Instant, Instant)>,
    ) -> Result<(), Trouble> {
        let wanted = match &call.result {
            Expr::Ellipsis => None,
            expr => Some(number(expr, line)?),
        };
        let (value, errno) = match step {
            Step::Done(value) => (value, None),
            Step::Errno(name) => (-1, Some(name)),
            // The script gives descriptors the numbers that it likes.
            Step::Made(made) => {
                let free = (3..).find(|fd| !self.sockets.table.contains_key(fd)).unwrap_or(3);
                let fd = wanted.filter(|&fd| fd >= 0).unwrap_or(free);
                if self.sockets.table.contains_key(&fd) {
                    return Err(Trouble::syntax(line, format!("the descriptor {fd} is in use")));
                }
                if wanted.is_none_or(|wanted| wanted >= 0) {
                    if matches!(made, Made::Socket { datagrams: false, .. }) {
                        self.wire.socket_made(fd);
                    }
                    self.sockets.insert(fd, made);
                }
                (fd, None)
            }
            Step::Block(_) => return Ok(()),
        };
        let written = |value: i64, errno: Option<&str>| match errno {
            Some(name) => format!("{value} {name} ({})", errnos::text(name)),
            None => value.to_string(),
        };
        let same = wanted.is_none_or(|w| w == value)
            && match (&call.errno, errno) {
                (Some(wanted), Some(seen)) => errnos::same(wanted, seen),
                (Some(_), None) => false,
                (None, _) => true,
            };
        if !same && self.settings.calls_go_on {
            return Ok(());
        }
        if !same {
            let expected = match wanted {
                Some(value) => written(value, call.errno.as_deref()),
                None => text(&call.result),
            };
            let what = format!("{} returned something else", call.name);
            return Err(Trouble::failed(line, what, expected, written(value, errno)));
        }
        if let Some((start, end)) = times {
            let tolerance = self.tolerance(end.since(start));
            if at + tolerance < end || at > end + tolerance {
                let what = format!("{} returned at another time", call.name);
                return Err(Trouble::failed(line, what, render::at(end), render::at(at)));
            }
        }
        Ok(())
    }

    // --- conditions

    /// What Linux' TCP_INFO and SO_MEMINFO say about the connection that was made last.
    fn tcp_info(&self, name: &str) -> Option<u64> {
        let conn = || self.stack.conn(self.sockets.conn(self.sockets.under_test?)?.id);
        match name {
            "SK_MEMINFO_RCVBUF" => return Some(conn()?.buffers().0.into()),
            "SK_MEMINFO_SNDBUF" => return Some(conn()?.buffers().1.into()),
            _ => {}
        }
        info::tcp_info(&self.stack, &self.sockets, self.now, self.sockets.under_test?, name)
    }
}

//! What does one arm of an experiment have? Hosts in virtual time, a stop-watch, a capture and a row of measurements.

use super::addrs::{Addrs, HTTP};
use super::case::{Case, Found};
use super::kernel::{EARLY, Peer, Real};
use super::quantity::{Cell, Expected, Quantity, TOLERANCE};
use super::tally::{Tally, Way};
use super::{Capture, LabError, Row};
use crate::ledger::{Part, Parts};
use crate::settings::Settings;
use crate::sim::{HostId, Listener, Socket, World};
use crate::stack;
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{Shutdown, State};
use crate::time::{Duration, Instant};
use crate::trace::{Direction, Sink, Tracer};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

/// One end of a connection, in virtual or in real time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    Simulated(Socket),
    /// Number so many of [`Real`].
    Real(usize),
}

impl End {
    fn simulated(self) -> Result<Socket, LabError> {
        match self {
            End::Simulated(socket) => Ok(socket),
            End::Real(_) => Err(elsewhere()),
        }
    }
}

impl From<Socket> for End {
    fn from(socket: Socket) -> End {
        End::Simulated(socket)
    }
}

/// What waits for connections, in virtual or in real time.
#[derive(Clone, Copy)]
pub(super) enum Door {
    Simulated(Listener),
    Real(usize),
}

/// A machine that has nothing else to do is never as late as that: a slice of time that Linux gives to others.
const LATE: Duration = Duration::from_millis(2);

/// Where an exchange began: when, and what had been charged to its connection until then.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub at: Instant,
    charged: Parts,
}

/// A client and a server on one link, and what was measured there.
pub(super) struct Arm {
    /// Instead of the world, with a kernel at one end.
    pub real: Option<Real>,
    pub world: World,
    pub client: HostId,
    pub server: HostId,
    pub addrs: &'static Addrs,
    pub settings: Settings,
    seed: u64,
    tally: Tally,
    varied: Vec<(String, String)>,
    cells: Vec<Cell>,
    ledger: Parts,
    from: Instant,
    captures: Vec<Capture>,
    /// By how much a rest took longer than it should have, at the most.
    overslept: Duration,
    /// Room to read into.
    scratch: Vec<u8>,
}

/// A capture, and what writes it.
pub(super) type Written = (Capture, Box<dyn Sink>);

/// How an arm is set up.
pub(super) struct Plan<'a> {
    /// Of both hosts.
    pub settings: &'a Settings,
    pub seed: u64,
    pub addrs: &'static Addrs,
    pub varied: Vec<(String, String)>,
    /// What the hosts see is written there; with a kernel at one end only what our own stack sees.
    pub captures: Vec<Written>,
    pub peer: Peer,
}

impl Arm {
    pub fn new(plan: Plan<'_>) -> Result<Arm, LabError> {
        let Plan { settings, seed, addrs, varied, captures, peer } = plan;
        let mut world = World::new(seed, settings.link.clone());
        // That hosts keep TCP's promises is what the simulator's own tests verify; it would take most of the time here.
        world.check_invariants(false);
        let tally = Tally::default();
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(tally.clone())];
        let (mut theirs, mut written) = (Vec::new(), Vec::new());
        for (capture, sink) in captures {
            if capture.host == peer.our_side() {
                sinks.push(sink)
            } else {
                theirs.push(sink)
            }
            written.push(capture);
        }
        let mut real = None;
        if peer != Peer::Ours {
            real = Some(Real::new(peer, settings, seed, addrs, std::mem::take(&mut sinks))?);
        }
        let mut here = config(settings, addrs, addrs.client, seed);
        here.addrs.push((addrs.client_too, addrs.prefix));
        let client = world.add_host("client", here, Tracer::new(sinks));
        let there = config(settings, addrs, addrs.server, seed);
        let server = world.add_host("server", there, Tracer::new(theirs));
        Ok(Arm {
            real,
            world,
            client,
            server,
            addrs,
            settings: settings.clone(),
            seed,
            tally,
            varied,
            cells: Vec::new(),
            ledger: Parts::default(),
            from: Instant::ZERO,
            captures: written,
            overslept: Duration::ZERO,
            scratch: vec![0; 64 << 10],
        })
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.real.as_ref().map_or(Peer::Ours, |real| real.peer)
    }

    /// The server listens.
    pub fn listen(&mut self, port: u16) -> Result<Door, LabError> {
        Ok(match &mut self.real {
            Some(real) => Door::Real(real.listen(port)?),
            None => {
                Door::Simulated(self.world.listen(self.server, SocketAddr::new(self.addrs.server, port))?)
            }
        })
    }

    /// The client connects; it does not wait for the server to notice.
    pub fn connect(&mut self, port: u16) -> Result<End, LabError> {
        Ok(match &mut self.real {
            Some(real) => End::Real(real.connect(port)?),
            None => {
                End::Simulated(self.world.connect(self.client, SocketAddr::new(self.addrs.server, port))?)
            }
        })
    }

    /// The server has the connection.
    pub fn accept(&mut self, door: Door) -> Result<End, LabError> {
        match (&mut self.real, door) {
            (Some(real), Door::Real(door)) => Ok(End::Real(real.accept(door)?)),
            (None, Door::Simulated(listener)) => Ok(End::Simulated(self.world.accept(listener)?)),
            _ => Err(elsewhere()),
        }
    }

    /// Connects and returns both ends; nothing is under way any more.
    pub fn ends(&mut self, port: u16) -> Result<(End, End), LabError> {
        let ends = self.more_ends(port)?;
        self.from = self.now();
        Ok(ends)
    }

    /// The same for another connection of what is measured already.
    pub fn more_ends(&mut self, port: u16) -> Result<(End, End), LabError> {
        let ends = self.join(port)?;
        self.quiet();
        Ok(ends)
    }

    fn join(&mut self, port: u16) -> Result<(End, End), LabError> {
        let door = self.listen(port)?;
        let near = self.connect(port)?;
        Ok((near, self.accept(door)?))
    }

    /// The same after a first exchange, as on a kept connection: the window that a SYN cannot express has been announced
    /// after it, which would otherwise acknowledge a first piece of data at once. Linux answers interactively from here on.
    pub fn warm_ends(&mut self) -> Result<(End, End), LabError> {
        let (near, far) = self.join(HTTP)?;
        self.write(near, 1)?;
        self.read(far, 1)?;
        self.write(far, 1)?;
        self.read(near, 1)?;
        self.quiet();
        self.from = self.now();
        Ok((near, far))
    }

    /// Sends a FIN and reads on.
    pub fn half_close(&mut self, end: End) -> Result<(), LabError> {
        match (&mut self.real, end) {
            (Some(real), End::Real(n)) => real.half_close(n)?,
            (_, End::Simulated(socket)) => self.world.shutdown(socket, Shutdown::Write),
            _ => return Err(elsewhere()),
        }
        Ok(())
    }

    /// Reads no more; nothing is said to the other side.
    pub fn close_input(&mut self, end: End) -> Result<(), LabError> {
        match (&mut self.real, end) {
            (Some(real), End::Real(n)) => real.close_input(n)?,
            (_, End::Simulated(socket)) => self.world.shutdown(socket, Shutdown::Read),
            _ => return Err(elsewhere()),
        }
        Ok(())
    }

    /// Closes, as a program does that has nothing more to do with it.
    pub fn close(&mut self, end: End) {
        match (&mut self.real, end) {
            (Some(real), End::Real(n)) => drop(real.take(n)),
            (_, End::Simulated(socket)) => self.world.close(socket),
            _ => {}
        }
    }

    /// Ends it with a RST.
    pub fn abort(&mut self, end: End) -> Result<(), LabError> {
        match (&mut self.real, end) {
            (Some(real), End::Real(n)) => real.abort(n)?,
            (_, End::Simulated(socket)) => {
                let now = self.now();
                self.world.stack(socket.host).stream(now, socket.id).abort();
            }
            _ => return Err(elsewhere()),
        }
        Ok(())
    }

    /// One more host, without a trace.
    pub fn host(&mut self, name: &str, addr: IpAddr) -> HostId {
        let config = config(&self.settings, self.addrs, addr, self.seed);
        self.world.add_host(name, config, Tracer::default())
    }

    /// [`ends`](Self::ends) for what exists in virtual time only.
    pub fn pair(&mut self) -> Result<(Socket, Socket), LabError> {
        let ends = self.ends(HTTP)?;
        Ok((ends.0.simulated()?, ends.1.simulated()?))
    }

    /// [`warm_ends`](Self::warm_ends) for what exists in virtual time only.
    pub fn warm_pair(&mut self) -> Result<(Socket, Socket), LabError> {
        let ends = self.warm_ends()?;
        Ok((ends.0.simulated()?, ends.1.simulated()?))
    }

    /// Lets what is under way arrive: longer than any timer of an idle connection that is not for its death.
    pub fn quiet(&mut self) {
        let trip = self.settings.link.rtt;
        // In real time a second is long; no acknowledgment waits for more than 100 ms there.
        let rest = if self.real.is_some() { 200 } else { 1000 };
        self.pass(trip * 2 + Duration::from_millis(rest));
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let Some(real) = &self.real else { return self.world.run_for(time) };
        let start = real.clock.now();
        real.pass(time);
        self.overslept = self.overslept.max(real.clock.now().since(start).saturating_sub(time));
    }

    /// Writes, and lets the stack see the write before the next one.
    pub fn write(&mut self, end: impl Into<End>, len: usize) -> Result<(), LabError> {
        match (&mut self.real, end.into()) {
            (Some(real), End::Real(n)) => real.write(n, len)?,
            (_, End::Simulated(socket)) => {
                self.world.write_all(socket, &vec![b'x'; len])?;
                self.world.run_for(Duration::ZERO);
            }
            _ => return Err(elsewhere()),
        }
        Ok(())
    }

    /// Reads so many bytes.
    pub fn read(&mut self, end: impl Into<End>, len: usize) -> Result<(), LabError> {
        match (&mut self.real, end.into()) {
            (Some(real), End::Real(n)) => real.read(n, len),
            (_, End::Simulated(socket)) => Ok(self.world.read_exact(socket, &mut vec![0; len])?),
            _ => Err(elsewhere()),
        }
    }

    /// Writes so many bytes at one end and reads them at the other.
    pub fn transfer(&mut self, from: End, to: End, len: usize) -> Result<(), LabError> {
        if let (Some(real), End::Real(from), End::Real(to)) = (&mut self.real, from, to) {
            return real.transfer(from, to, len);
        }
        self.write(from, len)?;
        self.read(to, len)
    }

    /// Reads until `end` and returns when how many bytes in all had been read. A connection that ends is an end, too.
    pub fn read_log(&mut self, from: End, end: Instant) -> Result<Vec<(Instant, u64)>, LabError> {
        let socket = match (&mut self.real, from) {
            (Some(real), End::Real(n)) => {
                let log = real.read_log(n, end);
                self.overslept = self.overslept.max(real.clock.now().since(end));
                return log;
            }
            (_, End::Simulated(socket)) => socket,
            _ => return Err(elsewhere()),
        };
        let (mut log, mut total) = (Vec::new(), 0);
        let mut buf = std::mem::take(&mut self.scratch);
        let left = end.since(self.now());
        self.world.run_until(left, |world| {
            let now = world.now();
            while let Ok(n @ 1..) = world.stack(socket.host).stream(now, socket.id).read(&mut buf) {
                total += n as u64;
                log.push((now, total));
            }
            false
        });
        self.scratch = buf;
        Ok(log)
    }

    /// What can be read without waiting, and how that ended: with nothing more for now, a FIN or an error.
    pub fn read_available(&mut self, end: End) -> Result<(Vec<u8>, &'static str), LabError> {
        let (data, ended) = match (&mut self.real, end) {
            (Some(real), End::Real(n)) => {
                let (data, ended) = real.read_available(n)?;
                (data, ended.map_err(|e| e.kind()))
            }
            (_, End::Simulated(socket)) => {
                let (data, ended) = self.read_simulated(socket);
                (data, ended.map_err(|e| std::io::Error::from(e).kind()))
            }
            _ => return Err(elsewhere()),
        };
        let word = match ended {
            Ok(()) => "end",
            Err(ErrorKind::ConnectionReset) => "reset",
            Err(ErrorKind::WouldBlock) => "open",
            Err(_) => "other",
        };
        Ok((data, word))
    }

    fn read_simulated(&mut self, socket: Socket) -> (Vec<u8>, Result<(), StreamError>) {
        let (now, mut all, mut buf) = (self.now(), Vec::new(), vec![0; 64 << 10]);
        loop {
            match self.world.stack(socket.host).stream(now, socket.id).read(&mut buf) {
                Ok(0) => return (all, Ok(())),
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.real.as_ref().map_or_else(|| self.world.now(), |real| real.clock.now())
    }

    /// An exchange begins on the client's end of a connection; of data that only the server sends, on the server's, which
    /// knows what holds it.
    pub fn begin(&mut self, near: impl Into<End>) -> Start {
        let charged = self.charged(near.into()).unwrap_or_default();
        Start { at: self.now(), charged }
    }

    /// The same with the connection that is made next.
    pub fn begin_anew(&self) -> Start {
        Start { at: self.now(), charged: Parts::default() }
    }

    /// The exchange is over: how long it took. What that went to by that end's records belongs to the row.
    pub fn over(&mut self, near: impl Into<End>, start: Start) -> Duration {
        let near = near.into();
        if let Some(charged) = self.charged(near) {
            let parts = charged - start.charged;
            debug_assert!(self.sums_up(near, start, parts), "{parts:?}");
            self.spent(parts);
        }
        self.now().since(start.at)
    }

    /// Whether nothing is missing of an exchange. After a reset nothing more is charged, and in real time clocks differ.
    fn sums_up(&mut self, near: End, start: Start, parts: Parts) -> bool {
        let End::Simulated(socket) = near else { return true };
        let (total, now) = (parts.total().as_micros() as u64, self.now().as_micros());
        let took = now - start.at.as_micros();
        total == took || (total < took && self.world.state(socket) == State::Closed)
    }

    /// What the time of one more exchange of the client went to.
    pub fn spent(&mut self, parts: Parts) {
        self.ledger += parts;
    }

    /// The client waited for a port.
    pub fn port_was_awaited(&mut self, time: Duration) {
        self.ledger.add(Part::PortWait, time);
    }

    /// All that was charged to a connection of ours.
    fn charged(&mut self, end: End) -> Option<Parts> {
        let now = self.now();
        match (&self.real, end) {
            (Some(real), End::Real(n)) => real.stream(n).ok()?.ledger(),
            (None, End::Simulated(socket)) => {
                let stack = self.world.stack(socket.host);
                stack.conn(socket.id)?;
                Some(stack.cut_ledger(now, socket.id))
            }
            _ => None,
        }
    }

    /// Packets that a host sent for a cause.
    pub fn sent(&mut self, host: HostId, word: &str) -> u64 {
        self.world.stack(host).tracer().counts().of(word, Direction::Out)
    }

    /// Packets that a host received with a verdict.
    pub fn received(&mut self, host: HostId, word: &str) -> u64 {
        self.world.stack(host).tracer().counts().of(word, Direction::In)
    }

    /// Packets that the client, or else the server, sent for a cause; none can be said of a kernel.
    pub fn sent_by(&mut self, client: bool, word: &'static str) -> Option<u64> {
        match self.peer() {
            Peer::Ours => Some(self.sent(if client { self.client } else { self.server }, word)),
            Peer::LinuxServer if client => Some(self.tally.sent(word)),
            Peer::LinuxClient if !client => Some(self.tally.sent(word)),
            _ => None,
        }
    }

    /// How many flows of the client, or else of the server, are in TIME-WAIT, and what its connections take beside their
    /// buffers; a kernel does not say.
    pub fn tables(&mut self, client: bool) -> Result<Option<(u64, u64)>, LabError> {
        let ours = if client { Peer::LinuxServer } else { Peer::LinuxClient };
        let peer = self.peer();
        match (&mut self.real, peer) {
            (None, _) => {
                let stack = self.world.stack(if client { self.client } else { self.server });
                Ok(Some((stack.time_waits() as u64, stack.overhead())))
            }
            (Some(real), peer) if peer == ours => {
                let handle = real.start(vec![])?;
                Ok(Some(handle.call(|stack, _| (stack.time_waits() as u64, stack.overhead()))?))
            }
            _ => Ok(None),
        }
    }

    /// What the client has sent and received so far.
    pub fn ways(&self) -> (Way, Way) {
        let (sent, received) = self.tally.ways();
        // What our server receives is what the kernel's client has sent.
        if self.peer() == Peer::LinuxClient { (received, sent) } else { (sent, received) }
    }

    /// By how much a time may be late: nothing in virtual time. In real time two fifths of a round trip, which tells one
    /// round trip from two and leaves to a busy machine what it needs; and of what takes long, a twentieth in addition.
    pub fn late(&self) -> Duration {
        if self.real.is_some() { self.settings.link.rtt * 2 / 5 } else { Duration::ZERO }
    }

    fn band(&self, expected: Duration) -> (Duration, Duration) {
        (expected.saturating_sub(EARLY), expected + self.late() + expected / 20)
    }

    /// Whether a span of time is what was computed.
    pub fn agrees(&self, value: Duration, expected: Duration) -> bool {
        match &self.real {
            None => value.abs_diff(expected) <= TOLERANCE,
            Some(_) => {
                let (low, high) = self.band(expected);
                (low..=high).contains(&value)
            }
        }
    }

    /// What a claim finds here, after the measurements it rests on. Where a machine is late, that tells nothing: if
    /// something came later than computed, and if a claim does not hold where a rest took too long.
    pub fn case(&self, held: bool, found: impl Into<Found>, at: impl Into<String>) -> Case {
        Case::new(held, found, at).unless(self.is_late() || (!held && self.overslept()))
    }

    /// Whether something came later than computed, which a busy machine explains.
    pub fn is_late(&self) -> bool {
        self.overslept() && self.cells.iter().any(Cell::is_late)
    }

    /// Whether the machine had no time for us: a rest took too long.
    pub fn overslept(&self) -> bool {
        self.real.as_ref().is_some_and(|real| self.overslept.max(real.watch.most()) > LATE)
    }

    /// A measurement for which nothing is expected.
    pub fn note(&mut self, name: &'static str, value: Quantity) {
        self.cells.push(Cell { name, value, expected: Expected::Anything });
    }

    /// A measurement that has to come out exactly.
    pub fn exactly(&mut self, name: &'static str, value: Quantity, expected: Quantity) {
        self.cells.push(Cell { name, value, expected: Expected::Exactly(expected) });
    }

    /// A span of time that has to come out to the microsecond; in real time a little later, or a tick earlier.
    pub fn time(&mut self, name: &'static str, value: Duration, expected: Duration) {
        let value = Quantity::Time(value);
        if self.real.is_none() {
            return self.exactly(name, value, Quantity::Time(expected));
        }
        let (low, high) = self.band(expected);
        self.between(name, value, Quantity::Time(low), Quantity::Time(high));
    }

    /// A count that has to come out exactly, if it can be known.
    pub fn count_if_known(&mut self, name: &'static str, value: Option<u64>, expected: u64) {
        match value {
            Some(value) => self.count(name, value, expected),
            None => self.note(name, Quantity::Word("unknown")),
        }
    }

    /// A count that has to come out exactly.
    pub fn count(&mut self, name: &'static str, value: u64, expected: u64) {
        self.exactly(name, Quantity::Count(value), Quantity::Count(expected));
    }

    /// A measurement that has to be in a band.
    pub fn between(&mut self, name: &'static str, value: Quantity, low: Quantity, high: Quantity) {
        if low == high {
            return self.exactly(name, value, low);
        }
        self.cells.push(Cell { name, value, expected: Expected::Between(low, high) });
    }

    /// Ends the world, which completes the captures; only numbers can be added now.
    pub fn end(&mut self) -> Result<(), LabError> {
        if let Some(real) = &mut self.real {
            real.end()?;
        }
        let empty = World::new(self.seed, self.settings.link.clone());
        Ok(std::mem::replace(&mut self.world, empty).finish()?)
    }

    /// Ends the arm.
    pub fn finish(mut self) -> Result<Row, LabError> {
        self.end()?;
        // In real time the first packet is at the time of day.
        let first = if self.real.is_some() { self.tally.first() } else { Some(Instant::ZERO) };
        let from = first.map_or(Duration::ZERO, |first| self.from.since(first));
        let ledger = (self.peer() != Peer::LinuxClient).then_some(self.ledger);
        let late = self.overslept();
        Ok(Row { varied: self.varied, from, late, cells: self.cells, ledger, captures: self.captures })
    }
}

fn elsewhere() -> LabError {
    LabError::new("a socket of virtual time has no place in real time, nor the other way round")
}

fn config(settings: &Settings, addrs: &Addrs, addr: IpAddr, seed: u64) -> stack::Config {
    stack::Config { seed, dns: vec![addrs.names], ..crate::sim::host_config(addr, settings.tcp.clone()) }
}

//! What does one arm of an experiment have? Hosts in virtual time, a stop-watch, a capture and a row of measurements.

use super::quantity::{Cell, Expected, Quantity};
use super::tally::{Tally, Way};
use super::{LabError, Row};
use crate::settings::Settings;
use crate::sim::{HostId, Socket, World};
use crate::stack;
use crate::stream::{ByteStream, StreamError};
use crate::time::{Duration, Instant};
use crate::trace::{Direction, Sink, Tracer};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
pub(super) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// Where the hosts look for a name server; an experiment that uses names puts one there.
pub(super) const NAMES: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 53));
/// The client's other address.
pub(super) const CLIENT_TOO: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 9));
/// Where servers listen.
pub(super) const WEB: SocketAddr = SocketAddr::new(SERVER, 80);

/// A client and a server on one link, and what was measured there.
pub(super) struct Arm {
    pub world: World,
    pub client: HostId,
    pub server: HostId,
    pub settings: Settings,
    seed: u64,
    tally: Tally,
    varied: Vec<(String, String)>,
    cells: Vec<Cell>,
    from: Instant,
    capture: String,
}

impl Arm {
    /// Both hosts run with the same settings; `sink` gets what the client sees.
    pub fn new(
        settings: &Settings,
        seed: u64,
        varied: Vec<(String, String)>,
        capture: Option<(String, Box<dyn Sink>)>,
    ) -> Arm {
        let mut world = World::new(seed, settings.link.clone());
        // That hosts keep TCP's promises is what the simulator's own tests verify; it would take most of the time here.
        world.check_invariants(false);
        let tally = Tally::default();
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(tally.clone())];
        let (capture, sink) = capture.unzip();
        sinks.extend(sink);
        let mut here = config(settings, CLIENT, seed);
        here.addrs.push((CLIENT_TOO, 24));
        let client = world.add_host("client", here, Tracer::new(sinks));
        let server = world.add_host("server", config(settings, SERVER, seed), Tracer::default());
        let (settings, capture) = (settings.clone(), capture.unwrap_or_default());
        Arm {
            world,
            client,
            server,
            settings,
            seed,
            tally,
            varied,
            cells: Vec::new(),
            from: Instant::ZERO,
            capture,
        }
    }

    /// One more host, without a trace.
    pub fn host(&mut self, name: &str, addr: [u8; 4]) -> HostId {
        self.world.add_host(name, config(&self.settings, addr.into(), self.seed), Tracer::default())
    }

    /// Connects and returns both ends; nothing is under way any more.
    pub fn pair(&mut self) -> Result<(Socket, Socket), LabError> {
        let pair = self.world.pair(self.client, self.server, WEB)?;
        self.quiet();
        self.from = self.now();
        Ok(pair)
    }

    /// A first exchange, as on a kept connection: the window that a SYN cannot express has been announced after it,
    /// which would otherwise acknowledge a first piece of data at once.
    pub fn warm_pair(&mut self) -> Result<(Socket, Socket), LabError> {
        let (near, far) = self.pair()?;
        self.write(near, 1)?;
        self.read(far, 1)?;
        self.write(far, 1)?;
        self.read(near, 1)?;
        self.quiet();
        self.from = self.now();
        Ok((near, far))
    }

    /// Lets what is under way arrive: longer than any timer of an idle connection that is not for its death.
    pub fn quiet(&mut self) {
        let trip = self.settings.link.rtt;
        self.world.run_for(trip * 2 + Duration::from_secs(1));
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.world.run_for(time);
    }

    /// Writes, and lets the stack see the write before the next one.
    pub fn write(&mut self, socket: Socket, len: usize) -> Result<(), LabError> {
        self.world.write_all(socket, &vec![b'x'; len])?;
        self.world.run_for(Duration::ZERO);
        Ok(())
    }

    /// Reads so many bytes.
    pub fn read(&mut self, socket: Socket, len: usize) -> Result<(), LabError> {
        Ok(self.world.read_exact(socket, &mut vec![0; len])?)
    }

    /// Reads until `end` and returns when how many bytes in all had been read. A connection that ends is an end, too.
    pub fn read_log(&mut self, socket: Socket, end: Instant) -> Vec<(Instant, u64)> {
        let (mut log, mut total, mut buf) = (Vec::new(), 0, vec![0; 64 << 10]);
        let left = end.since(self.now());
        self.world.run_until(left, |world| {
            let now = world.now();
            while let Ok(n @ 1..) = world.stack(socket.host).stream(now, socket.id).read(&mut buf) {
                total += n as u64;
                log.push((now, total));
            }
            false
        });
        log
    }

    /// What can be read without waiting, and how that ended: with nothing more for now, a FIN or an error.
    pub fn read_available(&mut self, socket: Socket) -> (Vec<u8>, Result<(), StreamError>) {
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
        self.world.now()
    }

    /// Packets that a host sent for a cause.
    pub fn sent(&mut self, host: HostId, word: &str) -> u64 {
        self.world.stack(host).tracer().counts().of(word, Direction::Out)
    }

    /// Packets that a host received with a verdict.
    pub fn received(&mut self, host: HostId, word: &str) -> u64 {
        self.world.stack(host).tracer().counts().of(word, Direction::In)
    }

    /// What the client has sent and received so far.
    pub fn ways(&self) -> (Way, Way) {
        self.tally.ways()
    }

    /// A measurement for which nothing is expected.
    pub fn note(&mut self, name: &'static str, value: Quantity) {
        self.cells.push(Cell { name, value, expected: Expected::Anything });
    }

    /// A measurement that has to come out exactly.
    pub fn exactly(&mut self, name: &'static str, value: Quantity, expected: Quantity) {
        self.cells.push(Cell { name, value, expected: Expected::Exactly(expected) });
    }

    /// A span of time that has to come out to the microsecond.
    pub fn time(&mut self, name: &'static str, value: Duration, expected: Duration) {
        self.exactly(name, Quantity::Time(value), Quantity::Time(expected));
    }

    /// A count that has to come out exactly.
    pub fn count(&mut self, name: &'static str, value: u64, expected: u64) {
        self.exactly(name, Quantity::Count(value), Quantity::Count(expected));
    }

    /// A measurement that has to be in a band.
    pub fn between(&mut self, name: &'static str, value: Quantity, low: Quantity, high: Quantity) {
        self.cells.push(Cell { name, value, expected: Expected::Between(low, high) });
    }

    /// Ends the world, which completes the captures; only numbers can be added now.
    pub fn end(&mut self) -> Result<(), LabError> {
        let empty = World::new(self.seed, self.settings.link.clone());
        Ok(std::mem::replace(&mut self.world, empty).finish()?)
    }

    /// Ends the arm.
    pub fn finish(mut self) -> Result<Row, LabError> {
        self.end()?;
        let from = self.from.since(Instant::ZERO);
        Ok(Row { varied: self.varied, from, cells: self.cells, capture: self.capture })
    }
}

fn config(settings: &Settings, addr: IpAddr, seed: u64) -> stack::Config {
    stack::Config { seed, dns: vec![NAMES], ..crate::sim::host_config(addr, settings.tcp.clone()) }
}

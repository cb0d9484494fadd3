//! Two stacks on one wire, in virtual time.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tcpglass::segment::Segment;
use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{Config, ConnId, ListenerId, Owner, Ready, Stack};
use tcpglass::stream::{ByteStream, StreamError};
use tcpglass::tcp;
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::{Direction, EventKind, Record, Sink, Tracer, Why};
use tcpglass::wire::{self, Decoded, Envelope, Packet};

/// The owner of all sockets in these tests.
pub const OWNER: Owner = Owner(1);

/// The client's addresses.
pub const A4: &str = "10.0.0.1";
pub const A6: &str = "fd00::1";
/// The server's addresses.
pub const B4: &str = "10.0.0.2";
pub const B6: &str = "fd00::2";

pub fn addr(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

pub fn config(addrs: [&str; 2], seed: u64) -> Config {
    let addrs: [IpAddr; 2] = addrs.map(|ip| ip.parse().unwrap());
    Config {
        tcp: tcp::Config::linux(),
        addrs: vec![(addrs[0], 24), (addrs[1], 64)],
        gateways: vec![],
        mtu: 1500,
        seed,
        dns: vec![],
    }
}

/// One line per record: `in drop-backlog`, `out syn #1`, `port …`.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub fn count(&self, line: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|l| *l == line).count()
    }
}

impl Sink for Lines {
    fn record(&mut self, record: &Record<'_>) {
        let line = match record {
            Record::Packet(packet) => {
                let way = if packet.direction == Direction::In { "in" } else { "out" };
                let number = packet.conn.map_or(String::new(), |n| format!(" #{n}"));
                let said = match packet.why {
                    Why::Host { word, text } => format!("{word}: {text}"),
                    why => why.word().to_owned(),
                };
                format!("{way} {said}{number}")
            }
            Record::Event(event) => match event.kind {
                EventKind::Port { text } => format!("port {text}"),
                EventKind::App { word, text } => format!("app {word} {text}"),
                _ => return,
            },
        };
        self.0.lock().unwrap().push(line);
    }

    fn wants_events(&self) -> bool {
        true
    }

    fn finish(self: Box<Self>) -> std::io::Result<()> {
        Ok(())
    }
}

pub struct Host {
    pub stack: Stack,
    pub device: QueueDevice,
    pub lines: Lines,
}

impl Host {
    pub fn new(config: Config) -> Host {
        let lines = Lines::default();
        let device = QueueDevice::new(config.mtu, 4096);
        Host { stack: Stack::new(config, Tracer::new(vec![Box::new(lines.clone())])), device, lines }
    }

    /// Takes what the stack has to send now.
    pub fn sent(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.stack.transmit(now, &mut self.device, usize::MAX);
        let mut frames = vec![];
        let mut frame = vec![];
        while self.device.pop(&mut frame).is_some() {
            frames.push(frame.clone());
        }
        frames
    }

    /// The TCP segments among what the stack has to send now.
    pub fn segments(&mut self, now: Instant) -> Vec<Segment> {
        self.sent(now).iter().map(|frame| tcp_of(frame).seg).collect()
    }

    /// Hands the stack a segment.
    pub fn hear(&mut self, now: Instant, src: SocketAddr, dst: SocketAddr, seg: Segment, payload: &[u8]) {
        self.stack.on_frame(now, &packet(src, dst, seg, payload));
    }

    pub fn events(&mut self) -> Vec<Ready> {
        std::iter::from_fn(|| self.stack.ready(OWNER)).collect()
    }
}

/// The client is `a`, the server `b`.
pub struct Lan {
    pub now: Instant,
    pub a: Host,
    pub b: Host,
    /// Says which frames get through.
    pub passes: fn(&[u8]) -> bool,
}

impl Lan {
    pub fn new() -> Lan {
        Lan::with(|_| {})
    }

    /// Settings other than the default, the same on both sides.
    pub fn with(change: impl Fn(&mut Config)) -> Lan {
        let host = |addrs, seed| {
            let mut config = config(addrs, seed);
            change(&mut config);
            Host::new(config)
        };
        Lan { now: Instant::from_millis(1_000), a: host([A4, A6], 1), b: host([B4, B6], 2), passes: |_| true }
    }

    /// Carries packets until nobody has one to send.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let busy = carry(self.now, &mut self.a, &mut self.b, self.passes);
            let quiet = !(carry(self.now, &mut self.b, &mut self.a, self.passes) || busy);
            if quiet {
                return;
            }
        }
        panic!("the two never stop talking");
    }

    /// Lets time pass, every timer at its time.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while let Some(at) = [&self.a, &self.b]
            .into_iter()
            .filter_map(|host| host.stack.next_deadline())
            .min()
            .filter(|&t| t <= end)
        {
            self.now = self.now.max(at);
            self.a.stack.on_timeout(self.now);
            self.b.stack.on_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// A listener of `b` and a connection of `a` to it, accepted.
    pub fn connected(&mut self) -> (ListenerId, ConnId, ConnId) {
        let listener = self.b.stack.listen(addr(B4, 80), None, OWNER).unwrap();
        let client = self.a.stack.connect(self.now, addr(B4, 80), None, None, OWNER).unwrap();
        self.settle();
        let server = self.b.stack.accept(listener, OWNER).expect("a connection waits").id;
        self.a.events();
        self.b.events();
        (listener, client, server)
    }
}

/// Takes to `to` what `from` has to send now; false if that is nothing.
fn carry(now: Instant, from: &mut Host, to: &mut Host, passes: fn(&[u8]) -> bool) -> bool {
    if from.stack.next_deadline().is_some_and(|at| at <= now) {
        from.stack.on_timeout(now);
    }
    let frames = from.sent(now);
    for frame in frames.iter().filter(|frame| passes(frame)) {
        to.stack.on_frame(now, frame);
        // As with a device that is polled after each frame.
        to.stack.transmit(now, &mut to.device, usize::MAX);
    }
    !frames.is_empty()
}

pub fn write(stack: &mut Stack, now: Instant, id: ConnId, data: &[u8]) {
    assert_eq!(stack.stream(now, id).write(data), Ok(data.len()));
}

pub fn read(stack: &mut Stack, now: Instant, id: ConnId) -> Result<Vec<u8>, StreamError> {
    let mut buf = vec![0; 100_000];
    let n = stack.stream(now, id).read(&mut buf)?;
    buf.truncate(n);
    Ok(buf)
}

/// The bytes of a TCP packet.
pub fn packet(src: SocketAddr, dst: SocketAddr, seg: Segment, payload: &[u8]) -> Vec<u8> {
    let envelope = Envelope { src, dst, ecn: tcpglass::segment::Ecn::NotEct, dscp: 0, ident: 7, hops: 64 };
    let seg = Segment { len: payload.len() as u32, ..seg };
    let mut frame = vec![0; wire::encoded_len(&envelope, &seg)];
    wire::encode(&mut frame, &envelope, &seg, [payload, &[]]);
    frame
}

pub fn tcp_of(frame: &[u8]) -> Packet<'_> {
    match wire::decode(frame, true) {
        Ok(Decoded::Tcp(packet)) => packet,
        other => panic!("no TCP packet: {other:?}"),
    }
}

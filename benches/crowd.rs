//! What is it like to have thousands connected? An HTTP server and its stack, and clients of which each is two numbers.

// Each user needs a part of it.
#![allow(dead_code)]

use std::net::{IpAddr, SocketAddr};
use tcpglass::http;
use tcpglass::segment::{Ecn, Flags, Options, Segment, Timestamps};
use tcpglass::seq::Seq;
use tcpglass::service::{HttpServer, Service, Site};
use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{self, Owner, Stack};
use tcpglass::tcp;
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;
use tcpglass::wire::{self, Decoded, Envelope};

/// What is asked for: 200 bytes, and 41 to ask.
const REQUEST: &[u8] = b"GET /bytes/200 HTTP/1.1\r\nHost: glass\r\n\r\n";
/// The same, for the last time.
const LAST: &[u8] = b"GET /bytes/200 HTTP/1.1\r\nHost: glass\r\nConnection: close\r\n\r\n";

/// A server with its kept connections.
pub struct Crowd {
    now: Instant,
    stack: Stack,
    server: HttpServer,
    device: QueueDevice,
    local: SocketAddr,
    clients: Vec<Client>,
    frame: Vec<u8>,
}

/// SND.NXT and RCV.NXT of a client.
#[derive(Clone, Copy)]
struct Client {
    seq: Seq,
    ack: Seq,
}

impl Crowd {
    /// Bytes that a client takes.
    pub const CLIENT: usize = size_of::<Client>();

    /// Nobody yet; room for `most`.
    pub fn new(six: bool, most: usize) -> Crowd {
        let ip: IpAddr = if six { [0xfd00, 0, 0, 0, 0, 0, 0, 2].into() } else { [10, 0, 0, 2].into() };
        let hour = Duration::from_secs(3600);
        let config = stack::Config {
            tcp: tcp::Config { time_wait: hour, time_wait_limit: u32::MAX, ..tcp::Config::linux() },
            addrs: vec![(ip, if six { 64 } else { 8 })],
            gateways: vec![],
            mtu: 1500,
            seed: 1,
            dns: vec![],
        };
        let local = SocketAddr::new(ip, 80);
        let http = http::Config {
            keepalive_timeout: hour,
            keepalive_max: 0,
            max_connections: most as u32 + 1,
            ..http::Config::linux()
        };
        Crowd {
            now: Instant::from_millis(1),
            stack: Stack::new(config, Tracer::default()),
            server: HttpServer::new(Owner(1), vec![local], Site::default(), http),
            device: QueueDevice::new(1500, 64),
            local,
            clients: Vec::with_capacity(most),
            frame: Vec::new(),
        }
    }

    fn remote(&self, n: usize) -> SocketAddr {
        let (host, port) = ((n / 60_000) as u16, 1024 + (n % 60_000) as u16);
        match self.local {
            SocketAddr::V4(_) => SocketAddr::new([10, 1, (host >> 8) as u8, host as u8].into(), port),
            SocketAddr::V6(_) => SocketAddr::new([0xfd00, 0, 0, 0, 0, 0, 1, host].into(), port),
        }
    }

    /// A segment of client `n`, and what comes back of it.
    fn say(&mut self, n: usize, flags: Flags, options: Options, payload: &[u8]) -> usize {
        let Client { seq, ack } = self.clients[n];
        let stamps = Timestamps { value: self.now.as_millis() as u32, echo: self.now.as_millis() as u32 };
        let seg = Segment {
            seq,
            ack: if flags.contains(Flags::ACK) { ack } else { Seq(0) },
            flags,
            window: 60_000,
            options: Options { timestamps: Some(stamps), ..options },
            len: payload.len() as u32,
            ..Segment::default()
        };
        let envelope = Envelope {
            src: self.remote(n),
            dst: self.local,
            ecn: Ecn::NotEct,
            dscp: 0,
            ident: n as u16,
            hops: 64,
        };
        self.frame.resize(wire::encoded_len(&envelope, &seg), 0);
        wire::encode(&mut self.frame, &envelope, &seg, [payload, &[]]);
        self.clients[n].seq = seg.end();
        self.stack.on_frame(self.now, &self.frame);
        self.turn()
    }

    /// The server works, and the clients take note of what they get. Returns the bytes.
    fn turn(&mut self) -> usize {
        let mut bytes = 0;
        self.server.poll(self.now, &mut self.stack);
        while self.stack.transmit(self.now, &mut self.device, 64) > 0 {
            while self.device.pop(&mut self.frame).is_some() {
                let Ok(Decoded::Tcp(packet)) = wire::decode(&self.frame, true) else {
                    panic!("a sound packet")
                };
                let dst = packet.envelope.dst;
                let host = match dst.ip() {
                    IpAddr::V4(ip) => usize::from(ip.octets()[2]) << 8 | usize::from(ip.octets()[3]),
                    IpAddr::V6(ip) => usize::from(ip.segments()[7]),
                };
                let client = &mut self.clients[host * 60_000 + usize::from(dst.port()) - 1024];
                let first = packet.seg.flags.contains(Flags::SYN);
                client.ack = if first { packet.seg.end() } else { client.ack.max(packet.seg.end()) };
                bytes += packet.payload.len();
            }
            self.server.poll(self.now, &mut self.stack);
        }
        bytes
    }

    /// One more client connects, and makes its first request.
    pub fn join(&mut self) {
        let n = self.clients.len();
        self.clients.push(Client { seq: Seq((n as u32).wrapping_mul(0x9e37_79b9)), ack: Seq(0) });
        self.now += Duration::from_micros(50);
        self.server.poll(self.now, &mut self.stack);
        let options =
            Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..Options::default() };
        self.say(n, Flags::SYN, options, &[]);
        self.request(n);
    }

    /// A request of client `n` and its answer, acknowledged. Returns the bytes of the answer.
    pub fn request(&mut self, n: usize) -> usize {
        self.now += Duration::from_micros(50);
        let bytes = self.say(n, Flags::ACK | Flags::PSH, Options::default(), REQUEST);
        self.say(n, Flags::ACK, Options::default(), &[]);
        if self.stack.next_deadline().is_some_and(|at| at <= self.now) {
            self.stack.on_timeout(self.now);
            self.turn();
        }
        bytes
    }

    /// Client `n` asks for the last time: the server closes first, and keeps it in TIME-WAIT.
    pub fn leave(&mut self, n: usize) {
        self.now += Duration::from_micros(50);
        self.say(n, Flags::ACK | Flags::PSH, Options::default(), LAST);
        self.say(n, Flags::ACK | Flags::FIN, Options::default(), &[]);
    }

    /// How many are in TIME-WAIT.
    pub fn time_waits(&self) -> usize {
        self.stack.time_waits()
    }

    /// Ten seconds without anything.
    pub fn rest(&mut self) {
        let until = self.now + Duration::from_secs(10);
        while let Some(at) = self.stack.next_deadline().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.stack.on_timeout(self.now);
            self.turn();
        }
        self.now = until;
    }

    /// How many are connected.
    pub fn connected(&self) -> usize {
        assert_eq!(self.server.connections(), self.stack.open_connections());
        self.server.connections()
    }
}

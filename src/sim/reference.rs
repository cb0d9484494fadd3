//! How would another TCP answer? smoltcp's own socket as a host of the simulated network.

use crate::service::pattern;
use crate::stack::queue_device::QueueDevice;
use crate::time::{Duration, Instant};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{HardwareAddress, IpCidr};
use std::net::{IpAddr, SocketAddr};

pub use smoltcp::socket::tcp::State as ReferenceState;

/// Times that a socket with something to say comes to word at one moment, and many more.
const MOST_ROUNDS: u32 = 10_000;

/// A host with one connection of smoltcp's `tcp::Socket`, which reads whatever comes and sends the bytes of
/// [`pattern`].
pub struct Reference {
    iface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    addr: IpAddr,
    mtu: u16,
    to_send: u64,
    sent: u64,
    received: u64,
    mismatch: Option<u64>,
    reading: bool,
    closing: bool,
    babbles: bool,
    deadline: Option<Instant>,
}

impl Reference {
    /// A host at `addr` whose socket has two buffers of `buffer` bytes. `seed` chooses its sequence numbers.
    pub fn new(addr: IpAddr, mtu: u16, buffer: usize, seed: u64) -> Reference {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut iface = Interface::new(config, &mut QueueDevice::new(mtu, 1), Instant::ZERO.into());
        // Every address is on the link, so no route is needed.
        iface.update_ip_addrs(|addrs| {
            addrs.extend([IpCidr::new(addr.into(), 0)].map(Some).into_iter().flatten())
        });
        let ring = || tcp::SocketBuffer::new(vec![0; buffer]);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(tcp::Socket::new(ring(), ring()));
        Reference {
            iface,
            sockets,
            socket,
            addr,
            mtu,
            to_send: 0,
            sent: 0,
            received: 0,
            mismatch: None,
            reading: true,
            closing: false,
            babbles: false,
            deadline: None,
        }
    }

    /// Its address.
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Its MTU in bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Waits for a connection on `port`.
    ///
    /// # Panics
    /// When the socket is in use, or for port 0.
    pub fn listen(&mut self, port: u16) {
        let local = smoltcp::wire::IpAddress::from(self.addr);
        self.tcp().listen((local, port)).expect("a closed socket and a port");
    }

    /// Opens a connection from `port` to `remote`.
    ///
    /// # Panics
    /// When the socket is in use, or for port 0.
    pub fn connect(&mut self, port: u16, remote: SocketAddr) {
        let socket = self.sockets.get_mut::<tcp::Socket>(self.socket);
        socket
            .connect(self.iface.context(), remote, SocketAddr::new(self.addr, port))
            .expect("a closed socket and two addresses");
    }

    /// Sends `bytes` more bytes of the pattern.
    pub fn send(&mut self, bytes: u64) {
        self.to_send += bytes;
    }

    /// Closes its side once everything has been handed to the socket.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Whether it reads what comes; if not, its window closes.
    pub fn set_reading(&mut self, on: bool) {
        self.reading = on;
    }

    /// Bytes read.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The offset of the first byte read that was not the pattern's.
    pub fn mismatch(&self) -> Option<u64> {
        self.mismatch
    }

    /// The state of its connection.
    pub fn state(&self) -> ReferenceState {
        self.sockets.get::<tcp::Socket>(self.socket).state()
    }

    /// Bytes handed to the socket that the peer has not acknowledged.
    pub fn unacked(&self) -> usize {
        self.sockets.get::<tcp::Socket>(self.socket).send_queue()
    }

    /// Whether something that it has to send, its FIN included, has not been acknowledged.
    pub fn owes(&self) -> bool {
        use ReferenceState::{Closing, FinWait1, LastAck};
        self.unacked() > 0 || matches!(self.state(), FinWait1 | Closing | LastAck)
    }

    /// Whether its socket found something to do without end at one moment. It does nothing more from then on.
    pub fn babbles(&self) -> bool {
        self.babbles
    }

    /// smoltcp's socket itself, for its options.
    pub fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    pub(super) fn turn(&mut self, now: Instant, device: &mut QueueDevice) {
        if self.babbles {
            return self.deadline = None;
        }
        self.iface.poll_maintenance(now.into());
        let mut receive = || self.iface.poll_ingress_single(now.into(), device, &mut self.sockets);
        while receive() != PollIngressSingleResult::None {}
        let mut rounds = 0..MOST_ROUNDS;
        let mut send = || self.iface.poll_egress(now.into(), device, &mut self.sockets);
        // `Interface::poll` would go on for ever.
        self.babbles = rounds.all(|_| send() != PollResult::None);
        self.work();
        self.iface.poll_egress(now.into(), device, &mut self.sockets);
        // It counts microseconds: what is due now has been done, so look again with its next tick.
        self.deadline = self.iface.poll_at(now.into(), &self.sockets).map(|at| {
            let at = Instant::from_micros(u64::try_from(at.total_micros()).unwrap_or(0));
            if at > now { at } else { now + Duration::from_micros(1) }
        });
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn work(&mut self) {
        let socket = self.sockets.get_mut::<tcp::Socket>(self.socket);
        let mut expected = [0; 4096];
        while self.reading && socket.can_recv() {
            let (received, mismatch) = (&mut self.received, &mut self.mismatch);
            let read = socket.recv(|data| {
                let n = data.len().min(expected.len());
                pattern(*received, &mut expected[..n]);
                if let Some(wrong) = data.iter().zip(&expected[..n]).position(|(a, b)| a != b) {
                    mismatch.get_or_insert(*received + wrong as u64);
                }
                *received += n as u64;
                (n, ())
            });
            if read.is_err() {
                break;
            }
        }
        while self.sent < self.to_send && socket.can_send() {
            let (left, first) = (self.to_send - self.sent, self.sent);
            let written = socket.send(|room| {
                let n = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                pattern(first, &mut room[..n]);
                (n, n)
            });
            match written {
                Ok(n) => self.sent += n as u64,
                Err(_) => break,
            }
        }
        if self.closing && self.sent == self.to_send {
            self.closing = false;
            socket.close();
        }
    }
}

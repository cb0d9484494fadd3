//! Two hosts of our own, back to back, without a network in between.

use std::net::{IpAddr, SocketAddr};
use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{self, ConnId, ListenerId, Owner, Stack};
use tcpglass::stream::ByteStream;
use tcpglass::tcp;
use tcpglass::time::Instant;
use tcpglass::trace::Tracer;

pub const OWNER: Owner = Owner(1);

pub struct Hosts {
    pub now: Instant,
    pub stacks: [Stack; 2],
    pub packets: u64,
    listener: ListenerId,
    server: SocketAddr,
    devices: [QueueDevice; 2],
    frame: Vec<u8>,
}

/// The addresses of two hosts in either family.
pub fn families() -> [[IpAddr; 2]; 2] {
    let v6 = |n: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]);
    [[[10, 0, 0, 1].into(), [10, 0, 0, 2].into()], [v6(1), v6(2)]]
}

impl Hosts {
    /// The second one listens.
    pub fn new(addrs: [IpAddr; 2], tcp: &tcp::Config) -> Hosts {
        let host = |n: usize| {
            let config = stack::Config {
                tcp: tcp.clone(),
                addrs: vec![(addrs[n], if addrs[n].is_ipv4() { 24 } else { 64 })],
                gateways: vec![],
                mtu: 1500,
                seed: n as u64,
                dns: vec![],
            };
            Stack::new(config, Tracer::default())
        };
        let devices = [QueueDevice::new(1500, 4096), QueueDevice::new(1500, 4096)];
        let (mut stacks, server) = ([host(0), host(1)], SocketAddr::new(addrs[1], 80));
        let listener = stacks[1].listen(server, None, OWNER).unwrap();
        let now = Instant::from_millis(1);
        Hosts { now, stacks, packets: 0, listener, server, devices, frame: Vec::new() }
    }

    /// Until neither has anything to send.
    pub fn settle(&mut self) {
        loop {
            let mut busy = false;
            for (stack, device) in std::iter::zip(&mut self.stacks, &mut self.devices) {
                busy |= stack.poll(|| self.now, device, 64);
                while stack.ready(OWNER).is_some() {}
            }
            for from in 0..2 {
                while self.devices[from].pop(&mut self.frame).is_some() {
                    self.devices[1 - from].push(&self.frame);
                    self.packets += 1;
                }
            }
            if !busy {
                return;
            }
        }
    }

    /// A new connection; its ends.
    pub fn connection(&mut self) -> [ConnId; 2] {
        let client = self.stacks[0].connect(self.now, self.server, None, None, OWNER).unwrap();
        self.settle();
        [client, self.stacks[1].accept(self.listener, OWNER).unwrap().id]
    }

    /// One end writes as much of `bytes` as it can; how much.
    pub fn write(&mut self, from: usize, ids: [ConnId; 2], bytes: &[u8]) -> usize {
        let written = self.stacks[from].stream(self.now, ids[from]).write(bytes).unwrap_or(0);
        self.settle();
        written
    }

    /// The other end reads what there is; how much.
    pub fn read(&mut self, from: usize, ids: [ConnId; 2], buf: &mut [u8]) -> usize {
        let mut read = 0;
        while let Ok(n @ 1..) = self.stacks[1 - from].stream(self.now, ids[1 - from]).read(buf) {
            read += n;
        }
        self.settle();
        read
    }
}

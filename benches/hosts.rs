//! How do two stacks talk without a network? Their devices are carried back and forth by hand.
// Each benchmark uses a part of it.
#![allow(dead_code)]

use std::hint::black_box;
use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{self, ConnId, ListenerId, Owner, Ready, Stack};
use tcpglass::stream::ByteStream;
use tcpglass::tcp;
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;

/// Whose the first host's sockets are.
pub const CLIENT: Owner = Owner(1);
/// Whose the second one's are.
pub const SERVER: Owner = Owner(2);

/// Two hosts, the second of which listens.
pub struct Hosts {
    pub now: Instant,
    pub stacks: [Stack; 2],
    devices: [QueueDevice; 2],
    frame: Vec<u8>,
    listener: ListenerId,
}

impl Hosts {
    pub fn new() -> Hosts {
        let stack = |n: u8| {
            let config = stack::Config {
                tcp: tcp::Config {
                    ports_first: 1024,
                    ports_last: 65_535,
                    backlog: 60_000,
                    ..tcp::Config::linux()
                },
                addrs: vec![([10, 0, 0, n].into(), 24)],
                gateways: vec![],
                mtu: 1500,
                seed: u64::from(n),
                dns: vec![],
            };
            Stack::new(config, Tracer::default())
        };
        let mut stacks = [stack(1), stack(2)];
        let listener = stacks[1].listen(([10, 0, 0, 2], 80).into(), None, SERVER).unwrap();
        let devices = [QueueDevice::new(1500, 4096), QueueDevice::new(1500, 4096)];
        Hosts { now: Instant::from_millis(1), stacks, devices, frame: Vec::new(), listener }
    }

    /// The same, with devices that take super-segments.
    pub fn with_offload() -> Hosts {
        let devices = [(); 2].map(|()| QueueDevice::new(1500, 4096).with_offload(65_535));
        Hosts { devices, ..Hosts::new() }
    }

    /// Carries packets until none is under way; returns how many.
    pub fn settle(&mut self) -> usize {
        let mut count = 0;
        loop {
            let mut busy = false;
            for (stack, device) in std::iter::zip(&mut self.stacks, &mut self.devices) {
                busy |= stack.poll(|| self.now, device, 64);
            }
            for from in 0..2 {
                while let Some(popped) = self.devices[from].pop(&mut self.frame) {
                    self.devices[1 - from].push_offloaded(&self.frame, popped.gso_size);
                    count += 1;
                }
            }
            if !busy {
                return count;
            }
        }
    }

    pub fn connect(&mut self) -> (ConnId, ConnId) {
        let client =
            self.stacks[0].connect(self.now, ([10, 0, 0, 2], 80).into(), None, None, CLIENT).unwrap();
        self.settle();
        let server = self.stacks[1].accept(self.listener, SERVER).unwrap().id;
        self.drain();
        (client, server)
    }

    pub fn drain(&mut self) {
        while self.stacks[0].ready(CLIENT).is_some() {}
        while let Some(ready) = self.stacks[1].ready(SERVER) {
            black_box(matches!(ready, Ready::Accept(_)));
        }
    }

    /// `out` bytes there, `back` bytes back.
    pub fn exchange(&mut self, (client, server): (ConnId, ConnId), out: &[u8], back: &[u8], buf: &mut [u8]) {
        let turns = [(0, client, 1, server, out), (1, server, 0, client, back)];
        for (from, writer, to, reader, data) in turns {
            let (mut written, mut read) = (0, 0);
            while read < data.len() {
                let mut stream = self.stacks[from].stream(self.now, writer);
                written += stream.write(&data[written..]).unwrap_or(0);
                self.settle();
                while let Ok(n @ 1..) = self.stacks[to].stream(self.now, reader).read(buf) {
                    read += n;
                }
                // Acknowledgments that wait are sent by the clock, not by the host's own.
                self.now += Duration::from_millis(50);
            }
        }
        self.drain();
    }
}

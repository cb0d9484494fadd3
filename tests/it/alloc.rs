//! Does a packet cost an allocation? In the steady state it must not.

use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{self, ConnId, Owner, Stack};
use tcpglass::stream::ByteStream;
use tcpglass::tcp;
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;

const OWNER: Owner = Owner(1);

struct Pair {
    now: Instant,
    stacks: [Stack; 2],
    devices: [QueueDevice; 2],
    conns: [ConnId; 2],
    frame: Vec<u8>,
    packets: u64,
}

impl Pair {
    fn new() -> Pair {
        let host = |n: u8| {
            let config = stack::Config {
                tcp: tcp::Config::linux(),
                addrs: vec![([10, 0, 0, n].into(), 24)],
                gateways: vec![],
                mtu: 1500,
                seed: u64::from(n),
                dns: vec![],
            };
            Stack::new(config, Tracer::default())
        };
        let mut stacks = [host(1), host(2)];
        let now = Instant::from_millis(1);
        let listener = stacks[1].listen(([10, 0, 0, 2], 80).into(), None, OWNER).unwrap();
        let client = stacks[0].connect(now, ([10, 0, 0, 2], 80).into(), None, None, OWNER).unwrap();
        let devices = [QueueDevice::new(1500, 4096), QueueDevice::new(1500, 4096)];
        let mut pair = Pair { now, stacks, devices, conns: [client, client], frame: Vec::new(), packets: 0 };
        pair.settle();
        pair.conns[1] = pair.stacks[1].accept(listener, OWNER).unwrap().id;
        pair
    }

    fn settle(&mut self) {
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

    /// `n` bytes from one side to the other, read as they come.
    fn send(&mut self, from: usize, n: usize, buf: &mut [u8]) {
        let (mut written, mut read) = (0, 0);
        while read < n {
            let want = (n - written).min(buf.len());
            if want > 0 {
                let mut stream = self.stacks[from].stream(self.now, self.conns[from]);
                written += stream.write(&buf[..want]).unwrap_or(0);
            }
            self.settle();
            while let Ok(n @ 1..) = self.stacks[1 - from].stream(self.now, self.conns[1 - from]).read(buf) {
                read += n;
            }
            self.now += Duration::from_millis(50);
        }
    }
}

#[test]
fn a_request_and_its_answer_allocate_nothing() {
    let (mut pair, mut buf) = (Pair::new(), vec![0; 60_000]);
    let mut exchanges = |count: u32| {
        for _ in 0..count {
            pair.send(0, 100, &mut buf);
            pair.send(1, 200, &mut buf);
        }
        pair.packets
    };
    exchanges(100);
    let info = allocation_counter::measure(|| {
        exchanges(1000);
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn bulk_data_allocates_nothing() {
    let (mut pair, mut buf) = (Pair::new(), vec![0; 60_000]);
    // Until the buffers have grown to their limits.
    (0..16).for_each(|_| pair.send(0, 4 << 20, &mut buf));
    let before = pair.packets;
    let info = allocation_counter::measure(|| pair.send(0, 4 << 20, &mut buf));
    assert!(pair.packets - before > 3000);
    assert_eq!(info.count_total, 0, "{} packets, {info:?}", pair.packets - before);
}

//! What does one packet cost? `cargo bench --bench micro`, in one thread without a device.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use std::net::SocketAddr;
use tcpglass::segment::{Ecn, Flags, Options, Segment, Timestamps};
use tcpglass::seq::Seq;
use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{self, ConnId, ListenerId, Owner, Ready, Stack};
use tcpglass::stream::ByteStream;
use tcpglass::tcp;
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;
use tcpglass::wire::{self, Envelope};

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [0, 100, 1448];

fn packet(v6: bool, len: usize) -> (Envelope, Segment, Vec<u8>) {
    let (src, dst): (SocketAddr, SocketAddr) = match v6 {
        false => (([10, 77, 0, 2], 80).into(), ([10, 77, 0, 1], 40_000).into()),
        true => ("[fd77::2]:80".parse().unwrap(), "[fd77::1]:40000".parse().unwrap()),
    };
    let envelope = Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 1, hops: 64 };
    let timestamps = Some(Timestamps { value: 1, echo: 2 });
    let seg = Segment {
        seq: Seq(1),
        ack: Seq(2),
        flags: Flags::ACK,
        window: 502,
        options: Options { timestamps, ..Options::default() },
        len: len as u32,
        ..Segment::default()
    };
    (envelope, seg, vec![7; len])
}

#[divan::bench(args = SIZES, consts = [4, 6])]
fn encode<const V: u8>(bencher: Bencher, len: usize) {
    let (envelope, seg, payload) = packet(V == 6, len);
    let mut buf = vec![0; wire::encoded_len(&envelope, &seg)];
    let halves = payload.split_at(len / 2);
    bencher.counter(BytesCount::new(buf.len())).bench_local(|| {
        wire::encode(black_box(&mut buf), &envelope, black_box(&seg), [halves.0, halves.1]);
    });
}

#[divan::bench(args = SIZES, consts = [4, 6])]
fn decode<const V: u8>(bencher: Bencher, len: usize) {
    let (envelope, seg, payload) = packet(V == 6, len);
    let mut buf = vec![0; wire::encoded_len(&envelope, &seg)];
    wire::encode(&mut buf, &envelope, &seg, [&payload, &[]]);
    bencher.counter(BytesCount::new(buf.len())).bench_local(|| wire::decode(black_box(&buf), true).is_ok());
}

const CLIENT: Owner = Owner(1);
const SERVER: Owner = Owner(2);

/// Two hosts whose devices are carried back and forth by hand.
struct Hosts {
    now: Instant,
    stacks: [Stack; 2],
    devices: [QueueDevice; 2],
    frame: Vec<u8>,
    listener: ListenerId,
}

impl Hosts {
    fn new() -> Hosts {
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

    /// Carries packets until none is under way; returns how many.
    fn settle(&mut self) -> usize {
        let mut count = 0;
        loop {
            let mut busy = false;
            for (stack, device) in std::iter::zip(&mut self.stacks, &mut self.devices) {
                busy |= stack.poll(|| self.now, device, 64);
            }
            for from in 0..2 {
                while self.devices[from].pop(&mut self.frame).is_some() {
                    self.devices[1 - from].push(&self.frame);
                    count += 1;
                }
            }
            if !busy {
                return count;
            }
        }
    }

    fn connect(&mut self) -> (ConnId, ConnId) {
        let client =
            self.stacks[0].connect(self.now, ([10, 0, 0, 2], 80).into(), None, None, CLIENT).unwrap();
        self.settle();
        let server = self.stacks[1].accept(self.listener, SERVER).unwrap().id;
        self.drain();
        (client, server)
    }

    fn drain(&mut self) {
        while self.stacks[0].ready(CLIENT).is_some() {}
        while let Some(ready) = self.stacks[1].ready(SERVER) {
            black_box(matches!(ready, Ready::Accept(_)));
        }
    }

    /// `out` bytes there, `back` bytes back.
    fn exchange(&mut self, (client, server): (ConnId, ConnId), out: &[u8], back: &[u8], buf: &mut [u8]) {
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

/// A request of 100 bytes and an answer of 200, with their acknowledgments, among idle connections.
#[divan::bench(args = [0, 1_000, 10_000])]
fn round_trip(bencher: Bencher, idle: usize) {
    let mut hosts = Hosts::new();
    let pair = hosts.connect();
    for _ in 0..idle {
        hosts.connect();
    }
    let mut buf = vec![0; 65_536];
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| hosts.exchange(pair, &[1; 100], &[2; 200], &mut buf));
}

/// A mebibyte one way, in segments of 1,448 bytes.
#[divan::bench]
fn bulk_mebibyte(bencher: Bencher) {
    let mut hosts = Hosts::new();
    let pair = hosts.connect();
    let (data, mut buf) = (vec![1; 1 << 20], vec![0; 65_536]);
    bencher.counter(BytesCount::new(1u32 << 20)).bench_local(|| hosts.exchange(pair, &data, &[2], &mut buf));
}

/// A packet finds its connection among so many.
#[divan::bench(args = [1, 1_000, 10_000])]
fn demultiplex(bencher: Bencher, connections: usize) {
    let mut hosts = Hosts::new();
    for _ in 0..connections {
        hosts.connect();
    }
    // A segment far outside of the window: found, judged, dropped.
    let local = hosts.stacks[0].connect(hosts.now, ([10, 0, 0, 2], 80).into(), None, None, CLIENT).unwrap();
    hosts.settle();
    let (src, dst) = hosts.stacks[0].addrs_of(local).unwrap();
    let envelope = Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 1, hops: 64 };
    let seg = Segment { flags: Flags::RST, ..Segment::default() };
    let mut frame = vec![0; wire::encoded_len(&envelope, &seg)];
    wire::encode(&mut frame, &envelope, &seg, [&[], &[]]);
    let now = hosts.now;
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| hosts.stacks[1].on_frame(now, black_box(&frame)));
}

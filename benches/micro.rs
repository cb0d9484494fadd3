//! What does one packet cost? `make micro`, in one thread without a device.

mod hosts;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use hosts::{CLIENT, Hosts};
use std::net::SocketAddr;
use tcpglass::segment::{Ecn, Flags, Options, Segment, Timestamps};
use tcpglass::seq::Seq;
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

//! Do all connections together stay within their memory, and does each of them get on all the same?

use super::lan::*;
use std::net::SocketAddr;
use tcpglass::segment::{Flags, Segment};
use tcpglass::seq::Seq;
use tcpglass::stack::{ConnId, Stack};
use tcpglass::stream::{ByteStream, StreamError};
use tcpglass::time::Duration;

const LIMIT: u64 = 256 << 10;

fn peer(n: u32) -> SocketAddr {
    addr("10.0.0.9", 2000 + n as u16)
}

/// A peer made by hand: what it sends next, and where the window ends that it was offered at first.
struct Peer(SocketAddr, Segment, Seq);

impl Peer {
    fn new(lan: &mut Lan, n: u32) -> Peer {
        let syn = Segment { flags: Flags::SYN, window: 60_000, ..Segment::default() };
        lan.b.hear(lan.now, peer(n), addr(B4, 80), syn, &[]);
        let answer = lan.b.segments(lan.now)[0];
        let ack = Segment { seq: Seq(1), ack: answer.seq + 1, flags: Flags::ACK, ..syn };
        lan.b.hear(lan.now, peer(n), addr(B4, 80), ack, &[]);
        Peer(peer(n), ack, Seq(1) + u32::from(answer.window))
    }

    /// Sends `data` at byte `at`; what is answered.
    fn send(&self, lan: &mut Lan, at: u32, data: &[u8]) -> Vec<Segment> {
        lan.b.hear(lan.now, self.0, addr(B4, 80), Segment { seq: Seq(1 + at), ..self.1 }, data);
        lan.b.segments(lan.now)
    }
}

#[test]
fn data_behind_gaps_does_not_fill_the_memory() {
    let mut lan = Lan::with(|c| c.tcp.memory = Some(LIMIT));
    let listener = lan.b.stack.listen(addr(B4, 80), None, OWNER).unwrap();
    let peers: Vec<Peer> = (0..100).map(|n| Peer::new(&mut lan, n)).collect();
    for at in (1000..60_000).step_by(1400) {
        for peer in &peers {
            peer.send(&mut lan, at, &[1; 1400]);
            assert!(lan.b.stack.memory() <= LIMIT, "{}", lan.b.stack.memory());
        }
    }
    let dropped = lan.b.lines.all().iter().filter(|l| l.starts_with("in drop-memory")).count();
    assert!(dropped > 3000, "{dropped}");
    // What fills the gap is taken, for whoever it is.
    for peer in &peers {
        let answer = peer.send(&mut lan, 0, &[1; 1000]);
        assert!(answer[0].ack.ge(Seq(1001)), "{:?}", answer[0]);
    }
    while let Some(accepted) = lan.b.stack.accept(listener, OWNER) {
        assert!(read(&mut lan.b.stack, lan.now, accepted.id).unwrap().len() >= 1000);
        lan.b.stack.stream(lan.now, accepted.id).abort();
        lan.b.stack.release(lan.now, accepted.id);
    }
    lan.settle();
    assert_eq!(lan.b.stack.memory(), 0);
}

#[test]
fn every_other_byte_is_kept_up_to_a_limit() {
    let mut lan = Lan::new();
    let listener = lan.b.stack.listen(addr(B4, 80), None, OWNER).unwrap();
    let peer = Peer::new(&mut lan, 0);
    for n in 0..5000 {
        peer.send(&mut lan, 1 + 2 * n, &[n as u8]);
    }
    assert_eq!(lan.b.lines.count("in out-of-order #1"), 1024);
    assert_eq!(lan.b.lines.count("in drop-memory #1"), 5000 - 1024);
    assert!(lan.b.stack.memory() < 40_000, "{}", lan.b.stack.memory());
    let id = lan.b.stack.accept(listener, OWNER).unwrap().id;
    for n in 0..1024 {
        peer.send(&mut lan, 2 * n, &[0]);
    }
    assert_eq!(read(&mut lan.b.stack, lan.now, id).unwrap().len(), 2048);
}

#[test]
fn a_windows_edge_stays_where_it_is_while_memory_is_short() {
    let mut lan = Lan::with(|c| {
        c.tcp.memory = Some(LIMIT);
        c.tcp.recv_buffer = 60_000;
    });
    let listener = lan.b.stack.listen(addr(B4, 80), None, OWNER).unwrap();
    let peers: Vec<Peer> = (0..10).map(|n| Peer::new(&mut lan, n)).collect();
    let mut edges: Vec<Seq> = peers.iter().map(|peer| peer.2).collect();
    for at in (0..28_000).step_by(1000) {
        for (n, peer) in peers.iter().enumerate() {
            for answer in peer.send(&mut lan, at, &[1; 1000]) {
                let edge = answer.ack + u32::from(answer.window);
                assert!(edge.ge(edges[n]), "never taken back");
                edges[n] = edge;
            }
        }
    }
    assert!(lan.b.lines.all().iter().any(|l| l.starts_with("out ack-now(no-memory)")));
    assert!(lan.b.stack.memory() <= LIMIT + 10 * 4096);
    let mut ids = Vec::new();
    while let Some(accepted) = lan.b.stack.accept(listener, OWNER) {
        ids.push(accepted.id);
    }
    // One reads, and still gets no larger window than a few segments beyond what it had been told.
    let got = read(&mut lan.b.stack, lan.now, ids[0]).unwrap().len() as u32;
    let answers = [0, 1000].map(|at| peers[0].send(&mut lan, got + at, &[1; 1000]));
    let edge = answers.iter().flatten().map(|a| a.ack + u32::from(a.window)).next_back().unwrap();
    assert!(edge.le(edges[0] + 4 * 1460), "{edge:?} {:?}", edges[0]);
}

#[test]
fn under_pressure_everything_arrives_all_the_same() {
    const EACH: usize = 60_000;
    let mut lan = Lan::with(|c| c.tcp.memory = Some(LIMIT));
    let listener = lan.b.stack.listen(addr(B4, 80), None, OWNER).unwrap();
    let clients: Vec<ConnId> =
        (0..30).map(|_| lan.a.stack.connect(lan.now, addr(B4, 80), None, None, OWNER).unwrap()).collect();
    lan.settle();
    let servers: Vec<ConnId> = std::iter::from_fn(|| Some(lan.b.stack.accept(listener, OWNER)?.id)).collect();
    let put = |stack: &mut Stack, now, id, from: usize| {
        let data: Vec<u8> = (from..EACH).map(|n| (n % 251) as u8).collect();
        match stack.stream(now, id).write(&data) {
            Ok(n) => from + n,
            Err(StreamError::WouldBlock) => from,
            Err(error) => panic!("{error}"),
        }
    };
    let (mut written, mut got) = (vec![0; 30], vec![Vec::new(); 30]);
    let mut short = false;
    for round in 0..2000 {
        for n in 0..30 {
            written[n] = put(&mut lan.a.stack, lan.now, clients[n], written[n]);
            // The reader sleeps for long.
            if round % 20 == 19
                && let Ok(piece) = read(&mut lan.b.stack, lan.now, servers[n])
            {
                got[n].extend(piece);
            }
        }
        lan.pass(Duration::from_millis(50));
        for host in [&lan.a, &lan.b] {
            assert!(host.stack.memory() <= LIMIT + 30 * 8192, "{}", host.stack.memory());
            short |= host.stack.memory() > LIMIT / 3 * 2;
        }
        if got.iter().all(|g| g.len() == EACH) {
            break;
        }
    }
    assert!(short, "there was no pressure");
    for got in got {
        assert_eq!(got.len(), EACH);
        assert!(got.iter().enumerate().all(|(n, &b)| b == (n % 251) as u8));
    }
}

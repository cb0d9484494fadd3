//! What can somebody do to a transfer who sees nothing of it, and what who sees a little?

use std::net::SocketAddr;
use tcpglass::segment::{Ecn, Flags, Options, Segment};
use tcpglass::seq::Seq;
use tcpglass::sim::{Rng, Socket, World, host_config};
use tcpglass::stream::ByteStream;
use tcpglass::tcp::{Config, Snapshot};
use tcpglass::time::Duration;
use tcpglass::trace::{Direction, Tracer};
use tcpglass::wire::{self, Envelope};

const MS: Duration = Duration::from_millis(1);

fn frame(src: SocketAddr, dst: SocketAddr, seg: Segment, payload: &[u8]) -> Vec<u8> {
    let envelope = Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 9, hops: 64 };
    let seg = Segment { len: payload.len() as u32, window: 1000, ..seg };
    let mut frame = vec![0; wire::encoded_len(&envelope, &seg)];
    wire::encode(&mut frame, &envelope, &seg, [payload, &[]]);
    frame
}

/// An ICMP error about a segment from `src` to `dst` with the number `seq`.
fn icmp_error(src: SocketAddr, dst: SocketAddr, kind: [u8; 2], mtu: u16, seq: Seq) -> Vec<u8> {
    use smoltcp::wire::{Icmpv4Packet, Ipv4Packet};
    let about = frame(src, dst, Segment { seq, flags: Flags::ACK, ..Segment::default() }, &[]);
    let mut body = [&[kind[0], kind[1], 0, 0, 0, 0], &mtu.to_be_bytes()[..], &about[..28]].concat();
    Icmpv4Packet::new_unchecked(&mut body[..]).fill_checksum();
    let mut packet = vec![0x45, 0, 0, 20 + body.len() as u8, 0, 0, 0, 0, 64, 1, 0, 0];
    for end in [dst, src] {
        let std::net::IpAddr::V4(ip) = end.ip() else { unreachable!() };
        packet.extend(ip.octets());
    }
    Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
    [packet, body].concat()
}

/// What an attacker knows: both ends, and the victim's numbers, of which it may use some.
struct Target {
    peer: SocketAddr,
    victim: SocketAddr,
    numbers: Snapshot,
    /// RCV.NXT of the victim, about: what the peer has sent.
    next: Seq,
}

/// 400,000 bytes cross a link of 10 ms while each millisecond `forge` makes twenty packets for the sender and twenty for
/// the receiver. Returns the world and both ends when all has arrived, byte for byte.
fn transfer(cfg: Config, forge: impl Fn(&Target, &mut Rng) -> Vec<u8>) -> (World, [Socket; 2]) {
    let mut world = World::new(5, "rtt=10ms,bandwidth=20mbit".parse().unwrap());
    let [a, b] = ["10.0.0.1", "10.0.0.2"]
        .map(|ip| world.add_host(ip, host_config(ip.parse().unwrap(), cfg.clone()), Tracer::default()));
    let (here, there) = world.pair(a, b, "10.0.0.2:80".parse::<SocketAddr>().unwrap()).unwrap();
    let data: Vec<u8> = (0..400_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let (mut left, mut got) = (&data[..], Vec::<u8>::new());
    let mut rng = Rng::new(5, 77);
    for _ in 0..60_000 {
        let now = world.now();
        if let Ok(n) = world.stack(here.host).stream(now, here.id).write(left) {
            left = &left[n..];
        }
        let mut buf = [0; 65_536];
        while let Ok(n @ 1..) = world.stack(there.host).stream(now, there.id).read(&mut buf) {
            got.extend(&buf[..n]);
        }
        if got.len() == data.len() {
            break;
        }
        for (socket, other) in [(here, there), (there, here)] {
            let (local, remote) = world.stack(socket.host).addrs_of(socket.id).unwrap();
            let numbers = world.stack(socket.host).conn(socket.id).unwrap().snapshot();
            let peer = world.stack(other.host).conn(other.id).unwrap();
            let next = peer.snapshot().iss + 1 + if other == here { got.len() as u32 } else { 0 };
            let target = Target { peer: remote, victim: local, numbers, next };
            for _ in 0..20 {
                let packet = forge(&target, &mut rng);
                world.inject(socket.host, &packet);
            }
        }
        world.run_for(MS);
    }
    assert!(got == data, "{} of {} bytes", got.len(), data.len());
    (world, [here, there])
}

fn count(world: &mut World, socket: Socket, word: &str, way: Direction) -> u64 {
    let counts = world.stack(socket.host).tracer().counts();
    counts.rows.iter().filter(|(w, d, _)| *w == word && *d == way).map(|(.., n)| n).sum()
}

fn any_number(rng: &mut Rng) -> Seq {
    Seq(rng.next_u64() as u32)
}

#[test]
fn blind_resets_and_syns_change_nothing() {
    let (mut world, ends) = transfer(Config::linux(), |target, rng| {
        let flags = [Flags::RST, Flags::RST | Flags::ACK, Flags::SYN, Flags::SYN | Flags::ACK];
        let (seq, ack) = (any_number(rng), any_number(rng));
        let seg = Segment { seq, ack, flags: flags[rng.below(4) as usize], ..Segment::default() };
        frame(target.peer, target.victim, seg, &[])
    });
    for end in ends {
        let dropped = count(&mut world, end, "drop-window", Direction::In);
        assert!(dropped > 1000, "{dropped}");
        let answers = count(&mut world, end, "ack-now(challenge)", Direction::Out);
        assert!(answers < 20, "{answers} challenges");
    }
}

#[test]
fn resets_and_syns_within_the_window_are_challenged_and_not_often() {
    let (mut world, ends) = transfer(Config::linux(), |target, rng| {
        let seq = target.next + 20_000 + rng.below(20_000) as u32;
        let flags = if rng.below(2) == 0 { Flags::RST } else { Flags::SYN };
        frame(target.peer, target.victim, Segment { seq, flags, ..Segment::default() }, &[])
    });
    for end in ends {
        let dropped = count(&mut world, end, "drop-control", Direction::In);
        assert!(dropped > 1000, "{dropped}");
        // One for each half second at the most.
        let answers = count(&mut world, end, "ack-now(challenge)", Direction::Out);
        assert!((1..5).contains(&answers), "{answers} challenges");
    }
}

#[test]
fn data_within_the_window_needs_an_acknowledgment_that_fits() {
    let (mut world, ends) = transfer(Config::linux(), |target, rng| {
        let seq = target.next + rng.below(3000) as u32;
        // What was never sent, and what was acknowledged 2 GiB ago.
        let ack = target.numbers.iss + 0x4000_0000 + rng.below(0x8000_0000) as u32;
        frame(
            target.peer,
            target.victim,
            Segment { seq, ack, flags: Flags::ACK, ..Segment::default() },
            b"forged",
        )
    });
    for end in ends {
        let [bad, old] = ["drop-bad-ack", "old"].map(|word| count(&mut world, end, word, Direction::In));
        assert!(bad + old > 1000 && bad > 100, "{bad} {old}");
    }
}

#[test]
fn acknowledgments_of_the_unsent_and_sack_blocks_of_nowhere_do_no_harm() {
    let (mut world, ends) = transfer(Config::linux(), |target, rng| {
        let mut options = Options::default();
        for _ in 0..3 {
            let start = any_number(rng);
            options.sack.push(start, start + rng.below(100_000) as u32);
        }
        let (seq, ack) = (target.next, target.numbers.iss + 500_000 + rng.below(1 << 20) as u32);
        frame(
            target.peer,
            target.victim,
            Segment { seq, ack, flags: Flags::ACK, options, ..Segment::default() },
            &[],
        )
    });
    for end in ends {
        assert!(count(&mut world, end, "drop-bad-ack", Direction::In) > 100);
    }
}

#[test]
fn icmp_storms_neither_end_nor_starve_a_transfer() {
    let (mut world, [here, _]) = transfer(Config::linux(), |target, rng| {
        let kind = [[3, 0], [3, 1], [3, 3], [3, 4], [11, 0]][rng.below(5) as usize];
        // Half of them guess the number: those are heard, and a path of 68 bytes is not believed.
        let seq = match rng.below(2) {
            0 => any_number(rng),
            _ => target.numbers.iss + 1 + rng.below(400_000) as u32,
        };
        icmp_error(target.victim, target.peer, kind, 68, seq)
    });
    assert!(count(&mut world, here, "icmp", Direction::In) > 1000);
    let conn = world.stack(here.host).conn(here.id).unwrap();
    assert_eq!((conn.error(), conn.path_mtu()), (None, 552));
}

#[test]
fn challenges_of_the_whole_stack_have_a_limit_of_their_own() {
    let cfg = Config { challenge_interval: Duration::ZERO, challenge_limit: Some(10), ..Config::linux() };
    let (mut world, ends) = transfer(cfg, |target, rng| {
        let seq = target.next + 20_000 + rng.below(20_000) as u32;
        frame(target.peer, target.victim, Segment { seq, flags: Flags::RST, ..Segment::default() }, &[])
    });
    for end in ends {
        // From five to fifteen in each second that the transfer takes part of.
        let answers = count(&mut world, end, "ack-now(challenge)", Direction::Out);
        assert!((5..30).contains(&answers), "{answers} challenges");
    }
}

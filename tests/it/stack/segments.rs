//! Segments made by hand: resets, TIME-WAIT, listeners, fragments.

use super::lan::*;
use std::net::SocketAddr;
use tcpglass::segment::{Flags, Options, Segment};
use tcpglass::seq::Seq;
use tcpglass::stack::Ready;
use tcpglass::stream::ByteStream;
use tcpglass::tcp::{Event, State};
use tcpglass::time::Duration;

fn seg(flags: Flags, seq: u32, ack: u32) -> Segment {
    Segment { seq: Seq(seq), ack: Seq(ack), flags, window: 60_000, ..Segment::default() }
}

fn client() -> SocketAddr {
    addr(A4, 4000)
}

fn server() -> SocketAddr {
    addr(B4, 80)
}

#[test]
fn segments_without_a_connection_are_answered_by_the_rules() {
    let (syn, ack, fin, rst) = (Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST);
    for (sentence, listening, segment, word, reply) in [
        ("a SYN to a closed port", false, seg(syn, 100, 0), "drop-no-socket", Some((0, 101, rst | ack))),
        ("an ACK to a closed port", false, seg(ack, 100, 55), "drop-no-socket", Some((55, 0, rst))),
        (
            "a FIN without ACK to a closed port",
            false,
            seg(fin, 100, 0),
            "drop-no-socket",
            Some((0, 101, rst | ack)),
        ),
        ("a RST to a closed port", false, seg(rst, 100, 0), "drop-no-socket", None),
        ("a RST to a listener", true, seg(rst, 100, 0), "drop-control", None),
        ("an ACK to a listener", true, seg(ack, 100, 55), "drop-no-socket", Some((55, 0, rst))),
        ("a SYN-ACK to a listener", true, seg(syn | ack, 100, 55), "drop-no-socket", Some((55, 0, rst))),
        ("a FIN to a listener", true, seg(fin, 100, 0), "drop-control", None),
        ("a SYN with FIN to a listener", true, seg(syn | fin, 100, 0), "drop-control", None),
        ("nothing at all to a listener", true, seg(Flags::NONE, 100, 0), "drop-control", None),
    ] {
        let mut lan = Lan::new();
        if listening {
            lan.b.stack.listen(server(), None, OWNER).unwrap();
        }
        lan.b.hear(lan.now, client(), server(), segment, &[]);
        let replies: Vec<_> =
            lan.b.segments(lan.now).iter().map(|seg| (seg.seq.0, seg.ack.0, seg.flags)).collect();
        assert_eq!(replies, Vec::from_iter(reply), "{sentence}");
        assert_eq!(lan.b.lines.all()[0], format!("in {word}"), "{sentence}");
        assert_eq!(lan.b.stack.open_connections(), 0, "{sentence}");
    }
}

#[test]
fn packets_from_where_no_host_is_are_never_answered() {
    for (sentence, src, dst, word) in [
        ("another's address", A4, "10.0.0.77", "drop-not-for-us"),
        ("the broadcast address", A4, "10.0.0.255", "drop-not-for-us"),
        ("a multicast group", A4, "224.0.0.1", "drop-not-for-us"),
        ("from a multicast group", "224.0.0.1", B4, "drop-malformed"),
        ("from the broadcast address", "10.0.0.255", B4, "drop-malformed"),
        ("from nowhere", "0.0.0.0", B4, "drop-malformed"),
        ("from an IPv4 address in IPv6's clothes", "::ffff:10.0.0.1", B6, "drop-malformed"),
        ("from loopback", "127.0.0.1", B4, "drop-malformed"),
        ("from ourselves (land)", B4, B4, "drop-malformed"),
    ] {
        let mut lan = Lan::new();
        lan.b.stack.listen(server(), None, OWNER).unwrap();
        for flags in [Flags::SYN, Flags::ACK] {
            lan.b.hear(lan.now, addr(src, 80), addr(dst, 80), seg(flags, 1, 1), &[]);
        }
        assert_eq!(lan.b.sent(lan.now), [] as [Vec<u8>; 0], "{sentence}");
        assert_eq!(lan.b.lines.all(), [format!("in {word}"), format!("in {word}")], "{sentence}");
    }
}

/// The server's connection in TIME-WAIT: the peer's next number, and ours.
fn in_time_wait(lan: &mut Lan, timestamps: bool) -> (u32, u32) {
    let mut tcp = lan.b.stack.config().tcp.clone();
    tcp.timestamps = timestamps;
    lan.b.stack.set_tcp_config(tcp);
    let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
    lan.b.hear(lan.now, client(), server(), seg(Flags::SYN, 1000, 0), &[]);
    let syn_ack = lan.b.segments(lan.now)[0];
    let ours = syn_ack.seq.0.wrapping_add(1);
    lan.b.hear(lan.now, client(), server(), seg(Flags::ACK, 1001, ours), b"unread");
    let id = lan.b.stack.accept(listener, OWNER).unwrap().id;
    lan.b.events();
    lan.b.stack.stream(lan.now, id).close_write();
    lan.b.segments(lan.now);
    lan.b.hear(lan.now, client(), server(), seg(Flags::FIN | Flags::ACK, 1007, ours.wrapping_add(1)), &[]);
    assert_eq!(lan.b.segments(lan.now).len(), 1, "the FIN is acknowledged");
    assert_eq!((lan.b.stack.open_connections(), lan.b.stack.time_waits()), (0, 1));
    assert_eq!(lan.b.stack.conn(id).unwrap().state(), State::TimeWait);
    assert_eq!(read(&mut lan.b.stack, lan.now, id).unwrap(), b"unread", "it is never wiped");
    lan.b.stack.release(lan.now, id);
    assert_eq!(lan.b.sent(lan.now), [] as [Vec<u8>; 0]);
    lan.b.lines.take();
    (1008, ours.wrapping_add(1))
}

#[test]
fn time_wait_acknowledges_the_fin_again_and_starts_anew() {
    let mut lan = Lan::new();
    let (theirs, ours) = in_time_wait(&mut lan, false);
    lan.pass(Duration::from_secs(30));
    lan.b.hear(lan.now, client(), server(), seg(Flags::FIN | Flags::ACK, theirs - 1, ours), &[]);
    let reply = lan.b.segments(lan.now)[0];
    assert_eq!((reply.seq, reply.ack, reply.flags), (Seq(ours), Seq(theirs), Flags::ACK));
    assert_eq!(lan.b.lines.take(), ["in old #1", "out ack-now(duplicate) #1"]);
    lan.pass(Duration::from_secs(59));
    assert_eq!(lan.b.stack.time_waits(), 1);
    lan.pass(Duration::from_secs(1));
    assert_eq!(lan.b.stack.time_waits(), 0);
}

#[test]
fn time_wait_survives_resets_and_gives_way_to_a_new_syn() {
    let mut lan = Lan::with(|c| c.tcp.rfc1337 = true);
    let (theirs, ours) = in_time_wait(&mut lan, false);
    lan.b.hear(lan.now, client(), server(), seg(Flags::RST, theirs, 0), &[]);
    assert_eq!((lan.b.stack.time_waits(), lan.b.sent(lan.now).len()), (1, 0));
    // An old duplicate of the SYN: where we are.
    lan.b.hear(lan.now, client(), server(), seg(Flags::SYN, 1000, 0), &[]);
    assert_eq!(lan.b.segments(lan.now)[0].ack, Seq(theirs));
    assert_eq!(lan.b.lines.take(), ["in drop-control #1", "in drop-control #1", "out ack-now(challenge) #1"]);
    // A number above all of the old connection's.
    lan.b.hear(lan.now, client(), server(), seg(Flags::SYN, theirs + 1, 0), &[]);
    let syn_ack = lan.b.segments(lan.now)[0];
    assert_eq!((syn_ack.flags, syn_ack.ack), (Flags::SYN | Flags::ACK, Seq(theirs + 2)));
    assert!(syn_ack.seq.gt(Seq(ours)), "RFC 6191 §2");
    assert_eq!((lan.b.stack.time_waits(), lan.b.stack.open_connections()), (0, 1));
    assert_eq!(lan.b.lines.take(), ["in in-order #2", "out syn-ack #2"]);
}

#[test]
fn time_wait_keeps_a_syn_off_when_nobody_listens() {
    let mut lan = Lan::new();
    let (theirs, _) = in_time_wait(&mut lan, false);
    let id = lan.b.stack.listen(addr(B4, 81), None, OWNER).unwrap();
    lan.b.stack.close_listener(lan.now, id);
    assert_eq!(
        lan.b.stack.listen(server(), None, OWNER).map(drop),
        Err(tcpglass::stack::StackError::AddrInUse)
    );
    // The only listener of port 80 goes.
    lan.b.stack.abort_all(lan.now);
    lan.b.hear(lan.now, client(), server(), seg(Flags::SYN, theirs + 1, 0), &[]);
    assert_eq!((lan.b.stack.time_waits(), lan.b.stack.open_connections()), (1, 0));
}

#[test]
fn a_time_wait_of_no_length_is_none() {
    let mut lan = Lan::with(|c| c.tcp.time_wait = Duration::ZERO);
    let (_, client, server) = lan.connected();
    lan.a.stack.release(lan.now, client);
    lan.settle();
    lan.b.stack.release(lan.now, server);
    lan.settle();
    assert_eq!((lan.a.stack.time_waits(), lan.a.stack.open_connections()), (0, 0));
}

/// Cuts an IPv4 packet into fragments of `size` payload bytes.
fn fragments(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    let pieces: Vec<&[u8]> = frame[20..].chunks(size).collect();
    let last = pieces.len() - 1;
    let cut = |(n, piece): (usize, &&[u8])| {
        let mut fragment = frame[..20].to_vec();
        let field = (n * size / 8) as u16 | if n < last { 0x2000 } else { 0 };
        fragment[2..4].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
        fragment[6..8].copy_from_slice(&field.to_be_bytes());
        fragment[10..12].fill(0);
        let sum = fragment.chunks(2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]]))).sum::<u32>();
        fragment[10..12].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
        fragment.extend_from_slice(piece);
        fragment
    };
    pieces.iter().enumerate().map(cut).collect()
}

#[test]
fn fragments_of_a_syn_and_of_data_are_put_together() {
    let mut lan = Lan::new();
    let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
    let options = Options { mss: Some(1460), sack_permitted: true, ..Options::default() };
    let syn = packet(client(), server(), Segment { options, ..seg(Flags::SYN, 1000, 0) }, &[]);
    let cut = fragments(&syn, 8);
    assert!(cut.len() > 2);
    for fragment in &cut {
        lan.b.stack.on_frame(lan.now, fragment);
    }
    let kept = "in fragment: a piece of a packet: kept until the rest is here".to_owned();
    let mut expected = vec![kept.clone(); cut.len() - 1];
    expected.push("in in-order #1".into());
    assert_eq!(lan.b.lines.take(), expected, "the last fragment has the judgement on all");
    let ours = lan.b.segments(lan.now)[0].seq.0.wrapping_add(1);
    let data: Vec<u8> = (0..1400u32).map(|n| n as u8).collect();
    let whole = packet(client(), server(), seg(Flags::ACK, 1001, ours), &data);
    // In the wrong order, one of them twice.
    let mut cut = fragments(&whole, 512);
    cut.reverse();
    cut.insert(1, cut[0].clone());
    for fragment in &cut {
        lan.b.stack.on_frame(lan.now, fragment);
    }
    let id = lan.b.stack.accept(listener, OWNER).unwrap().id;
    assert_eq!(read(&mut lan.b.stack, lan.now, id).unwrap(), data);
}

#[test]
fn fragments_that_lie_are_dropped_and_forgotten_ones_make_room() {
    let mut lan = Lan::new();
    lan.b.stack.listen(server(), None, OWNER).unwrap();
    let syn = packet(client(), server(), seg(Flags::SYN, 1000, 0), &[]);
    // Beyond the largest packet there can be.
    let mut huge = fragments(&syn, 8).pop().unwrap();
    huge[6..8].copy_from_slice(&0x1fffu16.to_be_bytes());
    huge[10..12].fill(0);
    let sum = huge[..20].chunks(2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]]))).sum::<u32>();
    huge[10..12].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    lan.b.stack.on_frame(lan.now, &huge);
    assert_eq!(lan.b.lines.take(), ["in drop-malformed"]);
    // First halves only, from many hosts.
    for n in 10..60 {
        let half =
            fragments(&packet(addr(&format!("10.0.0.{n}"), 9), server(), seg(Flags::SYN, 1, 0), &[]), 16);
        lan.b.stack.on_frame(lan.now, &half[0]);
    }
    lan.pass(Duration::from_secs(31));
    for fragment in fragments(&syn, 8) {
        lan.b.stack.on_frame(lan.now, &fragment);
    }
    assert_eq!(lan.b.stack.open_connections(), 1);
}

#[test]
fn an_ipv6_fragment_is_counted_and_dropped() {
    let mut lan = Lan::new();
    let mut frame = vec![0x60, 0, 0, 0, 0, 16, 44, 64];
    for ip in [A6, B6] {
        frame.extend(ip.parse::<std::net::Ipv6Addr>().unwrap().octets());
    }
    frame.extend([6, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8]);
    lan.b.stack.on_frame(lan.now, &frame);
    assert_eq!(lan.b.lines.all(), ["in drop-unhandled"]);
}

#[test]
fn what_receive_offload_merged_counts_as_the_segments_it_was() {
    let mut lan = Lan::with(|c| (c.tcp.quickack, c.tcp.ack_adaptive) = (0, false));
    let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
    lan.b.hear(lan.now, client(), server(), seg(Flags::SYN, 1000, 0), &[]);
    let ours = lan.b.segments(lan.now)[0].seq.0.wrapping_add(1);
    lan.b.hear(lan.now, client(), server(), seg(Flags::ACK, 1001, ours), &[]);
    let mut frame = packet(client(), server(), seg(Flags::ACK, 1001, ours), &[3; 4 * 536]);
    // The device vouches for a checksum that nobody has filled in.
    frame[36..38].fill(0);
    lan.b.stack.on_offloaded_frame(lan.now, &frame, std::num::NonZeroU16::new(536), true);
    assert_eq!(lan.b.segments(lan.now)[0].ack, Seq(1001 + 4 * 536), "acknowledged without waiting");
    let id = lan.b.stack.accept(listener, OWNER).unwrap().id;
    assert_eq!(lan.b.events(), [Ready::Conn(id, Event::Readable)]);
    lan.b.stack.on_frame(lan.now, &frame);
    assert_eq!(lan.b.lines.count("in drop-checksum"), 1, "without its word the checksum counts");
}

#[test]
fn super_segments_leave_as_one_frame_with_their_size() {
    let mut lan = Lan::new();
    let (_, client, server) = lan.connected();
    lan.a.device = tcpglass::stack::queue_device::QueueDevice::new(1500, 64).with_offload(65_535);
    write(&mut lan.a.stack, lan.now, client, &[9; 5 * 1448]);
    assert_eq!(lan.a.stack.transmit(lan.now, &mut lan.a.device, 100), 1);
    let mut frame = vec![];
    let popped = lan.a.device.pop(&mut frame).unwrap();
    assert_eq!(popped.gso_size.map(|n| n.get()), Some(1448));
    lan.b.stack.on_offloaded_frame(lan.now, &frame, popped.gso_size, true);
    assert_eq!(read(&mut lan.b.stack, lan.now, server).unwrap().len(), 5 * 1448);
}

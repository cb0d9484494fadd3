//! Does a listener under a flood still serve those who mean it?

use super::lan::*;
use std::net::SocketAddr;
use tcpglass::segment::{Flags, Options, Segment, Timestamps};
use tcpglass::seq::Seq;
use tcpglass::stack::{ConnId, Ready};
use tcpglass::stream::StreamError;
use tcpglass::tcp::{CloseReason, Event, State, SynCookies};
use tcpglass::time::Duration;

fn server() -> SocketAddr {
    addr(B4, 80)
}

/// Someone who does not exist.
fn forged(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::new([11, a, b, c].into(), 1024 + (n % 60_000) as u16)
}

fn syn(n: u32) -> Segment {
    Segment { seq: Seq(n.wrapping_mul(0x9e37_79b9)), flags: Flags::SYN, window: 1024, ..Segment::default() }
}

/// Connects, sends a question and gets it back; the server's end.
fn converse(lan: &mut Lan, listener: tcpglass::stack::ListenerId) -> ConnId {
    let client = lan.a.stack.connect(lan.now, server(), None, None, OWNER).unwrap();
    lan.settle();
    write(&mut lan.a.stack, lan.now, client, b"question");
    lan.settle();
    let accepted = lan.b.stack.accept(listener, OWNER).expect("a connection waits");
    assert_eq!(accepted.remote.ip(), addr(A4, 0).ip());
    assert_eq!(read(&mut lan.b.stack, lan.now, accepted.id).unwrap(), b"question");
    write(&mut lan.b.stack, lan.now, accepted.id, &[7; 30_000]);
    lan.settle();
    assert_eq!(read(&mut lan.a.stack, lan.now, client).unwrap(), [7; 30_000]);
    accepted.id
}

#[test]
fn a_flood_of_100_000_syns_takes_a_bounded_memory_and_leaves_room() {
    let mut lan = Lan::with(|c| c.tcp.backlog = 129);
    let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
    let (mut syn_acks, mut most) = (0, 0);
    for n in 0..100_000 {
        lan.b.hear(lan.now, forged(n), server(), syn(n), &[]);
        if n % 64 == 63 {
            syn_acks += lan.b.segments(lan.now).iter().filter(|s| s.flags == Flags::SYN | Flags::ACK).count();
            lan.now += Duration::from_millis(1);
            lan.b.stack.on_timeout(lan.now);
        }
        most = most.max(lan.b.stack.half_open());
        if n % 25_000 == 24_999 {
            converse(&mut lan, listener);
        }
    }
    assert_eq!(most, 128);
    assert!(syn_acks >= 99_936, "each is answered: {syn_acks}");
    assert_eq!(lan.b.lines.count("in in-order") + 128, 100_000 + 4, "and four clients by cookies");
    assert_eq!(lan.b.stack.open_connections(), 128 + 4);
    lan.pass(Duration::from_secs(100));
    assert_eq!((lan.b.stack.half_open(), lan.b.stack.open_connections()), (0, 4));
}

#[test]
fn a_connection_made_from_a_cookie_has_every_option_that_time_stamps_tell() {
    // Whether both use time stamps: the peer does not, or we do not.
    for (theirs, ours) in [(true, true), (false, true), (true, false)] {
        let stamped = theirs && ours;
        let mut lan = Lan::with(|c| {
            c.tcp.syn_cookies = SynCookies::Always;
            c.tcp.timestamps = ours;
            c.tcp.recv_buffer = 60_000;
        });
        let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
        let timestamps = theirs.then_some(Timestamps { value: 5, echo: 0 });
        let options = Options {
            mss: Some(1400),
            window_scale: Some(3),
            sack_permitted: true,
            timestamps,
            ..Options::default()
        };
        lan.b.hear(lan.now, forged(1), server(), Segment { options, ..syn(1) }, &[]);
        let answer = lan.b.segments(lan.now)[0];
        assert_eq!(lan.b.stack.open_connections(), 0, "nothing is remembered");
        assert_eq!(lan.b.lines.take(), ["in in-order", "out syn-cookie"]);
        assert_eq!(
            (answer.options.sack_permitted, answer.options.window_scale.is_some()),
            (stamped, stamped)
        );
        let echo = answer.options.timestamps.map(|t| Timestamps { value: 6, echo: t.value });
        let options = Options { timestamps: echo, ..Options::default() };
        let (seq, ack) = (syn(1).seq + 1, answer.seq + 1);
        let ack = Segment { seq, ack, flags: Flags::ACK, window: 8000, options, ..Segment::default() };
        lan.now += Duration::from_secs(59);
        lan.b.hear(lan.now, forged(1), server(), ack, b"");
        let id = lan.b.stack.accept(listener, OWNER).unwrap().id;
        assert_eq!(lan.b.stack.conn(id).unwrap().snapshot().rwnd, if stamped { 64_000 } else { 8000 });
        // A gap, which SACK reports where it was agreed on.
        lan.b.hear(lan.now, forged(1), server(), Segment { seq: seq + 10, ..ack }, b"later");
        let gap = lan.b.segments(lan.now)[0];
        let shift = answer.options.window_scale.unwrap_or(0);
        // As many segments of 1300, which is what the cookie tells, as there is room for.
        let window = 29_900u32.div_ceil(1 << shift) as u16;
        assert_eq!((gap.options.sack.len(), gap.window), (usize::from(stamped), window));
        write(&mut lan.b.stack, lan.now, id, &[1; 3000]);
        // Of 1400 the cookie tells 1300, and time stamps take twelve.
        let sizes: Vec<u32> =
            lan.b.segments(lan.now).iter().map(|s| s.len + s.options.encoded_len()).collect();
        assert_eq!(sizes.first(), Some(&1300));
    }
}

#[test]
fn a_flood_of_acknowledgments_makes_no_connection() {
    let mut lan = Lan::with(|c| c.tcp.backlog = 2);
    lan.b.stack.listen(server(), None, OWNER).unwrap();
    let guess = |n: u32| Segment {
        seq: Seq(n),
        ack: Seq(n.wrapping_mul(0x9e37_79b9)),
        flags: Flags::ACK,
        ..Segment::default()
    };
    // Without a cookie under way nobody looks for one.
    lan.b.hear(lan.now, forged(0), server(), guess(0), &[]);
    assert_eq!(lan.b.lines.take(), ["in drop-no-socket"]);
    for n in 0..3 {
        lan.b.hear(lan.now, forged(n), server(), syn(n), &[]);
    }
    lan.b.sent(lan.now);
    lan.b.lines.take();
    for n in 10..20_010 {
        lan.b.hear(lan.now, forged(n), server(), guess(n), &[]);
        lan.b.sent(lan.now);
    }
    assert_eq!(lan.b.lines.count("in drop-cookie"), 20_000);
    assert_eq!((lan.b.stack.open_connections(), lan.b.stack.half_open()), (1, 1));
    // Two minutes after the last cookie nobody looks any more.
    lan.pass(Duration::from_secs(120));
    lan.b.lines.take();
    lan.b.hear(lan.now, forged(0), server(), guess(0), &[]);
    assert_eq!(lan.b.lines.all()[0], "in drop-no-socket");
}

#[test]
fn without_cookies_a_full_syn_queue_drops_syns_until_old_handshakes_make_room() {
    let mut lan = Lan::with(|c| {
        c.tcp.syn_cookies = SynCookies::Off;
        c.tcp.backlog = 33;
    });
    let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
    for n in 0..100 {
        lan.b.hear(lan.now, forged(n), server(), syn(n), &[]);
    }
    assert_eq!((lan.b.stack.half_open(), lan.b.lines.count("in drop-syn-queue")), (32, 68));
    lan.a.stack.connect(lan.now, server(), None, None, OWNER).unwrap();
    lan.settle();
    assert!(lan.b.stack.accept(listener, OWNER).is_none());
    // The old ones have repeated their SYN-ACK twice instead of five times; the client has repeated its SYN.
    lan.pass(Duration::from_secs(8));
    assert!(lan.b.stack.accept(listener, OWNER).is_some());
    lan.pass(Duration::from_secs(600));
    assert_eq!((lan.b.stack.half_open(), lan.b.stack.open_connections()), (0, 1));
}

#[test]
fn who_finds_the_accept_queue_full_is_let_in_when_there_is_room() {
    let mut lan = Lan::with(|c| c.tcp.backlog = 2);
    let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
    for _ in 0..2 {
        lan.a.stack.connect(lan.now, server(), None, None, OWNER).unwrap();
        lan.settle();
    }
    lan.a.stack.connect(lan.now, server(), None, None, OWNER).unwrap();
    lan.settle();
    assert_eq!(lan.b.lines.count("in drop-backlog"), 1, "the SYN");
    assert_eq!(lan.b.stack.open_connections(), 2);
    assert!(lan.b.stack.accept(listener, OWNER).is_some());
    lan.pass(Duration::from_secs(2));
    assert_eq!(lan.b.stack.open_connections(), 3, "it was repeated");
    assert!(lan.b.stack.accept(listener, OWNER).is_some() && lan.b.stack.accept(listener, OWNER).is_some());
}

#[test]
fn a_handshake_that_cannot_be_accepted_now_stays_half_open() {
    let mut lan = Lan::with(|c| c.tcp.backlog = 3);
    let listener = lan.b.stack.listen(server(), Some(3), OWNER).unwrap();
    let ack_of = |n: u32, answer: &Segment| Segment {
        seq: syn(n).seq + 1,
        ack: answer.seq + 1,
        flags: Flags::ACK,
        ..Segment::default()
    };
    let answers: Vec<Segment> = (0..4)
        .map(|n| {
            lan.b.hear(lan.now, forged(n), server(), syn(n), &[]);
            lan.b.segments(lan.now)[0]
        })
        .collect();
    assert_eq!(lan.b.stack.half_open(), 2, "two by cookies");
    for n in [3, 2, 1, 0] {
        lan.b.hear(lan.now, forged(n), server(), ack_of(n, &answers[n as usize]), &[]);
    }
    assert_eq!(lan.b.lines.take().iter().filter(|l| *l == "in drop-backlog #1").count(), 1);
    assert_eq!((lan.b.stack.half_open(), lan.b.stack.open_connections()), (1, 4));
    assert!(lan.b.stack.accept(listener, OWNER).is_some());
    lan.pass(Duration::from_secs(1));
    assert_eq!(lan.b.lines.count("out syn-ack #1"), 1, "it is asked again");
    lan.b.hear(lan.now, forged(0), server(), ack_of(0, &answers[0]), &[]);
    assert_eq!((lan.b.stack.half_open(), lan.b.stack.open_connections()), (0, 4));
}

#[test]
fn half_open_connections_are_given_up() {
    let mut lan = Lan::with(|c| c.tcp.syn_cookies = SynCookies::Off);
    lan.b.stack.listen(server(), Some(5), OWNER).unwrap();
    // The SYN-ACKs never arrive.
    lan.passes = |frame| !tcp_of(frame).seg.has(Flags::ACK);
    for _ in 0..6 {
        lan.a.stack.connect(lan.now, server(), None, None, OWNER).unwrap();
    }
    lan.settle();
    assert_eq!((lan.b.stack.open_connections(), lan.b.lines.count("in drop-syn-queue")), (4, 2));
    lan.pass(Duration::from_secs(600));
    assert_eq!((lan.b.stack.open_connections(), lan.b.stack.next_deadline()), (0, None));
    let timed_out = |ready: &Ready| matches!(ready, Ready::Conn(_, Event::Closed(CloseReason::TimedOut)));
    assert_eq!(lan.a.events().iter().filter(|ready| timed_out(ready)).count(), 6);
}

#[test]
fn half_open_connections_end_with_their_listener() {
    let mut lan = Lan::new();
    let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
    lan.b.hear(lan.now, forged(1), server(), syn(1), &[]);
    lan.b.stack.close_listener(lan.now, listener);
    assert_eq!((lan.b.stack.half_open(), lan.b.segments(lan.now).len()), (0, 0));
    let client = lan.a.stack.connect(lan.now, server(), None, None, OWNER).unwrap();
    lan.settle();
    assert_eq!(lan.a.stack.conn(client).unwrap().error(), Some(StreamError::ConnectionRefused));
    assert_eq!(lan.a.stack.conn(client).unwrap().state(), State::Closed);
}

#[test]
fn who_holds_the_window_of_a_closed_connection_shut_does_not_keep_it() {
    for (closed, left) in [(true, 0), (false, 1)] {
        let mut lan = Lan::with(|c| c.tcp.recv_buffer = 4096);
        let (_, client, server) = lan.connected();
        write(&mut lan.b.stack, lan.now, server, &[1; 20_000]);
        if closed {
            lan.b.stack.release(lan.now, server);
        }
        // The client reads nothing and answers each probe.
        lan.pass(Duration::from_secs(100));
        assert_eq!(lan.b.stack.open_connections(), 1);
        lan.pass(Duration::from_secs(300));
        assert_eq!(lan.b.stack.open_connections(), left, "RFC 9293 §3.8.6.1 (MUST-37) is for owners");
        assert_eq!(lan.b.stack.memory() == 0, closed);
        assert!(lan.a.stack.conn(client).unwrap().readable() > 0);
    }
}

#[test]
fn a_closed_connection_gives_up_sooner_than_an_open_one() {
    for (closed, left) in [(true, 0), (false, 1)] {
        let mut lan = Lan::new();
        let (_, _, server) = lan.connected();
        lan.passes = |_| false;
        write(&mut lan.b.stack, lan.now, server, &[1; 2000]);
        if closed {
            lan.b.stack.release(lan.now, server);
        }
        lan.pass(Duration::from_secs(200));
        assert_eq!(lan.b.stack.open_connections(), left);
    }
}

#[test]
fn after_a_lost_acknowledgment_of_a_cookie_the_data_behind_it_makes_the_connection() {
    for timestamps in [true, false] {
        let mut lan = Lan::with(|c| {
            c.tcp.syn_cookies = SynCookies::Always;
            c.tcp.timestamps = timestamps;
        });
        let listener = lan.b.stack.listen(server(), None, OWNER).unwrap();
        // Bare acknowledgments are lost.
        lan.passes = |frame| {
            let seg = tcp_of(frame).seg;
            seg.flags != Flags::ACK || seg.len > 0
        };
        let client = lan.a.stack.connect(lan.now, server(), None, None, OWNER).unwrap();
        lan.settle();
        assert_eq!(lan.a.stack.conn(client).unwrap().state(), State::Established);
        assert_eq!(lan.b.stack.open_connections(), 0);
        lan.passes = |_| true;
        write(&mut lan.a.stack, lan.now, client, &[5; 10_000]);
        lan.settle();
        let id = lan.b.stack.accept(listener, OWNER).expect("the data carries the acknowledgment").id;
        assert_eq!(read(&mut lan.b.stack, lan.now, id).unwrap(), [5; 10_000]);
    }
}

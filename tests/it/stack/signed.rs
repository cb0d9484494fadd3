//! Signed segments (RFC 2385): what has no signature, or another one, is not heard, and all that leaves has one.

use super::lan::*;
use std::net::IpAddr;
use tcpglass::segment::{Flags, Key, Segment};
use tcpglass::stack::{ConnId, Keyring, ListenerId};
use tcpglass::stream::ByteStream;
use tcpglass::tcp::{Shutdown, State};
use tcpglass::time::Duration;
use tcpglass::wire::is_signed_by;

fn key(text: &str) -> Key {
    Key::new(text.as_bytes()).unwrap()
}

fn ring(network: &str, prefix: u8, text: &str) -> Keyring {
    let mut ring = Keyring::new();
    ring.insert(network.parse::<IpAddr>().unwrap(), prefix, key(text));
    ring
}

/// A listener with a key for the client's network and a client with `own`, which has tried to connect.
fn attempt(lan: &mut Lan, own: Option<&str>) -> (ListenerId, ConnId) {
    let listener = lan.b.stack.listen(addr(B4, 80), None, OWNER).unwrap();
    lan.b.stack.set_listener_keys(listener, ring("10.0.0.0", 24, "secret"));
    let client = lan.a.stack.connect(lan.now, addr(B4, 80), None, None, OWNER).unwrap();
    lan.a.stack.set_key(lan.now, client, own.map(key));
    lan.settle();
    (listener, client)
}

fn connected(lan: &mut Lan) -> (ListenerId, ConnId, ConnId) {
    let (listener, client) = attempt(lan, Some("secret"));
    let server = lan.b.stack.accept(listener, OWNER).expect("a connection waits").id;
    (listener, client, server)
}

#[test]
fn every_segment_of_a_connection_is_signed() {
    let mut lan = Lan::new();
    lan.passes = |frame| {
        let packet = tcp_of(frame);
        assert!(is_signed_by(&packet, &key("secret")), "{:?}", packet.seg);
        assert!(packet.options.len() <= 40 && frame.len() <= 1500);
        true
    };
    let (_, client, server) = connected(&mut lan);
    assert_eq!(lan.b.stack.key(server), Some(&key("secret")), "inherited");
    let data: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let (mut written, mut got) = (0, Vec::new());
    while got.len() < data.len() {
        written += lan.a.stack.stream(lan.now, client).write(&data[written..]).unwrap_or(0);
        lan.pass(Duration::from_millis(50));
        got.extend(read(&mut lan.b.stack, lan.now, server).unwrap_or_default());
    }
    assert_eq!(got, data);
    // The signature takes twenty bytes of each segment; like Linux we then have no time stamps.
    assert_eq!(lan.a.stack.conn(client).unwrap().mss(), 1440);
    assert_eq!(lan.b.stack.conn(server).unwrap().mss(), 1440);
    lan.a.stack.shutdown(lan.now, client, Shutdown::Both);
    lan.b.stack.shutdown(lan.now, server, Shutdown::Both);
    lan.settle();
    assert_eq!(lan.a.stack.time_waits(), 1);
    assert!(lan.a.lines.all().iter().chain(&lan.b.lines.all()).all(|line| !line.contains("drop")));
}

#[test]
fn who_has_the_wrong_key_or_none_is_not_heard() {
    for (own, word) in [(None, "in drop-unsigned"), (Some("Secret"), "in drop-signature")] {
        let mut lan = Lan::new();
        let (listener, client) = attempt(&mut lan, own);
        lan.pass(Duration::from_secs(3));
        assert_eq!(lan.a.stack.conn(client).unwrap().state(), State::SynSent, "{own:?}");
        assert!(
            lan.b.stack.waiting(listener) == 0 && lan.b.lines.count(word) >= 2,
            "{:?}",
            lan.b.lines.all()
        );
        assert!(lan.b.lines.all().iter().all(|line| line == word), "nothing is answered");
    }
}

#[test]
fn a_signature_that_nobody_expects_is_dropped() {
    let mut lan = Lan::new();
    lan.b.stack.listen(addr(B4, 80), None, OWNER).unwrap();
    let client = lan.a.stack.connect(lan.now, addr(B4, 80), None, None, OWNER).unwrap();
    lan.a.stack.set_key(lan.now, client, Some(key("secret")));
    lan.settle();
    assert_eq!(lan.b.lines.all(), ["in drop-signed"]);
}

#[test]
fn a_forged_reset_does_nothing_and_ours_is_signed() {
    let mut lan = Lan::new();
    let (_, client, server) = connected(&mut lan);
    let (from, _) = lan.a.stack.addrs_of(client).unwrap();
    // One that hits the very number.
    let seq = lan.b.stack.conn(server).unwrap().snapshot().irs + 1;
    let rst = Segment { seq, flags: Flags::RST, ..Segment::default() };
    lan.b.hear(lan.now, from, addr(B4, 80), rst, &[]);
    assert_eq!(lan.b.stack.conn(server).unwrap().state(), State::Established);
    assert_eq!(lan.b.lines.count("in drop-unsigned"), 1);
    lan.a.stack.stream(lan.now, client).abort();
    lan.settle();
    assert_eq!(lan.b.stack.conn(server).unwrap().state(), State::Closed);
}

#[test]
fn time_wait_answers_with_a_signature() {
    let mut lan = Lan::new();
    let (_, client, server) = connected(&mut lan);
    lan.a.stack.shutdown(lan.now, client, Shutdown::Both);
    lan.settle();
    // The last acknowledgment is lost, so that the peer's FIN comes again.
    lan.passes = |frame| {
        let seg = tcp_of(frame).seg;
        assert!(is_signed_by(&tcp_of(frame), &key("secret")), "{seg:?}");
        seg.has(Flags::FIN)
    };
    lan.b.stack.shutdown(lan.now, server, Shutdown::Both);
    lan.settle();
    assert_eq!(lan.a.stack.time_waits(), 1);
    lan.passes = |frame| {
        assert!(is_signed_by(&tcp_of(frame), &key("secret")));
        true
    };
    lan.pass(Duration::from_secs(2));
    assert_eq!(lan.b.stack.open_connections(), 0);
}

#[test]
fn a_stranger_with_the_listeners_key_is_refused_with_a_signature() {
    let mut lan = Lan::new();
    let (_, client, server) = connected(&mut lan);
    // The server forgets: its side is reset, which never arrives.
    lan.passes = |_| false;
    lan.b.stack.stream(lan.now, server).abort();
    lan.settle();
    lan.passes = |_| true;
    write(&mut lan.a.stack, lan.now, client, b"anybody there?");
    lan.settle();
    assert_eq!(lan.a.stack.conn(client).unwrap().state(), State::Closed);
}

#[test]
fn keys_can_be_changed_and_taken_away_while_a_connection_is_open() {
    let mut lan = Lan::new();
    let (_, client, server) = connected(&mut lan);
    for (n, new) in [Some("another"), None, Some("a third")].into_iter().enumerate() {
        lan.a.stack.set_key(lan.now, client, new.map(key));
        write(&mut lan.a.stack, lan.now, client, b"hello");
        lan.settle();
        assert!(read(&mut lan.b.stack, lan.now, server).is_err(), "{n}: only one end has changed");
        lan.b.stack.set_key(lan.now, server, new.map(key));
        // What was not heard comes again.
        lan.pass(Duration::from_secs(3));
        assert_eq!(read(&mut lan.b.stack, lan.now, server).unwrap(), b"hello", "{n}");
    }
}

#[test]
fn cookies_and_fast_open_go_without_what_finds_no_room() {
    for (sentence, always) in [("cookies", true), ("fast open", false)] {
        let mut lan = Lan::with(|config| {
            config.tcp.md5_key = Some(key("secret"));
            config.tcp.fast_open = 0x3;
            if always {
                config.tcp.syn_cookies = tcpglass::tcp::SynCookies::Always;
            }
        });
        lan.passes = |frame| {
            assert!(is_signed_by(&tcp_of(frame), &key("secret")));
            true
        };
        let (listener, client, server) = lan.connected();
        lan.b.stack.set_fast_open(listener, 8, None, false);
        write(&mut lan.a.stack, lan.now, client, b"hello");
        lan.pass(Duration::from_secs(1));
        assert_eq!(read(&mut lan.b.stack, lan.now, server).unwrap(), b"hello", "{sentence}");
        let with = tcpglass::stack::WithSyn { data: b"early", without_cookie: false };
        for _ in 0..2 {
            let (id, _) = lan.a.stack.connect_fast(lan.now, addr(B4, 80), None, None, OWNER, with).unwrap();
            lan.pass(Duration::from_secs(1));
            assert_eq!(lan.a.stack.conn(id).unwrap().state(), State::Established, "{sentence}");
        }
    }
}

#[test]
fn beside_a_signature_two_sack_blocks_find_room() {
    use tcpglass::segment::Options;
    for (stamped, signed, blocks) in [(false, false, 4), (true, false, 3), (false, true, 2), (true, true, 0)]
    {
        assert_eq!(Options::sack_room(stamped, signed), blocks, "{stamped} {signed}");
    }
}

//! Is what waits on others told from what waits on the path, and what the network did from what the capture did?

use super::talk::{By::*, Odd, Talk, get, ok};
use super::written::{never, sums, told};
use super::*;

/// A sender that spreads what it sends, on a path that let its first flight pass in one go; and one that does not.
#[test]
fn what_a_sender_spreads_is_not_the_paths_rate() {
    for burst in [true, false] {
        let mut t = Talk::new();
        let mut at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        at += 20.0;
        let mut body = ok(200 * 1460, 0);
        body.resize(200 * 1460, 7);
        for (n, piece) in body.chunks(1460).enumerate() {
            at += if burst && n < 10 { 0.01 } else { 1.5 };
            t.say(at, Server, ".", piece);
            if n % 2 == 1 {
                t.say(at + 0.01, Client, ".", b"");
            }
        }
        let summary = t.told();
        let [is, is_not] =
            if burst { [What::Pacing, What::PathRate] } else { [What::PathRate, What::Pacing] };
        assert!(told(&summary, is).1 > 200, "{:?}", found(&summary));
        never(&summary, &[is_not]);
    }
}

/// BSD's probes of a closed window carry the next byte; a proxy's window is closed from the beginning.
#[test]
fn a_closed_window_is_one_wait_and_who_never_filled_it_is_not_slow() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(3000, 1380));
    t.odd(at + 20.1, Client, ".", b"", Odd { window: Some(0), ..Odd::default() });
    let next = t.at(Server);
    let closed = Odd { window: Some(0), ack: Some(next), ..Odd::default() };
    for ms in [520.0, 1020.0] {
        t.odd(at + ms, Server, ".", b"x", Odd { seq: Some(next), ..Odd::default() });
        t.odd(at + ms + 0.1, Client, ".", b"", closed);
    }
    t.odd(at + 1500.0, Client, ".", b"", Odd { ack: Some(next), ..Odd::default() });
    t.say(at + 1520.0, Server, ".", &[b'x'; 1460]);
    t.say(at + 1520.1, Server, ".", &[b'x'; 160]);
    let summary = t.told();
    sums(&summary);
    assert_eq!(told(&summary, What::ZeroWindow).1, 1500, "{:?}", found(&summary));
    let mut t = Talk::new();
    t.say(0.0, Client, "S", b"");
    t.odd(20.0, Server, "S.", b"", Odd { window: Some(0), ..Odd::default() });
    t.say(20.1, Client, ".", b"");
    t.say(190.0, Server, ".", b"");
    t.say(190.1, Client, ".", &get("/a"));
    t.say(215.0, Server, ".", &ok(100, 100));
    let summary = t.told();
    assert_eq!(told(&summary, What::LateWindow).1, 170, "{:?}", found(&summary));
    never(&summary, &[What::ZeroWindow]);
}

/// The network doubles packets, and their receiver says so; a second capture of the same is not said by anybody.
#[test]
fn what_the_network_doubles_its_receiver_reports() {
    for told_twice in [true, false] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        let start = t.at(Server);
        t.say(at + 20.0, Server, ".", &ok(1000, 1000));
        let again = t.packets.last().unwrap().1.clone();
        t.packets.push((((at + 22.5) * 1000.0) as u64, again));
        t.say(at + 22.6, Client, ".", b"");
        if told_twice {
            let twice = Odd { sack: Some((start, t.at(Server))), ..Odd::default() };
            t.odd(at + 22.7, Client, ".", b"", twice);
        }
        let summary = t.told();
        let copies = summary.connections[0].ends[1].repeats.copy;
        let expected = if told_twice { (0, 1) } else { (1, 0) };
        assert_eq!((summary.doubled + summary.elsewhere, copies), expected);
        assert_eq!(summary.connections[0].down.again, 0);
    }
}

/// The report that a probe was needless comes behind the answer: it changes nothing about the next exchange.
#[test]
fn a_late_report_of_a_needless_probe_leaves_the_next_exchange_alone() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    let asked = t.at(Client);
    t.say(at, Client, ".", &get("/a"));
    t.odd(at + 240.0, Client, ".", &get("/a"), Odd { seq: Some(asked), ..Odd::default() });
    let twice = Odd { sack: Some((asked, asked + get("/a").len() as u32)), ..Odd::default() };
    t.say(at + 250.0, Server, ".", &ok(100, 100));
    t.odd(at + 260.0, Server, ".", b"", twice);
    t.say(at + 260.1, Client, ".", b"");
    t.say(at + 500.0, Client, ".", &get("/b"));
    t.say(at + 620.0, Server, ".", &ok(100, 100));
    let summary = t.told();
    sums(&summary);
    assert_eq!(summary.connections[0].exchanges[1].parts.of(Part::Recovery), Duration::ZERO);
}

/// RFC 7413: what travels with the SYN opens nothing that is waited for.
#[test]
fn a_request_in_the_syn_waits_for_no_handshake() {
    let mut t = Talk::new();
    t.say(0.0, Client, "S", &get("/a"));
    t.say(20.0, Server, "S.", b"");
    t.say(20.1, Server, ".", &ok(100, 100));
    t.say(20.2, Client, ".", b"");
    let summary = t.told();
    sums(&summary);
    never(&summary, &[What::Handshake, What::NotReused]);
    assert_eq!(part(&summary, 0, Part::Link), 20, "{:?}", summary.connections[0].exchanges);
}

/// Of many protocols the server speaks first, and may take its time.
#[test]
fn a_late_greeting_is_the_servers() {
    let mut t = Talk::between(40_000, 25);
    let at = t.open(0.0);
    t.say(at + 1520.0, Server, ".", b"220 hello\r\n");
    t.say(at + 1520.1, Client, ".", b"EHLO x\r\n");
    t.say(at + 1541.0, Server, ".", b"250 hello\r\n");
    let summary = t.told();
    sums(&summary);
    assert_eq!(told(&summary, What::SlowServer).1 / 100, 15, "{:?}", found(&summary));
    never(&summary, &[What::SlowClient]);
}

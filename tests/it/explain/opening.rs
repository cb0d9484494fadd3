//! Is a path that is longer than the time-out told from a loss, a full queue from either, and a packet that was captured
//! twice from one that was sent twice?

use super::talk::{By::*, Odd, Talk, get, ok, usual};
use super::written::{never, sums, told};
use super::*;

fn stamped(stamp: u32, echo: u32) -> Odd {
    Odd { stamp: Some(stamp), echo, ..Odd::default() }
}

/// The SYN-ACK comes half a second after the second SYN, and echoes the first, as Linux does in either case.
#[test]
fn a_syn_that_was_sent_again_too_soon_was_not_lost() {
    for spurious in [true, false] {
        let mut t = Talk::new();
        t.odd(0.0, Client, "S", b"", stamped(100, 0));
        t.odd(1000.0, Client, "S", b"", Odd { seq: Some(0), ..stamped(1100, 0) });
        t.odd(1500.0, Server, "S.", b"", stamped(7, 100));
        t.odd(1500.1, Client, ".", b"", stamped(1600, 7));
        t.odd(1500.2, Client, ".", &get("/a"), stamped(1600, 7));
        if spurious {
            t.odd(2500.0, Server, "S.", b"", Odd { seq: Some(0), ack: Some(1), ..stamped(1007, 100) });
            t.odd(2500.1, Client, ".", b"", stamped(2600, 7));
        }
        t.odd(3010.2, Server, ".", &ok(10, 10), stamped(1510, 1600));
        let summary = t.told();
        if spurious {
            never(&summary, &[What::SynLoss, What::SynAckLoss]);
            assert_eq!(told(&summary, What::SpuriousRto).0, 1, "{:?}", found(&summary));
            assert_eq!([Part::Handshake, Part::Recovery].map(|p| part(&summary, 0, p)), [1500, 0]);
            assert_eq!([Part::Link, Part::Server].map(|p| part(&summary, 0, p)), [1500, 10]);
        } else {
            never(&summary, &[What::SpuriousRto]);
            assert_eq!(told(&summary, What::SynLoss).1, 1000, "{:?}", found(&summary));
            assert_eq!([Part::Handshake, Part::Recovery].map(|p| part(&summary, 0, p)), [500, 1000]);
        }
        sums(&summary);
    }
}

/// What completes the handshake echoes the SYN-ACK that it answers.
#[test]
fn a_syn_ack_that_was_sent_again_too_soon_was_not_lost() {
    for spurious in [true, false] {
        let mut t = Talk::new();
        t.odd(0.0, Client, "S", b"", stamped(100, 0));
        t.odd(0.1, Server, "S.", b"", stamped(7, 100));
        t.odd(1000.0, Client, "S", b"", Odd { seq: Some(0), ..stamped(1100, 0) });
        t.odd(1000.1, Server, "S.", b"", Odd { seq: Some(0), ..stamped(1007, 100) });
        t.odd(1500.0, Client, ".", b"", stamped(1600, if spurious { 7 } else { 1007 }));
        t.odd(1500.1, Client, ".", &get("/a"), stamped(1600, 7));
        t.odd(1510.0, Server, ".", &ok(10, 10), stamped(1510, 1600));
        let summary = t.told();
        if spurious {
            never(&summary, &[What::SynLoss, What::SynAckLoss]);
            let wrong = finding(&summary, What::SpuriousRto);
            assert_eq!((wrong.cost, wrong.confidence), (Duration::ZERO, Confidence::Certain));
            assert_eq!(part(&summary, 0, Part::Handshake), 1500);
        } else {
            assert_eq!(told(&summary, What::SynAckLoss).1, 1000, "{:?}", found(&summary));
        }
        sums(&summary);
    }
}

/// At the server nothing can have been lost on the way there.
#[test]
fn a_full_queue_of_new_connections_is_named_where_it_is() {
    for (answer, here) in [(1000.05, true), (1020.0, false)] {
        let mut t = Talk::new();
        t.say(0.0, Client, "S", b"");
        t.odd(1000.0, Client, "S", b"", Odd { seq: Some(0), ..Odd::default() });
        t.say(answer, Server, "S.", b"");
        t.say(1040.0, Client, ".", b"");
        let summary = t.told();
        let [is, is_not] = if here { [What::Backlog, What::SynLoss] } else { [What::SynLoss, What::Backlog] };
        assert_eq!(told(&summary, is).1, 1000, "{:?}", found(&summary));
        never(&summary, &[is_not]);
    }
    // The same behind the handshake: the server repeats its SYN-ACK, or says nothing at all.
    for again in [true, false] {
        let mut t = Talk::new();
        t.say(0.0, Client, "S", b"");
        t.say(0.05, Server, "S.", b"");
        t.say(20.0, Client, ".", b"");
        let start = t.at(Client);
        t.say(20.1, Client, ".", &get("/a"));
        for ms in [245.0, 700.0] {
            t.odd(ms, Client, ".", &get("/a"), Odd { seq: Some(start), ..Odd::default() });
        }
        if again {
            t.odd(1000.0, Server, "S.", b"", Odd { seq: Some(0), ack: Some(1), ..Odd::default() });
            t.say(1020.0, Client, ".", b"");
        }
        t.odd(1500.0, Client, ".", &get("/a"), Odd { seq: Some(start), ..Odd::default() });
        t.say(1500.1, Server, ".", &ok(10, 10));
        let summary = t.told();
        assert_eq!(told(&summary, What::Backlog).0, 3, "{again}: {:?}", found(&summary));
        never(&summary, &[What::Rto, What::TailLoss, What::SynAckLoss]);
        sums(&summary);
    }
}

/// Captured on both sides of a router, or on a port that shows what comes and what goes, without a number or a time stamp.
#[test]
fn every_packet_captured_twice_is_one_captured_once() {
    for (lag, routers) in [(10, 0), (4000, 0), (4000, 1)] {
        let mut t = usual();
        t.packets.iter_mut().for_each(|(_, bytes)| bytes[4..6].fill(0));
        let once = t.told();
        let mut both = t.packets.clone();
        both.extend(t.packets.iter().map(|(at, bytes)| {
            let mut bytes = bytes.clone();
            bytes[8] -= routers;
            (at + lag, bytes)
        }));
        both.sort_by_key(|(at, _)| *at);
        let twice = explain(Talk::file(&both, usize::MAX).as_slice(), Options::default()).unwrap();
        assert_eq!(twice.doubled + twice.elsewhere, t.packets.len() as u64, "{lag} µs, {routers}");
        assert_eq!(found(&twice), found(&once), "{lag} µs, {routers}");
        let times = |s: &Summary| {
            s.connections[0].exchanges.iter().map(|e| (e.start, e.end, e.parts)).collect::<Vec<_>>()
        };
        assert_eq!(times(&twice), times(&once), "{lag} µs, {routers}");
    }
}

/// The clock of the time stamps ticks twice a second, and nothing else numbers the packets.
#[test]
fn what_is_sent_again_within_a_tick_of_the_time_stamps_was_sent_twice() {
    let mut t = Talk::new();
    t.ident = [0, 0];
    t.odd(0.0, Client, "S", b"", stamped(1, 0));
    t.odd(0.1, Server, "S.", b"", stamped(9, 1));
    t.odd(20.0, Client, ".", b"", stamped(1, 9));
    t.odd(20.1, Client, ".", &get("/a"), stamped(1, 9));
    let start = t.at(Server);
    t.odd(20.3, Server, ".", &ok(10, 10), stamped(9, 1));
    t.odd(270.0, Server, ".", &ok(10, 10), Odd { seq: Some(start), ..stamped(9, 1) });
    t.odd(290.0, Client, ".", b"", stamped(1, 9));
    let summary = t.told();
    assert_eq!([summary.doubled, summary.elsewhere], [0, 0]);
    assert_eq!(told(&summary, What::Rto).0, 1, "{:?}", found(&summary));
}

/// Its server spoke with others meanwhile; some systems count the packets for all together.
#[test]
fn a_slow_server_that_numbers_its_packets_for_all_connections_is_not_a_loss() {
    for (others, hops) in [(7, 64), (1, 128)] {
        let mut t = Talk::new();
        let mut at = t.open(0.0);
        for n in 0..6 {
            t.say(at, Client, ".", &get("/a"));
            let think = if n == 4 { 300.0 } else { 2.0 };
            t.ident[1] += if n == 4 { others } else { 0 };
            t.say(at + 20.0 + think, Server, ".", &ok(10, 10));
            at += 400.0;
        }
        t.packets.iter_mut().for_each(|(_, bytes)| bytes[8] = hops);
        let summary = t.told();
        never(&summary, &[What::LostBefore]);
        let slow = finding(&summary, What::SlowServer);
        assert_eq!((slow.worst.as_millis(), slow.perhaps_lost), (300, 1), "{:?}", found(&summary));
    }
}

/// A NAT has forgotten the connection: its client did not give up too soon, and its server was never asked.
#[test]
fn a_request_that_nothing_comes_back_for_is_nobodys_slowness() {
    for heard in [false, true] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        t.say(at + 30.0, Server, ".", &ok(10, 10));
        t.say(at + 30.1, Client, ".", b"");
        let (at, start) = (at + 400_000.0, t.at(Client));
        t.say(at, Client, ".", &get("/b"));
        for ms in [300.0, 900.0, 2100.0] {
            t.odd(at + ms, Client, ".", &get("/b"), Odd { seq: Some(start), ..Odd::default() });
        }
        if heard {
            t.say(at + 2120.0, Server, ".", b"");
        }
        t.say(at + 9000.0, Client, "R.", b"");
        let summary = t.told();
        let [is, is_not] =
            if heard { [What::ClientAbort, What::Unheard] } else { [What::Unheard, What::ClientAbort] };
        assert_eq!(told(&summary, is).1, 9000, "{:?}", found(&summary));
        assert_eq!(summary.findings[0].what, is);
        never(&summary, &[is_not]);
        assert_eq!(part(&summary, 1, Part::Recovery), if heard { 2100 } else { 9000 });
        sums(&summary);
    }
}

/// Its checksum says that the number is wrong: nobody writes the gigabyte before it.
#[test]
fn a_damaged_number_does_not_make_a_replay_write_what_was_never_sent() {
    let mut t = usual();
    let nth = t.packets.iter().rposition(|(_, bytes)| bytes.len() > 60).unwrap();
    t.packets[nth].1[24] ^= 0x40;
    let file = Talk::file(&t.packets, usize::MAX);
    let scenario = tcpglass::whatif::Scenario::read(file.as_slice(), None, true).unwrap();
    let c = tcpglass::whatif::what_if(&scenario, |_, _| {}).unwrap();
    assert!(c.before.lasted < Duration::from_secs(10), "{:?}", c.before.lasted);
}

#[test]
fn where_nothing_of_the_client_was_captured_nobody_knows_when_the_handshake_ended() {
    let mut t = Talk::new();
    let unseen = Odd { unseen: true, ..Odd::default() };
    t.odd(0.0, Client, "S", b"", unseen);
    t.say(20.0, Server, "S.", b"");
    t.odd(40.0, Client, ".", &get("/a"), unseen);
    t.say(90.0, Server, ".", &ok(10, 10));
    let summary = t.told();
    never(&summary, &[What::Handshake]);
    assert_eq!(summary.connections[0].parts.of(Part::Handshake), Duration::ZERO);
    let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
    assert!(text.contains("(request not captured) 200"), "{text}");
}

//! Is a file read as what it is, if its packets are not in order, are there twice, or come from two places?

use super::talk::{By::*, Odd, Talk, get, ok, usual};
use super::*;
use tcpglass::explain::Disorder;

fn told(packets: &[(u64, Vec<u8>)]) -> Summary {
    explain(Talk::file(packets, usize::MAX).as_slice(), Options::default()).unwrap()
}

/// What is said of the time, without the numbers of frames.
fn essence(summary: &Summary) -> String {
    let c = &summary.connections[0];
    let exchanges: Vec<_> = c.exchanges.iter().map(|e| (&e.target, e.status, e.parts)).collect();
    format!("{:?} {:?} {exchanges:?} {:?} {:?}", found(summary), c.ending, c.up, c.down)
}

#[test]
fn neighbours_that_changed_places_are_put_in_order() {
    let t = usual();
    let expected = told(&t.packets);
    assert_eq!(expected.disorder, Disorder::default());
    let mut swapped = t.packets.clone();
    for pair in swapped.chunks_exact_mut(3) {
        pair.swap(0, 1);
    }
    let summary = told(&swapped);
    assert_eq!(essence(&summary), essence(&expected));
    assert_eq!((summary.disorder.sorted, summary.disorder.beyond), (swapped.len() as u64 / 3, 0));
    // From the last to the first.
    swapped = t.packets.iter().rev().cloned().collect();
    assert_eq!(essence(&told(&swapped)), essence(&expected));
    let text = tcpglass::report::capture(&told(&swapped), tcpglass::report::Style::PLAIN);
    assert!(text.contains("not in the order of their times: put in order"), "{text}");
}

#[test]
fn what_comes_too_late_to_be_sorted_is_named() {
    let mut t = Talk::new();
    let at = t.open(10_000.0);
    t.say(at, Client, ".", &get("/big"));
    t.say(at + 20.0, Server, ".", &ok(2_000_000, 1000));
    for n in 0..800 {
        t.say(at + 20.1 + f64::from(n) / 10.0, Server, ".", &[7; 1400]);
    }
    let mut packets = t.packets.clone();
    let early = usual().packets;
    let count = early.len() as u64;
    packets.extend(early.into_iter().map(|(at, mut p)| {
        p[12..14].copy_from_slice(&[172, 16]);
        p[16..18].copy_from_slice(&[172, 16]);
        p[36..38].fill(0);
        (at, p)
    }));
    let summary = told(&packets);
    assert_eq!(summary.disorder.beyond, count);
    assert!(summary.disorder.worst > Duration::from_secs(10), "{:?}", summary.disorder);
    let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
    assert!(text.contains("too late to be put in order") && text.contains("reordercap"), "{text}");
}

#[test]
fn packets_that_were_captured_twice_count_once() {
    let t = usual();
    let expected = essence(&told(&t.packets));
    let twice: Vec<_> =
        t.packets.iter().flat_map(|(at, p)| [(*at, p.clone()), (*at + 20, p.clone())]).collect();
    let summary = told(&twice);
    assert_eq!(essence(&summary), expected);
    assert_eq!((summary.doubled, summary.elsewhere), (t.packets.len() as u64, 0));
    // Routed in between: one hop further.
    let routed = t.packets.iter().flat_map(|(at, p)| {
        let mut next = p.clone();
        next[8] -= 1;
        [(*at, p.clone()), (*at + 20, next)]
    });
    assert_eq!(essence(&told(&routed.collect::<Vec<_>>())), expected);
}

#[test]
fn what_is_sent_again_is_no_double() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(1000, 1000));
    let last = Odd { seq: Some(t.at(Server) - ok(1000, 1000).len() as u32), ..Odd::default() };
    t.odd(at + 240.0, Server, ".", &ok(1000, 1000), last);
    let summary = t.told();
    assert_eq!((summary.doubled, summary.elsewhere, summary.connections[0].down.again), (0, 0, 1));
}

#[test]
fn two_places_in_one_file_are_named_and_lose_nothing() {
    let t = usual();
    // Packets of the client pass the server 10 ms later, those of the server left it 10 ms sooner.
    let mut both = t.packets.clone();
    for (at, p) in &t.packets {
        both.push(if p[15] == 1 { (at + 10_000, p.clone()) } else { (at - 10_000, p.clone()) });
    }
    both.sort_by_key(|(at, _)| *at);
    let summary = told(&both);
    assert_eq!((summary.doubled, summary.elsewhere), (0, t.packets.len() as u64));
    let said: Vec<_> = found(&summary).into_iter().map(|(what, _)| what).collect();
    assert!(
        !said.iter().any(|what| ["rto", "syn-loss", "tail-loss", "fast-retransmit"].contains(what)),
        "{said:?}"
    );
    let c = &summary.connections[0];
    assert_eq!((c.up.again, c.down.again, c.exchanges.len()), (0, 0, 3));
    assert!(c.exchanges[1..].iter().all(|e| e.parts.server.as_millis() == 50), "{:#?}", c.exchanges);
    let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
    assert!(text.contains("captured in two places"), "{text}");
}

#[test]
fn one_connection_that_is_asked_for_is_all_that_is_told_of() {
    let mut t = usual();
    t.again();
    t.open(2000.0);
    let options = Options { connection: Some(2), ..Options::default() };
    let summary = explain(Talk::file(&t.packets, usize::MAX).as_slice(), options).unwrap();
    let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
    assert!(text.contains("2 connections; 1 of them looked at, 3 packets"), "{text}");
}

#[test]
fn a_connection_is_told_of_with_its_options_round_trips_and_repetitions() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(3000, 1000));
    t.say(at + 20.05, Client, ".", b"");
    t.say(at + 30.0, Server, ".", &[7; 2000]);
    t.say(at + 30.05, Client, ".", b"");
    t.say(at + 100.0, Client, ".", &get("/b"));
    t.say(at + 130.0, Server, ".", &ok(10, 10));
    t.say(at + 200.0, Client, ".", &get("/c"));
    t.say(at + 240.0, Server, ".", &ok(10, 10));
    let summary = t.told();
    let c = &summary.connections[0];
    assert_eq!(c.round_trip.map(|t| t.as_micros()), Some(20_050));
    assert_eq!(c.round_trip_median().map(|t| t.as_micros()), Some(30_050), "20, 20, 30 and 40 ms");
    assert_eq!((c.ends[0].mss, c.ends[1].mss, c.ends[0].window_scale), (Some(1460), Some(1460), Some(7)));
    let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
    assert!(
        text.contains(
            "1: round trip 20 ms at the least, 30 ms in the middle; MSS 1460, SACK, windows × 128 and 128"
        ),
        "{text}"
    );
}

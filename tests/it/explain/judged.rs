//! Is nobody blamed for what the capture did not see, and is what was needless told from what was not?

use super::talk::{By::*, Odd, Talk, get, ok};
use super::written::{never, sums, told};
use super::*;

const UNSEEN: Odd = Odd {
    seq: None,
    ack: None,
    window: None,
    sack: None,
    stamp: None,
    echo: 0,
    damaged: false,
    unseen: true,
};

#[test]
fn packets_that_were_not_captured_cut_no_response_off() {
    for acknowledged in [true, false] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        t.say(at + 20.0, Server, ".", &ok(3000, 1000));
        t.odd(at + 20.1, Server, ".", &[7; 2000], UNSEEN);
        t.say(at + 20.2, Server, "F.", b"");
        if acknowledged {
            t.say(at + 20.3, Client, ".", b"");
        }
        let summary = t.told();
        never(&summary, &[What::CutShort, What::SlowServer, What::ResetResponse]);
        let c = &summary.connections[0];
        assert_eq!(c.exchanges[0].progress, Progress::Complete, "{acknowledged}");
        assert_eq!(c.ends[1].not_captured, if acknowledged { 2000 } else { 0 });
        let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
        assert_eq!(text.contains("2000 bytes were acknowledged and not captured"), acknowledged, "{text}");
        sums(&summary);
    }
}

/// A request on a connection that its server had closed, and what nearly every client does when it reads that.
#[test]
fn a_client_that_closes_behind_a_stale_request_cut_nothing_off() {
    for end in ["F.", "R.", ""] {
        for answer in [true, false] {
            let mut t = Talk::new();
            let at = t.open(0.0);
            t.say(at, Client, ".", &get("/a"));
            t.say(at + 20.0, Server, ".", &ok(10, 10));
            t.say(at + 20.1, Client, ".", b"");
            t.say(at + 5000.0, Server, "F.", b"");
            t.say(at + 5000.1, Client, ".", b"");
            t.say(at + 6000.0, Client, ".", &get("/b"));
            if !end.is_empty() {
                t.say(at + 6000.1, Client, end, b"");
            }
            if answer {
                t.say(at + 6020.0, Server, "R", b"");
            }
            let summary = t.told();
            let (times, _, sure) = told(&summary, What::KeepAliveRace);
            assert_eq!((times, sure), (1, Confidence::Certain), "{end} {answer}: {:?}", found(&summary));
            never(&summary, &[What::HalfClose, What::ClientAbort, What::NoAnswer, What::SlowClient]);
            sums(&summary);
        }
    }
}

#[test]
fn a_small_packet_that_is_lost_twice_and_then_passes_is_not_too_large_for_the_path() {
    for (first, passes) in [(1000, true), (1400, true), (1400, false)] {
        let mut t = Talk::new();
        t.say(0.0, Client, "S", b"");
        t.say(0.05, Server, "S.", b"");
        t.say(20.0, Client, ".", b"");
        t.say(20.1, Client, ".", &get("/a"));
        let body = ok(first, first);
        let start = t.at(Server);
        t.say(20.2, Server, ".", &body);
        for ms in [260.0, 700.0] {
            t.odd(ms, Server, ".", &body, Odd { seq: Some(start), ..Odd::default() });
        }
        if passes {
            t.say(720.0, Client, ".", b"");
        } else {
            t.odd(1500.0, Server, ".", &body[..700], Odd { seq: Some(start), ..Odd::default() });
            t.odd(1520.0, Client, ".", b"", Odd { ack: Some(start + 700), ..Odd::default() });
            t.odd(1520.1, Server, ".", &body[700..], Odd { seq: Some(start + 700), ..Odd::default() });
            t.say(1540.0, Client, ".", b"");
        }
        let summary = t.told();
        let named = summary.findings.iter().any(|f| f.what == What::MtuBlackHole);
        assert_eq!(named, !passes, "{first}: {:?}", found(&summary));
        sums(&summary);
    }
}

/// The server answers before it was told everything, closes, and resets what still comes.
#[test]
fn a_reset_behind_an_early_answer_may_have_destroyed_it() {
    for (reset, whole) in [(true, false), (false, false), (true, true)] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        let body = if whole { 1000 } else { 50_000 };
        let head = format!("POST /u HTTP/1.1\r\nHost: x\r\nContent-Length: {body}\r\n\r\n");
        t.say(at, Client, ".", head.as_bytes());
        t.say(at + 0.1, Client, ".", &[b'b'; 1000]);
        t.say(at + 20.0, Server, ".", b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        t.say(at + 20.1, Server, "F.", b"");
        if !whole {
            t.say(at + 20.2, Client, ".", &[b'b'; 1000]);
        }
        if reset {
            t.say(at + 40.0, Server, "R", b"");
        } else {
            t.say(at + 40.0, Client, "F.", b"");
        }
        let summary = t.told();
        let named = summary.findings.iter().find(|f| f.what == What::ResetResponse);
        let expected = (reset && !whole).then_some(Confidence::Inferred);
        assert_eq!(named.map(|f| f.confidence), expected, "{:?}", found(&summary));
        sums(&summary);
    }
}

#[test]
fn what_is_kept_of_packets_does_not_change_how_long_an_exchange_took() {
    let mut t = Talk::new();
    t.say(0.0, Client, "S", b"");
    t.say(0.05, Server, "S.", b"");
    t.say(20.0, Client, ".", b"");
    t.say(20.1, Client, ".", &get("/a"));
    let start = t.at(Server);
    let body = ok(1000, 1000);
    t.say(20.2, Server, ".", &body);
    t.odd(240.0, Server, ".", &body, Odd { seq: Some(start), ..Odd::default() });
    t.say(260.0, Client, ".", b"");
    t.say(260.1, Client, "F.", b"");
    let took = [usize::MAX, 80, 60].map(|snaplen| {
        let file = Talk::file(&t.packets, snaplen);
        let summary = explain(file.as_slice(), Options::default()).unwrap();
        sums(&summary);
        let e = &summary.connections[0].exchanges[0];
        (e.end - e.start).as_millis()
    });
    assert_eq!(took, [240; 3]);
}

/// Two repetitions of which the receiver got one too many: the first was needed.
#[test]
fn one_report_of_a_duplicate_acquits_one_repetition() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    let request = get("/a");
    let start = t.at(Client);
    t.say(at, Client, ".", &request);
    let end = t.at(Client);
    for ms in [240.0, 880.0] {
        t.odd(at + ms, Client, ".", &request, Odd { seq: Some(start), ..Odd::default() });
    }
    t.odd(at + 900.0, Server, ".", b"", Odd { sack: Some((start, end)), ..Odd::default() });
    t.say(at + 990.0, Server, ".", &ok(10, 10));
    let summary = t.told();
    assert_eq!(told(&summary, What::TailLoss).1, 240, "{:?}", found(&summary));
    let (times, cost, sure) = told(&summary, What::SpuriousRto);
    assert_eq!((times, cost, sure), (1, 640, Confidence::Inferred), "{:?}", found(&summary));
    sums(&summary);
}

/// An acknowledgment without data says by its number that something was sent before it.
#[test]
fn bytes_that_come_behind_their_own_end_are_counted() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    let start = t.at(Server);
    let body = ok(500, 500);
    t.odd(at + 20.0, Server, ".", &body, UNSEEN);
    t.say(at + 25.0, Server, ".", b"");
    t.odd(at + 300.0, Server, ".", &body, Odd { seq: Some(start), ..Odd::default() });
    t.say(at + 300.1, Client, ".", b"");
    let c = &t.told().connections[0];
    assert_eq!((c.down.bytes, c.ends[1].not_captured), (body.len() as u64, 0));
}

/// The originals come after their repetitions, as their time stamps say.
#[test]
fn what_was_overtaken_by_its_own_repetition_was_not_lost_and_waited_for_nobody() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    let stamped = |stamp| Odd { stamp: Some(stamp), ..Odd::default() };
    let late = t.at(Server);
    t.odd(at + 20.0, Server, ".", &ok(3000, 1000), Odd { unseen: true, ..stamped(100) });
    let gap = t.at(Server);
    t.odd(at + 20.1, Server, ".", &[7; 1000], stamped(100));
    let end = t.at(Server);
    t.odd(at + 20.2, Client, ".", b"", Odd { ack: Some(late), sack: Some((gap, end)), ..Odd::default() });
    t.odd(at + 60.0, Server, ".", &ok(3000, 1000), Odd { seq: Some(late), ..stamped(140) });
    t.odd(at + 60.1, Server, "F.", &[7; 1000], stamped(140));
    t.say(at + 60.2, Client, "F.", b"");
    t.odd(at + 80.0, Server, ".", b"", stamped(160));
    t.odd(at + 600.0, Server, ".", &ok(3000, 1000), Odd { seq: Some(late), ..stamped(100) });
    let summary = t.told();
    never(&summary, &[What::Rto, What::TailLoss, What::FastRetransmit]);
    assert_eq!(told(&summary, What::Reordering).2, Confidence::Certain, "{:?}", found(&summary));
    let c = &summary.connections[0];
    assert_eq!((c.ends[1].repeats.rto, c.ends[1].repeats.late), (0, 1));
    assert!(c.parts.close.as_millis() >= 500, "{:?}", c.parts);
    sums(&summary);
}

#[test]
fn the_scales_of_windows_are_missed_only_where_somebody_answered() {
    let text = |t: &Talk| tcpglass::report::capture(&t.told(), tcpglass::report::Style::PLAIN);
    let mut refused = Talk::new();
    refused.say(0.0, Client, "S", b"");
    refused.odd(20.0, Server, "R.", b"", Odd { seq: Some(0), ..Odd::default() });
    assert!(!text(&refused).contains("scales"), "{}", text(&refused));
    let mut one_sided = Talk::new();
    one_sided.say(0.0, Client, "S", b"");
    one_sided.odd(20.0, Server, "S.", b"", UNSEEN);
    one_sided.say(20.1, Client, ".", b"");
    one_sided.say(20.2, Client, ".", &get("/a"));
    one_sided.odd(40.0, Server, ".", &ok(10, 10), UNSEEN);
    one_sided.say(40.1, Client, ".", b"");
    assert!(text(&one_sided).contains("the server's SYN was not captured"), "{}", text(&one_sided));
}

/// Between the server's packets one is missing, none is, or nobody can tell.
#[test]
fn a_loss_before_the_capture_point_is_told_from_a_slow_server_by_the_numbers_of_packets() {
    for (lost, counted) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        t.say(at + 20.0, Server, ".", b"");
        let start = t.at(Server);
        let body = ok(10, 10);
        if lost {
            t.odd(at + 20.1, Server, ".", &body, UNSEEN);
        }
        if !counted {
            t.ident[1] = 40_000;
        }
        t.odd(at + 260.0, Server, ".", &body, Odd { seq: Some(start), ..Odd::default() });
        t.odd(at + 260.1, Client, ".", b"", Odd { ack: Some(start + body.len() as u32), ..Odd::default() });
        let summary = t.told();
        let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
        if lost && counted {
            assert_eq!(told(&summary, What::LostBefore).1, 240, "{:?}", found(&summary));
            never(&summary, &[What::SlowServer]);
            assert_eq!(part(&summary, 0, Part::Recovery), 240);
        } else {
            never(&summary, &[What::LostBefore]);
            let slow = finding(&summary, What::SlowServer);
            assert_eq!(slow.perhaps_lost, u64::from(!counted));
            assert_eq!(text.contains("or: lost before this capture point"), !counted, "{text}");
        }
        sums(&summary);
    }
    // The same of a request, at the server.
    for lost in [true, false] {
        let mut t = Talk::new();
        t.say(0.0, Client, "S", b"");
        t.say(0.05, Server, "S.", b"");
        t.say(20.0, Client, ".", b"");
        if lost {
            t.ident[0] += 1;
        }
        t.say(300.0, Client, ".", &get("/a"));
        t.say(301.0, Server, ".", &ok(10, 10));
        let summary = t.told();
        let found = summary.findings.iter().find(|f| f.what == What::LostBefore);
        assert_eq!(found.map(|f| f.cost.as_millis()), lost.then_some(240), "{:?}", summary.findings);
    }
}

#[test]
fn a_request_that_nobody_has_answered_when_the_capture_ends_is_named() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", b"");
    let summary = t.told();
    assert_eq!(told(&summary, What::Unanswered).1, 40, "{:?}", found(&summary));
    assert_eq!(summary.findings[0].what, What::Unanswered, "nothing else was ever answered");
    // Where others were, the capture may just have been stopped.
    t.say(at + 50.0, Server, ".", &ok(10, 10));
    t.say(at + 60.0, Client, ".", &get("/b"));
    let summary = t.told();
    assert_eq!(told(&summary, What::Unanswered).0, 1, "{:?}", found(&summary));
    assert_ne!(summary.findings[0].what, What::Unanswered);
}

/// Far away the end of a flight looks the same whatever ended it.
#[test]
fn a_small_last_segment_from_afar_is_not_nagles() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    for n in 0..10 {
        t.say(
            at + 20.0 + f64::from(n) / 10.0,
            Server,
            ".",
            &if n == 0 { ok(13_640, 1399) } else { vec![7; 1460] },
        );
    }
    t.say(at + 21.0, Client, ".", b"");
    t.say(at + 41.0, Server, ".", &[7; 500]);
    t.say(at + 41.1, Client, ".", b"");
    let summary = t.told();
    never(&summary, &[What::Nagle, What::NagleDelayedAck]);
    sums(&summary);
}

/// What it makes its sender send again, acknowledgment by acknowledgment, are no further time-outs.
#[test]
fn one_time_out_is_one_however_much_is_sent_again_for_it() {
    let naive = Config { rack: false, sack: false, tail_loss_probe: false, init_cwnd: 20, ..linux() };
    let mut scene = Scene::new("rtt=40ms,drop_nth=12+13+14+15+16+17+18", &naive, &naive);
    let socket = scene.connect();
    scene.get(socket, "/bytes/25000", 25_000);
    for (view, summary) in views(scene) {
        // Where what was lost never came it is a loss before.
        let is_one = |f: &&Finding| [What::Rto, What::LostBefore].contains(&f.what);
        let times: u64 = summary.findings.iter().filter(is_one).map(|f| f.times).sum();
        assert_eq!(times, 1, "{view}: {:?}", found(&summary));
        never(&summary, &[What::SpuriousRto, What::SlowStartAfterIdle, What::SlowStart]);
    }
}

/// The time between two connections is thought by the client, as far away as it is.
#[test]
fn connections_one_after_the_other_take_as_long_again_as_they_took_from_either_end() {
    let mut scene = Scene::new("rtt=50ms", &linux(), &linux());
    for _ in 0..10 {
        let socket = scene.connect();
        scene.get(socket, "/bytes/1000", 1000);
        scene.world.close(socket);
    }
    scene.world.run_for(1000 * MS);
    scene.world.finish().unwrap();
    for (end, file) in scene.files.map(|file| file.take()).into_iter().enumerate() {
        let scenario = tcpglass::whatif::Scenario::read(file.as_slice(), None, true).unwrap();
        let c = tcpglass::whatif::what_if(&scenario, |_, _| {}).unwrap();
        let off = c.before.lasted.abs_diff(c.observed);
        assert!(
            off * 10 <= c.observed && c.holds(),
            "{end}: {:?} for {:?}, {}",
            c.before.lasted,
            c.observed,
            c.error
        );
    }
}

/// The packets of a conversation as the client captured it, without one.
#[test]
fn a_packet_that_was_not_captured_is_neither_a_pause_nor_the_end() {
    let mut scene = Scene::new("rtt=50ms", &linux(), &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/100000", 100_000);
    scene.world.close(socket);
    scene.world.run_for(1000 * MS);
    scene.world.finish().unwrap();
    let file = scene.files[0].take();
    let mut packets = Vec::new();
    causes(file.as_slice(), Options::default(), &mut |c| {
        packets.push((c.at.as_micros() as u64, c.data.to_vec(), !c.from_client && c.segment.len > 1000));
    })
    .unwrap();
    let large: Vec<usize> = (0..packets.len()).filter(|n| packets[*n].2).collect();
    let read = |without: Option<usize>| {
        let rest = packets.iter().enumerate().filter(|(n, _)| Some(*n) != without);
        let file = Talk::file(&rest.map(|(_, p)| (p.0, p.1.clone())).collect::<Vec<_>>(), usize::MAX);
        tcpglass::whatif::Scenario::read(file.as_slice(), None, true).unwrap()
    };
    let whole = read(None);
    for n in [large[3], large[30], large[large.len() - 1]] {
        let scenario = read(Some(n));
        assert!(scenario.lasted().abs_diff(whole.lasted()) < MS, "{n}: {:?}", scenario.lasted());
        assert_eq!(scenario.talks[0].losses, [], "{n}");
        let c = tcpglass::whatif::what_if(&scenario, |_, _| {}).unwrap();
        assert!(c.holds(), "{n}: {:?} for {:?}, {}", c.before.lasted, c.observed, c.error);
    }
}

/// What is kept beyond gaps has a limit that all connections share: the oldest gaps are given up.
#[test]
fn gaps_on_many_connections_share_a_limit() {
    let mut packets = Vec::new();
    for n in 0..72 {
        let mut t = Talk::between(20_000 + n, 80);
        let at = t.open(f64::from(n) * 100.0);
        t.say(at, Client, ".", &get("/a"));
        t.say(at + 20.0, Server, ".", &ok(1_000_000, 20_000));
        t.odd(at + 20.0, Server, ".", &[7; 20_000], UNSEEN);
        for _ in 0..16 {
            t.say(at + 21.0, Server, ".", &[7; 60_000]);
        }
        packets.extend(t.packets);
    }
    let summary = explain(Talk::file(&packets, usize::MAX).as_slice(), Options::default()).unwrap();
    let complete = |n: usize| summary.connections[n].exchanges[0].progress == Progress::Complete;
    assert!(complete(0), "given up, so that the rest is read");
    assert!(!complete(71), "what is missing may still come");
}

/// As some old systems' libpcap wrote it, with a longer header before each packet.
#[test]
fn a_pcap_with_longer_packet_headers_is_read() {
    let t = super::talk::usual();
    let plain = Talk::file(&t.packets, usize::MAX);
    let mut longer = plain[..24].to_vec();
    longer[..4].copy_from_slice(&0xa1b2_cd34_u32.to_le_bytes());
    let mut rest = &plain[24..];
    while !rest.is_empty() {
        let kept = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        longer.extend_from_slice(&rest[..16]);
        longer.extend_from_slice(&[0, 0, 0, 2, 8, 0, 4, 0]);
        longer.extend_from_slice(&rest[16..16 + kept]);
        rest = &rest[16 + kept..];
    }
    assert_eq!(explain(longer.as_slice(), Options::default()).unwrap(), t.told());
    let cut = explain(&longer[..longer.len() - 1], Options::default()).unwrap();
    assert!(cut.damage.is_some());
}

#[test]
fn what_is_encrypted_is_called_so() {
    for (first, name) in [(&b"\x16\x03\x01\x00\x05hello"[..], "(TLS)"), (b"\x00\x01", "(not HTTP)")] {
        let mut t = Talk::between(40_000, 443);
        let at = t.open(0.0);
        t.say(at, Client, ".", first);
        t.say(at + 20.0, Server, ".", b"\x16\x03\x03\x00\x05world");
        t.say(at + 20.1, Client, ".", b"\x17\x03\x03\x00\x01x");
        t.say(at + 40.1, Server, ".", b"\x17\x03\x03\x00\x01y");
        let text = tcpglass::report::capture(&t.told(), tcpglass::report::Style::PLAIN);
        assert_eq!(text.matches(name).count(), 2, "{text}");
    }
}

/// One number is damaged by a bit: that is no gigabyte that was sent.
#[test]
fn a_segment_far_beyond_the_window_is_left_out_and_two_that_agree_are_not() {
    for beyond in [900_000_000, -900_000_000_i64] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        t.say(at + 20.0, Server, ".", &ok(10, 10));
        let far = t.at(Server).wrapping_add(beyond as u32);
        t.odd(at + 21.0, Server, ".", &[7; 1000], Odd { seq: Some(far), ..Odd::default() });
        let far = t.at(Server).wrapping_add(700_000_000);
        t.odd(at + 22.0, Client, ".", b"", Odd { ack: Some(far), ..Odd::default() });
        t.say(at + 23.0, Client, ".", b"");
        t.say(at + 100.0, Client, ".", &get("/b"));
        t.say(at + 120.0, Server, ".", &ok(10, 10));
        let summary = t.told();
        never(&summary, &[What::Rto, What::TailLoss, What::FastRetransmit]);
        let c = &summary.connections[0];
        assert_eq!((c.up.wild, c.down.wild, c.ends[1].not_captured), (1, 1, 0));
        assert_eq!(c.exchanges.len(), 2, "{:#?}", c.exchanges);
        assert!(c.exchanges.iter().all(|e| e.progress == Progress::Complete));
        sums(&summary);
    }
    // The recorder slept, and all goes on elsewhere.
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(2_000_000, 1000));
    for n in 0..50 {
        t.odd(at + 21.0 + f64::from(n), Server, ".", &[7; 60_000], UNSEEN);
    }
    for n in 0..4 {
        t.say(at + 80.0 + f64::from(n), Server, ".", &[7; 1400]);
        t.say(at + 80.5 + f64::from(n), Client, ".", b"");
    }
    let c = &t.told().connections[0];
    assert!(c.down.wild <= 1 && c.up.wild <= 1, "{} {}", c.down.wild, c.up.wild);
    assert!(c.ends[1].not_captured >= 3_000_000, "{}", c.ends[1].not_captured);
}

/// As `mergecap` makes it of a capture and itself: what is said of it is what is said of one.
#[test]
fn a_capture_of_ours_that_holds_each_packet_twice_is_recognised() {
    let mut scene = Scene::new("rtt=20ms,drop_nth=3,duplicate=20%", &linux(), &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/20000", 20_000);
    scene.world.run_for(1000 * MS);
    scene.world.finish().unwrap();
    let once = scene.files[0].take();
    // Blocks of packets and rows twice, all others once.
    let mut twice = Vec::new();
    let mut rest = once.as_slice();
    while !rest.is_empty() {
        let word = |n: usize| u32::from_le_bytes(rest[n..n + 4].try_into().unwrap());
        let (block, after) = rest.split_at(word(4) as usize);
        twice.extend_from_slice(block);
        if word(0) == 6 {
            twice.extend_from_slice(block);
        }
        rest = after;
    }
    let [once, twice] = [once, twice].map(|file| explain(file.as_slice(), Options::default()).unwrap());
    assert_eq!(once.doubled, 0);
    assert_eq!(twice.doubled, once.packets);
    let plain =
        |summary: &Summary| summary.findings.iter().map(|f| (f.what, f.times, f.cost)).collect::<Vec<_>>();
    assert_eq!(plain(&twice), plain(&once));
    assert_eq!(twice.connections[0].parts, once.connections[0].parts);
}

/// A connection was idle; what was asked then was lost at first. Only the time-out is the loss.
#[test]
fn a_pause_before_a_loss_is_a_pause() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 30.0, Server, ".", &ok(100, 100));
    t.say(at + 30.1, Client, ".", b"");
    // The server thinks for two seconds, and the first copy of its answer is lost.
    t.say(at + 1000.0, Client, ".", &get("/b"));
    t.say(at + 1060.0, Server, ".", b"");
    t.ident[1] += 1;
    t.say(at + 3260.0, Server, ".", &ok(100, 100));
    t.say(at + 3260.1, Client, ".", b"");
    let summary = t.told();
    assert_eq!(told(&summary, What::LostBefore), (1, 240, Confidence::Inferred), "{:?}", found(&summary));
    assert!(told(&summary, What::SlowServer).1.abs_diff(1960 + 10 + 40) < 25, "{:?}", found(&summary));
    sums(&summary);
}

/// An acknowledgment was lost on its way to a client that waited for the answer anyway.
#[test]
fn a_needless_probe_takes_nothing_from_the_server() {
    for heard in [60.0, 5.0] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        let asked = t.at(Client);
        t.say(at, Client, ".", &get("/a"));
        let again = Odd { seq: Some(asked), ..Odd::default() };
        t.odd(at + 240.0, Client, ".", &get("/a"), again);
        let twice = Odd { sack: Some((asked, asked + get("/a").len() as u32)), ..Odd::default() };
        t.odd(at + 260.0, Server, ".", b"", twice);
        t.say(at + 260.0 + heard, Server, ".", &ok(100, 100));
        t.say(at + 260.1 + heard, Client, ".", b"");
        let summary = t.told();
        sums(&summary);
        let (times, cost, _) = told(&summary, What::LateAcks);
        // What comes just behind the report may as well have been lost itself.
        let (late, slow) = if heard > 40.0 { (0, 300) } else { (240, 0) };
        assert_eq!((times, cost), (1, late), "{:?}", found(&summary));
        assert!(
            part(&summary, 0, Part::Server).abs_diff(slow) <= 5,
            "{:?}",
            summary.connections[0].exchanges
        );
    }
}

/// RFC 5961: a RST within the window, but not at its edge, is answered, and nothing ends.
#[test]
fn a_reset_that_its_receiver_ignores_ends_nothing() {
    for ignored in [true, false] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        t.odd(at + 30.0, Server, "R", b"", Odd { seq: Some(9000), ..Odd::default() });
        if ignored {
            t.say(at + 30.1, Client, ".", b"");
            t.say(at + 100.0, Server, ".", &ok(100, 100));
            t.say(at + 200.0, Client, ".", &get("/b"));
            t.say(at + 250.0, Server, ".", &ok(100, 100));
        }
        let summary = t.told();
        sums(&summary);
        let c = &summary.connections[0];
        if ignored {
            assert_eq!(told(&summary, What::IgnoredReset), (1, 0, Confidence::Certain));
            assert_eq!((c.ending, c.exchanges.len(), c.down.again), (tcpglass::explain::Ending::Open, 2, 0));
            never(&summary, &[What::NoAnswer, What::ResetResponse]);
        } else {
            assert_eq!(c.ending, tcpglass::explain::Ending::Reset);
            assert_eq!(told(&summary, What::NoAnswer).0, 1, "{:?}", found(&summary));
        }
    }
}

/// RFC 9293 §3.5.1: a client that was started anew meets the server's end of its last connection.
#[test]
fn a_half_open_connection_is_what_keeps_a_new_one_waiting() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 50.0, Server, ".", &ok(100, 100));
    t.say(at + 50.1, Client, ".", b"");
    let known = [t.at(Client), t.at(Server)];
    t.again();
    t.say(5000.0, Client, "S", b"");
    t.old(5020.0, Server, ".", known);
    t.old(5020.1, Client, "R", known);
    t.odd(6000.0, Client, "S", b"", Odd { seq: Some(0), ..Odd::default() });
    t.say(6020.0, Server, "S.", b"");
    t.say(6020.1, Client, ".", b"");
    t.say(6020.2, Client, ".", &get("/b"));
    t.say(6050.0, Server, ".", &ok(100, 100));
    let summary = t.told();
    sums(&summary);
    assert_eq!(told(&summary, What::HalfOpen), (1, 1000, Confidence::Inferred), "{:?}", found(&summary));
    never(&summary, &[What::SynLoss, What::Refused, What::NotReused, What::Handshake]);
    assert_eq!(summary.connections[1].ending, tcpglass::explain::Ending::Open);
}

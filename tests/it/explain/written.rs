//! Is the right one blamed in captures whose story is known, because it was written by hand?

use super::talk::{By::*, Odd, Talk, get, ok, usual};
use super::*;

/// The finding's times, cost in milliseconds and confidence.
pub fn told(summary: &Summary, what: What) -> (u64, u64, Confidence) {
    let f = finding(summary, what);
    (f.times, (f.cost.as_micros() as u64 + 500) / 1000, f.confidence)
}

pub fn never(summary: &Summary, list: &[What]) {
    for what in list {
        assert!(summary.findings.iter().all(|f| f.what != *what), "{}: {:?}", what.word(), found(summary));
    }
}

pub fn sums(summary: &Summary) {
    for c in &summary.connections {
        assert_eq!(c.parts.total(), c.end - c.start, "connection {}", c.number);
        for e in &c.exchanges {
            assert_eq!(e.parts.total(), e.end - e.start, "{e:#?}");
        }
    }
}

#[test]
fn a_fin_waits_for_nobodys_acknowledgment() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(100, 100));
    t.say(at + 20.1, Client, ".", b"");
    t.say(at + 30.0, Client, "F.", b"");
    t.say(at + 50.0, Server, "F.", b"");
    t.say(at + 50.1, Client, ".", b"");
    let summary = t.told();
    never(&summary, &[What::Nagle, What::SlowClient, What::SlowServer]);
    sums(&summary);
    let parts = summary.connections[0].parts;
    assert_eq!((parts.nagle.as_millis(), parts.close.as_millis()), (0, 20), "{parts:?}");
}

#[test]
fn a_window_costs_all_the_time_that_it_was_closed() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/big"));
    t.say(at + 20.0, Server, ".", &ok(200_000, 1300));
    for n in 0..12 {
        t.say(at + 20.1 + f64::from(n) / 10.0, Server, ".", &[7; 1460]);
    }
    let closed = Odd { window: Some(0), ..Odd::default() };
    t.odd(at + 21.4, Client, ".", b"", closed);
    let probe = Odd { seq: Some(t.at(Server) - 1), ..Odd::default() };
    for ms in [220.0, 620.0, 1420.0, 2820.0] {
        t.odd(at + 21.4 + ms, Server, ".", b"", probe);
        t.odd(at + 21.5 + ms, Client, ".", b"", closed);
    }
    let still_closed = t.told();
    assert_eq!(told(&still_closed, What::ZeroWindow).1, 2820, "{:?}", found(&still_closed));
    t.say(at + 3021.4, Client, ".", b"");
    for n in 0..12 {
        t.say(at + 3041.4 + f64::from(n) / 10.0, Server, ".", &[7; 1460]);
    }
    let summary = t.told();
    let (times, cost, _) = told(&summary, What::ZeroWindow);
    assert_eq!((times, cost), (1, 3020), "{:?}", found(&summary));
    assert_eq!(summary.findings[0].what, What::ZeroWindow);
    never(&summary, &[What::ReceiveWindow, What::SlowServer]);
    sums(&summary);
}

#[test]
fn a_client_that_resets_a_download_gave_it_up() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/big"));
    t.say(at + 20.0, Server, ".", &ok(100_000, 1300));
    t.say(at + 20.1, Client, ".", b"");
    t.say(at + 1000.0, Client, "R.", b"");
    let summary = t.told();
    assert_eq!(told(&summary, What::ClientAbort), (1, 1020, Confidence::Certain), "{:?}", found(&summary));
    never(&summary, &[What::ResetResponse, What::SlowClient, What::HalfClose]);
    sums(&summary);
}

#[test]
fn a_client_that_closes_before_a_slow_answer_gave_it_up_and_the_wait_was_for_the_server() {
    for reset in [false, true] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/slow"));
        t.say(at + 20.0, Server, ".", b"");
        t.say(at + 1000.0, Client, "F.", b"");
        t.say(at + 1020.0, Server, ".", b"");
        if reset {
            t.say(at + 1500.0, Server, ".", &ok(10, 10));
            t.say(at + 1500.1, Client, "R", b"");
        } else {
            t.say(at + 1500.0, Server, "F.", b"");
            t.say(at + 1500.1, Client, ".", b"");
        }
        let summary = t.told();
        never(&summary, &[What::HalfClose, What::SlowClient, What::ResetResponse, What::NoAnswer]);
        if !reset {
            let (times, cost, _) = told(&summary, What::ClientAbort);
            assert_eq!((times, cost), (1, 1020), "{:?}", found(&summary));
            assert!(summary.connections[0].exchanges[0].parts.server >= 900 * MS);
        }
        sums(&summary);
    }
}

#[test]
fn a_request_that_was_taken_and_never_answered_is_no_race() {
    for flags in ["F.", "R."] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        t.say(at + 20.0, Server, ".", &ok(10, 10));
        t.say(at + 20.1, Client, ".", b"");
        t.say(at + 100.0, Client, ".", &get("/crash"));
        t.say(at + 120.0, Server, ".", b"");
        t.say(at + 3100.0, Server, flags, b"");
        let summary = t.told();
        assert_eq!(told(&summary, What::NoAnswer), (1, 3000, Confidence::Certain), "{:?}", found(&summary));
        never(&summary, &[What::KeepAliveRace, What::SlowServer, What::ResetResponse]);
        sums(&summary);
    }
}

#[test]
fn a_request_that_crosses_the_servers_fin_is_a_race_from_either_end() {
    let whole = |server: bool| {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/a"));
        t.say(at + 20.0, Server, ".", &ok(10, 10));
        t.say(at + 20.1, Client, ".", b"");
        let before = t.at(Client);
        let crossing = Odd { ack: Some(before), ..Odd::default() };
        if server {
            t.odd(at + 5000.0, Server, "F.", b"", crossing);
            t.say(at + 5010.0, Client, ".", &get("/b"));
            let end = Odd { seq: Some(t.at(Server)), ..Odd::default() };
            t.odd(at + 5010.1, Server, "R", b"", end);
        } else {
            t.say(at + 5000.0, Client, ".", &get("/b"));
            t.odd(at + 5010.0, Server, "F.", b"", crossing);
            t.say(at + 5010.1, Client, ".", b"");
            let end = Odd { seq: Some(t.at(Server)), ..Odd::default() };
            t.odd(at + 5020.0, Server, "R", b"", end);
        }
        t.told()
    };
    for server in [false, true] {
        let summary = whole(server);
        let (times, _, sure) = told(&summary, What::KeepAliveRace);
        assert_eq!((times, sure), (1, Confidence::Certain), "{:?}", found(&summary));
        never(&summary, &[What::NoAnswer, What::ResetResponse]);
        assert_eq!(summary.findings[0].what, What::KeepAliveRace, "it costs 10 ms, and a request");
        sums(&summary);
    }
}

#[test]
fn a_response_that_the_server_ends_too_early_is_named() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(100, 10));
    t.say(at + 20.1, Client, ".", b"");
    t.say(at + 300.0, Server, "F.", b"");
    let summary = t.told();
    assert_eq!(told(&summary, What::CutShort).0, 1, "{:?}", found(&summary));
    never(&summary, &[What::ResetResponse, What::NoAnswer]);
}

#[test]
fn a_syn_that_was_answered_here_was_not_lost() {
    let first = Odd { seq: Some(0), ..Odd::default() };
    let mut t = Talk::new();
    t.say(0.0, Client, "S", b"");
    t.say(0.05, Server, "S.", b"");
    t.odd(1000.0, Client, "S", b"", first);
    t.odd(1000.05, Server, "S.", b"", first);
    t.say(1020.0, Client, ".", b"");
    t.say(1020.1, Client, ".", &get("/a"));
    t.say(1020.2, Server, ".", &ok(10, 10));
    t.say(1040.0, Client, ".", b"");
    let summary = t.told();
    let (times, cost, _) = told(&summary, What::SynAckLoss);
    assert_eq!((times, cost), (1, 1000), "{:?}", found(&summary));
    never(&summary, &[What::SynLoss]);
    let mut t = Talk::new();
    t.say(0.0, Client, "S", b"");
    t.odd(1000.0, Client, "S", b"", first);
    t.odd(3000.0, Client, "S", b"", first);
    t.say(3020.0, Server, "S.", b"");
    t.say(3020.1, Client, ".", b"");
    let summary = t.told();
    let (times, cost, _) = told(&summary, What::SynLoss);
    assert_eq!((times, cost), (2, 3000), "{:?}", found(&summary));
    never(&summary, &[What::SynAckLoss]);
}

#[test]
fn only_a_connection_that_both_ends_closed_leaves_time_wait_behind() {
    for (end, seen) in [("refused", false), ("reset", false), ("closed", true)] {
        let mut t = Talk::new();
        if end == "refused" {
            t.say(0.0, Client, "S", b"");
            t.odd(20.0, Server, "R.", b"", Odd { seq: Some(0), ..Odd::default() });
        } else {
            let at = t.open(0.0);
            t.say(at, Client, ".", &get("/a"));
            t.say(at + 20.0, Server, ".", &ok(10, 10));
            if end == "reset" {
                t.say(at + 30.0, Client, "R.", b"");
            } else {
                t.say(at + 30.0, Client, "F.", b"");
                t.say(at + 50.0, Server, "F.", b"");
                t.say(at + 50.1, Client, ".", b"");
            }
        }
        t.again();
        t.open(500.0);
        let summary = t.told();
        assert_eq!(summary.connections.len(), 2);
        let reuse = summary.findings.iter().find(|f| f.what == What::PortReuse);
        assert_eq!(reuse.map(|f| f.confidence), seen.then_some(Confidence::Inferred), "{end}");
    }
}

/// The last segment is probed for, and its acknowledgment was only late.
#[test]
fn a_probe_of_what_had_arrived_tells_of_late_acknowledgments_and_of_no_loss() {
    let mut t = Talk::new();
    t.say(0.0, Client, "S", b"");
    t.say(0.05, Server, "S.", b"");
    t.say(20.0, Client, ".", b"");
    t.say(20.1, Client, ".", &get("/a"));
    let start = t.at(Server);
    t.say(20.2, Server, ".", &ok(3000, 1300));
    let last = t.at(Server);
    t.say(20.3, Server, ".", &[7; 1700]);
    let end = t.at(Server);
    t.odd(40.2, Client, ".", b"", Odd { ack: Some(start), ..Odd::default() });
    t.odd(90.0, Server, ".", &[7; 1700], Odd { seq: Some(last), ..Odd::default() });
    t.say(120.0, Client, ".", b"");
    t.odd(121.0, Client, ".", b"", Odd { sack: Some((last, end)), ..Odd::default() });
    let summary = t.told();
    let (times, cost, sure) = told(&summary, What::LateAcks);
    assert_eq!((times, cost, sure), (1, 70, Confidence::Certain), "{:?}", found(&summary));
    never(&summary, &[What::Reordering, What::TailLoss, What::Rto, What::Congestion]);
    sums(&summary);
}

#[test]
fn a_repeated_fin_is_no_part_of_the_response_before_it() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(10, 10));
    t.say(at + 20.1, Client, ".", b"");
    let fin = Odd { seq: Some(t.at(Server)), ..Odd::default() };
    t.say(at + 100.0, Server, "F.", b"");
    t.odd(at + 320.0, Server, "F.", b"", fin);
    t.odd(at + 760.0, Server, "F.", b"", fin);
    t.say(at + 760.1, Client, "F.", b"");
    t.say(at + 780.0, Server, ".", b"");
    let summary = t.told();
    let e = &summary.connections[0].exchanges[0];
    assert_eq!((e.end - e.start).as_millis(), 40, "{e:#?}");
    never(&summary, &[What::Rto, What::TailLoss, What::SlowClient]);
    sums(&summary);
    assert_eq!(summary.connections[0].parts.close.as_millis(), 680);
}

#[test]
fn silence_of_what_is_not_understood_is_nobodys_fault() {
    // Who subscribes is told something now and then.
    let mut t = Talk::between(40_000, 6379);
    let at = t.open(0.0);
    t.say(at, Client, ".", b"*2\r\n$9\r\nSUBSCRIBE\r\n");
    t.say(at + 20.0, Server, ".", b"+OK\r\n");
    t.say(at + 20.1, Client, ".", b"");
    for n in 1..=6 {
        t.say(at + 10_000.0 * f64::from(n), Server, ".", b"msg\r\n");
        t.say(at + 10_000.0 * f64::from(n) + 0.1, Client, ".", b"");
    }
    let pushed = t.told();
    // TLS at rest, which the server closes.
    let mut t = Talk::between(40_000, 443);
    let at = t.open(0.0);
    t.say(at, Client, ".", b"\x16\x03\x01aaaa");
    t.say(at + 20.0, Server, ".", b"\x16\x03\x03bbbb");
    t.say(at + 20.1, Client, ".", b"\x17\x03\x03cccc");
    t.say(at + 40.1, Server, ".", b"\x17\x03\x03dddd");
    t.say(at + 5000.0, Server, ".", b"\x15\x03\x03e");
    t.say(at + 5000.1, Server, "F.", b"");
    t.say(at + 5000.2, Client, "F.", b"");
    let closed = t.told();
    // Events over HTTP.
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/events"));
    t.say(at + 20.0, Server, ".", b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    for n in 1..=6 {
        t.say(at + 10_000.0 * f64::from(n), Server, ".", b"data: x\n\n");
        t.say(at + 10_000.0 * f64::from(n) + 0.1, Client, ".", b"");
    }
    let events = t.told();
    for summary in [&pushed, &closed, &events] {
        never(summary, &[What::SlowServer, What::SlowClient, What::NoAnswer, What::CutShort]);
        sums(summary);
    }
    let longest = pushed.connections[0].exchanges.iter().map(|e| e.end - e.start).max().unwrap();
    assert!(
        longest < 100 * MS,
        "a message after ten seconds is no part of the answer before it: {longest:?}"
    );
}

#[test]
fn a_packet_that_was_damaged_costs_what_its_repetition_waits_for() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(2500, 1400));
    t.odd(at + 20.1, Server, ".", &[7; 1100], Odd { damaged: true, ..Odd::default() });
    t.say(at + 20.2, Client, ".", b"");
    t.say(at + 250.0, Server, ".", &[7; 1100]);
    let summary = t.told();
    assert_eq!(told(&summary, What::Checksum), (1, 230, Confidence::Certain), "{:?}", found(&summary));
    never(&summary, &[What::SlowServer]);
    assert_eq!(summary.connections[0].exchanges[0].parts.recovery.as_millis(), 230);
}

fn targets(summary: &Summary) -> Vec<&str> {
    summary.connections.iter().flat_map(|c| c.exchanges.iter().map(|e| e.target.as_str())).collect()
}

/// A response is going on when the capture begins; another request follows it.
fn from_the_middle(port: u16) -> Talk {
    let mut t = Talk::between(40_000, port);
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(5000, 1000));
    t.packets.clear();
    t.say(at + 21.0, Server, ".", &[7; 1400]);
    t.say(at + 21.1, Client, ".", b"");
    t.say(at + 22.0, Server, ".", &[7; 2600]);
    t.say(at + 22.1, Client, ".", b"");
    for n in 0..3 {
        let at = at + 200.0 + 100.0 * f64::from(n);
        t.say(at, Client, ".", &get(&format!("/n{n}")));
        t.say(at + 50.0, Server, ".", &ok(100, 100));
        t.say(at + 50.1, Client, ".", b"");
    }
    t
}

#[test]
fn http_is_found_in_a_stream_that_begins_in_the_middle_and_the_client_is_who_asks() {
    for port in [80, 8080] {
        let summary = from_the_middle(port).told();
        let [c] = summary.connections.as_slice() else { panic!() };
        assert_eq!(c.server.port(), port);
        assert_eq!(targets(&summary), ["", "/n0", "/n1", "/n2"], "{port}");
        let last = c.exchanges.last().unwrap();
        assert_eq!(
            (last.status, last.progress, last.bytes),
            (Some(200), Progress::Complete, ok(100, 100).len() as u64)
        );
        assert!(c.exchanges[1..].iter().all(|e| (e.end - e.start).as_millis() == 50), "{:#?}", c.exchanges);
        sums(&summary);
    }
}

#[test]
fn a_window_of_which_the_scale_is_not_known_limits_nobody() {
    // 501 bytes if they were not scaled: each segment would be beyond the window.
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.packets.clear();
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(40_000, 1300));
    for round in 0..4 {
        for n in 0..10 {
            t.say(at + 20.1 + 20.0 * f64::from(round) + f64::from(n) / 100.0, Server, ".", &[7; 1460]);
        }
        t.say(at + 20.3 + 20.0 * f64::from(round), Client, ".", b"");
    }
    let summary = t.told();
    never(&summary, &[What::ReceiveWindow, What::WindowScaling, What::SendBuffer]);
    let c = &summary.connections[0];
    assert_eq!(c.parts.rwnd, Duration::ZERO, "{:?}", c.parts);
    // 15,900 bytes were in flight, so the scale is five at the least.
    assert_eq!((c.ends[0].window_scale, c.ends[0].least_window_scale), (None, 5), "{:?}", c.ends);
}

#[test]
fn a_hole_in_a_chunked_body_costs_one_exchange_its_end_and_no_more() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800\r\nxxxx");
    t.odd(at + 20.1, Server, ".", &[7; 800], Odd { unseen: true, ..Odd::default() });
    t.say(at + 20.2, Client, ".", b"");
    for n in 0..3 {
        let at = at + 200.0 + 100.0 * f64::from(n);
        t.say(at, Client, ".", &get(&format!("/n{n}")));
        t.say(at + 50.0, Server, ".", &ok(100, 100));
        t.say(at + 50.1, Client, ".", b"");
    }
    let summary = t.told();
    assert_eq!(targets(&summary), ["/a", "/n0", "/n1", "/n2"]);
    let first = &summary.connections[0].exchanges[0];
    assert!((first.end - first.start).as_millis() < 50, "{first:#?}");
    sums(&summary);
}

#[test]
fn one_direction_alone_says_so_and_blames_nobody() {
    let t = usual();
    for (address, missing, bytes) in
        [(1, "server", [0, 3 * ok(1000, 1000).len()]), (2, "client", [3 * get("/0").len(), 0])]
    {
        let packets: Vec<_> = t.packets.iter().filter(|(_, p)| p[15] == address).cloned().collect();
        let summary = explain(Talk::file(&packets, usize::MAX).as_slice(), Options::default()).unwrap();
        never(&summary, &[What::SlowServer, What::SlowClient, What::NoAnswer, What::ClientAbort]);
        let c = &summary.connections[0];
        assert_eq!(c.missing.map(|side| ["client", "server"][usize::from(side)]), Some(missing));
        assert_eq!(c.exchanges.len(), 3, "{:#?}", c.exchanges);
        assert!(c.exchanges.iter().all(|e| e.progress == Progress::Complete), "{:#?}", c.exchanges);
        let all: u64 = c.exchanges.iter().map(|e| e.bytes).sum();
        assert_eq!(all as usize, if missing == "server" { bytes[1] } else { 3 * ok(1000, 1000).len() });
        sums(&summary);
    }
}

#[test]
fn what_fills_a_gap_is_counted_where_it_arrives_late() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    t.say(at + 20.0, Server, ".", &ok(4000, 1000));
    let hole = t.at(Server);
    t.odd(at + 20.1, Server, ".", &[7; 1000], Odd { unseen: true, ..Odd::default() });
    t.say(at + 20.2, Server, ".", &[7; 2000]);
    t.odd(
        at + 20.3,
        Client,
        ".",
        b"",
        Odd { ack: Some(hole), sack: Some((hole + 1000, t.at(Server))), ..Odd::default() },
    );
    t.odd(at + 40.3, Server, ".", &[7; 1000], Odd { seq: Some(hole), ..Odd::default() });
    t.say(at + 40.4, Client, ".", b"");
    let c = &t.told().connections[0];
    assert_eq!(c.down.bytes, ok(4000, 4000).len() as u64);
    assert_eq!(c.down.bytes, c.exchanges[0].bytes);
}

/// What was cut off of each packet is no reason not to read the rest.
#[test]
fn a_short_snaplen_leaves_numbers_and_request_lines() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a/long/path/with/many/parts"));
    t.say(at + 20.0, Server, ".", &ok(1000, 1000));
    t.say(at + 20.1, Client, ".", b"");
    for snaplen in [40, 44, 70] {
        let summary = explain(Talk::file(&t.packets, snaplen).as_slice(), Options::default()).unwrap();
        assert_eq!(summary.undecoded, 0, "{snaplen}");
        let c = &summary.connections[0];
        assert_eq!(
            (c.handshake.map(|h| h.as_micros()), c.down.bytes),
            (Some(20_050), ok(1000, 1000).len() as u64)
        );
        assert_eq!(summary.cut_headers, if snaplen < 52 { 2 } else { 0 }, "the two SYNs have options");
        if snaplen == 70 {
            assert_eq!(targets(&summary), ["/a/long/path/with/many/par"]);
            assert_eq!((c.exchanges[0].method.as_str(), c.exchanges[0].status), ("GET", Some(200)));
        }
        sums(&summary);
    }
}

/// A server of something else that lets its client wait is slow all the same.
#[test]
fn a_first_answer_that_comes_late_is_the_servers_time_whatever_is_spoken() {
    let mut t = Talk::between(40_000, 6379);
    let at = t.open(0.0);
    t.say(at, Client, ".", b"*1\r\n$4\r\nKEYS\r\n");
    t.say(at + 20.0, Server, ".", b"");
    t.say(at + 800.0, Server, ".", b"+OK\r\n");
    let (_, cost, _) = told(&t.told(), What::SlowServer);
    assert_eq!(cost, 780);
}

#[test]
fn those_who_wait_behind_a_slow_response_count_its_time_once_and_come_behind_it() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &[get("/slow"), get("/fast"), get("/fast2")].concat());
    t.say(at + 20.0, Server, ".", b"");
    t.say(at + 520.0, Server, ".", &[ok(10, 10), ok(11, 11), ok(12, 12)].concat());
    let summary = t.told();
    let (times, cost, _) = told(&summary, What::HeadOfLine);
    assert_eq!((times, cost), (2, 520), "{:?}", found(&summary));
    assert_eq!(summary.findings[0].what, What::SlowServer, "{:?}", found(&summary));
}

/// A queue of a slow link hands out a segment each millisecond and a half, whatever the windows are.
#[test]
fn a_full_path_is_told_from_a_slow_server_and_from_windows() {
    for near_server in [false, true] {
        let mut t = Talk::new();
        t.window = [4000, 4000];
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/big"));
        t.say(at + 20.0, Server, ".", &ok(2_000_000, 1400));
        let mut now = at + 20.0;
        for n in 0..400 {
            now += 1.5;
            if near_server {
                // Each acknowledgment lets the next segment go, 20 ms after the one that it is for.
                t.say(now, Client, ".", b"");
            }
            t.say(now + 0.02, Server, ".", &[7; 1460]);
            if !near_server && n % 2 == 1 {
                t.say(now + 0.05, Client, ".", b"");
            }
        }
        let summary = t.told();
        let (_, cost, sure) = told(&summary, What::PathRate);
        assert!((590..=600).contains(&cost), "{cost} ms: {:?}", found(&summary));
        assert_eq!(sure, Confidence::Inferred);
        never(&summary, &[What::SlowServer, What::SlowStart, What::ReceiveWindow]);
        sums(&summary);
    }
}

/// In virtual time an answer leaves at the moment of its request: no rest before it.
#[test]
fn a_path_is_not_full_while_nobody_asks_for_anything() {
    let mut t = Talk::new();
    t.window = [4000, 4000];
    let mut now = t.open(0.0);
    for turn in 0..2 {
        t.say(now, Client, ".", &get("/big"));
        now += if turn == 0 { 20.0 } else { 0.0 };
        t.say(now, Server, ".", &ok(1400 + 200 * 1460, 1400));
        for n in 0..200 {
            now += 1.5;
            t.say(now + 0.02, Server, ".", &[7; 1460]);
            if n % 2 == 1 {
                t.say(now + 0.05, Client, ".", b"");
            }
        }
        now += 2000.0;
    }
    let summary = t.told();
    let (_, cost, _) = told(&summary, What::PathRate);
    assert!((290..=600).contains(&cost), "{cost} ms: {:?}", found(&summary));
    sums(&summary);
}

/// A segment that is not pushed had more behind it: what it waited for on its way is not the server.
#[test]
fn a_path_that_stands_still_is_told_from_a_server_that_does() {
    for pushed in [false, true] {
        let mut t = Talk::new();
        let at = t.open(0.0);
        t.say(at, Client, ".", &get("/big"));
        t.say(at + 20.0, Server, ".", &ok(20_000, 1400));
        for n in 0..10 {
            let at = at + 20.1 + f64::from(n) / 10.0 + if n > 4 { 100.0 } else { 0.0 };
            t.say(at, Server, ".", &[7; 1460]);
            if !pushed {
                let last = t.packets.last_mut().unwrap();
                last.1[33] &= !8;
                last.1[36..38].fill(0);
            }
            t.say(at + 0.01, Client, ".", b"");
        }
        let slow = t.told().findings.iter().any(|f| f.what == What::SlowServer);
        assert_eq!(slow, pushed);
    }
}

/// A server that writes a little now and then is what is waited for, not the path.
#[test]
fn a_server_that_has_nothing_more_to_send_is_slow() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/drip"));
    t.say(at + 20.0, Server, ".", &ok(4000, 100));
    t.say(at + 20.05, Client, ".", b"");
    for n in 1..40 {
        t.say(at + 20.0 + 30.0 * f64::from(n), Server, ".", &[7; 100]);
        t.say(at + 20.05 + 30.0 * f64::from(n), Client, ".", b"");
    }
    let summary = t.told();
    assert!(told(&summary, What::SlowServer).1 > 1000, "{:?}", found(&summary));
    never(&summary, &[What::PathRate]);
}

//! Can somebody look into a stack that runs, and can nobody who does so hold it up?

mod namespace;
mod wireshark;

use crate::net::{Pair, config, pattern};
use crate::schema;
use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tcpglass::attach::{
    About, Ask, CAPTURES, Door, Place, Select, SortKey, Sorted, VISITORS, Visitor, claim_in, listed,
};
use tcpglass::net::{Runtime, TcpStream};
use tcpglass::stack::{Cursor, Owner, Role, Stack};
use tcpglass::time::Instant;
use tcpglass::trace::{TraceOptions, Tracer};

/// A directory for sockets, gone at the end.
pub struct Rooms(PathBuf);

impl Rooms {
    pub fn new(test: &str) -> Rooms {
        let path = std::env::temp_dir().join(format!("tcpglass-{test}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Rooms(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn open(&self, runtime: &Runtime) -> Door {
        let about = About {
            command: "serve".into(),
            device: "cable".into(),
            addresses: config(2).addrs.iter().map(|a| a.0).collect(),
        };
        Door::open(claim_in(&self.0).unwrap(), vec![runtime.handle()], about, TraceOptions::default())
            .unwrap()
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ask(filter: &str, sorted: Option<Sorted>, tcp_info: bool) -> Ask {
    Ask::Sockets { select: filter.parse().unwrap(), sorted, tcp_info }
}

fn told(visitor: &mut Visitor, ask: &Ask) -> (Vec<Value>, Value) {
    let mut sockets = visitor.sockets(ask).unwrap();
    let list: Vec<Value> = sockets.by_ref().map(Result::unwrap).collect();
    (list, sockets.totals())
}

/// Waits for what another thread does; a test that waits in vain is ended by whoever runs it.
fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

#[test]
fn a_visitor_is_told_what_each_socket_is_doing() {
    let (rooms, pair) = (Rooms::new("told"), Pair::new());
    let door = rooms.open(&pair.server);
    let listener = pair.listen();
    let (mut client, mut server) = (pair.connect().unwrap(), listener.accept().unwrap().0);
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    let mut visitor = Visitor::connect(door.path()).unwrap();
    schema::is("attach-1", "stack", visitor.about());
    assert_eq!(visitor.about()["pid"], std::process::id());
    let (sockets, totals) = told(&mut visitor, &ask("state all", None, true));
    sockets.iter().chain([&totals]).for_each(|line| schema::holds("attach-1", line));
    assert_eq!((sockets.len(), &totals["matched"], &totals["open"]), (2, &json!(2), &json!(1)));
    let (listening, connected) = (&sockets[0], &sockets[1]);
    assert_eq!((&listening["state"], &listening["local"]), (&json!("LISTEN"), &json!("10.77.0.2:80")));
    assert_eq!((&connected["state"], &connected["number"]), (&json!("ESTABLISHED"), &json!(1)));
    assert_eq!(connected["remote"], client.local_addr().unwrap().to_string());
    assert_eq!((&connected["bytes_received"], &connected["tcp_info"]["state"]), (&json!(5), &json!(1)));
    let parts = connected["ledger_us"].as_object().unwrap().values().map(|us| us.as_u64().unwrap());
    assert_eq!(parts.sum::<u64>(), connected["age_us"], "the parts are the whole");
    // The same visitor asks again, for something else.
    let none = told(&mut visitor, &ask("state time-wait", None, false));
    assert_eq!((none.0.len(), &none.1["matched"]), (0, &json!(0)));
    drop((client, server));
    until(|| told(&mut Visitor::connect(door.path()).unwrap(), &ask("", None, false)).0.is_empty());
}

#[test]
fn the_first_of_an_order_are_told_and_counted() {
    let (rooms, pair) = (Rooms::new("order"), Pair::new());
    let door = rooms.open(&pair.client);
    let listener = pair.listen();
    let ends: Vec<(TcpStream, TcpStream)> =
        (0..9).map(|_| (pair.connect().unwrap(), listener.accept().unwrap().0)).collect();
    // The third has the most to tell.
    (&ends[2].0).write_all(&[7; 1000]).unwrap();
    ends[2].0.wait_acked(None).unwrap();
    let mut visitor = Visitor::connect(door.path()).unwrap();
    let mut numbers = |key, reverse, skip, most| {
        let (sockets, totals) =
            told(&mut visitor, &ask("", Some(Sorted { key, reverse, skip, most }), false));
        assert_eq!(totals["matched"], 9);
        sockets.iter().map(|socket| socket["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(SortKey::Number, false, 0, 3), [1, 2, 3]);
    assert_eq!(numbers(SortKey::Number, true, 1, 3), [8, 7, 6]);
    assert_eq!(numbers(SortKey::Bytes, false, 0, 2), [3, 1]);
    assert_eq!(numbers(SortKey::Age, false, 0, 1), [1]);
    assert_eq!(numbers(SortKey::State, false, 8, 5), [9]);
    assert_eq!(numbers(SortKey::Srtt, false, 0, 0), [0; 0]);
}

#[test]
fn who_asks_nonsense_says_nothing_or_comes_too_often_is_let_go_and_harms_nobody() {
    let (rooms, pair) = (Rooms::new("hostile"), Pair::new());
    let door = rooms.open(&pair.server);
    let refused = |question: &[u8]| {
        let stream = UnixStream::connect(door.path()).unwrap();
        // It may have been shown the door before all of it was said.
        let _ = (&stream).write_all(question);
        let mut lines = BufReader::new(&stream).lines();
        schema::is("attach-1", "stack", &serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap());
        let answer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        schema::is("attach-1", "refusal", &answer);
        assert!(lines.next().is_none_or(|line| line.is_err()), "it was the last line");
        answer["error"].as_str().unwrap().to_owned()
    };
    for (question, told) in [
        (&b"\n"[..], "line of JSON"),
        (b"\xff\xfe\n", "utf-8"),
        (b"{\"ask\":\"connections\"}\n", "\"ask\" is"),
        (b"{\"ask\":\"sockets\",\"filter\":\"((((\"}\n", "too early"),
        (&[b'['; 100_000], "at most 4096 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "line of JSON"),
    ] {
        let error = refused(question);
        assert!(error.contains(told), "{error}");
    }
    // As many as may come at all, silent; the next one is told so.
    let gone = || {
        UnixStream::connect(door.path()).is_ok_and(|stream| {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).is_ok() && line.contains("tcpglass.stack/1")
        })
    };
    until(gone);
    let mut silent: Vec<UnixStream> = Vec::new();
    let error = loop {
        let stream = UnixStream::connect(door.path()).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        if line.contains("refusal") {
            break line;
        }
        silent.push(stream);
        assert!(silent.len() <= VISITORS);
    };
    assert!(error.contains("too many visitors") && silent.len() >= VISITORS - 8, "{}: {error}", silent.len());
    assert!(Visitor::connect(door.path()).is_err());
    // The stack does its work meanwhile, and those that leave make room.
    pair.connected().0.write_all(b"x").unwrap();
    drop(silent);
    until(|| Visitor::connect(door.path()).is_ok());
}

#[test]
fn a_door_that_closes_sends_its_visitors_away_and_leaves_nothing() {
    let (rooms, pair) = (Rooms::new("closing"), Pair::new());
    let door = rooms.open(&pair.server);
    assert_eq!(rooms.names(), [format!("{}.sock", std::process::id())]);
    let mode = std::fs::metadata(rooms.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut visitor = Visitor::connect(door.path()).unwrap();
    let path = door.path().to_owned();
    drop(door);
    assert!(
        visitor.sockets(&ask("", None, false)).map_or(true, |mut sockets| sockets.next().unwrap().is_err())
    );
    assert!(visitor.again().is_err() && !path.exists());
    assert_eq!(rooms.names(), [""; 0]);
}

#[test]
fn a_stack_that_has_ended_says_so() {
    let (rooms, pair) = (Rooms::new("ended"), Pair::new());
    let door = rooms.open(&pair.server);
    let mut visitor = Visitor::connect(door.path()).unwrap();
    pair.server.shutdown(Duration::ZERO).unwrap().finish().unwrap();
    let first = visitor.sockets(&ask("", None, false)).unwrap().next().unwrap();
    assert!(first.is_err(), "{first:?}");
}

#[test]
fn what_dead_stacks_have_left_is_removed_and_nothing_else() {
    let rooms = Rooms::new("stale");
    // Dropping a listener of the standard library leaves its socket, as SIGKILL does.
    drop(UnixListener::bind(rooms.path().join("4242.sock")).unwrap());
    drop(UnixListener::bind(rooms.path().join("other.sock")).unwrap());
    std::fs::write(rooms.path().join("77.sock"), "no socket").unwrap();
    let _alive = UnixListener::bind(rooms.path().join("99.sock")).unwrap();
    let alive = Place { pid: 99, path: rooms.path().join("99.sock") };
    assert_eq!(listed(rooms.path()), [alive]);
    let mut names = rooms.names();
    names.sort();
    assert_eq!(names, ["77.sock", "99.sock", "other.sock"]);
}

#[test]
fn a_directory_that_others_may_enter_is_not_used() {
    let rooms = Rooms::new("open");
    let (inner, link) = (rooms.path().join("inner"), rooms.path().join("link"));
    drop(claim_in(&inner).unwrap());
    std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(claim_in(&inner).unwrap_err().to_string().contains("chmod 700"));
    let _there = UnixListener::bind(inner.join("99.sock")).unwrap();
    assert_eq!(listed(&inner), []);
    std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(listed(&inner).len(), 1);
    std::os::unix::fs::symlink(&inner, &link).unwrap();
    assert!(claim_in(&link).is_err() && listed(&link).is_empty(), "a link may be anybody's");
    let _first = claim_in(&inner).unwrap();
    assert_eq!(claim_in(&inner).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

/// A stack with so many connections that nobody answers.
fn crowd(connections: u32) -> Stack {
    let mut here = config(3);
    (here.tcp.ports_first, here.tcp.ports_last) = (1024, 65_535);
    let mut stack = Stack::new(here, Tracer::default());
    stack.listen(([10, 77, 0, 3], 80).into(), None, Owner(0)).unwrap();
    for n in 0..connections {
        let remote = ([10, 77, 0, 4 + (n / 30_000) as u8], 80).into();
        stack.connect(Instant::from_millis(1), remote, None, None, Owner(0)).unwrap();
    }
    stack
}

#[test]
fn many_sockets_are_told_a_few_at_a_time_and_each_once() {
    const CROWD: u32 = 100_000;
    let stack = crowd(CROWD);
    let (mut cursor, mut numbers, mut listeners) = (Some(Cursor::default()), Vec::new(), 0);
    let mut calls = 0;
    while let Some(at) = cursor {
        let (found, next) = stack.standings(Instant::from_millis(5), at, 64);
        assert!(found.len() <= 64);
        for it in found {
            match it.role {
                Role::Listener { .. } => listeners += 1,
                _ => numbers.push(it.number.unwrap()),
            }
        }
        (cursor, calls) = (next, calls + 1);
    }
    assert!(calls <= CROWD / 64 + 2, "{calls}");
    assert_eq!(listeners, 1);
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=CROWD));
}

/// Sends so much from the server, and reads it.
fn send(client: &mut TcpStream, server: &mut TcpStream, bytes: usize) {
    let data = pattern(1 << 20);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..bytes >> 20 {
                server.write_all(&data).unwrap();
            }
        });
        let mut buf = vec![0; 1 << 20];
        for _ in 0..bytes >> 20 {
            client.read_exact(&mut buf).unwrap();
        }
    });
}

fn sinks(runtime: &Runtime) -> (bool, bool) {
    runtime.handle().call(|stack, _| (stack.tracer().wants_packets(), stack.tracer().wants_events())).unwrap()
}

/// Packets in a capture, and what its statistics say was received and dropped.
fn read_capture(bytes: &[u8]) -> (usize, u64, u64) {
    let mut reader = PcapNgReader::new(bytes).unwrap();
    let (mut packets, mut received, mut dropped) = (0, None, None);
    while let Some(block) = reader.next_block() {
        match block.unwrap().0 {
            Block::EnhancedPacket(_) => packets += 1,
            Block::InterfaceStatistics(block) => {
                for option in &block.options {
                    match option {
                        InterfaceStatisticsOption::IsbIfRecv(n) => received = Some(*n),
                        InterfaceStatisticsOption::IsbIfDrop(n) => dropped = Some(*n),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (packets, received.expect("statistics at the end"), dropped.unwrap())
}

#[test]
fn a_capture_begins_and_ends_while_the_stack_runs() {
    let (rooms, pair) = (Rooms::new("capture"), Pair::new());
    let door = rooms.open(&pair.server);
    let (mut client, mut server) = pair.connected();
    assert_eq!(sinks(&pair.server), (false, false), "without a visitor nothing is written down");
    let mut visitors: Vec<Visitor> = (0..2).map(|_| Visitor::connect(door.path()).unwrap()).collect();
    visitors.iter_mut().for_each(|visitor| visitor.capture(0).unwrap());
    until(|| sinks(&pair.server) == (true, true));
    // Both are there only when both have got a packet.
    let reading: Vec<_> = visitors
        .into_iter()
        .map(|mut visitor| {
            let leave = visitor.leave().unwrap();
            let mut start = vec![0; 1000];
            let thread = std::thread::spawn(move || {
                visitor.read_exact(&mut start).unwrap();
                visitor.read_to_end(&mut start).unwrap();
                start
            });
            (leave, thread)
        })
        .collect();
    for _ in 0..20 {
        send(&mut client, &mut server, 1 << 20);
    }
    for (leave, thread) in reading {
        leave();
        let bytes = thread.join().unwrap();
        let (packets, received, dropped) = read_capture(&bytes);
        assert_eq!(received, packets as u64 + dropped);
        assert!(packets > 700, "{packets}");
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.contains("why=data: ")
                && text.contains("limit=rwnd") | text.contains("limit=cwnd") | text.contains("limit=idle")
        );
    }
    until(|| sinks(&pair.server) == (false, false));
}

#[test]
fn a_reader_that_does_not_read_slows_nobody_and_is_told_what_it_missed() {
    let (rooms, pair) = (Rooms::new("slow"), Pair::new());
    let door = rooms.open(&pair.server);
    let (mut client, mut server) = pair.connected();
    let mut visitor = Visitor::connect(door.path()).unwrap();
    visitor.capture(0).unwrap();
    until(|| sinks(&pair.server).0);
    // Beyond what the queues hold; a stack that waited for its reader would never end this.
    send(&mut client, &mut server, 40 << 20);
    let dropped = pair.server.handle().call(|stack, _| stack.tracer().dropped()).unwrap();
    assert_eq!(dropped, 0, "what a visitor misses is not the stack's loss");
    visitor.leave().unwrap()();
    let mut bytes = Vec::new();
    visitor.read_to_end(&mut bytes).unwrap();
    let (packets, received, dropped) = read_capture(&bytes);
    assert!(dropped > 5_000, "{dropped}");
    assert_eq!(received, packets as u64 + dropped);
    assert!(bytes.len() < 32 << 20, "{}", bytes.len());
    until(|| sinks(&pair.server) == (false, false));
    send(&mut client, &mut server, 1 << 20);
}

#[test]
fn a_stack_ends_in_time_although_nobody_reads_its_capture() {
    let (rooms, pair) = (Rooms::new("stuck"), Pair::new());
    let door = rooms.open(&pair.server);
    let (mut client, mut server) = pair.connected();
    let mut visitor = Visitor::connect(door.path()).unwrap();
    visitor.capture(0).unwrap();
    until(|| sinks(&pair.server).0);
    send(&mut client, &mut server, 2 << 20);
    // It would wait for ever for a reader that never comes.
    pair.server.shutdown(Duration::ZERO).unwrap().finish().unwrap();
    let mut bytes = Vec::new();
    let _ = visitor.read_to_end(&mut bytes);
    assert!(bytes.len() > 100_000, "{}", bytes.len());
}

#[test]
fn there_are_only_so_many_captures_and_a_place_that_is_left_is_free() {
    let (rooms, pair) = (Rooms::new("captures"), Pair::new());
    let door = rooms.open(&pair.server);
    let mut visitors: Vec<Visitor> = Vec::new();
    for _ in 0..CAPTURES {
        let mut visitor = Visitor::connect(door.path()).unwrap();
        visitor.capture(64).unwrap();
        visitors.push(visitor);
    }
    let refused = Visitor::connect(door.path()).unwrap().capture(64).unwrap_err();
    assert!(refused.to_string().contains("too many captures"), "{refused}");
    // Others can still ask.
    told(
        &mut Visitor::connect(door.path()).unwrap(),
        &Ask::Sockets { select: Select::default(), sorted: None, tcp_info: false },
    );
    visitors.pop();
    until(|| Visitor::connect(door.path()).unwrap().capture(64).is_ok());
}

//! Do the tables of the experiments say what their captures show? tshark counts.

use super::judge::{fields, have};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tcpglass::lab::{EXPERIMENTS, Findings, Quantity, Row, Setup};
use tcpglass::time::Duration;

const CLIENT: &str = "ip.src == 10.77.0.1";
const SERVER: &str = "ip.src == 10.77.0.2";
const PURE: &str = "tcp.len == 0 && tcp.flags.syn == 0 && tcp.flags.fin == 0 && tcp.flags.reset == 0";

/// Runs an experiment over fewer values and keeps its captures in a directory of this test's own.
fn run(name: &str, sweep: &[(&str, &str)]) -> (Findings, PathBuf) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let (process, run) = (std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let directory = std::env::temp_dir().join(format!("tcpglass-lab-{process}-{run}"));
    let sweep = sweep.iter().map(|(n, v)| ((*n).to_owned(), v.split(',').map(str::to_owned).collect()));
    let setup =
        Setup { seed: 3, sweep: sweep.collect(), captures: Some(directory.clone()), ..Setup::default() };
    let experiment = EXPERIMENTS.iter().find(|e| e.name == name).unwrap();
    let findings = experiment.run(&setup).unwrap();
    assert!(findings.hold() && !findings.rows.is_empty(), "{name}: {:#?}", findings.rows);
    (findings, directory.join(name))
}

/// How many packets of the measured part tshark finds in what that host saw.
fn count(directory: &Path, row: &Row, host: &str, filter: &str) -> u64 {
    shown(directory, row, host, filter, "frame.number").len() as u64
}

fn shown(directory: &Path, row: &Row, host: &str, filter: &str, field: &str) -> Vec<String> {
    // Virtual time begins with the epoch.
    let filter = format!("({filter}) && frame.time_epoch >= {:.6}", row.from.as_secs_f64());
    let capture = row.captures.iter().find(|capture| capture.host == host).unwrap();
    fields(&directory.join(&capture.file), &filter, &[field])
}

fn measured(row: &Row, name: &str) -> u64 {
    row.cells.iter().find(|cell| cell.name == name).unwrap().value.number() as u64
}

fn agree(name: &str, sweep: &[(&str, &str)], columns: &[(&str, &str)]) {
    agree_at("client", name, sweep, columns);
}

fn agree_at(host: &str, name: &str, sweep: &[(&str, &str)], columns: &[(&str, &str)]) {
    let (findings, directory) = run(name, sweep);
    for row in &findings.rows {
        for (column, filter) in columns {
            let found = count(&directory, row, host, filter);
            assert_eq!(found, measured(row, column), "{name} {}: {column}", row.label());
        }
    }
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

#[test]
fn tables_say_what_their_captures_show() {
    if !have("tshark", "tables_say_what_their_captures_show") {
        return;
    }
    let data = format!("tcp.len > 0 && {CLIENT}");
    agree("nagle", &[("write", "1,1000")], &[("segments", &data)]);
    agree("delayed-ack", &[("ack_delay", "0,100ms")], &[("pure ACKs", PURE)]);
    let syns = format!("tcp.flags.syn == 1 && {CLIENT}");
    agree("persistent", &[("rtt", "20ms")], &[("connections", &syns)]);
    let resets = format!("tcp.flags.reset == 1 && {SERVER}");
    agree("closing", &[("server", "full,abort")], &[("RSTs", &resets)]);
    let dns = [("asked", "dns.flags.response == 0"), ("told", "dns.flags.response == 1")];
    agree("transaction", &[("rtt", "20ms"), ("size", "1KiB"), ("thinks", "10ms")], &dns);
    agree(
        "handshake",
        &[("rtt", "20ms"), ("size", "1KiB,100KiB")],
        &[("SYNs", &format!("{syns} && tcp.stream == 0"))],
    );
    agree("parallel", &[("bandwidth", "1gbit"), ("connections", "1,4")], &[("SYNs", &syns)]);
    // Packets are there as a whole, so tshark sees for itself which are damaged.
    let caught = "tcp.checksum.status == Bad";
    agree("loss", &[("recovery", "sack")], &[("bad checksums", caught)]);
}

fn because(words: &[&str]) -> String {
    let one = |word: &&str| format!("frame.comment contains \"why={word}:\"");
    words.iter().map(one).collect::<Vec<_>>().join(" || ")
}

#[test]
fn why_a_server_repeated_something_is_seen_in_its_own_capture() {
    if !have("tshark", "why_a_server_repeated_something_is_seen_in_its_own_capture") {
        return;
    }
    let causes = ["rto", "fast-retransmit", "sack-retransmit", "rack", "tail-loss-probe"];
    let (all, acks) = (because(&causes), because(&causes[1..4]));
    let columns = [
        ("repeated", all.as_str()),
        ("by timer", &because(&causes[..1])),
        ("by ACKs", &acks),
        ("probes", &because(&causes[4..])),
    ];
    agree_at("server", "loss", &[], &columns);
    agree_at("server", "reordering", &[("overtaken_by", "4")], &[("sent in vain", &all)]);
    // What was lost is sent at one end and does not come to the other.
    let (findings, directory) = run("loss", &[("recovery", "sack")]);
    for row in &findings.rows {
        let [sent, received] =
            ["server", "client"].map(|host| count(&directory, row, host, "tcp.len > 0 && tcp.srcport == 80"));
        let lost = match row.varied.iter().find(|v| v.0 == "lost").unwrap().1.as_str() {
            "one" => 1,
            "five" => 5,
            "last three" => 3,
            _ => 0,
        };
        assert_eq!(sent - received, lost, "{}", row.label());
        assert_eq!(sent, 40 + measured(row, "repeated"), "{}", row.label());
    }
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

#[test]
fn a_servers_window_is_that_of_its_own_capture() {
    if !have("tshark", "a_servers_window_is_that_of_its_own_capture") {
        return;
    }
    let (findings, directory) = run("slow-start", &[("iw", "1,4"), ("size", "10KiB")]);
    for row in findings.rows.iter().filter(|row| row.varied.contains(&("state".into(), "cold".into()))) {
        let window: u64 = row.varied[0].1.parse().unwrap();
        let first = shown(&directory, row, "server", &because(&["data"]), "frame.comment");
        assert!(first[0].contains(&format!(" cwnd={} ", window * 1024)), "{}: {}", row.label(), first[0]);
    }
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

#[test]
fn bytes_of_headers_and_data_are_those_of_the_capture() {
    if !have("tshark", "bytes_of_headers_and_data_are_those_of_the_capture") {
        return;
    }
    let (findings, directory) = run("nagle", &[("write", "10")]);
    for row in &findings.rows {
        let sum = |field: &str| -> u64 {
            shown(&directory, row, "client", CLIENT, field).iter().map(|n| n.parse::<u64>().unwrap()).sum()
        };
        let (all, data) = (sum("ip.len"), sum("tcp.len"));
        assert_eq!((all - data, data), (measured(row, "header bytes"), 500), "{}", row.label());
    }
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

fn cell(row: &Row, name: &str) -> Duration {
    match row.cells.iter().find(|cell| cell.name == name).unwrap().value {
        Quantity::Time(time) => time,
        other => panic!("{name} is {other:?}"),
    }
}

fn varied<'a>(row: &'a Row, name: &str) -> &'a str {
    &row.varied.iter().find(|(known, _)| known == name).unwrap().1
}

/// What an experiment found without captures.
fn rows(name: &str, sweep: &[(&str, &str)]) -> Vec<Row> {
    let sweep = sweep.iter().map(|(n, v)| ((*n).to_owned(), v.split(',').map(str::to_owned).collect()));
    let setup = Setup { seed: 3, sweep: sweep.collect(), ..Setup::default() };
    let findings = EXPERIMENTS.iter().find(|e| e.name == name).unwrap().run(&setup).unwrap();
    assert!(findings.hold() && !findings.rows.is_empty(), "{name}: {:#?}", findings.rows);
    findings.rows
}

#[test]
fn the_clients_ledger_names_what_a_plan_computes() {
    let ledger = |row: &Row| row.ledger.unwrap();
    // With a delay of 200 ms the time-out comes at the same moment as the acknowledgment, and has the time.
    for row in rows("nagle-delayed-ack", &[("ack_delay", "0,40ms,100ms")]) {
        let (parts, time) = (ledger(&row), cell(&row, "time"));
        let rtt = Duration::from_millis(20);
        let delay = if measured(&row, "ack-delayed") > 0 { time - 2 * rtt } else { Duration::ZERO };
        assert_eq!((parts.total(), parts.link), (time, rtt), "{}", row.label());
        assert_eq!((parts.nagle, parts.peer_ack_delay), (time - rtt - delay, delay), "{}", row.label());
    }
    for row in rows("handshake", &[]) {
        let (parts, new, kept) = (ledger(&row), cell(&row, "new"), cell(&row, "kept"));
        assert_eq!((parts.total(), parts.handshake), (new + kept, new - kept), "{}", row.label());
    }
    for row in rows("slow-start", &[("size", "1KiB,100KiB")]) {
        let (parts, time) = (ledger(&row), cell(&row, "time"));
        // What is not a window's is the way of the last flight.
        let way = Duration::from_millis(50);
        assert_eq!((parts.total(), parts.cwnd), (time, time - way), "{}", row.label());
    }
    for row in rows("buffers", &[("buffer", "16KiB,64KiB"), ("rtt", "50ms")]) {
        let parts = ledger(&row);
        let share = parts.rwnd.as_secs_f64() / parts.total().as_secs_f64();
        assert!(share > 0.8, "{}: {parts:?}", row.label());
    }
    let waits = [("ports", "100"), ("time_wait", "30s")];
    for row in rows("time-wait", &waits) {
        let parts = ledger(&row);
        let kept = varied(&row, "way") == "persistent";
        assert_eq!(parts.port_wait, cell(&row, "then waits"), "{}", row.label());
        assert_eq!(parts.handshake.is_zero(), kept, "{}", row.label());
    }
}

#[test]
fn every_case_of_every_experiment_has_a_ledger() {
    let few: &[(&str, &[(&str, &str)])] = &[
        ("transaction", &[("rtt", "20ms"), ("size", "1KiB"), ("thinks", "10ms")]),
        ("delayed-ack", &[("ack_delay", "40ms")]),
        ("nagle", &[("write", "10")]),
        ("parallel", &[("bandwidth", "1gbit"), ("connections", "1,4")]),
        ("fairness", &[("lasts", "10s"), ("connections", "2")]),
        ("persistent", &[("rtt", "20ms")]),
        ("pipelining", &[]),
        ("framing", &[]),
        ("dumb-proxy", &[]),
        ("closing", &[]),
        ("loss", &[("recovery", "sack")]),
        ("random-loss", &[("loss", "2%"), ("draw", "1")]),
        ("reordering", &[("overtaken_by", "4")]),
        ("duplicates", &[("every", "2")]),
        ("bufferbloat", &[("lasts", "3s"), ("queue", "100")]),
    ];
    for (name, sweep) in few {
        for row in rows(name, sweep) {
            let parts = row.ledger.unwrap();
            assert!(!parts.total().is_zero(), "{name} {}", row.label());
        }
    }
}

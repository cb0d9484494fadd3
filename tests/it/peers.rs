//! Do programs that know nothing of us get what they ask for? Each in a private network that `tcpglass run` makes.
//!
//! `TCPGLASS_LONG` makes some of them run longer: `make tun-test`.

mod attacks;
mod http;
mod lab;
mod many;
mod path;
mod proxy;
mod raw;
mod signed;

use crate::judge;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tcpglass::tun::doctor;

/// A directory of its own for a test, gone at its end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("tcpglass-peers-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    /// `sh -c SCRIPT` in this directory and in a network of its own, with these options for `run`.
    fn start(&self, options: &[&str], script: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tcpglass"));
        command.arg("run").args(options).args(["--", "sh", "-c", script]);
        command.current_dir(&self.0).stdin(Stdio::null());
        command
    }

    /// What the script prints; it must succeed.
    fn run(&self, options: &[&str], script: &str) -> String {
        succeeded(self.start(options, script).output().unwrap(), script)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn succeeded(output: Output, script: &str) -> String {
    let out = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}\n{out}\n{error}", output.status);
    out
}

/// A place for `test`, if this machine has what it needs; says by name what it lacks.
fn place(test: &str, tools: &[&str]) -> Option<Place> {
    if !tools.iter().all(|tool| judge::have(tool, test)) {
        return None;
    }
    if let Some(check) = doctor().into_iter().find(|check| !check.ok && !check.optional) {
        println!("skipped: {test} needs {} ({})", check.name, check.found);
        return None;
    }
    Some(Place::new(test))
}

/// Whether tests may take minutes.
fn long() -> bool {
    std::env::var_os("TCPGLASS_LONG").is_some()
}

/// Runs `test`, of the module `peers`, again inside a private network, and there `body`.
fn inside(test: &str, options: &[&str], body: fn()) {
    const INSIDE: &str = "TCPGLASS_TEST_PEER";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let name = test.rsplit("::").next().unwrap();
    let Some(place) = place(name, &[]) else { return };
    let script = "exec \"$TCPGLASS_TEST_EXE\" \"$TCPGLASS_TEST_PEER\" --exact --nocapture";
    let mut command = place.start(options, script);
    command.env("TCPGLASS_TEST_EXE", std::env::current_exe().unwrap()).env(INSIDE, test);
    // What is told on the way is told at once.
    command.stderr(Stdio::inherit());
    let out = succeeded(command.output().unwrap(), test);
    assert!(out.contains("1 passed"), "{out}");
}

#[test]
fn curl_gets_pages_over_kept_and_closed_connections() {
    let Some(place) = place("curl_gets_pages_over_kept_and_closed_connections", &["curl"]) else { return };
    let curl = "curl -sS -w '%{http_code} %{size_download} %{num_connects}\\n'";
    for (what, arguments, answer) in [
        (
            "one connection for three",
            "-o a http://10.77.0.2/bytes/1000 -o b http://10.77.0.2/bytes/70000 -o c http://10.77.0.2/chunked/3000",
            "200 1000 1\n200 70000 0\n200 3000 0\n",
        ),
        (
            "one each when asked to close",
            "-H 'Connection: close' -o a http://10.77.0.2/bytes/1000 -o b http://10.77.0.2/bytes/70000",
            "200 1000 1\n200 70000 1\n",
        ),
        (
            "IPv6",
            "-6 -o a 'http://[fd77::2]/bytes/1000' -o b 'http://[fd77::2]/bytes/70000'",
            "200 1000 1\n200 70000 0\n",
        ),
        ("HTTP/1.0", "-0 -o a http://10.77.0.2/bytes/1000", "200 1000 1\n"),
        ("HEAD", "-I -o a http://10.77.0.2/bytes/1000", "200 0 1\n"),
        ("another status", "-o a http://10.77.0.2/status/404", "404"),
        ("a form", "-d 'hello, glass' http://10.77.0.2/echo", "hello, glass200 12 1\n"),
        (
            "a form in chunks",
            "-H 'Transfer-Encoding: chunked' -d 'hello, glass' http://10.77.0.2/echo",
            "hello, glass200 12 1\n",
        ),
    ] {
        let out = place.run(&["-q"], &format!("{curl} {arguments}"));
        assert!(if answer == "404" { out.starts_with(answer) } else { out == answer }, "{what}: {out}");
    }
    if place.run(&["-q"], "grep -c glass /etc/hosts || true").trim() == "0" {
        println!(
            "skipped: curl_gets_pages_over_kept_and_closed_connections (by name) needs a mount namespace"
        );
        return;
    }
    for family in ["-4", "-6"] {
        let out = place.run(&["-q"], &format!("curl -sS {family} http://glass/bytes/5 | wc -c"));
        assert_eq!(out.trim(), "5", "{family}");
    }
}

#[test]
fn ping_is_answered_in_both_families_and_in_fragments() {
    let Some(place) = place("ping_is_answered_in_both_families_and_in_fragments", &["ping"]) else { return };
    for arguments in
        ["10.77.0.2", "-6 fd77::2", "-s 4000 10.77.0.2", "-s 20000 10.77.0.2", "-6 -s 1400 fd77::2"]
    {
        let out = place.run(&["-q"], &format!("ping -q -c 3 -i 0.2 {arguments}"));
        assert!(out.contains("3 received"), "{arguments}: {out}");
        assert!(!out.contains("duplicates") && !out.contains("errors"), "{arguments}: {out}");
    }
}

#[test]
fn ab_completes_with_and_without_kept_connections() {
    let Some(place) = place("ab_completes_with_and_without_kept_connections", &["ab"]) else { return };
    for (options, kept) in [("", None), ("-k", Some("Keep-Alive requests:    2000\n"))] {
        let out = place.run(&["-q"], &format!("ab -q {options} -n 2000 -c 20 http://10.77.0.2/bytes/5000"));
        for line in
            ["Complete requests:      2000\n", "Failed requests:        0\n", kept.unwrap_or_default()]
        {
            assert!(out.contains(line), "{options}: {out}");
        }
        assert!(!out.contains("Non-2xx"), "{options}: {out}");
    }
}

#[test]
fn wrk_sees_no_error_on_64_connections() {
    let Some(place) = place("wrk_sees_no_error_on_64_connections", &["wrk"]) else { return };
    // An answer may be slow on a machine with other things to do, but not lost.
    let seconds = if long() { 10 } else { 2 };
    for page in ["", "bytes/100000"] {
        let out =
            place.run(&["-q"], &format!("wrk -t 2 -c 64 -d {seconds} --timeout 30s http://10.77.0.2/{page}"));
        assert!(out.contains("requests in"), "{out}");
        assert!(!out.contains("Socket errors") && !out.contains("Non-2xx"), "{out}");
        assert!(!out.contains("\n  0 requests"), "{out}");
    }
}

#[test]
fn httperf_sees_no_error() {
    let Some(place) = place("httperf_sees_no_error", &["httperf"]) else { return };
    let out = place.run(
        &["-q"],
        "httperf --server 10.77.0.2 --uri /bytes/3000 --num-conns 200 --num-calls 5 --rate 400 2>/dev/null",
    );
    assert!(out.contains("requests 1000 replies 1000") && out.contains("Errors: total 0"), "{out}");
}

#[test]
fn transfers_over_a_bad_network_are_exact_to_the_byte() {
    let Some(place) = place("transfers_over_a_bad_network_are_exact_to_the_byte", &["curl"]) else { return };
    let size = if long() { 100_000_000 } else { 10_000_000 };
    let page = format!("http://10.77.0.2/bytes/{size}");
    place.run(&["-q"], &format!("curl -sS -o whole {page}"));
    let whole = place.read("whole");
    assert_eq!(whole.len(), size);
    let bad = "-q --seed 1 --set link.loss=2% --set link.reorder=2% --set link.duplicate=1%";
    let bad: Vec<&str> = bad.split(' ').collect();
    for to in ["http://10.77.0.2", "'http://[fd77::2]'"] {
        place.run(
            &bad,
            &format!(
                "curl -sS -o down {to}/bytes/{size} && curl -sS -o echoed --data-binary @whole {to}/echo"
            ),
        );
        assert!(place.read("down") == whole, "download from {to}");
        assert!(place.read("echoed") == whole, "upload to {to} and back");
    }
}

#[test]
fn a_run_without_loss_leaves_a_sound_capture_without_repetitions() {
    const TEST: &str = "a_run_without_loss_leaves_a_sound_capture_without_repetitions";
    let Some(place) = place(TEST, &["curl", "ping", "tshark", "md5sum"]) else { return };
    // A time-out beyond what a machine with other things to do can stall for, and no probe before it.
    let patient = ["--set", "tcp.rto_min=5s", "--set", "tcp.tail_loss_probe=off"];
    let out = place.run(
        &[&["--trace", "t.pcapng"], &patient[..]].concat(),
        "curl -s http://10.77.0.2/bytes/10000000 | md5sum; curl -s -6 http://[fd77::2]/; ping -c 3 -i 0.2 10.77.0.2",
    );
    assert!(out.contains("tcpglass</title>") && out.contains("3 received"), "{out}");
    let capture = place.0.join("t.pcapng");
    assert!(judge::sound(&capture) > 3_500);
    let filter = format!("frame.packet_flags_direction == 2 && ({})", judge::RETRANSMISSION);
    assert_eq!(judge::fields(&capture, &filter, &["frame.number", "frame.comment"]), [""; 0]);
    let bytes = judge::fields(&capture, "ip.src == 10.77.0.2 && tcp.len > 0", &["tcp.len"]);
    let bytes: usize = bytes.iter().map(|n| n.parse::<usize>().unwrap()).sum();
    assert!((10_000_000..10_001_000).contains(&bytes), "each byte once: {bytes}");
    assert_eq!(judge::fields(&capture, "icmp && frame.comment contains \"why=\"", &["icmp.type"]).len(), 6);
}

#[test]
fn several_stacks_share_a_device_and_each_records_what_it_did() {
    const TEST: &str = "several_stacks_share_a_device_and_each_records_what_it_did";
    let Some(place) = place(TEST, &["curl", "tshark"]) else { return };
    let script = "for n in $(seq 40); do curl -sf http://10.77.0.2/bytes/3000 -o /dev/null || exit 1; done; \
                  \"$TCPGLASS_TEST_EXE\" ss state time-wait -H | wc -l";
    let mut command = place.start(&["--queues", "3", "--trace", "t.pcapng"], script);
    command.env("TCPGLASS_TEST_EXE", env!("CARGO_BIN_EXE_tcpglass"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(succeeded(output, script).trim(), "0", "the client closes first");
    assert!(said.contains("40 exchanges (40×200)"), "{said}");
    let files: Vec<PathBuf> = (1..=3).map(|queue| place.0.join(format!("t-{queue}.pcapng"))).collect();
    let syns =
        |file: &PathBuf| judge::fields(file, "tcp.flags.syn == 1 && tcp.flags.ack == 0", &["tcp.srcport"]);
    assert_eq!(files.iter().map(|file| syns(file).len()).sum::<usize>(), 40);
    for file in &files {
        judge::sound(file);
        let ends = ["tcp.flags.syn == 1 && tcp.flags.ack == 1", "tcp.flags.fin == 1 && ip.src == 10.77.0.2"];
        for end in ends {
            assert_eq!(judge::fields(file, end, &["tcp.dstport"]).len(), syns(file).len(), "{end}");
        }
        assert_eq!(judge::fields(file, "tcp.flags.reset == 1", &["frame.number"]), [""; 0]);
        assert!(said.contains(&file.file_name().unwrap().display().to_string()), "{said}");
    }
}

#[test]
fn a_kill_in_the_middle_of_a_download_leaves_a_capture() {
    const TEST: &str = "a_kill_in_the_middle_of_a_download_leaves_a_capture";
    let Some(place) = place(TEST, &["curl", "tshark"]) else { return };
    let capture = place.0.join("t.pcapng");
    // curl outlives its network; its number is told, so that it can be ended, too.
    let script = "echo $$ > shell; exec curl -s -m 60 -o /dev/null http://10.77.0.2/bytes/9000000000";
    let mut child = place.start(&["-q", "--trace", "t.pcapng"], script).spawn().unwrap();
    while capture.metadata().map_or(0, |m| m.len()) < 4 << 20 {
        assert_eq!(child.try_wait().unwrap(), None, "it runs until it is killed");
        std::thread::yield_now();
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let curl: i32 = String::from_utf8(place.read("shell")).unwrap().trim().parse().unwrap();
    let curl = rustix::process::Pid::from_raw(curl).unwrap();
    rustix::process::kill_process(curl, rustix::process::Signal::KILL).unwrap();
    let packets = judge::fields_of_torn(&capture, "tcp", &["frame.comment"]);
    assert!(packets.len() > 1_000, "{} packets", packets.len());
    assert!(packets.iter().all(|p| p.starts_with("why=") && p.contains("conn=1 ")));
}

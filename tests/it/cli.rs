//! Does the program do what its help says, and refuse everything else with one line?

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory of its own for a test, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("tcpglass-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            (fs::read_dir(&self.0).unwrap()).map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn program(scratch: &Scratch, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcpglass"));
    command.args(args).current_dir(&scratch.0).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

fn run(scratch: &Scratch, args: &[&str]) -> Output {
    program(scratch, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The interfaces of this network: nothing may be left behind.
fn interfaces() -> String {
    fs::read_to_string("/proc/net/dev").unwrap().lines().filter_map(|l| l.split(':').next()).collect()
}

#[test]
fn bad_input_is_refused_with_one_line_and_nothing_is_created() {
    let scratch = Scratch::new("bad");
    fs::write(scratch.0.join("bad.toml"), "[tcp]\nnagel = \"off\"\n").unwrap();
    fs::write(scratch.0.join("bad.pkt"), "+0 < Q 0:0(0) win 1000\n").unwrap();
    fs::write(scratch.0.join("text.txt"), "no capture\n").unwrap();
    let before = (scratch.names(), interfaces());
    for (args, told) in [
        ("run --set tcp.nagel=off -- true", "did you mean tcp.nagle?"),
        ("run --set tcp.ack_delay=1s -- true", "0 to 500ms"),
        ("run --set tcp.nagle -- true", "write tcp.nagle=VALUE"),
        ("run --profile fast -- true", "take linux, rfc or classic"),
        ("run --config none.toml -- true", "cannot read config file none.toml"),
        ("run --config bad.toml -- true", "bad.toml:2: unknown knob"),
        ("run --trace a.pcapng --addr 10.0.0.2 -- true", "no prefix length"),
        ("run --trace a.pcapng --peer 10.99.0.1 -- true", "not in the network"),
        ("run --trace a.pcapng --mtu 100 -- true", "1280..=65535"),
        ("run --queues 0 -- true", "a number from 1 to 256"),
        ("serve --queues 257", "a number from 1 to 256"),
        ("run --queues 2 --set link.rtt=1ms -- true", "a link of its own"),
        ("run --queues 2 --trace - -- true", "name a file"),
        ("run --trace no/a.pcapng -- true", "mkdir -p no"),
        ("run --trace a.doc -- true", ".pcapng, .pcap or .jsonl"),
        ("run --trace . -- true", "is a directory"),
        ("run --trace text.txt -- true", ".pcapng, .pcap or .jsonl"),
        ("run --trace a.pcapng --events a.pcapng -- true", "name the same file"),
        ("run --trace a.pcapng --trace-overflow maybe -- true", "[possible values: wait, drop]"),
        ("run --trace a.pcapng --root none -- true", "--root none"),
        ("run --snaplen 5 -- true", "--snaplen"),
        ("run --tracee a.pcapng -- true", "--trace"),
        ("serve --root text.txt", "not a directory"),
        ("serve --trace no/a.pcapng", "mkdir -p no"),
        ("get https://10.77.0.1/", "https:// is not spoken here"),
        ("get --sim rtt=1ms http://glass:0/", "port 0"),
        ("get --sim rtt=fast http://glass/", "not a duration"),
        ("get --sim speed=1 http://glass/", "unknown knob"),
        ("get --sim rtt=1ms -H nonsense http://glass/", "NAME: VALUE"),
        ("get --sim rtt=1ms -X GE/T http://glass/", "is not a method"),
        ("get --sim rtt=1ms -d @none http://glass/", "-d @none"),
        ("get --sim rtt=1ms --timeout soon http://glass/", "not a duration"),
        ("get --sim rtt=1ms --repeat 0 http://glass/", "--repeat"),
        ("get --sim rtt=1ms -o no/body http://glass/", "mkdir -p no"),
        ("get --sim rtt=1ms --with true http://glass/", "cannot be used with"),
        ("get --sim rtt=1ms -x http://10.77.0.1:3128 http://glass/", "cannot be used with"),
        ("get -x https://10.77.0.1:3128 http://10.77.0.1/", "only http:// proxies"),
        ("load -x 10.77.0.1 http://10.77.0.1/", "write http://HOST:PORT"),
        ("get", "<URL>"),
        ("explain none.pcap", "cannot open capture none.pcap"),
        ("explain text.txt", "neither pcap nor pcapng"),
        ("knobs tcp.nagel", "did you mean tcp.nagle?"),
        ("lab no-such-experiment", "no-such-experiment"),
        ("script none.pkt", "none.pkt"),
        ("completions tcsh", "possible values"),
        ("man none", "none"),
        ("gett", "get"),
        ("run --color pink -- true", "possible values"),
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        let output = run(&scratch, &args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(told), "{args:?}: {error}");
        assert!(error.starts_with("tcpglass: ") && error.matches('\n').count() == 1, "{args:?}: {error}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
        assert_eq!((scratch.names(), interfaces()), before, "{args:?}");
    }
}

#[test]
fn a_command_that_cannot_run_ends_as_a_shell_ends() {
    let scratch = Scratch::new("command");
    fs::write(scratch.0.join("data"), "").unwrap();
    for (command, code, told) in [
        ("no-such-program", 127, "no such command"),
        ("./data", 126, "not an executable file"),
        ("/", 126, "chmod"),
    ] {
        let output = run(&scratch, &["run", "--trace", "a.pcapng", "--", command]);
        assert_eq!(output.status.code(), Some(code), "{command}");
        assert!(text(&output.stderr).contains(told), "{command}: {}", text(&output.stderr));
        assert_eq!(scratch.names(), ["data"], "{command}");
    }
}

#[test]
fn help_version_and_knobs_are_results() {
    let scratch = Scratch::new("help");
    for (args, told) in [
        (&["--help"][..], "Exit codes"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["run", "--help"], "COMMAND"),
        (&["knobs"], "tcp.time_wait"),
        (&["knobs", "tcp.nagle"], "TCP_NODELAY"),
        (&["knobs", "tcp.nagle", "--set", "tcp.nagle=off"], "now       off"),
        (&["completions", "bash"], "_tcpglass"),
        (&["man"], ".TH tcpglass"),
    ] {
        let output = run(&scratch, args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(text(&output.stdout).contains(told), "{args:?}: {}", text(&output.stdout));
        assert_eq!(text(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn knobs_as_json_hold_each_profile() {
    let scratch = Scratch::new("json");
    let output = run(&scratch, &["knobs", "--json", "tcp.init_cwnd", "link.rtt"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema"], "tcpglass.knobs/1");
    assert_eq!(value["knobs"][0]["profiles"]["linux"], "10");
    assert_eq!(value["knobs"][0]["profiles"]["classic"], "1");
    assert_eq!(value["knobs"][1]["name"], "link.rtt");
}

#[test]
fn a_closed_pipe_is_no_error_but_for_a_body_and_a_full_disk_is_one() {
    let scratch = Scratch::new("pipe");
    let mut child =
        program(&scratch, &["knobs"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    // A body is not whole without its rest.
    let mut child = program(&scratch, &["get", "--sim", "rtt=1ms", "http://glass/bytes/3000000"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let told = "tcpglass: cannot write to standard output: Broken pipe (os error 32)\n";
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), told));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program(&scratch, &["knobs"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("tcpglass: cannot write to standard output: "));
}

#[test]
fn what_cannot_be_written_to_standard_output_is_never_lost_silently() {
    let scratch = Scratch::new("stdout");
    let capture = run(&scratch, &["get", "--sim", "rtt=1ms", "http://glass/", "--trace", "a.pcapng"]);
    assert_eq!(capture.status.code(), Some(0));
    for args in [
        "get --sim rtt=1ms http://glass/bytes/300",
        "get --sim rtt=1ms http://glass/ --timeline",
        "get --sim rtt=1ms http://glass/ --json",
        "get --sim rtt=1ms http://glass/ -o body --trace -",
        "load --sim rtt=1ms -n 3 http://glass/",
        "load --sim rtt=1ms -n 3 http://glass/ --json",
        "lab list",
        "lab dumb-proxy",
        "lab dumb-proxy --json",
        "explain a.pcapng",
        "explain a.pcapng --json",
        "explain a.pcapng --csv -",
        "explain a.pcapng --html -",
        "knobs",
        "--help",
        "get --help",
        "--version",
    ] {
        // Closed, open for reading only, full.
        for redirection in [">&-", "1</dev/null", ">/dev/full"] {
            let command = format!("exec \"$0\" {args} {redirection}");
            let mut shell = Command::new("sh");
            let output = shell.args(["-c", &command, env!("CARGO_BIN_EXE_tcpglass")]).current_dir(&scratch.0);
            let output = output.output().unwrap();
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{args} {redirection}: {told}");
            assert!(told.contains("tcpglass: cannot write"), "{args} {redirection}: {told}");
        }
        let command = format!("exec \"$0\" {args} >/dev/null");
        let mut shell = Command::new("sh");
        shell.args(["-c", &command, env!("CARGO_BIN_EXE_tcpglass")]).current_dir(&scratch.0);
        assert_eq!(shell.status().unwrap().code(), Some(0), "{args}");
    }
    // What writes nothing there loses nothing.
    let mut shell = Command::new("sh");
    let command = "exec \"$0\" get --sim rtt=1ms http://glass/ -o body >&-";
    shell.args(["-c", command, env!("CARGO_BIN_EXE_tcpglass")]).current_dir(&scratch.0);
    assert_eq!(shell.status().unwrap().code(), Some(0));
}

#[test]
fn colours_are_there_only_when_they_are_asked_for() {
    let scratch = Scratch::new("color");
    let escapes = |args: &[&str]| text(&run(&scratch, args).stdout).contains('\x1b');
    assert!(!escapes(&["knobs"]), "a pipe gets no colours");
    assert!(escapes(&["knobs", "--color", "always"]));
    assert!(!escapes(&["knobs", "--color", "never"]));
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let scratch = Scratch::new("man");
    assert_eq!(run(&scratch, &["man", "."]).status.code(), Some(0));
    let names = scratch.names();
    for page in ["tcpglass.1", "tcpglass-run.1", "tcpglass-get.1", "tcpglass-knobs.1"] {
        assert!(names.iter().any(|n| n == page), "{page} of {names:?}");
    }
}

#[test]
fn a_simulated_fetch_is_the_same_twice() {
    let scratch = Scratch::new("sim");
    let fetch = |trace: &str| {
        let args = "get --sim rtt=100ms,bandwidth=10mbit,loss=2% --timeline http://glass/bytes/100000 http://glass/ --trace";
        run(&scratch, &args.split(' ').chain([trace]).collect::<Vec<_>>())
    };
    let (one, two) = (fetch("one.pcapng"), fetch("two.pcapng"));
    assert_eq!(one.status.code(), Some(0), "{}", text(&one.stderr));
    assert_eq!(text(&one.stdout), text(&two.stdout));
    assert!(
        text(&one.stdout).contains("GET http://glass/bytes/100000 → 200, 100000 bytes"),
        "{}",
        text(&one.stdout)
    );
    let capture = |name| fs::read(scratch.0.join(name)).unwrap();
    assert!(capture("one.pcapng") == capture("two.pcapng"), "the captures differ");
    let explained = run(&scratch, &["explain", "--json", "one.pcapng"]);
    let value: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(
        (&value["damage"], &value["connections"][0]["ending"]),
        (&serde_json::Value::Null, &"closed".into())
    );
    assert!(
        value["why"]["syn"]["sent"] == 1 && value["why"]["in-order"]["received"].as_u64() > Some(50),
        "{value}"
    );
}

#[test]
fn the_ledger_of_a_simulated_fetch_sums_up_to_its_time() {
    let scratch = Scratch::new("ledger");
    let args = "get --sim rtt=100ms --json http://glass/bytes/100000 http://[fd77::2]/delay/30 --repeat 2";
    let output = run(&scratch, &args.split(' ').collect::<Vec<_>>());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema"], "tcpglass.get/2");
    let exchanges = value["exchanges"].as_array().unwrap();
    assert_eq!(exchanges.len(), 4);
    for exchange in exchanges {
        let ledger = exchange["ledger_us"].as_object().unwrap();
        let sum: u64 = ledger.values().map(|v| v.as_u64().unwrap()).sum();
        assert_eq!(sum, exchange["total_us"].as_u64().unwrap(), "{exchange}");
    }
    assert_eq!(exchanges[0]["ledger_us"]["handshake"], 100_000);
    assert_eq!(exchanges[0]["ledger_us"]["cwnd"], 200_000, "70 segments: 10, 20, 40");
    let delayed = &exchanges[1]["ledger_us"];
    assert_eq!((&delayed["handshake"], &delayed["link"]), (&100_000.into(), &100_000.into()), "{delayed}");
    assert_eq!(delayed["server"], 30_000);
    assert_eq!(exchanges[2]["reused"], true);
}

#[test]
fn a_body_goes_to_a_file_or_to_standard_output_as_it_came() {
    let scratch = Scratch::new("body");
    let fetch = |args: &str| run(&scratch, &args.split(' ').collect::<Vec<_>>());
    assert_eq!(text(&fetch("get --sim rtt=1ms http://glass/echo -d hello").stdout), "hello");
    let with_head = text(&fetch("get --sim rtt=1ms -i http://glass/echo -X PUT -d hello -H X-Y:z").stdout);
    assert!(
        with_head.starts_with("HTTP/1.1 200 OK\r\n") && with_head.ends_with("\r\n\r\nhello"),
        "{with_head}"
    );
    assert_eq!(fetch("get --sim loss=1%,rtt=9ms http://glass/bytes/3000000 -o b").status.code(), Some(0));
    let body = fs::read(scratch.0.join("b")).unwrap();
    let timed = fetch("get --sim rtt=1ms http://glass/echo -d hello --timeline -o timed");
    assert!(text(&timed.stdout).contains("handshake"), "{}", text(&timed.stdout));
    assert_eq!(fs::read(scratch.0.join("timed")).unwrap(), b"hello");
    assert_eq!(fetch("get --sim rtt=1ms http://glass:81/").status.code(), Some(3), "it listens on port 80");
    let whole = fetch("get --sim rtt=1ms http://glass/bytes/3000000").stdout;
    assert!(body.len() == 3_000_000 && body == whole, "{} and {} bytes", body.len(), whole.len());
    assert_eq!(text(&fetch("get --sim rtt=1ms http://glass/status/404").stderr), "");
}

#[test]
fn failures_of_the_network_have_their_exit_codes() {
    let scratch = Scratch::new("exit");
    for (args, code, told) in [
        ("get --sim loss=100% --timeout 3s http://glass/", 5, "--timeout"),
        ("get --sim rtt=1ms --timeout 3s http://10.77.0.99/", 5, "--timeout"),
        ("get --sim rtt=1ms http://glass/reset-after/10", 4, "reset"),
        ("get --sim rtt=1ms http://elsewhere/", 1, "--dns"),
        ("get --sim rtt=1ms http://glass/status/500", 0, ""),
        ("lab handshake --rtt 20ms --size 1KiB --set link.drop_nth=1", 6, "1 of 1 experiments did not"),
        ("lab handshake --rtt 20ms,x", 2, "not a duration"),
        ("lab nagle --rtt 20ms", 2, "varies write"),
        ("lab nagle --set tcp.pacing=on", 2, "tcp.pacing has no effect here: nagle turns it"),
        ("lab closing --sweep server=foo", 2, "none of full"),
        ("lab bufferbloat --tun", 2, "needs virtual time"),
        ("lab all nosuch", 2, "unknown experiment"),
        ("lab list nosuch", 2, "unknown experiment"),
        ("lab nagle --sweep write=", 2, "a value is empty"),
    ] {
        let output = run(&scratch, &args.split(' ').collect::<Vec<_>>());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args}: {error}");
        assert!(error.contains(told), "{args}: {error}");
    }
}

#[test]
fn experiments_are_listed_and_hold() {
    let scratch = Scratch::new("lab");
    assert!(text(&run(&scratch, &["lab", "list"]).stdout).contains("nagle-delayed-ack"));
    let args = ["lab", "nagle-delayed-ack", "closing", "--json", "--ipv6", "--out", "found"];
    let output = run(&scratch, &args);
    assert_eq!(output.status.code(), Some(0));
    for file in ["findings.json", "figure.svg", "server=full_client=eleventh_keeps-data=off.server.pcapng"] {
        assert!(scratch.0.join("found/closing").join(file).is_file(), "{file}");
    }
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["experiments"].as_array().unwrap().iter().all(|e| e["held"] == true), "{value}");
}

#[test]
fn scripts_are_counted_and_a_failure_shows_its_line() {
    let scratch = Scratch::new("script");
    let good = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 close(3) = 0\n";
    fs::write(scratch.0.join("a.pkt"), good).unwrap();
    fs::write(scratch.0.join("b.pkt"), good.replace("= 0", "= -1")).unwrap();
    let output = run(&scratch, &["script", "."]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("passed  ./a.pkt\n"), "{shown}");
    assert!(shown.contains("b.pkt:2: ") && shown.ends_with("1 passed, 1 failed, 0 unsupported\n"), "{shown}");
    assert_eq!(run(&scratch, &["script", "a.pkt"]).status.code(), Some(0));
    // What is not there is named, and no success; what cannot be read is one failure among others.
    fs::write(scratch.0.join("b.pkt"), "0 < raw (10)\n").unwrap();
    let output = run(&scratch, &["script", "."]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains("b.pkt:1: unsupported: raw packets"), "{shown}");
    fs::write(scratch.0.join("c.pkt"), "0 socket(\n").unwrap();
    let output = run(&scratch, &["script", "."]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.ends_with("1 passed, 1 failed, 1 unsupported\n"), "{shown}");
    let output = run(&scratch, &["script", "--ip_version=all", "-D", "X=3", "--mtu=1400", "a.pkt"]);
    assert!(text(&output.stdout).ends_with("3 passed, 0 failed, 0 unsupported\n"));
}

/// What `run` needs; says by name which test is skipped if it is not there.
fn can_run(test: &str, tool: Option<&str>) -> bool {
    if let Some(check) = tcpglass::tun::doctor().into_iter().find(|c| !c.ok && !c.optional) {
        println!("skipped: {test} needs {}", check.name);
        return false;
    }
    let there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    if let Some(tool) = tool.filter(|t| !there(t)) {
        println!("skipped: {test} needs {tool}");
        return false;
    }
    true
}

#[test]
fn run_without_a_command_makes_three_requests_of_its_own() {
    if !can_run("run_without_a_command_makes_three_requests_of_its_own", None) {
        return;
    }
    let scratch = Scratch::new("run");
    let output = run(&scratch, &["run", "--trace", "a.pcapng", "--events", "a.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let wanted = ["GET / → ", "GET /bytes/100000 → HTTP/1.1 200 OK, 100000 bytes", "POST /echo → "];
    let (shown, told) = (text(&output.stdout), text(&output.stderr));
    assert!(wanted.iter().all(|w| shown.contains(w)), "{shown}");
    assert!(
        told.contains("3 exchanges (3×200)") && told.contains("syn-ack") && told.contains("a.pcapng"),
        "{told}"
    );
    assert_eq!(scratch.names(), ["a.jsonl", "a.pcapng"]);
    let explained = run(&scratch, &["explain", "--json", "a.pcapng"]);
    let value: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(value["connections"].as_array().unwrap().len(), 3, "{value}");
    assert_eq!(
        (&value["damage"], value["why"]["syn-ack"]["sent"].as_u64()),
        (&serde_json::Value::Null, Some(3))
    );
}

#[test]
fn run_gives_its_command_a_network_and_takes_its_exit_code() {
    if !can_run("run_gives_its_command_a_network_and_takes_its_exit_code", Some("curl")) {
        return;
    }
    let scratch = Scratch::new("curl");
    let script =
        "curl -s http://glass/bytes/100000 | wc -c; curl -s -6 http://[fd77::2]/echo -d hello; exit 7";
    let output = run(&scratch, &["run", "--trace", "a.pcapng", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "100000\nhello");
    let killed = run(&scratch, &["run", "-q", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!((killed.status.code(), text(&killed.stderr)), (Some(128 + 15), String::new()));
}

#[test]
fn a_signal_to_run_reaches_its_command_and_the_capture_is_complete() {
    if !can_run("a_signal_to_run_reaches_its_command_and_the_capture_is_complete", None) {
        return;
    }
    let scratch = Scratch::new("signal");
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do read -t 1 x < /dev/zero; done";
    let mut child = program(&scratch, &["run", "--trace", "a.pcapng", "--", "bash", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    line.clear();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "caught\n");
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(run(&scratch, &["explain", "a.pcapng"]).status.code(), Some(0));
}

#[test]
fn get_starts_a_server_in_a_private_network() {
    if !can_run("get_starts_a_server_in_a_private_network", Some("python3")) {
        return;
    }
    let scratch = Scratch::new("with");
    fs::write(scratch.0.join("page"), "x".repeat(50_000)).unwrap();
    // The server is a child of the shell, as most are, and must end with it.
    let server = "python3 -m http.server 8000 & echo $! > pid; wait";
    let fetch = |url: &str| run(&scratch, &["get", "--with", server, url, "-o", "out"]);
    let output = fetch("http://10.77.0.1:8000/page");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(fs::read(scratch.0.join("out")).unwrap(), fs::read(scratch.0.join("page")).unwrap());
    let server = fs::read_to_string(scratch.0.join("pid")).unwrap();
    let server = Path::new("/proc").join(server.trim());
    while server.exists() {
        std::thread::yield_now();
    }
    let early = run(&scratch, &["get", "--with", "exit 3", "http://10.77.0.1:8000/"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(text(&early.stderr).contains("before it listened on port 8000"), "{}", text(&early.stderr));
}

/// As root, the program is run as nobody, with a /dev/net/tun that everyone may open, in a mount namespace of the test.
#[test]
fn an_ordinary_user_can_run_commands_and_servers() {
    const NAME: &str = "an_ordinary_user_can_run_commands_and_servers";
    if !can_run(NAME, Some("curl")) || !can_run(NAME, Some("python3")) || !can_run(NAME, Some("setpriv")) {
        return;
    }
    let scratch = Scratch::new("user");
    let copy = scratch.0.join("tcpglass");
    fs::copy(env!("CARGO_BIN_EXE_tcpglass"), &copy).unwrap();
    let commands = "set -e
        ./tcpglass run -q --trace out/a.pcapng -- curl -s http://glass/bytes/1000 | wc -c
        ./tcpglass get --with 'exec python3 -m http.server -d / 8000' http://10.77.0.1:8000/etc/hostname -o out/b 2> out/log
        ./tcpglass explain out/a.pcapng | grep '^pcapng: '";
    let out = scratch.0.join("out");
    fs::create_dir(&out).unwrap();
    let output = if rustix::process::geteuid().is_root() {
        for path in [&scratch.0, &out] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let as_nobody = "mknod tun c 10 200 && chmod 666 tun && mount --bind tun /dev/net/tun || exit 77
            exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c \"$COMMANDS\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", as_nobody]).env("COMMANDS", commands).current_dir(&scratch.0);
        command.output().unwrap()
    } else {
        Command::new("sh").args(["-c", commands]).current_dir(&scratch.0).output().unwrap()
    };
    let (shown, told) = (text(&output.stdout), text(&output.stderr));
    if output.status.code() == Some(77) {
        println!("skipped: {NAME} needs a machine where root may make device nodes ({told})");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{shown}{told}");
    assert!(shown.starts_with("1000\npcapng: "), "{shown}{told}");
    assert!(fs::read(out.join("b")).unwrap() == fs::read("/etc/hostname").unwrap(), "{told}");
}

#[test]
fn bodies_of_many_urls_go_to_files_of_their_own_one_after_the_other_or_at_once() {
    let scratch = Scratch::new("bodies_of_many_urls");
    let urls = [
        "http://glass/bytes/10",
        "http://glass/bytes/300000",
        "http://glass/chunked/70000",
        "http://glass/bytes/0",
    ];
    for options in ["", "--parallel 4", "--pipeline 4", "--parallel 2 --timeline"] {
        let mut line =
            vec!["get", "--sim", "rtt=10ms", "--remote-name-all", "--output-dir", "bodies", "--create-dirs"];
        line.extend(options.split_whitespace());
        line.extend(urls);
        line.extend(["-o", "small"]);
        let out = run(&scratch, &line);
        assert!(out.status.success(), "{options}: {out:?}");
        for (name, size) in [("small", 10), ("300000", 300_000), ("70000", 70_000), ("0", 0)] {
            let bytes = fs::read(scratch.0.join("bodies").join(name)).unwrap();
            let mut wanted = vec![0; size];
            tcpglass::service::pattern(0, &mut wanted);
            assert!(bytes == wanted, "{options} {name}: {} bytes", bytes.len());
        }
        let told = String::from_utf8(out.stderr).unwrap();
        assert_eq!(told.contains("bodies/small is overwritten"), !options.is_empty(), "{told}");
    }
    let out =
        run(&scratch, &["get", "--sim", "rtt=10ms", "--parallel", "2", "-O", urls[0], urls[1], urls[3]]);
    assert_eq!(out.status.code(), Some(2), "two bodies would be mixed: {out:?}");
    // Without --fail the page that tells of the error is a body like others.
    for (fail, code) in [("--include", 0), ("--fail", 1)] {
        let urls = ["http://glass/nowhere", "http://glass/bytes/5"];
        let out =
            run(&scratch, &["get", "--sim", "rtt=10ms", fail, "-o", "no", "-o", "yes", urls[0], urls[1]]);
        assert_eq!(out.status.code(), Some(code), "{out:?}");
        assert_eq!((scratch.0.join("no").exists(), scratch.0.join("yes").exists()), (code == 0, true));
        assert_eq!(text(&out.stderr).contains("/nowhere: the server answers 404 Not Found"), code == 1);
        fs::remove_file(scratch.0.join("no")).ok();
    }
}

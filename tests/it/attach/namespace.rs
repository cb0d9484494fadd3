//! Do `ss` and `top` show a stack on a TUN device, to a user at a terminal and to a program?

use super::Rooms;
use crate::judge;
use crate::schema;
use serde_json::Value;
use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tcpglass::tun::doctor;

pub const GLASS: &str = env!("CARGO_BIN_EXE_tcpglass");

/// Whether this machine has what `test` needs.
pub fn can_run(test: &str, tools: &[&str]) -> bool {
    if let Some(check) = doctor().into_iter().find(|check| !check.ok && !check.optional) {
        println!("skipped: {test} needs {} ({})", check.name, check.found);
        return false;
    }
    tools.iter().all(|tool| judge::have(tool, test))
}

/// A program that sees no stacks but those of its own test, which are elsewhere: not even in the place where everybody's may
/// be. Only root can hide that; others' tests fail while a stack of theirs runs.
pub fn alone(program: &str) -> Command {
    const HIDE: &str =
        "d=/tmp/tcpglass-0; mkdir -p -m 700 $d && mount -t tmpfs -o mode=700 none $d && exec \"$0\" \"$@\"";
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", HIDE, program]);
    command
}

/// A program that looks for stacks here.
pub fn program(rooms: &Rooms, args: &[&str]) -> Command {
    let mut command = alone(GLASS);
    command.args(args).env("XDG_RUNTIME_DIR", rooms.path()).env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A stack in a network of its own, with a connection whose answer never comes; ended when this is dropped.
pub struct Running {
    child: Child,
    pub pid: u32,
}

impl Running {
    /// `script` runs beside that connection, if it is not empty.
    pub fn start(rooms: &Rooms, script: &str) -> Running {
        let script = format!("curl -s -m 100 http://10.77.0.2/delay/90000 & {script} wait");
        let mut child = program(rooms, &["run", "-q", "--", "sh", "-c", &script]);
        let child = child.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        let running = Running { pid: child.id(), child };
        let connected = |output: Output| text(&output.stdout).contains("ESTAB");
        while !connected(program(rooms, &["ss", "--pid", &running.pid.to_string()]).output().unwrap()) {
            std::thread::yield_now();
        }
        running
    }

    /// As the terminal's Ctrl-C, it reaches the command.
    pub fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn ss_shows_the_connections_of_a_stack_that_runs() {
    const TEST: &str = "ss_shows_the_connections_of_a_stack_that_runs";
    if !can_run(TEST, &["curl"]) {
        return;
    }
    let rooms = Rooms::new("ss");
    let ss = |args: &[&str]| {
        let output = program(&rooms, &[&["ss"], args].concat()).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, error) = ss(&[]);
    assert!(code == Some(1) && error.contains("no stack of this user's runs"), "{error}");
    let mut running = Running::start(&rooms, "");
    let (code, shown, error) = ss(&["-tni"]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(
        lines[1].starts_with("ESTAB ")
            && lines[1].contains(" 10.77.0.2:80 ")
            && lines[1].contains("10.77.0.1:")
    );
    for word in [
        " cubic ",
        " wscale:",
        " rto:2",
        " rtt:",
        " cwnd:10 ",
        " segs_in:",
        " limit:idle ",
        " ledger:(server:",
    ] {
        assert!(lines[2].contains(word), "{word}: {shown}");
    }
    let (_, all, _) = ss(&["-a", "--no-info", "-H"]);
    let mut states: Vec<&str> = all.lines().map(|line| line.split(' ').next().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["ESTAB", "LISTEN", "LISTEN"], "{all}");
    for (filter, n) in [
        (&["state", "established", "(", "sport", "=", ":80", ")"][..], 1),
        (&["state established dport = :80"], 0),
        (&["-l"], 2),
        (&["-l", "-6"], 1),
        (&["-4", "dst", "10.77.0.0/24"], 1),
        (&["limit", "cwnd"], 0),
    ] {
        let (code, shown, error) = ss(&[&["-H", "-O"], filter].concat());
        assert_eq!((code, shown.lines().count()), (Some(0), n), "{filter:?}: {shown}{error}");
    }
    let (code, shown, error) = ss(&["state", "established", "-H", "-O"]);
    assert_eq!((code, shown.lines().count()), (Some(0), 1), "options behind the filter: {error}");
    let (_, summary, _) = ss(&["-s"]);
    assert_eq!(summary, "TCP: 3 (ESTABLISHED 1, LISTEN 2)\n");
    let (_, json, _) = ss(&["--json", "-a"]);
    let value: Value = serde_json::from_str(&json).unwrap();
    schema::holds("ss-1", &value);
    assert_eq!(value["sockets"].as_array().unwrap().len(), 3);
    assert_eq!((&value["stack"]["command"], &value["stack"]["pid"]), (&"run".into(), &running.pid.into()));
    for (wrong, told) in [
        (&["port", "80"][..], "\"port\" is not known"),
        (&["--pid", "1"], &format!("of those that run: {}", running.pid)),
    ] {
        let (code, shown, error) = ss(wrong);
        assert!(code == Some(2) && shown.is_empty() && error.contains(told), "{error}");
    }
    // A second one: it has to be said which.
    let other = Running::start(&rooms, "");
    let (code, _, error) = ss(&[]);
    assert_eq!(code, Some(2), "{error}");
    for pid in [running.pid, other.pid] {
        assert!(error.contains(&format!("--pid {pid} (run on glass0)")), "{error}");
        assert_eq!(ss(&["--pid", &pid.to_string()]).0, Some(0));
    }
    running.end();
    assert_eq!(ss(&[]).0, Some(0), "there is one again");
}

/// A program in a terminal of its own.
struct Terminal {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// A shell that says which terminal it has, how that is set before and after, and what `command` returns.
    fn start(rooms: &Rooms, command: &str) -> Terminal {
        let script = format!(
            "trap : INT; stty rows 12 cols 150; tty; stty -g; sh -c 'echo pid=$$; exec {command}'; echo code=$?; stty -g; echo over"
        );
        let mut child = alone("script")
            .args(["-qfec", &script, "/dev/null"])
            .env("XDG_RUNTIME_DIR", rooms.path())
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut bytes) {
                if sender.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, output, seen: String::new() }
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until `text` comes, and forgets what was before it.
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let before = self.seen[..at].to_owned();
                self.seen.drain(..at + text.len());
                return before;
            }
            match self.output.recv_timeout(Duration::from_secs(60)) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(e) => panic!("{e}: no {text:?} in {:?}", self.seen),
            }
        }
    }

    /// The name of the terminal and its settings at first.
    fn begin(&mut self) -> (String, String) {
        let line = |text: String| text.trim().to_owned();
        self.until("/dev/pts/");
        let name = format!("/dev/pts/{}", line(self.until("\n")));
        (name, line(self.until("\n")))
    }

    /// The exit code, and the settings at the end.
    fn end(&mut self) -> (String, String) {
        self.until("code=");
        let line = |text: String| text.trim().to_owned();
        let code = line(self.until("\n"));
        let settings = line(self.until("over"));
        (code, settings)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LEFT: &str = "\x1b[?1049l";

#[test]
fn top_shows_what_goes_on_and_gives_the_terminal_back() {
    const TEST: &str = "top_shows_what_goes_on_and_gives_the_terminal_back";
    if !can_run(TEST, &["curl", "script", "stty"]) {
        return;
    }
    let rooms = Rooms::new("top");
    let mut running = Running::start(&rooms, "");
    let refused = program(&rooms, &["top"]).output().unwrap();
    let error = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error.contains("needs a terminal") && error.contains("tcpglass ss"), "{error}");

    let mut terminal = Terminal::start(&rooms, &format!("{GLASS} top --delay 100ms"));
    let (name, before) = terminal.begin();
    terminal.until("\x1b[?1049h");
    terminal.until(&format!("tcpglass run on glass0, process {}", running.pid));
    terminal.until("1 connection, 0 half-open");
    let bar = terminal.until("10.77.0.2:80");
    assert!(bar.contains("1 to 1 of 1; by number; h helps, q ends") && bar.contains("▼CONN"), "{bar}");
    terminal.until("idle");
    terminal.until("server ");
    terminal.press("ss");
    terminal.until("by cwnd");
    terminal.press("p");
    terminal.until("PAUSED");
    terminal.press("r");
    terminal.until("turned round");
    terminal.press("p");
    terminal.press("fdport = :1\r");
    terminal.until("none of 0; by cwnd, turned round; filter dport = :1");
    terminal.press("fx\x7f\x1b");
    terminal.press("h");
    terminal.until("sort by the next");
    terminal.press("h+");
    terminal.until("a look every 50 ms");
    // The window becomes smaller: no line is wider than it.
    Command::new("stty").args(["-F", &name, "rows", "6", "cols", "40"]).status().unwrap();
    loop {
        terminal.until("\x1b[H");
        let screen = terminal.until("\x1b[J");
        let widest =
            screen.lines().map(|line| plain(line.trim_end_matches('\r')).chars().count()).max().unwrap();
        if widest <= 40 && screen.lines().count() <= 6 {
            break;
        }
    }
    terminal.press("q");
    terminal.until(LEFT);
    assert_eq!(terminal.end(), ("0".into(), before));

    // Ctrl-C, SIGTERM from elsewhere, and the end of the stack.
    for (ending, code) in [("\x03", "0"), ("kill", "143"), ("stack", "0")] {
        let mut terminal = Terminal::start(&rooms, &format!("{GLASS} top"));
        let (_, before) = terminal.begin();
        terminal.until("pid=");
        let pid = terminal.until("\n").trim().parse().unwrap();
        terminal.until("10.77.0.2:80");
        match ending {
            "kill" => {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            }
            "stack" => running.end(),
            keys => terminal.press(keys),
        }
        terminal.until(LEFT);
        if ending == "stack" {
            terminal.until("has been left");
        }
        assert_eq!(terminal.end(), (code.into(), before), "{ending:?}");
    }
}

/// Without escape sequences.
fn plain(line: &str) -> String {
    let mut rest = line;
    let mut out = String::new();
    while let Some(at) = rest.find('\x1b') {
        out += &rest[..at];
        let end = rest[at..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |n| at + n + 1);
        rest = &rest[end..];
    }
    out + rest
}

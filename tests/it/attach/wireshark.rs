//! Is a running stack one of Wireshark's interfaces, and is a trace on standard output one of its captures?

use super::Rooms;
use super::namespace::{GLASS, Running, alone, can_run, program, text};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A folder with the program as a capture program of Wireshark's.
fn folder(rooms: &Rooms) -> PathBuf {
    let folder = rooms.path().join("extcap");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(GLASS, folder.join("tcpglass")).unwrap();
    folder
}

fn tshark(rooms: &Rooms, folder: &PathBuf, args: &[&str]) -> Output {
    let mut command = alone("tshark");
    command.env("WIRESHARK_EXTCAP_DIR", folder).env("XDG_RUNTIME_DIR", rooms.path());
    command.env("WIRESHARK_CONFIG_DIR", rooms.path()).args(args).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn wireshark_finds_a_running_stack_and_captures_from_it() {
    const TEST: &str = "wireshark_finds_a_running_stack_and_captures_from_it";
    if !can_run(TEST, &["curl", "tshark"]) {
        return;
    }
    let rooms = Rooms::new("extcap");
    let folder = folder(&rooms);
    let listed = |rooms| text(&tshark(rooms, &folder, &["-D"]).stdout);
    assert!(!listed(&rooms).contains("tcpglass-"));
    let requests = "while :; do curl -s http://10.77.0.2/bytes/3000 -o /dev/null || exit; done &";
    let running = Running::start(&rooms, requests);
    let interface = format!("tcpglass-{}", running.pid);
    let list = listed(&rooms);
    assert!(
        list.contains(&format!("{interface} (tcpglass run on glass0, process {})", running.pid)),
        "{list}"
    );
    // Two at once, each with the reasons.
    let captured: Vec<_> = [0, 1]
        .into_iter()
        .map(|_| {
            let mut command = alone("tshark");
            command.env("WIRESHARK_EXTCAP_DIR", &folder).env("XDG_RUNTIME_DIR", rooms.path());
            command.env("WIRESHARK_CONFIG_DIR", rooms.path()).stdin(Stdio::null());
            command.args([
                "-n",
                "-i",
                &interface,
                "-c",
                "40",
                "-T",
                "fields",
                "-e",
                "tcp.port",
                "-e",
                "frame.comment",
            ]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in captured {
        let output = child.wait_with_output().unwrap();
        let (shown, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{shown}{error}");
        let packets: Vec<&str> = shown.lines().filter(|line| line.contains("why=")).collect();
        assert!(packets.len() >= 15 && packets.iter().any(|line| line.contains("cwnd=")), "{shown}{error}");
    }
    let types = tshark(&rooms, &folder, &["-L", "-i", &interface]);
    assert!((text(&types.stdout) + &text(&types.stderr)).contains("Raw IP"), "{types:?}");
}

#[test]
fn the_questions_of_wireshark_are_answered_in_its_sentences() {
    const TEST: &str = "the_questions_of_wireshark_are_answered_in_its_sentences";
    if !can_run(TEST, &["curl"]) {
        return;
    }
    let rooms = Rooms::new("sentences");
    let running = Running::start(&rooms, "");
    let interface = format!("tcpglass-{}", running.pid);
    let ask = |args: &[&str]| {
        let output = program(&rooms, args).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    // As Wireshark calls it: without the name of the command.
    let (code, shown, _) = ask(&["--extcap-interfaces", "--extcap-version=4.0"]);
    assert_eq!(code, Some(0));
    assert!(
        shown.starts_with("extcap {version=")
            && shown.contains(&format!("\ninterface {{value={interface}}}"))
    );
    for (args, said) in [
        (
            &["--extcap-interface", &interface, "--extcap-dlts"][..],
            "dlt {number=101}{name=RAW}{display=Raw IP}\n",
        ),
        (&["--extcap-interface", &interface, "--extcap-config"], "arg {number=0}{call=--snaplen}"),
        (&["--extcap-interface", &interface, "--extcap-capture-filter="], ""),
        (
            &["--extcap-interface", &interface, "--extcap-capture-filter=port 80"],
            "tcpglass has no capture filters",
        ),
    ] {
        let (code, shown, error) = ask(args);
        assert!(
            code == Some(0) && shown.starts_with(said) && shown.is_empty() == said.is_empty(),
            "{args:?}: {shown}{error}"
        );
    }
    for (args, code, told) in [
        (&["extcap"][..], 2, "extcap is for Wireshark"),
        (
            &[
                "--capture",
                "--extcap-interface",
                &interface,
                "--extcap-capture-filter",
                "port 80",
                "--fifo",
                "/dev/null",
            ],
            2,
            "use a display filter",
        ),
        (&["--capture", "--extcap-interface", &interface], 2, "--capture needs --fifo"),
        (&["--capture", "--extcap-interface", "tcpglass-1", "--fifo", "/dev/null"], 1, "no such stack runs"),
        (&["--capture", "--extcap-interface", "eth0", "--fifo", "/dev/null"], 1, "no such stack runs"),
        (
            &["--capture", "--extcap-interface", &interface, "--fifo", "/nowhere/fifo"],
            1,
            "cannot open /nowhere/fifo",
        ),
    ] {
        let (status, shown, error) = ask(args);
        assert!(status == Some(code) && shown.is_empty() && error.contains(told), "{args:?}: {error}");
    }
    // A whole capture through a FIFO: a signal completes it, with its statistics.
    let fifo = rooms.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let fifo_name = fifo.display().to_string();
    let mut child = program(
        &rooms,
        &["--capture", "--extcap-interface", &interface, "--fifo", &fifo_name, "--snaplen", "80"],
    )
    .spawn()
    .unwrap();
    let mut reader = std::fs::File::open(&fifo).unwrap();
    let mut bytes = vec![0; 64];
    std::io::Read::read_exact(&mut reader, &mut bytes).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let (_, received, dropped) = super::read_capture(&bytes);
    assert_eq!((received, dropped), (0, 0), "the one connection waits");
    // A reader that leaves while nothing is captured is missed.
    drop(reader);
    let mut child = program(&rooms, &["--capture", "--extcap-interface", &interface, "--fifo", &fifo_name])
        .spawn()
        .unwrap();
    let mut reader = std::fs::File::open(&fifo).unwrap();
    std::io::Read::read_exact(&mut reader, &mut bytes[..64]).unwrap();
    drop(reader);
    let ended = (0..400).find_map(|_| {
        sleep_a_moment();
        child.try_wait().unwrap()
    });
    if ended.is_none() {
        child.kill().unwrap();
    }
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}

#[test]
fn a_trace_on_standard_output_is_read_as_it_is_written() {
    const TEST: &str = "a_trace_on_standard_output_is_read_as_it_is_written";
    if !can_run(TEST, &["curl", "tshark"]) {
        return;
    }
    let rooms = Rooms::new("live");
    // tshark has seen enough long before the server would have waited.
    let script = "\"$GLASS\" run -q --trace - -- sh -c 'curl -s http://10.77.0.2/bytes/100000 -o /dev/null; \
                  curl -s -m 100 http://10.77.0.2/delay/90000 & echo $! > curl; wait' \
                  | { tshark -n -l -r - -c 20 -T fields -e frame.comment; kill $(cat curl); }";
    let output = Command::new("sh")
        .args(["-c", script])
        .env("GLASS", GLASS)
        .env("XDG_RUNTIME_DIR", rooms.path())
        .current_dir(rooms.path())
        .output()
        .unwrap();
    let shown = text(&output.stdout);
    let packets = shown.lines().filter(|line| line.contains("why=")).count();
    // The others are events between them.
    assert!((10..=20).contains(&packets), "{shown}{}", text(&output.stderr));
}

#[allow(clippy::disallowed_methods, reason = "another process needs a moment of real time")]
fn sleep_a_moment() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

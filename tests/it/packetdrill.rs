//! Does the original packetdrill, driving this stack through the plug-in, agree with our own runner?

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first executable of this name on the PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The plug-in, built beside this test.
fn plug_in() -> PathBuf {
    let exe = env::current_exe().unwrap();
    let profile = exe.ancestors().nth(2).unwrap();
    let status = Command::new(env!("CARGO"))
        .args(["rustc", "-q", "--lib", "--features", "packetdrill", "--crate-type", "cdylib", "--target-dir"])
        .arg(profile.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "the plug-in does not build");
    profile.parent().unwrap().join("debug/libtcpglass.so")
}

/// What the original program cannot read or do, or would execute: it has its own parser, no names for two requests of
/// ioctl, and one connection that a line without ports means.
fn is_beyond_it(name: &str, text: &str) -> bool {
    let words = ["`", "SIOCOUTQ", "sock(", "tcpglass: --profile"];
    words.iter().any(|word| text.contains(word)) || BEYOND.contains(&name)
}

/// Beyond its parser or judge for other reasons.
const BEYOND: &[&str] = &[
    // It compares an event even if there is none.
    "api/epoll",
    // A descriptor that is not open.
    "api/errors",
    // A name that it lacks.
    "urgent/at_the_mark",
    // A struct linger that is read.
    "close/linger_blocks",
    // Exact to the microsecond, which that clock is not.
    "handshake/passive",
    "timestamps/rtt_after_retransmission",
    // A second connection on the ports of the first, or beside it.
    "close/time_wait_reuse",
    "close/time_wait_reuse_by_time_stamp",
    "handshake/backlog",
    "handshake/begins_anew_half_open",
    // Addresses that are written out; bytes that are.
    "handshake/explicit_addresses",
    "api/write_and_send",
    // An option that is longer than it takes, and the route to a peer, which the plug-in does not see.
    "api/saved_syn",
    // Datagrams, which the plug-in has not, and pings, which it has no sockets for.
    "api/udp_beside_tcp",
    "api/udp_client",
    "api/udp_server",
    "icmp/echo",
    "api/advmss",
    // Options that are not padded; two things said about the IP header.
    "options/unknown_are_skipped",
    "options/ip_header",
];

#[test]
fn the_original_program_passes_the_scripts_that_it_can_read() {
    let Some(packetdrill) = on_path("packetdrill") else {
        println!("skipped: packetdrill is not on the PATH");
        return;
    };
    let library = plug_in();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut failed = Vec::new();
    let mut passed = 0;
    for group in fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        for path in fs::read_dir(&group).unwrap().map(|e| e.unwrap().path()) {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(&root).unwrap().with_extension("");
            if is_beyond_it(name.to_str().unwrap(), &text) {
                continue;
            }
            let own = |line: &str| line.strip_prefix("// tcpglass: --").map(str::to_owned);
            let flags: Vec<String> = text.lines().filter_map(own).collect();
            let mut command = Command::new(&packetdrill);
            command.arg(format!("--so_filename={}", library.display()));
            command.arg(format!("--so_flags={}", flags.join(",")));
            match text.lines().find_map(|line| line.strip_prefix("--ip_version=")) {
                Some(_) => &mut command,
                None => command.arg("--ip_version=ipv4"),
            };
            let output = command.arg(&path).output().unwrap();
            passed += usize::from(output.status.success());
            if !output.status.success() {
                failed.push(format!("{}: {}", name.display(), String::from_utf8_lossy(&output.stderr)));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(passed > 100, "only {passed} scripts were read");
}

//! Does a request cost more when thousands of other connections are idle? `cargo bench --bench idle`
//!
//! An HTTP server in one thread, without a device; a request of 41 bytes, an answer of 200 and its acknowledgment. Instructions are
//! counted by valgrind, if it is installed; the time is what this machine takes, caches included. It fails if a request costs more
//! than 1.3 times as many instructions with 100,000 idle connections as with 10, or if one of 1,000,000 connections in TIME-WAIT
//! takes more than 100 bytes of the process' memory.

mod crowd;

use crowd::Crowd;
use std::process::{Command, ExitCode};
use std::time::Instant;

const IDLE: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
const REQUESTS: usize = 1_000;

/// Connections that the server has closed, and what each may take, bytes.
const WAITING: usize = 1_000_000;
const BYTES: f64 = 100.0;

/// What a request may cost with the most connections, compared with the fewest.
const MOST: f64 = 1.3;

/// Whose requests are measured.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    /// Ten connections make all of them.
    Ten,
    /// All connections take turns, so that each has rested before.
    All,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|word| word == "waiting") {
        return waiting();
    }
    if let [_, whose, idle, ..] = &args[..]
        && let Ok(idle) = idle.parse()
    {
        let whose = if whose == "all" { Whose::All } else { Whose::Ten };
        println!("{}", one(whose, idle));
        return ExitCode::SUCCESS;
    }
    println!("{:>10}  {:>22}  {:>22}", "", "ten of them ask", "all in turn ask");
    println!("{:>10}  {:>14} {:>7}  {:>14} {:>7}", "idle", "instructions", "ns", "instructions", "ns");
    let (mut first, mut worst) = ([None, None], 1f64);
    for idle in IDLE {
        print!("{idle:>10}");
        for (whose, first) in std::iter::zip(["ten", "all"], &mut first) {
            let instructions = instructions(whose, idle);
            let nanos = run(&mut Command::new(std::env::current_exe().unwrap()), whose, idle).0;
            match instructions {
                Some(n) => {
                    let ratio = n as f64 / *first.get_or_insert(n) as f64;
                    if whose == "ten" {
                        worst = worst.max(ratio);
                    }
                    print!("  {n:>8} {ratio:>5.2}x {nanos:>7}");
                }
                None => print!("  {:>14} {nanos:>7}", "no valgrind"),
            }
        }
        println!();
    }
    // In a process of its own, whose memory is that of nothing else.
    let waiting = Command::new(std::env::current_exe().unwrap()).arg("waiting").status();
    if !waiting.is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    if worst > MOST {
        println!("a request costs {worst:.2} times as much among many as among few: more than {MOST}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A million connections, each with one request, that the server closes.
fn waiting() -> ExitCode {
    let mut crowd = Crowd::new(false, 16);
    let mut go = |from: usize, to: usize| {
        (from..to).for_each(|n| {
            crowd.join();
            crowd.leave(n);
        });
        assert_eq!((crowd.connected(), crowd.time_waits()), (0, to));
    };
    let warm = WAITING / 100;
    go(0, warm);
    let (before, start) = (resident(), now());
    go(warm, warm + WAITING);
    let nanos = start.elapsed().as_nanos() as f64 / WAITING as f64;
    // The clients are here, too.
    let each = (resident() - before) as f64 / WAITING as f64 - Crowd::CLIENT as f64;
    println!(
        "{WAITING} connections closed by the server: {each:.1} bytes each in TIME-WAIT, {nanos:.0} ns to set up, ask and close"
    );
    if each > BYTES {
        println!("more than {BYTES} bytes");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// Nanoseconds a request, as measured by a program that does nothing else.
fn one(whose: Whose, idle: usize) -> u128 {
    let mut crowd = Crowd::new(false, idle);
    (0..idle).for_each(|_| crowd.join());
    crowd.rest();
    assert_eq!(crowd.connected(), idle);
    let among = if whose == Whose::Ten { 10 } else { idle };
    let start = now();
    measured(&mut crowd, among);
    start.elapsed().as_nanos() / REQUESTS as u128
}

/// The function in which valgrind counts.
#[inline(never)]
fn measured(crowd: &mut Crowd, among: usize) {
    for n in 0..REQUESTS {
        // A step that meets every one of a round number of them, not in the order in which they stand in memory.
        assert!(crowd.request(n * 7919 % among) > 200);
    }
}

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn now() -> Instant {
    Instant::now()
}

/// Instructions a request; None without valgrind.
fn instructions(whose: &str, idle: usize) -> Option<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*measured*"]);
    valgrind.arg(std::env::current_exe().ok()?);
    let said = run(&mut valgrind, whose, idle).1;
    let total = said.lines().find_map(|line| line.split_once("Collected : "))?.1;
    Some(total.split_whitespace().next()?.parse::<u64>().ok()? / REQUESTS as u64)
}

/// What a run says on its outputs.
fn run(command: &mut Command, whose: &str, idle: usize) -> (String, String) {
    let Ok(output) = command.args([whose, &idle.to_string()]).output() else { return Default::default() };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    (text(output.stdout), text(output.stderr))
}

//! How many instructions does fixed work take? `make instructions`: each workload runs under valgrind's callgrind, and more than
//! 5 % above the recorded count is a failure. Unlike times, counts do not depend on what else the machine does.
//!
//! What copies, clears and sums bytes does not count: it takes most of a bulk transfer's instructions, and would hide what
//! becomes of the rest.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

#[path = "../hosts.rs"]
mod hosts;

use hosts::{CLIENT, Hosts};
use std::hint::black_box;
use tcpglass::lab::{EXPERIMENTS, Setup};
use tcpglass::service::{HttpServer, Service, Site};
use tcpglass::sim::{World, host_config};
use tcpglass::stack::Owner;
use tcpglass::stream::ByteStream;
use tcpglass::tcp;
use tcpglass::trace::{Format, TraceOptions, Tracer, to_writer};

/// Whose instructions do not count, by how the names of functions begin.
const BYTES: [&str; 4] = ["__memcpy", "__memmove", "__memset", "tcpglass::wire::checksum::"];

/// More than this share above the record is a failure, in percent.
const TOLERANCE: f64 = 5.0;

/// A name, and what is done. Whatever comes before [`measured`] is not counted.
const WORKLOADS: [(&str, fn()); 7] = [
    ("request: one HTTP request and its answer on a kept connection, a hundred times", request),
    ("bulk: 1 MiB in segments of 1,448 bytes", || bulk(false)),
    ("offload: 1 MiB in super-segments", || bulk(true)),
    ("connect: 1,000 connections set up and closed", connect),
    ("lab: the experiment nagle", lab),
    ("simulate: 1,000 packets of a bulk transfer between two hosts", simulate),
    ("trace: 1,000 packets recorded with their comments", trace),
];

/// What callgrind counts.
#[inline(never)]
fn measured(work: impl FnOnce()) {
    work();
}

fn request() {
    const SERVER: Owner = Owner(3);
    let mut hosts = Hosts::new();
    let site = Site { root: None };
    let addr = ([10, 0, 0, 2], 8080).into();
    let mut server = HttpServer::new(SERVER, vec![addr], site, tcpglass::http::Config::default());
    server.poll(hosts.now, &mut hosts.stacks[1]);
    let client = hosts.stacks[0].connect(hosts.now, addr, None, None, CLIENT).expect("a port");
    let mut buffer = vec![0; 4096];
    let mut exchange = |hosts: &mut Hosts| {
        let request = b"GET /bytes/200 HTTP/1.1\r\nHost: glass\r\n\r\n";
        hosts.stacks[0].stream(hosts.now, client).write(request).expect("room");
        hosts.settle();
        server.poll(hosts.now, &mut hosts.stacks[1]);
        hosts.settle();
        black_box(hosts.stacks[0].stream(hosts.now, client).read(&mut buffer)).expect("an answer");
        hosts.settle();
    };
    hosts.settle();
    for _ in 0..10 {
        exchange(&mut hosts);
    }
    measured(|| (0..100).for_each(|_| exchange(&mut hosts)));
}

fn bulk(offload: bool) {
    let mut hosts = if offload { Hosts::with_offload() } else { Hosts::new() };
    let pair = hosts.connect();
    let (data, mut buffer) = (vec![1; 1 << 20], vec![0; 65_536]);
    hosts.exchange(pair, &data, &[2], &mut buffer);
    measured(|| hosts.exchange(pair, &data, &[2], &mut buffer));
}

fn connect() {
    let mut hosts = Hosts::new();
    hosts.connect();
    measured(|| {
        for _ in 0..1000 {
            let (client, server) = hosts.connect();
            hosts.stacks[0].release(hosts.now, client);
            hosts.settle();
            hosts.stacks[1].release(hosts.now, server);
            hosts.settle();
            hosts.drain();
        }
    });
}

fn lab() {
    let experiment = EXPERIMENTS.iter().find(|experiment| experiment.name == "nagle").expect("it is there");
    let setup = Setup { seed: 1, ..Setup::default() };
    measured(|| drop(black_box(experiment.run(&setup))));
}

fn simulate() {
    transfer(Tracer::default());
}

/// The same, of which the sender keeps a capture.
fn trace() {
    let options = TraceOptions::default();
    let sink = to_writer(io::sink(), Format::Pcapng, &options);
    transfer(Tracer::new(vec![sink]));
}

fn transfer(tracer: Tracer) {
    let mut world = World::new(1, "rtt=2ms".parse().expect("a link"));
    let config = host_config([10, 0, 0, 1].into(), tcp::Config::linux());
    let (client, server) = (world.add_host("10.0.0.1", config, tracer), world.add([10, 0, 0, 2]));
    let (to, from) = world.pair(client, server, ([10, 0, 0, 2], 7)).expect("a connection");
    let (data, mut buffer) = (vec![1; 64 << 10], vec![0; 64 << 10]);
    let mut transfer = |least: u64| {
        let until = world.packets() + least;
        while world.packets() < until {
            world.write_all(to, &data).expect("it is open");
            world.read_exact(from, &mut buffer).expect("all of it");
        }
    };
    transfer(1000);
    measured(|| transfer(1000));
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [word, number] = &args[..]
        && word == "work"
    {
        // In a process of its own, under valgrind.
        let number = number.parse::<usize>().unwrap_or(usize::MAX);
        WORKLOADS.get(number).expect("a workload").1();
        return ExitCode::SUCCESS;
    }
    match check(args.iter().any(|arg| arg == "--bless")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("instructions: {e}");
            ExitCode::FAILURE
        }
    }
}

fn record() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/recorded.txt"))
}

/// Counts all workloads. True if none takes more than it should.
fn check(bless: bool) -> io::Result<bool> {
    let old = std::fs::read_to_string(record()).unwrap_or_default();
    let before = |name: &str| {
        let line = old.lines().find_map(|line| line.strip_suffix(name)?.trim().parse::<u64>().ok());
        line.filter(|&n| n > 0)
    };
    let (mut text, mut good) = (String::new(), true);
    for (number, (name, _)) in WORKLOADS.iter().enumerate() {
        let count = count(number)?;
        let _ = writeln!(text, "{count:>12} {name}");
        let change = before(&format!(" {name}")).map(|before| (count as f64 / before as f64 - 1.0) * 100.0);
        let verdict = match change {
            None => {
                good = false;
                "not recorded yet".to_owned()
            }
            Some(change) if change > TOLERANCE => {
                good = false;
                format!("{change:+.1} %: more than {TOLERANCE} % above the record")
            }
            Some(change) => format!("{change:+.1} %"),
        };
        println!("{count:>12} {name}: {verdict}");
    }
    if bless {
        std::fs::write(record(), text)?;
    }
    Ok(good || bless)
}

fn count(number: usize) -> io::Result<u64> {
    let out = std::env::temp_dir().join(format!("instructions-{}-{number}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*::measured*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["work", &number.to_string()])
        .output()
        .map_err(|e| io::Error::new(e.kind(), format!("valgrind: {e}; install it: apt install valgrind")))?;
    let profile = std::fs::read_to_string(&out).unwrap_or_default();
    let _ = std::fs::remove_file(&out);
    match counted(&profile) {
        count if output.status.success() && count > 0 => Ok(count),
        _ => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(format!("valgrind counted nothing: {text}")))
        }
    }
}

/// The instructions of a callgrind profile, without those of [`BYTES`].
fn counted(profile: &str) -> u64 {
    let (mut names, mut sum) = (HashMap::new(), 0);
    let (mut counts, mut called) = (true, false);
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            // A name stands beside its number once; after that there is the number alone.
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            if line.starts_with("fn=") {
                let name = names.get(number).copied().unwrap_or_default();
                counts = !BYTES.iter().any(|bytes| name.starts_with(bytes));
            }
        } else if line.starts_with("calls=") {
            called = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            // The line after a call is what the callee took, which stands with the callee, too.
            let own = !std::mem::take(&mut called) && counts;
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or(0);
            sum += if own { cost } else { 0 };
        }
    }
    sum
}

//! How does the stack fare beside what one would take instead? `make bench`: every subject does the same work, in networks
//! of its own, in alternating runs; medians and ratios go to a table, a JSON file and a drawing.
//!
//! The program calls itself: for each run a process is made (`cell`) that enters a network of its own and is the server,
//! and one that is the kernel's client there (`peer`).
// A benchmark lives in real time.
#![allow(clippy::disallowed_methods)]

mod ceiling;
mod cell;
mod cpu;
mod kernel;
mod others;
mod ours;
mod peer;
mod report;
mod simulated;
mod stock;

use std::path::PathBuf;
use std::process::ExitCode;

/// What is done: who sends and how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// The kernel sends as much as it can on so many connections.
    In(usize),
    /// The subject does.
    Out(usize),
    /// As `In(1)`, beside so many connections on which nothing happens.
    Beside(usize),
    /// A request of wrk and an answer of 200 bytes, on so many kept connections.
    Kept(usize),
    /// The same, and a connection for each.
    Fresh(usize),
}

impl Work {
    fn parse(text: &str) -> Option<Work> {
        let (kind, n) = text.split_once('-')?;
        let n = n.parse().ok()?;
        Some(match kind {
            "in" => Work::In(n),
            "out" => Work::Out(n),
            "beside" => Work::Beside(n),
            "kept" => Work::Kept(n),
            "fresh" => Work::Fresh(n),
            _ => return None,
        })
    }

    /// The word for it on the command line and in the result.
    pub fn word(&self) -> String {
        match self {
            Work::In(n) => format!("in-{n}"),
            Work::Out(n) => format!("out-{n}"),
            Work::Beside(n) => format!("beside-{n}"),
            Work::Kept(n) => format!("kept-{n}"),
            Work::Fresh(n) => format!("fresh-{n}"),
        }
    }

    /// Whether it is counted in bytes, else in requests.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Work::In(_) | Work::Out(_) | Work::Beside(_))
    }
}

/// Connections beside which one is busy.
const IDLE: usize = 10_000;

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// This stack.
    Ours,
    /// This stack without a limit of what may be unsent.
    Defaults,
    /// This stack through the handles of `net`, as a program with threads has it.
    Handles,
    /// This stack, recording everything.
    Traced,
    /// This stack, recording 96 bytes of each packet.
    Snapped,
    /// The same system calls, handshake and numbers without the logic of TCP.
    Ceiling,
    /// smoltcp's own socket on the same device.
    Stock,
    /// Linux' TCP, or nginx on it, over a veth pair.
    Linux,
    /// gVisor's network stack on the same device, without offload: it has none for TUN.
    Gvisor,
    /// The crate ipstack, likewise.
    Ipstack,
}

const SUBJECTS: [(Subject, &str); 10] = [
    (Subject::Ours, "ours"),
    (Subject::Defaults, "defaults"),
    (Subject::Handles, "handles"),
    (Subject::Traced, "traced"),
    (Subject::Snapped, "snapped"),
    (Subject::Ceiling, "ceiling"),
    (Subject::Stock, "smoltcp"),
    (Subject::Linux, "linux"),
    (Subject::Gvisor, "gvisor"),
    (Subject::Ipstack, "ipstack"),
];

impl Subject {
    fn parse(text: &str) -> Option<Subject> {
        SUBJECTS.iter().find(|(_, word)| *word == text).map(|(subject, _)| *subject)
    }

    /// The word for it on the command line and in the result.
    pub fn word(&self) -> &'static str {
        SUBJECTS.iter().find(|(subject, _)| subject == self).map_or("", |(_, word)| word)
    }

    /// Whether it is this stack, in whatever way it is used.
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            Subject::Ours | Subject::Defaults | Subject::Handles | Subject::Traced | Subject::Snapped
        )
    }

    /// Whether it is there to be measured, and if not, why.
    fn missing(&self, work: Work) -> Option<&'static str> {
        match self {
            Subject::Stock | Subject::Handles if !work.is_bulk() => Some("serves no HTTP"),
            _ if !work.is_bulk() && !cell::is_installed("wrk") => Some("needs wrk"),
            Subject::Linux if !work.is_bulk() && !cell::is_installed("nginx") => Some("needs nginx"),
            Subject::Linux if !cell::is_installed("ip") => Some("needs ip"),
            _ => others::missing(*self),
        }
    }
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Who.
    pub subject: Subject,
    /// What.
    pub work: Work,
    /// Whether the device offloads.
    pub offload: bool,
    /// How long, once all is warm.
    pub seconds: f64,
    /// Microseconds of looking before sleeping.
    pub busy_poll: u64,
}

/// What came out of it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Outcome {
    /// Bytes, or requests, a second.
    pub rate: f64,
    /// Seconds of the server's CPU per GB, or microseconds per request.
    pub cpu: f64,
    /// Median, 99th and 99.9th percentile of a request's latency, microseconds.
    pub latency: [f64; 3],
    /// Jain's index of fairness: 1 if all connections had the same.
    pub jain: f64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["cell", run @ ..] => parse_run(run).map(cell::main),
        ["peer", rest @ ..] => Some(peer::main(rest)),
        _ => parse_plan(&words).map(|plan| plan.known().and_then(|()| report::main(&plan))),
    };
    match done {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(e)) => {
            eprintln!("versus: {e}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!(
                "usage: versus [--rounds N] [--seconds S] [--out DIR] [--set KNOB=VALUE]... [--only WORD]... (subjects and \
                 works: ours defaults ceiling smoltcp linux gvisor ipstack handles traced snapped; in-N out-N beside-N kept-N fresh-N; plain; simulator)"
            );
            ExitCode::from(2)
        }
    }
}

fn parse_run(words: &[&str]) -> Option<Run> {
    let [subject, work, offload, seconds, busy_poll] = words else { return None };
    Some(Run {
        subject: Subject::parse(subject)?,
        work: Work::parse(work)?,
        offload: *offload == "offload",
        seconds: seconds.parse().ok()?,
        busy_poll: busy_poll.parse().ok()?,
    })
}

/// What the whole program does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often everything is run.
    pub rounds: usize,
    /// How long each run takes once all is warm.
    pub seconds: f64,
    /// Where the results go.
    pub out: Option<PathBuf>,
    /// Works, or subjects, to leave the others out; empty takes all.
    pub only: Vec<String>,
    /// Settings of this stack, `knob=value`.
    pub set: Vec<String>,
}

fn parse_plan(words: &[&str]) -> Option<Plan> {
    let mut plan = Plan { rounds: 5, seconds: 2.0, out: None, only: Vec::new(), set: Vec::new() };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let value = *words.next()?;
        match word {
            "--rounds" => plan.rounds = value.parse().ok().filter(|&n| n > 0)?,
            "--seconds" => plan.seconds = value.parse().ok().filter(|&s| s > 0.0)?,
            "--out" => plan.out = Some(value.into()),
            "--only" => plan.only.push(value.to_owned()),
            "--set" => plan.set.push(value.to_owned()),
            _ => return None,
        }
    }
    Some(plan)
}

impl Plan {
    /// Whether every word means something.
    fn known(&self) -> std::io::Result<()> {
        let known = |word: &&String| {
            Subject::parse(word).is_some()
                || Work::parse(word).is_some()
                || ["plain", "simulator"].contains(&word.as_str())
        };
        match self.only.iter().find(|word| !known(word)) {
            Some(word) => Err(std::io::Error::other(format!("--only {word}: neither a subject nor a work"))),
            None => Ok(()),
        }
    }

    fn wants(&self, run: &Run) -> bool {
        let subjects: Vec<String> = SUBJECTS.iter().map(|(_, word)| (*word).to_owned()).collect();
        let is_subject = |word: &&String| subjects.contains(word);
        let chosen: Vec<&String> = self.only.iter().filter(is_subject).collect();
        let works: Vec<&String> = self.only.iter().filter(|w| !is_subject(w) && *w != "plain").collect();
        (chosen.is_empty() || chosen.iter().any(|w| *w == run.subject.word()))
            && (works.is_empty() || works.iter().any(|w| **w == run.work.word()))
            && (!self.only.iter().any(|w| w == "plain") || !run.offload)
    }

    /// Whether the simulator is measured, too.
    pub fn wants_simulator(&self) -> bool {
        self.only.is_empty() || self.only.iter().any(|w| w == "simulator")
    }

    /// Every run of one round, those that are compared next to each other, and what is left out with the reason.
    pub fn runs(&self) -> (Vec<Run>, Vec<(Run, &'static str)>) {
        let bulk = [Work::In(1), Work::In(8), Work::In(64), Work::Out(1), Work::Out(8), Work::Out(64)];
        let http = [
            Work::Kept(1),
            Work::Kept(16),
            Work::Kept(64),
            Work::Kept(256),
            Work::Fresh(16),
            Work::Fresh(64),
        ];
        let (mut runs, mut left) = (Vec::new(), Vec::new());
        let mut add = |subject: Subject, work, offload, busy_poll| {
            let run = Run { subject, work, offload, seconds: self.seconds, busy_poll };
            if self.wants(&run) {
                match subject.missing(work) {
                    None => runs.push(run),
                    Some(why) => left.push((run, why)),
                }
            }
        };
        for work in bulk {
            for subject in [Subject::Ours, Subject::Ceiling, Subject::Stock, Subject::Linux] {
                add(subject, work, true, 0);
            }
            if matches!(work, Work::Out(_)) {
                add(Subject::Defaults, work, true, 0);
            }
        }
        for work in [Work::In(1), Work::Out(1)] {
            for subject in [Subject::Handles, Subject::Traced, Subject::Snapped] {
                add(subject, work, true, 0);
            }
            for subject in
                [Subject::Ours, Subject::Ceiling, Subject::Stock, Subject::Gvisor, Subject::Ipstack]
            {
                add(subject, work, false, 0);
            }
        }
        for subject in [Subject::Ours, Subject::Ceiling] {
            add(subject, Work::Beside(IDLE), true, 0);
        }
        for work in http {
            for subject in [Subject::Ours, Subject::Ceiling, Subject::Linux] {
                add(subject, work, true, 0);
            }
        }
        for work in [Work::Kept(64), Work::Fresh(64)] {
            for subject in [Subject::Gvisor, Subject::Ipstack] {
                add(subject, work, false, 0);
            }
        }
        for subject in [Subject::Ours, Subject::Ceiling] {
            add(subject, Work::Kept(1), true, 200);
        }
        for subject in [Subject::Traced, Subject::Snapped] {
            add(subject, Work::Kept(64), true, 0);
        }
        (runs, left)
    }
}

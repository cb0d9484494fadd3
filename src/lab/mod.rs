//! Is it true? Experiments in virtual time: what the textbooks say of HTTP over TCP, and runs that could refute it.
//!
//! An [`Experiment`] has claims and a plan: arms (settings of knobs), what is measured in each, and what has to come out
//! if the reasoning in the plan is right. Its expectations are computed from first principles, so a run can contradict
//! them; from the measurements follows what is left of each claim.

mod addrs;
mod arm;
mod brief;
mod case;
mod fairness;
mod figure;
mod findings;
mod kernel;
mod notebook;
mod plain_http;
mod quantity;
mod tally;
#[cfg(test)]
mod tests;

mod bufferbloat;
mod buffers;
mod closing;
mod delayed_ack;
mod dumb_proxy;
mod duplicates;
mod framing;
mod handshake;
mod loss;
mod nagle;
mod nagle_delayed_ack;
mod parallel;
mod persistent;
mod pipelining;
mod random_loss;
mod reordering;
mod slow_start;
mod time_wait;
mod transaction;
mod web;

pub use brief::PACKETS;
pub use figure::{Figure, Kind};
pub use findings::{Capture, Conclusion, Findings, Row, Verdict};
pub use quantity::{Cell, Expected, Quantity, TOLERANCE};

use crate::settings::Settings;
use crate::sim::SimError;
use crate::stream::StreamError;
use notebook::Notebook;
use std::fmt;
use std::path::PathBuf;

/// What somebody said that can be tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// A short name, unique in its experiment.
    pub name: &'static str,
    /// What is said.
    pub says: &'static str,
    /// Who says it, in words.
    pub source: &'static str,
}

/// Something that an experiment varies, with the values that it takes if no others are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Axis {
    /// What it is called: `rtt`, `size`.
    pub name: &'static str,
    /// The values, separated by commas, as [`crate::knob`] writes them.
    pub values: &'static str,
}

/// Questions with answers that can be wrong.
pub struct Experiment {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is asked.
    pub question: &'static str,
    /// What is tried.
    pub claims: &'static [Claim],
    /// What can be swept.
    pub axes: &'static [Axis],
    /// The same with a kernel as the peer, in real time; empty if it needs virtual time.
    pub tun: &'static [Axis],
    /// The knobs that it turns itself from arm to arm, in lists that plans share.
    turns: &'static [&'static [&'static str]],
    /// The knobs that it holds at one value, since its plan knows no other, beside those that all experiments hold.
    holds: &'static [(&'static str, &'static str)],
    plot: Plot,
    run: fn(&mut Notebook) -> Result<(), LabError>,
}

/// What an experiment draws of its table: one measure over one of the things that were varied (or, without it, a bar for
/// each row).
struct Plot {
    x: &'static str,
    y: &'static str,
    log: (bool, bool),
    /// Of the values of `x`, where they are written without one.
    unit: &'static str,
    /// Only rows in which this was so.
    only: Option<(&'static str, &'static str)>,
}

impl Plot {
    const fn bars(y: &'static str) -> Plot {
        Plot { x: "", y, log: (false, false), unit: "", only: None }
    }

    const fn over(x: &'static str, y: &'static str, log: (bool, bool)) -> Plot {
        Plot { x, y, log, unit: "", only: None }
    }

    const fn of(self, unit: &'static str) -> Plot {
        Plot { unit, ..self }
    }

    const fn only(self, name: &'static str, value: &'static str) -> Plot {
        Plot { only: Some((name, value)), ..self }
    }
}

/// All experiments, in the order in which they are listed.
pub static EXPERIMENTS: &[Experiment] = &[
    handshake::EXPERIMENT,
    transaction::EXPERIMENT,
    delayed_ack::EXPERIMENT,
    slow_start::EXPERIMENT,
    nagle::EXPERIMENT,
    nagle_delayed_ack::EXPERIMENT,
    time_wait::EXPERIMENT,
    parallel::EXPERIMENT,
    fairness::EXPERIMENT,
    persistent::EXPERIMENT,
    pipelining::EXPERIMENT,
    framing::EXPERIMENT,
    dumb_proxy::EXPERIMENT,
    closing::EXPERIMENT,
    loss::EXPERIMENT,
    random_loss::EXPERIMENT,
    reordering::EXPERIMENT,
    duplicates::EXPERIMENT,
    buffers::EXPERIMENT,
    bufferbloat::EXPERIMENT,
];

/// How an experiment is run.
#[derive(Clone, Default, Debug)]
pub struct Setup {
    /// Knobs that the experiment does not turn itself.
    pub settings: Settings,
    /// All chance follows from it.
    pub seed: u64,
    /// Other values for an axis, or values for a knob: `("rtt", ["1ms", "10ms"])`.
    pub sweep: Vec<(String, Vec<String>)>,
    /// Whether Linux' own TCP is to be at one end, in a private network and in real time. The thread that runs the
    /// experiment is moved there: the process must be root, or have this one thread.
    pub tun: bool,
    /// Whether the hosts speak IPv6.
    pub ipv6: bool,
    /// A directory in which each experiment makes one of its name, with captures of each arm as its hosts saw it.
    pub captures: Option<PathBuf>,
    /// Whether captures hold all packets as a whole, and not the first [`PACKETS`] and the beginning of each.
    pub keep_all: bool,
}

/// What all plans stand on, since none of them knows what else would come out.
const HELD: &[(&str, &str)] = &[
    // Buffers have their limits from the beginning: how they grow is nothing that is asked here.
    ("tcp.recv_buffer_initial", "1GiB"),
    ("tcp.send_buffer_initial", "1GiB"),
    // They are no limit unless a plan makes them one.
    ("tcp.recv_buffer", "6MiB"),
    ("tcp.send_buffer", "4MiB"),
    ("tcp.memory", "off"),
    ("tcp.window_scale", "auto"),
    ("tcp.window_clamp", "off"),
    // Where it matters, tcp.nagle is what is turned; elsewhere a short last segment waits for nothing.
    ("tcp.nagle", "off"),
    ("http.nodelay", "off"),
    ("http.max_connections", "65536"),
    ("http.max_head", "16KiB"),
    ("http.max_fields", "1000"),
    ("http.max_body", "1GiB"),
    ("http.min_rate", "100"),
    ("tcp.backlog", "4096"),
    ("tcp.time_wait_limit", "262144"),
    // A connection is kept until the plan ends it, and ends like any other.
    ("http.idle_connections", "100"),
    ("http.idle_timeout", "90s"),
    ("http.farewell", "close"),
    ("http.linger", "5s"),
    // The link does what the plan says, but for `link.drop_nth`: by that anybody can see how a plan fails.
    ("link.bandwidth", "unlimited"),
    ("link.queue", "1000"),
    ("link.loss", "0%"),
    ("link.reorder", "0%"),
    ("link.duplicate", "0%"),
    ("link.corrupt", "0%"),
    ("link.ecn_threshold", "0"),
    ("link.ecn_mark", "0%"),
    ("link.mtu", "0"),
    // Nothing but the windows, Nagle's algorithm and the link makes data wait.
    ("tcp.notsent_lowat", "off"),
    ("tcp.defer_accept", "0"),
    ("tcp.cork", "off"),
    ("tcp.pacing", "off"),
    ("tcp.max_pacing_rate", "off"),
    ("tcp.mtu_probing", "off"),
    // Options that are agreed on stay so.
    ("tcp.syn_cookies", "full"),
    // Nobody gives up before the plan says so.
    ("tcp.rto_initial", "1s"),
    ("tcp.retries", "15"),
    ("tcp.user_timeout", "off"),
    ("tcp.linger", "off"),
    ("http.body_timeout", "60s"),
];

/// How often a machine may be too late to tell before that is all that is said.
const ATTEMPTS: u32 = 3;

/// The most rounds that sweeping knobs may lead to.
const ROUNDS_MAX: usize = 1000;

impl Experiment {
    /// The knobs that it sets itself, whatever the settings say.
    pub fn turned(&self) -> impl Iterator<Item = &'static str> {
        let turned = || self.turns.iter().copied().flatten().copied();
        let held = HELD.iter().chain(self.holds).map(|held| held.0);
        turned().chain(held.filter(move |name| turned().all(|known| known != *name)))
    }

    /// Whether it sets that knob.
    pub fn sets(&self, knob: &str) -> bool {
        self.turned().any(|name| name == knob)
    }

    /// Whether it can be swept over `name`: an axis of its own, or a knob that it does not turn itself.
    ///
    /// # Errors
    /// Why not.
    pub fn can_sweep(&self, name: &str) -> Result<(), LabError> {
        if self.axes.iter().any(|axis| axis.name == name) {
            return Ok(());
        }
        if self.sets(name) {
            return Err(LabError::usage(format!("{} turns {name} itself", self.name)));
        }
        crate::settings::find(name).map(|_| ()).map_err(|e| {
            let axes = self.axes.iter().map(|axis| axis.name).collect::<Vec<_>>().join(", ");
            LabError::usage(format!("{} varies {axes} and any knob that it does not turn: {e}", self.name))
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// The settings make it impossible, for instance because no packet arrives; a capture cannot be written.
    pub fn run(&self, setup: &Setup) -> Result<Findings, LabError> {
        if setup.tun && self.tun.is_empty() {
            return Err(LabError::usage(format!("{} needs virtual time, and no kernel has that", self.name)));
        }
        let mut rounds: Vec<Vec<(String, String)>> = vec![Vec::new()];
        for (name, values) in &setup.sweep {
            self.can_sweep(name)?;
            if self.axes.iter().any(|axis| axis.name == name) {
                continue;
            }
            let with = |round: &Vec<(String, String)>, value: &String| {
                let mut round = round.clone();
                round.push((name.clone(), value.clone()));
                round
            };
            rounds = rounds.iter().flat_map(|r| values.iter().map(move |v| with(r, v))).collect();
            if rounds.len() > ROUNDS_MAX {
                return Err(LabError::usage(format!(
                    "more than {ROUNDS_MAX} combinations of knobs: sweep fewer"
                )));
            }
        }
        let mut findings = Findings::default();
        for round in rounds {
            let mut attempts = 0;
            let found = loop {
                let mut notebook = Notebook::new(self, setup, round.clone())?;
                (self.run)(&mut notebook)?;
                let found = notebook.into_findings();
                attempts += 1;
                // A machine that had no time may have some now.
                if found.untold() == 0 || attempts == ATTEMPTS {
                    break found;
                }
            };
            findings.merge(found);
        }
        findings.figure = findings.figure.take().or_else(|| Figure::of(&self.plot, &findings.rows));
        Ok(findings)
    }
}

/// Why an experiment could not be finished.
#[derive(Debug)]
pub struct LabError {
    text: String,
    asked_wrongly: bool,
}

impl LabError {
    fn new(text: impl Into<String>) -> LabError {
        LabError { text: text.into(), asked_wrongly: false }
    }

    /// What was asked for makes no sense.
    fn usage(text: impl Into<String>) -> LabError {
        LabError { text: text.into(), asked_wrongly: true }
    }

    /// Whether another command line is the remedy: there is no such value, axis or arm.
    pub fn is_usage(&self) -> bool {
        self.asked_wrongly
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for LabError {}

macro_rules! from_error {
    ($($error:ty)*) => {$(
        impl From<$error> for LabError {
            fn from(error: $error) -> LabError {
                LabError::new(error.to_string())
            }
        }
    )*};
}
from_error!(SimError StreamError crate::settings::SettingError crate::knob::ValueError crate::stack::StackError std::io::Error);

//! Is it true? Experiments in virtual time: a claim in numbers, and runs that could refute it.

mod bench;
mod handshake;
mod initial_window;
mod nagle_delayed_ack;
#[cfg(test)]
mod tests;

use crate::settings::Settings;
use crate::sim::SimError;
use crate::time::Duration;
use std::fmt;

/// A question with an answer that can be wrong.
pub struct Experiment {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is asked.
    pub question: &'static str,
    /// What is expected, as a rule that gives a number for each run.
    pub claim: &'static str,
    /// The knobs that it turns itself, whatever the settings say.
    pub turns: &'static [&'static str],
    run: fn(&Settings, u64) -> Result<Vec<Run>, LabError>,
}

/// All experiments, in the order in which they are listed.
pub static EXPERIMENTS: &[Experiment] =
    &[handshake::EXPERIMENT, initial_window::EXPERIMENT, nagle_delayed_ack::EXPERIMENT];

/// One run of an experiment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// What was varied, and how: the same names in every run of an experiment.
    pub varied: Vec<(&'static str, String)>,
    /// How long it has to take if the claim is true.
    pub expected: Duration,
    /// How long it took in virtual time.
    pub measured: Duration,
    /// What else is worth knowing: packets of a cause, for instance.
    pub counts: Vec<(&'static str, u64)>,
}

/// What an experiment found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Findings {
    /// Its runs.
    pub runs: Vec<Run>,
}

/// Virtual time is exact; what is allowed is rounding in the division of rates and shares.
pub const TOLERANCE: Duration = Duration::from_micros(1);

impl Run {
    /// How far measurement and claim are apart.
    pub fn deviation(&self) -> Duration {
        self.measured.abs_diff(self.expected)
    }

    /// Whether the claim holds here.
    pub fn holds(&self) -> bool {
        self.deviation() <= TOLERANCE
    }
}

impl Findings {
    /// Runs in which the claim holds.
    pub fn held(&self) -> usize {
        self.runs.iter().filter(|run| run.holds()).count()
    }

    /// Whether the claim holds in every run, and there was one.
    pub fn hold(&self) -> bool {
        !self.runs.is_empty() && self.held() == self.runs.len()
    }

    /// The largest deviation.
    pub fn worst(&self) -> Duration {
        self.runs.iter().map(Run::deviation).max().unwrap_or_default()
    }
}

/// Why an experiment could not be finished.
#[derive(Debug)]
pub struct LabError(String);

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LabError {}

impl From<SimError> for LabError {
    fn from(error: SimError) -> LabError {
        LabError(error.to_string())
    }
}

impl From<crate::settings::SettingError> for LabError {
    fn from(error: crate::settings::SettingError) -> LabError {
        LabError(error.to_string())
    }
}

impl Experiment {
    /// Runs it. Knobs that it does not turn itself are as in `settings`; all chance follows from `seed`.
    ///
    /// # Errors
    /// The settings make it impossible, for instance because no packet arrives.
    pub fn run(&self, settings: &Settings, seed: u64) -> Result<Findings, LabError> {
        Ok(Findings { runs: (self.run)(settings, seed)? })
    }
}

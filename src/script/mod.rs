//! Does the stack do, packet for packet, what a script says? Packet scripts in virtual time.
//!
//! The language is packetdrill's: packets that the script injects (`<`), packets that it expects (`>`), system calls
//! with their results, `sysctl` lines, and assertions about the connection. No device, no root and no waiting: time
//! moves from event to event. What of it there is stands in `tests/scripts/README.md`.
//!
//! A script becomes events (`lexer`, `parser`, `parse_call`, into `ast`) under conditions (`settings`, `commands`); `run`
//! moves time. Packets go through `packets`, which knows the numbers behind the script's (`flow`), writes what is
//! injected (`frames`, `icmp`) and takes what is sent (`port`) to `compare`. Calls go through `calls` and `polling` to
//! `sockets`, which is Linux' socket layer over the stack.

mod ast;
mod bind;
mod call_args;
mod calls;
mod code;
#[cfg(test)]
mod code_tests;
pub(crate) mod commands;

mod compare;
pub(crate) mod conditions;
mod cursor;
pub(crate) mod datagram;
pub(crate) mod errnos;
pub(crate) mod errqueue;
mod files;
mod flow;
mod frames;
mod icmp;
pub(crate) mod info;
mod kept;
pub(crate) mod kernel;
mod keys;
mod lexer;
mod messages;
mod option_names;
mod packets;
mod parse_call;
mod parser;
mod polling;
mod port;
mod python;
mod render;
mod run;
pub(crate) mod settings;
mod shell;
pub(crate) mod sockets;
pub(crate) mod sockopts;
mod symbols;
pub(crate) mod sysctl;
#[cfg(test)]
mod tests;

pub use settings::{IpVersion, Options};

use crate::trace::Sink;
use std::fmt;
use std::io;

/// What became of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The stack did what the script says.
    Passed,
    /// It did something else, or the script cannot be read.
    Failed(Failure),
    /// The script asks for something that is not there; nothing is passed over in silence.
    Unsupported(Unsupported),
}

/// Where a script and the stack disagree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The script.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The line itself, without blanks around it.
    pub text: String,
    /// What is wrong, in a few words.
    pub what: String,
    /// What the line asks for, with its time; empty if `what` says it all.
    pub expected: String,
    /// What was there instead, with its time; empty if `what` says it all.
    pub seen: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.file, self.line, self.what, self.text)?;
        if !self.expected.is_empty() {
            write!(f, "\n  expected  {}", self.expected)?;
        }
        if !self.seen.is_empty() {
            write!(f, "\n  seen      {}", self.seen)?;
        }
        Ok(())
    }
}

/// What a script asks for in vain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsupported {
    /// The script.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// Its name.
    pub what: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: unsupported: {}", self.file, self.line, self.what)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Passed => f.write_str("passed"),
            Outcome::Failed(failure) => failure.fmt(f),
            Outcome::Unsupported(unsupported) => unsupported.fmt(f),
        }
    }
}

/// Runs a script. `file_name` is only for messages.
pub fn run(source: &str, file_name: &str, options: &Options) -> Outcome {
    run_traced(source, file_name, options, Vec::new()).0
}

/// Runs a script and records every packet and event of the run. The second value is the first error of a sink.
pub fn run_traced(
    source: &str,
    file_name: &str,
    options: &Options,
    sinks: Vec<Box<dyn Sink>>,
) -> (Outcome, io::Result<()>) {
    let (result, finished) = run::run(source, options, sinks);
    (outcome(result, source, file_name), finished)
}

/// Whether a script can be read: `Passed` if so. Nothing is run.
pub fn check(source: &str, file_name: &str, options: &Options) -> Outcome {
    outcome(run::check(source, options), source, file_name)
}

fn outcome(result: Result<(), Trouble>, source: &str, file_name: &str) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(Trouble { line, kind: Kind::Unsupported(what) }) => {
            Outcome::Unsupported(Unsupported { file: file_name.to_string(), line, what })
        }
        Err(Trouble { line, kind: Kind::Failed { what, expected, seen } }) => {
            let text = source.lines().nth(line.saturating_sub(1) as usize).unwrap_or("").trim().to_string();
            Outcome::Failed(Failure { file: file_name.to_string(), line, text, what, expected, seen })
        }
    }
}

/// Why a script does not go on, while file and text of the line are not known yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trouble {
    line: u32,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Failed { what: String, expected: String, seen: String },
    Unsupported(String),
}

impl Trouble {
    fn failed(
        line: u32,
        what: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> Trouble {
        let (what, expected, seen) = (what.into(), expected.into(), seen.into());
        Trouble { line, kind: Kind::Failed { what, expected, seen } }
    }

    fn syntax(line: u32, what: impl Into<String>) -> Trouble {
        Trouble::failed(line, what, "", "")
    }

    /// What is wrong, in a few words.
    pub(crate) fn what(&self) -> &str {
        match &self.kind {
            Kind::Failed { what, .. } | Kind::Unsupported(what) => what,
        }
    }

    pub(crate) fn unsupported(line: u32, what: impl Into<String>) -> Trouble {
        Trouble { line, kind: Kind::Unsupported(what.into()) }
    }
}

//! How does a command line become an exit code?

mod args;
mod attached;
mod body;
mod child;
mod completions;
mod doctor;
mod drawn;
mod explain;
mod explained;
mod extcap;
mod failure;
mod fetch;
mod get;
mod knobs;
mod lab;
mod load;
mod options;
mod output;
mod outputs;
mod plan;
mod progress;
mod proxy;
mod rehearsal;
mod run;
mod script;
mod serve;
mod settled;
mod ss;
mod stage;
mod tally;
mod terminal;
mod top;
mod view;
mod visit;
mod what_if;
mod whole_file;

use args::{Cli, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

/// What a subcommand ends with.
type Outcome = Result<ExitCode, Failure>;

/// Parses the arguments, runs the subcommand, prints its error.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(extcap::arguments(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return failure::clap(&error),
    };
    let outcome = match cli.command {
        Command::Knobs(args) => knobs::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::completions(args),
        Command::Man(args) => completions::man(args),
        Command::Run(args) => run::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Script(args) => script::run(args),
        Command::Lab(args) => lab::run(args),
        Command::Explain(args) => explain::run(args),
        Command::WhatIf(args) => what_if::run(args),
        Command::Get(args) => get::run(args),
        Command::Load(args) => load::run(args),
        Command::Proxy(args) => proxy::run(args),
        Command::Ss(args) => ss::run(args),
        Command::Top(args) => top::run(args),
        Command::Extcap(args) => extcap::run(args),
    };
    outcome.unwrap_or_else(|failure| failure.report())
}

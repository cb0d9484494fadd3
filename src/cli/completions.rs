//! `tcpglass completions` and `tcpglass man`: what do shells and man need to know?

use super::args::{Cli, Completions, Man};
use super::{Outcome, options, output};
use anyhow::Context as _;
use clap::CommandFactory;
use std::process::ExitCode;

/// Prints a completion script.
pub fn completions(args: Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tcpglass", &mut script);
    output::result(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page, or writes one file for each subcommand.
pub fn man(args: Man) -> Outcome {
    if let Some(directory) = args.directory {
        let directory = options::directory("man", &directory)?;
        clap_mangen::generate_to(Cli::command(), &directory)
            .with_context(|| format!("cannot write to {}", directory.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Vec::new();
    (clap_mangen::Man::new(Cli::command()).render(&mut page)).context("cannot make the manual page")?;
    output::result(&String::from_utf8_lossy(&page))?;
    Ok(ExitCode::SUCCESS)
}

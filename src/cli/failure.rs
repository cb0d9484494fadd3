//! How is an error told, and which exit code does it have?

use super::output;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tcpglass::settings::SettingError;

/// Exit codes, the same for every subcommand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It could not be done.
    Failed = 1,
    /// The command line, a script or a config file is wrong; nothing was created.
    Usage = 2,
    /// The connection was refused.
    Refused = 3,
    /// The connection was reset.
    Reset = 4,
    /// Nobody answered in time.
    TimedOut = 5,
    /// A claim or an assertion did not hold.
    Claim = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error: one line that says what was tried, what went wrong and what to do, from the outermost context to the
/// cause. What has no exit code of its own is a plain [`anyhow::Error`] and fails with 1.
#[derive(Debug)]
pub struct Failure {
    exit: ExitCode,
    /// None: nothing to say (the pipe that we wrote to is closed).
    why: Option<anyhow::Error>,
}

impl Failure {
    /// With an exit code of its own.
    pub fn new(exit: impl Into<ExitCode>, why: impl fmt::Display) -> Failure {
        Failure { exit: exit.into(), why: Some(anyhow::Error::msg(why.to_string())) }
    }

    /// What was typed is wrong.
    pub fn usage(why: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, why)
    }

    /// What was typed is right, but could not be done.
    pub fn failed(why: impl fmt::Display) -> Failure {
        Failure::new(Exit::Failed, why)
    }

    /// Writing a result failed: whoever read it has seen enough if the pipe is closed.
    pub fn writing(to: &str, error: &std::io::Error) -> Failure {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure { exit: ExitCode::SUCCESS, why: None };
        }
        Failure::lost(to, error)
    }

    /// The same where what was asked for is not whole without the rest, as the body of a response.
    pub fn lost(to: &str, error: &std::io::Error) -> Failure {
        Failure::failed(format_args!("cannot write to {to}: {error}"))
    }

    /// Prints the line and gives the exit code.
    pub fn report(self) -> ExitCode {
        if let Some(why) = self.why {
            say(&one_line(&format!("{why:#}")));
        }
        self.exit
    }
}

/// What [`report`](Failure::report) would say.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) => write!(f, "{why:#}"),
            None => f.write_str("nobody reads it any more"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure { exit: Exit::Failed.into(), why: Some(error) }
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Failure {
        Failure::usage(error)
    }
}

/// A line on stderr with the program's name. Nobody reads it if that fails.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "tcpglass: {line}");
}

/// Whatever a file name or a foreign message holds, an error is one line without control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Help and version go to stdout as clap writes them; a wrong command line becomes one line.
pub fn clap(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render();
            let colored = std::io::stdout().is_terminal() && !output::colors_are_refused();
            let text = if colored { text.ansi().to_string() } else { text.to_string() };
            return output::result(&text).map_or_else(Failure::report, |()| ExitCode::SUCCESS);
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let _ = error.print();
            return Exit::Usage.into();
        }
        _ => {}
    }
    let text = error.to_string();
    let parts: Vec<&str> = (text.lines().map(str::trim))
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    let line = parts.join("; ").replace(":; ", ": ").replace("; [", " [");
    Failure::usage(format_args!("{line} (see tcpglass --help)")).report()
}

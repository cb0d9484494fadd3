//! Where does output go? Results to stdout, everything else to stderr, colours only where they are wanted.

use super::args::{Color, OutputArgs};
use super::failure::Failure;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use tcpglass::report::Style;
pub use tcpglass::trace::{ledger, ledger_from};

/// Standard output as a file: the one of `std` takes one that is closed, or open for reading, for one that is written to.
///
/// # Errors
/// It was closed when the program was started.
pub fn stdout() -> io::Result<File> {
    if tcpglass::tun::started_without_stdout() {
        return Err(rustix::io::Errno::BADF.into());
    }
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// Results. A closed pipe ends the program quietly: its reader has seen enough.
pub fn result(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// The same for what is no text.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    stdout().and_then(|mut out| out.write_all(bytes)).map_err(|e| Failure::writing("standard output", &e))
}

/// A JSON object on one line of stdout.
pub fn json(value: &serde_json::Value) -> Result<(), Failure> {
    result(&format!("{value}\n"))
}

/// What is said beside the results. Nobody listens if it fails.
pub fn note(args: &OutputArgs, text: &str) {
    if !args.quiet {
        aside(text);
    }
}

/// What was asked for, but must not be mixed with the output of a command.
pub fn aside(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The style for text on stdout.
pub fn stdout_style(args: &OutputArgs) -> Style {
    style(args.color, std::io::stdout().is_terminal())
}

/// The style for text on stderr.
pub fn stderr_style(args: &OutputArgs) -> Style {
    style(args.color, std::io::stderr().is_terminal())
}

/// The style for what is known to be a terminal.
pub fn terminal_style(color: Color) -> Style {
    style(color, true)
}

fn style(color: Color, terminal: bool) -> Style {
    Style {
        color: match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !colors_are_refused(),
        },
    }
}

/// <https://no-color.org>: set and not empty.
pub fn colors_are_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
}

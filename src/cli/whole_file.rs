//! Where does a file go that is made as a whole? To a place that holds nothing, or something of the same kind.

use super::failure::Failure;
use super::{options, output};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use tcpglass::report::{CSV_START, PAGE_START, XPLOT_START};

/// A kind of file: the option that names it, what it is called, and how each begins.
#[derive(Clone, Copy)]
pub struct Kind(&'static str, &'static str, &'static [u8]);

/// A page for a browser.
pub const PAGE: Kind = Kind("--html", "page", PAGE_START.as_bytes());
/// Lines of comma-separated values.
pub const CSV: Kind = Kind("--csv", "table", CSV_START.as_bytes());
/// A graph for xplot.
pub const XPLOT: Kind = Kind("--xplot", "graph", XPLOT_START.as_bytes());
/// A capture, as pcapng.
pub const CAPTURE: Kind = Kind("--trace", "capture", &[0x0a, 0x0d, 0x0d, 0x0a]);

/// Whether a file of this kind could be written to `path`, which is left as it is.
///
/// # Errors
/// It cannot be written, or there is something else.
pub fn writable(Kind(option, _, start): Kind, path: &Path) -> Result<(), Failure> {
    if options::is_stdout(path) {
        return Ok(());
    }
    options::writable(option, path)?;
    if !path.metadata().is_ok_and(|m| m.is_file() && m.len() > 0) {
        return Ok(());
    }
    let mut found = Vec::new();
    let read = File::open(path).and_then(|f| f.take(start.len() as u64).read_to_end(&mut found));
    // What can be written but not read is for the writing to tell.
    if read.is_ok() && found != start {
        return Err(Failure::usage(format_args!(
            "{option} {}: there is a file of another kind; remove it or choose another name",
            path.display()
        )));
    }
    Ok(())
}

/// Refuses to write a result over what it is made from.
///
/// # Errors
/// The path leads to the input, by whatever name.
pub fn is_not(Kind(option, ..): Kind, path: &Path, input: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| path.metadata().ok().filter(|m| m.is_file()).map(|m| (m.dev(), m.ino()));
    match place(path) {
        Some(there) if !options::is_stdout(path) && place(input) == Some(there) => Err(Failure::usage(
            format_args!("{option} {}: that is the capture itself; choose another name", path.display()),
        )),
        _ => Ok(()),
    }
}

/// Writes the file.
///
/// # Errors
/// Those of [`writable`], and what goes wrong in writing.
pub fn write(kind: Kind, path: &Path, content: &[u8]) -> Result<(), Failure> {
    create(kind, path)?.write_all(content).map_err(|e| unwritten(kind, path, &e))
}

/// Begins the file, to be written bit by bit.
///
/// # Errors
/// Those of [`writable`], and that it cannot be made.
pub fn create(kind: Kind, path: &Path) -> Result<File, Failure> {
    writable(kind, path)?;
    let file = if options::is_stdout(path) { output::stdout() } else { File::create(path) };
    file.map_err(|e| unwritten(kind, path, &e))
}

/// Writing it went wrong.
pub fn unwritten(kind: Kind, path: &Path, error: &std::io::Error) -> Failure {
    match options::is_stdout(path) {
        true => Failure::writing("standard output", error),
        false => Failure::writing(&format!("the {} {}", kind.1, path.display()), error),
    }
}

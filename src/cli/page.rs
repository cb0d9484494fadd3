//! Where does a page go? To a file that holds nothing else than a page of ours, or to standard output.

use super::failure::Failure;
use super::{options, output};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use tcpglass::report::PAGE_START;

/// Whether a page could be written to `path`, which is left as it is.
///
/// # Errors
/// It cannot be written, or there is something else than a page.
pub fn writable(path: &Path) -> Result<(), Failure> {
    if options::is_stdout(path) {
        return Ok(());
    }
    options::writable("--html", path)?;
    if !path.metadata().is_ok_and(|m| m.is_file() && m.len() > 0) {
        return Ok(());
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|f| f.take(PAGE_START.len() as u64).read_to_end(&mut start));
    // What can be written but not read is for the writing to tell.
    if read.is_ok() && start != PAGE_START.as_bytes() {
        return Err(Failure::usage(format_args!(
            "--html {}: there is a file of another kind; remove it or choose another name",
            path.display()
        )));
    }
    Ok(())
}

/// Writes the page.
///
/// # Errors
/// Those of [`writable`], and what goes wrong in writing.
pub fn write(path: &Path, page: &str) -> Result<(), Failure> {
    if options::is_stdout(path) {
        return output::result(page);
    }
    writable(path)?;
    let written = File::create(path).and_then(|mut file| file.write_all(page.as_bytes()));
    written.map_err(|e| Failure::writing(&format!("the page {}", path.display()), &e))
}

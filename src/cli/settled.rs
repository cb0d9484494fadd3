//! Where do connections of a capture go as they are settled? Into JSON and into a table, so that none of them is kept.

use super::failure::Failure;
use super::{explained, output, whole_file};
use std::cell::Cell;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use tcpglass::explain::{Connection, Summary};
use tcpglass::report;

/// Both, as far as they are asked for.
#[derive(Default)]
pub struct Settled<'a> {
    json: bool,
    csv: Option<&'a Path>,
    out: Option<BufWriter<File>>,
    table: Option<BufWriter<File>>,
    written: u64,
    /// Writing went wrong: nothing more is read.
    failed: Option<Failure>,
    stop: Option<&'a Cell<bool>>,
}

/// A reader that comes to its end when nobody wants more.
pub struct Until<'a, R>(pub R, pub &'a Cell<bool>);

impl<R: Read> Read for Until<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.1.get() { Ok(0) } else { self.0.read(buf) }
    }
}

impl<'a> Settled<'a> {
    /// JSON on standard output, a table in the file `csv`; `stop` is set when writing goes wrong.
    pub fn new(json: bool, csv: Option<&'a PathBuf>, stop: &'a Cell<bool>) -> Settled<'a> {
        Settled { json, csv: csv.map(PathBuf::as_path), stop: Some(stop), ..Settled::default() }
    }

    /// One more connection.
    pub fn add(&mut self, connection: &Connection) {
        if self.failed.is_none() {
            self.failed = self.write(connection).err();
            if let Some(stop) = self.stop {
                stop.set(self.failed.is_some());
            }
        }
    }

    fn write(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.begin()?;
        let comma = if self.written > 0 { "," } else { "" };
        self.written += 1;
        if let Some(out) = &mut self.out {
            write!(out, "{comma}{}", explained::connection(connection)).map_err(lost)?;
        }
        if let (Some(table), Some(path)) = (&mut self.table, self.csv) {
            let written = table.write_all(report::csv_lines(connection).as_bytes());
            written.map_err(|e| whole_file::unwritten(whole_file::CSV, path, &e))?;
        }
        Ok(())
    }

    /// Nothing is written before something is known.
    fn begin(&mut self) -> Result<(), Failure> {
        if self.json && self.out.is_none() {
            let mut out = BufWriter::new(output::stdout().map_err(lost)?);
            out.write_all(b"{\"connections\":[").map_err(lost)?;
            self.out = Some(out);
        }
        if let (Some(path), None) = (self.csv, &self.table) {
            let mut table = BufWriter::new(whole_file::create(whole_file::CSV, path)?);
            let written = table.write_all(report::csv_head().as_bytes());
            written.map_err(|e| whole_file::unwritten(whole_file::CSV, path, &e))?;
            self.table = Some(table);
        }
        Ok(())
    }

    /// All of them are written; what is said of the whole comes behind them.
    ///
    /// # Errors
    /// Writing went wrong, now or before.
    pub fn finish(mut self, summary: &Summary) -> Result<(), Failure> {
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        self.begin()?;
        if let Some(out) = &mut self.out {
            let whole = explained::whole(summary).to_string();
            let behind = whole.strip_prefix('{').unwrap_or(&whole);
            writeln!(out, "],{behind}").and_then(|()| out.flush()).map_err(lost)?;
        }
        if let (Some(table), Some(path)) = (&mut self.table, self.csv) {
            table.flush().map_err(|e| whole_file::unwritten(whole_file::CSV, path, &e))?;
        }
        Ok(())
    }
}

fn lost(error: std::io::Error) -> Failure {
    Failure::writing("standard output", &error)
}

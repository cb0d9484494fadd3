//! Where do the bytes go, and what if they cannot? And a sink that writes in its caller's thread.

use super::encoder::{Encoder, encode};
use super::record::{Record, Sink};
use std::io::{self, Write};

/// Bytes collected before they are written, unless nothing more is to come just now.
pub(super) const BATCH: usize = 256 << 10;
/// Where the bytes go, with what is known about it.
pub(super) struct Output {
    pub writer: Box<dyn Write + Send>,
    /// For messages: `trace file out.pcapng`.
    pub name: String,
    /// The first error; nothing is written after it.
    error: Option<io::Error>,
    /// The reader of a pipe went away: not an error, but nothing is written any more.
    closed: bool,
}

impl Output {
    pub(super) fn new(writer: Box<dyn Write + Send>, name: String) -> Output {
        Output { writer, name, error: None, closed: false }
    }

    /// Writes whole records and empties `bytes`.
    pub(super) fn write(&mut self, bytes: &mut Vec<u8>) {
        if self.error.is_none() && !self.closed && !bytes.is_empty() {
            let result = self.writer.write_all(bytes).and_then(|()| self.writer.flush());
            match result {
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
                Err(e) => self.error = Some(explained(&self.name, &e)),
                Ok(()) => {}
            }
        }
        bytes.clear();
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.error.map_or(Ok(()), Err)
    }
}

/// The error with what was tried and what to do.
fn explained(name: &str, e: &io::Error) -> io::Error {
    let remedy = match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room or write elsewhere, what was written so far can be opened"
        }
        io::ErrorKind::FileTooLarge => "; write elsewhere or keep less of each packet",
        _ => "; what was written so far can be opened",
    };
    io::Error::new(e.kind(), format!("cannot write {name}: {e}{remedy}"))
}

/// Writes in the caller's thread: for the simulator, where the same records give the same bytes.
pub(super) struct Direct {
    encoder: Box<dyn Encoder>,
    output: Output,
    scratch: Vec<u8>,
    bytes: Vec<u8>,
}

impl Direct {
    pub(super) fn new(mut encoder: Box<dyn Encoder>, mut output: Output) -> Direct {
        let mut bytes = Vec::new();
        encoder.begin(&mut bytes);
        output.write(&mut bytes);
        Direct { encoder, output, scratch: Vec::new(), bytes }
    }
}

impl Sink for Direct {
    fn record(&mut self, record: &Record<'_>) {
        encode(&mut *self.encoder, record, &mut self.scratch, &mut self.bytes);
        if self.bytes.len() >= BATCH {
            self.output.write(&mut self.bytes);
        }
    }

    fn wants_events(&self) -> bool {
        self.encoder.wants_events()
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.encoder.end(&mut self.bytes);
        self.output.write(&mut self.bytes);
        self.output.finish()
    }
}

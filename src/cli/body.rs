//! Where do response bodies go? To a thread of their own, so that a slow terminal does not stop the stack.

use super::failure::Failure;
use super::output;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::thread::JoinHandle;
use tcpglass::http::ResponseHead;
use tcpglass::service::BodySink;

/// Pieces that may wait for the writer; each is as large as one read. When they are used up the stack waits.
const WAITING: usize = 512;

/// The stack's end: sends what comes to the writer.
struct Pieces {
    pieces: Sender<Vec<u8>>,
    heads: bool,
}

impl BodySink for Pieces {
    fn on_head(&mut self, _plan: usize, _round: u32, head: &ResponseHead) {
        // An empty piece makes the file even if the body is empty.
        let _ = self.pieces.send(if self.heads { show(head) } else { Vec::new() });
    }

    fn on_data(&mut self, _plan: usize, _round: u32, data: &[u8]) {
        // The writer is gone when nobody wants more.
        let _ = self.pieces.send(data.to_vec());
    }
}

/// Takes bodies and throws them away.
pub struct Discard;

impl BodySink for Discard {
    fn on_data(&mut self, _plan: usize, _round: u32, _data: &[u8]) {}
}

/// A head as it came, or near enough: names and values are untouched.
fn show(head: &ResponseHead) -> Vec<u8> {
    let mut bytes = format!("{} {} {}\r\n", head.version, head.status.as_u16(), head.reason).into_bytes();
    for (name, value) in head.fields.iter() {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}

/// The writing thread.
pub struct Writer {
    thread: JoinHandle<io::Result<()>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    name: String,
}

impl Writer {
    /// Starts a writer to a file, or to standard output; the file is made with the first head.
    pub fn start(path: Option<PathBuf>, heads: bool) -> (Writer, Box<dyn BodySink>) {
        let (pieces, incoming) = bounded(WAITING);
        let (alive, ended) = bounded(0);
        let name = path.as_ref().map_or_else(|| "standard output".to_owned(), |p| p.display().to_string());
        let thread = std::thread::spawn(move || {
            let _alive: Sender<()> = alive;
            write(path, &incoming)
        });
        (Writer { thread, ended, name }, Box::new(Pieces { pieces, heads }))
    }

    /// Disconnected when nothing can be written any more.
    pub fn ended(&self) -> &Receiver<()> {
        &self.ended
    }

    /// Whether nothing can be written any more.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything is written.
    pub fn finish(self) -> Result<(), Failure> {
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::lost(&self.name, &error)),
            Err(_) => Err(Failure::failed(format_args!("writing to {} ended early", self.name))),
        }
    }
}

fn write(path: Option<PathBuf>, pieces: &Receiver<Vec<u8>>) -> io::Result<()> {
    let Ok(first) = pieces.recv() else { return Ok(()) };
    let mut out: Box<dyn Write> = match path {
        Some(path) => Box::new(BufWriter::new(File::create(path)?)),
        None => Box::new(output::stdout()?),
    };
    out.write_all(&first)?;
    for piece in pieces {
        out.write_all(&piece)?;
        if pieces.is_empty() {
            // Nothing more for now: whoever reads along sees all there is.
            out.flush()?;
        }
    }
    out.flush()
}

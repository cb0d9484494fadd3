//! Where do response bodies go? To a thread of their own, so that a slow terminal does not stop the stack.

use super::failure::Failure;
use super::output;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::thread::JoinHandle;
use tcpglass::http::ResponseHead;
use tcpglass::service::BodySink;

/// Pieces that may wait for the writer; each is as large as one read. When they are used up the stack waits.
const WAITING: usize = 512;

/// What comes of the body of one URL's response.
enum Piece {
    /// Bytes, or none: an empty body has a file, too.
    Bytes(Vec<u8>),
    End,
}

/// The stack's end: sends what comes to the writer.
struct Pieces {
    pieces: Sender<(usize, Piece)>,
    heads: bool,
    /// Which URLs' bodies are wanted.
    wanted: Vec<bool>,
    /// Whether those of statuses from 400 on are not; the bodies that this leaves out.
    fail: bool,
    left_out: HashSet<(usize, u32)>,
}

impl Pieces {
    fn send(&self, plan: usize, piece: Piece) {
        if self.wanted.get(plan).copied().unwrap_or(false) {
            // The writer is gone when nobody wants more.
            let _ = self.pieces.send((plan, piece));
        }
    }
}

impl BodySink for Pieces {
    fn on_head(&mut self, plan: usize, round: u32, head: &ResponseHead) {
        if self.fail && is_failure(head) {
            self.left_out.insert((plan, round));
            return;
        }
        self.send(plan, Piece::Bytes(if self.heads { show(head) } else { Vec::new() }));
    }

    fn on_data(&mut self, plan: usize, round: u32, data: &[u8]) {
        if !self.left_out.contains(&(plan, round)) {
            self.send(plan, Piece::Bytes(data.to_vec()));
        }
    }

    fn on_end(&mut self, plan: usize, round: u32) {
        if !self.left_out.remove(&(plan, round)) {
            self.send(plan, Piece::End);
        }
    }
}

/// Takes bodies and throws them away.
pub struct Discard;

impl BodySink for Discard {
    fn on_data(&mut self, _plan: usize, _round: u32, _data: &[u8]) {}
}

/// Whether the server says that it has not what was asked for (RFC 9110 §15.5, §15.6).
pub fn is_failure(head: &ResponseHead) -> bool {
    head.status.is_client_error() || head.status.is_server_error() || head.status.as_u16() >= 600
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

/// Where a URL's body goes.
#[derive(Clone, Debug)]
pub enum Place {
    /// Nowhere.
    Nowhere,
    /// Standard output.
    Stdout,
    /// A file, made with the first head.
    File(PathBuf),
}

/// The writing thread.
pub struct Writer {
    thread: JoinHandle<Result<(), Failure>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Writer {
    /// Starts a writer for the bodies of as many URLs as there are places, with their heads if these are wanted, and without
    /// those of failures if `fail` says so.
    pub fn start(places: Vec<Place>, heads: bool, fail: bool) -> (Writer, Box<dyn BodySink>) {
        let (pieces, incoming) = bounded(WAITING);
        let (alive, ended) = bounded(0);
        let wanted = places.iter().map(|place| !matches!(place, Place::Nowhere)).collect();
        let thread = std::thread::spawn(move || {
            let _alive: Sender<()> = alive;
            write(&places, &incoming)
        });
        (Writer { thread, ended }, Box::new(Pieces { pieces, heads, wanted, fail, left_out: HashSet::new() }))
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
        self.thread.join().unwrap_or_else(|_| Err(Failure::failed("writing bodies ended early")))
    }
}

/// Those whose bodies are on their way are open, the others are not: there may be more URLs than a process may have files.
fn write(places: &[Place], pieces: &Receiver<(usize, Piece)>) -> Result<(), Failure> {
    let mut open: HashMap<usize, BufWriter<File>> = HashMap::new();
    let mut begun = vec![false; places.len()];
    let mut stdout = None;
    for (plan, piece) in pieces {
        let written = match &places[plan] {
            Place::Nowhere => Ok(()),
            Place::Stdout => {
                let out = match &mut stdout {
                    Some(out) => out,
                    None => stdout.insert(output::stdout().map_err(|e| lost(&places[plan], &e))?),
                };
                put(out, &piece, pieces.is_empty())
            }
            Place::File(path) => {
                if let (Piece::Bytes(_), false) = (&piece, open.contains_key(&plan)) {
                    let again = std::mem::replace(&mut begun[plan], true);
                    let file =
                        if again { File::options().append(true).open(path) } else { File::create(path) };
                    open.insert(plan, BufWriter::new(file.map_err(|e| lost(&places[plan], &e))?));
                }
                let written = open.get_mut(&plan).map_or(Ok(()), |out| put(out, &piece, pieces.is_empty()));
                if let Piece::End = piece {
                    open.remove(&plan);
                }
                written
            }
        };
        written.map_err(|e| lost(&places[plan], &e))?;
    }
    Ok(())
}

fn put(out: &mut impl Write, piece: &Piece, last_for_now: bool) -> io::Result<()> {
    if let Piece::Bytes(bytes) = piece {
        out.write_all(bytes)?;
    }
    // Nothing more for now: whoever reads along sees all there is.
    if last_for_now || matches!(piece, Piece::End) { out.flush() } else { Ok(()) }
}

fn lost(place: &Place, error: &io::Error) -> Failure {
    let name = match place {
        Place::File(path) => path.display().to_string(),
        Place::Stdout | Place::Nowhere => "standard output".to_owned(),
    };
    Failure::lost(&name, error)
}

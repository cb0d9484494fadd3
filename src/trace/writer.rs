//! Who writes the bytes, and when? At once, or a thread of its own behind a bounded channel.

use super::encoder::{Encoder, Lost, Overflow, encode};
use super::record::{Record, Sink};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, Write};
use std::thread::JoinHandle;

/// Bytes collected before they are written, unless nothing more is to come just now.
const BATCH: usize = 256 << 10;
/// Packets and events that may wait for the thread; with an MTU of 1500 they take at most 8 MiB.
const WAITING: usize = 4096;
/// A buffer that grew beyond this is not kept for reuse.
const POOLED: usize = 16 << 10;

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
    fn write(&mut self, bytes: &mut Vec<u8>) {
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

    fn finish(self) -> io::Result<()> {
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

/// Encodes in the caller's thread into pooled buffers; a thread writes them.
pub(super) struct Threaded {
    encoder: Box<dyn Encoder>,
    overflow: Overflow,
    scratch: Vec<u8>,
    /// `None` once finished.
    thread: Option<Thread>,
    /// Lost since the encoder was last told.
    untold: Lost,
    lost: u64,
}

struct Thread {
    full: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    handle: JoinHandle<io::Result<()>>,
}

impl Threaded {
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(
        mut encoder: Box<dyn Encoder>,
        overflow: Overflow,
        output: Output,
    ) -> io::Result<Threaded> {
        let (full, full_receiver) = bounded::<Vec<u8>>(WAITING);
        let (empty_sender, empty) = bounded::<Vec<u8>>(WAITING);
        let handle = std::thread::Builder::new()
            .name("trace".into())
            .spawn(move || write_all(&full_receiver, &empty_sender, output))?;
        let mut bytes = Vec::new();
        encoder.begin(&mut bytes);
        let thread = Thread { full, empty, handle };
        // A thread that is gone says why when it is joined.
        let _ = thread.full.send(bytes);
        Ok(Threaded {
            encoder,
            overflow,
            scratch: Vec::new(),
            thread: Some(thread),
            untold: Lost::default(),
            lost: 0,
        })
    }

    /// Encodes one packet or event and sends it off, or counts `what` as lost.
    fn put(&mut self, what: Lost, encode: &dyn Fn(&mut dyn Encoder, &mut Vec<u8>)) {
        let Some(thread) = &self.thread else { return };
        // Only this side fills the channel: if there is room now, there is room after encoding.
        if self.overflow == Overflow::Drop && thread.full.is_full() {
            self.untold.add(what);
            self.lost += what.total();
            return;
        }
        let mut bytes = thread.empty.try_recv().unwrap_or_default();
        self.encoder.lost(std::mem::take(&mut self.untold));
        encode(&mut *self.encoder, &mut bytes);
        // A thread that is gone says why when it is joined.
        let _ = thread.full.send(bytes);
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(Thread { full, empty, handle }) = self.thread.take() else { return Ok(()) };
        self.encoder.lost(std::mem::take(&mut self.untold));
        let mut bytes = empty.try_recv().unwrap_or_default();
        self.encoder.end(&mut bytes);
        let _ = full.send(bytes);
        drop(full);
        handle.join().unwrap_or_else(|_| Err(io::Error::other("the trace's writer panicked")))
    }
}

impl Sink for Threaded {
    fn record(&mut self, record: &Record<'_>) {
        match record {
            // Piece by piece: the buffers stay small, so they can be kept for reuse.
            Record::Packet(packet) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                packet.each_wire_packet(&mut scratch, &mut |packet, piece| {
                    self.put(Lost::PACKET, &|encoder, bytes| encoder.packet(packet, piece, bytes));
                });
                self.scratch = scratch;
            }
            Record::Event(event) => self.put(Lost::EVENT, &|encoder, bytes| encoder.event(event, bytes)),
        }
    }

    fn wants_events(&self) -> bool {
        self.encoder.wants_events()
    }

    fn dropped(&self) -> u64 {
        self.lost
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.close()
    }
}

/// A sink that is dropped unfinished still completes its file.
impl Drop for Threaded {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// The thread: collects while more is waiting, writes when a batch is full or nothing waits, so that a reader at the
/// other end of a pipe, or whoever finds the file after a SIGKILL, has everything up to a moment ago.
fn write_all(full: &Receiver<Vec<u8>>, empty: &Sender<Vec<u8>>, mut output: Output) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    let recycle = |mut bytes: Vec<u8>| {
        if bytes.capacity() <= POOLED {
            bytes.clear();
            // A full pool needs no more.
            let _ = empty.try_send(bytes);
        }
    };
    while let Ok(bytes) = full.recv() {
        batch.extend_from_slice(&bytes);
        recycle(bytes);
        while batch.len() < BATCH
            && let Ok(bytes) = full.try_recv()
        {
            batch.extend_from_slice(&bytes);
            recycle(bytes);
        }
        output.write(&mut batch);
    }
    output.finish()
}

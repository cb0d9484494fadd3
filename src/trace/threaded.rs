//! How does a record reach the thread that writes it? Through one of two batches, which the threads exchange.
//!
//! The stack's thread only copies the packet and what is said of it; cutting super-segments, checksums and sentences are the
//! writer's. While it works on one batch the other one fills.

use super::encoder::{Encoder, Lost, Overflow, encode};
use super::record::{Direction, EventKind, EventRecord, PacketRecord, Record, Sink, Why};
use super::writer::{BATCH, Output};
use crate::segment::Segment;
use crate::tcp::{Cause, DropReason, Note, Received, Snapshot};
use crate::time::{Duration, Instant};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How long the writer looks away while records trickle in, and how much it is woken for in that time: who wakes it for each
/// record pays more for that than for the record.
const NAP: Duration = Duration::from_millis(2);
const NAP_BYTES: usize = 256 << 10;
const NAP_RECORDS: usize = 512;

/// What may wait for the thread: bytes of packets and texts, and records. More would not stay in the processor's caches.
const MOST_BYTES: usize = 1 << 20;
const MOST_RECORDS: usize = 16 << 10;

/// A record without its bytes, of which there are `bytes` in the batch.
struct Kept {
    at: Instant,
    conn: Option<u32>,
    bytes: usize,
    what: What,
}

enum What {
    Packet {
        direction: Direction,
        gso_size: Option<u16>,
        why: KeptWhy,
        /// So many of the bytes are the text of `why`; the others are the packet.
        text: usize,
        seg: Option<Segment>,
        state: Option<Snapshot>,
    },
    Event {
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
        kind: KeptKind,
    },
    /// So much was left out here.
    Lost(Lost),
}

/// [`Why`], its text elsewhere.
#[derive(Clone, Copy)]
enum KeptWhy {
    Sent(Cause),
    Received(Received),
    Dropped(DropReason),
    Host(&'static str),
}

/// [`EventKind`], its text elsewhere.
#[derive(Clone, Copy)]
enum KeptKind {
    Conn(Note),
    Link(&'static str),
    Port,
    App(&'static str),
}

#[derive(Default)]
struct Batch {
    records: Vec<Kept>,
    bytes: Vec<u8>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.records.len() >= MOST_RECORDS || self.bytes.len() >= MOST_BYTES
    }

    fn push(&mut self, record: &Record<'_>) {
        let kept = match record {
            Record::Packet(packet) => {
                let (why, text) = match packet.why {
                    Why::Sent(cause) => (KeptWhy::Sent(cause), ""),
                    Why::Received(received) => (KeptWhy::Received(received), ""),
                    Why::Dropped(reason) => (KeptWhy::Dropped(reason), ""),
                    Why::Host { word, text } => (KeptWhy::Host(word), text),
                };
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.extend_from_slice(packet.frame);
                let what = What::Packet {
                    direction: packet.direction,
                    gso_size: packet.gso_size,
                    why,
                    text: text.len(),
                    seg: packet.seg.copied(),
                    state: packet.state,
                };
                Kept { at: packet.at, conn: packet.conn, bytes: text.len() + packet.frame.len(), what }
            }
            Record::Event(event) => {
                let (kind, text) = match event.kind {
                    EventKind::Conn(note) => (KeptKind::Conn(note), ""),
                    EventKind::Link { action, text } => (KeptKind::Link(action), text),
                    EventKind::Port { text } => (KeptKind::Port, text),
                    EventKind::App { word, text } => (KeptKind::App(word), text),
                };
                self.bytes.extend_from_slice(text.as_bytes());
                let what = What::Event { local: event.local, remote: event.remote, kind };
                Kept { at: event.at, conn: event.conn, bytes: text.len(), what }
            }
        };
        self.records.push(kept);
    }

    fn push_lost(&mut self, lost: Lost) {
        self.records.push(Kept { at: Instant::ZERO, conn: None, bytes: 0, what: What::Lost(lost) });
    }

    fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
    }
}

/// Hands a kept record to the encoder as it was.
fn retell(kept: &Kept, bytes: &[u8], encoder: &mut dyn Encoder, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let text_of = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let (at, conn) = (kept.at, kept.conn);
    match &kept.what {
        What::Packet { direction, gso_size, why, text, seg, state } => {
            let (text, frame) = bytes.split_at(*text);
            let why = match *why {
                KeptWhy::Sent(cause) => Why::Sent(cause),
                KeptWhy::Received(received) => Why::Received(received),
                KeptWhy::Dropped(reason) => Why::Dropped(reason),
                KeptWhy::Host(word) => Why::Host { word, text: text_of(text) },
            };
            let (direction, gso_size, seg, state) = (*direction, *gso_size, seg.as_ref(), *state);
            let packet = PacketRecord { at, direction, frame, gso_size, why, conn, seg, state };
            encode(encoder, &Record::Packet(packet), scratch, out);
        }
        What::Event { local, remote, kind } => {
            let text = text_of(bytes);
            let kind = match *kind {
                KeptKind::Conn(note) => EventKind::Conn(note),
                KeptKind::Link(action) => EventKind::Link { action, text },
                KeptKind::Port => EventKind::Port { text },
                KeptKind::App(word) => EventKind::App { word, text },
            };
            let event = EventRecord { at, conn, local: *local, remote: *remote, kind };
            encode(encoder, &Record::Event(event), scratch, out);
        }
        What::Lost(lost) => encoder.lost(*lost),
    }
}

/// What the writer does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Wait {
    /// It works.
    #[default]
    No,
    /// It looks again soon: worth waking up for much only.
    Nap,
    /// Nothing has come for a while: worth waking up for anything.
    Sleep,
}

#[derive(Default)]
struct Shared {
    batch: Batch,
    /// How the writer waits for records.
    wait: Wait,
    /// Nothing more comes.
    closed: bool,
    /// The writer is gone.
    gone: bool,
}

#[derive(Default)]
struct Exchange {
    shared: Mutex<Shared>,
    /// There are records, or there will be none.
    filled: Condvar,
    /// There is room.
    emptied: Condvar,
}

impl Exchange {
    /// A panic elsewhere leaves whole records.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sink whose thread encodes and writes.
pub(super) struct Threaded {
    exchange: Arc<Exchange>,
    overflow: Overflow,
    wants_events: bool,
    /// `None` once finished.
    thread: Option<JoinHandle<io::Result<()>>>,
    /// Lost since the encoder was last told.
    untold: Lost,
    lost: u64,
}

impl Threaded {
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(
        encoder: Box<dyn Encoder>,
        overflow: Overflow,
        output: Output,
    ) -> io::Result<Threaded> {
        let exchange = Arc::<Exchange>::default();
        let (wants_events, theirs) = (encoder.wants_events(), exchange.clone());
        let thread = std::thread::Builder::new()
            .name("trace".into())
            .spawn(move || write_all(&Leaving(theirs), encoder, output))?;
        let (untold, lost) = (Lost::default(), 0);
        Ok(Threaded { exchange, overflow, wants_events, thread: Some(thread), untold, lost })
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let mut shared = self.exchange.lock();
        if self.untold != Lost::default() {
            shared.batch.push_lost(mem::take(&mut self.untold));
        }
        shared.closed = true;
        drop(shared);
        self.exchange.filled.notify_one();
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the trace's writer panicked")))
    }
}

impl Sink for Threaded {
    fn record(&mut self, record: &Record<'_>) {
        let mut shared = self.exchange.lock();
        while shared.batch.is_full() && !shared.gone {
            if self.overflow == Overflow::Drop {
                let what = match record {
                    Record::Packet(packet) => Lost { packets: packet.wire_packets().into(), events: 0 },
                    Record::Event(_) => Lost::EVENT,
                };
                self.untold.add(what);
                self.lost += what.total();
                return;
            }
            shared = self.exchange.emptied.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        // A thread that is gone says why when it is joined.
        if shared.gone {
            return;
        }
        if self.untold != Lost::default() {
            shared.batch.push_lost(mem::take(&mut self.untold));
        }
        shared.batch.push(record);
        let wake = match shared.wait {
            Wait::No => false,
            Wait::Nap => shared.batch.records.len() >= NAP_RECORDS || shared.batch.bytes.len() >= NAP_BYTES,
            Wait::Sleep => true,
        };
        if wake {
            shared.wait = Wait::No;
        }
        drop(shared);
        if wake {
            self.exchange.filled.notify_one();
        }
    }

    fn wants_events(&self) -> bool {
        self.wants_events
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

/// The writer's side: whoever waits for room is let go when it ends, by a panic or otherwise.
struct Leaving(Arc<Exchange>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.lock().gone = true;
        self.0.emptied.notify_all();
    }
}

/// The thread: takes all that waits, writes it, and looks again after two milliseconds at the latest, so that a reader at the
/// other end of a pipe, or whoever finds the file after a SIGKILL, has everything up to a moment ago.
fn write_all(leaving: &Leaving, mut encoder: Box<dyn Encoder>, mut output: Output) -> io::Result<()> {
    let exchange = &*leaving.0;
    let (mut batch, mut scratch, mut out) = (Batch::default(), Vec::new(), Vec::with_capacity(BATCH));
    encoder.begin(&mut out);
    output.write(&mut out);
    loop {
        let mut shared = exchange.lock();
        if shared.batch.records.len() < NAP_RECORDS && shared.batch.bytes.len() < NAP_BYTES && !shared.closed
        {
            shared.wait = Wait::Nap;
            shared = exchange.filled.wait_timeout(shared, NAP).unwrap_or_else(PoisonError::into_inner).0;
        }
        while shared.batch.records.is_empty() && !shared.closed {
            shared.wait = Wait::Sleep;
            shared = exchange.filled.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        shared.wait = Wait::No;
        mem::swap(&mut shared.batch, &mut batch);
        drop(shared);
        exchange.emptied.notify_one();
        if batch.records.is_empty() {
            break;
        }
        let mut rest = &batch.bytes[..];
        for kept in &batch.records {
            let (bytes, behind) = rest.split_at(kept.bytes);
            rest = behind;
            retell(kept, bytes, &mut *encoder, &mut scratch, &mut out);
            if out.len() >= BATCH {
                output.write(&mut out);
            }
        }
        output.write(&mut out);
        batch.clear();
    }
    encoder.end(&mut out);
    output.write(&mut out);
    output.finish()
}

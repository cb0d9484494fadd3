//! How does a record reach the thread that writes it? Through one of two batches, which the threads exchange.
//!
//! The stack's thread only copies the packet and what is said of it; cutting super-segments, checksums and sentences are the
//! writer's. While it works on one batch the other one fills.

use super::encoder::{Encoder, Lost, Overflow, encode};
use super::record::{Direction, EventKind, EventRecord, PacketRecord, Piece, Record, Sink, Why};
use super::writer::{BATCH, Output};
use crate::segment::Segment;
use crate::tcp::{Cause, DropReason, Note, Received, Snapshot};
use crate::time::{Duration, Instant};
use crate::wire;
use std::io;
use std::iter::once;
use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
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
        /// So many of the bytes are the text of `why`; the others are the packet, or what is kept of it.
        text: usize,
        /// The packet's length.
        len: usize,
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

    /// Keeps a packet that has `frame` and then `rest`; at most the first `most` bytes of it, or of each packet of the wire that it
    /// becomes, if that is not 0.
    fn push_packet(&mut self, packet: &PacketRecord<'_>, rest: [&[u8]; 2], most: usize) {
        let (why, text) = match packet.why {
            Why::Sent(cause) => (KeptWhy::Sent(cause), ""),
            Why::Received(received) => (KeptWhy::Received(received), ""),
            Why::Dropped(reason) => (KeptWhy::Dropped(reason), ""),
            Why::Host { word, text } => (KeptWhy::Host(word), text),
        };
        let before = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        let pieces = [packet.frame, rest[0], rest[1]];
        let len = pieces.iter().map(|piece| piece.len()).sum();
        match Beginnings::of(packet, len, most) {
            Some(cut) => cut.ranges().for_each(|range| push_range(&mut self.bytes, pieces, range)),
            None => pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece)),
        }
        let what = What::Packet {
            direction: packet.direction,
            gso_size: packet.gso_size,
            why,
            text: text.len(),
            len,
            seg: packet.seg.copied(),
            state: packet.state,
        };
        let bytes = self.bytes.len() - before;
        self.records.push(Kept { at: packet.at, conn: packet.conn, bytes, what });
    }

    fn push_event(&mut self, event: &EventRecord<'_>) {
        let (kind, text) = match event.kind {
            EventKind::Conn(note) => (KeptKind::Conn(note), ""),
            EventKind::Link { action, text } => (KeptKind::Link(action), text),
            EventKind::Port { text } => (KeptKind::Port, text),
            EventKind::App { word, text } => (KeptKind::App(word), text),
        };
        self.bytes.extend_from_slice(text.as_bytes());
        let what = What::Event { local: event.local, remote: event.remote, kind };
        self.records.push(Kept { at: event.at, conn: event.conn, bytes: text.len(), what });
    }

    fn push_lost(&mut self, lost: Lost) {
        self.records.push(Kept { at: Instant::ZERO, conn: None, bytes: 0, what: What::Lost(lost) });
    }

    fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
    }
}

/// What is kept of a packet of which nobody wants all: the beginnings of the packets of the wire that it becomes.
struct Beginnings {
    /// The packet's length.
    len: usize,
    /// Bytes of headers, which all its pieces have.
    head: usize,
    /// Payload bytes kept of each piece.
    keep: usize,
    /// Payload bytes of a whole piece.
    size: usize,
}

impl Beginnings {
    /// As many bytes as the words are made of.
    const LEAST: usize = 64;

    /// `None` if all of it is kept. Of `packet.frame` only the headers need to be there.
    fn of(packet: &PacketRecord<'_>, len: usize, most: usize) -> Option<Beginnings> {
        if most == 0 {
            return None;
        }
        let most = most.max(Self::LEAST);
        match (packet.wire_packets(), packet.gso_size, packet.seg) {
            (2.., Some(size), Some(seg)) => {
                let (size, head) = (usize::from(size), len.checked_sub(seg.len as usize)?);
                let cut = Beginnings { len, head, keep: most.saturating_sub(head), size };
                (cut.keep < size && wire::tcp_at(packet.frame.get(..head)?).is_some()).then_some(cut)
            }
            _ => (most < len).then_some(Beginnings { len, head: most, keep: 0, size: len }),
        }
    }

    /// Which bytes of the packet are kept.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let &Beginnings { len, head, keep, size } = self;
        let pieces = (head..len).step_by(size.max(1)).filter(move |_| keep > 0);
        once(0..head).chain(pieces.map(move |at| at..(at + keep).min(len)))
    }

    /// `packet` has what was kept.
    fn encode(
        &self,
        encoder: &mut dyn Encoder,
        packet: &PacketRecord<'_>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        let of = packet.wire_packets();
        let (2.., Some(size), Some(whole)) = (of, packet.gso_size, packet.seg) else {
            return encoder.packet(packet, Piece::WHOLE, self.len, out);
        };
        let mut nth = 0;
        let kept = packet.frame.split_at(self.head.min(packet.frame.len()));
        wire::split_beginnings(kept, whole, (size, self.keep), scratch, &mut |frame, len| {
            let seg = wire::piece(whole, size, nth);
            nth += 1;
            let piece = PacketRecord { frame, gso_size: None, seg: Some(&seg), ..*packet };
            encoder.packet(&piece, Piece { nth, of }, len, out);
        });
    }
}

/// Appends the bytes `range` of what `pieces` are together.
fn push_range(out: &mut Vec<u8>, pieces: [&[u8]; 3], range: Range<usize>) {
    let mut at = 0;
    for piece in pieces {
        let (start, end) = (range.start.max(at) - at, range.end.clamp(at, at + piece.len()) - at);
        if start < end {
            out.extend_from_slice(&piece[start..end]);
        }
        at += piece.len();
    }
}

/// Hands a kept record to the encoder as it was.
fn retell(kept: &Kept, bytes: &[u8], encoder: &mut dyn Encoder, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let text_of = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let (at, conn) = (kept.at, kept.conn);
    match &kept.what {
        What::Packet { direction, gso_size, why, text, len, seg, state } => {
            let (text, frame) = bytes.split_at(*text);
            let why = match *why {
                KeptWhy::Sent(cause) => Why::Sent(cause),
                KeptWhy::Received(received) => Why::Received(received),
                KeptWhy::Dropped(reason) => Why::Dropped(reason),
                KeptWhy::Host(word) => Why::Host { word, text: text_of(text) },
            };
            let (direction, gso_size, seg, state) = (*direction, *gso_size, seg.as_ref(), *state);
            let packet = PacketRecord { at, direction, frame, gso_size, why, conn, seg, state };
            match Beginnings::of(&packet, *len, encoder.most()) {
                Some(cut) => cut.encode(encoder, &packet, scratch, out),
                None => encode(encoder, &Record::Packet(packet), scratch, out),
            }
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
    /// So many bytes of each packet are wanted; 0 is all.
    most: usize,
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
        let (wants_events, most, theirs) = (encoder.wants_events(), encoder.most(), exchange.clone());
        let thread = std::thread::Builder::new()
            .name("trace".into())
            .spawn(move || write_all(&Leaving(theirs), encoder, output))?;
        let (untold, lost) = (Lost::default(), 0);
        Ok(Threaded { exchange, overflow, wants_events, most, thread: Some(thread), untold, lost })
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

    /// Adds a record that stands for `what` to the batch, as soon as there is room.
    fn add(&mut self, what: Lost, push: impl FnOnce(&mut Batch)) {
        let mut shared = self.exchange.lock();
        while shared.batch.is_full() && !shared.gone {
            if self.overflow == Overflow::Drop {
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
        push(&mut shared.batch);
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
}

impl Sink for Threaded {
    fn record(&mut self, record: &Record<'_>) {
        match record {
            Record::Packet(packet) => self.record_pieces(packet, [&[], &[]]),
            Record::Event(event) => self.add(Lost::EVENT, |batch| batch.push_event(event)),
        }
    }

    fn record_pieces(&mut self, packet: &PacketRecord<'_>, rest: [&[u8]; 2]) {
        let (what, most) = (Lost { packets: packet.wire_packets().into(), events: 0 }, self.most);
        self.add(what, |batch| batch.push_packet(packet, rest, most));
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

//! What is there to send, and how far may it go? The send sequence space of RFC 9293 §3.3.1.

use super::pieces::{Bounds, Head, OVERHEAD, Pieces};
use super::ring::Ring;
use crate::segment::Segment;
use crate::seq::Seq;
use std::collections::VecDeque;

/// How far the closing of this side has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fin {
    /// The application may still write.
    Open,
    /// A FIN follows the data.
    Queued,
    /// It was sent.
    Sent,
    /// The peer has it.
    Acked,
}

/// Where what is in the buffer falls apart.
#[derive(Default)]
struct Layout {
    /// Where records end, each behind its last byte, in order and above SND.UNA: no segment reaches across.
    records: VecDeque<Seq>,
    pieces: Pieces,
}

/// The sending half of a connection.
///
/// SND.NXT only ever moves forward: what is sent again is a matter of the scoreboard, so SND.NXT is what other
/// stacks call SND.MAX.
pub(super) struct Send {
    pub(super) iss: Seq,
    /// The SYN is acknowledged. SND.UNA cannot tell: it comes back to ISS after 4 GiB.
    open: bool,
    pub(super) una: Seq,
    pub(super) nxt: Seq,
    /// SND.WND in bytes, counted from SND.UNA. Windows are 32 bits and unsigned: RFC 9293 §3.1 (MUST-1, REC-1).
    pub(super) wnd: u32,
    /// MAX.SND.WND: the largest window ever offered (RFC 5961 §5.2).
    pub(super) max_wnd: u32,
    wl1: Seq,
    /// The shift of the peer's windows.
    pub(super) shift: u8,
    pub(super) fin: Fin,
    /// The end of the last small segment sent (Minshall's SND.SML).
    pub(super) small_end: Seq,
    /// SND.UP: behind the last urgent byte, until it is acknowledged.
    pub(super) up: Option<Seq>,
    /// Offset 0 is SND.UNA (or the byte behind the SYN).
    ring: Ring,
    /// What is written is kept in pieces, whose number counts as well as their bytes.
    pieced: bool,
    layout: Option<Box<Layout>>,
    /// The size of the buffer now; it grows with the congestion window up to `limit`.
    pub(super) buffer: u32,
    limit: u32,
}

/// What a segment with `mss` bytes of payload occupies in Linux' send buffer, which grows by such pieces.
fn footprint(mss: u32) -> u32 {
    (mss + 576).next_power_of_two() + 256
}

/// The buffer holds so many segments at least, once the connection is there: two initial windows (RFC 6928).
const LEAST_SEGMENTS: u32 = 10;

/// So many records may be in the buffer: each costs more than its bytes.
const MOST_RECORDS: usize = 1024;

impl Send {
    pub(super) fn new(iss: Seq, initial: u32, limit: u32, pieced: bool) -> Send {
        Send {
            iss,
            open: false,
            una: iss,
            nxt: iss + 1,
            wnd: 0,
            max_wnd: 0,
            wl1: Seq(0),
            shift: 0,
            fin: Fin::Open,
            small_end: iss,
            up: None,
            ring: Ring::default(),
            pieced,
            layout: None,
            buffer: initial.min(limit),
            limit,
        }
    }

    /// The number of the first byte in the ring.
    fn base(&self) -> Seq {
        if self.open { self.una } else { self.iss + 1 }
    }

    /// The number behind the last byte written: the FIN's, if there is one.
    pub(super) fn data_end(&self) -> Seq {
        match self.fin {
            Fin::Acked => self.una - 1,
            _ => self.base() + self.ring.len() as u32,
        }
    }

    /// Bytes written and never sent.
    pub(super) fn unsent(&self) -> u32 {
        match self.fin {
            Fin::Sent | Fin::Acked => 0,
            // Of a connection that is over nothing is left.
            _ if self.data_end().lt(self.nxt) => 0,
            _ => self.data_end().since(self.nxt),
        }
    }

    /// Sequence numbers sent and not acknowledged.
    pub(super) fn flight(&self) -> u32 {
        self.nxt.since(self.una)
    }

    /// How much of the peer's window is left beyond SND.NXT; nothing if the peer has taken some of it back: RFC 9293
    /// §3.8.6 (MUST-34, SHLD-15).
    pub(super) fn usable(&self) -> u32 {
        let edge = self.una + self.wnd;
        if edge.gt(self.nxt) { edge.since(self.nxt) } else { 0 }
    }

    /// Bytes in the buffer, sent or not.
    pub(super) fn queued(&self) -> usize {
        self.ring.len()
    }

    /// Room for more, bytes, with so many bursts in flight. In pieces it is all or nothing: the last one is
    /// filled, however full the buffer.
    pub(super) fn room(&self, bursts: u32) -> usize {
        if self.layout.as_ref().is_some_and(|layout| layout.records.len() >= MOST_RECORDS) {
            return 0;
        }
        (self.buffer as usize).saturating_sub(self.taken(bursts) as usize)
    }

    /// What of the buffer is taken.
    pub(super) fn taken(&self, bursts: u32) -> u32 {
        let bytes = self.ring.len() as u32;
        match self.pieced {
            true => bytes + OVERHEAD.saturating_mul(bursts + self.pieces().map_or(0, Pieces::count)),
            false => bytes,
        }
    }

    /// Whether what is free is worth telling the owner: a third of the buffer, as on Linux.
    pub(super) fn has_much_room(&self, bursts: u32) -> bool {
        let taken = self.taken(bursts);
        match self.pieced {
            true => self.buffer > taken && self.buffer - taken >= taken / 2,
            false => self.room(bursts) >= (self.buffer / 3) as usize,
        }
    }

    fn pieces(&self) -> Option<&Pieces> {
        self.layout.as_ref().map(|layout| &layout.pieces)
    }

    /// Whether what is written is kept in pieces.
    pub(super) fn is_pieced(&self) -> bool {
        self.pieced
    }

    /// `mss`, or what Linux sends to a peer with a small window: half of the largest at the most, so that two segments can be
    /// under way.
    pub(super) fn bounded(&self, mss: u32, least: u32) -> u32 {
        match self.max_wnd {
            0 => mss,
            _ if !self.pieced => mss,
            most @ ..=536 => mss.min(most.max(least)),
            most => mss.min((most / 2).max(least)),
        }
    }

    /// Appends as much of `data` as finds room, in pieces of `goal` bytes, of which `quota` may leave together and `window` at all.
    pub(super) fn write(
        &mut self,
        data: &[u8],
        (goal, quota, window): (u32, u32, u32),
        (bursts, unsent): (u32, u32),
        more: bool,
    ) -> usize {
        let (nxt, at, taken, usable) = (self.nxt, self.data_end(), self.taken(bursts), self.usable());
        let (buffer, half) = (self.buffer, self.max_wnd / 2);
        let Layout { records, pieces } = &mut **self.layout.get_or_insert_default();
        if records.len() >= MOST_RECORDS {
            return 0;
        }
        let fresh = records.back() == Some(&at);
        let bounds = Bounds { goal, half, buffer, taken, unsent, more, fresh, usable, quota, window };
        let n = pieces.write(nxt, at, data.len() as u32, &bounds) as usize;
        self.ring.append(&data[..n]);
        n
    }

    /// What of the pieces may leave first, `most` bytes of them together.
    pub(super) fn head(&self, most: u32) -> Head {
        let fence = self.record_end(self.nxt).unwrap_or(self.data_end());
        // What a SYN was to carry is in no piece.
        let whole = Head { len: self.unsent(), last: true, push: true };
        self.pieces().and_then(|pieces| pieces.head(self.nxt, most, fence)).unwrap_or(whole)
    }

    /// Whether the window has room for all of the first piece, and a FIN if that is behind it.
    pub(super) fn head_fits(&self) -> bool {
        let head = match self.pieced {
            true => self.head(0),
            false => Head { len: self.unsent().min(1), last: true, push: false },
        };
        let fin = head.last && self.fin == Fin::Queued && (self.pieced || head.len == 0);
        head.len + u32::from(fin) <= self.usable()
    }

    /// All below `nxt` has left, of pieces that were as `head` says.
    pub(super) fn leave(&mut self, at: Seq, head: Head, nxt: Seq) {
        if let Some(layout) = &mut self.layout {
            layout.pieces.leave(at, head, nxt);
        }
    }

    /// What was written has had its chance to leave.
    pub(super) fn settle(&mut self) {
        if let Some(layout) = &mut self.layout {
            layout.pieces.settle();
        }
    }

    /// A probe is about to take some of it along.
    pub(super) fn forced(&mut self) {
        if let Some(layout) = &mut self.layout {
            layout.pieces.forced();
        }
    }

    /// What was written so far is a record of its own (`MSG_EOR`).
    pub(super) fn end_record(&mut self) {
        let end = self.data_end();
        let records = &mut self.layout.get_or_insert_default().records;
        if records.back() != Some(&end) {
            records.push_back(end);
        }
    }

    /// Where the record ends that holds the byte `at`, if that is marked.
    pub(super) fn record_end(&self, at: Seq) -> Option<Seq> {
        let records = &self.layout.as_ref()?.records;
        records.get(records.partition_point(|end| end.le(at))).copied()
    }

    /// `setsockopt(SO_SNDBUF)`: with `initial` not below `limit` the buffer has this size, and no other any more.
    pub(super) fn fix(&mut self, initial: u32, limit: u32) {
        self.limit = limit;
        if initial >= limit {
            self.buffer = limit;
        }
    }

    /// Makes the buffer large enough for twice a congestion window of `segments`: what is in flight, and as much again until the
    /// application hears that there is room.
    pub(super) fn grow(&mut self, segments: u32, mss: u32) {
        let memory = segments.max(LEAST_SEGMENTS).saturating_mul(2 * footprint(mss));
        self.buffer = self.buffer.max(memory.min(self.limit));
    }

    /// Gives the ring back if nothing is in it; true if so.
    pub(super) fn rest(&mut self) -> bool {
        if self.layout.as_ref().is_some_and(|layout| layout.records.is_empty() && layout.pieces.is_empty()) {
            self.layout = None;
        }
        self.ring.rest()
    }

    /// Whether a small segment is unacknowledged. One of 2 GiB ago is not, though its number may seem to lie ahead.
    pub(super) fn small_in_flight(&self) -> bool {
        self.small_end.gt(self.una) && self.small_end.le(self.nxt)
    }

    /// Whether urgent data is unacknowledged.
    pub(super) fn is_urgent(&self) -> bool {
        self.up.is_some()
    }

    /// The urgent pointer of a segment that begins at `seq`, if it needs one: it points behind the urgent byte (RFC 9293
    /// §3.8.5, MUST-62; RFC 6093 §3).
    pub(super) fn urgent_pointer(&self, seq: Seq) -> Option<u16> {
        let up = self.up.filter(|up| seq.lt(*up))?;
        match up.since(seq) {
            ahead @ ..=0xffff => Some(ahead as u16),
            _ if (seq + 0xffff).gt(self.nxt) => Some(0xffff),
            _ => None,
        }
    }

    pub(super) fn append(&mut self, data: &[u8]) {
        self.ring.append(data);
    }

    /// `n` bytes from number `from` on.
    pub(super) fn bytes(&self, from: Seq, n: u32) -> (&[u8], &[u8]) {
        self.ring.slices(from.since(self.base()) as usize, n as usize)
    }

    /// The peer has everything below `ack`; true if that includes the FIN.
    pub(super) fn release(&mut self, ack: Seq) -> bool {
        let fin = self.fin == Fin::Sent && ack == self.nxt;
        self.ring.consume((ack.since(self.base()) - u32::from(fin)) as usize);
        self.una = ack;
        self.up = self.up.filter(|up| up.gt(ack));
        if let Some(layout) = &mut self.layout {
            while layout.records.pop_front_if(|end| end.le(ack)).is_some() {}
        }
        if fin {
            self.fin = Fin::Acked;
        }
        fin
    }

    /// The SYN is acknowledged and `seg` carries the first window.
    pub(super) fn open(&mut self, seg: &Segment, wnd: u32) {
        self.open = true;
        self.una = self.iss + 1;
        self.small_end = self.una;
        self.set_window(seg, wnd);
    }

    fn set_window(&mut self, seg: &Segment, wnd: u32) {
        (self.wnd, self.wl1) = (wnd, seg.seq);
        self.max_wnd = self.max_wnd.max(wnd);
    }

    /// Takes the window of an acceptable segment unless it is older than the last one (RFC 9293 §3.10.7.4), shifted
    /// (RFC 7323 §2.3).
    ///
    /// `news` says that its acknowledgment moved SND.UNA: then its window is the newest whatever its number, and the
    /// old one, counted from the new SND.UNA, would reach further than the peer ever said.
    ///
    /// True if it counts as another window. Of two with the same number the larger one is taken for the newer, unless the window
    /// is closed, as on Linux.
    pub(super) fn update_window(&mut self, seg: &Segment, news: bool) -> bool {
        let wnd = u32::from(seg.window) << self.shift;
        let newer = self.wl1.lt(seg.seq) || (self.wl1 == seg.seq && (wnd > self.wnd || wnd == 0));
        if news || newer {
            self.set_window(seg, wnd);
        }
        newer
    }

    pub(super) fn clear(&mut self) {
        self.ring.clear();
        self.layout = None;
    }

    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity()
    }
}

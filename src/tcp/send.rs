//! What is there to send, and how far may it go? The send sequence space of RFC 9293 §3.3.1.

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

/// Where records end, in order. Few connections have any.
#[derive(Default)]
struct Records(VecDeque<Seq>);

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
    /// Where records end, each behind its last byte, in order and above SND.UNA: no segment reaches across.
    records: Option<Box<Records>>,
    /// The size of the buffer now; it grows with the congestion window up to `limit`.
    pub(super) buffer: u32,
    limit: u32,
}

/// What a segment with `mss` bytes of payload occupies in Linux' send buffer, which grows by such pieces.
fn footprint(mss: u32) -> u32 {
    (mss + 640).next_power_of_two() + 256
}

/// The buffer holds so many segments at least, once the connection is there: two initial windows (RFC 6928).
const LEAST_SEGMENTS: u32 = 10;

/// So many records may be in the buffer: each costs more than its bytes.
const MOST_RECORDS: usize = 1024;

impl Send {
    pub(super) fn new(iss: Seq, initial: u32, limit: u32) -> Send {
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
            records: None,
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

    pub(super) fn room(&self) -> usize {
        if self.records.as_ref().is_some_and(|records| records.0.len() >= MOST_RECORDS) {
            return 0;
        }
        (self.buffer as usize).saturating_sub(self.ring.len())
    }

    /// What was written so far is a record of its own (`MSG_EOR`).
    pub(super) fn end_record(&mut self) {
        let end = self.data_end();
        let records = &mut self.records.get_or_insert_default().0;
        if records.back() != Some(&end) {
            records.push_back(end);
        }
    }

    /// Where the record ends that holds the byte `at`, if that is marked.
    pub(super) fn record_end(&self, at: Seq) -> Option<Seq> {
        let records = &self.records.as_ref()?.0;
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
        if let Some(records) = &mut self.records {
            while records.0.pop_front_if(|end| end.le(ack)).is_some() {}
            if records.0.is_empty() {
                self.records = None;
            }
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
    }

    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity()
    }
}

//! Where does urgent data end? The urgent pointer of RFC 9293 §3.8.5 at both ends, as RFC 6093 and Linux understand it.
//!
//! One byte is urgent, the last one that the pointer speaks of. Who has not asked for it in its place (`SO_OOBINLINE`) reads it
//! apart from the stream, which stops there once.

use super::conn::{Conn, Cx};
use crate::segment::{Arrival, Flags, Segment};
use crate::seq::Seq;
use crate::time::Instant;

/// The peer's urgent byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Urgent {
    at: Seq,
    byte: Byte,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Byte {
    /// Its place is known.
    Awaited,
    Here(u8),
    /// It was read apart from the stream.
    Taken,
}

/// What [`Conn::urgent`] finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Oob {
    /// There is no urgent byte to be read apart from the stream.
    None,
    /// It is announced and has not come yet.
    Awaited,
    /// This one.
    Byte(u8),
}

impl Conn {
    /// What was written last is urgent: the urgent pointer points behind it until it is acknowledged (`MSG_OOB`). Data of any
    /// length may be: RFC 9293 §3.8.5 (MUST-30, MUST-31).
    pub fn mark_urgent(&mut self) {
        self.snd.up = Some(self.snd.data_end());
    }

    /// The byte of urgent data, apart from the stream; it is there once more if `peek` (`recv` with `MSG_OOB`).
    pub fn urgent(&mut self, peek: bool) -> Oob {
        let inline = self.opts.urgent_inline;
        match self.urgent.as_deref_mut().filter(|_| !inline) {
            None | Some(Urgent { byte: Byte::Taken, .. }) => Oob::None,
            Some(Urgent { byte: Byte::Awaited, .. }) => Oob::Awaited,
            Some(urgent) => {
                let Byte::Here(byte) = urgent.byte else { return Oob::None };
                if !peek {
                    urgent.byte = Byte::Taken;
                }
                Oob::Byte(byte)
            }
        }
    }

    /// Whether an urgent byte has come and was not read (`POLLPRI`): RFC 9293 §3.8.5 (MUST-32).
    pub fn has_urgent(&self) -> bool {
        matches!(self.urgent.as_deref(), Some(Urgent { byte: Byte::Here(_), .. }))
    }

    /// Whether the next byte of the stream is the urgent one (`SIOCATMARK`).
    pub fn is_at_mark(&self) -> bool {
        self.ahead_of_mark() == Some(0)
    }

    /// How many bytes can be read before the mark; all that are there, if none lies among them (`SIOCINQ`; MUST-33).
    pub fn readable_to_mark(&self) -> usize {
        let all = self.readable();
        self.ahead_of_mark().filter(|&n| n < all && !self.opts.urgent_inline).unwrap_or(all)
    }

    fn ahead_of_mark(&self) -> Option<usize> {
        Some(self.urgent.as_deref()?.at.since(self.rcv.copied()) as usize)
    }

    /// How many bytes of the stream have been read or passed over.
    pub fn read_position(&self) -> u32 {
        self.rcv.copied().since(self.rcv.irs + 1)
    }

    /// What of `len` bytes a read may have: it ends at the mark, and passes over the byte behind it. Says how many are passed over
    /// before, and how many are read.
    pub(super) fn span_to_mark(&self, len: usize) -> (usize, usize) {
        match self.ahead_of_mark().filter(|&ahead| ahead < self.readable()) {
            Some(0) if !self.opts.urgent_inline => (1, len),
            None | Some(0) => (0, len),
            Some(ahead) => (0, len.min(ahead)),
        }
    }

    /// A read has moved on.
    pub(super) fn pass_mark(&mut self) {
        if self.urgent.as_deref().is_some_and(|urgent| self.rcv.copied().gt(urgent.at)) {
            self.urgent = None;
        }
    }

    /// Step 6 of RFC 9293 §3.10.7.4: the URG bit. The pointer counts to behind the urgent data: RFC 6093 §2.1 (its text in RFC
    /// 1122 was the other way, and so is `tcp.urgent_is_last`). A closed window does not matter: RFC 9293 §3.4 (MUST-66).
    pub(super) fn take_urgent(&mut self, cx: &Cx, seg: &Segment, arrival: &Arrival) {
        if seg.has(Flags::URG) {
            let behind = u16::from(!cx.cfg.urgent_is_last);
            self.take_urgent_pointer(cx.now, seg.seq + u32::from(seg.urgent.saturating_sub(behind)));
        }
        if let Some(Urgent { at, byte: byte @ Byte::Awaited }) = self.urgent.as_deref_mut()
            && let Some(&here) = arrival.payload.get(at.since(seg.seq) as usize)
        {
            *byte = Byte::Here(here);
            self.events.readable = true;
        }
    }

    fn take_urgent_pointer(&mut self, now: Instant, at: Seq) {
        let (copied, nxt) = (self.rcv.copied(), self.rcv.nxt);
        let older = self.urgent.as_deref().is_some_and(|urgent| at.le(urgent.at));
        if copied.gt(at) || at.lt(nxt) || older {
            return;
        }
        if self.is_at_mark() && !self.opts.urgent_inline && copied != nxt {
            // The last one was next, and is nothing special any more: it is passed over now.
            self.rcv.consume(now, 1);
        }
        self.urgent = Some(Box::new(Urgent { at, byte: Byte::Awaited }));
    }
}

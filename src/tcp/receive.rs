//! What has arrived, and how much more may come? RCV.NXT, the reassembly of RFC 9293 §3.10.7.4 and the window.

use super::config::Config;
use super::inbox::Inbox;
use super::ranges::{Inserted, Ranges};
use super::spare::Spare;
use super::surroundings::Pressure;
use super::window::Window;
use crate::parcel::Parcel;
use crate::segment::SackBlocks;
use crate::seq::Seq;
use crate::time::Instant;
use std::ops::Range;

/// The receiving half of a connection.
pub(super) struct Receive {
    pub(super) irs: Seq,
    pub(super) nxt: Seq,
    /// The right edge ever advertised: it is never taken back (RFC 9293 §3.8.6, SHLD-14).
    edge: Seq,
    /// The window as it was last offered, rounded to its unit.
    offered: u32,
    /// The shift of the windows that this side advertises (RFC 7323 §2.2).
    pub(super) shift: u8,
    /// The one that our SYN offered.
    pub(super) first_shift: u8,
    /// Offset 0 is the next byte to read; RCV.NXT is at offset `inbox.len()`.
    inbox: Inbox,
    beyond: Spare<Ranges>,
    twice: Twice,
    /// A SACK block is all that lies beyond a gap in one piece, also where its beginning fell off the list: RFC 2018 §4.
    whole_blocks: bool,
    /// What takes too much memory is dropped, as on Linux, so that nothing else need hold the right edge back.
    prunes: bool,
    /// Where the peer's FIN is, once seen, in order or not.
    fin: Option<FarEnd>,
    /// The FIN was reached: RCV.NXT is behind it.
    pub(super) finished: bool,
    /// The application has closed this side: it is told of the end where no more bytes are left.
    pub(super) shut: bool,
    /// Whether the memory of the packet that is being looked at can be had.
    pub(super) lends: bool,
    pub(super) buffer: Window,
    /// How short memory is for all connections.
    pub(super) pressure: Pressure,
    /// How large a window may be while packets wait in this host, bytes.
    pub(super) share: u32,
}

/// The peer's FIN, which may lie beyond a gap.
#[derive(Clone, Copy)]
struct FarEnd {
    /// Where the segment begins that it came with.
    from: Seq,
    /// The number it has.
    at: Seq,
}

/// Data that came twice and is to be reported with the next acknowledgment (RFC 2883).
struct Twice {
    on: bool,
    range: Option<(Seq, Seq)>,
}

impl Twice {
    /// `start..end` has come again, and is what to report.
    fn set(&mut self, start: Seq, end: Seq) {
        if self.on && start.lt(end) {
            self.range = Some((start, end));
        }
    }

    /// `start..end`, too: reported if nothing else is, or if it touches that.
    fn add(&mut self, start: Seq, end: Seq) {
        match &mut self.range {
            None => self.set(start, end),
            Some((s, e)) if start.le(*e) && s.le(end) => (*s, *e) = ((*s).min(start), (*e).max(end)),
            Some(_) => {}
        }
    }
}

/// What became of a segment's data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Placed {
    /// RCV.NXT moved by so many bytes, what had waited behind a gap and the FIN counted.
    InOrder(u32),
    /// Kept beyond a gap.
    Beyond,
    /// Nothing of it was new.
    Known,
    /// Too many holes to keep it.
    Full,
}

impl Receive {
    /// Whether what comes twice is reported from now on.
    pub(super) fn report_twice(&mut self, on: bool) {
        self.twice.on = on;
    }

    /// Whether windows may shrink from now on.
    pub(super) fn may_shrink(&mut self, on: bool) {
        self.buffer.shrinks = on;
    }

    /// With [`Config::dsack`], what comes twice is reported (RFC 2883).
    pub(super) fn new(buffer: Window, cfg: &Config) -> Receive {
        Receive {
            irs: Seq(0),
            nxt: Seq(0),
            edge: Seq(0),
            offered: 0,
            shift: 0,
            first_shift: 0,
            inbox: Inbox::default(),
            beyond: Spare::default(),
            twice: Twice { on: cfg.dsack, range: None },
            whole_blocks: !cfg.ack_adaptive,
            prunes: cfg.prune,
            fin: None,
            finished: false,
            shut: false,
            lends: false,
            buffer,
            pressure: Pressure::Calm,
            share: u32::MAX,
        }
    }

    /// Chooses the window for our SYN and what it will be scaled by; `mss` is the payload of the segments expected.
    pub(super) fn offer_first(&mut self, mss: u32, shift: u8, most: Option<u32>) {
        (self.shift, self.first_shift) = (shift, shift);
        self.offered = self.buffer.first(mss, shift, most);
    }

    /// The peer's SYN had the number `irs`; what the handshake advertises becomes the first right edge.
    pub(super) fn start(&mut self, irs: Seq) {
        self.irs = irs;
        self.nxt = irs + 1;
        let told = if self.prunes { self.offered } else { self.syn_window().into() };
        self.edge = self.nxt + told;
    }

    /// What came with the SYN is acknowledged by the SYN-ACK, whose window counts from behind it (RFC 7413 §4.2.2).
    pub(super) fn start_behind_data(&mut self) {
        self.edge = self.nxt + self.offered;
    }

    /// The peer does not scale windows, so neither do we (RFC 7323 §2.2).
    pub(super) fn give_up_scaling(&mut self) {
        self.shift = 0;
        self.buffer.cap(65_535);
    }

    /// The handshake is done; the peer's segments are believed to be of `segment` bytes.
    pub(super) fn open(&mut self, now: Instant, own_mss: u32, segment: u32) {
        self.buffer.open(now, self.offered, self.nxt, own_mss, segment);
    }

    /// The window as it was last offered, from what was acknowledged then.
    pub(super) fn offered(&self) -> u32 {
        self.offered
    }

    /// RCV.WND: how much the peer may send from RCV.NXT on.
    pub(super) fn window(&self) -> u32 {
        self.edge.since(self.nxt)
    }

    /// Whether there is a gap with data behind it.
    pub(super) fn has_gap(&self) -> bool {
        !self.beyond.is_empty() || (self.fin.is_some() && !self.finished)
    }

    /// Whether the peer's FIN is all that lies beyond a gap.
    pub(super) fn is_fin_alone(&self) -> bool {
        !self.finished
            && self
                .fin
                .is_some_and(|fin| self.beyond.sack_blocks(2, true).as_slice() == [(fin.at, fin.at + 1)])
    }

    pub(super) fn readable(&self) -> usize {
        self.inbox.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.inbox.capacity() + self.beyond.memory()
    }

    /// Whether `len` bytes at `seq` can be kept. When memory is short, only what comes in order may take more of it; when
    /// none is left, only what somebody waits to read, so that every connection gets on.
    pub(super) fn has_memory(&self, seq: Seq, len: u32) -> bool {
        let beyond = seq.gt(self.nxt);
        let end = (seq + len).since(self.nxt) as usize + self.inbox.len();
        let held = len == 0 || (seq + len).le(self.nxt) || end <= self.inbox.capacity();
        match self.pressure {
            Pressure::Calm => true,
            Pressure::Short => held || !beyond,
            Pressure::Spent => held || !beyond && self.inbox.len() == 0,
        }
    }

    /// Takes `data` at `seq`, which lies within the window, and a FIN behind it. What lies beyond a gap is kept: RFC 9293
    /// §3.10.7.4 (SHLD-31).
    pub(super) fn place(&mut self, first: Seq, mut data: &[u8], fin: bool) -> Placed {
        let mut seq = first;
        let fin = self.judge_fin(seq, seq + data.len() as u32, fin);
        let end = seq + data.len() as u32 + u32::from(fin);
        // The FIN has a number, which SACK reports like a byte's (RFC 2018 §3).
        // Only what came last is reported.
        self.twice.range = None;
        self.twice.set(seq, self.nxt.min(end));
        if seq.lt(self.nxt) {
            let old = self.nxt.since(seq).min(data.len() as u32);
            data = &data[old as usize..];
            seq += old;
        }
        let before = self.nxt;
        if seq.gt(self.nxt) {
            if seq == end {
                return Placed::Known;
            }
            for (from, to, start) in self.beyond.common(seq, end) {
                if start.lt(seq) || (from, to) == (seq, end) {
                    self.twice.set(from, to);
                } else {
                    self.twice.add(from, to);
                }
            }
            let inserted = self.beyond.insert(seq, end);
            if inserted == Inserted::New {
                self.inbox.place(self.inbox.len() + seq.since(self.nxt) as usize, data);
            }
            return match inserted {
                Inserted::New => Placed::Beyond,
                Inserted::Known => Placed::Known,
                Inserted::Full => Placed::Full,
            };
        }
        if !data.is_empty() {
            let calm = self.pressure == Pressure::Calm && self.beyond.is_empty();
            if self.lends && calm && self.inbox.keep(self.nxt.since(first) as usize, data) {
                self.pass(data.len() as u32);
            } else {
                self.inbox.place(self.inbox.len(), data);
                self.advance(data.len() as u32);
            }
            for (from, to, _) in self.beyond.common(seq, self.nxt) {
                self.twice.add(from, to);
            }
            if !self.beyond.is_empty()
                && let Some(end) = self.beyond.join(self.nxt)
            {
                let data_end = self.fin.map_or(end, |fin| fin.at.min(end));
                self.advance(data_end.since(self.nxt));
            }
        }
        if self.fin.is_some_and(|fin| fin.at == self.nxt) && !self.finished {
            self.nxt += 1;
            // A FIN behind a full window lies beyond the edge, and the edge is never behind RCV.NXT.
            self.edge = self.edge.max(self.nxt);
            self.finished = true;
            self.beyond.reset();
            self.buffer.forget_beyond();
        }
        match self.nxt.since(before) {
            0 => Placed::Known,
            bytes => Placed::InOrder(bytes),
        }
    }

    /// Data `seq..end` came, with a FIN behind it or not: true if that is the peer's FIN. Of two the nearer one is, and what lies
    /// behind it goes when it is reached. As in Linux, what comes in the place of a whole segment with a FIN replaces it.
    fn judge_fin(&mut self, seq: Seq, end: Seq, fin: bool) -> bool {
        let behind = end + u32::from(fin);
        let known = behind.le(self.nxt) || seq.gt(self.nxt) && self.beyond.has(seq, behind);
        if self.fin.is_some_and(|old| !known && seq.le(old.from.max(self.nxt)) && behind.gt(old.at)) {
            self.fin = None;
        }
        if fin && !known && self.fin.is_none_or(|old| end.lt(old.at)) {
            self.fin = Some(FarEnd { from: seq, at: end });
        }
        fin && self.fin.is_some_and(|fin| fin.at == end)
    }

    fn advance(&mut self, n: u32) {
        self.inbox.extend(n as usize);
        self.pass(n);
    }

    fn pass(&mut self, n: u32) {
        self.nxt += n;
        self.edge = self.edge.max(self.nxt);
    }

    /// See [`Inbox::wanted`].
    pub(super) fn wanted_memory(&self) -> Option<Range<usize>> {
        self.inbox.wanted()
    }

    /// See [`Inbox::supply`].
    pub(super) fn supply(&mut self, parcel: Parcel) {
        self.inbox.supply(parcel);
    }

    /// Behind the last byte that waits beyond a gap.
    pub(super) fn highest(&self) -> Option<Seq> {
        self.beyond.end()
    }

    /// The number of the next byte to read.
    pub(super) fn copied(&self) -> Seq {
        self.nxt - u32::from(self.finished) - self.inbox.len() as u32
    }

    /// Copies what is there from offset `from` on.
    pub(super) fn peek(&self, from: usize, into: &mut [u8]) -> usize {
        self.inbox.peek(from, into)
    }

    pub(super) fn consume(&mut self, now: Instant, n: usize) {
        let beyond = self.beyond.end().map_or(0, |end| end.since(self.nxt));
        let end = self.nxt - u32::from(self.finished);
        // Judged after the first of what came together, as Linux does: what is left then tells how far the application lags behind.
        let from = end - self.inbox.len() as u32;
        let first = self.buffer.first_end().map_or(self.buffer.segment(), |first| first.since(from));
        self.buffer.on_taken(now, from + first.min(n as u32), end, beyond);
        self.inbox.consume(n);
        self.buffer.on_read(self.copied());
    }

    /// Gives back memory that holds nothing; true if there is none left to give.
    pub(super) fn rest(&mut self) -> bool {
        if self.beyond.is_empty() {
            self.beyond.reset();
        }
        self.buffer.rest();
        self.inbox.rest()
    }

    /// Gives back all memory that holds no readable data.
    pub(super) fn forget_beyond(&mut self) {
        self.beyond.reset();
        self.buffer.forget_beyond();
        if self.inbox.len() == 0 {
            self.inbox.clear();
        }
    }

    /// The largest window that the memory of all connections allows: under pressure, like Linux, four segments, as large as
    /// they come on Ethernet.
    fn allowance(&self) -> u32 {
        let most: u32 = match self.pressure {
            Pressure::Calm => self.share.min(u32::MAX / 2),
            Pressure::Short => 4 * 1460,
            Pressure::Spent if self.inbox.len() == 0 => 1460,
            Pressure::Spent => 0,
        };
        most.next_multiple_of(1 << self.shift)
    }

    /// Whether reading has freed enough of the buffer to tell the peer (RFC 9293 §3.8.6.2.2, MUST-39), which has used up so
    /// much of what it was told that it may be waiting.
    pub(super) fn wants_update(&self) -> bool {
        !self.finished
            && self.allowance() > self.window()
            && self.buffer.wants_update(self.shift, self.window(), self.offered)
    }

    /// Whether an acknowledgment now would offer as much as the last one did: the application keeps up with the peer.
    pub(super) fn keeps_up(&self) -> bool {
        self.buffer.select(self.shift, self.offered) >= self.offered
    }

    /// Whether all of a segment is taken that ends at `end`: nothing waits to be read, or it ends within the window.
    pub(super) fn has_place_until(&self, end: Seq) -> bool {
        self.inbox.len() == 0 || end.le(self.edge)
    }

    /// The window field of the next segment; the edge that it names is remembered.
    ///
    /// The edge never moves back (RFC 9293 §3.8.6, SHLD-14) unless it may (`Config::shrink_window`): a window that would be smaller than what was promised becomes
    /// what was promised, rounded up to its unit (RFC 7323 §2.3, §2.4).
    pub(super) fn advertise(&mut self) -> u16 {
        let promised = self.window();
        let window = self.buffer.select(self.shift, self.offered).min(self.allowance());
        let shrinks = self.buffer.shrinks && self.shift > 0;
        if window < promised && !shrinks {
            return self.current_field_moving();
        }
        let window = self.told(window);
        self.offered = if shrinks { window } else { window.max(promised) };
        self.edge = self.nxt + self.offered;
        (self.offered >> self.shift).min(65_535) as u16
    }

    /// As much of a window as a field can tell; on Linux all that is meant counts.
    fn told(&self, window: u32) -> u32 {
        if self.prunes { window } else { window.min(65_535 << self.shift) }
    }

    /// There is no memory for what came: no window is offered any more, though one was promised. As Linux does.
    pub(super) fn close_window(&mut self) -> u16 {
        (self.edge, self.offered) = (self.nxt, 0);
        0
    }

    /// Whether more than half of the buffer is taken.
    pub(super) fn is_tight(&self) -> bool {
        self.buffer.is_tight()
    }

    fn current_field_moving(&mut self) -> u16 {
        let field = self.current_field();
        self.offered = u32::from(field) << self.shift;
        self.edge = self.edge.max(self.nxt + self.offered);
        field
    }

    /// The window field on a SYN, which is never scaled (RFC 7323 §2.2).
    pub(super) fn syn_window(&self) -> u16 {
        self.offered.min(65_535) as u16
    }

    /// The window field that names the edge as it is.
    ///
    /// Rounded up each time, it would move on for ever under a peer that sends less than a unit at a time. So at the end
    /// of the largest buffer it is rounded down: the edge seems to go back by less than a unit, which RFC 7323 §2.4 allows,
    /// and what lies below the true one is still taken.
    pub(super) fn current_field(&self) -> u16 {
        let up = self.window().div_ceil(1 << self.shift);
        let fits = self.prunes
            || self.inbox.len() as u64 + (u64::from(up) << self.shift)
                <= u64::from(self.buffer.most().max(65_535));
        (if fits { up } else { self.window() >> self.shift }).min(65_535) as u16
    }

    /// See [`Window::on_segment_size`].
    pub(super) fn on_segment_size(&mut self, segment: u32) {
        self.buffer.on_segment_size(segment, self.offered);
    }

    /// See [`Window::on_turn`].
    pub(super) fn on_turn(&mut self, now: Instant) {
        self.buffer.on_turn(now, self.nxt, self.nxt + self.offered);
    }

    /// What to report beside the acknowledgment: data that came twice (RFC 2883 §4), then what lies beyond gaps.
    pub(super) fn sack_blocks(&self, most: usize) -> SackBlocks {
        let mut blocks = SackBlocks::NONE;
        if let Some((start, end)) = self.twice.range {
            blocks.push(start, end);
        }
        if !self.beyond.is_empty() {
            for &(start, end) in
                self.beyond.sack_blocks(most.saturating_sub(blocks.len()), self.whole_blocks).as_slice()
            {
                blocks.push(start, end);
            }
        }
        blocks.truncate(most);
        blocks
    }

    /// `start..end` was here already when it came.
    pub(super) fn came_twice(&mut self, start: Seq, end: Seq) {
        self.twice.set(start, end);
    }

    /// Where what came twice begins, if the next acknowledgment reports something to have.
    pub(super) fn reports_twice(&self) -> Option<Seq> {
        self.twice.range.map(|(start, _)| start)
    }

    /// An acknowledgment has left: a duplicate is reported once.
    pub(super) fn reported(&mut self) {
        self.twice.range = None;
    }
}

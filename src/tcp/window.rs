//! How large a window may be offered? Linux' arithmetic: memory, what of it is payload, and how fast the application reads.

use super::conn::Opts;
use super::kept::{Buffers, footprint};
use crate::seq::Seq;
use crate::time::{Duration, Instant, Span};

/// The largest buffer that connections get without asking (the last number of `net.ipv4.tcp_rmem`).
const LARGEST_BUFFER: u32 = 6 << 20;

/// Linux' smallest receive buffer.
const LEAST_BUFFER: u32 = 2304;

/// The receive buffer and what follows from it for the window.
pub(super) struct Window {
    /// The size of the buffer now, bookkeeping included; it grows up to `limit`.
    buffer: u32,
    limit: u32,
    /// The application's reading makes the buffer grow.
    tuned: bool,
    /// Less is offered than was promised if there is no more room (`Config::shrink_window`).
    pub(super) shrinks: bool,
    /// Nothing is put beside what came last.
    pub(super) watched: bool,
    /// How much of the memory is payload, in 256ths.
    ratio: u8,
    /// No window beyond this.
    clamp: u32,
    /// No window beyond this for now: it grows with each segment that is worth its memory (`rcv_ssthresh`).
    threshold: u32,
    /// What the data that waits to be read occupies.
    charge: u32,
    buffers: Option<Box<Buffers>>,
    /// The size of the peer's segments.
    segment: u32,
    /// Our MSS without options.
    own_mss: u32,
    /// How much the application took in its best round trip (`rcvq_space`), and the present measurement.
    taken: u32,
    taken_from: Seq,
    taken_since: Instant,
    /// The round trip as a receiver sees it; zero before the first measurement.
    rtt: Span,
    /// Where a window ends that was offered then: when data has reached it, a round trip has passed.
    turn: Seq,
    turn_at: Option<Instant>,
    last_echo: u32,
}

/// Whether there is memory for what comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    Plenty,
    /// By an effort: nobody is asked to hurry.
    Made,
    None,
}

impl Window {
    pub(super) fn new(opts: &Opts, tuned: bool) -> Window {
        let buffer = opts.recv_buffer_initial.min(opts.recv_buffer);
        Window {
            buffer,
            limit: opts.recv_buffer,
            tuned: tuned && buffer < opts.recv_buffer,
            shrinks: false,
            watched: false,
            ratio: 128,
            clamp: opts.window_clamp.map_or(u32::MAX, |most| most.max(LEAST_BUFFER / 2)),
            threshold: 0,
            charge: 0,
            buffers: None,
            segment: 0,
            own_mss: 0,
            taken: 0,
            taken_from: Seq(0),
            taken_since: Instant::ZERO,
            rtt: Span::ZERO,
            turn: Seq(0),
            turn_at: None,
            last_echo: 0,
        }
    }

    /// `setsockopt(SO_RCVBUF)`: the buffer has this size, and no other any more; what was promised stays promised.
    pub(super) fn fix(&mut self, opts: &Opts) {
        if opts.recv_buffer_initial >= opts.recv_buffer {
            (self.buffer, self.tuned) = (opts.recv_buffer, false);
        }
        self.limit = opts.recv_buffer.max(self.buffer);
    }

    /// The size of the buffer now, bytes with bookkeeping (`SO_RCVBUF`).
    pub(super) fn buffer(&self) -> u32 {
        self.buffer
    }

    /// The most that can ever wait to be read.
    pub(super) fn most(&self) -> u32 {
        self.limit
    }

    /// How much of `memory` is payload.
    fn payload(&self, memory: u32) -> u32 {
        ((u64::from(memory) * u64::from(self.ratio)) >> 8) as u32
    }

    /// How much memory `payload` needs.
    fn memory(&self, payload: u64) -> u32 {
        ((payload << 8) / u64::from(self.ratio)).min(u64::from(self.limit)) as u32
    }

    /// All that the buffer can hold.
    fn space(&self) -> u32 {
        self.payload(self.buffer)
    }

    /// What it can hold besides what it holds.
    fn free(&self) -> u32 {
        self.payload(self.buffer.saturating_sub(self.charge))
    }

    /// The largest window that can come to be: what the window scale is chosen for (RFC 7323 §2.3). `most` is the largest buffer
    /// that may be asked for later.
    pub(super) fn largest(&self, most: u32) -> u32 {
        let largest =
            if self.buffer >= self.limit { self.space() } else { self.limit.max(self.space()).max(most) };
        largest.min(self.clamp)
    }

    /// The window for the SYN: whole segments of `mss` bytes; `scaled` if more than 16 bits can ever be told.
    ///
    /// `most` is how many of them it may be at the most.
    pub(super) fn first(&mut self, mss: u32, shift: u8, most: Option<u32>) -> u32 {
        if self.buffer >= self.limit {
            self.clamp = self.clamp.min(self.space());
        }
        let space = self.space().min(self.clamp);
        let window = if space > mss { space - space % mss } else { space };
        let window = most.map_or(window, |most| window.min(most.saturating_mul(mss)));
        self.clamp = self.clamp.min(65_535 << shift);
        self.threshold = window;
        window
    }

    /// No window beyond `most`.
    pub(super) fn cap(&mut self, most: u32) {
        self.clamp = self.clamp.min(most);
    }

    /// `setsockopt(TCP_WINDOW_CLAMP)`: no window beyond `most`; `offered` stays promised.
    pub(super) fn limit_to(&mut self, most: u32, offered: u32) {
        let most = most.max(LEAST_BUFFER / 2);
        let bound = offered.min(most);
        self.threshold =
            if most <= self.clamp { self.threshold.min(bound) } else { self.threshold.max(bound) };
        self.clamp = most;
    }

    /// The handshake is done; `window` was offered in it, the first byte to read is `nxt`, and the peer's segments are
    /// believed to be of `segment` bytes.
    pub(super) fn open(&mut self, now: Instant, window: u32, nxt: Seq, own_mss: u32, segment: u32) {
        (self.own_mss, self.segment) = (own_mss, segment);
        let space = self.space();
        self.clamp = self.clamp.min(space);
        // One segment is kept in reserve.
        if self.clamp > 2 * own_mss && self.clamp + own_mss > space {
            self.clamp = space.saturating_sub(own_mss).max(2 * own_mss);
        }
        self.threshold = window.min(self.clamp);
        self.taken = self.threshold.min(10 * own_mss);
        (self.taken_from, self.taken_since) = (nxt, now);
    }

    /// The peer's segments are of `segment` bytes, as was just seen; `window` is what was offered last.
    pub(super) fn on_segment_size(&mut self, segment: u32, window: u32) {
        if segment > self.segment {
            self.measure(segment, window);
        }
        self.segment = segment.min(self.own_mss);
    }

    /// `len` bytes from `seq` on came in order, in `segments` segments, and wait to be read.
    pub(super) fn queue(&mut self, seq: Seq, len: u32, segments: u16) {
        let alone = self.watched;
        let size = self.buffers.get_or_insert_default().queue(seq, len, segments, alone);
        self.charge(size);
    }

    /// The same beyond a gap.
    pub(super) fn keep(&mut self, seq: Seq, len: u32, segments: u16) {
        let alone = self.watched;
        let (size, freed) = self.buffers.get_or_insert_default().keep(seq, len, segments, alone);
        self.charge(size);
        self.charge = self.charge.saturating_sub(freed);
    }

    /// RCV.NXT is `nxt`: gaps may be filled.
    pub(super) fn join(&mut self, nxt: Seq) {
        let freed = self.buffers.as_mut().map_or(0, |buffers| buffers.join(nxt));
        self.charge = self.charge.saturating_sub(freed);
    }

    /// Nothing is kept beyond a gap any more.
    pub(super) fn forget_beyond(&mut self) {
        let freed = self.buffers.as_mut().map_or(0, |buffers| buffers.forget_beyond());
        self.charge = self.charge.saturating_sub(freed);
    }

    /// Where the first buffer ends that waits to be read.
    pub(super) fn first_end(&self) -> Option<Seq> {
        self.buffers.as_ref().and_then(|buffers| buffers.first_end())
    }

    /// Gives memory back that keeps count of nothing.
    pub(super) fn rest(&mut self) {
        if self.buffers.as_ref().is_some_and(|buffers| buffers.is_empty()) {
            self.buffers = None;
        }
    }

    fn charge(&mut self, size: u32) {
        self.charge = self.charge.saturating_add(size);
        // The window was promised: the buffer follows.
        if self.charge > self.buffer {
            self.buffer = self.charge.min(self.limit);
        }
    }

    /// Whether what is held fits the buffer.
    pub(super) fn has_room(&self) -> bool {
        self.charge <= self.buffer
    }

    /// More has come: what is held is to fit first. Small
    /// windows are offered, and what wastes memory is put together. As in Linux (tcp_prune_queue).
    ///
    /// All below `read` was read.
    pub(super) fn make_room(&mut self, read: Seq) -> Room {
        if self.charge <= self.buffer {
            return Room::Plenty;
        }
        if self.charge > self.buffer {
            self.threshold = self.clamp.min(2 * self.own_mss);
            let ratio = self.ratio;
            let freed = self.buffers.as_mut().map_or(0, |buffers| buffers.collapse(read, ratio));
            self.charge = self.charge.saturating_sub(freed);
        }
        if self.charge > self.buffer { Room::None } else { Room::Made }
    }

    /// What share of the memory segments of `len` bytes make use of, and the window with it.
    fn measure(&mut self, len: u32, window: u32) {
        let ratio = ((u64::from(len) << 8) / u64::from(footprint(len))).clamp(1, 255) as u8;
        if ratio == self.ratio {
            return;
        }
        self.ratio = ratio;
        let clamp = self.space().max(LEAST_BUFFER / 2);
        if clamp < self.clamp {
            self.threshold = self.threshold.min(clamp);
        } else if clamp > self.clamp {
            self.threshold = self.threshold.max(window.min(clamp));
        }
        self.clamp = clamp;
        self.taken = self.taken.min(clamp);
    }

    /// A segment of `len` bytes came: the window may grow by two of its kind, if such segments would fit. True if it did.
    pub(super) fn grow(&mut self, len: u32) -> bool {
        let room = self.clamp.min(self.free()).saturating_sub(self.threshold);
        let footprint = footprint(len);
        let step = if self.payload(footprint) <= len {
            2 * self.own_mss
        } else {
            // The smaller the window, the smaller may the segments be.
            let (mut cost, mut window) =
                (self.payload(footprint) / 2, self.payload(LARGEST_BUFFER.max(self.limit)) / 2);
            while self.threshold <= window && cost > len {
                (cost, window) = (cost / 2, window / 2);
            }
            if self.threshold > window { 0 } else { 2 * self.segment }
        };
        if step > 0 {
            self.threshold += room.min(step.max(2 * len));
        }
        step > 0 && room > 0
    }

    /// All below `read` was read.
    pub(super) fn on_read(&mut self, read: Seq) {
        let freed = self.buffers.as_mut().map_or(0, |buffers| buffers.read(read));
        self.charge = self.charge.saturating_sub(freed);
    }

    /// Data that arrives was sent when the last window was offered, a round trip ago at the most.
    pub(super) fn on_turn(&mut self, now: Instant, nxt: Seq, edge: Seq) {
        if let Some(since) = self.turn_at {
            if nxt.lt(self.turn) {
                return;
            }
            let rtt = Span::from(now.since(since).max(Duration::from_micros(1)));
            // It is an upper bound: the peer may not have filled the window.
            if self.rtt == Span::ZERO || rtt < self.rtt {
                self.rtt = rtt;
            }
        }
        (self.turn, self.turn_at) = (edge, Some(now));
    }

    /// A segment of `len` bytes echoed a time stamp that is `age` old (RFC 7323 §4.1).
    pub(super) fn on_echo(&mut self, echo: u32, age: Duration, len: u32, drained: bool) {
        if echo == std::mem::replace(&mut self.last_echo, echo) || len < self.segment {
            return;
        }
        self.rtt = match Duration::from(self.rtt) {
            old if old.is_zero() || age < old => age.into(),
            // What waits to be read held the peer back, too.
            _ if !drained => return,
            old => (old * 7 / 8 + age / 8).into(),
        };
    }

    /// The application has read up to `read`, RCV.NXT is `nxt`: once a round trip the buffer becomes large enough for twice
    /// of what it took, for three times while that grows (dynamic right-sizing).
    pub(super) fn on_taken(&mut self, now: Instant, read: Seq, nxt: Seq, beyond: u32) {
        let time = now.since(self.taken_since);
        if self.rtt == Span::ZERO || time < self.rtt.into() {
            return;
        }
        let taken = read.since(self.taken_from).saturating_sub(nxt.since(read));
        if taken > self.taken {
            let before = std::mem::replace(&mut self.taken, taken);
            if self.tuned {
                let (taken, before) = (u64::from(taken), u64::from(before.max(1)));
                let window = 2 * taken + 2 * (2 * taken * (taken - before) / before) + u64::from(beyond);
                let buffer = self.memory(window);
                if buffer > self.buffer {
                    self.buffer = buffer;
                    self.clamp = self.payload(buffer);
                }
            }
        }
        (self.taken_from, self.taken_since) = (read, now);
    }

    /// Whether more than half of what may be offered is taken.
    pub(super) fn is_tight(&self) -> bool {
        self.free() < self.clamp.min(self.space()) / 2
    }

    /// The window to offer if nothing had been promised (RFC 9293 §3.8.6.2.2; none for as long as nobody reads: §3.8.6.1,
    /// MAY-8): none rather than a silly one, whole segments
    /// without scaling, rounded up to the unit with it. `now` is what is offered at present.
    pub(super) fn select(&self, shift: u8, now: u32) -> u32 {
        let unit = 1u32 << shift;
        let (space, mut free) = (self.space(), self.free());
        let full = self.clamp.min(space);
        let mss = self.segment.min(full);
        if self.shrinks && shift > 0 {
            free -= free % unit;
            let silly = free < space / 16 || free < mss || free < unit;
            return match free {
                _ if mss == 0 || free < full / 2 && silly => 0,
                free if free > self.threshold => self.threshold.next_multiple_of(unit),
                free => free,
            };
        }
        if self.is_tight() {
            free -= free % unit;
            if free < space / 16 || free < mss || mss == 0 {
                return 0;
            }
        }
        free = free.min(self.threshold);
        if shift > 0 {
            return free.next_multiple_of(unit);
        }
        if now + mss <= free || now > free {
            free - free % mss.max(1)
        } else if mss == full && free > now + full / 2 {
            free
        } else {
            now
        }
    }

    /// Whether reading has made so much room that the peer should hear of it: at least as much again as it has, `now`
    /// (RFC 9293 §3.8.6.2.2, MUST-39).
    pub(super) fn wants_update(&self, shift: u8, now: u32, offered: u32) -> bool {
        if u64::from(now) * 2 > u64::from(self.clamp) {
            return false;
        }
        let window = self.select(shift, offered);
        window > 0 && u64::from(window) >= 2 * u64::from(now)
    }

    /// The most that may be offered for now, the round trip as a receiver sees it, and how much the application takes in one
    /// (`rcv_ssthresh`, `rcv_rtt`, `rcv_space`).
    pub(super) fn measured(&self) -> (u32, Duration, u32) {
        (self.threshold, self.rtt.into(), self.taken)
    }

    /// The round trip as a receiver sees it; zero before the first measurement.
    pub(super) fn rtt(&self) -> Duration {
        self.rtt.into()
    }

    /// The size of the peer's segments (`rcv_mss`).
    pub(super) fn segment(&self) -> u32 {
        self.segment
    }
}

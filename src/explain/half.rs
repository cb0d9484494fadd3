//! What is known of one end of a connection, from what passed by?

use super::connection::Repeats;
use super::decode::Segment;
use super::judge::Again;
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;
use std::collections::VecDeque;

/// Segments in flight that are told apart; beyond them neighbours are merged.
const SENT_LIMIT: usize = 8192;
/// The payload of a full segment until one was announced or seen.
const USUAL_MSS: u32 = 1460;
/// What time stamps take of a segment (RFC 7323 §3.2), padded.
const STAMPS: u32 = 12;
/// Round trips that are kept.
const TIMES: usize = 64;
/// Acknowledged segments that are remembered: one of them may come again.
const GONE: usize = 64;

/// Something with data, SYN or FIN that was not acknowledged yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub start: Seq,
    pub end: Seq,
    /// When it last passed by.
    pub at: Duration,
    /// How often; not at all, if only what comes behind it did.
    pub times: u8,
    pub frame: u64,
    pub fin: bool,
    /// The time stamp that it last had.
    pub stamp: Option<u32>,
}

/// One end.
#[derive(Default, Debug)]
pub(super) struct Half {
    /// The number of its SYN.
    pub syn: Option<Seq>,
    /// Behind the highest number it used.
    pub nxt: Option<Seq>,
    /// The highest acknowledgment of what it sent.
    pub una: Option<Seq>,
    /// Behind its FIN.
    pub fin: Option<Seq>,
    /// The MSS that it announced: how much the other end may send at once.
    pub mss: Option<u16>,
    /// The largest payload it sent, and the largest with more behind it.
    pub largest: u32,
    largest_followed: u32,
    /// The scale of its SYN, and whether the SYN was captured with all its options.
    pub shift: Option<u8>,
    pub announced: bool,
    /// If the scale is not known, what was in flight shows that it is no less.
    pub least_shift: u8,
    /// The window field that it sent last, with what it acknowledged.
    offer: Option<(Seq, u16)>,
    pub sack: bool,
    pub timestamps: bool,
    pub ecn: bool,
    pub accurate_ecn: bool,
    /// What it sent again, by kind.
    pub repeats: Repeats,
    /// How often its window closed, how long it was closed, and since when it is.
    pub zero: (u64, Duration, Option<Duration>),
    /// Times from here to it and back, each so-manieth: how many are left out after each, and how many passed.
    times: (Vec<Duration>, u32, u32),
    /// The window it offers, in bytes; at the least, if its scale is not known.
    pub window: u32,
    /// The largest that it offered.
    pub largest_window: u32,
    /// The end of it, in the other end's numbers, if it is known.
    pub edge: Option<Seq>,
    /// The least time from here to it and back.
    pub path: Option<Duration>,
    /// The last time from here to it and back, for what it did not wait with.
    pub recent: Duration,
    /// The same, smoothed as senders do it (RFC 6298 §2.3), and at the least while nothing was measured: what is sent
    /// twice may have been answered when it was sent first.
    pub smooth: Option<Duration>,
    pub floor: Duration,
    /// What it sent and the other end did not acknowledge, in the order of the numbers.
    pub sent: VecDeque<Sent>,
    /// The last of what was acknowledged.
    gone: VecDeque<Sent>,
    /// Duplicate ACKs in a row that it got.
    pub duplicate_acks: u32,
    /// The highest number that was acknowledged selectively.
    pub sacked_to: Option<Seq>,
    /// An expired timer's repairs go on until this is acknowledged.
    pub rto_until: Option<Seq>,
    /// Fast recovery goes on until this is acknowledged.
    pub recovery_until: Option<Seq>,
    /// What it last sent again, and when.
    pub last_again: Option<(Again, Duration)>,
    /// The last new segment was less than a full one.
    pub last_small: bool,
    /// Behind the last such segment, and whether another one followed before it was acknowledged.
    pub small: Option<Seq>,
    pub hasty: bool,
    /// When something of its was last acknowledged.
    pub heard: Option<Duration>,
    /// It was pushed: there was nothing more to send (RFC 9293 §3.9.1.2).
    pub last_pushed: bool,
    /// The largest segment that was acknowledged.
    pub largest_acked: u32,
    /// Bytes in flight, at the most, ever.
    pub peak_flight: u32,
    /// When it last sent data, and in which frame.
    pub last_data: Option<(Duration, u64)>,
    /// Duplicates that the other end reported (RFC 2883).
    pub dsacks: u64,
    /// The latest time stamp of its segments, and the first, with when it came.
    pub stamp: Option<u32>,
    clock: Option<(Duration, u32)>,
    /// A router said that what it sent was too large: when, what that one takes, and up to where it had sent then.
    pub too_big: Option<(Duration, u32, Option<Seq>)>,
    /// What the numbers of its packets tell.
    pub idents: Idents,
    /// The number of its first segment that was captured.
    began: Option<Seq>,
    /// Bytes that were acknowledged although they were not captured, from there on.
    pub unseen: u64,
}

/// The numbers of an end's IP packets, which systems count up for each connection (Linux does).
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Idents {
    /// What the next packet's is to be.
    next: Option<u16>,
    /// How often it was, how often a few more, and how often anything else.
    steps: [u32; 3],
}

impl Idents {
    /// More missing in a row are no loss, but no counting.
    const FEW: u16 = 16;
    /// Systems that count for all connections together (Windows) let their packets pass more routers than this.
    const HOPS: u8 = 64;

    /// How many packets are missing before this one; `None` if the numbers do not tell.
    pub fn missing(&self, seg: &Segment<'_>) -> Option<u16> {
        let ahead = seg.ident?.wrapping_sub(self.next?);
        let [usual, few, other] = self.steps;
        let counts = other == 0 && usual >= few && seg.hops <= Self::HOPS;
        (counts && ahead <= Self::FEW).then_some(ahead)
    }

    /// As many copies of the same as may have been lost within `gap`: the first, a probe, and one for each time-out.
    pub fn copies(gap: Duration) -> u16 {
        2 + (gap.as_millis() / 200).max(1).ilog2() as u16
    }

    /// How long so many copies in a row take to be lost: a probe of a single segment comes after two round trips and what a
    /// delayed acknowledgment may take (RFC 8985 §7.2), then a time-out, each twice as long as the one before.
    pub fn patience(copies: u16, round_trip: Duration) -> Duration {
        const DELAY: Duration = Duration::from_millis(200);
        let doubled = (1_u32 << (copies.saturating_sub(1)).min(10)) - 1;
        round_trip * 2 + DELAY + (round_trip + DELAY) * doubled
    }

    /// Takes a packet, which may have been put together from several of `full` bytes.
    fn add(&mut self, seg: &Segment<'_>, full: u32) {
        let Some(ident) = seg.ident else { return };
        let ahead = self.next.map(|next| ident.wrapping_sub(next));
        // What was overtaken comes behind those that were sent after it.
        if ahead.is_some_and(|ahead| ahead > u16::MAX - Self::FEW) {
            return;
        }
        match ahead {
            Some(0) => self.steps[0] += 1,
            Some(few) if few <= Self::FEW => self.steps[1] += 1,
            Some(_) => self.steps[2] += 1,
            None => {}
        }
        self.next = Some(ident.wrapping_add(seg.len.div_ceil(full.max(1)).clamp(1, 64) as u16));
    }
}

/// What an acknowledgment changed for the end that got it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Acked {
    /// Numbers acknowledged for the first time.
    pub bytes: u32,
    /// Segments of them.
    pub segments: u32,
    /// From the newest of them passing here to this acknowledgment passing here; `None` if it had been sent twice.
    pub newest: Option<Duration>,
    /// The same since it was last sent, however often that was.
    pub least: Duration,
    pub newest_frame: u64,
    pub fin: bool,
}

impl Half {
    /// Numbers in flight.
    pub fn flight(&self) -> u32 {
        match (self.una, self.nxt) {
            (Some(una), Some(nxt)) if nxt.gt(una) => nxt.since(una),
            _ => 0,
        }
    }

    /// The payload of its full segments.
    pub fn full(&self, other: &Half) -> u32 {
        // Time stamps and the like leave less room than was announced, and so does the path: what was seen counts, if it is
        // near, or if more followed although it was no larger.
        let announced = other.mss.map_or(USUAL_MSS, u32::from);
        let expected = announced.saturating_sub(STAMPS);
        match self.largest_followed {
            _ if self.largest >= expected => self.largest.min(announced),
            seen if seen > announced / 2 => seen,
            _ => expected,
        }
    }

    /// Whether its clock of time stamps, which showed `stamp` at `at`, ticks within `lag`: what is sent so much later is
    /// stamped otherwise (RFC 7323 §5.4: once a second, or a thousand times).
    pub fn ticks(&self, at: Duration, stamp: u32, lag: Duration) -> bool {
        let Some((since, first)) = self.clock else { return true };
        let (ticks, time) = (u128::from(stamp.wrapping_sub(first)), at.saturating_sub(since));
        ticks * lag.as_nanos() * 4 >= time.as_nanos() * 5 && ticks > 0
    }

    /// The record that holds `seq`.
    pub fn record(&self, seq: Seq) -> Option<&Sent> {
        let n = self.sent.partition_point(|s| s.end.le(seq));
        let sent = self.sent.get(n).filter(|s| s.start.le(seq));
        sent.or_else(|| self.gone.iter().rev().find(|s| s.start.le(seq) && s.end.gt(seq)))
    }

    /// Bytes of the segment that had not passed by before: beyond what did, or missing below.
    pub fn fresh(&self, seg: &Segment<'_>) -> u32 {
        let Some(nxt) =
            self.nxt.filter(|_| seg.len > 0 && !(seg.has(Flags::SYN) && self.syn != Some(seg.seq)))
        else {
            return seg.len;
        };
        let start = if seg.has(Flags::SYN) { seg.seq + 1 } else { seg.seq };
        let end = start + seg.len;
        let beyond = if end.gt(nxt) { end.since(nxt.max(start)) } else { 0 };
        let first = self.sent.partition_point(|s| s.end.le(start));
        let gaps = self.sent.range(first..).take_while(|s| s.start.lt(end)).filter(|s| s.times == 0);
        let filled = gaps.map(|s| s.end.min(end).since(s.start.max(start)));
        // A hostile segment may be longer than numbers can be told apart.
        filled.fold(beyond, u32::saturating_add).min(seg.len)
    }

    /// Takes what the segment says of the end that sent it; the acknowledgment is the other's business.
    /// `mss` is the payload of its full segments.
    pub fn sends(&mut self, at: Duration, frame: u64, seg: &Segment<'_>, mss: u32) {
        if seg.has(Flags::SYN) {
            if self.syn != Some(seg.seq) {
                *self = Half { path: self.path, smooth: self.smooth, floor: self.floor, ..Half::default() };
            }
            self.syn = Some(seg.seq);
            self.una.get_or_insert(seg.seq);
            self.mss = seg.options.mss;
            self.announced = !seg.cut;
            self.shift = seg.options.window_scale.map(|s| s.min(14));
            self.sack = seg.options.sack_permitted;
            self.timestamps = seg.options.timestamps.is_some();
            // RFC 9768 §3.1.1 table 2: a SYN-ACK says in the three flags how the SYN came.
            let (ace, answer) = (seg.flags.ace(), seg.has(Flags::ACK));
            self.accurate_ecn = if answer { matches!(ace, 2..=6) } else { !matches!(ace, 0 | 3) };
            self.ecn = seg.has(Flags::ECE) || self.accurate_ecn;
        }
        let end = seg.end();
        self.began.get_or_insert(seg.seq);
        let stamp = seg.options.timestamps.map(|stamps| stamps.value);
        if let Some(stamp) = stamp {
            self.stamp = Some(self.stamp.map_or(stamp, |latest| Seq(latest).max(Seq(stamp)).0));
            self.clock.get_or_insert((at, stamp));
        }
        if seg.seq_len() > 0 && !seg.has(Flags::RST) {
            self.una.get_or_insert(seg.seq);
            if seg.has(Flags::FIN) {
                self.fin = Some(end);
            }
            let fin = seg.has(Flags::FIN);
            let sent = Sent { start: seg.seq, end, at, times: 1, frame, fin, stamp };
            match self.nxt {
                Some(nxt) if !end.gt(nxt) => self.again(at, seg.seq, end, stamp),
                Some(nxt) => {
                    if seg.seq.lt(nxt) {
                        self.again(at, seg.seq, nxt, stamp);
                    } else if seg.seq.gt(nxt) {
                        self.push(Sent {
                            start: nxt,
                            end: seg.seq,
                            times: 0,
                            fin: false,
                            stamp: None,
                            ..sent
                        });
                    }
                    self.push(Sent { start: seg.seq.max(nxt), ..sent });
                }
                None => self.push(sent),
            }
            self.largest = self.largest.max(seg.len.min(65_535));
            if !seg.has(Flags::PSH) && !fin {
                self.largest_followed = self.largest_followed.max(seg.len.min(65_535));
            }
        } else if let Some(nxt) = self.nxt.filter(|nxt| end.gt(*nxt) && !seg.has(Flags::RST)) {
            // Its number says that something was sent before it.
            self.push(Sent { start: nxt, end, at, times: 0, frame, fin: false, stamp: None });
        }
        if !seg.has(Flags::SYN) && !seg.has(Flags::RST) {
            self.idents.add(seg, mss);
        }
        self.nxt = Some(self.nxt.map_or(end, |nxt| nxt.max(end)));
        if seg.len > 0 {
            self.last_data = Some((at, frame));
        }
        self.peak_flight = self.peak_flight.max(self.flight());
    }

    fn push(&mut self, new: Sent) {
        let full = self.sent.len() >= SENT_LIMIT;
        match self.sent.back_mut().filter(|_| full) {
            Some(last) => {
                *last = Sent { start: last.start, times: last.times, fin: last.fin | new.fin, ..new };
            }
            None => self.sent.push_back(new),
        }
    }

    fn again(&mut self, at: Duration, start: Seq, end: Seq, stamp: Option<u32>) {
        self.cut_gap(start);
        self.cut_gap(end);
        let first = self.sent.partition_point(|s| s.end.le(start));
        for sent in self.sent.range_mut(first..).take_while(|s| s.start.lt(end)) {
            (sent.at, sent.times, sent.stamp) = (at, sent.times.saturating_add(1), stamp);
        }
    }

    /// A gap that is filled in part is two gaps from then on.
    fn cut_gap(&mut self, at: Seq) {
        let n = self.sent.partition_point(|s| s.end.le(at));
        let room = self.sent.len() < SENT_LIMIT;
        if let Some(gap) = self.sent.get_mut(n).filter(|s| room && s.times == 0 && s.start.lt(at)) {
            let before = Sent { end: at, ..*gap };
            gap.start = at;
            self.sent.insert(n, before);
        }
    }

    /// Keeps no more than the last `most` segments in flight apart: those before them are one.
    pub fn lighten(&mut self, most: usize) {
        let surplus = self.sent.len().saturating_sub(most);
        let first = self.sent.front().map(|sent| sent.start);
        self.sent.drain(..surplus);
        if let (Some(first), Some(front)) = (first, self.sent.front_mut()) {
            front.start = first;
        }
    }

    /// The other end acknowledges up to `ack`.
    pub fn acknowledged(&mut self, at: Duration, ack: Seq) -> Acked {
        let mut acked = Acked::default();
        let una = *self.una.get_or_insert(ack);
        if !ack.gt(una) {
            return acked;
        }
        acked.bytes = ack.since(una);
        self.una = Some(ack);
        self.heard = Some(at);
        let began = self.began;
        // A single number beyond is a FIN's, most likely.
        let beyond = self.nxt.filter(|nxt| ack.gt(*nxt + 1) && began.is_some());
        self.unseen += beyond.map_or(0, |nxt| u64::from(ack.since(nxt)));
        // What was acknowledged was sent, whether it was captured or not.
        self.nxt = Some(self.nxt.map_or(ack, |nxt| nxt.max(ack)));
        while let Some(first) = self.sent.front_mut() {
            if first.start.ge(ack) {
                break;
            }
            acked.segments += 1;
            if first.times == 0 && began.is_some_and(|began| first.start.ge(began)) {
                self.unseen += u64::from(first.end.min(ack).since(first.start));
            }
            acked.newest = (first.times == 1).then(|| at.saturating_sub(first.at));
            acked.least = at.saturating_sub(first.at);
            acked.newest_frame = first.frame;
            if first.end.gt(ack) {
                first.start = ack;
                break;
            }
            acked.fin |= first.fin;
            self.largest_acked = self.largest_acked.max(first.end.since(first.start));
            if self.gone.len() == GONE {
                self.gone.pop_front();
            }
            self.gone.extend(self.sent.pop_front());
        }
        self.duplicate_acks = 0;
        for mark in [&mut self.sacked_to, &mut self.rto_until, &mut self.recovery_until] {
            *mark = mark.filter(|until| until.gt(ack));
        }
        acked
    }

    /// A round trip to this end and back was seen.
    pub fn sample(&mut self, time: Duration) {
        self.path = Some(self.path.map_or(time, |path| path.min(time)));
        self.smooth = Some(self.smooth.map_or(time, |smooth| (smooth * 7 + time) / 8));
        let (kept, every, passed) = &mut self.times;
        *passed += 1;
        if *passed > *every {
            *passed = 0;
            if kept.len() == TIMES {
                let mut nth = 0;
                kept.retain(|_| {
                    nth += 1;
                    nth % 2 == 0
                });
                *every = every.saturating_mul(2).saturating_add(1);
            }
            kept.push(time);
        }
    }

    /// The median of the round trips to this end and back.
    pub fn median(&self) -> Option<Duration> {
        let mut times = self.times.0.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// By how much its window fields are scaled, `None` if the SYNs were not captured. RFC 7323 §2.2: both ends must
    /// have offered it.
    pub fn scale(&self, other: &Half) -> Option<u8> {
        match (self.announced, other.announced) {
            (true, true) => Some(self.shift.filter(|_| other.shift.is_some()).unwrap_or(0)),
            // Whoever offers it hardly ever meets somebody who does not.
            (true, false) => Some(self.shift.unwrap_or(0)),
            (false, true) => other.shift.is_none().then_some(0),
            (false, false) => None,
        }
    }

    /// Takes the window that the segment offers.
    pub fn offers(&mut self, at: Duration, seg: &Segment<'_>, other: &Half) {
        if seg.has(Flags::RST) {
            return;
        }
        match self.zero {
            (times, all, None) if seg.window == 0 => self.zero = (times + 1, all, Some(at)),
            (times, all, Some(since)) if seg.window > 0 => {
                self.zero = (times, all + at.saturating_sub(since), None);
            }
            _ => {}
        }
        // A SYN's window is not scaled.
        let scale = if seg.has(Flags::SYN) { Some(0) } else { self.scale(other) };
        self.window = u32::from(seg.window) << scale.unwrap_or(self.least_shift);
        self.largest_window = self.largest_window.max(self.window);
        if seg.has(Flags::ACK) {
            // Nothing is nothing, however it is scaled.
            self.edge = (scale.is_some() || seg.window == 0).then_some(seg.ack + self.window);
            self.offer = Some((seg.ack, seg.window));
        }
    }

    /// Whether the segment offers a larger window than the one before it, with the same acknowledgment.
    pub fn offers_more(&self, seg: &Segment<'_>, other: &Half) -> bool {
        match (self.edge, self.scale(other)) {
            (Some(edge), Some(scale)) => (seg.ack + (u32::from(seg.window) << scale)).gt(edge),
            _ => self.offer.is_some_and(|(ack, window)| ack == seg.ack && seg.window > window),
        }
    }

    /// The other end has sent up to `end`: if the scale is not known, it must be large enough for that.
    pub fn holds(&mut self, end: Seq, other: &Half) {
        let Some((ack, window)) = self.offer.filter(|(_, window)| *window > 0) else { return };
        if self.scale(other).is_some() || !end.gt(ack) {
            return;
        }
        while self.least_shift < 14 && u32::from(window) << self.least_shift < end.since(ack) {
            self.least_shift += 1;
        }
        self.window = u32::from(window) << self.least_shift;
    }
}

//! What had held this segment back? Windows, Nagle's algorithm, a buffer; seen in the acknowledgment that set it free.

use super::decode::Segment;
use super::exchange::Told;
use super::finding::{Findings, What};
use super::flow::{Flow, Packet};
use super::judge::PROMPT;
use crate::ledger::Part;
use crate::seq::Seq;
use crate::time::Duration;

/// A window that would be larger still if it could be said.
const LARGE_WINDOW: u32 = 48 << 10;
/// Segments that may be sent before the first acknowledgment (RFC 6928 §2).
const INITIAL_WINDOW: u32 = 10;
/// What nearly every path of today carries: 1,280 bytes with their headers (RFC 8200 §5).
const LEAST_MTU: u32 = 1200;
/// Flights of the same size before it is called the sender's own limit.
const PLATEAU: u32 = 3;
/// Flights of the very same size.
const SAME: u32 = 2;

/// The flights of an end that are no larger than those before.
#[derive(Default, Debug)]
pub(super) struct Plateau {
    /// The last one, how often it was no larger, and how often the very same.
    last: u32,
    flat: [u32; 2],
    /// What such waits are if they are too few.
    waits: Vec<Told>,
}

impl Plateau {
    /// Another flight of `burst` bytes, and the wait that ended it: what the wait is for, if that is known now.
    ///
    /// A congestion window grows by half a segment in each round trip at the least, unless something was `lost`.
    fn add(&mut self, burst: u32, full: u32, lost: bool, wait: Told, add: &mut dyn FnMut(Told)) {
        let flat = !lost && burst > full && burst.abs_diff(self.last) < full;
        let [near, same] = self.flat;
        self.flat = if flat { [near + 1, if burst == self.last { same + 1 } else { 0 }] } else { [0; 2] };
        self.last = burst;
        let own = self.flat[0] >= PLATEAU || self.flat[1] >= SAME;
        if own || !flat {
            for (what, frames, cost, sure) in self.waits.drain(..) {
                add((if own { What::SendBuffer } else { what }, frames, cost, sure));
            }
        }
        let (what, frames, cost, sure) = wait;
        match flat {
            true if !own => self.waits.push(wait),
            _ => add((if own { What::SendBuffer } else { what }, frames, cost, sure)),
        }
    }

    /// No more flights.
    pub fn close(&mut self, connection: usize, findings: &mut Findings) {
        for (what, frames, cost, sure) in self.waits.drain(..) {
            findings.add(what, connection, frames, cost, sure);
        }
    }
}

/// An acknowledgment that an end got: what it had been waiting for, perhaps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Release {
    pub at: Duration,
    pub ack: Seq,
    /// It carries data, in the middle of what the end that got it had begun to say.
    pub midway: bool,
    pub frame: u64,
    pub flight: u32,
    /// The end of the window before it.
    pub edge: Option<Seq>,
    pub acked_all: bool,
    pub last_small: bool,
    /// It was held back so long.
    pub delayed: Duration,
    /// Whether there was no window at all before.
    pub was_closed: bool,
}

impl Flow {
    /// The congestion window of the end `s`, if it can be known: from afar its flight is not seen.
    pub(super) fn window(&self, s: usize) -> Option<u32> {
        if self.own() == s { self.window[s] } else { Some(u32::MAX) }
    }

    /// Whether new data leaves because nothing was heard for too long (RFC 8985 §7.3), as far as it shows.
    pub(super) fn is_probe(&self, s: usize, at: Duration) -> bool {
        let half = &self.halves[s];
        let quiet =
            |since: Option<Duration>| since.is_none_or(|t| at.saturating_sub(t) >= self.round_trip() * 3 / 2);
        half.sack
            && self.halves[1 - s].sack
            && half.flight() > 0
            && half.sent.front().is_some_and(|first| quiet(Some(first.at)))
            && quiet(half.last_data.map(|(at, _)| at))
            && quiet(self.releases[s].back().map(|r| r.at))
    }

    pub(super) fn is_nagle_release(&self, s: usize, p: &Packet<'_>) -> bool {
        let full = self.halves[s].full(&self.halves[1 - s]);
        !self.opening && self.release_of(s, p, full).is_some_and(|(part, _)| part == Part::Nagle)
    }

    /// Whether an acknowledgment came so that the end `s` could send something again because of it. A reordering window
    /// may have had to pass (RFC 8985 §6.2), and the way may be longer than it was at the least.
    pub(super) fn answers(&self, s: usize, at: Duration, seg: &Segment<'_>) -> bool {
        let path = self.halves[s].path.unwrap_or_default();
        let slack = self.round_trip().max(2 * PROMPT);
        let near = |r: &Release| {
            r.ack.le(seg.seq) && r.at + path <= at + PROMPT.max(path / 8) && at <= r.at + path + slack
        };
        self.releases[s].iter().rev().any(near)
    }

    /// Whether the segment vanishes again and again while smaller ones pass: no router says what is too large for it.
    /// What was sent within a round trip in another cut does not count.
    pub(super) fn is_too_large(&self, s: usize, at: Duration, seg: &Segment<'_>) -> bool {
        let (half, apart) = (&self.halves[s], self.round_trip() * 3 / 2);
        let large = seg.len > LEAST_MTU && seg.len.saturating_mul(10) >= half.largest.saturating_mul(9);
        self.established
            && large
            && half.largest_acked.saturating_mul(10) < seg.len.saturating_mul(9)
            && half.record(seg.seq).is_some_and(|sent| sent.times >= 2 && sent.at + apart < at)
    }

    /// The end `s` waited after `burst` bytes, for its congestion window, it seems; if it has the same amount in flight
    /// round after round, it is its own limit.
    pub(super) fn add_flight(
        &mut self,
        s: usize,
        burst: u32,
        wait: Told,
        connection: usize,
        findings: &mut Findings,
    ) {
        let full = self.halves[s].full(&self.halves[1 - s]);
        self.plateau[s].add(burst, full, self.lost[s], wait, &mut |(what, frames, cost, sure)| {
            findings.add(what, connection, frames, cost, sure);
        });
    }

    /// What a wait of the end `s` is called; it had sent `burst` bytes since the one before.
    pub(super) fn what_held(
        &mut self,
        s: usize,
        part: Part,
        delayed: Duration,
        release: Option<Release>,
        burst: u32,
    ) -> What {
        let (own, other) = (&self.halves[s], &self.halves[1 - s]);
        let first = part == Part::Cwnd && !std::mem::replace(&mut self.grown[s], true);
        let scaled = own.shift.is_some() && other.shift.is_some();
        match part {
            Part::Nagle if !delayed.is_zero() => What::NagleDelayedAck,
            Part::Cwnd if self.rested[s].is_some_and(|most| burst < most) => What::SlowStartAfterIdle,
            Part::Cwnd if self.lost[s] => What::Congestion,
            // Only where the beginning was captured.
            Part::Cwnd
                if first
                    && own.syn.and(other.syn).is_some()
                    && burst < (INITIAL_WINDOW - 1).saturating_mul(own.full(other)) =>
            {
                What::InitialWindow
            }
            Part::Rwnd if release.is_some_and(|r| r.was_closed) => What::ZeroWindow,
            Part::Rwnd if !scaled && own.announced && other.announced && other.window >= LARGE_WINDOW => {
                What::WindowScaling
            }
            part => What::of(part).unwrap_or(What::Congestion),
        }
    }

    /// The acknowledgment that set free what the end `s` sent then, and what had held it.
    pub(super) fn release_of(&self, s: usize, p: &Packet<'_>, full: u32) -> Option<(Part, Release)> {
        let path = self.halves[s].path.unwrap_or_default();
        let slack = PROMPT.max(path / 4);
        // Data that came after the acknowledgment asks for an answer: that is no release.
        let since = self.halves[1 - s].last_data.map_or(0, |(_, frame)| frame);
        let near = self.releases[s].iter().rev().filter(|r| {
            // What waited for an acknowledgment that was held back had nothing else to wait for.
            let late = if r.delayed.is_zero() { slack } else { slack.max(path) };
            (r.frame > since || r.midway) && r.at + path <= p.at + slack && p.at <= r.at + path + late
        });
        let window = near.clone().find(|r| r.edge.is_some_and(|edge| p.seg.end().gt(edge)));
        match window {
            Some(r) => Some((Part::Rwnd, *r)),
            None => near.copied().next().and_then(|r| {
                let alone = self.halves[s]
                    .last_data
                    .is_none_or(|(at, frame)| frame < r.frame || (path > PROMPT && at + slack < r.at + path));
                Some((r.held(p.seg.len, full, alone, self.window(s), self.own() == s)?, r))
            }),
        }
    }
}

impl Release {
    /// What had held a segment of `len` bytes until this acknowledgment, if not the window; `None` if nothing did.
    ///
    /// `alone`: nothing else was sent since it came. `window`: the congestion window, if it was seen to be full.
    /// `near`: the capture was made where it was sent. From afar a congestion window may as well have ended a flight, and
    /// most systems hold a small segment for another small one only (Minshall's variant).
    fn held(&self, len: u32, full: u32, alone: bool, window: Option<u32>, near: bool) -> Option<Part> {
        if self.flight == 0 {
            return None;
        }
        let small = len < full;
        let room = window.unwrap_or(INITIAL_WINDOW.saturating_mul(full)) >= self.flight.saturating_add(len);
        if small && alone && self.acked_all && room && (near || self.last_small) {
            return Some(Part::Nagle);
        }
        // Small segments in flight do not fill a congestion window, unless it is of one segment: nobody writes by chance at the
        // moment at which an acknowledgment comes that was held back.
        let of_one = near && self.acked_all && !self.delayed.is_zero();
        (!self.last_small || self.flight >= 2 * full || of_one).then_some(Part::Cwnd)
    }
}

//! What had held this segment back? Windows, Nagle's algorithm, a buffer; seen in the acknowledgment that set it free.

use super::decode::Segment;
use super::exchange::Told;
use super::finding::{Findings, What};
use super::flow::{Flow, Packet, REST};
use super::half::Half;
use super::judge::PROMPT;
use crate::ledger::Part;
use crate::seq::Seq;
use crate::time::Duration;

/// A window that would be larger still if it could be said.
const LARGE_WINDOW: u32 = 48 << 10;
/// Segments that may be sent before the first acknowledgment (RFC 6928 §2).
const INITIAL_WINDOW: u32 = 10;
/// What was sent when the initial window is still what holds a sender back, in segments: some short answers, perhaps.
const EARLY: u32 = 40;
/// What nearly every path of today carries: 1,280 bytes with their headers (RFC 8200 §5).
const LEAST_MTU: u32 = 1200;
/// Flights of the same size before it is called the sender's own limit.
const PLATEAU: u32 = 3;
/// Flights of the very same size.
const SAME: u32 = 2;

/// The flights of an end that are no larger than those before.
#[derive(Default, Debug)]
pub(super) struct Plateau {
    /// The last one, since when it is counted, how often it was no larger, and how often the very same.
    last: u32,
    since: Option<Duration>,
    flat: [u32; 2],
    /// What such waits are if they are too few.
    waits: Vec<Told>,
}

impl Plateau {
    /// At `at`, so many bytes in `flight`, and the wait that ended it: what the wait is for, if that is known now.
    ///
    /// A congestion window grows by half a segment in each round trip at the least, unless something was lost.
    fn add(
        &mut self,
        at: Duration,
        round_trip: Duration,
        flight: u32,
        full: u32,
        wait: Told,
        add: &mut dyn FnMut(Told),
    ) {
        let [near, same] = self.flat;
        let mut flat = near > 0;
        if self.since.is_none_or(|since| at.saturating_sub(since) >= round_trip / 2) {
            flat = flight > full && flight.abs_diff(self.last) < full;
            self.flat =
                if flat { [near + 1, if flight == self.last { same + 1 } else { 0 }] } else { [0; 2] };
            (self.last, self.since) = (flight, Some(at));
        }
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
    /// Bytes that it acknowledges.
    pub bytes: u32,
    /// The last small segment is among them.
    pub freed: bool,
    /// The end of the window before it.
    pub edge: Option<Seq>,
    pub acked_all: bool,
    pub last_small: bool,
    /// It was held back so long.
    pub delayed: Duration,
    /// Whether there was no window at all before.
    pub was_closed: bool,
}

/// From where an end is seen.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// The capture was made there.
    near: bool,
    /// The other end is so far away that nothing comes from there by chance at a given moment.
    apart: bool,
    /// It does not hold small segments for small ones.
    hasty: bool,
    /// It had more to say when it stopped: what it sent last was not pushed.
    more: bool,
}

impl Flow {
    fn sight(&self, s: usize) -> Sight {
        let near = self.own() == s;
        Sight {
            near,
            apart: self.round_trip() >= 4 * PROMPT,
            hasty: near && self.halves[s].hasty,
            more: !self.halves[s].last_pushed,
        }
    }

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

    /// Whether the timer of a probe expires now that has a single small segment in flight: nobody else writes a second
    /// one just then (RFC 8985 §7.2; no later than the time-out).
    pub(super) fn is_in_time(&self, s: usize, at: Duration) -> bool {
        let half = &self.halves[s];
        let (Some(smooth), Some((sent, _))) = (self.halves[1 - s].smooth, half.last_data) else {
            return false;
        };
        let since = at.saturating_sub(half.heard.map_or(sent, |heard| heard.max(sent)));
        let near = |time: Duration| since.abs_diff(time) <= Duration::from_millis(12) + smooth / 8;
        self.own() == s && (near(smooth * 2 + REST) || near(smooth + REST))
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

    /// The end `s` waited with `flight` bytes, for its congestion window, it seems; if it has the same amount in flight
    /// round after round, it is its own limit.
    pub(super) fn add_flight(
        &mut self,
        s: usize,
        at: Duration,
        flight: u32,
        wait: Told,
        connection: usize,
        findings: &mut Findings,
    ) {
        let full = self.halves[s].full(&self.halves[1 - s]);
        let mut add = |(what, frames, cost, sure)| findings.add(what, connection, frames, cost, sure);
        // A buffer that once held twice as much is not what is full (BBR empties the path now and then).
        let most = if self.own() == s { self.most[s] } else { self.burst[s].1 };
        if self.lost[s] || self.halves[s].repeats.probe > 0 || flight < most / 2 {
            self.plateau[s].waits.drain(..).for_each(&mut add);
            return add(wait);
        }
        // A full queue makes the way longer than it is at the least.
        let usual = |half: &Half| half.recent.max(half.path.unwrap_or_default());
        let round_trip = self.halves.iter().map(usual).sum();
        self.plateau[s].add(at, round_trip, flight, full, wait, &mut add);
    }

    /// What a wait of the end `s` is called; it had sent `burst` bytes since the one before, with so many in `flight`.
    pub(super) fn what_held(
        &mut self,
        s: usize,
        part: Part,
        delayed: Duration,
        release: Option<Release>,
        [burst, flight]: [u32; 2],
    ) -> What {
        let (own, other) = (&self.halves[s], &self.halves[1 - s]);
        let first = part == Part::Cwnd && !std::mem::replace(&mut self.grown[s], true);
        let scaled = own.shift.is_some() && other.shift.is_some();
        match part {
            Part::Nagle if !delayed.is_zero() => What::NagleDelayedAck,
            Part::Cwnd if self.rested[s].is_some_and(|most| flight < most) => What::SlowStartAfterIdle,
            Part::Cwnd if self.lost[s] => What::Congestion,
            // Only where the beginning was captured.
            Part::Cwnd
                if first
                    && other.syn.and(own.syn).zip(own.nxt).is_some_and(|(syn, nxt)| {
                        nxt.since(syn) <= EARLY.saturating_mul(own.full(other))
                    })
                    && burst < (INITIAL_WINDOW - 1).saturating_mul(own.full(other)) =>
            {
                What::InitialWindow
            }
            // Nothing had come that could have filled it.
            Part::Rwnd if release.is_some_and(|r| r.was_closed) && own.last_data.is_none() => {
                What::LateWindow
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
                Some((r.held(p.seg.len, full, alone, self.window(s), self.sight(s))?, r))
            }),
        }
    }
}

impl Release {
    /// What had held a segment of `len` bytes until this acknowledgment, if not the window; `None` if nothing did.
    ///
    /// `alone`: nothing else was sent since it came. `window`: the congestion window, if it was seen to be full.
    /// Most systems hold a small segment for another small one only (Minshall's variant); from afar a congestion window may as
    /// well have ended a flight of others.
    fn held(&self, len: u32, full: u32, alone: bool, window: Option<u32>, sight: Sight) -> Option<Part> {
        if self.flight == 0 {
            return None;
        }
        let small = len < full;
        let room = window.unwrap_or(INITIAL_WINDOW.saturating_mul(full)) >= self.flight.saturating_add(len);
        let waits = match sight.near {
            // In the middle of much that is in flight it is the room in a buffer that acknowledgments give.
            true => {
                let few = self.flight < INITIAL_WINDOW.saturating_mul(full);
                self.acked_all || (self.freed && (few || sight.more))
            }
            false => self.acked_all && self.last_small,
        };
        if small && alone && room && waits && !sight.hasty {
            return Some(Part::Nagle);
        }
        // Small segments in flight do not fill a congestion window, unless it is of few segments: nobody writes by chance at the
        // moment at which an acknowledgment comes that was on its way for long.
        let late = self.acked_all && !self.delayed.is_zero();
        let of_few = sight.near && (late || (sight.apart && (sight.hasty || !small)));
        (!self.last_small || self.flight >= 2 * full || of_few).then_some(Part::Cwnd)
    }
}

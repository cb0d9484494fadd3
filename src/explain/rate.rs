//! Was the path full? Segments that follow each other without a rest, round trip after round trip, at a steady rate.

use super::flow::WORTH;
use crate::time::Duration;
use std::collections::VecDeque;

/// Fewer full segments say nothing.
const ENOUGH: u64 = 20;

/// What one end sends without a rest.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Run {
    start: Option<(Duration, u64)>,
    last: (Duration, u64),
    bytes: u64,
    /// Segments that were not full: at each, the application may have had no more.
    small: u64,
    /// The round trip that is going on: when it began, and its bytes; those of the one before.
    round: (Duration, u64),
    before: u64,
    /// Round trips that were seen, and those in which a queue was.
    trips: [u64; 2],
}

/// A run that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full {
    pub frames: (u64, u64),
    pub time: Duration,
    /// Bytes.
    pub bytes: u64,
    /// No queue was seen on its way, though it was looked for: the sender spread it.
    pub spread: bool,
}

/// How fast the path carried what one end sent at first, as it came, or as it was acknowledged.
#[derive(Clone, Default, Debug)]
pub(super) struct Carried {
    /// The last arrivals: when, and all bytes until then.
    last: VecDeque<(Duration, u64)>,
    /// Bytes in a second, at the most in each round trip, and when that one began.
    rounds: Vec<(Duration, u64)>,
}

impl Carried {
    /// Arrivals of which the time is taken: few of them may come together by chance.
    const TOGETHER: usize = 9;
    /// What a clock cannot tell.
    const LEAST: Duration = Duration::from_micros(20);
    /// Round trips that are looked at: an initial window leaves in one go.
    const ROUNDS: usize = 3;

    /// So many bytes came at `at`, of segments of `full`.
    pub fn add(&mut self, at: Duration, bytes: u32, full: u32, round_trip: Duration) {
        let begins = self.rounds.last().is_none_or(|(since, _)| at.saturating_sub(*since) >= round_trip);
        if begins && self.rounds.len() == Self::ROUNDS {
            self.last = VecDeque::new();
            return;
        }
        if begins {
            self.rounds.push((at, 0));
            self.last.clear();
        }
        let all = self.last.back().map_or(0, |(_, all)| *all) + u64::from(bytes);
        if self.last.len() == Self::TOGETHER {
            self.last.pop_front();
        }
        self.last.push_back((at, all));
        let (Some(&(since, before)), Some((_, most))) = (self.last.front(), self.rounds.last_mut()) else {
            return;
        };
        let came = all - before;
        if came >= 7 * u64::from(full) {
            let time = at.saturating_sub(since).max(Self::LEAST);
            *most = (*most).max((came as f64 / time.as_secs_f64()) as u64);
        }
    }

    /// Whether it carried much more than this.
    pub fn exceeds(&self, run: &Full) -> bool {
        let fast =
            |(_, most): &(Duration, u64)| *most as f64 * run.time.as_secs_f64() > 4.0 * run.bytes as f64;
        self.rounds.iter().any(fast)
    }
}

impl Run {
    /// Whether a segment that leaves at `at` goes on with it. What is answered at once has no rest before it either, but what
    /// was asked for after a pause begins anew.
    pub fn goes_on(&self, at: Duration, round_trip: Duration) -> bool {
        self.start.is_some() && at.saturating_sub(self.last.0) <= (round_trip * 2).max(WORTH * 2)
    }

    /// Another segment without a rest before it.
    pub fn add(&mut self, at: Duration, frame: u64, len: u32, full: u32, round_trip: Duration) {
        self.last = (at, frame);
        self.bytes += u64::from(len);
        self.small += u64::from(len < full);
        self.round.1 += u64::from(len);
        if at.saturating_sub(self.round.0) >= round_trip.max(WORTH) {
            // What still grows is not the path.
            if self.before > 0 && self.round.1 > self.before / 4 * 5 {
                let (since, bytes) = self.round;
                *self = Run { start: Some((since, frame)), last: self.last, bytes, ..Run::default() };
                self.before = bytes;
            } else {
                self.before = self.round.1;
            }
            self.round = (at, 0);
        }
    }

    /// An acknowledgment came `time` after what it acknowledges; the least was `least`.
    pub fn trip(&mut self, time: Duration, least: Duration) {
        self.trips[0] += 1;
        self.trips[1] += u64::from(time > least * 5 / 4 + WORTH);
    }

    /// It begins with this segment.
    pub fn begin(&mut self, at: Duration, frame: u64) {
        *self = Run { start: Some((at, frame)), last: (at, frame), round: (at, 0), ..Run::default() };
    }

    /// A rest: what was before it, if the path was full.
    pub fn stop(&mut self, full: u32, round_trip: Duration) -> Option<Full> {
        let run = std::mem::take(self);
        let (start, frame) = run.start?;
        let time = run.last.0.saturating_sub(start);
        let long = time >= (round_trip * 2).max(WORTH * 2) && run.before > 0;
        let segments = run.bytes / u64::from(full.max(1));
        (long && segments >= ENOUGH && run.small * 8 <= segments).then_some(Full {
            frames: (frame, run.last.1),
            time,
            bytes: run.bytes,
            spread: run.trips[0] >= ENOUGH / 2 && run.trips[1] * 10 < run.trips[0],
        })
    }
}

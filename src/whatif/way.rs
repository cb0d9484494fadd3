//! What does an end send, and which of it was written in one go?

use super::habits::{Habits, ip_length, note_rate};
use super::scenario::Offer;
use super::wire_model::Sending;
use crate::explain::{Caused, Part};
use crate::seq::Seq;
use crate::time::Duration;
use std::collections::BTreeMap;

/// Bytes of a stream that are kept.
const BYTES: usize = 256 << 20;

/// What an end sends.
#[derive(Default)]
pub(super) struct Way {
    pub isn: Option<Seq>,
    pub offer: Offer,
    pub syns: u32,
    /// Behind the highest byte that passed.
    pub next: u64,
    /// What is missing below it, and since when.
    pub gaps: Vec<(u64, u64, Duration)>,
    /// What passed, in this order; a FIN counts as a byte.
    pub passed: Vec<Passed>,
    pub writes: Vec<Write>,
    /// By their beginnings: what is told and has not been seen.
    pub ghosts: Vec<Ghost>,
    /// The last new segment was not full: its write ended there.
    pub small: bool,
    /// How often the packet that begins there passed.
    pub sent: BTreeMap<u64, u32>,
    pub fin: Option<Write>,
    pub bytes: Vec<u8>,
    pub acked: u64,
    /// A small segment went out while one was not acknowledged: Nagle's algorithm is off.
    pub hasty: bool,
    /// It held something: it is on, or was.
    pub held: bool,
    pub small_until: u64,
    /// The first data that this end's next acknowledgment will cover, when it passed.
    pub owes: Option<Duration>,
    /// When the last full segment passed, and how fast others followed such: bits per second.
    pub last_full: Option<Duration>,
    pub rates: Vec<(Duration, u64)>,
    /// The same of acknowledgments for what it sent.
    pub last_ack: Option<Duration>,
    /// Bytes of the first flight that the congestion window ended.
    pub first_flight: Option<u64>,
    /// What had been sent when the first acknowledgment came.
    pub first_acked: Option<u64>,
    /// The largest window that it offered, and whether the other end had to wait for it.
    pub window: u32,
    pub filled: bool,
    pub ack_rates: Vec<(Duration, u64)>,
    pub delays: Vec<Duration>,
    /// It acknowledged a full segment alone, at once.
    pub quick: bool,
}

/// A packet that the network took away before it came here, or held back.
#[derive(Clone, Copy)]
pub(super) struct Ghost {
    pub start: u64,
    pub end: u64,
    /// When it would have passed here.
    pub at: Duration,
    /// What its sender had got by then.
    pub saw: u64,
    pub fin: bool,
}

/// A packet with data, or with the FIN.
#[derive(Clone, Copy)]
pub(super) struct Passed {
    pub at: Duration,
    pub sending: Sending,
    pub start: u64,
    pub end: u64,
    /// It never arrived.
    pub lost: bool,
    /// So much later it may have arrived: it was held back.
    pub slack: Duration,
}

#[derive(Clone, Copy)]
pub(super) struct Write {
    pub at: Duration,
    /// Of its first packet.
    pub sending: Sending,
    pub until: u64,
    pub saw: u64,
    /// TCP had held it: it was written right after the one before, as far as anybody can tell.
    pub prompt: bool,
    pub with_data: bool,
    /// Nagle's algorithm would have held it.
    pub hasty: bool,
    /// What precedes it ended with a full segment.
    pub goes_on: bool,
}

impl Way {
    /// The byte of the stream that `seq` stands for; −1 is the SYN.
    pub fn place(&self, isn: Seq, seq: Seq) -> i64 {
        let next = isn + 1 + self.next as u32;
        self.next as i64 + i64::from(seq.0.wrapping_sub(next.0) as i32)
    }

    /// Data, some of which may be new.
    pub fn data(&mut self, offset: u64, mut write: Write, c: &Caused<'_>, (full, repeats): (u64, bool)) {
        let (end, len) = (write.until, u64::from(c.segment.len));
        let small = len % full.max(1) != 0;
        self.keep(offset, c.segment.payload);
        if end > self.next {
            if c.held == Some(Part::Cwnd) && self.first_flight.is_none() {
                let begun = self.writes.iter().rev().nth(1).map_or(0, |w| w.until);
                self.first_flight = Some(self.next - begun);
            }
            if let Some(last) = std::mem::replace(&mut self.last_full, (!small).then_some(write.at)) {
                note_rate(&mut self.rates, ip_length(c), write.at.saturating_sub(last));
            }
            if offset > self.next {
                self.gaps.push((self.next, offset, write.at));
            }
            if small && self.small_until > self.acked && offset >= self.small_until {
                (self.hasty, write.hasty) = (true, true);
            }
            self.held |= c.held == Some(Part::Nagle);
            if small {
                self.small_until = end;
            }
            // What was lost on its way here had been written with what came before.
            let thought = !repeats && matches!(c.held, Some(Part::App | Part::Server | Part::Nagle));
            match self.writes.last_mut().filter(|_| !self.small && !thought) {
                Some(last) => last.until = end,
                None => {
                    write.goes_on = !self.small;
                    self.writes.push(write);
                }
            }
            self.small = small;
            self.next = end;
        } else {
            self.fill(offset, end);
        }
    }

    /// Data that did not come here when it was sent.
    pub fn unseen(&mut self, start: u64, write: Write, full: u64) {
        let end = write.until;
        if end <= self.next {
            return;
        }
        match self.writes.last_mut().filter(|_| !self.small) {
            Some(last) => last.until = end,
            None => self.writes.push(write),
        }
        self.small = !end.saturating_sub(start).is_multiple_of(full.max(1));
        self.next = end;
    }

    /// What of it had arrived at the other end by then, which is so far away.
    pub fn arrived_by(&self, at: Duration, path: Duration) -> u64 {
        /// Packets of one flight that are looked at.
        const FLIGHT: usize = 64;
        // Rows have whole microseconds.
        let at = at + Duration::from_micros(1);
        let there = self.passed.iter().rev().filter(|p| !p.lost && p.at + p.sending.takes + path <= at);
        there.take(FLIGHT).map(|p| p.end).max().unwrap_or(0)
    }

    /// The most bytes that passed within such a time.
    pub fn most_within(&self, time: Duration) -> u64 {
        let (mut first, mut bytes, mut most) = (0, 0, 0);
        for passed in &self.passed {
            bytes += passed.end - passed.start;
            while self.passed[first].at + time < passed.at {
                bytes -= self.passed[first].end - self.passed[first].start;
                first += 1;
            }
            most = most.max(bytes);
        }
        most
    }

    /// What was missing is not any more.
    pub fn fill(&mut self, start: u64, end: u64) {
        let gaps = std::mem::take(&mut self.gaps);
        for (from, to, since) in gaps {
            self.gaps.extend(
                [(from, to.min(start), since), (from.max(end), to, since)].into_iter().filter(|g| g.0 < g.1),
            );
        }
    }

    pub fn keep(&mut self, offset: u64, payload: &[u8]) {
        let Ok(start) = usize::try_from(offset) else { return };
        // Whoever leaves out a gigabyte is not believed.
        if payload.is_empty() || start > BYTES {
            return;
        }
        let end = start + payload.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(payload);
    }

    /// Where its writes end, the FIN included.
    pub fn marks(&self) -> Vec<u64> {
        self.writes.iter().chain(&self.fin).map(|w| w.until).collect()
    }

    /// What shows of the settings of its stack; `full` is the payload of its full segments.
    pub fn habits(&self, path: Duration, full: u32, near: bool) -> Habits {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        Habits {
            hasty: self.hasty && !self.held,
            ack_delay: delays.get(delays.len() / 2).map(|d| d.saturating_sub(path * 2)),
            quick: self.quick,
            initial: self.first_flight.map(|bytes| {
                // Here an acknowledgment tells the first flight from what followed it.
                let bytes = self.first_acked.filter(|_| near).map_or(bytes, |first| first.min(bytes));
                bytes.div_ceil(full.into())
            }),
            window: self.filled.then_some(self.window),
        }
    }
}

/// When so many bytes had come in order: of each packet that brought more, its time and the end of what there was then.
pub(super) fn in_order<'a>(passed: impl Iterator<Item = &'a Passed>) -> Vec<Passed> {
    let (mut next, mut beyond, mut list) = (0, BTreeMap::new(), Vec::new());
    for p in passed {
        let before = next;
        let end = beyond.entry(p.start).or_insert(p.end);
        *end = p.end.max(*end);
        while let Some(first) = beyond.first_entry().filter(|first| *first.key() <= next) {
            next = next.max(first.remove());
        }
        if next > before {
            list.push(Passed { end: next, ..*p });
        }
    }
    list
}

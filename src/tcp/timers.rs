//! What is due when? One deadline per kind.

use crate::time::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(super) enum Timer {
    /// Retransmission (RFC 6298), of a SYN too.
    Rto,
    /// Probing a closed window (RFC 9293 §3.8.6.1).
    Persist,
    /// The delayed acknowledgment (RFC 9293 §3.8.6.3).
    Ack,
    /// Gathered acknowledgments of data beyond a gap.
    Gathered,
    /// Keep-alive (RFC 9293 §3.8.4).
    KeepAlive,
    /// The user timeout (RFC 5482).
    User,
    /// The end of a cork.
    Cork,
    /// RACK: the next segment is lost unless it is delivered (RFC 8985 §6.2).
    Reorder,
    /// The tail-loss probe (RFC 8985 §7).
    Tail,
    /// Pacing lets the next segments leave.
    Pacing,
    /// The end of FIN-WAIT-2 without an owner.
    Farewell,
    /// Buffers that hold nothing are given back.
    Rest,
}

const COUNT: usize = 12;

/// All deadlines of a connection; none need no memory.
pub(super) struct Timers(Option<Box<[Instant; COUNT]>>);

const NONE: [Instant; COUNT] = [Instant::FAR; COUNT];

impl Timers {
    pub(super) const fn new() -> Timers {
        Timers(None)
    }

    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0.get_or_insert_with(|| Box::new(NONE))[timer as usize] = at;
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(deadlines) = &mut self.0 {
            deadlines[timer as usize] = Instant::FAR;
        }
    }

    pub(super) fn clear_all(&mut self) {
        *self = Timers::new();
    }

    /// Gives the memory back if nothing is due.
    pub(super) fn rest(&mut self) {
        if self.next().is_none() {
            self.0 = None;
        }
    }

    /// When `timer` is due; [`Instant::FAR`] if it is not set.
    pub(super) fn at(&self, timer: Timer) -> Instant {
        self.0.as_ref().map_or(Instant::FAR, |deadlines| deadlines[timer as usize])
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at(timer) != Instant::FAR
    }

    /// Whether `timer` has expired; if so it is cleared.
    pub(super) fn take_expired(&mut self, timer: Timer, now: Instant) -> bool {
        let expired = self.at(timer) <= now;
        if expired {
            self.clear(timer);
        }
        expired
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        // Asked for after each packet.
        let least =
            self.0.as_ref()?.iter().fold(Instant::FAR, |least, &at| if at < least { at } else { least });
        (least != Instant::FAR).then_some(least)
    }
}

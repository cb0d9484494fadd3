//! How fast does data reach the peer? Measured as Linux does it for `TCP_INFO`, segment by segment.
//!
//! Each transmission remembers how much had been delivered when it left. When it is delivered itself, what was delivered in
//! between divided by the time that took is the rate; of the time to send and the time to hear of it the longer one counts,
//! so that acknowledgments that come in a bunch do not seem fast.

use super::scoreboard::Record;
use crate::time::{Duration, Instant};

/// What a transmission remembers.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Departure {
    /// Segments delivered by then, and when the last of them was.
    delivered: u32,
    delivered_at: Instant,
    /// When the first transmission of its measurement left.
    first: Instant,
    /// There was too little to send.
    limited: bool,
}

/// The deliveries of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Segments that reached the peer, SYN and FIN included.
    delivered: u32,
    delivered_at: Instant,
    first: Instant,
    /// While `delivered` is not beyond it there was too little to send; 0 for never.
    limited_until: u32,
    /// The last measurement: so many segments in so many microseconds.
    segments: u32,
    interval: u32,
}

/// In `segments`: there was too little to send when that was measured. Never are so many segments delivered in a round trip.
const LIMITED: u32 = 1 << 31;

fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}

impl Departure {
    /// Segments delivered by then.
    pub(super) fn delivered(&self) -> u32 {
        self.delivered
    }
}

impl Rate {
    pub(super) fn new() -> Rate {
        Rate {
            delivered: 0,
            delivered_at: Instant::ZERO,
            first: Instant::ZERO,
            // Nothing was there to be sent so far.
            limited_until: u32::MAX,
            segments: LIMITED,
            interval: 0,
        }
    }

    /// A segment leaves; `idle` if nothing is in flight.
    pub(super) fn depart(&mut self, now: Instant, idle: bool) -> Departure {
        if idle {
            (self.first, self.delivered_at) = (now, now);
        }
        let Rate { delivered, delivered_at, first, .. } = *self;
        Departure { delivered, delivered_at, first, limited: self.limited_until != 0 }
    }

    /// The peer has our SYN.
    pub(super) fn open(&mut self, now: Instant) {
        (self.delivered, self.delivered_at) = (1, now);
    }

    /// It speaks before it has answered our SYN-ACK (RFC 7413 §4.2.2).
    pub(super) fn open_early(&mut self) {
        self.delivered = 0;
    }

    /// It had heard of ours before it had sent its own, and tells of it now; or its answer to our SYN-ACK comes last.
    pub(super) fn open_again(&mut self) {
        self.delivered += 1;
    }

    /// The application writes while all before it has left and `in_flight` segments are out, for which there was more room.
    pub(super) fn too_little(&mut self, in_flight: u32) {
        self.limited_until = self.delivered.wrapping_add(in_flight).max(1);
    }

    /// An acknowledgment reported `segments` for the first time, `latest` being what was sent last of them.
    pub(super) fn on_ack(&mut self, now: Instant, segments: u32, latest: Option<&Record>, min_rtt: Duration) {
        if segments == 0 {
            return;
        }
        self.delivered = self.delivered.wrapping_add(segments);
        self.delivered_at = now;
        if self.delivered.wrapping_sub(self.limited_until) as i32 > 0 {
            self.limited_until = 0;
        }
        let Some(record) = latest else { return };
        self.first = record.last_sent;
        let Departure { delivered, delivered_at, first, limited } = record.departure;
        let interval = record.last_sent.since(first).max(now.since(delivered_at));
        // Faster than any packet: what was repeated had been there already.
        if interval < min_rtt && min_rtt < Duration::MAX {
            return;
        }
        let (segments, interval) = (self.delivered.wrapping_sub(delivered), micros(interval));
        let faster = u64::from(segments) * u64::from(self.interval)
            >= u64::from(self.segments()) * u64::from(interval);
        if !limited || faster {
            self.segments = segments & !LIMITED | if limited { LIMITED } else { 0 };
            self.interval = interval;
        }
    }

    fn segments(&self) -> u32 {
        self.segments & !LIMITED
    }

    /// Segments that reached the peer.
    pub(super) fn delivered(&self) -> u32 {
        self.delivered
    }

    /// The last measurement in segments of `mss` bytes; 0 before the first.
    pub(super) fn bytes_per_second(&self, mss: u32) -> u64 {
        u64::from(self.segments()) * u64::from(mss) * 1_000_000 / u64::from(self.interval.max(1))
    }

    /// There was too little to send when it was made.
    pub(super) fn app_limited(&self) -> bool {
        self.segments & LIMITED != 0
    }
}

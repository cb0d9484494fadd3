//! Was this packet captured before? On a bridge, or where two captures were merged, each one is seen twice.

use super::decode::Segment;
use super::read::Stated;
use crate::time::Duration;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Packets that are remembered.
const SLOTS: usize = 1 << 15;
/// Two places are no further apart.
const FAR: Duration = Duration::from_secs(2);
/// No time-out is shorter, as most systems have it.
const SOON: Duration = Duration::from_millis(200);
/// What was captured twice in one place comes so soon.
const NEAR: Duration = Duration::from_millis(1);

/// The last packets, by what tells them from each other.
#[derive(Default, Debug)]
pub(super) struct Doubles(Vec<(u64, Duration)>);

/// A packet that had been captured before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Double {
    /// In the same place.
    Here,
    /// In another one.
    Elsewhere,
}

impl Doubles {
    /// Whether the very same packet, not only the same segment, had passed by: its sender numbers what it sends again
    /// anew (RFC 6864 §4), or stamps it with another time. `counts`: that sender is known to number its packets. What a
    /// stack of ours got twice, it says: the same packet is only what happened at the same time in the same words.
    pub fn add(
        &mut self,
        at: Duration,
        flow: usize,
        seg: &Segment<'_>,
        counts: bool,
        stated: Option<Stated<'_>>,
    ) -> Option<Double> {
        if self.0.is_empty() {
            self.0 = vec![(0, Duration::ZERO); SLOTS];
        }
        let mut hasher = DefaultHasher::new();
        let stamps = seg.options.timestamps.map(|t| (t.value, t.echo));
        (flow, seg.source, seg.ident, seg.seq.0, seg.ack.0).hash(&mut hasher);
        (seg.flags.0, seg.window, seg.len, stamps).hash(&mut hasher);
        stated.map(|s| (s.why, s.sentence, s.numbers, s.sent)).hash(&mut hasher);
        let sign = hasher.finish() | 1;
        let slot = &mut self.0[(sign >> 1) as usize % SLOTS];
        let (before, then) = std::mem::replace(slot, (sign, at));
        let lag = at.saturating_sub(then);
        let told = seg.ident.is_some() && (counts || lag < SOON);
        // Acknowledgments alone may be said twice.
        let stamped = stamps.is_some() && seg.seq_len() > 0;
        match before == sign {
            same if stated.is_some() => (same && lag.is_zero()).then_some(Double::Here),
            true if lag <= NEAR && (told || seg.seq_len() > 0) => Some(Double::Here),
            true if lag <= FAR && (told || stamped) => Some(Double::Elsewhere),
            _ => None,
        }
    }
}

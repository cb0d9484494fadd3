//! Was this packet captured before? On a bridge, or where two captures were merged, each one is seen twice.

use super::decode::Segment;
use super::half::Half;
use super::read::Stated;
use crate::segment::Flags;
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

/// The last packets, by what tells them from each other, with when they came and how many routers they had before them.
#[derive(Default, Debug)]
pub(super) struct Doubles(Vec<(u64, Duration, u8)>);

/// A packet that had been captured before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Double {
    /// In the same place.
    Here,
    /// In another one.
    Elsewhere,
}

/// What is known of a connection whose packets are all captured twice.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Pairs {
    /// How often that was, and how much later the second came at the most.
    seen: u32,
    lag: Duration,
}

impl Doubles {
    /// Whether the very same packet, not only the same segment, had passed by: its sender numbers what it sends again
    /// anew (RFC 6864 §4), or stamps it with another time. `counts`: that sender is known to number its packets; `half`:
    /// what else is known of it. What a stack of ours got twice, it says: the same packet is only what happened at the same time
    /// in the same words.
    #[allow(clippy::too_many_arguments, reason = "what tells packets from each other")]
    pub fn add(
        &mut self,
        at: Duration,
        flow: usize,
        seg: &Segment<'_>,
        counts: bool,
        half: &Half,
        pairs: &mut Pairs,
        stated: Option<Stated<'_>>,
    ) -> Option<Double> {
        if self.0.is_empty() {
            self.0 = vec![(0, Duration::ZERO, 0); SLOTS];
        }
        let mut hasher = DefaultHasher::new();
        let stamps = seg.options.timestamps.map(|t| (t.value, t.echo));
        (flow, seg.source, seg.ident, seg.seq.0, seg.ack.0).hash(&mut hasher);
        (seg.flags.0, seg.window, seg.len, stamps).hash(&mut hasher);
        stated.map(|s| (s.why, s.sentence, s.numbers, s.sent)).hash(&mut hasher);
        let sign = hasher.finish() | 1;
        let slot = &mut self.0[(sign >> 1) as usize % SLOTS];
        let (before, then, hops) = std::mem::replace(slot, (sign, at, seg.hops));
        let lag = at.saturating_sub(then);
        if before != sign {
            return None;
        }
        if stated.is_some() {
            return lag.is_zero().then_some(Double::Here);
        }
        let (soon, bare) = (lag < SOON, seg.seq_len() == 0);
        let told = seg.ident.is_some() && (counts || soon);
        // Acknowledgments alone may be said twice.
        let stamped = stamps.is_some_and(|(value, _)| !bare && half.ticks(then, value, lag));
        // A router was between; or no SYN is sent again so soon, nor anything else as soon as it was.
        let routed = soon && hops != seg.hops;
        let usual = pairs.seen > u32::from(bare) && lag <= pairs.lag * 2 + NEAR / 2;
        let paired = soon && (usual || seg.has(Flags::SYN));
        let double = match () {
            () if lag <= NEAR && (told || !bare || (paired && !routed)) => Double::Here,
            () if lag <= FAR && (told || stamped || routed || paired) => Double::Elsewhere,
            () => return None,
        };
        *pairs = Pairs { seen: pairs.seen.saturating_add(1), lag: pairs.lag.max(lag) };
        if bare {
            // What comes a third time is another one.
            slot.0 = 0;
        }
        Some(double)
    }
}

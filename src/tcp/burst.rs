//! How many segments leave together? As many as about a millisecond of the flow's rate fills, and the last of them is
//! pushed, so that a receiver that merges segments hands them on: what Linux does with segmentation offload.

use super::conn::{Conn, Cx};
use crate::seq::Seq;
use crate::time::Duration;

/// A burst has room for so many segments at least.
const LEAST_SEGMENTS: u64 = 2;

/// The largest burst in bytes: what one packet can be.
const MOST_BYTES: u64 = 65_535;

/// A round trip this short leaves room for the largest burst; each time as long again halves that room.
const SHORT_ROUND_TRIP: Duration = Duration::from_micros(512);

/// The burst that is being sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    /// Behind its last byte.
    end: Seq,
}

impl Burst {
    pub(super) fn new(iss: Seq) -> Burst {
        Burst { end: iss }
    }

    /// What is left of the burst at `nxt`.
    pub(super) fn left(&self, nxt: Seq) -> Option<u32> {
        self.end.gt(nxt).then(|| self.end.since(nxt))
    }

    /// A burst reaches to `end`.
    pub(super) fn begin(&mut self, end: Seq) {
        self.end = end;
    }
}

impl Conn {
    /// How many bytes may leave together, in segments of `full` bytes: half of the window at the most.
    pub(super) fn burst_limit(&self, cx: &Cx, full: u32) -> u32 {
        if !cx.cfg.bursts {
            return MOST_BYTES as u32;
        }
        let (window, size) = (u64::from(self.send_limit()), u64::from(full));
        let most = MOST_BYTES / size;
        let by_rate = match self.rtt.srtt() {
            None => most,
            Some(srtt) => {
                let percent = if window < u64::from(self.cc.ssthresh()) / 2 { 200 } else { 120 };
                let outstanding = window.max(u64::from(self.snd.flight()));
                let rate = outstanding * percent * 10_000 / (srtt.as_micros() as u64).max(1);
                let quiet = self.rack.min_rtt().as_micros() as u64 / SHORT_ROUND_TRIP.as_micros() as u64;
                let room = if quiet < 17 { (MOST_BYTES + 1) >> quiet } else { 0 };
                (((rate >> 10) + room).min(MOST_BYTES) / size).max(LEAST_SEGMENTS)
            }
        };
        let half = (window / size / 2).max(1);
        (by_rate.min(half).min(most.max(1)) * size) as u32
    }
}

//! When does a packet that passes here arrive there, and when had one been sent that passes here?

use crate::time::Duration;

/// One direction of a link of known bandwidth, between two hosts.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct WireModel {
    /// Bits per second, if known.
    bandwidth: Option<u64>,
    free: Duration,
    rest: u64,
    /// Since when packets follow each other without a gap.
    busy: Duration,
    /// Before the last packet: until when the wire was taken.
    before: (Duration, u64),
}

/// What a packet found on the wire.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sending {
    /// From the place of the capture, how long it waited for the wire and took to be put on it.
    pub takes: Duration,
    /// Of one that comes from the other end: when its first bit had been sent, as it would have passed here.
    pub begun: Duration,
    /// Since when others had kept the wire busy before it, in the same terms.
    pub busy: Duration,
}

impl WireModel {
    pub fn new(bandwidth: Option<u64>) -> WireModel {
        WireModel { bandwidth: bandwidth.filter(|rate| *rate > 0), ..WireModel::default() }
    }

    /// A packet of so many bytes is sent from here.
    pub fn sent(&mut self, at: Duration, bytes: u64) -> Sending {
        let Some(rate) = self.bandwidth else {
            return Sending { takes: Duration::ZERO, begun: at, busy: at };
        };
        self.before = (self.free, self.rest);
        if self.free < at {
            (self.free, self.rest) = (at, 0);
        }
        // Whole nanoseconds and the rest, as the simulator's links count.
        let time = u128::from(bytes) * 8 * 1_000_000_000 + u128::from(self.rest);
        self.free += Duration::from_nanos((time / u128::from(rate)).try_into().unwrap_or(u64::MAX));
        self.rest = (time % u128::from(rate)) as u64;
        Sending { takes: self.free - at, begun: at, busy: at }
    }

    /// The last packet that was sent found no room.
    pub fn undo(&mut self) {
        (self.free, self.rest) = self.before;
    }

    /// A packet of so many bytes has come here.
    pub fn came(&mut self, at: Duration, bytes: u64) -> Sending {
        /// What whole nanoseconds leave over.
        const ROUNDING: Duration = Duration::from_nanos(2);
        let takes = self.bandwidth.map_or(Duration::ZERO, |rate| {
            let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate);
            Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
        });
        let begun = at.saturating_sub(takes);
        if begun > self.free + ROUNDING {
            self.busy = begun;
        }
        self.free = at;
        Sending { takes: Duration::ZERO, begun, busy: self.busy.min(begun) }
    }
}

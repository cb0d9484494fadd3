//! When does a packet that passes here arrive there, and when had one been sent that passes here?

use crate::time::Duration;

/// One direction of a link of known delay, perhaps of known bandwidth.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct WireModel {
    /// From end to end.
    pub delay: Duration,
    /// Bits per second, if known.
    pub bandwidth: Option<u64>,
    free: Duration,
    rest: u64,
}

impl WireModel {
    pub fn new(delay: Duration, bandwidth: Option<u64>) -> WireModel {
        WireModel { delay, bandwidth, ..WireModel::default() }
    }

    /// A packet of so many bytes is sent: how long it waits for the wire and takes to be put on it.
    pub fn send(&mut self, at: Duration, bytes: u64) -> Duration {
        let Some(rate) = self.bandwidth.filter(|r| *r > 0) else { return Duration::ZERO };
        if self.free < at {
            (self.free, self.rest) = (at, 0);
        }
        // Whole nanoseconds and the rest, as the simulator's links count.
        let time = u128::from(bytes) * 8 * 1_000_000_000 + u128::from(self.rest);
        self.free += Duration::from_nanos((time / u128::from(rate)).try_into().unwrap_or(u64::MAX));
        self.rest = (time % u128::from(rate)) as u64;
        self.free - at
    }

    /// How long a packet of so many bytes takes that finds the wire free.
    pub fn takes(&self, bytes: u64) -> Duration {
        let rate = self.bandwidth.filter(|r| *r > 0);
        rate.map_or(Duration::ZERO, |rate| {
            let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(rate);
            Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
        })
    }
}

//! Is the path full before anything is lost? HyStart as Linux' CUBIC has it: by how long the acknowledgments of a window go on,
//! and by how much later they come.

use super::AckSample;
use crate::time::{Duration, Instant};

/// Below this window, in segments, nothing is concluded.
const LEAST_WINDOW: u32 = 16;

/// Acknowledgments that follow each other as fast are one train.
const GAP: Duration = Duration::from_millis(2);

/// What delays of the sender's own may add to a round trip.
const OWN_DELAY: Duration = Duration::from_millis(1);

/// So many round trips tell how long they are now.
const SAMPLES: u8 = 8;

/// An eighth of the shortest round trip more is a queue, within these bounds.
const LEAST_QUEUE: Duration = Duration::from_millis(4);
const MOST_QUEUE: Duration = Duration::from_millis(16);

/// The round trip that is being watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Train {
    /// Bytes that were in flight when it began and are not acknowledged; below 0 it is over.
    left: i32,
    began: Instant,
    last: Instant,
    /// Its shortest round trip, µs.
    shortest: u32,
    samples: u8,
    found: bool,
}

impl Train {
    pub(super) fn new() -> Train {
        Train {
            left: -1,
            began: Instant::ZERO,
            last: Instant::ZERO,
            shortest: u32::MAX,
            samples: 0,
            found: false,
        }
    }

    /// Whether a window of `cwnd` bytes says anything.
    pub(super) fn is_worth(cwnd: u32, mss: u32) -> bool {
        cwnd / mss >= LEAST_WINDOW
    }

    /// True when slow start is to end; `least` is the shortest round trip ever.
    pub(super) fn on_ack(&mut self, sample: &AckSample, least: Duration) -> bool {
        let AckSample { now, acked, prior_flight, .. } = *sample;
        self.left = self.left.saturating_sub_unsigned(acked);
        let Some(rtt) = sample.rtt.filter(|_| !self.found) else { return false };
        if self.left < 0 {
            (self.began, self.last) = (now, now);
            self.left = prior_flight.saturating_sub(acked).min(i32::MAX as u32) as i32;
            (self.shortest, self.samples) = (u32::MAX, 0);
        }
        if now.since(self.last) <= GAP {
            self.last = now;
            self.found = now.since(self.began) > (least + OWN_DELAY) / 2;
        }
        self.shortest = self.shortest.min(u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
        if self.samples < SAMPLES {
            self.samples += 1;
        } else {
            let queue = (least / 8).clamp(LEAST_QUEUE, MOST_QUEUE);
            self.found |= Duration::from_micros(self.shortest.into()) > least + queue;
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of `n` acknowledgments of a segment each, so many ms apart; when it was enough.
    fn round(train: &mut Train, from: u64, n: u32, gap: u64, rtt: u64) -> Option<u32> {
        (0..n).find(|&i| {
            let sample = AckSample {
                now: Instant::from_millis(from + u64::from(i) * gap),
                acked: 100,
                delivered: 100,
                prior_flight: n * 100,
                rtt: Some(Duration::from_millis(rtt)),
                srtt: None,
                mss: 100,
                may_grow: true,
            };
            train.on_ack(&sample, Duration::from_millis(100))
        })
    }

    #[test]
    fn a_train_of_acknowledgments_longer_than_half_a_round_trip_is_enough() {
        let mut train = Train::new();
        assert_eq!(round(&mut train, 1000, 40, 2, 100), Some(26));
        let mut train = Train::new();
        assert_eq!(round(&mut train, 1000, 40, 3, 100), None, "they are no train");
        assert_eq!(round(&mut Train::new(), 1000, 20, 2, 100), None, "it is too short");
    }

    #[test]
    fn round_trips_that_grow_by_an_eighth_are_enough() {
        let mut train = Train::new();
        assert_eq!(round(&mut train, 1000, 20, 3, 100), None);
        assert_eq!(round(&mut train, 2000, 20, 3, 112), None);
        assert!(round(&mut train, 3000, 20, 3, 113).is_some());
    }
}

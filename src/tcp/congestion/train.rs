//! Is the path full before anything is lost? HyStart as Linux' CUBIC has it: by how long the acknowledgments of a window go on,
//! and by how much later they come.

use super::RttSample;
use crate::seq::Seq;
use crate::time::Duration;

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

/// The round trip that is being watched. Times are microseconds, which wrap: every connection has this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Train {
    /// When more than this is acknowledged, the next one begins: SND.NXT when this one did.
    end: Seq,
    began: u32,
    /// When the last acknowledgment of the train came.
    last: u32,
    /// Its shortest round trip.
    shortest: u32,
    samples: u8,
    found: bool,
}

impl Train {
    pub(super) fn new(sample: &RttSample) -> Train {
        let (now, nxt) = (sample.now.as_micros() as u32, sample.nxt);
        Train { end: nxt, began: now, last: now, shortest: u32::MAX, samples: 0, found: false }
    }

    /// Whether slow start, with a window of `cwnd` bytes, is to end; `least` is the shortest round trip ever.
    pub(super) fn is_enough(&mut self, sample: &RttSample, least: Duration, cwnd: u32) -> bool {
        if self.found {
            return false;
        }
        if sample.una.gt(self.end) {
            *self = Train::new(sample);
        }
        if cwnd / sample.mss < LEAST_WINDOW {
            return false;
        }
        let now = sample.now.as_micros() as u32;
        let since = |then: u32| Duration::from_micros(now.wrapping_sub(then).into());
        if since(self.last) <= GAP {
            self.last = now;
            // What is spread arrives over half a round trip without any queue.
            let share = if sample.paced { 1 } else { 2 };
            self.found = since(self.began) > (least + OWN_DELAY) / share;
        }
        self.shortest = self.shortest.min(u32::try_from(sample.rtt.as_micros()).unwrap_or(u32::MAX));
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
    use crate::time::Instant;

    /// A round of `n` acknowledgments of a segment each, so many ms apart; when it was enough.
    fn round(train: &mut Train, nth: u32, n: u32, (gap, rtt): (u64, u64), paced: bool) -> Option<u32> {
        let from = Instant::from_millis(u64::from(nth) * 1000);
        (0..n).find(|&i| {
            let una = Seq((nth * n + i + 1) * 100);
            let sample = RttSample {
                now: from + Duration::from_millis(u64::from(i) * gap),
                rtt: Duration::from_millis(rtt),
                una,
                nxt: una + n * 100,
                paced,
                mss: 100,
            };
            train.is_enough(&sample, Duration::from_millis(100), n * 100)
        })
    }

    fn train() -> Train {
        let rtt = Duration::from_millis(100);
        Train::new(&RttSample { now: Instant::ZERO, rtt, una: Seq(1), nxt: Seq(100), paced: false, mss: 100 })
    }

    #[test]
    fn a_train_of_acknowledgments_longer_than_half_a_round_trip_is_enough() {
        assert_eq!(round(&mut train(), 1, 40, (2, 100), false), Some(26));
        assert_eq!(round(&mut train(), 1, 40, (3, 100), false), None, "they are no train");
        assert_eq!(round(&mut train(), 1, 20, (2, 100), false), None, "it is too short");
        assert_eq!(round(&mut train(), 1, 60, (2, 100), true), Some(51), "what is paced takes longer anyway");
    }

    #[test]
    fn round_trips_that_grow_by_an_eighth_are_enough() {
        let mut train = train();
        assert_eq!(round(&mut train, 1, 20, (3, 100), false), None);
        assert_eq!(round(&mut train, 2, 20, (3, 112), false), None);
        // The first two still belong to the round before.
        assert_eq!(round(&mut train, 3, 20, (3, 113), false), Some(10));
        assert_eq!(round(&mut train, 4, 20, (3, 150), false), None, "once");
    }
}

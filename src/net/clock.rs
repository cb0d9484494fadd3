//! What time is it on a real network? Nanoseconds since the Unix epoch that never go backwards.
// The one place where real time enters.
#![allow(clippy::disallowed_methods)]

use crate::time::{Duration, Instant};
use std::time::{Instant as Monotonic, SystemTime, UNIX_EPOCH};

/// A clock that took the wall clock once, when it was made, and follows the monotonic clock since then: captures show
/// the time of day, and a clock that is set meanwhile disturbs no timer.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
    started: Monotonic,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { epoch: Instant::ZERO + wall, started: Monotonic::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        self.epoch + self.started.elapsed()
    }
}

/// When a wait ends that a program has limited; `None` waits for ever.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Option<Monotonic>);

impl Deadline {
    /// `limit` from now. One that is too far to be written down is none.
    pub(super) fn after(limit: Option<Duration>) -> Deadline {
        Deadline(limit.and_then(|limit| Monotonic::now().checked_add(limit)))
    }

    /// The time that is left: `None` without a limit, zero when it is over.
    pub(super) fn left(&self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Monotonic::now()))
    }
}

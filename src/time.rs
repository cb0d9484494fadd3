//! What is the time? A count of nanoseconds that means the same in real and in virtual time.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
pub use std::time::Duration;

/// A point in time: nanoseconds since an origin that the driver chooses.
///
/// On a TUN device the origin is the Unix epoch, in the simulator it is the start of the run. The
/// engine only ever subtracts instants, so it cannot tell the two apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(
    /// One more than the nanoseconds, so that `Option<Instant>` needs no more room: connections have many.
    NonZeroU64,
);

impl Default for Instant {
    fn default() -> Instant {
        Instant::ZERO
    }
}

impl Instant {
    /// The origin.
    pub const ZERO: Instant = Instant::from_nanos(0);
    /// Later than anything that happens (the year 2554 on a TUN device).
    pub const FAR: Instant = Instant(NonZeroU64::MAX);

    /// The instant `nanos` nanoseconds after the origin, [`FAR`](Instant::FAR) at the latest.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// The instant `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1_000)
    }

    /// The instant `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// Whole microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.as_nanos() / 1_000
    }

    /// Whole milliseconds since the origin.
    pub const fn as_millis(self) -> u64 {
        self.as_nanos() / 1_000_000
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.as_nanos().saturating_sub(earlier.as_nanos()))
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(d)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, d: Duration) -> Instant {
        Instant::from_nanos(self.as_nanos().saturating_sub(nanos(d)))
    }
}

impl From<Instant> for smoltcp::time::Instant {
    fn from(at: Instant) -> Self {
        smoltcp::time::Instant::from_micros(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A [`Duration`] in half the room, for what there are many of: nanoseconds. What does not fit is [`Duration::MAX`].
/// It goes between fields of four bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(Rust, packed(4))]
pub struct Span(u64);

impl Span {
    /// [`Duration::ZERO`].
    pub const ZERO: Span = Span(0);
    /// [`Duration::MAX`].
    pub const MAX: Span = Span(u64::MAX);
}

impl From<Duration> for Span {
    fn from(d: Duration) -> Span {
        Span(nanos(d))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        if span == Span::MAX { Duration::MAX } else { Duration::from_nanos(span.0) }
    }
}

/// Seconds with six decimals, as capture tools print them.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.as_nanos() / 1_000_000_000, self.as_micros() % 1_000_000)
    }
}

/// A duration the way people say it: `40 ms`, `1.5 s`, `12 µs`; three significant digits at most.
#[derive(Clone, Copy)]
pub struct Spoken(pub Duration);

impl Spoken {
    /// The whole number of the unit that fits, hundredths of it, and the unit's name.
    pub(crate) fn parts(self) -> (u64, u32, &'static str) {
        let n = nanos(self.0);
        let (unit, name) = match n {
            0..=999 => return (n, 0, "ns"),
            1_000..=999_999 => (1_000, "µs"),
            1_000_000..=999_999_999 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let (whole, rest) = (n / unit, n % unit);
        // Three digits are what a reader takes in; the capture's own time stamps hold the rest.
        let hundredths = match whole {
            0..=9 => rest * 100 / unit,
            10..=99 => rest * 10 / unit * 10,
            _ => 0,
        };
        (whole, hundredths as u32, name)
    }
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths, unit) = self.parts();
        match (hundredths / 10, hundredths % 10) {
            (0, 0) => write!(f, "{whole} {unit}"),
            (d, 0) => write!(f, "{whole}.{d} {unit}"),
            (d, e) => write!(f, "{whole}.{d}{e} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_instant_is_zero_away_and_the_end_of_time_does_not_wrap() {
        assert_eq!(Instant::ZERO.since(Instant::FAR), Duration::ZERO);
        assert_eq!(Instant::FAR + Duration::from_secs(1), Instant::FAR);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
    }

    #[test]
    fn durations_are_spoken_with_three_digits() {
        for (d, said) in [
            (Duration::from_nanos(7), "7 ns"),
            (Duration::from_micros(12), "12 µs"),
            (Duration::from_nanos(40_250_000), "40.2 ms"),
            (Duration::from_millis(200), "200 ms"),
            (Duration::from_millis(1_500), "1.5 s"),
            (Duration::from_nanos(1_059_999_999), "1.05 s"),
        ] {
            assert_eq!(Spoken(d).to_string(), said);
        }
    }
}

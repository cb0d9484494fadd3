//! What can be measured, and when does a measurement agree with what was expected?

use crate::knob::show_rate;
use crate::time::{Duration, Spoken};
use std::fmt;

/// Virtual time is exact; what is allowed is rounding in the division of rates and shares.
pub const TOLERANCE: Duration = Duration::from_micros(1);

/// A number with its unit, or a word.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Quantity {
    /// A span of time.
    Time(Duration),
    /// Packets, connections, requests.
    Count(u64),
    /// Bytes.
    Bytes(u64),
    /// A part of a whole, 0 to 1.
    Share(f64),
    /// Bits per second.
    Rate(f64),
    /// How many times as much.
    Factor(f64),
    /// How often.
    PerSecond(f64),
    /// What happened: `reset`, `complete`.
    Word(&'static str),
}

impl Quantity {
    /// The number alone, in the unit that [`unit`](Self::unit) names; 0 for words.
    pub fn number(self) -> f64 {
        match self {
            Quantity::Time(d) => d.as_nanos() as f64 / 1e6,
            Quantity::Count(n) | Quantity::Bytes(n) => n as f64,
            Quantity::Share(x) | Quantity::Rate(x) | Quantity::Factor(x) | Quantity::PerSecond(x) => x,
            Quantity::Word(_) => 0.0,
        }
    }

    /// The unit of [`number`](Self::number), empty if it has none.
    pub fn unit(self) -> &'static str {
        match self {
            Quantity::Time(_) => "ms",
            Quantity::Bytes(_) => "bytes",
            Quantity::Rate(_) => "bit/s",
            Quantity::PerSecond(_) => "/s",
            Quantity::Count(_) | Quantity::Share(_) | Quantity::Factor(_) | Quantity::Word(_) => "",
        }
    }

    fn equals(self, other: Quantity) -> bool {
        match (self, other) {
            (Quantity::Time(a), Quantity::Time(b)) => a.abs_diff(b) <= TOLERANCE,
            (Quantity::Count(_) | Quantity::Bytes(_) | Quantity::Word(_), _) => self == other,
            (a, b) => (a.number() - b.number()).abs() <= 1e-6 * b.number().abs().max(1.0),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Quantity::Time(Duration::ZERO) => f.write_str("0"),
            Quantity::Time(d) => Spoken(d).fmt(f),
            Quantity::Count(n) | Quantity::Bytes(n) => n.fmt(f),
            Quantity::Share(x) => write!(f, "{:.1} %", 100.0 * x),
            Quantity::Rate(x) if x >= 1e6 => write!(f, "{:.2} Mbit/s", x / 1e6),
            Quantity::Rate(x) if x >= 1e3 => write!(f, "{:.1} kbit/s", x / 1e3),
            Quantity::Rate(x) => f.write_str(&show_rate(Some(x as u64))),
            Quantity::Factor(x) => write!(f, "{x:.2}×"),
            Quantity::PerSecond(x) => write!(f, "{x:.2}/s"),
            Quantity::Word(word) => f.write_str(word),
        }
    }
}

/// What has to come out if the reasoning of the plan is right.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Expected {
    /// Nothing in particular.
    Anything,
    /// This; times within [`TOLERANCE`].
    Exactly(Quantity),
    /// From the one to the other, both included.
    Between(Quantity, Quantity),
}

impl Expected {
    /// So many, or from so many to so many.
    pub(super) fn band(low: u64, high: u64) -> Expected {
        let (low, high) = (Quantity::Count(low), Quantity::Count(high));
        if low == high { Expected::Exactly(low) } else { Expected::Between(low, high) }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Anything => Ok(()),
            Expected::Exactly(quantity) => quantity.fmt(f),
            Expected::Between(low, high) => write!(f, "{low} … {high}"),
        }
    }
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cell {
    /// What was measured.
    pub name: &'static str,
    /// How much it is.
    pub value: Quantity,
    /// How much it has to be.
    pub expected: Expected,
}

impl Cell {
    /// Whether it is a time later than expected.
    pub(super) fn is_late(&self) -> bool {
        let most = match self.expected {
            Expected::Anything => return false,
            Expected::Exactly(expected) | Expected::Between(_, expected) => expected,
        };
        matches!(self.value, Quantity::Time(_)) && !self.holds() && self.value.number() > most.number()
    }

    /// Whether the measurement is as expected.
    pub fn holds(&self) -> bool {
        match self.expected {
            Expected::Anything => true,
            Expected::Exactly(expected) => self.value.equals(expected),
            Expected::Between(low, high) => {
                let value = self.value.number();
                (low.number()..=high.number()).contains(&value)
                    || self.value.equals(low)
                    || self.value.equals(high)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(value: Quantity, expected: Expected) -> bool {
        Cell { name: "x", value, expected }.holds()
    }

    #[test]
    fn times_may_differ_by_a_microsecond_and_counts_not_at_all() {
        let time = |us| Quantity::Time(Duration::from_micros(us));
        assert!(holds(time(100), Expected::Exactly(time(101))));
        assert!(!holds(time(100), Expected::Exactly(time(102))));
        assert!(!holds(Quantity::Count(100), Expected::Exactly(Quantity::Count(101))));
        assert!(!holds(Quantity::Word("reset"), Expected::Exactly(Quantity::Word("complete"))));
        let band = Expected::Between(Quantity::Share(0.4), Quantity::Share(0.5));
        assert!(holds(Quantity::Share(0.5), band) && !holds(Quantity::Share(0.51), band));
    }

    #[test]
    fn quantities_are_shown_with_their_units() {
        for (quantity, shown) in [
            (Quantity::Time(Duration::from_millis(240)), "240 ms"),
            (Quantity::Share(0.5), "50.0 %"),
            (Quantity::Rate(12_345_678.0), "12.35 Mbit/s"),
            (Quantity::Factor(2.0), "2.00×"),
            (Quantity::Word("reset"), "reset"),
        ] {
            assert_eq!(quantity.to_string(), shown);
        }
    }
}

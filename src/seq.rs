//! Where in the sequence space is it? Numbers modulo 2^32 and their order (RFC 9293 §3.4).

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A TCP sequence number. It wraps, so it has no total order and does not implement `Ord`: the
/// comparisons below hold for numbers less than 2^31 apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// `self - earlier`, how far `self` is after `earlier`, modulo 2^32.
    pub const fn since(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The signed distance from `other` to `self`.
    pub const fn delta(self, other: Seq) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// `self < other`.
    pub const fn lt(self, other: Seq) -> bool {
        self.delta(other) < 0
    }

    /// `self <= other`.
    pub const fn le(self, other: Seq) -> bool {
        self.delta(other) <= 0
    }

    /// `self > other`.
    pub const fn gt(self, other: Seq) -> bool {
        self.delta(other) > 0
    }

    /// `self >= other`.
    pub const fn ge(self, other: Seq) -> bool {
        self.delta(other) >= 0
    }

    /// The later of the two.
    pub const fn max(self, other: Seq) -> Seq {
        if self.lt(other) { other } else { self }
    }

    /// The earlier of the two.
    pub const fn min(self, other: Seq) -> Seq {
        if self.gt(other) { other } else { self }
    }

    /// Whether `start <= self < start + len`.
    pub const fn within(self, start: Seq, len: u32) -> bool {
        self.since(start) < len
    }
}

impl Add<u32> for Seq {
    type Output = Seq;
    fn add(self, n: u32) -> Seq {
        Seq(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;
    fn sub(self, n: u32) -> Seq {
        Seq(self.0.wrapping_sub(n))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_survives_the_wrap(a in any::<u32>(), n in 1u32..0x8000_0000) {
            let (a, b) = (Seq(a), Seq(a) + n);
            prop_assert_eq!(b.since(a), n);
            prop_assert_eq!(b - n, a);
            prop_assert!(a.lt(b) && b.gt(a) && a.le(b) && b.ge(a));
            prop_assert_eq!(a.max(b), b);
            prop_assert_eq!(a.min(b), a);
        }

        #[test]
        fn a_window_holds_exactly_its_length(start in any::<u32>(), len in 0u32..100_000, off in 0u32..200_000) {
            prop_assert_eq!((Seq(start) + off).within(Seq(start), len), off < len);
        }
    }
}

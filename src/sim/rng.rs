//! Where does chance come from? A seeded generator that gives the same numbers on every machine and in every release.

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Good enough to throw dice for packets; not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream of its own for each pair of `seed` and `stream`.
    pub fn new(seed: u64, stream: u64) -> Rng {
        // The output function spreads neighbouring numbers, so that streams 1 and 2 have nothing in common.
        let start = Rng(seed).next_u64();
        Rng(start ^ Rng(stream).next_u64().rotate_left(32))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `limit - 1`; 0 for a limit of 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(limit)) >> 64) as u64
    }

    /// True in `share` of a billion cases. Impossible and certain events draw a number too, so that changing
    /// a share does not shift what comes later in the stream.
    pub fn chance(&mut self, share: u32) -> bool {
        self.below(1_000_000_000) < u64::from(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64_for_ever() {
        let mut rng = Rng(1_234_567);
        // The published test vector of the algorithm.
        assert_eq!(
            [rng.next_u64(), rng.next_u64(), rng.next_u64()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let take = |seed, stream| -> Vec<u64> {
            let mut rng = Rng::new(seed, stream);
            (0..8).map(|_| rng.next_u64()).collect()
        };
        assert_eq!(take(1, 2), take(1, 2));
        let all: std::collections::BTreeSet<u64> =
            (0..16).flat_map(|seed| (0..16).flat_map(move |stream| take(seed, stream))).collect();
        assert_eq!(all.len(), 16 * 16 * 8, "no number came twice");
    }

    #[test]
    fn a_chance_is_as_large_as_its_share() {
        let mut rng = Rng::new(3, 0);
        let hits = (0..100_000).filter(|_| rng.chance(250_000_000)).count();
        // Five standard deviations of a binomial with n = 100,000 and p = 1/4 are 685.
        assert!((24_315..=25_685).contains(&hits), "{hits}");
        assert!((0..1000).all(|_| rng.chance(1_000_000_000)));
        assert!((0..1000).all(|_| !rng.chance(0)));
        assert_eq!(rng.below(0), 0);
    }
}

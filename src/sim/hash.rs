//! Did two runs do the same? One number for all that went over the network.

use crate::time::Instant;

/// FNV-1a over words: order matters, every bit counts, and it is the same everywhere.
pub(super) struct Hash(u64);

impl Hash {
    pub fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    /// The number so far.
    pub fn value(&self) -> u64 {
        self.0
    }

    fn word(&mut self, word: u64) {
        // The rotation brings the high bits, where multiplication leaves its mark, back to the low ones.
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }

    /// A packet that left or arrived.
    pub fn packet(&mut self, at: Instant, path: (u16, u16), frame: &[u8]) {
        self.word(at.as_nanos());
        self.word(u64::from(path.0) << 48 | u64::from(path.1) << 32 | frame.len() as u64);
        for chunk in frame.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

//! Did two runs do the same? One number for all that went over the network.

use crate::time::Instant;

/// What is looked at of a packet, bytes: as long as its headers can be, and more.
const BEGINNING: usize = 128;

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

    /// A packet that left or arrived. Its beginning is enough: the checksum that stands there is that of the rest, too.
    pub fn packet(&mut self, at: Instant, path: (u16, u16), frame: &[u8]) {
        self.word(at.as_nanos());
        self.word(u64::from(path.0) << 48 | u64::from(path.1) << 32 | frame.len() as u64);
        self.bytes(&frame[..frame.len().min(BEGINNING)]);
    }

    /// Four at a time: each multiplication waits for the one before it.
    fn bytes(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<32>();
        let mut lanes = [0, 1, 2, 3].map(Hash);
        let mut add = |block: &[u8; 32]| {
            let words = block.as_chunks::<8>().0;
            for n in 0..4 {
                lanes[n].word(u64::from_le_bytes(words[n]));
            }
        };
        blocks.iter().for_each(&mut add);
        let mut last = [0; 32];
        last[..rest.len()].copy_from_slice(rest);
        add(&last);
        lanes.iter().for_each(|lane| self.word(lane.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_its_place_and_the_time_count() {
        let of = |at, path, frame: &[u8]| {
            let mut hash = Hash::new();
            hash.packet(Instant::from_millis(at), path, frame);
            hash.value()
        };
        for len in [0, 1, 8, 31, 32, 33, 100] {
            let frame: Vec<u8> = (0..len).collect();
            let mut seen = vec![of(1, (0, 1), &frame), of(2, (0, 1), &frame), of(1, (1, 0), &frame)];
            for at in 0..frame.len() {
                let mut other = frame.clone();
                other[at] ^= 0x80;
                seen.push(of(1, (0, 1), &other));
                let mut other = frame.clone();
                other.swap(at, 0);
                seen.extend((at > 0).then(|| of(1, (0, 1), &other)));
            }
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), all, "{len} bytes");
        }
    }
}

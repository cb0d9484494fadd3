//! Which bytes wait? A byte queue that is empty most of the time and then small.

/// What an emptied buffer may keep allocated, so that thousands of idle connections cost little.
const KEEP: usize = 4096;

/// Bytes are appended at the end and taken from the front. The owner bounds its length.
#[derive(Default, Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn push(&mut self, data: &[u8]) {
        self.compact(data.len());
        self.bytes.extend_from_slice(data);
    }

    /// The bytes themselves, to append to.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        self.compact(0);
        &mut self.bytes
    }

    /// Takes `n` bytes from the front.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.bytes.len());
        if self.start >= self.bytes.len() {
            self.clear();
        }
    }

    pub fn clear(&mut self) {
        self.start = 0;
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }

    /// Moves the bytes to the front when that saves growing, or when most of the buffer lies before them.
    fn compact(&mut self, more: usize) {
        if self.start > 0 && (self.bytes.len() + more > self.bytes.capacity() || self.start > self.len()) {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came_and_an_empty_buffer_is_small() {
        let mut buffer = Buffer::default();
        let (mut sent, mut seen) = (0u8, 0u8);
        for round in 0..2000usize {
            for _ in 0..round % 37 {
                buffer.push(&[sent]);
                sent = sent.wrapping_add(1);
            }
            let take = buffer.len().min(round % 41);
            for &byte in &buffer.as_slice()[..take] {
                assert_eq!(byte, seen);
                seen = seen.wrapping_add(1);
            }
            buffer.consume(take);
        }
        buffer.push(&[0; 100_000]);
        buffer.consume(buffer.len());
        assert!(buffer.is_empty() && buffer.bytes.capacity() <= KEEP);
    }
}

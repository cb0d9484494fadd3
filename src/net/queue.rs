//! Which bytes wait between a program's thread and the runtime's?

/// Bytes in order, at most `limit` of them. Memory grows with use, not with the limit.
pub(super) struct Queue {
    ring: Vec<u8>,
    head: usize,
    len: usize,
    limit: usize,
}

const FIRST: usize = 4 << 10;

impl Queue {
    /// An empty queue without memory.
    pub(super) fn new(limit: usize) -> Queue {
        Queue { ring: Vec::new(), head: 0, len: 0, limit }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Free space in one piece, empty only if there is no room at all; [`filled`](Self::filled) says how much of it
    /// was used.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.len == self.ring.len() && self.len < self.limit {
            self.grow();
        }
        let (start, free) = (self.tail(), self.ring.len() - self.len);
        let end = (start + free).min(self.ring.len());
        &mut self.ring[start..end]
    }

    fn tail(&self) -> usize {
        let at = self.head + self.len;
        if at < self.ring.len() { at } else { at - self.ring.len() }
    }

    fn grow(&mut self) {
        let size = (self.ring.len() * 2).max(FIRST).min(self.limit);
        self.ring.rotate_left(self.head);
        self.head = 0;
        self.ring.resize(size, 0);
    }

    /// `n` bytes of [`space`](Self::space) were filled.
    pub(super) fn filled(&mut self, n: usize) {
        debug_assert!(n <= self.ring.len() - self.len);
        self.len += n;
    }

    /// The oldest bytes that lie in one piece.
    pub(super) fn data(&self) -> &[u8] {
        let end = (self.head + self.len).min(self.ring.len());
        &self.ring[self.head..end]
    }

    /// The `n` oldest bytes are done with.
    pub(super) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len);
        self.len -= n;
        self.head += n;
        if self.len == 0 {
            self.head = 0;
        } else if self.head >= self.ring.len() {
            self.head -= self.ring.len();
        }
    }

    /// Copies the oldest bytes and leaves them there.
    pub(super) fn peek(&self, buf: &mut [u8]) -> usize {
        let first = self.data();
        let n = first.len().min(buf.len());
        buf[..n].copy_from_slice(&first[..n]);
        let more = (self.len - first.len()).min(buf.len() - n);
        buf[n..n + more].copy_from_slice(&self.ring[..more]);
        n + more
    }

    /// Takes the oldest bytes.
    pub(super) fn pop(&mut self, buf: &mut [u8]) -> usize {
        let n = self.peek(buf);
        self.consume(n);
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    impl Queue {
        /// Adds what there is room for and says how much that was.
        fn push(&mut self, mut bytes: &[u8]) -> usize {
            let all = bytes.len();
            while !bytes.is_empty() {
                let space = self.space();
                let n = space.len().min(bytes.len());
                if n == 0 {
                    break;
                }
                let (now, later) = bytes.split_at(n);
                space[..n].copy_from_slice(now);
                self.filled(n);
                bytes = later;
            }
            all - bytes.len()
        }
    }

    proptest! {
        #[test]
        fn a_queue_keeps_bytes_and_order_through_growth_and_wraps(
            limit in 1usize..20_000,
            steps in proptest::collection::vec((any::<bool>(), 0usize..9_000), 1..60),
        ) {
            let mut queue = Queue::new(limit);
            let mut model = VecDeque::new();
            let mut next = 0u8;
            for (push, amount) in steps {
                if push {
                    let bytes: Vec<u8> = (0..amount).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let n = queue.push(&bytes);
                    prop_assert_eq!(n, amount.min(limit - model.len()));
                    model.extend(&bytes[..n]);
                } else {
                    let (mut seen, mut taken) = (vec![0; amount], vec![0; amount]);
                    prop_assert_eq!(queue.peek(&mut seen), amount.min(model.len()));
                    let n = queue.pop(&mut taken);
                    let expected: Vec<u8> = model.drain(..n).collect();
                    prop_assert_eq!(&taken[..n], &expected[..]);
                    prop_assert_eq!(seen, taken);
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.space().is_empty(), model.len() == limit);
                prop_assert!(queue.ring.len() <= limit);
            }
        }
    }
}

//! Where do the bytes wait? A ring that allocates nothing until it is used and grows when it must.

/// The first allocation; most requests fit, and it has to be cleared for each connection.
const FIRST: usize = 1024;

/// Bytes at offsets from a moving start. Offsets below [`Ring::len`] hold data; beyond it, data may be
/// placed ahead of its turn ([`Ring::place`]) and joined later ([`Ring::extend`]). An unused one is a pointer to nothing; one
/// in use may have something beside it.
pub(super) struct Ring<T = ()>(Option<Box<Used<T>>>);

impl<T> Default for Ring<T> {
    fn default() -> Ring<T> {
        Ring(None)
    }
}

#[derive(Default)]
struct Used<T> {
    /// Its length is a power of two, or nothing.
    buf: Box<[u8]>,
    head: u32,
    len: u32,
    /// The furthest offset that holds a byte, `>= len`.
    extent: u32,
    beside: T,
}

impl<T> Used<T> {
    fn index(&self, offset: usize) -> usize {
        (self.head as usize + offset) & (self.buf.len() - 1)
    }

    fn slices(&self, offset: usize, n: usize) -> (&[u8], &[u8]) {
        let at = self.index(offset);
        let first = n.min(self.buf.len() - at);
        (&self.buf[at..at + first], &self.buf[..n - first])
    }
}

impl<T: Default> Ring<T> {
    /// What is beside it, if it is in use.
    pub(super) fn beside(&self) -> Option<&T> {
        self.0.as_ref().map(|used| &used.beside)
    }

    /// The same, to be changed, if it is in use.
    pub(super) fn beside_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut().map(|used| &mut used.beside)
    }

    /// The same; it is in use from now on.
    pub(super) fn use_beside(&mut self) -> &mut T {
        &mut self.0.get_or_insert_default().beside
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |used| used.len as usize)
    }

    /// Makes room for offsets below `extent`.
    fn reserve(&mut self, extent: usize) -> &mut Used<T> {
        let used = self.0.get_or_insert_default();
        if extent > used.buf.len() {
            let mut bigger = vec![0; extent.next_power_of_two().max(FIRST)].into_boxed_slice();
            if used.extent > 0 {
                let (a, b) = used.slices(0, used.extent as usize);
                bigger[..a.len()].copy_from_slice(a);
                bigger[a.len()..a.len() + b.len()].copy_from_slice(b);
            }
            (used.buf, used.head) = (bigger, 0);
        }
        used
    }

    /// Appends at the end; the caller keeps the limit.
    pub(super) fn append(&mut self, data: &[u8]) {
        self.place(self.len(), data);
        self.extend(data.len());
    }

    /// Puts `data` at `offset` from the start, leaving `len` as it is.
    pub(super) fn place(&mut self, offset: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let used = self.reserve(offset + data.len());
        let at = used.index(offset);
        let first = data.len().min(used.buf.len() - at);
        used.buf[at..at + first].copy_from_slice(&data[..first]);
        used.buf[..data.len() - first].copy_from_slice(&data[first..]);
        used.extent = used.extent.max((offset + data.len()) as u32);
    }

    /// Declares `n` more bytes behind the end to be data; they must have been placed.
    pub(super) fn extend(&mut self, n: usize) {
        if let Some(used) = &mut self.0 {
            used.len += n as u32;
            debug_assert!(used.len <= used.extent, "bytes that were never placed");
        }
    }

    /// `n` bytes from `offset`, in two pieces because the ring wraps.
    pub(super) fn slices(&self, offset: usize, n: usize) -> (&[u8], &[u8]) {
        match &self.0 {
            Some(used) if n > 0 => used.slices(offset, n),
            _ => (&[], &[]),
        }
    }

    /// Copies from offset `from` on without taking; returns how many bytes.
    pub(super) fn peek(&self, from: usize, into: &mut [u8]) -> usize {
        let n = into.len().min(self.len().saturating_sub(from));
        let (a, b) = self.slices(from, n);
        into[..a.len()].copy_from_slice(a);
        into[a.len()..n].copy_from_slice(b);
        n
    }

    /// Drops `n` bytes from the start.
    pub(super) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        let Some(used) = self.0.as_mut().filter(|_| n > 0) else { return };
        used.head = used.index(n) as u32;
        used.len -= n as u32;
        used.extent -= n as u32;
        if used.extent == 0 {
            // What was used last is in the processor's caches. The memory stays: a connection that empties its ring with each
            // packet would ask for it again each time; one that rests gives it back.
            used.head = 0;
        }
    }

    /// Gives the memory back if it holds nothing; true if it did.
    pub(super) fn rest(&mut self) -> bool {
        let empty = self.0.as_ref().is_none_or(|used| used.extent == 0);
        if empty {
            self.clear();
        }
        empty
    }

    /// Gives all memory back.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |used| used.buf.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(ops in prop::collection::vec((0usize..3000, 0usize..3000), 1..60)) {
            let (mut ring, mut written, mut read) = (Ring::<()>::default(), 0u32, 0u32);
            for (w, r) in ops {
                let data: Vec<u8> = (0..w).map(|i| (written as usize + i) as u8).collect();
                ring.append(&data);
                written += w as u32;
                let mut out = vec![0; r];
                let n = ring.peek(0, &mut out);
                ring.consume(n);
                for (i, b) in out[..n].iter().enumerate() {
                    prop_assert_eq!(*b, (read as usize + i) as u8);
                }
                read += n as u32;
                prop_assert_eq!(ring.len(), (written - read) as usize);
            }
        }

        #[test]
        fn pieces_placed_in_any_order_read_as_one(mut cuts in prop::collection::vec(1usize..9000, 1..20), skip in 0usize..5000, order in any::<u64>()) {
            let mut ring = Ring::<()>::default();
            ring.append(&vec![7; skip]);
            ring.consume(skip);
            let whole: Vec<u8> = (0..9000u32).map(|i| ((i * 31) >> 3) as u8).collect();
            cuts.extend([0, 9000]);
            cuts.sort_unstable();
            let mut pieces: Vec<_> = cuts.windows(2).map(|w| (w[0], w[1])).collect();
            let turn = order as usize % pieces.len();
            pieces.rotate_left(turn);
            for (from, to) in pieces {
                ring.place(from, &whole[from..to]);
            }
            ring.extend(9000);
            let mut out = vec![0; 9000];
            prop_assert_eq!(ring.peek(0, &mut out), 9000);
            prop_assert_eq!(out, whole);
        }
    }

    #[test]
    fn an_unused_ring_costs_nothing_and_a_resting_one_gives_back() {
        let mut ring = Ring::<()>::default();
        assert_eq!(ring.capacity(), 0);
        ring.append(&[0; 200_000]);
        ring.consume(199_999);
        assert!(!ring.rest());
        ring.consume(1);
        assert!(ring.capacity() >= 200_000, "it may be needed again at once");
        assert!(ring.rest());
        assert_eq!(ring.capacity(), 0);
    }
}

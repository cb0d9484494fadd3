//! Who holds the bytes of a large packet, so that nobody has to copy them? What arrived is kept in the memory it arrived in.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Pieces of memory that wait on a shelf to be used again; more are given back.
const SHELVED: usize = 64;

/// Memory of one size that is used again, the latest first: it is in the processor's caches.
struct Shelf {
    size: usize,
    spare: Mutex<Vec<Box<[u8]>>>,
}

impl Shelf {
    fn take(&self) -> Box<[u8]> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| vec![0; self.size].into())
    }

    fn put_back(&self, memory: Box<[u8]>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SHELVED {
            spare.push(memory);
        }
    }
}

/// What a device reads packets into, one at a time. Whoever wants to keep one takes the memory with it.
pub struct Intake {
    memory: Box<[u8]>,
    shelf: Arc<Shelf>,
    /// Where packets begin: before them may be what the device says of them.
    headroom: usize,
}

impl Intake {
    /// Room for packets of up to `most` bytes behind `headroom` bytes.
    pub fn new(headroom: usize, most: usize) -> Intake {
        let size = headroom + most;
        let shelf = Arc::new(Shelf { size, spare: Mutex::new(Vec::with_capacity(SHELVED)) });
        Intake { memory: shelf.take(), shelf, headroom }
    }

    /// All of it, the headroom first.
    pub fn bytes(&self) -> &[u8] {
        &self.memory
    }

    /// The same, to be filled.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Hands out the memory of the packet that was read last, for its bytes `part`; the next packet gets other memory.
    ///
    /// # Panics
    /// `part` does not lie within the packet.
    pub fn cede(&mut self, part: Range<usize>) -> Parcel {
        let (start, end) = (self.headroom + part.start, self.headroom + part.end);
        assert!(start <= end && end <= self.memory.len(), "bytes that were never read");
        let memory = std::mem::replace(&mut self.memory, self.shelf.take());
        Parcel { memory, start, end, shelf: self.shelf.clone() }
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("size", &self.memory.len()).finish_non_exhaustive()
    }
}

/// Bytes of a packet in the memory that it was read into, which goes back to the device when nobody needs it any more.
pub struct Parcel {
    memory: Box<[u8]>,
    start: usize,
    end: usize,
    shelf: Arc<Shelf>,
}

impl Parcel {
    /// What is left of them.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// The first `n` bytes, at most all, are not needed any more.
    pub fn skip(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.memory.len()
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.shelf.put_back(std::mem::take(&mut self.memory));
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("len", &(self.end - self.start)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_changes_hands_and_the_latest_to_come_back_is_used_first() {
        let mut intake = Intake::new(10, 100);
        intake.bytes_mut()[10..14].copy_from_slice(b"abcd");
        let mut first = intake.cede(1..4);
        intake.bytes_mut()[10..14].copy_from_slice(b"efgh");
        let second = intake.cede(0..2);
        assert_eq!((first.bytes(), second.bytes()), (&b"bcd"[..], &b"ef"[..]));
        first.skip(2);
        assert_eq!(first.bytes(), b"d");
        first.skip(9);
        assert_eq!((first.bytes(), first.memory()), (&b""[..], 110));
        let at = second.bytes().as_ptr();
        drop(first);
        drop(second);
        intake.cede(0..0);
        assert_eq!(intake.bytes()[10..].as_ptr(), at, "the latest");
    }

    #[test]
    fn a_shelf_keeps_no_more_than_it_has_places_for() {
        let mut intake = Intake::new(0, 10);
        let kept: Vec<Parcel> = (0..2 * SHELVED).map(|_| intake.cede(0..10)).collect();
        drop(kept);
        assert_eq!(intake.shelf.spare.lock().unwrap().len(), SHELVED);
    }
}

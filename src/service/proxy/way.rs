//! How do bytes get from one stream to another? Unread, as many as wait at a time, and the end behind them.

use crate::stream::{ByteStream, StreamError};

/// Bytes that wait for one side because the other is slower.
const WAITING: usize = 64 << 10;

/// One direction of what a proxy relays.
#[derive(Default)]
pub(super) struct Way {
    /// Read and not yet written.
    waiting: Vec<u8>,
    /// Nothing more comes.
    pub ended: bool,
    /// That was passed on.
    closed: bool,
    /// Bytes that were read, and written.
    pub moved: u64,
}

impl Way {
    /// With bytes that are there already.
    pub fn new(waiting: Vec<u8>) -> Way {
        Way { waiting, ..Way::default() }
    }

    /// Adds bytes that are said by the proxy itself.
    pub fn say(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// What waits is not for anybody any more.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether all that was read has been written.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the end has been passed on.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Reads at most `limit` bytes, as far as there is room, and shows them to `see`. True if something came, be it the end.
    ///
    /// # Errors
    /// What ended the connection; what was read before is kept.
    pub fn read(
        &mut self,
        stream: &mut impl ByteStream,
        scratch: &mut [u8],
        limit: u64,
        mut see: impl FnMut(&[u8]),
    ) -> Result<bool, StreamError> {
        let (mut left, mut moved) = (limit, false);
        while !self.ended && self.waiting.len() < WAITING && left > 0 {
            let most = usize::try_from(left).map_or(scratch.len(), |left| left.min(scratch.len()));
            match stream.read(&mut scratch[..most]) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    see(&scratch[..n]);
                    self.waiting.extend_from_slice(&scratch[..n]);
                    self.moved += n as u64;
                    left -= n as u64;
                }
                Err(StreamError::WouldBlock) => break,
                Err(e) => return Err(e),
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Writes as far as there is room, and the end behind all of it (RFC 9110 §9.3.6). True if something left.
    ///
    /// # Errors
    /// What ended the connection.
    pub fn write(&mut self, stream: &mut impl ByteStream) -> Result<bool, StreamError> {
        let mut written = 0;
        while written < self.waiting.len() {
            match stream.write(&self.waiting[written..]) {
                Ok(0) | Err(StreamError::WouldBlock) => break,
                Ok(n) => written += n,
                Err(e) => return Err(e),
            }
        }
        self.waiting.drain(..written);
        self.moved += written as u64;
        let ends = self.ended && self.waiting.is_empty() && !self.closed;
        if ends {
            self.closed = true;
            stream.close_write();
        }
        Ok(written > 0 || ends)
    }
}

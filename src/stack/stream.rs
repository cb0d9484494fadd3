//! How does one read and write a connection?

use super::{ConnId, Stack};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{Conn, Cx, Shutdown};
use crate::time::Instant;

/// A connection as a [`ByteStream`], for the time of a borrow.
pub struct Stream<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) id: ConnId,
    pub(super) now: Instant,
}

impl Stream<'_> {
    /// Like [`ByteStream::read`], but leaves the bytes there (`MSG_PEEK`).
    ///
    /// # Errors
    /// As [`ByteStream::read`].
    pub fn peek(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        self.with(|conn, _| conn.peek(buf))
    }

    /// Like [`ByteStream::write`] of a part of a message: the rest follows (`MSG_MORE`).
    ///
    /// # Errors
    /// As [`ByteStream::write`].
    pub fn write_part(&mut self, data: &[u8]) -> Result<usize, StreamError> {
        self.with(|conn, _| conn.write_part(data, true))
    }

    fn with<R>(
        &mut self,
        f: impl FnOnce(&mut Conn, &mut Cx) -> Result<R, StreamError>,
    ) -> Result<R, StreamError> {
        let index = self.stack.index_of(self.id).ok_or(StreamError::NotConnected)?;
        self.stack.with_conn(self.now, index, f)
    }
}

impl ByteStream for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        // Nothing changes, so nothing follows: whoever reads until there is no more comes here after each read.
        if self.stack.conn(self.id).is_some_and(Conn::has_to_wait_for_bytes) {
            return Err(StreamError::WouldBlock);
        }
        let index = self.stack.index_of(self.id).ok_or(StreamError::NotConnected)?;
        self.stack.touch_conn(self.now, index, |conn, cx| conn.read(cx, buf))
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, StreamError> {
        let index = self.stack.index_of(self.id).ok_or(StreamError::NotConnected)?;
        self.stack.touch_conn(self.now, index, |conn, _| conn.write(data))
    }

    fn close_write(&mut self) {
        let _ = self.with(|conn, cx| {
            conn.shutdown(cx, Shutdown::Write);
            Ok(())
        });
    }

    fn abort(&mut self) {
        let _ = self.with(|conn, cx| {
            conn.abort(cx);
            Ok(())
        });
    }

    fn unacked(&self) -> usize {
        self.stack.conn(self.id).map_or(0, Conn::unacked)
    }
}

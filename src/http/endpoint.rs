//! How is either side of an HTTP connection moved? What a pump needs to know of it.

use crate::time::Instant;

/// One side of an HTTP connection, between a stream of bytes and whoever asks or answers.
///
/// Bytes go in only as far as [`room`](Self::room) says, and come out as the stream takes them: neither side buffers
/// more than a bounded amount.
pub trait Endpoint {
    /// How many bytes [`on_bytes`](Self::on_bytes) takes now; 0 leaves them in the stream.
    fn room(&self) -> usize;
    /// Received bytes, at most `room()` of them; more are cut off and counted as a fault of the caller.
    fn on_bytes(&mut self, now: Instant, data: &[u8]);
    /// The peer's FIN, or the end of the connection by other means.
    fn on_eof(&mut self, now: Instant);
    /// What waits to be written to the stream.
    fn output(&self) -> &[u8];
    /// So many bytes of `output()` were taken by the stream.
    fn on_sent(&mut self, now: Instant, n: usize);
    /// Whether, once `output()` is empty, the write side is to be closed.
    fn wants_fin(&self) -> bool;
    /// The write side was closed.
    fn on_fin_sent(&mut self, now: Instant);
    /// When [`on_timeout`](Self::on_timeout) is due.
    fn next_deadline(&self) -> Option<Instant>;
    /// A deadline has passed; harmless when none has.
    fn on_timeout(&mut self, now: Instant);
    /// Whether the connection can be let go; with a RST if `must_abort()`.
    fn is_over(&self) -> bool;
    /// Whether the end is a failure that the peer must notice: a body that was cut short, a peer that takes nothing.
    fn must_abort(&self) -> bool;
}

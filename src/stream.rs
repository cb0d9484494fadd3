//! What can be done with a connection's bytes? The contract between TCP and whatever runs on it.

use std::fmt;
use std::io;

/// A full-duplex stream of bytes that never blocks. One side is a TCP connection of this stack, the
/// other whatever speaks over it.
pub trait ByteStream {
    /// Moves received bytes into `buf`. `Ok(0)` for a non-empty `buf` is the peer's FIN.
    ///
    /// # Errors
    /// [`StreamError::WouldBlock`] when nothing is there yet, else what ended the connection.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError>;

    /// Queues bytes for sending and returns how many found room.
    ///
    /// # Errors
    /// [`StreamError::WouldBlock`] when there is no room, [`StreamError::BrokenPipe`] after
    /// [`close_write`](Self::close_write), else what ended the connection.
    fn write(&mut self, data: &[u8]) -> Result<usize, StreamError>;

    /// Half-closes: a FIN follows the queued bytes (`shutdown(SHUT_WR)`). Calling it again changes nothing.
    fn close_write(&mut self);

    /// Ends the connection with a RST and drops what is queued.
    fn abort(&mut self);

    /// Bytes written that the peer has not acknowledged yet.
    fn unacked(&self) -> usize;
}

/// Why an operation on a stream could not be done. Each has the [`io::ErrorKind`] that std's sockets use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamError {
    /// Not now: wait for an event.
    WouldBlock,
    /// No connection (not yet, or not any more).
    NotConnected,
    /// A RST answered our SYN.
    ConnectionRefused,
    /// The peer sent a RST.
    ConnectionReset,
    /// This side aborted.
    ConnectionAborted,
    /// Writing after this side closed, or to a peer that is gone.
    BrokenPipe,
    /// Retransmissions, keep-alive probes or the user timeout gave up.
    TimedOut,
    /// ICMP said that there is no way to the host.
    HostUnreachable,
    /// ICMP said that there is no way to the network.
    NetworkUnreachable,
    /// ICMP said that the host does not speak TCP.
    ProtocolUnreachable,
}

impl StreamError {
    /// The kind under which std's sockets report this.
    pub fn kind(self) -> io::ErrorKind {
        match self {
            StreamError::WouldBlock => io::ErrorKind::WouldBlock,
            StreamError::NotConnected => io::ErrorKind::NotConnected,
            StreamError::ConnectionRefused => io::ErrorKind::ConnectionRefused,
            StreamError::ConnectionReset => io::ErrorKind::ConnectionReset,
            StreamError::ConnectionAborted => io::ErrorKind::ConnectionAborted,
            StreamError::BrokenPipe => io::ErrorKind::BrokenPipe,
            StreamError::TimedOut => io::ErrorKind::TimedOut,
            StreamError::HostUnreachable => io::ErrorKind::HostUnreachable,
            StreamError::NetworkUnreachable => io::ErrorKind::NetworkUnreachable,
            StreamError::ProtocolUnreachable => io::ErrorKind::Unsupported,
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StreamError::WouldBlock => "operation would block",
            StreamError::NotConnected => "not connected",
            StreamError::ConnectionRefused => "connection refused",
            StreamError::ConnectionReset => "connection reset by peer",
            StreamError::ConnectionAborted => "connection aborted",
            StreamError::BrokenPipe => "broken pipe",
            StreamError::TimedOut => "connection timed out",
            StreamError::HostUnreachable => "host unreachable",
            StreamError::NetworkUnreachable => "network unreachable",
            StreamError::ProtocolUnreachable => "protocol unreachable",
        })
    }
}

impl std::error::Error for StreamError {}

impl From<StreamError> for io::Error {
    fn from(e: StreamError) -> io::Error {
        io::Error::new(e.kind(), e)
    }
}

//! How do bytes get between HTTP and a stream? The one pump, for both sides of a connection.

use crate::http::Endpoint;
use crate::stream::{ByteStream, StreamError};
use crate::time::Instant;

/// What a pump borrows to move received bytes: one for all connections of a service.
#[derive(Debug)]
pub(super) struct Scratch(Box<[u8]>);

impl Scratch {
    pub fn new() -> Scratch {
        Scratch(vec![0; 64 << 10].into_boxed_slice())
    }

    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Moves received bytes into the endpoint until the stream has no more or the endpoint has no room.
/// Returns how many bytes moved; the peer's FIN shows in `eof_seen`.
///
/// # Errors
/// What ended the connection.
pub(super) fn receive(
    now: Instant,
    endpoint: &mut impl Endpoint,
    stream: &mut impl ByteStream,
    scratch: &mut Scratch,
    eof_seen: &mut bool,
) -> Result<usize, StreamError> {
    let mut moved = 0;
    while !*eof_seen {
        let room = endpoint.room().min(scratch.0.len());
        if room == 0 {
            break;
        }
        match stream.read(&mut scratch.0[..room]) {
            Ok(0) => {
                endpoint.on_eof(now);
                *eof_seen = true;
            }
            Ok(n) => {
                endpoint.on_bytes(now, &scratch.0[..n]);
                moved += n;
            }
            Err(StreamError::WouldBlock) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(moved)
}

/// Moves the endpoint's output into the stream, and its FIN after it. Returns how many bytes moved.
///
/// # Errors
/// What ended the connection.
pub(super) fn send(
    now: Instant,
    endpoint: &mut impl Endpoint,
    stream: &mut impl ByteStream,
) -> Result<usize, StreamError> {
    let mut moved = 0;
    while !endpoint.output().is_empty() {
        match stream.write(endpoint.output()) {
            Ok(0) | Err(StreamError::WouldBlock) => return Ok(moved),
            Ok(n) => {
                endpoint.on_sent(now, n);
                moved += n;
            }
            Err(e) => return Err(e),
        }
    }
    if endpoint.wants_fin() {
        stream.close_write();
        endpoint.on_fin_sent(now);
    }
    Ok(moved)
}

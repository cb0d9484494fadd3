//! What goes through a proxy unread? After CONNECT the bytes of both sides, as they come (RFC 9110 §9.3.6).

use super::upstream::Upstream;
use super::{Cx, Side, Turn};
use crate::stream::{ByteStream, StreamError};
use crate::time::{Duration, Instant};

/// Bytes that wait for one side because the other is slower.
const WAITING: usize = 64 << 10;
/// A tunnel that was quiet for so long gives way where clients wait for a place.
const QUIET: Duration = Duration::from_secs(5);

/// One direction.
struct Way {
    /// Read and not yet written.
    waiting: Vec<u8>,
    /// Nothing more comes.
    ended: bool,
    /// That was passed on.
    closed: bool,
}

/// Two connections that are one.
pub(super) struct Tunnel {
    up: Way,
    down: Way,
    /// When bytes last moved, and until when they must again.
    moved: Instant,
    deadline: Instant,
    late: bool,
}

impl Way {
    fn new(waiting: Vec<u8>) -> Way {
        Way { waiting, ended: false, closed: false }
    }

    /// Reads as far as there is room. True if something came.
    fn read(&mut self, stream: &mut impl ByteStream, scratch: &mut [u8]) -> Result<bool, StreamError> {
        let mut moved = false;
        while !self.ended && self.waiting.len() < WAITING {
            match stream.read(scratch) {
                Ok(0) => self.ended = true,
                Ok(n) => self.waiting.extend_from_slice(&scratch[..n]),
                Err(StreamError::WouldBlock) => break,
                Err(e) => return Err(e),
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Writes as far as there is room, and the end behind it. True if something left.
    fn write(&mut self, stream: &mut impl ByteStream) -> Result<bool, StreamError> {
        let mut moved = put(&mut self.waiting, stream)? > 0;
        if self.ended && self.waiting.is_empty() && !self.closed {
            self.closed = true;
            moved = true;
            stream.close_write();
        }
        Ok(moved)
    }
}

impl Tunnel {
    /// `received` came from the client behind its request, `unsent` is still to go to it.
    pub fn new(now: Instant, timeout: Duration, received: Vec<u8>, unsent: Vec<u8>) -> Tunnel {
        let (up, down) = (Way::new(received), Way::new(unsent));
        Tunnel { up, down, moved: now, deadline: now + timeout, late: false }
    }

    /// When it would end anyway, if it is quiet: then it may give way to others.
    pub fn spare_until(&self, now: Instant) -> Option<Instant> {
        (now.since(self.moved) >= QUIET).then_some(self.deadline)
    }

    pub fn on_timeout(&mut self, now: Instant) {
        self.late |= self.deadline <= now;
    }

    /// Runs as far as both streams allow.
    pub fn turn(
        &mut self,
        cx: &mut Cx,
        client: &mut Side,
        upstream: &mut Upstream,
    ) -> Result<Turn, StreamError> {
        if self.late {
            upstream.abort(cx);
            return Ok(Turn::Over { abort: true });
        }
        self.up.ended |= client.eof;
        let mut moved = false;
        loop {
            match self.round(cx, client, upstream) {
                Ok(true) => moved = true,
                Ok(false) => break,
                // What one side said last was passed on as far as that went: both end, and neither takes it for all.
                Err(_) => {
                    upstream.abort(cx);
                    return Ok(Turn::Over { abort: true });
                }
            }
        }
        if self.up.closed && self.down.closed {
            return Ok(Turn::Over { abort: false });
        }
        if moved {
            // One side has ended: the other one is not waited for as long.
            let ending = self.up.ended || self.down.ended;
            let idle = cx.http.tunnel_timeout;
            self.moved = cx.now;
            self.deadline = cx.now + if ending { cx.http.body_timeout.min(idle) } else { idle };
        }
        Ok(Turn::On(Some(self.deadline)))
    }

    fn round(&mut self, cx: &mut Cx, client: &mut Side, upstream: &Upstream) -> Result<bool, StreamError> {
        let Cx { now, stack, scratch, .. } = cx;
        let (Some(behind), _) = upstream.handles() else { return Err(StreamError::NotConnected) };
        let scratch = scratch.as_mut();
        let mut moved = self.up.read(&mut stack.stream(*now, client.id), scratch);
        client.eof |= self.up.ended;
        let down = self.down.read(&mut stack.stream(*now, behind), scratch);
        // What was said before a RST is passed on before it.
        for (way, id) in [(&mut self.up, behind), (&mut self.down, client.id)] {
            let wrote = way.write(&mut stack.stream(*now, id));
            moved = moved.and_then(|moved| Ok(moved | wrote?));
        }
        Ok(moved? | down?)
    }
}

/// Gives the stream what it takes, and returns how much that was.
pub(super) fn put(bytes: &mut Vec<u8>, stream: &mut impl ByteStream) -> Result<u64, StreamError> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(0) | Err(StreamError::WouldBlock) => break,
            Ok(n) => written += n,
            Err(e) => return Err(e),
        }
    }
    bytes.drain(..written);
    Ok(written as u64)
}

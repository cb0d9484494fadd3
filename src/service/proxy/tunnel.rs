//! What goes through a proxy unread? After CONNECT, or in another protocol, the bytes of both sides (RFC 9110 §9.3.6, §7.8).

use super::upstream::Upstream;
use super::way::Way;
use super::{Cx, Side, Turn};
use crate::stream::StreamError;
use crate::time::{Duration, Instant};

/// Two connections that are one.
pub(super) struct Tunnel {
    up: Way,
    down: Way,
    /// Until when bytes must have moved again.
    deadline: Instant,
    late: bool,
}

impl Tunnel {
    /// `received` came from the client behind its request, `unsent` is still to go to it.
    pub fn new(now: Instant, timeout: Duration, received: Vec<u8>, unsent: Vec<u8>) -> Tunnel {
        let (up, down) = (Way::new(received), Way::new(unsent));
        Tunnel { up, down, deadline: now + timeout, late: false }
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
            let before = self.up.moved + self.down.moved;
            let round = self.round(cx, client, upstream);
            client.moved += self.up.moved + self.down.moved - before;
            match round {
                Ok(true) => moved = true,
                Ok(false) => break,
                // What one side said last was passed on as far as that went: both end, and neither takes it for all.
                Err(_) => {
                    upstream.abort(cx);
                    return Ok(Turn::Over { abort: true });
                }
            }
        }
        if self.up.is_closed() && self.down.is_closed() {
            return Ok(Turn::Over { abort: false });
        }
        if moved {
            // One side has ended: the other one is not waited for as long.
            let ending = self.up.ended || self.down.ended;
            let idle = cx.http.tunnel_timeout;
            self.deadline = cx.now + if ending { cx.http.body_timeout.min(idle) } else { idle };
        }
        Ok(Turn::On(Some(self.deadline)))
    }

    fn round(&mut self, cx: &mut Cx, client: &mut Side, upstream: &Upstream) -> Result<bool, StreamError> {
        let Cx { now, stack, scratch, .. } = cx;
        let (Some(behind), _) = upstream.handles() else { return Err(StreamError::NotConnected) };
        let scratch = scratch.as_mut();
        let mut moved = self.up.read(&mut stack.stream(*now, client.id), scratch, u64::MAX, |_| {});
        client.eof |= self.up.ended;
        let down = self.down.read(&mut stack.stream(*now, behind), scratch, u64::MAX, |_| {});
        // What was said before a RST is passed on before it.
        for (way, id) in [(&mut self.up, behind), (&mut self.down, client.id)] {
            let wrote = way.write(&mut stack.stream(*now, id));
            moved = moved.and_then(|moved| Ok(moved | wrote?));
        }
        Ok(moved? | down?)
    }
}

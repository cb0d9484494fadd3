//! How does a connection end that the client needs no more? As `http.farewell` says.

use crate::http::Farewell;
use crate::stack::{ConnId, Stack};
use crate::stream::{ByteStream, StreamError};
use crate::tcp;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// Half-closed connections, each until the server's FIN or its deadline.
#[derive(Default)]
pub(super) struct Farewells {
    until: BTreeMap<ConnId, Instant>,
    queue: BTreeSet<(Instant, ConnId)>,
}

impl Farewells {
    /// Ends a connection in that way; its id is the client's no more.
    pub fn begin(&mut self, now: Instant, stack: &mut Stack, id: ConnId, how: Farewell, linger: Duration) {
        match how {
            Farewell::Close => stack.release(now, id),
            Farewell::Reset => {
                stack.stream(now, id).abort();
                stack.release(now, id);
            }
            Farewell::HalfClose => {
                stack.stream(now, id).close_write();
                self.until.insert(id, now + linger);
                self.queue.insert((now + linger, id));
                self.read(now, stack, id);
            }
        }
    }

    /// Whether it is one of those that wait here.
    pub fn owns(&self, id: ConnId) -> bool {
        self.until.contains_key(&id)
    }

    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Something happened on it.
    pub fn ready(&mut self, now: Instant, stack: &mut Stack, id: ConnId, event: tcp::Event) {
        self.read(now, stack, id);
        if matches!(event, tcp::Event::Closed(_)) {
            self.end(now, stack, id);
        }
    }

    /// What still comes is read and thrown away, so that it is acknowledged and not answered with a RST.
    fn read(&mut self, now: Instant, stack: &mut Stack, id: ConnId) {
        let mut bin = [0; 4096];
        loop {
            match stack.stream(now, id).read(&mut bin) {
                Ok(0) => return self.end(now, stack, id),
                Ok(_) => {}
                Err(StreamError::WouldBlock) => return,
                Err(_) => return self.end(now, stack, id),
            }
        }
    }

    /// Those whose deadline has passed are reset: the server had its time.
    pub fn due(&mut self, now: Instant, stack: &mut Stack) {
        while let Some(&(at, id)) = self.queue.first()
            && at <= now
        {
            stack.note_app(now, Some(id), "http", "no FIN from the server within http.linger: reset");
            stack.stream(now, id).abort();
            self.end(now, stack, id);
        }
    }

    fn end(&mut self, now: Instant, stack: &mut Stack, id: ConnId) {
        if let Some(at) = self.until.remove(&id) {
            self.queue.remove(&(at, id));
            stack.release(now, id);
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }
}

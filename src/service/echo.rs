//! What can answer without HTTP? Echo, discard and a talker: services for tests and for raw throughput.

use super::Service;
use super::pump::Scratch;
use crate::stack::{ConnId, ListenerId, Owner, Ready, Stack};
use crate::stream::{ByteStream, StreamError};
use crate::tcp;
use crate::time::Instant;
use std::collections::HashMap;
use std::net::SocketAddr;

/// What is done with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Talk {
    /// Received bytes go back (RFC 862).
    Echo,
    /// Received bytes are thrown away (RFC 863).
    Discard,
    /// Bytes are sent as long as they are taken, in the manner of RFC 864; received ones are thrown away.
    Talk,
}

/// Serves [`Talk`] on one address. The peer's FIN is answered with a FIN once everything is sent.
pub struct EchoService {
    owner: Owner,
    address: Option<SocketAddr>,
    listener: Option<ListenerId>,
    talk: Talk,
    /// Looked up, never walked through.
    peers: HashMap<ConnId, Peer>,
    scratch: Scratch,
    received: u64,
    draining: bool,
}

struct Peer {
    /// Read but not yet taken back by the stream; at most one scratch buffer.
    waiting: Vec<u8>,
    eof: bool,
    offset: u64,
}

/// Connections at one time; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 1 << 16;

impl EchoService {
    /// A service that listens on `address` from its first poll on.
    pub fn new(owner: Owner, address: SocketAddr, talk: Talk) -> EchoService {
        EchoService {
            owner,
            address: Some(address),
            listener: None,
            talk,
            peers: HashMap::new(),
            scratch: Scratch::new(),
            received: 0,
            draining: false,
        }
    }

    /// Bytes received on all connections.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Where it listens; `None` before the first poll, or if the stack refused the address.
    pub fn listener(&self) -> Option<ListenerId> {
        self.listener
    }

    fn accept(&mut self, now: Instant, stack: &mut Stack) {
        let Some(listener) = self.listener else { return };
        while self.peers.len() < MAX_CONNECTIONS {
            let Some(accepted) = stack.accept(listener, self.owner) else { return };
            self.peers.insert(accepted.id, Peer { waiting: Vec::new(), eof: false, offset: 0 });
            self.turn(now, stack, accepted.id);
        }
    }

    fn turn(&mut self, now: Instant, stack: &mut Stack, id: ConnId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let mut stream = stack.stream(now, id);
        let over = match peer.go_on(self.talk, &mut stream, &mut self.scratch, &mut self.received) {
            Ok(()) => peer.eof && peer.waiting.is_empty(),
            Err(_) => true,
        };
        if over {
            self.remove(now, stack, id);
        }
    }

    fn remove(&mut self, now: Instant, stack: &mut Stack, id: ConnId) {
        if self.peers.remove(&id).is_some() {
            // The FIN follows what is queued.
            stack.release(now, id);
        }
    }
}

impl Peer {
    fn go_on(
        &mut self,
        talk: Talk,
        stream: &mut impl ByteStream,
        scratch: &mut Scratch,
        received: &mut u64,
    ) -> Result<(), StreamError> {
        let would_block = |e| if e == StreamError::WouldBlock { Ok(0) } else { Err(e) };
        loop {
            if !self.waiting.is_empty() {
                let n = stream.write(&self.waiting).or_else(would_block)?;
                self.waiting.drain(..n);
                if !self.waiting.is_empty() {
                    return Ok(());
                }
            }
            if self.eof {
                return Ok(());
            }
            match stream.read(scratch.as_mut()) {
                Ok(0) => self.eof = true,
                Ok(n) => {
                    *received += n as u64;
                    if talk == Talk::Echo {
                        let written = stream.write(&scratch.as_mut()[..n]).or_else(would_block)?;
                        self.waiting.extend_from_slice(&scratch.as_mut()[written..n]);
                    }
                }
                Err(StreamError::WouldBlock) if talk == Talk::Talk => {
                    super::content::pattern(self.offset, scratch.as_mut());
                    match stream.write(scratch.as_mut()) {
                        Ok(n) => self.offset += n as u64,
                        Err(StreamError::WouldBlock) => return Ok(()),
                        Err(e) => return Err(e),
                    }
                }
                Err(StreamError::WouldBlock) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Service for EchoService {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        if let Some(address) = self.address.take() {
            self.listener = stack.listen(address, None, self.owner).ok();
        }
        while let Some(ready) = stack.ready(self.owner) {
            match ready {
                Ready::Accept(_) => self.accept(now, stack),
                Ready::Conn(id, event) => {
                    self.turn(now, stack, id);
                    if matches!(event, tcp::Event::Closed(_)) {
                        self.remove(now, stack, id);
                    }
                }
                Ready::Resolved(_) => {}
            }
        }
        // Those that waited while there were too many.
        self.accept(now, stack);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.address.map(|_| Instant::ZERO)
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        if !self.draining {
            self.draining = true;
            self.address = None;
            if let Some(listener) = self.listener.take() {
                stack.close_listener(now, listener);
            }
        }
        self.poll(now, stack);
        self.peers.is_empty()
    }
}

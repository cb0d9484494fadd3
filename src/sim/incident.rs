//! How does the trace tell what a link did to a packet?

use super::link::{Dropped, Fate};
use crate::segment::Segment;
use crate::time::Instant;
use crate::trace::{Direction, EventKind, EventRecord, Record, Tracer};
use crate::wire::{self, Decoded};
use std::fmt;
use std::net::SocketAddr;

/// A packet that a link did not let pass untouched.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Incident {
    /// When the packet was sent.
    pub at: Instant,
    /// What was done to it.
    pub fate: Fate,
    /// Its length in bytes.
    pub bytes: usize,
    /// Source, destination and header, if it is TCP.
    pub tcp: Option<(SocketAddr, SocketAddr, Segment)>,
}

impl Incident {
    /// What happened to `frame`; `None` if nothing did.
    pub fn new(at: Instant, frame: &[u8], fate: Fate) -> Option<Incident> {
        if fate.is_plain() {
            return None;
        }
        let tcp = match wire::decode(frame, false) {
            Ok(Decoded::Tcp(packet)) => Some((packet.envelope.src, packet.envelope.dst, packet.seg)),
            _ => None,
        };
        Some(Incident { at, fate, bytes: frame.len(), tcp })
    }

    /// Writes a row for each thing that was done, as the sender (`Out`) or the receiver (`In`) sees it.
    pub fn record(&self, tracer: &mut Tracer, direction: Direction) {
        if !tracer.wants_events() {
            return;
        }
        let (local, remote) = match (self.tcp, direction) {
            (None, _) => (None, None),
            (Some((src, dst, _)), Direction::Out) => (Some(src), Some(dst)),
            (Some((src, dst, _)), Direction::In) => (Some(dst), Some(src)),
        };
        for action in self.fate.words() {
            let text = match (action, self.fate.arrives) {
                (_, Err(Dropped::Nth(n))) => format!("{self}: segment {n} with data in this direction"),
                ("too-big", _) => format!("{self}, a packet of {} bytes", self.bytes),
                ("corrupted", _) => format!("one bit of {self}"),
                ("duplicated", _) => format!("{self} will arrive twice"),
                ("delayed", _) => {
                    format!("{self} will arrive {} later", crate::time::Spoken(self.fate.delayed))
                }
                ("reset-by-rule", _) => format!("{self}: both ends get a RST instead"),
                ("reordered", _) => format!("{self} will arrive behind later packets"),
                _ => self.to_string(),
            };
            let kind = EventKind::Link { action, text: &text };
            tracer.record(&Record::Event(EventRecord { at: self.at, conn: None, local, remote, kind }));
        }
    }
}

/// Which packet it is: `1448 bytes 7001..8449 from 10.0.0.1:80 to 10.0.0.2:4000`.
impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tcp {
            None => write!(f, "a packet of {} bytes", self.bytes),
            Some((src, dst, seg)) if seg.len == 0 => {
                write!(f, "a segment without data ({}, seq {}) from {src} to {dst}", seg.flags, seg.seq)
            }
            Some((src, dst, seg)) => {
                write!(f, "{} bytes {}..{} from {src} to {dst}", seg.len, seg.seq, seg.seq + seg.len)
            }
        }
    }
}

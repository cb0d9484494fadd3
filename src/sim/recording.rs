//! What did a host send and receive? Its packets in memory, for a test to look at.

use crate::segment::Segment;
use crate::time::Instant;
use crate::trace::{Direction, Record, Sink};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Packets that are kept; a test that makes more wants a capture file.
const KEPT_MAX: usize = 1 << 20;

/// A TCP packet as a host saw it.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    /// When.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// Why it was sent or what it was taken for: `data`, `rto`, `ack-delayed`, `in-order`, `drop-checksum`.
    pub word: &'static str,
    /// The connection's number on this host, from 1.
    pub conn: Option<u32>,
    /// Its header; empty if it could not be read.
    pub seg: Segment,
}

/// The packets of a host from [`World::record`](super::World::record) on. Clones see the same.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Vec<Recorded>>>);

impl Recording {
    /// All of them, oldest first.
    pub fn packets(&self) -> Vec<Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many are such.
    pub fn count(&self, mut such: impl FnMut(&Recorded) -> bool) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|p| such(p)).count()
    }

    /// How many were sent for this reason.
    pub fn sent(&self, word: &str) -> usize {
        self.count(|p| p.direction == Direction::Out && p.word == word)
    }

    /// How many were received and taken for this.
    pub fn received(&self, word: &str) -> usize {
        self.count(|p| p.direction == Direction::In && p.word == word)
    }
}

/// A line for each packet: for the message of an assertion.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for p in self.packets() {
            let seg = p.seg;
            let conn = p.conn.map_or_else(|| "-".to_owned(), |n| n.to_string());
            writeln!(
                f,
                "{} {:3} #{conn} {} seq {} ack {} len {}  {}",
                p.at,
                p.direction.word(),
                seg.flags,
                seg.seq,
                seg.ack,
                seg.len,
                p.word
            )?;
        }
        Ok(())
    }
}

impl Sink for Recording {
    fn record(&mut self, record: &Record<'_>) {
        let Record::Packet(packet) = record else { return };
        let seg = packet.seg.copied();
        // Neither TCP nor something that may have been TCP before it was damaged.
        if seg.is_none() && !packet.why.is_drop() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            let (at, direction, conn) = (packet.at, packet.direction, packet.conn);
            kept.push(Recorded {
                at,
                direction,
                word: packet.why.word(),
                conn,
                seg: seg.unwrap_or_default(),
            });
        }
    }

    fn wants_events(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

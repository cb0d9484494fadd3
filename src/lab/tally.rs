//! What went over the wire, seen from one host? Counts that a reader of the capture gets, too.

use crate::segment::Flags;
use crate::time::Instant;
use crate::trace::{Direction, PacketRecord, Record, Sink};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One direction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Way {
    /// TCP segments.
    pub segments: u64,
    /// Those with data: `tcp.len > 0`.
    pub data: u64,
    /// Those with nothing but an acknowledgment.
    pub pure_acks: u64,
    /// Bytes of data, repeated ones included.
    pub payload: u64,
    /// Bytes of the packets.
    pub bytes: u64,
    pub syns: u64,
    pub fins: u64,
    pub rsts: u64,
}

impl Way {
    /// What was counted since `earlier`.
    pub fn since(self, earlier: Way) -> Way {
        Way {
            segments: self.segments - earlier.segments,
            data: self.data - earlier.data,
            pure_acks: self.pure_acks - earlier.pure_acks,
            payload: self.payload - earlier.payload,
            bytes: self.bytes - earlier.bytes,
            syns: self.syns - earlier.syns,
            fins: self.fins - earlier.fins,
            rsts: self.rsts - earlier.rsts,
        }
    }

    fn count(&mut self, packet: &PacketRecord<'_>) {
        let Some(seg) = packet.seg else { return };
        self.segments += 1;
        self.bytes += packet.frame.len() as u64;
        self.payload += u64::from(seg.len);
        self.data += u64::from(seg.len > 0);
        self.syns += u64::from(seg.has(Flags::SYN));
        self.fins += u64::from(seg.has(Flags::FIN));
        self.rsts += u64::from(seg.has(Flags::RST));
        self.pure_acks +=
            u64::from(seg.len == 0 && !(seg.has(Flags::SYN) || seg.has(Flags::FIN) || seg.has(Flags::RST)));
    }
}

/// Both directions; a handle on it can be kept while the host writes.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Sent and received.
    ways: (Way, Way),
    first: Option<Instant>,
    /// How often something was sent for a cause.
    causes: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Sent and received so far.
    pub fn ways(&self) -> (Way, Way) {
        self.seen().ways
    }

    /// When the first packet came or went.
    pub fn first(&self) -> Option<Instant> {
        self.seen().first
    }

    /// Packets sent for a cause.
    pub fn sent(&self, word: &str) -> u64 {
        self.seen().causes.get(word).copied().unwrap_or(0)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Tally {
    fn record(&mut self, record: &Record<'_>) {
        let Record::Packet(packet) = record else { return };
        let mut seen = self.seen();
        seen.first.get_or_insert(packet.at);
        match packet.direction {
            Direction::Out => {
                seen.ways.0.count(packet);
                *seen.causes.entry(packet.why.word()).or_default() += 1;
            }
            Direction::In => seen.ways.1.count(packet),
        }
    }

    fn wants_events(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

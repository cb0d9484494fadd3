//! Why was each packet sent? Records of packets and events, and the files that they are written to.
//!
//! A [`Tracer`] gets every [`Record`] of one vantage point and hands it to its sinks: captures ([`open`],
//! [`to_writer`]), a [`Digest`]. Counts by word are always kept.

mod counts;
mod digest;
mod digits;
mod encoder;
mod jsonl;
mod object;
mod open;
mod pcap;
mod pcapng;
mod record;
mod shape;
mod text;
mod threaded;
mod words;
#[cfg(test)]
mod words_tests;
mod writer;
#[cfg(test)]
mod writer_tests;

pub use counts::{Counts, PIGGYBACK};
pub use digest::Digest;
pub use encoder::{Format, Overflow, TraceOptions};
pub use jsonl::SCHEMA;
pub use object::{ledger, ledger_from, tcp_info};
pub use open::{open, open_as, to_thread, to_writer};
pub use record::{Direction, EventKind, EventRecord, PacketRecord, Record, Sink, Why};

use std::io;

/// All sinks of one vantage point.
#[derive(Default)]
pub struct Tracer {
    sinks: Vec<(SinkId, Box<dyn Sink>)>,
    /// The number of the next sink.
    next: u64,
    counts: Counts,
}

/// Which sink of a [`Tracer`]; never given twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SinkId(u64);

impl Tracer {
    /// A tracer with these sinks; without any it only counts.
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Tracer {
        let mut tracer = Tracer::default();
        for sink in sinks {
            tracer.add(sink);
        }
        tracer
    }

    /// Whether any sink wants event records (the engine's log is enabled only then).
    pub fn wants_events(&self) -> bool {
        self.sinks.iter().any(|(_, sink)| sink.wants_events())
    }

    /// Whether anybody gets the packets, beside being counted.
    pub fn wants_packets(&self) -> bool {
        !self.sinks.is_empty()
    }

    /// Adds a sink that gets the records from now on.
    pub fn add(&mut self, sink: Box<dyn Sink>) -> SinkId {
        let id = SinkId(self.next);
        self.next += 1;
        self.sinks.push((id, sink));
        id
    }

    /// Takes a sink away, which its owner finishes.
    pub fn remove(&mut self, id: SinkId) -> Option<Box<dyn Sink>> {
        let at = self.sinks.iter().position(|(known, _)| *known == id)?;
        Some(self.sinks.remove(at).1)
    }

    /// Hands a record to all sinks and counts it.
    pub fn record(&mut self, record: &Record<'_>) {
        if let Record::Packet(packet) = record {
            self.counts.count(packet);
        }
        for (_, sink) in &mut self.sinks {
            sink.record(record);
        }
    }

    /// The same for a packet whose frame is only its first bytes, and `rest` the others.
    pub fn record_pieces(&mut self, packet: &PacketRecord<'_>, rest: [&[u8]; 2]) {
        self.counts.count(packet);
        for (_, sink) in &mut self.sinks {
            sink.record_pieces(packet, rest);
        }
    }

    /// Packets by word so far.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Records that sinks left out because their output was too slow ([`Overflow::Drop`]).
    pub fn dropped(&self) -> u64 {
        self.sinks.iter().map(|(_, sink)| sink.dropped()).sum()
    }

    /// Completes all outputs, the others even if one fails.
    ///
    /// # Errors
    /// The first error of the first sink that has one, with the path and a remedy in its message.
    pub fn finish(self) -> io::Result<()> {
        self.sinks.into_iter().map(|(_, sink)| sink.finish()).fold(Ok(()), io::Result::and)
    }
}

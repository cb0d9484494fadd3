//! What must a file format be able to do? Records → bytes, each in one go, so that a file can end anywhere between two.

use super::record::{EventRecord, PacketRecord, Piece, Record};
use super::{jsonl, pcap, pcapng, text};
use std::net::IpAddr;

/// The formats that a trace can be written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// pcapng: packets with comments, events between them.
    Pcapng,
    /// Classic pcap with nanoseconds: packets alone.
    Pcap,
    /// One JSON object per line, schema `tcpglass.event/1`.
    Jsonl,
    /// One line of text per record.
    Text,
}

/// What to do with a record while the output is slower than the stack.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Overflow {
    /// Wait: no record is lost, the stack slows down.
    #[default]
    Wait,
    /// Leave it out and count it.
    Drop,
}

/// How a trace is written.
#[derive(Clone, Debug, Default)]
pub struct TraceOptions {
    /// What happens when the output is too slow; matters only to [`super::open`].
    pub overflow: Overflow,
    /// At most so many bytes of each packet are kept; 0 keeps all.
    pub snaplen: u32,
    /// Names of addresses, for the capture's name-resolution block.
    pub names: Vec<(IpAddr, String)>,
    /// The interface's name; empty is `tcpglass`.
    pub interface: String,
    /// What is traced, e.g. the command line and the settings: the capture's section comment.
    pub description: String,
    /// Leaves out what depends on the machine and the release that write it (processor, operating system, version), so
    /// that the same records give the same bytes everywhere.
    pub portable: bool,
}

impl TraceOptions {
    /// The part of a packet that is kept.
    pub(super) fn kept<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        match self.snaplen as usize {
            0 => frame,
            most => &frame[..frame.len().min(most)],
        }
    }
}

/// Appends records to a buffer. Super-segments come in pieces.
pub(super) trait Encoder: Send {
    /// What stands before the first record.
    fn begin(&mut self, out: &mut Vec<u8>);
    /// One packet of the wire, which has `len` bytes; of those that [`most`](Self::most) leaves over some may be missing.
    fn packet(&mut self, packet: &PacketRecord<'_>, piece: Piece, len: usize, out: &mut Vec<u8>);
    /// One event.
    fn event(&mut self, event: &EventRecord<'_>, out: &mut Vec<u8>);
    /// So much was left out just now.
    fn lost(&mut self, lost: Lost);
    /// What stands behind the last record.
    fn end(&mut self, out: &mut Vec<u8>);
    /// How many bytes of each packet it looks at; 0 is all.
    fn most(&self) -> usize {
        0
    }
    /// Whether events are of any use.
    fn wants_events(&self) -> bool {
        true
    }
}

/// Records that were left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Lost {
    pub packets: u64,
    pub events: u64,
}

impl Lost {
    pub(super) const EVENT: Lost = Lost { packets: 0, events: 1 };

    pub(super) fn add(&mut self, other: Lost) {
        self.packets += other.packets;
        self.events += other.events;
    }

    pub(super) fn total(self) -> u64 {
        self.packets + self.events
    }
}

/// The encoder of a format.
pub(super) fn encoder(format: Format, options: &TraceOptions) -> Box<dyn Encoder> {
    match format {
        Format::Pcapng => Box::new(pcapng::Pcapng::new(options)),
        Format::Pcap => Box::new(pcap::Pcap::new(options)),
        Format::Jsonl => Box::new(jsonl::Jsonl::default()),
        Format::Text => Box::new(text::Text::default()),
    }
}

/// Encodes one record, cutting a super-segment up.
pub(super) fn encode(
    encoder: &mut dyn Encoder,
    record: &Record<'_>,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    match record {
        Record::Packet(packet) => {
            packet.each_wire_packet(scratch, &mut |packet, piece| {
                encoder.packet(packet, piece, packet.frame.len(), out);
            });
        }
        Record::Event(event) => encoder.event(event, out),
    }
}

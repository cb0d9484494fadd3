//! How does a record look in a pcapng file? Packets with two comments, events as journal rows between them.
//!
//! The blocks around the packets are pcap-file's. The blocks of packets and events are written here: pcap-file's want options
//! in a vector made anew for each packet, and go through a buffer.

use super::digits::{address, number};
use super::encoder::{Encoder, Lost, TraceOptions};
use super::record::{Direction, EventRecord, PacketRecord, Piece};
use super::shape::Shape;
use super::words;
use crate::time::{Duration, Instant};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::pcapng::blocks::name_resolution::{Ipv4Record, Ipv6Record, NameResolutionBlock, Record};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness};
use std::fmt::Write as _;
use std::net::IpAddr;

/// The packet block and its options (pcapng §4.3).
mod epb {
    pub const TYPE: u32 = 6;
    pub const END: u16 = 0;
    pub const COMMENT: u16 = 1;
    pub const FLAGS: u16 = 2;
    pub const DROP_COUNT: u16 = 4;
    pub const PACKET_ID: u16 = 5;
    pub const VERDICT: u16 = 7;
    pub const INBOUND: u32 = 1;
    pub const OUTBOUND: u32 = 2;
    /// A verdict of Linux' traffic control, and the one that means: dropped.
    pub const VERDICT_TC: u8 = 1;
    pub const TC_ACT_SHOT: u64 = 2;
}

/// The block of a journal's entry (pcapng §4.7).
const JOURNAL: u32 = 9;

/// The longest text that an option gets; its length field has 16 bits.
const MOST: usize = 32 << 10;

pub(super) struct Pcapng {
    options: TraceOptions,
    /// Writes into memory, from where the bytes are taken; knows the time stamps' resolution.
    blocks: Option<PcapNgWriter<Vec<u8>>>,
    text: String,
    /// The second comment of a super-segment's last piece, which all of them have in common.
    state: String,
    /// The first comment of its middle pieces.
    shape: Shape,
    packets: u64,
    lost: Lost,
    /// Packets lost since the last one that is in the file.
    gap: u64,
    first: Option<Instant>,
    last: Instant,
}

impl Pcapng {
    pub(super) fn new(options: &TraceOptions) -> Pcapng {
        Pcapng {
            options: options.clone(),
            blocks: None,
            text: String::new(),
            state: String::new(),
            shape: Shape::default(),
            packets: 0,
            lost: Lost::default(),
            gap: 0,
            first: None,
            last: Instant::ZERO,
        }
    }

    fn saw(&mut self, at: Instant) {
        self.first.get_or_insert(at);
        self.last = self.last.max(at);
    }

    /// Moves what the block writer has produced to `out`.
    fn take(&mut self, out: &mut Vec<u8>) {
        if let Some(blocks) = &mut self.blocks {
            out.append(blocks.get_mut());
        }
    }
}

/// As much of `text` as an option has room for.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST)]
}

fn since_origin(at: Instant) -> Duration {
    Duration::from_nanos(at.as_nanos())
}

const IN_MEMORY: &str = "writing to memory does not fail, and what is written is within the format's limits";

impl Encoder for Pcapng {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let comment = match self.options.description.as_str() {
            "" => "every packet says why it was sent: frame.comment contains \"why=\"",
            text => bounded(text),
        };
        let mut about = vec![SectionHeaderOption::Common(CommonOption::Comment(comment.into()))];
        if self.options.portable {
            about.push(SectionHeaderOption::UserApplication("tcpglass".into()));
        } else {
            about.extend([
                SectionHeaderOption::Hardware(std::env::consts::ARCH.into()),
                SectionHeaderOption::OS(std::env::consts::OS.into()),
                SectionHeaderOption::UserApplication(concat!("tcpglass ", env!("CARGO_PKG_VERSION")).into()),
            ]);
        }
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: about,
            ..SectionHeaderBlock::default()
        };
        let name = match self.options.interface.as_str() {
            "" => "tcpglass",
            name => bounded(name),
        };
        let mut interface = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: self.options.snaplen,
            options: vec![
                InterfaceDescriptionOption::IfName(name.into()),
                InterfaceDescriptionOption::IfDescription("the network side of the tcpglass stack".into()),
                InterfaceDescriptionOption::IfTsResol(
                    InterfaceTsResolution::new(false, 9).expect("nanoseconds are a resolution"),
                ),
            ],
        };
        if !self.options.portable {
            interface.options.push(InterfaceDescriptionOption::IfOs(std::env::consts::OS.into()));
        }
        let mut blocks = PcapNgWriter::with_section_header(Vec::new(), section).expect(IN_MEMORY);
        blocks.write_pcapng_block(interface).expect(IN_MEMORY);
        if !self.options.names.is_empty() {
            let record = |(ip, name): &(IpAddr, String)| {
                let names = vec![bounded(name).to_owned().into()];
                match *ip {
                    IpAddr::V4(ip_addr) => Record::Ipv4(Ipv4Record { ip_addr, names }),
                    IpAddr::V6(ip_addr) => Record::Ipv6(Ipv6Record { ip_addr, names }),
                }
            };
            let mut records: Vec<Record> = self.options.names.iter().map(record).collect();
            records.push(Record::End);
            blocks.write_pcapng_block(NameResolutionBlock { records, options: vec![] }).expect(IN_MEMORY);
        }
        self.blocks = Some(blocks);
        self.take(out);
    }

    fn packet(&mut self, packet: &PacketRecord<'_>, piece: Piece, len: usize, out: &mut Vec<u8>) {
        self.saw(packet.at);
        self.packets += 1;
        let at = packet.at.as_nanos();
        let kept = self.options.kept(packet.frame);
        // With the comments in one piece, usually.
        out.reserve(kept.len() + 512);
        let block = open_block(out, epb::TYPE);
        // Interface 0, the time stamp with its high half first, the length kept and the length there was.
        let fields = [0, (at >> 32) as u32, at as u32, kept.len() as u32, len as u32];
        out.extend_from_slice(fields.map(u32::to_ne_bytes).as_flattened());
        out.extend_from_slice(kept);
        pad(out);
        if piece.nth == 2 && Shape::is_for(piece) {
            self.shape.make(packet, piece);
        }
        let alike =
            Shape::is_for(piece) && self.shape.tell(packet, piece, |parts| option(out, epb::COMMENT, parts));
        if !alike {
            self.text.clear();
            // Writing to a String does not fail.
            let _ = words::why(&mut self.text, packet, piece);
            option(out, epb::COMMENT, &[bounded(&self.text).as_bytes()]);
        }
        if piece.nth == 1 {
            self.state.clear();
            let _ = words::state(&mut self.state, packet.conn, packet.state.as_ref());
        }
        option(out, epb::COMMENT, &[bounded(&self.state).as_bytes()]);
        let flags = match packet.direction {
            Direction::In => epb::INBOUND,
            Direction::Out => epb::OUTBOUND,
        };
        option(out, epb::FLAGS, &[&flags.to_ne_bytes()]);
        if self.gap > 0 {
            option(out, epb::DROP_COUNT, &[&std::mem::take(&mut self.gap).to_ne_bytes()]);
        }
        option(out, epb::PACKET_ID, &[&self.packets.to_ne_bytes()]);
        if packet.why.is_drop() {
            option(out, epb::VERDICT, &[&[epb::VERDICT_TC], &epb::TC_ACT_SHOT.to_ne_bytes()]);
        }
        option(out, epb::END, &[]);
        close_block(out, block);
    }

    fn event(&mut self, event: &EventRecord<'_>, out: &mut Vec<u8>) {
        self.saw(event.at);
        let mut entry = std::mem::take(&mut self.text);
        entry.clear();
        let word = words::event_word(&event.kind);
        // Writing to a String does not fail.
        let _ = write!(entry, "__REALTIME_TIMESTAMP={}", event.at.as_micros());
        entry.extend(["\nMESSAGE=", word, ": "]);
        let _ = words::event(&mut entry, event);
        entry.extend(["\nPRIORITY=6\nSYSLOG_IDENTIFIER=tcpglass\nTCPGLASS_EVENT=", word]);
        let _ = event.conn.map_or(Ok(()), |conn| number(&mut entry, "\nTCPGLASS_CONN=", conn));
        let _ = event.local.map_or(Ok(()), |local| address(&mut entry, "\nTCPGLASS_LOCAL=", local));
        let _ = event.remote.map_or(Ok(()), |remote| address(&mut entry, "\nTCPGLASS_REMOTE=", remote));
        entry.push('\n');
        let block = open_block(out, JOURNAL);
        out.extend_from_slice(entry.as_bytes());
        pad(out);
        close_block(out, block);
        self.text = entry;
    }

    fn most(&self) -> usize {
        self.options.snaplen as usize
    }

    fn lost(&mut self, lost: Lost) {
        self.lost.add(lost);
        self.gap += lost.packets;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let Lost { packets, events } = self.lost;
        let mut options = vec![
            InterfaceStatisticsOption::IsbStartTime(since_origin(self.first.unwrap_or(self.last))),
            InterfaceStatisticsOption::IsbEndTime(since_origin(self.last)),
            InterfaceStatisticsOption::IsbIfRecv(self.packets + packets),
            InterfaceStatisticsOption::IsbIfDrop(packets),
        ];
        if self.lost != Lost::default() {
            let comment =
                format!("the output was too slow: {packets} packets and {events} events are missing");
            options.push(InterfaceStatisticsOption::Common(CommonOption::Comment(comment.into())));
        }
        if let Some(blocks) = &mut self.blocks {
            let block =
                InterfaceStatisticsBlock { interface_id: 0, timestamp: since_origin(self.last), options };
            blocks.write_pcapng_block(block).expect(IN_MEMORY);
        }
        self.take(out);
    }
}

/// Begins a block; what it returns is for [`close_block`].
fn open_block(out: &mut Vec<u8>, kind: u32) -> usize {
    let start = out.len();
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&[0; 4]); // the length, when it is known
    start
}

fn close_block(out: &mut Vec<u8>, start: usize) {
    let len = ((out.len() - start + 4) as u32).to_ne_bytes();
    out[start + 4..start + 8].copy_from_slice(&len);
    out.extend_from_slice(&len);
}

#[inline]
fn option(out: &mut Vec<u8>, code: u16, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|p| p.len()).sum();
    out.extend_from_slice([code, len as u16].map(u16::to_ne_bytes).as_flattened());
    parts.iter().for_each(|p| out.extend_from_slice(p));
    pad(out);
}

/// Fills up to four bytes. Every block has a multiple of four, so `out` is aligned to where the block began.
fn pad(out: &mut Vec<u8>) {
    let end = out.len().next_multiple_of(4);
    // Four at once, and back, are two instructions; up to three are a call.
    out.extend_from_slice(&[0; 4]);
    out.truncate(end);
}

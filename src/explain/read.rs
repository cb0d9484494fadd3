//! Which packets does a capture file hold? pcap and pcapng, compressed or not, up to the first damage.

use crate::time::Duration;
use flate2::read::MultiGzDecoder;
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{Block, PcapNgReadError, PcapNgReader};
use ruzstd::decoding::StreamingDecoder;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io::{ErrorKind, Read};

/// Why nothing could be read.
#[derive(Debug)]
pub enum ReadError {
    /// Reading failed before the first block was complete.
    Io(std::io::Error),
    /// It is something else than a capture; a word on what to do.
    NotACapture(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(e) => write!(f, "{e}"),
            ReadError::NotACapture(what) => f.write_str(what),
        }
    }
}

impl Error for ReadError {}

/// One thing in the file.
pub(super) enum Item<'a> {
    Packet(Packet<'a>),
    /// A row between the packets, and what it says if a stack of ours wrote it.
    Event(&'a str),
    /// What the section says of itself.
    About(&'a str),
    /// So many packets are missing, says the recorder.
    Dropped(u64),
}

/// A packet as captured.
pub(super) struct Packet<'a> {
    /// Since the epoch that the file uses.
    pub at: Duration,
    pub link: u32,
    pub data: &'a [u8],
    /// Its length on the wire.
    pub length: u32,
    /// What a stack of ours says of it.
    pub stated: Option<Stated<'a>>,
}

/// What the stack that made the capture says of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stated<'a> {
    /// The word of its reason.
    pub why: &'a str,
    /// What stands behind it.
    pub sentence: &'a str,
    /// Whether that stack sent it.
    pub sent: bool,
    /// The word behind `limit=`: what keeps more from being sent, after this packet.
    pub limit: Option<&'a str>,
    /// The whole comment that it stands in: the connection's numbers after this packet.
    pub numbers: Option<&'a str>,
}

/// How reading ended.
pub(super) struct End {
    pub format: &'static str,
    pub damage: Option<String>,
}

/// Hands each item to `take`.
pub(super) fn packets(mut input: impl Read, take: &mut dyn FnMut(Item<'_>)) -> Result<End, ReadError> {
    let mut magic = [0; 4];
    match input.read_exact(&mut magic) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
            return Err(ReadError::NotACapture("it is empty or shorter than a capture's header".into()));
        }
        Err(e) => return Err(ReadError::Io(e)),
        Ok(()) => {}
    }
    let input = magic.as_slice().chain(input);
    let mut unpacked: Box<dyn Read + '_> = match magic {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = StreamingDecoder::new(input);
            Box::new(decoder.map_err(|e| ReadError::NotACapture(format!("it cannot be unpacked: {e}")))?)
        }
        _ => return plain(magic, input, take),
    };
    let mut inner = [0; 4];
    match unpacked.read_exact(&mut inner) {
        Ok(()) => plain(inner, inner.as_slice().chain(unpacked), take),
        Err(e) => Err(ReadError::NotACapture(format!("it cannot be unpacked: {e}"))),
    }
}

/// What is not compressed, or no longer; it begins with `magic`.
fn plain(magic: [u8; 4], input: impl Read, take: &mut dyn FnMut(Item<'_>)) -> Result<End, ReadError> {
    match magic {
        [0x0a, 0x0d, 0x0d, 0x0a] => pcapng(input, take),
        [0xa1, 0xb2, 0xc3, 0xd4]
        | [0xd4, 0xc3, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0x3c, 0x4d]
        | [0x4d, 0x3c, 0xb2, 0xa1] => pcap(input, take),
        _ => Err(ReadError::NotACapture("it is neither pcap nor pcapng".into())),
    }
}

/// An error with all its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

fn cut_short(error: &std::io::Error) -> Option<String> {
    (error.kind() == ErrorKind::UnexpectedEof).then(|| "the file was cut short within a block".to_owned())
}

fn pcapng(input: impl Read, take: &mut dyn FnMut(Item<'_>)) -> Result<End, ReadError> {
    let mut reader = PcapNgReader::new(input).map_err(|e| match e {
        PcapNgReadError::Io(e) if cut_short(&e).is_none() => ReadError::Io(e),
        e => ReadError::NotACapture(format!("its section header cannot be read: {}", chain(&e))),
    })?;
    let mut dropped = BTreeMap::new();
    about(reader.section(), take);
    let damage = loop {
        match reader.next_block() {
            None => break None,
            Some(Ok((block, state))) => {
                let links =
                    |n: u32| state.interfaces().get(n as usize).map_or(u32::MAX, |i| i.linktype.into());
                pcapng_block(&block, &links, take);
                if let Block::InterfaceStatistics(statistics) = &block {
                    let n = statistics.options.iter().find_map(|o| match o {
                        InterfaceStatisticsOption::IsbIfDrop(n) => Some(*n),
                        _ => None,
                    });
                    // Counts since the start: the last one of an interface holds the others.
                    dropped.insert(statistics.interface_id, n.unwrap_or(0));
                }
            }
            Some(Err(PcapNgReadError::Io(e))) => break Some(cut_short(&e).unwrap_or_else(|| e.to_string())),
            Some(Err(error @ PcapNgReadError::BlockConversion(_))) => {
                // One block that makes no sense: its length does, so the rest can be read.
                if !matches!(reader.next_raw_block(), Some(Ok(_))) {
                    break Some(chain(&error));
                }
            }
            Some(Err(error)) => break Some(chain(&error)),
        }
    };
    take(Item::Dropped(dropped.values().fold(0, |all, n| all.saturating_add(*n))));
    let damage = damage.map(|d| format!("{d} (at byte {})", reader.bytes_parsed()));
    Ok(End { format: "pcapng", damage })
}

fn pcapng_block(block: &Block<'_>, link: &dyn Fn(u32) -> u32, take: &mut dyn FnMut(Item<'_>)) {
    match block {
        Block::EnhancedPacket(packet) => take(Item::Packet(Packet {
            at: packet.timestamp,
            link: link(packet.interface_id),
            data: &packet.data,
            length: packet.original_len,
            stated: stated(packet),
        })),
        Block::Packet(packet) => take(Item::Packet(Packet {
            at: packet.timestamp,
            link: link(u32::from(packet.interface_id)),
            data: &packet.data,
            length: packet.original_len,
            stated: None,
        })),
        Block::SimplePacket(packet) => take(Item::Packet(Packet {
            at: Duration::ZERO,
            link: link(0),
            data: &packet.data,
            length: packet.original_len,
            stated: None,
        })),
        Block::SystemdJournalExport(entry) => {
            let text = std::str::from_utf8(&entry.journal_entry).unwrap_or_default();
            take(Item::Event(
                text.lines().find_map(|line| line.strip_prefix("MESSAGE=")).unwrap_or_default(),
            ));
        }
        Block::SectionHeader(section) => about(section, take),
        _ => {}
    }
}

fn about(section: &SectionHeaderBlock<'_>, take: &mut dyn FnMut(Item<'_>)) {
    for option in &section.options {
        if let SectionHeaderOption::Common(CommonOption::Comment(text)) = option {
            take(Item::About(text));
        }
    }
}

/// The word of `why=rto: retransmission 2 of …` in the first comment that has one, and that of `limit=` in the next.
fn stated<'a>(packet: &'a EnhancedPacketBlock<'_>) -> Option<Stated<'a>> {
    let mut comments = packet.options.iter().filter_map(|option| match option {
        EnhancedPacketOption::Common(CommonOption::Comment(text)) => Some(text.as_ref()),
        _ => None,
    });
    let why = comments.find_map(|text| text.strip_prefix("why="))?;
    let (why, sentence) = why.split_once([':', ' ']).unwrap_or((why, ""));
    let (why, sentence) = (Some(why).filter(|w| !w.is_empty() && w.len() <= 40)?, sentence.trim_start());
    let numbers = comments.find(|text| text.starts_with("conn="));
    let limit = numbers.and_then(|text| text.split(' ').find_map(|pair| pair.strip_prefix("limit=")));
    // Bits 0 and 1 of the flags: 1 inbound, 2 outbound.
    let sent =
        packet.options.iter().any(|o| matches!(o, EnhancedPacketOption::Flags(flags) if flags & 3 == 2));
    Some(Stated { why, sentence, sent, limit, numbers })
}

fn pcap(input: impl Read, take: &mut dyn FnMut(Item<'_>)) -> Result<End, ReadError> {
    let mut reader = PcapReader::new(input)
        .map_err(|e| ReadError::NotACapture(format!("its header cannot be read: {}", chain(&e))))?;
    let link: u32 = <DataLink as Into<u32>>::into(reader.header().datalink);
    let mut damage = None;
    while let Some(next) = reader.next_packet() {
        match next {
            Ok(packet) => take(Item::Packet(Packet {
                at: packet.timestamp(),
                link,
                data: packet.data(),
                length: packet.orig_len(),
                stated: None,
            })),
            Err(error) => {
                damage = Some(match &error {
                    pcap_file::pcap::PcapReadError::Io(e) => cut_short(e).unwrap_or_else(|| e.to_string()),
                    other => chain(other),
                });
                break;
            }
        }
    }
    Ok(End { format: "pcap", damage })
}

//! Which TCP segment does a captured packet hold, whatever it was captured on?

use crate::segment::{Flags, Options};
use crate::seq::Seq;
use crate::wire::options;
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use std::net::{IpAddr, SocketAddr};

/// What connections are made of.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// Whom it is for.
    pub destination: SocketAddr,
    /// Its first number.
    pub seq: Seq,
    /// Meaningful only with [`Flags::ACK`].
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field, not scaled.
    pub window: u16,
    /// The options that are understood.
    pub options: Options,
    /// Payload bytes on the wire, whether captured or not.
    pub len: u32,
    /// Those that were captured.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// Whether the control bit is set.
    pub fn has(&self, flag: Flags) -> bool {
        self.flags.contains(flag)
    }

    /// What it occupies in sequence space.
    pub fn seq_len(&self) -> u32 {
        self.len.saturating_add(u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN)))
    }

    /// The number behind it.
    pub fn end(&self) -> Seq {
        self.seq + self.seq_len()
    }
}

pub(super) enum Decoded<'a> {
    Tcp(Segment<'a>),
    /// Something else, or a fragment.
    Other,
    /// Its headers make no sense, or are not all there.
    Broken,
}

/// Link types (LINKTYPE_…) that are understood.
mod link {
    pub const NULL: u32 = 0;
    pub const ETHERNET: u32 = 1;
    pub const RAW_OLD: [u32; 2] = [12, 14];
    pub const RAW: u32 = 101;
    pub const LOOP: u32 = 108;
    pub const LINUX_SLL: u32 = 113;
    pub const IPV4: u32 = 228;
    pub const IPV6: u32 = 229;
    pub const LINUX_SLL2: u32 = 276;
}

/// Decodes a packet of link type `link` that was `length` bytes long on the wire.
pub(super) fn tcp(link: u32, data: &[u8], length: u32) -> Decoded<'_> {
    use link::*;
    let cut = |n: usize| data.get(n..).unwrap_or_default();
    let sliced = match link {
        ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        // A four-byte address family in either byte order, and nothing else before the IP header.
        NULL | LOOP => LaxSlicedPacket::from_ip(cut(4)).ok(),
        RAW | IPV4 | IPV6 => LaxSlicedPacket::from_ip(data).ok(),
        other if RAW_OLD.contains(&other) => LaxSlicedPacket::from_ip(data).ok(),
        LINUX_SLL if data.len() >= 16 => Some(LaxSlicedPacket::from_ether_type(
            EtherType(u16::from_be_bytes([data[14], data[15]])),
            cut(16),
        )),
        LINUX_SLL2 if data.len() >= 20 => {
            Some(LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes([data[0], data[1]])), cut(20)))
        }
        _ => None,
    };
    let Some(sliced) = sliced else { return Decoded::Broken };
    let (source, destination, declared, ip_start): (IpAddr, IpAddr, usize, usize) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let start = header.slice().as_ptr() as usize;
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                usize::from(header.total_len()),
                start,
            )
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let start = header.slice().as_ptr() as usize;
            let declared = match header.payload_length() {
                0 => 0,
                n => 40 + usize::from(n),
            };
            (header.source_addr().into(), header.destination_addr().into(), declared, start)
        }
        Some(LaxNetSlice::Arp(_)) => return Decoded::Other,
        None => return if sliced.stop_err.is_some() { Decoded::Broken } else { Decoded::Other },
    };
    let tcp = match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => tcp,
        None if sliced.stop_err.is_some() => return Decoded::Broken,
        _ => return Decoded::Other,
    };
    // What precedes the IP header on this link, and where the TCP payload begins behind it.
    let before = ip_start - data.as_ptr() as usize;
    let headers = tcp.slice().as_ptr() as usize - ip_start + tcp.header_slice().len();
    // A length field of zero is a super-segment of a sender with offload: the recorded length counts.
    let declared = if declared == 0 { (length as usize).saturating_sub(before) } else { declared };
    Decoded::Tcp(Segment {
        source: SocketAddr::new(source, tcp.source_port()),
        destination: SocketAddr::new(destination, tcp.destination_port()),
        seq: Seq(tcp.sequence_number()),
        ack: Seq(tcp.acknowledgment_number()),
        flags: flags(tcp),
        window: tcp.window_size(),
        options: options::read(tcp.options()),
        len: declared.saturating_sub(headers) as u32,
        payload: tcp.payload(),
    })
}

fn flags(tcp: &etherparse::TcpSlice<'_>) -> Flags {
    [
        (tcp.syn(), Flags::SYN),
        (tcp.ack(), Flags::ACK),
        (tcp.fin(), Flags::FIN),
        (tcp.rst(), Flags::RST),
        (tcp.psh(), Flags::PSH),
        (tcp.ece(), Flags::ECE),
        (tcp.cwr(), Flags::CWR),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(Flags::NONE, |all, (_, flag)| all | flag)
}

//! Which TCP segment does a captured packet hold, whatever it was captured on?

use super::dns::{self, Dns};
use super::fragments::Fragment;
use super::link::{self as ethernet, Inside};
use super::too_big::{self, TooBig};
use crate::segment::{Flags, Options};
use crate::seq::Seq;
use crate::wire::options;
use etherparse::{
    EtherType, IpAuthHeaderSlice, IpNumber, Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice, LaxNetSlice,
    LaxSlicedPacket, ip_number,
};
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
    /// Not all of the options were captured.
    pub cut: bool,
    /// What its sender numbered the IP packet, if it did: the same of another packet with the same numbers tells that it
    /// was captured twice.
    pub ident: Option<u16>,
    /// Routers that it may still pass.
    pub hops: u8,
    /// The virtual network that it was captured in: the tags of IEEE 802.1Q, the outermost first; 0 without.
    pub network: u32,
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

/// Whether what was captured is what was sent, as far as its checksum tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sum {
    Right,
    Wrong,
    /// It was not all captured, or a device was to fill the checksum in.
    Unknown,
}

pub(super) enum Decoded<'a> {
    Tcp(Segment<'a>, Sum),
    Dns(Dns<'a>),
    TooBig(TooBig),
    Fragment(Fragment<'a>),
    /// Something else.
    Other,
    /// Its headers make no sense, or are not all there.
    Broken,
}

/// What IP carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Carried {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// The identification of IPv4, unless it is zero.
    pub ident: Option<u16>,
    /// Its time to live, or hop limit.
    pub hops: u8,
    /// The virtual network.
    pub network: u32,
    /// Tunnels that it came through.
    pub tunnels: u8,
    /// Bytes behind the IP header on the wire, whether captured or not.
    pub len: usize,
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

/// Tunnels in tunnels that are looked into.
const TUNNELS: u8 = 4;

/// Decodes a packet of link type `link` that was `length` bytes long on the wire.
pub(super) fn packet(link: u32, data: &[u8], length: u32) -> Decoded<'_> {
    within(link, data, length as usize, 0, 0)
}

/// The same of what came through so many tunnels, in a virtual network.
fn within(link: u32, data: &[u8], length: usize, outer: u32, tunnels: u8) -> Decoded<'_> {
    use link::*;
    let cut = |n: usize| data.get(n..).unwrap_or_default();
    let inside = match link {
        ETHERNET => ethernet::ethernet(data),
        LINUX_SLL if data.len() >= 16 => ethernet::behind(data, 14),
        LINUX_SLL2 if data.len() >= 20 => {
            let ether_type = u16::from_be_bytes([data[0], data[1]]);
            ethernet::tagged(ether_type, data, 20)
        }
        _ => None,
    };
    let network = inside.map_or(0, |inside| inside.network) | outer;
    let sliced = match link {
        ETHERNET | LINUX_SLL | LINUX_SLL2 => inside.map(|Inside { ether_type, at, .. }| {
            LaxSlicedPacket::from_ether_type(EtherType(ether_type), cut(at))
        }),
        // A four-byte address family in either byte order, and nothing else before the IP header.
        NULL | LOOP => LaxSlicedPacket::from_ip(cut(4)).ok(),
        RAW | IPV4 | IPV6 => LaxSlicedPacket::from_ip(data).ok(),
        other if RAW_OLD.contains(&other) => LaxSlicedPacket::from_ip(data).ok(),
        _ => None,
    };
    let Some(sliced) = sliced else { return Decoded::Broken };
    // What precedes an IP header on this link.
    let before = |header: &[u8]| header.as_ptr() as usize - data.as_ptr() as usize;
    // A length field of zero is a super-segment of a sender with offload: the recorded length counts.
    let declared = |field: usize, start: usize| if field == 0 { length.saturating_sub(start) } else { field };
    match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let whole = declared(header.total_len().into(), before(header.slice()));
            let payload = ip.payload().payload;
            let behind = payload.as_ptr() as usize - header.slice().as_ptr() as usize;
            let carried = Carried {
                source: header.source_addr().into(),
                destination: header.destination_addr().into(),
                protocol: ip.payload().ip_number.0,
                ident: Some(header.identification()).filter(|id| *id != 0),
                hops: header.ttl(),
                network,
                tunnels,
                len: whole.saturating_sub(behind),
            };
            if header.is_fragmenting_payload() {
                return Decoded::Fragment(Fragment {
                    carried,
                    id: header.identification().into(),
                    offset: usize::from(header.fragments_offset().value()) * 8,
                    more: header.more_fragments(),
                    bytes: payload,
                });
            }
            carried_by(carried, payload)
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let field = match header.payload_length() {
                0 => 0,
                n => 40 + usize::from(n),
            };
            let whole = declared(field, before(header.slice()));
            let payload = ip.payload().payload;
            let behind = payload.as_ptr() as usize - header.slice().as_ptr() as usize;
            let carried = Carried {
                source: header.source_addr().into(),
                destination: header.destination_addr().into(),
                protocol: ip.payload().ip_number.0,
                ident: None,
                hops: header.hop_limit(),
                network,
                tunnels,
                len: whole.saturating_sub(behind),
            };
            match fragment_header(header.next_header(), ip.extensions().slice()) {
                Some(f) => Decoded::Fragment(Fragment {
                    carried,
                    id: f.identification(),
                    offset: usize::from(f.fragment_offset().value()) * 8,
                    more: f.more_fragments(),
                    bytes: payload,
                }),
                None if sliced.stop_err.is_some() && sliced.transport.is_none() => Decoded::Broken,
                None => carried_by(carried, payload),
            }
        }
        Some(LaxNetSlice::Arp(_)) => Decoded::Other,
        None if sliced.stop_err.is_some() => Decoded::Broken,
        None => Decoded::Other,
    }
}

/// The fragment header among the extension headers, if it makes this a piece of something. etherparse's own iterator
/// believes that all of them are there, and reads beyond one that was cut off.
fn fragment_header(first: IpNumber, mut rest: &[u8]) -> Option<Ipv6FragmentHeaderSlice<'_>> {
    let mut next = first;
    loop {
        let length = match next {
            ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_ROUTE | ip_number::IPV6_DEST_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(rest).ok()?;
                next = header.next_header();
                header.slice().len()
            }
            ip_number::AUTH => {
                let header = IpAuthHeaderSlice::from_slice(rest).ok()?;
                next = header.next_header();
                header.slice().len()
            }
            ip_number::IPV6_FRAG => {
                let header = Ipv6FragmentHeaderSlice::from_slice(rest).ok()?;
                if header.is_fragmenting_payload() {
                    return Some(header);
                }
                next = header.next_header();
                header.slice().len()
            }
            _ => return None,
        };
        rest = rest.get(length..)?;
    }
}

/// What IP carries, of which `bytes` were captured.
pub(super) fn carried_by(ip: Carried, bytes: &[u8]) -> Decoded<'_> {
    let bytes = &bytes[..bytes.len().min(ip.len)];
    match ip.protocol {
        6 => tcp(ip, bytes),
        1 | 58 => too_big::read(ip, bytes).map_or(Decoded::Other, Decoded::TooBig),
        _ if ip.tunnels < TUNNELS && ethernet::tunnel(ip.protocol, bytes).is_some() => {
            carried_through(ip, bytes)
        }
        17 => dns::read(ip, bytes).map_or(Decoded::Other, Decoded::Dns),
        _ => Decoded::Other,
    }
}

/// What a tunnel carries.
fn carried_through(ip: Carried, bytes: &[u8]) -> Decoded<'_> {
    let Some((at, frame)) = ethernet::tunnel(ip.protocol, bytes) else { return Decoded::Other };
    let link = if frame { link::ETHERNET } else { link::RAW };
    let inner = bytes.get(at..).unwrap_or_default();
    match within(link, inner, ip.len.saturating_sub(at), ip.network, ip.tunnels + 1) {
        // Not everything that is carried is IP.
        Decoded::Broken => Decoded::Other,
        decoded => decoded,
    }
}

fn tcp(ip: Carried, bytes: &[u8]) -> Decoded<'_> {
    // RFC 9293 §3.1. What lies behind the fixed header may have been cut off.
    let Some(fixed) = bytes.first_chunk::<20>() else { return Decoded::Broken };
    let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let long = |at: usize| Seq(u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]));
    let header = usize::from(fixed[12] >> 4) * 4;
    if header < 20 || header > ip.len {
        return Decoded::Broken;
    }
    let there = header.min(bytes.len());
    let segment = Segment {
        source: SocketAddr::new(ip.source, word(0)),
        destination: SocketAddr::new(ip.destination, word(2)),
        seq: long(4),
        ack: long(8),
        flags: flags(fixed[12], fixed[13]),
        window: word(14),
        options: options::read(&bytes[20..there]),
        cut: there < header,
        ident: ip.ident,
        hops: ip.hops,
        network: ip.network,
        len: (ip.len - header) as u32,
        payload: &bytes[there..],
    };
    Decoded::Tcp(segment, sum(ip, bytes, word(16)))
}

/// What is longer, TCP's header included, was perhaps joined from several segments.
const ONE_SEGMENT: usize = 1500;

/// RFC 9293 §3.1: over the addresses, the length and all that is there.
fn sum(ip: Carried, bytes: &[u8], field: u16) -> Sum {
    // Of what a device joined from several segments the sum may be that of the first.
    if bytes.len() != ip.len || ip.len > ONE_SEGMENT {
        return Sum::Unknown;
    }
    let add = |sum: u64, bytes: &[u8]| {
        let mut words = bytes.chunks_exact(4);
        let sum =
            words.by_ref().fold(sum, |sum, w| sum + u64::from(u32::from_be_bytes([w[0], w[1], w[2], w[3]])));
        let mut last = [0; 4];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        sum + u64::from(u32::from_be_bytes(last))
    };
    let addresses = match (ip.source, ip.destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => add(add(0, &a.octets()), &b.octets()),
        (IpAddr::V6(a), IpAddr::V6(b)) => add(add(0, &a.octets()), &b.octets()),
        _ => return Sum::Unknown,
    };
    let pseudo = addresses + u64::from(ip.protocol) + ip.len as u64;
    let fold = |mut sum: u64| {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    };
    match fold(add(pseudo, bytes)) {
        0xffff => Sum::Right,
        // What a sender leaves to its device is the sum of the pseudo-header, or nothing.
        _ if field == fold(pseudo) || field == 0 => Sum::Unknown,
        _ => Sum::Wrong,
    }
}

fn flags(offset: u8, byte: u8) -> Flags {
    let accurate = if offset & 1 != 0 { Flags::AE } else { Flags::NONE };
    [Flags::FIN, Flags::SYN, Flags::RST, Flags::PSH, Flags::ACK]
        .into_iter()
        .zip([0x01, 0x02, 0x04, 0x08, 0x10])
        .chain([(Flags::ECE, 0x40), (Flags::CWR, 0x80)])
        .filter(|(_, bit)| byte & bit != 0)
        .fold(accurate, |all, (flag, _)| all | flag)
}

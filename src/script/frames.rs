//! How does an injected line look on the wire? IP packets from the script's own values, byte for byte.
//!
//! `wire::encode` writes what the stack sends; a script may inject any order of options and any error.

use super::ast::TcpOption;
use crate::segment::Flags;
use smoltcp::wire::{IpAddress, IpProtocol, checksum};
use std::net::{IpAddr, SocketAddr};

/// A TCP segment in live numbers.
pub struct Segment {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    /// The TOS byte or traffic class.
    pub tos: u8,
    pub ttl: u8,
    pub flags: Flags,
    pub seq: u32,
    pub ack: u32,
    pub win: u16,
    pub urg: u16,
    pub options: Vec<TcpOption>,
    pub payload: Vec<u8>,
}

/// The IP packet with this segment.
pub fn tcp(segment: &Segment) -> Vec<u8> {
    let mut options = Vec::new();
    for option in &segment.options {
        write_option(&mut options, option);
    }
    // Padding is zero, which is the end of the list (RFC 9293 §3.1).
    options.resize(options.len().next_multiple_of(4), 0);
    let mut tcp = Vec::with_capacity(20 + options.len() + segment.payload.len());
    tcp.extend(segment.src.port().to_be_bytes());
    tcp.extend(segment.dst.port().to_be_bytes());
    tcp.extend(segment.seq.to_be_bytes());
    tcp.extend(segment.ack.to_be_bytes());
    let (low, high) = segment.flags.to_bytes();
    tcp.push((((20 + options.len()) / 4) << 4) as u8 | high);
    tcp.push(low);
    tcp.extend(segment.win.to_be_bytes());
    tcp.extend([0, 0]);
    tcp.extend(segment.urg.to_be_bytes());
    tcp.extend(&options);
    tcp.extend(&segment.payload);
    let (src, dst) = (segment.src.ip(), segment.dst.ip());
    let sum = sum_with_pseudo_header(src, dst, IpProtocol::Tcp, &tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(src, dst, IpProtocol::Tcp, segment.tos, segment.ttl, &tcp)
}

/// The IP packet with a UDP datagram.
pub fn udp(src: SocketAddr, dst: SocketAddr, (tos, ttl): (u8, u8), payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::with_capacity(8 + payload.len());
    udp.extend(src.port().to_be_bytes());
    udp.extend(dst.port().to_be_bytes());
    udp.extend(((8 + payload.len()) as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let sum = sum_with_pseudo_header(src.ip(), dst.ip(), IpProtocol::Udp, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(src.ip(), dst.ip(), IpProtocol::Udp, tos, ttl, &udp)
}

fn write_option(out: &mut Vec<u8>, option: &TcpOption) {
    match option {
        TcpOption::Eol => out.push(0),
        TcpOption::Nop => out.push(1),
        TcpOption::Mss(mss) => {
            out.extend([2, 4]);
            out.extend(mss.to_be_bytes());
        }
        TcpOption::Wscale(shift) => out.extend([3, 3, *shift]),
        TcpOption::SackOk => out.extend([4, 2]),
        TcpOption::Sack(blocks) => {
            out.extend([5, (2 + 8 * blocks.len()) as u8]);
            for (left, right) in blocks {
                out.extend(left.to_be_bytes());
                out.extend(right.to_be_bytes());
            }
        }
        TcpOption::Ts { val, ecr } => {
            out.extend([8, 10]);
            out.extend(val.to_be_bytes());
            out.extend(ecr.to_be_bytes());
        }
        TcpOption::Other { kind, data } => {
            out.extend([*kind, (2 + data.len()) as u8]);
            out.extend(data);
        }
    }
}

/// The IP packet with an ICMP or ICMPv6 message; an error is about `quoted`, the beginning of a packet of `dst`.
pub fn icmp(src: IpAddr, dst: IpAddr, kind: u8, code: u8, word: u32, quoted: &[u8]) -> Vec<u8> {
    let mut body = vec![kind, code, 0, 0];
    body.extend(word.to_be_bytes());
    body.extend(quoted);
    let (protocol, sum) = match dst {
        IpAddr::V4(_) => (IpProtocol::Icmp, !checksum::data(&body)),
        IpAddr::V6(_) => (IpProtocol::Icmpv6, sum_with_pseudo_header(src, dst, IpProtocol::Icmpv6, &body)),
    };
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(src, dst, protocol, 0, 64, &body)
}

fn sum_with_pseudo_header(src: IpAddr, dst: IpAddr, protocol: IpProtocol, body: &[u8]) -> u16 {
    let head = checksum::pseudo_header(
        &IpAddress::from(src),
        &IpAddress::from(dst),
        protocol,
        u32::try_from(body.len()).expect("a packet is short"),
    );
    !checksum::combine(&[head, checksum::data(body)])
}

fn ip(src: IpAddr, dst: IpAddr, protocol: IpProtocol, tos: u8, ttl: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(40 + body.len());
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            packet.extend([0x45, tos]);
            packet.extend(((20 + body.len()) as u16).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, ttl, protocol.into(), 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            let sum = !checksum::data(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            packet.extend((6 << 28 | u32::from(tos) << 20).to_be_bytes());
            packet.extend((body.len() as u16).to_be_bytes());
            packet.extend([protocol.into(), ttl]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
        }
        _ => unreachable!("settings have one family"),
    }
    packet.extend(body);
    packet
}

/// The most payload that a packet can carry beside the longest headers.
pub const MAX_PAYLOAD: u16 = u16::MAX - 20 - 60;

/// The traffic class and the TTL of a packet.
pub fn tos_and_ttl(frame: &[u8]) -> (u8, u8) {
    match frame {
        [first, tos, _, _, _, _, _, _, ttl, ..] if first >> 4 == 4 => (*tos, *ttl),
        [first, second, _, _, _, _, _, ttl, ..] => (first << 4 | second >> 4, *ttl),
        _ => (0, 0),
    }
}

/// The byte that stands at `offset` of a stream, counted from its first: what scripts send and what the stack is
/// given to send. A prime period, so that no shift by a power of two goes unnoticed.
pub fn pattern(offset: u32) -> u8 {
    (offset % 251) as u8
}

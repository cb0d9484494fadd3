//! Which packets does a super-segment become? The cutting that an offloading device does (TSO).

use super::encode::fill_checksum;
use super::{Decoded, TCP, decode};
use crate::segment::{Flags, Segment};
use crate::seq::Seq;
use smoltcp::wire::{IPV6_HEADER_LEN, Ipv4Packet, Ipv6Packet, TCP_HEADER_LEN, TcpPacket};
use std::net::IpAddr;

/// The header of the piece `nth`, from 0, of a super-segment with the header `whole`, cut every `gso_size` > 0 bytes:
/// CWR stays on the first piece only, FIN and PSH on the last only.
pub fn piece(whole: &Segment, gso_size: u16, nth: u32) -> Segment {
    let size = u32::from(gso_size);
    let before = nth * size;
    let mut piece =
        Segment { seq: whole.seq + before, len: whole.len.saturating_sub(before).min(size), ..*whole };
    if nth != 0 {
        piece.flags = piece.flags.without(Flags::CWR);
    }
    if before + piece.len != whole.len {
        piece.flags = piece.flags.without(Flags::FIN | Flags::PSH);
    }
    piece
}

/// Cuts `frame` into packets with at most `gso_size` payload bytes and hands each to `each`, checksums complete.
///
/// Each piece has the headers of the whole, but for what [`piece`] changes, its length, and the IPv4 identification,
/// which counts up. A frame that is no TCP
/// packet, or that needs no cutting, is handed on as it is. `scratch` is overwritten; it is the caller's so that
/// nothing is allocated once it has grown.
pub fn split_super(frame: &[u8], gso_size: u16, scratch: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) {
    let size = usize::from(gso_size);
    let Ok(Decoded::Tcp(whole)) = decode(frame, false) else { return each(frame) };
    if size == 0 || whole.payload.len() <= size {
        return each(frame);
    }
    let ends = (whole.envelope.src.ip(), whole.envelope.dst.ip());
    let offset = |part: &[u8]| part.as_ptr() as usize - frame.as_ptr() as usize;
    let (headers, tcp_at) = (offset(whole.payload), offset(whole.options) - TCP_HEADER_LEN);
    let head = Head { bytes: &frame[..headers], tcp_at, ends };
    head.cut(&whole.seg, [whole.payload, &[]], gso_size, scratch, each);
}

/// The same for a super-segment whose first bytes, `frame`, and whose others, `rest`, lie apart. The headers are in `frame`.
pub fn split_pieces(
    frame: &[u8],
    rest: [&[u8]; 2],
    gso_size: u16,
    scratch: &mut Vec<u8>,
    each: &mut dyn FnMut(&[u8]),
) {
    let Some(tcp_at) = tcp_at(frame) else { return };
    let tcp = TcpPacket::new_unchecked(&frame[tcp_at..]);
    let (bytes, begun) = frame.split_at((tcp_at + usize::from(tcp.header_len())).min(frame.len()));
    debug_assert!(begun.is_empty() || rest[1].is_empty(), "payload in two pieces at most");
    let payload = if begun.is_empty() { rest } else { [begun, rest[0]] };
    let whole = Segment {
        seq: Seq(tcp.seq_number().0 as u32),
        flags: Flags::from_bytes(frame[tcp_at + 12], frame[tcp_at + 13]),
        len: payload.iter().map(|part| part.len() as u32).sum(),
        ..Segment::default()
    };
    let ends: (IpAddr, IpAddr) = if frame[0] >> 4 == 4 {
        let ip = Ipv4Packet::new_unchecked(frame);
        (ip.src_addr().into(), ip.dst_addr().into())
    } else {
        let ip = Ipv6Packet::new_unchecked(frame);
        (ip.src_addr().into(), ip.dst_addr().into())
    };
    Head { bytes, tcp_at, ends }.cut(&whole, payload, gso_size.max(1), scratch, each);
}

/// The headers of a super-segment.
struct Head<'a> {
    bytes: &'a [u8],
    /// Where the TCP header is.
    tcp_at: usize,
    ends: (IpAddr, IpAddr),
}

impl Head<'_> {
    fn cut(
        &self,
        whole: &Segment,
        [first, second]: [&[u8]; 2],
        gso_size: u16,
        packet: &mut Vec<u8>,
        each: &mut dyn FnMut(&[u8]),
    ) {
        let (len, before) = (first.len() + second.len(), first.len());
        for (nth, at) in (0..len).step_by(gso_size.into()).enumerate() {
            let end = (at + usize::from(gso_size)).min(len);
            packet.clear();
            packet.extend_from_slice(self.bytes);
            packet.extend_from_slice(&first[at.min(before)..end.min(before)]);
            packet.extend_from_slice(&second[at.max(before) - before..end.max(before) - before]);
            let own = piece(whole, gso_size, nth as u32);
            adapt(packet, self.bytes.len() + end - at, self.tcp_at, nth as u16, &own);
            fill_checksum(&mut packet[self.tcp_at..], self.ends.0, self.ends.1);
            each(packet);
        }
    }
}

/// The same for a super-segment `whole` of which only the beginnings of its packets are there: the headers, `head`, and behind
/// each other in `parts` the first `keep` bytes of each piece's payload. `each` gets what is there of a packet, and its
/// length. The TCP checksum, which needs all of the payload, is 0.
pub fn split_beginnings(
    (head, parts): (&[u8], &[u8]),
    whole: &Segment,
    (gso_size, keep): (u16, usize),
    scratch: &mut Vec<u8>,
    each: &mut dyn FnMut(&[u8], usize),
) {
    let Some(tcp_at) = tcp_at(head) else { return };
    let (mut parts, size) = (parts, u32::from(gso_size.max(1)));
    for nth in 0..whole.len.div_ceil(size) {
        let own = piece(whole, gso_size, nth);
        let (part, behind) = parts.split_at(keep.min(own.len as usize).min(parts.len()));
        parts = behind;
        scratch.clear();
        scratch.extend_from_slice(head);
        scratch.extend_from_slice(part);
        let len = head.len() + own.len as usize;
        adapt(scratch, len, tcp_at, nth as u16, &own);
        scratch[tcp_at + 16..tcp_at + 18].fill(0);
        each(scratch, len);
    }
}

/// Where the TCP header is in a packet that begins with `head`, if it is whole and right behind the IP header.
pub fn tcp_at(head: &[u8]) -> Option<usize> {
    let (at, protocol) = match head.first()? >> 4 {
        4 => (usize::from(head[0] & 15) * 4, *head.get(9)?),
        6 => (IPV6_HEADER_LEN, *head.get(6)?),
        _ => return None,
    };
    (protocol == TCP && at + TCP_HEADER_LEN <= head.len()).then_some(at)
}

/// Makes the headers in `packet`, those of the whole, those of the piece `own`, a packet of `len` bytes.
fn adapt(packet: &mut [u8], len: usize, tcp_at: usize, nth: u16, own: &Segment) {
    if packet[0] >> 4 == 4 {
        let mut ip = Ipv4Packet::new_unchecked(&mut packet[..]);
        ip.set_total_len(len as u16);
        ip.set_ident(ip.ident().wrapping_add(nth));
        ip.fill_checksum();
    } else {
        Ipv6Packet::new_unchecked(&mut packet[..]).set_payload_len((len - IPV6_HEADER_LEN) as u16);
    }
    let tcp = &mut packet[tcp_at..];
    tcp[4..8].copy_from_slice(&own.seq.0.to_be_bytes());
    tcp[13] = own.flags.to_bytes().0;
}

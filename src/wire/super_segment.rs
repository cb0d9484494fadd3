//! Which packets does a super-segment become? The cutting that an offloading device does (TSO).

use super::encode::fill_checksum;
use super::{Decoded, TCP, decode};
use crate::segment::{Flags, Segment};
use smoltcp::wire::{IPV6_HEADER_LEN, Ipv4Packet, Ipv6Packet, TCP_HEADER_LEN};

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
    let (src, dst) = (whole.envelope.src.ip(), whole.envelope.dst.ip());
    let offset = |part: &[u8]| part.as_ptr() as usize - frame.as_ptr() as usize;
    let (headers, tcp_at) = (offset(whole.payload), offset(whole.options) - TCP_HEADER_LEN);
    for (nth, chunk) in whole.payload.chunks(size).enumerate() {
        scratch.clear();
        scratch.extend_from_slice(&frame[..headers]);
        scratch.extend_from_slice(chunk);
        let own = piece(&whole.seg, gso_size, nth as u32);
        adapt(scratch, headers + chunk.len(), tcp_at, nth as u16, &own);
        fill_checksum(&mut scratch[tcp_at..], src, dst);
        each(scratch);
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

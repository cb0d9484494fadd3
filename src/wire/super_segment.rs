//! Which packets does a super-segment become? The cutting that an offloading device does (TSO).

use super::encode::fill_checksum;
use super::{Decoded, decode};
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
        let len = scratch.len();
        if src.is_ipv4() {
            let mut ip = Ipv4Packet::new_unchecked(&mut scratch[..]);
            ip.set_total_len(len as u16);
            ip.set_ident(whole.envelope.ident.wrapping_add(nth as u16));
            ip.fill_checksum();
        } else {
            Ipv6Packet::new_unchecked(&mut scratch[..]).set_payload_len((len - IPV6_HEADER_LEN) as u16);
        }
        let tcp = &mut scratch[tcp_at..];
        let own = piece(&whole.seg, gso_size, nth as u32);
        tcp[4..8].copy_from_slice(&own.seq.0.to_be_bytes());
        tcp[13] = own.flags.to_bytes().0;
        fill_checksum(tcp, src, dst);
        each(scratch);
    }
}

//! How does this segment look on the wire? [`Segment`] → bytes.

use super::checksum::{self, pseudo_header};
use super::{Envelope, ecn_bits, options, signature};
use crate::segment::{Key, Segment};
use smoltcp::wire::{
    IPV4_HEADER_LEN, IPV6_HEADER_LEN, IpProtocol, Ipv4Packet, Ipv6Packet, TCP_HEADER_LEN, TcpPacket,
    TcpSeqNumber,
};
use std::net::IpAddr;

/// Where the TCP checksum is in its header.
pub(super) const CHECKSUM_AT: usize = 16;

/// Bytes of the packet that [`encode`] will write.
pub fn encoded_len(envelope: &Envelope, seg: &Segment) -> usize {
    ip_header_len(envelope) + TCP_HEADER_LEN + options::len(&seg.options) + seg.len as usize
}

fn ip_header_len(envelope: &Envelope) -> usize {
    if envelope.src.is_ipv4() { IPV4_HEADER_LEN } else { IPV6_HEADER_LEN }
}

/// Writes the packet into `buf`, which is exactly [`encoded_len`] bytes long: options in the order and with the
/// padding of Linux, checksums filled in. `payload` is the two halves of a ring, together `seg.len` bytes. Allocates
/// nothing. Of the SACK blocks those that find room are written: four, or three beside time stamps.
///
/// # Panics
/// If a length is not as said, if the packet is longer than 65,535 bytes (IPv6: and its header), or if the two
/// addresses are not of one family.
pub fn encode(buf: &mut [u8], envelope: &Envelope, seg: &Segment, payload: [&[u8]; 2]) {
    let at = write(buf, envelope, seg, payload);
    fill_checksum(&mut buf[at..], envelope.src.ip(), envelope.dst.ip());
}

/// Like [`encode`], for a device that completes the TCP checksum itself: the field holds the sum of the pseudo-header
/// and the payload is only copied, not read a second time.
///
/// # Panics
/// As [`encode`].
pub fn encode_partial(buf: &mut [u8], envelope: &Envelope, seg: &Segment, payload: [&[u8]; 2]) {
    let at = write(buf, envelope, seg, payload);
    fill_pseudo_sum(&mut buf[at..], envelope);
}

fn fill_pseudo_sum(tcp: &mut [u8], envelope: &Envelope) {
    let sum = pseudo_header(envelope.src.ip(), envelope.dst.ip(), tcp.len());
    tcp[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Like [`encode`] or, if `partial`, [`encode_partial`], with a signature by `key` (RFC 2385), for which `seg.options.signed` has
/// made room.
///
/// # Panics
/// As [`encode`], and if there is no room.
pub fn encode_signed(
    buf: &mut [u8],
    envelope: &Envelope,
    seg: &Segment,
    payload: [&[u8]; 2],
    (key, partial): (&Key, bool),
) {
    let at = write(buf, envelope, seg, payload);
    let (src, dst) = (envelope.src.ip(), envelope.dst.ip());
    signature::sign(&mut buf[at..], (src, dst), key);
    match partial {
        true => fill_pseudo_sum(&mut buf[at..], envelope),
        false => fill_checksum(&mut buf[at..], src, dst),
    }
}

/// Like [`encode_partial`], without the payload: `head` is as long as all that comes before it.
///
/// # Panics
/// As [`encode`].
pub fn encode_head(head: &mut [u8], envelope: &Envelope, seg: &Segment) {
    let whole = encoded_len(envelope, seg);
    let at = write_head(head, envelope, seg);
    let sum = pseudo_header(envelope.src.ip(), envelope.dst.ip(), whole - at);
    head[at + CHECKSUM_AT..at + CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Writes all but the TCP checksum, which is left zero; returns where the TCP header begins.
fn write(buf: &mut [u8], envelope: &Envelope, seg: &Segment, payload: [&[u8]; 2]) -> usize {
    assert!(buf.len() >= seg.len as usize, "the buffer has the packet's length");
    assert_eq!(payload[0].len() + payload[1].len(), seg.len as usize, "the payload has the segment's length");
    let (head, body) = buf.split_at_mut(buf.len() - seg.len as usize);
    let (first, second) = body.split_at_mut(payload[0].len());
    first.copy_from_slice(payload[0]);
    second.copy_from_slice(payload[1]);
    write_head(head, envelope, seg)
}

/// Writes what comes before the payload, but for the TCP checksum; returns where the TCP header begins.
fn write_head(buf: &mut [u8], envelope: &Envelope, seg: &Segment) -> usize {
    let (at, options_len) = (ip_header_len(envelope), options::len(&seg.options));
    let header_len = TCP_HEADER_LEN + options_len;
    assert_eq!(buf.len(), at + header_len, "the buffer has the length of the headers");
    let whole = buf.len() + seg.len as usize;
    match (envelope.src.ip(), envelope.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let total = u16::try_from(whole).expect("an IPv4 packet has at most 65,535 bytes");
            buf[..IPV4_HEADER_LEN].fill(0);
            let mut ip = Ipv4Packet::new_unchecked(&mut buf[..]);
            ip.set_version(4);
            ip.set_header_len(IPV4_HEADER_LEN as u8);
            ip.set_dscp(envelope.dscp);
            ip.set_ecn(ecn_bits(envelope.ecn));
            ip.set_total_len(total);
            ip.set_ident(envelope.ident);
            ip.set_dont_frag(true);
            ip.set_hop_limit(envelope.hops);
            ip.set_next_header(IpProtocol::Tcp);
            ip.set_src_addr(src);
            ip.set_dst_addr(dst);
            ip.fill_checksum();
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let len = u16::try_from(whole - IPV6_HEADER_LEN)
                .expect("an IPv6 packet has at most 65,535 bytes behind its header");
            buf[..IPV6_HEADER_LEN].fill(0);
            let mut ip = Ipv6Packet::new_unchecked(&mut buf[..]);
            ip.set_version(6);
            ip.set_traffic_class(envelope.dscp << 2 | ecn_bits(envelope.ecn));
            ip.set_payload_len(len);
            ip.set_next_header(IpProtocol::Tcp);
            ip.set_hop_limit(envelope.hops);
            ip.set_src_addr(src);
            ip.set_dst_addr(dst);
        }
        _ => panic!("both addresses of a packet are of one family"),
    }
    let header = &mut buf[at..at + header_len];
    header[..TCP_HEADER_LEN].fill(0);
    options::write(&seg.options, &mut header[TCP_HEADER_LEN..]);
    let mut tcp = TcpPacket::new_unchecked(&mut *header);
    tcp.set_src_port(envelope.src.port());
    tcp.set_dst_port(envelope.dst.port());
    tcp.set_seq_number(TcpSeqNumber(seg.seq.0 as i32));
    tcp.set_ack_number(TcpSeqNumber(seg.ack.0 as i32));
    tcp.set_header_len(header_len as u8);
    tcp.set_window_len(seg.window);
    tcp.set_urgent_at(seg.urgent);
    // One byte at once: the view has no setter for CWR, ECE and URG together with the rest.
    let (low, high) = seg.flags.to_bytes();
    header[12] |= high;
    header[13] = low;
    at
}

/// Computes the TCP checksum (RFC 9293 §3.1, MUST-2).
pub(super) fn fill_checksum(tcp: &mut [u8], src: IpAddr, dst: IpAddr) {
    tcp[CHECKSUM_AT..CHECKSUM_AT + 2].fill(0);
    let sum = !checksum::tcp(tcp, src, dst);
    tcp[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
}

//! How does this segment look on the wire? [`Segment`] → bytes.

use super::{Envelope, TCP, ecn_bits, options};
use crate::segment::Segment;
use smoltcp::wire::{
    IPV4_HEADER_LEN, IPV6_HEADER_LEN, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TCP_HEADER_LEN,
    TcpPacket, TcpSeqNumber, checksum,
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
    let tcp = &mut buf[at..];
    let sum = pseudo_header(envelope.src.ip(), envelope.dst.ip(), tcp.len());
    tcp[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Writes all but the TCP checksum, which is left zero; returns where the TCP header begins.
fn write(buf: &mut [u8], envelope: &Envelope, seg: &Segment, payload: [&[u8]; 2]) -> usize {
    assert_eq!(buf.len(), encoded_len(envelope, seg), "the buffer has the packet's length");
    assert_eq!(payload[0].len() + payload[1].len(), seg.len as usize, "the payload has the segment's length");
    match (envelope.src.ip(), envelope.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let total = u16::try_from(buf.len()).expect("an IPv4 packet has at most 65,535 bytes");
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
            let len = u16::try_from(buf.len() - IPV6_HEADER_LEN)
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
    let at = ip_header_len(envelope);
    let options_len = options::len(&seg.options);
    let header_len = TCP_HEADER_LEN + options_len;
    let (header, body) = buf[at..].split_at_mut(header_len);
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
    header[13] = seg.flags.0;
    let (first, second) = body.split_at_mut(payload[0].len());
    first.copy_from_slice(payload[0]);
    second.copy_from_slice(payload[1]);
    at
}

/// The sum of the pseudo-header, not yet complemented (RFC 9293 §3.1).
fn pseudo_header(src: IpAddr, dst: IpAddr, tcp_len: usize) -> u16 {
    checksum::pseudo_header(
        &IpAddress::from(src),
        &IpAddress::from(dst),
        IpProtocol::from(TCP),
        tcp_len as u32,
    )
}

/// Computes the TCP checksum (RFC 9293 §3.1, MUST-2).
pub(super) fn fill_checksum(tcp: &mut [u8], src: IpAddr, dst: IpAddr) {
    tcp[CHECKSUM_AT..CHECKSUM_AT + 2].fill(0);
    let sum = !checksum::combine(&[pseudo_header(src, dst, tcp.len()), checksum::data(tcp)]);
    tcp[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
}

//! What is this frame? Bytes → [`Decoded`], with everything that can lie checked.

use super::{Decoded, Envelope, Packet, TCP, checksum, ecn_from_bits, options};
use crate::dropped::DropReason;
use crate::segment::{Flags, Segment};
use crate::seq::Seq;
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, TCP_HEADER_LEN, TcpPacket};
use std::net::{IpAddr, SocketAddr};

/// Reads one IP packet.
///
/// `verify_tcp` is false when the device vouches for the TCP checksum (offload); the IPv4 header's is always verified.
/// Never panics, whatever the bytes. Bytes behind the IP packet's end (padding of a link) are ignored. A malformed
/// TCP option ends the reading of options: those before it count, the segment is kept (RFC 9293 §3.1, MUST-7).
///
/// # Errors
/// [`DropReason::Malformed`] if a length, an offset or the IP version lies, [`DropReason::Checksum`] if the IPv4
/// header's or the TCP checksum is wrong, [`DropReason::Unhandled`] if an IPv6 extension header asks for something
/// that only a router does or that the packet be dropped where it is not understood.
pub fn decode(frame: &[u8], verify_tcp: bool) -> Result<Decoded<'_>, DropReason> {
    match frame.first().map(|b| b >> 4) {
        Some(4) => ipv4(frame, verify_tcp),
        Some(6) => ipv6(frame, verify_tcp),
        _ => Err(DropReason::Malformed),
    }
}

/// The fields of the IP header that the rest needs.
struct Ip {
    src: IpAddr,
    dst: IpAddr,
    /// The TOS byte or traffic class.
    class: u8,
    ident: u16,
    hops: u8,
}

fn ipv4(frame: &[u8], verify_tcp: bool) -> Result<Decoded<'_>, DropReason> {
    let packet = Ipv4Packet::new_checked(frame).map_err(|_| DropReason::Malformed)?;
    // RFC 1122 §3.2.1.2: a host must verify the header checksum and silently discard what fails.
    if !packet.verify_checksum() {
        return Err(DropReason::Checksum);
    }
    let ip = Ip {
        src: packet.src_addr().into(),
        dst: packet.dst_addr().into(),
        class: packet.dscp() << 2 | packet.ecn(),
        ident: packet.ident(),
        hops: packet.hop_limit(),
    };
    // IP options are stepped over: RFC 9293 §3.9.2 (MUST-50).
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Ok(Decoded::Fragment { src: ip.src, dst: ip.dst });
    }
    upper(ip, packet.next_header().into(), packet.payload(), verify_tcp)
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

fn ipv6(frame: &[u8], verify_tcp: bool) -> Result<Decoded<'_>, DropReason> {
    let packet = Ipv6Packet::new_checked(frame).map_err(|_| DropReason::Malformed)?;
    let ip = Ip {
        src: packet.src_addr().into(),
        dst: packet.dst_addr().into(),
        class: packet.traffic_class(),
        ident: 0,
        hops: packet.hop_limit(),
    };
    let mut protocol: u8 = packet.next_header().into();
    let mut body = packet.payload();
    // Each round takes at least eight bytes off `body`, so this ends.
    loop {
        let len = match protocol {
            HOP_BY_HOP | ROUTING | DESTINATION => {
                8 + 8 * usize::from(*body.get(1).ok_or(DropReason::Malformed)?)
            }
            FRAGMENT => 8,
            _ => return upper(ip, protocol, body, verify_tcp),
        };
        let (header, rest) = body.split_at_checked(len).ok_or(DropReason::Malformed)?;
        match protocol {
            // RFC 5095 §3, RFC 8200 §4.4: whatever the type, only the last stop of the route may go on.
            ROUTING if header[3] != 0 => return Err(DropReason::Unhandled),
            ROUTING => {}
            // RFC 6946 §4: offset 0 and no more to come is a whole packet.
            FRAGMENT if header[2] == 0 && header[3] & !0x06 == 0 => {}
            FRAGMENT => return Ok(Decoded::Fragment { src: ip.src, dst: ip.dst }),
            _ => skippable(&header[2..])?,
        }
        protocol = header[0];
        body = rest;
    }
}

/// Whether every option of a hop-by-hop or destination header may be skipped (RFC 8200 §4.2): the two highest bits
/// of the type of one that is not understood say so.
fn skippable(mut options: &[u8]) -> Result<(), DropReason> {
    while let Some(&kind) = options.first() {
        let len = match kind {
            0 => 1, // Pad1
            _ => 2 + usize::from(*options.get(1).ok_or(DropReason::Malformed)?),
        };
        if kind >> 6 != 0 {
            return Err(DropReason::Unhandled);
        }
        options = options.get(len..).ok_or(DropReason::Malformed)?;
    }
    Ok(())
}

fn upper(ip: Ip, protocol: u8, body: &[u8], verify_tcp: bool) -> Result<Decoded<'_>, DropReason> {
    if protocol != TCP {
        return Ok(Decoded::Other { protocol, src: ip.src, dst: ip.dst, body });
    }
    let tcp = TcpPacket::new_checked(body).map_err(|_| DropReason::Malformed)?;
    // RFC 9293 §3.1 (MUST-3): the receiver must check it.
    if verify_tcp && checksum::tcp(body, ip.src, ip.dst) != !0 {
        return Err(DropReason::Checksum);
    }
    let payload = tcp.payload();
    Ok(Decoded::Tcp(Packet {
        envelope: Envelope {
            src: SocketAddr::new(ip.src, tcp.src_port()),
            dst: SocketAddr::new(ip.dst, tcp.dst_port()),
            ecn: ecn_from_bits(ip.class),
            dscp: ip.class >> 2,
            ident: ip.ident,
            hops: ip.hops,
        },
        seg: Segment {
            seq: Seq(tcp.seq_number().0 as u32),
            ack: Seq(tcp.ack_number().0 as u32),
            flags: Flags::from_bytes(body[12], body[13]),
            window: tcp.window_len(),
            urgent: tcp.urgent_at(),
            // On any segment: RFC 9293 §3.1 (MUST-5).
            options: options::read(tcp.options()),
            len: payload.len() as u32,
        },
        header: &body[..TCP_HEADER_LEN],
        options: tcp.options(),
        payload,
    }))
}

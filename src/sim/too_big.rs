//! What does a router say of a packet that does not fit the next link? RFC 1191 §4, RFC 4443 §3.2.

use crate::wire::{self, Decoded, Packet};
use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet, Ipv4Packet};
use std::net::IpAddr;

/// As much of the packet as is quoted: RFC 792's eight bytes of TCP for IPv4, up to the least MTU for IPv6.
const QUOTED: [usize; 2] = [28, 1280 - 48];

/// The ICMP error about `frame`, which is a TCP packet, from its destination's address; None for anything else.
pub(super) fn answer(frame: &[u8], mtu: u16) -> Option<Vec<u8>> {
    let Ok(Decoded::Tcp(Packet { envelope, .. })) = wire::decode(frame, false) else { return None };
    let mtu = u32::from(mtu).to_be_bytes();
    let quote = |n: usize| &frame[..frame.len().min(QUOTED[n])];
    match (envelope.src.ip(), envelope.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut icmp = [&[3, 4, 0, 0], &mtu[..], quote(0)].concat();
            Icmpv4Packet::new_unchecked(&mut icmp[..]).fill_checksum();
            let len = (20 + icmp.len() as u16).to_be_bytes();
            let mut packet = vec![0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, 1, 0, 0];
            packet.extend([dst.octets(), src.octets()].concat());
            Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
            packet.extend(icmp);
            Some(packet)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut icmp = [&[2, 0, 0, 0], &mtu[..], quote(1)].concat();
            Icmpv6Packet::new_unchecked(&mut icmp[..]).fill_checksum(&dst, &src);
            let len = (icmp.len() as u16).to_be_bytes();
            let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], 58, 64];
            packet.extend([dst.octets(), src.octets()].concat());
            packet.extend(icmp);
            Some(packet)
        }
        _ => None,
    }
}

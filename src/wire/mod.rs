//! What do the bytes of an IP packet say? Bytes ⇄ [`Segment`], for IPv4 and IPv6.
//!
//! The headers are read and written through smoltcp's views; the TCP options are our own, because a peer may send
//! what those views reject and because what we send has the layout of Linux.

mod checksum;
mod decode;
mod encode;
mod join;
pub mod options;
mod signature;
mod super_segment;
#[cfg(test)]
mod tests;

pub use checksum::sum;
pub use decode::decode;
pub use encode::{encode, encode_head, encode_partial, encode_signed, encoded_len};
pub use join::Joiner;
pub use signature::is_signed_by;
pub use super_segment::{piece, split_beginnings, split_pieces, split_super, tcp_at};

use crate::segment::{Ecn, Segment};
use smoltcp::wire::Ipv4Packet;
use std::net::{IpAddr, SocketAddr};

/// The number of TCP among the IP protocols.
pub const TCP: u8 = 6;

/// Addresses and IP-level fields of a TCP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The sender. Of the same family as `dst`.
    pub src: SocketAddr,
    /// The receiver.
    pub dst: SocketAddr,
    /// The ECN field of the IP header.
    pub ecn: Ecn,
    /// The differentiated services field of the IP header, 0 to 63 (RFC 2474).
    pub dscp: u8,
    /// The IPv4 identification; IPv6 has none: ignored by [`encode`], 0 from [`decode`]. DF is always set on what
    /// we send.
    pub ident: u16,
    /// TTL (IPv4) or hop limit (IPv6).
    pub hops: u8,
}

/// A TCP packet that was read.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// From whom to whom.
    pub envelope: Envelope,
    /// The TCP header; `seg.len == payload.len()`.
    pub seg: Segment,
    /// The TCP header's first twenty bytes as they came.
    pub header: &'a [u8],
    /// The TCP options as they came, for [`options::iter`]; `seg.options` has what the engine understands of them.
    pub options: &'a [u8],
    /// What follows the TCP header.
    pub payload: &'a [u8],
}

/// What a frame from the device is.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A whole TCP packet, IP header and TCP checksum verified.
    Tcp(Packet<'a>),
    /// An IPv4 or IPv6 fragment (of whatever protocol).
    Fragment {
        /// The sender.
        src: IpAddr,
        /// The receiver.
        dst: IpAddr,
    },
    /// Another protocol.
    Other {
        /// Its number, behind any IPv6 extension headers: 1 ICMP, 17 UDP, 58 ICMPv6, …
        protocol: u8,
        /// The sender.
        src: IpAddr,
        /// The receiver.
        dst: IpAddr,
        /// What the protocol carries.
        body: &'a [u8],
    },
}

/// The ECN field of an IP packet; [`Ecn::NotEct`] of what is none.
pub fn ecn_field(frame: &[u8]) -> Ecn {
    match frame {
        [first, second, ..] if first >> 4 == 4 => ecn_from_bits(*second),
        [first, second, ..] if first >> 4 == 6 => ecn_from_bits(second >> 4),
        _ => Ecn::NotEct,
    }
}

/// Marks a packet that is ECN-capable with [`Ecn::Ce`], as a congested router does (RFC 3168 §5); false if it is not.
pub fn mark(frame: &mut [u8]) -> bool {
    if !matches!(ecn_field(frame), Ecn::Ect0 | Ecn::Ect1) {
        return false;
    }
    if frame[0] >> 4 == 4 {
        let mut ip = Ipv4Packet::new_unchecked(frame);
        ip.set_ecn(ecn_bits(Ecn::Ce));
        ip.fill_checksum();
    } else {
        frame[1] |= ecn_bits(Ecn::Ce) << 4;
    }
    true
}

pub(crate) fn ecn_bits(ecn: Ecn) -> u8 {
    match ecn {
        Ecn::NotEct => 0,
        Ecn::Ect1 => 1,
        Ecn::Ect0 => 2,
        Ecn::Ce => 3,
    }
}

pub(crate) fn ecn_from_bits(bits: u8) -> Ecn {
    match bits & 3 {
        0 => Ecn::NotEct,
        1 => Ecn::Ect1,
        2 => Ecn::Ect0,
        _ => Ecn::Ce,
    }
}

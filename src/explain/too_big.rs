//! Which packet does a router say was too large for it?

use super::decode::Carried;
use crate::seq::Seq;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a router says of a TCP packet (RFC 792 as of RFC 1191, RFC 4443 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooBig {
    /// Who sent that packet, and whom it was for.
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub seq: Seq,
    /// What the next link carries; 0 if the router does not say it.
    pub mtu: u32,
}

/// ICMP's message, and what it quotes.
pub(super) fn read(ip: Carried, bytes: &[u8]) -> Option<TooBig> {
    let long = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (mtu, quoted) = match (ip.protocol, *bytes.first()?, *bytes.get(1)?) {
        (1, 3, 4) => (long(4)? & 0xffff, bytes.get(8..)?),
        (58, 2, _) => (long(4)?, bytes.get(8..)?),
        _ => return None,
    };
    let (source, destination, tcp): (IpAddr, IpAddr, &[u8]) = match quoted.first()? >> 4 {
        4 if *quoted.get(9)? == 6 => {
            let address =
                |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(quoted.get(at..at + 4)?).ok()?));
            let header = usize::from(quoted[0] & 15) * 4;
            (address(12)?.into(), address(16)?.into(), quoted.get(header..)?)
        }
        6 if *quoted.get(6)? == 6 => {
            let address =
                |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(quoted.get(at..at + 16)?).ok()?));
            (address(8)?.into(), address(24)?.into(), quoted.get(40..)?)
        }
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
    let seq = Seq(u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?));
    let (source, destination) = (SocketAddr::new(source, port(0)?), SocketAddr::new(destination, port(2)?));
    Some(TooBig { source, destination, seq, mtu })
}

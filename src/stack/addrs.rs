//! Which addresses are ours, and what tells one flow from another?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The two ends of a TCP flow, seen from here. Half the size of two `SocketAddr`s: there may be many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Flow {
    local_ip: IpAddr,
    remote_ip: IpAddr,
    local_port: u16,
    remote_port: u16,
}

impl Flow {
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Flow {
        Flow {
            local_ip: local.ip(),
            remote_ip: remote.ip(),
            local_port: local.port(),
            remote_port: remote.port(),
        }
    }

    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local_ip, self.local_port)
    }

    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote_ip, self.remote_port)
    }

    /// Bytes of the IP header in front of each of its segments.
    pub fn ip_header(&self) -> u16 {
        if self.local_ip.is_ipv4() { 20 } else { 40 }
    }

    /// An IPv4 flow in a third of the room.
    pub fn short(&self) -> Option<[u8; 12]> {
        let (IpAddr::V4(local), IpAddr::V4(remote)) = (self.local_ip, self.remote_ip) else { return None };
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&local.octets());
        bytes[4..8].copy_from_slice(&remote.octets());
        bytes[8..10].copy_from_slice(&self.local_port.to_be_bytes());
        bytes[10..].copy_from_slice(&self.remote_port.to_be_bytes());
        Some(bytes)
    }

    /// A fixed form for keyed hashes: the same on every platform and with every compiler.
    pub fn bytes(&self) -> [u8; 36] {
        let mut bytes = [0; 36];
        bytes[..16].copy_from_slice(&octets(self.local_ip));
        bytes[16..32].copy_from_slice(&octets(self.remote_ip));
        bytes[32..34].copy_from_slice(&self.local_port.to_be_bytes());
        bytes[34..].copy_from_slice(&self.remote_port.to_be_bytes());
        bytes
    }
}

impl From<[u8; 12]> for Flow {
    fn from(bytes: [u8; 12]) -> Flow {
        let ip = |at: usize| IpAddr::from([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Flow { local_ip: ip(0), remote_ip: ip(4), local_port: port(8), remote_port: port(10) }
    }
}

impl From<[u8; 36]> for Flow {
    fn from(bytes: [u8; 36]) -> Flow {
        let ip = |at: usize| IpAddr::from(std::array::from_fn::<u8, 16, _>(|n| bytes[at + n]));
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Flow { local_ip: ip(0), remote_ip: ip(16), local_port: port(32), remote_port: port(34) }
    }
}

/// Sixteen bytes for either family.
pub(super) fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The stack's own addresses.
pub(super) struct Addrs(Vec<(IpAddr, u8)>);

impl Addrs {
    pub fn new(addrs: &[(IpAddr, u8)]) -> Addrs {
        Addrs(addrs.to_vec())
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|&(own, _)| own == ip)
    }

    /// The directed broadcast of one of our networks, or the limited one.
    pub fn is_broadcast(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip else { return false };
        ip.is_broadcast()
            || self.0.iter().any(|&(own, prefix)| match own {
                IpAddr::V4(own) if prefix < 31 => {
                    let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                    ip == Ipv4Addr::from_bits(own.to_bits() | host)
                }
                _ => false,
            })
    }

    /// Whether a host can have `ip`: what TCP may talk to (RFC 9293 §3.9.2.3, MUST-57).
    pub fn is_host(&self, ip: IpAddr) -> bool {
        !ip.is_multicast() && !ip.is_unspecified() && !self.is_broadcast(ip)
    }

    /// The address to talk to `remote` from: one in its network, else the first of its family (RFC 9293 §3.9.1.1,
    /// MUST-44).
    pub fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let family = || self.0.iter().filter(|(own, _)| own.is_ipv4() == remote.is_ipv4());
        family()
            .find(|&&(own, prefix)| same_network(own, remote, prefix))
            .or(family().next())
            .map(|&(own, _)| own)
    }
}

fn same_network(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(32 - u32::from(prefix.min(32))).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(128 - u32::from(prefix.min(128))).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_source_is_in_the_network_of_the_destination_if_it_can_be() {
        let own = Addrs::new(&[
            (ip("10.0.0.2"), 24),
            (ip("10.9.0.2"), 16),
            (ip("fd77::2"), 64),
            (ip("fd99::2"), 64),
        ]);
        for (remote, source) in [
            ("10.0.0.7", Some("10.0.0.2")),
            ("10.9.200.1", Some("10.9.0.2")),
            ("192.0.2.1", Some("10.0.0.2")),
            ("fd99::1", Some("fd99::2")),
            ("2001:db8::1", Some("fd77::2")),
        ] {
            assert_eq!(own.source_for(ip(remote)), source.map(ip), "{remote}");
        }
        assert_eq!(Addrs::new(&[(ip("10.0.0.2"), 0)]).source_for(ip("fd99::1")), None);
    }

    #[test]
    fn broadcast_and_multicast_are_no_hosts() {
        let own = Addrs::new(&[(ip("10.0.0.2"), 24), (ip("192.0.2.0"), 31), (ip("fd77::2"), 64)]);
        for (address, host) in [
            ("10.0.0.255", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("ff02::1", false),
            ("192.0.2.1", true),
            ("10.0.1.255", true),
            ("fd77::1", true),
        ] {
            assert_eq!(own.is_host(ip(address)), host, "{address}");
        }
    }

    #[test]
    fn a_prefix_longer_than_the_address_does_no_harm() {
        let own = Addrs::new(&[(ip("10.0.0.2"), 200), (ip("fd77::2"), 255)]);
        assert_eq!(own.source_for(ip("10.0.0.3")), Some(ip("10.0.0.2")));
        assert!(!own.is_broadcast(ip("10.0.0.3")));
    }
}

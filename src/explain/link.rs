//! Where does the network layer begin in a frame of Ethernet, and in which virtual network is it?

/// What carries it, where it begins, and the tags before it (IEEE 802.1Q, those of providers and vendors too), the outermost
/// first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Inside {
    pub ether_type: u16,
    pub at: usize,
    pub network: u32,
}

/// Types up to here are lengths (IEEE 802.3 §3.2.6): what is in it an LLC header says.
const LENGTHS: u16 = 1500;
/// LLC and SNAP as they carry an Ethernet type (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 3, 0, 0, 0];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Behind two addresses.
pub(super) fn ethernet(data: &[u8]) -> Option<Inside> {
    behind(data, 12)
}

fn word(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

/// The type stands at `at`.
pub(super) fn behind(data: &[u8], at: usize) -> Option<Inside> {
    tagged(word(data, at)?, data, at + 2)
}

/// What follows at `at` is of this type.
pub(super) fn tagged(mut ether_type: u16, data: &[u8], mut at: usize) -> Option<Inside> {
    let mut network = 0;
    loop {
        match ether_type {
            0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
                network = network << 12 | u32::from(word(data, at)? & 0xfff);
                ether_type = word(data, at + 2)?;
                at += 4;
            }
            // PPPoE (RFC 2516): a header of six bytes, then PPP's protocol.
            0x8864 => {
                let ether_type = match word(data, at + 6)? {
                    0x21 => IPV4,
                    0x57 => IPV6,
                    _ => return Some(Inside { ether_type, at, network }),
                };
                return Some(Inside { ether_type, at: at + 8, network });
            }
            // MPLS (RFC 3032): labels up to the last, and IP's own version behind it.
            0x8847 => {
                while data.get(at + 2)? & 1 == 0 {
                    at += 4;
                }
                at += 4;
                let ether_type = match data.get(at)? >> 4 {
                    4 => IPV4,
                    6 => IPV6,
                    _ => ether_type,
                };
                return Some(Inside { ether_type, at, network });
            }
            length if length <= LENGTHS => {
                if data.get(at..at + 6)? != SNAP {
                    return Some(Inside { ether_type, at, network });
                }
                ether_type = word(data, at + 6)?;
                at += 8;
            }
            _ => return Some(Inside { ether_type, at, network }),
        }
    }
}

/// What a tunnel carries: where it begins in its payload, and whether that is a frame of Ethernet.
pub(super) fn tunnel(protocol: u8, bytes: &[u8]) -> Option<(usize, bool)> {
    match protocol {
        // IP in IP (RFC 2003), IPv6 in IPv4 (RFC 4213).
        4 | 41 => Some((0, false)),
        // GRE (RFC 2784, RFC 2890): a checksum, a key and a number may be there.
        47 => {
            let flags = *bytes.first()?;
            let options = [0x80, 0x20, 0x10].iter().filter(|bit| flags & **bit != 0).count();
            let version = bytes.get(1)? & 7;
            match word(bytes, 2)? {
                IPV4 | IPV6 if version == 0 => Some((4 + 4 * options, false)),
                0x6558 if version == 0 => Some((4 + 4 * options, true)),
                _ => None,
            }
        }
        // VXLAN (RFC 7348) on its port.
        17 if word(bytes, 2)? == 4789 && bytes.get(8)? & 8 != 0 => Some((16, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Option<(u16, usize, u32)> {
        let frame = [&[0; 12][..], bytes].concat();
        ethernet(&frame).map(|inside| (inside.ether_type, inside.at, inside.network))
    }

    #[test]
    fn what_stands_before_ip_is_stepped_over() {
        assert_eq!(found(&[8, 0, 0x45]), Some((IPV4, 14, 0)));
        assert_eq!(found(&[0x81, 0, 0xe0, 10, 0x86, 0xdd]), Some((IPV6, 18, 10)));
        let four = [0x88, 0xa8, 0, 1, 0x91, 0, 0, 2, 0x92, 0, 0, 3, 0x81, 0, 0, 4, 8, 0];
        assert_eq!(found(&four), Some((IPV4, 30, 0x0200_3004)), "the outermost no longer fits");
        assert_eq!(found(&[0, 60, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45]), Some((IPV4, 22, 0)));
        assert_eq!(found(&[0, 60, 0x42, 0x42, 3, 0, 0, 0]), Some((60, 14, 0)), "spanning tree");
        assert_eq!(found(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 40, 0, 0x21, 0x45]), Some((IPV4, 22, 0)));
        assert_eq!(found(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64, 0x60]), Some((IPV6, 22, 0)));
        for cut in [&[0x81, 0, 0][..], &[0x88, 0x47, 0, 1, 0], &[8], &[0, 60, 0xaa]] {
            assert_eq!(found(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn tunnels_are_looked_into() {
        assert_eq!(tunnel(4, &[0x45]), Some((0, false)));
        assert_eq!(tunnel(47, &[0, 0, 8, 0]), Some((4, false)));
        assert_eq!(tunnel(47, &[0xb0, 0, 0x65, 0x58]), Some((16, true)));
        assert_eq!(tunnel(47, &[0x20, 1, 0x88, 0x0b]), None, "PPTP");
        assert_eq!(tunnel(17, &[0, 1, 0x12, 0xb5, 0, 0, 0, 0, 8]), Some((16, true)));
        assert_eq!(tunnel(17, &[0, 1, 0, 53, 0, 0, 0, 0, 8]), None);
        assert_eq!(tunnel(47, &[0]), None);
    }
}

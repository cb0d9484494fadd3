//! What does the kernel say of a packet beside its bytes, and what is it told? The header of virtio-net (VIRTIO 1.2 §5.1.6).

use crate::segment::Flags;
use crate::wire::{self, Decoded};
use smoltcp::wire::checksum;
use std::num::NonZeroU16;

/// The header's length in bytes.
pub(super) const LEN: usize = 10;

/// Where the TCP checksum is in the TCP header.
const TCP_CHECKSUM: usize = 16;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
/// Beside the others: the first of the segments carries CWR, the rest does not.
const GSO_ECN: u8 = 0x80;

/// `struct virtio_net_hdr`, in the host's byte order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Header {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl Header {
    fn read(bytes: &[u8; LEN]) -> Header {
        let word = |at| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Header {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        }
    }

    fn write(&self, bytes: &mut [u8; LEN]) {
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        for (at, word) in [(2, self.hdr_len), (4, self.gso_size), (6, self.csum_start), (8, self.csum_offset)]
        {
            bytes[at..at + 2].copy_from_slice(&word.to_ne_bytes());
        }
    }
}

/// What the kernel says of a packet that it hands over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Inbound {
    /// Payload bytes per wire segment, if it stands for several.
    pub gso_size: Option<NonZeroU16>,
    /// Whether somebody vouches for the transport checksum.
    pub vouched: bool,
}

/// A header that contradicts its packet, or itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// Reads what came: the header and the packet behind it. A checksum that the sender has left to the device is completed
/// here, unless the packet is a super-segment: each of its pieces has one of its own.
///
/// # Errors
/// The header lies. The kernel's does not; but what is not checked here would be believed of a payload's length.
pub(super) fn read(bytes: &mut [u8]) -> Result<Inbound, Malformed> {
    let (head, packet) = bytes.split_first_chunk_mut::<LEN>().ok_or(Malformed)?;
    let header = Header::read(head);
    let needs = header.flags & NEEDS_CSUM != 0;
    let valid = header.flags & DATA_VALID != 0;
    let version = match header.gso_type & !GSO_ECN {
        GSO_NONE => {
            if needs {
                complete(packet, &header)?;
            }
            return Ok(Inbound { gso_size: None, vouched: needs || valid });
        }
        GSO_TCPV4 => 4,
        GSO_TCPV6 => 6,
        _ => return Err(Malformed),
    };
    let gso_size = NonZeroU16::new(header.gso_size).ok_or(Malformed)?;
    // A super-segment has no checksum that could be verified (VIRTIO 1.2 §5.1.6.4.1 asks for NEEDS_CSUM, too).
    if !(needs || valid) || packet.first().is_none_or(|b| b >> 4 != version) {
        return Err(Malformed);
    }
    let Ok(Decoded::Tcp(whole)) = wire::decode(packet, false) else { return Err(Malformed) };
    if whole.payload.len() > usize::from(gso_size.get()) {
        return Ok(Inbound { gso_size: Some(gso_size), vouched: true });
    }
    if needs {
        complete(packet, &header)?;
    }
    Ok(Inbound { gso_size: None, vouched: true })
}

/// Completes a checksum whose field holds the sum of the pseudo-header.
fn complete(packet: &mut [u8], header: &Header) -> Result<(), Malformed> {
    let part = packet.get_mut(usize::from(header.csum_start)..).ok_or(Malformed)?;
    let at = usize::from(header.csum_offset);
    if at + 2 > part.len() {
        return Err(Malformed);
    }
    let sum = match !wire::sum(part) {
        // As UDP over IPv6 needs it, and as good for the others.
        0 => u16::MAX,
        sum => sum,
    };
    part[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// Writes the header of a packet to send, which lies behind it in `bytes`, but for the `elsewhere` last bytes of its payload.
/// The checksum of a TCP packet is left to the kernel: its field becomes the sum of the pseudo-header.
pub(super) fn write(bytes: &mut [u8], elsewhere: usize, gso_size: Option<NonZeroU16>) {
    let Some((head, packet)) = bytes.split_first_chunk_mut::<LEN>() else { return };
    tcp_header(packet, elsewhere, gso_size).unwrap_or_default().write(head);
}

fn tcp_header(packet: &mut [u8], elsewhere: usize, gso_size: Option<NonZeroU16>) -> Option<Header> {
    let (start, gso_type) = match packet.first()? >> 4 {
        4 => {
            let fragment = *packet.get(6)? & 0x3f != 0 || *packet.get(7)? != 0;
            let start = usize::from(packet[0] & 15) * 4;
            (*packet.get(9)? == wire::TCP && !fragment).then_some((start, GSO_TCPV4))?
        }
        6 => (*packet.get(6)? == wire::TCP).then_some((40, GSO_TCPV6))?,
        _ => return None,
    };
    let (ip, tcp) = packet.split_at_mut_checked(start)?;
    let addresses = if gso_type == GSO_TCPV4 { ip.get(12..20)? } else { ip.get(8..40)? };
    let (offset, flags) = (*tcp.get(12)?, Flags(u16::from(*tcp.get(13)?)));
    let length = ((tcp.len() + elsewhere) as u32).to_be_bytes();
    let sum = checksum::combine(&[checksum::data(addresses), checksum::data(&length), u16::from(wire::TCP)]);
    tcp.get_mut(TCP_CHECKSUM..TCP_CHECKSUM + 2)?.copy_from_slice(&sum.to_be_bytes());
    let ecn = if flags.contains(Flags::CWR) { GSO_ECN } else { 0 };
    Some(Header {
        flags: NEEDS_CSUM,
        gso_type: gso_size.map_or(GSO_NONE, |_| gso_type | ecn),
        hdr_len: (start + usize::from(offset >> 4) * 4) as u16,
        gso_size: gso_size.map_or(0, NonZeroU16::get),
        csum_start: start as u16,
        csum_offset: TCP_CHECKSUM as u16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Ecn, Segment};
    use crate::wire::Envelope;
    use proptest::prelude::*;
    use std::net::SocketAddr;

    fn packet(v6: bool, flags: Flags, payload: &[u8]) -> Vec<u8> {
        let (src, dst): (SocketAddr, SocketAddr) = match v6 {
            false => (([10, 77, 0, 2], 80).into(), ([10, 77, 0, 1], 40_000).into()),
            true => ("[fd77::2]:80".parse().unwrap(), "[fd77::1]:40000".parse().unwrap()),
        };
        let envelope = Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 1, hops: 64 };
        let seg = Segment { flags: Flags::ACK | flags, len: payload.len() as u32, ..Segment::default() };
        let mut bytes = vec![0; LEN + wire::encoded_len(&envelope, &seg)];
        wire::encode(&mut bytes[LEN..], &envelope, &seg, [payload, &[]]);
        bytes
    }

    fn set(bytes: &mut [u8], header: Header) {
        header.write(bytes.first_chunk_mut().unwrap());
    }

    fn header(bytes: &[u8]) -> Header {
        Header::read(bytes.first_chunk().unwrap())
    }

    #[test]
    fn what_is_sent_reads_back_with_its_checksum_complete() {
        for v6 in [false, true] {
            let whole = packet(v6, Flags::PSH, b"an odd number of them");
            let mut bytes = whole.clone();
            write(&mut bytes, 0, None);
            let start = if v6 { 40 } else { 20 };
            assert_eq!(
                header(&bytes),
                Header {
                    flags: NEEDS_CSUM,
                    csum_start: start,
                    csum_offset: 16,
                    hdr_len: start + 20,
                    ..Header::default()
                }
            );
            assert!(wire::decode(&bytes[LEN..], true).is_err(), "nothing but the pseudo-header is summed up");
            assert_eq!(read(&mut bytes), Ok(Inbound { gso_size: None, vouched: true }));
            assert_eq!(bytes[LEN..], whole[LEN..]);
        }
    }

    #[test]
    fn a_super_segment_has_its_size_and_says_whether_it_carries_cwr() {
        let size = NonZeroU16::new(1000);
        for (v6, flags, gso_type) in [
            (false, Flags::NONE, GSO_TCPV4),
            (true, Flags::NONE, GSO_TCPV6),
            (false, Flags::CWR, GSO_TCPV4 | GSO_ECN),
        ] {
            let mut bytes = packet(v6, flags, &[1; 2500]);
            write(&mut bytes, 0, size);
            let header = header(&bytes);
            assert_eq!((header.gso_type, header.gso_size), (gso_type, 1000));
            assert_eq!(read(&mut bytes), Ok(Inbound { gso_size: size, vouched: true }));
        }
    }

    #[test]
    fn what_is_no_whole_tcp_packet_is_sent_as_it_is() {
        let mut fragment = packet(false, Flags::NONE, b"x");
        fragment[LEN + 6] = 0x20;
        let mut udp = packet(false, Flags::NONE, b"x");
        udp[LEN + 9] = 17;
        let mut short = packet(true, Flags::NONE, b"x");
        short.truncate(LEN + 50);
        for original in [fragment, udp, short, vec![0xff; LEN + 3], vec![0xff; LEN]] {
            let mut bytes = original.clone();
            write(&mut bytes, 0, None);
            assert_eq!(header(&bytes), Header::default());
            assert_eq!(bytes[LEN..], original[LEN..]);
        }
        write(&mut [0; 3], 0, None);
    }

    #[test]
    fn a_packet_nobody_vouches_for_is_left_to_the_stack() {
        let mut bytes = packet(false, Flags::NONE, b"x");
        assert_eq!(read(&mut bytes), Ok(Inbound { gso_size: None, vouched: false }));
        set(&mut bytes, Header { flags: DATA_VALID, ..Header::default() });
        assert_eq!(read(&mut bytes), Ok(Inbound { gso_size: None, vouched: true }));
    }

    #[test]
    fn a_super_segment_that_needs_no_cutting_is_a_packet() {
        let mut bytes = packet(false, Flags::NONE, &[1; 1000]);
        write(&mut bytes, 0, NonZeroU16::new(1000));
        assert_eq!(read(&mut bytes), Ok(Inbound { gso_size: None, vouched: true }));
        assert!(wire::decode(&bytes[LEN..], true).is_ok());
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let whole = packet(false, Flags::NONE, &[1; 2500]);
        let good = Header {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV4,
            hdr_len: 40,
            gso_size: 1000,
            csum_start: 20,
            csum_offset: 16,
        };
        let plain = Header { gso_type: GSO_NONE, gso_size: 0, ..good };
        for (what, header) in [
            ("no size", Header { gso_size: 0, ..good }),
            ("the other version", Header { gso_type: GSO_TCPV6, ..good }),
            ("UDP", Header { gso_type: 3, ..good }),
            ("unknown", Header { gso_type: 0x7f, ..good }),
            ("nobody vouches for the pieces", Header { flags: 0, ..good }),
            ("a checksum behind the end", Header { csum_start: 2539, ..plain }),
            (
                "a checksum far behind the end",
                Header { csum_start: u16::MAX, csum_offset: u16::MAX, ..plain },
            ),
        ] {
            let mut bytes = whole.clone();
            set(&mut bytes, header);
            assert_eq!(read(&mut bytes), Err(Malformed), "{what}");
        }
        let mut udp = whole;
        udp[LEN + 9] = 17;
        set(&mut udp, good);
        assert_eq!(read(&mut udp), Err(Malformed), "no TCP");
        assert_eq!(read(&mut [0; LEN - 1]), Err(Malformed), "half a header");
    }

    proptest! {
        #[test]
        fn no_header_does_harm(head in any::<[u8; LEN]>(), cut in 0usize..2600, v6 in any::<bool>()) {
            let mut bytes = packet(v6, Flags::NONE, &[1; 2500]);
            bytes[..LEN].copy_from_slice(&head);
            bytes.truncate(cut);
            if let Ok(Inbound { gso_size: Some(size), .. }) = read(&mut bytes) {
                let whole = wire::decode(&bytes[LEN..], false);
                let Ok(Decoded::Tcp(whole)) = whole else { panic!("{whole:?}") };
                prop_assert!(whole.payload.len() > usize::from(size.get()));
            }
            write(&mut bytes, 0, NonZeroU16::new(1448));
        }

        #[test]
        fn no_packet_does_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..80), version in 3u8..8) {
            if let Some(first) = bytes.get_mut(LEN) {
                *first = version << 4 | *first & 15;
            }
            write(&mut bytes, 0, NonZeroU16::new(1448));
            let _ = read(&mut bytes);
        }
    }
}

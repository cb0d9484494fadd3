//! Whose key signed this segment? (RFC 2385)

use super::{Envelope, Packet, TCP, options};
use crate::segment::Key;
use md5::{Digest, Md5};
use smoltcp::wire::TCP_HEADER_LEN;
use std::net::IpAddr;

/// Signs a segment, whose checksum is not filled in yet, in the option that is there for it.
///
/// # Panics
/// If the first option is no signature.
pub(super) fn sign(tcp: &mut [u8], ends: (IpAddr, IpAddr), key: &Key) {
    let (header, rest) = tcp.split_at(TCP_HEADER_LEN);
    let options = usize::from(header[12] >> 4) * 4 - TCP_HEADER_LEN;
    let signature = digest(ends, header, options, &rest[options..], key);
    // Two bytes of padding come before it.
    let at = TCP_HEADER_LEN + 2;
    assert_eq!(tcp[at..at + 2], options::SIGNATURE, "there is room for a signature");
    tcp[at + 2..at + 18].copy_from_slice(&signature);
}

/// Whether a segment that came was signed by `key`.
pub fn is_signed_by(packet: &Packet, key: &Key) -> bool {
    let Some(found) = options::signature(packet.options) else { return false };
    let Envelope { src, dst, .. } = packet.envelope;
    let ends = (src.ip(), dst.ip());
    digest(ends, packet.header, packet.options.len(), packet.payload, key) == found
}

/// The digest of the pseudo-header, the header without its options and with a checksum of zero, the payload and the key
/// (RFC 2385 §2.0).
fn digest(
    (src, dst): (IpAddr, IpAddr),
    header: &[u8],
    options: usize,
    payload: &[u8],
    key: &Key,
) -> [u8; 16] {
    let mut md5 = Md5::new();
    let len = TCP_HEADER_LEN + options + payload.len();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            md5.update(src.octets());
            md5.update(dst.octets());
            md5.update([0, TCP]);
            md5.update((len as u16).to_be_bytes());
        }
        (src, dst) => {
            for ip in [src, dst] {
                match ip {
                    IpAddr::V6(ip) => md5.update(ip.octets()),
                    IpAddr::V4(ip) => md5.update(ip.to_ipv6_mapped().octets()),
                }
            }
            md5.update((len as u32).to_be_bytes());
            md5.update([0, 0, 0, TCP]);
        }
    }
    md5.update(&header[..16]);
    md5.update([0, 0]);
    md5.update(&header[18..TCP_HEADER_LEN]);
    md5.update(payload);
    md5.update(key.bytes());
    md5.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Decoded, decode, encode_signed, encoded_len};

    /// What Linux 6.18 sent to itself with the key `secret`, its checksums left to a device.
    const FROM_LINUX: [&str; 4] = [
        "450000484a5340004006f25a7f0000017f00000194a01f9044b1e1e700000000d002ffd7fe3c000001011312432878f3e66f8a3924ef8f5f0043d021\
         0204ffd7010104020103030a",
        "450000414a5540004006f25f7f0000017f00000194a01f9044b1e1e84b2834f8a0180040fe350000010113128db68ef66e0c15bb082d29e24100b8b0\
         68656c6c6f",
        "60056d55003406400000000000000000000000000000000100000000000000000000000000000001ce4c1f90a80765d600000000d002ffc4003c0000\
         01011312f6315d773b2b17e97a070986b43edb8f0204ffc4010104020103030a",
        "60056d55002d06400000000000000000000000000000000100000000000000000000000000000001ce4c1f90a80765d784243cc9a018004000350000\
         01011312c6368d86d7ddd39f7980b2053e5b644e68656c6c6f",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn tcp(frame: &[u8]) -> Packet<'_> {
        match decode(frame, false) {
            Ok(Decoded::Tcp(packet)) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn linux_and_we_sign_alike() {
        let (key, other) = (Key::new(b"secret").unwrap(), Key::new(b"secreT").unwrap());
        for hex in FROM_LINUX {
            let mut frame = bytes(hex);
            let packet = tcp(&frame);
            assert!(is_signed_by(&packet, &key) && !is_signed_by(&packet, &other), "{hex}");
            let mut own = vec![0; encoded_len(&packet.envelope, &packet.seg)];
            encode_signed(&mut own, &packet.envelope, &packet.seg, [packet.payload, &[]], (&key, true));
            let at = frame.len() - packet.payload.len() - packet.options.len() - TCP_HEADER_LEN;
            assert_eq!(own[at..], frame[at..], "{hex}");
            // Every byte but the checksum and the other options is signed.
            *frame.last_mut().unwrap() ^= 1;
            assert_eq!(is_signed_by(&tcp(&frame), &key), tcp(&frame).payload.is_empty(), "{hex}");
            frame[at + 4] ^= 1;
            assert!(!is_signed_by(&tcp(&frame), &key), "{hex}");
        }
    }

    #[test]
    fn two_signatures_are_none() {
        let mut options = tcp(&bytes(FROM_LINUX[0])).options.to_vec();
        assert!(options::signature(&options).is_some());
        options.extend_from_within(2..20);
        assert_eq!(options::signature(&options), None);
        assert_eq!(options::signature(&[19, 18, 0]), None, "cut short");
    }
}

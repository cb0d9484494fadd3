//! Which packets that come together are one super-segment? The reverse of [`split_super`](super::split_super).

use super::super_segment::tcp_at;
use super::{Decoded, Envelope, decode};
use crate::segment::{Flags, Segment};
use crate::seq::Seq;
use smoltcp::wire::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, Ipv4Packet, Ipv6Packet};
use std::num::NonZeroU16;

/// The largest packet that IP can name.
const LARGEST: usize = 65_535;

/// Joins packets as a card with receive offload does: they continue each other, differ in nothing else that TCP would see, are
/// as long as the first but for the last, and their checksums are right.
#[derive(Debug, Default)]
pub struct Joiner {
    frame: Vec<u8>,
    /// Of what was joined so far; None if the first packet can have no company.
    whole: Option<Whole>,
    pieces: u32,
    verify: bool,
}

#[derive(Debug)]
struct Whole {
    envelope: Envelope,
    seg: Segment,
    /// Where its TCP header and its payload begin.
    tcp_at: usize,
    payload_at: usize,
    next: Seq,
    /// A short or a pushed packet was the last.
    closed: bool,
}

impl Joiner {
    /// Begins anew with `packet`, whose place its old bytes take. Checksums are verified if it has to be.
    pub fn begin(&mut self, packet: &mut Vec<u8>, verify: bool) {
        std::mem::swap(&mut self.frame, packet);
        (self.pieces, self.verify) = (1, verify);
        self.whole = whole(&self.frame, verify);
    }

    /// Takes `packet` as what follows. False, and nothing is changed, if it does not.
    pub fn append(&mut self, packet: &[u8]) -> bool {
        let Some(whole) = self.whole.as_mut().filter(|whole| !whole.closed) else { return false };
        let Ok(Decoded::Tcp(more)) = decode(packet, self.verify) else { return false };
        let envelope = Envelope { ident: whole.envelope.ident, ..more.envelope };
        let pushed = more.seg.has(Flags::PSH);
        let seg = Segment {
            seq: whole.seg.seq,
            len: whole.seg.len,
            flags: more.seg.flags.without(Flags::PSH),
            ..more.seg
        };
        let continues = envelope == whole.envelope
            && seg == whole.seg
            && more.seg.seq == whole.next
            && (1..=whole.seg.len).contains(&more.seg.len)
            && packet.len() - more.payload.len() == whole.payload_at
            // All options, those that the engine does not know included.
            && self.frame[whole.payload_at - more.options.len()..whole.payload_at] == *more.options
            && self.frame.len() + more.payload.len() <= LARGEST;
        if !continues {
            return false;
        }
        self.frame.extend_from_slice(more.payload);
        whole.next += more.seg.len;
        whole.closed = pushed || more.seg.len < whole.seg.len;
        if pushed {
            self.frame[whole.tcp_at + 13] |= Flags::PSH.to_bytes().0;
        }
        self.pieces += 1;
        true
    }

    /// What was joined, and how many payload bytes each of its packets has, if there are several: their checksums are right, and
    /// that of the whole is not reckoned.
    pub fn finish(&mut self) -> (&[u8], Option<NonZeroU16>) {
        let Some(whole) = self.whole.as_ref().filter(|_| self.pieces > 1) else { return (&self.frame, None) };
        let len = self.frame.len();
        if self.frame[0] >> 4 == 4 {
            let mut ip = Ipv4Packet::new_unchecked(&mut self.frame[..]);
            ip.set_total_len(len as u16);
            ip.fill_checksum();
        } else {
            Ipv6Packet::new_unchecked(&mut self.frame[..]).set_payload_len((len - IPV6_HEADER_LEN) as u16);
        }
        (&self.frame, NonZeroU16::new(whole.seg.len as u16))
    }
}

/// What `packet` needs of the next one, if any can follow: it has data, and nothing that concerns one packet alone.
fn whole(packet: &[u8], verify: bool) -> Option<Whole> {
    let tcp_at = tcp_at(packet).filter(|at| matches!(*at, IPV4_HEADER_LEN | IPV6_HEADER_LEN))?;
    let Ok(Decoded::Tcp(first)) = decode(packet, verify) else { return None };
    let payload_at = packet.len() - first.payload.len();
    let alone = first.payload.is_empty() || first.seg.flags != Flags::ACK;
    let next = first.seg.seq + first.seg.len;
    (!alone).then_some(Whole {
        envelope: first.envelope,
        seg: first.seg,
        tcp_at,
        payload_at,
        next,
        closed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{encode, encoded_len, split_super};
    use super::*;
    use crate::segment::Ecn;

    fn envelope(v6: bool) -> Envelope {
        let (src, dst) = if v6 { ("[fd00::1]:5", "[fd00::2]:6") } else { ("10.0.0.1:5", "10.0.0.2:6") };
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 7, hops: 64 }
    }

    fn segment(seq: u32, len: u32) -> Segment {
        Segment { seq: Seq(seq), ack: Seq(9), len, window: 100, flags: Flags::ACK, ..Segment::default() }
    }

    fn packet(v6: bool, seg: Segment) -> Vec<u8> {
        let payload: Vec<u8> = (0..seg.len).map(|n| (seg.seq.0 + n) as u8).collect();
        let mut out = vec![0; encoded_len(&envelope(v6), &seg)];
        encode(&mut out, &envelope(v6), &seg, [&payload, &[]]);
        out
    }

    fn joined(packets: &[Vec<u8>]) -> (usize, Vec<u8>, Option<u16>) {
        let mut joiner = Joiner::default();
        joiner.begin(&mut packets[0].clone(), true);
        let taken = packets[1..].iter().take_while(|packet| joiner.append(packet)).count();
        let (frame, size) = joiner.finish();
        (taken, frame.to_vec(), size.map(NonZeroU16::get))
    }

    #[test]
    fn packets_that_were_cut_are_put_together_again() {
        for v6 in [false, true] {
            let whole = Segment { flags: Flags::ACK | Flags::PSH, ..segment(1000, 4321) };
            let super_segment = packet(v6, whole);
            let mut pieces = Vec::new();
            split_super(&super_segment, 1000, &mut Vec::new(), &mut |piece| pieces.push(piece.to_vec()));
            let (taken, frame, size) = joined(&pieces);
            assert_eq!((taken, size), (4, Some(1000)));
            let Ok(Decoded::Tcp(again)) = decode(&frame, false) else { panic!("no TCP") };
            let ident = if v6 { 0 } else { 7 };
            assert_eq!((again.seg, again.envelope), (whole, Envelope { ident, ..envelope(v6) }));
            assert!(super_segment.ends_with(again.payload));
        }
    }

    #[test]
    fn what_differs_stays_alone() {
        let first = segment(1, 100);
        let after = segment(101, 100);
        let good = |seg: Segment| joined(&[packet(false, first), packet(false, seg)]).0 == 1;
        assert!(good(after) && good(segment(101, 1)));
        assert!(!good(segment(102, 100)), "a gap");
        assert!(!good(segment(101, 101)), "longer than the first");
        assert!(!good(segment(101, 0)), "no data");
        assert!(!good(Segment { ack: Seq(10), ..after }));
        assert!(!good(Segment { window: 101, ..after }));
        assert!(!good(Segment { flags: Flags::ACK | Flags::FIN, ..after }));
        assert!(!good(Segment { flags: Flags::ACK | Flags::ECE, ..after }));
        let stamped = |value| Segment {
            options: crate::segment::Options {
                timestamps: Some(crate::segment::Timestamps { value, echo: 1 }),
                ..Default::default()
            },
            ..after
        };
        assert!(!good(stamped(2)), "other options");
        let pushed = Segment { flags: Flags::ACK | Flags::PSH, ..after };
        let three = [first, pushed, segment(201, 100)].map(|seg| packet(false, seg));
        assert_eq!(joined(&three).0, 1, "nothing follows what is pushed");
        let short = [first, segment(101, 50), segment(151, 50)].map(|seg| packet(false, seg));
        assert_eq!(joined(&short).0, 1, "nor what is shorter");
        for alone in [Segment { flags: Flags::ACK | Flags::FIN, ..first }, segment(1, 0)] {
            assert_eq!(joined(&[packet(false, alone), packet(false, segment(alone.len + 1, 10))]).0, 0);
        }
    }

    #[test]
    fn what_is_damaged_stays_alone_and_nothing_outgrows_ip() {
        let (first, mut after) = (packet(false, segment(1, 100)), packet(false, segment(101, 100)));
        after[60] ^= 1;
        assert_eq!(joined(&[first.clone(), after]).0, 0);
        let mut damaged = first;
        damaged[60] ^= 1;
        assert_eq!(joined(&[damaged, packet(false, segment(101, 100))]).0, 0);
        let many: Vec<Vec<u8>> = (0..100).map(|n| packet(true, segment(1 + n * 1000, 1000))).collect();
        let (taken, frame, _) = joined(&many);
        assert_eq!((taken, frame.len()), (64, 65_060));
        assert!(frame.len() <= LARGEST);
        for bad in [&[][..], &[0x45], &[0x60; 40], &[0x45; 60]] {
            let mut joiner = Joiner::default();
            joiner.begin(&mut bad.to_vec(), true);
            assert!(!joiner.append(&many[0]) && joiner.finish() == (bad, None));
        }
    }
}

//! What does a TCP header say? One value for both directions, free of addresses and of bytes.

use crate::seq::Seq;
use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A TCP segment without its payload (RFC 9293 §3.1). Ports belong to the address, so they are not here.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Segment {
    /// SEG.SEQ: the number of the first payload byte, or of the SYN.
    pub seq: Seq,
    /// SEG.ACK; meaningful only with [`Flags::ACK`].
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field as on the wire, not yet scaled.
    pub window: u16,
    /// The urgent pointer as on the wire.
    pub urgent: u16,
    /// The options that this stack understands.
    pub options: Options,
    /// Payload length in bytes.
    pub len: u32,
}

impl Segment {
    /// SEG.LEN: what the segment occupies in sequence space, SYN and FIN counted (RFC 9293 §3.4).
    pub fn seq_len(&self) -> u32 {
        self.len + u32::from(self.flags.contains(Flags::SYN)) + u32::from(self.flags.contains(Flags::FIN))
    }

    /// The number after the last one that the segment occupies.
    pub fn end(&self) -> Seq {
        self.seq + self.seq_len()
    }

    /// Whether `flag` is set.
    pub fn has(&self, flag: Flags) -> bool {
        self.flags.contains(flag)
    }
}

/// The control bits of the TCP header, ECN's included: the nine lowest bits of the header's 13th and 14th byte.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push: the sender has nothing more behind this.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);
    /// Accurate ECN (RFC 9768 §3.1).
    pub const AE: Flags = Flags(0x100);
    /// The three bits that are ACE together, a count of congestion marks (RFC 9768 §3.2.2).
    pub const ACE: Flags = Flags(0x1c0);
    /// None set.
    pub const NONE: Flags = Flags(0);

    /// The flags that the 13th and the 14th byte of a header say.
    pub const fn from_bytes(offset: u8, flags: u8) -> Flags {
        Flags((offset as u16 & 1) << 8 | flags as u16)
    }

    /// What goes into the 14th byte, and into the lowest bit of the 13th.
    pub const fn to_bytes(self) -> (u8, u8) {
        (self.0 as u8, (self.0 >> 8) as u8 & 1)
    }

    /// The bits of ACE that say `count`, of which the lowest three bits count.
    pub const fn of_ace(count: u32) -> Flags {
        Flags((count as u16 & 7) << 6)
    }

    /// What ACE says, 0 to 7.
    pub const fn ace(self) -> u8 {
        (self.0 >> 6) as u8 & 7
    }

    /// The same without the bits of `other`.
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

/// tcpdump's letters: `S`, `F.`, `P.`, `R`, `.`; `E`, `W` and `e` for ECE, CWR and AE; `none` when empty.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        for (flag, letter) in [
            (Flags::FIN, 'F'),
            (Flags::SYN, 'S'),
            (Flags::RST, 'R'),
            (Flags::PSH, 'P'),
            (Flags::URG, 'U'),
            (Flags::ECE, 'E'),
            (Flags::CWR, 'W'),
            (Flags::AE, 'e'),
            (Flags::ACK, '.'),
        ] {
            if self.contains(flag) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The TCP options that the engine acts on. Others are skipped when reading, as RFC 9293 §3.1 (MUST-6) asks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Maximum segment size in bytes, on a SYN only (RFC 9293 §3.7.1).
    pub mss: Option<u16>,
    /// The shift count, on a SYN only (RFC 7323 §2).
    pub window_scale: Option<u8>,
    /// SACK permitted, on a SYN only (RFC 2018 §2).
    pub sack_permitted: bool,
    /// Time stamps (RFC 7323 §3).
    pub timestamps: Option<Timestamps>,
    /// Selective acknowledgments (RFC 2018 §3).
    pub sack: SackBlocks,
    /// A Fast Open cookie or the request for one, on a SYN only (RFC 7413 §4.1.1).
    pub fast_open: Option<Cookie>,
    /// It has a signature (RFC 2385): what is sent is signed where its addresses are known.
    pub signed: bool,
    /// Byte counts of accurate ECN (RFC 9768 §3.2.3).
    pub ecn: Option<EcnBytes>,
}

impl Options {
    /// The most bytes that options can take (RFC 9293 §3.1: the data offset has four bits).
    pub const MOST: u32 = 40;

    /// Bytes that a signature takes, padding included.
    pub const SIGNATURE: u32 = 20;

    /// How many SACK blocks find room beside time stamps and a signature, 0 to 4.
    pub fn sack_room(stamped: bool, signed: bool) -> u32 {
        let taken = if stamped { 12 } else { 0 } + if signed { Options::SIGNATURE } else { 0 };
        (Options::MOST - 4).saturating_sub(taken) / 8
    }

    /// Bytes the options take in the header, padding included, 0 to 40.
    ///
    /// The layout is Linux's: a signature before all others, on a SYN `mss, sackOK, TS, nop, wscale`, where `sackOK` fills the two bytes of padding
    /// before `TS` and two `nop` stand for it if it is off; elsewhere `nop, nop, TS` and `nop, nop, sack`.
    pub fn encoded_len(&self) -> u32 {
        let mut len = if self.signed { Options::SIGNATURE } else { 0 };
        if self.mss.is_some() {
            len += 4;
        }
        if self.timestamps.is_some() {
            len += 12; // ten, and two of padding or of SACK permitted
        } else if self.sack_permitted {
            len += 4;
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        if !self.sack.is_empty() {
            len += 4 + 8 * self.sack.len() as u32;
        }
        if let Some(cookie) = &self.fast_open {
            len += cookie.encoded_len().next_multiple_of(4);
        }
        if let Some(ecn) = &self.ecn {
            len += ecn.room(self.spare());
        }
        len
    }

    /// So many bytes of padding before another option can be taken by one that needs them.
    pub(crate) fn spare(&self) -> u32 {
        if !self.sack.is_empty() || self.sack_permitted && self.timestamps.is_none() {
            2
        } else {
            self.window_scale.is_some().into()
        }
    }
}

/// How many bytes came with each of the three capable codepoints, as it travels (RFC 9768 §3.2.3): up to three counts of 24
/// bits, those that are left out being the last.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct EcnBytes {
    len: u8,
    ect1_first: bool,
    counts: [u32; EcnBytes::MOST as usize],
}

impl EcnBytes {
    /// The most counts that one can have.
    pub const MOST: u32 = 3;
    /// A count has so many bits.
    pub const BITS: u32 = 24;

    /// The first of `counts`, each without what does not fit; the codepoint of the first is ECT(1) or ECT(0), that of the second CE.
    pub fn new(counts: &[u32], ect1_first: bool) -> EcnBytes {
        let mut bytes = EcnBytes { len: counts.len().min(3) as u8, ect1_first, counts: [0; 3] };
        for (to, from) in bytes.counts.iter_mut().zip(counts) {
            *to = from & ((1 << EcnBytes::BITS) - 1);
        }
        bytes
    }

    /// What is counted, and its count.
    pub fn counts(&self) -> impl Iterator<Item = (Ecn, u32)> + '_ {
        let order = match self.ect1_first {
            true => [Ecn::Ect1, Ecn::Ce, Ecn::Ect0],
            false => [Ecn::Ect0, Ecn::Ce, Ecn::Ect1],
        };
        order.into_iter().zip(self.counts).take(self.len.into())
    }

    /// Whether the first count is that of ECT(1).
    pub fn is_ect1_first(&self) -> bool {
        self.ect1_first
    }

    /// Bytes of the option, without padding.
    pub fn encoded_len(&self) -> u32 {
        2 + 3 * u32::from(self.len)
    }

    /// Bytes that it takes in a header, padding included, where `spare` bytes of others' padding can be used.
    pub(crate) fn room(&self, spare: u32) -> u32 {
        let len = self.encoded_len();
        if len % 4 > spare { len.next_multiple_of(4) } else { len - len % 4 }
    }
}

impl fmt::Debug for EcnBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.counts()).finish()
    }
}

/// A Fast Open cookie as it travels (RFC 7413 §4.1.1); an empty one asks for another.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Cookie {
    len: u8,
    bytes: [u8; Cookie::LONGEST],
    /// In the experimental option that came before the one that IANA assigned (RFC 6994).
    pub experimental: bool,
}

impl Cookie {
    /// The most bytes that one can have, and the least.
    pub const LONGEST: usize = 16;
    const SHORTEST: usize = 4;
    /// Asks for a cookie.
    pub const REQUEST: Cookie = Cookie { len: 0, bytes: [0; Cookie::LONGEST], experimental: false };

    /// A cookie of these bytes, or a request if there are none; `None` if no cookie has so many.
    pub fn new(bytes: &[u8], experimental: bool) -> Option<Cookie> {
        let fits =
            matches!(bytes.len(), 0 | Cookie::SHORTEST..=Cookie::LONGEST) && bytes.len().is_multiple_of(2);
        let mut cookie = Cookie { len: bytes.len() as u8, experimental, ..Cookie::REQUEST };
        cookie.bytes.get_mut(..bytes.len()).filter(|_| fits)?.copy_from_slice(bytes);
        Some(cookie)
    }

    /// Its bytes, none for a request.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether it asks for a cookie.
    pub fn is_request(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the option, without padding.
    pub fn encoded_len(&self) -> u32 {
        u32::from(self.len) + if self.experimental { 4 } else { 2 }
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.experimental { "experimental " } else { "" })?;
        if self.is_request() {
            return f.write_str("request");
        }
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What signs the segments of a connection (RFC 2385 §2.0): 1 to 80 bytes that both ends know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    len: u8,
    bytes: [u8; Key::LONGEST],
}

impl Key {
    /// The most bytes that one can have, as with Linux' `TCP_MD5SIG`.
    pub const LONGEST: usize = 80;

    /// A key of these bytes; `None` if they are none, or more than 80.
    pub fn new(bytes: &[u8]) -> Option<Key> {
        let mut key = Key { len: bytes.len() as u8, bytes: [0; Key::LONGEST] };
        key.bytes.get_mut(..bytes.len()).filter(|to| !to.is_empty())?.copy_from_slice(bytes);
        Some(key)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Without its bytes: they are a secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key of {} bytes", self.len)
    }
}

/// TSval and TSecr (RFC 7323 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the peer's clock as last seen.
    pub echo: u32,
}

/// Up to four blocks of received data beyond the acknowledgment, most recent first.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SackBlocks {
    len: u8,
    blocks: [(Seq, Seq); 4],
}

impl SackBlocks {
    /// No block.
    pub const NONE: SackBlocks = SackBlocks { len: 0, blocks: [(Seq(0), Seq(0)); 4] };

    /// Appends `start..end`; false when four blocks are there already.
    pub fn push(&mut self, start: Seq, end: Seq) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.len)) else { return false };
        *slot = (start, end);
        self.len += 1;
        true
    }

    /// The blocks as `(start, end)`, end exclusive.
    pub fn as_slice(&self) -> &[(Seq, Seq)] {
        &self.blocks[..usize::from(self.len)]
    }

    /// How many blocks there are, 0 to 4.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts the blocks in the order of their numbers.
    pub fn sort(&mut self) {
        self.blocks[..usize::from(self.len)].sort_unstable_by(|a, b| a.0.delta(b.0).cmp(&0));
    }

    /// Keeps the first `n` blocks.
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n as u8);
        for b in &mut self.blocks[usize::from(self.len)..] {
            *b = (Seq(0), Seq(0));
        }
    }
}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// The ECN field of the IP header (RFC 3168 §5).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Ecn {
    /// Not ECN-capable.
    #[default]
    NotEct,
    /// ECN-capable, codepoint 1.
    Ect1,
    /// ECN-capable, codepoint 0.
    Ect0,
    /// Congestion experienced.
    Ce,
}

/// A segment that arrived, with its payload.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The header.
    pub seg: &'a Segment,
    /// The payload; `payload.len() == seg.len`.
    pub payload: &'a [u8],
    /// How many segments of the wire it stands for: 1, or more when receive offload merged them.
    pub segments: u16,
    /// The ECN field of its packet.
    pub ecn: Ecn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syn_and_fin_occupy_sequence_space() {
        let seg =
            Segment { seq: Seq(u32::MAX), flags: Flags::SYN | Flags::FIN, len: 3, ..Segment::default() };
        assert_eq!(seg.seq_len(), 5);
        assert_eq!(seg.end(), Seq(4));
    }

    #[test]
    fn flags_read_like_tcpdump() {
        assert_eq!((Flags::SYN | Flags::ACK).to_string(), "S.");
        assert_eq!((Flags::FIN | Flags::PSH | Flags::ACK).to_string(), "FP.");
        assert_eq!(Flags::NONE.to_string(), "none");
    }

    #[test]
    fn a_fifth_sack_block_is_refused() {
        let mut blocks = SackBlocks::NONE;
        assert!((0..4).all(|n| blocks.push(Seq(n), Seq(n + 1))));
        assert!(!blocks.push(Seq(9), Seq(10)));
        blocks.truncate(2);
        assert_eq!(blocks.as_slice(), [(Seq(0), Seq(1)), (Seq(1), Seq(2))]);
    }
}

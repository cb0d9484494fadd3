//! What do the fragments of a packet hold together?

use super::decode::Carried;
use crate::time::Duration;
use std::collections::VecDeque;
use std::net::IpAddr;

/// Packets whose fragments are waited for at a time; the oldest gives way.
const OPEN: usize = 64;
/// Fragments of one packet.
const PIECES: usize = 128;
/// How long the others are waited for (RFC 8200 §4.5: 60 s; most have 30 s).
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that a packet can hold.
const LARGEST: usize = 65_535;

/// A part of a packet.
pub(super) struct Fragment<'a> {
    /// Its `len` is that of this part.
    pub carried: Carried,
    pub id: u32,
    /// Where it belongs, in bytes.
    pub offset: usize,
    /// It is not the last one.
    pub more: bool,
    /// What was captured of it.
    pub bytes: &'a [u8],
}

/// A packet of which fragments are missing.
struct Open {
    key: (IpAddr, IpAddr, u32, u8),
    at: Duration,
    bytes: Vec<u8>,
    /// What has come, and how much of each part was captured: from, length, captured.
    pieces: Vec<(usize, usize, usize)>,
    /// Known from the last fragment on.
    len: Option<usize>,
}

/// Fragments that wait for others.
#[derive(Default)]
pub(super) struct Fragments(VecDeque<Open>);

impl Fragments {
    /// Takes a fragment; with the last one that was missing, what the packet carries, as far as it was captured from its
    /// beginning on without a hole. Fragments that overlap others are left out (RFC 5722).
    pub fn add(&mut self, at: Duration, fragment: &Fragment<'_>) -> Option<(Carried, Vec<u8>)> {
        let Carried { source, destination, protocol, len, ident: _, hops: _, network: _, tunnels: _ } =
            fragment.carried;
        let key = (source, destination, fragment.id, protocol);
        let end = fragment.offset + len;
        if len == 0 || end > LARGEST {
            return None;
        }
        self.0.retain(|open| at.saturating_sub(open.at) < PATIENCE);
        let n = match self.0.iter().position(|open| open.key == key) {
            Some(n) => n,
            None => {
                if self.0.len() == OPEN {
                    self.0.pop_front();
                }
                self.0.push_back(Open { key, at, bytes: Vec::new(), pieces: Vec::new(), len: None });
                self.0.len() - 1
            }
        };
        let open = &mut self.0[n];
        let overlaps = |&(from, len, _): &(usize, usize, usize)| from < end && fragment.offset < from + len;
        if open.pieces.len() == PIECES
            || open.pieces.iter().any(overlaps)
            || open.len.is_some_and(|len| end > len)
        {
            return None;
        }
        let captured = fragment.bytes.len().min(len);
        if open.bytes.len() < fragment.offset + captured {
            open.bytes.resize(fragment.offset + captured, 0);
        }
        open.bytes[fragment.offset..fragment.offset + captured].copy_from_slice(&fragment.bytes[..captured]);
        open.pieces.push((fragment.offset, len, captured));
        if !fragment.more {
            open.len = Some(end);
        }
        let have: usize = open.pieces.iter().map(|piece| piece.1).sum();
        if open.len != Some(have) {
            return None;
        }
        let mut open = self.0.remove(n)?;
        open.pieces.sort_unstable();
        let mut known = 0;
        for (from, len, captured) in open.pieces {
            known = from + captured;
            if captured < len {
                break;
            }
        }
        open.bytes.truncate(known);
        Some((Carried { len: have, ..fragment.carried }, open.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(id: u32, offset: usize, len: usize, more: bool, captured: usize) -> (usize, Fragment<'static>) {
        static BYTES: [u8; 64] = [7; 64];
        let ip = |n| IpAddr::from([10, 0, 0, n]);
        let carried = Carried {
            source: ip(1),
            destination: ip(2),
            protocol: 6,
            ident: None,
            hops: 64,
            network: 0,
            tunnels: 0,
            len,
        };
        (0, Fragment { carried, id, offset, more, bytes: &BYTES[..captured] })
    }

    fn add(fragments: &mut Fragments, at: u64, piece: (usize, Fragment<'_>)) -> Option<(usize, usize)> {
        let whole = fragments.add(Duration::from_secs(at), &piece.1)?;
        Some((whole.0.len, whole.1.len()))
    }

    #[test]
    fn fragments_in_any_order_make_the_packet() {
        let mut all = Fragments::default();
        assert_eq!(add(&mut all, 0, piece(1, 32, 10, false, 10)), None);
        assert_eq!(add(&mut all, 0, piece(2, 0, 16, true, 16)), None, "another packet's");
        assert_eq!(add(&mut all, 0, piece(1, 0, 16, true, 16)), None);
        assert_eq!(add(&mut all, 0, piece(1, 8, 16, true, 16)), None, "it overlaps");
        assert_eq!(add(&mut all, 1, piece(1, 16, 16, true, 16)), Some((42, 42)));
        assert_eq!(add(&mut all, 2, piece(2, 16, 16, false, 4)), Some((32, 20)), "the end was not captured");
        assert!(all.0.is_empty());
    }

    #[test]
    fn what_never_becomes_whole_is_forgotten_and_bounded() {
        let mut all = Fragments::default();
        for id in 0..1000 {
            assert_eq!(add(&mut all, 0, piece(id, 8, 8, true, 8)), None);
        }
        assert_eq!(all.0.len(), OPEN);
        assert_eq!(add(&mut all, 31, piece(5000, 65_528, 8, true, 8)), None, "beyond what a packet can hold");
        assert_eq!(add(&mut all, 31, piece(5000, 8, 8, true, 8)), None);
        assert_eq!(all.0.len(), 1, "the others are too old");
        assert_eq!(add(&mut all, 62, piece(5000, 0, 8, false, 8)), Some((8, 8)), "begun anew");
    }
}

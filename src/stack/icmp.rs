//! Does an ICMP message speak of one of our segments?

use super::addrs::Flow;
use crate::seq::Seq;
use crate::stream::StreamError;
use crate::time::{Duration, Instant};
use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const ICMP: u8 = 1;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
const TCP: u8 = 6;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// An error about a segment that this stack seems to have sent. Anyone can make one up: the engine acts on it only
/// if `seq` is in flight (RFC 5927).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quoted {
    pub flow: Flow,
    pub seq: Seq,
    pub problem: Problem,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    /// It could not be delivered; `hard` if trying again is pointless.
    Unreachable { error: StreamError, hard: bool },
    /// A router knew no way for it.
    NoRoute { error: StreamError },
    /// It was too big; packets of so many bytes pass.
    TooBig(u16),
}

/// The flow of a datagram of ours that nobody listens for, if that is what an ICMP error with a right checksum says
/// (RFC 1122 §4.1.3.3). Anyone can make one up: the port has to be one that is in use.
pub(super) fn refused_datagram(protocol: u8, src: IpAddr, dst: IpAddr, body: &[u8]) -> Option<Flow> {
    let &[kind, code, ..] = body else { return None };
    match (protocol, kind, code) {
        (ICMP, 3, 2 | 3) | (ICMPV6, 1, 4) => Some(error(protocol, src, dst, body, UDP)?.0),
        _ => None,
    }
}

/// The flow and the sequence number of a packet of `wanted` that an ICMP error with a right checksum quotes.
fn error(protocol: u8, src: IpAddr, dst: IpAddr, body: &[u8], wanted: u8) -> Option<(Flow, Seq)> {
    let quote = body.get(8..)?;
    match (protocol, src, dst) {
        (ICMP, IpAddr::V4(_), IpAddr::V4(_)) => {
            Icmpv4Packet::new_checked(body).ok().filter(|p| p.verify_checksum())?;
            quote_v4(quote, wanted)
        }
        (ICMPV6, IpAddr::V6(src), IpAddr::V6(dst)) => {
            Icmpv6Packet::new_checked(body).ok().filter(|p| p.verify_checksum(&src, &dst))?;
            quote_v6(quote, wanted)
        }
        _ => None,
    }
}

/// Reads an ICMP error with a right checksum that quotes a TCP segment; None is anything else, source quench included
/// (RFC 9293 §3.9.2.2, MUST-55).
pub(super) fn quoted(protocol: u8, src: IpAddr, dst: IpAddr, body: &[u8]) -> Option<Quoted> {
    let &[kind, code, _, _, a, b, c, d, ..] = body else { return None };
    let rest = [a, b, c, d];
    let (flow, seq) = error(protocol, src, dst, body, TCP)?;
    let hard = |error| Problem::Unreachable { error, hard: true };
    let problem = match (protocol, kind, code) {
        // RFC 1191 §4; RFC 8201 §4. An old router leaves the field empty: the least that is believed (RFC 1191 §5).
        (ICMP, 3, 4) => Problem::TooBig(u16::from_be_bytes([rest[2], rest[3]])),
        (ICMPV6, 2, _) => Problem::TooBig(u16::try_from(u32::from_be_bytes(rest)).unwrap_or(u16::MAX)),
        // Every "unreachable" ends a connection attempt, as on Linux (RFC 5461 §4.1): whoever waits for `connect`
        // wants to know at once. A loop of routes may be gone with the next try.
        (ICMP, 3, 0) | (ICMPV6, 1, 0) => Problem::NoRoute { error: StreamError::NetworkUnreachable },
        (ICMP, 3, 1) => Problem::NoRoute { error: StreamError::HostUnreachable },
        (ICMP, 3, 2) => hard(StreamError::ProtocolUnreachable),
        (ICMP, 3, 3) | (ICMPV6, 1, 4) => hard(StreamError::ConnectionRefused),
        (ICMP, 3, 6 | 9 | 11) => hard(StreamError::NetworkUnreachable),
        (ICMP, 3, _) | (ICMPV6, 1, _) => hard(StreamError::HostUnreachable),
        (ICMP, 11, _) | (ICMPV6, 3, _) => {
            Problem::Unreachable { error: StreamError::HostUnreachable, hard: false }
        }
        _ => return None,
    };
    Some(Quoted { flow, seq, problem })
}

/// The flow and the sequence number of the packet quoted: 8 bytes of TCP, or UDP, are always there.
fn quote_v4(quote: &[u8], wanted: u8) -> Option<(Flow, Seq)> {
    let header = usize::from(quote.first()? & 0x0f) * 4;
    let tcp = quote.get(header..header + 8)?;
    let first_fragment = u16::from_be_bytes([quote[6], quote[7]]) & 0x1fff == 0;
    if quote[0] >> 4 != 4 || header < 20 || quote[9] != wanted || !first_fragment {
        return None;
    }
    let ip = |at: usize| IpAddr::V4(Ipv4Addr::new(quote[at], quote[at + 1], quote[at + 2], quote[at + 3]));
    segment(ip(12), ip(16), tcp)
}

fn quote_v6(quote: &[u8], wanted: u8) -> Option<(Flow, Seq)> {
    let (mut next, mut at) = (*quote.get(6)?, 40);
    // Extension headers of a few kinds may lie between (RFC 8200 §4); only a first fragment has a TCP header.
    for _ in 0..8 {
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => (usize::from(*quote.get(at + 1)?) + 1) * 8,
            FRAGMENT if u16::from_be_bytes([*quote.get(at + 2)?, *quote.get(at + 3)?]) & 0xfff8 == 0 => 8,
            _ => break,
        };
        (next, at) = (*quote.get(at)?, at + length);
    }
    let tcp = quote.get(at..at + 8)?;
    if quote[0] >> 4 != 6 || next != wanted {
        return None;
    }
    let ip = |at: usize| quote[at..at + 16].try_into().ok().map(|o: [u8; 16]| IpAddr::V6(Ipv6Addr::from(o)));
    segment(ip(8)?, ip(24)?, tcp)
}

fn segment(src: IpAddr, dst: IpAddr, tcp: &[u8]) -> Option<(Flow, Seq)> {
    let &[s0, s1, d0, d1, q0, q1, q2, q3, ..] = tcp else { return None };
    let local = SocketAddr::new(src, u16::from_be_bytes([s0, s1]));
    let remote = SocketAddr::new(dst, u16::from_be_bytes([d0, d1]));
    Some((Flow::new(local, remote), Seq(u32::from_be_bytes([q0, q1, q2, q3]))))
}

/// A limit on the ICMP errors sent (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)), Linux' numbers: 1,000 a second, 50 at once.
#[derive(Default)]
pub(super) struct ErrorLimit {
    /// When the last of the errors allowed so far would have been sent, one per millisecond.
    spent_until: Instant,
}

impl ErrorLimit {
    const EVERY: Duration = Duration::from_millis(1);
    const AT_ONCE: u32 = 50;

    /// Whether one more may be sent now; if so, it counts.
    pub fn take(&mut self, now: Instant) -> bool {
        let spent = self.spent_until.max(now) + Self::EVERY;
        let allowed = spent <= now + Self::EVERY * Self::AT_ONCE;
        if allowed {
            self.spent_until = spent;
        }
        allowed
    }
}

/// The trace's word and sentence for a packet that is not TCP.
pub(super) fn describe(protocol: u8, body: &[u8]) -> (&'static str, String) {
    let kind = body.first().copied();
    let said = match (protocol, kind) {
        (ICMP, Some(0)) | (ICMPV6, Some(129)) => "echo reply".into(),
        (ICMP, Some(8)) | (ICMPV6, Some(128)) => "echo request".into(),
        (ICMP, Some(3)) | (ICMPV6, Some(1)) => {
            format!("destination unreachable, code {}", body.get(1).copied().unwrap_or(0))
        }
        (ICMP, Some(11)) | (ICMPV6, Some(3)) => "time exceeded".into(),
        (ICMPV6, Some(2)) => "packet too big".into(),
        (ICMPV6, Some(133)) => "router solicitation".into(),
        (ICMPV6, Some(134)) => "router advertisement".into(),
        (ICMPV6, Some(135)) => "neighbour solicitation".into(),
        (ICMPV6, Some(136)) => "neighbour advertisement".into(),
        (ICMP | ICMPV6, Some(kind)) => format!("ICMP type {kind}"),
        (ICMP | ICMPV6, None) => "ICMP without a header".into(),
        (UDP, _) => match *body {
            [a, b, c, d, ..] => {
                let (src, dst) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                match (src, dst) {
                    (53, _) => return ("dns", format!("answer of a name server to port {dst}")),
                    (_, 53) => return ("dns", format!("question to a name server from port {src}")),
                    _ => format!("datagram from port {src} to port {dst}"),
                }
            }
            _ => "datagram without a header".into(),
        },
        _ => format!("protocol {protocol}"),
    };
    (if protocol == UDP { "udp" } else { "icmp" }, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    /// An ICMP error that quotes a segment from `US:4000` to `PEER:80` with number 7, 1500 bytes long.
    fn error(kind: u8, code: u8, rest: [u8; 4]) -> Vec<u8> {
        let mut body = vec![kind, code, 0, 0];
        body.extend(rest);
        body.extend([0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, TCP, 0, 0]);
        body.extend(US.octets());
        body.extend(PEER.octets());
        body.extend([0x0f, 0xa0, 0, 80, 0, 0, 0, 7]);
        Icmpv4Packet::new_unchecked(&mut body).fill_checksum();
        body
    }

    fn read(body: &[u8]) -> Option<Quoted> {
        quoted(ICMP, PEER.into(), US.into(), body)
    }

    #[test]
    fn errors_say_which_segment_and_what_was_wrong() {
        use StreamError::*;
        let hard = |error| Problem::Unreachable { error, hard: true };
        let flow = Flow::new((US, 4000).into(), (PEER, 80).into());
        for (sentence, kind, code, rest, problem) in [
            ("network", 3, 0, [0; 4], Problem::NoRoute { error: NetworkUnreachable }),
            ("host", 3, 1, [0; 4], Problem::NoRoute { error: HostUnreachable }),
            ("protocol", 3, 2, [0; 4], hard(ProtocolUnreachable)),
            ("port", 3, 3, [0; 4], hard(ConnectionRefused)),
            ("administrator", 3, 13, [0; 4], hard(HostUnreachable)),
            ("time exceeded", 11, 0, [0; 4], Problem::Unreachable { error: HostUnreachable, hard: false }),
            ("too big", 3, 4, [0, 0, 0x05, 0x78], Problem::TooBig(1400)),
            ("too big for an old router", 3, 4, [0; 4], Problem::TooBig(0)),
        ] {
            assert_eq!(
                read(&error(kind, code, rest)),
                Some(Quoted { flow, seq: Seq(7), problem }),
                "{sentence}"
            );
        }
        assert_eq!(read(&error(8, 0, [0; 4])), None, "an echo request is no error");
    }

    #[test]
    fn an_error_with_a_wrong_checksum_or_cut_short_is_none() {
        let whole = error(3, 1, [0; 4]);
        let mut wrong = whole.clone();
        wrong[2] ^= 1;
        assert_eq!(read(&wrong), None);
        for len in 0..whole.len() {
            let mut short = whole[..len].to_vec();
            if len >= 8 {
                Icmpv4Packet::new_unchecked(&mut short).fill_checksum();
            }
            assert_eq!(read(&short), None, "{len} bytes");
        }
    }

    #[test]
    fn errors_are_sent_fifty_at_once_and_a_thousand_a_second() {
        let mut limit = ErrorLimit::default();
        let start = Instant::from_millis(5_000);
        assert_eq!((0..200).filter(|_| limit.take(start)).count(), 50);
        let later = (1..=2000).filter(|n| limit.take(start + *n * Duration::from_micros(500))).count();
        assert_eq!(later, 1000);
    }

    #[test]
    fn an_ipv6_error_is_read_too() {
        let (us, peer): (Ipv6Addr, Ipv6Addr) = ("fd77::2".parse().unwrap(), "fd77::1".parse().unwrap());
        let mut body = vec![2, 0, 0, 0, 0, 0, 0x05, 0x00];
        body.extend([0x60, 0, 0, 0, 0x05, 0xb4, TCP, 64]);
        body.extend(us.octets());
        body.extend(peer.octets());
        body.extend([0x0f, 0xa0, 0, 80, 0, 0, 0, 7]);
        Icmpv6Packet::new_unchecked(&mut body).fill_checksum(&peer, &us);
        let flow = Flow::new((us, 4000).into(), (peer, 80).into());
        let expected = Quoted { flow, seq: Seq(7), problem: Problem::TooBig(1280) };
        assert_eq!(quoted(ICMPV6, peer.into(), us.into(), &body), Some(expected));
        assert_eq!(quoted(ICMP, peer.into(), us.into(), &body), None);
        // Behind a hop-by-hop header and a first fragment's.
        for (offset, expected) in [(0, Some(expected)), (8, None)] {
            let mut body = body.clone();
            body[8 + 6] = HOP_BY_HOP;
            body.splice(48..48, [FRAGMENT, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 0, offset | 1, 0, 0, 0, 9]);
            Icmpv6Packet::new_unchecked(&mut body).fill_checksum(&peer, &us);
            assert_eq!(quoted(ICMPV6, peer.into(), us.into(), &body), expected);
            for len in 9..body.len() {
                let mut short = body[..len].to_vec();
                Icmpv6Packet::new_unchecked(&mut short).fill_checksum(&peer, &us);
                assert_eq!(quoted(ICMPV6, peer.into(), us.into(), &short), None, "{len} bytes");
            }
        }
    }
}

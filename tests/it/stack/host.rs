//! What is not TCP: pings, ICMP errors, datagrams, name servers.

use super::lan::*;
use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, UdpPacket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tcpglass::stack::{Ready, ResolveError};
use tcpglass::stream::StreamError;
use tcpglass::tcp::{CloseReason, Event};
use tcpglass::time::Duration;

/// An IP packet with an upper-layer payload whose checksum `fill` sets.
pub fn ip_packet(src: &str, dst: &str, protocol: u8, mut body: Vec<u8>) -> Vec<u8> {
    let protocol = IpProtocol::from(protocol);
    match (src.parse::<IpAddr>().unwrap(), dst.parse::<IpAddr>().unwrap()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            match protocol {
                IpProtocol::Icmp => Icmpv4Packet::new_unchecked(&mut body).fill_checksum(),
                IpProtocol::Udp => {
                    // One that lies about its length has no right checksum.
                    if let Ok(mut packet) = UdpPacket::new_checked(&mut body[..]) {
                        packet.fill_checksum(&IpAddress::Ipv4(src), &IpAddress::Ipv4(dst));
                    }
                }
                _ => {}
            }
            let mut frame = vec![0; 20];
            frame.extend(body);
            let len = frame.len() as u16;
            let mut packet = Ipv4Packet::new_unchecked(&mut frame);
            packet.set_version(4);
            packet.set_header_len(20);
            packet.set_total_len(len);
            packet.set_hop_limit(64);
            packet.set_next_header(protocol);
            packet.set_src_addr(src);
            packet.set_dst_addr(dst);
            packet.fill_checksum();
            frame
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            if protocol == IpProtocol::Icmpv6 {
                Icmpv6Packet::new_unchecked(&mut body).fill_checksum(&src, &dst);
            }
            let mut frame = vec![0; 40];
            let len = body.len() as u16;
            frame.extend(body);
            let mut packet = Ipv6Packet::new_unchecked(&mut frame);
            packet.set_version(6);
            packet.set_payload_len(len);
            packet.set_hop_limit(64);
            packet.set_next_header(protocol);
            packet.set_src_addr(src);
            packet.set_dst_addr(dst);
            frame
        }
        _ => panic!("two families"),
    }
}

fn datagram(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    for field in [src_port, dst_port, 8 + payload.len() as u16, 0] {
        body.extend(field.to_be_bytes());
    }
    body.extend(payload);
    body
}

#[test]
fn pings_are_answered_for_both_families_and_for_own_addresses_only() {
    for (src, dst, protocol, request, reply) in [(A4, B4, 1, 8, 0), (A6, B6, 58, 128, 129)] {
        let mut lan = Lan::new();
        let body = |kind| [&[kind, 0, 0, 0, 0x12, 0x34, 0, 1][..], b"abcdefgh"].concat();
        lan.b.stack.on_frame(lan.now, &ip_packet(src, dst, protocol, body(request)));
        assert_eq!(
            lan.b.sent(lan.now),
            [ip_packet(dst, src, protocol, body(reply))].map(|frame| with_df_like(&frame)),
            "{dst}"
        );
        assert_eq!(lan.b.lines.take(), ["in icmp: echo request", "out icmp: echo reply"]);
        let other = if protocol == 1 { "10.0.0.255" } else { "ff02::1" };
        lan.b.stack.on_frame(lan.now, &ip_packet(src, other, protocol, body(request)));
        assert_eq!(lan.b.sent(lan.now), [] as [Vec<u8>; 0]);
        assert_eq!(lan.b.lines.take(), ["in drop-not-for-us"]);
    }
}

/// smoltcp sets DF on what it sends over IPv4.
fn with_df_like(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[0] >> 4 == 4 {
        let mut packet = Ipv4Packet::new_unchecked(&mut frame);
        packet.set_dont_frag(true);
        packet.fill_checksum();
    }
    frame
}

#[test]
fn a_ping_too_large_for_the_link_comes_back_in_fragments() {
    let mut lan = Lan::new();
    let body = [&[8, 0, 0, 0, 0, 0, 0, 1][..], &[7; 20_000]].concat();
    let whole = ip_packet(A4, B4, 1, body);
    for (n, piece) in whole[20..].chunks(1480).enumerate() {
        let mut fragment = [&whole[..20], piece].concat();
        let len = fragment.len() as u16;
        let mut packet = Ipv4Packet::new_unchecked(&mut fragment);
        packet.set_total_len(len);
        packet.set_frag_offset((n * 1480) as u16);
        packet.set_more_frags(piece.len() == 1480);
        packet.fill_checksum();
        lan.b.stack.on_frame(lan.now, &fragment);
    }
    let sent = lan.b.sent(lan.now);
    assert_eq!(sent.iter().map(|frame| frame.len() - 20).sum::<usize>(), 20_008);
    assert!(sent.len() == 14 && sent.iter().all(|frame| frame.len() <= 1500));
}

#[test]
fn a_datagram_that_nobody_waits_for_is_unreachable() {
    let mut lan = Lan::new();
    lan.b.stack.on_frame(lan.now, &ip_packet(A4, B4, 17, datagram(5000, 6000, b"hello")));
    let sent = lan.b.sent(lan.now);
    let answer = Ipv4Packet::new_checked(&sent[0]).unwrap();
    let icmp = Icmpv4Packet::new_checked(answer.payload()).unwrap();
    assert_eq!(
        (answer.dst_addr().to_string(), u8::from(icmp.msg_type()), icmp.msg_code()),
        (A4.into(), 3, 3)
    );
    assert_eq!(
        lan.b.lines.take(),
        ["in udp: datagram from port 5000 to port 6000", "out icmp: destination unreachable, code 3"]
    );
    lan.b.stack.on_frame(lan.now, &ip_packet(A4, B4, 132, vec![0; 12]));
    assert_eq!(lan.b.lines.take(), ["in drop-unhandled"]);
    assert_eq!(lan.b.sent(lan.now).len(), 1, "protocol unreachable");
}

#[test]
fn what_claims_to_come_from_ourselves_is_not_answered() {
    let mut lan = Lan::new();
    for (protocol, body) in
        [(17, datagram(5000, 6000, b"hello")), (132, vec![0; 12]), (1, vec![8, 0, 0xf7, 0xff, 0, 0, 0, 0])]
    {
        lan.b.stack.on_frame(lan.now, &ip_packet(B4, B4, protocol, body));
        assert_eq!(lan.b.lines.take(), ["in drop-malformed"], "protocol {protocol}");
    }
    assert_eq!(lan.b.sent(lan.now), [] as [Vec<u8>; 0]);
}

#[test]
fn a_flood_of_datagrams_is_not_answered_by_a_flood_of_errors() {
    let mut lan = Lan::new();
    for _ in 0..100 {
        lan.b.stack.on_frame(lan.now, &ip_packet(A4, B4, 17, datagram(5000, 6000, b"hello")));
    }
    assert_eq!(lan.b.sent(lan.now).len(), 50);
    assert_eq!(lan.b.lines.count("in drop-unhandled"), 50);
}

/// The ICMP error that a router at `A4` sends about `frame`.
fn icmp_about(frame: &[u8], kind: u8, code: u8, rest: [u8; 4]) -> Vec<u8> {
    let body = [&[kind, code, 0, 0][..], &rest, &frame[..28]].concat();
    ip_packet(A4, B4, 1, body)
}

#[test]
fn an_unreachable_host_ends_a_connection_attempt_but_no_connection() {
    let mut lan = Lan::new();
    let attempt = lan.b.stack.connect(lan.now, addr("192.0.2.1", 80), None, None, OWNER).unwrap();
    let syn = lan.b.sent(lan.now);
    let mut forged = syn[0].clone();
    forged[24] ^= 1; // a number that is not in flight
    lan.b.stack.on_frame(lan.now, &icmp_about(&forged, 3, 1, [0; 4]));
    assert_eq!(lan.b.events(), []);
    lan.b.stack.on_frame(lan.now, &icmp_about(&syn[0], 3, 1, [0; 4]));
    assert!(lan.b.events().contains(&Ready::Conn(attempt, Event::Closed(CloseReason::Unreachable))));
    assert_eq!(lan.b.stack.conn(attempt).unwrap().error(), Some(StreamError::HostUnreachable));

    let (_, _, server) = lan.connected();
    write(&mut lan.b.stack, lan.now, server, b"data");
    let data = lan.b.sent(lan.now);
    lan.b.stack.on_frame(lan.now, &icmp_about(&data[0], 3, 1, [0; 4]));
    let conn = lan.b.stack.conn(server).unwrap();
    assert_eq!((conn.error(), conn.soft_error()), (None, Some(StreamError::HostUnreachable)));
    lan.b.stack.on_frame(lan.now, &icmp_about(&syn[0], 3, 1, [0; 4]));
    assert!(lan.b.lines.all().last().unwrap().contains("no such connection"));
}

#[test]
fn a_router_that_wants_smaller_packets_gets_them() {
    let mut lan = Lan::new();
    let (_, _, server) = lan.connected();
    write(&mut lan.b.stack, lan.now, server, &[7; 3000]);
    let first = lan.b.sent(lan.now);
    assert!(first.iter().any(|frame| frame.len() == 1500));
    lan.b.stack.on_frame(lan.now, &icmp_about(&first[0], 3, 4, [0, 0, 0x03, 0xe8]));
    let again = lan.b.sent(lan.now);
    assert!(!again.is_empty() && again.iter().all(|frame| frame.len() <= 1000), "1000 bytes pass");
}

/// A name server's answer to `query`: `answers` are type and address.
fn answer(query: &[u8], code: u8, answers: &[(u16, &[u8])]) -> Vec<u8> {
    let packet = Ipv4Packet::new_checked(query).unwrap();
    let udp = UdpPacket::new_checked(packet.payload()).unwrap();
    let mut dns = udp.payload().to_vec();
    dns[2] |= 0x80;
    dns[3] = 0x80 | code;
    dns[7] = answers.len() as u8;
    for (kind, address) in answers {
        dns.extend([0xc0, 12]);
        dns.extend(kind.to_be_bytes());
        dns.extend([0, 1, 0, 0, 0, 60]);
        dns.extend((address.len() as u16).to_be_bytes());
        dns.extend(*address);
    }
    ip_packet(B4, A4, 17, datagram(53, udp.src_port(), &dns))
}

/// The type that is asked for: the last four bytes are type and class.
fn asked(query: &[u8]) -> u16 {
    u16::from_be_bytes([query[query.len() - 4], query[query.len() - 3]])
}

#[test]
fn names_are_resolved_to_both_families() {
    let mut lan = Lan::with(|c| c.dns = vec![B4.parse().unwrap()]);
    let query = lan.a.stack.resolve(lan.now, "example.test", OWNER).unwrap();
    assert_eq!(lan.a.stack.resolved(query), None);
    let questions = lan.a.sent(lan.now);
    assert_eq!(questions.iter().map(|q| asked(q)).collect::<Vec<_>>(), [1, 28]);
    let four = Ipv4Addr::new(192, 0, 2, 7);
    let six: Ipv6Addr = "2001:db8::7".parse().unwrap();
    lan.a.stack.on_frame(lan.now, &answer(&questions[0], 0, &[(1, &four.octets()), (1, &[192, 0, 2, 8])]));
    assert_eq!(lan.a.events(), []);
    lan.a.stack.on_frame(lan.now, &answer(&questions[1], 0, &[(28, &six.octets())]));
    assert_eq!(lan.a.events(), [Ready::Resolved(query)]);
    let found = lan.a.stack.resolved(query).unwrap().unwrap();
    assert_eq!(found, [IpAddr::V4(four), Ipv4Addr::new(192, 0, 2, 8).into(), six.into()]);
    assert_eq!(lan.a.stack.resolved(query), None, "once");
    assert!(lan.a.lines.all()[0].starts_with("out dns: question to a name server"));
}

#[test]
fn names_without_an_address_say_why() {
    let mut lan = Lan::with(|c| c.dns = vec![B4.parse().unwrap()]);
    let query = lan.a.stack.resolve(lan.now, "nobody.test", OWNER).unwrap();
    for question in lan.a.sent(lan.now) {
        lan.a.stack.on_frame(lan.now, &answer(&question, 3, &[]));
    }
    assert_eq!(lan.a.stack.resolved(query), Some(Err(ResolveError::NotFound)));
    // One family is enough.
    let query = lan.a.stack.resolve(lan.now, "four.test", OWNER).unwrap();
    let questions = lan.a.sent(lan.now);
    lan.a.stack.on_frame(lan.now, &answer(&questions[0], 0, &[(1, &[192, 0, 2, 9])]));
    lan.a.stack.on_frame(lan.now, &answer(&questions[1], 3, &[]));
    assert_eq!(lan.a.stack.resolved(query), Some(Ok(vec![Ipv4Addr::new(192, 0, 2, 9).into()])));

    let query = lan.a.stack.resolve(lan.now, "silence.test", OWNER).unwrap();
    lan.a.events();
    let mut asked = 0;
    let end = lan.now + Duration::from_secs(60);
    while let Some(at) = lan.a.stack.next_deadline().filter(|&at| at <= end) {
        lan.now = lan.now.max(at);
        lan.a.stack.on_timeout(lan.now);
        asked += lan.a.sent(lan.now).len();
    }
    assert!(asked > 2, "questions are repeated");
    assert_eq!(lan.a.events(), [Ready::Resolved(query)]);
    assert_eq!(lan.a.stack.resolved(query), Some(Err(ResolveError::TimedOut)));

    assert_eq!(lan.a.stack.resolve(lan.now, "", OWNER), Err(ResolveError::InvalidName));
    assert_eq!(lan.a.stack.resolve(lan.now, "a..b", OWNER), Err(ResolveError::InvalidName));
    assert_eq!(lan.a.stack.resolve(lan.now, &"x".repeat(300), OWNER), Err(ResolveError::InvalidName));
    let mut bare = Lan::new();
    assert_eq!(bare.a.stack.resolve(lan.now, "x.test", OWNER), Err(ResolveError::NoServer));
    let literal = bare.a.stack.resolve(lan.now, "[fd00::1]", OWNER).unwrap();
    assert_eq!(bare.a.events(), [Ready::Resolved(literal)]);
    assert_eq!(bare.a.stack.resolved(literal), Some(Ok(vec![A6.parse().unwrap()])));
}

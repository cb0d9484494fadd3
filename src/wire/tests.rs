use super::options::{Item, Malformed};
use super::*;
use crate::dropped::DropReason;
use crate::segment::{Cookie, EcnBytes, Flags, Options, SackBlocks, Timestamps};
use crate::seq::Seq;
use proptest::prelude::*;

fn envelope(v6: bool) -> Envelope {
    let (src, dst) = match v6 {
        false => ("10.77.0.2:80", "10.77.0.1:40000"),
        true => ("[fd77::2]:80", "[fd77::1]:40000"),
    };
    let ident = if v6 { 0 } else { 0xabcd };
    Envelope {
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        ecn: Ecn::Ect0,
        dscp: 46,
        ident,
        hops: 64,
    }
}

fn encoded(envelope: &Envelope, seg: &Segment, payload: &[u8]) -> Vec<u8> {
    let mut buf = vec![0xee; encoded_len(envelope, seg)];
    let (a, b) = payload.split_at(payload.len() / 3);
    encode(&mut buf, envelope, seg, [a, b]);
    buf
}

fn tcp(frame: &[u8]) -> Packet<'_> {
    match decode(frame, true) {
        Ok(Decoded::Tcp(packet)) => packet,
        other => panic!("no TCP packet: {other:?}"),
    }
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    let ports = (any::<u16>(), any::<u16>());
    (any::<bool>(), any::<[u8; 16]>(), any::<[u8; 16]>(), ports, any::<u8>(), any::<u16>(), any::<u8>())
        .prop_map(|(v6, a, b, ports, class, ident, hops)| {
            let ip = |x: [u8; 16]| match v6 {
                true => IpAddr::from(x),
                false => IpAddr::from([x[0], x[1], x[2], x[3]]),
            };
            Envelope {
                src: SocketAddr::new(ip(a), ports.0),
                dst: SocketAddr::new(ip(b), ports.1),
                ecn: ecn_from_bits(class),
                dscp: class >> 2,
                ident: if v6 { 0 } else { ident },
                hops,
            }
        })
}

fn any_options() -> impl Strategy<Value = Options> {
    (
        proptest::option::of(any::<u16>()),
        proptest::option::of(any::<u8>()),
        any::<bool>(),
        proptest::option::of((any::<u32>(), any::<u32>())),
        proptest::collection::vec((any::<u32>(), any::<u32>()), 0..=4),
        proptest::option::of((proptest::collection::vec(any::<u8>(), 0..=16), any::<bool>())),
        proptest::option::of((proptest::collection::vec(0..1u32 << 24, 0..=3), any::<bool>())),
    )
        .prop_map(|(mss, window_scale, sack_permitted, ts, blocks, cookie, counts)| {
            let mut sack = SackBlocks::NONE;
            for (start, end) in blocks {
                sack.push(Seq(start), Seq(end));
            }
            let timestamps = ts.map(|(value, echo)| Timestamps { value, echo });
            let fast_open = cookie.and_then(|(bytes, experimental)| Cookie::new(&bytes, experimental));
            // Beside a cookie there may be no room.
            let ecn =
                counts.filter(|_| fast_open.is_none()).map(|(counts, order)| EcnBytes::new(&counts, order));
            Options { mss, window_scale, sack_permitted, timestamps, sack, fast_open, signed: false, ecn }
        })
}

fn any_segment() -> impl Strategy<Value = (Segment, Vec<u8>)> {
    let payload = proptest::collection::vec(any::<u8>(), 0..100);
    (any::<[u32; 2]>(), 0..0x200u16, any::<[u16; 2]>(), any_options(), payload).prop_map(
        |([seq, ack], flags, [window, urgent], options, payload)| {
            let len = payload.len() as u32;
            let seg =
                Segment { seq: Seq(seq), ack: Seq(ack), flags: Flags(flags), window, urgent, options, len };
            (seg, payload)
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(envelope in any_envelope(), (seg, payload) in any_segment()) {
        let frame = encoded(&envelope, &seg, &payload);
        let packet = tcp(&frame);
        prop_assert_eq!(packet.envelope, envelope);
        prop_assert_eq!(packet.payload, &payload[..]);
        // Of the SACK blocks those that found room.
        let mut expected = seg;
        expected.options.sack.truncate(packet.seg.options.sack.len());
        prop_assert_eq!(packet.seg, expected);
        if seg.options.encoded_len() <= 40 {
            prop_assert_eq!(packet.seg, seg);
            prop_assert_eq!(packet.options.len() as u32, seg.options.encoded_len());
        }
    }

    #[test]
    fn another_parser_finds_the_packet_valid(envelope in any_envelope(), (seg, payload) in any_segment()) {
        let frame = encoded(&envelope, &seg, &payload);
        let sliced = etherparse::SlicedPacket::from_ip(&frame).unwrap();
        let Some(etherparse::TransportSlice::Tcp(theirs)) = &sliced.transport else { panic!("not TCP") };
        match sliced.net.as_ref().unwrap() {
            etherparse::NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
                prop_assert!(header.dont_fragment);
                let sum = theirs.calc_checksum_ipv4(header.source, header.destination).unwrap();
                prop_assert_eq!(theirs.checksum(), sum);
            }
            etherparse::NetSlice::Ipv6(ip) => {
                let header = ip.header().to_header();
                let sum = theirs.calc_checksum_ipv6(header.source, header.destination).unwrap();
                prop_assert_eq!(theirs.checksum(), sum);
            }
            _ => panic!("not IP"),
        }
        prop_assert_eq!(theirs.sequence_number(), seg.seq.0);
        prop_assert_eq!(theirs.payload(), &payload[..]);
        for option in theirs.options_iterator() {
            // It knows neither Fast Open nor accurate ECN.
            let unknown = matches!(option, Err(etherparse::TcpOptionReadError::UnknownId(34 | 254 | 172 | 174)));
            prop_assert!(option.is_ok() || unknown, "{:?}", option);
            if unknown {
                break;
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), verify in any::<bool>()) {
        let _ = decode(&bytes, verify);
        split_super(&bytes, 8, &mut Vec::new(), &mut |_| {});
        prop_assert!(options::iter(&bytes).count() <= bytes.len());
    }

    #[test]
    fn no_damage_makes_it_panic(
        envelope in any_envelope(),
        (seg, payload) in any_segment(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = encoded(&envelope, &seg, &payload);
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let _ = decode(&frame, false);
        split_super(&frame, 8, &mut Vec::new(), &mut |_| {});
        let _ = decode(&frame[..cut.index(frame.len())], false);
    }

    #[test]
    fn a_cut_packet_is_malformed(
        envelope in any_envelope(),
        (seg, payload) in any_segment(),
        cut in any::<prop::sample::Index>(),
    ) {
        let frame = encoded(&envelope, &seg, &payload);
        prop_assert!(matches!(decode(&frame[..cut.index(frame.len())], true), Err(DropReason::Malformed)));
    }

    #[test]
    fn bytes_behind_the_packet_are_ignored(envelope in any_envelope(), (seg, payload) in any_segment()) {
        let mut frame = encoded(&envelope, &seg, &payload);
        frame.extend_from_slice(&[0x55; 6]);
        prop_assert_eq!(tcp(&frame).payload, &payload[..]);
    }

    #[test]
    fn a_super_segment_is_cut_into_what_would_have_been_sent_one_by_one(
        envelope in any_envelope(),
        (mut seg, _) in any_segment(),
        payload in proptest::collection::vec(any::<u8>(), 1..400),
        size in 1u16..100,
    ) {
        seg.len = payload.len() as u32;
        let frame = encoded(&envelope, &seg, &payload);
        let mut pieces = Vec::new();
        split_super(&frame, size, &mut Vec::new(), &mut |piece| pieces.push(piece.to_vec()));
        let chunks: Vec<&[u8]> = payload.chunks(usize::from(size)).collect();
        prop_assert_eq!(pieces.len(), chunks.len());
        for (nth, (piece, chunk)) in pieces.iter().zip(&chunks).enumerate() {
            let mut one = seg;
            one.seq = seg.seq + (nth * usize::from(size)) as u32;
            one.len = chunk.len() as u32;
            if nth > 0 {
                one.flags = one.flags.without(Flags::CWR);
            }
            if nth + 1 < chunks.len() {
                one.flags = one.flags.without(Flags::FIN | Flags::PSH);
            }
            let own = Envelope { ident: if envelope.src.is_ipv4() { envelope.ident.wrapping_add(nth as u16) } else { 0 }, ..envelope };
            prop_assert_eq!(piece, &encoded(&own, &one, chunk));
        }
        // Wherever the payload lies.
        let (head, half) = (frame.len() - payload.len(), payload.len() / 2);
        for (begun, rest) in [
            (&frame[..], [&[][..], &[][..]]),
            (&frame[..head], [&payload[..half], &payload[half..]]),
            (&frame[..head + half], [&payload[half..], &[]]),
        ] {
            let mut apart = Vec::new();
            split_pieces(begun, rest, size, &mut Vec::new(), &mut |piece| apart.push(piece.to_vec()));
            prop_assert_eq!(&apart, &pieces);
        }
    }

    #[test]
    fn a_partial_checksum_is_completed_by_summing_the_segment(
        envelope in any_envelope(),
        (seg, payload) in any_segment(),
    ) {
        let whole = encoded(&envelope, &seg, &payload);
        let mut partial = vec![0; whole.len()];
        encode_partial(&mut partial, &envelope, &seg, [&payload, &[]]);
        let mut head = vec![0xee; whole.len() - payload.len()];
        encode_head(&mut head, &envelope, &seg);
        prop_assert_eq!(&head[..], &partial[..head.len()]);
        let tcp_at = if envelope.src.is_ipv4() { 20 } else { 40 };
        // What the device does: sum everything from the TCP header on, the field included.
        let sum = !smoltcp::wire::checksum::data(&partial[tcp_at..]);
        partial[tcp_at + 16..tcp_at + 18].copy_from_slice(&sum.to_be_bytes());
        prop_assert_eq!(partial, whole);
    }
}

fn sample(v6: bool) -> (Envelope, Segment, Vec<u8>) {
    let payload: Vec<u8> = (0u8..101).map(|n| n.wrapping_mul(37) ^ 0x5a).collect();
    let mut sack = SackBlocks::NONE;
    sack.push(Seq(5_000), Seq(6_460));
    let timestamps = Some(Timestamps { value: 0x0102_0304, echo: 0x0506_0708 });
    let seg = Segment {
        seq: Seq(0xffff_fff0),
        ack: Seq(77),
        flags: Flags::ACK | Flags::PSH,
        window: 502,
        urgent: 0,
        options: Options { timestamps, sack, ..Options::default() },
        len: 101,
    };
    (envelope(v6), seg, payload)
}

#[test]
fn one_flipped_bit_is_noticed_or_harmless() {
    for v6 in [false, true] {
        let (envelope, seg, payload) = sample(v6);
        let frame = encoded(&envelope, &seg, &payload);
        let mut noticed = 0;
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match decode(&damaged, true) {
                Err(_) => noticed += 1,
                // IPv6 protects neither the traffic class, the flow label nor the hop limit.
                Ok(Decoded::Tcp(p)) => {
                    assert!(v6 && (bit / 8 < 4 || bit / 8 == 7), "bit {bit} went unnoticed");
                    assert_eq!((p.seg, p.payload), (seg, &payload[..]), "bit {bit}");
                    assert_eq!((p.envelope.src, p.envelope.dst), (envelope.src, envelope.dst), "bit {bit}");
                }
                // The next header or the version: no TCP connection sees it.
                Ok(Decoded::Other { protocol, .. }) => assert_ne!(protocol, TCP, "bit {bit}"),
                Ok(Decoded::Fragment { .. }) => panic!("bit {bit} made a fragment"),
            }
        }
        assert!(noticed > (frame.len() - 8) * 8, "{noticed}");
    }
}

#[test]
fn options_have_the_layout_of_linux() {
    let ts = Some(Timestamps { value: 0x11_22_33_44, echo: 0x55_66_77_88 });
    let mut two = SackBlocks::NONE;
    two.push(Seq(1), Seq(2));
    two.push(Seq(3), Seq(4));
    let mut four = two;
    four.push(Seq(5), Seq(6));
    four.push(Seq(7), Seq(8));
    let none = Options::default();
    let b = |start: u8, end: u8| vec![0, 0, 0, start, 0, 0, 0, end];
    let stamp = vec![8, 10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
    let cookie = |bytes: &[u8], experimental| Cookie::new(bytes, experimental);
    let table: [(&str, Options, Vec<u8>); 13] = [
        (
            "a SYN with everything: mss, sackOK, TS, nop, wscale",
            Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, timestamps: ts, ..none },
            [vec![2, 4, 5, 180, 4, 2], stamp.clone(), vec![1, 3, 3, 7]].concat(),
        ),
        (
            "a SYN without time stamps: mss, nop, nop, sackOK, nop, wscale",
            Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..none },
            vec![2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7],
        ),
        (
            "a SYN without SACK: mss, nop, nop, TS, nop, wscale",
            Options { mss: Some(1460), window_scale: Some(7), timestamps: ts, ..none },
            [vec![2, 4, 5, 180, 1, 1], stamp.clone(), vec![1, 3, 3, 7]].concat(),
        ),
        ("a bare SYN: mss", Options { mss: Some(536), ..none }, vec![2, 4, 2, 24]),
        ("data: nop, nop, TS", Options { timestamps: ts, ..none }, [vec![1, 1], stamp.clone()].concat()),
        (
            "an acknowledgment: nop, nop, sack",
            Options { sack: two, ..none },
            [vec![1, 1, 5, 18], b(1, 2), b(3, 4)].concat(),
        ),
        (
            "four SACK blocks fit alone",
            Options { sack: four, ..none },
            [vec![1, 1, 5, 34], b(1, 2), b(3, 4), b(5, 6), b(7, 8)].concat(),
        ),
        (
            "three SACK blocks fit beside time stamps",
            Options { sack: four, timestamps: ts, ..none },
            [vec![1, 1], stamp, vec![1, 1, 5, 26], b(1, 2), b(3, 4), b(5, 6)].concat(),
        ),
        (
            "the request for a Fast Open cookie: FO, nop, nop",
            Options { mss: Some(536), fast_open: cookie(&[], false), ..none },
            vec![2, 4, 2, 24, 34, 2, 1, 1],
        ),
        (
            "a Fast Open cookie: FO, nop, nop",
            Options { fast_open: cookie(&[7; 8], false), ..none },
            [vec![34, 10], vec![7; 8], vec![1, 1]].concat(),
        ),
        (
            "the request in the experimental option",
            Options { fast_open: cookie(&[], true), ..none },
            vec![254, 4, 0xf9, 0x89],
        ),
        (
            "a cookie in the experimental option",
            Options { fast_open: cookie(&[7; 4], true), ..none },
            vec![254, 8, 0xf9, 0x89, 7, 7, 7, 7],
        ),
        ("no options", none, vec![]),
    ];
    for (what, options, bytes) in table {
        assert_eq!(options::read(&bytes).fast_open, options.fast_open, "{what}");
        let seg = Segment { options, ..Segment::default() };
        let frame = encoded(&envelope(false), &seg, &[]);
        assert_eq!(tcp(&frame).options, bytes, "{what}");
        assert_eq!(frame.len(), 40 + bytes.len(), "{what}");
    }
}

#[test]
fn a_cookie_of_a_length_that_none_can_have_is_none() {
    for (what, bytes) in [
        ("two bytes", &[34, 4, 9, 9][..]),
        ("an odd number", &[34, 7, 9, 9, 9, 9, 9]),
        ("more than sixteen", &[34, 20, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]),
        ("another use of the experimental kind", &[254, 8, 0xf9, 0x88, 7, 7, 7, 7]),
        ("no room for what tells the uses apart", &[254, 3, 0xf9]),
    ] {
        assert_eq!(options::read(bytes).fast_open, None, "{what}");
    }
}

#[test]
fn an_option_list_is_read_item_by_item() {
    let sack = Item::Sack(vec![(Seq(1), Seq(2))]);
    let fast_open = Item::Unknown { kind: 34, data: &[9, 9] };
    type Items<'a> = Vec<Result<Item<'a>, Malformed>>;
    let table: [(&str, &[u8], Items); 10] = [
        ("an empty list", &[], vec![]),
        ("end of list hides the padding", &[1, 0, 2, 4], vec![Ok(Item::Nop), Ok(Item::Eol)]),
        ("an unknown option is skipped", &[34, 4, 9, 9, 1], vec![Ok(fast_open), Ok(Item::Nop)]),
        ("a length of 0", &[2, 0, 1, 1], vec![Err(Malformed)]),
        ("a length of 1", &[2, 1, 1, 1], vec![Err(Malformed)]),
        ("no length", &[1, 2], vec![Ok(Item::Nop), Err(Malformed)]),
        ("a length beyond the list", &[3, 3, 7, 8, 10, 0], vec![Ok(Item::WindowScale(7)), Err(Malformed)]),
        ("an MSS of three bytes", &[2, 3, 9], vec![Ok(Item::Unknown { kind: 2, data: &[9] })]),
        ("one SACK block", &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2], vec![Ok(sack)]),
        ("half a SACK block", &[5, 6, 0, 0, 0, 1], vec![Ok(Item::Unknown { kind: 5, data: &[0, 0, 0, 1] })]),
    ];
    for (what, bytes, items) in table {
        assert_eq!(options::iter(bytes).collect::<Items>(), items, "{what}");
    }
}

#[test]
fn options_before_a_malformed_one_count() {
    let (envelope, mut seg, payload) = sample(false);
    seg.options = Options { mss: Some(1000), window_scale: Some(3), ..Options::default() };
    let mut frame = encoded(&envelope, &seg, &payload);
    frame[20 + 20 + 6] = 1; // the length of the window scale option
    let Ok(Decoded::Tcp(packet)) = decode(&frame, false) else { panic!("the segment is kept") };
    assert_eq!(packet.seg.options, Options { mss: Some(1000), ..Options::default() });
    assert_eq!(packet.payload, payload);
}

/// An IPv6 packet with `chain` between the header and the TCP segment; `first` is its first next-header value.
fn with_extensions(first: u8, chain: &[u8]) -> Vec<u8> {
    let (envelope, seg, payload) = sample(true);
    let plain = encoded(&envelope, &seg, &payload);
    let mut frame = plain[..40].to_vec();
    frame.extend_from_slice(chain);
    frame.extend_from_slice(&plain[40..]);
    frame[6] = first;
    let len = (frame.len() - 40) as u16;
    frame[4..6].copy_from_slice(&len.to_be_bytes());
    frame
}

#[test]
fn ipv6_extension_headers_are_walked() {
    enum Is {
        Tcp,
        Fragment,
        Other(u8),
        Dropped(DropReason),
    }
    use Is::*;
    let (bad, unhandled) = (Dropped(DropReason::Malformed), Dropped(DropReason::Unhandled));
    let table: [(&str, u8, &[u8], Is); 15] = [
        ("none", 6, &[], Tcp),
        ("hop-by-hop padding", 0, &[6, 0, 1, 4, 0, 0, 0, 0], Tcp),
        ("a router alert", 0, &[6, 0, 5, 2, 0, 0, 1, 0], Tcp),
        ("hop-by-hop, then destination", 0, &[60, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0], Tcp),
        ("an unknown option to skip", 60, &[6, 0, 0x1e, 4, 9, 9, 9, 9], Tcp),
        ("an unknown option that forbids skipping", 60, &[6, 0, 0x5e, 4, 9, 9, 9, 9], unhandled),
        ("a jumbogram", 0, &[6, 0, 0xc2, 4, 0, 1, 0, 0], Dropped(DropReason::Unhandled)),
        ("an option beyond its header", 60, &[6, 0, 1, 5, 0, 0, 0, 0], bad),
        ("a route that is done", 43, &[6, 0, 4, 0, 0, 0, 0, 0], Tcp),
        ("a route that goes on", 43, &[6, 0, 0, 1, 0, 0, 0, 0], Dropped(DropReason::Unhandled)),
        ("an atomic fragment", 44, &[6, 0, 0, 0, 0, 0, 0, 7], Tcp),
        ("a first fragment", 44, &[6, 0, 0, 1, 0, 0, 0, 7], Fragment),
        ("a last fragment", 44, &[6, 0, 1, 0, 0, 0, 0, 7], Fragment),
        ("a protocol behind extensions", 60, &[58, 0, 1, 4, 0, 0, 0, 0], Other(58)),
        ("a header longer than the packet", 60, &[6, 255, 1, 4, 0, 0, 0, 0], Dropped(DropReason::Malformed)),
    ];
    for (what, first, chain, is) in table {
        let frame = with_extensions(first, chain);
        match (decode(&frame, true), is) {
            (Ok(Decoded::Tcp(p)), Tcp) => assert_eq!(p.seg, sample(true).1, "{what}"),
            (Ok(Decoded::Fragment { .. }), Fragment) => {}
            (Ok(Decoded::Other { protocol, .. }), Other(n)) => assert_eq!(protocol, n, "{what}"),
            (Err(reason), Dropped(expected)) => assert_eq!(reason, expected, "{what}"),
            (other, _) => panic!("{what}: {other:?}"),
        }
    }
}

/// An IPv4 packet after `change`, its header checksum made right again.
fn changed_v4(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let (envelope, seg, payload) = sample(false);
    let mut frame = encoded(&envelope, &seg, &payload);
    change(&mut frame);
    let header = (usize::from(frame[0] & 0x0f) * 4).clamp(20, frame.len());
    frame[10..12].fill(0);
    let sum = !smoltcp::wire::checksum::data(&frame[..header]);
    frame[10..12].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn lengths_that_lie_are_malformed() {
    type Change = fn(&mut Vec<u8>);
    let table: [(&str, Change); 7] = [
        ("a total length beyond the frame", |f| f[3] += 1),
        ("a total length below the header", |f| f[2..4].copy_from_slice(&[0, 19])),
        ("a total length that cuts the TCP header", |f| f[2..4].copy_from_slice(&[0, 41])),
        ("a header of 16 bytes", |f| f[0] = 0x44),
        ("a data offset below 20", |f| f[32] = 0x40),
        ("a data offset beyond the packet", |f| {
            f.truncate(60);
            f[2..4].copy_from_slice(&[0, 60]);
            f[32] = 0xf0;
        }),
        ("a version that does not exist", |f| f[0] = 0x55),
    ];
    for (what, change) in table {
        let got = decode(&changed_v4(change), false).map(|_| ());
        assert_eq!(got, Err(DropReason::Malformed), "{what}");
    }
    assert!(matches!(decode(&[], true), Err(DropReason::Malformed)));
}

#[test]
fn ipv4_options_are_stepped_over() {
    let frame = changed_v4(|f| {
        f.splice(20..20, [148, 4, 0, 0]); // a router alert
        f[0] = 0x46;
        f[3] += 4;
    });
    assert_eq!(tcp(&frame).seg, sample(false).1);
    let mut pieces = Vec::new();
    split_super(&frame, 60, &mut Vec::new(), &mut |p| pieces.push(tcp(p).payload.to_vec()));
    assert_eq!(pieces.concat(), sample(false).2);
    assert_eq!(pieces.len(), 2);
}

#[test]
fn ipv4_fragments_are_named() {
    for flags in [0x20, 0x00] {
        let frame = changed_v4(|f| f[6..8].copy_from_slice(&[flags, if flags == 0 { 9 } else { 0 }]));
        assert!(matches!(decode(&frame, true), Ok(Decoded::Fragment { .. })), "{flags:x}");
    }
}

#[test]
fn checksums_count_unless_the_device_vouches() {
    let (envelope, seg, payload) = sample(false);
    let mut frame = encoded(&envelope, &seg, &payload);
    *frame.last_mut().unwrap() ^= 1;
    assert!(matches!(decode(&frame, true), Err(DropReason::Checksum)));
    assert!(matches!(decode(&frame, false), Ok(Decoded::Tcp(_))));
    frame[8] ^= 1; // nobody vouches for the IPv4 header
    assert!(matches!(decode(&frame, false), Err(DropReason::Checksum)));
}

#[test]
fn what_is_no_super_segment_is_handed_on_untouched() {
    let udp = changed_v4(|f| f[9] = 17);
    let small = changed_v4(|_| {});
    for (frame, size) in [(&udp, 10), (&small, 101), (&small, 0)] {
        let mut seen = Vec::new();
        split_super(frame, size, &mut Vec::new(), &mut |p| seen.push(p.to_vec()));
        assert_eq!(&seen, std::slice::from_ref(frame));
    }
}

/// The bytes of a header's options.
fn option_bytes(options: &Options) -> Vec<u8> {
    let mut bytes = vec![0; options::len(options)];
    options::write(options, &mut bytes);
    bytes
}

#[test]
fn counts_of_accurate_ecn_take_the_place_of_padding() {
    let counts = [1, 0x2_0304, 0x5_0607];
    let with =
        |fields: usize| Options { ecn: Some(EcnBytes::new(&counts[..fields], true)), ..Options::default() };
    // RFC 9768 §3.2.3: kind, length, and three bytes each.
    assert_eq!(option_bytes(&with(3)), [174, 11, 0, 0, 1, 2, 3, 4, 5, 6, 7, 1]);
    assert_eq!(option_bytes(&with(2)), [174, 8, 0, 0, 1, 2, 3, 4]);
    assert_eq!(option_bytes(&with(1)), [174, 5, 0, 0, 1, 1, 1, 1]);
    assert_eq!(option_bytes(&with(0)), [174, 2, 1, 1]);
    let mut sack = SackBlocks::NONE;
    sack.push(Seq(1), Seq(2));
    let beside_sack = |fields| option_bytes(&Options { sack, ..with(fields) });
    assert_eq!(beside_sack(1)[..8], [174, 5, 0, 0, 1, 1, 5, 10]);
    assert_eq!(beside_sack(0)[..4], [174, 2, 5, 10]);
    let beside_scale = |fields| option_bytes(&Options { window_scale: Some(7), ..with(fields) });
    assert_eq!(beside_scale(1), [174, 5, 0, 0, 1, 3, 3, 7]);
    assert_eq!(beside_scale(0), [1, 3, 3, 7, 174, 2, 1, 1]);
    let permits = option_bytes(&Options { sack_permitted: true, ..with(0) });
    assert_eq!(permits, [174, 2, 4, 2]);
}

#[test]
fn of_counts_of_accurate_ecn_the_whole_ones_are_read() {
    let read = |bytes: &[u8]| options::read(bytes).ecn.map(|ecn| ecn.counts().collect::<Vec<_>>());
    assert_eq!(read(&[172, 5, 0, 1, 0]), Some(vec![(Ecn::Ect0, 256)]));
    assert_eq!(read(&[174, 7, 0, 0, 9, 1, 1]), Some(vec![(Ecn::Ect1, 9)]));
    assert_eq!(read(&[172, 2]), Some(Vec::new()));
    let three = [(Ecn::Ect0, 1), (Ecn::Ce, 2), (Ecn::Ect1, 3)];
    assert_eq!(read(&[172, 14, 0, 0, 1, 0, 0, 2, 0, 0, 3, 9, 9, 9]), Some(three.to_vec()));
}

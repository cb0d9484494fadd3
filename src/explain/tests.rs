use super::*;
use etherparse::{PacketBuilder, TcpHeader};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::SectionHeaderBlock;
use pcap_file::{DataLink, Endianness};
use proptest::prelude::*;
use std::borrow::Cow;

/// A packet of a test: who sends, which flags, from which number, how many bytes.
fn packet(up: bool, flags: &str, seq: u32, len: usize) -> Vec<u8> {
    let (from, to) = if up { ([10, 0, 0, 1], [10, 0, 0, 2]) } else { ([10, 0, 0, 2], [10, 0, 0, 1]) };
    let (sport, dport) = if up { (40_000, 80) } else { (80, 40_000) };
    let mut header = TcpHeader::new(sport, dport, seq, 1000);
    header.syn = flags.contains('S');
    header.ack = flags.contains('.');
    header.fin = flags.contains('F');
    header.rst = flags.contains('R');
    let mut bytes = Vec::new();
    (PacketBuilder::ipv4(from, to, 64).tcp_header(header)).write(&mut bytes, &vec![7; len]).unwrap();
    bytes
}

/// A pcapng of packets at so many milliseconds, each with the comment of a reason if it is not empty.
fn capture(link: DataLink, snaplen: usize, packets: &[(u64, Vec<u8>, &str)]) -> Vec<u8> {
    let header = SectionHeaderBlock { endianness: Endianness::native(), ..Default::default() };
    let mut writer = PcapNgWriter::with_section_header(Vec::new(), header).unwrap();
    writer.write_pcapng_block(InterfaceDescriptionBlock::new(link, 0)).unwrap();
    for (at, data, why) in packets {
        let mut options = vec![EnhancedPacketOption::Flags(2)];
        if !why.is_empty() {
            options.push(EnhancedPacketOption::Common(CommonOption::Comment(Cow::Borrowed(why))));
        }
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_millis(*at),
            original_len: data.len() as u32,
            data: Cow::Borrowed(&data[..data.len().min(snaplen)]),
            options,
        };
        writer.write_pcapng_block(block).unwrap();
    }
    writer.into_inner()
}

fn exchange() -> Vec<(u64, Vec<u8>, &'static str)> {
    vec![
        (1000, packet(true, "S", 99, 0), ""),
        (1050, packet(false, "S.", 499, 0), "why=syn-ack: to a SYN"),
        (1100, packet(true, ".", 100, 0), ""),
        (1100, packet(true, ".", 100, 80), ""),
        (1150, packet(false, ".", 500, 1000), "why=data: full"),
        (1350, packet(false, ".", 500, 1000), "why=rto: retransmission 1"),
        (1400, packet(true, "F.", 180, 0), ""),
        (1410, packet(false, "F.", 1500, 0), "why=fin"),
    ]
}

#[test]
fn extension_headers_that_are_cut_off_lead_nowhere() {
    // IPv6 with a header that says it is longer than all there is, of each kind that is known.
    for kind in [0, 43, 44, 51, 60] {
        for length in [0, 1, 255] {
            let mut bytes = vec![0x60, 0, 0, 0, 0, 32, kind, 64];
            bytes.extend([0xfd; 32]);
            bytes.extend([60, length, 0, 0, 0, 0, 0, 0, 6, length, 0, 0, 0, 0, 0, 0]);
            bytes.extend([0; 16]);
            for end in 0..=bytes.len() {
                let decoded = decode::packet(101, &bytes[..end], bytes.len() as u32);
                assert!(!matches!(decoded, decode::Decoded::Tcp(..)), "{kind} {length} {end}");
            }
        }
    }
}

#[test]
fn a_connection_is_followed_from_syn_to_fin() {
    let summary =
        explain(capture(DataLink::RAW, 65_535, &exchange()).as_slice(), Options::default()).unwrap();
    assert_eq!((summary.format, summary.packets, summary.damage.as_deref()), ("pcapng", 8, None));
    assert_eq!(summary.lasted, Duration::from_millis(410));
    let [c] = summary.connections.as_slice() else { panic!("{:?}", summary.connections) };
    assert_eq!((c.client.to_string(), c.server.to_string()), ("10.0.0.1:40000".into(), "10.0.0.2:80".into()));
    assert_eq!(c.handshake, Some(Duration::from_millis(100)));
    assert_eq!((c.up.packets, c.up.bytes, c.up.again), (4, 80, 0));
    assert_eq!((c.down.packets, c.down.bytes, c.down.again), (4, 1000, 1));
    assert_eq!(c.pause, (Duration::from_millis(200), Duration::from_millis(150)));
    assert_eq!(c.ending, Ending::Closed);
    assert_eq!(summary.words["rto"], WordCount { sent: 1, received: 0 });
    assert_eq!(summary.words.len(), 4);
}

#[test]
fn what_was_not_captured_of_a_payload_counts_all_the_same() {
    let summary = explain(capture(DataLink::RAW, 40, &exchange()).as_slice(), Options::default()).unwrap();
    assert_eq!(summary.connections[0].down.bytes, 1000);
    assert_eq!(summary.undecoded, 0);
}

#[test]
fn link_types_of_other_tools_are_understood() {
    let ip = packet(true, "S", 1, 0);
    let prefixed = |prefix: &[u8]| [prefix, &ip].concat();
    let sll = [&[0; 14][..], &[8, 0]].concat();
    let sll2 = [&[8, 0][..], &[0; 18]].concat();
    for (link, data) in [
        (DataLink::RAW, ip.clone()),
        (DataLink::from(228), ip.clone()),
        (DataLink::NULL, prefixed(&[2, 0, 0, 0])),
        (DataLink::ETHERNET, prefixed(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0])),
        (DataLink::LINUX_SLL, prefixed(&sll)),
        (DataLink::from(276), prefixed(&sll2)),
    ] {
        let summary =
            explain(capture(link, 65_535, &[(0, data, "")]).as_slice(), Options::default()).unwrap();
        assert_eq!(summary.connections.len(), 1, "{link:?}");
    }
    let unknown =
        explain(capture(DataLink::from(147), 65_535, &[(0, ip, "")]).as_slice(), Options::default()).unwrap();
    assert_eq!((unknown.undecoded, unknown.connections.len()), (1, 0));
}

#[test]
fn endings_are_told_apart() {
    for (packets, ending) in [
        (vec![packet(true, "S", 1, 0), packet(false, "R.", 0, 0)], Ending::Refused),
        (vec![packet(true, "S", 1, 0), packet(false, "S.", 5, 0), packet(true, "R", 2, 0)], Ending::Reset),
        (
            vec![packet(true, "S", 1, 0), packet(false, "S.", 5, 0), packet(true, "F.", 2, 0)],
            Ending::HalfClosed,
        ),
        (vec![packet(true, ".", 2, 10)], Ending::Open),
    ] {
        let list: Vec<_> = packets.into_iter().map(|p| (0, p, "")).collect();
        let summary = explain(capture(DataLink::RAW, 65_535, &list).as_slice(), Options::default()).unwrap();
        assert_eq!(summary.connections[0].ending, ending);
    }
}

#[test]
fn addresses_used_again_are_another_connection() {
    let list = [
        (0, packet(true, "S", 1, 0), ""),
        (1000, packet(true, "S", 1, 0), ""),
        (1002, packet(false, "R.", 0, 0), ""),
        (1003, packet(true, "S", 9, 0), ""),
    ];
    let summary = explain(capture(DataLink::RAW, 65_535, &list).as_slice(), Options::default()).unwrap();
    let counts: Vec<_> = summary.connections.iter().map(|c| (c.up.packets, c.up.again)).collect();
    assert_eq!(counts, [(2, 1), (1, 0)]);
}

#[test]
fn a_cut_file_is_read_up_to_the_cut() {
    let whole = capture(DataLink::RAW, 65_535, &exchange());
    let summary = explain(&whole[..whole.len() - 5], Options::default()).unwrap();
    assert_eq!(summary.packets, 7);
    assert!(summary.damage.unwrap().starts_with("the file was cut short within a block (at byte "));
}

#[test]
fn what_is_no_capture_is_refused_with_a_reason() {
    for (bytes, told) in [
        (&b""[..], "empty"),
        (b"ab", "empty"),
        (b"GET / HTTP/1.1\r\n", "neither pcap nor pcapng"),
        (b"\x1f\x8b\x08\x00", "unpacked"),
        (b"\x28\xb5\x2f\xfd\x00", "unpacked"),
        (b"\x0a\x0d\x0d\x0a\x00", "section header cannot be read"),
        (b"\xd4\xc3\xb2\xa1\x02\x00", "header cannot be read"),
    ] {
        let error = explain(bytes, Options::default()).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn reasons_of_a_hostile_file_do_not_fill_the_memory() {
    let words: Vec<String> = (0..1000).map(|n| format!("why=word{n}: x")).collect();
    let list: Vec<_> = words.iter().map(|w| (0, packet(true, ".", 1, 0), w.as_str())).collect();
    let summary = explain(capture(DataLink::RAW, 65_535, &list).as_slice(), Options::default()).unwrap();
    assert_eq!(summary.words.len(), MAX_WORDS + 1);
    assert_eq!(summary.words["other"].sent, 1000 - MAX_WORDS as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn no_damage_makes_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = capture(DataLink::RAW, 65_535, &exchange());
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let _ = explain(bytes.as_slice(), Options::default());
    }

    #[test]
    fn no_packet_makes_it_panic(link in prop::sample::select(vec![0, 1, 12, 101, 108, 113, 228, 229, 276]),
                                data in prop::collection::vec(any::<u8>(), 0..120), length in any::<u32>()) {
        decode::packet(link, &data, length);
    }
}

#[test]
fn a_compressed_capture_is_read_like_the_plain_one_and_up_to_its_damage() {
    let plain = capture(DataLink::RAW, 65_535, &exchange());
    let expected = explain(plain.as_slice(), Options::default()).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &plain).unwrap();
    let gz = gz.finish().unwrap();
    let zst =
        ruzstd::encoding::compress_to_vec(plain.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
    for (name, packed) in [("gz", &gz), ("zst", &zst)] {
        assert_eq!(explain(packed.as_slice(), Options::default()).unwrap(), expected, "{name}");
        // Wherever it is cut, there is an error or a word on the damage; nothing panics.
        for cut in 4..packed.len() - 8 {
            match explain(&packed[..cut], Options::default()) {
                Ok(summary) => assert!(summary.damage.is_some(), "{name} cut at {cut}"),
                Err(ReadError::NotACapture(why)) => assert!(!why.is_empty()),
                Err(error) => panic!("{name} cut at {cut}: {error}"),
            }
        }
    }
}

//! Is every packet of an odd file read, and is said what was not?

use super::*;

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = (padded as u32 + 12).to_le_bytes();
    let mut out = [&kind.to_le_bytes()[..], &length, body].concat();
    out.resize(8 + padded, 0);
    out.extend(length);
    out
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut out = [&code.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), value].concat();
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn section(options: &[u8]) -> Vec<u8> {
    let head = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8], options].concat();
    block(0x0a0d_0d0a, &head)
}

fn interface(options: &[u8]) -> Vec<u8> {
    block(1, &[&[101, 0, 0, 0, 0, 0, 0, 0], options].concat())
}

fn packet(interface: u32, count: u64, data: &[u8], options: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_le_bytes();
    let (high, low) = ((count >> 32) as u32, count as u32);
    let mut body = [interface, high, low].map(u32::to_le_bytes).concat();
    body.extend([length, length].concat());
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(options);
    block(6, &body)
}

/// When a packet was seen, its link type and its bytes.
type Seen = (Duration, u32, Vec<u8>);

/// The packets, and what is wrong.
fn read(file: &[u8]) -> (Vec<Seen>, Option<String>) {
    let mut list = Vec::new();
    let end = packets(file, &mut |item| {
        if let Item::Packet(packet) = item {
            list.push((packet.at, packet.link, packet.data.to_vec()));
        }
    });
    (list, end.unwrap().damage)
}

#[test]
fn words_that_are_not_utf_8_cost_no_packet() {
    let latin = option(1, b"caf\xe9");
    let file = [section(&latin), interface(&option(2, b"\xe9th0")), packet(0, 7, b"ab", &latin)].concat();
    assert_eq!(read(&file), (vec![(Duration::from_micros(7), 101, b"ab".to_vec())], None));
    let mut about = String::new();
    packets(file.as_slice(), &mut |item| {
        if let Item::About(text) = item {
            about = text.to_owned();
        }
    })
    .unwrap();
    assert_eq!(about, "caf\u{fffd}");
}

#[test]
fn times_count_in_powers_of_ten_and_of_two_from_any_second() {
    let second = 1_700_000_000_u64;
    for (resolution, count, nanos) in [
        (9, second * 1_000_000_000 + 5, 5),
        (6, second * 1_000_000 + 5, 5000),
        (0, second, 0),
        (0x80 | 30, (second << 30) + (1 << 29), 500_000_000),
        (0x80 | 10, (second << 10) + 1, 976_562),
    ] {
        let file = [section(&[]), interface(&option(9, &[resolution])), packet(0, count, b"x", &[])].concat();
        assert_eq!(read(&file).0[0].0, Duration::new(second, nanos), "{resolution:#x}");
    }
    let options = [option(14, &(-3_i64).to_le_bytes()), option(9, &[6])].concat();
    let file = [section(&[]), interface(&options), packet(0, 5_000_001, b"x", &[])].concat();
    assert_eq!(read(&file).0[0].0, Duration::new(2, 1000));
    for resolution in [127, 255] {
        let file = [section(&[]), interface(&option(9, &[resolution])), packet(0, 1, b"x", &[])].concat();
        read(&file);
    }
}

#[test]
fn what_makes_no_sense_is_counted_with_its_place_and_the_rest_is_read() {
    let head = [section(&[]), interface(&[])].concat();
    let good = || packet(0, 1, b"x", &[]);
    let at = head.len() + good().len();
    for (name, bad, told, packets) in [
        ("an interface", packet(3, 1, b"y", &[]), "of an interface that the file does not describe", 2),
        ("options", packet(0, 1, b"y", &[1, 0, 9, 0]), "options are cut off", 3),
        (
            "a length",
            {
                let mut bad = packet(0, 1, b"y", &[]);
                bad[20] = 200;
                bad
            },
            "longer than its block",
            2,
        ),
        ("too short", block(6, &[0; 4]), "shorter than what it should hold", 2),
    ] {
        let (list, damage) = read(&[head.clone(), good(), bad.clone(), good()].concat());
        let damage = damage.unwrap();
        assert_eq!((list.len(), name), (packets, name));
        assert!(damage.contains(told) && damage.contains(&format!("(at byte {at}), all others")), "{damage}");
        let (_, damage) = read(&[head.clone(), good(), bad.clone(), bad, good()].concat());
        assert!(damage.unwrap().contains("and 1 more are like it"), "{name}");
    }
    let (list, damage) = read(&[section(&[]), packet(0, 1, b"x", &[])].concat());
    assert!(list.is_empty() && damage.unwrap().contains("(at byte 28)"));
    // Lengths are all that tells blocks apart: behind a wrong one there is nothing to be read.
    let mut wrong = good();
    let last = wrong.len() - 1;
    wrong[last] = 1;
    let (list, damage) = read(&[head, good(), wrong, good()].concat());
    assert_eq!(list.len(), 1);
    assert!(damage.unwrap().contains("what precedes it was read"));
}

fn pcap(snaplen: u32, link: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut out: Vec<u8> =
        [0xa1b2_c3d4, 0x0004_0002, 0, 0, snaplen, link].iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
    for data in packets {
        let length = data.len() as u32;
        out.extend([1, 2, length, length].iter().flat_map(|w| w.to_le_bytes()));
        out.extend(*data);
    }
    out
}

#[test]
fn the_header_of_a_pcap_is_not_believed_about_lengths() {
    let data = [7; 300];
    for (snaplen, link) in [(0, 101), (64, 101), (u32::MAX, 101), (65_535, 0x2400_0065)] {
        let (list, damage) = read(&pcap(snaplen, link, &[&data, b"x"]));
        assert_eq!((list.len(), damage, list[0].1), (2, None, 101), "{snaplen} {link:#x}");
        assert_eq!(list[0].0, Duration::new(1, 2000));
    }
    let mut file = pcap(64, 101, &[b"abcd", b"efgh"]);
    let at = 24 + 16 + 4;
    file[at + 11] = 0x7f;
    let (list, damage) = read(&file);
    assert_eq!(list.len(), 1);
    assert!(damage.unwrap().ends_with(&format!("(at byte {at}), what precedes it was read")));
}

#[test]
fn a_packed_file_may_have_several_pieces() {
    let plain = pcap(0, 101, &[b"one", b"two", b"three"]);
    let (head, tail) = plain.split_at(60);
    let zst =
        |part: &[u8]| ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest);
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let gz = |part: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, part).unwrap();
        packed.finish().unwrap()
    };
    for packed in [
        [zst(head), zst(tail)].concat(),
        [skipped.clone(), zst(head), skipped.clone(), zst(tail), skipped].concat(),
        [gz(head), gz(tail)].concat(),
    ] {
        assert_eq!(read(&packed), read(&plain));
        let (_, damage) = read(&packed[..packed.len() - 9]);
        assert!(damage.is_some());
    }
    assert_eq!(read(&plain).0.len(), 3);
}

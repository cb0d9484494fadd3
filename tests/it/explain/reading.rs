//! Does a capture say the same on whatever it was captured, from wherever, and however much of it was kept?

use super::*;
use etherparse::{IpFragOffset, Ipv4Header};

const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// Raw IP packets with their times in microseconds, as one end captured a fetch with a loss.
fn packets(end: usize) -> Vec<(u64, Vec<u8>)> {
    let mut scene = Scene::new("rtt=40ms,drop_nth=4", &linux(), &linux());
    let socket = scene.connect();
    scene.get(socket, "/bytes/10", 10);
    scene.get(socket, "/bytes/12000", 12_000);
    scene.world.close(socket);
    scene.world.run_for(2000 * MS);
    scene.world.finish().unwrap();
    let [client, server] = scene.files.map(|file| file.take());
    let mut list = Vec::new();
    causes([client, server][end].as_slice(), Options::default(), &mut |c| {
        list.push((c.at.as_micros() as u64, c.data.to_vec()));
    })
    .unwrap();
    list
}

/// A pcap in microseconds.
pub fn pcap(link: u32, snaplen: usize, packets: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Vec<u8> {
    let mut out = Vec::new();
    let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, link];
    words.iter().for_each(|word| out.extend(word.to_le_bytes()));
    for (at, data) in packets {
        let kept = data.len().min(snaplen);
        for word in [(at / 1_000_000) as u32, (at % 1_000_000) as u32, kept as u32, data.len() as u32] {
            out.extend(word.to_le_bytes());
        }
        out.extend(&data[..kept]);
    }
    out
}

fn told(capture: &[u8]) -> Summary {
    let summary = explain(capture, Options::default()).unwrap();
    assert_eq!((summary.damage.as_ref(), summary.undecoded), (None, 0));
    summary
}

/// What does not depend on what it was captured on.
fn essence(summary: &Summary) -> String {
    let c = &summary.connections[0];
    let exchanges: Vec<_> = c.exchanges.iter().map(|e| (&e.target, e.status, e.bytes, e.parts)).collect();
    format!("{:?} {:?} {exchanges:?} {:?}", found(summary), c.ending, c.round_trip)
}

#[test]
fn every_link_with_and_without_vlan_tags_says_the_same() {
    let list = packets(1);
    let expected = essence(&told(&pcap(101, usize::MAX, list.clone())));
    assert!(expected.contains("fast-retransmit"), "{expected}");
    let ether = |tags: &[u8]| [&ETHERNET[..], tags, &[8, 0]].concat();
    let sll = |tags: &[u8]| [&[0, 0, 0, 1, 0, 6][..], &[0; 8], tags, &[8, 0]].concat();
    let sll2 = [&[8, 0][..], &[0; 18]].concat();
    for (name, link, prefix) in [
        ("Ethernet", 1, ether(&[])),
        ("VLAN", 1, ether(&[0x81, 0, 0, 5])),
        ("QinQ", 1, ether(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6])),
        ("old QinQ", 1, ether(&[0x91, 0, 0, 5, 0x81, 0, 0, 6])),
        ("SLL", 113, sll(&[])),
        ("SLL with VLAN", 113, sll(&[0x81, 0, 0, 5])),
        ("SLL2", 276, sll2),
        ("NULL", 0, vec![2, 0, 0, 0]),
        ("LOOP", 108, vec![0, 0, 0, 2]),
        ("RAW of BSD", 12, vec![]),
        ("RAW of OpenBSD", 14, vec![]),
        ("IPV4", 228, vec![]),
    ] {
        let framed = list.iter().map(|(at, data)| (*at, [&prefix[..], data].concat()));
        assert_eq!(essence(&told(&pcap(link, usize::MAX, framed))), expected, "{name}");
    }
}

#[test]
fn headers_are_enough_where_the_rest_was_not_kept() {
    let list = packets(1);
    let whole = told(&pcap(101, usize::MAX, list.clone()));
    for snaplen in [68, 96, 128] {
        let cut = told(&pcap(101, snaplen, list.clone()));
        let repaired = [&cut, &whole].map(|summary| finding(summary, What::FastRetransmit));
        assert_eq!(repaired[0], repaired[1], "{snaplen}");
        assert_eq!(cut.connections[0].down.bytes, whole.connections[0].down.bytes);
        assert_eq!(cut.connections[0].parts, whole.connections[0].parts, "{snaplen}");
    }
}

/// The packet in pieces of `size` bytes, the last one first.
fn fragments(packet: &[u8], size: usize, id: u16) -> Vec<Vec<u8>> {
    let (header, payload) = Ipv4Header::from_slice(packet).unwrap();
    let count = payload.len().div_ceil(size);
    let piece = |(n, part): (usize, &[u8])| {
        let mut header = header.clone();
        header.identification = id;
        header.dont_fragment = false;
        header.fragment_offset = IpFragOffset::try_new((n * size / 8) as u16).unwrap();
        header.more_fragments = n + 1 < count;
        header.total_len = (header.header_len() + part.len()) as u16;
        header.header_checksum = header.calc_header_checksum();
        let mut out = Vec::new();
        header.write(&mut out).unwrap();
        out.extend(part);
        out
    };
    payload.chunks(size).enumerate().map(piece).rev().collect()
}

#[test]
fn fragments_are_put_together_and_what_stays_incomplete_is_a_loss() {
    let list = packets(1);
    let expected = essence(&told(&pcap(101, usize::MAX, list.clone())));
    let cut = |skip: Option<usize>| {
        let mut out = Vec::new();
        for (n, (at, data)) in list.iter().enumerate() {
            let pieces = if data.len() > 600 { fragments(data, 512, n as u16) } else { vec![data.clone()] };
            out.extend(pieces.into_iter().skip(usize::from(Some(n) == skip)).map(|piece| (*at, piece)));
        }
        told(&pcap(101, usize::MAX, out))
    };
    let all = cut(None);
    assert_eq!(essence(&all), expected);
    assert!(all.reassembled >= 9, "{}", all.reassembled);
    let large = list.iter().position(|(_, data)| data.len() > 600).unwrap();
    assert_eq!(cut(Some(large)).reassembled, all.reassembled - 1);
}

#[test]
fn checksums_that_a_device_fills_in_later_are_no_damage() {
    let list = packets(1);
    let zeroed = list.iter().map(|(at, data)| {
        let mut data = data.clone();
        data[36] = 0;
        data[37] = 0;
        (*at, data)
    });
    let garbled = list.iter().map(|(at, data)| {
        let mut data = data.clone();
        // Of what the capturing end sends nothing was ever right.
        data[36] ^= if data[12..16] == [10, 0, 0, 2] { 0x5a } else { 0 };
        (*at, data)
    });
    for summary in [told(&pcap(101, usize::MAX, zeroed)), told(&pcap(101, usize::MAX, garbled))] {
        assert_eq!(finding(&summary, What::FastRetransmit).times, 1);
        assert!(summary.findings.iter().all(|f| f.what != What::Checksum), "{:?}", found(&summary));
    }
}

#[test]
fn a_stream_that_begins_in_the_middle_is_followed_from_there() {
    let list = packets(1);
    for skip in [3, 5, 8] {
        let summary = told(&pcap(101, usize::MAX, list[skip..].to_vec()));
        let [c] = summary.connections.as_slice() else { panic!("{skip}: {}", summary.connections.len()) };
        assert_eq!(c.handshake, None);
        for e in &c.exchanges {
            assert_eq!(e.parts.total(), e.end - e.start, "{skip}: {e:#?}");
        }
        assert!(c.down.bytes > 10_000, "{skip}: {:?}", c.down);
    }
}

#[test]
fn what_offload_joined_or_did_not_cut_says_the_same_of_time() {
    for offload in [false, true] {
        let mut scene = Scene::new("rtt=100ms", &linux(), &linux());
        for host in scene.hosts {
            scene.world.set_offload(host, offload);
        }
        let socket = scene.connect();
        scene.get(socket, "/bytes/100000", 100_000);
        for (view, summary) in views(scene) {
            assert_eq!(part(&summary, 0, Part::Cwnd), 200, "{view}, offload {offload}");
        }
    }
    // Packets of one burst as one frame of 64 KiB at the most, as a device with offload hands them over.
    let mut joined: Vec<(u64, Vec<u8>)> = Vec::new();
    for (at, data) in packets(1) {
        let (last, payload) = (joined.last_mut(), &data[20 + usize::from(data[32] >> 4) * 4..]);
        let seq = |d: &[u8]| u32::from_be_bytes([d[24], d[25], d[26], d[27]]);
        let headers = data.len() - payload.len();
        match last {
            Some((then, before))
                if *then == at
                    && !payload.is_empty()
                    && before.len() > headers
                    && before[12..20] == data[12..20]
                    && seq(before).wrapping_add((before.len() - headers) as u32) == seq(&data) =>
            {
                before.extend(payload);
                // The length that does not fit is left to whoever reads it.
                before[2..4].fill(0);
            }
            _ => joined.push((at, data)),
        }
    }
    assert!(joined.iter().any(|(_, data)| data.len() > 4000));
    let (joined, plain) = (told(&pcap(101, usize::MAX, joined)), told(&pcap(101, usize::MAX, packets(1))));
    assert_eq!(joined.connections[0].down.bytes, plain.connections[0].down.bytes);
    assert_eq!(found(&joined), found(&plain));
}

#[test]
fn a_filter_leaves_the_numbers_as_they_are() {
    let mut scene = Scene::new("rtt=10ms", &linux(), &linux());
    let sockets = [scene.connect(), scene.connect(), scene.connect()];
    for socket in sockets {
        scene.get(socket, "/delay/30", 0);
    }
    let [_, client, ..] = scene.end();
    assert_eq!((client.seen, client.connections.len()), (3, 3));
    let port = client.connections[1].client.port();
    let mut scene = Scene::new("rtt=10ms", &linux(), &linux());
    let sockets = [scene.connect(), scene.connect(), scene.connect()];
    for socket in sockets {
        scene.get(socket, "/delay/30", 0);
    }
    scene.world.finish().unwrap();
    let file = scene.files[0].take();
    for filter in [format!("port {port}"), "connection 2".into(), format!("src port {port} and dst port 80")]
    {
        let options = Options { filter: Some(filter.parse().unwrap()), ..Options::default() };
        let summary = explain(file.as_slice(), options).unwrap();
        let numbers: Vec<usize> = summary.connections.iter().map(|c| c.number).collect();
        assert_eq!((summary.seen, numbers), (3, vec![2]), "{filter}");
        assert_eq!(finding(&summary, What::SlowServer).times, 1, "{filter}");
    }
}

/// Connections that never end, full windows that are never acknowledged, single bytes beyond gaps: what is kept of a
/// hostile file is bounded.
#[test]
fn a_hostile_capture_does_not_fill_the_memory() {
    let template = packets(1).into_iter().find(|(_, data)| data.len() > 600).unwrap().1;
    let header = 20 + usize::from(template[32] >> 4) * 4;
    let make = |n: u32| {
        let mut data = template[..header + 1].to_vec();
        let len = data.len() as u16;
        data[2..4].copy_from_slice(&len.to_be_bytes());
        data[36..38].fill(0);
        // 3,000 connections, each with bytes beyond gaps that nobody acknowledges.
        data[12..16].copy_from_slice(&(0x0a00_0000 + n % 3000).to_be_bytes());
        data[24..28].copy_from_slice(&(n / 3000 * 7 + 1).to_be_bytes());
        data
    };
    let all: Vec<u8> = pcap(101, usize::MAX, (0..600_000).map(|n| (n.into(), make(n))));
    let info = allocation_counter::measure(|| {
        let summary = explain(all.as_slice(), Options::default()).unwrap();
        assert_eq!(summary.connections.len(), 3000);
    });
    assert!(info.bytes_max < 160 << 20, "{} MB", info.bytes_max >> 20);
}

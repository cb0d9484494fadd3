//! Whatever arrives, the stack neither panics nor loses count nor grows.

use super::lan::*;
use proptest::prelude::*;
use tcpglass::segment::{Flags, Options, SackBlocks, Segment, Timestamps};
use tcpglass::seq::Seq;
use tcpglass::stream::ByteStream;
use tcpglass::time::Duration;

/// A frame that is near enough to a good one to get far.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let ends = (0usize..6, 0usize..6, 0u16..4, 0u16..4);
    let header = (any::<u8>(), 0u32..100_000, any::<u32>(), any::<u16>());
    let options = (
        prop::option::of(any::<u16>()),
        prop::option::of(any::<u8>()),
        any::<bool>(),
        prop::option::of((any::<u32>(), any::<u32>())),
        prop::option::of((any::<u32>(), any::<u32>())),
    );
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let tcp = (ends, header, options, prop::collection::vec(any::<u8>(), 0..64)).prop_map(
        |((src, dst, src_port, dst_port), (flags, seq, ack, window), options, payload)| {
            let ips = [A4, B4, A6, B6, "10.0.0.255", "224.0.0.1"];
            let (mut src, dst) = (ips[src], ips[dst]);
            if src.contains(':') != dst.contains(':') {
                src = if dst.contains(':') { A6 } else { A4 };
            }
            let (mss, window_scale, sack_permitted, timestamps, block) = options;
            let mut sack = SackBlocks::NONE;
            if let Some((start, end)) = block {
                sack.push(Seq(start), Seq(end));
            }
            let timestamps = timestamps.map(|(value, echo)| Timestamps { value, echo });
            let options = Options {
                mss,
                window_scale,
                sack_permitted,
                timestamps,
                sack,
                fast_open: None,
                signed: false,
                ecn: None,
            };
            let flags = Flags(u16::from(flags));
            let segment =
                Segment { seq: Seq(seq), ack: Seq(ack), flags, window, options, ..Segment::default() };
            packet(addr(src, 78 + src_port), addr(dst, 78 + dst_port), segment, &payload)
        },
    );
    let other = (0usize..2, any::<u8>(), prop::collection::vec(any::<u8>(), 0..120)).prop_map(
        |(six, protocol, body)| {
            let protocol = [1, 6, 17, 58, protocol][usize::from(protocol) % 5];
            // A checksum needs room to be filled in.
            let mut body = [&body[..], &[0; 8]].concat();
            if protocol == 17 {
                let len = body.len() as u16;
                body[0..2].copy_from_slice(&53u16.to_be_bytes());
                body[4..6].copy_from_slice(&len.to_be_bytes());
            }
            let (src, dst) = if six == 1 { (A6, B6) } else { (A4, B4) };
            super::host::ip_packet(src, dst, protocol, body)
        },
    );
    let base = prop_oneof![6 => tcp, 2 => other, 1 => prop::collection::vec(any::<u8>(), 0..200)];
    (base, damage).prop_map(|(mut frame, damage)| {
        for (at, byte) in damage {
            if !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] ^= byte;
            }
        }
        frame
    })
}

/// The same, but its damage does not break the checksum of the IPv4 header.
fn repaired(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.len() >= 20 && frame[0] >> 4 == 4 {
        frame[0] = 0x45;
        let len = frame.len() as u16;
        frame[2..4].copy_from_slice(&len.to_be_bytes());
        smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame).fill_checksum();
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_frames_are_counted_and_do_no_harm(
        frames in prop::collection::vec((frame(), any::<bool>(), any::<bool>(), 0u64..3000), 1..60)
    ) {
        let mut lan = Lan::with(|c| {
            c.tcp.backlog = 4;
            c.dns = vec![A4.parse().unwrap()];
        });
        let listener = lan.b.stack.listen(addr("::", 80), None, OWNER).unwrap();
        lan.b.stack.connect(lan.now, addr(A4, 79), Some(addr(B4, 78)), None, OWNER).unwrap();
        lan.b.stack.resolve(lan.now, "example.test", OWNER).unwrap();
        let mut arrived = 0;
        for (frame, repair, verified, wait) in frames {
            let frame = if repair { repaired(frame) } else { frame };
            lan.b.stack.on_offloaded_frame(lan.now, &frame, std::num::NonZeroU16::new(wait as u16), verified);
            arrived += 1;
            lan.b.sent(lan.now);
            if let Some(accepted) = lan.b.stack.accept(listener, OWNER) {
                let _ = read(&mut lan.b.stack, lan.now, accepted.id);
                lan.b.stack.stream(lan.now, accepted.id).close_write();
                lan.b.stack.release(lan.now, accepted.id);
            }
            lan.now += Duration::from_millis(wait);
            lan.b.stack.on_timeout(lan.now);
            prop_assert_eq!(lan.b.lines.all().iter().filter(|l| l.starts_with("in ")).count(), arrived);
            prop_assert!(lan.b.stack.open_connections() <= 1 + 4 + arrived);
        }
        // In the end nothing is left but TIME-WAIT, and that ends too.
        lan.b.stack.abort_all(lan.now);
        lan.b.sent(lan.now);
        prop_assert_eq!(lan.b.stack.open_connections(), 0);
        lan.pass(Duration::from_secs(200));
        prop_assert_eq!(lan.b.stack.time_waits(), 0);
        prop_assert_eq!(lan.b.stack.next_deadline(), None);
    }

    #[test]
    fn a_connection_survives_damaged_copies_of_its_own_segments(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..40)
    ) {
        let mut lan = Lan::new();
        let (_, client, server) = lan.connected();
        for (at, byte, truncate) in &damage {
            let now = lan.now;
            write(&mut lan.a.stack, now, client, &[1; 700]);
            for frame in lan.a.sent(now) {
                let mut bad = frame.clone();
                let at = at.index(bad.len());
                if *truncate { bad.truncate(at) } else { bad[at] ^= byte | 1 }
                lan.b.stack.on_frame(now, &bad);
                lan.b.stack.on_frame(now, &frame);
            }
            lan.pass(Duration::from_millis(50));
        }
        let mut got = 0;
        while let Ok(piece) = read(&mut lan.b.stack, lan.now, server) {
            prop_assert!(piece.iter().all(|&b| b == 1));
            got += piece.len();
        }
        prop_assert_eq!(got, 700 * damage.len());
    }
}

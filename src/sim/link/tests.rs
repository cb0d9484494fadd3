use super::*;
use crate::segment::{Ecn, Flags, Segment};
use crate::seq::Seq;
use crate::tcp::DropReason;
use crate::wire::Envelope;
use std::net::IpAddr;

const SECOND: Duration = Duration::from_secs(1);

fn link(text: &str) -> Link {
    Link::new(&text.parse().unwrap(), 7, 0)
}

fn millis(n: u64) -> Instant {
    Instant::from_millis(n)
}

/// Everything that arrives until `until`, with its time.
fn arrivals(link: &mut Link, until: Instant) -> Vec<(Instant, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(at) = link.next_deadline().filter(|&at| at <= until) {
        let mut frame = Vec::new();
        if link.pop(at, &mut frame) {
            all.push((at, frame));
        }
    }
    all
}

/// Sends `count` packets of `size` bytes at once, each with its number in it, and returns the numbers that arrive.
fn numbers(link: &mut Link, count: u32, gap: Duration) -> Vec<u32> {
    let mut at = Instant::ZERO;
    for n in 0..count {
        link.push(at, &n.to_be_bytes());
        at += gap;
    }
    arrivals(link, Instant::FAR)
        .into_iter()
        .map(|(_, frame)| u32::from_be_bytes(frame.try_into().unwrap()))
        .collect()
}

fn tcp(addrs: [&str; 2], payload: &[u8]) -> Vec<u8> {
    let [src, dst] = addrs.map(|a| (a.parse::<IpAddr>().unwrap(), 80).into());
    let envelope = Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 1, hops: 64 };
    let seg = Segment {
        seq: Seq(1),
        ack: Seq(1),
        flags: Flags::ACK,
        window: 1000,
        len: payload.len() as u32,
        ..Segment::default()
    };
    let mut frame = vec![0; wire::encoded_len(&envelope, &seg)];
    wire::encode(&mut frame, &envelope, &seg, [payload, &[]]);
    frame
}

const V4: [&str; 2] = ["10.0.0.1", "10.0.0.2"];
const V6: [&str; 2] = ["fd00::1", "fd00::2"];

#[test]
fn an_ideal_link_delivers_at_once_and_in_order() {
    let mut link = link("ideal");
    assert_eq!(link.next_deadline(), None);
    assert_eq!(numbers(&mut link, 100, Duration::ZERO), (0..100).collect::<Vec<_>>());
    assert_eq!(link.totals(), Totals { packets: 100, bytes: 400, ..Totals::default() });
    assert_eq!(link.in_flight(), 0);
}

#[test]
fn one_direction_takes_half_the_rtt() {
    let mut link = link("rtt=100ms");
    let fate = link.push(millis(10), b"packet");
    assert_eq!(fate.arrives, Ok(millis(60)));
    assert!(fate.is_plain());
    let mut out = b"something else".to_vec();
    assert!(!link.pop(Instant::from_nanos(59_999_999), &mut out));
    assert_eq!(link.next_deadline(), Some(millis(60)));
    assert!(link.pop(millis(60), &mut out));
    assert_eq!(out, b"packet");
}

#[test]
fn a_packet_takes_as_long_as_its_bits() {
    // 1500 bytes at 12 Mbit/s are 1 ms.
    let mut link = link("bandwidth=12mbit,rtt=20ms");
    for n in 1..=5 {
        assert_eq!(link.push(Instant::ZERO, &[0; 1500]).arrives, Ok(millis(10 + n)));
    }
    // After a pause the wire is free at once.
    assert_eq!(link.push(millis(100), &[0; 1500]).arrives, Ok(millis(111)));
}

#[test]
fn a_rate_that_does_not_divide_a_second_is_kept_exactly() {
    let mut link = link("bandwidth=7mbit,queue=0");
    let last = (0..7_000).map(|_| link.push(Instant::ZERO, &[0; 1000]).arrives.unwrap()).last();
    assert_eq!(last, Some(Instant::ZERO + 8 * SECOND), "56 Mbit at 7 Mbit/s");
}

#[test]
fn the_queue_holds_so_many_packets_and_drops_the_newest() {
    let mut link = link("bandwidth=12mbit,queue=2");
    let fates: Vec<bool> = (0..5).map(|_| link.push(Instant::ZERO, &[0; 1500]).arrives.is_ok()).collect();
    assert_eq!(fates, [true, true, true, false, false], "one on the wire, two waiting");
    assert_eq!(link.push(Instant::from_nanos(999_999), &[0; 1500]).arrives, Err(Dropped::QueueFull));
    assert_eq!(link.push(millis(1), &[0; 1500]).arrives, Ok(millis(4)), "one has left the queue");
    assert_eq!(link.totals().queue_full, 3);
}

#[test]
fn a_link_without_a_queue_limit_does_not_take_all_memory() {
    let mut link = link("rtt=10min,queue=0");
    let frame = vec![0; 65_535];
    let taken = (0..5_000).filter(|_| link.push(Instant::ZERO, &frame).arrives.is_ok()).count();
    assert_eq!(taken, HELD_MAX / 65_535);
    assert_eq!(link.totals().queue_full, 5_000 - taken as u64);
    assert_eq!(arrivals(&mut link, Instant::FAR).len(), taken);
    assert!(link.push(millis(600_000), &frame).arrives.is_ok(), "there is room again");
}

#[test]
fn losses_come_in_their_share_and_take_their_time_on_the_wire() {
    let mut link = link("loss=10%,bandwidth=32mbit,queue=0"); // a packet of 4 bytes is 1 µs
    let all = numbers(&mut link, 100_000, Duration::ZERO);
    let lost = 100_000 - all.len();
    // Five standard deviations of a binomial with n = 100,000 and p = 1/10 are 474.
    assert!((9_526..=10_474).contains(&lost), "{lost}");
    assert_eq!(link.totals().lost, lost as u64);
    assert!(all.is_sorted());
    assert_eq!(link.push(Instant::ZERO, &[0; 4]).arrives.ok(), Some(Instant::from_micros(100_001)));
}

#[test]
fn everything_is_lost_or_nothing() {
    assert!(numbers(&mut link("loss=100%"), 1000, Duration::ZERO).is_empty());
    assert_eq!(numbers(&mut link("loss=0%"), 1000, Duration::ZERO).len(), 1000);
}

#[test]
fn duplicates_come_in_their_share_right_behind_the_original() {
    let mut link = link("duplicate=10%");
    let all = numbers(&mut link, 100_000, Duration::ZERO);
    let twice = all.len() - 100_000;
    assert!((9_526..=10_474).contains(&twice), "{twice}");
    assert_eq!(link.totals().duplicated, twice as u64);
    assert!(all.is_sorted());
}

#[test]
fn corruption_turns_exactly_one_bit() {
    let mut link = link("corrupt=100%");
    let frame = tcp(V4, &[0x5a; 100]);
    for _ in 0..1000 {
        assert!(link.push(Instant::ZERO, &frame).corrupted);
        let mut out = Vec::new();
        assert!(link.pop(Instant::ZERO, &mut out));
        let turned: u32 = frame.iter().zip(&out).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((turned, out.len()), (1, frame.len()));
    }
}

#[test]
fn the_checksum_catches_every_corrupted_packet() {
    for addrs in [V4, V6] {
        let mut link = link("corrupt=100%");
        let frame = tcp(addrs, b"some payload of odd length!");
        assert!(matches!(wire::decode(&frame, true), Ok(Decoded::Tcp(_))));
        for _ in 0..5000 {
            link.push(Instant::ZERO, &frame);
            let mut out = Vec::new();
            assert!(link.pop(Instant::ZERO, &mut out));
            // Where the TCP header is said to be longer than the packet nobody reckons any more.
            let longer = out.iter().zip(&frame).rposition(|(a, b)| a != b) == Some(frame.len() - 27 - 8);
            let wanted = if longer { DropReason::Malformed } else { DropReason::Checksum };
            let found = wire::decode(&out, true).err();
            assert!(found == Some(wanted) || (longer && found == Some(DropReason::Checksum)), "{found:?}");
        }
    }
}

#[test]
fn short_and_empty_packets_survive_corruption() {
    for frame in [&[][..], &[0x60], &[0x60, 0, 0, 0, 0, 0, 0, 0]] {
        let mut link = link("corrupt=100%");
        link.push(Instant::ZERO, frame);
        let mut out = vec![1];
        assert!(link.pop(Instant::ZERO, &mut out));
        assert_eq!(out, frame);
    }
}

#[test]
fn a_reordered_packet_is_overtaken_by_one_to_four_later_ones() {
    let mut link = link("reorder=10%,rtt=20ms");
    let all = numbers(&mut link, 100_000, Duration::from_micros(10));
    assert_eq!(all.len(), 100_000, "none is lost, none comes twice");
    let reordered = link.totals().reordered;
    assert!((9_526..=10_474).contains(&reordered), "{reordered}");
    // A packet is late when a later one was there before it.
    let (mut newest, mut late, mut by) = (0, 0, [0; 6]);
    for (place, &n) in all.iter().enumerate() {
        if n < newest {
            late += 1;
            let passed = all[..place].iter().rev().take(20).filter(|&&m| m > n).count();
            by[passed.min(5)] += 1;
        }
        newest = newest.max(n);
    }
    assert_eq!(late, reordered);
    // Neighbours that are held back as well are not counted as passing, so that a fifth is possible.
    assert!(by[1] > 1500 && by[2] > 1500 && by[3] > 1500 && by[4] > 1500, "{by:?}");
}

#[test]
fn a_held_packet_that_nothing_overtakes_arrives_all_the_same() {
    let mut link = link("reorder=100%,rtt=20ms,bandwidth=12mbit");
    assert!(link.push(Instant::ZERO, &[0; 1500]).reordered);
    let all = arrivals(&mut link, Instant::FAR);
    assert_eq!(all.len(), 1);
    // 1 ms of sending and 10 ms of way; then 10 ms, four packets' time and 1 ms of waiting.
    assert_eq!(all[0].0, millis(26));
    assert_eq!((link.in_flight(), link.next_deadline()), (0, None));
}

#[test]
fn a_held_duplicate_arrives_twice() {
    let mut link = link("reorder=100%,duplicate=100%");
    link.push(Instant::ZERO, b"one");
    assert_eq!(arrivals(&mut link, Instant::FAR).len(), 2);
}

#[test]
fn drop_nth_counts_segments_with_data_alone() {
    let mut link = link("drop_nth=2+4");
    let (ack, data) = (tcp(V4, b""), tcp(V6, b"x"));
    let mut fates = Vec::new();
    for frame in [&ack, &data, &ack, &data, &data, &ack, &data, &data] {
        fates.push(link.push(Instant::ZERO, frame).arrives.err());
    }
    let (second, fourth) = (Some(Dropped::Nth(2)), Some(Dropped::Nth(4)));
    assert_eq!(fates, [None, None, None, second, None, None, fourth, None]);
    assert_eq!(link.totals().lost_nth, 2);
    assert_eq!(link.push(Instant::ZERO, b"no packet at all").arrives, Ok(Instant::ZERO));
}

#[test]
fn one_seed_gives_one_fate_and_another_seed_or_direction_another() {
    let run = |seed, salt| {
        let config = "loss=20%,duplicate=20%,corrupt=20%,reorder=20%,rtt=5ms".parse().unwrap();
        let mut link = Link::new(&config, seed, salt);
        for n in 0..200u32 {
            link.push(millis(u64::from(n)), &n.to_be_bytes());
        }
        arrivals(&mut link, Instant::FAR)
    };
    assert_eq!(run(1, 0), run(1, 0));
    assert_ne!(run(1, 0), run(2, 0));
    assert_ne!(run(1, 0), run(1, 1));
}

#[test]
fn turning_one_knob_leaves_the_other_faults_where_they_were() {
    let lost = |text: &str| {
        let mut link = link(text);
        (0..1000u32).map(|n| link.push(Instant::ZERO, &n.to_be_bytes()).arrives.is_err()).collect::<Vec<_>>()
    };
    assert_eq!(lost("loss=10%"), lost("loss=10%,duplicate=30%,corrupt=30%,reorder=30%,rtt=1ms"));
}

#[test]
fn a_fate_is_told_in_stable_words() {
    let plain = Fate::plain(Ok(Instant::ZERO));
    for (fate, words) in [
        (plain, vec![]),
        (Fate { arrives: Err(Dropped::Lost), ..plain }, vec!["lost"]),
        (Fate { arrives: Err(Dropped::Nth(6)), ..plain }, vec!["lost-nth"]),
        (Fate { arrives: Err(Dropped::QueueFull), ..plain }, vec!["queue-full"]),
        (
            Fate { corrupted: true, duplicated: true, reordered: true, ..plain },
            vec!["corrupted", "duplicated", "reordered"],
        ),
    ] {
        assert_eq!(fate.is_plain(), words.is_empty());
        assert_eq!(fate.words().collect::<Vec<_>>(), words);
    }
}

fn marked(link: &mut Link, addrs: [&str; 2], ecn: Ecn) -> Ecn {
    let mut frame = tcp(addrs, b"data");
    let bits = wire::ecn_bits(ecn);
    if addrs == V4 {
        let mut ip = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame);
        ip.set_ecn(bits);
        ip.fill_checksum();
    } else {
        frame[1] |= bits << 4;
    }
    link.push(Instant::ZERO, &frame);
    let mut out = Vec::new();
    assert!(link.pop(Instant::ZERO, &mut out));
    let Ok(Decoded::Tcp(packet)) = wire::decode(&out, false) else { panic!("the packet is broken") };
    packet.envelope.ecn
}

#[test]
fn what_is_capable_is_marked_and_stays_valid() {
    for addrs in [V4, V6] {
        let mut link = link("ecn_mark=100%");
        for (sent, came) in
            [(Ecn::Ect0, Ecn::Ce), (Ecn::Ect1, Ecn::Ce), (Ecn::Ce, Ecn::Ce), (Ecn::NotEct, Ecn::NotEct)]
        {
            assert_eq!(marked(&mut link, addrs, sent), came);
        }
        assert_eq!(link.totals().marked, 2);
        assert_eq!(marked(&mut self::link("ideal"), addrs, Ecn::Ect0), Ecn::Ect0);
    }
}

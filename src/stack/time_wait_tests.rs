use super::super::isn::Secrets;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::IpAddr;

const SECOND: Duration = Duration::from_secs(1);

fn cfg() -> Config {
    Config { time_wait: SECOND, rfc1337: true, ..Config::linux() }
}

fn flow(port: u16) -> Flow {
    Flow::new(([10, 0, 0, 2], port).into(), ([10, 0, 0, 1], 80).into())
}

fn wait(timestamps: bool) -> TimeWait {
    TimeWait {
        snd_nxt: Seq(5000),
        rcv_nxt: Seq(9000),
        window: 77,
        timestamps: timestamps.then_some((100, 3)),
        iss: Seq(1),
        irs: Seq(2),
    }
}

fn all() -> TimeWaits {
    TimeWaits::new(Secrets::new(7).table())
}

/// The only entry, which began at 0.
fn only(timestamps: bool, cfg: &Config) -> (TimeWaits, u32) {
    let mut all = all();
    all.add(Instant::ZERO, &flow(1), (1, None), wait(timestamps), cfg);
    let index = find(&all, 1);
    (all, index)
}

fn find(all: &TimeWaits, port: u16) -> u32 {
    all.find(Secrets::new(7).table().hash(&flow(port)), &flow(port)).unwrap()
}

fn seg(flags: Flags, seq: u32, tsval: Option<u32>) -> Segment {
    Segment {
        seq: Seq(seq),
        ack: Seq(5000),
        flags,
        options: Options {
            timestamps: tsval.map(|value| Timestamps { value, echo: 0 }),
            ..Options::default()
        },
        ..Segment::default()
    }
}

#[test]
fn only_a_syn_that_cannot_be_an_old_one_opens_a_new_connection() {
    let (syn, ack) = (Flags::SYN, Flags::ACK);
    for (sentence, stamped, segment, allowed) in [
        ("a number above the last", false, seg(syn, 9001, None), true),
        ("the last number again", false, seg(syn, 9000, None), false),
        ("an older number", false, seg(syn, 8000, None), false),
        ("an older number with a newer time stamp", true, seg(syn, 8000, Some(101)), true),
        ("a newer number with an older time stamp", true, seg(syn, 9001, Some(99)), false),
        ("a newer number in the same millisecond", true, seg(syn, 9001, Some(100)), true),
        ("an older number in the same millisecond", true, seg(syn, 9000, Some(100)), false),
        ("a number above the last, time stamps given up", true, seg(syn, 9001, None), true),
        ("a SYN-ACK", false, seg(syn | ack, 9001, None), false),
        ("a SYN with RST", false, seg(syn | Flags::RST, 9001, None), false),
        ("no SYN", false, seg(ack, 9001, None), false),
    ] {
        let (all, index) = only(stamped, &cfg());
        let waiting = all.get(index);
        assert_eq!(waiting.allows(&segment), allowed, "{sentence}");
    }
}

#[test]
fn segments_are_judged_and_answered() {
    let (fin, ack, rst) = (Flags::FIN | Flags::ACK, Flags::ACK, Flags::RST);
    for (sentence, segment, word, answered) in [
        ("a repeated FIN is acknowledged again", seg(fin, 8999, Some(100)), "old", true),
        ("a reset is ignored (RFC 1337)", seg(rst, 9000, None), "drop-control", false),
        ("a pure acknowledgment in place is fine", seg(ack, 9000, Some(100)), "in-order", false),
        ("a keep-alive probe gets our numbers", seg(ack, 8999, Some(100)), "drop-window", true),
        ("what lies beyond the FIN too", seg(fin, 9500, Some(100)), "drop-window", true),
        ("a SYN in the window too", seg(Flags::SYN, 9000, Some(100)), "drop-control", true),
        ("an old time stamp too", seg(ack, 9000, Some(99)), "drop-paws", true),
    ] {
        let (mut all, index) = only(true, &cfg());
        let answer = all.on_segment(index, Instant::from_millis(10), &segment, &cfg());
        let said = match answer.why {
            Why::Received(received) => received.verdict.word(),
            Why::Dropped(reason) => reason.word(),
            _ => "?",
        };
        assert_eq!((said, answer.reply.is_some()), (word, answered), "{sentence}");
        if let Some((reply, _)) = answer.reply {
            assert_eq!((reply.seq, reply.ack, reply.window), (Seq(5000), Seq(9000), 77), "{sentence}");
            assert_eq!(reply.options.timestamps, Some(Timestamps { value: 10, echo: 100 }), "{sentence}");
        }
    }
}

#[test]
fn doubtful_segments_are_answered_once_per_interval_and_fins_always() {
    let (mut all, index) = only(false, &cfg());
    let mut answered = |at, flags, seq| {
        all.on_segment(index, Instant::from_millis(at), &seg(flags, seq, None), &cfg()).reply.is_some()
    };
    let (ack, fin) = (Flags::ACK, Flags::FIN | Flags::ACK);
    assert!(answered(0, ack, 8000) && !answered(499, ack, 8000) && answered(500, ack, 8000));
    assert!(answered(501, fin, 8999) && answered(502, fin, 8999));
}

#[test]
fn without_rfc_1337_a_reset_with_the_exact_number_and_a_new_time_stamp_ends_the_wait() {
    for (seq, tsval, rfc1337, left) in [
        (9000, 100, false, 0),
        (9000, 99, false, 1),
        (9001, 100, false, 1),
        (8999, 100, false, 1),
        (9000, 100, true, 1),
    ] {
        let (mut all, index) = only(true, &cfg());
        let now = Instant::from_millis(10);
        let cfg = Config { rfc1337, ..cfg() };
        let answer = all.on_segment(index, now, &seg(Flags::RST, seq, Some(tsval)), &cfg);
        assert!(answer.reply.is_none());
        while all.expire(now).is_some() {}
        assert_eq!(all.len(), left, "{seq} {tsval} {rfc1337}");
    }
}

#[test]
fn a_repeated_fin_starts_the_wait_again() {
    let (mut all, index) = only(false, &cfg());
    let half = Instant::from_millis(500);
    all.on_segment(index, half, &seg(Flags::FIN | Flags::ACK, 8999, None), &cfg());
    assert!(all.expire(Instant::ZERO + SECOND).is_none());
    assert_eq!(all.next_deadline(), Some(half + SECOND));
    assert_eq!(all.expire(half + SECOND).map(|(ended, _)| ended), Some(flow(1)));
    assert_eq!((all.len(), all.next_deadline()), (0, None));
}

#[test]
fn a_shorter_wait_ends_before_a_longer_one_that_began_earlier() {
    let (mut all, long) = (all(), Config { time_wait: 60 * SECOND, ..cfg() });
    all.add(Instant::ZERO, &flow(1), (1, None), wait(false), &long);
    all.add(Instant::ZERO, &flow(2), (2, None), wait(false), &cfg());
    assert_eq!(all.expire(Instant::ZERO + SECOND).map(|(_, w)| w.number), Some(2));
    assert!(all.expire(Instant::ZERO + 59 * SECOND).is_none());
}

#[test]
fn no_more_wait_than_are_allowed() {
    let (mut all, cfg) = (all(), Config { time_wait_limit: 3, ..cfg() });
    for port in 0..9 {
        all.add(Instant::ZERO, &flow(port), (1, None), wait(false), &cfg);
    }
    assert_eq!(all.len(), 3);
}

proptest! {
    #[test]
    fn each_wait_ends_when_it_is_over_whatever_the_lengths_of_others(
        steps in prop::collection::vec((0u16..40, 0u32..6, 0u32..4, 0u8..4), 0..300)
    ) {
        let (mut all, mut model, mut now) = (all(), BTreeMap::new(), Instant::ZERO);
        for (port, length, pause, action) in steps {
            now += pause * SECOND / 2;
            let cfg = Config { time_wait: (length + 1) * SECOND, rfc1337: false, ..cfg() };
            match (action, model.contains_key(&port)) {
                (0, true) => {
                    model.remove(&port);
                    all.remove(find(&all, port));
                }
                (1, true) => {
                    model.remove(&port);
                    all.on_segment(find(&all, port), now, &seg(Flags::RST, 9000, None), &cfg);
                }
                (2, true) => {
                    model.insert(port, now + cfg.time_wait);
                    all.on_segment(find(&all, port), now, &seg(Flags::FIN | Flags::ACK, 8999, None), &cfg);
                }
                (3, _) => {
                    while let Some((ended, _)) = all.expire(now) {
                        let port = ended.local().port();
                        let due = model.remove(&port);
                        prop_assert!(due.is_some_and(|due| due <= now && model.values().all(|&other| other >= due)));
                    }
                    prop_assert!(model.values().all(|&due| due > now));
                }
                (_, false) => {
                    model.insert(port, now + cfg.time_wait);
                    all.add(now, &flow(port), (1, None), wait(false), &cfg);
                }
                _ => {}
            }
            prop_assert_eq!(all.len(), model.len());
            prop_assert_eq!(all.next_deadline(), model.values().min().copied());
        }
    }
}

#[test]
fn what_finds_no_lane_of_its_own_waits_too_long_and_not_too_short() {
    let mut all = all();
    for n in 1..=40 {
        let cfg = Config { time_wait: u32::from(n) * SECOND, ..cfg() };
        all.add(Instant::ZERO, &flow(n), (1, None), wait(false), &cfg);
    }
    while let Some(at) = all.next_deadline() {
        while let Some((ended, _)) = all.expire(at) {
            assert!(at >= Instant::ZERO + u32::from(ended.local().port()) * SECOND);
        }
    }
    assert_eq!(all.len(), 0);
}

/// Each in a table of its own size: what one costs at the worst of many counts, a million among them.
#[test]
fn a_million_flows_in_time_wait_cost_less_than_100_bytes_each() {
    let cfg = Config { time_wait_limit: u32::MAX, ..cfg() };
    for six in [false, true] {
        let ip = |n: u32| match six {
            true => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, (n >> 16) as u16, n as u16]),
            false => IpAddr::from((0x0a00_0000 | n).to_be_bytes()),
        };
        let (mut all, mut bytes, mut count, mut worst) = (all(), 0, 0u32, 0);
        for step in [1000, 25, 1023, 1, 6000, 8400, 130_000, 116_000, 262_150, if six { 475_401 } else { 0 }]
        {
            let info = allocation_counter::measure(|| {
                for _ in 0..step {
                    count += 1;
                    let flow = Flow::new((ip(1), 80).into(), (ip(count), count as u16).into());
                    all.add(Instant::ZERO, &flow, (count, None), wait(true), &cfg);
                }
            });
            bytes += info.bytes_current;
            worst = worst.max(bytes.div_euclid(count.into()) + 1);
        }
        assert_eq!(all.len(), if six { 1_000_000 } else { 524_599 });
        println!("{}: {worst} bytes at the worst", if six { "IPv6" } else { "IPv4" });
        assert!(worst < 100, "{worst} bytes");
        let info = allocation_counter::measure(|| while all.expire(Instant::ZERO + SECOND).is_some() {});
        assert!(
            bytes + info.bytes_current < bytes / 20,
            "memory is given back: {} bytes left",
            bytes + info.bytes_current
        );
    }
}

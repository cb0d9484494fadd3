//! The scoreboard on its own: what becomes of records, and that the sums always hold.

use super::*;
use proptest::prelude::*;

fn board(segments: u32) -> Scoreboard {
    let mut b = Scoreboard::new();
    for n in 0..segments {
        push(&mut b, n * 100, 100, u64::from(n));
    }
    b
}

fn push(b: &mut Scoreboard, start: u32, len: u32, ms: u64) {
    let sent = Departed {
        start: Seq(start),
        end: Seq(start + len),
        unit: 100,
        push: true,
        fin: false,
        joined: false,
    };
    b.push(&sent, Instant::from_millis(ms), Departure::default());
}

fn again(b: &mut Scoreboard, start: Seq, end: Seq, ms: u64) -> bool {
    b.resent((start, end), false, Instant::from_millis(ms), Departure::default())
}

fn sack(b: &mut Scoreboard, start: u32, end: u32) -> u32 {
    let mut blocks = SackBlocks::NONE;
    blocks.push(Seq(start), Seq(end));
    let una = b.head().map_or(Seq(0), |head| head.start);
    b.sack(&blocks, (una, Seq(100_000)), &mut Rack::new(), Instant::ZERO, Seq(0)).delivered
}

fn release(b: &mut Scoreboard, una: u32) -> News {
    b.release(Seq(una), &mut Rack::new(), Instant::ZERO, Seq(0))
}

#[test]
fn three_segments_above_a_hole_make_it_lost() {
    let mut b = board(6);
    assert_eq!(sack(&mut b, 100, 300), 2);
    b.judge(100);
    assert_eq!(b.tally().lost, 0);
    assert_eq!(sack(&mut b, 100, 400), 1);
    b.judge(100);
    assert_eq!(b.first_lost().map(|r| (r.start, r.end)), Some((Seq(0), Seq(100))));
    assert_eq!(b.tally(), Tally { out: 6, sacked: 3, lost: 1, resent: 0 });
    b.check();
}

#[test]
fn one_record_for_many_segments_is_cut_by_what_the_peer_reports() {
    let mut b = Scoreboard::new();
    push(&mut b, 0, 1000, 0);
    assert_eq!(sack(&mut b, 300, 600), 3);
    b.judge(100);
    // One record is not three, but its bytes are more than two segments.
    assert_eq!(b.first_lost().map(|r| (r.start, r.end)), Some((Seq(0), Seq(300))));
    b.check();
}

#[test]
fn a_report_of_pieces_of_segments_cuts_no_records() {
    let mut b = Scoreboard::new();
    push(&mut b, 0, 60_000, 0);
    for n in 1..60_000 {
        sack(&mut b, n, n + 99);
    }
    assert_eq!((b.len(), b.tally().sacked), (1, 0));
    (1..600).step_by(2).for_each(|n| assert_eq!(sack(&mut b, n * 100, n * 100 + 199), 1));
    assert_eq!(b.len(), 600, "no more than there are segments");
    b.check();
}

#[test]
fn a_sacked_head_at_a_timeout_means_that_no_sack_can_be_believed() {
    let mut b = board(4);
    sack(&mut b, 100, 400);
    release(&mut b, 100);
    assert!(b.head_is_sacked());
    b.lose_all();
    assert_eq!(b.tally(), Tally { out: 3, sacked: 0, lost: 3, resent: 0 });
    assert_eq!(b.first_lost().map(|r| r.start), Some(Seq(100)));
    b.check();
}

#[test]
fn data_that_was_sent_twice_gives_no_sample() {
    let mut b = board(3);
    assert_eq!(release(&mut b, 150).first, Some(Instant::ZERO));
    b.lose_head();
    again(&mut b, Seq(150), Seq(200), 50);
    let news = release(&mut b, 200);
    assert!(news.resent && news.first.is_none());
    assert_eq!(news.gone, 1);
}

#[test]
fn a_probe_adds_nothing_to_what_is_in_the_network_and_a_needless_repetition_does() {
    let mut b = board(3);
    b.resent((Seq(200), Seq(300)), true, Instant::from_millis(50), Departure::default());
    assert_eq!(b.tally().in_network(), 3);
    b.lose_head();
    assert_eq!(b.tally().in_network(), 2);
    again(&mut b, Seq(0), Seq(100), 60);
    assert_eq!(b.tally().in_network(), 3);
    b.lose_nothing();
    assert_eq!(b.tally(), Tally { out: 3, sacked: 0, lost: 0, resent: 1 });
    assert_eq!(b.tally().in_network(), 4);
    b.check();
}

#[test]
fn small_segments_that_are_repeated_together_are_one_from_then_on() {
    let mut b = Scoreboard::new();
    for n in 0..4 {
        push(&mut b, n * 30, 30, 0);
    }
    b.lose_older(Instant::from_millis(9), Duration::ZERO);
    let end = b.repeatable(Instant::from_millis(9), Seq(0), 100, (Seq(120), Seq(1000))).unwrap();
    assert_eq!(end, Seq(90));
    again(&mut b, Seq(0), end, 10);
    assert_eq!((b.len(), b.tally()), (2, Tally { out: 2, sacked: 0, lost: 2, resent: 1 }));
    b.check();
}

const MANY: u32 = 10_000;

/// What `acks` acknowledgments cost, each of which reports what `block` says, from a window of 10,000 segments; what
/// is found lost is sent again at once.
fn steps(acks: u32, block: impl Fn(u32) -> (u32, u32)) -> u64 {
    let mut b = board(MANY);
    let (mut rack, now) = (Rack::new(), Instant::from_millis(100_000));
    let before = b.steps;
    for n in 0..acks {
        let mut blocks = SackBlocks::NONE;
        let (start, end) = block(n);
        blocks.push(Seq(start * 100), Seq(end * 100));
        b.sack(&blocks, (Seq(0), Seq(MANY * 100)), &mut rack, now, Seq(0));
        b.judge_by_time(&rack, Duration::ZERO, now);
        while let Some(start) = b.first_lost().map(|r| r.start) {
            b.resent((start, start + 100), false, now, Departure::default());
        }
    }
    b.steps - before
}

#[test]
fn an_acknowledgment_costs_what_it_changes_and_not_what_is_in_flight() {
    // One hole and a block that grows by a segment each time.
    let growing = steps(MANY - 1, |n| (1, n + 2));
    assert!(growing < 8 * u64::from(MANY), "{growing} steps");
    // Every second segment is lost.
    let combed = steps(MANY / 2, |n| (2 * n + 1, 2 * n + 2));
    assert!(combed < 8 * u64::from(MANY), "{combed} steps");
    // The same large block for ever, and blocks that begin anywhere in it.
    let same = steps(MANY, |_| (1, MANY));
    assert!(same < 8 * u64::from(MANY), "{same} steps");
    let inside = steps(2 * MANY, |n| (1 + n * 7919 % (MANY - 1), MANY));
    assert!(inside < 16 * u64::from(MANY), "{inside} steps");
}

proptest! {
    #[test]
    fn the_sums_always_hold(ops in prop::collection::vec((0u8..9, 0u32..3000, 1u32..500), 1..80)) {
        let mut b = Scoreboard::new();
        let (mut una, mut nxt) = (0u32, 0u32);
        for (op, at, len) in ops {
            match op {
                0 => {
                    push(&mut b, nxt, len, u64::from(at));
                    nxt += len;
                }
                1 if nxt > una => {
                    una += at % (nxt - una + 1);
                    release(&mut b, una);
                }
                2 if nxt > una => {
                    let start = una + at % (nxt - una);
                    sack(&mut b, start, (start + len).min(nxt));
                    b.judge(100);
                }
                3 => b.lose_older(Instant::from_millis(3000), Duration::from_millis(u64::from(at))),
                4 => b.lose_head(),
                5 => b.lose_all(),
                6 => b.lose_nothing(),
                7 => {
                    b.came_twice(Seq(una), Seq(una + len));
                }
                _ => {
                    if let Some(start) = b.first_lost().map(|r| r.start) {
                        let end = b.repeatable(Instant::from_millis(u64::from(at)), start, len, (Seq(nxt), Seq(nxt))).unwrap();
                        assert!(end.gt(start) && end.le(start + len));
                        again(&mut b, start, end, u64::from(at));
                    }
                }
            }
            b.check();
        }
    }
}

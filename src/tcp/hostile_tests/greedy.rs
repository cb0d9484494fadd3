//! Receivers that want more than their share (Savage et al., TCP Congestion Control with a Misbehaving Receiver, 1999).

use super::*;

/// Ten segments of 1000 bytes are in flight, and there is much more to send.
fn loaded(sack: bool) -> Lab {
    let cfg = Config {
        congestion: Congestion::NewReno,
        send_buffer: 1 << 20,
        send_buffer_initial: 1 << 20,
        ..Config::linux()
    };
    let mut lab = Lab::open(cfg, syn(1000, Some(7), sack), 60_000);
    lab.write(500_000);
    assert_eq!(lab.said().len(), 10);
    lab
}

#[test]
fn acknowledgments_of_single_bytes_open_the_window_by_what_they_cover() {
    let mut lab = loaded(true);
    for byte in 2..=1001 {
        lab.hear_ack(byte, Options::default());
        lab.said();
    }
    assert_eq!(lab.conn.snapshot().cwnd, 11_000, "a thousand ACKs for one segment");
    let mut lab = loaded(true);
    lab.cfg.slow_start_limit = Some(1);
    for byte in (501..=10_001).step_by(500) {
        lab.hear_ack(byte, Options::default());
    }
    assert_eq!(lab.conn.snapshot().cwnd, 20_000, "RFC 3465: bytes, not ACKs");
}

#[test]
fn acknowledgments_of_what_was_never_sent_open_nothing() {
    let mut lab = loaded(true);
    for beyond in [10_002, 20_001, 1_000_000] {
        let received = lab.hear_ack(beyond, Options::default());
        assert_eq!(received.verdict, Verdict::Drop(DropReason::BadAck));
    }
    let state = lab.conn.snapshot();
    assert_eq!((state.cwnd, state.flight), (10_000, 10_000));
    assert!(lab.segments().iter().all(|(seg, _)| seg.len == 0), "no data, at the most a challenge");
}

#[test]
fn duplicates_beyond_what_can_have_brought_them_about_let_nothing_leave() {
    let mut lab = loaded(false);
    let sent: usize = (0..1000)
        .map(|_| {
            lab.hear_ack(1, Options::default());
            lab.segments().iter().filter(|(seg, _)| seg.len > 0).count()
        })
        .sum();
    assert!((3..=20).contains(&sent), "{sent} segments left for ten that were in flight");
}

#[test]
fn with_sack_duplicates_that_report_nothing_count_for_nothing() {
    let mut lab = loaded(true);
    for _ in 0..1000 {
        lab.hear_ack(1, Options::default());
        assert_eq!(lab.said(), []);
    }
    // Reports of the same block again and again are no news either.
    let mut sent = 0;
    for _ in 0..1000 {
        lab.hear_ack(1, blocks(&[(1001, 10_001)]));
        sent += lab.said().len();
    }
    assert!(sent <= 10, "{sent} segments");
}

#[test]
fn echoes_without_an_end_shrink_the_window_once_per_window_and_never_open_it() {
    let cfg = Config {
        congestion: Congestion::NewReno,
        send_buffer: 1 << 20,
        send_buffer_initial: 1 << 20,
        ..Config::linux()
    };
    let mut lab = Lab::half_open(cfg, syn(1000, Some(7), true), 60_000);
    lab.conn.ecn = Some(Box::default());
    assert_eq!(lab.said(), [("SE.".into(), 0, 0)]);
    lab.hear(Flags::ACK, &[]);
    lab.write(500_000);
    lab.said();
    for _ in 0..100 {
        let seg = lab.segment(Flags::ACK | Flags::ECE);
        lab.hear_this(seg, &[]);
        assert_eq!(lab.said(), []);
    }
    assert_eq!(lab.conn.snapshot().ssthresh, 5000);
}

//! RFC 9438's formulas and tables, as numbers.

use super::super::SlowStartExit;
use super::*;
use crate::tcp::Config;

const MSS: u32 = 1000;

fn cubic(config: &Config, segments: u32) -> Cubic {
    Cubic::new(&Start { cwnd: segments * MSS, ssthresh: u32::MAX, mss: MSS, config })
}

/// In congestion avoidance after a loss at `segments`.
fn after_loss(segments: u32) -> Cubic {
    let mut cc = cubic(&Config::linux(), segments);
    lose(&mut cc);
    cc
}

fn lose(cc: &mut Cubic) {
    let flight = cc.cwnd();
    cc.on_congestion(Instant::ZERO, CongestionEvent::Loss, flight, MSS);
}

/// The time that many milliseconds after the start.
fn at(ms: u64) -> Instant {
    Instant::from_millis(1_000_000 + ms)
}

fn sample(now: Instant, acked: u32, prior_flight: u32) -> AckSample {
    let rtt = Duration::from_millis(100);
    AckSample {
        now,
        acked,
        delivered: acked,
        prior_flight,
        rtt: Some(rtt),
        srtt: Some(rtt),
        mss: MSS,
        may_grow: true,
    }
}

/// An ACK for one segment of a full window.
fn ack(cc: &mut Cubic, ms: u64) {
    let flight = cc.cwnd();
    cc.on_ack(&sample(at(ms), MSS, flight));
}

/// A round trip of 100 ms in which each segment of the window is acknowledged.
fn round(cc: &mut Cubic, ms: u64) {
    let segments = u64::from(cc.cwnd() / MSS);
    (0..segments).for_each(|n| ack(cc, ms + n * 100 / segments));
}

#[test]
fn the_cubic_function_goes_through_the_points_of_the_rfc() {
    // W_max in segments, seconds, W_cubic(t) in bytes: 0.4 (t - K)³ + W_max with K = ∛(0.3 W_max / 0.4).
    for (w_max, millis, bytes) in [
        (100, 0, 70_000),
        (100, 2_000, 95_640),
        (100, 4_217, 100_000),
        (100, 8_434, 129_993),
        (100, 10_000, 177_353),
        (1000, 0, 700_000),
        (1000, 9_085, 1_000_000),
        (1000, 20_000, 1_520_066),
    ] {
        let w_max = w_max * MSS;
        let k = plateau(w_max - w_max / 10 * 7, MSS);
        let w = w_cubic(w_max, k, Duration::from_millis(millis), MSS);
        assert!(w.abs_diff(bytes) <= 2, "W_max {w_max}, t {millis} ms: {w} instead of {bytes}");
    }
}

#[test]
fn k_is_the_cube_root_to_a_microsecond() {
    for (segments, micros) in
        [(0, 0), (1, 1_357_208), (30, 4_217_163), (3_000, 19_574_338), (1 << 20, 137_883_820)]
    {
        assert_eq!(plateau(segments * MSS, MSS), micros, "{segments} segments");
    }
}

#[test]
fn a_loss_leaves_seven_tenths_and_the_window_comes_back_to_where_it_was() {
    let mut cc = after_loss(1000);
    assert_eq!((cc.cwnd(), cc.ssthresh()), (700_000, 700_000));
    // K is 9.085 s; a round trip before and after it the window is flat.
    for ms in (0..9_085).step_by(100) {
        round(&mut cc, ms);
    }
    assert!(cc.cwnd().abs_diff(1_000_000) < MSS, "{}", cc.cwnd());
    for ms in (9_085..13_000).step_by(100) {
        round(&mut cc, ms);
    }
    // 0.4 · 4³ segments further.
    assert!(cc.cwnd().abs_diff(1_025_000) < 2 * MSS, "{}", cc.cwnd());
}

#[test]
fn the_window_grows_by_half_of_itself_a_round_trip_at_the_most() {
    let mut cc = after_loss(1000);
    ack(&mut cc, 0);
    let before = cc.cwnd();
    round(&mut cc, 600_000);
    assert!(cc.cwnd() <= before / 2 * 3 + MSS, "{} -> {}", before, cc.cwnd());
    assert!(cc.cwnd() > before / 2 * 3 - 2 * MSS, "{} -> {}: that much it grows", before, cc.cwnd());
}

#[test]
fn the_window_grows_ever_slower_towards_its_plateau_and_ever_faster_beyond() {
    let mut cc = after_loss(1000);
    // What it has grown by at the end of each second; the plateau is at 9.085 s.
    let mut grown = Vec::new();
    for second in 0..18 {
        let before = cc.cwnd();
        (0..10).for_each(|n| round(&mut cc, second * 1000 + n * 100));
        grown.push(cc.cwnd() - before);
    }
    // 0.4 ((t + 1 - K)³ - (t - K)³) segments a second.
    for (t, grown) in grown.iter().enumerate() {
        let place = t as f64 - 9.085;
        let wanted = 0.4 * ((place + 1.0).powi(3) - place.powi(3)) * f64::from(MSS);
        assert!(
            (f64::from(*grown) - wanted).abs() < wanted * 0.25 + f64::from(MSS),
            "{t} s: {grown}, {wanted}"
        );
    }
    assert!(grown[..9].is_sorted_by(|a, b| a > b), "concave: {grown:?}");
    assert!(grown[9..].is_sorted_by(|a, b| a < b), "convex: {grown:?}");
}

#[test]
fn the_window_does_not_fall_where_the_cubic_function_is_below_it() {
    for segments in [4, 20, 200] {
        let mut cc = after_loss(segments);
        let (mut last, mut below) = (cc.cwnd(), 0);
        for n in 0..100 {
            round(&mut cc, n * 100);
            let epoch = cc.state.epoch.clone().unwrap();
            let time = Duration::from_millis(n * 100);
            below += u32::from(w_cubic(cc.state.w_max, epoch.k, time, MSS) < last);
            assert!(cc.cwnd() >= last, "{segments} segments, round {n}: {last} -> {}", cc.cwnd());
            last = cc.cwnd();
        }
        assert!(below > 10 || segments > 20, "{segments}: {below}");
    }
}

#[test]
fn with_small_windows_it_grows_as_reno_would_after_losing_as_little() {
    // K for 20 segments is 2.5 s: until then 9/17 of a segment a round trip is more, and then with catching up one.
    for (reno_catch_up, later) in [(false, MSS * 9 / 17), (true, MSS)] {
        let mut cc = cubic(&Config { reno_catch_up, ..Config::linux() }, 20);
        lose(&mut cc);
        (0..10).for_each(|n| round(&mut cc, n * 100));
        assert!(cc.cwnd().abs_diff(14_000 + 10 * MSS * 9 / 17) < 300, "{}", cc.cwnd());
        (10..25).for_each(|n| round(&mut cc, n * 100));
        let before = cc.state.epoch.clone().unwrap().w_est;
        assert!(before > 20_000, "{before}");
        round(&mut cc, 2500);
        let grown = cc.state.epoch.clone().unwrap().w_est - before;
        assert!(grown.abs_diff(later) < MSS / 10, "{grown} and not {later}");
    }
}

#[test]
fn fast_convergence_takes_a_smaller_peak_for_a_crowded_path() {
    for (on, w_max) in [(true, 59_500), (false, 70_000)] {
        let mut cc = cubic(&Config { fast_convergence: on, ..Config::linux() }, 100);
        lose(&mut cc);
        assert_eq!(cc.state.w_max, 100_000);
        lose(&mut cc);
        assert_eq!((cc.state.w_max, cc.cwnd()), (w_max, 49_000));
    }
}

#[test]
fn after_a_timeout_slow_start_leads_to_a_stage_that_starts_at_its_plateau() {
    let mut cc = cubic(&Config::linux(), 100);
    cc.on_congestion(at(0), CongestionEvent::Rto, 100_000, MSS);
    assert_eq!((cc.cwnd(), cc.ssthresh()), (1000, 70_000));
    while cc.cwnd() < cc.ssthresh() {
        ack(&mut cc, 0);
    }
    ack(&mut cc, 10);
    let epoch = cc.state.epoch.clone().unwrap();
    assert_eq!((epoch.k, cc.state.w_max, epoch.start), (0, 70_000, at(10)));
}

#[test]
fn no_event_leaves_less_than_two_segments_but_a_timeout() {
    for (event, cwnd, ssthresh) in [
        (CongestionEvent::Loss, 2000, 2000),
        (CongestionEvent::Ecn, 2000, 2000),
        (CongestionEvent::Rto, 1000, 2000),
    ] {
        let mut cc = cubic(&Config::linux(), 2);
        cc.on_congestion(at(0), event, 2000, MSS);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (cwnd, ssthresh), "{event:?}");
    }
}

#[test]
fn time_without_a_full_window_does_not_count() {
    let (mut busy, mut idle, mut slow) = (after_loss(100), after_loss(100), after_loss(100));
    for cc in [&mut busy, &mut idle, &mut slow] {
        (0..10).for_each(|n| round(cc, n * 100));
    }
    (10..20).for_each(|n| round(&mut busy, n * 100));

    // Nothing in flight for a minute.
    let flight = idle.cwnd();
    idle.on_ack(&AckSample { may_grow: false, ..sample(at(1000), flight, flight) });
    idle.on_start(at(61_000), Duration::from_secs(60));
    // Half a window in flight for a minute.
    for ms in (1000..61_000).step_by(50) {
        slow.on_ack(&AckSample { may_grow: false, ..sample(at(ms), MSS, 30 * MSS) });
    }
    for cc in [&mut idle, &mut slow] {
        (610..620).for_each(|n| round(cc, n * 100));
        assert!(cc.cwnd().abs_diff(busy.cwnd()) < MSS, "{} and {}", cc.cwnd(), busy.cwnd());
    }
}

#[test]
fn a_restart_after_idleness_leads_back_by_slow_start() {
    let mut cc = after_loss(100);
    round(&mut cc, 0);
    let before = cc.cwnd();
    cc.on_idle(10 * MSS, MSS);
    assert_eq!((cc.cwnd(), cc.ssthresh()), (10_000, 70_000));
    assert!(cc.state.epoch.is_none());
    while cc.cwnd() < cc.ssthresh() {
        ack(&mut cc, 60_000);
    }
    ack(&mut cc, 60_100);
    assert!(cc.cwnd() < before, "no jump from the time that has passed");
    cc.on_idle(100 * MSS, MSS);
    assert!(cc.cwnd() > 10_000, "a window is not opened by idleness");
}

#[test]
fn a_mistake_is_undone_with_everything_it_changed() {
    let mut cc = after_loss(100);
    (0..20).for_each(|n| round(&mut cc, n * 100));
    let before = cc.state.clone();
    // Three quarters of the window, in whole segments.
    let way = (before.cwnd / MSS / 2 + before.cwnd / MSS / 4) * MSS;
    for event in [CongestionEvent::Loss, CongestionEvent::Rto] {
        cc.on_congestion(at(2000), event, 50_000, MSS);
        ack(&mut cc, 2100);
        cc.on_spurious();
        let after = cc.state.clone();
        assert_eq!(
            (after.cwnd, after.ssthresh, after.w_max, after.prior),
            (before.cwnd, way, before.w_max, before.prior)
        );
        let (a, b) = (after.epoch.unwrap(), before.epoch.clone().unwrap());
        assert_eq!((a.start, a.k, a.w_est), (b.start, b.k, b.w_est));
    }
    cc.on_spurious();
    assert_eq!(cc.cwnd(), before.cwnd, "once");
}

#[test]
fn a_window_that_has_overtaken_the_old_one_is_kept_when_the_event_was_a_mistake() {
    let mut cc = after_loss(10);
    (0..100).for_each(|n| round(&mut cc, n * 100));
    assert!(cc.cwnd() > 10_000);
    let before = cc.cwnd();
    cc.on_spurious();
    assert_eq!((cc.cwnd(), cc.ssthresh()), (before, u32::MAX));
}

#[test]
fn no_window_is_beyond_what_tcp_can_express() {
    let mut cc = after_loss(1_000_000);
    for n in 0..2_000 {
        let flight = cc.cwnd();
        cc.on_ack(&sample(at(n * 1_000_000), flight, flight));
    }
    assert_eq!(cc.cwnd(), MAX_CWND);
    let mut fresh = cubic(&Config { hystart: SlowStartExit::Loss, ..Config::linux() }, 10);
    for n in 0..40 {
        let flight = fresh.cwnd();
        fresh.on_ack(&sample(at(n), flight, flight));
    }
    assert_eq!(fresh.cwnd(), MAX_CWND);
}

/// The mean window in segments when each `every`th segment is lost: one loss ends a round trip, the window is reduced
/// and the next round trip begins. From a larger window it would take hundreds of cycles to the same: that is what fast
/// convergence is for, which one flow alone has no use for (§4.7).
fn mean_window(every: u32, rtt: u64, near: u32) -> u32 {
    let mut cc = cubic(&Config { fast_convergence: false, ..Config::linux() }, near * 10 / 9);
    lose(&mut cc);
    let (mut now, mut segments, mut rounds, mut left) = (0, 0u64, 0u64, every);
    let mut losses = 0;
    while losses < 25 {
        let window = cc.cwnd() / MSS;
        let sent = window.min(left);
        for n in 0..sent {
            let now = Instant::from_micros(now + rtt * u64::from(n) / u64::from(window));
            let srtt = Some(Duration::from_micros(rtt));
            let prior_flight = window * MSS;
            cc.on_ack(&AckSample {
                now,
                acked: MSS,
                delivered: MSS,
                prior_flight,
                rtt: srtt,
                srtt,
                mss: MSS,
                may_grow: true,
            });
        }
        now += rtt;
        left -= sent;
        if left == 0 {
            lose(&mut cc);
            (left, losses) = (every, losses + 1);
        }
        // The first cycles lead to the steady state.
        if losses >= 10 {
            segments += u64::from(window);
            rounds += 1;
        }
    }
    (segments / rounds) as u32
}

#[test]
fn the_mean_window_is_that_of_tables_1_and_2() {
    for (rtt, loss, expected) in [
        (100_000, 100, 12),
        (100_000, 1_000, 38),
        (100_000, 10_000, 187),
        (100_000, 100_000, 1054),
        (10_000, 100, 12),
        (10_000, 1_000, 38),
        (10_000, 10_000, 120),
        (10_000, 100_000, 379),
    ] {
        let mean = mean_window(loss, rtt, expected);
        let error = mean.abs_diff(expected) * 100 / expected;
        assert!(error <= 10, "RTT {rtt} µs, a loss in {loss}: {mean} segments instead of {expected}");
    }
}

#[test]
fn a_mark_leaves_more_than_a_loss_with_abe_only() {
    for (abe, left) in [(false, 70), (true, 85)] {
        let mut cc = cubic(&Config { abe, ..Config::linux() }, 100);
        cc.on_congestion(Instant::ZERO, CongestionEvent::Ecn, 100 * MSS, MSS);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (left * MSS, left * MSS));
    }
}

//! Is the window where the algorithms' papers say that it is?

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use tcpglass::sim::link::Totals;
use tcpglass::sim::{Action, Passing};
use tcpglass::tcp::{Congestion, CubicUnits, EcnMode, EcnOption, SlowStartExit, WindowScale};

/// The payload of a full segment with time stamps: the response function counts segments, and small ones are simulated
/// faster. Not below the 536 bytes that a receiver takes for a full segment at first.
const MSS: u64 = 548;
const CHUNK: usize = 1000 * MSS as usize;

/// Buffers that never limit.
fn large() -> Config {
    Config {
        recv_buffer: 64 << 20,
        recv_buffer_initial: 64 << 20,
        send_buffer: 16 << 20,
        send_buffer_initial: 16 << 20,
        window_scale: WindowScale::Shift(14),
        // The response function supposes acknowledgments that do not wait for a reader, which here lags behind.
        ack_adaptive: false,
        ..Config::linux()
    }
}

/// What a flow achieved.
struct Flow {
    /// Segments per round trip.
    window: f64,
    /// Share of packets lost.
    loss: f64,
    hash: u64,
}

/// One flow over a path that loses one segment in `every` by lot: after the time in which 20 are lost, for that in
/// which `events` are.
fn flow(rtt_ms: u64, every: u64, events: u64, seed: u64, cfg: &Config) -> Flow {
    let cfg = Config { mss: Some(MSS as u16 + 12), ..cfg.clone() };
    let link = format!("rtt={rtt_ms}ms,bandwidth=1gbit,queue=0,loss={}%", 100.0 / every as f64);
    let mut world = World::new(seed, link.parse().unwrap());
    let [a, b] = ["10.0.0.1", "10.0.0.2"]
        .map(|ip| world.add_host(ip, host_config(ip.parse().unwrap(), cfg.clone()), Tracer::default()));
    let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
    let (chunk, mut buf) = (vec![7; CHUNK], vec![0; CHUNK]);
    // Several chunks ahead of the reader, so that there is always something to send.
    (0..8).for_each(|_| world.write_all(here, &chunk).unwrap());
    let mut pass = |world: &mut World, chunks: u64| {
        for _ in 0..chunks {
            world.write_all(here, &chunk).unwrap();
            world.read_exact(there, &mut buf).unwrap();
        }
        (world.now(), world.link_totals(a, b))
    };
    let chunks = |events: u64| (events * every / 1000).max(1);
    let (began, before) = pass(&mut world, chunks(20));
    let (ended, after) = pass(&mut world, chunks(events));
    let rounds = ended.since(began).as_secs_f64() * 1000.0 / rtt_ms as f64;
    let window = (chunks(events) * 1000) as f64 / rounds;
    let delta = |count: fn(&Totals) -> u64| (count(&after) - count(&before)) as f64;
    Flow { window, loss: delta(|t| t.lost) / delta(|t| t.packets), hash: world.hash() }
}

/// RFC 9438 §5: the mean window in segments at that loss, the larger of the two regions'.
fn response(rtt_ms: u64, loss: f64) -> f64 {
    let reno = (1.5 / loss).sqrt();
    let cubic = 1.054 * (rtt_ms as f64 / 1000.0 / loss).powf(0.75);
    reno.max(cubic)
}

/// RFC 9438 to the letter: the response function knows no whole segments.
fn in_bytes() -> Config {
    Config { cubic: CubicUnits::Bytes, reno_catch_up: false, ..large() }
}

/// Goodput under random loss, 15 % about the response function. All of the table with `TCPGLASS_LONG=1`. Linux' whole segments
/// are printed beside it: small windows grow later with them.
#[test]
fn cubic_follows_its_response_function() {
    let long = std::env::var_os("TCPGLASS_LONG").is_some();
    let table: &[(u64, u64, u64)] = if long {
        &[
            (10, 100, 2000),
            (10, 1000, 1000),
            (10, 10_000, 400),
            (100, 100, 2000),
            (100, 1000, 1000),
            (100, 10_000, 400),
        ]
    } else {
        &[(10, 100, 150), (100, 100, 150)]
    };
    println!("   RTT    loss  RFC 9438  measured  error  as Linux");
    let mut wrong = Vec::new();
    for &(rtt_ms, every, events) in table {
        let linux = flow(rtt_ms, every, events, 1, &large()).window;
        let flow = flow(rtt_ms, every, events, 1, &in_bytes());
        let expected = response(rtt_ms, flow.loss);
        let error = 100.0 * (flow.window / expected - 1.0);
        let row = format!(
            "{rtt_ms:>3} ms {:>7.5} {expected:>9.1} {:>9.1} {error:>+5.1}% {linux:>9.1}",
            flow.loss, flow.window
        );
        println!("{row}");
        if error.abs() > 15.0 {
            wrong.push(row);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn where_reno_does_well_cubic_does_as_well_and_no_better() {
    let reno = Config { congestion: Congestion::NewReno, ..large() };
    let [cubic, reno] = [in_bytes(), reno].map(|cfg| flow(10, 100, 150, 1, &cfg).window);
    assert!((0.9..1.2).contains(&(cubic / reno)), "{cubic} and {reno} segments");
}

#[test]
fn two_runs_are_the_same() {
    let [one, other] = [(); 2].map(|()| flow(10, 100, 20, 3, &large()).hash);
    assert_eq!(one, other);
    assert_ne!(one, flow(10, 100, 20, 4, &large()).hash);
}

/// 50 Mbit/s and 40 ms hold 172 packets. HyStart++ notices a queue and then opens the window for five more round trips
/// by a quarter each, to three times of what it was: the queue has to have room for that.
#[test]
fn hystart_leaves_slow_start_before_the_queue_overflows() {
    for (hystart, overflows) in [(SlowStartExit::PlusPlus, false), (SlowStartExit::Loss, true)] {
        let link = "rtt=40ms,bandwidth=50mbit,queue=2000";
        let (mut world, a, b) = two_with(1, link, Config { hystart, ..large() });
        let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
        world.transfer(here, there, &bytes(12 << 20)).unwrap();
        assert_eq!(world.link_totals(a, b).queue_full > 0, overflows, "{hystart:?}");
        let state = world.stack(a).conn(here.id).unwrap().snapshot();
        assert!(state.ssthresh < u32::MAX, "{hystart:?}: slow start is over");
        // 12 MiB take 2.01 s on the wire, with headers 2.15 s; what overflows has to be repaired.
        let limit = Instant::from_millis(if overflows { 3500 } else { 2500 });
        assert!(world.now() < limit, "{hystart:?}: done at {}", world.now());
    }
}

#[test]
fn hystart_loses_less_where_the_queue_is_short() {
    let lost = [SlowStartExit::PlusPlus, SlowStartExit::Loss].map(|hystart| {
        let link = "rtt=40ms,bandwidth=50mbit,queue=200";
        let (mut world, a, b) = two_with(1, link, Config { hystart, ..large() });
        let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
        world.transfer(here, there, &bytes(4 << 20)).unwrap();
        world.link_totals(a, b).queue_full
    });
    println!("with HyStart++ {} packets, without {}", lost[0], lost[1]);
    // Recovery spreads what it sends and loses little itself, so the difference is slow start's own: about half.
    assert!(lost[0] * 3 < lost[1] * 2, "{lost:?}");
}

#[test]
fn marked_packets_slow_the_sender_down_before_anything_is_lost() {
    for ecn in [EcnMode::On, EcnMode::Off] {
        let link = "rtt=20ms,bandwidth=50mbit,queue=400,ecn_threshold=50";
        let (mut world, a, b) = two_with(1, link, Config { ecn, hystart: SlowStartExit::Loss, ..large() });
        let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
        world.transfer(here, there, &bytes(4 << 20)).unwrap();
        let totals = world.link_totals(a, b);
        let capable = ecn == EcnMode::On;
        assert_eq!(totals.marked > 0, capable, "{ecn:?}: {totals:?}");
        assert_eq!(totals.queue_full > 0, !capable, "{ecn:?}: {totals:?}");
        let seen = world.stack(b).conn(there.id).unwrap().snapshot().ecn;
        assert_eq!(seen.map(u64::from), capable.then_some(totals.marked));
        // 4 MiB take 0.7 s on the wire: marks cost no throughput.
        assert!(!capable || world.now() < Instant::from_millis(1000), "done at {}", world.now());
    }
}

#[test]
fn marks_by_chance_are_answered_once_a_round_trip_and_repeat_nothing() {
    for abe in [false, true] {
        let link = "rtt=20ms,bandwidth=100mbit,queue=0,ecn_mark=1%";
        let (mut world, a, b) = two_with(3, link, Config { ecn: EcnMode::On, abe, ..large() });
        let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
        world.transfer(here, there, &bytes(2 << 20)).unwrap();
        let totals = world.link_totals(a, b);
        assert!(totals.marked > 5 && totals.lost + totals.queue_full == 0, "{totals:?}");
        let data = (2u64 << 20).div_ceil(1448);
        assert!(totals.packets < data + 200, "ABE {abe}: {} packets for {data} segments", totals.packets);
        assert!(world.stack(a).conn(here.id).unwrap().snapshot().ssthresh < u32::MAX);
    }
}

#[test]
fn pacing_fills_a_path_whose_queue_is_too_short_for_bursts() {
    // The queue holds a tenth of what is in flight.
    let link = "rtt=50ms,bandwidth=50mbit,queue=20";
    let [paced, bursts] = [true, false].map(|pacing| {
        let (mut world, a, b) =
            two_with(1, link, Config { pacing, init_cwnd: 64, hystart: SlowStartExit::Loss, ..large() });
        let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
        world.transfer(here, there, &bytes(64 * 1448)).unwrap();
        (world.link_totals(a, b).queue_full, world.now())
    });
    println!("paced: {} dropped, done at {}; in bursts: {}, {}", paced.0, paced.1, bursts.0, bursts.1);
    assert_eq!(paced.0, 0);
    assert!(bursts.0 > 10);
    assert!(paced.1 < Instant::from_millis(200), "done at {}", paced.1);
}

/// Marks on the way there are all known to the sender in the end, although two thirds of the acknowledgments are lost: so few come that
/// each covers up to six packets, and ACE alone tells them apart (RFC 9768 §3.2.2.5).
#[test]
fn accurate_ecn_tells_the_sender_the_exact_number_of_marks_although_acknowledgments_are_lost() {
    for option in [EcnOption::Full, EcnOption::Sparse, EcnOption::Off] {
        for share in ["1%", "20%", "100%"] {
            let link = format!("rtt=20ms,bandwidth=100mbit,queue=0,ecn_mark={share}");
            // A window that follows the marks would be one or two segments, and wait for each lost acknowledgment.
            let congestion = Congestion::Fixed(40);
            let cfg = Config { ecn: EcnMode::Accurate, ecn_option: option, congestion, ..large() };
            let (mut world, a, b) = two_with(3, &link, cfg);
            let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).unwrap();
            let (mut count, lossy) = (0, Arc::new(AtomicBool::new(true)));
            let loses = lossy.clone();
            world.add_rule(b, a, move |_: &Passing<'_>| {
                count += 1;
                if loses.load(Ordering::Relaxed) && count % 3 != 0 { Action::Drop } else { Action::Pass }
            });
            world.transfer(here, there, &bytes(2 << 20)).unwrap();
            // The last acknowledgment arrives, and with it all that is known.
            lossy.store(false, Ordering::Relaxed);
            world.transfer(here, there, &bytes(100)).unwrap();
            assert!(world.run_until(LONG, |w| w.stack(a).conn(here.id).unwrap().unacked() == 0));
            let (there_marks, back) = (world.link_totals(a, b).marked, world.link_totals(b, a));
            let now = world.now();
            let [sender, receiver] = [here, there].map(|s| world.stack(s.host).info(now, s.id).unwrap());
            println!("{option:?} {share}: {there_marks} marks, {} acknowledgments lost", back.ruled_out);
            assert!(there_marks > 5 && back.ruled_out > 100, "{share}: {there_marks}, {back:?}");
            assert_eq!(u64::from(receiver.received_ce), there_marks, "{option:?} {share}");
            assert_eq!(sender.delivered_ce, receiver.received_ce, "{option:?} {share}");
            if option == EcnOption::Full {
                let bytes = [sender.delivered_ce_bytes, sender.delivered_e0_bytes];
                assert_eq!(bytes, [receiver.received_ce_bytes, receiver.received_e0_bytes], "{share}");
            }
        }
    }
}

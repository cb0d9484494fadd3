//! How fast is each pair at some rate of loss? A table, for `make differential`.
// The one test that measures: speed against a kernel's TCP exists in real time only.
#![allow(clippy::disallowed_methods)]

use super::Host::{Linux, Ours};
use super::*;
use std::io::ErrorKind;
use std::time::Instant;

/// What all cross but for the loss: a window of 208 packets fills it, and its queue takes as many again.
const PATH: &str = "rtt=50ms,bandwidth=50mbit,queue=208";
/// With each share of loss, how many transfers of each pair run at the same time. They share no path, and what they carry
/// together no machine finds hard.
const LOSSES: [(&str, u64); 4] = [("0%", 1), ("0.1%", 3), ("1%", 8), ("3%", 12)];
/// The sender first. The first pair is what the others are held against.
const PAIRS: [[Host; 2]; 3] = [[Linux, Linux], [Ours, Linux], [Linux, Ours]];
/// How long each transfer is looked at, from the connection's beginning.
const LENGTH: Duration = Duration::from_secs(10);
/// How much longer the sender goes on.
const MARGIN: Duration = Duration::from_secs(1);
/// A ratio counts as below one if it is by so many standard errors: once in 700 times by chance.
const SURE: f64 = 3.0;
/// A comparison that could not tell so much of a difference is none.
const NOISE_MAX: f64 = 0.3;

/// Megabits that the second host reads in each second of [`LENGTH`].
fn goodput(pair: [Host; 2], link: &LinkConfig, seed: u64) -> f64 {
    let send = |mut stream: &Stream| {
        let (started, data) = (Instant::now(), vec![7; 64 << 10]);
        stream.limit_writes(MARGIN);
        // Longer than the reader looks; what tells of its end may be lost, so nothing is awaited.
        while started.elapsed() < LENGTH + MARGIN {
            match stream.write(&data) {
                Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                _ => {}
            }
        }
    };
    let receive = |mut stream: &Stream| {
        let started = Instant::now();
        let (mut total, mut buf) = (0, vec![0; 64 << 10]);
        while started.elapsed() < LENGTH {
            total += stream.read(&mut buf).unwrap();
        }
        total as f64 * 8e-6 / started.elapsed().as_secs_f64()
    };
    let ((), speed, _) = between(pair, link, seed, send, receive);
    speed
}

/// The median of some transfers, and its standard error as a part of it.
struct Speed {
    median: f64,
    error: f64,
}

impl Speed {
    fn of(mut all: Vec<f64>) -> Speed {
        all.sort_by(f64::total_cmp);
        let n = all.len();
        let median = (all[(n - 1) / 2] + all[n / 2]) / 2.0;
        let mean = all.iter().sum::<f64>() / n as f64;
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        // Of a normal distribution the median errs by sqrt(pi/2) times what the mean does.
        let error = 1.2533 * (variance / n as f64).sqrt() / median;
        Speed { median, error }
    }
}

/// The speeds at one rate of loss, in the order of [`PAIRS`]: in each round all pairs run side by side, with the same seeds.
fn speeds(loss: &str, at_once: u64, rounds: u64) -> Vec<Speed> {
    let link: &LinkConfig = &format!("{PATH},loss={loss}").parse().unwrap();
    let mut all = [const { Vec::new() }; PAIRS.len()];
    for round in 0..rounds {
        thread::scope(|scope| {
            let seeds = round * at_once..(round + 1) * at_once;
            let start = |(n, seed)| (n, scope.spawn(move || goodput(PAIRS[n], link, seed)));
            let running: Vec<_> =
                seeds.flat_map(|seed| (0..PAIRS.len()).map(move |n| (n, seed))).map(start).collect();
            for (n, one) in running {
                all[n].push(one.join().unwrap());
            }
        });
    }
    all.into_iter().map(Speed::of).collect()
}

/// What `make differential` asks for.
fn rounds() -> Option<u64> {
    let rounds = std::env::var("TCPGLASS_DIFFERENTIAL").ok()?;
    Some(
        rounds
            .parse()
            .ok()
            .filter(|&n| n > 2)
            .expect("TCPGLASS_DIFFERENTIAL is a number of rounds, 3 or more"),
    )
}

#[test]
fn under_loss_we_are_as_fast_as_linux() {
    if rounds().is_none() {
        println!("skipped: under_loss_we_are_as_fast_as_linux takes minutes: make differential");
        return;
    }
    inside("peers::path::goodput::under_loss_we_are_as_fast_as_linux", &["-q"], || {
        let rounds = rounds().unwrap();
        eprintln!("{PATH}; medians of transfers of {} s; ratios to Linux-Linux", LENGTH.as_secs());
        eprintln!("  loss  transfers  sender  receiver  Mbit/s  ratio  noise");
        let mut wrong = Vec::new();
        for (loss, at_once) in LOSSES {
            let speeds = speeds(loss, at_once, rounds);
            for (pair, speed) in PAIRS.iter().zip(&speeds) {
                let ratio = speed.median / speeds[0].median;
                let noise = SURE * ratio * speed.error.hypot(speeds[0].error);
                let [sender, receiver] = pair.map(|host| format!("{host:?}").to_lowercase());
                let transfers = at_once * rounds;
                eprint!("{loss:>6}  {transfers:9}  {sender:>6}  {receiver:>8}  {:6.2}", speed.median);
                if *pair == PAIRS[0] {
                    eprintln!();
                    continue;
                }
                eprintln!("  {ratio:5.2}  {noise:5.2}");
                if noise > NOISE_MAX {
                    wrong.push(format!("{loss} {pair:?}: too noisy, ask for more rounds"));
                } else if ratio < 1.0 - noise {
                    wrong.push(format!("{loss} {pair:?}: {ratio:.2} of Linux's speed"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

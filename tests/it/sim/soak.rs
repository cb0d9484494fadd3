//! What comes out when nothing is planned? Settings, networks and applications drawn by lot.

use super::*;
use std::ops::Range;
use tcpglass::tcp::{Congestion, Nagle, WindowScale};

/// The seeds to run with: `few` of them, or `FIRST..LAST` from the variable `TCPGLASS_SEEDS` for a long run or to repeat
/// one that failed.
pub fn seeds(few: u64) -> Range<u64> {
    let Ok(text) = std::env::var("TCPGLASS_SEEDS") else { return 0..few };
    let (first, last) = text.split_once("..").expect("TCPGLASS_SEEDS=FIRST..LAST");
    first.parse().unwrap()..last.parse().unwrap()
}

/// Settings that change which code runs: each must carry data through everything.
fn settings() -> Vec<(&'static str, Config)> {
    let linux = Config::linux;
    vec![
        ("linux", linux()),
        ("rfc", Config::rfc()),
        ("classic", Config::classic()),
        ("no SACK", Config { sack: false, ..linux() }),
        ("no time stamps", Config { timestamps: false, ..linux() }),
        ("no window scaling", Config { window_scale: WindowScale::Off, ..linux() }),
        ("the largest window scale", Config { window_scale: WindowScale::Shift(14), ..linux() }),
        ("tiny buffers", Config { recv_buffer: 3000, send_buffer: 2000, ..linux() }),
        ("a receive buffer below one segment", Config { recv_buffer: 700, ..linux() }),
        ("tiny segments", Config { mss: Some(100), ..linux() }),
        ("a large fixed window", Config { congestion: Congestion::Fixed(1000), ..linux() }),
        ("Nagle's algorithm", Config { nagle: Nagle::On, ..linux() }),
        ("no Nagle's algorithm", Config { nagle: Nagle::Off, ..linux() }),
        ("no delayed ACKs", Config { ack_delay: Duration::ZERO, ..linux() }),
    ]
}

#[test]
fn every_setting_carries_data_through_every_impairment_and_closes() {
    let link = "rtt=20ms,bandwidth=50mbit,queue=30,loss=2%,reorder=3%,duplicate=2%,corrupt=1%";
    let data = bytes(60_000);
    for (name, cfg) in settings() {
        for seed in seeds(3) {
            let (mut world, a, b) = two_with(seed, link, cfg.clone());
            let context = format!("{name}, seed {seed}");
            let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).expect(&context);
            assert!(world.transfer(here, there, &data).expect(&context) == data, "{context}");
            assert!(world.transfer(there, here, &data).expect(&context) == data, "{context}");
            world.shutdown(here, Shutdown::Write);
            assert_eq!(world.read_to_end(there).expect(&context), b"", "{context}");
            world.close(there);
            assert_eq!(world.read_to_end(here).expect(&context), b"", "{context}");
            world.close(here);
            assert!(world.run_to_end(LONG), "{context}");
            for host in [a, b] {
                assert_eq!(
                    world.stack(host).open_connections() + world.stack(host).time_waits(),
                    0,
                    "{context}"
                );
            }
        }
    }
}

/// An application without manners: small and large writes and reads at odd moments, options changed on the way.
#[test]
fn two_applications_without_manners_get_every_byte() {
    let links = [
        "ideal",
        "rtt=1ms",
        "rtt=40ms,bandwidth=5mbit,queue=8",
        "rtt=10ms,loss=5%,reorder=5%,duplicate=5%,corrupt=2%",
        "rtt=200ms,loss=10%",
    ];
    let settings = settings();
    for seed in seeds(40) {
        let mut rng = Rng::new(seed, 1);
        let mut dice = move |n: usize| rng.below(n as u64) as usize;
        let link = links[dice(links.len())];
        let mut world = World::new(seed, link.parse().unwrap());
        world.check_invariants(true);
        let [one, other] = [dice(settings.len()), dice(settings.len())];
        let context = format!("seed {seed}: {} and {} over {link}", settings[one].0, settings[other].0);
        let [a, b] = [("10.0.0.1", one), ("10.0.0.2", other)].map(|(ip, n)| {
            world.add_host(ip, host_config(ip.parse().unwrap(), settings[n].1.clone()), Tracer::default())
        });
        world.set_offload(a, dice(2) == 0);
        let (here, there) = world.pair(a, b, addr("10.0.0.2:80")).expect(&context);
        let data = bytes(30_000);
        let mut ends = [here, there].map(|socket| (socket, 0, Vec::new(), false));
        let mut buf = vec![0; 40_000];
        for _ in 0..1_000_000 {
            let now = world.now();
            for (socket, written, read, finished) in &mut ends {
                let stack = world.stack(socket.host);
                if *written < data.len() && dice(3) == 0 {
                    let most = [1, 10, 1448, 40_000][dice(4)].min(data.len() - *written);
                    *written += stack.stream(now, socket.id).write(&data[*written..][..most]).unwrap_or(0);
                    if *written == data.len() {
                        stack.stream(now, socket.id).close_write();
                    }
                }
                if !*finished && dice(3) == 0 {
                    let most = [1, 100, 2000, 40_000][dice(4)];
                    match stack.stream(now, socket.id).read(&mut buf[..most]) {
                        Ok(0) => *finished = true,
                        Ok(n) => read.extend_from_slice(&buf[..n]),
                        Err(error) => assert_eq!(error, StreamError::WouldBlock, "{context}"),
                    }
                }
                if dice(50) == 0 {
                    let (nagle, cork) = ([Nagle::Off, Nagle::On, Nagle::Minshall][dice(3)], dice(4) == 0);
                    stack.set_opts(now, socket.id, |opts| (opts.nagle, opts.cork) = (nagle, cork));
                }
                if dice(50) == 0 {
                    stack.set_quickack(now, socket.id, dice(2) == 0);
                }
            }
            if ends.iter().all(|(_, _, _, finished)| *finished) {
                break;
            }
            if dice(2) == 0 || !world.step() {
                world.run_for([MS / 100, MS, 100 * MS][dice(3)]);
            }
        }
        for (socket, _, read, finished) in ends {
            assert!(finished && read == data, "{context}: {} bytes on {socket:?}", read.len());
            world.close(socket);
        }
        assert!(world.run_to_end(LONG), "{context}");
        for host in [a, b] {
            assert_eq!(world.stack(host).open_connections() + world.stack(host).time_waits(), 0, "{context}");
        }
    }
}

/// Connections that begin and end in every way at every moment leave nothing behind.
#[test]
fn connections_that_end_in_any_way_leave_nothing_behind() {
    let links =
        ["ideal", "rtt=20ms", "rtt=20ms,loss=10%,reorder=10%,duplicate=10%,corrupt=5%", "rtt=50ms,loss=30%"];
    for seed in seeds(20) {
        let mut rng = Rng::new(seed, 2);
        let mut dice = move |n: usize| rng.below(n as u64) as usize;
        let link = links[dice(links.len())];
        let context = format!("seed {seed} over {link}");
        // So few ports that they are used again out of TIME-WAIT.
        let cfg = Config {
            ports_first: 2000,
            ports_last: 2003,
            fin_timeout: Duration::from_secs(5),
            ..Config::linux()
        };
        let (mut world, a, b) = two_with(seed, link, cfg);
        let listener = world.listen(b, addr("10.0.0.2:80")).unwrap();
        let mut open: Vec<Socket> = Vec::new();
        let mut buf = [0; 3000];
        for _ in 0..600 {
            let now = world.now();
            if open.len() < 8 && dice(5) == 0 {
                open.extend(world.start_connect(a, addr("10.0.0.2:80")));
            }
            if let Some(accepted) = world.stack(b).accept(listener.id, Owner(9)) {
                open.push(Socket { host: b, id: accepted.id });
            }
            if !open.is_empty() {
                let n = dice(open.len());
                let socket = open[n];
                let stack = world.stack(socket.host);
                match dice(12) {
                    0 => {
                        stack.stream(now, socket.id).abort();
                    }
                    1 => stack.shutdown(now, socket.id, Shutdown::Write),
                    2 => stack.shutdown(now, socket.id, Shutdown::Read),
                    3 => {
                        stack.release(now, socket.id);
                        open.remove(n);
                    }
                    4..8 => drop(stack.stream(now, socket.id).write(&buf[..dice(3000)])),
                    _ => drop(stack.stream(now, socket.id).read(&mut buf)),
                }
            }
            for _ in 0..dice(4) {
                world.step();
            }
            if dice(4) == 0 {
                world.run_for([MS, 30 * MS, Duration::from_secs(2)][dice(3)]);
            }
        }
        for socket in open {
            world.close(socket);
        }
        let now = world.now();
        world.stack(b).close_listener(now, listener.id);
        assert!(world.run_to_end(Duration::from_secs(24 * 3600)), "{context}");
        for host in [a, b] {
            assert_eq!(world.stack(host).open_connections() + world.stack(host).time_waits(), 0, "{context}");
        }
    }
}

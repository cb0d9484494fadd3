//! Do two stacks understand each other? The same conversation over the same seeded network between ours and ours, ours
//! and smoltcp's own socket, and the other way round: 200 lots in `make test`, 10,000 in `make soak`.

mod lot;
mod talk;

use super::soak::seeds;
use super::*;
use lot::Lot;
use std::thread;
use talk::{End, Side};
use tcpglass::sim::ReferenceState;

/// Who talks to whom, the client first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pair {
    OursOurs,
    OursReference,
    ReferenceOurs,
}

const CLIENT: &str = "client";
const SERVER: &str = "server";

/// Says how to repeat a run that panics.
struct Rerun(Lot, Pair);

impl Drop for Rerun {
    fn drop(&mut self) {
        if thread::panicking() {
            let Rerun(lot, pair) = self;
            eprintln!("{pair:?} failed: {lot}");
            eprintln!(
                "TCPGLASS_SEEDS={}..{} cargo test --test it -- sim::differential --nocapture",
                lot.seed,
                lot.seed + 1
            );
        }
    }
}

/// What makes two runs the same run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Print {
    hash: u64,
    end: Instant,
    packets: u64,
    /// It ended early: smoltcp stood still, or did not stop talking.
    stranded: bool,
}

fn run(lot: &Lot, pair: Pair) -> Print {
    let mut world = World::new(lot.seed, lot.link.parse().unwrap());
    world.check_invariants(true);
    let (mut hosts, mut sides) = (Vec::new(), Vec::new());
    // The client is always the first node, so that all three pairs meet the same dice on their ways.
    let mut ours = |world: &mut World, name: &str, which: usize| {
        let config = tcpglass::stack::Config {
            mtu: lot.mtu[which],
            ..host_config(lot.addr(which, 0).ip(), lot.tcp[which].clone())
        };
        let host = world.add_host(name, config, Tracer::default());
        world.set_offload(host, lot.offload[which]);
        hosts.push(host);
        host
    };
    match pair {
        Pair::OursOurs => {
            let (client, server) = (ours(&mut world, CLIENT, 0), ours(&mut world, SERVER, 1));
            for (n, talk) in lot.talks.iter().enumerate() {
                let addr = lot.addr(1, n);
                let listener = world.listen(server, addr).unwrap();
                let socket = world.start_connect(client, addr).unwrap();
                sides.push(Side::new(End::Ours(socket), &talk[0], talk[1].bytes()));
                sides.push(Side::new(End::Awaited(listener), &talk[1], talk[0].bytes()));
            }
        }
        Pair::OursReference => {
            let client = ours(&mut world, CLIENT, 0);
            for (n, talk) in lot.talks.iter().enumerate() {
                let server = world.add_reference(lot.reference(1, n));
                world.reference(server).listen(lot.addr(1, n).port());
                let remote = SocketAddr::new(world.reference(server).addr(), lot.addr(1, n).port());
                let socket = world.start_connect(client, remote).unwrap();
                sides.push(Side::new(End::Ours(socket), &talk[0], talk[1].bytes()));
                sides.push(Side::new(End::Theirs(server), &talk[1], talk[0].bytes()));
            }
        }
        Pair::ReferenceOurs => {
            let first = world.add_reference(lot.reference(0, 0));
            let server = ours(&mut world, SERVER, 1);
            for (n, talk) in lot.talks.iter().enumerate() {
                let client = if n == 0 { first } else { world.add_reference(lot.reference(0, n)) };
                let listener = world.listen(server, lot.addr(1, n)).unwrap();
                world.reference(client).connect(4000, lot.addr(1, n));
                sides.push(Side::new(End::Theirs(client), &talk[0], talk[1].bytes()));
                sides.push(Side::new(End::Awaited(listener), &talk[1], talk[0].bytes()));
            }
        }
    }
    if !converse(&mut world, &mut sides, lot.patience()) {
        return Print { hash: world.hash(), end: world.now(), packets: world.packets(), stranded: true };
    }
    for side in &sides {
        match side.end() {
            End::Ours(socket) => world.close(socket),
            End::Awaited(_) => unreachable!("all are done"),
            End::Theirs(_) => {}
        }
    }
    for side in &sides {
        if let Some(listener) = side.listener() {
            let now = world.now();
            world.stack(listener.host).close_listener(now, listener.id);
        }
    }
    assert!(world.run_to_end(Duration::from_secs(24 * 3600)), "they fall silent");
    for host in hosts {
        let stack = world.stack(host);
        assert_eq!((stack.open_connections(), stack.time_waits()), (0, 0), "nothing is left behind");
    }
    for side in &sides {
        if let End::Theirs(id) = side.end() {
            assert_eq!(world.reference(id).state(), ReferenceState::Closed);
        }
    }
    Print { hash: world.hash(), end: world.now(), packets: world.packets(), stranded: false }
}

/// Lets all sides talk until each has heard everything and the end of it. False if what is left waits for a smoltcp
/// that stands still or does not stop talking by a known defect of its own, [`is_stranded`] and [`babbles`].
///
/// # Panics
/// When for `patience` nobody hears anything new: a deadlock.
fn converse(world: &mut World, sides: &mut [Side], patience: Duration) -> bool {
    let (mut heard, mut since) = (0, world.now());
    loop {
        let wake =
            |sides: &[Side], now| sides.iter().filter_map(|s| s.wake(now)).min().unwrap_or(Instant::FAR);
        let progress = |sides: &[Side]| sides.iter().map(Side::progress).sum::<u64>();
        let first = wake(sides, world.now());
        let until = first.min(since + patience);
        let wait = until.since(world.now());
        world.run_until(wait, |world| {
            sides.iter_mut().for_each(|side| side.act(world));
            progress(sides) > heard || wake(sides, world.now()) < first || babbles(world, sides)
        });
        if babbles(world, sides) {
            return false;
        }
        // What they did last may have been read at once, without an event.
        world.run_for(Duration::ZERO);
        sides.iter_mut().for_each(|side| side.act(world));
        if sides.iter().all(Side::is_done) {
            return true;
        }
        if progress(sides) > heard {
            (heard, since) = (progress(sides), world.now());
        } else if wake(sides, world.now()) >= until {
            let rest = until.since(world.now());
            world.run_for(rest);
            if world.now() >= since + patience {
                if sides.chunks(2).all(|ends| ends.iter().all(Side::is_done) || is_stranded(world, ends)) {
                    return false;
                }
                let open = sides.chunks(2).filter(|ends| !ends.iter().all(Side::is_done)).flatten();
                let open: String = open.map(|side| side.describe(world)).collect();
                panic!("nobody has heard anything since {since}:\n{open}");
            }
        }
    }
}

/// Whether a smoltcp that has said all it had to say sends empty segments without end.
///
/// When its data and its FIN are acknowledged with a closed window, its timer for window probes still goes off. There is
/// nothing left to probe with, and what it sends instead does not set the timer anew: it sends the same again at once, or,
/// with nothing to send in its place, comes to word at one moment without end.
fn babbles(world: &mut World, sides: &[Side]) -> bool {
    const MORE_THAN_ANY_TALK: u64 = 100_000;
    let theirs = sides.iter().filter_map(|side| match side.end() {
        End::Theirs(id) => Some(id),
        _ => None,
    });
    theirs.into_iter().any(|id| world.reference(id).babbles())
        || world.packets() > MORE_THAN_ANY_TALK
            && sides.chunks(2).any(|ends| {
                let mut theirs = ends.iter().filter_map(|side| match side.end() {
                    End::Theirs(id) => Some(id),
                    _ => None,
                });
                let mut ours = ends.iter().filter_map(|side| match side.end() {
                    End::Ours(socket) => Some(socket.host),
                    _ => None,
                });
                let (Some(reference), Some(host)) = (theirs.next(), ours.next()) else { return false };
                let said_all = world.reference(reference).state() == ReferenceState::FinWait2;
                said_all && world.link_totals(reference, host).packets > MORE_THAN_ANY_TALK
            })
}

/// Whether of two ends smoltcp is the one to act: it has something to send, our window is open, and we have nothing
/// that it lacks.
///
/// Its socket has one timer for everything. Data or a FIN that is lost before the window closes is forgotten by it: the
/// retransmission that meets the closed window leaves no timer, or the timer of the window probes takes its place and
/// probes for ever, with a byte beyond the gap, a window that has long been open (RFC 6298 §5.1, RFC 9293 §3.8.1).
fn is_stranded(world: &mut World, ends: &[Side]) -> bool {
    let mut theirs = false;
    let mut ours = true;
    for side in ends {
        match side.end() {
            End::Theirs(id) => theirs = world.reference(id).owes(),
            End::Awaited(_) => ours = false,
            End::Ours(socket) => {
                let conn = world.stack(socket.host).conn(socket.id);
                ours = conn.is_some_and(|conn| {
                    let state = conn.snapshot();
                    state.flight == 0 && state.unsent == 0 && conn.receive_window() > 0
                });
            }
        }
    }
    theirs && ours
}

fn check(seed: u64, pair: Pair) -> Print {
    let lot = Rerun(Lot::draw(seed, pair != Pair::OursOurs), pair);
    let first = run(&lot.0, pair);
    assert_eq!(run(&lot.0, pair), first, "two runs of one seed are the same to the last byte");
    first
}

fn check_all(pair: Pair) {
    let (seeds, workers) = (seeds(200), thread::available_parallelism().map_or(1, |n| n.get()));
    let prints: Vec<Print> = thread::scope(|scope| {
        let worker = |n: usize| {
            let seeds = seeds.clone().skip(n).step_by(workers);
            scope.spawn(move || seeds.map(|seed| check(seed, pair)).collect::<Vec<_>>())
        };
        let all: Vec<_> = (0..workers).map(worker).collect();
        let join = |one: thread::ScopedJoinHandle<'_, _>| {
            one.join().expect("a lot failed; how to repeat it stands above")
        };
        all.into_iter().flat_map(join).collect()
    });
    let (lots, packets) = (prints.len(), prints.iter().map(|print| print.packets).sum::<u64>());
    let stranded = prints.iter().filter(|print| print.stranded).count();
    println!("{pair:?}: {lots} lots, each twice, {packets} packets; smoltcp stood still in {stranded}");
    assert!(stranded <= lots.div_ceil(50), "what excuses more than one lot in fifty is no rare defect");
}

#[test]
fn whatever_is_drawn_we_understand_each_other() {
    check_all(Pair::OursOurs);
}

#[test]
fn whatever_is_drawn_smoltcp_understands_us_as_a_client() {
    check_all(Pair::OursReference);
}

#[test]
fn whatever_is_drawn_smoltcp_understands_us_as_a_server() {
    check_all(Pair::ReferenceOurs);
}

/// What is drawn is worth drawing: each knob, fault and manner of the lists comes up.
#[test]
fn two_hundred_lots_have_something_of_everything() {
    let lots: Vec<Lot> = (0..200).map(|seed| Lot::draw(seed, false)).collect();
    let all = lots.iter().map(Lot::to_string).collect::<String>();
    for word in lot::vocabulary() {
        assert!(all.contains(&word), "{word} never comes up");
    }
    let talks = || lots.iter().flat_map(|lot| &lot.talks);
    assert!(talks().any(|[a, b]| a.bytes() > 0 && b.bytes() > 0));
    assert!(talks().any(|[a, b]| a.bytes() == 0 && b.bytes() == 0), "only a handshake and a farewell");
    assert!(lots.iter().any(|lot| lot.talks.len() > 1) && lots.iter().any(|lot| lot.addr(0, 0).is_ipv6()));
}

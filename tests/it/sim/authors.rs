//! Does the simulator do what tests of other people's code need?

#[path = "../../../examples/test_your_client.rs"]
mod test_your_client;

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;
use tcpglass::sim::rule::{drop_nth, reset_after_bytes, stall_at};
use tcpglass::sim::{Action, HostId, Passing, SimError, World};
use tcpglass::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_example_for_test_authors_holds() {
    test_your_client::keep_alive_race().unwrap();
    test_your_client::rst_eats_413().unwrap();
    test_your_client::port_exhaustion().unwrap();
    test_your_client::forty_ms_stall().unwrap();
}

fn two(seed: u64, link: &str) -> (World, HostId, HostId) {
    let mut world = World::new(seed, link.parse().unwrap());
    let (client, server) = (world.add([10, 0, 0, 1]), world.add([10, 0, 0, 2]));
    (world, client, server)
}

const PEER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

#[test]
fn a_dropped_segment_is_repeated_and_arrives() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    let (near, far) = world.pair(client, server, PEER).unwrap();
    let (sent, received) = (world.record(client), world.record(server));
    world.add_rule(client, server, drop_nth(3));
    let data = vec![1; 10 * 1448];
    assert_eq!(world.transfer(near, far, &data).unwrap(), data);
    let repeated = sent.count(|p| p.seg.len > 0) - 10;
    assert_eq!(repeated, 1, "{sent}");
    assert_eq!(received.received("out-of-order"), 7, "{received}");
    assert_eq!(world.link_totals(client, server).ruled_out, 1);
}

#[test]
fn a_reset_on_the_way_reaches_both_ends() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    let (near, far) = world.pair(client, server, PEER).unwrap();
    world.add_rule(client, server, reset_after_bytes(5000));
    let error = world.transfer(near, far, &vec![1; 100_000]).unwrap_err();
    assert!(error.to_string().contains("reset"), "{error}");
    world.run_for(20 * MS);
    for socket in [near, far] {
        assert_eq!(world.state(socket), tcpglass::tcp::State::Closed);
    }
    // Another connection passes.
    let again = world.pair(client, server, ([10, 0, 0, 2], 81)).unwrap();
    assert_eq!(world.transfer(again.0, again.1, &vec![1; 100_000]).unwrap().len(), 100_000);
}

#[test]
fn a_stall_holds_everything_back_and_nothing_is_out_of_order() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    let (near, far) = world.pair(client, server, PEER).unwrap();
    world.run_for(100 * MS);
    let received = world.record(server);
    world.add_rule(client, server, stall_at(3000, 150 * MS));
    let start = world.now();
    world.transfer(near, far, &vec![1; 10 * 1448]).unwrap();
    assert_eq!(world.now().since(start), 160 * MS);
    assert_eq!(received.received("out-of-order"), 0, "{received}");
}

#[test]
fn a_closure_is_a_rule_and_each_action_does_what_it_says() {
    for (action, word, at) in [
        (Action::Pass, "in-order", 10),
        (Action::Duplicate, "old", 10),
        (Action::Corrupt, "drop-checksum", 10),
        (Action::Delay(7 * MS), "in-order", 17),
        (Action::Drop, "in-order", 0),
    ] {
        let (mut world, client, server) = two(1, "rtt=20ms");
        let (near, _) = world.pair(client, server, PEER).unwrap();
        world.run_for(100 * MS);
        let (start, received) = (world.now(), world.record(server));
        let mut first = true;
        world.add_rule(client, server, move |packet: &Passing<'_>| {
            let this = std::mem::take(&mut first) && packet.payload == b"hello";
            if this { action } else { Action::Pass }
        });
        world.write_all(near, b"hello").unwrap();
        world.run_for(20 * MS);
        let packets = received.packets();
        let found = packets.iter().find(|p| p.word == word).map_or(0, |p| p.at.since(start).as_millis());
        assert_eq!(found, at, "{action:?}: {received}");
    }
}

#[test]
fn tasks_give_the_same_run_each_time() {
    let run = || {
        let (mut world, client, server) = two(9, "rtt=20ms,bandwidth=10mbit,loss=5%");
        world.spawn(server, |net| {
            let listener = net.listen(80).unwrap();
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                stream.write_all(&all).unwrap();
            }
        });
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                world.spawn(client, move |net| {
                    net.sleep(n * MS);
                    let mut stream = net.connect(PEER).unwrap();
                    stream.write_all(&vec![n as u8; 50_000]).unwrap();
                    stream.shutdown(tcpglass::tcp::Shutdown::Write).unwrap();
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back).unwrap();
                    (back.len(), net.now())
                })
            })
            .collect();
        let ended: Vec<_> = tasks.into_iter().map(|task| world.join(task).unwrap()).collect();
        assert!(ended.iter().all(|e| e.0 == 50_000), "{ended:?}");
        (ended, world.hash())
    };
    assert_eq!(run(), run());
}

#[test]
fn errors_have_the_kinds_of_std() {
    let (mut world, client, _) = two(1, "rtt=20ms");
    let task = world.spawn(client, |net| {
        let refused = net.connect(PEER).map(|_| ()).unwrap_err().kind();
        let listener = net.listen(7).unwrap();
        let taken = net.listen(7).map(|_| ()).unwrap_err().kind();
        drop(listener);
        (refused, taken, net.listen(7).is_ok())
    });
    let expected = (ErrorKind::ConnectionRefused, ErrorKind::AddrInUse, true);
    assert_eq!(world.join(task).unwrap(), expected);
}

#[test]
fn a_task_that_waits_for_ever_is_told_of_and_ends_with_its_world() {
    let (mut world, client, _) = two(1, "rtt=20ms");
    let (alive, gone) = mpsc::channel::<()>();
    let task = world.spawn(client, move |net| {
        let _alive = alive;
        let listener = net.listen(7).unwrap();
        // Even a task that pays no heed to errors ends.
        while listener.accept().is_err() {}
    });
    assert!(matches!(world.join(task), Err(SimError::Stalled { call: "join", .. })));
    drop(world);
    assert!(gone.recv().is_err(), "the thread still holds its end");
}

#[test]
#[should_panic(expected = "as the task says")]
fn a_task_that_panics_fails_the_test() {
    let (mut world, client, _) = two(1, "rtt=20ms");
    let task = world.spawn(client, |net| {
        net.sleep(MS);
        panic!("as the task says");
    });
    world.join(task).unwrap();
}

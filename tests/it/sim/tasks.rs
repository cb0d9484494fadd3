//! Do tasks in blocking style find what programs of threads and `std::net` take for granted?

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use tcpglass::sim::{HostId, NameServer, Net, SimError, TcpStream, World, host_config};
use tcpglass::tcp::Config;
use tcpglass::time::Duration;
use tcpglass::trace::Tracer;

const MS: Duration = Duration::from_millis(1);
const PEER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

fn two(seed: u64, link: &str) -> (World, HostId, HostId) {
    let mut world = World::new(seed, link.parse().unwrap());
    let mut add = |name, last| {
        let config = host_config([10, 0, 0, last].into(), Config::linux());
        world.add_host(name, config, Tracer::default())
    };
    let hosts = (add("client", 1), add("server", 2));
    (world, hosts.0, hosts.1)
}

/// Answers each line after as many milliseconds as it says, each connection in a task of its own.
fn serve(net: &Net) -> io::Result<()> {
    for stream in net.listen(80)?.incoming() {
        let mut stream = stream?;
        net.spawn(move |net| -> io::Result<()> {
            let mut byte = [0];
            while stream.read(&mut byte)? > 0 {
                net.sleep(u32::from(byte[0]) * MS);
                stream.write_all(&byte)?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// Connects, asks for an answer after so many milliseconds, and returns how long all took.
fn ask(net: &Net, wait: u8) -> io::Result<u128> {
    let start = net.now();
    let mut stream = net.connect(PEER)?;
    stream.write_all(&[wait])?;
    stream.read_exact(&mut [0])?;
    Ok(net.now().since(start).as_millis())
}

#[test]
fn a_server_holds_as_many_connections_as_come_and_none_waits_for_another() {
    let run = || {
        let (mut world, client, server) = two(3, "rtt=20ms");
        world.spawn(server, serve);
        let task = world.spawn(client, |net| {
            let tasks = [200, 10, 100, 0].map(|wait| net.spawn(move |net| ask(net, wait)));
            tasks.map(|task| task.join().unwrap().unwrap())
        });
        (world.join(task).unwrap(), world.hash())
    };
    assert_eq!(run().0, [240, 50, 140, 40], "a handshake, a round trip and what the server waits");
    assert_eq!(run(), run());
}

#[test]
fn three_hundred_connections_at_a_time_are_served_and_all_tasks_end() {
    let (mut world, client, server) = two(3, "rtt=20ms");
    world.spawn(server, serve);
    let task = world.spawn(client, |net| {
        let tasks: Vec<_> = (0..300).map(|n| net.spawn(move |net| ask(net, (n % 100) as u8))).collect();
        tasks.into_iter().map(|task| task.join().unwrap().unwrap()).sum::<u128>()
    });
    assert_eq!(world.join(task).unwrap(), 300 * 40 + 3 * 99 * 50);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.waiting().len(), 1, "who accepts: {:?}", world.waiting());
}

#[test]
fn one_task_reads_while_another_one_writes_to_the_same_connection() {
    let (mut world, client, server) = two(1, "rtt=20ms,bandwidth=10mbit,loss=2%");
    world.spawn(server, |net| -> io::Result<u64> {
        let (stream, _) = net.listen(80)?.accept()?;
        io::copy(&mut &stream, &mut &stream)
    });
    let task = world.spawn(client, |net| -> io::Result<(usize, u64)> {
        let mut stream = net.connect(PEER)?;
        let mut reader = stream.try_clone()?;
        // More than all buffers of the way hold: a writer that does not read would wait for ever.
        let reads = net.spawn(move |_| io::copy(&mut reader, &mut io::sink()));
        let data = vec![7; 10 << 20];
        stream.write_all(&data)?;
        stream.shutdown(Shutdown::Write)?;
        Ok((data.len(), reads.join().unwrap()?))
    });
    let (sent, back) = world.join(task).unwrap().unwrap();
    assert_eq!(sent as u64, back);
}

#[test]
fn tasks_share_channels_locks_and_conditions_of_std() {
    let run = || {
        let (mut world, client, server) = two(5, "rtt=20ms");
        world.spawn(server, serve);
        let task = world.spawn(client, |net| {
            // A pool of one connection that is locked while it is in use, workers that take jobs from a channel.
            let pool = Arc::new(Mutex::new(net.connect(PEER).unwrap()));
            let (jobs, queue) = mpsc::channel::<u8>();
            let (queue, (done, all)) = (Arc::new(Mutex::new(queue)), mpsc::channel());
            for worker in 0..3 {
                let (pool, queue, done) = (pool.clone(), queue.clone(), done.clone());
                net.spawn(move |net| {
                    loop {
                        let Ok(job) = queue.lock().unwrap().recv() else { return };
                        let mut stream = pool.lock().unwrap();
                        stream.write_all(&[job]).unwrap();
                        stream.read_exact(&mut [0]).unwrap();
                        done.send((worker, job, net.now().as_millis())).unwrap();
                    }
                });
            }
            drop(done);
            let bell = Arc::new((Mutex::new(false), Condvar::new()));
            let rings = bell.clone();
            net.spawn(move |net| {
                net.sleep(100 * MS);
                *rings.0.lock().unwrap() = true;
                rings.1.notify_all();
            });
            let waited = bell.1.wait_while(bell.0.lock().unwrap(), |rung| !*rung).unwrap();
            assert!(*waited);
            assert_eq!(net.now().as_millis(), 120, "the handshake, and what the other task slept");
            (0..6).for_each(|job| jobs.send(job).unwrap());
            drop(jobs);
            all.iter().map(|(_, job, at)| (job, at)).collect::<Vec<_>>()
        });
        world.join(task).unwrap()
    };
    // One after the other, in whichever order they got the lock: a round trip and what the server waits each.
    let mut done = run();
    assert_eq!(done.last().unwrap().1, 120 + 6 * 20 + 15);
    done.sort_unstable();
    assert!((0..6).eq(done.iter().map(|(job, _)| *job)), "{done:?}");
}

/// One waits for what the other one sends: then each run is the same.
#[test]
fn a_channel_between_two_tasks_gives_the_same_run_each_time() {
    let run = || {
        let (mut world, client, server) = two(5, "rtt=20ms,loss=5%");
        world.spawn(server, serve);
        let task = world.spawn(client, |net| {
            let (lines, next) = mpsc::channel::<u8>();
            let mut stream = net.connect(PEER).unwrap();
            let mut reader = stream.try_clone().unwrap();
            net.spawn(move |_| {
                let mut byte = [0];
                while reader.read_exact(&mut byte).is_ok() && lines.send(byte[0]).is_ok() {}
            });
            (0..20)
                .map(|n| {
                    stream.write_all(&[n]).unwrap();
                    (next.recv().unwrap(), net.now())
                })
                .collect::<Vec<_>>()
        });
        (world.join(task).unwrap(), world.hash())
    };
    assert_eq!(run(), run());
}

#[test]
fn who_waits_for_whom_is_told_when_nothing_will_ever_happen() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    let (never, rx) = mpsc::channel::<()>();
    world.spawn(server, |net| -> io::Result<()> {
        let (mut stream, _) = net.listen(80)?.accept()?;
        stream.read_exact(&mut [0; 2])
    });
    world.spawn(server, move |_| rx.recv());
    let task = world.spawn(client, |net| {
        let mut stream = net.connect(PEER).unwrap();
        stream.write_all(b"x").unwrap();
        let reads = net.spawn(move |_| stream.read(&mut [0]));
        reads.join().unwrap()
    });
    let error = world.join(task).unwrap_err();
    let text = error.to_string();
    let SimError::Stalled { call: "join", waiting, .. } = error else { panic!("{error}") };
    let doing: Vec<_> = waiting.iter().map(|w| (w.task, w.host.as_str(), w.doing.as_str())).collect();
    assert!(waiting.iter().all(|w| w.begun_at.contains("tasks.rs:")), "{text}");
    assert_eq!(doing.len(), 4, "{text}");
    for (task, host, words) in [
        (3, "client", "joins task 4"),
        (4, "client", "reads at 10.0.0.1:"),
        (1, "server", "reads at 10.0.0.2:80 what 10.0.0.1:"),
        (2, "server", "waits for a lock or a channel"),
    ] {
        assert!(doing.iter().any(|d| (d.0, d.1) == (task, host) && d.2.starts_with(words)), "{task}: {text}");
    }
    drop(never);
}

#[test]
fn a_panic_that_nobody_joined_is_named_where_somebody_waits_for_it() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    world.spawn(server, |net| {
        net.sleep(5 * MS);
        panic!("no port today");
    });
    let task = world.spawn(client, |net| {
        net.sleep(MS);
        net.listen(9).unwrap().accept().unwrap();
    });
    let text = world.join(task).unwrap_err().to_string();
    assert!(text.contains("on server") && text.contains("has panicked (no port today)"), "{text}");
}

#[test]
fn time_outs_of_connecting_reading_and_writing_are_virtual_and_have_the_kinds_of_std() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    world.spawn(server, |net| -> io::Result<()> {
        let (_stream, _) = net.listen(80)?.accept()?;
        net.sleep(Duration::from_secs(3000));
        Ok(())
    });
    let task = world.spawn(client, |net| -> io::Result<()> {
        let after = |since, ms| assert_eq!(net.now().since(since).as_millis(), ms);
        let start = net.now();
        let gone = net.connect_timeout(([10, 0, 0, 99], 80), 300 * MS).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::TimedOut);
        after(start, 300);
        assert_eq!(net.connect_timeout(PEER, Duration::ZERO).unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut stream = net.connect_timeout(PEER, 300 * MS)?;
        stream.set_read_timeout(Some(150 * MS))?;
        assert_eq!(stream.read_timeout()?, Some(150 * MS));
        assert_eq!(
            stream.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let start = net.now();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        after(start, 150);
        // The window closes: nobody reads.
        stream.set_write_timeout(Some(70 * MS))?;
        let error = (0..1000).find_map(|_| stream.write_all(&[0; 65_536]).err()).expect("no end of room");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        stream.set_nonblocking(true)?;
        let start = net.now();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        after(start, 0);
        let listener = net.listen(0)?;
        listener.set_nonblocking(true)?;
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    });
    world.join(task).unwrap().unwrap();
}

#[test]
fn what_was_peeked_at_can_still_be_read_and_clones_share_their_settings() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    world.spawn(server, |net| -> io::Result<()> {
        let mut stream = net.listen(80)?.accept()?.0;
        stream.write_all(b"hello")
    });
    let task = world.spawn(client, |net| -> io::Result<(String, String)> {
        let mut stream = net.connect(PEER)?;
        let mut seen = [0; 3];
        assert_eq!(stream.peek(&mut seen)?, 3);
        let clone = stream.try_clone()?;
        clone.set_nodelay(true)?;
        clone.set_read_timeout(Some(MS))?;
        assert!(stream.nodelay()? && stream.read_timeout()? == Some(MS));
        drop(clone);
        let mut all = String::new();
        stream.read_to_string(&mut all)?;
        Ok((String::from_utf8_lossy(&seen).into(), all))
    });
    assert_eq!(world.join(task).unwrap().unwrap(), ("hel".into(), "hello".into()));
}

#[test]
fn names_of_hosts_are_known_and_others_are_looked_up_over_the_network() {
    for late in [false, true] {
        let (mut world, client, server) = two(1, "rtt=20ms");
        let names = || NameServer::new([10, 0, 0, 53]).name("glass.test", [10, 0, 0, 2]).takes(5 * MS);
        if !late {
            world.add_name_server(names());
        }
        let third = world.add([10, 0, 0, 3]);
        if late {
            world.add_name_server(names());
        }
        world.spawn(server, serve);
        for host in [client, third] {
            let task = world.spawn(host, |net| -> io::Result<[u128; 2]> {
                let took = |name: &str| -> io::Result<u128> {
                    let start = net.now();
                    net.connect((name, 80))?;
                    Ok(net.now().since(start).as_millis())
                };
                assert_eq!(net.lookup("Glass.test.")?, [IpAddr::from([10, 0, 0, 2])]);
                assert_eq!(net.connect("nowhere.test:80").unwrap_err().kind(), ErrorKind::NotFound);
                assert_eq!(net.connect("glass.test").unwrap_err().kind(), ErrorKind::InvalidInput);
                Ok([took("glass.test")?, took("server")?])
            });
            assert_eq!(world.join(task).unwrap().unwrap(), [45, 20]);
        }
    }
}

#[test]
fn threads_that_are_no_tasks_and_tasks_of_other_hosts_are_told_so() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    world.spawn(server, serve);
    let task = world.spawn(client, |net| {
        let mut stream = net.connect(PEER).unwrap();
        let mut clone = stream.try_clone().unwrap();
        let other = thread::spawn(move || clone.write(b"x").unwrap_err());
        let error = other.join().unwrap();
        assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("no task"), "{error}");
        stream.write_all(&[1]).unwrap();
        stream
    });
    let stream: TcpStream = world.join(task).unwrap();
    let task = world.spawn(server, move |_| (&stream).read(&mut [0]).unwrap_err().to_string());
    assert!(world.join(task).unwrap().contains("a socket of client is used by a task on server"));
}

#[test]
fn a_stream_that_is_dropped_outside_of_its_world_closes_all_the_same() {
    let (mut world, client, server) = two(1, "rtt=20ms");
    let served =
        world.spawn(server, |net| -> io::Result<usize> { net.listen(80)?.accept()?.0.read(&mut [0]) });
    let task = world.spawn(client, |net| net.connect(PEER).unwrap());
    drop(world.join(task).unwrap());
    assert_eq!(world.join(served).unwrap().unwrap(), 0, "a FIN came");
}

#[test]
fn tasks_that_wait_for_each_other_end_with_their_world() {
    let (mut world, client, _) = two(1, "rtt=20ms");
    let (ends, end) = mpsc::channel::<()>();
    let (tx, rx) = mpsc::channel::<()>();
    let alive = ends.clone();
    world.spawn(client, move |net| {
        let _held = (tx, ends);
        net.listen(7).unwrap().accept().unwrap();
    });
    world.spawn(client, move |_| {
        let _alive = alive;
        rx.recv()
    });
    world.run_for(MS);
    assert_eq!(world.waiting().len(), 2);
    drop(world);
    assert!(end.recv().is_err(), "a thread still holds its end");
}

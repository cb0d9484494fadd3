//! Do several stacks share a device, a queue each, without getting into each other's way?
// The kernel forgets after seconds which queue a flow was sent from, and so long the test must wait.
#![allow(clippy::disallowed_methods)]

use super::{in_namespace, tool};
use crate::net::config;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::process::Command;
use std::thread;
use std::time::Duration;
use tcpglass::net::{Runtime, TcpListener};
use tcpglass::trace::Direction;
use tcpglass::tun::{Offload, Tun, TunErrorKind, TunOptions, enter_private_namespace};

const QUEUES: NonZeroU16 = NonZeroU16::new(4).unwrap();
const FLOWS: usize = 64;
/// Longer than a flow of the device is remembered (`TUN_FLOW_EXPIRE`, 3 s).
const FORGOTTEN: Duration = Duration::from_secs(5);

/// A stack that says everything back to whom it hears it from.
fn echo(tun: Tun) -> Runtime {
    let runtime = Runtime::builder(config(2)).start(tun).unwrap();
    for addr in ["10.77.0.2:7", "[fd77::2]:7"] {
        let listener = TcpListener::bind(&runtime.handle(), addr).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
    }
    runtime
}

#[test]
fn each_flow_stays_with_the_stack_that_answered_its_first_packet() {
    in_namespace("tun::queues::each_flow_stays_with_the_stack_that_answered_its_first_packet", || {
        for offload in [Offload::Off, Offload::On] {
            enter_private_namespace(&[]).unwrap();
            let options = TunOptions { offload, ..TunOptions::default() };
            let queues = Tun::open_queues(&options, QUEUES).unwrap();
            assert!(
                queues.iter().all(|tun| tun.name() == "glass0" && tun.offloads() == (offload == Offload::On))
            );
            let stacks: Vec<Runtime> = queues.into_iter().map(echo).collect();
            let servers: [SocketAddr; 2] = ["10.77.0.2:7", "[fd77::2]:7"].map(|addr| addr.parse().unwrap());
            let mut clients: Vec<_> =
                (0..FLOWS).map(|n| std::net::TcpStream::connect(servers[n % 2]).unwrap()).collect();
            for pause in [Duration::ZERO, FORGOTTEN, Duration::ZERO] {
                thread::sleep(pause);
                for (n, client) in clients.iter_mut().enumerate() {
                    let mut heard = vec![0; 20_000];
                    client.write_all(&vec![n as u8; heard.len()]).unwrap();
                    client.read_exact(&mut heard).unwrap();
                    assert!(heard.iter().all(|&byte| byte == n as u8));
                }
            }
            drop(clients);
            let mut busy = 0;
            let ended: Vec<_> =
                stacks.into_iter().map(|stack| stack.shutdown(Duration::from_secs(10)).unwrap()).collect();
            for tracer in ended {
                let counts = tracer.counts();
                assert_eq!(counts.of("rst", Direction::Out), 0, "{counts}");
                busy += usize::from(counts.of("syn-ack", Direction::Out) > 0);
                tracer.finish().unwrap();
            }
            assert!(busy > 1, "all flows came to one of {QUEUES} queues");
        }
    });
}

/// The source ports of what waits in a queue: datagrams of IPv4 without options.
fn ports(queue: &Tun) -> Vec<u16> {
    let mut packet = [0; 2048];
    let mut ports = Vec::new();
    while let Ok(n) = rustix::io::read(queue, &mut packet) {
        if n > 28 && packet[9] == 17 {
            ports.push(u16::from_be_bytes([packet[20], packet[21]]));
        }
    }
    ports
}

#[test]
fn a_queue_that_is_dropped_leaves_the_flows_of_the_others_where_they_are() {
    in_namespace(
        "tun::queues::a_queue_that_is_dropped_leaves_the_flows_of_the_others_where_they_are",
        || {
            enter_private_namespace(&[]).unwrap();
            let options = TunOptions { offload: Offload::Off, ..TunOptions::default() };
            let mut queues = Tun::open_queues(&options, QUEUES).unwrap();
            let flows: Vec<_> =
                (0..FLOWS).map(|_| std::net::UdpSocket::bind("10.77.0.1:0").unwrap()).collect();
            let all_say = |word: &[u8]| {
                flows.iter().for_each(|flow| assert_eq!(flow.send_to(word, "10.77.0.9:7").unwrap(), 5))
            };
            all_say(b"first");
            let mut before: Vec<Vec<u16>> = queues.iter().map(ports).collect();
            assert_eq!(before.iter().flatten().count(), FLOWS);
            assert!(before.iter().filter(|ports| !ports.is_empty()).count() > 1, "{before:?}");
            drop((queues.remove(0), before.remove(0)));
            all_say(b"again");
            assert_eq!(queues.iter().map(ports).collect::<Vec<_>>(), before);
        },
    );
}

#[test]
fn a_device_that_was_made_with_one_queue_has_no_second() {
    const NAME: &str = "tun::queues::a_device_that_was_made_with_one_queue_has_no_second";
    in_namespace(NAME, || {
        enter_private_namespace(&[]).unwrap();
        if !tool("ip", NAME) {
            return;
        }
        let ip = |args: &str| assert!(Command::new("ip").args(args.split(' ')).status().unwrap().success());
        ip("tuntap add dev one mode tun");
        ip("tuntap add dev many mode tun multi_queue");
        for offload in [Offload::Off, Offload::On, Offload::Auto] {
            let named = |name: &str| TunOptions {
                name: Some(name.into()),
                host_addrs: vec![],
                offload,
                ..TunOptions::default()
            };
            let error = Tun::open_queues(&named("one"), QUEUES).expect_err("it has one");
            assert_eq!(error.kind(), TunErrorKind::BadName, "{error}");
            assert!(error.remedy().contains("multi_queue"), "{error}");
            assert_eq!(Tun::open_queues(&named("many"), QUEUES).unwrap().len(), 4);
            assert_eq!(Tun::open_queues(&named("one"), NonZeroU16::MIN).unwrap().len(), 1);
        }
    });
}

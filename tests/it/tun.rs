//! Does a TUN device carry packets between the kernel and a program, in a private namespace?

mod offload;
mod queues;

use crate::net::{config, pattern};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;
use tcpglass::net::{Runtime, TcpListener, TcpStream};
use tcpglass::sim::LinkConfig;
use tcpglass::tun::{Offload, Tun, TunErrorKind, TunOptions, doctor, enter_private_namespace};

/// Runs the test `name` of this file again in a child that may make namespaces, and there `body`.
///
/// The child is root: of this machine, or of a user namespace. Test threads may then move to a network of their own.
fn in_namespace(name: &str, body: fn()) {
    const INSIDE: &str = "TCPGLASS_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if let Some(check) = doctor().into_iter().find(|check| !check.ok && !check.optional) {
        println!("skipped: {name} needs {} ({})", check.name, check.found);
        return;
    }
    let exe = std::env::current_exe().unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new(exe)
    } else {
        let mut command = Command::new("unshare");
        command.arg("-Ur").arg(exe);
        command
    };
    let output = command.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// The next packet from the kernel, if one comes within a second.
fn receive(tun: &mut Tun) -> Option<Vec<u8>> {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    loop {
        if let Some((rx, _)) = tun.receive(Instant::ZERO) {
            return Some(rx.consume(<[u8]>::to_vec));
        }
        if poll(&mut [PollFd::new(tun, PollFlags::IN)], Some(&second)).unwrap() == 0 {
            return None;
        }
    }
}

#[test]
fn a_datagram_of_the_kernel_comes_out_of_the_device_and_its_echo_goes_back_in() {
    in_namespace("tun::a_datagram_of_the_kernel_comes_out_of_the_device_and_its_echo_goes_back_in", || {
        enter_private_namespace(&[]).unwrap();
        let mut tun = Tun::open(&TunOptions::default()).unwrap();
        for (peer, addresses) in [("10.77.0.2:7", 12..20), ("[fd77::2]:7", 8..40)] {
            let family = if peer.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(family).unwrap();
            socket.connect(peer).unwrap();
            socket.send(b"hello through the device").unwrap();
            let mut packet = loop {
                let packet = receive(&mut tun).expect("no packet came");
                // The kernel may talk about multicast groups first.
                if packet.ends_with(b"hello through the device") {
                    break packet;
                }
            };
            // Swapping both addresses and both ports changes no checksum.
            let half = addresses.len() / 2;
            packet[addresses.clone()].rotate_left(half);
            packet[addresses.end..addresses.end + 4].rotate_left(2);
            let token = tun.transmit(Instant::ZERO).expect("no room");
            token.consume(packet.len(), |buf| buf.copy_from_slice(&packet));
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut answer = [0; 64];
            let n = socket.recv(&mut answer).unwrap();
            assert_eq!(&answer[..n], b"hello through the device", "{peer}");
        }
        assert!(!tun.status().is_down());
    });
}

#[test]
fn the_interface_has_the_settings_that_were_asked_for() {
    in_namespace("tun::the_interface_has_the_settings_that_were_asked_for", || {
        let entered = enter_private_namespace(&[
            (IpAddr::from([10, 1, 1, 2]), "glass"),
            (IpAddr::from([0xfd01, 0, 0, 0, 0, 0, 0, 2]), "glass"),
        ])
        .unwrap();
        assert_eq!(entered.hosts_warning, None);
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap();
        assert!(hosts.contains("\n10.1.1.2 glass\nfd01::2 glass\n"), "{hosts}");
        let options = TunOptions {
            name: Some("fifteen-letters".into()),
            mtu: 1400,
            host_addrs: vec![
                (IpAddr::from([10, 1, 1, 1]), 30),
                (IpAddr::from([10, 2, 2, 1]), 24),
                (IpAddr::from([0xfd01, 0, 0, 0, 0, 0, 0, 1]), 64),
            ],
            queue_len: 1234,
            configure: true,
            offload: Offload::Auto,
        };
        // The alias for the second IPv4 address has no room behind fifteen letters: an error, not a wrong address.
        let error = Tun::open(&options).expect_err("the alias has no room");
        assert_eq!(error.kind(), TunErrorKind::Configure);
        let tun = Tun::open(&TunOptions { name: Some("t7".into()), ..options.clone() }).unwrap();
        assert_eq!((tun.name(), tun.mtu()), ("t7", 1400));
        let show = |args: &[&str]| {
            let output = Command::new("ip").args(args).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        if !tool("ip", "tun::the_interface_has_the_settings_that_were_asked_for") {
            return;
        }
        let shown = show(&["addr", "show", "dev", "t7"]);
        for want in
            ["mtu 1400", "qlen 1234", "inet 10.1.1.1/30", "inet 10.2.2.1/24", "inet6 fd01::1/64", ",UP"]
        {
            assert!(shown.contains(want), "{want}: {shown}");
        }
        assert!(!shown.contains("tentative"), "{shown}");
        let error = Tun::open(&TunOptions { name: Some("t7".into()), ..options }).expect_err("it is in use");
        assert_eq!(error.kind(), TunErrorKind::NameTaken);
        let error =
            Tun::open(&TunOptions { name: Some("lo".into()), ..TunOptions::default() }).expect_err("no TUN");
        assert_eq!(error.kind(), TunErrorKind::BadName);
    });
}

#[test]
fn an_interface_that_is_down_or_gone_is_reported_and_harmless() {
    in_namespace("tun::an_interface_that_is_down_or_gone_is_reported_and_harmless", || {
        enter_private_namespace(&[]).unwrap();
        if !tool("ip", "tun::an_interface_that_is_down_or_gone_is_reported_and_harmless") {
            return;
        }
        let mut tun = Tun::open(&TunOptions { name: Some("t8".into()), ..TunOptions::default() }).unwrap();
        let ip = |args: &[&str]| assert!(Command::new("ip").args(args).status().unwrap().success());
        let send = |tun: &mut Tun| {
            let mut packet = [0; 20];
            packet[0] = 0x45;
            let token = tun.transmit(Instant::ZERO).expect("no room");
            token.consume(20, |buf| buf.copy_from_slice(&packet));
        };
        let status = tun.status();
        ip(&["link", "set", "t8", "down"]);
        send(&mut tun);
        assert!(status.is_down());
        assert_eq!(status.lost_down(), 1);
        assert!(status.error("t8").unwrap().to_string().contains("ip link set t8 up"));
        ip(&["link", "set", "t8", "up"]);
        send(&mut tun);
        assert!(!status.is_down());
        assert!(status.error("t8").is_none());
        ip(&["link", "delete", "t8"]);
        send(&mut tun);
        assert!(tun.receive(Instant::ZERO).is_none());
        assert!(status.is_down());
    });
}

/// A stack behind a new device; the kernel's side of it is 10.77.0.1 and fd77::1.
fn stack_on_tun(link: LinkConfig, offload: Offload) -> Runtime {
    enter_private_namespace(&[]).unwrap();
    let tun = Tun::open(&TunOptions { offload, ..TunOptions::default() }).unwrap();
    Runtime::builder(config(2)).link(link).start(tun).unwrap()
}

/// What lies before the device, whether it offloads, and how much is said. Behind a link super-segments are cut.
fn conversations() -> [(LinkConfig, Offload, usize); 4] {
    let good = LinkConfig::default();
    let bad = LinkConfig {
        rtt: Duration::from_millis(4),
        queue: 0,
        loss: 20_000_000,
        reorder: 10_000_000,
        duplicate: 10_000_000,
        corrupt: 10_000_000,
        ..good.clone()
    };
    [
        (good.clone(), Offload::Off, 2_000_000),
        (good, Offload::On, 2_000_000),
        (bad.clone(), Offload::Off, 100_000),
        (bad, Offload::On, 100_000),
    ]
}

#[test]
fn the_kernels_clients_are_served_by_our_listener() {
    in_namespace("tun::the_kernels_clients_are_served_by_our_listener", || {
        for (link, offload, len) in conversations() {
            let runtime = stack_on_tun(link, offload);
            for addr in ["10.77.0.2:7", "[fd77::2]:7"] {
                let listener = TcpListener::bind(&runtime.handle(), addr).unwrap();
                let echo = thread::spawn(move || {
                    let (stream, _) = listener.accept().unwrap();
                    io::copy(&mut &stream, &mut &stream).unwrap();
                });
                let client = std::net::TcpStream::connect(addr).unwrap();
                let sent = pattern(len);
                let back = thread::scope(|scope| {
                    scope.spawn(|| {
                        (&client).write_all(&sent).unwrap();
                        client.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut back = Vec::new();
                    (&client).read_to_end(&mut back).unwrap();
                    back
                });
                assert!(back == sent, "{addr}: {} bytes came back", back.len());
                echo.join().unwrap();
            }
            let refused = std::net::TcpStream::connect("10.77.0.2:8").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            runtime.shutdown(Duration::from_secs(60)).unwrap().finish().unwrap();
        }
    });
}

#[test]
fn our_clients_are_served_by_the_kernels_listener() {
    in_namespace("tun::our_clients_are_served_by_the_kernels_listener", || {
        for (link, offload, len) in conversations() {
            let runtime = stack_on_tun(link, offload);
            for addr in ["10.77.0.1:0", "[fd77::1]:0"] {
                let listener = std::net::TcpListener::bind(addr).unwrap();
                let addr = listener.local_addr().unwrap();
                let echo = thread::spawn(move || {
                    let (stream, _) = listener.accept().unwrap();
                    io::copy(&mut &stream, &mut &stream).unwrap();
                });
                let client = TcpStream::connect(&runtime.handle(), addr).unwrap();
                let sent = pattern(len);
                let back = thread::scope(|scope| {
                    scope.spawn(|| {
                        (&client).write_all(&sent).unwrap();
                        client.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut back = Vec::new();
                    (&client).read_to_end(&mut back).unwrap();
                    back
                });
                assert!(back == sent, "{addr}: {} bytes came back", back.len());
                client.wait_closed(None).unwrap();
                echo.join().unwrap();
                let free = SocketAddr::new(addr.ip(), 9);
                let refused = TcpStream::connect(&runtime.handle(), free).unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            }
            runtime.shutdown(Duration::from_secs(60)).unwrap().finish().unwrap();
        }
    });
}

#[test]
fn pings_are_answered() {
    const NAME: &str = "tun::pings_are_answered";
    in_namespace(NAME, || {
        let runtime = stack_on_tun(LinkConfig::default(), Offload::Auto);
        if !tool("ping", NAME) {
            return;
        }
        for addr in ["10.77.0.2", "fd77::2"] {
            let ping = Command::new("ping").args(["-c", "2", "-i", "0.2", addr]).output().unwrap();
            let text = String::from_utf8_lossy(&ping.stdout);
            assert!(text.contains(" 0% packet loss"), "{text}{}", String::from_utf8_lossy(&ping.stderr));
        }
        runtime.shutdown(Duration::ZERO).unwrap().finish().unwrap();
    });
}

#[test]
fn a_deleted_interface_ends_the_stack_with_a_reason() {
    const NAME: &str = "tun::a_deleted_interface_ends_the_stack_with_a_reason";
    in_namespace(NAME, || {
        let runtime = stack_on_tun(LinkConfig::default(), Offload::Auto);
        let listener = TcpListener::bind(&runtime.handle(), "10.77.0.2:7").unwrap();
        if !tool("ip", NAME) {
            return;
        }
        assert!(Command::new("ip").args(["link", "delete", "glass0"]).status().unwrap().success());
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::NotConnected);
        let error = runtime.shutdown(Duration::ZERO).map(drop).unwrap_err();
        assert!(error.to_string().contains("device is gone"), "{error}");
    });
}

/// Whether `tool` is there; says that `test` is cut short if not.
fn tool(tool: &str, test: &str) -> bool {
    let there = Command::new(tool).arg("-V").output().is_ok();
    if !there {
        println!("skipped: {test} needs {tool}");
    }
    there
}

//! An echo server on a TUN device in a network of its own, and a command that can talk to it:
//! `cargo run --example tun_echo -- bash -c 'exec 3<>/dev/tcp/glass/7; echo hello >&3; head -n1 <&3'`
use std::process::Command;
use std::{io, net::IpAddr, thread, time::Duration};
use tcpglass::net::{Runtime, TcpListener};
use tcpglass::{stack::Config, tcp, tun};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = IpAddr::from([10, 77, 0, 2]);
    tun::enter_private_namespace(&[(addr, "glass")])?;
    let device = tun::Tun::open(&tun::TunOptions::default())?;
    let tcp = tcp::Config::default();
    let config =
        Config { tcp, addrs: vec![(addr, 24)], gateways: vec![], mtu: device.mtu(), seed: 1, dns: vec![] };
    let runtime = Runtime::builder(config).start(device)?;
    let listener = TcpListener::bind(&runtime.handle(), "10.77.0.2:7")?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    let mut words = std::env::args_os().skip(1);
    Command::new(words.next().ok_or("usage: tun_echo COMMAND…")?).args(words).status()?;
    Ok(runtime.shutdown(Duration::from_secs(1))?.finish()?)
}

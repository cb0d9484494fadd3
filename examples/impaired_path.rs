//! Two commands in two networks with a bad path between them, without tc and without root: a netem for any program.
//! `impaired_path --link rtt=50ms,loss=1%,bandwidth=100mbit -- curl -s http://b:8000/ -- python3 -m http.server`
//!
//! The first command runs on a host `a` (10.77.0.1, fd77::1), the second on `b` (10.77.0.2, fd77::2). The exit code is
//! the first one's; the second one is ended when the first is done.
use std::process::{Child, Command, ExitCode};
use std::sync::mpsc::channel;
use std::{error::Error, net::IpAddr, thread};
use tcpglass::net::Path;
use tcpglass::sim::LinkConfig;
use tcpglass::tun::{Offload, Tun, TunOptions, enter_private_namespace};

const USAGE: &str =
    "usage: impaired_path [--link rtt=50ms,loss=1%] [--seed N] -- COMMAND-ON-A… -- COMMAND-ON-B…";

fn addrs(host: u8) -> [IpAddr; 2] {
    [[10, 77, 0, host].into(), [0xfd77, 0, 0, 0, 0, 0, 0, host.into()].into()]
}

/// A TUN device in this thread's network, whose kernel is host number `host`.
fn device(host: u8) -> Result<Tun, Box<dyn Error + Send + Sync>> {
    let [v4, v6] = addrs(host);
    Ok(Tun::open(&TunOptions {
        host_addrs: vec![(v4, 24), (v6, 64)],
        offload: Offload::Off,
        ..TunOptions::default()
    })?)
}

fn start(words: &[String]) -> Result<Child, String> {
    let (program, arguments) = words.split_first().ok_or(USAGE)?;
    Command::new(program).args(arguments).spawn().map_err(|e| format!("{program}: {e}"))
}

fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let (mut link, mut seed) = (LinkConfig::default(), 1);
    let mut words = std::env::args().skip(1);
    loop {
        match words.next().as_deref() {
            Some("--") => break,
            Some("--link") => link = words.next().ok_or(USAGE)?.parse()?,
            Some("--seed") => seed = words.next().ok_or(USAGE)?.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    let on_a: Vec<String> = words.by_ref().take_while(|word| word != "--").collect();
    let on_b: Vec<String> = words.collect();

    // The first namespace must be entered while there is one thread; the second one is its thread's own.
    let names: Vec<(IpAddr, &str)> =
        addrs(1).map(|a| (a, "a")).into_iter().chain(addrs(2).map(|b| (b, "b"))).collect();
    if let Some(warning) = enter_private_namespace(&names)?.hosts_warning {
        eprintln!("impaired_path: {warning}");
    }
    let a = device(1)?;
    let (ends, end) = channel();
    let (joined, join) = channel::<()>();
    let second = thread::spawn(move || -> Result<Child, Box<dyn Error + Send + Sync>> {
        enter_private_namespace(&[])?;
        ends.send(device(2)?)?;
        join.recv()?;
        Ok(start(&on_b)?)
    });
    // Without a device the thread says why.
    let path = end.recv().map(|b| Path::start(a, b, &link, seed));
    let _ = joined.send(());
    let mut second = second.join().map_err(|_| "the second host's thread panicked")??;
    let path = path??;
    let status = start(&on_a).and_then(|mut first| first.wait().map_err(|e| e.to_string()));
    second.kill()?;
    second.wait()?;
    let (there, back) = path.cut()?;
    eprintln!("a to b: {there:?}\nb to a: {back:?}");
    Ok(ExitCode::from(status?.code().unwrap_or(1) as u8))
}

//! Does our TCP come through a bad network whole, and as fast as Linux's? All pairs cross the same [`Path`].
//!
//! `make differential` compares the speeds, in minutes of real time.

mod explained;
mod goodput;
mod stories;

use super::inside;
use rustix::net::sockopt::set_tcp_congestion;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use std::{fs, thread};
use tcpglass::net::{Path, PipeDevice, Runtime, pipe};
use tcpglass::sim::{LinkConfig, link::Totals};
use tcpglass::tcp::{self, Congestion};
use tcpglass::trace::{self, TraceOptions, Tracer};
use tcpglass::tun::{Offload, Tun, TunOptions, enter_private_namespace};
use tcpglass::{net, stack};

/// Whose TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Host {
    Ours,
    Linux,
}

const PORT: u16 = 5001;
const MTU: u16 = 1500;
/// What a buffer may grow to: several times what any path here holds, so that no window is the limit.
const BUFFER: u32 = 32 << 20;
/// Nothing may hang for ever: a test that waits in vain should say where.
const PATIENCE: Duration = Duration::from_secs(60);

/// Linux's segments have no time stamps.
static WITHOUT_STAMPS: AtomicBool = AtomicBool::new(false);

enum Device {
    Tun(Tun),
    Pipe(PipeDevice),
}

enum Listener {
    Linux(std::net::TcpListener),
    Ours(net::TcpListener),
}

enum Stream {
    Linux(std::net::TcpStream),
    Ours(net::TcpStream),
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Linux(stream) => (&*stream).read(buf),
            Stream::Ours(stream) => (&*stream).read(buf),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Linux(stream) => (&*stream).write(buf),
            Stream::Ours(stream) => (&*stream).write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    fn finish(&self) {
        match self {
            Stream::Linux(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Stream::Ours(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    fn limit_writes(&self, limit: Duration) {
        match self {
            Stream::Linux(stream) => stream.set_write_timeout(Some(limit)).unwrap(),
            Stream::Ours(stream) => stream.set_write_timeout(Some(limit)).unwrap(),
        }
    }

    fn impatient(self) -> Stream {
        match &self {
            Stream::Linux(stream) => stream.set_read_timeout(Some(PATIENCE)).unwrap(),
            Stream::Ours(stream) => stream.set_read_timeout(Some(PATIENCE)).unwrap(),
        }
        self
    }
}

fn addrs(n: u8) -> Vec<(IpAddr, u8)> {
    vec![([10, 77, 0, n].into(), 24), ([0xfd77, 0, 0, 0, 0, 0, 0, n.into()].into(), 64)]
}

fn tcp() -> tcp::Config {
    let congestion = Congestion::Cubic;
    tcp::Config { congestion, recv_buffer: BUFFER, send_buffer: BUFFER, ..tcp::Config::linux() }
}

/// A socket with CUBIC from its first segment on: a private network may not change the host's default, and one that was
/// begun with BBR would stay paced.
fn socket() -> OwnedFd {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    set_tcp_congestion(&socket, "cubic").unwrap();
    socket
}

fn linux_listen() -> std::net::TcpListener {
    let socket = socket();
    rustix::net::bind(&socket, &SocketAddr::from(([0; 4], PORT))).unwrap();
    rustix::net::listen(&socket, 1).unwrap();
    socket.into()
}

fn linux_connect(addr: SocketAddr) -> std::net::TcpStream {
    let socket = socket();
    rustix::net::connect(&socket, &addr).unwrap();
    socket.into()
}

/// Makes this thread's network that of a Linux host with number `n` behind a TUN device, with what [`tcp`] says.
fn linux(n: u8) -> Tun {
    enter_private_namespace(&[]).unwrap();
    for (knob, value) in [
        ("tcp_rmem", format!("4096 131072 {BUFFER}")),
        ("tcp_wmem", format!("4096 16384 {BUFFER}")),
        // Each transfer begins without what an earlier one has learned.
        ("tcp_no_metrics_save", "1".into()),
        ("tcp_timestamps", u8::from(!WITHOUT_STAMPS.load(Ordering::Relaxed)).to_string()),
    ] {
        fs::write(format!("/proc/sys/net/ipv4/{knob}"), value).unwrap();
    }
    Tun::open(&TunOptions { mtu: MTU, host_addrs: addrs(n), offload: Offload::Off, ..TunOptions::default() })
        .unwrap()
}

/// Records what our host does on the path `name`, with its reasons, in the directory that `TCPGLASS_TRACES` names.
fn tracer(name: &str, n: u8) -> Tracer {
    let Some(directory) = std::env::var_os("TCPGLASS_TRACES") else { return Tracer::default() };
    let file = std::path::Path::new(&directory).join(format!("{name},host={n}.pcapng"));
    let options = TraceOptions { snaplen: 100, ..TraceOptions::default() };
    Tracer::new(vec![trace::open(&file, &options).unwrap()])
}

/// Lets host `n` be there for as long as `app` takes. Its end of the path goes to `end` when it is ready for connections.
/// The first host connects to the second one.
fn host<T>(host: Host, n: u8, name: &str, end: &Sender<Device>, app: impl FnOnce(&Stream) -> T) -> T {
    let other = SocketAddr::from(([10, 77, 0, 2], PORT));
    let mut recorder = None;
    let (device, runtime, listener) = match host {
        Host::Linux => {
            let tun = linux(n);
            recorder = explained::record(n);
            let listener = linux_listen();
            (Device::Tun(tun), None, Listener::Linux(listener))
        }
        Host::Ours => {
            let (here, there) = pipe(MTU).unwrap();
            let config = stack::Config {
                tcp: tcp(),
                addrs: addrs(n),
                gateways: vec![],
                mtu: MTU,
                seed: n.into(),
                dns: vec![],
            };
            let runtime = Runtime::builder(config).tracer(tracer(name, n)).start(here).unwrap();
            let listener = net::TcpListener::bind(&runtime.handle(), ("0.0.0.0", PORT)).unwrap();
            (Device::Pipe(there), Some(runtime), Listener::Ours(listener))
        }
    };
    end.send(device).unwrap();
    let stream = match (&runtime, listener) {
        (None, _) if n == 1 => Stream::Linux(linux_connect(other)),
        (Some(ours), _) if n == 1 => Stream::Ours(net::TcpStream::connect(&ours.handle(), other).unwrap()),
        (_, Listener::Linux(listener)) => Stream::Linux(listener.accept().unwrap().0),
        (_, Listener::Ours(listener)) => Stream::Ours(listener.accept().unwrap().0),
    };
    let stream = stream.impatient();
    let result = app(&stream);
    if let Stream::Ours(stream) = &stream {
        // What ends with the runtime is not delivered any more.
        stream.wait_acked(Some(PATIENCE)).unwrap();
    }
    if let Some(runtime) = runtime {
        runtime.shutdown(Duration::ZERO).unwrap().finish().unwrap();
    }
    if let Some(recorder) = recorder {
        recorder.stop();
    }
    result
}

/// Two hosts with `link` between them: the first runs `one` on a connection to the second, which runs `two` on it.
/// To be called inside a private network. Returns also what the path did to packets of the first, and of the second.
fn between<A: Send, B: Send>(
    pair: [Host; 2],
    link: &LinkConfig,
    seed: u64,
    one: impl FnOnce(&Stream) -> A + Send,
    two: impl FnOnce(&Stream) -> B + Send,
) -> (A, B, (Totals, Totals)) {
    let name = &format!("{link},seed={seed}");
    thread::scope(|scope| {
        let (a_end, a) = channel();
        let (b_end, b) = channel();
        let first = scope.spawn(move || host(pair[0], 1, name, &a_end, one));
        let second = scope.spawn(move || host(pair[1], 2, name, &b_end, two));
        let path = match (a.recv().unwrap(), b.recv().unwrap()) {
            (Device::Tun(a), Device::Tun(b)) => Path::start(a, b, link, seed),
            (Device::Tun(a), Device::Pipe(b)) => Path::start(a, b, link, seed),
            (Device::Pipe(a), Device::Tun(b)) => Path::start(a, b, link, seed),
            (Device::Pipe(a), Device::Pipe(b)) => Path::start(a, b, link, seed),
        };
        let path = path.unwrap();
        let results = (first.join().unwrap(), second.join().unwrap());
        (results.0, results.1, path.cut().unwrap())
    })
}

/// Bytes that differ from those at any other place, and from those of another seed.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = tcpglass::sim::Rng::new(seed, 0);
    (0..len).map(|_| rng.below(256) as u8).collect()
}

/// Writes `mine` and reads to the end, both at once: the transfers of both directions disturb each other.
fn exchange(stream: &Stream, mine: &[u8]) -> Vec<u8> {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = stream;
            stream.write_all(mine).unwrap();
            stream.finish();
        });
        let (mut stream, mut theirs) = (stream, Vec::new());
        stream.read_to_end(&mut theirs).unwrap();
        theirs
    })
}

#[test]
fn both_directions_between_linux_and_us_come_whole_through_a_bad_path() {
    const TEST: &str = "peers::path::both_directions_between_linux_and_us_come_whole_through_a_bad_path";
    inside(TEST, &["-q"], || {
        let link = "rtt=10ms,bandwidth=100mbit,loss=1%,reorder=1%,duplicate=1%,corrupt=0.5%".parse().unwrap();
        for (seed, pair) in (1..).zip([[Host::Ours, Host::Linux], [Host::Linux, Host::Ours]]) {
            let data = [bytes(seed, 1_000_000), bytes(seed + 100, 1_000_000)];
            let [one, two] = &data;
            let (at_one, at_two, (there, back)) =
                between(pair, &link, seed, |s| exchange(s, one), |s| exchange(s, two));
            assert!(at_two == *one, "{pair:?}: what the first one sent");
            assert!(at_one == *two, "{pair:?}: what the second one sent");
            for totals in [there, back] {
                let faults = [totals.lost, totals.reordered, totals.duplicated, totals.corrupted];
                assert!(!faults.contains(&0), "{pair:?}: {totals:?}");
            }
        }
    });
}

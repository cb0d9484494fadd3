//! What does our stack do in a run?

use super::{Run, Subject, Work};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use tcpglass::http;
use tcpglass::net::{Handle, Runtime, TcpListener};
use tcpglass::service::{HttpServer, Service, Site};
use tcpglass::settings::{Profile, Settings};
use tcpglass::stack::{Config, ConnId, ListenerId, Owner, Ready, Stack};
use tcpglass::stream::ByteStream;
use tcpglass::time::Instant;
use tcpglass::trace::{self, TraceOptions, Tracer};
use tcpglass::tun::Tun;

const OWNER: Owner = Owner(1);

/// So many bytes may be unsent (`TCP_NOTSENT_LOWAT`), as a program has it that always has more to send: what waits stays in the
/// processor's caches. Linux' sockets have the same.
pub const UNSENT: u32 = 256 << 10;

/// The variable that tells a run which settings differ from the profile's.
pub const SETTINGS: &str = "VERSUS_SETTINGS";

/// Starts it on `tun`; it runs until the process ends.
pub fn start(run: &Run, tun: Tun, addr: SocketAddr) -> io::Result<()> {
    let mut settings = Settings::new(Profile::Linux);
    if run.subject != Subject::Defaults {
        settings.tcp.notsent_lowat = Some(UNSENT);
    }
    for assignment in std::env::var(SETTINGS).unwrap_or_default().split_whitespace() {
        settings.set(assignment).map_err(io::Error::other)?;
    }
    let config = Config {
        tcp: settings.tcp,
        addrs: vec![(addr.ip(), 24)],
        gateways: vec![],
        mtu: tun.mtu(),
        seed: 1,
        dns: vec![],
    };
    let mut builder = Runtime::builder(config).busy_poll(std::time::Duration::from_micros(run.busy_poll));
    let snaplen = match run.subject {
        Subject::Traced => Some(0),
        Subject::Snapped => Some(96),
        _ => None,
    };
    if let Some(snaplen) = snaplen {
        // All of the trace's work but the disk's.
        let sink = trace::open(Path::new("/dev/null"), &TraceOptions { snaplen, ..TraceOptions::default() })?;
        builder = builder.tracer(Tracer::new(vec![sink]));
    }
    let service: Option<Box<dyn Service>> = match run.work {
        _ if run.subject == Subject::Handles => None,
        Work::In(_) | Work::Beside(_) => Some(Box::new(Bulk::new(addr, false))),
        Work::Out(_) => Some(Box::new(Bulk::new(addr, true))),
        Work::Kept(_) | Work::Fresh(_) => {
            let site = Site { root: None };
            // nginx has been told the same.
            let config = http::Config { keepalive_max: 0, ..http::Config::default() };
            Some(Box::new(HttpServer::new(OWNER, vec![addr], site, config)))
        }
    };
    let runtime = match service {
        Some(service) => builder.service(service).start(tun)?,
        None => builder.start(tun)?,
    };
    if run.subject == Subject::Handles {
        through_handles(&runtime.handle(), addr, matches!(run.work, Work::Out(_)))?;
    }
    // The process ends it.
    std::mem::forget(runtime);
    Ok(())
}

/// A thread per connection, as with the kernel's sockets.
fn through_handles(handle: &Handle, addr: SocketAddr, sends: bool) -> io::Result<()> {
    let listener = TcpListener::bind(handle, addr)?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = vec![7; 256 << 10];
                while let Ok(1..) = if sends { stream.write(&buffer) } else { stream.read(&mut buffer) } {}
            });
        }
    });
    Ok(())
}

/// Sends, or takes and throws away, as much as it can on each connection.
pub struct Bulk {
    address: Option<SocketAddr>,
    /// Connects there instead.
    connects: bool,
    listener: Option<ListenerId>,
    sends: bool,
    buffer: Vec<u8>,
}

impl Bulk {
    /// Listens on `address`.
    pub fn new(address: SocketAddr, sends: bool) -> Bulk {
        let buffer = vec![7; 256 << 10];
        Bulk { address: Some(address), connects: false, listener: None, sends, buffer }
    }

    /// Connects to `address`.
    pub fn connecting(address: SocketAddr, sends: bool) -> Bulk {
        Bulk { connects: true, ..Bulk::new(address, sends) }
    }

    fn turn(&mut self, now: Instant, stack: &mut Stack, id: ConnId) {
        let mut stream = stack.stream(now, id);
        if self.sends {
            while let Ok(1..) = stream.write(&self.buffer) {}
        } else {
            while let Ok(1..) = stream.read(&mut self.buffer) {}
        }
    }
}

impl Service for Bulk {
    fn owner(&self) -> Owner {
        OWNER
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        if let Some(address) = self.address.take_if(|_| self.connects) {
            stack.connect(now, address, None, None, OWNER).expect("a port is free");
        }
        if let Some(address) = self.address.take() {
            self.listener = stack.listen(address, None, OWNER).ok();
        }
        while let Some(ready) = stack.ready(OWNER) {
            match ready {
                Ready::Accept(listener) => {
                    while let Some(accepted) = stack.accept(listener, OWNER) {
                        self.turn(now, stack, accepted.id);
                    }
                }
                Ready::Conn(id, _) => self.turn(now, stack, id),
                Ready::Resolved(_) => {}
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.address.map(|_| Instant::ZERO)
    }

    fn drain(&mut self, _: Instant, _: &mut Stack) -> bool {
        true
    }
}

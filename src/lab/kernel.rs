//! How is an experiment run in real time, with Linux' own TCP at one end? In a private network, our stack behind a TUN device.

use super::addrs::Addrs;
use super::arm::End;
use super::{LabError, plain_http};
use crate::ledger::Parts;
use crate::net::clock::Clock;
use crate::net::{self, Handle, Runtime};
use crate::service::Service;
use crate::settings::Settings;
use crate::stack::{self, ConnId, Owner};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{Nagle, State, TimeWaitReuse};
use crate::time::{Duration, Instant};
use crate::trace::{Sink, Tracer};
use crate::tun::{Tun, TunOptions, enter_private_namespace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Nothing may hang for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// By how much something may come early: timers of Linux count in ticks.
pub(super) const EARLY: Duration = Duration::from_millis(2);

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    /// Our own stack, in virtual time.
    Ours,
    /// Linux, which our client connects to.
    LinuxServer,
    /// Linux, which connects to our server.
    LinuxClient,
}

impl Peer {
    /// As it stands in a table.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Ours => "simulated",
            Peer::LinuxServer => "kernel server",
            Peer::LinuxClient => "kernel client",
        }
    }

    /// Which side our stack's clock and counts are on; both, without a kernel.
    pub fn our_side(self) -> &'static str {
        if self == Peer::LinuxClient { "server" } else { "client" }
    }
}

/// One end of a connection.
pub(super) enum Stream {
    Ours(net::TcpStream),
    Linux(std::net::TcpStream),
    /// Of our stack, without the queues of a handle: what nobody has read is where TCP put it.
    Bare(Bare),
}

/// A connection that is asked in the stack's own thread.
pub(super) struct Bare {
    handle: Handle,
    id: ConnId,
}

/// Whose bare connections are: no service's.
const OWNER: Owner = Owner(77);

impl Bare {
    fn connect(handle: Handle, to: SocketAddr) -> io::Result<Bare> {
        let id = handle.call(move |stack, now| stack.connect(now, to, None, None, OWNER))?;
        let bare = Bare { handle, id: id.map_err(|e| io::Error::other(e.to_string()))? };
        bare.retry(|bare| {
            bare.ask(|stack, _, id| match stack.conn(id).map(|conn| conn.snapshot().state) {
                Some(State::SynSent) => Err(StreamError::WouldBlock),
                _ => Ok(0),
            })
        })?;
        Ok(bare)
    }

    fn ask(
        &self,
        question: impl FnOnce(&mut stack::Stack, Instant, ConnId) -> Result<usize, StreamError> + Send + 'static,
    ) -> io::Result<usize> {
        let id = self.id;
        Ok(self.handle.call(move |stack, now| question(stack, now, id))??)
    }

    /// Asks until there is an answer.
    fn retry(&self, mut ask: impl FnMut(&Bare) -> io::Result<usize>) -> io::Result<usize> {
        let clock = Clock::start();
        let end = clock.now() + PATIENCE;
        loop {
            match ask(self) {
                Err(e) if e.kind() == ErrorKind::WouldBlock && clock.now() < end => {
                    pause(Duration::from_millis(1));
                }
                answer => return answer,
            }
        }
    }

    fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (room, id) = (buf.len(), self.id);
        let data = self.handle.call(move |stack, now| {
            let mut data = vec![0; room];
            let n = stack.stream(now, id).read(&mut data)?;
            data.truncate(n);
            Ok::<_, StreamError>(data)
        })??;
        buf[..data.len()].copy_from_slice(&data);
        Ok(data.len())
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.retry(|bare| {
            let data = buf.to_vec();
            bare.ask(move |stack, now, id| stack.stream(now, id).write(&data))
        })
    }
}

/// What waits for connections.
enum Door {
    Ours(net::TcpListener),
    Linux(std::net::TcpListener),
}

/// How late is the machine? A thread rests for a millisecond again and again, and sees how much longer that takes.
pub(super) struct Watch {
    /// At the most, microseconds.
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn start() -> Watch {
        let (most, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (sees, ends) = (most.clone(), over.clone());
        thread::spawn(move || {
            let (clock, rest) = (Clock::start(), Duration::from_millis(1));
            while !ends.load(Ordering::Relaxed) {
                let start = clock.now();
                pause(rest);
                let late = clock.now().since(start).saturating_sub(rest);
                sees.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        Watch { most, over }
    }

    /// How much longer a rest took so far, at the most.
    pub fn most(&self) -> Duration {
        Duration::from_micros(self.most.load(Ordering::Relaxed))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Our stack and Linux' sockets, with our link between them.
pub(super) struct Real {
    pub peer: Peer,
    addrs: &'static Addrs,
    pub clock: Clock,
    pub watch: Watch,
    /// Until the stack is started.
    waiting: Option<(net::Builder, Tun)>,
    runtime: Option<Runtime>,
    doors: Vec<Door>,
    streams: Vec<Option<Stream>>,
    /// The HTTP server, if it runs on Linux.
    pub web: Option<plain_http::Server>,
    nodelay: bool,
    /// Whether our client is a [`Stream::Bare`].
    bare: bool,
    /// Linux is asked for an acknowledgment after each read.
    pub quick: bool,
}

impl Real {
    /// Moves this thread to a network of its own, in which Linux does what these settings say, as far as it can be told.
    pub fn enter(settings: &Settings) -> Result<(), LabError> {
        enter_private_namespace(&[]).map_err(|e| LabError::new(e.to_string()))?;
        let tcp = &settings.tcp;
        let switch = |on: bool| if on { "1" } else { "0" }.to_owned();
        for (name, value) in [
            ("ip_local_port_range", format!("{}\t{}", tcp.ports_first, tcp.ports_last)),
            ("tcp_timestamps", switch(tcp.timestamps)),
            ("tcp_sack", switch(tcp.sack)),
            ("tcp_tw_reuse", if tcp.time_wait_reuse == TimeWaitReuse::On { "1" } else { "0" }.to_owned()),
            // 3 is the default: tail loss probes.
            ("tcp_early_retrans", if tcp.tail_loss_probe { "3" } else { "0" }.to_owned()),
            ("tcp_slow_start_after_idle", "1".to_owned()),
        ] {
            let path = format!("/proc/sys/net/ipv4/{name}");
            if fs::read_to_string(&path).is_ok_and(|known| known.trim() == value) {
                continue;
            }
            fs::write(&path, &value)
                .map_err(|e| LabError::new(format!("cannot write {value} to {path}: {e}")))?;
        }
        Ok(())
    }

    /// Our stack is the client or the server, Linux the other one; `sinks` get what our stack sees. After
    /// [`enter`](Self::enter).
    pub fn new(
        peer: Peer,
        settings: &Settings,
        seed: u64,
        addrs: &'static Addrs,
        sinks: Vec<Box<dyn Sink>>,
    ) -> Result<Real, LabError> {
        let (client, server) = (addrs.client, addrs.server);
        let (ours, linux) = if peer == Peer::LinuxServer { (client, server) } else { (server, client) };
        // IPv6 knows no smaller MTU; what is announced is the smaller one all the same.
        let least = if ours.is_ipv6() { 1280 } else { 68 };
        let mtu = settings.tcp.mss.map_or(1500, |mss| (mss + addrs.headers).max(least));
        let options = TunOptions { mtu, host_addrs: vec![(linux, addrs.prefix)], ..TunOptions::default() };
        let tun = Tun::open(&options).map_err(|e| LabError::new(e.to_string()))?;
        let config = stack::Config {
            tcp: settings.tcp.clone(),
            addrs: vec![(ours, addrs.prefix)],
            gateways: vec![linux],
            mtu,
            seed,
            dns: vec![],
        };
        let builder = Runtime::builder(config).tracer(Tracer::new(sinks)).link(settings.link.clone());
        Ok(Real {
            peer,
            addrs,
            clock: Clock::start(),
            watch: Watch::start(),
            waiting: Some((builder, tun)),
            runtime: None,
            doors: Vec::new(),
            streams: Vec::new(),
            web: None,
            bare: false,
            nodelay: settings.tcp.nagle == Nagle::Off,
            quick: settings.tcp.ack_delay.is_zero() || settings.tcp.ack_every == 1,
        })
    }

    /// Starts our stack with these services; without any it starts when it is needed.
    pub fn start(&mut self, services: Vec<Box<dyn Service>>) -> Result<Handle, LabError> {
        if let Some((mut builder, tun)) = self.waiting.take() {
            for service in services {
                builder = builder.service(service);
            }
            self.runtime = Some(builder.start(tun)?);
        }
        let gone = || LabError::new("the stack has ended");
        Ok(self.runtime.as_ref().ok_or_else(gone)?.handle())
    }

    /// What our client does not read is to stay in the stack.
    pub fn keep_in_stack(&mut self) {
        self.bare = true;
    }

    /// The server listens. Returns the door's number.
    pub fn listen(&mut self, port: u16) -> Result<usize, LabError> {
        let at = SocketAddr::new(self.addrs.server, port);
        let door = match self.peer {
            Peer::LinuxServer => Door::Linux(linux_listen(at)?),
            _ => Door::Ours(net::TcpListener::bind(&self.start(vec![])?, at)?),
        };
        self.doors.push(door);
        Ok(self.doors.len() - 1)
    }

    /// The client connects.
    pub fn connect(&mut self, port: u16) -> io::Result<usize> {
        let at = SocketAddr::new(self.addrs.server, port);
        let handle = self.start(vec![]).map_err(|e| io::Error::other(e.to_string()))?;
        let stream = match self.peer {
            Peer::LinuxServer if self.bare => Stream::Bare(Bare::connect(handle, at)?),
            Peer::LinuxServer => Stream::Ours(net::TcpStream::connect_timeout(&handle, &at, PATIENCE)?),
            _ => Stream::Linux(linux_connect(at)?),
        };
        self.adopt(stream)
    }

    /// The server accepts.
    pub fn accept(&mut self, door: usize) -> Result<usize, LabError> {
        let stream = match &self.doors[door] {
            Door::Linux(listener) => Stream::Linux(listener.accept()?.0),
            Door::Ours(listener) => Stream::Ours(listener.accept()?.0),
        };
        Ok(self.adopt(stream)?)
    }

    fn adopt(&mut self, stream: Stream) -> io::Result<usize> {
        if let Stream::Linux(stream) = &stream {
            stream.set_nodelay(self.nodelay)?;
        }
        stream.limit(Some(PATIENCE))?;
        self.streams.push(Some(stream));
        Ok(self.streams.len() - 1)
    }

    /// An end that is still open.
    pub fn stream(&self, end: usize) -> Result<&Stream, LabError> {
        self.streams[end].as_ref().ok_or_else(|| LabError::new("that end is closed"))
    }

    /// Takes an end out of here.
    pub fn take(&mut self, end: usize) -> Option<Stream> {
        self.streams[end].take()
    }

    /// The same for an end of either kind of time.
    pub fn take_end(&mut self, end: End) -> Option<Stream> {
        match end {
            End::Real(n) => self.take(n),
            End::Simulated(_) => None,
        }
    }

    /// The other threads' half of [`write`](Self::write) and [`read`](Self::read): all is written while it is read.
    pub fn transfer(&mut self, from: usize, to: usize, len: usize) -> Result<(), LabError> {
        let (source, sink) = (self.stream(from)?, self.stream(to)?);
        thread::scope(|scope| {
            let writer = scope.spawn(move || (&mut &*source).write_all(&vec![b'x'; len]));
            self.read_from(sink, len)?;
            Ok(writer.join().map_err(|_| LabError::new("a thread that wrote has panicked"))??)
        })
    }

    pub fn write(&mut self, end: usize, len: usize) -> Result<(), LabError> {
        Ok((&mut self.stream(end)?).write_all(&vec![b'x'; len])?)
    }

    pub fn read(&mut self, end: usize, len: usize) -> Result<(), LabError> {
        self.read_from(self.stream(end)?, len)
    }

    fn read_from(&self, mut stream: &Stream, len: usize) -> Result<(), LabError> {
        let (mut buf, mut left) = (vec![0; len.min(64 << 10)], len);
        while left > 0 {
            let room = left.min(buf.len());
            match stream.read(&mut buf[..room])? {
                0 => return Err(LabError::new("the peer closed before everything was there")),
                n => left -= n,
            }
            self.hurry(stream)?;
        }
        Ok(())
    }

    /// An acknowledgment now, if that is how Linux was asked to receive.
    fn hurry(&self, stream: &Stream) -> io::Result<()> {
        match stream {
            Stream::Linux(stream) if self.quick => Ok(sockopt::set_tcp_quickack(stream, true)?),
            _ => Ok(()),
        }
    }

    /// Reads until `until` and returns when how many bytes in all had been read. A connection that ends is an end, too.
    pub fn read_log(&mut self, end: usize, until: Instant) -> Result<Vec<(Instant, u64)>, LabError> {
        let mut stream = self.stream(end)?;
        let (mut log, mut total, mut buf) = (Vec::new(), 0, vec![0; 64 << 10]);
        loop {
            let left = until.since(self.clock.now());
            if left.is_zero() || !stream.wait_readable(left)? {
                return Ok(log);
            }
            match stream.read(&mut buf) {
                Ok(n @ 1..) => total += n as u64,
                Ok(0) => {
                    self.pass(until.since(self.clock.now()));
                    return Ok(log);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
                Err(e) => return Err(e.into()),
            }
            log.push((self.clock.now(), total));
            self.hurry(stream)?;
        }
    }

    /// What can be read without waiting, and how that ended.
    pub fn read_available(&mut self, end: usize) -> Result<(Vec<u8>, io::Result<()>), LabError> {
        let mut stream = self.stream(end)?;
        stream.set_nonblocking(true)?;
        let (mut all, mut buf) = (Vec::new(), vec![0; 64 << 10]);
        let ended = loop {
            match stream.read(&mut buf) {
                Ok(0) => break Ok(()),
                Ok(n) => all.extend_from_slice(&buf[..n]),
                Err(e) => break Err(e),
            }
        };
        stream.set_nonblocking(false)?;
        Ok((all, ended))
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        pause(time);
    }

    pub fn half_close(&mut self, end: usize) -> Result<(), LabError> {
        Ok(match self.stream(end)? {
            Stream::Ours(stream) => stream.shutdown(Shutdown::Write)?,
            Stream::Linux(stream) => stream.shutdown(Shutdown::Write)?,
            Stream::Bare(_) => return Err(LabError::new("a bare connection is only read and written")),
        })
    }

    pub fn close_input(&mut self, end: usize) -> Result<(), LabError> {
        Ok(match self.stream(end)? {
            Stream::Ours(stream) => stream.shutdown(Shutdown::Read)?,
            Stream::Linux(stream) => stream.shutdown(Shutdown::Read)?,
            Stream::Bare(_) => return Err(LabError::new("a bare connection is only read and written")),
        })
    }

    pub fn abort(&mut self, end: usize) -> Result<(), LabError> {
        match self.take(end) {
            Some(Stream::Ours(stream)) => stream.abort()?,
            Some(Stream::Linux(stream)) => {
                sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).map_err(io::Error::from)?;
            }
            Some(Stream::Bare(_)) | None => {}
        }
        Ok(())
    }

    /// Ends it, which completes the captures.
    pub fn end(&mut self) -> Result<(), LabError> {
        self.streams.clear();
        self.doors.clear();
        (self.waiting, self.web) = (None, None);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown(Duration::from_millis(300))?.finish()?;
        }
        Ok(())
    }
}

impl Stream {
    /// What its time went to so far; a kernel does not say.
    pub fn ledger(&self) -> Option<Parts> {
        match self {
            Stream::Ours(stream) => stream.cut_ledger().ok(),
            Stream::Linux(_) => None,
            Stream::Bare(bare) => {
                let id = bare.id;
                bare.handle.call(move |stack, now| stack.cut_ledger(now, id)).ok()
            }
        }
    }

    /// How long a read may wait.
    pub fn limit(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Ours(stream) => stream.set_read_timeout(time),
            Stream::Linux(stream) => stream.set_read_timeout(time),
            Stream::Bare(_) => Ok(()),
        }
    }

    /// `TCP_NODELAY`.
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Stream::Ours(stream) => stream.set_nodelay(true),
            Stream::Linux(stream) => stream.set_nodelay(true),
            Stream::Bare(_) => Ok(()),
        }
    }

    /// `TCP_CORK`.
    pub fn set_cork(&self, on: bool) -> io::Result<()> {
        match self {
            Stream::Ours(stream) => stream.set_options(move |opts| opts.cork = on),
            Stream::Linux(stream) => Ok(sockopt::set_tcp_cork(stream, on)?),
            Stream::Bare(_) => Ok(()),
        }
    }

    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Stream::Ours(stream) => stream.set_nonblocking(on),
            Stream::Linux(stream) => stream.set_nonblocking(on),
            Stream::Bare(_) => Ok(()),
        }
    }

    /// Waits for something to read. A socket's own time limit counts in ticks of 4 ms, which is too coarse.
    fn wait_readable(&self, time: Duration) -> io::Result<bool> {
        match self {
            Stream::Linux(stream) => {
                let mut fds = [PollFd::new(stream, PollFlags::IN)];
                Ok(poll(&mut fds, Some(&timespec(time)))? > 0)
            }
            Stream::Ours(stream) => {
                stream.set_read_timeout(Some(time))?;
                let found = stream.peek(&mut [0]);
                stream.set_read_timeout(Some(PATIENCE))?;
                match found {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(false),
                    // What ended it is for the read to tell.
                    _ => Ok(true),
                }
            }
            Stream::Bare(_) => Ok(true),
        }
    }
}

/// A socket of Linux' with the one congestion control that every kernel has and everybody may use: what the host's own
/// default does, BBR perhaps, is nothing that is asked here.
fn linux_socket(at: SocketAddr) -> io::Result<OwnedFd> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_tcp_congestion(&socket, "reno")?;
    Ok(socket)
}

/// A listener on Linux.
pub(super) fn linux_listen(at: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = linux_socket(at)?;
    rustix::net::bind(&socket, &at)?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket.into())
}

/// A connection of Linux'.
pub(super) fn linux_connect(to: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = linux_socket(to)?;
    // connect(2) waits no longer than a write would.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket.into())
}

/// Waits, in real time.
pub(super) fn pause(time: Duration) {
    let clock = Clock::start();
    let until = clock.now() + time;
    loop {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        // Without descriptors poll(2) only waits; a signal ends it early.
        let _ = poll(&mut [], Some(&timespec(left)));
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().min(1 << 30) as i64, tv_nsec: time.subsec_nanos().into() }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Ours(stream) => (&*stream).read(buf),
            Stream::Linux(stream) => (&*stream).read(buf),
            Stream::Bare(bare) => bare.read_now(buf),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Ours(stream) => (&*stream).write(buf),
            Stream::Linux(stream) => (&*stream).write(buf),
            Stream::Bare(bare) => bare.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

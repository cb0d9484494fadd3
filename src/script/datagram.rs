//! What does a datagram socket do? UDP between scripts and calls: the stack itself has it for name servers only.

use super::Trouble;
use super::ast::Icmp;
use super::call_args::Args;
use super::kernel::{Kernel, Progress};
use super::sockets::{SocketKind, Sockets, Step};
use std::collections::VecDeque;
use std::net::SocketAddr;

const MSG_PEEK: i64 = 0x2;
const MSG_TRUNC: i64 = 0x20;
const MSG_DONTWAIT: i64 = 0x40;
const MSG_ERRQUEUE: i64 = 0x2000;
/// The most that one can carry.
const MOST: usize = 65_507;
/// What waits to be read, bytes: Linux' net.core.rmem_default.
const KEPT: usize = 212_992;
/// The first port that is chosen for who names none.
const FIRST_PORT: u16 = 40_000;

/// A UDP socket.
#[derive(Clone, Default, Debug)]
pub struct Datagrams {
    /// Where it is bound.
    pub local: Option<SocketAddr>,
    /// Where it is connected to.
    pub remote: Option<SocketAddr>,
    /// What came: so many bytes, from there.
    queue: VecDeque<(usize, SocketAddr)>,
    /// How many ever came.
    pub came: u32,
    /// What a router said, told once.
    pub error: Option<&'static str>,
}

/// A datagram that leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outgoing {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub len: usize,
    /// Traffic class and hop limit.
    pub look: (u8, u8),
}

impl Datagrams {
    /// Whether there is something to read.
    pub fn is_readable(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Bytes of the datagram that came first.
    pub fn first(&self) -> usize {
        self.queue.front().map_or(0, |(len, _)| *len)
    }

    /// Whether what comes from `remote` to `local` is its.
    fn hears(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        let bound = self.local.is_some_and(|own| {
            own.port() == local.port() && (own.ip().is_unspecified() || own.ip() == local.ip())
        });
        bound && self.remote.is_none_or(|peer| peer == remote)
    }
}

impl Sockets {
    fn datagrams(&mut self, fd: i64) -> Option<&mut Datagrams> {
        match &mut self.table.get_mut(&fd)?.kind {
            SocketKind::Datagrams(datagrams) => Some(datagrams),
            _ => None,
        }
    }

    /// Gives a datagram to whose it is; false if that is nobody. Who is connected to the sender is asked first.
    pub fn deliver(&mut self, local: SocketAddr, remote: SocketAddr, len: usize) -> bool {
        let hears = |kind: &SocketKind| match kind {
            SocketKind::Datagrams(d) if d.hears(local, remote) => Some(d.remote.is_some()),
            _ => None,
        };
        let found = self.table.iter().filter_map(|(fd, socket)| Some((hears(&socket.kind)?, *fd))).max();
        let Some(datagrams) = found.and_then(|(_, fd)| self.datagrams(fd)) else { return false };
        let waiting: usize = datagrams.queue.iter().map(|(len, _)| len).sum();
        if waiting + len <= KEPT && datagrams.queue.len() < KEPT / 256 {
            datagrams.queue.push_back((len, remote));
            datagrams.came = datagrams.came.wrapping_add(1);
        }
        true
    }

    /// Tells the socket whose datagram an ICMP error quotes; false if there is none. Linux reports to who is connected what
    /// is final, and all of it to who asked (IP_RECVERR).
    pub fn refuse(&mut self, local: SocketAddr, remote: SocketAddr, icmp: &Icmp) -> bool {
        let code = icmp.code.as_deref().unwrap_or("");
        let (errno, last) = match (icmp.kind.as_str(), code) {
            ("unreachable", "port_unreachable") => ("ECONNREFUSED", true),
            ("unreachable", "protocol_unreachable") => ("ENOPROTOOPT", true),
            ("unreachable", "frag_needed") | ("packet_too_big", _) => ("EMSGSIZE", true),
            ("unreachable", "net_unreachable" | "no_route") => ("ENETUNREACH", false),
            ("unreachable", _) => ("EHOSTUNREACH", false),
            ("time_exceeded", _) => ("EHOSTUNREACH", false),
            ("parameter_problem", _) => ("EPROTO", true),
            _ => return false,
        };
        for socket in self.table.values_mut() {
            let asked = socket.tuning.report_icmp;
            if let SocketKind::Datagrams(datagrams) = &mut socket.kind
                && datagrams.hears(local, remote)
            {
                if asked || last && datagrams.remote.is_some() {
                    datagrams.error = Some(errno);
                }
                return true;
            }
        }
        false
    }

    /// A port that no datagram socket has.
    fn free_port(&self) -> u16 {
        let taken = |port: u16| {
            self.table.values().any(|socket| match &socket.kind {
                SocketKind::Datagrams(d) => d.local.is_some_and(|local| local.port() == port),
                _ => false,
            })
        };
        (FIRST_PORT..).find(|port| !taken(*port)).unwrap_or(FIRST_PORT)
    }
}

impl Kernel<'_> {
    /// Tries a call on a datagram socket; none if it is no such socket, or if the call is the same for all.
    pub fn datagram_line(&mut self, args: &Args, progress: &mut Progress) -> Option<Result<Step, Trouble>> {
        let fd = args.int(0).ok()?;
        self.sockets.datagrams(fd)?;
        match args.call.name.as_str() {
            "close" | "fcntl" | "setsockopt" | "getsockopt" | "ioctl" => None,
            _ => Some(self.on_datagrams(args, fd, progress)),
        }
    }

    fn on_datagrams(&mut self, args: &Args, fd: i64, progress: &mut Progress) -> Result<Step, Trouble> {
        let any = || args.int(3);
        match args.call.name.as_str() {
            "bind" => {
                args.count(3)?;
                let addr = args.address(1, self.settings.local)?;
                Ok(self.bind_datagrams(fd, addr))
            }
            "connect" => {
                args.count(3)?;
                let remote = match args.is_nobody(1)? {
                    true => None,
                    false => Some(args.address(1, self.settings.remote)?),
                };
                self.bound(fd);
                if let Some(datagrams) = self.sockets.datagrams(fd) {
                    datagrams.remote = remote;
                }
                Ok(Step::Done(0))
            }
            "listen" | "accept" | "accept4" => Ok(Step::Errno("EOPNOTSUPP")),
            "shutdown" => {
                args.count(2)?;
                let connected = self.sockets.datagrams(fd).is_some_and(|d| d.remote.is_some());
                Ok(match args.int(1)? {
                    0..=2 if connected => Step::Done(0),
                    0..=2 => Step::Errno("ENOTCONN"),
                    _ => Step::Errno("EINVAL"),
                })
            }
            "write" => Ok(self.send_datagram(fd, args.len(2)?, None)),
            "writev" => Ok(self.send_datagram(fd, args.iovec(args.expr(1)?)?, None)),
            "send" => Ok(self.send_datagram(fd, args.len(2)?, None)),
            "sendto" => {
                args.count(6)?;
                let to = args.address(4, self.settings.remote)?;
                Ok(self.send_datagram(fd, args.len(2)?, Some(to)))
            }
            "sendmsg" => {
                let message = args.message(1)?;
                if !message.control.is_empty() {
                    return Err(Trouble::unsupported(args.line, "control messages of datagrams"));
                }
                let to = message.name.then_some(self.settings.remote);
                Ok(self.send_datagram(fd, message.len, to))
            }
            "read" => Ok(self.receive_datagram(fd, args.len(2)?, 0, progress).0),
            "readv" => Ok(self.receive_datagram(fd, args.iovec(args.expr(1)?)?, 0, progress).0),
            "recv" | "recvfrom" if any()? & MSG_ERRQUEUE != 0 => {
                Err(Trouble::unsupported(args.line, "the error queue of datagrams"))
            }
            "recv" | "recvfrom" => Ok(self.receive_datagram(fd, args.len(2)?, any()?, progress).0),
            "recvmsg" => {
                args.count(3)?;
                let (wanted, flags) = (args.message(1)?, args.int(2)?);
                if !wanted.control.is_empty() || flags & MSG_ERRQUEUE != 0 {
                    return Err(Trouble::unsupported(args.line, "control messages of datagrams"));
                }
                let (step, seen) = self.receive_datagram(fd, wanted.len, flags, progress);
                if matches!(step, Step::Done(_)) && seen != wanted.flags {
                    let (wanted, seen) = (format!("{:#x}", wanted.flags), format!("{seen:#x}"));
                    return Err(Trouble::failed(args.line, "recvmsg returned other flags", wanted, seen));
                }
                Ok(step)
            }
            name => Err(Trouble::unsupported(args.line, format!("{name} on a datagram socket"))),
        }
    }

    fn bind_datagrams(&mut self, fd: i64, addr: SocketAddr) -> Step {
        let shares = self.sockets.table.get(&fd).is_some_and(|s| s.reuse_addr || s.reuse_port);
        let taken = self.sockets.table.iter().any(|(other, socket)| match &socket.kind {
            SocketKind::Datagrams(d) => *other != fd && addr.port() != 0 && d.local == Some(addr),
            _ => false,
        });
        if addr.ip() != self.settings.local.ip() && !addr.ip().is_unspecified() {
            return Step::Errno("EADDRNOTAVAIL");
        }
        let port = if addr.port() == 0 { self.sockets.free_port() } else { addr.port() };
        match self.sockets.datagrams(fd) {
            Some(datagrams) if datagrams.local.is_some() => {
                let _ = datagrams;
                Step::Errno("EINVAL")
            }
            Some(_) if taken && !shares => Step::Errno("EADDRINUSE"),
            Some(datagrams) => {
                datagrams.local = Some(SocketAddr::new(addr.ip(), port));
                Step::Done(0)
            }
            None => Step::Errno("EBADF"),
        }
    }

    /// Where a socket is bound, which it is from the first time on that it matters.
    fn bound(&mut self, fd: i64) -> SocketAddr {
        let (own, port) = (self.settings.local.ip(), self.sockets.free_port());
        let Some(datagrams) = self.sockets.datagrams(fd) else { return SocketAddr::new(own, port) };
        let local = *datagrams.local.get_or_insert(SocketAddr::new(own, port));
        if local.ip().is_unspecified() { SocketAddr::new(own, local.port()) } else { local }
    }

    fn send_datagram(&mut self, fd: i64, len: usize, to: Option<SocketAddr>) -> Step {
        let look = self.sockets.table.get(&fd).map_or((0, 64), |s| (s.opts.dscp << 2, s.opts.ttl));
        let Some(datagrams) = self.sockets.datagrams(fd) else { return Step::Errno("EBADF") };
        if let Some(errno) = datagrams.error.take() {
            return Step::Errno(errno);
        }
        let Some(dst) = to.or(datagrams.remote) else { return Step::Errno("EDESTADDRREQ") };
        if len > MOST {
            return Step::Errno("EMSGSIZE");
        }
        let src = self.bound(fd);
        self.sockets.outbox.push(Outgoing { src, dst, len, look });
        Step::Done(len as i64)
    }

    /// What a receiving call returns, and the flags of its message.
    fn receive_datagram(&mut self, fd: i64, len: usize, flags: i64, _: &mut Progress) -> (Step, i64) {
        let nonblock = self.sockets.table.get(&fd).is_none_or(|s| s.nonblock);
        let Some(datagrams) = self.sockets.datagrams(fd) else { return (Step::Errno("EBADF"), 0) };
        if let Some(errno) = datagrams.error.take() {
            return (Step::Errno(errno), 0);
        }
        let first = match flags & MSG_PEEK {
            0 => datagrams.queue.pop_front(),
            _ => datagrams.queue.front().copied(),
        };
        match first {
            Some((there, _)) => {
                let whole = flags & MSG_TRUNC != 0;
                let said = if there > len { MSG_TRUNC } else { 0 };
                (Step::Done(if whole { there } else { there.min(len) } as i64), said)
            }
            None if nonblock || flags & MSG_DONTWAIT != 0 => (Step::Errno("EAGAIN"), 0),
            None => (Step::Block(None), 0),
        }
    }
}

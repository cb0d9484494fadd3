//! What does a system call return? Each is tried at once and, if it blocks, again whenever something has happened.

use super::Trouble;
use super::ast::Expr;
use super::call_args::{Args, number, text};
use super::settings::{IpVersion, Settings};
use super::sockets::{Connection, Made, OWNER, Read, SocketKind, Sockets, Step};
use crate::stack::{Stack, StackError};
use crate::tcp::{Shutdown, State};
use crate::time::Instant;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How far a call has come that was tried before.
#[derive(Clone, Copy, Default, Debug)]
pub struct Progress {
    /// Bytes that it has moved.
    done: usize,
    /// When it gives up waiting.
    pub until: Option<Instant>,
    /// Whether it has begun.
    begun: bool,
}

/// The calls there are.
pub const NAMES: &[&str] = &[
    "socket",
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmsg",
    "write",
    "writev",
    "send",
    "sendto",
    "sendmsg",
    "shutdown",
    "close",
    "fcntl",
    "ioctl",
    "setsockopt",
    "getsockopt",
    "poll",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
];

const NONBLOCK: i64 = 0o4000;
const MSG_PEEK: i64 = 0x2;
const MSG_TRUNC: i64 = 0x20;
const MSG_DONTWAIT: i64 = 0x40;
const MSG_WAITALL: i64 = 0x100;
const MSG_NOSIGNAL: i64 = 0x4000;
const MSG_MORE: i64 = 0x8000;

/// What a call works with.
pub struct Kernel<'a> {
    pub sockets: &'a mut Sockets,
    pub stack: &'a mut Stack,
    pub settings: &'a Settings,
    pub now: Instant,
}

impl Kernel<'_> {
    /// Tries the call.
    pub fn attempt(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        let line = args.line;
        let fd = || args.int(0);
        match args.call.name.as_str() {
            "socket" => self.socket(args),
            "bind" => {
                args.count(3)?;
                self.bind(fd()?, args.address(1, self.settings.local)?)
            }
            "listen" => {
                args.count(2)?;
                self.listen(fd()?, args.int(1)?, line)
            }
            "accept" | "accept4" => {
                let flags = if args.call.name == "accept4" { args.int(3)? } else { 0 };
                args.count(if args.call.name == "accept4" { 4 } else { 3 })?;
                if args.expr(1)? != &Expr::Ellipsis {
                    return Err(Trouble::unsupported(line, "the address argument of accept"));
                }
                self.accept(fd()?, flags & NONBLOCK != 0)
            }
            "connect" => {
                args.count(3)?;
                let remote = args.address(1, self.settings.remote)?;
                self.connect(fd()?, remote, progress)
            }
            "read" => {
                args.count(3)?;
                self.receive(fd()?, args.len(2)?, 0, progress, line)
            }
            "readv" => {
                args.count(3)?;
                self.receive(fd()?, args.iovec(args.expr(1)?)?, 0, progress, line)
            }
            "recv" => {
                args.count(4)?;
                self.receive(fd()?, args.len(2)?, args.int(3)?, progress, line)
            }
            "recvfrom" => {
                args.count(6)?;
                self.receive(fd()?, args.len(2)?, args.int(3)?, progress, line)
            }
            "recvmsg" => {
                args.count(3)?;
                self.receive(fd()?, args.msghdr(1)?, args.int(2)?, progress, line)
            }
            "write" => {
                args.count(3)?;
                self.send(fd()?, args.len(2)?, 0, progress, line)
            }
            "writev" => {
                args.count(3)?;
                self.send(fd()?, args.iovec(args.expr(1)?)?, 0, progress, line)
            }
            "send" => {
                args.count(4)?;
                self.send(fd()?, args.len(2)?, args.int(3)?, progress, line)
            }
            "sendto" => {
                args.count(6)?;
                self.send(fd()?, args.len(2)?, args.int(3)?, progress, line)
            }
            "sendmsg" => {
                args.count(3)?;
                self.send(fd()?, args.msghdr(1)?, args.int(2)?, progress, line)
            }
            "shutdown" => {
                args.count(2)?;
                Ok(self.shutdown(fd()?, args.int(1)?))
            }
            "close" => {
                args.count(1)?;
                Ok(self.close(fd()?, line, progress)?)
            }
            "fcntl" => self.fcntl(args),
            "ioctl" => self.ioctl(args),
            "setsockopt" => self.sockets.setsockopt(self.stack, self.now, args),
            "getsockopt" => self.sockets.getsockopt(self.stack, args),
            "poll" => self.poll(args, progress),
            "epoll_create" | "epoll_create1" => {
                args.count(1)?;
                Ok(Step::Made(Made::Epoll))
            }
            "epoll_ctl" => self.epoll_ctl(args),
            "epoll_wait" => self.epoll_wait(args, progress),
            name => Err(Trouble::unsupported(line, format!("the system call {name}"))),
        }
    }

    fn socket(&mut self, args: &Args) -> Result<Step, Trouble> {
        args.count(3)?;
        let kind = args.int(1)?;
        if kind & 0xf != 1 {
            return Err(Trouble::unsupported(args.line, format!("sockets of type {}", text(args.expr(1)?))));
        }
        if let Expr::Word(family) = args.expr(0)? {
            let wanted = if self.settings.ip_version == IpVersion::Ipv4 { 2 } else { 10 };
            if number(args.expr(0)?, args.line)? != wanted {
                let what = format!("{family} sockets with --ip_version={}", self.settings.ip_version.name());
                return Err(Trouble::unsupported(args.line, what));
            }
        }
        Ok(Step::Made(Made::Socket { nonblock: kind & NONBLOCK != 0 }))
    }

    fn bind(&mut self, fd: i64, addr: SocketAddr) -> Result<Step, Trouble> {
        // Addresses are checked where the stack does it: when the socket listens or connects.
        let taken = self.sockets.table.iter().any(|(&other, socket)| {
            other != fd
                && match &socket.kind {
                    SocketKind::Fresh { bound } => *bound == Some(addr),
                    SocketKind::Listening { addr: listening, .. } => *listening == addr,
                    _ => false,
                }
                && !(socket.reuse_port
                    || socket.reuse_addr && matches!(socket.kind, SocketKind::Fresh { .. }))
        });
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let own = addr.ip() == self.settings.local.ip() || addr.ip().is_unspecified();
        Ok(match &mut socket.kind {
            SocketKind::Fresh { bound: bound @ None } => {
                if !own {
                    return Ok(Step::Errno("EADDRNOTAVAIL"));
                }
                if taken {
                    return Ok(Step::Errno("EADDRINUSE"));
                }
                *bound = Some(addr);
                Step::Done(0)
            }
            SocketKind::Epoll(_) => Step::Errno("ENOTSOCK"),
            _ => Step::Errno("EINVAL"),
        })
    }

    fn listen(&mut self, fd: i64, backlog: i64, line: u32) -> Result<Step, Trouble> {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let bound = match &socket.kind {
            SocketKind::Fresh { bound } => *bound,
            SocketKind::Listening { .. } => return Ok(Step::Done(0)),
            SocketKind::Conn(_) => return Ok(Step::Errno("EINVAL")),
            SocketKind::Epoll(_) => return Ok(Step::Errno("ENOTSOCK")),
        };
        let any: IpAddr = match self.settings.local.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let addr = bound.unwrap_or(SocketAddr::new(any, 0));
        // Linux admits one more than it is asked for.
        let backlog =
            u32::try_from(backlog).unwrap_or(u32::MAX).saturating_add(1).min(self.sockets.base.backlog);
        match self.stack.listen(addr, Some(backlog), OWNER) {
            Ok(id) => {
                let addr = self.stack.listener_addr(id).unwrap_or(addr);
                socket.kind = SocketKind::Listening { id, addr, waiting: VecDeque::new() };
                self.sockets.apply(self.stack).map_err(|what| Trouble::unsupported(line, what))?;
                Ok(Step::Done(0))
            }
            Err(error) => Ok(Step::Errno(stack_errno(&error))),
        }
    }

    fn accept(&mut self, fd: i64, nonblock: bool) -> Result<Step, Trouble> {
        let at = self.sockets.acceptable(self.stack, fd);
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let SocketKind::Listening { waiting, .. } = &mut socket.kind else {
            let epoll = matches!(socket.kind, SocketKind::Epoll(_));
            return Ok(Step::Errno(if epoll { "ENOTSOCK" } else { "EINVAL" }));
        };
        match at.and_then(|at| waiting.remove(at)) {
            Some(a) => Ok(Step::Made(Made::Conn { id: a.id, local: a.local, remote: a.remote, nonblock })),
            None if socket.nonblock => Ok(Step::Errno("EAGAIN")),
            None => Ok(Step::Block(None)),
        }
    }

    fn connect(&mut self, fd: i64, remote: SocketAddr, progress: &mut Progress) -> Result<Step, Trouble> {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let nonblock = socket.nonblock;
        let conn = match &mut socket.kind {
            SocketKind::Fresh { bound } => {
                let result = self.stack.connect(self.now, remote, *bound, Some(socket.opts), OWNER);
                let id = match result {
                    Ok(id) => id,
                    Err(error) => return Ok(Step::Errno(stack_errno(&error))),
                };
                let (local, remote) = self.stack.addrs_of(id).unwrap_or((self.settings.local, remote));
                socket.kind = SocketKind::Conn(Connection::new(id, local, remote, false));
                self.sockets.under_test = Some(fd);
                progress.begun = true;
                return Ok(if nonblock { Step::Errno("EINPROGRESS") } else { Step::Block(None) });
            }
            SocketKind::Conn(conn) => conn,
            SocketKind::Listening { .. } => return Ok(Step::Errno("EISCONN")),
            SocketKind::Epoll(_) => return Ok(Step::Errno("ENOTSOCK")),
        };
        let Some(live) = self.stack.conn(conn.id) else { return Ok(Step::Errno("ECONNABORTED")) };
        match (live.state(), live.error()) {
            (State::SynSent | State::SynReceived, _) if progress.begun => Ok(Step::Block(None)),
            (State::SynSent | State::SynReceived, _) => Ok(Step::Errno("EALREADY")),
            (State::Closed, error) if !conn.connected => {
                Ok(Step::Errno(error.and_then(|e| conn.fail(e)).unwrap_or("ECONNABORTED")))
            }
            _ if !conn.connected => {
                conn.connected = true;
                Ok(Step::Done(0))
            }
            _ => Ok(Step::Errno("EISCONN")),
        }
    }

    /// Whether a call on this descriptor may wait.
    fn blocking(&self, fd: i64, flags: i64) -> bool {
        flags & MSG_DONTWAIT == 0 && self.sockets.table.get(&fd).is_some_and(|s| !s.nonblock)
    }

    fn receive(
        &mut self,
        fd: i64,
        len: usize,
        flags: i64,
        progress: &mut Progress,
        line: u32,
    ) -> Result<Step, Trouble> {
        let known = MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
        if flags & !known != 0 {
            return Err(Trouble::unsupported(line, format!("the receive flags {:#x}", flags & !known)));
        }
        let peek = flags & MSG_PEEK != 0;
        let all = flags & MSG_WAITALL != 0 && !peek;
        let blocking = self.blocking(fd, flags);
        loop {
            match self.sockets.read(self.stack, self.now, fd, len - progress.done, peek) {
                Read::Corrupt(at) => {
                    return Err(Trouble::syntax(
                        line,
                        format!("byte {at} of what was read is not what was sent"),
                    ));
                }
                Read::Error(name) => {
                    return Ok(if progress.done > 0 {
                        Step::Done(progress.done as i64)
                    } else {
                        Step::Errno(name)
                    });
                }
                Read::Bytes(0) => return Ok(Step::Done(progress.done as i64)),
                Read::Bytes(n) => {
                    progress.done += n;
                    if !all || progress.done == len {
                        return Ok(Step::Done(progress.done as i64));
                    }
                }
                Read::Nothing if blocking && (all || progress.done == 0) => return Ok(Step::Block(None)),
                Read::Nothing if progress.done > 0 => return Ok(Step::Done(progress.done as i64)),
                Read::Nothing => return Ok(Step::Errno("EAGAIN")),
            }
        }
    }

    fn send(
        &mut self,
        fd: i64,
        len: usize,
        flags: i64,
        progress: &mut Progress,
        line: u32,
    ) -> Result<Step, Trouble> {
        let known = MSG_DONTWAIT | MSG_MORE | MSG_NOSIGNAL;
        if flags & !known != 0 {
            return Err(Trouble::unsupported(line, format!("the send flags {:#x}", flags & !known)));
        }
        let blocking = self.blocking(fd, flags);
        let more = flags & MSG_MORE != 0;
        // MSG_MORE is a cork for one call: the next one without it lets everything go.
        if let Some(socket) = self.sockets.table.get_mut(&fd)
            && let SocketKind::Conn(conn) = &mut socket.kind
            && more
            && !conn.more
        {
            conn.more = true;
            self.stack.set_opts(self.now, conn.id, |opts| opts.cork = true);
        }
        let result = self.sockets.write(self.stack, self.now, fd, len - progress.done);
        if let Some(socket) = self.sockets.table.get_mut(&fd)
            && let SocketKind::Conn(conn) = &mut socket.kind
            && !more
            && conn.more
        {
            conn.more = false;
            let cork = socket.opts.cork;
            self.stack.set_opts(self.now, conn.id, |opts| opts.cork = cork);
        }
        Ok(match result {
            Err(_) if progress.done > 0 => Step::Done(progress.done as i64),
            Err(name) => Step::Errno(name),
            Ok(n) => {
                progress.done += n;
                match (progress.done == len, blocking) {
                    (true, _) => Step::Done(len as i64),
                    (false, true) => Step::Block(None),
                    (false, false) if progress.done == 0 => Step::Errno("EAGAIN"),
                    (false, false) => Step::Done(progress.done as i64),
                }
            }
        })
    }

    fn shutdown(&mut self, fd: i64, how: i64) -> Step {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Step::Errno("EBADF") };
        let SocketKind::Conn(conn) = &mut socket.kind else {
            let epoll = matches!(socket.kind, SocketKind::Epoll(_));
            return Step::Errno(if epoll { "ENOTSOCK" } else { "ENOTCONN" });
        };
        let Some(how) = [Shutdown::Read, Shutdown::Write, Shutdown::Both].get(how as usize).copied() else {
            return Step::Errno("EINVAL");
        };
        let gone =
            self.stack.conn(conn.id).is_none_or(|c| matches!(c.state(), State::Closed | State::TimeWait));
        if gone {
            return Step::Errno("ENOTCONN");
        }
        conn.shut_read |= how != Shutdown::Write;
        conn.shut_write |= how != Shutdown::Read;
        self.stack.shutdown(self.now, conn.id, how);
        Step::Done(0)
    }

    fn close(&mut self, fd: i64, line: u32, progress: &mut Progress) -> Result<Step, Trouble> {
        let Some(socket) = self.sockets.table.get(&fd) else { return Ok(Step::Errno("EBADF")) };
        let lingers = socket.opts.linger.filter(|d| !d.is_zero());
        match &socket.kind {
            SocketKind::Conn(conn) => {
                // SO_LINGER with a time makes close() wait until everything is acknowledged.
                if let Some(time) = lingers {
                    if !progress.begun {
                        progress.begun = true;
                        progress.until = Some(self.now + time);
                        self.stack.shutdown(self.now, conn.id, Shutdown::Write);
                    }
                    let busy = self.stack.conn(conn.id).is_some_and(|c| {
                        let waiting = matches!(c.state(), State::FinWait1 | State::Closing | State::LastAck);
                        waiting || c.unacked() > 0 && c.state() != State::Closed
                    });
                    if busy && progress.until.is_some_and(|until| self.now < until) {
                        return Ok(Step::Block(progress.until));
                    }
                }
                // Then the rest goes on in the background; only a time of zero resets.
                if lingers.is_some() {
                    self.stack.set_opts(self.now, conn.id, |opts| opts.linger = None);
                }
                self.stack.release(self.now, conn.id);
            }
            SocketKind::Listening { id, waiting, .. } => {
                // What nobody accepted is reset, as Linux does.
                for accepted in waiting {
                    use crate::stream::ByteStream;
                    self.stack.stream(self.now, accepted.id).abort();
                    self.stack.release(self.now, accepted.id);
                }
                self.stack.close_listener(self.now, *id);
            }
            SocketKind::Fresh { .. } | SocketKind::Epoll(_) => {}
        }
        self.sockets.table.remove(&fd);
        for socket in self.sockets.table.values_mut() {
            if let SocketKind::Epoll(interest) = &mut socket.kind {
                interest.remove(&fd);
            }
        }
        self.sockets.apply(self.stack).map_err(|what| Trouble::unsupported(line, what))?;
        Ok(Step::Done(0))
    }

    fn fcntl(&mut self, args: &Args) -> Result<Step, Trouble> {
        let Some(socket) = self.sockets.table.get_mut(&args.int(0)?) else { return Ok(Step::Errno("EBADF")) };
        match args.int(1)? {
            1 | 2 => Ok(Step::Done(0)),
            3 => Ok(Step::Done(2 | if socket.nonblock { NONBLOCK } else { 0 })),
            4 => {
                socket.nonblock = args.int(2)? & NONBLOCK != 0;
                Ok(Step::Done(0))
            }
            _ => Err(Trouble::unsupported(args.line, format!("fcntl {}", text(args.expr(1)?)))),
        }
    }

    fn ioctl(&mut self, args: &Args) -> Result<Step, Trouble> {
        args.count(3)?;
        let (fd, request) = (args.int(0)?, args.int(1)?);
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let value = args.boxed(2)?.map(|e| number(e, args.line)).transpose()?;
        if request == 0x5421 {
            socket.nonblock = value.unwrap_or(0) != 0;
            return Ok(Step::Done(0));
        }
        let SocketKind::Conn(conn) = &socket.kind else { return Ok(Step::Errno("EINVAL")) };
        let live = self.stack.conn(conn.id);
        let seen = match request {
            0x541b => live.map_or(0, |c| c.readable()) as i64,
            0x5411 => live.map_or(0, |c| c.unacked()) as i64,
            0x894b => live.map_or(0, |c| i64::from(c.snapshot().unsent)),
            _ => return Err(Trouble::unsupported(args.line, format!("ioctl {}", text(args.expr(1)?)))),
        };
        match value {
            Some(wanted) if wanted != seen => Err(Trouble::failed(
                args.line,
                "ioctl returned another value",
                format!("[{wanted}]"),
                format!("[{seen}]"),
            )),
            _ => Ok(Step::Done(0)),
        }
    }
}

fn stack_errno(error: &StackError) -> &'static str {
    match error {
        StackError::AddrInUse => "EADDRINUSE",
        StackError::AddrNotAvailable { .. } => "EADDRNOTAVAIL",
        StackError::InvalidDestination => "ENETUNREACH",
    }
}

//! What does Linux do when a socket call is made? Each is tried at once and, if it blocks, again whenever something has
//! happened. Nothing here knows who calls: a line of a script or a program.

use super::Trouble;
use super::errqueue::Notice;
use super::settings::Settings;
use super::sockets::{Connection, Data, FastOpen, Made, OWNER, Read, SocketKind, Sockets, Step, waiting};
use crate::stack::{Accepted, ListenerId, Stack, StackError, WithSyn};
use crate::stream::ByteStream;
use crate::tcp::fast_open;
use crate::tcp::{Oob, Shutdown, State};
use crate::time::Instant;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How far a call has come that was tried before.
#[derive(Clone, Default, Debug)]
pub struct Progress {
    /// Bytes that it has moved.
    done: usize,
    /// What it has received.
    pub received: Vec<u8>,
    /// It waits for room in the send buffer.
    waits: bool,
    /// When it gives up waiting.
    pub until: Option<Instant>,
    /// Whether it has begun.
    pub begun: bool,
    /// What a control message says about time stamps of what is sent.
    pub record: Option<i64>,
}

/// O_NONBLOCK and SOCK_NONBLOCK.
pub const NONBLOCK: i64 = 0o4000;
const FIONBIO: i64 = 0x5421;
/// FIONREAD, too.
const SIOCINQ: i64 = 0x541b;
const SIOCOUTQ: i64 = 0x5411;
const SIOCOUTQNSD: i64 = 0x894b;
const SIOCATMARK: i64 = 0x8905;
const MSG_OOB: i64 = 0x1;
const MSG_PEEK: i64 = 0x2;
const MSG_DONTWAIT: i64 = 0x40;
const MSG_WAITALL: i64 = 0x100;
const MSG_MORE: i64 = 0x8000;
const MSG_EOR: i64 = 0x80;
const MSG_ERRQUEUE: i64 = 0x2000;
const MSG_ZEROCOPY: i64 = 0x400_0000;
pub const MSG_FASTOPEN: i64 = 0x2000_0000;

/// What a call works with.
pub struct Kernel<'a> {
    pub sockets: &'a mut Sockets,
    pub stack: &'a mut Stack,
    pub settings: &'a Settings,
    pub now: Instant,
}

impl Kernel<'_> {
    pub fn listen(&mut self, fd: i64, backlog: i64) -> Result<Step, Trouble> {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let bound = match &socket.kind {
            SocketKind::Fresh { bound } => *bound,
            SocketKind::Listening { .. } => return Ok(Step::Done(0)),
            SocketKind::Conn(_) => return Ok(Step::Errno("EINVAL")),
            SocketKind::Datagrams(_) | SocketKind::Epoll(_) | SocketKind::Other(_) => {
                return Ok(Step::Errno("ENOTSOCK"));
            }
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
                socket.kind = SocketKind::Listening { id, addr, waiting: VecDeque::new(), came: 0 };
                let all = fast_open::SERVER | fast_open::ALL_LISTENERS;
                if self.sockets.base.fast_open & all == all && socket.fast_open.queue == 0 {
                    socket.fast_open.queue = backlog - 1;
                }
                let FastOpen { queue, keys, without_cookie, .. } = socket.fast_open;
                self.stack.set_fast_open(id, queue, keys, without_cookie);
                self.sockets.apply(self.stack);
                Ok(Step::Done(0))
            }
            Err(error) => Ok(Step::Errno(stack_errno(&error))),
        }
    }

    pub fn accept(&mut self, fd: i64, nonblock: bool) -> Result<Step, Trouble> {
        self.sockets.fill(self.stack, fd);
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let SocketKind::Listening { waiting, .. } = &mut socket.kind else {
            let epoll = matches!(socket.kind, SocketKind::Epoll(_) | SocketKind::Other(_));
            return Ok(Step::Errno(if epoll { "ENOTSOCK" } else { "EINVAL" }));
        };
        match waiting.pop_front() {
            Some(a) => {
                if socket.tuning.quickack == Some(false) {
                    self.stack.set_quickack(self.now, a.id, false);
                }
                Ok(Step::Made(Made::Conn {
                    id: a.id,
                    local: a.local,
                    remote: a.remote,
                    nonblock,
                    listener: fd,
                    dscp: self.stack.conn(a.id).map_or(0, |live| live.opts().dscp),
                }))
            }
            None if socket.nonblock => Ok(Step::Errno("EAGAIN")),
            None => Ok(Step::Block(None)),
        }
    }

    pub fn connect(&mut self, fd: i64, remote: SocketAddr, progress: &mut Progress) -> Result<Step, Trouble> {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let nonblock = socket.nonblock;
        let conn = match &mut socket.kind {
            SocketKind::Fresh { .. } if socket.fast_open.waits.is_some() => {
                return Ok(Step::Errno("EISCONN"));
            }
            SocketKind::Fresh { bound } => {
                let FastOpen { connect, without_cookie, .. } = socket.fast_open;
                if connect && self.stack.may_connect_fast(self.now, remote, *bound, without_cookie) {
                    socket.fast_open.waits = Some(remote);
                    return Ok(Step::Done(0));
                }
                let with = WithSyn { data: &[], without_cookie };
                if let Err(step) = self.open(fd, remote, connect.then_some(with)) {
                    return Ok(step);
                }
                progress.begun = true;
                return Ok(if nonblock { Step::Errno("EINPROGRESS") } else { Step::Block(None) });
            }
            SocketKind::Conn(conn) => conn,
            SocketKind::Listening { .. } => return Ok(Step::Errno("EISCONN")),
            SocketKind::Datagrams(_) | SocketKind::Epoll(_) | SocketKind::Other(_) => {
                return Ok(Step::Errno("ENOTSOCK"));
            }
        };
        let Some(live) = self.stack.conn(conn.id) else { return Ok(Step::Errno("ECONNABORTED")) };
        match (live.state(), live.error()) {
            (State::SynSent | State::SynReceived, _) if progress.begun => Ok(Step::Block(None)),
            (State::SynSent | State::SynReceived, _) => Ok(Step::Errno("EALREADY")),
            (State::Closed, error) if !conn.connected => {
                let errno = error.and_then(|e| conn.fail(e)).unwrap_or("ECONNABORTED");
                // The next call tries again.
                self.stack.release(self.now, conn.id);
                socket.kind = SocketKind::Fresh { bound: None };
                Ok(Step::Errno(errno))
            }
            _ if !conn.connected => {
                conn.connected = true;
                Ok(Step::Done(0))
            }
            _ => Ok(Step::Errno("EISCONN")),
        }
    }

    /// `connect` to AF_UNSPEC: the socket is as new again, whatever it was connected to.
    pub fn disconnect(&mut self, fd: i64) -> Result<Step, Trouble> {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let fresh = SocketKind::Fresh { bound: None };
        match std::mem::replace(&mut socket.kind, fresh) {
            SocketKind::Conn(conn) => {
                use State::{CloseWait, Established, FinWait1, FinWait2, SynReceived, SynSent};
                let state = self.stack.conn(conn.id).map(|live| live.state());
                let open = matches!(
                    state,
                    Some(SynSent | SynReceived | Established | FinWait1 | FinWait2 | CloseWait)
                );
                socket.lost = open.then_some("ECONNRESET");
                self.stack.stream(self.now, conn.id).abort();
                self.stack.release(self.now, conn.id);
            }
            SocketKind::Listening { id, waiting, addr, .. } => {
                socket.kind = SocketKind::Fresh { bound: Some(addr) };
                self.stop_listening(id, waiting);
            }
            other => {
                let socket_at_all = matches!(other, SocketKind::Fresh { .. });
                socket.kind = other;
                return Ok(if socket_at_all { Step::Done(0) } else { Step::Errno("ENOTSOCK") });
            }
        }
        self.sockets.apply(self.stack);
        Ok(Step::Done(0))
    }

    /// Opens a connection from a socket that has none; says how many bytes went with the SYN.
    fn open(&mut self, fd: i64, remote: SocketAddr, with: Option<WithSyn<'_>>) -> Result<usize, Step> {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Err(Step::Errno("EBADF")) };
        let SocketKind::Fresh { bound } = socket.kind else { return Err(Step::Errno("EISCONN")) };
        let opts = Some(socket.opts);
        let result = match with {
            Some(with) => self.stack.connect_fast(self.now, remote, bound, opts, OWNER, with),
            None => self.stack.connect(self.now, remote, bound, opts, OWNER).map(|id| (id, 0)),
        };
        let (id, taken) = result.map_err(|error| Step::Errno(stack_errno(&error)))?;
        let (local, remote) = self.stack.addrs_of(id).unwrap_or((self.settings.local, remote));
        let mut conn = Connection::new(id, local, remote, false);
        conn.written = taken as u32;
        socket.kind = SocketKind::Conn(conn);
        socket.lost = None;
        let (tuning, key) = (socket.tuning, socket.keys.find(remote.ip()).copied());
        if key.is_some() {
            self.stack.set_key(self.now, id, key);
        }
        if !tuning.is_plain() {
            self.stack.set_config(self.now, id, |config| tuning.apply(config));
        }
        if tuning.quickack == Some(false) {
            self.stack.set_quickack(self.now, id, false);
        }
        self.sockets.under_test = Some(fd);
        Ok(taken)
    }

    /// The part of a send that opens the connection (Linux' `tcp_sendmsg_fastopen`); none if there is one already, of which the call
    /// has learned now.
    fn send_fast(
        &mut self,
        fd: i64,
        data: Data<'_>,
        remote: Option<SocketAddr>,
        blocking: bool,
        progress: &mut Progress,
    ) -> Option<Step> {
        let socket = self.sockets.table.get_mut(&fd)?;
        if self.sockets.base.fast_open & fast_open::CLIENT == 0 {
            return Some(Step::Errno("EOPNOTSUPP"));
        }
        let remote = socket.fast_open.waits.take().or(remote);
        let without_cookie = socket.fast_open.without_cookie;
        match &mut socket.kind {
            SocketKind::Fresh { .. } => {
                let Some(remote) = remote else { return Some(Step::Errno("EDESTADDRREQ")) };
                let bytes = data.bytes(0);
                match self.open(fd, remote, Some(WithSyn { data: &bytes, without_cookie })) {
                    Err(step) => return Some(step),
                    Ok(taken) => progress.done = taken,
                }
                Some(match progress.done {
                    taken if blocking => {
                        // The rest stands ready for the SYN-ACK, and goes with its acknowledgment.
                        let rest = self.sockets.write(self.stack, self.now, fd, data.after(taken), false);
                        progress.done += rest.unwrap_or(0);
                        Step::Block(None)
                    }
                    0 => Step::Errno("EINPROGRESS"),
                    taken => Step::Done(taken as i64),
                })
            }
            SocketKind::Conn(conn) if conn.connected => Some(Step::Errno("EISCONN")),
            SocketKind::Conn(conn) => {
                let live = self.stack.conn(conn.id)?;
                match (live.state(), live.error()) {
                    (State::SynSent | State::SynReceived, _) => Some(Step::Errno("EALREADY")),
                    (State::Closed, error) => {
                        Some(Step::Errno(error.and_then(|e| conn.fail(e)).unwrap_or("ECONNABORTED")))
                    }
                    _ => {
                        conn.connected = true;
                        None
                    }
                }
            }
            SocketKind::Listening { .. } => Some(Step::Errno("EISCONN")),
            SocketKind::Datagrams(_) | SocketKind::Epoll(_) | SocketKind::Other(_) => {
                Some(Step::Errno("ENOTSOCK"))
            }
        }
    }

    /// Whether a call on this descriptor may wait.
    fn blocking(&self, fd: i64, flags: i64) -> bool {
        flags & MSG_DONTWAIT == 0 && self.sockets.table.get(&fd).is_some_and(|s| !s.nonblock)
    }

    /// `read`: unlike `recv`, it need not wait for nothing.
    pub fn read(&mut self, fd: i64, len: usize, progress: &mut Progress, line: u32) -> Result<Step, Trouble> {
        if len == 0 && self.sockets.table.contains_key(&fd) {
            return Ok(Step::Done(0));
        }
        self.receive(fd, len, 0, progress, line)
    }

    /// The urgent byte: this never waits.
    fn receive_urgent(&mut self, fd: i64, len: usize, peek: bool, progress: &mut Progress) -> Step {
        let Some(socket) = self.sockets.table.get(&fd) else { return Step::Errno("EBADF") };
        let conn = match &socket.kind {
            SocketKind::Conn(conn) => conn,
            SocketKind::Fresh { .. } => return Step::Errno("EINVAL"),
            SocketKind::Listening { .. } => return Step::Errno("ENOTCONN"),
            SocketKind::Datagrams(_) | SocketKind::Epoll(_) | SocketKind::Other(_) => {
                return Step::Errno("ENOTSOCK");
            }
        };
        let ended = conn.shut_read
            || self.stack.conn(conn.id).is_none_or(|c| c.read_done() || c.state() == State::Closed);
        match self.stack.urgent(self.now, conn.id, peek || len == 0) {
            Oob::None => Step::Errno("EINVAL"),
            Oob::Awaited if ended => Step::Done(0),
            Oob::Awaited => Step::Errno("EAGAIN"),
            Oob::Byte(_) if len == 0 => Step::Done(0),
            Oob::Byte(byte) => {
                progress.received.push(byte);
                Step::Done(1)
            }
        }
    }

    pub fn receive(
        &mut self,
        fd: i64,
        len: usize,
        flags: i64,
        progress: &mut Progress,
        line: u32,
    ) -> Result<Step, Trouble> {
        if flags & MSG_ERRQUEUE != 0 {
            return Ok(match self.notice(fd) {
                // Without a place for control messages nothing of it is seen but that it is there.
                Ok(Notice::Stamp { packet: true, .. }) if len > 0 => {
                    return Err(Trouble::unsupported(line, "reading the packet behind a time stamp"));
                }
                Ok(_) => Step::Done(0),
                Err(errno) => Step::Errno(errno),
            });
        }
        if flags & MSG_OOB != 0 {
            return Ok(self.receive_urgent(fd, len, flags & MSG_PEEK != 0, progress));
        }
        let peek = flags & MSG_PEEK != 0;
        let all = flags & MSG_WAITALL != 0 && !peek;
        let blocking = self.blocking(fd, flags);
        let least = self.sockets.table.get(&fd).map_or(1, |s| s.rcv_lowat.min(len));
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
                Read::Bytes(bytes) if bytes.is_empty() => return Ok(Step::Done(progress.done as i64)),
                Read::Bytes(bytes) => {
                    progress.done += bytes.len();
                    progress.received.extend(bytes);
                    if !all && (progress.done >= least || !blocking || peek) || progress.done == len {
                        return Ok(Step::Done(progress.done as i64));
                    }
                }
                Read::Nothing if blocking && (all || progress.done < least.max(1)) => {
                    return Ok(Step::Block(None));
                }
                Read::Nothing if progress.done > 0 => return Ok(Step::Done(progress.done as i64)),
                Read::Nothing => return Ok(Step::Errno("EAGAIN")),
            }
        }
    }

    pub fn send(
        &mut self,
        fd: i64,
        data: Data<'_>,
        (flags, remote): (i64, Option<SocketAddr>),
        progress: &mut Progress,
    ) -> Result<Step, Trouble> {
        let len = data.len();
        let sent = self.sockets.sent(self.stack, fd);
        let blocking = self.blocking(fd, flags);
        let waits = self.sockets.table.get(&fd).is_some_and(|socket| socket.fast_open.waits.is_some());
        if (flags & MSG_FASTOPEN != 0 || waits) && !progress.begun {
            progress.begun = true;
            if let Some(step) = self.send_fast(fd, data, remote, blocking, progress) {
                return Ok(step);
            }
        }
        let more = flags & MSG_MORE != 0;
        // Who waits for room is woken once there is much.
        let live = self.sockets.conn(fd).and_then(|conn| self.stack.conn(conn.id));
        if progress.waits && live.is_some_and(|live| live.error().is_none() && live.writable_soon()) {
            return Ok(Step::Block(None));
        }
        // The engine would queue it; Linux' sockets wait for the connection first.
        let opening = self.sockets.conn(fd).and_then(|conn| self.stack.conn(conn.id));
        if opening.is_some_and(|conn| conn.state().is_opening() && !conn.is_early()) {
            return Ok(if blocking { Step::Block(None) } else { Step::Errno("EAGAIN") });
        }
        let result = self.sockets.write(self.stack, self.now, fd, data.after(progress.done), more);
        let step = match result {
            Err(_) if progress.done > 0 => Step::Done(progress.done as i64),
            Err(name) => Step::Errno(name),
            Ok(n) => {
                progress.done += n;
                if flags & MSG_OOB != 0
                    && n > 0
                    && let Some(conn) = self.sockets.conn(fd)
                {
                    self.stack.mark_urgent(self.now, conn.id);
                }
                match (progress.done == len, blocking) {
                    (true, _) => Step::Done(len as i64),
                    (false, true) => {
                        progress.waits = true;
                        Step::Block(None)
                    }
                    (false, false) if progress.done == 0 => Step::Errno("EAGAIN"),
                    (false, false) => Step::Done(progress.done as i64),
                }
            }
        };
        // Only what ends a message ends a record.
        if flags & MSG_EOR != 0
            && progress.done == len
            && let Some(conn) = self.sockets.conn(fd)
        {
            self.stack.end_record(self.now, conn.id);
        }
        if matches!(step, Step::Done(n) if n > 0) {
            self.sockets.wrote(fd, sent, flags & MSG_ZEROCOPY != 0, progress.record);
        }
        Ok(step)
    }

    pub fn shutdown(&mut self, fd: i64, how: i64) -> Step {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Step::Errno("EBADF") };
        let Some(how) = usize::try_from(how)
            .ok()
            .and_then(|n| [Shutdown::Read, Shutdown::Write, Shutdown::Both].get(n).copied())
        else {
            return Step::Errno("EINVAL");
        };
        let conn = match &mut socket.kind {
            SocketKind::Conn(conn) => conn,
            SocketKind::Fresh { .. } => {
                socket.shut.0 |= how != Shutdown::Write;
                socket.shut.1 |= how != Shutdown::Read;
                return Step::Errno("ENOTCONN");
            }
            SocketKind::Datagrams(_) | SocketKind::Epoll(_) | SocketKind::Other(_) => {
                return Step::Errno("ENOTSOCK");
            }
            // A listener has nothing to send; without its other half it listens no more.
            SocketKind::Listening { .. } if how == Shutdown::Write => return Step::Done(0),
            SocketKind::Listening { id, addr, waiting, .. } => {
                let (id, addr, waiting) = (*id, *addr, std::mem::take(waiting));
                socket.kind = SocketKind::Fresh { bound: Some(addr) };
                self.stop_listening(id, waiting);
                return Step::Done(0);
            }
        };
        let gone =
            self.stack.conn(conn.id).is_none_or(|c| matches!(c.state(), State::Closed | State::TimeWait));
        if gone {
            return Step::Errno("ENOTCONN");
        }
        // Who shuts down has seen that it is connected, as far as `connect` is asked again.
        conn.connected |= self.stack.conn(conn.id).is_some_and(|c| !c.state().is_opening());
        // An attempt to connect is given up, whatever is to be shut down.
        if self.stack.conn(conn.id).is_some_and(|live| live.state() == State::SynSent) {
            let conn = conn.id;
            socket.lost = Some("ECONNRESET");
            socket.kind = SocketKind::Fresh { bound: None };
            self.stack.stream(self.now, conn).abort();
            self.stack.release(self.now, conn);
            return Step::Done(0);
        }
        conn.shut_read |= how != Shutdown::Write;
        conn.shut_write |= how != Shutdown::Read;
        self.stack.shutdown(self.now, conn.id, how);
        Step::Done(0)
    }

    /// What nobody accepted is reset, as Linux does.
    fn stop_listening(&mut self, id: ListenerId, waiting: VecDeque<Accepted>) {
        for accepted in waiting {
            self.stack.stream(self.now, accepted.id).abort();
            self.stack.release(self.now, accepted.id);
        }
        self.stack.close_listener(self.now, id);
    }

    pub fn close(&mut self, fd: i64, progress: &mut Progress) -> Result<Step, Trouble> {
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
                let shared = self.sockets.shared.entry(conn.local.port()).or_insert((true, true));
                *shared = (shared.0 && socket.reuse_addr, shared.1 && socket.reuse_port);
                self.stack.release(self.now, conn.id);
            }
            SocketKind::Listening { id, waiting, .. } => {
                let (id, waiting) = (*id, waiting.clone());
                self.stop_listening(id, waiting);
            }
            SocketKind::Fresh { .. }
            | SocketKind::Datagrams(_)
            | SocketKind::Epoll(_)
            | SocketKind::Other(_) => {}
        }
        self.sockets.table.remove(&fd);
        for socket in self.sockets.table.values_mut() {
            if let SocketKind::Epoll(interest) = &mut socket.kind {
                interest.remove(&fd);
            }
        }
        self.sockets.apply(self.stack);
        Ok(Step::Done(0))
    }

    pub fn fcntl(&mut self, fd: i64, command: i64, value: i64) -> Result<Step, String> {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        match command {
            // F_GETFD, F_SETFD: nothing is ever executed.
            1 => Ok(Step::Done(socket.cloexec.into())),
            2 => {
                socket.cloexec = value & 1 != 0;
                Ok(Step::Done(0))
            }
            3 => Ok(Step::Done(2 | if socket.nonblock { NONBLOCK } else { 0 })),
            4 => {
                socket.nonblock = value & NONBLOCK != 0;
                Ok(Step::Done(0))
            }
            // F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG: nobody is ever signalled.
            8..=11 => Ok(Step::Done(0)),
            // F_DUPFD, locks, leases, pipes, seals and hints.
            other @ (0 | 5..=7 | 12..=40 | 1024..=1040) => Err(format!("fcntl {other}")),
            _ => Ok(Step::Errno("EINVAL")),
        }
    }

    /// The number that a request asks for, or none if it sets one.
    pub fn ioctl(
        &mut self,
        fd: i64,
        request: i64,
        value: i64,
    ) -> Result<Result<Option<i64>, &'static str>, String> {
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Err("EBADF")) };
        if request == FIONBIO {
            socket.nonblock = value != 0;
            return Ok(Ok(None));
        }
        if !matches!(request, SIOCINQ | SIOCOUTQ | SIOCOUTQNSD | SIOCATMARK) {
            return Err(format!("ioctl {request:#x}"));
        }
        let conn = match &socket.kind {
            SocketKind::Conn(conn) => conn,
            SocketKind::Datagrams(datagrams) => {
                let there = if request == SIOCINQ { datagrams.first() } else { 0 };
                return Ok(Ok(Some(there as i64)));
            }
            SocketKind::Epoll(_) | SocketKind::Other(_) => return Ok(Err("ENOTTY")),
            // Nothing is queued before there is a connection.
            SocketKind::Fresh { .. } => return Ok(Ok(Some(0))),
            SocketKind::Listening { .. } => return Ok(Err("EINVAL")),
        };
        let live = self.stack.conn(conn.id);
        Ok(Ok(Some(match request {
            SIOCINQ => {
                live.map_or(0, |c| if c.state().is_opening() { 0 } else { c.readable_to_mark() }) as i64
            }
            SIOCATMARK => live.map_or(0, |c| c.is_at_mark().into()),
            // What was lost with the connection is still counted.
            _ => {
                let (unacked, unsent) = match live {
                    Some(live) if live.state() != State::Closed => waiting(live),
                    _ => conn.left,
                };
                i64::from(if request == SIOCOUTQ { unacked } else { unsent })
            }
        })))
    }
}

fn stack_errno(error: &StackError) -> &'static str {
    match error {
        StackError::AddrInUse => "EADDRINUSE",
        StackError::AddrNotAvailable { .. } => "EADDRNOTAVAIL",
        StackError::InvalidDestination => "ENETUNREACH",
    }
}

//! Which socket is behind a descriptor, and what is it ready for? Linux' socket layer over the stack.

use super::frames::pattern;
use super::settings::Settings;
use crate::stack::{Accepted, ConnId, ListenerId, Owner, Stack};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{self, Opts, State};
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Everything in a script belongs to one owner.
pub const OWNER: Owner = Owner(0);

/// What a call came to, so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It returned this.
    Done(i64),
    /// It returned -1 with this errno.
    Errno(&'static str),
    /// It made a descriptor; the script says which number it has.
    Made(Made),
    /// It blocks, at the latest until then.
    Block(Option<Instant>),
}

/// What a new descriptor is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Made {
    /// A socket that is not connected.
    Socket {
        /// SOCK_NONBLOCK.
        nonblock: bool,
    },
    /// A connection that a listener accepted.
    Conn {
        /// Its name in the stack.
        id: ConnId,
        /// Where it is bound.
        local: SocketAddr,
        /// The other side.
        remote: SocketAddr,
        /// SOCK_NONBLOCK.
        nonblock: bool,
    },
    /// An epoll instance.
    Epoll,
}

/// One descriptor.
#[derive(Clone, Debug)]
pub struct Socket {
    pub kind: SocketKind,
    pub nonblock: bool,
    /// What socket options say; for a connection a copy that is kept in step.
    pub opts: Opts,
    /// TCP_DEFER_ACCEPT, in seconds.
    pub defer_accept: i64,
    pub reuse_addr: bool,
    pub reuse_port: bool,
}

/// What a descriptor stands for.
#[derive(Clone, Debug)]
pub enum SocketKind {
    Fresh {
        bound: Option<SocketAddr>,
    },
    Listening {
        id: ListenerId,
        addr: SocketAddr,
        /// Taken from the stack and not yet handed out.
        waiting: VecDeque<Accepted>,
    },
    Conn(Connection),
    /// Descriptor → events and data.
    Epoll(BTreeMap<i64, (i64, i64)>),
}

/// A connection that the script holds a descriptor for.
#[derive(Clone, Debug)]
pub struct Connection {
    pub id: ConnId,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// How many bytes were read, to check their content.
    pub read: u32,
    /// How many bytes were written, to choose their content.
    pub written: u32,
    /// Whether the error that ended it was reported: the socket layer does that once.
    pub error_taken: bool,
    /// Whether `connect` has reported success.
    pub connected: bool,
    pub shut_read: bool,
    pub shut_write: bool,
    /// Whether the last send said MSG_MORE.
    pub more: bool,
}

/// The table of descriptors.
pub struct Sockets {
    pub table: BTreeMap<i64, Socket>,
    /// The connection that assertions speak about.
    pub under_test: Option<i64>,
    /// net.core.rmem_max and net.core.wmem_max.
    pub buffer_max: (i64, i64),
    /// The stack's settings, without what a listening socket adds.
    pub base: tcp::Config,
    /// The options that connections inherit, and the listener that they come from.
    inherited: Option<(i64, Opts)>,
}

/// How a stream's error is called.
pub fn errno(error: StreamError) -> &'static str {
    match error {
        StreamError::WouldBlock => "EAGAIN",
        StreamError::NotConnected => "ENOTCONN",
        StreamError::ConnectionRefused => "ECONNREFUSED",
        StreamError::ConnectionReset => "ECONNRESET",
        StreamError::ConnectionAborted => "ECONNABORTED",
        StreamError::BrokenPipe => "EPIPE",
        StreamError::TimedOut => "ETIMEDOUT",
        StreamError::HostUnreachable => "EHOSTUNREACH",
        StreamError::NetworkUnreachable => "ENETUNREACH",
    }
}

impl Sockets {
    pub fn new(settings: &Settings) -> Sockets {
        Sockets {
            table: BTreeMap::new(),
            under_test: None,
            buffer_max: (212_992, 212_992),
            base: settings.tcp.clone(),
            inherited: None,
        }
    }

    /// Puts a new descriptor into the table.
    pub fn insert(&mut self, fd: i64, made: Made) {
        let (kind, nonblock) = match made {
            Made::Socket { nonblock } => (SocketKind::Fresh { bound: None }, nonblock),
            Made::Epoll => (SocketKind::Epoll(BTreeMap::new()), false),
            Made::Conn { id, local, remote, nonblock } => {
                self.under_test = Some(fd);
                (SocketKind::Conn(Connection::new(id, local, remote, true)), nonblock)
            }
        };
        let opts = match (made, &self.inherited) {
            (Made::Conn { .. }, Some((_, opts))) => *opts,
            _ => Opts::new(&self.base),
        };
        let socket = Socket { kind, nonblock, opts, defer_accept: 0, reuse_addr: false, reuse_port: false };
        self.table.insert(fd, socket);
    }

    /// Brings the stack's settings in step with sysctls and with the listening socket's options.
    ///
    /// # Errors
    /// If two listening sockets want their connections to differ: the stack has one set of defaults.
    pub fn apply(&mut self, stack: &mut Stack) -> Result<(), String> {
        let plain = Opts::new(&self.base);
        self.inherited = None;
        for (&fd, socket) in &self.table {
            if !matches!(socket.kind, SocketKind::Listening { .. }) {
                continue;
            }
            match self.inherited {
                Some((_, opts)) if opts != socket.opts => {
                    return Err("two listening sockets with different options".to_string());
                }
                _ => self.inherited = Some((fd, socket.opts)),
            }
        }
        let opts = self.inherited.map_or(plain, |(_, opts)| opts);
        let config = with_opts(&self.base, &opts);
        if config != stack.config().tcp {
            stack.set_tcp_config(config);
        }
        Ok(())
    }

    /// The connection behind a descriptor.
    pub fn conn(&self, fd: i64) -> Option<&Connection> {
        match &self.table.get(&fd)?.kind {
            SocketKind::Conn(conn) => Some(conn),
            _ => None,
        }
    }

    /// Moves what the stack has accepted to the listener's own queue.
    pub fn fill(&mut self, stack: &mut Stack, fd: i64) {
        if let Some(Socket { kind: SocketKind::Listening { id, waiting, .. }, .. }) = self.table.get_mut(&fd)
        {
            while let Some(accepted) = stack.accept(*id, OWNER) {
                waiting.push_back(accepted);
            }
        }
    }

    /// The first connection that `accept` may hand out: with TCP_DEFER_ACCEPT one on which something came.
    pub fn acceptable(&mut self, stack: &mut Stack, fd: i64) -> Option<usize> {
        self.fill(stack, fd);
        let socket = self.table.get(&fd)?;
        let SocketKind::Listening { waiting, .. } = &socket.kind else { return None };
        let usable = |accepted: &Accepted| {
            socket.defer_accept == 0
                || stack.conn(accepted.id).is_none_or(|c| c.readable() > 0 || c.state() != State::Established)
        };
        waiting.iter().position(usable)
    }

    /// What `poll` says about a descriptor (Linux' tcp_poll).
    pub fn ready(&mut self, stack: &mut Stack, fd: i64) -> i64 {
        const IN: i64 = 0x41; // POLLIN | POLLRDNORM
        const OUT: i64 = 0x104; // POLLOUT | POLLWRNORM
        const ERR: i64 = 0x8;
        const HUP: i64 = 0x10;
        const NVAL: i64 = 0x20;
        const RDHUP: i64 = 0x2000;
        if !self.table.contains_key(&fd) {
            return NVAL;
        }
        if self.acceptable(stack, fd).is_some() {
            return IN;
        }
        let Some(socket) = self.table.get(&fd) else { return NVAL };
        let SocketKind::Conn(conn) = &socket.kind else {
            return if matches!(socket.kind, SocketKind::Fresh { .. }) { OUT | HUP } else { 0 };
        };
        let Some(live) = stack.conn(conn.id) else { return IN | OUT | HUP | RDHUP };
        let state = live.state();
        let mut bits = 0;
        if live.error().is_some() && !conn.error_taken {
            bits |= ERR;
        }
        let fin_came = matches!(
            state,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait | State::Closed
        ) || conn.shut_read;
        let closed = state == State::Closed || state == State::TimeWait;
        if closed || fin_came && conn.shut_write {
            bits |= HUP;
        }
        if fin_came {
            bits |= IN | RDHUP;
        }
        if matches!(state, State::SynSent | State::SynReceived) {
            return bits;
        }
        if live.readable() > 0 {
            bits |= IN;
        }
        let free = live.writable();
        let used = (socket.opts.send_buffer as usize).saturating_sub(free);
        if conn.shut_write || closed || (free > 0 && free >= used / 2) {
            bits |= OUT;
        }
        bits
    }

    /// Reads, checks what came, and says how many bytes.
    pub fn read(&mut self, stack: &mut Stack, now: Instant, fd: i64, len: usize, peek: bool) -> Read {
        let Some(socket) = self.table.get_mut(&fd) else { return Read::Error("EBADF") };
        let SocketKind::Conn(conn) = &mut socket.kind else {
            let socket = !matches!(socket.kind, SocketKind::Epoll(_));
            return Read::Error(if socket { "ENOTCONN" } else { "EINVAL" });
        };
        if conn.shut_read {
            return Read::Bytes(0);
        }
        let there = stack.conn(conn.id).map_or(0, |c| c.readable());
        let mut buf = vec![0; len.min(there.max(1))];
        let mut stream = stack.stream(now, conn.id);
        let result = if peek { stream.peek(&mut buf) } else { stream.read(&mut buf) };
        match result {
            Ok(n) => {
                let good = |(at, &byte): (usize, &u8)| byte == pattern(conn.read.wrapping_add(at as u32));
                if let Some(bad) = buf[..n].iter().enumerate().position(|pair| !good(pair)) {
                    return Read::Corrupt(conn.read.wrapping_add(bad as u32));
                }
                if !peek {
                    conn.read = conn.read.wrapping_add(n as u32);
                }
                Read::Bytes(n)
            }
            Err(StreamError::WouldBlock) => Read::Nothing,
            Err(error) => conn.fail(error).map_or(Read::Bytes(0), Read::Error),
        }
    }

    /// Writes up to `len` bytes of the pattern and says how many found room.
    pub fn write(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        fd: i64,
        len: usize,
    ) -> Result<usize, &'static str> {
        let Some(socket) = self.table.get_mut(&fd) else { return Err("EBADF") };
        let SocketKind::Conn(conn) = &mut socket.kind else {
            let socket = !matches!(socket.kind, SocketKind::Epoll(_));
            return Err(if socket { "EPIPE" } else { "EINVAL" });
        };
        if conn.shut_write {
            return Err("EPIPE");
        }
        // The engine would queue it; Linux' sockets wait for the connection first.
        if stack.conn(conn.id).is_some_and(|c| c.state().is_opening()) {
            return Ok(0);
        }
        let mut done = 0;
        let mut stream = stack.stream(now, conn.id);
        loop {
            let chunk = (len - done).min(64 << 10);
            let bytes: Vec<u8> = (0..chunk as u32).map(|n| pattern(conn.written.wrapping_add(n))).collect();
            match stream.write(&bytes) {
                Ok(n) => {
                    conn.written = conn.written.wrapping_add(n as u32);
                    done += n;
                    if n < chunk || done == len {
                        return Ok(done);
                    }
                }
                Err(StreamError::WouldBlock) => return Ok(done),
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(conn.fail(error).unwrap_or("EPIPE")),
            }
        }
    }
}

/// What a read found.
pub enum Read {
    /// So many bytes; 0 is the end.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// An error.
    Error(&'static str),
    /// The byte at this offset is not the one that was sent.
    Corrupt(u32),
}

impl Connection {
    pub fn new(id: ConnId, local: SocketAddr, remote: SocketAddr, connected: bool) -> Connection {
        Connection {
            id,
            local,
            remote,
            read: 0,
            written: 0,
            error_taken: false,
            connected,
            shut_read: false,
            shut_write: false,
            more: false,
        }
    }

    /// The errno of the error that ended the connection, the first time; then none.
    pub fn fail(&mut self, error: StreamError) -> Option<&'static str> {
        if std::mem::replace(&mut self.error_taken, true) { None } else { Some(errno(error)) }
    }
}

/// `base` with the values that a socket's options have.
fn with_opts(base: &tcp::Config, opts: &Opts) -> tcp::Config {
    tcp::Config {
        nagle: opts.nagle,
        cork: opts.cork,
        congestion: opts.congestion,
        ack_delay: opts.ack_delay,
        mss: opts.mss,
        keepalive: opts.keepalive,
        keepalive_idle: opts.keepalive_idle,
        keepalive_interval: opts.keepalive_interval,
        keepalive_count: opts.keepalive_count,
        user_timeout: opts.user_timeout,
        linger: opts.linger,
        recv_buffer: opts.recv_buffer,
        send_buffer: opts.send_buffer,
        ttl: opts.ttl,
        dscp: opts.dscp,
        ..base.clone()
    }
}

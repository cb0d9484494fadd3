//! Which socket is behind a descriptor, and what is it ready for? Linux' socket layer over the stack.

use super::datagram::{Datagrams, Outgoing};
use super::errqueue::Notices;
use super::files::Other;
use super::frames::pattern;
use super::kept;
use crate::stack::{Accepted, ConnId, Keyring, ListenerId, Owner, Stack};
use crate::stream::{ByteStream, StreamError};
use crate::tcp::fast_open::Keys;
use crate::tcp::{self, Opts, State};
use crate::time::{Duration, Instant};
use std::borrow::Cow;
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
        /// SOCK_DGRAM.
        datagrams: bool,
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
        /// The listener's descriptor.
        listener: i64,
        /// The differentiated services field of its segments, which may be its SYN's.
        dscp: u8,
    },
    /// An epoll instance.
    Epoll,
    /// A file, or an end of a pipe.
    Other(Other),
}

/// One descriptor.
#[derive(Clone, Debug)]
pub struct Socket {
    pub kind: SocketKind,
    pub nonblock: bool,
    /// FD_CLOEXEC.
    pub cloexec: bool,
    /// What socket options say; for a connection a copy that is kept in step.
    pub opts: Opts,
    /// What it says about settings that are nobody's option in the engine.
    pub tuning: Tuning,
    pub reuse_addr: bool,
    pub reuse_port: bool,
    /// SO_RCVLOWAT: less than so many bytes are nothing to wake up for.
    pub rcv_lowat: usize,
    /// TCP_INQ: what is left to read comes with what is read.
    pub inq: bool,
    /// TCP_NOTSENT_LOWAT, in bytes.
    pub notsent_lowat: Option<u32>,
    /// What became of the connection that `connect` to nobody ended: told once.
    pub lost: Option<&'static str>,
    /// What `shutdown` ended although there was no connection: reading, writing.
    pub shut: (bool, bool),
    pub fast_open: FastOpen,
    /// TCP_MD5SIG: what signs the segments of which peers.
    pub keys: Keyring,
    /// Options without effect here, by level and name: what was set can be read again.
    pub others: BTreeMap<(i64, i64), i64>,
}

impl Socket {
    /// Whether options of this level are its: those of TCP or of UDP.
    pub fn has_level(&self, level: i64) -> bool {
        level != if matches!(self.kind, SocketKind::Datagrams(_)) { 6 } else { 17 }
    }

    /// Whether it has an address of its own.
    pub fn is_bound(&self) -> bool {
        match &self.kind {
            SocketKind::Fresh { bound } => bound.is_some_and(|addr| !addr.ip().is_unspecified()),
            SocketKind::Listening { addr, .. } => !addr.ip().is_unspecified(),
            SocketKind::Conn(_) => true,
            SocketKind::Datagrams(d) => d.local.is_some_and(|addr| !addr.ip().is_unspecified()),
            SocketKind::Epoll(_) | SocketKind::Other(_) => false,
        }
    }
}

/// Settings that a socket has for itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tuning {
    pub rto_min: Option<Duration>,
    pub rto_max: Option<Duration>,
    /// TCP_DELACK_MAX_US.
    pub delack_max: Option<Duration>,
    pub thin_linear: Option<bool>,
    pub syn_retries: Option<u8>,
    pub defer_accept: Option<Duration>,
    pub pmtud: Option<bool>,
    /// TCP_QUICKACK from before there was a connection.
    pub quickack: Option<bool>,
    /// IP_RECVERR: what routers say about a connection is an error of the next call.
    pub report_icmp: bool,
}

impl Tuning {
    /// Whether nothing of it changes the settings.
    pub fn is_plain(&self) -> bool {
        let Tuning { delack_max, quickack, report_icmp, .. } = *self;
        *self == Tuning { delack_max, quickack, report_icmp, ..Tuning::default() }
    }

    /// Changes the settings.
    pub fn apply(&self, config: &mut tcp::Config) {
        fn put<T: Copy>(to: &mut T, from: Option<T>) {
            *to = from.unwrap_or(*to);
        }
        put(&mut config.rto_min, self.rto_min);
        put(&mut config.rto_max, self.rto_max);
        put(&mut config.thin_linear, self.thin_linear);
        put(&mut config.syn_retries, self.syn_retries);
        put(&mut config.defer_accept, self.defer_accept);
        put(&mut config.pmtud, self.pmtud);
    }
}

/// What a socket was told of Fast Open.
#[derive(Clone, Copy, Default, Debug)]
pub struct FastOpen {
    /// TCP_FASTOPEN: the length of a listener's queue.
    pub queue: u32,
    /// TCP_FASTOPEN_KEY.
    pub keys: Option<Keys>,
    /// TCP_FASTOPEN_NO_COOKIE.
    pub without_cookie: bool,
    /// TCP_FASTOPEN_CONNECT: `connect` waits for the first data.
    pub connect: bool,
    /// It does, with this destination.
    pub waits: Option<SocketAddr>,
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
        /// How many have ever come.
        came: u32,
    },
    Conn(Connection),
    /// UDP.
    Datagrams(Datagrams),
    /// By descriptor.
    Epoll(BTreeMap<i64, Interest>),
    Other(Other),
}

/// What an epoll instance waits for on a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    /// Events and flags.
    pub events: i64,
    /// What is reported with them.
    pub data: u64,
    /// What was reported last.
    pub told: Option<Readiness>,
}

/// What a descriptor is ready for, and what has happened on it so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readiness {
    /// The events of `poll`.
    pub bits: i64,
    /// Bytes or connections that have come.
    came: u32,
}

impl Readiness {
    /// Nothing is news after this.
    pub const ALL: Readiness = Readiness { bits: -1, came: 0 };

    fn plain(bits: i64) -> Readiness {
        Readiness { bits, came: 0 }
    }

    /// Whether anything has happened since `told`.
    pub fn is_news(&self, told: &Readiness) -> bool {
        *told != Readiness::ALL && (self.bits & !told.bits != 0 || self.came != told.came)
    }
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
    /// Bytes not acknowledged, and of these not sent, when it was last seen alive; a FIN counts as one.
    pub left: (u32, u32),
    /// What a router said last, and whether the next call has to report it (IP_RECVERR).
    pub told: Option<StreamError>,
    pub reported: Option<StreamError>,
    /// Whether `connect` has reported success.
    pub connected: bool,
    pub shut_read: bool,
    pub shut_write: bool,
    /// The error queue.
    pub notices: Notices,
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
    /// net.ipv4.tcp_notsent_lowat.
    pub notsent_lowat: Option<u32>,
    /// Ports of connections that were closed: whether all of them had SO_REUSEADDR, and SO_REUSEPORT.
    pub shared: BTreeMap<u16, (bool, bool)>,
    /// The files that commands have made, by name, with their sizes.
    pub files: BTreeMap<String, u64>,
    /// The names of files that were opened to be written.
    pub written: Vec<String>,
    /// Datagrams that leave now.
    pub outbox: Vec<Outgoing>,
    /// How many bytes are in each pipe.
    pub pipes: Vec<usize>,
    /// Whether packets are those of IPv6.
    pub wire_v6: bool,
    /// SO_DOMAIN: AF_INET or AF_INET6.
    pub domain: i64,
    /// Whether what is read must be the pattern of scripts.
    patterned: bool,
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
        StreamError::ProtocolUnreachable => "ENOPROTOOPT",
    }
}

impl Sockets {
    /// A table for connections with these settings; `patterned`: what they read is the pattern of scripts.
    pub fn new(base: tcp::Config, patterned: bool) -> Sockets {
        Sockets {
            patterned,
            table: BTreeMap::new(),
            shared: BTreeMap::new(),
            under_test: None,
            domain: 2,
            wire_v6: false,
            buffer_max: (4 << 20, 4 << 20),
            notsent_lowat: None,
            files: BTreeMap::new(),
            written: Vec::new(),
            outbox: Vec::new(),
            pipes: Vec::new(),
            base,
        }
    }

    /// Puts a new descriptor into the table.
    pub fn insert(&mut self, fd: i64, made: Made) {
        let (mut kind, nonblock) = match made {
            Made::Socket { nonblock, datagrams: false } => (SocketKind::Fresh { bound: None }, nonblock),
            Made::Socket { nonblock, datagrams: true } => {
                (SocketKind::Datagrams(Datagrams::default()), nonblock)
            }
            Made::Epoll => (SocketKind::Epoll(BTreeMap::new()), false),
            Made::Other(other) => (SocketKind::Other(other), false),
            Made::Conn { id, local, remote, nonblock, .. } => {
                self.under_test = Some(fd);
                (SocketKind::Conn(Connection::new(id, local, remote, true)), nonblock)
            }
        };
        let parent = match made {
            Made::Conn { listener, .. } => self.table.get(&listener),
            _ => None,
        };
        let (mut opts, tuning, others) = match parent {
            Some(parent) => (parent.opts, parent.tuning, parent.others.clone()),
            None => (Opts::new(&self.base), Tuning::default(), BTreeMap::new()),
        };
        if let Made::Conn { dscp, .. } = made {
            opts.dscp = dscp;
        }
        if let (SocketKind::Conn(conn), Some(flags)) = (&mut kind, others.get(&(1, 37))) {
            conn.notices.set_stamping(*flags, 0, 0);
        }
        let mut socket = Socket {
            kind,
            nonblock,
            cloexec: false,
            opts,
            tuning,
            reuse_addr: false,
            reuse_port: false,
            rcv_lowat: 1,
            inq: false,
            notsent_lowat: None,
            lost: None,
            shut: (false, false),
            fast_open: FastOpen::default(),
            keys: Keyring::new(),
            others,
        };
        if let Some(from) = parent {
            (socket.reuse_addr, socket.reuse_port) = (from.reuse_addr, from.reuse_port);
            (socket.rcv_lowat, socket.inq) = (from.rcv_lowat, from.inq);
            socket.notsent_lowat = from.notsent_lowat;
            // The one key that is its peer's.
            if let Made::Conn { remote, .. } = made
                && let Some(key) = from.keys.find(remote.ip())
            {
                socket.keys.insert(remote.ip(), u8::MAX, *key);
            }
        }
        self.table.insert(fd, socket);
    }

    /// Brings the stack's settings in step with sysctls, and those of each listener's connections with its options.
    pub fn apply(&mut self, stack: &mut Stack) {
        if self.base != stack.config().tcp {
            stack.set_tcp_config(self.base.clone());
        }
        let plain = (Opts::new(&self.base), Tuning::default());
        for socket in self.table.values() {
            if let SocketKind::Listening { id, .. } = &socket.kind {
                let differs = (socket.opts, socket.tuning) != plain;
                stack.set_listener_config(
                    *id,
                    differs.then(|| {
                        let mut config = with_opts(&self.base, &socket.opts);
                        socket.tuning.apply(&mut config);
                        config
                    }),
                );
                stack.set_listener_keys(*id, socket.keys.clone());
                stack.save_syn(*id, socket.others.get(&kept::SAVE_SYN).is_some_and(|n| *n != 0));
            }
        }
    }

    /// What IP_MINTTL or IPV6_MINHOPCOUNT of any socket asks for.
    pub fn least_ttl(&self) -> i64 {
        let asked =
            |socket: &Socket| kept::LEAST_TTL.iter().filter_map(|o| socket.others.get(o).copied()).max();
        self.table.values().filter_map(asked).max().unwrap_or(0)
    }

    /// What TCP_INQ reports behind a read: the bytes that are left, if that was asked for.
    pub fn inq(&self, stack: &Stack, fd: i64) -> Option<i64> {
        self.table.get(&fd).filter(|s| s.inq)?;
        let live = stack.conn(self.conn(fd)?.id);
        // The end of the stream counts for one (tcp_inq_hint).
        Some(live.map_or(0, |c| {
            let fin =
                c.readable() == 0 && matches!(c.state(), State::CloseWait | State::Closing | State::LastAck);
            c.readable() as i64 + i64::from(fin)
        }))
    }

    /// The error queue of a connection.
    pub fn notices(&mut self, fd: i64) -> Option<&mut Notices> {
        match &mut self.table.get_mut(&fd)?.kind {
            SocketKind::Conn(conn) => Some(&mut conn.notices),
            _ => None,
        }
    }

    /// How many bytes of a connection have left and how many are acknowledged, of all that were written.
    fn reached(stack: &Stack, conn: &Connection) -> (u32, u32) {
        match stack.conn(conn.id).filter(|c| c.state() != State::Closed) {
            Some(live) => (
                conn.written.wrapping_sub(live.snapshot().unsent),
                conn.written.wrapping_sub(live.unacked() as u32),
            ),
            None => (conn.written, conn.written),
        }
    }

    /// How many bytes of a connection have left.
    pub fn sent(&self, stack: &Stack, fd: i64) -> u32 {
        self.conn(fd).map_or(0, |conn| Sockets::reached(stack, conn).0)
    }

    /// A call has written all it was going to.
    pub fn wrote(&mut self, fd: i64, sent: u32, zerocopy: bool, record: Option<i64>) {
        let Some(socket) = self.table.get_mut(&fd) else { return };
        // Without SO_ZEROCOPY the flag means nothing.
        let zerocopy = zerocopy && socket.others.get(&kept::ZEROCOPY).is_some_and(|on| *on != 0);
        if let SocketKind::Conn(conn) = &mut socket.kind {
            conn.notices.wrote(conn.written, sent, zerocopy, record);
        }
    }

    /// SO_TIMESTAMPING.
    pub fn set_stamping(&mut self, stack: &Stack, fd: i64, flags: i64) {
        let Some(Socket { kind: SocketKind::Conn(conn), .. }) = self.table.get_mut(&fd) else { return };
        let acked = Sockets::reached(stack, conn).1;
        conn.notices.set_stamping(flags, conn.written, acked);
    }

    /// Puts what has happened to what was sent into the error queues.
    pub fn progress(&mut self, stack: &Stack, now: Instant) {
        for socket in self.table.values_mut() {
            if let SocketKind::Conn(conn) = &mut socket.kind {
                let (sent, acked) = Sockets::reached(stack, conn);
                conn.notices.progress(now, sent, acked);
                if let Some(live) = stack.conn(conn.id).filter(|live| live.state() != State::Closed) {
                    conn.left = waiting(live);
                }
                let told = stack.conn(conn.id).and_then(|live| live.soft_error());
                if conn.told != told && socket.tuning.report_icmp {
                    conn.reported = told.or(conn.reported);
                }
                conn.told = told;
            }
        }
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
        if let Some(Socket { kind: SocketKind::Listening { id, waiting, came, .. }, .. }) =
            self.table.get_mut(&fd)
        {
            while let Some(accepted) = stack.accept(*id, OWNER) {
                waiting.push_back(accepted);
                *came = came.wrapping_add(1);
            }
        }
    }

    /// Whether there is a connection that `accept` may hand out.
    pub fn is_acceptable(&mut self, stack: &mut Stack, fd: i64) -> bool {
        self.fill(stack, fd);
        matches!(self.table.get(&fd).map(|s| &s.kind), Some(SocketKind::Listening { waiting, .. }) if !waiting.is_empty())
    }

    /// What `poll` says about a descriptor (Linux' tcp_poll).
    pub fn ready(&mut self, stack: &mut Stack, fd: i64) -> Readiness {
        const IN: i64 = 0x41; // POLLIN | POLLRDNORM
        const PRI: i64 = 0x2;
        const OUT: i64 = 0x104; // POLLOUT | POLLWRNORM
        const ERR: i64 = 0x8;
        const HUP: i64 = 0x10;
        const NVAL: i64 = 0x20;
        const RDHUP: i64 = 0x2000;
        if !self.table.contains_key(&fd) {
            return Readiness::plain(NVAL);
        }
        if self.is_acceptable(stack, fd) {
            let came = self.came(fd);
            return Readiness { bits: IN, came };
        }
        let Some(socket) = self.table.get(&fd) else { return Readiness::plain(NVAL) };
        let SocketKind::Conn(conn) = &socket.kind else {
            let error = if socket.lost.is_some() { ERR } else { 0 };
            let ended = if socket.shut.0 { IN | RDHUP } else { 0 };
            if let SocketKind::Datagrams(datagrams) = &socket.kind {
                let readable = if datagrams.is_readable() { IN } else { 0 };
                let error = if datagrams.error.is_some() { ERR } else { 0 };
                return Readiness { bits: OUT | readable | error, came: datagrams.came };
            }
            return Readiness::plain(match &socket.kind {
                SocketKind::Fresh { .. } if socket.fast_open.waits.is_some() => OUT,
                SocketKind::Fresh { .. } => OUT | HUP | error | ended,
                _ => 0,
            });
        };
        let Some(live) = stack.conn(conn.id) else {
            let error = if conn.notices.queue.is_empty() { 0 } else { ERR };
            return Readiness::plain(IN | OUT | HUP | RDHUP | error);
        };
        let state = live.state();
        let mut bits = 0;
        if live.error().is_some() && !conn.error_taken
            || conn.reported.is_some()
            || !conn.notices.queue.is_empty()
        {
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
        if state.is_opening() && !live.is_early() {
            return Readiness::plain(bits);
        }
        // The urgent byte is read apart: it alone is nothing to read.
        let apart = usize::from(live.is_at_mark() && !live.opts().urgent_inline);
        if live.readable() >= socket.rcv_lowat + apart {
            bits |= IN;
        }
        if live.has_urgent() {
            bits |= PRI;
        }
        if conn.shut_write || closed || live.has_much_room() {
            bits |= OUT;
        }
        let unsent = live.snapshot().unsent;
        if socket
            .notsent_lowat
            .or(self.notsent_lowat)
            .is_some_and(|lowat| u64::from(unsent) * 2 >= u64::from(lowat))
            && !conn.shut_write
        {
            bits &= !OUT;
        }
        let came = conn.read.wrapping_add(live.readable() as u32).wrapping_add(conn.notices.came);
        Readiness { bits, came }
    }

    /// Connections that have come to a listener.
    fn came(&self, fd: i64) -> u32 {
        match self.table.get(&fd).map(|s| &s.kind) {
            Some(SocketKind::Listening { came, .. }) => *came,
            _ => 0,
        }
    }

    /// Reads, and checks what came if the table is a script's.
    pub fn read(&mut self, stack: &mut Stack, now: Instant, fd: i64, len: usize, peek: bool) -> Read {
        let Some(socket) = self.table.get_mut(&fd) else { return Read::Error("EBADF") };
        let SocketKind::Conn(conn) = &mut socket.kind else {
            let no_socket = matches!(socket.kind, SocketKind::Epoll(_) | SocketKind::Other(_));
            return match (no_socket, socket.lost.take()) {
                (true, _) => Read::Error("EINVAL"),
                (_, Some(errno)) => Read::Error(errno),
                _ if socket.shut.0 && !matches!(socket.kind, SocketKind::Listening { .. }) => {
                    Read::Bytes(Vec::new())
                }
                _ => Read::Error("ENOTCONN"),
            };
        };
        let there = stack.conn(conn.id).map_or(0, |c| c.readable());
        // Where peeking goes on, if that was asked for.
        let off = socket.others.get_mut(&kept::PEEK_OFF).filter(|off| **off >= 0);
        let skip = off.as_ref().filter(|_| peek).map_or(0, |off| **off as usize);
        if skip > 0 && skip >= there && !stack.conn(conn.id).is_none_or(|c| c.read_done()) {
            return Read::Nothing;
        }
        let mut buf = vec![0; len.saturating_add(skip).min(there.max(1))];
        let mut stream = stack.stream(now, conn.id);
        let result = if peek { stream.peek(&mut buf) } else { stream.read(&mut buf) };
        match result {
            Ok(n) => {
                buf.truncate(n);
                // The urgent byte may have been passed over.
                let at_mark = |c: &tcp::Conn| u32::from(c.is_at_mark() && !c.opts().urgent_inline);
                let passed = |c: &tcp::Conn| {
                    if peek { c.read_position() + at_mark(c) } else { c.read_position() - n as u32 }
                };
                conn.read = stack.conn(conn.id).map_or(conn.read, passed);
                let good = |(at, &byte): (usize, &u8)| byte == pattern(conn.read.wrapping_add(at as u32));
                if self.patterned
                    && let Some(bad) = buf.iter().enumerate().position(|pair| !good(pair))
                {
                    return Read::Corrupt(conn.read.wrapping_add(bad as u32));
                }
                if !peek {
                    conn.read = conn.read.wrapping_add(n as u32);
                }
                if let Some(off) = off {
                    let moved = n.saturating_sub(skip) as i64;
                    *off = if peek { *off + moved } else { (*off - n as i64).max(0) };
                }
                buf.drain(..skip.min(n));
                Read::Bytes(buf)
            }
            Err(StreamError::WouldBlock) => match conn.reported.take() {
                Some(error) => Read::Error(errno(error)),
                None => Read::Nothing,
            },
            Err(error) => conn.fail(error).map_or(Read::Bytes(Vec::new()), Read::Error),
        }
    }

    /// Writes and says how many bytes found room.
    pub fn write(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        fd: i64,
        data: Data<'_>,
        more: bool,
    ) -> Result<usize, &'static str> {
        let Some(socket) = self.table.get_mut(&fd) else { return Err("EBADF") };
        let SocketKind::Conn(conn) = &mut socket.kind else {
            let no_socket = matches!(socket.kind, SocketKind::Epoll(_) | SocketKind::Other(_));
            return Err(if no_socket { "EINVAL" } else { socket.lost.take().unwrap_or("EPIPE") });
        };
        if conn.shut_write {
            let error = stack.conn(conn.id).and_then(|live| live.error());
            return Err(error.and_then(|error| conn.fail(error)).unwrap_or("EPIPE"));
        }
        if let Some(error) = conn.reported.take() {
            return Err(errno(error));
        }
        let (len, mut done) = (data.len(), 0);
        let mut stream = stack.stream(now, conn.id);
        loop {
            let chunk = (len - done).min(1 << 20);
            let bytes: Cow<'_, [u8]> = match data {
                Data::These(bytes) => Cow::Borrowed(&bytes[done..done + chunk]),
                Data::Pattern(_) => {
                    let byte = |n| if self.patterned { pattern(conn.written.wrapping_add(n)) } else { 0 };
                    (0..chunk as u32).map(byte).collect()
                }
            };
            let result = match more || done + chunk < len {
                true => stream.write_part(&bytes),
                false => stream.write(&bytes),
            };
            match result {
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

/// What is written.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// So many bytes of the pattern of scripts, which goes on where the last write ended; zeros for a program.
    Pattern(usize),
    /// These bytes.
    #[cfg_attr(not(feature = "packetdrill"), expect(dead_code, reason = "scripts only write the pattern"))]
    These(&'a [u8]),
}

impl Data<'_> {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Data::Pattern(len) => *len,
            Data::These(bytes) => bytes.len(),
        }
    }

    /// The bytes, of which `written` have been written before.
    pub fn bytes(&self, written: u32) -> Cow<'_, [u8]> {
        match self {
            Data::Pattern(len) => (0..*len as u32).map(|n| pattern(written.wrapping_add(n))).collect(),
            Data::These(bytes) => Cow::Borrowed(bytes),
        }
    }

    /// All but the first `n`.
    pub fn after(self, n: usize) -> Self {
        match self {
            Data::Pattern(len) => Data::Pattern(len.saturating_sub(n)),
            Data::These(bytes) => Data::These(bytes.get(n..).unwrap_or_default()),
        }
    }
}

/// What a read found.
pub enum Read {
    /// These bytes; none is the end.
    Bytes(Vec<u8>),
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
            left: (0, 0),
            told: None,
            reported: None,
            connected,
            shut_read: false,
            shut_write: false,
            notices: Notices::default(),
        }
    }

    /// The errno of the error that ended the connection, the first time; then none.
    pub fn fail(&mut self, error: StreamError) -> Option<&'static str> {
        if std::mem::replace(&mut self.error_taken, true) { None } else { Some(errno(error)) }
    }
}

/// How much of what was written is not acknowledged, and how much has not left; a FIN counts as a byte.
pub fn waiting(live: &tcp::Conn) -> (u32, u32) {
    let fin = matches!(live.state(), State::FinWait1 | State::Closing | State::LastAck);
    let unsent = live.snapshot().unsent;
    (live.unacked() as u32 + u32::from(fin), unsent + u32::from(fin && unsent > 0))
}

/// `base` with the values that a socket's options have.
fn with_opts(base: &tcp::Config, opts: &Opts) -> tcp::Config {
    tcp::Config {
        nagle: opts.nagle,
        cork: opts.cork,
        congestion: opts.congestion,
        ack_delay: opts.ack_delay,
        mss: opts.mss,
        advmss: opts.advmss,
        window_clamp: opts.window_clamp,
        max_pacing_rate: opts.max_pacing_rate,
        keepalive: opts.keepalive,
        keepalive_idle: opts.keepalive_idle,
        keepalive_interval: opts.keepalive_interval,
        keepalive_count: opts.keepalive_count,
        user_timeout: opts.user_timeout,
        linger: opts.linger,
        urgent_inline: opts.urgent_inline,
        recv_buffer: opts.recv_buffer,
        recv_buffer_initial: opts.recv_buffer_initial,
        send_buffer: opts.send_buffer,
        send_buffer_initial: opts.send_buffer_initial,
        ttl: opts.ttl,
        dscp: opts.dscp,
        ..base.clone()
    }
}

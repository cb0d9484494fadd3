//! Which socket is behind a descriptor? Linux' socket layer over the stack.

mod transfer;

pub use transfer::{Data, Read, Readiness};

use super::datagram::{Datagrams, Outgoing};
use super::errqueue::Notices;
use super::files::Other;
use super::kept;
use crate::stack::{Accepted, ConnId, Keyring, ListenerId, Owner, Stack};
use crate::stream::StreamError;
use crate::tcp::fast_open::Keys;
use crate::tcp::{self, Opts, State};
use crate::time::{Duration, Instant};
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

    /// Whether an option that is only kept is on.
    pub fn has_switch(&self, fd: i64, option: (i64, i64)) -> bool {
        self.table.get(&fd).is_some_and(|socket| socket.others.get(&option).is_some_and(|&value| value != 0))
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

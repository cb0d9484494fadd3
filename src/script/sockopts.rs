//! What do socket options do? `setsockopt` and `getsockopt` as Linux has them.

use super::errnos;
use super::errqueue::stamping;
use super::sockets::{Socket, SocketKind, Sockets, Step, errno};
use crate::stack::Stack;
use crate::tcp::fast_open::{self, Keys};
use crate::tcp::{self, Congestion, Nagle, Opts, State};
use crate::time::{Duration, Instant};

/// The options that are known; a name outside is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    ReuseAddr,
    ReusePort,
    Type,
    Error,
    SndBuf {
        force: bool,
    },
    RcvBuf {
        force: bool,
    },
    KeepAlive,
    Linger,
    OobInline,
    AcceptConn,
    Protocol,
    NoDelay,
    MaxSeg,
    Cork,
    KeepIdle,
    KeepIntvl,
    KeepCnt,
    SynCnt,
    Linger2,
    DeferAccept,
    WindowClamp,
    MaxPacingRate,
    QuickAck,
    Congestion,
    UserTimeout,
    Ttl,
    /// IP_TOS and IPV6_TCLASS.
    TrafficClass,
    NotsentLowat,
    Inq,
    /// SO_TIMESTAMPING.
    Stamping,
    /// SO_RCVLOWAT.
    RcvLowat,
    /// IP_MTU and IPV6_MTU.
    Mtu,
    FastOpen,
    FastOpenConnect,
    FastOpenKey,
    FastOpenNoCookie,
    /// Accepted and without any effect on what is sent here, beginning with this value.
    Inert(i64),
    /// SO_BINDTODEVICE.
    Device,
    /// Refused with this errno.
    Gone(&'static str),
    /// Only these values, the first being the default, have no effect on what is sent here.
    OneOf(&'static [i64]),
}

/// What an option is set to or has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// An `int`.
    Int(i64),
    /// Bytes; a text without the zero behind it.
    Bytes(Vec<u8>),
    /// `struct linger`.
    Linger {
        /// Whether it lingers at all.
        on: bool,
        /// For how many seconds.
        seconds: i64,
    },
}

fn name(level: i64, option: i64) -> Option<Name> {
    Some(match (level, option) {
        (1, 2) => Name::ReuseAddr,
        (1, 15) => Name::ReusePort,
        (1, 3) => Name::Type,
        (1, 4) => Name::Error,
        (1, 7) => Name::SndBuf { force: false },
        (1, 8) => Name::RcvBuf { force: false },
        (1, 32) => Name::SndBuf { force: true },
        (1, 33) => Name::RcvBuf { force: true },
        (1, 9) => Name::KeepAlive,
        (1, 10) => Name::OobInline,
        (1, 13) => Name::Linger,
        (1, 30) => Name::AcceptConn,
        // SO_DEBUG, SO_BROADCAST, SO_NO_CHECK, SO_PRIORITY, SO_TIMESTAMP, SO_MARK, SO_BUSY_POLL and SO_ZEROCOPY (as long as
        // nobody sends with MSG_ZEROCOPY) speak to queues, filters and other protocols of a kernel.
        (1, 1 | 6 | 11 | 12 | 29 | 36 | 46 | 60) => Name::Inert(0),
        // SO_RCVLOWAT, SO_MAX_PACING_RATE, SO_TIMESTAMPING, SO_DONTROUTE
        (1, 18) => Name::RcvLowat,
        (1, 25) => Name::Device,
        (1, 47) => Name::MaxPacingRate,
        (1, 37) => Name::Stamping,
        (1, 5) => Name::OneOf(&[0]),
        // SO_PROTOCOL
        (1, 38) => Name::Protocol,
        (6, 1) => Name::NoDelay,
        (6, 2) => Name::MaxSeg,
        (6, 3) => Name::Cork,
        (6, 4) => Name::KeepIdle,
        (6, 5) => Name::KeepIntvl,
        (6, 6) => Name::KeepCnt,
        (6, 7) => Name::SynCnt,
        (6, 8) => Name::Linger2,
        (6, 9) => Name::DeferAccept,
        (6, 10) => Name::WindowClamp,
        (6, 12) => Name::QuickAck,
        (6, 13) => Name::Congestion,
        (6, 18) => Name::UserTimeout,
        (6, 25) => Name::NotsentLowat,
        (6, 36) => Name::Inq,
        // TCP_THIN_DUPACK (no effect in Linux either since 4.12), TCP_SAVE_SYN
        (6, 17 | 27) => Name::Inert(0),
        // TCP_THIN_LINEAR_TIMEOUTS, TCP_REPAIR
        (6, 16 | 19) => Name::OneOf(&[0]),
        // IP_FREEBIND, IP_TRANSPARENT, IP_BIND_ADDRESS_NO_PORT, IPV6_V6ONLY
        (0, 15 | 19 | 24) | (41, 26) => Name::Inert(0),
        // IP_RECVERR and IPV6_RECVERR make ICMP errors end connections at once.
        (0, 11) | (41, 25) => Name::OneOf(&[0]),
        // IP_MTU_DISCOVER and IPV6_MTU_DISCOVER: IP_PMTUDISC_WANT and IP_PMTUDISC_DO, both set DF.
        (0, 10) | (41, 23) => Name::OneOf(&[1, 2]),
        // IPV6_UNICAST_HOPS
        (0, 2) | (41, 16) => Name::Ttl,
        (0, 1) | (41, 67) => Name::TrafficClass,
        (0, 14) | (41, 24) => Name::Mtu,
        // What comes as control messages of datagrams only, and what is for other hosts' credentials, processors and queues.
        (1, 14 | 16 | 49 | 57 | 74) | (0, 8 | 12 | 13) | (41, 49 | 51 | 66) => Name::Inert(0),
        // TCP_COOKIE_TRANSACTIONS, TCP_TIMESTAMP (outside of TCP_REPAIR), IPV6_HOPLIMIT: nothing that can be set.
        (6, 15) | (41, 52) => Name::Gone("ENOPROTOOPT"),
        (6, 24) => Name::Gone("EPERM"),
        (6, 23) => Name::FastOpen,
        (6, 30) => Name::FastOpenConnect,
        (6, 33) => Name::FastOpenKey,
        (6, 34) => Name::FastOpenNoCookie,
        // TCP_TX_DELAY
        (6, 37) => Name::OneOf(&[0]),
        _ => return None,
    })
}

/// Congestion control algorithms that Linux has besides.
const OF_LINUX: &[&str] = &[
    "bbr",
    "bbr2",
    "bbr3",
    "bic",
    "cdg",
    "dctcp",
    "highspeed",
    "htcp",
    "hybla",
    "illinois",
    "lp",
    "nv",
    "prague",
    "scalable",
    "vegas",
    "veno",
    "westwood",
    "yeah",
];

/// Whether there is such an option here.
pub fn is_known(level: i64, option: i64) -> bool {
    name(level, option).is_some()
}

impl Sockets {
    /// `setsockopt`.
    ///
    /// # Errors
    /// What is refused: an option or a value that Linux knows and this stack does not.
    pub fn set_option(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        fd: i64,
        (level, option): (i64, i64),
        value: &Value,
    ) -> Result<Step, String> {
        let Some(socket) = self.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        if matches!(socket.kind, SocketKind::Epoll(_) | SocketKind::Other(_)) {
            return Ok(Step::Errno("ENOTSOCK"));
        }
        let name =
            name(level, option).ok_or_else(|| format!("the socket option {option} of level {level}"))?;
        if let Name::Gone(errno) = name {
            return Ok(Step::Errno(errno));
        }
        let value = match (name, value) {
            // There is one device.
            (Name::Device, Value::Bytes(_)) => return Ok(Step::Done(0)),
            (Name::Congestion, Value::Bytes(algorithm)) => {
                // A zero ends the name, and so does the sixteenth byte.
                let name: Vec<u8> = algorithm.iter().copied().take(15).take_while(|b| *b != 0).collect();
                socket.opts.congestion = match name.as_slice() {
                    b"cubic" => Congestion::Cubic,
                    b"reno" => Congestion::NewReno,
                    other => match OF_LINUX.iter().find(|known| known.as_bytes() == other) {
                        Some(known) => return Err(format!("the congestion control {known}")),
                        None => return Ok(Step::Errno("ENOENT")),
                    },
                };
                return self.changed(stack, now, fd);
            }
            (Name::Linger, Value::Linger { on, seconds }) => {
                let time = Duration::from_secs((*seconds).clamp(0, 1 << 20) as u64);
                socket.opts.linger = on.then_some(time);
                return self.changed(stack, now, fd);
            }
            (Name::FastOpenKey, Value::Bytes(key)) => {
                let Some(keys) = Keys::from_bytes(key) else { return Ok(Step::Errno("EINVAL")) };
                socket.fast_open.keys = Some(keys);
                return self.changed(stack, now, fd);
            }
            (Name::Congestion | Name::Linger | Name::FastOpenKey | Name::Device, _)
            | (_, Value::Bytes(_) | Value::Linger { .. }) => {
                return Ok(Step::Errno("EINVAL"));
            }
            (_, Value::Int(value)) => *value,
        };
        if name == Name::Stamping {
            if value & !stamping::KNOWN != 0 {
                return Err(format!("these flags of SO_TIMESTAMPING: {:#x}", value & !stamping::KNOWN));
            }
            socket.others.insert((level, option), value);
            self.set_stamping(stack, fd, value);
            return Ok(Step::Done(0));
        }
        let on = value != 0;
        let plain = Opts::new(&self.base);
        let seconds = |range: std::ops::RangeInclusive<i64>| {
            range.contains(&value).then(|| Duration::from_secs(value as u64))
        };
        let opts = &mut socket.opts;
        match name {
            Name::ReuseAddr => socket.reuse_addr = on,
            Name::ReusePort => socket.reuse_port = on,
            Name::Inert(_) => {
                socket.others.insert((level, option), value);
            }
            Name::OneOf(values) if values.contains(&value) => {
                socket.others.insert((level, option), value);
            }
            Name::OneOf(_) => return Err(format!("the value {value} of the socket option {option}")),
            Name::RcvLowat => socket.rcv_lowat = value.clamp(0, i64::from(i32::MAX)).max(1) as usize,
            Name::Type | Name::Error | Name::AcceptConn | Name::Protocol | Name::Mtu => {
                return Ok(Step::Errno("ENOPROTOOPT"));
            }
            Name::Inq => match value {
                0 | 1 => socket.inq = on,
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::NotsentLowat => socket.notsent_lowat = u32::try_from(value).ok().filter(|&n| n > 0),
            Name::SndBuf { force } => {
                let value = if force { value } else { value.min(self.buffer_max.1) };
                // Linux doubles the value for its bookkeeping and has a floor under the result (SOCK_MIN_SNDBUF).
                opts.send_buffer = (value.clamp(0, 1 << 29) * 2).max(4608) as u32;
                opts.send_buffer_initial = opts.send_buffer;
            }
            Name::RcvBuf { force } => {
                let value = if force { value } else { value.min(self.buffer_max.0) };
                opts.recv_buffer = (value.clamp(0, 1 << 29) * 2).max(2304) as u32;
                opts.recv_buffer_initial = opts.recv_buffer;
            }
            Name::KeepAlive => opts.keepalive = on,
            Name::NoDelay => {
                opts.nagle = match (on, plain.nagle) {
                    (true, _) => Nagle::Off,
                    (false, Nagle::Off) => Nagle::Minshall,
                    (false, nagle) => nagle,
                };
            }
            Name::MaxSeg => match value {
                0 => opts.mss = None,
                88..=32_767 => opts.mss = Some(value as u16),
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::Cork => opts.cork = on,
            Name::OobInline => opts.urgent_inline = on,
            Name::KeepIdle => match seconds(1..=32_767) {
                Some(idle) => opts.keepalive_idle = idle,
                None => return Ok(Step::Errno("EINVAL")),
            },
            Name::KeepIntvl => match seconds(1..=32_767) {
                Some(interval) => opts.keepalive_interval = interval,
                None => return Ok(Step::Errno("EINVAL")),
            },
            Name::KeepCnt => match value {
                1..=127 => opts.keepalive_count = value as u8,
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::SynCnt => match value {
                1..=127 => self.base.syn_retries = value as u8,
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::Linger2 => {
                opts.fin_timeout = match value {
                    ..0 => None,
                    0 => Some(self.base.fin_timeout),
                    1.. => Some(Duration::from_secs(value.min(120) as u64)),
                }
            }
            Name::DeferAccept => socket.defer_accept = value.max(0),
            Name::WindowClamp => match (value, &socket.kind) {
                (0, SocketKind::Fresh { .. }) => opts.window_clamp = None,
                (0, _) => return Ok(Step::Errno("EINVAL")),
                // Of a negative number Linux makes the greatest.
                _ => opts.window_clamp = Some(u32::try_from(value).unwrap_or(u32::MAX).max(1152)),
            },
            Name::MaxPacingRate => {
                // All ones are no limit.
                let rate = value as u32;
                opts.max_pacing_rate = (rate != u32::MAX).then_some(rate.into());
            }
            Name::QuickAck => match &socket.kind {
                SocketKind::Conn(conn) => stack.set_quickack(now, conn.id, on),
                _ => return Err("TCP_QUICKACK before the connection is there".to_string()),
            },
            Name::UserTimeout => match value {
                0 => opts.user_timeout = None,
                1.. => opts.user_timeout = Some(Duration::from_millis(value as u64)),
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::Ttl => match value {
                -1 => opts.ttl = plain.ttl,
                1..=255 => opts.ttl = value as u8,
                _ => return Ok(Step::Errno("EINVAL")),
            },
            // The lowest two bits are the stack's own (RFC 3168 §5).
            Name::TrafficClass => match value {
                0..=255 => opts.dscp = (value >> 2) as u8,
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::FastOpen => match (&socket.kind, u32::try_from(value)) {
                (SocketKind::Fresh { .. } | SocketKind::Listening { .. }, Ok(queue)) => {
                    socket.fast_open.queue = queue.min(self.base.backlog);
                }
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::FastOpenConnect => match (&socket.kind, value) {
                (_, ..0 | 2..) => return Ok(Step::Errno("EINVAL")),
                _ if self.base.fast_open & fast_open::CLIENT == 0 => return Ok(Step::Errno("EOPNOTSUPP")),
                (SocketKind::Fresh { .. }, _) => socket.fast_open.connect = on,
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::FastOpenNoCookie => match (&socket.kind, value) {
                (SocketKind::Fresh { .. } | SocketKind::Listening { .. }, 0 | 1) => {
                    socket.fast_open.without_cookie = on;
                }
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::Congestion
            | Name::Linger
            | Name::Stamping
            | Name::Gone(_)
            | Name::Device
            | Name::FastOpenKey => {
                unreachable!("handled above")
            }
        }
        self.changed(stack, now, fd)
    }

    /// Hands changed options on to the connection or to the connections that a listener will make.
    fn changed(&mut self, stack: &mut Stack, now: Instant, fd: i64) -> Result<Step, String> {
        if let Some(Socket { kind: SocketKind::Conn(conn), opts, .. }) = self.table.get(&fd) {
            stack.set_opts(now, conn.id, |live| *live = *opts);
        }
        if let Some(Socket { kind: SocketKind::Listening { id, .. }, fast_open, .. }) = self.table.get(&fd) {
            stack.set_fast_open(*id, fast_open.queue, fast_open.keys, fast_open.without_cookie);
        }
        self.apply(stack)?;
        Ok(Step::Done(0))
    }

    /// `getsockopt`.
    ///
    /// # Errors
    /// What is refused: an option that Linux knows and this stack does not.
    pub fn option(
        &mut self,
        stack: &mut Stack,
        fd: i64,
        (level, option): (i64, i64),
    ) -> Result<Result<Value, &'static str>, String> {
        let Some(socket) = self.table.get_mut(&fd) else { return Ok(Err("EBADF")) };
        if matches!(socket.kind, SocketKind::Epoll(_) | SocketKind::Other(_)) {
            return Ok(Err("ENOTSOCK"));
        }
        let name =
            name(level, option).ok_or_else(|| format!("the socket option {option} of level {level}"))?;
        let opts = socket.opts;
        let buffers = match &socket.kind {
            SocketKind::Conn(conn) => stack.conn(conn.id).map(tcp::Conn::buffers),
            _ => None,
        }
        .unwrap_or((
            opts.recv_buffer_initial.min(opts.recv_buffer),
            opts.send_buffer_initial.min(opts.send_buffer),
        ));
        let whole = |d: Duration| d.as_secs() as i64;
        let value = match name {
            Name::ReuseAddr => i64::from(socket.reuse_addr),
            Name::ReusePort => i64::from(socket.reuse_port),
            Name::Type => 1,
            Name::Error => match &mut socket.kind {
                SocketKind::Conn(conn) => match stack.conn(conn.id).and_then(|c| c.error()) {
                    Some(error) => conn.fail(error).map_or(0, |_| errnos::number(errno(error)).unwrap_or(0)),
                    None => 0,
                },
                _ => socket.lost.take().and_then(errnos::number).unwrap_or(0),
            },
            Name::SndBuf { .. } => i64::from(buffers.1),
            Name::RcvBuf { .. } => i64::from(buffers.0),
            Name::KeepAlive => i64::from(opts.keepalive),
            Name::AcceptConn => i64::from(matches!(socket.kind, SocketKind::Listening { .. })),
            Name::NoDelay => i64::from(opts.nagle == Nagle::Off),
            Name::Cork => i64::from(opts.cork),
            Name::OobInline => i64::from(opts.urgent_inline),
            Name::KeepIdle => whole(opts.keepalive_idle),
            Name::KeepIntvl => whole(opts.keepalive_interval),
            Name::KeepCnt => i64::from(opts.keepalive_count),
            Name::SynCnt => i64::from(self.base.syn_retries),
            Name::Linger2 => opts.fin_timeout.map_or(-1, whole),
            Name::DeferAccept => socket.defer_accept,
            Name::WindowClamp => opts.window_clamp.map_or(0, i64::from),
            Name::MaxPacingRate => opts.max_pacing_rate.map_or(-1, |rate| rate as i64),
            Name::UserTimeout => opts.user_timeout.map_or(0, |d| d.as_millis() as i64),
            Name::Ttl => i64::from(opts.ttl),
            Name::TrafficClass => i64::from(opts.dscp) << 2,
            Name::Protocol => 6,
            Name::Inq => i64::from(socket.inq),
            Name::FastOpen => i64::from(socket.fast_open.queue),
            Name::FastOpenConnect => i64::from(socket.fast_open.connect),
            Name::FastOpenNoCookie => i64::from(socket.fast_open.without_cookie),
            Name::FastOpenKey => return Err("reading TCP_FASTOPEN_KEY".to_string()),
            Name::NotsentLowat => socket.notsent_lowat.map_or(0, i64::from),
            Name::RcvLowat => socket.rcv_lowat as i64,
            Name::Mtu => match &socket.kind {
                SocketKind::Conn(conn) => match stack.conn(conn.id) {
                    Some(live) => live.path_mtu().into(),
                    None => return Ok(Err("ENOTCONN")),
                },
                _ => return Ok(Err("ENOTCONN")),
            },
            Name::Stamping => socket.others.get(&(level, option)).copied().unwrap_or(0),
            Name::Inert(first) => socket.others.get(&(level, option)).copied().unwrap_or(first),
            Name::OneOf(values) => socket.others.get(&(level, option)).copied().unwrap_or(values[0]),
            Name::Linger => {
                let (on, seconds) = (opts.linger.is_some(), opts.linger.map_or(0, whole));
                return Ok(Ok(Value::Linger { on, seconds }));
            }
            Name::Congestion => match opts.congestion {
                Congestion::Cubic => return Ok(Ok(Value::Bytes(b"cubic".to_vec()))),
                Congestion::NewReno => return Ok(Ok(Value::Bytes(b"reno".to_vec()))),
                _ => return Err("the name of this congestion control".to_string()),
            },
            Name::MaxSeg => match &socket.kind {
                SocketKind::Conn(conn) => match stack.conn(conn.id) {
                    // Nothing is known of the peer yet, and room for time stamps is left.
                    Some(live) if live.state() == State::SynSent => {
                        let most = opts.mss.map_or(536, i64::from);
                        most - if self.base.timestamps { 12 } else { 0 }
                    }
                    live => live.map_or(536, |live| live.mss().into()),
                },
                _ => opts.mss.map_or(536, i64::from),
            },
            Name::Gone(errno) => return Ok(Err(errno)),
            Name::Device => return Ok(Ok(Value::Bytes(Vec::new()))),
            Name::QuickAck => return Err("reading TCP_QUICKACK".to_string()),
        };
        Ok(Ok(Value::Int(value)))
    }
}

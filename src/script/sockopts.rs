//! What do socket options do? `setsockopt` and `getsockopt` as Linux has them.

use super::errnos;
use super::errqueue::stamping;
use super::kept;
use super::keys;
use super::option_names::{ALGORITHMS_OF_LINUX, Name, name};
pub use super::option_names::{Value, is_known, is_linux};
use super::sockets::{Connection, Socket, SocketKind, Sockets, Step, errno};
use crate::stack::Stack;
use crate::tcp::fast_open::{self, Keys};
use crate::tcp::{self, Congestion, Nagle, Opts, State};
use crate::time::{Duration, Instant};

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
        if !socket.has_level(level) {
            return Ok(Step::Errno("ENOPROTOOPT"));
        }
        let name = match name(level, option) {
            Some(name) => name,
            None if is_linux(level, option) => {
                return Err(format!("the socket option {option} of level {level}"));
            }
            None => return Ok(Step::Errno("ENOPROTOOPT")),
        };
        let value = match (name, value) {
            // There is one device, which has a name that scripts know.
            (Name::Device, Value::Bytes(name)) => {
                let plain = name.iter().take_while(|b| **b != 0).all(u8::is_ascii_graphic);
                return Ok(if plain { Step::Done(0) } else { Step::Errno("ENODEV") });
            }
            (Name::Congestion, Value::Bytes(algorithm)) => {
                // A zero ends the name, and so does the sixteenth byte.
                let name: Vec<u8> = algorithm.iter().copied().take(15).take_while(|b| *b != 0).collect();
                socket.opts.congestion = match name.as_slice() {
                    b"cubic" => Congestion::Cubic,
                    b"reno" => Congestion::NewReno,
                    other => match ALGORITHMS_OF_LINUX.iter().find(|known| known.as_bytes() == other) {
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
            (Name::Md5Sig, Value::Bytes(bytes)) => {
                let change = match keys::read(bytes, option == keys::EXTENDED, self.domain) {
                    Ok(change) => change,
                    Err(errno) => return Ok(Step::Errno(errno)),
                };
                if let Err(errno) = keys::change(&mut socket.keys, &change) {
                    return Ok(Step::Errno(errno));
                }
                if let SocketKind::Conn(conn) = &socket.kind {
                    let key = socket.keys.find(conn.remote.ip()).copied();
                    stack.set_key(now, conn.id, key);
                }
                return self.changed(stack, now, fd);
            }
            (Name::Ulp, Value::Bytes(name)) => {
                let name: Vec<u8> = name.iter().copied().take_while(|b| *b != 0).collect();
                return match name.as_slice() {
                    b"tls" | b"espintcp" | b"smc" | b"mptcp" => {
                        Err(format!("TCP_ULP {}", String::from_utf8_lossy(&name)))
                    }
                    _ => Ok(Step::Errno("ENOENT")),
                };
            }
            // More than the four bytes of a number that begins so.
            (Name::Kept, Value::Bytes(_)) => return Err(format!("this value of the socket option {option}")),
            (
                Name::Congestion | Name::Linger | Name::FastOpenKey | Name::Device | Name::Md5Sig | Name::Ulp,
                _,
            )
            | (_, Value::Bytes(_) | Value::Linger { .. }) => {
                return Ok(Step::Errno("EINVAL"));
            }
            (_, Value::Int(value)) => *value,
        };
        if name == Name::Stamping {
            let has = |flag| value & flag != 0;
            // Bytes are counted from where a connection stands.
            let counted = has(stamping::OPT_ID) && !matches!(socket.kind, SocketKind::Conn(_));
            let alone = has(stamping::OPT_STATS) && !has(stamping::OPT_TSONLY)
                || has(stamping::OPT_ID_TCP) && !has(stamping::OPT_ID);
            if value & !stamping::LINUX != 0 || counted || alone {
                return Ok(Step::Errno("EINVAL"));
            }
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
            // What has an address keeps it.
            Name::Kept
                if (level, option) == kept::V6_ONLY
                    && !matches!(socket.kind, SocketKind::Fresh { bound: None }) =>
            {
                return Ok(Step::Errno("EINVAL"));
            }
            Name::Kept => match kept::keep((level, option), value)? {
                Ok(value) => {
                    socket.others.insert((level, option), value);
                }
                Err(step) => return Ok(step),
            },
            Name::RcvLowat => {
                // No more than half of what the buffer can become.
                let most = i64::from(opts.recv_buffer / 2);
                let value = if value < 0 { i64::from(i32::MAX) } else { value };
                socket.rcv_lowat = value.min(most).max(1) as usize;
            }
            Name::Type
            | Name::Error
            | Name::AcceptConn
            | Name::Protocol
            | Name::Domain
            | Name::SavedSyn
            | Name::CcInfo => {
                return Ok(Step::Errno("ENOPROTOOPT"));
            }
            // For datagrams, which are no segments.
            Name::Mtu if level == 41 && (value == 0 || value >= 1280) => return Ok(Step::Done(0)),
            Name::Mtu => return Ok(Step::Errno(if level == 41 { "EINVAL" } else { "ENOPROTOOPT" })),
            Name::RecvErr => socket.tuning.report_icmp = on,
            Name::MtuDiscover => match value {
                // IP_PMTUDISC_DONT, IP_PMTUDISC_INTERFACE and IP_PMTUDISC_OMIT listen to no router.
                0..=5 => {
                    socket.others.insert((level, option), value);
                    socket.tuning.pmtud = Some(matches!(value, 1..=3));
                }
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::RtoMax => match value {
                1000..=120_000 => socket.tuning.rto_max = Some(Duration::from_millis(value as u64)),
                _ => return Ok(Step::Errno("EINVAL")),
            },
            // Linux counts in ticks, two at the least.
            Name::RtoMin => match value {
                4001..=200_000 => socket.tuning.rto_min = Some(Duration::from_micros(value as u64)),
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::DelackMax => match value {
                4001..=200_000 => {
                    let most = Duration::from_micros(value as u64);
                    socket.tuning.delack_max = Some(most);
                    opts.ack_delay = plain.ack_delay.min(most);
                }
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::Thin => match value {
                0 | 1 => socket.tuning.thin_linear = Some(on),
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::Inq => match value {
                0 | 1 => socket.inq = on,
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::NotsentLowat => {
                socket.notsent_lowat = Some(value as u32).filter(|&n| n > 0);
                opts.notsent_lowat = socket.notsent_lowat;
            }
            Name::SndBuf { force } => {
                let value = greatest(value, force, self.buffer_max.1);
                // Linux doubles the value for its bookkeeping and has a floor under the result (SOCK_MIN_SNDBUF).
                opts.send_buffer = (value.clamp(0, 1 << 29) * 2).max(4608) as u32;
                opts.send_buffer_initial = opts.send_buffer;
            }
            Name::RcvBuf { force } => {
                let value = greatest(value, force, self.buffer_max.0);
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
            Name::MaxSeg => match (value, &socket.kind) {
                // What is open already keeps its size.
                (0 | 88..=32_767, SocketKind::Conn(_)) => {}
                (0, _) => opts.mss = plain.mss,
                (88..=32_767, _) => opts.mss = Some(value as u16),
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
                1..=127 => socket.tuning.syn_retries = Some(value as u8),
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::Linger2 => {
                opts.fin_timeout = match value {
                    ..0 => None,
                    0 => Some(self.base.fin_timeout),
                    1.. => Some(Duration::from_secs(value.min(120) as u64)),
                }
            }
            Name::DeferAccept => {
                socket.tuning.defer_accept = Some(Duration::from_secs(value.clamp(0, 1 << 20) as u64));
            }
            Name::WindowClamp => match (value, &socket.kind) {
                (0, SocketKind::Fresh { .. }) => opts.window_clamp = None,
                (0, _) => return Ok(Step::Errno("EINVAL")),
                _ => opts.window_clamp = Some(u32::try_from(value).unwrap_or(0).max(1152)),
            },
            Name::MaxPacingRate => {
                // All ones are no limit.
                let rate = value as u32;
                opts.max_pacing_rate = (rate != u32::MAX).then_some(rate.into());
            }
            Name::QuickAck => match &socket.kind {
                SocketKind::Conn(conn) => {
                    // An even number is good for the one acknowledgment that waits.
                    let waits = stack.conn(conn.id).is_some_and(|live| live.owes_ack());
                    stack.set_quickack(now, conn.id, on);
                    if on && waits && value & 1 == 0 {
                        stack.set_quickack(now, conn.id, false);
                    }
                }
                _ => socket.tuning.quickack = Some(on),
            },
            Name::UserTimeout => match value {
                0 => opts.user_timeout = None,
                1.. => opts.user_timeout = Some(Duration::from_millis(value as u64)),
                _ => return Ok(Step::Errno("EINVAL")),
            },
            Name::Ttl => match value {
                -1 => opts.ttl = plain.ttl,
                0 if level == 41 => opts.ttl = 0,
                1..=255 => opts.ttl = value as u8,
                _ => return Ok(Step::Errno("EINVAL")),
            },
            // The lowest two bits are the stack's own (RFC 3168 §5).
            // What is said of the other protocol has no effect.
            Name::TrafficClass if (level == 41) != self.wire_v6 => {
                socket.others.insert((level, option), value & 0xfc);
            }
            Name::TrafficClass => match (level, value) {
                (41, -1) => opts.dscp = plain.dscp,
                (41, ..0 | 256..) => return Ok(Step::Errno("EINVAL")),
                (_, value) => {
                    let dscp = (value as u8) >> 2;
                    if level == 0 && dscp != opts.dscp {
                        let priority = kept::priority_of(i64::from(dscp) << 2);
                        socket.others.insert(kept::PRIORITY, priority);
                    }
                    opts.dscp = dscp;
                }
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
                (SocketKind::Conn(conn), _)
                    if stack.conn(conn.id).is_none_or(|live| live.state() == State::Closed) =>
                {
                    socket.fast_open.connect = on;
                }
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
            | Name::Md5Sig
            | Name::Ulp
            | Name::Device
            | Name::FastOpenKey => {
                unreachable!("handled above")
            }
        }
        let pushes = matches!((name, on), (Name::Cork, false) | (Name::NoDelay, true));
        let step = self.changed(stack, now, fd);
        if pushes && let Some(Socket { kind: SocketKind::Conn(conn), opts, .. }) = self.table.get(&fd) {
            stack.push_held(now, conn.id, opts.cork);
        }
        step
    }

    /// Hands changed options on to the connection or to the connections that a listener will make.
    fn changed(&mut self, stack: &mut Stack, now: Instant, fd: i64) -> Result<Step, String> {
        if let Some(Socket { kind: SocketKind::Conn(conn), opts, tuning, .. }) = self.table.get(&fd) {
            stack.set_opts(now, conn.id, |live| *live = *opts);
            if !tuning.is_plain() {
                stack.set_config(now, conn.id, |config| tuning.apply(config));
            }
        }
        if let Some(Socket { kind: SocketKind::Listening { id, .. }, fast_open, .. }) = self.table.get(&fd) {
            stack.set_fast_open(*id, fast_open.queue, fast_open.keys, fast_open.without_cookie);
        }
        self.apply(stack);
        Ok(Step::Done(0))
    }

    /// `getsockopt` with room for `len` bytes.
    ///
    /// # Errors
    /// What is refused: an option that Linux knows and this stack does not.
    pub fn option(
        &mut self,
        stack: &mut Stack,
        fd: i64,
        (level, option): (i64, i64),
        len: usize,
    ) -> Result<Result<Value, &'static str>, String> {
        let Some(socket) = self.table.get_mut(&fd) else { return Ok(Err("EBADF")) };
        if matches!(socket.kind, SocketKind::Epoll(_) | SocketKind::Other(_)) {
            return Ok(Err("ENOTSOCK"));
        }
        if !socket.has_level(level) {
            return Ok(Err("ENOPROTOOPT"));
        }
        let name = match name(level, option) {
            Some(name) => name,
            None if is_linux(level, option) => {
                return Err(format!("the socket option {option} of level {level}"));
            }
            None => return Ok(Err("ENOPROTOOPT")),
        };
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
            Name::Type => {
                if matches!(socket.kind, SocketKind::Datagrams(_)) {
                    2
                } else {
                    1
                }
            }
            Name::Error => match &mut socket.kind {
                SocketKind::Conn(Connection { reported: reported @ Some(_), .. }) => {
                    reported.take().and_then(|error| errnos::number(errno(error))).unwrap_or(0)
                }
                SocketKind::Conn(conn) => match stack.conn(conn.id).and_then(|c| c.error()) {
                    Some(error) => conn.fail(error).map_or(0, |_| errnos::number(errno(error)).unwrap_or(0)),
                    // What ends nothing is told to who asks, once.
                    None => {
                        stack.take_soft_error(conn.id).and_then(|e| errnos::number(errno(e))).unwrap_or(0)
                    }
                },
                SocketKind::Datagrams(d) => d.error.take().and_then(errnos::number).unwrap_or(0),
                _ => socket.lost.take().and_then(errnos::number).unwrap_or(0),
            },
            Name::SndBuf { force: true } | Name::RcvBuf { force: true } => return Ok(Err("ENOPROTOOPT")),
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
            Name::SynCnt => socket.tuning.syn_retries.unwrap_or(self.base.syn_retries).into(),
            Name::Linger2 => opts.fin_timeout.map_or(-1, whole),
            Name::DeferAccept => deferred(socket.tuning.defer_accept.unwrap_or(self.base.defer_accept)),
            Name::RtoMax => socket.tuning.rto_max.unwrap_or(self.base.rto_max).as_millis() as i64,
            Name::RtoMin => socket.tuning.rto_min.unwrap_or(self.base.rto_min).as_micros() as i64,
            Name::DelackMax => socket.tuning.delack_max.map_or(200_000, |d| d.as_micros() as i64),
            Name::Thin => socket.tuning.thin_linear.unwrap_or(false).into(),
            Name::RecvErr => socket.tuning.report_icmp.into(),
            Name::MtuDiscover => socket.others.get(&(level, option)).copied().unwrap_or(1),
            Name::Domain => self.domain,
            Name::WindowClamp => opts.window_clamp.map_or(0, i64::from),
            Name::MaxPacingRate => opts.max_pacing_rate.map_or(-1, |rate| rate as i64),
            Name::UserTimeout => opts.user_timeout.map_or(0, |d| d.as_millis() as i64),
            Name::Ttl => i64::from(opts.ttl),
            Name::TrafficClass if (level == 41) != self.wire_v6 => {
                socket.others.get(&(level, option)).copied().unwrap_or(0)
            }
            Name::TrafficClass => i64::from(opts.dscp) << 2,
            Name::Protocol => {
                if matches!(socket.kind, SocketKind::Datagrams(_)) {
                    17
                } else {
                    6
                }
            }
            Name::Inq => i64::from(socket.inq),
            Name::FastOpen => i64::from(socket.fast_open.queue),
            Name::FastOpenConnect => i64::from(socket.fast_open.connect),
            Name::FastOpenNoCookie => i64::from(socket.fast_open.without_cookie),
            Name::FastOpenKey => {
                let keys = socket.fast_open.keys.map_or_else(Vec::new, |keys| keys.to_bytes());
                return Ok(Ok(Value::Bytes(keys)));
            }
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
            // An address of IPv6 that is one is nobody's else.
            Name::Kept if (level, option) == kept::V6_ONLY && self.wire_v6 && socket.is_bound() => 1,
            Name::Kept => {
                return Ok(kept::read((level, option), socket.others.get(&(level, option)).copied()));
            }
            // It can be read once, by who has room for it.
            Name::SavedSyn if let SocketKind::Conn(conn) = &socket.kind => {
                let saved = stack.saved_syn(conn.id).unwrap_or_default().to_vec();
                if saved.len() > len {
                    return Ok(Err("EINVAL"));
                }
                stack.forget_syn(conn.id);
                return Ok(Ok(Value::Bytes(saved)));
            }
            // No algorithm here has anything to say.
            Name::SavedSyn | Name::CcInfo | Name::Ulp => return Ok(Ok(Value::Bytes(Vec::new()))),
            Name::Md5Sig => return Ok(Err("ENOPROTOOPT")),
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
            Name::Device => return Ok(Ok(Value::Bytes(Vec::new()))),
            Name::QuickAck => match &socket.kind {
                SocketKind::Conn(conn) => {
                    stack.conn(conn.id).is_none_or(|live| !live.is_interactive()).into()
                }
                _ => socket.tuning.quickack.unwrap_or(true).into(),
            },
        };
        Ok(Ok(Value::Int(value)))
    }
}

/// A buffer's size as Linux takes it: what is not forced has a limit, and a negative number is a great one.
fn greatest(value: i64, force: bool, most: i64) -> i64 {
    match force {
        true => value,
        false => i64::from(value as u32).min(most),
    }
}

/// What TCP_DEFER_ACCEPT reads as: Linux keeps a number of time-outs, each of which is twice as long as the one before.
fn deferred(wanted: Duration) -> i64 {
    let (mut wait, mut passed, mut times) = (1, 0, 0);
    while passed < wanted.as_secs() as i64 && times < u8::MAX {
        times += 1;
        passed += wait;
        wait = (wait * 2).min(120);
    }
    passed
}

//! What do socket options do? `setsockopt` and `getsockopt` as Linux has them.

use super::Trouble;
use super::ast::Expr;
use super::call_args::{Args, field, number, text};
use super::sockets::{Socket, SocketKind, Sockets, Step, errno};
use super::symbols;
use crate::stack::Stack;
use crate::tcp::{Congestion, Nagle, Opts};
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
    AcceptConn,
    NoDelay,
    MaxSeg,
    Cork,
    KeepIdle,
    KeepIntvl,
    KeepCnt,
    SynCnt,
    Linger2,
    DeferAccept,
    QuickAck,
    Congestion,
    UserTimeout,
    Ttl,
    /// IP_TOS and IPV6_TCLASS.
    TrafficClass,
    /// Accepted and without any effect on what is sent here.
    Inert,
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
        (1, 13) => Name::Linger,
        (1, 30) => Name::AcceptConn,
        // SO_DEBUG, SO_PRIORITY and SO_MARK speak to queues and filters of a kernel.
        (1, 1 | 12 | 36) => Name::Inert,
        (6, 1) => Name::NoDelay,
        (6, 2) => Name::MaxSeg,
        (6, 3) => Name::Cork,
        (6, 4) => Name::KeepIdle,
        (6, 5) => Name::KeepIntvl,
        (6, 6) => Name::KeepCnt,
        (6, 7) => Name::SynCnt,
        (6, 8) => Name::Linger2,
        (6, 9) => Name::DeferAccept,
        (6, 12) => Name::QuickAck,
        (6, 13) => Name::Congestion,
        (6, 18) => Name::UserTimeout,
        (0, 2) => Name::Ttl,
        (0, 1) | (41, 67) => Name::TrafficClass,
        _ => return None,
    })
}

fn wanted(args: &Args) -> Result<Name, Trouble> {
    let (level, option) = (args.int(1)?, args.int(2)?);
    let (l, o) = (text(args.expr(1)?), text(args.expr(2)?));
    name(level, option)
        .ok_or_else(|| Trouble::unsupported(args.line, format!("the socket option {o} of {l}")))
}

impl Sockets {
    /// `setsockopt(fd, level, name, [value], length)`.
    pub fn setsockopt(&mut self, stack: &mut Stack, now: Instant, args: &Args) -> Result<Step, Trouble> {
        args.count(5)?;
        let (line, fd, name) = (args.line, args.int(0)?, wanted(args)?);
        let Some(socket) = self.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let value = args.boxed(3)?;
        if name == Name::Congestion {
            socket.opts.congestion = match value {
                Some(Expr::Str(name)) if name == "cubic" => Congestion::Cubic,
                Some(Expr::Str(name)) if name == "reno" || name == "newreno" => Congestion::NewReno,
                Some(other) => {
                    return Err(Trouble::unsupported(
                        line,
                        format!("the congestion control {}", text(other)),
                    ));
                }
                None => return Err(Trouble::syntax(line, "TCP_CONGESTION needs a name")),
            };
            return self.changed(stack, now, fd, line);
        }
        if name == Name::Linger {
            let Some(Expr::Braces(fields)) = value else {
                return Err(Trouble::syntax(line, "SO_LINGER needs {onoff=…, linger=…}"));
            };
            let on = field(fields, "onoff", line)?.unwrap_or(0) != 0;
            let seconds = field(fields, "linger", line)?.unwrap_or(0).clamp(0, 1 << 20) as u64;
            socket.opts.linger = on.then(|| Duration::from_secs(seconds));
            return self.changed(stack, now, fd, line);
        }
        let value = match value {
            Some(expr) => number(expr, line)?,
            None => return Err(Trouble::syntax(line, "setsockopt needs a value")),
        };
        let on = value != 0;
        let plain = Opts::new(&self.base);
        let seconds = |range: std::ops::RangeInclusive<i64>| {
            range.contains(&value).then(|| Duration::from_secs(value as u64))
        };
        let opts = &mut socket.opts;
        match name {
            Name::ReuseAddr => socket.reuse_addr = on,
            Name::ReusePort => socket.reuse_port = on,
            Name::Inert => {}
            Name::Type | Name::Error | Name::AcceptConn => {
                return Err(Trouble::unsupported(line, format!("setting {}", text(args.expr(2)?))));
            }
            Name::SndBuf { force } => {
                let value = if force { value } else { value.min(self.buffer_max.1) };
                // Linux doubles the value for its bookkeeping and has a floor under the result (SOCK_MIN_SNDBUF).
                opts.send_buffer = (value.clamp(0, 1 << 29) * 2).max(4608) as u32 / 2;
            }
            Name::RcvBuf { force } => {
                let value = if force { value } else { value.min(self.buffer_max.0) };
                opts.recv_buffer = (value.clamp(0, 1 << 29) * 2).max(2304) as u32 / 2;
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
            Name::Linger2 => match value {
                0 => {}
                1..=120 => self.base.fin_timeout = Duration::from_secs(value as u64),
                _ => return Err(Trouble::unsupported(line, "TCP_LINGER2 outside 0 to 120 s")),
            },
            Name::DeferAccept => socket.defer_accept = value.max(0),
            Name::QuickAck => match &socket.kind {
                SocketKind::Conn(conn) => stack.set_quickack(now, conn.id, on),
                _ => return Err(Trouble::unsupported(line, "TCP_QUICKACK before the connection is there")),
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
            Name::Congestion | Name::Linger => unreachable!("both are handled above"),
        }
        self.changed(stack, now, fd, line)
    }

    /// Hands changed options on to the connection or to the connections that a listener will make.
    fn changed(&mut self, stack: &mut Stack, now: Instant, fd: i64, line: u32) -> Result<Step, Trouble> {
        if let Some(Socket { kind: SocketKind::Conn(conn), opts, .. }) = self.table.get(&fd) {
            stack.set_opts(now, conn.id, |live| *live = *opts);
        }
        self.apply(stack).map_err(|what| Trouble::unsupported(line, what))?;
        Ok(Step::Done(0))
    }

    /// `getsockopt(fd, level, name, [value], [length])`: the value is compared.
    pub fn getsockopt(&mut self, stack: &mut Stack, args: &Args) -> Result<Step, Trouble> {
        args.count(5)?;
        let (line, fd, name) = (args.line, args.int(0)?, wanted(args)?);
        let Some(socket) = self.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let opts = socket.opts;
        let value = args.boxed(3)?;
        let whole = |d: Duration| d.as_secs() as i64;
        let seen = match name {
            Name::ReuseAddr => i64::from(socket.reuse_addr),
            Name::ReusePort => i64::from(socket.reuse_port),
            Name::Type => 1,
            Name::Error => match &mut socket.kind {
                SocketKind::Conn(conn) => match stack.conn(conn.id).and_then(|c| c.error()) {
                    Some(error) => {
                        conn.fail(error).map_or(0, |_| symbols::errno_number(errno(error)).unwrap_or(0))
                    }
                    None => 0,
                },
                _ => 0,
            },
            Name::SndBuf { .. } => 2 * i64::from(opts.send_buffer),
            Name::RcvBuf { .. } => 2 * i64::from(opts.recv_buffer),
            Name::KeepAlive => i64::from(opts.keepalive),
            Name::AcceptConn => i64::from(matches!(socket.kind, SocketKind::Listening { .. })),
            Name::NoDelay => i64::from(opts.nagle == Nagle::Off),
            Name::Cork => i64::from(opts.cork),
            Name::KeepIdle => whole(opts.keepalive_idle),
            Name::KeepIntvl => whole(opts.keepalive_interval),
            Name::KeepCnt => i64::from(opts.keepalive_count),
            Name::SynCnt => i64::from(self.base.syn_retries),
            Name::Linger2 => whole(self.base.fin_timeout),
            Name::DeferAccept => socket.defer_accept,
            Name::UserTimeout => opts.user_timeout.map_or(0, |d| d.as_millis() as i64),
            Name::Ttl => i64::from(opts.ttl),
            Name::TrafficClass => i64::from(opts.dscp) << 2,
            Name::Linger => {
                let (on, seconds) = (i64::from(opts.linger.is_some()), opts.linger.map_or(0, whole));
                let seen = format!("{{onoff={on}, linger={seconds}}}");
                return match value {
                    None => Ok(Step::Done(0)),
                    Some(expr @ Expr::Braces(fields)) => {
                        let same = field(fields, "onoff", line)? == Some(on)
                            && field(fields, "linger", line)? == Some(seconds);
                        if same {
                            return Ok(Step::Done(0));
                        }
                        Err(Trouble::failed(line, "the option has another value", text(expr), seen))
                    }
                    Some(_) => Err(Trouble::syntax(line, "SO_LINGER has {onoff=…, linger=…}")),
                };
            }
            Name::MaxSeg | Name::QuickAck | Name::Congestion | Name::Inert => {
                let what = format!("reading the socket option {}", text(args.expr(2)?));
                return Err(Trouble::unsupported(line, what));
            }
        };
        match value {
            Some(expr) if number(expr, line)? != seen => {
                let (expected, seen) = (format!("[{}]", text(expr)), format!("[{seen}]"));
                Err(Trouble::failed(line, "the option has another value", expected, seen))
            }
            _ => Ok(Step::Done(0)),
        }
    }
}

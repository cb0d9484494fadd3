//! Which call of the socket layer is a line of the script?

use super::Trouble;
use super::ast::Expr;
use super::call_args::{Args, field, number, text};
use super::kernel::{Kernel, MSG_FASTOPEN, NONBLOCK, Progress};
use super::settings::IpVersion;
use super::sockets::{Data, Made, Step};
use super::sockopts::{self, Value};

const MSG_TRUNC: i64 = 0x20;

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
    "open",
    "sendfile",
    "pipe",
    "splice",
    "cap_set",
];

impl Kernel<'_> {
    /// Tries the call.
    pub fn attempt(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        let line = args.line;
        let fd = || args.int(0);
        if let Some(result) = self.datagram_line(args, progress) {
            return result;
        }
        match args.call.name.as_str() {
            "socket" => self.socket_line(args),
            "bind" => {
                args.count(3)?;
                self.bind(fd()?, args.address(1, self.settings.local)?)
            }
            "listen" => {
                args.count(2)?;
                self.listen(fd()?, args.int(1)?)
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
                if args.is_nobody(1)? {
                    return self.disconnect(fd()?);
                }
                let remote = args.address(1, self.settings.remote)?;
                self.connect(fd()?, remote, progress)
            }
            "read" => {
                args.count(3)?;
                if let Some(step) = self.read_other(fd()?, args.len(2)?) {
                    return Ok(step);
                }
                if args.is_null(1)? && self.would_fault(fd()?, false) {
                    return Ok(Step::Errno("EFAULT"));
                }
                self.read(fd()?, args.len(2)?, progress, line)
            }
            "readv" => {
                args.count(3)?;
                self.read(fd()?, args.iovec(args.expr(1)?)?, progress, line)
            }
            "recv" => {
                args.count(4)?;
                if args.is_null(1)? && args.int(3)? & MSG_TRUNC == 0 && self.would_fault(fd()?, false) {
                    return Ok(Step::Errno("EFAULT"));
                }
                self.receive(fd()?, args.len(2)?, args.int(3)?, progress, line)
            }
            "recvfrom" => {
                args.count(6)?;
                if args.is_null(1)? && args.int(3)? & MSG_TRUNC == 0 && self.would_fault(fd()?, false) {
                    return Ok(Step::Errno("EFAULT"));
                }
                self.receive(fd()?, args.len(2)?, args.int(3)?, progress, line)
            }
            "recvmsg" => self.recvmsg_line(args, progress),
            "write" => {
                args.count(3)?;
                if let Some(step) = self.write_other(fd()?, args.len(2)?) {
                    return Ok(step);
                }
                if args.is_null(1)? && args.len(2)? > 0 && self.would_fault(fd()?, true) {
                    return Ok(Step::Errno("EFAULT"));
                }
                self.send(fd()?, Data::Pattern(args.len(2)?), (0, None), progress)
            }
            "writev" => {
                args.count(3)?;
                self.send(fd()?, Data::Pattern(args.iovec(args.expr(1)?)?), (0, None), progress)
            }
            "send" => {
                args.count(4)?;
                if args.is_null(1)? && args.len(2)? > 0 && self.would_fault(fd()?, true) {
                    return Ok(Step::Errno("EFAULT"));
                }
                self.send(fd()?, Data::Pattern(args.len(2)?), (args.int(3)?, None), progress)
            }
            "sendto" => {
                args.count(6)?;
                if args.is_null(1)? && args.len(2)? > 0 && self.would_fault(fd()?, true) {
                    return Ok(Step::Errno("EFAULT"));
                }
                let flags = args.int(3)?;
                let remote = match flags & MSG_FASTOPEN {
                    0 => None,
                    _ => Some(args.address(4, self.settings.remote)?),
                };
                self.send(fd()?, Data::Pattern(args.len(2)?), (flags, remote), progress)
            }
            "sendmsg" => self.sendmsg_line(args, progress),
            "open" => self.open_line(args),
            "sendfile" => self.sendfile_line(args, progress),
            "pipe" => self.pipe_line(args),
            "splice" => self.splice_line(args, progress),
            // Nothing here asks for a privilege.
            "cap_set" => Ok(Step::Done(0)),
            "shutdown" => {
                args.count(2)?;
                Ok(self.shutdown(fd()?, args.int(1)?))
            }
            "close" => {
                args.count(1)?;
                Ok(self.close(fd()?, progress)?)
            }
            "fcntl" => self.fcntl_line(args),
            "ioctl" => self.ioctl_line(args),
            "setsockopt" => self.setsockopt_line(args),
            "getsockopt" => self.getsockopt_line(args),
            "poll" => self.poll_line(args, progress),
            "epoll_create" | "epoll_create1" => {
                args.count(1)?;
                Ok(Step::Made(Made::Epoll))
            }
            "epoll_ctl" => self.epoll_ctl_line(args),
            "epoll_wait" => self.epoll_wait_line(args, progress),
            name => Err(Trouble::unsupported(line, format!("the system call {name}"))),
        }
    }

    /// Whether a buffer at NULL is touched: to write when the connection takes bytes, to read when there are any.
    fn would_fault(&self, fd: i64, write: bool) -> bool {
        let live = self.sockets.conn(fd).and_then(|conn| self.stack.conn(conn.id));
        live.is_some_and(|live| if write { live.writable() > 0 } else { live.readable() > 0 })
    }

    fn socket_line(&mut self, args: &Args) -> Result<Step, Trouble> {
        args.count(3)?;
        let kind = args.int(1)?;
        // There are ten types, and few protocols of streams.
        if kind & 0xf > 10 {
            return Ok(Step::Errno("EINVAL"));
        }
        if kind & 0xf == 1 && !matches!(args.int(2)?, 0 | 6 | 132 | 256 | 262) {
            return Ok(Step::Errno("EPROTONOSUPPORT"));
        }
        let datagrams = kind & 0xf == 2 && matches!(args.int(2)?, 0 | 17);
        if kind & 0xf != 1 && !datagrams {
            return Err(Trouble::unsupported(args.line, format!("sockets of type {}", args.name(1))));
        }
        match args.expr(0)? {
            Expr::Ellipsis => {}
            family => {
                let wanted = if self.settings.ip_version == IpVersion::Ipv4 { 2 } else { 10 };
                if number(family, args.line)? != wanted {
                    let version = self.settings.ip_version.name();
                    let what = format!("{} sockets with --ip_version={version}", text(family));
                    return Err(Trouble::unsupported(args.line, what));
                }
            }
        }
        if !datagrams && !matches!(args.int(2)?, 0 | 6) {
            return Err(Trouble::unsupported(args.line, format!("sockets of protocol {}", args.name(2))));
        }
        Ok(Step::Made(Made::Socket { nonblock: kind & NONBLOCK != 0, datagrams }))
    }

    fn fcntl_line(&mut self, args: &Args) -> Result<Step, Trouble> {
        let value = if args.call.args.len() > 2 { args.int(2)? } else { 0 };
        self.fcntl(args.int(0)?, args.int(1)?, value)
            .map_err(|_| Trouble::unsupported(args.line, format!("fcntl {}", args.name(1))))
    }

    fn ioctl_line(&mut self, args: &Args) -> Result<Step, Trouble> {
        // Without a third argument there is nowhere to write to.
        if args.call.args.len() == 2 {
            let known = self.sockets.table.contains_key(&args.int(0)?);
            return Ok(Step::Errno(if known { "EFAULT" } else { "EBADF" }));
        }
        args.count(3)?;
        let wanted = args.boxed(2)?.map(|e| number(e, args.line)).transpose()?;
        let seen = self
            .ioctl(args.int(0)?, args.int(1)?, wanted.unwrap_or(0))
            .map_err(|_| Trouble::unsupported(args.line, format!("ioctl {}", args.name(1))))?;
        match (seen, wanted) {
            (Err(errno), _) => Ok(Step::Errno(errno)),
            (Ok(Some(seen)), Some(wanted)) if wanted != seen => Err(Trouble::failed(
                args.line,
                "ioctl returned another value",
                format!("[{wanted}]"),
                format!("[{seen}]"),
            )),
            _ => Ok(Step::Done(0)),
        }
    }

    /// Complains about an option that is not there; else its level and number.
    fn option_of(&self, args: &Args) -> Result<(i64, i64), Trouble> {
        args.count(5)?;
        let (level, option) = (args.int(1)?, args.int(2)?);
        if sockopts::is_known(level, option) || !sockopts::is_linux(level, option) {
            return Ok((level, option));
        }
        let what = format!("the socket option {} of {}", args.name(2), args.name(1));
        Err(Trouble::unsupported(args.line, what))
    }

    /// `setsockopt(fd, level, name, [value], length)`.
    fn setsockopt_line(&mut self, args: &Args) -> Result<Step, Trouble> {
        let (line, fd, option) = (args.line, args.int(0)?, self.option_of(args)?);
        let value = args.boxed(3)?.ok_or_else(|| Trouble::syntax(line, "setsockopt needs a value"))?;
        let Ok(len) = usize::try_from(args.int(4)?) else { return Ok(Step::Errno("EINVAL")) };
        let mut bytes = option_bytes(value, line)?;
        // Behind what a script gives there is what a program's memory has there.
        if !matches!(value, Expr::Str(_)) && len <= 64 {
            bytes.resize(bytes.len().max(len), 0);
        }
        bytes.truncate(len);
        let value = match Value::from_bytes(option, &bytes) {
            Ok(value) => value,
            Err(errno) => return Ok(Step::Errno(errno)),
        };
        self.sockets
            .set_option(self.stack, self.now, fd, option, &value)
            .map_err(|what| Trouble::unsupported(line, what))
    }

    /// `getsockopt(fd, level, name, [value], [length])`: the value is compared.
    fn getsockopt_line(&mut self, args: &Args) -> Result<Step, Trouble> {
        let (line, fd) = (args.line, args.int(0)?);
        // TCP_INFO cannot be written as a value: assertions look into it.
        if (args.int(1)?, args.int(2)?) == (6, 11) && args.boxed(3)?.is_none() {
            return Ok(if self.sockets.table.contains_key(&fd) {
                Step::Done(0)
            } else {
                Step::Errno("EBADF")
            });
        }
        let option = self.option_of(args)?;
        let wanted = args.boxed(3)?;
        let room = args.boxed(4)?.map(|e| number(e, line)).transpose()?;
        let Ok(room) = usize::try_from(room.unwrap_or(i64::MAX)) else { return Ok(Step::Errno("EINVAL")) };
        let seen = match self.sockets.option(self.stack, fd, option, room) {
            Err(what) => return Err(Trouble::unsupported(line, what)),
            Ok(Err(errno)) => return Ok(Step::Errno(errno)),
            Ok(Ok(seen)) => seen,
        };
        let Some(wanted) = wanted else { return Ok(Step::Done(0)) };
        // Text is compared as far as the script asks for it.
        let same = match (&seen, option_value(wanted, line)?) {
            (Value::Bytes(seen), Value::Bytes(wanted)) => {
                let end = wanted.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                seen.starts_with(&wanted[..end])
            }
            (Value::Bytes(seen), Value::Int(wanted)) => {
                let mut bytes = [0; 4];
                bytes.iter_mut().zip(seen).for_each(|(to, from)| *to = *from);
                i32::from_ne_bytes(bytes) == wanted as i32
            }
            (Value::Int(seen), Value::Int(wanted)) => *seen as i32 == wanted as i32,
            (Value::Linger { on, .. }, Value::Int(wanted)) => i64::from(*on) == wanted,
            (seen, wanted) => *seen == wanted,
        };
        if same {
            return Ok(Step::Done(0));
        }
        let seen = match seen {
            Value::Int(n) => format!("[{n}]"),
            Value::Bytes(bytes) => format!("\"{}\"", bytes.escape_ascii()),
            Value::Linger { on, seconds } => format!("{{onoff={}, linger={seconds}}}", i64::from(on)),
        };
        Err(Trouble::failed(line, "the option has another value", args.name(3), seen))
    }
}

/// The bytes that a script gives to an option.
fn option_bytes(expr: &Expr, line: u32) -> Result<Vec<u8>, Trouble> {
    Ok(match option_value(expr, line)? {
        Value::Bytes(bytes) => bytes,
        value => value.to_bytes(),
    })
}

fn option_value(expr: &Expr, line: u32) -> Result<Value, Trouble> {
    Ok(match expr {
        Expr::Str(text) => Value::Bytes(text.clone()),
        Expr::Braces(fields) => Value::Linger {
            on: field(fields, "onoff", line)?.unwrap_or(0) != 0,
            seconds: field(fields, "linger", line)?.unwrap_or(0),
        },
        number_or_word => Value::Int(number(number_or_word, line)?),
    })
}

//! What goes with the bytes of `sendmsg` and `recvmsg`? Flags and control messages.

use super::Trouble;
use super::ast::Expr;
use super::call_args::{Args, field, number, text};
use super::errqueue::{Notice, stamping};
use super::kernel::{Kernel, Progress};
use super::settings::IpVersion;
use super::sockets::{Data, Step};

const MSG_CTRUNC: i64 = 0x8;
const MSG_TRUNC: i64 = 0x20;
const MSG_ERRQUEUE: i64 = 0x2000;
const SO_TIMESTAMPING: i64 = 37;

/// A `msghdr`.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Whether it has an address.
    pub name: bool,
    /// The sum of its vector's lengths.
    pub len: usize,
    pub flags: i64,
    pub control: Vec<Control>,
}

/// A control message.
#[derive(Clone, PartialEq, Debug)]
pub enum Control {
    /// TCP_CM_INQ.
    Inq(i64),
    /// SO_TIMESTAMPING's flags, for one call.
    Stamping(i64),
    /// SCM_TIMESTAMPING, in microseconds since the script began; 0 is any time.
    Stamp(u64),
    /// IP_RECVERR or IPV6_RECVERR: level, type, and errno, origin, type, code, info and data.
    Extended(i64, i64, [i64; 6]),
}

impl Args<'_> {
    /// A `msghdr`.
    pub fn message(&self, n: usize) -> Result<Message, Trouble> {
        let Expr::Braces(fields) = self.expr(n)? else {
            return Err(Trouble::syntax(
                self.line,
                "a message is written {msg_name(...)=..., msg_iov(…)=[…], …}",
            ));
        };
        let mut message = Message { name: false, len: 0, flags: 0, control: Vec::new() };
        let mut vector = false;
        for field in fields {
            let Expr::Field { name, value, .. } = field else {
                return Err(Trouble::syntax(self.line, "a message consists of fields"));
            };
            match (name.as_str(), value.as_ref()) {
                ("msg_name", Expr::Ellipsis) => message.name = true,
                ("msg_iov", list) => {
                    message.len = self.iovec(list)?;
                    vector = true;
                }
                ("msg_flags", value) => message.flags = number(value, self.line)?,
                ("msg_control", Expr::List(list)) => {
                    message.control = list.iter().map(|m| self.control(m)).collect::<Result<_, _>>()?;
                }
                (other, _) => return Err(Trouble::unsupported(self.line, format!("{other} in a message"))),
            }
        }
        if vector { Ok(message) } else { Err(Trouble::syntax(self.line, "the message has no msg_iov")) }
    }

    /// `{cmsg_level=…, cmsg_type=…, cmsg_data=…}`
    fn control(&self, message: &Expr) -> Result<Control, Trouble> {
        let unsupported =
            || Trouble::unsupported(self.line, format!("the control message {}", text(message)));
        let Expr::Braces(fields) = message else { return Err(unsupported()) };
        let level = field(fields, "cmsg_level", self.line)?.unwrap_or(-1);
        let kind = field(fields, "cmsg_type", self.line)?.unwrap_or(-1);
        let data = fields.iter().find_map(|f| match f {
            Expr::Field { name, value, .. } if name == "cmsg_data" => Some(value.as_ref()),
            _ => None,
        });
        Ok(match (level, kind, data) {
            (6, 36, Some(data)) => Control::Inq(number(data, self.line)?),
            (1, SO_TIMESTAMPING, Some(Expr::Braces(stamp))) => {
                let get = |name| field(stamp, name, self.line).map(|n| n.unwrap_or(0).max(0) as u64);
                Control::Stamp(
                    get("scm_sec")?.saturating_mul(1_000_000).saturating_add(get("scm_nsec")? / 1000),
                )
            }
            (1, SO_TIMESTAMPING, Some(data)) => Control::Stamping(number(data, self.line)?),
            (0, 11, Some(Expr::Braces(error))) | (41, 25, Some(Expr::Braces(error))) => {
                let mut six = [0; 6];
                let names = ["ee_errno", "ee_origin", "ee_type", "ee_code", "ee_info", "ee_data"];
                for (value, name) in six.iter_mut().zip(names) {
                    *value = field(error, name, self.line)?.unwrap_or(0);
                }
                Control::Extended(level, kind, six)
            }
            _ => return Err(unsupported()),
        })
    }
}

impl Kernel<'_> {
    pub(super) fn recvmsg_line(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        args.count(3)?;
        let (fd, wanted, flags) = (args.int(0)?, args.message(1)?, args.int(2)?);
        let mut seen = Message { name: false, len: wanted.len, flags: 0, control: Vec::new() };
        let step = if flags & MSG_ERRQUEUE != 0 {
            match self.notice(fd) {
                Err(errno) => Step::Errno(errno),
                Ok(notice) => {
                    seen.flags = self.explain(&notice, wanted.len, args.line, &mut seen.control)?;
                    Step::Done(0)
                }
            }
        } else {
            let step = self.receive(fd, wanted.len, flags, progress, args.line)?;
            seen.control.extend(self.sockets.inq(self.stack, fd).map(Control::Inq));
            // What a message has no room for is cut: SO_TIMESTAMP and SO_TIMESTAMPNS are told with each.
            let stamped = [29, 35].iter().any(|&option| self.sockets.has_switch(fd, (1, option)));
            if stamped && wanted.control.is_empty() && matches!(step, Step::Done(1..)) {
                seen.flags |= MSG_CTRUNC;
            }
            step
        };
        if !matches!(step, Step::Done(_)) {
            return Ok(step);
        }
        let differ = |what: &str, wanted: String, seen: String| {
            Err(Trouble::failed(args.line, format!("recvmsg returned other {what}"), wanted, seen))
        };
        if seen.flags != wanted.flags {
            return differ("flags", format!("{:#x}", wanted.flags), format!("{:#x}", seen.flags));
        }
        let tolerance = self.settings.tolerance;
        let same = |(wanted, seen): (&Control, &Control)| match (wanted, seen) {
            (Control::Stamp(0), Control::Stamp(_)) => true,
            (Control::Stamp(wanted), Control::Stamp(seen)) => wanted.abs_diff(*seen) <= tolerance,
            (wanted, seen) => wanted == seen,
        };
        if wanted.control.len() != seen.control.len() || !wanted.control.iter().zip(&seen.control).all(same) {
            return differ(
                "control messages",
                format!("{:?}", wanted.control),
                format!("{:?}", seen.control),
            );
        }
        Ok(step)
    }

    pub(super) fn sendmsg_line(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        args.count(3)?;
        let message = args.message(1)?;
        for control in &message.control {
            match control {
                Control::Stamping(flags) if flags & !stamping::RECORD == 0 => progress.record = Some(*flags),
                _ => return Err(Trouble::unsupported(args.line, "these control messages of sendmsg")),
            }
        }
        let to = (args.int(2)?, message.name.then_some(self.settings.remote));
        self.send(args.int(0)?, Data::Pattern(message.len), to, progress)
    }

    /// The next message of a socket's error queue: nobody waits for one.
    pub fn notice(&mut self, fd: i64) -> Result<Notice, &'static str> {
        self.sockets.progress(self.stack, self.now);
        if !self.sockets.table.contains_key(&fd) {
            return Err("EBADF");
        }
        self.sockets.notices(fd).and_then(|notices| notices.queue.pop_front()).ok_or("EAGAIN")
    }

    /// The control messages that say it, and the message's flags.
    fn explain(
        &self,
        notice: &Notice,
        len: usize,
        line: u32,
        out: &mut Vec<Control>,
    ) -> Result<i64, Trouble> {
        let mut flags = MSG_ERRQUEUE;
        if let Notice::Stamp { at, packet, .. } = notice {
            out.extend(at.map(|at| Control::Stamp(at.as_micros())));
            if *packet && len > 0 {
                return Err(Trouble::unsupported(line, "reading the packet behind a time stamp"));
            }
            flags |= if *packet { MSG_TRUNC } else { 0 };
        }
        let (level, kind) = if self.settings.ip_version == IpVersion::Ipv4 { (0, 11) } else { (41, 25) };
        out.push(Control::Extended(level, kind, notice.extended()));
        Ok(flags)
    }
}

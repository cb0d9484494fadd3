//! Which descriptors are ready? `poll` and level-triggered `epoll`.

use super::Trouble;
use super::ast::Expr;
use super::call_args::{Args, field, text};
use super::calls::{Kernel, Progress};
use super::sockets::{SocketKind, Step};
use crate::time::Duration;
use std::collections::BTreeMap;

impl Kernel<'_> {
    /// Whether a call that waits with a timeout in milliseconds is at its end.
    fn waited(&self, timeout: i64, progress: &mut Progress) -> Option<Step> {
        if timeout >= 0 {
            let until =
                *progress.until.get_or_insert(self.now + Duration::from_millis(timeout.min(1 << 32) as u64));
            if self.now >= until {
                return None;
            }
        }
        Some(Step::Block(progress.until))
    }

    pub(super) fn poll(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        args.count(3)?;
        let line = args.line;
        let Expr::List(entries) = args.expr(0)? else {
            return Err(Trouble::syntax(line, "poll takes [{fd=…, events=…, revents=…}, …]"));
        };
        let (mut ready, mut seen, mut same) = (0, Vec::new(), true);
        for entry in entries {
            let Expr::Braces(fields) = entry else {
                return Err(Trouble::syntax(line, "an entry of poll is {fd=…, events=…, revents=…}"));
            };
            let get = |name| field(fields, name, line).map(|v| v.unwrap_or(0));
            let (fd, events, wanted) = (get("fd")?, get("events")?, get("revents")?);
            let bits = self.sockets.ready(self.stack, fd) & (events | 0x38);
            ready += i64::from(bits != 0);
            same &= bits == wanted;
            seen.push(format!("{{fd={fd}, revents={bits:#x}}}"));
        }
        if ready == 0
            && let Some(step) = self.waited(args.int(2)?, progress)
        {
            return Ok(step);
        }
        if !same {
            let seen = format!("[{}]", seen.join(", "));
            return Err(Trouble::failed(line, "poll saw other events", text(args.expr(0)?), seen));
        }
        Ok(Step::Done(ready))
    }

    pub(super) fn epoll_ctl(&mut self, args: &Args) -> Result<Step, Trouble> {
        args.count(4)?;
        let line = args.line;
        let (epoll, op, fd) = (args.int(0)?, args.int(1)?, args.int(2)?);
        if !self.sockets.table.contains_key(&fd) {
            return Ok(Step::Errno("EBADF"));
        }
        let interest = match self.sockets.table.get_mut(&epoll).map(|s| &mut s.kind) {
            Some(SocketKind::Epoll(interest)) => interest,
            Some(_) => return Ok(Step::Errno("EINVAL")),
            None => return Ok(Step::Errno("EBADF")),
        };
        let known = interest.contains_key(&fd);
        match (op, known) {
            (1, true) => return Ok(Step::Errno("EEXIST")),
            (2 | 3, false) => return Ok(Step::Errno("ENOENT")),
            (2, true) => {
                interest.remove(&fd);
                return Ok(Step::Done(0));
            }
            (1 | 3, _) => {}
            _ => return Ok(Step::Errno("EINVAL")),
        }
        let Expr::Braces(fields) = args.expr(3)? else {
            return Err(Trouble::syntax(line, "an event of epoll is {events=…, fd=…}"));
        };
        let (events, data) = epoll_event(fields, line)?;
        if events & (1 << 31 | 1 << 30) != 0 {
            return Err(Trouble::unsupported(line, "EPOLLET and EPOLLONESHOT"));
        }
        interest.insert(fd, (events, data));
        Ok(Step::Done(0))
    }

    pub(super) fn epoll_wait(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        args.count(4)?;
        let line = args.line;
        let interest: BTreeMap<i64, (i64, i64)> = match self.sockets.table.get(&args.int(0)?).map(|s| &s.kind)
        {
            Some(SocketKind::Epoll(interest)) => interest.clone(),
            Some(_) => return Ok(Step::Errno("EINVAL")),
            None => return Ok(Step::Errno("EBADF")),
        };
        let mut seen = Vec::new();
        for (fd, (events, data)) in interest {
            let bits = self.sockets.ready(self.stack, fd) & (events | 0x18);
            if bits != 0 {
                seen.push((bits, data));
            }
        }
        if seen.is_empty()
            && let Some(step) = self.waited(args.int(3)?, progress)
        {
            return Ok(step);
        }
        seen.truncate(usize::try_from(args.int(2)?).unwrap_or(0));
        let entries: &[Expr] = match args.expr(1)? {
            Expr::Ellipsis => return Ok(Step::Done(seen.len() as i64)),
            Expr::List(entries) => entries,
            entry => std::slice::from_ref(entry),
        };
        let mut wanted = Vec::new();
        for entry in entries {
            let Expr::Braces(fields) = entry else {
                return Err(Trouble::syntax(line, "an event of epoll is {events=…, fd=…}"));
            };
            wanted.push(epoll_event(fields, line)?);
        }
        if !seen.is_empty() && seen != wanted[..seen.len().min(wanted.len())] {
            let seen: Vec<String> =
                seen.iter().map(|(bits, data)| format!("{{events={bits:#x}, data={data}}}")).collect();
            let (expected, seen) = (text(args.expr(1)?), format!("[{}]", seen.join(", ")));
            return Err(Trouble::failed(line, "epoll_wait saw other events", expected, seen));
        }
        Ok(Step::Done(seen.len() as i64))
    }
}

/// Events and data, whatever member of the union the data is in.
fn epoll_event(fields: &[Expr], line: u32) -> Result<(i64, i64), Trouble> {
    let mut data = 0;
    for name in ["fd", "ptr", "u32", "u64"] {
        if let Some(value) = field(fields, name, line)? {
            data = value;
        }
    }
    Ok((field(fields, "events", line)?.unwrap_or(0), data))
}

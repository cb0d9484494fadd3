//! Which descriptors are ready? `poll` and `epoll`.

use super::Trouble;
use super::ast::Expr;
use super::call_args::{Args, field};
use super::kernel::{Kernel, Progress};
use super::sockets::{Interest, Readiness, SocketKind, Step};
use crate::time::Duration;

/// POLLERR, POLLHUP and POLLNVAL are reported whether asked for or not.
const ALWAYS: i64 = 0x38;
const EPOLLONESHOT: i64 = 1 << 30;
const EPOLLET: i64 = 1 << 31;
const EPOLLEXCLUSIVE: i64 = 1 << 28;

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

    /// What happened on each of these descriptors, of the events that go with it, if anything did or the time is over.
    pub fn poll(
        &mut self,
        entries: &[(i64, i64)],
        timeout: i64,
        progress: &mut Progress,
    ) -> Result<Vec<i64>, Step> {
        let seen: Vec<i64> = entries
            .iter()
            // A negative descriptor is passed over.
            .map(
                |&(fd, events)| {
                    if fd < 0 { 0 } else { self.sockets.ready(self.stack, fd).bits & (events | ALWAYS) }
                },
            )
            .collect();
        if seen.iter().all(|bits| *bits == 0)
            && let Some(step) = self.waited(timeout, progress)
        {
            return Err(step);
        }
        Ok(seen)
    }

    pub fn epoll_ctl(&mut self, epoll: i64, op: i64, fd: i64, (events, data): (i64, u64)) -> Step {
        if !self.sockets.table.contains_key(&fd) {
            return Step::Errno("EBADF");
        }
        let interest = match self.sockets.table.get_mut(&epoll).map(|s| &mut s.kind) {
            Some(SocketKind::Epoll(interest)) if epoll != fd => interest,
            Some(_) => return Step::Errno("EINVAL"),
            None => return Step::Errno("EBADF"),
        };
        // Who waits alone says so once, and for little.
        let alone = events & EPOLLEXCLUSIVE != 0;
        let refused = match op {
            1 => alone && events & !(EPOLLEXCLUSIVE | EPOLLET | 1 << 29 | 0x1d) != 0,
            3 => alone || interest.get(&fd).is_some_and(|old| old.events & EPOLLEXCLUSIVE != 0),
            _ => false,
        };
        if refused {
            return Step::Errno("EINVAL");
        }
        match (op, interest.contains_key(&fd)) {
            (1, true) => Step::Errno("EEXIST"),
            (2 | 3, false) => Step::Errno("ENOENT"),
            (2, true) => {
                interest.remove(&fd);
                Step::Done(0)
            }
            (1 | 3, _) => {
                interest.insert(fd, Interest { events, data, told: None });
                Step::Done(0)
            }
            _ => Step::Errno("EINVAL"),
        }
    }

    /// Up to `most` events with their data, if there are any or the time is over.
    pub fn epoll_wait(
        &mut self,
        epoll: i64,
        most: i64,
        timeout: i64,
        progress: &mut Progress,
    ) -> Result<Vec<(i64, u64)>, Step> {
        let interest = match self.sockets.table.get(&epoll).map(|s| &s.kind) {
            Some(SocketKind::Epoll(_)) if most <= 0 => return Err(Step::Errno("EINVAL")),
            Some(SocketKind::Epoll(interest)) => interest.clone(),
            Some(_) => return Err(Step::Errno("EINVAL")),
            None => return Err(Step::Errno("EBADF")),
        };
        let mut seen = Vec::new();
        for (fd, Interest { events, data, told }) in interest {
            let ready = self.sockets.ready(self.stack, fd);
            let bits = ready.bits & (events | 0x18);
            // At an edge: something has happened since the last time it was told.
            let edge = events & EPOLLET == 0 || told.is_none_or(|told| ready.is_news(&told));
            if bits == 0 || !edge || seen.len() as i64 >= most {
                // What is not ready any more is news when it is again.
                if let Some(SocketKind::Epoll(interest)) =
                    self.sockets.table.get_mut(&epoll).map(|s| &mut s.kind)
                    && let Some(Interest { told: Some(told), .. }) = interest.get_mut(&fd)
                    && *told != Readiness::ALL
                {
                    told.bits &= ready.bits;
                }
                continue;
            }
            seen.push((bits, data));
            if let Some(SocketKind::Epoll(interest)) = self.sockets.table.get_mut(&epoll).map(|s| &mut s.kind)
                && let Some(interest) = interest.get_mut(&fd)
            {
                interest.told = Some(ready);
                if events & EPOLLONESHOT != 0 {
                    // Only a new EPOLL_CTL_MOD wakes it again.
                    *interest = Interest { events: EPOLLET, data, told: Some(Readiness::ALL) };
                }
            }
        }
        match self.waited(timeout, progress) {
            Some(step) if seen.is_empty() => Err(step),
            _ => Ok(seen),
        }
    }

    // --- lines

    pub(super) fn poll_line(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        args.count(3)?;
        let line = args.line;
        let Expr::List(list) = args.expr(0)? else {
            return Err(Trouble::syntax(line, "poll takes [{fd=…, events=…, revents=…}, …]"));
        };
        let (mut entries, mut wanted) = (Vec::new(), Vec::new());
        for entry in list {
            let Expr::Braces(fields) = entry else {
                return Err(Trouble::syntax(line, "an entry of poll is {fd=…, events=…, revents=…}"));
            };
            let get = |name| field(fields, name, line).map(|v| v.unwrap_or(0));
            entries.push((get("fd")?, get("events")?));
            wanted.push(get("revents")?);
        }
        let seen = match self.poll(&entries, args.int(2)?, progress) {
            Ok(seen) => seen,
            Err(step) => return Ok(step),
        };
        if seen != wanted {
            let shown = |(bits, (fd, _)): (&i64, &(i64, i64))| format!("{{fd={fd}, revents={bits:#x}}}");
            let seen: Vec<String> = seen.iter().zip(&entries).map(shown).collect();
            let seen = format!("[{}]", seen.join(", "));
            return Err(Trouble::failed(line, "poll saw other events", args.name(0), seen));
        }
        Ok(Step::Done(seen.iter().filter(|bits| **bits != 0).count() as i64))
    }

    pub(super) fn epoll_ctl_line(&mut self, args: &Args) -> Result<Step, Trouble> {
        args.count(4)?;
        let event = match args.expr(3)? {
            Expr::Braces(fields) => epoll_event(fields, args.line)?,
            // EPOLL_CTL_DEL does not look at it.
            Expr::Ellipsis if args.int(1)? == 2 => (0, 0),
            _ => return Err(Trouble::syntax(args.line, "an event of epoll is {events=…, fd=…}")),
        };
        Ok(self.epoll_ctl(args.int(0)?, args.int(1)?, args.int(2)?, event))
    }

    pub(super) fn epoll_wait_line(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        args.count(4)?;
        let line = args.line;
        let seen = match self.epoll_wait(args.int(0)?, args.int(2)?, args.int(3)?, progress) {
            Ok(seen) => seen,
            Err(step) => return Ok(step),
        };
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
        // As many as both have: the result says how many there are. Where nothing happened, nothing was written.
        let silent = seen.is_empty() && wanted.iter().any(|(events, _)| *events != 0);
        if silent || seen.iter().zip(&wanted).any(|(seen, wanted)| seen != wanted) {
            let seen: Vec<String> =
                seen.iter().map(|(bits, data)| format!("{{events={bits:#x}, data={data}}}")).collect();
            let seen = format!("[{}]", seen.join(", "));
            return Err(Trouble::failed(line, "epoll_wait saw other events", args.name(1), seen));
        }
        Ok(Step::Done(seen.len() as i64))
    }
}

/// Events and data, whatever member of the union the data is in.
fn epoll_event(fields: &[Expr], line: u32) -> Result<(i64, u64), Trouble> {
    let mut data = 0;
    for name in ["fd", "ptr", "u32", "u64"] {
        if let Some(value) = field(fields, name, line)? {
            data = value as u64;
        }
    }
    Ok((field(fields, "events", line)?.unwrap_or(0), data))
}

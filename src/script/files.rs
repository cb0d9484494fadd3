//! Which descriptors are no sockets? Files and pipes, and the calls that move their bytes to sockets: no byte of a file
//! is ever read, its length is what counts.

use super::Trouble;
use super::ast::Expr;
use super::call_args::{Args, number};
use super::kernel::{Kernel, Progress};
use super::sockets::{Data, Made, SocketKind, Step};

/// A descriptor that is no socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Other {
    /// An open file: its size and where it is read or written next.
    File {
        /// Bytes; the greatest number for /dev/zero.
        size: u64,
        /// From its beginning.
        at: u64,
        /// O_RDONLY, O_WRONLY or O_RDWR, and O_APPEND.
        mode: i64,
        /// Its place among the names of files that scripts write; no file is ever really written.
        name: Option<u32>,
    },
    /// One end of a pipe: which pipe, and whether it is the end that is written to.
    Pipe(usize, bool),
}

/// How much a pipe takes.
const PIPE: usize = 65_536;
const SPLICE_F_NONBLOCK: i64 = 2;
const SPLICE_F_MORE: i64 = 4;
const MSG_DONTWAIT: i64 = 0x40;
const MSG_MORE: i64 = 0x8000;
const O_CREAT: i64 = 0o100;
const O_EXCL: i64 = 0o200;
const O_TRUNC: i64 = 0o1000;
const O_APPEND: i64 = 0o2000;

impl Kernel<'_> {
    fn other(&self, fd: i64) -> Option<Other> {
        match self.sockets.table.get(&fd)?.kind {
            SocketKind::Other(other) => Some(other),
            _ => None,
        }
    }

    pub(super) fn open_line(&mut self, args: &Args) -> Result<Step, Trouble> {
        args.count(2)?;
        let Expr::Str(name) = args.expr(0)? else {
            return Err(Trouble::syntax(args.line, "open needs a file's name"));
        };
        let name = &String::from_utf8_lossy(name).into_owned();
        let flags = args.int(1)?;
        let writes = flags & 3 != 0;
        let path = self.settings.directory.as_ref().map_or_else(|| name.into(), |d| d.join(name));
        let made = self.sockets.files.get(name).copied();
        let size = match (name.as_str(), std::fs::metadata(&path)) {
            _ if let Some(size) = made => size,
            ("/dev/zero", _) => u64::MAX,
            ("/dev/null", _) => 0,
            (_, Ok(data)) if data.is_file() => data.len(),
            (_, Ok(_)) => {
                return Err(Trouble::unsupported(args.line, format!("open of {name}, which is no file")));
            }
            (_, Err(_)) if flags & O_CREAT != 0 => 0,
            (_, Err(_)) => return Ok(Step::Errno("ENOENT")),
        };
        if flags & O_CREAT != 0 && flags & O_EXCL != 0 && (made.is_some() || path.exists()) {
            return Ok(Step::Errno("EEXIST"));
        }
        let size = if flags & O_TRUNC != 0 && writes { 0 } else { size };
        // What is written is remembered, and the file on the disk stays as it is.
        let place = (writes || flags & O_CREAT != 0) && name != "/dev/null" && name != "/dev/zero";
        let place = place.then(|| {
            self.sockets.files.insert(name.clone(), size);
            self.sockets.written.push(name.clone());
            self.sockets.written.len() as u32 - 1
        });
        let mode = flags & (3 | O_APPEND);
        Ok(Step::Made(Made::Other(Other::File { size, at: 0, mode, name: place })))
    }

    /// `sendfile(out, in, [offset], count)`
    pub(super) fn sendfile_line(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        args.count(4)?;
        let offset = args.boxed(2)?.map(|e| number(e, args.line)).transpose()?;
        let Some(Other::File { size, at, .. }) = self.other(args.int(1)?) else {
            let known = self.sockets.table.contains_key(&args.int(1)?);
            return Ok(Step::Errno(match (known, offset) {
                (false, _) => "EBADF",
                // Nothing else has places to begin at.
                (true, Some(_)) => "ESPIPE",
                (true, None) => "EINVAL",
            }));
        };
        let from = offset.map_or(at, |n| n.max(0) as u64);
        let count = size.saturating_sub(from).min(args.len(3)? as u64) as usize;
        if count == 0 {
            return Ok(Step::Done(0));
        }
        if let Some(step) = self.write_other(args.int(0)?, count) {
            return Ok(step);
        }
        self.send(args.int(0)?, Data::Pattern(count), (0, None), progress)
    }

    /// `pipe([3, 4])`: the end to read from, the end to write to.
    pub(super) fn pipe_line(&mut self, args: &Args) -> Result<Step, Trouble> {
        args.count(1)?;
        let Expr::List(ends) = args.expr(0)? else {
            return Err(Trouble::syntax(args.line, "pipe takes [FD, FD]"));
        };
        let ends: Vec<i64> = ends.iter().map(|e| number(e, args.line)).collect::<Result<_, _>>()?;
        let &[from, to] = ends.as_slice() else {
            return Err(Trouble::syntax(args.line, "a pipe has two ends"));
        };
        if from == to || ends.iter().any(|fd| self.sockets.table.contains_key(fd)) {
            return Err(Trouble::syntax(args.line, "a descriptor of the pipe is in use"));
        }
        for (fd, made) in [from, to].into_iter().zip(self.pipe()) {
            self.sockets.insert(fd, made);
        }
        Ok(Step::Done(0))
    }

    /// The two ends of a new pipe: the one to read from, the one to write to.
    pub fn pipe(&mut self) -> [Made; 2] {
        let pipe = self.sockets.pipes.len();
        self.sockets.pipes.push(0);
        [false, true].map(|write| Made::Other(Other::Pipe(pipe, write)))
    }

    /// `splice(in, offset, out, offset, length, flags)` between a pipe and a socket.
    pub(super) fn splice_line(&mut self, args: &Args, progress: &mut Progress) -> Result<Step, Trouble> {
        args.count(6)?;
        let ends = (args.int(0)?, args.int(2)?);
        self.splice(ends, args.len(4)?, args.int(5)?, progress, args.line)
    }

    /// Moves up to `len` bytes from the first descriptor to the second.
    pub fn splice(
        &mut self,
        (from, to): (i64, i64),
        len: usize,
        flags: i64,
        progress: &mut Progress,
        line: u32,
    ) -> Result<Step, Trouble> {
        let wait = if flags & SPLICE_F_NONBLOCK != 0 { MSG_DONTWAIT } else { 0 };
        let later = |wait| if wait == 0 { Step::Block(None) } else { Step::Errno("EAGAIN") };
        match (self.other(from), self.other(to)) {
            (None, Some(Other::Pipe(pipe, true))) => {
                let room = PIPE - self.sockets.pipes[pipe];
                if room == 0 {
                    return Ok(later(wait));
                }
                let step = self.receive(from, len.min(room), wait, progress, line)?;
                if let Step::Done(n) = step {
                    self.sockets.pipes[pipe] += n as usize;
                }
                Ok(step)
            }
            (Some(Other::Pipe(pipe, false)), None) => {
                let there = self.sockets.pipes[pipe].min(len);
                if there == 0 {
                    return Ok(later(wait));
                }
                let more = if flags & SPLICE_F_MORE != 0 { MSG_MORE } else { 0 };
                let step = self.send(to, Data::Pattern(there), (wait | more, None), progress)?;
                if let Step::Done(n) = step {
                    self.sockets.pipes[pipe] -= n as usize;
                }
                Ok(step)
            }
            (Some(Other::Pipe(pipe, false)), Some(Other::Pipe(_, true) | Other::File { .. })) => {
                let there = self.sockets.pipes[pipe].min(len);
                if there == 0 {
                    return Ok(later(wait));
                }
                let step = self.write_other(to, there).unwrap_or(Step::Errno("EINVAL"));
                if let Step::Done(n) = step {
                    self.sockets.pipes[pipe] -= n as usize;
                }
                Ok(step)
            }
            (Some(Other::File { .. }), Some(Other::Pipe(pipe, true))) => {
                let room = PIPE - self.sockets.pipes[pipe];
                if room == 0 {
                    return Ok(later(wait));
                }
                let step = self.read_other(from, len.min(room)).unwrap_or(Step::Errno("EINVAL"));
                if let Step::Done(n) = step {
                    self.sockets.pipes[pipe] += n as usize;
                }
                Ok(step)
            }
            // One of the two must be a pipe.
            _ => Ok(Step::Errno("EINVAL")),
        }
    }

    /// `read` of a file or a pipe; none if it is neither.
    pub fn read_other(&mut self, fd: i64, len: usize) -> Option<Step> {
        Some(match self.other(fd)? {
            Other::File { mode, .. } if mode & 3 == 1 => Step::Errno("EBADF"),
            Other::File { size, at, mode, name } => {
                let n = size.saturating_sub(at).min(len as u64);
                if let Some(socket) = self.sockets.table.get_mut(&fd) {
                    socket.kind = SocketKind::Other(Other::File { size, at: at + n, mode, name });
                }
                Step::Done(n as i64)
            }
            Other::Pipe(_, true) => Step::Errno("EBADF"),
            Other::Pipe(pipe, false) => match self.sockets.pipes[pipe].min(len) {
                0 => Step::Block(None),
                n => {
                    self.sockets.pipes[pipe] -= n;
                    Step::Done(n as i64)
                }
            },
        })
    }

    /// `write` to a file, or to a pipe as much as there is room for; none if it is neither.
    pub fn write_other(&mut self, fd: i64, len: usize) -> Option<Step> {
        Some(match self.other(fd)? {
            Other::Pipe(pipe, true) => match (PIPE - self.sockets.pipes[pipe]).min(len) {
                0 if len > 0 => Step::Block(None),
                n => {
                    self.sockets.pipes[pipe] += n;
                    Step::Done(n as i64)
                }
            },
            Other::File { mode, .. } if mode & 3 == 0 => Step::Errno("EBADF"),
            Other::File { size, at, mode, name } => {
                let at = if mode & O_APPEND != 0 { size } else { at } + len as u64;
                let size = size.max(at);
                if let Some(name) = name.and_then(|at| self.sockets.written.get(at as usize)) {
                    self.sockets.files.insert(name.clone(), size);
                }
                if let Some(socket) = self.sockets.table.get_mut(&fd) {
                    socket.kind = SocketKind::Other(Other::File { size, at, mode, name });
                }
                Step::Done(len as i64)
            }
            Other::Pipe(_, false) => Step::Errno("EBADF"),
        })
    }
}

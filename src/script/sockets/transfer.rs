//! What is a socket ready for, and what does a call get out of it or into it?

use super::super::frames::pattern;
use super::super::kept;
use super::{SocketKind, Sockets, errno};
use crate::stack::Stack;
use crate::stream::{ByteStream, StreamError};
use crate::tcp::{self, State};
use crate::time::Instant;
use std::borrow::Cow;

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
impl Sockets {
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

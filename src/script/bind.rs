//! May a socket have an address?

use super::Trouble;
use super::kernel::Kernel;
use super::sockets::{SocketKind, Step};
use crate::stack::{Cursor, Role};
use crate::tcp::State;
use std::net::SocketAddr;

impl Kernel<'_> {
    pub fn bind(&mut self, fd: i64, addr: SocketAddr) -> Result<Step, Trouble> {
        // Addresses are checked where the stack does it: when the socket listens or connects.
        let taken = self.sockets.table.iter().any(|(&other, socket)| {
            other != fd
                && match &socket.kind {
                    SocketKind::Fresh { bound } => *bound == Some(addr),
                    SocketKind::Listening { addr: listening, .. } => *listening == addr,
                    _ => false,
                }
                && !(socket.reuse_port
                    || socket.reuse_addr && matches!(socket.kind, SocketKind::Fresh { .. }))
        });
        let taken = taken || self.is_held(fd, addr);
        let Some(socket) = self.sockets.table.get_mut(&fd) else { return Ok(Step::Errno("EBADF")) };
        let own = addr.ip() == self.settings.local.ip() || addr.ip().is_unspecified();
        Ok(match &mut socket.kind {
            SocketKind::Fresh { bound: bound @ None } => {
                if !own {
                    return Ok(Step::Errno("EADDRNOTAVAIL"));
                }
                if taken {
                    return Ok(Step::Errno("EADDRINUSE"));
                }
                *bound = Some(addr);
                Step::Done(0)
            }
            SocketKind::Epoll(_) | SocketKind::Other(_) => Step::Errno("ENOTSOCK"),
            // What has ended is bound to nothing any more.
            SocketKind::Conn(conn)
                if self.stack.conn(conn.id).is_none_or(|live| live.state() == State::Closed) =>
            {
                if taken {
                    Step::Errno("EADDRINUSE")
                } else {
                    Step::Done(0)
                }
            }
            _ => Step::Errno("EINVAL"),
        })
    }

    /// Whether connections, or what is left of them, keep `addr` from being bound: all that have it must share it.
    fn is_held(&self, fd: i64, addr: SocketAddr) -> bool {
        let Some(socket) = self.sockets.table.get(&fd).filter(|_| addr.port() != 0) else { return false };
        let meets = |local: SocketAddr| {
            local.port() == addr.port() && (addr.ip().is_unspecified() || local.ip() == addr.ip())
        };
        let (mut cursor, mut held) = (Cursor::default(), false);
        loop {
            let (found, next) = self.stack.standings(self.now, cursor, 256);
            held |= found
                .iter()
                .any(|s| matches!(s.role, Role::Connection(_) | Role::TimeWait { .. }) && meets(s.local));
            match next {
                Some(next) if !held => cursor = next,
                _ => break,
            }
        }
        let (mut addrs, mut ports) = self.sockets.shared.get(&addr.port()).copied().unwrap_or((true, true));
        for socket in self.sockets.table.values() {
            if matches!(&socket.kind, SocketKind::Conn(conn) if meets(conn.local)) {
                (addrs, ports) = (addrs && socket.reuse_addr, ports && socket.reuse_port);
            }
        }
        held && !(socket.reuse_addr && addrs || socket.reuse_port && ports)
    }
}

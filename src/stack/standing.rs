//! Which sockets are there at this moment, and how do they stand?

use super::Stack;
use super::addrs::Flow;
use crate::ledger::Parts;
use crate::tcp::{Congestion, Info, Snapshot};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// Places that are looked at for each socket that may be found: tables have gaps where sockets were.
const GAPS: u32 = 32;

/// A socket at one moment.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The connection's number in the trace, from 1; a listener has none.
    pub number: Option<u32>,
    /// This end.
    pub local: SocketAddr,
    /// The other end; a listener has none.
    pub remote: Option<SocketAddr>,
    /// What it is doing.
    pub role: Role,
}

/// What a socket is.
#[derive(Clone, Debug)]
pub enum Role {
    /// It listens.
    Listener {
        /// Connections that wait to be accepted.
        waiting: u32,
        /// How many may.
        backlog: u32,
        /// Handshakes that have begun.
        half_open: u32,
    },
    /// A handshake that a listener remembers (SYN-RECEIVED).
    HalfOpen(Box<Snapshot>),
    /// A connection.
    Connection(Box<Doing>),
    /// What is left of a connection.
    TimeWait {
        /// For so long.
        left: Duration,
    },
}

/// How a connection is doing.
#[derive(Clone, Debug)]
pub struct Doing {
    /// What the trace tells with each packet.
    pub snapshot: Snapshot,
    /// What Linux tells of a connection.
    pub info: Info,
    /// Who decides on its congestion window, as Linux calls it.
    pub congestion: &'static str,
    /// Bytes received and not read.
    pub unread: u32,
    /// Bytes written and not acknowledged.
    pub unacked: u32,
    /// What its time went to so far.
    pub ledger: Parts,
}

/// How far somebody has looked at all sockets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cursor {
    table: Table,
    at: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Table {
    #[default]
    Listeners,
    HalfOpen,
    Connections,
    TimeWait4,
    TimeWait6,
}

impl Table {
    fn next(self) -> Option<Table> {
        match self {
            Table::Listeners => Some(Table::HalfOpen),
            Table::HalfOpen => Some(Table::Connections),
            Table::Connections => Some(Table::TimeWait4),
            Table::TimeWait4 => Some(Table::TimeWait6),
            Table::TimeWait6 => None,
        }
    }
}

impl Stack {
    /// The sockets from `cursor` on, `most` at the most, and where the next ones are, if there are any.
    ///
    /// It takes time for those that it looks at only, so that somebody who wants to see all of them can let others have
    /// their turn in between. What comes and goes meanwhile is seen or not; nothing is seen twice but what moves on, such as a
    /// connection that enters TIME-WAIT.
    pub fn standings(&self, now: Instant, cursor: Cursor, most: u32) -> (Vec<Standing>, Option<Cursor>) {
        let mut found = Vec::new();
        let Cursor { mut table, mut at } = cursor;
        let mut left = most.saturating_mul(GAPS);
        loop {
            let end = self.end_of(table);
            while at < end {
                if left == 0 || found.len() >= most as usize {
                    return (found, Some(Cursor { table, at }));
                }
                left -= 1;
                found.extend(self.standing(now, table, at));
                at += 1;
            }
            match table.next() {
                Some(next) => (table, at) = (next, 0),
                None => return (found, None),
            }
        }
    }

    fn end_of(&self, table: Table) -> u32 {
        match table {
            Table::Listeners => self.listeners.end(),
            Table::HalfOpen => self.syn_queue.end(),
            Table::Connections => self.conns.end(),
            Table::TimeWait4 => self.time_waits.ends().0,
            Table::TimeWait6 => self.time_waits.ends().1,
        }
    }

    fn standing(&self, now: Instant, table: Table, at: u32) -> Option<Standing> {
        let of = |flow: Flow, number, role| Standing {
            number: Some(number),
            local: flow.local(),
            remote: Some(flow.remote()),
            role,
        };
        match table {
            Table::Listeners => {
                let (local, [waiting, backlog, half_open]) = self.listeners.standing(at)?;
                let role = Role::Listener { waiting, backlog, half_open };
                Some(Standing { number: None, local, remote: None, role })
            }
            Table::HalfOpen => {
                let opening = self.syn_queue.at(at)?;
                let snapshot = Box::new(opening.standing(now));
                Some(of(opening.flow, opening.number, Role::HalfOpen(snapshot)))
            }
            Table::Connections => {
                // What has ended is kept for its owner only.
                let entry = self.conns.get(at).filter(|entry| entry.is_open())?;
                let conn = &entry.conn;
                let doing = Doing {
                    snapshot: conn.snapshot(),
                    info: conn.info(now),
                    congestion: match entry.cfg.congestion {
                        Congestion::Cubic => "cubic",
                        Congestion::NewReno => "reno",
                        Congestion::Fixed(_) => "fixed",
                        Congestion::Custom(_) => "custom",
                    },
                    unread: u32::try_from(conn.readable()).unwrap_or(u32::MAX),
                    unacked: u32::try_from(conn.unacked()).unwrap_or(u32::MAX),
                    ledger: conn.ledger(now),
                };
                Some(of(entry.flow, entry.number, Role::Connection(Box::new(doing))))
            }
            Table::TimeWait4 | Table::TimeWait6 => {
                let (flow, number, expires) = self.time_waits.standing(table == Table::TimeWait6, at)?;
                Some(of(flow, number, Role::TimeWait { left: expires.since(now) }))
            }
        }
    }
}

//! In which order are connections handed on that are over? In that of their numbers, as far as few of them wait.

use super::connection::Connection;
use std::collections::BTreeMap;

/// Connections that wait for others that began earlier, and their exchanges.
const WAITING: usize = 1000;
const EXCHANGES: usize = 20_000;

/// Those that wait.
#[derive(Default, Debug)]
pub(super) struct Shelf {
    waiting: BTreeMap<usize, Connection>,
    exchanges: usize,
}

impl Shelf {
    /// One more.
    pub fn add(&mut self, connection: Connection) {
        self.exchanges += connection.exchanges.len();
        self.waiting.insert(connection.number, connection);
    }

    /// The next one, if it is its turn, or all are to go.
    pub fn next(&mut self, all: bool) -> Option<Connection> {
        let many = self.waiting.len() > WAITING || self.exchanges > EXCHANGES;
        let (_, first) = Some(()).filter(|()| all || many).and_then(|()| self.waiting.pop_first())?;
        self.exchanges -= first.exchanges.len();
        Some(first)
    }
}

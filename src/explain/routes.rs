//! What is known of the connections from one host to one server, those that are over included?

use super::connections::Held;
use crate::time::Duration;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// A pair of ports that is used again sooner met the other end's TIME-WAIT, as most systems have it.
pub(super) const TIME_WAIT: Duration = Duration::from_secs(60);
/// Connections from one host to one server within a minute that nearly use up the ports of a usual system (Linux has
/// 28,232, others fewer).
const PORTS: u64 = 28_000;
/// Hosts and servers that are remembered.
const KEPT: usize = 32_768;

/// From one host to one server.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Route {
    /// The last of them.
    pub last: Option<Held>,
    /// When it ended, and whether it had answered and was not used, if it was settled.
    pub over: Option<(Duration, bool)>,
    /// How many began within the last minute, and when the first of them did; the minute before is not counted.
    since: Duration,
    begun: u64,
}

impl Route {
    /// The one that begins now takes one of the last ports.
    pub fn is_nearly_full(&self) -> bool {
        self.begun == PORTS
    }
}

/// All of them.
#[derive(Default, Debug)]
pub(super) struct Routes {
    list: HashMap<(IpAddr, SocketAddr), Route>,
    /// Where connections were opened to.
    listeners: HashSet<SocketAddr>,
}

impl Routes {
    /// Whether connections are known to be opened to this address.
    pub fn listens(&self, addr: SocketAddr) -> bool {
        self.listeners.contains(&addr)
    }

    /// A connection is opened to this address.
    pub fn listen(&mut self, addr: SocketAddr) {
        if self.listeners.len() < KEPT {
            self.listeners.insert(addr);
        }
    }

    /// A connection begins.
    pub fn begin(&mut self, to: (IpAddr, SocketAddr), at: Duration) -> &mut Route {
        if self.list.len() >= KEPT && !self.list.contains_key(&to) {
            self.list.retain(|_, route| at.saturating_sub(route.since) <= TIME_WAIT);
            if self.list.len() >= KEPT {
                self.list.clear();
            }
        }
        let route = self.list.entry(to).or_insert(Route { since: at, ..Route::default() });
        if at.saturating_sub(route.since) > TIME_WAIT {
            (route.since, route.begun) = (at, 0);
        }
        route.begun += 1;
        route
    }

    /// A connection was settled, which ended at `end`; `rests`: it could have been used again.
    pub fn end(&mut self, to: (IpAddr, SocketAddr), which: Held, end: Duration, rests: bool) {
        if let Some(route) = self.list.get_mut(&to).filter(|route| route.last == Some(which)) {
            route.over = Some((end, rests));
        }
    }
}

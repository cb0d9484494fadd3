//! Which port does a connection leave from?

use super::isn::Secrets;
use std::net::{IpAddr, SocketAddr};

const COUNTERS: usize = 1024;

/// Why a port can't be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// A connection to the same remote address has it.
    Connection,
    /// So has what is left of one.
    TimeWait,
    /// A listener has it.
    Listener,
}

/// A port, and what was in the way of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pick {
    pub port: u16,
    pub tried: Tried,
}

/// How many ports were found taken, by what.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Tried {
    pub connections: u32,
    pub time_wait: u32,
    pub listeners: u32,
}

impl Tried {
    pub fn total(&self) -> u32 {
        self.connections + self.time_wait + self.listeners
    }
}

/// The choice of ephemeral ports: random to an outsider, yet each port is used again as late as possible.
///
/// RFC 6056 §3.3.4 (double-hash): each destination walks through the range from its own secret place, driven by
/// a counter that it shares with few others. The port behind the last one is the one that has been free for the
/// longest time, so the first try nearly always succeeds. A port is taken only for the same destination.
pub(super) struct Ports {
    secrets: Secrets,
    counters: Box<[u32; COUNTERS]>,
    /// The last search that found nothing: while no flow ends, searching again is useless.
    failed: Option<Failed>,
}

struct Failed {
    local: IpAddr,
    remote: SocketAddr,
    range: (u16, u16),
    changes: u64,
    tried: Tried,
}

impl Ports {
    pub fn new(secrets: Secrets) -> Ports {
        Ports { secrets, counters: Box::new([0; COUNTERS]), failed: None }
    }

    /// A free port of `range` (both ends included) for a connection from `local` to `remote`. `changes`
    /// counts what happened to flows so far; None if the search is about something else.
    ///
    /// # Errors
    /// What has the ports, when all are taken.
    pub fn pick(
        &mut self,
        range: (u16, u16),
        local: IpAddr,
        remote: SocketAddr,
        changes: Option<u64>,
        taken: impl Fn(u16) -> Option<Taken>,
    ) -> Result<Pick, Tried> {
        if let Some(failed) = &self.failed
            && (failed.local, failed.remote, failed.range) == (local, remote, range)
            && Some(failed.changes) == changes
        {
            return Err(failed.tried);
        }
        let (offset, index) = self.secrets.port_hashes(local, remote);
        let counter = &mut self.counters[index as usize % COUNTERS];
        let size = u32::from(range.1.saturating_sub(range.0)) + 1;
        let mut tried = Tried::default();
        for _ in 0..size {
            let step = (offset % u64::from(size)) as u32 + *counter % size;
            let port = range.0 + (step % size) as u16;
            *counter = counter.wrapping_add(1);
            match taken(port) {
                None => return Ok(Pick { port, tried }),
                Some(Taken::Connection) => tried.connections += 1,
                Some(Taken::TimeWait) => tried.time_wait += 1,
                Some(Taken::Listener) => tried.listeners += 1,
            }
        }
        self.failed = changes.map(|changes| Failed { local, remote, range, changes, tried });
        Err(tried)
    }

    /// A port became free without a flow's end.
    pub fn forget(&mut self) {
        self.failed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::HashSet;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn remote(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn the_whole_range_is_used_once_each_at_the_first_try() {
        let mut ports = Ports::new(Secrets::new(1));
        let used = RefCell::new(HashSet::new());
        for n in 0..1000 {
            let pick = ports
                .pick((5000, 5999), LOCAL, remote(80), Some(0), |p| {
                    used.borrow().contains(&p).then_some(Taken::Connection)
                })
                .unwrap();
            assert_eq!(pick.tried.total(), 0, "connection {n}");
            assert!((5000..=5999).contains(&pick.port) && used.borrow_mut().insert(pick.port));
        }
        let full = ports.pick((5000, 5999), LOCAL, remote(80), Some(0), |_| Some(Taken::TimeWait));
        assert_eq!(full, Err(Tried { time_wait: 1000, ..Tried::default() }));
    }

    #[test]
    fn a_hopeless_search_is_not_repeated_until_a_flow_ends() {
        let mut ports = Ports::new(Secrets::new(1));
        let asked = Cell::new(0);
        let taken = |_| {
            asked.set(asked.get() + 1);
            Some(Taken::Connection)
        };
        for (changes, probes) in [(0, 100), (0, 100), (1, 200)] {
            assert!(ports.pick((1, 100), LOCAL, remote(80), Some(changes), taken).is_err());
            assert_eq!(asked.get(), probes);
        }
        assert!(ports.pick((1, 100), LOCAL, remote(81), Some(1), |_| None).is_ok());
    }

    #[test]
    fn destinations_and_seeds_start_at_different_places() {
        let first = |seed, port| {
            Ports::new(Secrets::new(seed))
                .pick((1024, 65_535), LOCAL, remote(port), Some(0), |_| None)
                .unwrap()
                .port
        };
        assert_ne!(first(1, 80), first(1, 81));
        assert_ne!(first(1, 80), first(2, 80));
        assert_eq!(first(1, 80), first(1, 80));
    }

    #[test]
    fn the_last_port_of_the_range_can_be_had_and_a_range_of_one_works() {
        let mut ports = Ports::new(Secrets::new(1));
        let only = ports
            .pick((1, 65_535), LOCAL, remote(80), Some(0), |p| (p != 65_535).then_some(Taken::Listener))
            .unwrap();
        assert_eq!((only.port, only.tried.listeners < 65_535), (65_535, true));
        assert_eq!(ports.pick((9, 9), LOCAL, remote(80), Some(0), |_| None).unwrap().port, 9);
    }
}

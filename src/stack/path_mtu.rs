//! What is known of the way to a destination from earlier connections?

use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// After so long the path may carry more again (RFC 1191 §6.3, RFC 8201 §4: ten minutes).
const VALID: Duration = Duration::from_secs(600);

/// So many destinations are remembered, the oldest are forgotten: whoever can make us believe one message can make us
/// believe many.
const LIMIT: usize = 1024;

/// The MTU of paths, learned from routers.
#[derive(Default)]
pub(super) struct PathMtus {
    known: BTreeMap<IpAddr, (u16, Instant)>,
    /// When each was learned, oldest first.
    order: VecDeque<(Instant, IpAddr)>,
}

impl PathMtus {
    /// A connection believes that the path to `ip` carries packets of `mtu` bytes.
    pub fn learn(&mut self, now: Instant, ip: IpAddr, mtu: u16) {
        while let Some(&(at, oldest)) = self.order.front()
            && (self.order.len() >= LIMIT || at + VALID <= now)
        {
            self.order.pop_front();
            // What was learned anew stands further back.
            if self.known.get(&oldest).is_some_and(|&(_, learned)| learned == at) {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(ip, (mtu, now));
        self.order.push_back((now, ip));
    }

    /// What packets to `ip` may take on a link of `mtu` bytes.
    pub fn towards(&self, now: Instant, ip: IpAddr, mtu: u16) -> u16 {
        let known = self.known.get(&ip).filter(|&&(_, learned)| learned + VALID > now);
        known.map_or(mtu, |&(path, _)| path.min(mtu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn a_path_is_known_for_ten_minutes() {
        let mut paths = PathMtus::default();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        paths.learn(at(0), ip(1), 1400);
        assert_eq!(paths.towards(at(599), ip(1), 1500), 1400);
        assert_eq!(paths.towards(at(599), ip(2), 1500), 1500);
        assert_eq!(paths.towards(at(599), ip(1), 1300), 1300, "the link has the last word");
        assert_eq!(paths.towards(at(600), ip(1), 1500), 1500);
        paths.learn(at(600), ip(1), 1200);
        paths.learn(at(700), ip(2), 1200);
        assert_eq!(paths.towards(at(700), ip(1), 1500), 1200);
    }

    #[test]
    fn of_many_paths_the_oldest_are_forgotten() {
        let mut paths = PathMtus::default();
        for n in 0..5000 {
            paths.learn(Instant::from_millis(u64::from(n)), ip(n % 3000), 1400);
        }
        assert!(paths.known.len() <= LIMIT && paths.order.len() <= LIMIT);
        let now = Instant::from_millis(5000);
        assert_eq!(paths.towards(now, ip(1999), 1500), 1400);
        assert_eq!(paths.towards(now, ip(2000), 1500), 1500);
    }
}

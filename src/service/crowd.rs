//! Who gives way where there are as many connections as there may be, and others wait for a place?

use super::pump::{self, Scratch};
use crate::http::{Config, ServerConn};
use crate::stack::{ConnId, Stack};
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// Connections that are looked at for one newcomer, others each time.
pub(super) const CANDIDATES: u32 = 64;
/// How soon others are, if none of those gives way.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How many times as long one may take whose client waits, too: for a page, for a server behind a proxy, for the end of a
/// tunnel.
const FOR_OTHERS: u32 = 4;

/// Why one gives way. The first go first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Why {
    /// Nothing is asked on it.
    Idle,
    /// Its peer sends or takes too little of what is waited for.
    Slow,
    /// The page does that is answered with, or what is behind a proxy, or nobody says anything in a tunnel.
    Stuck,
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Why::Idle => "nothing is asked here, and others wait for a place",
            Why::Slow => "less than http.give_way_rate was sent or taken here, and others wait for a place",
            Why::Stuck => "less than http.give_way_rate passed through here, and others wait for a place",
        }
    }
}

/// Since when an exchange goes on, for how much of that its peer was waited for, and what had been moved before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    begun: Instant,
    /// Since when, if it is at this moment.
    since: Option<Instant>,
    waited: Duration,
    moved: u64,
}

impl Mark {
    /// From now on.
    pub fn new(now: Instant, moved: u64) -> Mark {
        Mark { begun: now, since: None, waited: Duration::ZERO, moved }
    }

    /// It goes on, and it is or is not the peer that is waited for.
    pub fn goes_on(&mut self, now: Instant, awaits_peer: bool) {
        if awaits_peer {
            self.since.get_or_insert(now);
        } else if self.since.is_some() {
            self.waited = self.waited(now, Why::Slow);
            self.since = None;
        }
    }

    /// For how long one of the two was waited for.
    pub fn waited(&self, now: Instant, why: Why) -> Duration {
        match why {
            Why::Slow => self.waited + self.since.map_or(Duration::ZERO, |since| now.since(since)),
            Why::Idle | Why::Stuck => now.since(self.begun),
        }
    }
}

/// What those who wait for a place ask of those who have one.
pub(super) struct Crowd {
    after: Duration,
    /// What `after` shrinks to, as more wait.
    hurry: Duration,
    rate: u64,
}

impl Crowd {
    /// With so many who wait, patience shrinks in the ratio of all to those who have a place: then the wait of the last one
    /// grows with the logarithm of how many are before it.
    pub fn new(config: &Config, waiting: usize) -> Crowd {
        let after = config.give_way_after;
        let places = u128::from(config.max_connections);
        let hurry = after.as_nanos() * places / (places + waiting as u128);
        let hurry = Duration::from_nanos(u64::try_from(hurry).unwrap_or(u64::MAX)).max(after / 10);
        Crowd { after, hurry, rate: u64::from(config.give_way_rate) }
    }

    /// How long a peer so far away may say nothing: three round trips are nobody's fault, up to `http.give_way_after`.
    pub fn patience(&self, stack: &Stack, id: ConnId) -> Duration {
        let rtt = stack.conn(id).and_then(|conn| conn.srtt()).unwrap_or(Duration::ZERO);
        self.hurry.max(rtt * 3).min(self.after)
    }

    /// Why one gives way in the middle of an exchange, if it does.
    pub fn why(&self, now: Instant, mark: &mut Mark, moved: u64, patience: Duration) -> Option<Why> {
        [Why::Slow, Why::Stuck].into_iter().find(|why| self.is_slow(now, mark, moved, patience, *why))
    }

    /// Whether too little was moved since the mark. What was fast once does not count for ever.
    fn is_slow(&self, now: Instant, mark: &mut Mark, moved: u64, patience: Duration, why: Why) -> bool {
        let times = if why == Why::Stuck { FOR_OTHERS } else { 1 };
        let waited = mark.waited(now, why);
        if waited < patience * times {
            return false;
        }
        let least = waited.as_millis().saturating_mul(u128::from(self.rate)) / 1000;
        let slow = u128::from(moved.saturating_sub(mark.moved)) < least;
        if !slow && waited >= self.after * times {
            let awaits_peer = mark.since.is_some();
            *mark = Mark::new(now, moved);
            mark.goes_on(now, awaits_peer);
        }
        slow
    }
}

/// Answers a newcomer that found no place with 503, if it has asked something, and lets go of it.
pub(super) fn turn_away(
    now: Instant,
    stack: &mut Stack,
    id: ConnId,
    config: &Arc<Config>,
    scratch: &mut Scratch,
) {
    let mut http = ServerConn::new(Arc::clone(config), now);
    let mut stream = stack.stream(now, id);
    if pump::receive(now, &mut http, &mut stream, scratch, &mut false).is_ok() {
        http.turn_away(now);
        // An answer so short fits, or else the connection has failed already.
        let _ = pump::send(now, &mut http, &mut stream);
    }
    stack.note_app(now, Some(id), "turned-away", "nobody gave way within http.busy_after");
    stack.release(now, id);
}

//! Where did the time of a request go? What the connection's own ledger does not see is added here.

use super::{Connection, Job, State};
use crate::ledger::{Part, Parts};
use crate::stack::Stack;
use crate::time::{Duration, Instant};

/// Where the time of a request begins on a connection: when, and what had been charged there until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    at: Instant,
    charged: Parts,
}

/// What a connection's time went to before its own ledger began, and where the last exchange ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tab {
    /// The name, the wait for a port, attempts that failed.
    before: Parts,
    /// Charged up to here.
    mark: Instant,
    /// The end of the last exchange.
    last: Option<Start>,
}

/// In whole microseconds, so that parts add up.
fn between(from: Instant, until: Instant) -> Duration {
    Duration::from_micros(until.as_micros().saturating_sub(from.as_micros()))
}

impl Start {
    /// With the connection itself.
    pub(super) fn opening(now: Instant) -> Start {
        Start { at: now, charged: Parts::default() }
    }
}

impl Tab {
    pub(super) fn new(now: Instant) -> Tab {
        Tab { before: Parts::default(), mark: now, last: None }
    }

    /// Charges the time since the last call to `part`.
    pub(super) fn spend(&mut self, part: Part, now: Instant) {
        self.before.add(part, between(self.mark, now));
        self.mark = now;
    }

    /// An attempt to connect failed; its own ledger says what it took.
    pub(super) fn spent(&mut self, parts: Parts, now: Instant) {
        self.before += parts;
        self.mark = now;
    }

    /// The parts of a request that is done with now, of whose connection `ledger` is all that was charged. `behind` says
    /// that it never had the connection to itself.
    pub(super) fn charge(&self, now: Instant, job: &Job, ledger: Parts, behind: bool) -> Parts {
        let begin = job.fetched.timings.start.unwrap_or(now);
        let mut parts = Parts::default();
        let Some(start) = job.start else {
            parts.add(Part::Queue, between(begin, now));
            return parts;
        };
        // Before it came to this connection it had been sent on another one, or had waited for a port.
        let earlier = if job.fetched.retried { Part::Recovery } else { Part::PortWait };
        parts.add(earlier, between(begin, start.at));
        // Behind another one on the same connection: until that was over, it waited in a queue.
        let since = self.last.filter(|last| last.at > start.at).unwrap_or(start);
        parts.add(Part::Queue, between(start.at, since.at));
        match behind {
            true => parts.add(Part::Queue, between(since.at, now)),
            false => parts += ledger - since.charged,
        }
        parts
    }

    /// An exchange ends here.
    pub(super) fn ends(&mut self, now: Instant, ledger: Parts) {
        self.last = Some(Start { at: now, charged: ledger });
    }
}

impl Connection {
    /// All that was charged up to now, from its opening on.
    pub(super) fn ledger(&mut self, now: Instant, stack: &mut Stack) -> Parts {
        match (self.id, &self.state) {
            (Some(id), _) => {
                let mut all = self.tab.before;
                all += stack.cut_ledger(now, id);
                all
            }
            (None, State::Resolving) => {
                self.tab.spend(Part::Name, now);
                self.tab.before
            }
            (None, _) => {
                self.tab.spend(Part::PortWait, now);
                self.tab.before
            }
        }
    }

    /// The time of those requests that have just come to this connection begins now.
    pub(super) fn start_jobs(&mut self, now: Instant, stack: &mut Stack) {
        if self.jobs.back().is_none_or(|job| job.start.is_some()) {
            return;
        }
        let start = Some(Start { at: now, charged: self.ledger(now, stack) });
        for job in self.jobs.iter_mut().rev().take_while(|job| job.start.is_none()) {
            job.start = start;
        }
    }
}

//! Which request is next, and when? A list, repeated, for a time or at a rate; and where the pool puts each.

use super::super::plan::FetchError;
use super::{ClientOptions, HttpClient, Job, RETRY};
use crate::http::{OriginId, Place};
use crate::stack::Stack;
use crate::time::{Duration, Instant};

/// Requests that may wait for a connection, so that those behind them to other origins need not.
const WAITING: usize = 1024;

/// The order of requests: the plans from the first to the last, again and again.
pub(super) struct Schedule {
    plans: u64,
    /// The next request, counted over all repetitions, and how many there are.
    next: u64,
    total: u64,
    /// Nanoseconds between two requests.
    interval: Option<f64>,
    duration: Option<Duration>,
    begin: Option<Instant>,
    /// When it was stopped before its end.
    stopped: Option<Instant>,
}

impl Schedule {
    pub fn new(plans: usize, options: &ClientOptions) -> Schedule {
        Schedule {
            plans: plans as u64,
            next: 0,
            total: (plans as u64).saturating_mul(options.repeat).min(options.limit.unwrap_or(u64::MAX)),
            interval: options.rate.filter(|rate| *rate > 0.0).map(|rate| 1e9 / rate),
            duration: options.duration,
            begin: None,
            stopped: None,
        }
    }

    pub fn start(&mut self, now: Instant) {
        self.begin.get_or_insert(now);
    }

    pub fn has_started(&self) -> bool {
        self.begin.is_some()
    }

    fn end(&self) -> Instant {
        match (self.begin, self.duration) {
            (Some(begin), Some(duration)) => begin + duration,
            _ => Instant::FAR,
        }
    }

    /// When the `n`th request is due: computed, not counted, so that no delay moves those behind it.
    fn time_of(&self, n: u64) -> Instant {
        let begin = self.begin.unwrap_or(Instant::ZERO);
        match self.interval {
            Some(interval) => begin + Duration::from_nanos((n as f64 * interval) as u64),
            None => begin,
        }
    }

    /// The next request's plan and when it was due, if it is.
    pub fn peek(&self, now: Instant) -> Option<(usize, Instant)> {
        if self.is_over(now) {
            return None;
        }
        let at = self.time_of(self.next);
        (at <= now).then(|| ((self.next % self.plans) as usize, at))
    }

    /// Takes it: its plan and repetition.
    pub fn take(&mut self) -> (usize, u64) {
        self.next += 1;
        (((self.next - 1) % self.plans) as usize, (self.next - 1) / self.plans)
    }

    /// When `peek` will have something; `None` if it has now or never.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let at = self.time_of(self.next);
        (!self.is_over(now) && at > now).then(|| at.min(self.end()))
    }

    /// Whether no request will come any more.
    pub fn is_over(&self, now: Instant) -> bool {
        self.next >= self.total || self.stopped.is_some() || now >= self.end()
    }

    /// How many are left, as far as that matters.
    pub fn left(&self) -> usize {
        usize::try_from(self.total - self.next).unwrap_or(usize::MAX)
    }

    /// Requests that were due before the end and not taken, and how long they had waited when it came.
    pub fn missed(&self) -> impl ExactSizeIterator<Item = Duration> + use<> {
        let begin = self.begin.unwrap_or(Instant::ZERO);
        let end = self.stopped.unwrap_or(Instant::FAR).min(self.end());
        let due = match self.interval {
            Some(interval) if end < Instant::FAR => (end.since(begin).as_nanos() as f64 / interval).ceil(),
            _ => 0.0,
        };
        let (next, interval) = (self.next, self.interval.unwrap_or(0.0));
        // A slice of a range of usize knows its length.
        let missed = (due as u64).min(self.total).saturating_sub(next);
        (0..usize::try_from(missed).unwrap_or(usize::MAX)).map(move |n| {
            let at = begin + Duration::from_nanos(((next + n as u64) as f64 * interval) as u64);
            end.since(at)
        })
    }

    pub fn stop(&mut self, now: Instant) {
        self.stopped.get_or_insert(now);
    }
}

impl HttpClient {
    /// Begins requests as long as there are some and the pool has places for them.
    pub(super) fn place_all(&mut self, now: Instant, stack: &mut Stack) {
        let mut hopeless = false;
        let mut origin = 0;
        while origin < self.queues.len() && self.queued > 0 {
            while self.place_queued(now, stack, origin) {}
            origin += 1;
        }
        while self.may_begin()
            && let Some((plan, ready)) = self.schedule.peek(now)
        {
            let id = self.plans[plan].origin;
            let full = !self.queue_is_empty(id) || self.pool.place(id, None) == Place::Wait;
            if full && (self.queues.len() == 1 || self.queued >= WAITING) {
                // With a rate, a request may be due although nothing happens on any connection.
                if self.schedule_at_rate() && self.fill_one(now, stack, id) {
                    continue;
                }
                break;
            }
            let place = self.schedule.take();
            let job = Job::new(now, ready, place, &self.plans[plan]);
            if full {
                self.queues[id.index()].waiting.push_back(job);
                self.queued += 1;
            } else {
                let before = self.active;
                self.activate(now, stack, id, job);
                // One that failed at once, for want of a port say, would be followed by such ones without end.
                hopeless = self.active <= before && self.options.duration.is_some();
                if hopeless {
                    break;
                }
            }
        }
        let blocked = (hopeless || self.results_full()).then(|| now + RETRY);
        let due = if self.stopped { None } else { self.schedule.next_due(now) };
        self.look_again = blocked.into_iter().chain(due).min();
        let over = self.stopped || self.schedule.is_over(now);
        if over && self.active == 0 && self.queued == 0 {
            self.finish(now, stack);
        }
    }

    fn schedule_at_rate(&self) -> bool {
        self.options.rate.is_some() && self.options.http.pipeline > 1
    }

    /// Puts the next request on the first connection that may carry one more. True if there was one.
    fn fill_one(&mut self, now: Instant, stack: &mut Stack, id: OriginId) -> bool {
        for key in self.pool.keys() {
            let member = &self.pool[key];
            if member.origin() == id && member.http.answered() > 0 && member.http.unanswered() > 0 {
                let before = self.active;
                self.turn(now, stack, key);
                if self.active > before {
                    return true;
                }
            }
        }
        false
    }

    fn queue_is_empty(&self, id: OriginId) -> bool {
        let queue = &self.queues[id.index()];
        queue.again.is_empty() && queue.waiting.is_empty()
    }

    /// Requests to an origin that have no connection yet.
    pub(super) fn left(&self, id: OriginId) -> usize {
        let queue = &self.queues[id.index()];
        let queued = queue.again.len() + queue.waiting.len();
        if self.queues.len() == 1 { queued.saturating_add(self.schedule.left()) } else { queued }
    }

    /// Begins the first request that waits for this origin, if the pool has a place for it.
    fn place_queued(&mut self, now: Instant, stack: &mut Stack, origin: usize) -> bool {
        let queue = &mut self.queues[origin];
        let list = if queue.again.is_empty() { &mut queue.waiting } else { &mut queue.again };
        let Some(job) = list.front() else { return false };
        let id = self.plans[job.fetched.plan].origin;
        if self.pool.place(id, job.not_before) == Place::Wait {
            return false;
        }
        let Some(job) = list.pop_front() else { return false };
        self.queued -= 1;
        self.activate(now, stack, id, job);
        true
    }

    fn activate(&mut self, now: Instant, stack: &mut Stack, id: OriginId, mut job: Job) {
        self.active += 1;
        job.takes_its_turn(now);
        self.assign(now, stack, id, job);
    }

    /// Gives a request the connection that the pool says; it has a place. A close that has come meanwhile is seen (RFC 9112
    /// §9.5).
    fn assign(&mut self, now: Instant, stack: &mut Stack, id: OriginId, job: Job) {
        loop {
            match self.pool.place(id, job.not_before) {
                Place::On(key) => {
                    // What the server has sent meanwhile, such as its FIN, is only seen by reading.
                    self.turn(now, stack, key);
                    if self.pool.get(key).is_none() {
                        continue;
                    }
                    self.pool.busy(key);
                    self.pool[key].extra.jobs.push_back(job);
                    self.begin(now, key);
                    return self.turn(now, stack, key);
                }
                Place::Replace(key) => self.remove(now, stack, key),
                // `Wait` cannot be: what was removed above has made room.
                Place::Open | Place::Wait => return self.open(now, stack, id, job),
            }
        }
    }

    /// The next request that may follow others on connection `key`: only safe ones, and those that were sent before
    /// only on a younger connection, which has answered one of them by then, and not a third time (RFC 9112 §9.3.2).
    pub(super) fn next_to_pipeline(&mut self, now: Instant, key: usize) -> Option<Job> {
        if self.options.http.pipeline <= 1 || !self.may_begin() {
            return None;
        }
        let id = self.pool[key].origin();
        let left = self.left(id);
        let queue = &mut self.queues[id.index()];
        let list = if queue.again.is_empty() { &mut queue.waiting } else { &mut queue.again };
        if let Some(job) = list.front() {
            let young = job.not_before.is_none_or(|born| self.pool[key].born() >= born);
            if job.alone || !young || !self.pool.may_pipeline(key, &job.fetched.method, left) {
                return None;
            }
            let mut job = list.pop_front()?;
            self.queued -= 1;
            self.active += 1;
            job.takes_its_turn(now);
            return Some(job);
        }
        let (plan, ready) = self.schedule.peek(now)?;
        let request = &self.plans[plan];
        let may = request.origin == id && self.pool.may_pipeline(key, &request.plan.method, left.max(1));
        if !may {
            return None;
        }
        let place = self.schedule.take();
        self.active += 1;
        Some(Job::new(now, ready, place, &self.plans[plan]))
    }

    /// The driver is shutting down: what has no connection yet fails.
    pub(super) fn give_up_waiting(&mut self, now: Instant) {
        self.schedule.stop(now);
        for origin in 0..self.queues.len() {
            let queue = std::mem::take(&mut self.queues[origin]);
            for mut job in queue.again.into_iter().chain(queue.waiting) {
                self.queued -= 1;
                job.fetched.error = Some(FetchError::Stopped);
                let at = job.fetched.timings.start.unwrap_or(Instant::ZERO);
                self.hand_out(at, job.fetched);
            }
        }
    }
}

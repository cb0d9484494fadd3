//! What does a server do under load? A client that keeps no answers but counts them and their times.

use super::plan::{FetchError, Fetched, RequestPlan};
use super::{ClientOptions, HttpClient, Service};
use crate::http::ClientError;
use crate::ledger::Parts;
use crate::stack::{Owner, Stack, StackError};
use crate::stream::StreamError;
use crate::time::{Duration, Instant};
use crossbeam_channel::Receiver;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest time that is told apart from longer ones, nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;
/// Significant digits of a time.
const DIGITS: u8 = 3;

/// Groups of requests that were never begun and count together.
const GROUPS: usize = 100_000;

/// Many times: how they are spread to three digits; the shortest, the longest and the mean exactly.
#[derive(Clone, Debug)]
pub struct Times {
    spread: Histogram<u64>,
    sum: u128,
    ends: Option<(u64, u64)>,
}

impl Times {
    fn new() -> Times {
        #[expect(clippy::unwrap_used, reason = "the bounds are constants that the histogram allows")]
        let spread = Histogram::new_with_bounds(1, LONGEST, DIGITS).unwrap();
        Times { spread, sum: 0, ends: None }
    }

    fn add(&mut self, time: Duration, n: u64) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // The histogram's first place is 1.
        self.spread.saturating_record_n(nanos.max(1), n);
        self.sum += u128::from(nanos) * u128::from(n);
        let (least, most) = self.ends.unwrap_or((nanos, nanos));
        self.ends = Some((least.min(nanos), most.max(nanos)));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.spread.len()
    }

    /// The shortest; zero if there is none.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.ends.map_or(0, |(least, _)| least))
    }

    /// The longest; zero if there is none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.ends.map_or(0, |(_, most)| most))
    }

    /// The mean; zero if there is none.
    pub fn mean(&self) -> Duration {
        let mean = self.sum.checked_div(u128::from(self.count())).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// How many are longer than that, to three digits.
    pub fn longer_than(&self, time: Duration) -> u64 {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.count() - self.spread.count_between(0, nanos)
    }

    /// The time that `share` of them (0 to 1) do not exceed, to three digits.
    pub fn quantile(&self, share: f64) -> Duration {
        let (least, most) = self.ends.unwrap_or_default();
        // A bucket's highest value may lie beyond all that are in it.
        Duration::from_nanos(self.spread.value_at_quantile(share).clamp(least, most))
    }
}

/// What came of the requests so far.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// Answers by status; with any status a request counts as answered.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a complete answer, by what went wrong.
    pub errors: BTreeMap<&'static str, u64>,
    /// The first error.
    pub first_error: Option<FetchError>,
    /// Requests that fell due and were never begun.
    pub unbegun: u64,
    /// Requests that were sent a second time.
    pub retried: u64,
    /// Requests that were sent ahead of another one's answer.
    pub pipelined: u64,
    /// Bytes of the answers' bodies.
    pub bytes: u64,
    /// From when each answered request was begun, or with a rate from when it was due, to its last byte. At the
    /// end those that fell due and were not begun are there, too, with the time that they had waited: to leave them out
    /// would be to leave out the slowest.
    pub latency: Times,
    /// Where the time of the answered requests went, together.
    pub ledger: Parts,
    /// What the handshakes took.
    pub handshake: Times,
    /// When the first request was there to be made, and when the last was done with.
    pub span: Option<(Instant, Instant)>,
    /// How long requests were to be begun for, if that was said and nobody stopped it before.
    pub window: Option<Duration>,
    /// How long requests waited for a free port, together.
    pub port_wait: Duration,
    /// The most connections at a time, those that are closing included.
    pub most_open: usize,
    /// The most flows in TIME-WAIT at a time: each holds a port towards its destination.
    pub most_time_wait: usize,
    /// Flows in TIME-WAIT at the end.
    pub time_wait: usize,
    /// Ports that there are to connect from.
    pub ports: usize,
}

impl LoadReport {
    fn new() -> LoadReport {
        LoadReport {
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            first_error: None,
            unbegun: 0,
            retried: 0,
            pipelined: 0,
            bytes: 0,
            latency: Times::new(),
            ledger: Parts::default(),
            handshake: Times::new(),
            span: None,
            window: None,
            port_wait: Duration::ZERO,
            most_open: 0,
            most_time_wait: 0,
            time_wait: 0,
            ports: 0,
        }
    }

    /// Requests that were answered.
    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Requests that were not.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// From the first request to the end of the last, or of the time that was asked for: a rate below one in a round trip
    /// leaves some of it empty.
    pub fn elapsed(&self) -> Duration {
        let span = self.span.map_or(Duration::ZERO, |(begin, end)| end.since(begin));
        span.max(self.window.unwrap_or_default())
    }

    fn add(&mut self, now: Instant, fetched: &Fetched, open_loop: bool) {
        let t = &fetched.timings;
        let begin = if open_loop { t.ready } else { t.start }.unwrap_or(now);
        let (first, last) = self.span.unwrap_or((begin, now));
        self.span = Some((first.min(begin), last.max(now)));
        self.bytes += fetched.body_len;
        self.retried += u64::from(fetched.retried);
        self.pipelined += u64::from(fetched.pipelined);
        self.port_wait += t.port_wait;
        if let (false, Some(from), Some(until)) = (fetched.reused, t.connect_start, t.established) {
            self.handshake.add(until.since(from), 1);
        }
        match (&fetched.error, fetched.status()) {
            (None, Some(status)) => {
                *self.statuses.entry(status.as_u16()).or_default() += 1;
                self.ledger += fetched.ledger;
                let done = t.last_byte.unwrap_or(now);
                self.latency.add(done.since(begin), 1);
            }
            (error, _) => {
                let error = error.clone().unwrap_or(FetchError::Http(ClientError::NoAnswer));
                *self.errors.entry(kind(&error)).or_default() += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }
}

/// A word for what went wrong.
fn kind(error: &FetchError) -> &'static str {
    match error {
        FetchError::Resolve(_) => "name",
        FetchError::Stack(StackError::AddrNotAvailable { .. }) => "no-port",
        FetchError::Stack(_) => "address",
        FetchError::Connect(StreamError::ConnectionRefused) => "refused",
        FetchError::Connect(StreamError::ConnectionReset)
        | FetchError::Stream(StreamError::ConnectionReset) => "reset",
        FetchError::ConnectTimedOut | FetchError::Connect(StreamError::TimedOut) => "connect-timeout",
        FetchError::Connect(_) => "connect",
        FetchError::Stream(StreamError::TimedOut)
        | FetchError::MaxTime
        | FetchError::Http(ClientError::TimedOut) => "timeout",
        FetchError::Stream(_) => "connection",
        FetchError::Http(ClientError::NoAnswer) => "no-answer",
        FetchError::Http(ClientError::Incomplete) => "incomplete",
        FetchError::Http(_) => "malformed",
        FetchError::Switched => "switched",
        FetchError::Request(_) => "request",
        FetchError::Stopped => "stopped",
    }
}

/// What a [`LoadClient`] has counted, from any thread.
#[derive(Clone)]
pub struct LoadWatch(Arc<Mutex<LoadReport>>);

impl LoadWatch {
    /// The report so far.
    pub fn report(&self) -> LoadReport {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, LoadReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An [`HttpClient`] whose results are counted in the stack's thread, without a copy and a channel between.
pub struct LoadClient {
    client: HttpClient,
    watch: LoadWatch,
}

impl LoadClient {
    /// A load of these requests: `options` say how many connections, how often, for how long and at which rate.
    pub fn new(owner: Owner, plans: Vec<RequestPlan>, options: ClientOptions) -> LoadClient {
        let watch = LoadWatch(Arc::new(Mutex::new(LoadReport::new())));
        let counted = watch.clone();
        let open_loop = options.rate.is_some();
        watch.lock().window = options.duration;
        let options = ClientOptions {
            keep_body: 0,
            observer: Some(Box::new(move |now, fetched| counted.lock().add(now, &fetched, open_loop))),
            ..options
        };
        LoadClient { client: HttpClient::new(owner, plans, options), watch }
    }

    /// Where the counts can be seen.
    pub fn watch(&self) -> LoadWatch {
        self.watch.clone()
    }

    /// Disconnected when all is done; nothing comes.
    pub fn done(&self) -> Receiver<Fetched> {
        self.client.results()
    }

    fn look(&self, stack: &Stack) {
        let mut report = self.watch.lock();
        let range = (stack.config().tcp.ports_first, stack.config().tcp.ports_last);
        report.ports = usize::from(range.1.saturating_sub(range.0)) + 1;
        report.time_wait = stack.time_waits();
        report.most_time_wait = report.most_time_wait.max(stack.time_waits());
        report.most_open = report.most_open.max(stack.open_connections());
        report.unbegun = self.client.unbegun();
        if self.client.is_done() {
            let waits = self.client.waits_of_unbegun();
            // However many there are: at their distances in time they fall into groups.
            let group = waits.len().div_ceil(GROUPS).max(1);
            let mut left = waits.len();
            for wait in waits.step_by(group) {
                let n = group.min(left);
                left -= n;
                report.latency.add(wait, n as u64);
            }
        }
    }
}

impl Service for LoadClient {
    fn owner(&self) -> Owner {
        self.client.owner()
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        if !self.client.is_done() {
            self.client.poll(now, stack);
            self.look(stack);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.client.next_deadline()
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        if self.client.is_done() {
            return true;
        }
        self.watch.lock().window = None;
        let done = self.client.drain(now, stack);
        self.look(stack);
        done
    }
}

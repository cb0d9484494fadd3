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
    /// Nanoseconds from when each answered request was begun, or with a rate from when it was due, to its last byte. At the
    /// end those that fell due and were not begun are there, too, with the time that they had waited: to leave them out
    /// would be to leave out the slowest.
    pub latency: Histogram<u64>,
    /// Where the time of the answered requests went, together.
    pub ledger: Parts,
    /// Nanoseconds that the handshakes took.
    pub handshake: Histogram<u64>,
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
        #[expect(clippy::unwrap_used, reason = "the bounds are constants that the histogram allows")]
        let times = || Histogram::new_with_bounds(1, LONGEST, DIGITS).unwrap();
        LoadReport {
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            first_error: None,
            unbegun: 0,
            retried: 0,
            pipelined: 0,
            bytes: 0,
            latency: times(),
            ledger: Parts::default(),
            handshake: times(),
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
            self.handshake.saturating_record(until.since(from).as_nanos() as u64);
        }
        match (&fetched.error, fetched.status()) {
            (None, Some(status)) => {
                *self.statuses.entry(status.as_u16()).or_default() += 1;
                self.ledger += fetched.ledger;
                let done = t.last_byte.unwrap_or(now);
                self.latency.saturating_record((done.since(begin).as_nanos() as u64).max(1));
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
                report.latency.saturating_record_n((wait.as_nanos() as u64).max(1), n as u64);
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

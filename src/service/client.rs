//! How are many requests made? One kept connection for each origin, or as many as are allowed at a time.

mod connect;
mod exchange;

use super::Service;
use super::plan::{BodySink, FetchError, Fetched, RequestPlan, Timings};
use super::pump::Scratch;
use super::timers::Timers;
use crate::http::{ClientConn, ClientError, Config, Endpoint, Fields, is_idempotent};
use crate::stack::{ConnId, Owner, QueryId, Ready, Stack};
use crate::stream::StreamError;
use crate::tcp::Opts;
use crate::time::{Duration, Instant};
use crossbeam_channel::{Receiver, Sender, unbounded};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use url::Host;

/// Results that wait to be taken; no request is begun while so many do.
const RESULTS: usize = 4096;
/// How often a full result queue, or a lack of ports, is looked at again.
const RETRY: Duration = Duration::from_millis(10);

/// How requests are made.
pub struct ClientOptions {
    /// Keep-alive, pipelining, parallel connections and limits.
    pub http: Config,
    /// How often all plans are carried out.
    pub repeat: u32,
    /// Socket options of the connections; `None` takes the stack's.
    pub opts: Option<Opts>,
    /// The local address; `None` lets the stack choose.
    pub local: Option<SocketAddr>,
    /// Names whose addresses are known, looked at before the name servers.
    pub hosts: Vec<(String, IpAddr)>,
    /// How long connecting may take; `None` leaves it to TCP.
    pub connect_timeout: Option<Duration>,
    /// How long a request may take from its turn to the end of its response.
    pub max_time: Option<Duration>,
    /// How long to wait for a free port instead of failing at once.
    pub port_wait: Duration,
    /// Bytes of each body that are kept in its [`Fetched`], if there is no sink.
    pub keep_body: usize,
    /// Where bodies go instead.
    pub sink: Option<Box<dyn BodySink>>,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            http: Config::default(),
            repeat: 1,
            opts: None,
            local: None,
            hosts: Vec::new(),
            connect_timeout: None,
            max_time: None,
            port_wait: Duration::ZERO,
            keep_body: 16 << 20,
            sink: None,
        }
    }
}

/// An HTTP/1.1 client that carries out a list of requests and hands out a [`Fetched`] for each.
pub struct HttpClient {
    owner: Owner,
    config: Arc<Config>,
    options: ClientOptions,
    plans: Vec<RequestPlan>,
    /// The next request of the list, counted over all repetitions.
    next: u64,
    /// Requests to be sent a second time; they go first.
    again: VecDeque<Job>,
    /// Requests begun and not finished.
    active: usize,
    stopped: bool,
    started: bool,
    /// When to look again whether results were taken.
    look_again: Option<Instant>,
    conns: Slab<Connection>,
    by_id: HashMap<ConnId, usize>,
    by_query: HashMap<QueryId, usize>,
    /// Idle connections by origin, the most recently used last.
    idle: HashMap<Origin, Vec<usize>>,
    names: HashMap<String, Vec<IpAddr>>,
    timers: Timers,
    scratch: Scratch,
    body_scratch: Scratch,
    sender: Option<Sender<Fetched>>,
    results: Receiver<Fetched>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Origin {
    host: Host,
    port: u16,
}

/// One request on its way.
struct Job {
    /// Bytes of the request's body given to the connection.
    body_at: u64,
    expect: bool,
    /// Whether its answer is being read; then it cannot be sent again.
    answering: bool,
    fetched: Fetched,
}

enum State {
    Resolving,
    /// Waiting for a free port, until then at the latest.
    NoPort {
        until: Instant,
        since: Instant,
    },
    Connecting {
        deadline: Option<Instant>,
    },
    Open,
}

struct Connection {
    origin: Origin,
    state: State,
    /// Addresses that were not tried yet, the next one last.
    addresses: Vec<SocketAddr>,
    query: Option<QueryId>,
    id: Option<ConnId>,
    number: u32,
    remote: Option<SocketAddr>,
    timings: Timings,
    rtt: Duration,
    http: ClientConn,
    eof_seen: bool,
    armed: Option<Instant>,
    /// Oldest first; the last one's request may still be on its way.
    jobs: VecDeque<Job>,
}

impl HttpClient {
    /// A client for these requests, carried out in their order.
    pub fn new(owner: Owner, plans: Vec<RequestPlan>, options: ClientOptions) -> HttpClient {
        let (sender, results) = unbounded();
        HttpClient {
            owner,
            config: Arc::new(options.http.clone()),
            options,
            plans,
            next: 0,
            again: VecDeque::new(),
            active: 0,
            stopped: false,
            started: false,
            look_again: None,
            conns: Slab::new(),
            by_id: HashMap::new(),
            by_query: HashMap::new(),
            idle: HashMap::new(),
            names: HashMap::new(),
            timers: Timers::default(),
            scratch: Scratch::new(),
            body_scratch: Scratch::new(),
            sender: Some(sender),
            results,
        }
    }

    /// Where results come; disconnected after the last one. At most 4096 wait, and then no request is begun.
    pub fn results(&self) -> Receiver<Fetched> {
        self.results.clone()
    }

    /// The results that have come since the last call.
    pub fn take_results(&mut self) -> Vec<Fetched> {
        self.results.try_iter().collect()
    }

    /// Whether every request has its result and every connection was let go.
    pub fn is_done(&self) -> bool {
        self.sender.is_none()
    }

    fn total(&self) -> u64 {
        self.plans.len() as u64 * u64::from(self.options.repeat)
    }

    fn has_next(&self) -> bool {
        !self.stopped && (!self.again.is_empty() || self.next < self.total())
    }

    /// The origin of the request whose turn it is.
    fn next_plan(&self) -> Option<usize> {
        match self.again.front() {
            Some(job) => Some(job.fetched.plan),
            None if self.next < self.total() => Some((self.next % self.plans.len() as u64) as usize),
            None => None,
        }
    }

    fn take_job(&mut self, now: Instant) -> Option<Job> {
        if let Some(job) = self.again.pop_front() {
            return Some(job);
        }
        let plan = self.next_plan()?;
        let round = (self.next / self.plans.len() as u64) as u32;
        self.next += 1;
        let request = &self.plans[plan];
        Some(Job {
            body_at: 0,
            expect: request.expect_continue,
            answering: false,
            fetched: Fetched {
                plan,
                round,
                url: request.url().into(),
                method: request.method.clone(),
                response: None,
                interims: Vec::new(),
                body: Vec::new(),
                body_len: 0,
                trailers: Fields::new(),
                timings: Timings { start: Some(now), ..Timings::default() },
                error: None,
                conn: 0,
                remote: None,
                reused: false,
                retried: false,
            },
        })
    }

    fn origin(&self, plan: usize) -> Origin {
        let plan = &self.plans[plan];
        Origin { host: plan.host().to_owned(), port: plan.port() }
    }

    fn results_full(&self) -> bool {
        self.sender.as_ref().is_some_and(|s| s.len() >= RESULTS)
    }

    /// Begins requests as long as there are some and as many are allowed at a time.
    fn schedule(&mut self, now: Instant, stack: &mut Stack) {
        while self.has_next() && !self.results_full() && self.active < usize::from(self.config.parallel) {
            let Some(plan) = self.next_plan() else { break };
            let origin = self.origin(plan);
            let kept = self.take_idle(now, stack, &origin);
            let Some(job) = self.take_job(now) else { break };
            self.active += 1;
            match kept {
                Some(key) => {
                    self.conns[key].jobs.push_back(job);
                    self.begin(now, key);
                    self.turn_and_keep(now, stack, key);
                }
                None => self.open(now, stack, origin, job),
            }
        }
        self.look_again = (self.has_next() && self.results_full()).then(|| now + RETRY);
        if !self.has_next() && self.active == 0 {
            self.finish(now, stack);
        }
    }

    fn finish(&mut self, now: Instant, stack: &mut Stack) {
        // Nothing is in use any more, so these are the idle ones.
        for connection in self.conns.drain() {
            if let Some(id) = connection.id {
                stack.release(now, id);
            }
        }
        self.by_id.clear();
        self.by_query.clear();
        self.idle.clear();
        self.timers = Timers::default();
        self.sender = None;
    }

    /// An idle connection that can be used; those that cannot are let go.
    fn take_idle(&mut self, now: Instant, stack: &mut Stack, origin: &Origin) -> Option<usize> {
        while let Some(key) = self.idle.get_mut(origin).and_then(Vec::pop) {
            // What the server has sent meanwhile, such as its FIN, is only seen by reading.
            self.turn(now, stack, key);
            let Some(connection) = self.conns.get(key) else { continue };
            if connection.http.reusable_until(connection.rtt).is_some_and(|until| now < until) {
                return Some(key);
            }
            self.remove(now, stack, key);
        }
        None
    }

    fn hand_out(&self, fetched: Fetched) {
        if let Some(sender) = &self.sender {
            // `results_full` bounds how many wait. This side holds a receiver, so it cannot be disconnected.
            let _ = sender.send(fetched);
        }
    }

    /// Ends a connection and gives `error` to its oldest request. Those that may be sent again are (RFC 9110 §9.2.2:
    /// idempotent ones on a connection that had been kept, once); the others get the error too.
    fn fail(&mut self, now: Instant, stack: &mut Stack, key: usize, error: FetchError) {
        let jobs = std::mem::take(&mut self.conns[key].jobs);
        let kept = self.conns[key].http.answered() > 0;
        let gone = matches!(
            error,
            FetchError::Http(ClientError::NoAnswer)
                | FetchError::Stream(
                    StreamError::ConnectionReset | StreamError::BrokenPipe | StreamError::NotConnected
                )
        );
        let timings = self.conns[key].timings;
        for (n, mut job) in jobs.into_iter().enumerate() {
            self.active -= 1;
            let unheard = job.fetched.timings.first_byte.is_none() || (n > 0 && !job.answering);
            let idempotent = is_idempotent(&job.fetched.method);
            // A request behind a failed one was never begun with by the server: it may go again in any case.
            if unheard && idempotent && !job.fetched.retried && ((kept && gone) || n > 0) && !self.stopped {
                self.again.push_back(job.anew());
                continue;
            }
            if !job.fetched.reused {
                job.fetched.timings.name = timings.name;
                job.fetched.timings.port_wait = timings.port_wait;
                job.fetched.timings.connect_start = timings.connect_start;
                job.fetched.timings.established = timings.established;
            }
            job.fetched.conn = self.conns[key].number;
            job.fetched.remote = self.conns[key].remote;
            job.fetched.error.get_or_insert_with(|| error.clone());
            self.hand_out(job.fetched);
        }
        self.remove(now, stack, key);
    }

    fn remove(&mut self, now: Instant, stack: &mut Stack, key: usize) {
        let mut connection = self.conns.remove(key);
        self.timers.cancel(key, &mut connection.armed);
        if let Some(list) = self.idle.get_mut(&connection.origin) {
            list.retain(|&idle| idle != key);
        }
        if let Some(query) = connection.query {
            self.by_query.remove(&query);
        }
        if let Some(id) = connection.id {
            self.by_id.remove(&id);
            stack.release(now, id);
        }
    }

    fn arm(&mut self, now: Instant, key: usize) {
        let connection = &mut self.conns[key];
        let max_time = self.options.max_time.and_then(|max| {
            connection.jobs.front().and_then(|job| job.fetched.timings.start).map(|start| start + max)
        });
        let own = match connection.state {
            State::Resolving => None,
            State::NoPort { until, .. } => Some(until.min(now + RETRY)),
            State::Connecting { deadline } => deadline,
            State::Open => connection.http.next_deadline(),
        };
        let deadline = match (own, max_time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.timers.arm(key, deadline, &mut connection.armed);
    }

    fn due(&mut self, now: Instant, stack: &mut Stack) {
        while let Some(key) = self.timers.pop_due(now) {
            let Some(connection) = self.conns.get_mut(key) else { continue };
            connection.armed = None;
            let start = connection.jobs.front().and_then(|job| job.fetched.timings.start);
            let late = self.options.max_time.zip(start).is_some_and(|(max, start)| start + max <= now);
            if late {
                self.fail(now, stack, key, FetchError::MaxTime);
                continue;
            }
            match connection.state {
                State::NoPort { .. } => self.without_port(now, stack, key),
                State::Connecting { deadline: Some(at) } if at <= now => {
                    self.fail(now, stack, key, FetchError::ConnectTimedOut);
                }
                State::Resolving | State::Connecting { .. } => {
                    self.arm(now, key);
                }
                State::Open => {
                    connection.http.on_timeout(now);
                    self.turn_and_keep(now, stack, key);
                }
            }
        }
    }

    fn ready(&mut self, now: Instant, stack: &mut Stack, ready: Ready) {
        match ready {
            Ready::Accept(_) => {}
            Ready::Resolved(query) => {
                let Some(key) = self.by_query.remove(&query) else { return };
                let Some(answer) = stack.resolved(query) else { return };
                let Some(connection) = self.conns.get_mut(key) else { return };
                connection.query = None;
                connection.timings.name = Some(now);
                let port = connection.origin.port;
                match answer {
                    Ok(ips) => {
                        if let Host::Domain(name) = &connection.origin.host {
                            self.names.insert(name.clone(), ips.clone());
                        }
                        self.resolved(now, stack, key, &ips, port);
                    }
                    Err(e) => self.fail(now, stack, key, FetchError::Resolve(e)),
                }
            }
            Ready::Conn(id, event) => self.conn_ready(now, stack, id, event),
        }
    }
}

impl Job {
    /// The request as it was before it was sent, for its second and last time.
    fn anew(mut self) -> Job {
        let start = self.fetched.timings.start;
        self.fetched.timings = Timings { start, ..Timings::default() };
        self.fetched.retried = true;
        self.fetched.response = None;
        self.fetched.interims.clear();
        self.fetched.body.clear();
        self.fetched.body_len = 0;
        Job { body_at: 0, answering: false, ..self }
    }
}

impl Service for HttpClient {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        if self.is_done() {
            return;
        }
        self.started = true;
        while let Some(ready) = stack.ready(self.owner) {
            self.ready(now, stack, ready);
        }
        self.due(now, stack);
        self.schedule(now, stack);
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.is_done() {
            return None;
        }
        if !self.started {
            return Some(Instant::ZERO);
        }
        match (self.timers.next(), self.look_again) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        self.stopped = true;
        self.again.clear();
        self.poll(now, stack);
        self.is_done()
    }
}

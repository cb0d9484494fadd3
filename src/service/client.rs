//! How are many requests made? On the connections of a pool, as fast as it lets them or at a rate.

mod connect;
mod exchange;
mod farewell;
mod schedule;
mod tab;

use super::Service;
use super::plan::{BodySink, FetchError, Fetched, RequestPlan, Timings};
use super::pump::Scratch;
use crate::http::{
    ClientError, Config, Departed, Endpoint, Fields, Origin, OriginId, Pool, Rest, is_idempotent,
};
use crate::ledger::{Part, Parts};
use crate::stack::timers::Timers;
use crate::stack::{ConnId, Owner, QueryId, Ready, Stack};
use crate::stream::StreamError;
use crate::tcp::Opts;
use crate::time::{Duration, Instant};
use crossbeam_channel::{Receiver, Sender, unbounded};
use farewell::Farewells;
use schedule::Schedule;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tab::{Start, Tab};
use url::Host;

/// Results that wait to be taken; no request is begun while so many do.
const RESULTS: usize = 4096;
/// How often a full result queue, or a lack of ports, is looked at again.
const RETRY: Duration = Duration::from_millis(10);

/// Takes a result in the place of the channel.
pub type Observer = Box<dyn FnMut(Instant, Fetched) + Send>;

/// How requests are made.
pub struct ClientOptions {
    /// Keep-alive, pipelining, parallel connections and limits.
    pub http: Config,
    /// How often all plans are carried out.
    pub repeat: u64,
    /// At most so many requests under way at a time, to all origins together; `None` leaves it to the pool.
    pub at_once: Option<usize>,
    /// At most so many requests in all.
    pub limit: Option<u64>,
    /// After so long no further request is begun.
    pub duration: Option<Duration>,
    /// Requests in a second, each due at its own time whether or not those before it were answered; `None` begins each
    /// as soon as the pool has a place for it.
    pub rate: Option<f64>,
    /// Socket options of the connections; `None` takes the stack's, with what `http.nodelay` says.
    pub opts: Option<Opts>,
    /// The local address; `None` lets the stack choose.
    pub local: Option<SocketAddr>,
    /// Names whose addresses are known, looked at before the name servers.
    pub hosts: Vec<(String, IpAddr)>,
    /// Connects to this address whatever the URL says: one server under many names.
    pub connect_to: Option<SocketAddr>,
    /// Asks this proxy for everything, with the whole URL as each request's target (RFC 9112 §3.2.2).
    pub proxy: Option<Origin>,
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
    /// Whether each result tells how its connection was doing.
    pub tcp_info: bool,
    /// Who is told of each result at once, in the stack's thread, instead of [`HttpClient::results`].
    pub observer: Option<Observer>,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            http: Config::default(),
            repeat: 1,
            at_once: None,
            limit: None,
            duration: None,
            rate: None,
            opts: None,
            local: None,
            hosts: Vec::new(),
            connect_to: None,
            proxy: None,
            connect_timeout: None,
            max_time: None,
            port_wait: Duration::ZERO,
            keep_body: 16 << 20,
            sink: None,
            tcp_info: false,
            observer: None,
        }
    }
}

/// An HTTP/1.1 client that carries out a list of requests and hands out a [`Fetched`] for each.
///
/// Requests go on the connections of a [`Pool`]: at most `http.parallel` to an origin, idle ones first, and ahead of
/// responses where `http.pipeline` and RFC 9112 §9.3.2 allow it. What a kept connection leaves unanswered when it ends
/// is sent once more, in order and on a younger connection, if that is harmless (RFC 9110 §9.2.2).
pub struct HttpClient {
    owner: Owner,
    options: ClientOptions,
    plans: Vec<Prepared>,
    schedule: Schedule,
    /// Requests that wait for a connection, by origin.
    queues: Vec<Queue>,
    /// How many wait in all queues.
    queued: usize,
    /// Requests on a connection, or on the way to one.
    active: usize,
    stopped: bool,
    /// When to look again whether results were taken.
    look_again: Option<Instant>,
    pool: Pool<Connection>,
    by_id: HashMap<ConnId, usize>,
    by_query: HashMap<QueryId, usize>,
    farewells: Farewells,
    names: HashMap<String, Vec<IpAddr>>,
    timers: Timers,
    scratch: Scratch,
    body_scratch: Scratch,
    sender: Option<Sender<Fetched>>,
    results: Receiver<Fetched>,
}

/// A plan with what is the same each time it is carried out.
struct Prepared {
    plan: RequestPlan,
    origin: OriginId,
    url: Arc<str>,
    target: String,
    authority: String,
}

#[derive(Default)]
struct Queue {
    /// To be sent a second time; they go first.
    again: VecDeque<Job>,
    waiting: VecDeque<Job>,
}

/// One request on its way.
struct Job {
    /// Bytes of the request's body given to the connection.
    body_at: u64,
    expect: bool,
    /// Whether its answer is being read; then it cannot be sent again.
    answering: bool,
    /// For one that is sent again: the pool's births when the first time failed.
    not_before: Option<u64>,
    /// It goes ahead of no answer any more.
    alone: bool,
    /// Where its time on the connection begins.
    start: Option<Start>,
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
    state: State,
    /// Addresses that were not tried yet, the next one last.
    addresses: Vec<SocketAddr>,
    query: Option<QueryId>,
    id: Option<ConnId>,
    number: u32,
    remote: Option<SocketAddr>,
    timings: Timings,
    tab: Tab,
    eof_seen: bool,
    /// While it is idle: when it expires.
    expires: Option<Instant>,
    /// Oldest first; the last one's request may still be on its way.
    jobs: VecDeque<Job>,
}

impl HttpClient {
    /// A client for these requests, carried out in their order.
    pub fn new(owner: Owner, plans: Vec<RequestPlan>, options: ClientOptions) -> HttpClient {
        let (sender, results) = unbounded();
        let mut pool = Pool::new(Arc::new(options.http.clone()));
        let prepare = |plan: RequestPlan| {
            let named = || Origin { host: plan.host().to_owned(), port: plan.port() };
            let origin = pool.origin(options.proxy.clone().unwrap_or_else(named));
            let target = if options.proxy.is_some() { plan.absolute() } else { plan.target() };
            Prepared { origin, url: plan.url().into(), target, authority: plan.authority(), plan }
        };
        let plans: Vec<Prepared> = plans.into_iter().map(prepare).collect();
        HttpClient {
            owner,
            schedule: Schedule::new(plans.len(), &options),
            plans,
            queues: (0..pool.origins()).map(|_| Queue::default()).collect(),
            queued: 0,
            active: 0,
            stopped: false,
            look_again: None,
            pool,
            by_id: HashMap::new(),
            by_query: HashMap::new(),
            farewells: Farewells::default(),
            names: HashMap::new(),
            timers: Timers::default(),
            scratch: Scratch::new(),
            body_scratch: Scratch::new(),
            sender: Some(sender),
            results,
            options,
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

    /// Requests that fell due, by a rate or a duration, and were never begun.
    pub fn unbegun(&self) -> u64 {
        self.schedule.missed().len() as u64
    }

    /// How long each of those had waited when the time was over: each would have taken longer than that.
    pub fn waits_of_unbegun(&self) -> impl ExactSizeIterator<Item = Duration> + use<> {
        self.schedule.missed()
    }

    /// Whether another request may be begun beside those under way.
    fn may_begin(&self) -> bool {
        let many = self.options.at_once.is_some_and(|most| self.active + self.queued >= most);
        !self.stopped && !many && !self.results_full()
    }

    fn results_full(&self) -> bool {
        self.options.observer.is_none() && self.sender.as_ref().is_some_and(|s| s.len() >= RESULTS)
    }

    fn hand_out(&mut self, now: Instant, fetched: Fetched) {
        if let Some(sink) = &mut self.options.sink {
            sink.on_end(fetched.plan, fetched.round);
        }
        match (&mut self.options.observer, &self.sender) {
            (Some(observer), _) => observer(now, fetched),
            // `results_full` bounds how many wait. This side holds a receiver, so it cannot be disconnected.
            (None, Some(sender)) => drop(sender.send(fetched)),
            (None, None) => {}
        }
    }

    /// Ends a connection and gives `error` to its oldest request. Those that may be sent again are: what did not leave
    /// at all, and what is idempotent (RFC 9110 §9.2.2), if the connection ended before the head of its answer was
    /// complete (RFC 9112 §9.3.1, §8) or it was behind another request (RFC 9112 §9.3.2); each once, and one that went
    /// ahead of answers at its second time once more, alone. The others get the error too, with what is known of them.
    fn fail(&mut self, now: Instant, stack: &mut Stack, key: usize, error: FetchError) {
        let births = self.pool.births();
        let member = &mut self.pool[key];
        let (origin, connection) = (member.origin(), &mut member.extra);
        let ledger = connection.ledger(now, stack);
        let jobs = std::mem::take(&mut connection.jobs);
        let (number, remote, timings) = (connection.number, connection.remote, connection.timings);
        let tab = connection.tab;
        let info = connection.id.filter(|_| self.options.tcp_info).and_then(|id| stack.info(now, id));
        let open = matches!(connection.state, State::Open);
        let (heard, had_last) = (member.http.heard(), member.http.had_last());
        let gone = matches!(
            error,
            FetchError::Http(ClientError::NoAnswer | ClientError::Incomplete)
                | FetchError::Stream(
                    StreamError::ConnectionReset | StreamError::BrokenPipe | StreamError::NotConnected
                )
        );
        let departed: Vec<Departed> = (0..jobs.len()).map(|n| member.http.departed(n)).collect();
        for (n, mut job) in jobs.into_iter().enumerate() {
            self.active -= 1;
            job.fetched.departed = departed[n];
            if n == 0 && heard {
                // Of a pipelined response the first byte came with the one before.
                job.fetched.timings.first_byte.get_or_insert(now);
            }
            let unsent = open && departed[n] == Departed::Nothing;
            let harmless = unsent || is_idempotent(&job.fetched.method);
            // Behind a response that was the last by its own word nothing was processed: that is no second attempt. Nor
            // may one count that went ahead of answers to others.
            let ahead = job.fetched.pipelined && !job.alone;
            let first = !job.fetched.retried || had_last || ahead;
            job.alone |= job.fetched.retried && !had_last;
            let again = (harmless || had_last) && first && !job.answering && (gone || n > 0);
            if again && !self.stopped {
                self.queues[origin.index()].again.push_back(job.anew(births));
                self.queued += 1;
                continue;
            }
            if !job.fetched.reused {
                job.fetched.timings.name = timings.name;
                job.fetched.timings.port_wait = timings.port_wait;
                job.fetched.timings.connect_start = timings.connect_start;
                job.fetched.timings.established = timings.established;
            }
            job.fetched.ledger = tab.charge(now, &job, ledger, n > 0);
            job.fetched.tcp_info = info.map(Box::new);
            job.fetched.conn = number;
            job.fetched.remote = remote;
            let error = match &error {
                // Of the answers behind it nothing came.
                FetchError::Http(ClientError::Incomplete) if n > 0 => FetchError::Http(ClientError::NoAnswer),
                error => error.clone(),
            };
            job.fetched.error.get_or_insert(error);
            self.hand_out(now, job.fetched);
        }
        self.remove(now, stack, key);
    }

    /// Ends a connection as `http.farewell` says.
    fn remove(&mut self, now: Instant, stack: &mut Stack, key: usize) {
        let Some(member) = self.pool.remove(key) else { return };
        self.timers.remove(key as u32);
        if let Some(query) = member.extra.query {
            self.by_query.remove(&query);
        }
        if let Some(id) = member.extra.id {
            self.by_id.remove(&id);
            let http = &self.options.http;
            self.farewells.begin(now, stack, id, http.farewell, http.linger);
        }
    }

    /// A connection without requests waits for the next one, or ends, as one does whose last response said so (RFC 9112 §9.6).
    fn rest(&mut self, now: Instant, stack: &mut Stack, key: usize) {
        match self.pool.rest(now, key) {
            Rest::Until(until) => {
                self.pool[key].extra.expires = Some(until);
                self.arm(now, key);
                while let Some(oldest) = self.pool.surplus() {
                    self.remove(now, stack, oldest);
                }
            }
            Rest::Spent => self.remove(now, stack, key),
        }
    }

    fn arm(&mut self, now: Instant, key: usize) {
        let member = &mut self.pool[key];
        let connection = &mut member.extra;
        let max_time = self.options.max_time.and_then(|max| {
            connection.jobs.front().and_then(|job| job.fetched.timings.start).map(|start| start + max)
        });
        let own = match connection.state {
            State::Resolving => None,
            State::NoPort { until, .. } => Some(until.min(now + RETRY)),
            State::Connecting { deadline } => deadline,
            State::Open if connection.jobs.is_empty() => connection.expires,
            State::Open => member.http.next_deadline(),
        };
        let deadline = own.into_iter().chain(max_time).min();
        self.timers.set(key as u32, deadline);
    }

    fn due(&mut self, now: Instant, stack: &mut Stack) {
        while let Some(key) = self.timers.pop_due(now) {
            let key = key as usize;
            let Some(member) = self.pool.get_mut(key) else { continue };
            let connection = &mut member.extra;
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
                State::Resolving | State::Connecting { .. } => self.arm(now, key),
                State::Open => {
                    member.http.on_timeout(now);
                    self.turn(now, stack, key);
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
                let Some(member) = self.pool.get_mut(key) else { return };
                member.extra.query = None;
                member.extra.timings.name = Some(now);
                member.extra.tab.spend(Part::Name, now);
                let Origin { host, port } = self.pool.name(self.pool[key].origin()).clone();
                match answer {
                    Ok(ips) => {
                        self.resolved(now, stack, key, &ips, port);
                        if let Host::Domain(name) = host {
                            self.names.insert(name, ips);
                        }
                    }
                    Err(e) => self.fail(now, stack, key, FetchError::Resolve(e)),
                }
            }
            Ready::Conn(id, event) if self.farewells.owns(id) => self.farewells.ready(now, stack, id, event),
            Ready::Conn(id, event) => self.conn_ready(now, stack, id, event),
        }
    }

    fn finish(&mut self, now: Instant, stack: &mut Stack) {
        // Nothing is in use any more, so these are the idle ones.
        for key in self.pool.keys() {
            self.remove(now, stack, key);
        }
        if self.farewells.is_empty() {
            self.sender = None;
        }
    }
}

impl Job {
    /// A request whose turn has come.
    fn new(now: Instant, ready: Instant, place: (usize, u64), request: &Prepared) -> Job {
        Job {
            body_at: 0,
            expect: request.plan.expect_continue,
            answering: false,
            not_before: None,
            alone: false,
            start: None,
            fetched: Fetched {
                plan: place.0,
                round: u32::try_from(place.1).unwrap_or(u32::MAX),
                url: request.url.clone(),
                method: request.plan.method.clone(),
                response: None,
                interims: Vec::new(),
                body: Vec::new(),
                body_len: 0,
                trailers: Fields::new(),
                timings: Timings { ready: Some(ready), start: Some(now), ..Timings::default() },
                ledger: Parts::default(),
                tcp_info: None,
                error: None,
                conn: 0,
                remote: None,
                reused: false,
                retried: false,
                pipelined: false,
                departed: Departed::Nothing,
            },
        }
    }

    fn takes_its_turn(&mut self, now: Instant) {
        match self.not_before {
            None => self.fetched.timings.start = Some(now),
            Some(_) => self.fetched.timings.again = Some(now),
        }
    }

    /// The request as it was before it was sent, for its next time.
    fn anew(mut self, births: u64) -> Job {
        let Timings { ready, start, .. } = self.fetched.timings;
        self.fetched.timings = Timings { ready, start, ..Timings::default() };
        self.fetched.retried = true;
        self.fetched.pipelined = false;
        self.fetched.response = None;
        self.fetched.interims.clear();
        self.fetched.body.clear();
        self.fetched.body_len = 0;
        Job { body_at: 0, answering: false, not_before: Some(births), start: None, ..self }
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
        self.schedule.start(now);
        while let Some(ready) = stack.ready(self.owner) {
            self.ready(now, stack, ready);
        }
        self.due(now, stack);
        self.farewells.due(now, stack);
        self.place_all(now, stack);
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.is_done() {
            return None;
        }
        if !self.schedule.has_started() {
            return Some(Instant::ZERO);
        }
        [self.timers.first(), self.look_again, self.farewells.next()].into_iter().flatten().min()
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        if !self.stopped {
            self.stopped = true;
            self.give_up_waiting(now);
        }
        self.poll(now, stack);
        self.is_done()
    }
}

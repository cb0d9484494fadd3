//! How does a request get its connection? Names, addresses, ports and the handshake.

use super::super::plan::{FetchError, Timings};
use super::super::socket_options;
use super::{Connection, HttpClient, Job, Start, State, Tab};
use crate::http::{Origin, OriginId, Place};
use crate::ledger::Part;
use crate::stack::{ConnId, ResolveError, Stack, StackError};
use crate::stream::StreamError;
use crate::tcp;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use url::Host;

impl HttpClient {
    /// Begins a connection for a request.
    pub(super) fn open(&mut self, now: Instant, stack: &mut Stack, origin: OriginId, mut job: Job) {
        job.start = Some(Start::opening(now));
        let Origin { host, port } = self.pool.name(origin).clone();
        let mut port = port;
        let known = match (&host, self.options.connect_to) {
            (_, Some(to)) => {
                port = to.port();
                Some(vec![to.ip()])
            }
            (Host::Ipv4(ip), None) => Some(vec![IpAddr::V4(*ip)]),
            (Host::Ipv6(ip), None) => Some(vec![IpAddr::V6(*ip)]),
            (Host::Domain(name), None) => {
                let listed = self.options.hosts.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
                let listed: Vec<IpAddr> = listed.map(|(_, ip)| *ip).collect();
                if listed.is_empty() { self.names.get(name).cloned() } else { Some(listed) }
            }
        };
        let key = self.pool.insert(
            now,
            origin,
            Connection {
                state: State::Resolving,
                addresses: Vec::new(),
                query: None,
                id: None,
                number: 0,
                remote: None,
                timings: Timings::default(),
                tab: Tab::new(now),
                eof_seen: false,
                expires: None,
                jobs: VecDeque::from([job]),
            },
        );
        match (known, host) {
            (Some(ips), _) => self.resolved(now, stack, key, &ips, port),
            (None, host) => match stack.resolve(now, &host.to_string(), self.owner) {
                Ok(query) => {
                    self.by_query.insert(query, key);
                    self.pool[key].extra.query = Some(query);
                    self.arm(now, key);
                }
                Err(e) => self.fail(now, stack, key, FetchError::Resolve(e)),
            },
        }
    }

    /// The addresses are known: they are tried in their order.
    pub(super) fn resolved(
        &mut self,
        now: Instant,
        stack: &mut Stack,
        key: usize,
        ips: &[IpAddr],
        port: u16,
    ) {
        self.pool[key].extra.addresses = ips.iter().rev().map(|ip| SocketAddr::new(*ip, port)).collect();
        self.connect(now, stack, key, FetchError::Resolve(ResolveError::NotFound));
    }

    /// Tries the next address; without one, `error` is what came of the last.
    fn connect(&mut self, now: Instant, stack: &mut Stack, key: usize, error: FetchError) {
        let opts = self.options.opts.or_else(|| socket_options(stack, &self.options.http));
        let connection = &mut self.pool[key].extra;
        let mut error = error;
        while let Some(remote) = connection.addresses.pop() {
            match stack.connect(now, remote, self.options.local, opts, self.owner) {
                Ok(id) => {
                    if let State::NoPort { since, .. } = connection.state {
                        connection.timings.port_wait = now.since(since);
                        connection.tab.spend(Part::PortWait, now);
                    }
                    connection.id = Some(id);
                    connection.number = stack.number_of(id).unwrap_or(0);
                    connection.remote = Some(remote);
                    connection.timings.connect_start = Some(now);
                    let deadline = self.options.connect_timeout.map(|d| now + d);
                    connection.state = State::Connecting { deadline };
                    self.by_id.insert(id, key);
                    return self.arm(now, key);
                }
                Err(e @ StackError::AddrNotAvailable { .. }) => {
                    let (since, until) = match connection.state {
                        State::NoPort { since, until } => (since, until),
                        _ => (now, now + self.options.port_wait),
                    };
                    if now < until {
                        connection.addresses.push(remote);
                        connection.state = State::NoPort { until, since };
                        return self.arm(now, key);
                    }
                    error = FetchError::Stack(e);
                }
                Err(e) => error = FetchError::Stack(e),
            }
        }
        self.fail(now, stack, key, error);
    }

    /// Tries again to connect, unless a connection has become idle meanwhile.
    pub(super) fn without_port(&mut self, now: Instant, stack: &mut Stack, key: usize) {
        let origin = self.pool[key].origin();
        let Place::On(kept) = self.pool.place(origin, None) else {
            return self.connect(now, stack, key, FetchError::ConnectTimedOut);
        };
        // What the server has sent meanwhile, such as its FIN, is only seen by reading.
        self.turn(now, stack, kept);
        if self.pool.get(kept).is_none() {
            return self.connect(now, stack, key, FetchError::ConnectTimedOut);
        }
        let mut jobs = std::mem::take(&mut self.pool[key].extra.jobs);
        jobs.iter_mut().for_each(|job| job.start = None);
        self.remove(now, stack, key);
        self.pool.busy(kept);
        self.pool[kept].extra.jobs.extend(jobs);
        self.begin(now, kept);
        self.turn(now, stack, kept);
    }

    pub(super) fn conn_ready(&mut self, now: Instant, stack: &mut Stack, id: ConnId, event: tcp::Event) {
        let Some(&key) = self.by_id.get(&id) else { return };
        let member = &mut self.pool[key];
        let connection = &mut member.extra;
        if let State::Connecting { .. } = connection.state {
            match event {
                tcp::Event::Established => {
                    connection.state = State::Open;
                    connection.timings.established = Some(now);
                    member.rtt =
                        connection.timings.connect_start.map_or(Duration::ZERO, |start| now.since(start));
                    self.begin(now, key);
                }
                tcp::Event::Closed(reason) => {
                    self.by_id.remove(&id);
                    connection.id = None;
                    let why = stack.conn(id).and_then(tcp::Conn::error).unwrap_or(match reason {
                        tcp::CloseReason::Refused => StreamError::ConnectionRefused,
                        tcp::CloseReason::Reset => StreamError::ConnectionReset,
                        tcp::CloseReason::TimedOut => StreamError::TimedOut,
                        tcp::CloseReason::Unreachable => StreamError::HostUnreachable,
                        tcp::CloseReason::Normal | tcp::CloseReason::Aborted => {
                            StreamError::ConnectionAborted
                        }
                    });
                    connection.tab.spent(stack.cut_ledger(now, id), now);
                    stack.release(now, id);
                    return self.connect(now, stack, key, FetchError::Connect(why));
                }
                tcp::Event::Readable | tcp::Event::Writable | tcp::Event::AllAcked => return,
            }
        }
        self.turn(now, stack, key);
    }
}

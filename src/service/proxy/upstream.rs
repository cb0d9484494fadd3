//! How does a proxy get to a server? Name, addresses and handshake, once more for each connection.

use super::Cx;
use crate::http::Origin;
use crate::service::socket_options;
use crate::stack::{ConnId, QueryId, ResolveError, Stream};
use crate::stream::ByteStream;
use crate::tcp;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};
use url::Host;

/// Why a server cannot be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unreachable {
    /// Its name has no address.
    Name,
    /// It refused, or there is no way to it.
    Refused,
    /// Nobody answered in time.
    TimedOut,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    Resolving(QueryId),
    Connecting(ConnId),
    Open(ConnId),
    Failed(Unreachable),
}

/// The connection behind a proxy, or the way to it.
#[derive(Default)]
pub(super) struct Upstream {
    origin: Option<Origin>,
    state: State,
    /// Addresses that were not tried yet, the next one last.
    addresses: Vec<IpAddr>,
    begun: Instant,
    deadline: Option<Instant>,
    /// The time that the handshake took.
    pub rtt: Duration,
    pub eof: bool,
}

impl Upstream {
    /// Whether it leads, or will lead, to that origin.
    pub fn leads_to(&self, origin: &Origin) -> bool {
        !matches!(self.state, State::None | State::Failed(_)) && self.origin.as_ref() == Some(origin)
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub fn failed(&self) -> Option<Unreachable> {
        match self.state {
            State::Failed(why) => Some(why),
            _ => None,
        }
    }

    /// What the stack's events about it name.
    pub fn handles(&self) -> (Option<ConnId>, Option<QueryId>) {
        match self.state {
            State::Connecting(id) | State::Open(id) => (Some(id), None),
            State::Resolving(query) => (None, Some(query)),
            State::None | State::Failed(_) => (None, None),
        }
    }

    /// Until when it must be open.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub fn stream<'a>(&self, cx: &'a mut Cx<'_>) -> Option<Stream<'a>> {
        match self.state {
            State::Open(id) => Some(cx.stack.stream(cx.now, id)),
            _ => None,
        }
    }

    /// Begins a connection in the place of what there was.
    pub fn open(&mut self, cx: &mut Cx, origin: Origin) {
        self.close(cx);
        cx.totals.upstreams += 1;
        self.deadline = Some(cx.now + cx.options.connect_timeout);
        let known = match &origin.host {
            Host::Ipv4(ip) => Some(vec![IpAddr::V4(*ip)]),
            Host::Ipv6(ip) => Some(vec![IpAddr::V6(*ip)]),
            Host::Domain(name) => {
                let listed = cx.options.hosts.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
                Some(listed.map(|(_, ip)| *ip).collect::<Vec<_>>()).filter(|listed| !listed.is_empty())
            }
        };
        let name = origin.host.to_string();
        self.origin = Some(origin);
        match known {
            Some(ips) => self.resolved(cx, Ok(ips)),
            None => match cx.stack.resolve(cx.now, &name, cx.owner) {
                Ok(query) => self.state = State::Resolving(query),
                Err(e) => self.resolved(cx, Err(e)),
            },
        }
    }

    /// The name has, or has no, addresses.
    pub fn resolved(&mut self, cx: &mut Cx, answer: Result<Vec<IpAddr>, ResolveError>) {
        match answer {
            Ok(mut ips) => {
                ips.reverse();
                self.addresses = ips;
                self.connect(cx, Unreachable::Name);
            }
            Err(ResolveError::TimedOut) => self.fail(Unreachable::TimedOut),
            Err(_) => self.fail(Unreachable::Name),
        }
    }

    fn connect(&mut self, cx: &mut Cx, mut why: Unreachable) {
        let port = self.origin.as_ref().map_or(80, |origin| origin.port);
        while let Some(ip) = self.addresses.pop() {
            let opts = socket_options(cx.stack, cx.http);
            match cx.stack.connect(cx.now, SocketAddr::new(ip, port), None, opts, cx.owner) {
                Ok(id) => {
                    self.begun = cx.now;
                    self.state = State::Connecting(id);
                    return;
                }
                Err(_) => why = Unreachable::Refused,
            }
        }
        self.fail(why);
    }

    fn fail(&mut self, why: Unreachable) {
        self.state = State::Failed(why);
        self.deadline = None;
    }

    /// Something happened on its connection.
    pub fn event(&mut self, cx: &mut Cx, event: tcp::Event) {
        let State::Connecting(id) = self.state else { return };
        match event {
            tcp::Event::Established => {
                self.rtt = cx.now.since(self.begun);
                self.state = State::Open(id);
                self.deadline = None;
            }
            tcp::Event::Closed(reason) => {
                cx.stack.release(cx.now, id);
                self.connect(
                    cx,
                    match reason {
                        tcp::CloseReason::TimedOut => Unreachable::TimedOut,
                        _ => Unreachable::Refused,
                    },
                );
            }
            tcp::Event::Readable | tcp::Event::Writable | tcp::Event::AllAcked => {}
        }
    }

    /// Gives up a name or a handshake that has taken too long.
    pub fn give_up(&mut self, cx: &mut Cx) {
        if self.deadline.is_some_and(|at| at <= cx.now) {
            self.close(cx);
            self.fail(Unreachable::TimedOut);
        }
    }

    /// Lets go of it.
    pub fn close(&mut self, cx: &mut Cx) {
        if let (Some(id), _) = self.handles() {
            cx.stack.release(cx.now, id);
        }
        *self = Upstream::default();
    }

    /// Ends it with a RST: what it carries is of no use.
    pub fn abort(&mut self, cx: &mut Cx) {
        if let Some(mut stream) = self.stream(cx) {
            stream.abort();
        }
        self.close(cx);
    }
}

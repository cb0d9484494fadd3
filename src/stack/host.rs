//! What does a host do besides TCP? It answers pings, asks name servers and puts fragments together.

use super::addrs::Flow;
use super::icmp::UDP;
use super::queue_device::{Popped, QueueDevice};
use super::{Owner, QueryId, ResolveError};
use crate::time::{Duration, Instant};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::{dns, raw};
use smoltcp::wire::{DnsQueryType, HardwareAddress, IpAddress, IpCidr, IpProtocol, IpVersion};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The largest IP packet.
const MAX_PACKET: usize = 65_535;
/// Packets that may wait for the device: more than the fragments of the largest one on the smallest MTU.
const QUEUE: usize = 256;
/// Outgoing slots that must be free before another packet is looked at: what it may be answered with.
const ANSWER: usize = 128;
/// Linux' net.ipv4.ipfrag_time; there are 16 places for packets in pieces, and no other way to leave one.
const REASSEMBLY: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(30);
/// How long a name server has for its answer before the next one is asked, how often each is, and how many there are:
/// what resolv.conf(5) says where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 2;
const SERVERS: usize = 3;
/// Where name servers listen.
const DNS_PORT: u16 = 53;
/// So many questions are known by the port they left from.
const ASKED_MAX: usize = 64;
/// Addresses that smoltcp's interface has room for.
const MAX_ADDRS: usize = 8;

/// smoltcp's interface on a pair of queues. It never sees a whole TCP packet.
pub(super) struct Host {
    iface: Box<Interface>,
    sockets: SocketSet<'static>,
    raw: SocketHandle,
    /// One for each name server: questions go to one at a time.
    dns: Vec<SocketHandle>,
    servers: Vec<IpAddr>,
    /// The servers that were asked lately, and from which port: who does not know it cannot say that nobody listens.
    asked: VecDeque<(IpAddr, u16)>,
    device: QueueDevice,
    queries: BTreeMap<u32, Query>,
    next_query: u32,
    deadline: Option<Instant>,
}

struct Query {
    owner: Owner,
    name: String,
    /// Servers that were asked, the one that is being asked included; and until when it has time.
    asked: usize,
    until: Instant,
    /// A and AAAA, while they are under way.
    pending: [Option<dns::QueryHandle>; 2],
    found: Vec<IpAddr>,
    timed_out: bool,
    /// Nobody listens at the server that was asked last.
    refused: bool,
    told: bool,
}

/// What is asked of a name.
const KINDS: [DnsQueryType; 2] = [DnsQueryType::A, DnsQueryType::Aaaa];

impl Query {
    /// Which of `servers` is being asked.
    fn server(&self, servers: usize) -> usize {
        (self.asked - 1) % servers.max(1)
    }

    fn is_done(&self) -> bool {
        self.pending.iter().all(Option::is_none)
    }
}

impl Host {
    pub fn new(config: &super::Config, seed: u64) -> Host {
        let mut device = QueueDevice::new(config.mtu, QUEUE);
        let mut settings = Config::new(HardwareAddress::Ip);
        settings.random_seed = seed;
        let mut iface = Box::new(Interface::new(settings, &mut device, smoltcp::time::Instant::ZERO));
        let usable = config.addrs.iter().filter(|(ip, _)| IpAddress::from(*ip).is_unicast());
        iface.update_ip_addrs(|addrs| {
            for &(ip, prefix) in usable.take(MAX_ADDRS) {
                let longest = if ip.is_ipv4() { 32 } else { 128 };
                let _ = addrs.push(IpCidr::new(ip.into(), prefix.min(longest)));
            }
        });
        for gateway in &config.gateways {
            // Room for one of each family; the link has no other neighbours, so a route changes nothing but the
            // choice of a source address.
            let _ = match *gateway {
                IpAddr::V4(v4) => iface.routes_mut().add_default_ipv4_route(v4),
                IpAddr::V6(v6) => iface.routes_mut().add_default_ipv6_route(v6),
            };
        }
        iface.set_reassembly_timeout(REASSEMBLY);
        // One packet at a time: it is taken out as soon as its last fragment is in.
        let inbox = raw::PacketBuffer::new(vec![raw::PacketMetadata::EMPTY; 2], vec![0; MAX_PACKET]);
        let no_outbox = raw::PacketBuffer::new(vec![], vec![]);
        let mut sockets = SocketSet::new(vec![]);
        let raw =
            sockets.add(raw::Socket::new(Some(IpVersion::Ipv4), Some(IpProtocol::Tcp), inbox, no_outbox));
        let reachable =
            |server: &&IpAddr| config.addrs.iter().any(|(own, _)| own.is_ipv4() == server.is_ipv4());
        let servers: Vec<IpAddr> = config.dns.iter().filter(reachable).take(SERVERS).copied().collect();
        let one = |ip: &IpAddr| sockets.add(dns::Socket::new(&[IpAddress::from(*ip)], vec![]));
        let dns = servers.iter().map(one).collect();
        let (asked, queries) = (VecDeque::new(), BTreeMap::new());
        Host { iface, sockets, raw, dns, servers, asked, device, queries, next_query: 0, deadline: None }
    }

    /// Another server to ask, unless there are enough; not while names are looked up.
    pub fn add_server(&mut self, server: IpAddr) {
        let reachable =
            self.iface.ip_addrs().iter().any(|own| IpAddr::from(own.address()).is_ipv4() == server.is_ipv4());
        if reachable && self.servers.len() < SERVERS && self.queries.is_empty() {
            self.servers.push(server);
            self.dns.push(self.sockets.add(dns::Socket::new(&[IpAddress::from(server)], vec![])));
        }
    }

    /// A packet that is not TCP, or a fragment. False if there is no room for what it may be answered with.
    pub fn on_packet(&mut self, now: Instant, frame: &[u8]) -> bool {
        if self.device.room() < ANSWER || !self.device.push(frame) {
            return false;
        }
        self.iface.poll_ingress_single(now.into(), &mut self.device, &mut self.sockets);
        self.run(now, false);
        true
    }

    /// A TCP packet that the last fragment completed: `packet` becomes its bytes. Its header is a new one: DSCP, ECN
    /// and identification of the fragments are lost.
    pub fn reassembled(&mut self, packet: &mut Vec<u8>) -> bool {
        let Ok(bytes) = self.sockets.get_mut::<raw::Socket>(self.raw).recv() else { return false };
        packet.clear();
        packet.extend_from_slice(bytes);
        true
    }

    /// Repeats questions, gives up on them, forgets fragments.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|at| at <= now) {
            self.run(now, true);
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        // Blocked by the device: what is due comes when it has room.
        if self.device.room() == 0 { None } else { self.deadline }
    }

    /// Takes a packet to send.
    pub fn pop(&mut self, now: Instant, frame: &mut Vec<u8>) -> Option<Popped> {
        let popped = self.device.pop(frame);
        if let Some(question) = popped.and_then(|_| question(frame)) {
            if self.asked.len() >= ASKED_MAX {
                self.asked.pop_front();
            }
            self.asked.push_back(question);
        }
        if popped.is_some() && self.deadline.is_some_and(|at| at <= now) {
            self.run(now, true);
        }
        popped
    }

    /// Nobody listens for what was sent on that flow: those who wait for this server ask the next one now, as they do
    /// when it is silent. False if it was no question of ours.
    pub fn on_refused(&mut self, now: Instant, flow: &Flow) -> bool {
        let (server, port) = (flow.remote().ip(), flow.local().port());
        if flow.remote().port() != DNS_PORT || !self.asked.contains(&(server, port)) {
            return false;
        }
        // The questions that they asked there matter no more, and the next ones leave from other ports.
        self.asked.retain(|asked| asked.0 != server);
        let servers = &self.servers;
        let waiting = self.queries.values_mut().filter(|query| !query.is_done());
        for query in waiting.filter(|query| servers.get(query.server(servers.len())) == Some(&server)) {
            (query.until, query.refused) = (now, true);
        }
        self.run(now, false);
        true
    }

    pub fn has_output(&self) -> bool {
        self.device.outgoing() > 0
    }

    /// Sends what there is room for and collects answers.
    fn run(&mut self, now: Instant, by_timer: bool) {
        self.ask_others(now);
        self.iface.poll_maintenance(now.into());
        // Each round sends a packet or a fragment; the queue's room bounds them.
        for _ in 0..QUEUE {
            self.iface.poll_egress(now.into(), &mut self.device, &mut self.sockets);
            let at = self.iface.poll_at(now.into(), &self.sockets);
            self.deadline = at.map(|at| Instant::from_micros(at.total_micros().max(0) as u64));
            if self.device.room() == 0 || self.deadline.is_none_or(|at| at > now) {
                break;
            }
        }
        // smoltcp fails a query without saying why: by an answer, or for want of one.
        for query in self.queries.values_mut().filter(|query| !query.is_done()) {
            let socket = self.sockets.get_mut::<dns::Socket>(self.dns[query.server(self.dns.len())]);
            for slot in &mut query.pending {
                let Some(handle) = *slot else { continue };
                match socket.get_query_result(handle) {
                    Ok(addresses) => query.found.extend(addresses.iter().map(|&a| IpAddr::from(a))),
                    Err(dns::GetQueryResultError::Pending) => continue,
                    Err(dns::GetQueryResultError::Failed) => query.timed_out |= by_timer,
                }
                *slot = None;
            }
        }
        let waits = self.queries.values().filter(|query| !query.is_done()).map(|query| query.until);
        self.deadline = self.deadline.into_iter().chain(waits).min();
        if self.queries.values().all(Query::is_done) {
            self.asked.clear();
        }
    }

    /// Asks the next server what the one before did not answer in time.
    fn ask_others(&mut self, now: Instant) {
        let servers = self.dns.len();
        for query in self.queries.values_mut().filter(|query| !query.is_done() && query.until <= now) {
            let before = self.dns[query.server(servers)];
            let refused = std::mem::take(&mut query.refused);
            query.asked += 1;
            query.until = now + PATIENCE;
            let after = self.dns[query.server(servers)];
            for (slot, kind) in query.pending.iter_mut().zip(KINDS) {
                let Some(handle) = slot.take() else { continue };
                self.sockets.get_mut::<dns::Socket>(before).cancel_query(handle);
                if query.asked > servers * ATTEMPTS {
                    (query.timed_out, query.refused) = (!refused, refused);
                    continue;
                }
                let socket = self.sockets.get_mut::<dns::Socket>(after);
                *slot = socket.start_query(self.iface.context(), &query.name, kind).ok();
            }
        }
    }

    /// Asks for both families of addresses of `name`; a literal address is its own answer.
    pub fn resolve(&mut self, now: Instant, name: &str, owner: Owner) -> Result<QueryId, ResolveError> {
        let mut query = Query {
            owner,
            name: name.to_owned(),
            asked: 1,
            until: now + PATIENCE,
            pending: [None; 2],
            found: vec![],
            timed_out: false,
            refused: false,
            told: false,
        };
        if let Ok(ip) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            query.found.push(ip);
        } else {
            let first = *self.dns.first().ok_or(ResolveError::NoServer)?;
            let socket = self.sockets.get_mut::<dns::Socket>(first);
            for (slot, kind) in query.pending.iter_mut().zip(KINDS) {
                match socket.start_query(self.iface.context(), name, kind) {
                    Ok(handle) => *slot = Some(handle),
                    Err(_) => return Err(ResolveError::InvalidName),
                }
            }
        }
        let id = self.next_query;
        self.next_query += 1;
        self.queries.insert(id, query);
        self.run(now, false);
        Ok(QueryId(id))
    }

    /// A query that has ended and whose owner was not told yet; calling this says that it is.
    pub fn finished(&mut self) -> Option<(QueryId, Owner)> {
        let (&id, query) = self.queries.iter_mut().find(|(_, query)| query.is_done() && !query.told)?;
        query.told = true;
        Some((QueryId(id), query.owner))
    }

    /// The answer of a query, once; None while it is under way, or taken already.
    pub fn resolved(&mut self, id: QueryId) -> Option<Result<Vec<IpAddr>, ResolveError>> {
        let query = self.queries.get(&id.0).filter(|q| q.is_done())?;
        let answer = match (query.found.is_empty(), query.timed_out) {
            (false, _) => Ok(query.found.clone()),
            (true, true) => Err(ResolveError::TimedOut),
            (true, false) if query.refused => Err(ResolveError::Refused),
            (true, false) => Err(ResolveError::NotFound),
        };
        self.queries.remove(&id.0);
        Some(answer)
    }
}

/// Whom a packet of ours asks, and from which port, if it is a question to a name server.
fn question(packet: &[u8]) -> Option<(IpAddr, u16)> {
    let (protocol, server, udp) = match packet.first()? >> 4 {
        4 => {
            let server: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            (packet.get(9)?, Ipv4Addr::from(server).into(), packet.get(usize::from(packet[0] & 0x0f) * 4..)?)
        }
        6 => {
            let server: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            (packet.get(6)?, Ipv6Addr::from(server).into(), packet.get(40..)?)
        }
        _ => return None,
    };
    let &[s0, s1, d0, d1, ..] = udp else { return None };
    let asks = *protocol == UDP && u16::from_be_bytes([d0, d1]) == DNS_PORT;
    asks.then_some((server, u16::from_be_bytes([s0, s1])))
}

/// Whether an IPv4 fragment fits into a packet: what does not (the "ping of death") must not be put together.
pub(super) fn is_sane_fragment(frame: &[u8]) -> bool {
    let [first, _, t0, t1, _, _, f0, f1, ..] = *frame else { return false };
    let header = usize::from(first & 0x0f) * 4;
    let Some(payload) = usize::from(u16::from_be_bytes([t0, t1])).checked_sub(header) else { return false };
    let field = u16::from_be_bytes([f0, f1]);
    let (more, offset) = (field & 0x2000 != 0, usize::from(field & 0x1fff) * 8);
    first >> 4 == 4 && payload > 0 && (!more || payload % 8 == 0) && 60 + offset + payload <= MAX_PACKET
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn only_who_knows_the_port_of_a_question_can_say_that_nobody_listens() {
        let (us, server): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 53].into());
        let (tcp, addrs, dns) = (crate::tcp::Config::linux(), vec![(us, 24)], vec![server]);
        let config = crate::stack::Config { tcp, addrs, gateways: vec![], mtu: 1500, seed: 1, dns };
        let mut host = Host::new(&config, 1);
        let (now, mut frame) = (Instant::from_micros(1_000_000), Vec::new());
        let id = host.resolve(now, "glass.test", Owner(1)).unwrap();
        for attempt in 1..=ATTEMPTS {
            let mut ports = Vec::new();
            while host.pop(now, &mut frame).is_some() {
                let (asked, port) = question(&frame).unwrap();
                assert_eq!(asked, server);
                ports.push(port);
            }
            assert_eq!(ports.len(), KINDS.len(), "attempt {attempt}");
            let flow = |port, to| Flow::new(SocketAddr::new(us, port), SocketAddr::new(server, to));
            let wrong = (1024..).find(|port| !ports.contains(port)).unwrap();
            for forged in [flow(wrong, DNS_PORT), flow(ports[0], 54)] {
                assert!(!host.on_refused(now, &forged) && host.finished().is_none());
            }
            assert!(host.on_refused(now, &flow(ports[0], DNS_PORT)));
            assert!(!host.on_refused(now, &flow(ports[1], DNS_PORT)), "of an attempt that is over");
        }
        assert_eq!(host.finished(), Some((id, Owner(1))));
        assert_eq!(host.resolved(id), Some(Err(ResolveError::Refused)));
        assert!(host.asked.is_empty());
    }
}

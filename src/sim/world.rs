//! What happens next? Hosts on links in virtual time, one event after the other, the same each time.

use super::hash::Hash;
use super::host::{Host, host_config};
use super::incident::Incident;
use super::invariants::Monitor;
use super::link::{Dropped, LinkConfig, Totals};
use super::links::{Links, Path};
use super::name_server::NameServer;
use super::node::{HostId, NameServerId, Node, NodeId, ReferenceId, Slot};
use super::reference::Reference;
use super::rng::Rng;
use super::task::{Common, Place};
use super::too_big;
use super::travels::Travels;
use crate::segment::{Flags, Segment};
use crate::service::Service;
use crate::stack::{self, Owner, Stack};
use crate::tcp;
use crate::time::{Duration, Instant};
use crate::trace::{Direction, EventKind, EventRecord, Record, Tracer};
use crate::wire::{self, Decoded, Joiner};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// A network in virtual time.
///
/// Every pair of hosts has a link of its own, and a packet goes to the host that has its destination address. Nothing
/// happens between events, and events of one time happen in the order in which they were arranged: the same seed and
/// the same calls give the same packets at the same nanoseconds.
pub struct World {
    now: Instant,
    seed: u64,
    nodes: Vec<Slot>,
    /// Who has which address.
    routes: BTreeMap<IpAddr, u16>,
    /// Those whom the caller may have changed: they get a turn before time goes on.
    touched: Vec<u16>,
    links: Links,
    agenda: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    arranged: u64,
    hash: Hash,
    packets: u64,
    unroutable: u64,
    /// Events since time last went on.
    standstill: u32,
    travels: Travels,
    monitor: Option<Monitor>,
    /// What tasks share, and the addresses of name servers.
    tasks: Arc<Common>,
    name_servers: Vec<IpAddr>,
    /// A packet that arrives, one that leaves, and a piece of that.
    incoming: Vec<u8>,
    joiner: Joiner,
    outgoing: Vec<u8>,
    scratch: Vec<u8>,
}

/// So many events at one time are no coincidence: time will never go on.
const STANDSTILL_MAX: u32 = 20_000_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Link(u32),
    Node(u16),
}

impl World {
    /// An empty network. Hosts are joined by links like `link` unless [`World::set_link`] says otherwise; all chance
    /// follows from `seed`.
    pub fn new(seed: u64, link: LinkConfig) -> World {
        World {
            now: Instant::ZERO,
            seed,
            nodes: Vec::new(),
            routes: BTreeMap::new(),
            touched: Vec::new(),
            links: Links::new(link, seed),
            agenda: BinaryHeap::new(),
            arranged: 0,
            hash: Hash::new(),
            packets: 0,
            unroutable: 0,
            standstill: 0,
            travels: Travels::default(),
            tasks: Arc::default(),
            name_servers: Vec::new(),
            monitor: cfg!(debug_assertions).then(Monitor::default),
            incoming: Vec::new(),
            joiner: Joiner::default(),
            outgoing: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Switches the checks of TCP's invariants on or off: after each packet of a host they are verified, and a
    /// violation panics with the time and the seed. On by default in debug builds.
    pub fn check_invariants(&mut self, on: bool) {
        self.monitor = on.then(Monitor::default);
    }

    /// Adds a host. Its stack's seed is mixed with the world's, so that one number repeats everything.
    ///
    /// # Panics
    /// When another host has one of its addresses.
    pub fn add_host(&mut self, name: &str, mut config: stack::Config, tracer: Tracer) -> HostId {
        config.seed = Rng::new(self.seed ^ config.seed, self.nodes.len() as u64).next_u64();
        if config.dns.is_empty() {
            config.dns.clone_from(&self.name_servers);
        }
        let addrs: Vec<IpAddr> = config.addrs.iter().map(|&(addr, _)| addr).collect();
        let local = addrs.first().copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let mut hosts = self.tasks.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(name.to_ascii_lowercase()).or_default().extend(&addrs);
        drop(hosts);
        let place = Place { name: name.into(), local, common: self.tasks.clone(), chores: Mutex::default() };
        let mtu = config.mtu;
        let host = Host::new(Arc::new(place), Stack::new(config, tracer));
        HostId(self.add_node(Node::Host(Box::new(host)), addrs, mtu))
    }

    /// Adds a host at `addr` that behaves like a current Linux, is named after its address and writes no trace.
    ///
    /// # Panics
    /// When another host has this address.
    pub fn add(&mut self, addr: impl Into<IpAddr>) -> HostId {
        let addr = addr.into();
        self.add_host(&addr.to_string(), host_config(addr, tcp::Config::linux()), Tracer::default())
    }

    /// Adds a host that runs another TCP, to compare with.
    ///
    /// # Panics
    /// When another host has its address.
    pub fn add_reference(&mut self, reference: Reference) -> ReferenceId {
        let (addr, mtu) = (reference.addr(), reference.mtu());
        ReferenceId(self.add_node(Node::Reference(Box::new(reference)), vec![addr], mtu))
    }

    /// Adds a name server: for the hosts whose [`stack::Config::dns`] has its address, and for all those, earlier and
    /// later ones, that are told no name server. The first three are asked.
    ///
    /// # Panics
    /// When another host has its address.
    pub fn add_name_server(&mut self, server: NameServer) -> NameServerId {
        let addr = server.addr();
        self.name_servers.push(addr);
        for slot in &mut self.nodes {
            if let Some(host) = slot.host() {
                host.stack().learn_name_server(addr);
            }
        }
        NameServerId(self.add_node(Node::NameServer(Box::new(server)), vec![addr], 1500))
    }

    fn add_node(&mut self, node: Node, addrs: Vec<IpAddr>, mtu: u16) -> u16 {
        let number = u16::try_from(self.nodes.len()).expect("at most 65,536 hosts");
        for addr in addrs {
            let before = self.routes.insert(addr, number);
            assert!(before.is_none_or(|n| n == number), "two hosts have the address {addr}");
        }
        self.nodes.push(Slot::new(node, mtu));
        self.touch(number);
        number
    }

    fn touch(&mut self, number: u16) -> &mut Slot {
        let slot = &mut self.nodes[usize::from(number)];
        if !std::mem::replace(&mut slot.touched, true) {
            self.touched.push(number);
        }
        slot
    }

    /// Runs `service` on `host`.
    pub fn add_service(&mut self, host: HostId, service: Box<dyn Service>) {
        self.host(host).add_service(service);
    }

    /// Lets `host` send and receive super-segments of up to 64 KiB, as a device with offload does. They are split before they
    /// reach a link, and what comes out of one at the same time, and belongs together, is joined.
    pub fn set_offload(&mut self, host: HostId, on: bool) {
        let mtu = self.stack(host).config().mtu;
        self.nodes[usize::from(host.0)].set_offload(mtu, on);
    }

    /// The host, whose stack can be used directly. What is done to it takes effect when the world goes on.
    pub fn host(&mut self, id: HostId) -> &mut Host {
        match &mut self.touch(id.0).node {
            Node::Host(host) => host,
            _ => unreachable!("a HostId is only given to hosts"),
        }
    }

    /// The host's stack.
    pub fn stack(&mut self, id: HostId) -> &mut Stack {
        self.host(id).stack()
    }

    /// The reference host.
    pub fn reference(&mut self, id: ReferenceId) -> &mut Reference {
        match &mut self.touch(id.0).node {
            Node::Reference(reference) => reference,
            _ => unreachable!("a ReferenceId is only given to reference hosts"),
        }
    }

    /// The name server.
    pub fn name_server(&mut self, id: NameServerId) -> &mut NameServer {
        match &mut self.touch(id.0).node {
            Node::NameServer(server) => server,
            _ => unreachable!("a NameServerId is only given to name servers"),
        }
    }

    /// Changes the link between two nodes from now on; packets under way arrive as they would have.
    pub fn set_link(&mut self, one: impl Into<NodeId>, other: impl Into<NodeId>, config: &LinkConfig) {
        let (one, other) = (one.into().0, other.into().0);
        for path in [(one, other), (other, one)] {
            self.links.on(path).set_config(config);
        }
    }

    /// Lays a rule on the link from one node to another, in this direction only.
    pub fn add_rule(
        &mut self,
        from: impl Into<NodeId>,
        to: impl Into<NodeId>,
        rule: impl super::Rule + 'static,
    ) {
        self.links.on((from.into().0, to.into().0)).add_rule(rule);
    }

    /// Keeps the packets of a host from now on in memory.
    pub fn record(&mut self, host: HostId) -> super::Recording {
        let recording = super::Recording::default();
        self.stack(host).tracer().add(Box::new(recording.clone()));
        recording
    }

    /// How often a host sent and received packets, by reason.
    pub fn counts(&mut self, host: HostId) -> crate::trace::Counts {
        self.stack(host).tracer().counts()
    }

    /// What the link from one node to another has done so far.
    pub fn link_totals(&mut self, from: impl Into<NodeId>, to: impl Into<NodeId>) -> Totals {
        self.links.on((from.into().0, to.into().0)).totals()
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Packets sent by all hosts so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Packets dropped because no host has their destination address.
    pub fn unroutable(&self) -> u64 {
        self.unroutable
    }

    /// A number that depends on every packet sent and received, its time, its way and their order. Two runs of the
    /// same program with the same seed have the same.
    pub fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// Hands `frame` to a host as if it had just come from the network: what a forger would send.
    pub fn inject(&mut self, to: HostId, frame: &[u8]) {
        self.settle();
        self.deliver((to.0, to.0), frame, false);
    }

    /// Lets one event happen. False if nothing will happen any more.
    ///
    /// # Panics
    /// Here and in everything that lets time go on: when an invariant is violated, and when the hosts never fall silent
    /// although no time passes between their packets.
    pub fn step(&mut self) -> bool {
        self.step_until(Instant::FAR)
    }

    /// Lets everything happen until `done` says so, at most for `limit`. False if the time was over or nothing is left
    /// to happen; then the time is the limit or that of the last event.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                self.settle();
                return true;
            }
            if !self.step_until(end) {
                if self.next_event().is_some() {
                    self.now = end;
                }
                return false;
            }
        }
    }

    /// Lets everything happen that happens in `time`; then `time` has passed.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step_until(end) {}
        self.now = end;
    }

    /// Lets everything happen until nothing is left to happen, at most for `limit`. True if nothing is left.
    pub fn run_to_end(&mut self, limit: Duration) -> bool {
        let end = self.now + limit;
        while self.step_until(end) {}
        self.next_event().is_none()
    }

    /// Asks the services of all hosts to finish and waits until they have, at most for `limit`.
    pub fn drain(&mut self, limit: Duration) -> bool {
        self.run_until(limit, |world| {
            let now = world.now;
            let mut done = true;
            for number in 0..world.nodes.len() as u16 {
                if let Some(host) = world.touch(number).host() {
                    done &= host.drain(now);
                }
            }
            done
        })
    }

    /// Ends the world and completes the traces of all hosts.
    ///
    /// # Errors
    /// The first error of a trace.
    pub fn finish(self) -> io::Result<()> {
        let mut result = Ok(());
        for slot in self.nodes {
            if let Node::Host(host) = slot.node {
                let finished = host.into_stack().into_tracer().finish();
                result = result.and(finished);
            }
        }
        result
    }

    /// All hosts.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.nodes.iter().filter_map(Slot::peek_host)
    }

    /// Verifies that `data`, read on the `local` end, is what `remote` sent.
    pub(super) fn check_read(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) {
        if let Some(Err(violation)) = self.monitor.as_mut().map(|m| m.read(local, remote, data)) {
            panic!("at {} with seed {}: {violation}", self.now, self.seed);
        }
    }

    /// Empties the ready queues of an owner that looks for itself.
    pub(super) fn forget_events(&mut self, owner: Owner) {
        for slot in &mut self.nodes {
            if let Some(host) = slot.host() {
                while host.stack().ready(owner).is_some() {}
            }
        }
    }

    /// Gives everyone a turn whom the caller has touched.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(number) = self.touched.pop() {
                self.nodes[usize::from(number)].touched = false;
                self.turn(number);
            }
            if !self.tasks.look.load(Ordering::Relaxed) {
                return;
            }
            self.tasks.look.store(false, Ordering::Relaxed);
            for number in 0..self.nodes.len() as u16 {
                if self.nodes[usize::from(number)].host().is_some() {
                    self.touch(number);
                }
            }
        }
    }

    /// Nothing happens any more, unless a task that waits for something which is not of this world comes back.
    fn come_back(&mut self) -> bool {
        if self.tasks.outside.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let now = self.now;
        let back = |slot: &mut Slot| slot.host().is_some_and(|host| host.tasks().come_back(now));
        let Some(number) = self.nodes.iter_mut().position(back) else { return false };
        self.touch(number as u16);
        true
    }

    fn step_until(&mut self, end: Instant) -> bool {
        self.settle();
        let Some((at, due)) = self.next_event().filter(|&(at, _)| at <= end) else {
            return self.agenda.is_empty() && self.come_back();
        };
        self.agenda.pop();
        // A deadline in the past is one that was set just now.
        self.standstill = if at > self.now { 0 } else { self.standstill + 1 };
        assert!(
            self.standstill < STANDSTILL_MAX,
            "at {} with seed {}: {STANDSTILL_MAX} events and no time has passed; are there hosts that never fall \
             silent on a link without delay?",
            self.now,
            self.seed
        );
        self.now = self.now.max(at);
        match due {
            Due::Link(number) => self.arrive(number),
            Due::Node(number) => {
                let slot = &mut self.nodes[usize::from(number)];
                slot.arranged = None;
                slot.on_timeout(self.now);
                self.turn(number);
            }
        }
        true
    }

    /// The first entry of the agenda that still holds.
    fn next_event(&mut self) -> Option<(Instant, Due)> {
        while let Some(&Reverse((at, _, due))) = self.agenda.peek() {
            let arranged = match due {
                Due::Link(number) => self.links[number].arranged,
                Due::Node(number) => self.nodes[usize::from(number)].arranged,
            };
            if arranged == Some(at) {
                return Some((at, due));
            }
            self.agenda.pop();
        }
        None
    }

    /// The next packet comes out of a link.
    fn arrive(&mut self, number: u32) {
        let mut frame = std::mem::take(&mut self.incoming);
        self.links[number].arranged = None;
        if self.take(number, &mut frame) {
            let slot = &self.links[number];
            // Nobody need reckon the checksums of a link that damages nothing.
            let intact = self.monitor.is_none() && slot.link.totals().corrupted == 0;
            match self.nodes[usize::from(slot.path.1)].joins() {
                true => self.gather(number, &mut frame, intact),
                false => self.deliver(slot.path, &frame, intact),
            }
        }
        self.incoming = frame;
        self.arrange_link(number);
    }

    /// Takes a packet that has arrived out of a link; false if none has.
    fn take(&mut self, number: u32, frame: &mut Vec<u8>) -> bool {
        let slot = &mut self.links[number];
        let Some(sent) = slot.link.pop_sent(self.now, frame) else { return false };
        let travel = self.travels.arrived(sent, self.now, frame, slot.link.config());
        if let Some(host) = self.nodes[usize::from(slot.path.1)].host() {
            host.stack().set_travel(travel);
        }
        true
    }

    /// One packet reaches a node, which then sends what it has to send: a packet at a time, so that the answer does
    /// not depend on how many came together.
    fn deliver(&mut self, path: Path, frame: &[u8], intact: bool) {
        self.hear(path, frame);
        self.nodes[usize::from(path.1)].on_frame(self.now, frame, None, intact);
        self.turn(path.1);
    }

    /// Where the device joins packets, what follows `frame` from the same link at the same time reaches the node with it.
    fn gather(&mut self, number: u32, frame: &mut Vec<u8>, intact: bool) {
        let path = self.links[number].path;
        let mut joiner = std::mem::take(&mut self.joiner);
        self.hear(path, frame);
        joiner.begin(frame, !intact);
        while self.links[number].link.front(self.now).is_some_and(|next| joiner.append(next)) {
            self.take(number, frame);
            self.hear(path, frame);
        }
        let (whole, size) = joiner.finish();
        self.nodes[usize::from(path.1)].on_frame(self.now, whole, size, intact || size.is_some());
        self.joiner = joiner;
        self.turn(path.1);
    }

    /// A packet has arrived.
    fn hear(&mut self, path: Path, frame: &[u8]) {
        self.hash.packet(self.now, path, frame);
        if let (Some(monitor), Node::Host(_)) = (&mut self.monitor, &self.nodes[usize::from(path.1)].node) {
            monitor.received(HostId(path.1), frame);
        }
    }

    /// A node works and sends.
    fn turn(&mut self, number: u16) {
        self.nodes[usize::from(number)].turn(self.now);
        let mut frame = std::mem::take(&mut self.outgoing);
        while let Some(popped) = self.nodes[usize::from(number)].device.pop(&mut frame) {
            match popped.gso_size {
                None => self.send(number, &frame),
                Some(size) => {
                    let mut scratch = std::mem::take(&mut self.scratch);
                    wire::split_super(&frame, size.get(), &mut scratch, &mut |piece| {
                        self.send(number, piece)
                    });
                    self.scratch = scratch;
                }
            }
        }
        self.outgoing = frame;
        let slot = &mut self.nodes[usize::from(number)];
        let deadline = slot.next_deadline();
        // An earlier entry of the agenda does no harm: it finds nothing to do and looks again.
        if let Some(at) = deadline.filter(|&at| slot.arranged.is_none_or(|old| at < old)) {
            slot.arranged = Some(at);
            self.arrange(at, Due::Node(number));
        }
    }

    /// A packet leaves a node.
    fn send(&mut self, from: u16, frame: &[u8]) {
        self.packets += 1;
        if let (Some(monitor), Node::Host(host)) = (&mut self.monitor, &self.nodes[usize::from(from)].node)
            && let tcp::Config { shrink_window, prune, .. } = host.peek().config().tcp
            && let Err(violation) = monitor.sent(HostId(from), frame, shrink_window || prune)
        {
            panic!("at {} with seed {}: {violation}", self.now, self.seed);
        }
        let Some(to) = self.node_of(frame) else {
            self.hash.packet(self.now, (from, from), frame);
            self.unroutable += 1;
            return self.note_unroutable(from);
        };
        let path = (from, to);
        self.hash.packet(self.now, path, frame);
        let now = self.now;
        let number = self.links.number(path);
        let fate = self.links[number].link.push(now, frame);
        if fate.is_plain() {
            return self.arrange_link(number);
        }
        if fate.arrives.is_err() || fate.corrupted {
            self.travels.lost(now, frame);
        }
        if fate.arrives == Err(Dropped::Reset) {
            self.reset(path, frame);
        }
        if let Some(incident) = Incident::new(now, frame, fate) {
            for (number, direction) in [(from, Direction::Out), (to, Direction::In)] {
                if let Some(host) = self.nodes[usize::from(number)].host() {
                    incident.record(host.stack().tracer(), direction);
                }
            }
        }
        self.arrange_link(number);
        let LinkConfig { mtu, mtu_icmp, .. } = *self.links[number].link.config();
        if mtu_icmp
            && fate.arrives == Err(Dropped::TooBig)
            && let Some(answer) = too_big::answer(frame, mtu)
        {
            self.hash.packet(now, (to, from), &answer);
            let back = self.links.number((to, from));
            self.links[back].link.push(now, &answer);
            self.arrange_link(back);
        }
    }

    /// Both ends of the packet's connection get a RST that looks like the other's.
    fn reset(&mut self, (from, to): Path, frame: &[u8]) {
        let Ok(Decoded::Tcp(packet)) = wire::decode(frame, false) else { return };
        let (there, seg) = (packet.envelope, packet.seg);
        let back = wire::Envelope { src: there.dst, dst: there.src, ..there };
        let forward =
            Segment { seq: seg.seq, ack: seg.ack, flags: Flags::RST | Flags::ACK, ..Segment::default() };
        let backward = Segment { seq: seg.ack, ack: seg.end(), ..forward };
        for (path, envelope, seg) in [((from, to), there, forward), ((to, from), back, backward)] {
            let mut rst = vec![0; wire::encoded_len(&envelope, &seg)];
            wire::encode(&mut rst, &envelope, &seg, [&[], &[]]);
            let number = self.links.number(path);
            self.links[number].link.put(self.now, &rst);
            self.arrange_link(number);
        }
    }

    fn note_unroutable(&mut self, from: u16) {
        if let Some(host) = self.nodes[usize::from(from)].host() {
            let kind = EventKind::Link {
                action: "unroutable",
                text: "no host has the packet's destination address",
            };
            let record = EventRecord { at: self.now, conn: None, local: None, remote: None, kind };
            host.stack().tracer().record(&Record::Event(record));
        }
    }

    fn node_of(&self, frame: &[u8]) -> Option<u16> {
        self.routes.get(&destination(frame)?).copied()
    }

    fn arrange_link(&mut self, number: u32) {
        let slot = &mut self.links[number];
        if let Some(at) = slot.link.next_deadline().filter(|&at| slot.arranged.is_none_or(|old| at < old)) {
            slot.arranged = Some(at);
            self.arrange(at, Due::Link(number));
        }
    }

    fn arrange(&mut self, at: Instant, due: Due) {
        self.agenda.push(Reverse((at, self.arranged, due)));
        self.arranged += 1;
    }
}

/// The destination address of an IP packet.
fn destination(frame: &[u8]) -> Option<IpAddr> {
    match frame.first()? >> 4 {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(frame.get(16..20)?).ok()?)),
        6 => Some(IpAddr::from(<[u8; 16]>::try_from(frame.get(24..40)?).ok()?)),
        _ => None,
    }
}

//! Which connections do the segments of a capture belong to? Those that are over are settled and given back.

use super::connection::{Connection, End, Ending};
use super::decode::{Segment, Sum};
use super::doubles::{Double, Doubles};
use super::finding::{Confidence, Findings, What};
use super::flow::{self, Burden, EXCHANGES, Flow, PENDING, RECORDS};
use super::past::{Past, Pasts};
use super::read::Stated;
use super::routes::{Routes, TIME_WAIT};
use super::too_big::TooBig;
use crate::ledger::Part;
use crate::segment::Flags;
use crate::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

/// Exchanges that are kept of connections that are not over.
const MOST_EXCHANGES: usize = 50_000;
/// Segments in flight that are told apart on all connections together, and on one beyond that.
const MOST_RECORDS: usize = 500_000;
const FEW_RECORDS: usize = 64;
/// Bytes beyond gaps that are kept of all connections together; then the oldest gaps are given up.
const MOST_PENDING: usize = 64 << 20;
/// Connections that are held at a time; beyond them the one that was silent for long is given up.
const LIVE: usize = 12_288;
/// Of those that are over so many are held: something may come late.
const LINGERING: usize = 512;
/// Of which no more than so many wait for an acknowledgment.
const UNSETTLED: usize = 4 * LINGERING;

/// Attempts to open a connection that are compared with the next one, which comes no later.
const ATTEMPTS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(3);

/// Both ends of a connection, the smaller address first.
pub(super) type Pair = (SocketAddr, SocketAddr);
/// A place in the list of those that are held, and the number of who was there.
pub(super) type Held = (usize, usize);

/// A connection that is held.
struct Live {
    connection: Connection,
    /// What is known of its two ends, if it is looked at.
    flow: Option<Box<Flow>>,
    pair: Pair,
    /// The virtual network of each end's packets: the same addresses may be used in several.
    networks: [Option<u32>; 2],
    /// Another one of the same addresses, in another network.
    other: Option<usize>,
    /// It was active since it was last asked.
    active: bool,
    /// It waits among those that are over.
    over: bool,
    /// When its client, while it had no answer, tried another address.
    instead: Option<Duration>,
    /// What it takes memory for, as far as it is counted.
    burden: Burden,
}

/// All connections of a capture. A pair of addresses may be used again after it was closed.
pub(super) struct Connections<'a> {
    chosen: &'a dyn Fn(usize, SocketAddr, SocketAddr) -> bool,
    /// How many began, and how many of them were chosen.
    pub begun: usize,
    chosen_so_far: usize,
    /// Those that are held, and places that are free.
    live: Vec<Option<Box<Live>>>,
    free: Vec<usize>,
    /// The last one of each pair of addresses.
    known: HashMap<Pair, usize>,
    past: Pasts,
    /// Those that are held, whoever was not looked at for longest first; and those that are over.
    order: VecDeque<Held>,
    over: VecDeque<Held>,
    /// How many were given up although they were not over.
    pub given_up: u64,
    /// Those that were settled, to be taken.
    pub ready: Vec<Connection>,
    pub findings: Findings,
    routes: Routes,
    /// The last packet was then.
    now: Duration,
    /// The last that began, and to which port: some have no answer yet.
    attempts: VecDeque<(Held, Pair, Duration)>,
    /// What all that are held take memory for.
    burden: Burden,
    /// Which keep something beyond gaps, in the order in which they came to do so.
    gaps: VecDeque<Held>,
    doubles: Doubles,
    /// Packets that were captured twice in the same place, and in two places.
    pub doubled: [u64; 2],
}

/// A packet's place.
pub(super) struct Place {
    /// The number of its connection.
    pub connection: usize,
    pub from_client: bool,
    /// In a word, why it was sent; `None` if that was not looked into.
    pub why: Option<&'static str>,
    /// What it had waited for, if it is new data.
    pub held: Option<Part>,
    /// How many packets were lost before it, and how much sooner it had been sent first, after a pause.
    pub lost: u16,
    pub earlier: Duration,
    /// It was captured twice.
    pub doubled: bool,
}

impl<'a> Connections<'a> {
    /// None yet. Those that are not `chosen`, by their number and their ends, are only counted.
    pub(super) fn new(chosen: &'a dyn Fn(usize, SocketAddr, SocketAddr) -> bool) -> Connections<'a> {
        Connections {
            chosen,
            begun: 0,
            chosen_so_far: 0,
            live: Vec::new(),
            free: Vec::new(),
            known: HashMap::new(),
            past: Pasts::default(),
            order: VecDeque::new(),
            over: VecDeque::new(),
            given_up: 0,
            ready: Vec::new(),
            findings: Findings::default(),
            routes: Routes::default(),
            now: Duration::ZERO,
            attempts: VecDeque::new(),
            burden: Burden::default(),
            gaps: VecDeque::new(),
            doubles: Doubles::default(),
            doubled: [0; 2],
        }
    }

    /// Adds a segment; `None` if it comes late to a connection that was settled.
    pub(super) fn add(
        &mut self,
        at: Duration,
        frame: u64,
        segment: &Segment<'_>,
        sum: Sum,
        stated: Option<Stated<'_>>,
    ) -> Option<Place> {
        self.now = self.now.max(at);
        let (a, b) = (segment.source, segment.destination);
        let pair = if a <= b { (a, b) } else { (b, a) };
        let slot = match self.find(pair, segment) {
            Some(slot) if !self.held(slot).is_succeeded_by(segment) => slot,
            Some(before) => {
                let past = Past::of(self.held(before));
                let open = !past.ending.is_over();
                let flow = self.live[before].as_ref().and_then(|live| live.flow.as_ref());
                let stale = flow.filter(|_| open).and_then(|flow| flow.stale());
                self.retire(before);
                let slot = self.open(at, frame, segment, pair, Some(past));
                if let Some(flow) = self.live[slot].as_mut().and_then(|live| live.flow.as_mut()) {
                    flow.stale = stale;
                }
                slot
            }
            None => match self.past.get(&pair) {
                Some(past) if past.includes(at, segment) => return None,
                past => self.open(at, frame, segment, pair, past),
            },
        };
        let live = self.live[slot].as_deref_mut()?;
        live.active = true;
        let connection = &mut live.connection;
        let number = connection.number;
        let from_client = segment.source == connection.client;
        let end = usize::from(!from_client);
        live.networks[end].get_or_insert(segment.network);
        let place = |why, held| {
            let (lost, earlier, doubled) = (0, Duration::ZERO, false);
            Some(Place { connection: number, from_client, why, held, lost, earlier, doubled })
        };
        let Some(flow) = &mut live.flow else {
            connection.add(at, segment, 0);
            self.settle_over(slot, at);
            return place(None, None);
        };
        let findings = &mut self.findings;
        let counts = connection.numbers(segment, from_client);
        let half = &flow.halves[end];
        if let Some(double) = self.doubles.add(at, number, segment, counts, half, &mut flow.pairs, stated) {
            self.doubled[usize::from(double == Double::Elsewhere)] += 1;
            let packet = flow::Packet { at, frame, seg: segment, from_client, stated };
            let why = flow.double(&packet, double);
            return place(Some(why), None).map(|place| Place { doubled: true, ..place });
        }
        let side = connection.side(segment);
        side.verified |= sum == Sum::Right;
        if sum == Sum::Wrong && side.verified {
            // Its receiver drops it. Where no sum of this end was ever right, a device was to fill it in.
            side.damaged += 1;
            flow.damage(end, segment);
            findings.add(What::Checksum, number, (frame, frame), Duration::ZERO, Confidence::Certain);
            return place(Some("drop-checksum"), None);
        }
        if flow.is_wild(end, segment) {
            side.wild += 1;
            return place(None, None);
        }
        let packet = flow::Packet { at, frame, seg: segment, from_client, stated };
        if let Some(word) = flow.takes_note(&packet) {
            connection.note(at, segment);
            return place(Some(word), None);
        }
        let refused = connection.ending == Ending::Refused;
        let opened = connection.handshake.is_some();
        let seen = connection.add(at, segment, flow.halves[end].fresh(segment));
        let forgot = flow.fast_open || flow.stale.is_some_and(|stale| stale.known);
        if let Some(cost) = connection.handshake.filter(|_| !opened && connection.could_reuse && !forgot) {
            findings.add(What::NotReused, number, (frame, frame), cost, Confidence::Inferred);
        }
        if connection.ending == Ending::Refused && !refused {
            let cost = at.saturating_sub(connection.start);
            findings.add(What::Refused, number, (frame, frame), cost, Confidence::Certain);
        }
        let why = flow.add(&packet, number, findings);
        // What was only overtaken was sent once.
        connection.side(segment).again += u64::from(seen && !flow.is_late);
        if self.burden[RECORDS] > MOST_RECORDS {
            flow.lighten(FEW_RECORDS);
        }
        if self.burden[EXCHANGES] > MOST_EXCHANGES {
            flow.exchanges.keep_no_more();
        }
        let (held, lost, earlier) = (flow.held, flow.lost_before, flow.earlier);
        if flow.burden()[PENDING] > 0 && !std::mem::replace(&mut flow.is_kept, true) {
            self.gaps.push_back((slot, number));
        }
        self.weigh(slot);
        self.settle_over(slot, at);
        self.bound();
        place(Some(why), held).map(|place| Place { lost, earlier, ..place })
    }

    /// A router says that a packet was too large for it.
    pub(super) fn too_big(&mut self, at: Duration, told: &TooBig) {
        let (a, b) = (told.source, told.destination);
        let pair = if a <= b { (a, b) } else { (b, a) };
        let mut next = self.known.get(&pair).copied();
        while let Some(live) = next.and_then(|slot| self.live[slot].as_deref_mut()) {
            if let Some(flow) = &mut live.flow {
                flow.too_big(usize::from(told.source != live.connection.client), at, told);
            }
            next = live.other;
        }
    }

    /// The one in this place, which is not free.
    fn held(&self, slot: usize) -> &Connection {
        &self.live[slot].as_ref().expect("a place that is known is taken").connection
    }

    /// Where the connection is held that the segment belongs to. The same addresses in another virtual network are
    /// another one, unless its two directions are in two, or a router passes it from one to the other.
    fn find(&self, pair: Pair, segment: &Segment<'_>) -> Option<usize> {
        let (mut next, mut near) = (self.known.get(&pair).copied(), None);
        while let Some(slot) = next {
            let live = self.live[slot].as_deref()?;
            let end = usize::from(segment.source != live.connection.client);
            match live.networks[end].or(live.networks[1 - end]) {
                Some(network) if network != segment.network => {
                    near = near.or(Some(slot).filter(|_| live.fits(end, segment)));
                }
                _ => return Some(slot),
            }
            next = live.other;
        }
        near
    }

    /// One that has come to its end lingers; those that did so for long, or are too many, are settled.
    fn settle_over(&mut self, slot: usize, at: Duration) {
        if let Some(live) = self.live[slot].as_deref_mut()
            && live.connection.ending.is_over()
            && !std::mem::replace(&mut live.over, true)
        {
            self.over.push_back((slot, live.connection.number));
        }
        // Two for each packet keep up with whatever comes.
        for _ in 0..2 {
            let Some(&(slot, number)) = self.over.front() else { return };
            let live = self.live[slot].as_deref_mut().filter(|live| live.connection.number == number);
            let many = self.over.len() > LINGERING;
            let Some(live) = live else {
                self.over.pop_front();
                continue;
            };
            let quiet = live.flow.as_ref().is_none_or(|flow| flow.is_settled());
            let long = at.saturating_sub(live.connection.end) > TIME_WAIT;
            if !long && !many {
                return;
            }
            self.over.pop_front();
            if !live.connection.ending.is_over() {
                live.over = false;
            } else if long || quiet || self.over.len() > UNSETTLED {
                self.past.add(live.pair, Past::of(&live.connection));
                self.retire(slot);
            } else {
                self.over.push_back((slot, number));
            }
        }
    }

    /// Counts what the connection in this place takes memory for.
    fn weigh(&mut self, slot: usize) {
        if let Some(live) = self.live[slot].as_deref_mut()
            && let Some(flow) = &live.flow
        {
            let before = std::mem::replace(&mut live.burden, flow.burden());
            for (n, all) in self.burden.iter_mut().enumerate() {
                *all = *all + live.burden[n] - before[n];
            }
        }
    }

    /// Gives up the oldest gaps while too much is kept beyond all of them.
    fn bound(&mut self) {
        while self.burden[PENDING] > MOST_PENDING
            && let Some((slot, number)) = self.gaps.pop_front()
        {
            let live = self.live[slot].as_deref_mut().filter(|live| live.connection.number == number);
            let Some(flow) = live.and_then(|live| live.flow.as_deref_mut()) else { continue };
            flow.is_kept = false;
            flow.give_up_gaps(number, &mut self.findings);
            self.weigh(slot);
        }
    }

    /// A connection begins with this segment: its place. `past`: what the last one of the same addresses was.
    fn open(
        &mut self,
        at: Duration,
        frame: u64,
        segment: &Segment<'_>,
        pair: Pair,
        past: Option<Past>,
    ) -> usize {
        self.make_room();
        self.begun += 1;
        let number = self.begun;
        let mut connection = Connection::new(number, at, segment, &|addr| self.routes.listens(addr));
        let ends = (connection.client, connection.server);
        if segment.has(Flags::SYN) {
            self.routes.listen(connection.server);
            self.try_instead(at, ends);
        }
        let chosen = (self.chosen)(number, connection.client, connection.server);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.live.push(None);
            self.live.len() - 1
        });
        let to = (connection.client.ip(), connection.server);
        let route = self.routes.begin(to, at);
        if chosen {
            self.chosen_so_far += 1;
            connection.ordinal = self.chosen_so_far;
            // What a RST ended leaves nothing behind.
            let reuses = past
                .is_some_and(|past| past.ending == Ending::Closed && at.saturating_sub(past.end) < TIME_WAIT);
            let found = [(reuses, What::PortReuse), (route.is_nearly_full(), What::PortExhaustion)];
            for (_, what) in found.into_iter().filter(|(is, _)| *is) {
                self.findings.add(what, number, (frame, frame), Duration::ZERO, Confidence::Inferred);
            }
            // One that had answered, and could have been kept until now.
            let last = route.last.and_then(|(slot, number)| {
                self.live[slot].as_deref().filter(|live| live.connection.number == number)
            });
            connection.could_reuse = match last {
                Some(last) => at.saturating_sub(last.connection.end) < TIME_WAIT && last.is_at_rest(),
                None => route.over.is_some_and(|(end, rests)| rests && at.saturating_sub(end) < TIME_WAIT),
            };
        }
        route.last = Some((slot, number));
        let flow = chosen.then(|| Box::new(Flow::new(at, frame, segment.has(Flags::SYN))));
        let other = self.known.insert(pair, slot);
        self.live[slot] = Some(Box::new(Live {
            connection,
            flow,
            pair,
            networks: [None; 2],
            other,
            active: true,
            over: false,
            instead: None,
            burden: Burden::default(),
        }));
        self.order.push_back((slot, number));
        if segment.has(Flags::SYN) {
            if self.attempts.len() == ATTEMPTS {
                self.attempts.pop_front();
            }
            self.attempts.push_back(((slot, number), ends, at));
        }
        slot
    }

    /// A client tries another address of a server: the one that it tried before may have given no answer (RFC 8305).
    fn try_instead(&mut self, at: Duration, (client, server): Pair) {
        for &((slot, number), (before, there), then) in &self.attempts {
            let same = before.ip() == client.ip() || before.is_ipv4() != client.is_ipv4();
            let other = there.ip() != server.ip() && there.port() == server.port();
            if same
                && other
                && at.saturating_sub(then) < PATIENCE
                && let Some(live) = self.live[slot].as_deref_mut().filter(|l| l.connection.number == number)
            {
                live.instead.get_or_insert(at);
            }
        }
    }

    /// Gives up whoever was silent for longest, if there are too many.
    fn make_room(&mut self) {
        let held = self.live.len() - self.free.len();
        if self.order.len() > 2 * LIVE {
            let live = &self.live;
            let is_held = |&(slot, number): &Held| {
                live[slot].as_ref().is_some_and(|live| live.connection.number == number)
            };
            self.order.retain(is_held);
        }
        if held < LIVE {
            return;
        }
        while let Some((slot, number)) = self.order.pop_front() {
            let live = self.live[slot].as_deref_mut().filter(|live| live.connection.number == number);
            match live {
                None => {}
                Some(live) if live.active => {
                    live.active = false;
                    self.order.push_back((slot, number));
                }
                Some(live) => {
                    self.given_up += u64::from(!live.connection.ending.is_over());
                    self.retire(slot);
                    return;
                }
            }
        }
    }

    /// Settles the connection in this place, and gives the place back.
    fn retire(&mut self, slot: usize) {
        let Some(live) = self.live[slot].take() else { return };
        self.free.push(slot);
        self.unlink(live.pair, slot, live.other);
        let rests = live.is_at_rest();
        let Live { mut connection, flow, burden, instead, .. } = *live;
        let to = (connection.client.ip(), connection.server);
        self.routes.end(to, (slot, connection.number), connection.end, rests);
        let Some(mut flow) = flow else { return };
        self.burden.iter_mut().zip(burden).for_each(|(all, own)| *all -= own);
        if flow.was_reset(connection.number, &mut self.findings) {
            connection.ending = Ending::Reset;
        }
        for (sum, doubled) in self.doubled.iter_mut().zip(flow.doubled_on_the_way()) {
            *sum -= doubled;
        }
        flow.finish(connection.end, connection.number, &mut self.findings);
        if let Some(in_vain) = flow.in_vain {
            in_vain.tell(instead, self.now, connection.number, &mut self.findings);
        }
        let [client, server] = &flow.halves;
        connection.round_trip = client.path.or(server.path).map(|_| super::judge::round_trip(client, server));
        connection.paths = [client.path, server.path];
        connection.at_client = flow.is_at_client();
        connection.ends = [End::of(client, server, flow.limits[0]), End::of(server, client, flow.limits[1])];
        connection.missing = flow.missing().map(|end| end as u8);
        connection.parts = flow.parts;
        connection.exchanges = std::mem::take(&mut flow.exchanges.done);
        connection.more_exchanges = flow.exchanges.beyond;
        self.ready.push(connection);
    }

    /// Takes the place out of those of its addresses.
    fn unlink(&mut self, pair: Pair, slot: usize, other: Option<usize>) {
        match self.known.get(&pair).copied() {
            Some(first) if first == slot => {
                match other {
                    Some(other) => self.known.insert(pair, other),
                    None => self.known.remove(&pair),
                };
            }
            mut next => {
                while let Some(live) = next.and_then(|before| self.live[before].as_deref_mut()) {
                    if live.other == Some(slot) {
                        live.other = other;
                        return;
                    }
                    next = live.other;
                }
            }
        }
    }

    /// The capture is over: so are all that are held, in the order of their first packets.
    pub(super) fn finish(&mut self) {
        let mut slots: Vec<Held> = (self.live.iter().enumerate())
            .filter_map(|(slot, live)| Some((live.as_ref()?.connection.number, slot)))
            .collect();
        slots.sort_unstable();
        slots.into_iter().for_each(|(_, slot)| self.retire(slot));
    }
}

impl Live {
    /// It has answered, and nothing is asked.
    fn is_at_rest(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.exchanges.has_answered() && !flow.exchanges.in_progress())
    }

    /// Whether a segment of the end `s` from another network is of this connection, by its numbers.
    fn fits(&self, s: usize, segment: &Segment<'_>) -> bool {
        if segment.has(Flags::SYN) && !segment.has(Flags::ACK) {
            return self.connection.syn == Some(segment.seq);
        }
        self.flow.as_ref().is_none_or(|flow| flow.is_near(s, segment))
    }
}

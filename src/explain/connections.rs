//! Which connections do the segments of a capture belong to, and how did they fare?

use super::MAX_CONNECTIONS;
use super::decode::Segment;
use super::exchange::Exchange;
use super::finding::{Confidence, Findings, What};
use super::flow::{self, Flow};
use super::read::Stated;
use crate::ledger::Parts;
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// A pair of ports that is used again sooner met the other end's TIME-WAIT, as most systems have it.
const TIME_WAIT: Duration = Duration::from_secs(60);

/// How a connection ended, as far as the capture shows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Ending {
    /// The capture ends first.
    #[default]
    Open,
    /// Both sides sent a FIN.
    Closed,
    /// One side sent a FIN, the other none.
    HalfClosed,
    /// A RST answered the SYN.
    Refused,
    /// A RST ended it.
    Reset,
}

impl Ending {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Ending::Open => "open",
            Ending::Closed => "closed",
            Ending::HalfClosed => "half-closed",
            Ending::Refused => "refused",
            Ending::Reset => "reset",
        }
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Side {
    /// Packets sent.
    pub packets: u64,
    /// Payload bytes, each counted once however often it was sent.
    pub bytes: u64,
    /// Segments whose data, SYN or FIN had been seen before: sent again, or overtaken on the way.
    pub again: u64,
    /// The end of the sequence space seen so far.
    end: Option<Seq>,
    fin: bool,
}

/// One TCP connection of a capture. Times count from the capture's first packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Its number in the capture, from 1.
    pub number: usize,
    /// Who sent the SYN, or the first packet if no SYN was captured.
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
    /// The first packet.
    pub start: Duration,
    /// The last packet.
    pub end: Duration,
    /// What the client sent.
    pub up: Side,
    /// What the server sent.
    pub down: Side,
    /// From the first SYN to the acknowledgment of the SYN-ACK, if both were captured.
    pub handshake: Option<Duration>,
    /// The longest time without a packet, and when it began.
    pub pause: (Duration, Duration),
    /// How it ended.
    pub ending: Ending,
    /// From this end to the other and back, at the least; `None` if no such pair of packets was captured.
    pub round_trip: Option<Duration>,
    /// Where its time went; the sum is the time from its first packet to the last that says what it waited for.
    pub parts: Parts,
    /// What was asked and answered, in the order of the ends.
    pub exchanges: Vec<Exchange>,
    /// Exchanges beyond those that are kept.
    pub more_exchanges: u64,
    syn: Option<Seq>,
    answered: bool,
    /// There was one to the same server without anything to do.
    could_reuse: bool,
}

/// All connections of a capture. A pair of addresses may be used again after it was closed.
pub(super) struct Connections {
    findings_of: Option<usize>,
    list: Vec<Connection>,
    /// What is known of each one's two ends.
    flows: Vec<Flow>,
    pub findings: Findings,
    /// The last connection of each pair of addresses, the smaller address first.
    last: HashMap<(SocketAddr, SocketAddr), usize>,
    /// The last connection of each client's host to each server.
    to_server: HashMap<(IpAddr, SocketAddr), usize>,
}

impl Connections {
    /// None yet; findings will be those of connection `findings_of` alone, if it is given.
    pub(super) fn new(findings_of: Option<usize>) -> Connections {
        Connections {
            findings_of,
            list: Vec::new(),
            flows: Vec::new(),
            findings: Findings::default(),
            last: HashMap::new(),
            to_server: HashMap::new(),
        }
    }

    /// Adds a segment: the number of its connection, whether its client sent it, and in a word why; `None` if it belongs
    /// to a connection beyond the limit.
    pub(super) fn add(
        &mut self,
        at: Duration,
        frame: u64,
        segment: &Segment<'_>,
        stated: Option<Stated<'_>>,
    ) -> Option<(usize, bool, &'static str)> {
        let mut ignored = Findings::default();
        let (a, b) = (segment.source, segment.destination);
        let key = if a <= b { (a, b) } else { (b, a) };
        let known = self.last.get(&key).copied();
        let mut reused = false;
        let index = match known.filter(|&i| !self.list[i].is_succeeded_by(segment)) {
            Some(index) => index,
            None if self.list.len() >= MAX_CONNECTIONS => return None,
            None => {
                let index = self.list.len();
                reused = known.is_some_and(|n| at.saturating_sub(self.list[n].end) < TIME_WAIT);
                self.list.push(Connection::new(index + 1, at, segment));
                self.flows.push(Flow::new(at, frame));
                self.last.insert(key, index);
                let to = (self.list[index].client.ip(), self.list[index].server);
                let before = self.to_server.insert(to, index);
                // One that had answered, and could have been kept until now.
                self.list[index].could_reuse = before.is_some_and(|n| {
                    let idle = &self.flows[n].exchanges;
                    idle.has_answered()
                        && !idle.in_progress()
                        && at.saturating_sub(self.list[n].end) < TIME_WAIT
                });
                index
            }
        };
        let findings = match self.findings_of {
            Some(n) if n != index + 1 => &mut ignored,
            _ => &mut self.findings,
        };
        let connection = &mut self.list[index];
        if reused {
            findings.add(What::PortReuse, index + 1, (frame, frame), Duration::ZERO, Confidence::Certain);
        }
        let refused = connection.ending == Ending::Refused;
        let opened = connection.handshake.is_some();
        connection.add(at, segment);
        if let Some(cost) = connection.handshake.filter(|_| !opened && connection.could_reuse) {
            findings.add(What::NotReused, index + 1, (frame, frame), cost, Confidence::Inferred);
        }
        if connection.ending == Ending::Refused && !refused {
            let cost = at.saturating_sub(connection.start);
            findings.add(What::Refused, index + 1, (frame, frame), cost, Confidence::Certain);
        }
        let from_client = segment.source == connection.client;
        let packet = flow::Packet { at, frame, seg: segment, from_client, stated };
        Some((index + 1, from_client, self.flows[index].add(&packet, index + 1, findings)))
    }

    /// All connections in the order of their first packets, and what cost time.
    pub(super) fn finish(mut self) -> (Vec<Connection>, Findings) {
        for (connection, flow) in self.list.iter_mut().zip(&mut self.flows) {
            flow.exchanges.close_open();
            let [client, server] = &flow.halves;
            connection.round_trip =
                client.path.or(server.path).map(|_| super::judge::round_trip(client, server));
            connection.parts = flow.parts;
            connection.exchanges = std::mem::take(&mut flow.exchanges.done);
            connection.more_exchanges = flow.exchanges.beyond;
        }
        (self.list, self.findings)
    }
}

impl Connection {
    fn new(number: usize, at: Duration, first: &Segment<'_>) -> Connection {
        // A capture that begins with the SYN-ACK knows who the client is all the same.
        let answer = first.flags.contains(Flags::SYN | Flags::ACK);
        let (client, server) =
            if answer { (first.destination, first.source) } else { (first.source, first.destination) };
        Connection {
            number,
            client,
            server,
            start: at,
            end: at,
            up: Side::default(),
            down: Side::default(),
            handshake: None,
            pause: (Duration::ZERO, at),
            ending: Ending::Open,
            round_trip: None,
            parts: Parts::default(),
            exchanges: Vec::new(),
            more_exchanges: 0,
            syn: None,
            answered: false,
            could_reuse: false,
        }
    }

    /// Whether the segment begins the next connection of the same addresses: a SYN with another number, which in an
    /// open connection can only come from the side that sent the first (the other's may be a simultaneous open).
    fn is_succeeded_by(&self, segment: &Segment<'_>) -> bool {
        let fresh = segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK);
        let over = self.ending != Ending::Open;
        fresh && self.syn != Some(segment.seq) && (over || segment.source == self.client)
    }

    fn add(&mut self, at: Duration, segment: &Segment<'_>) {
        let gap = at.saturating_sub(self.end);
        if gap > self.pause.0 {
            self.pause = (gap, self.end);
        }
        self.end = self.end.max(at);
        self.follow_handshake(at, segment);
        let from_client = segment.source == self.client;
        let side = if from_client { &mut self.up } else { &mut self.down };
        side.add(segment);
        self.ending = if segment.flags.contains(Flags::RST) {
            if self.syn.is_some() && !self.answered { Ending::Refused } else { Ending::Reset }
        } else {
            match (self.ending, self.up.fin, self.down.fin) {
                (over @ (Ending::Reset | Ending::Refused), ..) => over,
                (_, true, true) => Ending::Closed,
                (_, false, false) => Ending::Open,
                _ => Ending::HalfClosed,
            }
        };
    }

    fn follow_handshake(&mut self, at: Duration, segment: &Segment<'_>) {
        let from_client = segment.source == self.client;
        if segment.flags.contains(Flags::SYN) {
            if from_client && self.syn.is_none() {
                self.syn = Some(segment.seq);
            } else if !from_client {
                self.answered = true;
            }
        } else if from_client && self.syn.is_some() && self.answered && self.handshake.is_none() {
            self.handshake = Some(at.saturating_sub(self.start));
        }
    }
}

impl Side {
    fn add(&mut self, segment: &Segment<'_>) {
        self.packets += 1;
        self.fin |= segment.flags.contains(Flags::FIN);
        let control =
            u32::from(segment.flags.contains(Flags::SYN)) + u32::from(segment.flags.contains(Flags::FIN));
        let occupied = segment.len.saturating_add(control);
        if segment.flags.contains(Flags::RST) {
            return;
        }
        let end = segment.seq + occupied;
        let Some(seen) = self.end else {
            self.end = Some(end);
            self.bytes += u64::from(segment.len);
            return;
        };
        if occupied == 0 {
            return;
        }
        let probe = segment.len <= 1 && control == 0 && segment.seq + 1 == seen;
        if segment.seq.lt(seen) && !probe {
            self.again += 1;
        }
        if end.gt(seen) {
            let fresh = end.since(seen.max(segment.seq));
            self.bytes += u64::from(fresh.min(segment.len));
            self.end = Some(end);
        }
    }
}

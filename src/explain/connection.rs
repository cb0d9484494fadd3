//! What is known of one connection of a capture: its ends, how it began, how it ended.

use super::decode::Segment;
use super::exchange::Exchange;
use super::half::Half;
use crate::ledger::Parts;
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;
use std::net::SocketAddr;

/// Ports below are listened on: systems give clients higher ones (Linux from here on, others from 49,152).
const EPHEMERAL: u16 = 32_768;

/// Whether who sent this segment, from the middle of a connection, is the server: the words of HTTP tell, then who is
/// known to listen, then the ports.
fn is_server(segment: &Segment<'_>, listens: &dyn Fn(SocketAddr) -> bool) -> bool {
    let (source, destination) = (segment.source, segment.destination);
    let words = segment.payload;
    let asks = [&b"GET "[..], b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH "];
    if asks.iter().any(|method| words.starts_with(method)) || listens(destination) {
        return false;
    }
    if words.starts_with(b"HTTP/1.") || listens(source) {
        return true;
    }
    let (from, to) = (source.port(), destination.port());
    // Of two high ports, or two low ones, neither says much: the lower.
    let class = |port: u16| (port >= 1024) as u8 + (port >= EPHEMERAL) as u8;
    (class(from), from) < (class(to), to)
}

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
    /// Whether nothing more is to come.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Ending::Closed | Ending::Refused | Ending::Reset)
    }

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
    /// Segments whose data, SYN or FIN was sent again.
    pub again: u64,
    /// Packets that came damaged, as their checksums show.
    pub damaged: u64,
    /// Packets far beyond what the other end takes: damaged, or of somebody else.
    pub wild: u64,
    /// A checksum of this end was right.
    pub(super) verified: bool,
    /// The end of the sequence space seen so far.
    end: Option<Seq>,
    fin: bool,
}

/// One end of a connection, as its own segments show it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct End {
    /// The largest payload it takes, by its SYN. Bytes.
    pub mss: Option<u16>,
    /// By how much its windows are scaled; `None` if the SYNs were not captured.
    pub window_scale: Option<u8>,
    /// Where that is not known, data in flight show that it is no less.
    pub least_window_scale: u8,
    /// Its SYN was captured with all its options.
    pub syn: bool,
    /// Its SYN allows selective acknowledgments.
    pub sack: bool,
    /// Its SYN has a time stamp.
    pub timestamps: bool,
    /// Its SYN asks for, or its SYN-ACK grants, explicit congestion notification.
    pub ecn: bool,
    /// The same for accurate ECN.
    pub accurate_ecn: bool,
    /// The largest payload it sent at once. Bytes; more than a segment's where a device joined or had yet to cut.
    pub largest: u32,
    /// The most that it had sent and not got acknowledged. Bytes.
    pub peak_flight: u32,
    /// What it sent again, by kind.
    pub repeats: Repeats,
    /// What it sent that came twice, says the other end (RFC 2883).
    pub dsacks: u64,
    /// What it sent that the other end acknowledged although it was not captured. Bytes.
    pub not_captured: u64,
    /// How often its window closed.
    pub zero_windows: u64,
    /// How long it was closed in all.
    pub zero_window_time: Duration,
    /// From here to it and back, at the least.
    pub path: Option<Duration>,
    /// The median of the same.
    pub path_median: Option<Duration>,
    /// What the time went to that it waited before it sent something.
    pub limits: Parts,
}

/// What an end sent again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Repeats {
    /// SYNs and SYN-ACKs.
    pub syn: u64,
    /// After a time-out.
    pub rto: u64,
    /// To probe the end of a flight.
    pub probe: u64,
    /// Because of duplicate acknowledgments.
    pub fast: u64,
    /// Because of selective acknowledgments.
    pub sack: u64,
    /// It had not passed here before: overtaken, or lost on its way here.
    pub late: u64,
    /// Too soon to be sent again: doubled on the way.
    pub copy: u64,
    /// A router said that it was too large.
    pub mtu: u64,
}

impl End {
    pub(super) fn of(half: &Half, other: &Half, limits: Parts) -> End {
        End {
            mss: half.mss,
            window_scale: half.scale(other),
            least_window_scale: half.least_shift,
            syn: half.announced,
            sack: half.sack,
            timestamps: half.timestamps,
            ecn: half.ecn,
            accurate_ecn: half.accurate_ecn,
            largest: half.largest,
            peak_flight: half.peak_flight,
            repeats: half.repeats,
            dsacks: half.dsacks,
            not_captured: half.unseen,
            zero_windows: half.zero.0,
            zero_window_time: half.zero.1,
            path: half.path,
            path_median: half.median(),
            limits,
        }
    }
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
    /// From here to the client and back, and to the server and back, at the least.
    pub paths: [Option<Duration>; 2],
    /// Whether the capture was made at the client: by its own word, else by the times.
    pub at_client: bool,
    /// What is known of the two ends, the client first.
    pub ends: [End; 2],
    /// The end of which nothing was captured, although the other heard it: 0 for the client, 1 for the server.
    pub missing: Option<u8>,
    /// Where its time went; the sum is the time from its first packet to its last.
    pub parts: Parts,
    /// What was asked and answered, in the order of the ends.
    pub exchanges: Vec<Exchange>,
    /// Exchanges beyond those that are kept.
    pub more_exchanges: u64,
    /// The number of each end's first packet, and whether another one had another.
    idents: [(Option<u16>, bool); 2],
    /// How many of those that are looked at came before it, itself included.
    pub(super) ordinal: usize,
    pub(super) syn: Option<Seq>,
    pub(super) answered: bool,
    /// There was one to the same server without anything to do.
    pub(super) could_reuse: bool,
}

impl Connection {
    /// From this end to the other and back, in the middle; `None` if no such pair of packets was captured.
    pub fn round_trip_median(&self) -> Option<Duration> {
        let medians = self.ends.iter().filter_map(|end| end.path_median);
        self.round_trip.map(|least| least.max(medians.sum()))
    }

    /// `listens`: whether connections are known to be opened to an address.
    pub(super) fn new(
        number: usize,
        at: Duration,
        first: &Segment<'_>,
        listens: &dyn Fn(SocketAddr) -> bool,
    ) -> Connection {
        // A capture that begins with the SYN-ACK knows who the client is all the same.
        let answer = match first.flags.contains(Flags::SYN) {
            true => first.flags.contains(Flags::ACK),
            false => is_server(first, listens),
        };
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
            paths: [None; 2],
            at_client: true,
            ends: [End::default(); 2],
            missing: None,
            parts: Parts::default(),
            exchanges: Vec::new(),
            more_exchanges: 0,
            idents: [(None, false); 2],
            ordinal: 0,
            syn: None,
            answered: false,
            could_reuse: false,
        }
    }

    /// Whether the segment begins the next connection of the same addresses: a SYN with another number, which in an
    /// open connection can only come from the side that sent the first (the other's may be a simultaneous open).
    pub(super) fn is_succeeded_by(&self, segment: &Segment<'_>) -> bool {
        let fresh = segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::ACK);
        let over = self.ending != Ending::Open;
        fresh && self.syn != Some(segment.seq) && (over || segment.source == self.client)
    }

    /// Takes a segment, of which `fresh` bytes had not passed by before; whether its numbers had.
    pub(super) fn add(&mut self, at: Duration, segment: &Segment<'_>, fresh: u32) -> bool {
        self.pass(at);
        self.follow_handshake(at, segment);
        let seen = self.side(segment).add(segment, fresh);
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
        seen
    }

    /// Takes a segment that changes nothing.
    pub(super) fn note(&mut self, at: Duration, segment: &Segment<'_>) {
        self.pass(at);
        self.side(segment).packets += 1;
    }

    /// Something passes.
    fn pass(&mut self, at: Duration) {
        let gap = at.saturating_sub(self.end);
        if gap > self.pause.0 {
            self.pause = (gap, self.end);
        }
        self.end = self.end.max(at);
    }

    /// What the segment's sender sends.
    pub(super) fn side(&mut self, segment: &Segment<'_>) -> &mut Side {
        if segment.source == self.client { &mut self.up } else { &mut self.down }
    }

    /// Whether the segment's sender is known to number its packets: not all have the same number.
    pub(super) fn numbers(&mut self, segment: &Segment<'_>, from_client: bool) -> bool {
        let (first, varies) = &mut self.idents[usize::from(!from_client)];
        if let Some(ident) = segment.ident {
            *varies |= *first.get_or_insert(ident) != ident;
        }
        *varies
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
    /// Whether its numbers had been seen.
    fn add(&mut self, segment: &Segment<'_>, fresh: u32) -> bool {
        self.packets += 1;
        self.fin |= segment.flags.contains(Flags::FIN);
        if segment.flags.contains(Flags::RST) {
            return false;
        }
        self.bytes += u64::from(fresh);
        let occupied = segment.seq_len();
        let end = segment.end();
        let Some(seen) = self.end.filter(|_| occupied > 0) else {
            self.end.get_or_insert(end);
            return false;
        };
        let probe = segment.len <= 1 && occupied == segment.len && segment.seq + 1 == seen;
        self.end = Some(seen.max(end));
        segment.seq.lt(seen) && !probe
    }
}

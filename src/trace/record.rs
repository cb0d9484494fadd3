//! What can be traced? A packet at the stack's boundary, or an event between two packets.

use crate::segment::Segment;
use crate::tcp::{Cause, DropReason, Note, Received, Snapshot, Verdict};
use crate::time::Instant;
use crate::wire;
use std::io;
use std::net::SocketAddr;

/// Which way a packet goes, seen from this stack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

impl Direction {
    /// `in` or `out`.
    pub fn word(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// Why a packet is in the trace.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Why<'a> {
    /// Sent by a connection (or by the stack on its behalf: RST, TIME-WAIT).
    Sent(Cause),
    /// Received by a connection.
    Received(Received),
    /// Dropped before it reached a connection; carries the reason.
    Dropped(DropReason),
    /// Not TCP.
    Host {
        /// A stable word: `icmp`, `udp`, `dns`, `fragment`.
        word: &'static str,
        /// A sentence.
        text: &'a str,
    },
}

impl Why<'_> {
    /// The stable word that the packet's first comment begins with.
    pub fn word(&self) -> &'static str {
        match self {
            Why::Sent(cause) => cause.word(),
            Why::Received(received) => received.verdict.word(),
            Why::Dropped(reason) => reason.word(),
            Why::Host { word, .. } => word,
        }
    }

    /// Whether the packet was dropped.
    pub fn is_drop(&self) -> bool {
        matches!(self, Why::Dropped(_) | Why::Received(Received { verdict: Verdict::Drop(_), .. }))
    }
}

/// One IP packet at the stack's boundary.
#[derive(Clone, Copy, Debug)]
pub struct PacketRecord<'a> {
    /// When.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// The packet, from its IP header on.
    pub frame: &'a [u8],
    /// Payload bytes per wire segment when `frame` is a super-segment: sinks get it in pieces.
    pub gso_size: Option<u16>,
    /// Why it is here.
    pub why: Why<'a>,
    /// Connection number from 1, `None` if it belongs to none.
    pub conn: Option<u32>,
    /// The TCP header, if it is TCP (saves sinks the parsing).
    pub seg: Option<&'a Segment>,
    /// The connection's numbers after it.
    pub state: Option<Snapshot>,
}

/// What is no packet.
#[derive(Clone, Copy, Debug)]
pub enum EventKind<'a> {
    /// From the engine.
    Conn(Note),
    /// A simulated link did something to a packet.
    Link {
        /// A stable word: `dropped`, `corrupted`, `duplicated`, `reordered`.
        action: &'static str,
        /// A sentence.
        text: &'a str,
    },
    /// `connect` had to search or to wait for a port, or there is none left.
    Port {
        /// A sentence.
        text: &'a str,
    },
    /// Something of the application layer, e.g. `GET /bytes/100 on connection 3`.
    App {
        /// A stable word: `http`.
        word: &'static str,
        /// A sentence.
        text: &'a str,
    },
}

/// Something that happened between the packets.
#[derive(Clone, Copy, Debug)]
pub struct EventRecord<'a> {
    /// When.
    pub at: Instant,
    /// Connection number from 1, `None` if it belongs to none.
    pub conn: Option<u32>,
    /// This stack's end of the connection.
    pub local: Option<SocketAddr>,
    /// The other end.
    pub remote: Option<SocketAddr>,
    /// What happened.
    pub kind: EventKind<'a>,
}

/// A row of the trace.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A packet.
    Packet(PacketRecord<'a>),
    /// An event.
    Event(EventRecord<'a>),
}

/// Takes records; never fails loudly: an I/O error is kept and reported by `finish`.
pub trait Sink: Send {
    /// Takes one record. Records come in the order of their times.
    fn record(&mut self, record: &Record<'_>);

    /// Takes a packet of which only the first bytes are in its frame, and `rest` is the others. Unless a sink knows better, it is
    /// put together.
    fn record_pieces(&mut self, packet: &PacketRecord<'_>, rest: [&[u8]; 2]) {
        let frame = [packet.frame, rest[0], rest[1]].concat();
        self.record(&Record::Packet(PacketRecord { frame: &frame, ..*packet }));
    }

    /// Whether event records are of any use to it.
    fn wants_events(&self) -> bool {
        true
    }

    /// Records that were left out because the output was too slow ([`super::Overflow::Drop`]).
    fn dropped(&self) -> u64 {
        0
    }

    /// Completes the output.
    ///
    /// # Errors
    /// The first I/O error since the beginning, with the path and a remedy in its message.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Which part of a super-segment a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// From 1.
    pub nth: u32,
    /// How many there are; 1 for a packet that was whole.
    pub of: u32,
}

impl Piece {
    pub(super) const WHOLE: Piece = Piece { nth: 1, of: 1 };
}

impl PacketRecord<'_> {
    /// How many packets of the wire this is.
    pub(super) fn wire_packets(&self) -> u32 {
        match (self.gso_size, self.seg) {
            (Some(size), Some(seg)) if size > 0 => seg.len.div_ceil(u32::from(size)).max(1),
            _ => 1,
        }
    }

    /// Hands each packet of the wire to `each`: the pieces of a super-segment, or the packet itself.
    pub(super) fn each_wire_packet(
        &self,
        scratch: &mut Vec<u8>,
        each: &mut dyn FnMut(&PacketRecord<'_>, Piece),
    ) {
        let of = self.wire_packets();
        let (2.., Some(size), Some(whole)) = (of, self.gso_size, self.seg) else {
            return each(self, Piece::WHOLE);
        };
        let mut nth = 0;
        wire::split_super(self.frame, size, scratch, &mut |frame| {
            let seg = wire::piece(whole, size, nth);
            nth += 1;
            let piece = PacketRecord { frame, gso_size: None, seg: Some(&seg), ..*self };
            each(&piece, Piece { nth, of });
        });
    }
}

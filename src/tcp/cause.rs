//! Why was this segment sent, and what became of that one? The vocabulary of the trace.

use crate::dropped::DropReason;
use crate::seq::Seq;
use crate::time::Duration;

/// Why a segment is sent. A plan to send cannot be built without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The first SYN of `connect`.
    Syn,
    /// A SYN again.
    SynRetransmit {
        /// Which repetition, from 1.
        nth: u8,
        /// How long the one before went unanswered.
        waited: Duration,
    },
    /// The answer to a SYN.
    SynAck {
        /// Which repetition, 0 for the first answer.
        nth: u8,
    },
    /// The answer to a SYN that nothing is remembered of (RFC 4987 §3.6).
    SynCookie,
    /// New data.
    Data {
        /// Why it may leave now.
        why: DataWhy,
        /// An acknowledgment that rides along.
        piggyback: Option<Piggyback>,
    },
    /// New data that Nagle's algorithm or a cork had held back.
    NagleRelease {
        /// How long it was held.
        held: Duration,
        /// What set it free.
        by: Release,
        /// An acknowledgment that rides along.
        piggyback: Option<Piggyback>,
    },
    /// The retransmission timer expired (RFC 6298 §5.4).
    Rto {
        /// Which repetition of this data by the timer, from 1.
        nth: u8,
        /// Time without an acknowledgment.
        waited: Duration,
    },
    /// Data sent again while the losses behind an expired timer are repaired.
    RtoRecovery,
    /// The segment was too large for the path, as a router said (RFC 1191, RFC 8201) or a probe's loss showed.
    MtuRetransmit,
    /// The SYN-ACK did not acknowledge what went with the SYN (RFC 7413 §4.2.1).
    SynDataAgain,
    /// Does the path carry a packet of this size? (RFC 4821 §7)
    MtuProbe {
        /// The size in bytes, headers included.
        mtu: u16,
    },
    /// Duplicate ACKs said that it was lost (RFC 5681 §3.2, RFC 6582).
    FastRetransmit {
        /// How many duplicate ACKs had come; 0 for a partial acknowledgment in recovery.
        duplicates: u8,
    },
    /// SACK blocks beyond it said that it was lost (RFC 6675).
    SackRetransmit,
    /// Later data was delivered a reordering window ago (RFC 8985).
    Rack,
    /// A probe for a lost tail (RFC 8985 §7).
    TailLossProbe,
    /// The peer's window is closed: is it still? (RFC 9293 §3.8.6.1)
    WindowProbe {
        /// Which probe, from 1.
        nth: u8,
    },
    /// Is the peer still there? (RFC 9293 §3.8.4)
    KeepAlive {
        /// Which probe, from 1.
        nth: u8,
    },
    /// No more data from this side.
    Fin {
        /// An acknowledgment that rides along.
        piggyback: Option<Piggyback>,
    },
    /// The connection ends, or there is none.
    Rst(RstWhy),
    /// So many full-sized segments came (RFC 9293 §3.8.6.3, SHLD-19).
    AckEvery {
        /// Segments acknowledged at once.
        segments: u16,
    },
    /// The delayed-ACK timer expired.
    AckDelayed {
        /// Time since the oldest unacknowledged byte came.
        waited: Duration,
    },
    /// An acknowledgment that must not wait.
    AckNow(AckNowWhy),
}

/// An acknowledgment that a segment with data carries: it would have been a segment of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piggyback {
    /// Bytes acknowledged for the first time.
    pub bytes: u32,
    /// Time since the oldest of them came.
    pub waited: Duration,
}

/// Why new data may leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataWhy {
    /// The segment is full.
    Full,
    /// Nothing was in flight.
    Idle,
    /// Nagle's algorithm is off.
    NoDelay,
    /// No other small segment is in flight (Minshall).
    OnlySmall,
    /// It is more than half of the largest window that the peer ever offered (RFC 9293 §3.8.6.2.1).
    HalfWindow,
    /// It ends a record, and nothing joins it (`MSG_EOR`).
    Record,
    /// It is the last before a FIN.
    Last,
    /// The sender-side silly-window timer expired (RFC 9293 §3.8.6.2.1).
    Override,
    /// It is urgent.
    Urgent,
}

/// What set held data free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// An acknowledgment arrived.
    Ack,
    /// More data filled the segment.
    Filled,
    /// The application switched Nagle's algorithm or the cork off.
    Option,
    /// The application closed its side.
    Close,
    /// The cork's 200 ms were over.
    Timer,
}

/// Why a reset was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RstWhy {
    /// The application aborted, or lingered for zero seconds.
    Abort,
    /// The application closed without having read everything (RFC 2525 §2.17), or data came after it had closed.
    UnreadData,
    /// There is no connection and no listener for the segment (RFC 9293 §3.10.7.1).
    NoSocket,
    /// The acknowledgment is for something never sent (RFC 9293 §3.10.7.3).
    BadAck,
    /// A SYN came that does not belong to the handshake under way (RFC 9293 §3.10.7.4).
    BadSyn,
    /// Retransmission, keep-alive or the user timeout gave up.
    GaveUp,
    /// The listener's queue is full.
    NoRoom,
}

/// Why an acknowledgment must leave at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckNowWhy {
    /// A segment came out of order (RFC 5681 §4.2).
    OutOfOrder,
    /// A segment filled a gap (RFC 5681 §4.2).
    GapFilled,
    /// A FIN came.
    Fin,
    /// The window opened enough to be worth saying (RFC 9293 §3.8.6.2.2).
    WindowUpdate,
    /// The segment, or part of it, was here already.
    Duplicate,
    /// A doubtful segment is answered with where we are (RFC 5961).
    Challenge,
    /// Within the first segments of a connection, or asked for by `TCP_QUICKACK`.
    Quick,
    /// The delay is set to zero.
    NoDelay,
    /// It completes the handshake.
    Handshake,
    /// A window or keep-alive probe is answered.
    Probe,
    /// A congestion mark came, or the peer has reduced its window (RFC 3168).
    Ecn,
    /// The ECN field of what comes has changed (RFC 9768 §3.2.2.5.1).
    EcnChange,
    /// The application has read all of it.
    Read,
    /// There is no memory for what came.
    NoMemory,
}

impl Cause {
    /// The stable word that the packet's comment begins with.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::Syn => "syn",
            Cause::SynRetransmit { .. } => "syn-retransmit",
            Cause::SynAck { .. } => "syn-ack",
            Cause::SynCookie => "syn-cookie",
            Cause::Data { .. } => "data",
            Cause::NagleRelease { .. } => "nagle-release",
            Cause::Rto { .. } | Cause::RtoRecovery => "rto",
            Cause::MtuRetransmit => "mtu-retransmit",
            Cause::SynDataAgain => "syn-data-again",
            Cause::MtuProbe { .. } => "mtu-probe",
            Cause::FastRetransmit { .. } => "fast-retransmit",
            Cause::SackRetransmit => "sack-retransmit",
            Cause::Rack => "rack",
            Cause::TailLossProbe => "tail-loss-probe",
            Cause::WindowProbe { .. } => "window-probe",
            Cause::KeepAlive { .. } => "keep-alive",
            Cause::Fin { .. } => "fin",
            Cause::Rst(_) => "rst",
            Cause::AckEvery { .. } => "ack-every",
            Cause::AckDelayed { .. } => "ack-delayed",
            Cause::AckNow(why) => match why {
                AckNowWhy::OutOfOrder => "ack-now(out-of-order)",
                AckNowWhy::GapFilled => "ack-now(gap-filled)",
                AckNowWhy::Fin => "ack-now(fin)",
                AckNowWhy::WindowUpdate => "ack-now(window-update)",
                AckNowWhy::Duplicate => "ack-now(duplicate)",
                AckNowWhy::Challenge => "ack-now(challenge)",
                AckNowWhy::Quick => "ack-now(quick)",
                AckNowWhy::NoDelay => "ack-now(no-delay)",
                AckNowWhy::Handshake => "ack-now(handshake)",
                AckNowWhy::Probe => "ack-now(probe)",
                AckNowWhy::Ecn => "ack-now(ecn)",
                AckNowWhy::EcnChange => "ack-now(ecn-change)",
                AckNowWhy::Read => "ack-now(read)",
                AckNowWhy::NoMemory => "ack-now(no-memory)",
            },
        }
    }

    /// The acknowledgment that rides along, if any.
    pub fn piggyback(&self) -> Option<Piggyback> {
        match *self {
            Cause::Data { piggyback, .. }
            | Cause::NagleRelease { piggyback, .. }
            | Cause::Fin { piggyback } => piggyback,
            _ => None,
        }
    }
}

/// What a segment that arrived turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// The judgement.
    pub verdict: Verdict,
    /// Bytes (SYN and FIN counted) that its acknowledgment covered for the first time.
    pub acked: u32,
    /// Payload bytes that became readable through it, those behind a filled gap included.
    pub delivered: u32,
    /// The count of duplicate ACKs, this one included; 0 if it is none.
    pub duplicate_acks: u8,
    /// The peer's window in bytes, if it is another one than before although nothing was acknowledged.
    pub window: Option<u32>,
}

impl Received {
    /// A bare verdict.
    pub fn new(verdict: Verdict) -> Received {
        Received { verdict, acked: 0, delivered: 0, duplicate_acks: 0, window: None }
    }
}

/// The judgement on a segment that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// What was expected next, or a pure acknowledgment.
    InOrder,
    /// Data beyond a gap: kept.
    OutOfOrder,
    /// A duplicate acknowledgment, or data that is here already beyond a gap.
    Duplicate,
    /// Data below RCV.NXT: here already.
    Old,
    /// Some of it was new, the rest was here already or beyond the window.
    Partial,
    /// Dropped.
    Drop(DropReason),
}

impl Verdict {
    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::InOrder => "in-order",
            Verdict::OutOfOrder => "out-of-order",
            Verdict::Duplicate => "duplicate",
            Verdict::Old => "old",
            Verdict::Partial => "partial",
            Verdict::Drop(reason) => reason.word(),
        }
    }
}

/// Why nothing is sent although the connection has something to send or could have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocked {
    /// Nothing to send.
    Idle,
    /// A small segment waits for an acknowledgment.
    Nagle,
    /// The application's cork.
    Cork,
    /// The congestion window is full.
    Cwnd,
    /// What the window allows is spread over the round trip.
    Pacing,
    /// The peer's window is full or closed.
    PeerWindow,
    /// The handshake is not done.
    Handshake,
    /// The connection is closed.
    Closed,
}

impl Blocked {
    /// The stable word behind `limit=`.
    pub fn word(self) -> &'static str {
        match self {
            Blocked::Idle => "idle",
            Blocked::Nagle => "nagle",
            Blocked::Cork => "cork",
            Blocked::Cwnd => "cwnd",
            Blocked::Pacing => "pacing",
            Blocked::PeerWindow => "rwnd",
            Blocked::Handshake => "handshake",
            Blocked::Closed => "closed",
        }
    }
}

/// The connection's numbers after a segment: the packet's second comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The state.
    pub state: super::State,
    /// The initial send sequence number; relative numbers are counted from it.
    pub iss: Seq,
    /// The initial receive sequence number.
    pub irs: Seq,
    /// Congestion window in bytes.
    pub cwnd: u32,
    /// Slow start threshold in bytes; `u32::MAX` while nothing was lost.
    pub ssthresh: u32,
    /// Bytes sent and not acknowledged.
    pub flight: u32,
    /// Smoothed round-trip time, if measured.
    pub srtt: Option<Duration>,
    /// The retransmission time-out as it stands, back-off included.
    pub rto: Duration,
    /// The peer's window in bytes.
    pub rwnd: u32,
    /// Bytes written and not yet sent.
    pub unsent: u32,
    /// What keeps them from being sent.
    pub limit: Blocked,
    /// Segments that came with a congestion mark (RFC 3168); `None` unless both ends take part.
    pub ecn: Option<u32>,
    /// They are counted precisely: the flags of a segment say how many there were (RFC 9768).
    pub ace: bool,
}

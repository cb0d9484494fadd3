//! Why did a packet go no further?

/// Why a packet was dropped. Each is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum DropReason {
    /// A wrong checksum.
    Checksum,
    /// Outside the receive window (RFC 9293 §3.10.7.4).
    Window,
    /// An old time stamp (RFC 7323 §5).
    Paws,
    /// Not a well-formed packet.
    Malformed,
    /// No connection and no listener.
    NoSocket,
    /// The listener's accept queue is full.
    Backlog,
    /// The listener's SYN queue is full, and cookies are off.
    SynQueue,
    /// It acknowledges no valid SYN cookie, although some were sent lately.
    Cookie,
    /// Its acknowledgment is outside what can be acknowledged (RFC 5961 §5).
    BadAck,
    /// Not for an address of this stack.
    NotForUs,
    /// A protocol or packet type that nothing here handles.
    Unhandled,
    /// A control bit that does not fit the state (RFC 5961 §3, §4; RFC 9293 §3.10.7).
    Control,
    /// It is signed (RFC 2385), and there is no key (Linux counts `TCPMD5Unexpected`).
    Signed,
    /// It is not signed, and its sender has a key (`TCPMD5NotFound`).
    Unsigned,
    /// Its signature is wrong (`TCPMD5Failure`).
    Signature,
    /// A connection that waits for data before it is told of (`tcp.defer_accept`), and there is none in it.
    Deferred,
    /// Too many gaps are open, or memory is short for all connections together.
    Memory,
}

impl DropReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [DropReason; 17] = [
        DropReason::Checksum,
        DropReason::Window,
        DropReason::Paws,
        DropReason::Malformed,
        DropReason::NoSocket,
        DropReason::Backlog,
        DropReason::SynQueue,
        DropReason::Cookie,
        DropReason::BadAck,
        DropReason::NotForUs,
        DropReason::Unhandled,
        DropReason::Control,
        DropReason::Signed,
        DropReason::Unsigned,
        DropReason::Signature,
        DropReason::Deferred,
        DropReason::Memory,
    ];

    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            DropReason::Checksum => "drop-checksum",
            DropReason::Window => "drop-window",
            DropReason::Paws => "drop-paws",
            DropReason::Malformed => "drop-malformed",
            DropReason::NoSocket => "drop-no-socket",
            DropReason::Backlog => "drop-backlog",
            DropReason::SynQueue => "drop-syn-queue",
            DropReason::Cookie => "drop-cookie",
            DropReason::BadAck => "drop-bad-ack",
            DropReason::NotForUs => "drop-not-for-us",
            DropReason::Unhandled => "drop-unhandled",
            DropReason::Control => "drop-control",
            DropReason::Signed => "drop-signed",
            DropReason::Unsigned => "drop-unsigned",
            DropReason::Signature => "drop-signature",
            DropReason::Deferred => "drop-deferred",
            DropReason::Memory => "drop-memory",
        }
    }
}

//! Which state is a connection in, and how did it end? RFC 9293 §3.3.2.

use crate::stream::StreamError;

/// The states of RFC 9293 §3.3.2. LISTEN is missing: a listener is no connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// A SYN was sent.
    SynSent,
    /// A SYN was received and one was sent.
    SynReceived,
    /// Data flows.
    Established,
    /// This side closed; its FIN is not acknowledged.
    FinWait1,
    /// This side closed; its FIN is acknowledged.
    FinWait2,
    /// The peer closed.
    CloseWait,
    /// Both sides closed at once; this side's FIN is not acknowledged.
    Closing,
    /// The peer closed, then this side; its FIN is not acknowledged.
    LastAck,
    /// Both sides closed, this one first.
    TimeWait,
    /// No connection any more.
    Closed,
}

impl State {
    /// The RFC's spelling: `FIN-WAIT-1`.
    pub fn name(self) -> &'static str {
        match self {
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
            State::Closed => "CLOSED",
        }
    }

    /// Whether the handshake is still going on.
    pub fn is_opening(self) -> bool {
        matches!(self, State::SynSent | State::SynReceived)
    }

    /// Whether the connection is over, TIME-WAIT included.
    pub fn is_over(self) -> bool {
        matches!(self, State::TimeWait | State::Closed)
    }
}

/// Why a connection is over: RFC 9293 §3.6 (MUST-12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// Both sides closed.
    Normal,
    /// A RST answered the SYN.
    Refused,
    /// The peer sent a RST.
    Reset,
    /// This side aborted.
    Aborted,
    /// Retransmission, keep-alive or the user timeout gave up.
    TimedOut,
    /// ICMP said that the destination cannot be reached.
    Unreachable,
}

impl CloseReason {
    /// What `read` and `write` return from now on; `None` after a normal end.
    pub fn error(self) -> Option<StreamError> {
        match self {
            CloseReason::Normal => None,
            CloseReason::Refused => Some(StreamError::ConnectionRefused),
            CloseReason::Reset => Some(StreamError::ConnectionReset),
            CloseReason::Aborted => Some(StreamError::ConnectionAborted),
            CloseReason::TimedOut => Some(StreamError::TimedOut),
            CloseReason::Unreachable => Some(StreamError::HostUnreachable),
        }
    }

    /// One plain word.
    pub fn word(self) -> &'static str {
        match self {
            CloseReason::Normal => "closed",
            CloseReason::Refused => "refused",
            CloseReason::Reset => "reset",
            CloseReason::Aborted => "aborted",
            CloseReason::TimedOut => "timed-out",
            CloseReason::Unreachable => "unreachable",
        }
    }
}

//! What happened that is no segment? Notes for the trace.

use super::{CloseReason, State};
use crate::time::Duration;

/// Something worth a row between the packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// The connection went from one state to another.
    State {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
    },
    /// Nagle's algorithm or a cork holds bytes back.
    Hold {
        /// How many.
        bytes: u32,
        /// True for the cork.
        cork: bool,
    },
    /// An acknowledgment waits for company.
    AckTimer {
        /// At most so long.
        delay: Duration,
    },
    /// The retransmission timer starts to run.
    RtoTimer {
        /// So long.
        rto: Duration,
    },
    /// Packets of so many bytes pass, as a probe showed, or are tried because larger ones seem to vanish.
    Mtu {
        /// Bytes, headers included.
        mtu: u16,
    },
    /// The connection was made from a SYN cookie that came back.
    Cookie,
    /// Data that went with a SYN was taken (RFC 7413).
    FastOpen {
        /// How much.
        bytes: u32,
    },
    /// The peer's window is closed: it will be probed.
    PersistTimer {
        /// After so long.
        delay: Duration,
    },
    /// The congestion window changed other than by growing with an ACK.
    Cwnd {
        /// Bytes before.
        from: u32,
        /// Bytes now.
        to: u32,
        /// The slow start threshold now, in bytes.
        ssthresh: u32,
        /// Why.
        why: CwndWhy,
    },
    /// A RST took what was received and not read.
    Destroyed {
        /// How much.
        bytes: u32,
    },
    /// The connection is over.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Why the congestion window changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CwndWhy {
    /// The retransmission timer expired.
    Rto,
    /// Loss was detected and recovery begins.
    Recovery,
    /// The peer echoed a congestion mark (RFC 3168).
    Ecn,
    /// Recovery is over.
    Recovered,
    /// Nothing had been lost after all.
    Undo,
    /// The retransmission timer had expired too early (RFC 5682, RFC 4015).
    SpuriousRto,
    /// The connection was idle (RFC 5681 §4.1).
    Idle,
    /// The path's MTU changed.
    Mtu,
    /// The round trips have grown: slow start ends before anything is lost (RFC 9406).
    SlowStartLeft,
}

/// Where handlers leave their notes; the caller drains it after each call.
#[derive(Debug, Default)]
pub struct Log {
    enabled: bool,
    notes: Vec<Note>,
}

impl Log {
    /// A log that keeps notes, or, if not `enabled`, one that costs nothing.
    pub fn new(enabled: bool) -> Log {
        Log { enabled, notes: Vec::new() }
    }

    /// Keeps notes from now on, or none; those that are there stay.
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Adds a note.
    pub fn push(&mut self, note: Note) {
        if self.enabled {
            self.notes.push(note);
        }
    }

    /// Takes all notes, oldest first.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Note> {
        self.notes.drain(..)
    }

    /// Whether there is nothing to drain.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }
}

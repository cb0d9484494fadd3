//! How many segments are where? The sums over all that was sent and not acknowledged.
//!
//! In segments and not in bytes, as on Linux: a router's queue has room for packets, and what a small one brings about does
//! not depend on its size.

/// What is known of a transmission.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Marks {
    /// The peer said that it has it.
    pub(super) sacked: bool,
    /// Taken for lost.
    pub(super) lost: bool,
    /// Sent again, and that is on its way. Without `lost` both may be: it was taken for lost by mistake.
    pub(super) resent: bool,
    /// Given up by its time since it was sent last: that is done once, also if it turns out to be a mistake. As on Linux.
    pub(super) overdue: bool,
}

impl Marks {
    /// On its way, as far as is known.
    pub(super) fn flies(self) -> bool {
        !self.sacked && (!self.lost || self.resent)
    }

    /// To be sent again.
    pub(super) fn waits(self) -> bool {
        self.lost && !self.resent && !self.sacked
    }
}

/// Segments by what is known of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Tally {
    /// Sent and not acknowledged.
    pub(super) out: u32,
    /// Reported by the peer.
    pub(super) sacked: u32,
    /// Taken for lost, whether sent again or not.
    pub(super) lost: u32,
    /// Sent again and on their way.
    pub(super) resent: u32,
}

impl Tally {
    /// So many are believed to be in the network: `pipe` of RFC 6675 §4.
    pub(super) const fn in_network(&self) -> u32 {
        (self.out + self.resent).saturating_sub(self.sacked + self.lost)
    }

    /// `segments` with these marks join.
    pub(super) fn add(&mut self, segments: u32, marks: Marks) {
        self.out += segments;
        self.sacked += if marks.sacked { segments } else { 0 };
        self.lost += if marks.lost { segments } else { 0 };
        self.resent += if marks.resent { segments } else { 0 };
    }

    /// `segments` with these marks are gone.
    pub(super) fn remove(&mut self, segments: u32, marks: Marks) {
        self.out -= segments;
        self.sacked -= if marks.sacked { segments } else { 0 };
        self.lost -= if marks.lost { segments } else { 0 };
        self.resent -= if marks.resent { segments } else { 0 };
    }
}

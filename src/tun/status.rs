//! How does a device fare? Counts that outlive it.

use super::error::{TunError, TunErrorKind};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How a device fares; shared with whoever wants to tell the user, while the device itself serves the stack.
#[derive(Clone, Default, Debug)]
pub struct Status(pub(super) Arc<Counters>);

#[derive(Default, Debug)]
pub(super) struct Counters {
    pub down: AtomicBool,
    pub lost_down: AtomicU64,
    pub lost_full: AtomicU64,
    pub refused: AtomicU64,
    pub malformed: AtomicU64,
}

impl Status {
    /// Whether the interface was down or gone when it was last used.
    pub fn is_down(&self) -> bool {
        self.0.down.load(Relaxed)
    }

    /// Packets that could not be sent because the interface was down.
    pub fn lost_down(&self) -> u64 {
        self.0.lost_down.load(Relaxed)
    }

    /// Packets that found no room although their sender had not asked for it (answers to received packets).
    pub fn lost_full(&self) -> u64 {
        self.0.lost_full.load(Relaxed)
    }

    /// Packets that the kernel would not take, for instance because they are no IP.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// Packets that were dropped because what the device said of them was not so: a checksum outside of the packet, a
    /// super-segment that is no TCP. Only with offloads; a Linux kernel makes none.
    pub fn malformed(&self) -> u64 {
        self.0.malformed.load(Relaxed)
    }

    /// The error to show when [`is_down`](Self::is_down).
    pub fn error(&self, name: &str) -> Option<TunError> {
        self.is_down().then(|| {
            TunError::new(
                TunErrorKind::Down,
                format!("sending through {name}"),
                Errno::IO,
                format!(
                    "the interface is down or gone ({} packets lost): `sudo ip link set {name} up`",
                    self.lost_down()
                ),
            )
        })
    }
}

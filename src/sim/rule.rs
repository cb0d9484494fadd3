//! What shall happen to which packet? Rules that a test lays on one direction of a link.

use crate::segment::Segment;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// A TCP packet that is about to enter a link.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// When it was sent.
    pub at: Instant,
    /// Who sent it.
    pub src: SocketAddr,
    /// Where it goes.
    pub dst: SocketAddr,
    /// Its header.
    pub seg: &'a Segment,
    /// Its data.
    pub payload: &'a [u8],
}

/// What becomes of it. Queue, bandwidth and faults of the link itself come in addition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It goes its way.
    Pass,
    /// It arrives so much later; later packets may overtake it.
    Delay(Duration),
    /// It is lost.
    Drop,
    /// It arrives with one bit turned over, which the checksum finds.
    Corrupt,
    /// It arrives twice.
    Duplicate,
    /// It is lost, and both ends get a RST that looks like the other's: what firewalls and load balancers do.
    Reset,
}

/// Decides about every TCP packet of one direction of a link ([`World::add_rule`](super::World::add_rule)), once each
/// and in the order in which they are sent. A closure is a rule.
pub trait Rule: Send {
    /// What becomes of this packet.
    fn judge(&mut self, packet: &Passing<'_>) -> Action;
}

impl<F: FnMut(&Passing<'_>) -> Action + Send> Rule for F {
    fn judge(&mut self, packet: &Passing<'_>) -> Action {
        self(packet)
    }
}

/// Loses the `n`-th packet with data, counted from 1, repetitions included.
pub fn drop_nth(n: u64) -> impl Rule {
    let mut seen = 0;
    move |packet: &Passing<'_>| {
        seen += u64::from(!packet.payload.is_empty());
        if seen == n && !packet.payload.is_empty() { Action::Drop } else { Action::Pass }
    }
}

/// Resets the connection of the first packet that carries data beyond `n` bytes, all connections and repetitions
/// counted; once.
pub fn reset_after_bytes(n: u64) -> impl Rule {
    let (mut seen, mut done) = (0, false);
    move |packet: &Passing<'_>| {
        seen += packet.payload.len() as u64;
        if done || seen <= n {
            return Action::Pass;
        }
        done = true;
        Action::Reset
    }
}

/// Holds back everything for a `time` from the first packet on that carries data beyond `n` bytes; once.
pub fn stall_at(n: u64, time: Duration) -> impl Rule {
    let (mut seen, mut until) = (0, None);
    move |packet: &Passing<'_>| {
        seen += packet.payload.len() as u64;
        if seen <= n {
            return Action::Pass;
        }
        let until: Instant = *until.get_or_insert(packet.at + time);
        match until.since(packet.at) {
            Duration::ZERO => Action::Pass,
            left => Action::Delay(left),
        }
    }
}

//! What can time go to? The parts of an exchange's time, and sums of them.

use crate::time::Duration;
use std::ops::{AddAssign, Sub};

/// What time was spent on. Each microsecond of an exchange is charged to one of these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Looking up the server's name.
    Name,
    /// Waiting for a local port.
    PortWait,
    /// Waiting for a connection, or for the responses before this one on the same connection.
    Queue,
    /// Opening the connection.
    Handshake,
    /// The client's application had not written yet.
    App,
    /// Nagle's algorithm or a cork held data that was written.
    Nagle,
    /// The congestion window was full.
    Cwnd,
    /// The receiver's window was full or closed.
    Rwnd,
    /// Segments were spaced out.
    Pacing,
    /// Something was lost, or taken for lost, and sent again.
    Recovery,
    /// The end where the capture was made held an acknowledgment back.
    OwnAckDelay,
    /// The other end held an acknowledgment back.
    PeerAckDelay,
    /// The server had the request, or a part of it, and had not written yet.
    Server,
    /// The way through the network.
    Link,
    /// Bytes arrived, or left, one after the other.
    Transfer,
    /// Closing the connection.
    Close,
}

impl Part {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Part; 16] = [
        Part::Name,
        Part::PortWait,
        Part::Queue,
        Part::Handshake,
        Part::App,
        Part::Nagle,
        Part::Cwnd,
        Part::Rwnd,
        Part::Pacing,
        Part::Recovery,
        Part::OwnAckDelay,
        Part::PeerAckDelay,
        Part::Server,
        Part::Link,
        Part::Transfer,
        Part::Close,
    ];

    /// What it is, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Part::Name => "looking up the server's name",
            Part::PortWait => "waiting for a local port",
            Part::Queue => {
                "waiting for a connection, or for the responses before this one on the same connection"
            }
            Part::Handshake => "opening the connection",
            Part::App => "the client's application had not written yet",
            Part::Nagle => "Nagle's algorithm or a cork held data that was written",
            Part::Cwnd => "the congestion window was full",
            Part::Rwnd => "the receiver's window was full or closed",
            Part::Pacing => "segments were spaced out",
            Part::Recovery => "something was lost, or taken for lost, and sent again",
            Part::OwnAckDelay => "the end where the capture was made held an acknowledgment back",
            Part::PeerAckDelay => "the other end held an acknowledgment back",
            Part::Server => "the server had the request, or a part of it, and had not written yet",
            Part::Link => "the way through the network",
            Part::Transfer => "bytes arrived, or left, one after the other",
            Part::Close => "closing the connection",
        }
    }

    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Part::Name => "name",
            Part::PortWait => "port-wait",
            Part::Queue => "queue",
            Part::Handshake => "handshake",
            Part::App => "app",
            Part::Nagle => "nagle",
            Part::Cwnd => "cwnd",
            Part::Rwnd => "rwnd",
            Part::Pacing => "pacing",
            Part::Recovery => "recovery",
            Part::OwnAckDelay => "own-ack-delay",
            Part::PeerAckDelay => "peer-ack-delay",
            Part::Server => "server",
            Part::Link => "link",
            Part::Transfer => "transfer",
            Part::Close => "close",
        }
    }
}

/// Time by part.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Parts([Duration; Part::ALL.len()]);

impl Parts {
    /// The time charged to `part`.
    pub fn of(&self, part: Part) -> Duration {
        self.0[part as usize]
    }

    /// Charges `time` to `part`.
    pub fn add(&mut self, part: Part, time: Duration) {
        self.0[part as usize] += time;
    }

    /// The whole time.
    pub fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// The parts in whole microseconds, which sum up to the whole time's: what rounding takes from one part, it gives
    /// to the next.
    pub fn micros(&self) -> impl Iterator<Item = (Part, u64)> {
        let mut until = Duration::ZERO;
        let mut charged = 0;
        self.iter().map(move |(part, time)| {
            until += time;
            let us = until.as_micros() as u64 - charged;
            charged += us;
            (part, us)
        })
    }

    /// The parts that took any time, in the order in which they are shown.
    pub fn iter(&self) -> impl Iterator<Item = (Part, Duration)> {
        Part::ALL.into_iter().zip(self.0).filter(|(_, time)| !time.is_zero())
    }
}

impl Sub for Parts {
    type Output = Parts;

    /// What was charged since `earlier`, a copy of the same sums.
    fn sub(self, earlier: Parts) -> Parts {
        let mut parts = self;
        for (time, before) in parts.0.iter_mut().zip(earlier.0) {
            *time = time.saturating_sub(before);
        }
        parts
    }
}

impl AddAssign for Parts {
    fn add_assign(&mut self, other: Parts) {
        for (time, more) in self.0.iter_mut().zip(other.0) {
            *time += more;
        }
    }
}

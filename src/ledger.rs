//! What can time go to? The parts of a connection's or an exchange's time, and sums of them.

use crate::time::{Duration, Instant};
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

/// What is known of the way of a packet where the network tells: in the simulator. Microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Travel {
    /// How long what went the other way last was under way.
    pub there: u64,
    /// Some of that had been lost before.
    pub repaired: bool,
    /// How long it was under way itself,
    pub back: u64,
    /// how much longer than what came before it,
    pub extra: u64,
    /// of which its own bits took so much at the rate of the path.
    pub own: u64,
    /// When what it brings was sent first, if that was lost.
    pub lost: Option<Instant>,
}

/// Time by part: a ledger. The parts of a span of time sum up to it exactly.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs, reason = "each field is the part of its name")]
pub struct Parts {
    pub name: Duration,
    pub port_wait: Duration,
    pub queue: Duration,
    pub handshake: Duration,
    pub app: Duration,
    pub nagle: Duration,
    pub cwnd: Duration,
    pub rwnd: Duration,
    pub pacing: Duration,
    pub recovery: Duration,
    pub own_ack_delay: Duration,
    pub peer_ack_delay: Duration,
    pub server: Duration,
    pub link: Duration,
    pub transfer: Duration,
    pub close: Duration,
}

impl Parts {
    /// The time charged to `part`.
    pub fn of(&self, part: Part) -> Duration {
        let mut copy = *self;
        *copy.slot(part)
    }

    /// So much of what was charged to one part belongs to another.
    pub fn shift(&mut self, from: Part, to: Part, time: Duration) {
        let time = time.min(self.of(from));
        *self.slot(from) = self.of(from) - time;
        self.add(to, time);
    }

    fn slot(&mut self, part: Part) -> &mut Duration {
        match part {
            Part::Name => &mut self.name,
            Part::PortWait => &mut self.port_wait,
            Part::Queue => &mut self.queue,
            Part::Handshake => &mut self.handshake,
            Part::App => &mut self.app,
            Part::Nagle => &mut self.nagle,
            Part::Cwnd => &mut self.cwnd,
            Part::Rwnd => &mut self.rwnd,
            Part::Pacing => &mut self.pacing,
            Part::Recovery => &mut self.recovery,
            Part::OwnAckDelay => &mut self.own_ack_delay,
            Part::PeerAckDelay => &mut self.peer_ack_delay,
            Part::Server => &mut self.server,
            Part::Link => &mut self.link,
            Part::Transfer => &mut self.transfer,
            Part::Close => &mut self.close,
        }
    }

    /// Part by part; field by field, because servers do this for each request.
    fn each(&self, other: &Parts, f: impl Fn(Duration, Duration) -> Duration) -> Parts {
        Parts {
            name: f(self.name, other.name),
            port_wait: f(self.port_wait, other.port_wait),
            queue: f(self.queue, other.queue),
            handshake: f(self.handshake, other.handshake),
            app: f(self.app, other.app),
            nagle: f(self.nagle, other.nagle),
            cwnd: f(self.cwnd, other.cwnd),
            rwnd: f(self.rwnd, other.rwnd),
            pacing: f(self.pacing, other.pacing),
            recovery: f(self.recovery, other.recovery),
            own_ack_delay: f(self.own_ack_delay, other.own_ack_delay),
            peer_ack_delay: f(self.peer_ack_delay, other.peer_ack_delay),
            server: f(self.server, other.server),
            link: f(self.link, other.link),
            transfer: f(self.transfer, other.transfer),
            close: f(self.close, other.close),
        }
    }

    /// Charges `time` to `part`.
    pub fn add(&mut self, part: Part, time: Duration) {
        *self.slot(part) += time;
    }

    /// The whole time.
    pub fn total(&self) -> Duration {
        Part::ALL.iter().map(|part| self.of(*part)).sum()
    }

    /// The parts in whole microseconds, which sum up to the whole time's: what rounding takes from one part, it gives
    /// to the next.
    pub fn micros(&self) -> impl Iterator<Item = (Part, u64)> {
        self.micros_from(Duration::ZERO)
    }

    /// The same of a span of time that begins at `start`: they sum up to its end in whole microseconds less its start in
    /// whole microseconds.
    pub fn micros_from(&self, start: Duration) -> impl Iterator<Item = (Part, u64)> {
        let mut until = start;
        let mut charged = start.as_micros() as u64;
        self.iter().map(move |(part, time)| {
            until += time;
            let us = until.as_micros() as u64 - charged;
            charged += us;
            (part, us)
        })
    }

    /// The parts that took any time, in the order in which they are shown.
    pub fn iter(&self) -> impl Iterator<Item = (Part, Duration)> {
        let parts = *self;
        Part::ALL.into_iter().map(move |part| (part, parts.of(part))).filter(|(_, time)| !time.is_zero())
    }
}

impl Sub for Parts {
    type Output = Parts;

    /// What was charged since `earlier`, a copy of the same sums.
    fn sub(self, earlier: Parts) -> Parts {
        self.each(&earlier, Duration::saturating_sub)
    }
}

impl AddAssign for Parts {
    fn add_assign(&mut self, other: Parts) {
        *self = self.each(&other, Duration::saturating_add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_place_of_its_own() {
        let mut parts = Parts::default();
        for (n, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(part as usize, n, "in the order of their declaration");
            parts.add(part, Duration::from_micros(1 << n));
        }
        for (n, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(parts.of(part), Duration::from_micros(1 << n), "{}", part.word());
        }
        assert_eq!(parts.total(), Duration::from_micros((1 << 16) - 1));
        assert_eq!((parts.name, parts.close), (Duration::from_micros(1), Duration::from_micros(1 << 15)));
        let twice = {
            let mut twice = parts;
            twice += parts;
            twice
        };
        assert_eq!(twice - parts, parts);
    }

    #[test]
    fn what_rounding_takes_from_one_part_the_next_has() {
        let mut parts = Parts::default();
        for part in [Part::App, Part::Link, Part::Transfer] {
            parts.add(part, Duration::from_nanos(1_600));
        }
        let micros: Vec<u64> = parts.micros().map(|(_, us)| us).collect();
        assert_eq!(micros, [1, 2, 1]);
        assert_eq!(micros.iter().sum::<u64>(), parts.total().as_micros() as u64);
        let start = Duration::from_nanos(7_300);
        let whole = (start + parts.total()).as_micros() as u64 - start.as_micros() as u64;
        assert_eq!(parts.micros_from(start).map(|(_, us)| us).sum::<u64>(), whole);
        assert_eq!(whole, 5, "one more than from zero");
    }
}

//! What cost time, and what can be done about it?

use crate::ledger::Part;
use crate::time::Duration;
use std::collections::BTreeMap;

/// Frames and connections that a finding names; it counts the others.
const FRAMES: usize = 100;

/// What went slower than it had to, or wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    /// Nagle's algorithm waited for an acknowledgment that the other end held back.
    NagleDelayedAck,
    /// Nagle's algorithm held a small segment for a round trip.
    Nagle,
    /// An acknowledgment that was held back made the other end wait.
    DelayedAck,
    /// The congestion window grew from its start.
    SlowStart,
    /// The congestion window began with less than ten segments.
    InitialWindow,
    /// The congestion window had to grow again after a pause.
    SlowStartAfterIdle,
    /// The congestion window was small after losses.
    Congestion,
    /// The receiver's window was full.
    ReceiveWindow,
    /// The receiver's window cannot exceed 64 KiB: window scaling was not agreed upon.
    WindowScaling,
    /// The receiver's window was closed.
    ZeroWindow,
    /// The receiver's window was closed from the beginning.
    LateWindow,
    /// Lost data was sent again after a time-out.
    Rto,
    /// Nothing had been lost when the timer expired.
    SpuriousRto,
    /// Segments came in another order, which was taken for a loss.
    Reordering,
    /// The last segment of a flight was lost.
    TailLoss,
    /// Nothing was lost, but acknowledgments came so late, or not at all, that the end of a flight was probed.
    LateAcks,
    /// Lost data was sent again because of acknowledgments.
    FastRetransmit,
    /// A SYN was lost.
    SynLoss,
    /// A SYN-ACK was lost.
    SynAckLoss,
    /// Nothing answered any of the SYNs.
    NoSynAck,
    /// A SYN came to a server that took the last connection of the same addresses for open.
    HalfOpen,
    /// A RST that its receiver ignored.
    IgnoredReset,
    /// The server took connections late: its queue was full.
    Backlog,
    /// Opening the connection took a large share of an exchange.
    Handshake,
    /// A connection was opened although one to the same server was there.
    NotReused,
    /// A request met the server's end of the connection.
    KeepAliveRace,
    /// A reset of the server's destroyed a response.
    ResetResponse,
    /// The server closed its end although a request waited for its answer.
    NoAnswer,
    /// The server closed its end in the middle of a response.
    CutShort,
    /// The client closed or reset the connection before the response was complete.
    ClientAbort,
    /// The client closed its side, and the response was cut off.
    HalfClose,
    /// A response waited for those before it.
    HeadOfLine,
    /// What was sent was lost before it came to where the capture was made.
    LostBefore,
    /// A request of which nothing was answered when the capture ended.
    Unanswered,
    /// A request that was repeated and never acknowledged.
    Unheard,
    /// The server took long.
    SlowServer,
    /// The client's application took long between its writes.
    SlowClient,
    /// A connection attempt was refused.
    Refused,
    /// A pair of ports was used again while the other end was in TIME-WAIT.
    PortReuse,
    /// A client has taken nearly all the ports that it can reach one server from.
    PortExhaustion,
    /// Large packets vanish on the way, and nobody says so.
    MtuBlackHole,
    /// A router said that packets were too large for it, and they were sent again in smaller pieces.
    PathMtu,
    /// Packets came with wrong checksums, and were dropped.
    Checksum,
    /// A name server took long to answer.
    SlowName,
    /// A name server did not answer.
    LostName,
    /// The path carried no more: segments came one after the other all the time, at a steady rate.
    PathRate,
    /// The sender spread what it sent, although the path carries more.
    Pacing,
    /// The sender keeps less in flight than both windows allow.
    SendBuffer,
}

/// How sure it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Confidence {
    /// The stack that made the capture said so.
    Stated,
    /// It follows from the segments alone, with nothing else that explains them.
    Certain,
    /// It is the likeliest explanation.
    Inferred,
}

impl Confidence {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Confidence::Stated => "stated",
            Confidence::Certain => "certain",
            Confidence::Inferred => "inferred",
        }
    }
}

impl What {
    /// The stable word.
    pub fn word(self) -> &'static str {
        self.row().0
    }

    /// What happened, as the subject of "… lost so much time to".
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        self.row().2
    }

    /// The knobs and socket options it is about.
    pub fn knobs(self) -> &'static [&'static str] {
        self.row().3
    }

    fn row(self) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
        match self {
            What::NagleDelayedAck => (
                "nagle-delayed-ack",
                "Nagle × delayed ACK",
                "TCP_NODELAY, or hand header and body over in one write",
                &["TCP_NODELAY", "tcp.nagle", "tcp.ack_delay"],
            ),
            What::Nagle => (
                "nagle",
                "Nagle's algorithm",
                "TCP_NODELAY, or fewer and larger writes",
                &["TCP_NODELAY", "tcp.nagle"],
            ),
            What::DelayedAck => (
                "delayed-ack",
                "delayed ACKs",
                "acknowledge sooner on the receiving side (TCP_QUICKACK), or start with a larger window",
                &["TCP_QUICKACK", "tcp.ack_delay", "tcp.init_cwnd"],
            ),
            What::SlowStart => (
                "slow-start",
                "slow start",
                "keep connections and use them again, or a larger initial window; fewer bytes help most",
                &["tcp.init_cwnd", "http.keepalive"],
            ),
            What::SlowStartAfterIdle => (
                "slow-start-after-idle",
                "slow start after a pause",
                "switch the restart after idle off on the sending side",
                &["tcp.slow_start_after_idle"],
            ),
            What::Congestion => (
                "congestion",
                "a congestion window that losses made small",
                "look for what loses packets; a larger window will not help",
                &["tcp.congestion"],
            ),
            What::ReceiveWindow => (
                "receive-window",
                "the receiver's window",
                "a larger receive buffer, at least bandwidth × round trip",
                &["SO_RCVBUF", "tcp.recv_buffer", "tcp.window_scale"],
            ),
            What::ZeroWindow => (
                "zero-window",
                "a closed window",
                "the receiving application reads too slowly",
                &["SO_RCVBUF", "tcp.recv_buffer"],
            ),
            What::LateWindow => (
                "late-window",
                "a window that opened late",
                "nothing had filled it: a proxy before the server answers the SYN, and waits for the server behind it",
                &[],
            ),
            What::Rto => (
                "rto",
                "retransmission time-outs",
                "selective acknowledgments and a tail-loss probe on the sender; look for what loses packets",
                &["tcp.rto_min", "tcp.sack", "tcp.tail_loss_probe"],
            ),
            What::SpuriousRto => (
                "spurious-rto",
                "time-outs although nothing was lost",
                "a longer least time-out, time stamps, F-RTO",
                &["tcp.rto_min", "tcp.timestamps", "tcp.undo"],
            ),
            What::Reordering => (
                "reordering",
                "segments out of order, taken for lost",
                "look for what reorders packets: paths or queues in parallel; RACK and time stamps on the sender",
                &["tcp.rack", "tcp.undo"],
            ),
            What::InitialWindow => (
                "initial-window",
                "a small initial window",
                "an initial window of ten segments on the sender (RFC 6928)",
                &["tcp.init_cwnd"],
            ),
            What::WindowScaling => (
                "window-scaling",
                "a window without scaling",
                "window scaling on both ends (RFC 7323); look for a device on the way that removes the option",
                &["tcp.window_scale"],
            ),
            What::TailLoss => (
                "tail-loss",
                "a lost end of a flight",
                "look for what loses packets; the probe already saved a time-out",
                &["tcp.tail_loss_probe"],
            ),
            What::FastRetransmit => (
                "fast-retransmit",
                "losses",
                "look for what loses packets: a full queue, a bad link",
                &["tcp.sack", "tcp.rack"],
            ),
            What::LateAcks => (
                "late-acks",
                "acknowledgments that came too late",
                "nothing was lost on the way there: look at the way back, for a queue, a busy host or lost acknowledgments",
                &["tcp.tail_loss_probe", "tcp.ack_delay"],
            ),
            What::SynLoss => (
                "syn-loss",
                "a lost SYN",
                "a full backlog, a firewall or a loss on the way: each try doubles the wait",
                &["tcp.rto_initial", "tcp.syn_retries"],
            ),
            What::SynAckLoss => (
                "syn-ack-loss",
                "a lost SYN-ACK",
                "look for what loses packets on the way back",
                &["tcp.rto_initial"],
            ),
            What::NoSynAck => (
                "no-syn-ack",
                "connection attempts that nothing answered",
                "a host that is not there, a firewall that drops, a way that only one address family has; thousands of them are a flood",
                &["tcp.syn_retries", "tcp.rto_initial"],
            ),
            What::HalfOpen => (
                "half-open",
                "a server that took the client's last connection for open",
                "the client forgot it (a crash, a NAT) and used its port again: probe idle connections, give them up sooner, use other ports",
                &["SO_KEEPALIVE", "tcp.keepalive", "tcp.user_timeout", "tcp.ports"],
            ),
            What::IgnoredReset => (
                "ignored-reset",
                "a reset that was ignored",
                "its number was not the next one (RFC 5961): somebody between the two, or who guesses, sends resets",
                &["tcp.challenge_limit"],
            ),
            What::Backlog => (
                "backlog",
                "a full queue of new connections",
                "what came to the server was not taken: accept sooner, or a longer queue",
                &["listen(2)", "net.core.somaxconn", "tcp.backlog"],
            ),
            What::Handshake => (
                "handshake",
                "opening connections",
                "keep connections and use them again",
                &["http.keepalive"],
            ),
            What::NotReused => (
                "not-reused",
                "connections that were not used again",
                "let the client keep connections, and the server too",
                &["http.keepalive", "http.keepalive_max"],
            ),
            What::KeepAliveRace => (
                "keep-alive-race",
                "requests that met the server's close",
                "give up idle connections on the client before the server does; repeat idempotent requests",
                &["http.keepalive_timeout"],
            ),
            What::ResetResponse => (
                "reset-response",
                "a reset that destroyed a response",
                "the server must read what comes before it closes (lingering close)",
                &["SO_LINGER", "tcp.linger"],
            ),
            What::NoAnswer => (
                "no-answer",
                "requests that the server closed on without an answer",
                "look into the server: it took the request and gave up, or crashed",
                &[],
            ),
            What::CutShort => (
                "cut-short",
                "responses that the server ended too early",
                "look into the server: it promised more bytes than it sent",
                &[],
            ),
            What::ClientAbort => (
                "client-abort",
                "responses that the client did not wait for",
                "look into the client: a time-out that is shorter than the answer takes, or somebody who went away",
                &[],
            ),
            What::HalfClose => (
                "half-close",
                "a response cut off after the client closed its side",
                "do not close the sending side before the response is complete",
                &[],
            ),
            What::HeadOfLine => (
                "head-of-line",
                "waiting for earlier responses",
                "more connections, or slow requests on a connection of their own",
                &["http.parallel", "http.pipeline"],
            ),
            What::LostBefore => (
                "lost-before",
                "losses before this capture point",
                "its sender's packets are counted (IP identification), and some never came here: capture at the sender to see them sent again",
                &["tcp.tail_loss_probe", "tcp.rto_min"],
            ),
            What::Unanswered => (
                "unanswered",
                "requests without any answer when the capture ends",
                "capture for longer, and at the server: is the answer lost on the way, or never sent?",
                &[],
            ),
            What::Unheard => (
                "unheard",
                "requests that nothing came back for, however often they were sent",
                "a NAT or a firewall that forgot an idle connection, or a path that broke: probe idle connections, or give them up sooner",
                &["SO_KEEPALIVE", "tcp.keepalive", "tcp.user_timeout"],
            ),
            What::SlowServer => ("slow-server", "the server's own time", "look into the server", &[]),
            What::SlowClient => {
                ("slow-client", "the client's own time", "look into the client: it had not written yet", &[])
            }
            What::PortExhaustion => (
                "port-exhaustion",
                "a client that is running out of ports",
                "keep connections and use them again; a larger port range, more addresses",
                &["http.keepalive", "tcp.ports", "tcp.time_wait"],
            ),
            What::MtuBlackHole => (
                "mtu-black-hole",
                "large packets that vanish on the way",
                "let ICMP's \"packet too big\" pass, clamp the MSS to the path, or probe for its size (RFC 4821)",
                &["tcp.mtu_probing", "TCP_MAXSEG", "tcp.mss"],
            ),
            What::PathMtu => (
                "path-mtu",
                "packets that were too large for the way",
                "clamp the MSS to the path, or a smaller MTU at the sender: a router says so each time a path is new",
                &["TCP_MAXSEG", "tcp.mss", "tcp.pmtud"],
            ),
            What::Checksum => (
                "checksum",
                "packets with wrong checksums",
                "look for a device, a cable or a driver that damages packets",
                &[],
            ),
            What::SlowName => (
                "slow-name",
                "slow name lookups",
                "a name server nearby, a cache, or a connection that is kept",
                &["http.keepalive"],
            ),
            What::LostName => (
                "lost-name",
                "name lookups without an answer",
                "is the name server there? Clients wait seconds before they ask another one",
                &[],
            ),
            What::PathRate => (
                "path-rate",
                "the rate of the path",
                "fewer bytes (compression, caches), or a faster path: no window holds the sender back; seen from the receiver, a sender that spreads what it sends looks the same",
                &[],
            ),
            What::Pacing => (
                "pacing",
                "a sender that spread what it sent",
                "the path carried more before: pacing, or a limit of the sender's (BBR, after losses too), or a shaper that lets bursts pass",
                &["tcp.pacing", "SO_MAX_PACING_RATE"],
            ),
            What::SendBuffer => (
                "send-buffer",
                "a send buffer that is too small for the way",
                "a larger send buffer, at least bandwidth × round trip; fill it without waiting for acknowledgments",
                &["SO_SNDBUF", "tcp.send_buffer"],
            ),
            What::Refused => ("refused", "a refused connection", "is the server running, on this port?", &[]),
            What::PortReuse => (
                "port-reuse",
                "a port used again within TIME-WAIT",
                "keep connections, a larger port range, time stamps on both sides (RFC 6191)",
                &["tcp.ports", "tcp.time_wait", "tcp.timestamps"],
            ),
        }
    }

    /// Whether an exchange came to nothing by it: that weighs more than any time.
    fn destroys(self) -> bool {
        use What::{CutShort, HalfClose, KeepAliveRace, NoAnswer, ResetResponse, Unheard};
        matches!(self, CutShort | HalfClose | KeepAliveRace | NoAnswer | ResetResponse | Unheard)
    }

    /// What a wait for this part of the time is, unless more is known.
    pub(super) fn of(part: Part) -> Option<What> {
        Some(match part {
            Part::Nagle => What::Nagle,
            Part::OwnAckDelay | Part::PeerAckDelay => What::DelayedAck,
            Part::Cwnd => What::SlowStart,
            Part::Rwnd => What::ReceiveWindow,
            Part::Server => What::SlowServer,
            Part::App => What::SlowClient,
            Part::Queue => What::HeadOfLine,
            _ => return None,
        })
    }
}

/// Something that happened once or more often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What.
    pub what: What,
    /// How often.
    pub times: u64,
    /// What it cost in all.
    pub cost: Duration,
    /// The most that it cost at once.
    pub worst: Duration,
    /// How sure the least sure of them is.
    pub confidence: Confidence,
    /// From frame to frame, as Wireshark counts them: the first few.
    pub frames: Vec<(u64, u64)>,
    /// How many of these waits may as well be for something that was lost before the capture point and sent again after
    /// a time-out: they are long enough.
    pub perhaps_lost: u64,
    /// What the path carries, of [`What::PathMtu`], if a router says it: the least. Bytes with all headers.
    pub mtu: Option<u32>,
    /// The connections it happened on, by their number in the capture from 1: the first few.
    pub connections: Vec<usize>,
}

/// Findings as they come in.
#[derive(Default, Debug)]
pub(super) struct Findings(BTreeMap<What, Finding>);

impl Findings {
    /// Adds one that happened on `connection` (0 for none) between two frames and cost so much.
    pub fn add(
        &mut self,
        what: What,
        connection: usize,
        frames: (u64, u64),
        cost: Duration,
        confidence: Confidence,
    ) {
        let finding = self.0.entry(what).or_insert_with(|| Finding {
            what,
            times: 0,
            cost: Duration::ZERO,
            worst: Duration::ZERO,
            confidence,
            frames: Vec::new(),
            perhaps_lost: 0,
            mtu: None,
            connections: Vec::new(),
        });
        finding.times += 1;
        finding.cost += cost;
        finding.worst = finding.worst.max(cost);
        finding.confidence = finding.confidence.max(confidence);
        if finding.frames.len() < FRAMES {
            finding.frames.push(frames);
        }
        if connection > 0
            && finding.connections.len() < FRAMES
            && finding.connections.last() != Some(&connection)
        {
            finding.connections.push(connection);
        }
    }

    /// One that was added may be for something that was lost before it came here.
    pub fn perhaps_lost(&mut self, what: What) {
        if let Some(finding) = self.0.get_mut(&what) {
            finding.perhaps_lost += 1;
        }
    }

    /// What the next link takes of the router whose word this is.
    pub fn mtu(&mut self, what: What, mtu: u32) {
        if let Some(finding) = self.0.get_mut(&what).filter(|_| mtu > 0) {
            finding.mtu = Some(finding.mtu.map_or(mtu, |least| least.min(mtu)));
        }
    }

    /// Something that was added before turns out to have cost so much.
    pub fn cost(&mut self, what: What, cost: Duration) {
        if let Some(finding) = self.0.get_mut(&what) {
            finding.cost += cost;
            finding.worst = finding.worst.max(cost);
        }
    }

    /// What destroyed an exchange first, then the costliest; what cost nothing that can be measured comes last. What waits
    /// behind something else comes behind it. `answered`: some request was.
    pub fn into_list(self, answered: bool) -> Vec<Finding> {
        let mut list: Vec<Finding> = self.0.into_values().collect();
        list.iter_mut().for_each(|finding| finding.frames.sort_unstable());
        let rank = |f: &Finding| {
            (
                f.what.destroys() || (f.what == What::Unanswered && !answered),
                if f.what == What::HeadOfLine { f.cost / 2 } else { f.cost },
            )
        };
        list.sort_by(|a, b| rank(b).cmp(&rank(a)).then(a.what.cmp(&b.what)));
        list
    }
}

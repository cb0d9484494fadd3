//! What makes a host of single connections? Addresses, ports, listeners, TIME-WAIT, and one way in and out.
//!
//! A packet comes in through [`Stack::on_frame`] (`input.rs`): it is decoded, the flow table (`demux.rs`) finds its
//! connection, half-open one (`syn_queue.rs`), TIME-WAIT entry (`time_wait.rs`) or listener (`listeners.rs`), else it is answered with a reset
//! (`rst.rs`). What is not TCP goes to the host (`host.rs`, `icmp.rs`). After every call into a connection
//! `conns.rs` draws the consequences: trace, events for the owner, timers, turn to send. A packet leaves through
//! [`Stack::transmit`] (`output.rs`). What an application does is in `app.rs` and `stream.rs`.

mod addrs;
mod app;
mod conns;
mod cookies;
mod demux;
mod dirty;
mod fast_open;
mod handshake;
mod host;
mod icmp;
mod input;
mod isn;
mod keys;
mod limits;
mod listeners;
mod meta;
mod outlet;
mod output;
mod owners;
pub(crate) mod paged;
mod path_mtu;
mod ports;
pub mod queue_device;
mod rst;
mod standing;
mod stream;
mod syn_queue;
mod time_wait;
pub(crate) mod timers;

pub use app::WithSyn;
pub use keys::Keyring;
pub use meta::meta;
pub use outlet::{Copying, Gather, Outlet};
pub use output::Sent;
pub use standing::{Cursor, Doing, Role, Standing};
pub use stream::Stream;

use crate::tcp::{self, Log};
use crate::time::Instant;
use crate::trace::{Sink, SinkId, Tracer};
use addrs::Addrs;
use conns::{Entry, Frame, Owed};
use demux::{Changes, FlowMap};
use dirty::Dirty;
use fast_open::Peers;
pub(crate) use fast_open::cookie as fast_open_cookie;
use host::Host;
use icmp::ErrorLimit;
use isn::{Secrets, TableHasher};
use limits::Limits;
use listeners::Listeners;
use meta::is_vouched;
use outlet::Lent;
use output::{Looped, Reply};
use owners::Owners;
use path_mtu::PathMtus;
use ports::Ports;
use smoltcp::phy::{Device, RxToken};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use syn_queue::SynQueue;
use time_wait::TimeWaits;
use timers::Timers;

/// What a stack is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// How TCP behaves.
    pub tcp: tcp::Config,
    /// Own addresses with prefix lengths. Pings and name servers are for the first eight only.
    pub addrs: Vec<(IpAddr, u8)>,
    /// Where packets for other networks go (on TUN: the kernel's side); a point-to-point link has no other way.
    pub gateways: Vec<IpAddr>,
    /// Link MTU, bytes, 576..=65535.
    pub mtu: u16,
    /// Seed of ISNs, port choice and time stamp offsets: the same seed gives the same run.
    pub seed: u64,
    /// Name servers for [`Stack::resolve`], in the order in which they are asked; three at most.
    pub dns: Vec<IpAddr>,
}

/// A handle on a connection. After the connection is gone it leads to nothing, never to another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    /// A small number that no other connection has as long as this one is not released.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }
}

/// A handle on a listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListenerId(u32);

/// A handle on a question to a name server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct QueryId(u32);

/// Whose socket it is: each service (or the net runtime) has its own number and its own ready queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owner(pub u16);

/// What an owner is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// A connection waits in `accept`.
    Accept(ListenerId),
    /// Something happened to a connection.
    Conn(ConnId, tcp::Event),
    /// `resolved(query)` has the answer.
    Resolved(QueryId),
}

/// What [`Stack::poll_batch`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polled {
    /// Nothing.
    Idle,
    /// Something, and all of it was done.
    Done,
    /// More than its budget.
    More,
}

impl Polled {
    /// Whether there was anything.
    pub fn is_busy(self) -> bool {
        self != Polled::Idle
    }
}

/// So many packets of a super-segment take as long as a small one that came alone.
const SUPER_WEIGHT: usize = 8;

/// So many bytes of a packet that came alone weigh as much as a small one: who sends much in such packets has a window of some hundred
/// of them, and stands still while all are read and none is acknowledged.
const LONE_WEIGHT: usize = 300;

/// Whether what came is to be acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Owes {
    #[default]
    Nothing,
    /// If its owner does not answer it first.
    Soon,
    AtOnce,
}

/// Why a socket can't be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StackError {
    /// A listener or connection has this address already (EADDRINUSE).
    AddrInUse,
    /// Not an address of this stack, or no ephemeral port is free (EADDRNOTAVAIL); the counts say why ports ran out.
    AddrNotAvailable {
        /// Ports of the range that connections to the same destination have.
        connections: u32,
        /// Ports of the range that wait in TIME-WAIT for the same destination.
        time_wait: u32,
    },
    /// Multicast, broadcast, unspecified or port 0 as a destination, or family not configured.
    InvalidDestination,
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StackError::AddrInUse => f.write_str("address in use"),
            StackError::AddrNotAvailable { connections: 0, time_wait: 0 } => {
                f.write_str("not an address of this stack")
            }
            StackError::AddrNotAvailable { connections, time_wait } => write!(
                f,
                "no ephemeral port is free: {connections} are in use and {time_wait} in TIME-WAIT for this destination"
            ),
            StackError::InvalidDestination => f.write_str("nothing can be reached at this address"),
        }
    }
}

impl std::error::Error for StackError {}

/// Why a name has no address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResolveError {
    /// Not a name that DNS can be asked for: an empty or too long part.
    InvalidName,
    /// No such name, or it has no address.
    NotFound,
    /// No name server answered.
    TimedOut,
    /// Nobody listens where name servers should be: ICMP says so.
    Refused,
    /// No name server is configured.
    NoServer,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResolveError::InvalidName => "not a valid host name",
            ResolveError::NotFound => "no address is known for this name",
            ResolveError::TimedOut => "no name server answered",
            ResolveError::Refused => "nobody listens at the name servers' addresses",
            ResolveError::NoServer => "no name server is configured",
        })
    }
}

impl std::error::Error for ResolveError {}

/// An accepted connection. A peer that came to `[::]` over IPv4 has its IPv4 address.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// The connection.
    pub id: ConnId,
    /// Its end here.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
}

/// A host: many connections on one device, without a clock or a thread of its own.
///
/// Its driver hands in packets and the time and lets it send; its applications call what never blocks and then look
/// into [`ready`](Stack::ready). The same seed and the same calls give the same bytes.
pub struct Stack {
    config: Config,
    /// The settings for new connections, shared with those that were made under them.
    tcp: Arc<tcp::Config>,
    /// The socket options that follow from them, which most connections share.
    opts: Arc<tcp::Opts>,
    own: Addrs,
    secrets: Secrets,
    hasher: TableHasher,
    conns: FlowMap<Entry>,
    /// The number of the latest connection.
    next_number: u32,
    /// Connections that the flow table leads to.
    open: usize,
    syn_queue: SynQueue,
    time_waits: TimeWaits,
    listeners: Listeners,
    ports: Ports,
    changes: Changes,
    owners: Owners,
    timers: Timers,
    dirty: Dirty,
    /// Whose turn it is to send, and how many bytes it has sent.
    turn: (u32, u32),
    replies: VecDeque<Reply>,
    host: Host,
    icmp_errors: ErrorLimit,
    limits: Limits,
    path_mtus: PathMtus,
    /// What `connect` knows for Fast Open.
    peers: Peers,
    looped: Looped,
    /// The next packet's IPv4 identification.
    ident: u16,
    /// What came last may have to be answered at once.
    owes: Owes,
    /// What the network says of the packet that comes next: see [`Stack::set_travel`].
    travel: Option<crate::ledger::Travel>,
    /// Memory that the device has to hand over for the packet that came last.
    owed: Option<Owed>,
    /// There is or was a key somewhere.
    signs: bool,
    tracer: Tracer,
    log: Log,
    /// A packet that is being put together or comes back.
    scratch: Vec<u8>,
    /// A packet of the host's on its way out.
    sent: Vec<u8>,
}

impl Stack {
    /// A stack without connections that writes its trace to `tracer`.
    pub fn new(config: Config, tracer: Tracer) -> Stack {
        let secrets = Secrets::new(config.seed);
        Stack {
            tcp: Arc::new(config.tcp.clone()),
            opts: Arc::new(tcp::Opts::new(&config.tcp)),
            own: Addrs::new(&config.addrs),
            hasher: secrets.table(),
            conns: FlowMap::new(secrets.table()),
            next_number: 0,
            open: 0,
            syn_queue: SynQueue::new(secrets.table()),
            time_waits: TimeWaits::new(secrets.table()),
            listeners: Listeners::default(),
            ports: Ports::new(secrets),
            changes: Changes::default(),
            owners: Owners::default(),
            timers: Timers::default(),
            dirty: Dirty::default(),
            turn: (0, 0),
            replies: VecDeque::new(),
            host: Host::new(&config, secrets.host_seed()),
            icmp_errors: ErrorLimit::default(),
            limits: Limits::default(),
            path_mtus: PathMtus::default(),
            peers: Peers::default(),
            looped: Looped::new(config.mtu),
            ident: 0,
            owes: Owes::Nothing,
            travel: None,
            owed: None,
            signs: config.tcp.md5_key.is_some(),
            log: Log::new(tracer.wants_events()),
            tracer,
            scratch: Vec::new(),
            sent: Vec::new(),
            secrets,
            config,
        }
    }

    /// What it was made with, the TCP settings as they are now.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes settings for connections made from now on, and the length of TIME-WAITs that begin from now on.
    pub fn set_tcp_config(&mut self, tcp: tcp::Config) {
        self.tcp = Arc::new(tcp.clone());
        self.opts = Arc::new(tcp::Opts::new(&tcp));
        self.signs |= tcp.md5_key.is_some();
        self.config.tcp = tcp;
    }

    /// One IP packet from the device. Never panics, whatever the bytes.
    pub fn on_frame(&mut self, now: Instant, frame: &[u8]) {
        self.on_offloaded_frame(now, frame, None, false);
    }

    /// One IP packet that the device has done some of the work for: it may stand for several wire segments of
    /// `gso_size` payload bytes each, and `verified` vouches for its TCP checksum.
    pub fn on_offloaded_frame(
        &mut self,
        now: Instant,
        frame: &[u8],
        gso_size: Option<NonZeroU16>,
        verified: bool,
    ) {
        self.receive(now, &Frame { bytes: frame, gso_size, verified, looped: false, offered: false });
    }

    /// What the network, where it tells, says of the packet that comes next: the ledger need not infer it then.
    pub(crate) fn set_travel(&mut self, travel: Option<crate::ledger::Travel>) {
        self.travel = travel;
    }

    /// Runs every timer that is due, and delivers what the stack has sent to itself.
    pub fn on_timeout(&mut self, now: Instant) {
        // What these packets are answered with is the next turn's.
        let mut frame = std::mem::take(&mut self.scratch);
        for _ in 0..self.looped.len() {
            if self.looped.pop(&mut frame) {
                self.receive(
                    now,
                    &Frame { bytes: &frame, gso_size: None, verified: false, looped: true, offered: false },
                );
            }
        }
        self.scratch = frame;
        while let Some(index) = self.timers.pop_due(now) {
            let entry = &self.conns[index];
            if entry.conn.next_deadline().is_some_and(|at| at <= now) {
                self.with_conn(now, index, |conn, cx| conn.on_timeout(cx));
            } else {
                self.timers.set(index, entry.conn.next_deadline());
            }
        }
        while let Some(index) = self.syn_queue.pop_due(now) {
            self.on_syn_ack_due(now, index);
        }
        while let Some((flow, _)) = self.time_waits.expire(now) {
            self.changes.note(&flow);
        }
        self.host.on_timeout(now);
        self.tell_resolved();
    }

    /// When `on_timeout` is due next: never late, but early for a timer that was put off or cancelled meanwhile.
    pub fn next_deadline(&self) -> Option<Instant> {
        [
            self.timers.first(),
            self.syn_queue.next_deadline(),
            self.time_waits.next_deadline(),
            self.host.next_deadline(),
            self.looped.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .reduce(|least, at| if at < least { at } else { least })
    }

    /// One turn: receives up to `budget` packets of the wire, runs timers, and sends a frame after each that may have to be
    /// acknowledged, so that acknowledgments do not depend on how many frames had come together; what acknowledgments let
    /// go leaves behind all of them (RFC 9293 §3.10.7.4, MUST-59, would have everything so). It receives no more once
    /// `budget` packets were sent: others want their turn. True if anything happened.
    ///
    /// `clock` is read once per frame: a peer in the same kernel answers while we send, and what comes later must not
    /// be traced and measured as if it had come at once.
    pub fn poll<D: Device>(&mut self, clock: impl Fn() -> Instant, device: &mut D, budget: usize) -> bool {
        let device = &mut Copying(Lent(device));
        let mut now = clock();
        let clock = || {
            now = clock();
            now
        };
        let mut busy = self.take_in(clock, device, budget, false).is_busy();
        for _ in 0..budget {
            let due = self.run_timers(now);
            busy |= self.transmit_on(now, device, budget).frames > 0 || due;
            if self.looped.len() == 0 {
                break;
            }
        }
        busy
    }

    /// The same on a device that may take payload from where it is, and for owners that get their turn at once: what they may
    /// answer is acknowledged with the answer, and super-segments when they have been read. It sends nothing else: that is
    /// [`transmit_on`](Self::transmit_on)'s, behind the owners' turn. Says whether the budget, in which a super-segment weighs
    /// less than its packets would one by one, was too small.
    pub fn poll_batch<D: Outlet>(
        &mut self,
        clock: impl FnMut() -> Instant,
        device: &mut D,
        budget: usize,
    ) -> Polled {
        self.take_in(clock, device, budget, true)
    }

    fn take_in<D: Outlet>(
        &mut self,
        mut clock: impl FnMut() -> Instant,
        device: &mut D,
        budget: usize,
        patient: bool,
    ) -> Polled {
        let verified = !device.capabilities().checksum.tcp.rx();
        let (mut busy, mut sent, mut received) = (false, 0, 0);
        let mut now = clock();
        self.owes = Owes::Nothing;
        while received < budget && sent < budget {
            let offered = device.intake().is_some();
            let Some((rx, _)) = device.receive(now.into()) else { break };
            now = clock();
            let meta = rx.meta();
            let (gso_size, verified) = (meta.segmentation_offload_size, verified || is_vouched(&meta));
            received += rx.consume(|bytes| {
                self.receive(now, &Frame { bytes, gso_size, verified, looped: false, offered });
                let packets = gso_size.map_or(1, |size| bytes.len().div_ceil(size.get().into()));
                match gso_size {
                    _ if !patient => packets,
                    Some(_) => 1 + packets / SUPER_WEIGHT,
                    None => 1 + bytes.len() / LONE_WEIGHT,
                }
            });
            if let Some(owed) = self.owed.take()
                && let Some(intake) = device.intake()
            {
                self.supply(owed, intake);
            }
            // What an acknowledgment lets go waits for all that are there: who sends first only makes them wait longer.
            let owes = std::mem::take(&mut self.owes);
            if owes == Owes::AtOnce
                || owes == Owes::Soon && !(patient && (gso_size.is_some() || self.has_ready()))
            {
                sent += self.transmit_on(now, device, 1).packets;
            }
            busy = true;
        }
        let more = received >= budget || sent >= budget;
        self.limits.turn(now, received < budget && sent < budget, &self.config.tcp);
        busy |= self.run_timers(now);
        match (more, busy) {
            (true, _) => Polled::More,
            (false, true) => Polled::Done,
            (false, false) => Polled::Idle,
        }
    }

    /// Runs the timers that are due; true if there were any.
    fn run_timers(&mut self, now: Instant) -> bool {
        let due = self.next_deadline().is_some_and(|at| at <= now);
        if due {
            self.on_timeout(now);
        }
        due
    }

    /// Whether any owner has something to look at.
    pub fn has_ready(&self) -> bool {
        self.owners.has_ready()
    }

    /// Connections that are not CLOSED, half-open ones included, TIME-WAIT not.
    pub fn open_connections(&self) -> usize {
        self.open + self.syn_queue.len()
    }

    /// Half-open connections of listeners, which are remembered in less than 200 bytes each; SYN cookies take none.
    pub fn half_open(&self) -> usize {
        self.syn_queue.len()
    }

    /// Bytes of buffers that connections hold together; the `tcp.memory` setting bounds them.
    pub fn memory(&self) -> u64 {
        self.limits.memory()
    }

    /// Bytes that all connections take beside their buffers, those in TIME-WAIT included: records and tables, with what
    /// these hold in reserve.
    pub fn overhead(&self) -> u64 {
        (self.conns.memory() + self.time_waits.memory() + self.timers.memory()) as u64
    }

    /// Flows in TIME-WAIT.
    pub fn time_waits(&self) -> usize {
        self.time_waits.len()
    }

    /// Adds a sink to the trace of a stack that runs; what [`unwatch`](Self::unwatch) takes away again.
    pub fn watch(&mut self, sink: Box<dyn Sink>) -> SinkId {
        let id = self.tracer.add(sink);
        self.log.enable(self.tracer.wants_events());
        id
    }

    /// Takes a sink out of the trace; nothing if it is not there. The caller finishes it.
    pub fn unwatch(&mut self, id: SinkId) -> Option<Box<dyn Sink>> {
        let sink = self.tracer.remove(id);
        self.log.enable(self.tracer.wants_events());
        sink
    }

    /// The trace.
    pub fn tracer(&mut self) -> &mut Tracer {
        &mut self.tracer
    }

    /// Ends the stack, not the trace: the caller finishes it.
    pub fn into_tracer(self) -> Tracer {
        self.tracer
    }
}

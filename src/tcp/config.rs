//! How should TCP behave? Every setting of the engine, and three profiles of them.

use super::congestion::Custom;
use super::fast_open::{self, Keys};
use crate::segment::Key;
use crate::time::Duration;

/// What a small segment waits for (RFC 9293 §3.7.4, RFC 896).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nagle {
    /// Small segments leave at once (`TCP_NODELAY`).
    Off,
    /// A small segment waits while anything is unacknowledged (RFC 896).
    On,
    /// A small segment waits while another small one is unacknowledged (draft-minshall-nagle-01; what Linux does).
    Minshall,
}

/// Which algorithm chooses the congestion window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Congestion {
    /// RFC 9438.
    Cubic,
    /// RFC 5681 with RFC 6582.
    NewReno,
    /// Always so many segments: for experiments only.
    Fixed(u32),
    /// One from outside.
    Custom(Custom),
}

/// What CUBIC reckons in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CubicUnits {
    /// Whole segments and milliseconds, and thus in larger steps: what Linux does.
    Segments,
    /// Bytes and microseconds.
    Bytes,
}

/// What ends the first slow start before a loss does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlowStartExit {
    /// Nothing.
    Loss,
    /// HyStart: what Linux does, with CUBIC only.
    Linux,
    /// HyStart++ (RFC 9406).
    PlusPlus,
}

/// What an idle period longer than the RTO does to the congestion window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdleRestart {
    /// Nothing.
    Off,
    /// Halves it for each RTO, down to the initial window (RFC 2861; what Linux does).
    Halve,
    /// Sets it to the initial window (RFC 5681 §4.1).
    Initial,
}

/// Explicit congestion notification (RFC 3168).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EcnMode {
    /// Never.
    Off,
    /// Asked for by `connect` and granted to who asks.
    On,
    /// Granted to who asks, never asked for.
    Passive,
    /// Accurate ECN (RFC 9768) is asked for by `connect` and granted to who asks; with others it is what they know.
    Accurate,
    /// Granted to who asks; `connect` asks for ECN of the older kind.
    AccurateGranted,
    /// Granted to who asks, and nothing is asked for.
    AccuratePassive,
}

/// When segments have the option of accurate ECN (RFC 9768 §3.2.3). Without one from the peer none is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EcnOption {
    /// Never.
    Off,
    /// As rarely as the RFC allows.
    Sparse,
    /// Whenever there is room.
    Full,
    /// The same even if segments with it seem to be lost.
    Always,
}

/// Whether the window scale option is offered, and with which shift (RFC 7323 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowScale {
    /// Not offered.
    Off,
    /// The smallest shift that can express the receive buffer.
    Auto,
    /// Exactly this shift, 0 to 14.
    Shift(u8),
}

/// When a SYN is answered by a cookie instead of being remembered (RFC 4987 §3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SynCookies {
    /// Never: what finds the SYN queue full is dropped.
    Off,
    /// When the SYN queue is full.
    Full,
    /// Always: for experiments only.
    Always,
}

/// Whether a connection finds out by itself which packets the path carries (RFC 4821).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MtuProbing {
    /// No: it believes the link and the routers.
    Off,
    /// Once large packets seem to vanish.
    OnBlackHole,
    /// From the beginning, which is made with small segments.
    Always,
}

/// Whether a new connection may take the addresses and ports of one in TIME-WAIT, when both have time stamps and a
/// second has passed (RFC 7323 appendix B.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeWaitReuse {
    /// Never.
    Off,
    /// Only from the stack to itself.
    Loopback,
    /// To everybody.
    On,
}

/// What `rto_min` is a floor under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtoFloor {
    /// The whole time-out (RFC 6298 §2.4).
    Total,
    /// The part for variation, so that the time-out is the round trip plus at least `rto_min` (what Linux does).
    Variation,
}

/// Settings of one stack. A connection copies what a socket option can change into its [`super::Opts`].
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Nagle's algorithm for new connections.
    pub nagle: Nagle,
    /// Hold every partial segment until 200 ms have passed (`TCP_CORK`).
    pub cork: bool,
    /// The delayed-ACK timer, less than 500 ms (RFC 9293 §3.8.6.3, MUST-40); 0 acknowledges every segment.
    pub ack_delay: Duration,
    /// Acknowledge at the latest every so many full-sized segments, 1 to 255.
    pub ack_every: u8,
    /// Acknowledge the first so many segments of a connection at once, 0 to 255.
    pub quickack: u8,
    /// Let the delay follow the gaps between segments, from `ack_delay` up to 200 ms, let the acknowledgment of a FIN wait
    /// as well, and acknowledge when a read empties the buffer: what Linux does.
    pub ack_adaptive: bool,
    /// The initial congestion window in segments, 1 to 65,535 (RFC 6928).
    pub init_cwnd: u32,
    /// The congestion control algorithm for new connections.
    pub congestion: Congestion,
    /// What [`Congestion::Cubic`] reckons in.
    pub cubic: CubicUnits,
    /// Leave the first slow start when the round trips grow (HyStart++, RFC 9406).
    pub hystart: SlowStartExit,
    /// CUBIC makes more room for others after a loss at a smaller window than the last (RFC 9438 §4.7).
    pub fast_convergence: bool,
    /// CUBIC's Reno-friendly window grows as fast as Reno's once it is where the last event hit it (RFC 9438 §4.3).
    /// Its published response function, and Linux, are without.
    pub reno_catch_up: bool,
    /// The congestion window grows only while it is filled (RFC 7661 §3).
    pub cwnd_validation: bool,
    /// Spread what the window allows over the round trip. An algorithm with a rate of its own is paced anyway.
    pub pacing: bool,
    /// Beyond three duplicates in a row gather up to so many acknowledgments of data beyond a gap for a twentieth of the round
    /// trip, but no longer than `compressed_ack_delay`; 0 sends each.
    pub compressed_acks: u8,
    /// No gathered acknowledgment waits longer.
    pub compressed_ack_delay: Duration,
    /// So many segments is the window in our SYN at the most.
    pub init_rwnd: Option<u32>,
    /// A window may become smaller than was promised when what waits to be read takes the room for it.
    pub shrink_window: bool,
    /// The MSS to announce at the most, bytes; what is sent is not limited by it.
    pub advmss: Option<u16>,
    /// After so many answers to what came, each within the time of a delayed acknowledgment, traffic counts as interactive.
    pub interactive_after: u8,
    /// Connections that a listener opens take over the differentiated services field of the SYN.
    pub reflect_tos: bool,
    /// How old a connection in TIME-WAIT must be for `connect` to take its flow.
    pub time_wait_reuse_delay: Duration,
    /// So many segments beyond a gap mean a loss at first (RFC 5681 §3.2: three), until the path shows that it changes the order by more.
    pub reordering: u16,
    /// A path is believed to change the order by so many segments at the most.
    pub max_reordering: u16,
    /// Who finishes a handshake for which the listener has no room is refused by a RST; else the handshake may be finished later.
    pub abort_on_overflow: bool,
    /// When what waits to be read takes more memory than the buffer has, what comes is dropped and the window closed, though it was
    /// promised. Off: what was promised is kept.
    pub prune: bool,
    /// Send in bursts that grow with the rate of the flow, the last segment of each pushed, and cut from pieces that what is
    /// written is kept in: what Linux does with segmentation offload. Segments are no larger than half of the largest window
    /// that the peer ever offered then.
    pub bursts: bool,
    /// Offer and use selective acknowledgments (RFC 2018).
    pub sack: bool,
    /// Report data that came twice (RFC 2883); needs `sack`.
    pub dsack: bool,
    /// Find losses by time (RFC 8985); needs `sack`. Off: by three segments or duplicates (RFC 6675).
    pub rack: bool,
    /// RACK's patience grows when it was wrong (RFC 8985 §6.2 step 4).
    pub rack_adapts: bool,
    /// It has none once three segments beyond a gap were reported, where order was never seen to change.
    pub rack_by_count: bool,
    /// Probe for a lost tail after two round trips (RFC 8985 §7); needs `rack`.
    pub tail_loss_probe: bool,
    /// NewReno halves what is in flight after a loss (RFC 5681 §3.1), and not its window.
    pub halve_flight: bool,
    /// Spread what recovery sends over the acknowledgments (RFC 6937, proportional rate reduction).
    pub prr: bool,
    /// Find losses by what arrives after them (RFC 5681 §3.2); else only the retransmission timer does.
    pub fast_retransmit: bool,
    /// Take a window reduction back when nothing had been lost (RFC 3522, RFC 4015, RFC 3708).
    pub undo: bool,
    /// Explicit congestion notification (RFC 3168, RFC 9768).
    pub ecn: EcnMode,
    /// When segments have the option of accurate ECN.
    pub ecn_option: EcnOption,
    /// It is sent so many times per round trip at the least; 0: only for a reason.
    pub ecn_option_beacon: u8,
    /// A congestion mark takes less of the window than a loss (RFC 8511): CUBIC keeps 85 %, NewReno 80 %.
    pub abe: bool,
    /// Find out by what is acknowledged next whether a time-out was a mistake (F-RTO, RFC 5682); needs `undo`.
    pub frto: bool,
    /// Offer and use time stamps (RFC 7323).
    pub timestamps: bool,
    /// Offer window scaling (RFC 7323).
    pub window_scale: WindowScale,
    /// The largest MSS to announce and to send, in bytes; `None` follows the MTU.
    pub mss: Option<u16>,
    /// No window beyond so many bytes is offered; 1,152 at the least.
    pub window_clamp: Option<u32>,
    /// Spread what is sent over time, at no more than so many bytes per second.
    pub max_pacing_rate: Option<u64>,
    /// Whether the path's MTU is searched with probes (RFC 4821).
    pub mtu_probing: MtuProbing,
    /// The MSS that a search begins with, bytes (RFC 4821 §7.2).
    pub mtu_base_mss: u16,
    /// A search for a path through a black hole goes down to this MSS, bytes.
    pub mtu_probe_floor: u16,
    /// The retransmission time-out before the first measurement (RFC 6298 §2.1).
    pub rto_initial: Duration,
    /// The smallest retransmission time-out (RFC 6298 §2.4).
    pub rto_min: Duration,
    /// What `rto_min` is a floor under.
    pub rto_floor: RtoFloor,
    /// The largest retransmission time-out (RFC 6298 §2.5).
    pub rto_max: Duration,
    /// Up to six time-outs in a row come without doubling while fewer than four segments are in flight: what little a game or a
    /// shell sends is awaited by somebody.
    pub thin_linear: bool,
    /// A SYN that is repeated asks for ECN no more: there are paths that drop what does (RFC 3168 §6.1.1.1).
    pub ecn_fallback: bool,
    /// A connection waits this long for data before a listener's owner hears of it; zero: it does not wait. Measured in
    /// repetitions of the SYN-ACK, as on Linux.
    pub defer_accept: Duration,
    /// Believe routers that say how large packets may be (RFC 1191, RFC 8201).
    pub pmtud: bool,
    /// How often a SYN is repeated before `connect` fails.
    pub syn_retries: u8,
    /// How many of a SYN's repetitions come at the same interval before it doubles; they are allowed beside `syn_retries`.
    pub syn_linear: u8,
    /// How often a SYN-ACK is repeated before the half-open connection is dropped.
    pub synack_retries: u8,
    /// The same data is repeated for as long as so many time-outs take that begin at 200 ms and double: then the path is
    /// suspected (RFC 9293 §3.8.3, R1).
    pub retries1: u8,
    /// Then the connection fails (RFC 9293 §3.8.3, R2).
    pub retries: u8,
    /// The same for a connection without an owner.
    pub orphan_retries: u8,
    /// Fail when data stays unacknowledged this long (RFC 5482), from its first repetition or the first window probe on as
    /// with Linux; `None` leaves it to `retries`.
    pub user_timeout: Option<Duration>,
    /// By how many segments one ACK may open the window in slow start, at the most; `None` by all that it
    /// acknowledged (RFC 5681 §3.1 asks for 1, RFC 3465 allows 2).
    pub slow_start_limit: Option<u32>,
    /// What becomes of the congestion window after an idle period longer than the RTO (RFC 5681 §4.1).
    pub slow_start_after_idle: IdleRestart,
    /// Send keep-alive probes on idle connections (RFC 9293 §3.8.4).
    pub keepalive: bool,
    /// Idle time before the first probe.
    pub keepalive_idle: Duration,
    /// Time between probes.
    pub keepalive_interval: Duration,
    /// Unanswered probes before the connection fails.
    pub keepalive_count: u8,
    /// A RST also counts one number below RCV.NXT behind a FIN, and right behind the last SACK block, and in
    /// SYN-RECEIVED it resets who opened actively instead of refusing it, as with Linux; and as there, data that crosses the
    /// peer's FIN and another SYN in SYN-RECEIVED are answered by one.
    pub rst_lenient: bool,
    /// What is signed (RFC 2385) is dropped, there being no keys; else the signature is an option like any that nobody knows.
    pub drop_signed: bool,
    /// What signs the segments of peers that have no key of their own (RFC 2385).
    pub md5_key: Option<Key>,
    /// A segment that ends beyond the window is taken whole if nothing waits to be read, else refused: what Linux does.
    /// Otherwise what lies within the window is taken (RFC 9293 §3.10.7.4).
    pub whole_segments: bool,
    /// The least time between two ACKs that answer segments outside the window (RFC 5961 §7, against ACK storms).
    pub challenge_interval: Duration,
    /// How many challenge ACKs all connections may send in a second, about; each second another number from half to
    /// one and a half times as many (RFC 5961 §7).
    pub challenge_limit: Option<u32>,
    /// How long TIME-WAIT lasts (2 MSL, RFC 9293 §3.6.1, MUST-13).
    pub time_wait: Duration,
    /// How many connections may be in TIME-WAIT; beyond it they end without.
    pub time_wait_limit: u32,
    /// A RST does not end TIME-WAIT (RFC 1337 §3).
    pub rfc1337: bool,
    /// Whether `connect` may take a flow that waits in TIME-WAIT.
    pub time_wait_reuse: TimeWaitReuse,
    /// How long a connection without an owner may stay in FIN-WAIT-2.
    pub fin_timeout: Duration,
    /// The first port of the ephemeral range.
    pub ports_first: u16,
    /// The last port of the ephemeral range, included.
    pub ports_last: u16,
    /// Take data and FIN of a SYN-ACK, as RFC 9293 §3.10.7.3 has it. Off: they have to come again, unless the SYN carried data.
    pub syn_ack_data: bool,
    /// TCP Fast Open (RFC 7413), the bits of [`fast_open`](super::fast_open).
    pub fast_open: u16,
    /// What Fast Open cookies are made from; `None` leaves it to the seed of the stack.
    pub fast_open_keys: Option<Keys>,
    /// After signs of a path that swallows what comes with a SYN, none is sent for so long, twice as long each time up to
    /// 64 times (RFC 7413 §4.1.3.1); zero never minds.
    pub fast_open_pause: Duration,
    /// Connections waiting to be accepted per listener. One fewer, but at least one, may be half-open: on Linux
    /// `listen(n)` lets n + 1 wait and n be half-open.
    pub backlog: u32,
    /// When a SYN is answered by a cookie.
    pub syn_cookies: SynCookies,
    /// What the receive buffer may grow to, in bytes with its bookkeeping, for which Linux and we reckon half of it before
    /// data has come: a window is at the most that share of it which segments of the peer's size fill.
    pub recv_buffer: u32,
    /// Nobody is to ask for a larger buffer later: the window scale allows for it, if `recv_buffer` is less and not fixed.
    pub recv_buffer_max: u32,
    /// The peer's urgent pointer points at the last urgent byte, as in RFC 1122 §4.2.2.4, and not behind it.
    pub urgent_is_last: bool,
    /// A peer that announces smaller segments gets such all the same, bytes with their options: who sends tiny ones can be made to work for nothing.
    pub min_send_mss: u16,
    /// The receive buffer's size at first, as `recv_buffer` counts. Not below `recv_buffer`, it is fixed.
    pub recv_buffer_initial: u32,
    /// The receive buffer grows with what the application reads in a round trip.
    pub recv_tuning: bool,
    /// What the send buffer may grow to, in bytes.
    pub send_buffer: u32,
    /// The send buffer's size until the connection is there; then it follows the congestion window. Not below
    /// `send_buffer`, it is fixed.
    pub send_buffer_initial: u32,
    /// How many bytes may be written and not sent yet; `None` is what the send buffer holds.
    pub notsent_lowat: Option<u32>,
    /// How many bytes of buffers all connections may hold together; `None` is no limit.
    pub memory: Option<u64>,
    /// While the device always has packets left, the connections that receive share windows of so many bytes; `None` lets
    /// windows grow all the same.
    pub standing_queue: Option<u64>,
    /// What dropping a connection with queued data does: `None` sends it in the background, `Some(0)` resets.
    pub linger: Option<Duration>,
    /// Urgent data stays in its place in the stream, as RFC 6093 §5 asks; else its last byte is read apart from it.
    pub urgent_inline: bool,
    /// What was received and not read stays readable after a RST; else it is thrown away, as RFC 9293 §3.10.7.4 has it.
    pub keep_data_on_reset: bool,
    /// The time to live or hop limit of all that is sent, 1 to 255 (RFC 9293 §3.9.2, MUST-49).
    pub ttl: u8,
    /// The differentiated services field of all that is sent, 0 to 63 (RFC 9293 §3.9.1.9, MUST-48).
    pub dscp: u8,
}

impl Config {
    /// What a current Linux does.
    pub fn linux() -> Config {
        Config {
            nagle: Nagle::Minshall,
            cork: false,
            ack_delay: Duration::from_millis(40),
            ack_every: 2,
            quickack: 16,
            ack_adaptive: true,
            init_cwnd: 10,
            congestion: Congestion::Cubic,
            cubic: CubicUnits::Segments,
            hystart: SlowStartExit::Linux,
            fast_convergence: true,
            reno_catch_up: false,
            cwnd_validation: true,
            pacing: false,
            compressed_acks: 44,
            prune: false,
            compressed_ack_delay: Duration::from_millis(1),
            init_rwnd: None,
            shrink_window: false,
            advmss: None,
            interactive_after: 1,
            reflect_tos: false,
            time_wait_reuse_delay: Duration::from_secs(1),
            reordering: 3,
            max_reordering: 300,
            urgent_is_last: false,
            min_send_mss: 48,
            recv_buffer_max: 4 << 20,
            abort_on_overflow: false,
            bursts: true,
            sack: true,
            dsack: true,
            rack: true,
            rack_adapts: true,
            rack_by_count: true,
            tail_loss_probe: true,
            halve_flight: false,
            prr: true,
            fast_retransmit: true,
            undo: true,
            frto: true,
            ecn: EcnMode::Passive,
            ecn_option: EcnOption::Full,
            ecn_option_beacon: 3,
            abe: false,
            timestamps: true,
            window_scale: WindowScale::Auto,
            mss: None,
            window_clamp: None,
            max_pacing_rate: None,
            mtu_probing: MtuProbing::Off,
            mtu_base_mss: 1024,
            mtu_probe_floor: 48,
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_floor: RtoFloor::Variation,
            rto_max: Duration::from_secs(120),
            thin_linear: false,
            ecn_fallback: true,
            defer_accept: Duration::ZERO,
            pmtud: true,
            syn_retries: 6,
            syn_linear: 4,
            synack_retries: 5,
            retries1: 3,
            retries: 15, // 15 minutes; at least 100 s by RFC 9293 §3.8.3 (SHLD-11)
            orphan_retries: 8,
            user_timeout: None,
            slow_start_limit: None,
            slow_start_after_idle: IdleRestart::Halve,
            // RFC 9293 §3.8.4 (MUST-25, MUST-28).
            keepalive: false,
            keepalive_idle: Duration::from_secs(7200),
            keepalive_interval: Duration::from_secs(75),
            keepalive_count: 9,
            rst_lenient: true,
            drop_signed: true,
            md5_key: None,
            whole_segments: true,
            challenge_interval: Duration::from_millis(500),
            challenge_limit: None,
            time_wait: Duration::from_secs(60),
            time_wait_limit: 262_144,
            rfc1337: false,
            time_wait_reuse: TimeWaitReuse::Loopback,
            fin_timeout: Duration::from_secs(60),
            ports_first: 32_768,
            ports_last: 60_999,
            syn_ack_data: false,
            fast_open: fast_open::CLIENT,
            fast_open_keys: None,
            fast_open_pause: Duration::ZERO,
            backlog: 4096,
            syn_cookies: SynCookies::Full,
            recv_buffer: 6 << 20,
            recv_buffer_initial: 128 << 10,
            recv_tuning: true,
            send_buffer: 4 << 20,
            send_buffer_initial: 16 << 10,
            notsent_lowat: None,
            memory: Some(1 << 30),
            standing_queue: Some(8 << 20),
            linger: None,
            urgent_inline: false,
            keep_data_on_reset: true,
            ttl: 64,
            dscp: 0,
        }
    }

    /// What the RFCs recommend.
    pub fn rfc() -> Config {
        Config {
            nagle: Nagle::On,
            ack_delay: Duration::from_millis(200),
            quickack: 0,
            ack_adaptive: false,
            // RFC 9293 §3.8.2 (MUST-19) asks for RFC 5681; RFC 9438 is a proposed standard beside it.
            congestion: Congestion::NewReno,
            cubic: CubicUnits::Bytes,
            halve_flight: true,
            hystart: SlowStartExit::Loss,
            compressed_acks: 0,
            bursts: false,
            rst_lenient: false,
            drop_signed: false,
            md5_key: None,
            whole_segments: false,
            reno_catch_up: true,
            ecn: EcnMode::On,
            slow_start_after_idle: IdleRestart::Initial,
            rto_min: Duration::from_secs(1),
            rto_floor: RtoFloor::Total,
            rto_max: Duration::from_secs(60),
            thin_linear: false,
            ecn_fallback: true,
            defer_accept: Duration::ZERO,
            pmtud: true,
            challenge_limit: Some(1000),
            syn_ack_data: true,
            urgent_inline: true,
            // RFC 7413 is experimental.
            fast_open: 0,
            slow_start_limit: Some(1),
            // R2 for a SYN, with or without ACK, is at least 3 minutes: RFC 9293 §3.8.3 (MUST-23).
            syn_retries: 8,
            syn_linear: 0,
            synack_retries: 8,
            // RFC 9293 §3.10.7.4: "all segment queues should be flushed".
            keep_data_on_reset: false,
            time_wait: Duration::from_secs(240),
            rfc1337: true,
            time_wait_reuse: TimeWaitReuse::Off,
            ports_first: 1024, // RFC 6056 §3.2: as large a range as possible
            ports_last: 65_535,
            ..Config::linux()
        }
    }

    /// The network of the textbooks: one-segment initial window, 200 ms delayed ACK, 2 MSL = 120 s, 60,000 ports.
    pub fn classic() -> Config {
        Config {
            init_cwnd: 1,
            time_wait: Duration::from_secs(120),
            ports_first: 5_536,
            sack: false,
            dsack: false,
            rack: false,
            rack_adapts: true,
            rack_by_count: true,
            tail_loss_probe: false,
            prr: false,
            undo: false,
            frto: false,
            ecn: EcnMode::Off,
            syn_cookies: SynCookies::Off,
            timestamps: false,
            ..Config::rfc()
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::linux()
    }
}

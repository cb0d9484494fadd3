//! How is a connection doing? What Linux tells of one through `getsockopt(TCP_INFO)`.

use super::config::Congestion;
use super::conn::Conn;
use super::ecn::Agreed;
use super::pacing;
use super::recovery::Phase;
use super::send::Fin;
use super::state::State;
use super::tally::Tally;
use crate::segment::Ecn;
use crate::time::{Duration, Instant};

macro_rules! info {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// A snapshot of a connection. Names, numbers and units are those of Linux' `struct tcp_info`, without `tcpi_`.
        ///
        /// Before the handshake is over, what concerns the peer is 0. Amounts in "segments" count segments of the wire, whatever was merged on the way; times without a unit are µs.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct Info { $($(#[$doc])* pub $name: $kind,)* }

        impl Info {
            /// The names of all fields, in their order.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// All fields: name and value, in their order.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), u64::from(self.$name))),*].into_iter()
            }
        }
    };
}

info! {
    /// 1 ESTABLISHED, 2 SYN-SENT, 3 SYN-RECEIVED, 4 FIN-WAIT-1, 5 FIN-WAIT-2, 6 TIME-WAIT, 7 CLOSED, 8 CLOSE-WAIT,
    /// 9 LAST-ACK, 11 CLOSING.
    state: u8,
    /// What loss recovery is doing: 0 nothing (`TCP_CA_Open`), 1 duplicate or selective ACKs came (`Disorder`),
    /// 2 reducing for a congestion mark (`CWR`), 3 repeating what was lost (`Recovery`), 4 after a time-out (`Loss`).
    ca_state: u8,
    /// Time-outs in a row, SYNs included.
    retransmits: u8,
    /// Window and keep-alive probes without an answer.
    probes: u8,
    /// How often the time-out was doubled, or the interval between window probes.
    backoff: u8,
    /// What the handshake agreed on: 1 time stamps, 2 SACK, 4 window scaling, 8 ECN, 16 once ECN-capable data came; 32 if data went or
    /// came with the SYN, 128 if the connection was in use before its handshake was done.
    options: u8,
    /// The shift of the windows that the peer offers.
    snd_wscale: u8,
    /// The shift of the windows that are offered to it.
    rcv_wscale: u8,
    /// 1 if `delivery_rate` was measured while there was too little to send.
    delivery_rate_app_limited: u8,
    /// The retransmission time-out as it stands, doublings included. Linux rounds up to its tick (1 to 10 ms), this to 1 ms
    /// in profile `linux`.
    rto: u32,
    /// How long an acknowledgment may wait for company as things are; 0 before the first data.
    ato: u32,
    /// Payload bytes of a full segment to send.
    snd_mss: u32,
    /// Payload bytes of a full segment of the peer, as far as that was seen.
    rcv_mss: u32,
    /// Segments sent and not acknowledged.
    unacked: u32,
    /// Those of them that the peer reported by SACK; without SACK one for each duplicate ACK.
    sacked: u32,
    /// Those that are taken for lost, whether sent again or not.
    lost: u32,
    /// Those that were sent again and are on their way.
    retrans: u32,
    /// 0, as on Linux since 4.15.
    fackets: u32,
    /// Milliseconds since data was last sent, or since the handshake.
    last_data_sent: u32,
    /// 0, as on Linux, which does not remember it either.
    last_ack_sent: u32,
    /// Milliseconds since data was last received in order, or since the handshake.
    last_data_recv: u32,
    /// Milliseconds since a segment was last taken: each acknowledges.
    last_ack_recv: u32,
    /// The MTU of the path as far as it is known.
    pmtu: u32,
    /// How large the receive window may become for now, bytes.
    rcv_ssthresh: u32,
    /// The smoothed round-trip time; 0 before the first sample.
    rtt: u32,
    /// Its mean deviation; a quarter of the initial time-out before the first sample.
    rttvar: u32,
    /// The slow start threshold in segments; 0x7fffffff if there is none.
    snd_ssthresh: u32,
    /// The congestion window in segments; during a recovery what that allows to be in the network.
    snd_cwnd: u32,
    /// The payload of the peer's full segments as announced: the MSS, less the time stamps.
    advmss: u32,
    /// By how many segments the path was seen to change the order, 3 at the least.
    reordering: u32,
    /// The round-trip time as a receiver sees it; 0 before the first measurement.
    rcv_rtt: u32,
    /// The most that the application took in a round trip, bytes; at first what the initial window holds.
    rcv_space: u32,
    /// Segments sent again, SYNs included.
    total_retrans: u32,
    /// What pacing would send, bytes per second: twice the window per round trip in slow start, 1.2 times after it.
    /// All ones before the first round-trip time.
    pacing_rate: u64,
    /// The limit that `SO_MAX_PACING_RATE` sets; all ones if it does not.
    max_pacing_rate: u64,
    /// Bytes of ours that the peer has acknowledged; SYN (when this side opened) and FIN count as one each.
    bytes_acked: u64,
    /// Bytes received in order; a FIN counts as one.
    bytes_received: u64,
    /// Segments sent. A SYN-ACK is not counted, as on Linux, where no socket has sent it.
    segs_out: u32,
    /// Segments received that belonged to the connection, whatever became of them, the SYN included.
    segs_in: u32,
    /// Bytes written and never sent.
    notsent_bytes: u32,
    /// The smallest round-trip time of the last minutes; all ones before the first.
    min_rtt: u32,
    /// Those segments received that carried data.
    data_segs_in: u32,
    /// Those segments sent that carried data, repetitions included.
    data_segs_out: u32,
    /// The last rate at which data reached the peer, bytes per second; 0 before the first measurement.
    delivery_rate: u64,
    /// How long there was something to send or to be acknowledged, exact where Linux counts ticks.
    busy_time: u64,
    /// How much of that the peer's window held data back.
    rwnd_limited: u64,
    /// How much of that the send buffer was too small for the application.
    sndbuf_limited: u64,
    /// Segments that reached the peer, SYN and FIN included.
    delivered: u32,
    /// Those of them that came with an acknowledgment that reported a congestion mark.
    delivered_ce: u32,
    /// Bytes of data sent, repetitions included.
    bytes_sent: u64,
    /// Bytes of data sent again.
    bytes_retrans: u64,
    /// Segments that the peer reported to have received twice (DSACK).
    dsack_dups: u32,
    /// How often segments turned out to have changed their order.
    reord_seen: u32,
    /// Segments that came out of order.
    rcv_ooopack: u32,
    /// The window that the peer offers, bytes.
    snd_wnd: u32,
    /// What is left of the window that was offered to the peer, bytes.
    rcv_wnd: u32,
    /// 0: Linux counts changes of the flow label here.
    rehash: u32,
    /// Time-outs.
    total_rto: u16,
    /// Series of time-outs.
    total_rto_recoveries: u16,
    /// Milliseconds from the first time-out of each series to the acknowledgment that ended it.
    total_rto_time: u32,
    /// Segments received with a congestion mark.
    received_ce: u32,
    /// Bytes sent that the peer received with codepoint ECT(1), as far as accurate ECN's option tells.
    delivered_e1_bytes: u32,
    /// The same with ECT(0).
    delivered_e0_bytes: u32,
    /// The same with a congestion mark.
    delivered_ce_bytes: u32,
    /// Bytes received with codepoint ECT(1), if both ends use accurate ECN.
    received_e1_bytes: u32,
    /// The same with ECT(0).
    received_e0_bytes: u32,
    /// The same with a congestion mark.
    received_ce_bytes: u32,
    /// What the handshake agreed on: 0 no ECN, 1 that of RFC 3168, 2 accurate ECN; 3 if that was asked for and not answered.
    ecn_mode: u8,
    /// Whether an option of accurate ECN came: 0 none, 1 one without counts, 2 one with counts, 3 what can't be used.
    accecn_opt_seen: u8,
    /// What of accurate ECN is given up: 1 ACE sent, 2 ACE received, 4 the option sent, 8 the option received.
    accecn_fail_mode: u8,
    /// 0: Linux has no use for it so far.
    options2: u32,
}

const OPT_TIMESTAMPS: u8 = 1;
const OPT_SACK: u8 = 2;
const OPT_WSCALE: u8 = 4;
/// Linux' TCP_MIN_MSS.
const LEAST_MSS: u32 = 88;
const OPT_ECN: u8 = 8;
const OPT_ECN_SEEN: u8 = 16;
const OPT_SYN_DATA: u8 = 32;
const OPT_TFO_CHILD: u8 = 128;

fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}

impl State {
    /// Its number in Linux: 1 is ESTABLISHED.
    pub fn number(self) -> u8 {
        match self {
            State::Established => 1,
            State::SynSent => 2,
            State::SynReceived => 3,
            State::FinWait1 => 4,
            State::FinWait2 => 5,
            State::TimeWait => 6,
            State::Closed => 7,
            State::CloseWait => 8,
            State::LastAck => 9,
            State::Closing => 11,
        }
    }
}

impl Conn {
    /// How the connection is doing at `now` (`TCP_INFO`). Counts what is in flight: not for each packet.
    pub fn info(&self, now: Instant) -> Info {
        let (counters, rare) = (&self.counters, self.counters.seen());
        let tally = if self.state.is_over() { rare.at_end } else { self.tally() };
        let mss = self.mss();
        let ca_state = match self.recovery.phase {
            Phase::Open => 0,
            Phase::Disorder => 1,
            Phase::Cwr => 2,
            Phase::Fast => 3,
            Phase::Rto => 4,
        };
        let open = !self.state.is_opening();
        let switch = |on: bool, bit: u8| if on { bit } else { 0 };
        let (agreed_ecn, accurate) = (self.agreed_ecn(), self.accurate());
        let bytes = |field| accurate.map_or((0, 0), |accurate| accurate.bytes_of(field));
        let [e1, e0, ce] = [Ecn::Ect1, Ecn::Ect0, Ecn::Ce].map(bytes);
        let agreed = switch(self.ts.on, OPT_TIMESTAMPS)
            | switch(self.sack, OPT_SACK)
            | switch(self.scaling, OPT_WSCALE)
            | switch(agreed_ecn != Agreed::Nothing, OPT_ECN)
            | switch(self.saw_capable(), OPT_ECN_SEEN)
            | switch(self.sent_with_syn(), OPT_SYN_DATA)
            | switch(self.fast_open.is_some() && !self.active, OPT_TFO_CHILD);
        let ago = |at: Instant| u32::try_from(now.since(at).as_millis()).unwrap_or(u32::MAX);
        // A SYN that was repeated is a loss like others on Linux.
        let unanswered = self.active && self.snd.una == self.snd.iss;
        let repeats = unanswered && self.syns > 1;
        let ca_state = if repeats { 4 } else { ca_state };
        let out = u32::from(self.state == State::SynSent);
        let tally = if repeats { Tally { out, lost: 1, resent: 1, ..tally } } else { tally };
        let segments = self.cc.cwnd() / mss;
        let cwnd = if repeats { 1 } else { segments };
        let ssthresh = match self.opts.congestion {
            Congestion::NewReno if repeats => (segments / 2).max(2) * mss,
            Congestion::Cubic if repeats => (segments * 717 / 1024).max(2) * mss,
            _ => self.cc.ssthresh(),
        };
        let unacked =
            if self.state.is_opening() && !self.is_early() { u32::from(self.syns > 0) } else { tally.out };
        let (rcv_ssthresh, rcv_rtt, rcv_space) = self.rcv.buffer.measured();
        let pacing_rate = match self.rtt.srtt() {
            None => u64::MAX,
            Some(srtt) => pacing::rate(cwnd.max(unacked).saturating_mul(mss), ssthresh, srtt),
        };
        let pacing_rate = pacing_rate.min(self.opts.max_pacing_rate.unwrap_or(u64::MAX));
        let [busy_time, rwnd_limited, sndbuf_limited] = counters.busy_times(now);
        let min_rtt = self.rack.min_rtt();
        Info {
            // On Linux TIME-WAIT is nothing that a socket is in.
            state: if self.state == State::TimeWait { State::Closed } else { self.state }.number(),
            ca_state,
            retransmits: self.retries,
            probes: self.probes.saturating_add(self.keepalives),
            backoff: if self.state.is_over() { 0 } else { self.rtt.backoff().max(self.probe_backoff) },
            options: if (open && !unanswered) || self.is_early() { agreed } else { 0 },
            snd_wscale: if open { self.snd.shift } else { 0 },
            rcv_wscale: if open { self.rcv.shift } else { 0 },
            delivery_rate_app_limited: self.rate.app_limited().into(),
            rto: micros(self.rtt.rto()),
            // In ticks, as Linux counts.
            ato: (micros(self.ack.patience()) + 500) / 1000 * 1000,
            snd_mss: mss,
            // Linux expects no more before it knows the peer's window.
            rcv_mss: if unanswered { LEAST_MSS } else { self.rcv.buffer.segment() },
            unacked,
            sacked: tally.sacked,
            lost: tally.lost,
            retrans: tally.resent,
            fackets: 0,
            last_data_sent: if self.state.is_opening() { 0 } else { ago(self.counters.data_sent_at) },
            last_ack_sent: 0,
            last_data_recv: if self.state.is_opening() { 0 } else { ago(self.ack.last_data()) },
            last_ack_recv: ago(self.last_received),
            pmtu: self.mtu.into(),
            rcv_ssthresh,
            rtt: self.rtt.srtt().map_or(0, micros),
            rttvar: micros(self.rtt.rttvar()),
            snd_ssthresh: if ssthresh == u32::MAX { 0x7fff_ffff } else { ssthresh / mss },
            snd_cwnd: cwnd,
            advmss: u32::from(self.announced) - if open && self.ts.on && !unanswered { 12 } else { 0 },
            reordering: self.rack.distance(),
            rcv_rtt: micros(rcv_rtt),
            rcv_space,
            total_retrans: rare.total_retrans,
            pacing_rate,
            max_pacing_rate: self.opts.max_pacing_rate.unwrap_or(u64::MAX),
            bytes_acked: counters.bytes_acked,
            bytes_received: counters.bytes_received,
            segs_out: counters.segs_out,
            segs_in: counters.segs_in,
            // A FIN that waits counts.
            notsent_bytes: match self.state.is_over() {
                true => rare.unsent_at_end,
                false => self.snd.unsent() + u32::from(self.snd.fin == Fin::Queued),
            },
            min_rtt: if min_rtt == Duration::MAX { u32::MAX } else { micros(min_rtt) },
            data_segs_in: counters.data_segs_in,
            data_segs_out: counters.data_segs_out,
            delivery_rate: self.rate.bytes_per_second(mss),
            busy_time,
            rwnd_limited,
            sndbuf_limited,
            delivered: self.rate.delivered(),
            delivered_ce: accurate.map_or(rare.delivered_ce, |accurate| accurate.delivered()),
            bytes_sent: counters.bytes_sent,
            bytes_retrans: rare.bytes_retrans,
            dsack_dups: rare.dsack_dups,
            reord_seen: self.rack.late(),
            rcv_ooopack: rare.rcv_ooopack,
            snd_wnd: self.snd.wnd,
            rcv_wnd: self.rcv.window(),
            rehash: 0,
            total_rto: rare.total_rto,
            total_rto_recoveries: rare.total_rto_recoveries,
            total_rto_time: u32::try_from(rare.total_rto_time(now)).unwrap_or(u32::MAX),
            received_ce: self.marks().unwrap_or(0),
            delivered_e1_bytes: e1.1,
            delivered_e0_bytes: e0.1,
            delivered_ce_bytes: ce.1,
            received_e1_bytes: e1.0,
            received_e0_bytes: e0.0,
            received_ce_bytes: ce.0,
            ecn_mode: match agreed_ecn {
                Agreed::Nothing if self.awaits_ecn() => 3,
                Agreed::Nothing => 0,
                Agreed::Classic => 1,
                Agreed::Accurate => 2,
            },
            accecn_opt_seen: accurate.map_or(0, |accurate| accurate.seen as u8),
            accecn_fail_mode: accurate.map_or(0, |accurate| accurate.fails.0),
            options2: 0,
        }
    }
}

//! What is one connection? Its parts, how it begins and how it ends.

use super::accurate_ecn::Accurate;
use super::ack::Ack;
use super::burst::Burst;
use super::cause::{AckNowWhy, Blocked, RstWhy};
use super::config::{Config, Congestion, Nagle, WindowScale};
use super::congestion::usage::Usage;
use super::congestion::{self, CongestionControl, Start};
use super::counters::Counters;
use super::ecn::{Agreed, Ecn};
use super::fast_open::FastOpen;
use super::ledger::Ledger;
use super::log::{Log, Note};
use super::mtu_search::MtuSearch;
use super::pacing::Pacer;
use super::rack::Rack;
use super::rate::Rate;
use super::receive::Receive;
use super::recovery::Recovery;
use super::rtt::Rtt;
use super::scoreboard::Scoreboard;
use super::send::{Fin, Send};
use super::spare::Spare;
use super::state::{CloseReason, State};
use super::surroundings::Surroundings;
use super::tally::Tally;
use super::timers::{Timer, Timers};
use super::urgent::Urgent;
use super::window::Window;
use crate::parcel::Parcel;
use crate::segment::{Ecn as Field, Options, Segment};
use crate::seq::Seq;
use crate::stream::StreamError;
use crate::time::{Duration, Instant};
use std::ops::Range;
use std::sync::Arc;

/// The MSS of a peer that does not say one: RFC 9293 §3.7.1 (MUST-15) for IPv4, and for IPv6.
const DEFAULT_MSS: [u16; 2] = [536, 1220];

pub(super) fn default_mss(ip_header: u16) -> u16 {
    DEFAULT_MSS[usize::from(ip_header > 20)]
}

/// No segment is made smaller than this, whatever the peer or a router asks for.
pub(super) const LEAST_MSS: u16 = 48;

/// What a handler may use besides the connection.
pub struct Cx<'a> {
    /// Now.
    pub now: Instant,
    /// The settings of the stack.
    pub cfg: &'a Config,
    /// Where notes go.
    pub log: &'a mut Log,
}

/// What a socket option can change on one connection.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Opts {
    /// Nagle's algorithm (`TCP_NODELAY`).
    pub nagle: Nagle,
    /// `TCP_CORK`.
    pub cork: bool,
    /// The congestion control algorithm (`TCP_CONGESTION`). A change on an open connection keeps the window.
    pub congestion: Congestion,
    /// The delayed-ACK timer.
    pub ack_delay: Duration,
    /// The largest MSS to announce and to send, in bytes (`TCP_MAXSEG`).
    pub mss: Option<u16>,
    /// See [`Config::advmss`].
    pub advmss: Option<u16>,
    /// No window beyond so many bytes is offered (`TCP_WINDOW_CLAMP`); as on Linux no less than 1,152.
    pub window_clamp: Option<u32>,
    /// Spread what is sent, at no more than so many bytes per second (`SO_MAX_PACING_RATE`).
    pub max_pacing_rate: Option<u64>,
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// Idle time before the first keep-alive probe (`TCP_KEEPIDLE`; RFC 9293 §3.8.4, MUST-27).
    pub keepalive_idle: Duration,
    /// Time between keep-alive probes (`TCP_KEEPINTVL`).
    pub keepalive_interval: Duration,
    /// Unanswered keep-alive probes before the connection fails (`TCP_KEEPCNT`).
    pub keepalive_count: u8,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: Option<Duration>,
    /// `SO_LINGER`.
    pub linger: Option<Duration>,
    /// How long FIN-WAIT-2 lasts without an owner; `None` ends it by a RST at once (`TCP_LINGER2`).
    pub fin_timeout: Option<Duration>,
    /// The urgent byte stays in the stream (`SO_OOBINLINE`).
    pub urgent_inline: bool,
    /// See [`Config::recv_buffer`]. `SO_RCVBUF` is this and `recv_buffer_initial` set to twice its value.
    pub recv_buffer: u32,
    /// See [`Config::recv_buffer_initial`].
    pub recv_buffer_initial: u32,
    /// See [`Config::send_buffer`]. `SO_SNDBUF` is this and `send_buffer_initial` set to twice its value.
    pub send_buffer: u32,
    /// See [`Config::send_buffer_initial`].
    pub send_buffer_initial: u32,
    /// See [`Config::notsent_lowat`] (`TCP_NOTSENT_LOWAT`).
    pub notsent_lowat: Option<u32>,
    /// The time to live or hop limit of its segments (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    pub ttl: u8,
    /// The differentiated services field of its segments (`IP_TOS`, `IPV6_TCLASS` without the lowest two bits), 0 to 63;
    /// it can be changed at any time: RFC 9293 §3.9.1.9 (SHLD-21).
    pub dscp: u8,
}

impl Opts {
    /// The defaults of a new connection.
    pub fn new(cfg: &Config) -> Opts {
        Opts {
            nagle: cfg.nagle,
            cork: cfg.cork,
            congestion: cfg.congestion,
            ack_delay: cfg.ack_delay,
            mss: cfg.mss,
            advmss: cfg.advmss,
            window_clamp: cfg.window_clamp,
            max_pacing_rate: cfg.max_pacing_rate,
            keepalive: cfg.keepalive,
            keepalive_idle: cfg.keepalive_idle,
            keepalive_interval: cfg.keepalive_interval,
            keepalive_count: cfg.keepalive_count,
            user_timeout: cfg.user_timeout,
            linger: cfg.linger,
            fin_timeout: Some(cfg.fin_timeout),
            urgent_inline: cfg.urgent_inline,
            recv_buffer: cfg.recv_buffer,
            recv_buffer_initial: cfg.recv_buffer_initial,
            send_buffer: cfg.send_buffer,
            send_buffer_initial: cfg.send_buffer_initial,
            notsent_lowat: cfg.notsent_lowat,
            ttl: cfg.ttl,
            dscp: cfg.dscp,
        }
    }
}

/// What the stack must remember of a connection in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeWait {
    /// SND.NXT.
    pub snd_nxt: Seq,
    /// RCV.NXT.
    pub rcv_nxt: Seq,
    /// The window field to send.
    pub window: u16,
    /// If time stamps were in use: TS.Recent and the offset of our clock.
    pub timestamps: Option<(u32, u32)>,
    /// See [`Snapshot::iss`](super::Snapshot::iss).
    pub iss: Seq,
    /// See [`Snapshot::irs`](super::Snapshot::irs).
    pub irs: Seq,
}

/// The state of the time stamps option (RFC 7323 §4, §5).
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamping {
    pub(super) on: bool,
    pub(super) offset: u32,
    pub(super) recent: u32,
    /// When that came, in whole seconds.
    pub(super) recent_at: u32,
    pub(super) last_ack_sent: Seq,
}

/// What has to be sent, apart from data, FIN and acknowledgments.
#[derive(Clone, Default, Debug)]
pub(super) struct Intents {
    /// A RST with this sequence number, and the acknowledgment if it needs one.
    pub(super) rst: Option<Box<(Seq, Option<Seq>, RstWhy)>>,
    pub(super) syn: bool,
    pub(super) window_probe: bool,
    /// Before the window probe one that tells of urgent data.
    pub(super) urgent_probe: bool,
    pub(super) keepalive: bool,
    /// The first lost segment leaves whatever the congestion window says.
    pub(super) resend: bool,
    /// The timer expired: that is why.
    pub(super) rto: bool,
    /// The next segment is a tail-loss probe, which no congestion window holds back: new data, or the last segment again.
    pub(super) probe: bool,
    pub(super) probe_tail: bool,
    /// A partial segment may leave although Nagle, the cork or the window would hold it.
    pub(super) override_hold: bool,
    /// All that is written may leave now although Nagle or the cork would hold its end: there is no room for more of it.
    pub(super) rush: bool,
    /// The rest of a message follows: for now its end waits (`MSG_MORE`).
    pub(super) more: bool,
    /// What was put off for a larger burst waits until something is heard or written.
    pub(super) put_off: bool,
}

impl Intents {
    /// Whether any of them asks for a segment by itself.
    pub(super) fn any(&self) -> bool {
        let probes = self.window_probe || self.keepalive || self.probe || self.probe_tail;
        self.rst.is_some() || self.syn || probes || self.resend || self.rto
    }
}

/// Events that wait for `poll_event`.
#[derive(Clone, Copy, Default)]
pub(super) struct Events {
    pub(super) established: bool,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) all_acked: bool,
    pub(super) closed: Option<CloseReason>,
}

/// One TCP connection.
///
/// Handlers (`on_*`, `write`, `shutdown`, …) only record what has to happen; [`Conn::poll_transmit`] alone makes
/// segments.
pub struct Conn {
    pub(super) state: State,
    /// Shared with all connections that have the defaults.
    pub(super) opts: Arc<Opts>,
    /// Opened by `connect`: RFC 9293 §3.5 (MUST-11).
    pub(super) active: bool,
    /// Nobody holds a handle any more.
    pub(super) released: bool,
    pub(super) error: Option<StreamError>,
    /// The last ICMP error, reported if the connection fails for want of answers (RFC 9293 §3.9.2.2).
    pub(super) soft_error: Option<StreamError>,
    pub(super) snd: Send,
    pub(super) rcv: Receive,
    pub(super) board: Spare<Scoreboard>,
    pub(super) recovery: Recovery,
    pub(super) rack: Rack,
    pub(super) burst: Burst,
    /// What each segment of new data carries that leaves at this moment, bytes; 0 before the first.
    pub(super) cut: u16,
    pub(super) cc: Box<dyn CongestionControl>,
    pub(super) usage: Usage,
    /// From the first paced segment on.
    pub(super) pacer: Option<Box<Pacer>>,
    pub(super) rtt: Rtt,
    pub(super) timers: Timers,
    pub(super) ack: Ack,
    pub(super) ts: Timestamping,
    pub(super) sack: bool,
    /// Its segments are signed (RFC 2385).
    pub(super) signed: bool,
    /// If both ends agreed on it.
    pub(super) ecn: Option<Box<Ecn>>,
    pub(super) scaling: bool,
    pub(super) ip_header: u16,
    pub(super) mtu: u16,
    /// Of the path's MTU, once there is one.
    pub(super) search: Option<Box<MtuSearch>>,
    pub(super) peer_mss: u16,
    /// The MSS that was announced.
    pub(super) announced: u16,
    pub(super) intents: Intents,
    pub(super) events: Events,
    /// How often the SYN was sent.
    pub(super) syns: u8,
    pub(super) syn_sent_at: Instant,
    /// Time-outs in a row without progress.
    pub(super) retries: u8,
    /// Window probes in a row without an answer, and the doubling of their interval.
    pub(super) probes: u8,
    pub(super) probe_backoff: u8,
    pub(super) keepalives: u8,
    /// Since when nothing was acknowledged although something should be.
    pub(super) stalled_since: Option<Instant>,
    /// Since when a partial segment is held back.
    pub(super) held_since: Option<Instant>,
    pub(super) last_received: Instant,
    /// Whether another challenge ACK may be sent in this second, as far as the other connections are concerned.
    pub(super) challenges: bool,
    pub(super) wants_room: bool,
    pub(super) blocked: Blocked,
    pub(super) counters: Counters,
    pub(super) rate: Rate,
    /// The peer's urgent data.
    pub(super) urgent: Option<Box<Urgent>>,
    /// If it uses Fast Open.
    pub(super) fast_open: Option<Box<FastOpen>>,
    pub(super) ledger: Ledger,
}

/// Whole seconds; they wrap after 136 years.
pub(super) fn seconds(at: Instant) -> u32 {
    (at.as_millis() / 1000) as u32
}

impl Conn {
    fn new(
        cx: &Cx,
        state: State,
        iss: Seq,
        ts_offset: u32,
        ip_header: u16,
        mtu: u16,
        opts: Arc<Opts>,
    ) -> Conn {
        let peer_mss = default_mss(ip_header);
        let mss = u32::from(peer_mss);
        let cwnd = cx.cfg.init_cwnd.saturating_mul(mss);
        let start = Start { cwnd, ssthresh: u32::MAX, mss, config: cx.cfg };
        Conn {
            state,
            active: false,
            released: false,
            error: None,
            soft_error: None,
            snd: Send::new(iss, opts.send_buffer_initial, opts.send_buffer, cx.cfg.bursts),
            rcv: Receive::new(Window::new(&opts, cx.cfg.recv_tuning), cx.cfg),
            board: Spare::default(),
            recovery: Recovery::new(iss),
            rack: Rack::expecting(cx.cfg.reordering),
            burst: Burst::new(iss),
            cut: 0,
            cc: congestion::new(opts.congestion, &start),
            announced: own_mss((opts.mss, opts.advmss), mtu, ip_header),
            opts,
            usage: Usage::new(iss),
            pacer: None,
            rtt: Rtt::new(cx.cfg),
            timers: Timers::new(),
            ack: Ack::new(cx.cfg),
            ts: Timestamping {
                on: cx.cfg.timestamps,
                offset: ts_offset,
                recent: 0,
                recent_at: seconds(cx.now),
                last_ack_sent: Seq(0),
            },
            sack: cx.cfg.sack,
            signed: false,
            ecn: None,
            scaling: cx.cfg.window_scale != WindowScale::Off,
            ip_header,
            mtu,
            search: None,
            peer_mss,
            intents: Intents { syn: true, ..Intents::default() },
            events: Events::default(),
            syns: 0,
            syn_sent_at: cx.now,
            retries: 0,
            probes: 0,
            probe_backoff: 0,
            keepalives: 0,
            stalled_since: None,
            held_since: None,
            last_received: cx.now,
            challenges: true,
            wants_room: false,
            blocked: Blocked::Handshake,
            counters: Counters::default(),
            rate: Rate::new(),
            urgent: None,
            fast_open: None,
            ledger: Ledger::new(cx.now),
        }
    }

    /// Active open: SYN-SENT; the SYN leaves with the next [`poll_transmit`](Conn::poll_transmit).
    ///
    /// `iss` is the initial sequence number (RFC 6528); `ts_offset` is added to the millisecond clock to make TSval
    /// (RFC 7323 §5.4); `ip_header` is the length of the IP header in bytes (20 or 40) and `mtu` the link's.
    pub fn connect(
        cx: &mut Cx,
        iss: Seq,
        ts_offset: u32,
        ip_header: u16,
        mtu: u16,
        opts: impl Into<Arc<Opts>>,
    ) -> Conn {
        let mut conn = Conn::new(cx, State::SynSent, iss, ts_offset, ip_header, mtu, opts.into());
        conn.active = true;
        conn.ask_ecn(cx.cfg);
        conn.rcv.may_shrink(cx.cfg.shrink_window);
        conn.ledger.is_client();
        let shift = scale_shift(cx.cfg, conn.rcv.buffer.largest(cx.cfg.recv_buffer_max));
        conn.rcv.offer_first(u32::from(conn.own_mss()), shift, cx.cfg.init_rwnd);
        conn
    }

    /// Passive open: SYN-RECEIVED, from a SYN that was acceptable to a listener; the SYN-ACK leaves with the next
    /// [`poll_transmit`](Conn::poll_transmit). The other arguments are those of [`connect`](Conn::connect).
    pub fn accept(
        cx: &mut Cx,
        iss: Seq,
        ts_offset: u32,
        ip_header: u16,
        mtu: u16,
        syn: &Segment,
        opts: impl Into<Arc<Opts>>,
    ) -> Conn {
        let mut conn = Conn::new(cx, State::SynReceived, iss, ts_offset, ip_header, mtu, opts.into());
        conn.rcv.may_shrink(cx.cfg.shrink_window);
        conn.signed = syn.options.signed;
        conn.take_syn(cx, syn);
        let agreed = Agreed::with_syn(cx.cfg, syn, Field::NotEct);
        conn.agree_ecn(agreed, || Accurate::granted(cx.cfg, Field::NotEct));
        conn.counters.on_arrival(1, 0);
        conn
    }

    /// The peer's SYN: its number, and which options both sides want (RFC 9293 §3.7.1, MUST-14; RFC 7323 §2.2, §3.2;
    /// RFC 2018 §2).
    pub(super) fn take_syn(&mut self, cx: &Cx, syn: &Segment) {
        let Options { mss, window_scale, sack_permitted, timestamps, .. } = syn.options;
        // None at all is none that anybody can mean.
        if let Some(mss) = mss.filter(|&mss| mss > 0) {
            self.peer_mss = mss;
        }
        self.peer_mss = self.peer_mss.max(LEAST_MSS).max(cx.cfg.min_send_mss);
        self.scaling &= window_scale.is_some();
        // RFC 7323 §2.3: a shift above 14 is taken for 14.
        self.snd.shift = if self.scaling { window_scale.unwrap_or(0).min(14) } else { 0 };
        self.sack &= sack_permitted;
        self.ts.on &= timestamps.is_some();
        if !self.active {
            let stamps = if self.ts.on { 12 } else { 0 };
            let shift = if self.scaling {
                scale_shift(cx.cfg, self.rcv.buffer.largest(cx.cfg.recv_buffer_max))
            } else {
                0
            };
            self.rcv.offer_first(u32::from(self.own_mss()) - stamps, shift, cx.cfg.init_rwnd);
        } else if !self.scaling {
            self.rcv.give_up_scaling();
        }
        self.rcv.start(syn.seq);
        self.ts.last_ack_sent = self.rcv.nxt;
        if let Some(t) = timestamps {
            (self.ts.recent, self.ts.recent_at) = (t.value, seconds(cx.now));
        }
    }

    /// The handshake is done: `seg` acknowledged our SYN with `wnd` bytes of window.
    pub(super) fn establish(&mut self, cx: &mut Cx, seg: &Segment, wnd: u32) {
        self.ledger.on_established(cx.now);
        self.intents.syn = false;
        // Nobody remembers when the SYN-ACK left if it was a cookie.
        if self.syns == 1 {
            let rtt = cx.now.since(self.syn_sent_at);
            self.rtt.sample(cx.cfg, rtt, self.snd.iss + 1, self.snd.nxt);
            self.rack.note_rtt(cx.now, rtt);
        } else if let Some(rtt) = self.timestamp_rtt(cx, seg) {
            self.rtt.sample(cx.cfg, rtt, self.snd.iss + 1, self.snd.nxt);
        } else {
            self.rtt.fall_back();
        }
        // More than one lost SYN or SYN-ACK says that the path is full (RFC 6928 §2).
        self.begin(cx, seg, wnd, if self.syns > 2 { 1 } else { cx.cfg.init_cwnd });
        // Data may have gone with the SYN.
        match self.board.is_empty() {
            true => self.timers.clear(Timer::Rto),
            false => self.timers.set(Timer::Rto, cx.now + self.rtt.rto()),
        }
        self.counters.on_recovered(cx.now);
        self.counters.bytes_acked = self.active.into();
        (self.retries, self.stalled_since) = (0, None);
        self.timers.clear(Timer::User);
        self.set_state(cx, State::Established);
        self.events.established = true;
        self.arm_keepalive(cx.now);
    }

    /// Data may be sent, beginning with `segments`, into `wnd` bytes of window that `seg` announces.
    pub(super) fn begin(&mut self, cx: &mut Cx, seg: &Segment, wnd: u32, segments: u32) {
        self.snd.open(seg, wnd);
        self.start_mtu_search(cx);
        self.start_congestion(cx, segments.saturating_mul(self.mss()), u32::MAX);
        self.usage.restart(cx.now);
        self.ack.start(cx.now, self.mss(), self.rcv.window());
        self.rcv.open(cx.now, self.expected_mss(), self.ack.full());
        self.snd.grow(segments, self.base_mss());
        self.recovery = Recovery::new(self.snd.iss);
        self.rate.open(cx.now);
        self.counters.data_sent_at = cx.now;
    }

    pub(super) fn start_congestion(&mut self, cx: &Cx, cwnd: u32, ssthresh: u32) {
        let start = Start { cwnd, ssthresh, mss: self.mss(), config: cx.cfg };
        self.cc = congestion::new(self.opts.congestion, &start);
    }

    pub(super) fn set_state(&mut self, cx: &mut Cx, to: State) {
        if self.state != to {
            cx.log.push(Note::State { from: self.state, to });
            self.state = to;
        }
    }

    /// The end. What was received in order stays readable.
    pub(super) fn close_as(&mut self, cx: &mut Cx, reason: CloseReason) {
        self.end_ledger(cx.now, reason);
        let state = if reason == CloseReason::Normal && self.state != State::LastAck {
            State::TimeWait
        } else {
            State::Closed
        };
        if reason == CloseReason::Reset && self.state == State::CloseWait && self.rcv.finished {
            // Both have said all they wanted to read: only writing can fail, as with Linux.
            self.error = self.error.or(Some(StreamError::BrokenPipe));
        }
        self.set_state(cx, state);
        self.error = self.error.or(reason.error());
        if reason == CloseReason::TimedOut && self.soft_error.is_some() {
            self.error = self.soft_error;
        }
        cx.log.push(Note::Closed { reason });
        if self.rcv.has_gap() && self.rcv.is_fin_alone() {
            self.suspect_gap();
        }
        self.timers.clear_all();
        self.probe_backoff = 0;
        self.note_end(reason);
        self.board.reset();
        self.snd.clear();
        self.rcv.forget_beyond();
        self.held_since = None;
        self.events.closed = Some(reason);
        self.events.readable = true;
        self.blocked = Blocked::Closed;
        if state == State::Closed {
            self.intents = Intents { rst: self.intents.rst.take(), ..Intents::default() };
        }
    }

    /// What the counts say ever after, as on Linux.
    fn note_end(&mut self, reason: CloseReason) {
        let (tally, unsent) = (self.board.tally(), self.snd.unsent());
        if tally.sacked + tally.lost + tally.resent > 0 {
            self.counters.rare().at_end = Tally { out: 0, ..tally };
        }
        if unsent > 0 && reason != CloseReason::Aborted {
            self.counters.rare().unsent_at_end = unsent;
        }
    }

    /// Ends the connection with a RST, if the peer can know of it.
    pub(super) fn reset(&mut self, cx: &mut Cx, why: RstWhy, reason: CloseReason) {
        // RFC 9293 §3.10.5: no RST from SYN-SENT, none when both FINs are out, and none when all is over anyway.
        let said_all = matches!(self.state, State::Closing | State::LastAck) && self.snd.fin == Fin::Sent;
        let silent = said_all && why == RstWhy::Abort;
        if !silent && !matches!(self.state, State::SynSent | State::TimeWait | State::Closed) {
            // A window that has shrunk must not keep the peer from believing it; one that was only rounded to its
            // unit does not count.
            let edge = self.snd.una + self.snd.wnd;
            let shrunk = self.snd.nxt.gt(edge + (1 << self.snd.shift));
            let seq = if shrunk { edge } else { self.snd.nxt };
            self.intents.rst = Some(Box::new((seq, Some(self.rcv.nxt), why)));
        }
        if self.state != State::Closed {
            self.close_as(cx, reason);
        }
    }

    /// The largest payload of a segment without options, bytes: Eff.snd.MSS of RFC 9293 §3.7.1 (MUST-16) before options.
    pub(super) fn base_mss(&self) -> u32 {
        self.largest_mss(self.known_mtu())
    }

    /// The same for a path of `mtu` bytes.
    pub(super) fn largest_mss(&self, mtu: u16) -> u32 {
        let own = self.opts.mss.unwrap_or(u16::MAX).min(mtu.saturating_sub(self.ip_header + 20));
        u32::from(self.peer_mss.min(own).max(LEAST_MSS))
    }

    /// The payload of a full segment, bytes, with the options that each segment carries.
    pub fn mss(&self) -> u32 {
        let stamps = self.stamps();
        self.snd.bounded(self.base_mss() - stamps, LEAST_MSS as u32 - stamps)
    }

    /// The bytes of the options that each segment carries.
    pub(super) fn stamps(&self) -> u32 {
        let signature = if self.signed { Options::SIGNATURE } else { 0 };
        if self.ts.on { 12 + signature } else { signature }
    }

    /// Whether what is sent is signed (RFC 2385), which takes room.
    pub fn set_signed(&mut self, signed: bool) {
        let before = self.mss();
        self.signed = signed;
        // As with Linux, who signs a SYN offers no time stamps.
        self.ts.on &= !(signed && self.state == State::SynSent);
        self.remeasure(before);
    }

    /// Segments may have become larger or smaller than `before`: the window holds as many as it did.
    pub(super) fn remeasure(&mut self, before: u32) {
        let mss = self.mss();
        if mss != before && self.snd.is_pieced() {
            self.cc.on_mss(before, mss);
            self.usage.on_mss(before, mss);
        }
    }

    /// The payload of the peer's full segments, as far as that follows from what we announced.
    pub(super) fn expected_mss(&self) -> u32 {
        u32::from(self.own_mss()) - if self.ts.on { 12 } else { 0 }
    }

    /// The MSS to announce: RFC 9293 §3.7.1 (MUST-67), RFC 6691.
    pub(super) fn own_mss(&self) -> u16 {
        own_mss((self.opts.mss, self.opts.advmss), self.mtu, self.ip_header)
    }

    /// Each connection has its own switch: RFC 9293 §3.8.4 (MUST-24).
    pub(super) fn arm_keepalive(&mut self, now: Instant) {
        if self.opts.keepalive && !self.state.is_opening() && !self.state.is_over() {
            self.timers.set(Timer::KeepAlive, now + self.opts.keepalive_idle);
        } else {
            self.timers.clear(Timer::KeepAlive);
        }
    }

    /// R2 of RFC 9293 §3.8.3, set by the application (MUST-21).
    ///
    /// It counts from the SYN, or from the first repetition by the timer, as on Linux.
    pub(super) fn arm_user_timeout(&mut self) {
        let since = match self.state.is_opening() {
            true => self.stalled_since,
            false => Some(self.recovery.since).filter(|&at| self.retries > 0 && at != Instant::FAR),
        };
        match (self.opts.user_timeout, since) {
            (Some(limit), Some(since)) => self.timers.set(Timer::User, since + limit),
            _ => self.timers.clear(Timer::User),
        }
    }

    /// What the stack's other connections leave of what all share; to be said before each call.
    pub fn set_surroundings(&mut self, surroundings: Surroundings) {
        self.challenges = surroundings.challenges;
        (self.rcv.pressure, self.rcv.share) = (surroundings.pressure, surroundings.share);
        self.rcv.buffer.watched = surroundings.watched;
    }

    /// Whether the next segment's payload comes with its memory if that is [wanted](Self::wanted_memory); to be said before
    /// [`on_segment`](Self::on_segment).
    pub fn offer_memory(&mut self, offered: bool) {
        self.rcv.lends = offered;
    }

    /// Whether an acknowledgment must not wait until the owner has heard of what came, which may be read or answered at once:
    /// it tells of a loss, answers what is doubtful, or ends a handshake or a stream.
    pub fn must_acknowledge(&self) -> bool {
        self.ack.now.is_some_and(|why| !matches!(why, AckNowWhy::Quick | AckNowWhy::NoDelay | AckNowWhy::Ecn))
    }

    /// The bytes of the last segment's payload that were not copied because their memory was offered. It must be
    /// [supplied](Self::supply) before anything is read.
    pub fn wanted_memory(&self) -> Option<Range<usize>> {
        self.rcv.wanted_memory()
    }

    /// Takes the memory that was wanted.
    pub fn supply(&mut self, parcel: Parcel) {
        self.rcv.supply(parcel);
    }
}

/// The MSS to announce for a link of `mtu` bytes, with limits of one's own: RFC 9293 §3.7.1 (MUST-67), RFC 6691.
pub(super) fn own_mss(limits: (Option<u16>, Option<u16>), mtu: u16, ip_header: u16) -> u16 {
    let limit = limits.0.unwrap_or(u16::MAX).min(limits.1.unwrap_or(u16::MAX));
    limit.min(mtu.saturating_sub(ip_header + 20)).max(LEAST_MSS)
}

/// The shift to offer for a receive buffer of `limit` bytes (RFC 7323 §2.3: at most 14).
pub(super) fn scale_shift(cfg: &Config, limit: u32) -> u8 {
    match cfg.window_scale {
        WindowScale::Off => 0,
        WindowScale::Shift(n) => n.min(14),
        WindowScale::Auto => (0..14).find(|s| limit >> s <= 65_535).unwrap_or(14),
    }
}

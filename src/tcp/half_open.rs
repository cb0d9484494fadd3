//! What is a connection before its handshake is done? SYN-RECEIVED after a passive open, in less than a hundred bytes.
//!
//! Whoever sends SYNs costs us no buffer, no congestion control and no allocation: a [`Conn`] is made when the third
//! segment of the handshake has come (RFC 4987 §3.4).

use super::accurate_ecn::{self, Accurate, Fails, Seen};
use super::cause::{AckNowWhy, Blocked, Cause, Received, RstWhy, Snapshot, Verdict};
use super::config::{Config, WindowScale};
use super::conn::{Conn, Cx, Opts, default_mss, own_mss, scale_shift};
use super::ecn::Agreed;
use super::input::fits_window;
use super::ledger::Ledger;
use super::log::Note;
use super::state::{CloseReason, State};
use super::timeout::least_mtu;
use super::window::Window;
use crate::dropped::DropReason;
use crate::segment::{Ecn as Field, Flags, Options, Segment, Timestamps};
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// A connection in SYN-RECEIVED that a listener opened.
///
/// Its owner asks [`wants_syn_ack`](HalfOpen::wants_syn_ack) after each call and sends [`syn_ack`](HalfOpen::syn_ack).
#[derive(Clone, Debug)]
pub struct HalfOpen {
    iss: Seq,
    irs: Seq,
    ts_offset: u32,
    /// TS.Recent, if both sides want time stamps.
    ts_recent: Option<u32>,
    ip_header: u16,
    mtu: u16,
    mss: Option<u16>,
    /// The peer's shift, if both sides scale their windows.
    shift: Option<u8>,
    /// Ours, and the window that we offer.
    own_shift: u8,
    window: u16,
    sack: bool,
    /// Its SYN was signed, and so is what answers it (RFC 2385).
    signed: bool,
    /// What both ends agreed on of ECN.
    ecn: Agreed,
    /// How the SYN came, and what is known of accurate ECN's ways.
    syn_field: Field,
    seen: Seen,
    fails: Fails,
    /// The next SYN-ACK does without accurate ECN (RFC 9768 §3.2.3.2.2).
    bleak: bool,
    /// The first SYN-ACK has a Fast Open cookie, in the experimental option or in the other.
    cookie: Option<bool>,
    /// A SYN-ACK is due.
    due: bool,
    /// It was acknowledged, but data is waited for.
    acked: bool,
    /// How often it was sent, and how often because nobody answered.
    sent: u8,
    retries: u8,
    sent_at: Instant,
    since: Instant,
    /// When the last SYN-ACK is overdue.
    expires: Option<Instant>,
    /// Before, nothing doubtful is answered again (RFC 5961 §7).
    quiet_until: Instant,
}

const _: () = assert!(size_of::<HalfOpen>() < 100);

/// What a segment for a half-open connection leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing changes, a SYN-ACK may be due again.
    Stays(Received),
    /// Nothing changes, and this is sent back.
    Answers(Received, Segment, Cause),
    /// It is over: the peer has taken its SYN back, or has sent another one, which is answered by this.
    Ends(Received, Option<(Segment, Cause)>),
    /// The handshake is done: [`HalfOpen::complete`] makes the connection, which takes the segment.
    Completes,
}

impl HalfOpen {
    /// From a SYN that was acceptable to a listener, with `field` in its IP header; the other arguments are those of
    /// [`Conn::accept`].
    pub fn new(
        cx: &Cx,
        iss: Seq,
        ts_offset: u32,
        ip_header: u16,
        mtu: u16,
        syn: &Segment,
        field: Field,
    ) -> HalfOpen {
        let Options { mss, window_scale, sack_permitted, timestamps, .. } = syn.options;
        let ts_recent = timestamps.filter(|_| cx.cfg.timestamps).map(|t| t.value);
        let shift = window_scale.filter(|_| cx.cfg.window_scale != WindowScale::Off);
        let mut buffer = Window::new(&Opts::new(cx.cfg), cx.cfg.recv_tuning);
        let own_shift = shift.map_or(0, |_| scale_shift(cx.cfg, buffer.largest(cx.cfg.recv_buffer_max)));
        let stamps = if ts_recent.is_some() { 12 } else { 0 };
        let segment = u32::from(own_mss((cx.cfg.mss, cx.cfg.advmss), mtu, ip_header)) - stamps;
        let window = buffer.first(segment, own_shift, cx.cfg.init_rwnd);
        HalfOpen {
            iss,
            irs: syn.seq,
            ts_offset,
            ts_recent,
            ip_header,
            mtu,
            mss,
            shift,
            own_shift,
            // No shift applies to it (RFC 7323 §2.2).
            window: window.min(65_535) as u16,
            sack: sack_permitted && cx.cfg.sack,
            signed: syn.options.signed,
            ecn: Agreed::with_syn(cx.cfg, syn, field),
            syn_field: field,
            seen: Seen::No,
            fails: Fails::default(),
            bleak: false,
            cookie: None,
            due: true,
            acked: false,
            sent: 0,
            retries: 0,
            sent_at: cx.now,
            since: cx.now,
            expires: None,
            quiet_until: Instant::ZERO,
        }
    }

    /// The initial send sequence number.
    pub fn iss(&self) -> Seq {
        self.iss
    }

    /// Whether [`syn_ack`](HalfOpen::syn_ack) has to be sent.
    pub fn wants_syn_ack(&self) -> bool {
        self.due
    }

    /// The first SYN-ACK is to have a Fast Open cookie, in the experimental option if so (RFC 7413 §4.1.2).
    pub fn give_cookie(&mut self, experimental: Option<bool>) {
        self.cookie = experimental;
    }

    /// Whether both ends agreed on ECN, of either kind.
    pub fn has_ecn(&self) -> bool {
        self.ecn != Agreed::Nothing
    }

    /// Whether the first SYN-ACK is to have a Fast Open cookie, and in which option.
    pub fn gives_cookie(&self) -> Option<bool> {
        self.cookie
    }

    /// Whether a SYN-ACK went unanswered.
    pub fn is_old(&self) -> bool {
        self.retries > 0
    }

    /// The SYN-ACK, which leaves now. What it offers is what both sides want: RFC 9293 §3.7.1 (MUST-14), RFC 7323 §2.2,
    /// §3.2, RFC 2018 §2.
    pub fn syn_ack(&mut self, cx: &mut Cx) -> (Segment, Cause) {
        let cause = Cause::SynAck { nth: self.sent };
        (self.due, self.sent, self.sent_at) = (false, self.sent.saturating_add(1), cx.now);
        let accurate = self.ecn == Agreed::Accurate;
        if accurate && self.sent > 2 {
            self.fails.add(Fails::ACE_SENT);
        }
        // An answer to a SYN that came again does not put the timer off.
        if self.expires.is_none() {
            let rto = self.rto(cx);
            self.expires = Some(cx.now + rto);
            cx.log.push(Note::RtoTimer { rto });
        }
        let options = Options {
            mss: Some(own_mss((cx.cfg.mss, cx.cfg.advmss), self.mtu, self.ip_header)),
            window_scale: self.shift.map(|_| self.own_shift),
            sack_permitted: self.sack,
            timestamps: self.timestamps(cx.now),
            signed: self.signed,
            ..Options::default()
        };
        // There may be a box that drops what has the option: RFC 9768 §3.2.3.2.2.
        let options = match accurate && self.sent == 1 {
            true => accurate_ecn::with_first_counts(options, cx.cfg),
            false => options,
        };
        let bleak = std::mem::take(&mut self.bleak) && accurate;
        let marks = if bleak { Flags::NONE } else { self.ecn.flags(self.syn_field) };
        let seg = Segment {
            seq: self.iss,
            ack: self.irs + 1,
            flags: Flags::SYN | Flags::ACK | marks,
            window: self.window,
            options,
            ..Segment::default()
        };
        (seg, cause)
    }

    fn timestamps(&self, now: Instant) -> Option<Timestamps> {
        let value = (now.as_millis() as u32).wrapping_add(self.ts_offset);
        self.ts_recent.map(|echo| Timestamps { value, echo })
    }

    fn rto(&self, cx: &Cx) -> Duration {
        cx.cfg.rto_initial.saturating_mul(1 << self.retries.min(20)).min(cx.cfg.rto_max)
    }

    /// When [`on_timeout`](HalfOpen::on_timeout) is due.
    pub fn next_deadline(&self, cx: &Cx) -> Option<Instant> {
        let user = cx.cfg.user_timeout.map(|limit| self.since + limit);
        [self.expires, user].into_iter().flatten().min()
    }

    /// How many time-outs data is waited for (Linux' secs_to_retrans); 0 if it is not.
    fn deferred(&self, cx: &Cx) -> u8 {
        let (wanted, mut wait) = (cx.cfg.defer_accept, cx.cfg.rto_initial);
        if wanted.is_zero() || wait.is_zero() {
            return 0;
        }
        let (mut times, mut passed) = (1u8, wait);
        while wanted > passed && times < u8::MAX {
            times += 1;
            wait = (wait * 2).min(cx.cfg.rto_max);
            passed += wait;
        }
        times
    }

    /// The SYN-ACK is overdue; false if it is not sent again, more than `retries` times. R2 for SYNs: RFC 9293 §3.8.3
    /// (MUST-22). While data is waited for it is not sent again, but for the last time.
    pub fn on_timeout(&mut self, cx: &mut Cx, retries: u8) -> bool {
        let bored = cx.cfg.user_timeout.is_some_and(|limit| self.since + limit <= cx.now);
        if !bored && self.expires.is_none_or(|at| at > cx.now) {
            return true;
        }
        let deferred = self.deferred(cx);
        let waits = self.acked && self.retries < deferred;
        if bored || self.retries >= retries && !waits {
            cx.log.push(Note::State { from: State::SynReceived, to: State::Closed });
            cx.log.push(Note::Closed { reason: CloseReason::TimedOut });
            return false;
        }
        let again = !self.acked || self.retries + 1 >= deferred;
        self.retries += 1;
        self.bleak = self.retries > 1;
        (self.due, self.expires) = match again {
            true => (true, None),
            false => (false, Some(cx.now + self.rto(cx))),
        };
        true
    }

    /// RFC 9293 §3.10.7.4 for SYN-RECEIVED, with the answers of RFC 5961; `field` is what the IP header of `seg` says.
    pub fn on_segment(&mut self, cx: &mut Cx, seg: &Segment, field: Field) -> Step {
        let dropped = |reason| Received::new(Verdict::Drop(reason));
        let (syn, ack, rst) = (seg.has(Flags::SYN), seg.has(Flags::ACK), seg.has(Flags::RST));
        if syn && !ack && !rst && seg.seq == self.irs {
            // The peer has not seen our SYN-ACK, or it is a flood that would have it sent over and over.
            if self.may_answer(cx) {
                // RFC 9768 §3.1.4.2.
                (self.due, self.syn_field, self.bleak) = (true, field, self.retries > 0);
                if self.ecn == Agreed::Accurate && seg.flags.ace() == 0 {
                    // It is about to give up: what we say may never arrive, and its own flags may not have (RFC 9768 §3.1.4.1).
                    self.fails.add(Fails::ACE_HEARD);
                }
            }
            return Step::Stays(Received::new(Verdict::Duplicate));
        }
        let nxt = self.irs + 1;
        let refusal = || {
            let reset = Segment { seq: seg.ack, flags: Flags::RST, ..Segment::default() };
            Step::Answers(dropped(DropReason::BadAck), reset, Cause::Rst(RstWhy::BadAck))
        };
        // Linux asks first what is acknowledged, then where it lies.
        let lenient = cx.cfg.rst_lenient;
        if lenient && ack && seg.ack != self.iss + 1 {
            return if rst { Step::Stays(dropped(DropReason::BadAck)) } else { refusal() };
        }
        if let (Some(recent), Some(t)) = (self.ts_recent, seg.options.timestamps)
            && !rst
            && (t.value.wrapping_sub(recent) as i32) < 0
        {
            return self.challenge(cx, dropped(DropReason::Paws), AckNowWhy::Duplicate);
        }
        if !fits_window(seg, nxt, self.window.into()) {
            if rst {
                return Step::Stays(dropped(DropReason::Window));
            }
            let old = seg.end().le(nxt);
            let received = if old { Received::new(Verdict::Old) } else { dropped(DropReason::Window) };
            return self.challenge(
                cx,
                received,
                if syn { AckNowWhy::Challenge } else { AckNowWhy::Duplicate },
            );
        }
        // Who opened passively goes back to LISTEN: RFC 9293 §3.5 (MUST-11), §3.10.7.4; RFC 5961 §3.2.
        match (rst, syn, ack) {
            (true, ..) if seg.seq != nxt => {
                self.challenge(cx, dropped(DropReason::Control), AckNowWhy::Challenge)
            }
            (true, ..) => {
                cx.log.push(Note::State { from: State::SynReceived, to: State::Closed });
                cx.log.push(Note::Closed { reason: CloseReason::Reset });
                Step::Ends(Received::new(Verdict::InOrder), None)
            }
            // Another SYN of the same flow: Linux refuses it, and the first one with it.
            (_, true, _) if lenient => {
                cx.log.push(Note::State { from: State::SynReceived, to: State::Closed });
                cx.log.push(Note::Closed { reason: CloseReason::Aborted });
                let reset = match ack {
                    true => Segment { seq: seg.ack, flags: Flags::RST, ..Segment::default() },
                    false => {
                        let flags = Flags::RST | Flags::ACK;
                        Segment { seq: Seq(0), ack: seg.end(), flags, ..Segment::default() }
                    }
                };
                Step::Ends(dropped(DropReason::Control), Some((reset, Cause::Rst(RstWhy::BadSyn))))
            }
            (_, true, _) => self.challenge(cx, dropped(DropReason::Control), AckNowWhy::Challenge),
            (_, _, false) => Step::Stays(dropped(DropReason::Control)),
            _ if seg.ack != self.iss + 1 => refusal(),
            _ => {
                if let Some(option) = seg.options.ecn.filter(|_| self.seen < Seen::Counts) {
                    self.seen = Seen::of(&option);
                }
                if self.retries < self.deferred(cx) && seg.seq_len() == 0 && seg.seq == nxt {
                    self.acked = true;
                    return Step::Stays(dropped(DropReason::Deferred));
                }
                Step::Completes
            }
        }
    }

    fn may_answer(&mut self, cx: &Cx) -> bool {
        let may = cx.now >= self.quiet_until;
        if may {
            self.quiet_until = cx.now + cx.cfg.challenge_interval;
        }
        may
    }

    /// Where we are, for a segment that does not fit; not too often.
    fn challenge(&mut self, cx: &Cx, received: Received, why: AckNowWhy) -> Step {
        if !self.may_answer(cx) {
            return Step::Stays(received);
        }
        let seg = Segment {
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: Flags::ACK,
            window: self.window >> self.own_shift,
            options: Options {
                timestamps: self.timestamps(cx.now),
                signed: self.signed,
                ..Options::default()
            },
            ..Segment::default()
        };
        Step::Answers(received, seg, Cause::AckNow(why))
    }

    /// The connection, in SYN-RECEIVED, for [`Conn::on_segment`] with the segment that completes the handshake.
    pub fn complete(&self, cx: &mut Cx, opts: Arc<Opts>) -> Conn {
        let options = Options {
            mss: self.mss,
            window_scale: self.shift,
            sack_permitted: self.sack,
            timestamps: self.ts_recent.map(|value| Timestamps { value, echo: 0 }),
            signed: self.signed,
            ..Options::default()
        };
        let syn = Segment { seq: self.irs, flags: Flags::SYN, options, ..Segment::default() };
        let mut conn = Conn::accept(cx, self.iss, self.ts_offset, self.ip_header, self.mtu, &syn, opts);
        conn.agree_ecn(self.ecn, || Accurate::granted(cx.cfg, self.syn_field).with(self.seen, self.fails));
        conn.intents.syn = false;
        (conn.syns, conn.syn_sent_at) = (self.sent, self.sent_at);
        if self.sent == 0 {
            // Of a cookie: what it tells is not all that was known when the SYN-ACK made its offer. As on Linux.
            let mss = self.mss.unwrap_or(default_mss(self.ip_header));
            conn.rcv.offer_first(mss.into(), conn.rcv.shift, cx.cfg.init_rwnd);
            conn.rcv.start(self.irs);
        }
        conn.ledger = Ledger::new(self.since);
        if self.sent > 1 {
            conn.counters.rare().total_retrans = u32::from(self.sent) - 1;
        }
        if self.retries > 0 {
            conn.ledger.on_syn(self.sent_at, true);
        }
        conn
    }

    /// ICMP: the path carries packets of `mtu` bytes only.
    pub fn on_path_mtu(&mut self, cfg: &Config, mtu: u16) {
        let least = least_mtu(self.ip_header);
        if cfg.pmtud && (self.ip_header == 20 || mtu >= least) {
            self.mtu = self.mtu.min(mtu.max(least));
        }
    }

    /// The numbers for the trace.
    pub fn snapshot(&self, cx: &Cx) -> Snapshot {
        Snapshot {
            state: State::SynReceived,
            iss: self.iss,
            irs: self.irs,
            // What a connection begins with before it knows the peer's MSS.
            cwnd: cx.cfg.init_cwnd.saturating_mul(default_mss(self.ip_header).into()),
            ssthresh: u32::MAX,
            flight: 1,
            srtt: None,
            rto: self.rto(cx),
            rwnd: 0,
            unsent: 0,
            ecn: (self.ecn != Agreed::Nothing).then_some(0),
            ace: self.ecn == Agreed::Accurate,
            limit: Blocked::Handshake,
        }
    }
}

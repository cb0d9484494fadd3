//! What is sent now, and why? The only place that makes segments.

use super::accurate_ecn;
use super::cause::{AckNowWhy, Blocked, Cause, Snapshot};
use super::config::{IdleRestart, WindowScale};
use super::conn::{Conn, Cx};
use super::counters::Busy;
use super::ecn::{self, Agreed};
use super::fresh::Portion;
use super::log::{CwndWhy, Note};
use super::recovery::Phase;
use super::scoreboard::Departed;
use super::send::Fin;
use super::state::State;
use super::timers::Timer;
use crate::ledger::Part;
use crate::segment::{Ecn, Flags, Options, SackBlocks, Segment, Timestamps};
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use std::num::NonZeroU16;

/// A cork holds a partial segment for a retransmission time-out, and no less than this, as Linux does.
const LEAST_CORK: Duration = Duration::from_millis(200);

/// How much the caller can send at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// The link's MTU in bytes.
    pub mtu: u16,
    /// The largest super-segment in bytes, headers included; equal to `mtu` without offload.
    pub max_packet: u32,
}

/// The bytes of a segment: two slices, because the ring wraps.
#[derive(Clone, Copy, Default, Debug)]
pub struct Payload<'a>(pub &'a [u8], pub &'a [u8]);

/// A segment to send now.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// The header; `seg.len` is the payload's length.
    pub seg: Segment,
    /// Its bytes.
    pub payload: Payload<'a>,
    /// Payload bytes per segment of the wire, if this is a super-segment.
    pub gso_size: Option<NonZeroU16>,
    /// The ECN field of its packet.
    pub ecn: Ecn,
    /// Why it is sent.
    pub cause: Cause,
    /// The connection's numbers after it.
    pub state: Snapshot,
    /// Nothing follows it now: there is no need to ask again.
    pub last: bool,
}

/// What to send: no plan without a cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) cause: Cause,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A RST with this number, and the acknowledgment if it needs one.
    Reset(Seq, Option<Seq>),
    /// Our SYN, with an ACK in SYN-RECEIVED.
    Syn,
    /// `start..end` again.
    Again { start: Seq, end: Seq },
    /// New data, the FIN, or both.
    New(Portion),
    /// No data, one number below SND.NXT: the peer has to answer.
    Probe,
    /// An acknowledgment alone.
    Ack,
}

pub(super) enum Decision {
    Send(Plan),
    Wait(Blocked),
}

impl Conn {
    /// The next segment, if one is to be sent now; call it until `None`, or one is the last.
    pub fn poll_transmit(&mut self, cx: &mut Cx, room: Room) -> Option<Transmit<'_>> {
        if self.has_nothing_to_say() {
            self.wait(cx, Blocked::Idle);
            return None;
        }
        self.restart_after_idle(cx);
        self.look_again(cx.now);
        self.follow_option(cx.cfg);
        let room = self.room_for_marks(room);
        let options = self.data_options(cx);
        match self.decide(cx, room, &options) {
            Decision::Send(plan) => {
                self.charge(cx.now, &plan);
                let (seg, ecn) = self.commit(cx, &plan, options);
                if self.opts.notsent_lowat.is_some() {
                    self.offer_room();
                }
                let full = self.full_payload(&seg.options);
                self.count(cx.now, &plan, &seg, full);
                let state = self.snapshot();
                let last = self.has_nothing_to_say();
                if last {
                    self.wait(cx, Blocked::Idle);
                }
                let (a, b) = match seg.len {
                    0 => (&[][..], &[][..]),
                    n => self.snd.bytes(seg.seq + u32::from(seg.has(Flags::SYN)), n),
                };
                let probe = matches!(plan.cause, Cause::MtuProbe { .. });
                let gso_size = if seg.len > full && !probe { NonZeroU16::new(full as u16) } else { None };
                Some(Transmit { seg, payload: Payload(a, b), gso_size, ecn, cause: plan.cause, state, last })
            }
            Decision::Wait(blocked) => {
                self.wait(cx, blocked);
                None
            }
        }
    }

    /// What [`decide`](Self::decide) would find out in most cases, at less expense: connections are asked far more often
    /// than they have something to send.
    fn has_nothing_to_say(&self) -> bool {
        !self.state.is_opening()
            && self.state != State::Closed
            && self.snd.unsent() == 0
            && self.snd.fin != Fin::Queued
            && !self.intents.any()
            && !(self.ack.now.is_some() || self.ack.every || self.ack.delayed)
            && self.board.first_lost().is_none()
    }

    /// What was time spent on until this leaves?
    fn charge(&mut self, now: Instant, plan: &Plan) {
        let path = self.rack.min_rtt();
        match plan.kind {
            Kind::Reset(..) => {}
            Kind::Syn => self.ledger.on_syn(now, self.syns > 0),
            Kind::Again { .. } => self.ledger.on_again(now),
            Kind::New(_) if plan.cause == Cause::TailLossProbe => self.ledger.on_again(now),
            Kind::New(Portion { len, fin, .. }) => self.ledger.on_new(now, path, fin || len == 0),
            Kind::Probe if self.intents.window_probe => self.ledger.on_window_probe(now),
            Kind::Probe => {}
            Kind::Ack => {
                let waited =
                    if let Cause::AckDelayed { waited } = plan.cause { waited } else { Duration::ZERO };
                self.ledger.on_ack_sent(now, waited, self.rcv.nxt + self.rcv.window());
            }
        }
        if plan.cause.piggyback().is_some() {
            self.ledger.on_ack_sent(now, Duration::ZERO, self.rcv.nxt + self.rcv.window());
        }
    }

    fn count(&mut self, now: Instant, plan: &Plan, seg: &Segment, full: u32) {
        let again = match plan.kind {
            Kind::Syn => self.syns > 1,
            Kind::Again { .. } => true,
            _ => false,
        };
        let single = matches!(plan.kind, Kind::Syn) || matches!(plan.cause, Cause::MtuProbe { .. });
        let segments = if single { 1 } else { seg.len.div_ceil(full).max(1) };
        // On Linux no socket sends a SYN-ACK or the answer to what is a stranger's, so none counts them, but for repetitions.
        if matches!(plan.kind, Kind::Reset(_, None)) {
            return;
        }
        if self.active || !matches!(plan.kind, Kind::Syn) {
            self.counters.on_sent(now, segments, seg.len, again);
        } else if again {
            self.counters.rare().total_retrans += 1;
        }
    }

    /// What a segment with `options` can carry.
    pub(super) fn full_payload(&self, options: &Options) -> u32 {
        (self.mss() + self.stamps()).saturating_sub(options.encoded_len()).max(1)
    }

    /// The options of a segment that leaves now, but for the time.
    pub(super) fn usual_options(&self) -> Options {
        let timestamps = self.ts.on.then_some(Timestamps { value: 0, echo: self.ts.recent });
        let blocks = Options::sack_room(self.ts.on, self.signed) as usize;
        let sack = if self.sack { self.rcv.sack_blocks(blocks) } else { SackBlocks::NONE };
        let options = Options { timestamps, sack, signed: self.signed, ..Options::default() };
        self.beside_marks(options, None)
    }

    /// `options` with accurate ECN's counts, if a segment that leaves now has them.
    fn beside_marks(&self, options: Options, now: Option<Instant>) -> Options {
        match self.accurate() {
            Some(accurate) => accurate.with_counts(options, now, self.rtt.srtt().unwrap_or_default()),
            None => options,
        }
    }

    /// Devices that cut super-segments leave CWR on the first piece only (RFC 3168 §6.1.2), but ACE stands on each (RFC 9768
    /// §3.3.4): what has the bit goes in segments.
    fn room_for_marks(&self, room: Room) -> Room {
        match self.accurate() {
            Some(accurate) if accurate.ace().contains(Flags::CWR) => {
                Room { max_packet: room.mtu.into(), ..room }
            }
            _ => room,
        }
    }

    fn decide(&self, cx: &Cx, room: Room, options: &Options) -> Decision {
        let send = |kind, cause| Decision::Send(Plan { kind, cause });
        if let Some(rst) = &self.intents.rst {
            let (seq, ack, why) = **rst;
            return send(Kind::Reset(seq, ack), Cause::Rst(why));
        }
        match self.state {
            State::Closed => return Decision::Wait(Blocked::Closed),
            _ if self.intents.syn => return send(Kind::Syn, self.syn_cause(cx)),
            _ if self.is_early() => {
                // Lost data waits: until the handshake is done only the SYN-ACK is repeated.
                return match (self.decide_new(cx, room, options), self.ack_cause(cx)) {
                    (Decision::Wait(_), Some(cause)) => send(Kind::Ack, cause),
                    (decision, _) => decision,
                };
            }
            // RFC 9293 §3.10.7.4: what does not fit is told where we are, in SYN-RECEIVED too.
            State::SynReceived if let Some(cause) = self.ack_cause(cx) => return send(Kind::Ack, cause),
            State::SynSent | State::SynReceived => return Decision::Wait(Blocked::Handshake),
            _ => {}
        }
        let again = self.decide_again(cx, options);
        if self.recovery.new_first && again.is_some() {
            // RFC 5682 §2.1 step 2b.
            match self.decide_new(cx, room, options) {
                Decision::Send(plan) => return Decision::Send(plan),
                Decision::Wait(blocked) if self.snd.nxt.gt(self.recovery.mark) => {
                    return self
                        .ack_cause(cx)
                        .map_or(Decision::Wait(blocked), |cause| send(Kind::Ack, cause));
                }
                Decision::Wait(_) => {}
            }
        }
        if let Some(plan) = again {
            return Decision::Send(plan);
        }
        if self.intents.window_probe {
            return send(Kind::Probe, Cause::WindowProbe { nth: self.probes.saturating_add(1) });
        }
        if self.intents.keepalive {
            return send(Kind::Probe, Cause::KeepAlive { nth: self.keepalives });
        }
        let blocked = match self.decide_new(cx, room, options) {
            Decision::Wait(blocked) => blocked,
            sending => return sending,
        };
        if let Some(cause) = self.ack_cause(cx) {
            return send(Kind::Ack, cause);
        }
        Decision::Wait(blocked)
    }

    fn syn_cause(&self, cx: &Cx) -> Cause {
        match (self.state, self.syns) {
            (state, nth) if state != State::SynSent => Cause::SynAck { nth },
            (_, 0) => Cause::Syn,
            (_, nth) => Cause::SynRetransmit { nth, waited: cx.now.since(self.syn_sent_at) },
        }
    }

    /// Lost data goes before new data (RFC 6675 §4 `NextSeg`), as the pipe falls (§5).
    fn decide_again(&self, cx: &Cx, options: &Options) -> Option<Plan> {
        let full = self.full_payload(options);
        let edge = self.snd.una + self.snd.wnd;
        if self.intents.probe_tail {
            let (start, end) = self.board.tail(full)?;
            return Some(Plan { kind: Kind::Again { start, end }, cause: Cause::TailLossProbe });
        }
        let lost = self.board.first_lost()?;
        let tally = self.tally();
        let room = self.recovery.repeats && self.pipe() + self.mss() <= self.cc.cwnd();
        // What was sent again without need counts as well: it has to come home first.
        let paced = || self.bunch_end(lost.start).is_some() || self.paced(cx).is_ok();
        let allowed = self.intents.resend || (room && tally.resent < tally.lost && paced());
        // The head may go even to a window that has closed meanwhile: its answer opens it again. RFC 9293 §3.8.6
        // (SHLD-16, MAY-7).
        let left = if edge.gt(lost.start) { edge.since(lost.start) } else { 0 };
        if !allowed || (left == 0 && lost.start != self.snd.una) {
            return None;
        }
        let full = if left == 0 { full } else { full.min(left) };
        let until = self.snd.record_end(lost.start).map_or(edge, |end| end.min(edge));
        // Nothing from behind joins what leaves together.
        let until = self.bunch_end(lost.start).map_or(until, |end| end.min(until));
        let end = self.board.repeatable(cx.now, lost.start, full, (self.snd.data_end(), until))?;
        let cause = if self.intents.rto {
            Cause::Rto { nth: self.retries.max(1), waited: cx.now.since(lost.last_sent) }
        } else if self.has_unanswered_syn_data(lost.start) {
            Cause::SynDataAgain
        } else if self.recovery.path {
            Cause::MtuRetransmit
        } else if self.recovery.phase == Phase::Rto {
            Cause::RtoRecovery
        } else if self.uses_rack(cx) && (lost.times > 1 || tally.sacked < self.rack.distance()) {
            Cause::Rack
        } else if self.sack {
            Cause::SackRetransmit
        } else {
            Cause::FastRetransmit { duplicates: self.recovery.dup_acks }
        };
        Some(Plan { kind: Kind::Again { start: lost.start, end }, cause })
    }

    fn ack_cause(&self, cx: &Cx) -> Option<Cause> {
        if let Some(why) = self.ack.now {
            Some(Cause::AckNow(why))
        } else if self.ack.every {
            Some(Cause::AckEvery { segments: self.ack.segments })
        } else {
            self.ack.delayed.then(|| Cause::AckDelayed { waited: self.ack.waited(cx.now) })
        }
    }

    /// TSval (RFC 7323 §5.4): milliseconds, from an offset that is not the same for all connections.
    pub(super) fn ts_now(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.ts.offset)
    }

    /// The options of a segment after the handshake: time stamps on each (RFC 7323 §3.2), the MSS on none (RFC 9293
    /// §3.2, MUST-65).
    fn data_options(&self, cx: &Cx) -> Options {
        let timestamps = self.ts.on.then(|| Timestamps { value: self.ts_now(cx.now), echo: self.ts.recent });
        let options = Options { timestamps, ..self.usual_options() };
        match options.ecn {
            Some(_) => options,
            None => self.beside_marks(options, Some(cx.now)),
        }
    }

    /// Makes the segment and changes the state accordingly.
    fn commit(&mut self, cx: &mut Cx, plan: &Plan, options: Options) -> (Segment, Ecn) {
        let now = cx.now;
        let mut seg = Segment { seq: self.snd.nxt, ..Segment::default() };
        let new = matches!(plan.kind, Kind::New(Portion { len, .. }) if len > 0);
        match plan.kind {
            Kind::Reset(seq, ack) => {
                self.intents.rst = None;
                let Some(ack) = ack else {
                    return (Segment { seq, flags: Flags::RST, ..seg }, Ecn::NotEct);
                };
                // RFC 7323 §3.2: time stamps SHOULD be in a RST, too. An answer to a stranger's segment has none.
                let options = Options { sack: SackBlocks::NONE, ..options };
                let (flags, ecn) = self.ecn_of_segment(now, false, false, &options);
                return (Segment { seq, ack, flags: Flags::RST | Flags::ACK | flags, options, ..seg }, ecn);
            }
            Kind::Syn => return (self.commit_syn(cx, seg), Ecn::NotEct),
            Kind::Again { start, end } => {
                let data_end = self.snd.data_end();
                let fin = end.gt(data_end);
                seg.seq = start;
                seg.len = end.since(start) - u32::from(fin);
                if fin {
                    seg.flags |= Flags::FIN;
                }
                self.mtu_probe_is_in_doubt();
                let departure = self.rate.depart(now, false);
                let probe = self.intents.probe_tail;
                let unit = self.full_payload(&options);
                self.board.recut(start, unit);
                let goes_on = self.bunch_end(start).is_some();
                self.begin_bunch(cx, start, end, unit);
                let together = self.recovery.bunch.1.max(end).since(start);
                self.pace(cx, seg.len, if goes_on { 0 } else { together });
                if self.board.resent((start, end), probe, now, departure) || self.recovery.bunch == (end, end)
                {
                    seg.flags |= Flags::PSH;
                }
                if probe {
                    self.probe_sent(cx, true);
                } else {
                    self.recovery.give_up_new();
                    self.recovery.on_sent(now, 1, true);
                    self.arm_user_timeout();
                    // RFC 6298 §5.6, RFC 6675 §6. The timer that waits for what is late goes on.
                    let late = self.timers.is_set(Timer::Reorder);
                    if !late && (start == self.snd.una || !self.timers.is_set(Timer::Rto)) {
                        let paced = if self.intents.rto { Duration::ZERO } else { self.pacing_delay(cx) };
                        self.set_only(Timer::Rto, now + self.rtt.rto() + paced);
                    }
                    (self.intents.resend, self.intents.rto) = (false, false);
                }
            }
            Kind::New(portion) => {
                let Portion { len, fin, small, burst, head } = portion;
                seg.len = len;
                let end = seg.seq + len + u32::from(fin);
                let unit = self.fresh_payload(&options);
                let goes_on = self.burst_left(seg.seq).is_some();
                self.cut = unit as u16;
                if !goes_on && burst > unit && cx.cfg.bursts && !self.snd.is_urgent() {
                    self.burst.begin(seg.seq + burst);
                }
                let burst_ends = self.burst_left(seg.seq) == Some(len);
                // RFC 9293 §3.9.1.2 (MUST-61): the last buffered byte is pushed, and is when it is sent again.
                let last = match head {
                    Some(head) => len == head.len && head.push,
                    None => {
                        let stop = self.snd.record_end(seg.seq).unwrap_or(self.snd.data_end());
                        len > 0 && (seg.seq + len) == stop
                    }
                };
                if let Some(head) = head {
                    self.snd.leave(seg.seq, head, seg.seq + len);
                }
                // What is forced into a small window is pushed, too, as Linux does.
                let forced = self.intents.override_hold;
                if last || burst_ends || forced {
                    seg.flags |= Flags::PSH;
                }
                if fin {
                    seg.flags |= Flags::FIN;
                    self.snd.fin = Fin::Sent;
                }
                // What a probe takes along does not count for Minshall, as on Linux.
                if small && !(self.intents.override_hold && head.is_some()) {
                    self.snd.small_end = seg.seq + len;
                }
                let idle = self.board.is_empty();
                if self.tally().in_network() == 0 {
                    self.cc.on_start(now, now.since(self.counters.data_sent_at));
                }
                let departure = self.rate.depart(now, idle);
                let mtu_probe = matches!(plan.cause, Cause::MtuProbe { .. });
                let unit = if mtu_probe { len.max(unit) } else { unit };
                let sent = Departed {
                    start: seg.seq,
                    end,
                    unit: unit as u16,
                    push: last || forced,
                    fin,
                    joined: goes_on,
                };
                self.board.push(&sent, now, departure);
                self.cc.on_sent(now, len);
                self.usage.on_sent();
                self.recovery.on_sent(now, len.div_ceil(unit).max(1), false);
                if let Cause::MtuProbe { mtu } = plan.cause {
                    self.mtu_probe_sent(seg.seq, end, mtu);
                }
                self.snd.nxt = end;
                self.held_since = None;
                if std::mem::take(&mut self.intents.override_hold) {
                    (self.probes, self.probe_backoff, self.stalled_since) = (0, 0, None);
                }
                self.pace(cx, len, if goes_on { 0 } else { burst.max(len) });
                self.timers.clear(Timer::Cork);
                self.timers.clear(Timer::Persist);
                // RFC 6298 §5.1.
                // That of a SYN-ACK runs on.
                let other = self.is_early() && self.timers.is_set(Timer::Rto);
                if idle && !other {
                    self.start_rto_from_head(cx);
                    cx.log.push(Note::RtoTimer { rto: self.rtt.rto() });
                } else if self.timers.is_set(Timer::Tail) {
                    self.start_rto_from_head(cx);
                }
                if self.intents.probe {
                    self.probe_sent(cx, false);
                } else {
                    self.schedule_probe(cx, false);
                }
            }
            // Neither a keep-alive (RFC 9293 §3.8.4, SHLD-12) nor a window probe carries data.
            Kind::Probe if std::mem::take(&mut self.intents.urgent_probe) => {}
            Kind::Probe => {
                seg.seq = self.snd.nxt - 1;
                if self.intents.window_probe {
                    self.probes = self.probes.saturating_add(1);
                    self.probe_backoff = self.probe_backoff.saturating_add(1);
                    self.intents.window_probe = false;
                    self.timers.set(Timer::Persist, now + self.persist_delay(cx));
                } else {
                    self.intents.keepalive = false;
                }
            }
            // What lies beyond a window that has shrunk would be refused, and the acknowledgment with it.
            Kind::Ack if cx.cfg.ack_adaptive => {
                let edge = self.snd.una + self.snd.wnd;
                let beyond = if edge.lt(self.snd.nxt) { self.snd.nxt.since(edge) } else { 0 };
                if beyond > 0 && (!self.scaling || beyond >= 1 << self.rcv.shift) {
                    seg.seq = edge;
                }
            }
            Kind::Ack => {}
        }
        if seg.len == 0 {
            self.pass_pacer(now);
        }
        let bare = matches!(plan.kind, Kind::Ack);
        let (flags, ecn) = self.ecn_of_segment(now, new, bare, &options);
        seg.flags |= Flags::ACK | flags;
        if let Some(pointer) = self.snd.urgent_pointer(seg.seq) {
            seg.flags |= Flags::URG;
            seg.urgent = pointer;
        }
        seg.ack = self.rcv.nxt;
        seg.options = options;
        seg.window = match self.ack.now {
            Some(AckNowWhy::NoMemory) if cx.cfg.prune && !self.rcv.buffer.has_room() => {
                self.rcv.close_window()
            }
            _ => self.rcv.advertise(),
        };
        if self.rcv.is_tight() {
            self.ack.leave_quick();
        }
        self.ts.last_ack_sent = self.rcv.nxt;
        // What leaves together says the same.
        if self.burst_left(self.snd.nxt).is_none() {
            self.rcv.reported();
        }
        self.ack.on_sent(now, self.opts.ack_delay, seg.len > 0);
        self.timers.clear(Timer::Ack);
        self.timers.clear(Timer::Gathered);
        (seg, ecn)
    }

    fn commit_syn(&mut self, cx: &mut Cx, mut seg: Segment) -> Segment {
        let answering = self.state != State::SynSent;
        seg.seq = self.snd.iss;
        let first = self.syns == 0;
        // Who opened actively offers the same again in answer to a SYN that crossed its own, as Linux does.
        let offers = self.active;
        seg.flags = Flags::SYN;
        if answering {
            seg.flags |= Flags::ACK;
            seg.ack = self.rcv.nxt;
            seg.flags |= self.ecn_of_syn_ack();
        } else {
            seg.flags |= ecn::request(cx.cfg, self.syns);
        }
        seg.window = match &self.fast_open {
            Some(fast) if fast.early => fast.window,
            _ => self.rcv.syn_window(),
        };
        seg.options = Options {
            // Always: RFC 9293 §3.7.1 (MUST-14, SHLD-5, MAY-3).
            mss: Some(self.own_mss()),
            window_scale: (self.scaling || offers && cx.cfg.window_scale != WindowScale::Off)
                .then_some(self.rcv.first_shift),
            sack_permitted: self.sack || offers && cx.cfg.sack,
            // Without ACK there is nothing to echo (RFC 7323 §3.2).
            timestamps: (self.ts.on || offers && cx.cfg.timestamps && !self.signed).then(|| Timestamps {
                value: self.ts_now(cx.now),
                echo: if answering { self.ts.recent } else { 0 },
            }),
            fast_open: self.fast_open.as_ref().filter(|_| first).and_then(|fast| fast.option),
            signed: self.signed,
            ..Options::default()
        };
        if seg.options.encoded_len() > Options::MOST {
            seg.options.fast_open = None;
        }
        // There may be a box that drops what has the option (RFC 9768 §3.2.3.2.2).
        let again = if self.active { self.retries > 1 } else { !first };
        if answering && !again && self.agreed_ecn() == Agreed::Accurate {
            seg.options = accurate_ecn::with_first_counts(seg.options, cx.cfg);
        }
        seg.len = self.data_of_syn();
        if seg.len > 0 {
            // What is lost of it goes again behind the handshake, on its own.
            let end = seg.seq + 1 + seg.len;
            let departure = self.rate.depart(cx.now, true);
            let sent = Departed {
                start: seg.seq + 1,
                end,
                unit: seg.len as u16,
                push: true,
                fin: false,
                joined: false,
            };
            self.board.push(&sent, cx.now, departure);
            self.snd.nxt = end;
        }
        self.intents.syn = false;
        self.syns = self.syns.saturating_add(1);
        self.syn_sent_at = cx.now;
        // An answer to a SYN that came again does not put the timer off.
        if !self.timers.is_set(Timer::Rto) {
            let rto = match self.is_early() {
                // The round trip's own time-out is that of the data.
                true => cx.cfg.rto_initial.saturating_mul(1 << self.retries.min(20)).min(cx.cfg.rto_max),
                false => self.rtt.rto(),
            };
            self.timers.set(Timer::Rto, cx.now + rto);
            cx.log.push(Note::RtoTimer { rto });
        }
        self.stalled_since.get_or_insert(cx.now);
        self.arm_user_timeout();
        seg
    }

    /// Nothing can be sent: remember since when and why, and see that something will wake us (RFC 9293 §3.9.1.2,
    /// MUST-60).
    fn wait(&mut self, cx: &mut Cx, blocked: Blocked) {
        self.blocked = blocked;
        (self.intents.rush, self.cut) = (false, 0);
        self.intents.put_off = self.is_put_off(blocked);
        if self.snd.is_pieced() {
            self.snd.settle();
            self.grow_head(blocked);
        }
        let held = match blocked {
            Blocked::Nagle | Blocked::Cork => Some(Part::Nagle),
            Blocked::Cwnd => Some(Part::Cwnd),
            Blocked::PeerWindow => Some(Part::Rwnd),
            Blocked::Pacing => Some(Part::Pacing),
            // The send buffer is too small for the way: its owner has more.
            Blocked::Idle if self.wants_room => Some(Part::Transfer),
            _ => None,
        };
        self.ledger.on_wait(cx.now, self.rack.min_rtt(), held);
        if let Err(at) = self.paced(cx)
            && (blocked == Blocked::Pacing || self.board.first_lost().is_some())
        {
            self.timers.set(Timer::Pacing, at);
        }
        let full = self.pipe() + self.mss() > self.cc.cwnd();
        let busy = match blocked {
            _ if self.state.is_opening() || self.state.is_over() => Busy::No,
            Blocked::PeerWindow => Busy::PeerWindow,
            Blocked::Idle if self.wants_room && !full => Busy::SendBuffer,
            Blocked::Idle if self.snd.flight() == 0 => Busy::No,
            _ => Busy::Yes,
        };
        self.counters.note_busy(cx.now, busy);
        let most = self.tally().out.saturating_mul(self.mss());
        // A window that only repetitions fill is not used.
        let waits = self.snd.unsent() > 0 || self.snd.fin == Fin::Queued;
        if (waits || self.usage.has_sent()) && self.usage.note(self.snd.una, self.snd.nxt, most, full) {
            self.give_up_unused(cx);
        }
        match blocked {
            Blocked::Nagle | Blocked::Cork => {
                let cork = blocked == Blocked::Cork;
                if self.held_since.is_none() {
                    self.held_since = Some(cx.now);
                    cx.log.push(Note::Hold { bytes: self.snd.unsent(), cork });
                }
                // On Linux the timer of a closed window ends a cork, too.
                if self.snd.is_pieced() {
                    self.arm_persist(cx);
                } else if cork && !self.timers.is_set(Timer::Cork) {
                    self.timers.set(Timer::Cork, cx.now + self.rtt.rto().max(LEAST_CORK));
                }
            }
            Blocked::PeerWindow => self.arm_persist(cx),
            _ => {}
        }
    }

    /// RFC 5681 §4.1: after an idle period the window says less of the path the longer it was.
    fn restart_after_idle(&mut self, cx: &mut Cx) {
        let (idle, rto) = (cx.now.since(self.counters.data_sent_at), self.rtt.rto());
        if self.snd.flight() > 0
            || self.snd.unsent() == 0
            || self.state.is_opening()
            || idle <= rto
            || self.usage.has_rested()
        {
            return;
        }
        // On Linux only who may send looks.
        if self.snd.is_pieced() && self.snd.usable() == 0 {
            return;
        }
        let from = self.cc.cwnd();
        let initial = cx.cfg.init_cwnd.saturating_mul(self.mss());
        match cx.cfg.slow_start_after_idle {
            IdleRestart::Off => return,
            IdleRestart::Initial => self.cc.on_idle(initial, self.mss()),
            IdleRestart::Halve => {
                let (mut window, mut left) = (from, idle);
                while left > rto && window > initial {
                    (window, left) = (window / 2, left - rto);
                }
                self.cc.on_idle(window.max(initial), self.mss());
            }
        }
        if self.cc.cwnd() != from {
            self.note_cwnd(cx, from, CwndWhy::Idle);
        }
        self.usage.rest(cx.now);
    }

    /// A window that was not filled for a time-out says less and less of the path: half of what is not used of it goes
    /// (RFC 2861 §3.2, RFC 7661 §4.3).
    fn give_up_unused(&mut self, cx: &mut Cx) {
        let (cwnd, ssthresh) = (self.cc.cwnd(), self.cc.ssthresh());
        let limited = self.usage.may_grow(cwnd, ssthresh);
        let used = self.usage.unused(cx.now, self.rtt.rto(), limited);
        let halves = cx.cfg.slow_start_after_idle == IdleRestart::Halve;
        let Some(used) = used.filter(|_| halves && !self.is_repairing() && !self.wants_room) else { return };
        let mss = self.mss();
        let used = used.max(cx.cfg.init_cwnd.saturating_mul(mss));
        if used < cwnd {
            self.cc.on_idle((cwnd / mss + used / mss) / 2 * mss, mss);
            self.note_cwnd(cx, cwnd, CwndWhy::Idle);
        }
    }
}

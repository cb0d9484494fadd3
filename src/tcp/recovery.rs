//! Was something lost, and how is it repaired? RFC 5681 §3.2, RFC 6582 without SACK, RFC 6675 or 8985 with it.

use super::congestion::{AckSample, CongestionEvent};
use super::conn::{Conn, Cx};
use super::log::{CwndWhy, Note};
use super::rack::Seen;
use super::scoreboard::{Released, later};
use super::timers::Timer;
use crate::segment::Segment;
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// How long a peer may delay the acknowledgment of a lone segment (RFC 8985 §7.2: max_ack_delay).
const WORST_ACK_DELAY: Duration = Duration::from_millis(200);

/// What a probe waits beyond two round trips at least, for clocks and queues.
const LEAST_PROBE_MARGIN: Duration = Duration::from_millis(2);

/// Three duplicates mean a loss (RFC 5681 §3.2).
const DUP_THRESH: u8 = 3;

/// Without a measurement a probe waits for a second (RFC 8985 §7.2).
const PROBE_WITHOUT_RTT: Duration = Duration::from_secs(1);

/// What is being repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nothing.
    Open,
    /// Nothing, but the window is on its way down because a router marked congestion.
    Cwr,
    /// What duplicate or selective ACKs showed.
    Fast,
    /// What was in flight when the timer expired.
    Rto,
}

/// The state of loss recovery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    pub(super) phase: Phase,
    /// SND.NXT when the last recovery began: it is over when that is acknowledged.
    recover: Seq,
    pub(super) dup_acks: u8,
    /// SND.NXT when the first duplicate came: what limited transmit sent since is beyond it (RFC 3042).
    limited_from: Seq,
    /// Without SACK each duplicate ACK says that a segment has left the network, not which: their bytes.
    left_network: u32,
    /// So many bytes more can have left it: no more duplicates are believed than there were segments in flight when the
    /// first came (RFC 5681 §3.2).
    believed: u32,
    prr: Option<Prr>,
    pub(super) undo: Option<Undo>,
    pub(super) probe: Option<Probe>,
    /// The time-out may have been a mistake; what is acknowledged next will tell (RFC 5682).
    doubt: bool,
    /// Until the next acknowledgment new data goes before what may not be lost (RFC 5682 §2.1 step 2b).
    pub(super) new_first: bool,
    /// The last losses were found by the count of what was SACKed, not by time.
    pub(super) counted: bool,
}

/// Proportional rate reduction (RFC 6937 §3): what a recovery may send follows what is delivered.
#[derive(Clone, Copy, Debug)]
struct Prr {
    /// Bytes in flight when the recovery began.
    start: u32,
    delivered: u32,
    out: u32,
    /// How much may be in the network until the next acknowledgment.
    limit: u32,
}

/// What would show that the last reduction of the window was a mistake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    /// SND.UNA when it was made: older duplicate reports say nothing.
    marker: Seq,
    /// Our clock at the first retransmission: an older echo is of the original (RFC 3522 §3.2).
    stamp: Option<u32>,
    /// Retransmissions that were not reported as duplicates yet (RFC 3708 §3).
    unreported: u32,
}

/// A tail-loss probe that is under way (RFC 8985 §7).
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Its answer acknowledges this.
    end: Seq,
    /// It repeated data, so that an answer without a duplicate report means that the original was lost.
    repeated: bool,
}

impl Recovery {
    pub(super) fn new(iss: Seq) -> Recovery {
        Recovery {
            phase: Phase::Open,
            recover: iss,
            dup_acks: 0,
            limited_from: iss,
            left_network: 0,
            believed: 0,
            prr: None,
            undo: None,
            probe: None,
            counted: false,
            doubt: false,
            new_first: false,
        }
    }

    pub(super) fn recover(&self) -> Seq {
        self.recover
    }

    /// Nothing is being repaired and the window is not being reduced.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// A loss is being repaired.
    pub(super) fn repairs(&self) -> bool {
        matches!(self.phase, Phase::Fast | Phase::Rto)
    }

    /// `len` bytes leave, again if `again`.
    pub(super) fn on_sent(&mut self, len: u32, again: bool, clock: u32) {
        if let Some(prr) = &mut self.prr {
            prr.out += len;
        }
        if let Some(undo) = &mut self.undo
            && again
        {
            undo.stamp.get_or_insert(clock);
            undo.unreported += 1;
        }
    }
}

impl Conn {
    /// Bytes believed to be in the network: `pipe` of RFC 6675 §4, or its estimate by duplicate ACKs.
    pub(super) fn pipe(&self) -> u32 {
        self.board.pipe().saturating_sub(self.recovery.left_network)
    }

    /// Whether losses are being repaired.
    pub(super) fn is_repairing(&self) -> bool {
        self.recovery.phase != Phase::Open || self.board.first_lost().is_some()
    }

    /// How much may be in the network now: the congestion window, or what a recovery allows.
    pub(super) fn send_limit(&self) -> u32 {
        self.recovery.prr.map_or(self.cc.cwnd(), |prr| prr.limit)
    }

    /// Whether losses are found by time: only with SACK (RFC 8985 §4).
    pub(super) fn uses_rack(&self, cx: &Cx) -> bool {
        self.sack && cx.cfg.rack
    }

    /// `seg` acknowledges `seg.ack`, which lies in SND.UNA..=SND.NXT. Returns bytes acknowledged for the first
    /// time and the count of duplicate ACKs, 0 if it is none.
    pub(super) fn on_ack(&mut self, cx: &mut Cx, seg: &Segment) -> (u32, u8) {
        let prior_flight = self.snd.flight();
        let (phase, recover) = (self.recovery.phase, self.recovery.recover);
        self.recovery.new_first = false;
        let acked = seg.ack.since(self.snd.una);
        // RFC 5681 §2, §3.2. With SACK new SACK information counts and nothing else does (RFC 6675 §2).
        let mut duplicate = acked == 0
            && prior_flight > 0
            && seg.seq_len() == 0
            && u32::from(seg.window) << self.snd.shift == self.snd.wnd;
        let mut reported = false;
        let twice = if self.sack { duplicate_report(seg) } else { None };
        // The cumulative part first: what lies below a SACK block was not late for that.
        let released =
            if acked > 0 { self.progress(cx, seg, acked, prior_flight) } else { Released::default() };
        let Released { mut delivered, mut segments, mut original, mut latest, .. } = released;
        let measured = released.sample.is_some();
        if self.sack && prior_flight > 0 {
            let (nxt, rack) = (self.snd.nxt, &mut self.rack);
            let sacked = self.board.sack(&seg.options.sack, seg.ack, nxt, rack, cx.now, recover);
            original |= sacked.original;
            reported = sacked.bytes > 0;
            duplicate = acked == 0 && reported;
            delivered += sacked.bytes;
            segments += sacked.segments;
            latest = sacked.latest.map_or(latest, |record| later(latest, record));
            // What a SACK block reports was sent once: it measures as well as an acknowledgment does.
            if let (Some(sent), false) = (sacked.sample, measured) {
                self.rtt.sample(cx.cfg, cx.now.since(sent), self.snd.una, nxt);
            }
        }
        if duplicate {
            if self.recovery.dup_acks == 0 {
                self.recovery.limited_from = self.snd.nxt;
                self.recovery.believed = prior_flight;
            }
            self.recovery.dup_acks = self.recovery.dup_acks.saturating_add(1);
            if !self.sack {
                let most = self.board.pipe().saturating_sub(self.mss());
                let segment = self.mss().min(self.recovery.believed);
                self.recovery.believed -= segment;
                self.recovery.left_network = (self.recovery.left_network + segment).min(most);
            }
        }
        self.rate.on_ack(cx.now, segments, latest.as_ref(), self.rack.min_rtt());
        if self.reports_mark(seg) && segments > 0 {
            self.counters.rare().delivered_ce += segments;
        }
        if std::mem::take(&mut self.rack.late) {
            self.counters.rare().reord_seen += 1;
        }
        if let Some(range) = twice {
            let len = range.1.since(range.0);
            // Nobody can have had more twice than there ever was room for.
            if len <= self.snd.max_wnd {
                self.counters.rare().dsack_dups += len.div_ceil(self.mss());
            }
            self.rack.on_dsack(self.snd.una, self.snd.nxt);
            self.on_duplicate_report(cx, range);
        }
        if acked > 0 {
            self.note_ack(cx.now, seg, acked, released.sample);
        }
        self.on_probe_answer(cx, seg, twice, prior_flight);
        if acked > 0 {
            self.undo_if_late(cx, seg);
        }
        if phase == Phase::Rto && self.recovery.doubt {
            self.test_timeout(cx, acked, original, duplicate || reported);
        }
        let lost = self.detect_loss(cx);
        if self.reports_mark(seg) {
            self.on_mark_reported(cx, prior_flight);
        }
        if delivered > 0 {
            self.reduce_rate(delivered, acked > 0 && !lost);
        }
        if acked > 0 {
            if self.recovery.phase != Phase::Rto {
                self.counters.on_recovered(cx.now);
            }
            self.schedule_probe(cx);
        }
        (acked, if duplicate { self.recovery.dup_acks } else { 0 })
    }

    /// For the ledger: did the peer hold this acknowledgment back?
    fn note_ack(&mut self, now: Instant, seg: &Segment, acked: u32, sample: Option<Instant>) {
        match sample {
            Some(sent) if seg.seq_len() == 0 && acked <= self.mss() => {
                self.ledger.on_ack(now, self.rack.min_rtt(), sent);
            }
            _ => self.ledger.on_prompt_ack(),
        }
    }

    /// Something was acknowledged for the first time; says what, and as `original` whether the original of some of it
    /// arrived although a recovery took it for lost.
    fn progress(&mut self, cx: &mut Cx, seg: &Segment, acked: u32, prior_flight: u32) -> Released {
        // What a timer wanted to be sent again may have been this.
        (self.intents.resend, self.intents.rto) = (false, false);
        if std::mem::take(&mut self.intents.probe) {
            self.board.lose_nothing();
        }
        let seen = Seen { now: cx.now, echoed: self.echoed(cx, seg) };
        let released = self.board.release(seg.ack, &mut self.rack, seen, self.recovery.recover);
        self.snd.release(seg.ack);
        self.counters.bytes_acked += u64::from(acked);
        self.mtu_probe_acked(cx);
        let rtt: Option<Duration> = match released.sample {
            Some(sent) => Some(cx.now.since(sent)),
            None if released.resent => self.timestamp_rtt(cx, seg),
            None => None,
        };
        // Without a sample the back-off stays (Karn: RFC 6298 §3, §5).
        if let Some(rtt) = rtt {
            self.rtt.sample(cx.cfg, rtt, self.snd.una, self.snd.nxt);
        }
        self.retries = 0;
        self.probes = 0;
        self.soft_error = None;
        self.stalled_since = (self.snd.flight() > 0).then_some(cx.now);
        self.arm_user_timeout();

        let reducing = matches!(self.recovery.phase, Phase::Fast | Phase::Cwr) || self.reports_mark(seg);
        let recovery = &mut self.recovery;
        let over = seg.ack.ge(recovery.recover);
        match recovery.phase {
            Phase::Open => {
                (recovery.dup_acks, recovery.left_network) = (0, 0);
                // What lies 2 GiB back would seem to lie ahead.
                if seg.ack.gt(recovery.recover) {
                    recovery.recover = seg.ack - 1;
                }
            }
            Phase::Cwr if seg.ack.gt(recovery.recover) => self.end_reduction(cx),
            Phase::Cwr => (recovery.dup_acks, recovery.left_network) = (0, 0),
            // RFC 6675 §5 (A).
            Phase::Fast if over => {
                self.rack.on_recovered();
                self.end_reduction(cx);
            }
            Phase::Fast => {
                // A partial acknowledgment: the segment behind it was lost as well (RFC 6582 §3.2 step 3).
                if !self.sack {
                    let mss = self.mss();
                    let beyond_first = acked.saturating_sub(mss);
                    self.recovery.left_network = self.recovery.left_network.saturating_sub(beyond_first);
                    self.recovery.dup_acks = 0;
                    self.board.lose_head(mss);
                    self.intents.resend = true;
                }
            }
            Phase::Rto => {
                (recovery.dup_acks, recovery.left_network) = (0, 0);
                if over {
                    recovery.phase = Phase::Open;
                    self.rack.on_recovered();
                }
            }
        }
        // RFC 5681 §3.2 (6): the acknowledgment that ends fast recovery sets the window, it does not open it.
        if !reducing {
            let (now, mss, srtt) = (cx.now, self.mss(), self.rtt.srtt());
            let (cwnd, ssthresh) = (self.cc.cwnd(), self.cc.ssthresh());
            let may_grow = !cx.cfg.cwnd_validation || self.usage.may_grow(cwnd, ssthresh);
            self.cc.on_ack(&AckSample { now, acked, prior_flight, rtt, srtt, mss, may_grow });
            if self.cc.ssthresh() != ssthresh {
                self.note_cwnd(cx, cwnd, CwndWhy::SlowStartLeft);
            }
        }
        // RFC 6298 §5.2, §5.3.
        if self.board.is_empty() {
            self.timers.clear(Timer::Rto);
        } else {
            self.timers.set(Timer::Rto, cx.now + self.rtt.rto());
        }
        // Without SACK nobody knows whether what lay behind a repeated segment was there before (RFC 5682 §2.1).
        Released { original: released.original && (self.sack || !released.resent), ..released }
    }

    /// The window is where the reduction led.
    fn end_reduction(&mut self, cx: &mut Cx) {
        let from = self.send_limit();
        self.cc.on_recovered(cx.now);
        self.recovery =
            Recovery { phase: Phase::Open, dup_acks: 0, left_network: 0, prr: None, ..self.recovery };
        self.note_cwnd(cx, from, CwndWhy::Recovered);
    }

    /// When `seg` says that what it answers had left. Without a new acknowledgment it may echo something older (RFC 7323
    /// §4.3), so this is for what is acknowledged.
    fn echoed(&self, cx: &Cx, seg: &Segment) -> Option<Instant> {
        let echo = seg.options.timestamps.filter(|t| self.ts.on && t.echo != 0)?.echo;
        let ago = self.ts_now(cx.now).wrapping_sub(echo);
        (ago <= i32::MAX as u32).then(|| cx.now - Duration::from_millis(ago.into()))
    }

    /// After a time-out: was it a mistake (RFC 5682 §2.1, RFC 5682 §3.1)? `original` says that something arrived which was
    /// sent only before it, `repeated` that a duplicate or SACK block came.
    fn test_timeout(&mut self, cx: &mut Cx, acked: u32, original: bool, repeated: bool) {
        if original && self.recovery.undo.is_some() {
            return self.take_back(cx, CwndWhy::SpuriousRto);
        }
        let recovery = &mut self.recovery;
        if self.snd.nxt.gt(recovery.recover) {
            // Step 3a: the new data arrived and the old is still missing.
            recovery.doubt &= !repeated;
        } else if acked > 0 && recovery.phase == Phase::Rto {
            // Step 2b: the answer to new data will tell.
            recovery.recover = self.snd.nxt;
            recovery.new_first = self.snd.unsent() > 0 && self.snd.usable() > 0;
            recovery.doubt = recovery.new_first;
        }
    }

    /// TSecr as a measurement, where the scoreboard cannot tell which transmission was acknowledged (RFC 7323 §4.1).
    pub(super) fn timestamp_rtt(&self, cx: &Cx, seg: &Segment) -> Option<Duration> {
        self.echo(cx, seg).map(|(_, age)| age)
    }

    /// The time stamp that `seg` echoes, and how long ago it was sent.
    pub(super) fn echo(&self, cx: &Cx, seg: &Segment) -> Option<(u32, Duration)> {
        let echo = seg.options.timestamps.filter(|t| self.ts.on && t.echo != 0)?.echo;
        let millis = self.ts_now(cx.now).wrapping_sub(echo);
        // A peer that echoes nonsense must not stretch the timer for days.
        (millis < 600_000).then(|| (echo, Duration::from_millis(u64::from(millis.max(1)))))
    }

    /// Finds what is lost, and begins a recovery if something is. True if anything was found now.
    pub(super) fn detect_loss(&mut self, cx: &mut Cx) -> bool {
        self.timers.clear(Timer::Reorder);
        if self.board.is_empty() {
            return false;
        }
        let lost = if self.uses_rack(cx) {
            let counted = self.board.sacked_segments() >= u32::from(DUP_THRESH);
            let urgent = self.recovery.repairs() || counted;
            let window = self.rack.window(self.rtt.srtt(), urgent);
            let (lost, next) = self.board.judge_by_time(&self.rack, window, cx.now);
            if lost {
                self.recovery.counted = counted && window.is_zero();
            }
            if let Some(at) = next {
                self.timers.set(Timer::Reorder, at);
            }
            lost
        } else {
            let mss = self.mss();
            self.sack && self.board.judge(mss)
        };
        if self.recovery.repairs() {
            return lost;
        }
        if lost && self.mtu_probe_lost(cx) {
            self.intents.resend = true;
            return false;
        }
        // RFC 6582 §4, RFC 6675 §5.1: duplicates of what a recovery covers say nothing new. SACK tells them apart itself.
        // What was sent since calls for a recovery of its own (RFC 5681 §4.3).
        let counts = !self.uses_rack(cx) && self.recovery.dup_acks >= DUP_THRESH;
        let fresh = self.sack || self.snd.una.gt(self.recovery.recover);
        if lost || (counts && fresh) {
            // What limited transmit sent is not counted (RFC 5681 §3.2 step 2, RFC 6675 §5 step 4.2).
            let limited = match self.recovery.dup_acks {
                0 => 0,
                _ => self.snd.nxt.since(self.recovery.limited_from),
            };
            let start = self.snd.flight() - limited;
            if self.recovery.is_open() {
                self.reduce(cx, CongestionEvent::Loss, start, CwndWhy::Recovery);
                self.spread(cx, start, 0);
            }
            // Else a mark has told of the same congestion already.
            self.recovery.phase = Phase::Fast;
            self.timers.clear(Timer::Tail);
            if self.board.first_lost().is_none() {
                let mss = self.mss();
                self.board.lose_head(mss);
            }
            self.intents.resend = true;
            // What a duplicate ACK delivered counts; at least the first segment may leave.
            self.reduce_rate(0, false);
        }
        lost
    }

    /// The window shrinks although nothing was lost; `flight` bytes were outstanding.
    pub(super) fn begin_reduction(&mut self, cx: &mut Cx, flight: u32) {
        let cwnd = self.cc.cwnd();
        self.reduce(cx, CongestionEvent::Ecn, flight, CwndWhy::Ecn);
        self.spread(cx, cwnd, cwnd);
        self.recovery.phase = Phase::Cwr;
    }

    /// What is sent until all that is in flight now is acknowledged leaves room step by step, from `start` bytes on.
    fn spread(&mut self, cx: &Cx, start: u32, limit: u32) {
        // A window that nothing can reduce needs no spreading.
        let spread = cx.cfg.prr && self.cc.ssthresh() < u32::MAX;
        self.recovery.prr = spread.then_some(Prr { start, delivered: 0, out: 0, limit });
        self.recovery.recover = self.snd.nxt;
        self.recovery.probe = None;
    }

    /// Makes the window smaller, and notes what would show that it was a mistake.
    fn reduce(&mut self, cx: &mut Cx, event: CongestionEvent, flight: u32, why: CwndWhy) {
        let from = self.cc.cwnd();
        self.cc.on_congestion(cx.now, event, flight, self.mss());
        self.ecn.on_reduction();
        self.recovery.undo = cx.cfg.undo.then_some(Undo { marker: self.snd.una, stamp: None, unreported: 0 });
        self.note_cwnd(cx, from, why);
    }

    /// RFC 6937 §3: `delivered` bytes reached the peer; `safe` says that the acknowledgment made progress and showed
    /// no further loss.
    fn reduce_rate(&mut self, delivered: u32, safe: bool) {
        let (pipe, ssthresh, mss) = (self.pipe(), self.cc.ssthresh(), self.mss());
        let Some(prr) = &mut self.recovery.prr else { return };
        prr.delivered += delivered;
        let room = if pipe > ssthresh {
            let share = u64::from(prr.delivered) * u64::from(ssthresh);
            (share.div_ceil(u64::from(prr.start.max(1))) as u32).saturating_sub(prr.out)
        } else {
            let most = prr.delivered.saturating_sub(prr.out).max(delivered);
            (ssthresh - pipe).min(most + if safe { mss } else { 0 })
        };
        prr.limit = pipe + if prr.out == 0 { room.max(mss) } else { room };
    }

    /// The peer had `range` twice: when that is true of all that was sent again, nothing had been lost (RFC 3708 §3).
    fn on_duplicate_report(&mut self, cx: &mut Cx, (start, _): (Seq, Seq)) {
        let Some(undo) = &mut self.recovery.undo else { return };
        if start.ge(undo.marker) && undo.unreported > 0 {
            undo.unreported -= 1;
            if undo.unreported == 0 && self.board.first_lost().is_none() {
                self.take_back(cx, CwndWhy::Undo);
            }
        }
    }

    /// The acknowledgment echoes a time before the first retransmission: it answers the original, which was only late
    /// (RFC 3522 §3.2).
    fn undo_if_late(&mut self, cx: &mut Cx, seg: &Segment) {
        let Some(Undo { stamp: Some(stamp), .. }) = self.recovery.undo else { return };
        if self.recovery.phase != Phase::Open
            && let Some(t) = seg.options.timestamps.filter(|t| self.ts.on && t.echo != 0)
            && (t.echo.wrapping_sub(stamp) as i32) < 0
        {
            let timeout = self.recovery.phase == Phase::Rto;
            self.take_back(cx, if timeout { CwndWhy::SpuriousRto } else { CwndWhy::Undo });
        }
    }

    /// The reduction was a mistake (RFC 4015 §3.2).
    fn take_back(&mut self, cx: &mut Cx, why: CwndWhy) {
        let from = self.send_limit();
        self.cc.on_spurious();
        self.board.lose_nothing();
        self.ecn.reduced = false;
        self.recovery.phase = Phase::Open;
        self.recovery.prr = None;
        self.recovery.undo = None;
        self.recovery.dup_acks = 0;
        self.recovery.left_network = 0;
        (self.recovery.doubt, self.recovery.new_first) = (false, false);
        self.retries = 0;
        (self.intents.resend, self.intents.rto) = (false, false);
        // It may have expired, and what it wanted to be sent again had not left yet.
        if !self.board.is_empty() && !self.timers.is_set(Timer::Rto) {
            self.timers.set(Timer::Rto, cx.now + self.rtt.rto());
        }
        // Data that was late once may be late again.
        self.rack.reordering = true;
        self.note_cwnd(cx, from, why);
    }

    /// New data left, or some was acknowledged: a lost tail is found out by a probe (RFC 8985 §7.2).
    pub(super) fn schedule_probe(&mut self, cx: &mut Cx) {
        self.timers.clear(Timer::Tail);
        let wanted = self.uses_rack(cx)
            && cx.cfg.tail_loss_probe
            && !self.recovery.repairs()
            && self.recovery.probe.is_none()
            && !self.board.is_empty()
            && !self.is_early()
            && self.board.sacked() == 0
            && !self.timers.is_set(Timer::Reorder);
        if wanted {
            // A single segment is answered late by a peer that delays acknowledgments.
            let lone = self.snd.flight() <= self.mss();
            let margin = if lone { WORST_ACK_DELAY } else { LEAST_PROBE_MARGIN };
            let wait = self.rtt.srtt().map_or(PROBE_WITHOUT_RTT, |srtt| srtt * 2 + margin);
            self.timers.set(Timer::Tail, (cx.now + wait).min(self.timers.at(Timer::Rto)));
        }
    }

    /// The probe is due: new data if there is any that may leave, else the last segment again (RFC 8985 §7.3).
    pub(super) fn on_probe_time(&mut self, cx: &mut Cx) {
        if self.recovery.repairs() || self.board.is_empty() {
            return;
        }
        self.timers.set(Timer::Rto, cx.now + self.rtt.rto());
        let mss = self.mss();
        if self.snd.unsent() > 0 && self.snd.usable() >= self.snd.unsent().min(mss) {
            self.intents.probe = true;
        } else if self.board.tail().is_some() {
            self.board.lose_tail(self.snd.data_end());
            (self.intents.resend, self.intents.probe) = (true, true);
        }
    }

    /// The probe leaves.
    pub(super) fn probe_sent(&mut self, end: Seq, repeated: bool) {
        self.recovery.probe = Some(Probe { end, repeated });
    }

    /// RFC 8985 §7.4, §7.4.2: the answer to a probe that repeated data tells whether the original was lost.
    fn on_probe_answer(&mut self, cx: &mut Cx, seg: &Segment, twice: Option<(Seq, Seq)>, prior_flight: u32) {
        let Some(probe) = self.recovery.probe.filter(|probe| seg.ack.ge(probe.end)) else { return };
        let both_came = twice.is_some_and(|(_, end)| end == probe.end)
            || (seg.ack == probe.end && self.snd.flight() == prior_flight && seg.options.sack.is_empty());
        if !probe.repeated || both_came {
            self.recovery.probe = None;
        } else if seg.ack.gt(probe.end) {
            // The probe repaired the loss; the congestion that it showed counts all the same.
            self.recovery.probe = None;
            if self.recovery.phase == Phase::Open {
                self.reduce(cx, CongestionEvent::Loss, prior_flight, CwndWhy::Recovery);
            }
        }
    }

    /// The retransmission timer expired with data in flight (RFC 6298 §5.4 to §5.6, RFC 5681 §3.1).
    pub(super) fn on_rto(&mut self, cx: &mut Cx) {
        // The threshold follows the flight when the loss was found: neither later time-outs nor one that interrupts a
        // recovery of the same window shrink it again. As on Linux.
        let same_window = self.recovery.recover.gt(self.snd.una);
        let counted = match self.recovery.phase {
            Phase::Open => false,
            Phase::Cwr | Phase::Fast => same_window,
            Phase::Rto => same_window && self.retries > 0,
        };
        if counted {
            let from = self.send_limit();
            self.cc.on_congestion(cx.now, CongestionEvent::RtoAgain, self.snd.flight(), self.mss());
            self.ecn.on_reduction();
            if self.cc.cwnd() != from {
                self.note_cwnd(cx, from, CwndWhy::Rto);
            }
        } else {
            self.reduce(cx, CongestionEvent::Rto, self.snd.flight(), CwndWhy::Rto);
        }
        // RFC 5682 §2.1 step 1: not if what was found lost otherwise is repeated already.
        self.counters.on_rto(cx.now, self.retries == 0);
        let doubt = cx.cfg.frto && (!self.recovery.repairs() || self.retries > 0);
        self.retries = self.retries.saturating_add(1);
        self.rtt.back_off();
        self.suspect_black_hole(cx);
        let reneged = self.board.head_is_sacked();
        if self.uses_rack(cx) && !reneged {
            // RFC 8985 §6.3: the first segment, and what was sent long enough ago; the rest may be on its way.
            let window = self.rack.window(self.rtt.srtt(), false);
            let mss = self.mss();
            self.board.lose_older(cx.now, self.rack.rtt() + window);
            self.board.lose_head(mss);
        } else {
            self.board.lose_all();
        }
        let undo = self.recovery.undo;
        self.recovery =
            Recovery { phase: Phase::Rto, recover: self.snd.nxt, undo, doubt, ..Recovery::new(self.snd.iss) };
        self.timers.clear(Timer::Tail);
        self.timers.clear(Timer::Reorder);
        self.intents.resend = true;
        self.intents.rto = true;
    }

    /// A SYN-ACK is repeated for the second time, and data went behind it: the window begins anew, the data waits.
    pub(super) fn on_early_loss(&mut self, cx: &mut Cx) {
        self.on_rto(cx);
        self.rtt.fall_back();
        self.board.lose_all();
        self.recovery.doubt = false;
        self.intents.syn = true;
    }

    pub(super) fn note_cwnd(&self, cx: &mut Cx, from: u32, why: CwndWhy) {
        let (to, ssthresh) = (self.cc.cwnd(), self.cc.ssthresh());
        cx.log.push(Note::Cwnd { from, to, ssthresh, why });
    }
}

/// The range that the peer reports to have received twice: the first SACK block, if it lies below the acknowledgment
/// or within the second block (RFC 2883 §4).
fn duplicate_report(seg: &Segment) -> Option<(Seq, Seq)> {
    let blocks = seg.options.sack;
    let (first, rest) = blocks.as_slice().split_first()?;
    let &(start, end) = first;
    let within = rest.first().is_some_and(|&(s, e)| start.ge(s) && end.le(e));
    (start.lt(end) && (end.le(seg.ack) || within)).then_some((start, end))
}

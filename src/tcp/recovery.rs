//! Was something lost, and how is it repaired? RFC 5681 §3.2, RFC 6582 without SACK, RFC 6675 or 8985 with it.
//!
//! The order in which an acknowledgment is looked at, and the states, are Linux': what peers and their tools see of a
//! recovery depends on them.

mod reduction;
mod rto;

use super::congestion::CongestionEvent;
use super::conn::{Conn, Cx};
use super::log::CwndWhy;
use super::probe::Probe;
use super::rack::Seen;
use super::scoreboard::{News, later};
use super::tally::Tally;
use super::timers::Timer;
use super::undo::Undo;
use crate::segment::Segment;
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// What the timer for late segments waits beyond the last one's time, as on Linux.
const TIMER_MARGIN: Duration = Duration::from_millis(2);

/// A peer that took its reports back is given half a round trip to fill the gap after all, and no less than this.
const LEAST_RENEGE_WAIT: Duration = Duration::from_millis(10);

/// What is being repaired.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    /// Nothing.
    Open,
    /// Nothing yet, but something is missing or was sent again.
    Disorder,
    /// Nothing, but the window is on its way down because a router marked congestion.
    Cwr,
    /// What duplicate or selective ACKs showed.
    Fast,
    /// What was in flight when the timer expired, or what had become too large for the path.
    Rto,
}

/// The state of loss recovery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    pub(super) phase: Phase,
    /// SND.NXT when the phase began: it is over when that is acknowledged.
    pub(super) mark: Seq,
    /// In a row, for the cause of what is sent then.
    pub(super) dup_acks: u8,
    /// Without SACK each duplicate ACK says that a segment has left the network, not which: so many have.
    pub(super) dupes: u32,
    /// So many more duplicates are believed: no more come than there are segments to bring them about (RFC 5681 §3.2).
    believed: u16,
    prr: Prr,
    pub(super) undo: Option<Undo>,
    /// When the first of what was sent again left; [`Instant::FAR`] before that.
    pub(super) since: Instant,
    pub(super) probe: Option<Probe>,
    /// The time-out may have been a mistake; what is acknowledged next will tell (RFC 5682).
    doubt: bool,
    /// Until the next acknowledgment new data goes before what may not be lost (RFC 5682 §2.1 step 2b).
    pub(super) new_first: bool,
    /// Several segments are being sent again together: where the next one starts and the last one ends.
    pub(super) bunch: (Seq, Seq),
    /// What is lost may be sent again now.
    pub(super) repeats: bool,
    /// The path carries less than before, and that is why data was lost.
    pub(super) path: bool,
}

/// Proportional rate reduction (RFC 6937 §3): what a recovery may send follows what is delivered. In segments.
#[derive(Clone, Copy, Default, Debug)]
struct Prr {
    /// The window when the recovery began.
    start: u32,
    delivered: u32,
    out: u32,
}

/// What one acknowledgment says.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Heard {
    /// Bytes acknowledged for the first time.
    pub(super) acked: u32,
    /// Segments that are off the scoreboard.
    gone: u32,
    /// Segments that reached the peer.
    pub(super) delivered: u32,
    /// SACK blocks reported something new.
    pub(super) sacked: bool,
    /// Something arrived that was sent only once, before the phase began.
    original: bool,
    /// The peer reported what it had twice; it was the probe.
    pub(super) twice: bool,
    pub(super) probe_twice: bool,
    /// It reports a congestion mark.
    marked: bool,
    /// It carries data or another window, or acknowledges something: no duplicate of the last one.
    pub(super) fresh: bool,
    /// It echoes a time from before what was first sent again.
    pub(super) echoes_earlier: bool,
    /// The timer starts anew.
    restart: bool,
}

/// What may be sent after an acknowledgment in a recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    New,
    Lost,
    NewFirst,
}

impl Recovery {
    pub(super) fn new(iss: Seq) -> Recovery {
        Recovery {
            phase: Phase::Open,
            mark: iss,
            dup_acks: 0,
            dupes: 0,
            believed: 0,
            prr: Prr::default(),
            undo: None,
            since: Instant::FAR,
            probe: None,
            doubt: false,
            new_first: false,
            bunch: (iss, iss),
            repeats: false,
            path: false,
        }
    }

    /// A loss is being repaired.
    pub(super) fn repairs(&self) -> bool {
        self.phase >= Phase::Fast
    }

    /// The window is being reduced.
    pub(super) fn reduces(&self) -> bool {
        matches!(self.phase, Phase::Cwr | Phase::Fast)
    }

    /// `segments` leave; `again` not for the first time, if not as a probe.
    pub(super) fn on_sent(&mut self, now: Instant, segments: u32, again: bool) {
        if self.reduces() {
            self.prr.out += segments;
        }
        if again {
            self.since = self.since.min(now);
            if let Some(undo) = &mut self.undo {
                undo.on_repeated(segments);
            }
        }
    }

    /// New data could not go first after all.
    pub(super) fn give_up_new(&mut self) {
        if std::mem::take(&mut self.new_first) {
            self.doubt = false;
        }
    }

    /// What went with the SYN is lost, which says nothing of congestion: it is the SYN that was not wanted with data.
    pub(super) fn lose_with_syn(&mut self, nxt: Seq) {
        self.enter(Phase::Rto, nxt);
        (self.undo, self.doubt, self.repeats) = (None, false, true);
    }

    fn enter(&mut self, phase: Phase, nxt: Seq) {
        (self.phase, self.mark) = (phase, nxt);
    }
}

impl Conn {
    /// Segments by what is known of them; without SACK duplicates stand for reports.
    pub(super) fn tally(&self) -> Tally {
        let tally = self.board.tally();
        Tally { sacked: tally.sacked + self.recovery.dupes, ..tally }
    }

    /// Segments believed to be in the network, as so many bytes.
    pub(super) fn pipe(&self) -> u32 {
        self.tally().in_network().saturating_mul(self.mss())
    }

    /// Whether losses are being repaired or the window reduced.
    pub(super) fn is_repairing(&self) -> bool {
        self.recovery.phase != Phase::Open
    }

    /// Whether losses are found by time: only with SACK (RFC 8985 §4).
    pub(super) fn uses_rack(&self, cx: &Cx) -> bool {
        self.sack && cx.cfg.rack && cx.cfg.fast_retransmit
    }

    /// `seg` acknowledges `seg.ack`, which lies in SND.UNA..=SND.NXT, and offers another window if `window`. Returns bytes
    /// acknowledged for the first time and the count of duplicate ACKs, 0 if it is none.
    pub(super) fn on_ack(&mut self, cx: &mut Cx, seg: &Segment, window: bool) -> (u32, u8) {
        let (una, prior_flight, losses) = (self.snd.una, self.snd.flight(), self.board.losses());
        let acked = seg.ack.since(una);
        let mut heard = Heard { acked, marked: self.reports_mark(seg), ..Heard::default() };
        self.soft_error = None;
        heard.fresh = acked > 0 || seg.seq_len() > 0 || window;
        if acked > 0 {
            self.recovery.dup_acks = 0;
            self.on_progress(seg, acked);
        }
        if self.board.is_empty() && acked == 0 {
            // All is there: only reports of what came twice can say something still.
            self.on_duplicate_report(seg, una, &mut heard);
            heard.marked |= self.hear_marks(seg, 0, 0, false);
            if heard.twice {
                self.alert(cx, una, &mut heard);
                self.rate.on_ack(cx.now, heard.delivered, None, self.rack.min_rtt());
            }
            self.on_probe_answer(cx, seg, &heard);
            return (0, 0);
        }
        let high = self.board.highest_sacked().unwrap_or(una);
        let sacked = self.take_reports(cx, seg, una, &mut heard);
        let released = self.take_acknowledged(cx, seg, high, &mut heard);
        let rtt = self.measure(cx, seg, &sacked, &released, &mut heard);
        if let Some(rtt) = rtt {
            self.tell_rtt(cx, rtt);
        }
        if acked > 0 {
            self.note_ack(cx.now, seg, acked, released.first.filter(|_| !released.resent));
        }
        heard.echoes_earlier = self.echoes_earlier(seg);
        let covered = if acked > 0 { acked } else { sacked.reported };
        heard.marked |= self.hear_marks(seg, heard.delivered, covered, heard.sacked || heard.gone > 0);
        let latest = [sacked.latest, released.latest].into_iter().flatten().fold(None, later);
        let known = latest.map(|record| record.departure.delivered());
        if cx.cfg.rack_adapts {
            self.rack.adapt(self.rate.delivered().wrapping_add(heard.delivered), known);
        }
        self.on_probe_answer(cx, seg, &heard);
        let dubious = !heard.fresh || heard.sacked || heard.marked || heard.twice;
        (self.recovery.repeats, self.recovery.new_first) = (false, false);
        // RFC 5681 §2; with SACK new reports count and nothing else does (RFC 6675 §2).
        let duplicate = !heard.fresh && !heard.twice && (heard.sacked || !self.sack);
        if duplicate {
            self.recovery.dup_acks = self.recovery.dup_acks.saturating_add(1);
        }
        if dubious || self.recovery.phase != Phase::Open {
            let next = self.alert(cx, una, &mut heard);
            self.recovery.repeats = next != Next::New;
            self.recovery.new_first = next == Next::NewFirst;
        }
        if heard.restart {
            self.restart_timer(cx);
        }
        if heard.marked && heard.delivered > 0 && self.accurate().is_none() {
            self.counters.rare().delivered_ce += heard.delivered;
        }
        self.rate.on_ack(cx.now, heard.delivered, latest.as_ref(), self.rack.min_rtt());
        if self.recovery.reduces() {
            let lost = self.board.losses() != losses;
            self.reduce_rate(cx, heard.delivered, acked > 0 && !lost);
        } else if heard.gone > 0 || (heard.sacked && self.rack.distance() > cx.cfg.reordering.into()) {
            self.grow_window(cx, &heard, prior_flight, rtt);
        }
        // A timer that had expired, and whose segment had not left yet, was overtaken.
        if !self.board.is_empty() && !self.watches() {
            self.start_rto_from_head(cx);
        }
        if acked > 0 && self.recovery.phase != Phase::Rto {
            self.counters.on_recovered(cx.now);
        }
        (acked, if duplicate { self.recovery.dup_acks } else { 0 })
    }

    /// `seg` acknowledges less than another did before, which it changed places with: its reports are news all the same. But it tells
    /// nothing of how much the path delivers now, as on Linux.
    pub(super) fn on_old_ack(&mut self, cx: &mut Cx, seg: &Segment) {
        if !self.sack || seg.options.sack.is_empty() || self.board.is_empty() {
            return;
        }
        let mut heard = Heard { fresh: true, ..Heard::default() };
        self.take_reports(cx, seg, self.snd.una, &mut heard);
        let next = self.alert(cx, self.snd.una, &mut heard);
        self.recovery.repeats = next != Next::New;
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

    fn on_progress(&mut self, seg: &Segment, acked: u32) {
        // What a timer wanted to be sent again may have been this.
        (self.intents.resend, self.intents.rto) = (false, false);
        (self.intents.probe, self.intents.probe_tail) = (false, false);
        self.snd.release(seg.ack);
        self.counters.bytes_acked += u64::from(acked);
        (self.retries, self.probes) = (0, 0);
        self.arm_user_timeout();
    }

    /// What SACK blocks say (RFC 2018, RFC 2883).
    fn take_reports(&mut self, cx: &mut Cx, seg: &Segment, una: Seq, heard: &mut Heard) -> News {
        if !self.sack || seg.options.sack.is_empty() {
            return News::default();
        }
        let mut low = self.on_duplicate_report(seg, una, heard);
        let span = (self.snd.una, self.snd.nxt);
        let news = self.board.sack(&seg.options.sack, span, &mut self.rack, cx.now, self.recovery.mark);
        heard.sacked = news.delivered > 0;
        heard.delivered += news.delivered;
        heard.original |= news.original;
        if let Some(late) = news.late {
            low = Some(low.map_or(late, |low| low.min(late)));
        }
        if self.recovery.phase != Phase::Rto || self.recovery.undo.is_some() {
            self.note_late(cx, low);
        }
        news
    }

    /// Takes what is acknowledged off the scoreboard; `high` is what was known to have arrived before.
    fn take_acknowledged(&mut self, cx: &mut Cx, seg: &Segment, high: Seq, heard: &mut Heard) -> News {
        if heard.acked == 0 {
            return News::default();
        }
        let seen = Seen { now: cx.now, echoed: self.echoed(cx, seg) };
        let news = self.board.release(seg.ack, &mut self.rack, seen, self.recovery.mark);
        heard.gone = news.gone;
        heard.restart = news.gone > 0;
        self.mtu_probe_acked(cx);
        if self.sack {
            heard.delivered += news.delivered;
            heard.original |= news.original;
            if news.late.is_some_and(|late| late.lt(high)) {
                self.note_late(cx, news.late);
            }
        } else if news.gone > 0 {
            // Duplicates have told of all but the first already (RFC 6582 §3.2).
            heard.delivered += news.gone.saturating_sub(self.recovery.dupes).max(1);
            self.recovery.dupes = self.recovery.dupes.saturating_sub(news.gone.saturating_sub(1));
            self.limit_dupes(cx, news.gone);
            // Nobody knows whether what lay behind a repeated segment was there before (RFC 5682 §2.1).
            heard.original = news.original && !news.resent;
        }
        news
    }

    /// `low` was sent only once and arrived later than what is known to have arrived.
    fn note_late(&mut self, cx: &Cx, low: Option<Seq>) {
        let high = self.board.highest_sacked().unwrap_or(self.snd.una);
        if let Some(low) = low.filter(|low| low.lt(high)) {
            self.rack.on_late(high.since(low), self.mss(), cx.cfg.max_reordering);
        }
    }

    /// The round trip, by what was sent only once if there is some, else by the time stamp (RFC 6298 §3, RFC 7323 §4.1). Returns
    /// that of what was sent last.
    fn measure(
        &mut self,
        cx: &mut Cx,
        seg: &Segment,
        sacked: &News,
        released: &News,
        heard: &mut Heard,
    ) -> Option<Duration> {
        let ago = |at: Instant| cx.now.since(at);
        let own = if released.resent { None } else { released.first.map(ago) };
        let reported = sacked.first.map(ago);
        let stamped =
            if own.or(reported).is_none() && heard.gone > 0 { self.timestamp_rtt(cx, seg) } else { None };
        // Without a sample the back-off stays (Karn: RFC 6298 §3, §5).
        let rtt = own.or(reported).or(stamped)?;
        let last = sacked.last.map(ago).or(released.last.filter(|_| own.is_some()).map(ago)).unwrap_or(rtt);
        self.rack.note_rtt(cx.now, last);
        self.rtt.sample(cx.cfg, rtt, self.snd.una, self.snd.nxt);
        // What left before the first of what is missing was sent again puts no timer off.
        let head = self.board.head().map(|head| ago(head.last_sent));
        if heard.gone == 0 && reported.is_some_and(|reported| head.is_some_and(|head| reported > head)) {
            heard.restart = true;
        }
        Some(last)
    }

    /// When `seg` says that what it answers had left. Without a new acknowledgment it may echo something older (RFC 7323
    /// §4.3), so this is for what is acknowledged.
    fn echoed(&self, cx: &Cx, seg: &Segment) -> Option<Instant> {
        let echo = seg.options.timestamps.filter(|t| self.ts.on && t.echo != 0)?.echo;
        let ago = self.ts_now(cx.now).wrapping_sub(echo);
        (ago <= i32::MAX as u32).then(|| cx.now - Duration::from_millis(ago.into()))
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

    /// Something about an acknowledgment, or about where we are, is not as usual; `una` was SND.UNA before it.
    fn alert(&mut self, cx: &mut Cx, una: Seq, heard: &mut Heard) -> Next {
        if heard.marked {
            self.forbid_undo();
        }
        if heard.acked > 0 && self.board.head_is_sacked() {
            // The peer has thrown away what it had reported, or will answer for it soon (RFC 2018 §8).
            let wait = self.rtt.srtt().map_or(LEAST_RENEGE_WAIT, |srtt| (srtt / 2).max(LEAST_RENEGE_WAIT));
            self.set_only(Timer::Rto, cx.now + wait);
            heard.restart = false;
            return Next::New;
        }
        let over = self.snd.una.ge(self.recovery.mark);
        match self.recovery.phase {
            Phase::Open => self.recovery.since = Instant::FAR,
            // The mark has to be passed: only what lies beyond told the peer that we have heard.
            Phase::Cwr if over && self.snd.una != self.recovery.mark => {
                self.end_reduction(cx);
                self.recovery.phase = Phase::Open;
            }
            // RFC 6675 §5 (A).
            Phase::Fast if over => {
                if !self.sack {
                    self.recovery.dupes = 0;
                }
                if self.finish(cx, heard) {
                    return Next::New;
                }
            }
            _ => {}
        }
        match self.recovery.phase {
            Phase::Fast => {
                if heard.acked == 0 {
                    self.count_duplicate(cx, heard);
                } else if self.undo_partly(cx, una, heard) {
                    return Next::New;
                }
                if self.undo_by_reports(cx) {
                    self.settle(cx, heard);
                }
                self.detect_loss(cx, heard);
                if self.recovery.phase != Phase::Fast {
                    if self.tally().lost == 0 {
                        return Next::New;
                    }
                    self.enter_recovery(cx, heard.marked);
                }
                Next::Lost
            }
            Phase::Rto => {
                let next = self.after_timeout(cx, heard);
                let again = self.detect_loss(cx, heard);
                if self.recovery.phase == Phase::Open || again { self.judge(cx, heard) } else { next }
            }
            _ => self.judge(cx, heard),
        }
    }

    /// Nothing is being repaired so far.
    fn judge(&mut self, cx: &mut Cx, heard: &mut Heard) -> Next {
        if !self.sack {
            if heard.acked > 0 {
                self.recovery.dupes = 0;
            }
            self.count_duplicate(cx, heard);
        }
        if self.recovery.phase <= Phase::Disorder {
            self.undo_by_reports(cx);
        }
        self.detect_loss(cx, heard);
        if self.tally().lost == 0 {
            self.settle(cx, heard);
            return Next::New;
        }
        if self.recovery.phase < Phase::Cwr && self.mtu_probe_lost() {
            self.repeat_for_path();
            return Next::Lost;
        }
        self.enter_recovery(cx, heard.marked);
        Next::Lost
    }

    /// Without SACK: a duplicate says that a segment has left the network, not which (RFC 6582).
    fn count_duplicate(&mut self, cx: &Cx, heard: &mut Heard) {
        if self.sack || heard.fresh || heard.twice {
            return;
        }
        if self.recovery.dup_acks <= 1 {
            // What is sent meanwhile brings duplicates as well.
            self.recovery.believed = (2 * self.board.tally().out).min(u16::MAX.into()) as u16;
        }
        let before = self.recovery.dupes;
        let Some(believed) = self.recovery.believed.checked_sub(1) else { return };
        self.recovery.believed = believed;
        self.recovery.dupes += 1;
        self.limit_dupes(cx, 0);
        heard.delivered += self.recovery.dupes.saturating_sub(before);
    }

    /// No more duplicates are believed than there are segments that can have left, without those that are missing (RFC 5681
    /// §3.2); `more` were in flight until now.
    fn limit_dupes(&mut self, cx: &Cx, more: u32) {
        let tally = self.board.tally();
        let holes = tally.lost.max(1).min(tally.out);
        if self.recovery.dupes + holes > tally.out {
            self.recovery.dupes = tally.out - holes;
            self.rack.on_many_duplicates(tally.out + more, cx.cfg.max_reordering);
        }
    }

    /// Finds what is lost; true if what had been sent again is.
    fn detect_loss(&mut self, cx: &mut Cx, heard: &mut Heard) -> bool {
        if self.board.is_empty() || !cx.cfg.fast_retransmit {
            return false;
        }
        let resent = self.board.tally().resent;
        if !self.sack {
            let counted = self.recovery.dupes >= self.rack.distance() && !self.recovery.repairs();
            if counted || (self.recovery.phase == Phase::Fast && heard.acked > 0) {
                self.board.lose_head();
            }
            return false;
        }
        if !cx.cfg.rack {
            let mss = self.mss();
            self.board.judge(mss);
        } else if std::mem::take(&mut self.rack.advanced)
            && let Some(at) = self.lose_late(cx)
        {
            self.set_only(Timer::Reorder, at + TIMER_MARGIN);
            heard.restart = false;
        }
        self.board.tally().resent < resent
    }

    /// RACK; when the last one that may only be late will be lost.
    fn lose_late(&mut self, cx: &Cx) -> Option<Instant> {
        let sacked = if cx.cfg.rack_by_count { self.board.tally().sacked } else { 0 };
        let window = self.rack.window(self.rtt.srtt(), sacked, self.recovery.repairs());
        self.board.judge_by_time(&self.rack, window, cx.now)
    }

    /// What was missing had its time (RFC 8985 §6.3).
    pub(super) fn on_reorder_time(&mut self, cx: &mut Cx) {
        let (flying, losses) = (self.tally().in_network(), self.board.losses());
        self.lose_late(cx);
        if self.tally().in_network() != flying {
            if self.recovery.phase < Phase::Cwr && self.mtu_probe_lost() {
                self.repeat_for_path();
            } else if self.recovery.phase != Phase::Fast {
                self.enter_recovery(cx, false);
                self.reduce_rate(cx, 1, self.board.losses() == losses);
            }
            (self.recovery.repeats, self.recovery.new_first) = (true, false);
        }
        if !self.timers.is_set(Timer::Rto) {
            self.start_rto(cx, true);
        }
    }

    /// Duplicates have shown a loss (RFC 5681 §3.2, RFC 5681 §4.3, RFC 6675 §5, RFC 6675 §5.1,
    /// RFC 8985 §6.2).
    fn enter_recovery(&mut self, cx: &mut Cx, marked: bool) {
        if !self.board.repeats() {
            self.recovery.since = Instant::FAR;
        }
        self.begin_undo(cx, !marked && !self.recovery.reduces());
        if !self.recovery.reduces() {
            self.begin_reduction(cx, CongestionEvent::Loss, CwndWhy::Recovery);
        }
        // Else a mark has told of the same congestion already.
        self.recovery.phase = Phase::Fast;
    }

    /// Nothing is lost: back to normal, as far as nothing is missing.
    pub(super) fn settle(&mut self, cx: &mut Cx, heard: &Heard) {
        if !self.board.repeats() {
            self.recovery.since = Instant::FAR;
        }
        if heard.marked && self.recovery.phase < Phase::Cwr {
            // As much congestion as a loss is (RFC 3168 §5), once per window of data (RFC 3168 §6.1.2). Nothing can show that it
            // was a mistake.
            self.recovery.undo = None;
            self.begin_reduction(cx, CongestionEvent::Ecn, CwndWhy::Ecn);
            self.recovery.phase = Phase::Cwr;
        }
        if self.recovery.phase != Phase::Cwr {
            self.keep_open();
        }
    }

    pub(super) fn keep_open(&mut self) {
        let tally = self.tally();
        let phase = match tally.sacked + tally.lost > 0 || self.board.repeats() {
            true => Phase::Disorder,
            false => Phase::Open,
        };
        if self.recovery.phase != phase {
            self.recovery.enter(phase, self.snd.nxt);
        }
    }

    /// All that was in flight when the recovery began is acknowledged. True if it does not end yet.
    fn finish(&mut self, cx: &mut Cx, heard: &Heard) -> bool {
        let mistaken = self.may_undo(heard);
        if mistaken {
            self.take_back(cx, false, CwndWhy::Undo);
        } else {
            self.rack.on_recovered(false);
        }
        if self.holds_recovery() {
            return true;
        }
        if self.recovery.phase == Phase::Fast {
            self.end_reduction(cx);
        }
        self.recovery.phase = Phase::Open;
        false
    }

    /// Without SACK duplicates of what a recovery covers would begin another one: wait until more is acknowledged
    /// (RFC 6582 §4).
    pub(super) fn holds_recovery(&mut self) -> bool {
        let holds = !self.sack && self.snd.una == self.recovery.mark;
        if holds && !self.board.repeats() {
            self.recovery.since = Instant::FAR;
        }
        holds
    }

    /// After a time-out: was it a mistake (RFC 5682 §2.1, RFC 5682 §3.1)?
    fn after_timeout(&mut self, cx: &mut Cx, heard: &mut Heard) -> Next {
        let over = self.snd.una.ge(self.recovery.mark);
        if heard.acked > 0 && self.may_undo(heard) {
            self.undo_timeout(cx, false);
            return Next::New;
        }
        if self.recovery.doubt {
            if heard.original {
                self.undo_timeout(cx, true);
                return Next::New;
            }
            if self.snd.nxt.gt(self.recovery.mark) {
                // Step 3a: the new data arrived and the old is still missing.
                self.recovery.doubt &= !heard.sacked && (heard.fresh || heard.twice);
            } else if heard.acked > 0 && !over {
                // Step 2b: the answer to new data will tell.
                self.recovery.mark = self.snd.nxt;
                if self.snd.unsent() > 0 && self.snd.usable() > 0 {
                    return Next::NewFirst;
                }
                self.recovery.doubt = false;
            }
        }
        if over {
            self.finish(cx, heard);
            return Next::New;
        }
        if !self.sack {
            if self.snd.nxt.gt(self.recovery.mark) && !heard.fresh {
                self.count_duplicate(cx, heard);
            } else if heard.acked > 0 {
                self.recovery.dupes = 0;
            }
        }
        Next::Lost
    }

    /// The path carries less than what was sent: that is repeated, and the network is not to blame.
    pub(super) fn repeat_for_path(&mut self) {
        if self.recovery.phase != Phase::Rto {
            self.recovery.enter(Phase::Rto, self.snd.nxt);
            (self.recovery.undo, self.recovery.doubt, self.recovery.path) = (None, false, true);
        }
        self.recovery.repeats = true;
    }
}

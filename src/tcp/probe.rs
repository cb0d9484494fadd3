//! Did the tail arrive? The tail-loss probe (RFC 8985 §7).

use super::congestion::CongestionEvent;
use super::conn::{Conn, Cx};
use super::log::CwndWhy;
use super::recovery::{Heard, Phase};
use super::timers::Timer;
use crate::segment::Segment;
use crate::seq::Seq;
use crate::time::Duration;

/// What a probe waits beyond two round trips at least, for clocks and queues.
const LEAST_MARGIN: Duration = Duration::from_millis(2);

/// Without a measurement a probe waits for a second (RFC 8985 §7.2).
const WITHOUT_RTT: Duration = Duration::from_secs(1);

/// A tail-loss probe that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Its answer acknowledges this: SND.NXT when it left.
    pub(super) end: Seq,
    /// It repeated data, so that an answer without a duplicate report means that the original was lost.
    pub(super) repeated: bool,
}

impl Conn {
    /// New data left, or some was acknowledged if `fresh`: a lost tail is found out by a probe (RFC 8985 §7.2). True if one is due
    /// some time.
    pub(super) fn schedule_probe(&mut self, cx: &mut Cx, fresh: bool) -> bool {
        let calm = matches!(self.recovery.phase, Phase::Open | Phase::Cwr);
        let Some(head) = self.board.head() else { return false };
        if !self.uses_rack(cx) || !cx.cfg.tail_loss_probe || !calm || self.is_early() {
            return false;
        }
        // A single segment is answered late by a peer that delays acknowledgments (RFC 8985 §7.2: max_ack_delay).
        let margin = if self.board.tally().out == 1 { cx.cfg.rto_min } else { LEAST_MARGIN };
        let wait = self.rtt.srtt().map_or(WITHOUT_RTT, |srtt| srtt * 2 + margin);
        let from = if fresh { cx.now } else { head.last_sent };
        let expires = from + self.rtt.rto();
        let at = if expires > cx.now { (cx.now + wait).min(expires) } else { cx.now + wait };
        self.set_only(Timer::Tail, at + self.pacing_delay(cx));
        true
    }

    /// The probe is due: new data if there is any that may leave, else the last segment again (RFC 8985 §7.3).
    pub(super) fn on_probe_time(&mut self, cx: &mut Cx) {
        if self.board.is_empty() {
            return;
        }
        // What lies beyond a window that has shrunk is not repeated, if it is not the first.
        let edge = self.snd.una + self.snd.wnd;
        let beyond =
            self.board.tail(self.mss()).is_some_and(|(start, _)| edge.le(start) && start != self.snd.una);
        if self.recovery.probe.is_none() && !beyond {
            let new = self.snd.unsent() > 0 && self.snd.usable() >= self.snd.unsent().min(self.mss());
            (self.intents.probe, self.intents.probe_tail) = (true, !new);
            self.set_only(Timer::Rto, cx.now + self.rtt.rto());
        } else {
            // One at a time.
            let at = self.board.head().map_or(cx.now, |head| head.last_sent + self.rtt.rto());
            self.set_only(Timer::Rto, at.max(cx.now));
        }
    }

    /// The probe leaves.
    pub(super) fn probe_sent(&mut self, cx: &Cx, repeated: bool) {
        self.recovery.probe = Some(Probe { end: self.snd.nxt, repeated });
        (self.intents.probe, self.intents.probe_tail) = (false, false);
        self.set_only(Timer::Rto, cx.now + self.rtt.rto() + self.pacing_delay(cx));
    }

    /// RFC 8985 §7.4, §7.4.2: the answer to a probe that repeated data tells whether the original was lost.
    pub(super) fn on_probe_answer(&mut self, cx: &mut Cx, seg: &Segment, heard: &Heard) {
        let Some(probe) = self.recovery.probe.filter(|probe| seg.ack.ge(probe.end)) else { return };
        let both_came = heard.probe_twice || !(heard.fresh || heard.sacked);
        if !probe.repeated || heard.probe_twice {
            self.recovery.probe = None;
        } else if seg.ack.gt(probe.end) {
            // The probe repaired the loss; the congestion that it showed counts all the same.
            self.begin_reduction(cx, CongestionEvent::Loss, CwndWhy::Recovery);
            self.recovery.phase = Phase::Cwr;
            self.end_reduction(cx);
            self.keep_open();
        } else if both_came {
            self.recovery.probe = None;
        }
    }
}

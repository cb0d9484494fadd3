//! What when no acknowledgment comes in time? The retransmission timer (RFC 6298), and what is believed when it expires.

use super::{Conn, Cx, Phase};
use crate::tcp::congestion::CongestionEvent;
use crate::tcp::log::CwndWhy;
use crate::tcp::timers::Timer;
use crate::time::{Duration, Instant};

/// So many time-outs of a thin stream come without doubling, and fewer segments than this in flight are one. As on Linux.
const THIN_RETRIES: u8 = 6;
const THIN: u32 = 4;

impl Conn {
    /// The retransmission timer expired with data in flight (RFC 6298 §5.4 to §5.6, RFC 5681 §3.1).
    pub(in crate::tcp) fn on_rto(&mut self, cx: &mut Cx) {
        let phase = self.recovery.phase;
        // The threshold follows the window when the loss was found: neither later time-outs nor one that interrupts a
        // recovery of the same window shrink it again. As on Linux.
        let first = phase <= Phase::Disorder
            || self.snd.una.ge(self.recovery.mark)
            || (phase == Phase::Rto && self.retries == 0);
        let (from, flight, sacked) = (self.cc.cwnd(), self.pipe(), self.tally().sacked);
        if self.board.head_is_sacked() {
            self.board.lose_all();
        } else {
            self.recovery.dupes = 0;
            // RFC 8985 §6.3: what was sent a moment ago may be on its way.
            let recent = if self.uses_rack(cx) { self.rack.rtt() } else { Duration::ZERO };
            self.board.lose_older(cx.now, recent);
        }
        if first {
            if phase == Phase::Open {
                self.recovery.since = Instant::FAR;
            }
            self.cc.on_congestion(cx.now, CongestionEvent::Rto, flight, self.mss());
            self.begin_undo(cx, true);
        } else {
            self.cc.on_congestion(cx.now, CongestionEvent::RtoAgain, flight, self.mss());
        }
        self.set_window(self.tally().in_network() + 1);
        self.usage.restart(cx.now);
        if phase <= Phase::Disorder {
            self.rack.on_timeout(sacked, cx.cfg.reordering);
        }
        self.note_cwnd(cx, from, CwndWhy::Rto);
        self.say_reduced(true);
        // RFC 5682 §2.1 step 1: not if what was found lost otherwise is repeated already.
        self.recovery.doubt = cx.cfg.frto && (phase < Phase::Fast || self.retries > 0);
        self.recovery.enter(Phase::Rto, self.snd.nxt);
        (self.recovery.probe, self.recovery.path) = (None, false);
        (self.recovery.repeats, self.recovery.new_first, self.recovery.dup_acks) = (true, false, 0);
        let long = self.retried_for(cx, cx.cfg.retries1);
        // To a closed window it is a probe like others (RFC 9293 §3.8.6, SHLD-17).
        if self.snd.wnd > 0 || self.released {
            self.counters.on_rto(cx.now, self.retries == 0);
            self.retries = self.retries.saturating_add(1);
        }
        match cx.cfg.thin_linear && self.retries <= THIN_RETRIES && self.tally().out < THIN {
            true => self.rtt.calm(),
            false => self.rtt.back_off(),
        }
        if long {
            self.suspect_black_hole(cx);
        }
        (self.intents.resend, self.intents.rto) = (true, true);
    }

    /// A SYN-ACK is repeated for the second time: the window begins anew, and data that went behind it waits.
    pub(in crate::tcp) fn on_early_loss(&mut self, cx: &mut Cx) {
        self.on_rto(cx);
        // The SYN-ACK's time-out was doubled, not that of data.
        self.rtt.calm();
        self.rtt.fall_back();
        self.board.lose_all();
        // It counts whatever the window of the SYN was: there must be an end.
        self.retries = 2;
        self.recovery.doubt = false;
        self.intents.resend &= !self.board.is_empty();
        self.intents.syn = true;
    }

    /// `timer` is set, and the other two that watch over what is in flight are not: as on Linux there is only one at a time.
    pub(in crate::tcp) fn set_only(&mut self, timer: Timer, at: Instant) {
        for other in [Timer::Rto, Timer::Tail, Timer::Reorder] {
            self.timers.clear(other);
        }
        self.timers.set(timer, at);
    }

    /// Whether one of them is set.
    pub(super) fn watches(&self) -> bool {
        [Timer::Rto, Timer::Tail, Timer::Reorder].iter().any(|&timer| self.timers.is_set(timer))
    }

    /// RFC 6298 §5.1, RFC 6298 §5.2, RFC 6298 §5.3.
    pub(in crate::tcp) fn restart_timer(&mut self, cx: &mut Cx) {
        if !self.schedule_probe(cx, true) {
            self.start_rto_from_head(cx);
        }
    }

    /// Starts the retransmission timer; in place of another one it runs since the first segment left.
    pub(in crate::tcp) fn start_rto_from_head(&mut self, cx: &mut Cx) {
        let other = self.timers.is_set(Timer::Tail) || self.timers.is_set(Timer::Reorder);
        self.start_rto(cx, other);
    }

    /// The same; `from_head` if it runs since the first segment left.
    pub(super) fn start_rto(&mut self, cx: &mut Cx, from_head: bool) {
        let rto = self.rtt.rto() + self.pacing_delay(cx);
        let at = match self.board.head() {
            None => Instant::FAR,
            Some(head) if from_head => (head.last_sent + rto).max(cx.now),
            Some(_) => cx.now + rto,
        };
        self.set_only(Timer::Rto, at);
    }
}

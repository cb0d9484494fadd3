//! How does the window shrink when something was lost, and grow when something was delivered?

use super::{Conn, Cx, Heard, Phase, Prr};
use crate::tcp::congestion::{AckSample, CongestionEvent, RttSample};
use crate::tcp::log::{CwndWhy, Note};
use crate::time::Duration;

impl Conn {
    pub(super) fn window(&self) -> u32 {
        self.cc.cwnd() / self.mss()
    }

    pub(in crate::tcp) fn set_window(&mut self, segments: u32) {
        self.cc.set_cwnd(segments.max(1).saturating_mul(self.mss()));
    }

    /// The window shrinks, spread over a round trip.
    pub(in crate::tcp) fn begin_reduction(&mut self, cx: &mut Cx, event: CongestionEvent, why: CwndWhy) {
        let (from, segments) = (self.cc.cwnd(), self.window());
        self.recovery.probe = None;
        self.recovery.prr = Prr { start: segments.max(1), delivered: 0, out: 0 };
        self.cc.on_congestion(cx.now, event, self.pipe(), self.mss());
        self.say_reduced(true);
        self.recovery.mark = self.snd.nxt;
        self.note_cwnd(cx, from, why);
        if cx.cfg.prr {
            self.set_window(segments);
        }
    }

    /// The window is where the reduction led (RFC 5681 §3.2).
    pub(in crate::tcp) fn end_reduction(&mut self, cx: &mut Cx) {
        let from = self.cc.cwnd();
        let undone = self.recovery.undo.is_none() && cx.cfg.undo;
        if self.cc.ssthresh() < u32::MAX && (self.recovery.phase == Phase::Cwr || !undone) {
            self.cc.set_cwnd(self.cc.ssthresh());
        }
        self.cc.on_recovered(cx.now);
        self.usage.restart(cx.now);
        self.note_cwnd(cx, from, CwndWhy::Recovered);
    }

    /// RFC 6937 §3: `delivered` segments reached the peer; `safe` says that the acknowledgment made progress and showed
    /// no further loss.
    pub(super) fn reduce_rate(&mut self, cx: &Cx, delivered: u32, safe: bool) {
        if delivered == 0 || !cx.cfg.prr {
            return;
        }
        let (pipe, ssthresh) = (self.tally().in_network(), self.cc.ssthresh() / self.mss());
        let prr = &mut self.recovery.prr;
        prr.delivered += delivered;
        let room = if pipe > ssthresh {
            let share = u64::from(prr.delivered) * u64::from(ssthresh);
            (share.div_ceil(u64::from(prr.start.max(1))) as u32).saturating_sub(prr.out)
        } else {
            let most = prr.delivered.saturating_sub(prr.out).max(delivered);
            (ssthresh - pipe).min(most + u32::from(safe))
        };
        let window = pipe + if prr.out == 0 { room.max(1) } else { room };
        self.set_window(window);
    }

    /// A round trip was measured.
    pub(super) fn tell_rtt(&mut self, cx: &mut Cx, rtt: Duration) {
        let (cwnd, ssthresh) = (self.cc.cwnd(), self.cc.ssthresh());
        let (una, nxt, mss) = (self.snd.una, self.snd.nxt, self.mss());
        let paced = self.pacing_rate(cx).is_some();
        self.cc.on_rtt(&RttSample { now: cx.now, rtt, una, nxt, paced, mss });
        if self.cc.ssthresh() != ssthresh {
            self.note_cwnd(cx, cwnd, CwndWhy::SlowStartLeft);
        }
    }

    /// Data was delivered outside of a reduction.
    pub(super) fn grow_window(
        &mut self,
        cx: &mut Cx,
        heard: &Heard,
        prior_flight: u32,
        rtt: Option<Duration>,
    ) {
        let (now, mss, srtt, acked) = (cx.now, self.mss(), self.rtt.srtt(), heard.acked);
        let delivered = heard.delivered.saturating_mul(mss);
        let (cwnd, ssthresh) = (self.cc.cwnd(), self.cc.ssthresh());
        let may_grow = !cx.cfg.cwnd_validation || self.usage.may_grow(cwnd, ssthresh);
        self.cc.on_ack(&AckSample { now, acked, delivered, prior_flight, rtt, srtt, mss, may_grow });
        self.usage.confirm(cx.now);
        if self.cc.ssthresh() != ssthresh {
            self.note_cwnd(cx, cwnd, CwndWhy::SlowStartLeft);
        }
    }

    pub(in crate::tcp) fn note_cwnd(&self, cx: &mut Cx, from: u32, why: CwndWhy) {
        let (to, ssthresh) = (self.cc.cwnd(), self.cc.ssthresh());
        if from != to || why != CwndWhy::Recovered {
            cx.log.push(Note::Cwnd { from, to, ssthresh, why });
        }
    }
}

//! Was something lost, and how is it repaired? RFC 5681 §3.2, RFC 6582 without SACK, RFC 6675 with it.

use super::congestion::{AckSample, CongestionEvent};
use super::conn::{Conn, Cx};
use super::log::{CwndWhy, Note};
use super::timers::Timer;
use crate::segment::Segment;
use crate::seq::Seq;
use crate::time::Duration;

/// Three duplicates mean a loss (RFC 5681 §3.2).
const DUP_THRESH: u8 = 3;

/// What is being repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nothing.
    Open,
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
    /// Without SACK each duplicate ACK says that a segment has left the network, not which: their bytes.
    left_network: u32,
}

impl Recovery {
    pub(super) fn new(iss: Seq) -> Recovery {
        Recovery { phase: Phase::Open, recover: iss, dup_acks: 0, left_network: 0 }
    }
}

impl Conn {
    /// Bytes believed to be in the network: `pipe` of RFC 6675 §4, or its estimate by duplicate ACKs.
    pub(super) fn pipe(&self) -> u32 {
        self.board.pipe().saturating_sub(self.recovery.left_network)
    }

    /// `seg` acknowledges `seg.ack`, which lies in SND.UNA..=SND.NXT. Returns bytes acknowledged for the first
    /// time and the count of duplicate ACKs, 0 if it is none.
    pub(super) fn on_ack(&mut self, cx: &mut Cx, seg: &Segment) -> (u32, u8) {
        let prior_flight = self.snd.flight();
        let acked = seg.ack.since(self.snd.una);
        // RFC 5681 §2, and RFC 6675 §2 for which new SACK information counts, whatever the window.
        let mut duplicate = acked == 0
            && prior_flight > 0
            && seg.seq_len() == 0
            && u32::from(seg.window) << self.snd.shift == self.snd.wnd;
        let news = if self.sack { self.board.sack(&seg.options.sack, seg.ack, self.snd.nxt) } else { 0 };
        if self.sack && !seg.options.sack.is_empty() {
            duplicate = acked == 0 && news > 0;
        }
        if acked > 0 {
            self.progress(cx, seg, acked, prior_flight);
        } else if duplicate {
            self.recovery.dup_acks = self.recovery.dup_acks.saturating_add(1);
            if !self.sack {
                let most = self.board.pipe().saturating_sub(self.mss());
                self.recovery.left_network = (self.recovery.left_network + self.mss()).min(most);
            }
        }
        self.detect_loss(cx);
        (acked, if duplicate { self.recovery.dup_acks } else { 0 })
    }

    /// Something was acknowledged for the first time.
    fn progress(&mut self, cx: &mut Cx, seg: &Segment, acked: u32, prior_flight: u32) {
        let released = self.board.release(seg.ack);
        self.snd.release(seg.ack);
        let rtt: Option<Duration> = match released.sample {
            Some(sent) => Some(cx.now.since(sent)),
            None if released.resent => self.timestamp_rtt(cx, seg),
            None => None,
        };
        // Without a sample the back-off stays (Karn: RFC 6298 §5).
        if let Some(rtt) = rtt {
            self.rtt.sample(cx.cfg, rtt);
        }
        self.retries = 0;
        self.probes = 0;
        self.soft_error = None;
        self.stalled_since = (self.snd.flight() > 0).then_some(cx.now);
        self.arm_user_timeout();

        let repairing = self.recovery.phase == Phase::Fast;
        let recovery = &mut self.recovery;
        let over = seg.ack.ge(recovery.recover);
        match recovery.phase {
            Phase::Open => (recovery.dup_acks, recovery.left_network) = (0, 0),
            Phase::Fast if over => {
                let from = self.cc.cwnd();
                self.cc.on_recovered(cx.now);
                *recovery = Recovery { phase: Phase::Open, dup_acks: 0, left_network: 0, ..*recovery };
                self.note_cwnd(cx, from, CwndWhy::Recovered);
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
                }
            }
        }
        // RFC 5681 §3.2 (6): the acknowledgment that ends fast recovery sets the window, it does not open it.
        if !repairing {
            let mss = self.mss();
            self.cc.on_ack(&AckSample { now: cx.now, acked, prior_flight, rtt, mss });
        }
        // RFC 6298 §5.2, §5.3.
        if self.board.is_empty() {
            self.timers.clear(Timer::Rto);
        } else {
            self.timers.set(Timer::Rto, cx.now + self.rtt.rto());
        }
    }

    /// TSecr as a measurement, where the scoreboard cannot tell which transmission was acknowledged (RFC 7323 §4.1).
    pub(super) fn timestamp_rtt(&self, cx: &Cx, seg: &Segment) -> Option<Duration> {
        let echo = seg.options.timestamps.filter(|t| self.ts.on && t.echo != 0)?.echo;
        let millis = self.ts_now(cx.now).wrapping_sub(echo);
        // A peer that echoes nonsense must not stretch the timer for days.
        (millis < 600_000).then(|| Duration::from_millis(u64::from(millis.max(1))))
    }

    fn detect_loss(&mut self, cx: &mut Cx) {
        if self.board.is_empty() {
            return;
        }
        let lost = self.sack && self.board.judge(self.mss());
        if self.recovery.phase != Phase::Open {
            return;
        }
        // RFC 6582 §4: after a recovery, duplicates of what it covered say nothing new. SACK tells them apart itself.
        let fresh = self.sack || self.snd.una.gt(self.recovery.recover);
        if lost || (self.recovery.dup_acks >= DUP_THRESH && fresh) {
            let from = self.cc.cwnd();
            self.cc.on_congestion(cx.now, CongestionEvent::Loss, self.snd.flight(), self.mss());
            self.note_cwnd(cx, from, CwndWhy::Recovery);
            self.recovery.phase = Phase::Fast;
            self.recovery.recover = self.snd.nxt;
            if self.board.first_lost().is_none() {
                self.board.lose_head(self.mss());
            }
            self.intents.resend = true;
        }
    }

    /// The retransmission timer expired with data in flight (RFC 6298 §5.4 to §5.6, RFC 5681 §3.1).
    pub(super) fn on_rto(&mut self, cx: &mut Cx) {
        // The threshold follows the flight when the loss was found, not what is left at later time-outs.
        if self.retries == 0 {
            let from = self.cc.cwnd();
            self.cc.on_congestion(cx.now, CongestionEvent::Rto, self.snd.flight(), self.mss());
            self.note_cwnd(cx, from, CwndWhy::Rto);
        }
        self.retries = self.retries.saturating_add(1);
        self.rtt.back_off();
        self.board.lose_all();
        self.recovery = Recovery { phase: Phase::Rto, recover: self.snd.nxt, ..Recovery::new(self.snd.iss) };
        self.intents.resend = true;
        self.intents.rto = true;
    }

    pub(super) fn note_cwnd(&self, cx: &mut Cx, from: u32, why: CwndWhy) {
        let (to, ssthresh) = (self.cc.cwnd(), self.cc.ssthresh());
        cx.log.push(Note::Cwnd { from, to, ssthresh, why });
    }
}

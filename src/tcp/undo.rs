//! Was a recovery a mistake, and what is taken back then? Eifel (RFC 3522, RFC 4015), DSACK (RFC 3708), F-RTO (RFC 5682).

use super::conn::{Conn, Cx};
use super::log::CwndWhy;
use super::recovery::{Heard, Phase};
use crate::segment::Segment;
use crate::seq::Seq;
use crate::time::Instant;

const NOTHING_SENT: u32 = u32::MAX;

/// What would show that the last reduction of the window was a mistake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undo {
    /// SND.UNA when it was made: older duplicate reports say nothing.
    marker: Seq,
    /// Repetitions that were not reported as duplicates yet (RFC 3708 §3); [`NOTHING_SENT`] before the first.
    unreported: u32,
    /// The window may be restored: no router asked for less.
    restores: bool,
}

impl Undo {
    /// `segments` leave once more.
    pub(super) fn on_repeated(&mut self, segments: u32) {
        let before = if self.unreported == NOTHING_SENT { 0 } else { self.unreported };
        self.unreported = before.saturating_add(segments).min(NOTHING_SENT - 1);
    }

    /// So many of them came twice.
    fn on_reported(&mut self, segments: u32) {
        if self.unreported != NOTHING_SENT {
            self.unreported = self.unreported.saturating_sub(segments);
        }
    }
}

impl Conn {
    /// The window is about to shrink.
    pub(super) fn begin_undo(&mut self, cx: &Cx, restores: bool) {
        let probing = self.recovery.probe.is_some_and(|probe| probe.repeated);
        let under_way = self.board.tally().resent + u32::from(probing);
        let unreported = if under_way > 0 { under_way } else { NOTHING_SENT };
        self.recovery.undo = cx.cfg.undo.then_some(Undo { marker: self.snd.una, unreported, restores });
    }

    /// A router asks for a smaller window.
    pub(super) fn forbid_undo(&mut self) {
        if let Some(undo) = &mut self.recovery.undo {
            undo.restores = false;
        }
    }

    /// The peer reports that it had something twice: the first SACK block, if it lies below the acknowledgment or within the
    /// second block (RFC 2883 §4). `una` was SND.UNA before. Returns where the lowest starts of what it had reported before.
    pub(super) fn on_duplicate_report(&mut self, seg: &Segment, una: Seq, heard: &mut Heard) -> Option<Seq> {
        let (&(start, end), rest) = seg.options.sack.as_slice().split_first().filter(|_| self.sack)?;
        let within = rest.first().is_some_and(|&(s, e)| start.ge(s) && end.le(e));
        if !start.lt(end) || !(start.lt(seg.ack) || within) {
            return None;
        }
        // Nobody can have had more twice than there ever was room for.
        let (len, mss) = (end.since(start), self.mss());
        if len > self.snd.max_wnd {
            return None;
        }
        let segments = len.div_ceil(mss);
        let probe = segments == 1 && self.recovery.probe.is_some_and(|probe| probe.end == end);
        let rare = self.counters.rare();
        rare.dsack_dups += segments;
        // More than was ever repeated: the network made copies.
        if rare.dsack_dups > rare.total_retrans {
            return None;
        }
        (heard.twice, heard.probe_twice) = (true, probe);
        if !probe {
            self.rack.on_dsack();
        }
        heard.delivered += segments;
        if let Some(undo) = &mut self.recovery.undo
            && end.le(una)
            && end.gt(undo.marker)
        {
            undo.on_reported(segments);
        }
        if end.gt(self.snd.nxt) || (start.le(self.snd.una) && !self.reports_acknowledged(end, una)) {
            return None;
        }
        let (late, repeated) = self.board.came_twice(start, end);
        if let Some(undo) = &mut self.recovery.undo {
            undo.on_reported(repeated);
        }
        late
    }

    /// Whether what came twice and ends there was acknowledged just now, and lies where the reduction could be a mistake.
    fn reports_acknowledged(&self, end: Seq, una: Seq) -> bool {
        let marker = self.recovery.undo.map(|undo| undo.marker);
        marker.is_some_and(|marker| end.le(self.snd.una) && end.gt(una) && end.gt(marker))
    }

    /// The acknowledgment echoes a time before the first repetition, or nothing was repeated yet: it answers the original,
    /// which was only late (RFC 3522 §3.2).
    pub(super) fn echoes_earlier(&self, seg: &Segment) -> bool {
        if self.recovery.since == Instant::FAR {
            return self.sack || self.snd.una.lt(self.recovery.mark);
        }
        let stamp = self.ts_now(self.recovery.since);
        let echo = seg.options.timestamps.filter(|t| self.ts.on && t.echo != 0);
        echo.is_some_and(|t| (t.echo.wrapping_sub(stamp) as i32) < 0)
    }

    /// Whether the reduction was a mistake: all that was repeated came twice, or the answer is to an original.
    pub(super) fn may_undo(&self, heard: &Heard) -> bool {
        self.recovery.undo.is_some_and(|undo| undo.unreported == 0 || heard.echoes_earlier)
    }

    /// All that was repeated came twice: nothing had been lost (RFC 3708 §3).
    pub(super) fn undo_by_reports(&mut self, cx: &mut Cx) -> bool {
        let mistaken = self.recovery.undo.is_some_and(|undo| undo.unreported == 0);
        if mistaken {
            self.rack.on_recovered(true);
            self.take_back(cx, false, CwndWhy::Undo);
        }
        mistaken
    }

    /// In a recovery an original arrived, which was only late; `una` was SND.UNA before. True if nothing more is to be
    /// repeated for now.
    pub(super) fn undo_partly(&mut self, cx: &mut Cx, una: Seq, heard: &Heard) -> bool {
        if self.recovery.undo.is_none() || !heard.echoes_earlier {
            return false;
        }
        let high = self.board.highest_sacked().unwrap_or(self.snd.una);
        if una.lt(high) {
            self.rack.on_late(high.since(una), self.mss(), cx.cfg.max_reordering);
        }
        if self.board.tally().resent > 0 {
            // New data may go, but what is on its way a second time is to come home first.
            return true;
        }
        if !self.board.repeats() {
            self.recovery.since = Instant::FAR;
        }
        self.take_back(cx, true, CwndWhy::Undo);
        self.keep_open();
        false
    }

    /// The timer expired too early; `shown` says that F-RTO found it out.
    pub(super) fn undo_timeout(&mut self, cx: &mut Cx, shown: bool) {
        self.take_back(cx, true, CwndWhy::SpuriousRto);
        self.retries = 0;
        (self.intents.resend, self.intents.rto) = (false, false);
        if self.holds_recovery() {
            return;
        }
        if shown || self.sack {
            self.recovery.phase = Phase::Open;
        }
    }

    /// The reduction was a mistake (RFC 4015 §3.2); `all` says that nothing is lost at all.
    pub(super) fn take_back(&mut self, cx: &mut Cx, all: bool, why: CwndWhy) {
        let from = self.cc.cwnd();
        if all {
            self.board.lose_nothing();
        }
        if self.recovery.undo.take().is_some_and(|undo| undo.restores) {
            self.cc.on_spurious();
            self.say_reduced(false);
        }
        self.rack.advanced = true;
        self.usage.restart(cx.now);
        self.note_cwnd(cx, from, why);
    }
}

//! How many segments leave together? As many as about a millisecond of the flow's rate fills, and the last of them is
//! pushed, so that a receiver that merges segments hands them on: what Linux does with segmentation offload.

use super::cause::Blocked;
use super::conn::{Conn, Cx};
use super::send::Fin;
use crate::seq::Seq;
use crate::time::Duration;

/// A burst has room for so many segments at least.
const LEAST_SEGMENTS: u64 = 2;

/// The largest burst in bytes: what one packet can be, and what Linux leaves of that for data.
const MOST_BYTES: u64 = 65_279;

/// A round trip this short leaves room for the largest burst; each time as long again halves that room.
const SHORT_ROUND_TRIP: Duration = Duration::from_micros(512);

/// What leaves within this is one burst.
const SAME_TIME: Duration = Duration::from_millis(1);

/// This share of the window is always worth sending.
const WINDOW_DIVISOR: u32 = 3;

/// The burst that is being sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    /// Behind its last byte.
    end: Seq,
}

impl Burst {
    pub(super) fn new(iss: Seq) -> Burst {
        Burst { end: iss }
    }

    /// A burst reaches to `end`.
    pub(super) fn begin(&mut self, end: Seq) {
        self.end = end;
    }
}

impl Conn {
    /// What is left of the burst at `nxt`; nothing once all had its chance to leave.
    pub(super) fn burst_left(&self, nxt: Seq) -> Option<u32> {
        (self.cut > 0 && self.burst.end.gt(nxt)).then(|| self.burst.end.since(nxt))
    }

    /// Where ends what is being sent again together, if `start` is next of it.
    pub(super) fn bunch_end(&self, start: Seq) -> Option<Seq> {
        let (next, until) = self.recovery.bunch;
        (next == start && until.gt(start)).then_some(until)
    }

    /// `start..end` is about to be sent again. What was lost of a burst leaves as one again, as far as the window lets it, and
    /// its end is pushed; whatever follows is on its own from then on.
    pub(super) fn begin_bunch(&mut self, cx: &Cx, start: Seq, end: Seq, full: u32) {
        if !cx.cfg.bursts || self.bunch_end(start).is_some() {
            self.recovery.bunch.0 = end;
            return;
        }
        let alone = self.intents.resend || self.intents.probe_tail;
        let room = (self.cc.cwnd().saturating_sub(self.pipe()) / full).min(self.largest_burst(full) / full);
        let until = self.board.together(start, if alone { 1 } else { room });
        // A segment on its own is pushed only if it was when it first left.
        self.board.part(until.max(end));
        self.recovery.bunch = if until.gt(end) { (end, until) } else { (start, start) };
    }

    /// For what new data waits although there is room for some: soon there will be room for a whole burst of `together` bytes,
    /// which is less work for everybody. Only between segments that leave at about the same time, and only if the next
    /// acknowledgment is about to come. As on Linux.
    /// The first piece has `head_len` bytes.
    pub(super) fn puts_off(
        &self,
        cx: &Cx,
        usable: u32,
        together: u32,
        (head_len, full): (u32, u32),
    ) -> Option<Blocked> {
        let head = self.board.head().filter(|_| cx.cfg.bursts && !self.recovery.repairs())?;
        let cwnd = self.cc.cwnd() / full * full;
        let congestion = cwnd.saturating_sub(self.pipe());
        let limit = usable.min(congestion);
        if self.intents.put_off {
            return Some(Blocked::Cwnd);
        }
        let unsent = self.snd.unsent();
        // Only the last piece may get longer.
        let whole = unsent > head_len && limit >= head_len;
        let srtt = self.rtt.srtt().unwrap_or_default();
        let expected = head.last_sent + srtt;
        let soon = (srtt / 2).min(SAME_TIME);
        if cx.now > self.counters.data_sent_at + SAME_TIME
            || limit >= together
            || whole
            || limit >= self.snd.wnd.min(cwnd) / WINDOW_DIVISOR
            || expected > cx.now + soon
        {
            return None;
        }
        let by_peer = congestion >= usable;
        let waits = limit <= head_len || self.snd.fin != Fin::Queued || unsent > head_len;
        waits.then_some(if by_peer { Blocked::PeerWindow } else { Blocked::Cwnd })
    }

    /// Whether it was put off, if that is why nothing leaves.
    pub(super) fn is_put_off(&self, blocked: Blocked) -> bool {
        let full = self.full_payload(&self.usual_options());
        let windows = matches!(blocked, Blocked::Cwnd | Blocked::PeerWindow);
        let room = self.congestion_room(full).min(self.snd.usable());
        windows
            && self.snd.is_pieced()
            && room >= full
            && self.snd.unsent() > full
            && !self.recovery.repairs()
    }

    /// How large a piece of what is written gets, how much may leave together now, and how much at all.
    pub(super) fn piece_goal(&self) -> (u32, u32, u32) {
        let full = self.full_payload(&self.usual_options());
        let window = match self.pacer {
            None => self.congestion_room(full).min(self.snd.usable() / full * full),
            Some(_) => 0,
        };
        (self.snd.bounded(MOST_BYTES as u32, full) / full * full, self.quota(full), window)
    }

    /// What the congestion window lets go, in segments of `full` bytes.
    fn congestion_room(&self, full: u32) -> u32 {
        let mss = self.mss();
        (self.cc.cwnd() / mss).saturating_sub(self.tally().in_network()).saturating_mul(full)
    }

    /// What the congestion window and the rate let go together, in segments of `full` bytes.
    pub(super) fn quota(&self, full: u32) -> u32 {
        self.congestion_room(full).min(self.burst_limit(full).max(full))
    }

    /// How many bytes of new data may leave together, in segments of `full` bytes: half of the window at the most.
    pub(super) fn burst_limit(&self, full: u32) -> u32 {
        let half = (self.cc.cwnd() / full / 2).max(1).saturating_mul(full);
        let most = self.largest_burst(full);
        if self.snd.is_pieced() { most.min(half) } else { most }
    }

    /// The same, whatever the window.
    fn largest_burst(&self, full: u32) -> u32 {
        if !self.snd.is_pieced() {
            return MOST_BYTES as u32;
        }
        let (window, size) = (u64::from(self.cc.cwnd()), u64::from(full));
        let most = MOST_BYTES / size;
        let bound = self.opts.max_pacing_rate.unwrap_or(u64::MAX);
        let by_rate = match self.rtt.srtt() {
            None => most.min((bound >> 10) / size).max(LEAST_SEGMENTS),
            Some(srtt) => {
                let percent = if window < u64::from(self.cc.ssthresh()) / 2 { 200 } else { 120 };
                let outstanding = window.max(u64::from(self.snd.flight()));
                let rate = outstanding * percent * 10_000 / (srtt.as_micros() as u64).max(1);
                let quiet = self.rack.min_rtt().as_micros() as u64 / SHORT_ROUND_TRIP.as_micros() as u64;
                let room = if quiet < 17 { (MOST_BYTES + 1) >> quiet } else { 0 };
                (((rate.min(bound) >> 10) + room).min(MOST_BYTES) / size).max(LEAST_SEGMENTS)
            }
        };
        (by_rate.min(most.max(1)) * size) as u32
    }
}

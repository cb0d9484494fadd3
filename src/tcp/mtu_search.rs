//! How large may a packet be when no router says so? Black holes found, and the path's MTU searched with real data
//! (RFC 4821, RFC 8899 §4).
//!
//! Below `low` packets are known to pass, above `high` they are known not to. A probe is a segment of the size between;
//! its loss says nothing about congestion.

use super::config::MtuProbing;
use super::conn::{Conn, Cx};
use super::log::{CwndWhy, Note};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// So many time-outs in a row are taken for a black hole (Linux' tcp_retries1).
const BLACK_HOLE: u8 = 3;

/// The search ends when less than this is left between the bounds, bytes (Linux' tcp_probe_threshold).
const NEAR: u16 = 8;

/// After this the path may have changed for the better (RFC 4821 §7.7; Linux' tcp_probe_interval).
const AGAIN: Duration = Duration::from_secs(600);

/// So many segments have to be in the window: a probe that is lost is found by those behind it.
const LEAST_WINDOW: u32 = 11;

/// The state of the search; MTUs in bytes, headers included.
#[derive(Clone, Copy, Debug)]
pub(super) struct MtuSearch {
    low: u16,
    high: u16,
    probe: Option<Probe>,
    /// When the bounds met.
    done_at: Option<Instant>,
}

/// A probe under way.
#[derive(Clone, Copy, Debug)]
struct Probe {
    start: Seq,
    end: Seq,
    mtu: u16,
}

impl MtuSearch {
    /// The timer expired or the path changed: what is under way proves nothing any more.
    fn lose_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            self.high = self.high.min(probe.mtu - 1);
        }
    }

    fn finish(&mut self, now: Instant) {
        if self.high.saturating_sub(self.low) < NEAR {
            self.done_at = Some(now);
        }
    }
}

impl Conn {
    fn headers(&self) -> u16 {
        self.ip_header + 20
    }

    fn begin_search(&mut self, cx: &Cx) {
        let headers = self.headers();
        let most = self.largest_mss(self.mtu) as u16 + headers;
        let low = cx.cfg.mtu_base_mss.saturating_add(headers).min(most);
        self.search = Some(Box::new(MtuSearch { low, high: most, probe: None, done_at: None }));
    }

    /// The handshake is done.
    pub(super) fn start_mtu_search(&mut self, cx: &Cx) {
        if cx.cfg.mtu_probing == MtuProbing::Always {
            self.begin_search(cx);
        }
    }

    /// The retransmission timer expired, again and again: perhaps large packets vanish on the way (RFC 4821 §7.6.2, as Linux
    /// does it).
    pub(super) fn suspect_black_hole(&mut self, cx: &mut Cx) {
        if let Some(search) = &mut self.search {
            search.lose_probe();
        }
        if cx.cfg.mtu_probing == MtuProbing::Off || self.retries < BLACK_HOLE {
            return;
        }
        let before = self.mss();
        let headers = self.headers();
        if let Some(search) = &mut self.search {
            let mss = search.low - headers;
            let half = (mss / 2).min(cx.cfg.mtu_base_mss);
            search.low = half.max(cx.cfg.mtu_probe_floor).min(mss) + headers;
            search.high = search.high.max(search.low);
        } else {
            self.begin_search(cx);
        }
        if self.mss() != before {
            cx.log.push(Note::Mtu { mtu: self.known_mtu() });
            self.note_cwnd(cx, self.cc.cwnd(), CwndWhy::Mtu);
        }
    }

    /// How many bytes of data a probe that may leave now carries, with `options` bytes of options, and the MTU that it tries.
    pub(super) fn mtu_probe(&self, cx: &Cx, options: u32) -> Option<(u32, u16)> {
        let search = self.search.as_deref()?;
        let settled = search.high.saturating_sub(search.low) < NEAR;
        let again = search.done_at.is_some_and(|at| cx.now.since(at) >= AGAIN);
        let mss = self.mss();
        if search.probe.is_some()
            || settled && !again
            || !self.sack
            || self.board.tally().sacked > 0
            || self.is_repairing()
            || self.snd.record_end(self.snd.nxt).is_some()
            || self.cc.cwnd() < LEAST_WINDOW * mss
        {
            return None;
        }
        let high = if settled { self.largest_mss(self.mtu) as u16 + self.headers() } else { search.high };
        let mtu = search.low + (high.saturating_sub(search.low)).div_ceil(2);
        let len = u32::from(mtu - self.headers()).checked_sub(options)?;
        // Behind it others must follow, to show its loss.
        let needed = len + 3 * mss;
        let cwnd_left = self.cc.cwnd().saturating_sub(self.pipe());
        let fits = mtu > search.low && self.snd.unsent() >= needed && self.snd.usable() >= needed;
        (fits && cwnd_left >= len).then_some((len, mtu))
    }

    /// A probe has left.
    pub(super) fn mtu_probe_sent(&mut self, start: Seq, end: Seq, mtu: u16) {
        let most = self.largest_mss(self.mtu) as u16 + self.headers();
        let Some(search) = &mut self.search else { return };
        if search.done_at.take().is_some() {
            search.high = most;
        }
        search.probe = Some(Probe { start, end, mtu });
    }

    /// Something was acknowledged: a probe that arrived was not too large.
    pub(super) fn mtu_probe_acked(&mut self, cx: &mut Cx) {
        let Some(search) = &mut self.search else { return };
        let Some(probe) = search.probe.filter(|probe| self.snd.una.ge(probe.end)) else { return };
        search.probe = None;
        search.low = search.low.max(probe.mtu);
        search.finish(cx.now);
        cx.log.push(Note::Mtu { mtu: search.low });
    }

    /// Losses were found. If it is the probe alone that was lost, it was too large, and the network is not to blame: true.
    pub(super) fn mtu_probe_lost(&mut self, cx: &mut Cx) -> bool {
        let Some(search) = &mut self.search else { return false };
        let Some(probe) = search.probe else { return false };
        let alone = self.board.lost_only_within(probe.start, probe.end);
        if alone {
            search.lose_probe();
            search.finish(cx.now);
        }
        alone
    }

    /// What a packet may take as far as is known from the link, from routers and from probes.
    pub(super) fn known_mtu(&self) -> u16 {
        self.search.as_ref().map_or(self.mtu, |search| search.low.min(self.mtu))
    }
}

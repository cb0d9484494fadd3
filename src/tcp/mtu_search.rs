//! How large may a packet be when no router says so? Black holes found, and the path's MTU searched with real data
//! (RFC 4821, RFC 8899 §4).
//!
//! Below `low` packets are known to pass, above `high` they are known not to. A probe is a segment of the size between;
//! its loss says nothing about congestion.

use super::config::MtuProbing;
use super::conn::{Conn, Cx};
use super::log::{CwndWhy, Note};
use super::recovery::Phase;
use crate::segment::Options;
use crate::seq::Seq;
use crate::time::{Duration, Instant};

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
    /// What segments are cut to. As on Linux it follows `low` only where the segments' size is looked at anew.
    used: u16,
    probe: Option<Probe>,
    /// When the bounds were set.
    since: Instant,
}

/// A probe under way.
#[derive(Clone, Copy, Debug)]
struct Probe {
    start: Seq,
    end: Seq,
    mtu: u16,
}

/// Whether a probe may leave now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MayProbe {
    /// So many bytes, which make a packet of so many.
    Now(u32, u16),
    /// What is in flight has to come home first.
    Soon,
    No,
}

impl Conn {
    /// The headers of each segment of data, options included.
    fn headers(&self) -> u16 {
        self.ip_header + 20 + self.stamps() as u16
    }

    fn begin_search(&mut self, cx: &Cx, used: u16) {
        let headers = self.headers();
        let high = self.largest_mss(self.mtu) as u16 + self.ip_header + 20;
        let low = cx.cfg.mtu_base_mss.saturating_add(headers).min(high);
        self.search = Some(Box::new(MtuSearch { low, high, used, probe: None, since: cx.now }));
    }

    /// The handshake is done.
    ///
    /// Who opened actively has cut its segments to the base since its SYN, when nobody knew yet whether there would be time stamps;
    /// the other end goes by the path until it looks again.
    pub(super) fn start_mtu_search(&mut self, cx: &Cx) {
        if cx.cfg.mtu_probing == MtuProbing::Always {
            let stamps = if cx.cfg.timestamps { 12 } else { 0 };
            let base = cx.cfg.mtu_base_mss.saturating_add(self.ip_header + 20 + stamps);
            self.begin_search(cx, if self.active { base } else { u16::MAX });
        }
    }

    /// The segments' size is looked at anew; `before` is what it was.
    pub(super) fn obey_search(&mut self, before: u32) {
        if let Some(search) = &mut self.search {
            search.used = search.low;
        }
        self.remeasure(before);
    }

    /// The retransmission timer expired, for as long as tcp_retries1 doublings take: perhaps large packets vanish on the way
    /// (RFC 4821 §7.6.2, as Linux does it).
    pub(super) fn suspect_black_hole(&mut self, cx: &mut Cx) {
        if cx.cfg.mtu_probing == MtuProbing::Off {
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
            self.begin_search(cx, u16::MAX);
        }
        self.obey_search(before);
        if self.mss() != before {
            cx.log.push(Note::Mtu { mtu: self.known_mtu() });
            self.note_cwnd(cx, self.cc.cwnd(), CwndWhy::Mtu);
        }
    }

    /// Whether a probe may leave, with `options`: at the beginning of what leaves together only.
    pub(super) fn mtu_probe(&self, options: &Options) -> MayProbe {
        let Some(search) = self.search.as_deref().filter(|search| search.probe.is_none()) else {
            return MayProbe::No;
        };
        let mss = self.mss();
        if self.cut > 0
            || self.recovery.phase != Phase::Open
            || self.cc.cwnd() < LEAST_WINDOW * mss
            || !options.sack.is_empty()
            || self.snd.record_end(self.snd.nxt).is_some()
        {
            return MayProbe::No;
        }
        let mtu = search.low.midpoint(search.high);
        let Some(len) = u32::from(mtu).checked_sub(u32::from(self.ip_header) + 20 + options.encoded_len())
        else {
            return MayProbe::No;
        };
        // Behind it others must follow, to show its loss.
        let needed = len + (self.rack.distance() + 1) * mss;
        if search.is_settled() || self.snd.unsent() < needed || self.snd.wnd < needed {
            return MayProbe::No;
        }
        let flying = self.tally().in_network();
        if self.snd.usable() < needed || (flying + 2) * mss > self.cc.cwnd() {
            return if flying > 0 { MayProbe::Soon } else { MayProbe::No };
        }
        MayProbe::Now(len, mtu)
    }

    /// The bounds have met a while ago: the search may begin again, from what is known.
    pub(super) fn look_again(&mut self, now: Instant) {
        let high = self.largest_mss(self.mtu) as u16 + self.ip_header + 20;
        let low = self.mss() as u16 + self.headers();
        let Some(search) = &mut self.search else { return };
        if search.is_settled() && now.since(search.since) >= AGAIN {
            (search.low, search.high, search.since) = (low, high, now);
        }
    }

    /// A probe has left. It is two packets where one would have gone.
    pub(super) fn mtu_probe_sent(&mut self, start: Seq, end: Seq, mtu: u16) {
        if let Some(search) = &mut self.search {
            search.probe = Some(Probe { start, end, mtu });
        }
        let window = self.cc.cwnd() / self.mss();
        self.set_window(window.saturating_sub(1));
    }

    /// Something was acknowledged: a probe that arrived was not too large. The window keeps its bytes.
    pub(super) fn mtu_probe_acked(&mut self, cx: &mut Cx) {
        let before = self.mss();
        let small = before + u32::from(self.headers());
        let Some(search) = &mut self.search else { return };
        let Some(probe) = search.probe.filter(|probe| self.snd.una.ge(probe.end)) else { return };
        (search.probe, search.low) = (None, probe.mtu);
        let (from, window) = (self.cc.cwnd(), self.cc.cwnd() / before);
        self.obey_search(before);
        self.set_window((u64::from(window) * u64::from(small) / u64::from(probe.mtu.max(1))) as u32);
        cx.log.push(Note::Mtu { mtu: probe.mtu });
        self.note_cwnd(cx, from, CwndWhy::Mtu);
    }

    /// Something is sent again: what is under way proves nothing any more.
    pub(super) fn mtu_probe_is_in_doubt(&mut self) {
        if let Some(search) = &mut self.search {
            search.probe = None;
        }
    }

    /// Losses were found. If the probe is what is missing first, it was too large, and the network is not to blame: true.
    pub(super) fn mtu_probe_lost(&mut self) -> bool {
        let una = self.snd.una;
        let Some(search) = &mut self.search else { return false };
        let Some(probe) = search.probe.take_if(|probe| probe.start == una) else { return false };
        search.high = search.high.min(probe.mtu - 1);
        let window = self.cc.cwnd() / self.mss();
        self.set_window(window + 1);
        true
    }

    /// What a packet may take as far as is known from the link, from routers and from probes.
    pub(super) fn known_mtu(&self) -> u16 {
        self.search.as_ref().map_or(self.mtu, |search| search.used.min(self.mtu))
    }
}

impl MtuSearch {
    fn is_settled(&self) -> bool {
        self.high.saturating_sub(self.low) < NEAR
    }

    /// Routers say that no more than `mtu` passes.
    pub(super) fn limit(&mut self, mtu: u16) {
        (self.high, self.low) = (self.high.min(mtu), self.low.min(mtu));
    }
}

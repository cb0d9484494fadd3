//! Which settings does a conversation show?

use super::scenario::{Offer, Talk};
use crate::explain::Caused;
use crate::settings::{Profile, Settings};
use crate::tcp::{Nagle, WindowScale};
use crate::time::Duration;

/// What shows of the settings of an end.
#[derive(Clone, Copy)]
pub(super) struct Habits {
    /// Nagle's algorithm is off.
    pub hasty: bool,
    pub ack_delay: Option<Duration>,
    /// It does not always delay them.
    pub quick: bool,
    /// The initial window, in segments.
    pub initial: Option<u64>,
    /// Its receive window when that was full.
    pub window: Option<u32>,
}

/// The settings of two ends that nobody told.
pub(super) fn inferred(talks: &[Talk], measured: &[[Habits; 2]], bandwidth: Option<u64>) -> [Settings; 2] {
    let round_trip = talks.iter().map(|t| t.round_trip).min().unwrap_or_default();
    [0, 1].map(|e| {
        let mut settings = Settings::new(Profile::Linux);
        (settings.link.rtt, settings.link.bandwidth) = (round_trip, bandwidth);
        let offers = || talks.iter().map(|t| t.offers[e]);
        settings.tcp.sack = offers().any(|o| o.sack);
        settings.tcp.timestamps = offers().any(|o| o.timestamps);
        if offers().all(|o| o.scale.is_none()) {
            settings.tcp.window_scale = WindowScale::Off;
        }
        let measured = || measured.iter().map(|m| m[e]);
        let tcp = &mut settings.tcp;
        if measured().any(|m| m.hasty) {
            tcp.nagle = Nagle::Off;
        }
        if let Some(delay) = measured().filter_map(|m| m.ack_delay).max() {
            tcp.ack_delay = delay.min(Duration::from_millis(499));
            if !measured().any(|m| m.quick) {
                // It always waited so long for company: no other rule of the engine's is to cut that short.
                (tcp.ack_adaptive, tcp.quickack) = (false, 0);
            }
        }
        if let Some(segments) = measured().filter_map(|m| m.initial).min() {
            tcp.init_cwnd = segments.clamp(1, 100) as u32;
        }
        if let Some(window) = measured().filter_map(|m| m.window).max() {
            // Of the memory of a socket that much is payload.
            tcp.recv_buffer = (u64::from(window) * 7 / 4).clamp(4 << 10, 64 << 20) as _;
        }
        settings
    })
}

/// Notes how fast so many bytes followed others.
pub(super) fn note_rate(rates: &mut Vec<(Duration, u64)>, bytes: u64, gap: Duration) {
    const SAMPLES: usize = 10_000;
    if !gap.is_zero() && rates.len() < SAMPLES {
        let bits = u128::from(bytes) * 8 * 1_000_000_000;
        rates.push((gap, u64::try_from(bits / gap.as_nanos()).unwrap_or(u64::MAX)));
    }
}

/// The rate at which most of what followed each other came, if enough did; what came after a long gap had waited for
/// something else.
pub(super) fn usual_rate(rates: &[(Duration, u64)], round_trip: Duration) -> Option<u64> {
    const LEAST: usize = 8;
    let near = rates.iter().filter(|(gap, _)| *gap < round_trip / 8);
    let mut rates: Vec<u64> = near.map(|(_, rate)| *rate).collect();
    rates.sort_unstable();
    (rates.len() >= LEAST).then(|| rates[rates.len() / 2])
}

/// The payload of a full segment of the end that made `own`, towards the one that made `other`.
pub(super) fn full(own: Offer, other: Offer) -> u32 {
    let options = if own.timestamps && other.timestamps { 12 } else { 0 };
    u32::from(other.mss.unwrap_or(536)).saturating_sub(options).max(1)
}

/// The length of the IP packet, with the headers as they were captured.
pub(super) fn ip_length(c: &Caused<'_>) -> u64 {
    let ip = if c.segment.source.is_ipv4() { 20 } else { 40 };
    let offset = c.data.get(ip + 12).map_or(20, |b| usize::from(b >> 4) * 4);
    (ip + offset.max(20)) as u64 + u64::from(c.segment.len)
}

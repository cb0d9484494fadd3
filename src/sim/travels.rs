//! How long was what under way? The simulator knows what hosts can only infer, and tells their ledgers.
//!
//! A host takes the least round trip for the way there and back, and what is beyond it for the other application's time.
//! That holds as long as nothing waits in a queue, is delayed or lost on the way; where something does, the world says so.

use super::link::LinkConfig;
use crate::ledger::Travel;
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::{self, Decoded};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// From whom to whom.
type Flow = (SocketAddr, SocketAddr);

/// What is known of one direction of a connection.
#[derive(Default)]
struct Way {
    /// How long its last data was under way.
    took: Option<Duration>,
    /// Data that was lost and has not been sent again: the first of it, and when it was sent.
    lost: Option<(Seq, Instant)>,
    /// Something of it was lost and came later, since the other side last had something to say.
    repaired: bool,
}

/// Both directions of all connections on whose way something waited or was lost.
#[derive(Default)]
pub(super) struct Travels(BTreeMap<Flow, Way>);

impl Travels {
    /// A packet that was sent at `sent` arrives, from a link that is like `link`.
    pub fn arrived(
        &mut self,
        sent: Instant,
        now: Instant,
        frame: &[u8],
        link: &LinkConfig,
    ) -> Option<Travel> {
        let (took, usual) = (now.since(sent), link.rtt / 2);
        if took == usual && self.0.is_empty() {
            return None;
        }
        let Ok(Decoded::Tcp(packet)) = wire::decode(frame, false) else { return None };
        let (flow, seg) = ((packet.envelope.src, packet.envelope.dst), packet.seg);
        let (mut there, mut repaired, mut lost, mut before) = (None, false, None, usual);
        if let Some(way) = self.0.get_mut(&(flow.1, flow.0)) {
            (there, repaired) = (way.took, way.repaired);
            way.repaired &= packet.payload.is_empty();
        }
        if seg.flags.intersects(Flags::FIN | Flags::RST) {
            self.0.remove(&flow);
        } else if !packet.payload.is_empty() {
            let known = took != usual || self.0.contains_key(&flow);
            if let Some(way) = known.then(|| self.0.entry(flow).or_default()) {
                before = way.took.unwrap_or(usual);
                way.took = (took != usual).then_some(took);
                lost = way.lost.take_if(|(first, _)| seg.end().gt(*first)).map(|(_, at)| at);
                way.repaired |= lost.is_some();
                if way.took.is_none() && way.lost.is_none() && !way.repaired {
                    self.0.remove(&flow);
                }
            }
        }
        if (took, before) == (usual, usual) && there.is_none() && lost.is_none() {
            return None;
        }
        let rate = link.bandwidth.filter(|&rate| rate > 0);
        let own = rate.map_or(0, |rate| frame.len() as u64 * 8 * 1_000_000 / rate);
        let micros = |time: Duration| time.as_micros() as u64;
        let extra = micros(took.saturating_sub(before));
        Some(Travel { there: micros(there.unwrap_or(usual)), repaired, back: micros(took), extra, own, lost })
    }

    /// A packet is lost on the way.
    pub fn lost(&mut self, now: Instant, frame: &[u8]) {
        let Ok(Decoded::Tcp(packet)) = wire::decode(frame, false) else { return };
        if !packet.payload.is_empty() {
            let way = self.0.entry((packet.envelope.src, packet.envelope.dst)).or_default();
            let first = packet.seg.seq;
            if way.lost.is_none_or(|(seq, _)| first.lt(seq)) {
                way.lost = Some((first, now));
            }
        }
    }
}

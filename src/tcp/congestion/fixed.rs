//! What if the window never changed? For experiments.

use super::{AckSample, CongestionControl, CongestionEvent};
use crate::time::Instant;

/// A constant window.
pub(super) struct Fixed(u32);

impl Fixed {
    pub(super) fn new(cwnd: u32) -> Fixed {
        Fixed(cwnd)
    }
}

impl CongestionControl for Fixed {
    fn on_ack(&mut self, _: &AckSample) {}
    fn on_congestion(&mut self, _: Instant, _: CongestionEvent, _: u32, _: u32) {}
    fn on_mss(&mut self, from: u32, to: u32) {
        self.0 = super::resized(self.0, from, to);
    }
    fn on_spurious(&mut self) {}
    fn on_idle(&mut self, _: u32, _: u32) {}
    fn cwnd(&self) -> u32 {
        self.0
    }
    fn ssthresh(&self) -> u32 {
        u32::MAX
    }
}

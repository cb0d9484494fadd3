//! What if losses changed nothing? A window that grows with what is delivered and never shrinks: near enough to senders that go by
//! the rate they measure (BBR), as long as the path has room.

use crate::tcp::congestion::{AckSample, CongestionControl, CongestionEvent, Custom, Start};
use crate::time::Instant;

/// As `tcp.congestion` has it.
pub(super) const STEADY: Custom = Custom { name: "steady", new: |start| Box::new(Steady::new(start)) };

/// No window is larger (RFC 7323 §2.3).
const MOST: u32 = 1 << 30;

struct Steady(u32);

impl Steady {
    fn new(start: &Start<'_>) -> Steady {
        Steady(start.cwnd)
    }
}

impl CongestionControl for Steady {
    fn on_ack(&mut self, ack: &AckSample) {
        if ack.may_grow {
            self.0 = self.0.saturating_add(ack.delivered).min(MOST);
        }
    }

    fn on_congestion(&mut self, _: Instant, _: CongestionEvent, _: u32, _: u32) {}

    fn on_spurious(&mut self) {}

    fn on_idle(&mut self, _: u32, _: u32) {}

    fn cwnd(&self) -> u32 {
        self.0
    }

    fn ssthresh(&self) -> u32 {
        u32::MAX
    }
}

//! A congestion control of one's own against CUBIC over the same bad network, in virtual time.

use std::error::Error;
use tcpglass::sim::{World, host_config};
use tcpglass::tcp::congestion::{AckSample, CongestionControl, CongestionEvent, Custom, Start};
use tcpglass::tcp::{Config, Congestion};
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;

/// Aims at a queue of some segments, as TCP Vegas does: the round trip tells how long the queue is. Takes losses for
/// chance unless the timer expires.
struct QueueOf {
    target: u32,
    cwnd: u32,
    shortest: Option<Duration>,
    counted: u32,
}

impl QueueOf {
    fn start(start: &Start) -> Box<dyn CongestionControl> {
        Box::new(QueueOf { target: 20, cwnd: start.cwnd, shortest: None, counted: 0 })
    }
}

impl CongestionControl for QueueOf {
    fn on_ack(&mut self, ack: &AckSample) {
        let Some(rtt) = ack.rtt else { return };
        let shortest = self.shortest.map_or(rtt, |s| s.min(rtt));
        self.shortest = Some(shortest);
        // Once per window.
        self.counted += ack.acked;
        if self.counted < self.cwnd || !ack.may_grow {
            return;
        }
        self.counted = 0;
        let queued =
            u64::from(self.cwnd) * (rtt - shortest).as_micros() as u64 / rtt.as_micros().max(1) as u64;
        let target = u64::from(self.target * ack.mss);
        self.cwnd = match queued {
            0 => self.cwnd.saturating_mul(2).min(1 << 30),
            q if q < target => self.cwnd + ack.mss,
            _ => self.cwnd.saturating_sub(ack.mss).max(2 * ack.mss),
        };
    }

    fn on_congestion(&mut self, _: Instant, event: CongestionEvent, _: u32, mss: u32) {
        if event == CongestionEvent::Rto {
            self.cwnd = (self.cwnd / 2).max(2 * mss);
        }
    }

    fn on_spurious(&mut self) {}

    fn on_idle(&mut self, window: u32, _: u32) {
        self.cwnd = self.cwnd.min(window);
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        u32::MAX
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let own = Congestion::Custom(Custom { name: "queue-of-20", new: QueueOf::start });
    for congestion in [Congestion::Cubic, own] {
        let config = Config { congestion, ..Config::linux() };
        let mut world = World::new(42, "rtt=50ms,bandwidth=20mbit,queue=200,loss=0.5%".parse()?);
        let [here, there] = [("client", [10, 0, 0, 1].into()), ("server", [10, 0, 0, 2].into())]
            .map(|(name, addr)| world.add_host(name, host_config(addr, config.clone()), Tracer::default()));
        let (from, to) = world.pair(here, there, ([10, 0, 0, 2], 80))?;
        let bytes = world.transfer(from, to, &vec![7; 4 << 20])?.len();
        let seconds = world.now().since(Instant::ZERO).as_secs_f64();
        println!("{congestion:?}: {bytes} bytes in {seconds:.1} s, {:?}", world.link_totals(here, there));
    }
    Ok(())
}

//! How many packets a second cross the simulator? Two hosts, one of which sends as much as the other takes, and no trace.

use super::{cpu, ours};
use std::time::Duration;
use tcpglass::sim::{LinkConfig, World, host_config};
use tcpglass::tcp;
use tcpglass::trace::Tracer;

/// What goes by before it counts: windows are open then.
const WARM: Duration = Duration::from_millis(500);
/// Virtual time between two looks at the processor's.
const STEP: Duration = Duration::from_millis(20);

/// Packets of the wire, acknowledgments included, in each second of the processor's, for so many of these seconds; with `offload`
/// hosts send and receive super-segments, and the link carries their packets.
pub fn packets_per_second(seconds: f64, offload: bool) -> f64 {
    let link = LinkConfig { rtt: Duration::from_millis(2), ..LinkConfig::default() };
    let mut world = World::new(1, link);
    let mut host = |n: u8| {
        let config = host_config([10, 0, 0, n].into(), tcp::Config::linux());
        world.add_host(&format!("host {n}"), config, Tracer::default())
    };
    let (sender, receiver) = (host(1), host(2));
    for host in [sender, receiver] {
        world.set_offload(host, offload);
    }
    let addr = ([10, 0, 0, 2], 7).into();
    world.add_service(receiver, Box::new(ours::Bulk::new(addr, false)));
    world.add_service(sender, Box::new(ours::Bulk::connecting(addr, true)));
    world.run_for(WARM);
    let (packets, started) = (world.packets(), cpu::of("self"));
    let mut used = 0.0;
    while used < seconds {
        world.run_for(STEP);
        used = (cpu::of("self") - started) as f64 / 1e9;
    }
    (world.packets() - packets) as f64 / used
}

//! What do several connections take from one?

use super::case::Case;
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::sim::Socket;
use crate::stream::ByteStream;
use crate::time::Duration;
use std::net::SocketAddr;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "fairness",
    question: "Which part of a link do several connections get beside a single one?",
    claims: &[Claim {
        name: "unfair",
        says: "several connections take the share of several users",
        source: "RFC 2616 §8.1.4, RFC 2914 §3",
    }],
    axes: &[Axis { name: "connections", values: "1,2,4,6,8,16" }, Axis { name: "lasts", values: "30s" }],
    tun: &[],
    turns: &[&[
        "tcp.init_cwnd",
        "tcp.congestion",
        "tcp.ack_adaptive",
        "tcp.nagle",
        "tcp.slow_start_after_idle",
        "link.rtt",
        "link.bandwidth",
        "link.queue",
    ]],
    holds: &[
        ("tcp.mss", "auto"),
        ("tcp.sack", "on"),
        ("tcp.rack", "on"),
        ("tcp.fast_retransmit", "on"),
        ("tcp.timestamps", "on"),
        ("tcp.ack_delay", "40ms"),
    ],
    plot: Plot::over("connections", "share", (false, false)),
    run,
};

/// How often both ends are looked at.
const LOOK: Duration = Duration::from_millis(30);

/// Flows of one kind on one path lose alike, and halve alike: n of them get n parts of n + 1 in the long run. Within half
/// a minute the odds are half to double of that.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let mut cases = Vec::new();
    let (lasts, lasts_text) = lab.one_duration("lasts", Duration::from_secs(10), Duration::from_secs(600))?;
    for (connections, text) in lab.numbers("connections", 1_u16, 64)? {
        let knobs = [
            ("tcp.init_cwnd", "10"),
            ("tcp.congestion", "newreno"),
            ("tcp.ack_adaptive", "off"),
            ("tcp.nagle", "off"),
            ("tcp.slow_start_after_idle", "off"),
            ("link.rtt", "20ms"),
            ("link.bandwidth", "10mbit"),
            ("link.queue", "40"),
        ];
        let mut arm = lab.arm(&[("lasts", &lasts_text), ("connections", &text)], &knobs)?;
        let mut pairs: Vec<(Socket, Socket)> = Vec::new();
        for n in 0..=connections {
            let address = SocketAddr::new(arm.addrs.server, 8000 + n);
            pairs.push(arm.world.pair(arm.client, arm.server, address)?);
        }
        let starts: Vec<_> = pairs.iter().map(|(_, far)| arm.begin(*far)).collect();
        let (mut got, mut buf, data) = (vec![0_u64; pairs.len()], vec![0; 64 << 10], vec![b'x'; 64 << 10]);
        let end = arm.now() + lasts;
        while arm.now() < end {
            arm.pass(LOOK);
            let now = arm.now();
            for (n, (near, far)) in pairs.iter().enumerate() {
                while let Ok(1..) = arm.world.stack(far.host).stream(now, far.id).write(&data) {}
                while let Ok(read @ 1..) = arm.world.stack(near.host).stream(now, near.id).read(&mut buf) {
                    got[n] += read as u64;
                }
            }
        }
        for ((_, far), start) in pairs.into_iter().zip(starts) {
            arm.over(far, start);
        }
        let all: u64 = got.iter().sum();
        let rate = 8.0 * all as f64 / lasts.as_secs_f64();
        let share = 1.0 - got[0] as f64 / all.max(1) as f64;
        let n = f64::from(connections);
        let part = |odds: f64| Quantity::Share(odds / (1.0 + odds));
        arm.between("share", Quantity::Share(share), part(n / 2.0), part(n * 2.0));
        arm.note("of as many users", part(n));
        arm.note("all together", Quantity::Rate(rate));
        // Nearer to what as many users would get than to the half of one.
        let fair = n / (n + 1.0);
        if connections > 1 {
            let held = share > (0.5 + fair) / 2.0;
            cases.push(Case::new(held, Quantity::Share(share), format!("{connections} connections")));
        }
        lab.record(arm)?;
    }
    lab.judge("unfair", "of the bandwidth beside one other connection", &cases);
    Ok(())
}

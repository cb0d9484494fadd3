//! Does a transfer cross a path that carries less than its ends believe, told or not?

use super::{LONG, bytes};
use std::net::{IpAddr, SocketAddr};
use tcpglass::sim::{HostId, SimError, World, host_config};
use tcpglass::tcp::{Config, MtuProbing};
use tcpglass::trace::{Direction, Tracer};

struct Outcome {
    result: Result<Vec<u8>, SimError>,
    /// Milliseconds of virtual time.
    took: u128,
    world: World,
    sender: HostId,
}

impl Outcome {
    fn sent(&mut self, word: &str) -> u64 {
        let counts = self.world.stack(self.sender).tracer().counts();
        let rows = counts.rows.iter().filter(|(w, way, _)| *w == word && *way == Direction::Out);
        rows.map(|(.., n)| n).sum()
    }
}

/// Sends 300,000 bytes over IPv4 or IPv6.
fn transfer(six: bool, link: &str, cfg: &Config) -> Outcome {
    let mut world = World::new(7, link.parse().unwrap());
    world.check_invariants(true);
    let ips: [IpAddr; 2] =
        if six { ["fd00::1", "fd00::2"] } else { ["10.0.0.1", "10.0.0.2"] }.map(|ip| ip.parse().unwrap());
    let [a, b] =
        ips.map(|ip| world.add_host(&ip.to_string(), host_config(ip, cfg.clone()), Tracer::default()));
    let (here, there) = world.pair(a, b, SocketAddr::new(ips[1], 80)).unwrap();
    let before = world.now();
    let result = world.transfer(here, there, &bytes(300_000));
    let took = world.now().since(before).as_millis();
    Outcome { result, took, world, sender: a }
}

fn config(mtu_probing: MtuProbing) -> Config {
    Config { mtu_probing, retries: 6, ..Config::linux() }
}

#[test]
fn a_router_that_says_what_fits_costs_a_round_trip() {
    for six in [false, true] {
        let mut it = transfer(six, "rtt=20ms,mtu=1400", &config(MtuProbing::Off));
        assert!(it.result.as_ref().unwrap() == &bytes(300_000));
        assert!(it.took < 400, "{} ms", it.took);
        assert!(it.sent("mtu-retransmit") > 0 && it.sent("rto") == 0);
    }
}

#[test]
fn a_black_hole_swallows_a_transfer_that_believes_the_link() {
    for six in [false, true] {
        let it = transfer(six, "rtt=20ms,mtu=1400,mtu_icmp=off", &config(MtuProbing::Off));
        assert!(it.result.is_err(), "{} ms", it.took);
        assert!(it.took < LONG.as_millis());
    }
}

#[test]
fn with_probing_a_black_hole_costs_four_timeouts_and_the_size_that_fits_is_found() {
    for six in [false, true] {
        let mut it = transfer(six, "rtt=20ms,mtu=1400,mtu_icmp=off", &config(MtuProbing::OnBlackHole));
        assert!(it.result.as_ref().unwrap() == &bytes(300_000));
        assert!((3000..4500).contains(&it.took), "{} ms", it.took);
        assert!(it.sent("mtu-probe") >= 5, "{}", it.sent("mtu-probe"));
        // Nothing but the probes that were too large, and what the timer repeated, was sent again.
        assert!(it.sent("mtu-retransmit") > 0);
        assert_eq!(it.sent("sack-retransmit") + it.sent("rack"), 0);
        // 1400 bytes are found but for eight.
        let words = it.sent("data");
        assert!(words < 260, "{words} segments");
    }
}

#[test]
fn a_path_that_shrinks_below_the_base_is_found_by_halving() {
    let mut it = transfer(false, "rtt=20ms,mtu=600,mtu_icmp=off", &config(MtuProbing::OnBlackHole));
    assert!(it.result.as_ref().unwrap() == &bytes(300_000));
    assert!(it.sent("rto") > 3);
}

#[test]
fn probing_from_the_beginning_reaches_the_links_own_size_without_a_loss() {
    let mut it = transfer(false, "rtt=20ms", &config(MtuProbing::Always));
    assert!(it.result.as_ref().unwrap() == &bytes(300_000));
    // Halving four times leads from 1024 to 1470 of 1500 bytes; then the transfer is over.
    assert!(it.sent("mtu-probe") >= 4, "{}", it.sent("mtu-probe"));
    assert_eq!(it.sent("mtu-retransmit") + it.sent("rto") + it.sent("tail-loss-probe"), 0);
    assert!(it.sent("data") < 260, "{}", it.sent("data"));
}

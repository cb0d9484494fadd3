//! What does a connection cost that does nothing?

#[path = "../../benches/crowd.rs"]
mod crowd;

use super::hosts::{Hosts, families};
use crowd::Crowd;
use tcpglass::tcp::{self, Shutdown};
use tcpglass::time::Duration;

/// How many there are when it is looked at what they cost. A table that doubles is emptiest right behind a power of two.
const COUNTS: [i64; 9] = [1000, 1025, 1500, 2049, 3000, 4097, 5000, 8193, 12_000];

/// What a host needs that has been in use is there before it is measured.
const WARM: i64 = 10;

fn warm_up<T>(hosts: &mut T, mut add: impl FnMut(&mut T), mut rest: impl FnMut(&mut T)) {
    (0..WARM).for_each(|_| add(hosts));
    rest(hosts);
}

/// Bytes each, at the worst of all counts, of what `add` makes one more of and `rest` leaves alone.
fn worst<T>(counts: &[i64], hosts: &mut T, mut add: impl FnMut(&mut T), mut rest: impl FnMut(&mut T)) -> i64 {
    let (mut bytes, mut count) = (0, 0);
    let each = counts.iter().map(|&until| {
        let info = allocation_counter::measure(|| {
            (count..until).for_each(|_| add(hosts));
            rest(hosts);
        });
        (count, bytes) = (until, bytes + info.bytes_current);
        bytes / count + 1
    });
    each.max().unwrap()
}

/// A connection that has carried a request and its answer.
fn used_connection(hosts: &mut Hosts) -> [tcpglass::stack::ConnId; 2] {
    let ids = hosts.connection();
    for (from, bytes) in [(0, 200), (1, 900)] {
        let mut buf = [7; 1000];
        assert_eq!(hosts.write(from, ids, &buf[..bytes]), bytes);
        assert_eq!(hosts.read(from, ids, &mut buf), bytes);
    }
    ids
}

fn rest(hosts: &mut Hosts) {
    hosts.now += Duration::from_secs(10);
    hosts.settle();
}

#[test]
fn a_connection_at_rest_costs_less_than_a_kibibyte() {
    for pair in families() {
        let mut hosts = Hosts::new(pair, &tcp::Config::linux());
        let add = |hosts: &mut Hosts| {
            used_connection(hosts);
        };
        warm_up(&mut hosts, add, rest);
        // Both ends of each are here.
        let each = worst(&COUNTS, &mut hosts, add, rest) / 2 + 1;
        println!("{pair:?}: {each} bytes a connection at rest");
        assert!(each < 1024, "{pair:?}: {each} bytes");
    }
}

#[test]
fn a_connection_in_time_wait_costs_less_than_100_bytes() {
    let hour = Duration::from_secs(3600);
    let tcp = tcp::Config { time_wait: hour, ..tcp::Config::linux() };
    for pair in families() {
        let mut hosts = Hosts::new(pair, &tcp);
        let add = |hosts: &mut Hosts| {
            let [client, server] = used_connection(hosts);
            hosts.stacks[0].shutdown(hosts.now, client, Shutdown::Both);
            hosts.settle();
            hosts.stacks[1].release(hosts.now, server);
            hosts.settle();
            hosts.stacks[0].release(hosts.now, client);
            hosts.settle();
        };
        warm_up(&mut hosts, add, rest);
        let each = worst(&COUNTS, &mut hosts, add, rest);
        assert_eq!(hosts.stacks[0].time_waits() as i64, WARM + COUNTS[COUNTS.len() - 1]);
        println!("{pair:?}: {each} bytes a connection in TIME-WAIT");
        assert!(each < 100, "{pair:?}: {each} bytes");
    }
}

/// The stack's side and the server's. TCPGLASS_LONG=1 has 100,000 of them.
#[test]
fn a_kept_http_connection_between_two_requests_costs_less_than_a_kibibyte_with_all_that_the_server_has() {
    let long = std::env::var_os("TCPGLASS_LONG").is_some();
    let counts = [&COUNTS[..], if long { &[32_769, 65_537, 100_000] } else { &[] }].concat();
    let most = counts[counts.len() - 1];
    for six in [false, true] {
        let mut crowd = Crowd::new(six, (WARM + most) as usize);
        warm_up(&mut crowd, Crowd::join, Crowd::rest);
        let each = worst(&counts, &mut crowd, Crowd::join, Crowd::rest);
        assert_eq!(crowd.connected() as i64, WARM + most);
        println!(
            "{}: {each} bytes a kept HTTP connection, of up to {most}",
            if six { "IPv6" } else { "IPv4" }
        );
        assert!(each < 1024, "{each} bytes");
    }
}

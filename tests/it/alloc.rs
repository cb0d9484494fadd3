//! Does a packet cost an allocation? In the steady state it must not.

use super::hosts::{Hosts, families};
use tcpglass::stack::ConnId;
use tcpglass::tcp;
use tcpglass::time::Duration;

struct Pair {
    hosts: Hosts,
    conns: [ConnId; 2],
}

impl Pair {
    fn new() -> Pair {
        let mut hosts = Hosts::new(families()[0], &tcp::Config::linux());
        let conns = hosts.connection();
        Pair { hosts, conns }
    }

    /// `n` bytes from one side to the other, read as they come.
    fn send(&mut self, from: usize, n: usize, buf: &mut [u8]) {
        let (mut written, mut read) = (0, 0);
        while read < n {
            let want = (n - written).min(buf.len());
            if want > 0 {
                written += self.hosts.write(from, self.conns, &buf[..want]);
            }
            read += self.hosts.read(from, self.conns, buf);
            self.hosts.now += Duration::from_millis(50);
        }
    }
}

#[test]
fn a_request_and_its_answer_allocate_nothing() {
    let (mut pair, mut buf) = (Pair::new(), vec![0; 60_000]);
    let mut exchanges = |count: u32| {
        for _ in 0..count {
            pair.send(0, 100, &mut buf);
            pair.send(1, 200, &mut buf);
        }
        pair.hosts.packets
    };
    exchanges(100);
    let info = allocation_counter::measure(|| {
        exchanges(1000);
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn bulk_data_allocates_nothing() {
    let (mut pair, mut buf) = (Pair::new(), vec![0; 60_000]);
    // Until the buffers have grown to their limits.
    (0..16).for_each(|_| pair.send(0, 4 << 20, &mut buf));
    let before = pair.hosts.packets;
    let info = allocation_counter::measure(|| pair.send(0, 4 << 20, &mut buf));
    assert!(pair.hosts.packets - before > 3000);
    assert_eq!(info.count_total, 0, "{} packets, {info:?}", pair.hosts.packets - before);
}

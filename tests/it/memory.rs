//! What does a connection cost that does nothing?

use std::net::{IpAddr, SocketAddr};
use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{self, ConnId, ListenerId, Owner, Stack};
use tcpglass::stream::ByteStream;
use tcpglass::tcp::{self, Shutdown};
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;

const OWNER: Owner = Owner(1);
/// As many as fit into a hash table of 16,384 places: what tables hold in reserve is shared by all.
const COUNT: usize = 14_336;

struct Hosts {
    now: Instant,
    stacks: [Stack; 2],
    devices: [QueueDevice; 2],
    frame: Vec<u8>,
}

impl Hosts {
    fn new(addrs: [IpAddr; 2]) -> Hosts {
        let host = |n: usize| {
            let config = stack::Config {
                tcp: tcp::Config { time_wait: Duration::from_secs(3600), ..tcp::Config::linux() },
                addrs: vec![(addrs[n], if addrs[n].is_ipv4() { 24 } else { 64 })],
                gateways: vec![],
                mtu: 1500,
                seed: n as u64,
                dns: vec![],
            };
            Stack::new(config, Tracer::default())
        };
        let devices = [QueueDevice::new(1500, 64), QueueDevice::new(1500, 64)];
        Hosts { now: Instant::from_millis(1), stacks: [host(0), host(1)], devices, frame: Vec::new() }
    }

    fn settle(&mut self) {
        loop {
            let mut busy = false;
            for (stack, device) in std::iter::zip(&mut self.stacks, &mut self.devices) {
                busy |= stack.poll(|| self.now, device, 64);
                while stack.ready(OWNER).is_some() {}
            }
            for from in 0..2 {
                while self.devices[from].pop(&mut self.frame).is_some() {
                    self.devices[1 - from].push(&self.frame);
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn say(&mut self, from: usize, ids: [ConnId; 2], n: usize) {
        let mut buf = [7; 1000];
        assert_eq!(self.stacks[from].stream(self.now, ids[from]).write(&buf[..n]), Ok(n));
        self.settle();
        assert_eq!(self.stacks[1 - from].stream(self.now, ids[1 - from]).read(&mut buf), Ok(n));
        self.settle();
    }

    /// A connection that has carried a request and its answer.
    fn used_connection(&mut self, listener: ListenerId, remote: SocketAddr) -> [ConnId; 2] {
        let client = self.stacks[0].connect(self.now, remote, None, None, OWNER).unwrap();
        self.settle();
        let ids = [client, self.stacks[1].accept(listener, OWNER).unwrap().id];
        self.say(0, ids, 200);
        self.say(1, ids, 900);
        ids
    }
}

fn addrs() -> [[IpAddr; 2]; 2] {
    let v6 = |n: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]);
    [[[10, 0, 0, 1].into(), [10, 0, 0, 2].into()], [v6(1), v6(2)]]
}

#[test]
fn a_connection_at_rest_costs_less_than_a_kibibyte() {
    for pair in addrs() {
        let mut hosts = Hosts::new(pair);
        let remote = SocketAddr::new(pair[1], 80);
        let listener = hosts.stacks[1].listen(remote, None, OWNER).unwrap();
        let info = allocation_counter::measure(|| {
            for _ in 0..COUNT {
                hosts.used_connection(listener, remote);
            }
            hosts.now += Duration::from_secs(10);
            hosts.settle();
        });
        let each = info.bytes_current / (2 * COUNT as i64);
        println!("{pair:?}: {each} bytes a connection at rest");
        assert!(each < 1024, "{pair:?}: {each} bytes");
    }
}

#[test]
fn a_connection_in_time_wait_costs_less_than_100_bytes() {
    for pair in addrs() {
        let mut hosts = Hosts::new(pair);
        let remote = SocketAddr::new(pair[1], 80);
        let listener = hosts.stacks[1].listen(remote, None, OWNER).unwrap();
        let info = allocation_counter::measure(|| {
            for _ in 0..COUNT {
                let [client, server] = hosts.used_connection(listener, remote);
                hosts.stacks[0].shutdown(hosts.now, client, Shutdown::Both);
                hosts.settle();
                hosts.stacks[1].release(hosts.now, server);
                hosts.settle();
                hosts.stacks[0].release(hosts.now, client);
                hosts.settle();
            }
        });
        assert_eq!(hosts.stacks[0].time_waits(), COUNT);
        let each = info.bytes_current / COUNT as i64;
        println!("{pair:?}: {each} bytes a connection in TIME-WAIT");
        assert!(each < 100, "{pair:?}: {each} bytes");
    }
}

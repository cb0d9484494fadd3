//! Does a packet cost an allocation? In the steady state it must not.

use super::hosts::{Hosts, OWNER, families};
use tcpglass::service::{HttpServer, Service, Site};
use tcpglass::stack::{ConnId, Owner};
use tcpglass::stream::ByteStream;
use tcpglass::time::Duration;
use tcpglass::{http, tcp};

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

#[test]
fn a_kept_connection_s_http_request_allocates_nothing() {
    for request in [
        "GET /bytes/200 HTTP/1.1\r\nHost: glass\r\n\r\n",
        "GET /bytes/200 HTTP/1.1\r\nHost: glass\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
        "HEAD /bytes/200 HTTP/1.1\r\nHost: glass\r\n\r\n",
    ] {
        let mut hosts = Hosts::new(families()[0], &tcp::Config::linux());
        let addr = (families()[0][1], 8080).into();
        let (owner, site) = (Owner(3), Site { root: None });
        let mut server = HttpServer::new(owner, vec![addr], site, http::Config::default());
        server.poll(hosts.now, &mut hosts.stacks[1]);
        let client = hosts.stacks[0].connect(hosts.now, addr, None, None, OWNER).unwrap();
        hosts.settle();
        let mut buf = [0; 1000];
        let mut exchanges = |count: u32| {
            for _ in 0..count {
                let mut stream = hosts.stacks[0].stream(hosts.now, client);
                assert_eq!(stream.write(request.as_bytes()), Ok(request.len()));
                hosts.settle();
                server.poll(hosts.now, &mut hosts.stacks[1]);
                hosts.settle();
                let answer = hosts.stacks[0].stream(hosts.now, client).read(&mut buf).unwrap();
                assert!(buf[..answer].starts_with(b"HTTP/1.1 200 OK\r\n"));
                hosts.now += Duration::from_millis(1);
                hosts.settle();
            }
        };
        exchanges(100);
        // Less than a second: the text of the date is made once in each.
        let info = allocation_counter::measure(|| exchanges(500));
        let dates = 2;
        assert!(info.count_total <= dates, "{request:?}: {info:?}");
    }
}

//! Who is served where there are as many connections as there may be? Slow clients give way, in virtual time.

use super::proxy::{in_front, proxy};
use super::*;
use tcpglass::service::ProxyKind;

const TENTH: Duration = Duration::from_millis(100);

/// Clients that hold all places of a server, or of a proxy in front of it, and what they do each tenth of a second.
struct Siege {
    net: Net,
    target: SocketAddr,
    slow: Vec<Socket>,
}

impl Siege {
    /// `n` clients say this first; there are four places.
    fn new(kind: Option<ProxyKind>, n: usize, first: &[u8]) -> Siege {
        let limit = |c: &mut Config| c.max_connections = 4;
        let mut net = if kind.is_some() { Net::new(|_| {}) } else { Net::new(limit) };
        if let Some(kind) = kind {
            in_front(&mut net, kind, |options| {
                options.http.max_connections = 4;
                options.tunnels = vec![80..=80];
            });
        }
        let target = if kind.is_some() { proxy() } else { address() };
        let mut siege = Siege { net, target, slow: Vec::new() };
        for _ in 0..n {
            let socket = siege.net.world.connect(siege.net.client, siege.target).unwrap();
            siege.net.world.write_all(socket, first).unwrap();
            siege.slow.push(socket);
        }
        siege
    }

    /// Eight requests, one a second, each on a connection of its own, while the others go on; how long each took.
    fn ask(&mut self, mut slowly: impl FnMut(&mut World, Socket)) -> Vec<Duration> {
        let mut took = Vec::new();
        for _ in 0..8 {
            let begun = self.net.world.now();
            let socket = self.net.world.connect(self.net.client, self.target).unwrap();
            let request = b"GET http://10.77.0.2/bytes/10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            self.net.world.write_all(socket, request).unwrap();
            while self.net.world.readable(socket) == 0 {
                self.net.world.run_for(TENTH);
                for &slow in &self.slow {
                    slowly(&mut self.net.world, slow);
                }
                assert!(self.net.world.now().since(begun) < MINUTE, "nobody answers");
            }
            took.push(self.net.world.now().since(begun));
            let answer = String::from_utf8(self.net.world.read_to_end(socket).unwrap()).unwrap();
            assert_eq!((status(&answer), body(&answer)), ("200", "0000000000"), "{answer}");
            self.net.world.run_for(SECOND);
        }
        took
    }

    /// What became of the slow ones: how many were reset, and how many have what they were told.
    fn told(&mut self) -> (usize, Vec<String>) {
        let (mut reset, mut told) = (0, Vec::new());
        for &socket in &self.slow {
            if self.net.world.state(socket) == tcp::State::Established {
                continue;
            }
            match self.net.world.read_to_end(socket) {
                Ok(bytes) => told.push(String::from_utf8_lossy(&bytes).into_owned()),
                Err(_) => reset += 1,
            }
        }
        (reset, told)
    }
}

const DOWNLOAD: &[u8] = b"GET http://10.77.0.2/bytes/100000000 HTTP/1.1\r\nHost: a\r\n\r\n";
const UPLOAD: &[u8] =
    b"POST http://10.77.0.2/slow-read?gap=1ms HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";

/// What anybody waits for at most: twice a second of patience, since what was fast at first does not count in the next.
const SOON: Duration = Duration::from_millis(2100);

#[test]
fn who_takes_a_few_bytes_a_second_gives_way_to_who_asks_at_server_and_proxy() {
    for kind in [None, Some(ProxyKind::Smart)] {
        let mut siege = Siege::new(kind, 4, DOWNLOAD);
        let took = siege.ask(|world, socket| {
            let _ = world.read_exact(socket, &mut [0; 4]);
        });
        assert!(took.iter().all(|t| *t < SOON), "{kind:?} {took:?}");
        // What they have must not be taken for the whole.
        let (reset, told) = siege.told();
        assert!((1..=4).contains(&reset) && told.is_empty(), "{kind:?} {reset} {told:?}");
    }
}

#[test]
fn who_sends_a_few_bytes_a_second_is_answered_408_for_who_asks_rfc_9110_15_5_9() {
    for kind in [None, Some(ProxyKind::Smart)] {
        let mut siege = Siege::new(kind, 4, UPLOAD);
        // More than http.min_rate, which they would meet for ever.
        let took = siege.ask(|world, socket| {
            let _ = world.write_all(socket, &[b'x'; 30]);
        });
        assert!(took.iter().all(|t| *t < SOON), "{kind:?} {took:?}");
        let (reset, told) = siege.told();
        assert!(reset == 0 && !told.is_empty(), "{kind:?} {reset} {told:?}");
        assert!(told.iter().all(|answer| answer.starts_with("HTTP/1.1 408 ")), "{kind:?} {told:?}");
    }
}

#[test]
fn the_more_wait_the_less_patience_there_is_so_that_nobody_waits_long() {
    // A hundred for four places: with a second for each it would be 25 seconds.
    let mut siege = Siege::new(None, 100, UPLOAD);
    let took = siege.ask(|world, socket| {
        let _ = world.write_all(socket, b"x");
    });
    assert!(took[0] < SECOND * 4, "{took:?}");
    assert!(took[1..].iter().all(|t| *t < SOON), "{took:?}");
}

#[test]
fn a_head_that_is_never_complete_is_answered_408_for_who_asks() {
    let mut siege = Siege::new(None, 4, b"GET / HTTP/1.1\r\nHost: a\r\n");
    let took = siege.ask(|world, socket| {
        let _ = world.write_all(socket, b"X: y\r\n");
    });
    assert!(took.iter().all(|t| *t < SOON), "{took:?}");
    let (_, told) = siege.told();
    assert!(told.iter().any(|answer| answer.starts_with("HTTP/1.1 408 ")), "{told:?}");
}

#[test]
fn a_tunnel_that_trickles_gives_way_after_four_times_the_patience() {
    let connect = b"CONNECT 10.77.0.2:80 HTTP/1.1\r\nHost: 10.77.0.2:80\r\n\r\n";
    let mut siege = Siege::new(Some(ProxyKind::Smart), 4, connect);
    let took = siege.ask(|world, socket| {
        let _ = world.write_all(socket, b"x");
    });
    assert!(took.iter().all(|t| *t < SECOND * 6), "{took:?}");
    assert!(siege.told().0 >= 1);
}

#[test]
fn who_asks_for_what_takes_long_gives_way_after_four_times_the_patience_with_503_or_a_reset() {
    for (kind, page, is_reset) in [
        (None, "/delay/600000", false),
        (None, "/drip?chunks=100000&gap=100ms", true),
        (Some(ProxyKind::Smart), "/delay/600000", false),
    ] {
        let asks = format!("GET http://10.77.0.2{page} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut siege = Siege::new(kind, 4, asks.as_bytes());
        let took = siege.ask(|_, _| {});
        assert!(took.iter().all(|t| *t < SECOND * 5), "{kind:?} {page} {took:?}");
        let (reset, told) = siege.told();
        assert_eq!(is_reset, reset >= 1, "{kind:?} {page} {reset} {told:?}");
        assert!(is_reset || told.iter().any(|answer| answer.starts_with("HTTP/1.1 503 ")), "{told:?}");
    }
}

#[test]
fn who_says_nothing_to_a_dumb_proxy_gives_way() {
    let mut siege = Siege::new(Some(ProxyKind::Dumb), 4, b"GET http://");
    let took = siege.ask(|_, _| {});
    assert!(took.iter().all(|t| *t < SOON), "{took:?}");
}

#[test]
fn who_takes_what_comes_keeps_its_place_and_those_who_wait_in_vain_are_answered_503_rfc_9110_15_6_4() {
    let mut net = Net::new(|c| c.max_connections = 2);
    // Two that take 100 kB a second, for twenty seconds.
    let busy: Vec<Socket> = (0..2).map(|_| net.connect()).collect();
    for &socket in &busy {
        net.world.write_all(socket, b"GET /bytes/4000000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    net.world.run_for(SECOND * 2);
    let asked = net.world.now();
    let (newcomer, silent) = (net.connect(), net.connect());
    net.world.write_all(newcomer, b"HEAD /bytes/10 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut buf = vec![0; 10_000];
    while net.world.readable(newcomer) == 0 {
        for &socket in &busy {
            net.world.read_exact(socket, &mut buf).unwrap();
        }
        net.world.run_for(TENTH);
    }
    let waited = net.world.now().since(asked);
    assert!((SECOND * 5..SECOND * 6).contains(&waited), "http.busy_after: {waited:?}");
    let answer = String::from_utf8(net.world.read_to_end(newcomer).unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "no content for HEAD: {answer}");
    assert_eq!(net.world.read_to_end(silent).unwrap(), b"", "nothing was asked, nothing is answered");
    assert!(busy.iter().all(|&socket| net.world.state(socket) == tcp::State::Established));
}

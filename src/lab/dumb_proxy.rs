//! Why must a proxy not pass on what concerns a single connection?

use super::addrs::Addrs;
use super::arm::Arm;
use super::notebook::Notebook;
use super::web::serve;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::http::Origin;
use crate::ledger::Parts;
use crate::service::{Proxy, ProxyKind, ProxyOptions};
use crate::sim::{Net, TcpStream};
use crate::stack::Owner;
use crate::tcp::Shutdown;
use crate::time::{Duration, Spoken};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "dumb-proxy",
    question: "What becomes of the second request when a proxy passes on Connection: keep-alive without understanding it?",
    claims: &[
        Claim {
            name: "hang",
            says: "client and server keep their connections, the proxy waits for the server's close, and the second \
                   request hangs until a time-out",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §C.2.2",
        },
        Claim {
            name: "proxy-connection",
            says: "a client that says Proxy-Connection instead does not hang: a server behind a dumb proxy does not know it",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §C.2.2",
        },
        Claim {
            name: "proxy-connection-in-a-chain",
            says: "with a smart proxy, which knows Proxy-Connection, behind a dumb one the second request hangs all the same",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §C.2.2",
        },
        Claim {
            name: "smart-proxy",
            says: "a proxy that removes hop-by-hop fields does not hang",
            source: "RFC 9110 §7.6.1",
        },
    ],
    axes: &[Axis { name: "timeout", values: "5s,15s,75s" }],
    tun: &[],
    turns: &[&[
        "http.keepalive",
        "http.keepalive_max",
        "http.keepalive_timeout",
        "tcp.init_cwnd",
        "tcp.nagle",
        "link.rtt",
    ]],
    holds: &[],
    plot: Plot::bars("second request"),
    run,
};

/// Shorter than this the server would close before a proxy has passed anything on.
const LEAST: Duration = Duration::from_millis(200);
const RTT: Duration = Duration::from_millis(20);
const PORT: u16 = 8080;
/// How often a proxy of old looks at each of its connections.
const LOOK: Duration = Duration::from_millis(1);
/// A client that says nothing, since HTTP/1.1 keeps connections.
const NEWER: &str = "none, HTTP/1.1";
/// A dumb proxy whose next hop is a smart one.
const CHAIN: &str = "dumb, smart";

/// The first request takes a round trip for the connection to the proxy, one for the request and the response, and the
/// same between proxy and server. The dumb proxy does not look at the second request; it notices the server's close when
/// that one's idle time is over, and then closes, too. The idle time begins with the first response, which the client has
/// a round trip later than the server sent it; its end is told within as much. The smart one keeps both connections for
/// an HTTP/1.1 client: a round trip on each. A server that is not told Connection: keep-alive closes, and whoever
/// passes that on opens new ones. In the chain the smart proxy takes Proxy-Connection, which the dumb one has passed on, for
/// a wish of the dumb one's, and asks the server for a kept connection itself.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut hangs, mut spared, mut chained, mut smart) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (timeout, text) in lab.durations_from("timeout", LEAST)? {
        for (proxy, field) in [
            ("dumb", "Connection"),
            ("dumb", "Proxy-Connection"),
            ("smart", "Connection"),
            ("smart", "Proxy-Connection"),
            ("smart", NEWER),
            (CHAIN, "Proxy-Connection"),
        ] {
            let knobs = [
                ("http.keepalive", "on"),
                ("http.keepalive_max", "0"),
                ("http.keepalive_timeout", text.as_str()),
                ("tcp.init_cwnd", "10"),
                // The proxy passes on head and body in two writes.
                ("tcp.nagle", "off"),
                ("link.rtt", "20ms"),
            ];
            let mut arm = lab.arm(&[("proxy", proxy), ("field", field), ("timeout", &text)], &knobs)?;
            serve(&mut arm)?;
            match proxy {
                CHAIN => {
                    let next = SocketAddr::new(arm.addrs.proxies[1], PORT);
                    relay(&mut arm, ProxyKind::Dumb, Some(next))?;
                    smart_as_of_old(&mut arm)?;
                }
                "dumb" => relay(&mut arm, ProxyKind::Dumb, None)?,
                _ => relay(&mut arm, ProxyKind::Smart, None)?,
            }
            let (client, addrs) = (arm.client, arm.addrs);
            let task = arm.world.spawn(client, move |net| visit(net, addrs, field));
            let (first, second, answered, ledger) = arm.world.join(task)??;
            arm.spent(ledger);
            // Two round trips on each hop.
            let hops = if proxy == CHAIN { 3 } else { 2 };
            arm.time("first request", first, 2 * hops * RTT);
            let hung = matches!((proxy, field), ("dumb", "Connection") | (CHAIN, _));
            let (low, high) = match (proxy, field) {
                _ if hung => (timeout.saturating_sub(hops * RTT), timeout + hops * RTT),
                (_, NEWER) => (2 * RTT, 2 * RTT),
                // Both connections are new: the smart one keeps none with an HTTP/1.0 client (RFC 9112 §9.3), and its own
                // to the server ends with the client's.
                _ => (4 * RTT, 4 * RTT),
            };
            arm.between("second request", Quantity::Time(second), Quantity::Time(low), Quantity::Time(high));
            let word = |answered| Quantity::Word(if answered { "answered" } else { "lost" });
            arm.exactly("then", word(answered), word(!hung));
            let found = format!("{} after {}", word(answered), Spoken(second));
            let at = format!("idle time {text}");
            match (proxy, field) {
                ("dumb", "Connection") => hangs.push(arm.case(second >= low && !answered, found, at)),
                ("dumb", _) => spared.push(arm.case(answered && second <= high, found, at)),
                (CHAIN, _) => chained.push(arm.case(second >= low && !answered, found, at)),
                _ => {
                    let held = answered && second <= 4 * RTT;
                    smart.push(arm.case(held, found, format!("{field}, idle time {text}")));
                }
            }
            lab.record(arm)?;
        }
    }
    let measure = "the second request";
    lab.judge("hang", measure, &hangs);
    lab.judge("proxy-connection", measure, &spared);
    lab.judge("proxy-connection-in-a-chain", measure, &chained);
    lab.judge("smart-proxy", measure, &smart);
    Ok(())
}

/// Two requests, the second on the same connection if the response says that it is kept: how long each took, and
/// whether the second was answered; and what the time went to.
fn visit(net: &Net, addrs: &Addrs, field: &str) -> io::Result<(Duration, Duration, bool, Parts)> {
    let (version, line) = match field {
        NEWER => ("1.1", String::new()),
        _ => ("1.0", format!("{field}: keep-alive\r\n")),
    };
    let request = format!("GET http://{0}/bytes/100 HTTP/{version}\r\nHost: {0}\r\n{line}\r\n", addrs.host());
    let proxy = SocketAddr::new(addrs.proxies[0], PORT);
    let start = net.now();
    let mut stream = net.connect(proxy)?;
    stream.write_all(request.as_bytes())?;
    let head = head(&mut stream)?.to_ascii_lowercase();
    stream.read_exact(&mut [0; 100])?;
    let (first, start, mut ledger) = (net.now().since(start), net.now(), Parts::default());
    if head.contains("connection: close") || (version == "1.0" && !head.contains("connection: keep-alive")) {
        ledger += stream.ledger();
        stream = net.connect(proxy)?;
    }
    stream.write_all(request.as_bytes())?;
    let answered = self::head(&mut stream).is_ok_and(|head| head.starts_with("HTTP/1."));
    ledger += stream.ledger();
    Ok((first, net.now().since(start), answered, ledger))
}

/// Up to the empty line.
pub(super) fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The proxy is the one of `tcpglass proxy`; `next` is where it sends everything, else where the request says.
fn relay(arm: &mut Arm, kind: ProxyKind, next: Option<SocketAddr>) -> Result<(), LabError> {
    let addr = arm.addrs.proxies[0];
    let proxy = arm.host("proxy", addr);
    let upstream = next.map(|next| {
        let host = match next.ip() {
            IpAddr::V4(addr) => url::Host::Ipv4(addr),
            IpAddr::V6(addr) => url::Host::Ipv6(addr),
        };
        Origin { host, port: next.port() }
    });
    let http = arm.settings.http.clone();
    let options = ProxyOptions { http, upstream, ..ProxyOptions::new(kind) };
    let service = Proxy::new(Owner(1), vec![SocketAddr::new(addr, PORT)], options);
    arm.world.add_service(proxy, Box::new(service));
    arm.world.run_for(Duration::ZERO);
    Ok(())
}

/// A proxy that takes Proxy-Connection for its client's wish to be kept, as proxies did that knew it: it asks the server to be
/// kept, tells the client so, and keeps both connections as long as the server does.
fn smart_as_of_old(arm: &mut Arm) -> Result<(), LabError> {
    let (addr, web) = (arm.addrs.proxies[1], arm.addrs.web());
    let proxy = arm.host("proxy of old", addr);
    arm.world.spawn(proxy, move |net| -> io::Result<()> {
        let mut client = net.listen(PORT)?.accept()?.0;
        let mut server = net.connect(web)?;
        let looks = |stream: &mut TcpStream| -> io::Result<Option<usize>> {
            stream.set_read_timeout(Some(LOOK))?;
            let found = stream.read(&mut [0]);
            stream.set_read_timeout(None)?;
            match found {
                Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
                found => Ok(Some(found?)),
            }
        };
        loop {
            match looks(&mut client)? {
                // A request has begun.
                Some(1..) => {
                    let request = format!("G{}", head(&mut client)?);
                    server.write_all(request.replace("Proxy-Connection:", "Connection:").as_bytes())?;
                    let (answer, mut body) = (head(&mut server)?, [0; 100]);
                    server.read_exact(&mut body)?;
                    client.write_all(&[answer.as_bytes(), &body].concat())?;
                }
                Some(0) => return Ok(()),
                None if looks(&mut server)? == Some(0) => {
                    client.shutdown(Shutdown::Write)?;
                    return Ok(());
                }
                None => {}
            }
        }
    });
    arm.world.run_for(Duration::ZERO);
    Ok(())
}

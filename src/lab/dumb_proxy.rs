//! Why must a proxy not pass on what concerns a single connection?

use super::arm::{Arm, WEB};
use super::notebook::Notebook;
use super::web::serve;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::service::{Proxy, ProxyKind, ProxyOptions};
use crate::sim::{Net, TcpStream};
use crate::stack::Owner;
use crate::time::Duration;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

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
            name: "smart-proxy",
            says: "a proxy that removes hop-by-hop fields does not hang",
            source: "RFC 9110 §7.6.1",
        },
    ],
    axes: &[Axis { name: "timeout", values: "5s,15s,75s" }],
    tun: &[],
    turns: &[
        "http.keepalive",
        "http.keepalive_max",
        "http.keepalive_timeout",
        "tcp.init_cwnd",
        "tcp.nagle",
        "link.rtt",
    ],
    plot: Plot::bars("second request"),
    run,
};

const RTT: Duration = Duration::from_millis(20);
const PROXY: [u8; 4] = [10, 77, 0, 3];
const PORT: u16 = 8080;

/// The first request takes a round trip for the connection to the proxy, one for the request and the response, and the
/// same between proxy and server. The dumb proxy does not look at the second request; it notices the server's close when
/// that one's idle time is over, and then closes, too. The idle time begins with the first response, which the client has
/// a round trip later than the server sent it; its end is told within as much. The smart one has kept both connections: a
/// round trip on each. A server that is not told Connection: keep-alive closes, and whoever
/// passes that on opens new ones.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut hangs, mut spared, mut smart) = (Vec::new(), Vec::new(), Vec::new());
    for (timeout, text) in lab.durations("timeout")? {
        for (proxy, field) in [
            ("dumb", "Connection"),
            ("dumb", "Proxy-Connection"),
            ("smart", "Connection"),
            ("smart", "Proxy-Connection"),
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
            relay(&mut arm, if proxy == "dumb" { ProxyKind::Dumb } else { ProxyKind::Smart });
            let client = arm.client;
            let task = arm.world.spawn(client, move |net| visit(net, field));
            let (first, second, answered) = arm.world.join(task)??;
            arm.time("first request", first, 4 * RTT);
            let (low, high) = match (proxy, field) {
                ("dumb", "Connection") => (timeout - 2 * RTT, timeout + 2 * RTT),
                (_, "Connection") => (2 * RTT, 2 * RTT),
                // Both connections are new: the smart one's own to the server, too, which ends with the client's.
                _ => (4 * RTT, 4 * RTT),
            };
            let hung = (proxy, field) == ("dumb", "Connection");
            arm.between("second request", Quantity::Time(second), Quantity::Time(low), Quantity::Time(high));
            let word = |answered| Quantity::Word(if answered { "answered" } else { "lost" });
            arm.exactly("then", word(answered), word(!hung));
            match (proxy, field) {
                ("dumb", "Connection") => hangs.push(second >= low && !answered),
                ("dumb", _) => spared.push(answered && second <= high),
                (_, "Proxy-Connection") => {}
                _ => smart.push(answered && second == 2 * RTT),
            }
            lab.record(arm)?;
        }
    }
    let numbers = "the second request hangs for the server's whole idle time and is lost then".to_owned();
    lab.judge("hang", hangs, numbers);
    let numbers =
        "the server closes after the response, and so does the proxy: the second request has new connections";
    lab.judge("proxy-connection", spared, numbers.to_owned());
    lab.judge(
        "smart-proxy",
        smart,
        "answered in two round trips, one on each of the two kept connections, whatever the idle time"
            .to_owned(),
    );
    Ok(())
}

/// Two requests, the second on the same connection if the response says that it is kept: how long each took, and
/// whether the second was answered.
fn visit(net: &Net, field: &str) -> io::Result<(Duration, Duration, bool)> {
    let request =
        format!("GET http://{0}/bytes/100 HTTP/1.0\r\nHost: {0}\r\n{field}: keep-alive\r\n\r\n", WEB.ip());
    let proxy = SocketAddr::from((PROXY, PORT));
    let start = net.now();
    let mut stream = net.connect(proxy)?;
    stream.write_all(request.as_bytes())?;
    let head = head(&mut stream)?.to_ascii_lowercase();
    stream.read_exact(&mut [0; 100])?;
    let (first, start) = (net.now().since(start), net.now());
    if !head.contains("connection: keep-alive") {
        stream = net.connect(proxy)?;
    }
    stream.write_all(request.as_bytes())?;
    let answered = self::head(&mut stream).is_ok_and(|head| head.starts_with("HTTP/1."));
    Ok((first, net.now().since(start), answered))
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

/// The proxy is the one of `tcpglass proxy`.
fn relay(arm: &mut Arm, kind: ProxyKind) {
    let proxy = arm.host("proxy", PROXY);
    let options = ProxyOptions { http: arm.settings.http.clone(), ..ProxyOptions::new(kind) };
    let service = Proxy::new(Owner(1), vec![SocketAddr::from((PROXY, PORT))], options);
    arm.world.add_service(proxy, Box::new(service));
    arm.world.run_for(Duration::ZERO);
}

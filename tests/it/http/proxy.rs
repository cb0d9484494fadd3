//! Does a proxy keep the two connections apart that it stands between, and what happens where it does not?

use super::*;
use tcpglass::http::Origin;
use tcpglass::service::{Proxy, ProxyKind, ProxyOptions};

/// A client, a server, and a proxy at 10.77.0.9:3128.
fn net(kind: ProxyKind, change: impl FnOnce(&mut Config)) -> Net {
    net_of(kind, change, |_| {})
}

fn net_of(kind: ProxyKind, change: impl FnOnce(&mut Config), set: impl FnOnce(&mut ProxyOptions)) -> Net {
    let mut net = Net::new(change);
    in_front(&mut net, kind, set);
    net
}

pub(super) fn in_front(net: &mut Net, kind: ProxyKind, set: impl FnOnce(&mut ProxyOptions)) {
    let middle = host(&mut net.world, "proxy", "10.77.0.9");
    let mut options = ProxyOptions::new(kind);
    options.connect_timeout = SECOND * 3;
    options.hosts = vec![("glass".into(), address().ip())];
    set(&mut options);
    net.world.add_service(middle, Box::new(Proxy::new(Owner(1), vec![proxy()], options)));
}

/// Puts a smart proxy in front of this server.
pub(super) fn in_front_of(net: &mut Net, server: [u8; 4]) {
    let upstream = Origin { host: url::Host::Ipv4(server.into()), port: 80 };
    in_front(net, ProxyKind::Smart, |options| options.upstream = Some(upstream));
}

pub(super) fn proxy() -> SocketAddr {
    "10.77.0.9:3128".parse().unwrap()
}

fn named(address: SocketAddr) -> Origin {
    Origin { host: url::Host::parse(&address.ip().to_string()).unwrap(), port: address.port() }
}

fn through() -> ClientOptions {
    ClientOptions { proxy: Some(named(proxy())), ..http(|_| {}) }
}

/// What a raw client gets for `request`, with its side half-closed.
fn talk(net: &mut Net, request: &str) -> String {
    let socket = net.world.connect(net.client, proxy()).unwrap();
    net.world.write_all(socket, request.as_bytes()).unwrap();
    net.world.shutdown(socket, Shutdown::Write);
    String::from_utf8(net.world.read_to_end(socket).unwrap()).unwrap()
}

#[test]
fn through_a_smart_proxy_everything_arrives_as_without_one() {
    let upload = |body: RequestBody| plan("/echo").body(body);
    let plans = || {
        vec![
            plan("/bytes/100000"),
            plan("/bytes/0"),
            plan("/chunked/100000"),
            plan("/bytes/10").method("HEAD").unwrap(),
            plan("/chunked/10").method("HEAD").unwrap(),
            plan("/status/204"),
            plan("/status/404"),
            plan("/status/103"),
            plan("/bytes/10").field("If-None-Match", "\"bytes-10\"").unwrap(),
            plan("/bytes/100").field("Range", "bytes=10-19").unwrap(),
            plan("/nowhere"),
            upload(RequestBody::Pattern(300_000)),
            upload(RequestBody::ChunkedPattern(300_000)),
            upload(RequestBody::Pattern(3000)).expect_continue(),
            upload(RequestBody::None).method("POST").unwrap(),
            plan("/close"),
            plan("/half-close"),
            plan("/bytes/7").version(Version::Http10),
            RequestPlan::get("http://glass/bytes/3?x=y").unwrap(),
        ]
    };
    let hosts = vec![("glass".into(), address().ip())];
    let mut direct = Net::new(|_| {}).fetch(plans(), ClientOptions { hosts, ..http(|_| {}) });
    // Of two names each has its connections, of a proxy all have the same.
    direct.sort_by_key(|fetched| fetched.plan);
    let proxied = net(ProxyKind::Smart, |_| {}).fetch(plans(), through());
    assert_eq!(proxied.len(), direct.len());
    for (direct, proxied) in direct.iter().zip(&proxied) {
        let of = |f: &Fetched| (f.url.clone(), f.error.clone(), f.status(), f.body_len, f.interims.clone());
        assert_eq!(of(proxied), of(direct));
        assert!(proxied.body == direct.body, "{}", direct.url);
        let fields = &proxied.response.as_ref().unwrap().fields;
        assert_eq!(fields.text("Via"), Some("1.1 10.77.0.9:3128"));
        let length =
            |f: &Fetched| f.response.as_ref().unwrap().fields.text("Content-Length").map(str::to_owned);
        // An HTTP/1.0 client's answer is sent on by what the proxy got for its 1.1.
        assert_eq!(length(proxied), length(direct), "{} {}", direct.method, direct.url);
    }
}

#[test]
fn what_is_for_one_hop_ends_at_a_smart_proxy_rfc_9110_7_6_1_rfc_9112_c_2_2() {
    let asked = plan("/headers")
        .field("Proxy-Connection", "keep-alive")
        .and_then(|p| p.field("Connection", "keep-alive, X-Private"))
        .and_then(|p| p.field("Keep-Alive", "timeout=9"))
        .and_then(|p| p.field("X-Private", "1"))
        .and_then(|p| p.field("X-Public", "2"))
        .and_then(|p| p.field("Host", "elsewhere"))
        .unwrap();
    let fetched = net(ProxyKind::Smart, |_| {}).fetch(vec![asked.clone()], through()).remove(0);
    let text = String::from_utf8(fetched.body).unwrap();
    assert_eq!(text, "GET /headers HTTP/1.1\nHost: 10.77.0.2\nX-Public: 2\nVia: 1.1 10.77.0.9:3128\n");
    let dumb = ClientOptions { proxy: through().proxy, ..http(|c| c.keepalive = false) };
    let fetched = net(ProxyKind::Dumb, |c| c.keepalive = false).fetch(vec![asked], dumb).remove(0);
    let text = String::from_utf8(fetched.body).unwrap();
    for passed_on in ["Proxy-Connection: keep-alive", "Connection: keep-alive, X-Private", "X-Private: 1"] {
        assert!(text.contains(passed_on), "a dumb one passes on what it does not know: {text}");
    }
}

#[test]
fn a_smart_proxy_says_what_is_wrong_behind_it_and_with_what_it_is_asked() {
    let mut net = net(ProxyKind::Smart, |_| {});
    let plain = "HTTP/1.1\r\nHost: a\r\n\r\n";
    for (request, expected) in [
        (format!("GET http://10.77.0.2:81/ {plain}"), "502"),
        (format!("GET http://10.77.0.99/ {plain}"), "504"),
        (format!("GET http://name.invalid/ {plain}"), "502"),
        (format!("GET http://10.77.0.2/reset-after/0 {plain}"), "200"),
        (format!("GET / {plain}"), "400"),
        (format!("GET https://10.77.0.2/ {plain}"), "400"),
        (format!("GET http://10.77.0.2:0/ {plain}"), "400"),
        (format!("CONNECT 10.77.0.2:80 {plain}"), "403"),
        (format!("CONNECT 10.77.0.2:443 {plain}"), "502"),
        (format!("CONNECT 10.77.0.2:0 {plain}"), "400"),
        ("CONNECT 10.77.0.2:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n".into(), "400"),
        (format!("GET http://10.77.0.9:3128/ {plain}"), "508"),
        ("GET http://10.77.0.2/ HTTP/1.1\r\nHost: a\r\nVia: 1.1 10.77.0.9:3128\r\n\r\n".into(), "508"),
        ("OPTIONS http://10.77.0.2/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n".into(), "200"),
        ("GET http://10.77.0.2/ HTTP/1.1\r\n\r\n".into(), "400"),
    ] {
        let socket = net.world.connect(net.client, proxy()).unwrap();
        net.world.write_all(socket, request.as_bytes()).unwrap();
        net.world.run_for(SECOND * 4);
        let mut head = [0; 12];
        net.world.read_exact(socket, &mut head).unwrap();
        assert_eq!(std::str::from_utf8(&head[9..]).unwrap(), expected, "{request}");
        net.world.close(socket);
    }
}

#[test]
fn requests_cannot_be_smuggled_through_a_smart_proxy_rfc_9112_11_2() {
    let mut net = net(ProxyKind::Smart, |_| {});
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 5, 6",
        "Content-Length : 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        let request =
            format!("POST http://10.77.0.2/echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n{hidden}");
        let answer = talk(&mut net, &request);
        assert_eq!(status(&answer), "400", "{fields}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{fields}: {answer}");
    }
    assert!(net.exchanges().is_empty(), "nothing of it reached the server");
}

#[test]
fn an_answer_that_is_cut_short_comes_as_far_as_it_came_and_is_cut_short_for_the_client_too() {
    // The server resets the connection one byte before the end; the client's end says that something is missing.
    for kind in [ProxyKind::Smart, ProxyKind::Dumb] {
        for n in [0, 1, 5000, 1_000_000] {
            let fetched =
                net(kind, |_| {}).fetch(vec![plan(&format!("/reset-after/{n}"))], through()).remove(0);
            assert_eq!(fetched.error, Some(FetchError::Http(ClientError::Incomplete)), "{kind:?} {n}");
            assert!((fetched.body_len, fetched.body) == (n, bytes(0, n as usize)), "{kind:?} {n}");
        }
    }
}

#[test]
fn at_its_limit_the_proxy_closes_who_asks_nothing_for_who_asks() {
    let mut net = net_of(ProxyKind::Smart, |_| {}, |o| o.http.max_connections = 3);
    let idle: Vec<Socket> = (0..3).map(|_| net.world.connect(net.client, proxy()).unwrap()).collect();
    net.world.run_for(SECOND * 2);
    let answer = talk(&mut net, "GET http://10.77.0.2/bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((status(&answer), body(&answer)), ("200", "000"));
    let ended = idle.into_iter().filter(|&socket| net.world.state(socket) == tcp::State::CloseWait).count();
    assert_eq!(ended, 1);
}

#[test]
fn a_kept_connection_that_the_server_has_closed_costs_no_request() {
    // The server forgets after a second; the client comes back later, on a connection that the proxy kept.
    let mut net = net(ProxyKind::Smart, |c| c.keepalive_timeout = SECOND);
    let options = ClientOptions { repeat: 3, rate: Some(0.5), ..through() };
    let fetched = net.fetch(vec![plan("/bytes/10")], options);
    assert!(fetched.iter().all(|f| f.error.is_none() && f.body_len == 10));
    assert!(fetched[1].reused && fetched[2].reused, "the client's own connection goes on");
    assert_eq!(net.exchanges().iter().map(|e| e.conn).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn behind_a_dumb_proxy_a_kept_connection_hangs_until_the_server_loses_patience_rfc_9112_c_2_2() {
    let twice = |keepalive: bool, kind| {
        let mut net = net(kind, |c| c.keepalive_timeout = SECOND * 15);
        let plan =
            plan("/bytes/10").field("Connection", if keepalive { "keep-alive" } else { "close" }).unwrap();
        let options = ClientOptions { repeat: 2, max_time: Some(MINUTE), ..through() };
        let fetched = net.fetch(vec![plan], options);
        assert!(fetched.iter().all(|f| f.error.is_none()), "{fetched:?}");
        let took: Vec<Duration> =
            (fetched.iter()).map(|f| f.timings.last_byte.unwrap().since(f.timings.start.unwrap())).collect();
        (took, fetched[1].retried)
    };
    // Two handshakes and two round trips of both links.
    let (took, retried) = twice(false, ProxyKind::Dumb);
    assert!(took.iter().all(|t| *t == RTT * 4) && !retried, "{took:?}");
    // Client and server both think that the connection is kept; the proxy waits for its end.
    let (took, retried) = twice(true, ProxyKind::Dumb);
    assert_eq!(took[0], RTT * 4);
    assert!(took[1] > SECOND * 15 && took[1] < SECOND * 16 && retried, "{took:?}");
    let (took, retried) = twice(true, ProxyKind::Smart);
    assert!(took[1] == RTT * 2 && !retried, "both connections are kept: {took:?}");
}

#[test]
fn a_dumb_proxy_relays_bodies_both_ways_and_to_one_server_if_told_so() {
    let mut net = Net::new(|_| {});
    let middle = host(&mut net.world, "proxy", "10.77.0.9");
    let upstream = Origin { host: url::Host::Ipv4([10, 77, 0, 2].into()), port: 80 };
    for (port, kind) in [(3128, ProxyKind::Dumb), (3129, ProxyKind::Smart)] {
        let options = ProxyOptions { upstream: Some(upstream.clone()), ..ProxyOptions::new(kind) };
        let address = SocketAddr::new("10.77.0.9".parse().unwrap(), port);
        net.world.add_service(middle, Box::new(Proxy::new(Owner(port), vec![address], options)));
        let options = ClientOptions { connect_to: Some(address), ..http(|c| c.keepalive = false) };
        let plans = vec![plan("/echo").body(RequestBody::Pattern(500_000)), plan("/bytes/500000")];
        for fetched in net.fetch(plans, options) {
            assert_eq!((fetched.error, fetched.body_len), (None, 500_000));
            assert!(fetched.body == bytes(0, 500_000));
        }
    }
}

#[test]
fn proxies_can_be_chained_each_asked_with_absolute_urls_rfc_9112_3_2_2() {
    for kind in [ProxyKind::Dumb, ProxyKind::Smart] {
        let mut net = Net::new(|_| {});
        let (near, far) = ("10.77.0.8", "10.77.0.9");
        let parent = Origin { host: url::Host::parse(far).unwrap(), port: 3128 };
        let chained = ProxyOptions { upstream: Some(parent), parent: true, ..ProxyOptions::new(kind) };
        for (address, options) in [(near, chained), (far, ProxyOptions::new(ProxyKind::Smart))] {
            let middle = host(&mut net.world, "proxy", address);
            let at = SocketAddr::new(address.parse().unwrap(), 3128);
            net.world.add_service(middle, Box::new(Proxy::new(Owner(1), vec![at], options)));
        }
        let near = SocketAddr::new(near.parse().unwrap(), 3128);
        let options = ClientOptions { proxy: Some(named(near)), ..http(|c| c.keepalive = false) };
        let plans = vec![plan("/echo").body(RequestBody::Pattern(500_000)), plan("/bytes/500000")];
        for fetched in net.fetch(plans, options) {
            assert_eq!((fetched.error, fetched.body_len), (None, 500_000), "{kind:?}");
        }
        let options = ClientOptions { connect_to: Some(near), ..http(|_| {}) };
        let fetched = net.fetch(vec![plan("/bytes/5")], options);
        assert_eq!(fetched[0].status().unwrap().as_u16(), 400, "{kind:?}: nobody knows whom it is for");
    }
}

/// A smart proxy in front of a server that the test plays.
fn in_front_of_raw() -> client::Raw {
    let mut raw = client::Raw::new(Vec::new(), http(|_| {}));
    in_front_of(&mut raw.net, [10, 77, 0, 3]);
    raw
}

/// A connection to the proxy, on which `request` was sent.
fn ask(raw: &mut client::Raw, request: &str) -> Socket {
    let socket = raw.net.world.connect(raw.net.client, proxy()).unwrap();
    raw.net.world.write_all(socket, request.as_bytes()).unwrap();
    socket
}

#[test]
fn who_may_forward_no_further_answers_rfc_9110_7_6_2() {
    let mut raw = in_front_of_raw();
    for (request, forwarded) in [
        (
            "TRACE /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n",
            "TRACE /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 2\r\n",
        ),
        (
            "OPTIONS http://a HTTP/1.1\r\nHost: b\r\nMax-Forwards: 1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n",
        ),
        ("OPTIONS http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: a\r\n"),
        (
            "GET /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nAuthorization: Basic eDp5\r\n\r\n",
            "GET /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nAuthorization: Basic eDp5\r\n",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 99999999999999999999\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 18446744073709551614\r\n",
        ),
    ] {
        ask(&mut raw, request);
        let socket = raw.accept();
        let got = read_request(&mut raw.net.world, socket);
        let sorted = |text: &str| {
            let mut lines: Vec<String> =
                text.lines().filter(|l| !l.is_empty() && !l.starts_with("Via")).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&got), sorted(forwarded));
        assert_eq!(got.matches("Via: 1.1 10.77.0.9:3128\r\n").count(), 1, "{got}");
    }
    let mut last = |request: &str| talk(&mut raw.net, request);
    let answer = last("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    assert!(status(&answer) == "200" && answer.contains("Allow: GET, HEAD,"), "{answer}");
    let answer = last(
        "TRACE /x HTTP/1.1\r\nHost: a\r\nCookie: b\r\nAuthorization: c\r\nMax-Forwards: 0\r\nX: y\r\n\r\n",
    );
    assert!(answer.contains("Content-Type: message/http\r\n"), "{answer}");
    assert_eq!(body(&answer), "TRACE /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX: y\r\n\r\n");
}

#[test]
fn a_proxy_repeats_what_is_harmless_and_nothing_else_rfc_9110_9_2_2() {
    for (method, repeated) in
        [("GET", true), ("HEAD", true), ("DELETE", true), ("POST", false), ("PATCH", false)]
    {
        let mut raw = in_front_of_raw();
        let client = ask(
            &mut raw,
            &format!(
                "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n{method} /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            ),
        );
        // The server answers the first request, and ends the connection when it has got the second one.
        let socket = raw.accept();
        assert_eq!(raw.request(socket), "GET /1");
        raw.answer(socket, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(raw.request(socket), format!("{method} /2"));
        raw.net.world.close(socket);
        if repeated {
            let socket = raw.accept();
            assert_eq!(raw.request(socket), format!("{method} /2"));
            // RFC 9110 §9.2.2: a second failure is one.
            raw.net.world.close(socket);
        }
        let told = String::from_utf8(raw.net.world.read_to_end(client).unwrap()).unwrap();
        let answers: Vec<&str> =
            told.match_indices("HTTP/1.1 ").map(|(at, _)| &told[at + 9..at + 12]).collect();
        assert_eq!(answers, ["200", "502"], "{method}: {told}");
    }
}

#[test]
fn a_response_without_date_gets_one_rfc_9110_6_6_1() {
    for (date, dates) in [("", 1), ("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 1)] {
        let mut raw = in_front_of_raw();
        let client = ask(&mut raw, "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let socket = raw.accept();
        raw.request(socket);
        raw.answer(socket, format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 0\r\n\r\n").as_bytes());
        let told = String::from_utf8(raw.net.world.read_to_end(client).unwrap()).unwrap();
        assert!(told.matches("Date: ").count() == dates && told.contains(date), "{told}");
    }
}

#[test]
fn a_smart_proxy_asks_for_no_other_protocol_and_takes_none_rfc_9110_7_8() {
    let asked = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                 Upgrade: websocket, h2c\r\nHTTP2-Settings: AAMA\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let switches =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x01\x02";
    let offers = "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok";
    let demands = "HTTP/1.1 426 U\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n";
    for (answer, expected) in [(switches, "502"), (offers, "200"), (demands, "426")] {
        let mut raw = in_front_of_raw();
        let client = ask(&mut raw, asked);
        let socket = raw.accept();
        let got = read_request(&mut raw.net.world, socket).to_ascii_lowercase();
        for dropped in ["upgrade", "http2-settings", "connection"] {
            assert!(!got.contains(dropped), "{got}");
        }
        assert!(got.contains("sec-websocket-version: 13\r\n"), "{got}");
        raw.answer(socket, answer.as_bytes());
        raw.net.world.shutdown(client, Shutdown::Write);
        let told = String::from_utf8(raw.net.world.read_to_end(client).unwrap()).unwrap();
        assert_eq!(status(&told), expected, "{told}");
        assert!(
            !told.contains("Upgrade:") && !told.contains("websocket") && !told.contains('\x01'),
            "{told}"
        );
        assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{told}");
        if answer == switches {
            // Who speaks something else there is spoken to no more.
            raw.net.world.run_for(SECOND);
            assert_ne!(raw.net.world.state(socket), tcp::State::Established);
        }
    }
}

#[test]
fn a_tunnel_is_bytes_both_ways_rfc_9110_9_3_6() {
    let mut raw = client::Raw::new(Vec::new(), http(|_| {}));
    in_front(&mut raw.net, ProxyKind::Smart, |options| options.tunnels = vec![80..=80]);
    // What follows the request is the tunnel's, even if it came with it.
    let client = ask(&mut raw, "CONNECT 10.77.0.3:80 HTTP/1.1\r\nHost: 10.77.0.3\r\n\r\nno HTTP");
    let server = raw.accept();
    let world = &mut raw.net.world;
    let mut said = [0; 7];
    world.read_exact(server, &mut said).unwrap();
    assert_eq!(&said, b"no HTTP");
    world.write_all(server, b"neither").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"neither") {
        let mut byte = [0; 1];
        world.read_exact(client, &mut byte).unwrap();
        answer.extend(byte);
    }
    let answer = String::from_utf8(answer).unwrap();
    let head = answer.strip_suffix("\r\n\r\nneither").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: ") && head.lines().count() == 2, "{head}");
    // Large amounts both ways, and the end of each side when it has said all.
    let (up, down) = (bytes(0, 700_000), bytes(64, 900_000));
    assert!(world.transfer(client, server, &up).unwrap() == up);
    assert!(world.transfer(server, client, &down).unwrap() == down);
    world.shutdown(client, Shutdown::Write);
    assert_eq!(world.read_to_end(server).unwrap(), b"");
    world.write_all(server, b"last words").unwrap();
    world.close(server);
    assert_eq!(world.read_to_end(client).unwrap(), b"last words");

    // A reset of one side is one of the other, behind what was said before.
    let client = ask(&mut raw, "CONNECT 10.77.0.3:80 HTTP/1.1\r\nHost: 10.77.0.3\r\n\r\n");
    let server = raw.accept();
    raw.net.world.write_all(server, b"before").unwrap();
    raw.net.world.run_for(SECOND);
    raw.net.world.abort(server);
    raw.net.world.run_for(SECOND);
    let error = raw.net.world.read_to_end(client).unwrap_err();
    assert!(matches!(error, SimError::Stream(StreamError::ConnectionReset)), "{error:?}");

    // A tunnel in which nothing is said ends after ten minutes.
    let client = ask(&mut raw, "CONNECT 10.77.0.3:80 HTTP/1.1\r\nHost: 10.77.0.3\r\n\r\n");
    let server = raw.accept();
    raw.net.world.run_for(9 * MINUTE);
    assert_eq!(raw.net.world.state(server), tcp::State::Established);
    raw.net.world.run_for(2 * MINUTE);
    assert_ne!(raw.net.world.state(server), tcp::State::Established);
    assert_ne!(raw.net.world.state(client), tcp::State::Established);
}

#[test]
fn tunnels_that_are_quiet_give_way_to_who_waits_for_a_place() {
    let set = |options: &mut ProxyOptions| {
        options.tunnels = vec![80..=80];
        options.http.max_connections = 2;
    };
    let mut net = net_of(ProxyKind::Smart, |_| {}, set);
    let quiet: Vec<Socket> = (0..2)
        .map(|_| {
            let socket = net.world.connect(net.client, proxy()).unwrap();
            let request = b"CONNECT 10.77.0.2:80 HTTP/1.1\r\nHost: 10.77.0.2:80\r\n\r\n";
            net.world.write_all(socket, request).unwrap();
            socket
        })
        .collect();
    net.world.run_for(SECOND * 10);
    let answer = talk(&mut net, "GET http://10.77.0.2/bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("00000"), "{answer}");
    let told: Vec<_> = quiet.into_iter().map(|socket| net.world.read_to_end(socket).is_err()).collect();
    assert_eq!(told.iter().filter(|reset| **reset).count(), 1, "one of them was enough: {told:?}");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    for kind in [ProxyKind::Dumb, ProxyKind::Smart] {
        let set = |options: &mut ProxyOptions| {
            options.tunnels = vec![80..=80];
            options.http.tunnel_timeout = SECOND * 20;
        };
        let mut net = net_of(kind, |c| c.header_timeout = SECOND * 1000, set);
        let socket = net.world.connect(net.client, proxy()).unwrap();
        // The server waits for the rest of a request, and the proxy for an answer or for what a tunnel carries.
        let request: &[u8] = match kind {
            ProxyKind::Dumb => {
                b"POST http://10.77.0.2/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"
            }
            ProxyKind::Smart => b"CONNECT 10.77.0.2:80 HTTP/1.1\r\nHost: a:80\r\n\r\nGET /half",
        };
        net.world.write_all(socket, request).unwrap();
        net.world.run_for(SECOND * 19);
        assert!(net.world.state(socket) == tcp::State::Established, "{kind:?}");
        net.world.run_for(SECOND * 2);
        assert!(net.world.read_to_end(socket).is_err(), "{kind:?}");
    }
}

const OFFER: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                     Upgrade: WebSocket, h2c\r\nHTTP2-Settings: AAMA\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A smart proxy before a server that the test plays, through which websocket may be spoken.
fn with_websocket() -> client::Raw {
    let mut raw = client::Raw::new(Vec::new(), http(|_| {}));
    in_front(&mut raw.net, ProxyKind::Smart, |options| {
        options.upstream = Some(Origin { host: url::Host::Ipv4([10, 77, 0, 3].into()), port: 80 });
        options.upgrades = vec!["websocket".into()];
    });
    raw
}

/// What has come until the head is complete.
fn head(world: &mut World, socket: Socket) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        world.read_exact(socket, &mut byte).unwrap();
        text.extend(byte);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_protocol_that_is_allowed_is_switched_to_through_a_smart_proxy_rfc_9110_7_8() {
    let mut raw = with_websocket();
    let client = ask(&mut raw, &format!("{OFFER}early"));
    let server = raw.accept();
    let got = read_request(&mut raw.net.world, server);
    assert!(
        got.contains("\r\nUpgrade: WebSocket\r\n") && got.contains("\r\nConnection: Upgrade\r\n"),
        "{got}"
    );
    assert!(!got.contains("h2c") && !got.contains("HTTP2-Settings"), "only what is allowed: {got}");
    let world = &mut raw.net.world;
    assert_eq!(world.readable(server), 0, "nothing goes ahead of the switch");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
    world.write_all(server, format!("{switch}hello").as_bytes()).unwrap();
    let told = head(world, client);
    assert!(told.starts_with("HTTP/1.1 101 ") && told.contains("\r\nUpgrade: websocket\r\n"), "{told}");
    assert!(
        told.contains("\r\nConnection: Upgrade\r\n") && told.contains("\r\nSec-WebSocket-Accept: x\r\n"),
        "{told}"
    );
    let mut said = [0; 5];
    world.read_exact(client, &mut said).unwrap();
    assert_eq!(&said, b"hello", "what came with the switch");
    world.read_exact(server, &mut said).unwrap();
    assert_eq!(&said, b"early", "what came with the request");
    let (up, down) = (bytes(0, 300_000), bytes(64, 300_000));
    assert!(world.transfer(client, server, &up).unwrap() == up);
    assert!(world.transfer(server, client, &down).unwrap() == down);
    world.shutdown(client, Shutdown::Write);
    assert_eq!(world.read_to_end(server).unwrap(), b"", "half of it ends");
    world.write_all(server, b"last words").unwrap();
    world.close(server);
    assert_eq!(world.read_to_end(client).unwrap(), b"last words");
}

#[test]
fn who_is_offered_a_protocol_and_does_not_switch_or_switches_to_another_is_understood_rfc_9110_7_8() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let other = "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let none = "HTTP/1.1 101 S\r\n\r\n";
    for (answer, expected) in [(ok, "200"), (other, "502"), (none, "502")] {
        let mut raw = with_websocket();
        let client = ask(&mut raw, OFFER);
        let server = raw.accept();
        raw.request(server);
        raw.answer(server, answer.as_bytes());
        raw.net.world.shutdown(client, Shutdown::Write);
        let told = String::from_utf8(raw.net.world.read_to_end(client).unwrap()).unwrap();
        assert_eq!(status(&told), expected, "{told}");
    }
    // HTTP/1.0 knows no Upgrade, and without its option it is for somebody else.
    for asked in
        [OFFER.replace("HTTP/1.1", "HTTP/1.0"), OFFER.replace("Connection: Upgrade, ", "Connection: ")]
    {
        let mut raw = with_websocket();
        ask(&mut raw, &asked);
        let server = raw.accept();
        let got = read_request(&mut raw.net.world, server);
        assert!(!got.contains("pgrade"), "{got}");
    }
}

#[test]
fn a_tunnel_through_a_parent_proxy_is_asked_for_there_and_its_refusal_passed_on() {
    let ok = "HTTP/1.1 200 Connection established\r\nContent-Length: 7\r\n\r\n";
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: no\r\n\r\nno";
    for (answer, expected) in [(ok, "200"), (refusal, "403"), ("", "502")] {
        let mut raw = client::Raw::new(Vec::new(), http(|_| {}));
        in_front(&mut raw.net, ProxyKind::Smart, |options| {
            options.upstream = Some(Origin { host: url::Host::Ipv4([10, 77, 0, 3].into()), port: 80 });
            options.parent = true;
        });
        let client = ask(&mut raw, "CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\nhello");
        let parent = raw.accept();
        let got = read_request(&mut raw.net.world, parent);
        assert!(got.starts_with("CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n"), "{got}");
        assert!(!got.contains("Content-Length") && got.contains("\r\nVia: 1.1 "), "{got}");
        let world = &mut raw.net.world;
        assert_eq!(world.readable(parent), 0, "nothing goes ahead of the answer");
        world.write_all(parent, answer.as_bytes()).unwrap();
        if expected == "200" {
            assert!(head(world, client).starts_with("HTTP/1.1 200 "));
            let mut said = [0; 5];
            world.read_exact(parent, &mut said).unwrap();
            assert_eq!(&said, b"hello");
            world.write_all(parent, b"\x16\x03").unwrap();
            world.close(parent);
            assert_eq!(
                world.read_to_end(client).unwrap(),
                b"\x16\x03",
                "all behind the head is the tunnel's"
            );
            continue;
        }
        if answer.is_empty() {
            world.close(parent);
        }
        world.shutdown(client, Shutdown::Write);
        let told = String::from_utf8_lossy(&world.read_to_end(client).unwrap()).into_owned();
        assert_eq!(status(&told), expected, "{told}");
        assert!(
            expected != "403" || (told.contains("\r\nX-Why: no\r\n") && body(&told).starts_with("no")),
            "{told}"
        );
        // A port that is not allowed here is not asked for there.
        let client = ask(&mut raw, "CONNECT far.example:25 HTTP/1.1\r\nHost: far.example:25\r\n\r\n");
        raw.net.world.shutdown(client, Shutdown::Write);
        let told = String::from_utf8(raw.net.world.read_to_end(client).unwrap()).unwrap();
        assert_eq!(status(&told), "403", "{told}");
    }
}

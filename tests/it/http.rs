//! Do the HTTP server and client work over this TCP? Pages, pipelines, keep-alive, early errors, in virtual time.

mod client;
mod corpus;
mod crowd;
mod proxy;

use crossbeam_channel::Receiver;
use std::net::SocketAddr;
use tcpglass::http::{ClientError, Config, Fields, Version};
use tcpglass::service::{
    BodySink, ClientOptions, EchoService, Ended, Exchange, FetchError, Fetched, HttpClient, HttpServer,
    Listening, LoadClient, RequestBody, RequestPlan, ServerTotals, Site, Talk, pattern,
};
use tcpglass::sim::{HostId, LinkConfig, SimError, Socket, World};
use tcpglass::stack::{self, Owner};
use tcpglass::stream::StreamError;
use tcpglass::tcp::{self, Shutdown};
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;

const RTT: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A client and a server host, 20 ms apart.
struct Net {
    world: World,
    client: HostId,
    exchanges: Receiver<Exchange>,
    listening: Receiver<Listening>,
}

fn host(world: &mut World, name: &str, addr: &str) -> HostId {
    let config = stack::Config {
        tcp: tcp::Config::linux(),
        addrs: vec![(addr.parse().unwrap(), if addr.contains(':') { 64 } else { 24 })],
        gateways: Vec::new(),
        mtu: 1500,
        seed: 1,
        dns: Vec::new(),
    };
    world.add_host(name, config, Tracer::default())
}

impl Net {
    fn new(change: impl FnOnce(&mut Config)) -> Net {
        Net::with(Site::default(), change)
    }

    fn with(site: Site, change: impl FnOnce(&mut Config)) -> Net {
        let mut world = World::new(7, LinkConfig { rtt: RTT, ..LinkConfig::default() });
        let client = host(&mut world, "client", "10.77.0.1");
        let server = host(&mut world, "server", "10.77.0.2");
        let mut config = Config::linux();
        change(&mut config);
        let mut service = HttpServer::new(Owner(1), vec!["10.77.0.2:80".parse().unwrap()], site, config);
        let (exchanges, listening) = (service.exchanges(), service.listening());
        world.add_service(server, Box::new(service));
        Net { world, client, exchanges, listening }
    }

    fn connect(&mut self) -> Socket {
        self.world.connect(self.client, address()).unwrap()
    }

    /// Sends `request`, half-closes and returns everything that came back.
    fn talk(&mut self, request: &str) -> String {
        let socket = self.connect();
        self.world.write_all(socket, request.as_bytes()).unwrap();
        self.world.shutdown(socket, Shutdown::Write);
        String::from_utf8(self.world.read_to_end(socket).unwrap()).unwrap()
    }

    fn get(&mut self, path: &str) -> String {
        self.talk(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    /// Runs an HTTP client to its end.
    fn fetch(&mut self, plans: Vec<RequestPlan>, options: ClientOptions) -> Vec<Fetched> {
        let service = HttpClient::new(Owner(2), plans, options);
        let results = service.results();
        self.world.add_service(self.client, Box::new(service));
        let mut fetched = Vec::new();
        self.world.run_until(60 * MINUTE, |_| {
            loop {
                match results.try_recv() {
                    Ok(one) => fetched.push(one),
                    Err(e) => return e == crossbeam_channel::TryRecvError::Disconnected,
                }
            }
        });
        fetched
    }

    fn exchanges(&mut self) -> Vec<Exchange> {
        self.world.run_for(MINUTE);
        self.exchanges.try_iter().collect()
    }
}

fn address() -> SocketAddr {
    "10.77.0.2:80".parse().unwrap()
}

fn plan(path: &str) -> RequestPlan {
    RequestPlan::get(&format!("http://10.77.0.2{path}")).unwrap()
}

/// One connection at a time, unless changed.
fn http(change: impl FnOnce(&mut Config)) -> ClientOptions {
    let mut options = ClientOptions::default();
    options.http.parallel = 1;
    change(&mut options.http);
    options
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn bytes(offset: u64, n: usize) -> Vec<u8> {
    let mut out = vec![0; n];
    pattern(offset, &mut out);
    out
}

fn text(offset: u64, n: usize) -> String {
    String::from_utf8(bytes(offset, n)).unwrap()
}

#[test]
fn each_page_answers_and_says_what_is_wrong() {
    let mut net = Net::new(|_| {});
    for (request, expected, content) in [
        ("GET / HTTP/1.1", "200", "/bytes/N"),
        ("GET /bytes/10 HTTP/1.1", "200", "0000000000"),
        ("HEAD /bytes/10 HTTP/1.1", "200", ""),
        ("GET /bytes/0 HTTP/1.1", "200", ""),
        ("GET /bytes/-1 HTTP/1.1", "400", "\"-1\" is not a whole number from 0 to 1099511627776"),
        ("GET /bytes/+1 HTTP/1.1", "400", "whole number"),
        ("GET /bytes/1099511627777 HTTP/1.1", "400", "whole number"),
        ("GET /bytes/ HTTP/1.1", "400", "whole number"),
        ("GET /bytes HTTP/1.1", "404", "no page /bytes"),
        ("POST /bytes/10 HTTP/1.1", "405", "takes GET, HEAD, OPTIONS"),
        ("OPTIONS /bytes/10 HTTP/1.1", "204", ""),
        ("OPTIONS * HTTP/1.1", "204", ""),
        ("GET /chunked/3 HTTP/1.1", "200", "3\r\n000\r\n0\r\n\r\n"),
        ("GET /chunked/0 HTTP/1.1", "200", "0\r\n\r\n"),
        ("HEAD /chunked/3 HTTP/1.1", "200", ""),
        ("GET /echo HTTP/1.1", "405", "takes POST, PUT, OPTIONS"),
        ("GET /status/404 HTTP/1.1", "404", "404 Not Found"),
        ("GET /status/205 HTTP/1.1", "205", ""),
        ("GET /status/204 HTTP/1.1", "204", ""),
        ("GET /status/600 HTTP/1.1", "400", "from 100 to 599"),
        ("GET /status/101 HTTP/1.1", "400", "protocol"),
        ("GET /delay/5 HTTP/1.1", "200", "waited 5 ms"),
        ("GET /delay/soon HTTP/1.1", "400", "whole number"),
        ("GET /drip?chunks=2&size=3&gap=1ms HTTP/1.1", "200", "3\r\n000\r\n3\r\n000\r\n0\r\n\r\n"),
        ("GET /drip?chunks=0 HTTP/1.1", "400", "chunks=0"),
        ("GET /drip?gap=5parsecs HTTP/1.1", "400", "not a duration"),
        ("GET /headers HTTP/1.1\r\nX-Y: z", "200", "GET /headers HTTP/1.1\nX-Y: z\nHost: a\n"),
        ("GET /close HTTP/1.1", "200", "closes"),
        ("GET /half-close HTTP/1.1", "200", "FIN"),
        ("GET /reset-after/x HTTP/1.1", "400", "whole number"),
        ("GET /nowhere HTTP/1.1", "404", "no page /nowhere"),
        ("BREW / HTTP/1.1", "501", "BREW is not implemented"),
        ("CONNECT a:80 HTTP/1.1", "501", "CONNECT"),
        ("TRACE / HTTP/1.1", "405", "takes GET"),
        ("GET http://elsewhere/bytes/1 HTTP/1.1", "200", "0"),
    ] {
        let answer = net.talk(&format!("{request}\r\nHost: a\r\n\r\n"));
        assert_eq!(status(&answer), expected, "{request}: {answer}");
        assert!(body(&answer).contains(content), "{request}: {answer}");
        assert!(!content.is_empty() || body(&answer).is_empty(), "{request}: {answer}");
        if expected == "405" {
            assert!(answer.contains("\r\nAllow: "), "RFC 9110 §10.2.1: {answer}");
        }
    }
}

#[test]
fn ranges_and_conditions_of_bytes_rfc_9110_13_and_14() {
    let mut net = Net::new(|_| {});
    let mut ask =
        |fields: &str| net.talk(&format!("GET /bytes/1000 HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
    let answer = ask("Range: bytes=100-199");
    assert_eq!((status(&answer), body(&answer)), ("206", &*text(100, 100)));
    assert!(answer.contains("Content-Range: bytes 100-199/1000\r\n"), "{answer}");
    let answer = ask("Range: bytes=-10");
    assert_eq!((status(&answer), body(&answer)), ("206", &*text(990, 10)));
    let answer = ask("Range: bytes=1000-");
    assert_eq!(status(&answer), "416");
    assert!(answer.contains("Content-Range: bytes */1000\r\n"), "{answer}");
    let answer = ask("Range: bytes=0-9, 500-509");
    // Another one each time: a file cannot be made to contain it (RFC 2046 §5.1.1).
    let boundary = |answer: &str| {
        let (_, rest) = answer.split_once("Content-Type: multipart/byteranges; boundary=").unwrap();
        rest.lines().next().unwrap().to_owned()
    };
    let line = boundary(&answer);
    assert_ne!(boundary(&ask("Range: bytes=0-9, 500-509")), line);
    let parts = format!(
        "--{line}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-9/1000\r\n\r\n{}\r\n\
         --{line}\r\nContent-Type: text/plain\r\nContent-Range: bytes 500-509/1000\r\n\r\n{}\r\n\
         --{line}--\r\n",
        text(0, 10),
        text(500, 10)
    );
    assert_eq!(body(&answer), parts);
    assert!(answer.contains(&format!("Content-Length: {}\r\n", parts.len())));
    assert_eq!(status(&ask("If-None-Match: \"bytes-1000\"")), "304");
    assert_eq!(status(&ask("If-None-Match: \"other\"")), "200");
    assert_eq!(status(&ask("If-Match: \"other\"")), "412");
    assert_eq!(status(&ask("Range: bytes=0-0\r\nIf-Range: \"other\"")), "200");
}

#[test]
fn a_body_comes_back_as_it_was_framed() {
    let mut net = Net::new(|_| {});
    let mut echo = |body: RequestBody, expect: bool| {
        let mut plan = plan("/echo").body(body).field("Content-Type", "x/y").unwrap();
        if expect {
            plan = plan.expect_continue();
        }
        net.fetch(vec![plan], ClientOptions::default()).remove(0)
    };
    for expect in [false, true] {
        for (body, chunked) in [
            (RequestBody::Pattern(300_000), false),
            (RequestBody::ChunkedPattern(300_000), true),
            (RequestBody::Bytes((*b"abc").into()), false),
            (RequestBody::Chunked((*b"abc").into()), true),
            (RequestBody::Bytes((*b"").into()), false),
            (RequestBody::Chunked((*b"").into()), true),
        ] {
            let sent = match &body {
                RequestBody::Bytes(bytes) | RequestBody::Chunked(bytes) => bytes.to_vec(),
                _ => bytes(0, 300_000),
            };
            let fetched = echo(body.clone(), expect);
            let fields = &fetched.response.as_ref().unwrap().fields;
            assert_eq!(fetched.error, None);
            assert!(fetched.body == sent, "{body:?} came back as {} bytes", fetched.body_len);
            assert_eq!(fields.has("Transfer-Encoding"), chunked);
            assert_eq!(fields.text("Content-Type"), Some("x/y"));
            assert_eq!(!fetched.interims.is_empty(), expect && (chunked || !sent.is_empty()));
        }
    }
}

#[test]
fn head_and_body_of_a_small_response_are_one_segment() {
    let mut net = Net::new(|_| {});
    let socket = net.connect();
    net.world.run_for(MINUTE / 60);
    let before = net.world.packets();
    net.world.write_all(socket, b"GET /bytes/200 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    net.world.run_for(RTT * 3 / 4);
    // The request, and the response with the acknowledgment on it.
    assert_eq!(net.world.packets() - before, 2);
}

#[test]
fn a_large_body_is_made_as_the_stream_takes_it() {
    struct Check {
        at: u64,
    }
    impl BodySink for Check {
        fn on_data(&mut self, _: usize, _: u32, data: &[u8]) {
            assert!(data == bytes(self.at, data.len()), "wrong bytes at {}", self.at);
            self.at += data.len() as u64;
        }
    }
    for path in ["/bytes/8000000", "/chunked/8000000"] {
        let mut net = Net::new(|_| {});
        let options = ClientOptions { sink: Some(Box::new(Check { at: 0 })), ..ClientOptions::default() };
        let fetched = net.fetch(vec![plan(path)], options).remove(0);
        assert_eq!((fetched.error, fetched.body_len, fetched.body.len()), (None, 8_000_000, 0));
        let exchange = net.exchanges().remove(0);
        assert_eq!((exchange.bytes, exchange.status, exchange.ended), (8_000_000, 200, Ended::Kept));
        assert!(exchange.acked > exchange.last_byte && exchange.last_byte > exchange.first_byte);
    }
}

#[test]
fn repeated_requests_use_one_kept_connection() {
    let mut net = Net::new(|_| {});
    let fetched = net.fetch(vec![plan("/bytes/10")], ClientOptions { repeat: 5, ..http(|_| {}) });
    let reused: Vec<bool> = fetched.iter().map(|f| f.reused).collect();
    assert_eq!(reused, [false, true, true, true, true]);
    assert!(fetched.iter().all(|f| f.conn == fetched[0].conn && f.body == bytes(0, 10) && f.error.is_none()));
    let first = fetched[0].timings;
    assert_eq!(first.established.unwrap().since(first.connect_start.unwrap()), RTT);
    assert_eq!(first.last_byte.unwrap().since(first.request_sent.unwrap()), RTT);
    let second = fetched[1].timings;
    assert_eq!((second.connect_start, second.start), (None, first.last_byte));

    let mut net = Net::new(|_| {});
    let options = ClientOptions { repeat: 3, ..http(|c| c.keepalive = false) };
    let fetched = net.fetch(vec![plan("/bytes/10")], options);
    assert_eq!(fetched.iter().filter(|f| f.reused).count(), 0);
    assert_eq!(fetched[2].conn, 3);
    let ended: Vec<Ended> = net.exchanges().iter().map(|e| e.ended).collect();
    assert_eq!(ended, [Ended::Closed; 3]);
}

#[test]
fn the_server_closes_after_as_many_requests_as_it_said() {
    let mut net = Net::new(|c| c.keepalive_max = 2);
    let fetched = net.fetch(vec![plan("/bytes/10")], ClientOptions { repeat: 5, ..http(|_| {}) });
    let conns: Vec<u32> = fetched.iter().map(|f| f.conn).collect();
    assert_eq!(conns, [1, 1, 2, 2, 3]);
    assert!(fetched.iter().all(|f| f.error.is_none() && !f.retried));
}

#[test]
fn a_pipeline_of_small_requests_waits_for_no_delayed_acknowledgment_unless_nagle_is_left_on() {
    let time = |nodelay: bool, through: bool| {
        let mut net = Net::new(|c| c.nodelay = nodelay);
        if through {
            proxy::in_front_of(&mut net, [10, 77, 0, 2]);
        }
        let to = through.then(proxy::proxy);
        let options = ClientOptions { connect_to: to, ..http(|c| (c.pipeline, c.nodelay) = (8, nodelay)) };
        // The first one shows that the connection persists.
        let fetched = net.fetch(vec![plan("/bytes/10"); 64], options);
        assert!(fetched.iter().all(|f| f.error.is_none()) && fetched.iter().any(|f| f.pipelined));
        let ends = |f: &Fetched| f.timings.last_byte.unwrap();
        ends(fetched.last().unwrap()).since(fetched[0].timings.start.unwrap())
    };
    // Handshake, one alone, and the others seven or eight at a time.
    assert_eq!(time(true, false), RTT * (2 + 8));
    assert!(time(false, false) >= RTT * (2 + 8) + Duration::from_millis(40));
    // The proxy's own connection to the server was opened meanwhile.
    assert!(time(true, true) < RTT * (3 + 64) + Duration::from_millis(40));
}

#[test]
fn pipelined_and_parallel_requests_save_round_trips_rfc_9112_9_3_2() {
    let time = |change: fn(&mut Config)| {
        let mut net = Net::new(|_| {});
        let fetched = net.fetch(vec![plan("/bytes/100")], ClientOptions { repeat: 9, ..http(change) });
        assert!(fetched.iter().all(|f| f.error.is_none() && f.body == bytes(0, 100)));
        let first = fetched.iter().filter_map(|f| f.timings.start).min().unwrap();
        let last = fetched.iter().filter_map(|f| f.timings.last_byte).max().unwrap();
        last.since(first)
    };
    // A handshake and nine round trips; the first alone and then eight at once; all at once.
    assert_eq!(time(|_| {}), RTT * 10);
    assert_eq!(time(|c| c.pipeline = 8), RTT * 3);
    assert_eq!(time(|c| c.parallel = 9), RTT * 2);
}

#[test]
fn a_half_closed_client_gets_its_answer_and_the_server_gets_its_fin() {
    let mut net = Net::new(|_| {});
    let answer = net.talk("GET /delay/100 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.ends_with("waited 100 ms.\n"), "{answer}");
}

#[test]
fn a_refused_upload_gets_its_answer_instead_of_a_rst_rfc_9112_9_6() {
    let upload = |linger: Duration| {
        let mut net = Net::new(|c| {
            c.max_body = 1000;
            c.linger = linger;
        });
        let body = RequestBody::Pattern(50_000_000);
        net.fetch(vec![plan("/echo").body(body)], ClientOptions::default()).remove(0)
    };
    let fetched = upload(Duration::from_secs(5));
    assert_eq!((fetched.status().map(|s| s.as_u16()), fetched.error), (Some(413), None));

    // The same without reading on: a raw client that goes on writing meets a RST.
    let mut net = Net::new(|c| {
        c.max_body = 1000;
        c.linger = Duration::ZERO;
    });
    let socket = net.connect();
    net.world
        .write_all(socket, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n\r\n")
        .unwrap();
    let error = net.world.write_all(socket, &vec![0; 20_000_000]).unwrap_err();
    assert!(
        matches!(error, SimError::Stream(StreamError::ConnectionReset | StreamError::BrokenPipe)),
        "{error:?}"
    );
}

#[test]
fn a_fin_behind_a_promise_to_keep_the_connection_is_survived_rfc_9110_9_2_2() {
    // The client sends its second request while the server's FIN is on its way.
    let mut net = Net::new(|_| {});
    let fetched = net.fetch(vec![plan("/half-close"), plan("/bytes/10")], ClientOptions::default());
    assert!(fetched.iter().all(|f| f.error.is_none()), "{fetched:?}");
    assert_eq!(fetched[1].body, bytes(0, 10));
    assert!(fetched[1].conn != fetched[0].conn && !fetched[1].reused);
    // What is not idempotent is not sent twice.
    let mut net = Net::new(|c| c.keepalive_timeout = Duration::from_millis(1500));
    let socket = net.connect();
    net.world.write_all(socket, b"GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let answer = net.world.read_to_end(socket).unwrap();
    assert!(String::from_utf8(answer).unwrap().contains("Keep-Alive: timeout=1"), "then it closes by itself");
}

/// Reads one request, up to the empty line, of a server that the test plays itself.
fn read_request(world: &mut World, socket: Socket) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        world.read_exact(socket, &mut byte).unwrap();
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_request_that_crosses_the_servers_fin_is_sent_again_if_it_may_be_rfc_9110_9_2_2() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (method, again) in [("GET", true), ("DELETE", true), ("POST", false)] {
        let mut net = Net::new(|_| {});
        let raw = host(&mut net.world, "raw", "10.77.0.3");
        let listener = net.world.listen(raw, "10.77.0.3:80".parse::<SocketAddr>().unwrap()).unwrap();
        let plan = RequestPlan::get("http://10.77.0.3/").unwrap().method(method).unwrap();
        let client = HttpClient::new(Owner(2), vec![plan], ClientOptions { repeat: 2, ..http(|_| {}) });
        let results = client.results();
        net.world.add_service(net.client, Box::new(client));
        let first = net.world.accept(listener).unwrap();
        read_request(&mut net.world, first);
        net.world.write_all(first, OK).unwrap();
        // The second request has been read; the connection ends without an answer to it.
        assert!(read_request(&mut net.world, first).starts_with(method));
        net.world.close(first);
        if again {
            let second = net.world.accept(listener).unwrap();
            assert!(read_request(&mut net.world, second).starts_with(method));
            net.world.write_all(second, OK).unwrap();
        }
        net.world.run_for(MINUTE);
        let fetched: Vec<Fetched> = results.try_iter().collect();
        assert_eq!(fetched.len(), 2);
        assert_eq!((fetched[1].retried, fetched[1].reused), (again, !again), "{method}");
        let expected = (!again).then_some(FetchError::Http(ClientError::NoAnswer));
        assert_eq!(fetched[1].error, expected, "{method}");
    }
}

#[test]
fn a_refused_expectation_is_dropped_and_the_request_repeated_rfc_9110_10_1_1() {
    let mut net = Net::new(|_| {});
    let raw = host(&mut net.world, "raw", "10.77.0.3");
    let listener = net.world.listen(raw, "10.77.0.3:80".parse::<SocketAddr>().unwrap()).unwrap();
    let body = RequestBody::Bytes((*b"body").into());
    let plan = RequestPlan::get("http://10.77.0.3/").unwrap().body(body).expect_continue();
    let client = HttpClient::new(Owner(2), vec![plan], ClientOptions::default());
    let results = client.results();
    net.world.add_service(net.client, Box::new(client));
    let first = net.world.accept(listener).unwrap();
    assert!(read_request(&mut net.world, first).contains("Expect: 100-continue"));
    net.world.write_all(first, b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").unwrap();
    let second = net.world.accept(listener).unwrap();
    assert!(!read_request(&mut net.world, second).contains("Expect"));
    let mut sent = [0; 4];
    net.world.read_exact(second, &mut sent).unwrap();
    assert_eq!(&sent, b"body");
    net.world.write_all(second, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    net.world.run_for(MINUTE);
    let fetched: Vec<Fetched> = results.try_iter().collect();
    assert_eq!(fetched.len(), 1);
    assert_eq!((fetched[0].status().map(|s| s.as_u16()), fetched[0].retried), (Some(204), true));
}

#[test]
fn a_reset_cuts_a_response_short_and_is_reported() {
    let mut net = Net::new(|_| {});
    let fetched = net.fetch(vec![plan("/reset-after/5000")], ClientOptions::default()).remove(0);
    assert_eq!(fetched.error, Some(FetchError::Stream(StreamError::ConnectionReset)));
    assert_eq!((fetched.body_len, fetched.body), (5000, bytes(0, 5000)));
    assert_eq!(net.exchanges()[0].ended, Ended::Aborted);
}

#[test]
fn failures_have_their_own_names() {
    let mut net = Net::new(|_| {});
    let mut fail = |url: &str, options: ClientOptions| {
        net.fetch(vec![RequestPlan::get(url).unwrap()], options).remove(0).error.unwrap()
    };
    let refused = fail("http://10.77.0.2:81/", ClientOptions::default());
    assert_eq!(refused, FetchError::Connect(StreamError::ConnectionRefused));
    let options = ClientOptions { connect_timeout: Some(Duration::from_secs(2)), ..ClientOptions::default() };
    assert_eq!(fail("http://10.77.0.99/", options), FetchError::ConnectTimedOut);
    let options = ClientOptions { max_time: Some(Duration::from_secs(1)), ..ClientOptions::default() };
    assert_eq!(fail("http://10.77.0.2/delay/5000", options), FetchError::MaxTime);
    let options = http(|c| c.body_timeout = Duration::from_secs(1));
    assert_eq!(fail("http://10.77.0.2/delay/5000", options), FetchError::Http(ClientError::TimedOut));
    assert!(matches!(fail("http://name.invalid/", ClientOptions::default()), FetchError::Resolve(_)));
    let options = ClientOptions {
        hosts: vec![("glass".into(), "10.77.0.2".parse().unwrap())],
        ..ClientOptions::default()
    };
    let fetched = net.fetch(vec![RequestPlan::get("glass/headers").unwrap()], options).remove(0);
    assert!(String::from_utf8(fetched.body).unwrap().contains("Host: glass\n"));
}

#[test]
fn a_lack_of_ports_fails_or_is_waited_for() {
    for (port_wait, expected) in [(Duration::ZERO, 1), (MINUTE, 0)] {
        let mut net = Net::new(|_| {});
        net.world.stack(net.client).set_tcp_config(tcp::Config {
            ports_first: 40_000,
            ports_last: 40_001,
            ..tcp::Config::linux()
        });
        let options = ClientOptions { port_wait, ..http(|c| c.parallel = 3) };
        let fetched = net.fetch(vec![plan("/delay/2000"), plan("/delay/2000"), plan("/bytes/1")], options);
        let failed = fetched.iter().filter(|f| matches!(f.error, Some(FetchError::Stack(_)))).count();
        assert_eq!(failed, expected, "{fetched:?}");
    }
}

#[test]
fn slow_reading_closes_the_window_and_loses_nothing() {
    let mut net = Net::new(|_| {});
    let upload = plan("/slow-read?size=65536&gap=10ms").body(RequestBody::Pattern(3_000_000));
    let fetched = net.fetch(vec![upload], ClientOptions::default()).remove(0);
    assert_eq!(fetched.error, None);
    assert_eq!(String::from_utf8(fetched.body).unwrap(), "The body had 3000000 bytes.\n");
    let took = fetched.timings.last_byte.unwrap().since(fetched.timings.start.unwrap());
    assert!(took >= Duration::from_millis(10) * 45, "{took:?}");
}

#[test]
fn interim_responses_reach_the_client_rfc_9110_15_2() {
    let mut net = Net::new(|_| {});
    let fetched = net.fetch(vec![plan("/status/103")], ClientOptions::default()).remove(0);
    assert_eq!(fetched.status().map(|s| s.as_u16()), Some(200));
    assert_eq!(fetched.interims.iter().map(|s| s.as_u16()).collect::<Vec<_>>(), [103]);
    let fetched =
        net.fetch(vec![plan("/status/103").version(Version::Http10)], ClientOptions::default()).remove(0);
    assert!(fetched.interims.is_empty());
}

#[test]
fn an_exchange_does_not_last_until_a_client_that_has_its_answer_says_so() {
    let mut net = Net::new(|_| {});
    let (socket, request) = (net.connect(), b"GET /bytes/10 HTTP/1.1\r\nHost: a\r\n\r\n");
    for pause in [0, 15, 25, 500, 5] {
        // In which the client thinks, or holds its acknowledgment back.
        net.world.run_for(Duration::from_millis(pause));
        net.world.write_all(socket, request).unwrap();
        net.world.run_until(MINUTE, |world| world.readable(socket) > 0);
        let answer = net.world.readable(socket);
        net.world.read_exact(socket, &mut vec![0; answer]).unwrap();
    }
    net.world.shutdown(socket, Shutdown::Write);
    let exchanges = net.exchanges();
    assert!(
        exchanges.iter().any(|e| e.acked.unwrap().since(e.started) > RTT),
        "some acknowledgments were late"
    );
    for exchange in exchanges {
        assert_eq!(exchange.ledger.total(), RTT, "{exchange:?}");
        assert_eq!(exchange.ledger.link, RTT, "{exchange:?}");
    }
}

#[test]
fn exchanges_say_when_what_happened() {
    let mut net = Net::new(|_| {});
    net.get("/delay/100");
    net.talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n");
    let exchanges = net.exchanges();
    let [waited, refused] = &exchanges[..] else { panic!("{exchanges:?}") };
    assert_eq!((waited.conn, &*waited.method, &*waited.target, waited.status), (1, "GET", "/delay/100", 200));
    assert_eq!(waited.first_byte.unwrap().since(waited.started), Duration::from_millis(100));
    assert_eq!(waited.acked.unwrap().since(waited.last_byte.unwrap()), RTT);
    assert!(!waited.reused && waited.bytes == 27 && waited.ended == Ended::Kept);
    assert_eq!((refused.conn, refused.status, refused.ended), (2, 400, Ended::Refused));
    assert!(refused.bytes > 0 && refused.acked.is_some(), "{refused:?}");
}

#[test]
fn the_server_says_where_it_listens() {
    let mut net = Net::new(|_| {});
    net.get("/");
    assert_eq!(net.listening.try_iter().collect::<Vec<_>>(), [Listening::At(address())]);
    let mut world = World::new(1, LinkConfig::default());
    let server = host(&mut world, "server", "10.77.0.2");
    let elsewhere = "10.99.0.1:80".parse().unwrap();
    let service = HttpServer::new(Owner(1), vec![elsewhere], Site::default(), Config::linux());
    assert_eq!(service.totals(), ServerTotals::default());
    let listening = service.listening();
    world.add_service(server, Box::new(service));
    world.run_for(RTT);
    assert!(matches!(listening.try_recv(), Ok(Listening::Failed(at, _)) if at == elsewhere));
}

#[test]
fn a_draining_server_finishes_what_is_open_and_refuses_the_rest() {
    let mut net = Net::new(|_| {});
    let (busy, idle) = (net.connect(), net.connect());
    net.world.write_all(busy, b"GET /delay/500 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    net.world.run_for(RTT * 2);
    assert!(net.world.drain(MINUTE));
    let answer = String::from_utf8(net.world.read_to_end(busy).unwrap()).unwrap();
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("waited 500 ms.\n"), "{answer}");
    assert_eq!(net.world.read_to_end(idle).unwrap(), b"");
    let refused = net.world.connect(net.client, address()).unwrap_err();
    assert_eq!(refused, SimError::Stream(StreamError::ConnectionRefused));
}

#[test]
fn files_are_served_and_nothing_outside_of_the_root() {
    let root = tempdir("files");
    std::fs::create_dir_all(root.join("site/sub dir")).unwrap();
    std::fs::write(root.join("secret.txt"), "secret").unwrap();
    std::fs::write(root.join("site/index.html"), "<p>index").unwrap();
    std::fs::write(root.join("site/a.css"), bytes(0, 100_000)).unwrap();
    std::fs::write(root.join("site/sub dir/index.html"), "sub").unwrap();
    for (link, target) in
        [("inside", "a.css"), ("outside", "../secret.txt"), ("absolute", "/etc/passwd"), ("up", "..")]
    {
        std::os::unix::fs::symlink(target, root.join("site").join(link)).unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("site/fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let mut net = Net::with(Site { root: Some(root.join("site")) }, |_| {});
    for (path, expected, content) in [
        ("/", "200", "<p>index"),
        ("/index.html", "200", "<p>index"),
        ("/./sub%20dir/", "200", "sub"),
        ("//sub%20dir//index.html", "200", "sub"),
        ("/inside", "200", "0000000000000000 The quick"),
        ("/bytes/3", "200", "000"),
        ("/sub%20dir", "301", "/sub%20dir/"),
        ("/index.html/", "404", "no such file"),
        ("/nowhere", "404", "no such file"),
        ("/outside", "404", "no such file"),
        ("/absolute", "404", "no such file"),
        ("/up/secret.txt", "404", "no such file"),
        ("/../secret.txt", "404", "no such file"),
        ("/sub%20dir/../../secret.txt", "404", "no such file"),
        ("/%2e%2e/secret.txt", "404", "no such file"),
        ("/..%2fsecret.txt", "404", "no such file"),
        ("/sub%20dir%2findex.html", "404", "no such file"),
        ("/a%00.css", "400", "not validly encoded"),
        ("/a%zz", "400", "not validly encoded"),
        ("/a%f", "400", "not validly encoded"),
        ("/%ff", "400", "not validly encoded"),
        ("/fifo", "403", "may not be read"),
        ("//evil.example/%2e%2e", "404", ""),
    ] {
        let answer = net.get(path);
        assert_eq!(status(&answer), expected, "{path}: {answer}");
        assert!(body(&answer).contains(content), "{path}: {answer}");
    }
    let answer = net.get("/a.css");
    assert!(
        answer.contains("Content-Type: text/css\r\n") && answer.contains("\r\nLast-Modified: "),
        "{}",
        &answer[..300]
    );
    assert!(body(&answer) == text(0, 100_000));
    let etag = answer.lines().find_map(|l| l.strip_prefix("ETag: ")).unwrap().to_string();
    let mut ask = |field: &str| net.talk(&format!("GET /a.css HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"));
    assert_eq!(status(&ask(&format!("If-None-Match: {etag}"))), "304");
    assert_eq!(status(&ask("If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT")), "304");
    let part = ask("Range: bytes=99990-");
    assert_eq!((status(&part), body(&part)), ("206", &*text(99_990, 10)));
    let post = net.talk("POST /a.css HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status(&post), "405");
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn echo_discard_and_talk_serve_without_http() {
    let mut net = Net::new(|_| {});
    let server = host(&mut net.world, "plain", "10.77.0.3");
    for (owner, port, talk) in [(1, 7, Talk::Echo), (2, 9, Talk::Discard), (3, 19, Talk::Talk)] {
        let address = SocketAddr::new("10.77.0.3".parse().unwrap(), port);
        net.world.add_service(server, Box::new(EchoService::new(Owner(owner), address, talk)));
    }
    let connect = |net: &mut Net, port| {
        let remote = SocketAddr::new("10.77.0.3".parse().unwrap(), port);
        net.world.connect(net.client, remote).unwrap()
    };
    // More than all buffers hold goes out while nothing is read: it waits, it is not lost.
    let socket = connect(&mut net, 7);
    let sent = bytes(0, 300_000);
    net.world.write_all(socket, &sent).unwrap();
    net.world.shutdown(socket, Shutdown::Write);
    assert!(net.world.read_to_end(socket).unwrap() == sent);
    let socket = connect(&mut net, 9);
    net.world.write_all(socket, &bytes(0, 5_000_000)).unwrap();
    net.world.shutdown(socket, Shutdown::Write);
    assert_eq!(net.world.read_to_end(socket).unwrap(), b"");
    let socket = connect(&mut net, 19);
    let mut got = vec![0; 2_000_000];
    net.world.read_exact(socket, &mut got).unwrap();
    assert!(got == bytes(0, 2_000_000));
    net.world.close(socket);
    assert!(net.world.drain(MINUTE));
}

/// An empty directory of this test's own.
fn tempdir(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("tcpglass-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_thousand_connections_are_served_side_by_side() {
    let mut net = Net::new(|_| {});
    let options = ClientOptions { repeat: 1000, ..http(|c| c.parallel = 1000) };
    let fetched = net.fetch(vec![plan("/delay/100")], options);
    assert_eq!(fetched.len(), 1000);
    assert!(fetched.iter().all(|f| f.error.is_none()));
    let end = fetched.iter().filter_map(|f| f.timings.last_byte).max().unwrap();
    assert!(end < Instant::from_millis(200), "{end}");
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let run = || {
        let mut net = Net::new(|_| {});
        let options = ClientOptions { repeat: 20, ..http(|c| c.parallel = 4) };
        let plans = vec![plan("/bytes/5000"), plan("/chunked/3000"), plan("/drip?chunks=3&gap=5ms")];
        assert!(net.fetch(plans, options).iter().all(|f| f.error.is_none()));
        net.world.hash()
    };
    assert_eq!(run(), run());
}

#[test]
fn what_the_user_wrote_is_checked_before_anything_is_sent() {
    for url in [
        "https://a/",
        "ftp://a/",
        "http://",
        "http://u:p@a/",
        "http://a:99999/",
        "http://a:0/",
        "http://a b/",
    ] {
        assert!(RequestPlan::get(url).is_err(), "{url}");
    }
    let plan = RequestPlan::get("a/b").unwrap();
    assert_eq!(plan.url(), "http://a/b");
    assert!(plan.clone().method("GE T").is_err());
    assert!(plan.clone().method("CONNECT").is_err());
    assert!(plan.clone().field("X", "a\r\nEvil: b").is_err());
    assert!(plan.field("X Y", "a").is_err());
    assert!(Fields::new().is_empty());
}

#[test]
fn a_rate_that_leaves_some_of_its_time_empty_is_divided_by_all_of_it() {
    let mut net = Net::new(|_| {});
    let options = ClientOptions {
        repeat: u64::MAX,
        rate: Some(3.0),
        duration: Some(Duration::from_secs(1)),
        ..http(|_| {})
    };
    let load = LoadClient::new(Owner(2), vec![plan("/bytes/10")], options);
    let watch = load.watch();
    net.world.add_service(net.client, Box::new(load));
    net.world.run_for(MINUTE);
    let report = watch.report();
    assert_eq!((report.answered(), report.elapsed()), (3, Duration::from_secs(1)));
}

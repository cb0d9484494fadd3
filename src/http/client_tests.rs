use super::*;
use proptest::prelude::*;

const T0: Instant = Instant::from_millis(1_000);

/// A client and what it made of what it was sent.
struct Bench {
    conn: ClientConn,
    now: Instant,
    log: Vec<String>,
    body: Vec<u8>,
    /// The most that was buffered.
    most: usize,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Config)) -> Bench {
        let mut config = Config::linux();
        change(&mut config);
        let conn = ClientConn::new(Arc::new(config), T0);
        Bench { conn, now: T0, log: Vec::new(), body: Vec::new(), most: 0 }
    }

    fn try_ask(&mut self, method: &str, body: OutBody, expect_continue: bool) -> Result<(), SendError> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let fields = Fields::new();
        self.conn.send(
            self.now,
            &OutRequest {
                method: &method,
                target: "/x",
                authority: "a",
                version: Version::Http11,
                fields: &fields,
                body,
                expect_continue,
                close: false,
            },
        )
    }

    fn ask(&mut self, method: &str) {
        self.try_ask(method, OutBody::None, false).unwrap();
        self.said();
    }

    fn said(&mut self) -> String {
        let text = String::from_utf8_lossy(self.conn.output()).into_owned();
        if !text.is_empty() {
            self.conn.on_sent(self.now, text.len());
        }
        text
    }

    fn hear(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.conn.room() > 0 {
            let n = rest.len().min(self.conn.room());
            self.conn.on_bytes(self.now, &rest[..n]);
            self.most = self.most.max(self.conn.input.len());
            rest = &rest[n..];
            self.work();
        }
    }

    fn fin(&mut self) {
        self.conn.on_eof(self.now);
        self.work();
    }

    fn work(&mut self) {
        loop {
            let mut buf = [0; 100];
            match self.conn.poll_event(self.now) {
                Some(ClientEvent::Interim(head)) => self.log.push(head.status.as_str().into()),
                Some(ClientEvent::Response(head) | ClientEvent::Switched(head)) => {
                    self.log.push(head.status.as_str().into())
                }
                Some(ClientEvent::End(_)) => {
                    self.log.push(format!("end {}", String::from_utf8_lossy(&self.body)));
                    self.body.clear();
                }
                Some(ClientEvent::Failed(e)) => self.log.push(match e {
                    ClientError::Malformed(_) => "malformed".into(),
                    e => format!("{e:?}"),
                }),
                None => match self.conn.receiving {
                    Receiving::Body => match self.conn.read_body(self.now, &mut buf) {
                        Ok(n) => self.body.extend_from_slice(&buf[..n]),
                        Err(BodyError::WouldBlock) => return,
                        Err(_) if self.conn.failure.is_some() => {}
                        Err(_) => return,
                    },
                    _ => return,
                },
            }
        }
    }

    fn reusable(&self) -> bool {
        self.conn.reusable_until(Duration::ZERO).is_some()
    }
}

#[test]
fn responses_are_framed_as_rfc_9112_6_3_says() {
    let chunked = "Transfer-Encoding: chunked";
    for (what, method, response, fin, expected, reusable) in [
        ("a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_string(), false, &["200", "end abc"][..], true),
        ("no bytes", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(), false, &["200", "end "], true),
        ("chunks", "GET", format!("HTTP/1.1 200 OK\r\n{chunked}\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\nT: u\r\n\r\n"), false, &["200", "end abc"], true),
        ("HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".into(), false, &["200", "end "], true),
        ("HEAD with chunks", "HEAD", format!("HTTP/1.1 200 OK\r\n{chunked}\r\n\r\n"), false, &["200", "end "], true),
        ("204", "GET", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n".into(), false, &["204", "end "], true),
        ("304", "GET", "HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n".into(), false, &["304", "end "], true),
        ("several interim responses, RFC 9110 §15.2", "GET", "HTTP/1.1 102 A\r\n\r\nHTTP/1.1 103 B\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(), false, &["102", "103", "200", "end "], true),
        ("until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nabc".into(), true, &["200", "end abc"], false),
        ("a coding that is none: until the end", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc".into(), true, &["200", "end abc"], false),
        ("a coding nobody offered, until the end", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(), true, &["malformed"], false),
        ("chunked not at the end", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(), true, &["malformed"], false),
        ("chunked twice", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(), true, &["malformed"], false),
        ("chunked with a parameter", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(), true, &["malformed"], false),
        ("a word that ends so", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(), true, &["malformed"], false),
        ("chunks override a length, and close", "GET", format!("HTTP/1.1 200 OK\r\n{chunked}\r\nContent-Length: 9\r\n\r\n0\r\n\r\n"), false, &["200", "end "], false),
        ("chunks in a 1.0 response close, §6.1", "GET", format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n{chunked}\r\n\r\n0\r\n\r\n"), false, &["200", "end "], false),
        ("an unknown status counts as its class, RFC 9110 §15", "GET", "HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n".into(), false, &["299", "end "], true),
        ("two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc".into(), false, &["malformed"], false),
        ("a coding nobody offered", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(), false, &["malformed"], false),
        ("no HTTP", "GET", "SSH-2.0-x\r\n\r\n".into(), false, &["malformed"], false),
        ("101 unasked, RFC 9110 §7.8", "GET", "HTTP/1.1 101 X\r\n\r\n".into(), false, &["malformed"], false),
        ("broken chunks", "GET", format!("HTTP/1.1 200 OK\r\n{chunked}\r\n\r\nx\r\n"), false, &["200", "Chunked(Size)"], false),
        ("§8 a short body is incomplete", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc".into(), true, &["200", "Incomplete"], false),
        ("§8 so are chunks without an end", "GET", format!("HTTP/1.1 200 OK\r\n{chunked}\r\n\r\n3\r\nabc\r\n"), true, &["200", "Incomplete"], false),
        ("§8 and half a head", "GET", "HTTP/1.1 200".into(), true, &["Incomplete"], false),
        ("no answer", "GET", String::new(), true, &["NoAnswer"], false),
        ("a head without an end", "GET", format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000)), false, &["HeadTooLarge"], false),
        ("interim responses without an end", "GET", "HTTP/1.1 102 A\r\n\r\n".repeat(101), false, &["malformed"], false),
    ] {
        for cut in [response.len(), 1, 7] {
            let mut bench = Bench::new(|_| {});
            bench.ask(method);
            for piece in response.as_bytes().chunks(cut.max(1)) {
                bench.hear(piece);
            }
            if fin {
                bench.fin();
            }
            let log: Vec<_> = bench.log.iter().filter(|l| *l != "102" || expected.contains(&"102")).collect();
            assert_eq!(log, expected, "{what}, in pieces of {cut}");
            assert_eq!(bench.reusable(), reusable, "{what}");
        }
    }
}

#[test]
fn a_response_may_have_as_many_fields_as_http_max_fields_says() {
    for (fields, taken) in [(999, true), (1000, false)] {
        let mut bench = Bench::new(|_| {});
        bench.ask("GET");
        let fields = "X: y\r\n".repeat(fields);
        bench.hear(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n").as_bytes());
        assert_eq!(bench.log[0], if taken { "200" } else { "malformed" });
    }
}

#[test]
fn connections_persist_as_rfc_9112_9_3_says() {
    for (version, connection, kept) in [
        ("1.1", "X: y", true),
        ("1.1", "Connection: close", false),
        ("1.1", "Connection: x, CLOSE", false),
        ("1.0", "X: y", false),
        ("1.0", "Connection: keep-alive", true),
    ] {
        let mut bench = Bench::new(|_| {});
        bench.ask("GET");
        bench.hear(format!("HTTP/{version} 200 OK\r\n{connection}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        assert_eq!(bench.reusable(), kept, "{version} {connection}");
        let again = bench.try_ask("GET", OutBody::None, false);
        assert_eq!(again, if kept { Ok(()) } else { Err(SendError::Closed) }, "§9.6 {version} {connection}");
    }
    let mut bench = Bench::new(|c| c.keepalive = false);
    bench.try_ask("GET", OutBody::None, false).unwrap();
    assert!(bench.said().contains("Connection: close\r\n"));
}

#[test]
fn surplus_bytes_are_never_a_response_rfc_9112_6_3() {
    let mut bench = Bench::new(|_| {});
    bench.ask("GET");
    bench.hear(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    );
    assert_eq!(bench.log, ["200", "end "]);
    assert!(!bench.reusable());
    assert!(bench.conn.surplus() > 0);
    assert_eq!(bench.try_ask("GET", OutBody::None, false), Err(SendError::Closed));
}

#[test]
fn a_connection_expires_before_the_servers_timeout_rfc_2068_19_7_1() {
    let mut bench = Bench::new(|_| {});
    bench.ask("GET");
    bench.hear(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5, max=7\r\n\r\n");
    let rtt = Duration::from_millis(40);
    assert_eq!(bench.conn.reusable_until(rtt), Some(T0 + Duration::from_millis(5_000 - 40 - 100)));
    assert_eq!(bench.conn.promise().max, Some(7));
    bench.fin();
    assert_eq!(bench.conn.reusable_until(rtt), None);
    let mut bench = Bench::new(|_| {});
    bench.ask("GET");
    bench
        .hear(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\nKeep-Alive: max=0\r\n\r\n");
    assert!(!bench.reusable());
}

#[test]
fn requests_are_written_as_rfc_9112_3_says() {
    let method = Method::PUT;
    let fields = Fields::new().with("X", "y").with("Content-Length", "9");
    let request = OutRequest {
        method: &method,
        target: "/x?y",
        authority: "a:81",
        version: Version::Http11,
        fields: &fields,
        body: OutBody::Length(3),
        expect_continue: false,
        close: false,
    };
    let mut bench = Bench::new(|_| {});
    bench.conn.send(T0, &request).unwrap();
    assert_eq!(bench.conn.write_body(b"abcdef"), 3);
    assert_eq!(bench.said(), "PUT /x?y HTTP/1.1\r\nHost: a:81\r\nX: y\r\nContent-Length: 3\r\n\r\nabc");
    // §3.2: an own Host goes before the authority; §6.2: no Content-Length beside chunks.
    let fields = Fields::new().with("Host", "b").with("Content-Length", "9");
    let mut bench = Bench::new(|_| {});
    bench.conn.send(T0, &OutRequest { fields: &fields, body: OutBody::Chunked, ..request }).unwrap();
    assert_eq!(bench.conn.write_body(b"abc"), 3);
    bench.conn.end_body();
    assert_eq!(
        bench.said(),
        "PUT /x?y HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    let fields = Fields::new();
    for (what, wrong) in [
        ("a space in the target", OutRequest { target: "/x y", fields: &fields, ..request }),
        ("a line end in the target", OutRequest { target: "/x\r\nEvil: y", fields: &fields, ..request }),
        ("an empty target", OutRequest { target: "", fields: &fields, ..request }),
        ("a line end in the host", OutRequest { authority: "a\r\nEvil: y", fields: &fields, ..request }),
        (
            "§6.1 chunks to 1.0",
            OutRequest { version: Version::Http10, body: OutBody::Chunked, fields: &fields, ..request },
        ),
    ] {
        let mut bench = Bench::new(|_| {});
        assert_eq!(bench.conn.send(T0, &wrong), Err(SendError::Invalid), "{what}");
        assert!(bench.conn.output().is_empty(), "{what}");
    }
    // RFC 9110 §8.6: POST without content says so.
    let mut bench = Bench::new(|_| {});
    bench.try_ask("POST", OutBody::None, false).unwrap();
    assert!(bench.said().contains("Content-Length: 0\r\n"));
}

#[test]
fn a_body_waits_for_100_continue_but_not_for_ever_rfc_9110_10_1_1() {
    let begin = || {
        let mut bench = Bench::new(|_| {});
        bench.try_ask("POST", OutBody::Length(3), true).unwrap();
        assert!(bench.said().contains("Expect: 100-continue\r\n"));
        assert_eq!(bench.conn.write_body(b"abc"), 0);
        bench
    };
    let mut bench = begin();
    bench.hear(b"HTTP/1.1 102 Wait\r\n\r\n");
    assert_eq!(bench.conn.write_body(b"abc"), 0);
    bench.hear(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(bench.conn.write_body(b"abc"), 3);

    let mut bench = begin();
    assert_eq!(bench.conn.next_deadline(), Some(T0 + CONTINUE_WAIT));
    bench.conn.on_timeout(T0 + CONTINUE_WAIT);
    assert_eq!(bench.conn.write_body(b"abc"), 3);

    let mut bench = begin();
    bench.hear(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(bench.log, ["417", "end "]);
    assert!(!bench.conn.is_sending() && !bench.reusable());
}

#[test]
fn an_early_error_stops_the_upload_rfc_9112_9_5() {
    let mut bench = Bench::new(|_| {});
    bench.try_ask("POST", OutBody::Length(1 << 30), false).unwrap();
    bench.conn.write_body(&[0; 1000]);
    bench.hear(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(bench.log, ["413", "end "]);
    assert_eq!((bench.conn.body_room(), bench.reusable()), (0, false));
    // An early success does not stop it.
    let mut bench = Bench::new(|_| {});
    bench.try_ask("POST", OutBody::Length(3), false).unwrap();
    bench.hear(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(bench.conn.write_body(b"abc"), 3);
    bench.said();
    assert!(bench.reusable());
}

#[test]
fn only_safe_requests_are_pipelined_and_only_on_a_proven_connection_rfc_9112_9_3_2() {
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    let mut bench = Bench::new(|c| c.pipeline = 3);
    bench.ask("GET");
    assert_eq!(bench.try_ask("GET", OutBody::None, false), Err(SendError::Busy), "nothing was answered yet");
    bench.hear(ok);
    for _ in 0..3 {
        bench.ask("GET");
    }
    assert_eq!(bench.try_ask("GET", OutBody::None, false), Err(SendError::Busy), "three are enough");
    bench.hear(&ok.repeat(3));
    assert_eq!(bench.log, ["200", "end x"].repeat(4));
    bench.ask("GET");
    assert_eq!(bench.try_ask("DELETE", OutBody::None, false), Err(SendError::Busy), "not safe");
    bench.hear(ok);
    bench.ask("POST");
    assert_eq!(
        bench.try_ask("GET", OutBody::None, false),
        Err(SendError::Busy),
        "behind one that is not idempotent"
    );
}

#[test]
fn requests_behind_a_last_response_are_not_answered_rfc_9112_9_3_1() {
    let mut bench = Bench::new(|c| c.pipeline = 3);
    bench.ask("GET");
    bench.hear(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    bench.ask("GET");
    bench.ask("GET");
    bench.hear(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(bench.log, ["200", "end ", "200", "end ", "NoAnswer"]);
    assert_eq!(bench.conn.unanswered(), 1);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let mut bench = Bench::new(|_| {});
    bench.ask("GET");
    let due = bench.conn.next_deadline().unwrap();
    assert_eq!(due, T0 + Duration::from_secs(60));
    bench.now = due;
    bench.conn.on_timeout(due);
    bench.work();
    assert_eq!(bench.log, ["TimedOut"]);
    assert!(bench.conn.is_over());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_nor_pile_up(
        pieces in prop::collection::vec(
            prop_oneof![
                Just(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()),
                Just(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
                Just(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
                Just(b"5\r\nhello\r\n".to_vec()),
                Just(b"0\r\n\r\n".to_vec()),
                Just(vec![b'x'; 9000]),
                prop::collection::vec(any::<u8>(), 0..300),
            ],
            0..40,
        ),
        fin in any::<bool>(),
    ) {
        let mut bench = Bench::new(|c| c.pipeline = 4);
        for piece in &pieces {
            let _ = bench.try_ask("GET", OutBody::None, false);
            bench.said();
            bench.hear(piece);
        }
        if fin {
            bench.fin();
            prop_assert!(bench.conn.is_over(), "{:?}", bench.conn);
        }
        prop_assert!(bench.most <= INPUT_LIMIT);
    }
}

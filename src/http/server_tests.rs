use super::*;
use crate::time::Duration;
use proptest::prelude::*;

const T0: Instant = Instant::from_millis(1_000);

/// A server that answers every request with its path and body, and what it wrote.
struct Bench {
    conn: ServerConn,
    now: Instant,
    said: Vec<u8>,
    seen: Vec<String>,
    /// The body of the request at hand, if one is being read.
    body: Option<(String, Vec<u8>)>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Config)) -> Bench {
        let mut config = Config::linux();
        change(&mut config);
        let conn = ServerConn::new(Arc::new(config), T0);
        Bench { conn, now: T0, said: Vec::new(), seen: Vec::new(), body: None }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = rest.len().min(self.conn.room());
            if n == 0 {
                return;
            }
            self.conn.on_bytes(self.now, &rest[..n]);
            rest = &rest[n..];
            self.work();
        }
    }

    fn fin(&mut self) {
        self.conn.on_eof(self.now);
        self.work();
    }

    fn work(&mut self) {
        // Between two requests another connection's memory serves as well.
        if let Some(resting) = self.conn.resting() {
            self.conn.resume(resting);
        }
        loop {
            if self.body.is_none() {
                match self.conn.poll_event(self.now) {
                    Some(ServerEvent::Request(head)) => {
                        self.seen.push(format!("{} {}", head.method, head.target));
                        self.body = Some((head.path().to_string(), Vec::new()));
                    }
                    Some(ServerEvent::Refused(refusal, _)) => self.seen.push(refusal.status.as_str().into()),
                    None => break self.send(),
                }
            }
            let mut buf = [0; 1000];
            while let Some((path, body)) = &mut self.body {
                match self.conn.read_body(self.now, &mut buf) {
                    Ok(0) => {
                        let answer = format!("{path}={}", String::from_utf8_lossy(body));
                        self.conn.respond(
                            self.now,
                            StatusCode::OK,
                            &Fields::new(),
                            ReplyBody::Length(answer.len() as u64),
                        );
                        self.conn.write_body(self.now, answer.as_bytes());
                        self.body = None;
                    }
                    // What is kept of a body fits into one answer.
                    Ok(n) => body.extend_from_slice(&buf[..n.min(1000usize.saturating_sub(body.len()))]),
                    Err(BodyError::WouldBlock) => return self.send(),
                    Err(_) => self.body = None,
                }
            }
            self.send();
        }
    }

    fn send(&mut self) {
        let n = self.conn.output().len();
        self.said.extend_from_slice(self.conn.output());
        if n > 0 {
            self.conn.on_sent(self.now, n);
        }
        if self.conn.wants_fin() {
            self.said.extend_from_slice(b"<FIN>");
            self.conn.on_fin_sent(self.now);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.conn.next_deadline().is_some_and(|at| at <= self.now) {
            self.conn.on_timeout(self.now);
        }
        self.work();
    }

    /// Status lines, bodies and FINs of what was said, without the other fields.
    fn answers(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.said);
        let mut answers = Vec::new();
        let mut rest = &*text;
        while let Some((head, after)) = rest.split_once("\r\n\r\n") {
            let status = head.split(' ').nth(1).unwrap_or("?");
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("Content-Length: "))
                .map_or(0, |n| n.parse().unwrap_or(0));
            let keeps = if head.contains("Connection: close") { " close" } else { "" };
            let body = after.get(..length).unwrap_or("");
            answers.push(
                format!("{status}{keeps} {}", if status == "200" { body } else { "" }).trim_end().into(),
            );
            rest = after.get(body.len()..).unwrap_or("");
        }
        if rest == "<FIN>" {
            answers.push("FIN".into());
        }
        answers
    }
}

fn answers(bytes: &str) -> Vec<String> {
    let mut bench = Bench::new(|_| {});
    bench.hear(bytes.as_bytes());
    bench.answers()
}

#[test]
fn bodies_are_framed_as_rfc_9112_6_says() {
    let get = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for (what, head, body, expected) in [
        ("no body", "X: y", "", &["200 /=", "200 /next="][..]),
        ("a length", "Content-Length: 3", "abc", &["200 /=abc", "200 /next="]),
        ("§6.3 an identical list of lengths", "Content-Length: 3, 3", "abc", &["200 /=abc", "200 /next="]),
        (
            "§6.3 identical lengths in two fields",
            "Content-Length: 3\r\nContent-Length: 3",
            "abc",
            &["200 /=abc", "200 /next="],
        ),
        (
            "§7.1 chunks",
            "Transfer-Encoding: chunked",
            "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            &["200 /=abc", "200 /next="],
        ),
        ("§7 a coding in any case", "Transfer-Encoding: CHUNKED", "0\r\n\r\n", &["200 /=", "200 /next="]),
        (
            "§6.3 two different lengths",
            "Content-Length: 3\r\nContent-Length: 4",
            "abc",
            &["400 close", "FIN"],
        ),
        ("§6.3 a list of different lengths", "Content-Length: 3, 4", "abc", &["400 close", "FIN"]),
        ("§6.3 a negative length", "Content-Length: -3", "abc", &["400 close", "FIN"]),
        ("§6.3 a length with a sign", "Content-Length: +3", "abc", &["400 close", "FIN"]),
        ("§6.3 an empty length", "Content-Length:", "abc", &["400 close", "FIN"]),
        ("§6.3 a length beyond 64 bits", "Content-Length: 18446744073709551616", "", &["400 close", "FIN"]),
        ("§6.1 both", "Transfer-Encoding: chunked\r\nContent-Length: 3", "0\r\n\r\n", &["400 close", "FIN"]),
        ("§6.3 not chunked at the end", "Transfer-Encoding: chunked, gzip", "", &["400 close", "FIN"]),
        ("§6.3 not chunked at all", "Transfer-Encoding: gzip", "", &["400 close", "FIN"]),
        ("§6.3 an empty coding", "Transfer-Encoding:", "", &["400 close", "FIN"]),
        ("§6.1 chunked twice", "Transfer-Encoding: chunked, chunked", "0\r\n\r\n", &["400 close", "FIN"]),
        (
            "§6.1 chunked twice in two fields",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
            &["400 close", "FIN"],
        ),
        (
            "§6.1 a coding that is not implemented",
            "Transfer-Encoding: gzip, chunked",
            "0\r\n\r\n",
            &["501 close", "FIN"],
        ),
        ("§7.1 broken chunks", "Transfer-Encoding: chunked", "x\r\n", &["400 close", "FIN"]),
        ("RFC 9110 §15.5.14 too long a body", "Content-Length: 99999999999", "", &["413 close", "FIN"]),
        ("RFC 9110 §10.1.1 an unknown expectation", "Expect: miracles", "", &["417 close", "FIN"]),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}{get}");
        assert_eq!(answers(&request), expected, "{what}");
    }
}

#[test]
fn chunks_in_a_1_0_request_close_the_connection_rfc_9112_6_1() {
    let request =
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    assert_eq!(answers(request), ["200 close /=a", "FIN"]);
}

#[test]
fn connections_persist_as_rfc_9112_9_3_says() {
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for (what, request, kept) in [
        ("1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("1.1 with close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        ("1.1 with close in a list", "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false),
        ("1.0", "GET / HTTP/1.0\r\n\r\n", false),
        ("1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        (
            "1.0 behind a proxy that is old, App. C.2.2",
            "GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n",
            false,
        ),
    ] {
        let expected: &[&str] = if kept { &["200 /=", "200 /next="] } else { &["200 close /=", "FIN"] };
        assert_eq!(answers(&format!("{request}{next}")), expected, "{what}");
    }
}

#[test]
fn a_kept_connection_says_for_how_long_rfc_2068_19_7_1() {
    let mut bench = Bench::new(|c| {
        c.keepalive_max = 3;
        c.keepalive_timeout = Duration::from_secs(7);
    });
    bench.hear("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4).as_bytes());
    let text = String::from_utf8_lossy(&bench.said).into_owned();
    let promises: Vec<_> = text.lines().filter(|l| l.starts_with("Keep-Alive")).collect();
    assert_eq!(promises, ["Keep-Alive: timeout=7, max=2", "Keep-Alive: timeout=7, max=1"]);
    assert_eq!(bench.answers(), ["200 /=", "200 /=", "200 close /=", "FIN"]);
    let mut bench = Bench::new(|c| c.keepalive = false);
    bench.hear(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(bench.answers(), ["200 close /=", "FIN"]);
}

#[test]
fn empty_lines_are_no_request_that_could_be_late() {
    let mut bench = Bench::new(|_| {});
    bench.hear(b"\r");
    bench.hear(b"\n");
    bench.wait(Duration::from_secs(75));
    assert_eq!(bench.answers(), ["FIN"]);
}

#[test]
fn a_refusal_names_the_request_if_that_was_understood() {
    for (field, named) in
        [("Content-Length: 99999999999", true), ("Expect: x", true), ("Content-Length: x", false)]
    {
        let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
        conn.on_bytes(T0, format!("PUT /x HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n").as_bytes());
        let Some(ServerEvent::Refused(_, head)) = conn.poll_event(T0) else { panic!("{field} was accepted") };
        assert_eq!(head.map(|h| h.target), named.then(|| "/x".into()), "{field}");
        assert_eq!(conn.poll_event(T0), None);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_rfc_9112_9_3_2() {
    let requests: String = (0..200).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let expected: Vec<String> = (0..200).map(|n| format!("200 /{n}=")).collect();
    assert_eq!(answers(&requests), expected);
}

#[test]
fn empty_lines_before_a_request_are_ignored_rfc_9112_2_2() {
    assert_eq!(
        answers("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ["200 /=", "200 /2="]
    );
}

#[test]
fn long_heads_are_refused_and_not_kept_rfc_9112_3_rfc_6585_5() {
    let mut bench = Bench::new(|_| {});
    bench.hear(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(16 << 10)).as_bytes());
    assert_eq!(bench.answers(), ["414 close", "FIN"]);
    let mut bench = Bench::new(|_| {});
    bench.hear(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(16 << 10)).as_bytes());
    assert_eq!(bench.answers(), ["431 close", "FIN"]);
    let mut bench = Bench::new(|_| {});
    for _ in 0..1000 {
        bench.hear(&[b'x'; 1000]);
        assert!(bench.conn.input.len() <= INPUT_LIMIT);
    }
    assert_eq!(bench.answers(), ["414 close", "FIN"]);
}

#[test]
fn more_fields_than_are_accepted_are_answered_431() {
    for (fields, status) in [(17, "200 /="), (999, "200 /="), (1000, "431 close")] {
        let mut bench = Bench::new(|_| {});
        bench.hear(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(fields)).as_bytes());
        assert_eq!(bench.answers()[0], status, "{fields} and Host");
    }
}

#[test]
fn continue_is_sent_when_the_body_is_read_rfc_9110_10_1_1() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let mut bench = Bench::new(|_| {});
    bench.hear(head.as_bytes());
    assert_eq!(bench.said, b"HTTP/1.1 100 Continue\r\n\r\n");
    bench.hear(b"abc");
    assert_eq!(bench.answers(), ["100", "200 /=abc"]);
    // The body is there already.
    assert_eq!(answers(&format!("{head}abc")), ["200 /=abc"]);
    // An HTTP/1.0 client would take it for the answer.
    let mut bench = Bench::new(|_| {});
    bench.hear(head.replace("1.1", "1.0").as_bytes());
    assert_eq!(bench.said, b"");
    // There is nothing to wait for.
    assert_eq!(answers(&head.replace("h: 3", "h: 0")), ["200 /="]);
}

#[test]
fn an_answer_instead_of_100_continue_closes_rfc_9110_10_1_1() {
    let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
    conn.on_bytes(T0, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert!(matches!(conn.poll_event(T0), Some(ServerEvent::Request(_))));
    conn.respond(T0, StatusCode::FORBIDDEN, &Fields::new(), ReplyBody::Length(0));
    assert!(String::from_utf8_lossy(conn.output()).contains("Connection: close\r\n"));
    assert!(conn.wants_fin());
}

#[test]
fn timeouts_are_answered_408_unless_the_connection_is_idle_rfc_9112_9_5() {
    let second = Duration::from_secs(1);
    let mut bench = Bench::new(|_| {});
    bench.wait(60 * second);
    assert_eq!(bench.answers(), ["FIN"], "a new connection that says nothing");

    let mut bench = Bench::new(|_| {});
    bench.hear(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    bench.wait(74 * second);
    assert_eq!(bench.answers(), ["200 /="]);
    bench.wait(second);
    assert_eq!(bench.answers(), ["200 /=", "FIN"], "an idle connection");

    let mut bench = Bench::new(|_| {});
    bench.hear(b"G");
    for _ in 0..59 {
        bench.wait(second);
        bench.hear(b"E");
    }
    bench.wait(second);
    assert_eq!(bench.answers(), ["408 close", "FIN"], "a head that comes too slowly");
    assert_eq!(bench.seen, ["408"]);

    let mut bench = Bench::new(|c| c.min_rate = 0);
    bench.hear(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    for _ in 0..3 {
        bench.wait(59 * second);
        bench.hear(b"x");
    }
    assert_eq!(bench.answers(), [""; 0], "a slow body is a body");
    bench.wait(60 * second);
    assert_eq!(bench.answers(), ["408 close", "FIN"], "a body that stops");
    assert_eq!(bench.seen, ["POST /", "408"]);
}

#[test]
fn a_client_that_takes_nothing_is_reset() {
    let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
    conn.on_bytes(T0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(conn.poll_event(T0).is_some());
    conn.respond(T0, StatusCode::OK, &Fields::new(), ReplyBody::Length(1 << 20));
    conn.write_body(T0, &[0; 100]);
    let later = T0 + Duration::from_secs(59);
    conn.on_sent(later, 10);
    assert_eq!(conn.next_deadline(), Some(later + Duration::from_secs(60)));
    conn.on_timeout(later + Duration::from_secs(60));
    assert!(conn.is_over() && conn.must_abort());
}

#[test]
fn after_its_fin_the_server_reads_on_rfc_9112_9_6() {
    let mut bench = Bench::new(|c| c.max_body = 10);
    bench.hear(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    assert_eq!(bench.answers(), ["413 close", "FIN"]);
    assert!(!bench.conn.is_over());
    for _ in 0..100 {
        assert!(bench.conn.room() > 0);
        bench.conn.on_bytes(bench.now, &[0; 10_000]);
        assert_eq!(bench.conn.input.len(), 0);
    }
    bench.fin();
    assert!(bench.conn.is_over() && !bench.conn.must_abort());

    let mut bench = Bench::new(|_| {});
    bench.hear(b"nonsense\r\n\r\n");
    bench.wait(Duration::from_secs(4));
    assert!(!bench.conn.is_over());
    bench.wait(Duration::from_secs(1));
    assert!(bench.conn.is_over(), "it does not wait for ever");

    let mut bench = Bench::new(|c| c.linger = Duration::ZERO);
    bench.hear(b"nonsense\r\n\r\n");
    assert!(bench.conn.is_over(), "http.linger=0");
}

#[test]
fn a_half_closed_client_gets_its_answers_rfc_9112_9_6() {
    let mut bench = Bench::new(|_| {});
    bench.conn.on_bytes(T0, b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    bench.fin();
    assert_eq!(bench.answers(), ["200 /1=", "200 /2=", "FIN"]);
    assert!(bench.conn.is_over() && !bench.conn.must_abort());
}

#[test]
fn an_incomplete_request_is_answered_400_rfc_9112_8() {
    for request in [
        "GET / HT",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ] {
        let mut bench = Bench::new(|_| {});
        bench.hear(request.as_bytes());
        bench.fin();
        assert_eq!(bench.answers(), ["400 close", "FIN"], "{request}");
    }
}

#[test]
fn an_unread_body_is_thrown_away_or_closes_rfc_9112_9_3() {
    for (length, kept) in [(1000, true), (65 << 10, false)] {
        let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
        conn.on_bytes(
            T0,
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes(),
        );
        assert!(conn.poll_event(T0).is_some());
        conn.respond(T0, StatusCode::NOT_FOUND, &Fields::new(), ReplyBody::Length(0));
        assert_eq!(!String::from_utf8_lossy(conn.output()).contains("close"), kept, "{length}");
        let n = conn.output().len();
        conn.on_sent(T0, n);
        if kept {
            conn.on_bytes(T0, &[b'x'; 1000]);
            conn.on_bytes(T0, b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
            let Some(ServerEvent::Request(head)) = conn.poll_event(T0) else { panic!("no second request") };
            assert_eq!(head.target, "/2");
        } else {
            assert!(conn.wants_fin());
        }
    }
    // Chunks whose end is not known are thrown away up to a limit.
    let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
    conn.on_bytes(T0, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n");
    assert!(conn.poll_event(T0).is_some());
    conn.respond(T0, StatusCode::OK, &Fields::new(), ReplyBody::Length(0));
    for _ in 0..100 {
        conn.on_bytes(T0, &[b'x'; 1000]);
        assert_eq!(conn.poll_event(T0), None);
    }
    assert!(conn.wants_fin());
}

/// What a response with that status and body looks like on the wire.
fn reply(request: &str, status: u16, body: ReplyBody, text: &[u8]) -> (String, bool) {
    let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
    conn.on_bytes(T0, request.as_bytes());
    assert!(conn.poll_event(T0).is_some());
    conn.respond(T0, StatusCode::from_u16(status).unwrap(), &Fields::new(), body);
    conn.write_body(T0, text);
    conn.end_body(T0);
    (String::from_utf8_lossy(conn.output()).into_owned(), conn.is_idle())
}

#[test]
fn responses_are_framed_as_rfc_9112_6_and_rfc_9110_8_6_say() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let old = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let three = ReplyBody::Length(3);
    for (what, request, status, body, has, has_not, end, kept) in [
        ("a length", get, 200, three, "Content-Length: 3\r\n", "Transfer", "\r\n\r\nabc", true),
        (
            "unknown: chunks",
            get,
            200,
            ReplyBody::Unknown,
            "Transfer-Encoding: chunked",
            "Length",
            "\r\n3\r\nabc\r\n0\r\n\r\n",
            true,
        ),
        (
            "unknown in 1.0: until the end",
            old,
            200,
            ReplyBody::Unknown,
            "Connection: close",
            "Transfer",
            "\r\n\r\nabc",
            false,
        ),
        ("HEAD: the length, no body", head, 200, three, "Content-Length: 3\r\n", "abc", "\r\n\r\n", true),
        (
            "HEAD: the coding, no body",
            head,
            200,
            ReplyBody::Unknown,
            "Transfer-Encoding",
            "abc",
            "\r\n\r\n",
            true,
        ),
        ("204", get, 204, three, "204 No Content", "Length", "\r\n\r\n", true),
        ("204 of unknown length", get, 204, ReplyBody::Unknown, "204", "Transfer", "\r\n\r\n", true),
        ("205 has no content", get, 205, three, "Content-Length: 0", "abc", "\r\n\r\n", true),
        ("304", get, 304, three, "304 Not Modified", "Length", "\r\n\r\n", true),
    ] {
        let (text, idle) = reply(request, status, body, b"abc");
        assert!(text.contains(has) && !text.contains(has_not) && text.ends_with(end), "{what}: {text}");
        assert_eq!(idle, kept, "{what}");
        assert!(text.contains("Date: Thu, 01 Jan 1970 00:00:01 GMT\r\n"), "{what}: RFC 9110 §6.6.1");
    }
}

#[test]
fn a_body_shorter_than_announced_resets_the_connection() {
    let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
    conn.on_bytes(T0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(conn.poll_event(T0).is_some());
    conn.respond(T0, StatusCode::OK, &Fields::new(), ReplyBody::Length(3));
    conn.write_body(T0, b"ab");
    conn.end_body(T0);
    assert!(conn.is_over() && conn.must_abort());
}

#[test]
fn interim_responses_go_to_1_1_clients_only_rfc_9110_15_2() {
    for (version, sent) in [("1.1", true), ("1.0", false)] {
        let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
        conn.on_bytes(T0, format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes());
        assert!(conn.poll_event(T0).is_some());
        conn.interim(T0, StatusCode::PROCESSING, &Fields::new());
        assert_eq!(conn.output().starts_with(b"HTTP/1.1 102 "), sent);
    }
}

#[test]
fn a_client_that_reads_no_answers_is_not_worked_for() {
    let mut conn = ServerConn::new(Arc::new(Config::linux()), T0);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut answered = 0;
    for _ in 0..10_000 {
        if conn.room() >= request.len() {
            conn.on_bytes(T0, request);
        }
        while let Some(ServerEvent::Request(_)) = conn.poll_event(T0) {
            conn.respond(T0, StatusCode::OK, &Fields::new(), ReplyBody::Length(0));
            answered += 1;
        }
        assert!(conn.output.len() <= OUTPUT_LIMIT && conn.input.len() <= INPUT_LIMIT);
    }
    assert!(answered > 100 && answered < 1000, "{answered}");
    assert!(conn.room() < request.len(), "the rest stays in the stream");
}

#[test]
fn a_draining_server_closes_idle_connections_and_finishes_the_others() {
    let mut bench = Bench::new(|_| {});
    bench.conn.drain();
    bench.work();
    assert_eq!(bench.answers(), ["FIN"]);
    let mut bench = Bench::new(|_| {});
    bench.hear(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    bench.conn.drain();
    bench.hear(b"x");
    assert_eq!(bench.answers(), ["200 close /=x", "FIN"]);
}

#[test]
fn every_cut_of_every_request_gives_the_same_answers() {
    for requests in [
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "\r\nGET /1 HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
    ] {
        let whole = answers(requests);
        assert!(!whole.is_empty(), "{requests}");
        for cut in 1..requests.len() {
            let mut bench = Bench::new(|_| {});
            bench.hear(&requests.as_bytes()[..cut]);
            bench.hear(&requests.as_bytes()[cut..]);
            assert_eq!(bench.answers(), whole, "cut at {cut} of {requests:?}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_nor_pile_up(
        pieces in prop::collection::vec(
            prop_oneof![
                Just(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
                Just(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
                Just(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n".to_vec()),
                Just(b"5\r\nhello\r\n".to_vec()),
                Just(b"0\r\n\r\n".to_vec()),
                Just(vec![b'x'; 9000]),
                prop::collection::vec(any::<u8>(), 0..300),
            ],
            0..40,
        ),
        waits in prop::collection::vec(0u64..40, 1..5),
        fin in any::<bool>(),
    ) {
        let mut bench = Bench::new(|_| {});
        for (piece, wait) in pieces.iter().zip(waits.iter().cycle()) {
            bench.hear(piece);
            bench.wait(Duration::from_secs(*wait));
            prop_assert!(bench.conn.input.len() <= INPUT_LIMIT);
        }
        if fin {
            bench.fin();
        }
        // Whatever was said: in the end every connection is over.
        for _ in 0..10 {
            bench.wait(Duration::from_secs(100));
        }
        prop_assert!(bench.conn.is_over(), "{:?}", bench.conn);
    }
}

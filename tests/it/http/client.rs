//! Does the client manage its connections as RFC 9112 §9 asks? Servers that the tests play themselves, in virtual time.

use super::*;
use tcpglass::http::{Departed, Farewell};
use tcpglass::service::{LoadClient, LoadReport};
use tcpglass::sim::Listener;
use tcpglass::tcp::State;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A client whose server is the test.
pub(super) struct Raw {
    pub net: Net,
    listener: Listener,
    results: Receiver<Fetched>,
}

pub(super) fn to_raw(path: &str) -> RequestPlan {
    RequestPlan::get(&format!("http://10.77.0.3{path}")).unwrap()
}

impl Raw {
    pub fn new(plans: Vec<RequestPlan>, options: ClientOptions) -> Raw {
        let mut net = Net::new(|_| {});
        let raw = host(&mut net.world, "raw", "10.77.0.3");
        let listener = net.world.listen(raw, "10.77.0.3:80".parse::<SocketAddr>().unwrap()).unwrap();
        let client = HttpClient::new(Owner(2), plans, options);
        let results = client.results();
        net.world.add_service(net.client, Box::new(client));
        Raw { net, listener, results }
    }

    pub fn accept(&mut self) -> Socket {
        self.net.world.accept(self.listener).unwrap()
    }

    /// The next request's method and path.
    pub fn request(&mut self, socket: Socket) -> String {
        let text = read_request(&mut self.net.world, socket);
        text.split(" HTTP").next().unwrap().to_owned()
    }

    pub fn answer(&mut self, socket: Socket, text: &[u8]) {
        self.net.world.write_all(socket, text).unwrap();
    }

    pub fn finish(&mut self) -> Vec<Fetched> {
        self.net.world.run_for(5 * MINUTE);
        let mut fetched: Vec<Fetched> = self.results.try_iter().collect();
        fetched.sort_by_key(|f| (f.round, f.plan));
        fetched
    }
}

fn paths(n: usize) -> Vec<RequestPlan> {
    (0..n).map(|i| to_raw(&format!("/{i}"))).collect()
}

#[test]
fn a_close_in_the_middle_sends_exactly_the_unanswered_rest_again_and_not_at_once_rfc_9112_9_3_2() {
    for reset in [false, true] {
        let mut raw = Raw::new(paths(6), http(|c| c.pipeline = 8));
        let first = raw.accept();
        assert_eq!(raw.request(first), "GET /0");
        raw.net.world.run_for(RTT * 2);
        raw.answer(first, OK);
        for n in 1..6 {
            assert_eq!(raw.request(first), format!("GET /{n}"), "pipelined once it is known to persist");
        }
        raw.answer(first, &OK.repeat(2));
        raw.net.world.run_for(RTT * 2);
        match reset {
            // RFC 9112 §9.6: what came before the RST counts.
            true => raw.net.world.abort(first),
            false => raw.net.world.close(first),
        }
        let second = raw.accept();
        assert_eq!(raw.request(second), "GET /3", "the unanswered rest, in its order");
        raw.net.world.run_for(RTT * 5);
        assert_eq!(raw.net.world.readable(second), 0, "alone on the new connection");
        raw.answer(second, OK);
        for n in 4..6 {
            assert_eq!(raw.request(second), format!("GET /{n}"), "pipelined: this one persists, too");
        }
        raw.answer(second, &OK.repeat(2));
        let fetched = raw.finish();
        let told: Vec<_> = fetched.iter().map(|f| (f.error.is_none(), f.retried, f.pipelined)).collect();
        let (once, piped, twice) = ((true, false, false), (true, false, true), (true, true, false));
        assert_eq!(told, [once, once, piped, twice, twice, (true, true, true)]);
    }
}

#[test]
fn what_goes_ahead_of_answers_at_its_second_time_too_in_vain_goes_a_third_time_but_alone() {
    let mut raw = Raw::new(paths(6), http(|c| c.pipeline = 8));
    for round in 0..2 {
        let socket = raw.accept();
        for n in round * 2..6 {
            assert_eq!(raw.request(socket), format!("GET /{n}"));
            if n < round * 2 + 2 {
                raw.answer(socket, OK);
            }
        }
        raw.net.world.close(socket);
    }
    let third = raw.accept();
    for n in 4..6 {
        assert_eq!(raw.request(third), format!("GET /{n}"));
        raw.net.world.run_for(RTT * 5);
        assert_eq!(raw.net.world.readable(third), 0, "one at a time");
        raw.answer(third, OK);
    }
    assert!(raw.finish().iter().all(|f| f.error.is_none() && f.body == b"ok"));
}

#[test]
fn a_server_that_closes_after_every_second_answer_and_says_so_serves_a_pipeline_to_its_end_rfc_9112_9_6() {
    let mut raw = Raw::new(paths(9), http(|c| c.pipeline = 4));
    let mut asked = Vec::new();
    while asked.len() < 9 {
        let socket = raw.accept();
        for answer in [OK, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"] {
            if asked.len() < 9 {
                asked.push(raw.request(socket));
                raw.answer(socket, answer);
            }
        }
        // What was pipelined behind it is thrown away.
        raw.net.world.shutdown(socket, Shutdown::Write);
    }
    assert_eq!(asked, (0..9).map(|n| format!("GET /{n}")).collect::<Vec<_>>());
    assert!(raw.finish().iter().all(|f| f.error.is_none() && f.body == b"ok"));
}

#[test]
fn a_post_is_not_pipelined_nor_anything_behind_it_rfc_9112_9_3_2() {
    let post = to_raw("/post").body(RequestBody::Bytes((*b"x").into()));
    let plans = vec![to_raw("/0"), to_raw("/1"), post, to_raw("/3")];
    let mut raw = Raw::new(plans, http(|c| c.pipeline = 8));
    let socket = raw.accept();
    for (expected, body) in [("GET /0", 0), ("GET /1", 0), ("POST /post", 1), ("GET /3", 0)] {
        assert_eq!(raw.request(socket), expected);
        let mut bytes = vec![0; body];
        raw.net.world.read_exact(socket, &mut bytes).unwrap();
        raw.net.world.run_for(RTT * 5);
        assert_eq!(raw.net.world.readable(socket), 0, "nothing ahead of the answer to {expected}");
        raw.answer(socket, OK);
    }
    assert!(raw.finish().iter().all(|f| f.error.is_none() && !f.pipelined));
}

#[test]
fn no_more_is_pipelined_than_keep_alive_max_allows_rfc_2068_19_7_1() {
    // A server that leaves out `Connection: keep-alive` means it all the same.
    for connection in ["Connection: keep-alive\r\n", ""] {
        let mut raw = Raw::new(paths(4), http(|c| c.pipeline = 8));
        let socket = raw.accept();
        raw.request(socket);
        let answer = format!("HTTP/1.1 204 No Content\r\n{connection}Keep-Alive: timeout=9, max=2\r\n\r\n");
        raw.answer(socket, answer.as_bytes());
        assert_eq!([raw.request(socket), raw.request(socket)], ["GET /1", "GET /2"]);
        raw.net.world.run_for(RTT * 5);
        assert_eq!(raw.net.world.readable(socket), 0);
    }
}

#[test]
fn what_cannot_be_known_of_a_lost_request_is_said() {
    for (method, body, read, departed, fate) in [
        ("POST", 10, true, Departed::Whole, "sent, no answer: may have been processed"),
        (
            "POST",
            5_000_000,
            false,
            Departed::Part,
            "sent in part, no answer: was never complete at the server",
        ),
    ] {
        let plan = to_raw("/x").method(method).unwrap().body(RequestBody::Pattern(body));
        let mut raw = Raw::new(vec![to_raw("/0"), plan], http(|_| {}));
        let socket = raw.accept();
        raw.request(socket);
        raw.answer(socket, OK);
        raw.request(socket);
        if read {
            raw.net.world.read_exact(socket, &mut vec![0; body as usize]).unwrap();
        }
        raw.net.world.abort(socket);
        let fetched = raw.finish();
        assert_eq!(fetched[1].error, Some(FetchError::Stream(StreamError::ConnectionReset)));
        assert_eq!(
            (fetched[1].departed, fetched[1].fate(), fetched[1].retried),
            (departed, Some(fate), false)
        );
        assert_eq!((fetched[0].departed, fetched[0].fate()), (Departed::Whole, None));
    }
}

#[test]
fn an_answer_that_cannot_be_understood_is_no_missing_answer() {
    const MALFORMED: &str = "sent, and answered with what cannot be understood: may have been processed";
    const CUT: &str = "sent, no whole answer: may have been processed";
    const NONE: &str = "sent, no answer: may have been processed";
    for (answer, fate) in [
        ("ICY 200 OK\r\n\r\n", Some(MALFORMED)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", Some(MALFORMED)),
        ("HTTP/1.1 200", Some(CUT)),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", Some(CUT)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx", None),
        ("", Some(NONE)),
    ] {
        let mut raw = Raw::new(vec![to_raw("/x").method("POST").unwrap()], http(|_| {}));
        let socket = raw.accept();
        raw.request(socket);
        raw.answer(socket, answer.as_bytes());
        raw.net.world.shutdown(socket, Shutdown::Write);
        let fetched = raw.finish();
        assert!(fetched[0].error.is_some(), "{answer}");
        assert_eq!(fetched[0].fate(), fate, "{answer}");
    }
}

#[test]
fn an_answer_cut_within_its_head_is_asked_for_once_more_wherever_and_however_rfc_9112_8() {
    const ANSWER: &[u8] =
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    for (method, abort, pipelined) in [
        ("GET", false, false),
        ("GET", true, false),
        ("GET", false, true),
        ("GET", true, true),
        ("POST", true, false),
        ("POST", false, false),
    ] {
        for cut in 0..ANSWER.len() {
            let asked = to_raw("/x").method(method).unwrap();
            let plans = vec![to_raw("/0"), to_raw("/1"), asked];
            let mut raw = Raw::new(plans, http(|c| c.pipeline = if pipelined { 2 } else { 1 }));
            let first = raw.accept();
            raw.request(first);
            raw.answer(first, OK);
            raw.request(first);
            if pipelined {
                raw.request(first);
                raw.answer(first, &[OK, &ANSWER[..cut]].concat());
            } else {
                raw.answer(first, OK);
                raw.request(first);
                raw.answer(first, &ANSWER[..cut]);
            }
            raw.net.world.run_for(RTT * 2);
            match abort {
                true => raw.net.world.abort(first),
                false => raw.net.world.shutdown(first, Shutdown::Write),
            }
            let told = format!("{method} cut after {cut}, reset: {abort}, pipelined: {pipelined}");
            if method == "GET" {
                let second = raw.accept();
                assert_eq!(raw.request(second), "GET /x", "{told}");
                raw.answer(second, OK);
            }
            let fetched = raw.finish();
            let whole = if cut == 0 {
                "sent, no answer: may have been processed"
            } else {
                "sent, no whole answer: may have been processed"
            };
            let fate = (method == "POST").then_some(whole);
            assert_eq!((fetched[2].fate(), fetched[2].retried), (fate, method == "GET"), "{told}");
            assert_eq!(fetched[2].error.is_some(), method == "POST", "{told}");
        }
    }
}

#[test]
fn a_new_connection_that_ends_before_its_answer_has_one_more_chance_rfc_9110_9_2_2() {
    for method in ["GET", "POST"] {
        let mut raw = Raw::new(vec![to_raw("/x").method(method).unwrap()], http(|_| {}));
        let mut asked = 0;
        for _ in 0..if method == "GET" { 2 } else { 1 } {
            let socket = raw.accept();
            raw.request(socket);
            asked += 1;
            raw.net.world.shutdown(socket, Shutdown::Write);
        }
        let fetched = raw.finish();
        assert_eq!(fetched[0].error, Some(FetchError::Http(ClientError::NoAnswer)), "{method}");
        assert_eq!((fetched[0].retried, asked), (method == "GET", if method == "GET" { 2 } else { 1 }));
    }
}

#[test]
fn an_idle_connection_is_closed_before_the_servers_timeout_is_over_rfc_9112_9_5() {
    // A request every 2.5 s; the server promises 2 s.
    let options = ClientOptions { repeat: 2, rate: Some(0.4), ..http(|_| {}) };
    let mut raw = Raw::new(vec![to_raw("/")], options);
    let first = raw.accept();
    raw.request(first);
    let promise =
        b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nKeep-Alive: timeout=2, max=9\r\n\r\n";
    raw.answer(first, promise);
    let heard = raw.net.world.now() + RTT / 2;
    assert_eq!(raw.net.world.read_to_end(first).unwrap(), b"");
    let expired = Duration::from_millis(2_000 - 20 - 100);
    let waited = raw.net.world.now().since(heard + expired + RTT / 2);
    assert!(waited < Duration::from_millis(1), "{waited:?} late");
    raw.net.world.close(first);
    let second = raw.accept();
    raw.request(second);
    raw.answer(second, OK);
    assert!(raw.finish().iter().all(|f| f.error.is_none() && !f.reused && !f.retried));
}

#[test]
fn requests_to_one_origin_do_not_hold_up_those_to_another() {
    let mut net = Net::new(|_| {});
    let slow = plan("/delay/1000");
    let other = "http://10.77.0.2:80/bytes/1";
    let glass = RequestPlan::get("http://glass/bytes/1").unwrap();
    assert_eq!(plan("/bytes/1").url(), RequestPlan::get(other).unwrap().url());
    let options = ClientOptions {
        hosts: vec![("glass".into(), "10.77.0.2".parse().unwrap())],
        ..http(|c| c.parallel = 2)
    };
    let fetched = net.fetch(vec![slow.clone(), slow.clone(), slow, glass], options);
    let of = |n: usize| fetched.iter().find(|f| f.plan == n).unwrap();
    let took = |n: usize| of(n).timings.last_byte.unwrap().since(of(n).timings.ready.unwrap());
    assert_eq!(took(3), RTT * 2);
    assert_eq!((took(0), took(2)), (RTT * 2 + SECOND, RTT * 3 + SECOND * 2));
    assert!(of(2).reused && of(2).timings.start > of(2).timings.ready);
}

#[test]
fn a_rate_is_kept_whether_or_not_answers_come_and_time_counts_from_when_a_request_was_due() {
    let mut net = Net::new(|_| {});
    let options = ClientOptions { repeat: 5, rate: Some(10.0), ..http(|_| {}) };
    let fetched = net.fetch(vec![plan("/delay/480")], options);
    let begin = fetched[0].timings.ready.unwrap();
    for (n, f) in fetched.iter().enumerate() {
        let due = f.timings.ready.unwrap().since(begin);
        assert_eq!(due, Duration::from_millis(100) * n as u32);
        // One connection: a handshake, and then 500 ms for each of them.
        let done = f.timings.last_byte.unwrap().since(begin);
        assert_eq!(done, RTT + Duration::from_millis(500) * (n as u32 + 1));
    }
    // As many as are needed: each takes as long as it takes.
    let options = ClientOptions { repeat: 5, rate: Some(10.0), ..http(|c| c.parallel = 6) };
    for f in net.fetch(vec![plan("/delay/480")], options) {
        let took = f.timings.last_byte.unwrap().since(f.timings.ready.unwrap());
        assert_eq!(took, RTT + Duration::from_millis(500));
    }
}

#[test]
fn a_duration_ends_the_requests_and_those_that_fell_due_and_were_not_begun_are_counted() {
    let mut net = Net::new(|_| {});
    let options =
        ClientOptions { repeat: u64::MAX, duration: Some(SECOND), rate: Some(10.0), ..http(|_| {}) };
    let mut client = HttpClient::new(Owner(2), vec![plan("/delay/480")], options);
    let (stack, mut done) = (net.client, 0);
    assert!(client.take_results().is_empty());
    let world = &mut net.world;
    while !client.is_done() {
        let now = world.now();
        tcpglass::service::Service::poll(&mut client, now, world.stack(stack));
        done += client.take_results().iter().filter(|f| f.error.is_none()).count();
        world.run_for(Duration::from_millis(1));
    }
    assert_eq!((done, client.unbegun()), (2, 8));
}

#[test]
fn each_farewell_ends_a_connection_in_its_own_way() {
    for (farewell, state) in [
        // The server has not closed its side: the client's TCP waits for that, and its FIN was acknowledged.
        (Farewell::Close, State::CloseWait),
        (Farewell::HalfClose, State::CloseWait),
        (Farewell::Reset, State::Closed),
    ] {
        let mut raw = Raw::new(vec![to_raw("/")], http(|c| (c.farewell, c.linger) = (farewell, SECOND)));
        let socket = raw.accept();
        raw.request(socket);
        raw.answer(socket, OK);
        raw.net.world.run_for(RTT * 3);
        assert_eq!(raw.net.world.state(socket), state, "{farewell:?}");
        if farewell == Farewell::Reset {
            continue;
        }
        // What the server still says meets a reader or a RST.
        raw.answer(socket, b"afterthought");
        raw.net.world.run_for(RTT * 3);
        let reset = farewell == Farewell::Close;
        assert_eq!(raw.net.world.state(socket) == State::Closed, reset, "{farewell:?}");
        raw.net.world.run_for(SECOND * 2);
        assert_eq!(raw.net.world.state(socket), State::Closed, "the deadline forces the end");
        assert_eq!(raw.finish().len(), 1);
    }
}

/// Ten requests are answered, none of the answers is read, and the server has closed: what does an eleventh do to them?
fn ten_unread_and_an_eleventh(linger: Duration, keep: bool) -> (String, Option<SimError>) {
    let mut net = Net::new(|c| (c.keepalive_max, c.linger) = (10, linger));
    let config = tcp::Config { keep_data_on_reset: keep, ..tcp::Config::linux() };
    net.world.stack(net.client).set_tcp_config(config);
    let socket = net.connect();
    let request = b"GET /bytes/100 HTTP/1.1\r\nHost: a\r\n\r\n";
    net.world.write_all(socket, &request.repeat(10)).unwrap();
    net.world.run_for(RTT * 5);
    net.world.write_all(socket, request).unwrap();
    net.world.run_for(RTT * 5);
    let mut text = String::new();
    loop {
        let mut byte = [0];
        match net.world.read_exact(socket, &mut byte) {
            Ok(()) => text.push(char::from(byte[0])),
            Err(e) => return (text, (e != SimError::UnexpectedEnd).then_some(e)),
        }
    }
}

#[test]
fn a_request_to_a_closed_server_costs_the_unread_answers_unless_someone_takes_care_rfc_9112_9_6() {
    let reset = Some(SimError::Stream(StreamError::ConnectionReset));
    let answers = |text: &str| text.matches("HTTP/1.1 200 OK").count();
    let (text, error) = ten_unread_and_an_eleventh(Duration::ZERO, false);
    assert_eq!((answers(&text), error), (0, reset), "all ten are lost");
    let (text, error) = ten_unread_and_an_eleventh(Duration::ZERO, true);
    assert_eq!(
        (answers(&text), error),
        (10, None),
        "the receiver kept what it had, and the FIN, as Linux does"
    );
    for keep in [false, true] {
        let (text, error) = ten_unread_and_an_eleventh(Duration::from_secs(5), keep);
        assert_eq!((answers(&text), error), (10, None), "the server read on: no RST");
    }
}

#[test]
fn an_exchange_starts_when_the_turn_of_its_request_comes_new_kept_pipelined_or_sent_again() {
    let mut net = Net::new(|_| {});
    let socket = net.connect();
    let begin = net.world.now();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    // New, and its head in two pieces, 100 ms apart.
    let (first, second) = (get("/delay/50"), get("/bytes/1") + &get("/delay/30") + &get("/bytes/2"));
    net.world.write_all(socket, &first.as_bytes()[..20]).unwrap();
    net.world.run_for(Duration::from_millis(100));
    net.world.write_all(socket, &first.as_bytes()[20..]).unwrap();
    net.world.run_for(Duration::from_millis(200));
    // Kept; behind it two that are pipelined, of which the first takes 30 ms.
    net.world.write_all(socket, second.as_bytes()).unwrap();
    net.world.shutdown(socket, Shutdown::Write);
    net.world.read_to_end(socket).unwrap();
    let exchanges = net.exchanges();
    let at: Vec<u128> = exchanges.iter().map(|e| e.started.since(begin).as_millis()).collect();
    assert_eq!(at, [110, 310, 310, 340]);
    assert_eq!(exchanges.iter().map(|e| e.reused).collect::<Vec<_>>(), [false, true, true, true]);
    // The parts are those of the time since then, until all was acknowledged.
    for e in &exchanges {
        let end = e.acked.or(e.last_byte).unwrap();
        assert_eq!(e.ledger.total().as_micros(), end.since(e.started).as_micros(), "{e:?}");
    }
    // Sent again: the server's record begins with the second attempt, the client's time with the first.
    let mut net = Net::new(|_| {});
    let fetched = net.fetch(vec![plan("/half-close"), plan("/bytes/3")], http(|_| {}));
    let (exchanges, again) = (net.exchanges(), fetched[1].timings);
    assert!(fetched[1].error.is_none() && exchanges.len() == 2);
    assert!(exchanges[1].started >= again.start.unwrap() && exchanges[1].started < again.first_byte.unwrap());
    assert_eq!((exchanges[0].conn, exchanges[1].conn), (1, 2));
}

/// Puts a load on the server and returns what was counted.
fn load(plan: RequestPlan, options: ClientOptions) -> LoadReport {
    load_of(vec![plan], options)
}

fn load_of(plans: Vec<RequestPlan>, options: ClientOptions) -> LoadReport {
    let mut net = Net::new(|_| {});
    let client = LoadClient::new(Owner(2), plans, options);
    let (watch, done) = (client.watch(), client.done());
    net.world.add_service(net.client, Box::new(client));
    let over = Err(crossbeam_channel::TryRecvError::Disconnected);
    assert!(net.world.run_until(60 * MINUTE, |_| done.try_recv() == over));
    watch.report()
}

#[test]
fn a_load_counts_answers_errors_and_ports_and_its_times_are_those_of_the_link() {
    let limit = |n| ClientOptions { limit: Some(n), repeat: u64::MAX, ..http(|c| c.parallel = 4) };
    let report = load(plan("/bytes/10"), limit(400));
    assert_eq!((report.answered(), report.failed(), report.statuses[&200]), (400, 0, 400));
    assert_eq!((report.handshake.count(), report.most_open, report.bytes), (4, 4, 4000));
    let (handshake, latency) = (&report.handshake, &report.latency);
    // The ends and the mean are exact, and nothing between them is beyond.
    assert_eq!((handshake.min(), handshake.mean(), handshake.max()), (RTT, RTT, RTT));
    assert_eq!([handshake.quantile(0.0), handshake.quantile(0.5), handshake.quantile(1.0)], [RTT; 3]);
    assert_eq!((latency.min(), latency.max()), (RTT, RTT * 2), "the first of each waits for its handshake");
    assert_eq!(latency.mean(), (RTT * 396 + RTT * 2 * 4) / 400);
    let median = latency.quantile(0.5);
    assert!(median >= RTT && median < RTT + RTT / 500, "{median:?}");
    // A handshake, and a hundred round trips.
    assert_eq!(report.elapsed(), RTT * 101);
    let refused = load(RequestPlan::get("http://10.77.0.2:81/").unwrap(), limit(7));
    assert_eq!((refused.answered(), refused.errors["refused"]), (0, 7));
}

#[test]
fn a_rate_that_the_server_cannot_serve_shows_in_the_times_and_a_closed_loop_hides_it() {
    let options =
        |rate| ClientOptions { repeat: u64::MAX, duration: Some(10 * SECOND), rate, ..http(|_| {}) };
    // One connection that answers once in 100 ms, and 20 requests a second: half of them are not begun in time.
    let open = load(plan("/delay/80"), options(Some(20.0)));
    assert_eq!((open.answered(), open.unbegun), (100, 100));
    // The one that was due at 5 s is begun at the end, if there were more time: those behind it waited for less.
    assert_eq!(open.latency.count(), 200, "who was not begun has waited, too");
    let median = open.latency.quantile(0.5);
    assert!(median > SECOND * 24 / 10 && median < SECOND * 26 / 10, "{median:?}");
    let max = open.latency.max();
    assert!(max > 5 * SECOND - RTT * 10 && max < 6 * SECOND, "{max:?}");
    let closed = load(plan("/delay/80"), options(None));
    assert_eq!((closed.answered(), closed.unbegun), (100, 0));
    assert!(closed.latency.max() < SECOND / 5);
}

#[test]
fn a_stall_of_the_server_counts_for_all_that_were_due_in_it() {
    // One connection, 20 ms for each answer, 20 requests a second, and one of sixty takes a second longer.
    let plans =
        || (0..60).map(|n| plan(if n == 20 { "/delay/1000" } else { "/bytes/1" })).collect::<Vec<_>>();
    let above = |report: &LoadReport, millis: u64| report.latency.longer_than(Duration::from_millis(millis));
    let open = load_of(plans(), ClientOptions { rate: Some(20.0), ..http(|_| {}) });
    // The k-th behind it is begun 1,020 + 20 (k - 1) ms after it and was due 50 k ms after it: until the queue is empty
    // its time is 1,020 - 30 k ms.
    for millis in [100, 300, 500, 700, 900] {
        let expected = (0..).take_while(|k| 1020 - 30 * k > millis as i64).count() as u64;
        assert_eq!(above(&open, millis), expected, "above {millis} ms");
    }
    // Who waits for an answer before asking again sees one slow answer.
    let closed = load_of(plans(), http(|_| {}));
    assert_eq!(above(&closed, 100), 1);
    assert_eq!((open.answered(), closed.answered()), (60, 60));
}

#[test]
fn a_load_without_keep_alive_waits_for_ports_in_time_wait() {
    let mut net = Net::new(|_| {});
    let config =
        tcp::Config { ports_first: 40_000, ports_last: 40_009, time_wait: SECOND, ..tcp::Config::linux() };
    net.world.stack(net.client).set_tcp_config(config);
    // The client closes first, so that TIME-WAIT is its own.
    let options = ClientOptions {
        limit: Some(30),
        repeat: u64::MAX,
        port_wait: MINUTE,
        ..http(|c| (c.idle_timeout, c.idle_connections) = (SECOND, 0))
    };
    let client = LoadClient::new(Owner(2), vec![plan("/bytes/1")], options);
    let watch = client.watch();
    net.world.add_service(net.client, Box::new(client));
    net.world.run_for(MINUTE);
    let report = watch.report();
    assert_eq!((report.answered(), report.failed(), report.handshake.count()), (30, 0, 30));
    assert_eq!(report.most_time_wait, 10);
    assert!(report.port_wait > SECOND, "{:?}", report.port_wait);
}

#[test]
fn at_its_limit_the_server_closes_who_says_nothing_for_who_asks() {
    let mut net = Net::new(|c| c.max_connections = 10);
    let silent: Vec<Socket> = (0..10).map(|_| net.connect()).collect();
    for socket in &silent[5..] {
        // Half a head is no request.
        net.world.write_all(*socket, b"GET / HT").unwrap();
    }
    net.world.run_for(SECOND);
    let fetched = net.fetch(vec![plan("/bytes/10"); 20], http(|c| c.parallel = 5));
    assert!(fetched.iter().all(|f| f.error.is_none()), "{fetched:?}");
    let ended = silent.iter().filter(|&&socket| net.world.state(socket) == tcp::State::CloseWait).count();
    assert!((1..=5).contains(&ended), "at most one for each that was new: {ended}");
    // Those that carry a request are not closed for one more: it waits.
    let mut net = Net::new(|c| c.max_connections = 2);
    let fetched = net.fetch(vec![plan("/delay/1000"); 6], http(|c| (c.parallel, c.keepalive) = (6, false)));
    assert!(fetched.iter().all(|f| f.error.is_none() && !f.retried));
    let last = fetched.iter().filter_map(|f| f.timings.last_byte).max().unwrap();
    assert!(last > Instant::ZERO + SECOND * 3, "two at a time: {last}");
}

#[test]
fn a_page_is_the_same_however_its_path_is_encoded_rfc_3986_6_2_2_2() {
    let mut net = Net::new(|_| {});
    let paths = ["/bytes/10", "/%62ytes/%31%30", "/bytes%2F10", "/bytes/%zz"];
    let fetched = net.fetch(paths.map(plan).to_vec(), http(|c| c.parallel = 1));
    let found: Vec<_> = fetched.iter().map(|f| f.status().unwrap().as_u16()).collect();
    assert_eq!(found, [200, 200, 404, 400]);
    assert_eq!(fetched[0].body, fetched[1].body);
}

#[test]
fn a_client_that_sends_or_takes_a_byte_now_and_then_does_not_hold_the_server_for_ever() {
    let change = |c: &mut Config| c.body_timeout = SECOND * 20;
    let mut net = Net::new(change);
    let socket = net.connect();
    net.world
        .write_all(socket, b"POST /slow-read HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n")
        .unwrap();
    let mut answered_at = None;
    for second in (0..60).step_by(5) {
        if net.world.readable(socket) > 0 {
            answered_at.get_or_insert(second);
        } else {
            net.world.write_all(socket, b"x").unwrap();
        }
        net.world.run_for(SECOND * 5);
    }
    assert_eq!(
        answered_at,
        Some(30),
        "seen five seconds after the sixth byte, the first behind 20 s of waiting"
    );
    let mut head = [0; 12];
    net.world.read_exact(socket, &mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 408");

    let mut net = Net::new(change);
    let socket = net.connect();
    net.world.write_all(socket, b"GET /bytes/100000000 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let reset = (0..1000).find(|_| {
        net.world.run_for(SECOND);
        // Far below http.min_rate, but never nothing: 10 bytes in a second. They are left when the RST comes.
        net.world.read_exact(socket, &mut [0; 10]).unwrap();
        net.world.state(socket) == State::Closed
    });
    assert!(reset.is_some(), "it is given up");
    assert_eq!(net.exchanges()[0].ended, Ended::Aborted);
}

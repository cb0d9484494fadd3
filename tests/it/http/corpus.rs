//! What becomes of messages that two readers could take for different ones? A corpus of smuggling and of malformed heads,
//! for the server, for the client, and for the proxy between them (RFC 9112 §11.2).

use super::client::{Raw, to_raw};
use super::proxy::{in_front_of, proxy};
use super::*;

/// What is hidden behind each request: it must not be answered where the request is refused.
const HIDDEN: &str = "GET /bytes/1 HTTP/1.1\r\nHost: a\r\n\r\n";

/// A POST with these fields, and what follows its head.
fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /slow-read?gap=0&size=65536 HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}{HIDDEN}").into()
}

/// A whole head, and the hidden request behind it.
fn head(text: &str) -> Vec<u8> {
    format!("{text}\r\n\r\n{HIDDEN}").into()
}

/// A GET with these fields.
fn with(fields: &str) -> Vec<u8> {
    head(&format!("GET /bytes/2 HTTP/1.1\r\nHost: a\r\n{fields}"))
}

/// Requests, and the statuses with which they are answered before the connection ends.
fn requests() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let (hello, chunked) = ("hello", "5\r\nhello\r\n0\r\n\r\n");
    let te = "Transfer-Encoding: chunked";
    let mut all = vec![
        // RFC 9112 §6.1: both are refused, in either order and hidden or not.
        ("CL.TE", post(&format!("Content-Length: 5\r\n{te}"), chunked), "400"),
        ("TE.CL", post(&format!("{te}\r\nContent-Length: 5"), chunked), "400"),
        ("CL.TE in 1.0", head(&format!("POST /echo HTTP/1.0\r\nContent-Length: 5\r\n{te}")), "400"),
        ("an empty length beside TE", post(&format!("{te}\r\nContent-Length:"), chunked), "400"),
        // RFC 9112 §6.3: one valid length, however often it is said.
        ("a length", post("Content-Length: 5", hello), "200 200"),
        ("the same length twice", post("Content-Length: 5\r\nContent-Length: 5", hello), "200 200"),
        ("the same length in a list", post("Content-Length: 5, 5", hello), "200 200"),
        ("a length with zeros before it", post("Content-Length: 0005", hello), "200 200"),
        ("white space around a length", post("Content-Length: \t 5 \t", hello), "200 200"),
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6", hello), "400"),
        ("two lengths in a list", post("Content-Length: 5, 6", hello), "400"),
        ("a list with nothing in it", post("Content-Length: 5,", hello), "400"),
        ("a negative length", post("Content-Length: -5", hello), "400"),
        ("a length with a sign", post("Content-Length: +5", hello), "400"),
        ("a hexadecimal length", post("Content-Length: 0x5", hello), "400"),
        ("a broken length", post("Content-Length: 5.0", hello), "400"),
        ("a length with an exponent", post("Content-Length: 5e0", hello), "400"),
        ("two numbers", post("Content-Length: 5 5", hello), "400"),
        ("a quoted length", post("Content-Length: \"5\"", hello), "400"),
        ("no length", post("Content-Length:", hello), "400"),
        ("a length beyond 64 bits", post("Content-Length: 18446744073709551621", hello), "400"),
        ("a length far beyond", post("Content-Length: 99999999999999999999999999999", hello), "400"),
        ("more than is taken", post("Content-Length: 18446744073709551615", hello), "413"),
        ("a folded length", post("Content-Length:\r\n 5", hello), "400"),
        ("a space before the colon", post("Content-Length : 5", hello), "400"),
        ("a tab before the colon", post("Content-Length\t: 5", hello), "400"),
        // RFC 9112 §6.1 and §7: chunked, once, at the end, and nothing like it.
        ("chunks", post(te, chunked), "200 200"),
        ("a coding in capitals", post("Transfer-Encoding: CHUNKED", chunked), "200 200"),
        ("white space around a coding", post("Transfer-Encoding: \t chunked \t", chunked), "200 200"),
        ("a word that begins otherwise", post("Transfer-Encoding: xchunked", chunked), "400"),
        ("a word that goes on", post("Transfer-Encoding: chunkedx", chunked), "400"),
        ("identity behind it", post("Transfer-Encoding: chunked, identity", chunked), "400"),
        ("identity before it", post("Transfer-Encoding: identity, chunked", chunked), "501"),
        ("gzip before it", post("Transfer-Encoding: gzip, chunked", chunked), "501"),
        ("gzip in a field of its own", post(&format!("Transfer-Encoding: gzip\r\n{te}"), chunked), "501"),
        ("identity alone", post("Transfer-Encoding: identity", chunked), "400"),
        ("twice", post("Transfer-Encoding: chunked, chunked", chunked), "400"),
        ("twice in two fields", post(&format!("{te}\r\n{te}"), chunked), "400"),
        ("with a parameter", post("Transfer-Encoding: chunked;q=1", chunked), "400"),
        ("quoted", post("Transfer-Encoding: \"chunked\"", chunked), "400"),
        ("behind a vertical tab", post("Transfer-Encoding:\x0bchunked", chunked), "400"),
        ("before a form feed", post("Transfer-Encoding: chunked\x0c", chunked), "400"),
        ("before a NUL", post("Transfer-Encoding: chunked\0", chunked), "400"),
        ("nothing", post("Transfer-Encoding:", chunked), "400"),
        ("folded", post("Transfer-Encoding:\r\n chunked", chunked), "400"),
        ("folded behind another field", post("X: y\r\n Transfer-Encoding: chunked", chunked), "400"),
        ("behind a bare LF", post(&format!("X: y\n{te}"), chunked), "400"),
        ("behind a bare CR", post(&format!("X: y\r{te}"), chunked), "400"),
        ("a space before its colon", post("Transfer-Encoding : chunked", chunked), "400"),
        ("a NUL in its name", post("Transfer-Encoding\0: chunked", chunked), "400"),
        ("a name with letters beyond ASCII", post("Tränsfer-Encoding: chunked", chunked), "400"),
        ("an empty name", post(": chunked", chunked), "400"),
        (
            "a field before which there is a space",
            head(&format!("POST /echo HTTP/1.1\r\n {te}\r\nHost: a")),
            "400",
        ),
        (
            "chunks in 1.0 are read, and then the connection ends (§6.1)",
            format!("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\n{te}\r\n\r\n{chunked}{HIDDEN}").into(),
            "200",
        ),
        (
            "trailers that would frame it anew",
            post(te, "5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: b\r\nTransfer-Encoding: x\r\n\r\n"),
            "200 200",
        ),
        ("chunk extensions", post(te, "5;a=b ; c=\"d;e\"\r\nhello\r\n0;z\r\n\r\n"), "200 200"),
        ("white space behind a chunk's size", post(te, "5 \t\r\nhello\r\n0\r\n\r\n"), "200 200"),
        // RFC 9112 §3.2.
        ("no Host", head("GET / HTTP/1.1\r\nX: y"), "400"),
        ("two Hosts", with("Host: a"), "400"),
        ("two Hosts in 1.0", head("GET / HTTP/1.0\r\nHost: a\r\nHost: b"), "400"),
        ("no Host in 1.0", head("GET /bytes/2 HTTP/1.0\r\nX: y"), "200"),
        ("an empty Host", head("GET /bytes/2 HTTP/1.1\r\nHost:"), "200 200"),
        (
            "absolute-form goes before Host",
            head("GET http://10.77.0.2/bytes/2 HTTP/1.1\r\nHost: b"),
            "200 200",
        ),
        ("absolute-form without Host", head("GET http://10.77.0.2/bytes/2 HTTP/1.1\r\nX: y"), "400"),
        ("a user in it", head("GET http://u:p@10.77.0.2/ HTTP/1.1\r\nHost: a"), "400"),
        ("no host in it", head("GET http:///bytes/2 HTTP/1.1\r\nHost: a"), "400"),
        ("asterisk-form", head("OPTIONS * HTTP/1.1\r\nHost: a"), "204 200"),
        ("asterisk-form of another method", head("GET * HTTP/1.1\r\nHost: a"), "400"),
        ("CONNECT to a path", head("CONNECT /x HTTP/1.1\r\nHost: a"), "400"),
        ("CONNECT without a port", head("CONNECT a HTTP/1.1\r\nHost: a"), "400"),
        ("CONNECT with content", head("CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 5"), "400"),
        // RFC 9112 §2.2, §2.3 and §3.
        ("HTTP/0.9", head("GET /bytes/2"), "400"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), "505"),
        ("HTTP/3", head("GET / HTTP/3.0\r\nHost: a"), "505"),
        ("a higher minor version", head("GET /bytes/2 HTTP/1.9\r\nHost: a"), "200 200"),
        ("two digits", head("GET / HTTP/1.10\r\nHost: a"), "400"),
        ("a zero before it", head("GET / HTTP/01.1\r\nHost: a"), "400"),
        ("a comma in it", head("GET / HTTP/1,1\r\nHost: a"), "400"),
        ("small letters", head("GET / http/1.1\r\nHost: a"), "400"),
        ("something behind it", head("GET / HTTP/1.1 x\r\nHost: a"), "400"),
        ("a space behind it", head("GET / HTTP/1.1 \r\nHost: a"), "400"),
        ("a tab", head("GET\t/ HTTP/1.1\r\nHost: a"), "400"),
        ("two spaces", head("GET  / HTTP/1.1\r\nHost: a"), "400"),
        ("a space before it", head(" GET / HTTP/1.1\r\nHost: a"), "400"),
        ("no path", head("GET HTTP/1.1\r\nHost: a"), "400"),
        ("a CR in it", head("GET /\r HTTP/1.1\r\nHost: a"), "400"),
        ("a NUL in it", head("GET /\0 HTTP/1.1\r\nHost: a"), "400"),
        ("a fragment", head("GET /bytes/2#x HTTP/1.1\r\nHost: a"), "400"),
        ("empty lines before it", head("\r\n\r\nGET /bytes/2 HTTP/1.1\r\nHost: a"), "200 200"),
        ("a bare LF before it", head("\nGET /bytes/2 HTTP/1.1\r\nHost: a"), "400"),
        (
            "LFs alone",
            b"GET /bytes/2 HTTP/1.1\nHost: a\n\nGET /bytes/1 HTTP/1.1\nHost: a\n\n".to_vec(),
            "400",
        ),
        ("an unknown method", head("FROB /bytes/2 HTTP/1.1\r\nHost: a"), "501 200"),
        ("a method in small letters", head("get /bytes/2 HTTP/1.1\r\nHost: a"), "501 200"),
        ("a method that is none", head("G@T /bytes/2 HTTP/1.1\r\nHost: a"), "400"),
        ("another protocol", head("SSH-2.0-x"), "400"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "400"),
        // RFC 9112 §5, RFC 9110 §5.5.
        ("no colon", with("nonsense"), "400"),
        ("a name with a space", with("X Y: z"), "400"),
        ("a name with brackets", with("X[]: z"), "400"),
        ("a value with a NUL", with("X: y\0z"), "400"),
        ("a value with DEL", with("X: y\x7fz"), "400"),
        ("a value with an escape", with("X: y\x1bz"), "400"),
        ("a value with letters beyond ASCII", with("X: ä"), "200 200"),
        ("an empty value", with("X:"), "200 200"),
        (
            "Connection names what frames the message",
            post("Connection: Content-Length\r\nContent-Length: 5", hello),
            "200 200",
        ),
        ("too many fields", with(&"X: y\r\n".repeat(5000)), "431"),
        ("too long a field", with(&format!("X: {}", "y".repeat(20_000))), "431"),
        ("too long a target", head(&format!("GET /{} HTTP/1.1\r\nHost: a", "y".repeat(20_000))), "414"),
        (
            "a target of 8000 bytes (§3)",
            head(&format!("GET /bytes/2?{} HTTP/1.1\r\nHost: a", "y".repeat(8000))),
            "200 200",
        ),
        // RFC 9110 §7.8 and §10.1.1.
        ("an Upgrade that nobody takes", with("Connection: Upgrade\r\nUpgrade: websocket"), "200 200"),
        ("an unknown expectation", with("Expect: miracles"), "417"),
        ("an expectation without content", with("Expect: 100-continue"), "200 200"),
        // Bodies where none is expected are bodies (RFC 9112 §6).
        (
            "GET with a body",
            format!("GET /bytes/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}").into(),
            "200 200",
        ),
        ("what is asked to be the last is the last (§9.6)", with("Connection: close"), "200"),
        ("1.0 is not kept unasked (§9.3)", head("GET /bytes/2 HTTP/1.0\r\nHost: a"), "200"),
    ];
    for host in
        ["a b", "a, b", "a/b", "u@a", "[::1", "[::1]x", "a:b", "a:99999", "a:-1", ":80", "ä", "a?b", "a#b"]
    {
        all.push(("a Host that is none", head(&format!("GET / HTTP/1.1\r\nHost: {host}")), "400"));
    }
    all
}

/// Chunks behind a good head that are none: all of them are answered 400, and what is hidden in them is not answered.
const BROKEN_CHUNKS: [&str; 22] = [
    "x\r\n",
    "\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5h\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "5,5\r\nhello\r\n0\r\n\r\n",
    "\"5\"\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello!\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "100000000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "5;a\0b\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "5\r\nhello\r\n0\r\nX: y\n\r\n",
    // The last chunk never comes: the hidden request is no chunk.
    "5\r\nhello\r\n",
];

/// The statuses of all answers to what is said on one connection, whose client's end is closed behind it.
fn statuses(net: &mut Net, to: SocketAddr, said: &[u8]) -> String {
    let socket = net.world.connect(net.client, to).unwrap();
    net.world.write_all(socket, said).unwrap();
    net.world.shutdown(socket, Shutdown::Write);
    let answers = String::from_utf8_lossy(&net.world.read_to_end(socket).unwrap()).into_owned();
    let lines = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]);
    let lines = lines.filter(|status| status.bytes().all(|b| b.is_ascii_digit()));
    let told = lines.collect::<Vec<_>>().join(" ");
    let refused = told.len() == 3 && !told.starts_with('2');
    assert!(!refused || answers.contains("\r\nConnection: close\r\n"), "{answers}");
    told
}

#[test]
fn the_server_answers_the_corpus_of_requests_as_rfc_9112_says() {
    let mut net = Net::new(|_| {});
    for (what, request, expected) in requests() {
        assert_eq!(statuses(&mut net, address(), &request), expected, "{what}");
    }
    for chunks in BROKEN_CHUNKS {
        let request = post("Transfer-Encoding: chunked", chunks);
        assert_eq!(statuses(&mut net, address(), &request), "400", "{chunks:?}");
    }
    let long = post("Transfer-Encoding: chunked", &format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5000)));
    assert_eq!(statuses(&mut net, address(), &long), "400", "§7.1.1: extensions have an end");
}

#[test]
fn the_proxy_answers_the_corpus_as_the_server_does_and_passes_on_nothing_that_it_refuses() {
    let mut net = Net::new(|_| {});
    in_front_of(&mut net, [10, 77, 0, 2]);
    for (what, request, expected) in requests() {
        let refused =
            ["400", "413", "414", "417", "431", "505"].contains(&expected) || what.starts_with("CONNECT");
        // A coding that this proxy does not know is not passed on either.
        let refused = refused || (expected == "501");
        assert_eq!(statuses(&mut net, proxy(), &request), expected, "{what}");
        let arrived = net.exchanges();
        assert_eq!(arrived.is_empty(), refused, "{what}: {arrived:?}");
        assert!(arrived.iter().all(|e| e.ended != Ended::Refused && e.status != 400), "{what}: {arrived:?}");
    }
    for chunks in BROKEN_CHUNKS {
        assert_eq!(
            statuses(&mut net, proxy(), &post("Transfer-Encoding: chunked", chunks)),
            "400",
            "{chunks:?}"
        );
        // What was passed on before the fault was seen is not complete, and never becomes so.
        assert!(net.exchanges().iter().all(|e| e.status != 200), "{chunks:?}");
    }
}

/// What a client makes of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    /// The body, and whether the connection can be used again.
    Whole(&'static str, bool),
    /// It is not complete.
    Cut,
    /// It is no answer.
    Bad,
}

/// Answers behind which the server closes, and what is made of them.
fn answers() -> Vec<(&'static str, Vec<u8>, Taken)> {
    use Taken::*;
    let plain = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}").into_bytes();
    let (te, hello) = ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n");
    vec![
        ("a length", plain("Content-Length: 5", "hello"), Whole("hello", true)),
        ("chunks", plain(te, hello), Whole("hello", true)),
        ("until the end", plain("X: y", "hello"), Whole("hello", false)),
        ("LF alone", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello".to_vec(), Whole("hello", true)),
        (
            "the same length twice",
            plain("Content-Length: 5\r\nContent-Length: 5", "hello"),
            Whole("hello", true),
        ),
        ("the same length in a list", plain("Content-Length: 5, 5", "hello"), Whole("hello", true)),
        ("two lengths", plain("Content-Length: 5\r\nContent-Length: 6", "hello"), Bad),
        ("a length with a sign", plain("Content-Length: +5", "hello"), Bad),
        ("a negative length", plain("Content-Length: -5", "hello"), Bad),
        ("a length beyond 64 bits", plain("Content-Length: 18446744073709551621", "hello"), Bad),
        ("no length", plain("Content-Length:", "hello"), Bad),
        (
            "both (§6.3): chunks, and not kept",
            plain(&format!("Content-Length: 99\r\n{te}"), hello),
            Whole("hello", false),
        ),
        (
            "chunks in 1.0 (§6.1): not kept",
            format!("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n{te}\r\n\r\n{hello}").into(),
            Whole("hello", false),
        ),
        (
            "1.0 kept",
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
            Whole("hello", true),
        ),
        (
            "said to be the last",
            plain("Connection: close\r\nContent-Length: 5", "hello"),
            Whole("hello", false),
        ),
        ("gzip and chunks", plain("Transfer-Encoding: gzip, chunked", hello), Bad),
        ("gzip until the end", plain("Transfer-Encoding: gzip", "hello"), Bad),
        ("chunks and gzip", plain("Transfer-Encoding: chunked, gzip", hello), Bad),
        ("chunked twice", plain("Transfer-Encoding: chunked, chunked", hello), Bad),
        ("chunked with a parameter", plain("Transfer-Encoding: chunked;a=b", hello), Bad),
        ("identity (RFC 2616 §3.6)", plain("Transfer-Encoding: identity", "hello"), Whole("hello", false)),
        ("short", plain("Content-Length: 6", "hello"), Cut),
        ("without the last chunk", plain(te, "5\r\nhello\r\n"), Cut),
        ("without the last CRLF", plain(te, "5\r\nhello\r\n0\r\n"), Cut),
        ("a chunk that is none", plain(te, "5\r\nhello\r\nx\r\n"), Cut),
        ("a chunk that would wrap", plain(te, "5\r\nhello\r\n10000000000000000\r\n"), Cut),
        (
            "a trailer that would frame it anew",
            plain(te, "5\r\nhello\r\n0\r\nContent-Length: 0\r\n\r\n"),
            Whole("hello", true),
        ),
        ("204 has no body (§6.3)", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n".to_vec(), Whole("", true)),
        ("304 has no body (§6.3)", b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n".to_vec(), Whole("", true)),
        (
            "a second answer (§6.3)",
            plain("Content-Length: 5", "helloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
            Whole("hello", false),
        ),
        ("empty lines behind it (§9.2)", plain("Content-Length: 5", "hello\r\n\r\n"), Whole("hello", true)),
        ("a folded field (§5.2)", plain("X: a\r\n b\r\nContent-Length: 5", "hello"), Whole("hello", true)),
        ("a space before a colon (§5.1)", plain("Content-Length : 5", "hello"), Whole("hello", true)),
        ("a space before the first field (§2.2)", plain(" X: y\r\nContent-Length: 5", "hello"), Bad),
        ("no colon", plain("nonsense\r\nContent-Length: 5", "hello"), Bad),
        ("a bare CR (§2.2)", plain("X: y\rContent-Length: 5", "hello"), Bad),
        ("a NUL", plain("X: y\0\r\nContent-Length: 5", "hello"), Bad),
        ("no reason (§4)", b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello".to_vec(), Whole("hello", true)),
        (
            "not even its space",
            b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
            Whole("hello", true),
        ),
        (
            "interim answers (RFC 9110 §15.2)",
            [
                &b"HTTP/1.1 102 A\r\n\r\nHTTP/1.1 103 B\r\nContent-Length: 9\r\n\r\n"[..],
                &plain("Content-Length: 5", "hello"),
            ]
            .concat(),
            Whole("hello", true),
        ),
        ("interim answers without an end", b"HTTP/1.1 102 A\r\n\r\n".repeat(200), Bad),
        ("101 unasked (RFC 9110 §7.8)", b"HTTP/1.1 101 X\r\nUpgrade: y\r\n\r\n".to_vec(), Bad),
        (
            "an unknown status (RFC 9110 §15)",
            b"HTTP/1.1 299 X\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
            Whole("hello", true),
        ),
        ("status 099", b"HTTP/1.1 099 X\r\nContent-Length: 5\r\n\r\nhello".to_vec(), Bad),
        ("two digits", b"HTTP/1.1 20 X\r\n\r\n".to_vec(), Bad),
        ("HTTP/2", b"HTTP/2.0 200 OK\r\n\r\nhello".to_vec(), Bad),
        ("HTTP/0.9", b"hello\r\n\r\n".to_vec(), Bad),
        ("ICY", b"ICY 200 OK\r\n\r\nhello".to_vec(), Bad),
        ("half a head (§8)", b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(), Bad),
        ("nothing", Vec::new(), Bad),
        ("a head without an end", plain(&format!("X: {}", "x".repeat(20_000)), "hello"), Bad),
    ]
}

/// Answers `request` on a new connection, and half-closes it behind the answer if `fin`.
fn serve(raw: &mut Raw, answer: &[u8], fin: bool) -> Socket {
    let socket = raw.accept();
    raw.request(socket);
    raw.answer(socket, answer);
    if fin {
        raw.net.world.shutdown(socket, Shutdown::Write);
    }
    socket
}

#[test]
fn the_client_takes_the_corpus_of_answers_as_rfc_9112_says() {
    for (what, answer, expected) in answers() {
        let mut raw = Raw::new(vec![to_raw("/0")], http(|_| {}));
        serve(&mut raw, &answer, true);
        let fetched = raw.finish().remove(0);
        let body = String::from_utf8_lossy(&fetched.body).into_owned();
        match expected {
            Taken::Whole(text, _) => assert_eq!((&fetched.error, &*body), (&None, text), "{what}"),
            Taken::Cut => assert!(fetched.error.is_some() && fetched.response.is_some(), "{what}"),
            Taken::Bad => assert!(fetched.error.is_some() && fetched.response.is_none(), "{what}"),
        }
        // The connection is used for a second request where it can be, and nowhere else.
        let Taken::Whole(_, kept) = expected else { continue };
        let mut raw = Raw::new(vec![to_raw("/0"), to_raw("/1")], http(|_| {}));
        let socket = serve(&mut raw, &answer, matches!(expected, Taken::Whole(_, false)));
        raw.net.world.run_for(RTT * 2);
        let again = raw.net.world.readable(socket) > 0;
        assert_eq!(again, kept, "{what}");
    }
}

#[test]
fn the_proxy_passes_on_the_corpus_of_answers_or_says_502_rfc_9112_6_3() {
    for (what, answer, expected) in answers() {
        let mut raw = Raw::new(Vec::new(), http(|_| {}));
        in_front_of(&mut raw.net, [10, 77, 0, 3]);
        let socket = raw.net.world.connect(raw.net.client, proxy()).unwrap();
        raw.net.world.write_all(socket, b"GET /0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        serve(&mut raw, &answer, true);
        let told = String::from_utf8_lossy(&raw.net.world.read_to_end(socket).unwrap()).into_owned();
        let last = told.rfind("HTTP/1.1 ").map_or("", |at| &told[at..]);
        let is_502 = status(last) == "502";
        match expected {
            Taken::Whole(text, _) => {
                let body = last.split_once("\r\n\r\n").unwrap().1;
                let whole = body == text || body == format!("5\r\n{text}\r\n0\r\n\r\n");
                // A trailer that has no place there is left out.
                assert!(whole && !is_502, "{what}: {told}");
                assert!(
                    !(last.contains("Content-Length") && last.contains("Transfer-Encoding")),
                    "{what}: {told}"
                );
            }
            Taken::Cut => assert!(status(last) == "200" && !last.ends_with("0\r\n\r\n"), "{what}: {told}"),
            Taken::Bad => assert!(is_502, "{what}: {told}"),
        }
        assert!(!told.contains("poison"), "{what}: {told}");
    }
}

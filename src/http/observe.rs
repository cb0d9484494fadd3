//! What is being said, to one who only listens? Requests and responses of a connection, matched by their order.
//!
//! It follows bytes that somebody else captured: heads may be missing, bodies may have holes, and nothing is answered.
//! Where it lost the thread, or came too late to know where heads begin, it waits for a piece that begins with one.
//! What is not HTTP it says once, and then it is silent.

use super::chunked::Decoder;
use super::framing::{self, Framing};
use super::head::{self, Lines, Scan};
use super::lenient::mended;
use super::{Method, StatusCode, Version};
use std::collections::VecDeque;

/// A head longer than this is not HTTP.
const HEAD_LIMIT: usize = 64 << 10;
/// No method is longer.
const METHOD_LIMIT: usize = 24;
/// Requests that wait for their responses; whoever pipelines more is not followed any further.
const PIPELINE_LIMIT: usize = 4096;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaker {
    /// The side that sends requests.
    Client,
    /// The side that answers.
    Server,
}

/// What was heard. Exchanges are numbered from 0 on each connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The first byte of a request.
    RequestBegins(u64),
    /// Its head is complete.
    Request {
        /// The exchange.
        number: u64,
        /// Its method.
        method: Method,
        /// Its target as sent.
        target: String,
        /// The Host field, if it is text.
        host: Option<String>,
    },
    /// Its last byte.
    RequestEnds(u64),
    /// The first byte of a response. Interim responses (1xx) belong to the one that follows them.
    ResponseBegins(u64),
    /// Its head is complete.
    Response {
        /// The exchange.
        number: u64,
        /// The status.
        status: StatusCode,
        /// Whether the connection can carry another exchange after it (RFC 9112 §9.3).
        keeps: bool,
        /// Whether it comes bit by bit, whenever there is something to say: server-sent events.
        pushes: bool,
    },
    /// Where it ends does not show any more: not before the last byte that comes before [`Heard::ResponseEnds`].
    ResponseBlurs(u64),
    /// Its last byte, or the end of the connection where that ends it.
    ResponseEnds(u64),
    /// This is not HTTP/1, or no longer; what is heard later may be again.
    Opaque,
}

#[derive(Debug)]
enum Body {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

impl Body {
    fn new(framing: Framing) -> Body {
        match framing {
            Framing::Length(n) => Body::Length(n),
            Framing::Chunked => Body::Chunked(Decoder::new()),
            Framing::UntilClose => Body::UntilClose,
        }
    }

    /// Takes bytes; how many were this body's, and whether it is over. `None`: its framing is broken.
    fn take(&mut self, bytes: &[u8]) -> Option<(usize, bool)> {
        match self {
            Body::UntilClose => Some((bytes.len(), false)),
            Body::Length(left) => {
                let n = (*left).min(bytes.len() as u64);
                *left -= n;
                Some((n as usize, *left == 0))
            }
            Body::Chunked(decoder) => {
                let mut at = 0;
                while at < bytes.len() {
                    let step = decoder.step(&bytes[at..], usize::MAX).ok()?;
                    at += step.skip + step.data;
                    if step.end {
                        return Some((at, true));
                    }
                }
                Some((at, false))
            }
        }
    }
}

#[derive(Debug)]
enum Stage {
    Between,
    Head {
        bytes: Vec<u8>,
        scan: Scan,
    },
    Body(Body),
    /// Where the next head begins is not known: one of the pieces to come begins with it.
    Seeking,
    Deaf,
}

/// Listens to one connection.
#[derive(Debug)]
pub struct Observer {
    request: Stage,
    response: Stage,
    /// The methods of unanswered requests.
    unanswered: VecDeque<Method>,
    asked: u64,
    answered: u64,
    /// A response to the oldest unanswered request has begun.
    answering: bool,
    last_keeps: bool,
    /// A head was understood.
    fluent: bool,
}

impl Default for Observer {
    fn default() -> Observer {
        Observer::new()
    }
}

impl Observer {
    /// One that has heard nothing yet.
    pub fn new() -> Observer {
        Observer {
            request: Stage::Between,
            response: Stage::Between,
            unanswered: VecDeque::new(),
            asked: 0,
            answered: 0,
            answering: false,
            last_keeps: true,
            fluent: false,
        }
    }

    /// One that comes to a connection which may have been in use for long.
    pub fn in_the_middle() -> Observer {
        Observer { request: Stage::Seeking, response: Stage::Seeking, ..Observer::new() }
    }

    /// Requests that were not answered in full.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// The next bytes of `speaker`, in order.
    pub fn hear(&mut self, speaker: Speaker, mut bytes: &[u8], each: &mut dyn FnMut(Heard)) {
        while !bytes.is_empty() {
            let taken = match speaker {
                Speaker::Client => self.hear_client(bytes, each),
                Speaker::Server => self.hear_server(bytes, each),
            };
            match taken {
                Some(n) => bytes = &bytes[n..],
                None => return self.give_up(each),
            }
        }
    }

    /// `n` bytes of `speaker` that were not captured.
    pub fn miss(&mut self, speaker: Speaker, n: u64, each: &mut dyn FnMut(Heard)) {
        let stage = match speaker {
            Speaker::Client => &mut self.request,
            Speaker::Server => &mut self.response,
        };
        match stage {
            Stage::Deaf => {}
            Stage::Body(Body::UntilClose) => {}
            Stage::Body(Body::Length(left)) if *left >= n => {
                *left -= n;
                if *left == 0 {
                    self.end_body(speaker, each);
                }
            }
            _ if speaker == Speaker::Client => self.miss_request(each),
            _ => self.miss_response(each),
        }
    }

    /// Where the next request begins can't be known any more.
    fn miss_request(&mut self, each: &mut dyn FnMut(Heard)) {
        match std::mem::replace(&mut self.request, Stage::Seeking) {
            Stage::Head { bytes, .. } => {
                let Some((method, target)) = request_line(&bytes) else { return self.give_up(each) };
                let number = self.asked;
                self.asked += 1;
                self.fluent = true;
                self.unanswered.push_back(method.clone());
                each(Heard::Request { number, method, target, host: None });
                each(Heard::RequestEnds(number));
            }
            Stage::Body(_) => each(Heard::RequestEnds(self.asked - 1)),
            // A whole one was missed, or the rest of one.
            _ if self.unanswered.is_empty() && !self.answering => {
                each(Heard::RequestBegins(self.asked));
                each(Heard::RequestEnds(self.asked));
                self.asked += 1;
                self.unanswered.push_back(Method::GET);
            }
            _ => {}
        }
    }

    /// Where the response ends can't be known any more.
    fn miss_response(&mut self, each: &mut dyn FnMut(Heard)) {
        match std::mem::replace(&mut self.response, Stage::Seeking) {
            Stage::Head { bytes, .. } => {
                let Some(status) = status_line(&bytes) else { return self.give_up(each) };
                if !status.is_informational() {
                    self.fluent = true;
                    each(Heard::Response { number: self.answered, status, keeps: true, pushes: false });
                    each(Heard::ResponseBlurs(self.answered));
                }
            }
            Stage::Between | Stage::Seeking if !self.answering => {
                if !self.unanswered.is_empty() {
                    self.answering = true;
                    each(Heard::ResponseBegins(self.answered));
                    each(Heard::ResponseBlurs(self.answered));
                }
            }
            _ => each(Heard::ResponseBlurs(self.answered)),
        }
    }

    /// No more bytes of `speaker`: its FIN, or a reset.
    pub fn end(&mut self, speaker: Speaker, each: &mut dyn FnMut(Heard)) {
        let ends = matches!(self.response, Stage::Body(Body::UntilClose))
            || (matches!(self.response, Stage::Seeking) && self.answering);
        if speaker == Speaker::Server && ends {
            self.end_body(speaker, each);
        }
    }

    fn give_up(&mut self, each: &mut dyn FnMut(Heard)) {
        if matches!(self.request, Stage::Deaf) && matches!(self.response, Stage::Deaf) {
            return;
        }
        // Whoever spoke HTTP may come back to it.
        let stage = || if self.fluent { Stage::Seeking } else { Stage::Deaf };
        (self.request, self.response) = (stage(), stage());
        self.forget();
        each(Heard::Opaque);
    }

    /// Something else is spoken from now on.
    fn turn_deaf(&mut self) -> Option<usize> {
        self.fluent = false;
        None
    }

    /// What was not answered never will be, as far as can be heard.
    fn forget(&mut self) {
        self.unanswered.clear();
        self.answering = false;
        self.asked = self.asked.max(self.answered);
    }

    fn hear_client(&mut self, bytes: &[u8], each: &mut dyn FnMut(Heard)) -> Option<usize> {
        match &mut self.request {
            Stage::Deaf => Some(bytes.len()),
            Stage::Seeking if request_line(bytes).is_none() => Some(bytes.len()),
            Stage::Seeking => {
                self.request = Stage::Between;
                Some(0)
            }
            Stage::Between => {
                // RFC 9112 §2.2: empty lines before a request line are ignored.
                let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                let first = *bytes.get(blank).unwrap_or(&b'A');
                if !first.is_ascii_alphabetic() || self.unanswered.len() >= PIPELINE_LIMIT {
                    return None;
                }
                if blank < bytes.len() {
                    // Whoever asks again has heard the answer, wherever it ended.
                    if matches!(self.response, Stage::Seeking) && self.answering {
                        self.end_blurred(each);
                    }
                    each(Heard::RequestBegins(self.asked));
                    self.request = Stage::Head { bytes: Vec::new(), scan: Scan::default() };
                }
                Some(blank)
            }
            Stage::Head { bytes: head, scan } => {
                let (n, whole) = gather(head, scan, bytes)?;
                if !begins_with_method(head) {
                    return None;
                }
                if !whole {
                    return Some(n);
                }
                let head = head::parse_request(head).or_else(|_| head::parse_request(&mended(head))).ok()?;
                let number = self.asked;
                let framed = framing::of_request(&head).ok()?;
                self.asked += 1;
                self.fluent = true;
                // After CONNECT or an upgrade something else may be spoken; the response tells.
                self.unanswered.push_back(head.method.clone());
                let host = head.authority().map(str::to_owned);
                each(Heard::Request { number, method: head.method, target: head.target, host });
                self.request = Stage::Body(Body::new(framed.framing));
                if framed.framing == Framing::Length(0) {
                    self.end_body(Speaker::Client, each);
                }
                Some(n)
            }
            Stage::Body(body) => {
                let (n, over) = body.take(bytes)?;
                if over {
                    self.end_body(Speaker::Client, each);
                }
                Some(n)
            }
        }
    }

    fn hear_server(&mut self, bytes: &[u8], each: &mut dyn FnMut(Heard)) -> Option<usize> {
        match &mut self.response {
            Stage::Deaf => Some(bytes.len()),
            Stage::Seeking if status_line(bytes).is_none() => Some(bytes.len()),
            Stage::Seeking => {
                if self.answering {
                    self.end_blurred(each);
                }
                self.response = Stage::Between;
                Some(0)
            }
            Stage::Between => {
                if bytes[0] != b'H' {
                    return None;
                }
                if !self.answering {
                    self.answering = true;
                    each(Heard::ResponseBegins(self.answered));
                }
                self.response = Stage::Head { bytes: Vec::new(), scan: Scan::default() };
                Some(0)
            }
            Stage::Head { bytes: head, scan } => {
                let (n, whole) = gather(head, scan, bytes)?;
                if !whole {
                    return Some(n);
                }
                let head =
                    head::parse_response(head).or_else(|_| head::parse_response(&mended(head))).ok()?;
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return self.turn_deaf();
                }
                if head.status.is_informational() {
                    self.response = Stage::Between;
                    return Some(n);
                }
                // A capture that begins in the middle has responses without requests.
                let method = self.unanswered.front().cloned().unwrap_or(Method::GET);
                if method == Method::CONNECT && head.status.is_success() {
                    return self.turn_deaf();
                }
                self.fluent = true;
                let framed = framing::of_response(&method, &head).ok()?;
                let asks_to_close = head.fields.list_has("Connection", "close");
                let keeps_10 = head.fields.list_has("Connection", "keep-alive");
                self.last_keeps =
                    !framed.close && !asks_to_close && (head.version == Version::Http11 || keeps_10);
                let (number, keeps) = (self.answered, self.last_keeps);
                let media = head.fields.get("Content-Type").unwrap_or_default();
                let pushes = media.trim_ascii().to_ascii_lowercase().starts_with(b"text/event-stream");
                each(Heard::Response { number, status: head.status, keeps, pushes });
                self.response = Stage::Body(Body::new(framed.framing));
                if framed.framing == Framing::Length(0) {
                    self.end_body(Speaker::Server, each);
                }
                Some(n)
            }
            Stage::Body(body) => {
                let (n, over) = body.take(bytes)?;
                if over {
                    self.end_body(Speaker::Server, each);
                }
                Some(n)
            }
        }
    }

    /// The response of which the end was not seen is over, and the next head is still to be found.
    fn end_blurred(&mut self, each: &mut dyn FnMut(Heard)) {
        self.end_body(Speaker::Server, each);
        self.response = Stage::Seeking;
    }

    fn end_body(&mut self, speaker: Speaker, each: &mut dyn FnMut(Heard)) {
        match speaker {
            Speaker::Client => {
                self.request = Stage::Between;
                each(Heard::RequestEnds(self.asked - 1));
            }
            Speaker::Server => {
                self.response = Stage::Between;
                self.answering = false;
                each(Heard::ResponseEnds(self.answered));
                // A response without a captured request keeps the numbers in step.
                if self.unanswered.pop_front().is_none() {
                    self.asked = self.asked.max(self.answered + 1);
                }
                self.answered += 1;
            }
        }
    }
}

/// Whether these bytes can be the beginning of a request line, of a method in the usual capitals.
fn begins_with_method(bytes: &[u8]) -> bool {
    let letters = bytes.iter().take_while(|b| b.is_ascii_uppercase() || **b == b'-').count();
    letters <= METHOD_LIMIT && (letters == bytes.len() || (letters > 0 && bytes[letters] == b' '))
}

/// The method and the target of what begins like a request in the usual capitals; the target may be cut off.
fn request_line(bytes: &[u8]) -> Option<(Method, String)> {
    let line = bytes.split(|b| *b == b'\n').next()?;
    let whole = line.len() < bytes.len();
    let line = std::str::from_utf8(line.trim_ascii_end()).ok()?;
    let mut words = line.splitn(3, ' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next());
    let capitals = !method.is_empty() && begins_with_method(method.as_bytes());
    let versioned = version.is_some_and(|v| v.starts_with("HTTP/1."));
    let likely = versioned || (!whole && (target.starts_with('/') || target.starts_with("http")));
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    (capitals && likely).then(|| (method, target.to_owned()))
}

/// The status of what begins like a response.
fn status_line(bytes: &[u8]) -> Option<StatusCode> {
    let rest = bytes.strip_prefix(b"HTTP/1.")?;
    StatusCode::from_bytes(rest.get(2..5)?).ok()
}

/// Adds bytes to a head until it is whole: how many it took, and whether it is.
fn gather(head: &mut Vec<u8>, scan: &mut Scan, bytes: &[u8]) -> Option<(usize, bool)> {
    let before = head.len();
    head.extend_from_slice(&bytes[..bytes.len().min(HEAD_LIMIT + 1 - before)]);
    match scan.find(head, Lines::Lenient).ok()? {
        Some(end) => {
            head.truncate(end);
            Some((end - before, true))
        }
        None if head.len() > HEAD_LIMIT => None,
        None => Some((head.len() - before, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[(Speaker, &str)]) -> Vec<String> {
        let (mut observer, mut all) = (Observer::new(), Vec::new());
        for (speaker, text) in pieces {
            let mut note = |h: Heard| {
                all.push(match h {
                    Heard::Request { number, method, target, .. } => format!("{number} {method} {target}"),
                    Heard::Response { number, status, keeps, .. } => {
                        format!("{number} {} {}", status.as_u16(), if keeps { "keeps" } else { "closes" })
                    }
                    other => format!("{other:?}"),
                });
            };
            match text.strip_prefix("miss ") {
                Some(n) => observer.miss(*speaker, n.parse().unwrap(), &mut note),
                None if *text == "end" => observer.end(*speaker, &mut note),
                None => observer.hear(*speaker, text.as_bytes(), &mut note),
            }
        }
        all
    }

    use Speaker::{Client, Server};

    #[test]
    fn a_kept_connection_has_numbered_exchanges() {
        let all = heard(&[
            (Client, "GET /a HTTP/1.1\r\nHost: x\r\n"),
            (Client, "\r\n"),
            (Server, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"),
            (Server, "c"),
            (
                Client,
                "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            ),
            (Server, "HTTP/1.0 404 No\r\n\r\nrest"),
            (Server, "end"),
        ]);
        let expected = [
            "RequestBegins(0)",
            "0 GET /a",
            "RequestEnds(0)",
            "ResponseBegins(0)",
            "0 200 keeps",
            "ResponseEnds(0)",
            "RequestBegins(1)",
            "1 POST /b",
            "RequestEnds(1)",
            "ResponseBegins(1)",
            "1 404 closes",
            "ResponseEnds(1)",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn whoever_comes_in_the_middle_waits_for_a_head() {
        let mut observer = Observer::in_the_middle();
        let mut all = Vec::new();
        let mut say = |observer: &mut Observer, speaker, text: &str| {
            observer.hear(speaker, text.as_bytes(), &mut |heard| all.push(heard));
        };
        say(&mut observer, Server, "the end of something");
        say(&mut observer, Client, "GET of a body, not a request\r\n");
        say(&mut observer, Client, "GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
        say(&mut observer, Server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab");
        assert!(matches!(&all[1], Heard::Request { target, .. } if target == "/second"), "{all:?}");
        assert_eq!(all[0], Heard::RequestBegins(0));
        assert_eq!(all.last(), Some(&Heard::ResponseEnds(0)));
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn a_hole_blurs_one_exchange_and_the_next_is_understood() {
        let next =
            [(Client, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"), (Server, "HTTP/1.1 204 No Content\r\n\r\n")];
        let understood =
            ["RequestBegins(1)", "1 GET /b", "RequestEnds(1)", "ResponseBegins(1)", "1 204 keeps"];
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800\r\nxx";
        let get = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        for first in [
            [(Client, get), (Server, chunked), (Server, "miss 1000")],
            [(Client, get), (Server, "miss 500"), (Server, "in the middle of something")],
            [(Client, "GET /a HT"), (Client, "miss 40"), (Server, "miss 500")],
            [(Client, get), (Server, "HTTP/1.1 200 OK\r\nServ"), (Server, "miss 500")],
        ] {
            let all = heard(&[&first[..], &next[..]].concat());
            let cut = all.iter().position(|h| h == "RequestBegins(1)").unwrap_or_else(|| panic!("{all:?}"));
            assert_eq!(all[cut - 1], "ResponseEnds(0)", "{all:?}");
            assert_eq!(all[cut..cut + 5], understood, "{all:?}");
            assert!(all[..cut].iter().any(|h| h == "0 GET /a"), "{all:?}");
            assert!(!all.contains(&"Opaque".to_owned()), "{all:?}");
        }
        // A request that was not captured shows by its answer alone.
        let all = heard(
            &[&[(Client, "miss 80"), (Server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")], &next[..]]
                .concat(),
        );
        assert_eq!(all[0], "RequestBegins(0)");
        assert!(
            all.contains(&"ResponseEnds(0)".to_owned()) && all.contains(&"1 GET /b".to_owned()),
            "{all:?}"
        );
    }

    #[test]
    fn pipelined_responses_are_matched_by_their_order_and_head_has_no_body() {
        let all = heard(&[
            (Client, "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"),
            (Server, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        ]);
        assert_eq!(all.iter().filter(|h| h.starts_with("ResponseEnds")).count(), 2, "{all:?}");
        assert_eq!(all[6..9], ["ResponseBegins(0)", "0 200 keeps", "ResponseEnds(0)"], "{all:?}");
    }

    #[test]
    fn a_hole_in_a_body_of_known_length_is_counted_and_one_between_requests_hides_one() {
        let all = heard(&[
            (Client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            (Server, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nab"),
            (Server, "miss 997"),
            (Server, "z"),
            (Client, "miss 5"),
            (Client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ]);
        let hidden = ["RequestBegins(1)", "RequestEnds(1)"];
        let heard = ["RequestBegins(2)", "2 GET /", "RequestEnds(2)"];
        assert_eq!(all[5..], [&["ResponseEnds(0)"][..], &hidden, &heard].concat(), "{all:?}");
    }

    #[test]
    fn what_is_no_http_is_said_once() {
        assert_eq!(heard(&[(Client, "\x16\x03\x01"), (Server, "\x16\x03"), (Client, "x")]), ["Opaque"]);
        let upgrade = [(Client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (Server, "HTTP/1.1 101 S\r\n\r\nxx")];
        assert_eq!(heard(&upgrade).last().unwrap(), "Opaque");
        let long = format!("GET /{}", "a".repeat(HEAD_LIMIT));
        for text in [&long, "xxxx", "GETxx", &"A".repeat(METHOD_LIMIT + 1)] {
            assert_eq!(heard(&[(Client, text)]), ["RequestBegins(0)", "Opaque"], "{text:.9}");
        }
    }
}

//! What does a proxy do that does not understand what it relays? One request, then bytes until the server closes.

use super::upstream::{Unreachable, Upstream};
use super::way::Way;
use super::{Cx, Side, Turn};
use crate::http::{Config, Origin};
use crate::stream::{ByteStream, StreamError};
use crate::time::{Duration, Instant};
use url::Url;

/// A relay in the manner of HTTP/1.0: after its one request the client's bytes are not looked at any more.
pub(super) struct Dumb {
    /// The request's head, until it is complete.
    head: Vec<u8>,
    max_head: usize,
    /// Bytes of it that have come.
    asked: u64,
    up: Way,
    down: Way,
    /// What follows the request's head and goes up with it.
    body: Body,
    /// The server has said something that is no interim response.
    answered: bool,
    begun: bool,
    deadline: Option<Instant>,
    timeout: Duration,
    late: bool,
    finished: bool,
}

/// What goes up behind a head.
#[derive(Clone, Copy)]
enum Body {
    /// So many bytes.
    Length(u64),
    /// All that comes before the server's answer.
    UntilAnswered,
}

/// Whether these bytes from the server, the first or later ones, are an interim response alone.
fn is_interim(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 1") && bytes.ends_with(b"\r\n\r\n")
}

impl Dumb {
    pub fn new(now: Instant, http: &Config) -> Dumb {
        Dumb {
            head: Vec::new(),
            max_head: http.max_head as usize,
            asked: 0,
            up: Way::default(),
            down: Way::default(),
            body: Body::Length(0),
            answered: false,
            begun: false,
            deadline: Some(now + http.header_timeout),
            timeout: http.header_timeout,
            late: false,
            finished: false,
        }
    }

    /// Whether a request was sent on.
    pub fn is_under_way(&self) -> bool {
        self.begun
    }

    /// When a client will be let go that has not sent its request, if it has had so much patience.
    pub fn spare_until(&self, now: Instant, patience: Duration) -> Option<Instant> {
        self.deadline.filter(|at| !self.begun && now.since(*at - self.timeout) >= patience)
    }

    pub fn on_timeout(&mut self, now: Instant) {
        self.late |= self.deadline.is_some_and(|at| at <= now);
    }

    /// Runs as far as both streams allow.
    pub fn turn(
        &mut self,
        cx: &mut Cx,
        client: &mut Side,
        upstream: &mut Upstream,
    ) -> Result<Turn, StreamError> {
        if self.late {
            // Of a request on its way nothing more is waited for.
            return Ok(Turn::Over { abort: self.begun });
        }
        let moved = self.moved();
        // Events come once: what one side has taken makes room for more of the other, which is there already.
        loop {
            let before = self.moved();
            self.read_request(cx, client, upstream)?;
            if let Some(why) = upstream.failed() {
                self.answer(
                    cx,
                    match why {
                        Unreachable::TimedOut => "504 Gateway Timeout",
                        Unreachable::Name | Unreachable::Refused => "502 Bad Gateway",
                    },
                );
                upstream.close(cx);
            }
            self.relay(cx, client, upstream);
            self.down.write(&mut cx.stack.stream(cx.now, client.id))?;
            if self.moved() == before {
                break;
            }
        }
        client.moved += self.moved() - moved;
        if self.down.is_empty() && self.finished {
            return Ok(Turn::Over { abort: false });
        }
        if self.begun && !self.finished && (self.moved() != moved || self.deadline.is_none()) {
            self.deadline = Some(cx.now + cx.http.tunnel_timeout);
        }
        Ok(Turn::On(self.deadline))
    }

    /// The head and, as long as Content-Length says, the body.
    fn read_request(
        &mut self,
        cx: &mut Cx,
        client: &mut Side,
        upstream: &mut Upstream,
    ) -> Result<(), StreamError> {
        while !self.finished && !self.begun && !client.eof {
            // A head is read byte for byte to its end and no further: what follows is not this proxy's business.
            let mut byte = [0];
            match cx.stack.stream(cx.now, client.id).read(&mut byte) {
                Ok(0) => client.eof = true,
                Ok(_) => {
                    self.asked += 1;
                    self.head.push(byte[0]);
                    if self.head.ends_with(b"\r\n\r\n") || self.head.ends_with(b"\n\n") {
                        self.begin(cx, upstream);
                    } else if self.head.len() >= self.max_head {
                        self.answer(cx, "400 Bad Request");
                    }
                }
                Err(StreamError::WouldBlock) => break,
                Err(e) => return Err(e),
            }
        }
        if self.begun && !self.finished && self.wants_body() {
            let limit = match self.body {
                Body::Length(left) => left,
                Body::UntilAnswered => u64::MAX,
            };
            let before = self.up.moved;
            let mut stream = cx.stack.stream(cx.now, client.id);
            self.up.read(&mut stream, cx.scratch.as_mut(), limit, |_| {})?;
            client.eof |= self.up.ended;
            if let Body::Length(left) = &mut self.body {
                *left -= self.up.moved - before;
            }
        }
        if client.eof && !self.begun {
            self.finished = true;
        }
        Ok(())
    }

    fn moved(&self) -> u64 {
        self.asked + self.up.moved + self.down.moved
    }

    /// Sends the request on as it is, but for the target: a server gets a path.
    fn begin(&mut self, cx: &mut Cx, upstream: &mut Upstream) {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        let (line, fields) = text.split_once('\n').unwrap_or((&text, ""));
        let mut words = line.trim_end().split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let version = words.next().unwrap_or("HTTP/1.0");
        let url = Url::parse(target).ok().filter(|url| url.scheme() == "http");
        let named = url.as_ref().and_then(|url| {
            let host = url.host()?.to_owned();
            Some(Origin { host, port: url.port_or_known_default()? })
        });
        let Some(origin) = cx.options.upstream.clone().or(named) else {
            return self.answer(cx, "400 Bad Request");
        };
        let path = match &url {
            Some(url) if !cx.options.parent => match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            },
            _ => target.to_owned(),
        };
        let value_of = |wanted: &str| {
            fields.lines().find_map(|field| {
                let (name, value) = field.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        self.body = match value_of("transfer-encoding") {
            // HTTP/1.0 knows no chunks: what comes goes up until the server answers.
            Some(_) => Body::UntilAnswered,
            None => Body::Length(value_of("content-length").and_then(|n| n.parse().ok()).unwrap_or(0)),
        };
        self.up.say(format!("{method} {path} {version}\r\n").as_bytes());
        let fields_at = self.head.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
        self.up.say(&self.head[fields_at..]);
        self.head = Vec::new();
        self.begun = true;
        self.deadline = None;
        cx.totals.requests += 1;
        upstream.open(cx, origin);
    }

    fn relay(&mut self, cx: &mut Cx, client: &Side, upstream: &mut Upstream) {
        let Some(mut stream) = upstream.stream(cx) else { return };
        // The client's end is passed on, so that it is not only the server's patience that ends a hang.
        self.up.ended |= client.eof;
        if self.up.write(&mut stream).is_err() {
            // What the server has said before is still there to be read.
            self.up.clear();
        }
        let (Some(behind), _) = upstream.handles() else { return };
        let mut stream = cx.stack.stream(cx.now, behind);
        // A 100 asks for the body.
        let see = |bytes: &[u8]| self.answered |= !is_interim(bytes);
        let read = self.down.read(&mut stream, cx.scratch.as_mut(), u64::MAX, see);
        if read.is_err() || self.down.ended {
            upstream.close(cx);
            self.finished = true;
        }
    }

    fn wants_body(&self) -> bool {
        match self.body {
            Body::Length(left) => left > 0,
            Body::UntilAnswered => !self.answered,
        }
    }

    fn answer(&mut self, cx: &mut Cx, status: &str) {
        cx.totals.refused += 1;
        let text = format!("HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n\r\n{status}\n");
        self.down.say(text.as_bytes());
        self.begun = true;
        self.body = Body::Length(0);
        self.up.clear();
        self.finished = true;
        self.deadline = Some(cx.now + self.timeout);
    }
}

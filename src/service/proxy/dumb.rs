//! What does a proxy do that does not understand what it relays? One request, then bytes until the server closes.

use super::tunnel::put;
use super::upstream::{Unreachable, Upstream};
use super::{Cx, Side, Turn};
use crate::http::{Config, Origin};
use crate::stream::{ByteStream, StreamError};
use crate::time::{Duration, Instant};
use url::Url;

/// Bytes that wait for one side because the other is slower.
const WAITING: usize = 64 << 10;

/// A relay in the manner of HTTP/1.0: after its one request the client's bytes are not looked at any more.
pub(super) struct Dumb {
    /// The request's head, until it is complete.
    head: Vec<u8>,
    max_head: usize,
    /// Bytes for the server, and for the client.
    up: Vec<u8>,
    down: Vec<u8>,
    /// What follows the request's head and goes up with it.
    body: Body,
    /// The server has said something that is no interim response.
    answered: bool,
    begun: bool,
    deadline: Option<Instant>,
    timeout: Duration,
    late: bool,
    finished: bool,
    /// Bytes read and written.
    moved: u64,
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
            up: Vec::new(),
            down: Vec::new(),
            body: Body::Length(0),
            answered: false,
            begun: false,
            deadline: Some(now + http.header_timeout),
            timeout: http.header_timeout,
            late: false,
            finished: false,
            moved: 0,
        }
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
        let moved = self.moved;
        // Events come once: what one side has taken makes room for more of the other, which is there already.
        loop {
            let before = self.moved;
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
            let mut stream = cx.stack.stream(cx.now, client.id);
            self.moved += put(&mut self.down, &mut stream)?;
            if self.moved == before {
                break;
            }
        }
        if self.down.is_empty() && self.finished {
            return Ok(Turn::Over { abort: false });
        }
        if self.begun && !self.finished && (self.moved != moved || self.deadline.is_none()) {
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
        while !self.finished && !client.eof && self.up.len() < WAITING && (!self.begun || self.wants_body()) {
            let scratch = cx.scratch.as_mut();
            // A head is read byte for byte to its end and no further: what follows is not this proxy's business.
            let limit = match self.body {
                _ if !self.begun => 1,
                Body::Length(left) => left.min(scratch.len() as u64) as usize,
                Body::UntilAnswered => scratch.len(),
            };
            match cx.stack.stream(cx.now, client.id).read(&mut scratch[..limit]) {
                Ok(0) => client.eof = true,
                Ok(n) if self.begun => {
                    self.moved += n as u64;
                    if let Body::Length(left) = &mut self.body {
                        *left -= n as u64;
                    }
                    self.up.extend_from_slice(&scratch[..n]);
                }
                Ok(_) => {
                    self.head.push(scratch[0]);
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
        if client.eof && !self.begun {
            self.finished = true;
        }
        Ok(())
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
        self.up.extend_from_slice(format!("{method} {path} {version}\r\n").as_bytes());
        let fields_at = self.head.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1);
        self.up.extend_from_slice(&self.head[fields_at..]);
        self.head = Vec::new();
        self.begun = true;
        self.deadline = None;
        cx.totals.requests += 1;
        upstream.open(cx, origin);
    }

    fn relay(&mut self, cx: &mut Cx, client: &Side, upstream: &mut Upstream) {
        let mut ended = false;
        if let Some(mut stream) = upstream.stream(cx) {
            match put(&mut self.up, &mut stream) {
                Ok(n) => self.moved += n,
                // What the server has said before is still there to be read.
                Err(_) => self.up.clear(),
            }
            // The client's end is passed on, so that it is not only the server's patience that ends a hang.
            if client.eof && self.up.is_empty() {
                stream.close_write();
            }
        }
        while !ended && self.down.len() < WAITING {
            let at = self.down.len();
            let Some(mut stream) = upstream.stream(cx) else { break };
            self.down.resize(at + 4096, 0);
            let got = stream.read(&mut self.down[at..]);
            self.down.truncate(at + got.unwrap_or(0));
            match got {
                Ok(0) => ended = true,
                Ok(n) => {
                    self.moved += n as u64;
                    // A 100 asks for the body.
                    self.answered |= !is_interim(&self.down[at..]);
                }
                Err(StreamError::WouldBlock) => break,
                Err(_) => ended = true,
            }
        }
        if ended {
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
        self.down.extend_from_slice(text.as_bytes());
        self.begun = true;
        self.body = Body::Length(0);
        self.up.clear();
        self.finished = true;
        self.deadline = Some(cx.now + self.timeout);
    }
}

//! What does a proxy do that understands what it relays? Each hop is a connection of its own (RFC 9110 §7.6).

use super::super::pump;
use super::upstream::{Unreachable, Upstream};
use super::{Cx, Side, Turn};
use crate::http::{
    BodyError, ClientConn, ClientError, ClientEvent, Config, Endpoint, Fields, Method, Origin, OutBody,
    OutRequest, ReplyBody, RequestHead, ResponseHead, ServerConn, ServerEvent, StatusCode, Version, forward,
    has_passed, is_authority, is_idempotent,
};
use crate::stream::StreamError;
use crate::time::Instant;
use std::net::SocketAddr;
use std::sync::Arc;
use url::{Host, Url};

/// A relay that frames messages anew for each hop.
pub(super) struct Smart {
    server: ServerConn,
    /// What is spoken with the server behind, while there is a connection to it.
    client: ClientConn,
    exchange: Option<Exchange>,
    /// How this proxy is called in Via.
    name: String,
}

struct Exchange {
    head: RequestHead,
    origin: Origin,
    authority: String,
    body: OutBody,
    sent: bool,
    /// The response's head has gone to the client.
    answered: bool,
    retried: bool,
}

/// A request that the proxy answers itself.
struct Refused(StatusCode, &'static str);

impl Smart {
    pub fn new(now: Instant, http: &Arc<Config>, local: SocketAddr) -> Smart {
        Smart {
            server: ServerConn::new(Arc::clone(http), now),
            client: ClientConn::new(Arc::clone(http), now),
            exchange: None,
            name: local.to_string(),
        }
    }

    pub fn on_timeout(&mut self, now: Instant) {
        self.server.on_timeout(now);
        self.client.on_timeout(now);
    }

    pub fn drain(&mut self) {
        self.server.drain();
    }

    /// Runs as far as both streams allow.
    pub fn turn(
        &mut self,
        cx: &mut Cx,
        side: &mut Side,
        upstream: &mut Upstream,
    ) -> Result<Turn, StreamError> {
        loop {
            let eof_before = side.eof;
            let mut stream = cx.stack.stream(cx.now, side.id);
            let got = pump::receive(cx.now, &mut self.server, &mut stream, cx.scratch, &mut side.eof);
            if got.is_err() && self.exchange.is_some() {
                // Nobody waits for the answer any more.
                upstream.abort(cx);
            }
            let mut progress = got? > 0 || side.eof != eof_before;
            if self.exchange.is_none()
                && let Some(event) = self.server.poll_event(cx.now)
            {
                progress = true;
                match event {
                    ServerEvent::Request(head) => self.begin(cx, upstream, head),
                    ServerEvent::Refused(..) => cx.totals.refused += 1,
                }
            }
            progress |= self.serve(cx, upstream);
            let mut stream = cx.stack.stream(cx.now, side.id);
            progress |= pump::send(cx.now, &mut self.server, &mut stream)? > 0;
            if self.server.is_over() {
                return Ok(Turn::Over { abort: self.server.must_abort() });
            }
            if !progress {
                break;
            }
        }
        let behind = self.exchange.as_ref().and_then(|_| self.client.next_deadline());
        Ok(Turn::On(self.server.next_deadline().into_iter().chain(behind).min()))
    }

    /// Finds out where a request goes, and gets a connection there.
    fn begin(&mut self, cx: &mut Cx, upstream: &mut Upstream, head: RequestHead) {
        let (origin, authority) = match self.route(cx, &head) {
            Ok(route) => route,
            Err(refused) => return self.refuse(cx, &refused),
        };
        let body = match self.server.body_left() {
            Some(0) if head.fields.has("Content-Length") => OutBody::Length(0),
            Some(0) => OutBody::None,
            Some(n) => OutBody::Length(n),
            None => OutBody::Chunked,
        };
        cx.totals.requests += 1;
        let usable = self.client.reusable_until(upstream.rtt).is_some_and(|until| cx.now < until);
        if !(upstream.leads_to(&origin) && usable) {
            self.connect(cx, upstream, &origin);
        }
        self.exchange =
            Some(Exchange { head, origin, authority, body, sent: false, answered: false, retried: false });
    }

    fn connect(&mut self, cx: &mut Cx, upstream: &mut Upstream, origin: &Origin) {
        self.client = ClientConn::new(Arc::clone(cx.http), cx.now);
        upstream.open(cx, origin.clone());
    }

    /// Where a request goes, and the Host that it gets.
    fn route(&self, cx: &Cx, head: &RequestHead) -> Result<(Origin, String), Refused> {
        let bad = |why| Refused(StatusCode::BAD_REQUEST, why);
        if head.method == Method::CONNECT {
            return Err(Refused(StatusCode::NOT_IMPLEMENTED, "this proxy makes no tunnels"));
        }
        if has_passed(&head.fields, &self.name) {
            return Err(Refused(StatusCode::LOOP_DETECTED, "the request has passed this proxy before"));
        }
        // RFC 9110 §7.6.2.
        let last = matches!(head.method, Method::OPTIONS | Method::TRACE)
            && head.fields.text("Max-Forwards").is_some_and(|n| n.trim() == "0");
        if last {
            return Err(Refused(StatusCode::OK, "the request was to be forwarded no further"));
        }
        let authority = head.authority().filter(|a| is_authority(a)).unwrap_or("").to_owned();
        if let Some(origin) = &cx.options.upstream {
            return Ok((origin.clone(), authority));
        }
        let url = Url::parse(&head.target)
            .map_err(|_| bad("a proxy is asked with an absolute URL (RFC 9112 §3.2.2)"))?;
        if url.scheme() != "http" {
            return Err(bad("only http:// is spoken here"));
        }
        let host = url.host().map(|h: Host<&str>| h.to_owned()).ok_or_else(|| bad("the URL has no host"))?;
        let port = url.port_or_known_default().filter(|port| *port != 0);
        Ok((Origin { host, port: port.ok_or_else(|| bad("the URL has no port"))? }, authority))
    }

    fn refuse(&mut self, cx: &mut Cx, refused: &Refused) {
        cx.totals.refused += 1;
        let Refused(status, why) = refused;
        let text = format!("{status}: {why}\n");
        let fields = Fields::new().with("Content-Type", "text/plain; charset=utf-8");
        self.server.respond(cx.now, *status, &fields, ReplyBody::Length(text.len() as u64));
        self.server.write_body(cx.now, text.as_bytes());
        self.exchange = None;
    }

    /// Lets the exchange at hand go on. True if something came of it.
    fn serve(&mut self, cx: &mut Cx, upstream: &mut Upstream) -> bool {
        let Some(exchange) = &mut self.exchange else {
            // Between two requests the server may close, or say what nobody asked for.
            if upstream.is_open() && (self.talk(cx, upstream).is_err() || self.is_spent(upstream)) {
                upstream.close(cx);
            }
            return false;
        };
        if let Some(why) = upstream.failed() {
            self.refuse(
                cx,
                &match why {
                    Unreachable::Name => Refused(StatusCode::BAD_GATEWAY, "the server's name has no address"),
                    Unreachable::Refused => {
                        Refused(StatusCode::BAD_GATEWAY, "the server cannot be connected to")
                    }
                    Unreachable::TimedOut => {
                        Refused(StatusCode::GATEWAY_TIMEOUT, "the server did not answer in time")
                    }
                },
            );
            return true;
        }
        if !upstream.is_open() {
            return false;
        }
        let mut progress = false;
        if !exchange.sent {
            exchange.sent = true;
            progress = true;
            if !send(cx.now, &mut self.client, exchange, &self.name) {
                upstream.close(cx);
                self.refuse(cx, &Refused(StatusCode::BAD_REQUEST, "the request cannot be sent on"));
                return true;
            }
        }
        progress |= self.body_up(cx);
        let talked = self.talk(cx, upstream);
        match self.answers(cx) {
            Ok(some) => progress |= some,
            Err(error) => {
                self.failed(cx, upstream, error);
                return true;
            }
        }
        match talked {
            Ok(moved) => progress | moved,
            Err(_) if progress || self.exchange.is_none() => true,
            Err(_) => {
                self.failed(cx, upstream, ClientError::NoAnswer);
                true
            }
        }
    }

    fn is_spent(&self, upstream: &Upstream) -> bool {
        upstream.eof || self.client.reusable_until(upstream.rtt).is_none()
    }

    /// Moves bytes to and from the server.
    fn talk(&mut self, cx: &mut Cx, upstream: &mut Upstream) -> Result<bool, StreamError> {
        let (mut eof, now) = (upstream.eof, cx.now);
        let (id, _) = upstream.handles();
        let Some(id) = id else { return Ok(false) };
        let mut stream = cx.stack.stream(now, id);
        let got = pump::receive(now, &mut self.client, &mut stream, cx.scratch, &mut eof);
        let moved = eof != upstream.eof;
        upstream.eof = eof;
        let sent = pump::send(now, &mut self.client, &mut stream);
        // What was received counts, even where nothing can be sent any more.
        if self.exchange.is_none() {
            while self.client.poll_event(now).is_some() {}
        }
        match (got?, sent) {
            (0, sent) => Ok(sent? > 0 || moved),
            (_, _) => Ok(true),
        }
    }

    /// The request's body, once the server wants it.
    fn body_up(&mut self, cx: &mut Cx) -> bool {
        let mut progress = false;
        while self.client.body_room() > 0 && !self.server.body_complete() {
            let scratch = cx.body.as_mut();
            let room = self.client.body_room().min(scratch.len());
            match self.server.read_body(cx.now, &mut scratch[..room]) {
                Ok(n) => {
                    self.client.write_body(&scratch[..n]);
                    progress = true;
                }
                Err(BodyError::WouldBlock) => break,
                Err(_) => {
                    // The client was answered already, or is gone: the server must not take the rest for all.
                    self.client.on_timeout(Instant::FAR);
                    return true;
                }
            }
        }
        if self.server.body_complete() && self.client.is_sending() && self.client.body_room() > 0 {
            self.client.end_body();
            progress = true;
        }
        progress
    }

    /// Takes what has come of the response. True if something did.
    fn answers(&mut self, cx: &mut Cx) -> Result<bool, ClientError> {
        let mut progress = false;
        while let Some(exchange) = &mut self.exchange {
            match self.client.poll_event(cx.now) {
                Some(ClientEvent::Interim(head)) => {
                    // 100 is for this hop: reading the body makes one of our own.
                    if head.status != StatusCode::CONTINUE {
                        let fields = forward(&head.fields, head.version, &self.name, &[]);
                        self.server.interim(cx.now, head.status, &fields);
                    }
                }
                Some(ClientEvent::Response(head)) => {
                    exchange.answered = true;
                    let fields = forward(&head.fields, head.version, &self.name, &[]);
                    self.server.respond(cx.now, head.status, &fields, length(&head));
                }
                // RFC 9110 §6.5.1: trailers may be left out.
                Some(ClientEvent::End(_)) => {
                    self.server.end_body(cx.now);
                    self.exchange = None;
                }
                Some(ClientEvent::Failed(error)) => return Err(error),
                None => {
                    if !exchange.answered {
                        return Ok(progress);
                    }
                    let scratch = cx.body.as_mut();
                    // To HEAD and the like there is no body, only its end.
                    let room = match self.server.wants_body() {
                        true => self.server.body_room().min(scratch.len()),
                        false => scratch.len(),
                    };
                    if room == 0 {
                        return Ok(progress);
                    }
                    match self.client.read_body(cx.now, &mut scratch[..room]) {
                        Ok(n) => {
                            self.server.write_body(cx.now, &scratch[..n]);
                        }
                        Err(BodyError::WouldBlock) => return Ok(progress),
                        // Reported as an event.
                        Err(_) => {}
                    }
                }
            }
            progress = true;
        }
        Ok(progress)
    }

    /// The server behind ended the exchange before its end.
    fn failed(&mut self, cx: &mut Cx, upstream: &mut Upstream, error: ClientError) {
        let kept = self.client.answered() > 0;
        upstream.abort(cx);
        let Some(exchange) = &mut self.exchange else { return };
        if exchange.answered {
            // The client must not take what it got for the whole.
            self.server.abort();
            self.exchange = None;
            return;
        }
        // RFC 9110 §9.2.2: a kept connection may have been closed just then. A body is gone and cannot be sent again.
        let harmless = is_idempotent(&exchange.head.method) && exchange.body == OutBody::None;
        if error == ClientError::NoAnswer && kept && harmless && !exchange.retried {
            (exchange.retried, exchange.sent) = (true, false);
            let origin = exchange.origin.clone();
            return self.connect(cx, upstream, &origin);
        }
        self.refuse(
            cx,
            &match error {
                ClientError::TimedOut => {
                    Refused(StatusCode::GATEWAY_TIMEOUT, "the server did not answer in time")
                }
                ClientError::NoAnswer => {
                    Refused(StatusCode::BAD_GATEWAY, "the server closed without an answer")
                }
                _ => Refused(StatusCode::BAD_GATEWAY, "the server's answer cannot be understood"),
            },
        );
    }
}

/// Writes the request for the next hop: in origin-form, with a Host that says what the target said (RFC 9112 §3.2.2).
fn send(now: Instant, client: &mut ClientConn, exchange: &Exchange, name: &str) -> bool {
    let head = &exchange.head;
    let mut fields = forward(&head.fields, head.version, name, &["Host", "Expect", "Max-Forwards"]);
    if let Some(n) = head.fields.text("Max-Forwards").and_then(|n| n.trim().parse::<u32>().ok()) {
        fields = fields.with("Max-Forwards", n.saturating_sub(1).to_string());
    }
    let request = OutRequest {
        method: &head.method,
        target: head.path_and_query(),
        authority: &exchange.authority,
        version: Version::Http11,
        fields: &fields,
        body: exchange.body,
        expect_continue: head.fields.has("Expect"),
        close: false,
    };
    client.send(now, &request).is_ok()
}

/// How long the response to the client says that it is.
fn length(head: &ResponseHead) -> ReplyBody {
    let chunked = head.fields.has("Transfer-Encoding");
    match head.fields.list("Content-Length").next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok()) {
        Some(n) if !chunked => ReplyBody::Length(n),
        _ => ReplyBody::Unknown,
    }
}

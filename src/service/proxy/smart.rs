//! What does a proxy do that understands what it relays? Each hop is a connection of its own (RFC 9110 §7.6).

use super::super::pump;
use super::tunnel::Tunnel;
use super::upstream::{Unreachable, Upstream};
use super::{Cx, Side, Turn};
use crate::http::{
    BodyError, ClientConn, ClientError, ClientEvent, Config, Endpoint, Fields, Method, Origin, OutBody,
    OutRequest, ReplyBody, RequestHead, ResponseHead, ServerConn, ServerEvent, StatusCode, Version, forward,
    forward_trailers, has_passed, is_authority, is_idempotent, with_upgrade,
};
use crate::stream::{ByteStream, StreamError};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;
use std::sync::Arc;
use url::{Host, Url};

/// A relay that frames messages anew for each hop.
pub(super) struct Smart {
    server: ServerConn,
    /// What is spoken with the server behind, while there is a connection to it.
    client: ClientConn,
    exchange: Option<Exchange>,
    /// What this becomes after a CONNECT.
    tunnel: Option<Tunnel>,
    /// The client's connection is reset when it has all that there was.
    reset_when_acked: bool,
    /// How this proxy is called in Via.
    name: String,
}

struct Exchange {
    head: RequestHead,
    origin: Origin,
    authority: String,
    body: OutBody,
    /// The protocols that it may switch to.
    upgrade: String,
    sent: bool,
    /// The response's head has gone to the client.
    answered: bool,
    /// Of the response: what `Connection` says there is for its trailers, too.
    hop: Fields,
    retried: bool,
}

/// A request that the proxy answers itself: with which status, and why.
struct Refused(StatusCode, String);

fn refused(status: StatusCode, why: impl Into<String>) -> Refused {
    Refused(status, why.into())
}

/// Where a request goes.
struct Route {
    origin: Origin,
    /// The Host that it gets.
    authority: String,
}

/// What a proxy finds of a request that goes no further (RFC 9110 §7.6.2).
const LAST: &str = "the request was to be forwarded no further";
/// Methods that this proxy takes part in.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH";
/// Fields that may hold secrets and are left out of a TRACE's answer (RFC 9110 §9.3.8).
const SECRETS: [&str; 4] = ["Authorization", "Proxy-Authorization", "Cookie", "Cookie2"];

impl Smart {
    pub fn new(now: Instant, http: &Arc<Config>, local: SocketAddr) -> Smart {
        Smart {
            server: ServerConn::new(Arc::clone(http), now),
            client: ClientConn::new(Arc::clone(http), now),
            exchange: None,
            tunnel: None,
            reset_when_acked: false,
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

    /// Whether a request or its answer is on its way.
    pub fn is_under_way(&self) -> bool {
        self.exchange.is_some() || self.server.awaits_peer()
    }

    /// Whether that waits for the client, and not for the server behind.
    pub fn awaits_client(&self) -> bool {
        self.server.awaits_peer()
    }

    /// See [`ServerConn::spare_until`].
    pub fn spare_until(&self, now: Instant, patience: Duration) -> Option<Instant> {
        self.server.spare_until(now, patience)
    }

    /// Says to the client that it gives way to others, as far as it can be told: see [`ServerConn::give_way`]. True if its
    /// connection is to be reset.
    pub fn give_way(&mut self, cx: &mut Cx, side: &mut Side) -> bool {
        if self.server.give_way(cx.now).is_some() {
            cx.totals.refused += 1;
        }
        let mut stream = cx.stack.stream(cx.now, side.id);
        // What is here and was not read would make a RST of the FIN, and that would eat the answer.
        let _ = pump::receive(cx.now, &mut self.server, &mut stream, cx.scratch, &mut side.eof);
        let sent = pump::send(cx.now, &mut self.server, &mut stream);
        sent.is_err() || self.server.must_abort() || !self.server.output().is_empty()
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
            let got = got?;
            side.moved += got as u64;
            let mut progress = got > 0 || side.eof != eof_before;
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
            if let Some(tunnel) = self.tunnel.take() {
                return Ok(Turn::Becomes(tunnel));
            }
            let mut stream = cx.stack.stream(cx.now, side.id);
            let sent = pump::send(cx.now, &mut self.server, &mut stream)?;
            side.moved += sent as u64;
            progress |= sent > 0;
            if self.reset_when_acked && self.server.output().is_empty() && stream.unacked() == 0 {
                self.server.abort();
            }
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
        if head.version == Version::Http10 {
            // RFC 9112 §9.3: what an HTTP/1.0 client asks to be kept may have been asked by one before it.
            self.server.close_after();
        }
        if forwards_left(&head) == Some(0) {
            return self.answer_as_last(cx, &head);
        }
        let Route { origin, authority } = match self.route(cx, &head) {
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
        if head.method == Method::CONNECT || !(upstream.leads_to(&origin) && usable) {
            self.connect(cx, upstream, &origin);
        }
        let (sent, answered, retried) = (false, false, false);
        let hop = Fields::new();
        let upgrade = upgrade(&head, &cx.options.upgrades);
        self.exchange =
            Some(Exchange { head, origin, authority, body, upgrade, sent, answered, hop, retried });
    }

    fn connect(&mut self, cx: &mut Cx, upstream: &mut Upstream, origin: &Origin) {
        self.client = ClientConn::new(Arc::clone(cx.http), cx.now);
        upstream.open(cx, origin.clone());
    }

    /// Where a request goes.
    fn route(&self, cx: &Cx, head: &RequestHead) -> Result<Route, Refused> {
        let bad = |why| refused(StatusCode::BAD_REQUEST, why);
        if has_passed(&head.fields, &self.name) {
            return Err(refused(StatusCode::LOOP_DETECTED, "the request has passed this proxy before"));
        }
        if head.method == Method::CONNECT {
            return tunnel_to(cx, &head.target);
        }
        let authority = head.authority().filter(|a| is_authority(a)).unwrap_or("").to_owned();
        if let Some(origin) = cx.options.upstream.as_ref().filter(|_| !cx.options.parent) {
            // RFC 9112 §3.2: an HTTP/1.0 client may have left out whom it asks.
            let authority = if authority.is_empty() { origin.authority() } else { authority };
            return Ok(Route { origin: origin.clone(), authority });
        }
        let url = Url::parse(&head.target)
            .map_err(|_| bad("a proxy is asked with an absolute URL (RFC 9112 §3.2.2)"))?;
        if url.scheme() != "http" {
            return Err(bad("only http:// is spoken here; https:// is asked for with CONNECT"));
        }
        let host = url.host().map(|h: Host<&str>| h.to_owned()).ok_or_else(|| bad("the URL has no host"))?;
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let named = Origin { host, port: port.ok_or_else(|| bad("the URL has no port"))? };
        Ok(Route { origin: cx.options.upstream.clone().unwrap_or(named), authority })
    }

    fn refuse(&mut self, cx: &mut Cx, refused: &Refused) {
        let Refused(status, why) = refused;
        let fields = Fields::new().with("Content-Type", "text/plain; charset=utf-8");
        self.answer(cx, *status, &fields, format!("{status}: {why}\n").as_bytes());
    }

    fn answer(&mut self, cx: &mut Cx, status: StatusCode, fields: &Fields, text: &[u8]) {
        cx.totals.refused += 1;
        self.server.respond(cx.now, status, fields, ReplyBody::Length(text.len() as u64));
        self.server.write_body(cx.now, text);
        self.exchange = None;
    }

    /// Answers an OPTIONS or TRACE that came with `Max-Forwards: 0` (RFC 9110 §7.6.2).
    fn answer_as_last(&mut self, cx: &mut Cx, head: &RequestHead) {
        if head.method == Method::OPTIONS {
            let fields = Fields::new().with("Allow", METHODS);
            return self.answer(cx, StatusCode::OK, &fields, format!("{LAST}\n").as_bytes());
        }
        let mut echo = format!("TRACE {} {}\r\n", head.target, head.version).into_bytes();
        for (name, value) in head.fields.iter() {
            if !SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(name)) {
                echo.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
        }
        echo.extend_from_slice(b"\r\n");
        self.answer(cx, StatusCode::OK, &Fields::new().with("Content-Type", "message/http"), &echo);
    }

    /// Lets the exchange at hand go on. True if something came of it.
    fn serve(&mut self, cx: &mut Cx, upstream: &mut Upstream) -> bool {
        let Some(exchange) = &mut self.exchange else {
            // Between two requests the server may close, or say what nobody asked for.
            if upstream.is_open() {
                self.talk(cx, upstream);
                if self.is_spent(upstream) {
                    upstream.close(cx);
                }
            }
            return false;
        };
        if let Some(why) = upstream.failed() {
            self.refuse(
                cx,
                &match why {
                    Unreachable::Name => refused(StatusCode::BAD_GATEWAY, "the server's name has no address"),
                    Unreachable::Refused => {
                        refused(StatusCode::BAD_GATEWAY, "the server cannot be connected to")
                    }
                    Unreachable::TimedOut => refused(StatusCode::GATEWAY_TIMEOUT, TOO_LATE),
                },
            );
            return true;
        }
        if !upstream.is_open() {
            return false;
        }
        if exchange.head.method == Method::CONNECT && !cx.options.parent {
            let (received, unsent) = self.server.tunnel(cx.now);
            self.tunnel = Some(Tunnel::new(cx.now, cx.http.tunnel_timeout, received, unsent));
            return true;
        }
        let mut progress = false;
        if !exchange.sent {
            exchange.sent = true;
            progress = true;
            if !send(cx, &mut self.client, exchange, &self.name) {
                upstream.close(cx);
                self.refuse(cx, &refused(StatusCode::BAD_REQUEST, "the request cannot be sent on"));
                return true;
            }
        }
        progress |= self.body_up(cx);
        progress |= self.talk(cx, upstream);
        match self.answers(cx) {
            Ok(some) => progress | some,
            Err(error) => {
                self.failed(cx, upstream, error);
                true
            }
        }
    }

    fn is_spent(&self, upstream: &Upstream) -> bool {
        upstream.eof || self.client.reusable_until(upstream.rtt).is_none()
    }

    /// Moves bytes to and from the server. True if some moved, or it ended.
    fn talk(&mut self, cx: &mut Cx, upstream: &mut Upstream) -> bool {
        let (mut eof, now) = (upstream.eof, cx.now);
        let (id, _) = upstream.handles();
        let Some(id) = id else { return false };
        let mut stream = cx.stack.stream(now, id);
        let got = pump::receive(now, &mut self.client, &mut stream, cx.scratch, &mut eof);
        if got.is_err() {
            eof = true;
            self.client.on_reset();
        }
        let moved = eof != upstream.eof;
        upstream.eof = eof;
        let sent = pump::send(now, &mut self.client, &mut stream);
        if sent.is_err() {
            self.client.abandon();
        }
        if self.exchange.is_none() {
            while self.client.poll_event(now).is_some() {}
        }
        moved || got.is_ok_and(|n| n > 0) || sent.is_ok_and(|n| n > 0)
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
            let head = self.exchange.as_ref().map(|exchange| &exchange.head.fields);
            let trailers = head.map(|head| forward_trailers(self.server.trailers(), head));
            self.client.end_body_with(&trailers.unwrap_or_default());
            progress = true;
        }
        progress
    }

    /// Takes what has come of the response. True if something did. Trailers go on behind chunks only (RFC 9112 §7.1.2).
    fn answers(&mut self, cx: &mut Cx) -> Result<bool, ClientError> {
        let mut progress = false;
        while let Some(exchange) = &mut self.exchange {
            match self.client.poll_event(cx.now) {
                Some(ClientEvent::Interim(head)) => {
                    // A 100 that was asked for is passed on where the body is read. RFC 9110 §15.2: the others go as
                    // they are.
                    if head.status != StatusCode::CONTINUE || !exchange.head.fields.has("Expect") {
                        let fields = forward(&head.fields, head.version, &self.name, &[]);
                        self.server.interim(cx.now, head.status, &fields);
                    }
                }
                Some(ClientEvent::Response(head)) => {
                    exchange.answered = true;
                    let mut fields = forward(&head.fields, head.version, &self.name, &[]);
                    let body = length(&head);
                    if body == ReplyBody::Unknown && exchange.head.version == Version::Http11 {
                        fields = with_trailer(fields, &head.fields);
                    }
                    self.server.respond(cx.now, head.status, &fields, body);
                    exchange.hop = head.fields;
                }
                Some(ClientEvent::Switched(head)) => {
                    let (received, mut unsent) = if exchange.head.method == Method::CONNECT {
                        self.server.tunnel(cx.now)
                    } else {
                        let fields = forward(&head.fields, head.version, &self.name, &[]);
                        let fields = with_upgrade(fields, &head.fields);
                        self.server.switch(&fields)
                    };
                    unsent.extend(self.client.take_rest());
                    self.tunnel = Some(Tunnel::new(cx.now, cx.http.tunnel_timeout, received, unsent));
                    self.exchange = None;
                    return Ok(true);
                }
                Some(ClientEvent::End(trailers)) => {
                    self.server.end_body_with(cx.now, &forward_trailers(&trailers, &exchange.hop));
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

    /// The server behind ended the exchange before its end, or said what is no answer: 502 (RFC 9112 §6.3), or a second
    /// attempt where that is harmless (RFC 9112 §9.3.1).
    fn failed(&mut self, cx: &mut Cx, upstream: &mut Upstream, error: ClientError) {
        let kept = self.client.answered() > 0;
        upstream.abort(cx);
        let Some(exchange) = &mut self.exchange else { return };
        if exchange.answered {
            self.reset_when_acked = self.server.cut_short();
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
                ClientError::TimedOut => refused(StatusCode::GATEWAY_TIMEOUT, TOO_LATE),
                ClientError::NoAnswer => {
                    refused(StatusCode::BAD_GATEWAY, "the server closed without an answer")
                }
                error => refused(
                    StatusCode::BAD_GATEWAY,
                    format!("the server's answer cannot be understood: {error}"),
                ),
            },
        );
    }
}

const TOO_LATE: &str = "the server did not answer in time";

/// The protocols among those that a request offers which its client may switch to, if it means this hop (RFC 9110 §7.8:
/// HTTP/1.0 knows none).
fn upgrade(head: &RequestHead, allowed: &[String]) -> String {
    if head.version == Version::Http10 || !head.fields.list_has("Connection", "upgrade") {
        return String::new();
    }
    let offered = head.fields.list("Upgrade").filter_map(|protocol| std::str::from_utf8(protocol).ok());
    let may = |protocol: &&str| allowed.iter().any(|a| a == "*" || a.eq_ignore_ascii_case(protocol));
    offered.filter(may).collect::<Vec<_>>().join(", ")
}

/// Where CONNECT leads, if it may (RFC 9110 §9.3.6): to a parent proxy, which is asked in the same words, or to the server.
fn tunnel_to(cx: &Cx, target: &str) -> Result<Route, Refused> {
    if cx.options.upstream.is_some() && !cx.options.parent {
        let why = "this proxy sends everything to one server and makes no tunnels";
        return Err(refused(StatusCode::NOT_IMPLEMENTED, why));
    }
    let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
    let parsed = Host::parse(host).ok().zip(port.parse().ok().filter(|port| *port != 0));
    let Some((host, port)) = parsed else {
        return Err(refused(StatusCode::BAD_REQUEST, "CONNECT takes HOST:PORT (RFC 9112 §3.2.3)"));
    };
    if !cx.options.tunnels.iter().any(|ports| ports.contains(&port)) {
        return Err(refused(StatusCode::FORBIDDEN, format!("tunnels to port {port} are not allowed here")));
    }
    let origin = cx.options.upstream.clone().unwrap_or(Origin { host, port });
    Ok(Route { origin, authority: target.to_owned() })
}

/// How many hops are left to an OPTIONS or TRACE (RFC 9110 §7.6.2); in other requests the field is passed on.
fn forwards_left(head: &RequestHead) -> Option<u64> {
    let counts = matches!(head.method, Method::OPTIONS | Method::TRACE);
    let text = head.fields.text("Max-Forwards").filter(|_| counts)?;
    // Beyond 64 bits there is no end either.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX))
}

/// `Trailer` says which fields come behind the body: it goes where they go.
fn with_trailer(mut fields: Fields, of: &Fields) -> Fields {
    for names in of.all("Trailer") {
        fields = fields.with("Trailer", names);
    }
    fields
}

/// Writes the request for the next hop: in origin-form unless that is a proxy, with a Host that says what the target said (RFC 9112 §3.2.2),
/// in our own version (RFC 9112 §2.3). Of TE only `trailers` goes on: chunks need not be asked for (RFC 9112 §7.4).
fn send(cx: &Cx, client: &mut ClientConn, exchange: &Exchange, name: &str) -> bool {
    let head = &exchange.head;
    let left = forwards_left(head);
    let also: &[&str] =
        if left.is_some() { &["Host", "Expect", "Max-Forwards"] } else { &["Host", "Expect"] };
    let mut fields = forward(&head.fields, head.version, name, also);
    if let Some(left) = left {
        fields = fields.with("Max-Forwards", left.saturating_sub(1).to_string());
    }
    if exchange.body == OutBody::Chunked {
        fields = with_trailer(fields, &head.fields);
    }
    if head.fields.list("TE").any(|coding| coding.eq_ignore_ascii_case(b"trailers")) {
        // RFC 9110 §10.1.4: trailers are for the whole way if each hop says so.
        let options = if cx.http.keepalive { "TE" } else { "TE, close" };
        fields = fields.with("TE", "trailers").with("Connection", options);
    }
    if !exchange.upgrade.is_empty() {
        fields = fields.with("Upgrade", &exchange.upgrade).with("Connection", "Upgrade");
    }
    let request = OutRequest {
        method: &head.method,
        target: &if cx.options.parent { head.target.as_str().into() } else { head.origin_form() },
        authority: &exchange.authority,
        version: Version::Http11,
        fields: &fields,
        body: exchange.body,
        expect_continue: head.fields.has("Expect"),
        close: false,
    };
    client.send(cx.now, &request).is_ok()
}

/// How long the response to the client says that it is: never both (RFC 9112 §6.3), nor a length that it was not said to
/// have (RFC 9110 §8.6).
fn length(head: &ResponseHead) -> ReplyBody {
    let chunked = head.fields.has("Transfer-Encoding");
    match head.fields.list("Content-Length").next().and_then(|n| std::str::from_utf8(n).ok()?.parse().ok()) {
        Some(n) if !chunked => ReplyBody::Length(n),
        _ => ReplyBody::Unknown,
    }
}

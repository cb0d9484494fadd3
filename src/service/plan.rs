//! What is to be fetched, and what came of it? Requests as a user writes them, results with their times.

use crate::http::{
    ClientError, Departed, FieldError, Fields, Method, OutBody, ResponseHead, SendError, StatusCode, Version,
};
use crate::ledger::Parts;
use crate::stack::{ResolveError, StackError};
use crate::stream::StreamError;
use crate::tcp::Info;
use crate::time::{Duration, Instant};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use url::{Host, Url};

/// The body of a request.
#[derive(Clone, Default, Debug)]
pub enum RequestBody {
    /// No body.
    #[default]
    None,
    /// These bytes, with Content-Length.
    Bytes(Arc<[u8]>),
    /// These bytes in chunks.
    Chunked(Arc<[u8]>),
    /// So many bytes of [`super::pattern`], with Content-Length.
    Pattern(u64),
    /// So many bytes of [`super::pattern`], in chunks.
    ChunkedPattern(u64),
}

impl RequestBody {
    pub(super) fn framing(&self) -> OutBody {
        match self {
            RequestBody::None => OutBody::None,
            RequestBody::Bytes(bytes) => OutBody::Length(bytes.len() as u64),
            RequestBody::Pattern(n) => OutBody::Length(*n),
            RequestBody::Chunked(_) | RequestBody::ChunkedPattern(_) => OutBody::Chunked,
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            RequestBody::None => 0,
            RequestBody::Bytes(bytes) | RequestBody::Chunked(bytes) => bytes.len() as u64,
            RequestBody::Pattern(n) | RequestBody::ChunkedPattern(n) => *n,
        }
    }

    /// Puts the bytes from `at` on into `out`; returns how many.
    pub(super) fn fill(&self, at: u64, out: &mut [u8]) -> usize {
        let left = self.len().saturating_sub(at);
        let n = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        match self {
            RequestBody::None => {}
            RequestBody::Bytes(bytes) | RequestBody::Chunked(bytes) => {
                let at = at as usize;
                out[..n].copy_from_slice(&bytes[at..at + n]);
            }
            RequestBody::Pattern(_) | RequestBody::ChunkedPattern(_) => {
                super::pattern(at, &mut out[..n]);
            }
        }
        n
    }
}

/// Why a request cannot be made of what the user wrote. User information is never sent (RFC 9110 §4.2.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlanError {
    /// Not a URL.
    Url(String),
    /// A scheme other than `http`.
    Scheme(String),
    /// User name and password in the URL, which would end up in the log.
    UserInfo,
    /// The method is not a token.
    Method(String),
    /// A field that cannot be sent.
    Field(String, FieldError),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Url(why) => write!(f, "{why}: write http://HOST[:PORT]/PATH"),
            PlanError::Scheme(scheme) => write!(f, "{scheme}:// is not spoken here, only http://"),
            PlanError::UserInfo => {
                f.write_str("a URL with a user name: send -H 'Authorization: Basic …' instead")
            }
            PlanError::Method(method) => write!(f, "{method:?} is not a method"),
            PlanError::Field(field, why) => write!(f, "{field:?}: {why}"),
        }
    }
}

impl std::error::Error for PlanError {}

/// A request to make.
#[derive(Clone, Debug)]
pub struct RequestPlan {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) fields: Fields,
    pub(super) body: RequestBody,
    pub(super) version: Version,
    pub(super) expect_continue: bool,
}

impl RequestPlan {
    /// A GET of a URL. `http://` may be left out.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn get(url: &str) -> Result<RequestPlan, PlanError> {
        let with_scheme;
        let text = if url.contains("://") {
            url
        } else {
            with_scheme = format!("http://{url}");
            &with_scheme
        };
        let parsed = Url::parse(text).map_err(|e| PlanError::Url(format!("{url:?} is not a URL ({e})")))?;
        if parsed.scheme() != "http" {
            return Err(PlanError::Scheme(parsed.scheme().into()));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(PlanError::UserInfo);
        }
        if parsed.port() == Some(0) {
            return Err(PlanError::Url(format!("{url:?} names port 0")));
        }
        Ok(RequestPlan {
            url: parsed,
            method: Method::GET,
            fields: Fields::new(),
            body: RequestBody::None,
            version: Version::Http11,
            expect_continue: false,
        })
    }

    /// With another method.
    ///
    /// # Errors
    /// It is not a token, or CONNECT, which would need a proxy.
    pub fn method(mut self, method: &str) -> Result<RequestPlan, PlanError> {
        self.method = Method::from_bytes(method.as_bytes()).map_err(|_| PlanError::Method(method.into()))?;
        if self.method == Method::CONNECT {
            return Err(PlanError::Method(method.into()));
        }
        Ok(self)
    }

    /// With a field `Name: value`.
    ///
    /// # Errors
    /// What of it cannot be sent.
    pub fn field(mut self, name: &str, value: &str) -> Result<RequestPlan, PlanError> {
        let pushed = self.fields.push(name, value.as_bytes());
        pushed.map_err(|e| PlanError::Field(format!("{name}: {value}"), e))?;
        Ok(self)
    }

    /// With a body; a GET becomes a POST.
    #[must_use]
    pub fn body(mut self, body: RequestBody) -> RequestPlan {
        if self.method == Method::GET && !matches!(body, RequestBody::None) {
            self.method = Method::POST;
        }
        self.body = body;
        self
    }

    /// In another version; chunked bodies need 1.1.
    #[must_use]
    pub fn version(mut self, version: Version) -> RequestPlan {
        self.version = version;
        self
    }

    /// The body waits for `100 Continue` (RFC 9110 §10.1.1).
    #[must_use]
    pub fn expect_continue(mut self) -> RequestPlan {
        self.expect_continue = true;
        self
    }

    /// The URL.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Path and query as they go into the request line (RFC 9112 §3.2.1).
    pub(super) fn target(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().into(),
        }
    }

    /// The target in absolute form, as a proxy wants it (RFC 9112 §3.2.2).
    pub(super) fn absolute(&self) -> String {
        format!("http://{}{}", self.authority(), self.target())
    }

    /// The value of Host: without the port if it is 80 (RFC 9110 §7.2).
    pub(super) fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or("");
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.into(),
        }
    }

    pub(super) fn host(&self) -> Host<&str> {
        // The parser refuses http URLs without a host.
        self.url.host().unwrap_or(Host::Domain(""))
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port().unwrap_or(80)
    }
}

/// When what happened. Each is `None` if it did not.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Timings {
    /// The request was there to be made: the client began, or with a rate the time at which it should have gone out.
    pub ready: Option<Instant>,
    /// The request's turn came: it had a connection, or one was begun for it.
    pub start: Option<Instant>,
    /// For a request that was sent a second time: when its turn came again.
    pub again: Option<Instant>,
    /// The name was resolved; `None` for literal addresses and kept connections.
    pub name: Option<Instant>,
    /// How long no port was free.
    pub port_wait: Duration,
    /// `connect` was called; `None` on a kept connection.
    pub connect_start: Option<Instant>,
    /// The handshake was complete; `None` on a kept connection.
    pub established: Option<Instant>,
    /// The last byte of the request was handed to the stream.
    pub request_sent: Option<Instant>,
    /// The first byte of the response was read.
    pub first_byte: Option<Instant>,
    /// Its last byte was read.
    pub last_byte: Option<Instant>,
}

impl Timings {
    /// The last of them.
    pub fn latest(&self) -> Option<Instant> {
        let opening = [self.start, self.again, self.name, self.connect_start, self.established];
        opening.into_iter().chain([self.request_sent, self.first_byte, self.last_byte]).flatten().max()
    }
}

/// Why a fetch failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchError {
    /// The name could not be resolved.
    Resolve(ResolveError),
    /// No connection could be begun: no free port, no such destination.
    Stack(StackError),
    /// The connection was not established.
    Connect(StreamError),
    /// The connection was not established within the time allowed.
    ConnectTimedOut,
    /// The connection failed.
    Stream(StreamError),
    /// The response cannot be understood, or is not complete.
    Http(ClientError),
    /// The server took an offer to switch to another protocol (RFC 9110 §7.8), which is not spoken here.
    Switched,
    /// The request cannot be written.
    Request(SendError),
    /// It took longer than was allowed.
    MaxTime,
    /// The client was stopped before the request had a connection.
    Stopped,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Resolve(ResolveError::InvalidName) => {
                f.write_str("the name is not a valid host name")
            }
            FetchError::Resolve(ResolveError::NotFound) => f.write_str("the name does not exist"),
            FetchError::Resolve(ResolveError::TimedOut) => f.write_str("the name server did not answer"),
            FetchError::Resolve(ResolveError::Refused) => {
                f.write_str("nobody listens at the name server's address")
            }
            FetchError::Resolve(ResolveError::NoServer) => f.write_str("no name server is configured"),
            FetchError::Stack(StackError::AddrInUse) => f.write_str("the local address is in use"),
            FetchError::Stack(StackError::AddrNotAvailable { connections, time_wait }) => {
                write!(f, "no local port is free ({connections} connections, {time_wait} in TIME-WAIT)")
            }
            FetchError::Stack(StackError::InvalidDestination) => {
                f.write_str("the address cannot be connected to")
            }
            FetchError::Connect(e) => write!(f, "cannot connect: {e}"),
            FetchError::ConnectTimedOut => f.write_str("cannot connect within the time allowed"),
            FetchError::Stream(e) => write!(f, "the connection failed: {e}"),
            FetchError::Http(e) => write!(f, "{e}"),
            FetchError::Switched => f.write_str(
                "the server has switched to the protocol that it was offered; it is not spoken here",
            ),
            FetchError::Request(_) => f.write_str("the request cannot be written"),
            FetchError::MaxTime => f.write_str("not complete within the time allowed"),
            FetchError::Stopped => f.write_str("stopped before the request was begun"),
        }
    }
}

impl std::error::Error for FetchError {}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Which plan, from 0.
    pub plan: usize,
    /// Which repetition of it, from 0.
    pub round: u32,
    /// The URL.
    pub url: Arc<str>,
    /// The method.
    pub method: Method,
    /// The final response's head.
    pub response: Option<ResponseHead>,
    /// Interim responses (1xx) that came before it.
    pub interims: Vec<StatusCode>,
    /// The body, unless it went to a [`BodySink`]; at most [`super::ClientOptions::keep_body`] bytes of it.
    pub body: Vec<u8>,
    /// How many bytes the body had.
    pub body_len: u64,
    /// The trailer section (RFC 9112 §7.1.2: kept apart).
    pub trailers: Fields,
    /// When what happened.
    pub timings: Timings,
    /// Where the time went: the parts sum up to the time from its turn to the last byte, or to its failure, in whole
    /// microseconds.
    pub ledger: Parts,
    /// What Linux would tell of its connection when it was done with, if [`super::ClientOptions::tcp_info`] asks for it.
    pub tcp_info: Option<Box<Info>>,
    /// Why it is not complete.
    pub error: Option<FetchError>,
    /// The connection's number in the trace, from 1; 0 if there was none.
    pub conn: u32,
    /// The server's address.
    pub remote: Option<SocketAddr>,
    /// Whether the connection had carried a request before.
    pub reused: bool,
    /// Whether it was sent twice, because its connection ended before the head of an answer (RFC 9110 §9.2.2), or because the
    /// server refused the expectation (RFC 9110 §10.1.1).
    pub retried: bool,
    /// Whether it was sent ahead of the response to another one.
    pub pipelined: bool,
    /// How much of the request left this side.
    pub departed: Departed,
}

impl Fetched {
    /// The status of the final response.
    pub fn status(&self) -> Option<StatusCode> {
        self.response.as_ref().map(|r| r.status)
    }

    /// What is known of a request that got no answer, or none that can be understood: whether the server may have processed it (RFC 9110 §9.2.2).
    /// `None` if there was a final response, or never a connection.
    pub fn fate(&self) -> Option<&'static str> {
        if self.error.is_none() || self.response.is_some() || self.remote.is_none() {
            return None;
        }
        use ClientError::{Chunked, HeadTooLarge, Malformed};
        if let Some(FetchError::Http(Malformed(_) | Chunked(_) | HeadTooLarge)) = self.error {
            return Some("sent, and answered with what cannot be understood: may have been processed");
        }
        Some(match self.departed {
            Departed::Whole if self.timings.first_byte.is_some() => {
                "sent, no whole answer: may have been processed"
            }
            Departed::Nothing => "not sent: cannot have been processed",
            Departed::Part => "sent in part, no answer: was never complete at the server",
            Departed::Whole => "sent, no answer: may have been processed",
        })
    }
}

/// Takes bodies as they come in, so that they need not be held in memory.
pub trait BodySink: Send {
    /// The final response's head of that plan and repetition; its body follows.
    fn on_head(&mut self, plan: usize, round: u32, head: &ResponseHead) {
        let _ = (plan, round, head);
    }

    /// The next bytes of that plan's and repetition's body.
    fn on_data(&mut self, plan: usize, round: u32, data: &[u8]);

    /// That was all of it, or all that there will be.
    fn on_end(&mut self, plan: usize, round: u32) {
        let _ = (plan, round);
    }
}

//! Where does the server's side of a connection stand? Requests in, responses out, strictly in their order.

mod reply;
mod request;

use super::body::{BodyError, BodyReader};
use super::buffer::Buffer;
use super::endpoint::Endpoint;
use super::fields::Fields;
use super::head::{Refusal, RequestHead, Scan, Version};
use super::{Config, Method, StatusCode};
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// Bytes that wait to be understood: pipelined requests and bodies that nobody reads yet. A head may need more.
const INPUT_LIMIT: usize = 64 << 10;
/// Bytes that wait for the stream.
const OUTPUT_LIMIT: usize = 64 << 10;
/// What is read and thrown away of a body that nobody wanted, to keep the connection (RFC 9112 §9.3).
const DISCARD_LIMIT: u64 = 64 << 10;

/// What gives way to others while they wait (RFC 9110 §15.5.9).
const TOO_SLOW: Refusal = Refusal {
    status: StatusCode::REQUEST_TIMEOUT,
    why: "the request was not complete, and others wait for a place (RFC 9110 §15.5.9)",
};
/// Those for whom there is no place (RFC 9110 §15.6.4).
const BUSY: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    why: "there are as many connections as http.max_connections (RFC 9110 §15.6.4)",
};

/// What happened on the connection.
#[derive(PartialEq, Eq, Debug)]
pub enum ServerEvent {
    /// A request to be answered with [`ServerConn::respond`] before the next one comes.
    Request(RequestHead),
    /// A request that could not be understood; the answer is on its way, and then the connection closes.
    /// With its head, if that was understood: then it is the body or the expectation that cannot be met.
    Refused(Refusal, Option<Box<RequestHead>>),
}

/// The body of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyBody {
    /// Exactly so many bytes.
    Length(u64),
    /// Unknown beforehand: chunked, or until the connection closes for an HTTP/1.0 client.
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// No byte of a request is here.
    Idle,
    /// Part of a request head is here.
    Head,
    /// A request was handed out and its response is not complete.
    Exchange,
    /// The response is complete, the request's body is not.
    Discard,
    /// No further request is read; FIN when everything is written.
    Closing,
    /// FIN sent; reading until the peer's FIN (RFC 9112 §9.6).
    Linger,
    /// Done with; with a RST if the peer must not take what it got for complete.
    Over { abort: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reply {
    Owed,
    Length(u64),
    Chunked,
    UntilClose,
    Done,
}

/// How many bytes came while they were waited for: a peer that sends or takes a byte now and then keeps every time-out
/// from expiring, and would hold the connection for ever.
#[derive(Clone, Copy, Default, Debug)]
struct Pace {
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// From now on the peer is waited for.
    fn wait(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The peer has moved `n` bytes. True if over `body_timeout` of waiting that was too little.
    fn moved(&mut self, now: Instant, n: usize, config: &Config) -> bool {
        self.waited += self.since.take().map_or(Duration::ZERO, |since| now.since(since));
        self.bytes += n as u64;
        if self.waited < config.body_timeout {
            return false;
        }
        let least = self.waited.as_secs().saturating_mul(u64::from(config.min_rate));
        let slow = self.bytes < least;
        *self = Pace::default();
        slow
    }
}

/// The server's side of one connection.
///
/// Requests come one at a time from [`poll_event`](Self::poll_event); pipelined ones wait as bytes, of which there is
/// a limit. A response is written with [`respond`](Self::respond) and then [`write_body`](Self::write_body) as long as
/// [`body_room`](Self::body_room) is not 0. The request's body is pulled with [`read_body`](Self::read_body).
#[derive(Debug)]
pub struct ServerConn {
    config: Arc<Config>,
    phase: Phase,
    input: Buffer,
    output: Buffer,
    scan: Scan,
    eof: bool,
    draining: bool,
    /// Responses begun.
    answered: u32,
    /// For the idle, header and linger timeouts.
    deadline: Option<Instant>,
    /// Runs while somebody waits for more of a request's body.
    body_deadline: Option<Instant>,
    /// Runs while the peer takes nothing.
    write_deadline: Option<Instant>,
    /// How fast the peer sends what is waited for, and takes what is there.
    body_pace: Pace,
    write_pace: Pace,

    // The current exchange.
    method: Method,
    version: Version,
    keep: bool,
    half_close: bool,
    body: BodyReader,
    body_bytes: u64,
    body_complete: bool,
    body_error: Option<BodyError>,
    /// `Expect: 100-continue` that was not yet answered.
    expects_continue: bool,
    trailers: Fields,
    reply: Reply,
    status: Option<StatusCode>,
    body_sent: u64,
    /// Refused, but not yet reported by `poll_event`.
    refused: Option<Refusal>,

    /// Memory that the next request's head and the next response's fields can have.
    spare_head: RequestHead,
    spare_fields: Fields,
}

/// What there is to remember of a connection between two requests: see [`ServerConn::resting`].
#[derive(Clone, Copy, Debug)]
pub struct Resting {
    deadline: Instant,
    answered: u32,
}

impl Resting {
    /// A connection that was just accepted.
    pub fn new(now: Instant, config: &Config) -> Resting {
        Resting { deadline: now + config.header_timeout, answered: 0 }
    }

    /// Responses begun on the connection.
    pub fn answered(&self) -> u32 {
        self.answered
    }

    /// See [`ServerConn::spare_until`].
    pub fn spare_until(&self, now: Instant, patience: Duration, config: &Config) -> Option<Instant> {
        let old = now.since(self.deadline - config.header_timeout) >= patience;
        (self.answered > 0 || old).then_some(self.deadline)
    }
}

impl ServerConn {
    /// A connection that was just accepted.
    pub fn new(config: Arc<Config>, now: Instant) -> ServerConn {
        ServerConn {
            phase: Phase::Idle,
            input: Buffer::default(),
            output: Buffer::default(),
            scan: Scan::default(),
            eof: false,
            draining: false,
            answered: 0,
            deadline: Some(now + config.header_timeout),
            body_deadline: None,
            write_deadline: None,
            body_pace: Pace::default(),
            write_pace: Pace::default(),
            method: Method::GET,
            version: Version::Http11,
            keep: true,
            half_close: false,
            body: BodyReader::Length(0),
            body_bytes: 0,
            body_complete: true,
            body_error: None,
            expects_continue: false,
            trailers: Fields::new(),
            reply: Reply::Done,
            status: None,
            body_sent: 0,
            refused: None,
            spare_head: RequestHead::default(),
            spare_fields: Fields::new(),
            config,
        }
    }

    /// The next request, or what was refused. `None` until the response before it is complete (RFC 9112 §9.3.2).
    /// Nor while much output waits: a client that sends requests and reads no responses is not worked for.
    pub fn poll_event(&mut self, now: Instant) -> Option<ServerEvent> {
        if let Some(refusal) = self.refused.take() {
            return Some(ServerEvent::Refused(refusal, None));
        }
        if self.phase == Phase::Discard {
            self.discard(now);
        }
        if !matches!(self.phase, Phase::Idle | Phase::Head) || self.output.len() >= OUTPUT_LIMIT / 2 {
            return None;
        }
        let (refusal, head) = match self.poll_head(now) {
            Ok(None) => return None,
            Ok(Some((head, framed))) => match self.begin_exchange(&head, framed) {
                Ok(()) => return Some(ServerEvent::Request(head)),
                Err(refusal) => (refusal, Some(Box::new(head))),
            },
            Err(refusal) => (refusal, None),
        };
        self.refuse(now, refusal);
        self.refused = None;
        Some(ServerEvent::Refused(refusal, head))
    }

    /// Ends the connection with a RST.
    pub fn abort(&mut self) {
        self.phase = Phase::Over { abort: true };
    }

    /// The server is shutting down: the current response is the last, an idle connection closes now.
    pub fn drain(&mut self) {
        self.draining = true;
        if self.phase == Phase::Idle {
            self.close_when_written();
        }
    }

    /// All that there is to remember, if the connection is between two requests and has nothing to send. Whoever has many
    /// keeps this instead, and [resumes](Self::resume) the connection when something comes or is due.
    pub fn resting(&self) -> Option<Resting> {
        let rests = self.phase == Phase::Idle
            && !self.eof
            && !self.draining
            && self.refused.is_none()
            && self.input.is_empty()
            && self.output.is_empty();
        Some(Resting { deadline: self.deadline?, answered: self.answered }).filter(|_| rests)
    }

    /// Becomes the connection of which `resting` was kept, in the memory of another one that needs it no more.
    pub fn resume(&mut self, resting: Resting) {
        // What else a connection knows between two requests, the next one sets.
        if self.resting().is_none() {
            let take = std::mem::take::<Buffer>;
            let (mut input, mut output) = (take(&mut self.input), take(&mut self.output));
            input.clear();
            output.clear();
            let (spare_head, spare_fields) =
                (std::mem::take(&mut self.spare_head), std::mem::take(&mut self.spare_fields));
            let new = ServerConn::new(Arc::clone(&self.config), Instant::ZERO);
            *self = ServerConn { input, output, spare_head, spare_fields, ..new };
        }
        (self.deadline, self.answered) = (Some(resting.deadline), resting.answered);
        self.scan = Scan::default();
        (self.body_pace, self.write_pace) = (Pace::default(), Pace::default());
    }

    /// Takes back a request's head that is done with: the next one needs no new memory.
    pub fn recycle(&mut self, head: RequestHead) {
        self.spare_head = head;
    }

    /// No fields, in memory that was used before, for [`respond`](Self::respond); see
    /// [`recycle_fields`](Self::recycle_fields).
    pub fn take_fields(&mut self) -> Fields {
        let mut fields = std::mem::take(&mut self.spare_fields);
        fields.clear();
        fields
    }

    /// Takes back fields that were sent.
    pub fn recycle_fields(&mut self, fields: Fields) {
        self.spare_fields = fields;
    }

    /// If no request is under way and everything was taken: when the connection will be closed for want of one, or of the
    /// peer's FIN. One that has not sent its first request, or is about to send one, has so much patience before it counts
    /// as one without.
    pub fn spare_until(&self, now: Instant, patience: Duration) -> Option<Instant> {
        let rests = |answered| {
            let resting = Resting { deadline: self.deadline?, answered };
            resting.spare_until(now, patience, &self.config).filter(|_| self.output.is_empty())
        };
        match self.phase {
            Phase::Over { .. } => Some(now),
            Phase::Linger => self.deadline,
            Phase::Idle => rests(self.answered),
            Phase::Head => rests(0),
            Phase::Exchange | Phase::Discard | Phase::Closing => None,
        }
    }

    /// Whether the peer is waited for in the middle of an exchange: to take what is there, or to send what it announced.
    pub fn awaits_peer(&self) -> bool {
        self.write_deadline.is_some() || self.body_deadline.is_some() || self.phase == Phase::Discard
    }

    /// The connection ends, so that others can have its place. A request that is not complete is answered 408, one that is
    /// and has no answer yet 503; a response that has begun, or was not taken, ends with a RST. Returns what was refused.
    pub fn give_way(&mut self, now: Instant) -> Option<Refusal> {
        match self.phase {
            Phase::Head if !self.input.is_empty() => self.refuse(now, TOO_SLOW),
            Phase::Exchange if self.reply == Reply::Owed && !self.body_complete => self.refuse(now, TOO_SLOW),
            Phase::Exchange if self.reply == Reply::Owed => self.refuse(now, BUSY),
            Phase::Idle | Phase::Head | Phase::Linger if self.output.is_empty() => self.close_when_written(),
            _ => self.abort(),
        }
        self.refused.take()
    }

    /// A connection that has no place: what was asked is answered 503.
    pub fn turn_away(&mut self, now: Instant) {
        self.poll_event(now);
        match self.phase {
            Phase::Head | Phase::Exchange => self.refuse(now, BUSY),
            Phase::Idle => self.close_when_written(),
            Phase::Discard | Phase::Closing | Phase::Linger | Phase::Over { .. } => {}
        }
    }

    /// Whether the connection is between two requests.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    fn become_idle(&mut self, now: Instant) {
        self.phase = Phase::Idle;
        self.deadline = Some(now + self.config.keepalive_timeout);
        if self.draining && self.input.is_empty() {
            self.close_when_written();
        }
    }

    fn close_when_written(&mut self) {
        self.phase = Phase::Closing;
        self.deadline = None;
        self.body_deadline = None;
        self.input.clear();
    }

    fn note_output(&mut self, now: Instant) {
        if self.write_deadline.is_none() && !self.output.is_empty() {
            self.write_deadline = Some(now + self.config.body_timeout);
            self.write_pace.wait(now);
        }
    }
}

impl Endpoint for ServerConn {
    fn room(&self) -> usize {
        match self.phase {
            Phase::Idle | Phase::Head | Phase::Exchange | Phase::Discard => {
                INPUT_LIMIT.max(self.config.max_head as usize).saturating_sub(self.input.len())
            }
            // Everything is thrown away.
            Phase::Closing | Phase::Linger => INPUT_LIMIT,
            Phase::Over { .. } => 0,
        }
    }

    fn on_bytes(&mut self, now: Instant, data: &[u8]) {
        debug_assert!(data.len() <= self.room(), "more bytes than there is room for");
        let data = &data[..data.len().min(self.room())];
        match self.phase {
            Phase::Closing | Phase::Linger | Phase::Over { .. } => return,
            Phase::Idle | Phase::Head | Phase::Exchange => {}
            Phase::Discard => self.deadline = Some(now + self.config.body_timeout),
        }
        self.input.push(data);
    }

    fn on_eof(&mut self, _now: Instant) {
        self.eof = true;
        if self.phase == Phase::Linger {
            self.phase = Phase::Over { abort: false };
        }
    }

    fn output(&self) -> &[u8] {
        self.output.as_slice()
    }

    fn on_sent(&mut self, now: Instant, n: usize) {
        self.output.consume(n);
        if n > 0 || self.output.is_empty() {
            self.write_deadline = (!self.output.is_empty()).then(|| now + self.config.body_timeout);
            if self.write_pace.moved(now, n, &self.config) {
                self.phase = Phase::Over { abort: true };
            }
            if !self.output.is_empty() {
                self.write_pace.wait(now);
            }
        }
    }

    fn wants_fin(&self) -> bool {
        self.phase == Phase::Closing
    }

    fn on_fin_sent(&mut self, now: Instant) {
        if self.phase == Phase::Closing {
            let linger = if self.half_close { self.config.keepalive_timeout } else { self.config.linger };
            if self.eof || linger.is_zero() {
                self.phase = Phase::Over { abort: false };
            } else {
                self.phase = Phase::Linger;
                self.deadline = Some(now + linger);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if matches!(self.phase, Phase::Over { .. }) {
            return None;
        }
        [self.deadline, self.body_deadline, self.write_deadline].into_iter().flatten().min()
    }

    fn on_timeout(&mut self, now: Instant) {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        if due(self.write_deadline) {
            self.write_deadline = None;
            self.phase = Phase::Over { abort: true };
        } else if due(self.body_deadline) {
            self.fail_body(now, BodyError::TimedOut);
        } else if due(self.deadline) {
            self.deadline = None;
            match self.phase {
                // RFC 9112 §9.5: a graceful close. A 408 here could be taken for the answer to a request that is
                // just on its way.
                Phase::Idle | Phase::Discard => self.close_when_written(),
                // Empty lines only.
                Phase::Head if self.input.is_empty() => self.close_when_written(),
                Phase::Head => {
                    self.refuse(now, Refusal {
                        status: StatusCode::REQUEST_TIMEOUT,
                        why: "the request head was not complete within http.header_timeout (RFC 9110 §15.5.9)",
                    });
                }
                Phase::Linger => self.phase = Phase::Over { abort: false },
                Phase::Exchange | Phase::Closing | Phase::Over { .. } => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    fn must_abort(&self) -> bool {
        self.phase == Phase::Over { abort: true }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

//! Where does the client's side of a connection stand? Requests out, responses in, matched by their order.

mod told;
mod unanswered;

use super::body::{BodyError, BodyReader};
use super::buffer::Buffer;
use super::encode::{self, Announced, RequestLine};
use super::endpoint::Endpoint;
use super::fields::{Fields, KeepAlive};
use super::framing::{self, Framing};
use super::head::{self, BadHead, Lines, Scan, Version};
use super::{Config, Method, StatusCode, is_idempotent, is_safe};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;
pub use told::{ClientError, ClientEvent, Departed, OutBody, OutRequest, SendError};
use unanswered::Unanswered;

const INPUT_LIMIT: usize = 64 << 10;
const OUTPUT_LIMIT: usize = 64 << 10;
/// Interim responses to one request; a server that sends more is not going to answer.
const INTERIM_LIMIT: u32 = 100;
/// How long a body waits for `100 Continue` before it is sent all the same (RFC 9110 §10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// What a connection's expiry is brought forward by, so that a request does not meet the server's FIN.
const EXPIRY_MARGIN: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sending {
    Nothing,
    /// The body waits for `100 Continue`, until then at the latest.
    AwaitContinue {
        until: Instant,
        body: Framing,
    },
    Body(Framing),
    /// The server answered before it had the body; the rest is not sent (RFC 9112 §9.5).
    Abandoned,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Receiving {
    Head,
    Body,
    /// The end is to be reported.
    Complete,
}

/// The client's side of one connection.
#[derive(Debug)]
pub struct ClientConn {
    config: Arc<Config>,
    input: Buffer,
    output: Buffer,
    scan: Scan,
    eof: bool,
    /// The end was no FIN.
    reset: bool,
    over: bool,
    unanswered: VecDeque<Unanswered>,
    sending: Sending,
    receiving: Receiving,
    body: BodyReader,
    body_error: Option<BodyError>,
    /// Whether the connection survives the current response.
    keep: bool,
    /// What the server promised with the last response, and when that was complete.
    promise: KeepAlive,
    idle_since: Instant,
    answered: u64,
    surplus: u64,
    /// Bytes given to the stream.
    handed: u64,
    had_last: bool,
    failure: Option<ClientError>,
    /// Whether something of the next answer had come when the connection was of no further use.
    heard: bool,
    /// Runs while a response or room for the request is awaited.
    deadline: Option<Instant>,
}

impl ClientConn {
    /// A connection that was just established, or soon will be.
    pub fn new(config: Arc<Config>, now: Instant) -> ClientConn {
        ClientConn {
            config,
            input: Buffer::default(),
            output: Buffer::default(),
            scan: Scan::default(),
            eof: false,
            reset: false,
            over: false,
            unanswered: VecDeque::new(),
            sending: Sending::Nothing,
            receiving: Receiving::Head,
            body: BodyReader::Length(0),
            body_error: None,
            keep: true,
            promise: KeepAlive::default(),
            idle_since: now,
            answered: 0,
            surplus: 0,
            handed: 0,
            had_last: false,
            failure: None,
            heard: false,
            deadline: None,
        }
    }

    /// Whether `method` may be sent now, possibly ahead of responses that are owed: at most `http.pipeline` requests,
    /// only safe ones, only after the server has shown that it keeps the connection (RFC 9112 §9.3.2), and no more than
    /// its `Keep-Alive: max` says that it will answer.
    pub fn may_send(&self, method: &Method) -> Result<(), SendError> {
        if self.over || self.eof || !self.keep || self.surplus > 0 || self.unanswered.iter().any(|u| u.last) {
            return Err(SendError::Closed);
        }
        if self.sending != Sending::Nothing {
            return Err(SendError::Busy);
        }
        if self.unanswered.is_empty() {
            return Ok(());
        }
        if self.unanswered.iter().any(Unanswered::may_end_http) {
            return Err(SendError::Busy);
        }
        let room = self.unanswered.len() < usize::from(self.config.pipeline)
            && self.output.len() < OUTPUT_LIMIT
            && self.answered > 0
            && self.promise.max.is_none_or(|max| self.unanswered.len() < max as usize);
        let safe = is_safe(method) && self.unanswered.iter().all(|u| is_idempotent(&u.method));
        if room && safe { Ok(()) } else { Err(SendError::Busy) }
    }

    /// Writes a request's head. Its body, if any, follows with [`write_body`](Self::write_body).
    ///
    /// # Errors
    /// [`SendError`]: nothing was written.
    pub fn send(&mut self, now: Instant, request: &OutRequest<'_>) -> Result<(), SendError> {
        self.may_send(request.method)?;
        let target_is_valid =
            !request.target.is_empty() && request.target.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        let host_is_valid = request.fields.has("Host")
            || request.authority.is_empty()
            || head::is_authority(request.authority);
        // RFC 9112 §6.1: no Transfer-Encoding unless the server is known to speak HTTP/1.1.
        let chunks_to_10 = request.body == OutBody::Chunked && request.version == Version::Http10;
        if !target_is_valid || !host_is_valid || chunks_to_10 {
            return Err(SendError::Invalid);
        }
        let (announced, body) = match request.body {
            // RFC 9110 §8.6: a method that anticipates content says so even when there is none.
            OutBody::None if matches!(*request.method, Method::POST | Method::PUT | Method::PATCH) => {
                (Announced::Length(0), None)
            }
            OutBody::None => (Announced::Nothing, None),
            OutBody::Length(n) => (Announced::Length(n), (n > 0).then_some(Framing::Length(n))),
            OutBody::Chunked => (Announced::Chunked, Some(Framing::Chunked)),
        };
        let expect = request.expect_continue && body.is_some() && request.version == Version::Http11;
        let line = RequestLine {
            method: request.method.as_str(),
            target: request.target,
            version: request.version,
            authority: request.authority,
            announced,
            close: request.close || !self.config.keepalive,
            expect,
        };
        let begin = self.written();
        encode::request(&mut self.output, &line, request.fields);
        self.sending = match body {
            None => Sending::Nothing,
            Some(body) if expect => Sending::AwaitContinue { until: now + CONTINUE_WAIT, body },
            Some(body) => Sending::Body(body),
        };
        let last = line.close || request.fields.list_has("Connection", "close");
        let end = (self.sending == Sending::Nothing).then(|| self.written());
        let method = request.method.clone();
        let offers = unanswered::offers(request);
        self.unanswered.push_back(Unanswered { method, offers, interims: 0, last, begin, end });
        self.progress(now);
        Ok(())
    }

    /// How many bytes of the request's body can be written now.
    pub fn body_room(&self) -> usize {
        let room = OUTPUT_LIMIT.saturating_sub(self.output.len());
        match self.sending {
            Sending::Body(Framing::Length(left)) => usize::try_from(left).map_or(room, |left| left.min(room)),
            Sending::Body(_) => room,
            Sending::Nothing | Sending::AwaitContinue { .. } | Sending::Abandoned => 0,
        }
    }

    /// Whether the request's body is neither complete nor abandoned.
    pub fn is_sending(&self) -> bool {
        matches!(self.sending, Sending::Body(_) | Sending::AwaitContinue { .. })
    }

    /// Queues bytes of the request's body and returns how many found room.
    pub fn write_body(&mut self, data: &[u8]) -> usize {
        let room = self.body_room().min(data.len());
        let Sending::Body(framing) = self.sending else { return 0 };
        if room == 0 {
            return 0;
        }
        let n = encode::body_with(&mut self.output, room, framing == Framing::Chunked, |out| {
            let n = out.len().min(data.len());
            out[..n].copy_from_slice(&data[..n]);
            n
        });
        if let Framing::Length(left) = framing {
            let left = left - n as u64;
            self.sending = Sending::Body(Framing::Length(left));
            if left == 0 {
                self.request_written();
            }
        }
        n
    }

    /// Bytes written on this connection, those that wait in the output included.
    fn written(&self) -> u64 {
        self.handed + self.output.len() as u64
    }

    fn request_written(&mut self) {
        self.sending = Sending::Nothing;
        let end = self.written();
        if let Some(request) = self.unanswered.back_mut() {
            request.end = Some(end);
        }
    }

    /// How much of the `n`th oldest unanswered request was given to the stream, also after a failure.
    pub fn departed(&self, n: usize) -> Departed {
        match self.unanswered.get(n) {
            Some(request) if request.end.is_some_and(|end| end <= self.handed) => Departed::Whole,
            Some(request) if request.begin < self.handed => Departed::Part,
            _ => Departed::Nothing,
        }
    }

    /// The chunked body of the request is complete. A body with a length ends with its last byte.
    pub fn end_body(&mut self) {
        self.end_body_with(&Fields::new());
    }

    /// The chunked body of the request is complete, and `trailers` follow it (RFC 9112 §7.1.2). A body with a length
    /// has none: they are left out.
    pub fn end_body_with(&mut self, trailers: &Fields) {
        if self.sending == Sending::Body(Framing::Chunked) {
            encode::last_chunk(&mut self.output, trailers);
            self.request_written();
        }
    }

    /// What happened next. While a response's body is being read, `None` until it is complete.
    pub fn poll_event(&mut self, now: Instant) -> Option<ClientEvent> {
        if let Some(failure) = self.failure.take() {
            return Some(ClientEvent::Failed(failure));
        }
        if self.over {
            return None;
        }
        match self.receiving {
            Receiving::Head => match self.poll_head(now) {
                Ok(event) => event,
                Err(error) => Some(self.fail(error)),
            },
            Receiving::Body => None,
            Receiving::Complete => {
                let trailers = self.body.trailers();
                self.finish_response(now);
                Some(ClientEvent::End(trailers))
            }
        }
    }

    /// The head of the next response to the oldest request; before the final one there may be several interim ones
    /// (RFC 9110 §15.2).
    fn poll_head(&mut self, now: Instant) -> Result<Option<ClientEvent>, ClientError> {
        if self.unanswered.is_empty() {
            // RFC 9112 §6.3: what comes beyond a response is never one; §9.2: empty lines are nothing.
            let surplus = self.input.as_slice().iter().filter(|b| !matches!(b, b'\r' | b'\n')).count();
            self.surplus += surplus as u64;
            self.input.clear();
            self.over |= self.eof;
            return Ok(None);
        }
        let found = self.scan.find(self.input.as_slice(), Lines::Lenient);
        let found = found.map_err(|e| ClientError::Malformed(e.0))?;
        let limit = self.config.max_head as usize;
        if found.map_or(self.input.len() >= limit, |length| length > limit) {
            return Err(ClientError::HeadTooLarge);
        }
        let Some(length) = found else {
            return match (self.eof, self.input.is_empty()) {
                (false, _) => Ok(None),
                (true, true) => Err(ClientError::NoAnswer),
                (true, false) => Err(ClientError::Incomplete),
            };
        };
        let malformed = |e: BadHead| ClientError::Malformed(e.0);
        let head = head::parse_response(&self.input.as_slice()[..length]).map_err(malformed)?;
        if head.fields.len() > self.config.max_fields as usize {
            return Err(ClientError::Malformed("the response has more header fields than http.max_fields"));
        }
        self.input.consume(length);
        self.scan = Scan::default();
        let Some(request) = self.unanswered.front_mut() else { return Ok(None) };
        if request.is_switched_by(&head, self.sending != Sending::Nothing)? {
            self.unanswered.pop_front();
            (self.over, self.keep, self.deadline) = (true, false, None);
            return Ok(Some(ClientEvent::Switched(head)));
        }
        if head.status.is_informational() {
            request.interims += 1;
            if request.interims > INTERIM_LIMIT {
                return Err(ClientError::Malformed("more than 100 interim responses to one request"));
            }
            if let Sending::AwaitContinue { body, .. } = self.sending
                && head.status == StatusCode::CONTINUE
            {
                self.sending = Sending::Body(body);
            }
            self.progress(now);
            return Ok(Some(ClientEvent::Interim(head)));
        }
        let framed = framing::of_response(&request.method, &head).map_err(malformed)?;
        let persists = match head.version {
            Version::Http11 => true,
            Version::Http10 => head.fields.list_has("Connection", "keep-alive"),
        };
        self.keep = persists
            && !framed.close
            && !request.last
            && !head.fields.list_has("Connection", "close")
            && self.config.keepalive;
        self.promise = head.fields.keep_alive();
        // Only the newest request can have a body that is still being sent. RFC 9112 §9.5: an error before its end
        // says that nobody reads it. An echo answers early, too, and wants the rest.
        let refused = head.status.is_client_error() || head.status.is_server_error();
        let waiting = matches!(self.sending, Sending::AwaitContinue { .. });
        if self.unanswered.len() == 1 && (waiting || (refused && self.is_sending())) {
            self.sending = Sending::Abandoned;
            self.keep = false;
        }
        self.body = BodyReader::new(framed.framing);
        self.receiving = match framed.framing {
            Framing::Length(0) => Receiving::Complete,
            _ => Receiving::Body,
        };
        self.progress(now);
        Ok(Some(ClientEvent::Response(head)))
    }

    /// What came behind the head with which HTTP ended ([`ClientEvent::Switched`]).
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.input.as_slice().to_vec();
        self.input.clear();
        rest
    }

    /// Moves bytes of the response's body into `out`; `Ok(0)` is its end, which `poll_event` then reports.
    ///
    /// # Errors
    /// [`BodyError::WouldBlock`] until more has come. Any other error ends the connection.
    pub fn read_body(&mut self, now: Instant, out: &mut [u8]) -> Result<usize, BodyError> {
        if let Some(error) = self.body_error {
            return Err(error);
        }
        if self.receiving != Receiving::Body || out.is_empty() {
            return Ok(0);
        }
        let (taken, end) = match self.body.take(self.input.as_slice(), out) {
            Ok(taken) => taken,
            Err(e) => {
                self.failure = Some(ClientError::Chunked(e));
                return Err(self.end_with(BodyError::Chunked(e)));
            }
        };
        self.input.consume(taken.consumed);
        if taken.consumed > 0 {
            self.progress(now);
        }
        if end {
            self.receiving = Receiving::Complete;
        }
        if taken.copied > 0 || end {
            return Ok(taken.copied);
        }
        match (self.eof, &self.body) {
            (false, _) => Err(BodyError::WouldBlock),
            (true, BodyReader::UntilClose) if !self.reset => {
                self.receiving = Receiving::Complete;
                Ok(0)
            }
            (true, _) => {
                self.failure = Some(ClientError::Incomplete);
                Err(self.end_with(BodyError::Incomplete))
            }
        }
    }

    fn end_with(&mut self, error: BodyError) -> BodyError {
        self.body_error = Some(error);
        self.stop();
        error
    }

    fn fail(&mut self, error: ClientError) -> ClientEvent {
        self.stop();
        ClientEvent::Failed(error)
    }

    fn stop(&mut self) {
        self.heard = self.heard();
        self.keep = false;
        self.over = true;
        self.deadline = None;
        self.sending = Sending::Nothing;
        self.output.clear();
        self.input.clear();
    }

    fn finish_response(&mut self, now: Instant) {
        self.receiving = Receiving::Head;
        self.unanswered.pop_front();
        self.answered += 1;
        self.idle_since = now;
        self.had_last = !self.keep;
        if self.unanswered.is_empty() {
            self.deadline = None;
            if self.sending == Sending::Abandoned {
                self.output.clear();
            }
            // A request whose body is still being sent after its response was complete goes on; then it is idle.
            self.over = !self.keep;
        } else {
            self.progress(now);
            if !self.keep {
                // RFC 9112 §9.3.1: what was sent after it will not be answered on this connection.
                self.failure = Some(ClientError::NoAnswer);
                self.input.clear();
                self.stop();
            }
        }
    }

    /// Whether something of the answer to the oldest unanswered request has come, be it an interim response, also after a
    /// failure.
    pub fn heard(&self) -> bool {
        let begun = |oldest: &Unanswered| oldest.interims > 0 || !self.input.is_empty();
        self.heard || self.receiving != Receiving::Head || self.unanswered.front().is_some_and(begun)
    }

    /// The connection was reset: what was received before still counts, what was to be sent does not (RFC 9112 §9.5). A
    /// response that only the connection's end frames is incomplete.
    pub fn on_reset(&mut self) {
        (self.eof, self.reset) = (true, true);
        self.abandon();
    }

    /// Nothing more can be sent; the answer to what was sent before may still come.
    pub fn abandon(&mut self) {
        self.keep = false;
        self.output.clear();
        if self.sending != Sending::Nothing {
            self.sending = Sending::Abandoned;
        }
    }

    /// Requests without a complete response. After a failure those behind the failed one may be sent elsewhere, but
    /// not pipelined at once (RFC 9112 §9.3.2).
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Whether a complete response said that it is the last: requests behind it were not processed (RFC 9112 §9.6).
    pub fn had_last(&self) -> bool {
        self.had_last
    }

    /// Responses completed on this connection.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Bytes that came beyond the responses; the connection is not used again once there are any.
    pub fn surplus(&self) -> u64 {
        self.surplus
    }

    /// What the server promised with the last response.
    pub fn promise(&self) -> KeepAlive {
        self.promise
    }

    /// Until when an idle connection can be used for another request, if it can be used at all: the server's timeout
    /// less a round trip and a margin, so that the request does not cross the server's FIN. `Instant::FAR` if the
    /// server has named no timeout.
    pub fn reusable_until(&self, rtt: Duration) -> Option<Instant> {
        let idle = self.unanswered.is_empty() && self.sending == Sending::Nothing && self.input.is_empty();
        if !idle || !self.keep || self.over || self.eof || self.surplus > 0 || self.promise.max == Some(0) {
            return None;
        }
        Some(match self.promise.timeout {
            Some(timeout) => self.idle_since + timeout.saturating_sub(rtt + EXPIRY_MARGIN),
            None => Instant::FAR,
        })
    }

    fn progress(&mut self, now: Instant) {
        self.deadline = Some(now + self.config.body_timeout);
    }
}

impl Endpoint for ClientConn {
    fn room(&self) -> usize {
        if self.over {
            return 0;
        }
        INPUT_LIMIT.max(self.config.max_head as usize).saturating_sub(self.input.len())
    }

    fn on_bytes(&mut self, _now: Instant, data: &[u8]) {
        debug_assert!(data.len() <= self.room(), "more bytes than there is room for");
        self.input.push(&data[..data.len().min(self.room())]);
    }

    fn on_eof(&mut self, _now: Instant) {
        self.eof = true;
    }

    fn output(&self) -> &[u8] {
        self.output.as_slice()
    }

    fn on_sent(&mut self, now: Instant, n: usize) {
        self.output.consume(n);
        self.handed += n as u64;
        if !self.unanswered.is_empty() {
            self.progress(now);
        }
    }

    /// A client keeps its write side open until it is done: servers take a FIN for a cancelled request.
    fn wants_fin(&self) -> bool {
        false
    }

    fn on_fin_sent(&mut self, _now: Instant) {}

    fn next_deadline(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let until = match self.sending {
            Sending::AwaitContinue { until, .. } => Some(until),
            _ => None,
        };
        [until, self.deadline].into_iter().flatten().min()
    }

    fn on_timeout(&mut self, now: Instant) {
        if let Sending::AwaitContinue { until, body } = self.sending
            && until <= now
        {
            self.sending = Sending::Body(body);
        }
        if self.deadline.is_some_and(|at| at <= now) && !self.over {
            self.failure = Some(ClientError::TimedOut);
            self.body_error = Some(BodyError::TimedOut);
            self.stop();
        }
    }

    fn is_over(&self) -> bool {
        self.over && self.failure.is_none()
    }

    fn must_abort(&self) -> bool {
        // Nothing was promised to the server that a RST would have to take back.
        false
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

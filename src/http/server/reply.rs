//! What is answered? Responses, their bodies, and the refusals that the machinery makes itself.

use super::super::encode::{self, Announced, Persistence};
use super::super::fields::Fields;
use super::super::head::{Refusal, Version};
use super::super::{Method, StatusCode};
use super::{DISCARD_LIMIT, OUTPUT_LIMIT, Phase, Reply, ReplyBody, ServerConn};
use crate::time::Instant;

impl ServerConn {
    /// Answers a request that nobody else will, and closes after it (for 408: RFC 9110 §15.5.9).
    pub(super) fn refuse(&mut self, now: Instant, refusal: Refusal) {
        if !matches!(self.reply, Reply::Owed) {
            // Not even the head was understood: nothing of an earlier request may shape the answer.
            self.method = Method::GET;
            self.version = Version::Http11;
            self.reply = Reply::Owed;
        }
        self.keep = false;
        self.phase = Phase::Exchange;
        self.body_sent = 0;
        let text = format!("{}: {}\n", refusal.status, refusal.why);
        let mut fields = Fields::new().with("Content-Type", "text/plain; charset=utf-8");
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            fields = fields.with("Retry-After", "1");
        }
        self.respond(now, refusal.status, &fields, ReplyBody::Length(text.len() as u64));
        if let Reply::Length(1..) = self.reply {
            // Beyond the output's limit if need be: it is the last that is written.
            self.output.push(text.as_bytes());
            self.body_sent = text.len() as u64;
            self.finish_response(now);
        }
        self.refused = Some(refusal);
    }

    /// Whether a response is owed.
    pub fn owes_response(&self) -> bool {
        self.phase == Phase::Exchange && self.reply == Reply::Owed
    }

    /// Sends an interim response (1xx, RFC 9110 §15.2), except to an HTTP/1.0 client or after the final response began.
    pub fn interim(&mut self, now: Instant, status: StatusCode, fields: &Fields) {
        if self.owes_response() && self.version == Version::Http11 && status.is_informational() {
            encode::interim(&mut self.output, status, fields);
            self.note_output(now);
        }
    }

    /// The connection will close after the current response.
    pub fn close_after(&mut self) {
        self.keep = false;
    }

    /// The connection will be half-closed after the current response, which does not say so: reading goes on as long
    /// as an idle connection is kept. This is what a keep-alive time-out looks like to a client that is about to send.
    pub fn half_close_after(&mut self) {
        self.half_close = true;
    }

    /// Whether the connection is kept after the current response.
    pub fn keeps(&self) -> bool {
        self.keep
    }

    /// Begins the response to the current request. Date, Connection, Keep-Alive and the body's length are added here,
    /// whatever `fields` say of them: a length or chunks wherever that can be (RFC 9112 §6.3), no content for HEAD (RFC 9110
    /// §9.3.2), and `close` in the last one (RFC 9112 §9.6). Does nothing if no response is owed.
    pub fn respond(&mut self, now: Instant, status: StatusCode, fields: &Fields, body: ReplyBody) {
        if !self.owes_response() {
            return;
        }
        self.status = Some(status);
        self.answered = self.answered.saturating_add(1);
        let max = self.config.keepalive_max;
        let left = (max > 0).then(|| max.saturating_sub(self.answered));
        if !self.config.keepalive || left == Some(0) || self.draining || self.must_close_for_body(status) {
            self.keep = false;
        }
        // RFC 9110 §8.6 and §15.3.6: 1xx, 204 and 304 have no body, and neither has 205.
        let bodiless = status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
            || status.is_informational();
        let announced = match body {
            _ if bodiless => Announced::Nothing,
            _ if status == StatusCode::RESET_CONTENT => Announced::Length(0),
            ReplyBody::Length(n) => Announced::Length(n),
            // RFC 9112 §6.1: no Transfer-Encoding to an HTTP/1.0 client.
            ReplyBody::Unknown if self.version == Version::Http10 => Announced::Nothing,
            ReplyBody::Unknown => Announced::Chunked,
        };
        let until_close = announced == Announced::Nothing && !bodiless;
        if until_close && self.method != Method::HEAD {
            self.keep = false;
        }
        let persistence = match self.keep {
            true => Persistence::Keep { timeout: self.config.keepalive_timeout, left },
            false => Persistence::Close,
        };
        encode::response(&mut self.output, now, status, fields, announced, persistence);
        self.note_output(now);
        self.reply = match announced {
            _ if self.method == Method::HEAD || bodiless => Reply::Length(0),
            Announced::Length(n) => Reply::Length(n),
            Announced::Chunked => Reply::Chunked,
            Announced::Nothing => Reply::UntilClose,
        };
        if self.reply == Reply::Length(0) {
            self.finish_response(now);
        }
    }

    /// RFC 9112 §9.3: the rest of the body is read, or the connection closes. What a client does that waits for
    /// `100 Continue` and gets an error instead is not known (RFC 9110 §10.1.1).
    fn must_close_for_body(&self, status: StatusCode) -> bool {
        let refused = status.is_client_error() || status.is_server_error();
        let small = self.body.left().is_some_and(|left| left <= DISCARD_LIMIT);
        !self.body_complete && (self.expects_continue || (refused && !small))
    }

    /// How many bytes of the response's body can be written now: 0 if the output is full, the body complete, or the
    /// request was a HEAD.
    pub fn body_room(&self) -> usize {
        if self.phase != Phase::Exchange {
            return 0;
        }
        let room = OUTPUT_LIMIT.saturating_sub(self.output.len());
        match self.reply {
            Reply::Owed | Reply::Done => 0,
            Reply::Length(left) => usize::try_from(left).map_or(room, |left| left.min(room)),
            Reply::Chunked | Reply::UntilClose => room,
        }
    }

    /// Whether the current response is not complete.
    pub fn is_responding(&self) -> bool {
        self.phase == Phase::Exchange
    }

    /// Whether the current response has begun and takes (more) body bytes, now or later; not that to a HEAD.
    pub fn wants_body(&self) -> bool {
        self.phase == Phase::Exchange && !matches!(self.reply, Reply::Owed | Reply::Done)
    }

    /// Queues bytes of the response's body and returns how many found room.
    pub fn write_body(&mut self, now: Instant, data: &[u8]) -> usize {
        self.write_body_with(now, data.len(), |out| {
            out.copy_from_slice(&data[..out.len()]);
            out.len()
        })
    }

    /// Queues at most `limit` bytes of the response's body, which `fill` puts where they belong; it returns how many.
    pub fn write_body_with(
        &mut self,
        now: Instant,
        limit: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> usize {
        let room = self.body_room().min(limit);
        if room == 0 {
            return 0;
        }
        let n = encode::body_with(&mut self.output, room, self.reply == Reply::Chunked, fill);
        self.note_output(now);
        self.body_sent += n as u64;
        if let Reply::Length(left) = self.reply {
            self.reply = Reply::Length(left - n as u64);
            if left == n as u64 {
                self.finish_response(now);
            }
        }
        n
    }

    /// The response's body is complete. Where fewer bytes came than were announced, the connection is reset.
    pub fn end_body(&mut self, now: Instant) {
        self.end_body_with(now, &Fields::new());
    }

    /// As [`end_body`](Self::end_body), with `trailers` behind a chunked body (RFC 9112 §7.1.2); others have none.
    pub fn end_body_with(&mut self, now: Instant, trailers: &Fields) {
        match self.reply {
            Reply::Owed | Reply::Done => {}
            Reply::Length(_) => self.phase = Phase::Over { abort: true },
            Reply::Chunked => {
                encode::last_chunk(&mut self.output, trailers);
                self.note_output(now);
                self.finish_response(now);
            }
            Reply::UntilClose => self.finish_response(now),
        }
    }

    /// The response's body ends before its end: nothing more of it will come. The client gets what was written so far and
    /// notices by its framing, or, where only the end of the connection frames it, by the RST that is owed to it
    /// after everything was acknowledged: true then (RFC 9112 §8).
    pub fn cut_short(&mut self) -> bool {
        self.keep = false;
        match std::mem::replace(&mut self.reply, Reply::Done) {
            Reply::UntilClose => true,
            _ => {
                self.close_when_written();
                false
            }
        }
    }

    /// Answers the current CONNECT with 200, and ends HTTP on this connection: what follows the blank line is a tunnel's
    /// (RFC 9110 §9.3.6). Returns what was received behind the request, and what is still to be sent.
    pub fn tunnel(&mut self, now: Instant) -> (Vec<u8>, Vec<u8>) {
        encode::tunnel(&mut self.output, now);
        self.end_http()
    }

    /// Answers the current request with 101, and ends HTTP on this connection: what follows the blank line is said in the
    /// protocol that `fields` name in Upgrade (RFC 9110 §7.8). Returns what [`tunnel`](Self::tunnel) does.
    pub fn switch(&mut self, fields: &Fields) -> (Vec<u8>, Vec<u8>) {
        encode::switch(&mut self.output, fields);
        self.end_http()
    }

    fn end_http(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.phase = Phase::Over { abort: false };
        let parts = (self.input.as_slice().to_vec(), self.output.as_slice().to_vec());
        self.input.clear();
        self.output.clear();
        parts
    }

    /// The status of the current or, between two requests, the last response.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Bytes of that response's body so far.
    pub fn body_sent(&self) -> u64 {
        self.body_sent
    }

    /// RFC 9112 §9.6: what was said to be the last response is.
    fn finish_response(&mut self, now: Instant) {
        self.reply = Reply::Done;
        self.body_deadline = None;
        if !self.keep || self.half_close {
            self.close_when_written();
        } else if self.body_complete {
            self.become_idle(now);
        } else {
            self.phase = Phase::Discard;
            self.body_bytes = 0;
            self.deadline = Some(now + self.config.body_timeout);
        }
    }
}

//! What does the client ask? Heads and bodies of requests, and what is done with those that nobody wants.

use super::super::StatusCode;
use super::super::body::{BodyError, BodyReader};
use super::super::encode;
use super::super::fields::Fields;
use super::super::framing::{self, Framed, Framing};
use super::super::head::{self, Lines, Refusal, RequestHead, Scan, Version};
use super::{DISCARD_LIMIT, Pace, Phase, Reply, ServerConn};
use crate::time::Instant;

impl ServerConn {
    /// The next request head, if it is complete: nothing is served before (RFC 9110 §5.3). Too large a one is answered 4xx
    /// (RFC 9110 §5.4), by what of it is too large (RFC 9112 §3).
    pub(super) fn poll_head(&mut self, now: Instant) -> Result<Option<(RequestHead, Framed)>, Refusal> {
        // RFC 9112 §2.2: empty lines before the request line are ignored.
        while self.scan.first_line().is_none() && self.input.as_slice().starts_with(b"\r\n") {
            self.input.consume(2);
            self.scan = Scan::default();
        }
        if self.input.is_empty() {
            if self.eof || self.draining {
                self.close_when_written();
            }
            return Ok(None);
        }
        if self.phase == Phase::Idle {
            self.phase = Phase::Head;
            self.deadline = Some(now + self.config.header_timeout);
        }
        let limit = self.config.max_head as usize;
        let bad = |why| Refusal { status: StatusCode::BAD_REQUEST, why };
        let found = self.scan.find(self.input.as_slice(), Lines::Strict).map_err(|e| bad(e.0))?;
        let too_large = found.map_or(self.input.len() >= limit, |length| length > limit);
        if too_large {
            return Err(match self.scan.first_line().is_some_and(|line| line < limit) {
                true => Refusal {
                    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    why: "the request head is longer than http.max_head (RFC 6585 §5)",
                },
                false => Refusal {
                    status: StatusCode::URI_TOO_LONG,
                    why: "the request line is longer than http.max_head (RFC 9112 §3)",
                },
            });
        }
        let Some(length) = found else {
            return match self.eof {
                true => Err(bad("the connection ended within a request head (RFC 9112 §8)")),
                false => Ok(None),
            };
        };
        let spare = std::mem::take(&mut self.spare_head);
        let head = head::parse_request_into(&self.input.as_slice()[..length], spare)?;
        if head.fields.len() > self.config.max_fields as usize {
            return Err(Refusal {
                status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                why: "the request has more header fields than http.max_fields (RFC 6585 §5)",
            });
        }
        let framed = framing::of_request(&head)?;
        self.input.consume(length);
        Ok(Some((head, framed)))
    }

    /// Makes it the request that is to be answered, unless its body or its expectation stands against that.
    pub(super) fn begin_exchange(&mut self, head: &RequestHead, framed: Framed) -> Result<(), Refusal> {
        self.phase = Phase::Exchange;
        self.scan = Scan::default();
        self.deadline = None;
        self.method = head.method.clone();
        self.version = head.version;
        // RFC 9112 §9.3: persistent unless `close`; HTTP/1.0 only on request.
        self.keep = !framed.close
            && !head.fields.list_has("Connection", "close")
            && (head.version == Version::Http11 || head.fields.list_has("Connection", "keep-alive"));
        self.body = BodyReader::new(framed.framing);
        self.body_bytes = 0;
        self.body_complete = framed.framing == Framing::Length(0);
        self.body_error = None;
        self.body_pace = Pace::default();
        self.expects_continue = false;
        self.trailers = Fields::new();
        self.reply = Reply::Owed;
        self.status = None;
        self.body_sent = 0;
        self.check_expectation(head)?;
        self.check_length(framed.framing)
    }

    /// RFC 9110 §10.1.1: the one expectation is 100-continue, and an HTTP/1.0 client cannot have it.
    fn check_expectation(&mut self, head: &RequestHead) -> Result<(), Refusal> {
        if head.fields.list("Expect").any(|e| !e.eq_ignore_ascii_case(b"100-continue")) {
            return Err(Refusal {
                status: StatusCode::EXPECTATION_FAILED,
                why: "the only expectation that can be met is 100-continue (RFC 9110 §10.1.1)",
            });
        }
        self.expects_continue =
            head.fields.has("Expect") && head.version == Version::Http11 && !self.body_complete;
        Ok(())
    }

    fn check_length(&self, framing: Framing) -> Result<(), Refusal> {
        match framing {
            Framing::Length(n) if n > self.config.max_body => Err(Refusal {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                why: "the request body is longer than http.max_body (RFC 9110 §15.5.14)",
            }),
            _ => Ok(()),
        }
    }

    /// Whether the current request's body has been read to its end.
    pub fn body_complete(&self) -> bool {
        self.body_complete
    }

    /// How the current request's body is framed: its remaining length, or `None` for chunks.
    pub fn body_left(&self) -> Option<u64> {
        if self.body_complete { Some(0) } else { self.body.left() }
    }

    /// The trailer section of the current request, once its body is complete (RFC 9112 §7.1.2: kept apart).
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Moves bytes of the request's body into `out`; `Ok(0)` is its end. The first call that finds nothing sends
    /// `100 Continue` to a client that waits for it (RFC 9110 §10.1.1).
    ///
    /// # Errors
    /// [`BodyError::WouldBlock`] until more has come. After any other error the request was answered (408, 413, 400)
    /// unless a response had begun, and the connection closes.
    pub fn read_body(&mut self, now: Instant, out: &mut [u8]) -> Result<usize, BodyError> {
        if let Some(error) = self.body_error {
            return Err(error);
        }
        if self.body_complete || out.is_empty() {
            return Ok(0);
        }
        let (taken, end) = match self.body.take(self.input.as_slice(), out) {
            Ok(taken) => taken,
            Err(e) => return Err(self.fail_body(now, BodyError::Chunked(e))),
        };
        self.input.consume(taken.consumed);
        self.body_bytes += taken.copied as u64;
        if self.body_bytes > self.config.max_body {
            return Err(self.fail_body(now, BodyError::TooLarge));
        }
        if end {
            self.trailers = self.body.trailers();
            self.body_complete = true;
        }
        if taken.consumed > 0 {
            // The body is on its way without the permission.
            self.expects_continue = false;
            self.body_deadline = None;
            if self.body_pace.moved(now, taken.consumed, &self.config) && !end {
                return Err(self.fail_body(now, BodyError::TimedOut));
            }
        }
        if taken.copied > 0 || end {
            return Ok(taken.copied);
        }
        if self.eof {
            return Err(self.fail_body(now, BodyError::Incomplete));
        }
        if self.expects_continue && self.reply == Reply::Owed {
            self.expects_continue = false;
            encode::interim(&mut self.output, StatusCode::CONTINUE, &Fields::new());
            self.note_output(now);
        }
        self.body_deadline.get_or_insert(now + self.config.body_timeout);
        self.body_pace.wait(now);
        Err(BodyError::WouldBlock)
    }

    /// Ends the request's body with an error: an answer if one is owed, else a RST, so that the client cannot take
    /// the response for complete (RFC 9112 §8).
    pub(super) fn fail_body(&mut self, now: Instant, error: BodyError) -> BodyError {
        self.body_error = Some(error);
        self.body_deadline = None;
        let (status, why) = match error {
            BodyError::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request body is longer than http.max_body (RFC 9110 §15.5.14)",
            ),
            BodyError::TimedOut => (
                StatusCode::REQUEST_TIMEOUT,
                "no more of the request body came within http.body_timeout, or too little of it (RFC 9110 §15.5.9)",
            ),
            BodyError::Incomplete | BodyError::WouldBlock => {
                (StatusCode::BAD_REQUEST, "the connection ended within the request body (RFC 9112 §8)")
            }
            BodyError::Chunked(_) => {
                (StatusCode::BAD_REQUEST, "the chunked framing of the request body is broken (RFC 9112 §7.1)")
            }
        };
        match self.reply {
            Reply::Owed => self.refuse(now, Refusal { status, why }),
            _ => self.phase = Phase::Over { abort: true },
        }
        error
    }

    /// Throws away what comes of an unwanted body.
    pub(super) fn discard(&mut self, now: Instant) {
        let mut bin = [0; 4096];
        loop {
            let Ok((taken, end)) = self.body.take(self.input.as_slice(), &mut bin) else {
                return self.close_when_written();
            };
            self.input.consume(taken.consumed);
            self.body_bytes += taken.copied as u64;
            if end {
                self.body_complete = true;
                return self.become_idle(now);
            }
            if self.body_bytes > DISCARD_LIMIT || (taken.consumed == 0 && self.eof) {
                return self.close_when_written();
            }
            if taken.consumed == 0 {
                return;
            }
        }
    }
}

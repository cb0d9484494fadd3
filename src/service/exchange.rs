//! What was exchanged? The record of one request and its response, as the server saw them.

use crate::http::RequestHead;
use crate::ledger::Parts;
use crate::time::Instant;
use std::net::SocketAddr;

/// How an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The response was complete and the connection goes on.
    Kept,
    /// The response was complete and the connection closed after it.
    Closed,
    /// The request was refused by the HTTP machinery: malformed, too large, too slow.
    Refused,
    /// The connection failed or was reset before the response was complete.
    Aborted,
}

/// One request and its response. A server that is not asked for these makes none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// The connection's number in the trace, from 1; 0 if it was gone already.
    pub conn: u32,
    /// Who asked.
    pub remote: SocketAddr,
    /// The method; empty if the request was not understood.
    pub method: String,
    /// The request target as it was sent; empty if the request was not understood.
    pub target: String,
    /// The status; 0 if the connection ended before there was one.
    pub status: u16,
    /// Bytes of the response's body.
    pub bytes: u64,
    /// When the request's turn came: its head was complete, and the responses before it on the connection were, too.
    pub started: Instant,
    /// When the request's body was complete.
    pub request_done: Option<Instant>,
    /// When the first byte of the response was handed to the stream.
    pub first_byte: Option<Instant>,
    /// When its last byte was.
    pub last_byte: Option<Instant>,
    /// When everything was acknowledged; `None` if the next response began before.
    pub acked: Option<Instant>,
    /// Where the time since `started` went, until the client had it all, or as far as it came. An acknowledgment that
    /// the client held back, or sent along with what it said next, came later than that: it is not waited for.
    pub ledger: Parts,
    /// Whether the connection had carried an exchange before.
    pub reused: bool,
    /// How it ended.
    pub ended: Ended,
}

impl Exchange {
    pub(super) fn name(&mut self, head: &RequestHead) {
        self.method = head.method.as_str().into();
        self.target.clone_from(&head.target);
    }
}

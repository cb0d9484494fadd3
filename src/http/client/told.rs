//! What can a client's side be told to send, and what does it tell of that?

use crate::http::Method;
use crate::http::chunked::ChunkError;
use crate::http::fields::Fields;
use crate::http::head::{ResponseHead, Version};
use std::fmt;

/// A request to send.
#[derive(Clone, Copy, Debug)]
pub struct OutRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query, or `*`; `/` for an empty path (RFC 9112 §3.2.1).
    pub target: &'a str,
    /// The value of Host, unless `fields` bring their own.
    pub authority: &'a str,
    /// The version to send.
    pub version: Version,
    /// Fields; those about the body's length are added here.
    pub fields: &'a Fields,
    /// The body.
    pub body: OutBody,
    /// Wait for `100 Continue` before the body.
    pub expect_continue: bool,
    /// Ask the server to close after the response.
    pub close: bool,
}

/// How a request's body is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutBody {
    /// Not at all.
    None,
    /// Exactly so many bytes, 0 included.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// Why a request cannot be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// The request before it must be answered first (RFC 9112 §9.3.2).
    Busy,
    /// The connection carries no further request.
    Closed,
    /// The target or Host would not be a valid request line, or the body cannot be sent to an HTTP/1.0 server.
    Invalid,
}

/// What happened on the connection. For each request: `Interim`s, one `Response`, then one `End`; or one `Failed`.
#[derive(PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// An interim response (1xx).
    Interim(ResponseHead),
    /// The head of the response to the oldest unanswered request. Its body is pulled with
    /// [`ClientConn::read_body`](super::ClientConn::read_body).
    Response(ResponseHead),
    /// The response is complete, with its trailer section.
    End(Fields),
    /// The server has switched to a protocol that the request offered (RFC 9110 §7.8), or connected a CONNECT (§9.3.6):
    /// HTTP has ended here. What came behind this head is in
    /// [`ClientConn::take_rest`](super::ClientConn::take_rest).
    Switched(ResponseHead),
    /// The oldest unanswered request gets no (complete) response; the connection is of no further use.
    Failed(ClientError),
}

/// Why a request was not answered, or not as a whole (RFC 9112 §8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientError {
    /// The connection ended before the first byte of the response, or behind an interim one: an idempotent request may
    /// be sent once more elsewhere (RFC 9110 §9.2.2).
    NoAnswer,
    /// The connection ended within the response. Where that was within its head nothing is known of what it would have
    /// said, and an idempotent request may be sent once more, too (RFC 9112 §8).
    Incomplete,
    /// The response cannot be understood.
    Malformed(&'static str),
    /// The chunked framing of the response is broken.
    Chunked(ChunkError),
    /// The response head is longer than `http.max_head`.
    HeadTooLarge,
    /// Nothing came within `http.body_timeout`, or nothing was taken.
    TimedOut,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NoAnswer => f.write_str("the server closed the connection without an answer"),
            ClientError::Incomplete => f.write_str("the server closed the connection within the response"),
            ClientError::Malformed(why) => f.write_str(why),
            ClientError::Chunked(why) => write!(f, "the response is broken: {why}"),
            ClientError::HeadTooLarge => f.write_str("the response head is longer than http.max_head"),
            ClientError::TimedOut => f.write_str("no progress within http.body_timeout"),
        }
    }
}

impl std::error::Error for ClientError {}

/// How much of a request left this side: what can be known of one that got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Departed {
    /// Not a byte: the server cannot have processed it.
    #[default]
    Nothing,
    /// Its head or part of it, not the whole body.
    Part,
    /// All of it: it may have been processed.
    Whole,
}

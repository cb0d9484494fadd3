//! HTTP/1.1 without a network (RFC 9110, RFC 9112): a server's and a client's side of one connection that are told
//! what arrived and what time it is, and are asked what to send. They know no sockets, no clock and no threads.
//!
//! - [`ServerConn`] and [`ClientConn`] are the two state machines; both are driven through [`Endpoint`].
//! - [`Pool`] decides which connection a client's request goes on.
//! - [`RequestHead`], [`ResponseHead`] and [`Fields`] are what they speak about.
//! - [`range`] and [`conditional`] decide what part of a resource a request asks for.

mod body;
mod buffer;
mod chunked;
mod client;
pub mod conditional;
mod config;
pub mod date;
mod encode;
mod endpoint;
mod fields;
mod framing;
mod head;
mod hop;
mod knobs;
mod lenient;
mod method;
mod observe;
mod pool;
pub mod range;
mod server;

pub use ::http::{Method, StatusCode};
pub use body::BodyError;
pub use chunked::ChunkError;
pub use client::{ClientConn, ClientError, ClientEvent, Departed, OutBody, OutRequest, SendError};
pub use config::{Config, Farewell};
pub use endpoint::Endpoint;
pub use fields::{FieldError, Fields, KeepAlive};
pub use framing::Framing;
pub use head::{BadHead, Refusal, RequestHead, ResponseHead, Version, is_authority};
pub use hop::{forward, forward_trailers, has_passed, with_upgrade};
pub use knobs::KNOBS;
pub use method::{is_idempotent, is_known, is_safe};
pub use observe::{Heard, Observer, Speaker};
pub use pool::{Member, Origin, OriginId, Place, Pool, Rest};
pub use server::{ReplyBody, Resting, ServerConn, ServerEvent};

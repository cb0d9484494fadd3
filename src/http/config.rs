//! How should HTTP behave? Every setting of both sides of a connection, and three profiles of them.

use crate::time::Duration;

/// Settings of one server or client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Switch Nagle's algorithm off on each connection, whatever TCP's setting: messages are written as a whole, so nothing
    /// is bundled by waiting, and a pipeline of small ones would wait for delayed acknowledgments.
    pub nodelay: bool,
    /// Keep connections open for further requests (RFC 9112 §9.3).
    pub keepalive: bool,
    /// Requests that one connection may carry before the server closes it; 0 is unlimited.
    pub keepalive_max: u32,
    /// How long the server keeps an idle connection.
    pub keepalive_timeout: Duration,
    /// How long a request head may take from its first byte; also how long a new connection may say nothing.
    pub header_timeout: Duration,
    /// How long a body, in either direction, may make no progress.
    pub body_timeout: Duration,
    /// Bytes a second that a body must make, in either direction and while the server waits for the client, over
    /// `body_timeout`; 0 asks for none.
    pub min_rate: u32,
    /// Connections that a server has at a time. For one more one gives way that is between two requests, or too slow; if
    /// none is, the new one waits in the backlog.
    pub max_connections: u32,
    /// How long one may then be waited for before it gives way; down to a tenth of it, the more wait for a place.
    pub give_way_after: Duration,
    /// Bytes a second that one must send or take meanwhile to keep its place in the middle of an exchange; 0 asks for none.
    pub give_way_rate: u32,
    /// For how long nobody may have given way before those who wait are answered 503.
    pub busy_after: Duration,
    /// How long a side that closed first goes on reading, so that nothing is lost to a RST: a server after its last
    /// response (RFC 9112 §9.6), a client that half-closes. Zero closes at once.
    pub linger: Duration,
    /// The largest head in bytes, request line and fields together.
    pub max_head: u32,
    /// The most fields of a head.
    pub max_fields: u32,
    /// The largest request body in bytes that a server accepts.
    pub max_body: u64,
    /// Requests that a client sends ahead of their responses on one connection; 1 does not pipeline (RFC 9112 §9.3.2).
    pub pipeline: u8,
    /// Connections that a client opens to one origin at the same time.
    pub parallel: u16,
    /// Idle connections that a client keeps, over all origins.
    pub idle_connections: u32,
    /// How long a client keeps an idle connection whose server promised no other time.
    pub idle_timeout: Duration,
    /// How a client ends a connection.
    pub farewell: Farewell,
    /// How long a proxy's tunnel, or what a dumb proxy relays, may be quiet.
    pub tunnel_timeout: Duration,
}

/// How a client ends a connection that it needs no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Farewell {
    /// Both sides at once, as close(2) does: a FIN, and a RST for what still comes.
    Close,
    /// Its own side; it reads on until the server's FIN, for [`Config::linger`] at most, and resets after that.
    HalfClose,
    /// With a RST: nothing waits in TIME-WAIT, and what is under way is lost.
    Reset,
}

impl Config {
    /// What common servers and clients on Linux do.
    pub fn linux() -> Config {
        Config {
            nodelay: true,
            keepalive: true,
            keepalive_max: 1000,
            keepalive_timeout: Duration::from_secs(75),
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            min_rate: 100,
            max_connections: 65_536,
            give_way_after: Duration::from_secs(1),
            give_way_rate: 4096,
            busy_after: Duration::from_secs(5),
            linger: Duration::from_secs(5),
            max_head: 16 << 10,
            max_fields: 1000,
            max_body: 1 << 30,
            pipeline: 1,
            parallel: 6,
            idle_connections: 100,
            idle_timeout: Duration::from_secs(90),
            farewell: Farewell::Close,
            tunnel_timeout: Duration::from_secs(600),
        }
    }

    /// What the RFCs recommend: as `linux`, without a limit to the requests of a connection.
    pub fn rfc() -> Config {
        Config { keepalive_max: 0, ..Config::linux() }
    }

    /// The textbooks' HTTP: a connection for each request, one after the other, with Nagle's algorithm.
    pub fn classic() -> Config {
        Config { nodelay: false, keepalive: false, parallel: 1, ..Config::linux() }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::linux()
    }
}

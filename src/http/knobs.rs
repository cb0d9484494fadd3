//! What are HTTP's settings called? The rows behind `--set http.…`.

use super::config::{Config, Farewell};
use crate::knob::{
    Knob, ValueError, duration_in, number, show_duration, show_size, show_switch, size, switch,
};
use crate::time::Duration;

const MILLI: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The smallest head limit that a request with a Host field still fits into.
const SMALLEST_HEAD: u64 = 256;
const LARGEST_HEAD: u64 = 1 << 20;

const FAREWELLS: [(&str, Farewell); 3] =
    [("close", Farewell::Close), ("half-close", Farewell::HalfClose), ("reset", Farewell::Reset)];

fn show_unlimited(n: u32) -> String {
    if n == 0 { "unlimited".into() } else { n.to_string() }
}

/// All settings of [`Config`]. `http.max_head` has room for the request line of RFC 9112 §3.
pub static KNOBS: &[Knob<Config>] = &[
    Knob {
        name: "http.nodelay",
        values: "on|off",
        meaning: "switch Nagle's algorithm off on the connections of client, server and proxy; off leaves it to tcp.nagle",
        linux: "TCP_NODELAY, which curl, nginx and browsers set",
        rfc: "RFC 9293 §3.7.4 (MUST-17)",
        get: |c| show_switch(c.nodelay),
        set: |c, v| switch(v).map(|value| c.nodelay = value),
    },
    Knob {
        name: "http.keepalive",
        values: "on|off",
        meaning: "keep connections open for further requests",
        linux: "",
        rfc: "RFC 9112 §9.3",
        get: |c| show_switch(c.keepalive),
        set: |c, v| switch(v).map(|value| c.keepalive = value),
    },
    Knob {
        name: "http.keepalive_max",
        values: "unlimited|requests 1..4294967295",
        meaning: "requests that one connection may carry before the server closes it",
        linux: "",
        rfc: "RFC 2068 §19.7.1",
        get: |c| show_unlimited(c.keepalive_max),
        set: |c, v| {
            c.keepalive_max = if v.trim() == "unlimited" { 0 } else { number(v, 0, u32::MAX)? };
            Ok(())
        },
    },
    Knob {
        name: "http.keepalive_timeout",
        values: "duration 1ms..1day",
        meaning: "how long the server keeps an idle connection",
        linux: "",
        rfc: "RFC 9112 §9.5, RFC 2068 §19.7.1",
        get: |c| show_duration(c.keepalive_timeout),
        set: |c, v| duration_in(v, MILLI, DAY).map(|value| c.keepalive_timeout = value),
    },
    Knob {
        name: "http.header_timeout",
        values: "duration 1ms..1day",
        meaning: "how long a request head may take, and how long a new connection may say nothing",
        linux: "",
        rfc: "RFC 9110 §15.5.9",
        get: |c| show_duration(c.header_timeout),
        set: |c, v| duration_in(v, MILLI, DAY).map(|value| c.header_timeout = value),
    },
    Knob {
        name: "http.body_timeout",
        values: "duration 1ms..1day",
        meaning: "how long a body, in either direction, may make no progress",
        linux: "",
        rfc: "RFC 9110 §15.5.9",
        get: |c| show_duration(c.body_timeout),
        set: |c, v| duration_in(v, MILLI, DAY).map(|value| c.body_timeout = value),
    },
    Knob {
        name: "http.min_rate",
        values: "bytes per second 0..4294967295",
        meaning: "what a client must send or take of a body over http.body_timeout; 0 asks for nothing",
        linux: "",
        rfc: "RFC 9110 §15.5.9",
        get: |c| c.min_rate.to_string(),
        set: |c, v| number(v, 0, u32::MAX).map(|value| c.min_rate = value),
    },
    Knob {
        name: "http.max_connections",
        values: "connections 1..1048576",
        meaning: "what the server has at a time; for one more one gives way that is between two requests, or too slow",
        linux: "",
        rfc: "RFC 9112 §9.5",
        get: |c| c.max_connections.to_string(),
        set: |c, v| number(v, 1, 1 << 20).map(|value| c.max_connections = value),
    },
    Knob {
        name: "http.give_way_after",
        values: "duration 1ms..1day",
        meaning: "at the limit of connections, how long one may be waited for before it gives way; less, the more wait for a place",
        linux: "",
        rfc: "RFC 9110 §15.5.9",
        get: |c| show_duration(c.give_way_after),
        set: |c, v| duration_in(v, MILLI, DAY).map(|value| c.give_way_after = value),
    },
    Knob {
        name: "http.give_way_rate",
        values: "bytes per second 0..4294967295",
        meaning: "what one must send or take meanwhile to keep its place within an exchange; 0 asks for nothing",
        linux: "",
        rfc: "RFC 9110 §15.5.9",
        get: |c| c.give_way_rate.to_string(),
        set: |c, v| number(v, 0, u32::MAX).map(|value| c.give_way_rate = value),
    },
    Knob {
        name: "http.busy_after",
        values: "duration 0..1day",
        meaning: "for how long nobody may have given way before those who wait for a place are answered 503",
        linux: "",
        rfc: "RFC 9110 §15.6.4",
        get: |c| show_duration(c.busy_after),
        set: |c, v| duration_in(v, Duration::ZERO, DAY).map(|value| c.busy_after = value),
    },
    Knob {
        name: "http.linger",
        values: "duration 0..1day",
        meaning: "how long a side that closed first goes on reading, so that no RST eats a response; 0 closes at once",
        linux: "",
        rfc: "RFC 9112 §9.6",
        get: |c| show_duration(c.linger),
        set: |c, v| duration_in(v, Duration::ZERO, DAY).map(|value| c.linger = value),
    },
    Knob {
        name: "http.max_head",
        values: "size 256..1MiB",
        meaning: "the largest head: a longer request line is answered 414, more fields 431",
        linux: "",
        rfc: "RFC 9112 §3, RFC 6585 §5",
        get: |c| show_size(u64::from(c.max_head)),
        set: |c, v| match size(v)? {
            n @ SMALLEST_HEAD..=LARGEST_HEAD => {
                c.max_head = n as u32;
                Ok(())
            }
            _ => Err(ValueError(format!("{v} is out of range: 256 bytes to 1MiB"))),
        },
    },
    Knob {
        name: "http.max_fields",
        values: "fields 1..65535",
        meaning: "the most fields of a head: a request with more is answered 431, a response with more is none",
        linux: "",
        rfc: "RFC 9110 §5.4, RFC 6585 §5",
        get: |c| c.max_fields.to_string(),
        set: |c, v| number(v, 1, 65_535).map(|value| c.max_fields = value),
    },
    Knob {
        name: "http.max_body",
        values: "size",
        meaning: "the largest request body that the server accepts: a longer one is answered 413",
        linux: "",
        rfc: "RFC 9110 §15.5.14",
        get: |c| show_size(c.max_body),
        set: |c, v| size(v).map(|value| c.max_body = value),
    },
    Knob {
        name: "http.pipeline",
        values: "requests 1..64",
        meaning: "safe requests that the client sends ahead of their responses on one connection; 1 does not pipeline",
        linux: "",
        rfc: "RFC 9112 §9.3.2",
        get: |c| c.pipeline.to_string(),
        set: |c, v| number(v, 1, 64).map(|value| c.pipeline = value),
    },
    Knob {
        name: "http.parallel",
        values: "connections 1..256",
        meaning: "connections that the client opens to one origin at the same time",
        linux: "",
        rfc: "RFC 9112 §9.4",
        get: |c| c.parallel.to_string(),
        set: |c, v| number(v, 1, 256).map(|value| c.parallel = value),
    },
    Knob {
        name: "http.idle_connections",
        values: "connections 0..65535",
        meaning: "idle connections that the client keeps, over all origins",
        linux: "",
        rfc: "RFC 9112 §9.4",
        get: |c| c.idle_connections.to_string(),
        set: |c, v| number(v, 0, 65_535).map(|value| c.idle_connections = value),
    },
    Knob {
        name: "http.idle_timeout",
        values: "duration 1ms..1day",
        meaning: "how long the client keeps an idle connection; less if the server's Keep-Alive says so",
        linux: "",
        rfc: "RFC 9112 §9.5",
        get: |c| show_duration(c.idle_timeout),
        set: |c, v| duration_in(v, MILLI, DAY).map(|value| c.idle_timeout = value),
    },
    Knob {
        name: "http.tunnel_timeout",
        values: "duration 1ms..1day",
        meaning: "how long a proxy's tunnel, or what a dumb proxy relays, may be quiet",
        linux: "",
        rfc: "RFC 9110 §9.3.6",
        get: |c| show_duration(c.tunnel_timeout),
        set: |c, v| duration_in(v, MILLI, DAY).map(|value| c.tunnel_timeout = value),
    },
    Knob {
        name: "http.farewell",
        values: "close|half-close|reset",
        meaning: "how the client ends a connection: both sides, its own and reading on for http.linger, or a RST",
        linux: "close(2), shutdown(SHUT_WR), SO_LINGER 0",
        rfc: "RFC 9112 §9.6, RFC 9293 §3.6",
        get: |c| {
            FAREWELLS.iter().find(|(_, value)| *value == c.farewell).map_or("", |(name, _)| name).to_owned()
        },
        set: |c, v| match FAREWELLS.iter().find(|(name, _)| *name == v.trim()) {
            Some((_, value)) => Ok(c.farewell = *value),
            None => Err(ValueError(format!("{v:?} is none of close, half-close and reset"))),
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_reads_back_what_it_writes() {
        for profile in [Config::linux(), Config::rfc(), Config::classic()] {
            for knob in KNOBS {
                let mut changed = profile.clone();
                (knob.set)(&mut changed, &(knob.get)(&profile))
                    .unwrap_or_else(|e| panic!("{}: {e}", knob.name));
                assert_eq!(changed, profile, "{}", knob.name);
            }
        }
    }

    #[test]
    fn every_knob_refuses_nonsense() {
        for knob in KNOBS {
            assert!((knob.set)(&mut Config::linux(), "nonsense").is_err(), "{}", knob.name);
        }
        let head = KNOBS.iter().find(|k| k.name == "http.max_head").unwrap();
        assert!((head.set)(&mut Config::linux(), "255").is_err());
        assert!((head.set)(&mut Config::linux(), "2MiB").is_err());
    }
}

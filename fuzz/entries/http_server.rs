//! Does the server survive any bytes, in any pieces, within its limits, and does it owe nobody an answer in the end?

use std::sync::Arc;
use tcpglass::http::{BodyError, Config, Endpoint, Fields, ReplyBody, ServerConn, ServerEvent, StatusCode};
use tcpglass::time::{Duration, Instant};

pub fn run(data: &[u8]) {
    // The first byte says in which pieces the rest comes.
    let Some((size, rest)) = data.split_first() else { return };
    let mut now = Instant::from_millis(1000);
    let config = Arc::new(Config::default());
    let mut server = ServerConn::new(config, now);
    let mut rest = rest;
    let mut idle = 0;
    for turn in 0.. {
        assert!(turn < 20_000, "no end");
        let n = rest.len().min(server.room()).min(usize::from(*size).max(1));
        if n > 0 {
            server.on_bytes(now, &rest[..n]);
            rest = &rest[n..];
        } else if rest.is_empty() && idle == 1 {
            server.on_eof(now);
        }
        let mut busy = n > 0;
        while let Some(event) = server.poll_event(now) {
            busy = true;
            if let ServerEvent::Request(head) = event {
                let body = if head.target.len() % 2 == 0 { ReplyBody::Length(5) } else { ReplyBody::Unknown };
                server.respond(now, StatusCode::OK, &Fields::default(), body);
            }
        }
        let mut buf = [0; 512];
        for _ in 0..64 {
            match server.read_body(now, &mut buf) {
                Ok(0) | Err(BodyError::WouldBlock) => break,
                Ok(n) => assert!(n <= buf.len()),
                Err(_) => break,
            }
        }
        if server.wants_body() && server.body_room() > 0 {
            server.write_body(now, b"hello");
            server.end_body(now);
            busy = true;
        }
        let out = server.output().len();
        assert!(out < 1 << 20, "{out} bytes wait");
        if out > 0 {
            server.on_sent(now, out);
            busy = true;
        } else if server.wants_fin() {
            server.on_fin_sent(now);
            busy = true;
        }
        if server.is_over() {
            return;
        }
        if !busy {
            idle += 1;
            // What waits does so until a deadline: nothing waits for ever.
            let at = server.next_deadline().expect("a connection that waits has a deadline");
            now = at.max(now) + Duration::from_nanos(1);
            server.on_timeout(now);
        }
    }
}

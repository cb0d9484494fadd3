//! Does the client survive any answer, in any pieces, and does every request get one end?

use std::sync::Arc;
use tcpglass::http::{
    BodyError, ClientConn, ClientEvent, Config, Endpoint, Fields, Method, OutBody, OutRequest, Version,
};
use tcpglass::time::{Duration, Instant};

pub fn run(data: &[u8]) {
    // The first byte says in which pieces the rest comes and what was asked for.
    let Some((first, mut rest)) = data.split_first() else { return };
    let method = [Method::GET, Method::HEAD, Method::CONNECT, Method::POST][usize::from(first >> 6)].clone();
    let mut now = Instant::from_millis(1000);
    let mut client = ClientConn::new(Arc::new(Config::default()), now);
    let request = OutRequest {
        method: &method,
        target: if method == Method::CONNECT { "peer:80" } else { "/" },
        authority: "peer",
        version: Version::Http11,
        fields: &Fields::default(),
        body: OutBody::None,
        expect_continue: false,
        close: false,
    };
    let mut asked = 0;
    let (mut ends, mut idle) = (0, 0);
    for turn in 0.. {
        assert!(turn < 20_000, "no end");
        if asked < 3 && client.send(now, &request).is_ok() {
            asked += 1;
        }
        let n = rest.len().min(client.room()).min(usize::from(first & 0x3f).max(1));
        if n > 0 {
            client.on_bytes(now, &rest[..n]);
            rest = &rest[n..];
        } else if rest.is_empty() && idle == 1 {
            client.on_eof(now);
        }
        let mut busy = n > 0;
        while let Some(event) = client.poll_event(now) {
            busy = true;
            ends += usize::from(matches!(event, ClientEvent::End(_) | ClientEvent::Failed(_)));
            assert!(ends <= asked, "more answers than questions");
        }
        let mut buf = [0; 512];
        loop {
            match client.read_body(now, &mut buf) {
                Ok(0) | Err(BodyError::WouldBlock) => break,
                Ok(n) => assert!(n <= buf.len()),
                Err(_) => break,
            }
        }
        let out = client.output().len();
        assert!(out < 1 << 17, "{out} bytes wait");
        if out > 0 {
            client.on_sent(now, out);
            busy = true;
        } else if client.wants_fin() {
            client.on_fin_sent(now);
            busy = true;
        }
        if client.is_over() || idle > 8 {
            break;
        }
        if !busy {
            idle += 1;
            if let Some(at) = client.next_deadline() {
                now = at.max(now) + Duration::from_nanos(1);
                client.on_timeout(now);
            }
        }
    }
    while let Some(event) = client.poll_event(now) {
        ends += usize::from(matches!(event, ClientEvent::End(_) | ClientEvent::Failed(_)));
    }
    assert!(ends <= asked, "{ends} ends of {asked} requests");
}

//! How is a message written? Heads, chunks and the fields that the machinery itself is responsible for.

use super::buffer::Buffer;
use super::fields::Fields;
use super::head::Version;
use super::{StatusCode, date};
use crate::time::{Duration, Instant};

/// Whether and how long the connection is kept after a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Persistence {
    Close,
    Keep { timeout: Duration, left: Option<u32> },
}

/// How the length of a body is announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Announced {
    /// Not at all: 1xx, 204, 304 (RFC 9110 §8.6), and bodies that end with the connection.
    Nothing,
    Length(u64),
    Chunked,
}

/// Fields that a page cannot set, because a wrong value would break the framing or the connection.
const OWN: [&str; 4] = ["Connection", "Keep-Alive", "Content-Length", "Transfer-Encoding"];

/// Writes a final response head. The status line always says HTTP/1.1 (RFC 9110 §6.2).
pub(super) fn response(
    out: &mut Buffer,
    now: Instant,
    status: StatusCode,
    fields: &Fields,
    announced: Announced,
    persistence: Persistence,
) {
    let out = out.tail();
    status_line(out, status);
    // RFC 9110 §6.6.1: an answer that is passed on keeps the date of its origin.
    if !fields.has("Date") {
        date_line(out, now);
    }
    fields.write_to(out, &OWN);
    length(out, announced);
    match persistence {
        Persistence::Close => push_line(out, "Connection", "close"),
        Persistence::Keep { timeout, left } => {
            // RFC 9110 §7.6.1: naming the field in Connection keeps it on this hop. An HTTP/1.0 client needs it anyway.
            push_line(out, "Connection", "keep-alive");
            let seconds = timeout.as_secs();
            match (seconds, left) {
                (0, None) => {}
                (0, Some(left)) => push_number(out, "Keep-Alive: max=", left.into(), "\r\n"),
                (_, None) => push_number(out, "Keep-Alive: timeout=", seconds, "\r\n"),
                (_, Some(left)) => {
                    push_number(out, "Keep-Alive: timeout=", seconds, ", max=");
                    push_number(out, "", left.into(), "\r\n");
                }
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim (1xx) response.
pub(super) fn interim(out: &mut Buffer, status: StatusCode, fields: &Fields) {
    let out = out.tail();
    status_line(out, status);
    fields.write_to(out, &OWN);
    out.extend_from_slice(b"\r\n");
}

fn date_line(out: &mut Vec<u8>, now: Instant) {
    out.extend_from_slice(b"Date: ");
    date::push_imf_fixdate(out, date::seconds(now));
    out.extend_from_slice(b"\r\n");
}

/// RFC 9112 §4: the space after the status code is sent even when there is no reason phrase.
fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// What a request head says besides its fields.
pub(super) struct RequestLine<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub version: Version,
    pub authority: &'a str,
    pub announced: Announced,
    pub close: bool,
    pub expect: bool,
}

/// Writes a request head, without anything before or behind it (RFC 9112 §2.2). Host (RFC 9112 §3.2) comes first (RFC 9110 §7.2) unless
/// the fields bring their own. No line is folded (RFC 9112 §5.2): [`Fields`] holds none.
pub(super) fn request(out: &mut Buffer, line: &RequestLine<'_>, fields: &Fields) {
    let out = out.tail();
    for part in [line.method, " ", line.target, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(if line.version == Version::Http10 { b"HTTP/1.0\r\n" } else { b"HTTP/1.1\r\n" });
    if !fields.has("Host") {
        push_line(out, "Host", line.authority);
    }
    // The user's own Connection field is sent as it is: asking for `close` by hand is an experiment of its own.
    fields.write_to(out, &["Content-Length", "Transfer-Encoding", "Expect"]);
    length(out, line.announced);
    if line.expect {
        push_line(out, "Expect", "100-continue");
    }
    if !fields.has("Connection") {
        match (line.version, line.close) {
            (_, true) => push_line(out, "Connection", "close"),
            (Version::Http10, false) => push_line(out, "Connection", "keep-alive"),
            (Version::Http11, false) => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// One of the two, and chunked once (RFC 9112 §6.1, §6.2).
fn length(out: &mut Vec<u8>, announced: Announced) {
    match announced {
        Announced::Nothing => {}
        Announced::Length(n) => push_number(out, "Content-Length: ", n, "\r\n"),
        Announced::Chunked => push_line(out, "Transfer-Encoding", "chunked"),
    }
}

fn push_line(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn push_number(out: &mut Vec<u8>, before: &str, n: u64, behind: &str) {
    for part in [before, itoa::Buffer::new().format(n), behind] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Ends a chunked body: the last chunk and the trailer section, without fields that have no place there.
pub(super) fn last_chunk(out: &mut Buffer, trailers: &Fields) {
    let out = out.tail();
    out.extend_from_slice(b"0\r\n");
    trailers.write_to(out, &OWN);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head that turns a connection into a tunnel: it announces no body and says nothing about keeping the
/// connection (RFC 9110 §9.3.6, RFC 9112 §6.1).
pub(super) fn tunnel(out: &mut Buffer, now: Instant) {
    let out = out.tail();
    status_line(out, StatusCode::OK);
    date_line(out, now);
    out.extend_from_slice(b"\r\n");
}

/// Writes the 101 after which another protocol is spoken (RFC 9110 §7.8): `fields` have its Upgrade.
pub(super) fn switch(out: &mut Buffer, fields: &Fields) {
    let out = out.tail();
    status_line(out, StatusCode::SWITCHING_PROTOCOLS);
    push_line(out, "Connection", "Upgrade");
    fields.write_to(out, &OWN);
    out.extend_from_slice(b"\r\n");
}

/// Room that a chunk's size line takes at most, for chunks below 16 MiB.
const SIZE_LINE: usize = 8;

/// Appends at most `limit` body bytes that `fill` puts into the slice it is given, as one chunk if `chunked`.
/// Returns how many bytes `fill` wrote; a chunk of none would end the body, so none is written then.
pub(super) fn body_with(
    out: &mut Buffer,
    limit: usize,
    chunked: bool,
    fill: impl FnOnce(&mut [u8]) -> usize,
) -> usize {
    let limit = limit.min((1 << 24) - 1);
    let out = out.tail();
    let at = out.len();
    let data = if chunked { at + SIZE_LINE } else { at };
    out.resize(data + limit, 0);
    let n = fill(&mut out[data..]).min(limit);
    out.truncate(data + n);
    if !chunked {
        return n;
    }
    if n == 0 {
        out.truncate(at);
        return 0;
    }
    // The size is known only now: it is written right before the data, which then close the gap.
    let line = format!("{n:x}\r\n");
    out[at..at + line.len()].copy_from_slice(line.as_bytes());
    out.drain(at + line.len()..data);
    out.extend_from_slice(b"\r\n");
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(buffer: &Buffer) -> String {
        String::from_utf8(buffer.as_slice().to_vec()).unwrap()
    }

    #[test]
    fn a_response_head_has_date_length_and_a_space_after_the_status_rfc_9112_4_rfc_9110_6_6_1() {
        let mut out = Buffer::default();
        let at = Instant::from_millis(784_111_777_000);
        let fields = Fields::new().with("Content-Type", "text/plain").with("content-length", "999");
        let keep = Persistence::Keep { timeout: Duration::from_secs(5), left: Some(99) };
        response(&mut out, at, StatusCode::OK, &fields, Announced::Length(3), keep);
        assert_eq!(
            text(&out),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
             Content-Length: 3\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5, max=99\r\n\r\n"
        );
        let mut out = Buffer::default();
        let odd = StatusCode::from_u16(599).unwrap();
        response(&mut out, at, odd, &Fields::new(), Announced::Nothing, Persistence::Close);
        assert!(text(&out).starts_with("HTTP/1.1 599 \r\n") && !text(&out).contains("Length"));
    }

    #[test]
    fn chunks_have_their_size_in_front_and_an_empty_one_is_not_sent() {
        for (n, expected) in
            [(0, String::new()), (3, "3\r\naaa\r\n".into()), (31, format!("1f\r\n{}\r\n", "a".repeat(31)))]
        {
            let mut out = Buffer::default();
            let wrote = body_with(&mut out, 100, true, |buf| {
                buf[..n].fill(b'a');
                n
            });
            assert_eq!((wrote, text(&out)), (n, expected));
        }
    }
}

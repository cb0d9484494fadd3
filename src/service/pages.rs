//! What does the server answer? The built-in pages.

use super::content::{self, Content, Resource, Source};
use super::disk::{self, DiskFile, Later};
use super::files::{self, Found};
use crate::http::conditional::Validators;
use crate::http::{
    BodyError, Fields, Method, ReplyBody, RequestHead, ServerConn, StatusCode, Version, is_known,
};
use crate::knob;
use crate::time::{Duration, Instant};
use crossbeam_channel::{Receiver, TryRecvError};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::str::FromStr;

/// The largest body that a page makes: 1 TiB.
const LARGEST: u64 = 1 << 40;
/// The longest that a page waits.
const LONGEST: Duration = Duration::from_secs(3600);
/// How soon to look again whether the disk has delivered.
const DISK: Duration = Duration::from_millis(1);
/// One chunk of `/chunked/N`.
const CHUNK: usize = 8 << 10;

/// What a server serves: the built-in pages, and files.
#[derive(Clone, Default, Debug)]
pub struct Site {
    /// Where files come from. A built-in page goes before a file of the same path, except for `/`.
    pub root: Option<PathBuf>,
}

/// What a page waits for before it can go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Room in the output, or more of the request's body.
    Stream,
    /// That time.
    Until(Instant),
    /// Everything written to be acknowledged; then the connection is to be reset.
    ResetWhenAcked,
    /// Nothing: the response is complete.
    Done,
}

/// A response in the making.
#[derive(Debug)]
pub(super) enum Page {
    /// A body that is known beforehand.
    Content(Content),
    /// The same in chunks.
    Chunked(Content),
    /// The request's body sent back; the type it had.
    Echo { media_type: Vec<u8>, started: bool },
    /// A file that a helper opens.
    Opening(Box<Opening>),
    /// A text that comes at that time.
    Delay { until: Instant, text: String },
    /// Chunks with gaps.
    Drip { left: u64, size: usize, gap: Duration, next: Instant, offset: u64 },
    /// The request's body, so many bytes at a time.
    SlowRead { size: usize, gap: Duration, next: Instant, total: u64 },
    /// Some bytes and then a RST.
    Reset(Content),
}

/// What was asked of a file that is not open yet.
#[derive(Debug)]
pub(super) struct Opening {
    head: RequestHead,
    root: PathBuf,
    coming: Option<Receiver<Result<Found, files::Error>>>,
}

const INDEX: &str = "<!doctype html>
<html lang=\"en\"><title>tcpglass</title>
<h1>tcpglass</h1>
<p>An HTTP/1.1 server on a TCP stack in user space. Its pages:</p>
<ul>
<li><a href=\"/bytes/1000\">/bytes/N</a>: N bytes with Content-Length, ETag and ranges
<li><a href=\"/chunked/1000\">/chunked/N</a>: N bytes in chunks
<li>/echo: POST or PUT, the body comes back as it was framed
<li><a href=\"/status/404\">/status/N</a>: that status; 1xx is sent before a 200
<li><a href=\"/delay/100\">/delay/MS</a>: an answer after so many milliseconds
<li><a href=\"/drip?chunks=5&amp;size=10&amp;gap=100ms\">/drip?chunks=&amp;size=&amp;gap=</a>: chunks with gaps between them
<li><a href=\"/headers\">/headers</a>: the request as it was understood
<li>/slow-read?size=&amp;gap=: POST or PUT, the body is read so many bytes at a time
<li><a href=\"/close\">/close</a>: the connection closes after the answer, which says so
<li><a href=\"/half-close\">/half-close</a>: a FIN after an answer that promised to keep the connection; reading goes on
<li><a href=\"/reset-after/1000\">/reset-after/N</a>: N bytes of more, then a RST
</ul>
";

const READ: &[Method] = &[Method::GET, Method::HEAD];
const READ_OR_POST: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
const UPLOAD: &[Method] = &[Method::POST, Method::PUT];

/// Begins the answer to a request; the response may come later. RFC 9110 §9.1: GET and HEAD of every page, 501 to what is
/// unknown; §7.8: an Upgrade is not looked at.
pub(super) fn begin(
    now: Instant,
    site: &Site,
    disk_waits: bool,
    head: &RequestHead,
    conn: &mut ServerConn,
) -> Page {
    if !is_known(&head.method) || head.method == Method::CONNECT {
        let text = format!("{} is not implemented here.\n", head.method);
        return text_page(now, conn, StatusCode::NOT_IMPLEMENTED, Fields::new(), text);
    }
    let path = head.path();
    if path == "*" {
        return allowed(now, conn, &[Method::GET, Method::HEAD, Method::POST, Method::PUT]);
    }
    // RFC 3986 §6.2.2.2: what is encoded without need means the same. What cannot be decoded names no page.
    let rest = &path[1..];
    let (name, argument) = match rest.bytes().position(|b| b == b'/') {
        Some(at) => (&rest[..at], Some(files::decoded(&rest[at + 1..]))),
        None => (rest, None),
    };
    let (name, argument) = (&*files::decoded(name), argument.as_deref());
    let methods = match (name, argument) {
        ("echo" | "slow-read", None) => UPLOAD,
        ("headers", None) | ("status" | "delay", Some(_)) => READ_OR_POST,
        ("bytes" | "chunked" | "reset-after", Some(_)) => READ,
        ("drip" | "close" | "half-close", None) => READ,
        ("", None) if site.root.is_none() => READ,
        _ => match &site.root {
            Some(root) => return file(now, root, disk_waits, head, conn),
            None => {
                let text = format!("There is no page {path}. Those that exist are listed at /.\n");
                return text_page(now, conn, StatusCode::NOT_FOUND, Fields::new(), text);
            }
        },
    };
    if let Some(page) = method_page(now, head, conn, methods) {
        return page;
    }
    match built_in(now, name, argument.unwrap_or(""), head, conn) {
        Ok(page) => page,
        Err(sentence) => {
            let text = format!("{path}: {sentence}\n");
            text_page(now, conn, StatusCode::BAD_REQUEST, Fields::new(), text)
        }
    }
}

/// The answer to a method that is not among `methods`, with Allow (RFC 9110 §10.2.1), and to OPTIONS.
fn method_page(now: Instant, head: &RequestHead, conn: &mut ServerConn, methods: &[Method]) -> Option<Page> {
    if head.method == Method::OPTIONS {
        return Some(allowed(now, conn, methods));
    }
    if methods.contains(&head.method) {
        return None;
    }
    // RFC 9110 §15.5.6: 405 comes with Allow.
    let fields = Fields::new().with("Allow", allow(methods));
    let text = format!("{} takes {}.\n", head.path(), allow(methods));
    Some(text_page(now, conn, StatusCode::METHOD_NOT_ALLOWED, fields, text))
}

fn allow(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
}

/// RFC 9110 §9.3.7: what can be done with it.
fn allowed(now: Instant, conn: &mut ServerConn, methods: &[Method]) -> Page {
    let fields = Fields::new().with("Allow", allow(methods));
    conn.respond(now, StatusCode::NO_CONTENT, &fields, ReplyBody::Length(0));
    Page::Content(Content::text(""))
}

fn text_page(
    now: Instant,
    conn: &mut ServerConn,
    status: StatusCode,
    fields: Fields,
    text: impl Into<Vec<u8>>,
) -> Page {
    Page::Content(content::respond_text(now, conn, status, fields, text))
}

fn file(
    now: Instant,
    root: &std::path::Path,
    disk_waits: bool,
    head: &RequestHead,
    conn: &mut ServerConn,
) -> Page {
    if let Some(page) = method_page(now, head, conn, READ) {
        return page;
    }
    let found = if disk_waits {
        Some(files::open(root, head.path()))
    } else {
        files::open_at_once(root, head.path())
    };
    match found {
        Some(found) => opened(now, found, disk_waits, head, conn),
        None => Page::Opening(Box::new(Opening { head: head.clone(), root: root.to_owned(), coming: None })),
    }
}

impl Opening {
    /// What the path names, once that is known.
    fn found(&mut self) -> Option<Result<Found, files::Error>> {
        if let Some(coming) = &self.coming {
            return match coming.try_recv() {
                Ok(found) => Some(found),
                Err(TryRecvError::Empty) => None,
                // Its helper is gone.
                Err(TryRecvError::Disconnected) => Some(Err(files::Error::Io)),
            };
        }
        let (root, path) = (self.root.clone(), self.head.path().to_owned());
        match disk::later(move || files::open(&root, &path)) {
            Later::Coming(coming) => self.coming = Some(coming),
            Later::Here(found) => return Some(found),
            Later::Busy => {}
        }
        None
    }
}

/// Answers with what a path names.
fn opened(
    now: Instant,
    found: Result<Found, files::Error>,
    disk_waits: bool,
    head: &RequestHead,
    conn: &mut ServerConn,
) -> Page {
    match found {
        Ok(Found::File(found)) => {
            let resource = Resource {
                total: found.length,
                media_type: &found.media_type,
                validators: found.validators(),
            };
            let answer = content::answer(now, head, conn, &resource);
            Page::Content(answer.with(Source::File(DiskFile::new(found.file, disk_waits))))
        }
        Ok(Found::MovedTo(location)) => {
            let fields = Fields::new().with("Location", &location);
            let text = format!("It is a directory: {location}\n");
            text_page(now, conn, StatusCode::MOVED_PERMANENTLY, fields, text)
        }
        // The index of the built-in pages, where the root has none.
        Err(files::Error::NotFound) if head.path() == "/" => index(now, conn),
        Err(e) => text_page(now, conn, e.status(), Fields::new(), format!("{}: {e}.\n", head.path())),
    }
}

fn index(now: Instant, conn: &mut ServerConn) -> Page {
    let fields = Fields::new().with("Content-Type", "text/html; charset=utf-8");
    text_page(now, conn, StatusCode::OK, fields, INDEX)
}

/// The pages that exist; an `Err` is a sentence for a 400.
fn built_in(
    now: Instant,
    name: &str,
    argument: &str,
    head: &RequestHead,
    conn: &mut ServerConn,
) -> Result<Page, String> {
    Ok(match name {
        "bytes" => {
            let total = whole(argument, 0, LARGEST)?;
            let mut etag = [0; 32];
            let etag = etag_of_bytes(total, &mut etag);
            let validators = Validators { etag, modified: None };
            let resource = Resource { total, media_type: TEXT, validators };
            Page::Content(content::answer(now, head, conn, &resource).with(Source::Pattern))
        }
        "chunked" => {
            let len = whole(argument, 0, LARGEST)?;
            conn.respond(now, StatusCode::OK, &Fields::new().with("Content-Type", TEXT), ReplyBody::Unknown);
            Page::Chunked(pattern(len))
        }
        "echo" => {
            let media_type = head.fields.get("Content-Type").unwrap_or(b"application/octet-stream").to_vec();
            Page::Echo { media_type, started: false }
        }
        "status" => status(now, whole(argument, 100, 599)? as u16, conn)?,
        "delay" => {
            let millis = whole(argument, 0, LONGEST.as_millis() as u64)?;
            let text = format!("This answer waited {millis} ms.\n");
            Page::Delay { until: now + Duration::from_millis(millis), text }
        }
        "drip" => {
            let left = parameter(head, "chunks", 5, |v| whole(v, 1, 1_000_000))?;
            let size = parameter(head, "size", 10, |v| whole(v, 1, 16 << 10))? as usize;
            let gap = parameter(head, "gap", Duration::from_millis(100), gap)?;
            conn.respond(now, StatusCode::OK, &Fields::new().with("Content-Type", TEXT), ReplyBody::Unknown);
            Page::Drip { left, size, gap, next: now, offset: 0 }
        }
        "slow-read" => {
            let size = parameter(head, "size", 1024, |v| whole(v, 1, 64 << 10))? as usize;
            let gap = parameter(head, "gap", Duration::from_millis(100), gap)?;
            Page::SlowRead { size, gap, next: now, total: 0 }
        }
        "headers" => text_page(now, conn, StatusCode::OK, Fields::new(), headers(head)),
        "close" => {
            conn.close_after();
            let text = "The connection closes after this answer.\n";
            text_page(now, conn, StatusCode::OK, Fields::new(), text)
        }
        "half-close" => {
            conn.half_close_after();
            let text = "A FIN follows, although this answer says that the connection is kept.\n";
            text_page(now, conn, StatusCode::OK, Fields::new(), text)
        }
        "reset-after" => {
            let len = whole(argument, 0, LARGEST)?;
            let fields = Fields::new().with("Content-Type", TEXT);
            conn.respond(now, StatusCode::OK, &fields, ReplyBody::Length(len + 1));
            Page::Reset(pattern(len))
        }
        _ => index(now, conn),
    })
}

const TEXT: &str = "text/plain";

/// `"bytes-N"`, quotes included.
fn etag_of_bytes(total: u64, out: &mut [u8; 32]) -> &str {
    let mut at = 0;
    for part in ["\"bytes-", itoa::Buffer::new().format(total), "\""] {
        out[at..at + part.len()].copy_from_slice(part.as_bytes());
        at += part.len();
    }
    std::str::from_utf8(&out[..at]).unwrap_or_default()
}

fn pattern(len: u64) -> Content {
    Content::pattern(crate::http::range::ByteRange { first: 0, len })
}

/// An answer with that status; the connection never changes its protocol (RFC 9110 §7.8).
fn status(now: Instant, code: u16, conn: &mut ServerConn) -> Result<Page, String> {
    let status = StatusCode::from_u16(code).map_err(|_| format!("{code} is not a status"))?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err("101 would switch to a protocol that nobody asked for".into());
    }
    if status.is_informational() {
        conn.interim(now, status, &Fields::new());
        let text = format!("A {status} went before this answer.\n");
        return Ok(text_page(now, conn, StatusCode::OK, Fields::new(), text));
    }
    let mut fields = Fields::new();
    if matches!(code, 301 | 302 | 303 | 307 | 308) {
        fields = fields.with("Location", "/");
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 §15.5.2: a challenge must be sent.
        fields = fields.with("WWW-Authenticate", "Basic realm=\"tcpglass\"");
    }
    let text = match status {
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => String::new(),
        _ => format!("{status}\n"),
    };
    Ok(text_page(now, conn, status, fields, text))
}

fn headers(head: &RequestHead) -> Vec<u8> {
    let minor = if head.version == Version::Http10 { 0 } else { 1 };
    let mut out = format!("{} {} HTTP/1.{minor}\n", head.method, head.target).into_bytes();
    for (name, value) in head.fields.iter() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out
}

fn whole(text: &str, low: u64, high: u64) -> Result<u64, String> {
    // `u64::from_str` accepts a plus sign, an URL should not.
    match u64::from_str(text) {
        Ok(n) if n >= low && n <= high && text.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
        _ => Err(format!("{text:?} is not a whole number from {low} to {high}")),
    }
}

fn gap(text: &str) -> Result<Duration, String> {
    knob::duration_in(text, Duration::ZERO, LONGEST).map_err(|e| e.to_string())
}

fn parameter<T>(
    head: &RequestHead,
    name: &str,
    default: T,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let query = head.query().unwrap_or("");
    match url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name) {
        None => Ok(default),
        Some((_, value)) => read(&value).map_err(|e| format!("{name}={value}: {e}")),
    }
}

impl Page {
    /// Goes on as far as the connection lets it.
    pub fn step(&mut self, now: Instant, conn: &mut ServerConn, scratch: &mut [u8]) -> Step {
        match self {
            Page::Content(content) => write(now, content, conn),
            Page::Chunked(content) => {
                while content.left() > 0 && conn.body_room() >= CHUNK {
                    copy(now, content, conn, CHUNK);
                }
                if content.left() > 0 && conn.is_responding() {
                    return Step::Stream;
                }
                conn.end_body(now);
                Step::Done
            }
            Page::Echo { media_type, started } => echo(now, media_type, started, conn, scratch),
            Page::Opening(opening) => {
                let Some(found) = opening.found() else { return Step::Until(now + DISK) };
                *self = opened(now, found, false, &opening.head, conn);
                self.step(now, conn, scratch)
            }
            Page::Delay { until, text } => {
                if now < *until {
                    return Step::Until(*until);
                }
                *self = text_page(now, conn, StatusCode::OK, Fields::new(), std::mem::take(text));
                self.step(now, conn, scratch)
            }
            Page::Drip { left, size, gap, next, offset } => {
                // One chunk each time, so that each becomes a segment of its own as far as TCP lets it.
                while *left > 0 && conn.is_responding() {
                    if now < *next {
                        return Step::Until(*next);
                    }
                    if conn.body_room() < *size {
                        return Step::Stream;
                    }
                    content::pattern(*offset, &mut scratch[..*size]);
                    conn.write_body(now, &scratch[..*size]);
                    *offset += *size as u64;
                    *left -= 1;
                    *next = now + *gap;
                }
                conn.end_body(now);
                Step::Done
            }
            Page::SlowRead { size, gap, next, total } => loop {
                if now < *next {
                    return Step::Until(*next);
                }
                match conn.read_body(now, &mut scratch[..*size]) {
                    Ok(0) => {
                        let text = format!("The body had {total} bytes.\n");
                        *self = text_page(now, conn, StatusCode::OK, Fields::new(), text);
                        return self.step(now, conn, scratch);
                    }
                    Ok(n) => {
                        *total += n as u64;
                        *next = now + *gap;
                    }
                    Err(BodyError::WouldBlock) => return Step::Stream,
                    Err(_) => return Step::Done,
                }
            },
            Page::Reset(content) => match write(now, content, conn) {
                Step::Done => Step::ResetWhenAcked,
                step => step,
            },
        }
    }
}

/// Writes known content as far as there is room.
fn write(now: Instant, content: &mut Content, conn: &mut ServerConn) -> Step {
    while conn.body_room() > 0 && content.left() > 0 {
        if !copy(now, content, conn, usize::MAX) {
            return Step::Until(now + DISK);
        }
    }
    if content.left() > 0 && conn.is_responding() && conn.wants_body() { Step::Stream } else { Step::Done }
}

/// Copies as much as there is room for. False if the disk is waited for.
fn copy(now: Instant, content: &mut Content, conn: &mut ServerConn, limit: usize) -> bool {
    let mut failure = None;
    conn.write_body_with(now, limit, |out| {
        content.fill(out).unwrap_or_else(|e| {
            failure = Some(e.kind());
            0
        })
    });
    match failure {
        Some(ErrorKind::WouldBlock) => return false,
        // The file became shorter: a RST keeps the client from taking what it got for the whole.
        Some(_) => conn.abort(),
        None => {}
    }
    true
}

/// RFC 9112 §6: the body goes back framed as it came. The first read comes before the response, because it sends
/// `100 Continue` where that is waited for.
fn echo(
    now: Instant,
    media_type: &[u8],
    started: &mut bool,
    conn: &mut ServerConn,
    scratch: &mut [u8],
) -> Step {
    loop {
        let announced = conn.body_left();
        let room = if *started { conn.body_room().min(scratch.len()) } else { scratch.len() / 4 };
        if *started && room == 0 && !conn.body_complete() {
            return Step::Stream;
        }
        match conn.read_body(now, &mut scratch[..room]) {
            Err(BodyError::WouldBlock) => return Step::Stream,
            Err(_) => return Step::Done,
            Ok(n) => {
                if !*started {
                    *started = true;
                    let length = announced.map_or(ReplyBody::Unknown, ReplyBody::Length);
                    let fields = Fields::new().with("Content-Type", media_type);
                    conn.respond(now, StatusCode::OK, &fields, length);
                }
                let written = conn.write_body(now, &scratch[..n]);
                debug_assert_eq!(written, n, "there was room");
                if conn.body_complete() {
                    conn.end_body(now);
                    return Step::Done;
                }
            }
        }
    }
}

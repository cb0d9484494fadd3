//! What does a message's head say? Request and response heads, parsed strictly (RFC 9112 §2 to §5).

use super::fields::Fields;
use super::{Method, StatusCode};
use memchr::memchr;
use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// What most heads have fewer of: less to prepare.
const FEW_FIELDS: usize = 16;

/// The versions that are spoken. A higher minor version of HTTP/1 is treated as 1.1 (RFC 9110 §2.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        })
    }
}

/// A request that is answered by the HTTP machinery itself, with this status and this sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The status of the answer, 4xx or 5xx.
    pub status: StatusCode,
    /// What is wrong with the request.
    pub why: &'static str,
}

/// A response head that cannot be understood: what is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadHead(pub &'static str);

const fn bad(why: &'static str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, why }
}

/// The head of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The request target as it was sent.
    pub target: String,
    /// The version; 1.1 for higher minor versions.
    pub version: Version,
    /// The header fields.
    pub fields: Fields,
    /// Where the path starts in `target` (absolute-form has a scheme and an authority before it).
    path_at: usize,
}

impl Default for RequestHead {
    /// `GET` of nothing, as HTTP/1.1.
    fn default() -> RequestHead {
        let (method, version) = (Method::GET, Version::Http11);
        RequestHead { method, target: String::new(), version, fields: Fields::new(), path_at: 0 }
    }
}

impl RequestHead {
    /// The target without scheme and authority: path and query, `*`, or CONNECT's authority. An empty path is `/`.
    pub fn path_and_query(&self) -> &str {
        match &self.target[self.path_at..] {
            "" => "/",
            rest => rest,
        }
    }

    /// The target for the next hop (RFC 9112 §3.2.1): path and query of what was asked for, unchanged but for an empty
    /// path (RFC 9110 §7.7). An OPTIONS about a whole server goes on as `*` (RFC 9112 §3.2.4).
    pub fn origin_form(&self) -> Cow<'_, str> {
        match &self.target[self.path_at..] {
            "" if self.method == Method::OPTIONS => "*".into(),
            "" => "/".into(),
            query if query.starts_with('?') => format!("/{query}").into(),
            rest => rest.into(),
        }
    }

    /// The path, still percent-encoded.
    pub fn path(&self) -> &str {
        let all = self.path_and_query();
        match &all[..all.bytes().position(|b| b == b'?').unwrap_or(all.len())] {
            "" => "/",
            path => path,
        }
    }

    /// What follows the `?`.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query().split_once('?').map(|(_, query)| query)
    }

    /// Who is asked: the authority of an absolute-form target, else Host (RFC 9112 §3.2.2).
    pub fn authority(&self) -> Option<&str> {
        match self.target[..self.path_at].split_once("://") {
            Some((_, authority)) => Some(authority),
            None => self.fields.text("Host"),
        }
    }
}

/// The head of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResponseHead {
    /// The version.
    pub version: Version,
    /// The status, 100 to 999; unknown ones count as the x00 of their class (RFC 9110 §15).
    pub status: StatusCode,
    /// The reason phrase; it may be empty.
    pub reason: String,
    /// The header fields.
    pub fields: Fields,
}

/// Looks for the end of a head in bytes that come in pieces, without looking at any byte twice.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Scan {
    first_line: Option<usize>,
    line_start: usize,
    looked: usize,
}

/// Which line ends are accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lines {
    /// CRLF only: what servers and proxies disagree about is refused.
    Strict,
    /// LF alone too (RFC 9112 §2.2 allows it); for responses.
    Lenient,
}

impl Scan {
    /// The length of the head, its empty line included; `None` if that has not come yet.
    pub fn find(&mut self, bytes: &[u8], lines: Lines) -> Result<Option<usize>, BadHead> {
        while let Some(n) = memchr(b'\n', &bytes[self.looked..]) {
            let lf = self.looked + n;
            let line = &bytes[self.line_start..lf];
            let line = match line.split_last() {
                Some((b'\r', line)) => line,
                _ if lines == Lines::Lenient => line,
                _ => return Err(BadHead("a line ends in LF without CR (RFC 9112 §2.2)")),
            };
            if memchr(b'\r', line).is_some() {
                return Err(BadHead("CR without LF (RFC 9112 §2.2)"));
            }
            self.looked = lf + 1;
            let first = self.first_line.is_none();
            self.first_line.get_or_insert(line.len());
            self.line_start = lf + 1;
            if line.is_empty() && !first {
                return Ok(Some(lf + 1));
            }
        }
        self.looked = bytes.len();
        Ok(None)
    }

    /// The length of the first line, once it is complete.
    pub fn first_line(&self) -> Option<usize> {
        self.first_line
    }
}

/// Parses `Name: value` lines up to and including the empty line. Space around a value is no part of it, and what
/// contains CR, LF, NUL or the like is refused (RFC 9110 §5.5).
pub(super) fn parse_fields(bytes: &[u8]) -> Result<Fields, BadHead> {
    let mut fields = Fields::new();
    add_fields(bytes, &mut fields)?;
    Ok(fields)
}

/// The same, into fields that are there already.
fn add_fields(bytes: &[u8], fields: &mut Fields) -> Result<(), BadHead> {
    let mut few = [httparse::EMPTY_HEADER; FEW_FIELDS];
    match add_rows(bytes, &mut few, fields) {
        Err(httparse::Error::TooManyHeaders) => {
            // As many as there are lines; how many are wanted is not known here.
            let lines = bytes.iter().filter(|&&b| b == b'\n').count();
            add_rows(bytes, &mut vec![httparse::EMPTY_HEADER; lines], fields)
        }
        done => done,
    }
    .map_err(|e| match e {
        httparse::Error::HeaderName => BadHead(
            "a field line does not start with a name and a colon, without spaces (RFC 9112 §5.1, §5.2)",
        ),
        httparse::Error::Status => BadHead("the header section has no end"),
        _ => BadHead("a field value contains control characters (RFC 9110 §5.5)"),
    })
}

fn add_rows<'b>(
    bytes: &'b [u8],
    rows: &mut [httparse::Header<'b>],
    fields: &mut Fields,
) -> Result<(), httparse::Error> {
    let httparse::Status::Complete((_, rows)) = httparse::parse_headers(bytes, rows)? else {
        return Err(httparse::Error::Status);
    };
    for row in rows {
        fields.append(row.name.as_bytes(), row.value.trim_ascii());
    }
    Ok(())
}

/// Splits a head into its first line and the rest.
fn first_line(head: &[u8]) -> (&[u8], &[u8]) {
    let lf = memchr(b'\n', head).unwrap_or(head.len() - 1);
    let (line, rest) = head.split_at(lf + 1);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// Parses a request head that [`Scan`] has found.
pub(super) fn parse_request(head: &[u8]) -> Result<RequestHead, Refusal> {
    parse_request_into(head, RequestHead::default())
}

/// The same, in the memory of another head.
pub(super) fn parse_request_into(head: &[u8], spare: RequestHead) -> Result<RequestHead, Refusal> {
    let (line, rest) = first_line(head);
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("the request line is not METHOD TARGET VERSION with single spaces (RFC 9112 §3)"));
    };
    let method = Method::from_bytes(method).map_err(|_| bad("the method is not a token (RFC 9110 §9.1)"))?;
    let version = parse_version(version)?;
    if !target.iter().fold(true, |good, &b| good & b.is_ascii_graphic() & (b != b'#')) {
        return Err(bad("the request target contains characters that must be encoded (RFC 9112 §3.2)"));
    }
    let RequestHead { target: mut text, mut fields, .. } = spare;
    text.clear();
    // All of it is ASCII.
    text.push_str(std::str::from_utf8(target).unwrap_or_default());
    let target = text;
    let path_at = path_start(&method, &target)?;
    fields.clear();
    add_fields(rest, &mut fields).map_err(|e| Refusal { status: StatusCode::BAD_REQUEST, why: e.0 })?;
    check_host(version, &fields)?;
    Ok(RequestHead { method, target, version, fields, path_at })
}

/// RFC 9110 §2.5: a higher minor version is one of ours; another major one is answered 505 (§15.6.6).
fn parse_version(text: &[u8]) -> Result<Version, Refusal> {
    match text {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal {
                status: StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                why: "only HTTP/1.0 and HTTP/1.1 are spoken here (RFC 9110 §15.6.6)",
            })
        }
        _ => Err(bad("the version is not HTTP/DIGIT.DIGIT (RFC 9112 §2.3)")),
    }
}

/// Checks the form of the target (RFC 9112 §3.2, §3.2.3, §3.2.4; RFC 9110 §4.2.1, §9.3.6) and says where its path starts.
fn path_start(method: &Method, target: &str) -> Result<usize, Refusal> {
    if *method == Method::CONNECT {
        let has_port =
            target.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && !port.is_empty());
        return match is_authority(target) && has_port {
            true => Ok(0),
            false => Err(bad("CONNECT takes HOST:PORT (RFC 9112 §3.2.3)")),
        };
    }
    if target.starts_with('/') || (target == "*" && *method == Method::OPTIONS) {
        return Ok(0);
    }
    let wrong = || bad("the target is neither /PATH nor an http URI (RFC 9112 §3.2)");
    let (scheme, rest) = target.split_once("://").ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(wrong());
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match &rest[..end] {
        "" => Err(wrong()),
        authority if is_authority(authority) => Ok(scheme.len() + 3 + end),
        _ => Err(wrong()),
    }
}

/// RFC 9112 §3.2: 400 to a request without Host (1.1), with several, or with an invalid one.
fn check_host(version: Version, fields: &Fields) -> Result<(), Refusal> {
    let mut hosts = fields.all("Host");
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::Http10 => Ok(()),
        (None, _) => Err(bad("the request has no Host field (RFC 9112 §3.2)")),
        (Some(_), Some(_)) => Err(bad("the request has several Host fields (RFC 9112 §3.2)")),
        // Empty is what a client sends whose target has no authority.
        (Some(b""), None) => Ok(()),
        (Some(host), None) if is_plain(host) || std::str::from_utf8(host).is_ok_and(is_authority) => Ok(()),
        (Some(_), None) => Err(bad("the Host field is not HOST or HOST:PORT (RFC 9112 §3.2)")),
    }
}

/// Whether the text is `host` or `host:port` without user information (RFC 3986 §3.2.2).
pub fn is_authority(text: &str) -> bool {
    let (host_is_valid, rest) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((literal, rest)) => (literal.parse::<Ipv6Addr>().is_ok(), rest),
            None => return false,
        },
        None => {
            let end = memchr(b':', text.as_bytes()).unwrap_or(text.len());
            let (host, rest) = text.split_at(end);
            (!host.is_empty() && is_reg_name(host), rest)
        }
    };
    let port_is_valid = match rest.strip_prefix(':') {
        Some("") => true,
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => rest.is_empty(),
    };
    host_is_valid && port_is_valid
}

/// Whether it is what most names and addresses are made of, without a port.
fn is_plain(host: &[u8]) -> bool {
    host.iter().fold(true, |good, &b| good & (b.is_ascii_alphanumeric() | (b == b'.') | (b == b'-')))
}

fn is_reg_name(host: &str) -> bool {
    let mut bytes = host.bytes();
    while let Some(byte) = bytes.next() {
        let valid = match byte {
            b'%' => {
                let hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
                hex(bytes.next()) && hex(bytes.next())
            }
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' => true,
            b'*' | b'+' | b',' | b';' | b'=' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if !valid {
            return false;
        }
    }
    true
}

/// Parses a response head that [`Scan`] has found. The reason is kept to be shown (RFC 9112 §4).
pub(super) fn parse_response(head: &[u8]) -> Result<ResponseHead, BadHead> {
    let (line, rest) = first_line(head);
    const WRONG: BadHead = BadHead("the answer does not start with an HTTP/1.x status line (RFC 9112 §4)");
    let (version, line) = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', line @ ..] => (Version::Http10, line),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9', b' ', line @ ..] => (Version::Http11, line),
        _ => return Err(WRONG),
    };
    let (code, reason) = match line {
        [a, b, c] => ([*a, *b, *c], &b""[..]),
        [a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(WRONG),
    };
    // `from_bytes` refuses codes below 100 and what is not three digits.
    let status = StatusCode::from_bytes(&code).map_err(|_| WRONG)?;
    let unfolded = unfold(rest);
    let rest = unfolded.as_deref().unwrap_or(rest);
    let fields = parse_fields(close_up(rest).as_deref().unwrap_or(rest))?;
    Ok(ResponseHead { version, status, reason: String::from_utf8_lossy(reason).into_owned(), fields })
}

/// RFC 9112 §5.2: a user agent replaces each obs-fold with spaces. `None` if there is none.
fn unfold(fields: &[u8]) -> Option<Vec<u8>> {
    let folds = |pair: &[u8]| pair[0] == b'\n' && matches!(pair[1], b' ' | b'\t');
    if !fields.windows(2).any(folds) {
        return None;
    }
    let mut out = fields.to_vec();
    for at in 0..out.len() - 1 {
        if folds(&out[at..at + 2]) {
            out[at] = b' ';
            if at > 0 && out[at - 1] == b'\r' {
                out[at - 1] = b' ';
            }
        }
    }
    Some(out)
}

/// RFC 9112 §5.1: white space between a name and its colon is taken out of a response; in a request it is an error.
/// `None` if there is none.
fn close_up(fields: &[u8]) -> Option<Vec<u8>> {
    let spaced = |line: &[u8]| {
        let colon = line.iter().position(|&b| b == b':')?;
        matches!(line[..colon].last(), Some(b' ' | b'\t')).then_some(colon)
    };
    if !fields.split(|&b| b == b'\n').any(|line| spaced(line).is_some()) {
        return None;
    }
    let mut out = Vec::with_capacity(fields.len());
    for line in fields.split_inclusive(|&b| b == b'\n') {
        let colon = spaced(line).unwrap_or(0);
        out.extend_from_slice(line[..colon].trim_ascii_end());
        out.extend_from_slice(&line[colon..]);
    }
    Some(out)
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;

//! How long is a message's body? The rules of RFC 9112 §6, each deviation an answer or a closed connection.

use super::fields::Fields;
use super::head::{BadHead, Refusal, RequestHead, ResponseHead, Version};
use super::{Method, StatusCode};

/// How the end of a body is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// After so many bytes; 0 is no body.
    Length(u64),
    /// After the last chunk and the trailer section.
    Chunked,
    /// At the end of the connection; responses only.
    UntilClose,
}

/// A framing, and whether the connection must close after the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Framed {
    pub framing: Framing,
    pub close: bool,
}

/// The value of Content-Length. A list of one and the same number counts as that number (RFC 9112 §6.3).
fn content_length(fields: &Fields) -> Result<Option<u64>, ()> {
    let mut length = None;
    for value in fields.all("Content-Length") {
        for element in value.split(|&b| b == b',') {
            let element = element.trim_ascii();
            if element.is_empty() || !element.iter().all(u8::is_ascii_digit) {
                return Err(());
            }
            // RFC 9110 §8.6: a recipient must anticipate potentially large numbers.
            let n: u64 = std::str::from_utf8(element).ok().and_then(|e| e.parse().ok()).ok_or(())?;
            if length.is_some_and(|before| before != n) {
                return Err(());
            }
            length = Some(n);
        }
    }
    Ok(length)
}

/// What Transfer-Encoding says.
#[derive(PartialEq, Eq, Debug)]
enum Codings {
    Absent,
    /// Nothing is done to the body: none, or `identity`, which RFC 2616 §3.6 had.
    Identity,
    Chunked,
    /// Other codings, then chunked.
    OthersThenChunked,
    /// Chunked is not the last one, or occurs twice.
    NotChunkedLast,
}

/// RFC 9112 §7.1: with a parameter chunked is not chunked.
fn transfer_codings(fields: &Fields) -> Codings {
    if !fields.has("Transfer-Encoding") {
        return Codings::Absent;
    }
    let (mut seen, mut chunked, mut last, mut identity) = (0, 0, false, true);
    for coding in fields.list("Transfer-Encoding") {
        identity &= coding.eq_ignore_ascii_case(b"identity");
        last = coding.eq_ignore_ascii_case(b"chunked");
        seen += 1;
        chunked += u32::from(last);
    }
    match (last, chunked, seen) {
        (true, 1, 1) => Codings::Chunked,
        (true, 1, _) => Codings::OthersThenChunked,
        _ if identity => Codings::Identity,
        _ => Codings::NotChunkedLast,
    }
}

/// The framing of a request's body. What two readers could frame differently is refused (RFC 9112 §11.2).
pub(super) fn of_request(head: &RequestHead) -> Result<Framed, Refusal> {
    let bad = |why| Refusal { status: StatusCode::BAD_REQUEST, why };
    let length = content_length(&head.fields)
        .map_err(|()| bad("Content-Length is not one decimal number (RFC 9112 §6.3)"))?;
    let codings = transfer_codings(&head.fields);
    if head.method == Method::CONNECT && (codings != Codings::Absent || length.unwrap_or(0) > 0) {
        // What follows its head is a tunnel's, or nobody's.
        return Err(bad("CONNECT has no content (RFC 9110 §9.3.6)"));
    }
    if codings == Codings::Absent {
        return Ok(Framed { framing: Framing::Length(length.unwrap_or(0)), close: false });
    }
    // RFC 9112 §6.1: a server may reject this, which leaves no room for a smuggled request.
    if length.is_some() {
        return Err(bad("Transfer-Encoding and Content-Length together (RFC 9112 §6.1)"));
    }
    match codings {
        // RFC 9112 §6.1: in an HTTP/1.0 message the framing counts as faulty: close after processing it.
        Codings::Chunked => Ok(Framed { framing: Framing::Chunked, close: head.version == Version::Http10 }),
        Codings::OthersThenChunked => Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            why: "only the chunked transfer coding is implemented (RFC 9112 §6.1)",
        }),
        Codings::Absent | Codings::Identity | Codings::NotChunkedLast => {
            Err(bad("Transfer-Encoding does not end in one chunked (RFC 9112 §6.3)"))
        }
    }
}

/// The framing of the response to a request with `method`.
pub(super) fn of_response(method: &Method, head: &ResponseHead) -> Result<Framed, BadHead> {
    let status = head.status;
    // RFC 9112 §6.3 rule 1.
    if *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return Ok(Framed { framing: Framing::Length(0), close: false });
    }
    let length = content_length(&head.fields);
    match transfer_codings(&head.fields) {
        // RFC 9112 §6.3 rule 3: Transfer-Encoding overrides Content-Length; with both the connection is not kept.
        Codings::Chunked => Ok(Framed {
            framing: Framing::Chunked,
            close: head.version == Version::Http10 || length != Ok(None),
        }),
        // Where its end is would be known without chunks, too (RFC 9112 §6.3 rule 4), but not what the bytes mean.
        Codings::OthersThenChunked | Codings::NotChunkedLast => {
            Err(BadHead("the response uses a transfer coding that was not offered (RFC 9112 §6.1)"))
        }
        Codings::Identity => Ok(Framed { framing: Framing::UntilClose, close: true }),
        Codings::Absent => match length {
            Ok(Some(n)) => Ok(Framed { framing: Framing::Length(n), close: false }),
            Ok(None) => Ok(Framed { framing: Framing::UntilClose, close: true }),
            Err(()) => {
                Err(BadHead("Content-Length of the response is not one decimal number (RFC 9112 §6.3)"))
            }
        },
    }
}

//! What part of a resource is sent, and from where? Content with validators and ranges, read in pieces.

use super::disk::DiskFile;
use crate::http::conditional::{self, Validators, Verdict};
use crate::http::range::{self, Asked, ByteRange};
use crate::http::{Fields, Method, ReplyBody, RequestHead, ServerConn, StatusCode, date};
use crate::time::Instant;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::LazyLock;

/// Where content comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// Texts only.
    None,
    /// The bytes of `/bytes/N`.
    Pattern,
    /// A regular file.
    File(DiskFile),
}

#[derive(Debug)]
enum Piece {
    Text { text: Vec<u8>, at: usize },
    Slice { at: u64, left: u64 },
}

/// The body of a response that is known beforehand. It is read as the stream takes it.
#[derive(Debug)]
pub(super) struct Content {
    /// The piece at hand, which most have only one of, and those after it.
    piece: Option<Piece>,
    later: VecDeque<Piece>,
    source: Source,
}

impl Content {
    fn none() -> Content {
        Content { piece: None, later: VecDeque::new(), source: Source::None }
    }

    /// A short text.
    pub fn text(text: impl Into<Vec<u8>>) -> Content {
        Content { piece: Some(text_piece(text)), ..Content::none() }
    }

    /// A part of the pattern of `/bytes/N`.
    pub fn pattern(range: ByteRange) -> Content {
        Content::slice(range).with(Source::Pattern)
    }

    /// A part of a source that is told [later](Self::with).
    fn slice(range: ByteRange) -> Content {
        Content { piece: Some(slice_piece(range)), ..Content::none() }
    }

    /// Where its slices come from.
    #[must_use]
    pub fn with(self, source: Source) -> Content {
        Content { source, ..self }
    }

    fn push(&mut self, piece: Piece) {
        match self.piece {
            None => self.piece = Some(piece),
            Some(_) => self.later.push_back(piece),
        }
    }

    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        self.piece.iter().chain(&self.later).map(Piece::left).sum()
    }

    /// Puts the next bytes into `out`; 0 only at the end.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter than it was; `WouldBlock` if a helper reads it just now.
    pub fn fill(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let out = &mut out[filled..];
            let n = match &mut self.piece {
                None => break,
                Some(Piece::Text { text, at }) => {
                    let n = out.len().min(text.len() - *at);
                    out[..n].copy_from_slice(&text[*at..*at + n]);
                    *at += n;
                    n
                }
                Some(Piece::Slice { at, left }) => {
                    let n = usize::try_from(*left).map_or(out.len(), |left| left.min(out.len()));
                    let n = match &mut self.source {
                        _ if n == 0 => 0,
                        Source::None => 0,
                        Source::Pattern => {
                            pattern(*at, &mut out[..n]);
                            n
                        }
                        Source::File(file) => match file.read_at(&mut out[..n], *at) {
                            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                            Err(e) if filled > 0 && e.kind() == io::ErrorKind::WouldBlock => {
                                return Ok(filled);
                            }
                            read => read?,
                        },
                    };
                    *at += n as u64;
                    *left -= n as u64;
                    n
                }
            };
            if n == 0 {
                self.piece = self.later.pop_front();
            }
            filled += n;
        }
        Ok(filled)
    }
}

fn text_piece(text: impl Into<Vec<u8>>) -> Piece {
    Piece::Text { text: text.into(), at: 0 }
}

fn slice_piece(range: ByteRange) -> Piece {
    Piece::Slice { at: range.first, left: range.len }
}

impl Piece {
    fn left(&self) -> u64 {
        match self {
            Piece::Text { text, at } => (text.len() - at) as u64,
            Piece::Slice { left, .. } => *left,
        }
    }
}

const BLOCK: usize = 64 << 10;
const LINE: usize = 64;
/// The hexadecimal digits of a line's offset that are the same in a whole block.
const HIGH_DIGITS: usize = 12;

/// One block of lines, each beginning with its offset within the block.
static TEMPLATE: LazyLock<String> = LazyLock::new(|| {
    (0..BLOCK)
        .step_by(LINE)
        .map(|at| format!("{at:016x} The quick brown fox jumps over the lazy dog...\n"))
        .collect()
});

/// The bytes of `/bytes/N` from `offset` on: lines of 64 bytes that begin with their offset in hexadecimal, so that a
/// capture shows which part of the body a segment carries.
pub fn pattern(offset: u64, out: &mut [u8]) {
    let mut filled = 0;
    while filled < out.len() {
        let at = offset + filled as u64;
        let (block, from) = (at / BLOCK as u64, (at % BLOCK as u64) as usize);
        let n = (BLOCK - from).min(out.len() - filled);
        let piece = &mut out[filled..filled + n];
        piece.copy_from_slice(&TEMPLATE.as_bytes()[from..from + n]);
        if block > 0 {
            let high = format!("{block:012x}");
            let mut line = from / LINE * LINE;
            while line < from + n {
                // The first and the last line may stick out of the piece.
                let (start, end) = (line.max(from), (line + HIGH_DIGITS).min(from + n));
                if start < end {
                    piece[start - from..end - from]
                        .copy_from_slice(&high.as_bytes()[start - line..end - line]);
                }
                line += LINE;
            }
        }
        filled += n;
    }
}

/// Something that GET and HEAD can ask for.
pub(super) struct Resource<'a> {
    /// Bytes that it has.
    pub total: u64,
    pub media_type: &'a str,
    pub validators: Validators<'a>,
}

/// Answers GET or HEAD: 200, 206, 304, 412 or 416. Returns the body, whose slices are the resource's.
pub(super) fn answer(
    now: Instant,
    head: &RequestHead,
    conn: &mut ServerConn,
    resource: &Resource<'_>,
) -> Content {
    let Resource { total, media_type, validators } = *resource;
    let mut fields = conn.take_fields().with("Accept-Ranges", "bytes").with("ETag", validators.etag);
    if let Some(modified) = validators.modified {
        // RFC 9110 §8.8.2.1: not later than the message itself.
        let modified = modified.min(date::seconds(now));
        fields = fields.with("Last-Modified", date::imf_fixdate(modified));
    }
    match conditional::evaluate(head, &validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            conn.respond(now, StatusCode::NOT_MODIFIED, &fields, ReplyBody::Length(0));
            return Content::none();
        }
        Verdict::Failed => {
            let text = "The resource is not in the state that the request wants.\n";
            return respond_text(now, conn, StatusCode::PRECONDITION_FAILED, fields, text);
        }
    }
    // RFC 9110 §14.2: Range is defined for GET only.
    let wanted = head.method == Method::GET && head.fields.has("Range");
    let asked = match wanted && conditional::range_applies(head, &validators) {
        true => range::asked(head, total),
        false => Asked::Whole,
    };
    let (status, fields, content) = match asked {
        Asked::Unsatisfiable => {
            let fields = fields.with("Content-Range", format!("bytes */{total}"));
            let text = format!("The resource has {total} bytes.\n");
            return respond_text(now, conn, StatusCode::RANGE_NOT_SATISFIABLE, fields, text);
        }
        Asked::Whole => (
            StatusCode::OK,
            fields.with("Content-Type", media_type),
            Content::slice(ByteRange { first: 0, len: total }),
        ),
        Asked::One(range) => (
            StatusCode::PARTIAL_CONTENT,
            fields.with("Content-Type", media_type).with("Content-Range", range.content_range(total)),
            Content::slice(range),
        ),
        Asked::Several(ranges) => {
            // RFC 2046 §5.1.1: nothing that occurs in a part, so nothing that one could be made to hold beforehand.
            let mut hasher = DefaultHasher::new();
            (now.as_nanos(), validators.etag, total).hash(&mut hasher);
            let boundary = format!("part-{:016x}", hasher.finish());
            (
                StatusCode::PARTIAL_CONTENT,
                fields.with("Content-Type", format!("multipart/byteranges; boundary={boundary}")),
                multipart(&ranges, total, media_type, &boundary),
            )
        }
    };
    conn.respond(now, status, &fields, ReplyBody::Length(content.left()));
    conn.recycle_fields(fields);
    content
}

/// RFC 9110 §14.6: each part has its own Content-Type and Content-Range.
fn multipart(ranges: &[ByteRange], total: u64, media_type: &str, boundary: &str) -> Content {
    let mut content = Content::none();
    for (n, range) in ranges.iter().enumerate() {
        let start = if n == 0 { "" } else { "\r\n" };
        content.push(text_piece(format!(
            "{start}--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {}\r\n\r\n",
            range.content_range(total)
        )));
        content.push(slice_piece(*range));
    }
    content.push(text_piece(format!("\r\n--{boundary}--\r\n")));
    content
}

/// Responds with a short text. Returns the body.
pub(super) fn respond_text(
    now: Instant,
    conn: &mut ServerConn,
    status: StatusCode,
    fields: Fields,
    text: impl Into<Vec<u8>>,
) -> Content {
    let content = Content::text(text);
    let fields = match fields.has("Content-Type") {
        true => fields,
        false => fields.with("Content-Type", "text/plain; charset=utf-8"),
    };
    conn.respond(now, status, &fields, ReplyBody::Length(content.left()));
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(offset: u64, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        pattern(offset, &mut out);
        out
    }

    #[test]
    fn each_line_of_the_pattern_begins_with_its_offset() {
        for offset in [0, 64, 65_472, 65_536, 1 << 30, (1 << 40) - 64] {
            let line = bytes(offset, 64);
            assert!(line.starts_with(format!("{offset:016x} The quick").as_bytes()), "{offset}");
            assert_eq!(line[63], b'\n');
            assert!(!line[..63].contains(&b'\n'));
        }
    }

    #[test]
    fn the_pattern_is_the_same_however_it_is_cut() {
        let whole = bytes(65_000, 140_000);
        for cut in [1, 7, 11, 12, 13, 63, 64, 65, 536, 600, 66_072, 139_999] {
            assert_eq!(bytes(65_000 + cut as u64, 140_000 - cut), whole[cut..], "{cut}");
            assert_eq!(bytes(65_000, cut), whole[..cut], "{cut}");
        }
    }
}

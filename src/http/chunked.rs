//! Where do chunks begin and end? The chunked transfer coding (RFC 9112 §7.1), read with a decoder that holds
//! nothing but the trailer section.

use super::fields::Fields;
use super::head;
use std::fmt;

/// A chunk-size line, its extensions included.
const LINE_LIMIT: usize = 4096;
/// Bytes of chunk extensions in one body: a peer that sends more overhead than this is not sending a body.
const EXTENSIONS_LIMIT: usize = 16 << 10;
/// The trailer section.
const TRAILER_LIMIT: usize = 8 << 10;

/// `tchar` of RFC 9110 §5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let (mut table, mut byte) = ([false; 256], 0);
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let (others, mut at) = (b"!#$%&'*+-.^_`|~", 0);
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

/// What is wrong with a chunked body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkError {
    /// The size is missing, not hexadecimal or beyond 64 bits.
    Size,
    /// A line does not end in CRLF, or contains control characters.
    Line,
    /// The data are not followed by CRLF.
    Delimiter,
    /// Too many bytes of chunk extensions.
    Extensions,
    /// The trailer section is too long or malformed.
    Trailers,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChunkError::Size => "a chunk size is missing, not hexadecimal or beyond 64 bits",
            ChunkError::Line => "a chunk line does not end in CRLF or contains control characters",
            ChunkError::Delimiter => "chunk data are not followed by CRLF",
            ChunkError::Extensions => "the chunk extensions are too long",
            ChunkError::Trailers => "the trailer section is too long or malformed",
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Before the first digit of a size.
    SizeStart,
    /// After at least one digit.
    Size,
    /// White space after the size (RFC 9112 §7.1.1: BWS).
    AfterSize,
    /// Within extensions, which are ignored.
    Extension,
    /// After the CR of a size line.
    SizeLf,
    /// `left` bytes of data remain.
    Data,
    DataCr,
    DataLf,
    /// Within the trailer section.
    Trailer,
    End,
}

/// Reads a chunked body (RFC 9112 §6.1) from pieces of any size.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    left: u64,
    line: usize,
    extensions: usize,
    trailer: Vec<u8>,
}

/// One step of decoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// Framing bytes to skip at the front of the input.
    pub skip: usize,
    /// Body bytes that follow them.
    pub data: usize,
    /// Whether the body is complete (then `data` is 0).
    pub end: bool,
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder { state: State::SizeStart, left: 0, line: 0, extensions: 0, trailer: Vec::new() }
    }

    /// Looks at the next bytes. The caller takes `skip + data` bytes, of which the last `data` are the body's;
    /// at most `want` of those.
    pub fn step(&mut self, input: &[u8], want: usize) -> Result<Step, ChunkError> {
        let mut at = 0;
        while at < input.len() && self.state != State::End {
            if self.state == State::Data {
                let here = (input.len() - at).min(want);
                let data = usize::try_from(self.left).map_or(here, |left| left.min(here));
                self.left -= data as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Step { skip: at, data, end: false });
            }
            self.on_byte(input[at])?;
            at += 1;
        }
        Ok(Step { skip: at, data: 0, end: self.state == State::End })
    }

    /// The trailer section, once the end was reached (RFC 9112 §7.1.2: never merged into the header).
    pub fn trailers(&self) -> Fields {
        // Checked when its last line came in.
        head::parse_fields(&self.trailer).unwrap_or_default()
    }

    fn on_byte(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::SizeStart | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.count_line()?;
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                // RFC 9112 §7.1: recipients anticipate large sizes and prevent overflow.
                self.left =
                    self.left.checked_mul(16).and_then(|n| n.checked_add(digit)).ok_or(ChunkError::Size)?;
                State::Size
            }
            (State::Size | State::AfterSize, b'\r') | (State::Extension, b'\r') => State::SizeLf,
            (State::Size | State::AfterSize, b';') => State::Extension,
            (State::Size | State::AfterSize, b' ' | b'\t') => {
                self.count_line()?;
                State::AfterSize
            }
            // RFC 9112 §7.1.1: unrecognized chunk extensions are ignored.
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.count_line()?;
                self.extensions += 1;
                if self.extensions > EXTENSIONS_LIMIT {
                    return Err(ChunkError::Extensions);
                }
                State::Extension
            }
            (State::SizeStart | State::Size | State::AfterSize, _) => return Err(ChunkError::Size),
            (State::Extension, _) => return Err(ChunkError::Line),
            (State::SizeLf, b'\n') => {
                self.line = 0;
                if self.left == 0 { State::Trailer } else { State::Data }
            }
            (State::SizeLf, _) => return Err(ChunkError::Line),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,
            (State::DataCr | State::DataLf, _) => return Err(ChunkError::Delimiter),
            (State::Trailer, _) => self.on_trailer_byte(byte)?,
            (State::Data | State::End, _) => self.state,
        };
        Ok(())
    }

    fn on_trailer_byte(&mut self, byte: u8) -> Result<State, ChunkError> {
        if self.trailer.len() >= TRAILER_LIMIT {
            return Err(ChunkError::Trailers);
        }
        self.trailer.push(byte);
        let line_ends = byte == b'\n';
        if line_ends && !self.trailer.ends_with(b"\r\n") {
            return Err(ChunkError::Line);
        }
        if line_ends && (self.trailer == b"\r\n" || self.trailer.ends_with(b"\r\n\r\n")) {
            head::parse_fields(&self.trailer).map_err(|_| ChunkError::Trailers)?;
            return Ok(State::End);
        }
        Ok(State::Trailer)
    }

    fn count_line(&mut self) -> Result<(), ChunkError> {
        self.line += 1;
        if self.line > LINE_LIMIT { Err(ChunkError::Extensions) } else { Ok(()) }
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;

//! How much of the input is the body? One reader for the three framings (RFC 9112 §6.3).

use super::chunked::{ChunkError, Decoder};
use super::fields::Fields;
use super::framing::Framing;

/// What is wrong with a body that is being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyError {
    /// Nothing is here yet.
    WouldBlock,
    /// The connection ended before the body did (RFC 9112 §8).
    Incomplete,
    /// The chunked framing is broken.
    Chunked(ChunkError),
    /// It is longer than `http.max_body`.
    TooLarge,
    /// It took too long.
    TimedOut,
}

#[derive(Debug)]
pub(super) enum BodyReader {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

/// What one look at the input gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    /// Bytes to take from the input.
    pub consumed: usize,
    /// Bytes that were put into the output.
    pub copied: usize,
}

impl BodyReader {
    pub fn new(framing: Framing) -> BodyReader {
        match framing {
            Framing::Length(n) => BodyReader::Length(n),
            Framing::Chunked => BodyReader::Chunked(Decoder::new()),
            Framing::UntilClose => BodyReader::UntilClose,
        }
    }

    /// Copies body bytes to `out` until it is full, the input is used up or the body is complete. True: complete.
    pub fn take(&mut self, input: &[u8], out: &mut [u8]) -> Result<(Taken, bool), ChunkError> {
        let mut taken = Taken { consumed: 0, copied: 0 };
        loop {
            let (skip, data, end) = match self {
                BodyReader::Length(left) => {
                    let here = (input.len() - taken.consumed).min(out.len() - taken.copied);
                    let data = usize::try_from(*left).map_or(here, |left| left.min(here));
                    *left -= data as u64;
                    (0, data, *left == 0)
                }
                BodyReader::Chunked(decoder) => {
                    let step = decoder.step(&input[taken.consumed..], out.len() - taken.copied)?;
                    (step.skip, step.data, step.end)
                }
                BodyReader::UntilClose => {
                    (0, (input.len() - taken.consumed).min(out.len() - taken.copied), false)
                }
            };
            let from = taken.consumed + skip;
            out[taken.copied..taken.copied + data].copy_from_slice(&input[from..from + data]);
            taken.consumed = from + data;
            taken.copied += data;
            if end || skip + data == 0 {
                return Ok((taken, end));
            }
        }
    }

    /// Bytes that are still to come, if that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            BodyReader::Length(left) => Some(*left),
            BodyReader::Chunked(_) | BodyReader::UntilClose => None,
        }
    }

    /// The trailer section of a complete body.
    pub fn trailers(&self) -> Fields {
        match self {
            BodyReader::Chunked(decoder) => decoder.trailers(),
            BodyReader::Length(_) | BodyReader::UntilClose => Fields::new(),
        }
    }
}

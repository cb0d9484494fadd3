//! What was in a file before it was packed? gzip and Zstandard, of as many pieces as there are.

use ruzstd::decoding::StreamingDecoder;
use std::io::{self, Chain, Cursor, Error, ErrorKind, Read};

/// A source of which four bytes were read and put back.
type Ahead<R> = Chain<Cursor<[u8; 4]>, R>;

/// Zstandard frames, one after the other; those that only carry something else are passed over.
pub(super) struct Frames<R: Read> {
    state: Option<State<R>>,
}

enum State<R: Read> {
    Between(R),
    Within(Box<StreamingDecoder<Ahead<R>, ruzstd::decoding::FrameDecoder>>),
}

impl<R: Read> Frames<R> {
    pub fn new(source: R) -> Frames<R> {
        Frames { state: Some(State::Between(source)) }
    }

    /// Begins the next frame; false at the end.
    fn begin(mut source: R) -> io::Result<Option<State<R>>> {
        loop {
            let mut magic = [0; 4];
            let mut got = 0;
            while got < magic.len() {
                match source.read(&mut magic[got..]) {
                    Ok(0) if got == 0 => return Ok(None),
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(n) => got += n,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            // RFC 8878 §3.1.2: sixteen numbers mark frames to be skipped.
            if magic[1..] == [0x2a, 0x4d, 0x18] && magic[0] >> 4 == 5 {
                let mut length = [0; 4];
                source.read_exact(&mut length)?;
                let length = u64::from(u32::from_le_bytes(length));
                if io::copy(&mut (&mut source).take(length), &mut io::sink())? < length {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            let decoder = StreamingDecoder::new(Cursor::new(magic).chain(source));
            return Ok(Some(State::Within(Box::new(decoder.map_err(Error::other)?))));
        }
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state.take() {
                None => return Ok(0),
                Some(State::Between(source)) => self.state = Frames::begin(source)?,
                Some(State::Within(mut decoder)) => {
                    let n = decoder.read(out)?;
                    self.state = Some(match n {
                        0 if !out.is_empty() => State::Between(decoder.into_inner().into_inner().1),
                        _ => State::Within(decoder),
                    });
                    if n > 0 || out.is_empty() {
                        return Ok(n);
                    }
                }
            }
        }
    }
}

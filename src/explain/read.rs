//! Which packets does a capture file hold? pcap and pcapng, compressed or not, up to what cannot be read.

use super::pcapng;
use super::unpack::Frames;
use crate::time::Duration;
use flate2::read::MultiGzDecoder;
use std::error::Error;
use std::fmt;
use std::io::{self, BufReader, ErrorKind, Read};

/// A packet that says it is longer is none.
const PACKET: u32 = 16 << 20;
pub(super) const CUT: &str = "the file was cut short within a block";

/// Why nothing could be read.
#[derive(Debug)]
pub enum ReadError {
    /// Reading failed before the first block was complete.
    Io(std::io::Error),
    /// It is something else than a capture; a word on what to do.
    NotACapture(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(e) => write!(f, "{e}"),
            ReadError::NotACapture(what) => f.write_str(what),
        }
    }
}

impl Error for ReadError {}

/// One thing in the file.
pub(super) enum Item<'a> {
    Packet(Packet<'a>),
    /// A row between the packets, and what it says if a stack of ours wrote it.
    Event {
        at: Duration,
        text: &'a str,
    },
    /// What the section says of itself.
    About(&'a str),
    /// So many packets are missing, says the recorder.
    Dropped(u64),
}

/// A packet as captured.
pub(super) struct Packet<'a> {
    /// Since the epoch that the file uses.
    pub at: Duration,
    pub link: u32,
    pub data: &'a [u8],
    /// Its length on the wire.
    pub length: u32,
    /// What a stack of ours says of it.
    pub stated: Option<Stated<'a>>,
}

/// What the stack that made the capture says of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stated<'a> {
    /// The word of its reason.
    pub why: &'a str,
    /// What stands behind it.
    pub sentence: &'a str,
    /// Whether that stack sent it.
    pub sent: bool,
    /// The word behind `limit=`: what keeps more from being sent, after this packet.
    pub limit: Option<&'a str>,
    /// The whole comment that it stands in: the connection's numbers after this packet.
    pub numbers: Option<&'a str>,
}

/// How reading ended.
pub(super) struct End {
    pub format: &'static str,
    pub damage: Option<String>,
}

/// What cannot be read of a file.
#[derive(Default)]
pub(super) struct Damage {
    /// Blocks that make no sense: how many, what is wrong with the first one, and where it begins.
    senseless: Option<(u64, &'static str, u64)>,
    /// Why nothing was read beyond a byte.
    stopped: Option<(String, u64)>,
}

impl Damage {
    /// One block that begins there makes no sense; the others can be read.
    pub fn note(&mut self, why: &'static str, at: u64) {
        self.senseless.get_or_insert((0, why, at)).0 += 1;
    }

    /// Nothing is read from there on.
    pub fn stop(&mut self, why: String, at: u64) {
        self.stopped = Some((why, at));
    }

    fn said(&self) -> Option<String> {
        let left_out = self.senseless.map(|(n, why, at)| match n {
            1 => format!("{why} (at byte {at}), all others were read"),
            n => format!("{why} (at byte {at}) and {} more are like it, all others were read", n - 1),
        });
        let stopped =
            self.stopped.as_ref().map(|(why, at)| format!("{why} (at byte {at}), what precedes it was read"));
        match (stopped, left_out) {
            (Some(stopped), Some(left_out)) => Some(format!("{stopped}; {left_out}")),
            (stopped, left_out) => stopped.or(left_out),
        }
    }
}

/// What is read from, and how far.
pub(super) struct Source<R> {
    input: BufReader<R>,
    /// Bytes that were read.
    pub at: u64,
}

impl<R: Read> Source<R> {
    fn new(input: R) -> Source<R> {
        Source { input: BufReader::with_capacity(64 << 10, input), at: 0 }
    }

    /// Reads so many bytes; false if there are no more at all.
    ///
    /// # Errors
    /// There are fewer.
    pub fn fill(&mut self, out: &mut [u8]) -> Result<bool, String> {
        let mut got = 0;
        while got < out.len() {
            match self.input.read(&mut out[got..]) {
                Ok(0) if got == 0 => return Ok(false),
                Ok(0) => return Err(CUT.into()),
                Ok(n) => (got, self.at) = (got + n, self.at + n as u64),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(spoken(&e)),
            }
        }
        Ok(true)
    }

    /// Appends so many bytes: memory grows with what is there, not with what is promised.
    ///
    /// # Errors
    /// There are fewer.
    pub fn more(&mut self, out: &mut Vec<u8>, bytes: u64) -> Result<(), String> {
        let got = (&mut self.input).take(bytes).read_to_end(out).map_err(|e| spoken(&e))? as u64;
        self.at += got;
        if got < bytes { Err(CUT.into()) } else { Ok(()) }
    }

    /// Passes over so many bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn skip(&mut self, bytes: u64) -> Result<(), String> {
        let got = io::copy(&mut (&mut self.input).take(bytes), &mut io::sink()).map_err(|e| spoken(&e))?;
        self.at += got;
        if got < bytes { Err(CUT.into()) } else { Ok(()) }
    }
}

/// An error with all its causes on one line.
fn spoken(error: &io::Error) -> String {
    if error.kind() == ErrorKind::UnexpectedEof {
        return CUT.into();
    }
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// Hands each item to `take`.
pub(super) fn packets(mut input: impl Read, take: &mut dyn FnMut(Item<'_>)) -> Result<End, ReadError> {
    let mut magic = [0; 4];
    match input.read_exact(&mut magic) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
            return Err(ReadError::NotACapture("it is empty or shorter than a capture's header".into()));
        }
        Err(e) => return Err(ReadError::Io(e)),
        Ok(()) => {}
    }
    let input = BufReader::with_capacity(64 << 10, magic.as_slice().chain(input));
    let mut unpacked: Box<dyn Read + '_> = match magic {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Box::new(Frames::new(input)),
        _ => return plain(magic, input, take),
    };
    let mut inner = [0; 4];
    match unpacked.read_exact(&mut inner) {
        Ok(()) => plain(inner, inner.as_slice().chain(unpacked), take),
        Err(e) => Err(ReadError::NotACapture(format!("it cannot be unpacked: {}", spoken(&e)))),
    }
}

/// What is not compressed, or no longer; it begins with `magic`.
fn plain(magic: [u8; 4], input: impl Read, take: &mut dyn FnMut(Item<'_>)) -> Result<End, ReadError> {
    let mut source = Source::new(input);
    let (format, damage) = match magic {
        [0x0a, 0x0d, 0x0d, 0x0a] => ("pcapng", pcapng::read(&mut source, take)?),
        [0xa1, 0xb2, 0xc3, 0xd4] => ("pcap", pcap(&mut source, u32::from_be_bytes, (1000, 0), take)?),
        [0xd4, 0xc3, 0xb2, 0xa1] => ("pcap", pcap(&mut source, u32::from_le_bytes, (1000, 0), take)?),
        [0xa1, 0xb2, 0x3c, 0x4d] => ("pcap", pcap(&mut source, u32::from_be_bytes, (1, 0), take)?),
        [0x4d, 0x3c, 0xb2, 0xa1] => ("pcap", pcap(&mut source, u32::from_le_bytes, (1, 0), take)?),
        // The kind that some old systems' libpcap wrote: interface and protocol stand in each packet's header, too.
        [0xa1, 0xb2, 0xcd, 0x34] => ("pcap", pcap(&mut source, u32::from_be_bytes, (1000, 8), take)?),
        [0x34, 0xcd, 0xb2, 0xa1] => ("pcap", pcap(&mut source, u32::from_le_bytes, (1000, 8), take)?),
        _ => return Err(ReadError::NotACapture("it is neither pcap nor pcapng".into())),
    };
    Ok(End { format, damage: damage.said() })
}

/// Reads a pcap file; a unit of its times is so many nanoseconds, and so many bytes more stand in a packet's header. What its header says of the longest packet is not
/// asked: some say 0, and some are wrong.
fn pcap(
    source: &mut Source<impl Read>,
    number: fn([u8; 4]) -> u32,
    (unit, more): (u64, u64),
    take: &mut dyn FnMut(Item<'_>),
) -> Result<Damage, ReadError> {
    let word =
        |bytes: &[u8], n: usize| number([bytes[4 * n], bytes[4 * n + 1], bytes[4 * n + 2], bytes[4 * n + 3]]);
    let mut header = [0; 24];
    source
        .fill(&mut header)
        .map_err(|why| ReadError::NotACapture(format!("its header cannot be read: {why}")))?;
    // Its upper bits tell of a frame check sequence behind each packet: IP's own length leaves that out.
    let link = word(&header, 5) & 0xffff;
    let (mut damage, mut data) = (Damage::default(), Vec::new());
    loop {
        let (start, mut record) = (source.at, [0; 16]);
        let read = source.fill(&mut record).and_then(|some| {
            let kept = word(&record, 2);
            data.clear();
            if kept > PACKET {
                return Err(format!("a packet says that {kept} bytes of it were kept"));
            }
            if some {
                source.skip(more)?;
                source.more(&mut data, kept.into())?;
            }
            Ok(some)
        });
        match read {
            Ok(true) => {}
            Ok(false) => break,
            Err(why) => {
                damage.stop(why, start);
                break;
            }
        }
        let fraction = Duration::from_nanos(u64::from(word(&record, 1)) * unit);
        let length = word(&record, 3);
        let at = Duration::from_secs(word(&record, 0).into()) + fraction;
        take(Item::Packet(Packet { at, link, data: &data, length, stated: None }));
    }
    Ok(damage)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

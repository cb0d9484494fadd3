//! Which TCP options are these? The list as it is on the wire, and [`Options`] from and to it.

use crate::segment::{Cookie, EcnBytes, Options, SackBlocks, Timestamps};
use crate::seq::Seq;

// The first three are those that every TCP knows: RFC 9293 §3.1 (MUST-4).
const EOL: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const FAST_OPEN: u8 = 34;
/// RFC 3692's first experimental kind, and what tells Fast Open's use of it from others' (RFC 7413 §4.1.1, RFC 6994).
const EXPERIMENT: u8 = 254;
const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];
/// Its kind, and its length.
pub(super) const SIGNATURE: [u8; 2] = [19, 18];
/// Accurate ECN's, with the count of ECT(0) first or that of ECT(1) (RFC 9768 §3.2.3).
const ECN_ECT0_FIRST: u8 = 172;
const ECN_ECT1_FIRST: u8 = 174;

/// The most bytes that options can take (RFC 9293 §3.1: the data offset has four bits).
pub const MAX_LEN: usize = 40;

/// One option of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item<'a> {
    /// End of the list; what follows is padding.
    Eol,
    /// Padding between options.
    Nop,
    /// Maximum segment size, bytes.
    Mss(u16),
    /// Window scale: a shift count.
    WindowScale(u8),
    /// SACK permitted.
    SackPermitted,
    /// Selective acknowledgment: `start..end` each.
    Sack(Vec<(Seq, Seq)>),
    /// Time stamps.
    Timestamps(Timestamps),
    /// Anything else, or one of the above with a length that it can't have.
    Unknown {
        /// The option's kind.
        kind: u8,
        /// What follows its kind and length.
        data: &'a [u8],
    },
}

/// The option list is cut off, or an option claims less than its own two bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Items until the end of the list (the `Eol`, if there is one, is the last) or until the first malformed option,
/// which yields `Err` once.
pub fn iter(bytes: &[u8]) -> impl Iterator<Item = Result<Item<'_>, Malformed>> {
    Raw { rest: bytes }.map(|raw| raw.map(|(kind, data)| item(kind, data)))
}

fn item(kind: u8, data: &[u8]) -> Item<'_> {
    match (kind, data.len()) {
        (EOL, _) => Item::Eol,
        (NOP, _) => Item::Nop,
        (MSS, 2) => Item::Mss(u16_at(data, 0)),
        (WINDOW_SCALE, 1) => Item::WindowScale(data[0]),
        (SACK_PERMITTED, 0) => Item::SackPermitted,
        (SACK, n) if n > 0 && n % 8 == 0 => Item::Sack(sack_blocks(data).collect()),
        (TIMESTAMPS, 8) => Item::Timestamps(timestamps(data)),
        _ => Item::Unknown { kind, data },
    }
}

/// Kind and data of each option, nothing interpreted, nothing allocated.
struct Raw<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Raw<'a> {
    type Item = Result<(u8, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match kind {
            EOL => {
                self.rest = &[];
                Some(Ok((EOL, &[])))
            }
            NOP => Some(Ok((NOP, &[]))),
            _ => {
                // An option may begin at any byte: RFC 9293 §3.2 (MUST-64). §3.1 (MUST-7): a length below 2 or beyond the header must not crash anything.
                let data = rest.first().and_then(|&len| rest.get(1..usize::from(len).checked_sub(1)?));
                let Some(data) = data else {
                    self.rest = &[];
                    return Some(Err(Malformed));
                };
                self.rest = &rest[1 + data.len()..];
                Some(Ok((kind, data)))
            }
        }
    }
}

fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([data[at], data[at + 1]])
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

fn sack_blocks(data: &[u8]) -> impl Iterator<Item = (Seq, Seq)> {
    data.chunks_exact(8).map(|b| (Seq(u32_at(b, 0)), Seq(u32_at(b, 4))))
}

/// The signature, of which there may be one only; `None` if there is none or if the list says two things.
pub(super) fn signature(bytes: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    for raw in (Raw { rest: bytes }) {
        let (kind, data) = raw.ok()?;
        if kind == SIGNATURE[0] && data.len() == 16 && found.replace(data).is_some() {
            return None;
        }
    }
    found
}

/// As many counts as there are whole ones: RFC 9768 §3.2.3.
fn ecn_bytes(data: &[u8], ect1_first: bool) -> EcnBytes {
    let mut counts = [0; EcnBytes::MOST as usize];
    let whole = (data.len() / 3).min(counts.len());
    for (count, bytes) in counts.iter_mut().zip(data.chunks_exact(3)) {
        *count = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
    }
    EcnBytes::new(&counts[..whole], ect1_first)
}

fn timestamps(data: &[u8]) -> Timestamps {
    Timestamps { value: u32_at(data, 0), echo: u32_at(data, 4) }
}

/// The options that the engine acts on. Of an option that comes twice the last counts, as with Linux; one with a
/// length that it can't have is skipped like an unknown one (RFC 9293 §3.1, MUST-6).
pub fn read(bytes: &[u8]) -> Options {
    let mut options = Options::default();
    for raw in (Raw { rest: bytes }) {
        let Ok((kind, data)) = raw else { break };
        match (kind, data.len()) {
            (MSS, 2) => options.mss = Some(u16_at(data, 0)),
            (WINDOW_SCALE, 1) => options.window_scale = Some(data[0]),
            (SACK_PERMITTED, 0) => options.sack_permitted = true,
            (TIMESTAMPS, 8) => options.timestamps = Some(timestamps(data)),
            (kind, 16) if kind == SIGNATURE[0] => options.signed = true,
            (SACK, n) if n > 0 && n % 8 == 0 => {
                options.sack = SackBlocks::NONE;
                for (start, end) in sack_blocks(data) {
                    options.sack.push(start, end);
                }
            }
            (ECN_ECT0_FIRST | ECN_ECT1_FIRST, _) => {
                options.ecn = Some(ecn_bytes(data, kind == ECN_ECT1_FIRST));
            }
            (FAST_OPEN, _) => options.fast_open = Cookie::new(data, false),
            (EXPERIMENT, 2..) if data[..2] == FAST_OPEN_MAGIC => {
                options.fast_open = Cookie::new(&data[2..], true);
            }
            _ => {}
        }
    }
    options
}

/// The options with as many SACK blocks as find room beside the others: four, or three beside time stamps. Counts of accurate ECN
/// go last of all. Nothing if all find room.
fn fitted(options: &Options) -> Option<Options> {
    if options.encoded_len() as usize <= MAX_LEN {
        return None;
    }
    let mut fitted = *options;
    while fitted.encoded_len() as usize > MAX_LEN && !fitted.sack.is_empty() {
        fitted.sack.truncate(fitted.sack.len() - 1);
    }
    if fitted.encoded_len() as usize > MAX_LEN {
        fitted.ecn = None;
    }
    Some(fitted)
}

/// Bytes that [`write`] takes: [`Options::encoded_len`] without the SACK blocks that find no room.
pub(super) fn len(options: &Options) -> usize {
    fitted(options).as_ref().unwrap_or(options).encoded_len() as usize
}

/// Writes the options in the order of Linux, `buf` being [`len`] bytes long: two `nop` or the two bytes of SACK
/// permitted align what follows to four bytes. Each option has its length, and no list needs an end with padding:
/// RFC 9293 §3.1 (MUST-68, MUST-69).
pub(super) fn write(options: &Options, buf: &mut [u8]) {
    let fitted = fitted(options);
    let options = fitted.as_ref().unwrap_or(options);
    let sack = options.sack.as_slice();
    let mut rest = buf;
    if options.signed {
        put(&mut rest, &[NOP, NOP, SIGNATURE[0], SIGNATURE[1]]);
        put(&mut rest, &[0; 16]);
    }
    if let Some(mss) = options.mss {
        let [hi, lo] = mss.to_be_bytes();
        put(&mut rest, &[MSS, 4, hi, lo]);
    }
    if options.sack_permitted && options.timestamps.is_some() {
        put(&mut rest, &[SACK_PERMITTED, 2]);
    } else if options.timestamps.is_some() {
        put(&mut rest, &[NOP, NOP]);
    }
    if let Some(ts) = options.timestamps {
        put(&mut rest, &[TIMESTAMPS, 10]);
        put(&mut rest, &ts.value.to_be_bytes());
        put(&mut rest, &ts.echo.to_be_bytes());
    }
    // What of the counts does not fill four bytes takes the place of the next padding.
    let (mut left, mut count) = options.ecn.map_or(([NOP; 2], 0), |ecn| put_ecn(&mut rest, &ecn));
    if options.sack_permitted && options.timestamps.is_none() {
        put(&mut rest, &[left[0], left[1], SACK_PERMITTED, 2]);
        (left, count) = ([NOP; 2], 0);
    }
    if let Some(shift) = options.window_scale {
        let one = if count == 1 { left[0] } else { NOP };
        put(&mut rest, &[one, WINDOW_SCALE, 3, shift]);
        if count == 1 {
            (left, count) = ([NOP; 2], 0);
        }
    }
    if !sack.is_empty() {
        put(&mut rest, &[left[0], left[1], SACK, 2 + 8 * sack.len() as u8]);
        count = 0;
        for (start, end) in sack {
            put(&mut rest, &start.0.to_be_bytes());
            put(&mut rest, &end.0.to_be_bytes());
        }
    }
    if count > 0 {
        put(&mut rest, &[left[0], left[1], NOP, NOP]);
    }
    if let Some(cookie) = options.fast_open {
        let len = cookie.encoded_len() as u8;
        match cookie.experimental {
            false => put(&mut rest, &[FAST_OPEN, len]),
            true => put(&mut rest, &[EXPERIMENT, len, FAST_OPEN_MAGIC[0], FAST_OPEN_MAGIC[1]]),
        }
        put(&mut rest, cookie.bytes());
        if !len.is_multiple_of(4) {
            put(&mut rest, &[NOP, NOP]);
        }
    }
    debug_assert!(rest.is_empty(), "the layout has the length that was said");
}

/// Writes what of the counts fills whole groups of four bytes, padded if one is missing, and returns the rest, and how
/// many bytes that is.
fn put_ecn(rest: &mut &mut [u8], ecn: &EcnBytes) -> ([u8; 2], usize) {
    let len = ecn.encoded_len() as usize;
    let mut bytes = [NOP; 12];
    bytes[0] = if ecn.is_ect1_first() { ECN_ECT1_FIRST } else { ECN_ECT0_FIRST };
    bytes[1] = len as u8;
    for (to, (_, count)) in bytes[2..].chunks_exact_mut(3).zip(ecn.counts()) {
        to.copy_from_slice(&count.to_be_bytes()[1..]);
    }
    let whole = if len % 4 == 3 { len + 1 } else { len - len % 4 };
    put(rest, &bytes[..whole]);
    let left = len.saturating_sub(whole);
    let byte = |at: usize| if at < left { bytes[whole + at] } else { NOP };
    ([byte(0), byte(1)], left)
}

/// Copies `bytes` to the front of `rest` and moves on behind them.
fn put(rest: &mut &mut [u8], bytes: &[u8]) {
    let (front, back) = std::mem::take(rest).split_at_mut(bytes.len());
    front.copy_from_slice(bytes);
    *rest = back;
}

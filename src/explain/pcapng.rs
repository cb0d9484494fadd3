//! Which packets does a pcapng file hold? Its blocks one after the other; what makes no sense in one is said, and the
//! rest is read.

use super::read::{Damage, Item, Packet, ReadError, Source, Stated};
use crate::time::Duration;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

/// A block that is larger holds no packet.
const BLOCK: u64 = 64 << 20;
/// Interfaces of a section that are told apart.
const INTERFACES: usize = 65_536;
const SECTION: u32 = 0x0a0d_0d0a;
const COMMENT: u16 = 1;

/// In which order the bytes of a section's numbers come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// What is still to be read of a block.
#[derive(Clone, Copy)]
struct Fields<'a> {
    rest: &'a [u8],
    order: Order,
}

impl<'a> Fields<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.bytes(2)?.try_into().ok()?;
        Some(if self.order == Order::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.bytes(4)?.try_into().ok()?;
        Some(if self.order == Order::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = self.bytes(8)?.try_into().ok()?;
        Some(if self.order == Order::Little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }

    /// Each option with its value; an error if they are cut off.
    fn options(mut self) -> impl Iterator<Item = Result<(u16, Fields<'a>), ()>> {
        let mut over = false;
        std::iter::from_fn(move || {
            if over || self.rest.is_empty() {
                return None;
            }
            over = true;
            let (Some(code), Some(length)) = (self.u16(), self.u16()) else { return Some(Err(())) };
            if code == 0 {
                return None;
            }
            let Some(value) = self.bytes(length.into()) else { return Some(Err(())) };
            // To a multiple of four; the last one's may be missing.
            let _ = self.bytes(usize::from(length.wrapping_neg() & 3));
            over = false;
            Some(Ok((code, Fields { rest: value, order: self.order })))
        })
    }

    fn text(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.rest)
    }
}

/// What packets are captured on.
#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    snaplen: u32,
    /// Units of time in a second.
    units: u128,
    /// Seconds to be added.
    offset: i64,
}

impl Interface {
    fn read(mut fields: Fields<'_>) -> Option<Interface> {
        let link = u32::from(fields.u16()?);
        fields.u16()?;
        let mut interface = Interface { link, snaplen: fields.u32()?, units: 1_000_000, offset: 0 };
        for (code, mut value) in fields.options().flatten() {
            match code {
                9 => {
                    let resolution = *value.rest.first()?;
                    let power = u32::from(resolution & 0x7f);
                    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
                    interface.units = base.checked_pow(power)?;
                }
                14 => interface.offset = value.u64()? as i64,
                _ => {}
            }
        }
        Some(interface)
    }

    fn time(&self, high: u32, low: u32) -> Duration {
        let count = u128::from(high) << 32 | u128::from(low);
        let seconds = i128::try_from(count / self.units).unwrap_or(0) + i128::from(self.offset);
        // Below 2⁶⁴: there the product fits.
        let rest = count % self.units * 1_000_000_000 / self.units;
        Duration::new(seconds.clamp(0, i128::from(u32::MAX) << 8) as u64, rest as u32)
    }
}

/// Reads the file, of which nothing but the first block's type has been looked at.
pub(super) fn read(
    source: &mut Source<impl Read>,
    take: &mut dyn FnMut(Item<'_>),
) -> Result<Damage, ReadError> {
    let mut file = File { order: Order::Little, interfaces: Vec::new(), dropped: BTreeMap::new() };
    let mut damage = Damage::default();
    let (mut block, mut first) = (Vec::new(), true);
    loop {
        let start = source.at;
        let next = match file.block(source, &mut block) {
            Ok(next) => next,
            Err(why) if first => {
                return Err(ReadError::NotACapture(format!("its section header cannot be read: {why}")));
            }
            Err(why) => {
                damage.stop(why, source.at);
                break;
            }
        };
        first = false;
        match next {
            Next::End => break,
            Next::TooLarge => damage.note("no block is so large", start),
            Next::Block(kind) => {
                if let Err(why) = file.take(kind, &block, take) {
                    damage.note(why, start);
                }
            }
        }
    }
    let dropped = file.dropped.values().fold(0_u64, |all, n| all.saturating_add(*n));
    take(Item::Dropped(dropped));
    Ok(damage)
}

enum Next {
    End,
    TooLarge,
    Block(u32),
}

/// What is known of the section that is being read.
struct File {
    order: Order,
    /// `None` for one whose description makes no sense.
    interfaces: Vec<Option<Interface>>,
    dropped: BTreeMap<u32, u64>,
}

impl File {
    /// Reads the next block's body.
    fn block(&mut self, source: &mut Source<impl Read>, body: &mut Vec<u8>) -> Result<Next, String> {
        let mut head = [0; 8];
        if !source.fill(&mut head)? {
            return Ok(Next::End);
        }
        let word = |bytes: &[u8], order| Fields { rest: bytes, order }.u32().unwrap_or(0);
        body.clear();
        // Reads the same in both orders.
        if word(&head, Order::Little) == SECTION {
            source.more(body, 4)?;
            self.order = match word(body, Order::Little) {
                0x1a2b_3c4d => Order::Little,
                0x4d3c_2b1a => Order::Big,
                _ => return Err("its byte order is none".into()),
            };
            self.interfaces.clear();
        }
        let (kind, length) = (word(&head, self.order), u64::from(word(&head[4..], self.order)));
        let read = body.len() as u64;
        if length < 12 + read {
            return Err(format!("a block says that it is {length} bytes long"));
        }
        let left = length.next_multiple_of(4) - 12 - read;
        if length > BLOCK {
            source.skip(left + 4)?;
            return Ok(Next::TooLarge);
        }
        source.more(body, left)?;
        let mut tail = [0; 4];
        if !source.fill(&mut tail)? {
            return Err(super::read::CUT.into());
        }
        if u64::from(word(&tail, self.order)) != length {
            return Err("a block's length at its end is another than at its beginning".into());
        }
        Ok(Next::Block(kind))
    }

    /// Hands out what the block holds.
    fn take(&mut self, kind: u32, body: &[u8], take: &mut dyn FnMut(Item<'_>)) -> Result<(), &'static str> {
        const SHORT: &str = "a block is shorter than what it should hold";
        let mut fields = Fields { rest: body, order: self.order };
        match kind {
            SECTION => {
                fields.bytes(16).ok_or(SHORT)?;
                for (_, value) in fields.options().flatten().filter(|(code, _)| *code == COMMENT) {
                    take(Item::About(&value.text()));
                }
            }
            1 if self.interfaces.len() < INTERFACES => {
                let interface = Interface::read(fields);
                self.interfaces.push(interface);
                interface.ok_or("an interface's description makes no sense")?;
            }
            2 | 6 => {
                // The old block counts drops between two of its own kind.
                let number = if kind == 6 { fields.u32() } else { fields.u16().map(u32::from) };
                let number = number.ok_or(SHORT)?;
                if kind == 2 {
                    fields.u16().ok_or(SHORT)?;
                }
                let (high, low) = fields.u32().zip(fields.u32()).ok_or(SHORT)?;
                let (kept, length) = fields.u32().zip(fields.u32()).ok_or(SHORT)?;
                let data = fields.bytes(kept as usize).ok_or("a packet is longer than its block")?;
                let _ = fields.bytes((kept.wrapping_neg() & 3) as usize);
                let interface = self.interface(number)?;
                take(Item::Packet(Packet {
                    at: interface.time(high, low),
                    link: interface.link,
                    data,
                    length,
                    stated: if kind == 6 { stated(fields) } else { None },
                }));
                if fields.options().any(|option| option.is_err()) {
                    return Err("a packet's options are cut off");
                }
            }
            3 => {
                let length = fields.u32().ok_or(SHORT)?;
                let interface = self.interface(0)?;
                let kept = if interface.snaplen == 0 { length } else { length.min(interface.snaplen) };
                let data = &fields.rest[..fields.rest.len().min(kept as usize)];
                let (at, link) = (Duration::ZERO, interface.link);
                take(Item::Packet(Packet { at, link, data, length, stated: None }));
            }
            5 => {
                let number = fields.u32().ok_or(SHORT)?;
                fields.u64().ok_or(SHORT)?;
                let count = fields.options().flatten().find(|(code, _)| *code == 5);
                let count = count.and_then(|(_, mut value)| value.u64()).unwrap_or(0);
                // Counts since the start: the last one of an interface holds the others.
                if self.dropped.len() < INTERFACES {
                    self.dropped.insert(number, count);
                }
            }
            9 => {
                let text = fields.text();
                let field =
                    |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                let at = Duration::from_micros(field("__REALTIME_TIMESTAMP=").parse().unwrap_or(0));
                take(Item::Event { at, text: field("MESSAGE=") });
            }
            _ => {}
        }
        Ok(())
    }

    fn interface(&self, number: u32) -> Result<Interface, &'static str> {
        match self.interfaces.get(number as usize) {
            Some(Some(interface)) => Ok(*interface),
            Some(None) => Err("a packet is of an interface whose description makes no sense"),
            None => Err("a packet is of an interface that the file does not describe"),
        }
    }
}

/// The word of `why=rto: retransmission 2 of …` in the first comment that has one, and that of `limit=` in the next.
fn stated(options: Fields<'_>) -> Option<Stated<'_>> {
    // What a stack of ours writes is UTF-8.
    let mut comments = options.options().flatten().filter(|(code, _)| *code == COMMENT);
    let mut comments = comments.by_ref().filter_map(|(_, value)| std::str::from_utf8(value.rest).ok());
    let why = comments.find_map(|text| text.strip_prefix("why="))?;
    let (why, sentence) = why.split_once([':', ' ']).unwrap_or((why, ""));
    let (why, sentence) = (Some(why).filter(|w| !w.is_empty() && w.len() <= 40)?, sentence.trim_start());
    let numbers = comments.find(|text| text.starts_with("conn="));
    let limit = numbers.and_then(|text| text.split(' ').find_map(|pair| pair.strip_prefix("limit=")));
    // Bits 0 and 1 of the flags: 1 inbound, 2 outbound.
    let flags =
        options.options().flatten().find(|(code, _)| *code == 2).and_then(|(_, mut value)| value.u32());
    Some(Stated { why, sentence, sent: flags.is_some_and(|flags| flags & 3 == 2), limit, numbers })
}

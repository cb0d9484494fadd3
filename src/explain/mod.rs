//! What is in a capture? Connections and, in captures of our own, the reasons for each packet.

mod connection;
mod connections;
mod course;
mod decode;
mod dns;
mod doubles;
mod doubt;
mod exchange;
mod filter;
mod finding;
mod flow;
mod fragments;
mod half;
mod hold;
mod judge;
mod link;
mod opening;
mod past;
mod pcapng;
mod rate;
mod read;
mod routes;
mod settle;
mod shelf;
mod sorted;
mod strange;
mod stream;
#[cfg(test)]
mod tests;
mod too_big;
mod trail;
mod unpack;

pub use crate::ledger::{Part, Parts};
use crate::time::Duration;
pub use connection::{Connection, End, Ending, Repeats, Side};
use connections::Connections;
use decode::Decoded;
pub use decode::Segment;
use dns::Lookups;
pub use exchange::{Exchange, Progress};
pub use filter::{Filter, FilterError};
pub use finding::{Confidence, Finding, What};
use fragments::Fragments;
pub use read::ReadError;
use shelf::Shelf;
pub use sorted::Disorder;
use sorted::Sorter;
use std::collections::BTreeMap;
use std::io::Read;
pub use trail::{Line, Numbers, Step, Trail};

/// Connections that a summary keeps, unless more or fewer are asked for.
pub const KEPT: usize = 65_536;
/// Reasons that are told apart: more than there are words. A foreign file may hold any text.
const MAX_WORDS: usize = 128;

/// Packets with the same reason.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct WordCount {
    /// That the stack which wrote the capture sent.
    pub sent: u64,
    /// That it received.
    pub received: u64,
}

/// What was found in a capture.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// `pcapng` or `pcap`.
    pub format: &'static str,
    /// Packets of any kind.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Packets that are well-formed, but not TCP.
    pub not_tcp: u64,
    /// Packets that could not be decoded: of an unknown link type, or cut off within their headers.
    pub undecoded: u64,
    /// TCP packets of which not even all options were kept.
    pub cut_headers: u64,
    /// Those of which a part of the payload was not kept.
    pub cut_payloads: u64,
    /// Packets that were captured twice in the same place, of which one was left out.
    pub doubled: u64,
    /// Packets that were captured in two places, of which the later one was left out.
    pub elsewhere: u64,
    /// What the order of the file was, if not that of the times.
    pub disorder: Disorder,
    /// Rows between the packets that a stack of ours wrote.
    pub events: u64,
    /// Packets that the recorder says it dropped.
    pub dropped: u64,
    /// From the first to the last packet.
    pub lasted: Duration,
    /// How many connections there are, those that were not looked at included.
    pub seen: usize,
    /// Sums over those that were looked at.
    pub totals: Totals,
    /// The first of those that were looked at, in the order of their first packets: as many as [`Options::keep`] says.
    pub connections: Vec<Connection>,
    /// Connections that were given up, so that memory is bounded: they were silent for longest, and not over. What they
    /// said later is of another connection.
    pub given_up: u64,
    /// What cost time, or went wrong, the costliest first.
    pub findings: Vec<Finding>,
    /// TCP packets that came late to connections that had been settled.
    pub beyond: u64,
    /// Packets that were put together from fragments.
    pub reassembled: u64,
    /// Counts by the word after `why=`, if a stack of ours wrote the capture.
    pub words: BTreeMap<String, WordCount>,
    /// What is wrong with the file, if it could not be read to its end.
    pub damage: Option<String>,
}

/// Sums over all connections that were looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// How many there are.
    pub connections: u64,
    /// Their packets.
    pub packets: u64,
    /// Packets with numbers far beyond their receiver's window.
    pub wild: u64,
    /// Bytes that were acknowledged and not captured.
    pub not_captured: u64,
    /// Their exchanges, those that are kept nowhere included.
    pub exchanges: u64,
    /// Where the time of all exchanges went.
    pub parts: Parts,
}

impl Totals {
    fn add(&mut self, connection: &Connection) {
        self.connections += 1;
        self.packets += connection.up.packets + connection.down.packets;
        self.wild += connection.up.wild + connection.down.wild;
        self.not_captured += connection.ends.iter().map(|end| end.not_captured).sum::<u64>();
        self.exchanges += connection.exchanges.len() as u64 + connection.more_exchanges;
        connection.exchanges.iter().for_each(|exchange| self.parts += exchange.parts);
    }
}

/// How to look at a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Infer everything, as for the capture of a foreign stack, although the file says why.
    pub infer: bool,
    /// Only this connection is looked at, by its number from 1.
    pub connection: Option<usize>,
    /// Only connections that this says are looked at.
    pub filter: Option<Filter>,
    /// So many connections, and four times as many exchanges, are kept in the summary, [`KEPT`] by default: memory that
    /// grows with the capture. All of them pass by as [`Seen::Connection`].
    pub keep: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { infer: false, connection: None, filter: None, keep: KEPT }
    }
}

/// Reads a capture to its end, or to where it is damaged, in bounded memory.
///
/// # Errors
/// The input is no capture at all, or its first block cannot be read.
pub fn explain(input: impl Read, options: Options) -> Result<Summary, ReadError> {
    causes(input, options, &mut |_| {})
}

/// Why a TCP packet was sent.
#[derive(Clone, Copy, Debug)]
pub struct Caused<'a> {
    /// The packet's number, as Wireshark counts.
    pub frame: u64,
    /// Since the capture's first packet.
    pub at: Duration,
    /// The number of its connection in the capture, from 1.
    pub connection: usize,
    /// What was captured of it, with the header of its link.
    pub data: &'a [u8],
    /// The word of the stack that made the capture: for a packet that it received, what it took it for.
    pub stated: Option<&'a str>,
    /// What it says behind this word.
    pub sentence: &'a str,
    /// Whether that stack sent it.
    pub sent: bool,
    /// The connection's numbers after it, as that stack writes them: `conn=1 state=ESTABLISHED cwnd=14480 …`.
    pub numbers: Option<&'a str>,
    /// What it holds.
    pub segment: &'a Segment<'a>,
    /// Whether the connection's client sent it.
    pub from_client: bool,
    /// What it had waited for, if it is new data.
    pub held: Option<Part>,
    /// Packets of its sender that were lost before it, on their way here, as its number tells: what it repeats, most likely.
    pub lost: u16,
    /// So much sooner it had been sent first, if packets were lost before it and it had come after a pause.
    pub earlier: Duration,
    /// It had passed by already, and was captured twice: it counts once.
    pub doubled: bool,
    /// The word of the trace's vocabulary that follows from what passed by.
    pub inferred: &'static str,
}

/// The same as [`explain`]; each TCP packet goes to `each` with the reason why it was sent.
///
/// # Errors
/// Those of [`explain`].
pub fn causes(
    input: impl Read,
    options: Options,
    each: &mut dyn FnMut(&Caused<'_>),
) -> Result<Summary, ReadError> {
    follow(input, options, &mut |seen| {
        if let Seen::Packet(caused) = seen {
            each(&caused);
        }
    })
}

/// What passes by in a capture.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A TCP packet.
    Packet(Caused<'a>),
    /// A row between the packets, as a stack of ours writes it: `link: dropped, 1448 bytes …`.
    Event {
        /// Since the capture's first packet.
        at: Duration,
        /// The row.
        text: &'a str,
    },
    /// What the file says of itself, before all packets.
    About(&'a str),
    /// A connection that is over, with all that was found out of it: in the order of the first packets, as far as few
    /// connections have to wait for others that take longer.
    Connection(&'a Connection),
}

/// The same as [`causes`] with the rows between the packets.
///
/// # Errors
/// Those of [`explain`].
pub fn follow(
    input: impl Read,
    options: Options,
    each: &mut dyn FnMut(Seen<'_>),
) -> Result<Summary, ReadError> {
    let chosen = |number, client, server| {
        options.connection.is_none_or(|n| n == number)
            && options.filter.as_ref().is_none_or(|filter| filter.holds(number, client, server))
    };
    let mut look = Look {
        options: &options,
        summary: Summary::default(),
        connections: Connections::new(&chosen),
        shelf: Shelf::default(),
        exchanges: 0,
        answered: false,
        fragments: Fragments::default(),
        lookups: Lookups::default(),
        first: None,
    };
    let mut sorter = Sorter::default();
    let mut frame = 0;
    let end = read::packets(input, &mut |item| match item {
        read::Item::Event { at, text } => {
            sorter.flush(&mut |packet, frame| look.packet(&packet, frame, each));
            look.summary.events += 1;
            frame += 1;
            let at = at.saturating_sub(look.first.unwrap_or(at));
            each(Seen::Event { at, text });
        }
        read::Item::About(text) => each(Seen::About(text)),
        read::Item::Dropped(n) => look.summary.dropped = n,
        read::Item::Packet(packet) => {
            frame += 1;
            sorter.add(packet, frame, &mut |packet, frame| look.packet(&packet, frame, each));
        }
    })?;
    sorter.flush(&mut |packet, frame| look.packet(&packet, frame, each));
    look.connections.finish();
    look.hand_on(true, each);
    let Look { mut summary, mut connections, lookups, answered, .. } = look;
    if !options.is_choosy() {
        lookups.finish(&mut connections.findings);
    }
    summary.format = end.format;
    summary.damage = end.damage;
    summary.disorder = sorter.disorder;
    [summary.doubled, summary.elsewhere] = connections.doubled;
    summary.seen = connections.begun;
    summary.given_up = connections.given_up;
    summary.connections.sort_by_key(|connection| connection.number);
    summary.findings = connections.findings.into_list(answered);
    Ok(summary)
}

impl Options {
    /// Whether only a part of the capture is looked at.
    fn is_choosy(&self) -> bool {
        self.connection.is_some() || self.filter.is_some()
    }
}

/// What is known of a capture so far.
struct Look<'a> {
    options: &'a Options,
    summary: Summary,
    connections: Connections<'a>,
    fragments: Fragments,
    lookups: Lookups,
    /// Connections that are over.
    shelf: Shelf,
    /// Exchanges of those that the summary keeps.
    exchanges: usize,
    /// Some request was answered.
    answered: bool,
    /// The time of the first packet.
    first: Option<Duration>,
}

impl Look<'_> {
    /// Connections that are over go to `each`, and the first of them into the summary.
    fn hand_on(&mut self, all: bool, each: &mut dyn FnMut(Seen<'_>)) {
        self.connections.ready.drain(..).for_each(|connection| self.shelf.add(connection));
        while let Some(mut connection) = self.shelf.next(all) {
            each(Seen::Connection(&connection));
            self.summary.totals.add(&connection);
            self.answered |= connection.exchanges.iter().any(|e| e.progress == Progress::Complete);
            if connection.ordinal <= self.options.keep {
                let room = self.options.keep.saturating_mul(4).saturating_sub(self.exchanges);
                connection.more_exchanges += connection.exchanges.len().saturating_sub(room) as u64;
                connection.exchanges.truncate(room);
                self.exchanges += connection.exchanges.len();
                self.summary.connections.push(connection);
            }
        }
    }

    fn packet(&mut self, packet: &read::Packet<'_>, frame: u64, each: &mut dyn FnMut(Seen<'_>)) {
        let summary = &mut self.summary;
        summary.packets += 1;
        summary.bytes += u64::from(packet.length);
        let start = *self.first.get_or_insert(packet.at);
        let at = packet.at.saturating_sub(start);
        summary.lasted = summary.lasted.max(at);
        if let Some(stated) = packet.stated {
            count(&mut summary.words, stated.why, stated.sent);
        }
        let mut decoded = decode::packet(packet.link, packet.data, packet.length);
        let whole;
        if let Decoded::Fragment(fragment) = &decoded {
            match self.fragments.add(at, fragment) {
                None => return,
                Some(done) => whole = done,
            }
            summary.reassembled += 1;
            decoded = decode::carried_by(whole.0, &whole.1);
        }
        match decoded {
            Decoded::Tcp(segment, sum) => {
                summary.cut_headers += u64::from(segment.cut);
                summary.cut_payloads +=
                    u64::from(!segment.cut && segment.payload.len() < segment.len as usize);
                let stated = packet.stated.filter(|_| !self.options.infer);
                let place = self.connections.add(at, frame, &segment, sum, stated);
                self.hand_on(false, each);
                let Some(place) = place else {
                    self.summary.beyond += 1;
                    return;
                };
                let Some(inferred) = place.why else { return };
                each(Seen::Packet(Caused {
                    frame,
                    at,
                    connection: place.connection,
                    data: packet.data,
                    stated: packet.stated.map(|s| s.why),
                    sentence: packet.stated.map_or("", |s| s.sentence),
                    sent: packet.stated.is_some_and(|s| s.sent),
                    numbers: packet.stated.and_then(|s| s.numbers),
                    segment: &segment,
                    from_client: place.from_client,
                    held: place.held,
                    lost: place.lost,
                    earlier: place.earlier,
                    doubled: place.doubled,
                    inferred,
                }));
            }
            Decoded::Dns(dns) => {
                summary.not_tcp += 1;
                // Nobody knows for which connection a name was looked up.
                if !self.options.is_choosy() {
                    self.lookups.add(at, frame, &dns, &mut self.connections.findings);
                }
            }
            Decoded::TooBig(told) => {
                summary.not_tcp += 1;
                self.connections.too_big(at, &told);
            }
            Decoded::Other | Decoded::Fragment(_) => summary.not_tcp += 1,
            Decoded::Broken => summary.undecoded += 1,
        }
    }
}

fn count(words: &mut BTreeMap<String, WordCount>, word: &str, sent: bool) {
    let key = if words.contains_key(word) || words.len() < MAX_WORDS { word } else { "other" };
    // Looking up before inserting keeps the common case free of allocation.
    let entry = match words.get_mut(key) {
        Some(entry) => entry,
        None => words.entry(key.to_owned()).or_default(),
    };
    if sent { entry.sent += 1 } else { entry.received += 1 }
}

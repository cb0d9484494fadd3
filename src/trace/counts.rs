//! How often was each word said? Counts that are always kept.

use super::record::{Direction, PacketRecord, Why};
use std::fmt;

/// The word under which an acknowledgment that rode along is counted.
pub const PIGGYBACK: &str = "ack-piggyback";

/// Packets of the wire by word (`why=` words and drops): what `run` prints at its end.
///
/// A segment whose data carried an acknowledgment is counted under its own word and under [`PIGGYBACK`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Word, direction, packets; each pair of word and direction once.
    pub rows: Vec<(&'static str, Direction, u64)>,
}

impl Counts {
    /// Counts one record.
    pub(super) fn count(&mut self, packet: &PacketRecord<'_>) {
        self.add(packet.why.word(), packet.direction, packet.wire_packets().into());
        if let Why::Sent(cause) = packet.why
            && cause.piggyback().is_some()
        {
            self.add(PIGGYBACK, packet.direction, 1);
        }
    }

    fn add(&mut self, word: &'static str, direction: Direction, n: u64) {
        // A few dozen rows at most, the frequent ones in front: one is found faster than a hash is computed, and most often by where its
        // word is.
        let same = |(w, d, _): &(&'static str, Direction, u64)| *d == direction && std::ptr::eq(*w, word);
        let equal = |(w, d, _): &(&'static str, Direction, u64)| *d == direction && *w == word;
        match self.rows.iter().position(same).or_else(|| self.rows.iter().position(equal)) {
            Some(at) => {
                self.rows[at].2 += n;
                if at > 0 && self.rows[at - 1].2 < self.rows[at].2 {
                    self.rows.swap(at - 1, at);
                }
            }
            None => self.rows.push((word, direction, n)),
        }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Counts) {
        for &(word, direction, n) in &other.rows {
            self.add(word, direction, n);
        }
    }

    /// How often `word` was counted in `direction`.
    pub fn of(&self, word: &str, direction: Direction) -> u64 {
        self.rows.iter().find(|(w, d, _)| *d == direction && *w == word).map_or(0, |(.., n)| *n)
    }

    /// The same rows: sent before received, then the most frequent first, then by word.
    pub fn sorted(mut self) -> Counts {
        self.rows.sort_by(|a, b| (b.1, b.2, a.0).cmp(&(a.1, a.2, b.0)));
        self
    }
}

/// One line per direction: `sent: data 12, ack-every 4`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.clone().sorted();
        for (direction, title) in [(Direction::Out, "sent"), (Direction::In, "received")] {
            let mut rows = sorted.rows.iter().filter(|r| r.1 == direction).peekable();
            if rows.peek().is_none() {
                continue;
            }
            for (nth, (word, _, n)) in rows.enumerate() {
                match nth {
                    0 => write!(f, "{title}: {word} {n}")?,
                    _ => write!(f, ", {word} {n}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

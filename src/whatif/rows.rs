//! What do the links say that they did? Rows between the packets, as the simulator writes them.

use crate::seq::Seq;
use std::net::SocketAddr;

/// What a link did to a TCP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row<'a> {
    /// `lost`, `queue-full`, `reordered` …
    pub word: &'a str,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub seq: Seq,
    /// Bytes of data.
    pub len: u32,
    pub syn: bool,
    pub fin: bool,
}

impl<'a> Row<'a> {
    /// `link: lost, 1448 bytes 7001..8449 from A to B`, or `… a segment without data (SYN, seq 7) from A to B`.
    pub fn read(text: &'a str) -> Option<Row<'a>> {
        let (word, rest) = text.strip_prefix("link: ").and_then(|t| t.split_once(", "))?;
        let rest = rest.strip_prefix("one bit of ").unwrap_or(rest);
        let (what, ends) = rest.split_once(" from ")?;
        let (from, to) = ends.split_once(" to ")?;
        let to = to.split(' ').next().unwrap_or(to).trim_end_matches([':', ',']);
        let number = |text: &str| text.parse::<u32>().ok().map(Seq);
        let (seq, len) = match what.split_once(" bytes ") {
            Some((len, range)) => (range.split("..").next().and_then(number), len.parse().ok()?),
            None => {
                let seq = what.split("seq ").nth(1).and_then(|t| t.trim_end_matches(')').split(' ').next());
                (seq.and_then(number), 0)
            }
        };
        Some(Row {
            word,
            from: from.parse().ok()?,
            to: to.parse().ok()?,
            seq: seq?,
            len,
            syn: len == 0 && what.contains("SYN"),
            fin: len == 0 && what.contains("FIN"),
        })
    }

    /// A segment that does nothing but acknowledge.
    pub fn is_bare(&self) -> bool {
        self.len == 0 && !self.syn && !self.fin
    }

    /// It never arrived, or not as it was sent.
    pub fn is_loss(&self) -> bool {
        self.is_chance()
            || matches!(self.word, "queue-full" | "too-big" | "dropped-by-rule" | "reset-by-rule")
    }

    /// The link's dice, or its list, took it away.
    pub fn is_chance(&self) -> bool {
        matches!(self.word, "lost" | "lost-nth" | "corrupted")
    }

    /// It arrives when later ones have, or later than they do.
    pub fn is_late(&self) -> bool {
        matches!(self.word, "reordered" | "delayed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_done_to_which_packet() {
        let row = Row::read("link: lost-nth, 1448 bytes 7001..8449 from 10.0.0.1:80 to 10.0.0.2:4000: segment 5 with data in this direction").unwrap();
        assert_eq!((row.word, row.seq, row.len, row.to.port()), ("lost-nth", Seq(7001), 1448, 4000));
        assert!(row.is_chance() && !row.is_bare());
        let row = Row::read("link: reordered, a segment without data (FIN|ACK, seq 9) from [fd77::1]:80 to [fd77::2]:4000 will arrive behind later packets").unwrap();
        assert_eq!((row.seq, row.fin, row.syn, row.from.port()), (Seq(9), true, false, 80));
        let row =
            Row::read("link: corrupted, one bit of 5 bytes 1..6 from 10.0.0.1:80 to 10.0.0.2:4000").unwrap();
        assert!(row.is_loss() && row.len == 5);
        for text in
            ["", "tcp: lost, x", "link: lost, a packet of 60 bytes", "link: lost, 5 bytes a..b from c to d"]
        {
            assert_eq!(Row::read(text), None, "{text}");
        }
    }
}

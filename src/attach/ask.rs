//! What can be asked? A line of JSON, and which sockets it means.

use super::select::Select;
use crate::stack::{Role, Standing};
use serde_json::{Map, Value, json};

/// So many sockets can be sorted; unsorted there is no limit.
pub const MOST_SORTED: usize = 10_000;

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// The sockets of the moment.
    Sockets {
        /// Which.
        select: Select,
        /// In this order and not more than so many, after those that are left out; without one as they come, all.
        sorted: Option<Sorted>,
        /// With all that Linux tells of a connection.
        tcp_info: bool,
    },
    /// All packets and events from now on, as pcapng.
    Capture {
        /// Bytes of each packet; 0 for all.
        snaplen: u32,
    },
}

/// An order, and a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sorted {
    /// By what.
    pub key: SortKey,
    /// The other way round.
    pub reverse: bool,
    /// So many are left out first.
    pub skip: usize,
    /// So many follow.
    pub most: usize,
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident $word:literal,)*) => {
        /// What sockets are sorted by: the largest first, but numbers in their order.
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub enum SortKey { $($(#[$doc])* $name,)* }

        impl SortKey {
            /// All of them.
            pub const ALL: &[SortKey] = &[$(SortKey::$name),*];

            /// Its word.
            pub fn word(self) -> &'static str {
                match self { $(SortKey::$name => $word,)* }
            }
        }
    };
}

keys! {
    /// The connection's number, which is the order in which they began.
    #[default]
    Number "number",
    /// The state, in Linux' order.
    State "state",
    /// Bytes of the congestion window.
    Cwnd "cwnd",
    /// Bytes in flight.
    Flight "flight",
    /// The peer's window.
    Rwnd "rwnd",
    /// Bytes written and not sent.
    Unsent "unsent",
    /// The smoothed round-trip time.
    Srtt "srtt",
    /// Segments sent again.
    Again "again",
    /// Bytes sent and received.
    Bytes "bytes",
    /// How long it has been there.
    Age "age",
}

impl SortKey {
    /// The key of a word.
    pub fn named(word: &str) -> Option<SortKey> {
        SortKey::ALL.iter().copied().find(|key| key.word() == word)
    }

    /// What comes first has the smallest rank; the number decides between equals.
    pub(super) fn rank(self, standing: &Standing) -> (u64, u32) {
        let number = standing.number.unwrap_or(0);
        let Role::Connection(doing) = &standing.role else {
            let last = if self == SortKey::Number { u64::from(number) } else { u64::MAX };
            return (last, number);
        };
        let (now, info) = (&doing.snapshot, &doing.info);
        let largest = |n: u64| u64::MAX - 1 - n.min(u64::MAX - 1);
        let rank = match self {
            SortKey::Number => number.into(),
            SortKey::State => info.state.into(),
            SortKey::Cwnd => largest(now.cwnd.into()),
            SortKey::Flight => largest(now.flight.into()),
            SortKey::Rwnd => largest(now.rwnd.into()),
            SortKey::Unsent => largest(now.unsent.into()),
            SortKey::Srtt => largest(now.srtt.map_or(0, |t| t.as_micros() as u64)),
            SortKey::Again => largest(info.total_retrans.into()),
            SortKey::Bytes => largest(info.bytes_sent.saturating_add(info.bytes_received)),
            SortKey::Age => largest(doing.ledger.total().as_micros() as u64),
        };
        (rank, number)
    }
}

impl Ask {
    /// The line that asks it.
    pub fn line(&self) -> String {
        let value = match self {
            Ask::Sockets { select, sorted, tcp_info } => {
                let mut value =
                    json!({ "ask": "sockets", "filter": select.to_string(), "tcp_info": tcp_info });
                if let Some(Sorted { key, reverse, skip, most }) = sorted {
                    value["sort"] = key.word().into();
                    value["reverse"] = (*reverse).into();
                    value["skip"] = (*skip).into();
                    value["most"] = (*most).into();
                }
                value
            }
            Ask::Capture { snaplen } => json!({ "ask": "capture", "snaplen": snaplen }),
        };
        format!("{value}\n")
    }

    /// What a line asks.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn read(line: &str) -> Result<Ask, String> {
        let value: Value =
            serde_json::from_str(line).map_err(|e| format!("a question is a line of JSON: {e}"))?;
        let Value::Object(mut fields) = value else { return Err("a question is an object".into()) };
        let ask = match text(&mut fields, "ask")?.as_deref() {
            Some("sockets") => {
                let filter = text(&mut fields, "filter")?.unwrap_or_default();
                let select = filter.parse::<Select>().map_err(|e| e.to_string())?;
                let tcp_info = truth(&mut fields, "tcp_info")?;
                Ask::Sockets { select, sorted: sorted(&mut fields)?, tcp_info }
            }
            Some("capture") => {
                let snaplen = number(&mut fields, "snaplen")?.unwrap_or(0);
                Ask::Capture { snaplen: u32::try_from(snaplen).unwrap_or(0) }
            }
            _ => return Err("\"ask\" is \"sockets\" or \"capture\"".into()),
        };
        match fields.keys().next() {
            None => Ok(ask),
            Some(name) => Err(format!("{name:?} is not known")),
        }
    }
}

fn sorted(fields: &mut Map<String, Value>) -> Result<Option<Sorted>, String> {
    let key = text(fields, "sort")?;
    let (reverse, skip) = (truth(fields, "reverse")?, number(fields, "skip")?.unwrap_or(0));
    let most = number(fields, "most")?;
    if key.is_none() && most.is_none() {
        return Ok(None);
    }
    let key = match key {
        None => SortKey::default(),
        Some(word) => SortKey::named(&word).ok_or_else(|| {
            let words: Vec<&str> = SortKey::ALL.iter().map(|key| key.word()).collect();
            format!("nothing is sorted by {word:?}: take {}", words.join(", "))
        })?,
    };
    let most = most.unwrap_or(MOST_SORTED as u64 - skip.min(MOST_SORTED as u64));
    if skip.saturating_add(most) > MOST_SORTED as u64 {
        return Err(format!("{MOST_SORTED} sockets are sorted at most"));
    }
    Ok(Some(Sorted { key, reverse, skip: skip as usize, most: most as usize }))
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name:?} is a string")),
    }
}

fn truth(fields: &mut Map<String, Value>, name: &str) -> Result<bool, String> {
    fields.remove(name).map_or(Ok(false), |v| v.as_bool().ok_or(format!("{name:?} is true or false")))
}

fn number(fields: &mut Map<String, Value>, name: &str) -> Result<Option<u64>, String> {
    let value = fields.remove(name);
    value.map(|v| v.as_u64().ok_or(format!("{name:?} is a number from 0"))).transpose()
}

/// The first ones of an order, found among any number without keeping all of them.
pub(super) struct Best {
    sorted: Sorted,
    kept: Vec<((u64, u32), Standing)>,
}

impl Best {
    pub(super) fn new(sorted: Sorted) -> Best {
        Best { sorted, kept: Vec::new() }
    }

    pub(super) fn add(&mut self, standing: Standing) {
        let (rank, number) = self.sorted.key.rank(&standing);
        let rank = if self.sorted.reverse { (u64::MAX - rank, u32::MAX - number) } else { (rank, number) };
        self.kept.push((rank, standing));
        if self.kept.len() >= 2 * (self.sorted.skip + self.sorted.most).max(64) {
            self.thin();
        }
    }

    fn thin(&mut self) {
        self.kept.sort_by_key(|(rank, _)| *rank);
        self.kept.truncate(self.sorted.skip + self.sorted.most);
    }

    /// Those that were asked for, in their order.
    pub(super) fn take(mut self) -> impl Iterator<Item = Standing> {
        self.thin();
        self.kept.into_iter().skip(self.sorted.skip).map(|(_, standing)| standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn waiting(number: u32) -> Standing {
        let (local, remote) = (([10, 0, 0, 2], 80).into(), ([10, 0, 0, 1], 40_000).into());
        let role = Role::TimeWait { left: Duration::ZERO };
        Standing { number: Some(number), local, remote: Some(remote), role }
    }

    #[test]
    fn a_question_is_what_its_line_says() {
        let select: Select = "state all dport = :80".parse().unwrap();
        let sorted = Sorted { key: SortKey::Srtt, reverse: true, skip: 5, most: 20 };
        for ask in [
            Ask::Sockets { select: select.clone(), sorted: None, tcp_info: true },
            Ask::Sockets { select, sorted: Some(sorted), tcp_info: false },
            Ask::Capture { snaplen: 96 },
        ] {
            assert_eq!(Ask::read(&ask.line()), Ok(ask));
        }
        for (line, told) in [
            ("connections", "line of JSON"),
            ("[]", "an object"),
            ("{}", "\"ask\" is"),
            (r#"{"ask":"all"}"#, "\"ask\" is"),
            (r#"{"ask":7}"#, "is a string"),
            (r#"{"ask":"sockets","filter":"state x"}"#, "no state"),
            (r#"{"ask":"sockets","sort":"size"}"#, "number, state, cwnd"),
            (r#"{"ask":"sockets","most":10001}"#, "at most"),
            (r#"{"ask":"sockets","skip":18446744073709551615,"most":18446744073709551615}"#, "at most"),
            (r#"{"ask":"sockets","most":-1}"#, "a number from 0"),
            (r#"{"ask":"sockets","tcp_info":1}"#, "true or false"),
            (r#"{"ask":"capture","speed":1}"#, "\"speed\" is not known"),
        ] {
            let error = Ask::read(line).unwrap_err();
            assert!(error.contains(told), "{line}: {error}");
        }
    }

    #[test]
    fn the_first_of_many_are_found_without_keeping_them_all() {
        for reverse in [false, true] {
            let mut best = Best::new(Sorted { key: SortKey::Number, reverse, skip: 3, most: 4 });
            for n in 0..10_000_u32 {
                best.add(waiting(n.wrapping_mul(7919) % 10_000));
                assert!(best.kept.len() <= 128);
            }
            let numbers: Vec<u32> = best.take().filter_map(|it| it.number).collect();
            assert_eq!(numbers, if reverse { [9996, 9995, 9994, 9993] } else { [3, 4, 5, 6] });
        }
    }
}

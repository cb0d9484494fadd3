//! How do sums and numbers of a connection look in JSON, wherever they are told?

use crate::ledger::Parts;
use crate::tcp::Info;
use crate::time::Duration;
use serde_json::{Map, Value};

/// A ledger: microseconds by the word of their part, which sum up to the whole time. Parts that took none are left out.
pub fn ledger(parts: &Parts) -> Value {
    ledger_from(Duration::ZERO, parts)
}

/// The same of a span that begins at `start`, so that they sum up to the difference of its ends in whole microseconds.
pub fn ledger_from(start: Duration, parts: &Parts) -> Value {
    let parts = parts.micros_from(start).map(|(part, us)| (part.word().to_owned(), us.into()));
    parts.collect::<Map<_, _>>().into()
}

/// What Linux tells of a connection, under its names there, without `tcpi_`.
pub fn tcp_info(info: &Info) -> Value {
    info.fields().map(|(name, value)| (name.to_owned(), value.into())).collect::<Map<_, _>>().into()
}

//! What did the server do? Its exchanges, collected while it runs.

use super::output;
use serde_json::{Value, json};
use std::fmt::Write;
use tcpglass::report::{self, Style, plural};
use tcpglass::service::{Exchange, Tally};

/// Exchanges that are shown one by one; the rest is counted.
pub const SHOWN: usize = 10;

/// The time line of each exchange, as many as are shown, and a line on all.
pub fn text(tally: &Tally, style: Style) -> String {
    let origin = tally.first.iter().map(|e| e.started).min().unwrap_or_default();
    let mut out: String = tally.first.iter().map(|e| report::exchange(e, origin, style)).collect();
    let more = tally.exchanges - tally.first.len() as u64;
    if more > 0 {
        let _ = writeln!(out, "… and {more} more");
    }
    out + &totals(tally)
}

/// One line: how many exchanges, with which statuses, how many bytes.
pub fn totals(tally: &Tally) -> String {
    let statuses: Vec<String> =
        tally.by_status.iter().filter(|(s, _)| **s > 0).map(|(s, n)| format!("{n}×{s}")).collect();
    let mut line = plural(tally.exchanges, "exchange");
    if !statuses.is_empty() {
        line += &format!(" ({})", statuses.join(", "));
    }
    line += &format!(", {} of bodies sent", plural(tally.bytes, "byte"));
    if tally.aborted > 0 {
        line += &format!(", {} aborted", tally.aborted);
    }
    if tally.gave_way + tally.turned_away > 0 {
        let gave_way = plural(tally.gave_way, "connection");
        line += &format!(
            ", {gave_way} gave way to others at http.max_connections, {} turned away",
            tally.turned_away
        );
    }
    if tally.untold > 0 {
        line += &format!("; {} of them came too fast for a line of their own", tally.untold);
    }
    line + "\n"
}

/// For JSON: totals and the first exchanges.
pub fn object(tally: &Tally) -> Value {
    let statuses: serde_json::Map<_, _> =
        tally.by_status.iter().map(|(s, n)| (s.to_string(), (*n).into())).collect();
    json!({
        "exchanges": tally.exchanges,
        "bytes": tally.bytes,
        "aborted": tally.aborted,
        "gave_way": tally.gave_way,
        "turned_away": tally.turned_away,
        "by_status": statuses,
        "ledger_us": output::ledger(&tally.ledger),
        "first": tally.first.iter().map(one).collect::<Vec<_>>(),
    })
}

fn one(e: &Exchange) -> Value {
    let after = |at: Option<tcpglass::time::Instant>| at.map(|at| at.since(e.started).as_micros() as u64);
    json!({
        "connection": e.conn,
        "remote": e.remote.to_string(),
        "method": e.method,
        "target": e.target,
        "status": e.status,
        "bytes": e.bytes,
        "reused": e.reused,
        "request_done_us": after(e.request_done),
        "first_byte_us": after(e.first_byte),
        "last_byte_us": after(e.last_byte),
        "acked_us": after(e.acked),
        "total_us": e.ledger.total().as_micros() as u64,
        "ledger_us": output::ledger(&e.ledger),
    })
}

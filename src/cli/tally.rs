//! What did the server do? Its exchanges, collected while it runs.

use super::output;
use crossbeam_channel::Receiver;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tcpglass::ledger::Parts;
use tcpglass::report::{self, Style, plural};
use tcpglass::service::{Ended, Exchange};
use tcpglass::service::{HttpServer, Service};
use tcpglass::stack::{Owner, Stack};
use tcpglass::time::Instant;

/// Exchanges that are shown one by one; the rest is counted.
const SHOWN: usize = 10;

/// All exchanges of a run.
#[derive(Default)]
pub struct Tally {
    first: Vec<Exchange>,
    exchanges: u64,
    bytes: u64,
    by_status: BTreeMap<u16, u64>,
    aborted: u64,
    lost: u64,
    ledger: Parts,
}

/// Collects in a thread of its own until the server is gone; `each` sees every exchange. The service is to be run in
/// the server's place.
pub fn collect(
    mut server: HttpServer,
    mut each: impl FnMut(&Exchange) + Send + 'static,
) -> (Box<dyn Service>, JoinHandle<Tally>) {
    let exchanges: Receiver<Exchange> = server.exchanges();
    let lost = Arc::new(AtomicU64::new(0));
    let service = Watched { server, lost: lost.clone() };
    let thread = std::thread::spawn(move || {
        let mut tally = Tally::default();
        for exchange in exchanges {
            each(&exchange);
            tally.add(exchange);
        }
        tally.lost = lost.load(Ordering::Acquire);
        tally
    });
    (Box::new(service), thread)
}

/// A server that says how many exchanges it could not report because nobody took the others in time.
struct Watched {
    server: HttpServer,
    lost: Arc<AtomicU64>,
}

impl Service for Watched {
    fn owner(&self) -> Owner {
        self.server.owner()
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        self.server.poll(now, stack);
        self.lost.store(self.server.totals().exchanges_lost, Ordering::Release);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.server.next_deadline()
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        let done = self.server.drain(now, stack);
        self.lost.store(self.server.totals().exchanges_lost, Ordering::Release);
        done
    }
}

impl Tally {
    fn add(&mut self, exchange: Exchange) {
        self.exchanges += 1;
        self.bytes += exchange.bytes;
        self.ledger += exchange.ledger;
        self.aborted += u64::from(exchange.ended == Ended::Aborted);
        *self.by_status.entry(exchange.status).or_default() += 1;
        if self.first.len() < SHOWN {
            self.first.push(exchange);
        }
    }

    /// The time line of each exchange, as many as are shown, and a line on all.
    pub fn text(&self, style: Style) -> String {
        let origin = self.first.iter().map(|e| e.started).min().unwrap_or_default();
        let mut out: String = self.first.iter().map(|e| report::exchange(e, origin, style)).collect();
        let more = self.exchanges - self.first.len() as u64;
        if more > 0 {
            let _ = writeln!(out, "… and {more} more");
        }
        out + &self.totals()
    }

    /// One line: how many exchanges, with which statuses, how many bytes.
    pub fn totals(&self) -> String {
        let statuses: Vec<String> =
            self.by_status.iter().filter(|(s, _)| **s > 0).map(|(s, n)| format!("{n}×{s}")).collect();
        let mut line = plural(self.exchanges, "exchange");
        if !statuses.is_empty() {
            line += &format!(" ({})", statuses.join(", "));
        }
        line += &format!(", {} of bodies sent", plural(self.bytes, "byte"));
        if self.aborted > 0 {
            line += &format!(", {} aborted", self.aborted);
        }
        if self.lost > 0 {
            line += &format!("; {} more came too fast to be counted here", self.lost);
        }
        line + "\n"
    }

    /// For JSON: totals and the first exchanges.
    pub fn object(&self) -> Value {
        let statuses: serde_json::Map<_, _> =
            self.by_status.iter().map(|(s, n)| (s.to_string(), (*n).into())).collect();
        json!({
            "exchanges": self.exchanges,
            "bytes": self.bytes,
            "aborted": self.aborted,
            "uncounted": self.lost,
            "by_status": statuses,
            "ledger_us": output::ledger(&self.ledger),
            "first": self.first.iter().map(object).collect::<Vec<_>>(),
        })
    }
}

fn object(e: &Exchange) -> Value {
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

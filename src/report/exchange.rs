//! How does an HTTP exchange look, as the server or the client saw it?

use super::timeline::{phases, timeline};
use super::{Style, plural, printable};
use crate::service::{Ended, Exchange};
use crate::time::{Instant, Spoken};

/// A line on what was asked and answered, and a bar for each part of its ledger. `origin` is the time that
/// others count from.
pub fn exchange(exchange: &Exchange, origin: Instant, style: Style) -> String {
    let e = exchange;
    let asked = match e.method.as_str() {
        "" => "a request that was not understood".to_owned(),
        method => format!("{method} {}", printable(&e.target)),
    };
    let status = match e.status {
        0 => "no answer".to_owned(),
        status => format!("{status}, {}", plural(e.bytes, "byte")),
    };
    let ended = match e.ended {
        Ended::Kept | Ended::Closed => "",
        Ended::Refused => ", refused",
        Ended::Aborted => ", aborted",
    };
    let (phases, total) = (phases(&e.ledger), e.ledger.total());
    let reused = if e.reused { ", kept" } else { "" };
    let head = format!("{asked} → {status}{ended} in {}", Spoken(total));
    let place =
        format!("connection {}{reused}, from {}, at {}", e.conn, e.remote, Spoken(e.started.since(origin)));
    format!("{}  {}\n{}", style.bold(&head), style.dim(&place), timeline(&phases, total, style, "  "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Part, Parts};
    use crate::time::Duration;

    fn example() -> Exchange {
        let at = |micros| Some(Instant::from_micros(micros));
        let mut ledger = Parts::default();
        for (part, micros) in [(Part::Server, 100), (Part::Cwnd, 200), (Part::Link, 100)] {
            ledger.add(part, Duration::from_micros(micros));
        }
        Exchange {
            conn: 3,
            remote: "10.77.0.1:40000".parse().unwrap(),
            method: "GET".into(),
            target: "/bytes/10".into(),
            status: 200,
            bytes: 10,
            started: Instant::from_micros(1_000),
            request_done: at(1_000),
            first_byte: at(1_100),
            last_byte: at(1_300),
            acked: at(1_400),
            ledger,
            reused: false,
            ended: Ended::Kept,
        }
    }

    #[test]
    fn an_exchange_has_a_line_and_a_bar_for_each_part() {
        let text = exchange(&example(), Instant::ZERO, Style::PLAIN);
        assert!(text.starts_with("GET /bytes/10 → 200, 10 bytes in 400 µs  connection 3, from"), "{text}");
        let words: Vec<&str> = text.lines().skip(1).filter_map(|l| l.split_whitespace().next()).collect();
        assert_eq!(words, ["cwnd", "server", "link"]);
    }

    #[test]
    fn an_exchange_that_was_cut_off_shows_what_there_was() {
        let cut = Exchange {
            method: String::new(),
            target: String::new(),
            status: 0,
            request_done: None,
            first_byte: None,
            last_byte: None,
            acked: None,
            ledger: Parts::default(),
            ended: Ended::Aborted,
            ..example()
        };
        let text = exchange(&cut, Instant::ZERO, Style::PLAIN);
        assert!(text.starts_with("a request that was not understood → no answer, aborted in 0 ns"), "{text}");
    }
}

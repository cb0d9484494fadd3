//! How does an HTTP exchange look, as the server or the client saw it?

use super::timeline::{Phase, timeline};
use super::{Style, plural, printable};
use crate::service::{Ended, Exchange};
use crate::time::{Duration, Instant, Spoken};

/// A line on what was asked and answered, and a bar for each part of the time it took. `origin` is the time that
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
    let (phases, total) = phases(e);
    let reused = if e.reused { ", kept" } else { "" };
    let head = format!("{asked} → {status}{ended} in {}", Spoken(total));
    let place =
        format!("connection {}{reused}, from {}, at {}", e.conn, e.remote, Spoken(e.started.since(origin)));
    format!("{}  {}\n{}", style.bold(&head), style.dim(&place), timeline(&phases, total, style, "  "))
}

/// The parts of an exchange as a server sees it; what did not happen has no part.
fn phases(e: &Exchange) -> (Vec<Phase>, Duration) {
    let mut phases = Vec::new();
    let mut from = e.started;
    for (name, until) in [
        ("request", e.request_done),
        ("server", e.first_byte),
        ("transfer", e.last_byte),
        ("last ACK", e.acked),
    ] {
        let Some(until) = until else { continue };
        // The answer may begin before the request's body is complete: nothing is then left of `server`.
        let until = until.max(from);
        phases.push(Phase { name: name.to_owned(), start: from.since(e.started), length: until.since(from) });
        from = until;
    }
    (phases, from.since(e.started))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Option<Instant> {
        Some(Instant::from_micros(micros))
    }

    fn example() -> Exchange {
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
            reused: false,
            ended: Ended::Kept,
        }
    }

    #[test]
    fn the_parts_add_up_to_the_whole() {
        let (parts, total) = phases(&example());
        assert_eq!(total, Duration::from_micros(400));
        assert_eq!(parts.iter().map(|p| p.length).sum::<Duration>(), total);
        let text = exchange(&example(), Instant::ZERO, Style::PLAIN);
        assert!(text.starts_with("GET /bytes/10 → 200, 10 bytes in 400 µs  connection 3, from"), "{text}");
        assert_eq!(text.lines().count(), 4, "a request without a body takes no time: {text}");
    }

    #[test]
    fn an_answer_before_the_end_of_the_request_leaves_no_negative_part() {
        let early = Exchange { request_done: at(1_350), ..example() };
        let (parts, total) = phases(&early);
        assert_eq!(total, Duration::from_micros(400));
        assert_eq!(parts.iter().map(|p| p.length).sum::<Duration>(), total);
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
            ended: Ended::Aborted,
            ..example()
        };
        let text = exchange(&cut, Instant::ZERO, Style::PLAIN);
        assert!(text.starts_with("a request that was not understood → no answer, aborted in 0 ns"), "{text}");
    }
}

//! What happened in an exchange one after the other, by the client's own clock?

use crate::service::Timings;
use crate::time::Instant;

/// One step of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// What happened.
    pub what: &'static str,
    /// When it began, in microseconds after the exchange's start.
    pub start_us: u64,
    /// How long it took, in microseconds.
    pub us: u64,
}

/// The steps follow each other without a gap.
///
/// `wait` is the time from the request's last byte to the response's first: what of it the link took and what the server,
/// says the ledger.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Spans {
    /// In the order in which they happened; those that took no time are there, too, if they happened.
    pub steps: Vec<Span>,
    /// From the exchange's start to its end, in microseconds.
    pub total_us: u64,
}

/// The steps of an exchange; `end` is when it failed, if it did not end with the response's last byte.
pub fn spans(timings: &Timings, end: Option<Instant>) -> Spans {
    let t = timings;
    let Some(start) = t.start else { return Spans::default() };
    let mut all = Spans { steps: Vec::new(), total_us: 0 };
    let mut step = |what, until: Option<Instant>| {
        let Some(until) = until else { return };
        // Marks may overtake each other: a server may answer before the request is complete.
        let until = (until.since(start).as_micros() as u64).max(all.total_us);
        let us = until - all.total_us;
        if us > 0 || what != "queue" {
            all.steps.push(Span { what, start_us: all.total_us, us });
        }
        all.total_us = until;
    };
    step("recovery", t.again);
    step("name", t.name);
    // Without a wait for a port nothing lies between the name and the SYN but the stack's own turn.
    step(if t.port_wait.is_zero() { "queue" } else { "port-wait" }, t.connect_start);
    step("handshake", t.established);
    step("request", t.request_sent);
    step("wait", t.first_byte);
    step("transfer", t.last_byte);
    step("rest", end.filter(|_| t.last_byte.is_none()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn at(micros: u64) -> Option<Instant> {
        Some(Instant::from_micros(micros))
    }

    #[test]
    fn the_steps_sum_up_to_the_total_whatever_happened() {
        let full = Timings {
            ready: at(900),
            start: at(1_000),
            again: None,
            name: at(1_500),
            port_wait: Duration::ZERO,
            connect_start: at(1_500),
            established: at(101_500),
            request_sent: at(101_501),
            first_byte: at(201_700),
            last_byte: at(201_900),
        };
        let kept = Timings { name: None, connect_start: None, established: None, ..full };
        let again = Timings { again: at(51_000), ..kept };
        assert_eq!(spans(&again, None).steps[0], Span { what: "recovery", start_us: 0, us: 50_000 });
        let early = Timings { first_byte: at(101_499), ..full };
        let refused =
            Timings { established: None, request_sent: None, first_byte: None, last_byte: None, ..full };
        for (timings, end, total) in [
            (full, None, 200_900),
            (kept, None, 200_900),
            (again, None, 200_900),
            (early, None, 200_900),
            (refused, at(101_500), 100_500),
        ] {
            let all = spans(&timings, end);
            assert_eq!(all.total_us, total);
            assert_eq!(all.steps.iter().map(|c| c.us).sum::<u64>(), total, "{all:?}");
            let mut from = 0;
            for step in &all.steps {
                assert_eq!(step.start_us, from);
                from += step.us;
            }
        }
        assert_eq!(spans(&Timings::default(), None), Spans::default());
    }
}

//! Where did the time of an exchange go? A partition: every microsecond is charged once.

use crate::service::Timings;
use crate::time::Instant;

/// One part of an exchange's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charge {
    /// What the time went to.
    pub to: &'static str,
    /// When it began, in microseconds after the exchange's start.
    pub start_us: u64,
    /// How long it took, in microseconds.
    pub us: u64,
}

/// What the client's own clock knows of an exchange. The charges follow each other without a gap, so that they sum up
/// to the total exactly.
///
/// `wait` is the time from the request's last byte to the response's first: one round trip of the link and what the
/// server took, which cannot be told apart from this side.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ledger {
    /// In the order in which they happened; parts that took no time are there, too, if they happened.
    pub charges: Vec<Charge>,
    /// From the exchange's start to its end, in microseconds.
    pub total_us: u64,
}

/// The ledger of an exchange; `end` is when it failed, if it did not end with the response's last byte.
pub fn ledger(timings: &Timings, end: Option<Instant>) -> Ledger {
    let t = timings;
    let Some(start) = t.start else { return Ledger::default() };
    let mut ledger = Ledger { charges: Vec::new(), total_us: 0 };
    let mut charge = |to, until: Option<Instant>| {
        let Some(until) = until else { return };
        // Marks may overtake each other: a server may answer before the request is complete.
        let until = (until.since(start).as_micros() as u64).max(ledger.total_us);
        let us = until - ledger.total_us;
        if us > 0 || to != "queue" {
            ledger.charges.push(Charge { to, start_us: ledger.total_us, us });
        }
        ledger.total_us = until;
    };
    charge("name", t.name);
    // Without a wait for a port nothing lies between the name and the SYN but the stack's own turn.
    charge(if t.port_wait.is_zero() { "queue" } else { "port-wait" }, t.connect_start);
    charge("handshake", t.established);
    charge("request", t.request_sent);
    charge("wait", t.first_byte);
    charge("transfer", t.last_byte);
    charge("rest", end.filter(|_| t.last_byte.is_none()));
    ledger
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn at(micros: u64) -> Option<Instant> {
        Some(Instant::from_micros(micros))
    }

    #[test]
    fn the_charges_sum_up_to_the_total_whatever_happened() {
        let full = Timings {
            ready: at(900),
            start: at(1_000),
            name: at(1_500),
            port_wait: Duration::ZERO,
            connect_start: at(1_500),
            established: at(101_500),
            request_sent: at(101_501),
            first_byte: at(201_700),
            last_byte: at(201_900),
        };
        let kept = Timings { name: None, connect_start: None, established: None, ..full };
        let early = Timings { first_byte: at(101_499), ..full };
        let refused =
            Timings { established: None, request_sent: None, first_byte: None, last_byte: None, ..full };
        for (timings, end, total) in [
            (full, None, 200_900),
            (kept, None, 200_900),
            (early, None, 200_900),
            (refused, at(101_500), 100_500),
        ] {
            let ledger = ledger(&timings, end);
            assert_eq!(ledger.total_us, total);
            assert_eq!(ledger.charges.iter().map(|c| c.us).sum::<u64>(), total, "{ledger:?}");
            let mut from = 0;
            for charge in &ledger.charges {
                assert_eq!(charge.start_us, from);
                from += charge.us;
            }
        }
        assert_eq!(ledger(&Timings::default(), None), Ledger::default());
    }
}

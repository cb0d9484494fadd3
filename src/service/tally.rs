//! What did a server do? Its exchanges, handed out one by one or counted.

use super::exchange::{Ended, Exchange};
use crate::ledger::Parts;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Finished exchanges that wait to be looked at.
const EXCHANGES: usize = 8192;

/// All exchanges of a server, counted as they end.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// The first ones, as many as were asked for.
    pub first: Vec<Exchange>,
    /// How many there were.
    pub exchanges: u64,
    /// Bytes of response bodies.
    pub bytes: u64,
    /// How many had which status; 0 is for those that ended without one.
    pub by_status: BTreeMap<u16, u64>,
    /// Those that ended before their response was complete.
    pub aborted: u64,
    /// Connections that gave way to others at `http.max_connections`.
    pub gave_way: u64,
    /// Those that found no place there and were answered 503.
    pub turned_away: u64,
    /// Those that nobody took in time who had asked for [each](super::HttpServer::exchanges); they are counted here.
    pub untold: u64,
    /// Where the time of all went.
    pub ledger: Parts,
}

/// Who wants to know of exchanges.
#[derive(Default)]
pub(super) struct Reports {
    channel: Option<(Sender<Exchange>, Receiver<Exchange>)>,
    tally: Option<Arc<Mutex<Tally>>>,
    /// Exchanges that the tally keeps whole from now on.
    keeps: usize,
    /// Those that nobody took in time.
    pub lost: u64,
}

impl Reports {
    /// Every exchange from now on, while somebody takes them.
    pub fn channel(&mut self) -> Receiver<Exchange> {
        self.channel.get_or_insert_with(|| bounded(EXCHANGES)).1.clone()
    }

    /// Counts all from now on and keeps the first `shown`.
    pub fn tally(&mut self, shown: usize) -> Arc<Mutex<Tally>> {
        Arc::clone(self.tally.get_or_insert_with(|| {
            self.keeps = shown;
            Arc::default()
        }))
    }

    /// Whether anybody wants to know.
    pub fn are_wanted(&self) -> bool {
        self.channel.is_some() || self.tally.is_some()
    }

    /// Whether an exchange that begins now is to know its method and target.
    pub fn want_names(&self) -> bool {
        self.channel.is_some() || self.keeps > 0
    }

    /// A connection has given way to others.
    pub fn gave_way(&self) {
        self.tally.iter().for_each(|tally| lock(tally).gave_way += 1);
    }

    /// One has found no place.
    pub fn turned_away(&self) {
        self.tally.iter().for_each(|tally| lock(tally).turned_away += 1);
    }

    /// An exchange has ended.
    pub fn hand_out(&mut self, exchange: Exchange) {
        if let Some(tally) = &self.tally {
            let mut tally = lock(tally);
            tally.add(&exchange);
            if self.keeps > 0 {
                self.keeps -= 1;
                tally.first.push(exchange.clone());
            }
        }
        if let Some((sender, _)) = &self.channel
            && let Err(TrySendError::Full(_)) = sender.try_send(exchange)
        {
            self.lost += 1;
            if let Some(tally) = &self.tally {
                lock(tally).untold += 1;
            }
        }
    }
}

impl Tally {
    fn add(&mut self, exchange: &Exchange) {
        self.exchanges += 1;
        self.bytes += exchange.bytes;
        self.ledger += exchange.ledger;
        self.aborted += u64::from(exchange.ended == Ended::Aborted);
        *self.by_status.entry(exchange.status).or_default() += 1;
    }

    /// Adds what another server did, of whose first exchanges and these the first `shown` are kept.
    pub fn merge(&mut self, other: &Tally, shown: usize) {
        self.exchanges += other.exchanges;
        self.bytes += other.bytes;
        self.ledger += other.ledger;
        self.aborted += other.aborted;
        self.gave_way += other.gave_way;
        self.turned_away += other.turned_away;
        self.untold += other.untold;
        for (&status, n) in &other.by_status {
            *self.by_status.entry(status).or_default() += n;
        }
        self.first.extend_from_slice(&other.first);
        self.first.sort_by_key(|exchange| exchange.started);
        self.first.truncate(shown);
    }
}

/// Nobody leaves half a count behind.
fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use std::net::SocketAddr;

    fn exchange(status: u16, ended: Ended) -> Exchange {
        Exchange {
            conn: 1,
            remote: SocketAddr::from(([10, 0, 0, 1], 1)),
            method: String::new(),
            target: String::new(),
            status,
            bytes: 7,
            started: crate::time::Instant::ZERO,
            request_done: None,
            first_byte: None,
            last_byte: None,
            acked: None,
            ledger: Parts { link: Duration::from_micros(3), ..Parts::default() },
            reused: false,
            ended,
        }
    }

    #[test]
    fn all_are_counted_and_the_first_are_kept() {
        let mut reports = Reports::default();
        assert!(!reports.are_wanted());
        let tally = reports.tally(2);
        for status in [200, 200, 404, 200] {
            assert_eq!(reports.want_names(), lock(&tally).first.len() < 2);
            reports.hand_out(exchange(status, Ended::Kept));
        }
        reports.hand_out(exchange(0, Ended::Aborted));
        let tally = lock(&tally);
        assert_eq!((tally.exchanges, tally.bytes, tally.aborted), (5, 35, 1));
        assert_eq!(tally.by_status.clone().into_iter().collect::<Vec<_>>(), [(0, 1), (200, 3), (404, 1)]);
        assert_eq!(tally.ledger.link, Duration::from_micros(15));
        assert_eq!(tally.first.len(), 2);
        assert_eq!(reports.lost, 0, "nobody has to take them");
        let mut both = Tally::default();
        both.merge(&tally, 3);
        both.merge(&tally, 3);
        assert_eq!((both.exchanges, both.bytes, both.aborted, both.first.len()), (10, 70, 2, 3));
        assert_eq!((both.by_status[&200], both.ledger.link), (6, Duration::from_micros(30)));
    }

    #[test]
    fn what_nobody_takes_in_time_is_counted_as_lost() {
        let mut reports = Reports::default();
        let (taker, tally) = (reports.channel(), reports.tally(1));
        reports.tally(7);
        for _ in 0..EXCHANGES + 3 {
            reports.hand_out(exchange(200, Ended::Kept));
        }
        assert_eq!((reports.lost, taker.len()), (3, EXCHANGES));
        let tally = lock(&tally);
        assert_eq!((tally.untold, tally.exchanges), (3, EXCHANGES as u64 + 3));
        assert_eq!(tally.first.len(), 1, "as the first caller said");
    }
}

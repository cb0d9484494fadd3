//! How much of what all connections share is left? Memory, the device's queue, and challenge ACKs per second.

use super::isn::Secrets;
use crate::tcp::{Config, Conn, Pressure, Surroundings};
use crate::time::{Duration, Instant};

/// What the connections of a stack share.
pub(super) struct Limits {
    /// Bytes of buffer memory that connections hold.
    memory: u64,
    /// Memory has become short, and is until it is half free again.
    short: bool,
    standing: Standing,
    /// The second that `challenges` is about, and how many are left in it.
    second: u64,
    challenges: u32,
    /// Somebody else holds the last packet that came.
    pub watched: bool,
}

/// How long a round of the device's queue is: what does not empty it so long will not do so by itself.
const ROUND: Duration = Duration::from_millis(5);

/// The least share of the queue: two of the largest super-segments.
const LEAST_SHARE: u32 = 128 << 10;

/// Whether packets wait for this stack all the time. Then it is the bottleneck, and larger windows only make them wait
/// longer and the peers' round trips with them, until their segments come in small pieces. In rounds without an empty
/// queue all who receive share what may wait; each round in which it was empty doubles that.
struct Standing {
    until: Instant,
    /// The queue was empty once in this round.
    empty: bool,
    /// The number of the round, and how many connections received data in it.
    round: u8,
    receivers: u32,
    /// The largest window.
    share: u32,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing { until: Instant::ZERO, empty: true, round: 1, receivers: 0, share: u32::MAX }
    }
}

impl Standing {
    fn turn(&mut self, now: Instant, empty: bool, limit: Option<u64>) {
        self.empty |= empty;
        if now < self.until {
            return;
        }
        self.share = match limit {
            // A round that nobody looked at for long was not one.
            Some(most) if !self.empty && now < self.until + ROUND => {
                let fair = most / u64::from(self.receivers.max(1));
                u32::try_from(fair).unwrap_or(u32::MAX).max(LEAST_SHARE)
            }
            _ => self.share.saturating_mul(2),
        };
        (self.until, self.empty, self.receivers) = (now + ROUND, empty, 0);
        self.round = self.round.wrapping_add(1);
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: 0,
            short: false,
            standing: Standing::default(),
            second: u64::MAX,
            challenges: 0,
            watched: false,
        }
    }
}

impl Limits {
    /// A connection that held `held` bytes of buffers when last looked at is looked at again.
    pub fn account(&mut self, held: &mut u32, conn: &Conn, limit: Option<u64>) {
        let memory = conn.memory() as u32;
        if memory != *held {
            self.account_bytes(std::mem::replace(held, memory), memory, limit);
        }
    }

    /// A connection that held `before` bytes of buffers holds `after`.
    pub fn account_bytes(&mut self, before: u32, after: u32, limit: Option<u64>) {
        self.memory = self.memory - u64::from(before) + u64::from(after);
        // Like Linux' tcp_mem: pressure begins at two thirds of the most and ends at half of it.
        self.short = limit.is_some_and(|most| {
            let threshold = if self.short { most / 2 } else { most / 3 * 2 };
            self.memory > threshold
        });
    }

    /// A connection receives data; `round` is the last one in which it did so before.
    pub fn receives(&mut self, round: &mut u8) {
        if std::mem::replace(round, self.standing.round) != self.standing.round {
            self.standing.receivers += 1;
        }
    }

    /// The device was asked for packets; `empty`: it had no more.
    pub fn turn(&mut self, now: Instant, empty: bool, cfg: &Config) {
        self.standing.turn(now, empty, cfg.standing_queue);
    }

    /// Bytes of buffer memory that connections hold.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// What a connection has to know now.
    pub fn surroundings(&mut self, now: Instant, cfg: &Config, secrets: &Secrets) -> Surroundings {
        let pressure = match cfg.memory {
            Some(most) if self.memory >= most => Pressure::Spent,
            _ if self.short => Pressure::Short,
            _ => Pressure::Calm,
        };
        Surroundings {
            pressure,
            share: self.standing.share,
            watched: self.watched,
            challenges: self.may_challenge(now, cfg, secrets),
        }
    }

    /// Whether one more challenge ACK may be sent in this second: half of the limit and a secret number up to all of it, so that nobody
    /// can tell by what is left of it how many were spent on others (RFC 5961 §7, CVE-2016-5696).
    pub fn may_challenge(&mut self, now: Instant, cfg: &Config, secrets: &Secrets) -> bool {
        let Some(limit) = cfg.challenge_limit else { return true };
        let second = now.as_millis() / 1000;
        if second != self.second {
            let limit = limit.min(u32::MAX / 2);
            let jitter = secrets.of_second(second) % u64::from(limit.max(1));
            (self.second, self.challenges) = (second, limit.div_ceil(2) + jitter as u32);
        }
        self.challenges > 0
    }

    /// A challenge ACK is sent.
    pub fn challenged(&mut self, cfg: &Config) {
        if cfg.challenge_limit.is_some() {
            self.challenges = self.challenges.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_begins_at_two_thirds_and_ends_at_half() {
        let cfg = Config { memory: Some(900), ..Config::linux() };
        let mut limits = Limits::default();
        let mut held = 0;
        for (bytes, pressure) in [
            (600, Pressure::Calm),
            (601, Pressure::Short),
            (451, Pressure::Short),
            (450, Pressure::Calm),
            (899, Pressure::Short),
            (900, Pressure::Spent),
            (0, Pressure::Calm),
        ] {
            limits.account_bytes(std::mem::replace(&mut held, bytes), bytes, cfg.memory);
            assert_eq!(
                limits.surroundings(Instant::ZERO, &cfg, &Secrets::new(1)).pressure,
                pressure,
                "{bytes}"
            );
        }
    }

    #[test]
    fn challenges_per_second_are_limited_and_nobody_knows_to_how_many() {
        let cfg = Config { challenge_limit: Some(100), ..Config::linux() };
        let (mut limits, secrets) = (Limits::default(), Secrets::new(3));
        let mut counts = Vec::new();
        for second in 0..50 {
            let now = Instant::from_millis(500) + Duration::from_secs(second);
            let mut count = 0;
            while limits.may_challenge(now, &cfg, &secrets) {
                limits.challenged(&cfg);
                count += 1;
            }
            counts.push(count);
        }
        assert!(counts.iter().all(|n| (50..150).contains(n)), "{counts:?}");
        counts.sort_unstable();
        counts.dedup();
        assert!(counts.len() > 20, "{counts:?}");
    }

    #[test]
    fn while_the_queue_never_empties_those_who_receive_share_it_and_windows_come_back_with_empty_ones() {
        let cfg = Config { standing_queue: Some(1 << 20), ..Config::linux() };
        let (mut limits, secrets, mut now) = (Limits::default(), Secrets::new(1), Instant::from_millis(7));
        let mut rounds = [0; 4];
        let mut round = |limits: &mut Limits, empty| {
            for _ in 0..10 {
                now += Duration::from_millis(1);
                rounds.iter_mut().for_each(|round| limits.receives(round));
                limits.turn(now, empty, &cfg);
            }
            limits.surroundings(now, &cfg, &secrets).share
        };
        assert_eq!(round(&mut limits, true), u32::MAX);
        assert_eq!(round(&mut limits, false), 256 << 10, "four share a megabyte");
        assert_eq!(round(&mut limits, false), 256 << 10);
        assert!(round(&mut limits, true) > 256 << 10);
        for _ in 0..10 {
            round(&mut limits, true);
        }
        assert_eq!(round(&mut limits, true), u32::MAX);
    }
}

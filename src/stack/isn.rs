//! Which numbers must an outsider be unable to guess? Sequence numbers, time stamp offsets, ports.

use super::addrs::{Flow, octets};
use crate::seq::Seq;
use crate::tcp::fast_open::Keys;
use crate::time::Instant;
use siphasher::sip::{SipHasher13, SipHasher24};
use std::net::{IpAddr, SocketAddr};

/// Keyed hashes, one per purpose, all from the stack's seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secrets {
    seed: u64,
}

/// What a hash is for: the second half of its key, so that one never tells about another.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Purpose {
    Isn = 1,
    Timestamp = 2,
    PortOffset = 3,
    PortIndex = 4,
    Table = 5,
    Host = 6,
    Cookie = 7,
    CookieMinute = 8,
    Second = 9,
    FastOpen = 10,
}

impl Secrets {
    pub fn new(seed: u64) -> Secrets {
        Secrets { seed }
    }

    fn hasher(&self, purpose: Purpose) -> SipHasher24 {
        SipHasher24::new_with_keys(self.seed, purpose as u64)
    }

    /// F of RFC 9293 §3.4.1: nobody without the seed can compute it (MUST-9).
    fn of_flow(&self, purpose: Purpose, flow: &Flow) -> u64 {
        self.hasher(purpose).hash(&flow.bytes())
    }

    /// ISN = M + F(local, remote, secret), M ticking every 4 µs (RFC 9293 §3.4.1, RFC 6528; MUST-8, SHLD-1).
    pub fn isn(&self, now: Instant, flow: &Flow) -> Seq {
        Seq((self.of_flow(Purpose::Isn, flow) as u32).wrapping_add((now.as_micros() / 4) as u32))
    }

    /// The offset of a flow's time stamp clock (RFC 7323 §5.4). It is the same for every incarnation of the flow,
    /// so that the next one's time stamps are newer than the last one's (RFC 6191).
    pub fn timestamp_offset(&self, flow: &Flow) -> u32 {
        self.of_flow(Purpose::Timestamp, flow) as u32
    }

    /// The secret part of a SYN cookie for `flow` and the peer's number, of one minute or, without one, of all.
    pub fn cookie(&self, flow: &Flow, irs: Seq, minute: Option<u64>) -> u32 {
        let mut bytes = [0; 48];
        bytes[..36].copy_from_slice(&flow.bytes());
        bytes[36..40].copy_from_slice(&irs.0.to_be_bytes());
        bytes[40..].copy_from_slice(&minute.unwrap_or(0).to_be_bytes());
        let purpose = if minute.is_some() { Purpose::CookieMinute } else { Purpose::Cookie };
        self.hasher(purpose).hash(&bytes) as u32
    }

    /// F and G of RFC 6056 §3.3.4: where a destination's walk through the port range begins, and which counter
    /// drives it.
    pub fn port_hashes(&self, local: IpAddr, remote: SocketAddr) -> (u64, u64) {
        let mut bytes = [0; 34];
        bytes[..16].copy_from_slice(&octets(local));
        bytes[16..32].copy_from_slice(&octets(remote.ip()));
        bytes[32..].copy_from_slice(&remote.port().to_be_bytes());
        (self.hasher(Purpose::PortOffset).hash(&bytes), self.hasher(Purpose::PortIndex).hash(&bytes))
    }

    /// What Fast Open cookies are made from, if nobody says what.
    pub fn fast_open_keys(&self) -> Keys {
        let half = |n: u8| self.hasher(Purpose::FastOpen).hash(&[n]);
        let primary = u128::from(half(0)) << 64 | u128::from(half(1));
        Keys { primary: primary.to_le_bytes(), backup: None }
    }

    /// A number for each second.
    pub fn of_second(&self, second: u64) -> u64 {
        self.hasher(Purpose::Second).hash(&second.to_be_bytes())
    }

    /// The seed of what answers pings and asks name servers.
    pub fn host_seed(&self) -> u64 {
        self.hasher(Purpose::Host).hash(&[])
    }

    /// The hasher of the flow table: a peer who chooses its ports cannot aim at one bucket.
    pub fn table(&self) -> TableHasher {
        TableHasher { seed: self.seed }
    }
}

/// SipHash-1-3 keyed by the seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableHasher {
    seed: u64,
}

impl TableHasher {
    pub fn hash(&self, flow: &Flow) -> u64 {
        let hasher = SipHasher13::new_with_keys(self.seed, Purpose::Table as u64);
        match flow.short() {
            Some(short) => hasher.hash(&short),
            None => hasher.hash(&flow.bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn flow(port: u16) -> Flow {
        Flow::new(([10, 0, 0, 2], port).into(), ([10, 0, 0, 1], 80).into())
    }

    #[test]
    fn isns_of_one_flow_tick_every_4_microseconds() {
        let secrets = Secrets::new(7);
        let start = secrets.isn(Instant::ZERO, &flow(1));
        assert_eq!(secrets.isn(Instant::ZERO + Duration::from_micros(400), &flow(1)).since(start), 100);
        assert_eq!(secrets.isn(Instant::ZERO + Duration::from_secs(1), &flow(1)).since(start), 250_000);
    }

    #[test]
    fn isns_differ_by_flow_and_by_seed_and_are_not_the_time_stamp_offsets() {
        let (a, b) = (Secrets::new(7), Secrets::new(8));
        assert_ne!(a.isn(Instant::ZERO, &flow(1)), a.isn(Instant::ZERO, &flow(2)));
        assert_ne!(a.isn(Instant::ZERO, &flow(1)), b.isn(Instant::ZERO, &flow(1)));
        assert_ne!(a.isn(Instant::ZERO, &flow(1)).0, a.timestamp_offset(&flow(1)));
        assert_eq!(a.isn(Instant::ZERO, &flow(1)), Secrets::new(7).isn(Instant::ZERO, &flow(1)));
    }
}

//! What has happened on this connection so far? The counts behind [`Info`](super::Info) that nothing else needs.

use super::tally::Tally;
use crate::time::{Duration, Instant};

/// What keeps a connection busy (Linux' chronograph): the first that applies, from below.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Busy {
    /// Nothing is to be sent and nothing is in flight.
    #[default]
    No,
    /// Data waits to be sent or acknowledged.
    Yes,
    /// The peer's window holds it back.
    PeerWindow,
    /// All that the send buffer can hold was sent and the application has more.
    SendBuffer,
}

/// Counts of a connection that may be there a hundred thousand times: what only trouble brings about is apart.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) segs_in: u32,
    pub(super) segs_out: u32,
    pub(super) data_segs_in: u32,
    pub(super) data_segs_out: u32,
    pub(super) bytes_acked: u64,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    /// When data last left.
    pub(super) data_sent_at: Instant,
    busy: Busy,
    /// Since when it is.
    since: Instant,
    /// How long nothing but the network held it back before `since`, µs.
    total: u64,
    rare: Option<Box<Rare>>,
}

/// What needs a loss, a repetition or a closed window.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Rare {
    pub(super) total_retrans: u32,
    /// When something doubtful was answered last.
    pub(super) last_challenge: Option<Instant>,
    pub(super) bytes_retrans: u64,
    /// ECN-capable data came although nobody had agreed on ECN.
    pub(super) capable: bool,
    pub(super) dsack_dups: u32,
    pub(super) rcv_ooopack: u32,
    pub(super) delivered_ce: u32,
    pub(super) total_rto: u16,
    pub(super) total_rto_recoveries: u16,
    total_rto_time: u64,
    /// When the present series of time-outs began.
    rto_since: Option<Instant>,
    rwnd_limited: u64,
    sndbuf_limited: u64,
    /// What was known of what was in flight when the connection ended.
    pub(super) at_end: Tally,
    /// What was not sent, bytes.
    pub(super) unsent_at_end: u32,
}

fn micros(d: Duration) -> u64 {
    d.as_micros() as u64
}

impl Counters {
    /// The counts that few connections have.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The same, to look at.
    pub(super) fn seen(&self) -> Rare {
        self.rare.as_deref().copied().unwrap_or_default()
    }

    /// `segments` came, with `len` bytes of data.
    pub(super) fn on_arrival(&mut self, segments: u16, len: u32) {
        let segments = u32::from(segments.max(1));
        self.segs_in = self.segs_in.wrapping_add(segments);
        if len > 0 {
            self.data_segs_in = self.data_segs_in.wrapping_add(segments);
        }
    }

    /// `segments` leave, with `len` bytes of data, `again` if not for the first time.
    pub(super) fn on_sent(&mut self, now: Instant, segments: u32, len: u32, again: bool) {
        self.segs_out = self.segs_out.wrapping_add(segments);
        if len > 0 {
            self.data_segs_out = self.data_segs_out.wrapping_add(segments);
            self.bytes_sent += u64::from(len);
            self.data_sent_at = now;
        }
        if again {
            let rare = self.rare();
            rare.total_retrans = rare.total_retrans.wrapping_add(segments);
            rare.bytes_retrans += u64::from(len);
        }
    }

    /// The retransmission timer expired, the first time in a row if `first`.
    pub(super) fn on_rto(&mut self, now: Instant, first: bool) {
        let rare = self.rare();
        rare.total_rto = rare.total_rto.saturating_add(1);
        if first {
            rare.total_rto_recoveries = rare.total_rto_recoveries.saturating_add(1);
            rare.rto_since = Some(now);
        }
    }

    /// What was in flight when the timer expired is acknowledged: a series of time-outs is over.
    pub(super) fn on_recovered(&mut self, now: Instant) {
        if let Some(rare) = self.rare.as_deref_mut()
            && let Some(since) = rare.rto_since.take()
        {
            rare.total_rto_time += now.since(since).as_millis() as u64;
        }
    }

    /// From now on it is busy in this way.
    pub(super) fn note_busy(&mut self, now: Instant, busy: Busy) {
        if busy == self.busy {
            return;
        }
        let time = micros(now.since(self.since));
        match self.busy {
            Busy::No => {}
            Busy::Yes => self.total += time,
            Busy::PeerWindow => self.rare().rwnd_limited += time,
            Busy::SendBuffer => self.rare().sndbuf_limited += time,
        }
        (self.busy, self.since) = (busy, now);
    }

    /// Microseconds for which it was busy in all, held back by the peer's window, and by the size of the send buffer.
    pub(super) fn busy_times(&self, now: Instant) -> [u64; 3] {
        let mut rare = self.seen();
        let mut plain = self.total;
        let time = micros(now.since(self.since));
        match self.busy {
            Busy::No => {}
            Busy::Yes => plain += time,
            Busy::PeerWindow => rare.rwnd_limited += time,
            Busy::SendBuffer => rare.sndbuf_limited += time,
        }
        [plain + rare.rwnd_limited + rare.sndbuf_limited, rare.rwnd_limited, rare.sndbuf_limited]
    }
}

impl Rare {
    /// Milliseconds from the first time-out of each series to the acknowledgment that ended it.
    pub(super) fn total_rto_time(&self, now: Instant) -> u64 {
        self.total_rto_time + self.rto_since.map_or(0, |since| now.since(since).as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_busy_time_whatever_holds_the_data_back() {
        let mut counters = Counters::default();
        let at = Instant::from_micros;
        for (time, busy) in [
            (10, Busy::Yes),
            (15, Busy::Yes),
            (30, Busy::PeerWindow),
            (70, Busy::SendBuffer),
            (150, Busy::No),
        ] {
            counters.note_busy(at(time), busy);
        }
        assert_eq!(counters.busy_times(at(500)), [140, 40, 80]);
        counters.note_busy(at(1000), Busy::PeerWindow);
        assert_eq!(counters.busy_times(at(1003)), [143, 43, 80]);
    }

    #[test]
    fn a_connection_without_trouble_has_one_part_only() {
        let mut counters = Counters::default();
        counters.on_arrival(1, 100);
        counters.on_sent(Instant::ZERO, 1, 100, false);
        counters.note_busy(Instant::ZERO, Busy::Yes);
        counters.note_busy(Instant::ZERO, Busy::No);
        assert!(counters.rare.is_none());
        counters.on_rto(Instant::from_millis(5), true);
        counters.on_rto(Instant::from_millis(7), false);
        counters.on_recovered(Instant::from_millis(12));
        let rare = counters.seen();
        assert_eq!((rare.total_rto, rare.total_rto_recoveries), (2, 1));
        assert_eq!(rare.total_rto_time(Instant::from_millis(99)), 7);
    }
}

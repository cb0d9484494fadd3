//! What remains of a connection that this side closed first?

use super::addrs::Flow;
use super::timers::Timers;
use crate::segment::{Flags, Options, Segment, Timestamps};
use crate::seq::Seq;
use crate::tcp::{
    AckNowWhy, Blocked, Cause, Config, DropReason, Received, Snapshot, State, TimeWait, Verdict,
};
use crate::time::{Duration, Instant};
use crate::trace::Why;
use slab::Slab;

/// As many as Linux keeps by default (tcp_max_tw_buckets); beyond it a connection ends without TIME-WAIT.
const LIMIT: usize = 262_144;

/// How old a flow in TIME-WAIT must be for `connect` to take it.
const REUSE_AFTER: Duration = Duration::from_secs(1);

/// One flow in TIME-WAIT: under 100 bytes, there may be a hundred thousand.
pub(super) struct Waiting {
    pub flow: Flow,
    pub number: u32,
    wait: TimeWait,
    expires: Instant,
    /// Before, nothing doubtful is answered again (RFC 5961 §7).
    quiet_until: Instant,
}

const _: () = assert!(size_of::<Waiting>() < 100);

/// What a segment for a flow in TIME-WAIT leads to.
pub(super) struct Answer {
    /// What the trace says of it.
    pub why: Why<'static>,
    /// What is sent back.
    pub reply: Option<(Segment, Cause)>,
}

impl Waiting {
    /// Whether a SYN can only be a new connection (RFC 9293 §3.6.1 MAY-2, SHLD-4; RFC 6191 §2): its number is above all
    /// that the old one used, or its time stamp is newer.
    pub fn allows(&self, seg: &Segment) -> bool {
        if !seg.has(Flags::SYN) || seg.flags.intersects(Flags::RST | Flags::ACK | Flags::FIN) {
            return false;
        }
        let above = seg.seq.gt(self.wait.rcv_nxt);
        match (self.wait.timestamps, seg.options.timestamps) {
            (Some((recent, _)), Some(ts)) => {
                let age = ts.value.wrapping_sub(recent) as i32;
                age > 0 || (age == 0 && above)
            }
            _ => above,
        }
    }

    /// The first sequence number that the new connection may use (RFC 6191 §2: higher than the old ones).
    pub fn floor(&self) -> Seq {
        self.wait.snd_nxt + 65_537
    }

    /// The connection's numbers, as far as they still mean something.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: State::TimeWait,
            iss: self.wait.iss,
            irs: self.wait.irs,
            cwnd: 0,
            ssthresh: u32::MAX,
            flight: 0,
            srtt: None,
            rto: Duration::ZERO,
            rwnd: 0,
            unsent: 0,
            limit: Blocked::Closed,
            ecn: None,
        }
    }

    /// Whether `connect` may take the flow: time stamps tell the connections apart, and more than a second has passed
    /// (RFC 7323 appendix B.2; Linux' tcp_tw_reuse).
    pub fn is_reusable(&self, now: Instant, cfg: &Config) -> bool {
        let since = self.expires - cfg.time_wait;
        self.wait.timestamps.is_some() && now >= since + REUSE_AFTER
    }

    /// RFC 9293 §3.10.7.4 for TIME-WAIT; true in the second part restarts the wait.
    fn judge(&mut self, now: Instant, seg: &Segment, cfg: &Config) -> (Answer, bool) {
        let dropped = |reason, reply| Answer { why: Why::Dropped(reason), reply };
        if seg.has(Flags::RST) {
            let stray = seg.seq != self.wait.rcv_nxt || self.is_older(seg);
            if cfg.rfc1337 || stray {
                // RFC 1337 §3: a stray reset must not cut the wait short.
                return (dropped(DropReason::Control, None), false);
            }
            self.expires = now;
            return (Answer { why: Why::Received(Received::new(Verdict::InOrder)), reply: None }, false);
        }
        if let (Some((recent, _)), Some(ts)) = (&mut self.wait.timestamps, seg.options.timestamps) {
            if (ts.value.wrapping_sub(*recent) as i32) < 0 {
                return (dropped(DropReason::Paws, self.challenge(now, cfg)), false);
            }
            if seg.seq.le(self.wait.rcv_nxt) {
                *recent = ts.value;
            }
        }
        if seg.has(Flags::SYN) {
            return (dropped(DropReason::Control, self.challenge(now, cfg)), false);
        }
        if seg.has(Flags::FIN) && seg.end() == self.wait.rcv_nxt {
            // "The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it,
            // and restart the 2 MSL timeout."
            let why = Why::Received(Received::new(Verdict::Old));
            return (Answer { why, reply: Some(self.ack(now, AckNowWhy::Duplicate)) }, true);
        }
        if seg.seq_len() == 0 && seg.seq == self.wait.rcv_nxt {
            return (Answer { why: Why::Received(Received::new(Verdict::InOrder)), reply: None }, false);
        }
        (dropped(DropReason::Window, self.challenge(now, cfg)), false)
    }

    fn is_older(&self, seg: &Segment) -> bool {
        match (self.wait.timestamps, seg.options.timestamps) {
            (Some((recent, _)), Some(ts)) => (ts.value.wrapping_sub(recent) as i32) < 0,
            _ => false,
        }
    }

    /// Where we are, for a segment that does not fit; not too often, lest two such ends answer each other for ever.
    fn challenge(&mut self, now: Instant, cfg: &Config) -> Option<(Segment, Cause)> {
        if now < self.quiet_until {
            return None;
        }
        self.quiet_until = now + cfg.challenge_interval;
        Some(self.ack(now, AckNowWhy::Challenge))
    }

    fn ack(&self, now: Instant, why: AckNowWhy) -> (Segment, Cause) {
        let timestamps = self.wait.timestamps.map(|(recent, offset)| Timestamps {
            value: (now.as_millis() as u32).wrapping_add(offset),
            echo: recent,
        });
        let seg = Segment {
            seq: self.wait.snd_nxt,
            ack: self.wait.rcv_nxt,
            flags: Flags::ACK,
            window: self.wait.window,
            options: Options { timestamps, ..Options::default() },
            ..Segment::default()
        };
        (seg, Cause::AckNow(why))
    }
}

/// All flows in TIME-WAIT, and when each is free again. The length of the wait is a setting that may change
/// between two of them, so they end in the order of their deadlines, not of their coming.
#[derive(Default)]
pub(super) struct TimeWaits {
    waiting: Slab<Waiting>,
    timers: Timers,
}

impl TimeWaits {
    /// The index of the new entry, which stays for 2 MSL: RFC 9293 §3.6.1 (MUST-13); None if there are too many.
    pub fn add(&mut self, flow: Flow, number: u32, wait: TimeWait, expires: Instant) -> Option<u32> {
        if self.waiting.len() >= LIMIT {
            return None;
        }
        let index =
            self.waiting.insert(Waiting { flow, number, wait, expires, quiet_until: Instant::ZERO }) as u32;
        self.timers.set(index, Some(expires));
        Some(index)
    }

    pub fn get(&self, index: u32) -> &Waiting {
        &self.waiting[index as usize]
    }

    /// A segment for the flow came.
    pub fn on_segment(&mut self, index: u32, now: Instant, seg: &Segment, cfg: &Config) -> Answer {
        let waiting = &mut self.waiting[index as usize];
        let (answer, restart) = waiting.judge(now, seg, cfg);
        if restart {
            waiting.expires = now + cfg.time_wait;
        }
        // A wait that was put off stays in the heap; one that has become shorter moves up.
        self.timers.set(index, Some(waiting.expires));
        answer
    }

    pub fn remove(&mut self, index: u32) -> Waiting {
        self.timers.remove(index);
        self.waiting.remove(index as usize)
    }

    /// Takes an entry whose time is over at `now`.
    pub fn expire(&mut self, now: Instant) -> Option<Waiting> {
        while let Some(index) = self.timers.pop_due(now) {
            let expires = self.waiting[index as usize].expires;
            if expires <= now {
                return Some(self.waiting.remove(index as usize));
            }
            self.timers.set(index, Some(expires));
        }
        None
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cfg() -> Config {
        Config { time_wait: SECOND, rfc1337: true, ..Config::linux() }
    }

    fn flow(port: u16) -> Flow {
        Flow::new(([10, 0, 0, 2], port).into(), ([10, 0, 0, 1], 80).into())
    }

    fn wait(timestamps: bool) -> TimeWait {
        TimeWait {
            snd_nxt: Seq(5000),
            rcv_nxt: Seq(9000),
            window: 77,
            timestamps: timestamps.then_some((100, 3)),
            iss: Seq(1),
            irs: Seq(2),
        }
    }

    fn seg(flags: Flags, seq: u32, tsval: Option<u32>) -> Segment {
        Segment {
            seq: Seq(seq),
            ack: Seq(5000),
            flags,
            options: Options {
                timestamps: tsval.map(|value| Timestamps { value, echo: 0 }),
                ..Options::default()
            },
            ..Segment::default()
        }
    }

    #[test]
    fn only_a_syn_that_cannot_be_an_old_one_opens_a_new_connection() {
        let (syn, ack) = (Flags::SYN, Flags::ACK);
        for (sentence, stamped, segment, allowed) in [
            ("a number above the last", false, seg(syn, 9001, None), true),
            ("the last number again", false, seg(syn, 9000, None), false),
            ("an older number", false, seg(syn, 8000, None), false),
            ("an older number with a newer time stamp", true, seg(syn, 8000, Some(101)), true),
            ("a newer number with an older time stamp", true, seg(syn, 9001, Some(99)), false),
            ("a newer number in the same millisecond", true, seg(syn, 9001, Some(100)), true),
            ("an older number in the same millisecond", true, seg(syn, 9000, Some(100)), false),
            ("a number above the last, time stamps given up", true, seg(syn, 9001, None), true),
            ("a SYN-ACK", false, seg(syn | ack, 9001, None), false),
            ("a SYN with RST", false, seg(syn | Flags::RST, 9001, None), false),
            ("no SYN", false, seg(ack, 9001, None), false),
        ] {
            let mut all = TimeWaits::default();
            let index = all.add(flow(1), 1, wait(stamped), Instant::ZERO + SECOND).unwrap();
            let waiting = all.get(index);
            assert_eq!(waiting.allows(&segment), allowed, "{sentence}");
        }
    }

    #[test]
    fn segments_are_judged_and_answered() {
        let (fin, ack, rst) = (Flags::FIN | Flags::ACK, Flags::ACK, Flags::RST);
        for (sentence, segment, word, answered) in [
            ("a repeated FIN is acknowledged again", seg(fin, 8999, Some(100)), "old", true),
            ("a reset is ignored (RFC 1337)", seg(rst, 9000, None), "drop-control", false),
            ("a pure acknowledgment in place is fine", seg(ack, 9000, Some(100)), "in-order", false),
            ("a keep-alive probe gets our numbers", seg(ack, 8999, Some(100)), "drop-window", true),
            ("what lies beyond the FIN too", seg(fin, 9500, Some(100)), "drop-window", true),
            ("a SYN in the window too", seg(Flags::SYN, 9000, Some(100)), "drop-control", true),
            ("an old time stamp too", seg(ack, 9000, Some(99)), "drop-paws", true),
        ] {
            let mut all = TimeWaits::default();
            let index = all.add(flow(1), 1, wait(true), Instant::ZERO + SECOND).unwrap();
            let answer = all.on_segment(index, Instant::from_millis(10), &segment, &cfg());
            let said = match answer.why {
                Why::Received(received) => received.verdict.word(),
                Why::Dropped(reason) => reason.word(),
                _ => "?",
            };
            assert_eq!((said, answer.reply.is_some()), (word, answered), "{sentence}");
            if let Some((reply, _)) = answer.reply {
                assert_eq!((reply.seq, reply.ack, reply.window), (Seq(5000), Seq(9000), 77), "{sentence}");
                assert_eq!(reply.options.timestamps, Some(Timestamps { value: 13, echo: 100 }), "{sentence}");
            }
        }
    }

    #[test]
    fn doubtful_segments_are_answered_once_per_interval_and_fins_always() {
        let mut all = TimeWaits::default();
        let index = all.add(flow(1), 1, wait(false), Instant::ZERO + 10 * SECOND).unwrap();
        let mut answered = |at, flags, seq| {
            all.on_segment(index, Instant::from_millis(at), &seg(flags, seq, None), &cfg()).reply.is_some()
        };
        let (ack, fin) = (Flags::ACK, Flags::FIN | Flags::ACK);
        assert!(answered(0, ack, 8000) && !answered(499, ack, 8000) && answered(500, ack, 8000));
        assert!(answered(501, fin, 8999) && answered(502, fin, 8999));
    }

    #[test]
    fn without_rfc_1337_a_reset_with_the_exact_number_and_a_new_time_stamp_ends_the_wait() {
        for (seq, tsval, rfc1337, left) in [
            (9000, 100, false, 0),
            (9000, 99, false, 1),
            (9001, 100, false, 1),
            (8999, 100, false, 1),
            (9000, 100, true, 1),
        ] {
            let mut all = TimeWaits::default();
            let index = all.add(flow(1), 1, wait(true), Instant::ZERO + SECOND).unwrap();
            let now = Instant::from_millis(10);
            let cfg = Config { rfc1337, ..cfg() };
            let answer = all.on_segment(index, now, &seg(Flags::RST, seq, Some(tsval)), &cfg);
            assert!(answer.reply.is_none());
            while all.expire(now).is_some() {}
            assert_eq!(all.len(), left, "{seq} {tsval} {rfc1337}");
        }
    }

    #[test]
    fn a_repeated_fin_starts_the_wait_again() {
        let mut all = TimeWaits::default();
        let index = all.add(flow(1), 1, wait(false), Instant::ZERO + SECOND).unwrap();
        let half = Instant::from_millis(500);
        all.on_segment(index, half, &seg(Flags::FIN | Flags::ACK, 8999, None), &cfg());
        assert!(all.expire(Instant::ZERO + SECOND).is_none());
        assert_eq!(all.next_deadline(), Some(half + SECOND));
        assert_eq!(all.expire(half + SECOND).map(|w| w.flow), Some(flow(1)));
        assert_eq!((all.len(), all.next_deadline()), (0, None));
    }

    #[test]
    fn a_shorter_wait_ends_before_a_longer_one_that_began_earlier() {
        let mut all = TimeWaits::default();
        all.add(flow(1), 1, wait(false), Instant::ZERO + 60 * SECOND);
        all.add(flow(2), 2, wait(false), Instant::ZERO + SECOND);
        assert_eq!(all.expire(Instant::ZERO + SECOND).map(|w| w.number), Some(2));
        assert!(all.expire(Instant::ZERO + 59 * SECOND).is_none());
    }
}

//! What remains of a connection that this side closed first?

use super::addrs::Flow;
use super::demux::{Belongs, FlowMap, Next};
use super::isn::TableHasher;
use crate::segment::{Flags, Key, Options, Segment, Timestamps};
use crate::seq::Seq;
use crate::tcp::{
    AckNowWhy, Blocked, Cause, Config, DropReason, Received, Snapshot, State, TimeWait, Verdict,
};
use crate::time::{Duration, Instant};
use crate::trace::Why;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is remembered of a connection in TIME-WAIT beside its flow. There may be a million of them.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub number: u32,
    iss: Seq,
    irs: Seq,
    snd_nxt: Seq,
    rcv_nxt: Seq,
    /// TS.Recent, if time stamps were in use.
    recent: u32,
    stamped: bool,
    lane: u8,
    window: u16,
    expires: Moment,
    /// Before, in milliseconds that wrap, nothing doubtful is answered again (RFC 5961 §7).
    quiet_until: u32,
}

/// An [`Instant`] that goes between fields of four bytes.
#[derive(Clone, Copy)]
struct Moment([u32; 2]);

impl From<Instant> for Moment {
    fn from(at: Instant) -> Moment {
        Moment([at.as_nanos() as u32, (at.as_nanos() >> 32) as u32])
    }
}

impl From<Moment> for Instant {
    fn from(Moment([low, high]): Moment) -> Instant {
        Instant::from_nanos(u64::from(high) << 32 | u64::from(low))
    }
}

/// What a segment for a flow in TIME-WAIT leads to.
pub(super) struct Answer {
    /// What the trace says of it.
    pub why: Why<'static>,
    /// What is sent back; its time stamp is the clock's, without the flow's offset.
    pub reply: Option<(Segment, Cause)>,
    /// What becomes of the wait.
    then: Then,
}

impl Answer {
    /// Whether the wait is over.
    pub fn ends(&self) -> bool {
        self.then == Then::Ends
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoesOn,
    StartsAgain,
    Ends,
}

impl Waiting {
    /// Whether a SYN can only be a new connection (RFC 9293 §3.6.1 MAY-2, SHLD-4; RFC 6191 §2): its number is above all
    /// that the old one used, or its time stamp is newer.
    pub fn allows(&self, seg: &Segment) -> bool {
        if !seg.has(Flags::SYN) || seg.flags.intersects(Flags::RST | Flags::ACK | Flags::FIN) {
            return false;
        }
        let above = seg.seq.gt(self.rcv_nxt);
        match self.age_of(seg) {
            Some(age) => age > 0 || (age == 0 && above),
            None => above,
        }
    }

    /// The first sequence number that the new connection may use (RFC 6191 §2: higher than the old ones).
    pub fn floor(&self) -> Seq {
        self.snd_nxt + 65_537
    }

    /// The connection's numbers, as far as they still mean something.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: State::TimeWait,
            iss: self.iss,
            irs: self.irs,
            cwnd: 0,
            ssthresh: u32::MAX,
            flight: 0,
            srtt: None,
            rto: Duration::ZERO,
            rwnd: 0,
            unsent: 0,
            limit: Blocked::Closed,
            ecn: None,
            ace: false,
        }
    }

    /// Whether `connect` may take the flow: time stamps tell the connections apart, and enough time has passed
    /// (RFC 7323 appendix B.2; Linux' tcp_tw_reuse).
    pub fn is_reusable(&self, now: Instant, cfg: &Config) -> bool {
        let since = Instant::from(self.expires) - cfg.time_wait;
        self.stamped && now >= since + cfg.time_wait_reuse_delay
    }

    /// By how much a segment's time stamp is newer than the last one, if both have one.
    fn age_of(&self, seg: &Segment) -> Option<i32> {
        let stamp = seg.options.timestamps.filter(|_| self.stamped)?;
        Some(stamp.value.wrapping_sub(self.recent) as i32)
    }

    /// RFC 9293 §3.10.7.4 for TIME-WAIT.
    fn judge(&mut self, now: Instant, seg: &Segment, cfg: &Config) -> Answer {
        let dropped = |reason, reply| Answer { why: Why::Dropped(reason), reply, then: Then::GoesOn };
        let taken = |verdict, reply, then| Answer { why: Why::Received(Received::new(verdict)), reply, then };
        let age = self.age_of(seg);
        let is_older = age.is_some_and(|age| age < 0);
        if seg.has(Flags::RST) {
            if cfg.rfc1337 || seg.seq != self.rcv_nxt || is_older {
                // RFC 1337 §3: a stray reset must not cut the wait short.
                return dropped(DropReason::Control, None);
            }
            return taken(Verdict::InOrder, None, Then::Ends);
        }
        // Data is no answer to an answer.
        let told = match seg.seq_len() > 0 && !seg.has(Flags::SYN) {
            true => Some(self.ack(now, AckNowWhy::Duplicate)),
            false => None,
        };
        if is_older {
            return dropped(DropReason::Paws, told.or_else(|| self.challenge(now, cfg)));
        }
        if seg.has(Flags::SYN) {
            return dropped(DropReason::Control, self.challenge(now, cfg));
        }
        if seg.has(Flags::FIN) && seg.end() == self.rcv_nxt {
            // "The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it,
            // and restart the 2 MSL timeout."
            return taken(Verdict::Old, Some(self.ack(now, AckNowWhy::Duplicate)), Then::StartsAgain);
        }
        if seg.seq_len() == 0 && seg.seq == self.rcv_nxt {
            if let (Some(_), Some(stamp)) = (age, seg.options.timestamps) {
                self.recent = stamp.value;
            }
            return taken(Verdict::InOrder, None, Then::GoesOn);
        }
        dropped(DropReason::Window, told.or_else(|| self.challenge(now, cfg)))
    }

    /// Where we are, for a segment that does not fit; not too often, lest two such ends answer each other for ever.
    fn challenge(&mut self, now: Instant, cfg: &Config) -> Option<(Segment, Cause)> {
        let millis = now.as_millis() as u32;
        if (millis.wrapping_sub(self.quiet_until) as i32) < 0 {
            return None;
        }
        self.quiet_until = millis.wrapping_add(cfg.challenge_interval.as_millis() as u32);
        Some(self.ack(now, AckNowWhy::Challenge))
    }

    fn ack(&self, now: Instant, why: AckNowWhy) -> (Segment, Cause) {
        let stamp = Timestamps { value: now.as_millis() as u32, echo: self.recent };
        let seg = Segment {
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            window: self.window,
            options: Options { timestamps: self.stamped.then_some(stamp), ..Options::default() },
            ..Segment::default()
        };
        (seg, Cause::AckNow(why))
    }
}

/// A flow in TIME-WAIT, its place in the order of deadlines, and `K`, what is kept of its addresses and ports.
struct Held<K> {
    key: K,
    waiting: Waiting,
    next: Next,
    /// The next ones of its lane, either way.
    earlier: u32,
    later: u32,
}

impl<K: Copy + Into<Flow>> Belongs for Held<K> {
    fn flow(&self) -> Flow {
        self.key.into()
    }

    fn next(&self) -> Next {
        self.next
    }

    fn set_next(&mut self, next: Next) {
        self.next = next;
    }
}

type Short = [u8; 12];
type Long = [u8; 36];

// With four bytes for its bucket: below 100.
const _: () = assert!(size_of::<Held<Long>>() <= 88 && size_of::<Held<Short>>() <= 64);

/// No neighbour.
const NOBODY: u32 = u32::MAX;

/// Waits of one length end in the order in which they began.
#[derive(Clone, Copy)]
struct Lane {
    length: Duration,
    first: u32,
    last: u32,
    /// When the first one ends.
    due: Instant,
}

/// The length is a setting and hardly ever changes. What finds no lane of its own waits in that of the longest wait, too long.
const LANES: usize = 16;

/// The flows in TIME-WAIT of one family.
struct Family<K> {
    held: FlowMap<Held<K>>,
    lanes: Vec<Lane>,
}

impl<K: Copy + Into<Flow>> Family<K> {
    fn new(hasher: TableHasher) -> Family<K> {
        Family { held: FlowMap::new(hasher), lanes: Vec::new() }
    }

    fn add(&mut self, key: K, waiting: Waiting, now: Instant, length: Duration) -> u32 {
        let at =
            self.held.insert(Held { key, waiting, next: Next::default(), earlier: NOBODY, later: NOBODY });
        self.queue(at, now, length);
        at
    }

    /// Puts it at the end of the lane of its length.
    fn queue(&mut self, at: u32, now: Instant, length: Duration) {
        let lane = self.lane(length);
        let expires = now + length;
        let Lane { first, last, due, .. } = &mut self.lanes[lane];
        let earlier = std::mem::replace(last, at);
        if earlier == NOBODY {
            (*first, *due) = (at, expires);
        } else {
            self.held[earlier].later = at;
        }
        let held = &mut self.held[at];
        (held.earlier, held.later) = (earlier, NOBODY);
        (held.waiting.lane, held.waiting.expires) = (lane as u8, expires.into());
    }

    fn lane(&mut self, length: Duration) -> usize {
        let fresh = Lane { length, first: NOBODY, last: NOBODY, due: Instant::FAR };
        if let Some(lane) = self.lanes.iter().position(|lane| lane.length == length) {
            return lane;
        }
        if let Some(lane) = self.lanes.iter().position(|lane| lane.first == NOBODY) {
            self.lanes[lane] = fresh;
            return lane;
        }
        if self.lanes.len() < LANES {
            self.lanes.push(fresh);
            return self.lanes.len() - 1;
        }
        (0..LANES).max_by_key(|&lane| self.lanes[lane].length).unwrap_or(0)
    }

    fn leave(&mut self, at: u32) {
        let Held { earlier, later, waiting, .. } = self.held[at];
        let lane = usize::from(waiting.lane);
        match earlier {
            NOBODY => {
                self.lanes[lane].first = later;
                let due = |at| Instant::from(self.held[at].waiting.expires);
                self.lanes[lane].due = if later == NOBODY { Instant::FAR } else { due(later) };
            }
            _ => self.held[earlier].later = later,
        }
        match later {
            NOBODY => self.lanes[lane].last = earlier,
            _ => self.held[later].earlier = earlier,
        }
    }

    fn remove(&mut self, at: u32) -> (Flow, Waiting) {
        self.leave(at);
        let held = self.held.remove(at);
        (held.key.into(), held.waiting)
    }

    fn on_segment(&mut self, at: u32, now: Instant, seg: &Segment, cfg: &Config) -> Answer {
        let answer = self.held[at].waiting.judge(now, seg, cfg);
        if answer.then == Then::StartsAgain {
            self.leave(at);
            self.queue(at, now, cfg.time_wait);
        }
        answer
    }

    fn next(&self) -> Option<(Instant, u32)> {
        let busy = self.lanes.iter().filter(|lane| lane.first != NOBODY);
        busy.map(|lane| (lane.due, lane.first)).min()
    }
}

/// All flows in TIME-WAIT, and when each is free again: RFC 9293 §3.6.1 (MUST-13). An index with the highest bit set is one of
/// IPv6.
pub(super) struct TimeWaits {
    v4: Family<Short>,
    v6: Family<Long>,
    /// Of those few that have one.
    keys: BTreeMap<u32, Arc<Key>>,
}

const SIX: u32 = 1 << 31;

impl TimeWaits {
    pub fn new(hasher: TableHasher) -> TimeWaits {
        TimeWaits { v4: Family::new(hasher), v6: Family::new(hasher), keys: BTreeMap::new() }
    }

    /// A new entry, which stays for 2 MSL; nothing if there are `cfg.time_wait_limit` already.
    pub fn add(
        &mut self,
        now: Instant,
        flow: &Flow,
        (number, key): (u32, Option<Arc<Key>>),
        wait: TimeWait,
        cfg: &Config,
    ) {
        if cfg.time_wait.is_zero() || self.len() >= cfg.time_wait_limit as usize {
            return;
        }
        let waiting = Waiting {
            number,
            iss: wait.iss,
            irs: wait.irs,
            snd_nxt: wait.snd_nxt,
            rcv_nxt: wait.rcv_nxt,
            recent: wait.timestamps.map_or(0, |(recent, _)| recent),
            stamped: wait.timestamps.is_some(),
            lane: 0,
            window: wait.window,
            expires: now.into(),
            quiet_until: now.as_millis() as u32,
        };
        let index = match flow.short() {
            Some(short) => self.v4.add(short, waiting, now, cfg.time_wait),
            None => self.v6.add(flow.bytes(), waiting, now, cfg.time_wait) | SIX,
        };
        if let Some(key) = key {
            self.keys.insert(index, key);
        }
    }

    /// What signs the segments of an entry.
    pub fn key(&self, index: u32) -> Option<&Arc<Key>> {
        self.keys.get(&index)
    }

    /// The entry of a flow, whose hash is `hash`.
    pub fn find(&self, hash: u64, flow: &Flow) -> Option<u32> {
        match flow.short() {
            Some(_) => self.v4.held.find(hash, flow),
            None => self.v6.held.find(hash, flow).map(|at| at | SIX),
        }
    }

    /// Bytes that they take, with what the tables hold in reserve.
    pub fn memory(&self) -> usize {
        let lanes = self.v4.lanes.capacity() + self.v6.lanes.capacity();
        self.v4.held.memory() + self.v6.held.memory() + lanes * size_of::<Lane>()
    }

    pub fn get(&self, index: u32) -> &Waiting {
        match index & SIX {
            0 => &self.v4.held[index].waiting,
            _ => &self.v6.held[index & !SIX].waiting,
        }
    }

    /// One above the highest index there ever was, of IPv4 and of IPv6, whose own bit is left out.
    pub fn ends(&self) -> (u32, u32) {
        (self.v4.held.end(), self.v6.held.end())
    }

    /// The flow at such an index, if there is one, its number, and when it is free.
    pub fn standing(&self, six: bool, at: u32) -> Option<(Flow, u32, Instant)> {
        let (flow, waiting) = match six {
            false => self.v4.held.get(at).map(|held| (Flow::from(held.key), held.waiting))?,
            true => self.v6.held.get(at).map(|held| (Flow::from(held.key), held.waiting))?,
        };
        Some((flow, waiting.number, waiting.expires.into()))
    }

    /// A segment for the flow came.
    pub fn on_segment(&mut self, index: u32, now: Instant, seg: &Segment, cfg: &Config) -> Answer {
        let answer = match index & SIX {
            0 => self.v4.on_segment(index, now, seg, cfg),
            _ => self.v6.on_segment(index & !SIX, now, seg, cfg),
        };
        if answer.ends() {
            self.remove(index);
        }
        answer
    }

    pub fn remove(&mut self, index: u32) -> (Flow, Waiting) {
        if !self.keys.is_empty() {
            self.keys.remove(&index);
        }
        match index & SIX {
            0 => self.v4.remove(index),
            _ => self.v6.remove(index & !SIX),
        }
    }

    /// Takes an entry whose time is over at `now`.
    pub fn expire(&mut self, now: Instant) -> Option<(Flow, Waiting)> {
        let (due, index) = self.next()?;
        (due <= now).then(|| self.remove(index))
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.next().map(|(due, _)| due)
    }

    fn next(&self) -> Option<(Instant, u32)> {
        let six = self.v6.next().map(|(due, at)| (due, at | SIX));
        self.v4.next().into_iter().chain(six).min()
    }

    pub fn len(&self) -> usize {
        self.v4.held.len() + self.v6.held.len()
    }
}

#[cfg(test)]
#[path = "time_wait_tests.rs"]
mod tests;

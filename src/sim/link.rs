//! What becomes of a packet on the way? One direction of a link, told the time and asked for what has arrived.

mod config;
#[cfg(test)]
mod tests;

pub use config::{KNOBS, LinkConfig};

use super::rng::Rng;
use super::rule::{Action, Passing, Rule};
use crate::segment::Ecn;
use crate::time::{Duration, Instant};
use crate::wire::{self, Decoded};
use std::collections::VecDeque;

/// What a link may hold at most, bytes. A link without a limit of its own must not take the machine's memory.
const HELD_MAX: usize = 128 << 20;
/// Buffers kept for reuse.
const SPARE_MAX: usize = 1024;
/// A packet that is held back is overtaken by one to so many later ones.
const OVERTAKEN_BY_MAX: u64 = 4;

/// What a link did to a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fate {
    /// When the packet arrives, or why it never will. A packet that is held back arrives later than this says.
    pub arrives: Result<Instant, Dropped>,
    /// One bit of it was turned over.
    pub corrupted: bool,
    /// It arrives twice.
    pub duplicated: bool,
    /// It is held back until later packets have overtaken it.
    pub reordered: bool,
    /// A rule lets it arrive so much later.
    pub delayed: Duration,
    /// It is ECN-capable and was marked (RFC 3168).
    pub marked: bool,
}

/// Why a link dropped a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// By chance, `link.loss`.
    Lost,
    /// It was the segment with data of this number, `link.drop_nth`.
    Nth(u32),
    /// The queue was full, `link.queue`.
    QueueFull,
    /// A rule said so.
    Rule,
    /// A rule resets the connection instead.
    Reset,
    /// It was larger than `link.mtu`.
    TooBig,
}

impl Fate {
    /// Nothing but this happens to the packet.
    pub fn plain(arrives: Result<Instant, Dropped>) -> Fate {
        let delayed = Duration::ZERO;
        Fate { arrives, corrupted: false, duplicated: false, reordered: false, delayed, marked: false }
    }

    /// Whether the packet goes its way untouched.
    pub fn is_plain(&self) -> bool {
        self.arrives.is_ok()
            && self.delayed.is_zero()
            && !(self.corrupted || self.duplicated || self.reordered || self.marked)
    }

    /// The stable words for what was done to it: `lost`, `lost-nth`, `queue-full`, `too-big`, `corrupted`, `duplicated`,
    /// `reordered`, `delayed`, `marked`, `dropped-by-rule`, `reset-by-rule`.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let dropped = self.arrives.err().map(|dropped| match dropped {
            Dropped::Lost => "lost",
            Dropped::Nth(_) => "lost-nth",
            Dropped::QueueFull => "queue-full",
            Dropped::Rule => "dropped-by-rule",
            Dropped::Reset => "reset-by-rule",
            Dropped::TooBig => "too-big",
        });
        let marks = [
            (self.corrupted, "corrupted"),
            (self.duplicated, "duplicated"),
            (self.reordered, "reordered"),
            (!self.delayed.is_zero(), "delayed"),
            (self.marked, "marked"),
        ];
        dropped.into_iter().chain(marks.into_iter().filter_map(|(set, word)| set.then_some(word)))
    }
}

/// What a link has done so far. `packets` were offered; those not dropped were or will be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Packets offered.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Dropped by chance.
    pub lost: u64,
    /// Dropped by number.
    pub lost_nth: u64,
    /// Dropped because the queue was full.
    pub queue_full: u64,
    /// Dropped because it was too large.
    pub too_big: u64,
    /// Delivered with a wrong bit.
    pub corrupted: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Dropped by a rule, resets included.
    pub ruled_out: u64,
    /// Delayed by a rule.
    pub delayed: u64,
    /// Delivered with a congestion mark.
    pub marked: u64,
}

impl Totals {
    fn count(&mut self, bytes: usize, fate: Fate) {
        self.packets += 1;
        self.bytes += bytes as u64;
        match fate.arrives {
            Ok(_) => {
                self.corrupted += u64::from(fate.corrupted);
                self.duplicated += u64::from(fate.duplicated);
                self.reordered += u64::from(fate.reordered);
                self.delayed += u64::from(!fate.delayed.is_zero());
                self.marked += u64::from(fate.marked);
            }
            Err(Dropped::Lost) => self.lost += 1,
            Err(Dropped::Nth(_)) => self.lost_nth += 1,
            Err(Dropped::QueueFull) => self.queue_full += 1,
            Err(Dropped::Rule | Dropped::Reset) => self.ruled_out += 1,
            Err(Dropped::TooBig) => self.too_big += 1,
        }
    }
}

/// One direction of a link: a queue, a wire of some rate and length, and its faults.
///
/// A packet waits in the queue, occupies the wire for as long as the rate says, and is then lost, damaged, held back
/// or doubled while it travels. Each fault throws its own dice, so turning one knob leaves the others' faults where
/// they were.
pub struct Link {
    config: LinkConfig,
    rules: Vec<Box<dyn Rule>>,
    dice: Dice,
    /// When the last bit of the last packet has left, and the part of a nanosecond beyond, in units of 1/rate ns.
    wire_free: Instant,
    wire_rest: u64,
    /// When each packet in the queue gets the wire.
    waiting: VecDeque<Instant>,
    /// What arrives first stands first; of one time, what set out first.
    underway: VecDeque<Packet>,
    held: Vec<Held>,
    held_bytes: usize,
    data_segments: u32,
    totals: Totals,
    spare: Vec<Vec<u8>>,
}

struct Dice {
    loss: Rng,
    reorder: Rng,
    duplicate: Rng,
    corrupt: Rng,
    mark: Rng,
}

struct Packet {
    at: Instant,
    sent: Instant,
    frame: Vec<u8>,
}

/// A packet that later ones shall overtake.
struct Held {
    frame: Vec<u8>,
    sent: Instant,
    twice: bool,
    /// How many more must pass it.
    left: u64,
    /// It does not wait beyond this: there may be no later packet.
    latest: Instant,
}

impl Link {
    /// A link whose faults follow from `seed`; `salt` tells links of one seed apart.
    pub fn new(config: &LinkConfig, seed: u64, salt: u64) -> Link {
        let dice = |fault| Rng::new(seed, salt.wrapping_mul(4).wrapping_add(fault));
        // Counted from the other end: the others' faults stay where they were before there was this one.
        let mark = Rng::new(seed, !salt);
        Link {
            config: config.clone(),
            rules: Vec::new(),
            dice: Dice { loss: dice(0), reorder: dice(1), duplicate: dice(2), corrupt: dice(3), mark },
            wire_free: Instant::ZERO,
            wire_rest: 0,
            waiting: VecDeque::new(),
            underway: VecDeque::new(),
            held: Vec::new(),
            held_bytes: 0,
            data_segments: 0,
            totals: Totals::default(),
            spare: Vec::new(),
        }
    }

    /// The settings.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Changes the settings for packets sent from now on; those under way arrive as they would have.
    pub fn set_config(&mut self, config: &LinkConfig) {
        self.config = config.clone();
    }

    /// Lays one more rule on it. Each rule sees every TCP packet; the first one to drop it wins.
    pub fn add_rule(&mut self, rule: impl Rule + 'static) {
        self.rules.push(Box::new(rule));
    }

    /// Lets a packet arrive that nobody sent, half a round trip from now.
    pub(super) fn put(&mut self, now: Instant, frame: &[u8]) {
        let at = self.wire_free.max(now) + self.config.rtt / 2;
        self.carry(now, at, frame, Fate::plain(Ok(at)));
    }

    /// What it has done so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Packets in it: waiting, on the wire or travelling; copies count.
    pub fn in_flight(&self) -> usize {
        self.underway.len() + self.held.len()
    }

    /// Sends one IP packet, as it goes over a wire: no super-segment. Returns what becomes of it.
    pub fn push(&mut self, now: Instant, frame: &[u8]) -> Fate {
        let fate = self.judge(now, frame);
        self.totals.count(frame.len(), fate);
        if let Ok(at) = fate.arrives {
            self.carry(now, at, frame, fate);
        }
        fate
    }

    /// The next packet that has arrived.
    pub fn front(&mut self, now: Instant) -> Option<&[u8]> {
        self.let_go(now);
        self.underway.front().filter(|packet| packet.at <= now).map(|packet| packet.frame.as_slice())
    }

    /// Moves the next packet that has arrived into `out`, replacing what is there; false if there is none.
    pub fn pop(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.pop_sent(now, out).is_some()
    }

    /// The same, and when the packet was sent.
    pub(super) fn pop_sent(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Instant> {
        self.let_go(now);
        let packet = self.underway.pop_front_if(|packet| packet.at <= now)?;
        self.held_bytes -= packet.frame.len();
        self.recycle(std::mem::replace(out, packet.frame));
        Some(packet.sent)
    }

    /// When the next packet arrives.
    pub fn next_deadline(&self) -> Option<Instant> {
        let first = self.underway.front().map(|packet| packet.at);
        self.held.iter().map(|h| h.latest).chain(first).min()
    }

    fn judge(&mut self, now: Instant, frame: &[u8]) -> Fate {
        let corrupted = self.dice.corrupt.chance(self.config.corrupt);
        let duplicated = self.dice.duplicate.chance(self.config.duplicate);
        let reordered = self.dice.reorder.chance(self.config.reorder);
        let lost = self.dice.loss.chance(self.config.loss);
        let by_chance = self.dice.mark.chance(self.config.ecn_mark);
        let nth = self.number_among_dropped(frame);
        let too_big = self.config.mtu > 0 && frame.len() > usize::from(self.config.mtu);
        let arrives = if too_big { Err(Dropped::TooBig) } else { self.carried(now, frame.len(), nth, lost) };
        let there = arrives.is_ok();
        let threshold = self.config.ecn_threshold as usize;
        // The packet itself waits, too, unless the wire was free.
        let congested = threshold > 0 && self.waiting.len() >= threshold;
        let capable = matches!(wire::ecn_field(frame), Ecn::Ect0 | Ecn::Ect1);
        let mut fate = Fate {
            marked: there && capable && (congested || by_chance),
            arrives,
            corrupted: there && corrupted,
            duplicated: there && duplicated,
            reordered: there && reordered,
            delayed: Duration::ZERO,
        };
        if !self.rules.is_empty() {
            self.apply_rules(now, frame, &mut fate);
        }
        fate
    }

    fn apply_rules(&mut self, now: Instant, frame: &[u8], fate: &mut Fate) {
        let Ok(Decoded::Tcp(packet)) = wire::decode(frame, false) else { return };
        let (src, dst, seg) = (packet.envelope.src, packet.envelope.dst, packet.seg);
        let passing = Passing { at: now, src, dst, seg: &seg, payload: packet.payload };
        for rule in &mut self.rules {
            let action = rule.judge(&passing);
            let Ok(at) = fate.arrives else { continue };
            match action {
                Action::Pass => {}
                Action::Delay(time) => {
                    fate.arrives = Ok(at + time);
                    fate.delayed += time;
                }
                Action::Drop => fate.arrives = Err(Dropped::Rule),
                Action::Reset => fate.arrives = Err(Dropped::Reset),
                Action::Corrupt => fate.corrupted = true,
                Action::Duplicate => fate.duplicated = true,
            }
        }
        if fate.arrives.is_err() {
            *fate = Fate::plain(fate.arrives);
        }
    }

    /// When a packet that fits arrives.
    fn carried(
        &mut self,
        now: Instant,
        bytes: usize,
        nth: Option<u32>,
        lost: bool,
    ) -> Result<Instant, Dropped> {
        let at = self.cross(now, bytes).ok_or(Dropped::QueueFull)?;
        match nth {
            Some(n) => Err(Dropped::Nth(n)),
            None if lost => Err(Dropped::Lost),
            None => Ok(at),
        }
    }

    /// The packet's number if it carries data and is to be dropped by number.
    fn number_among_dropped(&mut self, frame: &[u8]) -> Option<u32> {
        if self.config.drop_nth.is_empty() {
            return None;
        }
        match wire::decode(frame, false) {
            Ok(Decoded::Tcp(packet)) if !packet.payload.is_empty() => {
                self.data_segments = self.data_segments.saturating_add(1);
                self.config.drop_nth.contains(&self.data_segments).then_some(self.data_segments)
            }
            _ => None,
        }
    }

    /// Takes the packet through queue and wire: when its last bit is at the other end, `None` if it found no room.
    fn cross(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        while self.waiting.front().is_some_and(|&start| start <= now) {
            self.waiting.pop_front();
        }
        let full = self.config.queue > 0 && self.waiting.len() >= self.config.queue as usize;
        if self.wire_free > now && full || self.held_bytes.saturating_add(bytes) > HELD_MAX {
            return None;
        }
        if self.wire_free < now {
            (self.wire_free, self.wire_rest) = (now, 0);
        }
        if self.wire_free > now {
            self.waiting.push_back(self.wire_free);
        }
        if let Some(rate) = self.config.bandwidth.filter(|&r| r > 0) {
            // Whole nanoseconds and the rest: a thousand packets take exactly as long as their bits.
            let time = bytes as u128 * 8 * 1_000_000_000 + u128::from(self.wire_rest);
            self.wire_free += Duration::from_nanos((time / u128::from(rate)).try_into().unwrap_or(u64::MAX));
            self.wire_rest = (time % u128::from(rate)) as u64;
        }
        Some(self.wire_free + self.config.rtt / 2)
    }

    /// Puts the packet on its way to arrive `at`, and lets those go that it overtakes.
    fn carry(&mut self, sent: Instant, at: Instant, frame: &[u8], fate: Fate) {
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.extend_from_slice(frame);
        if fate.marked {
            wire::mark(&mut copy);
        }
        if fate.corrupted {
            turn_a_bit(&mut copy, &mut self.dice.corrupt);
        }
        self.held_bytes += copy.len();
        if fate.reordered {
            let left = 1 + self.dice.reorder.below(OVERTAKEN_BY_MAX);
            // Long enough for so many packets of its size to catch up.
            let sending = self.config.bandwidth.filter(|&r| r > 0).map_or(0, |rate| {
                (copy.len() as u64 * 8).saturating_mul(1_000_000_000) / rate * OVERTAKEN_BY_MAX
            });
            let latest = at + self.config.rtt / 2 + Duration::from_nanos(sending) + Duration::from_millis(1);
            self.held.push(Held { frame: copy, sent, twice: fate.duplicated, left, latest });
        } else {
            self.set_out(sent, at, copy, fate.duplicated);
            self.overtake(at);
        }
    }

    fn set_out(&mut self, sent: Instant, at: Instant, frame: Vec<u8>, twice: bool) {
        if twice {
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.extend_from_slice(&frame);
            self.held_bytes += copy.len();
            self.set_out(sent, at, copy, false);
        }
        let packet = Packet { at, sent, frame };
        // Hardly ever does one overtake another.
        if self.underway.back().is_none_or(|last| last.at <= at) {
            return self.underway.push_back(packet);
        }
        let place = self.underway.partition_point(|before| before.at <= at);
        self.underway.insert(place, packet);
    }

    /// A packet arrives `at`: those held back until then have been passed once more.
    fn overtake(&mut self, at: Instant) {
        self.let_go(at);
        let mut i = 0;
        while let Some(held) = self.held.get_mut(i) {
            held.left -= 1;
            if held.left == 0 {
                let held = self.held.remove(i);
                self.set_out(held.sent, at, held.frame, held.twice);
            } else {
                i += 1;
            }
        }
    }

    /// Those that have waited long enough go on without having been overtaken.
    fn let_go(&mut self, now: Instant) {
        let mut i = 0;
        while let Some(held) = self.held.get(i) {
            if held.latest <= now {
                let held = self.held.remove(i);
                self.set_out(held.sent, held.latest, held.frame, held.twice);
            } else {
                i += 1;
            }
        }
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// Turns over one bit: the Internet checksum finds every error of a single bit (RFC 1071), so a receiver that
/// checks never takes the packet for a good one.
fn turn_a_bit(frame: &mut [u8], dice: &mut Rng) {
    // No checksum covers IPv6's version, traffic class, flow label and hop limit.
    let covered = if frame.first().is_some_and(|b| b >> 4 == 6) { 8 } else { 0 };
    if let Some(part) = frame.get_mut(covered..) {
        let mut bit = dice.below(part.len() as u64 * 8) as usize;
        // Where IPv4 says what it is and how long, damage is found before any checksum is: the next word has it.
        if covered == 0 && bit < 32 {
            bit += 32;
        }
        if let Some(byte) = part.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }
}

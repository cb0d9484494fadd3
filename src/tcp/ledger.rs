//! What does a connection's time go to? A gap between two events is charged, when it ends, to what it was spent on.
//!
//! The connection knows at each moment what keeps it from sending ([`Ledger::waits`]), and each event shows what had been
//! waited for: data that was not held had not been written yet, what is sent again had been lost, what the peer says took
//! the way to it and back, and its application. So every microsecond is charged once, by a few additions for each event.
//! What only the peer knows, such as what held back the data that it sends, is inferred from the times.

use super::conn::Conn;
use super::spare::{Spare, Untouched};
use super::state::CloseReason;
use crate::ledger::{Part, Parts, Travel};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// The parts that a connection knows of: from [`Part::Handshake`] on.
const KINDS: usize = Part::Close as usize - FIRST + 1;
const FIRST: usize = Part::Handshake as usize;
/// Those that every connection has.
const USUAL: [Part; 4] = [Part::Handshake, Part::App, Part::Server, Part::Link];
/// How soon an end answers, at the least that is asked of it, microseconds.
const PROMPT: u64 = 1_000;
/// The least delay of an acknowledgment that is taken for one, microseconds.
const LEAST_DELAY: u64 = 4_000;
/// Segments that may be sent before the first acknowledgment (RFC 6928 §2).
const INITIAL_WINDOW: u32 = 10;

/// Who was the last to say something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Ours,
    Peers,
}

/// What the peer said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// It brought what was missing before others.
    pub(super) filled: bool,
    /// Payload bytes.
    pub(super) len: u32,
    /// Those of a full segment.
    pub(super) full: u32,
    /// The number behind them.
    pub(super) end: Seq,
    /// It was only its FIN.
    pub(super) fin: bool,
}

/// The sums of one connection, in whole microseconds. There are many connections, so what few have, and what matters only
/// while data flows, is apart.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Time is charged up to here, microseconds.
    mark: u64,
    usual: [u32; USUAL.len()],
    more: Spare<More>,
    /// What keeps written data from leaving.
    held: Option<Part>,
    turn: Turn,
    flags: Flags,
}

/// What is true of it.
#[derive(Clone, Copy, Default, Debug)]
struct Flags {
    active: bool,
    /// The owner waits for the peer.
    expects: bool,
    /// The handshake is complete.
    open: bool,
    /// Our FIN has left.
    closing: bool,
    over: bool,
}

/// What a connection that rests may do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct More {
    /// Parts that few connections have, and of the others what lasts for longer than an hour.
    sums: [u64; KINDS],
    flow: Flow,
}

/// What is going on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Flow {
    /// When the first acknowledgment left since the peer last had to wait, and the last one.
    acks: Option<(u64, u64)>,
    /// The right edge of the window before the first of them.
    edge: Seq,
    /// How long the last acknowledgment was held back here, and there.
    own_delay: u64,
    peer_delay: u64,
    /// Segments that the peer sent since it last had to wait.
    burst: u32,
    /// What was charged to recovery since the peer last said something.
    again: u64,
    /// What the network says of the packet that arrives at that time.
    travel: Option<(u64, Travel)>,
}

const STILL: Flow =
    Flow { acks: None, edge: Seq(0), own_delay: 0, peer_delay: 0, burst: 0, again: 0, travel: None };
const NOTHING: More = More { sums: [0; KINDS], flow: STILL };

impl Untouched for More {
    const UNTOUCHED: &'static More = &NOTHING;

    fn untouched() -> More {
        NOTHING
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const _: () = assert!(size_of::<Ledger>() <= 40);

impl Ledger {
    /// Nothing was charged before `now`.
    pub(super) fn new(now: Instant) -> Ledger {
        Ledger {
            mark: now.as_micros(),
            usual: [0; USUAL.len()],
            more: Spare::default(),
            held: None,
            turn: Turn::Ours,
            flags: Flags::default(),
        }
    }

    /// Nothing flows any more: what is not needed for the sums is given back.
    pub(super) fn rest(&mut self) {
        if *self.more != NOTHING {
            self.more.flow = Flow { again: self.more.flow.again, ..STILL };
        }
        if *self.more == NOTHING {
            self.more.reset();
        }
    }

    /// Opened by `connect`: the peer is the server.
    pub(super) fn is_client(&mut self) {
        self.flags.active = true;
    }

    /// The owner has said all it has to say until the peer answers, or no longer waits for that.
    pub(super) fn expect(&mut self, now: Instant, expects: bool) {
        if expects != self.flags.expects {
            self.cut(now, Duration::MAX);
            self.flags.expects = expects;
        }
    }

    fn charge(&mut self, part: Part, until: u64) {
        let time = until.saturating_sub(self.mark);
        self.mark += time;
        let place = USUAL.iter().position(|usual| *usual == part);
        let usual = place.map(|place| &mut self.usual[place]);
        if let Some((sum, time)) = usual.zip(u32::try_from(time).ok())
            && let Some(more) = sum.checked_add(time)
        {
            *sum = more;
        } else if time > 0 {
            self.more.sums[part as usize - FIRST] += time;
        }
    }

    fn own_app(&self) -> Part {
        if self.flags.active { Part::App } else { Part::Server }
    }

    fn far_app(&self) -> Part {
        if self.flags.active { Part::Server } else { Part::App }
    }

    /// Charges a wait for the peer: the way there and back, then its application.
    fn waited_for_peer(&mut self, until: u64, path: Duration) {
        let there_and_back = self.mark.saturating_add(micros(path)).min(until);
        if self.turn == Turn::Ours && path < Duration::MAX {
            self.charge(Part::Link, there_and_back);
        }
        self.charge(self.far_app(), until);
    }

    /// Something has to be done by our own application, or by the peer's if that is waited for.
    fn idle(&mut self, until: u64, path: Duration) {
        match self.flags.expects {
            true => self.waited_for_peer(until, path),
            false => self.charge(self.own_app(), until),
        }
    }

    /// A SYN leaves, `again` if not for the first time.
    pub(super) fn on_syn(&mut self, now: Instant, again: bool) {
        self.charge(if again { Part::Recovery } else { Part::Handshake }, now.as_micros());
    }

    /// The handshake is complete.
    pub(super) fn on_established(&mut self, now: Instant) {
        self.charge(Part::Handshake, now.as_micros());
        self.flags.open = true;
    }

    /// Something that was sent before leaves again, or a probe for it.
    pub(super) fn on_again(&mut self, now: Instant) {
        self.more.flow.again += now.as_micros().saturating_sub(self.mark);
        self.charge(Part::Recovery, now.as_micros());
        self.turn = Turn::Ours;
    }

    /// The peer is asked whether its window is still closed.
    pub(super) fn on_window_probe(&mut self, now: Instant) {
        self.charge(Part::Rwnd, now.as_micros());
    }

    /// New data leaves, or the FIN; the round trip takes `path` at the least.
    pub(super) fn on_new(&mut self, now: Instant, path: Duration, fin: bool) {
        let now = now.as_micros();
        match self.held {
            Some(part) => {
                let gap = now.saturating_sub(self.mark);
                // Segments that leave one after the other are under way, not waiting.
                let flows = part == Part::Cwnd && gap < micros(path) / 4;
                let part = if flows { Part::Transfer } else { part };
                let delay = self.more.flow.peer_delay.min(gap);
                if delay > 0 && !flows && part != Part::Pacing {
                    self.charge(part, now - delay);
                    self.charge(Part::PeerAckDelay, now);
                }
                self.charge(part, now);
            }
            None => self.idle(now, path),
        }
        self.turn = Turn::Ours;
        self.flags.closing |= fin;
        // A delay that one thing waited for is no other's.
        self.set_peer_delay(0);
    }

    /// Nothing can leave now; `held` is what keeps written data back, if there is any.
    pub(super) fn on_wait(&mut self, now: Instant, path: Duration, held: Option<Part>) {
        if held == self.held {
            return;
        }
        match self.held {
            // It was written this moment.
            None => self.idle(now.as_micros(), path),
            Some(before) if held.is_some() => self.charge(before, now.as_micros()),
            Some(_) => {}
        }
        self.held = held;
    }

    /// An acknowledgment leaves that was held back for `waited`; until now the window ended at `edge`.
    pub(super) fn on_ack_sent(&mut self, now: Instant, waited: Duration, edge: Seq) {
        let clock = now.as_micros();
        let flow = &mut self.more.flow;
        if flow.acks.is_none() {
            flow.edge = edge;
        }
        flow.acks = Some((flow.acks.map_or(clock, |(first, _)| first), clock));
        flow.own_delay = micros(waited);
    }

    fn set_peer_delay(&mut self, delay: u64) {
        if self.more.flow.peer_delay != delay {
            self.more.flow.peer_delay = delay;
        }
    }

    /// What the network says of the packet that arrives now.
    pub(super) fn set_travel(&mut self, now: Instant, travel: Travel) {
        self.more.flow.travel = Some((now.as_micros(), travel));
    }

    fn travel(&self, now: u64) -> Option<Travel> {
        self.more.flow.travel.filter(|(at, _)| *at == now).map(|(_, travel)| travel)
    }

    /// An acknowledgment without data came for at most one full segment, the newest of which left `since`.
    pub(super) fn on_ack(&mut self, now: Instant, path: Duration, since: Instant) {
        let path = self.travel(now.as_micros()).map_or(path, |t| Duration::from_micros(t.there + t.back));
        let took = micros(now.since(since));
        let delay = took.saturating_sub(micros(path));
        self.set_peer_delay(if delay > LEAST_DELAY.max(micros(path) / 16) { delay } else { 0 });
    }

    /// What was sent is acknowledged without a delay to speak of.
    pub(super) fn on_prompt_ack(&mut self) {
        self.set_peer_delay(0);
    }

    /// Our FIN is acknowledged.
    pub(super) fn on_fin_acked(&mut self, now: Instant) {
        if !self.flags.expects {
            self.charge(Part::Close, now.as_micros());
        }
    }

    /// The peer said something new; the round trip takes `path` at the least.
    pub(super) fn on_said(&mut self, now: Instant, path: Duration, said: Said) {
        let until = now.as_micros();
        let travel = self.travel(until);
        let path = travel.map_or(path, |t| Duration::from_micros(t.there + t.back));
        self.settle_again(travel);
        let whole = until.saturating_sub(self.mark);
        let round_trip = if path < Duration::MAX { micros(path) } else { 0 };
        // What the network says that it took longer than what came before.
        let late = travel.filter(|_| self.turn == Turn::Peers).map_or(0, |travel| travel.extra.min(whole));
        let (seen, gap) = (until - late, whole - late);
        if said.fin && self.flags.closing && !self.flags.expects {
            self.charge(Part::Close, until);
        } else if let Some(part) = self.held {
            self.charge(part, until);
        } else if said.filled {
            self.charge(Part::Recovery, until);
        } else if let Some(lost) = travel.and_then(|travel| travel.lost) {
            self.lost_and_came(until, path, lost.as_micros());
        } else if self.turn == Turn::Ours {
            self.waited_for_peer(until, path);
        } else if let Some(delay) = self.set_free(until, gap, round_trip) {
            let few = self.more.flow.burst < INITIAL_WINDOW;
            let part = match said.end.gt(self.more.flow.edge) {
                true => Part::Rwnd,
                false if said.len < said.full && few => Part::Nagle,
                false => Part::Cwnd,
            };
            self.charge(Part::OwnAckDelay, self.mark + delay);
            self.charge(part, seen);
        } else if gap <= PROMPT.max(round_trip / 8) || (gap < round_trip / 4 && self.more.flow.acks.is_some())
        {
            self.charge(Part::Transfer, seen);
        } else if said.fin && !self.flags.expects {
            self.charge(self.own_app(), seen);
        } else {
            self.charge(self.far_app(), seen);
        }
        // Others' packets were before it in a queue; then its own bits came.
        self.charge(Part::Link, until.saturating_sub(travel.map_or(0, |travel| travel.own)));
        self.charge(Part::Transfer, until);
        let flow = &mut self.more.flow;
        if gap >= (round_trip / 4).max(PROMPT) || self.turn == Turn::Ours {
            (flow.acks, flow.burst) = (None, 0);
        }
        flow.burst = flow.burst.saturating_add(said.len.div_ceil(said.full.max(1)));
        flow.own_delay = 0;
        self.turn = Turn::Peers;
    }

    /// What was sent before left again, and the peer has answered: nothing was to be repaired if nothing was lost, it only
    /// took long.
    fn settle_again(&mut self, travel: Option<Travel>) {
        let again = self.more.flow.again;
        if again == 0 {
            return;
        }
        self.more.flow.again = 0;
        if travel.is_some_and(|travel| !travel.repaired && travel.lost.is_none()) {
            let sums = &mut self.more.sums;
            sums[Part::Recovery as usize - FIRST] -= again;
            sums[Part::Link as usize - FIRST] += again;
        }
    }

    /// Charges the wait for something that was lost when it was sent first, at `lost`: the delay is what repairing it took.
    fn lost_and_came(&mut self, until: u64, path: Duration, lost: u64) {
        let sent = until.saturating_sub(micros(path) / 2);
        let repair = sent.saturating_sub(lost.max(self.mark));
        match self.turn {
            Turn::Ours => self.waited_for_peer(until - repair, path),
            Turn::Peers => self.charge(Part::Link, until - repair),
        }
        self.charge(Part::Recovery, until);
    }

    /// Whether what comes after such a gap can have waited for an acknowledgment of ours, which left about a round trip
    /// ago: for how long that had been held back.
    fn set_free(&self, now: u64, gap: u64, round_trip: u64) -> Option<u64> {
        let flow = self.more.flow;
        let (first, last) = flow.acks?;
        let ago = |clock: u64| now.saturating_sub(clock);
        let slack = PROMPT.max(round_trip / 4);
        let waited = gap > 0 && gap >= round_trip / 4;
        if !waited || ago(first) < round_trip * 3 / 4 || ago(last) > round_trip + slack {
            return None;
        }
        // What left later than that set nothing free yet.
        let last_did = ago(last) + slack >= round_trip;
        Some(if last_did { flow.own_delay.min(gap) } else { 0 })
    }

    /// The application reads, which opens a window that was closed.
    pub(super) fn on_opened(&mut self, now: Instant) {
        self.charge(Part::Rwnd, now.as_micros());
    }

    /// What the time since the last event is taken for while nothing has shown what it is.
    fn guess(&self, path: Duration) -> (Part, u64) {
        let here = (self.own_app(), 0);
        match (self.held, self.turn) {
            _ if !self.flags.open => (Part::Handshake, 0),
            _ if self.flags.over || (self.flags.closing && !self.flags.expects) => (Part::Close, 0),
            (Some(part), _) => (part, 0),
            (None, Turn::Ours) if path < Duration::MAX => (self.far_app(), micros(path)),
            (None, Turn::Ours) => here,
            (None, Turn::Peers) if self.flags.expects => (self.far_app(), 0),
            (None, Turn::Peers) => here,
        }
    }

    /// Charges the time up to now to what it seems to be, because something begins or ends here.
    pub(super) fn cut(&mut self, now: Instant, path: Duration) {
        if self.flags.over {
            return;
        }
        if self.more.flow.again > 0 {
            self.more.flow.again = 0;
        }
        let (part, link) = self.guess(path);
        let until = now.as_micros();
        let link = self.mark.saturating_add(link).min(until);
        self.charge(Part::Link, link);
        if self.flags.open && self.held.is_none() && self.turn == Turn::Ours {
            let delay = self.more.flow.peer_delay;
            self.set_peer_delay(0);
            self.charge(Part::PeerAckDelay, self.mark.saturating_add(delay).min(until));
        }
        self.charge(part, until);
    }

    /// The connection is over; `part` is what its last time went to, if that is known.
    pub(super) fn end(&mut self, now: Instant, path: Duration, part: Option<Part>) {
        if let Some(part) = part.filter(|_| !self.flags.over) {
            self.charge(part, now.as_micros());
        }
        self.cut(now, path);
        self.flags.over = true;
    }

    /// What was charged so far, what has not shown yet as it seems to be.
    pub(super) fn parts(&self, now: Instant, path: Duration) -> Parts {
        let mut parts = Parts::default();
        for (part, us) in USUAL.into_iter().zip(self.usual) {
            parts.add(part, Duration::from_micros(us.into()));
        }
        for (part, us) in Part::ALL.into_iter().skip(FIRST).zip(self.more.sums) {
            parts.add(part, Duration::from_micros(us));
        }
        if !self.flags.over {
            let (part, link) = self.guess(path);
            let open = now.as_micros().saturating_sub(self.mark);
            let link = link.min(open);
            parts.add(Part::Link, Duration::from_micros(link));
            parts.add(part, Duration::from_micros(open - link));
        }
        parts
    }
}

impl Conn {
    /// What the time since the connection began went to: the parts sum up to it, in whole microseconds. What nothing has
    /// shown yet is what it seems to be at `now`.
    pub fn ledger(&self, now: Instant) -> Parts {
        self.ledger.parts(now, self.rack.min_rtt())
    }

    /// The same, where something begins or ends for the owner: what time was charged to up to here will not change.
    pub fn cut_ledger(&mut self, now: Instant) -> Parts {
        self.ledger.cut(now, self.rack.min_rtt());
        self.ledger(now)
    }

    /// The owner waits for the peer from now on, or no longer does: silence is then the peer's application's, and not our
    /// own one's.
    pub fn expect(&mut self, now: Instant, expects: bool) {
        self.ledger.expect(now, expects);
    }

    /// What the network says of the packet that arrives next.
    pub(crate) fn set_travel(&mut self, now: Instant, travel: Travel) {
        self.ledger.set_travel(now, travel);
    }

    pub(super) fn end_ledger(&mut self, now: Instant, reason: CloseReason) {
        let part = match reason {
            CloseReason::TimedOut | CloseReason::Unreachable if self.state.is_opening() => {
                Some(Part::Handshake)
            }
            CloseReason::TimedOut | CloseReason::Unreachable => Some(Part::Recovery),
            CloseReason::Refused => Some(Part::Handshake),
            CloseReason::Normal => Some(Part::Close),
            CloseReason::Reset | CloseReason::Aborted => None,
        };
        self.ledger.end(now, self.rack.min_rtt(), part);
    }
}

//! What was the time before this packet spent on?
//!
//! A gap says nothing until the packet after it shows what had been waited for: data that follows an acknowledgment
//! at once had been held by a window or by Nagle's algorithm, a repetition by a timer, a first byte by whoever had to
//! think. So time is settled up to each packet that explains it, and acknowledgments without data only mark the way.

use super::decode::Segment;
use super::doubt::Doubt;
use super::finding::{Confidence, Findings, What};
use super::flow::{CLIENT, Flow, Packet, REST, SERVER, Shut, WORTH};
use super::half::{Half, Idents};
use super::judge::{AckKind, Again, Kind, PROMPT, round_trip};
use crate::ledger::Part;
use crate::segment::Flags;
use crate::time::Duration;

/// No system that answers later keeps an acknowledgment back for the answer (RFC 1122 §4.2.3.2 allows more).
const DELAYED_ACK: Duration = Duration::from_millis(40);

/// What it is to send something again that had arrived.
fn needless(again: Again) -> What {
    match again {
        Again::Rto => What::SpuriousRto,
        Again::TailLossProbe => What::LateAcks,
        _ => What::Reordering,
    }
}

/// No probe of a tail and no time-out is shorter.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

impl Flow {
    /// Charges the time up to this packet, if it shows what the time was spent on.
    pub(super) fn settle(
        &mut self,
        p: &Packet<'_>,
        s: usize,
        kind: Kind,
        connection: usize,
        findings: &mut Findings,
    ) {
        let gap = p.at.saturating_sub(self.mark);
        let frames = (self.mark_frame, p.frame);
        self.settle_needless(s, p, connection, findings);
        match kind {
            // Where one direction is missing, an acknowledgment is all that shows of an answer.
            Kind::Ack(_) if self.tells_of_answer(p, s) => self.charge(Part::Server, p.at),
            // The acknowledgment alone doesn't show what was waited for; what comes next does.
            Kind::Ack(AckKind::Handshake) => self.settle_syn_ack(p, connection, findings),
            Kind::Ack(_) | Kind::Again(Again::Copy) => return,
            Kind::Again(Again::Late) => {
                let mended = self.mends(s, p.seg);
                if mended {
                    findings.cost(What::Checksum, gap);
                }
                self.charge(
                    match () {
                        () if mended => Part::Recovery,
                        () if self.exchanges.in_progress() => Part::Transfer,
                        () => self.thinking(),
                    },
                    p.at,
                );
            }
            Kind::Syn => {
                self.settle_unanswered(connection, findings);
                self.charge(Part::App, p.at);
                self.tries[s].add(p);
            }
            Kind::SynAck => {
                self.settle_syn(p, connection, findings);
                self.tries[s].add(p);
            }
            Kind::SynAckRetransmit if self.established => {
                self.settle_backlog(s);
                return self.hear_again(s, p, connection, findings);
            }
            // What they waited for the answer shows.
            Kind::SynAckRetransmit => return self.tries[s].add(p),
            Kind::SynRetransmit if self.halves[1 - s].syn.is_none() => return self.tries[s].add(p),
            Kind::SynRetransmit => return,
            Kind::WindowProbe => {
                let frames = (self.mark_frame, p.frame);
                self.charge(Part::Rwnd, p.at);
                let shut = self.shut[s].get_or_insert(Shut { frames, cost: Duration::ZERO });
                shut.cost += gap;
                shut.frames.1 = p.frame;
            }
            Kind::KeepAlive => self.charge(self.thinking(), p.at),
            // Nobody waits for a FIN that comes again when all was said.
            Kind::Again(_) if p.seg.len == 0 && !self.exchanges.in_progress() => {
                self.charge(Part::Close, p.at)
            }
            Kind::Again(Again::Rto) if self.halves[s].rto_until.is_some() && self.answers(s, p.at, p.seg) => {
                self.doubts[s].goes_on(gap, findings);
                self.charge(Part::Recovery, p.at);
            }
            // Nobody waits for what comes again of a request while its answer is being made.
            Kind::Again(again) if self.is_heard(s, p.seg) && !self.waits_in_queue(s) => {
                let what = needless(again);
                return findings.add(what, connection, frames, Duration::ZERO, Confidence::Certain);
            }
            Kind::Again(Again::Mtu) => {
                // What is cut into several pieces was one packet that was too large.
                if !matches!(self.halves[s].last_again, Some((Again::Mtu, at)) if p.at - at < PROMPT) {
                    findings.add(What::PathMtu, connection, frames, gap, Confidence::Certain);
                }
                if let Some((_, mtu, _)) = self.halves[s].too_big {
                    findings.mtu(What::PathMtu, mtu);
                }
                self.charge(Part::Recovery, p.at);
            }
            Kind::Again(again) => {
                let what = match again {
                    _ if self.waits_in_queue(s) => What::Backlog,
                    Again::Rto if self.is_too_large(s, p.at, p.seg) => What::MtuBlackHole,
                    Again::Rto => What::Rto,
                    Again::TailLossProbe => What::TailLoss,
                    _ => What::FastRetransmit,
                };
                let stated = p.stated.is_some_and(|stated| stated.sent);
                let stated = stated && what != What::MtuBlackHole;
                let doubt = Doubt {
                    start: p.seg.seq,
                    end: p.seg.end(),
                    at: p.at,
                    frames,
                    cost: gap,
                    what,
                    confidence: if stated { Confidence::Stated } else { Confidence::Inferred },
                    needless: needless(again),
                    idle: s == CLIENT && self.is_asked(),
                    fresh: false,
                    smaller: false,
                    acquitted: false,
                    sure: false,
                };
                self.doubts[s].add(doubt, connection, findings);
                self.charge(Part::Recovery, p.at);
            }
            Kind::Rst => {
                self.settle_unanswered(connection, findings);
                self.waited(s, self.thinking(), p.at);
            }
            // What had come damaged comes again.
            Kind::Data | Kind::Fin if self.mends(s, p.seg) => {
                findings.cost(What::Checksum, gap);
                self.charge(Part::Recovery, p.at);
            }
            Kind::Data if self.was_lost_before(s, p, gap) => {
                self.held = Some(Part::Recovery);
                self.lost_before = self.halves[s].idents.missing(p.seg).unwrap_or(0);
                // Whoever was in the middle of saying something waited for nothing else.
                let patience = Idents::patience(self.lost_before, self.round_trip());
                let paused = gap > patience && !self.exchanges.midway(s == CLIENT);
                if paused {
                    self.earlier = patience;
                    self.settle_pause(s, p, gap - patience, connection, findings);
                }
                let before = self.parts.recovery;
                match paused {
                    true => self.charge(Part::Recovery, p.at),
                    false => self.waited(s, Part::Recovery, p.at),
                }
                let cost = self.parts.recovery - before;
                self.lost[s] = true;
                self.doubts[s].are_needed();
                findings.add(What::LostBefore, connection, frames, cost, Confidence::Inferred);
            }
            Kind::Fin => self.settle_fin(p, s, connection, findings),
            Kind::Data => self.settle_new(p, s, connection, findings),
        }
        self.mark_frame = p.frame;
        self.mark_by = Some(s);
    }

    /// Whose turn it is: the server's while it owes an answer, unless the client takes no more of it.
    pub(super) fn thinking(&self) -> Part {
        let is_shut = self.halves[CLIENT].edge.is_some() && self.halves[CLIENT].window == 0;
        match self.exchanges.waits_for_server() {
            true if is_shut => Part::Rwnd,
            true if self.is_unheard(CLIENT) => Part::Recovery,
            true if !self.exchanges.is_pushing() => Part::Server,
            _ if self.exchanges.in_progress() => Part::App,
            _ if self.halves.iter().any(|half| half.fin.is_some()) => Part::Close,
            _ => Part::App,
        }
    }

    /// Whether the client has said all that it has to say, and its server makes the answer.
    pub(super) fn is_asked(&self) -> bool {
        self.exchanges.is_unanswered() && self.exchanges.waits_for_server()
    }

    /// Whether this was acknowledged, and is a request whose answer is being made.
    fn is_heard(&self, s: usize, seg: &Segment<'_>) -> bool {
        s == CLIENT && self.is_asked() && self.halves[CLIENT].una.is_some_and(|una| seg.end().le(una))
    }

    /// The answer begins to come. If the client's probe for what it asked was needless, and the server said so long before
    /// it answered, all the time was the server's: what was lost, or came late, was an acknowledgment that nobody waited for.
    fn settle_needless(&mut self, s: usize, p: &Packet<'_>, connection: usize, findings: &mut Findings) {
        let Some((doubt, heard)) = self.idled.take_if(|_| s == SERVER && p.seg.len > 0) else { return };
        let shared = self.exchanges.alone_spent(Part::Recovery, doubt.cost)
            && p.at.saturating_sub(heard) >= DELAYED_ACK;
        if shared {
            self.parts.shift(Part::Recovery, Part::Server, doubt.cost);
            self.limits[CLIENT].shift(Part::Recovery, Part::Server, doubt.cost);
            self.exchanges.shift_now(Part::Recovery, Part::Server, doubt.cost);
            Doubt { cost: Duration::ZERO, ..doubt }.tell(connection, findings);
        } else {
            doubt.tell(connection, findings);
        }
        self.returned = if shared { doubt.cost } else { Duration::ZERO };
    }

    /// Whether the end `s` has repeated what it says again and again without an answer: it does not arrive.
    pub(super) fn is_unheard(&self, s: usize) -> bool {
        const OFTEN: u8 = 3;
        let half = &self.halves[s];
        half.flight() > 0 && half.sent.front().is_some_and(|first| first.times >= OFTEN)
    }

    /// Charges a wait for the end `s`: the way there and back, then `part`.
    fn waited(&mut self, s: usize, part: Part, until: Duration) {
        if self.mark_by == Some(1 - s) {
            let path = self.halves[s].path.unwrap_or_default();
            self.charge(Part::Link, (self.mark + path).min(until));
        }
        self.charge(part, until);
    }

    pub(super) fn charge(&mut self, part: Part, until: Duration) {
        let until = until.max(self.mark);
        self.parts.add(part, until - self.mark);
        if let Some(s) = self.speaker {
            self.limits[s].add(part, until - self.mark);
        }
        self.mark = until;
    }

    fn ack_delay_of(&self, end: usize) -> Part {
        if end == self.own() { Part::OwnAckDelay } else { Part::PeerAckDelay }
    }

    /// Data that was never sent before, or a FIN: why not earlier?
    fn settle_new(&mut self, p: &Packet<'_>, s: usize, connection: usize, findings: &mut Findings) {
        let o = 1 - s;
        if self.opening {
            // It carries the acknowledgment that completes the handshake.
            self.held = Some(Part::Handshake);
            return self.settle_syn_ack(p, connection, findings);
        }
        if p.stated.is_some_and(|stated| stated.sent && stated.why == "tail-loss-probe") {
            return self.settle_probe(p, s, Confidence::Stated, connection, findings);
        }
        let full = self.halves[s].full(&self.halves[o]);
        let (start, frames) = (self.mark, (self.mark_frame, p.frame));
        let rtt = round_trip(&self.halves[s], &self.halves[o]);
        let gap = p.at.saturating_sub(start);
        let held = match self.own {
            // Its own word, if there is one.
            Some(own) if own == s && p.stated.is_some() => {
                self.limit.map(|part| (part, self.releases[s].back().copied(), Confidence::Stated))
            }
            _ => self.release_of(s, p, full).map(|(part, r)| (part, Some(r), Confidence::Inferred)),
        };
        match held {
            // Segments that come one after the other are under way, not waiting.
            Some((Part::Cwnd, ..)) if gap < rtt / 4 => {
                self.held = Some(Part::Transfer);
                self.charge(Part::Transfer, p.at);
            }
            Some((part, release, confidence)) => {
                self.held = Some(part);
                let burst = std::mem::take(&mut self.burst[s].0);
                let mut delayed = Duration::ZERO;
                if let Some(r) = release.filter(|r| r.at > start) {
                    delayed = r.delayed.min(r.at - start);
                    self.charge(part, r.at - delayed);
                    self.charge(self.ack_delay_of(o), r.at);
                }
                self.charge(part, p.at);
                if part == Part::Rwnd && self.shut[s].is_some() {
                    self.reopen(s, gap, connection, findings, p.frame);
                } else if gap >= WORTH {
                    let inferred = confidence == Confidence::Inferred;
                    // From afar what is in flight is not seen.
                    let flight = if self.own() == s { self.out[s] } else { burst };
                    let what = self.what_held(s, part, delayed, release, [burst, flight]);
                    if inferred && part == Part::Cwnd {
                        let wait = (what, frames, gap, confidence);
                        self.add_flight(s, p.at, flight, wait, connection, findings);
                    } else {
                        findings.add(what, connection, frames, gap, confidence);
                    }
                    if !delayed.is_zero() && what != What::NagleDelayedAck && delayed >= WORTH {
                        findings.add(What::DelayedAck, connection, frames, delayed, confidence);
                    }
                }
            }
            None => self.settle_own(p, s, connection, findings),
        }
    }

    /// New data that nothing is known to have held back: its end had not written it yet, or it was under way.
    fn settle_own(&mut self, p: &Packet<'_>, s: usize, connection: usize, findings: &mut Findings) {
        let (gap, rtt) = (p.at.saturating_sub(self.mark), self.round_trip());
        let frames = (self.mark_frame, p.frame);
        self.reopen(s, Duration::ZERO, connection, findings, p.frame);
        let idle = !self.exchanges.in_progress();
        let by_itself = self.mark_by == Some(s);
        if !idle && by_itself && (gap <= PROMPT.max(rtt / 8) || self.had_more(s, gap)) {
            self.held = Some(Part::Transfer);
            return self.charge(Part::Transfer, p.at);
        }
        if !idle && self.is_probe(s, p.at) && (!self.halves[s].last_small || self.is_in_time(s, p.at)) {
            return self.settle_probe(p, s, Confidence::Inferred, connection, findings);
        }
        self.burst[s].0 = 0;
        // What the other end said meanwhile is not known if none of it was captured.
        let silent = idle || self.exchanges.is_pushing() || self.passed[1 - s] == 0;
        // Of some protocols the server speaks first.
        let greets = s == SERVER && self.exchanges.begun == 0 && self.halves[CLIENT].last_data.is_none();
        let silent = silent && !(greets && self.established && self.passed[CLIENT] > 0);
        let server = s == SERVER && (greets || !idle) && !self.exchanges.is_pushing();
        let part = if server { Part::Server } else { Part::App };
        self.held = Some(part);
        let before = self.parts.of(part);
        self.waited(s, part, p.at);
        let cost = self.parts.of(part) - before;
        // Of a protocol that is not understood, nobody knows whether a client that is silent is late.
        let known = part == Part::Server || !self.exchanges.is_opaque();
        if let Some(what) = What::of(part).filter(|_| !silent && known && cost >= WORTH.max(rtt / 8)) {
            let returned = std::mem::take(&mut self.returned);
            findings.add(what, connection, frames, cost + returned, Confidence::Inferred);
            if cost >= REST && self.is_far(s) && self.halves[s].idents.missing(p.seg) != Some(0) {
                findings.perhaps_lost(what);
            }
        }
    }

    /// The end `s` had nothing to say for so long; what it said then was lost at first.
    fn settle_pause(
        &mut self,
        s: usize,
        p: &Packet<'_>,
        pause: Duration,
        connection: usize,
        findings: &mut Findings,
    ) {
        let idle = !self.exchanges.in_progress();
        let part =
            if s == SERVER && !idle && !self.exchanges.is_pushing() { Part::Server } else { Part::App };
        let (before, until) = (self.parts.of(part), self.mark + pause);
        self.waited(s, part, until);
        let cost = self.parts.of(part) - before;
        if part == Part::Server && cost >= WORTH.max(self.round_trip() / 8) {
            let frames = (self.mark_frame, p.frame);
            findings.add(What::SlowServer, connection, frames, cost, Confidence::Inferred);
        }
    }

    /// What waited for room leaves all the same, because acknowledgments stay away.
    fn settle_probe(
        &mut self,
        p: &Packet<'_>,
        s: usize,
        confidence: Confidence,
        connection: usize,
        findings: &mut Findings,
    ) {
        self.held = Some(Part::Recovery);
        // What is sent again of that was lost; what is acknowledged without was not.
        let doubt = Doubt {
            start: self.halves[s].una.unwrap_or(p.seg.seq),
            end: p.seg.seq,
            at: p.at,
            frames: (self.mark_frame, p.frame),
            cost: p.at.saturating_sub(self.mark),
            what: What::TailLoss,
            confidence,
            needless: What::LateAcks,
            idle: false,
            fresh: true,
            smaller: false,
            acquitted: false,
            sure: false,
        };
        self.doubts[s].add(doubt, connection, findings);
        self.charge(Part::Recovery, p.at);
    }

    /// A FIN that waits for no acknowledgment: whoever sends it had something else to do until then.
    fn settle_fin(&mut self, p: &Packet<'_>, s: usize, connection: usize, findings: &mut Findings) {
        let gap = p.at.saturating_sub(self.mark);
        let rtt = self.round_trip();
        if self.opening {
            return self.settle_syn_ack(p, connection, findings);
        }
        // A response ends with it, or its last byte was the end.
        if s == SERVER
            && self.mark_by == Some(s)
            && gap <= PROMPT.max(rtt / 8)
            && self.exchanges.in_progress()
        {
            return self.charge(Part::Transfer, p.at);
        }
        let (part, frames) = (self.thinking(), (self.mark_frame, p.frame));
        let before = self.parts.of(part);
        if part == Part::Close {
            return self.charge(part, p.at);
        }
        self.waited(s, part, p.at);
        let cost = self.parts.of(part) - before;
        // What is not answered at all has a name of its own.
        let slow = s == SERVER && part == Part::Server && !self.exchanges.is_unanswered();
        if slow && cost >= WORTH.max(rtt / 8) {
            findings.add(What::SlowServer, connection, frames, cost, Confidence::Inferred);
        }
    }

    /// Whether the end `s` is not where the capture was made.
    fn is_far(&self, s: usize) -> bool {
        let half = &self.halves[s];
        self.own.map_or(half.path.unwrap_or(half.floor) >= PROMPT, |own| own != s)
    }

    /// Whether new data comes late because it, or what came before it, was lost on its way here: its sender counts its
    /// packets, and some are missing.
    fn was_lost_before(&self, s: usize, p: &Packet<'_>, gap: Duration) -> bool {
        !self.opening
            && gap >= (self.round_trip() * 2).max(LEAST_PAUSE)
            && self.is_far(s)
            && self.halves[s].idents.missing(p.seg).is_some_and(|n| {
                // Of a flight many may be lost, of what nothing came of, copies.
                n > 0 && (n <= Idents::copies(gap) || self.exchanges.midway(s == CLIENT))
            })
    }

    /// Whether the end `s` had more to say when it stopped: what it sent last was full, and was not pushed, or is still
    /// under way, or came from afar less than a round trip ago.
    fn had_more(&self, s: usize, gap: Duration) -> bool {
        let half = &self.halves[s];
        let usual = |half: &Half| half.recent.max(half.path.unwrap_or_default());
        let round_trip = self.halves.iter().map(usual).sum::<Duration>();
        let under_way = self.own() != s || half.flight() > 0;
        let soon = under_way && gap <= round_trip * 5 / 4;
        half.last_data.is_some() && !half.last_small && (soon || !half.last_pushed)
    }

    /// Whether the segment brings what had come damaged.
    fn mends(&mut self, s: usize, seg: &Segment<'_>) -> bool {
        let mended = self.damaged[s].is_some_and(|(start, end)| seg.seq.lt(end) && seg.end().gt(start));
        if mended {
            self.damaged[s] = None;
        }
        mended
    }

    /// Whether this acknowledges what the other end said, of which nothing was captured.
    fn tells_of_answer(&self, p: &Packet<'_>, s: usize) -> bool {
        let unheard = self.unheard[1 - s];
        s == CLIENT
            && self.exchanges.waits_for_server()
            && unheard.is_some_and(|first| p.seg.has(Flags::ACK) && p.seg.ack.gt(first))
    }

    /// The end `s` probes no longer: how long the other's window was closed in all, `more` included.
    pub(super) fn reopen(
        &mut self,
        s: usize,
        more: Duration,
        connection: usize,
        findings: &mut Findings,
        frame: u64,
    ) {
        if let Some(shut) = self.shut[s].take() {
            let frames = (shut.frames.0, frame);
            findings.add(What::ZeroWindow, connection, frames, shut.cost + more, Confidence::Inferred);
        }
    }
}

//! Where does a connection's time go? Each gap between two packets is charged to what ended it.
//!
//! A gap says nothing until the packet after it shows what had been waited for: data that follows an acknowledgment
//! at once had been held by a window or by Nagle's algorithm, a repetition by a timer, a first byte by whoever had to
//! think. So time is settled up to each packet that explains it, and acknowledgments without data only mark the way.

use super::decode::Segment;
use super::doubt::{Doubt, Doubts};
use super::exchange::{Exchanges, Stop};
use super::finding::{Confidence, Findings, What};
use super::half::Half;
use super::hold::Release;
use super::judge::{AckKind, Again, Kind, PROMPT, View, round_trip};
use super::read::Stated;
use super::stream::Stream;
use crate::http::Speaker;
use crate::ledger::{Part, Parts};
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;
use std::collections::VecDeque;

/// Acknowledgments of which any may be what set the next data free.
const RELEASES: usize = 64;
/// A pause after which the congestion window is no longer trusted, at the least (RFC 9293 §3.8.1's least time-out, as
/// most systems have it).
pub(super) const REST: Duration = Duration::from_millis(200);
/// What takes less is no finding.
pub(super) const WORTH: Duration = Duration::from_millis(1);

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// A window that is closed, for the end that must wait.
#[derive(Clone, Copy, Debug)]
struct Shut {
    frames: (u64, u64),
    /// What it cost so far.
    cost: Duration,
}

/// One connection.
#[derive(Default, Debug)]
pub(super) struct Flow {
    pub halves: [Half; 2],
    pub(super) streams: [Stream; 2],
    pub(super) releases: [VecDeque<Release>; 2],
    /// Time is settled up to here.
    pub(super) mark: Duration,
    pub(super) mark_frame: u64,
    /// Who sent the packet there.
    pub(super) mark_by: Option<usize>,
    pub parts: Parts,
    pub(super) opening: bool,
    pub established: bool,
    /// The end that the capture was made at, if its stack says so.
    pub(super) own: Option<usize>,
    /// What limits that end.
    pub(super) limit: Option<Part>,
    /// The last data of the end was here already.
    pub(super) twice: [bool; 2],
    /// The last segment of the end asks for an answer.
    pub(super) probed: [bool; 2],
    pub(super) lost: [bool; 2],
    /// Bytes that each end sent since it last waited, and the most so far.
    pub(super) burst: [(u32, u32); 2],
    /// The most that it had sent at once before it was idle.
    pub(super) rested: [Option<u32>; 2],
    /// Its last flight before it waited, and how often that was no larger than the one before.
    pub(super) plateau: [(u32, u32); 2],
    /// It waited for its congestion window before.
    pub(super) grown: [bool; 2],
    /// What was sent again, of which it may still turn out that nothing was lost.
    doubts: [Doubts; 2],
    /// What each end was probing for: that the other opens its window.
    shut: [Option<Shut>; 2],
    /// The most that the congestion window of each end let out, since it was seen to hold something.
    pub(super) window: [Option<u32>; 2],
    pub(super) reset: bool,
    /// Packets of each end.
    pub passed: [u64; 2],
    /// What came damaged from each end, and has to come again.
    damaged: [Option<(Seq, Seq)>; 2],
    /// What each end was acknowledged first, while nothing of it was captured.
    unheard: [Option<Seq>; 2],
    /// What new data that just passed had waited for.
    pub held: Option<Part>,
    pub exchanges: Exchanges,
}

/// A packet of a connection.
pub(super) struct Packet<'a> {
    pub at: Duration,
    pub frame: u64,
    pub seg: &'a Segment<'a>,
    pub from_client: bool,
    pub stated: Option<Stated<'a>>,
}

impl Flow {
    /// A connection that the capture knows from its SYN on, or from somewhere in the middle.
    pub(super) fn new(at: Duration, frame: u64, whole: bool) -> Flow {
        let exchanges = if whole { Exchanges::default() } else { Exchanges::in_the_middle() };
        Flow { mark: at, mark_frame: frame, exchanges, ..Flow::default() }
    }

    /// What it takes memory for: exchanges, and segments in flight.
    pub(super) fn burden(&self) -> (usize, usize) {
        (self.exchanges.done.len(), self.halves.iter().map(|half| half.sent.len()).sum())
    }

    /// Keeps few segments in flight apart.
    pub(super) fn lighten(&mut self, most: usize) {
        self.halves.iter_mut().for_each(|half| half.lighten(most));
    }

    /// Takes a packet of connection number `connection`, counted from 1, and says in a word why it was sent.
    pub(super) fn add(&mut self, p: &Packet<'_>, connection: usize, findings: &mut Findings) -> &'static str {
        let (s, o) = if p.from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let kind = match p.stated {
            Some(stated) if stated.sent => self.view(s, p.at, p.seg).judge(p.at, p.seg).stated(stated.why),
            _ => self.view(s, p.at, p.seg).judge(p.at, p.seg),
        };
        let word = match kind {
            Kind::Data if p.seg.has(Flags::FIN) => "fin",
            Kind::Data if self.is_nagle_release(s, p) => "nagle-release",
            Kind::Data if self.is_probe(s, p.at) => "tail-loss-probe",
            kind => kind.word(),
        };
        if let Some(Stated { sent: true, .. }) = p.stated {
            self.own = Some(s);
        } else if p.stated.is_some() {
            self.own = Some(o);
        }
        self.held = None;
        self.passed[s] += 1;
        self.settle(p, s, kind, connection, findings);
        let path = self.halves[s].path.unwrap_or_default();
        self.doubts[o].hear(p.at, p.seg, path, connection, findings);
        self.follow(p, s, kind);
        self.read(p, s, kind, connection, findings);
        if let Some(Stated { limit: Some(limit), .. }) = p.stated {
            self.limit = match limit {
                "nagle" | "cork" => Some(Part::Nagle),
                "cwnd" => Some(Part::Cwnd),
                "rwnd" => Some(Part::Rwnd),
                "pacing" => Some(Part::Pacing),
                _ => None,
            };
        }
        word
    }

    pub(super) fn round_trip(&self) -> Duration {
        round_trip(&self.halves[CLIENT], &self.halves[SERVER])
    }

    fn view(&self, s: usize, at: Duration, seg: &Segment<'_>) -> View<'_> {
        let o = 1 - s;
        View {
            sender: &self.halves[s],
            receiver: &self.halves[o],
            gap: self.streams[o].has_gap(),
            twice: self.twice[o].then_some(self.halves[o].last_data.map_or(at, |(at, _)| at)),
            probed: self.probed[o],
            answers: self.answers(s, at, seg),
            opening: self.opening,
        }
    }

    /// Which end's delays are "own": where the capture was made, by its own word, else by the times.
    pub(super) fn own(&self) -> usize {
        let near = |end: usize| self.halves[end].path.unwrap_or(Duration::MAX);
        self.own.unwrap_or(if near(SERVER) < near(CLIENT) / 4 { SERVER } else { CLIENT })
    }

    pub(super) fn is_at_client(&self) -> bool {
        self.own() == CLIENT
    }

    fn ack_delay_of(&self, end: usize) -> Part {
        if end == self.own() { Part::OwnAckDelay } else { Part::PeerAckDelay }
    }

    fn charge(&mut self, part: Part, until: Duration) {
        let until = until.max(self.mark);
        self.parts.add(part, until - self.mark);
        self.mark = until;
    }

    /// Charges the time up to this packet, if it shows what the time was spent on.
    fn settle(&mut self, p: &Packet<'_>, s: usize, kind: Kind, connection: usize, findings: &mut Findings) {
        let gap = p.at.saturating_sub(self.mark);
        let frames = (self.mark_frame, p.frame);
        match kind {
            // Where one direction is missing, an acknowledgment is all that shows of an answer.
            Kind::Ack(_) if self.tells_of_answer(p, s) => self.charge(Part::Server, p.at),
            // The acknowledgment alone doesn't show what was waited for; what comes next does.
            Kind::Ack(AckKind::Handshake) => self.charge(Part::Handshake, p.at),
            Kind::Ack(_) | Kind::Again(Again::Copy) => return,
            Kind::Again(Again::Late) => {
                let mended = self.mends(s, p.seg);
                if mended {
                    findings.cost(What::Checksum, gap);
                }
                self.charge(if mended { Part::Recovery } else { Part::Transfer }, p.at);
            }
            Kind::Syn => self.charge(Part::App, p.at),
            Kind::SynAck => self.charge(Part::Handshake, p.at),
            Kind::SynRetransmit => {
                // What was answered here had come as far as that.
                let answered = self.halves[1 - s].syn.is_some();
                let what = if answered { What::SynAckLoss } else { What::SynLoss };
                findings.add(what, connection, frames, gap, Confidence::Inferred);
                self.charge(Part::Recovery, p.at);
            }
            // It answers a SYN that came again, or an acknowledgment that passed here was lost behind it.
            Kind::SynAckRetransmit if self.mark_by == Some(1 - s) && gap < PROMPT => {
                self.charge(Part::Handshake, p.at);
            }
            Kind::SynAckRetransmit if self.established => return,
            Kind::SynAckRetransmit => {
                findings.add(What::SynAckLoss, connection, frames, gap, Confidence::Inferred);
                self.charge(Part::Recovery, p.at);
            }
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
            Kind::Again(again) => {
                let what = match again {
                    Again::Rto if self.is_too_large(s, p.seg) => What::MtuBlackHole,
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
                    needless: match again {
                        Again::Rto => What::SpuriousRto,
                        Again::TailLossProbe => What::LateAcks,
                        _ => What::Reordering,
                    },
                };
                self.doubts[s].add(doubt, connection, findings);
                self.charge(Part::Recovery, p.at);
            }
            Kind::Rst => self.waited(s, self.thinking(), p.at),
            // What had come damaged comes again.
            Kind::Data | Kind::Fin if self.mends(s, p.seg) => {
                findings.cost(What::Checksum, gap);
                self.charge(Part::Recovery, p.at);
            }
            Kind::Fin => self.settle_fin(p, s, connection, findings),
            Kind::Data => self.settle_new(p, s, connection, findings),
        }
        self.mark_frame = p.frame;
        self.mark_by = Some(s);
    }

    /// Whose turn it is: the server's while it owes an answer, unless the client takes no more of it.
    fn thinking(&self) -> Part {
        let is_shut = self.halves[CLIENT].edge.is_some() && self.halves[CLIENT].window == 0;
        match self.exchanges.waits_for_server() {
            true if is_shut => Part::Rwnd,
            true if !self.exchanges.is_pushing() => Part::Server,
            _ if self.exchanges.in_progress() => Part::App,
            _ if self.halves.iter().any(|half| half.fin.is_some()) => Part::Close,
            _ => Part::App,
        }
    }

    /// A segment of the end `s` came damaged: its receiver drops it.
    pub(super) fn damage(&mut self, s: usize, seg: &Segment<'_>) {
        if seg.seq_len() > 0 {
            self.damaged[s] = Some((seg.seq, seg.end()));
        }
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

    /// The end of which nothing was captured although the other hears it.
    pub(super) fn missing(&self) -> Option<usize> {
        [CLIENT, SERVER].into_iter().find(|&s| self.passed[s] == 0 && self.unheard[s].is_some())
    }

    /// A FIN that waits for no acknowledgment: whoever sends it had something else to do until then.
    fn settle_fin(&mut self, p: &Packet<'_>, s: usize, connection: usize, findings: &mut Findings) {
        let gap = p.at.saturating_sub(self.mark);
        let rtt = self.round_trip();
        if self.opening {
            return self.charge(Part::Handshake, p.at);
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

    /// The end `s` probes no longer: how long the other's window was closed in all, `more` included.
    fn reopen(&mut self, s: usize, more: Duration, connection: usize, findings: &mut Findings, frame: u64) {
        if let Some(shut) = self.shut[s].take() {
            let frames = (shut.frames.0, frame);
            findings.add(What::ZeroWindow, connection, frames, shut.cost + more, Confidence::Inferred);
        }
    }

    /// The last packet was at `end`.
    pub(super) fn finish(&mut self, end: Duration, connection: usize, findings: &mut Findings) {
        for s in [CLIENT, SERVER] {
            self.reopen(s, Duration::ZERO, connection, findings, self.mark_frame);
            self.doubts[s].close(connection, findings);
        }
        self.exchanges.finish_all();
        self.tell(connection, findings);
        // What passed since then, acknowledgments most likely, explains nothing but itself.
        let over = self.reset || self.halves.iter().any(|half| half.fin.is_some());
        let flying = self.halves.iter().any(|half| half.last_data.is_some_and(|(at, _)| at >= self.mark));
        let part = match self.thinking() {
            _ if over => Part::Close,
            Part::App | Part::Server if flying => Part::Link,
            part => part,
        };
        self.charge(part, end);
    }

    fn tell(&mut self, connection: usize, findings: &mut Findings) {
        for (what, frames, cost, sure) in self.exchanges.take_findings() {
            findings.add(what, connection, frames, cost, sure);
        }
    }

    /// Charges a wait for the end `s`: the way there and back, then `part`.
    fn waited(&mut self, s: usize, part: Part, until: Duration) {
        if self.mark_by == Some(1 - s) {
            let path = self.halves[s].path.unwrap_or_default();
            self.charge(Part::Link, (self.mark + path).min(until));
        }
        self.charge(part, until);
    }

    /// Data that was never sent before, or a FIN: why not earlier?
    fn settle_new(&mut self, p: &Packet<'_>, s: usize, connection: usize, findings: &mut Findings) {
        let o = 1 - s;
        if self.opening {
            // It carries the acknowledgment that completes the handshake.
            self.held = Some(Part::Handshake);
            return self.charge(Part::Handshake, p.at);
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
                    let same = inferred && part == Part::Cwnd && self.is_plateau(s, burst, full);
                    let what = match same {
                        true => What::SendBuffer,
                        false => self.what_held(s, part, delayed, release, burst),
                    };
                    findings.add(what, connection, frames, gap, confidence);
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
        if by_itself && gap <= PROMPT.max(rtt / 8) && !idle {
            self.held = Some(Part::Transfer);
            return self.charge(Part::Transfer, p.at);
        }
        self.burst[s].0 = 0;
        // What the other end said meanwhile is not known if none of it was captured.
        let silent = idle || self.exchanges.is_pushing() || self.passed[1 - s] == 0;
        let server = s == SERVER && !idle && !self.exchanges.is_pushing();
        let part = if server { Part::Server } else { Part::App };
        self.held = Some(part);
        let before = self.parts.of(part);
        self.waited(s, part, p.at);
        let cost = self.parts.of(part) - before;
        // Of a protocol that is not understood, nobody knows whether a client that is silent is late.
        let known = part == Part::Server || !self.exchanges.is_opaque();
        if let Some(what) = What::of(part).filter(|_| !silent && known && cost >= WORTH.max(rtt / 8)) {
            findings.add(what, connection, frames, cost, Confidence::Inferred);
        }
    }

    /// Brings what is known of both ends up to date.
    fn follow(&mut self, p: &Packet<'_>, s: usize, kind: Kind) {
        let (o, seg) = (1 - s, p.seg);
        if let Kind::Again(again) = kind {
            let until = self.halves[s].nxt;
            // A probe asks whether anything was lost.
            self.lost[s] |= matches!(again, Again::Rto | Again::Fast | Again::Sack) && p.seg.len > 0;
            self.halves[s].last_again = Some((again, p.at));
            match again {
                Again::Rto => self.halves[s].rto_until = until,
                Again::Fast | Again::Sack => self.halves[s].recovery_until = until,
                _ => {}
            }
        }
        if kind == Kind::Data {
            let full = self.halves[s].full(&self.halves[o]);
            let rested = self.halves[s]
                .last_data
                .is_some_and(|(at, _)| p.at.saturating_sub(at) > REST + self.round_trip());
            if rested && self.halves[s].flight() == 0 && self.burst[s].1 > 0 {
                self.rested[s] = Some(self.burst[s].1);
            }
            self.burst[s].0 = self.burst[s].0.saturating_add(seg.len);
            self.burst[s].1 = self.burst[s].1.max(self.burst[s].0);
            self.halves[s].last_small = seg.len < full;
        }
        if seg.seq_len() > 0 || matches!(kind, Kind::WindowProbe | Kind::KeepAlive) {
            // Far away, what is sent again may still be new.
            let here = self.own() == o || self.halves[s].una.is_some_and(|una| seg.end().le(una));
            let known = matches!(kind, Kind::Again(again) if again != Again::Late)
                && here
                && !self.view(s, p.at, seg).fills_gap(seg);
            (self.twice[s], self.probed[s]) = (known, matches!(kind, Kind::WindowProbe | Kind::KeepAlive));
        }
        if kind == Kind::SynAck || kind == Kind::SynAckRetransmit {
            self.opening = true;
        } else if kind == Kind::Ack(AckKind::Handshake) || kind == Kind::Data {
            self.established |= self.opening;
            self.opening = false;
        }
        if seg.has(Flags::ACK) && !seg.has(Flags::RST) {
            self.acknowledge(p, s, kind);
        }
        let full = self.halves[s].full(&self.halves[o]);
        if kind == Kind::Data && seg.len >= full && self.window[s].is_none() {
            let cwnd = self.release_of(s, p, full).is_some_and(|(part, _)| part == Part::Cwnd);
            self.window[s] = cwnd.then_some(0);
        }
        self.halves[s].sends(p.at, p.frame, seg);
        let flight = self.halves[s].flight();
        self.window[s] = self.window[s].map(|most| most.max(flight));
        let (first, second) = self.halves.split_at_mut(1);
        let (sender, receiver) =
            if s == CLIENT { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        sender.offers(seg, receiver);
        if kind == Kind::Data {
            receiver.holds(seg.end(), sender);
        }
        if seg.has(Flags::SYN) {
            self.streams[s].start(seg.seq + 1);
        }
        self.reset |= seg.has(Flags::RST);
    }

    /// The acknowledgment of the end `s`, for what the other end sent.
    fn acknowledge(&mut self, p: &Packet<'_>, s: usize, kind: Kind) {
        let (o, seg) = (1 - s, p.seg);
        let edge = self.halves[s].edge;
        let was_closed = self.halves[s].window == 0;
        let other = &mut self.halves[o];
        let flight = other.flight();
        let duplicate = seg.len == 0
            && !seg.has(Flags::SYN)
            && !seg.has(Flags::FIN)
            && other.una == Some(seg.ack)
            && flight > 0
            && !matches!(kind, Kind::Ack(AckKind::WindowUpdate | AckKind::Probe));
        let acked = other.acknowledged(p.at, seg.ack);
        if duplicate {
            other.duplicate_acks += 1;
        }
        for &(start, end) in seg.options.sack.as_slice() {
            if start.lt(seg.ack) {
                other.dsacks += 1;
            } else if end.gt(seg.ack) && other.nxt.is_some_and(|nxt| end.le(nxt)) {
                other.sacked_to = Some(other.sacked_to.map_or(end, |to| to.max(end)));
            }
        }
        let release = Release {
            at: p.at,
            ack: seg.ack,
            midway: seg.len > 0,
            frame: p.frame,
            flight,
            edge,
            acked_all: other.flight() == 0,
            last_small: other.last_small,
            delayed: match kind {
                Kind::Ack(AckKind::Delayed(time)) => time,
                _ => Duration::ZERO,
            },
            was_closed,
        };
        if let Some(time) = acked.newest {
            self.halves[s].sample(time);
            if !matches!(kind, Kind::Ack(AckKind::Delayed(_))) {
                self.halves[s].recent = time;
            }
        }
        let midway = seg.len > 0 && acked.bytes > 0 && self.exchanges.midway(o == CLIENT);
        if (seg.seq_len() == 0 || midway) && kind != Kind::Ack(AckKind::Handshake) {
            let ring = &mut self.releases[o];
            if ring.len() == RELEASES {
                ring.pop_front();
            }
            ring.push_back(release);
        }
    }

    /// Hands the packet's bytes to whoever understands them.
    fn read(&mut self, p: &Packet<'_>, s: usize, kind: Kind, connection: usize, findings: &mut Findings) {
        let speaker = if s == CLIENT { Speaker::Client } else { Speaker::Server };
        let seg = p.seg;
        let (streams, exchanges) = (&mut self.streams, &mut self.exchanges);
        // The time up to which parts are charged, so that they add up.
        exchanges.at(self.mark, p.frame, self.parts);
        if s == SERVER
            && matches!(kind, Kind::Again(_))
            && seg.len > 0
            && self.halves[s].una.is_some_and(|una| seg.end().gt(una))
        {
            exchanges.repeated();
        }
        if seg.has(Flags::ACK) && !seg.has(Flags::RST) {
            let other = if s == CLIENT { Speaker::Server } else { Speaker::Client };
            // The number of a FIN is no byte.
            let ack = match self.halves[1 - s].fin {
                Some(fin) if seg.ack.ge(fin) => fin - 1,
                _ => seg.ack,
            };
            if self.passed[1 - s] == 0 {
                let first = *self.unheard[1 - s].get_or_insert(ack);
                streams[1 - s].start(first);
            }
            streams[1 - s].acknowledged(ack, &mut |piece| exchanges.take(other, piece));
        }
        if seg.len > 0 && !seg.has(Flags::RST) {
            let first = if seg.has(Flags::SYN) { seg.seq + 1 } else { seg.seq };
            streams[s].add(first, seg.len, seg.payload, &mut |piece| exchanges.take(speaker, piece));
        }
        if seg.has(Flags::FIN) || seg.has(Flags::RST) {
            let taken = self.halves[1 - s].flight() == 0;
            let round_trip = round_trip(&self.halves[CLIENT], &self.halves[SERVER]);
            exchanges.end(speaker, Stop { reset: seg.has(Flags::RST), taken, round_trip });
        }
        self.tell(connection, findings);
    }
}

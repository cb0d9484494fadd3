//! Where does a connection's time go? Each gap between two packets is charged to what ended it.
//!
//! A gap says nothing until the packet after it shows what had been waited for: data that follows an acknowledgment
//! at once had been held by a window or by Nagle's algorithm, a repetition by a timer, a first byte by whoever had to
//! think. So time is settled up to each packet that explains it, and acknowledgments without data only mark the way.

use super::decode::Segment;
use super::exchange::Exchanges;
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
const REST: Duration = Duration::from_millis(200);
/// What takes less is no finding.
pub(super) const WORTH: Duration = Duration::from_millis(1);

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// Something that was sent again.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    start: Seq,
    end: Seq,
    at: Duration,
    what: What,
    frames: (u64, u64),
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
    /// What was sent again last, of which it may still turn out that nothing was lost.
    doubt: [Option<Doubt>; 2],
    /// The most that the congestion window of each end let out, since it was seen to hold something.
    pub(super) window: [Option<u32>; 2],
    pub(super) reset: bool,
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
    pub(super) fn new(at: Duration, frame: u64) -> Flow {
        Flow { mark: at, mark_frame: frame, ..Flow::default() }
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
        self.settle(p, s, kind, connection, findings);
        if let Some(doubt) = self.dispel(p, o) {
            findings.add(doubt.what, connection, doubt.frames, doubt.cost, Confidence::Certain);
        }
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
        let mut find = |what, cost, confidence| findings.add(what, connection, frames, cost, confidence);
        match kind {
            // The acknowledgment alone doesn't show what was waited for; what comes next does.
            Kind::Ack(AckKind::Handshake) => self.charge(Part::Handshake, p.at),
            Kind::Ack(_) | Kind::Again(Again::Copy) => return,
            Kind::Again(Again::Late) => self.charge(Part::Transfer, p.at),
            Kind::Syn => self.charge(Part::App, p.at),
            Kind::SynAck => self.charge(Part::Handshake, p.at),
            Kind::SynRetransmit => {
                find(What::SynLoss, gap, Confidence::Inferred);
                self.charge(Part::Recovery, p.at);
            }
            Kind::SynAckRetransmit => {
                find(What::SynAckLoss, gap, Confidence::Inferred);
                self.charge(Part::Recovery, p.at);
            }
            Kind::WindowProbe => {
                self.charge(Part::Rwnd, p.at);
            }
            Kind::KeepAlive => self.charge(if s == CLIENT { Part::App } else { self.thinking() }, p.at),
            Kind::Again(again) => {
                let what = match again {
                    Again::Rto if self.is_too_large(s, p.seg) => What::MtuBlackHole,
                    Again::Rto => What::Rto,
                    Again::TailLossProbe => What::TailLoss,
                    _ => What::FastRetransmit,
                };
                let stated = p.stated.is_some_and(|stated| stated.sent);
                let stated = stated && what != What::MtuBlackHole;
                find(what, gap, if stated { Confidence::Stated } else { Confidence::Inferred });
                let wrong = if again == Again::Rto { What::SpuriousRto } else { What::Reordering };
                self.doubt[s] = Some(Doubt {
                    start: p.seg.seq,
                    end: p.seg.end(),
                    at: p.at,
                    what: wrong,
                    frames,
                    cost: gap,
                });
                self.charge(Part::Recovery, p.at);
            }
            Kind::Rst => {
                let part = if s == SERVER { Part::Server } else { Part::App };
                self.waited(s, part, p.at);
            }
            Kind::Data | Kind::Fin => self.settle_new(p, s, connection, findings),
        }
        self.mark_frame = p.frame;
        self.mark_by = Some(s);
    }

    /// Whose turn it is: the server's while it owes an answer.
    fn thinking(&self) -> Part {
        if self.exchanges.waits_for_server() { Part::Server } else { Part::App }
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
                if gap >= WORTH {
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
            None => {
                let idle = !self.exchanges.in_progress();
                let part = if s == SERVER && !idle { Part::Server } else { Part::App };
                let by_itself = self.mark_by == Some(s);
                if by_itself && gap <= PROMPT.max(rtt / 8) && !idle {
                    self.held = Some(Part::Transfer);
                    return self.charge(Part::Transfer, p.at);
                }
                self.burst[s].0 = 0;
                self.held = Some(part);
                let before = self.parts.of(part);
                self.waited(s, part, p.at);
                let cost = self.parts.of(part) - before;
                // Of a protocol that is not understood, nobody knows whether a client that is silent is late.
                let known = part == Part::Server || !self.exchanges.is_opaque();
                if let Some(what) = What::of(part).filter(|_| !idle && known && cost >= WORTH.max(rtt / 8)) {
                    findings.add(what, connection, frames, cost, Confidence::Inferred);
                }
            }
        }
    }

    /// What the end `o` had sent again although it was not lost, as this packet shows: its receiver had it twice
    /// (RFC 2883), or acknowledges more sooner than the repetition can have come there (RFC 5682).
    fn dispel(&mut self, p: &Packet<'_>, o: usize) -> Option<Doubt> {
        let doubt = self.doubt[o]?;
        let (ack, sack) = (p.seg.ack, p.seg.options.sack.as_slice());
        if !p.seg.has(Flags::ACK) {
            return None;
        }
        let twice = |b: &(Seq, Seq)| b.0.lt(ack) && b.0.le(doubt.start) && b.1.ge(doubt.end);
        let path = self.halves[1 - o].path.unwrap_or_default();
        let early = ack.ge(doubt.end) && p.at.saturating_sub(doubt.at) < path / 2;
        if sack.first().is_some_and(twice) || early {
            return self.doubt[o].take();
        }
        None
    }

    /// Brings what is known of both ends up to date.
    fn follow(&mut self, p: &Packet<'_>, s: usize, kind: Kind) {
        let (o, seg) = (1 - s, p.seg);
        if let Kind::Again(again) = kind {
            let until = self.halves[s].nxt;
            self.lost[s] |= !matches!(again, Again::Copy | Again::Late);
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
            if s == CLIENT { (&mut first[0], &second[0]) } else { (&mut second[0], &first[0]) };
        sender.offers(seg, receiver);
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
            streams[1 - s].acknowledged(ack, &mut |piece| exchanges.take(other, piece));
        }
        if seg.len > 0 && !seg.has(Flags::RST) {
            let first = if seg.has(Flags::SYN) { seg.seq + 1 } else { seg.seq };
            streams[s].add(first, seg.len, seg.payload, &mut |piece| exchanges.take(speaker, piece));
        }
        if seg.has(Flags::FIN) || seg.has(Flags::RST) {
            exchanges.end(speaker, seg.has(Flags::RST));
        }
        for (what, frames, cost) in exchanges.take_findings() {
            findings.add(what, connection, frames, cost, Confidence::Certain);
        }
    }
}

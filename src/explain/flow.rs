//! What is known of a connection while its packets pass, and where did its time go? Each gap is charged to what ended it.

use super::decode::Segment;
use super::doubles::{Double, Pairs};
use super::doubt::{Doubt, Doubts};
use super::exchange::{Exchanges, Stop};
use super::finding::{Confidence, Findings, What};
use super::half::Half;
use super::hold::{Plateau, Release};
use super::judge::{AckKind, Again, Kind, PROMPT, View, round_trip};
use super::opening::{InVain, Question, Tries};
use super::rate::{Carried, Run};
use super::read::Stated;
use super::strange::{OddReset, Stale};
use super::stream::Stream;
use super::too_big::TooBig;
use crate::http::Speaker;
use crate::ledger::{Part, Parts};
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;
use std::collections::VecDeque;

/// Acknowledgments of which any may be what set the next data free.
const RELEASES: usize = 64;
/// What lies so far beyond a window, or four of them, is not believed.
const FAR: u32 = 256 << 10;
/// A pause after which the congestion window is no longer trusted, at the least (RFC 9293 §3.8.1's least time-out, as
/// most systems have it).
pub(super) const REST: Duration = Duration::from_millis(200);
/// What takes less is no finding.
pub(super) const WORTH: Duration = Duration::from_millis(1);

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

/// What a connection takes memory for: exchanges that are over, segments in flight, bytes beyond gaps.
pub(super) type Burden = [usize; 3];
pub(super) const EXCHANGES: usize = 0;
pub(super) const RECORDS: usize = 1;
pub(super) const PENDING: usize = 2;

/// A window that is closed, for the end that must wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shut {
    pub frames: (u64, u64),
    /// What it cost so far.
    pub cost: Duration,
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
    /// What each end opens the connection with, as often as it was sent.
    pub(super) tries: [Tries; 2],
    pub(super) open_question: Option<Question>,
    /// Nothing answered its SYNs.
    pub(super) in_vain: Option<InVain>,
    /// The server does not take connections that are open to its client.
    pub(super) backlog: bool,
    /// Whether each packet was captured twice.
    pub(super) pairs: Pairs,
    /// What of each end had passed by, in the same place, and in another one.
    doubles: [[u64; 2]; 2],
    /// What just passed had been overtaken.
    pub(super) is_late: bool,
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
    /// The most that it had in flight since anything was lost; before it was idle, where that is seen, else the most that
    /// it had sent at once.
    pub(super) most: [u32; 2],
    /// What was in flight when it last sent new data, that included.
    pub(super) out: [u32; 2],
    pub(super) rested: [Option<u32>; 2],
    pub(super) plateau: [Plateau; 2],
    /// It waited for its congestion window before.
    pub(super) grown: [bool; 2],
    /// What was sent again, of which it may still turn out that nothing was lost.
    pub(super) doubts: [Doubts; 2],
    /// What each end was probing for: that the other opens its window.
    pub(super) shut: [Option<Shut>; 2],
    /// The most that the congestion window of each end let out, since it was seen to hold something.
    pub(super) window: [Option<u32>; 2],
    pub(super) reset: bool,
    /// Packets of each end.
    pub passed: [u64; 2],
    /// What each end sends without a rest.
    runs: [Run; 2],
    /// How fast the path carried that.
    carried: [Carried; 2],
    /// Who sends something now.
    pub(super) speaker: Option<usize>,
    /// Where the time went that each end waited before it sent something.
    pub limits: [Parts; 2],
    /// What came damaged from each end, and has to come again.
    pub(super) damaged: [Option<(Seq, Seq)>; 2],
    /// What each end was acknowledged first, while nothing of it was captured.
    pub(super) unheard: [Option<Seq>; 2],
    /// Where each end's FIN stands, while something before it is missing.
    closing: [Option<(Seq, Stop)>; 2],
    /// What each end sent last that was not believed: its numbers.
    wild: [Option<(Seq, Seq)>; 2],
    /// What new data that just passed had waited for.
    pub held: Option<Part>,
    /// It waits with others to give up what it keeps beyond gaps, if there is too much of that.
    pub(super) is_kept: bool,
    /// A RST that may be ignored.
    pub(super) odd_reset: Option<OddReset>,
    /// Its SYN carried a request that was taken.
    pub(super) fast_open: bool,
    /// What the server takes for open, though the client forgot it.
    pub(super) stale: Option<Stale>,
    /// A probe of the client's that turned out to be needless while the server made its answer, and when that was.
    pub(super) idled: Option<(Doubt, Duration)>,
    /// Time that was taken for recovery, and is the server's.
    pub(super) returned: Duration,
    /// How many packets of its sender were lost before what just passed, which repeats the first of them.
    pub lost_before: u16,
    /// How much sooner that was sent first, if it came after a pause.
    pub earlier: Duration,
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

    /// What it takes memory for.
    pub(super) fn burden(&self) -> Burden {
        let records = self.halves.iter().map(|half| half.sent.len()).sum();
        [self.exchanges.done.len(), records, self.streams.iter().map(Stream::burden).sum()]
    }

    /// Takes what is missing for holes, so that nothing is kept beyond it.
    pub(super) fn give_up_gaps(&mut self, connection: usize, findings: &mut Findings) {
        for (s, speaker) in [(CLIENT, Speaker::Client), (SERVER, Speaker::Server)] {
            let exchanges = &mut self.exchanges;
            self.streams[s].give_up(&mut |piece| exchanges.take(speaker, piece));
        }
        self.close();
        self.tell(connection, findings);
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
        (self.held, self.lost_before, self.earlier) = (None, 0, Duration::ZERO);
        self.is_late = kind == Kind::Again(Again::Late);
        self.passed[s] += 1;
        let lone = self.parts.transfer;
        self.speaker = (p.seg.seq_len() > 0).then_some(s);
        let gap = p.at.saturating_sub(self.mark);
        self.settle(p, s, kind, connection, findings);
        self.speaker = None;
        self.run(p, s, kind, gap, self.parts.transfer > lone, connection, findings);
        let path = self.halves[s].path.unwrap_or_default();
        self.lost[o] &= !self.doubts[o].are_needless();
        let idle = self.doubts[o].hear(p.at, p.seg, path, connection, findings);
        if self.doubts[o].take_acquitted() && o == SERVER {
            self.exchanges.unrepeat();
        }
        match idle {
            Some(doubt) if self.is_asked() => self.idled = Some((doubt, p.at)),
            Some(doubt) => doubt.tell(connection, findings),
            None => {}
        }
        if kind == Kind::Again(Again::Late) && p.seg.len > 0 {
            self.doubts[s].overtaken(p.seg, connection, findings);
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

    /// Follows whether the end `s` sends without a rest.
    #[allow(clippy::too_many_arguments, reason = "what was found out of one packet")]
    fn run(
        &mut self,
        p: &Packet<'_>,
        s: usize,
        kind: Kind,
        gap: Duration,
        moves: bool,
        connection: usize,
        findings: &mut Findings,
    ) {
        let rtt = self.round_trip();
        let full = self.halves[s].full(&self.halves[1 - s]);
        match kind {
            Kind::Data if (moves || gap.is_zero()) && self.runs[s].goes_on(p.at, rtt) => {
                self.runs[s].add(p.at, p.frame, p.seg.len, full, rtt);
            }
            Kind::Again(_) if gap <= rtt / 4 => {}
            Kind::Data | Kind::Again(_) | Kind::Fin | Kind::Rst | Kind::WindowProbe => {
                self.rest(s, connection, findings);
                self.runs[s].begin(p.at, p.frame);
            }
            _ => {}
        }
    }

    /// The end `s` has stopped for a while.
    fn rest(&mut self, s: usize, connection: usize, findings: &mut Findings) {
        let full = self.halves[s].full(&self.halves[1 - s]);
        if let Some(run) = self.runs[s].stop(full, self.round_trip()) {
            let spread = run.spread || self.carried[s].exceeds(&run);
            let what = if spread { What::Pacing } else { What::PathRate };
            findings.add(what, connection, run.frames, run.time, Confidence::Inferred);
        }
    }

    /// Whether a segment of the end `s` is far from all that the connection is about: beyond what its receiver can take,
    /// or acknowledging what was never sent. It was damaged, or is not of this connection; two that agree are believed,
    /// for what came before them may not have been captured.
    pub(super) fn is_wild(&mut self, s: usize, seg: &Segment<'_>) -> bool {
        let (own, other) = (&self.halves[s], &self.halves[1 - s]);
        let far = |window: u32| window.saturating_mul(4).max(FAR);
        let beyond =
            |seq: Seq, end: Option<Seq>, far: u32| end.is_some_and(|end| seq.gt(end) && seq.since(end) > far);
        if seg.has(Flags::SYN) || self.passed[s] == 0 {
            return false;
        }
        let room = far(other.largest_window);
        // A window that nobody knows holds no more than any (RFC 7323 §2.3).
        let (edge, room) = if other.edge.is_some() { (other.edge, room) } else { (own.nxt, 1 << 30) };
        let ack = seg.has(Flags::ACK).then_some(seg.ack);
        let heard = other.nxt.filter(|_| self.passed[1 - s] > 0);
        let wild = beyond(seg.end(), edge.map(|edge| edge.max(own.nxt.unwrap_or(edge))), room)
            || own.una.is_some_and(|una| beyond(una, Some(seg.end()), room))
            || ack.is_some_and(|ack| beyond(ack, heard, far(own.largest_window)));
        let near = |a: Seq, b: Seq| a.delta(b).unsigned_abs() <= FAR;
        let last = std::mem::replace(&mut self.wild[s], wild.then_some((seg.seq, seg.ack)));
        wild && !last.is_some_and(|(seq, ack)| near(seq, seg.seq) && near(ack, seg.ack))
    }

    /// A router says that what the end `s` had sent was too large; hostile ones say it of what is not under way.
    pub(super) fn too_big(&mut self, s: usize, at: Duration, told: &TooBig) {
        let half = &mut self.halves[s];
        if half.record(told.seq).is_some_and(|sent| sent.times > 0) && half.flight() > 0 {
            half.too_big = Some((at, told.mtu, half.nxt));
        }
    }

    /// Whether nothing that was said waits for an acknowledgment.
    pub(super) fn is_settled(&self) -> bool {
        self.reset || self.halves.iter().all(|half| half.flight() == 0)
    }

    /// Whether a segment of the end `s` has numbers as they are used here now.
    pub(super) fn is_near(&self, s: usize, seg: &Segment<'_>) -> bool {
        let near = |a: Option<Seq>, b: Seq| a.is_none_or(|a| a.delta(b).unsigned_abs() <= FAR);
        let (own, other) = (&self.halves[s], &self.halves[1 - s]);
        near(own.nxt.or(own.una), seg.seq) && (!seg.has(Flags::ACK) || near(other.nxt, seg.ack))
    }

    /// The same packet again, because it was captured twice: in a word, what it is.
    pub(super) fn double(&mut self, p: &Packet<'_>, double: Double) -> &'static str {
        let s = usize::from(!p.from_client);
        self.doubles[usize::from(double == Double::Elsewhere)][s] += u64::from(p.seg.seq_len() > 0);
        // If it was doubled on the way, its receiver answers both.
        if p.seg.seq_len() > 0 {
            self.twice[s] = true;
        }
        self.view(s, p.at, p.seg).judge(p.at, p.seg).word()
    }

    /// How many of what was taken for captured twice in one place, and in two, came twice to its receiver, who says so
    /// (RFC 2883): the network doubled it.
    pub(super) fn doubled_on_the_way(&mut self) -> [u64; 2] {
        let mut found = [0; 2];
        for s in [CLIENT, SERVER] {
            let half = &mut self.halves[s];
            let r = half.repeats;
            let mut told = half.dsacks.saturating_sub(r.rto + r.probe + r.fast + r.sack + r.copy);
            for (n, doubles) in self.doubles.iter().enumerate() {
                let these = doubles[s].min(told);
                (told, found[n]) = (told - these, found[n] + these);
                half.repeats.copy += these;
            }
        }
        found
    }

    /// A segment of the end `s` came damaged: its receiver drops it.
    pub(super) fn damage(&mut self, s: usize, seg: &Segment<'_>) {
        if seg.seq_len() > 0 {
            self.damaged[s] = Some((seg.seq, seg.end()));
        }
    }

    /// The end of which nothing was captured although the other hears it.
    pub(super) fn missing(&self) -> Option<usize> {
        [CLIENT, SERVER].into_iter().find(|&s| self.passed[s] == 0 && self.unheard[s].is_some())
    }

    /// The last packet was at `end`.
    pub(super) fn finish(&mut self, end: Duration, connection: usize, findings: &mut Findings) {
        self.settle_unanswered(connection, findings);
        for s in [CLIENT, SERVER] {
            self.reopen(s, Duration::ZERO, connection, findings, self.mark_frame);
            self.doubts[s].close(connection, findings);
            if let Some((doubt, _)) = self.idled.take() {
                doubt.tell(connection, findings);
            }
            self.plateau[s].close(connection, findings);
            self.rest(s, connection, findings);
        }
        for (s, speaker) in [(CLIENT, Speaker::Client), (SERVER, Speaker::Server)] {
            // It was sent, as the number of the FIN says, and not captured.
            if let Some((fin, _)) = self.closing[s] {
                let exchanges = &mut self.exchanges;
                self.streams[s].acknowledged(fin, &mut |piece| exchanges.take(speaker, piece));
            }
        }
        self.close();
        self.exchanges.finish_all(end);
        self.tell(connection, findings);
        for half in &mut self.halves {
            if let (times, all, Some(since)) = half.zero {
                half.zero = (times, all + end.saturating_sub(since), None);
            }
        }
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

    /// Brings what is known of both ends up to date.
    fn follow(&mut self, p: &Packet<'_>, s: usize, kind: Kind) {
        let (o, seg) = (1 - s, p.seg);
        let repeats = &mut self.halves[s].repeats;
        match kind {
            Kind::SynRetransmit | Kind::SynAckRetransmit => repeats.syn += 1,
            Kind::Again(Again::Rto) => repeats.rto += 1,
            Kind::Again(Again::TailLossProbe) => repeats.probe += 1,
            Kind::Again(Again::Fast) => repeats.fast += 1,
            Kind::Again(Again::Sack) => repeats.sack += 1,
            Kind::Again(Again::Late) => {
                repeats.late += 1;
                // It belongs to what was sent at once.
                self.burst[s].0 = self.burst[s].0.saturating_add(seg.len);
            }
            Kind::Again(Again::Copy) => repeats.copy += 1,
            Kind::Again(Again::Mtu) => repeats.mtu += 1,
            _ => {}
        }
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
            if self.own() == o {
                let rtt = self.round_trip();
                self.carried[s].add(p.at, seg.len, full, rtt);
            }
            let rested = self.halves[s]
                .last_data
                .is_some_and(|(at, _)| p.at.saturating_sub(at) > REST + self.round_trip());
            let idle = self.halves[s].flight() == 0 && self.held != Some(Part::Recovery);
            if rested && idle && self.burst[s].1 > 0 {
                self.rested[s] = Some(if self.own() == s { self.most[s] } else { self.burst[s].1 });
            }
            self.burst[s].0 = self.burst[s].0.saturating_add(seg.len);
            self.burst[s].1 = self.burst[s].1.max(self.burst[s].0);
            let half = &mut self.halves[s];
            half.last_small = seg.len < full;
            if half.last_small && !seg.has(Flags::FIN) {
                let waits = half.small.zip(half.una).is_some_and(|(small, una)| small.gt(una));
                half.hasty |= waits && self.held != Some(Part::Recovery);
                half.small = Some(seg.end());
            }
            self.halves[s].last_pushed = seg.has(Flags::PSH);
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
            self.opening = !self.established;
        } else if kind == Kind::Ack(AckKind::Handshake) || kind == Kind::Data {
            self.established |= self.opening;
            self.opening = false;
        }
        if seg.has(Flags::ACK) && !seg.has(Flags::RST) {
            self.acknowledge(p, s, kind);
        }
        let full = self.halves[s].full(&self.halves[o]);
        if kind == Kind::Data && seg.len >= full && self.window[s].is_none() {
            let cwnd = self.release_of(s, p, full).filter(|(part, _)| *part == Part::Cwnd);
            // What was acknowledged has opened it.
            self.window[s] =
                cwnd.map(|(_, r)| r.flight.saturating_add(if self.lost[s] { 0 } else { r.bytes }));
        }
        self.halves[s].sends(p.at, p.frame, seg, full);
        let flight = self.halves[s].flight();
        self.window[s] = self.window[s].map(|most| most.max(flight));
        if kind == Kind::Data {
            self.out[s] = flight;
        }
        self.most[s] = match kind {
            Kind::Again(Again::Rto | Again::Fast | Again::Sack) => 0,
            _ => self.most[s].max(flight),
        };
        let (first, second) = self.halves.split_at_mut(1);
        let (sender, receiver) =
            if s == CLIENT { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        sender.offers(p.at, seg, receiver);
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
        let (flight, una) = (other.flight(), other.una);
        let duplicate = seg.len == 0
            && !seg.has(Flags::SYN)
            && !seg.has(Flags::FIN)
            && other.una == Some(seg.ack)
            && flight > 0
            && !matches!(kind, Kind::Ack(AckKind::WindowUpdate | AckKind::Probe));
        let acked = other.acknowledged(p.at, seg.ack);
        if self.own() == o && acked.bytes > 0 {
            let full = self.halves[o].full(&self.halves[s]);
            let rtt = self.round_trip();
            self.carried[o].add(p.at, acked.bytes, full, rtt);
        }
        let other = &mut self.halves[o];
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
            bytes: acked.bytes,
            freed: other.small.is_some_and(|end| seg.ack.ge(end) && una.is_none_or(|una| end.gt(una))),
            edge,
            acked_all: other.flight() == 0,
            last_small: other.last_small,
            delayed: match kind {
                Kind::Ack(AckKind::Delayed(time)) => time,
                _ => Duration::ZERO,
            },
            was_closed,
        };
        if acked.bytes > 0 && self.halves[s].path.is_none() {
            self.halves[s].floor = acked.least;
        }
        if let Some(time) = acked.newest {
            self.halves[s].sample(time);
            if let Some(least) = self.halves[s].path.filter(|_| self.own() == o && time >= PROMPT) {
                self.runs[o].trip(time, least);
            }
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
            && matches!(kind, Kind::Again(again) if again != Again::Copy)
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
            let stop = self.stop(s, seg.has(Flags::RST));
            if !stop.reset {
                self.closing[s] = Some((seg.end() - 1, stop));
            }
        }
        self.close();
        self.tell(connection, findings);
    }

    /// The end `s` stops speaking, at once if it does so with a RST.
    pub(super) fn stop(&mut self, s: usize, reset: bool) -> Stop {
        let other = &self.halves[1 - s];
        // Whether what it said was heard; that it said no more is another matter.
        let taken = match (other.fin, other.una) {
            (Some(fin), Some(una)) => una.ge(fin - 1),
            _ => other.flight() == 0,
        };
        let stop = Stop { reset, taken, unheard: self.is_unheard(s), round_trip: self.round_trip() };
        if reset {
            self.closing[s] = None;
            self.exchanges.end(if s == CLIENT { Speaker::Client } else { Speaker::Server }, stop);
        }
        stop
    }

    /// Tells of FINs before which nothing is missing any more: bytes that were not captured come to light late.
    fn close(&mut self) {
        for (s, speaker) in [(CLIENT, Speaker::Client), (SERVER, Speaker::Server)] {
            if let Some((_, stop)) = self.closing[s].take_if(|(fin, _)| self.streams[s].has_come_to(*fin)) {
                self.exchanges.end(speaker, stop);
            }
        }
    }
}

//! What did opening a connection cost: which of its SYNs was answered, and which of its SYN-ACKs?

use super::finding::{Confidence, Findings, What};
use super::flow::{CLIENT, Flow, Packet, REST, SERVER};
use super::half::Half;
use crate::ledger::Part;
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;

/// SYNs that are told apart; those beyond count as the last.
const MOST: usize = 16;
/// Who answers so soon is where the capture was made.
const HERE: Duration = Duration::from_micros(200);

/// A SYN, or a SYN-ACK, as often as it was sent: when, in which frame, and with which time stamp.
#[derive(Default, Debug)]
pub(super) struct Tries(Vec<(Duration, u64, Option<u32>)>);

/// Was the first of several SYNs lost, or did the answer take that long?
#[derive(Debug)]
pub(super) struct Question {
    tries: Tries,
    answer: Duration,
}

/// SYNs that nothing answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct InVain {
    frames: (u64, u64),
    first: Duration,
    last: Duration,
}

impl InVain {
    /// What it cost whoever sent them until `instead`, when he tried something else; nothing at all, if the answer may
    /// still be under way when the capture ends, at `end`.
    pub fn tell(&self, instead: Option<Duration>, end: Duration, connection: usize, findings: &mut Findings) {
        let cost = instead.map_or(self.last, |at| at.max(self.last)).saturating_sub(self.first);
        if !cost.is_zero() || end.saturating_sub(self.last) >= REST {
            findings.add(What::NoSynAck, connection, self.frames, cost, Confidence::Inferred);
        }
    }
}

impl Tries {
    pub fn add(&mut self, p: &Packet<'_>) {
        self.0.truncate(MOST - 1);
        self.0.push((p.at, p.frame, p.seg.options.timestamps.map(|stamps| stamps.value)));
    }

    /// Which of them this answers: what it echoes tells (RFC 7323 §3.2), else it is the last; and whether that is known.
    fn answered(&self, p: &Packet<'_>) -> (usize, bool) {
        let echo = p.seg.options.timestamps.map(|stamps| stamps.echo);
        let told = echo.and_then(|echo| self.0.iter().rposition(|(.., stamp)| *stamp == Some(echo)));
        (told.unwrap_or(self.0.len().saturating_sub(1)), told.is_some())
    }
}

impl Flow {
    /// A SYN is answered: those before the one that is were lost, those after it needless.
    pub(super) fn settle_syn(&mut self, p: &Packet<'_>, connection: usize, findings: &mut Findings) {
        let tries = std::mem::take(&mut self.tries[CLIENT]);
        let (nth, told) = tries.answered(p);
        // All of them came where the answer comes from at once: whoever listens there took none before.
        let at_once = tries.0.last().is_some_and(|(at, ..)| p.at.saturating_sub(*at) <= HERE);
        let known = self.stale.is_some_and(|stale| stale.known);
        let what = match () {
            () if known => What::HalfOpen,
            () if at_once => What::Backlog,
            () => What::SynLoss,
        };
        let last = tries.0.last().map_or(p.at, |(at, ..)| *at);
        let surely = tries.0.len() < 2 || at_once || known || (told && nth > 0);
        if surely {
            self.settle_tries(&tries, nth, told, what, connection, findings);
            self.measure(SERVER, &tries, nth, told, p.at);
        } else {
            // Linux echoes the first SYN in each SYN-ACK, so one of those may have been lost, or nothing.
            self.open_question = Some(Question { tries, answer: p.at });
            self.charge(Part::Recovery, last);
        }
        // What travelled with the SYN was taken (RFC 7413): the answer to it is on its way as well.
        let said = self.halves[CLIENT].syn.is_some_and(|syn| p.seg.ack.gt(syn + 1));
        self.fast_open = said && p.seg.has(Flags::ACK);
        self.charge(if self.fast_open { Part::Link } else { Part::Handshake }, p.at);
    }

    /// The handshake is complete: so much for SYN-ACKs.
    pub(super) fn settle_syn_ack(&mut self, p: &Packet<'_>, connection: usize, findings: &mut Findings) {
        let tries = std::mem::take(&mut self.tries[SERVER]);
        let (nth, told) = tries.answered(p);
        self.settle_tries(&tries, nth, told, What::SynAckLoss, connection, findings);
        self.measure(CLIENT, &tries, nth, told, p.at);
        // Where nothing of the client's was captured, nobody knows when it was complete.
        let part = if self.passed[CLIENT] == 0 { Part::Server } else { Part::Handshake };
        self.charge(part, p.at);
    }

    /// Of several, where it is told which was answered, the way to the end `s` and back can be known (RFC 7323 §4).
    fn measure(&mut self, s: usize, tries: &Tries, nth: usize, told: bool, at: Duration) {
        if let Some((sent, ..)) = tries.0.get(nth).filter(|_| told && tries.0.len() > 1) {
            self.halves[s].sample(at.saturating_sub(*sent));
        }
    }

    /// Nothing of them was answered.
    pub(super) fn settle_unanswered(&mut self, connection: usize, findings: &mut Findings) {
        if let Some(Question { tries, .. }) = self.open_question.take() {
            let last = tries.0.len().saturating_sub(1);
            self.settle_tries(&tries, last, false, What::SynLoss, connection, findings);
        }
        for (s, what) in [(CLIENT, What::SynLoss), (SERVER, What::SynAckLoss)] {
            let tries = std::mem::take(&mut self.tries[s]);
            if s == CLIENT
                && self.passed[SERVER] == 0
                && let (Some(&(first, from, _)), Some(&(last, to, _))) = (tries.0.first(), tries.0.last())
            {
                self.charge(Part::Recovery, last);
                self.in_vain = Some(InVain { frames: (from, to), first, last });
                continue;
            }
            let last = tries.0.len().saturating_sub(1);
            self.settle_tries(&tries, last, false, what, connection, findings);
        }
    }

    /// The server's SYN-ACK comes again: as long behind the one before as the second SYN behind the first? Then both came.
    pub(super) fn hear_again(
        &mut self,
        s: usize,
        p: &Packet<'_>,
        connection: usize,
        findings: &mut Findings,
    ) {
        let Some(Question { tries, answer }) = self.open_question.take_if(|_| s == SERVER) else { return };
        let [(first, ..), .., (last, ..)] = tries.0[..] else { return };
        let (apart, between) = (p.at.saturating_sub(answer), last.saturating_sub(first));
        if apart.abs_diff(between) > between / 8 {
            self.open_question = Some(Question { tries, answer });
            return;
        }
        self.halves[SERVER].sample(answer.saturating_sub(first));
        self.parts.shift(Part::Recovery, Part::Handshake, between);
        self.limits[SERVER].shift(Part::Recovery, Part::Handshake, between);
        self.exchanges.shift(Part::Recovery, Part::Handshake, between);
        self.settle_tries(&tries, 0, true, What::SynLoss, connection, findings);
    }

    /// The one of that number was answered.
    fn settle_tries(
        &mut self,
        tries: &Tries,
        nth: usize,
        told: bool,
        what: What,
        connection: usize,
        findings: &mut Findings,
    ) {
        for (n, pair) in tries.0.windows(2).enumerate() {
            let frames = (pair[0].1, pair[1].1);
            if n < nth {
                let gap = pair[1].0.saturating_sub(pair[0].0);
                findings.add(what, connection, frames, gap, Confidence::Inferred);
                self.charge(Part::Recovery, pair[1].0);
            } else if told {
                // Nobody waited for it.
                findings.add(What::SpuriousRto, connection, frames, Duration::ZERO, Confidence::Certain);
            }
        }
    }

    /// Whether the server's system does not know its connection as open: what the client says arrives there, and it has not
    /// said a word since its SYN-ACK. The first repetition may have been too soon for a delayed acknowledgment.
    fn is_not_taken(&self) -> bool {
        let [client, server] = &self.halves;
        let first = |half: &Half, at: Option<Seq>| half.syn.is_some_and(|syn| at == Some(syn + 1));
        let silent = first(server, server.nxt) && first(client, client.una);
        let again = client.repeats.rto + client.repeats.probe > 0;
        self.backlog || (silent && again && server.path.is_some_and(|path| path <= HERE))
    }

    /// The client repeats what it said: whether its connection is not taken.
    pub(super) fn waits_in_queue(&mut self, s: usize) -> bool {
        let waits = s == CLIENT && self.is_not_taken();
        if waits {
            self.doubts[CLIENT].rename(&[What::Rto, What::TailLoss], What::Backlog);
        }
        waits
    }

    /// The end `s` says its SYN-ACK again, although what completes the handshake has passed here: where that is as good as
    /// there, it did not take it.
    pub(super) fn settle_backlog(&mut self, s: usize) {
        if s == SERVER && self.halves[SERVER].path.is_some_and(|path| path <= HERE) {
            self.backlog = true;
            self.waits_in_queue(CLIENT);
        }
    }
}

//! Which packets are there that change nothing? Resets that their receiver ignores, and what a host says of a connection that
//! its peer has forgotten.

use super::finding::{Confidence, Findings, What};
use super::flow::{CLIENT, Flow, Packet, SERVER};
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;

/// A RST that its receiver may ignore: its number is not the next one (RFC 5961 §3.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct OddReset {
    by: usize,
    at: Duration,
    frame: u64,
    /// Somebody went on all the same.
    ignored: bool,
}

/// What the connection was that the client forgot: the next number of each end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stale {
    next: [Seq; 2],
    /// The server still knew it, and said so.
    pub known: bool,
}

impl Flow {
    /// What each end would say next, for the connection that follows while this one is open.
    pub(super) fn stale(&self) -> Option<Stale> {
        let [client, server] = &self.halves;
        Some(Stale { next: [client.nxt?, server.nxt?], known: false })
    }

    /// Takes a packet that changes nothing, as far as is known now: in a word, what it is.
    pub(super) fn takes_note(&mut self, p: &Packet<'_>) -> Option<&'static str> {
        let s = if p.from_client { CLIENT } else { SERVER };
        if let Some(word) = self.is_of_before(s, p) {
            return Some(word);
        }
        let half = &self.halves[s];
        if !p.seg.has(Flags::RST) {
            if let Some(odd) = self.odd_reset.as_mut().filter(|odd| p.at >= odd.at) {
                // An answer to it says that it was not believed.
                odd.ignored |= s != odd.by || p.seg.len > 0;
            }
            return None;
        }
        let next = half.nxt.filter(|_| self.established && p.stated.is_none())?;
        let usual = p.seg.seq.le(next) && half.una.is_none_or(|una| p.seg.seq.ge(una));
        if usual || self.reset {
            return None;
        }
        self.passed[s] += 1;
        let (by, at, frame) = (s, p.at, p.frame);
        self.odd_reset = Some(OddReset { by, at, frame, ignored: false });
        Some("rst")
    }

    /// Whether a RST that was waited with ended the connection after all: nobody said another word.
    pub(super) fn was_reset(&mut self, connection: usize, findings: &mut Findings) -> bool {
        match self.odd_reset {
            Some(odd) if odd.ignored && !self.reset => {
                let frames = (odd.frame, odd.frame);
                findings.add(What::IgnoredReset, connection, frames, Duration::ZERO, Confidence::Certain);
                false
            }
            Some(odd) if !odd.ignored && !self.reset => {
                self.stop(odd.by, true);
                self.reset = true;
                true
            }
            _ => false,
        }
    }

    /// A connection begins with a SYN although the server has one of these addresses that is open: it says what it expects,
    /// and gets a RST for that (RFC 9293 §3.5.1, RFC 5961 §4.2).
    fn is_of_before(&mut self, s: usize, p: &Packet<'_>) -> Option<&'static str> {
        let stale = self.stale.as_mut().filter(|_| !self.established && self.halves[SERVER].syn.is_none())?;
        let seg = p.seg;
        if s == SERVER && !seg.has(Flags::SYN) && !seg.has(Flags::RST) && seg.has(Flags::ACK) {
            let near = |a: Seq, b: Seq| a.delta(b).unsigned_abs() <= 1;
            stale.known |= near(seg.ack, stale.next[CLIENT]) || near(seg.seq, stale.next[SERVER]);
            return Some("ack-now(challenge)").filter(|_| stale.known);
        }
        let answers = s == CLIENT && seg.has(Flags::RST) && stale.known;
        answers.then_some("rst")
    }
}

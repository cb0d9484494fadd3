//! Was what was sent again lost at all? Each repetition is in doubt until its receiver says.

use super::decode::Segment;
use super::finding::{Confidence, Findings, What};
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;
use std::collections::VecDeque;

/// Repetitions that may still turn out needless; the oldest are believed when there are more.
const OPEN: usize = 16;

/// Something that was sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub start: Seq,
    pub end: Seq,
    pub at: Duration,
    pub frames: (u64, u64),
    /// What was waited before it.
    pub cost: Duration,
    /// What it is if it was needed.
    pub what: What,
    pub confidence: Confidence,
    /// What it is if it was not.
    pub needless: What,
}

/// What one end sent again.
#[derive(Default, Debug)]
pub(super) struct Doubts(VecDeque<Doubt>);

impl Doubts {
    /// Adds one; whether it was needed is not known yet.
    pub fn add(&mut self, doubt: Doubt, connection: usize, findings: &mut Findings) {
        if self.0.len() == OPEN
            && let Some(old) = self.0.pop_front()
        {
            findings.add(old.what, connection, old.frames, old.cost, old.confidence);
        }
        self.0.push_back(doubt);
    }

    /// The other end's acknowledgment `seg`, from which the way to what was repeated takes `path`: its receiver had it
    /// twice (RFC 2883), or acknowledges more sooner than the repetition can have come there (RFC 5682).
    pub fn hear(
        &mut self,
        at: Duration,
        seg: &Segment<'_>,
        path: Duration,
        connection: usize,
        findings: &mut Findings,
    ) {
        if self.0.is_empty() || !seg.has(Flags::ACK) || seg.has(Flags::RST) {
            return;
        }
        let first = seg.options.sack.as_slice().first().copied();
        self.0.retain(|doubt| {
            let twice = first.is_some_and(|b| b.0.lt(seg.ack) && b.0.le(doubt.start) && b.1.ge(doubt.end));
            let early = seg.ack.ge(doubt.end) && at.saturating_sub(doubt.at) < path / 2;
            if twice || early {
                findings.add(doubt.needless, connection, doubt.frames, doubt.cost, Confidence::Certain);
            }
            !twice && !early
        });
    }

    /// Nothing more is heard of them.
    pub fn close(&mut self, connection: usize, findings: &mut Findings) {
        for doubt in self.0.drain(..) {
            findings.add(doubt.what, connection, doubt.frames, doubt.cost, doubt.confidence);
        }
    }
}

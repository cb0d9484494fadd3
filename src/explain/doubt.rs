//! Was what was sent again lost at all? Each repetition is in doubt until its receiver says.

use super::decode::Segment;
use super::finding::{Confidence, Findings, What};
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;
use std::collections::VecDeque;

/// Repetitions that may still turn out needless; the oldest are believed when there are more.
const OPEN: usize = 64;

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
    /// Nothing else was waited for but an answer that may have been on its way.
    pub idle: bool,
    /// New data asked, and what it asks for was not sent again so far.
    pub fresh: bool,
    /// It was sent again in smaller segments.
    pub smaller: bool,
    /// It was needless, it seems, or certainly.
    pub acquitted: bool,
    pub sure: bool,
}

impl Doubt {
    pub fn tell(&self, connection: usize, findings: &mut Findings) {
        let (what, confidence) = match (self.acquitted, self.sure) {
            (false, _) => (self.what, self.confidence),
            (true, false) => (self.needless, Confidence::Inferred),
            (true, true) => (self.needless, Confidence::Certain),
        };
        findings.add(what, connection, self.frames, self.cost, confidence);
    }

    /// Whether both sent the same again.
    fn is_like(&self, other: &Doubt) -> bool {
        self.start.lt(other.end) && other.start.lt(self.end)
    }
}

/// What one end sent again.
#[derive(Default, Debug)]
pub(super) struct Doubts {
    open: VecDeque<Doubt>,
    /// Some were needless, and none was needed.
    needless: bool,
    needed: bool,
    /// One turned out to be needless since it was last asked.
    acquitted: bool,
}

impl Doubts {
    /// Adds one; whether it was needed is not known yet.
    pub fn add(&mut self, doubt: Doubt, connection: usize, findings: &mut Findings) {
        if self.open.len() == OPEN
            && let Some(old) = self.open.pop_front()
        {
            self.needed |= !old.acquitted;
            old.tell(connection, findings);
        }
        for before in &mut self.open {
            before.smaller |= before.is_like(&doubt) && doubt.end.lt(before.end);
            before.fresh &= !before.is_like(&doubt);
        }
        self.open.push_back(doubt);
    }

    /// The other end's acknowledgment `seg`, from which the way to what was repeated takes `path`: its receiver had it
    /// twice (RFC 2883), or acknowledges more sooner than the repetition can have come there (RFC 5682). What turns out to
    /// be needless while nothing else was waited for is told by who knows when the answer came.
    pub fn hear(
        &mut self,
        at: Duration,
        seg: &Segment<'_>,
        path: Duration,
        connection: usize,
        findings: &mut Findings,
    ) -> Option<Doubt> {
        if self.open.is_empty() || !seg.has(Flags::ACK) || seg.has(Flags::RST) {
            return None;
        }
        let mut idle = None;
        let first = seg.options.sack.as_slice().first().copied();
        let mut reported: Vec<Doubt> = Vec::new();
        for n in (0..self.open.len()).rev() {
            let doubt = self.open[n];
            let covered = seg.ack.ge(doubt.end);
            let soon = at.saturating_sub(doubt.at) < path / 2;
            let early = covered && (soon || doubt.fresh);
            // One report is of one copy too many: of several repetitions of the same, the last was needless.
            let twice = !soon
                && !doubt.acquitted
                && first.is_some_and(|b| b.0.lt(seg.ack) && b.0.le(doubt.start) && b.1.ge(doubt.end))
                && !reported.iter().any(|other| other.is_like(&doubt));
            self.open[n].acquitted |= twice || early;
            self.open[n].sure |= early;
            if twice {
                reported.push(doubt);
            } else if covered && !early && doubt.what == What::MtuBlackHole && !doubt.smaller {
                // It came as large as it was, so that was not what it was lost for.
                self.open[n].what = What::Rto;
            }
        }
        for n in (0..self.open.len()).rev() {
            let doubt = self.open[n];
            // Where each copy but one came twice, none was lost.
            let all = self.open.iter().all(|other| other.acquitted || !other.is_like(&doubt));
            if doubt.sure || (doubt.acquitted && all) {
                (self.needless, self.acquitted) = (true, true);
                self.open.remove(n);
                let doubt = Doubt { sure: true, ..doubt };
                match idle {
                    None if doubt.idle && seg.len == 0 => idle = Some(doubt),
                    _ => doubt.tell(connection, findings),
                }
            }
        }
        idle
    }

    /// Whether all that was sent again was needless, as far as is known.
    pub fn are_needless(&self) -> bool {
        self.needless && !self.needed && self.open.iter().all(|doubt| doubt.acquitted)
    }

    /// What is one of these turns out to be another.
    pub fn rename(&mut self, these: &[What], what: What) {
        self.open.iter_mut().filter(|doubt| these.contains(&doubt.what)).for_each(|doubt| doubt.what = what);
    }

    /// Whether one turned out to be needless just now.
    pub fn take_acquitted(&mut self) -> bool {
        std::mem::take(&mut self.acquitted)
    }

    /// Something was certainly lost.
    pub fn are_needed(&mut self) {
        self.needed = true;
    }

    /// Another wait for the same time-out: what it makes its sender send again goes on when acknowledgments come.
    pub fn goes_on(&mut self, cost: Duration, findings: &mut Findings) {
        match self.open.iter_mut().rev().find(|doubt| doubt.needless == What::SpuriousRto) {
            Some(last) => last.cost += cost,
            None => findings.cost(What::Rto, cost),
        }
    }

    /// What had been sent before the repetition of `seg` comes after it: it was not lost.
    pub fn overtaken(&mut self, seg: &Segment<'_>, connection: usize, findings: &mut Findings) {
        let open = self.open.len();
        self.open.retain(|doubt| {
            let came = doubt.start.ge(seg.seq) && doubt.end.le(seg.end());
            if came {
                Doubt { acquitted: true, sure: true, ..*doubt }.tell(connection, findings);
            }
            !came
        });
        self.needless |= self.open.len() < open;
    }

    /// Nothing more is heard of them.
    pub fn close(&mut self, connection: usize, findings: &mut Findings) {
        for doubt in self.open.drain(..) {
            doubt.tell(connection, findings);
        }
    }
}

//! Why was this segment sent? What its stack's own words would be, inferred from what passed by before it.

use super::decode::Segment;
use super::half::{Half, Sent};
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;

/// What a segment turns out to be. The names are those of the trace's vocabulary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Syn,
    SynRetransmit,
    SynAck,
    SynAckRetransmit,
    /// New data; the FIN may ride along.
    Data,
    Fin,
    Rst,
    Again(Again),
    WindowProbe,
    KeepAlive,
    Ack(AckKind),
}

impl Kind {
    /// The word of the trace's vocabulary; for new data, whether it was held or not is not decided here.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Syn => "syn",
            Kind::SynRetransmit => "syn-retransmit",
            Kind::SynAck | Kind::SynAckRetransmit => "syn-ack",
            Kind::Data | Kind::Again(Again::Late | Again::Copy) => "data",
            Kind::Fin => "fin",
            Kind::Rst => "rst",
            Kind::WindowProbe => "window-probe",
            Kind::KeepAlive => "keep-alive",
            Kind::Again(Again::Mtu) => "mtu-retransmit",
            Kind::Again(Again::Rto) => "rto",
            Kind::Again(Again::TailLossProbe) => "tail-loss-probe",
            Kind::Again(Again::Fast) => "fast-retransmit",
            Kind::Again(Again::Sack) => "sack-retransmit",
            Kind::Ack(ack) => match ack {
                AckKind::Handshake => "ack-now(handshake)",
                AckKind::Every => "ack-every",
                AckKind::Delayed(_) => "ack-delayed",
                AckKind::Quick => "ack-now(quick)",
                AckKind::OutOfOrder => "ack-now(out-of-order)",
                AckKind::GapFilled => "ack-now(gap-filled)",
                AckKind::Fin => "ack-now(fin)",
                AckKind::WindowUpdate => "ack-now(window-update)",
                AckKind::Duplicate => "ack-now(duplicate)",
                AckKind::Probe => "ack-now(probe)",
            },
        }
    }

    /// The same, corrected by the word of the stack that sent it.
    pub(super) fn stated(self, why: &str) -> Kind {
        match (self, why) {
            (Kind::Again(_), "mtu-retransmit") => Kind::Again(Again::Mtu),
            (Kind::Again(_), "rto") => Kind::Again(Again::Rto),
            (Kind::Again(_), "tail-loss-probe") => Kind::Again(Again::TailLossProbe),
            (Kind::Again(_), "fast-retransmit") => Kind::Again(Again::Fast),
            (Kind::Again(_), "sack-retransmit" | "rack") => Kind::Again(Again::Sack),
            _ => self,
        }
    }
}

/// Why something was sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Again {
    Rto,
    TailLossProbe,
    /// Duplicate ACKs asked for it.
    Fast,
    /// Selective acknowledgments asked for it.
    Sack,
    /// It had not passed here before: overtaken on its way here, or lost before.
    Late,
    /// Doubled on the way: it comes too soon to be anything else.
    Copy,
    /// A router said that it was too large.
    Mtu,
}

/// Why an acknowledgment without data left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AckKind {
    Handshake,
    Every,
    /// It waited so long.
    Delayed(Duration),
    Quick,
    OutOfOrder,
    GapFilled,
    Fin,
    WindowUpdate,
    Duplicate,
    /// An answer to a probe.
    Probe,
}

/// The least delay of an acknowledgment that is taken for one.
const LEAST_DELAY: Duration = Duration::from_millis(4);
/// What a probe of a single segment may take longer than of several: 200 ms and its timer's jitter.
const ALONE: Duration = Duration::from_millis(280);
/// How soon an end answers, at the least that is asked of it.
pub(super) const PROMPT: Duration = Duration::from_millis(1);
/// What a probe waits for where no round trip was measured (RFC 8985 §7.2).
const SECOND: Duration = Duration::from_secs(1);
/// A timer's jitter.
const SLACK: Duration = Duration::from_millis(20);

/// What is seen from outside when a segment passes by.
pub(super) struct View<'a> {
    /// The end that sent it.
    pub sender: &'a Half,
    /// The end that it goes to.
    pub receiver: &'a Half,
    /// Whether something of the receiver's is missing at the sender, or was until now.
    pub gap: bool,
    /// What the receiver sent last was there already, and passed by then.
    pub twice: Option<Duration>,
    /// What the receiver sent last asked for an answer.
    pub probed: bool,
    /// An acknowledgment reached the sender just before it sent this.
    pub answers: bool,
    /// Both handshake segments have passed by and nothing else has.
    pub opening: bool,
}

/// From end to end and back.
pub(super) fn round_trip(a: &Half, b: &Half) -> Duration {
    a.path.unwrap_or_default() + b.path.unwrap_or_default()
}

impl View<'_> {
    pub(super) fn judge(&self, at: Duration, seg: &Segment<'_>) -> Kind {
        if seg.has(Flags::RST) {
            return Kind::Rst;
        }
        if seg.has(Flags::SYN) {
            return match (seg.has(Flags::ACK), self.sender.syn == Some(seg.seq)) {
                (false, false) => Kind::Syn,
                (false, true) => Kind::SynRetransmit,
                (true, false) => Kind::SynAck,
                (true, true) => Kind::SynAckRetransmit,
            };
        }
        let below = self.sender.nxt.is_some_and(|nxt| seg.end().le(nxt));
        match seg.seq_len() {
            0 => self.bare(at, seg),
            _ if below => self.again(at, seg),
            // BSD's probes carry the next byte, which does not fit.
            1 if seg.len == 1 && self.receiver.window == 0 && self.receiver.edge == Some(seg.seq) => {
                Kind::WindowProbe
            }
            _ if seg.len > 0 => Kind::Data,
            _ => Kind::Fin,
        }
    }

    /// Numbers that were used before.
    fn again(&self, at: Duration, seg: &Segment<'_>) -> Kind {
        let sender = self.sender;
        let acked = sender.una.is_some_and(|una| seg.end().le(una));
        if seg.len <= 1
            && sender.flight() <= 1
            && sender.nxt.is_some_and(|nxt| seg.end() == nxt)
            && !seg.has(Flags::FIN)
        {
            // One byte, the last one, again: a probe, of an older kind that carries something.
            if self.receiver.window == 0 {
                return Kind::WindowProbe;
            }
            if acked {
                return Kind::KeepAlive;
            }
        }
        let rtt = round_trip(sender, self.receiver);
        // What is sent again is stamped anew (RFC 7323 §3.3): what is older than what had come before was overtaken.
        let stamp = seg.options.timestamps.map(|stamps| stamps.value);
        if let (Some(stamp), Some(latest)) = (stamp, sender.stamp)
            && Seq(latest).gt(Seq(stamp))
        {
            return Kind::Again(Again::Late);
        }
        if let Some((told, mtu, Some(until))) = sender.too_big
            && (at >= told && seg.end().le(until) && !acked)
            && (mtu == 0 || seg.len < mtu)
        {
            return Kind::Again(Again::Mtu);
        }
        let Some(&Sent { at: before, times, .. }) = sender.record(seg.seq) else {
            // Acknowledged already, or never seen.
            return Kind::Again(if acked { Again::Rto } else { Again::Late });
        };
        let since = at.saturating_sub(before);
        // What leaves a gap is asked for, and comes after a round trip; what is overtaken comes sooner.
        if times == 0 && since + PROMPT.min(rtt / 8) < sender.path.unwrap_or_default() {
            return Kind::Again(Again::Late);
        }
        if times > 0 && since < (rtt / 4).min(Duration::from_millis(2)) {
            return Kind::Again(Again::Copy);
        }
        let lately = |(what, when): (Again, Duration)| what == Again::Rto && at.saturating_sub(when) < rtt;
        if sender.rto_until.is_some() || (acked && sender.last_again.is_some_and(lately)) {
            return Kind::Again(Again::Rto);
        }
        // What acknowledgments ask for leaves when they come; a timer expires while none comes.
        let sacks = sender.sack && self.receiver.sack;
        if self.answers {
            if sacks && (acked || sender.sacked_to.is_some() || sender.recovery_until.is_some()) {
                return Kind::Again(Again::Sack);
            }
            if acked || sender.duplicate_acks > 0 || sender.recovery_until.is_some() {
                return Kind::Again(Again::Fast);
            }
        }
        // The repetition that began it was not captured: no timer expires so soon.
        if self.answers && !acked && since <= rtt * 3 / 2 {
            return Kind::Again(if sacks { Again::Sack } else { Again::Fast });
        }
        // RFC 8985 §6.2: what was sent later has arrived, and a quarter of a round trip was left for reordering.
        if sacks && sender.sacked_to.is_some_and(|to| to.gt(seg.end())) && since <= rtt * 5 / 4 + SLACK {
            return Kind::Again(Again::Sack);
        }
        let tail = sender.nxt == Some(seg.end());
        if tail && times == 1 && sacks {
            // RFC 8985 §7.2: once, the last segment, two round trips after the last acknowledgment; one that is alone gives
            // the other end's delayed acknowledgment its time, and one before any round trip was measured a second.
            let alone = sender.una == Some(seg.seq) || sender.una == Some(seg.end());
            let patience = match (sender.smooth, self.receiver.smooth) {
                (None, None) => SECOND + SLACK,
                (a, b) => {
                    let smooth = a.unwrap_or_default() + b.unwrap_or_default();
                    smooth * 5 / 2 + if alone { ALONE } else { SLACK }
                }
            };
            let heard = sender.heard.map(|at| at + sender.path.unwrap_or_default());
            if at.saturating_sub(heard.map_or(before, |at| at.max(before))) <= patience {
                return Kind::Again(Again::TailLossProbe);
            }
        }
        Kind::Again(Again::Rto)
    }

    /// Nothing but an acknowledgment.
    fn bare(&self, at: Duration, seg: &Segment<'_>) -> Kind {
        let (sender, receiver) = (self.sender, self.receiver);
        if self.opening && sender.syn.is_some() {
            return Kind::Ack(AckKind::Handshake);
        }
        if sender.nxt.is_some_and(|nxt| seg.seq.lt(nxt)) && sender.flight() == 0 {
            // One number below what comes next, so that the other end must answer.
            return if receiver.window == 0 { Kind::WindowProbe } else { Kind::KeepAlive };
        }
        let una = receiver.una.unwrap_or(seg.ack);
        if seg.ack.gt(una) {
            return Kind::Ack(self.advancing(at, seg));
        }
        let path = sender.path.unwrap_or_default();
        let dsack = seg.options.sack.as_slice().first().is_some_and(|b| b.0.lt(seg.ack));
        if dsack {
            return Kind::Ack(AckKind::Duplicate);
        }
        // Without selective acknowledgments: something beyond what is missing has had the time to come there.
        let beyond = || receiver.sent.get(1).is_some_and(|s| s.at + path <= at + PROMPT.min(path / 8));
        if self.gap || !seg.options.sack.is_empty() || beyond() {
            let news =
                seg.options.sack.as_slice().iter().any(|b| receiver.sacked_to.is_none_or(|to| b.1.gt(to)));
            let twice = !news && self.twice.is_some_and(|came| came + path <= at + PROMPT.min(path / 8));
            return Kind::Ack(if twice { AckKind::Duplicate } else { AckKind::OutOfOrder });
        }
        if sender.offers_more(seg, receiver) && !self.probed {
            return Kind::Ack(AckKind::WindowUpdate);
        }
        Kind::Ack(if self.probed { AckKind::Probe } else { AckKind::Duplicate })
    }

    /// Whether the segment brings what had not passed by before.
    pub(super) fn fills_gap(&self, seg: &Segment<'_>) -> bool {
        self.sender.record(seg.seq).is_some_and(|s| s.times == 0)
    }

    /// An acknowledgment of something new.
    fn advancing(&self, at: Duration, seg: &Segment<'_>) -> AckKind {
        let receiver = self.receiver;
        let covered = receiver.sent.iter().take_while(|s| s.start.lt(seg.ack));
        let (mut bytes, mut fin, mut oldest, mut newest) = (0, false, None, None);
        let mss = receiver.full(self.sender).max(1);
        for sent in covered {
            bytes += sent.end.since(sent.start);
            fin |= sent.fin && sent.end.le(seg.ack);
            oldest.get_or_insert(sent);
            newest = Some(sent);
        }
        if fin {
            return AckKind::Fin;
        }
        // Its earlier acknowledgments told of something beyond a gap, or this is the first that does.
        if receiver.sacked_to.is_some() || receiver.duplicate_acks > 0 {
            return AckKind::GapFilled;
        }
        if self.gap || seg.options.sack.as_slice().iter().any(|b| b.0.gt(seg.ack)) {
            return AckKind::OutOfOrder;
        }
        let (Some(newest), Some(oldest)) = (newest, oldest) else { return AckKind::Quick };
        // More than one full segment is not waited with: what delays its acknowledgment is the way.
        if bytes > mss {
            return AckKind::Every;
        }
        let path = self.sender.recent.max(self.sender.path.unwrap_or_default());
        let least = LEAST_DELAY.max(path / 16);
        let [delay, waited] = [newest, oldest].map(|s| at.saturating_sub(s.at).saturating_sub(path));
        if newest.times == 1 && waited > least { AckKind::Delayed(delay) } else { AckKind::Quick }
    }
}

//! How is it said? The sentences of the trace, each behind a stable word.
//!
//! Sequence numbers are relative, as Wireshark shows them: the SYN is 0, the first byte is 1. Ranges are
//! `start..end`, the end not included.

use super::digits::{bytes, number, range, spoken, tight};
use super::record::{Direction, EventKind, EventRecord, PacketRecord, Piece, Why};
use crate::segment::{Ecn, Flags, Segment};
use crate::seq::Seq;
use crate::tcp::{
    AckNowWhy, Cause, CloseReason, CwndWhy, DataWhy, DropReason, Note, Piggyback, Received, Release, RstWhy,
    Snapshot, Verdict,
};
use crate::time::Spoken;
use crate::wire;
use std::fmt::{self, Write};

/// Writes the packet's first comment: `why=WORD: sentence`.
pub(super) fn why(out: &mut dyn Write, packet: &PacketRecord<'_>, piece: Piece) -> fmt::Result {
    ["why=", packet.why.word(), ": "].iter().try_for_each(|part| out.write_str(part))?;
    sentence(out, packet, piece)
}

/// The same for a middle piece, with [`Slots`] where each of them has other numbers.
pub(super) fn slots(out: &mut dyn Write, packet: &PacketRecord<'_>, piece: Piece) -> fmt::Result {
    write!(out, "why={}: ", packet.why.word())?;
    say(out, packet, piece, true)
}

/// What stands for numbers that are put in later.
pub(super) struct Slots;

impl Slots {
    /// The numbers of the payload.
    pub(super) const RANGE: char = '\u{1}';
    /// Which piece it is.
    pub(super) const NTH: char = '\u{2}';
}

/// Writes what stands behind the word.
pub(super) fn sentence(out: &mut dyn Write, packet: &PacketRecord<'_>, piece: Piece) -> fmt::Result {
    say(out, packet, piece, false)
}

fn say(out: &mut dyn Write, packet: &PacketRecord<'_>, piece: Piece, slots: bool) -> fmt::Result {
    let seg = packet.seg.copied().unwrap_or_default();
    let numbers = Numbers { slots, ..Numbers::of(packet, seg) };
    match packet.why {
        Why::Sent(cause) => sent(out, &cause, &numbers, packet.state, piece)?,
        Why::Received(it) => received(out, &it, &numbers, piece)?,
        Why::Dropped(reason) => out.write_str(drop_reason(reason))?,
        Why::Host { text, .. } => write!(out, "{}", Clean(text))?,
    }
    marks(out, packet, piece)?;
    if slots {
        write!(out, " ({} of {} from one super-segment)", Slots::NTH, piece.of)?;
    } else if piece.of > 1 {
        number(out, " (", piece.nth)?;
        number(out, " of ", piece.of)?;
        out.write_str(" from one super-segment)")?;
    }
    Ok(())
}

/// What the packet says of congestion (RFC 3168), as the packet scripts write it: ` [ECT0]`, ` [CE]`, ` [ECE]`,
/// ` [ECT0 CWR]`, with accurate ECN (RFC 9768) ` [ECT0 ACE 5]`. What a SYN offers is said elsewhere.
fn marks(out: &mut dyn Write, packet: &PacketRecord<'_>, piece: Piece) -> fmt::Result {
    let Some(seg) = packet.seg.filter(|seg| !seg.has(Flags::SYN)) else { return Ok(()) };
    let field = match wire::ecn_field(packet.frame) {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some("ECT0"),
        Ecn::Ect1 => Some("ECT1"),
        Ecn::Ce => Some("CE"),
    };
    if packet.state.is_some_and(|state| state.ace) {
        let ace = seg.flags.ace();
        return match field {
            Some(field) => write!(out, " [{field} ACE {ace}]"),
            None => write!(out, " [ACE {ace}]"),
        };
    }
    let echo = seg.has(Flags::ECE).then_some("ECE");
    let reduced = (seg.has(Flags::CWR) && piece.nth <= 1).then_some("CWR");
    let mut before = " [";
    for word in [field, echo, reduced].into_iter().flatten() {
        write!(out, "{before}{word}")?;
        before = " ";
    }
    if before == " " { out.write_char(']') } else { Ok(()) }
}

/// Writes the packet's second comment: the connection's numbers after it.
pub(super) fn state(out: &mut dyn Write, conn: Option<u32>, state: Option<&Snapshot>) -> fmt::Result {
    match conn {
        Some(conn) => number(out, "conn=", conn)?,
        None => out.write_str("conn=none")?,
    }
    let Some(s) = state else { return Ok(()) };
    [" state=", s.state.name()].iter().try_for_each(|part| out.write_str(part))?;
    number(out, " cwnd=", s.cwnd)?;
    match s.ssthresh {
        u32::MAX => out.write_str(" ssthresh=unset")?,
        bytes => number(out, " ssthresh=", bytes)?,
    }
    number(out, " flight=", s.flight)?;
    match s.srtt {
        Some(srtt) => tight(out, " srtt=", srtt)?,
        None => out.write_str(" srtt=unset")?,
    }
    tight(out, " rto=", s.rto)?;
    number(out, " rwnd=", s.rwnd)?;
    number(out, " unsent=", s.unsent)?;
    [" limit=", s.limit.word()].iter().try_for_each(|part| out.write_str(part))?;
    match s.ecn {
        Some(marks) => write!(out, " ecn={marks}"),
        None => Ok(()),
    }
}

/// A segment with its numbers made relative.
pub(super) struct Numbers {
    pub seg: Segment,
    seq_base: Seq,
    ack_base: Seq,
    /// The range is put in later.
    slots: bool,
}

impl Numbers {
    pub(super) fn of(packet: &PacketRecord<'_>, seg: Segment) -> Numbers {
        let (own, peer) = packet.state.map_or((Seq(0), Seq(0)), |s| (s.iss, s.irs));
        let (seq_base, ack_base) = match packet.direction {
            Direction::Out => (own, peer),
            Direction::In => (peer, own),
        };
        Numbers { seg, seq_base, ack_base, slots: false }
    }

    /// The first number of the segment.
    pub(super) fn start(&self) -> u32 {
        self.seg.seq.since(self.seq_base)
    }

    /// The number behind the payload.
    fn end(&self) -> u32 {
        // The SYN comes before the payload, the FIN behind it.
        let syn = u32::from(self.seg.has(Flags::SYN));
        self.start().wrapping_add(self.seg.len + syn)
    }

    /// What the segment acknowledges.
    pub(super) fn ack(&self) -> u32 {
        self.seg.ack.since(self.ack_base)
    }
}

impl Numbers {
    /// Writes `1001..2461`, or what is there instead of bytes.
    fn put(&self, out: &mut dyn Write) -> fmt::Result {
        match (self.seg.len, self.seg.has(Flags::SYN), self.seg.has(Flags::FIN)) {
            (0, true, _) => out.write_str("the SYN"),
            (0, _, true) => number(out, "the FIN at ", self.start()),
            (0, ..) => number(out, "nothing at ", self.start()),
            (_, _, true) => {
                range(out, self.start(), self.end())?;
                out.write_str(" and the FIN")
            }
            _ if self.slots => out.write_char(Slots::RANGE),
            _ => range(out, self.start(), self.end()),
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.put(f)
    }
}

fn sent(
    out: &mut dyn Write,
    cause: &Cause,
    n: &Numbers,
    state: Option<Snapshot>,
    piece: Piece,
) -> fmt::Result {
    let seg = &n.seg;
    match *cause {
        Cause::Syn => write!(out, "opens the connection, offers {}", Offer(seg)),
        Cause::SynRetransmit { nth, waited } => {
            write!(out, "retransmission {nth}, {} without an answer", Spoken(waited))?;
            timer(out, state)
        }
        Cause::SynAck { nth: 0 } => write!(out, "accepts the connection, answers {}", Offer(seg)),
        Cause::SynCookie => write!(out, "the SYN queue is full: answers by a cookie, {}", Offer(seg)),
        Cause::SynAck { nth } => {
            write!(out, "retransmission {nth}, the one before went unanswered")?;
            timer(out, state)
        }
        Cause::Data { why, piggyback } => {
            data(out, n)?;
            match why {
                DataWhy::Full if piece.of > 1 && piece.nth == piece.of => {
                    out.write_str(", follows full segments")?
                }
                DataWhy::Full => out.write_str(", a full segment")?,
                DataWhy::Idle => out.write_str(", nothing was in flight")?,
                DataWhy::NoDelay => out.write_str(", Nagle's algorithm is off")?,
                DataWhy::OnlySmall => out.write_str(", no other small segment is in flight")?,
                DataWhy::HalfWindow => {
                    out.write_str(", at least half of the largest window the peer ever offered")?
                }
                DataWhy::Record => out.write_str(", the end of a record, which nothing joins")?,
                DataWhy::Last => out.write_str(", the last of the stream")?,
                DataWhy::Urgent => out.write_str(", urgent")?,
                DataWhy::Override => out.write_str(", the peer's window stayed too small for more")?,
            }
            piggybacked(out, n, piggyback)
        }
        Cause::NagleRelease { held, by, piggyback } => {
            data(out, n)?;
            write!(out, ", held {} until {}", Spoken(held), release(by))?;
            piggybacked(out, n, piggyback)
        }
        Cause::Rto { nth, waited } => {
            write!(out, "retransmission {nth} of {n}, {} without an ACK", Spoken(waited))?;
            timer(out, state)
        }
        Cause::RtoRecovery => write!(out, "{n} again, presumed lost since the timer expired"),
        Cause::MtuProbe { mtu } => {
            data(out, n)?;
            write!(out, " as a probe: does the path carry {mtu} bytes?")
        }
        Cause::MtuRetransmit => write!(out, "{n} again, in packets that fit the path"),
        Cause::SynDataAgain => {
            write!(out, "{n} again, the SYN-ACK did not acknowledge what went with the SYN")
        }
        Cause::FastRetransmit { duplicates: 0 } => {
            write!(out, "{n} again, a partial ACK in recovery says that it was lost too")
        }
        Cause::FastRetransmit { duplicates } => {
            write!(out, "{n} again, {} said that it was lost", Count(duplicates.into(), "duplicate ACK"))
        }
        Cause::SackRetransmit => write!(out, "{n} again, SACK blocks beyond it say that it was lost"),
        Cause::Rack => write!(out, "{n} again, data sent later arrived a reordering window ago"),
        Cause::TailLossProbe => {
            write!(out, "{n} as a probe, the ACK of the tail is overdue")?;
            timer(out, state)
        }
        Cause::WindowProbe { nth } => {
            write!(out, "probe {nth}, the peer's window is closed")?;
            match state {
                Some(s) if s.unsent > 0 => write!(out, ", {} wait", Count(s.unsent, "byte")),
                _ => Ok(()),
            }
        }
        Cause::KeepAlive { nth } => write!(out, "probe {nth} of an idle connection"),
        Cause::Fin { piggyback } => {
            if seg.len > 0 {
                data(out, n)?;
                out.write_str(", and no more behind them")?;
            } else {
                write!(out, "no more data from this side, FIN at {}", n.start())?;
            }
            piggybacked(out, n, piggyback)
        }
        Cause::Rst(why) => out.write_str(match why {
            RstWhy::Abort => "the application aborted the connection",
            RstWhy::UnreadData => "the application closed, but there is data that it did not read",
            RstWhy::NoSocket => "no connection and no listener for what came",
            RstWhy::BadAck => "what came acknowledges something never sent",
            RstWhy::BadSyn => "another SYN came in the middle of a handshake",
            RstWhy::GaveUp => "gave up, the peer does not answer",
            RstWhy::NoRoom => "the listener's queue is full",
        }),
        Cause::AckEvery { segments } => {
            write!(out, "acknowledges {}, {} came", n.ack(), Count(segments.into(), "full segment"))?;
            holds(out, n)
        }
        Cause::AckDelayed { waited } => {
            write!(out, "acknowledges {}, waited {} for company", n.ack(), Spoken(waited))?;
            holds(out, n)
        }
        Cause::AckNow(why) => {
            ack_now(out, n, why)?;
            holds(out, n)
        }
    }
}

fn ack_now(out: &mut dyn Write, n: &Numbers, why: AckNowWhy) -> fmt::Result {
    let ack = n.ack();
    match why {
        AckNowWhy::OutOfOrder => write!(out, "acknowledges {ack} again, a segment came out of order"),
        AckNowWhy::GapFilled => write!(out, "acknowledges {ack}, a gap was filled"),
        AckNowWhy::Fin => write!(out, "acknowledges {ack}, the peer's FIN came"),
        AckNowWhy::WindowUpdate => write!(out, "acknowledges {ack}, the receive window opened"),
        AckNowWhy::Duplicate => write!(out, "acknowledges {ack} again, what came was here already"),
        AckNowWhy::Challenge => {
            write!(out, "acknowledges {ack} again, a challenge to a doubtful segment (RFC 5961)")
        }
        AckNowWhy::Quick => write!(out, "acknowledges {ack}, quick ACKs are on"),
        AckNowWhy::NoDelay => write!(out, "acknowledges {ack}, ACKs are not delayed"),
        AckNowWhy::Handshake => write!(out, "acknowledges {ack}, completes the handshake"),
        AckNowWhy::Read => write!(out, "acknowledges {ack}, the application has read it"),
        AckNowWhy::Probe => write!(out, "acknowledges {ack} again, answers a probe"),
        AckNowWhy::Ecn => write!(out, "acknowledges {ack}, a router marks congestion"),
        AckNowWhy::EcnChange => {
            write!(out, "acknowledges {ack}, what comes has another ECN field than before")
        }
        AckNowWhy::NoMemory => write!(out, "acknowledges {ack} again, there is no memory for what came"),
    }
}

/// `37 bytes 1..38`, with the FIN if it is there.
fn data(out: &mut dyn Write, n: &Numbers) -> fmt::Result {
    if n.seg.len > 0 {
        bytes(out, n.seg.len)?;
        out.write_char(' ')?;
    }
    n.put(out)
}

fn release(by: Release) -> &'static str {
    match by {
        Release::Ack => "the ACK came",
        Release::Filled => "more data filled the segment",
        Release::Option => "Nagle's algorithm or the cork was switched off",
        Release::Close => "the application closed its side",
        Release::Timer => "the cork's time was over",
    }
}

fn timer(out: &mut dyn Write, state: Option<Snapshot>) -> fmt::Result {
    match state {
        Some(Snapshot { srtt: Some(srtt), rto, .. }) => {
            write!(out, " (srtt {}, rto {})", Spoken(srtt), Spoken(rto))
        }
        Some(Snapshot { srtt: None, rto, .. }) => write!(out, " (rto {})", Spoken(rto)),
        None => Ok(()),
    }
}

fn piggybacked(out: &mut dyn Write, n: &Numbers, piggyback: Option<Piggyback>) -> fmt::Result {
    let Some(Piggyback { bytes: came, waited }) = piggyback else { return Ok(()) };
    number(out, "; ack-piggyback: acknowledges ", n.ack())?;
    out.write_str(", ")?;
    bytes(out, came)?;
    match waited.is_zero() {
        true => out.write_str(" that just came"),
        false => write!(out, " that came {} ago", Spoken(waited)),
    }
}

/// Which data beyond the acknowledgment is here.
fn holds(out: &mut dyn Write, n: &Numbers) -> fmt::Result {
    for (nth, &(start, end)) in n.seg.options.sack.as_slice().iter().enumerate() {
        out.write_str(if nth == 0 { "; holds " } else { " " })?;
        write!(out, "{}..{}", start.since(n.ack_base), end.since(n.ack_base))?;
    }
    Ok(())
}

fn received(out: &mut dyn Write, it: &Received, n: &Numbers, piece: Piece) -> fmt::Result {
    let seg = &n.seg;
    let mut list = List { out, empty: true };
    match (seg.has(Flags::SYN), seg.has(Flags::ACK)) {
        (true, true) => list.add(format_args!("SYN-ACK answers {}", Offer(seg)))?,
        (true, false) => list.add(format_args!("SYN offers {}", Offer(seg)))?,
        _ => {}
    }
    if seg.has(Flags::RST) {
        list.add(format_args!("RST"))?;
    }
    if seg.len > 0 {
        data(list.next()?, n)?;
    } else if seg.has(Flags::FIN) {
        list.add(format_args!("FIN at {}", n.start()))?;
    }
    match it.verdict {
        Verdict::InOrder => {}
        Verdict::OutOfOrder => list.add(format_args!("beyond a gap, kept"))?,
        Verdict::Duplicate if seg.len > 0 => list.add(format_args!("here already, beyond a gap"))?,
        Verdict::Duplicate => {}
        Verdict::Old => list.add(format_args!("here already"))?,
        Verdict::Partial => list.add(format_args!("only some of it new"))?,
        Verdict::Drop(reason) => list.add(format_args!("{}", drop_reason(reason)))?,
    }
    // What a super-segment did as a whole is said at its end.
    if piece.nth == piece.of {
        if it.delivered > 0 && (it.delivered != seg.len || piece.of > 1) {
            bytes(list.next()?, it.delivered)?;
            list.out.write_str(" can be read now")?;
        }
        if it.acked > 0 {
            number(list.next()?, "acknowledges ", n.ack())?;
            number(list.out, " (+", it.acked)?;
            list.out.write_char(')')?;
        }
    }
    if it.duplicate_acks > 0 {
        list.add(format_args!("duplicate ACK {} of {}", it.duplicate_acks, n.ack()))?;
    }
    if let Some(window) = it.window {
        number(list.next()?, "window now ", window)?;
        list.out.write_str(if window == 1 { " byte" } else { " bytes" })?;
    }
    if list.empty {
        list.add(format_args!("acknowledges {}, nothing new", n.ack()))?;
    }
    let (out, sack) = (list.out, seg.options.sack.as_slice());
    for (nth, &(start, end)) in sack.iter().enumerate() {
        out.write_str(if nth == 0 { "; the peer holds " } else { " " })?;
        write!(out, "{}..{}", start.since(n.ack_base), end.since(n.ack_base))?;
    }
    Ok(())
}

/// Parts of a sentence with commas between them.
struct List<'a> {
    out: &'a mut dyn Write,
    empty: bool,
}

impl List<'_> {
    /// Where the next one goes.
    fn next(&mut self) -> Result<&mut dyn Write, fmt::Error> {
        if !std::mem::take(&mut self.empty) {
            self.out.write_str(", ")?;
        }
        Ok(&mut *self.out)
    }

    fn add(&mut self, part: fmt::Arguments<'_>) -> fmt::Result {
        self.next()?.write_fmt(part)
    }
}

fn drop_reason(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Checksum => "the checksum is wrong",
        DropReason::Window => "outside the receive window",
        DropReason::Paws => "its time stamp is older than the last one (RFC 7323)",
        DropReason::Malformed => "not a well-formed packet",
        DropReason::NoSocket => "no connection and no listener",
        DropReason::Backlog => "the listener's accept queue is full",
        DropReason::SynQueue => "the listener's SYN queue is full and cookies are off",
        DropReason::Cookie => "acknowledges no SYN cookie of the last minutes",
        DropReason::BadAck => "its acknowledgment is outside what can be acknowledged (RFC 5961)",
        DropReason::NotForUs => "not for an address of this stack",
        DropReason::Unhandled => "a protocol or packet type that nothing here handles",
        DropReason::Control => "a control bit that does not fit the state",
        DropReason::Signed => "it is signed, and there is no key to verify it with",
        DropReason::Unsigned => "it is not signed, and its sender has a key (RFC 2385)",
        DropReason::Signature => "its signature is not the key's (RFC 2385)",
        DropReason::Deferred => "it carries nothing, and the listener waits for data",
        DropReason::Memory => "too many gaps are open, or too little memory is left, to keep it",
    }
}

/// The stable word of an event.
pub(super) fn event_word(kind: &EventKind<'_>) -> &'static str {
    match kind {
        EventKind::Conn(note) => match note {
            Note::State { .. } => "state",
            Note::Hold { cork: false, .. } => "nagle-hold",
            Note::Hold { cork: true, .. } => "cork-hold",
            Note::AckTimer { .. } => "ack-timer",
            Note::RtoTimer { .. } => "rto-timer",
            Note::Cookie => "syn-cookie",
            Note::FastOpen { .. } => "fast-open",
            Note::Mtu { .. } => "mtu",
            Note::PersistTimer { .. } => "persist-timer",
            Note::Cwnd { .. } => "cwnd",
            Note::Destroyed { .. } => "destroyed",
            Note::Closed { .. } => "closed",
        },
        EventKind::Link { .. } => "link",
        EventKind::Port { .. } => "port",
        EventKind::App { word, .. } => word,
    }
}

/// Writes the sentence of an event.
pub(super) fn event(out: &mut dyn Write, event: &EventRecord<'_>) -> fmt::Result {
    match event.kind {
        EventKind::Conn(note) => self::note(out, &note),
        EventKind::Link { action, text } => write!(out, "{action}, {}", Clean(text)),
        EventKind::Port { text } | EventKind::App { text, .. } => write!(out, "{}", Clean(text)),
    }
}

fn note(out: &mut dyn Write, note: &Note) -> fmt::Result {
    match *note {
        Note::State { from, to } => write!(out, "{} -> {}", from.name(), to.name()),
        Note::Hold { bytes, cork: false } => {
            write!(out, "Nagle's algorithm holds {} until an ACK comes", Count(bytes, "byte"))
        }
        Note::Hold { bytes, cork: true } => write!(out, "the cork holds {}", Count(bytes, "byte")),
        Note::AckTimer { delay } => spoken(out, "an ACK waits for company, at most ", delay),
        Note::RtoTimer { rto } => spoken(out, "the retransmission timer is set to ", rto),
        Note::Mtu { mtu } => {
            write!(out, "packets of {mtu} bytes pass, or are tried because larger ones vanish")
        }
        Note::FastOpen { bytes } => {
            write!(out, "{} went with the SYN and are taken", Count(bytes, "byte"))
        }
        Note::Cookie => out.write_str("a SYN cookie came back: the connection is made from it"),
        Note::PersistTimer { delay } => {
            write!(out, "the peer's window is closed, a probe follows in {}", Spoken(delay))
        }
        Note::Destroyed { bytes } => {
            write!(out, "the RST takes {} that had come and were not read", Count(bytes, "byte"))
        }
        Note::Cwnd { from, to, ssthresh, why } => {
            write!(out, "congestion window {from} -> {to}, ")?;
            match ssthresh {
                u32::MAX => out.write_str("no threshold")?,
                bytes => write!(out, "threshold {bytes}")?,
            }
            write!(
                out,
                ": {}",
                match why {
                    CwndWhy::Rto => "the retransmission timer expired",
                    CwndWhy::Recovery => "loss was detected, recovery begins",
                    CwndWhy::Ecn => "the peer saw a congestion mark",
                    CwndWhy::Recovered => "recovery is over",
                    CwndWhy::Undo => "nothing had been lost after all",
                    CwndWhy::SpuriousRto => "the retransmission timer had expired too early",
                    CwndWhy::Idle => "the connection was idle",
                    CwndWhy::Mtu => "the path's MTU changed",
                    CwndWhy::SlowStartLeft => "the round trips grow, slow start ends",
                }
            )
        }
        Note::Closed { reason } => out.write_str(match reason {
            CloseReason::Normal => "both sides are done",
            CloseReason::Refused => "the peer refused the connection",
            CloseReason::Reset => "the peer reset the connection",
            CloseReason::Aborted => "this side aborted",
            CloseReason::TimedOut => "the peer does not answer",
            CloseReason::Unreachable => "ICMP says that there is no way to the peer",
        }),
    }
}

/// The stable word of a reason.
pub(super) fn close_word(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Normal => "normal",
        CloseReason::Refused => "refused",
        CloseReason::Reset => "reset",
        CloseReason::Aborted => "aborted",
        CloseReason::TimedOut => "timed-out",
        CloseReason::Unreachable => "unreachable",
    }
}

/// The stable word of a reason.
pub(super) fn cwnd_word(why: CwndWhy) -> &'static str {
    match why {
        CwndWhy::Rto => "rto",
        CwndWhy::Recovery => "recovery",
        CwndWhy::Ecn => "ecn",
        CwndWhy::Recovered => "recovered",
        CwndWhy::Undo => "undone",
        CwndWhy::SpuriousRto => "spurious-rto",
        CwndWhy::Idle => "idle",
        CwndWhy::Mtu => "mtu",
        CwndWhy::SlowStartLeft => "slow-start-left",
    }
}

/// `1 byte`, `37 bytes`.
struct Count(u32, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// What a SYN offers: `MSS 1460, SACK, time stamps, window scale 7, ECN`.
struct Offer<'a>(&'a Segment);

impl fmt::Display for Offer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (o, flags) = (&self.0.options, self.0.flags);
        let mut list = List { out: f, empty: true };
        if let Some(mss) = o.mss {
            list.add(format_args!("MSS {mss}"))?;
        }
        if o.sack_permitted {
            list.add(format_args!("SACK"))?;
        }
        if o.timestamps.is_some() {
            list.add(format_args!("time stamps"))?;
        }
        if let Some(shift) = o.window_scale {
            list.add(format_args!("window scale {shift}"))?;
        }
        match (flags.contains(Flags::ACK), flags.ace()) {
            (false, 0b011) | (true, 0b001) => list.add(format_args!("ECN"))?,
            (_, 0) | (true, 0b111) => {}
            (false, _) => list.add(format_args!("accurate ECN"))?,
            (true, ace) => list.add(format_args!("accurate ECN (ACE {ace})"))?,
        }
        match &o.fast_open {
            Some(cookie) if cookie.is_request() => list.add(format_args!("asks for a Fast Open cookie"))?,
            Some(_) => list.add(format_args!("Fast Open cookie"))?,
            None => {}
        }
        if list.empty {
            list.add(format_args!("no options"))?;
        }
        if self.0.len > 0 {
            list.add(format_args!("with {}", Count(self.0.len, "byte")))?;
        }
        Ok(())
    }
}

/// The most characters of a text from outside that a trace repeats.
const MOST: usize = 1000;

/// A text that may come from a peer: control characters made harmless, its length bounded.
pub(super) struct Clean<'a>(pub &'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, c) in self.0.chars().enumerate() {
            if nth == MOST {
                return f.write_char('…');
            }
            f.write_char(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })?;
        }
        Ok(())
    }
}

//! How many packets were marked, and how many bytes? What each end counts and tells the other by accurate ECN (RFC 9768).
//!
//! Where the RFC leaves a choice, or the counts are ambiguous, it is Linux' that is made.

use super::cause::AckNowWhy;
use super::config::{Config, EcnOption};
use super::conn::Conn;
use super::recovery::Phase;
use super::state::State;
use crate::segment::{Arrival, Ecn as Field, EcnBytes, Flags, Options, Segment};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// The counts of packets begin with it, so that zero is never what was counted (RFC 9768 §3.2.1).
const FIRST: u32 = 5;
/// What ACE can tell apart.
const SPAN: u32 = 8;
/// With so many marks to tell of, an acknowledgment leaves before ACE goes round: as on Linux.
const MOST_PENDING: u8 = 6;
/// In other profiles data with the second of them is acknowledged at once (RFC 9768 §3.2.2.5.1).
const SECOND_MARK: u8 = 2;
/// What the counts of bytes begin with: ECT(1), CE, ECT(0). A zero shows that somebody has wiped them (RFC 9768 §3.2.1).
const FIRST_BYTES: [u32; 3] = [1, 0, 1];
/// After so many bytes without an option the counts may have gone round: it is too late for one.
const BEFORE_WRAP: u64 = (1 << 23) - 1;
/// On average so many packets are acknowledged at once where somebody thins acknowledgments out, times 64.
const THINNED: u32 = 4 << 6;
/// What that average begins with where our SYN was acknowledged, a packet as others.
const SYN_COVERED: u16 = 1 << 6;

/// The place of a codepoint among the counts of bytes; none for what is not capable.
fn place(field: Field) -> Option<usize> {
    match field {
        Field::NotEct => None,
        Field::Ect1 => Some(0),
        Field::Ce => Some(1),
        Field::Ect0 => Some(2),
    }
}

/// The flags that say how a SYN or a SYN-ACK came: RFC 9768 §3.1.1 table 2, RFC 9768 §3.2.2.1 table 3.
pub(super) fn reflection(field: Field) -> Flags {
    Flags::of_ace(match field {
        Field::NotEct => 0b010,
        Field::Ect1 => 0b011,
        Field::Ect0 => 0b100,
        Field::Ce => 0b110,
    })
}

/// What of the exchange cannot be relied upon. The numbers are Linux' `tcpi_accecn_fail_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Fails(pub(super) u8);

impl Fails {
    /// What we say in ACE does not arrive.
    pub(super) const ACE_SENT: Fails = Fails(1);
    /// What ACE says is not what the peer saw.
    pub(super) const ACE_HEARD: Fails = Fails(2);
    /// Segments with the option do not arrive.
    pub(super) const OPTION_SENT: Fails = Fails(4);
    /// The option says nothing.
    pub(super) const OPTION_HEARD: Fails = Fails(8);

    pub(super) fn add(&mut self, other: Fails) {
        self.0 |= other.0;
    }

    fn has(self, other: Fails) -> bool {
        self.0 & other.0 != 0
    }
}

/// Whether the peer's option was seen. The numbers are Linux' `tcpi_accecn_opt_seen`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) enum Seen {
    #[default]
    No,
    /// Without counts.
    Empty,
    Counts,
    /// Somebody has wiped it: RFC 9768 §3.2.3.2.4.
    Wiped,
}

impl Seen {
    /// What the first option tells.
    pub(super) fn of(option: &EcnBytes) -> Seen {
        let mut counts = option.counts().map(|(_, count)| count);
        match (counts.next(), counts.nth(1)) {
            (None, _) => Seen::Empty,
            (Some(0), _) | (_, Some(0)) => Seen::Wiped,
            _ => Seen::Counts,
        }
    }
}

/// One connection's counts, from the end of its handshake on.
#[derive(Clone, Debug)]
pub(super) struct Accurate {
    /// Packets that came with a mark: r.cep, less what it begins with.
    received: u32,
    /// Those of them of which the peer was not told, up to 15.
    pending: u8,
    /// Bytes of data that came with each codepoint.
    bytes: [u32; 3],
    /// The codepoint that came last.
    last: Field,
    /// It changed with a bare acknowledgment: the next data is acknowledged at once.
    hurried: bool,
    /// As many counts at the least go into the next option: those that have changed are among them.
    least: u8,
    /// So many of the next segments have the option.
    demand: u8,
    /// When it was last sent.
    told_at: Option<Instant>,
    /// What the last segment reported to have come twice, beside an option.
    told_twice: Option<Seq>,
    /// Our packets that the peer saw marked: s.cep, less what it begins with.
    delivered: u32,
    /// Bytes of ours that reached it with each codepoint.
    delivered_bytes: [u32; 3],
    /// The codepoint that the last change was about: what an acknowledgment without an option covers had it, too.
    estimate: Option<Field>,
    /// How many packets an acknowledgment covers on average, times 64; 0 before the first.
    average: u16,
    /// The acknowledgment under way has a newer time stamp than those before.
    newer: bool,
    /// What ACE says is not believed.
    deaf: bool,
    /// How the SYN came, or the SYN-ACK; the next bare acknowledgment says so if `reflects`.
    pub(super) syn: Field,
    pub(super) reflects: bool,
    /// As on Linux: what a closed socket answers in FIN-WAIT-2 tells nothing.
    mute: bool,
    pub(super) seen: Seen,
    pub(super) fails: Fails,
    /// See [`Config::ecn_option`] and [`Config::ecn_option_beacon`].
    option: EcnOption,
    beacon: u8,
}

/// What an acknowledgment covers that was not known to have arrived.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Covered {
    pub(super) packets: u32,
    pub(super) bytes: u32,
    /// It makes progress, or is newer by its time stamp: else it may have been overtaken (RFC 9768 §3.2.2.5.2).
    pub(super) progress: bool,
    /// What was not reported is not there: bytes and packets are exact.
    pub(super) exact: bool,
    /// The payload of a full segment.
    pub(super) mss: u32,
    /// All bytes of data that were sent so far.
    pub(super) sent: u64,
}

impl Accurate {
    /// `syn` is how the peer's SYN or SYN-ACK came.
    pub(super) fn new(cfg: &Config, syn: Field) -> Accurate {
        Accurate {
            received: 0,
            pending: 0,
            bytes: [0; 3],
            last: Field::NotEct,
            hurried: false,
            least: 0,
            demand: 0,
            told_at: None,
            told_twice: None,
            delivered: 0,
            delivered_bytes: [0; 3],
            estimate: None,
            average: 0,
            newer: false,
            deaf: false,
            syn,
            reflects: false,
            mute: false,
            seen: Seen::No,
            fails: Fails::default(),
            option: cfg.ecn_option,
            beacon: cfg.ecn_option_beacon,
        }
    }

    /// The same for who was asked: the peer is told soon that the option gets through.
    pub(super) fn granted(cfg: &Config, syn: Field) -> Accurate {
        Accurate { last: syn, demand: 1, ..Accurate::new(cfg, syn) }
    }

    /// The same with what the handshake showed of the path.
    pub(super) fn with(self, seen: Seen, fails: Fails) -> Accurate {
        Accurate { seen, fails, ..self }
    }

    /// The same where two SYNs have crossed.
    pub(super) fn crossed(cfg: &Config, syn: Field) -> Accurate {
        Accurate { last: syn, ..Accurate::new(cfg, syn) }
    }

    /// Packets that came with a mark.
    pub(super) fn received(&self) -> u32 {
        self.received
    }

    /// Packets of ours that the peer saw marked.
    pub(super) fn delivered(&self) -> u32 {
        self.delivered
    }

    /// Bytes that came with a codepoint, and bytes of ours that the peer saw with it.
    pub(super) fn bytes_of(&self, field: Field) -> (u32, u32) {
        place(field).map_or((0, 0), |at| (self.bytes[at], self.delivered_bytes[at]))
    }

    /// ACE as it would be sent now: the lowest bits of a count (RFC 9768 §3.2.2.2), of which CWR is one and no answer to marks
    /// any more (RFC 9768 §3.1.5).
    pub(super) fn ace(&self) -> Flags {
        Flags::of_ace(self.received.wrapping_add(FIRST))
    }

    /// Whether what the peer says agrees with what is known: RFC 9768 §3.2.2.5 has a fast path for it.
    pub(super) fn expects(&self, seg: &Segment) -> bool {
        seg.flags.ace() == self.delivered.wrapping_add(FIRST) as u8 & 7 && seg.options.ecn.is_none()
    }

    /// `segments` packets came with `field` in their IP header and `len` bytes of data. True if the codepoint is another one
    /// than before.
    fn count(&mut self, field: Field, segments: u16, len: u32) -> bool {
        let marked = field == Field::Ce;
        if marked {
            let segments = segments.max(1);
            self.received = self.received.wrapping_add(segments.into());
            self.pending = u16::from(self.pending).saturating_add(segments).min(15) as u8;
        }
        if let Some(at) = place(field).filter(|_| len > 0) {
            let before = self.bytes[at];
            self.bytes[at] = before.wrapping_add(len);
            self.least = self.least.max(at as u8 + 1);
            // Long before the count goes round (RFC 9768 §3.2.3.3).
            if (before ^ self.bytes[at]) >> 22 != 0 {
                self.demand = self.demand.max(1);
            }
        }
        let changed = std::mem::replace(&mut self.last, field) != field;
        if changed || marked {
            self.demand = 2;
        }
        changed
    }

    /// The first option came, on the handshake: the peer hears that it did (RFC 9768 §3.2.3.2.1).
    pub(super) fn on_first_option(&mut self, option: Option<&EcnBytes>, demand: u8) {
        if let Some(option) = option.filter(|_| self.seen < Seen::Counts) {
            self.seen = Seen::of(option);
            if self.seen == Seen::Wiped {
                self.fails.add(Fails::OPTION_HEARD);
            }
            self.demand = self.demand.max(demand);
        }
    }

    /// Whether the next segment has the option: RFC 9768 §3.2.3.3.
    fn wants_option(&self, now: Option<Instant>, srtt: Duration) -> bool {
        if self.option == EcnOption::Off || self.seen == Seen::No || self.mute {
            return false;
        }
        if self.fails.has(Fails::OPTION_SENT) && self.option != EcnOption::Always {
            return false;
        }
        let beacon = || match (now, self.told_at) {
            (None, _) => false,
            (_, None) => self.beacon > 0,
            (Some(now), Some(at)) => self.beacon > 0 && now.since(at) * self.beacon.into() >= srtt,
        };
        self.option != EcnOption::Sparse || self.demand > 0 || beacon()
    }

    /// `options`, with the counts if they are wanted and find room.
    pub(super) fn with_counts(&self, options: Options, now: Option<Instant>, srtt: Duration) -> Options {
        match self.wants_option(now, srtt) {
            true => {
                let mut counts = FIRST_BYTES;
                for (count, bytes) in counts.iter_mut().zip(self.bytes) {
                    *count = count.wrapping_add(bytes);
                }
                fitted(options, &counts, self.least.into())
            }
            false => options,
        }
    }

    /// A segment leaves, of whatever kind (RFC 9768 §3.1.5); `twice` is where what it reports to have come twice begins. Returns
    /// its flags and its codepoint.
    fn on_sent(&mut self, now: Instant, bare: bool, options: &Options, twice: Option<Seq>) -> (Flags, Field) {
        self.hurried = false;
        if self.mute {
            return (Flags::NONE, Field::Ect0);
        }
        self.told_twice = None;
        if options.ecn.is_some() {
            (self.least, self.told_at, self.told_twice) = (0, Some(now), twice);
            self.demand = self.demand.saturating_sub(1);
        }
        let flags = match std::mem::take(&mut self.reflects) && bare {
            true => reflection(self.syn),
            false => {
                self.pending = 0;
                self.ace()
            }
        };
        let reliable = !self.fails.has(Fails(Fails::ACE_SENT.0 | Fails::ACE_HEARD.0));
        (flags, if reliable { Field::Ect0 } else { Field::NotEct })
    }

    /// The counts of bytes in an acknowledgment, or what they would be. Returns how many bytes more were marked, if that
    /// can be told.
    fn hear_bytes(&mut self, option: Option<&EcnBytes>, covered: &Covered) -> Option<u32> {
        if self.fails.has(Fails::OPTION_HEARD) {
            return None;
        }
        let marked = self.delivered_bytes[1];
        let Some(option) = option else {
            if self.seen == Seen::No {
                if covered.sent >= BEFORE_WRAP {
                    self.seen = Seen::Wiped;
                    self.fails.add(Fails::OPTION_HEARD);
                }
                return None;
            }
            let at = self.estimate.and_then(place)?;
            self.delivered_bytes[at] = self.delivered_bytes[at].wrapping_add(covered.bytes);
            return Some(self.delivered_bytes[1].wrapping_sub(marked));
        };
        self.on_first_option(Some(option), 0);
        let before = self.estimate;
        let (mut sure, mut ambiguous, mut changed) = (before.is_some(), false, false);
        for (field, count) in option.counts() {
            let Some(at) = place(field) else { continue };
            let known = &mut self.delivered_bytes[at];
            let more = count.wrapping_sub(FIRST_BYTES[at]).wrapping_sub(*known) << 8;
            // A count may have gone back: an older acknowledgment, or an estimate that was wrong.
            let more = more as i32 >> 8;
            *known = known.wrapping_add_signed(more);
            ambiguous |= more < 0;
            if more != 0 && before != Some(field) {
                if std::mem::replace(&mut changed, true) {
                    ambiguous = true;
                } else {
                    self.estimate = Some(field);
                }
            }
        }
        if ambiguous {
            (sure, self.estimate) = (false, None);
        }
        sure.then(|| self.delivered_bytes[1].wrapping_sub(marked))
    }

    /// How many packets more were marked by what an acknowledgment says: ACE tells their number but for multiples of eight.
    /// Where there may have been more, what the option says decides, or the safest case that is likely (RFC 9768 §3.2.2.5.2,
    /// appendix A.2).
    fn hear(&mut self, seg: &Segment, covered: &Covered) -> u32 {
        if !std::mem::take(&mut self.newer) && !covered.progress {
            return 0;
        }
        self.hurried |= self.pending >= MOST_PENDING;
        let marked = self.hear_bytes(seg.options.ecn.as_ref(), covered);
        if covered.packets > 0 {
            let packets = u64::from(covered.packets) << 6;
            let average = match u64::from(self.average) {
                0 => packets,
                average => ((average << 6) - average + packets) >> 6,
            };
            self.average = average.min(0xffff) as u16;
        }
        if self.deaf {
            return 0;
        }
        let count = u32::from(seg.flags.ace()).wrapping_sub(FIRST);
        let least = count.wrapping_sub(self.delivered) % SPAN;
        let packets = covered.packets;
        if packets < SPAN {
            return least;
        }
        let most = packets - (packets - least) % SPAN;
        let mss = u64::from(covered.mss);
        let Some(marked) = marked else {
            // Who thins out acknowledgments makes many at once usual.
            return if u32::from(self.average) > THINNED { least } else { most };
        };
        if marked == 0 {
            return least;
        }
        if packets >= 2 * SPAN && covered.exact {
            if covered.bytes <= marked {
                return most;
            }
            let likely = (u64::from(marked) * u64::from(packets)).div_ceil(u64::from(covered.bytes)) as u32;
            return most.min(least + likely / SPAN * SPAN);
        }
        let marked = u64::from(marked);
        if marked <= u64::from(least) * mss && marked < u64::from(most) * mss / 2 { least } else { most }
    }
}

/// `options` with as many of the counts as find room, `least` at the least; to those that have changed one SACK block gives way,
/// as long as two are left (RFC 9768 §3.2.3.3).
pub(super) fn fitted(options: Options, counts: &[u32; 3], least: usize) -> Options {
    let mut with = options;
    loop {
        for fields in (least..=counts.len()).rev() {
            with.ecn = Some(EcnBytes::new(&counts[..fields], true));
            if with.encoded_len() <= Options::MOST {
                return with;
            }
        }
        if least == 0 || with.sack.len() <= 2 {
            return options;
        }
        with.sack.truncate(with.sack.len() - 1);
    }
}

/// The options of a SYN-ACK, with the counts as they begin.
pub(super) fn with_first_counts(options: Options, cfg: &Config) -> Options {
    match cfg.ecn_option {
        EcnOption::Off => options,
        _ => fitted(options, &FIRST_BYTES, 0),
    }
}

impl Conn {
    /// The counts, if both ends keep them.
    pub(super) fn accurate(&self) -> Option<&Accurate> {
        self.ecn.as_ref()?.accurate.as_deref()
    }

    pub(super) fn accurate_mut(&mut self) -> Option<&mut Accurate> {
        self.ecn.as_mut()?.accurate.as_deref_mut()
    }

    /// A segment came that fits: what its IP header says is counted, whatever becomes of its data (RFC 9768 §3.2.2.5.1,
    /// RFC 9768 §3.2.3.3).
    pub(super) fn count_marks(&mut self, arrival: &Arrival, cfg: &Config) {
        let linux = cfg.ack_adaptive;
        // Linux counts nothing once one of the two has said FIN.
        if linux && !matches!(self.state, State::Established | State::SynReceived) {
            return;
        }
        let Some(ecn) = self.ecn.as_mut() else { return };
        let Some(accurate) = ecn.accurate.as_deref_mut() else { return };
        ecn.capable |= arrival.ecn != Field::NotEct;
        let changed = accurate.count(arrival.ecn, arrival.segments, arrival.seg.len);
        let news = arrival.seg.seq_len() > 0;
        accurate.hurried |= changed || !linux && news && accurate.pending >= SECOND_MARK;
        if news && accurate.hurried {
            let why = if arrival.ecn == Field::Ce { AckNowWhy::Ecn } else { AckNowWhy::EcnChange };
            self.ack.at_once(why);
        }
    }

    /// The settings of the option hold for open connections, too, when they change.
    pub(super) fn follow_option(&mut self, cfg: &Config) {
        if let Some(accurate) = self.accurate_mut() {
            (accurate.option, accurate.beacon) = (cfg.ecn_option, cfg.ecn_option_beacon);
        }
    }

    /// The time stamp of the acknowledgment under way is newer than all before it.
    pub(super) fn note_newer(&mut self, newer: bool) {
        if let Some(accurate) = self.accurate_mut() {
            accurate.newer = newer;
        }
    }

    /// Whether an acknowledgment tells of marks that were not known.
    pub(super) fn hear_marks(&mut self, seg: &Segment, packets: u32, bytes: u32, progress: bool) -> bool {
        let calm = matches!(self.recovery.phase, Phase::Open | Phase::Cwr);
        let covered = Covered {
            packets,
            bytes,
            progress,
            exact: self.sack || calm,
            mss: self.mss(),
            sent: self.counters.bytes_sent,
        };
        let Some(accurate) = self.accurate_mut() else { return false };
        let marks = accurate.hear(seg, &covered);
        accurate.delivered = accurate.delivered.wrapping_add(marks);
        if accurate.hurried && seg.seq_len() > 0 {
            self.ack.at_once(AckNowWhy::Ecn);
        }
        marks > 0
    }

    /// The segment that completes the handshake says how our SYN-ACK came (RFC 9768 §3.2.2.1 table 4): it left without being
    /// ECN-capable.
    pub(super) fn on_reflection(&mut self, seg: &Segment, checks: bool) {
        let Some(accurate) = self.accurate_mut() else { return };
        let ace = seg.flags.ace();
        match ace {
            // Somebody has wiped it: nothing that comes back can be believed (RFC 9768 §3.2.2.4).
            0 if seg.options.sack.is_empty() => {
                accurate.fails.add(Fails::ACE_HEARD);
                accurate.fails.add(Fails::OPTION_HEARD);
                accurate.deaf = true;
            }
            0 | 1 | 5 | 7 => {}
            _ if seg.seq_len() > 0 || !seg.options.sack.is_empty() => {}
            _ if checks && seg.flags.ace() != reflection(Field::NotEct).ace() => {
                accurate.fails.add(Fails::ACE_HEARD);
            }
            _ if ace == reflection(Field::Ce).ace() => accurate.delivered = accurate.delivered.max(1),
            _ => {}
        }
    }

    /// The SYN-ACK of an active open agreed: `arrival` (RFC 9768 §3.1.1, RFC 9768 §3.2.2.3).
    pub(super) fn on_granted(&mut self, arrival: &Arrival, checks: bool) {
        let (seg, field) = (arrival.seg, arrival.ecn);
        let Some(accurate) = self.accurate_mut() else { return };
        accurate.on_first_option(seg.options.ecn.as_ref(), 2);
        (accurate.reflects, accurate.average) = (true, SYN_COVERED);
        if field != Field::Ce {
            return;
        }
        // It is a mark (RFC 9768 §3.2.2.2) if our own SYN arrived as it left; else the path writes what it likes.
        let ace = seg.flags.ace();
        if checks && ace != 0b101 && ace != reflection(Field::NotEct).ace() {
            accurate.fails.add(Fails::ACE_HEARD);
        } else {
            accurate.received += 1;
            accurate.pending += 1;
        }
    }

    /// A SYN came on an open connection, or the SYN-ACK of one that crossed ours: how, the answer says if it `reflects` (RFC 9768
    /// §3.2.2.1).
    pub(super) fn take_late_syn(&mut self, arrival: &Arrival, reflects: bool) {
        let crossed = self.state == State::SynReceived && self.active;
        if let Some(accurate) = self.accurate_mut() {
            (accurate.syn, accurate.reflects) = (arrival.ecn, reflects);
            if crossed {
                accurate.average = SYN_COVERED;
            }
            accurate.on_first_option(arrival.seg.options.ecn.as_ref(), 1);
        }
    }

    /// What begins at `start` has come again. If it had been reported to have come twice beside an option, that report was lost,
    /// perhaps because of it (RFC 9768 §3.2.3.2.2).
    pub(super) fn suspect_option(&mut self, start: Seq) {
        if let Some(accurate) = self.accurate_mut()
            && accurate.told_twice == Some(start)
        {
            accurate.fails.add(Fails::OPTION_SENT);
        }
    }

    /// On Linux nothing is left of a closed socket in FIN-WAIT-2 that could count.
    pub(super) fn fall_silent(&mut self) {
        if self.released
            && self.state == State::FinWait2
            && let Some(accurate) = self.accurate_mut()
        {
            accurate.mute = true;
        }
    }

    /// The flags and the codepoint of a segment that leaves now, if the counts are kept.
    pub(super) fn tell_marks(
        &mut self,
        now: Instant,
        bare: bool,
        options: &Options,
    ) -> Option<(Flags, Field)> {
        let twice = self.rcv.reports_twice().filter(|_| !options.sack.is_empty());
        Some(self.accurate_mut()?.on_sent(now, bare, options, twice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn counting() -> Accurate {
        Accurate { seen: Seen::Counts, ..Accurate::granted(&Config::linux(), Field::NotEct) }
    }

    /// An acknowledgment of `packets` full segments by which `ace` were marked in all, with what the option says of ECT(1),
    /// CE and ECT(0).
    fn hears(accurate: &mut Accurate, ace: u32, packets: u32, bytes: Option<[u32; 3]>) -> u32 {
        let counts = bytes.map(|[e1, ce, e0]| EcnBytes::new(&[e1 + 1, ce, e0 + 1], true));
        let options = Options { ecn: counts, ..Options::default() };
        let seg = Segment { flags: Flags::ACK | Flags::of_ace(ace + FIRST), options, ..Segment::default() };
        let bytes = packets * MSS;
        let covered = Covered { packets, bytes, progress: true, exact: true, mss: MSS, sent: 0 };
        let more = accurate.hear(&seg, &covered);
        accurate.delivered += more;
        more
    }

    #[test]
    fn ace_tells_the_number_of_marks_while_it_cannot_have_gone_round() {
        let mut accurate = counting();
        for (total, more) in [(0, 0), (2, 2), (9, 7), (9, 0), (10, 1), (16, 6)] {
            assert_eq!(hears(&mut accurate, total, 7, None), more, "{total}");
        }
        assert_eq!(accurate.delivered(), 16);
    }

    #[test]
    fn what_may_have_gone_round_has_if_nothing_says_otherwise() {
        // Of 20 packets 3, 11 or 19 were marked: the safest case.
        let mut usual = Accurate { average: 2 << 6, ..counting() };
        assert_eq!(hears(&mut usual, 3, 20, None), 19);
        // Who thins out acknowledgments makes twenty at once usual.
        let mut thinned = Accurate { average: 5 << 6, ..counting() };
        assert_eq!(hears(&mut thinned, 3, 20, None), 3);
    }

    #[test]
    fn bytes_tell_how_often_ace_went_round() {
        for marked in 0..=20 {
            // What came before had ECT(0), and what comes now has a mark only where it is counted so.
            let mut accurate = Accurate { estimate: Some(Field::Ce), ..counting() };
            let bytes = [0, marked * MSS, 0];
            assert_eq!(hears(&mut accurate, marked, 20, Some(bytes)), marked, "{marked}");
        }
        let mut few = Accurate { estimate: Some(Field::Ce), ..counting() };
        assert_eq!(hears(&mut few, 1, 10, Some([0, 900, 0])), 1);
        assert_eq!(hears(&mut few, 10, 10, Some([0, 9900, 0])), 9);
    }

    #[test]
    fn an_acknowledgment_that_was_overtaken_says_nothing() {
        let mut accurate = counting();
        let seg = Segment { flags: Flags::ACK | Flags::of_ace(FIRST + 3), ..Segment::default() };
        assert_eq!(accurate.hear(&seg, &Covered::default()), 0);
        // One with a newer time stamp does.
        accurate.newer = true;
        assert_eq!(accurate.hear(&seg, &Covered::default()), 3);
    }

    #[test]
    fn a_count_of_bytes_that_goes_round_goes_on() {
        let mut accurate = Accurate { estimate: Some(Field::Ect0), ..counting() };
        let edge = (1 << 24) - 500;
        accurate.delivered_bytes[2] = edge;
        hears(&mut accurate, 0, 1, Some([0, 0, (edge + MSS) & 0xff_ffff]));
        assert_eq!(accurate.bytes_of(Field::Ect0), (0, edge + MSS));
        // Without an option what arrives is taken to have come as what changed last.
        hears(&mut accurate, 0, 2, None);
        assert_eq!(accurate.bytes_of(Field::Ect0), (0, edge + 3 * MSS));
    }

    #[test]
    fn an_option_that_comes_too_late_is_not_believed() {
        let mut accurate = Accurate { seen: Seen::No, ..counting() };
        let late = Covered { progress: true, sent: BEFORE_WRAP, ..Covered::default() };
        assert_eq!(accurate.hear_bytes(None, &late), None);
        assert_eq!((accurate.seen, accurate.fails), (Seen::Wiped, Fails::OPTION_HEARD));
        let option = EcnBytes::new(&[1, 0, 501], true);
        assert_eq!(accurate.hear_bytes(Some(&option), &late), None);
        assert_eq!(accurate.bytes_of(Field::Ect0), (0, 0));
    }

    #[test]
    fn what_comes_is_counted_by_packets_and_by_bytes() {
        let mut accurate = counting();
        assert!(accurate.count(Field::Ect0, 1, 100));
        assert!(!accurate.count(Field::Ect0, 1, 100));
        assert!(accurate.count(Field::Ce, 3, 300));
        assert!(!accurate.count(Field::Ce, 1, 0));
        assert_eq!((accurate.received(), accurate.pending), (4, 4));
        assert_eq!(accurate.ace().ace(), (5 + 4) & 7);
        assert_eq!([Field::Ect1, Field::Ect0, Field::Ce].map(|f| accurate.bytes_of(f).0), [0, 200, 300]);
        for _ in 0..300_000 {
            accurate.count(Field::Ce, 1, 0);
        }
        assert_eq!(accurate.pending, 15);
    }

    #[test]
    fn the_counts_that_changed_find_room_beside_sack_and_time_stamps() {
        let mut options = Options { timestamps: Some(Default::default()), ..Options::default() };
        let fields = |options: Options, least| {
            fitted(options, &FIRST_BYTES, least).ecn.map(|ecn| ecn.counts().count())
        };
        assert_eq!(fields(options, 0), Some(3));
        let mut seen = Vec::new();
        for n in 0..3 {
            options.sack.push(Seq(n * 10), Seq(n * 10 + 5));
            seen.push([0, 1, 2, 3].map(|least| {
                let with = fitted(options, &FIRST_BYTES, least);
                assert!(with.encoded_len() <= 40);
                (with.ecn.map(|ecn| ecn.counts().count()), with.sack.len())
            }));
        }
        assert_eq!(seen[0], [(Some(3), 1); 4]);
        assert_eq!(seen[1], [(Some(2), 2), (Some(2), 2), (Some(2), 2), (None, 2)]);
        // Three blocks leave no room but for the option without counts; to counts that changed one gives way.
        assert_eq!(seen[2], [(Some(0), 3), (Some(2), 2), (Some(2), 2), (None, 3)]);
    }
}

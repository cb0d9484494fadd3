//! What do routers say of congestion, and how is it passed on? ECN (RFC 3168).

use super::accurate_ecn::{self, Accurate, Fails};
use super::cause::AckNowWhy;
use super::config::{Config, EcnMode};
use super::conn::Conn;
use crate::segment::{Ecn as Field, Flags, Options, Segment};
use crate::time::Instant;

/// So many segments are acknowledged at once after a mark: the sender's window may be very small. As on Linux.
const HURRY: u8 = 2;

/// What both ends agreed on in the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Agreed {
    #[default]
    Nothing,
    /// RFC 3168.
    Classic,
    /// RFC 9768.
    Accurate,
}

impl EcnMode {
    /// Whether who asks for accurate ECN gets it.
    fn grants_accurate(self) -> bool {
        matches!(self, EcnMode::Accurate | EcnMode::AccurateGranted | EcnMode::AccuratePassive)
    }

    /// Whether `connect` asks for ECN of either kind.
    fn asks(self) -> bool {
        matches!(self, EcnMode::On | EcnMode::Accurate | EcnMode::AccurateGranted)
    }
}

impl Agreed {
    /// What a listener grants to `syn`, which came with `field` in its IP header: RFC 3168 §6.1.1, RFC 9768 §3.1.2. A SYN that is
    /// ECN-capable asks for no classic ECN: that field cannot be trusted.
    pub(super) fn with_syn(cfg: &Config, syn: &Segment, field: Field) -> Agreed {
        match syn.flags.ace() {
            0 => Agreed::Nothing,
            ace if ace != 0b011 && cfg.ecn.grants_accurate() => Agreed::Accurate,
            0b011 if field == Field::NotEct && cfg.ecn != EcnMode::Off => Agreed::Classic,
            0b111 if cfg.ecn != EcnMode::Off => Agreed::Classic,
            _ => Agreed::Nothing,
        }
    }

    /// What the SYN-ACK `seg` grants: RFC 3168 §6.1.1, RFC 9768 §3.1.1 table 2.
    pub(super) fn with_syn_ack(cfg: &Config, seg: &Segment) -> Agreed {
        match seg.flags.ace() {
            0b001 if cfg.ecn.asks() => Agreed::Classic,
            // Reserved: from who knows more than we do (RFC 9768 §3.1.3).
            0b010..=0b110 if cfg.ecn == EcnMode::Accurate => Agreed::Accurate,
            0b101 if cfg.ecn.asks() => Agreed::Classic,
            // None of it, or a peer that returns all flags as they came.
            _ => Agreed::Nothing,
        }
    }

    /// What follows from a SYN that crossed ours.
    pub(super) fn with_crossing(cfg: &Config, syn: &Segment) -> Agreed {
        match syn.flags.ace() {
            0b011 if cfg.ecn.asks() => Agreed::Classic,
            ace if ace != 0 && cfg.ecn == EcnMode::Accurate => Agreed::Accurate,
            0b111 if cfg.ecn.asks() => Agreed::Classic,
            _ => Agreed::Nothing,
        }
    }

    /// The flags of a SYN-ACK, which answers a SYN that came with `field` in its IP header.
    pub(super) fn flags(self, field: Field) -> Flags {
        match self {
            Agreed::Nothing => Flags::NONE,
            Agreed::Classic => Flags::ECE,
            Agreed::Accurate => accurate_ecn::reflection(field),
        }
    }
}

/// Where the two ends stand (RFC 9293 §3.8.2, SHLD-8), if they agreed on something.
#[derive(Default, Debug)]
pub(super) struct Ecn {
    /// Our SYN asks for accurate ECN, and was not answered.
    pending: bool,
    /// A mark came: every acknowledgment says so until the peer has reduced its window (RFC 3168 §6.1.3).
    echo: bool,
    /// Our window was reduced: the next new data says so, once (RFC 3168 §6.1.2).
    reduced: bool,
    /// The peer's data is marked as ECN-capable.
    pub(super) capable: bool,
    /// Segments that came with a mark, if they are not counted precisely.
    marks: u32,
    /// What is counted by accurate ECN.
    pub(super) accurate: Option<Box<Accurate>>,
}

/// The flags of the SYN number `nth` of an active open: from the second on it asks for nothing, because there are paths that
/// drop what does (RFC 3168 §6.1.1.1). Accurate ECN is asked for twice (RFC 9768 §3.1.4.1).
pub(super) fn request(cfg: &Config, nth: u8) -> Flags {
    match cfg.ecn {
        EcnMode::Accurate if nth < 2 || !cfg.ecn_fallback => Flags::ACE,
        EcnMode::On | EcnMode::AccurateGranted if nth == 0 || !cfg.ecn_fallback => Flags::ECE | Flags::CWR,
        _ => Flags::NONE,
    }
}

impl Ecn {
    /// What a segment other than a SYN says beside its other flags; `new` if it carries data for the first time. A
    /// retransmission, a bare acknowledgment and a probe are not ECN-capable and say nothing of our window (RFC 3168
    /// §6.1.4, RFC 3168 §6.1.5, RFC 3168 §6.1.6).
    fn on_sent(&mut self, new: bool) -> (Flags, Field) {
        if self.pending {
            return (Flags::NONE, Field::NotEct);
        }
        let mut flags = if self.echo { Flags::ECE } else { Flags::NONE };
        if !new {
            return (flags, Field::NotEct);
        }
        if std::mem::take(&mut self.reduced) {
            flags |= Flags::CWR;
        }
        (flags, Field::Ect0)
    }
}

impl Conn {
    /// An active open begins: what its SYN asks for.
    pub(super) fn ask_ecn(&mut self, cfg: &Config) {
        if cfg.ecn == EcnMode::Accurate {
            self.ecn = Some(Box::new(Ecn { pending: true, ..Ecn::default() }));
        }
    }

    /// Both ends agreed; `accurate` begins the counts, if so.
    pub(super) fn agree_ecn(&mut self, agreed: Agreed, accurate: impl FnOnce() -> Accurate) {
        self.ecn = match agreed {
            Agreed::Nothing => None,
            Agreed::Classic => Some(Box::default()),
            Agreed::Accurate => {
                Some(Box::new(Ecn { accurate: Some(Box::new(accurate())), ..Ecn::default() }))
            }
        };
    }

    /// What both ends agreed on.
    pub(super) fn agreed_ecn(&self) -> Agreed {
        match self.ecn.as_deref() {
            None | Some(Ecn { pending: true, .. }) => Agreed::Nothing,
            Some(Ecn { accurate: Some(_), .. }) => Agreed::Accurate,
            Some(_) => Agreed::Classic,
        }
    }

    /// Our SYN asks for accurate ECN, and was not answered.
    pub(super) fn awaits_ecn(&self) -> bool {
        self.ecn.as_ref().is_some_and(|ecn| ecn.pending)
    }

    /// The state of RFC 3168's ECN, if that was agreed on.
    fn classic(&mut self) -> Option<&mut Ecn> {
        self.ecn.as_deref_mut().filter(|ecn| ecn.accurate.is_none() && !ecn.pending)
    }

    /// The flags and the codepoint of a segment that leaves now, other than a SYN; `new` if it carries data for the first time,
    /// `bare` if it only acknowledges.
    pub(super) fn ecn_of_segment(
        &mut self,
        now: Instant,
        new: bool,
        bare: bool,
        options: &Options,
    ) -> (Flags, Field) {
        let told = self.tell_marks(now, bare, options);
        told.or_else(|| Some(self.ecn.as_mut()?.on_sent(new))).unwrap_or_default()
    }

    /// The flags of our SYN-ACK. The third one that goes unanswered does without accurate ECN, and what is sent then is not
    /// capable (RFC 9768 §3.2.3.2.2).
    pub(super) fn ecn_of_syn_ack(&mut self) -> Flags {
        let (agreed, again) = (self.agreed_ecn(), !self.active && self.retries > 1);
        let Some(accurate) = self.accurate_mut() else { return agreed.flags(Field::NotEct) };
        if again {
            accurate.fails.add(Fails::ACE_SENT);
            return Flags::NONE;
        }
        agreed.flags(accurate.syn)
    }

    /// Our window was reduced, for whatever reason (RFC 3168 §6.1.2).
    pub(super) fn say_reduced(&mut self, reduced: bool) {
        if let Some(ecn) = self.classic() {
            ecn.reduced = reduced;
        }
    }

    /// ECN-capable data has come.
    pub(super) fn saw_capable(&self) -> bool {
        self.ecn.as_ref().map_or(self.counters.seen().capable, |ecn| ecn.capable)
    }
    /// The peer says, by whatever acknowledges something, that it has reduced its window (RFC 3168 §6.1.3). As on Linux a bare
    /// acknowledgment may say so, and an old one may not.
    pub(super) fn accept_reduction(&mut self, seg: &Segment) {
        let Some(ecn) = self.classic() else { return };
        if seg.has(Flags::CWR) {
            ecn.echo = false;
            if seg.seq_len() > 0 {
                // Its window may be down to one segment: do not let it wait.
                self.ack.at_once(AckNowWhy::Ecn);
            }
        }
    }

    /// Data or a FIN came within the window, in `seg`; `field` is what its IP header says, `news` that some of the data
    /// had not come before (RFC 3168 §6.1.3).
    pub(super) fn take_marks(&mut self, seg: &Segment, field: Field, news: bool) {
        if !news || seg.len == 0 {
            return;
        }
        let Some(ecn) = self.ecn.as_mut() else {
            // Nobody asked for it, and it is worth a word all the same.
            if field != Field::NotEct {
                self.counters.rare().capable = true;
            }
            return;
        };
        match field {
            // The others were capable, so this is likely to be a retransmission.
            Field::NotEct if ecn.capable => self.ack.hurry(HURRY),
            Field::NotEct => {}
            // The counts have it already.
            _ if ecn.accurate.is_some() => {}
            Field::Ect0 | Field::Ect1 => ecn.capable = true,
            Field::Ce => {
                ecn.capable = true;
                ecn.marks = ecn.marks.saturating_add(1);
                if !std::mem::replace(&mut ecn.echo, true) {
                    self.ack.hurry(HURRY);
                    self.ack.at_once(AckNowWhy::Ecn);
                }
            }
        }
    }

    /// Whether `seg` reports a mark on something that we sent.
    pub(super) fn reports_mark(&self, seg: &Segment) -> bool {
        self.agreed_ecn() == Agreed::Classic && seg.has(Flags::ECE)
    }

    /// How many segments came with a mark; `None` unless both ends take part.
    pub(super) fn marks(&self) -> Option<u32> {
        let ecn = self.ecn.as_ref().filter(|ecn| !ecn.pending)?;
        Some(ecn.accurate.as_ref().map_or(ecn.marks, |accurate| accurate.received()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [EcnMode; 6] = [
        EcnMode::Off,
        EcnMode::On,
        EcnMode::Passive,
        EcnMode::Accurate,
        EcnMode::AccurateGranted,
        EcnMode::AccuratePassive,
    ];

    fn cfg(ecn: EcnMode) -> Config {
        Config { ecn, ..Config::linux() }
    }

    fn with_ace(flags: Flags, ace: u32) -> Segment {
        Segment { flags: flags | Flags::of_ace(ace), ..Segment::default() }
    }

    use Agreed::{Accurate as A, Classic as C, Nothing as N};

    #[test]
    fn a_syn_gets_what_it_asks_for_and_the_listener_has() {
        // By what AE, CWR and ECE say together: RFC 9768 §3.1.2.
        let table = [
            (EcnMode::Off, [N, N, N, N, N, N, N, N]),
            (EcnMode::On, [N, N, N, C, N, N, N, C]),
            (EcnMode::Passive, [N, N, N, C, N, N, N, C]),
            (EcnMode::Accurate, [N, A, A, C, A, A, A, A]),
            (EcnMode::AccurateGranted, [N, A, A, C, A, A, A, A]),
            (EcnMode::AccuratePassive, [N, A, A, C, A, A, A, A]),
        ];
        for (mode, wanted) in table {
            let grants = |ace| Agreed::with_syn(&cfg(mode), &with_ace(Flags::SYN, ace), Field::NotEct);
            assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(grants), wanted, "{mode:?}");
        }
    }

    #[test]
    fn a_capable_syn_gets_no_classic_ecn_but_accurate() {
        for field in [Field::Ect0, Field::Ect1, Field::Ce] {
            let grants = |mode, ace| Agreed::with_syn(&cfg(mode), &with_ace(Flags::SYN, ace), field);
            assert_eq!(grants(EcnMode::On, 3), N);
            assert_eq!(grants(EcnMode::Accurate, 3), N);
            assert_eq!(grants(EcnMode::On, 7), C);
            assert_eq!(grants(EcnMode::Accurate, 7), A);
        }
    }

    #[test]
    fn an_answer_agrees_to_what_was_asked_for_or_less() {
        let table = [
            (EcnMode::Off, [N, N, N, N, N, N, N, N]),
            (EcnMode::On, [N, C, N, N, N, C, N, N]),
            (EcnMode::Passive, [N, N, N, N, N, N, N, N]),
            // RFC 9768 §3.1.1 table 2.
            (EcnMode::Accurate, [N, C, A, A, A, A, A, N]),
            (EcnMode::AccurateGranted, [N, C, N, N, N, C, N, N]),
            (EcnMode::AccuratePassive, [N, N, N, N, N, N, N, N]),
        ];
        for (mode, wanted) in table {
            let agrees = |ace| Agreed::with_syn_ack(&cfg(mode), &with_ace(Flags::SYN | Flags::ACK, ace));
            assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(agrees), wanted, "{mode:?}");
        }
    }

    #[test]
    fn crossing_syns_agree_to_the_lesser_of_both() {
        let crossed = |mode, ace| Agreed::with_crossing(&cfg(mode), &with_ace(Flags::SYN, ace));
        for (mode, wanted) in
            ALL.into_iter().zip([[N, N, N], [N, C, C], [N, N, N], [N, C, A], [N, C, C], [N, N, N]])
        {
            assert_eq!([0, 3, 7].map(|ace| crossed(mode, ace)), wanted, "{mode:?}");
        }
    }

    #[test]
    fn accurate_ecn_is_asked_for_once_more_and_classic_ecn_once() {
        let asks = |mode| [0, 1, 2].map(|nth| request(&cfg(mode), nth));
        let (none, classic) = (Flags::NONE, Flags::ECE | Flags::CWR);
        assert_eq!(asks(EcnMode::Accurate), [Flags::ACE, Flags::ACE, none]);
        assert_eq!(asks(EcnMode::AccurateGranted), [classic, none, none]);
        assert_eq!(asks(EcnMode::AccuratePassive), [none; 3]);
    }

    #[test]
    fn a_reduction_is_said_once_and_on_new_data_only() {
        let mut ecn = Ecn { reduced: true, ..Ecn::default() };
        assert_eq!(ecn.on_sent(false), (Flags::NONE, Field::NotEct));
        assert_eq!(ecn.on_sent(true), (Flags::CWR, Field::Ect0));
        assert_eq!(ecn.on_sent(true), (Flags::NONE, Field::Ect0));
    }
}

//! What do routers say of congestion, and how is it passed on? ECN (RFC 3168).

use super::cause::AckNowWhy;
use super::config::{Config, EcnMode};
use super::conn::Conn;
use crate::segment::{Ecn as Field, Flags, Segment};

/// So many segments are acknowledged at once after a mark: the sender's window may be very small. As on Linux.
const HURRY: u8 = 2;

/// Where the two ends stand (RFC 9293 §3.8.2, SHLD-8).
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Ecn {
    /// Both ends said in the handshake that they take part.
    pub(super) on: bool,
    /// A mark came: every acknowledgment says so until the peer has reduced its window (RFC 3168 §6.1.3).
    echo: bool,
    /// Our window was reduced: the next new data says so, once (RFC 3168 §6.1.2).
    pub(super) reduced: bool,
    /// The peer's data is marked as ECN-capable.
    capable: bool,
    /// Segments that came with a mark.
    pub(super) marks: u32,
}

impl Ecn {
    /// The flags of the SYN number `nth` of an active open: from the second on it asks for nothing, because there are
    /// paths that drop what does (RFC 3168 §6.1.1.1).
    pub(super) fn request(cfg: &Config, nth: u8) -> Flags {
        if cfg.ecn == EcnMode::On && (nth == 0 || !cfg.ecn_fallback) {
            Flags::ECE | Flags::CWR
        } else {
            Flags::NONE
        }
    }

    /// The peer's SYN or SYN-ACK: does it want ECN, and do we (RFC 3168 §6.1.1)?
    pub(super) fn agree(&mut self, cfg: &Config, active: bool, syn: &Segment) {
        self.on = Ecn::agreed(cfg, active, syn);
    }

    /// Whether both ends take part, if this is the peer's SYN or SYN-ACK.
    pub(super) fn agreed(cfg: &Config, active: bool, syn: &Segment) -> bool {
        let wanted = match cfg.ecn {
            EcnMode::On => true,
            EcnMode::Passive => !active,
            EcnMode::Off => false,
        };
        // A SYN-ACK with both is from a peer that returns all flags as they came.
        wanted && syn.has(Flags::ECE) && syn.has(Flags::CWR) != syn.has(Flags::ACK)
    }

    /// What a segment other than a SYN says beside its other flags; `new` if it carries data for the first time. A
    /// retransmission, a bare acknowledgment and a probe are not ECN-capable and say nothing of our window (RFC 3168
    /// §6.1.4, RFC 3168 §6.1.5, RFC 3168 §6.1.6).
    pub(super) fn on_sent(&mut self, new: bool) -> (Flags, Field) {
        if !self.on {
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

    /// ECN-capable data has come.
    pub(super) fn is_seen(&self) -> bool {
        self.capable
    }

    /// Our window was reduced, for whatever reason (RFC 3168 §6.1.2).
    pub(super) fn on_reduction(&mut self) {
        self.reduced = self.on;
    }
}

impl Conn {
    /// The peer says, by whatever acknowledges something, that it has reduced its window (RFC 3168 §6.1.3). As on Linux a bare
    /// acknowledgment may say so, and an old one may not.
    pub(super) fn accept_reduction(&mut self, seg: &Segment) {
        if self.ecn.on && seg.has(Flags::CWR) {
            self.ecn.echo = false;
            if seg.seq_len() > 0 {
                // Its window may be down to one segment: do not let it wait.
                self.ack.at_once(AckNowWhy::Ecn);
            }
        }
    }

    /// Data or a FIN came within the window, in `seg`; `field` is what its IP header says, `news` that some of the data
    /// had not come before (RFC 3168 §6.1.3).
    pub(super) fn take_marks(&mut self, seg: &Segment, field: Field, news: bool) {
        let ecn = &mut self.ecn;
        if !ecn.on {
            return;
        }
        if !news || seg.len == 0 {
            return;
        }
        match field {
            // The others were capable, so this is likely to be a retransmission.
            Field::NotEct if ecn.capable => self.ack.hurry(HURRY),
            Field::NotEct => {}
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
        self.ecn.on && seg.has(Flags::ECE)
    }

    /// How many segments came with a mark; `None` unless both ends take part.
    pub(super) fn marks(&self) -> Option<u32> {
        self.ecn.on.then_some(self.ecn.marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees(mode: EcnMode, active: bool, flags: Flags) -> bool {
        let mut ecn = Ecn::default();
        let cfg = Config { ecn: mode, ..Config::linux() };
        ecn.agree(&cfg, active, &Segment { flags: Flags::SYN | flags, ..Segment::default() });
        ecn.on
    }

    #[test]
    fn it_is_on_when_the_syn_asks_and_the_answer_agrees() {
        let (asks, agrees_too) = (Flags::ECE | Flags::CWR, Flags::ECE | Flags::ACK);
        for (mode, passive, active) in
            [(EcnMode::Off, false, false), (EcnMode::Passive, true, false), (EcnMode::On, true, true)]
        {
            assert_eq!(agrees(mode, false, asks), passive, "{mode:?}");
            assert_eq!(agrees(mode, true, agrees_too), active, "{mode:?}");
        }
    }

    #[test]
    fn half_a_request_and_an_answer_that_repeats_it_agree_to_nothing() {
        for flags in [Flags::NONE, Flags::ECE, Flags::CWR] {
            assert!(!agrees(EcnMode::On, false, flags), "{flags}");
        }
        for flags in [Flags::ACK, Flags::ACK | Flags::CWR, Flags::ACK | Flags::ECE | Flags::CWR] {
            assert!(!agrees(EcnMode::On, true, flags), "{flags}");
        }
    }

    #[test]
    fn a_reduction_is_said_once_and_on_new_data_only() {
        let mut ecn = Ecn { on: true, ..Ecn::default() };
        ecn.on_reduction();
        assert_eq!(ecn.on_sent(false), (Flags::NONE, Field::NotEct));
        assert_eq!(ecn.on_sent(true), (Flags::CWR, Field::Ect0));
        assert_eq!(ecn.on_sent(true), (Flags::NONE, Field::Ect0));
    }
}

//! How is a segment answered that belongs to nobody?

use crate::segment::{Flags, Segment};

/// The reset for `seg`, to which no connection belongs (RFC 9293 §3.10.7.1); none for a reset.
///
/// The peer must find it acceptable without our knowing anything: it takes its number from the acknowledgment, or,
/// if there is none, acknowledges all of the segment.
pub(super) fn answer(seg: &Segment) -> Option<Segment> {
    if seg.has(Flags::RST) {
        return None;
    }
    Some(if seg.has(Flags::ACK) {
        Segment { seq: seg.ack, flags: Flags::RST, ..Segment::default() }
    } else {
        Segment { ack: seg.end(), flags: Flags::RST | Flags::ACK, ..Segment::default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seq::Seq;

    #[test]
    fn resets_have_the_numbers_of_the_rfc() {
        let seg = |flags, len| Segment { seq: Seq(1000), ack: Seq(77), flags, len, ..Segment::default() };
        for (sentence, arrived, expected) in [
            ("a reset is not answered", seg(Flags::RST, 0), None),
            ("nor one with an acknowledgment", seg(Flags::RST | Flags::ACK, 0), None),
            ("a SYN counts one", seg(Flags::SYN, 0), Some((0, 1001, Flags::RST | Flags::ACK))),
            ("data and FIN count", seg(Flags::FIN, 10), Some((0, 1011, Flags::RST | Flags::ACK))),
            ("an acknowledgment gives the number", seg(Flags::ACK, 10), Some((77, 0, Flags::RST))),
            ("so does that of a SYN-ACK", seg(Flags::SYN | Flags::ACK, 0), Some((77, 0, Flags::RST))),
        ] {
            let got = answer(&arrived).map(|rst| (rst.seq.0, rst.ack.0, rst.flags));
            assert_eq!(got, expected, "{sentence}");
        }
    }
}

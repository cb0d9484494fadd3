//! What do the middle pieces of a super-segment say alike? All but three numbers, which are put into one text.

use super::record::{PacketRecord, Piece};
use super::words::{self, Numbers, Slots};

/// The first comment of all pieces of a super-segment but the first and the last.
#[derive(Default)]
pub(super) struct Shape {
    text: String,
    /// Where the range of numbers and the number of the piece go; none if the text has not one place for each.
    places: Option<(usize, usize)>,
}

impl Shape {
    /// Whether a piece is one of those that are alike.
    pub(super) fn is_for(piece: Piece) -> bool {
        1 < piece.nth && piece.nth < piece.of
    }

    /// Takes the words from `packet`, the second piece.
    pub(super) fn make(&mut self, packet: &PacketRecord<'_>, piece: Piece) {
        self.text.clear();
        // Writing to a String does not fail.
        let _ = words::slots(&mut self.text, packet, piece);
        let place = |slot: char| {
            let at = self.text.find(slot)?;
            (self.text.rfind(slot) == Some(at)).then_some(at)
        };
        self.places = place(Slots::RANGE).zip(place(Slots::NTH)).filter(|(range, nth)| range < nth);
    }

    /// Hands the text of `packet` in its parts to `tell`; false if it has to be worded as others are.
    pub(super) fn tell(&self, packet: &PacketRecord<'_>, piece: Piece, tell: impl FnOnce(&[&[u8]])) -> bool {
        let (Some((range, nth)), Some(seg)) = (self.places, packet.seg) else { return false };
        let text = self.text.as_bytes();
        let start = Numbers::of(packet, *seg).start();
        let mut buffers = [itoa::Buffer::new(); 3];
        let [first, last, number] = &mut buffers;
        let (first, last) = (first.format(start), last.format(start.wrapping_add(seg.len)));
        let number = number.format(piece.nth);
        let (head, middle, tail) = (&text[..range], &text[range + 1..nth], &text[nth + 1..]);
        tell(&[head, first.as_bytes(), b"..", last.as_bytes(), middle, number.as_bytes(), tail]);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Flags, Segment};
    use crate::seq::Seq;
    use crate::tcp::{Cause, DataWhy, Piggyback};
    use crate::time::{Duration, Instant};
    use crate::trace::{Direction, Why};

    #[test]
    fn the_middle_pieces_read_as_if_each_had_been_worded() {
        let frame = [0x45, 2];
        for piggyback in [None, Some(Piggyback { bytes: 3, waited: Duration::from_millis(2) })] {
            let cause = Cause::Data { why: DataWhy::Full, piggyback };
            let mut shape = Shape::default();
            for nth in 2..5 {
                let seg = Segment {
                    seq: Seq((u32::MAX - 4000).wrapping_add(nth * 1448)),
                    ack: Seq(77),
                    flags: Flags::ACK | Flags::ECE,
                    len: 1448,
                    ..Segment::default()
                };
                let packet = PacketRecord {
                    at: Instant::ZERO,
                    direction: Direction::Out,
                    frame: &frame,
                    gso_size: None,
                    why: Why::Sent(cause),
                    conn: Some(1),
                    seg: Some(&seg),
                    state: None,
                };
                let piece = Piece { nth, of: 5 };
                assert!(Shape::is_for(piece));
                if nth == 2 {
                    shape.make(&packet, piece);
                }
                let (mut filled, mut worded) = (Vec::new(), String::new());
                assert!(shape.tell(&packet, piece, |parts| filled = parts.concat()));
                words::why(&mut worded, &packet, piece).unwrap();
                assert_eq!(String::from_utf8(filled).unwrap(), worded);
                assert!(worded.contains("super-segment"), "{worded}");
            }
        }
    }
}

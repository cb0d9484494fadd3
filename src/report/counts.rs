//! How do packets by cause look?

use super::{Style, Table};
use crate::trace::{Counts, Direction};

/// Two columns of words and numbers: what was sent, what was received; the most frequent first.
pub fn counts(counts: &Counts, style: Style) -> String {
    let sorted = counts.clone().sorted();
    let column = |direction| -> Vec<(&'static str, u64)> {
        sorted.rows.iter().filter(|row| row.1 == direction).map(|row| (row.0, row.2)).collect()
    };
    let (sent, received) = (column(Direction::Out), column(Direction::In));
    let mut table = Table::new(&["sent", ">packets", "", "received", ">packets"]);
    for i in 0..sent.len().max(received.len()) {
        let cells = |column: &[(&str, u64)]| match column.get(i) {
            Some((word, n)) => [(*word).to_owned(), n.to_string()],
            None => [String::new(), String::new()],
        };
        let ([a, b], [c, d]) = (cells(&sent), cells(&received));
        table.row([a, b, String::new(), c, d]);
    }
    table.render(style, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_stand_side_by_side() {
        let rows = vec![
            ("data", Direction::Out, 2),
            ("in-order", Direction::In, 12),
            ("syn-ack", Direction::Out, 1),
            ("rto", Direction::Out, 10),
        ];
        let text = counts(&Counts { rows }, Style::PLAIN);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            ["sent", "packets", "received", "packets"]
        );
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["rto", "10", "in-order", "12"]);
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["data", "2"]);
        assert_eq!(lines.len(), 4);
    }
}

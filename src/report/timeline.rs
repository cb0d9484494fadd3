//! How does a span of time look as bars of text?

use super::Style;
use crate::ledger::{Part, Parts};
use crate::time::{Duration, Spoken};
use std::fmt::Write;

/// One named part of a span of time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Phase {
    /// What happened.
    pub name: String,
    /// When it began, counted from the start of the span.
    pub start: Duration,
    /// How long it took.
    pub length: Duration,
}

const WIDTH: u128 = 40;

/// The parts of a ledger one behind the other, in the order in which they usually happen.
pub fn phases(ledger: &Parts) -> Vec<Phase> {
    let mut start = Duration::ZERO;
    let phase = |(part, length): (Part, Duration)| {
        let phase = Phase { name: part.word().to_owned(), start, length };
        start += length;
        phase
    };
    ledger.iter().map(phase).collect()
}

/// A line with a bar for each phase, on a common scale from 0 to `total`.
pub fn timeline(phases: &[Phase], total: Duration, style: Style, indent: &str) -> String {
    let name_width = phases.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for phase in phases {
        let column = |at: Duration| {
            let total = total.as_nanos().max(1);
            ((at.as_nanos().min(total) * WIDTH + total / 2) / total) as usize
        };
        let mut from = column(phase.start);
        let mut to = column(phase.start + phase.length);
        // However short it was, it is seen, at the right edge too.
        from = from.min(WIDTH as usize - 1);
        to = to.max(from + 1);
        let bar = format!("{}{}", " ".repeat(from), "█".repeat(to - from));
        let _ = writeln!(
            out,
            "{indent}{:<name_width$}  {:>8}  {}{bar:<width$}{}",
            phase.name,
            Spoken(phase.length).to_string(),
            style.dim("│"),
            style.dim("│"),
            width = WIDTH as usize,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, start: u64, length: u64) -> Phase {
        Phase {
            name: name.into(),
            start: Duration::from_millis(start),
            length: Duration::from_millis(length),
        }
    }

    #[test]
    fn bars_are_to_scale_and_the_shortest_is_visible() {
        let text = timeline(
            &[phase("handshake", 0, 50), phase("server", 50, 50)],
            Duration::from_millis(100),
            Style::PLAIN,
            "",
        );
        let bar = |n: usize| text.lines().nth(n).unwrap().chars().filter(|&c| c == '█').count();
        assert_eq!((bar(0), bar(1), text.lines().count()), (20, 20, 2), "{text}");
        let widths: Vec<_> = text.lines().map(|l| l.chars().count()).collect();
        assert!(widths.iter().all(|&w| w == widths[0]), "{text}");
        let text = timeline(&[phase("pushed", 100, 0)], Duration::from_millis(100), Style::PLAIN, "");
        assert!(text.matches('█').count() == 1 && text.contains(" 0 ns "), "{text}");
    }

    #[test]
    fn nothing_took_no_time() {
        assert_eq!(timeline(&[], Duration::ZERO, Style::PLAIN, ""), "");
    }
}

//! How does a drawing look in a terminal?

use super::Style;
use super::scale::{Scale, label};
use crate::lab::{Figure, Kind};
use std::fmt::Write;

/// Columns of the field, and of a terminal.
const WIDTH: usize = 56;
const SCREEN: usize = 80;
const HEIGHT: usize = 14;
const MARKS: [char; 8] = ['●', '○', '▲', '△', '■', '□', '◆', '◇'];

/// Bars under one another, or a field with a mark for each point and a legend.
pub fn plot(figure: &Figure, style: Style, indent: &str) -> String {
    match figure.kind {
        Kind::Bars => bars(figure, style, indent),
        Kind::Lines => lines(figure, style, indent),
    }
}

fn bars(figure: &Figure, style: Style, indent: &str) -> String {
    let values = || figure.series.iter().filter_map(|(_, points)| points.first().map(|p| p.1));
    let scale = Scale::new(values(), figure.log.1, true);
    let width = figure.series.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    // The name, the line beside it, and the number behind the bar.
    let room = SCREEN.saturating_sub(indent.len() + width + 10).clamp(10, WIDTH);
    let mut out = format!("{indent}{}\n", style.dim(&super::svg::of(&figure.y, &figure.by)));
    for ((name, _), value) in figure.series.iter().zip(values()) {
        let length = (scale.place(value) * room as f64).round() as usize;
        // A little is seen as a little.
        let bar = if length == 0 && value > 0.0 { "▏".to_owned() } else { "█".repeat(length) };
        let text = format!("{indent}{name:<width$} {}{bar} {}", style.dim("│"), label(value));
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out
}

fn lines(figure: &Figure, style: Style, indent: &str) -> String {
    let points = || figure.series.iter().flat_map(|(_, points)| points);
    let x = Scale::new(points().map(|p| p.0), figure.log.0, false);
    let y = Scale::new(points().map(|p| p.1), figure.log.1, true);
    let column = |at: f64| (x.place(at) * (WIDTH - 1) as f64).round() as usize;
    let line = |at: f64| HEIGHT - 1 - (y.place(at) * (HEIGHT - 1) as f64).round() as usize;
    let mut field = vec![vec![' '; WIDTH]; HEIGHT];
    // The first series is the one that is seen where several meet.
    for (n, (_, points)) in figure.series.iter().enumerate().rev() {
        for pair in points.windows(2) {
            let steps = column(pair[1].0).abs_diff(column(pair[0].0)).max(1);
            for step in 1..steps {
                let part = step as f64 / steps as f64;
                let between = |a: f64, b: f64| a + (b - a) * part;
                let place = between(y.place(pair[0].1), y.place(pair[1].1));
                let row = HEIGHT - 1 - (place * (HEIGHT - 1) as f64).round() as usize;
                let at = between(column(pair[0].0) as f64, column(pair[1].0) as f64).round() as usize;
                if field[row][at] == ' ' {
                    field[row][at] = '·';
                }
            }
        }
        for point in points {
            field[line(point.1)][column(point.0)] = MARKS[n % MARKS.len()];
        }
    }
    let mut beside = vec![String::new(); HEIGHT];
    for tick in y.ticks(4) {
        beside[line(tick)] = label(tick);
    }
    let margin = beside.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let mut out = format!("{indent}{}\n", style.dim(&figure.y));
    for (row, text) in field.iter().zip(&beside) {
        let row: String = row.iter().collect();
        let axis = style.dim(if text.is_empty() { "│" } else { "┤" });
        let _ = writeln!(out, "{indent}{text:>margin$} {axis}{}", row.trim_end());
    }
    let mut axis = vec!['─'; WIDTH];
    let mut below = vec![' '; WIDTH + 12];
    for tick in x.ticks(5) {
        axis[column(tick)] = '┬';
        let text: Vec<char> = label(tick).chars().collect();
        let from = column(tick).saturating_sub(text.len() / 2);
        if below[from.saturating_sub(1)..from + text.len()].iter().all(|c| *c == ' ') {
            below[from..from + text.len()].copy_from_slice(&text);
        }
    }
    let (axis, below): (String, String) = (axis.iter().collect(), below.iter().collect());
    let _ = writeln!(out, "{indent}{:margin$} {}", "", style.dim(&format!("└{axis}")));
    let _ = writeln!(out, "{indent}{:margin$}  {}  {}", "", below.trim_end(), style.dim(&figure.x));
    if figure.series.len() > 1 {
        let legend = figure.series.iter().enumerate();
        let legend = legend.map(|(n, (name, _))| format!("{} {name}", MARKS[n % MARKS.len()]));
        let start = format!("{indent}{:margin$}  ", "");
        let by = if figure.by.is_empty() { String::new() } else { format!("{}:  ", figure.by) };
        let (mut line, mut length) = (style.dim(&by), start.chars().count() + by.chars().count());
        for (n, entry) in legend.enumerate() {
            let (gap, more) = (if n == 0 { "" } else { "   " }, entry.chars().count());
            if n > 0 && length + gap.len() + more > SCREEN {
                let _ = writeln!(out, "{start}{line}");
                (line, length) = (entry, start.chars().count() + more);
                continue;
            }
            line += gap;
            line += &entry;
            length += gap.len() + more;
        }
        let _ = writeln!(out, "{start}{line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(kind: Kind, series: &[(&str, &[(f64, f64)])]) -> Figure {
        let series = series.iter().map(|(name, points)| ((*name).to_owned(), points.to_vec())).collect();
        Figure {
            kind,
            x: "rtt, ms".into(),
            y: "time, ms".into(),
            log: (false, false),
            by: String::new(),
            series,
        }
    }

    #[test]
    fn points_lie_where_they_belong() {
        let text = plot(
            &figure(Kind::Lines, &[("a", &[(0.0, 0.0), (100.0, 50.0)]), ("b", &[(50.0, 50.0)])]),
            Style::PLAIN,
            "",
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "time, ms");
        let first: Vec<char> = lines[1].chars().collect();
        assert_eq!((first.last(), first.len()), (Some(&'●'), WIDTH + 4), "{text}");
        assert!(
            lines[1].contains('○') && lines[HEIGHT].contains('●') && text.contains("● a   ○ b"),
            "{text}"
        );
    }

    #[test]
    fn bars_are_to_scale_and_little_is_seen() {
        let text = plot(
            &figure(
                Kind::Bars,
                &[("whole", &[(0.0, 200.0)]), ("half", &[(0.0, 100.0)]), ("tiny", &[(0.0, 0.1)])],
            ),
            Style::PLAIN,
            "  ",
        );
        let blocks: Vec<usize> = text.lines().map(|l| l.matches('█').count()).collect();
        assert_eq!(blocks, [0, WIDTH, WIDTH / 2, 0], "{text}");
        assert!(text.contains("  tiny  │▏ 0.1"), "{text}");
    }

    #[test]
    fn nothing_to_draw_is_drawn_without_harm() {
        for kind in [Kind::Lines, Kind::Bars] {
            for series in [&[][..], &[("a", &[][..])], &[("a", &[(f64::NAN, f64::INFINITY)][..])]] {
                plot(&figure(kind, series), Style::PLAIN, "");
            }
        }
    }
}

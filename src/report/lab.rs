//! How do the findings of an experiment look?

use super::{Style, Table, plot};
use crate::lab::{Conclusion, Expected, Experiment, Findings, Row, Verdict};
use std::fmt::Write;

/// Columns of text beside which nothing is indented.
const WIDTH: usize = 110;

/// The question, a table of the arms, a drawing, and each claim with its verdict.
pub fn findings(experiment: &Experiment, findings: &Findings, style: Style) -> String {
    let mut out = format!("{}: {}\n\n", style.bold(experiment.name), experiment.question);
    out += &table(findings).render(style, "  ");
    if let Some(figure) = &findings.figure {
        let _ = write!(out, "\n{}", plot(figure, style, "  "));
    }
    for (claim, found) in experiment.claims.iter().zip(&findings.conclusions) {
        let verdict = found.verdict();
        let word = match verdict {
            Verdict::Confirmed => style.good("confirmed"),
            Verdict::Refined => style.bold("refined"),
            Verdict::Refuted => style.bad("refuted"),
            Verdict::Untried => style.dim("untried"),
        };
        let _ = write!(out, "\n  {} {word}: {}\n", style.bold(claim.name), held(found));
        out += &wrapped(&format!("claim: {} ({})", claim.says, claim.source), "    ");
        if !found.numbers.is_empty() {
            out += &wrapped(&format!("found: {}", found.numbers), "    ");
        }
    }
    let text = verdict(findings);
    let text = if findings.hold() { style.good(&text) } else { style.bad(&text) };
    let _ = writeln!(out, "\n  {text}");
    out
}

/// In how many cases a claim was true, as one says it.
fn held(found: &Conclusion) -> String {
    let held = match (found.held, found.of) {
        (_, 0) if found.late == 0 => return "what was varied left no case for it".into(),
        (_, 0) => return format!("the machine was too late to tell in {}", cases(found.late)),
        (1, 1) => "true in the one case".into(),
        (0, 1) => "not true in the one case".into(),
        (0, of) => format!("true in none of {of} cases"),
        (held, of) if held == of => format!("true in all {of} cases"),
        (held, of) => format!("true in {held} of {of} cases"),
    };
    match found.late {
        0 => held,
        late => format!("{held}; the machine was too late to tell in {}", cases(late)),
    }
}

fn cases(n: usize) -> String {
    if n == 1 { "one case".into() } else { format!("{n} cases") }
}

/// `54 of 54 expectations held`.
pub fn verdict(findings: &Findings) -> String {
    let all = findings.expectations();
    format!("{} of {all} expectations held", all - findings.surprises())
}

/// What was varied, what was measured, and, where that differs, what was expected.
fn table(findings: &Findings) -> Table {
    let mut headings: Vec<String> = Vec::new();
    let with_ledger = findings.rows.iter().any(|row| mostly(row).is_some());
    if let Some(first) = findings.rows.first() {
        headings.extend(first.varied.iter().map(|(name, _)| format!(">{name}")));
        headings.extend(first.cells.iter().map(|cell| format!(">{}", cell.name)));
        headings.extend(with_ledger.then(|| "mostly".to_owned()));
        headings.push(String::new());
    }
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for row in &findings.rows {
        let mut cells: Vec<String> = row.varied.iter().map(|(_, value)| value.clone()).collect();
        cells.extend(row.cells.iter().map(|cell| cell.value.to_string()));
        let surprises: Vec<String> = (row.cells.iter())
            .filter(|cell| !cell.holds() && cell.expected != Expected::Anything)
            .map(|cell| format!("expected {}: {}", cell.name, cell.expected))
            .collect();
        cells.extend(with_ledger.then(|| mostly(row).unwrap_or_default()));
        cells.push(surprises.join("; "));
        table.row(cells);
    }
    table
}

/// What most of the time went to, by the ledger, and which share of it.
fn mostly(row: &Row) -> Option<String> {
    let ledger = row.ledger.as_ref()?;
    let (part, most) = ledger.iter().max_by_key(|(_, time)| *time).filter(|(_, time)| !time.is_zero())?;
    let share = most.as_micros() * 100 / ledger.total().as_micros().max(1);
    Some(format!("{} {share} %", part.word()))
}

/// Lines of words, each with the indent.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut out, mut line) = (String::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{indent}{line}");
            line = "  ".to_owned();
        }
        if !line.trim().is_empty() {
            line.push(' ');
        }
        line += word;
    }
    let _ = writeln!(out, "{indent}{line}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Cell, EXPERIMENTS, Quantity};
    use crate::time::Duration;

    #[test]
    fn a_surprise_is_seen_in_its_row_and_at_the_end() {
        let time = |ms| Quantity::Time(Duration::from_millis(ms));
        let row = |ms| Row {
            varied: vec![("tcp.nagle".into(), "on".into())],
            from: Duration::ZERO,
            cells: vec![Cell { name: "time", value: time(ms), expected: Expected::Exactly(time(240)) }],
            ledger: None,
            captures: Vec::new(),
        };
        let conclusion =
            |held| Conclusion { claim: "x", held, of: 2, late: held - 1, numbers: "n".repeat(200) };
        let found = Findings {
            rows: vec![row(240), row(40)],
            conclusions: vec![conclusion(1), conclusion(2)],
            figure: None,
        };
        let text = findings(&EXPERIMENTS[0], &found, Style::PLAIN);
        assert!(text.contains("       on   40 ms  expected time: 240 ms\n"), "{text}");
        assert!(
            text.contains("refined: true in 1 of 2 cases\n")
                && text.contains(
                    "confirmed: true in all 2 cases; the machine was too late to tell in one case\n"
                ),
            "{text}"
        );
        assert!(text.ends_with("\n  1 of 2 expectations held\n"), "{text}");
    }

    #[test]
    fn long_sentences_are_broken_between_words() {
        let text = wrapped(&"word ".repeat(50), "    ");
        assert!(text.lines().count() > 2 && text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
    }
}

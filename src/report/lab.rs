//! How do the findings of an experiment look?

use super::{Style, Table, plot};
use crate::lab::{Conclusion, Expected, Experiment, Findings, Row, Verdict};
use std::fmt::Write;

const INDENT: &str = "  ";
/// Columns of a terminal.
const WIDTH: usize = 80;

/// The question, a table of the arms, a drawing, and each claim with its verdict.
pub fn findings(experiment: &Experiment, findings: &Findings, style: Style) -> String {
    let mut out = format!("{}:\n{}\n", style.bold(experiment.name), wrapped(experiment.question, "  "));
    out += &table(findings, style);
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

/// What an experiment asks, and each claim that it tries.
pub fn experiment(experiment: &Experiment, style: Style) -> String {
    let also = if experiment.tun.is_empty() { "" } else { "  [also --tun]" };
    let mut out = format!("{}{also}\n{}", style.bold(experiment.name), wrapped(experiment.question, INDENT));
    for claim in experiment.claims {
        out += &hung(claim.says, &format!("    {:<28}", claim.name), &format!("{:34}", ""));
    }
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
    let told = format!("{} of {all} expectations held", all - findings.surprises());
    match findings.untold() {
        0 => told,
        n => format!("{told}; the machine was too late to tell of {n} more"),
    }
}

/// What was varied, what was measured, and, where that differs, what was expected. Where that is wider than a terminal,
/// columns in which all arms agree stand above the others.
fn table(findings: &Findings, style: Style) -> String {
    let Some(first) = findings.rows.first() else { return String::new() };
    let mut headings: Vec<&str> = first.varied.iter().map(|(name, _)| name.as_str()).collect();
    headings.extend(first.cells.iter().map(|cell| cell.name));
    let with_ledger = findings.rows.iter().any(|row| mostly(row).is_some());
    headings.extend(with_ledger.then_some("mostly"));
    let texts = |row: &Row| -> Vec<String> {
        let varied = row.varied.iter().map(|(_, value)| value.clone());
        let cells = row.cells.iter().map(|cell| cell.value.to_string());
        varied.chain(cells).chain(with_ledger.then(|| mostly(row).unwrap_or_default())).collect()
    };
    let rows: Vec<Vec<String>> = findings.rows.iter().map(texts).collect();
    let shown = |kept: &dyn Fn(usize) -> bool| {
        let right = |(i, heading): (usize, &&str)| {
            kept(i).then(|| {
                let left = with_ledger && i + 1 == headings.len();
                if left { (*heading).to_owned() } else { format!(">{heading}") }
            })
        };
        let names: Vec<String> = headings.iter().enumerate().filter_map(right).collect();
        let mut table = Table::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for row in &rows {
            table.row(row.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, cell)| cell.clone()));
        }
        table
    };
    let (mut table, mut out) = (shown(&|_| true), String::new());
    let agree = |i: usize| rows.len() > 1 && rows.iter().all(|row| row.get(i) == rows[0].get(i));
    if INDENT.len() + table.width() > WIDTH && (0..headings.len()).any(agree) {
        let same = (0..headings.len()).filter(|i| agree(*i));
        let same: Vec<String> = same.map(|i| format!("{} {}", headings[i], rows[0][i])).collect();
        out += &wrapped(&format!("in all arms: {}", same.join(", ")), INDENT);
        table = shown(&|i| !agree(i));
    }
    let mut lines = table.lines(style, INDENT, WIDTH).into_iter();
    out += &lines.next().unwrap_or_default();
    for (row, line) in findings.rows.iter().zip(lines) {
        let surprises: Vec<String> = (row.cells.iter())
            .filter(|cell| !cell.holds() && cell.expected != Expected::Anything)
            .map(|cell| {
                let late = if row.late { " (the machine was late)" } else { "" };
                format!("expected {}: {}{late}", cell.name, cell.expected)
            })
            .collect();
        let surprises = surprises.join("; ");
        match line.trim_end() {
            _ if surprises.is_empty() => out += &line,
            line if line.chars().count() + 2 + surprises.chars().count() <= WIDTH => {
                let _ = writeln!(out, "{line}  {surprises}");
            }
            line => {
                let _ = writeln!(out, "{line}");
                out += &wrapped(&surprises, "      ");
            }
        }
    }
    out
}

/// What most of the time went to, by the ledger, and which share of it.
fn mostly(row: &Row) -> Option<String> {
    let ledger = row.ledger.as_ref()?;
    let (part, most) = ledger.iter().max_by_key(|(_, time)| *time).filter(|(_, time)| !time.is_zero())?;
    let share = most.as_micros() * 100 / ledger.total().as_micros().max(1);
    Some(format!("{} {share} %", part.word()))
}

/// Lines of words, each with the indent, all but the first with a little more.
fn wrapped(text: &str, indent: &str) -> String {
    hung(text, indent, &format!("{indent}  "))
}

/// Lines of words, the first one behind something, the others behind something else.
fn hung(text: &str, first: &str, others: &str) -> String {
    let (mut out, mut line, mut empty) = (String::new(), first.to_owned(), true);
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{line}");
            (line, empty) = (others.to_owned(), true);
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    let _ = writeln!(out, "{line}");
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
            late: false,
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

//! How do the findings of an experiment look?

use super::{Style, Table};
use crate::lab::{Experiment, Findings};
use crate::time::Spoken;

/// The question, a table of the runs, the claim and the verdict.
pub fn findings(experiment: &Experiment, findings: &Findings, style: Style) -> String {
    let mut headings: Vec<String> = Vec::new();
    if let Some(first) = findings.runs.first() {
        headings.extend(first.varied.iter().map(|(name, _)| format!(">{name}")));
        headings.extend([">claimed".to_owned(), ">measured".to_owned()]);
        headings.extend(first.counts.iter().map(|(name, _)| format!(">{name}")));
        headings.push(String::new());
    }
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for run in &findings.runs {
        let mut cells: Vec<String> = run.varied.iter().map(|(_, value)| value.clone()).collect();
        cells.extend([Spoken(run.expected).to_string(), Spoken(run.measured).to_string()]);
        cells.extend(run.counts.iter().map(|(_, n)| n.to_string()));
        cells.push(if run.holds() { String::new() } else { "refuted".to_owned() });
        table.row(cells);
    }
    let verdict = verdict(findings);
    let verdict = if findings.hold() { style.good(&verdict) } else { style.bad(&verdict) };
    format!(
        "{}: {}\n\n{}\n  claim:   {}\n  verdict: {verdict}\n",
        style.bold(experiment.name),
        experiment.question,
        table.render(style, "  "),
        experiment.claim,
    )
}

/// `held in 9 of 9 runs, largest deviation 0 ns`.
pub fn verdict(findings: &Findings) -> String {
    format!(
        "{} in {} of {} runs, largest deviation {}",
        if findings.hold() { "held" } else { "refuted: held" },
        findings.held(),
        findings.runs.len(),
        Spoken(findings.worst())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{EXPERIMENTS, Run};
    use crate::time::Duration;

    #[test]
    fn a_refuted_claim_is_seen_in_its_row_and_in_the_verdict() {
        let run = |measured| Run {
            varied: vec![("tcp.nagle", "on".into())],
            expected: Duration::from_millis(240),
            measured: Duration::from_millis(measured),
            counts: vec![],
        };
        let text = findings(&EXPERIMENTS[0], &Findings { runs: vec![run(240), run(40)] }, Style::PLAIN);
        assert!(text.contains("       on   240 ms     40 ms  refuted\n"), "{text}");
        assert!(
            text.ends_with("verdict: refuted: held in 1 of 2 runs, largest deviation 200 ms\n"),
            "{text}"
        );
    }
}

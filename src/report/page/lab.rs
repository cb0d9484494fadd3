//! How does an experiment look on a page? Its question, the verdicts, a drawing, and every arm with what was expected of it.

use super::{digest, document_with, escaped};
use crate::lab::{Expected, Experiment, Findings, Verdict};
use crate::report::svg::{STYLE as SVG_STYLE, svg};
use crate::report::{shares, verdict};
use std::fmt::Write;

/// The page of one experiment, which needs nothing else.
pub fn lab_page(experiment: &Experiment, findings: &Findings) -> String {
    let title = format!("lab {} · tcpglass", experiment.name);
    let mut main = String::new();
    let told = verdict(findings);
    let class = if findings.hold() { "" } else { " class=\"bad\"" };
    let _ = write!(
        main,
        "<header><h1>{}</h1>\n<p>{}</p><p{class}>{}</p></header>\n<main>\n",
        escaped(experiment.name),
        escaped(experiment.question),
        escaped(&told)
    );
    claims(&mut main, experiment, findings);
    if let Some(figure) = &findings.figure {
        let picture = svg(experiment.name, experiment.question, figure);
        let _ = write!(main, "<section><h2>Drawing</h2>\n<div class=\"scroll\">{picture}</div></section>\n");
    }
    if let Some(picture) = shares(experiment.name, findings) {
        let _ = write!(
            main,
            "<section><h2>Where the time went</h2>\n<div class=\"scroll\">{picture}</div></section>\n"
        );
    }
    arms(&mut main, findings);
    let _ = write!(
        main,
        "</main>\n<footer><p>Written by tcpglass {}: tcpglass lab {} repeats it.</p></footer>\n",
        env!("CARGO_PKG_VERSION"),
        escaped(experiment.name)
    );
    document_with(&title, &main, None, &[digest::source(SVG_STYLE)])
}

fn claims(out: &mut String, experiment: &Experiment, findings: &Findings) {
    out.push_str(
        "<section><h2>What is said, and what is left of it</h2>\n<div class=\"scroll\"><table>\n<thead><tr>\
         <th scope=\"col\">claim</th><th scope=\"col\">verdict</th><th scope=\"col\">what is said</th>\
         <th scope=\"col\">what was found</th></tr></thead>\n<tbody>\n",
    );
    for (claim, found) in experiment.claims.iter().zip(&findings.conclusions) {
        let class = if found.verdict() == Verdict::Refuted { " class=\"bad\"" } else { "" };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td{class}>{}, {} of {}</td><td>{} <span class=\"sure\">({})</span></td><td>{}</td></tr>",
            escaped(claim.name),
            found.verdict(),
            found.held,
            found.of,
            escaped(claim.says),
            escaped(claim.source),
            escaped(&found.numbers)
        );
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn arms(out: &mut String, findings: &Findings) {
    let Some(first) = findings.rows.first() else { return };
    out.push_str("<section><h2>Arms</h2>\n<div class=\"scroll\"><table>\n<thead><tr>");
    let varied = first.varied.iter().map(|(name, _)| name.as_str());
    for heading in varied.chain(first.cells.iter().map(|cell| cell.name)) {
        let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(heading));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &findings.rows {
        out.push_str("<tr>");
        for (_, value) in &row.varied {
            let _ = write!(out, "<th scope=\"row\">{}</th>", escaped(value));
        }
        for cell in &row.cells {
            let value = escaped(&cell.value.to_string());
            let _ = match (cell.holds(), &cell.expected) {
                (true, Expected::Anything) => write!(out, "<td class=\"n\">{value}</td>"),
                (true, _) => write!(out, "<td class=\"n\">{value} ✓</td>"),
                (false, expected) => write!(
                    out,
                    "<td class=\"n bad\">{value}, expected {}</td>",
                    escaped(&expected.to_string())
                ),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str(
        "</tbody></table></div>\n<p class=\"sure\">✓ what the plan computed before the run.</p></section>\n",
    );
}

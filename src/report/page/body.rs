//! What of a capture can be read without a script? Findings, exchanges with where their time went, connections.

use super::escaped;
use crate::explain::{Confidence, Connection, Exchange, Finding, Part, Summary};
use crate::report::capture::{FRAMES, headline, left_out, name, outcome};
use crate::report::{plural, printable};
use crate::time::{Duration, Spoken};
use std::fmt::Write;

/// Exchanges and connections that a page shows.
pub const ROWS: usize = 500;

/// All of it, and the places where the script draws.
pub(super) fn write(out: &mut String, file: &str, summary: &Summary) {
    let _ = write!(
        out,
        "<header><h1>{}</h1>\n<p>{}</p>",
        escaped(&printable(file)),
        escaped(&headline(summary)),
    );
    for line in left_out(summary) {
        let _ = write!(out, "<p>{line}</p>");
    }
    if let Some(damage) = &summary.damage {
        let _ = write!(
            out,
            "<p class=\"bad\">The file is damaged: {}; what precedes it was read.</p>",
            escaped(&printable(damage))
        );
    }
    out.push_str("</header>\n<main>\n");
    findings(out, &summary.findings);
    exchanges(out, summary);
    out.push_str(GRAPH);
    connections(out, summary);
    words(out, summary);
    let _ = write!(
        out,
        "</main>\n<footer><p>Written by tcpglass {}. Frame numbers are Wireshark's.</p></footer>\n",
        env!("CARGO_PKG_VERSION")
    );
}

/// Where the script draws; without it, a word on what is missing.
const GRAPH: &str = "<section aria-labelledby=\"h-graph\"><h2 id=\"h-graph\">Segments over time</h2>\n\
    <noscript><p>The graphs and the table of segments are drawn by a script, which this browser does not run.</p></noscript>\n\
    <div id=\"graph\" hidden></div></section>\n\
    <section aria-labelledby=\"h-table\"><h2 id=\"h-table\">Segments in numbers</h2>\n\
    <div id=\"table\" hidden></div></section>\n";

fn findings(out: &mut String, findings: &[Finding]) {
    out.push_str("<section aria-labelledby=\"h-findings\"><h2 id=\"h-findings\">What cost time</h2>\n");
    if findings.is_empty() {
        out.push_str("<p>Nothing that is known to cost time was found.</p>\n");
    } else {
        out.push_str("<ol class=\"findings\">\n");
        findings.iter().for_each(|f| finding(out, f));
        out.push_str("</ol>\n");
    }
    out.push_str("</section>\n");
}

fn finding(out: &mut String, finding: &Finding) {
    let what = finding.what;
    let times = if finding.times == 1 { "once".to_owned() } else { format!("{} times", finding.times) };
    let _ = match finding.cost {
        Duration::ZERO => write!(out, "<li><p><strong>{}</strong>, {times}", escaped(what.name())),
        cost => {
            write!(out, "<li><p><strong>{} lost to {}</strong>, {times}", Spoken(cost), escaped(what.name()))
        }
    };
    if finding.times > 1 && !finding.worst.is_zero() {
        let _ = write!(out, ", {} at the most", Spoken(finding.worst));
    }
    let sure = match finding.confidence {
        Confidence::Stated => "stated by the stack",
        Confidence::Certain => "certain",
        Confidence::Inferred => "inferred",
    };
    let _ = write!(out, " <span class=\"sure\">({sure})</span>: frames ");
    for (n, (from, to)) in finding.frames.iter().take(FRAMES).enumerate() {
        let gap = if n > 0 { ", " } else { "" };
        let shown = if from == to { from.to_string() } else { format!("{from}–{to}") };
        let _ = write!(out, "{gap}<a href=\"#h-graph\" data-frames=\"{from} {to}\">{shown}</a>");
    }
    if finding.times > finding.frames.len().min(FRAMES) as u64 {
        out.push_str(", …");
    }
    let _ = write!(out, "</p><p>Remedy: {}", escaped(what.remedy()));
    for knob in what.knobs() {
        let _ = write!(out, " <code>{}</code>", escaped(knob));
    }
    out.push_str("</p></li>\n");
}

/// Whole microseconds: what a drawing's numbers are.
fn us(time: Duration) -> u64 {
    time.as_micros() as u64
}

fn exchanges(out: &mut String, summary: &Summary) {
    let all: Vec<(&Connection, &Exchange)> =
        summary.connections.iter().flat_map(|c| c.exchanges.iter().map(move |e| (c, e))).collect();
    out.push_str("<section aria-labelledby=\"h-exchanges\"><h2 id=\"h-exchanges\">Exchanges</h2>\n");
    let first = all.iter().map(|(_, e)| e.start).min();
    let last = all.iter().map(|(_, e)| e.end).max();
    let (Some(first), Some(last)) = (first, last) else {
        out.push_str("<p>Nothing was asked and nothing answered.</p></section>\n");
        return;
    };
    let (first, whole) = (us(first), us(last).saturating_sub(us(first)).max(1));
    out.push_str("<ul class=\"legend\" aria-label=\"Where time goes, by colour\">");
    for (part, time) in summary.totals.parts.iter() {
        let word = part.word();
        let _ = write!(
            out,
            "<li title=\"{}\">{}{word} <span>{}</span></li>",
            escaped(part.meaning()),
            swatch(part),
            Spoken(time)
        );
    }
    out.push_str(
        "</ul>\n<p id=\"scale\" hidden><label><input type=\"checkbox\"> Begin all bars at the left</label></p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"h-exchanges\">\
         <table class=\"exchanges\"><thead><tr><th scope=\"col\">Connection</th>\
         <th scope=\"col\">Exchange</th><th scope=\"col\">Answer</th><th scope=\"col\">Bytes</th>\
         <th scope=\"col\">Time</th><th scope=\"col\">Where it went</th></tr></thead><tbody>\n",
    );
    for (connection, exchange) in all.iter().take(ROWS) {
        row(out, connection, exchange, first, whole);
    }
    out.push_str("</tbody></table></div>\n");
    let more = summary.totals.exchanges.saturating_sub(all.len().min(ROWS) as u64);
    if more > 0 {
        let _ = write!(out, "<p>… and {}; explain --json has them.</p>", plural(more, "more exchange"));
    }
    out.push_str("</section>\n");
}

fn swatch(part: Part) -> String {
    format!(
        "<svg class=\"swatch\" viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect width=\"10\" height=\"10\" \
         class=\"p-{}\"/></svg>",
        part.word()
    )
}

fn row(out: &mut String, connection: &Connection, exchange: &Exchange, first: u64, whole: u64) {
    let (start, length) = (us(exchange.start), us(exchange.end).saturating_sub(us(exchange.start)).max(1));
    let percent = |n: u64| n as f64 * 100.0 / whole as f64;
    let _ = write!(
        out,
        "<tr><td>{}</td><th scope=\"row\"><a href=\"#h-graph\" data-frames=\"{} {}\" data-line=\"{}\">{}</a>{}</th>\
         <td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"where\">",
        connection.number,
        exchange.frames.0,
        exchange.frames.1,
        connection.number,
        escaped(&name(exchange)),
        exchange.host.as_deref().map_or_else(String::new, |host| {
            format!(" <span class=\"host\">{}</span>", escaped(&printable(host)))
        }),
        escaped(&outcome(exchange)),
        exchange.bytes,
        Spoken(exchange.end.saturating_sub(exchange.start)),
    );
    // A bar of its own scale within the common one: 10,000 units long, so that long times keep their precision.
    let _ = write!(
        out,
        "<svg class=\"bar\" role=\"img\" aria-label=\"from {} for {}\"><svg x=\"{:.3}%\" width=\"{:.3}%\" \
         height=\"100%\" viewBox=\"0 0 10000 10\" preserveAspectRatio=\"none\">",
        Spoken(exchange.start),
        Spoken(exchange.end.saturating_sub(exchange.start)),
        percent(start - first),
        percent(length).max(0.15),
    );
    let mut at = Duration::ZERO;
    let unit = 10_000.0 / exchange.end.saturating_sub(exchange.start).as_secs_f64().max(1e-9);
    for (part, time) in &exchange.course {
        let _ = write!(
            out,
            "<rect class=\"p-{}\" x=\"{:.1}\" width=\"{:.1}\" height=\"10\"><title>{} {}</title></rect>",
            part.word(),
            at.as_secs_f64() * unit,
            time.as_secs_f64() * unit,
            part.word(),
            Spoken(*time)
        );
        at += *time;
    }
    out.push_str("</svg></svg><ul class=\"parts\">");
    for (part, time) in exchange.parts.iter() {
        let _ = write!(out, "<li>{}{} {}</li>", swatch(part), part.word(), Spoken(time));
    }
    out.push_str("</ul></td></tr>\n");
}

fn connections(out: &mut String, summary: &Summary) {
    let connections = &summary.connections;
    out.push_str(
        "<section aria-labelledby=\"h-connections\"><h2 id=\"h-connections\">Connections</h2>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"h-connections\"><table><thead><tr>",
    );
    for head in [
        "#",
        "Client",
        "Server",
        "From",
        "Lasted",
        "Handshake",
        "Round trip",
        "Up",
        "Down",
        "Packets",
        "Again",
        "Longest pause",
        "End",
    ] {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for c in connections.iter().take(ROWS) {
        let or_dash = |time: Option<Duration>| time.map_or_else(|| "–".into(), |t| Spoken(t).to_string());
        let _ = write!(
            out,
            "<tr><td class=\"n\">{0}</td><td><a href=\"#h-graph\" data-line=\"{0}\">{1}</a></td>",
            c.number, c.client
        );
        for cell in [
            c.server.to_string(),
            Spoken(c.start).to_string(),
            Spoken(c.end.saturating_sub(c.start)).to_string(),
            or_dash(c.handshake),
            or_dash(c.round_trip),
            c.up.bytes.to_string(),
            c.down.bytes.to_string(),
            (c.up.packets + c.down.packets).to_string(),
            (c.up.again + c.down.again).to_string(),
            format!("{} at {}", Spoken(c.pause.0), Spoken(c.pause.1)),
            c.ending.word().to_owned(),
        ] {
            let _ = write!(out, "<td class=\"n\">{cell}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    let more = summary.totals.connections.saturating_sub(connections.len().min(ROWS) as u64);
    if more > 0 {
        let _ = write!(out, "<p>… and {more} more; explain --json has them.</p>");
    }
    out.push_str("</section>\n");
}

/// The reasons that a stack of ours gave.
fn words(out: &mut String, summary: &Summary) {
    if summary.words.is_empty() {
        return;
    }
    out.push_str(
        "<section aria-labelledby=\"h-words\"><h2 id=\"h-words\">Packets by reason</h2>\n<table><thead><tr>\
         <th scope=\"col\">Why</th><th scope=\"col\">Sent</th><th scope=\"col\">Received</th></tr></thead><tbody>\n",
    );
    for (word, n) in &summary.words {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><code>{}</code></th><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escaped(&printable(word)),
            n.sent,
            n.received
        );
    }
    out.push_str("</tbody></table></section>\n");
}

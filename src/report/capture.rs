//! How does the summary of a capture look?

use super::timeline::{Phase, timeline};
use super::{Style, Table, plural, printable};
use crate::explain::{Confidence, Exchange, Finding, Parts, Progress, Summary};
use crate::time::Spoken;
use std::fmt::Write;

/// Connections that a text shows; JSON has them all.
const SHOWN: usize = 100;
/// Connections of which a text says more.
const TOLD: usize = 8;
/// Frames that a text names of a finding.
pub(super) const FRAMES: usize = 8;
/// Exchanges that a text shows.
const EXCHANGES_SHOWN: usize = 40;

/// What cost time first, then a few lines on the whole, a table of connections, where the time of each exchange went,
/// and a table of reasons.
pub fn capture(summary: &Summary, style: Style) -> String {
    let mut out = String::new();
    for finding in &summary.findings {
        self::finding(&mut out, finding, style);
    }
    if !summary.findings.is_empty() {
        out.push('\n');
    }
    out += &whole(summary, style);
    exchanges(&mut out, summary, style);
    words(&mut out, summary, style);
    out
}

/// `3 times 40.2 ms each, 120.6 ms in all: Nagle × delayed ACK, frames 17–21, …`, and what to do about it.
fn finding(out: &mut String, finding: &Finding, style: Style) {
    let what = finding.what;
    let mut head = String::new();
    let times = if finding.times == 1 { "once".to_owned() } else { format!("{} times", finding.times) };
    if finding.cost.is_zero() {
        let _ = write!(head, "{}, {times}", what.name());
    } else {
        let average = finding.cost / u32::try_from(finding.times).unwrap_or(u32::MAX);
        let _ = write!(head, "{} lost to {}", Spoken(finding.cost), what.name());
        let _ = match finding.times {
            1 => write!(head, ", {times}"),
            _ if finding.worst.abs_diff(average) <= average / 20 => {
                write!(head, ", {times} {} each", Spoken(average))
            }
            _ => write!(head, ", {times}, {} at the most", Spoken(finding.worst)),
        };
    }
    let frames: Vec<String> = (finding.frames.iter().take(FRAMES))
        .map(|(from, to)| if from == to { from.to_string() } else { format!("{from}–{to}") })
        .collect();
    let more = if finding.times > frames.len() as u64 { ", …" } else { "" };
    let sure = match finding.confidence {
        Confidence::Inferred => " (inferred)",
        _ => "",
    };
    let plural = if frames.len() == 1 && !frames[0].contains('–') { "frame" } else { "frames" };
    let _ = writeln!(out, "{}: {plural} {}{more}{sure}", style.bold(&head), frames.join(", "));
    if let Some(mtu) = finding.mtu {
        let _ = writeln!(out, "  a router says that its next link takes {mtu} bytes");
    }
    let knobs = match what.knobs() {
        [] => String::new(),
        knobs => format!(" [{}]", knobs.join(", ")),
    };
    let _ = writeln!(out, "  remedy: {}{}", what.remedy(), style.dim(&knobs));
    if finding.perhaps_lost > 0 {
        let which = match finding.perhaps_lost {
            n if n == finding.times => String::new(),
            n => format!(", {n} of them"),
        };
        let _ = writeln!(
            out,
            "  or{which}: lost before this capture point, and sent again after a time-out; capture at the sending end to tell"
        );
    }
}

/// `handshake 50 ms + link 50 ms`.
fn parts(parts: &Parts) -> String {
    let each: Vec<String> =
        parts.iter().map(|(part, time)| format!("{} {}", part.word(), Spoken(time))).collect();
    each.join(" + ")
}

pub(super) fn name(exchange: &Exchange) -> String {
    if exchange.method.is_empty() {
        return match exchange.status {
            Some(_) => "(request not captured)",
            None if exchange.tls => "(TLS)",
            None => "(not HTTP)",
        }
        .into();
    }
    printable(&format!("{} {}", exchange.method, exchange.target))
}

pub(super) fn outcome(exchange: &Exchange) -> String {
    match (exchange.status, exchange.progress) {
        (_, Progress::Asked) => "no answer".to_owned(),
        (Some(status), Progress::Answering) => format!("{status}, cut off"),
        (Some(status), Progress::Complete) => status.to_string(),
        (None, _) => String::new(),
    }
}

/// A bar for each exchange on a common scale, and below each where its time went.
fn exchanges(out: &mut String, summary: &Summary, style: Style) {
    let all: Vec<(usize, &Exchange)> =
        summary.connections.iter().flat_map(|c| c.exchanges.iter().map(move |e| (c.number, e))).collect();
    let (Some(first), Some(last)) =
        (all.iter().map(|(_, e)| e.start).min(), all.iter().map(|(_, e)| e.end).max())
    else {
        return;
    };
    out.push('\n');
    let shown = &all[..all.len().min(EXCHANGES_SHOWN)];
    let phases: Vec<Phase> = (shown.iter())
        .map(|(connection, exchange)| Phase {
            name: format!("{connection}: {} {}", name(exchange), outcome(exchange)),
            start: exchange.start.saturating_sub(first),
            length: exchange.end.saturating_sub(exchange.start),
        })
        .collect();
    let bars = timeline(&phases, last.saturating_sub(first), style, "");
    for (bar, (_, exchange)) in bars.lines().zip(shown) {
        let _ = writeln!(out, "{bar}\n   {}", style.dim(&parts(&exchange.parts)));
    }
    let more = summary.totals.exchanges.saturating_sub(shown.len() as u64);
    if more > 0 {
        let _ = writeln!(out, "… and {}; --json has them all", plural(more, "more exchange"));
    }
}

/// What the capture is and how much it holds.
pub(super) fn headline(summary: &Summary) -> String {
    let mut line = format!(
        "{}: {} in {}, {} bytes on the wire, {}",
        summary.format,
        plural(summary.packets, "packet"),
        Spoken(summary.lasted),
        summary.bytes,
        plural(summary.seen as u64, "connection"),
    );
    let totals = &summary.totals;
    if totals.connections < summary.seen as u64 {
        let packets = plural(totals.packets, "packet");
        let _ = write!(line, "; {} of them looked at, {packets}", totals.connections);
    }
    line
}

/// Which packets are in no connection, and why; and what else about the file is odd.
pub(super) fn left_out(summary: &Summary) -> impl Iterator<Item = String> {
    let disorder = summary.disorder;
    let unseen = summary.totals.not_captured;
    let unseen = (unseen > 0).then(|| {
        format!("{unseen} bytes were acknowledged and not captured: the recorder missed packets, what is said of their times may be wrong")
    });
    let given_up = (summary.given_up > 0).then(|| {
        let which = plural(summary.given_up, "silent connection");
        format!("{which} given up, so that memory is bounded: what such a one said later is told as another connection")
    });
    let late = format!(
        "up to {} too late to be put in order: what is said of them may be wrong, sort the file first (reordercap)",
        Spoken(disorder.worst)
    );
    [
        (summary.not_tcp, "not TCP, or fragments"),
        (summary.undecoded, "that could not be decoded"),
        (summary.beyond, "that came late to connections that were over"),
        (summary.totals.wild, "with numbers far beyond their receiver's window: left out"),
        (summary.dropped, "dropped by the recorder"),
        (
            summary.cut_headers,
            "cut off within their headers: capture 128 bytes of each at the least (-s 128)",
        ),
        (summary.doubled, "captured twice in the same place: one of each counts"),
        (
            summary.elsewhere,
            "captured in two places, as in two captures in one file: the first of each counts",
        ),
        (disorder.sorted, "not in the order of their times: put in order"),
        (disorder.beyond, late.as_str()),
    ]
    .into_iter()
    .filter(|&(n, _)| n > 0)
    .map(|(n, what)| format!("{} {what}", plural(n, "packet")))
    .chain(unseen)
    .chain(given_up)
    .collect::<Vec<_>>()
    .into_iter()
}

/// A few lines on the whole and a table of connections.
fn whole(summary: &Summary, style: Style) -> String {
    let mut out = headline(summary) + "\n";
    for line in left_out(summary) {
        let _ = writeln!(out, "  {line}");
    }
    if summary.events > 0 {
        let _ = writeln!(out, "  {} between the packets", plural(summary.events, "event"));
    }
    if let Some(damage) = &summary.damage {
        let _ = writeln!(out, "{}", style.bad(&format!("damaged: {damage}")));
    }
    if !summary.connections.is_empty() {
        let mut table = Table::new(&[
            ">#",
            "client",
            "server",
            ">at",
            ">lasted",
            ">handshake",
            ">up",
            ">down",
            ">packets",
            ">again",
            ">longest pause",
            "end",
        ]);
        for c in summary.connections.iter().take(SHOWN) {
            table.row([
                c.number.to_string(),
                c.client.to_string(),
                c.server.to_string(),
                Spoken(c.start).to_string(),
                Spoken(c.end.saturating_sub(c.start)).to_string(),
                c.handshake.map_or_else(|| "-".into(), |h| Spoken(h).to_string()),
                c.up.bytes.to_string(),
                c.down.bytes.to_string(),
                (c.up.packets + c.down.packets).to_string(),
                (c.up.again + c.down.again).to_string(),
                format!("{} at {}", Spoken(c.pause.0), Spoken(c.pause.1)),
                c.ending.word().to_owned(),
            ]);
        }
        out.push('\n');
        out += &table.render(style, "");
        let more = summary.totals.connections.saturating_sub(SHOWN as u64);
        if more > 0 {
            let _ = writeln!(out, "… and {more} more; --json has them all");
        }
        out.push('\n');
        for c in summary.connections.iter().take(TOLD) {
            for line in super::connection::lines(c) {
                let _ = writeln!(out, "{}", style.dim(&line));
            }
        }
    }
    out
}

/// A table of the reasons that a stack of ours gave.
fn words(out: &mut String, summary: &Summary, style: Style) {
    if !summary.words.is_empty() {
        let mut table = Table::new(&["why", ">sent", ">received"]);
        for (word, n) in &summary.words {
            let count = |n: u64| if n == 0 { String::new() } else { n.to_string() };
            table.row([printable(word), count(n.sent), count(n.received)]);
        }
        out.push('\n');
        *out += &table.render(style, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::WordCount;

    #[test]
    fn an_empty_capture_is_one_line_and_damage_is_told() {
        let mut summary = Summary { format: "pcap", ..Summary::default() };
        assert_eq!(
            capture(&summary, Style::PLAIN),
            "pcap: 0 packets in 0 ns, 0 bytes on the wire, 0 connections\n"
        );
        summary.damage = Some("cut".into());
        summary.words.insert("a\x1b[31m".into(), WordCount { sent: 1, received: 0 });
        let text = capture(&summary, Style::PLAIN);
        assert!(text.contains("damaged: cut") && text.contains("a?[31m") && !text.contains('\x1b'), "{text}");
    }
}

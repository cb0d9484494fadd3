//! How does the summary of a capture look?

use super::{Style, Table, plural, printable};
use crate::explain::Summary;
use crate::time::Spoken;
use std::fmt::Write;

/// Connections that a text shows; JSON has them all.
const SHOWN: usize = 100;

/// A few lines on the whole, a table of connections, a table of reasons.
pub fn capture(summary: &Summary, style: Style) -> String {
    let mut out = format!(
        "{}: {} in {}, {} bytes on the wire, {}\n",
        summary.format,
        plural(summary.packets, "packet"),
        Spoken(summary.lasted),
        summary.bytes,
        plural(summary.connections.len() as u64, "connection"),
    );
    for (n, what) in [
        (summary.not_tcp, "not TCP, or fragments"),
        (summary.undecoded, "that could not be decoded"),
        (summary.beyond, "of connections beyond the limit"),
        (summary.dropped, "dropped by the recorder"),
    ] {
        if n > 0 {
            let _ = writeln!(out, "  {} {what}", plural(n, "packet"));
        }
    }
    if summary.events > 0 {
        let _ = writeln!(out, "  {} between the packets", plural(summary.events, "event"));
    }
    if let Some(damage) = &summary.damage {
        let _ = writeln!(out, "{}", style.bad(&format!("damaged: {damage}; what precedes it was read")));
    }
    if !summary.connections.is_empty() {
        let mut table = Table::new(&[
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
        if summary.connections.len() > SHOWN {
            let _ = writeln!(out, "… and {} more; --json has them all", summary.connections.len() - SHOWN);
        }
    }
    if !summary.words.is_empty() {
        let mut table = Table::new(&["why", ">sent", ">received"]);
        for (word, n) in &summary.words {
            let count = |n: u64| if n == 0 { String::new() } else { n.to_string() };
            table.row([printable(word), count(n.sent), count(n.received)]);
        }
        out.push('\n');
        out += &table.render(style, "");
    }
    out
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

//! How does the screen of `tcpglass top` look? Lines that fit the terminal, from one answer of the stack.

use super::sockets::{largest, state};
use super::{Style, plural, printable};
use crate::time::{Duration, Spoken};
use serde_json::Value;

/// What is on the screen.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// What the stack says of itself.
    pub about: Value,
    /// The sockets, in their order.
    pub sockets: Vec<Value>,
    /// What it says of all of them.
    pub totals: Value,
    /// So many stand before the first one.
    pub skip: usize,
    /// What they are sorted by.
    pub sort: &'static str,
    /// The other way round.
    pub reverse: bool,
    /// Which are shown.
    pub filter: String,
    /// Nothing new is asked for.
    pub paused: bool,
    /// What is being typed, instead of what the keys do.
    pub typed: Option<String>,
    /// What went wrong, or is to be known.
    pub told: String,
    /// The keys are explained.
    pub help: bool,
}

struct Column {
    heading: &'static str,
    key: &'static str,
    right: bool,
    width: usize,
}

const fn column(heading: &'static str, key: &'static str, right: bool, width: usize) -> Column {
    Column { heading, key, right, width }
}

/// The last one takes what is left.
const COLUMNS: [Column; 12] = [
    column("CONN", "number", true, 6),
    column("STATE", "state", false, 10),
    column("LOCAL", "", false, 14),
    column("PEER", "", false, 18),
    column("LIMIT", "", false, 9),
    column("CWND", "cwnd", true, 9),
    column("FLIGHT", "flight", true, 9),
    column("RWND", "rwnd", true, 9),
    column("UNSENT", "unsent", true, 9),
    column("SRTT", "srtt", true, 8),
    column("AGAIN", "again", true, 5),
    column("WHERE ITS TIME WENT", "age", false, 24),
];

const HELP: [&str; 11] = [
    "q, Escape, Ctrl-C   end",
    "p or blank          pause, or go on",
    "s and S             sort by the next, or the previous, column",
    "r                   the other way round",
    "f                   filter, in the words of ss: state established dport = :80; limit cwnd",
    "arrows, page keys   move; Home and End go to the first and the last",
    "+ and -             look more often, or less often",
    "h or ?              this, or away with it",
    "",
    "LIMIT is what keeps a connection from sending now; AGAIN counts segments that were sent again.",
    "Windows are in bytes. The last column names the largest parts of the connection's time so far.",
];

/// The lines of the screen: `height` at the most, each of `width` characters at the most beside its colours.
pub fn screen(frame: &Frame, width: usize, height: usize, style: Style) -> Vec<String> {
    let mut lines =
        vec![style.bold(&cut(&title(frame), width)), cut(&totals(frame), width), bar(frame, width)];
    if frame.help {
        lines.extend(HELP.iter().map(|line| cut(line, width)));
    } else {
        lines.push(headings(frame, width, style));
        let shown = rows_in(height);
        lines.extend(frame.sockets.iter().take(shown).map(|socket| row(socket, width, style)));
    }
    lines.truncate(height);
    lines
}

/// So many sockets have room on a screen of this height.
fn rows_in(height: usize) -> usize {
    height.saturating_sub(4)
}

/// No more characters than there is room for.
fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

fn title(frame: &Frame) -> String {
    let text = |field: &str| printable(frame.about[field].as_str().unwrap_or("?"));
    let age = match (frame.totals["at_us"].as_u64(), frame.about["since_us"].as_u64()) {
        (Some(now), Some(since)) => {
            let seconds = now.saturating_sub(since) / 1_000_000;
            format!(", up {}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
        }
        _ => String::new(),
    };
    format!("tcpglass {} on {}, process {}{age}", text("command"), text("device"), frame.about["pid"])
}

fn totals(frame: &Frame) -> String {
    let n = |field: &str| frame.totals[field].as_u64().unwrap_or(0);
    format!(
        "{}, {} half-open, {} in TIME-WAIT, {} of buffers",
        plural(n("open"), "connection"),
        n("half_open"),
        n("time_wait"),
        size(n("memory"))
    )
}

/// What is shown of them and how, or what is being typed.
fn bar(frame: &Frame, width: usize) -> String {
    if let Some(typed) = &frame.typed {
        // The end of what is typed is what matters.
        let line = format!("filter: {typed}_");
        let surplus = line.chars().count().saturating_sub(width);
        return line.chars().skip(surplus).collect();
    }
    let matched = frame.totals["matched"].as_u64().unwrap_or(0);
    let mut parts = vec![match frame.sockets.len() {
        0 => format!("none of {matched}"),
        n => format!("{} to {} of {matched}", frame.skip + 1, frame.skip + n),
    }];
    parts.push(format!("by {}{}", frame.sort, if frame.reverse { ", turned round" } else { "" }));
    if !frame.filter.is_empty() {
        parts.push(format!("filter {}", printable(&frame.filter)));
    }
    if frame.paused {
        parts.push("PAUSED".into());
    }
    parts.push(if frame.told.is_empty() { "h helps, q ends".into() } else { printable(&frame.told) });
    cut(&parts.join("; "), width)
}

fn headings(frame: &Frame, width: usize, style: Style) -> String {
    let mark = if frame.reverse { '▲' } else { '▼' };
    let cells = COLUMNS.iter().map(|column| {
        if column.key == frame.sort { format!("{mark}{}", column.heading) } else { column.heading.to_owned() }
    });
    let line = aligned(cells, width);
    if style.color { format!("\x1b[7m{line:<width$}\x1b[0m") } else { line }
}

fn row(socket: &Value, width: usize, style: Style) -> String {
    let bytes = |field: &str| socket[field].as_u64().map_or("-".into(), size);
    let end = |field: &str| socket[field].as_str().map_or("*".into(), printable);
    let limit = socket["limit"].as_str().map_or("-".into(), printable);
    let parts: Vec<String> =
        largest(socket).into_iter().take(4).map(|(part, time)| format!("{part} {time}")).collect();
    let cells = [
        socket["number"].as_u64().map_or("-".into(), |n| n.to_string()),
        state(socket).to_owned(),
        end("local"),
        end("remote"),
        limit.clone(),
        bytes("cwnd"),
        bytes("flight"),
        bytes("rwnd"),
        bytes("unsent"),
        socket["srtt_us"].as_u64().map_or("-".into(), |us| Spoken(Duration::from_micros(us)).to_string()),
        socket["again"].as_u64().map_or("-".into(), |n| n.to_string()),
        parts.join(", "),
    ];
    let line = aligned(cells.into_iter(), width);
    // What waits for something stands out.
    match limit.as_str() {
        "idle" | "-" => style.dim(&line),
        "nagle" | "cork" | "cwnd" | "rwnd" | "pacing" => style.bold(&line),
        _ => line,
    }
}

/// Cells under each other; a cell that is too long pushes the others as far as there is room.
fn aligned(cells: impl Iterator<Item = String>, width: usize) -> String {
    let mut line = String::new();
    let mut at = 0;
    for (column, cell) in COLUMNS.iter().zip(cells) {
        let start = line.chars().count();
        // What the cells before took too much is taken from this one's blanks.
        let room = (at + column.width).saturating_sub(start);
        line += &if column.right { format!("{cell:>room$}") } else { format!("{cell:<room$}") };
        line.push(' ');
        at += column.width + 1;
    }
    cut(line.trim_end(), width)
}

/// Bytes in at most four digits and a unit.
fn size(bytes: u64) -> String {
    let (mut n, mut unit) = (bytes, "");
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi"] {
        if n < 10_000 {
            break;
        }
        (n, unit) = (n.div_ceil(1024), next);
    }
    format!("{n}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn frame() -> Frame {
        let one = |number: u64, limit: &str| {
            json!({
                "number": number, "local": "10.77.0.2:80", "remote": "10.77.0.1:40000", "state": "ESTABLISHED",
                "limit": limit, "cwnd": 14_480, "flight": 1, "rwnd": 65_535, "unsent": 0, "srtt_us": 1500, "again": 2,
                "ledger_us": { "app": 5, "cwnd": 2_000_000, "link": 7, "server": 6, "close": 1 },
            })
        };
        Frame {
            about: json!({ "command": "serve", "device": "tcpglass0", "pid": 4242, "since_us": 1_000_000 }),
            sockets: vec![
                one(1, "idle"),
                one(2, "cwnd"),
                json!({ "local": "[fd77::2]:80", "state": "LISTEN" }),
            ],
            totals: json!({ "at_us": 62_500_000, "matched": 3, "open": 2, "half_open": 0, "time_wait": 1, "memory": 20_000 }),
            sort: "cwnd",
            ..Frame::default()
        }
    }

    #[test]
    fn the_screen_says_what_each_connection_waits_for() {
        let lines = screen(&frame(), 200, 24, Style::PLAIN);
        let expected = [
            "tcpglass serve on tcpglass0, process 4242, up 0:01:01",
            "2 connections, 0 half-open, 1 in TIME-WAIT, 20Ki of buffers",
            "1 to 3 of 3; by cwnd; h helps, q ends",
            "  CONN STATE      LOCAL          PEER               LIMIT         ▼CWND    FLIGHT      RWND    UNSENT     SRTT AGAIN WHERE ITS TIME WENT",
            "     1 ESTAB      10.77.0.2:80   10.77.0.1:40000    idle           15Ki         1      64Ki         0   1.5 ms     2 cwnd 2 s, link 7 µs, server 6 µs, app 5 µs",
            "     2 ESTAB      10.77.0.2:80   10.77.0.1:40000    cwnd           15Ki         1      64Ki         0   1.5 ms     2 cwnd 2 s, link 7 µs, server 6 µs, app 5 µs",
            "     - LISTEN     [fd77::2]:80   *                  -                 -         -         -         -        -     -",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn no_line_is_wider_and_no_screen_higher_than_the_terminal() {
        let mut frame = frame();
        frame.filter = "x".repeat(300);
        for help in [false, true] {
            for typed in [None, Some("dport = :80 ".repeat(20))] {
                (frame.help, frame.typed) = (help, typed);
                for (width, height) in [(0, 0), (1, 1), (20, 3), (80, 24), (132, 6)] {
                    let lines = screen(&frame, width, height, Style::PLAIN);
                    assert!(lines.len() <= height);
                    assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:#?}");
                }
            }
        }
        let bar = &screen(&frame, 40, 24, Style::PLAIN)[2];
        assert!(bar.ends_with("dport = :80 _"), "{bar}");
    }

    #[test]
    fn what_comes_from_outside_cannot_write_to_the_terminal() {
        let mut frame = frame();
        frame.sockets = vec![json!({ "state": "ESTABLISHED", "local": "\x1b[31mx", "limit": "\x07" })];
        frame.filter = "\x1b]0;title\x07".into();
        frame.told = "\x1b[2J".into();
        assert!(!screen(&frame, 200, 24, Style::PLAIN).concat().contains(['\x1b', '\x07']));
    }
}

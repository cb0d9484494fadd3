//! Where did the time of each arm go, as a picture? A bar for each, divided by its ledger.

use super::page::escaped;
use super::svg::STYLE;
use crate::lab::{Findings, Row};
use crate::ledger::Part;
use crate::time::Spoken;
use std::fmt::Write;

const TOP: f64 = 64.0;
const BAR: f64 = 20.0;
const LENGTH: f64 = 420.0;
const LETTER: f64 = 7.6;
/// Entries of the legend stand so far apart, and so many in a line.
const ENTRY: f64 = 130.0;

/// The same colour for a part as on pages.
fn colour(part: Part) -> &'static str {
    match part {
        Part::Name => "#999",
        Part::PortWait => "#555",
        Part::Queue => "#c4c4c4",
        Part::Handshake => "#56b4e9",
        Part::App => "#8c6d1f",
        Part::Nagle => "#d55e00",
        Part::Cwnd => "#0072b2",
        Part::Rwnd => "#332288",
        Part::Pacing => "#44aa99",
        Part::Recovery => "#882255",
        Part::OwnAckDelay => "#e69f00",
        Part::PeerAckDelay => "#e3d21b",
        Part::Server => "#cc79a7",
        Part::Link => "#a3b5c6",
        Part::Transfer => "#009e73",
        Part::Close => "#777",
    }
}

/// A picture of its own; `None` if no arm has a ledger in which any time was spent.
pub fn shares(title: &str, findings: &Findings) -> Option<String> {
    let of = |row: &'_ Row| row.ledger.filter(|ledger| !ledger.total().is_zero());
    let rows: Vec<_> = findings.rows.iter().filter_map(|row| Some((name(row, findings), of(row)?))).collect();
    let used = |part: &Part| rows.iter().any(|(_, ledger)| !ledger.of(*part).is_zero());
    let parts: Vec<Part> = Part::ALL.into_iter().filter(used).collect();
    let longest = rows.iter().map(|(name, _)| name.chars().count()).max()? as f64;
    let left = LETTER * longest + 24.0;
    let width = left + LENGTH + 96.0;
    let (line, lines) = {
        let line = (((width - 16.0) / ENTRY) as usize).max(1);
        (line, parts.len().div_ceil(line))
    };
    let top = TOP + 18.0 * lines as f64;
    let height = top + BAR * rows.len() as f64 + 16.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n<title>{0}: where the time went</title>\n\
         <style>{STYLE}</style>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{0}: where the time went</text>\n",
        escaped(title)
    );
    for (n, part) in parts.iter().enumerate() {
        let (x, y) = (16.0 + ENTRY * (n % line) as f64, TOP - 16.0 + 18.0 * (n / line) as f64);
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"11\" height=\"11\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>",
            y - 10.0,
            colour(*part),
            x + 16.0,
            y,
            part.word()
        );
    }
    for (n, (name, ledger)) in rows.iter().enumerate() {
        let y = top + BAR * n as f64;
        let total = ledger.total();
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            y + 12.0,
            escaped(name)
        );
        let mut x = left;
        for (part, time) in ledger.iter() {
            let length = LENGTH * time.as_secs_f64() / total.as_secs_f64();
            let _ = writeln!(
                out,
                "<rect x=\"{x:.2}\" y=\"{y}\" width=\"{length:.2}\" height=\"{}\" fill=\"{}\"><title>{} {}</title></rect>",
                BAR - 5.0,
                colour(part),
                part.word(),
                Spoken(time)
            );
            x += length;
        }
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 6.0, y + 12.0, Spoken(total));
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// What tells this arm from the others.
fn name(row: &Row, findings: &Findings) -> String {
    let varies = |at: usize| findings.rows.iter().any(|other| other.varied.get(at) != row.varied.get(at));
    let values = row.varied.iter().enumerate().filter(|(at, _)| varies(*at));
    let name = values.map(|(_, (_, value))| value.as_str()).collect::<Vec<_>>().join(" ");
    if name.is_empty() { row.label() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Parts;
    use crate::time::Duration;

    #[test]
    fn a_bar_is_as_long_as_the_others_and_its_parts_as_their_time() {
        let row = |name: &str, nagle: u64, link: u64| {
            let mut parts = Parts::default();
            parts.add(Part::Nagle, Duration::from_millis(nagle));
            parts.add(Part::Link, Duration::from_millis(link));
            Row {
                varied: vec![("way".into(), name.into()), ("rtt".into(), "20ms".into())],
                from: Duration::ZERO,
                late: false,
                cells: Vec::new(),
                ledger: Some(parts),
                captures: Vec::new(),
            }
        };
        let rows = vec![row("<on>", 30, 10), row("off", 0, 7), row("none", 0, 0)];
        let picture = shares("x", &Findings { rows, ..Findings::default() }).unwrap();
        assert!(picture.contains("width=\"315.00\"") && picture.contains("width=\"105.00\""), "{picture}");
        assert!(
            picture.contains("width=\"420.00\"") && picture.contains("<title>nagle 30 ms</title>"),
            "{picture}"
        );
        assert!(picture.contains(">&lt;on&gt;</text>") && !picture.contains("20ms"), "{picture}");
        assert_eq!(shares("x", &Findings::default()), None);
    }
}

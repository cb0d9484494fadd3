//! How does a drawing look as SVG?

use super::page::escaped;
use super::scale::{Scale, label};
use crate::lab::{Figure, Kind};
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const TOP: f64 = 84.0;
const LEFT: f64 = 76.0;
const PLOT: (f64, f64) = (460.0, 300.0);
const BAR: f64 = 20.0;
/// Where the names of lines begin, and what a letter of theirs takes: half its height, and a little more.
const LEGEND: f64 = LEFT + PLOT.0 + 20.0;
const LETTER: f64 = 7.6;
/// Colours that people with any kind of sight can tell apart (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d1f"];

/// Where the reader's surroundings are dark, so is the paper; black lines become white ones.
pub(super) const STYLE: &str = "@media (prefers-color-scheme: dark) { svg { fill: #ddd } .paper { fill: #1b1b1f } .grid { stroke: #444 } \
                    .c6 { stroke: #fff } circle.c6 { fill: #fff } .c0 { stroke: #4aa8ff } circle.c0 { fill: #4aa8ff } }";

/// A picture of its own, with a title and a line of text above it.
pub fn svg(title: &str, question: &str, figure: &Figure) -> String {
    let (body, height) = match figure.kind {
        Kind::Lines => lines(figure),
        Kind::Bars => bars(figure),
    };
    let width = match figure.kind {
        Kind::Lines => WIDTH.max(LEGEND + 44.0 + LETTER * longest(figure)),
        Kind::Bars => WIDTH,
    };
    let (title, question) = (escaped(title), escaped(question));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"16\" y=\"46\" font-size=\"12\">{question}</text>\n{body}</svg>\n"
    )
}

fn lines(figure: &Figure) -> (String, f64) {
    let points = || figure.series.iter().flat_map(|(_, points)| points);
    let x = Scale::new(points().map(|p| p.0), figure.log.0, false);
    let y = Scale::new(points().map(|p| p.1), figure.log.1, true);
    let right = |at: f64| LEFT + x.place(at) * PLOT.0;
    let down = |at: f64| TOP + (1.0 - y.place(at)) * PLOT.1;
    let mut out = String::new();
    text(&mut out, 16.0, TOP - 16.0, "start", &figure.y);
    for tick in y.ticks(6) {
        let at = down(tick);
        let end = LEFT + PLOT.0;
        let _ = writeln!(out, "<path d=\"M{LEFT} {at:.1}H{end}\" class=\"grid\" stroke=\"#ddd\"/>");
        text(&mut out, LEFT - 8.0, at + 4.0, "end", &label(tick));
    }
    let bottom = TOP + PLOT.1;
    for tick in x.ticks(6) {
        let at = right(tick);
        let _ = writeln!(out, "<path d=\"M{at:.1} {bottom}v5\" stroke=\"#666\"/>");
        text(&mut out, at, bottom + 20.0, "middle", &label(tick));
    }
    let _ = writeln!(out, "<path d=\"M{LEFT} {TOP}V{bottom}h{}\" stroke=\"#666\" fill=\"none\"/>", PLOT.0);
    text(&mut out, LEFT + PLOT.0, bottom + 40.0, "end", &figure.x);
    for (n, (name, points)) in figure.series.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let class = format!("c{}", n % COLOURS.len());
        let at: Vec<String> = (points.iter())
            .filter(|p| p.0.is_finite() && p.1.is_finite())
            .map(|p| format!("{:.1},{:.1}", right(p.0), down(p.1)))
            .collect();
        // More series than colours are told apart by dashes.
        let dash = match n / COLOURS.len() {
            0 => "",
            1 => " stroke-dasharray=\"6 3\"",
            _ => " stroke-dasharray=\"2 3\"",
        };
        let path = at.join(" ");
        let _ = writeln!(
            out,
            "<polyline class=\"{class}\" points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>"
        );
        if at.len() <= 30 {
            for (cx, cy) in at.iter().filter_map(|p| p.split_once(',')) {
                let _ = writeln!(
                    out,
                    "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3.5\" class=\"{class}\" fill=\"{colour}\"/>"
                );
            }
        }
        if !name.is_empty() {
            let (from, at) = (LEGEND, TOP + 18.0 * n as f64);
            let _ = writeln!(
                out,
                "<path class=\"{class}\" d=\"M{from} {at}h22\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>"
            );
            text(&mut out, from + 28.0, at + 4.0, "start", name);
        }
    }
    if !figure.by.is_empty() {
        text(&mut out, LEGEND, TOP - 16.0, "start", &figure.by);
    }
    let legend = TOP + 18.0 * figure.series.len() as f64;
    (out, (bottom + 56.0).max(legend + 16.0))
}

/// The letters of the longest name.
fn longest(figure: &Figure) -> f64 {
    figure.series.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) as f64
}

fn bars(figure: &Figure) -> (String, f64) {
    let values = || figure.series.iter().filter_map(|(_, points)| points.first().map(|p| p.1));
    let scale = Scale::new(values(), figure.log.1, true);
    // The longest name gets its room.
    let left = (LETTER * longest(figure) + 24.0).min(WIDTH / 2.0);
    let room = WIDTH - left - 90.0;
    let mut out = String::new();
    text(&mut out, 16.0, TOP - 16.0, "start", &of(&figure.y, &figure.by));
    for (n, ((name, _), value)) in figure.series.iter().zip(values()).enumerate() {
        let (at, length) = (TOP + BAR * n as f64, (scale.place(value) * room).max(1.0));
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{at}\" width=\"{length:.1}\" height=\"{}\" fill=\"{}\"/>",
            BAR - 5.0,
            COLOURS[0]
        );
        text(&mut out, left - 8.0, at + 12.0, "end", name);
        text(&mut out, left + length + 6.0, at + 12.0, "start", &label(value));
    }
    (out, TOP + BAR * figure.series.len() as f64 + 16.0)
}

/// What is drawn, and what tells its bars apart.
pub(super) fn of(y: &str, by: &str) -> String {
    if by.is_empty() { y.to_owned() } else { format!("{y}  (by {by})") }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ =
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_text() {
        let figure = Figure {
            kind: Kind::Bars,
            x: String::new(),
            y: "a < b".into(),
            log: (false, false),
            by: String::new(),
            series: vec![("<script>\"&".into(), vec![(0.0, 1.0)])],
        };
        let picture = svg("t & u", "", &figure);
        assert!(!picture.contains("<script>") && picture.contains("&lt;script&gt;&quot;&amp;"), "{picture}");
        assert!(picture.contains("t &amp; u") && picture.contains("a &lt; b"), "{picture}");
    }

    #[test]
    fn the_longest_name_has_its_room() {
        let figure = |name: &str| Figure {
            kind: Kind::Lines,
            x: "x".into(),
            y: "y".into(),
            log: (false, false),
            by: "rtt".into(),
            series: vec![(name.into(), vec![(1.0, 1.0), (16.0, 2.0)])],
        };
        assert!(svg("t", "", &figure("20ms")).contains("viewBox=\"0 0 760 "));
        let wide = svg("t", "", &figure("1ms, 20ms, 100ms, 600ms, 900ms"));
        assert!(wide.contains("viewBox=\"0 0 828 "), "{wide}");
        assert!(wide.contains("text-anchor=\"middle\">1</text>"), "where the axis begins: {wide}");
    }

    #[test]
    fn no_number_is_not_a_number() {
        for kind in [Kind::Lines, Kind::Bars] {
            let figure = Figure {
                kind,
                x: "x".into(),
                y: "y".into(),
                log: (true, true),
                by: String::new(),
                series: vec![("a".into(), vec![(0.0, 0.0), (f64::NAN, 2.0), (3.0, f64::INFINITY)])],
            };
            let picture = svg("t", "", &figure);
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        }
    }
}

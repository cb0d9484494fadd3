//! What is there to see? Curves or bars, from a table or of their own.

use super::Plot;
use super::findings::Row;
use super::quantity::Quantity;
use crate::knob;

/// How the points are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Points joined by lines.
    Lines,
    /// One bar for each series, which has one point.
    Bars,
}

/// A drawing.
#[derive(Clone, PartialEq, Debug)]
pub struct Figure {
    /// Lines or bars.
    pub kind: Kind,
    /// What runs to the right.
    pub x: String,
    /// What runs upwards.
    pub y: String,
    /// What the series differ in: `rtt, size`.
    pub by: String,
    /// Whether the axes are logarithmic, x and y.
    pub log: (bool, bool),
    /// Names and points, in order.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
}

impl Figure {
    /// The drawing that an experiment's plan asks for; `None` if its table has nothing for it.
    pub(super) fn of(plot: &Plot, rows: &[Row]) -> Option<Figure> {
        let drawn = |row: &&Row| {
            plot.only.is_none_or(|(name, value)| row.varied.iter().any(|(n, v)| n == name && v == value))
        };
        let measure = |row: &Row| row.cells.iter().find(|c| c.name == plot.y).map(|c| c.value);
        // What is told in words is not drawn.
        let rows: Vec<&Row> =
            rows.iter().filter(|row| !matches!(measure(row), Some(Quantity::Word(_)))).collect();
        // What never varies tells nothing apart.
        let varies = |name: &str| {
            let mut values = rows.iter().flat_map(|row| row.varied.iter().filter(|v| v.0 == name));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        let named: Vec<&str> = rows.first().map_or(Vec::new(), |row| {
            let names = row.varied.iter().map(|v| v.0.as_str());
            names.filter(|n| *n != plot.x && plot.only.is_none_or(|only| *n != only.0) && varies(n)).collect()
        });
        let unit = rows.iter().find_map(|row| measure(row))?.unit();
        let y =
            if unit.is_empty() || unit == plot.y { plot.y.to_owned() } else { format!("{}, {unit}", plot.y) };
        let mut series: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
        if plot.x.is_empty() {
            for row in rows.iter().filter(|row| drawn(row)) {
                series.push((label(row, &named), vec![(0.0, measure(row)?.number())]));
            }
            return Some(Figure {
                kind: Kind::Bars,
                x: String::new(),
                y,
                log: plot.log,
                by: named.join(", "),
                series,
            });
        }
        let mut x_unit = "";
        for row in rows.iter().filter(|row| drawn(row)) {
            let (_, at) = row.varied.iter().find(|(name, _)| name == plot.x)?;
            let (at, unit) = position(at)?;
            x_unit = unit;
            let (name, point) = (label(row, &named), (at, measure(row)?.number()));
            match series.iter_mut().find(|(known, _)| *known == name) {
                Some((_, points)) => points.push(point),
                None => series.push((name, vec![point])),
            }
        }
        let x_unit = if x_unit.is_empty() { plot.unit } else { x_unit };
        let x = if x_unit.is_empty() { plot.x.to_owned() } else { format!("{}, {x_unit}", plot.x) };
        let by = named.join(", ");
        Some(Figure { kind: Kind::Lines, x, y, log: plot.log, by, series: merged(series) })
    }
}

/// The values that tell a row from others.
fn label(row: &Row, named: &[&str]) -> String {
    let values = row.varied.iter().filter(|(name, _)| named.contains(&name.as_str()));
    values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
}

/// Lines that lie on one another, as far as anybody can see, become one with all their names: else the last drawn would
/// hide the others.
fn merged(series: Vec<(String, Vec<(f64, f64)>)>) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut apart: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for (name, points) in series {
        match apart.iter_mut().find(|(_, known)| look_the_same(known, &points)) {
            Some((names, _)) => *names = format!("{names}, {name}"),
            None => apart.push((name, points)),
        }
    }
    apart
}

/// Whether they are nowhere further apart than a line is wide.
fn look_the_same(one: &[(f64, f64)], other: &[(f64, f64)]) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 0.005 * a.abs().max(b.abs());
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && near(a.1, b.1))
}

/// Where a value lies on its axis: a time in ms, a size in bytes, a share in %, a rate in bit/s or a number.
fn position(value: &str) -> Option<(f64, &'static str)> {
    if let Ok(n) = value.parse::<f64>() {
        return Some((n, ""));
    }
    if let Ok(d) = knob::duration(value) {
        return Some((d.as_nanos() as f64 / 1e6, "ms"));
    }
    if let Ok(n) = knob::size(value) {
        return Some((n as f64, "bytes"));
    }
    if let Ok(n) = knob::share(value) {
        return Some((f64::from(n) / 1e7, "%"));
    }
    knob::rate(value).ok().flatten().map(|n| (n as f64, "bit/s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_hide_one_another_are_one_with_all_their_names() {
        let line = |name: &str, ys: [f64; 2]| (name.to_owned(), vec![(1.0, ys[0]), (2.0, ys[1])]);
        let drawn = merged(vec![
            line("1ms", [50.0, 25.0]),
            line("20ms", [50.0, 25.01]),
            line("100ms", [50.0, 26.0]),
            line("600ms", [50.0, 25.0]),
        ]);
        let names: Vec<&str> = drawn.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["1ms, 20ms, 600ms", "100ms"]);
    }
}

//! What is there to see? Curves or bars, from a table or of their own.

use super::Plot;
use super::findings::Row;
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
        let unit = rows.iter().find_map(measure)?.unit();
        let y =
            if unit.is_empty() || unit == plot.y { plot.y.to_owned() } else { format!("{}, {unit}", plot.y) };
        let mut series: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
        if plot.x.is_empty() {
            for row in rows.iter().filter(drawn) {
                series.push((row.label(), vec![(0.0, measure(row)?.number())]));
            }
            return Some(Figure { kind: Kind::Bars, x: String::new(), y, log: plot.log, series });
        }
        let mut x_unit = "";
        for row in rows.iter().filter(drawn) {
            let (_, at) = row.varied.iter().find(|(name, _)| name == plot.x)?;
            let (at, unit) = position(at)?;
            x_unit = unit;
            let others: Vec<&str> = row
                .varied
                .iter()
                .filter(|(name, _)| name != plot.x && plot.only.is_none_or(|only| name != only.0))
                .map(|(_, v)| v.as_str())
                .collect();
            let (name, point) = (others.join(" "), (at, measure(row)?.number()));
            match series.iter_mut().find(|(known, _)| *known == name) {
                Some((_, points)) => points.push(point),
                None => series.push((name, vec![point])),
            }
        }
        let x = if x_unit.is_empty() { plot.x.to_owned() } else { format!("{}, {x_unit}", plot.x) };
        Some(Figure { kind: Kind::Lines, x, y, log: plot.log, series })
    }
}

/// Where a value lies on its axis: a time in ms, a size in bytes, a rate in bit/s or a number.
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
    knob::rate(value).ok().flatten().map(|n| (n as f64, "bit/s"))
}

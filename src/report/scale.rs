//! Where does a value lie on an axis, and which round numbers stand beside it?

/// Ticks that are closer to one another have no room for their labels.
const CLOSE: f64 = 0.08;

/// One axis of a drawing.
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// An axis on which all values have room. A logarithmic one needs positive values, a linear one for sizes (`zero`)
    /// begins at zero.
    pub fn new(values: impl Iterator<Item = f64>, log: bool, zero: bool) -> Scale {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|v| v.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        let log = log && low > 0.0 && low.is_finite();
        if !low.is_finite() {
            (low, high) = (0.0, 1.0);
        }
        if !log && zero && low > 0.0 {
            low = 0.0;
        }
        if high <= low {
            high = if log { low * 10.0 } else { low + low.abs().max(1.0) };
        }
        Scale { low, high, log }
    }

    /// From 0 (the beginning) to 1 (the end).
    pub fn place(&self, value: f64) -> f64 {
        let place = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }

    /// Round numbers on it, at most `most` and a few more.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        let mut ticks = Vec::new();
        if self.log {
            // Powers of ten, thinned out if they are many.
            let (first, last) = (self.low.log10().ceil() as i32, self.high.log10().floor() as i32);
            let every = ((last - first) / most.max(1) as i32 + 1).max(1);
            ticks.extend((first..=last).step_by(every as usize).map(|n| 10f64.powi(n)));
            if ticks.len() < 3 {
                // Twice and five times the powers between them, as far as they are on the axis.
                let decades = self.low.log10().floor() as i32..=self.high.log10().floor() as i32;
                let steps = decades.flat_map(|n| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(n)));
                let on_axis = |tick: &f64| (self.low * 0.999..=self.high * 1.001).contains(tick);
                let finer: Vec<f64> = steps.filter(on_axis).collect();
                if finer.len() <= 2 * most {
                    ticks = finer;
                }
            }
            if ticks.len() < 2 {
                // The ends, and the one power of ten between them if it has room there.
                let between = |tick: &f64| (0.1..=0.9).contains(&self.place(*tick));
                ticks.retain(between);
                ticks.insert(0, self.low);
                ticks.push(self.high);
            }
            // Between its last ticks and its ends a logarithmic axis can hide a decade, and most of what was varied.
            if ticks.first().is_some_and(|tick| self.place(*tick) > CLOSE) {
                ticks.insert(0, self.low);
            }
            if ticks.last().is_some_and(|tick| self.place(*tick) < 1.0 - CLOSE) {
                ticks.push(self.high);
            }
            return ticks;
        }
        let rough = (self.high - self.low) / most.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|s| *s >= rough).unwrap_or(rough);
        let mut n = (self.low / step - 1e-9).ceil();
        while n * step <= self.high * (1.0 + 1e-9) && ticks.len() <= 2 * most {
            // Adding zero turns a negative zero into zero.
            ticks.push(n * step + 0.0);
            n += 1.0;
        }
        if ticks.first().is_some_and(|tick| self.place(*tick) > 2.0 * CLOSE) {
            ticks.insert(0, self.low);
        }
        ticks
    }
}

/// A number as it stands beside an axis: at most four digits and a prefix.
pub(super) fn label(value: f64) -> String {
    let (scaled, prefix) = match value.abs() {
        n if n >= 1e9 => (value / 1e9, "G"),
        n if n >= 1e6 => (value / 1e6, "M"),
        n if n >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        n if n >= 100.0 || (n - n.round()).abs() < 1e-9 => 0,
        n if n >= 10.0 => 1,
        n if n >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        let scale = Scale::new([3.0, 97.0].into_iter(), false, true);
        assert_eq!(scale.ticks(5), [0.0, 20.0, 40.0, 60.0, 80.0]);
        let scale = Scale::new([1024.0, 1_048_576.0].into_iter(), true, false);
        assert_eq!(scale.ticks(5), [1024.0, 1e4, 1e5, 1e6], "where it begins, too");
        assert!((scale.place(1024.0), scale.place(1_048_576.0)) == (0.0, 1.0));
    }

    #[test]
    fn an_axis_without_values_or_with_one_is_still_an_axis() {
        for values in [vec![], vec![0.0], vec![5.0, 5.0], vec![f64::NAN]] {
            for log in [true, false] {
                let scale = Scale::new(values.iter().copied(), log, true);
                assert!(scale.place(5.0).is_finite() && !scale.ticks(4).is_empty(), "{values:?}");
            }
        }
    }

    #[test]
    fn labels_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (12.5, "12.5"),
            (1500.0, "1500"),
            (1e6, "1M"),
            (12_500.0, "12.5k"),
            (0.0125, "0.0125"),
        ] {
            assert_eq!(label(value), text);
        }
    }
}

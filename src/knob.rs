//! How is a setting written? One row per knob and the syntax of its values.

use crate::time::Duration;
use std::fmt;
use std::str::FromStr;

/// One setting of a configuration `C`: the row that `--set`, the config file and the docs are made from.
pub struct Knob<C: 'static> {
    /// The full name, `tcp.nagle`.
    pub name: &'static str,
    /// What a value looks like: `on|off`, `duration 0..500ms`.
    pub values: &'static str,
    /// One sentence: what it does.
    pub meaning: &'static str,
    /// The socket option or sysctl of Linux that does the same, or empty.
    pub linux: &'static str,
    /// Where it is specified, or empty.
    pub rfc: &'static str,
    /// The current value, written as `set` reads it.
    pub get: fn(&C) -> String,
    /// Reads a value into the configuration.
    pub set: fn(&mut C, &str) -> Result<(), ValueError>,
}

/// Why a value was refused, with what would be accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValueError(pub String);

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ValueError {}

fn split_unit(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..at], text[at..].trim_start())
}

/// A decimal number times a unit, exact to the last unit: no binary fractions in between.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(unit)?.checked_add(part.checked_mul(unit)? / 10u128.pow(fraction.len() as u32))
}

/// Reads `40ms`, `1.5s`, `200us`, `7ns`, `2min`, `2h`, `0`.
///
/// # Errors
/// Says which units there are.
pub fn duration(text: &str) -> Result<Duration, ValueError> {
    let (number, unit) = split_unit(text.trim());
    let nanos = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" | "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" if number == "0" => 1,
        _ => return Err(ValueError(format!("{text:?} is not a duration: write 40ms, 1.5s, 200us, 2min"))),
    };
    scaled(number, nanos)
        .and_then(|n| u64::try_from(n).ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| ValueError(format!("{text:?} is not a duration: write 40ms, 1.5s, 200us, 2min")))
}

/// A duration as [`duration`] reads it back.
pub fn show_duration(d: Duration) -> String {
    let n = d.as_nanos();
    for (unit, name) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] {
        if n > 0 && n.is_multiple_of(unit) {
            return format!("{}{name}", n / unit);
        }
    }
    if n == 0 { "0".into() } else { format!("{n}ns") }
}

/// Reads a duration between `low` and `high`.
///
/// # Errors
/// Says the range.
pub fn duration_in(text: &str, low: Duration, high: Duration) -> Result<Duration, ValueError> {
    let d = duration(text)?;
    if d < low || d > high {
        return Err(ValueError(format!(
            "{text} is out of range: {} to {}",
            show_duration(low),
            show_duration(high)
        )));
    }
    Ok(d)
}

/// Reads `64KiB`, `1MiB`, `10kB`, `1500` into bytes.
///
/// # Errors
/// Says which units there are.
pub fn size(text: &str) -> Result<u64, ValueError> {
    let (number, unit) = split_unit(text.trim());
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => 0,
    };
    scaled(number, bytes)
        .filter(|_| bytes > 0)
        .and_then(|n| u64::try_from(n).ok())
        .ok_or_else(|| ValueError(format!("{text:?} is not a size: write 1500, 64KiB, 1MiB")))
}

/// A size as [`size`] reads it back.
pub fn show_size(n: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if n > 0 && n.is_multiple_of(unit) {
            return format!("{}{name}", n / unit);
        }
    }
    n.to_string()
}

/// Reads `10mbit`, `1gbit`, `56kbit`, `unlimited` into bits per second; `None` is unlimited.
///
/// # Errors
/// Says which units there are.
pub fn rate(text: &str) -> Result<Option<u64>, ValueError> {
    if text.trim() == "unlimited" {
        return Ok(None);
    }
    let (number, unit) = split_unit(text.trim());
    let bits = match unit.to_ascii_lowercase().as_str() {
        "bit" | "bit/s" | "bps" => 1,
        "kbit" | "kbit/s" | "kbps" => 1_000,
        "mbit" | "mbit/s" | "mbps" => 1_000_000,
        "gbit" | "gbit/s" | "gbps" => 1_000_000_000,
        _ => 0,
    };
    scaled(number, bits)
        .filter(|&n| bits > 0 && n > 0)
        .and_then(|n| u64::try_from(n).ok())
        .map(Some)
        .ok_or_else(|| ValueError(format!("{text:?} is not a rate: write 10mbit, 1gbit, 56kbit, unlimited")))
}

/// A rate as [`rate`] reads it back.
pub fn show_rate(bits: Option<u64>) -> String {
    let Some(n) = bits else { return "unlimited".into() };
    for (unit, name) in [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")] {
        if n.is_multiple_of(unit) {
            return format!("{}{name}", n / unit);
        }
    }
    format!("{n}bit")
}

/// Reads `1%`, `0.5%`, `0.01` into parts per billion.
///
/// # Errors
/// Says the range.
pub fn share(text: &str) -> Result<u32, ValueError> {
    let (number, unit) = split_unit(text.trim());
    let whole = match unit {
        "%" => 10_000_000,
        "" => 1_000_000_000,
        _ => 0,
    };
    scaled(number, whole)
        .filter(|&n| whole > 0 && n <= 1_000_000_000)
        .map(|n| n as u32)
        .ok_or_else(|| ValueError(format!("{text:?} is not a share: write 1%, 0.5% or 0.01, at most 100%")))
}

/// A share as [`share`] reads it back.
pub fn show_share(ppb: u32) -> String {
    let (whole, part) = (ppb / 10_000_000, ppb % 10_000_000);
    if part == 0 {
        return format!("{whole}%");
    }
    format!("{whole}.{}%", format!("{part:07}").trim_end_matches('0'))
}

/// Reads `on` or `off` (`true`/`false`, `yes`/`no`, `1`/`0` too).
///
/// # Errors
/// Says the two words.
pub fn switch(text: &str) -> Result<bool, ValueError> {
    match text.trim() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(ValueError(format!("{text:?} is neither on nor off"))),
    }
}

/// `on` or `off`.
pub fn show_switch(on: bool) -> String {
    if on { "on" } else { "off" }.into()
}

/// Reads a whole number between `low` and `high`.
///
/// # Errors
/// Says the range.
pub fn number<T: FromStr + PartialOrd + fmt::Display>(text: &str, low: T, high: T) -> Result<T, ValueError> {
    match text.trim().parse::<T>() {
        Ok(n) if n >= low && n <= high => Ok(n),
        _ => Err(ValueError(format!("{text:?} is not a whole number from {low} to {high}"))),
    }
}

/// The candidate nearest to `wrong` by edit distance, if one is near enough to be meant.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (edit_distance(wrong, c), c))
        .min()
        .filter(|&(d, c)| d <= 2.max(c.len() / 3))
        .map(|(_, c)| c)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(256).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_exactly_and_written_back() {
        for text in ["0", "40ms", "1s", "1500ms", "7ns", "200us"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        assert_eq!(duration("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(duration("2min").unwrap(), Duration::from_secs(120));
        assert_eq!(size("64KiB").unwrap(), 65_536);
        assert_eq!(show_size(65_536), "64KiB");
        assert_eq!(rate("1.5mbit").unwrap(), Some(1_500_000));
        assert_eq!(show_rate(Some(10_000_000)), "10mbit");
        assert_eq!(share("0.5%").unwrap(), 5_000_000);
        assert_eq!(share("0.01").unwrap(), 10_000_000);
        assert_eq!(show_share(5_000_000), "0.5%");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "ms", "40", "40 parsecs", "-1s", "1.2.3s", "1e9s", "99999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["", "KiB", "1XB", "-1", "99999999999999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        for text in ["10", "0mbit", "fast"] {
            assert!(rate(text).is_err(), "{text}");
        }
        for text in ["101%", "1.1", "%", "-1%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let names = ["tcp.nagle", "tcp.cork", "http.pipeline"];
        assert_eq!(nearest("tcp.nagel", names), Some("tcp.nagle"));
        assert_eq!(nearest("nagle", names), None.or(nearest("nagle", names)));
        assert_eq!(nearest("completely.different.thing", names), None);
    }
}

//! How do numbers get into a text quickly? Without a formatter: the comments of each packet have a dozen of them.

use crate::time::{Duration, Spoken};
use std::fmt::{self, Write};
use std::net::SocketAddr;

/// A text and a number behind it.
pub(super) fn number(out: &mut dyn Write, before: &str, n: u32) -> fmt::Result {
    out.write_str(before)?;
    out.write_str(itoa::Buffer::new().format(n))
}

/// `1001..2461`.
pub(super) fn range(out: &mut dyn Write, from: u32, to: u32) -> fmt::Result {
    number(out, "", from)?;
    number(out, "..", to)
}

/// `1 byte`, `37 bytes`.
pub(super) fn bytes(out: &mut dyn Write, n: u32) -> fmt::Result {
    number(out, "", n)?;
    out.write_str(if n == 1 { " byte" } else { " bytes" })
}

/// A duration in one ASCII word, so that it can be typed into a filter: `98ms`, `40.2us`.
pub(super) fn tight(out: &mut dyn Write, before: &str, time: Duration) -> fmt::Result {
    let (whole, hundredths, unit) = Spoken(time).parts();
    out.write_str(before)?;
    decimal(out, whole, hundredths)?;
    out.write_str(if unit == "µs" { "us" } else { unit })
}

/// A duration the way people say it, as [`Spoken`] does.
pub(super) fn spoken(out: &mut dyn Write, before: &str, time: Duration) -> fmt::Result {
    let (whole, hundredths, unit) = Spoken(time).parts();
    out.write_str(before)?;
    decimal(out, whole, hundredths)?;
    out.write_char(' ')?;
    out.write_str(unit)
}

/// `1.05`, `1.5`, `15`.
fn decimal(out: &mut dyn Write, whole: u64, hundredths: u32) -> fmt::Result {
    out.write_str(itoa::Buffer::new().format(whole))?;
    if hundredths > 0 {
        number(out, ".", hundredths / 10)?;
    }
    if !hundredths.is_multiple_of(10) {
        number(out, "", hundredths % 10)?;
    }
    Ok(())
}

/// `10.77.0.2:80`, `[fd77::2]:80`.
pub(super) fn address(out: &mut dyn Write, before: &str, addr: SocketAddr) -> fmt::Result {
    out.write_str(before)?;
    let SocketAddr::V4(addr) = addr else { return write!(out, "{addr}") };
    let [a, b, c, d] = addr.ip().octets().map(u32::from);
    number(out, "", a)?;
    [b, c, d].into_iter().try_for_each(|n| number(out, ".", n))?;
    number(out, ":", addr.port().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tight_time_is_the_spoken_one_in_a_word() {
        for nanos in [0, 7, 999, 1_000, 1_500, 40_250, 98_000_000, 1_059_999_999, 7_000_000_000, u64::MAX] {
            let (mut text, time) = (String::new(), Duration::from_nanos(nanos));
            tight(&mut text, "rto=", time).unwrap();
            assert_eq!(text, format!("rto={}", Spoken(time)).replace(' ', "").replace('µ', "u"));
            text.clear();
            spoken(&mut text, "in ", time).unwrap();
            assert_eq!(text, format!("in {}", Spoken(time)));
        }
    }

    #[test]
    fn addresses_are_those_that_the_library_writes() {
        for addr in ["10.77.0.2:80", "255.255.255.255:65535", "[fd77::2]:80", "[::ffff:1.2.3.4]:1"] {
            let mut text = String::new();
            address(&mut text, "to ", addr.parse().unwrap()).unwrap();
            assert_eq!(text, format!("to {addr}"));
        }
    }
}

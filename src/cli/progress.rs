//! How far has a file been read? A bar on a terminal's stderr, and nothing anywhere else.

use std::io::{IsTerminal, Read, Result, Write};

/// Files that are smaller are read before anybody could look.
const LARGE: u64 = 32 << 20;
/// Columns of the bar.
const WIDTH: usize = 40;

/// A reader that shows how much of `length` bytes it has read.
pub struct Watched<R> {
    input: R,
    length: u64,
    read: u64,
    /// What the bar says, percent; `None` if there is none.
    shown: Option<u64>,
}

impl<R: Read> Watched<R> {
    /// Shows nothing for a small file, without a terminal, or if `quiet`.
    pub fn new(input: R, length: u64, quiet: bool) -> Watched<R> {
        let shown = length >= LARGE && !quiet && std::io::stderr().is_terminal();
        Watched { input, length, read: 0, shown: shown.then_some(0) }
    }
}

/// The bar of so many percent.
fn bar(percent: u64) -> String {
    let full = (percent as usize * WIDTH / 100).min(WIDTH);
    format!("\r[{}{}] {percent:>3} %", "█".repeat(full), " ".repeat(WIDTH - full))
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let n = self.input.read(buf)?;
        self.read += n as u64;
        if let Some(shown) = self.shown {
            let percent = self.read.saturating_mul(100) / self.length.max(1);
            let text = match n {
                0 => format!("\r{}\r", " ".repeat(WIDTH + 8)),
                _ if percent > shown => bar(percent),
                _ => return Ok(n),
            };
            self.shown = (n > 0).then_some(percent);
            // Nobody looks if that fails.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_the_file_holds() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let mut out = Vec::new();
        Watched::new(bytes.as_slice(), LARGE, false).read_to_end(&mut out).unwrap();
        assert!(out == bytes);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        for (percent, full) in [(0, 0), (50, 20), (100, 40), (120, 40)] {
            assert_eq!(bar(percent).matches('█').count(), full);
            assert_eq!(bar(percent).chars().take_while(|c| *c != ']').count(), WIDTH + 2);
        }
    }
}

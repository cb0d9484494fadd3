//! How do results look, as text and as pictures?

mod capture;
mod connection;
mod counts;
mod csv;
mod exchange;
mod fetched;
mod lab;
mod load;
mod page;
mod plot;
mod scale;
mod shares;
mod sockets;
mod spans;
mod svg;
mod table;
mod timeline;
mod top;
mod waterfall;
mod what_if;
mod xplot;

pub use capture::capture;
pub use counts::counts;
pub use csv::{CSV_START, csv_head, csv_lines};
pub use exchange::exchange;
pub use fetched::fetched;
pub use lab::{experiment, findings, verdict};
pub use load::{PERCENTILES, load};
pub use page::{PAGE_START, ROWS, lab_page, page};
pub use plot::plot;
pub use shares::shares;
pub use sockets::{SocketForm, SocketList};
pub use spans::{Span, Spans, spans};
pub use svg::svg;
pub use table::Table;
pub use timeline::{Phase, phases, timeline};
pub use top::{Frame, screen};
pub use waterfall::Waterfall;
pub use what_if::{trust, what_if};
pub use xplot::{Graph, XPLOT_START, xplot};

/// Whether text may carry colours.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Style {
    /// Use ANSI escape sequences.
    pub color: bool,
}

impl Style {
    /// No colours.
    pub const PLAIN: Style = Style { color: false };

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Something less important.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Something as it should be.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }
}

/// A count with its noun: `1 packet`, `2 packets`.
pub fn plural(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// What came from the network is shown without control characters, and not at any length.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut shown: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_target_cannot_write_to_the_terminal() {
        let text = printable(&format!("/\x1b[31m{}", "x".repeat(500)));
        assert!(!text.contains('\x1b') && text.chars().count() == 121);
    }
}

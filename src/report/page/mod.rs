//! How does a capture look as one page, to be read in any browser, without a network?
//!
//! The page holds everything itself: text that can be read without its script, a block of data, and the script that
//! draws it. Its content security policy allows exactly this style and this script, by their hashes, and nothing else;
//! what comes from a capture is text wherever it stands.

mod body;
mod data;
mod digest;
mod lab;
#[cfg(test)]
mod tests;

use crate::explain::{Summary, Trail};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
/// What draws, in the order in which it is read.
const SCRIPT: &str = concat!(
    "'use strict';\n{\n",
    include_str!("unpack.js"),
    include_str!("graph.js"),
    include_str!("table.js"),
    include_str!("page.js"),
    "}\n"
);
/// How every page begins: a file that begins so may be replaced by another page.
pub const PAGE_START: &str = "<!doctype html>\n<!-- tcpglass page -->\n";

pub use body::ROWS;
pub use lab::lab_page;

/// The page of a capture that is called `name`.
pub fn page(name: &str, summary: &Summary, trail: &Trail) -> String {
    let title = format!("{} · tcpglass", super::printable(name));
    let mut main = String::new();
    body::write(&mut main, name, summary);
    document(&title, &main, Some(&data::data(summary, trail)))
}

/// A whole document around `main`; with data there is also what draws it.
fn document(title: &str, main: &str, data: Option<&str>) -> String {
    document_with(title, main, data, &[])
}

/// The same, where `main` has style sheets of its own with these hashes.
fn document_with(title: &str, main: &str, data: Option<&str>, styles: &[String]) -> String {
    let (style, script) = (digest::source(STYLE), digest::source(SCRIPT));
    let more: String = styles.iter().map(|source| format!(" '{source}'")).collect();
    let mut out = PAGE_START.to_owned();
    let _ = write!(
        out,
        "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{style}'{more}; \
         script-src '{script}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{main}",
        escaped(title)
    );
    if let Some(data) = data {
        let _ = write!(
            out,
            "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n"
        );
    }
    out += "</body>\n</html>\n";
    out
}

/// Text as HTML shows it, in an element or in an attribute with quotes around it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c if c.is_control() && c != '\n' => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

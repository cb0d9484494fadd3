//! How do exchanges look in a spreadsheet? Comma-separated values (RFC 4180), one line each.

use crate::explain::{Connection, Exchange, Part};
use std::fmt::Write;

/// How each table begins.
pub const CSV_START: &str = "connection,client,server,method,target,";

/// The line of headings; times are in microseconds.
pub fn csv_head() -> String {
    let mut out = String::from(CSV_START);
    out += "status,progress,reused,first_frame,last_frame,bytes,start_us,total_us";
    for part in Part::ALL {
        let _ = write!(out, ",{}_us", part.word().replace('-', "_"));
    }
    out += "\r\n";
    out
}

/// A line for each exchange of a connection. The parts of a line sum up to its `total_us`.
pub fn csv_lines(c: &Connection) -> String {
    let mut out = String::new();
    for e in &c.exchanges {
        let ends = format!("{},{},{}", c.number, c.client, c.server);
        line(&mut out, &ends, e);
    }
    out
}

fn line(out: &mut String, ends: &str, e: &Exchange) {
    let status = e.status.map_or(String::new(), |status| status.to_string());
    let _ = write!(out, "{ends},{},{},{status},{}", quoted(&e.method), quoted(&e.target), e.progress.word());
    let micros: Vec<(Part, u64)> = e.parts.micros_from(e.start).collect();
    let total: u64 = micros.iter().map(|(_, us)| us).sum();
    let start = e.start.as_micros();
    let _ = write!(out, ",{},{},{},{},{start},{total}", e.reused, e.frames.0, e.frames.1, e.bytes);
    for part in Part::ALL {
        let us = micros.iter().find(|(p, _)| *p == part).map_or(0, |(_, us)| *us);
        let _ = write!(out, ",{us}");
    }
    *out += "\r\n";
}

/// What a stranger wrote: no quotes, line ends or formulas get out of their field.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\"").replace(['\r', '\n'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_stays_in_its_field() {
        assert_eq!(quoted("/a,b\"c\r\nd"), "\"/a,b\"\"c  d\"");
        assert_eq!(quoted("=cmd()"), "\"'=cmd()\"");
    }

    #[test]
    fn there_is_a_column_for_each_part() {
        let text = csv_head();
        assert_eq!(text.trim_end().split(',').count(), 13 + Part::ALL.len());
        assert!(text.contains(",peer_ack_delay_us,"));
    }
}

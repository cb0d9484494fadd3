//! How does a load look that was put on a server?

use super::timeline::{phases, timeline};
use super::{Style, Table, plural};
use crate::service::LoadReport;
use crate::time::Spoken;
use std::fmt::Write;

/// The shares of requests whose times are shown, percent.
pub const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 99.0, 99.9, 100.0];

/// Three digits at least, if there are so many.
fn figure(x: f64) -> String {
    let decimals = if x == 0.0 { 0 } else { (2 - x.log10().floor() as i32).clamp(0, 9) };
    format!("{x:.*}", decimals as usize)
}

/// Totals, a table of times, errors by kind, and what it cost in ports. `open_loop` says from when times count.
pub fn load(report: &LoadReport, open_loop: bool, style: Style) -> String {
    let seconds = report.elapsed().as_secs_f64();
    let per_second = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
    let mut out = String::new();
    let answered = report.answered();
    let statuses: Vec<String> = report.statuses.iter().map(|(status, n)| format!("{n}×{status}")).collect();
    let head = format!("{} answered in {}", plural(answered, "request"), Spoken(report.elapsed()));
    let _ = writeln!(
        out,
        "{}  {} per second, {} MB/s of bodies  {}",
        style.bold(&head),
        figure(per_second(answered)),
        figure(per_second(report.bytes) / 1e6),
        style.dim(&statuses.join(", "))
    );
    if report.failed() > 0 {
        let kinds: Vec<String> = report.errors.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let _ = writeln!(out, "{}", style.bad(&format!("failed: {}", kinds.join(", "))));
    }
    if report.unbegun > 0 {
        let text = format!(
            "{} fell due and were not begun: their times are those until the end",
            plural(report.unbegun, "request")
        );
        let _ = writeln!(out, "{}", style.bad(&text));
    }
    let mut headings = vec![String::new()];
    headings.extend(PERCENTILES.iter().map(|p| if *p == 100.0 { ">max".into() } else { format!(">{p} %") }));
    headings.push(">mean".into());
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    let from = if open_loop { "time, from when it was due" } else { "time, from when it was begun" };
    for (name, times) in [(from, &report.latency), ("handshake", &report.handshake)] {
        if times.count() > 0 {
            let mut cells = vec![name.to_owned()];
            cells.extend(PERCENTILES.iter().map(|p| Spoken(times.quantile(p / 100.0)).to_string()));
            cells.push(Spoken(times.mean()).to_string());
            table.row(cells);
        }
    }
    if !table.is_empty() {
        out += &table.render(style, "  ");
    }
    let _ = write!(
        out,
        "{}, {} open at a time at most, those that end included; of {} {} were in TIME-WAIT at most, {} at the end",
        plural(report.handshake.count(), "connection"),
        report.most_open,
        plural(report.ports as u64, "port"),
        report.most_time_wait,
        report.time_wait
    );
    if !report.port_wait.is_zero() {
        let _ = write!(out, "; {} waited for a port in all", Spoken(report.port_wait));
    }
    out.push('\n');
    let ledger = phases(&report.ledger);
    if !ledger.is_empty() {
        let _ = writeln!(out, "where the time of the answered went, together:");
        out += &timeline(&ledger, report.ledger.total(), style, "  ");
    }
    if report.pipelined + report.retried > 0 {
        let _ = writeln!(out, "{} pipelined, {} sent a second time", report.pipelined, report.retried);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_figures_are_not_rounded_away() {
        let shown = [0.0, 0.0004, 0.8, 12.34, 5678.9].map(figure);
        assert_eq!(shown, ["0", "0.000400", "0.800", "12.3", "5679"]);
    }
}

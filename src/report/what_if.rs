//! How does it look what would have happened? Before and after, and which part of the time moved.

use super::{Style, Table, plural, printable};
use crate::explain::{Exchange, Part, Parts, Summary};
use crate::time::{Duration, Spoken};
use crate::whatif::{Comparison, Scenario, TOLERANCE};
use std::fmt::Write;

/// Exchanges that a text shows.
const SHOWN: usize = 20;

/// `−60 ms`, `+1.2 s`, `0`.
fn moved(before: Duration, after: Duration) -> String {
    match before.cmp(&after) {
        std::cmp::Ordering::Equal => "·".into(),
        std::cmp::Ordering::Greater => format!("−{}", Spoken(before - after)),
        std::cmp::Ordering::Less => format!("+{}", Spoken(after - before)),
    }
}

/// The parts of all exchanges together.
pub(super) fn sums(summary: &Summary) -> Parts {
    summary.totals.parts
}

/// How far the model can be believed, in a sentence.
pub fn trust(comparison: &Comparison) -> String {
    let error = comparison.error * 100.0;
    match (comparison.exact, comparison.holds()) {
        (true, _) => "replayed as it was, every write passes at the microsecond at which it passed".into(),
        (false, true) => format!(
            "a model: replayed as it was it takes {} instead of {}, off by {error:.1} % (of the whole, of its exchanges, or of what was not thinking: the most)",
            Spoken(comparison.before.lasted),
            Spoken(comparison.observed),
        ),
        (false, false) => format!(
            "no conclusion: replayed as it was it takes {} instead of {}, off by {error:.0} % (of the whole, of its exchanges, or of what was not thinking: the most), and {:.0} % is the limit",
            Spoken(comparison.before.lasted),
            Spoken(comparison.observed),
            TOLERANCE * 100.0
        ),
    }
}

/// All of it as text.
pub fn what_if(scenario: &Scenario, comparison: &Comparison, changes: &[String], style: Style) -> String {
    let c = comparison;
    let writes: usize = scenario.talks.iter().flat_map(|t| &t.acts).map(Vec::len).sum();
    let losses: usize = scenario.talks.iter().map(|t| t.losses.len()).sum();
    let mut out = format!(
        "{}, {}, {} replayed; {}\n",
        plural(scenario.talks.len() as u64, "connection"),
        plural(writes as u64, "act"),
        match losses {
            1 => "1 loss".to_owned(),
            n => format!("{n} losses"),
        },
        // What is wrong with it is an error, and said there.
        if c.holds() { trust(c) } else { "nothing is concluded".into() }
    );
    for (number, why) in scenario.left_out.iter().take(5) {
        let _ = writeln!(out, "  connection {number} is left out: {why}");
    }
    for assumption in &c.assumptions {
        let _ = writeln!(out, "  assumed: {assumption}");
    }
    if c.pauses > 0 {
        let pauses = plural(c.pauses as u64, "pause");
        let _ =
            writeln!(out, "  assumed: {pauses} that does not show is as long as makes the replay come out");
    }
    if !c.holds() {
        return out;
    }
    let (before, after) = (c.before.lasted, c.after.lasted);
    let share = 100.0 * (after.as_secs_f64() / before.as_secs_f64().max(1e-9) - 1.0);
    let head = format!("{} → {}", Spoken(before), Spoken(after));
    let _ = writeln!(
        out,
        "\nwith {}: {} ({}, {share:+.0} %)\n",
        printable(&changes.join(" ")),
        style.bold(&head),
        moved(before, after)
    );
    let (was, is) = (sums(&c.before.summary), sums(&c.after.summary));
    let mut parts: Vec<Part> =
        Part::ALL.into_iter().filter(|p| !(was.of(*p) + is.of(*p)).is_zero()).collect();
    // What moved most comes first.
    parts.sort_by_key(|p| std::cmp::Reverse(was.of(*p).abs_diff(is.of(*p))));
    let mut table = Table::new(&["where time goes", ">before", ">after", ">moved"]);
    let mut row = |name: &str, was: Duration, is: Duration| {
        table.row([name.to_owned(), Spoken(was).to_string(), Spoken(is).to_string(), moved(was, is)]);
    };
    parts.iter().for_each(|p| row(p.word(), was.of(*p), is.of(*p)));
    row("all exchanges", was.total(), is.total());
    out += &table.render(style, "");
    exchanges(&mut out, c, style);
    out
}

fn exchanges(out: &mut String, c: &Comparison, style: Style) {
    let all = |s: &Summary| -> Vec<Exchange> {
        s.connections.iter().flat_map(|c| c.exchanges.iter().cloned()).collect()
    };
    let (was, is) = (all(&c.before.summary), all(&c.after.summary));
    if was.len() < 2 || was.len() != is.len() {
        return;
    }
    let mut table = Table::new(&["exchange", ">before", ">after", ">moved"]);
    for (was, is) in was.iter().zip(&is).take(SHOWN) {
        let [before, after] = [was, is].map(|e| e.end.saturating_sub(e.start));
        table.row([
            super::capture::name(was),
            Spoken(before).to_string(),
            Spoken(after).to_string(),
            moved(before, after),
        ]);
    }
    out.push('\n');
    *out += &table.render(style, "");
    if was.len() > SHOWN {
        let _ = writeln!(out, "… and {}", plural((was.len() - SHOWN) as u64, "more exchange"));
    }
}

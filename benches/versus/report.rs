//! Which runs are made, and what do they say? Alternating rounds, medians, ratios; a table, JSON and a drawing.

use super::{Outcome, Plan, Run, Subject, Work, ours, simulated};
use serde_json::json;
use std::fmt::Write as _;
use std::io;
use std::process::Command;

/// All runs of one kind.
struct Row {
    run: Run,
    rounds: Vec<(Outcome, f64)>,
}

/// Makes all runs of the plan and tells.
pub fn main(plan: &Plan) -> io::Result<()> {
    let (runs, left) = plan.runs();
    let mut rows: Vec<Row> = runs.iter().map(|&run| Row { run, rounds: Vec::new() }).collect();
    for round in 0..plan.rounds {
        for row in &mut rows {
            eprint!("\rround {} of {}: {:<40}", round + 1, plan.rounds, name(&row.run));
            match measure(&row.run, &plan.set) {
                Ok(outcome) => row.rounds.push(outcome),
                Err(e) => eprintln!("\n{}: {e}", name(&row.run)),
            }
        }
    }
    eprint!("\r{:<70}\r", "");
    let simulator = plan.wants_simulator().then(|| {
        let rounds = (0..plan.rounds).map(|_| simulated::packets_per_second(plan.seconds));
        median(rounds.collect())
    });
    let mut text = table(&rows);
    if let Some(rate) = simulator {
        let _ = writeln!(
            text,
            "the simulator, a bulk transfer: {rate:.0} packets of the wire a second of one core"
        );
    }
    print!("{text}");
    for (run, why) in &left {
        println!("skipped: {} {why}", name(run));
    }
    for (what, why) in [
        ("gVisor's netstack", "a Go program, and not part of this repository"),
        ("ipstack", "a crate on tokio, and not among the dependencies"),
    ] {
        println!("not run: {what}: {why}");
    }
    if let Some(out) = &plan.out {
        std::fs::create_dir_all(out)?;
        std::fs::write(out.join("versus.txt"), &text)?;
        std::fs::write(out.join("versus.json"), format!("{:#}\n", object(plan, &rows, simulator)))?;
        std::fs::write(out.join("versus.svg"), drawing(&rows))?;
        println!("\nwritten: {}", out.display());
    }
    Ok(())
}

fn measure(run: &Run, set: &[String]) -> io::Result<(Outcome, f64)> {
    let offload = if run.offload { "offload" } else { "plain" };
    let output = Command::new(std::env::current_exe()?)
        .args(["cell", run.subject.word(), &run.work.word(), offload])
        .args([run.seconds.to_string(), run.busy_poll.to_string()])
        .env(ours::SETTINGS, set.join(" "))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [rate, cpu, p50, p99, jain] = numbers[..] else {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(error.trim().to_owned()));
    };
    Ok((Outcome { rate, cpu, latency: [p50, p99] }, jain))
}

fn name(run: &Run) -> String {
    let plain = if run.offload { "" } else { ", no offload" };
    let busy = if run.busy_poll > 0 { ", busy-polling" } else { "" };
    format!("{} {}{plain}{busy}", run.subject.word(), run.work.word())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => f64::NAN,
        n => (numbers[(n - 1) / 2] + numbers[n / 2]) / 2.0,
    }
}

impl Row {
    fn median(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        median(self.rounds.iter().map(|(outcome, _)| of(outcome)).collect())
    }

    /// The median of the ratios of `of`, round by round, to those of `other`.
    fn ratio(&self, other: &Row, of: impl Fn(&Outcome) -> f64) -> f64 {
        let pairs = std::iter::zip(&self.rounds, &other.rounds);
        median(pairs.map(|((mine, _), (theirs, _))| of(mine) / of(theirs)).collect())
    }

    /// Whether the other is the same subject without the idle connections.
    fn is_beside(&self, other: &Row) -> bool {
        matches!(self.run.work, Work::Beside(_))
            && (other.run.work, other.run.offload) == (Work::In(1), true)
            && other.run.subject == self.run.subject
    }

    fn is_same_work(&self, other: &Row) -> bool {
        self.run.work == other.run.work
            && self.run.busy_poll == other.run.busy_poll
            && (self.run.offload == other.run.offload || other.run.subject == Subject::Linux)
    }
}

/// Rates of ours, and of the same subject, in the same work.
fn ratios<'a>(rows: &'a [Row], of: &'a Row) -> impl Iterator<Item = (&'a Row, f64)> {
    let ours = of.run.subject.is_ours();
    rows.iter()
        .filter(move |row| ours && row.is_same_work(of) && row.run.subject != of.run.subject)
        .filter(|row| row.run.subject == Subject::Ours || !row.run.subject.is_ours())
        .map(move |row| (row, of.ratio(row, |outcome| outcome.rate)))
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<34} {:>14} {:>16} {:>9} {:>9} {:>6}  {}\n",
        "", "rate", "server's CPU", "p50 µs", "p99 µs", "Jain", "ratios of rates"
    );
    for row in rows {
        let (rate, cpu) = (row.median(|o| o.rate), row.median(|o| o.cpu));
        let (rate, cpu) = match row.run.work.is_bulk() {
            true => (format!("{:.2} Gbit/s", rate * 8.0 / 1e9), format!("{cpu:.3} s/GB")),
            false => (format!("{rate:.0}/s"), format!("{cpu:.2} µs/request")),
        };
        let latency = |n: usize| match row.median(|o| o.latency[n]) {
            micros if micros > 0.0 => format!("{micros:.0}"),
            _ => String::new(),
        };
        let jain = match row.run.work {
            Work::In(2..) | Work::Out(2..) => {
                format!("{:.3}", median(row.rounds.iter().map(|r| r.1).collect()))
            }
            _ => String::new(),
        };
        let mut ratios: Vec<String> = ratios(rows, row)
            .map(|(other, ratio)| format!("{:.2}×{}", ratio, other.run.subject.word()))
            .collect();
        let alone = rows.iter().filter(|other| row.is_beside(other));
        ratios.extend(alone.map(|other| format!("{:.2} of alone", row.ratio(other, |o| o.rate))));
        let _ = writeln!(
            text,
            "{:<34} {rate:>14} {cpu:>16} {:>9} {:>9} {jain:>6}  {}",
            name(&row.run),
            latency(0),
            latency(1),
            ratios.join(" ")
        );
    }
    text
}

fn object(plan: &Plan, rows: &[Row], simulator: Option<f64>) -> serde_json::Value {
    let row = |row: &Row| {
        json!({
            "subject": row.run.subject.word(),
            "work": row.run.work.word(),
            "offload": row.run.offload,
            "busy_poll_us": row.run.busy_poll,
            "unit": if row.run.work.is_bulk() { "bytes/s, s/GB" } else { "requests/s, µs/request" },
            "rate": row.median(|o| o.rate),
            "cpu": row.median(|o| o.cpu),
            "p50_us": row.median(|o| o.latency[0]),
            "p99_us": row.median(|o| o.latency[1]),
            "rates": row.rounds.iter().map(|r| r.0.rate).collect::<Vec<_>>(),
            "ratios": ratios(rows, row).map(|(other, ratio)| json!({ "to": other.run.subject.word(), "rate": ratio })).collect::<Vec<_>>(),
        })
    };
    json!({
        "schema": "tcpglass.versus/1",
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "simulator_packets_per_second": simulator,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// Bars, those of one work together, each as a share of the longest of them.
fn drawing(rows: &[Row]) -> String {
    const BAR: f64 = 420.0;
    const LINE: usize = 18;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n",
        rows.len() * LINE + 20
    );
    for (n, row) in rows.iter().enumerate() {
        let same = rows.iter().filter(|other| other.run.work == row.run.work);
        let most = same.map(|other| other.median(|o| o.rate)).fold(0.0, f64::max);
        let rate = row.median(|o| o.rate);
        let (y, width) = (10 + n * LINE, if most > 0.0 { BAR * rate / most } else { 0.0 });
        let fill = match row.run.subject {
            subject if subject.is_ours() => "#2a7",
            Subject::Ceiling => "#bbb",
            _ => "#79b",
        };
        let shown = match row.run.work.is_bulk() {
            true => format!("{:.2} Gbit/s", rate * 8.0 / 1e9),
            false => format!("{rate:.0}/s"),
        };
        let text = y + 13;
        let _ = writeln!(svg, "<text x=\"8\" y=\"{text}\">{}</text>", name(&row.run));
        let _ =
            writeln!(svg, "<rect x=\"260\" y=\"{y}\" width=\"{width:.1}\" height=\"14\" fill=\"{fill}\"/>");
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{text}\">{shown}</text>", 266.0 + width);
    }
    svg += "</svg>\n";
    svg
}

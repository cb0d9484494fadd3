//! Which runs are made, and what do they say? Alternating rounds, medians, ratios; a table, JSON and a drawing.

use super::{Outcome, Plan, Run, Subject, Work, kernel, others, ours, simulated};
use serde_json::json;
use std::fmt::Write as _;
use std::io;
use std::process::Command;

/// All runs of one kind.
struct Row {
    run: Run,
    /// By round; none where it failed.
    rounds: Vec<Option<Outcome>>,
}

/// Makes all runs of the plan and tells.
pub fn main(plan: &Plan) -> io::Result<()> {
    let (mut runs, left) = plan.runs();
    let machine = machine();
    if runs.is_empty() && !plan.wants_simulator() {
        return Err(io::Error::other("nothing is to be measured"));
    }
    let mut failures = 0;
    for subject in [Subject::Gvisor, Subject::Ipstack] {
        if runs.iter().any(|run| run.subject == subject)
            && let Err(e) = others::build(subject)
        {
            eprintln!("building {}: {e}", subject.word());
            failures += 1;
            runs.retain(|run| run.subject != subject);
        }
    }
    let mut rows: Vec<Row> = runs.iter().map(|&run| Row { run, rounds: Vec::new() }).collect();
    for round in 0..plan.rounds {
        for row in &mut rows {
            eprint!("\rround {} of {}: {:<40}", round + 1, plan.rounds, name(&row.run));
            match measure(&row.run, &plan.set) {
                Ok(outcome) => row.rounds.push(Some(outcome)),
                Err(e) => {
                    eprintln!("\n{}: {e}", name(&row.run));
                    failures += 1;
                    row.rounds.push(None);
                }
            }
        }
    }
    eprint!("\r{:<70}\r", "");
    let simulator = plan.wants_simulator().then(|| {
        [false, true].map(|offload| {
            let rounds = (0..plan.rounds).map(|_| simulated::packets_per_second(plan.seconds, offload));
            median(rounds.collect())
        })
    });
    let mut text = format!("{machine}\n\n{}", table(&rows));
    if let Some([plain, offload]) = simulator {
        let _ = writeln!(
            text,
            "the simulator, a bulk transfer: {plain:.0} packets of the wire a second of one core, {offload:.0} with offload"
        );
    }
    print!("{text}");
    for (run, why) in &left {
        println!("skipped: {} {why}", name(run));
    }
    if let Some(out) = &plan.out {
        std::fs::create_dir_all(out)?;
        std::fs::write(out.join("versus.txt"), &text)?;
        std::fs::write(out.join("versus.json"), format!("{:#}\n", object(plan, &machine, &rows, simulator)))?;
        std::fs::write(out.join("versus.svg"), drawing(&rows))?;
        println!("\nwritten: {}", out.display());
    }
    match failures {
        0 => Ok(()),
        n => Err(io::Error::other(format!("{n} runs failed"))),
    }
}

/// Where this was measured, in a line.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    format!(
        "{cores} × {}, Linux {}, its bulk transfers send by {}, load {} before",
        model.map_or("processor", |(_, name)| name),
        read("/proc/sys/kernel/osrelease").trim(),
        kernel::congestion(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}

fn measure(run: &Run, set: &[String]) -> io::Result<Outcome> {
    let offload = if run.offload { "offload" } else { "plain" };
    let output = Command::new(std::env::current_exe()?)
        .args(["cell", run.subject.word(), &run.work.word(), offload])
        .args([run.seconds.to_string(), run.busy_poll.to_string()])
        .env(ours::SETTINGS, set.join(" "))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [rate, cpu, p50, p99, p999, jain] = numbers[..] else {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(error.trim().to_owned()));
    };
    Ok(Outcome { rate, cpu, latency: [p50, p99, p999], jain })
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
        median(self.rounds.iter().flatten().map(of).collect())
    }

    /// The median of the ratios of `of`, round by round, to those of `other`.
    fn ratio(&self, other: &Row, of: impl Fn(&Outcome) -> f64) -> f64 {
        let pairs = std::iter::zip(&self.rounds, &other.rounds);
        let both = pairs.filter_map(|(mine, theirs)| Some(of(mine.as_ref()?) / of(theirs.as_ref()?)));
        median(both.collect())
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
            // Answers to requests are no super-segments.
            && (self.run.offload == other.run.offload
                || other.run.subject == Subject::Linux
                || !self.run.work.is_bulk())
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
        "{:<34} {:>14} {:>16} {:>9} {:>9} {:>9} {:>6}  {}\n",
        "", "rate", "server's CPU", "p50 µs", "p99 µs", "p99.9 µs", "Jain", "ratios of rates"
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
                format!("{:.3}", row.median(|o| o.jain))
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
            "{:<34} {rate:>14} {cpu:>16} {:>9} {:>9} {:>9} {jain:>6}  {}",
            name(&row.run),
            latency(0),
            latency(1),
            latency(2),
            ratios.join(" ")
        );
    }
    text
}

fn object(plan: &Plan, machine: &str, rows: &[Row], simulator: Option<[f64; 2]>) -> serde_json::Value {
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
            "p999_us": row.median(|o| o.latency[2]),
            "jain": row.median(|o| o.jain),
            "rates": row.rounds.iter().map(|r| r.map(|o| o.rate)).collect::<Vec<_>>(),
            "cpus": row.rounds.iter().map(|r| r.map(|o| o.cpu)).collect::<Vec<_>>(),
            "ratios": ratios(rows, row).map(|(other, ratio)| json!({ "to": other.run.subject.word(), "rate": ratio })).collect::<Vec<_>>(),
        })
    };
    json!({
        "schema": "tcpglass.versus/2",
        "machine": machine,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "simulator_packets_per_second": simulator.map(|[plain, _]| plain),
        "simulator_packets_per_second_with_offload": simulator.map(|[_, offload]| offload),
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// Bars, those of one work on one kind of device together, each as a share of the longest of them.
fn drawing(rows: &[Row]) -> String {
    const BAR: f64 = 420.0;
    const LINE: usize = 18;
    const GAP: usize = 8;
    const HEAD: usize = 44;
    let kind = |row: &Row| {
        let bulk = row.run.work.is_bulk();
        (row.run.work, row.run.busy_poll, bulk && !row.run.offload && row.run.subject != Subject::Linux)
    };
    let colour = |subject: Subject| match subject {
        subject if subject.is_ours() => "#2a7",
        Subject::Ceiling => "#bbb",
        _ => "#79b",
    };
    let (mut y, mut bars) = (HEAD, String::new());
    for (n, row) in rows.iter().enumerate() {
        let same = rows.iter().filter(|other| kind(other) == kind(row));
        let most = same.map(|other| other.median(|o| o.rate)).fold(0.0, f64::max);
        let rate = row.median(|o| o.rate);
        if n > 0 && kind(row) != kind(&rows[n - 1]) {
            y += GAP;
        }
        let width = if most > 0.0 && rate > 0.0 { BAR * rate / most } else { 0.0 };
        let shown = match row.run.work.is_bulk() {
            _ if rate.is_nan() => "failed".to_owned(),
            true => format!("{:.2} Gbit/s", rate * 8.0 / 1e9),
            false => format!("{rate:.0}/s"),
        };
        let (text, fill) = (y + 13, colour(row.run.subject));
        let _ = writeln!(bars, "<text x=\"8\" y=\"{text}\">{}</text>", name(&row.run));
        let _ =
            writeln!(bars, "<rect x=\"260\" y=\"{y}\" width=\"{width:.1}\" height=\"14\" fill=\"{fill}\"/>");
        let _ = writeln!(bars, "<text x=\"{:.0}\" y=\"{text}\">{shown}</text>", 266.0 + width);
        y += LINE;
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"8\" y=\"18\">Rates; each group of bars has its own scale</text>\n",
        y + 10
    );
    let legend = [
        (Subject::Ours, "this stack"),
        (Subject::Ceiling, "ceiling of the device"),
        (Subject::Stock, "others"),
    ];
    for ((subject, word), x) in legend.into_iter().zip([300, 400, 550]) {
        let fill = colour(subject);
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"7\" width=\"12\" height=\"12\" fill=\"{fill}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"18\">{word}</text>", x + 18);
    }
    svg + &bars + "</svg>\n"
}

//! `tcpglass what-if`: how would it have gone under other settings?

use super::args::WhatIf;
use super::failure::{Exit, Failure};
use super::{Outcome, options, output, rehearsal, whole_file};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use tcpglass::explain::{ReadError, Summary};
use tcpglass::report;
use tcpglass::settings::Settings;
use tcpglass::whatif::{Comparison, End, Scenario, ScenarioError, what_if};

/// Replays the capture before and after; exit 6 if the replay does not come out as the capture.
pub fn run(args: WhatIf) -> Outcome {
    let shown = args.capture.display();
    let mut changes = args.set.clone();
    changes.extend(args.link.iter().flat_map(|l| l.split(',')).map(str::trim).filter(|l| !l.is_empty()).map(
        |l| {
            if l.starts_with("link.") { l.to_owned() } else { format!("link.{l}") }
        },
    ));
    if changes.is_empty() {
        return Err(Failure::usage("nothing is to be changed: add --set K=V or --link rtt=20ms"));
    }
    // Refused before anything is read.
    let mut tried = Settings::default();
    for change in &changes {
        tried.set(whose(change)?.1)?;
    }
    if let Some(path) = &args.trace {
        whole_file::writable(whole_file::CAPTURE, path)?;
        whole_file::is_not(whole_file::CAPTURE, path, &args.capture)?;
        if options::is_stdout(path) {
            return Err(Failure::usage("--trace - would be mixed with the result: name a file"));
        }
    }
    let described = args.capture.to_str().filter(|text| rehearsal::is_one(text) && !args.capture.exists());
    let input: Box<dyn Read> = if args.capture == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else if let Some(text) = described {
        Box::new(rehearsal::capture(text)?)
    } else {
        let file = File::open(&args.capture);
        Box::new(file.map_err(|e| Failure::usage(format_args!("cannot open capture {shown}: {e}")))?)
    };
    let connection = args.connection.map(|n| n as usize);
    let scenario = Scenario::read(input, connection, args.infer).map_err(|e| match e {
        ScenarioError::Read(ReadError::Io(e)) => {
            Failure::failed(format_args!("cannot read capture {shown}: {e}"))
        }
        ScenarioError::Read(e) => Failure::usage(format_args!("{shown} is no capture: {e}")),
        e => Failure::failed(format_args!("{shown}: {e}")),
    })?;
    let changed = |end: End, settings: &mut Settings| {
        for (whose, change) in changes.iter().filter_map(|change| whose(change).ok()) {
            // Each was taken before; whether they fit together is checked below.
            if whose.is_none_or(|whose| whose == end) {
                let _ = settings.set(change);
            }
        }
    };
    for (end, settings) in [End::Client, End::Server].into_iter().zip(&scenario.settings) {
        let mut settings = settings.clone();
        changed(end, &mut settings);
        settings.check()?;
    }
    let comparison = what_if(&scenario, changed).map_err(|e| Failure::new(Exit::Claim, e))?;
    if let Some(path) = &args.trace {
        whole_file::write(whole_file::CAPTURE, path, &comparison.after.capture)?;
    }
    if args.output.json {
        output::json(&object(&scenario, &comparison, &changes))?;
    } else {
        let style = output::stdout_style(&args.output);
        output::result(&report::what_if(&scenario, &comparison, &changes, style))?;
    }
    match comparison.holds() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Failure::new(Exit::Claim, report::trust(&comparison))),
    }
}

/// Of which end `client:tcp.nagle=off` speaks, and of what; without a name it is of both. There is one link.
fn whose(change: &str) -> Result<(Option<End>, &str), Failure> {
    let (end, rest) = match change.split_once(':') {
        Some(("client", rest)) => (Some(End::Client), rest),
        Some(("server", rest)) => (Some(End::Server), rest),
        _ => return Ok((None, change)),
    };
    if rest.starts_with("link.") {
        return Err(Failure::usage(format_args!(
            "{change}: both ends have the same link: leave out whose it is"
        )));
    }
    Ok((end, rest))
}

fn object(scenario: &Scenario, c: &Comparison, changes: &[String]) -> Value {
    let us = |t: tcpglass::time::Duration| t.as_micros() as u64;
    let holds = c.holds();
    let played = |played: &tcpglass::whatif::Played| json!({ "total_us": us(played.lasted), "ledger_us": ledger(&played.summary) });
    json!({
        "schema": "tcpglass.what-if/1",
        "changes": changes,
        "connections": scenario.talks.len(),
        "left_out": scenario.left_out.iter().map(|(n, why)| json!({ "connection": n, "why": why })).collect::<Vec<_>>(),
        "losses": scenario.talks.iter().map(|t| t.losses.len()).sum::<usize>(),
        "seed": scenario.seed,
        "settings_known": scenario.known,
        "assumptions": c.assumptions,
        "pauses": c.pauses,
        "observed_us": us(c.observed),
        "error": c.error,
        "exact": c.exact,
        "concluded": holds,
        "before": played(&c.before),
        "after": if holds { played(&c.after) } else { Value::Null },
    })
}

/// The parts of all exchanges together.
fn ledger(summary: &Summary) -> Value {
    let parts: serde_json::Map<_, _> =
        summary.totals.parts.micros().map(|(part, us)| (part.word().to_owned(), us.into())).collect();
    parts.into()
}

//! `tcpglass lab`: do the claims hold?

use super::args::Lab;
use super::failure::{Exit, Failure, say};
use super::{Outcome, options, output, whole_file};
use anyhow::Context as _;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tcpglass::knob::nearest;
use tcpglass::lab::{Cell, EXPERIMENTS, Expected, Experiment, Findings, Quantity, Row, Setup};
use tcpglass::report;
use tcpglass::trace::ledger;

/// Runs experiments; exit 6 if one does not come out as its plan says.
pub fn run(args: Lab) -> Outcome {
    let settings = options::settings(&args.settings)?;
    let (words, names): (Vec<&String>, Vec<&String>) =
        args.names.iter().partition(|name| ["all", "list"].contains(&name.as_str()));
    let mut experiments: Vec<&Experiment> =
        names.into_iter().map(|name| find(name)).collect::<Result<_, _>>()?;
    let all = words.iter().any(|word| *word == "all");
    if all || experiments.is_empty() {
        experiments = EXPERIMENTS.iter().collect();
    }
    if words.iter().any(|word| *word == "list") {
        return list(&args, &experiments);
    }
    if all && args.tun {
        let (these, others): (Vec<_>, Vec<_>) = experiments.into_iter().partition(|e| !e.tun.is_empty());
        for experiment in others {
            say(&format!("skipped: {} needs virtual time, and no kernel has that", experiment.name));
        }
        experiments = these;
    }
    let sweep = sweep(&args)?;
    for (name, _) in &sweep {
        usable(name, &experiments)?;
    }
    for name in settings.turned() {
        takes(name, &experiments)?;
    }
    if let Some(directory) = &args.out {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let pages = pages(&args, &experiments)?;
    let (seed, style) = (options::simulator_seed(&args.settings), output::stdout_style(&args.output));
    let (mut objects, mut surprising, mut untold) = (Vec::new(), 0, 0);
    for (i, experiment) in experiments.iter().enumerate() {
        // With several experiments, each is swept over what it can be.
        let sweep = sweep.iter().filter(|(name, _)| experiment.can_sweep(name).is_ok()).cloned().collect();
        let (settings, captures) = (settings.clone(), args.out.clone());
        let setup = Setup {
            settings,
            seed,
            sweep,
            tun: args.tun,
            ipv6: args.ipv6,
            captures,
            keep_all: args.keep_all,
        };
        let findings = match experiment.run(&setup) {
            Err(error) if error.is_usage() => {
                return Err(Failure::usage(format_args!("lab {}: {error}", experiment.name)));
            }
            found => found.with_context(|| format!("experiment {}", experiment.name))?,
        };
        surprising += usize::from(findings.surprises() > 0 || findings.expectations() == 0);
        untold += findings.untold();
        let object = object(experiment, &findings);
        if let Some(directory) = &args.out {
            keep(&directory.join(experiment.name), experiment, &findings, seed, &object)?;
        }
        if let Some(path) = pages.get(i) {
            let page = report::lab_page(experiment, &findings);
            whole_file::write(whole_file::PAGE, path, page.as_bytes())?;
        }
        if args.output.json {
            objects.push(object);
        } else {
            let gap = if i > 0 { "\n" } else { "" };
            output::result(&format!("{gap}{}", report::findings(experiment, &findings, style)))?;
        }
    }
    if let Some(directory) = args.out.as_ref().filter(|_| !args.keep_all) {
        let told = format!(
            "captures in {} hold the first {} packets of each arm, and the beginning of each; --keep-all keeps everything\n",
            directory.display(),
            tcpglass::lab::PACKETS
        );
        output::note(&args.output, &told);
    }
    if untold > 0 {
        let told = format!(
            "of {untold} expectations nothing can be told: this machine was too busy; they say nothing about TCP\n"
        );
        output::note(&args.output, &told);
    }
    if args.output.json {
        output::json(&whole(seed, &objects))?;
    }
    match surprising {
        0 => Ok(ExitCode::SUCCESS),
        n => Err(Failure::new(
            Exit::Claim,
            format_args!("{n} of {} experiments did not come out as expected", experiments.len()),
        )),
    }
}

/// Where the page of each experiment goes: to the file that was named, with its name in front of the end if there are several.
fn pages(args: &Lab, experiments: &[&Experiment]) -> Result<Vec<PathBuf>, Failure> {
    let Some(path) = &args.html else { return Ok(Vec::new()) };
    if options::is_stdout(path) {
        return Err(Failure::usage("--html -: results are on standard output; name a file"));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let end = path.extension().map_or_else(|| "html".into(), |end| end.to_string_lossy().into_owned());
    let pages: Vec<PathBuf> = match experiments {
        [_] => vec![path.clone()],
        several => several.iter().map(|e| path.with_file_name(format!("{stem}-{}.{end}", e.name))).collect(),
    };
    for page in &pages {
        whole_file::writable(whole_file::PAGE, page)?;
    }
    Ok(pages)
}

/// `--sweep`, `--rtt` and `--size` as names and values.
fn sweep(args: &Lab) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let mut sweep: Vec<(String, Vec<String>)> = Vec::new();
    let short = [("rtt", &args.rtt), ("size", &args.size)];
    let short = short.into_iter().filter_map(|(name, v)| v.as_ref().map(|v| format!("{name}={v}")));
    for text in args.sweep.iter().cloned().chain(short) {
        let wrong = |why: &str| Failure::usage(format_args!("--sweep {text}: {why}"));
        let (name, values) = text.split_once('=').ok_or_else(|| wrong("write NAME=VALUE,VALUE"))?;
        let name = name.trim();
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
        if values.iter().any(String::is_empty) {
            return Err(wrong("a value is empty"));
        }
        if sweep.iter().any(|(known, _)| known == name) {
            return Err(wrong("given twice"));
        }
        sweep.push((name.to_owned(), values));
    }
    Ok(sweep)
}

/// Refuses what none of the experiments can be swept over.
fn usable(name: &str, experiments: &[&Experiment]) -> Result<(), Failure> {
    let mut why = None;
    for experiment in experiments {
        match experiment.can_sweep(name) {
            Ok(()) => return Ok(()),
            Err(error) => why = why.or(Some(error)),
        }
    }
    why.map_or(Ok(()), |why| Err(Failure::usage(format_args!("--sweep {name}: {why}"))))
}

/// Refuses a knob that all of the experiments turn themselves; where only some do, says so.
fn takes(knob: &str, experiments: &[&Experiment]) -> Result<(), Failure> {
    let sets: Vec<&str> = experiments.iter().filter(|e| e.sets(knob)).map(|e| e.name).collect();
    if sets.len() == experiments.len() {
        let (who, turn) = if sets.len() == 1 { (sets[0], "turns") } else { ("they all", "turn") };
        return Err(Failure::usage(format_args!(
            "{knob} has no effect here: {who} {turn} it, since the plan needs it"
        )));
    }
    if !sets.is_empty() {
        say(&format!("{knob} has no effect in {}", sets.join(", ")));
    }
    Ok(())
}

/// Writes the drawing and the findings beside the captures.
fn keep(
    directory: &Path,
    experiment: &Experiment,
    findings: &Findings,
    seed: u64,
    object: &Value,
) -> Result<(), Failure> {
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(figure) = &findings.figure {
        write("figure.svg", report::svg(experiment.name, experiment.question, figure))?;
    }
    if let Some(picture) = report::shares(experiment.name, findings) {
        write("ledger.svg", picture)?;
    }
    write("findings.json", format!("{:#}\n", whole(seed, std::slice::from_ref(object))))?;
    Ok(())
}

fn whole(seed: u64, experiments: &[Value]) -> Value {
    json!({ "schema": "tcpglass.lab/2", "seed": seed, "experiments": experiments })
}

fn find(name: &str) -> Result<&'static Experiment, Failure> {
    EXPERIMENTS.iter().find(|e| e.name == name).ok_or_else(|| {
        let near = nearest(name, EXPERIMENTS.iter().map(|e| e.name).chain(["list", "all"]));
        let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        Failure::usage(format_args!("unknown experiment {name:?}: {hint}(tcpglass lab list shows them)"))
    })
}

fn list(args: &Lab, experiments: &[&Experiment]) -> Outcome {
    if args.output.json {
        let list: Vec<_> = (experiments.iter())
            .map(|e| {
                let claims = e.claims.iter();
                let claims = claims.map(|c| json!({ "name": c.name, "says": c.says, "source": c.source }));
                let axes = e.axes.iter().map(|a| (a.name.to_owned(), Value::from(a.values)));
                json!({
                    "name": e.name,
                    "question": e.question,
                    "claims": claims.collect::<Vec<_>>(),
                    "axes": axes.collect::<Map<_, _>>(),
                    "tun": e.tun.iter().map(|a| (a.name.to_owned(), Value::from(a.values))).collect::<Map<_, _>>(),
                    "turns": e.turned().collect::<Vec<_>>(),
                })
            })
            .collect();
        output::json(&json!({ "schema": "tcpglass.lab-list/1", "experiments": list }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let style = output::stdout_style(&args.output);
    let shown: Vec<String> =
        experiments.iter().map(|experiment| report::experiment(experiment, style)).collect();
    output::result(&shown.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn object(experiment: &Experiment, findings: &Findings) -> Value {
    let claims: Vec<Value> = (experiment.claims.iter().zip(&findings.conclusions))
        .map(|(claim, found)| {
            json!({
                "name": claim.name,
                "says": claim.says,
                "source": claim.source,
                "verdict": found.verdict().to_string(),
                "held": found.held,
                "of": found.of,
                "late": found.late,
                "numbers": found.numbers,
            })
        })
        .collect();
    json!({
        "name": experiment.name,
        "question": experiment.question,
        "claims": claims,
        "held": findings.hold(),
        "expectations": findings.expectations(),
        "surprises": findings.surprises(),
        "untold": findings.untold(),
        "arms": findings.rows.iter().map(row_object).collect::<Vec<_>>(),
    })
}

fn row_object(row: &Row) -> Value {
    let varied: Map<_, _> = row.varied.iter().map(|(name, v)| (name.clone(), v.clone().into())).collect();
    let measured: Map<_, _> = row.cells.iter().map(|c| (c.name.to_owned(), cell_object(c))).collect();
    let mut object = json!({
        "varied": varied,
        "measured_from_us": row.from.as_micros() as u64,
        "measured": measured,
        "held": row.holds(),
    });
    if row.late {
        object["machine_was_late"] = true.into();
    }
    if let Some(parts) = &row.ledger {
        object["ledger_us"] = ledger(parts);
    }
    if !row.captures.is_empty() {
        let captures = row.captures.iter().map(|c| (c.host.to_owned(), Value::from(c.file.clone())));
        object["captures"] = captures.collect::<Map<_, _>>().into();
    }
    object
}

fn cell_object(cell: &Cell) -> Value {
    let (unit, value) = quantity(cell.value);
    let mut object = json!({ "unit": unit, "value": value });
    match cell.expected {
        Expected::Anything => {}
        Expected::Exactly(expected) => object["expected"] = quantity(expected).1,
        Expected::Between(low, high) => object["expected"] = json!([quantity(low).1, quantity(high).1]),
    }
    object
}

/// Times in whole microseconds, counts as integers.
fn quantity(quantity: Quantity) -> (&'static str, Value) {
    match quantity {
        Quantity::Time(d) => ("us", (d.as_micros() as u64).into()),
        Quantity::Count(n) => ("count", n.into()),
        Quantity::Bytes(n) => ("bytes", n.into()),
        Quantity::Share(x) => ("share", x.into()),
        Quantity::Rate(x) => ("bit/s", x.into()),
        Quantity::Factor(x) => ("times", x.into()),
        Quantity::PerSecond(x) => ("/s", x.into()),
        Quantity::Word(word) => ("word", word.into()),
    }
}

//! `tcpglass lab`: do the claims hold?

use super::args::Lab;
use super::failure::{Exit, Failure};
use super::{Outcome, options, output};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::process::ExitCode;
use tcpglass::knob::nearest;
use tcpglass::lab::{EXPERIMENTS, Experiment, Findings, Run};
use tcpglass::report::{self, Table};

/// Runs experiments; exit 6 if a claim does not hold.
pub fn run(args: Lab) -> Outcome {
    let settings = options::settings(&args.settings)?;
    if args.names.iter().any(|n| n == "list") {
        return list(&args);
    }
    let experiments: Vec<&Experiment> = if args.names.iter().any(|n| n == "all") {
        EXPERIMENTS.iter().collect()
    } else {
        args.names.iter().map(|name| find(name)).collect::<Result<_, _>>()?
    };
    let (seed, style) = (options::simulator_seed(&args.settings), output::stdout_style(&args.output));
    let (mut objects, mut refuted) = (Vec::new(), 0);
    for (i, experiment) in experiments.iter().enumerate() {
        let findings =
            (experiment.run(&settings, seed)).with_context(|| format!("experiment {}", experiment.name))?;
        refuted += usize::from(!findings.hold());
        if args.output.json {
            objects.push(object(experiment, &findings));
        } else {
            let gap = if i > 0 { "\n" } else { "" };
            output::result(&format!("{gap}{}", report::findings(experiment, &findings, style)))?;
        }
    }
    if args.output.json {
        output::json(&json!({ "schema": "tcpglass.lab/1", "seed": seed, "experiments": objects }))?;
    }
    match refuted {
        0 => Ok(ExitCode::SUCCESS),
        n => Err(Failure::new(Exit::Claim, format_args!("{n} of {} claims did not hold", experiments.len()))),
    }
}

fn find(name: &str) -> Result<&'static Experiment, Failure> {
    EXPERIMENTS.iter().find(|e| e.name == name).ok_or_else(|| {
        let near = nearest(name, EXPERIMENTS.iter().map(|e| e.name).chain(["list", "all"]));
        let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        Failure::usage(format_args!("unknown experiment {name:?}: {hint}(tcpglass lab list shows them)"))
    })
}

fn list(args: &Lab) -> Outcome {
    if args.output.json {
        let list: Vec<_> = (EXPERIMENTS.iter())
            .map(|e| json!({ "name": e.name, "question": e.question, "claim": e.claim, "turns": e.turns }))
            .collect();
        output::json(&json!({ "schema": "tcpglass.lab-list/1", "experiments": list }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["experiment", "question"]);
    for experiment in EXPERIMENTS {
        table.row([experiment.name, experiment.question]);
    }
    output::result(&table.render(output::stdout_style(&args.output), ""))?;
    Ok(ExitCode::SUCCESS)
}

fn object(experiment: &Experiment, findings: &Findings) -> Value {
    json!({
        "name": experiment.name,
        "question": experiment.question,
        "claim": experiment.claim,
        "held": findings.hold(),
        "worst_deviation_us": findings.worst().as_micros() as u64,
        "runs": findings.runs.iter().map(run_object).collect::<Vec<_>>(),
    })
}

fn run_object(run: &Run) -> Value {
    let varied: serde_json::Map<_, _> =
        run.varied.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
    let counts: serde_json::Map<_, _> =
        run.counts.iter().map(|(name, n)| ((*name).to_owned(), (*n).into())).collect();
    json!({
        "varied": varied,
        "claimed_us": run.expected.as_micros() as u64,
        "measured_us": run.measured.as_micros() as u64,
        "counts": counts,
        "held": run.holds(),
    })
}

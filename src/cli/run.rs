//! `tcpglass run`: how does COMMAND fare when this stack is all the network it has?

use super::args;
use super::child::{Passed, exit_code};
use super::failure::say;
use super::options::{self, Recording};
use super::stage::{self, Stage};
use super::tally;
use super::visit;
use super::{Outcome, attached, output};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tcpglass::report;
use tcpglass::service::Tally;
use tcpglass::trace::{Counts, Direction};

/// How long connections may take to close after COMMAND has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Runs COMMAND, or without one three requests, and tells what went over the network.
pub fn run(args: args::Run) -> Outcome {
    let (settings, recording) = (options::settings(&args.settings)?, options::recording(&args.trace)?);
    let stage = Stage {
        queues: options::queues(args.queues, &settings, &recording)?,
        settings,
        network: options::network(&args.net)?,
        recording,
        seed: options::network_seed(&args.settings),
        dns: Vec::new(),
    };
    let root = args.root.as_deref().map(|d| options::directory("--root", d)).transpose()?;
    let command = match args.command.split_first() {
        Some((name, rest)) => Some((options::program(name)?, rest)),
        None => None,
    };

    // Until here nothing was created; from here on nothing is left behind but the records.
    let claim = attached::claim(&args.output);
    if let Some(warning) = stage.enter()? {
        say(&format!("{warning}; the name {} is not known to COMMAND", stage::NAME));
    }
    let device = stage.open(None)?;
    let mut servers = stage.servers(root.as_deref());
    let started = device.start_each(servers.take())?;
    servers.listening(stage.network.addrs.len())?;
    let _door = attached::open(claim, "run", &stage, &started, &args.output);

    let result = match command {
        Some((program, rest)) => {
            // A capture on standard output must not be mixed with what COMMAND prints.
            let stdout =
                if stage.recording.uses_stdout() { std::io::stderr().into() } else { Stdio::inherit() };
            Passed::spawn(&program, rest, stdout, false).and_then(Passed::wait).map(exit_code)
        }
        None => three_requests(SocketAddr::new(stage.network.addrs[0].0, 80)),
    };
    let counts = started.finish(GRACE)?;
    let tally = servers.tally()?;
    tell(&args.output, &tally, &counts, &stage.recordings());
    result
}

fn three_requests(server: SocketAddr) -> Outcome {
    let mut text = String::new();
    for visit in visit::visit(server)? {
        text += &format!(
            "{} → {}, {}\n",
            visit.request,
            visit.status,
            report::plural(visit.bytes as u64, "byte")
        );
    }
    output::result(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// On stderr: what COMMAND prints is the result.
fn tell(args: &args::OutputArgs, tally: &Tally, counts: &Counts, recordings: &[Recording]) {
    let captures: Vec<&Path> = (recordings.iter())
        .flat_map(|recording| [&recording.trace, &recording.events].into_iter().flatten())
        .map(|p| p.as_path())
        .collect();
    if args.json {
        let words: Vec<_> = (counts.clone().sorted().rows.iter())
            .map(|(word, direction, n)| json!({ "word": word, "sent": *direction == Direction::Out, "packets": n }))
            .collect();
        let object = json!({
            "schema": "tcpglass.run/3",
            "http": tally::object(tally),
            "packets": words,
            "written": captures.iter().map(|p| p.display().to_string()).collect::<Vec<_>>(),
        });
        output::aside(&format!("{object}\n"));
        return;
    }
    let style = output::stderr_style(args);
    let mut text = format!("\n{}\n{}", tally::text(tally, style), report::counts(counts, style));
    for path in captures.iter().filter(|p| !options::is_stdout(p)) {
        text += &format!("\nwritten: {}", path.display());
    }
    let trace = recordings.iter().find_map(|recording| recording.trace.as_deref());
    if let Some(path) = trace.filter(|p| !options::is_stdout(p)) {
        text += &format!("  (wireshark {0}, or tcpglass explain {0})", path.display());
    }
    output::note(args, &(text.trim_end().to_owned() + "\n"));
}

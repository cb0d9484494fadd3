//! `tcpglass serve`: how does the HTTP server run on a TUN device of this host?

use super::args::{OutputArgs, Serve};
use super::failure::{Failure, say};
use super::stage::Stage;
use super::tally;
use super::{Outcome, attached, options, output};
use anyhow::Context as _;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::Duration;
use tcpglass::report::{self, plural, printable};
use tcpglass::service::{Exchange, HttpServer, Tally};
use tcpglass::trace::Direction;

/// How long open exchanges may take after the signal to end.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until SIGINT or SIGTERM, then finishes what is open. A second signal ends it at once.
pub fn run(args: Serve) -> Outcome {
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

    // Signals are caught before there is anything to end.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot catch SIGINT and SIGTERM")?;
    let device = stage.open(Some(&args.name))?;
    let claim = attached::claim(&args.output);
    let mut servers = stage.servers(root.as_deref());
    let told = if args.output.verbose { &mut servers.made[..] } else { &mut [] };
    let lines: Vec<_> = told.iter_mut().map(|server| tell_each(server, &args.output)).collect();
    let started = device.start_each(servers.take())?;
    servers.listening(stage.network.addrs.len())?;
    let _door = attached::open(claim, "serve", &stage, &started, &args.output);
    let urls: Vec<String> = stage.network.addrs.iter().map(|(ip, _)| url(*ip)).collect();
    output::note(
        &args.output,
        &format!("serving {} on {}; SIGINT ends it\n", urls.join(" and "), started.device),
    );

    let first = signals.forever().next();
    std::thread::spawn(move || {
        if let Some(second) = signals.forever().next() {
            say("ended at once by a second signal; the capture ends at its last whole block");
            std::process::exit(128 + second);
        }
    });
    if first.is_some() {
        output::note(&args.output, &format!("finishing open exchanges, for {} s at most\n", GRACE.as_secs()));
    }
    let counts = started.finish(GRACE)?;
    for lines in lines {
        lines.join().map_err(|_| Failure::failed("the lines of the last exchanges were lost"))?;
    }
    let tally = servers.tally()?;
    let packets = |wanted| counts.rows.iter().filter(|r| r.1 == wanted).map(|r| r.2).sum::<u64>();
    let (sent, received) = (packets(Direction::Out), packets(Direction::In));
    tell(&args.output, &tally, sent, received, &report::counts(&counts, output::stderr_style(&args.output)))
}

/// Writes a line for each exchange, in a thread of its own until the server is gone.
fn tell_each(server: &mut HttpServer, args: &OutputArgs) -> JoinHandle<()> {
    let (exchanges, args) = (server.exchanges(), args.clone());
    std::thread::spawn(move || exchanges.iter().for_each(|e| output::note(&args, &line(&e))))
}

fn tell(args: &OutputArgs, tally: &Tally, sent: u64, received: u64, counts: &str) -> Outcome {
    if args.json {
        let object = json!({ "schema": "tcpglass.serve/3", "http": tally::object(tally), "sent": sent, "received": received });
        output::json(&object)?;
    } else {
        let packets = format!("{} sent, {received} received", plural(sent, "packet"));
        output::note(args, &format!("{}{packets}\n\n{counts}", tally::totals(tally)));
    }
    Ok(ExitCode::SUCCESS)
}

fn url(ip: std::net::IpAddr) -> String {
    match ip {
        std::net::IpAddr::V4(ip) => format!("http://{ip}/"),
        std::net::IpAddr::V6(ip) => format!("http://[{ip}]/"),
    }
}

fn line(e: &Exchange) -> String {
    let took = e.last_byte.map_or(Duration::ZERO, |at| at.since(e.started));
    let took = tcpglass::time::Spoken(took);
    format!("{} {} {} {} {} {took}\n", e.remote, e.method, printable(&e.target), e.status, e.bytes)
}

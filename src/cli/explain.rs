//! `tcpglass explain`: what is in a capture?

use super::args::Explain;
use super::failure::{Failure, say};
use super::progress::Watched;
use super::settled::{Settled, Until};
use super::{Outcome, options, output, whole_file};
use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tcpglass::explain::{Options, ReadError, Seen, Trail, follow};
use tcpglass::report;

/// Reads the capture and prints its summary. A damaged file is an error after all that could be read.
pub fn run(args: Explain) -> Outcome {
    let shown = args.capture.display();
    for (kind, path) in [(whole_file::PAGE, &args.html), (whole_file::CSV, &args.csv)] {
        if let Some(path) = path {
            whole_file::writable(kind, path)?;
            whole_file::is_not(kind, path, &args.capture)?;
        }
    }
    if args.output.json && args.html.as_ref().is_some_and(|path| options::is_stdout(path)) {
        return Err(Failure::usage("--json and --html - would mix on standard output: name a file"));
    }
    let input: Box<dyn Read> = if args.capture == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(&args.capture)
            .map_err(|e| Failure::usage(format_args!("cannot open capture {shown}: {e}")))?;
        let length = file.metadata().map_or(0, |m| m.len());
        Box::new(Watched::new(file, length, args.output.quiet))
    };
    let options = Options {
        infer: args.infer,
        connection: args.connection.map(|n| n as usize),
        filter: args.filter.clone(),
        keep: report::ROWS,
    };
    let stop = Cell::new(false);
    let mut settled = Settled::new(args.output.json, args.csv.as_ref(), &stop);
    let mut trail = (args.html.is_some() || args.xplot.is_some()).then(Trail::default);
    let summary = follow(Until(input, &stop), options, &mut |seen| match seen {
        Seen::Packet(caused) => trail.iter_mut().for_each(|trail| trail.add(&caused)),
        Seen::Connection(connection) => settled.add(connection),
        Seen::Event { .. } | Seen::About(_) => {}
    })
    .map_err(|e| match e {
        ReadError::Io(e) => Failure::failed(format_args!("cannot read capture {shown}: {e}")),
        ReadError::NotACapture(why) => Failure::usage(format_args!("{shown} is no capture: {why}")),
    })?;
    if let Some(n) = args.connection {
        let found = summary.seen;
        if n as usize > found {
            return Err(Failure::usage(format_args!(
                "there is no connection {n} in {shown}: it has {found}"
            )));
        }
    }
    if let (Some(path), Some(trail)) = (&args.html, &trail) {
        let name = args.capture.file_name().unwrap_or_default().to_string_lossy();
        let page = report::page(&name, &summary, trail);
        whole_file::write(whole_file::PAGE, path, page.as_bytes())?;
    }
    if let (Some(prefix), Some(trail)) = (&args.xplot, &trail) {
        let graphs = report::xplot(&summary, trail);
        let path = |graph: &report::Graph| {
            let way = if graph.from_client { "up" } else { "down" };
            let mut path = prefix.clone().into_os_string();
            path.push(format!("-{}-{way}.xpl", graph.connection));
            PathBuf::from(path)
        };
        // All of them or none.
        for path in graphs.iter().map(path) {
            whole_file::writable(whole_file::XPLOT, &path)?;
            whole_file::is_not(whole_file::XPLOT, &path, &args.capture)?;
        }
        for graph in &graphs {
            whole_file::write(whole_file::XPLOT, &path(graph), graph.text.as_bytes())?;
        }
    }
    settled.finish(&summary)?;
    if !args.output.json
        && ![&args.html, &args.csv].into_iter().flatten().any(|path| options::is_stdout(path))
    {
        output::result(&report::capture(&summary, output::stdout_style(&args.output)))?;
    }
    match &summary.damage {
        None => Ok(ExitCode::SUCCESS),
        Some(damage) => {
            say(&format!("{shown} is damaged: {damage}"));
            Ok(super::failure::Exit::Failed.into())
        }
    }
}

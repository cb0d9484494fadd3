//! `tcpglass explain`: what is in a capture?

use super::args::Explain;
use super::failure::{Failure, say};
use super::progress::Watched;
use super::{Outcome, options, output, whole_file};
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tcpglass::explain::{Connection, Exchange, Finding, Options, ReadError, Summary, Trail, causes};
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
    };
    let mut trail = (args.html.is_some() || args.xplot.is_some()).then(Trail::default);
    let summary = causes(input, options, &mut |caused| {
        if let Some(trail) = &mut trail {
            trail.add(caused);
        }
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
    if let Some(path) = &args.csv {
        whole_file::write(whole_file::CSV, path, report::csv(&summary).as_bytes())?;
    }
    if args.output.json {
        output::json(&object(&summary))?;
    } else if ![&args.html, &args.csv].into_iter().flatten().any(|path| options::is_stdout(path)) {
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

fn object(summary: &Summary) -> serde_json::Value {
    let words: serde_json::Map<_, _> = (summary.words.iter())
        .map(|(word, n)| (word.clone(), json!({ "sent": n.sent, "received": n.received })))
        .collect();
    json!({
        "schema": "tcpglass.explain/2",
        "format": summary.format,
        "packets": summary.packets,
        "bytes": summary.bytes,
        "not_tcp": summary.not_tcp,
        "undecoded": summary.undecoded,
        "reassembled": summary.reassembled,
        "connections_seen": summary.seen,
        "events": summary.events,
        "dropped": summary.dropped,
        "beyond_limit": summary.beyond,
        "cut_headers": summary.cut_headers,
        "cut_payloads": summary.cut_payloads,
        "doubled": summary.doubled,
        "two_places": summary.elsewhere,
        "sorted": summary.disorder.sorted,
        "out_of_order": summary.disorder.beyond,
        "out_of_order_us": summary.disorder.worst.as_micros() as u64,
        "lasted_us": summary.lasted.as_micros() as u64,
        "connections": summary.connections.iter().map(connection).collect::<Vec<_>>(),
        "findings": summary.findings.iter().map(finding).collect::<Vec<_>>(),
        "why": words,
        "damage": summary.damage,
    })
}

fn connection(c: &Connection) -> serde_json::Value {
    let side = |s: &tcpglass::explain::Side| json!({ "packets": s.packets, "bytes": s.bytes, "again": s.again, "damaged": s.damaged, "wild": s.wild });
    json!({
        "client": c.client.to_string(),
        "server": c.server.to_string(),
        "start_us": c.start.as_micros() as u64,
        "end_us": c.end.as_micros() as u64,
        "handshake_us": c.handshake.map(|h| h.as_micros() as u64),
        "up": side(&c.up),
        "down": side(&c.down),
        "longest_pause_us": c.pause.0.as_micros() as u64,
        "longest_pause_at_us": c.pause.1.as_micros() as u64,
        "ending": c.ending.word(),
        "number": c.number,
        "round_trip_us": c.round_trip.map(|t| t.as_micros() as u64),
        "round_trip_median_us": c.round_trip_median().map(|t| t.as_micros() as u64),
        "missing": c.missing.map(|end| ["client", "server"][usize::from(end)]),
        "ends": { "client": end(&c.ends[0]), "server": end(&c.ends[1]) },
        "ledger_us": output::ledger_from(c.start, &c.parts),
        "exchanges": c.exchanges.iter().map(exchange).collect::<Vec<_>>(),
        "more_exchanges": c.more_exchanges,
    })
}

fn end(e: &tcpglass::explain::End) -> serde_json::Value {
    let r = &e.repeats;
    json!({
        "mss": e.mss,
        "window_scale": e.window_scale,
        "least_window_scale": e.least_window_scale,
        "sack": e.sack,
        "timestamps": e.timestamps,
        "ecn": e.ecn,
        "accurate_ecn": e.accurate_ecn,
        "largest": e.largest,
        "peak_flight": e.peak_flight,
        "repeats": {
            "syn": r.syn,
            "rto": r.rto,
            "probe": r.probe,
            "fast": r.fast,
            "sack": r.sack,
            "late": r.late,
            "copy": r.copy,
        },
        "dsacks": e.dsacks,
        "not_captured": e.not_captured,
        "zero_windows": e.zero_windows,
        "zero_window_us": e.zero_window_time.as_micros() as u64,
        "path_us": e.path.map(|t| t.as_micros() as u64),
        "path_median_us": e.path_median.map(|t| t.as_micros() as u64),
        "limits_us": output::ledger(&e.limits),
    })
}

fn exchange(e: &Exchange) -> serde_json::Value {
    let us = |t: tcpglass::time::Duration| t.as_micros() as u64;
    json!({
        "method": e.method,
        "target": e.target,
        "host": e.host,
        "status": e.status,
        "start_us": us(e.start),
        "request_end_us": e.request_end.map(us),
        "first_byte_us": e.first_byte.map(us),
        "end_us": us(e.end),
        "bytes": e.bytes,
        "first_frame": e.frames.0,
        "last_frame": e.frames.1,
        "progress": e.progress.word(),
        "reused": e.reused,
        "tls": e.tls,
        "ledger_us": output::ledger_from(e.start, &e.parts),
    })
}

fn finding(f: &Finding) -> serde_json::Value {
    json!({
        "what": f.what.word(),
        "times": f.times,
        "cost_us": f.cost.as_micros() as u64,
        "worst_us": f.worst.as_micros() as u64,
        "confidence": f.confidence.word(),
        "frames": f.frames,
        "connections": f.connections,
        "perhaps_lost": f.perhaps_lost,
        "remedy": f.what.remedy(),
        "knobs": f.what.knobs(),
    })
}

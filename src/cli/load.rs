//! `tcpglass load`: what does a server do under load?

use super::args::Load;
use super::failure::{Failure, say};
use super::plan::{Asked, Plan, plan};
use super::stage::SERVICE;
use super::{Outcome, fetch, get, options, output};
use serde_json::{Value, json};
use std::process::ExitCode;
use tcpglass::report;
use tcpglass::service::{ClientOptions, LoadClient, LoadReport, Times};

/// How many requests are made where nothing says how many, nor how long.
const REQUESTS: u64 = 1000;

/// Makes the requests and shows what came of them; the exit code is that of the first one that failed.
pub fn run(args: Load) -> Outcome {
    let wrong = |what: &str, e: tcpglass::knob::ValueError| Failure::usage(format_args!("{what}: {e}"));
    let plan = plan(&Asked {
        urls: &args.urls,
        method: args.client.method.as_deref(),
        headers: &args.client.headers,
        data: args.data.as_deref(),
        proxy: args.client.proxy.as_deref(),
    })?;
    let time = |name: &str, text: &str| {
        tcpglass::knob::duration(text).map_err(|e| wrong(&format!("{name} {text}"), e))
    };
    let max_time = time("--timeout", &args.timeout)?;
    let duration = args.duration.as_deref().map(|d| time("-d", d)).transpose()?;
    if args.rate.is_some_and(|rate| !(1e-3..=1e7).contains(&rate)) {
        return Err(Failure::usage("--rate takes requests per second, 0.001 to 10000000"));
    }
    let mut stage = get::stage(&args.client)?;
    stage.recording.page =
        options::page(args.client.html.as_deref(), format!("load {}", args.urls.join(" ")))?;
    let http = &mut stage.settings.http;
    http.parallel = args.connections;
    http.idle_connections = http.idle_connections.max(u32::from(args.connections));
    http.pipeline = args.client.pipeline.unwrap_or(http.pipeline);
    let mut client_http = http.clone();
    client_http.keepalive &= !args.client.no_keepalive;
    if args.client.with.is_some()
        && let Some(warning) = stage.enter()?
    {
        say(&warning);
    }
    let limit = args.requests.or(duration.is_none().then_some(REQUESTS));
    let client = LoadClient::new(
        SERVICE,
        plan.requests.clone(),
        ClientOptions {
            http: client_http,
            repeat: u64::MAX,
            limit,
            duration,
            rate: args.rate,
            hosts: if args.client.sim.is_some() { get::named(&stage) } else { Vec::new() },
            proxy: plan.proxy.clone(),
            max_time: Some(max_time),
            port_wait: max_time,
            ..ClientOptions::default()
        },
    );
    let (watch, done) = (client.watch(), client.done());
    let client = fetch::Client { service: Box::new(client), results: done };
    get::drive(&args.client, &stage, plan.port, client, None, &mut |_| {})?;
    show(&args, &plan, &watch.report())
}

fn show(args: &Load, plan: &Plan, report: &LoadReport) -> Outcome {
    if args.client.show.json {
        output::json(&object(args, plan, report))?;
    } else {
        output::result(&report::load(report, args.rate.is_some(), output::stdout_style(&args.client.show)))?;
    }
    match &report.first_error {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => {
            say(&format!("the first that failed: {error}{}", get::remedy(error)));
            Ok(get::exit(error))
        }
    }
}

fn object(args: &Load, plan: &Plan, report: &LoadReport) -> Value {
    let times = |times: &Times| {
        let mut object: serde_json::Map<String, Value> = (report::PERCENTILES.iter())
            .map(|p| (format!("p{p}"), (times.quantile(p / 100.0).as_micros() as u64).into()))
            .collect();
        object.insert("min".into(), (times.min().as_micros() as u64).into());
        object.insert("mean".into(), (times.mean().as_micros() as u64).into());
        object.insert("count".into(), times.count().into());
        object
    };
    let statuses: serde_json::Map<_, _> =
        report.statuses.iter().map(|(s, n)| (s.to_string(), (*n).into())).collect();
    json!({
        "schema": "tcpglass.load/2",
        "urls": args.urls,
        "proxy": plan.proxy_url(),
        "open_loop": args.rate.is_some(),
        "answered": report.answered(),
        "failed": report.failed(),
        "not_begun": report.unbegun,
        "by_status": statuses,
        "errors": report.errors,
        "retried": report.retried,
        "pipelined": report.pipelined,
        "bytes": report.bytes,
        "ledger_us": output::ledger(&report.ledger),
        "elapsed_us": report.elapsed().as_micros() as u64,
        "latency_us": times(&report.latency),
        "handshake_us": times(&report.handshake),
        "connections": report.handshake.count(),
        "most_connections": report.most_open,
        "ports": report.ports,
        "most_time_wait": report.most_time_wait,
        "time_wait": report.time_wait,
        "port_wait_us": report.port_wait.as_micros() as u64,
    })
}

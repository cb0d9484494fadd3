//! `tcpglass get`: what is at a URL, and where does the time go?

use super::args::{ClientArgs, Get};
use super::body::{Discard, Place, Writer, is_failure};
use super::failure::{Exit, Failure, say};
use super::options;
use super::plan::{Asked, Plan, plan};
use super::stage::{NAME, SERVICE, Stage};
use super::{Outcome, fetch, output};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::ExitCode;
use tcpglass::http::ClientError;
use tcpglass::report::{self, Waterfall, printable};
use tcpglass::service::{BodySink, ClientOptions, FetchError, Fetched, HttpClient, RequestPlan};
use tcpglass::settings::Settings;
use tcpglass::stack::ResolveError;
use tcpglass::stream::StreamError;
use tcpglass::time::Instant;

/// Fetches everything, in order; the exit code is that of the first exchange that failed.
pub fn run(args: Get) -> Outcome {
    let plan = plan(&Asked {
        urls: &args.urls,
        method: args.client.method.as_deref(),
        headers: &args.client.headers,
        data: args.data.as_deref(),
        proxy: args.client.proxy.as_deref(),
    })?;
    let mut stage = stage(&args.client)?;
    stage.recording.page =
        options::page(args.client.html.as_deref(), format!("get {}", args.urls.join(" ")))?;
    connections(&args, &mut stage.settings);
    let max_time = tcpglass::knob::duration(&args.timeout)
        .map_err(|e| Failure::usage(format_args!("--timeout {}: {e}", args.timeout)))?;
    let places = places(&args, &plan, &stage)?;

    // Before any thread is started: only a process with one thread can move to a network of its own.
    if args.client.with.is_some()
        && let Some(warning) = stage.enter()?
    {
        say(&warning);
    }
    let mut http = stage.settings.http.clone();
    http.keepalive &= !args.client.no_keepalive;
    let hosts = if args.client.sim.is_some() { named(&stage) } else { Vec::new() };
    let at_once = (http.parallel == 1).then(|| usize::from(if plan.one_server { http.pipeline } else { 1 }));
    let client = |sink: Box<dyn BodySink>| {
        let options = ClientOptions {
            http,
            at_once,
            repeat: args.repeat,
            hosts,
            proxy: plan.proxy.clone(),
            max_time: Some(max_time),
            sink: Some(sink),
            tcp_info: args.client.show.json,
            ..ClientOptions::default()
        };
        HttpClient::new(SERVICE, plan.requests.clone(), options)
    };
    let (writer, client) = match places {
        None => (None, client(Box::new(Discard))),
        Some(places) => {
            let (writer, sink) = Writer::start(places, args.include, args.fail);
            (Some(writer), client(sink))
        }
    };

    let mut shown = Shown::new(&args, plan.proxy_url());
    let client = fetch::Client { results: client.results(), service: Box::new(client) };
    let each = &mut |fetched| shown.add(&fetched);
    let done = drive(&args.client, &stage, plan.port, client, writer.as_ref(), each);
    // What was received is written even if the end was not as it should be.
    let written = writer.map_or(Ok(()), Writer::finish);
    done.and(written)?;
    shown.finish()
}

/// Where each body goes; `None` if all go nowhere. Times take standard output; bodies can still go to files then.
fn places(args: &Get, plan: &Plan, stage: &Stage) -> Result<Option<Vec<Place>>, Failure> {
    let urls: Vec<&str> = plan.requests.iter().map(RequestPlan::url).collect();
    let shows_times = args.timeline || args.client.show.json;
    let place = |file: Option<PathBuf>| match file {
        Some(file) => Place::File(file),
        None if shows_times => Place::Nowhere,
        None => Place::Stdout,
    };
    let places: Vec<Place> = args.outputs.of(&urls)?.into_iter().map(place).collect();
    let shown = places.iter().filter(|place| matches!(place, Place::Stdout)).count();
    let nowhere = places.iter().all(|place| matches!(place, Place::Nowhere));
    if args.include && nowhere {
        return Err(Failure::usage("--timeline and --json show no bodies: leave out -i, or add -o FILE"));
    }
    if shown > 0 && stage.recording.uses_stdout() {
        return Err(Failure::usage("a record on standard output would be mixed with the body: add -o FILE"));
    }
    let several = stage.settings.http.parallel > 1;
    if several && (shown > 1 || (args.repeat > 1 && !nowhere)) {
        return Err(Failure::usage(
            "more than one connection at a time would mix bodies: give each URL a file with -o or -O, and no --repeat, \
             or take --timeline or --json",
        ));
    }
    Ok((!nowhere).then_some(places))
}

/// How many connections and how deep a pipeline: one of each, as curl does, unless something else is asked for.
fn connections(args: &Get, settings: &mut Settings) {
    let usual = Settings::default().http.parallel;
    let set = settings.http.parallel != usual
        || args.client.settings.set.iter().any(|s| s.starts_with("http.parallel"));
    if let Some(parallel) = args.parallel.or((!set).then_some(1)) {
        settings.http.parallel = parallel;
    }
    settings.http.pipeline = args.client.pipeline.unwrap_or(settings.http.pipeline);
}

/// The settings and the network of a client, with `--sim` in the simulator over that link.
pub fn stage(args: &ClientArgs) -> Result<Stage, Failure> {
    let mut resolved = options::settings(&args.settings)?;
    let sim = args.sim.as_deref();
    if let Some(link) = sim {
        resolved.set_link(link)?;
        resolved.check()?;
    }
    let network = options::network(&args.net)?;
    let dns = match (sim, &args.dns[..]) {
        (Some(_), _) => Vec::new(),
        (None, []) => network.peers.iter().map(|p| p.0).collect(),
        (None, dns) => dns.to_vec(),
    };
    let seed = match sim {
        Some(_) => options::simulator_seed(&args.settings),
        None => options::network_seed(&args.settings),
    };
    let recording = options::recording(&args.trace)?;
    let recording = if sim.is_some() { recording.simulated(seed) } else { recording };
    Ok(Stage { settings: resolved, recording, seed, dns, network, queues: NonZeroU16::MIN })
}

/// Runs the client where it was asked to.
pub fn drive(
    args: &ClientArgs,
    stage: &Stage,
    port: u16,
    client: fetch::Client,
    writer: Option<&Writer>,
    each: &mut dyn FnMut(Fetched),
) -> Result<(), Failure> {
    match (&args.sim, &args.with) {
        (Some(_), _) => fetch::sim(stage, client, writer, each),
        (None, Some(command)) => fetch::with(stage, command, port, client, writer, each),
        (None, None) => fetch::tun(stage, args.name.as_deref(), client, writer, each),
    }
}

/// The simulated server's name.
pub fn named(stage: &Stage) -> Vec<(String, IpAddr)> {
    stage.network.addrs.iter().map(|(ip, _)| (NAME.to_owned(), *ip)).collect()
}

/// What is printed of the exchanges, and what the exit code will be.
struct Shown {
    /// The proxy that was asked for them.
    proxy: Option<String>,
    timeline: bool,
    json: bool,
    /// Whether statuses from 400 on are failures.
    fail: bool,
    style: report::Style,
    waterfall: Waterfall,
    /// When the first exchange was there to be made.
    begin: Option<Instant>,
    exchanges: Vec<Value>,
    failed: Option<ExitCode>,
    broken: Option<Failure>,
}

impl Shown {
    fn new(args: &Get, proxy: Option<String>) -> Shown {
        Shown {
            proxy,
            timeline: args.timeline && !args.client.show.json,
            json: args.client.show.json,
            fail: args.fail,
            style: output::stdout_style(&args.client.show),
            waterfall: Waterfall::default(),
            begin: None,
            exchanges: Vec::new(),
            failed: None,
            broken: None,
        }
    }

    fn add(&mut self, fetched: &Fetched) {
        if self.timeline && self.broken.is_none() {
            let text = report::fetched(fetched, self.style);
            self.broken = output::result(&text).err();
            self.waterfall.add(fetched);
        }
        if self.json {
            let begin = *self.begin.get_or_insert(fetched.timings.ready.unwrap_or_default());
            self.exchanges.push(object(fetched, begin));
        }
        if let Some(error) = &fetched.error {
            let fate = fetched.fate().map(|fate| format!(" ({fate})")).unwrap_or_default();
            let proxy = self.proxy.as_ref().map(|proxy| format!(" through {proxy}")).unwrap_or_default();
            say(&format!("{}{proxy}: {error}{fate}{}", printable(&fetched.url), remedy(error)));
            self.failed.get_or_insert(exit(error));
        } else if let Some(head) = fetched.response.as_ref().filter(|head| self.fail && is_failure(head)) {
            let (url, status) = (printable(&fetched.url), head.status.as_u16());
            say(&format!("{url}: the server answers {status} {}", printable(&head.reason)));
            self.failed.get_or_insert(Exit::Failed.into());
        }
    }

    fn finish(self) -> Outcome {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        if self.waterfall.len() > 1 {
            output::result(&format!("\n{}", self.waterfall.text(self.style)))?;
        }
        if self.json {
            output::json(&json!({
                "schema": "tcpglass.get/2",
                "proxy": self.proxy,
                "exchanges": self.exchanges,
            }))?;
        }
        Ok(self.failed.unwrap_or(ExitCode::SUCCESS))
    }
}

/// The exit code for an exchange that failed so.
pub fn exit(error: &FetchError) -> ExitCode {
    match error {
        FetchError::Connect(StreamError::ConnectionRefused) | FetchError::Resolve(ResolveError::Refused) => {
            Exit::Refused
        }
        FetchError::Connect(StreamError::ConnectionReset)
        | FetchError::Stream(StreamError::ConnectionReset) => Exit::Reset,
        FetchError::Connect(StreamError::TimedOut)
        | FetchError::Stream(StreamError::TimedOut)
        | FetchError::Resolve(ResolveError::TimedOut)
        | FetchError::Http(ClientError::TimedOut)
        | FetchError::ConnectTimedOut
        | FetchError::MaxTime => Exit::TimedOut,
        _ => Exit::Failed,
    }
    .into()
}

/// What can be done about it.
pub fn remedy(error: &FetchError) -> &'static str {
    match error {
        FetchError::Connect(StreamError::ConnectionRefused) => {
            "; nobody listens there: start the server, or check the port"
        }
        FetchError::Connect(StreamError::TimedOut) | FetchError::ConnectTimedOut => {
            "; nobody answers: check the address, and --peer"
        }
        FetchError::MaxTime => "; allow more with --timeout",
        FetchError::Http(ClientError::TimedOut) => "; allow more with --set http.body_timeout=…",
        FetchError::Resolve(_) => "; take an address, or a name server with --dns",
        _ => "",
    }
}

fn object(fetched: &Fetched, begin: Instant) -> Value {
    let after = |at: Option<Instant>| at.map(|at| at.since(begin).as_micros() as u64);
    json!({
        "url": &*fetched.url,
        "method": fetched.method.as_str(),
        "round": fetched.round,
        "status": fetched.status().map(|s| s.as_u16()),
        "bytes": fetched.body_len,
        "connection": fetched.conn,
        "remote": fetched.remote.map(|r| r.to_string()),
        "reused": fetched.reused,
        "retried": fetched.retried,
        "pipelined": fetched.pipelined,
        "ready_us": after(fetched.timings.ready),
        "start_us": after(fetched.timings.start),
        "fate": fetched.fate(),
        "total_us": fetched.ledger.total().as_micros() as u64,
        "ledger_us": output::ledger(&fetched.ledger),
        "tcp_info": fetched.tcp_info.as_deref().map(tcpglass::trace::tcp_info),
        "error": fetched.error.as_ref().map(ToString::to_string),
    })
}

//! `tcpglass proxy`: how does an HTTP proxy run on a TUN device of this host?

use super::args::Proxy as ProxyArgs;
use super::failure::Failure;
use super::stage::{self, SERVICE, Stage};
use super::{Outcome, attached, options, output};
use anyhow::Context as _;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tcpglass::http::Origin;
use tcpglass::report::{self, plural};
use tcpglass::service::{Proxy, ProxyKind, ProxyOptions, ProxyTotals, Service};
use tcpglass::stack::{Owner, Stack};
use tcpglass::time::Instant;
use url::Url;

/// How long open exchanges may take after the signal to end.
const GRACE: Duration = Duration::from_secs(5);

/// Relays until SIGINT or SIGTERM, then finishes what is open.
pub fn run(args: ProxyArgs) -> Outcome {
    let network = options::network(&args.net)?;
    let stage = Stage {
        settings: options::settings(&args.settings)?,
        recording: options::recording(&args.trace)?,
        seed: options::network_seed(&args.settings),
        dns: if args.dns.is_empty() { network.peers.iter().map(|p| p.0).collect() } else { args.dns.clone() },
        queues: NonZeroU16::MIN,
        network,
    };
    let proxy = ProxyOptions {
        upstream: match (&args.upstream, &args.parent) {
            (Some(server), _) => Some(origin("--upstream", server)?),
            (None, parent) => parent.as_deref().map(|parent| origin("--parent", parent)).transpose()?,
        },
        parent: args.parent.is_some(),
        tunnels: ports(&args.tunnels)?,
        upgrades: args.upgrade.iter().map(|name| protocol(name)).collect::<Result<_, _>>()?,
        http: stage.settings.http.clone(),
        ..ProxyOptions::new(if args.dumb { ProxyKind::Dumb } else { ProxyKind::Smart })
    };

    // Signals are caught before there is anything to end.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot catch SIGINT and SIGTERM")?;
    let device = stage.open(Some(&args.name))?;
    let claim = attached::claim(&args.output);
    let addresses: Vec<SocketAddr> =
        stage.network.addrs.iter().map(|(ip, _)| SocketAddr::new(*ip, args.port)).collect();
    let proxy = Proxy::new(SERVICE, addresses.clone(), proxy);
    let (listening, totals) = (proxy.listening(), Arc::default());
    let started = device.start(Box::new(Watched { proxy, totals: Arc::clone(&totals) }))?;
    stage::listening(&listening, addresses.len())?;
    let _door = attached::open(claim, "proxy", &stage, &started, &args.output);
    let at: Vec<String> = addresses.iter().map(|a| format!("http://{a}/")).collect();
    output::note(
        &args.output,
        &format!("a proxy at {} on {}; SIGINT ends it\n", at.join(" and "), started.device),
    );
    let _ = signals.forever().next();
    let counts = started.finish(GRACE)?;
    let totals = *totals.lock().unwrap_or_else(PoisonError::into_inner);
    if args.output.json {
        output::json(&json!({
            "schema": "tcpglass.proxy/1",
            "clients": totals.clients,
            "requests": totals.requests,
            "upstreams": totals.upstreams,
            "refused": totals.refused,
            "tunnels": totals.tunnels,
            "gave_way": totals.gave_way,
            "turned_away": totals.turned_away,
        }))?;
    } else {
        let mut told = format!(
            "{}, {} sent on over {}, {} answered by the proxy itself",
            plural(totals.clients, "client"),
            plural(totals.requests, "request"),
            plural(totals.upstreams, "connection"),
            totals.refused
        );
        if totals.tunnels > 0 {
            told += &format!(", {}", plural(totals.tunnels, "tunnel"));
        }
        if totals.gave_way + totals.turned_away > 0 {
            let gave_way = plural(totals.gave_way, "client");
            told += &format!(
                ", {gave_way} gave way to others at http.max_connections, {} turned away",
                totals.turned_away
            );
        }
        told += "\n\n";
        output::note(&args.output, &(told + &report::counts(&counts, output::stderr_style(&args.output))));
    }
    Ok(ExitCode::SUCCESS)
}

/// `HOST:PORT`, or `HOST` for port 80.
fn origin(option: &str, text: &str) -> Result<Origin, Failure> {
    let wrong = || Failure::usage(format_args!("{option} {text:?}: write HOST or HOST:PORT"));
    let url = Url::parse(&format!("http://{text}/")).map_err(|_| wrong())?;
    let plain = url.path() == "/" && url.query().is_none() && url.username().is_empty();
    let host = url.host().filter(|_| plain).ok_or_else(wrong)?.to_owned();
    let port = url.port_or_known_default().filter(|port| *port != 0).ok_or_else(wrong)?;
    Ok(Origin { host, port })
}

/// A protocol's name, with or without a version (RFC 9110 §7.8), or `any`.
fn protocol(name: &str) -> Result<String, Failure> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b);
    match name {
        "any" => Ok("*".to_owned()),
        name if !name.is_empty() && name != "*" && name.bytes().all(token) => Ok(name.to_owned()),
        name => {
            Err(Failure::usage(format_args!("--upgrade {name:?}: write protocols such as websocket, or any")))
        }
    }
}

/// `443,8000-8099`, `any` or `none`.
fn ports(text: &str) -> Result<Vec<RangeInclusive<u16>>, Failure> {
    let wrong = || {
        Failure::usage(format_args!(
            "--tunnels {text:?}: write ports and ranges such as 443,8000-8099, or any, or none"
        ))
    };
    let port = |text: &str| text.trim().parse().ok().filter(|port| *port != 0).ok_or_else(wrong);
    match text {
        "any" => Ok(vec![1..=u16::MAX]),
        "none" => Ok(Vec::new()),
        list => list
            .split(',')
            .map(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let (first, last) = (port(first)?, port(last)?);
                if first <= last { Ok(first..=last) } else { Err(wrong()) }
            })
            .collect(),
    }
}

/// A proxy that tells what it has done when it is gone.
struct Watched {
    proxy: Proxy,
    totals: Arc<Mutex<ProxyTotals>>,
}

impl Service for Watched {
    fn owner(&self) -> Owner {
        self.proxy.owner()
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        self.proxy.poll(now, stack);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.proxy.next_deadline()
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        let done = self.proxy.drain(now, stack);
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = self.proxy.totals();
        done
    }
}

//! How do experiments speak HTTP? The server and the client of this crate on simulated hosts.

use super::addrs::HTTP;
use super::arm::Arm;
use super::kernel::Peer;
use super::{LabError, plain_http};
use crate::http::Config;
use crate::service::{ClientOptions, Fetched, HttpClient, HttpServer, RequestPlan, Site};
use crate::stack::Owner;
use crate::tcp::Shutdown;
use crate::time::{Duration, Instant};
use std::io::{self, BufReader};

/// Virtual time after which requests have failed.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The same in real time.
const LONG: Duration = Duration::from_secs(60);
/// How long a server may take to begin.
const SHORTLY: Duration = Duration::from_secs(5);

/// Starts the server with the arm's settings.
pub(super) fn serve(arm: &mut Arm) -> Result<(), LabError> {
    let (http, web) = (arm.settings.http.clone(), arm.addrs.web());
    let peer = arm.peer();
    let server = || HttpServer::new(Owner(1), vec![web], Site { root: None }, http.clone());
    match (&mut arm.real, peer) {
        (None, _) => {
            arm.world.add_service(arm.server, Box::new(server()));
            arm.world.run_for(Duration::ZERO);
        }
        (Some(real), Peer::LinuxServer) => real.web = Some(plain_http::Server::start(web, &http, true)?),
        (Some(real), _) => {
            let server = server();
            let listening = server.listening();
            real.start(vec![Box::new(server)])?;
            let failed = || LabError::new("the server does not listen");
            listening.recv_timeout(SHORTLY).map_err(|_| failed())?;
        }
    }
    Ok(())
}

/// Starts a server that ends its first connection without having said so, in virtual time or on Linux.
pub(super) fn serve_silently(arm: &mut Arm) -> Result<(), LabError> {
    let (http, web) = (arm.settings.http.clone(), arm.addrs.web());
    match &mut arm.real {
        Some(real) => real.web = Some(plain_http::Server::start(web, &http, false)?),
        None => {
            let server = arm.server;
            arm.world.spawn(server, move |net| -> io::Result<()> {
                let (listener, mut http) = (net.listen(HTTP)?, http.clone());
                // One connection after the other.
                loop {
                    let mut reader = BufReader::new(listener.accept()?.0);
                    let ends = plain_http::answer(&mut reader, &http, false, |time| net.sleep(time));
                    if ends.unwrap_or(false) {
                        // What the client has sent ahead must not turn into a RST. A client that is gone is no matter.
                        let _ = reader.get_ref().shutdown(Shutdown::Write);
                        let _ = io::copy(&mut reader, &mut io::sink());
                    }
                    http.keepalive_max = 0;
                }
            });
            arm.world.run_for(Duration::ZERO);
        }
    }
    Ok(())
}

/// What came of some requests.
pub(super) struct Visit {
    /// Which request was answered, and when.
    pub answered: Vec<(usize, Instant)>,
    /// Until the last one was.
    pub time: Duration,
    /// Until the last answer began; only in virtual time.
    pub begun: Duration,
    /// The most that the server's connections took, buffers included; only in virtual time.
    pub memory: u64,
}

/// Fetches pages (`GET /bytes/100`) with the arm's settings.
pub(super) fn fetch(arm: &mut Arm, requests: &[String]) -> Result<Visit, LabError> {
    let start = arm.now();
    let (http, peer, origin) = (arm.settings.http.clone(), arm.peer(), arm.addrs.origin());
    let (mut begun, mut memory) = (Duration::ZERO, 0);
    let mut answered: Vec<(usize, Instant)> = match (&mut arm.real, peer) {
        (Some(real), Peer::LinuxServer) => {
            let client = HttpClient::new(Owner(2), plans(&origin, requests)?, options(&http));
            let results = client.results();
            real.start(vec![Box::new(client)])?;
            let missing = |_| LabError::new("requests came to no end");
            let fetched: Result<Vec<Fetched>, _> =
                requests.iter().map(|_| results.recv_timeout(LONG).map_err(missing)).collect();
            let fetched = fetched?;
            fetched.iter().for_each(|one| arm.spent(one.ledger));
            complete(&fetched)?
        }
        (Some(real), _) => {
            let depth = usize::from(http.pipeline);
            let answered =
                plain_http::fetch(arm.addrs.web(), requests, http.keepalive, depth, || real.clock.now())?;
            answered.into_iter().enumerate().collect()
        }
        (None, _) => {
            let fetched = fetch_from(arm, &origin, requests)?;
            memory = fetched.1;
            let first = fetched.0.iter().filter_map(|f| f.timings.first_byte).max();
            begun = first.map_or(Duration::ZERO, |at| at.since(start));
            complete(&fetched.0)?
        }
    };
    answered.sort_unstable();
    let last = answered.iter().map(|a| a.1).max().unwrap_or(start);
    Ok(Visit { answered, time: last.since(start), begun, memory })
}

/// Which of them were answered, and when.
fn complete(fetched: &[Fetched]) -> Result<Vec<(usize, Instant)>, LabError> {
    if let Some(error) = fetched.iter().find_map(|f| f.error.as_ref()) {
        return Err(LabError::new(format!("a request failed: {error}")));
    }
    let answered = fetched.iter().filter(|f| f.status().is_some());
    Ok(answered.filter_map(|f| Some((f.plan, f.timings.last_byte?))).collect())
}

fn plans(origin: &str, requests: &[String]) -> Result<Vec<RequestPlan>, LabError> {
    let plan = |request: &String| {
        let (method, path) = request.split_once(' ').unwrap_or(("GET", request));
        let plan = RequestPlan::get(&format!("{origin}{path}"));
        plan.and_then(|plan| plan.method(method)).map_err(|e| LabError::new(e.to_string()))
    };
    requests.iter().map(plan).collect()
}

fn options(http: &Config) -> ClientOptions {
    ClientOptions { http: http.clone(), ..ClientOptions::default() }
}

/// The same in virtual time, with what is known of each request, from an origin that is given; and the most that the
/// server's connections took.
pub(super) fn fetch_from(
    arm: &mut Arm,
    origin: &str,
    requests: &[String],
) -> Result<(Vec<Fetched>, u64), LabError> {
    let found = run(arm, origin, requests)?;
    match found.0.iter().find_map(|f| f.error.as_ref()) {
        Some(error) => Err(LabError::new(format!("a request failed: {error}"))),
        None => Ok(found),
    }
}

/// The same, where a request may fail.
pub(super) fn attempt(arm: &mut Arm, requests: &[String]) -> Result<Vec<Fetched>, LabError> {
    let origin = arm.addrs.origin();
    Ok(run(arm, &origin, requests)?.0)
}

fn run(arm: &mut Arm, origin: &str, requests: &[String]) -> Result<(Vec<Fetched>, u64), LabError> {
    let client = HttpClient::new(Owner(2), plans(origin, requests)?, options(&arm.settings.http));
    let results = client.results();
    arm.world.add_service(arm.client, Box::new(client));
    let mut fetched: Vec<Fetched> = Vec::new();
    let (server, mut memory) = (arm.server, 0);
    arm.world.run_until(PATIENCE, |world| {
        let stack = world.stack(server);
        memory = memory.max(stack.overhead() + stack.memory());
        fetched.extend(results.try_iter());
        fetched.len() >= requests.len()
    });
    if fetched.len() < requests.len() {
        let (n, of) = (fetched.len(), requests.len());
        return Err(LabError::new(format!("only {n} of {of} requests came to an end")));
    }
    fetched.iter().for_each(|one| arm.spent(one.ledger));
    Ok((fetched, memory))
}

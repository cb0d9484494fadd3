//! How do experiments speak HTTP? The server and the client of this crate on simulated hosts.

use super::LabError;
use super::arm::{Arm, SERVER, WEB};
use crate::service::{ClientOptions, Fetched, HttpClient, HttpServer, RequestPlan, Site};
use crate::stack::Owner;
use crate::time::{Duration, Instant};

/// Virtual time after which requests have failed.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Starts the server with the arm's settings.
pub(super) fn serve(arm: &mut Arm) {
    let http = arm.settings.http.clone();
    let server = HttpServer::new(Owner(1), vec![WEB], Site { root: None }, http);
    arm.world.add_service(arm.server, Box::new(server));
    arm.world.run_for(Duration::ZERO);
}

/// Fetches pages (`GET /bytes/100`) with the arm's settings: results in the order in which they came, and the time until
/// the last one was complete.
pub(super) fn fetch(arm: &mut Arm, requests: &[String]) -> Result<(Vec<Fetched>, Duration), LabError> {
    fetch_from(arm, &format!("http://{SERVER}"), requests)
}

/// The same from an origin that is given.
pub(super) fn fetch_from(
    arm: &mut Arm,
    origin: &str,
    requests: &[String],
) -> Result<(Vec<Fetched>, Duration), LabError> {
    let mut plans = Vec::new();
    for request in requests {
        let (method, path) = request.split_once(' ').unwrap_or(("GET", request));
        let plan = RequestPlan::get(&format!("{origin}{path}"));
        let plan = plan.and_then(|plan| plan.method(method)).map_err(|e| LabError(e.to_string()))?;
        plans.push(plan);
    }
    let options = ClientOptions { http: arm.settings.http.clone(), ..ClientOptions::default() };
    let client = HttpClient::new(Owner(2), plans, options);
    let results = client.results();
    let start = arm.now();
    arm.world.add_service(arm.client, Box::new(client));
    let mut fetched: Vec<Fetched> = Vec::new();
    arm.world.run_until(PATIENCE, |_| {
        fetched.extend(results.try_iter());
        fetched.len() >= requests.len()
    });
    if fetched.len() < requests.len() {
        return Err(LabError(format!(
            "only {} of {} requests came to an end",
            fetched.len(),
            requests.len()
        )));
    }
    if let Some(error) = fetched.iter().find_map(|f| f.error.as_ref()) {
        return Err(LabError(format!("a request failed: {error}")));
    }
    let last: Instant = fetched.iter().filter_map(|f| f.timings.last_byte).max().unwrap_or(start);
    Ok((fetched, last.since(start)))
}

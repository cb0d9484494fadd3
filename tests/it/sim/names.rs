//! Are names found in the simulated network, over both families and bad links?

use std::net::IpAddr;
use tcpglass::service::{ClientOptions, FetchError, Fetched, HttpClient, HttpServer, RequestPlan, Site};
use tcpglass::sim::{NameServer, NameServerId, World, host_config};
use tcpglass::stack::{Owner, ResolveError};
use tcpglass::tcp::Config;
use tcpglass::time::Duration;
use tcpglass::trace::Tracer;

/// Fetches `url` with a name server that knows `glass.test`, over `link`.
fn fetch(addrs: [&str; 3], link: &str, url: &str) -> (Fetched, World, NameServerId) {
    fetch_with(addrs, &[], link, url)
}

/// The same, with servers that are asked before it.
fn fetch_with(addrs: [&str; 3], before: &[&str], link: &str, url: &str) -> (Fetched, World, NameServerId) {
    let [client, server, names]: [IpAddr; 3] = addrs.map(|addr| addr.parse().unwrap());
    let mut world = World::new(5, link.parse().unwrap());
    let mut config = host_config(client, Config::linux());
    config.dns = before.iter().map(|addr| addr.parse().unwrap()).chain([names]).collect();
    let client = world.add_host("client", config, Tracer::default());
    let host = world.add(server);
    let names = NameServer::new(names).name("glass.test", server).takes(Duration::from_millis(7));
    let names = world.add_name_server(names);
    let http = HttpServer::new(Owner(1), vec![(server, 80).into()], Site { root: None }, Default::default());
    world.add_service(host, Box::new(http));
    let plans = vec![RequestPlan::get(url).unwrap()];
    let service = HttpClient::new(Owner(2), plans, ClientOptions::default());
    let results = service.results();
    world.add_service(client, Box::new(service));
    world.run_for(Duration::from_secs(60));
    (results.try_recv().unwrap(), world, names)
}

const FOUR: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.53"];
const SIX: [&str; 3] = ["fd77::1", "fd77::2", "fd77::53"];

#[test]
fn a_name_is_found_after_a_round_trip_and_what_the_server_takes() {
    for addrs in [FOUR, SIX] {
        let (fetched, mut world, names) = fetch(addrs, "rtt=20ms", "http://Glass.test/bytes/10");
        assert_eq!((fetched.status().map(|s| s.as_u16()), &fetched.error), (Some(200), &None), "{addrs:?}");
        let timings = fetched.timings;
        assert_eq!(timings.name.unwrap().since(timings.start.unwrap()), Duration::from_millis(27));
        let names = world.name_server(names);
        assert_eq!((names.answered(), names.ignored()), (2, 0), "one question for each family");
    }
}

#[test]
fn a_name_that_nobody_has_is_not_found_and_nobody_connects() {
    let (fetched, mut world, names) = fetch(FOUR, "rtt=20ms", "http://elsewhere.test/");
    assert_eq!(fetched.error, Some(FetchError::Resolve(ResolveError::NotFound)));
    assert_eq!((world.name_server(names).answered(), world.packets()), (2, 4));
}

#[test]
fn questions_and_answers_that_are_lost_are_asked_again() {
    let (fetched, mut world, names) = fetch(SIX, "rtt=20ms,loss=40%", "http://glass.test/status/204");
    assert_eq!(fetched.status().map(|s| s.as_u16()), Some(204), "{:?}", fetched.error);
    assert!(fetched.timings.name.unwrap().since(fetched.timings.start.unwrap()) > Duration::from_millis(27));
    assert!(world.name_server(names).answered() > 0);
}

#[test]
fn damaged_questions_are_ignored() {
    let (fetched, mut world, names) = fetch(FOUR, "rtt=20ms,corrupt=100%", "http://glass.test/");
    assert_eq!(fetched.error, Some(FetchError::Resolve(ResolveError::TimedOut)));
    let names = world.name_server(names);
    assert!(names.answered() == 0 && names.ignored() > 2, "{names:?}");
}

#[test]
fn a_dead_name_server_costs_five_seconds_and_two_attempts_as_resolv_conf_says() {
    // Behind one and two dead servers: whatever is said of it there, nobody waits longer than that.
    for (before, seconds) in [(&["10.0.0.98"][..], 5), (&["10.0.0.98", "10.0.0.99"], 10)] {
        let (fetched, ..) = fetch_with(FOUR, before, "rtt=20ms", "http://glass.test/bytes/10");
        let took = fetched.timings.name.unwrap().since(fetched.timings.start.unwrap());
        assert_eq!((took, &fetched.error), (Duration::from_secs(seconds) + Duration::from_millis(27), &None));
    }
    // Two dead servers alone, twice each.
    for (dead, seconds) in [(&["10.0.0.98"][..], 10), (&["10.0.0.98", "10.0.0.99"], 20)] {
        let addrs = ["10.0.0.1", "10.0.0.2", dead[0]];
        let mut world = World::new(5, "rtt=20ms".parse().unwrap());
        let mut config = host_config(addrs[0].parse().unwrap(), Config::linux());
        config.dns = dead.iter().map(|addr| addr.parse().unwrap()).collect();
        let client = world.add_host("client", config, Tracer::default());
        let plans = vec![RequestPlan::get("http://glass.test/").unwrap()];
        let service = HttpClient::new(Owner(2), plans, ClientOptions::default());
        let results = service.results();
        world.add_service(client, Box::new(service));
        world.run_for(Duration::from_millis(seconds * 1000 - 1));
        assert!(results.try_recv().is_err(), "not yet");
        world.run_for(Duration::from_millis(2));
        assert_eq!(results.try_recv().unwrap().error, Some(FetchError::Resolve(ResolveError::TimedOut)));
    }
}

#[test]
fn a_name_server_that_does_not_listen_is_left_for_the_next_one_at_once() {
    for (addrs, host) in [(FOUR, "10.0.0.2"), (SIX, "fd77::2")] {
        let (fetched, ..) = fetch_with(addrs, &[host], "rtt=20ms", "http://glass.test/bytes/10");
        let took = fetched.timings.name.unwrap().since(fetched.timings.start.unwrap());
        assert_eq!((took, &fetched.error), (Duration::from_millis(20 + 27), &None), "{addrs:?}");
        // Alone, it is asked twice.
        let mut world = World::new(5, "rtt=20ms".parse().unwrap());
        world.add(host.parse::<IpAddr>().unwrap());
        let mut config = host_config(addrs[0].parse().unwrap(), Config::linux());
        config.dns = vec![host.parse().unwrap()];
        let client = world.add_host("client", config, Tracer::default());
        let plans = vec![RequestPlan::get("http://glass.test/").unwrap()];
        let service = HttpClient::new(Owner(2), plans, ClientOptions::default());
        let results = service.results();
        world.add_service(client, Box::new(service));
        world.run_for(Duration::from_millis(2 * 20));
        assert_eq!(results.try_recv().unwrap().error, Some(FetchError::Resolve(ResolveError::Refused)));
    }
}

//! Is each thing that can go wrong named where it does, and not where it does not?

use super::*;
use tcpglass::service::{ClientOptions, HttpClient, RequestPlan};
use tcpglass::sim::NameServer;

fn times(summary: &Summary, what: What) -> u64 {
    summary.findings.iter().find(|f| f.what == what).map_or(0, |f| f.times)
}

/// The findings of the client's capture, and of the server's, without the words of either.
fn inferred(scene: Scene) -> [Summary; 2] {
    let [_, client, _, server] = scene.end();
    [client, server]
}

#[test]
fn large_packets_that_vanish_are_told_from_a_loss_and_from_a_router_that_speaks() {
    for (link, seen) in [
        ("rtt=20ms,mtu=1400,mtu_icmp=off", true),
        ("rtt=20ms,mtu=1400", false),
        ("rtt=20ms,drop_nth=2+3+4", false),
        ("rtt=20ms", false),
    ] {
        let mut scene = Scene::new(link, &linux(), &linux());
        let socket = scene.connect();
        scene.write(socket, "GET /bytes/20000 HTTP/1.1\r\nHost: x\r\n\r\n");
        scene.world.run_for(5000 * MS);
        let [_, server] = inferred(scene);
        assert_eq!(times(&server, What::MtuBlackHole) > 0, seen, "{link}: {:?}", found(&server));
        if seen {
            let hole = finding(&server, What::MtuBlackHole);
            assert!(hole.cost.as_millis() > 1000, "{hole:?}");
            assert!(hole.what.knobs().contains(&"tcp.mtu_probing"));
        }
    }
}

#[test]
fn damaged_packets_are_named_where_they_arrive() {
    for (link, seen) in [("rtt=20ms,corrupt=5%", true), ("rtt=20ms,loss=5%", false)] {
        let mut scene = Scene::new(link, &linux(), &linux());
        let socket = scene.connect();
        scene.get(socket, "/bytes/200000", 200_000);
        let [client, server] = inferred(scene);
        assert_eq!(times(&client, What::Checksum) > 0, seen, "{link}: {:?}", found(&client));
        let damaged: u64 = client.connections.iter().map(|c| c.down.damaged).sum();
        assert_eq!(damaged > 0, seen, "{link}");
        let own: u64 = server.connections.iter().map(|c| c.down.damaged).sum();
        assert_eq!(own, 0, "{link}: what the server sent was right when it left");
    }
}

#[test]
fn a_slow_name_server_is_named_and_a_quick_one_is_not() {
    let names = IpAddr::from([10, 0, 0, 53]);
    for (slow, seen) in [(200, true), (3, false)] {
        let mut world = World::new(5, "rtt=10ms".parse().unwrap());
        let file = Memory::default();
        let tracer = Tracer::new(vec![to_writer(file.clone(), Format::Pcapng, &TraceOptions::default())]);
        let mut config = host_config(CLIENT, linux());
        config.dns = vec![names];
        let client = world.add_host("client", config, tracer);
        let host = world.add(SERVER);
        world.add_name_server(NameServer::new(names).name("glass.test", SERVER).takes(slow * MS));
        let site =
            HttpServer::new(Owner(1), vec![(SERVER, 80).into()], Site::default(), http::Config::default());
        world.add_service(host, Box::new(site));
        let plans = vec![RequestPlan::get("http://glass.test/bytes/10").unwrap()];
        world.add_service(client, Box::new(HttpClient::new(Owner(2), plans, ClientOptions::default())));
        world.run_for(3000 * MS);
        world.finish().unwrap();
        let summary = explain(file.take().as_slice(), Options::default()).unwrap();
        assert_eq!(times(&summary, What::SlowName) > 0, seen, "{slow} ms: {:?}", found(&summary));
        if seen {
            assert_eq!(finding(&summary, What::SlowName).worst.as_millis(), 210);
        }
    }
}

#[test]
fn a_name_server_that_never_answers_is_named() {
    let question = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03www\x02ex\0\0\x01\0\x01";
    let mut packet = Vec::new();
    (etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 53], 64).udp(5555, 53))
        .write(&mut packet, question)
        .unwrap();
    let file = reading::pcap(101, usize::MAX, [(0, packet.clone()), (5_000_000, packet)]);
    let summary = explain(file.as_slice(), Options::default()).unwrap();
    let lost = finding(&summary, What::LostName);
    assert_eq!((lost.times, lost.cost.as_millis(), lost.frames.as_slice()), (1, 5000, &[(1, 2)][..]));
    let options = Options { connection: Some(1), ..Options::default() };
    assert_eq!(explain(file.as_slice(), options).unwrap().findings, []);
}

#[test]
fn a_pair_of_ports_that_is_used_again_within_a_minute_is_named() {
    for (pause, seen) in [(1, true), (70, false)] {
        let two = Config { ports_first: 40_000, ports_last: 40_000, ..linux() };
        let mut scene = Scene::new("rtt=10ms", &two, &linux());
        for _ in 0..2 {
            let socket = scene.connect();
            scene.write(socket, "GET /close HTTP/1.1\r\nHost: x\r\n\r\n");
            scene.world.read_to_end(socket).unwrap();
            scene.world.close(socket);
            scene.world.run_for(Duration::from_secs(pause));
        }
        for summary in inferred(scene) {
            assert_eq!(summary.connections.len(), 2);
            assert_eq!(times(&summary, What::PortReuse), u64::from(seen), "{:?}", found(&summary));
        }
    }
}

#[test]
fn reordering_that_was_taken_for_a_loss_is_told_from_one_that_was_not_and_from_losses() {
    let naive = Config { rack: false, tail_loss_probe: false, ..linux() };
    for (link, seen) in [("rtt=40ms,reorder=2%", true), ("rtt=40ms,loss=1%", false), ("rtt=40ms", false)] {
        let mut scene = Scene::new(link, &naive, &naive);
        let socket = scene.connect();
        scene.get(socket, "/bytes/2000000", 2_000_000);
        let [_, server] = inferred(scene);
        assert_eq!(times(&server, What::Reordering) > 0, seen, "{link}: {:?}", found(&server));
    }
}

#[test]
fn a_small_send_buffer_is_told_from_a_congestion_window() {
    let small = Config { send_buffer: 64 << 10, send_buffer_initial: 64 << 10, ..linux() };
    for (server, seen) in [(small, true), (linux(), false)] {
        let mut scene = Scene::new("rtt=50ms", &linux(), &server);
        let socket = scene.connect();
        scene.get(socket, "/bytes/1000000", 1_000_000);
        let [_, server] = inferred(scene);
        assert_eq!(times(&server, What::SendBuffer) > 0, seen, "{:?}", found(&server));
    }
}

/// The flights before it was known count too.
#[test]
fn a_short_transfer_from_a_small_send_buffer_is_no_slow_start_from_then_on() {
    let small = Config { send_buffer: 64 << 10, send_buffer_initial: 64 << 10, ..linux() };
    let mut scene = Scene::new("rtt=50ms", &linux(), &small);
    let socket = scene.connect();
    scene.get(socket, "/bytes/600000", 600_000);
    let [_, server] = inferred(scene);
    // Its flights are 14, 29, 46, 77, 99, 99 and from then on 102 kB.
    let times = [What::SendBuffer, What::SlowStart].map(|what| finding(&server, what).times);
    assert_eq!(times, [3, 7], "{:?}", found(&server));
}

#[test]
fn a_response_cut_off_after_the_client_closed_its_side_is_named() {
    for (half, seen) in [(true, true), (false, false)] {
        let mut scene = Scene::new("rtt=10ms", &linux(), &linux());
        let server = scene.hosts[1];
        let (a, b) = scene.world.pair(scene.hosts[0], server, (SERVER, 81)).unwrap();
        scene.write(a, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
        if half {
            scene.world.shutdown(a, tcp::Shutdown::Write);
        }
        scene.world.run_for(100 * MS);
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
        scene.write(b, text);
        if !half {
            scene.write(b, &"b".repeat(100));
        }
        scene.world.run_for(100 * MS);
        scene.world.shutdown(b, tcp::Shutdown::Write);
        for summary in inferred(scene) {
            assert_eq!(times(&summary, What::HalfClose) > 0, seen, "{:?}", found(&summary));
        }
    }
}

#[test]
fn the_first_line_names_the_stall_of_header_and_body() {
    let slow = Config { quickack: 0, ..linux() };
    let mut scene = Scene::new("rtt=1ms", &linux(), &slow);
    let socket = scene.connect();
    scene.write(socket, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n");
    scene.write(socket, &"b".repeat(300));
    scene.read(socket, 300);
    for summary in scene.end() {
        let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
        let first = text.lines().next().unwrap();
        assert!(first.contains("Nagle × delayed ACK") && first.contains("4"), "{text}");
    }
}

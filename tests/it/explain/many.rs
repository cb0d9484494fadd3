//! Does memory stay bounded however many connections there are, and are those that have the same addresses told apart?

use super::talk::{By::*, Odd, Talk, get, ok, usual};
use super::written::{never, told};
use super::*;
use tcpglass::explain::{Ending, Seen, follow};

/// Connections that are opened, used and closed one after the other, two milliseconds apart.
fn closed(many: u32) -> Vec<(u64, Vec<u8>)> {
    let mut packets = Vec::new();
    for n in 0..many {
        let mut t = Talk::between(1024 + (n % 60_000) as u16, 80 + (n / 60_000) as u16);
        let at = t.open(f64::from(n) * 2.0);
        t.say(at, Client, ".", &get("/a"));
        t.say(at + 20.0, Server, ".", &ok(10, 10));
        t.say(at + 20.1, Client, "F.", b"");
        t.say(at + 40.1, Server, "F.", b"");
        t.say(at + 40.2, Client, ".", b"");
        packets.extend(t.packets);
    }
    packets.sort_by_key(|(at, _)| *at);
    packets
}

#[test]
fn all_connections_pass_by_in_order_although_few_are_kept() {
    let file = Talk::file(&closed(5000), usize::MAX);
    let mut seen = Vec::new();
    let options = Options { keep: 10, ..Options::default() };
    let summary = follow(file.as_slice(), options, &mut |item| {
        if let Seen::Connection(c) = item {
            seen.push((c.number, c.ending, c.exchanges.len()));
        }
    });
    let summary = summary.unwrap();
    assert!(seen.iter().copied().eq((1..=5000).map(|n| (n, Ending::Closed, 1))), "{:?}", &seen[..3]);
    assert_eq!((summary.connections.len(), summary.seen, summary.given_up), (10, 5000, 0));
    let totals = summary.totals;
    assert_eq!((totals.connections, totals.packets, totals.exchanges), (5000, 40_000, 5000));
    assert_eq!(finding(&summary, What::Handshake).times, 5000);
}

/// As a child whose address space is limited: what is over is given back.
#[test]
fn memory_does_not_grow_with_the_connections() {
    let file = std::env::temp_dir().join(format!("tcpglass-many-{}.pcap", std::process::id()));
    std::fs::write(&file, Talk::file(&closed(20_000), usize::MAX)).unwrap();
    let program = env!("CARGO_BIN_EXE_tcpglass");
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 180000; exec \"$0\" explain --json \"$1\""])
        .args([program.as_ref(), file.as_os_str()])
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["connections"].as_array().unwrap().len(), 20_000);
}

#[test]
fn whoever_was_silent_for_longest_is_given_up_and_that_is_said() {
    let mut packets = Vec::new();
    for n in 0..20_000_u32 {
        let mut t = Talk::between(1024 + n as u16, 80);
        t.say(f64::from(n) / 10.0, Client, "S", b"");
        packets.extend(t.packets);
    }
    let file = Talk::file(&packets, usize::MAX);
    let summary = explain(file.as_slice(), Options::default()).unwrap();
    assert!(summary.seen == 20_000 && summary.given_up > 5000, "{}", summary.given_up);
    assert_eq!(summary.connections.len(), 20_000, "each is told all the same");
    let text = tcpglass::report::capture(&summary, tcpglass::report::Style::PLAIN);
    assert!(text.starts_with("connection attempts that nothing answered"), "{text:.200}");
    assert!(text.contains("silent connections given up"), "{text:.2000}");
}

#[test]
fn an_address_that_does_not_answer_costs_the_time_until_another_is_tried() {
    let mut t = Talk::new();
    t.say(0.0, Client, "S", b"");
    // To another server, as the second address of a name.
    let mut other = {
        let mut t = usual();
        t.move_server([10, 0, 0, 3]);
        t.packets
    };
    other.iter_mut().for_each(|(at, _)| *at += 250_000);
    let packets = [t.packets, other].concat();
    let summary = explain(Talk::file(&packets, usize::MAX).as_slice(), Options::default()).unwrap();
    assert_eq!(told(&summary, What::NoSynAck), (1, 250, Confidence::Inferred), "{:?}", found(&summary));
    assert_eq!(summary.findings[0].what, What::NoSynAck);
    never(&summary, &[What::SynLoss]);
}

/// What comes when a connection was settled long ago begins no new one.
#[test]
fn a_late_packet_belongs_to_what_was_closed() {
    let mut packets = closed(3000);
    let late = packets.iter().find(|(at, _)| *at > 40_000).unwrap().1.clone();
    let end = packets.last().unwrap().0;
    packets.push((end + 1000, late));
    let summary = explain(Talk::file(&packets, usize::MAX).as_slice(), Options::default()).unwrap();
    assert_eq!((summary.seen, summary.beyond), (3000, 1));
}

fn tagged(packets: &[(u64, Vec<u8>)], tags: &dyn Fn(&[u8]) -> u8) -> Vec<(u64, Vec<u8>)> {
    let frame = |packet: &[u8]| {
        let header = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, tags(packet), 8, 0];
        [&header[..], packet].concat()
    };
    packets.iter().map(|(at, packet)| (*at, frame(packet))).collect()
}

#[test]
fn the_same_addresses_in_two_virtual_networks_are_two_connections() {
    let one = usual();
    let mut two = Talk::new();
    two.again();
    let at = two.open(30.0);
    two.say(at, Client, ".", &get("/other"));
    two.say(at + 150.0, Server, ".", &ok(500, 500));
    let mut packets = tagged(&one.packets, &|_| 10);
    packets.extend(tagged(&two.packets, &|_| 20));
    packets.sort_by_key(|(at, _)| *at);
    let told = |packets: Vec<_>| {
        let file = super::reading::pcap(1, usize::MAX, packets);
        explain(file.as_slice(), Options::default()).unwrap()
    };
    let summary = told(packets);
    let exchanges: Vec<usize> = summary.connections.iter().map(|c| c.exchanges.len()).collect();
    assert_eq!((exchanges, summary.totals.wild), (vec![3, 1], 0));
    // Each direction in a network of its own is one connection.
    let by_source = |packet: &[u8]| 10 + packet[15];
    let summary = told(tagged(&one.packets, &by_source));
    assert_eq!((summary.seen, summary.connections[0].exchanges.len()), (1, 3));
    // So is what a router passes from one to the other.
    let mut both = tagged(&one.packets, &|_| 10);
    both.extend(tagged(&one.packets, &|_| 20).into_iter().map(|(at, packet)| (at + 30, packet)));
    both.sort_by_key(|(at, _)| *at);
    let summary = told(both);
    assert_eq!((summary.seen, summary.connections[0].exchanges.len()), (1, 3), "{:?}", found(&summary));
}

/// What an IPv4 header before it makes a packet of `protocol`.
fn inside_ip(protocol: u8, inner: &[u8]) -> Vec<u8> {
    let length = (20 + inner.len() as u16).to_be_bytes();
    let header =
        [0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    [&header[..], inner].concat()
}

#[test]
fn what_tunnels_and_odd_frames_carry_is_read() {
    let plain = usual();
    let expected = plain.told();
    let ether = |kind: &[u8], packet: &[u8]| [&[2; 12][..], kind, packet].concat();
    type Wrap<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let wraps: [(&str, u32, Wrap<'_>); 8] = [
        ("IP in IP", 101, &|p| inside_ip(4, p)),
        ("GRE with a key", 101, &|p| inside_ip(47, &[&[0x20, 0, 8, 0, 0, 0, 0, 9][..], p].concat())),
        ("GRE with Ethernet", 101, &|p| {
            inside_ip(47, &[&[0, 0, 0x65, 0x58][..], &ether(&[8, 0], p)].concat())
        }),
        ("VXLAN", 101, &|p| {
            let udp = [0x30, 0, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0];
            inside_ip(17, &[&udp[..], &ether(&[8, 0], p)].concat())
        }),
        ("two tunnels", 101, &|p| inside_ip(4, &inside_ip(4, p))),
        ("LLC and SNAP", 1, &|p| ether(&[1, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], p)),
        ("four tags", 1, &|p| {
            ether(&[0x88, 0xa8, 0, 1, 0x92, 0, 0, 2, 0x91, 0, 0, 3, 0x81, 0, 0, 4, 8, 0], p)
        }),
        ("PPPoE", 1, &|p| ether(&[0x88, 0x64, 0x11, 0, 0, 1, 1, 0, 0, 0x21], p)),
    ];
    for (name, link, wrap) in wraps {
        let packets = plain.packets.iter().map(|(at, packet)| (*at, wrap(packet)));
        let file = super::reading::pcap(link, usize::MAX, packets);
        let summary = explain(file.as_slice(), Options::default()).unwrap();
        assert_eq!(summary.connections, expected.connections, "{name}");
        assert_eq!((summary.not_tcp, &summary.findings), (0, &expected.findings), "{name}");
    }
    // Tunnels in tunnels without end are not.
    let deep = (0..20).fold(plain.packets[0].1.clone(), |inner, _| inside_ip(4, &inner));
    let summary = explain(Talk::file(&[(0, deep)], usize::MAX).as_slice(), Options::default()).unwrap();
    assert_eq!((summary.not_tcp, summary.seen), (1, 0));
}

#[test]
fn a_router_that_says_what_it_takes_is_named() {
    let mut t = Talk::new();
    let at = t.open(0.0);
    t.say(at, Client, ".", &get("/a"));
    let (body, start) = (ok(2000, 1900), t.at(Server));
    t.say(at + 0.1, Server, ".", &body);
    let too_big = &t.packets.last().unwrap().1[..28];
    let icmp = inside_ip(1, &[&[3, 4, 0, 0, 0, 0, 5, 0x78][..], too_big].concat());
    t.packets.push((((at + 9.0) * 1000.0) as u64, icmp));
    for (from, to) in [(0, 1348), (1348, body.len())] {
        let again = Odd { seq: Some(start + from as u32), ..Odd::default() };
        t.odd(at + 9.2, Server, ".", &body[from..to], again);
    }
    t.say(at + 29.2, Client, ".", b"");
    let summary = t.told();
    assert_eq!(told(&summary, What::PathMtu), (1, 9, Confidence::Certain), "{:?}", found(&summary));
    assert_eq!(finding(&summary, What::PathMtu).mtu, Some(1400));
    never(&summary, &[What::Rto, What::MtuBlackHole, What::TailLoss]);
    assert_eq!(summary.connections[0].ends[1].repeats.mtu, 2);
    // Whoever says it of what was never sent is not believed.
    let mut forged = t.packets[5].clone();
    forged.1[52] ^= 0x55;
    t.packets[5] = forged;
    never(&t.told(), &[What::PathMtu]);
}

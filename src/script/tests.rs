//! Do the parts of a script's reader do what they say, whatever they are given?

use super::ast::*;
use super::lexer::micros;
use super::settings::{IpVersion, Options};
use super::{Outcome, commands, parser, run};
use crate::segment::Flags;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn events(source: &str) -> Vec<Event> {
    parser::parse(source, &BTreeMap::new()).unwrap_or_else(|e| panic!("{source}: {e:?}")).events
}

fn packet(source: &str) -> Packet {
    match events(source).remove(0).action {
        Action::Packet(packet) => packet,
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn times_are_read_to_the_microsecond_in_all_their_forms() {
    for (text, time) in [
        ("0", Time::Absolute(0)),
        (".5", Time::Absolute(500_000)),
        ("1.000001", Time::Absolute(1_000_001)),
        ("+0.1", Time::Relative(100_000)),
        ("+2", Time::Relative(2_000_000)),
        ("0.100~0.120", Time::AbsoluteRange(100_000, 120_000)),
        ("+0~+.2", Time::RelativeRange(0, 200_000)),
        ("*", Time::Any),
    ] {
        assert_eq!(events(&format!("{text} > . 1:1(0)"))[0].time, time, "{text}");
    }
    // Exactly: no binary fractions in between.
    assert_eq!(micros("0.29"), Some(290_000));
    assert_eq!(micros("4.35"), Some(4_350_000));
}

#[test]
fn a_blocking_call_has_an_end_and_an_errno_its_note() {
    let Action::Call(call) =
        events("+0.1...0.200 connect(3, ..., ...) = -1 EAGAIN (Try it, again)").remove(0).action
    else {
        panic!("a call")
    };
    assert_eq!((call.end, call.name.as_str()), (Some(200_000), "connect"));
    assert_eq!((call.result, call.errno.as_deref()), (Expr::Int(-1), Some("EAGAIN")));
}

#[test]
fn flags_are_letters_a_point_or_a_dash() {
    for (text, flags) in [
        ("S", Flags::SYN),
        ("S.", Flags::SYN | Flags::ACK),
        ("FP.", Flags::FIN | Flags::PSH | Flags::ACK),
        ("SEW", Flags::SYN | Flags::ECE | Flags::CWR),
        ("UR", Flags::URG | Flags::RST),
        (".", Flags::ACK),
        ("-", Flags::NONE),
    ] {
        let Body::Tcp(tcp) = packet(&format!("0 < {text} 5:8(3)")).body else { panic!("{text}") };
        assert_eq!((tcp.flags, tcp.seq, tcp.len), (flags, 5, 3), "{text}");
    }
}

#[test]
fn options_keep_their_order_and_may_be_left_open() {
    let Body::Tcp(tcp) =
        packet("0 < . 1:1(0) ack 1 win 5 urg 6 <nop,TS val 7 ecr 8,sack 1:2 3:4,FO 0aff,eol>").body
    else {
        panic!("TCP")
    };
    let options = vec![
        TcpOption::Nop,
        TcpOption::Ts { val: 7, ecr: 8 },
        TcpOption::Sack(vec![(1, 2), (3, 4)]),
        TcpOption::Other { kind: 34, data: vec![0x0a, 0xff] },
        TcpOption::Eol,
    ];
    assert_eq!((tcp.options, tcp.win, tcp.urg), (Some(options), Some(5), 6));
    let Body::Tcp(open) = packet("0 > . 1:1(0) <...>").body else { panic!("TCP") };
    assert_eq!((open.options, open.win), (None, None));
}

#[test]
fn numbers_wrap_at_the_end_of_the_sequence_space() {
    let Body::Tcp(tcp) = packet("0 < . 4294967295:4(5)").body else { panic!("TCP") };
    assert_eq!((tcp.seq, tcp.len), (u32::MAX, 5));
}

#[test]
fn icmp_errors_quote_a_segment() {
    let Body::Icmp(icmp) = packet("0 < icmp unreachable frag_needed mtu 1200 [1:1461(1460)]").body else {
        panic!("ICMP")
    };
    assert_eq!((icmp.code.as_deref(), icmp.mtu, icmp.quoted), (Some("frag_needed"), Some(1200), (1, 1460)));
}

#[test]
fn comments_and_lines_are_counted() {
    let source =
        "// one\n/* two\n three */ 0 close(3) = 0 // four\n\n+0 close(4)\n = 0\n`a\nb`\n+0 close(5) = 0";
    let lines: Vec<u32> = events(source).iter().map(|e| e.line).collect();
    assert_eq!(lines, [3, 5, 7, 9]);
}

#[test]
fn sysctls_become_knobs() {
    use commands::Change::Knob;
    for (text, changes) in [
        ("sysctl -q net.ipv4.tcp_sack=0", vec![Knob("tcp.sack", "off".into())]),
        (
            "sysctl -w net.ipv4.tcp_syn_retries=3 >/dev/null && sysctl net.ipv4.tcp_fin_timeout=9; true",
            vec![Knob("tcp.syn_retries", "3".into()), Knob("tcp.fin_timeout", "9s".into())],
        ),
        ("sysctl net.ipv4.ip_local_port_range=\"1024 2048\"", vec![Knob("tcp.ports", "1024-2048".into())]),
        ("echo 1 > /proc/sys/net/ipv4/tcp_timestamps", vec![Knob("tcp.timestamps", "on".into())]),
        (
            "sysctl -q net.ipv4.tcp_rmem='4096 131072 6291456'",
            vec![Knob("tcp.recv_buffer", "6291456".into()), Knob("tcp.recv_buffer_initial", "131072".into())],
        ),
        ("x/set_sysctls.py /proc/sys/net/ipv4/tcp_sack=1", vec![Knob("tcp.sack", "on".into())]),
        (
            "ip route change 192.0.2.0/24 via 192.168.0.1 dev tun0 initcwnd 20 rto_min 50ms quickack 1",
            vec![
                Knob("tcp.init_cwnd", "20".into()),
                Knob("tcp.rto_min", "50ms".into()),
                Knob("tcp.ack_delay", "0".into()),
            ],
        ),
        (
            "sysctl -q net.ipv4.tcp_wmem=\"4096 $((16*1024)) $((2 * 1024 * 1024))\"",
            vec![Knob("tcp.send_buffer", "2097152".into()), Knob("tcp.send_buffer_initial", "16384".into())],
        ),
        ("nstat -n; ip tcp_metrics flush all; tc qdisc add dev tun0 root pfifo", vec![]),
        ("/tmp/sysctl_restore_${PPID}.sh", vec![]),
        ("# nothing\n:\nsysctl -q net.ipv4.tcp_fack=0", vec![]),
    ] {
        assert_eq!(commands::parse(text, 1, None), Ok(changes), "{text}");
    }
    for text in
        ["sysctl -q net.ipv4.tcp_sack=x", "sysctl", "echo 1 > /etc/passwd", "sysctl a=1 | cat", "sysctl \"a"]
    {
        assert!(commands::parse(text, 1, None).is_err(), "{text}");
    }
}

#[test]
fn every_knob_that_a_sysctl_names_exists_and_takes_its_value() {
    let mut config = crate::tcp::Config::linux();
    for (name, value) in [
        ("tcp_sack", "0"),
        ("tcp_timestamps", "0"),
        ("tcp_window_scaling", "0"),
        ("tcp_slow_start_after_idle", "0"),
        ("tcp_syn_retries", "3"),
        ("tcp_synack_retries", "3"),
        ("ip_default_ttl", "9"),
        ("tcp_retries2", "3"),
        ("tcp_keepalive_probes", "3"),
        ("tcp_keepalive_time", "3"),
        ("tcp_keepalive_intvl", "3"),
        ("tcp_fin_timeout", "3"),
        ("tcp_rto_max_ms", "3000"),
        ("tcp_rto_min_us", "3000"),
        ("tcp_invalid_ratelimit", "3"),
        ("ip_local_port_range", "2000 3000"),
        ("tcp_rmem", "4096 8192 16384"),
        ("tcp_wmem", "4096 8192 16384"),
    ] {
        let before = config.clone();
        for change in commands::parse(&format!("sysctl net.ipv4.{name}='{value}'"), 1, None).unwrap() {
            let commands::Change::Knob(knob, value) = change else { panic!("{name}") };
            commands::set(&mut config, knob, &value).unwrap_or_else(|e| panic!("{name}: {knob}: {e}"));
        }
        assert_ne!(config, before, "{name}");
    }
}

const SCRIPT: &str = "\
--tolerance_usecs=5000
`sysctl -q net.ipv4.tcp_sack=0`
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=1}, 8) = 0
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 32792 <mss 1000,sackOK,TS val 1 ecr 0,nop,wscale 7>
+0   > S. 0:0(0) ack 1 <...>
+.1  < . 1:1(0) ack 1 win 257 <nop,nop,TS val 2 ecr 3>
+0   accept(3, ..., ...) = 4
+0   < [ce] P. 1:1001(1000) ack 1 win 0 urg 5 <nop,nop,TS val 3 ecr 3>
*    > . 1:1(0) ack 1001 <...>
+0   recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 100}], msg_flags=0}, MSG_PEEK) = 100
+0   poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN|POLLOUT}], 1, 0) = 1
+0   write(4, \"abc\"..., 40000) = 40000
+0   < icmp unreachable frag_needed mtu 600 [1:1461(1460)]
+0...0.2 read(4, ..., 5000) = 1000
+0   %{ assert tcpi_state == TCP_ESTABLISHED, tcpi_state }%
+1   < R 1001:1001(0) win 0
+0   write(4, ..., 1) = -1 ECONNRESET (Connection reset by peer)
";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = run(&text, "s.pkt", &Options::default());
    }

    #[test]
    fn no_heap_of_words_makes_the_reader_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "0", "+0", "+0.1", "*", "~", "...", "<", ">", "S", "P.", ".", "-", "1:1(0)", "0:10(10)", "ack", "win", "urg",
            "1", "-1", "0x7f", "mss", "sack", "TS", "val", "ecr", "nop", "FO", ",", "(", ")", "[", "]", "{", "}", "=",
            "|", "icmp", "udp", "sock(3)", "ect0", "read", "\"a\"", "`true`", "%{ assert 1 }%", "--mtu=1500", "\n", "99999",
            "fd", "EAGAIN", "4294967295", "connect(3, ..., ...) = 0",
        ]), 0..40)
    ) {
        let _ = run(&words.join(" "), "s.pkt", &Options::default());
    }

    #[test]
    fn no_mutilated_script_makes_the_runner_panic(
        edits in prop::collection::vec((0usize..100, 0usize..100, 0u8..4), 1..6),
        version in 0usize..3,
    ) {
        let mut lines: Vec<String> = SCRIPT.lines().map(str::to_owned).collect();
        for (a, b, what) in edits {
            let (a, b) = (a % lines.len(), b % lines.len());
            match what {
                0 => drop(lines.remove(a)),
                1 => lines.swap(a, b),
                2 => { let copy = lines[a].clone(); lines.insert(b, copy); }
                _ => {
                    // A word of one line in the place of a word of another.
                    let word = lines[a].split(' ').nth(b % 5).unwrap_or("0").to_owned();
                    let mut words: Vec<String> = lines[b].split(' ').map(str::to_owned).collect();
                    let at = a % words.len();
                    words[at] = word;
                    lines[b] = words.join(" ");
                }
            }
            if lines.is_empty() {
                break;
            }
        }
        let options = Options { ip_version: Some(IpVersion::ALL[version]), ..Options::default() };
        let source = lines.join("\n");
        let first = run(&source, "s.pkt", &options);
        // The same script and seed give the same verdict to the letter.
        prop_assert_eq!(first, run(&source, "s.pkt", &options));
    }
}

#[test]
fn the_script_that_is_mutilated_gets_far() {
    // It is not meant to pass; but if it failed early, the test above would say nothing.
    let Outcome::Failed(failure) = run(SCRIPT, "s.pkt", &Options::default()) else { panic!("it fails") };
    assert!(failure.line >= 16, "{failure}");
}

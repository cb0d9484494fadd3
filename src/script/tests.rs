//! Do the parts of a script's reader do what they say, whatever they are given?

use super::ast::*;
use super::lexer::micros;
use super::settings::{IpVersion, Options};
use super::{Outcome, commands, conditions, parser, run};
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
    for text in [
        "sysctl -q net.ipv4.tcp_sack=x",
        "sysctl",
        "echo 1 > /etc/passwd",
        "sysctl a=1 | cat",
        "sysctl \"a",
        "nstat -az TcpRetransSegs | grep -q 12345",
        "ls /nowhere",
        "expr 1 = 2",
        "[ -d /nowhere ]",
        "uname -r | grep -q ^2 || sysctl -q net.ipv4.tcp_sack=0",
        "sysctl -n net.ipv4.tcp_sack | sed s/1/0/ > /proc/sys/net/ipv4/tcp_sack",
        "find /proc/sys -name tcp_sack | xargs rm",
    ] {
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
        ("tcp_rfc1337", "1"),
        ("tcp_orphan_retries", "3"),
        ("tcp_tw_reuse", "1"),
        ("tcp_challenge_ack_limit", "1000"),
        ("tcp_base_mss", "512"),
        ("tcp_mtu_probe_floor", "64"),
        ("tcp_mtu_probing", "1"),
        ("tcp_moderate_rcvbuf", "0"),
        ("tcp_comp_sack_delay_ns", "0"),
        ("tcp_comp_sack_nr", "7"),
        ("tcp_ecn", "0x1"),
        ("tcp_frto", "0"),
        ("tcp_syncookies", "2"),
        ("tcp_syn_linear_timeouts", "0"),
    ] {
        let before = config.clone();
        for change in commands::parse(&format!("sysctl net.ipv4.{name}='{value}'"), 1, None).unwrap() {
            let commands::Change::Knob(knob, value) = change else { panic!("{name}") };
            conditions::set(&mut config, knob, &value).unwrap_or_else(|e| panic!("{name}: {knob}: {e}"));
        }
        assert_ne!(config, before, "{name}");
    }
}

/// All that Linux 6.18 has under net.ipv4.tcp_, as it comes.
const OF_LINUX: &str = "
    tcp_abort_on_overflow = 0
    tcp_adv_win_scale = 1
    tcp_allowed_congestion_control = reno bbr
    tcp_app_win = 31
    tcp_autocorking = 1
    tcp_available_congestion_control = reno bbr cubic
    tcp_backlog_ack_defer = 1
    tcp_base_mss = 1024
    tcp_challenge_ack_limit = 2147483647
    tcp_child_ehash_entries = 0
    tcp_comp_sack_delay_ns = 1000000
    tcp_comp_sack_nr = 44
    tcp_comp_sack_slack_ns = 100000
    tcp_congestion_control = cubic
    tcp_dsack = 1
    tcp_early_demux = 1
    tcp_early_retrans = 3
    tcp_ecn = 2
    tcp_ecn_fallback = 1
    tcp_ecn_option = 2
    tcp_ecn_option_beacon = 3
    tcp_ehash_entries = -262144
    tcp_fack = 0
    tcp_fastopen = 1
    tcp_fastopen_blackhole_timeout_sec = 0
    tcp_fastopen_key = 00000000-00000000-00000000-00000000
    tcp_fin_timeout = 60
    tcp_frto = 2
    tcp_fwmark_accept = 0
    tcp_invalid_ratelimit = 500
    tcp_keepalive_intvl = 75
    tcp_keepalive_probes = 9
    tcp_keepalive_time = 7200
    tcp_l3mdev_accept = 0
    tcp_limit_output_bytes = 4194304
    tcp_max_reordering = 300
    tcp_max_syn_backlog = 2048
    tcp_max_tw_buckets = 131072
    tcp_migrate_req = 0
    tcp_min_rtt_wlen = 300
    tcp_min_snd_mss = 48
    tcp_min_tso_segs = 2
    tcp_moderate_rcvbuf = 1
    tcp_mtu_probe_floor = 48
    tcp_mtu_probing = 0
    tcp_no_metrics_save = 0
    tcp_no_ssthresh_metrics_save = 1
    tcp_notsent_lowat = 4294967295
    tcp_orphan_retries = 0
    tcp_pacing_ca_ratio = 120
    tcp_pacing_ss_ratio = 200
    tcp_pingpong_thresh = 1
    tcp_plb_cong_thresh = 128
    tcp_plb_enabled = 0
    tcp_plb_idle_rehash_rounds = 3
    tcp_plb_rehash_rounds = 12
    tcp_plb_suspend_rto_sec = 60
    tcp_probe_interval = 600
    tcp_probe_threshold = 8
    tcp_recovery = 1
    tcp_reflect_tos = 0
    tcp_reordering = 3
    tcp_retrans_collapse = 1
    tcp_retries1 = 3
    tcp_retries2 = 15
    tcp_rfc1337 = 0
    tcp_rmem = 4096 131072 33554432
    tcp_rto_max_ms = 120000
    tcp_rto_min_us = 200000
    tcp_sack = 1
    tcp_shrink_window = 0
    tcp_slow_start_after_idle = 1
    tcp_stdurg = 0
    tcp_syn_linear_timeouts = 4
    tcp_syn_retries = 6
    tcp_synack_retries = 5
    tcp_syncookies = 1
    tcp_thin_linear_timeouts = 0
    tcp_timestamps = 1
    tcp_tso_rtt_log = 9
    tcp_tso_win_divisor = 3
    tcp_tw_reuse = 2
    tcp_tw_reuse_delay = 1000
    tcp_window_scaling = 1
    tcp_wmem = 4096 16384 4194304
    tcp_workaround_signed_windows = 0
";

#[test]
fn all_that_linux_has_can_be_set_to_what_it_is() {
    for line in OF_LINUX.trim().lines() {
        let (name, value) = line.trim().split_once('=').unwrap();
        let text = format!("sysctl -w net.ipv4.{}='{}'", name.trim(), value.trim());
        let changes = commands::parse(&text, 1, None).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let mut config = crate::tcp::Config::linux();
        for change in changes {
            let commands::Change::Knob(knob, value) = change else { continue };
            conditions::set(&mut config, knob, &value).unwrap_or_else(|e| panic!("{text}: {knob}: {e}"));
        }
    }
}

#[test]
fn commands_make_files_wait_and_are_read_like_a_shell_does() {
    use commands::Change::{File, Knob, Mtu, Pause};
    use std::time::Duration;
    let file = |name: &str, size| File(name.to_string(), size);
    for (text, changes) in [
        (
            "sleep 0.5; usleep 10; sleep 1m",
            vec![
                Pause(Duration::from_millis(500)),
                Pause(Duration::from_micros(10)),
                Pause(Duration::from_secs(60)),
            ],
        ),
        ("dd if=/dev/zero of=/tmp/x bs=1K count=3 2>/dev/null", vec![file("/tmp/x", Some(3072))]),
        ("truncate -s 1M /tmp/y && rm -f /tmp/y", vec![file("/tmp/y", Some(1 << 20)), file("/tmp/y", None)]),
        ("echo abc > /tmp/z", vec![file("/tmp/z", Some(4))]),
        ("modprobe tcp_x || true; sysctl net.ipv4.tcp_sack=0x0", vec![Knob("tcp.sack", "off".into())]),
        ("python3 ./set_sysctls.py /proc/sys/net/ipv4/tcp_rfc1337=1", vec![Knob("tcp.rfc1337", "on".into())]),
        ("sysctl net.ipv4.tcp_sack", vec![]),
        ("tc qdisc replace dev tun0 root fq", vec![Knob("tcp.pacing", "on".into())]),
        (
            "ip route change 192.0.2.1/32 dev tun0 mtu lock 1000 features ecn",
            vec![Mtu(1000), Knob("tcp.ecn", "on".into())],
        ),
        ("ip link set dev tun0 mtu 1000", vec![Mtu(1000)]),
        ("nstat | grep -q Drops; ss -tin 2>&1 | cat >/dev/null; iptables -F", vec![]),
        ("for i in sack dsack; do sysctl -q net.ipv4.tcp_$i=0; done", {
            vec![Knob("tcp.sack", "off".into()), Knob("tcp.dsack", "off".into())]
        }),
        (
            "if [ -f /proc/sys/net/ipv4/tcp_none ]; then false; elif test 1 -eq 1; then sleep 1; else false; fi",
            { vec![Pause(Duration::from_secs(1))] },
        ),
        ("if grep -q x /tmp/y; then true; else echo; fi; ! false && (false || { true; })", vec![]),
        ("which ss && sysctl -q net.ipv4.tcp_sack=0", vec![Knob("tcp.sack", "off".into())]),
        ("cd /proc/sys/net/ipv4; echo 0 > tcp_sack", vec![Knob("tcp.sack", "off".into())]),
        ("echo 0 | tee /proc/sys/net/ipv4/tcp_sack", vec![Knob("tcp.sack", "off".into())]),
        ("echo net.ipv4.tcp_sack=0 | xargs sysctl -qw", vec![Knob("tcp.sack", "off".into())]),
        ("sysctl net.ipv4.tcp_none=1 || sleep 1", vec![Pause(Duration::from_secs(1))]),
        ("sysctl -qe net.ipv4.tcp_none=1; sysctl -q net.ipv4.tcp_sack=0 >/dev/null 2>&1", {
            vec![Knob("tcp.sack", "off".into())]
        }),
    ] {
        assert_eq!(commands::parse(text, 1, None), Ok(changes), "{text}");
    }
    for text in [
        "iptables -A INPUT -j DROP",
        "if grep -q x /tmp/y; then sysctl -q net.ipv4.tcp_sack=0; fi",
        "sysctl -q net.ipv4.tcp_none=1",
        "if true; then true",
        "for i in 1",
        "( true",
        "true )",
        "tc qdisc add dev tun0 root netem delay 10ms",
        "sleep soon",
        "dd if=/etc/passwd of=/tmp/x bs=1 count=1",
        "false",
    ] {
        assert!(commands::parse(text, 1, None).is_err(), "{text}");
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

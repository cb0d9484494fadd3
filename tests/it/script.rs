//! Does the stack do what our packet scripts say, with IPv4, IPv6 and mapped addresses? And do scripts fail where
//! they must?

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tcpglass::script::{IpVersion, Options, Outcome, run, run_traced};
use tcpglass::trace::Digest;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// Runs `tests/scripts/GROUP/NAME.pkt` in every IP version, or in the one that it names itself. No packet may be sent
/// that no line expects.
fn passes(group: &str, name: &str) {
    let path = root().join(group).join(format!("{name}.pkt"));
    let source = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let versions: &[Option<IpVersion>] = if source.contains("--ip_version=") {
        &[None]
    } else {
        &[Some(IpVersion::Ipv4), Some(IpVersion::Ipv6), Some(IpVersion::Ipv4MappedIpv6)]
    };
    for &ip_version in versions {
        let options =
            Options { strict: true, ip_version, tolerance_percent: Some(0.0), ..Options::default() };
        let outcome = run(&source, &format!("{group}/{name}.pkt"), &options);
        assert_eq!(outcome, Outcome::Passed, "{ip_version:?}\n{outcome}");
    }
}

macro_rules! scripts {
    ($($group:ident: $($name:ident)*;)*) => {
        $(mod $group {
            $(#[test]
            fn $name() {
                super::passes(stringify!($group), stringify!($name));
            })*
        })*

        const LISTED: &[(&str, &str)] = &[$($((stringify!($group), stringify!($name)),)*)*];
    };
}

include!("script_list.rs");

#[test]
fn every_script_is_listed() {
    let mut found = BTreeSet::new();
    for group in fs::read_dir(root()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        for file in fs::read_dir(&group).unwrap().map(|e| e.unwrap().path()) {
            let name = |p: &Path| p.file_stem().unwrap().to_str().unwrap().to_owned();
            found.insert((name(&group), name(&file)));
        }
    }
    let listed: BTreeSet<_> = LISTED.iter().map(|(g, n)| (g.to_string(), n.to_string())).collect();
    assert_eq!(found, listed);
}

/// Touches every field that can be compared.
const EVERYTHING: &str = "\
--tcp_ts_tick_usecs=1000
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < 700 > 8080 S 0:0(0) win 32792 <mss 1012,sackOK,TS val 1000 ecr 0,nop,wscale 7>
+0   > [ttl 64] 8080 > 700 S. 0:0(0) ack 1 win 65160 <mss 1460,sackOK,TS val 100 ecr 1000,nop,wscale 7>
+.1  < 700 > 8080 . 1:1(0) ack 1 win 257 <nop,nop,TS val 1100 ecr 100>
+0   accept(3, ..., ...) = 4
+0   < . 1001:2001(1000) ack 1 win 257 <nop,nop,TS val 1100 ecr 100>
+0   > [noecn] sock(4) . 1:1(0) ack 1 win 510 <nop,nop,TS val 200 ecr 1100,nop,nop,sack 1001:2001>
+0   < . 1:1001(1000) ack 1 win 257 <nop,nop,TS val 1100 ecr 100>
+0   > [tos 0x0] . 1:1(0) ack 2001 <...>
+0   read(4, ..., 5000) = 2000
+0   recv(4, ..., 5000, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)
+.1  write(4, ..., 100) = 100
+0   ioctl(4, SIOCOUTQ, [100]) = 0
+0   poll([{fd=4, events=POLLOUT, revents=POLLOUT}], 1, 0) = 1
+0   getsockopt(4, IPPROTO_TCP, TCP_NODELAY, [0], [4]) = 0
+0   > P. 1:101(100) ack 2001 <nop,nop,TS val 300 ecr 1100>
+0...0.2 read(4, ..., 10) = 0
+.2  < F. 2001:2001(0) ack 101 win 257 <nop,nop,TS val 1200 ecr 300>
+.03~+.05 > . 101:101(0) ack 2002 <...>
+.1  %{ assert tcpi_state == TCP_CLOSE_WAIT }%
";

fn outcome(script: &str) -> Outcome {
    run(script, "s.pkt", &Options { strict: true, tolerance_percent: Some(0.0), ..Options::default() })
}

#[test]
fn the_script_that_is_going_to_be_mutated_passes() {
    assert_eq!(outcome(EVERYTHING), Outcome::Passed, "{}", outcome(EVERYTHING));
}

#[test]
fn a_wrong_expectation_in_any_field_fails_and_says_which() {
    let table = [
        ("another flag", "> P. 1:101", "> . 1:101", "other flags"),
        ("a flag too many", "> P. 1:101", "> PE. 1:101", "other flags"),
        (
            "the number of a later packet",
            "> [tos 0x0] . 1:1(0)",
            "> [tos 0x0] . 2:2(0)",
            "another sequence number",
        ),
        ("a longer payload", "> P. 1:101(100)", "> P. 1:102(101)", "another payload length"),
        (
            "an acknowledgment",
            "> [tos 0x0] . 1:1(0) ack 2001",
            "> [tos 0x0] . 1:1(0) ack 2000",
            "another acknowledgment",
        ),
        ("a window", "win 65160", "win 60001", "another window"),
        ("a scaled window", "win 510", "win 470", "another window"),
        (
            "an urgent pointer",
            "> P. 1:101(100) ack 2001",
            "> P. 1:101(100) ack 2001 urg 1",
            "another urgent pointer",
        ),
        (
            "the order of options",
            "<mss 1460,sackOK,TS val 100",
            "<sackOK,mss 1460,TS val 100",
            "other TCP options",
        ),
        ("an option's value", "<mss 1460", "<mss 1461", "other TCP options"),
        ("an option less", "<nop,nop,TS val 300 ecr 1100>", "", "other TCP options"),
        ("an option more", "ecr 1000,nop,wscale 7>", "ecr 1000,nop,wscale 7,eol>", "other TCP options"),
        ("a SACK block", "sack 1001:2001", "sack 1001:2000", "other TCP options"),
        ("a time stamp", "TS val 300 ecr 1100", "TS val 310 ecr 1100", "other TCP options"),
        ("an echoed time stamp", "TS val 300 ecr 1100", "TS val 300 ecr 1101", "other TCP options"),
        ("an ECN codepoint", "[noecn]", "[ect0]", "another ECN codepoint"),
        ("either ECN codepoint", "[noecn]", "[ect01]", "another ECN codepoint"),
        ("the TOS byte", "[tos 0x0]", "[tos 0x4]", "another TOS byte"),
        ("the TTL", "[ttl 64]", "[ttl 63]", "another TTL"),
        ("a port", "> [noecn] sock(4) .", "> [noecn] 8080 > 701 .", "other ports"),
        ("a socket", "sock(4)", "sock(3)", "another socket"),
        ("a time before", "+0   > P. 1:101", "+.1   > P. 1:101", "sent too early"),
        ("a time behind", "+.03~+.05 > .", "+.06~+.07 > .", "sent too early"),
        ("a packet that never comes", "+.1  %{", "+0 > . 101:101(0) ack 2002 <...>\n+.1 %{", "was not sent"),
        ("a packet that nobody wanted", "+.03~+.05 > . 101:101(0) ack 2002 <...>\n", "", "no line expects"),
        (
            "a return value",
            "read(4, ..., 5000) = 2000",
            "read(4, ..., 5000) = 2001",
            "read returned something else",
        ),
        ("an errno", "-1 EAGAIN", "-1 EINVAL", "recv returned something else"),
        (
            "success instead of an errno",
            "100) = 100",
            "100) = -1 EPIPE (Broken pipe)",
            "write returned something else",
        ),
        ("a value of ioctl", "SIOCOUTQ, [100]", "SIOCOUTQ, [99]", "ioctl returned another value"),
        ("an event of poll", "revents=POLLOUT", "revents=POLLIN|POLLOUT", "poll saw other events"),
        ("a value of getsockopt", "TCP_NODELAY, [0]", "TCP_NODELAY, [1]", "the option has another value"),
        ("the end of a blocking call", "+0...0.2 read", "+0...0.1 read", "returned at another time"),
        (
            "a blocking call that is not done when the next one is made",
            "+.2  < F.",
            "+0 close(4) = 0\n+.2 < F.",
            "the call still blocks",
        ),
        ("a call that returns too soon", "+0...0.2 read", "+0...0.3 read", "returned at another time"),
        ("a call that blocks unannounced", "+0...0.2 read", "+0 read", "read returned something else"),
        ("an assertion", "== TCP_CLOSE_WAIT", "== TCP_ESTABLISHED", "the assertion does not hold"),
    ];
    for (name, from, to, what) in table {
        assert!(EVERYTHING.contains(from), "{name}: {from} is in the script");
        let outcome = outcome(&EVERYTHING.replacen(from, to, 1));
        let Outcome::Failed(failure) = &outcome else { panic!("{name}: {outcome}") };
        assert!(failure.what.contains(what), "{name}: {outcome}");
    }
}

#[test]
fn a_failure_shows_line_text_and_both_packets_with_their_times() {
    let script = EVERYTHING.replacen("> P. 1:101(100) ack 2001", "> P. 1:101(100) ack 1999", 1);
    assert_eq!(
        outcome(&script).to_string(),
        "\
s.pkt:20: the packet has another acknowledgment number than expected
    +0   > P. 1:101(100) ack 1999 <nop,nop,TS val 300 ecr 1100>
  expected  at 0.200000 s  > P. 1:101(100) ack 1999 <nop,nop,TS val 300 ecr 1100>
  seen      at 0.200000 s  > P. 1:101(100) ack 2001 win 495 <nop,nop,TS val 300 ecr 1100>  why=data"
    );
}

#[test]
fn a_packet_at_another_time_is_shown_with_its_time() {
    let script = "\
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   fcntl(3, F_SETFL, O_NONBLOCK) = 0
+0   connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0   > S 0:0(0) <mss 1460,sackOK,TS val 0 ecr 0,nop,wscale 7>
+.5  > S 0:0(0) <...>
";
    assert_eq!(
        outcome(script).to_string(),
        "\
s.pkt:5: the packet was sent too late
    +.5  > S 0:0(0) <...>
  expected  at 0.500000 s  > S 0:0(0) <...>
  seen      at 1.000000 s  > S 0:0(0) win 64240 <mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7>  \
         why=syn-retransmit"
    );
    // What the tolerance allows is right.
    let wide = run(script, "s.pkt", &Options { tolerance_usecs: Some(500_000), ..Options::default() });
    assert_eq!(wide, Outcome::Passed, "{wide}");
}

#[test]
fn what_is_not_there_is_refused_by_name_and_line() {
    let table = [
        ("0 > encap psp spi 1 . 1:1(0)", "encapsulation in psp"),
        ("0 < ipv4 1.2.3.4 > 5.6.7.8: . 1:1(0)", "encapsulation in ipv4"),
        ("0 < S 0:0(0) <mptcp>", "the TCP option mptcp"),
        ("0 vmsplice(3, NULL, 1, 0) = 10", "the system call vmsplice"),
        ("0 socket(..., SOCK_RAW, IPPROTO_UDP) = 3", "sockets of type SOCK_RAW"),
        ("0 socket(..., SOCK_DGRAM, IPPROTO_ICMP) = 3", "sockets of type SOCK_DGRAM"),
        ("0 socket(..., SOCK_FANCY, 0) = 3", "the symbolic constant SOCK_FANCY"),
        ("--wire_client\n0 close(3) = 0", "the option --wire_client"),
        ("`iptables -A INPUT -j DROP`", "the command `iptables -A INPUT -j DROP`"),
        (
            "`ip route change 192.0.2.0/24 dev tun0 rtt 9`",
            "the command `ip route change 192.0.2.0/24 dev tun0 rtt 9`",
        ),
        ("`./defaults.sh`", "the command `./defaults.sh`"),
        ("`sysctl -q net.ipv4.tcp_retrans_collapse=0`", "sysctl net.ipv4.tcp_retrans_collapse=0"),
        ("`sysctl -q net.ipv4.tcp_ecn=6`", "sysctl net.ipv4.tcp_ecn=6"),
        ("`sysctl -w net.ipv4.tcp_congestion_control=bbr`", "sysctl net.ipv4.tcp_congestion_control=bbr"),
        ("`sysctl -p sysctl.conf`", "the command `sysctl -p sysctl.conf`"),
        ("0 %{ import subprocess }%", "the Python statement `import subprocess`"),
        ("0 %{ assert tcpi_colour == 0 }%", "tcpi_colour in an assertion"),
    ];
    for (script, what) in table {
        let outcome = outcome(script);
        let Outcome::Unsupported(refused) = &outcome else { panic!("{script}: {outcome}") };
        assert_eq!((refused.what.as_str(), refused.file.as_str()), (what, "s.pkt"), "{script}");
    }
    let late = "0 socket(..., SOCK_STREAM, 0) = 3\n+0 setsockopt(3, IPPROTO_TCP, TCP_ULP, \"tls\", 4) = 0\n";
    assert_eq!(outcome(late).to_string(), "s.pkt:2: unsupported: TCP_ULP tls");
}

#[test]
fn what_cannot_be_read_is_a_failure_at_its_line() {
    let table = [
        ("\n0 < S 0:5(6)", "s.pkt:2: 0:5 are not 6 bytes"),
        ("0 < S 0:0(0) ack", "an acknowledgment number was expected here, not the end of the script"),
        ("0 < S 0:0(0) win 70000", "70000 is out of range for a window"),
        (
            "0 < Q 0:0(0)",
            "flags (letters of FSRPEWUA or an ACE count, a point, or a dash for none) was expected here",
        ),
        ("* < S 0:0(0)", "the time `*` can only be used with outbound packets"),
        ("0~1 close(3) = 0", "a time range can only be used with outbound packets"),
        ("1~0 > S 0:0(0)", "the time range is backwards"),
        ("-1 close(3) = 0", "a time is negative"),
        ("9999999999 close(3) = 0", "9999999999 s is too long a time"),
        ("0 < S 0:0(0) <...>", "`<...>` can only be used with outbound packets"),
        (
            "0 < S 0:0(0) <TS val 1 ecr 1,TS val 1 ecr 1,TS val 1 ecr 1,TS val 1 ecr 1,nop>",
            "take 41 bytes of 40",
        ),
        ("0 close(3 = 0", "`,` was expected here, not `=`"),
        ("0 close(3) = 0 EBADF (Bad", "`)` was expected here, not the end of the script"),
        ("/* for ever", "the comment is not closed: `*/` is missing"),
        ("0 %{ assert 1", "the code block is not closed: `}%` is missing"),
        ("`sysctl", "the command is not closed: ` is missing"),
        ("0 read(3, \"abc, 1) = 1", "the string is not closed"),
        ("# a comment", "a time in seconds was expected here, not `#`"),
        ("--ip_version=ipv5\n", "ipv4, ipv6 or ipv4-mapped-ipv6 was expected"),
        ("--set=tcp.nagel=off\n", "there is no knob tcp.nagel"),
        ("--mtu=100\n", "an MTU of 100 is below the least of ipv4: 576"),
        ("--local_ip=::1\n", "::1 is no address of ipv4"),
        ("0 accept(3) = 4", "accept takes 3 arguments, not 1"),
    ];
    for (script, message) in table {
        let outcome = outcome(script);
        assert!(matches!(outcome, Outcome::Failed(_)), "{script}: {outcome}");
        assert!(outcome.to_string().contains(message), "{script}: {outcome}");
    }
}

#[test]
fn the_caller_beats_the_script_and_definitions_replace_words() {
    let script =
        "--tolerance_usecs=1\n--define=PROTO=IPPROTO_TCP\n0 socket(..., TYPE, PROTO) = 3\n0 close(3) = 0\n";
    let mut options = Options::default();
    assert!(matches!(run(script, "s.pkt", &options), Outcome::Unsupported(_)));
    options.defines.insert("TYPE".into(), "SOCK_STREAM".into());
    assert_eq!(run(script, "s.pkt", &options), Outcome::Passed);
    let script = "--ip_version=ipv6\n0 socket(AF_INET, SOCK_STREAM, 0) = 3\n";
    assert!(matches!(run(script, "s.pkt", &options), Outcome::Unsupported(_)));
    options.ip_version = Some(IpVersion::Ipv4);
    assert_eq!(run(script, "s.pkt", &options), Outcome::Passed);
}

#[test]
fn a_shell_file_is_read_from_the_directory_and_never_executed() {
    let directory = std::env::temp_dir().join(format!("tcpglass-script-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let body = "#!/bin/sh\n# comment\nset -e\nsysctl -q net.ipv4.tcp_wmem=\"4096 $((256*1024)) 4194304\"\n\
                sysctl -q net.ipv4.tcp_fastopen=0x3 net.ipv4.tcp_syncookies=1\ntc qdisc add dev tun0 root pfifo\nsysctl -q net.ipv4.tcp_sack=0 \\\n  net.ipv4.tcp_timestamps=0\n\
                echo 0 > /proc/sys/net/ipv4/tcp_window_scaling\nip tcp_metrics flush all > /dev/null 2>&1\n";
    fs::write(directory.join("defaults.sh"), body).unwrap();
    let script = "`./defaults.sh`\n0 socket(..., SOCK_STREAM, 0) = 3\n0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n\
                  0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n0 > S 0:0(0) <mss 1460>\n";
    let options = Options { directory: Some(directory.clone()), strict: true, ..Options::default() };
    let outcome = run(script, "s.pkt", &options);
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(outcome, Outcome::Passed, "{outcome}");
}

#[test]
fn a_run_is_recorded_and_the_seed_decides_its_bytes() {
    let recorded = |seed| {
        let (digest, sink) = Digest::new();
        let options = Options { seed, ..Options::default() };
        let (outcome, finished) = run_traced(EVERYTHING, "s.pkt", &options, vec![sink]);
        finished.unwrap();
        assert_eq!(outcome, Outcome::Passed, "{outcome}");
        digest.value()
    };
    assert_eq!(recorded(1), recorded(1));
    assert_ne!(recorded(1), recorded(2));
}

#[test]
fn a_script_that_cannot_be_read_still_ends_its_recording() {
    let (_, sink) = Digest::new();
    let (outcome, finished) = run_traced("nonsense", "s.pkt", &Options::default(), vec![sink]);
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome}");
    finished.unwrap();
}

//! Is a script judged as packetdrill judges it, where that asks for less than our own tests do?

use tcpglass::script::{Options, Outcome, run};

/// An accepted connection, descriptor 4, at 0.1 s.
const ACCEPTED: &str = "\
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 32792 <mss 1000,sackOK,TS val 1000 ecr 0,nop,wscale 7>
+0   > S. 0:0(0) ack 1 <...>
+.1  < . 1:1(0) ack 1 win 257 <nop,nop,TS val 1100 ecr 0>
+0   accept(3, ..., ...) = 4
";

fn passes(rest: &str) {
    let script = format!("{ACCEPTED}{rest}");
    let outcome = run(&script, "s.pkt", &Options::default());
    assert_eq!(outcome, Outcome::Passed, "{outcome}");
}

fn fails(rest: &str, what: &str) {
    let script = format!("{ACCEPTED}{rest}");
    let outcome = run(&script, "s.pkt", &Options::default());
    let Outcome::Failed(failure) = &outcome else { panic!("{rest}: {outcome}") };
    assert!(failure.what.contains(what), "{rest}: {outcome}");
}

#[test]
fn what_a_time_stamp_echoes_is_not_compared() {
    passes(
        "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1 <nop,nop,TS val 1 ecr 4711>\n\
            +.1 < . 1:1(0) ack 101 win 257 <nop,nop,TS val 1200 ecr 1>\n",
    );
}

#[test]
fn a_clock_of_time_stamps_may_drift_by_a_share_of_the_whole_time() {
    let write = |val| {
        format!(
            "{}{ACCEPTED}+10 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1 <nop,nop,TS val {val} ecr 1100>\n",
            "--tcp_ts_tick_usecs=1000\n"
        )
        .replace("ack 1 <...>", "ack 1 <mss 1460,sackOK,TS val 100 ecr 1000,nop,wscale 7>")
        .replace("1100 ecr 0", "1100 ecr 100")
    };
    for (val, right) in [(10_200, true), (11_300, true), (11_600, false)] {
        let outcome = run(&write(val), "s.pkt", &Options::default());
        assert_eq!(outcome == Outcome::Passed, right, "{val}: {outcome}");
    }
}

#[test]
fn packets_of_other_connections_are_passed_over() {
    let first = "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1 <...>\n";
    let second = "\
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 5
+0 fcntl(5, F_SETFL, O_NONBLOCK) = 0
+0 connect(5, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <...>
+1 > S 0:0(0) <...>
+.01 < S. 0:0(0) ack 1 win 5000 <mss 1000>
+0 > . 1:1(0) ack 1
";
    // The first connection repeats its data in between.
    passes(&format!("{first}{second}"));
    let strict = Options { strict: true, ..Options::default() };
    let all = run(&format!("{ACCEPTED}{first}{second}"), "s.pkt", &strict);
    assert!(matches!(all, Outcome::Failed(_)), "{all}");
}

#[test]
fn a_new_listener_takes_the_next_line_as_a_new_connection() {
    passes(
        "+0 close(3) = 0\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 5\n\
         +0 setsockopt(5, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0\n+0 bind(5, ..., ...) = 0\n+0 listen(5, 1) = 0\n\
         +0 < S 0:0(0) win 5000 <mss 1000>\n+0 > S. 0:0(0) ack 1 <mss 1460>\n+0 < . 1:1(0) ack 1 win 5000\n\
         +0 accept(5, ..., ...) = 6\n+0 write(6, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n",
    );
}

#[test]
fn ports_of_their_own_are_another_connection_and_change_nothing_for_the_lines_without() {
    passes(
        "+0 < 4711 > 8080 . 1:1(0) ack 1 win 5000\n+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <...>\n",
    );
}

#[test]
fn a_line_longer_than_a_segment_takes_what_continues_it_at_any_time_and_across_pushes() {
    passes(
        "+0 setsockopt(4, IPPROTO_TCP, TCP_NODELAY, [1], 4) = 0\n+0 write(4, ..., 500) = 500\n\
         +0 write(4, ..., 500) = 500\n+0 > P. 1:1001(1000) ack 1 <...>\n",
    );
    fails("+0 write(4, ..., 500) = 500\n+0 > P. 1:1001(1000) ack 1 <...>\n", "another payload length");
}

#[test]
fn a_call_without_an_end_may_wait_for_a_timer() {
    passes("+0 poll([{fd=4, events=POLLIN, revents=0}], 1, 300) = 0\n0.4 read(4, ..., 0) = 0\n");
    fails("+0 read(4, ..., 10) = 1\n", "the call blocks");
}

#[test]
fn a_command_that_sleeps_lets_time_pass_unless_it_stands_before_all_others() {
    passes("+0 `sleep 0.5`\n0.6 read(4, ..., 0) = 0\n");
    let before = format!("`sleep 60; sysctl -q net.ipv4.tcp_sack=1`\n{ACCEPTED}");
    let outcome = run(&before, "s.pkt", &Options::default());
    assert_eq!(outcome, Outcome::Passed, "{outcome}");
}

#[test]
fn words_that_mean_something_else_with_each_ip_version_are_known() {
    let sent = "\
+0 setsockopt(4, SOL_SOCKET, SO_ZEROCOPY, [1], 4) = 0
+0 send(4, ..., 100, MSG_ZEROCOPY) = 100
+0 > P. 1:101(100) ack 1 <...>
+.1 < . 1:1(0) ack 101 win 257 <nop,nop,TS val 1200 ecr 0>
+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{...,0}], msg_flags=MSG_ERRQUEUE, msg_control=[
     {cmsg_level=CMSG_LEVEL_IP, cmsg_type=CMSG_TYPE_RECVERR,
      cmsg_data={ee_errno=0, ee_origin=SO_EE_ORIGIN_ZEROCOPY, ee_type=0, ee_code=SO_EE_CODE_ZEROCOPY_COPIED, ee_info=0, ee_data=0}}
   ]}, MSG_ERRQUEUE) = 0
";
    passes(sent);
    let six = format!("--ip_version=ipv6\n{ACCEPTED}{sent}");
    let outcome = run(&six, "s.pkt", &Options::default());
    assert_eq!(outcome, Outcome::Passed, "{outcome}");
}

#[test]
fn a_flow_label_is_nothing_where_there_is_none() {
    let labelled = ACCEPTED.replace("> S.", "> [flowlabel 0x1] S.");
    let outcome = run(&labelled, "s.pkt", &Options::default());
    assert_eq!(outcome, Outcome::Passed, "{outcome}");
    let six = run(&format!("--ip_version=ipv6\n{labelled}"), "s.pkt", &Options::default());
    assert!(matches!(six, Outcome::Unsupported(_)), "{six}");
}

#[test]
fn digits_of_a_signature_are_no_number() {
    passes(
        "+0 < P. 1:2(1) ack 1 win 257 <md5 00010203040506070809101112131415,nop,nop>\n+.1 ioctl(4, SIOCINQ, [0]) = 0\n",
    );
}

#[test]
fn a_request_without_an_argument_has_nowhere_to_write_to() {
    passes(
        "+0 ioctl(4, SIOCINQ) = -1 EFAULT (Bad address)\n+0 ioctl(9, SIOCINQ) = -1 EBADF (Bad file descriptor)\n",
    );
}

#[test]
fn what_cleans_up_behind_the_last_line_is_nobodys_concern() {
    passes("+0 write(4, ..., 10) = 10\n`iptables -F; sysctl -q net.ipv4.tcp_colour=3`\n");
}

#[test]
fn another_packet_than_expected_can_be_let_pass() {
    let wrong = "+0 write(4, ..., 10) = 10\n+0 > P. 1:12(11) ack 1 <...>\n";
    fails(wrong, "another payload length");
    let script = format!("--non_fatal=packet\n{ACCEPTED}{wrong}");
    let outcome = run(&script, "s.pkt", &Options::default());
    assert_eq!(outcome, Outcome::Passed, "{outcome}");
    let none = format!("{script}+9 > . 1:1(0) ack 1 <...>\n+9 > . 1:1(0) ack 1 <...>\n")
        .replace("write(4, ..., 10) = 10", "ioctl(4, SIOCINQ, [0]) = 0");
    let outcome = run(&none, "s.pkt", &Options::default());
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome}");
}

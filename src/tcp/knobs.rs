//! What are the engine's settings called? The rows behind `--set tcp.…`.

use super::{
    Config, Congestion, EcnMode, IdleRestart, MtuProbing, Nagle, RtoFloor, SynCookies, TimeWaitReuse,
    WindowScale,
};
use crate::knob::{
    Knob, ValueError, duration, duration_in, number, show_duration, show_size, show_switch, size, switch,
};
use crate::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

fn optional(d: Option<Duration>) -> String {
    d.map_or_else(|| "off".into(), show_duration)
}

fn read_optional(text: &str) -> Result<Option<Duration>, ValueError> {
    if text.trim() == "off" { Ok(None) } else { duration(text).map(Some) }
}

fn buffer(text: &str) -> Result<u32, ValueError> {
    match size(text)? {
        n @ 256..=0x4000_0000 => Ok(n as u32),
        _ => Err(ValueError(format!("{text} is out of range: 256 bytes to 1GiB"))),
    }
}

/// All settings of [`Config`].
pub static KNOBS: &[Knob<Config>] = &[
    Knob {
        name: "tcp.nagle",
        values: "off|on|minshall",
        meaning: "what a small segment waits for: nothing, any unacknowledged data, another small segment",
        linux: "TCP_NODELAY turns it off",
        rfc: "RFC 896, RFC 9293 §3.7.4",
        get: |c| match c.nagle {
            Nagle::Off => "off".into(),
            Nagle::On => "on".into(),
            Nagle::Minshall => "minshall".into(),
        },
        set: |c, v| {
            c.nagle = match v.trim() {
                "minshall" => Nagle::Minshall,
                _ => match switch(v) {
                    Ok(true) => Nagle::On,
                    Ok(false) => Nagle::Off,
                    Err(_) => return Err(ValueError(format!("{v:?} is none of off, on, minshall"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.cork",
        values: "on|off",
        meaning: "hold every partial segment back, at most 200 ms",
        linux: "TCP_CORK",
        rfc: "",
        get: |c| show_switch(c.cork),
        set: |c, v| Ok(c.cork = switch(v)?),
    },
    Knob {
        name: "tcp.ack_delay",
        values: "duration 0..499ms",
        meaning: "how long an acknowledgment may wait for company; 0 acknowledges every segment",
        linux: "40..200 ms, adaptive",
        rfc: "RFC 9293 §3.8.6.3",
        get: |c| show_duration(c.ack_delay),
        // RFC 9293 §3.8.6.3 (MUST-40), RFC 5681 §4.2: less than half a second.
        set: |c, v| Ok(c.ack_delay = duration_in(v, Duration::ZERO, 499 * MILLI)?),
    },
    Knob {
        name: "tcp.ack_every",
        values: "segments 1..255",
        meaning: "acknowledge at the latest every so many full-sized segments",
        linux: "2",
        rfc: "RFC 9293 §3.8.6.3",
        get: |c| c.ack_every.to_string(),
        set: |c, v| Ok(c.ack_every = number(v, 1, 255)?),
    },
    Knob {
        name: "tcp.quickack",
        values: "segments 0..255",
        meaning: "acknowledge the first so many segments of a connection at once",
        linux: "16 (TCP_QUICKACK)",
        rfc: "",
        get: |c| c.quickack.to_string(),
        set: |c, v| Ok(c.quickack = number(v, 0, 255)?),
    },
    Knob {
        name: "tcp.ack_adaptive",
        values: "on|off",
        meaning: "the delay follows the gaps between segments, up to 200 ms; a FIN's acknowledgment waits, too; \
                  a read that empties the buffer acknowledges",
        linux: "always on",
        rfc: "RFC 9293 §3.8.6.3",
        get: |c| show_switch(c.ack_adaptive),
        set: |c, v| Ok(c.ack_adaptive = switch(v)?),
    },
    Knob {
        name: "tcp.compressed_acks",
        values: "acks 0..255",
        meaning: "beyond three in a row, gather up to so many acknowledgments of data beyond a gap, 1 ms at most; 0: none",
        linux: "net.ipv4.tcp_comp_sack_nr, tcp_comp_sack_delay_ns",
        rfc: "",
        get: |c| c.compressed_acks.to_string(),
        set: |c, v| Ok(c.compressed_acks = number(v, 0, 255)?),
    },
    Knob {
        name: "tcp.init_cwnd",
        values: "segments 1..65535",
        meaning: "the initial congestion window",
        linux: "ip route … initcwnd",
        rfc: "RFC 6928",
        get: |c| c.init_cwnd.to_string(),
        set: |c, v| Ok(c.init_cwnd = number(v, 1, 65_535)?),
    },
    Knob {
        name: "tcp.congestion",
        values: "cubic|newreno|fixed:SEGMENTS",
        meaning: "the algorithm that chooses the congestion window",
        linux: "TCP_CONGESTION, net.ipv4.tcp_congestion_control",
        rfc: "RFC 9438, RFC 5681, RFC 6582",
        get: |c| match c.congestion {
            Congestion::Cubic => "cubic".into(),
            Congestion::NewReno => "newreno".into(),
            Congestion::Fixed(n) => format!("fixed:{n}"),
            Congestion::Custom(custom) => custom.name.into(),
        },
        set: |c, v| {
            c.congestion = match v.trim().split_once(':') {
                None if v.trim() == "cubic" => Congestion::Cubic,
                None if v.trim() == "newreno" => Congestion::NewReno,
                Some(("fixed", n)) => Congestion::Fixed(number(n, 1, 65_535)?),
                _ => return Err(ValueError(format!("{v:?} is none of cubic, newreno, fixed:SEGMENTS"))),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.hystart",
        values: "on|off",
        meaning: "HyStart++: leave the first slow start when the round trips grow, before the queue overflows",
        linux: "tcp_cubic.hystart (HyStart)",
        rfc: "RFC 9406",
        get: |c| show_switch(c.hystart),
        set: |c, v| Ok(c.hystart = switch(v)?),
    },
    Knob {
        name: "tcp.fast_convergence",
        values: "on|off",
        meaning: "cubic leaves more room after a loss at a smaller window than the last; off where no other flow is",
        linux: "tcp_cubic.fast_convergence",
        rfc: "RFC 9438 §4.7",
        get: |c| show_switch(c.fast_convergence),
        set: |c, v| Ok(c.fast_convergence = switch(v)?),
    },
    Knob {
        name: "tcp.reno_catch_up",
        values: "on|off",
        meaning: "cubic in its Reno-friendly region, above its last peak: a segment a round trip; off: 9/17 of one",
        linux: "off",
        rfc: "RFC 9438 §4.3",
        get: |c| show_switch(c.reno_catch_up),
        set: |c, v| Ok(c.reno_catch_up = switch(v)?),
    },
    Knob {
        name: "tcp.cwnd_validation",
        values: "on|off",
        meaning: "the congestion window grows only while it is filled; off: with every acknowledgment",
        linux: "on (tcp_is_cwnd_limited)",
        rfc: "RFC 7661 §3",
        get: |c| show_switch(c.cwnd_validation),
        set: |c, v| Ok(c.cwnd_validation = switch(v)?),
    },
    Knob {
        name: "tcp.pacing",
        values: "on|off",
        meaning: "spread what the window allows: twice the window per round trip in slow start, 1.2 times after it",
        linux: "SO_MAX_PACING_RATE, tc fq; net.ipv4.tcp_pacing_ss_ratio, tcp_pacing_ca_ratio",
        rfc: "",
        get: |c| show_switch(c.pacing),
        set: |c, v| Ok(c.pacing = switch(v)?),
    },
    Knob {
        name: "tcp.bursts",
        values: "on|off",
        meaning: "send in bursts of about a millisecond of the flow's rate, two segments at least, and push the last \
                  of each; off: only what a write ends with is pushed",
        linux: "on (segmentation offload), net.ipv4.tcp_min_tso_segs, tcp_tso_rtt_log",
        rfc: "",
        get: |c| show_switch(c.bursts),
        set: |c, v| Ok(c.bursts = switch(v)?),
    },
    Knob {
        name: "tcp.sack",
        values: "on|off",
        meaning: "offer and use selective acknowledgments",
        linux: "net.ipv4.tcp_sack",
        rfc: "RFC 2018",
        get: |c| show_switch(c.sack),
        set: |c, v| Ok(c.sack = switch(v)?),
    },
    Knob {
        name: "tcp.dsack",
        values: "on|off",
        meaning: "report data that came twice; needs tcp.sack",
        linux: "net.ipv4.tcp_dsack",
        rfc: "RFC 2883",
        get: |c| show_switch(c.dsack),
        set: |c, v| Ok(c.dsack = switch(v)?),
    },
    Knob {
        name: "tcp.rack",
        values: "on|off",
        meaning: "find losses by time; off: by three segments beyond a gap; needs tcp.sack",
        linux: "net.ipv4.tcp_recovery",
        rfc: "RFC 8985",
        get: |c| show_switch(c.rack),
        set: |c, v| Ok(c.rack = switch(v)?),
    },
    Knob {
        name: "tcp.tail_loss_probe",
        values: "on|off",
        meaning: "probe for a lost tail after two round trips; needs tcp.rack",
        linux: "net.ipv4.tcp_early_retrans",
        rfc: "RFC 8985 §7",
        get: |c| show_switch(c.tail_loss_probe),
        set: |c, v| Ok(c.tail_loss_probe = switch(v)?),
    },
    Knob {
        name: "tcp.prr",
        values: "on|off",
        meaning: "spread what a recovery sends over the acknowledgments",
        linux: "always on",
        rfc: "RFC 6937",
        get: |c| show_switch(c.prr),
        set: |c, v| Ok(c.prr = switch(v)?),
    },
    Knob {
        name: "tcp.undo",
        values: "on|off",
        meaning: "take a window reduction back when time stamps or duplicate reports show that nothing was lost",
        linux: "always on",
        rfc: "RFC 3522, RFC 4015, RFC 3708",
        get: |c| show_switch(c.undo),
        set: |c, v| Ok(c.undo = switch(v)?),
    },
    Knob {
        name: "tcp.frto",
        values: "on|off",
        meaning: "after a time-out send new data first, whose answer tells whether anything was lost; needs tcp.undo",
        linux: "net.ipv4.tcp_frto",
        rfc: "RFC 5682",
        get: |c| show_switch(c.frto),
        set: |c, v| Ok(c.frto = switch(v)?),
    },
    Knob {
        name: "tcp.ecn",
        values: "off|on|passive",
        meaning: "explicit congestion notification: never, asked for and granted, granted to who asks",
        linux: "net.ipv4.tcp_ecn 0, 1, 2",
        rfc: "RFC 3168, RFC 8311",
        get: |c| match c.ecn {
            EcnMode::Off => "off".into(),
            EcnMode::On => "on".into(),
            EcnMode::Passive => "passive".into(),
        },
        set: |c, v| {
            c.ecn = match v.trim() {
                "passive" => EcnMode::Passive,
                _ => match switch(v) {
                    Ok(true) => EcnMode::On,
                    Ok(false) => EcnMode::Off,
                    Err(_) => return Err(ValueError(format!("{v:?} is none of off, on, passive"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.abe",
        values: "on|off",
        meaning: "a congestion mark leaves more of the window than a loss: 85 % (cubic) or 80 % (newreno)",
        linux: "",
        rfc: "RFC 8511",
        get: |c| show_switch(c.abe),
        set: |c, v| Ok(c.abe = switch(v)?),
    },
    Knob {
        name: "tcp.timestamps",
        values: "on|off",
        meaning: "offer and use time stamps: an RTT sample from each ACK, protection against wrapped numbers",
        linux: "net.ipv4.tcp_timestamps",
        rfc: "RFC 7323 §3",
        get: |c| show_switch(c.timestamps),
        set: |c, v| Ok(c.timestamps = switch(v)?),
    },
    Knob {
        name: "tcp.window_scale",
        values: "off|auto|0..14",
        meaning: "offer window scaling; auto takes the smallest shift that can express the receive buffer",
        linux: "net.ipv4.tcp_window_scaling",
        rfc: "RFC 7323 §2",
        get: |c| match c.window_scale {
            WindowScale::Off => "off".into(),
            WindowScale::Auto => "auto".into(),
            WindowScale::Shift(n) => n.to_string(),
        },
        set: |c, v| {
            c.window_scale = match v.trim() {
                "off" => WindowScale::Off,
                "auto" => WindowScale::Auto,
                n => WindowScale::Shift(
                    number(n, 0, 14)
                        .map_err(|_| ValueError(format!("{v:?} is none of off, auto, 0 to 14")))?,
                ),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.mss",
        values: "auto|bytes 64..65495",
        meaning: "the largest segment to announce and to send; auto follows the MTU",
        linux: "TCP_MAXSEG",
        rfc: "RFC 9293 §3.7.1",
        get: |c| c.mss.map_or_else(|| "auto".into(), |n| n.to_string()),
        set: |c, v| {
            c.mss = if v.trim() == "auto" { None } else { Some(number(v, 64, 65_495)?) };
            Ok(())
        },
    },
    Knob {
        name: "tcp.mtu_probing",
        values: "off|on-black-hole|always",
        meaning: "search the path's MTU with probes: never, when large packets seem to vanish, from the beginning",
        linux: "net.ipv4.tcp_mtu_probing 0, 1, 2",
        rfc: "RFC 4821, RFC 8899",
        get: |c| match c.mtu_probing {
            MtuProbing::Off => "off".into(),
            MtuProbing::OnBlackHole => "on-black-hole".into(),
            MtuProbing::Always => "always".into(),
        },
        set: |c, v| {
            c.mtu_probing = match v.trim() {
                "off" => MtuProbing::Off,
                "on-black-hole" => MtuProbing::OnBlackHole,
                "always" => MtuProbing::Always,
                _ => return Err(ValueError(format!("{v:?} is none of off, on-black-hole, always"))),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.mtu_base_mss",
        values: "bytes 88..65495",
        meaning: "the MSS that a search for the path's MTU begins with",
        linux: "net.ipv4.tcp_base_mss",
        rfc: "RFC 4821 §7.2",
        get: |c| c.mtu_base_mss.to_string(),
        set: |c, v| Ok(c.mtu_base_mss = number(v, 88, 65_495)?),
    },
    Knob {
        name: "tcp.mtu_probe_floor",
        values: "bytes 48..65495",
        meaning: "the least MSS that is tried when large packets seem to vanish",
        linux: "net.ipv4.tcp_mtu_probe_floor",
        rfc: "RFC 4821 §7.7",
        get: |c| c.mtu_probe_floor.to_string(),
        set: |c, v| Ok(c.mtu_probe_floor = number(v, 48, 65_495)?),
    },
    Knob {
        name: "tcp.rto_initial",
        values: "duration 1ms..1h",
        meaning: "the retransmission time-out before the first measurement",
        linux: "1s (TCP_TIMEOUT_INIT)",
        rfc: "RFC 6298 §2.1",
        get: |c| show_duration(c.rto_initial),
        set: |c, v| Ok(c.rto_initial = duration_in(v, MILLI, 3600 * SECOND)?),
    },
    Knob {
        name: "tcp.rto_min",
        values: "duration 1ms..1h",
        meaning: "the smallest retransmission time-out",
        linux: "ip route … rto_min",
        rfc: "RFC 6298 §2.4",
        get: |c| show_duration(c.rto_min),
        set: |c, v| Ok(c.rto_min = duration_in(v, MILLI, 3600 * SECOND)?),
    },
    Knob {
        name: "tcp.rto_floor",
        values: "total|variation",
        meaning: "what rto_min is a floor under: the whole time-out, or the part added to the round trip",
        linux: "variation",
        rfc: "RFC 6298 §2.4",
        get: |c| match c.rto_floor {
            RtoFloor::Total => "total".into(),
            RtoFloor::Variation => "variation".into(),
        },
        set: |c, v| {
            c.rto_floor = match v.trim() {
                "total" => RtoFloor::Total,
                "variation" => RtoFloor::Variation,
                _ => return Err(ValueError(format!("{v:?} is neither total nor variation"))),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.rto_max",
        values: "duration 1ms..1h",
        meaning: "the largest retransmission time-out",
        linux: "TCP_RTO_MAX_MS",
        rfc: "RFC 6298 §2.5",
        get: |c| show_duration(c.rto_max),
        set: |c, v| Ok(c.rto_max = duration_in(v, MILLI, 3600 * SECOND)?),
    },
    Knob {
        name: "tcp.syn_retries",
        values: "times 0..255",
        meaning: "how often a SYN is repeated before connecting fails",
        linux: "net.ipv4.tcp_syn_retries",
        rfc: "RFC 9293 §3.8.3",
        get: |c| c.syn_retries.to_string(),
        set: |c, v| Ok(c.syn_retries = number(v, 0, 255)?),
    },
    Knob {
        name: "tcp.syn_linear",
        values: "times 0..127",
        meaning: "how many of a SYN's repetitions come at the same interval, before it doubles; not counted as retries",
        linux: "net.ipv4.tcp_syn_linear_timeouts",
        rfc: "",
        get: |c| c.syn_linear.to_string(),
        set: |c, v| Ok(c.syn_linear = number(v, 0, 127)?),
    },
    Knob {
        name: "tcp.synack_retries",
        values: "times 0..255",
        meaning: "how often a SYN-ACK is repeated before the half-open connection is dropped",
        linux: "net.ipv4.tcp_synack_retries",
        rfc: "RFC 9293 §3.8.3",
        get: |c| c.synack_retries.to_string(),
        set: |c, v| Ok(c.synack_retries = number(v, 0, 255)?),
    },
    Knob {
        name: "tcp.retries",
        values: "times 0..255",
        meaning: "how often the same data is repeated before the connection fails",
        linux: "net.ipv4.tcp_retries2",
        rfc: "RFC 9293 §3.8.3",
        get: |c| c.retries.to_string(),
        set: |c, v| Ok(c.retries = number(v, 0, 255)?),
    },
    Knob {
        name: "tcp.orphan_retries",
        values: "times 0..255",
        meaning: "tcp.retries for a connection that was closed here and has data left to send",
        linux: "net.ipv4.tcp_orphan_retries, where 0 stands for 8",
        rfc: "",
        get: |c| c.orphan_retries.to_string(),
        set: |c, v| Ok(c.orphan_retries = number(v, 0, 255)?),
    },
    Knob {
        name: "tcp.user_timeout",
        values: "off|duration",
        meaning: "fail when data stays unacknowledged this long; idle connections are not touched",
        linux: "TCP_USER_TIMEOUT",
        rfc: "RFC 5482",
        get: |c| optional(c.user_timeout),
        set: |c, v| Ok(c.user_timeout = read_optional(v)?),
    },
    Knob {
        name: "tcp.slow_start_limit",
        values: "off|segments 1..255",
        meaning: "by how many segments one ACK may open the window in slow start; off: by all it acknowledged",
        linux: "off",
        rfc: "RFC 5681 §3.1, RFC 3465, L of RFC 9406",
        get: |c| c.slow_start_limit.map_or_else(|| "off".into(), |n| n.to_string()),
        set: |c, v| {
            c.slow_start_limit = if v.trim() == "off" { None } else { Some(number(v, 1, 255)?) };
            Ok(())
        },
    },
    Knob {
        name: "tcp.slow_start_after_idle",
        values: "off|halve|on",
        meaning: "after an idle period longer than the RTO: keep the window, halve it for each RTO, or begin anew",
        linux: "net.ipv4.tcp_slow_start_after_idle (halve)",
        rfc: "RFC 5681 §4.1, RFC 2861",
        get: |c| match c.slow_start_after_idle {
            IdleRestart::Off => "off".into(),
            IdleRestart::Halve => "halve".into(),
            IdleRestart::Initial => "on".into(),
        },
        set: |c, v| {
            c.slow_start_after_idle = match v.trim() {
                "off" => IdleRestart::Off,
                "halve" => IdleRestart::Halve,
                "on" => IdleRestart::Initial,
                _ => return Err(ValueError(format!("{v:?} is none of off, halve, on"))),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.keepalive",
        values: "on|off",
        meaning: "probe idle connections",
        linux: "SO_KEEPALIVE",
        rfc: "RFC 9293 §3.8.4",
        get: |c| show_switch(c.keepalive),
        set: |c, v| Ok(c.keepalive = switch(v)?),
    },
    Knob {
        name: "tcp.keepalive.idle",
        values: "duration 1ms..1day",
        meaning: "idle time before the first keep-alive probe",
        linux: "TCP_KEEPIDLE",
        rfc: "RFC 9293 §3.8.4",
        get: |c| show_duration(c.keepalive_idle),
        set: |c, v| Ok(c.keepalive_idle = duration_in(v, MILLI, DAY)?),
    },
    Knob {
        name: "tcp.keepalive.interval",
        values: "duration 1ms..1day",
        meaning: "time between keep-alive probes",
        linux: "TCP_KEEPINTVL",
        rfc: "RFC 9293 §3.8.4",
        get: |c| show_duration(c.keepalive_interval),
        set: |c, v| Ok(c.keepalive_interval = duration_in(v, MILLI, DAY)?),
    },
    Knob {
        name: "tcp.keepalive.count",
        values: "probes 1..127",
        meaning: "unanswered keep-alive probes before the connection fails",
        linux: "TCP_KEEPCNT",
        rfc: "RFC 9293 §3.8.4",
        get: |c| c.keepalive_count.to_string(),
        set: |c, v| Ok(c.keepalive_count = number(v, 1, 127)?),
    },
    Knob {
        name: "tcp.rst_lenient",
        values: "on|off",
        meaning: "a RST counts at RCV.NXT, behind a FIN also one below, and right behind the last SACK block; \
                  off: at RCV.NXT only",
        linux: "on",
        rfc: "RFC 5961 §3.2",
        get: |c| show_switch(c.rst_lenient),
        set: |c, v| Ok(c.rst_lenient = switch(v)?),
    },
    Knob {
        name: "tcp.challenge_interval",
        values: "duration 0..1h",
        meaning: "the least time between two ACKs that answer segments outside the window",
        linux: "net.ipv4.tcp_invalid_ratelimit",
        rfc: "RFC 5961 §7",
        get: |c| show_duration(c.challenge_interval),
        set: |c, v| Ok(c.challenge_interval = duration_in(v, Duration::ZERO, 3600 * SECOND)?),
    },
    Knob {
        name: "tcp.challenge_limit",
        values: "off|per second 1..1000000",
        meaning: "how many challenge ACKs all connections send in a second, from half to one and a half times as many",
        linux: "net.ipv4.tcp_challenge_ack_limit",
        rfc: "RFC 5961 §7",
        get: |c| c.challenge_limit.map_or_else(|| "off".into(), |n| n.to_string()),
        set: |c, v| {
            c.challenge_limit = if v.trim() == "off" { None } else { Some(number(v, 1, 1_000_000)?) };
            Ok(())
        },
    },
    Knob {
        name: "tcp.time_wait",
        values: "duration 0..1h",
        meaning: "how long the side that closed first keeps the port (2 MSL)",
        linux: "60s (TCP_TIMEWAIT_LEN)",
        rfc: "RFC 9293 §3.4.2",
        get: |c| show_duration(c.time_wait),
        set: |c, v| Ok(c.time_wait = duration_in(v, Duration::ZERO, 3600 * SECOND)?),
    },
    Knob {
        name: "tcp.rfc1337",
        values: "on|off",
        meaning: "a RST does not end TIME-WAIT",
        linux: "net.ipv4.tcp_rfc1337",
        rfc: "RFC 1337 §3",
        get: |c| show_switch(c.rfc1337),
        set: |c, v| Ok(c.rfc1337 = switch(v)?),
    },
    Knob {
        name: "tcp.time_wait_reuse",
        values: "off|loopback|on",
        meaning: "connect may take a port in TIME-WAIT after a second, if both sides use time stamps",
        linux: "net.ipv4.tcp_tw_reuse 0, 2, 1",
        rfc: "RFC 7323 appendix B.2",
        get: |c| match c.time_wait_reuse {
            TimeWaitReuse::Off => "off".into(),
            TimeWaitReuse::Loopback => "loopback".into(),
            TimeWaitReuse::On => "on".into(),
        },
        set: |c, v| {
            c.time_wait_reuse = match v.trim() {
                "off" => TimeWaitReuse::Off,
                "loopback" => TimeWaitReuse::Loopback,
                "on" => TimeWaitReuse::On,
                _ => return Err(ValueError(format!("{v:?} is none of off, loopback, on"))),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.fin_timeout",
        values: "duration 1ms..1day",
        meaning: "how long a closed connection waits in FIN-WAIT-2 for the peer's FIN",
        linux: "net.ipv4.tcp_fin_timeout, TCP_LINGER2",
        rfc: "",
        get: |c| show_duration(c.fin_timeout),
        set: |c, v| Ok(c.fin_timeout = duration_in(v, MILLI, DAY)?),
    },
    Knob {
        name: "tcp.ports",
        values: "FIRST-LAST",
        meaning: "the range that ephemeral ports are drawn from",
        linux: "net.ipv4.ip_local_port_range",
        rfc: "RFC 6056",
        get: |c| format!("{}-{}", c.ports_first, c.ports_last),
        set: |c, v| {
            let wrong = || ValueError(format!("{v:?} is not a port range: write 32768-60999"));
            let (first, last) = v.split_once('-').ok_or_else(wrong)?;
            let (first, last) = (number(first, 1, 65_535)?, number(last, 1, 65_535)?);
            if first > last {
                return Err(wrong());
            }
            (c.ports_first, c.ports_last) = (first, last);
            Ok(())
        },
    },
    Knob {
        name: "tcp.backlog",
        values: "connections 1..1000000",
        meaning: "connections that may wait to be accepted, per listener; one fewer may be half-open",
        linux: "net.core.somaxconn, listen(2)",
        rfc: "RFC 4987",
        get: |c| c.backlog.to_string(),
        set: |c, v| Ok(c.backlog = number(v, 1, 1_000_000)?),
    },
    Knob {
        name: "tcp.syn_cookies",
        values: "off|full|always",
        meaning: "answer SYNs without remembering them: never, when the SYN queue is full, always",
        linux: "net.ipv4.tcp_syncookies 0, 1, 2",
        rfc: "RFC 4987 §3.6",
        get: |c| match c.syn_cookies {
            SynCookies::Off => "off".into(),
            SynCookies::Full => "full".into(),
            SynCookies::Always => "always".into(),
        },
        set: |c, v| {
            c.syn_cookies = match v.trim() {
                "off" => SynCookies::Off,
                "full" => SynCookies::Full,
                "always" => SynCookies::Always,
                _ => return Err(ValueError(format!("{v:?} is none of off, full, always"))),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.recv_buffer",
        values: "size 256..1GiB",
        meaning: "the receive buffer's limit: what the advertised window can grow to",
        linux: "SO_RCVBUF, net.ipv4.tcp_rmem",
        rfc: "",
        get: |c| show_size(u64::from(c.recv_buffer)),
        set: |c, v| Ok(c.recv_buffer = buffer(v)?),
    },
    Knob {
        name: "tcp.recv_buffer_initial",
        values: "size 256..1GiB",
        meaning: "the size of the receive buffer at first; not below tcp.recv_buffer, it is fixed",
        linux: "the second of net.ipv4.tcp_rmem",
        rfc: "RFC 9293 §3.8.6",
        get: |c| show_size(u64::from(c.recv_buffer_initial)),
        set: |c, v| Ok(c.recv_buffer_initial = buffer(v)?),
    },
    Knob {
        name: "tcp.recv_tuning",
        values: "on|off",
        meaning: "the receive buffer grows with what the application reads in a round trip",
        linux: "net.ipv4.tcp_moderate_rcvbuf",
        rfc: "",
        get: |c| show_switch(c.recv_tuning),
        set: |c, v| Ok(c.recv_tuning = switch(v)?),
    },
    Knob {
        name: "tcp.send_buffer",
        values: "size 256..1GiB",
        meaning: "the send buffer's limit",
        linux: "SO_SNDBUF, net.ipv4.tcp_wmem",
        rfc: "",
        get: |c| show_size(u64::from(c.send_buffer)),
        set: |c, v| Ok(c.send_buffer = buffer(v)?),
    },
    Knob {
        name: "tcp.send_buffer_initial",
        values: "size 256..1GiB",
        meaning: "the size of the send buffer until the connection is there; not below tcp.send_buffer, it is fixed",
        linux: "the second of net.ipv4.tcp_wmem",
        rfc: "",
        get: |c| show_size(u64::from(c.send_buffer_initial)),
        set: |c, v| Ok(c.send_buffer_initial = buffer(v)?),
    },
    Knob {
        name: "tcp.memory",
        values: "off|size 64KiB..1024GiB",
        meaning: "buffers of all connections together; from two thirds on no window grows and nothing new is kept beyond a gap",
        linux: "net.ipv4.tcp_mem, the last of the three",
        rfc: "",
        get: |c| c.memory.map_or_else(|| "off".into(), show_size),
        set: |c, v| {
            c.memory = match v.trim() {
                "off" => None,
                _ => match size(v)? {
                    n @ 0x1_0000..=0x100_0000_0000 => Some(n),
                    _ => return Err(ValueError(format!("{v} is out of range: 64KiB to 1024GiB"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.linger",
        values: "off|duration",
        meaning: "closing with queued data: off sends it in the background, 0 resets, else resets after so long",
        linux: "SO_LINGER",
        rfc: "",
        get: |c| optional(c.linger),
        set: |c, v| Ok(c.linger = read_optional(v)?),
    },
    Knob {
        name: "tcp.keep_data_on_reset",
        values: "on|off",
        meaning: "after a RST what was received can still be read; off throws it away",
        linux: "always on",
        rfc: "RFC 9293 §3.10.7.4",
        get: |c| show_switch(c.keep_data_on_reset),
        set: |c, v| Ok(c.keep_data_on_reset = switch(v)?),
    },
    Knob {
        name: "tcp.ttl",
        values: "hops 1..255",
        meaning: "the time to live or hop limit of all segments",
        linux: "net.ipv4.ip_default_ttl, IP_TTL",
        rfc: "RFC 9293 §3.9.2",
        get: |c| c.ttl.to_string(),
        set: |c, v| Ok(c.ttl = number(v, 1, 255)?),
    },
    Knob {
        name: "tcp.dscp",
        values: "0..63",
        meaning: "the differentiated services field of all segments",
        linux: "IP_TOS, IPV6_TCLASS: four times as much",
        rfc: "RFC 9293 §3.9.1.9, RFC 2474",
        get: |c| c.dscp.to_string(),
        set: |c, v| Ok(c.dscp = number(v, 0, 63)?),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_reads_back_what_it_writes() {
        for profile in [Config::linux(), Config::rfc(), Config::classic()] {
            for knob in KNOBS {
                let mut changed = profile.clone();
                (knob.set)(&mut changed, &(knob.get)(&profile))
                    .unwrap_or_else(|e| panic!("{}: {e}", knob.name));
                assert_eq!(changed, profile, "{}", knob.name);
            }
        }
    }

    #[test]
    fn every_knob_refuses_nonsense() {
        for knob in KNOBS {
            assert!((knob.set)(&mut Config::linux(), "nonsense").is_err(), "{}", knob.name);
        }
    }
}

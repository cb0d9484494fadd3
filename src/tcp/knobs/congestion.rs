//! Which settings say how fast data may go?

use super::super::config::{CubicUnits, SlowStartExit};
use super::*;

pub(super) static KNOBS: &[Knob<Config>] = &[
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
        name: "tcp.cubic",
        values: "linux|rfc",
        meaning: "what cubic reckons in: whole segments and milliseconds (linux), or bytes and microseconds",
        linux: "linux",
        rfc: "RFC 9438",
        get: |c| match c.cubic {
            CubicUnits::Segments => "linux".into(),
            CubicUnits::Bytes => "rfc".into(),
        },
        set: |c, v| {
            c.cubic = match v.trim() {
                "linux" => CubicUnits::Segments,
                "rfc" => CubicUnits::Bytes,
                _ => return Err(ValueError(format!("{v:?} is none of linux, rfc"))),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.halve_flight",
        values: "on|off",
        meaning: "after a loss NewReno halves what is in flight, and not its window",
        linux: "always off",
        rfc: "RFC 5681 §3.1",
        get: |c| show_switch(c.halve_flight),
        set: |c, v| Ok(c.halve_flight = switch(v)?),
    },
    Knob {
        name: "tcp.hystart",
        values: "off|linux|on",
        meaning: "leave slow start before the queue overflows: by HyStart with CUBIC, or the first one by HyStart++ (on)",
        linux: "tcp_cubic.hystart (linux)",
        rfc: "RFC 9406",
        get: |c| match c.hystart {
            SlowStartExit::Loss => "off".into(),
            SlowStartExit::Linux => "linux".into(),
            SlowStartExit::PlusPlus => "on".into(),
        },
        set: |c, v| {
            c.hystart = match v.trim() {
                "off" => SlowStartExit::Loss,
                "linux" => SlowStartExit::Linux,
                "on" => SlowStartExit::PlusPlus,
                _ => return Err(ValueError(format!("{v:?} is none of off, linux, on"))),
            };
            Ok(())
        },
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
        name: "tcp.max_pacing_rate",
        values: "off|size 1KiB..1024GiB",
        meaning: "bytes per second that are sent at the most, spread over time",
        linux: "SO_MAX_PACING_RATE",
        rfc: "",
        get: |c| c.max_pacing_rate.map_or_else(|| "off".into(), show_size),
        set: |c, v| {
            c.max_pacing_rate = match v.trim() {
                "off" => None,
                _ => match size(v)? {
                    n @ 0x400..=0x100_0000_0000 => Some(n),
                    _ => return Err(ValueError(format!("{v} is out of range: 1KiB to 1024GiB"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.bursts",
        values: "on|off",
        meaning: "send in bursts of about a millisecond of the flow's rate, two segments at least, and push the last \
                  of each; keep what is written in pieces, whose number counts in the send buffer, and make segments no \
                  larger than half of the peer's largest window; off: a stream, of which only a write's end is pushed",
        linux: "on (segmentation offload), net.ipv4.tcp_min_tso_segs, tcp_tso_rtt_log",
        rfc: "",
        get: |c| show_switch(c.bursts),
        set: |c, v| Ok(c.bursts = switch(v)?),
    },
    Knob {
        name: "tcp.ecn_fallback",
        values: "on|off",
        meaning: "a SYN that is repeated asks for ECN no more, and who is told of marks that nobody can have made sends nothing \
                  that is ECN-capable",
        linux: "net.ipv4.tcp_ecn_fallback",
        rfc: "RFC 3168 §6.1.1.1, RFC 9768 §3.1.4.1, §3.2.2.3",
        get: |c| show_switch(c.ecn_fallback),
        set: |c, v| Ok(c.ecn_fallback = switch(v)?),
    },
    Knob {
        name: "tcp.ecn",
        values: "off|on|passive|accurate|accurate-granted|accurate-passive",
        meaning: "explicit congestion notification: never, asked for and granted, granted to who asks; accurate: marks are \
                  counted precisely, asked for and granted; accurate-granted: the same for who asks, while connect asks for \
                  what on means; accurate-passive: for who asks, and connect asks for nothing",
        linux: "net.ipv4.tcp_ecn 0, 1, 2, 3, 4, 5",
        rfc: "RFC 3168, RFC 8311, RFC 9768",
        get: |c| match c.ecn {
            EcnMode::Off => "off".into(),
            EcnMode::On => "on".into(),
            EcnMode::Passive => "passive".into(),
            EcnMode::Accurate => "accurate".into(),
            EcnMode::AccurateGranted => "accurate-granted".into(),
            EcnMode::AccuratePassive => "accurate-passive".into(),
        },
        set: |c, v| {
            c.ecn = match v.trim() {
                "passive" => EcnMode::Passive,
                "accurate" => EcnMode::Accurate,
                "accurate-granted" => EcnMode::AccurateGranted,
                "accurate-passive" => EcnMode::AccuratePassive,
                _ => match switch(v) {
                    Ok(true) => EcnMode::On,
                    Ok(false) => EcnMode::Off,
                    Err(_) => {
                        return Err(ValueError(format!(
                            "{v:?} is none of off, on, passive, accurate, accurate-granted, accurate-passive"
                        )));
                    }
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.ecn_option",
        values: "off|sparse|full|always",
        meaning: "when segments have the option with accurate ECN's counts of bytes, once the peer has sent one: never, for \
                  a reason, whenever there is room, the same even if such segments seem to be lost",
        linux: "net.ipv4.tcp_ecn_option 0, 1, 2, 3",
        rfc: "RFC 9768 §3.2.3.3",
        get: |c| match c.ecn_option {
            EcnOption::Off => "off".into(),
            EcnOption::Sparse => "sparse".into(),
            EcnOption::Full => "full".into(),
            EcnOption::Always => "always".into(),
        },
        set: |c, v| {
            c.ecn_option = match v.trim() {
                "off" => EcnOption::Off,
                "sparse" => EcnOption::Sparse,
                "full" => EcnOption::Full,
                "always" => EcnOption::Always,
                _ => return Err(ValueError(format!("{v:?} is none of off, sparse, full, always"))),
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.ecn_option_beacon",
        values: "a number, 0 to 255",
        meaning: "with tcp.ecn_option=sparse the option is sent so many times per round trip at the least; 0: only for a reason",
        linux: "net.ipv4.tcp_ecn_option_beacon",
        rfc: "RFC 9768 §3.2.3.3",
        get: |c| c.ecn_option_beacon.to_string(),
        set: |c, v| Ok(c.ecn_option_beacon = number(v, 0, 255)?),
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
];

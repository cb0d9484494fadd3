//! What does a sysctl change? Linux' names of what has a knob here, and of what changes nothing that the stack does.

use super::commands::Change;
use super::{Kind, Trouble};

/// Sysctls whose other values have no counterpart, with the values that say what the stack does anyway.
const FIXED: &[(&str, &[&str])] =
    &[("net.ipv4.tcp_retrans_collapse", &["1"]), ("net.ipv4.tcp_workaround_signed_windows", &["0"])];

/// Sysctls that speak of what is not here: pacing, TSO sizing, queues, memory pressure, other hosts' routes, and what is
/// remembered of earlier connections.
const INERT: &[&str] = &[
    "net.ipv4.tcp_pacing_ss_ratio",
    "net.ipv4.tcp_pacing_ca_ratio",
    "net.ipv4.tcp_min_tso_segs",
    "net.ipv4.tcp_tso_rtt_log",
    "net.ipv4.tcp_tso_win_divisor",
    "net.ipv4.tcp_limit_output_bytes",
    "net.ipv4.tcp_autocorking",
    "net.ipv4.tcp_allowed_congestion_control",
    "net.ipv4.tcp_available_congestion_control",
    "net.ipv4.tcp_low_latency",
    "net.ipv4.tcp_no_metrics_save",
    "net.ipv4.tcp_no_ssthresh_metrics_save",
    "net.ipv4.tcp_adv_win_scale",
    // The first data takes back what this sets aside of the window.
    "net.ipv4.tcp_app_win",
    "net.ipv4.tcp_abc",
    "net.ipv4.tcp_probe_interval",
    "net.ipv4.tcp_probe_threshold",
    "net.ipv4.tcp_comp_sack_slack_ns",
    "net.ipv4.tcp_early_demux",
    "net.ipv4.tcp_fwmark_accept",
    "net.ipv4.tcp_l3mdev_accept",
    "net.ipv4.tcp_backlog_ack_defer",
    "net.ipv4.tcp_available_ulp",
    "net.ipv4.tcp_child_ehash_entries",
    // Which of several listeners at a port takes a handshake over: there is one at each.
    "net.ipv4.tcp_migrate_req",
    // Another path is another flow label, which has nothing to do with what is sent.
    "net.ipv4.tcp_plb_enabled",
    "net.ipv4.tcp_plb_cong_thresh",
    "net.ipv4.tcp_plb_idle_rehash_rounds",
    "net.ipv4.tcp_plb_rehash_rounds",
    "net.ipv4.tcp_plb_suspend_rto_sec",
    // How older kernels did what has no choice any more.
    "net.ipv4.tcp_fack",
    "net.ipv4.tcp_cookie_size",
    "net.ipv4.tcp_dma_copybreak",
    "net.ipv4.tcp_max_ssthresh",
    "net.ipv4.tcp_tw_recycle",
    "net.ipv4.tcp_vegas_cong_avoid",
    "net.ipv4.tcp_frto_response",
    "net.ipv4.tcp_thin_dupack",
    "net.ipv4.tcp_ehash_entries",
];

/// Beginnings of names that say nothing about TCP: devices, neighbours, routes, ICMP's rates, queues, the kernel itself.
const INERT_PREFIXES: &[&str] = &[
    "net.ipv4.conf.",
    "net.ipv4.neigh.",
    "net.ipv4.route.",
    "net.ipv4.icmp_",
    "net.ipv4.ping_",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.ip_autobind_reuse",
    "net.ipv4.ip_dynaddr",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ipfrag_",
    "net.ipv4.inet_peer_",
    "net.ipv4.igmp_",
    "net.ipv4.udp_",
    "net.ipv4.nexthop_",
    "net.ipv4.raw_",
    "net.ipv4.fib_",
    "net.ipv4.cipso_",
    "net.netfilter.",
    "net.mptcp.",
    "net.mpls.",
    "net.unix.",
    "net.ipv4.ip_early_demux",
    "net.ipv4.fwmark_",
    "net.ipv6.",
    "net.core.",
    "kernel.",
    "fs.",
    "vm.",
];

/// What a sysctl changes here.
pub fn sysctl(name: &str, value: &str, line: u32) -> Result<Vec<Change>, Trouble> {
    let name = name.trim();
    let name = name.strip_prefix("/proc/sys/").unwrap_or(name).replace('/', ".");
    let value = value.trim();
    let unsupported = || Trouble::unsupported(line, format!("sysctl {name}={value}"));
    let number = |low: i64, high: i64| -> Result<i64, Trouble> {
        whole(value).filter(|n| (low..=high).contains(n)).ok_or_else(unsupported)
    };
    let seconds = |knob| Ok(vec![Change::Knob(knob, format!("{}s", number(1, 1 << 20)?))]);
    let same = |knob| Ok(vec![Change::Knob(knob, number(0, 1 << 20)?.to_string())]);
    let switch = |knob| {
        let on = if number(0, 2)? == 0 { "off" } else { "on" };
        Ok(vec![Change::Knob(knob, on.to_string())])
    };
    if let Some((_, allowed)) = FIXED.iter().find(|(n, _)| *n == name) {
        let plain = whole(value).map_or_else(|| value.to_string(), |n| n.to_string());
        return if allowed.contains(&plain.as_str()) { Ok(Vec::new()) } else { Err(unsupported()) };
    }
    if INERT.contains(&name.as_str()) {
        return Ok(Vec::new());
    }
    match name.as_str() {
        "net.ipv4.tcp_congestion_control" | "net.ipv4.tcp_default_congestion_control" => {
            let knob = congestion(value).ok_or_else(unsupported)?;
            Ok(vec![Change::Knob("tcp.congestion", knob.to_string())])
        }
        "net.ipv4.tcp_frto" => switch("tcp.frto"),
        "net.ipv4.tcp_sack" => switch("tcp.sack"),
        "net.ipv4.tcp_dsack" => switch("tcp.dsack"),
        // The first bit was RACK, which there is nothing beside any more; the others say how patient it is.
        "net.ipv4.tcp_recovery" => {
            let bits = number(0, 255)?;
            let off = |bit: i64| if bits & bit == 0 { "on" } else { "off" }.to_string();
            Ok(vec![Change::Knob("tcp.rack_adapts", off(2)), Change::Knob("tcp.rack_by_count", off(4))])
        }
        "net.ipv4.tcp_ecn_fallback" => switch("tcp.ecn_fallback"),
        "net.ipv4.tcp_thin_linear_timeouts" => switch("tcp.thin_linear"),
        "net.ipv4.ip_no_pmtu_disc" => {
            // 2 passes over what routers say, 3 believes only what can be checked, as TCP does anyway.
            let on = if matches!(number(0, 3)?, 0 | 3) { "on" } else { "off" };
            Ok(vec![Change::Knob("tcp.pmtud", on.to_string())])
        }
        // Enough for whatever a script opens.
        "net.ipv4.tcp_max_orphans" => number(128, i64::from(i32::MAX)).map(|_| Vec::new()),
        // It counts where there are no cookies, and then with more handshakes than a script begins.
        "net.ipv4.tcp_max_syn_backlog" => number(4, i64::from(i32::MAX)).map(|_| Vec::new()),
        // Seconds, longer than a script runs.
        "net.ipv4.tcp_min_rtt_wlen" => number(60, 86_400).map(|_| Vec::new()),
        // 3 is the default: probes; 1 and 2 were of the algorithm before them.
        "net.ipv4.tcp_early_retrans" => Ok(match number(0, 4)? {
            0 => vec![Change::Knob("tcp.tail_loss_probe", "off".to_string())],
            _ => Vec::new(),
        }),
        "net.ipv4.tcp_timestamps" => switch("tcp.timestamps"),
        "net.ipv4.tcp_ecn" => {
            let modes = ["off", "on", "passive", "accurate", "accurate-granted", "accurate-passive"];
            Ok(vec![Change::Knob("tcp.ecn", modes[number(0, 5)? as usize].to_string())])
        }
        "net.ipv4.tcp_ecn_option" => {
            let when = ["off", "sparse", "full", "always"][number(0, 3)? as usize];
            Ok(vec![Change::Knob("tcp.ecn_option", when.to_string())])
        }
        "net.ipv4.tcp_ecn_option_beacon" => {
            Ok(vec![Change::Knob("tcp.ecn_option_beacon", number(0, 255)?.to_string())])
        }
        "net.ipv4.tcp_slow_start_after_idle" => {
            let mode = if number(0, 1)? == 0 { "off" } else { "halve" };
            Ok(vec![Change::Knob("tcp.slow_start_after_idle", mode.to_string())])
        }
        // On is the default; how far the window is scaled is the profile's and the buffer's business.
        "net.ipv4.tcp_window_scaling" => Ok(match number(0, 1)? {
            0 => vec![Change::Knob("tcp.window_scale", "off".to_string())],
            _ => Vec::new(),
        }),
        "net.ipv4.tcp_syn_retries" => same("tcp.syn_retries"),
        "net.ipv4.tcp_comp_sack_nr" => same("tcp.compressed_acks"),
        "net.ipv4.tcp_fastopen" => Ok(vec![Change::Knob("tcp.fastopen", value.to_string())]),
        "net.ipv4.tcp_fastopen_key" => Ok(vec![Change::Knob("tcp.fastopen_key", value.to_string())]),
        "net.ipv4.tcp_fastopen_blackhole_timeout_sec" => {
            Ok(vec![Change::Knob("tcp.fastopen_pause", format!("{}s", number(0, 86_400)?))])
        }
        // Without a delay nothing is gathered.
        "net.ipv4.tcp_comp_sack_delay_ns" => match number(0, 1_000_000_000)? {
            0 => Ok(vec![Change::Knob("tcp.compressed_acks", "0".to_string())]),
            n => Ok(vec![Change::Knob("tcp.compressed_ack_delay", format!("{}us", n / 1000))]),
        },
        "net.ipv4.tcp_abort_on_overflow" => switch("tcp.abort_on_overflow"),
        "net.ipv4.tcp_reordering" => Ok(vec![Change::Knob("tcp.reordering", number(1, 300)?.to_string())]),
        "net.ipv4.tcp_max_reordering" => {
            Ok(vec![Change::Knob("tcp.max_reordering", number(1, 65_535)?.to_string())])
        }
        "net.ipv4.tcp_notsent_lowat" => Ok(vec![Change::NotsentLowat(number(-1, u32::MAX.into())? as u32)]),
        "net.ipv4.tcp_syn_linear_timeouts" => same("tcp.syn_linear"),
        "net.ipv4.tcp_synack_retries" => same("tcp.synack_retries"),
        "net.ipv4.ip_default_ttl" => same("tcp.ttl"),
        "net.ipv4.tcp_retries1" => same("tcp.retries1"),
        "net.ipv4.tcp_retries2" => same("tcp.retries"),
        "net.ipv4.tcp_keepalive_probes" => same("tcp.keepalive.count"),
        "net.core.somaxconn" => same("tcp.backlog"),
        "net.ipv4.tcp_mem" => {
            let [_, _, pages] = numbers(value).ok_or_else(unsupported)?;
            let bytes = pages.saturating_mul(4096).clamp(1 << 16, 1 << 40);
            Ok(vec![Change::Knob("tcp.memory", bytes.to_string())])
        }
        "net.ipv4.tcp_mtu_probing" => {
            let when = ["off", "on-black-hole", "always"][number(0, 2)? as usize];
            Ok(vec![Change::Knob("tcp.mtu_probing", when.to_string())])
        }
        "net.ipv4.tcp_base_mss" => {
            Ok(vec![Change::Knob("tcp.mtu_base_mss", number(88, 65_495)?.to_string())])
        }
        "net.ipv4.tcp_mtu_probe_floor" => {
            Ok(vec![Change::Knob("tcp.mtu_probe_floor", number(48, 65_495)?.to_string())])
        }
        "net.ipv4.tcp_orphan_retries" => {
            let times = match number(0, 255)? {
                0 => 8,
                n => n,
            };
            Ok(vec![Change::Knob("tcp.orphan_retries", times.to_string())])
        }
        "net.ipv4.tcp_stdurg" => switch("tcp.urgent_is_last"),
        "net.ipv4.tcp_min_snd_mss" => {
            Ok(vec![Change::Knob("tcp.min_send_mss", number(48, 500)?.to_string())])
        }
        "net.ipv4.tcp_rfc1337" => switch("tcp.rfc1337"),
        "net.ipv4.tcp_shrink_window" => switch("tcp.shrink_window"),
        "net.ipv4.tcp_reflect_tos" => switch("tcp.reflect_tos"),
        "net.ipv4.tcp_pingpong_thresh" => {
            Ok(vec![Change::Knob("tcp.interactive_after", number(1, 255)?.to_string())])
        }
        "net.ipv4.tcp_tw_reuse_delay" => {
            Ok(vec![Change::Knob("tcp.time_wait_reuse_delay", format!("{}ms", number(1, 60_000)?))])
        }
        "net.ipv4.tcp_max_tw_buckets" => {
            Ok(vec![Change::Knob("tcp.time_wait_limit", number(0, i64::from(i32::MAX))?.to_string())])
        }
        "net.ipv4.tcp_tw_reuse" => {
            let when = ["off", "on", "loopback"][number(0, 2)? as usize];
            Ok(vec![Change::Knob("tcp.time_wait_reuse", when.to_string())])
        }
        "net.ipv4.tcp_challenge_ack_limit" => {
            let limit = match number(1, i64::from(i32::MAX))? {
                n @ 1..=1_000_000 => n.to_string(),
                _ => "off".to_string(),
            };
            Ok(vec![Change::Knob("tcp.challenge_limit", limit)])
        }
        "net.ipv4.tcp_syncookies" => {
            let when = ["off", "full", "always"][number(0, 2)? as usize];
            Ok(vec![Change::Knob("tcp.syn_cookies", when.to_string())])
        }
        "net.ipv4.tcp_fin_timeout" => seconds("tcp.fin_timeout"),
        "net.ipv4.tcp_keepalive_time" => seconds("tcp.keepalive.idle"),
        "net.ipv4.tcp_keepalive_intvl" => seconds("tcp.keepalive.interval"),
        "net.ipv4.tcp_rto_max_ms" => {
            Ok(vec![Change::Knob("tcp.rto_max", format!("{}ms", number(1000, 120_000)?))])
        }
        "net.ipv4.tcp_rto_min_us" => {
            Ok(vec![Change::Knob("tcp.rto_min", format!("{}us", number(1000, 1 << 30)?))])
        }
        "net.ipv4.tcp_invalid_ratelimit" => {
            let interval = format!("{}ms", number(0, 3_600_000)?);
            Ok(vec![Change::Knob("tcp.challenge_interval", interval)])
        }
        "net.ipv4.ip_local_port_range" => {
            let [first, last] = numbers(value).ok_or_else(unsupported)?;
            Ok(vec![Change::Knob("tcp.ports", format!("{first}-{last}"))])
        }
        "net.ipv4.tcp_rmem" => {
            let [_, default, max] = numbers(value).ok_or_else(unsupported)?;
            let size = |n: u64| n.clamp(2304, 1 << 30).to_string();
            Ok(vec![
                Change::Knob("tcp.recv_buffer", size(max)),
                Change::Knob("tcp.recv_buffer_initial", size(default)),
            ])
        }
        "net.ipv4.tcp_wmem" => {
            let [_, default, max] = numbers(value).ok_or_else(unsupported)?;
            let size = |n: u64| n.clamp(4608, 1 << 30).to_string();
            Ok(vec![
                Change::Knob("tcp.send_buffer", size(max)),
                Change::Knob("tcp.send_buffer_initial", size(default)),
            ])
        }
        "net.ipv4.tcp_moderate_rcvbuf" => switch("tcp.recv_tuning"),
        "net.core.rmem_max" => {
            let most = number(0, 1 << 31)?;
            let knob = Change::Knob("tcp.recv_buffer_max", most.clamp(2304, 1 << 30).to_string());
            Ok(vec![Change::RmemMax(most), knob])
        }
        "net.core.wmem_max" => Ok(vec![Change::WmemMax(number(0, 1 << 31)?)]),
        other if INERT_PREFIXES.iter().any(|prefix| other.starts_with(prefix)) => Ok(Vec::new()),
        _ => Err(Trouble::unsupported(line, format!("{NOT_THERE} {name}"))),
    }
}

/// How the complaint about a name begins that Linux does not have.
const NOT_THERE: &str = "there is no sysctl";

/// Whether Linux has a sysctl of this name.
pub fn is_known(name: &str) -> bool {
    let missing =
        |trouble: &Trouble| matches!(&trouble.kind, Kind::Unsupported(what) if what.starts_with(NOT_THERE));
    sysctl(name, "1", 0).as_ref().err().is_none_or(|trouble| !missing(trouble))
}

/// What Linux' name of a congestion control algorithm is here.
pub fn congestion(linux: &str) -> Option<&'static str> {
    match linux {
        "cubic" => Some("cubic"),
        "reno" | "newreno" => Some("newreno"),
        _ => None,
    }
}

/// A number as the kernel reads it: `0x` makes it hexadecimal, a zero in front octal.
fn whole(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    number.ok()?.checked_mul(sign)
}

fn numbers<const N: usize>(value: &str) -> Option<[u64; N]> {
    let list: Option<Vec<u64>> =
        value.split_ascii_whitespace().map(|w| u64::try_from(whole(w)?).ok()).collect();
    list?.try_into().ok()
}

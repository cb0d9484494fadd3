//! What do the shell commands of a script change? `sysctl` lines become knobs; nothing is ever executed.

use super::Trouble;
use super::sockets::Sockets;
use crate::knob::ValueError;
use crate::stack::Stack;
use crate::tcp;
use crate::time::Duration;
use std::path::Path;

/// One change of the conditions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A setting of the stack, with its value.
    Knob(&'static str, String),
    /// net.core.rmem_max.
    RmemMax(i64),
    /// net.core.wmem_max.
    WmemMax(i64),
    /// Nothing but time passes.
    Pause(Duration),
}

/// A file may name another, but not for ever.
const MAX_DEPTH: u32 = 4;

/// Reads a command, or several with `&&`, `;` or line ends between them.
pub fn parse(text: &str, line: u32, directory: Option<&Path>) -> Result<Vec<Change>, Trouble> {
    let mut changes = Vec::new();
    read(text, line, directory, 0, &mut changes)?;
    Ok(changes)
}

fn read(
    text: &str,
    line: u32,
    directory: Option<&Path>,
    depth: u32,
    out: &mut Vec<Change>,
) -> Result<(), Trouble> {
    for words in commands(text, line)? {
        let unsupported = || Trouble::unsupported(line, format!("the command `{}`", words.join(" ")));
        let words: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|w| !matches!(*w, ">/dev/null" | "2>/dev/null" | "2>&1" | "sudo"))
            .enumerate()
            // `/sbin/sysctl` is `sysctl`, wherever it lies.
            .map(|(n, w)| match (n, w.rsplit_once('/')) {
                (0, Some((place, name))) if place.ends_with("bin") => name,
                _ => w,
            })
            .collect();
        match words.as_slice() {
            [] | ["set", "-e" | "-x" | "-ex" | "-eu"] | ["exit", "0"] => {}
            ["sysctl", args @ ..] => {
                let mut assigned = 0;
                let mut args = args
                    .iter()
                    .filter(|a| {
                        !matches!(**a, "-q" | "-w" | "-qw" | "-wq" | "-e" | "-n" | "-eq" | "-qe" | "-qew")
                    })
                    .peekable();
                while let Some(arg) = args.next() {
                    // `name=value`, and `name = value` as three words.
                    let (name, value) = match arg.split_once('=') {
                        Some(pair) => pair,
                        None if args.next_if(|next| **next == "=").is_some() => {
                            (*arg, args.next().copied().ok_or_else(unsupported)?)
                        }
                        None => return Err(unsupported()),
                    };
                    out.extend(sysctl(name, value, line)?);
                    assigned += 1;
                }
                if assigned == 0 {
                    return Err(unsupported());
                }
            }
            ["sleep", times @ ..] if !times.is_empty() => {
                for time in times {
                    out.push(Change::Pause(sleep(time).ok_or_else(unsupported)?));
                }
            }
            ["usleep", micros] => {
                let micros = micros.parse().ok().filter(|n| *n < 1 << 40).ok_or_else(unsupported)?;
                out.push(Change::Pause(Duration::from_micros(micros)));
            }
            ["echo", value @ .., ">", file] if file.starts_with("/proc/sys/") && !value.is_empty() => {
                out.extend(sysctl(file, &value.join(" "), line)?);
            }
            // The other way to write sysctls: each argument is FILE=VALUE.
            [program, args @ ..] if program.ends_with("set_sysctls.py") && !args.is_empty() => {
                for arg in args {
                    let (name, value) = arg.split_once('=').ok_or_else(unsupported)?;
                    out.extend(sysctl(name, value, line)?);
                }
            }
            // What such programs leave behind to undo their work: every run begins with the settings it was given.
            [program] if program.contains("sysctl_restore") => {}
            ["ip", "route" | "ro" | "r", "change" | "replace" | "add" | "append", rest @ ..]
            | ["ip", "-4" | "-6", "route" | "ro" | "r", "change" | "replace" | "add" | "append", rest @ ..] =>
            {
                out.extend(route(rest).ok_or_else(unsupported)?);
            }
            // There is no queue behind the stack's device: all of these pass packets on at once.
            ["tc", "qdisc", "add" | "replace" | "change", rest @ ..]
                if rest
                    .iter()
                    .any(|w| matches!(*w, "pfifo" | "pfifo_fast" | "noqueue" | "mq" | "fq_codel"))
                    && !rest.iter().any(|w| matches!(*w, "netem" | "fq" | "tbf")) => {}
            ["tc", "qdisc", "del" | "show", ..] => {}
            [program, rest @ ..] if IDLE.contains(program) && !rest.contains(&">") => {}
            ["ip", what, ..] if IDLE_IP.contains(what) => {}
            ["ip", "route" | "ro" | "r", "show" | "get" | "list" | "flush", ..] => {}
            [program] if program.ends_with(".sh") && directory.is_some() && depth < MAX_DEPTH => {
                let path = directory.map(|d| d.join(program)).ok_or_else(unsupported)?;
                let text = std::fs::read_to_string(&path).map_err(|e| {
                    Trouble::unsupported(line, format!("the command `{program}`: {}: {e}", path.display()))
                })?;
                read(&text, line, path.parent(), depth + 1, out)?;
            }
            ["bash" | "sh" | "source" | ".", file] if file.ends_with(".sh") && depth < MAX_DEPTH => {
                read(file, line, directory, depth + 1, out)?;
            }
            _ => return Err(unsupported()),
        }
    }
    Ok(())
}

/// Programs that only look, wait or talk: they change nothing that the stack sees.
const IDLE: &[&str] = &[
    ":", "true", "cat", "echo", "printf", "nstat", "ss", "netstat", "dmesg", "date", "logger", "mkdir", "rm",
    "touch", "pwd", "ls", "grep", "wc", "uname", "id", "modprobe", "ulimit", "ethtool", "sync", "which",
];

/// Objects of `ip` that are the kernel's own: devices, addresses, the memory of earlier connections.
const IDLE_IP: &[&str] = &["tcp_metrics", "link", "addr", "address", "neigh", "neighbour", "netns", "rule"];

/// `1`, `0.5`, `.5s`, `2m`: how long `sleep` sleeps.
fn sleep(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.as_bytes()[number.len()]),
        None => (text, b's'),
    };
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds: f64 = number.parse().ok().filter(|n: &f64| plain && *n < 1e6)?;
    let unit = match unit {
        b'm' => 60.0,
        b'h' => 3600.0,
        _ => 1.0,
    };
    Some(Duration::from_secs_f64(seconds * unit))
}

/// What `ip route change DESTINATION … NAME VALUE …` says about connections.
fn route(words: &[&str]) -> Option<Vec<Change>> {
    let mut out = Vec::new();
    let mut words = words.iter().copied();
    // The destination.
    words.next()?;
    while let Some(word) = words.next() {
        if word == "onlink" {
            continue;
        }
        let mut value = words.next()?;
        let locked = value == "lock";
        if locked {
            value = words.next()?;
        }
        let knob = |name, value: String| Change::Knob(name, value);
        match word {
            "via" | "dev" | "src" | "proto" | "scope" | "metric" | "table" | "type" | "hoplimit" => {}
            "initcwnd" => out.push(knob("tcp.init_cwnd", value.parse::<u32>().ok()?.to_string())),
            "rto_min" => {
                let plain = value.parse::<u64>().is_ok();
                out.push(knob("tcp.rto_min", if plain { format!("{value}ms") } else { value.to_string() }));
            }
            "congctl" => out.push(knob("tcp.congestion", congestion(value)?.to_string())),
            // Everything is acknowledged at once.
            "quickack" if value == "1" => out.push(knob("tcp.ack_delay", "0".to_string())),
            "quickack" if value == "0" => {}
            _ => return None,
        }
    }
    Some(out)
}

/// The words of each simple command.
fn commands(text: &str, line: u32) -> Result<Vec<Vec<String>>, Trouble> {
    let mut all = Vec::new();
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut chars = text.chars().peekable();
    let unclosed = || Trouble::syntax(line, "a quote in the command is not closed");
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            '"' | '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(unclosed)? {
                        end if end == c => break,
                        '\\' if c == '"' => word.push(chars.next().ok_or_else(unclosed)?),
                        '$' if c == '"' => {
                            let value = expansion(&mut chars).ok_or_else(|| {
                                Trouble::unsupported(line, "an expansion in a command that is no number")
                            })?;
                            word.push_str(&value);
                        }
                        other => word.push(other),
                    }
                }
            }
            '$' => {
                let value = expansion(&mut chars).ok_or_else(|| {
                    Trouble::unsupported(line, "an expansion in a command that is no number")
                })?;
                word.get_or_insert_default().push_str(&value);
            }
            '|' | '`' | '(' | ')' | '{' | '}' | '*' | '?' | '<' => {
                return Err(Trouble::unsupported(line, format!("`{c}` in the command `{}`", text.trim())));
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            '&' if chars.peek() == Some(&'&') => {
                chars.next();
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            '>' if word.is_none() => {
                chars.next_if(|c| *c == '>');
                // `> /dev/null` and `>/dev/null` are the same.
                while chars.next_if(|c| c.is_ascii_whitespace() && *c != '\n').is_some() {}
                let mut target = String::new();
                while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace() && *c != ';') {
                    target.push(c);
                }
                if target == "/dev/null" {
                    words.push(">/dev/null".to_string());
                } else {
                    words.extend([">".to_string(), target]);
                }
            }
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    all.push(words);
    Ok(all)
}

/// What stands for `$…`, the sign being taken: `$((15*1024))` is calculated, `$PPID` and `${PPID}` are kept as they are (a
/// file's name may have them). Nothing is executed.
fn expansion(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    if chars.next_if_eq(&'(').is_none() {
        let braces = chars.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        let closed = !braces || chars.next_if_eq(&'}').is_some();
        return (closed && !name.is_empty()).then(|| format!("${name}"));
    }
    chars.next_if_eq(&'(')?;
    let mut product = 1i64;
    loop {
        let mut factor = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == ' ') {
            factor.push(c);
        }
        product = product.checked_mul(factor.trim().parse().ok()?)?;
        match chars.next()? {
            '*' => {}
            ')' => return chars.next_if_eq(&')').map(|_| product.to_string()),
            _ => return None,
        }
    }
}

/// Sysctls whose other values have no counterpart, with the values that say what the stack does anyway.
const FIXED: &[(&str, &[&str])] = &[
    ("net.ipv4.tcp_fack", &["0"]),
    ("net.ipv4.tcp_moderate_rcvbuf", &["0", "1"]),
    ("net.ipv4.tcp_abort_on_overflow", &["0"]),
    ("net.ipv4.tcp_thin_linear_timeouts", &["0"]),
    ("net.ipv4.tcp_reordering", &["3"]),
    ("net.ipv4.tcp_stdurg", &["0"]),
    ("net.ipv4.tcp_comp_sack_delay_ns", &["1000000"]),
    ("net.ipv4.tcp_migrate_req", &["0"]),
    ("net.ipv4.tcp_shrink_window", &["0"]),
    ("net.ipv4.tcp_rfc1337", &["0"]),
    ("net.ipv4.tcp_orphan_retries", &["0"]),
    ("net.ipv4.tcp_retrans_collapse", &["1"]),
    ("net.ipv4.tcp_app_win", &["0", "31"]),
    ("net.ipv4.tcp_workaround_signed_windows", &["0"]),
    ("net.ipv4.tcp_pingpong_thresh", &["1"]),
    ("net.ipv4.tcp_plb_enabled", &["0"]),
    ("net.ipv4.tcp_reflect_tos", &["0"]),
    ("net.ipv4.tcp_min_snd_mss", &["48"]),
    ("net.ipv4.ip_no_pmtu_disc", &["0"]),
];

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
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_allowed_congestion_control",
    "net.ipv4.tcp_available_congestion_control",
    "net.ipv4.tcp_low_latency",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_retries1",
    "net.ipv4.tcp_no_metrics_save",
    "net.ipv4.tcp_no_ssthresh_metrics_save",
    "net.ipv4.tcp_adv_win_scale",
    "net.ipv4.tcp_abc",
    "net.ipv4.tcp_base_mss",
    "net.ipv4.tcp_mtu_probe_floor",
    "net.ipv4.tcp_probe_interval",
    "net.ipv4.tcp_probe_threshold",
    "net.ipv4.tcp_comp_sack_delay_ns",
    "net.ipv4.tcp_comp_sack_slack_ns",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_tw_reuse_delay",
    "net.ipv4.tcp_ecn_fallback",
    "net.ipv4.tcp_challenge_ack_limit",
    "net.ipv4.tcp_min_rtt_wlen",
    "net.ipv4.tcp_max_reordering",
    "net.ipv4.tcp_early_demux",
    "net.ipv4.tcp_fwmark_accept",
    "net.ipv4.tcp_l3mdev_accept",
    "net.ipv4.tcp_backlog_ack_defer",
    "net.ipv4.tcp_available_ulp",
    "net.ipv4.tcp_child_ehash_entries",
    // How accurate ECN and path changes on congestion behave, both being off.
    "net.ipv4.tcp_ecn_option",
    "net.ipv4.tcp_ecn_option_beacon",
    "net.ipv4.tcp_plb_cong_thresh",
    "net.ipv4.tcp_plb_idle_rehash_rounds",
    "net.ipv4.tcp_plb_rehash_rounds",
    "net.ipv4.tcp_plb_suspend_rto_sec",
    // How older kernels did what has no choice any more.
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
    let name = name.strip_prefix("/proc/sys/").unwrap_or(name).replace('/', ".");
    let value = value.trim();
    let unsupported = || Trouble::unsupported(line, format!("sysctl {name}={value}"));
    let number = |low: i64, high: i64| -> Result<i64, Trouble> {
        value.parse().ok().filter(|n| (low..=high).contains(n)).ok_or_else(unsupported)
    };
    let seconds = |knob| Ok(vec![Change::Knob(knob, format!("{}s", number(1, 1 << 20)?))]);
    let same = |knob| Ok(vec![Change::Knob(knob, number(0, 1 << 20)?.to_string())]);
    let switch = |knob| {
        let on = if number(0, 2)? == 0 { "off" } else { "on" };
        Ok(vec![Change::Knob(knob, on.to_string())])
    };
    if let Some((_, allowed)) = FIXED.iter().find(|(n, _)| *n == name) {
        return if allowed.contains(&value) { Ok(Vec::new()) } else { Err(unsupported()) };
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
        "net.ipv4.tcp_recovery" => switch("tcp.rack"),
        // 3 is the default: probes; 1 and 2 were of the algorithm before them.
        "net.ipv4.tcp_early_retrans" => Ok(match number(0, 4)? {
            0 => vec![Change::Knob("tcp.tail_loss_probe", "off".to_string())],
            _ => Vec::new(),
        }),
        "net.ipv4.tcp_timestamps" => switch("tcp.timestamps"),
        "net.ipv4.tcp_ecn" => {
            let mode = ["off", "on", "passive"][number(0, 2)? as usize];
            Ok(vec![Change::Knob("tcp.ecn", mode.to_string())])
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
        "net.ipv4.tcp_syn_linear_timeouts" => same("tcp.syn_linear"),
        "net.ipv4.tcp_synack_retries" => same("tcp.synack_retries"),
        "net.ipv4.ip_default_ttl" => same("tcp.ttl"),
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
        "net.ipv4.tcp_rfc1337" => switch("tcp.rfc1337"),
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
        "net.core.rmem_max" => Ok(vec![Change::RmemMax(number(0, 1 << 31)?)]),
        "net.core.wmem_max" => Ok(vec![Change::WmemMax(number(0, 1 << 31)?)]),
        other if INERT_PREFIXES.iter().any(|prefix| other.starts_with(prefix)) => Ok(Vec::new()),
        _ => Err(unsupported()),
    }
}

/// What Linux' name of a congestion control algorithm is here.
fn congestion(linux: &str) -> Option<&'static str> {
    match linux {
        "cubic" => Some("cubic"),
        "reno" | "newreno" => Some("newreno"),
        _ => None,
    }
}

fn numbers<const N: usize>(value: &str) -> Option<[u64; N]> {
    let list: Option<Vec<u64>> = value.split_ascii_whitespace().map(|w| w.parse().ok()).collect();
    list?.try_into().ok()
}

impl Sockets {
    /// Changes the conditions for the connections to come.
    ///
    /// # Errors
    /// If a knob refuses the value, or the stack cannot have two sets of settings.
    pub fn change(&mut self, stack: &mut Stack, changes: &[Change]) -> Result<(), String> {
        for change in changes {
            match change {
                Change::RmemMax(n) => self.buffer_max.0 = *n,
                Change::WmemMax(n) => self.buffer_max.1 = *n,
                Change::Pause(_) => {}
                Change::Knob(name, value) => {
                    set(&mut self.base, name, value).map_err(|e| format!("{name}={value}: {e}"))?;
                }
            }
        }
        self.apply(stack)
    }
}

/// Sets a knob.
///
/// # Errors
/// If there is no such knob or it refuses the value.
pub fn set(config: &mut tcp::Config, name: &str, value: &str) -> Result<(), ValueError> {
    match tcp::knobs().find(|knob| knob.name == name) {
        Some(knob) => (knob.set)(config, value),
        None => Err(ValueError(format!("there is no knob {name}"))),
    }
}

//! Which settings are about how a connection begins, rests and ends, and what its packets look like?

use super::*;
use crate::segment::Key;

pub(super) static KNOBS: &[Knob<Config>] = &[
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
        name: "tcp.window_clamp",
        values: "off|size 1152B..1GiB",
        meaning: "the largest window to offer, whatever the buffer holds",
        linux: "TCP_WINDOW_CLAMP",
        rfc: "",
        get: |c| c.window_clamp.map_or_else(|| "off".into(), |n| show_size(n.into())),
        set: |c, v| {
            c.window_clamp = match v.trim() {
                "off" => None,
                _ => match size(v)? {
                    n @ 1152..=0x4000_0000 => Some(n as u32),
                    _ => return Err(ValueError(format!("{v} is out of range: 1152 bytes to 1GiB"))),
                },
            };
            Ok(())
        },
    },
    Knob {
        name: "tcp.abort_on_overflow",
        values: "on|off",
        meaning: "a handshake that ends while the listener's queue is full is refused by a RST; off: it may end later",
        linux: "net.ipv4.tcp_abort_on_overflow",
        rfc: "",
        get: |c| show_switch(c.abort_on_overflow),
        set: |c, v| Ok(c.abort_on_overflow = switch(v)?),
    },
    Knob {
        name: "tcp.defer_accept",
        values: "duration 0..5m",
        meaning: "how long a new connection waits for data before it can be accepted; 0: not at all",
        linux: "TCP_DEFER_ACCEPT",
        rfc: "",
        get: |c| show_duration(c.defer_accept),
        set: |c, v| Ok(c.defer_accept = duration_in(v, Duration::ZERO, 300 * SECOND)?),
    },
    Knob {
        name: "tcp.pmtud",
        values: "on|off",
        meaning: "believe routers that say how large packets may be",
        linux: "net.ipv4.ip_no_pmtu_disc 0, IP_MTU_DISCOVER",
        rfc: "RFC 1191, RFC 8201",
        get: |c| show_switch(c.pmtud),
        set: |c, v| Ok(c.pmtud = switch(v)?),
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
        name: "tcp.md5_key",
        values: "off|text:KEY|hex:KEY, 1 to 80 bytes",
        meaning: "every segment is signed with it, and none is heard that is not; listeners and connections may have keys of their own",
        linux: "TCP_MD5SIG, for all peers",
        rfc: "RFC 2385",
        // What is recorded of settings tells no secrets.
        get: |c| if c.md5_key.is_some() { "hidden" } else { "off" }.to_string(),
        set: |c, v| Ok(c.md5_key = md5_key(v)?),
    },
    Knob {
        name: "tcp.drop_signed",
        values: "on|off",
        meaning: "segments with a signature are dropped where there is no key; off: the option is skipped",
        linux: "on (CONFIG_TCP_MD5SIG), without TCP_MD5SIG",
        rfc: "RFC 2385, RFC 9293 §3.1",
        get: |c| show_switch(c.drop_signed),
        set: |c, v| Ok(c.drop_signed = switch(v)?),
    },
    Knob {
        name: "tcp.rst_lenient",
        values: "on|off",
        meaning: "a RST counts at RCV.NXT, behind a FIN also one below, and right behind the last SACK block, and \
                  data across the peer's FIN and another SYN in SYN-RECEIVED reset; off: at RCV.NXT only",
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
        name: "tcp.time_wait_limit",
        values: "connections 0..2147483647",
        meaning: "how many connections may be in TIME-WAIT; what closes beyond it ends at once",
        linux: "net.ipv4.tcp_max_tw_buckets",
        rfc: "RFC 9293 §3.6.1",
        get: |c| c.time_wait_limit.to_string(),
        set: |c, v| Ok(c.time_wait_limit = number(v, 0, 2_147_483_647)?),
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
        name: "tcp.time_wait_reuse_delay",
        values: "time",
        meaning: "how old a connection in TIME-WAIT must be for connect to take its port",
        linux: "tcp_tw_reuse_delay",
        rfc: "RFC 7323 appendix B.2",
        get: |c| show_duration(c.time_wait_reuse_delay),
        set: |c, v| Ok(c.time_wait_reuse_delay = duration(v)?),
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
        name: "tcp.syn_ack_data",
        values: "on|off",
        meaning: "take data and FIN that come with a SYN-ACK; off: they have to come again, unless the SYN carried data",
        linux: "always off",
        rfc: "RFC 9293 §3.10.7.3",
        get: |c| show_switch(c.syn_ack_data),
        set: |c, v| Ok(c.syn_ack_data = switch(v)?),
    },
    Knob {
        name: "tcp.fastopen",
        values: "sum of 1, 2, 4, 512, 1024",
        meaning: "data with a SYN: 1 connect may send it, 2 listeners may take it, 4 and 512 each without a cookie, \
                  1024 all listeners do",
        linux: "net.ipv4.tcp_fastopen",
        rfc: "RFC 7413",
        get: |c| c.fast_open.to_string(),
        set: |c, v| Ok(c.fast_open = fast_open::read(v)?),
    },
    Knob {
        name: "tcp.fastopen_key",
        values: "seed|KEY|KEY,KEY",
        meaning: "what Fast Open cookies are made from: four groups of hexadecimal digits; the second key's are still taken",
        linux: "net.ipv4.tcp_fastopen_key, TCP_FASTOPEN_KEY",
        rfc: "RFC 7413 §4.1.2",
        get: |c| c.fast_open_keys.map_or("seed".into(), |keys| keys.to_string()),
        set: |c, v| {
            Ok(c.fast_open_keys = if v.trim() == "seed" { None } else { Some(fast_open::Keys::parse(v)?) })
        },
    },
    Knob {
        name: "tcp.fastopen_pause",
        values: "duration 0..1d",
        meaning: "after three time-outs of a SYN with Fast Open none is sent for so long, longer each time; 0: never mind",
        linux: "net.ipv4.tcp_fastopen_blackhole_timeout_sec",
        rfc: "RFC 7413 §4.1.3.1",
        get: |c| show_duration(c.fast_open_pause),
        set: |c, v| Ok(c.fast_open_pause = duration_in(v, Duration::ZERO, DAY)?),
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

fn md5_key(text: &str) -> Result<Option<Key>, ValueError> {
    let bytes = match text.split_once(':') {
        None if text == "off" => return Ok(None),
        Some(("text", key)) => Some(key.as_bytes().to_vec()),
        Some(("hex", digits)) if digits.is_ascii() && digits.len() % 2 == 0 => {
            let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
            (0..digits.len()).step_by(2).map(byte).collect()
        }
        _ => None,
    };
    match bytes.and_then(|bytes| Key::new(&bytes)) {
        Some(key) => Ok(Some(key)),
        None => {
            Err(ValueError(format!("expected off, text:KEY or hex:KEY with 1 to {} bytes", Key::LONGEST)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_texts_or_bytes_and_are_not_told() {
        let key = |text: &str| md5_key(text).map(|key| key.map(|key| key.bytes().to_vec()));
        assert_eq!(key("off"), Ok(None));
        assert_eq!(key("text:a:b"), Ok(Some(b"a:b".to_vec())));
        assert_eq!(key("hex:00ffA5"), Ok(Some(vec![0, 255, 0xa5])));
        let long = "text:".to_string() + &"x".repeat(81);
        for wrong in ["secret", "text:", "hex:", "hex:0", "hex:0g", "hex:\u{e4}\u{e4}", &long] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        let knob = super::super::knobs().find(|knob| knob.name == "tcp.md5_key").unwrap();
        let mut config = Config::linux();
        (knob.set)(&mut config, "text:secret").unwrap();
        assert_eq!((knob.get)(&config), "hidden");
    }
}

//! Under which conditions does a script run? Options of the caller and option lines of the script, made one.

use super::Trouble;
use super::ast::OptionLine;
use super::conditions;
use crate::stack::fast_open_cookie;
use crate::tcp;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Which IP, and which sockets over it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum IpVersion {
    /// IPv4 with AF_INET sockets.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
    /// IPv4 with AF_INET6 sockets.
    Ipv4MappedIpv6,
}

impl IpVersion {
    /// All of them.
    pub const ALL: [IpVersion; 3] = [IpVersion::Ipv4, IpVersion::Ipv6, IpVersion::Ipv4MappedIpv6];

    /// `ipv4`, `ipv6` or `ipv4-mapped-ipv6`.
    pub fn name(self) -> &'static str {
        match self {
            IpVersion::Ipv4 => "ipv4",
            IpVersion::Ipv6 => "ipv6",
            IpVersion::Ipv4MappedIpv6 => "ipv4-mapped-ipv6",
        }
    }

    /// Reads a name.
    pub fn from_name(name: &str) -> Option<IpVersion> {
        IpVersion::ALL.into_iter().find(|v| v.name() == name)
    }
}

/// How to run scripts. What is `None` is left to the script's option lines, then to a default.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// The settings to begin with; the script's `sysctl` lines change them.
    pub tcp: tcp::Config,
    /// IPv4 if nobody says otherwise.
    pub ip_version: Option<IpVersion>,
    /// By how much a time may be off, in microseconds; 4000.
    pub tolerance_usecs: Option<u64>,
    /// The device's MTU in bytes, 576 (IPv6: 1280) to 65,535; 1500, or 1520 with IPv6, so that a segment carries
    /// the same number of bytes.
    pub mtu: Option<u16>,
    /// The stack's address.
    pub local_ip: Option<IpAddr>,
    /// The other side's address.
    pub remote_ip: Option<IpAddr>,
    /// The port that `bind(…, ..., ...)` binds; 8080.
    pub bind_port: Option<u16>,
    /// The port that `connect(…, ..., ...)` connects to; 8080.
    pub connect_port: Option<u16>,
    /// By how much a time may be off, as a share of the time since the event before, in percent, if that is more; 12.5.
    pub tolerance_percent: Option<f64>,
    /// Options in the words of the language, `("mtu", "1400")`: they beat the script's own.
    pub lines: Vec<(String, Option<String>)>,
    /// Words that are replaced while reading: `NAME` → value.
    pub defines: BTreeMap<String, String>,
    /// Whether packets that nothing expects, sent before the script's last event, are a failure. The language
    /// ignores them.
    pub strict: bool,
    /// Seed of initial sequence numbers, ephemeral ports and time stamp offsets.
    pub seed: u64,
    /// Where a command like `./defaults.sh` finds its file; without it such a command is unsupported. Nothing is
    /// executed: the `sysctl` lines of the file are read.
    pub directory: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            tcp: tcp::Config::linux(),
            ip_version: None,
            tolerance_usecs: None,
            mtu: None,
            local_ip: None,
            remote_ip: None,
            bind_port: None,
            connect_port: None,
            tolerance_percent: None,
            lines: Vec::new(),
            defines: BTreeMap::new(),
            strict: false,
            seed: 1,
            directory: None,
        }
    }
}

/// The options with everything decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub tcp: tcp::Config,
    pub ip_version: IpVersion,
    /// Microseconds.
    pub tolerance: u64,
    /// The tolerance as a share of the time since the event before, in percent, if that is more.
    pub tolerance_percent: f64,
    /// Whether a line stands for one packet each, even if it is longer than a segment.
    pub whole_segments: bool,
    /// Whether a packet that is not the expected one is passed over.
    pub non_fatal: bool,
    /// Whether a call that returns something else is passed over.
    pub calls_go_on: bool,
    /// Whether the script is only read.
    pub dry_run: bool,
    /// Shell files that are read before anything else.
    pub init: Vec<String>,
    pub mtu: u16,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// Microseconds per tick of the stack's time stamp clock; 0: TSval is not compared.
    pub ts_tick: u64,
    pub strict: bool,
    pub seed: u64,
    pub directory: Option<PathBuf>,
}

/// packetdrill's: what a kernel's timer wheel may be late.
const TOLERANCE_PERCENT: f64 = 12.5;

/// An address, the length of a prefix behind it being passed over.
fn address(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

/// The settings of a profile.
pub(crate) fn profile(name: &str) -> Option<tcp::Config> {
    match name {
        "linux" => Some(tcp::Config::linux()),
        "rfc" => Some(tcp::Config::rfc()),
        "classic" => Some(tcp::Config::classic()),
        _ => None,
    }
}

/// Joins what the caller and the script say; the caller wins.
pub(crate) fn settle(options: &Options, lines: &[OptionLine]) -> Result<Settings, Trouble> {
    let mut script = Options::default();
    let mut tcp = options.tcp.clone();
    // Scripts want Linux whole.
    tcp.prune |= tcp.whole_segments;
    let (mut ts_tick, mut percent, mut non_fatal) = (0, TOLERANCE_PERCENT, false);
    let mut calls_go_on = false;
    let (mut whole_segments, mut dry_run, mut init) = (false, false, Vec::new());
    let own = options.lines.iter().map(|(name, value)| OptionLine {
        line: 1,
        name: name.clone(),
        value: value.clone(),
    });
    for line in lines.iter().cloned().chain(own) {
        let value = line.value.as_deref().unwrap_or("");
        let wrong = |wanted: &str| {
            Trouble::syntax(line.line, format!("--{}={value}: {wanted} was expected", line.name))
        };
        fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
            text.parse().ok()
        }
        match line.name.as_str() {
            "ip_version" => {
                let names = "ipv4, ipv6 or ipv4-mapped-ipv6";
                script.ip_version = Some(IpVersion::from_name(value).ok_or_else(|| wrong(names))?);
            }
            "tolerance_usecs" => {
                script.tolerance_usecs =
                    Some(number(value).ok_or_else(|| wrong("a number of microseconds"))?);
            }
            "tolerance_percent" => {
                percent = number(value)
                    .filter(|p: &f64| (0.0..=100.0).contains(p))
                    .ok_or_else(|| wrong("a percentage"))?;
            }
            "mtu" => script.mtu = Some(number(value).ok_or_else(|| wrong("a number of bytes"))?),
            // The size that a wire's offload cuts what is injected into, which is nothing that the stack sees.
            "mss" => number(value)
                .filter(|&n: &u16| n > 0)
                .map(|_| ())
                .ok_or_else(|| wrong("a number of bytes"))?,
            "local_ip" => script.local_ip = Some(address(value).ok_or_else(|| wrong("an IP address"))?),
            "remote_ip" => script.remote_ip = Some(address(value).ok_or_else(|| wrong("an IP address"))?),
            "strict_segments" => whole_segments = true,
            "dry_run" => dry_run = true,
            "init_scripts" => {
                init.extend(value.split([',', ' ']).filter(|f| !f.is_empty()).map(str::to_owned))
            }
            // What is asserted is TCP_INFO and Python.
            "code_sockopt" if matches!(value, "" | "TCP_INFO") => {}
            "code_format" if value == "python" => {}
            "code_command" if value.starts_with("python") => {}
            "bind_port" => script.bind_port = Some(number(value).ok_or_else(|| wrong("a port"))?),
            "connect_port" => script.connect_port = Some(number(value).ok_or_else(|| wrong("a port"))?),
            "tcp_ts_tick_usecs" => {
                ts_tick = number(value)
                    .filter(|&n| n <= 1_000_000)
                    .ok_or_else(|| wrong("at most 1000000 microseconds"))?;
            }
            // Two options of our own: settings by their names here.
            "profile" => tcp = profile(value).ok_or_else(|| wrong("linux, rfc or classic"))?,
            "set" => {
                let (name, value) = value.split_once('=').ok_or_else(|| wrong("NAME=VALUE"))?;
                conditions::set(&mut tcp, name, value)
                    .map_err(|e| Trouble::syntax(line.line, e.to_string()))?;
            }
            // Addresses of a device that is not there, and what is said anyway.
            "gateway_ip" | "netmask_ip" | "speed" | "verbose" | "v" | "debug" | "define" | "D" => {}
            // Where PSP would be, which is refused where it is used.
            "psp_udp_port" => {}
            "non_fatal" => {
                for kind in value.split([',', ' ']).filter(|kind| !kind.is_empty()) {
                    match kind {
                        "packet" => non_fatal = true,
                        "syscall" => calls_go_on = true,
                        _ => return Err(wrong("packet or syscall")),
                    }
                }
            }
            // Time stamps are scaled and answered that way anyway, and what is left of a script disturbs nobody.
            "tcp_ts_ecr_scaled" | "is_anyip" | "send_omit_free" => {}
            name => return Err(Trouble::unsupported(line.line, format!("the option --{name}"))),
        }
    }
    let at = lines.first().map_or(1, |l| l.line);
    let refuse = |what: String| Err(Trouble::syntax(at, what));

    let ip_version = options.ip_version.or(script.ip_version).unwrap_or_default();
    let v6 = ip_version == IpVersion::Ipv6;
    let mtu = options.mtu.or(script.mtu).unwrap_or(if v6 { 1520 } else { 1500 });
    let least = if v6 { 1280 } else { 576 };
    if mtu < least {
        return refuse(format!("an MTU of {mtu} is below the least of {}: {least}", ip_version.name()));
    }
    let (local, remote) = usual_addresses(v6);
    let local = options.local_ip.or(script.local_ip).unwrap_or(local);
    let remote = options.remote_ip.or(script.remote_ip).unwrap_or(remote);
    for ip in [local, remote] {
        if ip.is_ipv6() != v6 {
            return refuse(format!("{ip} is no address of {}", ip_version.name()));
        }
    }
    Ok(Settings {
        tcp,
        ip_version,
        // The sum of a time and a tolerance must not overflow.
        tolerance: options.tolerance_usecs.or(script.tolerance_usecs).unwrap_or(4000).min(1 << 40),
        tolerance_percent: options.tolerance_percent.unwrap_or(percent),
        whole_segments,
        dry_run,
        non_fatal,
        calls_go_on,
        init,
        mtu,
        local: SocketAddr::new(local, options.bind_port.or(script.bind_port).unwrap_or(8080)),
        remote: SocketAddr::new(remote, options.connect_port.or(script.connect_port).unwrap_or(8080)),
        ts_tick,
        strict: options.strict,
        seed: options.seed,
        directory: options.directory.clone(),
    })
}

/// Here and there, if nobody says: what collections of scripts are run with, so that cookies in them are right.
fn usual_addresses(v6: bool) -> (IpAddr, IpAddr) {
    match v6 {
        false => (Ipv4Addr::new(192, 168, 0, 1).into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        true => (
            Ipv6Addr::new(0xfd3d, 0x0a0b, 0x17d6, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1).into(),
        ),
    }
}

/// The keys whose cookies scripts call `TFO_COOKIE` and `TFO_COOKIE_ZERO`.
const COOKIE_KEYS: [(&str, [u8; 16]); 2] = [
    (
        "TFO_COOKIE",
        [0xa1, 0xa1, 0xa1, 0xa1, 0xb2, 0xb2, 0xb2, 0xb2, 0xc3, 0xc3, 0xc3, 0xc3, 0xd4, 0xd4, 0xd4, 0xd4],
    ),
    ("TFO_COOKIE_ZERO", [0; 16]),
];

/// The words that are replaced while reading: the caller's, and those that scripts expect to be told because they stand for
/// something else with each IP version.
pub(crate) fn defines(source: &str, options: &Options) -> BTreeMap<String, String> {
    let own = |name: &str| {
        let value = source.lines().find_map(|line| line.trim().strip_prefix(name))?;
        value.split([' ', '\t', '/']).next()
    };
    let version =
        options.ip_version.or_else(|| IpVersion::from_name(own("--ip_version=")?)).unwrap_or_default();
    let (local, remote) = usual_addresses(version == IpVersion::Ipv6);
    let address =
        |given: Option<IpAddr>, name, usual| given.or_else(|| own(name)?.parse().ok()).unwrap_or(usual);
    let local = address(options.local_ip, "--local_ip=", local);
    let remote = address(options.remote_ip, "--remote_ip=", remote);
    let mut words = match version {
        IpVersion::Ipv4 => vec![("CMSG_LEVEL_IP", "SOL_IP"), ("CMSG_TYPE_RECVERR", "IP_RECVERR")],
        _ => vec![("CMSG_LEVEL_IP", "SOL_IPV6"), ("CMSG_TYPE_RECVERR", "IPV6_RECVERR")],
    };
    if version != IpVersion::Ipv6 {
        words.push(("CODE", "host_unreachable"));
    }
    let cookies = COOKIE_KEYS.map(|(name, key)| {
        let cookie = u64::from_be_bytes(fast_open_cookie(&key, remote, local));
        (name.to_string(), format!("{cookie:016x}"))
    });
    let words = words.into_iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let mut defines = options.defines.clone();
    for (name, value) in words.chain(cookies) {
        defines.entry(name).or_insert(value);
    }
    defines
}

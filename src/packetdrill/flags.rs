//! Under which conditions does the stack run? The text behind `--so_flags=`.

use crate::script::{commands, settings};
use crate::tcp;
use std::net::IpAddr;
use std::path::PathBuf;

/// The text, read.
#[derive(Clone, PartialEq, Debug)]
pub struct Flags {
    /// `profile=linux|rfc|classic` and `set=KNOB=VALUE`, in their order.
    pub tcp: tcp::Config,
    /// `local=ADDRESS`: the stack's address. Else it takes the first that it is spoken to under.
    pub local: Option<IpAddr>,
    /// `mtu=BYTES`, 576 (IPv6: 1280) to 65,535. Else what packetdrill was told of, or 1500, or 1520 with IPv6, for segments of the same size.
    pub mtu: Option<u16>,
    /// `clock=virtual|real`.
    pub real: bool,
    /// `trace=FILE.pcapng`.
    pub trace: Option<PathBuf>,
}

/// Reads flags with commas between them.
///
/// # Errors
/// The flag that is not understood, and what was expected.
pub fn parse(text: &str) -> Result<Flags, String> {
    let mut flags = Flags { tcp: tcp::Config::linux(), local: None, mtu: None, real: false, trace: None };
    for flag in text.split(',').map(str::trim).filter(|f| !f.is_empty()) {
        let wrong = |wanted: &str| format!("--so_flags: {flag}: {wanted} was expected");
        let (name, value) = flag.split_once('=').ok_or_else(|| wrong("NAME=VALUE"))?;
        match name {
            "profile" => {
                flags.tcp = settings::profile(value).ok_or_else(|| wrong("linux, rfc or classic"))?;
            }
            "set" => {
                let (knob, value) = value.split_once('=').ok_or_else(|| wrong("set=KNOB=VALUE"))?;
                commands::set(&mut flags.tcp, knob, value).map_err(|e| format!("--so_flags: {flag}: {e}"))?;
            }
            "local" => flags.local = Some(value.parse().map_err(|_| wrong("an IP address"))?),
            "mtu" => {
                let mtu = value.parse().ok().filter(|mtu| *mtu >= 576);
                flags.mtu = Some(mtu.ok_or_else(|| wrong("a number of bytes from 576"))?);
            }
            "clock" => {
                flags.real = match value {
                    "real" => true,
                    "virtual" => false,
                    _ => return Err(wrong("virtual or real")),
                }
            }
            "trace" => flags.trace = Some(value.into()),
            _ => return Err(wrong("profile, set, local, mtu, clock or trace")),
        }
    }
    Ok(flags)
}

/// The MTU that packetdrill itself was told of: by its command line, or by the script, which is one of its arguments.
pub fn told_mtu() -> Option<u16> {
    let line = std::fs::read_to_string("/proc/self/cmdline").ok()?;
    let arguments: Vec<&str> = line.split('\0').skip(1).collect();
    let script = |path: &&str| std::fs::read_to_string(path).ok().and_then(|text| mtu(text.lines()));
    mtu(arguments.iter().copied())
        .or_else(|| arguments.iter().filter(|a| !a.is_empty() && !a.starts_with('-')).find_map(script))
}

/// What the last `--mtu=BYTES` among the lines says that begin with an option.
fn mtu<'a>(lines: impl Iterator<Item = &'a str>) -> Option<u16> {
    let options = lines.map(str::trim).filter(|line| line.starts_with("--"));
    options
        .flat_map(str::split_ascii_whitespace)
        .filter_map(|o| o.strip_prefix("--mtu=")?.parse().ok())
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mtu_that_options_name_counts() {
        let script = "// text\n--ip_version=ipv6 --mtu=1500\n--mtu=1300\n0 socket(..., SOCK_STREAM, 0) = 3\n";
        assert_eq!(mtu(script.lines()), Some(1300));
        assert_eq!(mtu("0 close(3) = 0".lines()), None);
    }

    #[test]
    fn all_flags_are_read_and_anything_else_is_named() {
        let flags =
            parse("profile=rfc, set=tcp.ttl=9,local=10.0.0.1,clock=real,trace=/tmp/x.pcapng").unwrap();
        assert_eq!((flags.tcp.ttl, flags.tcp.rto_min), (9, tcp::Config::rfc().rto_min));
        assert_eq!((flags.local, flags.real), (Some(IpAddr::from([10, 0, 0, 1])), true));
        assert_eq!(parse("").unwrap().tcp, tcp::Config::linux());
        for text in
            ["clock=lunar", "speed=9", "mtu=5", "local", "local=here", "set=tcp.nagle", "set=tcp.nagel=on"]
        {
            assert!(parse(text).unwrap_err().contains(text), "{text}");
        }
    }
}

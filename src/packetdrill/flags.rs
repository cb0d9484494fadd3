//! Under which conditions does the stack run? The text behind `--so_flags=`.

use crate::script::{conditions, settings};
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
                conditions::set(&mut flags.tcp, knob, value)
                    .map_err(|e| format!("--so_flags: {flag}: {e}"))?;
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

/// packetdrill's own arguments.
fn arguments() -> Vec<String> {
    let line = std::fs::read_to_string("/proc/self/cmdline").unwrap_or_default();
    line.split('\0').skip(1).filter(|a| !a.is_empty()).map(str::to_owned).collect()
}

/// The script that packetdrill runs, which is one of its arguments, and where it lies.
pub fn script() -> Option<(String, PathBuf)> {
    let arguments = arguments();
    let scripts = arguments.iter().filter(|a| !a.starts_with('-'));
    let read = |path: &String| std::fs::read_to_string(path).ok().map(|text| (text, PathBuf::from(path)));
    scripts.filter_map(read).next()
}

/// What packetdrill itself was told by the option `name`, on its command line or in the script, and where the script
/// lies.
pub fn told(name: &str) -> Option<(String, PathBuf)> {
    let (arguments, script) = (arguments(), script());
    let directory = script.as_ref().and_then(|(_, path)| path.parent()).unwrap_or("".as_ref()).to_path_buf();
    let value = option(arguments.iter().map(String::as_str), name)
        .or_else(|| script.as_ref().and_then(|(text, _)| option(text.lines(), name)))?;
    Some((value, directory))
}

/// What the last `--name=VALUE` says among the lines that begin with an option.
fn option<'a>(lines: impl Iterator<Item = &'a str>, name: &str) -> Option<String> {
    let value = |line: &'a str| line.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=');
    lines.map(str::trim).filter_map(value).last().map(|value| value.trim_matches('"').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_option_of_a_name_counts() {
        let script = "// text\n--mtu=1500\n--mtu=1300\n--init_scripts=\"./a.sh\"\n0 close(3) = 0\n";
        assert_eq!(option(script.lines(), "mtu").as_deref(), Some("1300"));
        assert_eq!(option(script.lines(), "init_scripts").as_deref(), Some("./a.sh"));
        assert_eq!(option(script.lines(), "init"), None);
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

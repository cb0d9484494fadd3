//! What do the shell commands of a script change? `sysctl` lines become knobs; nothing is ever executed.

use super::Trouble;
use super::sockets::Sockets;
use super::sysctl::{congestion, sysctl};
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
    /// net.ipv4.tcp_notsent_lowat: what holds for sockets that do not say.
    NotsentLowat(u32),
    /// A file is there, so many bytes long, or no more.
    File(String, Option<u64>),
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
                let mut named = 0;
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
                        // What is only read changes nothing.
                        None if arg.starts_with("net.") || arg.starts_with("kernel.") => {
                            named += 1;
                            continue;
                        }
                        None => return Err(unsupported()),
                    };
                    out.extend(sysctl(name, value, line)?);
                    named += 1;
                }
                if named == 0 {
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
            ["truncate", "-s", size, file] | ["truncate", "-s", size, "--", file] => {
                out.push(Change::File((*file).to_string(), Some(bytes(size).ok_or_else(unsupported)?)));
            }
            ["fallocate", "-l", size, file] => {
                out.push(Change::File((*file).to_string(), Some(bytes(size).ok_or_else(unsupported)?)));
            }
            ["dd", args @ ..] => out.push(dd(args).ok_or_else(unsupported)?),
            ["head", "-c", size, "/dev/zero" | "/dev/urandom", ">", file] if is_temporary(file) => {
                out.push(Change::File((*file).to_string(), Some(bytes(size).ok_or_else(unsupported)?)));
            }
            ["echo", text @ .., ">", file] if is_temporary(file) => {
                out.push(Change::File((*file).to_string(), Some(text.join(" ").len() as u64 + 1)));
            }
            ["touch", file] => out.push(Change::File((*file).to_string(), Some(0))),
            ["rm", files @ ..] => {
                let names = files.iter().filter(|f| !f.starts_with('-'));
                out.extend(names.map(|name| Change::File((*name).to_string(), None)));
            }
            // The other way to write sysctls: each argument is FILE=VALUE.
            [program, args @ ..] | ["python" | "python3", program, args @ ..]
                if program.ends_with("set_sysctls.py") && !args.is_empty() =>
            {
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
            // This one spreads what is sent, by the rate that TCP tells it.
            ["tc", "qdisc", "add" | "replace" | "change", rest @ .., "fq"] if !rest.contains(&"netem") => {
                out.push(Change::Knob("tcp.pacing", "on".to_string()));
            }
            ["tc", "qdisc", "del" | "show", ..] => {}
            [program, rest @ ..] if IDLE.contains(program) && !rest.contains(&">") => {}
            ["ip", "-4" | "-6", what, rest @ ..] | ["ip", what, rest @ ..]
                if IDLE_IP.contains(what) && !rest.contains(&"mtu") => {}
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

/// Whether a file is a script's own: none is really written.
fn is_temporary(file: &str) -> bool {
    !file.starts_with('/') || ["/tmp/", "/var/tmp/", "/dev/shm/"].iter().any(|place| file.starts_with(place))
}

/// `1000`, `64K`, `1M`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'K', 'M', 'G', 'B', 'i']);
    let unit = match text[digits.len()..].trim_end_matches('B').trim_end_matches('i') {
        "" => 1,
        "k" | "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// `dd if=/dev/zero of=FILE bs=N count=N`: the file that it makes.
fn dd(args: &[&str]) -> Option<Change> {
    let (mut file, mut block, mut count) = (None, 512, None);
    for arg in args {
        match arg.split_once('=')? {
            ("of", name) => file = Some(name.to_string()),
            ("bs", size) => block = bytes(size)?,
            ("count", n) => count = Some(n.parse::<u64>().ok()?),
            ("if", "/dev/zero" | "/dev/urandom") | ("status" | "conv", _) => {}
            _ => return None,
        }
    }
    Some(Change::File(file?, Some(block.checked_mul(count?)?)))
}

/// What `ip route change DESTINATION … NAME VALUE …` says about connections.
fn route(words: &[&str]) -> Option<Vec<Change>> {
    let mut out = Vec::new();
    let mut words = words.iter().copied();
    let destination = words.next()?;
    let headers = if destination.contains(':') { 60 } else { 40 };
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
            "mtu" => {
                let mss = value.parse::<u16>().ok()?.checked_sub(headers)?;
                out.push(knob("tcp.mss", mss.to_string()));
            }
            "features" if value == "ecn" => out.push(knob("tcp.ecn", "on".to_string())),
            "features" if value == "0" => {}
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
            '`' | '(' | ')' | '{' | '}' | '*' | '?' | '<' => {
                return Err(Trouble::unsupported(line, format!("`{c}` in the command `{}`", text.trim())));
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            // What stands behind `||` is done when what is before it fails, and nothing here fails.
            '|' if chars.next_if_eq(&'|').is_some() => {
                while chars.next_if(|c| !matches!(c, '\n' | ';' | '&')).is_some() {}
            }
            '|' => {
                return Err(Trouble::unsupported(line, format!("`|` in the command `{}`", text.trim())));
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
                Change::NotsentLowat(n) => self.notsent_lowat = (*n > 0 && *n < u32::MAX).then_some(*n),
                Change::File(name, Some(size)) => {
                    self.files.insert(name.clone(), *size);
                }
                Change::File(name, None) => {
                    self.files.remove(name);
                }
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

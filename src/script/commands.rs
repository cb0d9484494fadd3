//! What do the shell commands of a script change? `sysctl` lines become knobs; nothing is ever executed.

use super::Trouble;
use super::shell::{Programs, Shell, Status};
use super::sysctl::{congestion, is_known, sysctl};
use crate::time::Duration;
use std::path::{Path, PathBuf};

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
    /// Packets on the way to the peer may have so many bytes.
    Mtu(u16),
    /// net.ipv4.tcp_notsent_lowat: what holds for sockets that do not say.
    NotsentLowat(u32),
    /// Fast Open does without cookies, or not.
    NoCookie(bool),
    /// A file is there, so many bytes long, or no more.
    File(String, Option<u64>),
}

/// Reads a command, or several, as a shell would.
pub fn parse(text: &str, line: u32, directory: Option<&Path>) -> Result<Vec<Change>, Trouble> {
    let mut machine =
        Machine { directory: directory.map(Path::to_path_buf), place: String::new(), out: Vec::new() };
    let why = match Shell::new(line).source(text, true, &mut machine)? {
        Some(true) => return Ok(machine.out),
        Some(false) => "which fails",
        // It may be there to see whether something holds.
        None => "of which nobody knows here whether it fails",
    };
    Err(Trouble::unsupported(line, format!("the command `{}`, {why}", text.trim())))
}

/// The machine that commands change.
struct Machine {
    directory: Option<PathBuf>,
    /// Where `cd` went; empty if nowhere.
    place: String,
    out: Vec<Change>,
}

impl Programs for Machine {
    fn changes(&self) -> usize {
        self.out.len()
    }

    fn has_file(&self, name: &str) -> Option<bool> {
        match name.strip_prefix("/proc/sys/") {
            Some(name) => Some(is_known(name)),
            None => self.out.iter().rev().find_map(|change| match change {
                Change::File(file, size) if file == name => Some(size.is_some()),
                _ => None,
            }),
        }
    }

    fn run(&mut self, shell: &mut Shell, words: &[&str]) -> Result<Status, Trouble> {
        let line = shell.line;
        let unsupported = || Trouble::unsupported(line, format!("the command `{}`", words.join(" ")));
        let words: Vec<&str> = words
            .iter()
            .copied()
            .filter(|w| *w != "sudo")
            .enumerate()
            // `/sbin/sysctl` is `sysctl`, wherever it lies.
            .map(|(n, w)| match (n, w.rsplit_once('/')) {
                (0, Some((place, name))) if place.ends_with("bin") => name,
                _ => w,
            })
            .collect();
        // What is written lies where `cd` went.
        let target = match words.as_slice() {
            [.., ">", file] if !self.place.is_empty() && !file.starts_with('/') => {
                Some(format!("{}/{file}", self.place))
            }
            _ => None,
        };
        let mut words = words;
        if let Some(target) = &target {
            words.pop();
            words.push(target);
        }
        if let ["cat" | "ls", file] = words.as_slice()
            && let Some(there) = self.has_file(file)
        {
            return Ok(Some(there));
        }
        let out = &mut self.out;
        match words.as_slice() {
            [] | ["true"] => {}
            ["false"] => return Ok(Some(false)),
            // How a program is run makes no difference.
            ["time" | "nohup" | "exec" | "command" | "builtin" | "env" | "nice" | "setsid", rest @ ..]
            | ["taskset", "-c" | "-p", _, rest @ ..]
            | ["timeout" | "chrt" | "ionice", _, rest @ ..]
                if rest.first().is_some_and(|word| !word.starts_with('-')) =>
            {
                return self.run(shell, rest);
            }
            ["command", "-v" | "-V", program] | ["which" | "type", program] => {
                let usual = matches!(*program, "ip" | "tc" | "sysctl") || IDLE.contains(program);
                return Ok(usual.then_some(true));
            }
            ["cd", place] => {
                self.place = match place.starts_with('/') || self.place.is_empty() {
                    true => (*place).trim_end_matches('/').to_string(),
                    false => format!("{}/{}", self.place, place.trim_end_matches('/')),
                };
                // Whether it is there.
                return Ok(place.starts_with("/proc/sys/net").then_some(true));
            }
            ["cat", files @ ..] if files.iter().all(|file| file.starts_with("/proc/net/")) => {}
            ["bash" | "sh", "-c", text, ..] => return shell.source(text, true, self),
            ["sysctl", "-a" | "-A" | "--all", ..] => return Ok(None),
            ["sysctl", args @ ..] => {
                return sysctls(shell, args, out)?.ok_or_else(unsupported).map(Some);
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
            ["echo" | "printf", value @ .., ">", file]
                if file.starts_with("/proc/sys/") && !value.is_empty() =>
            {
                let value: Vec<&str> =
                    value.iter().copied().filter(|w| !matches!(*w, "-n" | "-e" | "-ne")).collect();
                out.extend(sysctl(file, &value.join(" "), line)?);
            }
            // Parameters of modules.
            ["echo", value, ">", file] if file.starts_with("/sys/") => {
                out.extend(parameter(file, value).ok_or_else(unsupported)?);
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
            // What is said about the output.
            [program @ ("ip" | "tc"), option, rest @ ..]
                if option.starts_with('-')
                    && rest.len() > 1
                    && !matches!(*option, "-n" | "-netns" | "-batch" | "-b") =>
            {
                let words: Vec<&str> = [program].into_iter().chain(rest).copied().collect();
                return self.run(shell, &words);
            }
            ["ip", "route" | "ro" | "r", "change" | "replace" | "add" | "append", rest @ ..]
                if !rest.iter().any(|w| matches!(*w, "unreachable" | "blackhole" | "prohibit" | "throw")) =>
            {
                out.extend(route(rest).ok_or_else(unsupported)?);
            }
            // There is no queue behind the stack's device: all of these pass packets on at once.
            ["tc", "qdisc", "add" | "replace" | "change", rest @ ..]
                if rest.iter().any(|w| PASSING.contains(w))
                    && !rest.iter().any(|w| matches!(*w, "netem" | "fq" | "tbf")) => {}
            // This one spreads what is sent, by the rate that TCP tells it, or not.
            ["tc", "qdisc", "add" | "replace" | "change", rest @ ..]
                if rest.contains(&"fq")
                    && !rest.iter().any(|w| matches!(*w, "netem" | "tbf" | "maxrate" | "flow_limit")) =>
            {
                let spreads = !rest.contains(&"nopacing");
                out.push(Change::Knob("tcp.pacing", if spreads { "on" } else { "off" }.to_string()));
            }
            ["tc", "qdisc" | "class" | "filter", "del" | "delete" | "show" | "ls" | "list", ..]
            | ["tc", "qdisc" | "class" | "filter"] => {}
            // Rules that may drop or change packets are another thing.
            ["iptables" | "ip6tables" | "nft", rest @ ..]
                if rest.ends_with(&["-j", "ACCEPT"])
                    || !rest
                        .iter()
                        .any(|w| matches!(*w, "-A" | "-I" | "--append" | "--insert" | "add" | "insert")) => {}
            [program, rest @ ..] if IDLE.contains(program) && !rest.contains(&">") => {}
            [program, rest @ ..] if ASKING.contains(program) && !rest.contains(&">") => return Ok(None),
            ["ip", "link", "set", rest @ ..] if rest.contains(&"mtu") => {
                let mtu = rest.iter().skip_while(|w| **w != "mtu").nth(1);
                let mtu = mtu.and_then(|mtu| mtu.parse().ok()).ok_or_else(unsupported)?;
                out.push(Change::Mtu(mtu));
            }
            ["ip", what, rest @ ..] if IDLE_IP.contains(what) && !rest.contains(&"mtu") => {}
            ["ip", "route" | "ro" | "r", "show" | "get" | "list" | "ls" | "flush" | "save", ..]
            | ["ip", "route" | "ro" | "r"] => {}
            ["ifconfig", _, .., "mtu", mtu] => {
                out.push(Change::Mtu(mtu.parse().ok().ok_or_else(unsupported)?));
            }
            ["ifconfig" | "route", ..] => {}
            ["source" | ".", file, ..] => return self.file(shell, file, false),
            ["bash" | "sh", file, ..] | [file, ..] if file.ends_with(".sh") => {
                return self.file(shell, file, true);
            }
            _ => return Err(unsupported()),
        }
        Ok(Some(true))
    }
}

impl Machine {
    /// A file of commands, in a shell of its `own` or not.
    fn file(&mut self, shell: &mut Shell, name: &str, own: bool) -> Result<Status, Trouble> {
        let unsupported = |why: &str| Trouble::unsupported(shell.line, format!("the command `{name}`{why}"));
        let path = self.directory.as_ref().map(|d| d.join(name)).ok_or_else(|| unsupported(""))?;
        let text =
            std::fs::read_to_string(&path).map_err(|e| unsupported(&format!(": {}: {e}", path.display())))?;
        let kept = self.directory.clone();
        self.directory = path.parent().map(Path::to_path_buf);
        let status = shell.source(&text, own, self);
        self.directory = kept;
        status
    }
}

/// `sysctl [options] name=value…`: whether Linux has all that it names. None if it does something else.
fn sysctls(shell: &Shell, args: &[&str], out: &mut Vec<Change>) -> Result<Option<bool>, Trouble> {
    let lenient = args
        .iter()
        .any(|a| *a == "--ignore" || a.starts_with('-') && !a.starts_with("--") && a.contains('e'));
    let mut named = 0;
    let mut args = args
        .iter()
        .filter(|a| {
            let plain = a.starts_with('-') && a[1..].bytes().all(|b| b"qwenN".contains(&b));
            !plain && !matches!(**a, "--quiet" | "--write" | "--ignore" | "--values")
        })
        .peekable();
    while let Some(arg) = args.next() {
        // `name=value`, and `name = value` as three words.
        let (name, value) = match arg.split_once('=') {
            Some(pair) => pair,
            None if args.next_if(|next| **next == "=").is_some() => match args.next() {
                Some(value) => (*arg, *value),
                None => return Ok(None),
            },
            // What is only read changes nothing.
            None if arg.starts_with("net.") || arg.starts_with("kernel.") => {
                named += 1;
                continue;
            }
            None => return Ok(None),
        };
        named += 1;
        if is_known(name) {
            out.extend(sysctl(name, value, shell.line)?);
        } else if !lenient {
            if shell.is_condition() && name.starts_with("net.") {
                return Ok(Some(false));
            }
            // Says which.
            sysctl(name, value, shell.line)?;
        }
    }
    Ok((named > 0).then_some(true))
}

/// Programs that wait, talk or do what the stack does not see, and do not fail.
const IDLE: &[&str] = &[
    "echo", "printf", "nstat", "ss", "netstat", "ps", "dmesg", "date", "logger", "mkdir", "pwd", "modprobe",
    "ulimit", "ethtool", "sync", "wait", "kill", "killall", "pkill", "seq", "awk", "sed", "head", "tail",
    "sort", "uniq", "cut", "tr", "tcpdump", "tshark", "renice", "unset", "shift", "trap", "umask", "uname",
    "id", "nproc", "whoami", "hostname", "lscpu", "lsmod", "basename", "dirname",
];

/// Programs of which nobody knows here whether they fail.
const ASKING: &[&str] = &[
    "cat", "ls", "let", "grep", "egrep", "fgrep", "wc", "which", "ping", "ping6", "type", "stat", "find",
    "xargs", "expr", "pgrep", "cmp", "diff",
];

/// Queues that pass on at once what TCP hands them, and places to attach filters to.
const PASSING: &[&str] = &[
    "pfifo",
    "pfifo_fast",
    "pfifo_head_drop",
    "bfifo",
    "noqueue",
    "mq",
    "fq_codel",
    "codel",
    "sfq",
    "clsact",
    "ingress",
    "prio",
    "pie",
    "fq_pie",
];

/// What a module's parameter, or what else is under /sys, changes.
fn parameter(file: &str, value: &str) -> Option<Vec<Change>> {
    let Some(name) = file.strip_prefix("/sys/module/tcp_cubic/parameters/") else {
        // Devices and their queues.
        return ["/sys/class/net/", "/sys/devices/", "/sys/kernel/"]
            .iter()
            .any(|place| file.starts_with(place))
            .then(Vec::new);
    };
    match (name, value) {
        ("hystart", "0") => Some(vec![Change::Knob("tcp.hystart", "off".to_string())]),
        ("hystart", "1") => Some(vec![Change::Knob("tcp.hystart", "linux".to_string())]),
        ("fast_convergence" | "tcp_friendliness", "1")
        | ("beta", "717")
        | ("hystart_detect", "3")
        | ("hystart_low_window", "16")
        | ("bic_scale", "41")
        | ("initial_ssthresh", "0") => Some(Vec::new()),
        _ => None,
    }
}

/// Objects of `ip` that are the kernel's own: devices, addresses, the memory of earlier connections.
const IDLE_IP: &[&str] = &[
    "tcp_metrics",
    "tcpmetrics",
    "link",
    "l",
    "addr",
    "address",
    "a",
    "neigh",
    "neighbour",
    "n",
    "netns",
    "rule",
    "maddr",
    "maddress",
    "ntable",
    "netconf",
    "nexthop",
    "monitor",
];

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
            "mtu" => out.push(Change::Mtu(value.parse().ok()?)),
            "features" if value == "ecn" => out.push(knob("tcp.ecn", "on".to_string())),
            "features" if value == "0" => {}
            "reordering" => out.push(knob("tcp.reordering", value.parse::<u32>().ok()?.to_string())),
            "fastopen_no_cookie" => out.push(Change::NoCookie(value != "0")),
            "advmss" => out.push(knob("tcp.advmss", value.parse::<u32>().ok()?.to_string())),
            "initcwnd" => out.push(knob("tcp.init_cwnd", value.parse::<u32>().ok()?.to_string())),
            "initrwnd" => out.push(knob("tcp.init_rwnd", value.parse::<u32>().ok()?.to_string())),
            "window" => out.push(knob("tcp.window_clamp", value.parse::<u32>().ok()?.to_string())),
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

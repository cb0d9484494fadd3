//! What do the shell commands of a script change? `sysctl` lines become knobs; nothing is ever executed.

use super::Trouble;
use super::shell::{self, Node};
use super::sockets::{SocketKind, Sockets};
use super::sysctl::{congestion, is_known, sysctl};
use crate::knob::ValueError;
use crate::stack::Stack;
use crate::tcp::{self, Opts, fast_open};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
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
    /// Packets on the way to the peer may have so many bytes.
    Mtu(u16),
    /// net.ipv4.tcp_notsent_lowat: what holds for sockets that do not say.
    NotsentLowat(u32),
    /// Fast Open does without cookies, or not.
    NoCookie(bool),
    /// A file is there, so many bytes long, or no more.
    File(String, Option<u64>),
}

/// A file may name another, but not for ever.
const MAX_DEPTH: u32 = 4;
/// A command with more steps is no preparation.
const MOST_STEPS: u32 = 4096;

/// Reads a command, or several, as a shell would.
pub fn parse(text: &str, line: u32, directory: Option<&Path>) -> Result<Vec<Change>, Trouble> {
    let mut out = Vec::new();
    let mut reader = Reader { line, directory, depth: 0, steps: 0, names: BTreeMap::new(), out: &mut out };
    match reader.run(&shell::parse(text, line)?)? {
        Some(false) => Err(Trouble::unsupported(line, format!("the command `{}`, which fails", text.trim()))),
        _ => Ok(out),
    }
}

/// How a command ended, where that is known: nothing is executed.
type Status = Option<bool>;

struct Reader<'a> {
    line: u32,
    directory: Option<&'a Path>,
    depth: u32,
    steps: u32,
    /// The shell's variables that were set here.
    names: BTreeMap<String, String>,
    out: &'a mut Vec<Change>,
}

impl Reader<'_> {
    fn run(&mut self, node: &Node) -> Result<Status, Trouble> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(Trouble::syntax(self.line, "the command has too many steps"));
        }
        match node {
            Node::Simple(words) => self.simple(words),
            Node::List(list) | Node::Pipe(list) => list.iter().try_fold(Some(true), |_, node| self.run(node)),
            Node::And(a, b) => match self.run(a)? {
                Some(false) => Ok(Some(false)),
                _ => self.run(b),
            },
            // What is not there on Linux either fails there, too; what else comes to nothing here does not fail.
            Node::Or(a, b) => match is_missing(a) || self.run(a)? == Some(false) {
                true => self.run(b),
                false => Ok(Some(true)),
            },
            Node::Not(a) => Ok(self.run(a)?.map(|ended| !ended)),
            Node::If(arms) => self.choose(arms),
            Node::For(name, values, body) => {
                let mut status = Some(true);
                for value in values {
                    status = self.run(&body.with(name, value))?;
                }
                Ok(status)
            }
        }
    }

    /// A word with the values of the variables that are known.
    fn known(&self, word: &str) -> String {
        let mut word = word.to_string();
        // The longest names first: one may begin with another.
        let mut names: Vec<(&String, &String)> = self.names.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, value) in names {
            if word.len() + value.len() < 1 << 16 {
                word = word.replace(&format!("${name}"), value);
            }
        }
        word
    }

    fn choose(&mut self, arms: &[(Option<Node>, Node)]) -> Result<Status, Trouble> {
        let (before, mut sure) = (self.out.len(), true);
        for (condition, body) in arms {
            let holds = match condition {
                Some(condition) => self.run(condition)?,
                None => Some(true),
            };
            sure &= holds.is_some();
            if holds != Some(false) {
                let status = self.run(body)?;
                if sure {
                    return Ok(status);
                }
            }
        }
        // Whatever happens where it is not known which way it goes must make no difference.
        if self.out.len() > before {
            return Err(Trouble::unsupported(self.line, "a condition in a command that is not known here"));
        }
        Ok(None)
    }

    /// `[ … ]`
    fn test(&self, args: &[&str]) -> Status {
        let known = |word: &str| (!word.contains('$')).then_some(());
        match args {
            [args @ .., "]"] => self.test(args),
            ["!", args @ ..] => self.test(args).map(|holds| !holds),
            ["-f" | "-e" | "-r" | "-w" | "-s", file] => match file.strip_prefix("/proc/sys/") {
                Some(name) => Some(is_known(name)),
                None => self.out.iter().rev().find_map(|change| match change {
                    Change::File(name, size) if name == file => Some(size.is_some()),
                    _ => None,
                }),
            },
            ["-n", word] => known(word).map(|()| !word.is_empty()),
            ["-z", word] => known(word).map(|()| word.is_empty()),
            [a, "=" | "==" | "-eq", b] => known(a).and(known(b)).map(|()| a == b),
            [a, "!=" | "-ne", b] => known(a).and(known(b)).map(|()| a != b),
            _ => None,
        }
    }

    /// One program with its arguments.
    fn simple(&mut self, words: &[String]) -> Result<Status, Trouble> {
        let line = self.line;
        let unsupported = || Trouble::unsupported(line, format!("the command `{}`", words.join(" ")));
        let words: Vec<String> = words.iter().map(|word| self.known(word)).collect();
        // `NAME=VALUE` before a command, or alone.
        let values = words.iter().take_while(|word| assignment(word).is_some()).count();
        for (name, value) in words[..values].iter().filter_map(|word| assignment(word)) {
            self.names.insert(name.to_string(), value.to_string());
        }
        let words: Vec<&str> = words[values..]
            .iter()
            .map(String::as_str)
            .filter(|w| *w != "sudo")
            .enumerate()
            // `/sbin/sysctl` is `sysctl`, wherever it lies.
            .map(|(n, w)| match (n, w.rsplit_once('/')) {
                (0, Some((place, name))) if place.ends_with("bin") => name,
                _ => w,
            })
            .collect();
        let out = &mut *self.out;
        match words.as_slice() {
            [] | ["set", "-e" | "-x" | "-ex" | "-eu"] | ["exit", "0"] | ["true" | ":"] => {}
            ["false"] => return Ok(Some(false)),
            ["export" | "local" | "readonly" | "declare", values @ ..] => {
                for (name, value) in values.iter().filter_map(|word| assignment(word)) {
                    self.names.insert(name.to_string(), value.to_string());
                }
            }
            // How a program is run makes no difference.
            ["time" | "nohup" | "exec" | "command" | "builtin" | "env" | "nice" | "setsid", rest @ ..]
            | ["taskset", "-c" | "-p", _, rest @ ..]
            | ["timeout" | "chrt" | "ionice", _, rest @ ..]
                if rest.first().is_some_and(|word| !word.starts_with('-')) =>
            {
                return self.run(&Node::Simple(rest.iter().map(|word| (*word).to_string()).collect()));
            }
            ["bash" | "sh", "-c", text] | ["eval", text] if self.depth < MAX_DEPTH => {
                let node = shell::parse(text, line)?;
                self.depth += 1;
                let status = self.run(&node);
                self.depth -= 1;
                return status;
            }
            ["[" | "test", args @ ..] => return Ok(self.test(args)),
            ["sysctl", args @ ..] => {
                if let ["-a" | "-A" | "--all", ..] = args {
                    return Ok(None);
                }
                let lenient = args.iter().any(|a| {
                    *a == "--ignore" || a.starts_with('-') && !a.starts_with("--") && a.contains('e')
                });
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
                    named += 1;
                    if !lenient || is_known(name) {
                        out.extend(sysctl(name, value, line)?);
                    }
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
                let words = [program].into_iter().chain(rest).map(|word| (*word).to_string());
                return self.run(&Node::Simple(words.collect()));
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
            [program, rest @ ..] if IDLE.contains(program) && !rest.contains(&">") => return Ok(None),
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
            [program, ..]
                if program.ends_with(".sh") && self.directory.is_some() && self.depth < MAX_DEPTH =>
            {
                let path = self.directory.map(|d| d.join(program)).ok_or_else(unsupported)?;
                let text = std::fs::read_to_string(&path).map_err(|e| {
                    Trouble::unsupported(line, format!("the command `{program}`: {}: {e}", path.display()))
                })?;
                let (steps, depth, directory) = (self.steps, self.depth + 1, path.parent());
                let names = self.names.clone();
                let mut inner = Reader { line, directory, depth, steps, names, out };
                return inner.run(&shell::parse(&text, line)?);
            }
            ["bash" | "sh" | "source" | ".", file, ..] if file.ends_with(".sh") && self.depth < MAX_DEPTH => {
                return self.run(&Node::Simple(vec![(*file).to_string()]));
            }
            _ => return Err(unsupported()),
        }
        Ok(Some(true))
    }
}

/// Whether it sets what Linux does not have.
fn is_missing(node: &Node) -> bool {
    let Node::Simple(words) = node else { return false };
    let names = words.iter().filter_map(|word| Some(word.split_once('=')?.0));
    words.first().is_some_and(|program| program.ends_with("sysctl"))
        && names.filter(|name| name.starts_with("net.")).any(|name| !is_known(name))
}

/// Programs that only look, wait or talk: they change nothing that the stack sees.
const IDLE: &[&str] = &[
    ":", "true", "cat", "echo", "printf", "nstat", "ss", "netstat", "dmesg", "date", "logger", "mkdir", "rm",
    "touch", "pwd", "ls", "grep", "wc", "uname", "id", "modprobe", "ulimit", "ethtool", "sync", "which",
    "wait", "kill", "killall", "pkill", "seq", "awk", "sed", "head", "tail", "sort", "uniq", "cut", "tr",
    "ps", "egrep", "tcpdump", "tshark", "ping", "ping6", "renice", "hostname", "unset", "shift", "trap",
    "umask", "cd", "type", "nproc", "lsmod", "whoami", "stat", "find", "xargs", "tee", "expr", "basename",
    "dirname", "lscpu",
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

/// `NAME=VALUE`
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (plain && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')).then_some((name, value))
}

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

impl Sockets {
    /// Changes the conditions for the connections to come.
    ///
    /// # Errors
    /// If a knob refuses the value, or the stack cannot have two sets of settings.
    pub fn change(&mut self, stack: &mut Stack, now: Instant, changes: &[Change]) -> Result<(), String> {
        for change in changes {
            match change {
                Change::RmemMax(n) => self.buffer_max.0 = *n,
                Change::WmemMax(n) => self.buffer_max.1 = *n,
                Change::Pause(_) => {}
                Change::NotsentLowat(n) => self.notsent_lowat = (*n > 0 && *n < u32::MAX).then_some(*n),
                Change::File(name, Some(size)) => {
                    self.files.insert(name.clone(), *size);
                }
                Change::NoCookie(on) => {
                    let without = fast_open::CLIENT_WITHOUT_COOKIE | fast_open::SERVER_WITHOUT_COOKIE;
                    self.base.fast_open &= !without;
                    self.base.fast_open |= if *on { without } else { 0 };
                }
                Change::File(name, None) => {
                    self.files.remove(name);
                }
                // What a packet carries beside its headers.
                Change::Mtu(mtu) => {
                    let headers = if self.wire_v6 { 60 } else { 40 };
                    let old = Opts::new(&self.base);
                    self.base.mss = Some(mtu.checked_sub(headers).ok_or("the MTU is too small")?);
                    self.follow(stack, now, "tcp.mss", "", &old);
                }
                Change::Knob(name, value) => {
                    let old = Opts::new(&self.base);
                    set(&mut self.base, name, value).map_err(|e| format!("{name}={value}: {e}"))?;
                    self.follow(stack, now, name, value, &old);
                }
            }
        }
        self.apply(stack);
        Ok(())
    }

    /// What is there already follows a setting that Linux reads when it needs it, and not when a socket is made.
    fn follow(&mut self, stack: &mut Stack, now: Instant, name: &str, value: &str, old: &Opts) {
        if LIVE.contains(&name) {
            stack.set_config_of_all(now, |config| {
                let _ = set(config, name, value);
            });
        }
        let new = Opts::new(&self.base);
        fn put<T: Copy + PartialEq>(to: &mut T, old: T, new: T) {
            if *to == old {
                *to = new;
            }
        }
        let follow = |opts: &mut Opts| {
            put(&mut opts.fin_timeout, old.fin_timeout, new.fin_timeout);
            put(&mut opts.keepalive_idle, old.keepalive_idle, new.keepalive_idle);
            put(&mut opts.keepalive_interval, old.keepalive_interval, new.keepalive_interval);
            put(&mut opts.keepalive_count, old.keepalive_count, new.keepalive_count);
            put(&mut opts.mss, old.mss, new.mss);
        };
        if *old != new {
            stack.set_opts_of_all(now, follow);
        }
        for socket in self.table.values_mut() {
            follow(&mut socket.opts);
            if !matches!(socket.kind, SocketKind::Conn(_)) {
                put(&mut socket.opts.window_clamp, old.window_clamp, new.window_clamp);
            }
            if let SocketKind::Conn(conn) = &socket.kind
                && !socket.tuning.is_plain()
            {
                let tuning = socket.tuning;
                stack.set_config(now, conn.id, |config| tuning.apply(config));
            }
        }
    }
}

/// Settings that hold for open connections, too, when they change.
const LIVE: &[&str] = &[
    "tcp.frto",
    "tcp.dsack",
    "tcp.rack",
    "tcp.shrink_window",
    "tcp.rack_adapts",
    "tcp.rack_by_count",
    "tcp.tail_loss_probe",
    "tcp.slow_start_after_idle",
    "tcp.retries1",
    "tcp.retries",
    "tcp.orphan_retries",
    "tcp.syn_retries",
    "tcp.synack_retries",
    "tcp.syn_linear",
    "tcp.compressed_acks",
    "tcp.rfc1337",
    "tcp.challenge_limit",
    "tcp.challenge_interval",
    "tcp.thin_linear",
    "tcp.abort_on_overflow",
    "tcp.compressed_ack_delay",
    "tcp.ecn_fallback",
    "tcp.ecn_option",
    "tcp.ecn_option_beacon",
];

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

//! What do the typed arguments mean? Checked in full before anything is created.

use super::args::{NetArgs, Overflow, SettingArgs, TraceArgs};
use super::drawn::{self, Page};
use super::failure::Failure;
use super::{output, whole_file};
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tcpglass::settings::{Profile, Settings};
use tcpglass::trace::{self, Format, Sink, TraceOptions, Tracer};
use tcpglass::tun::Offload;

/// The settings of this run.
pub fn settings(args: &SettingArgs) -> Result<Settings, Failure> {
    let profile = args.profile.as_deref().map(Profile::parse).transpose()?;
    Ok(Settings::resolve(profile, args.config.as_deref(), &args.set)?)
}

/// The seed on a real network: nobody may guess the sequence numbers that are made from it (RFC 6528).
pub fn network_seed(args: &SettingArgs) -> u64 {
    // The standard library keys its hashers from the operating system's random numbers.
    args.seed.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish())
}

/// The seed in the simulator: the same run each time unless another one is asked for.
pub fn simulator_seed(args: &SettingArgs) -> u64 {
    args.seed.unwrap_or(1)
}

/// Whether so many stacks can do what is asked of one.
pub fn queues(queues: NonZeroU16, settings: &Settings, recording: &Recording) -> Result<NonZeroU16, Failure> {
    let wrong = |why: &str| Err(Failure::usage(format_args!("--queues {queues}: {why}")));
    match queues.get() {
        2.. if !settings.link.is_ideal() => {
            wrong("each stack would have a link of its own: take one queue, or no link.* settings")
        }
        2.. if recording.uses_stdout() => {
            wrong("each stack writes a record of its own, and standard output has room for one: name a file")
        }
        _ => Ok(queues),
    }
}

/// The addresses on both sides of the device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// The stack's, with prefix lengths.
    pub addrs: Vec<(IpAddr, u8)>,
    /// The kernel's, with the same prefix lengths.
    pub peers: Vec<(IpAddr, u8)>,
    /// The largest packet in bytes.
    pub mtu: u16,
    /// Whether super-segments pass in one piece.
    pub offload: Offload,
    /// How long to look for packets before sleeping.
    pub busy_poll: Duration,
}

const DEFAULTS: [(&str, &str); 2] = [("10.77.0.2/24", "10.77.0.1"), ("fd77::2/64", "fd77::1")];

/// Addresses as typed or by default. Giving one IP version leaves the other at its default.
pub fn network(args: &NetArgs) -> Result<Network, Failure> {
    let mut network = Network {
        addrs: Vec::new(),
        peers: Vec::new(),
        mtu: args.mtu,
        offload: args.offload,
        busy_poll: Duration::from_micros(args.busy_poll.into()),
    };
    let typed: Vec<(IpAddr, u8)> = args.addr.iter().map(|a| address(a)).collect::<Result<_, _>>()?;
    let peers: Vec<IpAddr> = args.peer.iter().map(|a| peer(a)).collect::<Result<_, _>>()?;
    for (default, default_peer) in DEFAULTS {
        let default = address(default)?;
        let ours: Vec<_> = typed.iter().filter(|a| a.0.is_ipv4() == default.0.is_ipv4()).collect();
        let theirs: Vec<_> = peers.iter().filter(|p| p.is_ipv4() == default.0.is_ipv4()).collect();
        let version = if default.0.is_ipv4() { "IPv4" } else { "IPv6" };
        if ours.len() > 1 {
            return Err(Failure::usage(format_args!(
                "--addr: two {version} addresses: give one of each version"
            )));
        }
        if theirs.len() > 1 {
            return Err(Failure::usage(format_args!(
                "--peer: two {version} addresses: give one of each version"
            )));
        }
        let (addr, len) = ours.first().map_or(default, |a| **a);
        let peer = match theirs.first() {
            Some(peer) => **peer,
            None if ours.is_empty() => self::peer(default_peer)?,
            None => neighbour(addr, len),
        };
        if peer == addr {
            return Err(Failure::usage(format_args!(
                "--peer {peer} is the stack's own address: take another one"
            )));
        }
        if masked(peer, len) != masked(addr, len) {
            return Err(Failure::usage(format_args!(
                "--peer {peer} is not in the network {addr}/{len}: both sides of the device share one"
            )));
        }
        network.addrs.push((addr, len));
        network.peers.push((peer, len));
    }
    Ok(network)
}

fn address(text: &str) -> Result<(IpAddr, u8), Failure> {
    let wrong = |why: &str| Failure::usage(format_args!("--addr {text:?}: {why}"));
    let (ip, len) = text.split_once('/').ok_or_else(|| wrong("no prefix length: write 10.77.0.2/24"))?;
    let ip: IpAddr = ip.parse().map_err(|_| wrong("not an IP address: write 10.77.0.2/24 or fd77::2/64"))?;
    let longest = if ip.is_ipv4() { 30 } else { 126 };
    let len = match len.parse::<u8>() {
        Ok(n) if n >= 8 && n <= longest => n,
        _ => return Err(wrong(&format!("the prefix length is a number from 8 to {longest}"))),
    };
    if !usable(ip) {
        return Err(wrong("not an address that a host can have"));
    }
    let host = bits(ip) & !mask(ip, len);
    if host == 0 || (ip.is_ipv4() && host == u128::from(u32::MAX) & !mask(ip, len)) {
        return Err(wrong("the first and the last address of a network belong to no host"));
    }
    Ok((ip, len))
}

fn peer(text: &str) -> Result<IpAddr, Failure> {
    (text.parse().ok().filter(|ip| usable(*ip))).ok_or_else(|| {
        Failure::usage(format_args!("--peer {text:?}: not an IP address: write 10.77.0.1 or fd77::1"))
    })
}

fn usable(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || broadcast)
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(ip: IpAddr, len: u8) -> u128 {
    match ip {
        IpAddr::V4(_) => u128::from(u32::MAX << (32 - u32::from(len))),
        IpAddr::V6(_) => u128::MAX << (128 - u32::from(len)),
    }
}

fn masked(ip: IpAddr, len: u8) -> (bool, u128) {
    (ip.is_ipv4(), bits(ip) & mask(ip, len))
}

/// The first host address of the network that is not ours.
fn neighbour(addr: IpAddr, len: u8) -> IpAddr {
    let first = (bits(addr) & mask(addr, len)) + 1;
    let free = if first == bits(addr) { first + 1 } else { first };
    match addr {
        IpAddr::V4(_) => IpAddr::V4((free as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(free.into()),
    }
}

/// What to record and where.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The capture.
    pub trace: Option<PathBuf>,
    /// The JSON lines.
    pub events: Option<PathBuf>,
    /// What to do when the disk is slower than the network.
    pub overflow: Overflow,
    /// Bytes kept of each packet; `None` keeps all.
    pub snaplen: Option<u32>,
    /// The page that is made of it.
    pub page: Option<Page>,
    /// From which number the simulator draws, if it is one.
    pub simulated: Option<u64>,
}

/// Checks that the files can be written, without making them.
pub fn recording(args: &TraceArgs) -> Result<Recording, Failure> {
    if let Some(path) = args.trace.as_deref().filter(|p| !is_stdout(p)) {
        writable("--trace", path)?;
        let end = path.extension().and_then(|e| e.to_str());
        let device = path.metadata().is_ok_and(|m| !m.is_file());
        if !device && !matches!(end, Some("pcapng" | "pcap" | "jsonl")) {
            let shown = path.display();
            let why = "let its name end in .pcapng, .pcap or .jsonl";
            return Err(Failure::usage(format_args!("--trace {shown}: {why}")));
        }
    }
    if let Some(path) = args.events.as_deref().filter(|p| !is_stdout(p)) {
        writable("--events", path)?;
    }
    if args.trace.is_some() && args.trace == args.events {
        return Err(Failure::usage("--trace and --events name the same file: give each its own"));
    }
    Ok(Recording {
        simulated: None,
        trace: args.trace.clone(),
        events: args.events.clone(),
        overflow: args.trace_overflow,
        snaplen: args.snaplen,
        page: None,
    })
}

/// The page of a run, checked: it is written when the run has ended, to a file.
pub fn page(path: Option<&Path>, title: String) -> Result<Option<Page>, Failure> {
    let Some(path) = path else { return Ok(None) };
    if is_stdout(path) {
        return Err(Failure::usage("--html -: results are on standard output; name a file"));
    }
    whole_file::writable(whole_file::PAGE, path)?;
    Ok(Some(Page { path: path.to_owned(), title }))
}

/// `-` is standard output.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

impl Recording {
    /// Whether a record goes to standard output, where results would be in its way.
    pub fn uses_stdout(&self) -> bool {
        [&self.trace, &self.events].into_iter().flatten().any(|p| is_stdout(p))
    }

    /// The records of one of several stacks: `a.pcapng` becomes `a-1.pcapng` for the first.
    pub fn of_queue(&self, queue: u16) -> Recording {
        let numbered = |path: &PathBuf| {
            let mut name = path.file_stem().unwrap_or_default().to_owned();
            name.push(format!("-{queue}"));
            if let Some(end) = path.extension() {
                name.push(".");
                name.push(end);
            }
            path.with_file_name(name)
        };
        let device = |path: &Path| path.metadata().is_ok_and(|m| !m.is_file());
        let each = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| if device(path) { path.clone() } else { numbered(path) })
        };
        Recording { trace: each(&self.trace), events: each(&self.events), ..self.clone() }
    }

    /// Says in the records from which number the simulator draws. A real network's number nobody may know.
    pub fn simulated(mut self, seed: u64) -> Recording {
        self.simulated = Some(seed);
        self
    }

    /// Makes the files and starts their writers.
    ///
    /// # Errors
    /// One of the files cannot be made, or is there already and no record.
    pub fn open(
        &self,
        names: Vec<(IpAddr, String)>,
        interface: &str,
        settings: &Settings,
    ) -> Result<Tracer, Failure> {
        self.sinks(names, interface, settings).map(Tracer::new)
    }

    /// The same without a tracer around them.
    pub fn sinks(
        &self,
        names: Vec<(IpAddr, String)>,
        interface: &str,
        settings: &Settings,
    ) -> Result<Vec<Box<dyn Sink>>, Failure> {
        if self.uses_stdout() {
            output::stdout().map_err(|e| Failure::writing("standard output", &e))?;
        }
        let options = self.options(names, interface, settings);
        let trace = self.trace.as_deref().map(|path| trace::open(path, &options));
        let events = self.events.as_deref().map(|path| trace::open_as(path, Format::Jsonl, &options));
        let page = self.page.clone().map(|page| drawn::sink(page, &options));
        trace.into_iter().chain(events).chain(page).collect::<Result<_, _>>().map_err(Failure::usage)
    }

    /// How records are written.
    pub fn options(
        &self,
        names: Vec<(IpAddr, String)>,
        interface: &str,
        settings: &Settings,
    ) -> TraceOptions {
        TraceOptions {
            overflow: match self.overflow {
                Overflow::Wait => trace::Overflow::Wait,
                Overflow::Drop => trace::Overflow::Drop,
            },
            snaplen: self.snaplen.unwrap_or(0),
            names,
            interface: interface.to_owned(),
            description: description(settings, self.simulated),
            portable: false,
        }
    }
}

/// What the capture says about itself: the version, and the settings that are not the default profile's.
fn description(settings: &Settings, seed: Option<u64>) -> String {
    let seed = seed.map_or_else(String::new, |seed| format!(" seed={seed}"));
    format!("tcpglass {}: {}{seed}", env!("CARGO_PKG_VERSION"), settings.changed())
}

/// Whether a file could be made or overwritten at `path`.
pub fn writable(option: &str, path: &Path) -> Result<(), Failure> {
    use rustix::fs::{Access, access};
    let shown = path.display();
    let wrong = |why: String| Failure::usage(format_args!("{option} {shown}: {why}"));
    if path.as_os_str().is_empty() {
        return Err(wrong("no file name".into()));
    }
    if path.is_dir() {
        return Err(wrong("is a directory: name a file in it".into()));
    }
    if path.exists() {
        return access(path, Access::WRITE_OK).map_err(|e| wrong(format!("cannot be written: {e}")));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(wrong(format!("there is no directory {0}: make it with mkdir -p {0}", parent.display())));
    }
    access(parent, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|e| wrong(format!("no file can be made in {}: {e}", parent.display())))
}

/// Whether files can be served from `path`.
pub fn directory(option: &str, path: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let real = (path.canonicalize()).map_err(|e| Failure::usage(format_args!("{option} {shown}: {e}")))?;
    if !real.is_dir() {
        return Err(Failure::usage(format_args!("{option} {shown}: not a directory")));
    }
    Ok(real)
}

/// Where the program of a command is: found before anything is created.
///
/// # Errors
/// As a shell does: 127 if there is none, 126 if it cannot be executed.
pub fn program(name: &std::ffi::OsStr) -> Result<PathBuf, Failure> {
    use rustix::fs::{Access, access};
    use std::process::ExitCode;
    let shown = Path::new(name).display();
    let executable = |p: &Path| p.is_file() && access(p, Access::EXEC_OK).is_ok();
    let direct = Path::new(name);
    let mut found_unusable = None;
    let candidates: Vec<PathBuf> = if direct.components().count() > 1 || direct.is_absolute() {
        vec![direct.to_owned()]
    } else {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).map(|d| d.join(name)).collect()
    };
    for candidate in candidates {
        if executable(&candidate) {
            return Ok(candidate);
        }
        if candidate.exists() {
            found_unusable.get_or_insert(candidate);
        }
    }
    Err(match found_unusable {
        Some(path) => Failure::new(
            ExitCode::from(126),
            format_args!("cannot run {}: it is not an executable file: try chmod +x", path.display()),
        ),
        None => Failure::new(
            ExitCode::from(127),
            format_args!("cannot run {shown}: no such command: check its spelling and PATH"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(addr: &[&str], peer: &[&str]) -> Result<Network, String> {
        let strings = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        network(&NetArgs { addr: strings(addr), peer: strings(peer), mtu: 1500, ..NetArgs::default() })
            .map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn addresses_not_given_are_the_usual_ones() {
        let n = net(&[], &[]).unwrap();
        let show = |list: &[(IpAddr, u8)]| {
            list.iter().map(|(a, l)| format!("{a}/{l}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(show(&n.addrs), "10.77.0.2/24 fd77::2/64");
        assert_eq!(show(&n.peers), "10.77.0.1/24 fd77::1/64");
        let n = net(&["192.0.2.1/30"], &[]).unwrap();
        assert_eq!(show(&n.addrs), "192.0.2.1/30 fd77::2/64");
        assert_eq!(show(&n.peers), "192.0.2.2/30 fd77::1/64", "the neighbour is not the stack itself");
    }

    #[test]
    fn addresses_that_make_no_network_are_refused() {
        for (addr, peer, told) in [
            (&["10.0.0.2"][..], &[][..], "no prefix length"),
            (&["10.0.0.2/33"], &[], "from 8 to 30"),
            (&["fd00::1/0"], &[], "from 8 to 126"),
            (&["ten/8"], &[], "not an IP address"),
            (&["127.0.0.1/8"], &[], "not an address that a host can have"),
            (&["224.0.0.1/8"], &[], "not an address that a host can have"),
            (&["10.0.0.0/24"], &[], "belong to no host"),
            (&["10.0.0.255/24"], &[], "belong to no host"),
            (&["10.0.0.2/24", "10.0.0.3/24"], &[], "two IPv4 addresses"),
            (&["10.0.0.2/24"], &["10.0.1.1"], "not in the network"),
            (&["10.0.0.2/24"], &["10.0.0.2"], "own address"),
            (&[], &["nonsense"], "not an IP address"),
            (&[], &["fd78::1"], "not in the network"),
        ] {
            let error = net(addr, peer).unwrap_err();
            assert!(error.contains(told), "{addr:?} {peer:?}: {error}");
        }
    }
}

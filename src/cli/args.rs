//! What can be typed on the command line? Arguments as typed; `options` makes sense of them.

use super::outputs::Outputs;
use clap::builder::styling::Styles;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::num::NonZeroU16;
use std::path::PathBuf;
use tcpglass::tun::Offload;

/// A TCP/IP and HTTP/1.1 stack in user space that says why it sent each segment
#[derive(Parser, Debug)]
#[command(name = "tcpglass", version, max_term_width = 100, styles = Styles::plain(), disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 reset, 5 timed out, \
                        6 a claim did not hold; run returns COMMAND's code.\n\
                        Every setting: tcpglass knobs.  What this machine allows: tcpglass doctor.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Run(Run),
    Serve(Serve),
    Get(Get),
    Load(Load),
    Proxy(Proxy),
    Ss(Ss),
    Top(Top),
    Lab(Lab),
    Explain(Explain),
    WhatIf(WhatIf),
    Script(Script),
    Knobs(Knobs),
    Extcap(Extcap),
    Doctor(Doctor),
    Completions(Completions),
    Man(Man),
}

/// What the kernel allows a device to have.
fn queues(text: &str) -> Result<NonZeroU16, &'static str> {
    text.parse().ok().filter(|n: &NonZeroU16| n.get() <= 256).ok_or("a number from 1 to 256")
}

/// Which values the settings have
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Settings")]
pub struct SettingArgs {
    /// Defaults to start from: linux, rfc or classic
    #[arg(long, value_name = "P")]
    pub profile: Option<String>,
    /// Change one setting; may be repeated (tcpglass knobs lists them)
    #[arg(long, value_name = "K=V")]
    pub set: Vec<String>,
    /// Read settings from a TOML file; --set wins over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Seed of everything random; the simulator repeats a run exactly
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// What is recorded
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Recording")]
pub struct TraceArgs {
    /// Write each packet with its reason: pcapng, or classic pcap if FILE ends in .pcap
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub trace: Option<PathBuf>,
    /// Write the same records as JSON lines
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub events: Option<PathBuf>,
    /// When the disk is slower than the network: wait for it, or drop records and count them
    #[arg(long, value_name = "wait|drop", default_value = "wait", hide_default_value = true)]
    pub trace_overflow: Overflow,
    /// Keep only the first N bytes of each packet; then those of a super-segment have the TCP checksum 0
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..=262_144))]
    pub snaplen: Option<u32>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    #[default]
    Wait,
    Drop,
}

/// Addresses and the device
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Network")]
pub struct NetArgs {
    /// Address of the stack, with prefix length; once for each IP version [default: 10.77.0.2/24, fd77::2/64]
    #[arg(long, value_name = "ADDR/LEN")]
    pub addr: Vec<String>,
    /// Address of the kernel's side [default: 10.77.0.1, fd77::1]
    #[arg(long, value_name = "ADDR")]
    pub peer: Vec<String>,
    /// Largest packet in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..))]
    pub mtu: u16,
    /// Whether the kernel hands over up to 64 KiB in one piece, with checksums left out: auto means if it can, and no link is set
    #[arg(long, value_name = "on|off|auto", default_value = "auto", hide_default_value = true)]
    pub offload: Offload,
    /// How long to look for packets before sleeping: quicker answers on few connections, for a whole core
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub busy_poll: u32,
}

/// How results are shown
#[derive(Args, Debug, Default, Clone)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Colours: auto means on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "auto|always|never", default_value = "auto", hide_default_value = true)]
    pub color: Color,
    /// Say more
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say nothing but results and errors
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// Run COMMAND in a private network whose only peer is this stack
///
/// COMMAND sees one network device, and behind it an HTTP server at 10.77.0.2 and [fd77::2], called glass. No root is
/// needed where unprivileged namespaces are allowed. Without COMMAND three requests are made through kernel sockets.
#[derive(Args, Debug)]
#[command(
    after_help = "Example: tcpglass run --trace first.pcapng -- curl -s http://glass/bytes/100000 -o /dev/null"
)]
pub struct Run {
    /// Command to run, with its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<std::ffi::OsString>,
    /// Serve the files below DIR beside the built-in pages
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Stacks, each with a queue of the device, a thread and records of its own: FILE-1.pcapng, FILE-2.pcapng
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true, value_parser = queues)]
    pub queues: NonZeroU16,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub trace: TraceArgs,
    #[command(flatten)]
    pub net: NetArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Run the HTTP server on a TUN device of this host until SIGINT or SIGTERM
///
/// Needs root, or a device made for this user: ip tuntap add dev tcpglass0 mode tun user $USER
#[derive(Args, Debug)]
pub struct Serve {
    /// Serve the files below DIR beside the built-in pages
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Name of the TUN device
    #[arg(long, value_name = "DEV", default_value = "tcpglass0")]
    pub name: String,
    /// Stacks, each with a queue of the device, a thread and records of its own: FILE-1.pcapng, FILE-2.pcapng
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true, value_parser = queues)]
    pub queues: NonZeroU16,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub trace: TraceArgs,
    #[command(flatten)]
    pub net: NetArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Fetch URLs over this stack: the body, or where the time went
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tcpglass get --sim rtt=100ms,bandwidth=10mbit http://glass/bytes/100000 --timeline\n  \
                        tcpglass get --with 'python3 -m http.server 8000' http://10.77.0.1:8000/\n  \
                        tcpglass get --parallel 4 --remote-name-all --output-dir files http://10.77.0.1:8000/{a,b,c}.txt"
)]
pub struct Get {
    /// What to fetch; one after the other on one kept connection for each server, unless --parallel says otherwise
    #[arg(required = true, value_name = "URL", value_hint = ValueHint::Url)]
    pub urls: Vec<String>,
    /// Show where the time of each exchange went instead of the body, and all of them on one scale
    #[arg(long)]
    pub timeline: bool,
    /// Show the response's head before its body
    #[arg(short, long)]
    pub include: bool,
    #[command(flatten)]
    pub outputs: Outputs,
    /// Take statuses from 400 on for failures: exit code 1, and the page that tells of the error is not written
    #[arg(short, long)]
    pub fail: bool,
    /// Send DATA as the body; @FILE sends a file
    #[arg(short, long, value_name = "DATA")]
    pub data: Option<String>,
    /// Fetch each URL N times; in a file its bodies follow each other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub repeat: u64,
    /// Connections to one server at a time [default: 1, or http.parallel if that is set]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: Option<u16>,
    /// Give up on an exchange after so long
    #[arg(long, value_name = "DURATION", default_value = "2min")]
    pub timeout: String,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Put load on a server over this stack: how many requests a second, and how long each takes
///
/// Without --rate each connection makes its next request when the last is answered: what a stalled server holds up is
/// then missing from the times. With --rate requests are due at fixed times, and a request's time counts from there.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tcpglass load --sim rtt=10ms -c 4 -n 1000 http://glass/bytes/1000\n  \
                        tcpglass load -c 10 -d 10s --rate 500 http://10.77.0.1:8000/")]
pub struct Load {
    /// What to ask for, in turn
    #[arg(required = true, value_name = "URL", value_hint = ValueHint::Url)]
    pub urls: Vec<String>,
    /// Connections to a server at a time
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    pub connections: u16,
    /// Make so many requests [default: 1000, without -d]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub requests: Option<u64>,
    /// Make requests for so long
    #[arg(short, long, value_name = "DURATION")]
    pub duration: Option<String>,
    /// Requests a second, each due at its own time
    #[arg(long, value_name = "R")]
    pub rate: Option<f64>,
    /// Send DATA as the body; @FILE sends a file
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Give up on a request after so long, a wait for a free port included
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub timeout: String,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// What `get` and `load` have in common: how requests are made, and where.
#[derive(Args, Debug)]
pub struct ClientArgs {
    /// Method of the requests [default: GET, with a body POST]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<String>,
    /// Add a header field; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// A new connection for each request
    #[arg(long)]
    pub no_keepalive: bool,
    /// Requests sent ahead of their answers on a connection [default: http.pipeline]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub pipeline: Option<u8>,
    /// Ask this HTTP proxy, by absolute URLs; http_proxy and no_proxy, which are meant for the kernel's network, are not heeded
    #[arg(short = 'x', long, value_name = "http://HOST:PORT", value_hint = ValueHint::Url, conflicts_with = "sim")]
    pub proxy: Option<String>,
    /// Start this server in a private network and wait for its port, or the proxy's
    #[arg(long, value_name = "COMMAND", conflicts_with = "sim")]
    pub with: Option<String>,
    /// Client and server in the simulator, with this link: rtt=100ms,bandwidth=10mbit,loss=1%
    #[arg(long, value_name = "LINK")]
    pub sim: Option<String>,
    /// Name server to ask [default: the kernel's side]
    #[arg(long, value_name = "ADDR", conflicts_with = "sim")]
    pub dns: Vec<std::net::IpAddr>,
    /// Name of the TUN device
    #[arg(long, value_name = "DEV", conflicts_with_all = ["sim", "with"])]
    pub name: Option<String>,
    /// Write one page for a browser about the run: what cost time, a bar for each exchange, graphs of the segments
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub trace: TraceArgs,
    #[command(flatten)]
    pub net: NetArgs,
    #[command(flatten)]
    pub show: OutputArgs,
}

/// Run an HTTP proxy on a TUN device of this host until SIGINT or SIGTERM
///
/// A forward proxy, which is asked with absolute URLs, or with --upstream one in front of a single server. Needs root,
/// or a device made for this user: ip tuntap add dev tcpglass0 mode tun user $USER
#[derive(Args, Debug)]
#[command(
    after_help = "Example: tcpglass proxy & curl -x http://10.77.0.2:3128 http://10.77.0.1:8000/\n         \
    tcpglass proxy --tunnels any & curl -p -x http://10.77.0.2:3128 http://10.77.0.1:8000/"
)]
pub struct Proxy {
    /// Relay one request with all its fields as they are, and then bytes until the server closes, as HTTP/1.0 proxies did
    #[arg(long, conflicts_with = "smart")]
    pub dumb: bool,
    /// Keep the connections on both sides apart: what is for one of them ends here [this is the default]
    #[arg(long)]
    pub smart: bool,
    /// Send every request to this server
    #[arg(long, value_name = "HOST[:PORT]")]
    pub upstream: Option<String>,
    /// Send every request to this proxy, as it is asked for here: with an absolute URL
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "upstream")]
    pub parent: Option<String>,
    /// Ports that CONNECT may lead to: numbers and ranges such as 443,8000-8099, or any, or none; with --parent it is asked for there, with --upstream there are no tunnels
    #[arg(long, value_name = "PORTS", default_value = "443")]
    pub tunnels: String,
    /// Protocols that clients may switch to by Upgrade, such as websocket, or any; Upgrade for others ends here
    #[arg(long, value_name = "PROTOCOLS", value_delimiter = ',', conflicts_with = "dumb")]
    pub upgrade: Vec<String>,
    /// Port to listen on
    #[arg(long, value_name = "PORT", default_value_t = 3128, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Name server to ask [default: the kernel's side]
    #[arg(long, value_name = "ADDR")]
    pub dns: Vec<std::net::IpAddr>,
    /// Name of the TUN device
    #[arg(long, value_name = "DEV", default_value = "tcpglass0")]
    pub name: String,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub trace: TraceArgs,
    #[command(flatten)]
    pub net: NetArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The connections of a stack that runs, as Linux' ss shows them
///
/// It asks a tcpglass run, serve or proxy of this user's through its socket in $XDG_RUNTIME_DIR/tcpglass or
/// /tmp/tcpglass-UID. The numbers are those of Linux' tcp_info under their names in ss; behind them stands what limits the
/// connection and where its time went so far.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tcpglass ss state established '( sport = :80 )'\n  \
                        tcpglass ss -a dst 10.0.0.0/8\n  tcpglass ss limit rwnd")]
pub struct Ss {
    /// Only these, in the words of ss: state NAME, exclude NAME, sport = :80, dport, src ADDRESS, dst, and, or, not, brackets;
    /// also limit WORD
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    /// The process to ask, if several run
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Listening sockets, half-open connections and TIME-WAIT, too
    #[arg(short, long)]
    pub all: bool,
    /// Listening sockets only
    #[arg(short, long, conflicts_with = "all")]
    pub listening: bool,
    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// How many sockets there are in each state, nothing else
    #[arg(short, long)]
    pub summary: bool,
    /// Addresses and queues alone, without the numbers below them
    #[arg(long)]
    pub no_info: bool,
    /// Each socket on one line
    #[arg(short = 'O', long)]
    pub oneline: bool,
    /// Without headings
    #[arg(short = 'H', long)]
    pub no_header: bool,
    /// What ss is often asked for and what is always so here
    #[command(flatten)]
    pub habits: Habits,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `ss` that say what is the case anyway.
#[derive(Args, Debug)]
pub struct Habits {
    #[arg(short, long, hide = true)]
    tcp: bool,
    #[arg(short, long, hide = true)]
    numeric: bool,
    #[arg(short, long, hide = true)]
    info: bool,
}

/// Watch the connections of a stack that runs
///
/// It asks a tcpglass run, serve or proxy of this user's, as ss does. Keys: q ends, p or a blank pauses, s and S change what
/// is sorted by, r turns the order round, f asks for a filter, arrows and page keys move, h helps.
#[derive(Args, Debug)]
pub struct Top {
    /// Only these, as in ss
    #[arg(value_name = "FILTER", trailing_var_arg = true)]
    pub filter: Vec<String>,
    /// The process to ask, if several run
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Largest first by: number, state, cwnd, flight, rwnd, unsent, srtt, again, bytes or age
    #[arg(short, long, value_name = "KEY", default_value = "number")]
    pub sort: String,
    /// Time between two looks, 50ms to 1h
    #[arg(short, long, value_name = "DURATION", default_value = "1s")]
    pub delay: String,
    /// Colours: auto means unless NO_COLOR is set
    #[arg(long, value_name = "auto|always|never", default_value = "auto", hide_default_value = true)]
    pub color: Color,
}

/// What Wireshark asks a capture program: a stack that runs is one of its interfaces
///
/// Wireshark calls it by itself if it finds it among its extcap programs: make a link to tcpglass in its personal extcap
/// folder (Help, About, Folders), or in any folder that WIRESHARK_EXTCAP_DIR names.
#[derive(Args, Debug)]
pub struct Extcap {
    /// List the stacks that run
    #[arg(long)]
    pub extcap_interfaces: bool,
    /// Wireshark's version
    #[arg(long, value_name = "VERSION", num_args = 0..=1, hide = true)]
    pub extcap_version: Option<Option<String>>,
    /// The stack that is meant: tcpglass-PID
    #[arg(long, value_name = "INTERFACE")]
    pub extcap_interface: Option<String>,
    /// What its packets begin with
    #[arg(long)]
    pub extcap_dlts: bool,
    /// What can be set
    #[arg(long)]
    pub extcap_config: bool,
    /// Values of a setting; there are none to be looked up
    #[arg(long, value_name = "ARG", hide = true)]
    pub extcap_reload_option: Option<String>,
    /// Refused: the stack's trace leaves nothing out; take a display filter
    #[arg(long, value_name = "FILTER")]
    pub extcap_capture_filter: Option<String>,
    /// Capture until the reader leaves
    #[arg(long)]
    pub capture: bool,
    /// Where the capture is written to
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub fifo: Option<PathBuf>,
    /// Keep only the first N bytes of each packet
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..=262_144))]
    pub snaplen: Option<u32>,
    /// What Wireshark offers and what is not used
    #[command(flatten)]
    pub unused: Unused,
}

/// Options that Wireshark may give to any capture program.
#[derive(Args, Debug)]
pub struct Unused {
    #[arg(long, hide = true)]
    extcap_control_in: Option<PathBuf>,
    #[arg(long, hide = true)]
    extcap_control_out: Option<PathBuf>,
    #[arg(long, hide = true)]
    extcap_cleanup_postkill: bool,
    #[arg(long, hide = true)]
    log_level: Option<String>,
    #[arg(long, hide = true)]
    log_file: Option<PathBuf>,
    #[arg(long, hide = true)]
    debug: Option<String>,
    #[arg(long, hide = true)]
    debug_file: Option<PathBuf>,
}

/// Experiments in virtual time, each with claims that are checked
///
/// Each computes what has to come out, measures it, and says what is left of each claim: confirmed, refined or refuted.
/// Exit 6 if something did not come out as computed.
#[derive(Args, Debug)]
pub struct Lab {
    /// Names of experiments; list shows them, all runs them all
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Other values for what an experiment varies, or for any knob: ack_delay=0,40ms; may be repeated
    #[arg(long, value_name = "NAME=V1,V2")]
    pub sweep: Vec<String>,
    /// The same as --sweep rtt=…
    #[arg(long, value_name = "V1,V2")]
    pub rtt: Option<String>,
    /// The same as --sweep size=…
    #[arg(long, value_name = "V1,V2")]
    pub size: Option<String>,
    /// Run against the kernel of a private network, in real time: Linux as the server and as the client
    #[arg(long)]
    pub tun: bool,
    /// Let the hosts speak IPv6
    #[arg(long)]
    pub ipv6: bool,
    /// Write captures of each arm, as its client and its server saw it, a drawing (SVG) and the findings (JSON) of each experiment into
    /// this directory. A capture holds 4,000 packets at most, and 128 bytes of each unless checksums are what it is about
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Keep all packets as a whole in the captures; those of all experiments take more than a gigabyte
    #[arg(long, requires = "out")]
    pub keep_all: bool,
    /// Write one page for a browser about the experiment: verdicts, drawing, arms; of several each its own, FILE-NAME
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is in a capture: connections, handshakes, retransmissions, reasons
#[derive(Args, Debug)]
pub struct Explain {
    /// Any pcap or pcapng file; - reads standard input
    #[arg(value_name = "CAPTURE", value_hint = ValueHint::FilePath)]
    pub capture: PathBuf,
    /// Show this connection only, by its number in the list
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub connection: Option<u32>,
    /// Look only at connections like these: host, net, port, portrange, connection, src (the client), dst (the server),
    /// tcp, ip, ip6, and, or, not, brackets
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<tcpglass::explain::Filter>,
    /// Write a line for each exchange, with its ledger: comma-separated values; - for standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
    /// Write time-sequence graphs for xplot: PREFIX-N-up.xpl and PREFIX-N-down.xpl for each connection
    #[arg(long, value_name = "PREFIX", value_hint = ValueHint::FilePath)]
    pub xplot: Option<PathBuf>,
    /// Infer the causes although the capture states them
    #[arg(long)]
    pub infer: bool,
    /// Write one page for a browser, which needs nothing else: findings, a bar for each exchange, graphs of the segments
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How a captured conversation would have gone under other settings
///
/// What the applications did is taken from the capture and done again in the simulator: first as it was, which must
/// take as long as in the capture, then with the changes. Exit 6 if the first replay is off by more than 10 %.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tcpglass what-if slow.pcapng --set tcp.nagle=off\n  \
                        tcpglass what-if slow.pcapng --link rtt=20ms,bandwidth=50mbit --set tcp.init_cwnd=20\n  \
                        tcpglass what-if 'get --sim rtt=80ms http://glass/bytes/100000' --set server:tcp.init_cwnd=40")]
pub struct WhatIf {
    /// Any pcap or pcapng file; - reads standard input; or a run in one word: 'get --sim rtt=20ms http://glass/',
    /// 'load --sim …', 'lab EXPERIMENT nagle=on'
    #[arg(value_name = "CAPTURE|RUN", value_hint = ValueHint::FilePath)]
    pub capture: PathBuf,
    /// Change one setting of both ends, or of one: client:K=V, server:K=V; may be repeated (tcpglass knobs lists them)
    #[arg(long, value_name = "K=V")]
    pub set: Vec<String>,
    /// Another link: rtt=20ms,bandwidth=10mbit,loss=1%
    #[arg(long, value_name = "LINK")]
    pub link: Option<String>,
    /// Replay this connection only, by its number in explain's list
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub connection: Option<u32>,
    /// Write the capture of the replay with the changes, as pcapng
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub trace: Option<PathBuf>,
    /// Infer everything although the capture states it
    #[arg(long)]
    pub infer: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Run packet scripts in virtual time
///
/// The language is packetdrill's, and so are the options that have its names. Exit 1 if a script fails, else 2 if one asks
/// for something that is not supported or cannot be read.
#[derive(Args, Debug)]
pub struct Script {
    /// Script files, or directories with .pkt files
    #[arg(required = true, value_name = "FILE.pkt", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// ipv4, ipv6, ipv4-mapped-ipv6, or all: each in turn, where the script does not say [default: ipv4]
    #[arg(long, alias = "ip_version", value_name = "VERSION", hide_possible_values = true)]
    pub ip_version: Option<IpVersion>,
    /// By how many microseconds a time may be off, where the script does not say [default: 4000]
    #[arg(long, alias = "tolerance_usecs", value_name = "N")]
    pub tolerance_usecs: Option<u64>,
    /// Packets that no line expects are a failure, too
    #[arg(long)]
    pub strict: bool,
    /// Replace a word of the scripts
    #[arg(short = 'D', long, value_name = "NAME=VALUE")]
    pub define: Vec<String>,
    /// The same in percent of the time since the line before, if that is more [default: 12.5]
    #[arg(long, alias = "tolerance_percent", value_name = "N")]
    pub tolerance_percent: Option<String>,
    /// The device's MTU [default: 1500, or 1520 with IPv6]
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<String>,
    /// Shell files whose settings hold before each script's own, separated by commas
    #[arg(long, alias = "init_scripts", value_name = "FILES")]
    pub init_scripts: Option<String>,
    /// The stack's address
    #[arg(long, alias = "local_ip", value_name = "ADDRESS")]
    pub local_ip: Option<String>,
    /// The other side's address
    #[arg(long, alias = "remote_ip", value_name = "ADDRESS")]
    pub remote_ip: Option<String>,
    /// The port that `bind` binds [default: 8080]
    #[arg(long, alias = "bind_port", value_name = "PORT")]
    pub bind_port: Option<String>,
    /// The port that `connect` connects to [default: 8080]
    #[arg(long, alias = "connect_port", value_name = "PORT")]
    pub connect_port: Option<String>,
    /// A line stands for one packet, even if it is longer than a segment
    #[arg(long, alias = "strict_segments")]
    pub strict_segments: bool,
    /// Only read the scripts
    #[arg(long, alias = "dry_run")]
    pub dry_run: bool,
    /// What does not end a script although it is not as expected: packet, syscall, or both
    #[arg(long, alias = "non_fatal", value_name = "KINDS")]
    pub non_fatal: Option<String>,
    /// Microseconds per tick of the stack's time stamps: they are compared then
    #[arg(long, alias = "tcp_ts_tick_usecs", value_name = "N")]
    pub tcp_ts_tick_usecs: Option<String>,
    #[arg(long = "code_command", hide = true)]
    pub code_command: Option<String>,
    #[arg(long = "code_format", hide = true)]
    pub code_format: Option<String>,
    #[arg(long = "code_sockopt", hide = true)]
    pub code_sockopt: Option<String>,
    /// Options of packetdrill that mean nothing here
    #[command(flatten)]
    pub ignored: Ignored,
    /// Write the packets of the one script that is run
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub trace: Option<PathBuf>,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpVersion {
    Ipv4,
    Ipv6,
    Ipv4MappedIpv6,
    All,
}

/// What packetdrill takes and what has no meaning where there is no device.
#[derive(Args, Debug)]
pub struct Ignored {
    #[arg(long, hide = true)]
    mss: Option<u16>,
    #[arg(long, hide = true)]
    speed: Option<u32>,
    #[arg(long = "gateway_ip", hide = true)]
    gateway_ip: Option<String>,
    #[arg(long = "netmask_ip", hide = true)]
    netmask_ip: Option<String>,
    #[arg(long = "is_anyip", hide = true)]
    is_anyip: bool,
    #[arg(long = "psp_udp_port", hide = true)]
    psp_udp_port: Option<u16>,
    #[arg(long, hide = true)]
    debug: bool,
    #[arg(long = "tcp_ts_ecr_scaled", hide = true)]
    tcp_ts_ecr_scaled: bool,
    #[arg(long = "send_omit_free", hide = true)]
    send_omit_free: bool,
}

/// Every setting: its values, its default in each profile, its meaning
#[derive(Args, Debug)]
pub struct Knobs {
    /// Names of settings to show in full
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What this machine allows, and what to do about the rest
#[derive(Args, Debug)]
pub struct Doctor {
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A completion script for a shell
#[derive(Args, Debug)]
pub struct Completions {
    /// bash, elvish, fish, powershell or zsh
    pub shell: clap_complete::Shell,
}

/// The manual page, in roff; with a DIRECTORY one file for each command
#[derive(Args, Debug)]
pub struct Man {
    /// An existing directory to write the pages to
    #[arg(value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
}

//! What can a line of a packet script say? The values that the parser makes.

use crate::segment::Flags;

/// A whole script.
#[derive(Clone, PartialEq, Debug)]
pub struct Script {
    /// `--name=value` lines at its head.
    pub options: Vec<OptionLine>,
    /// What happens, in order.
    pub events: Vec<Event>,
}

/// One `--name=value`.
#[derive(Clone, PartialEq, Debug)]
pub struct OptionLine {
    /// Its line, from 1.
    pub line: u32,
    /// Without the dashes.
    pub name: String,
    /// What stands behind `=`.
    pub value: Option<String>,
}

/// One event.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Its line, from 1.
    pub line: u32,
    /// When.
    pub time: Time,
    /// What.
    pub action: Action,
}

/// When an event happens; all in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// `0.1`: since the script began.
    Absolute(u64),
    /// `+0.1`: since the event before.
    Relative(u64),
    /// `0.1~0.2`.
    AbsoluteRange(u64, u64),
    /// `+0.1~+0.2`.
    RelativeRange(u64, u64),
    /// `*`: whenever it comes.
    Any,
}

/// What happens.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// A packet is injected or expected.
    Packet(Packet),
    /// A system call is made.
    Call(Call),
    /// A shell command between back quotes.
    Command(String),
    /// One without a time, before the first event or behind the last.
    Setup(String),
    /// A block of assertions between `%{` and `}%`.
    Code(String),
}

/// Who sends a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// `<`: the script, to the stack.
    Inbound,
    /// `>`: the stack.
    Outbound,
}

/// A packet line.
#[derive(Clone, PartialEq, Debug)]
pub struct Packet {
    /// Who sends it.
    pub direction: Direction,
    /// What is asked of the IP header's traffic class.
    pub tos: Tos,
    /// `ttl N`.
    pub ttl: Option<u8>,
    /// `flowlabel N`, other than 0: only IPv6 has one.
    pub label: bool,
    /// `sock(N)`: the descriptor whose connection is meant.
    pub sock: Option<i64>,
    /// `SRC > DST`.
    pub ports: Option<(u16, u16)>,
    /// The rest.
    pub body: Body,
}

/// The IP header's former TOS byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tos {
    /// Not compared; 0 when injected.
    Any,
    /// The two ECN bits.
    Ecn(u8),
    /// `ect01`: either of the two ECN-capable codepoints.
    Ect01,
    /// All eight bits.
    Byte(u8),
}

/// What an IP packet carries.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// A TCP segment.
    Tcp(Tcp),
    /// An ICMP message.
    Icmp(Icmp),
    /// A UDP datagram with so many bytes.
    Udp(u16),
}

/// A TCP segment in the script's numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct Tcp {
    /// The control bits.
    pub flags: Flags,
    /// The sequence number of the first byte, or of the SYN.
    pub seq: u32,
    /// Payload bytes.
    pub len: u16,
    /// `ack N`; 0 stands for it where the flag is set and the number is missing.
    pub ack: u32,
    /// `win N`; not compared when missing, 0 when injected.
    pub win: Option<u16>,
    /// `urg N`.
    pub urg: u16,
    /// The options in order; `None` is `<...>`.
    pub options: Option<Vec<TcpOption>>,
}

/// One TCP option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TcpOption {
    /// Padding.
    Nop,
    /// End of the list.
    Eol,
    /// Maximum segment size.
    Mss(u16),
    /// Window scale.
    Wscale(u8),
    /// SACK permitted.
    SackOk,
    /// SACK blocks.
    Sack(Vec<(u32, u32)>),
    /// Time stamps.
    Ts {
        /// TSval.
        val: u32,
        /// TSecr.
        ecr: u32,
    },
    /// Any other, with its data.
    Other {
        /// The option kind.
        kind: u8,
        /// Behind kind and length.
        data: Vec<u8>,
    },
}

/// An ICMP message; an error quotes a segment of the stack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Icmp {
    /// `unreachable`, …
    pub kind: String,
    /// `frag_needed`, …
    pub code: Option<String>,
    /// `mtu N`.
    pub mtu: Option<u32>,
    /// `id N` of an echo.
    pub id: u16,
    /// Sequence number and payload length of the quoted segment.
    pub quoted: (u32, u16),
    /// What it quotes instead: whether that is a UDP datagram, and how many bytes.
    pub other: Option<(bool, u16)>,
}

/// A system call with what it must return.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    /// `...T`: it blocks until then (microseconds, counted like the start).
    pub end: Option<u64>,
    /// `read`, …
    pub name: String,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// The expected result.
    pub result: Expr,
    /// The expected errno.
    pub errno: Option<String>,
}

/// An argument.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// `...`: anything.
    Ellipsis,
    /// A number.
    Int(i64),
    /// A symbolic constant.
    Word(String),
    /// A string, its escapes replaced; `"abc"...` too.
    Str(Vec<u8>),
    /// `A | B`.
    Or(Box<Expr>, Box<Expr>),
    /// `[…]`.
    List(Vec<Expr>),
    /// `{…}`.
    Braces(Vec<Expr>),
    /// `name(arg)`.
    Apply(String, Box<Expr>),
    /// `name = value` or `name(arg) = value`.
    Field {
        /// The name.
        name: String,
        /// What stands between parentheses.
        arg: Option<Box<Expr>>,
        /// The value.
        value: Box<Expr>,
    },
}

//! How is a packet written in the script's own syntax?

use super::ast::*;
use super::flow::Flow;
use crate::segment::Flags;
use crate::time::Instant;
use std::fmt::Write;
use std::net::SocketAddr;

/// What is no TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Other {
    /// A datagram with so many bytes.
    Udp(u16),
    /// Type and code.
    Icmp(u8, u8),
}

/// A packet that the stack sent, in live numbers.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When it left.
    pub at: Instant,
    /// The stack's end.
    pub src: SocketAddr,
    /// The script's end.
    pub dst: SocketAddr,
    /// The TOS byte or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The header, its sequence numbers live; an empty one if it is no TCP.
    pub tcp: Tcp,
    /// What else it is.
    pub other: Option<Other>,
    /// The first byte of the payload that is not what was written, counted from the first.
    pub wrong_byte: Option<u32>,
    /// `why=` and the stack's cause.
    pub why: String,
}

/// The time in seconds, as scripts write it.
pub fn at(at: Instant) -> String {
    format!("{at} s")
}

/// A script's packet.
pub fn expected(packet: &Packet) -> String {
    let mut out = String::new();
    out.push_str(if packet.direction == Direction::Inbound { "<" } else { ">" });
    match packet.tos {
        Tos::Any => {}
        Tos::Ecn(bits) => out.push_str([" [noecn]", " [ect1]", " [ect0]", " [ce]"][usize::from(bits & 3)]),
        Tos::Ect01 => out.push_str(" [ect01]"),
        Tos::Byte(tos) => put(&mut out, format_args!(" [tos {tos:#x}]")),
    }
    if let Some(ttl) = packet.ttl {
        put(&mut out, format_args!(" [ttl {ttl}]"));
    }
    if let Some((src, dst)) = packet.ports {
        put(&mut out, format_args!(" {src} > {dst}"));
    }
    match &packet.body {
        Body::Tcp(tcp) => header(&mut out, tcp, None),
        Body::Icmp(Icmp { kind, code, .. }) => {
            put(&mut out, format_args!(" icmp {kind} {}", code.as_deref().unwrap_or("")));
        }
        Body::Udp(len) => put(&mut out, format_args!(" udp ({len})")),
    }
    out
}

/// A packet of the stack, in the numbers of the script, with the parts of the IP header that `line` speaks about.
pub fn seen(sent: &Sent, flow: &Flow, line: &Packet) -> String {
    let mut out = String::from(">");
    match line.tos {
        Tos::Any => {}
        Tos::Byte(_) => put(&mut out, format_args!(" [tos {:#x}]", sent.tos)),
        _ => out.push_str([" [noecn]", " [ect1]", " [ect0]", " [ce]"][usize::from(sent.tos & 3)]),
    }
    if line.ttl.is_some() {
        put(&mut out, format_args!(" [ttl {}]", sent.ttl));
    }
    if line.ports.is_some() {
        let (local, remote) = flow.script_ports.unwrap_or((sent.src.port(), sent.dst.port()));
        put(&mut out, format_args!(" {local} > {remote}"));
    }
    match sent.other {
        None => header(&mut out, &in_script_numbers(&sent.tcp, flow), Some(&sent.why)),
        Some(Other::Udp(len)) => put(&mut out, format_args!(" udp ({len})")),
        Some(Other::Icmp(kind, code)) => put(&mut out, format_args!(" icmp type_{kind} code_{code}")),
    }
    out
}

/// The header with the stack's numbers counted as the script does.
pub fn in_script_numbers(live: &Tcp, flow: &Flow) -> Tcp {
    let mut tcp = live.clone();
    let syn = tcp.flags.contains(Flags::SYN);
    let (local, remote) = (flow.local_offset(syn), flow.remote_offset(syn));
    tcp.seq = tcp.seq.wrapping_sub(local);
    if tcp.flags.contains(Flags::ACK) {
        tcp.ack = tcp.ack.wrapping_sub(remote);
    }
    for option in tcp.options.iter_mut().flatten() {
        match option {
            TcpOption::Ts { val, .. } => *val = flow.ts_to_script(*val),
            TcpOption::Sack(blocks) => {
                for (left, right) in blocks {
                    (*left, *right) = (left.wrapping_sub(remote), right.wrapping_sub(remote));
                }
            }
            _ => {}
        }
    }
    tcp
}

fn header(out: &mut String, tcp: &Tcp, why: Option<&str>) {
    let end = tcp.seq.wrapping_add(u32::from(tcp.len));
    let flags = match tcp.flags {
        Flags::NONE => "-".to_string(),
        flags => flags.to_string().replace('e', "A"),
    };
    put(out, format_args!(" {flags} {}:{end}({})", tcp.seq, tcp.len));
    if tcp.flags.contains(Flags::ACK) {
        put(out, format_args!(" ack {}", tcp.ack));
    }
    if let Some(win) = tcp.win {
        put(out, format_args!(" win {win}"));
    }
    if tcp.urg != 0 {
        put(out, format_args!(" urg {}", tcp.urg));
    }
    match &tcp.options {
        None => out.push_str(" <...>"),
        Some(list) if list.is_empty() => {}
        Some(list) => put(out, format_args!(" <{}>", options(list))),
    }
    if let Some(why) = why.filter(|w| !w.is_empty()) {
        put(out, format_args!("  {why}"));
    }
}

/// The options with commas between them.
pub fn options(list: &[TcpOption]) -> String {
    let mut out = String::new();
    for (n, option) in list.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        match option {
            TcpOption::Nop => out.push_str("nop"),
            TcpOption::Eol => out.push_str("eol"),
            TcpOption::Mss(mss) => put(&mut out, format_args!("mss {mss}")),
            TcpOption::Wscale(shift) => put(&mut out, format_args!("wscale {shift}")),
            TcpOption::SackOk => out.push_str("sackOK"),
            TcpOption::Sack(blocks) => {
                out.push_str("sack");
                for (left, right) in blocks {
                    put(&mut out, format_args!(" {left}:{right}"));
                }
            }
            TcpOption::Ts { val, ecr } => put(&mut out, format_args!("TS val {val} ecr {ecr}")),
            TcpOption::Other { kind: kind @ (172 | 174), data } if data.len() % 3 == 0 && data.len() <= 9 => {
                let names = if *kind == 174 { ["e1b", "ceb", "e0b"] } else { ["e0b", "ceb", "e1b"] };
                out.push_str("ECN");
                for (name, n) in names.iter().zip(data.chunks(3)) {
                    put(&mut out, format_args!(" {name} {}", u32::from_be_bytes([0, n[0], n[1], n[2]])));
                }
            }
            TcpOption::Other { kind: 34, data } => {
                out.push_str("FO ");
                data.iter().for_each(|byte| put(&mut out, format_args!("{byte:02x}")));
            }
            TcpOption::Other { kind, data } => {
                put(&mut out, format_args!("option {kind}"));
                for byte in data {
                    put(&mut out, format_args!(" {byte:02x}"));
                }
            }
        }
    }
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

//! Is this packet of the stack the one that the script expects?

use super::ast::*;
use super::flow::Flow;
use super::icmp;
use super::render::{self, Other, Sent};
use crate::segment::Flags;

/// What of time stamps is compared.
pub struct Stamps {
    /// Microseconds per tick of TSval; 0: it is not compared.
    pub tick: u64,
    /// By how many microseconds TSval may be off.
    pub tolerance: u64,
    /// Whether TSecr is compared.
    pub echoes: bool,
}

/// Compares everything but the time, and learns from it how the script calls ports, numbers and time stamps.
///
/// # Errors
/// What differs first, in a few words.
pub fn compare(line: &Packet, sent: &Sent, flow: &mut Flow, stamps: &Stamps) -> Result<(), String> {
    let differ = |what: &str| Err(format!("the packet has {what} than expected"));
    let want = match (&line.body, sent.other) {
        (Body::Tcp(want), None) => want,
        (Body::Udp(len), Some(Other::Udp(seen))) => {
            if let Some(ports) = line.ports
                && *flow.script_ports.get_or_insert(ports) != ports
            {
                return differ("other ports");
            }
            return if *len == seen { ip_header(line, sent) } else { differ("another payload length") };
        }
        (Body::Icmp(want), Some(Other::Icmp(kind, code))) => {
            return match icmp::type_and_code(want, sent.src.is_ipv4()) == Some((kind, code)) {
                true => ip_header(line, sent),
                false => differ("another type or code"),
            };
        }
        _ => return differ("another protocol"),
    };

    // The flags come first: a packet of another kind has other numbers too, which would only confuse.
    if sent.tcp.flags != want.flags {
        return differ("other flags");
    }
    if let Some((local, remote)) = line.ports {
        let known = *flow.script_ports.get_or_insert((local, remote));
        if known != (local, remote) {
            return differ("other ports");
        }
    }
    if sent.tcp.flags.contains(Flags::SYN) {
        flow.script_iss.get_or_insert(want.seq);
    }
    let seen = render::in_script_numbers(&sent.tcp, flow);
    if seen.seq != want.seq {
        return differ("another sequence number");
    }
    if seen.len != want.len {
        return differ("another payload length");
    }
    if want.flags.contains(Flags::ACK) && seen.ack != want.ack {
        return differ("another acknowledgment number");
    }
    if want.win.is_some() && seen.win != want.win {
        return differ("another window");
    }
    if seen.urg != want.urg {
        return differ("another urgent pointer");
    }
    ip_header(line, sent)?;
    let live_ts = sent.tcp.options.iter().flatten().find_map(|option| match option {
        TcpOption::Ts { val, .. } => Some(*val),
        _ => None,
    });
    let script_ts = want.options.iter().flatten().find_map(|option| match option {
        TcpOption::Ts { val, .. } => Some(*val),
        _ => None,
    });
    if let (Some(live), Some(script)) = (live_ts, script_ts) {
        flow.learn_ts(script, live);
    }
    if let Some(want) = &want.options {
        let seen = render::in_script_numbers(&sent.tcp, flow);
        options(want, seen.options.as_deref().unwrap_or(&[]), stamps)?;
    }
    match sent.wrong_byte {
        Some(at) => Err(format!("byte {at} of the payload is not what was written")),
        None => Ok(()),
    }
}

fn ip_header(line: &Packet, sent: &Sent) -> Result<(), String> {
    let differ = |what: &str| Err(format!("the packet has {what} than expected"));
    match line.tos {
        Tos::Ecn(bits) if sent.tos & 3 != bits => return differ("another ECN codepoint"),
        Tos::Ect01 if !matches!(sent.tos & 3, 1 | 2) => return differ("another ECN codepoint"),
        Tos::Byte(tos) if sent.tos != tos => return differ("another TOS byte"),
        _ => {}
    }
    if line.ttl.is_some_and(|ttl| ttl != sent.ttl) {
        return differ("another TTL");
    }
    Ok(())
}

fn options(want: &[TcpOption], seen: &[TcpOption], stamps: &Stamps) -> Result<(), String> {
    let same = |(want, seen): (&TcpOption, &TcpOption)| match (want, seen) {
        (TcpOption::Ts { val, ecr }, TcpOption::Ts { val: live, ecr: live_ecr }) => {
            let off = live.wrapping_sub(*val) as i32;
            // Clocks of time stamps tick as they like; only a script that says how is taken at its word.
            let off = u64::from(off.unsigned_abs()) * stamps.tick;
            (ecr == live_ecr || !stamps.echoes) && (stamps.tick == 0 || off <= stamps.tolerance)
        }
        (want, seen) => want == seen,
    };
    if want.len() == seen.len() && want.iter().zip(seen).all(same) {
        Ok(())
    } else {
        Err("the packet has other TCP options than expected".to_string())
    }
}

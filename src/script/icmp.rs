//! Which ICMP message is meant, and how does it look on the wire?

use super::ast::Icmp;
use super::flow::Flow;
use super::frames;
use super::settings::IpVersion;
use crate::segment::Flags;

/// The names of types, with their numbers in ICMP and in ICMPv6.
const TYPES: &[(&str, Option<u8>, Option<u8>)] = &[
    ("unreachable", Some(3), Some(1)),
    ("packet_too_big", None, Some(2)),
    ("time_exceeded", Some(11), Some(3)),
    ("parameter_problem", Some(12), Some(4)),
    ("source_quench", Some(4), None),
    ("redirect", Some(5), None),
    ("echo_request", Some(ECHO_V4), Some(ECHO_V6)),
    ("echo_reply", Some(0), Some(129)),
    ("timestamp_request", Some(13), None),
    ("timestamp_reply", Some(14), None),
    ("information_request", Some(15), None),
    ("information_reply", Some(16), None),
    ("address_mask_request", Some(17), None),
    ("address_mask_reply", Some(18), None),
];
const ECHO_V4: u8 = 8;
const ECHO_V6: u8 = 128;

/// The names of codes: of which type, and the type and code with IPv4 and with IPv6. A code of one protocol that the
/// other has under another name or type goes by both.
const CODES: &[(&str, &str, Code, Code)] = &[
    ("unreachable", "net_unreachable", Some((3, 0)), Some((1, 0))),
    ("unreachable", "network_unreachable", Some((3, 0)), Some((1, 0))),
    ("unreachable", "no_route", None, Some((1, 0))),
    ("unreachable", "host_unreachable", Some((3, 1)), Some((1, 3))),
    ("unreachable", "address_unreachable", None, Some((1, 3))),
    ("unreachable", "protocol_unreachable", Some((3, 2)), Some((4, 1))),
    ("unreachable", "port_unreachable", Some((3, 3)), Some((1, 4))),
    ("unreachable", "frag_needed", Some((3, 4)), Some((2, 0))),
    ("unreachable", "source_route_failed", Some((3, 5)), None),
    ("unreachable", "net_unknown", Some((3, 6)), None),
    ("unreachable", "host_unknown", Some((3, 7)), None),
    ("unreachable", "source_host_isolated", Some((3, 8)), None),
    ("unreachable", "net_prohibited", Some((3, 9)), Some((1, 1))),
    ("unreachable", "host_prohibited", Some((3, 10)), Some((1, 1))),
    ("unreachable", "admin_prohibited", None, Some((1, 1))),
    ("unreachable", "not_neighbour", None, Some((1, 2))),
    ("unreachable", "net_unreachable_for_tos", Some((3, 11)), None),
    ("unreachable", "host_unreachable_for_tos", Some((3, 12)), None),
    ("unreachable", "packet_filtered", Some((3, 13)), Some((1, 1))),
    ("unreachable", "precedence_violation", Some((3, 14)), None),
    ("unreachable", "precedence_cutoff", Some((3, 15)), None),
    ("time_exceeded", "exceeded_hop_limit", None, Some((3, 0))),
    ("time_exceeded", "exceeded_frag_time", None, Some((3, 1))),
    ("parameter_problem", "header_field", None, Some((4, 0))),
    ("parameter_problem", "unknown_next_header", None, Some((4, 1))),
    ("parameter_problem", "unknown_option", None, Some((4, 2))),
];

/// Type and code.
type Code = Option<(u8, u8)>;

/// Type and code of a message; `type_N` and `code_N` are numbers themselves.
pub fn type_and_code(icmp: &Icmp, v4: bool) -> Code {
    let choose = |four: Code, six: Code| if v4 { four } else { six };
    let number = |name: &str, prefix: &str| name.strip_prefix(prefix).and_then(|n| n.parse::<u8>().ok());
    if let Some(code) = icmp.code.as_deref()
        && let Some((.., four, six)) =
            CODES.iter().find(|(kind, name, ..)| (*kind, *name) == (&icmp.kind, code))
    {
        return choose(*four, *six);
    }
    let code = icmp.code.as_deref().map_or(Some(0), |name| number(name, "code_"))?;
    let named = TYPES.iter().find(|(name, ..)| *name == icmp.kind);
    let kind = match named {
        Some((_, four, six)) => (if v4 { *four } else { *six })?,
        None => number(&icmp.kind, "type_")?,
    };
    Some((kind, code))
}

/// The packet with an ICMP message, an error being about a segment of the stack.
pub fn frame(flow: &mut Flow, icmp: &Icmp, version: IpVersion) -> Result<Vec<u8>, String> {
    let v4 = flow.local.is_ipv4();
    let code = icmp.code.as_deref().unwrap_or("");
    let (kind, code) = type_and_code(icmp, v4)
        .ok_or_else(|| format!("there is no `icmp {} {code}` with {}", icmp.kind, version.name()))?;
    let (src, dst) = (flow.remote.ip(), flow.local.ip());
    if matches!((v4, kind), (true, ECHO_V4 | 0) | (false, ECHO_V6 | 129)) {
        return Ok(frames::icmp(src, dst, kind, code, u32::from(icmp.id) << 16, &[]));
    }
    let word = icmp.mtu.unwrap_or(0);
    if let Some((udp, len)) = icmp.other {
        let zeros = vec![0; usize::from(len.min(frames::MAX_PAYLOAD))];
        // What is raw is nothing but zeros behind the message's own eight bytes.
        let quoted = if udp { frames::udp(flow.local, flow.remote, (0, 64), &zeros) } else { zeros };
        let head = if udp && v4 { 28 } else { quoted.len().min(1280 - 48) };
        return Ok(frames::icmp(src, dst, kind, code, word, &quoted[..head]));
    }
    let (seq, len) = icmp.quoted;
    // The stack's own packet is quoted, with eight bytes of TCP at least (RFC 792; RFC 1812 §4.3.2.3).
    let quoted = frames::tcp(&frames::Segment {
        src: flow.local,
        dst: flow.remote,
        tos: 0,
        ttl: 64,
        flags: Flags::ACK,
        seq: seq.wrapping_add(flow.local_offset(false)),
        ack: flow.irs.map_or(0, |irs| irs.wrapping_add(1)),
        win: 0,
        urg: 0,
        options: Vec::new(),
        payload: vec![0; usize::from(len.min(frames::MAX_PAYLOAD))],
    });
    let head = if v4 { 28 } else { quoted.len().min(1280 - 48) };
    Ok(frames::icmp(src, dst, kind, code, word, &quoted[..head]))
}

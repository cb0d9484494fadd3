//! Which ICMP error is meant, and how does it look on the wire?

use super::ast::Icmp;
use super::flow::Flow;
use super::frames;
use super::settings::IpVersion;
use crate::segment::Flags;

/// Type and code.
type Wire = Option<(u8, u8)>;

/// The names of ICMP errors: type and code with IPv4, type and code with IPv6.
const ERRORS: &[(&str, &str, Wire, Wire)] = &[
    ("unreachable", "net_unreachable", Some((3, 0)), Some((1, 0))),
    ("unreachable", "network_unreachable", Some((3, 0)), Some((1, 0))),
    ("unreachable", "no_route", None, Some((1, 0))),
    ("unreachable", "host_unreachable", Some((3, 1)), Some((1, 3))),
    ("unreachable", "address_unreachable", None, Some((1, 3))),
    ("unreachable", "protocol_unreachable", Some((3, 2)), Some((4, 1))),
    ("unreachable", "port_unreachable", Some((3, 3)), Some((1, 4))),
    ("unreachable", "frag_needed", Some((3, 4)), Some((2, 0))),
    ("unreachable", "source_route_failed", Some((3, 5)), None),
    ("unreachable", "net_prohibited", Some((3, 9)), Some((1, 1))),
    ("unreachable", "host_prohibited", Some((3, 10)), Some((1, 1))),
    ("unreachable", "packet_filtered", Some((3, 13)), Some((1, 1))),
    ("packet_too_big", "", None, Some((2, 0))),
    ("time_exceeded", "", Some((11, 0)), Some((3, 0))),
    ("source_quench", "", Some((4, 0)), None),
];

/// The packet with an ICMP error about a segment of the stack.
pub fn frame(flow: &mut Flow, icmp: &Icmp, version: IpVersion) -> Result<Vec<u8>, String> {
    let code = icmp.code.as_deref().unwrap_or("");
    let v4 = flow.local.is_ipv4();
    let found = ERRORS.iter().find(|(kind, name, ..)| *kind == icmp.kind && *name == code);
    let (kind, code) = found
        .and_then(|(_, _, four, six)| if v4 { *four } else { *six })
        .ok_or_else(|| format!("there is no `icmp {} {code}` with {}", icmp.kind, version.name()))?;
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
    let word = icmp.mtu.unwrap_or(0);
    let (src, dst) = (flow.remote.ip(), flow.local.ip());
    Ok(frames::icmp(src, dst, kind, code, word, &quoted[..head]))
}

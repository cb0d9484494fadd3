//! What is on the wire between stack and script? Packets out of the stack, and lines into it.

use super::ast::{self, Body, Tcp, TcpOption};
use super::datagram::Outgoing;
use super::flow::Flow;
use super::frames::{self, pattern};
use super::icmp;
use super::port::{Causes, Port};
use super::render::{Other, Sent};
use super::settings::Settings;
use super::sockets::{SocketKind, Sockets};
use crate::segment::Flags;
use crate::stack::Stack;
use crate::time::Instant;
use crate::trace::Sink;
use crate::wire::options::Item;
use crate::wire::{self, Decoded};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// The first port of the script's side, where it names none.
const FIRST_PORT: u16 = 50_000;
/// The number of UDP among the IP protocols.
pub const UDP: u8 = 17;

/// Everything at the level of packets.
pub struct Wire {
    port: Port,
    causes: Causes,
    /// Sent and not yet expected: the packet and its flow.
    pub queue: VecDeque<(Sent, usize)>,
    /// The flows there ever were.
    pub flows: Vec<Flow>,
    /// The flow that a line means that names no ports.
    current: Option<usize>,
    /// The socket that was made last, until a line speaks of its packets.
    newest: Option<i64>,
    next_port: u16,
}

impl Wire {
    /// A socket was made: if it listens, the next line is its first connection's.
    pub fn socket_made(&mut self, fd: i64) {
        self.newest = Some(fd);
    }

    /// A wire whose stack is going to have these sinks: one more is added, which listens for causes.
    pub fn new(mtu: u16, sinks: &mut Vec<Box<dyn Sink>>) -> Wire {
        let causes = Causes::default();
        sinks.push(Box::new(causes.clone()));
        Wire {
            port: Port::new(mtu),
            causes,
            queue: VecDeque::new(),
            flows: Vec::new(),
            current: None,
            newest: None,
            next_port: FIRST_PORT,
        }
    }

    /// Takes packets from the stack; true if there were any.
    pub fn transmit(&mut self, stack: &mut Stack, now: Instant) -> bool {
        stack.transmit(now, &mut self.port, 1024);
        let frames = self.port.take();
        let any = !frames.is_empty();
        for frame in frames {
            let why = self.causes.take(&frame);
            self.sent(&frame, now, why);
        }
        any
    }

    fn sent(&mut self, frame: &[u8], at: Instant, why: String) {
        let packet = match wire::decode(frame, true) {
            Ok(Decoded::Tcp(packet)) => packet,
            Ok(Decoded::Other { protocol: protocol @ (1 | 58), src, dst, body: [kind, code, ..] }) => {
                let ends = (SocketAddr::new(src, 0), SocketAddr::new(dst, 0));
                return self.other(frame, at, ends, (protocol, Other::Icmp(*kind, *code)));
            }
            // What else there is is in the trace; the language has no lines for it here.
            _ => return,
        };
        let (src, dst, seg) = (packet.envelope.src, packet.envelope.dst, packet.seg);
        let syn = seg.flags.contains(Flags::SYN);
        let known = self.find(wire::TCP, src, dst);
        let at_flow = match known {
            Some(n) if !syn || self.flows[n].iss.is_none_or(|iss| iss == seg.seq.0) => n,
            // A new connection, maybe one that uses the ports of an old one.
            other => {
                let mut flow = Flow::new(src, dst);
                if let Some(old) = other.map(|n| &self.flows[n]) {
                    flow.script_ports = old.script_ports;
                    flow.irs = old.next_irs.or(old.irs);
                }
                self.flows.push(flow);
                self.current = Some(self.flows.len() - 1);
                self.newest = None;
                self.flows.len() - 1
            }
        };
        let flow = &mut self.flows[at_flow];
        let options: Vec<TcpOption> =
            wire::options::iter(packet.options).map_while(Result::ok).map(item).collect();
        if syn {
            flow.iss = Some(seg.seq.0);
        }
        if seg.flags.contains(Flags::ACK) {
            flow.acked = Some(seg.ack.0);
        }
        // A keep-alive's byte is garbage by definition (RFC 9293 §3.8.4).
        let wrong_byte = match flow.iss {
            Some(iss) if !why.contains("keep-alive") => {
                let start = seg.seq.0.wrapping_sub(iss.wrapping_add(1)).wrapping_add(u32::from(syn));
                let right = |(n, &byte): (usize, &u8)| byte == pattern(start.wrapping_add(n as u32));
                packet.payload.iter().enumerate().position(|pair| !right(pair)).map(|n| n as u32)
            }
            _ => None,
        };
        let (tos, ttl) = frames::tos_and_ttl(frame);
        let tcp = Tcp {
            flags: seg.flags,
            seq: seg.seq.0,
            len: packet.payload.len() as u16,
            ack: seg.ack.0,
            win: Some(seg.window),
            urg: seg.urgent,
            options: Some(options),
        };
        self.queue.push_back((Sent { at, src, dst, tos, ttl, tcp, other: None, wrong_byte, why }, at_flow));
    }

    /// A flow of a protocol.
    fn find(&self, protocol: u8, local: SocketAddr, remote: SocketAddr) -> Option<usize> {
        self.flows.iter().rposition(|f| (f.protocol, f.local, f.remote) == (protocol, local, remote))
    }

    /// What is no TCP was sent.
    fn other(
        &mut self,
        frame: &[u8],
        at: Instant,
        (src, dst): (SocketAddr, SocketAddr),
        (protocol, other): (u8, Other),
    ) {
        let flow = self.find(protocol, src, dst).unwrap_or_else(|| self.add_flow(protocol, src, dst));
        let (tos, ttl) = frames::tos_and_ttl(frame);
        let tcp = Tcp { flags: Flags::NONE, seq: 0, len: 0, ack: 0, win: None, urg: 0, options: None };
        let sent =
            Sent { at, src, dst, tos, ttl, tcp, other: Some(other), wrong_byte: None, why: String::new() };
        self.queue.push_back((sent, flow));
    }

    fn add_flow(&mut self, protocol: u8, local: SocketAddr, remote: SocketAddr) -> usize {
        let mut flow = Flow::new(local, remote);
        flow.protocol = protocol;
        self.flows.push(flow);
        self.flows.len() - 1
    }

    /// A datagram of a socket was sent, and how it looks on the wire.
    pub fn datagram(&mut self, out: &Outgoing, at: Instant) -> Vec<u8> {
        let frame = frames::udp(out.src, out.dst, out.look, &vec![0; out.len]);
        self.other(&frame, at, (out.src, out.dst), (UDP, Other::Udp(out.len as u16)));
        frame
    }

    /// The flow that an inbound line with a datagram, or with an error about one, means: that of its ports, else the last one,
    /// else a new one to a socket.
    pub fn datagram_flow(&mut self, packet: &ast::Packet, settings: &Settings, sockets: &Sockets) -> usize {
        let mine = |f: &Flow| f.protocol == UDP;
        let found = match packet.ports {
            Some((remote, local)) => self.flows.iter().rposition(|f| {
                let ports = f.script_ports.unwrap_or((f.local.port(), f.remote.port()));
                mine(f) && ports == (local, remote)
            }),
            None => self.flows.iter().rposition(mine),
        };
        if let Some(flow) = found {
            return flow;
        }
        let socket = sockets.table.values().rev().find_map(|socket| match &socket.kind {
            SocketKind::Datagrams(d) => Some((d.local, d.remote)),
            _ => None,
        });
        let (local, remote) = socket.unwrap_or_default();
        let here = local.map_or(settings.local.port(), |local| local.port());
        let there = remote.map_or(self.next_port, |remote| remote.port());
        let (there, here) = packet.ports.unwrap_or((there, here));
        let ends = (SocketAddr::new(settings.local.ip(), here), SocketAddr::new(settings.remote.ip(), there));
        let flow = self.add_flow(UDP, ends.0, ends.1);
        self.flows[flow].script_ports = packet.ports.map(|(remote, local)| (local, remote));
        flow
    }

    /// Forgets the packets before the first one of the line's protocol.
    pub fn pass_over_protocols(&mut self, line: &ast::Packet) {
        let same = |sent: &Sent| {
            matches!(
                (&line.body, sent.other),
                (Body::Tcp(_), None)
                    | (Body::Udp(_), Some(Other::Udp(_)))
                    | (Body::Icmp(_), Some(Other::Icmp(..)))
            )
        };
        while self.queue.pop_front_if(|(sent, _)| !same(sent)).is_some() {}
    }

    /// Forgets the packets before the first one that `line` can mean: those of its ports or its descriptor, else of the
    /// connection that was begun last.
    pub fn pass_over_others(&mut self, line: &ast::Packet, sockets: &Sockets) {
        self.pass_over_protocols(line);
        let (flows, current) = (&self.flows, self.current);
        if !matches!(line.body, Body::Tcp(_)) {
            return;
        }
        let meant = |at: usize| {
            let flow = &flows[at];
            match (line.sock, line.ports) {
                (Some(fd), _) => {
                    sockets.conn(fd).is_some_and(|c| (c.local, c.remote) == (flow.local, flow.remote))
                }
                (None, Some(ports)) => flow.script_ports.is_none_or(|known| known == ports),
                (None, None) => current.is_none() || current == Some(at),
            }
        };
        while self.queue.pop_front_if(|(_, at)| !meant(*at)).is_some() {}
    }

    /// Whether what was sent first is as much as a line of `len` bytes stands for, or can become no more.
    pub fn is_whole(&self, len: u16, at_once: bool) -> bool {
        let mut packets = self.queue.iter();
        let Some((first, flow)) = packets.next() else { return false };
        let (mut sum, mut last) = (u32::from(first.tcp.len), first);
        for (next, of) in packets {
            if sum >= u32::from(len) || of != flow || !continues(last, next, at_once) {
                return true;
            }
            sum += u32::from(next.tcp.len);
            last = next;
        }
        at_once || first.tcp.len == 0 || sum >= u32::from(len)
    }

    /// The packet that was sent first. If `len` is more than it carries, those that continue it are taken with it: to a
    /// script that was written for segmentation offload they are one. `at_once`: only those that left together.
    pub fn take(&mut self, len: u16, at_once: bool) -> Option<(Sent, usize)> {
        let (mut sent, flow) = self.queue.pop_front()?;
        while sent.tcp.len > 0
            && sent.tcp.len < len
            && let Some((next, _)) =
                self.queue.pop_front_if(|(next, of)| *of == flow && continues(&sent, next, at_once))
        {
            sent.tcp.len += next.tcp.len;
            let tail = Flags::PSH | Flags::FIN;
            sent.tcp.flags = sent.tcp.flags.without(tail) | Flags(next.tcp.flags.0 & tail.0);
            sent.at = next.at;
            sent.wrong_byte = sent.wrong_byte.or(next.wrong_byte);
        }
        Some((sent, flow))
    }

    /// A RST for every flow.
    pub fn resets(&self) -> Vec<Vec<u8>> {
        let reset = |flow: &Flow| {
            Some(frames::tcp(&frames::Segment {
                src: flow.remote,
                dst: flow.local,
                tos: 0,
                ttl: 255,
                flags: Flags::RST,
                seq: flow.acked?,
                ack: 0,
                win: 0,
                urg: 0,
                options: Vec::new(),
                payload: Vec::new(),
            }))
        };
        self.flows.iter().filter(|flow| flow.protocol == wire::TCP).filter_map(reset).collect()
    }

    /// The flow that an inbound line means; a SYN may begin one.
    fn inbound_flow(
        &mut self,
        packet: &ast::Packet,
        settings: &Settings,
        sockets: &Sockets,
    ) -> Result<usize, String> {
        if let Some(fd) = packet.sock {
            let conn = sockets.conn(fd).ok_or_else(|| format!("no connection has the descriptor {fd}"))?;
            let ends = (conn.local, conn.remote);
            let found = self.find(wire::TCP, ends.0, ends.1);
            return found.ok_or_else(|| format!("the connection of descriptor {fd} has sent nothing yet"));
        }
        // A new listener takes what comes from now on: as a new connection.
        let newest = self.newest.and_then(|fd| match &sockets.table.get(&fd)?.kind {
            SocketKind::Listening { addr, .. } => Some(addr.port()),
            _ => None,
        });
        let found = match packet.ports {
            // Inbound lines name the script's port first.
            Some((remote, local)) => self.flows.iter().rposition(|f| {
                f.protocol == wire::TCP
                    && f.script_ports.unwrap_or((f.local.port(), f.remote.port())) == (local, remote)
            }),
            None if newest.is_some() => None,
            None => self.current,
        };
        if let Some(n) = found {
            return Ok(n);
        }
        // Where does somebody listen?
        let listening = newest.or_else(|| {
            sockets.table.values().rev().find_map(|socket| match &socket.kind {
                SocketKind::Listening { addr, .. } => Some(addr.port()),
                _ => None,
            })
        });
        self.newest = None;
        let (remote, local) =
            packet.ports.unwrap_or((self.next_port, listening.unwrap_or(settings.local.port())));
        if packet.ports.is_none() {
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
        }
        let mut flow = Flow::new(
            SocketAddr::new(settings.local.ip(), local),
            SocketAddr::new(settings.remote.ip(), remote),
        );
        flow.script_ports = packet.ports.map(|(remote, local)| (local, remote));
        self.flows.push(flow);
        let new = self.flows.len() - 1;
        // Ports of their own are another connection's, which only such lines speak of.
        if packet.ports.is_none() || self.current.is_none() {
            self.current = Some(new);
        }
        Ok(new)
    }
}

/// Whether `next` is what segmentation would put behind `sent`: the same header, the next bytes. To a close listener a
/// push or a pause in the middle does not count: it ends what the host sent together.
fn continues(sent: &Sent, next: &Sent, at_once: bool) -> bool {
    let end = sent.tcp.seq.wrapping_add(u32::from(sent.tcp.len));
    let tail = Flags::PSH | Flags::FIN;
    let (before, after) = (sent.tcp.flags.without(tail), next.tcp.flags.without(tail));
    (!at_once || next.at == sent.at)
        && next.tcp.seq == end
        && next.tcp.len > 0
        && next.tcp.len.checked_add(sent.tcp.len).is_some()
        && !sent.tcp.flags.intersects(Flags::FIN)
        // CWR stays on the first (RFC 3168 §6.1.2), unless it is part of ACE (RFC 9768 §3.3.4).
        && (after == before || after == before.without(Flags::CWR))
        && (next.tcp.ack, next.tcp.win) == (sent.tcp.ack, sent.tcp.win)
        && (!at_once || next.tcp.options == sent.tcp.options)
}

/// The frame for an inbound line.
pub fn inbound(
    wire: &mut Wire,
    packet: &ast::Packet,
    settings: &Settings,
    sockets: &Sockets,
) -> Result<Vec<u8>, String> {
    let datagram = match &packet.body {
        Body::Udp(_) => true,
        Body::Icmp(error) => error.other.is_some_and(|(udp, _)| udp),
        Body::Tcp(_) => false,
    };
    let at = match datagram {
        true => wire.datagram_flow(packet, settings, sockets),
        false => wire.inbound_flow(packet, settings, sockets)?,
    };
    let flow = &mut wire.flows[at];
    let tos = match packet.tos {
        ast::Tos::Any | ast::Tos::Ect01 => 0,
        ast::Tos::Ecn(bits) => bits,
        ast::Tos::Byte(tos) => tos,
    };
    match &packet.body {
        Body::Tcp(tcp) => segment(flow, tcp, tos, packet.ttl.unwrap_or(255)),
        Body::Icmp(error) => icmp::frame(flow, error, settings.ip_version),
        Body::Udp(len) => {
            let payload = vec![0; usize::from((*len).min(frames::MAX_PAYLOAD))];
            Ok(frames::udp(flow.remote, flow.local, (tos, packet.ttl.unwrap_or(255)), &payload))
        }
    }
}

fn segment(flow: &mut Flow, tcp: &Tcp, tos: u8, ttl: u8) -> Result<Vec<u8>, String> {
    let syn = tcp.flags.contains(Flags::SYN);
    let options = tcp.options.clone().unwrap_or_default();
    if syn {
        // On a connection that is open already it begins no new one, unless the stack says so with a SYN of its own.
        match (flow.iss, flow.irs) {
            (Some(_), Some(_)) => flow.next_irs = Some(tcp.seq),
            _ => flow.irs = Some(tcp.seq),
        }
    }
    if tcp.len > frames::MAX_PAYLOAD {
        return Err(format!("{} bytes of payload are more than a packet can carry", tcp.len));
    }
    let (local, seq) = (flow.local_offset(syn), tcp.seq.wrapping_add(flow.remote_offset(syn)));
    let live_option = |option: TcpOption| match option {
        // On a SYN there is nothing to echo yet.
        TcpOption::Ts { val, ecr } if tcp.flags.contains(Flags::ACK) => {
            TcpOption::Ts { val, ecr: flow.live_ts(ecr) }
        }
        TcpOption::Sack(ref blocks) => {
            let live = |n: u32| n.wrapping_add(local);
            TcpOption::Sack(blocks.iter().map(|&(left, right)| (live(left), live(right))).collect())
        }
        other => other,
    };
    let options = options.into_iter().map(live_option).collect();
    let irs = flow.irs.unwrap_or(0);
    let start = seq.wrapping_sub(irs.wrapping_add(1)).wrapping_add(u32::from(syn));
    let ack = if tcp.flags.contains(Flags::ACK) { tcp.ack.wrapping_add(local) } else { tcp.ack };
    Ok(frames::tcp(&frames::Segment {
        src: flow.remote,
        dst: flow.local,
        tos,
        ttl,
        flags: tcp.flags,
        seq,
        ack,
        win: tcp.win.unwrap_or(0),
        urg: tcp.urg,
        options,
        payload: (0..u32::from(tcp.len)).map(|n| pattern(start.wrapping_add(n))).collect(),
    }))
}

fn item(item: Item<'_>) -> TcpOption {
    match item {
        Item::Eol => TcpOption::Eol,
        Item::Nop => TcpOption::Nop,
        Item::Mss(mss) => TcpOption::Mss(mss),
        Item::WindowScale(shift) => TcpOption::Wscale(shift),
        Item::SackPermitted => TcpOption::SackOk,
        Item::Sack(blocks) => TcpOption::Sack(blocks.into_iter().map(|(a, b)| (a.0, b.0)).collect()),
        Item::Timestamps(ts) => TcpOption::Ts { val: ts.value, ecr: ts.echo },
        Item::Unknown { kind, data } => TcpOption::Other { kind, data: data.to_vec() },
    }
}

//! What becomes of a packet that arrived?

use super::addrs::Flow;
use super::conns::{About, Frame, Home, Owed};
use super::demux::{self, Slot};
use super::icmp::{self, Problem, Quoted};
use super::output::Reply;
use super::{Owes, Stack, host, rst};
use crate::segment::{Arrival, Segment};
use crate::tcp::{AckNowWhy, Cause, Cx, DropReason, RstWhy, Snapshot};
use crate::time::Instant;
use crate::trace::Why;
use crate::wire::{self, Decoded, Packet};
use std::net::IpAddr;

impl Stack {
    /// The way of every packet in: decoded, judged, traced with the judgement.
    pub(super) fn receive(&mut self, now: Instant, frame: &Frame) {
        match wire::decode(frame.bytes, !frame.verified) {
            Err(reason) => self.trace_in(now, frame, About::default(), Why::Dropped(reason)),
            Ok(Decoded::Tcp(packet)) => self.on_tcp(now, frame, &packet),
            Ok(Decoded::Fragment { src, dst }) => self.on_fragment(now, frame, src, dst),
            Ok(Decoded::Other { protocol, src, dst, body }) => {
                self.on_other(now, frame, protocol, src, dst, body);
            }
        }
    }

    fn on_tcp(&mut self, now: Instant, frame: &Frame, packet: &Packet) {
        let about = About { seg: Some(&packet.seg), ..About::default() };
        let (local, remote) = (packet.envelope.dst, packet.envelope.src);
        if !self.own.contains(local.ip()) {
            return self.trace_in(now, frame, about, Why::Dropped(DropReason::NotForUs));
        }
        // No host has such an address (RFC 9293 §3.9.2.3, MUST-57, MUST-63; RFC 1122 §3.2.1.3), and ours is not out there.
        if !self.is_foreign_host(remote.ip(), frame) {
            return self.trace_in(now, frame, about, Why::Dropped(DropReason::Malformed));
        }
        let flow = Flow::new(local, remote);
        let slot = self.find(&flow);
        if (packet.seg.options.signed || self.signs)
            && let Some(reason) = self.judge_signature(packet, &flow, slot)
        {
            return self.trace_in(now, frame, about, Why::Dropped(reason));
        }
        self.owes = if packet.seg.seq_len() > 0 { Owes::AtOnce } else { Owes::Nothing };
        match slot {
            Some(Slot::Conn(index)) => self.on_segment(now, frame, packet, index),
            Some(Slot::HalfOpen(index)) => self.on_handshake(now, frame, packet, index),
            Some(Slot::TimeWait(index)) => self.on_late_segment(now, frame, packet, flow, index),
            None => self.on_stranger(now, frame, packet, flow, None),
        }
    }

    /// What a flow leads to.
    fn find(&self, flow: &Flow) -> Option<Slot> {
        demux::find(self.hasher.hash(flow), flow, &self.conns, &self.syn_queue, &self.time_waits)
    }

    /// Whether a packet can honestly come from `src`: a host's address, and none of ours unless we sent it to ourselves.
    fn is_foreign_host(&self, src: IpAddr, frame: &Frame) -> bool {
        self.own.is_host(src)
            && !src.is_loopback()
            && src.to_canonical() == src
            && (frame.looped || !self.own.contains(src))
    }

    /// A segment for a connection.
    pub(super) fn on_segment(&mut self, now: Instant, frame: &Frame, packet: &Packet, index: u32) {
        let surroundings = self.surroundings(now);
        let entry = &mut self.conns[index];
        if packet.seg.len > 0 {
            self.limits.receives(&mut entry.round);
        }
        entry.conn.set_surroundings(surroundings);
        let segments = match frame.gso_size {
            Some(size) => packet.seg.len.div_ceil(size.get().into()).clamp(1, u16::MAX.into()) as u16,
            None => 1,
        };
        let arrival =
            Arrival { seg: &packet.seg, payload: packet.payload, segments, ecn: packet.envelope.ecn };
        let place = frame.place_of(packet.payload);
        entry.conn.offer_memory(place.is_some());
        if let Some(travel) = self.travel.take() {
            entry.conn.set_travel(now, travel);
        }
        let received = entry.conn.on_segment(&mut Cx { now, cfg: &entry.cfg, log: &mut self.log }, &arrival);
        if self.owes == Owes::AtOnce && !entry.conn.must_acknowledge() {
            self.owes = Owes::Soon;
        }
        if let (Some(at), Some(part)) = (place, entry.conn.wanted_memory()) {
            self.owed = Some(Owed { index, part: at + part.start..at + part.end });
        }
        let state = self.tracer.wants_packets().then(|| entry.conn.snapshot());
        let about = About { conn: Some(entry.number), seg: Some(&packet.seg), state };
        self.trace_in(now, frame, about, Why::Received(received));
        self.settle(now, index);
    }

    /// A segment for a flow in TIME-WAIT.
    fn on_late_segment(&mut self, now: Instant, frame: &Frame, packet: &Packet, flow: Flow, index: u32) {
        let waiting = self.time_waits.get(index);
        let (number, state) = (waiting.number, waiting.snapshot());
        if waiting.allows(&packet.seg) && self.listeners.find(flow.local()).is_some() {
            let floor = waiting.floor();
            return self.on_stranger(now, frame, packet, flow, Some((index, floor)));
        }
        let answer = self.time_waits.on_segment(index, now, &packet.seg, &self.config.tcp);
        let about = About { conn: Some(number), seg: Some(&packet.seg), state: Some(state) };
        self.trace_in(now, frame, about, answer.why);
        if answer.ends() {
            self.changes.note(&flow);
        }
        if let Some((mut seg, cause)) = answer.reply
            && self.may_answer(now, cause)
        {
            if let Some(stamps) = &mut seg.options.timestamps {
                stamps.value = stamps.value.wrapping_add(self.secrets.timestamp_offset(&flow));
            }
            self.reply(flow, seg, cause, Some((number, state)));
        }
    }

    pub(super) fn refuse(&mut self, flow: Flow, seg: &Segment) {
        if let Some(rst) = rst::answer(seg) {
            self.reply(flow, rst, Cause::Rst(RstWhy::NoSocket), None);
        }
    }

    /// Whether an answer is within the limit of challenges, if it is one.
    pub(super) fn may_answer(&mut self, now: Instant, cause: Cause) -> bool {
        if cause != Cause::AckNow(AckNowWhy::Challenge) {
            return true;
        }
        let may = self.limits.may_challenge(now, &self.config.tcp, &self.secrets);
        if may {
            self.limits.challenged(&self.config.tcp);
        }
        may
    }

    /// Queues an answer that no connection sends. What finds no room is dropped, like anything on a full link.
    pub(super) fn reply(&mut self, flow: Flow, seg: Segment, cause: Cause, about: Option<(u32, Snapshot)>) {
        if self.replies.len() < super::output::MAX_REPLIES {
            let key = if self.signs { self.key_of(&flow, self.find(&flow)) } else { None };
            let look = (self.tcp.ttl, self.tcp.dscp);
            self.replies.push_back(Reply { flow, seg, cause, about, key, look });
        }
    }

    fn on_fragment(&mut self, now: Instant, frame: &Frame, src: IpAddr, dst: IpAddr) {
        let dropped = |reason| Why::Dropped(reason);
        let refused = if !self.own.contains(dst) {
            Some(DropReason::NotForUs)
        } else if !dst.is_ipv4() {
            Some(DropReason::Unhandled)
        } else if !host::is_sane_fragment(frame.bytes) || !self.is_foreign_host(src, frame) {
            Some(DropReason::Malformed)
        } else if !self.host.on_packet(now, frame.bytes) {
            Some(DropReason::Unhandled)
        } else {
            None
        };
        if let Some(reason) = refused {
            return self.trace_in(now, frame, About::default(), dropped(reason));
        }
        self.tell_resolved();
        let mut whole = std::mem::take(&mut self.scratch);
        let complete = self.host.reassembled(&mut whole);
        if complete && let Ok(Decoded::Tcp(packet)) = wire::decode(&whole, true) {
            // The trace shows what was on the wire: the last fragment, with the judgement on the whole segment.
            self.on_tcp(now, frame, &packet);
        } else {
            let why = match complete {
                true => dropped(wire::decode(&whole, true).err().unwrap_or(DropReason::Malformed)),
                false => {
                    Why::Host { word: "fragment", text: "a piece of a packet: kept until the rest is here" }
                }
            };
            self.trace_in(now, frame, About::default(), why);
        }
        self.scratch = whole;
    }

    fn on_other(&mut self, now: Instant, frame: &Frame, protocol: u8, src: IpAddr, dst: IpAddr, body: &[u8]) {
        let about = About::default();
        if !self.own.contains(dst) {
            // Echo requests to a broadcast address stay unanswered, too (RFC 1122 §3.2.2.6).
            return self.trace_in(now, frame, about, Why::Dropped(DropReason::NotForUs));
        }
        if !self.is_foreign_host(src, frame) {
            return self.trace_in(now, frame, about, Why::Dropped(DropReason::Malformed));
        }
        if let Some(quoted) = icmp::quoted(protocol, src, dst, body) {
            return self.on_icmp_error(now, frame, quoted);
        }
        if let Some(flow) = icmp::refused_datagram(protocol, src, dst, body)
            && self.host.on_refused(now, &flow)
        {
            let text = format!("nobody listens at {}, where a name server should be", flow.remote());
            self.trace_in(now, frame, about, Why::Host { word: "icmp", text: &text });
            return self.tell_resolved();
        }
        let (word, text) = icmp::describe(protocol, body);
        let known = matches!(protocol, icmp::ICMP | icmp::UDP | icmp::ICMPV6);
        // What may be answered with an error: not more often than errors may be sent.
        let allowed = word == "dns" || word == "icmp" && known || self.icmp_errors.take(now);
        let taken = allowed && self.host.on_packet(now, frame.bytes);
        let why = if known && taken {
            Why::Host { word, text: &text }
        } else {
            Why::Dropped(DropReason::Unhandled)
        };
        self.trace_in(now, frame, about, why);
        self.tell_resolved();
    }

    /// RFC 9293 §3.9.2.2 (MUST-54): the connection that the message is about hears of it.
    fn on_icmp_error(&mut self, now: Instant, frame: &Frame, quoted: Quoted) {
        let said = match quoted.problem {
            Problem::Unreachable { error, .. } | Problem::NoRoute { error } => {
                format!("{error}, about {}", quoted.seq)
            }
            Problem::TooBig(mtu) => {
                format!("packet too big: the path carries {mtu} bytes, about {}", quoted.seq)
            }
        };
        let index = match self.find(&quoted.flow) {
            Some(Slot::Conn(index)) => index,
            Some(Slot::HalfOpen(index)) => {
                return self.on_icmp_error_half_open(now, frame, quoted, index, &said);
            }
            _ => {
                let text = format!("{said}: no such connection");
                return self.trace_in(now, frame, About::default(), Why::Host { word: "icmp", text: &text });
            }
        };
        let entry = &mut self.conns[index];
        let mut cx = Cx { now, cfg: &entry.cfg, log: &mut self.log };
        // What somebody has accepted already is as good as open.
        let opens = !entry.conn.is_early() || matches!(entry.home, Home::Waiting(_));
        match quoted.problem {
            Problem::Unreachable { error, hard } => {
                entry.conn.on_unreachable(&mut cx, quoted.seq, error, hard && opens);
            }
            Problem::NoRoute { error } => {
                entry.conn.on_no_route(&mut cx, quoted.seq);
                entry.conn.on_unreachable(&mut cx, quoted.seq, error, opens);
            }
            Problem::TooBig(mtu) => {
                let before = entry.conn.path_mtu();
                entry.conn.on_path_mtu(&mut cx, mtu, quoted.seq);
                if entry.conn.path_mtu() < before {
                    self.path_mtus.learn(now, entry.flow.remote().ip(), entry.conn.path_mtu());
                }
            }
        }
        let about = About { conn: Some(entry.number), seg: None, state: Some(entry.conn.snapshot()) };
        self.trace_in(now, frame, about, Why::Host { word: "icmp", text: &said });
        self.settle(now, index);
    }
}

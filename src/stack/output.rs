//! What is sent next, and how does it get onto the device?

use super::Stack;
use super::addrs::Flow;
use super::conns::write_notes;
use super::icmp;
use super::meta::meta;
use super::outlet::{Copying, Gather, Lent, Outlet};
use super::queue_device::QueueDevice;
use crate::segment::{Ecn, Key, Options, Segment};
use crate::tcp::{AckNowWhy, Cause, Cx, Opts, Payload, Room, Snapshot};
use crate::time::Instant;
use crate::trace::{Direction, PacketRecord, Record, Tracer, Why};
use crate::wire::{self, Decoded, Envelope};
use smoltcp::phy::{Device, DeviceCapabilities};
use std::num::NonZeroU16;
use std::sync::Arc;

/// Answers that wait for the device. They come one per packet received, and are sent before anything else.
pub(super) const MAX_REPLIES: usize = 256;

/// From so many bytes of payload on it costs less to take it from where it is than to copy it.
const GATHERED: u32 = 2048;

/// Packets that a stack may have under way to itself.
const MAX_LOOPED: usize = 1024;

/// A segment that no connection sends: a reset for a stranger, an acknowledgment from TIME-WAIT.
pub(super) struct Reply {
    pub flow: Flow,
    pub seg: Segment,
    pub cause: Cause,
    /// The connection it is about, and its numbers.
    pub about: Option<(u32, Snapshot)>,
    /// What signs it.
    pub key: Option<Arc<Key>>,
    /// Hop limit and differentiated services.
    pub look: (u8, u8),
}

/// What was sent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sent {
    /// Frames.
    pub frames: usize,
    /// Packets of the wire that they stand for.
    pub packets: usize,
}

/// What a segment is on its way out.
struct Outgoing<'a> {
    envelope: Envelope,
    seg: Segment,
    payload: Payload<'a>,
    gso_size: Option<NonZeroU16>,
    /// Whether the device computes the TCP checksum.
    partial: bool,
    /// What signs it.
    key: Option<&'a Key>,
}

impl Stack {
    /// Sends at most `budget` packets of the wire, or one super-segment more, while the device has room; returns how many
    /// frames that were. Connections take turns, a frame each. A token that the device hands out may come back unused.
    pub fn transmit<D: Device>(&mut self, now: Instant, device: &mut D, budget: usize) -> usize {
        self.transmit_on(now, &mut Copying(Lent(device)), budget).frames
    }

    /// The same, on a device that may take payload from where it is.
    pub fn transmit_on<D: Outlet>(&mut self, now: Instant, device: &mut D, budget: usize) -> Sent {
        let mut caps = device.capabilities();
        let cuts = device.cuts();
        if cuts.is_some() {
            (caps.segmentation.tcpv4, caps.segmentation.tcpv6) = (cuts, cuts);
        }
        let mut sent = Sent::default();
        while sent.packets < budget && self.has_output() {
            let Some(token) = device.room(now.into()) else { break };
            let packets = self.send_one(now, token, (&caps, cuts.is_some()));
            if packets == 0 {
                break;
            }
            sent.frames += 1;
            sent.packets += packets;
        }
        sent
    }

    /// Whether somebody may have something to send.
    pub fn has_output(&self) -> bool {
        !self.replies.is_empty()
            || self.host.has_output()
            || self.syn_queue.has_output()
            || !self.dirty.is_empty()
    }

    /// Sends one frame; returns how many packets of the wire it is, 0 if there was none. `cuts`: the device completes the checksums of
    /// a super-segment's pieces, and no others.
    fn send_one<T: Gather>(
        &mut self,
        now: Instant,
        token: T,
        (caps, cuts): (&DeviceCapabilities, bool),
    ) -> usize {
        if let Some(reply) = self.replies.pop_front() {
            let looped = self.own.contains(reply.flow.remote().ip());
            if looped && self.looped.is_full() {
                self.replies.push_front(reply);
                return 0;
            }
            self.send_reply(now, token, reply, (looped, offloads_checksum(caps) && !looped));
            return 1;
        }
        if self.host.has_output() {
            self.send_host(now, token);
            return 1;
        }
        if let Some(index) = self.syn_queue.pop_sender() {
            let looped = self.own.contains(self.syn_queue.get(index).flow.remote().ip());
            if looped && self.looped.is_full() {
                self.syn_queue.put_back(index);
                return 0;
            }
            let reply = self.syn_ack(now, index);
            let (flow, about) = (reply.flow, reply.about);
            self.send_reply(now, token, reply, (looped, offloads_checksum(caps) && !looped));
            if let Some((number, _)) = about {
                write_notes(&mut self.log, &mut self.tracer, now, number, &flow);
            }
            return 1;
        }
        self.send_segment(now, token, (caps, cuts))
    }

    fn send_reply<T: Gather>(
        &mut self,
        now: Instant,
        token: T,
        reply: Reply,
        (looped, partial): (bool, bool),
    ) {
        let signed = reply.key.is_some();
        let out = Outgoing {
            envelope: envelope(&reply.flow, self.take_ident(1), reply.look.0, reply.look.1, Ecn::NotEct),
            seg: Segment { options: Options { signed, ..reply.seg.options }, ..reply.seg },
            payload: Payload::default(),
            gso_size: None,
            partial,
            key: reply.key.as_deref(),
        };
        let (cause, about) = (reply.cause, reply.about);
        match looped {
            true => self.looped.loop_back(now, &out, cause, about, &mut self.tracer),
            false => out.put(now, token, cause, about, &mut self.tracer),
        }
    }

    fn send_host<T: Gather>(&mut self, now: Instant, token: T) {
        if self.host.pop(now, &mut self.sent).is_none() {
            return;
        }
        let frame = &self.sent;
        token.consume(frame.len(), |buf| buf.copy_from_slice(frame));
        let (word, text) = match wire::decode(frame, false) {
            Ok(Decoded::Other { protocol, body, .. }) => icmp::describe(protocol, body),
            _ => ("fragment", "a piece of an answer".to_owned()),
        };
        self.tracer.record(&Record::Packet(PacketRecord {
            at: now,
            direction: Direction::Out,
            frame,
            gso_size: None,
            why: Why::Host { word, text: &text },
            conn: None,
            seg: None,
            state: None,
        }));
        self.tell_resolved();
    }

    fn send_segment<T: Gather>(
        &mut self,
        now: Instant,
        token: T,
        (caps, cuts): (&DeviceCapabilities, bool),
    ) -> usize {
        while let Some(index) = self.dirty.pop() {
            let surroundings = self.surroundings(now);
            let entry = &mut self.conns[index];
            let looped = self.own.contains(entry.flow.remote().ip());
            if looped && self.looped.is_full() {
                self.dirty.put_back(index);
                return 0;
            }
            // Each segment has a signature of its own.
            let alone = looped || entry.key.is_some();
            let room = room(self.config.mtu, caps, entry.flow.ip_header(), alone);
            let Opts { ttl, dscp, .. } = *entry.conn.opts();
            entry.conn.set_surroundings(surroundings);
            let mut cx = Cx { now, cfg: &entry.cfg, log: &mut self.log };
            let Some(transmit) = entry.conn.poll_transmit(&mut cx, room) else {
                self.follow(now, index);
                self.reap(index);
                continue;
            };
            let (mut seg, cause, gso_size) = (transmit.seg, transmit.cause, transmit.gso_size);
            let last = transmit.last;
            seg.options.signed = entry.key.is_some();
            let envelope = envelope(&entry.flow, self.ident, ttl, dscp, transmit.ecn);
            // A super-segment takes as many identifications as packets it becomes.
            let packets = gso_size.map_or(1, |size| seg.len.div_ceil(size.get().into()).max(1));
            self.ident = self.ident.wrapping_add(packets as u16);
            let partial = (offloads_checksum(caps) || cuts && gso_size.is_some()) && !looped;
            let key = entry.key.as_deref();
            let out = Outgoing { envelope, seg, payload: transmit.payload, gso_size, partial, key };
            let about = Some((entry.number, transmit.state));
            match looped {
                true => self.looped.loop_back(now, &out, cause, about, &mut self.tracer),
                false => out.put(now, token, cause, about, &mut self.tracer),
            }
            if self.goes_on(index, seg.len, room) && !last {
                self.dirty.put_back(index);
            }
            if cause == Cause::AckNow(AckNowWhy::Challenge) {
                self.limits.challenged(&self.config.tcp);
            }
            if last {
                self.follow(now, index);
                self.reap(index);
            } else {
                self.settle(now, index);
            }
            return packets as usize;
        }
        0
    }

    /// Whether the turn of a connection that has just sent `len` bytes goes on. Where super-segments leave, one of them is a
    /// turn, or as many smaller ones as fill half of it: half a window leaves at once, and were the other half to wait until the
    /// first is acknowledged, the window would never be full and never grow.
    fn goes_on(&mut self, index: u32, len: u32, room: Room) -> bool {
        let before = if self.turn.0 == index { self.turn.1 } else { 0 };
        let sent = before + len;
        let more = len > 0 && room.max_packet > room.mtu.into() && sent < room.max_packet / 2;
        self.turn = (index, if more { sent } else { 0 });
        more
    }

    fn take_ident(&mut self, count: u16) -> u16 {
        let ident = self.ident;
        self.ident = ident.wrapping_add(count);
        ident
    }
}

impl Outgoing<'_> {
    /// Writes the packet into the device's buffer, where the trace sees it with the cause and the connection's number
    /// and numbers.
    fn put<T: Gather>(
        &self,
        now: Instant,
        mut token: T,
        cause: Cause,
        about: Option<(u32, Snapshot)>,
        tracer: &mut Tracer,
    ) {
        token.set_meta(meta(self.gso_size, false));
        let payload = [self.payload.0, self.payload.1];
        let record = PacketRecord {
            at: now,
            direction: Direction::Out,
            frame: &[],
            gso_size: self.gso_size.map(NonZeroU16::get),
            why: Why::Sent(cause),
            conn: about.map(|(number, _)| number),
            seg: Some(&self.seg),
            state: about.map(|(_, state)| state),
        };
        // What is recorded as it is must be complete; the pieces of a super-segment become so when it is cut.
        let partial = self.partial && (self.gso_size.is_some() || !tracer.wants_packets());
        if partial && self.seg.len >= GATHERED && self.key.is_none() {
            let head = wire::encoded_len(&self.envelope, &self.seg) - self.seg.len as usize;
            return token.gather(head, payload, |head| {
                wire::encode_head(head, &self.envelope, &self.seg);
                tracer.record_pieces(&PacketRecord { frame: head, ..record }, payload);
            });
        }
        token.consume(wire::encoded_len(&self.envelope, &self.seg), |buf| {
            match (self.key, partial) {
                (Some(key), partial) => {
                    wire::encode_signed(buf, &self.envelope, &self.seg, payload, (key, partial));
                }
                (None, true) => wire::encode_partial(buf, &self.envelope, &self.seg, payload),
                (None, false) => wire::encode(buf, &self.envelope, &self.seg, payload),
            }
            tracer.record(&Record::Packet(PacketRecord { frame: buf, ..record }));
        });
    }
}

/// Packets from the stack to itself.
pub(super) struct Looped {
    queue: QueueDevice,
    since: Instant,
}

impl Looped {
    pub fn new(mtu: u16) -> Looped {
        Looped { queue: QueueDevice::new(mtu, MAX_LOOPED), since: Instant::ZERO }
    }

    fn is_full(&self) -> bool {
        self.queue.room() == 0
    }

    /// Whoever calls this has asked whether there is room.
    fn loop_back(
        &mut self,
        now: Instant,
        out: &Outgoing,
        cause: Cause,
        about: Option<(u32, Snapshot)>,
        tracer: &mut Tracer,
    ) {
        if let Some(token) = self.queue.transmit(now.into()).map(Copying) {
            self.since = now;
            out.put(now, token, cause, about, tracer);
        }
    }

    /// Takes a packet; what has been put in is due at once.
    pub fn pop(&mut self, frame: &mut Vec<u8>) -> bool {
        self.queue.pop(frame).is_some()
    }

    pub fn len(&self) -> usize {
        self.queue.outgoing()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        (self.len() > 0).then_some(self.since)
    }
}

/// The addresses are those of the flow, from its first segment to its last: RFC 9293 §3.9.1.1 (MUST-45). What was
/// set reaches the IP header as it is: §3.9.1.9 (SHLD-22).
fn envelope(flow: &Flow, ident: u16, hops: u8, dscp: u8, ecn: Ecn) -> Envelope {
    Envelope { src: flow.local(), dst: flow.remote(), ecn, dscp, ident, hops }
}

/// Whether the device computes the TCP checksums of what is sent.
fn offloads_checksum(caps: &DeviceCapabilities) -> bool {
    !caps.checksum.tcp.tx()
}

/// How much a connection may send at once.
fn room(mtu: u16, caps: &DeviceCapabilities, ip_header: u16, alone: bool) -> Room {
    let mtu = u16::try_from(caps.max_transmission_unit).unwrap_or(u16::MAX).min(mtu);
    let offload = match ip_header {
        _ if alone => None,
        20 => caps.segmentation.tcpv4,
        _ => caps.segmentation.tcpv6,
    };
    let largest = offload.map_or(0, |n| n.get().min(65_535) as u32);
    Room { mtu, max_packet: largest.max(mtu.into()) }
}

//! How does a listener come by a connection? SYNs, SYN-ACKs, cookies, and the segment that completes a handshake.

use super::addrs::Flow;
use super::conns::{About, Frame, Home, write_notes};
use super::demux::{Next, Slot};
use super::icmp::{Problem, Quoted};
use super::output::Reply;
use super::syn_queue::Opening;
use super::{ListenerId, Ready, Stack, cookies};
use crate::segment::{Arrival, Cookie, Ecn, Flags, Options, Segment};
use crate::seq::Seq;
use crate::tcp::{
    self, Cause, Conn, Cx, DropReason, HalfOpen, Note, Opts, Received, RstWhy, Step, SynCookies, Verdict,
};
use crate::time::Instant;
use crate::trace::Why;
use crate::wire::Packet;
use std::sync::Arc;

impl Stack {
    /// A segment without a connection: a listener's, or nobody's (RFC 9293 §3.10.7.1, §3.10.7.2). `succeeds` is the
    /// connection in TIME-WAIT that it would take the flow of, and the first number that it may use.
    pub(super) fn on_stranger(
        &mut self,
        now: Instant,
        frame: &Frame,
        packet: &Packet,
        flow: Flow,
        succeeds: Option<(u32, Seq)>,
    ) {
        let (seg, field) = (&packet.seg, packet.envelope.ecn);
        let about = About { seg: Some(&packet.seg), ..About::default() };
        let found = self.listeners.find(flow.local());
        let Some((id, listener)) = found.and_then(|id| Some((id, self.listeners.get(id)?))) else {
            self.trace_in(now, frame, about, Why::Dropped(DropReason::NoSocket));
            return self.refuse(flow, seg);
        };
        let (syn, ack, rst) = (seg.has(Flags::SYN), seg.has(Flags::ACK), seg.has(Flags::RST));
        if ack && !rst {
            let reason = if !syn && listener.expects_cookie(now) {
                if self.take_cookie(now, frame, packet, flow, id) {
                    return;
                }
                DropReason::Cookie
            } else {
                DropReason::NoSocket
            };
            // Acknowledgments of what was never sent get a reset.
            self.trace_in(now, frame, about, Why::Dropped(reason));
            return self.refuse(flow, seg);
        }
        let cookies = listener.cfg(&self.tcp).syn_cookies;
        // Like Linux: who gives up a TIME-WAIT for it costs nothing more, and is surely there.
        let flooded = succeeds.is_none() && listener.is_flooded();
        let reason = match () {
            // Like Linux: a SYN with FIN is no honest beginning.
            () if rst || !syn || seg.has(Flags::FIN) => Some(DropReason::Control),
            // Like Linux: no answer. The peer tries again, by then there may be room.
            () if listener.is_full() => Some(DropReason::Backlog),
            () if cookies == SynCookies::Off && flooded => Some(DropReason::SynQueue),
            () => None,
        };
        if let Some(reason) = reason {
            return self.trace_in(now, frame, about, Why::Dropped(reason));
        }
        if flooded || cookies == SynCookies::Always && succeeds.is_none() {
            return self.answer_by_cookie(now, frame, (seg, field), flow, id);
        }
        let mut iss = self.secrets.isn(now, &flow);
        if let Some((index, floor)) = succeeds {
            self.time_waits.remove(index);
            self.changes.note(&flow);
            iss = iss.max(floor);
        }
        let cfg = self.config_of(id).clone();
        let Some(listener) = self.listeners.get_mut(id) else { return };
        let fast = listener.fast_open.judge(now, &cfg, &self.secrets, &flow, seg);
        // Beside a signature there is no room for both; like Linux, SACK is worth more.
        let mut told = *seg;
        told.options.signed &= self.signs;
        if told.options.signed && told.options.sack_permitted && cfg.sack {
            told.options.timestamps = None;
        }
        let seg = &told;
        if fast.take {
            let syn = Arrival { seg, payload: packet.payload, segments: 1, ecn: packet.envelope.ecn };
            let kept = self.kept_syn(id, frame, packet);
            return self.open_early(
                now,
                frame,
                &syn,
                flow,
                iss,
                id,
                (fast.cookie, kept, packet.envelope.dscp),
            );
        }
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.opened();
        }
        let number = self.take_number();
        let mut half = self.remember(now, &flow, iss, (seg, field), &cfg);
        half.give_cookie(fast.cookie.map(|cookie| cookie.experimental));
        let syn = self.kept_syn(id, frame, packet);
        let dscp = if cfg.reflect_tos { packet.envelope.dscp } else { cfg.dscp };
        let opening = Opening { half, cfg, flow, number, listener: id, dscp, syn, next: Next::default() };
        let state = Some(opening.snapshot(now, &mut self.log));
        let index = self.syn_queue.insert(opening);
        let about = About { conn: Some(number), state, ..about };
        self.trace_in(now, frame, about, Why::Received(Received::new(Verdict::InOrder)));
        self.syn_queue.settle(now, index, &mut self.log);
    }

    /// A SYN with a good cookie: the connection can be accepted before its handshake is done (RFC 7413 §4.2.2).
    #[expect(clippy::too_many_arguments, reason = "what makes a connection")]
    fn open_early(
        &mut self,
        now: Instant,
        frame: &Frame,
        syn: &Arrival,
        flow: Flow,
        iss: Seq,
        id: ListenerId,
        (cookie, kept, frame_dscp): (Option<Cookie>, Option<Box<[u8]>>, u8),
    ) {
        let mtu = self.path_mtus.towards(now, flow.remote().ip(), self.config.mtu);
        let home = (Home::Waiting(id), self.take_number());
        let (offset, mut opts) = (self.secrets.timestamp_offset(&flow), self.opts_of(id));
        if self.config_of(id).reflect_tos {
            opts = Arc::new(Opts { dscp: frame_dscp, ..*opts });
        }
        let (cfg, key) = (self.config_of(id).clone(), self.key_by_listener(Some(id), flow.remote().ip()));
        let index = self.add_conn(now, flow, home, cfg, |cx| {
            Conn::accept_early(cx, iss, offset, flow.ip_header(), mtu, syn, cookie, opts)
        });
        let entry = &mut self.conns[index];
        (entry.early, entry.key, entry.syn) = (Some(id), key, kept);
        let about =
            About { conn: Some(entry.number), seg: Some(syn.seg), state: Some(entry.conn.snapshot()) };
        self.trace_in(now, frame, about, Why::Received(Received::new(Verdict::InOrder)));
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.fast_open.opened();
        }
        self.enter_accept_queue(id, index);
        self.settle(now, index);
    }

    fn enter_accept_queue(&mut self, id: ListenerId, index: u32) {
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.established(index);
            if !std::mem::replace(&mut listener.told, true) {
                self.owners.push(listener.owner, Ready::Accept(id));
            }
        }
    }

    /// The IP and TCP headers of a SYN, if its listener keeps them.
    fn kept_syn(&self, id: ListenerId, frame: &Frame, packet: &Packet) -> Option<Box<[u8]>> {
        let keeps = self.listeners.get(id).is_some_and(|listener| listener.saves_syn);
        let headers = frame.bytes.len().checked_sub(packet.payload.len())?;
        keeps.then(|| frame.bytes[..headers].into())
    }

    /// The settings of a listener's connections.
    fn config_of(&self, id: ListenerId) -> &Arc<tcp::Config> {
        self.listeners.get(id).map_or(&self.tcp, |listener| listener.cfg(&self.tcp))
    }

    /// The socket options that its connections begin with.
    fn opts_of(&self, id: ListenerId) -> Arc<Opts> {
        let own = self.listeners.get(id).and_then(|listener| listener.own.as_ref());
        own.map_or_else(|| self.opts.clone(), |(_, opts)| opts.clone())
    }

    fn remember(
        &mut self,
        now: Instant,
        flow: &Flow,
        iss: Seq,
        (syn, field): (&Segment, Ecn),
        cfg: &tcp::Config,
    ) -> HalfOpen {
        let mtu = self.path_mtus.towards(now, flow.remote().ip(), self.config.mtu);
        let cx = Cx { now, cfg, log: &mut self.log };
        HalfOpen::new(&cx, iss, self.secrets.timestamp_offset(flow), flow.ip_header(), mtu, syn, field)
    }

    /// A SYN for which there is no room: the answer is all that is made of it.
    fn answer_by_cookie(
        &mut self,
        now: Instant,
        frame: &Frame,
        (syn, field): (&Segment, Ecn),
        flow: Flow,
        id: ListenerId,
    ) {
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.sent_cookie(now);
        }
        let cfg = self.config_of(id).clone();
        let (cookie, mut told) = cookies::make(&self.secrets, now, &flow, syn, cfg.timestamps);
        told.options.signed = syn.options.signed && self.signs;
        let mut half = self.remember(now, &flow, cookie, (&told, field), &cfg);
        let (mut seg, _) = half.syn_ack(&mut Cx { now, cfg: &cfg, log: &mut self.log });
        // The timer that this would have set is nobody's.
        self.log.drain();
        if let Some(stamps) = &mut seg.options.timestamps {
            let clock = cookies::clock(now.as_millis() as u32, &told, half.has_ecn());
            stamps.value = clock.wrapping_add(self.secrets.timestamp_offset(&flow));
        }
        let about = About { seg: Some(syn), ..About::default() };
        self.trace_in(now, frame, about, Why::Received(Received::new(Verdict::InOrder)));
        self.reply(flow, seg, Cause::SynCookie, None);
    }

    /// Makes a connection if the segment acknowledges a cookie; false if it does not.
    fn take_cookie(
        &mut self,
        now: Instant,
        frame: &Frame,
        packet: &Packet,
        flow: Flow,
        id: ListenerId,
    ) -> bool {
        let offset = self.secrets.timestamp_offset(&flow);
        let Some(syn) = cookies::check(&self.secrets, now, &flow, &packet.seg, offset) else { return false };
        if self.listeners.get(id).is_none_or(|listener| listener.is_full()) {
            let about = About { seg: Some(&packet.seg), ..About::default() };
            self.trace_in(now, frame, about, Why::Dropped(DropReason::Backlog));
            return true;
        }
        let cfg = self.config_of(id).clone();
        let signed = packet.seg.options.signed && self.signs;
        let syn = Segment { options: Options { signed, ..syn.options }, ..syn };
        let half = self.remember(now, &flow, packet.seg.ack - 1, (&syn, Ecn::NotEct), &cfg);
        let number = self.take_number();
        self.log.push(Note::Cookie);
        // Nothing was kept of its SYN.
        let (dscp, syn) = (cfg.dscp, None);
        let opening = Opening { half, cfg, flow, number, listener: id, dscp, syn, next: Next::default() };
        self.complete(now, frame, packet, opening);
        true
    }

    /// A segment for a half-open connection.
    pub(super) fn on_handshake(&mut self, now: Instant, frame: &Frame, packet: &Packet, index: u32) {
        let opening = self.syn_queue.get_mut(index);
        let (flow, number, id) = (opening.flow, opening.number, opening.listener);
        let step = opening
            .with(now, &mut self.log, |half, cx| half.on_segment(cx, &packet.seg, packet.envelope.ecn));
        let state = opening.snapshot(now, &mut self.log);
        let about = About { conn: Some(number), seg: Some(&packet.seg), state: Some(state) };
        match step {
            Step::Stays(received) => self.trace_in(now, frame, about, Why::Received(received)),
            Step::Answers(received, seg, cause) => {
                self.trace_in(now, frame, about, Why::Received(received));
                if self.may_answer(now, cause) {
                    self.reply(flow, seg, cause, Some((number, state)));
                }
            }
            Step::Ends(received, answer) => {
                self.trace_in(now, frame, about, Why::Received(received));
                if let Some((seg, cause)) = answer {
                    self.reply(flow, seg, cause, Some((number, state)));
                }
                self.forget_opening(now, index);
                return;
            }
            // Like Linux: the SYN-ACK comes again, and with its answer there may be room.
            Step::Completes if self.listeners.get(id).is_none_or(|listener| listener.is_full()) => {
                self.trace_in(now, frame, about, Why::Dropped(DropReason::Backlog));
                if self.config.tcp.abort_on_overflow {
                    let reset = Segment { seq: packet.seg.ack, flags: Flags::RST, ..Segment::default() };
                    self.reply(flow, reset, Cause::Rst(RstWhy::NoRoom), Some((number, state)));
                    self.forget_opening(now, index);
                    return;
                }
            }
            Step::Completes => {
                let opening = self.end_opening(index);
                return self.complete(now, frame, packet, opening);
            }
        }
        self.syn_queue.settle(now, index, &mut self.log);
    }

    /// The handshake is done: a connection takes its place in the accept queue, and the segment.
    fn complete(&mut self, now: Instant, frame: &Frame, packet: &Packet, opening: Opening) {
        let Opening { half, cfg, flow, number, listener: id, dscp, syn, .. } = opening;
        // The settings may have changed since its SYN came.
        let opts = match Arc::ptr_eq(&cfg, self.config_of(id)) {
            true => self.opts_of(id),
            false => Arc::new(Opts::new(&cfg)),
        };
        let opts = if dscp == opts.dscp { opts } else { Arc::new(Opts { dscp, ..*opts }) };
        let key = self.key_by_listener(Some(id), flow.remote().ip()).filter(|_| self.signs);
        let index = self.add_conn(now, flow, (Home::Waiting(id), number), cfg, |cx| half.complete(cx, opts));
        (self.conns[index].key, self.conns[index].syn) = (key, syn);
        self.enter_accept_queue(id, index);
        self.on_segment(now, frame, packet, index);
    }

    /// Takes an entry out of the SYN queue.
    fn end_opening(&mut self, index: u32) -> Opening {
        let opening = self.syn_queue.remove(index);
        if let Some(listener) = self.listeners.get_mut(opening.listener) {
            listener.ended(opening.half.is_old());
        }
        opening
    }

    /// A handshake has failed.
    fn forget_opening(&mut self, now: Instant, index: u32) {
        let opening = self.end_opening(index);
        write_notes(&mut self.log, &mut self.tracer, now, opening.number, &opening.flow);
        self.changes.note(&opening.flow);
    }

    /// The timer of a half-open connection may have expired.
    pub(super) fn on_syn_ack_due(&mut self, now: Instant, index: u32) {
        let opening = self.syn_queue.get_mut(index);
        let listener = self.listeners.get_mut(opening.listener);
        let retries = opening.cfg.synack_retries;
        let patience = listener.as_ref().map_or(0, |listener| listener.patience(retries));
        let was_old = opening.half.is_old();
        if !opening.with(now, &mut self.log, |half, cx| half.on_timeout(cx, patience)) {
            return self.forget_opening(now, index);
        }
        if let Some(listener) = listener
            && !was_old
            && opening.half.is_old()
        {
            listener.aged();
        }
        self.syn_queue.settle(now, index, &mut self.log);
    }

    /// The SYN-ACK of a half-open connection, which leaves now; what it notes is left in the log.
    pub(super) fn syn_ack(&mut self, now: Instant, index: u32) -> Reply {
        let opening = self.syn_queue.get_mut(index);
        let (flow, number) = (opening.flow, opening.number);
        let (mut seg, cause) = opening.with(now, &mut self.log, |half, cx| half.syn_ack(cx));
        if let (Some(experimental), Cause::SynAck { nth: 0 }) = (opening.half.gives_cookie(), cause)
            && let Some(listener) = self.listeners.get(opening.listener)
        {
            let with = listener.fast_open.cookie(&opening.cfg, &self.secrets, &flow, experimental);
            let options = Options { fast_open: with, ..seg.options };
            if options.encoded_len() <= Options::MOST {
                seg.options = options;
            }
        }
        let about = Some((number, opening.snapshot(now, &mut self.log)));
        let look = (opening.cfg.ttl, opening.dscp);
        self.syn_queue.settle(now, index, &mut self.log);
        let key = self.key_of(&flow, Some(Slot::HalfOpen(index)));
        Reply { flow, seg, cause, about, key, look }
    }

    /// RFC 9293 §3.9.2.2 would end a half-open connection by a hard error; anyone who guesses its number could then.
    pub(super) fn on_icmp_error_half_open(
        &mut self,
        now: Instant,
        frame: &Frame,
        quoted: Quoted,
        index: u32,
        said: &str,
    ) {
        let opening = self.syn_queue.get_mut(index);
        if let Problem::TooBig(mtu) = quoted.problem
            && quoted.seq == opening.half.iss()
        {
            opening.half.on_path_mtu(&opening.cfg, mtu);
        }
        let state = Some(opening.snapshot(now, &mut self.log));
        let about = About { conn: Some(opening.number), seg: None, state };
        self.trace_in(now, frame, about, Why::Host { word: "icmp", text: said });
    }
}

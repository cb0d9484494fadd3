//! How does a record look to a program? One JSON object per line, schema `tcpglass.event/1`.
//!
//! Every line has `schema`, `at_us` (microseconds since the origin of the clock), `kind` (`packet`, `event` or `end`)
//! and `conn` (a number or null). Sequence numbers `seq` and `ack` are relative as in the sentences, `raw_seq` and
//! `raw_ack` as on the wire. Numbers are integers; durations end in `_us`.

use super::encoder::{Encoder, Lost};
use super::record::{EventKind, EventRecord, PacketRecord, Piece};
use super::words::{self, Clean};
use crate::segment::Flags;
use crate::tcp::{Note, Snapshot};
use crate::time::{Duration, Instant};
use crate::wire::{Decoded, decode};
use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::net::SocketAddr;

/// The schema of every line; the number grows when a field changes its meaning or disappears.
pub const SCHEMA: &str = "tcpglass.event/1";

#[derive(Default)]
pub(super) struct Jsonl {
    text: String,
    lost: Lost,
    last: Instant,
}

/// One line being written: an object whose fields are put one by one.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    text: &'a mut String,
}

/// Writing to memory does not fail, so the results of the writes in here are not looked at.
impl<'a> Line<'a> {
    fn open(out: &'a mut Vec<u8>, text: &'a mut String, at: Instant, kind: &str, conn: Option<u32>) -> Self {
        let at = at.as_micros();
        let _ = write!(out, "{{\"schema\":\"{SCHEMA}\",\"at_us\":{at},\"kind\":\"{kind}\"");
        let mut line = Line { out, text };
        line.number_or_null("conn", conn);
        line
    }

    fn close(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn key(&mut self, key: &str) {
        let _ = write!(self.out, ",\"{key}\":");
    }

    fn number(&mut self, key: &str, n: impl Into<u64>) {
        self.key(key);
        let _ = write!(self.out, "{}", n.into());
    }

    fn number_or_null(&mut self, key: &str, n: Option<u32>) {
        match n {
            Some(n) => self.number(key, n),
            None => {
                self.key(key);
                self.out.extend_from_slice(b"null");
            }
        }
    }

    fn micros(&mut self, key: &str, d: Duration) {
        self.number(key, u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
    }

    fn word(&mut self, key: &str, value: impl Display) {
        self.text.clear();
        let _ = write!(self.text, "{value}");
        self.written(key);
    }

    /// Puts what stands in `text`.
    fn written(&mut self, key: &str) {
        self.key(key);
        let _ = serde_json::to_writer(&mut *self.out, self.text.as_str());
    }

    fn address(&mut self, key: &str, addr: Option<SocketAddr>) {
        if let Some(addr) = addr {
            self.word(key, addr);
        }
    }

    fn snapshot(&mut self, s: &Snapshot) {
        self.key("state");
        let _ = write!(self.out, "{{\"name\":\"{}\"", s.state.name());
        self.number("cwnd", s.cwnd);
        self.number_or_null("ssthresh", Some(s.ssthresh).filter(|&n| n != u32::MAX));
        self.number("flight", s.flight);
        match s.srtt {
            Some(srtt) => self.micros("srtt_us", srtt),
            None => self.number_or_null("srtt_us", None),
        }
        self.micros("rto_us", s.rto);
        self.number("rwnd", s.rwnd);
        self.number("unsent", s.unsent);
        self.word("limit", s.limit.word());
        if let Some(marks) = s.ecn {
            self.number("ecn_marks", marks);
        }
        self.out.push(b'}');
    }
}

impl Encoder for Jsonl {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn packet(&mut self, packet: &PacketRecord<'_>, piece: Piece, _len: usize, out: &mut Vec<u8>) {
        self.last = self.last.max(packet.at);
        let mut line = Line::open(out, &mut self.text, packet.at, "packet", packet.conn);
        line.word("direction", packet.direction.word());
        line.word("why", packet.why.word());
        line.text.clear();
        let _ = words::sentence(line.text, packet, piece);
        line.written("text");
        if let Ok(Decoded::Tcp(tcp)) = decode(packet.frame, false) {
            line.word("src", tcp.envelope.src);
            line.word("dst", tcp.envelope.dst);
        }
        line.number("bytes", packet.frame.len() as u64);
        if let Some(seg) = packet.seg {
            let relative = words::Numbers::of(packet, *seg);
            line.word("flags", seg.flags);
            line.number("seq", relative.start());
            line.number("raw_seq", seg.seq.0);
            if seg.has(Flags::ACK) {
                line.number("ack", relative.ack());
                line.number("raw_ack", seg.ack.0);
            }
            line.number("len", seg.len);
            line.number("window", seg.window);
        }
        if let Some(state) = &packet.state {
            line.snapshot(state);
        }
        line.close();
    }

    fn event(&mut self, event: &EventRecord<'_>, out: &mut Vec<u8>) {
        self.last = self.last.max(event.at);
        let mut line = Line::open(out, &mut self.text, event.at, "event", event.conn);
        line.word("event", words::event_word(&event.kind));
        line.text.clear();
        let _ = words::event(line.text, event);
        line.written("text");
        line.address("local", event.local);
        line.address("remote", event.remote);
        match event.kind {
            EventKind::Conn(note) => match note {
                Note::State { from, to } => {
                    line.word("from", from.name());
                    line.word("to", to.name());
                }
                Note::Hold { bytes, cork: _ } | Note::Destroyed { bytes } | Note::FastOpen { bytes } => {
                    line.number("bytes", bytes);
                }
                Note::AckTimer { delay } | Note::PersistTimer { delay } => line.micros("delay_us", delay),
                Note::RtoTimer { rto } => line.micros("rto_us", rto),
                Note::Cookie => {}
                Note::Mtu { mtu } => line.number("mtu", mtu),
                Note::Cwnd { from, to, ssthresh, why } => {
                    line.number("from", from);
                    line.number("to", to);
                    line.number_or_null("ssthresh", Some(ssthresh).filter(|&n| n != u32::MAX));
                    line.word("reason", words::cwnd_word(why));
                }
                Note::Closed { reason } => line.word("reason", words::close_word(reason)),
            },
            EventKind::Link { action, .. } => line.word("action", Clean(action)),
            EventKind::Port { .. } | EventKind::App { .. } => {}
        }
        line.close();
    }

    fn lost(&mut self, lost: Lost) {
        self.lost.add(lost);
    }

    /// A reader knows by this line that the file is complete.
    fn end(&mut self, out: &mut Vec<u8>) {
        let mut line = Line::open(out, &mut self.text, self.last, "end", None);
        line.number("lost_packets", self.lost.packets);
        line.number("lost_events", self.lost.events);
        line.close();
    }
}

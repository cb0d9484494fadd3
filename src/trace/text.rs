//! How does a record look on a terminal? One line, like tcpdump's, with the reason behind it.

use super::encoder::{Encoder, Lost};
use super::record::{EventRecord, PacketRecord, Piece};
use super::words::{self, Numbers};
use crate::segment::Flags;
use crate::time::Instant;
use crate::wire::{Decoded, decode};
use std::fmt::{self, Write};

#[derive(Default)]
pub(super) struct Text {
    line: String,
    lost: Lost,
    last: Instant,
}

impl Encoder for Text {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn packet(&mut self, packet: &PacketRecord<'_>, piece: Piece, _len: usize, out: &mut Vec<u8>) {
        self.last = self.last.max(packet.at);
        self.line.clear();
        // Writing to a String does not fail.
        let _ = packet_line(&mut self.line, packet, piece);
        out.extend_from_slice(self.line.as_bytes());
    }

    fn event(&mut self, event: &EventRecord<'_>, out: &mut Vec<u8>) {
        self.last = self.last.max(event.at);
        self.line.clear();
        let _ = event_line(&mut self.line, event);
        out.extend_from_slice(self.line.as_bytes());
    }

    fn lost(&mut self, lost: Lost) {
        self.lost.add(lost);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let Lost { packets, events } = self.lost;
        if self.lost != Lost::default() {
            self.line.clear();
            let _ = writeln!(
                self.line,
                "{} -- the output was too slow: {packets} packets and {events} events are missing",
                self.last
            );
            out.extend_from_slice(self.line.as_bytes());
        }
    }
}

fn who(out: &mut String, conn: Option<u32>) -> fmt::Result {
    match conn {
        Some(conn) => write!(out, " #{conn}"),
        None => Ok(()),
    }
}

fn packet_line(out: &mut String, packet: &PacketRecord<'_>, piece: Piece) -> fmt::Result {
    write!(out, "{} {:3}", packet.at, packet.direction.word())?;
    who(out, packet.conn)?;
    match decode(packet.frame, false) {
        Ok(Decoded::Tcp(tcp)) => {
            let seg = packet.seg.copied().unwrap_or(tcp.seg);
            let n = Numbers::of(packet, seg);
            write!(out, " {} > {} [{}]", tcp.envelope.src, tcp.envelope.dst, seg.flags)?;
            match seg.len {
                0 => write!(out, " seq {}", n.start())?,
                len => write!(out, " seq {}..{}", n.start(), n.start().wrapping_add(len))?,
            }
            if seg.has(Flags::ACK) {
                write!(out, " ack {}", n.ack())?;
            }
            write!(out, " win {} len {}", seg.window, seg.len)?;
        }
        Ok(Decoded::Fragment { src, dst }) => write!(out, " {src} > {dst} fragment")?,
        Ok(Decoded::Other { protocol, src, dst, body }) => {
            write!(out, " {src} > {dst} protocol {protocol} len {}", body.len())?;
        }
        Err(_) => write!(out, " {} bytes", packet.frame.len())?,
    }
    out.push_str("  ");
    words::why(out, packet, piece)?;
    out.push('\n');
    Ok(())
}

fn event_line(out: &mut String, event: &EventRecord<'_>) -> fmt::Result {
    write!(out, "{} --", event.at)?;
    who(out, event.conn)?;
    write!(out, " {}: ", words::event_word(&event.kind))?;
    words::event(out, event)?;
    out.push('\n');
    Ok(())
}

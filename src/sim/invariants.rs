//! Does a host keep TCP's promises? What must hold for every segment it sends, whatever the network did.

use super::node::HostId;
use crate::segment::{Flags, Segment};
use crate::seq::Seq;
use crate::wire::{self, Decoded};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;

/// Bytes of one direction that are kept to be compared; with more the check of contents ends for it.
const CONTENT_MAX: usize = 64 << 20;

/// Watches what hosts send, receive and read. It believes only what the wire shows.
#[derive(Default)]
pub(super) struct Monitor {
    sides: BTreeMap<(HostId, SocketAddr, SocketAddr), Side>,
    /// The last SYN that came for a connection, before or after there is a side to know it.
    heard: BTreeMap<(HostId, SocketAddr, SocketAddr), Peer>,
    contents: BTreeMap<(SocketAddr, SocketAddr), Content>,
}

/// A promise that was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Violation {
    rule: &'static str,
    detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule, self.detail)
    }
}

/// One end of one connection: what it has sent.
#[derive(Clone, Copy, Debug)]
struct Side {
    iss: Seq,
    /// The number after the highest one sent, and the offset in the stream that it stands for.
    max: Seq,
    max_offset: u64,
    fin: Option<Seq>,
    /// The highest acknowledgment, and the right edge of the window offered.
    ack: Option<Seq>,
    edge: Option<Seq>,
    shift: Option<u8>,
    peer: Option<Peer>,
    /// A reset was sent or came: it may be over.
    reset: bool,
}

/// What one end has received from the other.
#[derive(Clone, Copy, Debug)]
struct Peer {
    irs: Seq,
    max: Seq,
    fin: Option<Seq>,
    edge: Option<Seq>,
    shift: Option<u8>,
}

impl Monitor {
    /// A host puts `frame` on the wire. `shrinks`: its settings let it take back a window that it has offered.
    pub(super) fn sent(&mut self, host: HostId, frame: &[u8], shrinks: bool) -> Result<(), Violation> {
        let packet = match wire::decode(frame, true) {
            Ok(Decoded::Tcp(packet)) => packet,
            Ok(_) => return Ok(()),
            Err(reason) => {
                return Err(Violation {
                    rule: "a host sends well-formed packets with correct checksums",
                    detail: format!("{reason:?} of {frame:02x?}"),
                });
            }
        };
        let (src, dst, seg) = (packet.envelope.src, packet.envelope.dst, &packet.seg);
        if seg.has(Flags::SYN) && !seg.has(Flags::RST) {
            self.open((host, src, dst), seg);
        }
        let Some(side) = self.sides.get_mut(&(host, src, dst)) else { return Ok(()) };
        if seg.has(Flags::RST) {
            // It may answer what belongs to no connection, and follows rules of its own.
            side.reset = true;
            return Ok(());
        }
        let broken =
            |rule, side: &Side| Violation { rule, detail: format!("{src} > {dst}: {seg:?}, after {side:?}") };
        side.check(seg, shrinks).map_err(|rule| broken(rule, side))?;
        side.advance(seg);
        // A probe may repeat what is before the first byte: it has no offset.
        let offset = side.max_offset.checked_sub(u64::from(side.max.since(first_byte(seg))));
        let content = self.contents.entry((src, dst)).or_default();
        if offset.is_some_and(|offset| !content.merge(offset, packet.payload)) {
            return Err(broken("a byte that is sent again is the same byte", side));
        }
        Ok(())
    }

    /// A host gets `frame` from the wire. What is damaged teaches it nothing.
    pub(super) fn received(&mut self, host: HostId, frame: &[u8]) {
        let Ok(Decoded::Tcp(packet)) = wire::decode(frame, true) else { return };
        let (key, seg) = ((host, packet.envelope.dst, packet.envelope.src), &packet.seg);
        if seg.has(Flags::RST) {
            self.sides.entry(key).and_modify(|side| side.reset = true);
            return;
        }
        if seg.has(Flags::SYN) {
            self.heard.insert(key, Peer::new(seg));
        }
        let Some(side) = self.sides.get_mut(&key) else { return };
        if seg.has(Flags::SYN | Flags::ACK) && side.peer.is_none() && seg.ack == side.iss + 1 {
            side.peer = self.heard.remove(&key);
        }
        // What acknowledges the unsent is forged, and says nothing of the window (RFC 5961 §5.2).
        let sound = !seg.has(Flags::SYN) && seg.ack.le(side.max);
        if let Some(peer) = side.peer.as_mut().filter(|_| sound) {
            peer.advance(seg, side.shift.and(peer.shift).unwrap_or(0));
        }
    }

    /// The application on the `local` end has read `data` that `remote` sent.
    pub(super) fn read(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> Result<(), Violation> {
        let Some(content) = self.contents.get_mut(&(remote, local)) else { return Ok(()) };
        if content.take(data) {
            return Ok(());
        }
        Err(Violation {
            rule: "what is read is a prefix of what was sent",
            detail: format!("{remote} > {local}, {} bytes read before offset {}", data.len(), content.start),
        })
    }

    fn open(&mut self, key: (HostId, SocketAddr, SocketAddr), syn: &Segment) {
        let side = self.sides.entry(key).or_insert_with(|| Side::new(syn));
        // Without time between them, two connections may have the same number to begin with.
        let again = side.reset && (!syn.has(Flags::ACK) || self.heard.contains_key(&key));
        if side.iss != syn.seq || again {
            *side = Side::new(syn);
            self.contents.remove(&(key.1, key.2));
        }
        if syn.has(Flags::ACK) && side.peer.is_none() {
            side.peer = self.heard.remove(&key).filter(|peer| peer.irs + 1 == syn.ack);
        }
    }
}

/// The number of the first byte: that after the SYN.
fn first_byte(seg: &Segment) -> Seq {
    seg.seq + u32::from(seg.has(Flags::SYN))
}

impl Side {
    fn new(syn: &Segment) -> Side {
        Side {
            iss: syn.seq,
            max: syn.seq + 1,
            max_offset: 0,
            fin: None,
            ack: None,
            edge: None,
            shift: syn.options.window_scale,
            peer: None,
            reset: false,
        }
    }

    /// The window of `seg` ends here. That of a SYN is never scaled (RFC 7323 §2.2).
    fn edge_of(&self, seg: &Segment) -> Seq {
        let both = self.shift.filter(|_| self.peer.is_some_and(|p| p.shift.is_some()));
        let shift = if seg.has(Flags::SYN) { 0 } else { both.unwrap_or(0) };
        seg.ack + (u32::from(seg.window) << shift.min(14))
    }

    fn check(&self, seg: &Segment, shrinks: bool) -> Result<(), &'static str> {
        let data_end = first_byte(seg) + seg.len;
        if first_byte(seg).gt(self.max) {
            return Err("sequence numbers are sent without gaps");
        }
        match self.fin {
            Some(fin) if seg.len > 0 && data_end.gt(fin) => return Err("nothing follows the FIN"),
            Some(fin) if seg.has(Flags::FIN) && data_end != fin => return Err("the FIN keeps its number"),
            None if seg.has(Flags::FIN) && data_end.lt(self.max) => {
                return Err("the FIN follows the last byte");
            }
            _ => {}
        }
        let Some(peer) = &self.peer else { return Ok(()) };
        if let Some(edge) = peer.edge {
            // A closed window is probed with one byte beyond it (RFC 9293 §3.8.6.1).
            let allowed = edge + u32::from(seg.len == 1);
            if seg.len > 0 && data_end.gt(self.max) && data_end.gt(allowed) {
                return Err("no data is sent beyond the peer's window");
            }
        }
        if !seg.has(Flags::ACK) {
            return Ok(());
        }
        if seg.ack.gt(peer.max) || seg.ack.le(peer.irs) {
            return Err("only what was received is acknowledged");
        }
        if self.ack.is_some_and(|ack| seg.ack.lt(ack)) {
            return Err("acknowledgments do not go back");
        }
        // Behind the peer's FIN nothing can come, so the window means nothing any more.
        let over = shrinks || peer.fin.is_some_and(|fin| seg.ack.gt(fin));
        // A scaled window can name it only to the unit (RFC 7323 §2.4).
        let unit = self.edge_of(&Segment { window: 1, ..*seg }).since(seg.ack);
        if !over && self.edge.is_some_and(|edge| (self.edge_of(seg) + (unit - 1)).lt(edge)) {
            return Err("the window's right edge does not go back");
        }
        Ok(())
    }

    fn advance(&mut self, seg: &Segment) {
        if seg.end().gt(self.max) {
            self.max_offset += u64::from(seg.end().since(self.max));
            self.max = seg.end();
        }
        if seg.has(Flags::FIN) {
            self.fin = Some(first_byte(seg) + seg.len);
        }
        if seg.has(Flags::ACK) {
            self.ack = Some(seg.ack);
            let edge = self.edge_of(seg);
            self.edge = Some(self.edge.map_or(edge, |old| old.max(edge)));
        }
    }
}

impl Peer {
    fn new(syn: &Segment) -> Peer {
        let edge = syn.has(Flags::ACK).then(|| syn.ack + u32::from(syn.window));
        Peer { irs: syn.seq, max: syn.end(), fin: None, edge, shift: syn.options.window_scale }
    }

    fn advance(&mut self, seg: &Segment, shift: u8) {
        self.max = self.max.max(seg.end());
        if seg.has(Flags::FIN) {
            self.fin = Some(seg.end() - 1);
        }
        if seg.has(Flags::ACK) {
            let edge = seg.ack + (u32::from(seg.window) << shift.min(14));
            self.edge = Some(self.edge.map_or(edge, |old| old.max(edge)));
        }
    }
}

/// The bytes of one direction that were sent and not yet read.
#[derive(Default)]
struct Content {
    /// The offset of the first of them.
    start: u64,
    bytes: VecDeque<u8>,
    given_up: bool,
}

impl Content {
    /// Compares `data` at `offset` with what is known and learns the rest. False on a difference.
    fn merge(&mut self, offset: u64, data: &[u8]) -> bool {
        // What has been read already was compared then.
        let gone = usize::try_from(self.start.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (Some(data), false) = (data.get(gone..), self.given_up) else { return true };
        let at = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let Some(known) = self.bytes.len().checked_sub(at) else { return true };
        let (again, new) = data.split_at(known.min(data.len()));
        let same = self.bytes.range(at..).zip(again).all(|(a, b)| a == b);
        self.bytes.extend(new);
        if self.bytes.len() > CONTENT_MAX {
            (self.given_up, self.bytes) = (true, VecDeque::new());
        }
        same
    }

    /// Takes `data` off the front. False if it is not there.
    fn take(&mut self, data: &[u8]) -> bool {
        self.start += data.len() as u64;
        if self.given_up {
            return true;
        }
        let same = self.bytes.len() >= data.len() && self.bytes.iter().zip(data).all(|(a, b)| a == b);
        self.bytes.drain(..data.len().min(self.bytes.len()));
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Ecn, Options};
    use crate::wire::Envelope;

    const HOST: HostId = HostId(0);
    const A: Flags = Flags::ACK;
    const FIN: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);

    fn addrs() -> (SocketAddr, SocketAddr) {
        (([10, 0, 0, 1], 1000).into(), ([10, 0, 0, 2], 80).into())
    }

    fn frame(src: SocketAddr, dst: SocketAddr, seg: &Segment, payload: &[u8]) -> Vec<u8> {
        let envelope = Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 0, hops: 64 };
        let seg = Segment { len: payload.len() as u32, ..*seg };
        let mut frame = vec![0; wire::encoded_len(&envelope, &seg)];
        wire::encode(&mut frame, &envelope, &seg, [payload, &[]]);
        frame
    }

    /// A host whose connection is open: its first byte has the number 101, its peer's the number 501, and windows count
    /// in units of 2 bytes. The peer has offered 20 bytes, the host 100.
    fn open() -> Monitor {
        let (us, them) = addrs();
        let mut monitor = Monitor::default();
        let options = Options { window_scale: Some(1), ..Options::default() };
        let syn = Segment { seq: Seq(100), flags: Flags::SYN, window: 100, options, ..Segment::default() };
        monitor.sent(HOST, &frame(us, them, &syn, b""), false).unwrap();
        let answer = Segment { seq: Seq(500), ack: Seq(101), flags: Flags::SYN | A, window: 20, ..syn };
        monitor.received(HOST, &frame(them, us, &answer, b""));
        send(&mut monitor, (0, 0), A, 50, b"").unwrap();
        monitor
    }

    /// The host sends `data` from `offset` on and acknowledges so many bytes with so many units of window.
    fn send(
        monitor: &mut Monitor,
        (offset, acked): (u32, u32),
        flags: Flags,
        window: u16,
        data: &[u8],
    ) -> Result<(), Violation> {
        let (us, them) = addrs();
        let (seq, ack) = (Seq(101) + offset, Seq(501) + acked);
        let seg = Segment { seq, ack, flags, window, ..Segment::default() };
        monitor.sent(HOST, &frame(us, them, &seg, data), false)
    }

    /// The same for its peer.
    fn receive(monitor: &mut Monitor, (offset, acked): (u32, u32), flags: Flags, window: u16, data: &[u8]) {
        let (us, them) = addrs();
        let (seq, ack) = (Seq(501) + offset, Seq(101) + acked);
        let seg = Segment { seq, ack, flags, window, ..Segment::default() };
        monitor.received(HOST, &frame(them, us, &seg, data));
    }

    #[test]
    fn a_host_that_keeps_its_promises_is_not_accused() {
        let mut m = open();
        send(&mut m, (0, 0), A, 50, b"twenty bytes of data").unwrap();
        send(&mut m, (20, 0), A, 50, b"?").unwrap(); // a probe of the full window
        receive(&mut m, (0, 21), A, 50, b"ten bytes.");
        send(&mut m, (21, 10), A, 45, b"").unwrap();
        send(&mut m, (10, 10), A, 45, b"es of data?and more").unwrap(); // sent again and continued
        m.read(addrs().0, addrs().1, b"").unwrap();
        send(&mut m, (29, 10), FIN, 45, b"").unwrap();
        send(&mut m, (28, 10), FIN, 45, b"e").unwrap();
        receive(&mut m, (10, 30), FIN, 50, b"");
        send(&mut m, (30, 11), A, 0, b"").unwrap(); // behind a FIN there is no window
        let mut other = open();
        other
            .sent(
                HOST,
                &frame(addrs().0, addrs().1, &Segment { flags: Flags::RST, ..Segment::default() }, b""),
                false,
            )
            .unwrap();
    }

    type Act = fn(&mut Monitor) -> Result<(), Violation>;

    #[test]
    fn a_broken_promise_is_named() {
        let table: &[(&str, Act)] = &[
            ("sequence numbers are sent without gaps", |m| send(m, (1, 0), A, 50, b"x")),
            ("sequence numbers are sent without gaps", |m| send(m, (1, 0), A, 50, b"")),
            ("no data is sent beyond the peer's window", |m| send(m, (0, 0), A, 50, &[0; 21])),
            ("a byte that is sent again is the same byte", |m| {
                send(m, (0, 0), A, 50, b"four")?;
                send(m, (2, 0), A, 50, b"!")
            }),
            ("nothing follows the FIN", |m| {
                send(m, (0, 0), FIN, 50, b"last")?;
                send(m, (4, 0), A, 50, b"word")
            }),
            ("the FIN keeps its number", |m| {
                send(m, (0, 0), FIN, 50, b"last")?;
                send(m, (0, 0), FIN, 50, b"las")
            }),
            ("the FIN follows the last byte", |m| {
                send(m, (0, 0), A, 50, b"last")?;
                send(m, (0, 0), FIN, 50, b"la")
            }),
            ("only what was received is acknowledged", |m| {
                receive(m, (0, 0), A, 10, b"four");
                send(m, (0, 5), A, 50, b"")
            }),
            ("acknowledgments do not go back", |m| {
                receive(m, (0, 0), A, 10, b"four");
                send(m, (0, 4), A, 50, b"")?;
                send(m, (0, 3), A, 60, b"")
            }),
            ("the window's right edge does not go back", |m| send(m, (0, 0), A, 49, b"")),
            ("a host sends well-formed packets with correct checksums", |m| {
                m.sent(HOST, &[0x45, 0, 0, 20], false)
            }),
            ("what is read is a prefix of what was sent", |m| {
                send(m, (0, 0), A, 50, b"four")?;
                m.read(addrs().1, addrs().0, b"fo")?;
                m.read(addrs().1, addrs().0, b"ur more")
            }),
        ];
        for (rule, act) in table {
            let violation = act(&mut open()).expect_err(rule);
            assert_eq!(&violation.rule, rule, "{violation}");
        }
    }
}

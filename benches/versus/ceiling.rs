//! How fast could anything be on this device? The same system calls and copies as ours, a handshake and numbers; nothing else:
//! no timers, no losses, no congestion, no options but the window scale.
//!
//! It takes what waits, up to [`BATCH`] packets, then acknowledges once for each connection, and sends as long as windows
//! allow before it looks again. Large payload goes out from where it is.

use super::{Run, Work};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::phy::{Device, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant as Clock};
use tcpglass::segment::{Ecn, Flags, Options, Segment};
use tcpglass::seq::Seq;
use tcpglass::stack::{Gather, Outlet};
use tcpglass::tun::Tun;
use tcpglass::wire::{self, Decoded, Envelope};

const SHIFT: u8 = 7;
/// What the window field says: 4 MiB with offload, what the device's queue holds without.
const WINDOWS: [u16; 2] = [(512 << 10 >> SHIFT) as u16, (4 << 20 >> SHIFT) as u16];
const BODY: usize = 200;
/// Packets in one turn, in and out.
const BATCH: usize = 64;
/// From so many bytes on payload is not copied into the packet.
const GATHERED: u32 = 2048;

struct Flow {
    nxt: Seq,
    una: Seq,
    rcv: Seq,
    window: u32,
    shift: u8,
    sends: bool,
    /// It stands in the list of those that are to be acknowledged.
    owes: bool,
}

struct Ceiling {
    tun: Tun,
    addr: SocketAddr,
    flows: HashMap<SocketAddr, Flow>,
    /// Who is to be acknowledged at the end of the turn.
    owed: Vec<SocketAddr>,
    /// Whose window has room.
    ready: Vec<SocketAddr>,
    window: u16,
    mss: u32,
    largest: u32,
    payload: Vec<u8>,
    sink: Vec<u8>,
    response: Vec<u8>,
    work: Work,
    partial: bool,
}

/// Runs until the process ends.
pub fn run(run: &Run, tun: Tun, addr: SocketAddr) -> ! {
    let mss = u32::from(tun.mtu()) - 40;
    let body = "x".repeat(BODY);
    let head = "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: ceiling\r\n\
                Content-Type: application/octet-stream";
    let mut ceiling = Ceiling {
        addr,
        flows: HashMap::new(),
        owed: Vec::new(),
        ready: Vec::new(),
        window: WINDOWS[usize::from(run.offload)],
        mss,
        largest: if run.offload { (65_535 - 40) / mss * mss } else { mss },
        payload: vec![7; 256 << 10],
        sink: vec![0; 64 << 10],
        response: format!("{head}\r\nContent-Length: {BODY}\r\n\r\n{body}").into_bytes(),
        work: run.work,
        partial: tun.offloads(),
        tun,
    };
    ceiling.turns(Duration::from_micros(run.busy_poll))
}

impl Ceiling {
    fn turns(&mut self, busy_poll: Duration) -> ! {
        loop {
            let mut busy = false;
            for _ in 0..BATCH {
                if !self.receive() {
                    break;
                }
                busy = true;
            }
            self.acknowledge();
            if matches!(self.work, Work::Out(_)) {
                let mut left = BATCH;
                while left > 0 && self.send(&mut left) {
                    busy = true;
                }
            }
            if !busy {
                self.wait(busy_poll);
            }
        }
    }

    fn wait(&self, busy_poll: Duration) {
        let mut fds = [PollFd::new(&self.tun, PollFlags::IN)];
        let until = Clock::now() + busy_poll;
        while !busy_poll.is_zero() && Clock::now() < until {
            if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) != Ok(0) {
                return;
            }
        }
        let _ = poll(&mut fds, None);
    }

    fn receive(&mut self) -> bool {
        let Some((rx, _)) = self.tun.receive(Instant::ZERO) else { return false };
        let (flows, sink, owed) = (&mut self.flows, &mut self.sink, &mut self.owed);
        let mut answer = None;
        rx.consume(|frame| {
            let Ok(Decoded::Tcp(packet)) = wire::decode(frame, !self.partial) else { return };
            let (seg, from) = (packet.seg, packet.envelope.src);
            if seg.has(Flags::SYN) {
                let flow = Flow {
                    nxt: Seq(2),
                    una: Seq(1),
                    rcv: seg.seq + 1,
                    window: seg.window.into(),
                    shift: seg.options.window_scale.unwrap_or(0),
                    sends: false,
                    owes: false,
                };
                flows.insert(from, flow);
                answer = Some((from, Flags::SYN, 0));
                return;
            }
            let Some(flow) = flows.get_mut(&from) else { return };
            if seg.has(Flags::RST) {
                flows.remove(&from);
                return;
            }
            flow.una = seg.ack;
            flow.window = u32::from(seg.window) << flow.shift;
            flow.sends = true;
            sink[..packet.payload.len()].copy_from_slice(packet.payload);
            if seg.seq == flow.rcv {
                flow.rcv = seg.end();
            }
            let requests = match self.work {
                Work::Kept(_) | Work::Fresh(_) => {
                    packet.payload.windows(4).filter(|w| *w == b"\r\n\r\n").count()
                }
                _ => 0,
            };
            flow.owes &= requests == 0;
            if requests > 0 {
                // A connection for each request is closed by the server, as the others do.
                let fin = if matches!(self.work, Work::Fresh(_)) { Flags::FIN } else { Flags::NONE };
                answer = Some((from, Flags::PSH | fin, requests));
            } else if seg.seq_len() > 0 && !std::mem::replace(&mut flow.owes, true) {
                owed.push(from);
            }
        });
        match answer {
            Some((to, flags, 0)) => self.put(to, flags, 0, None),
            Some((to, flags, requests)) => {
                for _ in 0..requests {
                    let response = std::mem::take(&mut self.response);
                    self.put(to, flags, response.len() as u32, Some(&response));
                    self.response = response;
                }
            }
            None => {}
        }
        true
    }

    /// Once for each connection of which something came.
    fn acknowledge(&mut self) {
        let mut owed = std::mem::take(&mut self.owed);
        for to in owed.drain(..) {
            if self.flows.get_mut(&to).is_some_and(|flow| std::mem::take(&mut flow.owes)) {
                self.put(to, Flags::NONE, 0, None);
            }
        }
        self.owed = owed;
    }

    /// One packet to each peer whose window takes it; false if there is none.
    fn send(&mut self, left: &mut usize) -> bool {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        for (to, flow) in &self.flows {
            if flow.sends && flow.nxt.since(flow.una) + self.largest <= flow.window {
                ready.push(*to);
            }
        }
        for to in &ready {
            self.put(*to, Flags::NONE, self.largest, None);
        }
        *left = left.saturating_sub(ready.len());
        let any = !ready.is_empty();
        self.ready = ready;
        any
    }

    fn put(&mut self, to: SocketAddr, flags: Flags, len: u32, payload: Option<&[u8]>) {
        let Some(flow) = self.flows.get_mut(&to) else { return };
        let syn = flags.contains(Flags::SYN);
        let options = if syn {
            Options { mss: Some(self.mss as u16), window_scale: Some(SHIFT), ..Options::default() }
        } else {
            Options::default()
        };
        let seg = Segment {
            seq: if syn { Seq(1) } else { flow.nxt },
            ack: flow.rcv,
            flags: flags | Flags::ACK,
            window: if syn { u16::MAX } else { self.window },
            options,
            len,
            ..Segment::default()
        };
        flow.nxt = seg.end().max(flow.nxt);
        let envelope = Envelope { src: self.addr, dst: to, ecn: Ecn::NotEct, dscp: 0, ident: 0, hops: 64 };
        let Some(mut token) = self.tun.room(Instant::ZERO) else { return };
        let mut meta = PacketMeta::default();
        if len > self.mss {
            meta.segmentation_offload_size = NonZeroU16::new(self.mss as u16);
        }
        token.set_meta(meta);
        let bytes = payload.unwrap_or(&self.payload[..len as usize]);
        let whole = wire::encoded_len(&envelope, &seg);
        if self.partial && len >= GATHERED {
            token.gather(whole - len as usize, [bytes, &[]], |head| {
                wire::encode_head(head, &envelope, &seg);
            });
        } else {
            token.consume(whole, |buf| match self.partial {
                true => wire::encode_partial(buf, &envelope, &seg, [bytes, &[]]),
                false => wire::encode(buf, &envelope, &seg, [bytes, &[]]),
            });
        }
        if flags.contains(Flags::FIN) {
            self.flows.get_mut(&to).expect("just used").sends = false;
        }
    }
}

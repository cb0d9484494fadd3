//! How does a stack run without a network? On a device that is two queues.

use super::meta::meta;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;
use std::num::{NonZeroU16, NonZeroUsize};

/// A device for raw IP packets whose other end is in the caller's hands: for the simulator, scripts and tests.
///
/// Both queues are bounded. A full outgoing queue is back-pressure, as with a real device; a frame for a full
/// incoming one is refused. Buffers are used again: once warm, nothing allocates.
#[derive(Debug)]
pub struct QueueDevice {
    mtu: usize,
    capacity: usize,
    offload: Option<NonZeroUsize>,
    incoming: Lane,
    outgoing: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    frames: VecDeque<(Vec<u8>, Option<NonZeroU16>)>,
    spare: Vec<Vec<u8>>,
}

/// What [`QueueDevice::pop`] took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Popped {
    /// Payload bytes per wire segment if the frame is a super-segment.
    pub gso_size: Option<NonZeroU16>,
}

impl QueueDevice {
    /// A device for packets of up to `mtu` bytes whose queues hold up to `capacity` frames each.
    pub fn new(mtu: u16, capacity: usize) -> QueueDevice {
        QueueDevice {
            mtu: mtu.into(),
            capacity: capacity.max(1),
            offload: None,
            incoming: Lane::default(),
            outgoing: Lane::default(),
        }
    }

    /// The same, taking super-segments of up to `max_packet` bytes with headers.
    pub fn with_offload(mut self, max_packet: u32) -> QueueDevice {
        self.offload = NonZeroUsize::new(max_packet as usize);
        self
    }

    /// Hands a frame to the stack; false, and the frame is lost, when the queue is full.
    pub fn push(&mut self, frame: &[u8]) -> bool {
        self.push_offloaded(frame, None)
    }

    /// Hands a frame to the stack that may stand for several wire segments of `gso_size` payload bytes each.
    pub fn push_offloaded(&mut self, frame: &[u8], gso_size: Option<NonZeroU16>) -> bool {
        let room = self.incoming.frames.len() < self.capacity;
        if room {
            let mut buf = self.incoming.buffer();
            buf.extend_from_slice(frame);
            self.incoming.frames.push_back((buf, gso_size));
        }
        room
    }

    /// Takes the oldest frame that the stack has sent: `frame` becomes its bytes.
    pub fn pop(&mut self, frame: &mut Vec<u8>) -> Option<Popped> {
        let (mut buf, gso_size) = self.outgoing.frames.pop_front()?;
        std::mem::swap(frame, &mut buf);
        self.outgoing.spare.push(buf);
        Some(Popped { gso_size })
    }

    /// The oldest frame that the stack has sent.
    pub fn front(&self) -> Option<&[u8]> {
        self.outgoing.frames.front().map(|(frame, _)| frame.as_slice())
    }

    /// Frames that the stack has sent and nobody has taken.
    pub fn outgoing(&self) -> usize {
        self.outgoing.frames.len()
    }

    /// Frames that the stack has not received yet.
    pub fn incoming(&self) -> usize {
        self.incoming.frames.len()
    }

    /// Frames that the stack can send before the queue is full.
    pub fn room(&self) -> usize {
        self.capacity - self.outgoing.frames.len()
    }
}

impl Lane {
    fn buffer(&mut self) -> Vec<u8> {
        let mut buf = self.spare.pop().unwrap_or_default();
        buf.clear();
        buf
    }
}

/// A received frame; [`RxToken::consume`] gives it.
#[derive(Debug)]
pub struct QueueRx<'a>(&'a mut Lane);

impl RxToken for QueueRx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let Some((buf, _)) = self.0.frames.pop_front() else { return f(&[]) };
        let result = f(&buf);
        self.0.spare.push(buf);
        result
    }

    fn meta(&self) -> PacketMeta {
        meta(self.0.frames.front().and_then(|&(_, gso_size)| gso_size), false)
    }
}

/// Room for one frame.
#[derive(Debug)]
pub struct QueueTx<'a> {
    lane: &'a mut Lane,
    gso_size: Option<NonZeroU16>,
}

impl TxToken for QueueTx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        // Written over as a whole: what it held before needs no zeros.
        let mut buf = self.lane.spare.pop().unwrap_or_default();
        buf.resize(len, 0);
        let result = f(&mut buf);
        self.lane.frames.push_back((buf, self.gso_size));
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.gso_size = meta.segmentation_offload_size;
    }
}

impl Device for QueueDevice {
    type RxToken<'a> = QueueRx<'a>;
    type TxToken<'a> = QueueTx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(QueueRx<'_>, QueueTx<'_>)> {
        let ready = !self.incoming.frames.is_empty() && self.outgoing.frames.len() < self.capacity;
        ready.then_some((QueueRx(&mut self.incoming), QueueTx { lane: &mut self.outgoing, gso_size: None }))
    }

    fn transmit(&mut self, _: Instant) -> Option<QueueTx<'_>> {
        let room = self.outgoing.frames.len() < self.capacity;
        room.then_some(QueueTx { lane: &mut self.outgoing, gso_size: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ip;
        caps.max_transmission_unit = self.mtu;
        if self.offload.is_some() {
            caps.segmentation.tcpv4 = self.offload;
            caps.segmentation.tcpv6 = self.offload;
        }
        caps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_queues_are_bounded_and_keep_their_order() {
        let mut device = QueueDevice::new(1500, 2);
        assert_eq!([device.push(b"one"), device.push(b"two"), device.push(b"three")], [true, true, false]);
        for expected in [&b"one"[..], b"two"] {
            let (rx, tx) = device.receive(Instant::ZERO).unwrap();
            rx.consume(|frame| assert_eq!(frame, expected));
            tx.consume(expected.len(), |buf| buf.copy_from_slice(expected));
        }
        assert!(device.transmit(Instant::ZERO).is_none());
        assert!(device.push(b"four") && device.receive(Instant::ZERO).is_none(), "no room for an answer");
        let mut frame = Vec::new();
        for expected in [&b"one"[..], b"two"] {
            assert_eq!(device.pop(&mut frame), Some(Popped { gso_size: None }));
            assert_eq!(frame, expected);
        }
        assert_eq!(device.pop(&mut frame), None);
        assert_eq!((device.incoming(), device.outgoing(), device.room()), (1, 0, 2));
    }

    #[test]
    fn a_token_that_is_not_used_sends_and_loses_nothing() {
        let mut device = QueueDevice::new(1500, 2);
        device.push(b"one");
        assert!(device.receive(Instant::ZERO).is_some());
        assert!(device.transmit(Instant::ZERO).is_some());
        assert_eq!((device.incoming(), device.outgoing()), (1, 0));
    }
}

//! In which order did the packets pass? A file that several queues were written into is not quite in order.

use super::read::Packet;
use crate::time::Duration;
use std::collections::VecDeque;

/// Packets that are held back so that earlier ones may still come.
const HELD: usize = 512;
/// Their bytes.
const BYTES: usize = 4 << 20;

/// Packets that were not in the order of their times.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Disorder {
    /// They were put in order.
    pub sorted: u64,
    /// They came too late for that.
    pub beyond: u64,
    /// How much too late, at the most.
    pub worst: Duration,
}

/// A packet that is held back.
struct Held {
    at: Duration,
    frame: u64,
    link: u32,
    length: u32,
    data: Vec<u8>,
}

/// Hands packets on in the order of their times, as far as that can be with few of them held back.
#[derive(Default)]
pub(super) struct Sorter {
    held: VecDeque<Held>,
    bytes: usize,
    /// Buffers to be used again.
    free: Vec<Vec<u8>>,
    last: Duration,
    pub disorder: Disorder,
}

impl Sorter {
    /// Takes frame number `frame`; whatever is due goes to `each`.
    pub fn add(&mut self, packet: Packet<'_>, frame: u64, each: &mut dyn FnMut(Packet<'_>, u64)) {
        // A stack of ours writes in order, and what it says of a packet need not be kept then.
        if packet.stated.is_some() {
            self.flush(each);
            self.last = self.last.max(packet.at);
            return each(packet, frame);
        }
        if packet.at < self.last {
            self.disorder.beyond += 1;
            self.disorder.worst = self.disorder.worst.max(self.last - packet.at);
        }
        let mut data = self.free.pop().unwrap_or_default();
        data.clear();
        data.extend_from_slice(packet.data);
        self.bytes += data.len();
        let held = Held { at: packet.at, frame, link: packet.link, length: packet.length, data };
        let later = self.held.iter().rev().take_while(|other| other.at > held.at).count();
        if later > 0 {
            self.disorder.sorted += u64::from(packet.at >= self.last);
            self.held.insert(self.held.len() - later, held);
        } else {
            self.held.push_back(held);
        }
        while self.held.len() > HELD || self.bytes > BYTES {
            self.release(each);
        }
    }

    /// Nothing earlier comes any more.
    pub fn flush(&mut self, each: &mut dyn FnMut(Packet<'_>, u64)) {
        while !self.held.is_empty() {
            self.release(each);
        }
    }

    fn release(&mut self, each: &mut dyn FnMut(Packet<'_>, u64)) {
        let Some(Held { at, frame, link, length, data }) = self.held.pop_front() else { return };
        self.bytes -= data.len();
        self.last = self.last.max(at);
        each(Packet { at, link, data: &data, length, stated: None }, frame);
        self.free.push(data);
    }
}

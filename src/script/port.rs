//! Where do the stack's packets go? Into a list, with the cause that the trace gives for each.

use crate::trace::{Direction, Record, Sink};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// The device that the stack sends to: a list.
pub struct Port {
    mtu: u16,
    sent: Vec<Vec<u8>>,
}

impl Port {
    /// A device with this MTU in bytes.
    pub fn new(mtu: u16) -> Port {
        Port { mtu, sent: Vec::new() }
    }

    /// What was sent since the last time.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent)
    }
}

impl Device for Port {
    type RxToken<'a> = Nothing;
    type TxToken<'a> = Slot<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Nothing, Slot<'_>)> {
        None
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Slot<'_>> {
        Some(Slot(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(self.mtu);
        capabilities
    }
}

/// A frame that is never there: lines are handed to the stack directly.
pub enum Nothing {}

impl phy::RxToken for Nothing {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, _: F) -> R {
        match self {}
    }
}

/// Where a packet goes.
pub struct Slot<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Slot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}

/// Why each packet was sent, in their order: what the trace says.
#[derive(Clone, Default)]
pub struct Causes(Arc<Mutex<VecDeque<Sent>>>);

/// A frame and why it was sent.
type Sent = (Vec<u8>, String);

impl Causes {
    /// Why this frame was sent. What the trace saw before it never came to the device: the stack sent it to itself.
    pub fn take(&self, frame: &[u8]) -> String {
        let Ok(mut list) = self.0.lock() else { return String::new() };
        while let Some((sent, why)) = list.pop_front() {
            if sent == frame {
                return why;
            }
        }
        String::new()
    }
}

impl Sink for Causes {
    fn record(&mut self, record: &Record<'_>) {
        let Record::Packet(packet) = record else { return };
        if packet.direction != Direction::Out {
            return;
        }
        if let Ok(mut list) = self.0.lock() {
            list.push_back((packet.frame.to_vec(), format!("why={}", packet.why.word())));
        }
    }

    fn finish(self: Box<Self>) -> std::io::Result<()> {
        Ok(())
    }
}

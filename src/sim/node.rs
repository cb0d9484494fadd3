//! What can sit at a simulated address, and what is common to all of it?

use super::host::Host;
use super::name_server::NameServer;
use super::reference::Reference;
use crate::stack::queue_device::QueueDevice;
use crate::time::Instant;
use std::num::NonZeroU16;

/// A host in a [`World`](super::World).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(pub(super) u16);

/// A reference host in a [`World`](super::World).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReferenceId(pub(super) u16);

/// A name server in a [`World`](super::World).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NameServerId(pub(super) u16);

/// Any node of a [`World`](super::World).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeId(pub(super) u16);

impl From<HostId> for NodeId {
    fn from(id: HostId) -> NodeId {
        NodeId(id.0)
    }
}

impl From<ReferenceId> for NodeId {
    fn from(id: ReferenceId) -> NodeId {
        NodeId(id.0)
    }
}

impl From<NameServerId> for NodeId {
    fn from(id: NameServerId) -> NodeId {
        NodeId(id.0)
    }
}

/// Packets that a node can send at one time; beyond it waits for its next turn.
const DEVICE_QUEUE: usize = 1 << 16;

pub(super) enum Node {
    Host(Box<Host>),
    Reference(Box<Reference>),
    NameServer(Box<NameServer>),
}

/// A node's place in the network.
pub(super) struct Slot {
    pub node: Node,
    pub device: QueueDevice,
    /// When the agenda has it.
    pub arranged: Option<Instant>,
    /// It stands in the world's list of that name.
    pub touched: bool,
    joins: bool,
}

impl Slot {
    pub fn new(node: Node, mtu: u16) -> Slot {
        Slot {
            node,
            device: QueueDevice::new(mtu, DEVICE_QUEUE),
            arranged: None,
            touched: false,
            joins: false,
        }
    }

    /// The host, if it is one.
    pub fn host(&mut self) -> Option<&mut Host> {
        match &mut self.node {
            Node::Host(host) => Some(host),
            Node::Reference(_) | Node::NameServer(_) => None,
        }
    }

    /// The host, to look at.
    pub fn peek_host(&self) -> Option<&Host> {
        match &self.node {
            Node::Host(host) => Some(host),
            Node::Reference(_) | Node::NameServer(_) => None,
        }
    }

    /// Takes a packet out of the network, or several that were joined, of `size` bytes of payload each; of `intact` ones the
    /// checksum is known to be right.
    pub fn on_frame(&mut self, now: Instant, frame: &[u8], size: Option<NonZeroU16>, intact: bool) {
        match &mut self.node {
            Node::Host(host) => host.stack().on_offloaded_frame(now, frame, size, intact),
            Node::Reference(_) => drop(self.device.push(frame)),
            Node::NameServer(server) => server.on_frame(now, frame),
        }
    }

    /// Whether its device joins packets.
    pub fn joins(&self) -> bool {
        self.joins
    }

    pub fn on_timeout(&mut self, now: Instant) {
        if let Some(host) = self.host() {
            host.on_timeout(now);
        }
    }

    /// Works, and hands what it sends to its device.
    pub fn turn(&mut self, now: Instant) {
        match &mut self.node {
            Node::Host(host) => host.turn(now, &mut self.device),
            Node::Reference(reference) => reference.turn(now, &mut self.device),
            Node::NameServer(server) => server.turn(now, &mut self.device),
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.node {
            Node::Host(host) => host.next_deadline(),
            Node::Reference(reference) => reference.next_deadline(),
            Node::NameServer(server) => server.next_deadline(),
        }
    }

    /// Lets it send and receive super-segments, or no longer.
    pub fn set_offload(&mut self, mtu: u16, on: bool) {
        let plain = QueueDevice::new(mtu, DEVICE_QUEUE);
        self.device = if on { plain.with_offload(65_535) } else { plain };
        self.joins = on;
    }
}

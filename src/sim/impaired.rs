//! How does a real device behave as if a bad network lay behind it? A link on each side of its packets.

use super::incident::Incident;
use super::link::{Link, LinkConfig, Totals};
use crate::parcel::Intake;
use crate::stack::{Copying, Gather, Outlet};
use crate::time::{Duration, Instant};
use crate::trace::Direction;
use crate::wire;
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant as DeviceInstant;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};

/// Packets taken from the device in one turn, so that a flood does not keep the rest waiting.
const INTAKE_MAX: usize = 64;
/// Incidents kept until they are taken; more are counted.
const INCIDENTS_MAX: usize = 4096;

/// A device behind a link in each direction.
///
/// With an ideal link packets pass as if it were not there, offload included. With any other the device must be opened
/// without offload: a link carries wire segments with complete checksums. The driver calls [`Impaired::settle`] in each
/// turn and when [`Impaired::next_deadline`] has come.
pub struct Impaired<D> {
    inbound: Option<Link>,
    received: Vec<u8>,
    out: Outbound<D>,
}

/// What sending needs, apart from what receiving holds.
pub struct Outbound<D> {
    device: D,
    link: Option<Link>,
    /// The packet being written by the stack, and the one that waits for the device.
    draft: Vec<u8>,
    due: Vec<u8>,
    is_due: bool,
    blocked: bool,
    incidents: Incidents,
}

#[derive(Default)]
struct Incidents {
    kept: VecDeque<(Direction, Incident)>,
    missed: u64,
}

impl Incidents {
    fn push(&mut self, direction: Direction, incident: Incident) {
        if self.kept.len() < INCIDENTS_MAX {
            self.kept.push_back((direction, incident));
        } else {
            self.missed += 1;
        }
    }
}

impl<D: Device> Impaired<D> {
    /// Puts `device` behind links whose faults follow from `seed`.
    pub fn new(device: D, config: &LinkConfig, seed: u64) -> Impaired<D> {
        let link = |salt| (!config.is_ideal()).then(|| Link::new(config, seed, salt));
        Impaired {
            inbound: link(0),
            received: Vec::new(),
            out: Outbound {
                device,
                link: link(1),
                draft: Vec::new(),
                due: Vec::new(),
                is_due: false,
                blocked: false,
                incidents: Incidents::default(),
            },
        }
    }

    /// The device itself.
    pub fn device(&self) -> &D {
        &self.out.device
    }

    /// The device itself. What is sent on it does not pass the link.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.out.device
    }

    /// What the links have done so far, received and sent packets apart. Zeros for an ideal link.
    pub fn totals(&self) -> (Totals, Totals) {
        let of = |link: &Option<Link>| link.as_ref().map(Link::totals).unwrap_or_default();
        (of(&self.inbound), of(&self.out.link))
    }

    /// Takes what the links did to packets since the last call, oldest first.
    pub fn take_incidents(&mut self) -> impl Iterator<Item = (Direction, Incident)> + '_ {
        self.out.incidents.kept.drain(..)
    }

    /// Incidents that were not kept because nobody took them.
    pub fn incidents_missed(&self) -> u64 {
        self.out.incidents.missed
    }

    /// When a packet comes out of a link: rounded up to the microseconds that devices are told, so that it is there
    /// when the driver comes back. A device without room does not count: its packets wait for it, not for a time.
    pub fn next_deadline(&self) -> Option<Instant> {
        let inbound = self.inbound.as_ref().and_then(Link::next_deadline);
        let outbound = self.out.link.as_ref().filter(|_| !self.out.blocked).and_then(Link::next_deadline);
        let first = inbound.into_iter().chain(outbound).min()?;
        Some(match first.as_nanos() % 1_000 {
            0 => first,
            over => first + Duration::from_nanos(1_000 - over),
        })
    }

    /// Whether packets wait for room in the device: the driver should wake up when it can be written.
    pub fn is_blocked(&self) -> bool {
        self.out.blocked
    }

    /// Hands the packets that have crossed the link to the device.
    pub fn settle(&mut self, now: Instant) {
        self.out.settle(now);
    }

    /// Feeds the link with what the device has received.
    fn take_in(&mut self, now: Instant) {
        let Some(link) = &mut self.inbound else { return };
        for _ in 0..INTAKE_MAX {
            let Some((token, _)) = self.out.device.receive(now.into()) else { return };
            let size = token.meta().segmentation_offload_size;
            let incidents = &mut self.out.incidents;
            let mut push = |frame: &[u8]| {
                if let Some(incident) = Incident::new(now, frame, link.push(now, frame)) {
                    incidents.push(Direction::In, incident);
                }
            };
            token.consume(|frame| match size {
                None => push(frame),
                Some(size) => wire::split_super(frame, size.get(), &mut self.received, &mut push),
            });
        }
    }
}

impl<D: Device> Outbound<D> {
    fn settle(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        self.blocked = false;
        while self.is_due || link.pop(now, &mut self.due) {
            let Some(token) = self.device.transmit(now.into()) else {
                (self.is_due, self.blocked) = (true, true);
                return;
            };
            token.consume(self.due.len(), |buf| buf.copy_from_slice(&self.due));
            self.is_due = false;
        }
    }

    fn write<R>(&mut self, now: Instant, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
        self.draft.clear();
        self.draft.resize(len, 0);
        let result = f(&mut self.draft);
        self.send(now);
        result
    }

    fn send(&mut self, now: Instant) {
        let Some(link) = &mut self.link else { return };
        let fate = link.push(now, &self.draft);
        if let Some(incident) = Incident::new(now, &self.draft, fate) {
            self.incidents.push(Direction::Out, incident);
        }
        self.settle(now);
    }
}

fn ours(at: DeviceInstant) -> Instant {
    Instant::from_micros(u64::try_from(at.total_micros()).unwrap_or(0))
}

impl<D: Device> Device for Impaired<D> {
    type RxToken<'a>
        = Received<'a, D>
    where
        D: 'a;
    type TxToken<'a>
        = Sending<'a, D>
    where
        D: 'a;

    fn receive(&mut self, at: DeviceInstant) -> Option<(Received<'_, D>, Sending<'_, D>)> {
        let now = ours(at);
        self.take_in(now);
        match &mut self.inbound {
            None => {
                let (rx, tx) = self.out.device.receive(at)?;
                Some((Received::Direct(rx), Sending::Direct(tx)))
            }
            Some(link) => {
                if !link.pop(now, &mut self.received) {
                    return None;
                }
                Some((Received::Link(&self.received), Sending::Link(&mut self.out, now)))
            }
        }
    }

    /// Always has room while a link is there: what does not fit is dropped by its queue, as on a real path.
    fn transmit(&mut self, at: DeviceInstant) -> Option<Sending<'_, D>> {
        match self.out.link {
            None => self.out.device.transmit(at).map(Sending::Direct),
            Some(_) => {
                self.out.settle(ours(at));
                Some(Sending::Link(&mut self.out, ours(at)))
            }
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let inner = self.out.device.capabilities();
        if self.out.link.is_none() {
            return inner;
        }
        // Damage must be found, and super-segments are no packets of a wire: nothing is left to the device.
        let mut plain = DeviceCapabilities::default();
        plain.medium = inner.medium;
        plain.max_transmission_unit = inner.max_transmission_unit;
        plain.max_burst_size = inner.max_burst_size;
        plain
    }
}

impl<D: Outlet> Outlet for Impaired<D> {
    type Room<'a>
        = Leaving<'a, D>
    where
        D: 'a;

    fn room(&mut self, at: DeviceInstant) -> Option<Leaving<'_, D>> {
        match self.out.link {
            None => self.out.device.room(at).map(Leaving::Direct),
            Some(_) => {
                self.out.settle(ours(at));
                Some(Leaving::Link(&mut self.out, ours(at)))
            }
        }
    }

    fn cuts(&self) -> Option<NonZeroUsize> {
        self.out.device.cuts().filter(|_| self.out.link.is_none())
    }

    fn intake(&mut self) -> Option<&mut Intake> {
        match self.inbound {
            None => self.out.device.intake(),
            Some(_) => None,
        }
    }
}

impl<D: AsFd> AsFd for Impaired<D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.out.device.as_fd()
    }
}

/// A packet that has arrived.
pub enum Received<'a, D: Device + 'a> {
    /// From the device itself.
    Direct(D::RxToken<'a>),
    /// Out of the link.
    Link(&'a [u8]),
}

impl<'a, D: Device + 'a> RxToken for Received<'a, D> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        match self {
            Received::Direct(token) => token.consume(f),
            Received::Link(frame) => f(frame),
        }
    }

    fn meta(&self) -> PacketMeta {
        match self {
            Received::Direct(token) => token.meta(),
            Received::Link(_) => PacketMeta::default(),
        }
    }
}

/// Room for a packet to send.
pub enum Sending<'a, D: Device + 'a> {
    /// On the device itself.
    Direct(D::TxToken<'a>),
    /// Into the link.
    Link(&'a mut Outbound<D>, Instant),
}

impl<'a, D: Device + 'a> TxToken for Sending<'a, D> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self {
            Sending::Direct(token) => token.consume(len, f),
            Sending::Link(out, now) => out.write(now, len, f),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        if let Sending::Direct(token) = self {
            token.set_meta(meta);
        }
    }
}

/// Room for a packet whose payload need not be copied, if nothing lies between.
pub enum Leaving<'a, D: Outlet + 'a> {
    /// On the device itself.
    Direct(D::Room<'a>),
    /// Into the link.
    Link(&'a mut Outbound<D>, Instant),
}

impl<'a, D: Outlet + 'a> TxToken for Leaving<'a, D> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self {
            Leaving::Direct(token) => token.consume(len, f),
            Leaving::Link(out, now) => out.write(now, len, f),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        if let Leaving::Direct(token) = self {
            token.set_meta(meta);
        }
    }
}

impl<'a, D: Outlet + 'a> Gather for Leaving<'a, D> {
    fn gather<R>(self, head: usize, payload: [&[u8]; 2], write: impl FnOnce(&mut [u8]) -> R) -> R {
        match self {
            Leaving::Direct(token) => token.gather(head, payload, write),
            // A link checks and cuts whole packets.
            link => Copying(link).gather(head, payload, write),
        }
    }
}

#[cfg(test)]
#[path = "impaired_tests.rs"]
mod tests;

//! How does a packet get onto a device without being put together first? A device that gathers takes the payload from where it is.

use crate::parcel::Intake;
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, TxToken};
use smoltcp::time::Instant;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};

/// Room for a packet whose payload need not be copied into it first.
pub trait Gather: TxToken + Sized {
    /// Sends a packet whose first `head` bytes `write` fills in and whose others are `payload`. Unless a device knows better,
    /// they are copied.
    fn gather<R>(self, head: usize, payload: [&[u8]; 2], write: impl FnOnce(&mut [u8]) -> R) -> R {
        let [first, second] = payload;
        self.consume(head + first.len() + second.len(), |buf| {
            let (head, body) = buf.split_at_mut(head);
            let (a, b) = body.split_at_mut(first.len());
            a.copy_from_slice(first);
            b.copy_from_slice(second);
            write(head)
        })
    }
}

/// A device that the runtime sends on. [`Copying`] makes one of any other.
pub trait Outlet: Device {
    /// Room for a packet.
    type Room<'a>: Gather
    where
        Self: 'a;

    /// As [`Device::transmit`]: room for a packet, if there is any.
    fn room(&mut self, at: Instant) -> Option<Self::Room<'_>>;

    /// The largest super-segment that it cuts into packets of the wire by itself, checksums included, if it does: what leaves
    /// together is then decided once.
    fn cuts(&self) -> Option<NonZeroUsize> {
        None
    }

    /// What packets are received into, if the memory of the one that came last may be taken: then always.
    fn intake(&mut self) -> Option<&mut Intake> {
        None
    }
}

/// Any device, or room on it; payload is copied.
#[derive(Debug)]
pub struct Copying<D>(pub D);

impl<T: TxToken> TxToken for Copying<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.consume(len, f)
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.0.set_meta(meta);
    }
}

impl<T: TxToken> Gather for Copying<T> {}

impl<D: AsFd> AsFd for Copying<D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<D: Device> Device for Copying<D> {
    type RxToken<'a>
        = D::RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, at: Instant) -> Option<(D::RxToken<'_>, D::TxToken<'_>)> {
        self.0.receive(at)
    }

    fn transmit(&mut self, at: Instant) -> Option<D::TxToken<'_>> {
        self.0.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}

impl<D: Device> Outlet for Copying<D> {
    type Room<'a>
        = Copying<D::TxToken<'a>>
    where
        Self: 'a;

    fn room(&mut self, at: Instant) -> Option<Copying<D::TxToken<'_>>> {
        self.0.transmit(at).map(Copying)
    }
}

/// A device for the time of a borrow.
pub(super) struct Lent<'d, D>(pub &'d mut D);

impl<D: Device> Device for Lent<'_, D> {
    type RxToken<'a>
        = D::RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, at: Instant) -> Option<(D::RxToken<'_>, D::TxToken<'_>)> {
        self.0.receive(at)
    }

    fn transmit(&mut self, at: Instant) -> Option<D::TxToken<'_>> {
        self.0.transmit(at)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}

//! How do two stacks talk without a TUN device? Through a pair of sockets that carry packets.

use crate::stack::{Copying, Outlet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// One end of a cable for IP packets. It needs no privilege and no network.
///
/// Packets that are under way when an end goes away still arrive at the other; what is sent to an end that is gone is
/// lost, as with an unplugged cable.
pub struct PipeDevice {
    received: Box<[u8]>,
    sending: Sending,
    mtu: u16,
}

struct Sending {
    cable: Arc<Cable>,
    /// Which end this is.
    end: usize,
    frame: Vec<u8>,
    /// Whether `frame` still has to be sent: the cable had no room for it.
    held: bool,
}

/// Both sockets live as long as either end: a kernel throws away what a closed one has sent.
struct Cable {
    ends: [UnixDatagram; 2],
    unplugged: AtomicBool,
}

/// Both ends of a cable that carries packets of at most `mtu` bytes.
///
/// # Errors
/// The system has no sockets left.
pub fn pipe(mtu: u16) -> io::Result<(PipeDevice, PipeDevice)> {
    let (a, b) = UnixDatagram::pair()?;
    a.set_nonblocking(true)?;
    b.set_nonblocking(true)?;
    let cable = Arc::new(Cable { ends: [a, b], unplugged: AtomicBool::new(false) });
    let device = |end| PipeDevice {
        received: vec![0; 1 << 16].into(),
        sending: Sending { cable: cable.clone(), end, frame: vec![0; mtu.into()], held: false },
        mtu,
    };
    Ok((device(0), device(1)))
}

impl Drop for PipeDevice {
    fn drop(&mut self) {
        self.sending.cable.unplugged.store(true, Relaxed);
        // Makes room, so that the other end does not wait for it.
        while self.sending.socket().recv(&mut self.received).is_ok() {}
    }
}

impl fmt::Debug for PipeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeDevice").field("mtu", &self.mtu).finish_non_exhaustive()
    }
}

impl AsFd for PipeDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sending.socket().as_fd()
    }
}

impl Sending {
    fn socket(&self) -> &UnixDatagram {
        &self.cable.ends[self.end]
    }

    /// True when there is room for another one.
    fn send(&mut self, len: usize) -> bool {
        self.held = !self.cable.unplugged.load(Relaxed)
            && matches!(self.socket().send(&self.frame[..len]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        if self.held {
            self.frame.truncate(len);
        }
        !self.held
    }

    fn has_room(&mut self) -> bool {
        !self.held || self.send(self.frame.len())
    }
}

impl Device for PipeDevice {
    type RxToken<'a> = PipeRx<'a>;
    type TxToken<'a> = PipeTx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(PipeRx<'_>, PipeTx<'_>)> {
        let len = self.sending.socket().recv(&mut self.received).ok()?;
        Some((PipeRx(&self.received[..len]), PipeTx(&mut self.sending)))
    }

    fn transmit(&mut self, _: Instant) -> Option<PipeTx<'_>> {
        self.sending.has_room().then_some(PipeTx(&mut self.sending))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu.into();
        capabilities
    }
}

impl Outlet for PipeDevice {
    type Room<'a> = Copying<PipeTx<'a>>;

    fn room(&mut self, at: Instant) -> Option<Copying<PipeTx<'_>>> {
        self.transmit(at).map(Copying)
    }
}

/// A packet that came.
pub struct PipeRx<'a>(&'a [u8]);

impl RxToken for PipeRx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a packet.
pub struct PipeTx<'a>(&'a mut Sending);

impl TxToken for PipeTx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let sending = self.0;
        // A packet that is still held gives way when the room came with a received one: a full cable loses packets.
        if sending.frame.len() < len {
            sending.frame.resize(len, 0);
        }
        let result = f(&mut sending.frame[..len]);
        sending.send(len);
        result
    }
}

//! How does one packet get in or out? A TUN device as a smoltcp `phy::Device`, without blocking and without allocating.

use super::error::{TunError, TunErrorKind};
use super::ifconfig::{Interface, NAME_MAX, is_permission};
use super::line::{Line, Offload};
use super::status::Status;
use super::vnet;
use crate::parcel::Intake;
use crate::stack::{Gather, Outlet, meta};
use crate::wire;
use rustix::io::Errno;
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The largest packet with its headers, and the largest super-segment.
const MOST: usize = 65_535;

/// The largest super-segment that is cut here, where the device takes none: what leaves together is decided and looked up once, and
/// others need not wait long for their turn.
const CUT: usize = 32 << 10;

/// Packets that are dropped in one call because their header lies; then others get their turn.
const MALFORMED_MAX: usize = 64;

/// How to make or take a TUN device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunOptions {
    /// The interface's name, at most 15 bytes; `None` takes the first free `glassN`.
    pub name: Option<String>,
    /// The MTU in bytes, 68 to 65,535 (1280 at least for IPv6).
    pub mtu: u16,
    /// The kernel's side: addresses with prefix lengths. The stack's own addresses belong to no interface.
    pub host_addrs: Vec<(IpAddr, u8)>,
    /// How many packets may wait for this program (`txqueuelen`). The kernel's default of 500 overflows when a peer may
    /// have more than about 700 KB in flight.
    pub queue_len: u32,
    /// Whether the interface must be set up. `false`: it was prepared for this user (`ip tuntap add … user U`); what
    /// the user may not set stays as it is.
    pub configure: bool,
    /// Whether segments of up to 64 KiB pass in one piece. Who reads packets of the wire from the device, not with a
    /// stack, wants it off.
    pub offload: Offload,
}

impl Default for TunOptions {
    /// 10.77.0.1/24 and fd77::1/64 on the kernel's side, MTU 1500, offloads if the kernel has them.
    fn default() -> TunOptions {
        TunOptions {
            name: None,
            mtu: 1500,
            host_addrs: vec![
                (IpAddr::from([10, 77, 0, 1]), 24),
                (IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 1]), 64),
            ],
            queue_len: 5000,
            configure: true,
            offload: Offload::Auto,
        }
    }
}

/// A TUN device: whole IP packets, no link layer. With offloads, super-segments in both directions, and TCP checksums
/// that nobody computes as long as the packets stay in this host.
///
/// Neither direction blocks. A packet that the kernel has no room for is kept, and the device takes no other before
/// it is gone: [`Device::transmit`] answers `None` in the meantime.
pub struct Tun {
    name: String,
    received: Intake,
    port: Port,
    /// All queues of the device, this one too: none closes before the last is dropped.
    _queues: Option<Arc<[OwnedFd]>>,
}

struct Port {
    line: Line,
    mtu: u16,
    /// A packet to write, behind the room that the line asks for.
    frame: Vec<u8>,
    /// Whether `frame` still has to be written.
    held: bool,
    /// A piece of a super-segment, and those that still have to be written behind `frame`.
    piece: Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
    status: Status,
}

impl Tun {
    /// Makes the device in the current network namespace, or takes the existing one of that name, and sets it up.
    ///
    /// # Errors
    /// No driver, no privilege, a name that is taken or impossible, an address or MTU that the kernel refuses.
    pub fn open(options: &TunOptions) -> Result<Tun, TunError> {
        let (line, name) = Line::open(wanted(options)?, options.offload, false)?;
        let mtu = set_up(&name, options)?;
        Ok(Tun::new(name, line, mtu, None))
    }

    /// The same with several queues, for a stack each (`IFF_MULTI_QUEUE`). The kernel chooses the queue of a flow by its
    /// addresses and ports, the same one each time, so that whoever gets the SYN gets the rest. Were one closed before the
    /// others, it would choose anew among those that are left, who know nothing of the flow: so all stay open until the
    /// last of these devices is dropped, and the flows of one that is dropped earlier go unheard. What a stack sends moves its flow to its own queue, but the kernel forgets that in seconds: a connection
    /// that a stack opens itself belongs on a device with one queue.
    ///
    /// # Errors
    /// Those of [`open`](Self::open); a device that was made with one queue, more queues than the kernel has (256).
    pub fn open_queues(options: &TunOptions, queues: NonZeroU16) -> Result<Vec<Tun>, TunError> {
        if queues.get() == 1 {
            return Ok(vec![Tun::open(options)?]);
        }
        let (first, name) = Line::open(wanted(options)?, options.offload, true)?;
        let offload = if first.offloads() { Offload::On } else { Offload::Off };
        let mut lines = vec![first];
        for _ in 1..queues.get() {
            lines.push(Line::open(&name, offload, true)?.0);
        }
        // Nothing comes before the interface is up, so nothing comes to fewer queues than there will be.
        let mtu = set_up(&name, options)?;
        let held: Result<Vec<OwnedFd>, _> =
            lines.iter().map(|line| line.as_fd().try_clone_to_owned()).collect();
        let held: Arc<[OwnedFd]> = held
            .map_err(|e| {
                let remedy = "each queue takes two descriptors: `ulimit -n`";
                TunError::new(TunErrorKind::Other, format!("holding on to the queues of {name}"), e, remedy)
            })?
            .into();
        Ok(lines.into_iter().map(|line| Tun::new(name.clone(), line, mtu, Some(Arc::clone(&held)))).collect())
    }

    fn new(name: String, line: Line, mtu: u16, queues: Option<Arc<[OwnedFd]>>) -> Tun {
        let frame = vec![0; line.headroom() + usize::from(mtu)];
        Tun {
            name,
            received: Intake::new(line.headroom(), MOST),
            port: Port {
                line,
                mtu,
                frame,
                held: false,
                piece: Vec::new(),
                waiting: VecDeque::new(),
                status: Status::default(),
            },
            _queues: queues,
        }
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The MTU in bytes, as the interface has it.
    pub fn mtu(&self) -> u16 {
        self.port.mtu
    }

    /// Whether super-segments pass in one piece.
    pub fn offloads(&self) -> bool {
        self.port.line.offloads()
    }

    /// How it fares, also after the device was given away.
    pub fn status(&self) -> Status {
        self.port.status.clone()
    }
}

/// The interface's name, with a `%d` if the kernel may choose.
fn wanted(options: &TunOptions) -> Result<&str, TunError> {
    options.name.as_deref().map_or(Ok("glass%d"), checked)
}

fn checked(name: &str) -> Result<&str, TunError> {
    let possible = !name.is_empty()
        && name.len() <= NAME_MAX
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control());
    possible.then_some(name).ok_or_else(|| {
        let cause = if name.len() > NAME_MAX { Errno::NAMETOOLONG } else { Errno::INVAL };
        TunError::new(
            TunErrorKind::BadName,
            format!("making the TUN device {name:?}"),
            cause,
            format!("a name has 1 to {NAME_MAX} bytes without spaces and without / : %"),
        )
    })
}

/// Sets the interface up and returns the MTU that it has then.
fn set_up(name: &str, options: &TunOptions) -> Result<u16, TunError> {
    let interface = Interface::new(name)?;
    let allowed = |step: Result<(), TunError>| match step {
        Err(e) if !options.configure && is_permission(&e) => Ok(()),
        other => other,
    };
    interface.quiet_ipv6();
    allowed(interface.set_mtu(options.mtu))?;
    allowed(interface.set_queue_len(options.queue_len))?;
    let mut v4 = 0;
    for &(addr, prefix) in &options.host_addrs {
        allowed(interface.add_address(v4, addr, prefix))?;
        v4 += usize::from(addr.is_ipv4());
    }
    allowed(interface.up())?;
    if !interface.is_up()? {
        return Err(TunError::new(
            TunErrorKind::Down,
            format!("using {name}"),
            Errno::NETDOWN,
            format!("the interface is down and you may not change that: `sudo ip link set {name} up`"),
        ));
    }
    for &(addr, _) in &options.host_addrs {
        if let IpAddr::V6(addr) = addr {
            interface.await_inet6(addr);
        }
    }
    interface.mtu()
}

impl fmt::Debug for Tun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tun").field("name", &self.name).field("mtu", &self.port.mtu).finish_non_exhaustive()
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.port.line.as_fd()
    }
}

impl Port {
    /// Writes the frame of `len` bytes, or keeps it if there is no room. True when another one may follow.
    fn write(&mut self, len: usize) -> bool {
        self.write_with(len, [&[], &[]])
    }

    /// The same, with `rest` behind the frame.
    fn write_with(&mut self, len: usize, rest: [&[u8]; 2]) -> bool {
        self.held = !self.put_out(&self.frame[..len], rest);
        if self.held {
            self.frame.truncate(len);
            rest.iter().for_each(|piece| self.frame.extend_from_slice(piece));
        }
        !self.held
    }

    /// Writes a packet; false if there is no room for it.
    fn put_out(&self, frame: &[u8], rest: [&[u8]; 2]) -> bool {
        let status = &self.status.0;
        loop {
            let written = match rest {
                [[], []] => self.line.write(frame),
                [first, second] => self.line.write_pieces([frame, first, second]),
            };
            let Err(e) = written else {
                status.down.store(false, Relaxed);
                return true;
            };
            match e {
                Errno::INTR => {}
                Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM => return false,
                Errno::IO | Errno::BADFD | Errno::NETDOWN => {
                    status.down.store(true, Relaxed);
                    status.lost_down.fetch_add(1, Relaxed);
                    return true;
                }
                _ => {
                    status.refused.fetch_add(1, Relaxed);
                    return true;
                }
            }
        }
    }

    fn has_room(&mut self) -> bool {
        while !self.held || self.write(self.frame.len()) {
            let Some(next) = self.waiting.pop_front() else { return true };
            (self.frame, self.held) = (next, true);
        }
        false
    }

    /// Cuts the super-segment that `frame`, of which `len` bytes count, and `rest` are, and writes its packets, or keeps those for which
    /// there is no room.
    fn cut(&mut self, len: usize, rest: [&[u8]; 2], gso_size: NonZeroU16) {
        let (frame, mut piece) = (std::mem::take(&mut self.frame), std::mem::take(&mut self.piece));
        wire::split_pieces(&frame[..len], rest, gso_size.get(), &mut piece, &mut |packet| {
            if !self.waiting.is_empty() || !self.put_out(packet, [&[], &[]]) {
                self.waiting.push_back(packet.to_vec());
            }
        });
        (self.frame, self.piece) = (frame, piece);
    }
}

impl Device for Tun {
    type RxToken<'a> = TunRx<'a>;
    type TxToken<'a> = TunTx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(TunRx<'_>, TunTx<'_>)> {
        let headroom = self.port.line.headroom();
        for _ in 0..MALFORMED_MAX {
            let len = match self.port.line.read(self.received.bytes_mut()) {
                Ok(0) | Err(Errno::AGAIN) => return None,
                Ok(len) => len,
                Err(Errno::INTR) => continue,
                Err(_) => {
                    self.port.status.0.down.store(true, Relaxed);
                    return None;
                }
            };
            let meta = match headroom {
                0 => PacketMeta::default(),
                _ => match vnet::read(&mut self.received.bytes_mut()[..len]) {
                    Ok(inbound) => meta(inbound.gso_size, inbound.vouched),
                    Err(vnet::Malformed) => {
                        self.port.status.0.malformed.fetch_add(1, Relaxed);
                        continue;
                    }
                },
            };
            let frame = &self.received.bytes()[headroom..len];
            return Some((TunRx { frame, meta }, TunTx { port: &mut self.port, gso_size: None }));
        }
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<TunTx<'_>> {
        self.port.has_room().then_some(TunTx { port: &mut self.port, gso_size: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.port.mtu.into();
        if self.offloads() {
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(MOST);
            capabilities.segmentation.tcpv6 = NonZeroUsize::new(MOST);
            capabilities.checksum.tcp = Checksum::Rx;
        }
        capabilities
    }
}

/// A packet that was read.
pub struct TunRx<'a> {
    frame: &'a [u8],
    meta: PacketMeta,
}

impl RxToken for TunRx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.frame)
    }

    fn meta(&self) -> PacketMeta {
        self.meta
    }
}

/// Room for a packet to write.
pub struct TunTx<'a> {
    port: &'a mut Port,
    gso_size: Option<NonZeroU16>,
}

impl TxToken for TunTx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.put(len, [&[], &[]], f)
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.gso_size = meta.segmentation_offload_size;
    }
}

impl Gather for TunTx<'_> {
    fn gather<R>(self, head: usize, payload: [&[u8]; 2], write: impl FnOnce(&mut [u8]) -> R) -> R {
        self.put(head, payload, write)
    }
}

impl TunTx<'_> {
    /// Writes a packet whose first `len` bytes `f` makes and whose others are `rest`.
    fn put<R>(self, len: usize, rest: [&[u8]; 2], f: impl FnOnce(&mut [u8]) -> R) -> R {
        let TunTx { port, gso_size } = self;
        if !port.has_room() {
            // The room that came with a received packet was not there.
            port.status.0.lost_full.fetch_add(1, Relaxed);
            return f(&mut vec![0; len]);
        }
        let headroom = port.line.headroom();
        let whole = headroom + len;
        if port.frame.len() < whole {
            port.frame.resize(whole, 0);
        }
        let result = f(&mut port.frame[headroom..whole]);
        if let Some(size) = gso_size.filter(|_| headroom == 0) {
            port.cut(whole, rest, size);
            return result;
        }
        if headroom > 0 {
            vnet::write(&mut port.frame[..whole], rest[0].len() + rest[1].len(), gso_size);
        }
        port.write_with(whole, rest);
        result
    }
}

impl Outlet for Tun {
    type Room<'a> = TunTx<'a>;

    fn room(&mut self, at: Instant) -> Option<TunTx<'_>> {
        self.transmit(at)
    }

    fn cuts(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(CUT).filter(|_| !self.offloads())
    }

    fn intake(&mut self) -> Option<&mut Intake> {
        Some(&mut self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Ecn, Flags, Segment};
    use crate::seq::Seq;
    use crate::wire::{Decoded, Envelope};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn of_a_super_segment_that_is_cut_here_what_finds_no_room_follows_in_order() {
        for ends in [["10.0.0.1:1", "10.0.0.2:2"], ["[fd00::1]:1", "[fd00::2]:2"]] {
            let (near, far) = UnixDatagram::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            far.set_nonblocking(true).unwrap();
            let mut tun = Tun::new("x".into(), Line::Queue(near.into()), 1500, None);
            let [src, dst] = ends.map(|end| end.parse().unwrap());
            let envelope = Envelope { src, dst, ecn: Ecn::NotEct, dscp: 0, ident: 7, hops: 64 };
            let payload: Vec<u8> = (0..30_000u32).map(|n| (n / 251) as u8).collect();
            let (mut sent, mut came) = (0, 0);
            let read = |came: &mut u32| {
                let mut buf = [0; 2000];
                while let Ok(n) = far.recv(&mut buf) {
                    let Ok(Decoded::Tcp(packet)) = wire::decode(&buf[..n], true) else { panic!("no packet") };
                    assert_eq!(packet.seg.seq, Seq(1) + *came);
                    let at = (*came % 30_000) as usize;
                    assert_eq!(packet.payload, &payload[at..at + packet.payload.len()]);
                    *came += packet.seg.len;
                    let last = came.is_multiple_of(30_000);
                    assert_eq!(
                        (packet.seg.has(Flags::PSH), packet.payload.len()),
                        (last, if last { 1000 } else { 1450 })
                    );
                }
            };
            // Two at least, of which the last one finds no room for all.
            while sent < 2 || tun.port.waiting.is_empty() {
                let Some(mut room) = tun.room(Instant::ZERO) else {
                    read(&mut came);
                    continue;
                };
                room.set_meta(meta(NonZeroU16::new(1450), false));
                let seg = Segment {
                    seq: Seq(1) + sent * 30_000,
                    flags: Flags::ACK | Flags::PSH,
                    len: 30_000,
                    ..Segment::default()
                };
                let head = wire::encoded_len(&envelope, &seg) - payload.len();
                let (first, second) = payload.split_at(12_345);
                room.gather(head, [first, second], |head| wire::encode_head(head, &envelope, &seg));
                sent += 1;
            }
            assert!(tun.transmit(Instant::ZERO).is_none());
            while came < sent * 30_000 {
                read(&mut came);
                let _ = tun.transmit(Instant::ZERO);
            }
            assert!(tun.transmit(Instant::ZERO).is_some());
        }
    }

    #[test]
    fn impossible_names_are_refused_before_the_kernel_is_asked() {
        for name in ["", "sixteen-bytes-xx", "a b", "a/b", ".", "..", "tun%d", "eth0:1", "a\n"] {
            let options = TunOptions { name: Some(name.into()), ..TunOptions::default() };
            let error = Tun::open(&options).expect_err(name);
            assert_eq!(error.kind(), TunErrorKind::BadName, "{name:?}");
            assert!(error.to_string().contains("1 to 15 bytes"), "{error}");
        }
    }
}

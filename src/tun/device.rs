//! How does one packet get in or out? A TUN device as a smoltcp `phy::Device`, without blocking and without allocating.

use super::error::{TunError, TunErrorKind, open_error, privilege_remedy};
use super::ifconfig::{Interface, NAME_MAX, is_permission};
use super::sys;
use rustix::io::Errno;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tun_tap::{Iface, Mode};

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
}

impl Default for TunOptions {
    /// 10.77.0.1/24 and fd77::1/64 on the kernel's side, MTU 1500.
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
        }
    }
}

/// How a device fares; shared with whoever wants to tell the user, while the device itself serves the stack.
#[derive(Clone, Default, Debug)]
pub struct Status(Arc<Counters>);

#[derive(Default, Debug)]
struct Counters {
    down: AtomicBool,
    lost_down: AtomicU64,
    lost_full: AtomicU64,
    refused: AtomicU64,
}

impl Status {
    /// Whether the interface was down or gone when it was last used.
    pub fn is_down(&self) -> bool {
        self.0.down.load(Relaxed)
    }

    /// Packets that could not be sent because the interface was down.
    pub fn lost_down(&self) -> u64 {
        self.0.lost_down.load(Relaxed)
    }

    /// Packets that found no room although their sender had not asked for it (answers to received packets).
    pub fn lost_full(&self) -> u64 {
        self.0.lost_full.load(Relaxed)
    }

    /// Packets that the kernel would not take, for instance because they are no IP.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// The error to show when [`is_down`](Self::is_down).
    pub fn error(&self, name: &str) -> Option<TunError> {
        self.is_down().then(|| {
            TunError::new(
                TunErrorKind::Down,
                format!("sending through {name}"),
                Errno::IO,
                format!(
                    "the interface is down or gone ({} packets lost): `sudo ip link set {name} up`",
                    self.lost_down()
                ),
            )
        })
    }
}

/// A TUN device: whole IP packets, no link layer, no offloads.
///
/// Neither direction blocks. A packet that the kernel has no room for is kept, and the device takes no other before
/// it is gone: [`Device::transmit`] answers `None` in the meantime.
pub struct Tun {
    name: String,
    received: Box<[u8]>,
    port: Port,
}

struct Port {
    iface: Iface,
    mtu: u16,
    frame: Vec<u8>,
    /// Whether `frame` still has to be written.
    held: bool,
    status: Status,
}

impl Tun {
    /// Makes the device in the current network namespace, or takes the existing one of that name, and sets it up.
    ///
    /// # Errors
    /// No driver, no privilege, a name that is taken or impossible, an address or MTU that the kernel refuses.
    pub fn open(options: &TunOptions) -> Result<Tun, TunError> {
        let wanted = match &options.name {
            None => "glass%d",
            Some(name) => checked(name)?,
        };
        // Opened once without a name, so that a missing driver and a missing privilege are told apart.
        OpenOptions::new().read(true).write(true).open("/dev/net/tun").map_err(open_error)?;
        let iface = Iface::without_packet_info(wanted, Mode::Tun).map_err(|e| attach_error(wanted, e))?;
        let name = iface.name().to_owned();
        let failed = |what: &str, e: io::Error| {
            TunError::new(
                TunErrorKind::Other,
                format!("{what} of {name}"),
                e,
                "this needs a Linux with TUN, 2.6.27 or later",
            )
        };
        iface.set_non_blocking().map_err(|e| failed("switching off blocking reads", e))?;
        sys::no_offload(sys::fd(&iface)).map_err(|e| failed("switching off offloads", e))?;
        let mtu = set_up(&name, options)?;
        Ok(Tun {
            name,
            received: vec![0; 1 << 16].into(),
            port: Port { iface, mtu, frame: vec![0; mtu.into()], held: false, status: Status::default() },
        })
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The MTU in bytes, as the interface has it.
    pub fn mtu(&self) -> u16 {
        self.port.mtu
    }

    /// How it fares, also after the device was given away.
    pub fn status(&self) -> Status {
        self.port.status.clone()
    }
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

fn attach_error(name: &str, cause: io::Error) -> TunError {
    let (kind, remedy) = match Errno::from_io_error(&cause) {
        Some(Errno::PERM | Errno::ACCESS) => (TunErrorKind::Permission, privilege_remedy()),
        Some(Errno::BUSY | Errno::EXIST) => (
            TunErrorKind::NameTaken,
            format!(
                "another process uses it: choose another name, or see who with `ip -d tuntap show dev {name}`"
            ),
        ),
        Some(Errno::INVAL) => (
            TunErrorKind::BadName,
            "an interface of that name exists and is no plain TUN device: choose another name".into(),
        ),
        _ => (TunErrorKind::Other, "`tcpglass doctor` looks at what is needed".into()),
    };
    TunError::new(kind, format!("making the TUN device {name}"), cause, remedy)
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
        sys::fd(&self.port.iface)
    }
}

impl Port {
    /// Writes the frame of `len` bytes, or keeps it if there is no room. True when another one may follow.
    fn write(&mut self, len: usize) -> bool {
        self.held = false;
        let status = &self.status.0;
        loop {
            let Err(e) = self.iface.send(&self.frame[..len]) else {
                status.down.store(false, Relaxed);
                return true;
            };
            match Errno::from_io_error(&e) {
                Some(Errno::INTR) => {}
                Some(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => {
                    self.frame.truncate(len);
                    self.held = true;
                    return false;
                }
                Some(Errno::IO | Errno::BADFD | Errno::NETDOWN) => {
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
        !self.held || self.write(self.frame.len())
    }
}

impl Device for Tun {
    type RxToken<'a> = TunRx<'a>;
    type TxToken<'a> = TunTx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(TunRx<'_>, TunTx<'_>)> {
        let len = loop {
            match self.port.iface.recv(&mut self.received) {
                Ok(0) => return None,
                Ok(len) => break len,
                Err(e) => match Errno::from_io_error(&e) {
                    Some(Errno::INTR) => {}
                    Some(Errno::AGAIN) => return None,
                    _ => {
                        self.port.status.0.down.store(true, Relaxed);
                        return None;
                    }
                },
            }
        };
        Some((TunRx(&self.received[..len]), TunTx(&mut self.port)))
    }

    fn transmit(&mut self, _: Instant) -> Option<TunTx<'_>> {
        self.port.has_room().then_some(TunTx(&mut self.port))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.port.mtu.into();
        capabilities
    }
}

/// A packet that was read.
pub struct TunRx<'a>(&'a [u8]);

impl RxToken for TunRx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a packet to write.
pub struct TunTx<'a>(&'a mut Port);

impl TxToken for TunTx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let port = self.0;
        if !port.has_room() {
            // The room that came with a received packet was not there.
            port.status.0.lost_full.fetch_add(1, Relaxed);
            return f(&mut vec![0; len]);
        }
        if port.frame.len() < len {
            port.frame.resize(len, 0);
        }
        let result = f(&mut port.frame[..len]);
        port.write(len);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_names_are_refused_before_the_kernel_is_asked() {
        for name in ["", "sixteen-bytes-xx", "a b", "a/b", ".", "..", "tun%d", "eth0:1", "a\n"] {
            let options = TunOptions { name: Some(name.into()), ..TunOptions::default() };
            let error = Tun::open(&options).expect_err(name);
            assert_eq!(error.kind(), TunErrorKind::BadName, "{name:?}");
            assert!(error.to_string().contains("1 to 15 bytes"), "{error}");
        }
    }

    #[test]
    fn errors_of_the_kernel_come_with_what_to_do() {
        for (errno, kind, remedy) in [
            (Errno::PERM, TunErrorKind::Permission, "setcap cap_net_admin"),
            (Errno::BUSY, TunErrorKind::NameTaken, "another process"),
            (Errno::INVAL, TunErrorKind::BadName, "no plain TUN device"),
        ] {
            let error = attach_error("glass0", errno.into());
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().starts_with("making the TUN device glass0: "), "{error}");
            assert!(error.remedy().contains(remedy), "{error}");
        }
        assert_eq!(open_error(Errno::ACCESS.into()).kind(), TunErrorKind::Permission);
        assert_eq!(open_error(Errno::NOENT.into()).kind(), TunErrorKind::NoTun);
    }
}

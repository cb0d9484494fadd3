//! How is the device opened, plain or with offloads, and which bytes are read and written on it?

use super::error::{TunError, TunErrorKind, open_error, privilege_remedy};
use super::ifconfig::NAME_MAX;
use super::sys::{self, InterfaceRequest};
use super::vnet;
use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;
use tun_tap::{Iface, Mode};

const IFF_TUN: u16 = 0x0001;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
/// TUN_F_CSUM, TSO4, TSO6 and TSO_ECN: what the kernel may leave to us.
const OFFLOADS: u32 = 1 | 2 | 4 | 8;

/// Whether the kernel and the stack hand each other segments of up to 64 KiB with the checksum left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Offload {
    /// It is an error if the kernel cannot.
    On,
    /// Each packet is one of the wire, complete.
    Off,
    /// If the kernel can.
    #[default]
    Auto,
}

impl FromStr for Offload {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Offload, &'static str> {
        match text {
            "on" => Ok(Offload::On),
            "off" => Ok(Offload::Off),
            "auto" => Ok(Offload::Auto),
            _ => Err("on, off or auto"),
        }
    }
}

impl fmt::Display for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Offload::On => "on",
            Offload::Off => "off",
            Offload::Auto => "auto",
        })
    }
}

/// A descriptor that is attached to an interface and does not block.
pub(super) enum Line {
    /// Packets, and nothing else.
    Plain(Iface),
    /// The same, one queue of several.
    Queue(OwnedFd),
    /// Each packet behind a header that says what is left to do.
    Offload(OwnedFd),
}

impl Line {
    /// Attaches to the interface `name`, or makes it; `%d` in it becomes a number. Returns the interface's name, too.
    /// `shared`: it has several queues, and this is to be one.
    pub(super) fn open(name: &str, offload: Offload, shared: bool) -> Result<(Line, String), TunError> {
        let queue = if shared { IFF_MULTI_QUEUE } else { 0 };
        // Opened once without a name, so that a missing driver and a missing privilege are told apart.
        let mut fd = device()?;
        if offload != Offload::Off {
            match attach(&fd, name, IFF_VNET_HDR | queue, OFFLOADS) {
                Ok(name) => return Ok((Line::Offload(fd), name)),
                Err(e) if offload == Offload::On && !shared => return Err(offload_error(name, e)),
                Err(e) if offload == Offload::On => return Err(queue_error(name, e)),
                // What hinders the plain device as well is told by it.
                Err(_) => fd = device()?,
            }
        }
        if !shared {
            drop(fd);
            return Line::plain(name);
        }
        let name = attach(&fd, name, queue, 0).map_err(|e| queue_error(name, e))?;
        Ok((Line::Queue(fd), name))
    }

    fn plain(name: &str) -> Result<(Line, String), TunError> {
        let iface = Iface::without_packet_info(name, Mode::Tun).map_err(|e| attach_error(name, e))?;
        let name = iface.name().to_owned();
        let failed = |what: &str, e: io::Error| {
            let remedy = "this needs a Linux with TUN, 2.6.27 or later";
            TunError::new(TunErrorKind::Other, format!("{what} of {name}"), e, remedy)
        };
        iface.set_non_blocking().map_err(|e| failed("switching off blocking reads", e))?;
        sys::set_offload(sys::fd(&iface), 0).map_err(|e| failed("switching off offloads", e))?;
        Ok((Line::Plain(iface), name))
    }

    /// Whether packets come and go behind a header.
    pub(super) fn offloads(&self) -> bool {
        matches!(self, Line::Offload(_))
    }

    /// How many bytes come before each packet.
    pub(super) fn headroom(&self) -> usize {
        if self.offloads() { vnet::LEN } else { 0 }
    }

    /// Reads the next packet with what comes before it.
    pub(super) fn read(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::read(self, buf)
    }

    /// Writes a packet with what comes before it.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), Errno> {
        rustix::io::write(self, bytes).map(drop)
    }

    /// The same, from pieces that lie apart.
    pub(super) fn write_pieces(&self, pieces: [&[u8]; 3]) -> Result<(), Errno> {
        rustix::io::writev(self, &pieces.map(IoSlice::new)).map(drop)
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Line::Plain(iface) => sys::fd(iface),
            Line::Queue(fd) | Line::Offload(fd) => fd.as_fd(),
        }
    }
}

fn device() -> Result<OwnedFd, TunError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open("/dev/net/tun", flags, FileMode::empty()).map_err(|e| open_error(e.into()))
}

/// Attaches with these flags, and with offloads if there are any; returns the interface's name.
fn attach(fd: &OwnedFd, name: &str, flags: u16, offloads: u32) -> io::Result<String> {
    let mut req = InterfaceRequest::default();
    if name.len() > NAME_MAX {
        return Err(Errno::NAMETOOLONG.into());
    }
    req.name[..name.len()].copy_from_slice(name.as_bytes());
    req.value[..2].copy_from_slice(&(IFF_TUN | IFF_NO_PI | flags).to_ne_bytes());
    sys::attach(fd, &mut req)?;
    sys::set_offload(fd, offloads)?;
    let len = req.name.iter().position(|&b| b == 0).unwrap_or(req.name.len());
    Ok(String::from_utf8_lossy(&req.name[..len]).into_owned())
}

/// Tries to make a device with offloads, for `doctor`.
pub(super) fn try_offload() -> io::Result<()> {
    let fd = rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC, FileMode::empty())?;
    attach(&fd, "glass%d", IFF_VNET_HDR, OFFLOADS).map(drop)
}

fn offload_error(name: &str, cause: io::Error) -> TunError {
    match Errno::from_io_error(&cause) {
        Some(Errno::PERM | Errno::ACCESS | Errno::BUSY | Errno::EXIST) => attach_error(name, cause),
        _ => TunError::new(
            TunErrorKind::Other,
            format!("making the TUN device {name} with offloads"),
            cause,
            "`--offload auto` does without where the kernel cannot",
        ),
    }
}

/// What hinders one of several queues.
fn queue_error(name: &str, cause: io::Error) -> TunError {
    let remedy = match Errno::from_io_error(&cause) {
        Some(Errno::INVAL | Errno::BUSY) => format!(
            "it is no TUN device with several queues: `ip tuntap add dev {name} mode tun user $USER multi_queue` makes one with more"
        ),
        Some(Errno::TOOBIG) => "the kernel has no more queues for one device: take fewer".into(),
        _ => return attach_error(name, cause),
    };
    let what = format!("attaching to a queue of the TUN device {name}");
    TunError::new(TunErrorKind::BadName, what, cause, remedy)
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let error = offload_error("glass0", Errno::OPNOTSUPP.into());
        assert!(error.remedy().contains("--offload auto"), "{error}");
    }

    #[test]
    fn the_words_for_offload_read_back() {
        for offload in [Offload::On, Offload::Off, Offload::Auto] {
            assert_eq!(offload.to_string().parse(), Ok(offload));
        }
        assert!("yes".parse::<Offload>().is_err());
    }
}

//! How is an interface given its addresses, MTU and queue, and brought up?

use super::error::{TunError, TunErrorKind, privilege_remedy};
use super::sys::{self, Inet6Request, InterfaceRequest, Request};
use rustix::event::{Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

const IFF_UP: u16 = 1;
/// `linux/ipv6_route.h`: a route to an address of this host.
const RTF_LOCAL: u32 = 0x8000_0000;
/// The longest name of an interface in bytes (IFNAMSIZ without its zero).
pub(super) const NAME_MAX: usize = 15;

/// One interface of the current network namespace.
pub(super) struct Interface<'a> {
    name: &'a str,
    socket: OwnedFd,
}

impl<'a> Interface<'a> {
    /// The interface `name`.
    pub(super) fn new(name: &'a str) -> Result<Interface<'a>, TunError> {
        let socket = control(AddressFamily::INET).map_err(|e| {
            TunError::new(
                TunErrorKind::Other,
                "opening a socket to set up the interface",
                e,
                "IPv4 must be enabled",
            )
        })?;
        Ok(Interface { name, socket })
    }

    fn call(&self, name: &str, request: Request, value: &[u8]) -> io::Result<[u8; 24]> {
        let mut req = InterfaceRequest::default();
        if name.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        req.name[..name.len()].copy_from_slice(name.as_bytes());
        req.value[..value.len()].copy_from_slice(value);
        sys::interface(&self.socket, request, &mut req)?;
        Ok(req.value)
    }

    fn failed(&self, what: &str, cause: io::Error) -> TunError {
        let remedy = match Errno::from_io_error(&cause) {
            Some(Errno::PERM | Errno::ACCESS) => privilege_remedy(),
            Some(Errno::INVAL) => "the kernel refuses the value".into(),
            Some(Errno::EXIST | Errno::ADDRINUSE) => {
                "another interface has it: choose other addresses".into()
            }
            Some(Errno::OPNOTSUPP | Errno::AFNOSUPPORT) => {
                "this kernel has no IPv6: leave the address out".into()
            }
            _ => format!("look at `ip addr show dev {}`", self.name),
        };
        TunError::new(TunErrorKind::Configure, format!("{what} of {}", self.name), cause, remedy)
    }

    /// Gives the interface its `nth` IPv4 address, from 0, or an IPv6 address.
    pub(super) fn add_address(&self, nth: usize, addr: IpAddr, prefix: u8) -> Result<(), TunError> {
        match addr {
            IpAddr::V4(addr) => {
                // The ioctls know one IPv4 address per name; more of them go by alias names.
                let alias = if nth == 0 { self.name.into() } else { format!("{}:{nth}", self.name) };
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
                self.call(&alias, Request::SetAddress, &sockaddr(addr))
                    .and_then(|_| {
                        self.call(&alias, Request::SetNetmask, &sockaddr(Ipv4Addr::from_bits(mask)))
                    })
                    .map(drop)
            }
            IpAddr::V6(addr) => self.add_inet6(addr.octets(), prefix),
        }
        .map_err(|e| self.failed(&format!("setting the address {addr}/{prefix}"), e))
    }

    fn add_inet6(&self, addr: [u8; 16], prefix: u8) -> io::Result<()> {
        // Distributions and containers switch IPv6 off per interface; a device of ours may have it.
        let _ = self.sysctl("disable_ipv6", "0");
        let socket = control(AddressFamily::INET6)?;
        sys::add_inet6(&socket, Inet6Request { addr, prefix: prefix.into(), index: self.index()? })
    }

    /// Waits until an IPv6 address of an interface that is up can be reached. The kernel takes it into use in the
    /// background, and a packet that came before would be lost.
    pub(super) fn await_inet6(&self, addr: Ipv6Addr) {
        // Its address in hexadecimal, its length, …, and at the end flags, of which the highest says that it is local.
        let route = format!("{:032x} 80 ", addr.to_bits());
        let is_local = |line: &str| {
            let flags =
                line.split_ascii_whitespace().nth(8).and_then(|flags| u32::from_str_radix(flags, 16).ok());
            line.starts_with(&route) && flags.is_some_and(|flags| flags & RTF_LOCAL != 0)
        };
        for _ in 0..1000 {
            match fs::read_to_string("/proc/thread-self/net/ipv6_route") {
                Ok(routes) if !routes.lines().any(is_local) => {}
                _ => return,
            }
            let millisecond = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let _ = poll(&mut [], Some(&millisecond));
        }
    }

    fn sysctl(&self, what: &str, value: &str) -> io::Result<()> {
        fs::write(format!("/proc/sys/net/ipv6/conf/{}/{what}", self.name), value)
    }

    /// Keeps the kernel from talking IPv6 of its own accord on the interface: no link-local address, no router
    /// solicitations, no wait for duplicate address detection. Best effort: captures are quieter, nothing depends on it.
    pub(super) fn quiet_ipv6(&self) {
        for (what, value) in [("addr_gen_mode", "1"), ("router_solicitations", "0"), ("accept_dad", "0")] {
            let _ = self.sysctl(what, value);
        }
    }

    /// Sets the MTU in bytes.
    pub(super) fn set_mtu(&self, mtu: u16) -> Result<(), TunError> {
        self.call(self.name, Request::SetMtu, &i32::from(mtu).to_ne_bytes())
            .map(drop)
            .map_err(|e| self.failed(&format!("setting the MTU {mtu}"), e))
    }

    /// The MTU in bytes.
    pub(super) fn mtu(&self) -> Result<u16, TunError> {
        let value = self.call(self.name, Request::Mtu, &[]).map_err(|e| self.failed("reading the MTU", e))?;
        let mtu = i32::from_ne_bytes([value[0], value[1], value[2], value[3]]);
        Ok(mtu.clamp(0, u16::MAX.into()) as u16)
    }

    /// Sets how many packets may wait for the reader of the device.
    pub(super) fn set_queue_len(&self, packets: u32) -> Result<(), TunError> {
        self.index()
            .and_then(|index| netlink::set_queue_len(index, packets))
            .map_err(|e| self.failed(&format!("setting the queue length {packets}"), e))
    }

    fn index(&self) -> io::Result<i32> {
        Ok(netdevice::name_to_index(&self.socket, self.name)? as i32)
    }

    fn flags(&self) -> io::Result<u16> {
        let value = self.call(self.name, Request::Flags, &[])?;
        Ok(u16::from_ne_bytes([value[0], value[1]]))
    }

    /// Whether the interface is up.
    pub(super) fn is_up(&self) -> Result<bool, TunError> {
        self.flags().map(|f| f & IFF_UP != 0).map_err(|e| self.failed("reading the state", e))
    }

    /// Brings the interface up.
    pub(super) fn up(&self) -> Result<(), TunError> {
        self.flags()
            .and_then(|flags| self.call(self.name, Request::SetFlags, &(flags | IFF_UP).to_ne_bytes()))
            .map(drop)
            .map_err(|e| self.failed("bringing up the interface", e))
    }
}

fn control(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

/// `struct sockaddr_in` with port 0.
fn sockaddr(addr: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&AddressFamily::INET.as_raw().to_ne_bytes());
    bytes[4..8].copy_from_slice(&addr.octets());
    bytes
}

/// The one request that has no ioctl which root of a user namespace may use: SIOCSIFTXQLEN asks for root of the host.
mod netlink {
    use super::{AddressFamily, Errno, SocketFlags, SocketType, io, socket_with};
    use rustix::net::{RecvFlags, SendFlags, recv, send};

    const RTM_SETLINK: u16 = 19;
    const NLM_F_REQUEST_ACK: u16 = 1 | 4;
    const NLMSG_ERROR: u16 = 2;
    const IFLA_TXQLEN: u16 = 13;

    /// A link request for interface `index` with one attribute: `rtnetlink(7)`.
    fn request(index: i32, attribute: u16, value: u32) -> [u8; 40] {
        let mut message = [0; 40];
        message[0..4].copy_from_slice(&40u32.to_ne_bytes());
        message[4..6].copy_from_slice(&RTM_SETLINK.to_ne_bytes());
        message[6..8].copy_from_slice(&NLM_F_REQUEST_ACK.to_ne_bytes());
        message[20..24].copy_from_slice(&index.to_ne_bytes());
        message[32..34].copy_from_slice(&8u16.to_ne_bytes());
        message[34..36].copy_from_slice(&attribute.to_ne_bytes());
        message[36..40].copy_from_slice(&value.to_ne_bytes());
        message
    }

    pub(super) fn set_queue_len(index: i32, packets: u32) -> io::Result<()> {
        // Protocol 0 is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        send(&socket, &request(index, IFLA_TXQLEN, packets), SendFlags::empty())?;
        let mut answer = [0; 128];
        let (len, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
        if len < 20 || u16::from_ne_bytes([answer[4], answer[5]]) != NLMSG_ERROR {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
            0 => Ok(()),
            errno => Err(Errno::from_raw_os_error(errno.saturating_neg()).into()),
        }
    }
}

/// Whether the kernel refused for want of a privilege.
pub(super) fn is_permission(error: &TunError) -> bool {
    let cause = std::error::Error::source(error).and_then(|e| e.downcast_ref::<io::Error>());
    cause.is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
}

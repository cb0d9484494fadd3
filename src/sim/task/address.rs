//! Whom does a task connect to? An address, or a name that is looked up in virtual time.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Whom to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remote {
    /// An address and a port.
    Addr(SocketAddr),
    /// A name that is to be looked up, and a port.
    Name(String, u16),
}

/// What [`Net::connect`](super::Net::connect) takes. [`std::net::ToSocketAddrs`] has the same shapes, but would ask the
/// real network for names.
pub trait ToRemote {
    /// Whom it means.
    ///
    /// # Errors
    /// `InvalidInput` for a text that is not `name:port`.
    fn to_remote(&self) -> io::Result<Remote>;
}

macro_rules! addresses {
    ($($kind:ty),*) => {$(
        impl ToRemote for $kind {
            fn to_remote(&self) -> io::Result<Remote> {
                Ok(Remote::Addr((*self).into()))
            }
        }
    )*};
}
addresses!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16),
    ([u8; 4], u16),
    ([u8; 16], u16),
    ([u16; 8], u16)
);

impl ToRemote for (&str, u16) {
    fn to_remote(&self) -> io::Result<Remote> {
        let bare = self.0.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(self.0);
        Ok(match bare.parse::<IpAddr>() {
            Ok(ip) => Remote::Addr((ip, self.1).into()),
            Err(_) => Remote::Name(bare.into(), self.1),
        })
    }
}

impl ToRemote for (String, u16) {
    fn to_remote(&self) -> io::Result<Remote> {
        (self.0.as_str(), self.1).to_remote()
    }
}

impl ToRemote for str {
    fn to_remote(&self) -> io::Result<Remote> {
        if let Ok(addr) = self.parse::<SocketAddr>() {
            return Ok(Remote::Addr(addr));
        }
        let parts = self.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{self:?} is not name:port"));
        parts.filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?.to_remote()
    }
}

impl ToRemote for String {
    fn to_remote(&self) -> io::Result<Remote> {
        self.as_str().to_remote()
    }
}

impl<T: ToRemote + ?Sized> ToRemote for &T {
    fn to_remote(&self) -> io::Result<Remote> {
        (**self).to_remote()
    }
}

//! Where are the hosts of an experiment? Addresses of one IP version, and what its headers take.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses of one IP version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Addrs {
    pub client: IpAddr,
    pub server: IpAddr,
    /// The client's other address.
    pub client_too: IpAddr,
    /// Where the hosts look for a name server; an experiment that uses names puts one there.
    pub names: IpAddr,
    /// Hosts between client and server, the client's side first.
    pub proxies: [IpAddr; 2],
    /// The bits of the network.
    pub prefix: u8,
    /// Bytes of the headers of IP and TCP, without options.
    pub headers: u16,
}

/// Where servers listen.
pub(super) const HTTP: u16 = 80;

const fn v4(host: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, host))
}

const fn v6(host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host))
}

pub(super) const V4: Addrs = Addrs {
    client: v4(1),
    server: v4(2),
    client_too: v4(9),
    names: v4(53),
    proxies: [v4(3), v4(4)],
    prefix: 24,
    headers: 40,
};

pub(super) const V6: Addrs = Addrs {
    client: v6(1),
    server: v6(2),
    client_too: v6(9),
    names: v6(0x53),
    proxies: [v6(3), v6(4)],
    prefix: 64,
    headers: 60,
};

impl Addrs {
    /// Where the server listens.
    pub fn web(&self) -> SocketAddr {
        SocketAddr::new(self.server, HTTP)
    }

    /// The server's origin: `http://10.77.0.2`, `http://[fd77::2]`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.host())
    }

    /// The server as a `Host` field names it.
    pub fn host(&self) -> String {
        match self.server {
            IpAddr::V4(addr) => addr.to_string(),
            IpAddr::V6(addr) => format!("[{addr}]"),
        }
    }
}

//! What do experiments have in common? Two hosts and a stop-watch in virtual time.

use super::LabError;
use crate::settings::Settings;
use crate::sim::{HostId, Socket, World};
use crate::stack;
use crate::time::{Duration, Instant};
use crate::trace::{Direction, Tracer};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
pub(super) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));

/// A client and a server on one link.
pub(super) struct Bench {
    pub world: World,
    pub client: HostId,
    pub server: HostId,
}

/// `settings` with some knobs turned.
pub(super) fn turned(settings: &Settings, knobs: &[(&str, &str)]) -> Result<Settings, LabError> {
    let mut settings = settings.clone();
    for (name, value) in knobs {
        settings.set_value(name, value)?;
    }
    Ok(settings)
}

impl Bench {
    /// Both hosts run with the same settings.
    pub fn new(settings: &Settings, seed: u64) -> Bench {
        let mut world = World::new(seed, settings.link.clone());
        let mut host = |name, addr| {
            let config = stack::Config {
                tcp: settings.tcp.clone(),
                addrs: vec![(addr, 24)],
                gateways: Vec::new(),
                mtu: 1500,
                seed,
                dns: Vec::new(),
            };
            world.add_host(name, config, Tracer::default())
        };
        let (client, server) = (host("client", CLIENT), host("server", SERVER));
        Bench { world, client, server }
    }

    /// Connects and returns both ends; nothing is under way any more.
    pub fn pair(&mut self) -> Result<(Socket, Socket), LabError> {
        let pair = self.world.pair(self.client, self.server, SocketAddr::new(SERVER, 80))?;
        self.quiet();
        Ok(pair)
    }

    /// Lets what is under way arrive: longer than any timer of an idle connection that is not for its death.
    pub fn quiet(&mut self) {
        self.world.run_for(Duration::from_secs(1));
    }

    /// Writes, and lets the stack see the write before the next one.
    pub fn write(&mut self, socket: Socket, len: usize) -> Result<(), LabError> {
        self.world.write_all(socket, &vec![b'x'; len])?;
        self.world.run_for(Duration::ZERO);
        Ok(())
    }

    /// Reads so many bytes.
    pub fn read(&mut self, socket: Socket, len: usize) -> Result<(), LabError> {
        Ok(self.world.read_exact(socket, &mut vec![0; len])?)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// Packets that a host sent for a cause.
    pub fn sent(&mut self, host: HostId, word: &str) -> u64 {
        self.world.stack(host).tracer().counts().of(word, Direction::Out)
    }
}

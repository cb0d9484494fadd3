//! How does a stack on a TUN device come to life and end? What run, serve and get have in common.

use super::failure::Failure;
use super::options::{Network, Recording};
use anyhow::Context as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tcpglass::net::{Handle, Runtime};
use tcpglass::service::{HttpServer, Listening, Service, Site};
use tcpglass::settings::Settings;
use tcpglass::stack::{self, Owner};
use tcpglass::trace::Counts;
use tcpglass::tun::{self, Offload, Tun, TunError, TunErrorKind, TunOptions};

/// What the server is called in captures and in a private /etc/hosts.
pub const NAME: &str = "glass";
/// The one service beside the handles.
pub const SERVICE: Owner = Owner(1);
/// Packets that may wait for us: what a peer with a large window sends at once (the kernel's default is 500).
const QUEUE: u32 = 5000;

impl From<TunError> for Failure {
    fn from(error: TunError) -> Failure {
        match error.kind() {
            TunErrorKind::BadName => Failure::usage(error),
            _ => Failure::failed(error),
        }
    }
}

/// Everything that is needed to begin, checked.
pub struct Stage {
    /// The settings.
    pub settings: Settings,
    /// The addresses.
    pub network: Network,
    /// What is recorded.
    pub recording: Recording,
    /// Where the stack's random numbers come from.
    pub seed: u64,
    /// Name servers.
    pub dns: Vec<IpAddr>,
}

impl Stage {
    /// Moves this process, which must have one thread, to a network of its own.
    ///
    /// Returns what did not work but can be done without.
    pub fn enter(&self) -> Result<Option<String>, Failure> {
        let hosts: Vec<(IpAddr, &str)> = self.network.addrs.iter().map(|(ip, _)| (*ip, NAME)).collect();
        Ok(tun::enter_private_namespace(&hosts)?.hosts_warning)
    }

    /// Opens the device. Its kernel's side is up; nothing answers yet.
    pub fn open(&self, name: Option<&str>) -> Result<Opened<'_>, Failure> {
        let offload = match self.network.offload {
            // What crosses a link crosses it packet by packet.
            Offload::Auto if !self.settings.link.is_ideal() => Offload::Off,
            chosen => chosen,
        };
        let tun = Tun::open(&TunOptions {
            name: name.map(str::to_owned),
            mtu: self.network.mtu,
            host_addrs: self.network.peers.clone(),
            queue_len: QUEUE,
            configure: true,
            offload,
        })?;
        Ok(Opened { stage: self, tun })
    }

    /// The names in captures; `ours` is the stack's.
    pub fn names(&self, ours: &str) -> Vec<(IpAddr, String)> {
        let (stack, other) = (self.network.addrs.iter(), self.network.peers.iter());
        match ours {
            // In the simulator the server has the stack's usual addresses, and the client the kernel's.
            "client" => named(stack, NAME).chain(named(other, "client")).collect(),
            _ => named(stack, ours).chain(named(other, "kernel")).collect(),
        }
    }
}

fn named<'a>(
    addrs: impl Iterator<Item = &'a (IpAddr, u8)>,
    name: &str,
) -> impl Iterator<Item = (IpAddr, String)> {
    addrs.map(move |(ip, _)| (*ip, name.to_owned()))
}

/// A device with no stack on it yet.
pub struct Opened<'a> {
    stage: &'a Stage,
    tun: Tun,
}

impl Opened<'_> {
    /// Opens the records and starts the stack with one service.
    pub fn start(self, service: Box<dyn Service>) -> Result<Started, Failure> {
        let Opened { stage, tun } = self;
        let (device, status) = (tun.name().to_owned(), tun.status());
        let tracer = stage.recording.open(stage.names(NAME), &device, &stage.settings)?;
        let config = stack::Config {
            tcp: stage.settings.tcp.clone(),
            addrs: stage.network.addrs.clone(),
            gateways: stage.network.peers.iter().map(|(ip, _)| *ip).collect(),
            mtu: tun.mtu(),
            seed: stage.seed,
            dns: stage.dns.clone(),
        };
        let runtime = Runtime::builder(config)
            .tracer(tracer)
            .link(stage.settings.link.clone())
            .busy_poll(stage.network.busy_poll)
            .service(service)
            .start(tun)
            .with_context(|| format!("cannot start the stack on {device}"))?;
        Ok(Started { runtime, device, status })
    }
}

/// A stack that runs.
pub struct Started {
    runtime: Runtime,
    /// The interface's name.
    pub device: String,
    status: tun::Status,
}

impl Started {
    /// The way to the stack.
    pub fn handle(&self) -> Handle {
        self.runtime.handle()
    }

    /// Ends it: what is open may finish within `grace`, the records are completed.
    pub fn finish(self, grace: Duration) -> Result<Counts, Failure> {
        let tracer = (self.runtime.shutdown(grace))
            .with_context(|| format!("the stack on {} ended early", self.device))?;
        let (counts, dropped) = (tracer.counts(), tracer.dropped());
        // The message holds the path and what to do.
        tracer.finish().map_err(Failure::failed)?;
        if dropped > 0 {
            super::failure::say(&format!(
                "{dropped} records were dropped: the disk is slower than the network"
            ));
        }
        if let Some(error) = self.status.error(&self.device) {
            return Err(error.into());
        }
        Ok(counts)
    }
}

/// The HTTP server on port 80 of every address of the stack.
pub fn server(network: &Network, root: Option<PathBuf>, settings: &Settings) -> HttpServer {
    let addresses = network.addrs.iter().map(|(ip, _)| SocketAddr::new(*ip, 80)).collect();
    HttpServer::new(SERVICE, addresses, Site { root }, settings.http.clone()).with_disk_helpers()
}

/// Waits until the server listens everywhere.
pub fn listening(answers: &crossbeam_channel::Receiver<Listening>, addresses: usize) -> Result<(), Failure> {
    for _ in 0..addresses {
        match answers.recv_timeout(Duration::from_secs(5)) {
            Ok(Listening::At(_)) => {}
            Ok(Listening::Failed(addr, e)) => {
                return Err(Failure::failed(format_args!("cannot listen on {addr}: {e}")));
            }
            Err(_) => return Err(Failure::failed(io::Error::from(io::ErrorKind::TimedOut))),
        }
    }
    Ok(())
}

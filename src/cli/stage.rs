//! How does a stack on a TUN device come to life and end? What run, serve and get have in common.

use super::failure::Failure;
use super::options::{Network, Recording};
use super::tally;
use anyhow::Context as _;
use crossbeam_channel::Receiver;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tcpglass::net::{Handle, Runtime};
use tcpglass::service::{HttpServer, Listening, Service, Site, Tally};
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
    /// Queues of the device, a stack for each.
    pub queues: NonZeroU16,
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
        let options = TunOptions {
            name: name.map(str::to_owned),
            mtu: self.network.mtu,
            host_addrs: self.network.peers.clone(),
            queue_len: QUEUE,
            configure: true,
            offload,
        };
        Ok(Opened { stage: self, queues: Tun::open_queues(&options, self.queues)? })
    }

    /// What is recorded, by queue.
    pub fn recordings(&self) -> Vec<Recording> {
        match self.queues.get() {
            1 => vec![self.recording.clone()],
            queues => (1..=queues).map(|queue| self.recording.of_queue(queue)).collect(),
        }
    }

    /// An HTTP server for each queue.
    pub fn servers(&self, root: Option<&Path>) -> Servers {
        let server = || server(&self.network, root.map(Path::to_owned), &self.settings);
        let mut made: Vec<HttpServer> = (0..self.queues.get()).map(|_| server()).collect();
        let listening = made.iter().map(HttpServer::listening).collect();
        let tallies = made.iter_mut().map(|server| server.tally(tally::SHOWN)).collect();
        Servers { made, listening, tallies }
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

/// An HTTP server for each queue.
pub struct Servers {
    /// Until they are taken.
    pub made: Vec<HttpServer>,
    listening: Vec<Receiver<Listening>>,
    tallies: Vec<Arc<Mutex<Tally>>>,
}

impl Servers {
    /// To be run.
    pub fn take(&mut self) -> Vec<Box<dyn Service>> {
        self.made.drain(..).map(|server| Box::new(server) as Box<dyn Service>).collect()
    }

    /// Waits until all of them listen on so many addresses; they run by now.
    pub fn listening(&mut self, addresses: usize) -> Result<(), Failure> {
        self.listening.drain(..).try_for_each(|answers| listening(&answers, addresses))
    }

    /// What they did.
    pub fn tally(&self) -> Result<Tally, Failure> {
        let mut sum = Tally::default();
        for tally in &self.tallies {
            let tally = tally.lock().map_err(|_| Failure::failed("the count of exchanges was lost"))?;
            sum.merge(&tally, tally::SHOWN);
        }
        Ok(sum)
    }
}

/// A device with no stack on it yet.
pub struct Opened<'a> {
    stage: &'a Stage,
    queues: Vec<Tun>,
}

impl Opened<'_> {
    /// Opens the records and starts the stack with one service.
    pub fn start(self, service: Box<dyn Service>) -> Result<Started, Failure> {
        self.start_each(vec![service])
    }

    /// The same on each queue, with a service for each.
    pub fn start_each(self, services: Vec<Box<dyn Service>>) -> Result<Started, Failure> {
        let Opened { stage, queues } = self;
        let mut started = Started { stacks: Vec::new(), device: String::new() };
        for ((tun, recording), service) in queues.into_iter().zip(stage.recordings()).zip(services) {
            let (device, status) = (tun.name().to_owned(), tun.status());
            let tracer = recording.open(stage.names(NAME), &device, &stage.settings)?;
            let config = stack::Config {
                tcp: stage.settings.tcp.clone(),
                addrs: stage.network.addrs.clone(),
                gateways: stage.network.peers.iter().map(|(ip, _)| *ip).collect(),
                mtu: tun.mtu(),
                // The same for all: a cookie of one is good for all.
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
            started.stacks.push((runtime, status));
            started.device = device;
        }
        Ok(started)
    }
}

/// A stack that runs, or one on each queue.
pub struct Started {
    stacks: Vec<(Runtime, tun::Status)>,
    /// The interface's name.
    pub device: String,
}

impl Started {
    /// The way to each stack.
    pub fn handles(&self) -> Vec<Handle> {
        self.stacks.iter().map(|(runtime, _)| runtime.handle()).collect()
    }

    /// Ends it: what is open may finish within `grace`, the records are completed.
    pub fn finish(self, grace: Duration) -> Result<Counts, Failure> {
        let Started { stacks, device } = self;
        let ended: Vec<_> = thread::scope(|scope| {
            let ending: Vec<_> = stacks
                .into_iter()
                .map(|(runtime, status)| (scope.spawn(move || runtime.shutdown(grace)), status))
                .collect();
            ending.into_iter().map(|(thread, status)| (thread.join(), status)).collect()
        });
        let (mut counts, mut dropped) = (Counts::default(), 0);
        for (tracer, status) in ended {
            let tracer = tracer.unwrap_or_else(|_| Err(io::Error::other("its end panicked")));
            let tracer = tracer.with_context(|| format!("the stack on {device} ended early"))?;
            counts.merge(&tracer.counts());
            dropped += tracer.dropped();
            // The message holds the path and what to do.
            tracer.finish().map_err(Failure::failed)?;
            if let Some(error) = status.error(&device) {
                return Err(error.into());
            }
        }
        if dropped > 0 {
            super::failure::say(&format!(
                "{dropped} records were dropped: the disk is slower than the network"
            ));
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
pub fn listening(answers: &Receiver<Listening>, addresses: usize) -> Result<(), Failure> {
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

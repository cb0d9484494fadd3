//! Where do `get` and `load` run? Over a TUN device, with a server in a private network, or between two simulated hosts.

use super::body::Writer;
use super::child::Passed;
use super::failure::Failure;
use super::stage::{NAME, SERVICE, Stage};
use crossbeam_channel::{Receiver, TryRecvError, select};
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tcpglass::service::{Fetched, HttpServer, Service, Site};
use tcpglass::sim::World;
use tcpglass::stack;
use tcpglass::trace::Tracer;

/// What runs on the stack, and where its results come until all is done.
pub struct Client {
    /// The client.
    pub service: Box<dyn Service>,
    /// Disconnected after the last one.
    pub results: Receiver<Fetched>,
}

/// How long connections may take to close when all is done.
const GRACE: Duration = Duration::from_secs(2);
/// How long the server of `--with` may take to listen.
const START: Duration = Duration::from_secs(10);

/// The kernel is the other side.
pub fn tun(
    stage: &Stage,
    device: Option<&str>,
    client: Client,
    writer: Option<&Writer>,
    each: &mut dyn FnMut(Fetched),
) -> Result<(), Failure> {
    let device = stage.open(device)?;
    let started = device.start(client.service)?;
    take(&client.results, writer, each);
    started.finish(GRACE).map(|_| ())
}

/// The kernel of this private network is the other side, and `command` runs there.
pub fn with(
    stage: &Stage,
    command: &str,
    port: u16,
    client: Client,
    writer: Option<&Writer>,
    each: &mut dyn FnMut(Fetched),
) -> Result<(), Failure> {
    // The server may bind the addresses of the kernel's side, so they have to be there before it starts.
    let device = stage.open(None)?;
    let args: Vec<OsString> = vec!["-c".into(), command.into()];
    // Its output is no result of ours.
    let mut server = Passed::spawn(Path::new("/bin/sh"), &args, std::io::stderr().into(), true)?;
    wait_for(&mut server, port, command)?;
    let started = device.start(client.service)?;
    take(&client.results, writer, each);
    let finished = started.finish(GRACE).map(|_| ());
    server.terminate();
    finished
}

/// Until someone listens on the port, without connecting to it: the server shall see our requests alone.
fn wait_for(server: &mut Passed, port: u16, command: &str) -> Result<(), Failure> {
    const TURN: Duration = Duration::from_millis(20);
    for _ in 0..START.as_millis() / TURN.as_millis() {
        if listens(port) {
            return Ok(());
        }
        if let Some(status) = server.ended_within(TURN) {
            return Err(Failure::failed(format_args!(
                "--with {command:?} ended before it listened on port {port}: {status}"
            )));
        }
    }
    Err(Failure::failed(format_args!(
        "--with {command:?} does not listen on port {port} after {} s: give it the port of the URL, or of --proxy",
        START.as_secs()
    )))
}

fn listens(port: u16) -> bool {
    const LISTEN: &str = "0A";
    ["tcp", "tcp6"].into_iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().and_then(|a| a.rsplit(':').next());
            let state = fields.nth(1);
            local.and_then(|p| u16::from_str_radix(p, 16).ok()) == Some(port) && state == Some(LISTEN)
        })
    })
}

/// Takes results until the last one, or until nobody wants the bodies any more.
fn take(results: &Receiver<Fetched>, writer: Option<&Writer>, each: &mut dyn FnMut(Fetched)) {
    let never = crossbeam_channel::never();
    let ended = writer.map_or(&never, Writer::ended);
    loop {
        select! {
            recv(results) -> result => match result {
                Ok(fetched) => each(fetched),
                Err(_) => return,
            },
            recv(ended) -> _ => return,
        }
    }
}

/// Client and server are simulated; the server listens on port 80, as that of `run` does, and is called glass.
pub fn sim(
    stage: &Stage,
    client: Client,
    writer: Option<&Writer>,
    each: &mut dyn FnMut(Fetched),
) -> Result<(), Failure> {
    let (network, settings) = (&stage.network, &stage.settings);
    let config = |addrs: &[(IpAddr, u8)]| stack::Config {
        tcp: settings.tcp.clone(),
        addrs: addrs.to_vec(),
        gateways: Vec::new(),
        mtu: network.mtu,
        seed: stage.seed,
        dns: Vec::new(),
    };
    let addresses: Vec<SocketAddr> = network.addrs.iter().map(|(ip, _)| SocketAddr::new(*ip, 80)).collect();
    let tracer = stage.recording.open(stage.names("client"), "client", settings)?;
    let mut world = World::new(stage.seed, settings.link.clone());
    let near = world.add_host("client", config(&network.peers), tracer);
    let far = world.add_host(NAME, config(&network.addrs), Tracer::default());
    let server = HttpServer::new(SERVICE, addresses, Site::default(), settings.http.clone());
    world.add_service(far, Box::new(server));
    let results = client.results;
    world.add_service(near, client.service);
    // Each exchange has its time limit, so this ends.
    world.run_until(Duration::MAX, |_| {
        loop {
            match results.try_recv() {
                Ok(fetched) => each(fetched),
                Err(TryRecvError::Empty) => return writer.is_some_and(Writer::has_ended),
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    });
    world.drain(GRACE);
    // The last FINs and ACKs belong to the capture.
    world.run_until(GRACE, |w| [near, far].iter().all(|host| w.stack(*host).open_connections() == 0));
    for fetched in results.try_iter() {
        each(fetched);
    }
    world.finish().map_err(Failure::failed)
}

//! How is a stack started on a device, and stopped?

use super::clock::Clock;
use super::core::{Core, OWNER};
use super::driver::{Driver, watch};
use super::handle::{Command, Handle};
use crate::service::Service;
use crate::sim::{Impaired, LinkConfig};
use crate::stack::{Config, Outlet, Stack};
use crate::time::Duration;
use crate::trace::Tracer;
use std::any::Any;
use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};

/// How long dropping a [`Runtime`] waits for its connections to close.
pub const DROP_GRACE: Duration = Duration::from_secs(1);

/// A stack on a device, in a thread of its own.
///
/// Dropping it closes everything as [`shutdown`](Self::shutdown) does, within [`DROP_GRACE`].
pub struct Runtime {
    handle: Handle,
    /// None after it was joined.
    thread: Option<JoinHandle<io::Result<Tracer>>>,
}

/// What a [`Runtime`] is made of.
pub struct Builder {
    config: Config,
    tracer: Tracer,
    link: LinkConfig,
    services: Vec<Box<dyn Service>>,
    busy_poll: Duration,
}

impl Builder {
    /// Where the trace goes; by default nowhere.
    pub fn tracer(mut self, tracer: Tracer) -> Builder {
        self.tracer = tracer;
        self
    }

    /// Puts the device behind a network with these properties, in both directions. Its faults follow from the stack's seed.
    pub fn link(mut self, link: LinkConfig) -> Builder {
        self.link = link;
        self
    }

    /// How long the thread looks for packets and calls after the last ones before it sleeps; zero, the default, sleeps at
    /// once. It saves a few times ten microseconds per exchange of a single connection, and costs a core.
    pub fn busy_poll(mut self, time: Duration) -> Builder {
        self.busy_poll = time;
        self
    }

    /// Runs `service` inside the stack's thread. Each has an owner number of its own, other than [`OWNER`].
    pub fn service(mut self, service: Box<dyn Service>) -> Builder {
        self.services.push(service);
        self
    }

    /// Starts the thread. [`Copying`](crate::stack::Copying) makes any `smoltcp` device one for it.
    ///
    /// # Errors
    /// `InvalidInput` if two services share an owner or the MTU is larger than the device's; those of starting a thread.
    pub fn start<D: Outlet + AsFd + Send + 'static>(self, device: D) -> io::Result<Runtime> {
        let Builder { config, tracer, link, services, busy_poll } = self;
        let carries = device.capabilities().max_transmission_unit;
        if usize::from(config.mtu) > carries {
            return Err(invalid(format!(
                "the stack's MTU {} is larger than the device's {carries}",
                config.mtu
            )));
        }
        let mut owners = vec![OWNER.0];
        for service in &services {
            if owners.contains(&service.owner().0) {
                return Err(invalid(format!("two services have the owner number {}", service.owner().0)));
            }
            owners.push(service.owner().0);
        }
        let (handle, commands, bell) = Handle::new()?;
        let seed = config.seed;
        let fd = watch(&device)?;
        let thread = thread::Builder::new().name("tcpglass".into()).spawn(move || {
            // Timers of the stack are exact to microseconds; the default slack is fifty of them.
            let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1_000));
            bell.adopt_thread();
            let driver = Driver {
                core: Core::new(Stack::new(config, tracer)),
                device: Impaired::new(device, &link, seed),
                fd,
                services,
                commands,
                bell,
                clock: Clock::start(),
                busy_poll,
                ending: None,
            };
            driver.run()
        })?;
        Ok(Runtime { handle, thread: Some(thread) })
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl Runtime {
    /// A stack with this configuration, to be started on a device.
    pub fn builder(config: Config) -> Builder {
        Builder {
            config,
            tracer: Tracer::default(),
            link: LinkConfig::default(),
            services: Vec::new(),
            busy_poll: Duration::ZERO,
        }
    }

    /// The way to the stack, for [`super::TcpStream`] and [`super::TcpListener`].
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Whether the thread has ended by itself, for instance because the device is gone; [`shutdown`](Self::shutdown)
    /// tells why.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops: listeners close, services finish what is open, connections are closed; what is not done when `grace` is
    /// over is reset, with no grace all of it at once. After that every call on a handle fails. Returns the tracer, still to be finished.
    ///
    /// # Errors
    /// What ended the thread before: the device, or a panic.
    pub fn shutdown(mut self, grace: Duration) -> io::Result<Tracer> {
        self.stop(grace)
    }

    fn stop(&mut self, grace: Duration) -> io::Result<Tracer> {
        let Some(thread) = self.thread.take() else {
            return Err(super::handle::gone());
        };
        // If it has ended already, joining says why.
        let _ = self.handle.send(Command::Stop(grace));
        thread.join().unwrap_or_else(|panic| {
            Err(io::Error::other(format!("the network stack's thread panicked: {}", message(&*panic))))
        })
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // Who wants to know what went wrong calls `shutdown`.
            let _ = self.stop(DROP_GRACE).and_then(Tracer::finish);
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("finished", &self.is_finished()).finish()
    }
}

//! How does code in blocking style run in virtual time? Each task has a thread, and the world waits for them.
//!
//! A task's call is handed to the world, and the task waits; the world goes on until the call can be answered, hands the
//! answer back and waits itself until the task makes its next call or ends. So the same seed gives the same run. Tasks
//! may begin others and share sockets, locks and channels of std as threads do: see [`Net::spawn`].

mod address;
mod line;
mod outside;
mod runner;
mod stream;

pub use address::{Remote, ToRemote};
pub(super) use line::{Common, Place};
use line::{Cx, Doing, Line};
pub(super) use runner::Tasks;
pub use runner::Waiting;
pub use stream::{Incoming, TcpListener, TcpStream};

use crate::stack::{QueryId, ResolveError};
use crate::time::{Duration, Instant};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{Location, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What becomes of a task.
struct Slot<T> {
    result: Option<thread::Result<T>>,
    done: bool,
}

struct Outcome<T>(Arc<Mutex<Slot<T>>>);

impl<T> Outcome<T> {
    fn new() -> Outcome<T> {
        Outcome(Arc::new(Mutex::new(Slot { result: None, done: false })))
    }

    fn clone(&self) -> Outcome<T> {
        Outcome(self.0.clone())
    }

    fn put(&self, result: thread::Result<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Slot { result: Some(result), done: true };
    }

    fn take(&self) -> Option<thread::Result<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).result.take()
    }

    fn is_done(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).done
    }
}

/// Something that runs on a host. [`World::join`](super::World::join) waits for its result from outside of the world,
/// [`Task::join`] in another task. Dropping it changes nothing about what it does.
pub struct Task<T> {
    outcome: Outcome<T>,
    number: u32,
}

impl<T> Task<T> {
    /// Its number in its world, from 1: that of [`Waiting::task`].
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.outcome.is_done()
    }

    /// The result, once.
    ///
    /// # Panics
    /// As the task did.
    pub(super) fn take(&self) -> Option<T> {
        Some(self.outcome.take()?.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl<T: Send + 'static> Task<T> {
    /// Waits in virtual time until it has ended; for use in another task, like [`std::thread::JoinHandle::join`].
    ///
    /// # Errors
    /// What the task panicked with.
    ///
    /// # Panics
    /// When it has not ended and who asks is no task: there [`World::join`](super::World::join) lets time go on.
    pub fn join(self) -> thread::Result<T> {
        if !self.is_finished() {
            let (Some(line), outcome) = (Line::current(), self.outcome.clone()) else {
                panic!("task {} is joined by a thread that is no task: use World::join", self.number);
            };
            // The task may be one of another host: the call is the caller's own.
            let joined = line
                .place
                .call(Doing::Joins(self.number), None, false, move |_| outcome.is_done().then_some(Ok(())));
            joined.expect("a task calls its own host");
        }
        self.outcome.take().expect("a task has one result, and its handle is one")
    }
}

/// Makes a task on the host of `tasks`; nothing happens before the host's next turn.
pub(super) fn spawn<T: Send + 'static>(
    tasks: &mut Tasks,
    begun_at: &'static Location<'static>,
    body: impl FnOnce(&Net) -> T + Send + 'static,
) -> Task<T> {
    let (task, runner) = runner::new(tasks.place(), begun_at, body);
    tasks.add(runner);
    task
}

/// The network as the tasks of a host see it. Clones are the same.
#[derive(Clone)]
pub struct Net {
    place: Arc<Place>,
}

impl Net {
    /// Begins another task on this host, as [`std::thread::spawn`] begins a thread: it runs when this one waits.
    ///
    /// ```
    /// use std::io::{self, Read, Write};
    /// # let mut world = tcpglass::sim::World::new(1, "rtt=20ms".parse()?);
    /// # let (client, server) = (world.add([10, 0, 0, 1]), world.add([10, 0, 0, 2]));
    /// world.spawn(server, |net| -> io::Result<()> {
    ///     for stream in net.listen(7)?.incoming() {
    ///         let mut stream = stream?;
    ///         net.spawn(move |_| io::copy(&mut stream.try_clone()?, &mut stream));
    ///     }
    ///     Ok(())
    /// });
    /// let task = world.spawn(client, |net| -> io::Result<String> {
    ///     let slow = net.connect(([10, 0, 0, 2], 7))?; // says nothing, and holds nobody up
    ///     let mut stream = net.connect(([10, 0, 0, 2], 7))?;
    ///     let reader = stream.try_clone()?;
    ///     let reads = net.spawn(move |_| io::read_to_string(reader));
    ///     stream.write_all(b"hello")?;
    ///     stream.shutdown(std::net::Shutdown::Write)?;
    ///     drop(slow);
    ///     reads.join().expect("it does not panic")
    /// });
    /// assert_eq!(world.join(task)??, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Tasks may share locks, conditions and channels of std: the world goes on without a task that waits for one, until
    /// another task has done something. To see that it does takes some milliseconds of real time. Where several tasks
    /// want one lock at a time, which of them gets it is up to std, as with threads: then two runs may differ. Time-outs
    /// of std's own are real time and have no place here. Sockets belong to tasks of their host: calls from other
    /// threads fail with `Unsupported`.
    ///
    /// # Panics
    /// No thread can be had, or who calls is no task of this host.
    #[track_caller]
    pub fn spawn<T: Send + 'static>(&self, body: impl FnOnce(&Net) -> T + Send + 'static) -> Task<T> {
        let (task, runner) = runner::new(&self.place, Location::caller(), body);
        let mut runner = Some(runner);
        let begun = self.place.call(Doing::Asks, None, false, move |cx: &mut Cx<'_>| {
            cx.begun.extend(runner.take());
            Some(Ok(()))
        });
        begun.unwrap_or_else(|error| panic!("a task can begin one only on its own host: {error}"));
        task
    }

    /// The host's name.
    pub fn host(&self) -> &str {
        &self.place.name
    }

    /// The host's first address.
    pub fn local_ip(&self) -> IpAddr {
        self.place.local
    }

    /// Listens on a port of the host's first address; 0 lets the stack choose.
    ///
    /// # Errors
    /// The port is in use.
    pub fn listen(&self, port: u16) -> io::Result<TcpListener> {
        self.listen_on((self.place.local, port).into())
    }

    /// Listens on an address, or on all with an unspecified one.
    ///
    /// # Errors
    /// The port is in use, or the address is not one of the host.
    pub fn listen_on(&self, local: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(&self.place, local)
    }

    /// Connects to an address (`([10, 0, 0, 2], 80)`) or a name (`"glass.test:80"`), whose addresses are tried in turn.
    ///
    /// # Errors
    /// No free port, refused, timed out, no such name: with the kinds of `std::net`.
    pub fn connect(&self, remote: impl ToRemote) -> io::Result<TcpStream> {
        self.connect_each(remote, None)
    }

    /// Connects, and gives up after a time.
    ///
    /// # Errors
    /// As [`Net::connect`]; `TimedOut` when the time is over, `InvalidInput` when it is zero.
    pub fn connect_timeout(&self, remote: impl ToRemote, limit: Duration) -> io::Result<TcpStream> {
        self.connect_each(remote, Some(stream::not_zero(limit)?))
    }

    fn connect_each(&self, remote: impl ToRemote, limit: Option<Duration>) -> io::Result<TcpStream> {
        let (ips, port) = match remote.to_remote()? {
            Remote::Addr(addr) => return TcpStream::connect(&self.place, addr, limit),
            Remote::Name(name, port) => (self.lookup(&name)?, port),
        };
        let mut last = None;
        for ip in ips {
            match TcpStream::connect(&self.place, (ip, port).into(), limit) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    /// The addresses of a name: at once if it is an address or the name of a host of the world, as from a hosts file,
    /// else from the world's name servers ([`World::add_name_server`](super::World::add_name_server)), over the network.
    ///
    /// # Errors
    /// `NotFound`, `TimedOut`, `ConnectionRefused` (nobody listens at the name server's address), `NetworkUnreachable`
    /// (there is no name server), `InvalidInput`.
    pub fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let hosts = self.place.common.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ips) = hosts.get(&name.trim_end_matches('.').to_ascii_lowercase()) {
            let same = |ip: &&IpAddr| ip.is_ipv4() == self.place.local.is_ipv4();
            let near: Vec<IpAddr> = ips.iter().filter(same).copied().collect();
            return Ok(if near.is_empty() { ips.clone() } else { near });
        }
        drop(hosts);
        let (asked, named): (String, Arc<str>) = (name.into(), name.into());
        let mut query: Option<QueryId> = None;
        self.place.call(Doing::LooksUp(named), None, true, move |cx: &mut Cx<'_>| {
            let failed = |error| Some(Err(resolve_error(error, &asked)));
            let id = match query {
                Some(id) => id,
                None => match cx.stack.resolve(cx.now, &asked, line::OWNER) {
                    Ok(id) => *query.insert(id),
                    Err(error) => return failed(error),
                },
            };
            cx.stack.resolved(id)?.map_or_else(failed, |ips| Some(Ok(ips)))
        })
    }

    /// Lets virtual time pass.
    ///
    /// # Panics
    /// When who calls is no task of this host.
    pub fn sleep(&self, time: Duration) {
        let slept =
            self.place.call(Doing::Sleeps, Some(time), false, |cx: &mut Cx<'_>| cx.over.then_some(Ok(())));
        slept.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The virtual time.
    ///
    /// # Panics
    /// When who calls is no task of this host.
    pub fn now(&self) -> Instant {
        self.place.ask(|now, _| now).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn resolve_error(error: ResolveError, name: &str) -> io::Error {
    let kind = match error {
        ResolveError::InvalidName => io::ErrorKind::InvalidInput,
        ResolveError::NotFound => io::ErrorKind::NotFound,
        ResolveError::TimedOut => io::ErrorKind::TimedOut,
        ResolveError::Refused => io::ErrorKind::ConnectionRefused,
        ResolveError::NoServer => io::ErrorKind::NetworkUnreachable,
    };
    io::Error::new(kind, format!("looking up {name}: {error}"))
}

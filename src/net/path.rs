//! How do two devices become two ends of one bad network? Each packet of one crosses a link to the other, in real time.

use super::clock::Clock;
use super::driver::{timespec, watch};
use crate::sim::{Impaired, LinkConfig, link::Totals};
use crate::time::{Duration, Instant};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use smoltcp::phy::{Device, RxToken, TxToken};
use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Packets carried in one direction before the other one gets its turn.
const BATCH: usize = 64;
/// How often the other direction is looked at while one is held up.
const FULL: Duration = Duration::from_millis(1);
/// A device that reports an error so often, and carries nothing, is gone.
const LOST_MAX: u32 = 3;

/// A network between two devices, in a thread of its own: a link in each direction with the same properties.
///
/// With two TUN devices in two network namespaces it lies between two Linux hosts (`examples/impaired_path.rs`); with one
/// end of a [`pipe`](super::pipe()) as the other device, between a Linux host and a stack of ours. Dropping it cuts it.
pub struct Path {
    bell: Arc<OwnedFd>,
    /// None after it was joined.
    thread: Option<JoinHandle<io::Result<(Totals, Totals)>>>,
}

impl Path {
    /// Joins `a` and `b`. The faults follow from `seed`, each direction's from dice of its own: what `a` sends meets the
    /// same ones whoever sends it. An ideal link carries packets at once.
    ///
    /// # Errors
    /// `InvalidInput` if a device hands over more than packets of the wire (offload); the system has no descriptors or
    /// threads left.
    pub fn start<A, B>(a: A, b: B, link: &LinkConfig, seed: u64) -> io::Result<Path>
    where
        A: Device + AsFd + Send + 'static,
        B: Device + AsFd + Send + 'static,
    {
        if offloads(&a) || offloads(&b) {
            let text = "a path carries packets of the wire: open its devices without offload";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let (fds, rung, link) = ([watch(&a)?, watch(&b)?], bell.clone(), link.clone());
        let thread = thread::Builder::new().name("path".into()).spawn(move || {
            // A packet should arrive when its link says so; the default slack is fifty microseconds.
            let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1_000));
            Carrier { a: Impaired::new(a, &link, seed), b, fds, bell: rung, clock: Clock::start() }.run()
        })?;
        Ok(Path { bell, thread: Some(thread) })
    }

    /// Cuts it; what is under way is lost. Returns what it did to packets from `a` to `b`, and to those from `b` to `a`;
    /// zeros for an ideal link.
    ///
    /// # Errors
    /// What ended it before: a device is gone.
    pub fn cut(mut self) -> io::Result<(Totals, Totals)> {
        self.stop()
    }

    fn stop(&mut self) -> io::Result<(Totals, Totals)> {
        let Some(thread) = self.thread.take() else { return Ok(Default::default()) };
        // A full counter means that it is told already.
        let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the path's thread panicked")))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        // Who wants to know what went wrong calls `cut`.
        let _ = self.stop();
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finished = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        f.debug_struct("Path").field("finished", &finished).finish()
    }
}

/// All that the path's thread owns. The links lie around `a`: received packets cross one, sent packets the other.
struct Carrier<A, B> {
    a: Impaired<A>,
    b: B,
    /// The devices' descriptors, to sleep on.
    fds: [OwnedFd; 2],
    bell: Arc<OwnedFd>,
    clock: Clock,
}

impl<A: Device, B: Device> Carrier<A, B> {
    fn run(mut self) -> io::Result<(Totals, Totals)> {
        let mut lost = 0;
        loop {
            let now = self.clock.now();
            self.a.settle(now);
            let there = carry(&mut self.a, &mut self.b, now);
            let back = carry(&mut self.b, &mut self.a, now);
            // Nobody asks for the single faults; they are counted.
            self.a.take_incidents().for_each(drop);
            let busy = there + back > 0;
            let full = [
                self.a.is_blocked() || self.a.transmit(now.into()).is_none(),
                self.b.transmit(now.into()).is_none(),
            ];
            let deadline = match self.a.next_deadline() {
                _ if busy => Some(now),
                // What is due for the full device waits for its room; the other one's packets go on.
                at if full[1] => at.map(|at| at.max(now + FULL)),
                at => at,
            };
            let (told, hung_up) = self.sleep(deadline, full)?;
            if told {
                return Ok(self.a.totals());
            }
            lost = if hung_up && !busy { lost + 1 } else { 0 };
            if lost > LOST_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::BrokenPipe,
                    "a device of the path is gone: was its interface deleted?",
                ));
            }
        }
    }

    /// Sleeps until a packet arrives or can go on. True if the path is to be cut, and if a device reports an error.
    fn sleep(&self, deadline: Option<Instant>, full: [bool; 2]) -> io::Result<(bool, bool)> {
        let timeout = deadline.map(|at| timespec(at.since(self.clock.now())));
        // From a device that waits for room in the other one nothing can be taken either.
        let flags = |here: usize| match (full[1 - here], full[here]) {
            (false, false) => PollFlags::IN,
            (false, true) => PollFlags::IN | PollFlags::OUT,
            (true, false) => PollFlags::empty(),
            (true, true) => PollFlags::OUT,
        };
        let mut fds = [
            PollFd::new(&self.fds[0], flags(0)),
            PollFd::new(&self.fds[1], flags(1)),
            PollFd::new(&*self.bell, PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok((false, false)),
            Err(e) => return Err(e.into()),
        }
        let failed = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        let [a, b, bell] = fds.map(|fd| fd.revents());
        Ok((!bell.is_empty(), (a | b).intersects(failed)))
    }
}

fn offloads(device: &impl Device) -> bool {
    device.capabilities().segmentation.tcpv4.is_some()
}

/// Hands on what has arrived, as far as there is room. Returns how many packets that were.
fn carry(from: &mut impl Device, to: &mut impl Device, now: Instant) -> usize {
    let mut carried = 0;
    while carried < BATCH
        && let Some(room) = to.transmit(now.into())
        && let Some((packet, _)) = from.receive(now.into())
    {
        packet.consume(|frame| room.consume(frame.len(), |buf| buf.copy_from_slice(frame)));
        carried += 1;
    }
    carried
}

//! What happens in one turn of the runtime's thread, and how does it sleep?

use super::clock::Clock;
use super::core::Core;
use super::handle::{Bell, Command};
use crate::service::Service;
use crate::sim::Impaired;
use crate::stack::{Outlet, Polled, Sent};
use crate::time::{Duration, Instant};
use crate::trace::Tracer;
use crossbeam_channel::Receiver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use smoltcp::phy::Device;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Packets received before anything else gets its turn, more than are sent in one: each may bring another one back, what is not
/// fetched fills the device's queue, and many connections that send at once are acknowledged once each.
const RECEIVE_BATCH: usize = 384;
/// Frames sent in one turn.
const SEND_FRAMES: usize = 64;
/// Packets of the wire sent before the device is asked for received ones again.
const SEND_BATCH: usize = 256;
/// Packets of the wire sent before services may write more: what a write leaves over is not sent as a small rest then, and
/// what was written leaves while it is in the processor's caches.
const SEND_BETWEEN: usize = 64;
/// Commands taken in one turn.
const COMMAND_BATCH: usize = 1024;
/// How often in one turn each busy connection may hand one write to TCP.
const PUMP_ROUNDS: usize = 32;
/// How long the last packets may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// All that the runtime's thread owns.
pub(super) struct Driver<D> {
    pub(super) core: Core,
    pub(super) device: Impaired<D>,
    /// The device's descriptor, to sleep on.
    pub(super) fd: OwnedFd,
    pub(super) services: Vec<Box<dyn Service>>,
    pub(super) commands: Receiver<Command>,
    pub(super) bell: Arc<Bell>,
    pub(super) clock: Clock,
    /// How long to look for packets and commands after the last ones before sleeping.
    pub(super) busy_poll: Duration,
    /// Shutting down: then whatever is left is reset.
    pub(super) ending: Option<Instant>,
}

/// What a turn was like.
struct Turn {
    /// Whether anything was done.
    busy: bool,
    /// Whether there is more to do at once.
    more: bool,
}

impl<D: Outlet> Driver<D> {
    /// Turns until it is stopped and everything is closed, or the time for that is over.
    pub(super) fn run(mut self) -> io::Result<Tracer> {
        match self.turns() {
            Ok(()) => self.finish(),
            Err(e) => {
                // The trace is as complete as it can be; what broke the stack is the error that counts.
                let _ = self.core.stack.into_tracer().finish();
                Err(e)
            }
        }
    }

    fn turns(&mut self) -> io::Result<()> {
        let (mut lost, mut last_busy) = (0, Instant::ZERO);
        loop {
            let Turn { busy, more } = self.turn(self.clock.now());
            let now = self.clock.now();
            if let Some(end) = self.ending
                && (self.drain(now) || now >= end)
            {
                return Ok(());
            }
            if busy {
                last_busy = now;
            }
            if more || now < last_busy + self.busy_poll {
                continue;
            }
            let hung_up = self.sleep(self.deadline(now), now)?;
            // An error condition may belong to one packet; one that stays although nothing happens is the device's end.
            lost = if hung_up && !busy { lost + 1 } else { 0 };
            if lost > 3 {
                return Err(io::Error::new(
                    io::ErrorKind::BrokenPipe,
                    "the network device is gone: was its interface deleted?",
                ));
            }
        }
    }

    /// Everything that can be done at `now`, a batch of each kind.
    fn turn(&mut self, now: Instant) -> Turn {
        let mut busy = self.take_commands(now);
        self.device.settle(now);
        let clock = self.clock;
        let polled = self.core.stack.poll_batch(|| clock.now(), &mut self.device, RECEIVE_BATCH);
        busy |= polled.is_busy();
        let now = clock.now();
        busy |= self.core.take_events(now);
        busy |= self.pump(now);
        busy |= self.serve(now, busy);
        for (direction, incident) in self.device.take_incidents() {
            incident.record(self.core.stack.tracer(), direction);
        }
        // What the last packets brought about is looked at before sleeping; what waits for room in the device is not.
        let due = self.core.stack.next_deadline().is_some_and(|at| at <= now);
        let more = polled == Polled::More || due || busy && self.core.stack.has_ready();
        Turn {
            busy,
            more: more || self.core.stack.has_output() && self.device.transmit(now.into()).is_some(),
        }
    }

    /// Services and the device by turns. True if anything was sent.
    fn serve(&mut self, now: Instant, mut news: bool) -> bool {
        let mut sent = Sent::default();
        while sent.packets < SEND_BATCH && sent.frames < SEND_FRAMES {
            for service in &mut self.services {
                if news || service.next_deadline().is_some_and(|at| at <= now) {
                    service.poll(now, &mut self.core.stack);
                }
            }
            let left = self.core.stack.transmit_on(now, &mut self.device, SEND_BETWEEN);
            if left.frames == 0 {
                break;
            }
            sent.frames += left.frames;
            sent.packets += left.packets;
            news = self.core.stack.has_ready();
        }
        sent.frames > 0
    }

    fn take_commands(&mut self, now: Instant) -> bool {
        for n in 0..COMMAND_BATCH {
            match self.commands.try_recv() {
                Ok(Command::Kick(id)) => self.core.kicked(id),
                Ok(Command::Run(f)) => f(&mut self.core, now),
                Ok(Command::Stop(grace)) => self.stop(now, grace),
                Err(_) => return n > 0,
            }
        }
        true
    }

    /// Moves bytes between handles and TCP. Each write is sent, as far as TCP wants, before the next one is taken.
    fn pump(&mut self, now: Instant) -> bool {
        let mut busy = false;
        for _ in 0..PUMP_ROUNDS {
            if !self.core.pump_each(now) {
                break;
            }
            busy = true;
            self.core.stack.transmit_on(now, &mut self.device, SEND_BATCH);
        }
        busy
    }

    fn stop(&mut self, now: Instant, grace: Duration) {
        // Without any time everything is reset at once: a FIN would pass a part for the whole.
        if !grace.is_zero() {
            self.core.close_all(now);
        }
        self.ending = Some(now + grace);
    }

    /// True when nothing is open any more.
    fn drain(&mut self, now: Instant) -> bool {
        let mut done = true;
        for service in &mut self.services {
            done &= service.drain(now, &mut self.core.stack);
        }
        // Thousands may close at once, and each is answered: not more than is received in a turn.
        self.core.stack.transmit_on(now, &mut self.device, SEND_BETWEEN);
        done && self.core.all_sent() && self.core.stack.open_connections() == 0
    }

    /// When something is due although nothing arrives. None: never.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.core.is_dirty() {
            return Some(now);
        }
        let services = self.services.iter().filter_map(|service| service.next_deadline());
        services
            .chain(self.core.stack.next_deadline())
            .chain(self.device.next_deadline())
            .chain(self.ending)
            .min()
    }

    /// Sleeps until a packet or a command arrives or the deadline is over. True if the device reports an error.
    fn sleep(&mut self, deadline: Option<Instant>, now: Instant) -> io::Result<bool> {
        let mut interest = PollFlags::IN;
        if self.device.is_blocked() || self.device.transmit(now.into()).is_none() {
            interest |= PollFlags::OUT;
        }
        let idle = deadline != Some(now) && self.bell.fall_asleep(|| self.commands.is_empty());
        // The time of this turn is old by now, so a sleep ends a little late rather than early, never twice.
        let timeout =
            if idle { deadline.map(|at| timespec(at.since(now))) } else { Some(timespec(Duration::ZERO)) };
        let mut fds = [PollFd::new(&self.fd, interest), PollFd::new(&*self.bell, PollFlags::IN)];
        let polled = poll(&mut fds, timeout.as_ref());
        let [device, bell] = fds.map(|fd| fd.revents());
        self.bell.wake_up(!bell.is_empty());
        match polled {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(device.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL))
    }

    /// Resets what is left, lets the last packets leave, ends the trace.
    fn finish(mut self) -> io::Result<Tracer> {
        let started = self.clock.now();
        self.core.stack.abort_all(started);
        let end = started + FAREWELL;
        loop {
            let now = self.clock.now();
            self.device.settle(now);
            let sent = self.core.stack.transmit_on(now, &mut self.device, SEND_BATCH).frames;
            let waiting = self.device.is_blocked() || self.device.transmit(now.into()).is_none();
            let crossing = self.device.next_deadline();
            if now >= end || (sent == 0 && !waiting && crossing.is_none()) {
                break;
            }
            if sent == 0 {
                let until = crossing.unwrap_or(end).min(end);
                let flags = if waiting { PollFlags::OUT } else { PollFlags::empty() };
                poll(&mut [PollFd::new(&self.fd, flags)], Some(&timespec(until.since(now))))?;
            }
        }
        Ok(self.core.stack.into_tracer())
    }
}

pub(super) fn timespec(d: Duration) -> Timespec {
    Timespec { tv_sec: d.as_secs().min(1 << 30) as i64, tv_nsec: d.subsec_nanos().into() }
}

/// A second descriptor for the device, so that it can be watched while the device is in use.
pub(super) fn watch(device: &impl AsFd) -> io::Result<OwnedFd> {
    device.as_fd().try_clone_to_owned()
}

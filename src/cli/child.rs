//! How does COMMAND run under us? With its own standard streams, our signals passed on, its exit code ours.

use super::failure::Failure;
use anyhow::Context as _;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// A child process; signals that we get are passed on to it while it lives.
pub struct Passed {
    child: Child,
    pid: OwnedFd,
    /// The process group that it leads, if it has one of its own.
    group: Option<Pid>,
    signals: signal_hook::iterator::Handle,
    passer: Option<JoinHandle<()>>,
}

impl Passed {
    /// Starts `program`; its output goes to `stdout`, everything else is inherited. A `helper` of ours gets a process
    /// group of its own, which ends as a whole, and a signal that is passed on to it ends this process, too.
    pub fn spawn(program: &Path, args: &[OsString], stdout: Stdio, helper: bool) -> Result<Passed, Failure> {
        let failed = |what: &str, e: std::io::Error| {
            let code = if e.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            Failure::new(ExitCode::from(code), format_args!("cannot {what} {}: {e}", program.display()))
        };
        // Before the child exists: a signal that comes in between waits here and reaches it.
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
            .map_err(|e| failed("catch signals to pass them on to", e))?;
        let mut command = Command::new(program);
        command.args(args).stdout(stdout);
        if helper {
            // A shell may start the server as a child of its own, which a signal to the shell alone would not reach.
            command.process_group(0);
        }
        let child = command.spawn().map_err(|e| failed("run", e))?;
        // A process id may be given to another process once the child is gone; this cannot.
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::failed("the system gave a process an impossible number"))?;
        let group = helper.then_some(pid);
        let pid = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| failed("watch", e.into()))?;
        let handle = signals.handle();
        let target = pid.try_clone().map_err(|e| failed("watch", e))?;
        let passer = std::thread::spawn(move || {
            for number in signals.forever() {
                let _ = match (Signal::from_named_raw(number), group) {
                    (Some(signal), Some(group)) => kill_process_group(group, signal),
                    (Some(signal), None) if !reaches_group(signal) => {
                        pidfd_send_signal(target.as_fd(), signal)
                    }
                    _ => Ok(()),
                };
                if helper {
                    std::process::exit(128 + number);
                }
            }
        });
        Ok(Passed { child, pid, group, signals: handle, passer: Some(passer) })
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<ExitStatus, Failure> {
        let status = self.child.wait().context("cannot wait for a command")?;
        self.stop_passing();
        Ok(status)
    }

    /// How it ended, if it does so within `time`.
    pub fn ended_within(&mut self, time: Duration) -> Option<ExitStatus> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        // The descriptor of a process becomes readable when it ends.
        let _ = poll(&mut [PollFd::new(&self.pid, PollFlags::IN)], Some(&timeout));
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end, and after a while makes it; its whole group, if it leads one.
    pub fn terminate(mut self) {
        self.send(Signal::TERM);
        if self.ended_within(Duration::from_secs(2)).is_none() {
            self.send(Signal::KILL);
            let _ = self.child.wait();
        }
        self.stop_passing();
    }

    fn send(&self, signal: Signal) {
        // Whoever is gone already needs no signal.
        let _ = match self.group {
            Some(group) => kill_process_group(group, signal),
            None => pidfd_send_signal(self.pid.as_fd(), signal),
        };
    }

    fn stop_passing(&mut self) {
        self.signals.close();
        if let Some(passer) = self.passer.take() {
            let _ = passer.join();
        }
    }
}

/// Whether the terminal has sent the signal to the child as well: what is typed reaches the whole foreground group.
fn reaches_group(signal: Signal) -> bool {
    if signal != Signal::INT && signal != Signal::QUIT {
        return false;
    }
    let foreground = File::open("/dev/tty").ok().and_then(|tty| rustix::termios::tcgetpgrp(&tty).ok());
    foreground == Some(rustix::process::getpgrp())
}

/// The exit code as a shell tells it: 128 + n after signal n.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(code as u8),
        (None, Some(signal)) => ExitCode::from(128_u8.wrapping_add(signal as u8)),
        (None, None) => ExitCode::FAILURE,
    }
}

//! `tcpglass extcap`: how is a running stack one of Wireshark's interfaces?
//!
//! Wireshark calls each program of its extcap folders with the options of this command, but without the command's name; what is
//! printed are its sentences, `word {name=value}…`.

use super::args::Extcap;
use super::attached;
use super::failure::{Failure, say};
use super::{Outcome, output};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use tcpglass::attach::{self, Place, Visitor};

/// What the interface of a process is called.
const PREFIX: &str = "tcpglass-";
const NO_FILTER: &str = "tcpglass has no capture filters: its trace leaves nothing out; use a display filter";

/// A command line of Wireshark's gets the name of this command.
pub fn arguments(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    let first = args.get(1).and_then(|first| first.to_str()).unwrap_or_default();
    if first.starts_with("--extcap-") || first == "--capture" {
        args.insert(1, "extcap".into());
    }
    args
}

/// Answers one of Wireshark's questions, or captures.
pub fn run(args: Extcap) -> Outcome {
    if args.extcap_interfaces {
        return output::result(&interfaces()).map(|()| ExitCode::SUCCESS);
    }
    let Some(interface) = &args.extcap_interface else {
        return Err(Failure::usage(
            "extcap is for Wireshark: it asks with --extcap-interfaces, or names an --extcap-interface",
        ));
    };
    let filter = args.extcap_capture_filter.as_deref().filter(|filter| !filter.trim().is_empty());
    let sentences = if args.extcap_dlts {
        "dlt {number=101}{name=RAW}{display=Raw IP}\n"
    } else if args.extcap_config {
        "arg {number=0}{call=--snaplen}{display=Bytes of each packet}{tooltip=Keep only the first bytes of each packet}\
         {type=unsigned}{range=64,262144}{default=262144}{required=false}\n"
    } else if args.extcap_reload_option.is_some() {
        ""
    } else if args.capture {
        let Some(fifo) = &args.fifo else { return Err(Failure::usage("--capture needs --fifo PATH")) };
        // Whatever is refused, a reader that waits for the other end of its FIFO must see it come and go.
        let out = OpenOptions::new().write(true).open(fifo);
        let out = out.map_err(|e| {
            Failure::failed(format_args!("cannot open {} for the capture: {e}", fifo.display()))
        })?;
        if filter.is_some() {
            return Err(Failure::usage(NO_FILTER));
        }
        return capture(interface, out, fifo, args.snaplen.unwrap_or(0));
    } else if filter.is_some() {
        // What is printed is what Wireshark says of the filter.
        NO_FILTER
    } else {
        ""
    };
    output::result(sentences).map(|()| ExitCode::SUCCESS)
}

/// The stacks that run. One that has no time to say who it is has a name all the same.
fn interfaces() -> String {
    let mut out = format!(
        "extcap {{version={}}}{{help=https://www.wireshark.org/docs/man-pages/extcap.html}}{{display=tcpglass}}\n",
        env!("CARGO_PKG_VERSION")
    );
    for place in attach::running() {
        let name = Visitor::connect(&place.path).map_or("stack".into(), |visitor| attached::name(&visitor));
        let name = name.replace(['{', '}', '\n'], "?");
        out +=
            &format!("interface {{value={PREFIX}{0}}}{{display=tcpglass {name}, process {0}}}\n", place.pid);
    }
    out
}

fn place(interface: &str) -> Result<Place, Failure> {
    let pid = interface.strip_prefix(PREFIX).and_then(|pid| pid.parse::<u32>().ok());
    let found = pid.and_then(|pid| attach::running().into_iter().find(|place| place.pid == pid));
    found.ok_or_else(|| {
        Failure::failed(format_args!("{interface}: no such stack runs; refresh the list of interfaces"))
    })
}

/// Returns when nobody reads from a pipe any more, also if nothing is written to it.
fn wait_for_nobody(pipe: &File) {
    // What is asked for is nothing: an error is told all the same (poll(2)).
    let mut fds = [PollFd::new(pipe, PollFlags::empty())];
    while let Ok(0) | Err(Errno::INTR) = poll(&mut fds, None) {}
}

/// Hands the capture on until the stack ends, the reader is gone, or a signal says that it is enough.
fn capture(interface: &str, mut out: File, fifo: &Path, snaplen: u32) -> Outcome {
    let place = place(interface)?;
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|e| Failure::failed(format_args!("cannot catch SIGINT and SIGTERM: {e}")))?;
    let to = fifo.display().to_string();
    let lost = |e: std::io::Error| attached::unreachable(place.pid, &e);
    let mut visitor = attached::visit(&place)?;
    visitor.capture(snaplen).map_err(lost)?;
    let leave = visitor.leave().map_err(lost)?;
    let (give_up, pipe) = (visitor.leave().map_err(lost)?, out.try_clone());
    let pipe = pipe.map_err(|e| Failure::writing(&to, &e))?;
    thread::spawn(move || {
        wait_for_nobody(&pipe);
        give_up();
    });
    thread::spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            leave();
        }
        if signals.next().is_some() {
            say("ended at once by a second signal; the capture ends at its last whole block");
            std::process::exit(1);
        }
    });
    let mut bytes = vec![0; 256 << 10];
    loop {
        let n = match visitor.read(&mut bytes) {
            Ok(0) => return Ok(ExitCode::SUCCESS),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(lost(e)),
        };
        out.write_all(&bytes[..n]).map_err(|e| Failure::writing(&to, &e))?;
    }
}

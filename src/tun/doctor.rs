//! Is everything here that the TUN device and private namespaces need, and if not, what to do?

use super::error::{open_error, privilege_remedy};
use super::line::try_offload;
use super::namespace::{Restrictions, refused, separate};
use super::sys;
use rustix::io::Errno;
use std::env;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use tun_tap::{Iface, Mode};

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do if it is not.
    pub remedy: Option<String>,
    /// Whether the program works without it.
    pub optional: bool,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Check {
        Check { name, ok: true, found: found.into(), remedy: None, optional: false }
    }

    fn bad(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { name, ok: false, found: found.into(), remedy: Some(remedy.into()), optional: false }
    }
}

/// Looks at everything. Nothing is changed: what would change the process is tried in a child.
pub fn doctor() -> Vec<Check> {
    let restrictions = Restrictions::read();
    let (namespace, device) = namespaces(&restrictions);
    let mut checks =
        vec![tun_node(), switches(&restrictions), namespace, device, offload(), device_on_host()];
    checks.extend(
        [("curl", "any HTTP client does"), ("tshark", "to read captures: or Wireshark")].map(optional_tool),
    );
    checks
}

fn tun_node() -> Check {
    const NAME: &str = "/dev/net/tun";
    let meta = match fs::metadata(NAME) {
        Ok(meta) => meta,
        Err(e) => return failed(NAME, open_error(e)),
    };
    let mode = format!("mode {:04o}", meta.permissions().mode() & 0o7777);
    if !meta.file_type().is_char_device() {
        return Check::bad(NAME, "not a character device", "`sudo mknod /dev/net/tun c 10 200`");
    }
    match OpenOptions::new().read(true).write(true).open(NAME) {
        Ok(_) => Check::good(NAME, mode),
        Err(e) => {
            let found = format!("{mode}: {e}");
            Check::bad(NAME, found, open_error(e).remedy())
        }
    }
}

fn failed(name: &'static str, error: super::TunError) -> Check {
    Check::bad(name, error.to_string(), error.remedy())
}

fn switches(restrictions: &Restrictions) -> Check {
    const NAME: &str = "switches for user namespaces";
    let show = |name: &str, value: Option<u64>| value.map(|v| format!("{name}={v}"));
    let found: Vec<String> = [
        show("kernel.apparmor_restrict_unprivileged_userns", restrictions.apparmor),
        show("kernel.unprivileged_userns_clone", restrictions.clone),
        show("user.max_user_namespaces", restrictions.max),
    ]
    .into_iter()
    .flatten()
    .collect();
    let found = if found.is_empty() { "none in this kernel".into() } else { found.join(" ") };
    match restrictions.remedy() {
        // Root does not need them.
        Some(remedy) if !rustix::process::geteuid().is_root() => Check::bad(NAME, found, remedy),
        _ => Check::good(NAME, found),
    }
}

/// What the probe got stuck at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Namespace = 1,
    Open = 2,
    Attach = 3,
}

/// Enters private namespaces and makes a TUN device there: 0, or the step and the kernel's number in one.
fn probe() -> u16 {
    let stuck = |step: Step, e: &io::Error| {
        // Errors without a number of the kernel's are not expected; they count as EIO.
        let errno = e.raw_os_error().filter(|n| (1..4096).contains(n)).unwrap_or(Errno::IO.raw_os_error());
        (step as u16) << 12 | errno as u16
    };
    if let Err(e) = separate() {
        return stuck(Step::Namespace, &e);
    }
    if let Err(e) = OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        return stuck(Step::Open, &e);
    }
    match Iface::without_packet_info("glass%d", Mode::Tun) {
        Ok(_) => 0,
        Err(e) => stuck(Step::Attach, &e),
    }
}

fn namespaces(restrictions: &Restrictions) -> (Check, Check) {
    const NAMESPACE: &str = "private network namespace";
    const DEVICE: &str = "TUN device in a private namespace";
    let answer = match sys::in_forked_child(probe) {
        Ok(answer) => answer,
        Err(e) => {
            let untried = |name| {
                Check::bad(name, format!("a child to try it could not be made: {e}"), "see `ulimit -u`")
            };
            return (untried(NAMESPACE), untried(DEVICE));
        }
    };
    let cause = io::Error::from_raw_os_error(i32::from(answer & 0xfff));
    let entered = Check::good(NAMESPACE, "can be made");
    match answer >> 12 {
        0 => (entered, Check::good(DEVICE, "can be made")),
        step if step == Step::Namespace as u16 => {
            let check = failed(NAMESPACE, refused(cause, restrictions));
            let untried = Check::bad(DEVICE, "not tried: no namespace", "see the line above");
            (check, untried)
        }
        step if step == Step::Open as u16 => (entered, failed(DEVICE, open_error(cause))),
        _ => (
            entered,
            Check::bad(DEVICE, cause.to_string(), "a security module forbids it: see the kernel's log"),
        ),
    }
}

/// Whether segments of 64 KiB can pass in one piece, tried where `run` would have its device.
fn offload() -> Check {
    const NAME: &str = "segmentation offload";
    let probe = || {
        let number = |e: io::Error| e.raw_os_error().filter(|n| (1..4096).contains(n)).unwrap_or(5) as u16;
        separate().map(drop).and_then(|()| try_offload()).map_or_else(number, |()| 0)
    };
    let check = match sys::in_forked_child(probe) {
        Ok(0) => Check::good(NAME, "the kernel has it: --offload auto uses it"),
        answer => {
            let cause = answer.map(|errno| io::Error::from_raw_os_error(errno.into())).unwrap_or_else(|e| e);
            Check::bad(NAME, cause.to_string(), "--offload auto does without it: bulk transfers are slower")
        }
    };
    Check { optional: true, ..check }
}

/// `serve` and `get` put their device into the host's own network; `run` does not need that.
fn device_on_host() -> Check {
    const NAME: &str = "TUN device on this host (serve, get)";
    let capable = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::NET_ADMIN));
    let check = if capable {
        Check::good(NAME, "this user may make one")
    } else {
        Check::bad(NAME, "this user may not make one (no CAP_NET_ADMIN)", privilege_remedy())
    };
    Check { optional: true, ..check }
}

fn optional_tool((tool, use_for): (&'static str, &'static str)) -> Check {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(tool)).find(|file| {
        fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    });
    let check = match found {
        Some(file) => Check::good(tool, file.display().to_string()),
        None => Check::bad(tool, "not in PATH", format!("optional ({use_for}): `sudo apt install {tool}`")),
    };
    Check { optional: true, ..check }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_as_it_should_be_has_a_remedy() {
        for check in doctor() {
            assert_eq!(check.ok, check.remedy.is_none(), "{check:?}");
            assert!(!check.found.is_empty(), "{check:?}");
        }
    }

    #[test]
    fn the_answer_of_a_forked_child_comes_back_whole() {
        assert_eq!(sys::in_forked_child(|| 0).unwrap(), 0);
        assert_eq!(sys::in_forked_child(|| 0xabcd).unwrap(), 0xabcd);
    }
}

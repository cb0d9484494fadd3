//! How does a process get a network of its own without being root? Private namespaces.

use super::error::{TunError, TunErrorKind};
use super::ifconfig::Interface;
use super::sys;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::{getgid, getuid};
use rustix::thread::UnshareFlags;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// What came of entering a private namespace.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Entered {
    /// Why the names could not be added to /etc/hosts; the network works without them.
    pub hosts_warning: Option<String>,
}

/// Moves the process into network and mount namespaces of its own, as root directly, otherwise inside a user namespace
/// in which it is root. Brings the loopback interface up and adds `hosts` to a private copy of /etc/hosts.
///
/// To be called before anything else: the process must have one thread, and a TUN device must be opened afterwards.
/// (As root only the calling thread moves, and threads that it starts later.)
///
/// # Errors
/// The kernel, or an administrator, does not allow it.
pub fn enter_private_namespace(hosts: &[(IpAddr, &str)]) -> Result<Entered, TunError> {
    let mounts = separate().map_err(|e| refused(e, &Restrictions::read()))?;
    Interface::new("lo")?.up()?;
    let hosts_warning = match mounts {
        _ if hosts.is_empty() => None,
        true => add_hosts(hosts).err(),
        false => Some("no private /etc/hosts: the system allows no mount namespace".into()),
    };
    Ok(Entered { hosts_warning })
}

/// Unshares. True if there is a mount namespace, too.
pub(super) fn separate() -> io::Result<bool> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    if rustix::process::geteuid().is_root() {
        match unshare_with_mounts(UnshareFlags::NEWNET) {
            // Root of a container may lack the capability.
            Err(e) if Errno::from_io_error(&e) == Some(Errno::PERM) => {}
            done => return done,
        }
    }
    let mounts = unshare_with_mounts(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    // Without this an unprivileged process may not write gid_map: user_namespaces(7).
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    Ok(mounts)
}

fn unshare_with_mounts(flags: UnshareFlags) -> io::Result<bool> {
    match sys::unshare(flags | UnshareFlags::NEWNS) {
        Ok(()) => Ok(true),
        Err(e) if Errno::from_io_error(&e) == Some(Errno::PERM) => sys::unshare(flags).map(|()| false),
        Err(e) => Err(e),
    }
}

/// What administrators and distributions set to forbid user namespaces; `None` where the kernel has no such switch.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Restrictions {
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu).
    pub apparmor: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian).
    pub clone: Option<u64>,
    /// `user.max_user_namespaces`.
    pub max: Option<u64>,
}

impl Restrictions {
    pub(super) fn read() -> Restrictions {
        let read = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        Restrictions {
            apparmor: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            clone: read("/proc/sys/kernel/unprivileged_userns_clone"),
            max: read("/proc/sys/user/max_user_namespaces"),
        }
    }

    /// What to do, if one of them is in the way.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self {
            Restrictions { max: Some(0), .. } => Some(
                "user namespaces are switched off: `sudo sysctl user.max_user_namespaces=10000`, or use sudo",
            ),
            Restrictions { clone: Some(0), .. } => Some(
                "only root may make user namespaces: `sudo sysctl kernel.unprivileged_userns_clone=1`, or use sudo",
            ),
            Restrictions { apparmor: Some(1), .. } => Some(
                "AppArmor restricts user namespaces: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or use sudo",
            ),
            _ => None,
        }
    }
}

/// The error for a refused namespace.
pub(super) fn refused(cause: io::Error, restrictions: &Restrictions) -> TunError {
    let remedy = match (restrictions.remedy(), Errno::from_io_error(&cause)) {
        (Some(remedy), _) => remedy,
        (None, Some(Errno::NOSPC)) => {
            "too many namespaces exist, or are nested: `sudo sysctl user.max_user_namespaces user.max_net_namespaces` shows the limits"
        }
        (None, Some(Errno::INVAL)) => {
            "either the kernel has no user namespaces, or the process has started threads already"
        }
        (None, _) => {
            "in a container, start it with `--cap-add SYS_ADMIN` or allow user namespaces; otherwise use sudo"
        }
    };
    TunError::new(TunErrorKind::Namespace, "making a private network namespace", cause, remedy)
}

/// Puts a copy of /etc/hosts with more names over the original one, in this mount namespace only.
fn add_hosts(hosts: &[(IpAddr, &str)]) -> Result<(), String> {
    let mut text = fs::read("/etc/hosts").map_err(|e| format!("no private /etc/hosts: reading it: {e}"))?;
    if text.last().is_some_and(|&b| b != b'\n') {
        text.push(b'\n');
    }
    for (addr, name) in hosts {
        text.extend(format!("{addr} {name}\n").bytes());
    }
    // Nothing may reach the host's own mounts.
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(|e| format!("no private /etc/hosts: making mounts private: {}", io::Error::from(e)))?;
    // The file needs a file system that goes away with the namespace: a tmpfs that is visible only until it is bound.
    let mut last = String::new();
    for directory in ["/tmp", "/run", "/mnt"].map(Path::new) {
        match cover_hosts(directory, &text) {
            Ok(()) => return Ok(()),
            Err(e) => last = format!("no private /etc/hosts: mounting over {}: {e}", directory.display()),
        }
    }
    Err(last)
}

fn cover_hosts(directory: &Path, text: &[u8]) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", directory, "tmpfs", flags, Some(c"size=1m,mode=0755"))?;
    let file = directory.join("hosts");
    let bound = fs::write(&file, text).and_then(|()| Ok(mount_bind(&file, "/etc/hosts")?));
    unmount(directory, UnmountFlags::DETACH)?;
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_switch_that_is_in_the_way() {
        let open = Restrictions { apparmor: Some(0), clone: Some(1), max: Some(1000) };
        for (restrictions, errno, remedy) in [
            (
                Restrictions { apparmor: Some(1), ..open.clone() },
                Errno::PERM,
                "apparmor_restrict_unprivileged_userns=0",
            ),
            (Restrictions { clone: Some(0), ..open.clone() }, Errno::PERM, "unprivileged_userns_clone=1"),
            (Restrictions { max: Some(0), ..open.clone() }, Errno::NOSPC, "max_user_namespaces=10000"),
            (open.clone(), Errno::NOSPC, "too many namespaces"),
            (open.clone(), Errno::INVAL, "threads"),
            (Restrictions::default(), Errno::PERM, "container"),
        ] {
            let error = refused(errno.into(), &restrictions);
            assert_eq!(error.kind(), TunErrorKind::Namespace);
            assert!(error.remedy().contains(remedy), "{error}");
        }
        assert_eq!(open.remedy(), None);
    }
}

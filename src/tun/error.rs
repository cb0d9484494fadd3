//! What went wrong with the TUN device or the namespace, and what to do about it?

use std::fmt;
use std::io;

/// A failure of this module: what was tried, what went wrong, what to do.
#[derive(Debug)]
pub struct TunError {
    kind: TunErrorKind,
    tried: String,
    cause: io::Error,
    remedy: String,
}

/// Which failure it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TunErrorKind {
    /// There is no /dev/net/tun.
    NoTun,
    /// The user may not open /dev/net/tun or make a device.
    Permission,
    /// Another process uses the device.
    NameTaken,
    /// The name cannot be one of a TUN device.
    BadName,
    /// An address, the MTU, the queue or the state of the interface could not be set.
    Configure,
    /// The interface is down.
    Down,
    /// No private namespace could be made.
    Namespace,
    /// Something else.
    Other,
}

impl TunError {
    pub(super) fn new(
        kind: TunErrorKind,
        tried: impl Into<String>,
        cause: impl Into<io::Error>,
        remedy: impl Into<String>,
    ) -> TunError {
        TunError { kind, tried: tried.into(), cause: cause.into(), remedy: remedy.into() }
    }

    /// Which failure it is.
    pub fn kind(&self) -> TunErrorKind {
        self.kind
    }

    /// What to do about it.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.tried, self.cause, self.remedy)
    }
}

impl std::error::Error for TunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl From<TunError> for io::Error {
    fn from(e: TunError) -> io::Error {
        io::Error::new(e.cause.kind(), e)
    }
}

/// What to do when the user may not make a device.
pub(super) fn privilege_remedy() -> String {
    let uid = rustix::process::getuid().as_raw();
    format!(
        "use `tcpglass run`, which needs no privilege, or run with sudo, or give the program the right with \
         `sudo setcap cap_net_admin+ep PROGRAM`, or let root make a device for you with \
         `sudo ip tuntap add dev glass0 mode tun user {uid}`"
    )
}

/// What to do when /dev/net/tun cannot be opened.
pub(super) fn open_error(cause: io::Error) -> TunError {
    let tried = "opening /dev/net/tun";
    match cause.kind() {
        io::ErrorKind::PermissionDenied => TunError::new(
            TunErrorKind::Permission,
            tried,
            cause,
            "it must be writable for you: `sudo chmod 0666 /dev/net/tun` (what udev sets; the device gives no rights of its own)",
        ),
        _ => TunError::new(
            TunErrorKind::NoTun,
            tried,
            cause,
            "load the driver with `sudo modprobe tun`; in a container start it with `--device /dev/net/tun`",
        ),
    }
}

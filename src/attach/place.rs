//! Where are the sockets of the stacks that run? `PID.sock` in a directory that only its user may enter.

use rustix::fs::{AtFlags, CWD, statat};
use rustix::process::geteuid;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Whom a directory may let in.
const PRIVATE: u32 = 0o700;

/// Where a stack of this user's runs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The process.
    pub pid: u32,
    /// Its socket.
    pub path: PathBuf,
}

/// The directories where this user's sockets may be, the first choice first: `$XDG_RUNTIME_DIR/tcpglass`, then
/// `/tmp/tcpglass-UID`.
pub fn places() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|place| Path::new(place).is_absolute());
    let temporary = PathBuf::from(format!("/tmp/tcpglass-{}", geteuid().as_raw()));
    runtime.map(|place| Path::new(&place).join("tcpglass")).into_iter().chain([temporary]).collect()
}

/// Whether nobody else can have put anything there: a directory, no link, of this user's, and closed to others.
fn is_private(directory: &Path) -> bool {
    statat(CWD, directory, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        let (kind, rights) = (stat.st_mode & 0o170_000, stat.st_mode & 0o7777);
        kind == 0o040_000 && rights & !PRIVATE == 0 && stat.st_uid == geteuid().as_raw()
    })
}

/// The stacks of this user's that answer, by process. What those left behind that are gone is removed.
pub fn running() -> Vec<Place> {
    let mut found: Vec<Place> = places().iter().flat_map(|directory| listed(directory)).collect();
    found.sort();
    found
}

/// The same of one directory.
pub fn listed(directory: &Path) -> Vec<Place> {
    if !is_private(directory) {
        return Vec::new();
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sockets = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    let named = sockets.filter_map(|entry| Some(Place { pid: pid(&entry.file_name())?, path: entry.path() }));
    named.filter(|place| !clean(&place.path)).collect()
}

/// The process that a socket's name tells: `4242.sock`.
fn pid(name: &OsStr) -> Option<u32> {
    let digits = name.to_str()?.strip_suffix(".sock")?;
    (digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0')).then(|| digits.parse().ok())?
}

/// Removes a socket at which nobody listens any more; true if it did.
fn clean(path: &Path) -> bool {
    // A socket has its name only once somebody listens at it, so nobody is refused too early.
    let gone = UnixStream::connect(path).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    gone && fs::remove_file(path).is_ok()
}

/// A socket that has a name, until this is dropped.
#[derive(Debug)]
pub struct Claim {
    listener: UnixListener,
    path: PathBuf,
}

impl Claim {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where others connect.
    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes this process's socket in the first of [`places`] that can be used.
///
/// # Errors
/// That of the last place, with its name.
pub fn claim() -> io::Result<Claim> {
    let mut refused = None;
    for directory in places() {
        match claim_in(&directory) {
            Ok(claim) => return Ok(claim),
            Err(e) => refused = Some(io::Error::new(e.kind(), format!("{}: {e}", directory.display()))),
        }
    }
    Err(refused.unwrap_or_else(|| ErrorKind::NotFound.into()))
}

/// The same in one directory, which is made if its parent is there.
///
/// # Errors
/// It can't be made, or others may enter it; this process has a socket there already.
pub fn claim_in(directory: &Path) -> io::Result<Claim> {
    match DirBuilder::new().mode(PRIVATE).create(directory) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    if !is_private(directory) {
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            "others may enter it, or it is somebody else's: remove it, or chmod 700 it",
        ));
    }
    listed(directory);
    let pid = std::process::id();
    let path = directory.join(format!("{pid}.sock"));
    if path.exists() {
        return Err(ErrorKind::AddrInUse.into());
    }
    // It gets its name when it can be connected to: who finds it earlier would take it for a dead one.
    let making = directory.join(format!(".{pid}"));
    let _ = fs::remove_file(&making);
    let listener = UnixListener::bind(&making)?;
    match fs::rename(&making, &path) {
        Ok(()) => Ok(Claim { listener, path }),
        Err(e) => {
            let _ = fs::remove_file(&making);
            Err(e)
        }
    }
}

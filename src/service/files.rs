//! Which file does a path name? Files below one directory, and nothing outside it.

use crate::http::StatusCode;
use crate::http::conditional::Validators;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a path names.
#[derive(Debug)]
pub(super) enum Found {
    /// A regular file.
    File(FoundFile),
    /// A directory, whose path ends in a slash: that one.
    MovedTo(String),
}

/// A regular file, open.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub file: File,
    pub length: u64,
    pub media_type: String,
    etag: String,
    modified: Option<u64>,
}

impl FoundFile {
    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: &self.etag, modified: self.modified }
    }
}

/// Why a path names no file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Error {
    /// The path is not validly encoded, or contains a NUL.
    Path,
    /// There is none, or it lies outside of the root.
    NotFound,
    /// It may not be read, or is no regular file.
    Forbidden,
    /// Something else went wrong, such as too many open files.
    Io,
    /// What it names is not in memory, or this kernel cannot say: the disk would be waited for.
    NotCached,
}

impl Error {
    pub fn status(self) -> StatusCode {
        match self {
            Error::Path => StatusCode::BAD_REQUEST,
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::Forbidden => StatusCode::FORBIDDEN,
            Error::Io | Error::NotCached => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Path => "the path is not validly encoded",
            Error::NotFound => "there is no such file",
            Error::Forbidden => "it may not be read",
            Error::Io | Error::NotCached => "it could not be opened",
        })
    }
}

/// Decodes percent-encoding and splits into segments. `.` and empty segments are dropped; `..` has no place here:
/// clients resolve it (RFC 3986 §5.2.4), so whoever sends it, encoded or not, means to leave the root.
fn segments(path: &str) -> Result<Vec<String>, Error> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        let decoded = decode(segment)?;
        match decoded.as_str() {
            "" | "." => {}
            ".." => return Err(Error::NotFound),
            // An encoded slash is data of one segment (RFC 3986 §2.2), which no file name can hold.
            name if name.contains('/') => return Err(Error::NotFound),
            name if name.contains('\0') => return Err(Error::Path),
            _ => segments.push(decoded),
        }
    }
    Ok(segments)
}

/// A part of a path without percent-encoding; as it is if that is not valid.
pub(super) fn decoded(part: &str) -> Cow<'_, str> {
    match part.bytes().any(|b| b == b'%') {
        true => decode(part).map_or(Cow::Borrowed(part), Cow::Owned),
        false => Cow::Borrowed(part),
    }
}

fn decode(segment: &str) -> Result<String, Error> {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or(Error::Path);
        out.push((digit(bytes.next())? * 16 + digit(bytes.next())?) as u8);
    }
    String::from_utf8(out).map_err(|_| Error::Path)
}

/// Opens the file that `path` (still encoded) names below `root`.
///
/// The kernel itself refuses whatever would leave the root, symbolic links included (`openat2(2)`,
/// `RESOLVE_BENEATH`); kernels without it get a check of the resolved path.
pub(super) fn open(root: &Path, path: &str) -> Result<Found, Error> {
    find(root, path, ResolveFlags::empty())
}

/// The same without waiting for a disk; `None` if one would be. Of what lies beyond a network, or in another program (NFS,
/// FUSE), the kernel answers without it only where it needs nobody to agree.
pub(super) fn open_at_once(root: &Path, path: &str) -> Option<Result<Found, Error>> {
    match find(root, path, ResolveFlags::CACHED) {
        Err(Error::NotCached) => None,
        found => Some(found),
    }
}

fn find(root: &Path, path: &str, how: ResolveFlags) -> Result<Found, Error> {
    let mut segments = segments(path)?;
    let file = open_beneath(root, &segments, how)?;
    let metadata = file.metadata().map_err(|_| Error::Io)?;
    let (file, metadata) = if metadata.is_dir() {
        if !path.ends_with('/') {
            return Ok(Found::MovedTo(format!("/{}/", encode(&segments))));
        }
        segments.push("index.html".into());
        let file = open_beneath(root, &segments, how)?;
        let metadata = file.metadata().map_err(|_| Error::Io)?;
        (file, metadata)
    } else if path.ends_with('/') {
        return Err(Error::NotFound);
    } else {
        (file, metadata)
    };
    if !metadata.is_file() {
        return Err(Error::Forbidden);
    }
    let name = segments.last().map_or("", String::as_str);
    let media_type = mime_guess::from_path(name).first_or_octet_stream().to_string();
    let etag = format!(
        "\"{:x}-{:x}-{:x}.{:x}\"",
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec()
    );
    let modified = u64::try_from(metadata.mtime()).ok();
    Ok(Found::File(FoundFile { file, length: metadata.len(), media_type, etag, modified }))
}

/// The path of a directory for Location. It starts with one slash, so that it cannot name another host.
fn encode(segments: &[String]) -> String {
    let mut out = String::new();
    for (n, segment) in segments.iter().enumerate() {
        if n > 0 {
            out.push('/');
        }
        for byte in segment.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    out.push(char::from(byte))
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}

fn open_beneath(root: &Path, segments: &[String], how: ResolveFlags) -> Result<File, Error> {
    let relative = if segments.is_empty() { ".".into() } else { segments.join("/") };
    let cached = how.contains(ResolveFlags::CACHED);
    // Not blocking: opening a FIFO must not wait for its writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match cached {
        true => rustix::fs::openat2(rustix::fs::CWD, root, place, Mode::empty(), how),
        false => rustix::fs::open(root, place, Mode::empty()),
    };
    let resolve = how | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = directory
        .and_then(|root| rustix::fs::openat2(&root, relative.as_str(), flags, Mode::empty(), resolve));
    match opened {
        Ok(fd) => Ok(File::from(fd)),
        // INVAL: Linux before 5.12 does not know how not to wait.
        Err(Errno::AGAIN | Errno::INVAL | Errno::NOSYS | Errno::PERM) if cached => Err(Error::NotCached),
        Err(Errno::NOSYS | Errno::PERM) => open_resolved(root, &relative),
        Err(e) => Err(error(e)),
    }
}

/// Without `openat2`: resolve, check, open what was resolved. A link that is swapped in between can still be followed.
fn open_resolved(root: &Path, relative: &str) -> Result<File, Error> {
    let root = root.canonicalize().map_err(|_| Error::NotFound)?;
    let resolved = root.join(relative).canonicalize().map_err(|_| Error::NotFound)?;
    if !resolved.starts_with(&root) {
        return Err(Error::NotFound);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    rustix::fs::open(&resolved, flags, Mode::empty()).map(File::from).map_err(error)
}

fn error(e: Errno) -> Error {
    match e {
        // XDEV: the path leads out of the root.
        Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => Error::NotFound,
        Errno::ACCESS | Errno::PERM | Errno::NXIO => Error::Forbidden,
        Errno::INVAL => Error::Path,
        _ => Error::Io,
    }
}

/// Whether files can be served from there.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check_root(root: &Path) -> Result<(), String> {
    let found = rustix::fs::statat(rustix::fs::CWD, root, AtFlags::empty())
        .map_err(|e| format!("cannot serve files from {}: {e}", root.display()))?;
    match rustix::fs::FileType::from_raw_mode(found.st_mode) {
        rustix::fs::FileType::Directory => Ok(()),
        _ => Err(format!("cannot serve files from {}: it is not a directory", root.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_is_opened_at_once_and_the_rest_is_told() {
        let root = std::env::temp_dir().join(format!("tcpglass-files-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::write(root.join("a/b"), "text").unwrap();
        for path in ["/a/b", "/a", "/a/", "/a/c", "/%00"] {
            let waited = format!("{:?}", open(&root, path).map(drop_file));
            // A kernel or a sandbox without RESOLVE_CACHED tells of all that it would wait.
            let at_once = open_at_once(&root, path).map(|found| format!("{:?}", found.map(drop_file)));
            assert!(
                at_once.as_ref().is_none_or(|at_once| *at_once == waited),
                "{path}: {at_once:?} {waited}"
            );
        }
        std::fs::remove_dir_all(root).unwrap();
        // Names below /proc/sys are asked for each time.
        assert!(open_at_once(Path::new("/proc/sys"), "/kernel/ostype").is_none());
        assert!(matches!(open(Path::new("/proc/sys"), "/kernel/ostype"), Ok(Found::File(_))));
    }

    fn drop_file(found: Found) -> String {
        match found {
            Found::File(found) => format!("{} {}", found.length, found.etag),
            Found::MovedTo(path) => path,
        }
    }
}

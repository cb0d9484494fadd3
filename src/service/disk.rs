//! How is a disk not waited for? What is in memory is taken at once; the rest is work for helpers.

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};
use std::thread;

/// What a helper reads at a time.
const PIECE: usize = 64 << 10;
/// Helpers, and what may wait for them: a slow disk holds up those who wait for it, and nobody else.
const HELPERS: usize = 4;
const WAITING: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The way to the helpers, who are there from the first job on. `None` if no thread could be had.
static JOBS: LazyLock<Option<Sender<Job>>> = LazyLock::new(|| {
    let (jobs, taken) = bounded::<Job>(WAITING);
    let started = (0..HELPERS).filter(|_| {
        let taken = taken.clone();
        let help = move || taken.iter().for_each(|job| job());
        thread::Builder::new().name("tcpglass-disk".into()).spawn(help).is_ok()
    });
    (started.count() > 0).then_some(jobs)
});

/// What a helper does, and where what came of it will be.
#[derive(Debug)]
pub(super) enum Later<T> {
    /// It comes there.
    Coming(Receiver<T>),
    /// It is here: there are no helpers.
    Here(T),
    /// As many as can wait do: to be asked again.
    Busy,
}

/// Has a helper do this.
pub(super) fn later<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Later<T> {
    let Some(jobs) = &*JOBS else { return Later::Here(work()) };
    if jobs.is_full() {
        return Later::Busy;
    }
    let (to, coming) = bounded(1);
    // Whoever asked may be gone.
    let job = Box::new(move || drop(to.send(work())));
    match jobs.try_send(job) {
        Ok(()) => Later::Coming(coming),
        Err(_) => Later::Busy,
    }
}

/// A regular file that is read as its reader goes on.
#[derive(Debug)]
pub(super) struct DiskFile {
    file: Arc<File>,
    /// Whether reading waits for the disk: in virtual time, where nothing else goes on meanwhile.
    waits: bool,
    /// A piece that a helper reads, and where it begins.
    coming: Option<(u64, Receiver<io::Result<Vec<u8>>>)>,
    /// One that has come.
    piece: (u64, Vec<u8>),
}

impl DiskFile {
    /// Reading waits for the disk if `waits`; else a helper does.
    pub fn new(file: File, waits: bool) -> DiskFile {
        DiskFile { file: Arc::new(file), waits, coming: None, piece: (0, Vec::new()) }
    }

    /// Reads what is at `at` as far as it is there.
    ///
    /// # Errors
    /// `WouldBlock` while a helper reads; those of reading.
    pub fn read_at(&mut self, out: &mut [u8], at: u64) -> io::Result<usize> {
        if self.waits {
            return self.file.read_at(out, at);
        }
        if let Some((begin, coming)) = &self.coming {
            let Ok(read) = coming.try_recv() else { return Err(io::ErrorKind::WouldBlock.into()) };
            self.piece = (*begin, read?);
            self.coming = None;
        }
        let (begin, piece) = &self.piece;
        let here = at.checked_sub(*begin).and_then(|n| usize::try_from(n).ok()).and_then(|n| piece.get(n..));
        if let Some(here) = here.filter(|here| !here.is_empty()) {
            let n = here.len().min(out.len());
            out[..n].copy_from_slice(&here[..n]);
            return Ok(n);
        }
        self.piece = (0, Vec::new());
        match preadv2(&self.file, &mut [IoSliceMut::new(out)], at, ReadWriteFlags::NOWAIT) {
            Ok(n) => Ok(n),
            Err(Errno::AGAIN) => self.ask(out, at),
            // This file system, or this kernel, does not know how not to wait.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.file.read_at(out, at),
            Err(e) => Err(e.into()),
        }
    }

    fn ask(&mut self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let file = Arc::clone(&self.file);
        let read = later(move || {
            let mut piece = vec![0; PIECE];
            let n = file.read_at(&mut piece, at)?;
            piece.truncate(n);
            Ok(piece)
        });
        match read {
            Later::Coming(coming) => self.coming = Some((at, coming)),
            Later::Here(read) => {
                self.piece = (at, read?);
                return self.read_at(out, at);
            }
            Later::Busy => {}
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file with these bytes that is, where the file system lets that be asked, not in memory.
    fn cold(bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("tcpglass-disk-{}-{}", std::process::id(), bytes.len()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(bytes).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        file
    }

    fn read_all(file: &mut DiskFile, piece: usize) -> (Vec<u8>, usize) {
        let (mut all, mut out, mut waited) = (Vec::new(), vec![0; piece], 0);
        loop {
            match file.read_at(&mut out, all.len() as u64) {
                Ok(0) => return (all, waited),
                Ok(n) => all.extend_from_slice(&out[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    waited += 1;
                    thread::yield_now();
                }
                Err(e) => panic!("{e}"),
            }
        }
    }

    #[test]
    fn a_file_is_read_whole_whoever_waits_for_the_disk() {
        let bytes: Vec<u8> = (0..1_000_003u32).map(|n| (n % 251) as u8).collect();
        for waits in [false, true] {
            for piece in [1000, 60_000, 200_000] {
                let (all, waited) = read_all(&mut DiskFile::new(cold(&bytes), waits), piece);
                assert!(all == bytes, "{waits} {piece}");
                assert!(!waits || waited == 0);
            }
        }
    }

    #[test]
    fn what_a_helper_cannot_read_is_an_error_and_the_next_one_reads_on() {
        let file = cold(&[7; 100]);
        let mut disk = DiskFile::new(file, false);
        let mut out = [0; 200];
        assert_eq!(disk.ask(&mut out, 50).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let n = loop {
            match disk.read_at(&mut out, 60) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                read => break read.unwrap(),
            }
        };
        assert_eq!((n, &out[..n]), (40, &[7; 40][..]), "of the piece that begins at 50");
        // A directory can be opened, and not be read.
        let mut disk = DiskFile::new(File::open(std::env::temp_dir()).unwrap(), false);
        let _ = disk.ask(&mut out, 0);
        let error = loop {
            match disk.read_at(&mut out, 0) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
                read => break read.unwrap_err(),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }
}

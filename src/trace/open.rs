//! Where does a trace go? From a path to a sink, and what is refused on the way.

use super::encoder::{Format, TraceOptions, encoder};
use super::record::Sink;
use super::threaded::Threaded;
use super::writer::{Direct, Output};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// Opens a capture for writing: `.pcapng`, `.pcap` or `.jsonl` by the name's end; `-` is pcapng on standard output,
/// for `wireshark -k -i -`. A FIFO or a device without such an end gets pcapng too.
///
/// A file that is there is overwritten only if it is of the same format (or empty). A thread does the writing.
///
/// # Errors
/// Says what was tried and what to do: an unknown end, a directory, a file of another kind, no permission.
pub fn open(path: &Path, options: &TraceOptions) -> io::Result<Box<dyn Sink>> {
    let format = match path.extension().and_then(|e| e.to_str()) {
        Some("pcapng") => Format::Pcapng,
        Some("pcap") => Format::Pcap,
        Some("jsonl") => Format::Jsonl,
        _ if path == Path::new("-") => Format::Pcapng,
        _ if path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir()) => Format::Pcapng,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "cannot write a trace to {}: let its name end in .pcapng, .pcap or .jsonl",
                    path.display()
                ),
            ));
        }
    };
    open_as(path, format, options)
}

/// Like [`open`], but the format does not follow from the name: for `--events FILE`, whatever FILE is called.
///
/// # Errors
/// As [`open`], but for the name's end.
pub fn open_as(path: &Path, format: Format, options: &TraceOptions) -> io::Result<Box<dyn Sink>> {
    let (writer, name): (Box<dyn Write + Send>, String) = if path == Path::new("-") {
        // As a file: `Stdout` takes one that cannot be written for one that has been.
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        (Box::new(File::from(stdout)), "the trace to standard output".into())
    } else {
        let refused = |e: io::Error| {
            io::Error::new(e.kind(), format!("cannot write the trace {}: {e}{}", path.display(), remedy(&e)))
        };
        check_replaceable(path, format).map_err(refused)?;
        (Box::new(File::create(path).map_err(refused)?), format!("the trace {}", path.display()))
    };
    let sink = Threaded::start(encoder(format, options), options.overflow, Output::new(writer, name))?;
    Ok(Box::new(sink))
}

/// A sink whose thread writes to `writer`, which messages call `name`.
///
/// # Errors
/// The thread cannot be started.
pub fn to_thread(
    writer: impl Write + Send + 'static,
    name: &str,
    format: Format,
    options: &TraceOptions,
) -> io::Result<Box<dyn Sink>> {
    let output = Output::new(Box::new(writer), name.to_owned());
    Ok(Box::new(Threaded::start(encoder(format, options), options.overflow, output)?))
}

/// A sink that writes in the caller's thread, so that the same records give the same bytes.
pub fn to_writer(
    writer: impl Write + Send + 'static,
    format: Format,
    options: &TraceOptions,
) -> Box<dyn Sink> {
    let output = Output::new(Box::new(writer), "the trace".into());
    Box::new(Direct::new(encoder(format, options), output))
}

/// Refuses to overwrite what looks like something else than a trace of this format.
fn check_replaceable(path: &Path, format: Format) -> io::Result<()> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {}
        _ => return Ok(()), // nothing there, nothing in it, or no file: opening it will tell
    }
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut f| f.read(&mut start));
    let same = match (read, format) {
        (Err(_), _) => return Ok(()), // write-only: opening it will tell
        (Ok(_), Format::Pcapng) => start == [0x0a, 0x0d, 0x0d, 0x0a],
        (Ok(_), Format::Pcap) => {
            matches!(u32::from_le_bytes(start), 0xa1b2_c3d4 | 0xd4c3_b2a1 | 0xa1b2_3c4d | 0x4d3c_b2a1)
        }
        (Ok(_), Format::Jsonl) => start.starts_with(b"{\""),
        (Ok(_), Format::Text) => start[0].is_ascii_digit(),
    };
    match same {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of another kind; remove it or choose another name",
        )),
    }
}

fn remedy(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::NotFound => "; make the directory first",
        io::ErrorKind::IsADirectory => "; name a file in it",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose a place where you may write"
        }
        _ => "",
    }
}

//! How does a capture reach somebody who may read slowly, or not at all? Through a bounded queue; what does not fit is counted.

use super::door::Shared;
use crate::time::Duration;
use crate::trace::{self, Format, Overflow, PacketRecord, Record, Sink, TraceOptions};
use crossbeam_channel::{RecvTimeoutError, bounded};
use serde_json::json;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// How long the end of a capture may take to be read when the stack ends.
const GRACE: Duration = Duration::from_secs(1);

/// The sink of a visitor's. That it lost something is told in the capture, not by the stack, and that nobody reads it to its end
/// is no error of the stack's.
struct Guest {
    /// `None` once finished.
    sink: Option<Box<dyn Sink>>,
    stream: UnixStream,
}

impl Sink for Guest {
    fn record(&mut self, record: &Record<'_>) {
        if let Some(sink) = &mut self.sink {
            sink.record(record);
        }
    }

    fn record_pieces(&mut self, packet: &PacketRecord<'_>, rest: [&[u8]; 2]) {
        if let Some(sink) = &mut self.sink {
            sink.record_pieces(packet, rest);
        }
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let Some(sink) = self.sink.take() else { return Ok(()) };
        let (done, finished) = bounded::<()>(0);
        let thread = std::thread::Builder::new().name("capture".into()).spawn(move || {
            let _ = sink.finish();
            drop(done);
        })?;
        if finished.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
        let _ = thread.join();
        Ok(())
    }
}

/// Dropped unfinished, it must not wait for its reader.
impl Drop for Guest {
    fn drop(&mut self) {
        if self.sink.is_some() {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

/// Sends everything from now on until the visitor closes its side, or the stack ends.
pub(super) fn capture(shared: &Shared, stream: &UnixStream, snaplen: u32) -> io::Result<()> {
    let Some(handle) = shared.only() else {
        return shared.refuse(stream, "a stack for each queue runs here: record with --trace");
    };
    let Some(_permit) = shared.capture_permit() else {
        return shared.refuse(stream, "too many captures are being made already");
    };
    let line = json!({ "schema": "tcpglass.capture/1", "format": "pcapng" });
    let mut out = stream;
    out.write_all(format!("{line}\n").as_bytes())?;
    // From here on it is the sink's thread that waits for the reader, for as long as that takes.
    stream.set_write_timeout(None)?;
    stream.set_read_timeout(None)?;
    let options = TraceOptions { overflow: Overflow::Drop, snaplen, ..shared.options().clone() };
    let sink = trace::to_thread(stream.try_clone()?, "a live capture", Format::Pcapng, &options)?;
    let guest = Guest { sink: Some(sink), stream: stream.try_clone()? };
    let id = handle.call(|stack, _| stack.watch(Box::new(guest)))?;
    // Whatever it says now, only its end matters.
    let (mut input, mut ignored) = (stream, [0; 256]);
    while !matches!(input.read(&mut ignored), Ok(0) | Err(_)) {}
    // Without a stack to ask, the sink has gone with it.
    if let Ok(Some(sink)) = handle.call(move |stack, _| stack.unwatch(id)) {
        sink.finish()?;
    }
    Ok(())
}

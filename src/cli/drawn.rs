//! How does a run become a page? Its trace goes through a pipe to `explain`, in a thread beside it; at its end the page is written.

use super::whole_file;
use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;
use tcpglass::explain::{Options, ReadError, Summary, Trail, causes};
use tcpglass::report;
use tcpglass::trace::{self, Format, Overflow, Record, Sink, TraceOptions};

/// A page that is to be written.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where.
    pub path: PathBuf,
    /// What stands above it.
    pub title: String,
}

type Explained = Result<(Summary, Trail), ReadError>;

/// The sink that makes it.
struct Drawn {
    trace: Box<dyn Sink>,
    explained: JoinHandle<Explained>,
    page: Page,
}

/// A sink whose records become a page when it is finished. What is kept meanwhile is bounded as in `explain`.
///
/// # Errors
/// No pipe, or no thread.
pub fn sink(page: Page, options: &TraceOptions) -> io::Result<Box<dyn Sink>> {
    let (reader, writer) = io::pipe()?;
    let explained = std::thread::Builder::new().name("explain".into()).spawn(move || {
        let mut trail = Trail::default();
        let options = Options { keep: report::ROWS, ..Options::default() };
        let summary = causes(reader, options, &mut |caused| trail.add(caused))?;
        Ok((summary, trail))
    })?;
    // The page is of all packets, whatever is left out of the files.
    let options = TraceOptions { overflow: Overflow::Wait, snaplen: 0, ..options.clone() };
    let trace = trace::to_thread(writer, "the page's trace", Format::Pcapng, &options)?;
    Ok(Box::new(Drawn { trace, explained, page }))
}

impl Sink for Drawn {
    fn record(&mut self, record: &Record<'_>) {
        self.trace.record(record);
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let Drawn { trace, explained, page } = *self;
        trace.finish()?;
        let explained = explained.join().map_err(|_| io::Error::other("explaining the run failed"))?;
        let (summary, trail) = explained.map_err(|e| match e {
            ReadError::Io(e) => e,
            ReadError::NotACapture(why) => io::Error::other(format!("the page's trace is no capture: {why}")),
        })?;
        let text = report::page(&page.title, &summary, &trail);
        whole_file::write(whole_file::PAGE, &page.path, text.as_bytes())
            .map_err(|e| io::Error::other(e.to_string()))
    }
}

//! Are two runs the same? One number for a whole trace.

use super::encoder::{Encoder, TraceOptions, encode};
use super::record::{Record, Sink};
use super::{Format, encoder};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The hash of all records of a trace, in their order: times, packets, reasons, states and events.
#[derive(Clone, Debug, Default)]
pub struct Digest(Arc<AtomicU64>);

impl Digest {
    /// A digest and the sink that feeds it.
    pub fn new() -> (Digest, Box<dyn Sink>) {
        let digest = Digest::default();
        // Everything that can be seen in a capture is what two runs must share.
        let mut encoder = encoder::encoder(Format::Pcapng, &TraceOptions::default());
        let mut bytes = Vec::new();
        encoder.begin(&mut bytes); // not hashed: it names the version and the machine
        let hasher = SipHasher13::new();
        let sink = HashSink { encoder, hasher, scratch: Vec::new(), bytes, digest: digest.clone() };
        (digest, Box::new(sink))
    }

    /// The hash of the records so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

struct HashSink {
    encoder: Box<dyn Encoder>,
    hasher: SipHasher13,
    scratch: Vec<u8>,
    bytes: Vec<u8>,
    digest: Digest,
}

impl Sink for HashSink {
    fn record(&mut self, record: &Record<'_>) {
        self.bytes.clear();
        encode(&mut *self.encoder, record, &mut self.scratch, &mut self.bytes);
        self.hasher.write(&self.bytes);
        self.digest.0.store(self.hasher.finish(), Ordering::Release);
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

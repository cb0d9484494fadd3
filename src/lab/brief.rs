//! How much of an arm is written down? The beginning of a long one.

use crate::trace::{Record, Sink};
use std::io;

/// So many packets of each arm are written into its captures unless all are asked for: enough to see all that repeats
/// itself.
pub const PACKETS: u64 = 4000;

/// Passes on the first [`PACKETS`] packets and what happens until then.
pub(super) struct Brief {
    sink: Box<dyn Sink>,
    left: u64,
}

impl Brief {
    pub fn new(sink: Box<dyn Sink>) -> Brief {
        Brief { sink, left: PACKETS }
    }
}

impl Sink for Brief {
    fn record(&mut self, record: &Record<'_>) {
        if self.left == 0 {
            return;
        }
        self.left -= u64::from(matches!(record, Record::Packet(_)));
        self.sink.record(record);
    }

    fn wants_events(&self) -> bool {
        self.left > 0 && self.sink.wants_events()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sink.finish()
    }
}

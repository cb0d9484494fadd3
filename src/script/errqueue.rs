//! What does the kernel tell about what was sent? A socket's error queue: completed MSG_ZEROCOPY sends, and time stamps.

use crate::time::Instant;
use std::collections::VecDeque;

/// SO_TIMESTAMPING's flags.
pub mod stamping {
    /// Record when the driver takes the packet.
    pub const TX_SOFTWARE: i64 = 1 << 1;
    /// Report what was recorded.
    pub const SOFTWARE: i64 = 1 << 4;
    /// Count bytes, and say which one is meant.
    pub const OPT_ID: i64 = 1 << 7;
    /// Record when the packet goes to the queue.
    pub const TX_SCHED: i64 = 1 << 8;
    /// Record when the last byte is acknowledged.
    pub const TX_ACK: i64 = 1 << 9;
    /// Report stamps without the packet.
    pub const OPT_TSONLY: i64 = 1 << 11;
    /// Tell what TCP_INFO knows with a stamp.
    pub const OPT_STATS: i64 = 1 << 12;
    /// Count from the bytes written, not from those acknowledged.
    pub const OPT_ID_TCP: i64 = 1 << 16;
    /// The flags that ask for a record of what is sent; a control message of `sendmsg` sets them for one call.
    pub const RECORD: i64 = TX_SOFTWARE | TX_SCHED | TX_ACK | 1;
    /// All flags that Linux knows.
    pub const LINUX: i64 = (1 << 19) - 1;
    /// All flags that have their meaning here. Hardware has no stamps to give.
    pub const KNOWN: i64 = RECORD | SOFTWARE | OPT_ID | OPT_TSONLY | OPT_ID_TCP | 1 << 5 | 1 << 6 | 1 << 10;
}

/// One message of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The sends `first` to `last` with MSG_ZEROCOPY are done; there are copies of them.
    Zerocopy {
        /// Counted from 0.
        first: u32,
        /// The last one.
        last: u32,
    },
    /// A byte has come so far.
    Stamp {
        /// SCM_TSTAMP_SND 0, SCM_TSTAMP_SCHED 1, SCM_TSTAMP_ACK 2.
        kind: u32,
        /// Which byte; 0 without OPT_ID.
        key: u32,
        /// When; none without SOFTWARE.
        at: Option<Instant>,
        /// Whether the packet itself is in the queue, too.
        packet: bool,
    },
}

impl Notice {
    /// `struct sock_extended_err`: errno, origin, type, code, info and data.
    pub fn extended(&self) -> [i64; 6] {
        match *self {
            Notice::Zerocopy { first, last } => [0, 5, 0, 1, first.into(), last.into()],
            Notice::Stamp { kind, key, .. } => [42, 4, 0, 0, kind.into(), key.into()],
        }
    }
}

/// A byte whose way is recorded.
#[derive(Clone, Copy, Debug)]
struct Tag {
    /// Behind it, counted from the first byte that was ever written.
    end: u32,
    key: u32,
    flags: i64,
    sent: bool,
}

/// The queue, and what is going to come into it.
#[derive(Clone, Default, Debug)]
pub struct Notices {
    /// Ready to be read.
    pub queue: VecDeque<Notice>,
    /// How many have ever come.
    pub came: u32,
    zerocopy: VecDeque<(u32, u32)>,
    next_zerocopy: u32,
    stamping: i64,
    base: u32,
    tags: VecDeque<Tag>,
}

impl Notices {
    /// SO_TIMESTAMPING.
    pub fn set_stamping(&mut self, flags: i64, written: u32, acked: u32) {
        if flags & stamping::OPT_ID != 0 && self.stamping & stamping::OPT_ID == 0 {
            self.base = if flags & stamping::OPT_ID_TCP != 0 { written } else { acked };
        }
        self.stamping = flags;
    }

    /// A call has written up to `end`, with MSG_ZEROCOPY or with flags of its own for time stamps.
    pub fn wrote(&mut self, end: u32, sent: u32, zerocopy: bool, record: Option<i64>) {
        if zerocopy {
            self.zerocopy.push_back((self.next_zerocopy, end));
            self.next_zerocopy = self.next_zerocopy.wrapping_add(1);
        }
        let flags = record.unwrap_or(self.stamping) & stamping::RECORD | self.stamping & !stamping::RECORD;
        if flags & stamping::RECORD == 0 {
            return;
        }
        // What has not left yet becomes one packet with what comes behind it, and a packet has one stamp.
        if self.tags.back().is_some_and(|tag| tag.end.wrapping_sub(sent) as i32 > 0) {
            self.tags.pop_back();
        }
        let key = if flags & stamping::OPT_ID != 0 { end.wrapping_sub(self.base).wrapping_sub(1) } else { 0 };
        self.tags.push_back(Tag { end, key, flags, sent: false });
    }

    /// So many bytes have been sent and acknowledged by now; true if that was news to anybody.
    pub fn progress(&mut self, now: Instant, sent: u32, acked: u32) -> bool {
        let before = self.came;
        let reached = |end: u32, by: u32| by.wrapping_sub(end) as i32 >= 0;
        for n in 0..self.tags.len() {
            let tag = self.tags[n];
            if !tag.sent && reached(tag.end, sent) {
                self.tags[n].sent = true;
                self.stamp(tag, stamping::TX_SCHED, 1, now);
                self.stamp(tag, stamping::TX_SOFTWARE, 0, now);
            }
        }
        while let Some(tag) = self.tags.pop_front_if(|tag| tag.sent && reached(tag.end, acked)) {
            self.stamp(tag, stamping::TX_ACK, 2, now);
        }
        while let Some((id, _)) = self.zerocopy.pop_front_if(|(_, end)| reached(*end, acked)) {
            self.came = self.came.wrapping_add(1);
            // Neighbours are told as one.
            match self.queue.back_mut() {
                Some(Notice::Zerocopy { last, .. }) if last.wrapping_add(1) == id => *last = id,
                _ => self.queue.push_back(Notice::Zerocopy { first: id, last: id }),
            }
        }
        self.came != before
    }

    fn stamp(&mut self, tag: Tag, wanted: i64, kind: u32, now: Instant) {
        if tag.flags & wanted != 0 {
            let at = (tag.flags & stamping::SOFTWARE != 0).then_some(now);
            let packet = tag.flags & stamping::OPT_TSONLY == 0;
            self.queue.push_back(Notice::Stamp { kind, key: tag.key, at, packet });
            self.came = self.came.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_sends_are_told_as_one_and_a_gap_of_reading_divides_them() {
        let mut notices = Notices::default();
        for end in [100, 200, 300] {
            notices.wrote(end, 0, true, None);
        }
        assert!(!notices.progress(Instant::ZERO, 300, 50));
        assert!(notices.progress(Instant::ZERO, 300, 250));
        assert_eq!(notices.queue.pop_front(), Some(Notice::Zerocopy { first: 0, last: 1 }));
        assert!(notices.progress(Instant::ZERO, 300, 300));
        assert_eq!(notices.queue, [Notice::Zerocopy { first: 2, last: 2 }]);
    }

    #[test]
    fn a_byte_is_stamped_on_its_way_and_only_the_last_of_what_leaves_together() {
        use stamping::*;
        let mut notices = Notices::default();
        notices.set_stamping(TX_SCHED | TX_ACK | SOFTWARE | OPT_ID, 0, 0);
        notices.wrote(100, 0, false, None);
        notices.wrote(300, 0, false, None);
        assert!(notices.progress(Instant::ZERO, 300, 0));
        assert!(notices.progress(Instant::from_micros(5), 300, 300));
        let keys: Vec<_> = notices.queue.iter().map(Notice::extended).map(|e| (e[4], e[5])).collect();
        assert_eq!(keys, [(1, 299), (2, 299)]);
    }
}

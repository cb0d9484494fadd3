//! What of it is sent again, and what of that together?

use super::{Marks, Record, Scoreboard, Sent};
use crate::seq::Seq;
use crate::tcp::rate::Departure;
use crate::time::Instant;

impl Scoreboard {
    /// Where the last segment of at most `full` bytes of data starts and ends: what a probe repeats (RFC 8985 §7.3); a FIN
    /// goes with it.
    pub(in crate::tcp) fn tail(&self, full: u32) -> Option<(Seq, Seq)> {
        let tail = self.records.back()?;
        let unit = u32::from(tail.unit).min(full).max(1);
        let data = tail.end.since(tail.start) - u32::from(tail.fin);
        Some((tail.start + data.saturating_sub(1) / unit * unit, tail.end))
    }

    /// The first record is taken for lost, at most a segment of it, unless it is already.
    pub(in crate::tcp) fn lose_head(&mut self) {
        if let Some(&head) = self.records.front()
            && !head.marks.lost
        {
            if head.segments() > 1 {
                self.split(head.start + u32::from(head.unit));
            }
            self.lose(0);
        }
    }

    /// Segments longer than `mss` do not fit through the path any more.
    pub(in crate::tcp) fn lose_longer_than(&mut self, mss: u32) {
        for i in 0..self.records.len() {
            let record = &self.records[i];
            let longest = match record.segments() {
                1 => record.end.since(record.start) - u32::from(record.fin),
                _ => record.unit.into(),
            };
            if longest > mss {
                self.lose(i);
            }
        }
    }

    /// The first record that is lost and not yet sent again.
    pub(in crate::tcp) fn first_lost(&self) -> Option<&Record> {
        let first = self.first_lost?;
        self.records.get(self.records.partition_point(|r| r.start.lt(first)))
    }

    /// The end of what one segment with `full` bytes of data can repeat from the record at `start` on: a part of it, or all of
    /// it and of what follows (RFC 9293 §3.8 calls it repacketization) up to `edge`. `data_end` is where a FIN stands.
    pub(in crate::tcp) fn repeatable(
        &self,
        now: Instant,
        start: Seq,
        full: u32,
        (data_end, edge): (Seq, Seq),
    ) -> Option<Seq> {
        let i = self.records.partition_point(|r| r.end.le(start));
        let first = self.records.get(i)?;
        let most = start + full;
        if first.end.min(data_end).gt(most) {
            return Some(most);
        }
        if first.end.min(data_end) == most {
            // Like Linux: nothing joins a segment that is full, not even a FIN.
            return Some(first.end);
        }
        // Nor does what left last: the device may still hold it.
        let gone = if now == self.left_at { self.before } else { self.transmissions };
        let joins = |r: &&Record| {
            let fits = r.segments() == 1 && r.end.min(data_end).le(most) && r.end.le(edge);
            fits && !r.marks.sacked && r.order < gone
        };
        Some(self.records.range(i + 1..).take_while(joins).last().map_or(first.end, |r| r.end))
    }

    /// Where the last of at most `most` segments ends that are to be sent again from `start` on, and left together before.
    pub(in crate::tcp) fn together(&self, start: Seq, most: u32) -> Seq {
        let i = self.records.partition_point(|r| r.end.le(start));
        let (mut end, mut left) = (start, most);
        for (n, record) in self.records.range(i..).enumerate() {
            let segments = record.segments().min(left);
            if !record.marks.waits() || (n > 0 && !record.joined) || left == 0 {
                break;
            }
            left -= segments;
            end = match segments == record.segments() {
                true => record.end,
                false => record.start + segments * u32::from(record.unit),
            };
        }
        end
    }

    /// What is about to be sent again from `at` on is cut into segments of `unit` bytes from now on.
    pub(in crate::tcp) fn recut(&mut self, at: Seq, unit: u32) {
        let i = self.records.partition_point(|r| r.end.le(at));
        if let Some(record) = self.records.get_mut(i) {
            let (before, marks) = (record.segments(), record.marks);
            record.unit = unit.min(u16::MAX.into()) as u16;
            let after = record.segments();
            self.tally.remove(before, marks);
            self.tally.add(after, marks);
        }
    }

    /// What lies at `at` leaves apart from what is before it from now on.
    pub(in crate::tcp) fn part(&mut self, at: Seq) {
        self.split(at);
        let i = self.records.partition_point(|r| r.start.lt(at));
        if let Some(record) = self.records.get_mut(i).filter(|r| r.start == at && r.joined) {
            record.joined = false;
            self.bursts += 1;
        }
    }

    /// What lies between `start` and `end` left again, in one segment; as a mere probe if `probe`: then it counts for nothing
    /// more in the network. True if PSH belongs there.
    pub(in crate::tcp) fn resent(
        &mut self,
        (start, end): (Seq, Seq),
        probe: bool,
        now: Instant,
        departure: Departure,
    ) -> bool {
        self.split(start);
        self.split(end);
        let order = self.count(now);
        let i = self.records.partition_point(|r| r.start.lt(start));
        // What joins is one segment from now on.
        while let Some(&next) = self.records.get(i + 1)
            && next.end.le(end)
        {
            self.mark(i + 1, Marks::default());
            self.tally.remove(next.segments(), Marks::default());
            self.bursts -= u32::from(!next.joined);
            self.records.remove(i + 1);
            let record = &mut self.records[i];
            let (before, marks) = (record.segments(), record.marks);
            (record.end, record.fin) = (next.end, next.fin);
            record.push |= next.push;
            record.unit = record.unit.max(next.end.since(record.start).min(u32::from(u16::MAX)) as u16);
            let after = record.segments();
            self.tally.remove(before, marks);
            self.tally.add(after, marks);
        }
        let Some(record) = self.records.get_mut(i) else { return false };
        (record.last_sent, record.departure, record.order) = (now, departure, order);
        record.times = record.times.saturating_add(1);
        record.run = record.end;
        record.marks.overdue = false;
        let (push, marks) = (record.push, record.marks);
        if !probe {
            self.mark(i, Marks { resent: true, ..marks });
        }
        self.note_sent(Sent { start, end, order });
        push
    }
}

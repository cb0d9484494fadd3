//! In which order did a connection's time go to its parts?

use crate::ledger::{Part, Parts};
use crate::time::Duration;

/// Stretches that are told apart of what is not over yet.
const STRETCHES: usize = 64;

/// Stretches of time that follow each other on one clock: all that was charged on the connection so far.
#[derive(Clone, Default, Debug)]
pub(super) struct Course {
    /// What each went to, and how long.
    stretches: Vec<(Part, Duration)>,
    /// When the first begins.
    from: Duration,
}

impl Course {
    /// These were spent next.
    pub fn add(&mut self, parts: Parts) {
        for (part, time) in parts.iter() {
            append(&mut self.stretches, part, time);
        }
        while self.stretches.len() > STRETCHES {
            self.coarsen();
        }
    }

    /// So much of what went first to one part belongs to another.
    pub fn shift(&mut self, from: Part, to: Part, mut time: Duration) {
        for (part, length) in std::mem::take(&mut self.stretches) {
            let moved = if part == from { time.min(length) } else { Duration::ZERO };
            time -= moved;
            for (part, length) in [(to, moved), (part, length - moved)] {
                if !length.is_zero() {
                    append(&mut self.stretches, part, length);
                }
            }
        }
    }

    /// What was spent before is asked for no more.
    pub fn forget(&mut self, before: Duration) {
        self.stretches = self.between(before, Duration::MAX);
        self.from = before;
    }

    /// What was spent since then, behind a wait of `queue`, until another time.
    pub fn since(&self, then: Duration, queue: Duration, until: Duration) -> Vec<(Part, Duration)> {
        let mut list: Vec<_> = Some((Part::Queue, queue)).filter(|q| !q.1.is_zero()).into_iter().collect();
        list.extend(self.between(then, until));
        list
    }

    /// What was spent between two times.
    pub fn between(&self, from: Duration, until: Duration) -> Vec<(Part, Duration)> {
        let mut list = Vec::new();
        let mut end = self.from;
        for &(part, time) in &self.stretches {
            let start = end.max(from);
            end += time;
            let time = end.min(until).saturating_sub(start);
            if !time.is_zero() {
                list.push((part, time));
            }
        }
        list
    }

    /// Puts two stretches of a kind together, where that moves the least time the least far. What each part took in all
    /// stays as it is. There are more stretches than kinds, so there are two of one.
    fn coarsen(&mut self) {
        let mut last: [Option<(usize, Duration)>; Part::ALL.len()] = [None; Part::ALL.len()];
        let mut best: Option<(f64, usize, usize)> = None;
        let mut start = Duration::ZERO;
        for (n, &(part, time)) in self.stretches.iter().enumerate() {
            if let Some((before, end)) = last[part as usize] {
                let between = start - end;
                let moved = time.min(self.stretches[before].1).as_secs_f64() * between.as_secs_f64();
                if best.is_none_or(|(least, ..)| moved < least) {
                    best = Some((moved, before, n));
                }
            }
            start += time;
            last[part as usize] = Some((n, start));
        }
        let Some((_, one, other)) = best else { return };
        let (stays, goes) =
            if self.stretches[one].1 >= self.stretches[other].1 { (one, other) } else { (other, one) };
        let moved = self.stretches[goes].1;
        self.stretches[stays].1 += moved;
        self.stretches.remove(goes);
        let list = std::mem::take(&mut self.stretches);
        list.into_iter().for_each(|(part, time)| append(&mut self.stretches, part, time));
    }
}

/// Adds a stretch; one that follows another of its kind makes it longer.
fn append(stretches: &mut Vec<(Part, Duration)>, part: Part, time: Duration) {
    match stretches.last_mut() {
        Some((last, length)) if *last == part => *length += time,
        _ => stretches.push((part, time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &[(Part, u64)]) -> Parts {
        let mut parts = Parts::default();
        list.iter().for_each(|(part, ms)| parts.add(*part, Duration::from_millis(*ms)));
        parts
    }

    fn ms(list: Vec<(Part, Duration)>) -> Vec<(Part, u64)> {
        list.into_iter().map(|(part, time)| (part, time.as_millis() as u64)).collect()
    }

    #[test]
    fn what_follows_of_the_same_kind_is_one_stretch_and_any_two_times_cut_it() {
        let mut course = Course::default();
        course.add(parts(&[(Part::Handshake, 20)]));
        course.add(parts(&[(Part::Link, 5)]));
        course.add(parts(&[(Part::Link, 5), (Part::Server, 0)]));
        course.add(parts(&[(Part::Transfer, 10)]));
        let at = Duration::from_millis;
        assert_eq!(
            ms(course.since(at(0), at(3), Duration::MAX)),
            [(Part::Queue, 3), (Part::Handshake, 20), (Part::Link, 10), (Part::Transfer, 10)]
        );
        assert_eq!(ms(course.between(at(25), at(35))), [(Part::Link, 5), (Part::Transfer, 5)]);
        course.forget(at(30));
        assert_eq!(ms(course.since(at(0), at(0), Duration::MAX)), [(Part::Transfer, 10)]);
    }

    #[test]
    fn a_long_course_is_told_in_fewer_stretches_that_take_as_long() {
        let (mut course, mut sums) = (Course::default(), Parts::default());
        for n in 0..10_000_usize {
            let part = Part::ALL[n * n % 7];
            let spent = parts(&[(part, 1 + n as u64 % 5)]);
            course.add(spent);
            sums += spent;
        }
        let list = course.since(Duration::ZERO, Duration::ZERO, Duration::MAX);
        assert!(list.len() <= STRETCHES, "{}", list.len());
        assert!(list.windows(2).all(|w| w[0].0 != w[1].0), "neighbours differ");
        let mut told = Parts::default();
        list.iter().for_each(|(part, time)| told.add(*part, *time));
        assert_eq!(told, sums, "each part takes what it took");
    }
}

//! In which order did a connection's time go to its parts?

use crate::ledger::{Part, Parts};
use crate::time::Duration;

/// Stretches that are told apart of what is not over yet.
const STRETCHES: usize = 64;

/// Stretches of time on one clock: all that was charged on the connection so far.
#[derive(Clone, Default, Debug)]
pub(super) struct Course {
    /// What each went to, and until when; the first begins at `from`.
    stretches: Vec<(Part, Duration)>,
    from: Duration,
}

impl Course {
    /// These were spent next.
    pub fn add(&mut self, parts: Parts) {
        let mut until = self.end();
        for (part, time) in parts.iter() {
            until += time;
            match self.stretches.last_mut() {
                Some((last, end)) if *last == part => *end = until,
                _ => self.stretches.push((part, until)),
            }
        }
        while self.stretches.len() > STRETCHES {
            self.coarsen();
        }
    }

    /// What was spent before is asked for no more.
    pub fn forget(&mut self, before: Duration) {
        self.stretches.retain(|(_, until)| *until > before);
        self.from = before;
    }

    /// What was spent since then, behind a wait of `queue`.
    pub fn since(&self, then: Duration, queue: Duration) -> Vec<(Part, Duration)> {
        let mut list: Vec<_> = Some((Part::Queue, queue)).filter(|q| !q.1.is_zero()).into_iter().collect();
        list.extend(self.between(then, self.end()));
        list
    }

    /// What was spent between two times.
    pub fn between(&self, from: Duration, until: Duration) -> Vec<(Part, Duration)> {
        let mut start = self.from.max(from);
        let mut list = Vec::new();
        for &(part, end) in &self.stretches {
            let end = end.min(until);
            if end > start {
                list.push((part, end - start));
                start = end;
            }
        }
        list
    }

    fn end(&self) -> Duration {
        self.stretches.last().map_or(self.from, |(_, until)| *until)
    }

    /// Gives the shortest stretch to the longer one of its neighbours.
    fn coarsen(&mut self) {
        let length = |n: usize| {
            let start = if n == 0 { self.from } else { self.stretches[n - 1].1 };
            self.stretches[n].1 - start
        };
        let count = self.stretches.len();
        let Some(n) = (0..count).min_by_key(|&n| length(n)) else { return };
        let before = if n == 0 { Duration::ZERO } else { length(n - 1) };
        let after = if n + 1 == count { Duration::ZERO } else { length(n + 1) };
        if before > after {
            self.stretches[n - 1].1 = self.stretches[n].1;
        }
        self.stretches.remove(n);
        // Two of a kind may be neighbours now.
        self.stretches.reverse();
        self.stretches.dedup_by_key(|stretch| stretch.0);
        self.stretches.reverse();
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
            ms(course.since(at(0), at(3))),
            [(Part::Queue, 3), (Part::Handshake, 20), (Part::Link, 10), (Part::Transfer, 10)]
        );
        assert_eq!(ms(course.between(at(25), at(35))), [(Part::Link, 5), (Part::Transfer, 5)]);
        course.forget(at(30));
        assert_eq!(ms(course.since(at(0), at(0))), [(Part::Transfer, 10)]);
    }

    #[test]
    fn a_long_course_is_told_in_fewer_stretches_that_last_as_long() {
        let mut course = Course::default();
        for n in 0..10_000_u64 {
            let part = if n % 2 == 0 { Part::Link } else { Part::Cwnd };
            course.add(parts(&[(part, 1 + n % 7)]));
        }
        let list = course.since(Duration::ZERO, Duration::ZERO);
        assert!(list.len() <= STRETCHES, "{}", list.len());
        assert!(list.windows(2).all(|w| w[0].0 != w[1].0), "neighbours differ");
        let whole: u64 = (0..10_000).map(|n| 1 + n % 7).sum();
        assert_eq!(list.iter().map(|(_, time)| *time).sum::<Duration>(), Duration::from_millis(whole));
    }
}

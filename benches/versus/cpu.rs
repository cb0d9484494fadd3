//! How much CPU has a process used? Nanoseconds of all its threads, as the scheduler counts them.

use std::{fs, io};

/// Nanoseconds that the threads of process `pid` have run so far; 0 of one that is gone.
pub fn of(pid: &str) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    tasks
        .flatten()
        .filter_map(|task| {
            fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

/// Nanoseconds since it was `before`.
///
/// # Errors
/// If a thread that had been counted is gone, so that nobody knows.
pub fn since(pid: &str, before: u64) -> io::Result<u64> {
    of(pid).checked_sub(before).ok_or_else(|| io::Error::other("a thread ended while it was measured"))
}

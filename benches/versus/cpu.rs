//! How much CPU has a process used? Nanoseconds of all its threads, as the scheduler counts them.

use std::fs;

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

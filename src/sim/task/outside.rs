//! Does a thread wait for something that only another thread can give it?
//!
//! Tasks share locks and channels of std as threads do. The world must not wait for a task that waits for another one,
//! or neither would ever go on: it looks where in the kernel a silent task's thread stands, and goes on without those
//! that wait in a futex. A thread that computes, reads a file or really sleeps is waited for.

use std::fs;
use std::path::PathBuf;

#[cfg(target_arch = "x86_64")]
const FUTEX: &str = "202";
#[cfg(not(target_arch = "x86_64"))]
const FUTEX: &str = "98";

/// Where a thread of this process can be looked at.
pub(super) struct Stand(Option<PathBuf>);

/// What a thread waits for: the kernel's words, the same for as long as it has not moved.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Wait(String);

impl Stand {
    /// That of the thread that calls.
    pub fn here() -> Stand {
        let thread = fs::read_link("/proc/thread-self").ok();
        // Its last part is the thread's number; the first is that of the process, which `self` says as well.
        let number = thread.and_then(|path| path.file_name().map(ToOwned::to_owned));
        Stand(number.map(|number| PathBuf::from("/proc/self/task").join(number).join("syscall")))
    }

    /// What the thread waits for, if it is a lock or a channel. Where the kernel does not say, it is none.
    pub fn wait(&self) -> Option<Wait> {
        let text = fs::read_to_string(self.0.as_ref()?).ok()?;
        (text.split(' ').next() == Some(FUTEX)).then_some(Wait(text))
    }
}

impl Wait {
    /// It ends by itself when its time is over: the fourth argument says when.
    pub fn has_limit(&self) -> bool {
        self.0.split(' ').nth(4).is_some_and(|time| time != "0x0")
    }
}

//! Is any text either settings, which are written as they are read, or refused with a reason on one line?
#![no_main]

#[path = "../entries/settings.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &str| entry::run(data));

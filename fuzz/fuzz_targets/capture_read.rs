//! Is any file either a capture, up to its first damage, or refused with a reason?
#![no_main]

#[path = "../entries/capture_read.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));

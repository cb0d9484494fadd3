//! Is any text either a script or refused with a line and a reason?
#![no_main]

#[path = "../entries/script_parse.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &str| entry::run(data));

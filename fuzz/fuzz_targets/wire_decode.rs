//! Does any string of bytes decode without a panic, and is what was understood written as it was read?
#![no_main]

#[path = "../entries/wire_decode.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));

//! Does the server survive any bytes, in any pieces, within its limits, and does it owe nobody an answer in the end?
#![no_main]

#[path = "../entries/http_server.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));

//! Does the client survive any answer, in any pieces, and does every request get one end?
#![no_main]

#[path = "../entries/http_client.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));

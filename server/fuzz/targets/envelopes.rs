//! Keys of end-to-end encryption as members carry them, and files of them.
#![no_main]

#[path = "../harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::envelopes(data));

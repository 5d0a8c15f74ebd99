//! Requests for a WebSocket, and the frames that follow.
#![no_main]

#[path = "../harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::upgrade(data));

//! Golden bytes: every frame, byte by byte, as it has to stay.
//!
//! A client that was built yesterday must be understood tomorrow. The files in `golden/` hold the
//! value and the bytes of each sample; `SKEIN_BLESS=1 cargo test -p skein-wire` rewrites them, and
//! the difference in version control is the change of the protocol.

mod golden_file;
mod samples;

use std::fmt::Write;

use bytes::Bytes;
use golden_file::GoldenFile;
use skein_wire::frame::{decode_request, decode_update, encode_request, encode_update};
use skein_wire::kind::Kind;
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::splitter::split_first_shared;

/// Cuts the one frame out of `bytes`.
fn one_frame(bytes: &[u8]) -> Bytes {
    let mut input = Bytes::copy_from_slice(bytes);
    let frame = split_first_shared(&mut input, SERVER_FRAME_BYTES_MAX)
        .expect("a whole frame")
        .expect("a frame");
    assert!(input.is_empty(), "one frame");
    frame
}

#[test]
fn frames_of_clients_keep_their_bytes() {
    let mut golden = GoldenFile::open("requests.txt");
    for (name, request) in samples::requests() {
        let mut bytes = Vec::new();
        encode_request(&request, &mut bytes);
        golden.check(name, &format!("{request:?}"), &bytes);
        let read = decode_request(&one_frame(&bytes)).expect("it reads");
        assert_eq!(read, Some(request), "{name}");
    }
    golden.close();
}

#[test]
fn frames_of_the_server_keep_their_bytes() {
    let mut golden = GoldenFile::open("updates.txt");
    for (name, update) in samples::updates() {
        let mut bytes = Vec::new();
        encode_update(&update, &mut bytes);
        golden.check(name, &format!("{update:?}"), &bytes);
        let read = decode_update(one_frame(&bytes)).expect("it reads");
        assert_eq!(read, Some(update), "{name}");
    }
    golden.close();
}

#[test]
fn batches_keep_their_bytes() {
    let mut golden = GoldenFile::open("batches.txt");
    for (name, bytes) in samples::batches() {
        let batch = samples::read_batch(&bytes);
        let mut value = format!("{:?}", batch.header);
        for entry in &batch.entries {
            write!(value, "\n{entry:?}").expect("memory");
        }
        golden.check(name, &value, &bytes);
    }
    golden.close();
}

#[test]
fn every_kind_has_a_sample() {
    let mut kinds: Vec<u8> = samples::batches()
        .iter()
        .map(|(_, frame)| frame[4])
        .collect();
    for (_, request) in samples::requests() {
        let mut bytes = Vec::new();
        encode_request(&request, &mut bytes);
        kinds.push(one_frame(&bytes)[0]);
    }
    for (_, update) in samples::updates() {
        let mut bytes = Vec::new();
        encode_update(&update, &mut bytes);
        kinds.push(one_frame(&bytes)[0]);
    }
    for kind in Kind::ALL {
        assert!(kinds.contains(&(*kind as u8)), "no sample of {kind:?}");
    }
}

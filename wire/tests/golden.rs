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
use skein_wire::batch::Batch;
use skein_wire::frame::{decode_request, decode_update, encode_request, encode_update};
use skein_wire::kind::Kind;
use skein_wire::limits::SERVER_FRAME_BYTES_MAX;
use skein_wire::splitter::split_first_shared;
use skein_wire::update::Update;

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
fn a_watch_keeps_its_bytes() {
    let mut golden = GoldenFile::open("watch.txt");
    for (name, bytes) in samples::story() {
        let update = decode_update(one_frame(&bytes)).expect("it reads");
        golden.check(name, &describe(&update.expect("known")), &bytes);
    }
    golden.close();
}

/// A batch on a line for its header and one for each entry, everything else as it is.
fn describe(update: &Update) -> String {
    let Update::Batch(body) = update else {
        return format!("{update:?}");
    };
    let batch = Batch::decode(body).expect("a good batch");
    let mut text = format!("{:?}", batch.header);
    for entry in &batch.entries {
        write!(text, "\n{entry:?}").expect("memory");
    }
    text
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

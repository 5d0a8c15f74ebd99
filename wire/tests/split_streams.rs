//! Frames that arrive in pieces, and peers that would like us to keep memory for them.

mod samples;

use skein_wire::error::Code;
use skein_wire::frame::encode_request;
use skein_wire::limits::CLIENT_FRAME_BYTES_MAX;
use skein_wire::splitter::Splitter;

/// All sample requests in a row, and each one's kind and body.
fn stream() -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for (_, request) in samples::requests() {
        let start = bytes.len();
        encode_request(&request, &mut bytes);
        let head = if bytes.len() - start < 65 { 1 } else { 2 };
        frames.push(bytes[start + head..].to_vec());
    }
    (bytes, frames)
}

fn drain(splitter: &mut Splitter, frames: &mut Vec<Vec<u8>>) {
    while let Some(frame) = splitter.next_frame().expect("good frames") {
        frames.push(frame.to_vec());
    }
}

#[test]
fn frames_come_whole_however_the_stream_is_cut() {
    let (bytes, frames) = stream();
    for piece in 1..=bytes.len() {
        let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
        let mut read = Vec::new();
        for bytes in bytes.chunks(piece) {
            splitter.push(bytes);
            drain(&mut splitter, &mut read);
        }
        assert_eq!(read, frames, "pieces of {piece}");
        assert!(splitter.is_empty());
    }
}

#[test]
fn nothing_is_held_between_frames() {
    let (bytes, _) = stream();
    let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
    splitter.push(&bytes);
    drain(&mut splitter, &mut Vec::new());
    assert_eq!(splitter.held_bytes(), 0);
}

#[test]
fn the_start_of_a_frame_does_not_hold_what_came_before_it() {
    let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
    let mut bytes = vec![0x4f, 0x00];
    bytes.resize(2 + 0xf00, 0x80);
    bytes.extend([9, 0x80]);
    splitter.push(&bytes);
    let mut frames = Vec::new();
    drain(&mut splitter, &mut frames);
    assert_eq!(frames[0].len(), 0xf00);
    assert!(splitter.held_bytes() < 128, "{}", splitter.held_bytes());
}

#[test]
fn a_length_above_the_ceiling_is_refused_before_its_frame_comes() {
    let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
    splitter.push(&[0x50]);
    assert_eq!(splitter.next_frame(), Ok(None));
    splitter.push(&[0x01]);
    let error = splitter.next_frame().expect_err("4,097 bytes");
    assert_eq!(error.code, Code::TooLarge);
}

#[test]
fn the_ceiling_itself_is_allowed() {
    let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
    splitter.push(&[0x50, 0x00]);
    splitter.push(&[0x80; CLIENT_FRAME_BYTES_MAX]);
    let frame = splitter.next_frame().expect("allowed").expect("whole");
    assert_eq!(frame.len(), CLIENT_FRAME_BYTES_MAX);
}

#[test]
fn a_frame_without_a_kind_is_refused() {
    let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
    splitter.push(&[0]);
    assert_eq!(
        splitter.next_frame().expect_err("empty").code,
        Code::Malformed
    );
}

#[test]
fn a_length_may_be_longer_than_it_needs_to_be() {
    let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
    splitter.push(&[0x80, 0, 0, 1, 0x99, 0x40, 1, 0x98]);
    let mut frames = Vec::new();
    drain(&mut splitter, &mut frames);
    assert_eq!(frames, [[0x99], [0x98]]);
}

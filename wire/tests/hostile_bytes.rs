//! Whatever the bytes: a value, "skip it", or a documented error. Never a panic, never a value
//! that could not have been written.

mod ill_formed;
mod samples;

use bytes::Bytes;
use skein_wire::batch::Batch;
use skein_wire::error::{Code, WireError};
use skein_wire::frame::{decode_request, decode_update, encode_request, encode_update};
use skein_wire::limits::{CLIENT_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX, TRAIL_POINTS_MAX};
use skein_wire::request::Request;
use skein_wire::splitter::{Splitter, split_first, split_first_shared};
use skein_wire::update::Update;

/// Cases of each test.
const CASES: u64 = 120_000;

/// What a frame of a client may be answered with.
const REQUEST_CODES: &[Code] = &[
    Code::Malformed,
    Code::UnknownKind,
    Code::OutOfOrder,
    Code::Version,
    Code::BadToken,
    Code::BadName,
    Code::BadRequest,
];

/// What a client may find wrong with a frame of the server.
const UPDATE_CODES: &[Code] = &[Code::Malformed, Code::UnknownKind, Code::OutOfOrder];

/// Numbers from a seed (splitmix64), so that a failing case has a name.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }
}

/// One damage: a flipped bit, a byte with a borderline value, a cut, a repeat, a hole, noise.
fn damage(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len());
    let some = 1 + dice.below(8);
    match (dice.below(7), bytes.get_mut(at)) {
        (0, Some(byte)) => *byte ^= 1 << dice.below(8),
        (1, Some(byte)) => *byte = [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff][dice.below(8)],
        (2, _) => bytes.truncate(at),
        (3, Some(byte)) => *byte = dice.roll() as u8,
        (4, _) => {
            let end = (at + some).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        (5, _) => drop(bytes.drain(at..(at + some).min(bytes.len()))),
        _ => bytes.extend((0..some).map(|_| dice.roll() as u8)),
    }
}

/// A damaged sample, or bytes that never were a frame.
fn hostile(dice: &mut Dice, samples: &[Vec<u8>]) -> Vec<u8> {
    if dice.below(10) == 0 {
        let len = dice.below(80);
        return (0..len).map(|_| dice.roll() as u8).collect();
    }
    let mut bytes = samples[dice.below(samples.len())].clone();
    for _ in 0..1 + dice.below(4) {
        damage(dice, &mut bytes);
    }
    bytes
}

/// Kind and body of every sample frame of a client.
fn request_frames() -> Vec<Vec<u8>> {
    let frames = samples::requests().into_iter().map(|(_, request)| {
        let mut bytes = Vec::new();
        encode_request(&request, &mut bytes);
        body(&bytes)
    });
    frames.collect()
}

/// Kind and body of every sample frame of the server, batches too.
fn update_frames() -> Vec<Vec<u8>> {
    let controls = samples::updates().into_iter().map(|(_, update)| {
        let mut bytes = Vec::new();
        encode_update(&update, &mut bytes);
        body(&bytes)
    });
    let batches = samples::batches()
        .into_iter()
        .map(|(_, frame)| body(&frame));
    controls.chain(batches).collect()
}

fn body(frame: &[u8]) -> Vec<u8> {
    let mut input = frame;
    let body = split_first(&mut input, SERVER_FRAME_BYTES_MAX).expect("a whole frame");
    body.expect("a frame").to_vec()
}

fn assert_documented(error: &WireError, allowed: &[Code]) {
    assert!(allowed.contains(&error.code), "{error} is not documented");
    assert!(!error.text.is_empty());
}

/// What was read could have been written: it comes back.
fn assert_writable(request: Request) {
    if let Request::Watch(watch) = &request {
        assert!(usize::from(watch.trail) <= TRAIL_POINTS_MAX);
    }
    let mut bytes = Vec::new();
    encode_request(&request, &mut bytes);
    assert_eq!(decode_request(&body(&bytes)), Ok(Some(request)));
}

fn assert_sound(batch: &Batch, body_len: usize) {
    assert!(batch.header.from <= batch.header.to);
    if let Some(page) = batch.header.page {
        assert!(page.index < page.total);
    }
    assert!(batch.entries.len() <= body_len);
    for pair in batch.entries.windows(2) {
        assert!(pair[0].slot < pair[1].slot, "slots ascend");
    }
    for entry in &batch.entries {
        assert!(entry.earlier.len() <= body_len);
        assert!(entry.point.is_some() || entry.earlier.is_empty());
    }
}

#[test]
fn damaged_requests_give_a_request_or_a_documented_error() {
    let frames = request_frames();
    let (mut read, mut refused) = (0, 0);
    for seed in 0..CASES {
        let bytes = hostile(&mut Dice(seed), &frames);
        match decode_request(&bytes) {
            Ok(Some(request)) => assert_writable(request),
            Ok(None) => continue,
            Err(error) => {
                assert_documented(&error, REQUEST_CODES);
                refused += 1;
                continue;
            }
        }
        read += 1;
    }
    // The damage is neither always nor never fatal, or this test would say nothing.
    assert!(read > CASES / 50, "{read} read");
    assert!(refused > CASES / 5, "{refused} refused");
}

#[test]
fn damaged_updates_give_an_update_or_a_documented_error() {
    let frames = update_frames();
    let (mut batches, mut refused) = (0, 0);
    for seed in 0..CASES {
        let bytes = hostile(&mut Dice(seed), &frames);
        match decode_update(Bytes::from(bytes)) {
            Ok(Some(Update::Batch(body))) => match Batch::decode(&body) {
                Ok(batch) => {
                    assert_sound(&batch, body.len());
                    batches += 1;
                }
                Err(error) => assert_documented(&error, &[Code::Malformed]),
            },
            Ok(_) => {}
            Err(error) => {
                assert_documented(&error, UPDATE_CODES);
                refused += 1;
            }
        }
    }
    assert!(batches > CASES / 50, "{batches} batches read");
    assert!(refused > CASES / 10, "{refused} refused");
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    for frame in request_frames() {
        for cut in 0..frame.len() {
            assert!(decode_request(&frame[..cut]).is_err(), "cut at {cut}");
        }
    }
    for frame in update_frames() {
        for cut in 0..frame.len() {
            let is_batch = cut > 0 && frame[0] == 0x46;
            let read = decode_update(Bytes::copy_from_slice(&frame[..cut]));
            assert_eq!(read.is_ok(), is_batch, "cut at {cut}");
        }
    }
}

#[test]
fn a_byte_behind_the_last_field_is_refused() {
    for mut frame in request_frames() {
        frame.push(0);
        let error = decode_request(&frame).expect_err("a byte too many");
        assert_eq!(error.code, Code::Malformed);
    }
}

#[test]
fn noise_on_a_stream_gives_frames_or_a_documented_error() {
    let frames = request_frames();
    for seed in 0..CASES / 4 {
        let mut dice = Dice(seed);
        let mut splitter = Splitter::new(CLIENT_FRAME_BYTES_MAX);
        splitter.push(&hostile(&mut dice, &frames));
        let error = loop {
            match splitter.next_frame() {
                Ok(Some(frame)) => assert!((1..=CLIENT_FRAME_BYTES_MAX).contains(&frame.len())),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = error {
            assert_documented(&error, &[Code::Malformed, Code::TooLarge]);
        }
    }
}

#[test]
fn noise_in_a_message_gives_frames_or_a_documented_error() {
    let frames = request_frames();
    for seed in 0..CASES / 4 {
        let message = Bytes::from(hostile(&mut Dice(seed), &frames));
        let (mut slice, mut shared) = (&message[..], message.clone());
        loop {
            let frame = split_first(&mut slice, CLIENT_FRAME_BYTES_MAX);
            let same = split_first_shared(&mut shared, CLIENT_FRAME_BYTES_MAX);
            assert_eq!(
                frame.clone().map(|frame| frame.map(Bytes::copy_from_slice)),
                same
            );
            match frame {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert_documented(&error, &[Code::Malformed, Code::TooLarge]);
                    break;
                }
            }
        }
    }
}

#[test]
fn each_way_of_being_wrong_has_its_code() {
    for (what, frame, code) in ill_formed::requests() {
        let error = decode_request(&frame).expect_err(what);
        assert_eq!(error.code, code, "{what}: {error}");
    }
    for (what, body, code) in ill_formed::batches() {
        let error = Batch::decode(&Bytes::from(body)).expect_err(what);
        assert_eq!(error.code, code, "{what}: {error}");
    }
}

#[test]
fn kinds_of_the_future_are_skipped_when_they_may_be() {
    assert_eq!(decode_request(&[0x80, 1, 2, 3]), Ok(None));
    assert_eq!(decode_update(Bytes::from_static(&[0xff])), Ok(None));
}

#[test]
fn a_code_of_the_future_reads_as_internal() {
    let frame = Bytes::from_static(&[0x42, 1, 0x43, 0xe7, 2, b'n', b'o']);
    let Ok(Some(Update::Refused(refused))) = decode_update(frame) else {
        panic!("it reads")
    };
    assert_eq!(
        (refused.code, refused.text.as_str()),
        (Code::Internal, "no")
    );
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let text = "ä".repeat(300);
    let mut bytes = Vec::new();
    let goodbye = skein_wire::update::Goodbye {
        code: Code::Busy,
        retry_after_ms: 0,
        text: format!("x{text}"),
    };
    encode_update(&Update::Goodbye(goodbye), &mut bytes);
    let Ok(Some(Update::Goodbye(read))) = decode_update(Bytes::from(body(&bytes))) else {
        panic!("it reads")
    };
    assert_eq!(read.text.len(), 255);
}

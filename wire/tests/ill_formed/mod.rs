//! Each way in which a frame can be wrong, and its code: one list for the test that sends them
//! and for the table in `docs/PROTOCOL.md`.

#![allow(
    dead_code,
    reason = "each test file uses the part that it needs of this module"
)]

use skein_wire::error::Code;

/// What is wrong, the bytes, the code.
pub type IllFormed = (&'static str, Vec<u8>, Code);

/// `Auth` with a token of `len` bytes.
fn auth(len: usize) -> Vec<u8> {
    let mut frame = vec![0x02, 0x40 | (len >> 8) as u8, len as u8];
    frame.resize(3 + len, b'a');
    frame
}

/// Frames of a client, kind and body.
pub fn requests() -> Vec<IllFormed> {
    let number = |first: u8, last: u8| vec![0xc0, 0, 0, first, 0, 0, 0, last];
    let stop = |request: Vec<u8>| [vec![0x06], request, vec![1]].concat();
    vec![
        ("a frame without a kind", vec![], Code::Malformed),
        ("a kind that is not known", vec![0x3f], Code::UnknownKind),
        ("a kind of the server", vec![0x49; 17], Code::OutOfOrder),
        ("another protocol version", vec![0x01, 2], Code::Version),
        ("a field that is cut off", vec![0x06, 1], Code::Malformed),
        (
            "a byte behind the last field",
            vec![0x06, 1, 1, 0],
            Code::Malformed,
        ),
        (
            "a 32-bit number above 32 bits",
            stop(number(1, 0)),
            Code::Malformed,
        ),
        (
            "a text that is not UTF-8",
            vec![0x02, 1, 0xff],
            Code::Malformed,
        ),
        ("a token above its ceiling", auth(2_049), Code::BadToken),
        (
            "a client name above its ceiling",
            [vec![0x01, 1, 1, b't', 0x40, 65], vec![b'c'; 65]].concat(),
            Code::BadRequest,
        ),
        (
            "a chat name that is empty, above its ceiling or has control characters",
            vec![0x04, 1, 1, b'\n', 0, 0, 0, 0, 0, 0, 0, 0],
            Code::BadName,
        ),
        (
            "an idempotency key above its ceiling",
            [vec![0x03, 1, 1, b'c', 1, 0x40, 65], vec![b'k'; 65], vec![0]].concat(),
            Code::BadRequest,
        ),
        (
            "a bool that is neither 0 nor 1",
            vec![0x03, 1, 1, b'c', 1, 0, 2],
            Code::Malformed,
        ),
        (
            "more points than allowed",
            vec![0x08, 1, 0, 0x40, 129],
            Code::BadRequest,
        ),
        (
            "a list longer than its frame",
            vec![0x08, 1, 0, 0x40, 100],
            Code::Malformed,
        ),
        (
            "options with unknown bits",
            vec![0x07, 1, 4],
            Code::Malformed,
        ),
        (
            "a form with unknown bits",
            vec![0x07, 1, 0, 0x10],
            Code::Malformed,
        ),
        (
            "a sealed point with fields of a plain one",
            vec![0x07, 1, 0, 0x21],
            Code::Malformed,
        ),
        (
            "more views than one",
            vec![0x0a, 1, 1, b'c', 0, 2],
            Code::Malformed,
        ),
        (
            "more trail points than allowed",
            vec![0x0a, 1, 1, b'c', 0, 0, 33, 0],
            Code::BadRequest,
        ),
    ]
}

/// Bodies of batches.
pub fn batches() -> Vec<IllFormed> {
    // Options, chat, cell, epoch, from, to - from, server time, anchor, flags: a point.
    let header = |options: u8, page: &[u8]| {
        let rest = [1, 0, 1, 5, 2, 60, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        [&[options][..], page, &rest].concat()
    };
    let good = header(0, &[]);
    let with = |entry: &[u8]| [&good[..], entry].concat();
    let page = |index: u8, total: [u8; 4]| {
        let snapshot = [7, 0, 0, 0];
        header(2, &[snapshot, [index, 0, 0, 0], total].concat())
    };
    let change = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    vec![
        (
            "a batch with unknown options",
            header(4, &[]),
            Code::Malformed,
        ),
        (
            "a page outside its batch",
            page(2, [2, 0, 0, 0]),
            Code::Malformed,
        ),
        (
            "more pages than allowed",
            page(0, [1, 0, 1, 0]),
            Code::Malformed,
        ),
        (
            "an anchor that is no place",
            change(10, 0x7f),
            Code::Malformed,
        ),
        (
            "flags of a point without a point",
            change(15, 4),
            Code::Malformed,
        ),
        (
            "a sealed point with a wide position",
            change(15, 2 | 4 | 8),
            Code::Malformed,
        ),
        (
            "a counter stated twice",
            change(15, 1 | 2 | 16),
            Code::Malformed,
        ),
        (
            "a slot above 32 bits",
            with(&[0xc0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            Code::Malformed,
        ),
        (
            "an entry that is cut off",
            with(&[0, 0, 0, 0, 0, 0, 0, 0]),
            Code::Malformed,
        ),
        (
            "a position that is no place",
            with(&[1, 6, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 1]),
            Code::Malformed,
        ),
        (
            "an earlier point that is the newest one",
            with(&[
                1, 66, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ]),
            Code::Malformed,
        ),
        (
            "a state that is not known",
            with(&[1, 128, 7, 0]),
            Code::Malformed,
        ),
    ]
}

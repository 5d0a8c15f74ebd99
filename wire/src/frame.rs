//! `length (varint) · kind u8 · body`: values into frames and frames into values.
//!
//! Encoding appends a whole frame; decoding takes a frame that [`crate::splitter`] has cut out,
//! kind and body without the length. Decoding is total: whatever the bytes, the answer is a value,
//! "skip it", or a documented error.
//!
//! ```
//! use skein_wire::frame::{decode_request, encode_request};
//! use skein_wire::limits::CLIENT_FRAME_BYTES_MAX;
//! use skein_wire::request::Request;
//! use skein_wire::splitter::split_first;
//!
//! let mut bytes = Vec::new();
//! encode_request(&Request::Ping(7), &mut bytes);
//! let mut input = bytes.as_slice();
//! let frame = split_first(&mut input, CLIENT_FRAME_BYTES_MAX)?.expect("one frame");
//! assert_eq!(decode_request(frame)?, Some(Request::Ping(7)));
//! # Ok::<(), skein_wire::error::WireError>(())
//! ```

use bytes::{Buf, BufMut, Bytes};

use crate::bytes_in;
use crate::error::{WireError, malformed};
use crate::kind::Kind;
use crate::request::Request;
use crate::request_codec;
use crate::update::Update;
use crate::update_codec;
use crate::varint;

/// Appends the whole frame of `request`.
///
/// # Panics
/// If a counter, cell or offset is above [`varint::MAX`], which
/// [`Point::check`](crate::point::Point::check) refuses: a fault of the caller.
pub fn encode_request(request: &Request, out: &mut Vec<u8>) {
    let start = out.len();
    out.put_u8(request_codec::kind(request) as u8);
    request_codec::put(out, request);
    put_length_before(out, start);
}

/// Appends the whole frame of `update`. Texts are cut to
/// [`REASON_BYTES_MAX`](crate::limits::REASON_BYTES_MAX).
///
/// # Panics
/// If a counter, cell, offset or time is above [`varint::MAX`], or there are more than
/// [`VERDICTS_MAX`](crate::limits::VERDICTS_MAX) verdicts: faults of the caller.
pub fn encode_update(update: &Update, out: &mut Vec<u8>) {
    if let Update::Batch(body) = update {
        // A batch is large: write its length first instead of moving it.
        varint::put(out, 1 + body.len() as u64);
        out.put_u8(Kind::Batch as u8);
        out.put_slice(body);
        return;
    }
    let start = out.len();
    out.put_u8(update_codec::kind(update) as u8);
    update_codec::put(out, update);
    put_length_before(out, start);
}

/// Reads a client's frame (kind and body). `None`: a kind that this version may skip.
///
/// Values of points are not judged here, see [`Point::check`](crate::point::Point::check).
///
/// # Errors
/// `malformed`, `unknown_kind`, `out_of_order` (a kind of the server), `version`, or the code of
/// the field that is wrong: `bad_name`, `bad_token`, `bad_request`.
pub fn decode_request(frame: &[u8]) -> Result<Option<Request>, WireError> {
    let mut input = frame;
    let Some(kind) = read_kind(&mut input)? else {
        return Ok(None);
    };
    let request = request_codec::read(kind, &mut input)?;
    bytes_in::end(input)?;
    Ok(Some(request))
}

/// Reads a server's frame (kind and body). `None`: a kind that this version may skip.
///
/// A batch keeps its bytes without a copy; [`Batch::decode`](crate::batch::Batch::decode) reads it.
///
/// # Errors
/// `malformed`, `unknown_kind`, `out_of_order` (a kind of a client).
pub fn decode_update(mut frame: Bytes) -> Result<Option<Update>, WireError> {
    let mut input: &[u8] = &frame;
    let Some(kind) = read_kind(&mut input)? else {
        return Ok(None);
    };
    frame.advance(1);
    let mut input: &[u8] = &frame;
    let update = update_codec::read(kind, &frame, &mut input)?;
    bytes_in::end(input)?;
    Ok(Some(update))
}

fn read_kind(input: &mut &[u8]) -> Result<Option<Kind>, WireError> {
    if input.is_empty() {
        return Err(malformed("a frame has no kind"));
    }
    Kind::read(bytes_in::u8(input)?)
}

/// Puts the length of everything from `start` before it. The frame is small and moves by 1 or 2.
fn put_length_before(out: &mut Vec<u8>, start: usize) {
    let len = (out.len() - start) as u64;
    varint::put(out, len);
    out[start..].rotate_right(varint::len(len));
}

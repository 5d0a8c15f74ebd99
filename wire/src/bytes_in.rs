//! Taking checked values off the front of received bytes.
//!
//! Every function is total: it either advances `input` past a well-formed value or returns
//! `malformed` (or the stated code). Nothing allocates more than the bytes that are there.

use bytes::Buf;

use crate::error::{Code, WireError};
use crate::varint;

/// An error about ill-formed bytes.
pub(crate) const fn malformed(text: &'static str) -> WireError {
    WireError {
        code: Code::Malformed,
        text: std::borrow::Cow::Borrowed(text),
    }
}

/// Takes `len` bytes.
pub(crate) fn take<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], WireError> {
    let (taken, rest) = input
        .split_at_checked(len)
        .ok_or(malformed("a field is cut off"))?;
    *input = rest;
    Ok(taken)
}

pub(crate) fn u8(input: &mut &[u8]) -> Result<u8, WireError> {
    take(input, 1).map(|mut bytes| bytes.get_u8())
}

pub(crate) fn u32_le(input: &mut &[u8]) -> Result<u32, WireError> {
    take(input, 4).map(|mut bytes| bytes.get_u32_le())
}

pub(crate) fn i32_le(input: &mut &[u8]) -> Result<i32, WireError> {
    take(input, 4).map(|mut bytes| bytes.get_i32_le())
}

pub(crate) fn u64_le(input: &mut &[u8]) -> Result<u64, WireError> {
    take(input, 8).map(|mut bytes| bytes.get_u64_le())
}

pub(crate) fn i64_le(input: &mut &[u8]) -> Result<i64, WireError> {
    take(input, 8).map(|mut bytes| bytes.get_i64_le())
}

/// A signed 24-bit number.
pub(crate) fn i24_le(input: &mut &[u8]) -> Result<i32, WireError> {
    take(input, 3).map(|mut bytes| bytes.get_int_le(3) as i32)
}

/// A varint that must fit 32 bits.
pub(crate) fn varint_u32(input: &mut &[u8]) -> Result<u32, WireError> {
    u32::try_from(varint::get(input)?).map_err(|_| malformed("a number is above 32 bits"))
}

/// A byte that must be 0 or 1.
pub(crate) fn bool(input: &mut &[u8]) -> Result<bool, WireError> {
    match u8(input)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(malformed("a yes-or-no byte is neither 0 nor 1")),
    }
}

/// `length varint · bytes`, at most `len_max` of them; longer is `code`.
pub(crate) fn blob<'a>(
    input: &mut &'a [u8],
    len_max: usize,
    code: Code,
) -> Result<&'a [u8], WireError> {
    let len = varint::get(input)?;
    if len > len_max as u64 {
        return Err(WireError::new(
            code,
            "a text or blob is above its ceiling; shorten it",
        ));
    }
    take(input, len as usize)
}

/// `length varint · UTF-8`, at most `len_max` bytes; longer is `code`.
pub(crate) fn text<'a>(
    input: &mut &'a [u8],
    len_max: usize,
    code: Code,
) -> Result<&'a str, WireError> {
    std::str::from_utf8(blob(input, len_max, code)?).map_err(|_| malformed("a text is not UTF-8"))
}

/// Nothing may follow.
pub(crate) fn end(input: &[u8]) -> Result<(), WireError> {
    if input.is_empty() {
        Ok(())
    } else {
        Err(malformed("bytes follow the last field of a frame"))
    }
}

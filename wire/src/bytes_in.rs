//! Taking checked values off the front of received bytes.
//!
//! Every function is total: it either advances `input` past a well-formed value or returns
//! `malformed` (or the stated code). Nothing allocates more than the bytes that are there.

use crate::error::{Code, WireError, malformed};
use crate::varint;

/// Takes `len` bytes.
pub(crate) fn take<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], WireError> {
    let (taken, rest) = input.split_at_checked(len).ok_or_else(cut_off)?;
    *input = rest;
    Ok(taken)
}

/// Takes as many bytes as the array has.
#[inline]
pub(crate) fn array<const LEN: usize>(input: &mut &[u8]) -> Result<[u8; LEN], WireError> {
    let (taken, rest) = input.split_first_chunk().ok_or_else(cut_off)?;
    *input = rest;
    Ok(*taken)
}

#[cold]
fn cut_off() -> WireError {
    malformed("a field is cut off")
}

#[inline]
pub(crate) fn u8(input: &mut &[u8]) -> Result<u8, WireError> {
    array(input).map(|[byte]| byte)
}

pub(crate) fn u32_le(input: &mut &[u8]) -> Result<u32, WireError> {
    array(input).map(u32::from_le_bytes)
}

pub(crate) fn i32_le(input: &mut &[u8]) -> Result<i32, WireError> {
    array(input).map(i32::from_le_bytes)
}

pub(crate) fn u64_le(input: &mut &[u8]) -> Result<u64, WireError> {
    array(input).map(u64::from_le_bytes)
}

pub(crate) fn i64_le(input: &mut &[u8]) -> Result<i64, WireError> {
    array(input).map(i64::from_le_bytes)
}

/// A signed 24-bit number.
#[inline]
pub(crate) fn i24_le(input: &mut &[u8]) -> Result<i32, WireError> {
    // At the top of 32 bits, and back: so its sign is theirs.
    array(input).map(|[a, b, c]| i32::from_le_bytes([0, a, b, c]) >> 8)
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

//! Bytes of a fix's optional values and of a blob, the same in uploads and in batches.
//!
//! Which of them are there is said by a presence byte (`form`) that stands elsewhere: before the
//! point in uploads and earlier points, in the flags of a batch's entry.

use bytes::{BufMut, Bytes};

use crate::bytes_in;
use crate::bytes_out;
use crate::error::{Code, WireError, malformed};
use crate::limits::SEALED_BYTES_MAX;
use crate::point::{Accuracy, Fix, Heading, Payload, Position, Speed};

/// A heading byte is there.
pub(crate) const HEADING: u8 = 1 << 0;
/// A speed byte is there.
pub(crate) const SPEED: u8 = 1 << 1;
/// An accuracy byte is there.
pub(crate) const ACCURACY: u8 = 1 << 2;
/// A battery byte is there.
pub(crate) const BATTERY: u8 = 1 << 3;
/// The position is absolute, 4+4 bytes. In uploads it always is and the bit stays 0.
pub(crate) const WIDE: u8 = 1 << 4;
/// The payload is a blob.
pub(crate) const SEALED: u8 = 1 << 5;
/// The bits that tell of optional values.
pub(crate) const MOTION: u8 = HEADING | SPEED | ACCURACY | BATTERY;

/// The presence bits of a payload, without [`WIDE`].
pub(crate) fn form(payload: &Payload) -> u8 {
    let bit = |present: bool, bit: u8| if present { bit } else { 0 };
    match payload {
        Payload::Sealed(_) => SEALED,
        Payload::Fix(fix) => {
            bit(fix.heading.is_some(), HEADING)
                | bit(fix.speed.is_some(), SPEED)
                | bit(fix.accuracy.is_some(), ACCURACY)
                | bit(fix.battery.is_some(), BATTERY)
        }
    }
}

/// Refuses bits that mean nothing: those outside `known`, and values beside a blob.
pub(crate) fn check_form(form: u8, known: u8) -> Result<(), WireError> {
    if form & !known != 0 {
        return Err(malformed("a presence byte has unknown bits"));
    }
    if form & SEALED != 0 && form & (MOTION | WIDE) != 0 {
        return Err(malformed("a sealed point has fields of a plain one"));
    }
    Ok(())
}

/// The optional values, in the order of their bits.
pub(crate) fn put_motion(out: &mut Vec<u8>, fix: &Fix) {
    let values = [
        fix.heading.map(|heading| heading.0),
        fix.speed.map(|speed| speed.0),
        fix.accuracy.map(|accuracy| accuracy.0),
        fix.battery,
    ];
    // Collected first, so that the buffer is looked after once.
    let (mut bytes, mut len) = ([0; 4], 0);
    for byte in values.into_iter().flatten() {
        bytes[len] = byte;
        len += 1;
    }
    out.put_slice(&bytes[..len]);
}

/// The inverse of [`put_motion`] for the values that `form` announces.
pub(crate) fn read_motion(
    input: &mut &[u8],
    form: u8,
    position: Position,
) -> Result<Fix, WireError> {
    let mut value = |bit: u8| (form & bit != 0).then(|| bytes_in::u8(input)).transpose();
    Ok(Fix {
        position,
        heading: value(HEADING)?.map(Heading),
        speed: value(SPEED)?.map(Speed),
        accuracy: value(ACCURACY)?.map(Accuracy),
        battery: value(BATTERY)?,
    })
}

/// An absolute position, 4+4 bytes.
pub(crate) fn put_position_wide(out: &mut Vec<u8>, position: Position) {
    out.put_i32_le(position.lat_e6);
    out.put_i32_le(position.lon_e6);
}

/// The inverse of [`put_position_wide`]. The range is not judged here.
pub(crate) fn read_position_wide(input: &mut &[u8]) -> Result<Position, WireError> {
    Ok(Position {
        lat_e6: bytes_in::i32_le(input)?,
        lon_e6: bytes_in::i32_le(input)?,
    })
}

/// `length varint · bytes` of a blob.
pub(crate) fn put_sealed(out: &mut Vec<u8>, blob: &Bytes) {
    bytes_out::blob(out, blob);
}

/// The inverse of [`put_sealed`], not copied yet.
pub(crate) fn read_sealed<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    bytes_in::blob(input, SEALED_BYTES_MAX, Code::Malformed)
}

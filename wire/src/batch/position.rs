//! Positions and times of a batch: relative to its anchor and its server time.

use bytes::BufMut;

use crate::batch::header::BatchHeader;
use crate::bytes_in;
use crate::error::{WireError, malformed};
use crate::limits::{CAPTURED_AT_MS_MAX, CAPTURED_AT_MS_MIN};
use crate::payload;
use crate::point::Position;
use crate::varint;

/// Reach of the narrow form around the anchor in 1e-6 degree: what 24 bits hold, both ways alike.
pub(crate) const NARROW_E6_MAX: i32 = (1 << 23) - 1;

/// Whether the narrow form cannot say it. The distance is taken without going around the globe, so
/// a chat across the antimeridian has wide rows on one side of it: bytes, not errors.
pub(crate) fn is_wide(anchor: Position, position: Position) -> bool {
    let far = |a: i32, b: i32| a.abs_diff(b) > NARROW_E6_MAX as u32;
    far(anchor.lat_e6, position.lat_e6) || far(anchor.lon_e6, position.lon_e6)
}

/// Appends a position in the form that `wide` says.
pub(crate) fn put(out: &mut Vec<u8>, anchor: Position, position: Position, wide: bool) {
    if wide {
        return payload::put_position_wide(out, position);
    }
    let [a, b, c, _] = (position.lat_e6 - anchor.lat_e6).to_le_bytes();
    let [d, e, f, _] = (position.lon_e6 - anchor.lon_e6).to_le_bytes();
    out.put_slice(&[a, b, c, d, e, f]);
}

/// The inverse of [`put`]; the anchor is in range.
pub(crate) fn read(input: &mut &[u8], anchor: Position, wide: bool) -> Result<Position, WireError> {
    let position = if wide {
        payload::read_position_wide(input)?
    } else {
        Position {
            lat_e6: anchor.lat_e6 + bytes_in::i24_le(input)?,
            lon_e6: anchor.lon_e6 + bytes_in::i24_le(input)?,
        }
    };
    if !position.in_range() {
        return Err(malformed("a position is out of range"));
    }
    Ok(position)
}

/// Appends a time as its age at the batch's server time.
pub(crate) fn put_time(out: &mut Vec<u8>, header: &BatchHeader, time_ms: i64) {
    let age_ms = header.server_time_ms as i64 - time_ms;
    varint::put(out, varint::zigzag(age_ms));
}

/// The inverse of [`put_time`] for a time of a device.
pub(crate) fn read_time(input: &mut &[u8], header: &BatchHeader) -> Result<i64, WireError> {
    let age_ms = varint::unzigzag(varint::get(input)?);
    let time_ms = header.server_time_ms as i64 - age_ms;
    if !(CAPTURED_AT_MS_MIN..=CAPTURED_AT_MS_MAX).contains(&time_ms) {
        return Err(malformed("a time is out of range"));
    }
    Ok(time_ms)
}

/// The inverse of [`put_time`] for a time of the server, which is never before 1970.
pub(crate) fn read_server_time(input: &mut &[u8], header: &BatchHeader) -> Result<u64, WireError> {
    let time_ms = read_time(input, header)?;
    u64::try_from(time_ms).map_err(|_| malformed("a server time is out of range"))
}

#[cfg(test)]
mod tests {
    use crate::batch::position::{self, NARROW_E6_MAX};
    use crate::point::Position;

    fn at(lat_e6: i32, lon_e6: i32) -> Position {
        Position { lat_e6, lon_e6 }
    }

    /// Bytes that a position takes; it must come back.
    fn bytes(anchor: Position, place: Position) -> usize {
        let wide = position::is_wide(anchor, place);
        let mut out = Vec::new();
        position::put(&mut out, anchor, place, wide);
        let read = position::read(&mut out.as_slice(), anchor, wide);
        assert_eq!(read, Ok(place), "{anchor:?} {place:?}");
        out.len()
    }

    #[test]
    fn nothing_is_clipped_at_the_reach_of_the_narrow_form() {
        let anchor = at(10, -10);
        for sign in [-1, 1] {
            for (by, size) in [(NARROW_E6_MAX, 6), (NARROW_E6_MAX + 1, 8)] {
                assert_eq!(bytes(anchor, at(10 + sign * by, -10)), size);
                assert_eq!(bytes(anchor, at(10, -10 + sign * by)), size);
            }
        }
    }

    #[test]
    fn poles_and_the_antimeridian_need_no_special_case() {
        let east = at(0, 179_999_999);
        assert_eq!(bytes(east, at(0, 180_000_000)), 6);
        assert_eq!(bytes(east, at(0, -179_999_999)), 8);
        assert_eq!(bytes(at(89_000_000, 0), at(90_000_000, 180_000_000)), 8);
        assert_eq!(
            bytes(at(-90_000_000, -180_000_000), at(90_000_000, 180_000_000)),
            8
        );
    }
}

//! QUIC variable-length integers (RFC 9000, section 16) and zigzag for signed values.

use bytes::BufMut;

use crate::error::{WireError, malformed};

/// Largest value: 62 bits.
pub const MAX: u64 = (1 << 62) - 1;

/// Bytes that `value` takes: 1, 2, 4 or 8.
pub const fn len(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Appends `value`.
///
/// # Panics
/// If `value` is above [`MAX`]; callers check their inputs at the border.
#[inline]
pub fn put(out: &mut impl BufMut, value: u64) {
    assert!(value <= MAX, "varint out of range: {value}");
    match len(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(0x4000 | value as u16),
        4 => out.put_u32(0x8000_0000 | value as u32),
        _ => out.put_u64(0xc000_0000_0000_0000 | value),
    }
}

/// Takes one value from the front of `input`.
///
/// # Errors
/// `malformed` when the bytes end too early.
#[inline]
pub fn get(input: &mut &[u8]) -> Result<u64, WireError> {
    let (value, rest) = match **input {
        [a @ ..=0x3f, ref rest @ ..] => (u64::from(a), rest),
        [a @ 0x40..=0x7f, b, ref rest @ ..] => {
            (u64::from(u16::from_be_bytes([a, b]) & 0x3fff), rest)
        }
        [a @ 0x80..=0xbf, b, c, d, ref rest @ ..] => {
            let value = u32::from_be_bytes([a, b, c, d]) & 0x3fff_ffff;
            (u64::from(value), rest)
        }
        [a @ 0xc0..=0xff, b, c, d, e, f, g, h, ref rest @ ..] => {
            (u64::from_be_bytes([a, b, c, d, e, f, g, h]) & MAX, rest)
        }
        _ => return Err(malformed("a number is cut off")),
    };
    *input = rest;
    Ok(value)
}

/// Maps small negative and positive numbers to small unsigned ones.
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub const fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use crate::varint;

    #[test]
    fn numbers_at_the_borders_of_each_length_come_back() {
        for (value, len) in [
            (0, 1),
            (63, 1),
            (64, 2),
            (16_383, 2),
            (16_384, 4),
            ((1 << 30) - 1, 4),
            (1 << 30, 8),
            (varint::MAX, 8),
        ] {
            let mut bytes = Vec::new();
            varint::put(&mut bytes, value);
            assert_eq!((bytes.len(), varint::len(value)), (len, len), "{value}");
            assert_eq!(varint::get(&mut bytes.as_slice()), Ok(value));
            for cut in 0..len {
                assert!(
                    varint::get(&mut &bytes[..cut]).is_err(),
                    "{value} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn zigzag_keeps_small_numbers_small_and_comes_back() {
        assert_eq!([0, -1, 1, -2].map(varint::zigzag), [0, 1, 2, 3]);
        for value in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(varint::unzigzag(varint::zigzag(value)), value);
        }
    }
}

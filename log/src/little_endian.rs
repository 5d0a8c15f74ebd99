//! Numbers of a known place in bytes of a known length: what the decoders of fixed layouts share.
//! All numbers of the format are little-endian.

/// The number at `position`. Panics if it lies beyond the end.
#[inline]
pub(crate) fn u16_at(bytes: &[u8], position: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, position))
}

/// The number at `position`. Panics if it lies beyond the end.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], position: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, position))
}

/// The number at `position`. Panics if it lies beyond the end.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], position: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, position))
}

#[inline]
fn array_at<const BYTES: usize>(bytes: &[u8], position: usize) -> [u8; BYTES] {
    let field = bytes[position..position + BYTES].try_into();
    field.expect("as many bytes as were asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    #[test]
    fn the_low_byte_comes_first() {
        assert_eq!(u16_at(&BYTES, 1), 0x0302);
        assert_eq!(u32_at(&BYTES, 5), 0x0908_0706);
        assert_eq!(u64_at(&BYTES, 1), 0x0908_0706_0504_0302);
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn the_end_is_the_end() {
        u64_at(&BYTES, 2);
    }
}
